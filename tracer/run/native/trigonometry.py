"""Trigonometric functions and their inverses: the formulas of `kernels_cpp/math_trig.hpp`."""

from __future__ import annotations

from tracer.run.native.exponentials import format_of, polynomial, table
from tracer.run.native.real import Real


class _Quadrant:
    """``x = n pi/2 + r + lo`` with ``|r| <= pi/4``.

    Attributes
    ----------
    rounded : Real
        Its low two bits are n modulo 4.
    r : Real
    lo : Real or None
        None for float32.
    """

    def __init__(self, x: Real) -> None:
        part = table(x, "HALF_PI")
        self.rounded = x * 0.6366197723675814 + format_of(x).round
        n = -(self.rounded - format_of(x).round)
        first = n.fused(part[0], x)  # exact
        second = n.fused(part[1], first)
        self.lo: Real | None = None
        if x.wide:
            lost = n.fused(part[1], first - second)
            rest = n.fused(part[3], n.fused(part[2], lost))
            self.r = second + rest
            self.lo = (second - self.r) + rest
        else:
            self.r = n.fused(part[2], second)


def is_huge(x: Real) -> str:
    """Whether an angle is too large for the functions below; the kernels leave these to the C library."""
    return x.magnitude().is_("gt", 1.0e6 if x.wide else 1.0e5)


def _sine_polynomial(x: _Quadrant, quarter_turns: int) -> Real:
    """``sin(r + quarter_turns pi/2)``."""
    r, quadrant = x.r, x.rounded.bits() + quarter_turns
    z = (r * r).rounded()
    half = (0.5 * z).rounded()
    sine, cosine = r * z * polynomial(z, "SIN"), z * z * polynomial(z, "COS")
    if x.lo is not None:
        sine, cosine = sine + x.lo * (1 - half), cosine - r * x.lo
    value = (r + sine.rounded()).where((quadrant & 1).is_zero(), 1 - (half - cosine.rounded()))
    return (value.bits() ^ ((quadrant & 2) << (8 * r.dtype.itemsize - 2))).number()


def sin(x: Real) -> Real:
    """The sine of an angle that is not huge."""
    return x.where(x.is_("eq", 0.0), _sine_polynomial(_Quadrant(x), 0))


def cos(x: Real) -> Real:
    """The cosine of an angle that is not huge."""
    return _sine_polynomial(_Quadrant(x), 1)


def tan(x: Real) -> Real:
    """The tangent of an angle that is not huge."""
    turned = _Quadrant(x)
    r = turned.r
    z = (r * r).rounded()
    tangent = r * z * polynomial(z, "TAN")
    if turned.lo is not None:
        slope = 1 + z * (1 + z * (2.0 / 3))
        tangent = tangent + turned.lo * slope
    tangent = r + tangent.rounded()
    tangent = tangent.where((turned.rounded.bits() & 1).is_zero(), -1 / tangent)
    return x.where(x.is_("eq", 0.0), tangent)


def _first_quadrant_angle(y: Real, x: Real) -> Real:
    """The angle of the point (x, y), both >= 0, in [0, pi/2]."""
    both = x.code.both
    steep = y.is_("gt", x)
    low, high = x.where(steep, y), y.where(steep, x)
    # Turns by pi/4 only where the result is then above 1/2, so that the rounding of t weighs little.
    turned = low.is_("gt", high * 0.6)
    t = (low - high).where(turned, low) / (low + high).where(turned, high)
    z = (t * t).rounded()
    angle = t + t * z * polynomial(z, "ARCTAN")
    # pi/4 and pi/2 as hi + lo of the format.
    quarter_lo, half_lo = (3.061616997868383e-17, 6.123233995736766e-17) if x.wide else (-2.1855695e-08, -4.371139e-08)
    result = ((angle + quarter_lo) + 0.7853981633974483).where(turned, angle)
    result = (1.5707963267948966 - (angle - half_lo)).where(steep, result)
    return (0.7853981633974483 - (angle - quarter_lo)).where(both(steep, turned), result)


def arctan(x: Real) -> Real:
    """The angle of a tangent."""
    size = x.magnitude()
    finite = x.constant(1e30).where(size.is_("gt", 1e30), size)
    return _first_quadrant_angle(finite, x.constant(1.0)).with_sign(x)


def arctan2(y: Real, x: Real) -> Real:
    """The angle of a point."""
    both, either = x.code.both, x.code.either
    up, right, one = y.magnitude(), x.magnitude(), x.constant(1.0)
    both_infinite = both(up.is_infinite(), right.is_infinite())
    origin = both(up.is_("eq", 0.0), right.is_("eq", 0.0))
    up, right = one.where(both_infinite, up), one.where(either(both_infinite, origin), right)
    # Keeps sums of the two finite, and precise among the subnormals.
    most, least, growth = (1e300, 1e-280, 2.0**60) if x.wide else (1e38, 1e-30, 2.0**30)
    longest = up.larger(right)
    factor = x.constant(0.25).where(longest.is_("gt", most), 1.0)
    factor = x.constant(growth).where(longest.is_("lt", least), factor)
    angle = _first_quadrant_angle((up * factor).rounded(), (right * factor).rounded())
    pi_lo = 1.2246467991473532e-16 if x.wide else -8.742278e-08
    # Of the sign, which a negative zero has too.
    left = one.with_sign(x).is_("lt", 0.0)
    result = (3.141592653589793 - (angle - pi_lo)).where(left, angle)
    numbers = both(x.is_("eq", x), y.is_("eq", y))
    return result.with_sign(y).where(numbers, x + y)
