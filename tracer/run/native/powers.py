"""Powers and hypotenuses: the formulas of `kernels_cpp/math.hpp`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracer.run.native.branches import call_branching
from tracer.run.native.exponentials import (
    LN2,
    LOG2_E,
    Split,
    expm1_polynomial,
    format_of,
    polynomial,
    power_of_two,
    scale,
    split,
)
from tracer.run.native.real import Real

_WIDE = np.dtype("f8")


class _Pair:
    """A value as an unevaluated sum."""

    def __init__(self, hi: Real, lo: Real) -> None:
        self.hi, self.lo = hi.rounded(), lo.rounded()


def _quick_two_sum(a: Real, b: Real) -> _Pair:
    """Exact sum, for ``|a| >= |b|`` or a = 0."""
    total = a + b
    return _Pair(total, b - (total - a))


def _two_product(a: Real, b: Real | float) -> _Pair:
    """Exact product."""
    product = (a * b).rounded()
    return _Pair(product, a.fused(b, -product))


def _log2_pair(parts: Split) -> _Pair:
    """The logarithm to base 2 of a positive normal number, to about 64 bits."""
    # s = f / (2 + f) as hi + lo, then arctanh(s) = s + s (z / 3 + z^2 tail), all doubled by the base change below.
    f = parts.f
    denominator = f + 2
    denominator_lo = f - (denominator - 2)
    inverse = 1 / denominator
    s = (f * inverse).rounded()
    back = _two_product(s, denominator)
    s_lo = ((((f - back.hi) - back.lo) - s * denominator_lo) * inverse).rounded()
    z = _two_product(s, s)
    z_lo = z.lo + 2 * s * s_lo
    third, third_lo = 1.0 / 3, 1.850371707708594e-17
    thirds = _two_product(z.hi, third)
    tail = z.hi * z.hi * polynomial(z.hi, "ARCTANH_TAIL")
    q = _quick_two_sum(thirds.hi, tail + (thirds.lo + z.hi * third_lo + z_lo * third))
    sq = _two_product(s, q.hi)
    arctanh = _quick_two_sum(s, sq.hi)
    arctanh_lo = arctanh.lo + (sq.lo + s * q.lo + s_lo * q.hi + s_lo)
    base, base_lo = 2.8853900817779268, 4.0710547481862066e-17  # 2 / ln(2)
    fraction = _two_product(arctanh.hi, base)
    fraction_lo = fraction.lo + (arctanh.hi * base_lo + arctanh_lo * base)
    total = _quick_two_sum(parts.k, fraction.hi)
    return _Pair(total.hi, total.lo + fraction_lo)


def _power_positive(parts: Split, y: Real) -> Real:
    """Power of a positive normal number; any y that is not NaN."""
    log = _log2_pair(parts)
    bounded = y.clamp(-(2.0**66), 2.0**66)  # already certain to overflow, or x is 1
    product = _two_product(bounded, log.hi)
    exponent = product.hi.clamp(-1100.0, 1100.0)
    exponent_lo = (product.lo + bounded * log.lo).where(exponent.is_("eq", product.hi), 0.0)
    rounded = exponent + format_of(y).round
    rest = (exponent - (rounded - format_of(y).round)) + exponent_lo
    return scale(1 + expm1_polynomial((rest * LN2).rounded()), rounded).rounded()


def _power_short(x: Real, y: Real) -> Real:
    """Power of float32 numbers, which as float64 are never subnormal; 32 good bits are plenty."""
    parts = split(x.magnitude())
    s = parts.f / (2 + parts.f)
    z = (s * s).rounded()
    log = parts.k + LOG2_E * ((s + s) + s * z * polynomial(z, "LOG_SHORT"))
    exponent = (y.clamp(-(2.0**40), 2.0**40) * log).rounded().clamp(-400.0, 400.0)
    rounded = exponent + format_of(y).round
    r = ((exponent - (rounded - format_of(y).round)) * LN2).rounded()
    return ((1 + (r + r * r * polynomial(r, "EXP_SHORT"))) * power_of_two(rounded)).rounded()


def _nearest(x: Real) -> Real:
    """The nearest integer of a number >= 0 below 2^53."""
    return ((x + 2.0**52) - 2.0**52).where(x.is_("lt", 2.0**52), x)


def _power_special(size_power: Real, x: Real, y: Real) -> Real:
    """A power for all operands, from that of ``|x|``, which is right where both are finite and not zero."""
    both, either = x.code.both, x.code.either
    size, y_size, infinity, one = x.magnitude(), y.magnitude(), x.constant(float("inf")), x.constant(1.0)
    bounded = y_size.where(y_size.is_("lt", 2.0**53), 0.0)  # all numbers from there on are even integers
    nearest = _nearest(bounded)
    half = (nearest * 0.5).rounded()
    odd = both(nearest.is_("eq", bounded), _nearest(half).is_("ne", half))
    shrinks, endless = y.is_("lt", 0.0), y.is_infinite()
    at_zero, at_infinity = infinity.where(shrinks, 0.0), x.constant(0.0).where(shrinks, infinity)
    result = at_zero.where(size.is_("eq", 0.0), size_power)
    result = at_infinity.where(x.is_infinite(), result)
    result = at_infinity.where(size.is_("gt", 1.0), at_zero).where(endless, result)
    result = one.where(both(endless, size.is_("eq", 1.0)), result)
    undefined = both(both(x.is_("lt", 0.0), nearest.is_("ne", bounded)), x.is_finite())
    result = x.constant(float("nan")).where(undefined, result)
    sign = x.bits() & (1 << (8 * x.dtype.itemsize - 1))
    result = (result.bits() ^ sign).number().where(odd, result)
    result = result.where(both(x.is_("eq", x), y.is_("eq", y)), x + y)
    return one.where(either(x.is_("eq", 1.0), y.is_("eq", 0.0)), result)


def _power_of_any(x: Real, y: Real) -> Real:
    size = x.magnitude()
    subnormal = size.is_("lt", format_of(x).smallest_normal)
    normal = (size * 2.0**54).where(subnormal, size)
    parts = split(normal, x.constant(-54.0).where(subnormal, 0.0))
    return _power_special(_power_positive(parts, y), x, y)


def power(x: Real, y: Real) -> Real:
    """A power."""

    def in_float64(formula: Callable[[Real, Real], Real]) -> Callable[[Real, Real], Real]:
        return lambda x, y: formula(x.as_dtype(_WIDE), y.as_dtype(_WIDE)).as_dtype(x.dtype)

    def is_special(x: Real, y: Real) -> str:
        least = format_of(x).smallest_normal if x.wide else 0.0
        small = x.code.negated(x.is_("ge" if x.wide else "gt", least))
        return x.code.either(small, x.code.negated(x.code.both(x.is_finite(), y.is_finite())))

    if x.wide:
        return call_branching((x, y), "power", lambda x, y: _power_positive(split(x), y), is_special, _power_of_any)
    of_any = in_float64(lambda x, y: _power_special(_power_short(x, y), x, y))
    return call_branching((x, y), "power", in_float64(_power_short), is_special, of_any)


def hypot(a: Real, b: Real) -> Real:
    """``sqrt(a^2 + b^2)`` without overflow on the way."""
    if a.wide:
        longest = a.magnitude().larger(b.magnitude())
        long, short = longest.is_("gt", 2.0**500), longest.is_("lt", 2.0**-450)
        factor, inverse = (
            a.constant(2.0**-power).where(long, a.constant(2.0**power).where(short, 1.0)) for power in (600, -600)
        )
        result = _plain_hypot((a * factor).rounded(), (b * factor).rounded()) * inverse
    else:
        # float32 numbers, whose squares are in the range of float64.
        wide = (number.as_dtype(_WIDE) for number in (a, b))
        result = _plain_hypot(*wide).as_dtype(a.dtype)
    return a.constant(float("inf")).where(a.code.either(a.is_infinite(), b.is_infinite()), result)


def _plain_hypot(x: Real, y: Real) -> Real:
    return (x * x + y * y).call("sqrt")
