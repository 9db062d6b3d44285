"""Inverse trigonometric functions, without branches: the formulas of `kernels_cpp/math_trig.hpp`."""

from __future__ import annotations

from tracer.run.native.exponentials import polynomial
from tracer.run.native.real import Real


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
