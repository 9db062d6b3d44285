#include "loop_draft.hpp"

#include <algorithm>
#include <cstdlib>

#include "loop.hpp"

namespace tracer {
namespace {

constexpr size_t MOST_REGISTERS = 1 << 20;

template <typename Function>
void for_each_operand(LoopDraft& draft, Function function) {
    for (auto* group : {&draft.loads, &draft.stores, &draft.targets}) {
        for (DraftOperand& operand : *group) {
            function(operand);
        }
    }
}

DraftOperand read_operand(py::handle view, const Shape& shape, BufferTable& table, Access access, bool repeats) {
    DraftOperand operand;
    operand.view = table.view(view, shape, access, repeats);
    operand.size = itemsize(table.dtype(operand.view));
    operand.offset = operand.view.offset * operand.size;
    for (const int64_t stride : operand.view.strides) {
        operand.strides.push_back(stride * operand.size);
    }
    return operand;
}

int read_register(py::handle value, size_t count) {
    const int64_t number = read_integer(value, "register");
    if (number < 0 || number >= static_cast<int64_t>(count)) {
        malformed("there is no register " + std::to_string(number));
    }
    return static_cast<int>(number);
}

void read_step(py::handle step, LoopDraft& draft) {
    DraftStep result;
    const std::string name = py::cast<std::string>(step.attr("kernel"));
    const Dtype in = read_dtype(step.attr("dtype"), "step");
    result.out = read_dtype(step.attr("out"), "step");
    result.kernel = find_kernel(name.c_str(), in, result.out);
    if (result.kernel == nullptr) {
        malformed("there is no kernel " + name + " from " + dtype_name(in) + " to " + dtype_name(result.out));
    }
    for (py::handle input : step.attr("inputs")) {
        result.inputs.push_back(read_register(input, draft.registers.size()));
    }
    if (static_cast<int>(result.inputs.size()) != result.kernel->arity || result.inputs.size() > MAX_ARITY) {
        malformed(name + " has " + std::to_string(result.kernel->arity) + " operands, not " +
                  std::to_string(result.inputs.size()));
    }
    for (size_t i = 0; i < result.inputs.size(); ++i) {
        const Dtype wanted = name == "where" && i == 0 ? Dtype::Bool : in;
        if (draft.registers[result.inputs[i]] != wanted) {
            malformed("operand " + std::to_string(i) + " of " + name + " is " +
                      dtype_name(draft.registers[result.inputs[i]]) + ", not " + dtype_name(wanted));
        }
    }
    draft.registers.push_back(result.out);
    draft.steps.push_back(std::move(result));
}

DraftOperand read_result(py::handle item, LoopDraft& draft, BufferTable& table, bool reduction) {
    const int reg = read_register(item.attr("register"), draft.registers.size());
    DraftOperand operand = read_operand(item.attr("view"), draft.shape, table, Access::Write, reduction);
    operand.reg = reg;
    if (draft.registers[reg] != table.dtype(operand.view)) {
        malformed("register " + std::to_string(reg) + " is " + dtype_name(draft.registers[reg]) + ", its buffer " +
                  dtype_name(table.dtype(operand.view)));
    }
    return operand;
}

// Shape of the target of a reduction: 1 where it reduces.
Shape kept_shape(const LoopDraft& draft, const DraftOperand& target) {
    Shape kept = draft.shape;
    for (size_t d = 0; d < kept.size(); ++d) {
        if (target.strides[d] == 0) {
            kept[d] = 1;
        }
    }
    return kept;
}

// What is written must not be read by another point of the loop, nor written twice.
void check_overlaps(const LoopDraft& draft, const BufferTable& table) {
    struct Written {
        const View* view;
        Shape shape;
    };
    std::vector<Written> written;
    for (const DraftOperand& store : draft.stores) {
        for (const DraftOperand& load : draft.loads) {
            if (!table.same_place(store.view, load.view, draft.shape) &&
                table.may_overlap(store.view, draft.shape, load.view, draft.shape)) {
                malformed("a store overlaps a load without being in the same place");
            }
        }
        written.push_back({&store.view, draft.shape});
    }
    for (const DraftOperand& target : draft.targets) {
        const Shape kept = kept_shape(draft, target);
        for (const DraftOperand& load : draft.loads) {
            if (table.may_overlap(target.view, kept, load.view, draft.shape)) {
                malformed("the target of a reduction overlaps a load");
            }
        }
        written.push_back({&target.view, kept});
    }
    for (size_t i = 0; i < written.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            if (table.may_overlap(*written[i].view, written[i].shape, *written[j].view, written[j].shape)) {
                malformed("two results overlap");
            }
        }
    }
}

void erase_axis(LoopDraft& draft, size_t d) {
    draft.shape.erase(draft.shape.begin() + d);
    for_each_operand(draft, [d](DraftOperand& operand) { operand.strides.erase(operand.strides.begin() + d); });
}

void turn_backward_axes(LoopDraft& draft) {
    for (size_t d = 0; d < draft.shape.size(); ++d) {
        bool forward = false, backward = false;
        for (const auto* group : {&draft.loads, &draft.stores}) {
            for (const DraftOperand& operand : *group) {
                forward |= operand.strides[d] > 0;
                backward |= operand.strides[d] < 0;
            }
        }
        if (forward || !backward) {
            continue;
        }
        for_each_operand(draft, [&](DraftOperand& operand) {
            operand.offset += (draft.shape[d] - 1) * operand.strides[d];
            operand.strides[d] = -operand.strides[d];
        });
    }
}

// Whether axis b should be outside axis a, by a vote of the operands: stores count more than loads.
bool out_of_order(const LoopDraft& draft, size_t a, size_t b) {
    int votes = 0;
    const auto vote = [&](const std::vector<DraftOperand>& group, int weight) {
        for (const DraftOperand& operand : group) {
            const int64_t outer = std::abs(operand.strides[a]), inner = std::abs(operand.strides[b]);
            if (outer != 0 && inner != 0) {
                votes += outer < inner ? weight : outer > inner ? -weight : 0;
            }
        }
    };
    vote(draft.loads, 2);
    vote(draft.stores, 3);
    if (votes == 0) {
        vote(draft.targets, 1);
    }
    return votes > 0;
}

void sort_axes(LoopDraft& draft) {
    for (size_t i = 1; i < draft.shape.size(); ++i) {
        for (size_t d = i; d > 0 && out_of_order(draft, d - 1, d); --d) {
            std::swap(draft.shape[d], draft.shape[d - 1]);
            for_each_operand(draft,
                             [d](DraftOperand& operand) { std::swap(operand.strides[d], operand.strides[d - 1]); });
        }
    }
}

void merge_axes(LoopDraft& draft) {
    for (size_t d = draft.shape.size(); d-- > 1;) {
        bool together = true;
        for_each_operand(draft, [&](const DraftOperand& operand) {
            together &= operand.strides[d - 1] == operand.strides[d] * draft.shape[d];
        });
        if (together) {
            draft.shape[d] *= draft.shape[d - 1];
            erase_axis(draft, d - 1);
        }
    }
}

}  // namespace

