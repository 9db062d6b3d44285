"""Hypotenuses: the formulas of `kernels_cpp/math.hpp`."""

from __future__ import annotations

import numpy as np

from tracer.run.native.real import Real


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
        wide = (number.as_dtype(np.dtype("f8")) for number in (a, b))
        result = _plain_hypot(*wide).as_dtype(a.dtype)
    return a.constant(float("inf")).where(a.code.either(a.is_infinite(), b.is_infinite()), result)


def _plain_hypot(x: Real, y: Real) -> Real:
    return (x * x + y * y).call("sqrt")
