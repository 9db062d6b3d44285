// Linear algebra without a call of Python, of batches of matrices that are worked on one by one. It gives up where a
// matrix is nearly singular, not finite or otherwise out of the ordinary.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native_call.hpp"

namespace tracer {

enum class MatrixKind {
    Solve,
    Inverse,
    Determinant,
    LogDeterminant,
    Cofactors,
    Cholesky,
    SolveLower,
    SolveUpper,
    SolveUnitLower,
    SolveUnitUpper,
    Factors,
    SolveByFactors,
    SolveTransposedByFactors,
    InverseOfFactors,
    DeterminantOfFactors,
    EighLower,
    EighUpper,
    EigvalshLower,
    EigvalshUpper,
};

// An operand: its strides along the batch, then those of one matrix (of a vector: `row`), in elements.
struct Stack {
    View view;
    int64_t itemsize = 0;
    Shape steps;
    int64_t row = 0, col = 0;
};

// The operands of square matrices of n rows, and of right sides with so many columns.
struct MatrixBatch {
    static constexpr size_t MOST_STACKS = 4;
    MatrixKind kind;
    Dtype dtype;
    int64_t n = 0, columns = 0, count = 1;
    Shape shape;
    size_t inputs = 0;
    std::vector<Stack> stacks;  // the inputs, then the outputs

    // Where the operands of one matrix of the batch begin.
    void place(const Context& context, int64_t number, char** at) const;
};

template <class T>
struct Matrix {
    T* start;
    int64_t row, col;
    T& at(int64_t i, int64_t j) const { return start[i * row + j * col]; }
};

// nullptr where there is no such kernel for these types, sizes and places. Throws std::invalid_argument for an unknown
// name.
std::unique_ptr<NativeCall> make_matrix_kernel(const std::string& kernel, const std::vector<Operand>& inputs,
                                               const std::vector<Operand>& outputs, const BufferTable& table);

// The two that there are, for batches that are not empty; nullptr where a batch is none of theirs.
std::unique_ptr<NativeCall> make_small_matrices(MatrixBatch batch);    // small_matrices.cpp
std::unique_ptr<NativeCall> make_library_matrices(MatrixBatch batch);  // library_matrices.cpp

}  // namespace tracer
