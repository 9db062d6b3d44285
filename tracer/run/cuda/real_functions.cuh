// Functions of integers and of floats as NumPy defines them. Read with preamble.cuh.
//@ integers
namespace integers {

//@ integers::left_shift integers::right_shift
// Shifts by a negative amount, or by as many bits as there are, shift everything out.
template <class T>
DEVICE T left_shift(T a, T b) {
    return b >= 0 && b < static_cast<T>(8 * sizeof(T)) ? static_cast<T>(static_cast<Wide<T>>(a) << b) : T{};
}
template <class T>
DEVICE T right_shift(T a, T b) {
    return b >= 0 && b < static_cast<T>(8 * sizeof(T)) ? static_cast<T>(a >> b) : static_cast<T>(a < 0 ? -1 : 0);
}

//@ integers::fmod integers::remainder
template <class T>
DEVICE T fmod(T a, T b) {
    return b == 0 || (IS_SIGNED<T> && b == static_cast<T>(-1)) ? T{} : static_cast<T>(a % b);
}

//@ integers::remainder
template <class T>
DEVICE T remainder(T a, T b) {
    const T rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
}

//@ integers::floor_divide
template <class T>
DEVICE T floor_divide(T a, T b) {
    if (b == 0) {
        return T{};
    }
    if (IS_SIGNED<T> && b == static_cast<T>(-1)) {
        return static_cast<T>(Wide<T>{} - static_cast<Wide<T>>(a));
    }
    const T quotient = static_cast<T>(a / b);
    return a % b != 0 && (a < 0) != (b < 0) ? static_cast<T>(quotient - 1) : quotient;
}

//@ integers::power
template <class T>
DEVICE T power(T base, T exponent) {
    if (exponent < 0) {
        return base == 1 ? T{1} : base == static_cast<T>(-1) ? static_cast<T>(exponent % 2 ? -1 : 1) : T{};
    }
    Wide<T> result = 1, factor = static_cast<Wide<T>>(base);
    for (; exponent != 0; exponent = static_cast<T>(exponent >> 1)) {
        if (exponent & 1) {
            result *= factor;
        }
        factor *= factor;
    }
    return static_cast<T>(result);
}

//@ integers::reciprocal
template <class T>
DEVICE T reciprocal(T a) {
    return a == 1 ? T{1} : IS_SIGNED<T> && a == static_cast<T>(-1) ? static_cast<T>(-1) : T{};
}

//@ integers
}  // namespace integers

//@ floats
namespace floats {

//@ floats::remainder
// With the sign of the divisor; a zero takes that sign too.
template <class T>
DEVICE T remainder(T a, T b) {
    const T rest = ::fmod(a, b);
    if (b == 0) {
        return rest;
    }
    if (rest == 0) {
        return ::copysign(T{}, b);
    }
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

//@ floats::floor_divide
template <class T>
DEVICE T floor_divide(T a, T b) {
    if (b == 0) {
        return a / b;
    }
    const T rest = ::fmod(a, b);
    T quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient -= 1;
    }
    if (quotient == 0) {
        return ::copysign(T{}, a / b);
    }
    const T whole = ::floor(quotient);
    return quotient - whole > T(0.5) ? whole + 1 : whole;
}

//@ floats::power
template <class T>
DEVICE T power(T a, T b) {
    return ::pow(a, b);
}

//@ floats::arctan
template <class T>
DEVICE T arctan(T a) {
    return ::atan(a);
}

//@ floats::arctan2
template <class T>
DEVICE T arctan2(T a, T b) {
    return ::atan2(a, b);
}

//@ floats::sigmoid
// The exponential is never of a positive number, so that nothing overflows.
template <class T>
DEVICE T sigmoid(T a) {
    const T small = ::exp(-::fabs(a));
    return (a >= 0 ? T(1) : a < 0 ? small : a) / (1 + small);
}

//@ floats::softplus
template <class T>
DEVICE T softplus(T a) {
    return (a > 0 ? a : a != a ? a : T(0)) + ::log1p(::exp(-::fabs(a)));
}

//@ floats::logaddexp floats::logaddexp2
// Equal infinities have no difference.
template <class T>
DEVICE T logaddexp(T a, T b) {
    if (a == b) {
        return a + T(0.693147180559945309417232121458176568);
    }
    return a > b ? a + ::log1p(::exp(b - a)) : a < b ? b + ::log1p(::exp(a - b)) : a + b;
}
template <class T>
DEVICE T logaddexp2(T a, T b) {
    constexpr T LOG2E = T(1.442695040888963407359924681001892137);
    if (a == b) {
        return a + 1;
    }
    return a > b ? a + LOG2E * ::log1p(::exp2(b - a)) : a < b ? b + LOG2E * ::log1p(::exp2(a - b)) : a + b;
}

//@ floats
}  // namespace floats
