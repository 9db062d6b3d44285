// Real arithmetic: plain loops that the compiler vectorises.
#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

// Builtins, not <cmath>: its inline functions could be shared with code built for a lesser machine.
TRACER_INLINE float sqrt(float x) {
    return __builtin_sqrtf(x);
}
TRACER_INLINE double sqrt(double x) {
    return __builtin_sqrt(x);
}
TRACER_INLINE float fabs(float x) {
    return __builtin_fabsf(x);
}
TRACER_INLINE double fabs(double x) {
    return __builtin_fabs(x);
}
TRACER_INLINE float floor(float x) {
    return __builtin_floorf(x);
}
TRACER_INLINE double floor(double x) {
    return __builtin_floor(x);
}
TRACER_INLINE float ceil(float x) {
    return __builtin_ceilf(x);
}
TRACER_INLINE double ceil(double x) {
    return __builtin_ceil(x);
}
TRACER_INLINE float trunc(float x) {
    return __builtin_truncf(x);
}
TRACER_INLINE double trunc(double x) {
    return __builtin_trunc(x);
}
TRACER_INLINE float rint(float x) {
    return __builtin_rintf(x);
}
TRACER_INLINE double rint(double x) {
    return __builtin_rint(x);
}
TRACER_INLINE float copysign(float x, float y) {
    return __builtin_copysignf(x, y);
}
TRACER_INLINE double copysign(double x, double y) {
    return __builtin_copysign(x, y);
}

TRACER_INLINE bool signbit(float x) {
    int32_t bits;
    std::memcpy(&bits, &x, sizeof(x));
    return bits < 0;
}
TRACER_INLINE bool signbit(double x) {
    int64_t bits;
    std::memcpy(&bits, &x, sizeof(x));
    return bits < 0;
}

#define OP_FLOAT(name, arity, expression) TRACER_OPERATION(name, expression)
#define OP_FLOAT_BOOL OP_FLOAT
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_FLOAT(name, arity, expression)             \
    TRACER_ENTRY(name, arity, F32, float, F32, float) \
    TRACER_ENTRY(name, arity, F64, double, F64, double)
#define OP_FLOAT_BOOL(name, arity, expression)           \
    TRACER_ENTRY(name, arity, F32, float, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, F64, double, Bool, uint8_t)
#include "ops.def"
};

}  // namespace

extern const KernelTable<KernelEntry> FLOAT_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
