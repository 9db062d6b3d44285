// Accumulators of reductions: wide cells that partial results of blocks, rows and threads are added to.
#pragma once

#include <cstdint>

#include "registry.hpp"

namespace tracer {

// What a reduction of one kind and type does with its cells. Sums of floating-point numbers keep the rounding error of
// every addition beside the sum, so that their error does not grow with the number of blocks.
struct ReduceOps {
    int64_t cell;  // bytes of one cell
    void (*clear)(char* cells, int64_t count);
    // cells[0] += *accumulator, of the type that the block kernel gives.
    void (*add_block)(char* cell, const void* accumulator);
    // cells[i] += values[i], of the type reduced.
    void (*add_row)(char* cells, const char* values, int64_t count);
    // cells[i] += others[i], cells at `step` bytes from each other.
    void (*merge)(char* cells, int64_t step, const char* others, int64_t others_step, int64_t count);
    // out[i] = value of cells[i].
    void (*finish)(char* out, int64_t step, const char* cells, int64_t cells_step, int64_t count);
    ReduceKernel block;      // one block to one accumulator
    const char* row_kernel;  // scalar operation that adds two rows
    int64_t rounds;          // rows that may be added in the type itself before precision asks for a cell
};

// Throws std::invalid_argument if the type has no such reduction.
ReduceOps find_reduce_ops(const char* kind, Dtype type);

}  // namespace tracer
