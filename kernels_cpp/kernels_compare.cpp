// Comparisons, tests and selection.
#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

#define OP_COMPARE(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_COMPARE(name, arity, expression)                 \
    TRACER_ENTRY(name, arity, Bool, uint8_t, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, I8, int8_t, Bool, uint8_t)    \
    TRACER_ENTRY(name, arity, I16, int16_t, Bool, uint8_t)  \
    TRACER_ENTRY(name, arity, I32, int32_t, Bool, uint8_t)  \
    TRACER_ENTRY(name, arity, I64, int64_t, Bool, uint8_t)  \
    TRACER_ENTRY(name, arity, U8, uint8_t, Bool, uint8_t)   \
    TRACER_ENTRY(name, arity, U16, uint16_t, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, U32, uint32_t, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, U64, uint64_t, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, F32, float, Bool, uint8_t)    \
    TRACER_ENTRY(name, arity, F64, double, Bool, uint8_t)
#include "ops.def"
};

// Selection only copies, so one loop per item size serves every type.
template <class T>
void where_loop(void* out, const void* const* in, int64_t n) {
    const uint8_t* a = static_cast<const uint8_t*>(in[0]);
    const T* b = static_cast<const T*>(in[1]);
    const T* c = static_cast<const T*>(in[2]);
    T* result = static_cast<T*>(out);
    TRACER_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
        const T yes = b[i], no = c[i];
        result[i] = a[i] ? yes : no;
    }
}

void where_loop_16(void* out, const void* const* in, int64_t n) {
    const uint8_t* a = static_cast<const uint8_t*>(in[0]);
    const complex128* b = static_cast<const complex128*>(in[1]);
    const complex128* c = static_cast<const complex128*>(in[2]);
    complex128* result = static_cast<complex128*>(out);
    for (int64_t i = 0; i < n; ++i) {
        result[i] = a[i] ? b[i] : c[i];
    }
}

constexpr KernelEntry WHERE_ENTRIES[] = {
    {"where", Dtype::Bool, Dtype::Bool, 3, where_loop<uint8_t>},
    {"where", Dtype::I8, Dtype::I8, 3, where_loop<uint8_t>},
    {"where", Dtype::I16, Dtype::I16, 3, where_loop<uint16_t>},
    {"where", Dtype::I32, Dtype::I32, 3, where_loop<uint32_t>},
    {"where", Dtype::I64, Dtype::I64, 3, where_loop<uint64_t>},
    {"where", Dtype::U8, Dtype::U8, 3, where_loop<uint8_t>},
    {"where", Dtype::U16, Dtype::U16, 3, where_loop<uint16_t>},
    {"where", Dtype::U32, Dtype::U32, 3, where_loop<uint32_t>},
    {"where", Dtype::U64, Dtype::U64, 3, where_loop<uint64_t>},
    {"where", Dtype::F32, Dtype::F32, 3, where_loop<uint32_t>},
    {"where", Dtype::F64, Dtype::F64, 3, where_loop<uint64_t>},
    {"where", Dtype::C64, Dtype::C64, 3, where_loop<uint64_t>},
    {"where", Dtype::C128, Dtype::C128, 3, where_loop_16},
};

}  // namespace

extern const KernelTable<KernelEntry> COMPARE_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};
extern const KernelTable<KernelEntry> WHERE_TABLE{WHERE_ENTRIES, sizeof(WHERE_ENTRIES) / sizeof(WHERE_ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
