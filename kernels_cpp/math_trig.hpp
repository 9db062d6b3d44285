// Trigonometric functions and their inverses.
#pragma once

#include "math_exp.hpp"

namespace tracer {
namespace TRACER_ISA {

// x = n pi/2 + r + lo with |r| <= pi/4; the low two bits of `rounded` are n modulo 4.
template <class V>
struct Quadrant {
    V rounded, r, lo;
};

template <class V>
TRACER_INLINE Quadrant<V> reduce_by_half_pi(V x) {
    const auto& part = Table<V>::HALF_PI;
    const V rounded = x * splat<V>(0.6366197723675814) + Format<V>::ROUND;
    const V n = rounded - Format<V>::ROUND;
    const V first = fma(-n, splat<V>(part[0]), x);  // exact
    const V second = fma(-n, splat<V>(part[1]), first);
    if constexpr (sizeof(Scalar<V>) == 4) {
        return {rounded, fma(-n, splat<V>(part[2]), second), V{}};
    } else {
        const V lost = fma(-n, splat<V>(part[1]), first - second);
        const V rest = fma(-n, splat<V>(part[3]), fma(-n, splat<V>(part[2]), lost));
        const V r = second + rest;
        return {rounded, r, (second - r) + rest};
    }
}

// Beyond this the products n * HALF_PI[i] are no longer exact enough.
template <class V>
constexpr double REDUCTION_LIMIT = sizeof(Scalar<V>) == 8 ? 1.0e6 : 1.0e5;

// sin(r + quarter_turns pi/2).
template <class V>
TRACER_INLINE V sine_polynomial(Quadrant<V> x, int quarter_turns) {
    const Int<V> quadrant = bits_as<Int<V>>(x.rounded) + quarter_turns;
    const V z = x.r * x.r;
    const V half = splat<V>(0.5) * z;
    const V sine = x.r + (x.r * z * polynomial(z, Table<V>::SIN) + x.lo * (1 - half));
    const V cosine = 1 - (half - (z * z * polynomial(z, Table<V>::COS) - x.r * x.lo));
    const V value = select((quadrant & 1) == 0, sine, cosine);
    constexpr int TO_SIGN = static_cast<int>(sizeof(Scalar<V>) * 8 - 2);
    return flip_sign(value, bits_as<V>(bits_as<Unsigned<V>>(quadrant & 2) << TO_SIGN));
}

// Evaluates `near` and repairs the lanes beyond the reduction limit with the scalar `libm`.
template <class V, class F, class G>
TRACER_INLINE V periodic(V x, F near, G libm) {
    if constexpr (sizeof(Scalar<V>) == 4 && !HAS_FMA) {
        return in_double(x, x, [=](f64v a, f64v) __attribute__((always_inline)) { return periodic(a, near, libm); });
    } else {
        const Int<V> huge = magnitude(x) > splat<V>(REDUCTION_LIMIT<V>);
        const V result = near(reduce_by_half_pi(x));
        return __builtin_expect(any(huge), 0) ? patch_lanes(result, x, huge, libm) : result;
    }
}

template <class V>
TRACER_INLINE V sin(V x) {
    const V result = periodic(
        x, [](auto r) __attribute__((always_inline)) { return sine_polynomial(r, 0); },
        [](double a) { return __builtin_sin(a); });
    return select(x == V{}, x, result);
}

template <class V>
TRACER_INLINE V cos(V x) {
    return periodic(
        x, [](auto r) __attribute__((always_inline)) { return sine_polynomial(r, 1); },
        [](double a) { return __builtin_cos(a); });
}

template <class V>
TRACER_INLINE V tangent_polynomial(Quadrant<V> x) {
    const V z = x.r * x.r;
    const V slope = 1 + z * (1 + z * splat<V>(2.0 / 3));
    const V tangent = x.r + (x.r * z * polynomial(z, Table<V>::TAN) + x.lo * slope);
    return select((bits_as<Int<V>>(x.rounded) & 1) == 0, tangent, -1 / tangent);
}

template <class V>
TRACER_INLINE V tan(V x) {
    const V result = periodic(
        x, [](auto r) __attribute__((always_inline)) { return tangent_polynomial(r); },
        [](double a) { return __builtin_tan(a); });
    return select(x == V{}, x, result);
}

// The angle of the point (x, y), both >= 0, in [0, pi/2].
template <class V>
TRACER_INLINE V first_quadrant_angle(V y, V x) {
    const Int<V> steep = y > x;
    V low = select(steep, x, y);
    V high = select(steep, y, x);
    // Turns by pi/4 only where the result is then above 1/2, so that the rounding of t weighs little.
    const Int<V> turned = low > high * splat<V>(0.6);
    const V t = select(turned, low - high, low) / select(turned, low + high, high);
    const V z = t * t;
    const V angle = t + t * z * polynomial(z, Table<V>::ARCTAN);
    // pi/4 and pi/2 as hi + lo of the format.
    const bool wide = sizeof(Scalar<V>) == 8;
    const V quarter_lo = splat<V>(wide ? 3.061616997868383e-17 : -2.1855695e-08);
    const V from_axis = select(turned, (angle + quarter_lo) + splat<V>(0.7853981633974483), angle);
    const V half_lo = splat<V>(wide ? 6.123233995736766e-17 : -4.371139e-08);
    const V complement_turned = splat<V>(0.7853981633974483) - (angle - quarter_lo);
    const V complement = splat<V>(1.5707963267948966) - (angle - half_lo);
    return select(steep, select(turned, complement_turned, complement), from_axis);
}

template <class V>
TRACER_INLINE V arctan(V x) {
    const V size = magnitude(x);
    const V finite = select(size > splat<V>(1e30), splat<V>(1e30), size);
    return with_sign(first_quadrant_angle(finite, splat<V>(1)), sign_of(x));
}

template <class V>
TRACER_INLINE V arctan2(V y, V x) {
    V up = magnitude(y);
    V right = magnitude(x);
    const Int<V> both_infinite = is_infinite(up) & is_infinite(right);
    const Int<V> origin = (up == V{}) & (right == V{});
    up = select(both_infinite, splat<V>(1), up);
    right = select(both_infinite | origin, splat<V>(1), right);
    // Keeps sums of the two finite, and precise among the subnormals.
    const bool wide = sizeof(Scalar<V>) == 8;
    const V longest = larger(up, right);
    const V shrink = select(longest > splat<V>(wide ? 1e300 : 1e38), splat<V>(0.25), splat<V>(1));
    const V factor = select(longest < splat<V>(wide ? 1e-280 : 1e-30), splat<V>(wide ? 0x1p60 : 0x1p30), shrink);
    const V angle = first_quadrant_angle(up * factor, right * factor);
    const V pi_lo = splat<V>(wide ? 1.2246467991473532e-16 : -8.742278e-08);
    const Int<V> left = bits_as<Int<V>>(x) < 0;
    const V result = select(left, splat<V>(3.141592653589793) - (angle - pi_lo), angle);
    return with_sign(select((x == x) & (y == y), result, x + y), select(y == y, sign_of(y), V{}));
}

}  // namespace TRACER_ISA
}  // namespace tracer
