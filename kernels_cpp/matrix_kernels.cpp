#include "matrix_kernels.hpp"

#include <algorithm>

namespace tracer {
namespace {

// The operands, inputs before outputs: m is a square matrix, r right sides for it, v a vector and p one of the
// exchanges of rows, a number 1.
struct KindEntry {
    const char* name;
    MatrixKind kind;
    const char *inputs, *outputs;
};

const KindEntry& kind_of(const std::string& kernel) {
    static const KindEntry KINDS[] = {
        {"solve", MatrixKind::Solve, "mr", "r"},
        {"inv", MatrixKind::Inverse, "m", "m"},
        {"det", MatrixKind::Determinant, "m", "1"},
        {"slogdet", MatrixKind::LogDeterminant, "m", "11"},
        {"cofactor", MatrixKind::Cofactors, "m", "m"},
        {"cholesky", MatrixKind::Cholesky, "m", "m"},
        {"solve_lower", MatrixKind::SolveLower, "mr", "r"},
        {"solve_upper", MatrixKind::SolveUpper, "mr", "r"},
        {"solve_unit_lower", MatrixKind::SolveUnitLower, "mr", "r"},
        {"solve_unit_upper", MatrixKind::SolveUnitUpper, "mr", "r"},
        {"factors", MatrixKind::Factors, "m", "mp"},
        {"solve_by_factors", MatrixKind::SolveByFactors, "mpr", "r"},
        {"solve_transposed_by_factors", MatrixKind::SolveTransposedByFactors, "mpr", "r"},
        {"inverse_of_factors", MatrixKind::InverseOfFactors, "mp", "m"},
        {"determinant_of_factors", MatrixKind::DeterminantOfFactors, "mp", "11"},
        {"eigh_lower", MatrixKind::EighLower, "m", "vm"},
        {"eigh_upper", MatrixKind::EighUpper, "m", "vm"},
        {"eigvalsh_lower", MatrixKind::EigvalshLower, "m", "v"},
        {"eigvalsh_upper", MatrixKind::EigvalshUpper, "m", "v"},
    };
    for (const KindEntry& known : KINDS) {
        if (kernel == known.name) {
            return known;
        }
    }
    malformed("Call: there is no kernel " + kernel);
}

size_t dimensions_of(char role) {
    return role == '1' ? 0 : role == 'v' || role == 'p' ? 1 : 2;
}

// The strides of an operand along the batch, 0 where it is broadcast; throws if it does not fit.
Stack stack_of(const Operand& operand, const Shape& batch, size_t dimensions, int64_t itemsize) {
    Stack stack{operand.view, itemsize, Shape(batch.size(), 0)};
    const Shape& shape = operand.shape;
    if (shape.size() < dimensions || shape.size() - dimensions > batch.size()) {
        malformed("Call: an operand has too few or too many dimensions for its kernel");
    }
    const size_t own = shape.size() - dimensions;
    for (size_t d = 0; d < own; ++d) {
        const size_t place = d + batch.size() - own;
        if (shape[d] != 1 && shape[d] != batch[place]) {
            malformed("Call: the batches of the operands do not fit");
        }
        stack.steps[place] = shape[d] == 1 ? 0 : operand.view.strides[d];
    }
    if (dimensions > 0) {
        stack.row = operand.view.strides[own];
    }
    if (dimensions == 2) {
        stack.col = operand.view.strides[own + 1];
    }
    return stack;
}

// Whether an operand has the sizes of its role.
bool fits(const Shape& shape, char role, const MatrixBatch& batch) {
    const size_t rank = shape.size(), own = dimensions_of(role);
    if (rank < own) {
        return false;
    }
    if (own == 2) {
        return shape[rank - 2] == batch.n && shape[rank - 1] == (role == 'r' ? batch.columns : batch.n);
    }
    return own == 0 || shape[rank - 1] == batch.n;
}

// Enters the operands into the batch; false if one has elements of another type.
bool add_stacks(MatrixBatch& batch, const std::vector<Operand>& operands, const std::string& roles, bool written,
                const BufferTable& table) {
    if (operands.size() != roles.size()) {
        malformed("Call: wrong number of operands for a kernel");
    }
    for (size_t i = 0; i < roles.size(); ++i) {
        const size_t dimensions = dimensions_of(roles[i]);
        if (!fits(operands[i].shape, roles[i], batch)) {
            malformed("Call: the sizes of the operands do not fit its kernel");
        }
        if (written && operands[i].shape.size() != batch.shape.size() + dimensions) {
            malformed("Call: the batches of the results differ");
        }
        const Dtype dtype = table.dtype(operands[i].view);
        if (dtype != (roles[i] == 'p' ? Dtype::I32 : batch.dtype)) {
            return false;
        }
        batch.stacks.push_back(stack_of(operands[i], batch.shape, dimensions, itemsize(dtype)));
    }
    return true;
}

}  // namespace

void MatrixBatch::place(const Context& context, int64_t number, char** at) const {
    for (size_t k = 0; k < stacks.size(); ++k) {
        at[k] = context.resolve(stacks[k].view);
    }
    for (size_t d = shape.size(); d-- > 0;) {
        const int64_t here = d == 0 ? number : number % shape[d];
        number /= shape[d];
        for (size_t k = 0; k < stacks.size(); ++k) {
            at[k] += here * stacks[k].steps[d] * stacks[k].itemsize;
        }
    }
}

std::unique_ptr<NativeCall> make_matrix_kernel(const std::string& kernel, const std::vector<Operand>& inputs,
                                               const std::vector<Operand>& outputs, const BufferTable& table) {
    const KindEntry& known = kind_of(kernel);
    if (inputs.empty() || outputs.empty() || inputs[0].shape.size() < 2 || inputs.back().shape.empty()) {
        malformed("Call: wrong operands for kernel " + kernel);
    }
    MatrixBatch batch;
    batch.kind = known.kind;
    batch.dtype = table.dtype(inputs[0].view);
    batch.n = inputs[0].shape.back();
    batch.columns = inputs.back().shape.back();
    batch.inputs = inputs.size();
    const Shape& out = outputs[0].shape;
    const size_t dimensions = dimensions_of(known.outputs[0]);
    if (out.size() < dimensions) {
        malformed("Call: a result has too few dimensions for its kernel");
    }
    batch.shape = Shape(out.begin(), out.end() - static_cast<int64_t>(dimensions));
    if (!add_stacks(batch, inputs, known.inputs, false, table) ||
        !add_stacks(batch, outputs, known.outputs, true, table) ||
        (batch.dtype != Dtype::F32 && batch.dtype != Dtype::F64) || checked_size(out) == 0 || batch.n == 0) {
        return nullptr;
    }
    batch.count = checked_size(batch.shape);
    for (const Operand& written : outputs) {
        for (const Operand& read : inputs) {
            if (table.may_overlap(written.view, written.shape, read.view, read.shape)) {
                return nullptr;
            }
        }
    }
    std::unique_ptr<NativeCall> small = make_small_matrices(batch);
    return small != nullptr ? std::move(small) : make_library_matrices(std::move(batch));
}

}  // namespace tracer
