// Exponentials, logarithms and hyperbolic functions, written once for every float type and instruction set.
#pragma once

#include "coefficients.hpp"
#include "vec.hpp"

namespace tracer {
namespace TRACER_ISA {

template <class V>
constexpr Scalar<V> INFINITE = static_cast<Scalar<V>>(__builtin_inf());
template <class V>
constexpr Scalar<V> NOT_A_NUMBER = static_cast<Scalar<V>>(__builtin_nan(""));

template <class V>
TRACER_INLINE Int<V> is_infinite(V x) {
    return magnitude(x) == INFINITE<V>;
}

template <class V>
TRACER_INLINE Int<V> is_finite(V x) {
    return magnitude(x) < INFINITE<V>;
}

// Lets NaN through.
template <class V>
TRACER_INLINE V clamp(V x, double low, double high) {
    x = select(x > splat<V>(high), splat<V>(high), x);
    return select(x < splat<V>(low), splat<V>(low), x);
}

template <class V>
TRACER_INLINE V larger(V a, V b) {
    return select(a > b, a, b);
}

// x = n ln(2) + r; n is kept as the float `rounded` = n + Format::ROUND, whose low bits are n.
template <class V>
struct Reduced {
    V rounded, r;
    TRACER_INLINE V n() const { return rounded - Format<V>::ROUND; }
};

template <class V>
TRACER_INLINE Reduced<V> reduce_by_ln2(V x) {
    using K = Table<V>;
    const V rounded = x * splat<V>(1.4426950408889634) + Format<V>::ROUND;
    const V n = rounded - Format<V>::ROUND;
    return {rounded, (x - n * K::LN2_HI) - n * K::LN2_LO};
}

template <class V>
TRACER_INLINE Reduced<V> reduce_by_one(V x) {
    const V rounded = x + Format<V>::ROUND;
    return {rounded, (x - (rounded - Format<V>::ROUND)) * splat<V>(0.6931471805599453)};
}

// exp(r) - 1 for |r| <= ln(2) / 2.
template <class V>
TRACER_INLINE V expm1_polynomial(V r) {
    return r + r * r * polynomial(r, Table<V>::EXP);
}

// 2^n for normal results only.
template <class V>
TRACER_INLINE V power_of_two(V rounded) {
    using F = Format<V>;
    const Unsigned<V> biased = bits_as<Unsigned<V>>(rounded) + static_cast<typename F::Bits>(F::BIAS);
    return bits_as<V>(biased << F::MANTISSA);
}

// p 2^n with one rounding, into the subnormals and to infinity; p in [1/4, 4], |n| < 2 BIAS.
template <class V>
TRACER_INLINE V scale(V p, V rounded) {
#if defined(__AVX512F__)
    if constexpr (sizeof(Scalar<V>) == 8) {
        return (V)_mm512_scalef_pd((__m512d)p, (__m512d)(rounded - Format<V>::ROUND));
    } else {
        return (V)_mm512_scalef_ps((__m512)p, (__m512)(rounded - Format<V>::ROUND));
    }
#else
    // In two factors, because 2^n itself may be out of range.
    using F = Format<V>;
    using Bits = typename F::Bits;
    const Unsigned<V> n = bits_as<Unsigned<V>>(rounded) - static_cast<Bits>(F::ROUND_BITS - 4 * F::BIAS - 4);
    const Unsigned<V> half = n >> 1;
    const Unsigned<V> first = (half - static_cast<Bits>(F::BIAS + 2)) << F::MANTISSA;
    const Unsigned<V> second = (n - half - static_cast<Bits>(F::BIAS + 2)) << F::MANTISSA;
    return p * bits_as<V>(first) * bits_as<V>(second);
#endif
}

// Beyond these bounds the exponential is infinite or zero.
template <class V>
constexpr double EXP_HIGH = sizeof(Scalar<V>) == 8 ? 710.0 : 89.0;
template <class V>
constexpr double EXP_LOW = sizeof(Scalar<V>) == 8 ? -746.0 : -104.0;

template <class V>
TRACER_INLINE V exp(V x) {
    const Reduced<V> e = reduce_by_ln2(clamp(x, EXP_LOW<V>, EXP_HIGH<V>));
    return scale(splat<V>(1) + expm1_polynomial(e.r), e.rounded);
}

// exp where the caller knows that the result is normal.
template <class V>
TRACER_INLINE V exp_normal(V x) {
    const Reduced<V> e = reduce_by_ln2(x);
    return (splat<V>(1) + expm1_polynomial(e.r)) * power_of_two(e.rounded);
}

template <class V>
TRACER_INLINE V exp2(V x) {
    const bool wide = sizeof(Scalar<V>) == 8;
    const Reduced<V> e = reduce_by_one(clamp(x, wide ? -1080 : -160, wide ? 1030 : 130));
    return scale(splat<V>(1) + expm1_polynomial(e.r), e.rounded);
}

template <class V>
TRACER_INLINE V expm1(V x) {
    using K = Table<V>;
    // Below -60 the result is -1 and 2^-n would overflow further down.
    const V bounded = clamp(x, -60.0, EXP_HIGH<V>);
    const Reduced<V> e = reduce_by_ln2(bounded);
    const V n = e.n();
    const V inverse = power_of_two(Format<V>::ROUND - select(n < splat<V>(100), n, splat<V>(100)));
    // Near n = 1 the two leading terms cancel, so what rounding took from r is put back.
    const V lost = ((bounded - n * K::LN2_HI) - e.r) - n * K::LN2_LO;
    const V leading = (1 - inverse) + e.r;
    const V result = scale(leading + (e.r * e.r * polynomial(e.r, K::EXP) + lost), e.rounded);
    return with_sign(result, select(x == x, sign_of(x), V{}));
}

// A positive normal x = 2^k (1 + f) with sqrt(1/2) <= 1 + f <= sqrt(2).
template <class V>
struct Split {
    V k, f;
};

template <class V>
TRACER_INLINE Split<V> split(V x) {
    using F = Format<V>;
    using Bits = typename F::Bits;
    constexpr Bits ONE = static_cast<Bits>(F::BIAS) << F::MANTISSA;
    constexpr Bits SQRT_HALF = sizeof(Bits) == 8 ? static_cast<Bits>(0x3FE6A09E667F3BCDull) : 0x3F3504F3u;
    constexpr Bits FRACTION = (Bits{1} << F::MANTISSA) - 1;
    const Unsigned<V> shifted = bits_as<Unsigned<V>>(x) + (ONE - SQRT_HALF);
    const V mantissa = bits_as<V>((shifted & FRACTION) + SQRT_HALF);
    const V exponent = bits_as<V>((shifted >> F::MANTISSA) | static_cast<Bits>(F::ROUND_BITS));
    return {exponent - static_cast<Scalar<V>>(F::ROUND + F::BIAS), mantissa - 1};
}

// log(1 + f) - f + f^2 / 2.
template <class V>
TRACER_INLINE V log_tail(V f) {
    if constexpr (sizeof(Scalar<V>) == 8) {
        const V s = f / (2 + f);
        const V z = s * s;
        return s * (splat<V>(0.5) * f * f + z * polynomial(z, Table<V>::LOG));
    } else {
        return f * f * f * polynomial(f, Table<V>::LOG_CUBIC);
    }
}

// k ln(2) + log(1 + f) + correction.
template <class V>
TRACER_INLINE V log_join(Split<V> x, V correction) {
    using K = Table<V>;
    const V half_square = splat<V>(0.5) * x.f * x.f;
    const V small = log_tail(x.f) + (x.k * K::LN2_LO + correction);
    return x.k * K::LN2_HI - ((half_square - small) - x.f);
}

// Runs `normal` on a positive normal argument and a shift of the exponent, and puts in the special results of a
// logarithm.
template <class V, class F>
TRACER_INLINE V log_with_specials(V x, F normal) {
    const V smallest = splat<V>(Format<V>::SMALLEST_NORMAL);
    const Int<V> ordinary = (x >= smallest) & is_finite(x);
    if (__builtin_expect(!any(~ordinary), 1)) {
        return normal(x, V{});
    }
    constexpr double SHIFT = Format<V>::MANTISSA + 2;
    constexpr double FACTOR = static_cast<double>(int64_t{1} << (Format<V>::MANTISSA + 2));
    const Int<V> subnormal = x < smallest;
    V result = normal(select(subnormal, x * splat<V>(FACTOR), x), select(subnormal, splat<V>(-SHIFT), V{}));
    result = select(x == INFINITE<V>, x, result);
    result = select(x == V{}, splat<V>(-INFINITE<V>), result);
    return select(x >= V{}, result, splat<V>(NOT_A_NUMBER<V>));
}

template <class V>
TRACER_INLINE V log(V x) {
    return log_with_specials(x, [](V normal, V shift) __attribute__((always_inline)) {
        Split<V> parts = split(normal);
        parts.k += shift;
        return log_join(parts, V{});
    });
}

// (log(1 + f) as hi + lo) times (c_hi + c_lo), plus the exact k_hi and the small k_lo. The halves hold so few bits
// that hi * c_hi is exact.
template <class V>
TRACER_INLINE V log_in_base(V f, double c_hi, double c_lo, V k_hi, V k_lo) {
    using Bits = typename Format<V>::Bits;
    constexpr Bits TOP = sizeof(Bits) == 8 ? static_cast<Bits>(0xFFFFFFFF00000000ull) : 0xFFFFF000u;
    const V half_square = splat<V>(0.5) * f * f;
    const V hi = bits_as<V>(bits_as<Unsigned<V>>(f - half_square) & TOP);
    const V lo = ((f - hi) - half_square) + log_tail(f);
    const V product = hi * splat<V>(c_hi);
    const V small = (lo + hi) * splat<V>(c_lo) + lo * splat<V>(c_hi) + k_lo;
    const V sum = k_hi + product;
    return (small + ((k_hi - sum) + product)) + sum;
}

template <class V>
TRACER_INLINE V log2(V x) {
    return log_with_specials(x, [](V normal, V shift) __attribute__((always_inline)) {
        using K = Table<V>;
        const Split<V> parts = split(normal);
        return log_in_base(parts.f, K::LOG2E_HI, K::LOG2E_LO, parts.k + shift, V{});
    });
}

template <class V>
TRACER_INLINE V log10(V x) {
    return log_with_specials(x, [](V normal, V shift) __attribute__((always_inline)) {
        using K = Table<V>;
        const Split<V> parts = split(normal);
        const V k = parts.k + shift;
        return log_in_base(parts.f, K::LOG10E_HI, K::LOG10E_LO, k * K::LOG10_2_HI, k * K::LOG10_2_LO);
    });
}

// 1 + x = 2^k (1 + f) (1 + lost) for finite x > -1; `lost` is what rounding 1 + x took away.
template <class V>
struct SplitSum {
    Split<V> parts;
    V lost;
};

template <class V>
TRACER_INLINE SplitSum<V> split_one_plus(V x) {
    const V u = 1 + x;
    const Int<V> small = (x > splat<V>(-0.2928932)) & (x < splat<V>(0.4142135));
    const V lost = select(x < splat<V>(1), x - (u - 1), 1 - (u - x)) / u;
    const Split<V> parts = split(u);
    return {{select(small, V{}, parts.k), select(small, x, parts.f)}, select(small, V{}, lost)};
}

// log(1 + x) for finite x > -1, without the sign of a zero.
template <class V>
TRACER_INLINE V log1p_finite(V x) {
    const SplitSum<V> sum = split_one_plus(x);
    return log_join(sum.parts, sum.lost);
}

template <class V>
TRACER_INLINE V log1p(V x) {
    const V result = with_sign(log1p_finite(x), sign_of(x));
    const Int<V> ordinary = (x > splat<V>(-1)) & is_finite(x);
    if (__builtin_expect(!any(~ordinary), 1)) {
        return result;
    }
    const V special =
        select(x == splat<V>(-1), splat<V>(-INFINITE<V>), select(x == INFINITE<V>, x, splat<V>(NOT_A_NUMBER<V>)));
    return select(ordinary, result, special);
}

template <class V>
TRACER_INLINE V logaddexp(V a, V b) {
    const V sum = larger(a, b) + log1p_finite(exp(-magnitude(a - b)));
    const V equal = a + splat<V>(0.6931471805599453);
    return select(a == b, equal, select((a == a) & (b == b), sum, a + b));
}

template <class V>
TRACER_INLINE V logaddexp2(V a, V b) {
    using K = Table<V>;
    const SplitSum<V> parts = split_one_plus(exp2(-magnitude(a - b)));
    const V lost = parts.lost * K::LOG2E_HI;
    const V sum = larger(a, b) + log_in_base(parts.parts.f, K::LOG2E_HI, K::LOG2E_LO, parts.parts.k, lost);
    return select(a == b, a + 1, select((a == a) & (b == b), sum, a + b));
}

template <class V>
TRACER_INLINE V softplus(V x) {
    return larger(x, V{}) + log1p_finite(exp(-magnitude(x)));
}

template <class V>
TRACER_INLINE V sigmoid(V x) {
    // Of sigmoid(-|x|) = e - e q and sigmoid(|x|) = 1 - q; unlike e / (1 + e), the first rounds once for small e.
    const V e = exp(-magnitude(x));
    const V q = e / (1 + e);
    const V leading = select(x < V{}, e, splat<V>(1));
    return leading - leading * q;
}

template <class V>
TRACER_INLINE V tanh(V x) {
    // Beyond 22 (10) the result rounds to 1.
    const V size = magnitude(x);
    const Int<V> small = size < splat<V>(0.625);
    const V z = x * x;
    const V near_zero = size + size * z * polynomial(z, Table<V>::TANH);
    const V far = 1 - 2 / (exp_normal(clamp(size + size, 0, 60)) + 1);
    return with_sign(select(small, near_zero, far), sign_of(x));
}

// exp(|x|) / 2 without overflow before the result overflows.
template <class V>
TRACER_INLINE V half_exp(V size) {
    const Reduced<V> e = reduce_by_ln2(clamp(size, 0, EXP_HIGH<V> + 1));
    return scale(splat<V>(1) + expm1_polynomial(e.r), e.rounded - 1);
}

template <class V>
TRACER_INLINE V sinh(V x) {
    const V size = magnitude(x);
    const V z = x * x;
    const V near_zero = size + size * z * polynomial(z, Table<V>::SINH);
    const V e = half_exp(size);
    const V far = e - splat<V>(0.25) / e;
    return with_sign(select(size < splat<V>(1), near_zero, far), sign_of(x));
}

template <class V>
TRACER_INLINE V cosh(V x) {
    const V e = half_exp(magnitude(x));
    return e + splat<V>(0.25) / e;
}

}  // namespace TRACER_ISA
}  // namespace tracer