int64_t LoopDraft::size() const {
    return checked_size(shape);
}

bool LoopDraft::is_contiguous(const DraftOperand& operand, size_t row_axis) const {
    int64_t expected = operand.size;
    for (size_t d = shape.size(); d-- > row_axis;) {
        if (operand.strides[d] != expected) {
            return false;
        }
        expected *= shape[d];
    }
    return true;
}

LoopDraft read_loop(py::handle description, BufferTable& table) {
    LoopDraft draft;
    draft.shape = read_shape(description.attr("shape"), "shape");
    for (py::handle view : description.attr("loads")) {
        draft.loads.push_back(read_operand(view, draft.shape, table, Access::Read, true));
        draft.loads.back().reg = static_cast<int>(draft.registers.size());
        draft.registers.push_back(table.dtype(draft.loads.back().view));
    }
    for (py::handle immediate : description.attr("immediates")) {
        draft.registers.push_back(read_dtype(immediate.attr("dtype"), "immediate"));
        draft.immediates.push_back(py::reinterpret_borrow<py::object>(immediate));
    }
    for (py::handle step : description.attr("steps")) {
        read_step(step, draft);
    }
    for (py::handle store : description.attr("stores")) {
        draft.stores.push_back(read_result(store, draft, table, false));
    }
    for (py::handle reduce : description.attr("reduces")) {
        draft.targets.push_back(read_result(reduce, draft, table, true));
        DraftOperand& target = draft.targets.back();
        target.kind = py::cast<std::string>(reduce.attr("kind"));
        const bool extreme = target.kind == "max" || target.kind == "min";
        if (extreme && draft.size() == 0 && checked_size(kept_shape(draft, target)) > 0) {
            malformed(target.kind + " of nothing");
        }
    }
    if (draft.registers.size() > MOST_REGISTERS) {
        malformed("too many registers");
    }
    check_overlaps(draft, table);
    return draft;
}

void simplify_axes(LoopDraft& draft) {
    for (size_t d = draft.shape.size(); d-- > 0;) {
        if (draft.shape[d] == 1) {
            erase_axis(draft, d);
        }
    }
    turn_backward_axes(draft);
    sort_axes(draft);
    merge_axes(draft);
    if (draft.shape.empty()) {
        draft.shape = {1};
        // A single point is contiguous for loads and stores, and all of it is reduced.
        for_each_operand(draft, [](DraftOperand& operand) { operand.strides = {operand.size}; });
        for (DraftOperand& target : draft.targets) {
            target.strides = {0};
        }
    }
}

}  // namespace tracer
