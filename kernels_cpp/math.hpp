// Every vectorised elementary function; this file adds power, hypot and the error function.
#pragma once

#include "math_exp.hpp"
#include "math_trig.hpp"

namespace tracer {
namespace TRACER_ISA {

// log2(x) of a positive normal x to about 64 bits.
TRACER_INLINE Pair<f64v> log2_pair(f64v x, f64v shift) {
    const Split<f64v> parts = split(x);
    // s = f / (2 + f) as hi + lo, then arctanh(s) = s + s (z / 3 + z^2 tail), all doubled by the base change below.
    const f64v denominator = parts.f + 2;
    const f64v denominator_lo = parts.f - (denominator - 2);
    const f64v inverse = 1 / denominator;
    const f64v s = parts.f * inverse;
    const Pair<f64v> back = two_product(s, denominator);
    const f64v s_lo = (((parts.f - back.hi) - back.lo) - s * denominator_lo) * inverse;
    const Pair<f64v> z = two_product(s, s);
    const f64v z_lo = z.lo + 2 * s * s_lo;
    constexpr double THIRD = 1.0 / 3, THIRD_LO = 1.850371707708594e-17;
    const Pair<f64v> third = two_product(z.hi, splat<f64v>(THIRD));
    const f64v tail = z.hi * z.hi * polynomial(z.hi, Table<f64v>::ARCTANH_TAIL);
    const Pair<f64v> q = quick_two_sum(third.hi, tail + (third.lo + z.hi * THIRD_LO + z_lo * THIRD));
    const Pair<f64v> sq = two_product(s, q.hi);
    const Pair<f64v> arctanh = quick_two_sum(s, sq.hi);
    const f64v arctanh_lo = arctanh.lo + (sq.lo + s * q.lo + s_lo * q.hi + s_lo);
    constexpr double BASE = 2.8853900817779268, BASE_LO = 4.0710547481862066e-17;  // 2 / ln(2)
    const Pair<f64v> fraction = two_product(arctanh.hi, splat<f64v>(BASE));
    const f64v fraction_lo = fraction.lo + (arctanh.hi * BASE_LO + arctanh_lo * BASE);
    const Pair<f64v> sum = quick_two_sum(parts.k + shift, fraction.hi);
    return {sum.hi, sum.lo + fraction_lo};
}

// x^y for x > 0 normal after 2^shift is taken out; any y that is not NaN.
TRACER_INLINE f64v power_positive(f64v x, f64v shift, f64v y) {
    const Pair<f64v> log = log2_pair(x, shift);
    const f64v bounded = clamp(y, -0x1p66, 0x1p66);  // already certain to overflow, or x is 1
    const Pair<f64v> product = two_product(bounded, log.hi);
    const f64v exponent = clamp(product.hi, -1100.0, 1100.0);
    const f64v exponent_lo = select(exponent == product.hi, product.lo + bounded * log.lo, f64v{});
    const f64v rounded = exponent + Format<f64v>::ROUND;
    const f64v rest = (exponent - (rounded - Format<f64v>::ROUND)) + exponent_lo;
    return scale(1 + expm1_polynomial(rest * 0.6931471805599453), rounded);
}

// A result for the arguments that power_positive does not know: x not a positive finite number, or y not finite.
TRACER_INLINE f64v power_special(f64v size_power, f64v x, f64v y) {
    constexpr double INTEGER = 0x1p53;  // all numbers from here on are even integers
    const f64v size = magnitude(x), y_size = magnitude(y);
    const f64v bounded = select(y_size < INTEGER, y_size, f64v{});
    const f64v round_up = 0x1p52 - f64v{};
    const f64v nearest = select(bounded < 0x1p52, (bounded + round_up) - round_up, bounded);
    const i64v whole = nearest == bounded;
    const f64v half = nearest * 0.5;
    const f64v half_nearest = select(half < 0x1p52, (half + round_up) - round_up, half);
    const i64v odd = whole & (half_nearest != half);
    const f64v growth = select(y < 0.0, f64v{} - 1, splat<f64v>(1));
    const f64v at_zero = select(growth > 0.0, f64v{}, splat<f64v>(INFINITE<f64v>));
    const f64v at_infinity = select(growth > 0.0, splat<f64v>(INFINITE<f64v>), f64v{});
    f64v result = select(size == 0.0, at_zero, size_power);
    result = select(is_infinite(x), at_infinity, result);
    result = select(is_infinite(y), select(size > 1.0, at_infinity, at_zero), result);
    result = select(is_infinite(y) & (size == 1.0), splat<f64v>(1), result);
    result = select((x < 0.0) & ~whole & is_finite(x), splat<f64v>(NOT_A_NUMBER<f64v>), result);
    result = flip_sign(result, select(odd, sign_of(x), f64v{}));
    result = select((x == x) & (y == y), result, x + y);
    return select((x == 1.0) | (y == 0.0), splat<f64v>(1), result);
}

TRACER_INLINE f64v power(f64v x, f64v y) {
    const i64v ordinary = (x >= Format<f64v>::SMALLEST_NORMAL) & is_finite(x) & is_finite(y);
    if (__builtin_expect(!any(~ordinary), 1)) {
        return power_positive(x, f64v{}, y);
    }
    const f64v size = magnitude(x);
    const i64v subnormal = size < Format<f64v>::SMALLEST_NORMAL;
    const f64v normal = select(subnormal, size * 0x1p54, size);
    const f64v result = power_positive(normal, select(subnormal, splat<f64v>(-54), f64v{}), y);
    return power_special(result, x, y);
}

// Power of float32 numbers, which as float64 are never subnormal; 32 good bits are plenty.
TRACER_INLINE f64v power_short(f64v x, f64v y) {
    using K = Table<f64v>;
    const Split<f64v> parts = split(magnitude(x));
    const f64v s = parts.f / (2 + parts.f);
    const f64v z = s * s;
    const f64v log = parts.k + 1.4426950408889634 * (s * 2 + s * z * polynomial(z, K::LOG_SHORT));
    const f64v exponent = clamp(clamp(y, -0x1p40, 0x1p40) * log, -400.0, 400.0);
    const f64v rounded = exponent + Format<f64v>::ROUND;
    const f64v r = (exponent - (rounded - Format<f64v>::ROUND)) * 0.6931471805599453;
    return (1 + (r + r * r * polynomial(r, K::EXP_SHORT))) * power_of_two(rounded);
}

TRACER_INLINE f32v power(f32v x, f32v y) {
    const f32v result =
        in_double(x, y, [](f64v a, f64v b) __attribute__((always_inline)) { return power_short(a, b); });
    const i32v ordinary = (x > 0.0f) & is_finite(x) & is_finite(y);
    if (__builtin_expect(!any(~ordinary), 1)) {
        return result;
    }
    return in_double(
        x, y, [](f64v a, f64v b) __attribute__((always_inline)) { return power_special(power_short(a, b), a, b); });
}

TRACER_INLINE f32v hypot(f32v a, f32v b) {
    return in_double(a, b, [](f64v x, f64v y) __attribute__((always_inline)) {
        const f64v result = sqrt(x * x + y * y);
        return select(is_infinite(x) | is_infinite(y), splat<f64v>(INFINITE<f64v>), result);
    });
}

TRACER_INLINE f64v hypot(f64v a, f64v b) {
    const f64v long_side = larger(magnitude(a), magnitude(b));
    const f64v factor = select(long_side > 0x1p500, splat<f64v>(0x1p-600),
                               select(long_side < 0x1p-450, splat<f64v>(0x1p600), splat<f64v>(1)));
    const f64v inverse = select(long_side > 0x1p500, splat<f64v>(0x1p600),
                                select(long_side < 0x1p-450, splat<f64v>(0x1p-600), splat<f64v>(1)));
    const f64v x = a * factor, y = b * factor;
    const f64v result = sqrt(x * x + y * y) * inverse;
    return select(is_infinite(a) | is_infinite(b), splat<f64v>(INFINITE<f64v>), result);
}

template <class V>
TRACER_INLINE V erf(V x) {
    // The fit of the complement ends at 6 (4), where the result has rounded to 1.
    const V size = magnitude(x);
    const V z = x * x;
    const V near_zero = fma(size, polynomial(z, Table<V>::ERF), size);
    const V bounded = clamp(size, 1.0, sizeof(Scalar<V>) == 8 ? 6.0 : 4.0);
    const V complement = exp_normal(-bounded * bounded) * polynomial(bounded - 2, Table<V>::ERFC);
    return with_sign(select(size < splat<V>(1), near_zero, 1 - complement), sign_of(x));
}

}  // namespace TRACER_ISA
}  // namespace tracer
