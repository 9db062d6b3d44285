// Tables of block kernels, one per instruction set; the set is chosen when the library is loaded.
#pragma once

#include <cstdint>
#include <vector>

#include "types.hpp"

namespace tracer {

// out[i] = f(in[0][i], in[1][i], ...) for 0 <= i < n. Operands are contiguous, of any alignment; `out` may be exactly
// one of the inputs, but must not overlap one partially.
using BlockKernel = void (*)(void* out, const void* const* in, int64_t n);

// Reduces one block to one scalar, which overwrites *accumulator. n may be 0 (the identity) except for max and min.
using ReduceKernel = void (*)(void* accumulator, const void* in, int64_t n);

// Solves L @ x = b in place for `columns` right sides, whose rows are contiguous and `row` elements apart. L is lower
// triangular, n x n, in C order; what is above its diagonal is not read.
using TriangularKernel = void (*)(const void* triangle, int64_t n, void* x, int64_t row, int64_t columns);

// `in` is the type of the operands (for "where": of operands 1 and 2; operand 0 is Bool). "cast" has one entry per
// pair.
struct KernelEntry {
    const char* name;
    Dtype in;
    Dtype out;
    int arity;
    BlockKernel fn;
};

struct ReduceEntry {
    const char* kind;
    Dtype in;
    Dtype accumulator;
    ReduceKernel fn;
};

struct TriangularEntry {
    Dtype dtype;
    TriangularKernel fn;
};

// Kernel of the active instruction set; nullptr if there is none for these types.
const KernelEntry* find_kernel(const char* name, Dtype in, Dtype out);

// kind is sum, prod, max, min, any or all; nullptr if there is none. Sums and products of F32 accumulate in F64, of C64
// in C128; everything else accumulates in its own type (any and all as 0 or 1). max and min propagate NaN.
ReduceKernel find_reduce(const char* kind, Dtype type, Dtype* accumulator_type);

// nullptr unless F32 or F64.
TriangularKernel find_triangular(Dtype dtype);

// "baseline", "avx2", "avx512" or "neon".
const char* active_isa();
std::vector<const char*> available_isas();  // what this machine can run, best last

std::vector<KernelEntry> list_kernels();
// Kernels of a given instruction set, for tests; nullptr if the set is unknown or unavailable here.
const KernelEntry* find_kernel_isa(const char* isa, const char* name, Dtype in, Dtype out);
ReduceKernel find_reduce_isa(const char* isa, const char* kind, Dtype type, Dtype* accumulator_type);

}  // namespace tracer
