// Functions worked out element by element: rare elementary functions, divisions with remainder, integer powers.
// Built once, for the first instruction set.
#include <cmath>

#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

using std::acos;
using std::acosh;
using std::asin;
using std::asinh;
using std::atanh;
using std::cbrt;

template <class T>
constexpr bool IS_FLOAT = static_cast<T>(0.5) != T{};

template <class T>
T fmod(T a, T b) {
    if constexpr (IS_FLOAT<T>) {
        return std::fmod(a, b);
    } else if constexpr (static_cast<T>(-1) < T{}) {
        return b == 0 || b == -1 ? T{} : static_cast<T>(a % b);
    } else {
        return b == 0 ? T{} : static_cast<T>(a % b);
    }
}

// Remainder with the sign of the divisor; a zero takes that sign too.
template <class T>
T remainder(T a, T b) {
    const T rest = fmod(a, b);
    if constexpr (IS_FLOAT<T>) {
        if (b == 0) {
            return rest;
        }
        if (rest == 0) {
            return std::copysign(T{}, b);
        }
    }
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
}

template <class T>
T floor_divide(T a, T b) {
    if constexpr (IS_FLOAT<T>) {
        if (b == 0) {
            return a / b;
        }
        // a - rest is a multiple of b up to rounding, so the quotient is the nearest integer.
        const T rest = std::fmod(a, b);
        T quotient = (a - rest) / b;
        if (rest != 0 && (rest < 0) != (b < 0)) {
            quotient -= 1;
        }
        if (quotient == 0) {
            return std::copysign(T{}, a / b);
        }
        const T whole = std::floor(quotient);
        return quotient - whole > T(0.5) ? whole + 1 : whole;
    } else {
        if (b == 0) {
            return T{};
        }
        if constexpr (static_cast<T>(-1) < T{}) {
            if (b == -1) {
                return static_cast<T>(-a);
            }
        }
        const T quotient = static_cast<T>(a / b);
        return (a % b != 0) && ((a < 0) != (b < 0)) ? static_cast<T>(quotient - 1) : quotient;
    }
}

// A negative exponent, an error in NumPy, gives the truncated inverse.
template <class T>
T power(T base, T exponent) {
    if (exponent < 0) {
        const T unit = base == 1 ? 1 : static_cast<T>(base + 1) == 0 ? static_cast<T>(exponent % 2 ? -1 : 1) : 0;
        return unit;
    }
    T result = 1;
    for (; exponent != 0; exponent = static_cast<T>(exponent >> 1)) {
        if (exponent & 1) {
            result = static_cast<T>(result * base);
        }
        base = static_cast<T>(base * base);
    }
    return result;
}

template <class T>
T reciprocal(T a) {
    return a == 1 ? 1 : static_cast<T>(a + 1) == 0 && static_cast<T>(-1) < T{} ? static_cast<T>(-1) : 0;
}

#define OP_LIBM(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

// The names that floats and integers share.
namespace integer {
#define OP_INTEGER_SLOW(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_INTEGER_SLOW(name, arity, expression)            \
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
}  // namespace integer

constexpr KernelEntry ENTRIES[] = {
#define OP_LIBM(name, arity, expression)              \
    TRACER_ENTRY(name, arity, F32, float, F32, float) \
    TRACER_ENTRY(name, arity, F64, double, F64, double)
#include "ops.def"
};

}  // namespace

extern const KernelTable<KernelEntry> SCALAR_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};
extern const KernelTable<KernelEntry> SCALAR_INTEGER_TABLE{integer::ENTRIES,
                                                           sizeof(integer::ENTRIES) / sizeof(integer::ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
