// Declarations of every kernel table, for the registry; each is defined by the source file it is named after.
#pragma once

#include "registry.hpp"

namespace tracer {

template <class Entry>
struct KernelTable {
    const Entry* entries;
    int64_t count;
};

// What is built for every instruction set.
#define TRACER_DECLARE_TABLES(isa)                              \
    namespace isa {                                             \
    extern const KernelTable<KernelEntry> FLOAT_TABLE;          \
    extern const KernelTable<KernelEntry> VECTOR_TABLE;         \
    extern const KernelTable<KernelEntry> INTEGER_TABLE;        \
    extern const KernelTable<KernelEntry> BOOL_TABLE;           \
    extern const KernelTable<KernelEntry> COMPARE_TABLE;        \
    extern const KernelTable<KernelEntry> WHERE_TABLE;          \
    extern const KernelTable<KernelEntry> CAST_TABLE;           \
    extern const KernelTable<ReduceEntry> REDUCE_TABLE;         \
    extern const KernelTable<TriangularEntry> TRIANGULAR_TABLE; \
    }

#if defined(__aarch64__)
#define TRACER_FIRST_ISA neon
TRACER_DECLARE_TABLES(neon)
#else
#define TRACER_FIRST_ISA baseline
TRACER_DECLARE_TABLES(baseline)
#endif
#if defined(__x86_64__)
TRACER_DECLARE_TABLES(avx2)
TRACER_DECLARE_TABLES(avx512)
#endif

// What is built only once, for the first instruction set.
namespace TRACER_FIRST_ISA {
extern const KernelTable<KernelEntry> SCALAR_TABLE;
extern const KernelTable<KernelEntry> SCALAR_INTEGER_TABLE;
extern const KernelTable<KernelEntry> COMPLEX_TABLE;
extern const KernelTable<ReduceEntry> COMPLEX_REDUCE_TABLE;
}  // namespace TRACER_FIRST_ISA

}  // namespace tracer
