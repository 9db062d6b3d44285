// Integer and boolean arithmetic with wrap-around (the build passes -fwrapv); plain loops.
#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

// NumPy's shifts by a negative amount, or by as many bits as there are, shift everything out.
template <class T>
TRACER_INLINE T left_shift(T a, T b) {
    constexpr T BITS = sizeof(T) * 8;
    const bool inside = (b >= 0) & (b < BITS);
    return static_cast<T>(inside ? a << (inside ? b : 0) : 0);
}

template <class T>
TRACER_INLINE T right_shift(T a, T b) {
    constexpr T BITS = sizeof(T) * 8;
    const bool inside = (b >= 0) & (b < BITS);
    return static_cast<T>(inside ? a >> (inside ? b : 0) : (a < 0 ? -1 : 0));
}

#define OP_INTEGER(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

// The same names mean something else for truth values.
namespace boolean {
#define OP_BOOL(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_BOOL(name, arity, expression) TRACER_ENTRY(name, arity, Bool, uint8_t, Bool, uint8_t)
#include "ops.def"
};
}  // namespace boolean

constexpr KernelEntry ENTRIES[] = {
#define OP_INTEGER(name, arity, expression)                 \
    TRACER_ENTRY(name, arity, I8, int8_t, I8, int8_t)       \
    TRACER_ENTRY(name, arity, I16, int16_t, I16, int16_t)   \
    TRACER_ENTRY(name, arity, I32, int32_t, I32, int32_t)   \
    TRACER_ENTRY(name, arity, I64, int64_t, I64, int64_t)   \
    TRACER_ENTRY(name, arity, U8, uint8_t, U8, uint8_t)     \
    TRACER_ENTRY(name, arity, U16, uint16_t, U16, uint16_t) \
    TRACER_ENTRY(name, arity, U32, uint32_t, U32, uint32_t) \
    TRACER_ENTRY(name, arity, U64, uint64_t, U64, uint64_t)
#include "ops.def"
};

}  // namespace

extern const KernelTable<KernelEntry> INTEGER_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};
extern const KernelTable<KernelEntry> BOOL_TABLE{boolean::ENTRIES,
                                                 sizeof(boolean::ENTRIES) / sizeof(boolean::ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
