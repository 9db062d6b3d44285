"""Exponentials, logarithms and hyperbolic functions: the formulas of `kernels_cpp/math_exp.hpp`, without branches.

Where the kernels first look whether any of a vector's elements is special, all take the longer way here, so that the
loops can be vectorised; it gives the others the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

from tracer.run.native.coefficients import SHORT, WIDE
from tracer.run.native.real import Real

LN2 = 0.6931471805599453
LOG2_E = 1.4426950408889634


class Format:
    """Facts of a float type.

    Parameters
    ----------
    wide : bool
        float64, or else float32.
    """

    def __init__(self, wide: bool) -> None:
        self.mantissa, self.bias, self.bits = (52, 1023, 64) if wide else (23, 127, 32)
        self.round = 1.5 * 2.0**self.mantissa
        """Adding it leaves the nearest integer in the low bits."""
        self.round_bits = 0x4338000000000000 if wide else 0x4B400000
        self.one = self.bias << self.mantissa
        self.sqrt_half = 0x3FE6A09E667F3BCD if wide else 0x3F3504F3
        self.smallest_normal = 2.0 ** (1 - self.bias)
        self.exp_low, self.exp_high = (-746.0, 710.0) if wide else (-104.0, 89.0)


_FORMATS = {True: Format(True), False: Format(False)}


def format_of(x: Real) -> Format:
    """Facts of the type of a number."""
    return _FORMATS[x.wide]


def table(x: Real, name: str) -> tuple[float, ...]:
    """Coefficients for the type of a number, from the constant term up."""
    return (WIDE if x.wide else SHORT)[name]


def coefficient(x: Real, name: str) -> float:
    """A constant for the type of a number."""
    return table(x, name)[0]


def polynomial(x: Real, name: str) -> Real:
    """The polynomial that has a name, at x."""
    *lower, last = table(x, name)
    result = x.constant(last)
    for value in reversed(lower):
        result = result * x + value
    return result


class Reduced:
    """``x = n ln(2) + r``.

    Attributes
    ----------
    rounded : Real
        n + `Format.round`, whose low bits are n.
    n, r : Real
    """

    def __init__(self, rounded: Real, n: Real, r: Real) -> None:
        self.rounded, self.n, self.r = rounded, n, r


def reduce_by_ln2(x: Real) -> Reduced:
    """Arguments of exp."""
    x = x.rounded()
    rounded = x * LOG2_E + format_of(x).round
    n = rounded - format_of(x).round
    return Reduced(rounded, n, (x - n * coefficient(x, "LN2_HI")) - n * coefficient(x, "LN2_LO"))


def _reduce_by_one(x: Real) -> Reduced:
    """Arguments of exp2."""
    rounded = x + format_of(x).round
    n = rounded - format_of(x).round
    return Reduced(rounded, n, ((x - n) * LN2).rounded())


def expm1_polynomial(r: Real) -> Real:
    """``exp(r) - 1`` for ``|r| <= ln(2) / 2``."""
    return r + r * r * polynomial(r, "EXP")


def power_of_two(rounded: Real) -> Real:
    """2^n for normal results only."""
    form = format_of(rounded)
    return ((rounded.bits() + form.bias) << form.mantissa).number()


def scale(p: Real, rounded: Real) -> Real:
    """``p 2^n`` with one rounding, into the subnormals and to infinity; p in [1/4, 4], ``|n| < 2 bias``."""
    # In two factors, because 2^n itself may be out of range; of `Format.round` the shifts leave nothing.
    form = format_of(p)
    n = rounded.bits()
    half = n >> 1
    first, second = (((part << form.mantissa) + form.one).number() for part in (half, n - half))
    return (p * first).rounded() * second


def exp(x: Real) -> Real:
    """The exponential."""
    form = format_of(x)
    e = reduce_by_ln2(x.clamp(form.exp_low, form.exp_high))
    return scale(1 + expm1_polynomial(e.r), e.rounded)


def exp_normal(x: Real) -> Real:
    """The exponential where the result is normal."""
    e = reduce_by_ln2(x)
    return (1 + expm1_polynomial(e.r)) * power_of_two(e.rounded)


def exp2(x: Real) -> Real:
    """Power of two."""
    e = _reduce_by_one(x.clamp(-1080, 1030) if x.wide else x.clamp(-160, 130))
    return scale(1 + expm1_polynomial(e.r), e.rounded)


def expm1(x: Real) -> Real:
    """The exponential less 1."""
    # Below -60 the result is -1 and 2^-n would overflow further down.
    form = format_of(x)
    bounded = x.clamp(-60.0, form.exp_high)
    e = reduce_by_ln2(bounded)
    low = e.n.where(e.n.is_("lt", 100), 100)
    inverse = power_of_two(form.round - low)
    # Near n = 1 the two leading terms cancel, so what rounding took from r is put back.
    lost = ((bounded - e.n * coefficient(x, "LN2_HI")) - e.r) - e.n * coefficient(x, "LN2_LO")
    leading = (1 - inverse) + e.r
    return scale(leading + (e.r * e.r * polynomial(e.r, "EXP") + lost), e.rounded).with_sign(x)


class Split:
    """A positive normal number as ``2^k (1 + f)`` with ``sqrt(1/2) <= 1 + f <= sqrt(2)``."""

    def __init__(self, k: Real, f: Real) -> None:
        self.k, self.f = k, f


def split(x: Real, shift: Real | None = None) -> Split:
    """Take a positive normal number, which was multiplied by 2^-shift, apart."""
    form = format_of(x)
    shifted = x.bits() + (form.one - form.sqrt_half)
    mantissa = ((shifted & (2**form.mantissa - 1)) + form.sqrt_half).number()
    exponent = ((shifted >> form.mantissa) | form.round_bits).number()
    k = exponent - (form.round + form.bias)
    return Split(k if shift is None else k + shift, mantissa - 1)


def _log_tail(f: Real) -> Real:
    """``log(1 + f) - f + f^2 / 2``."""
    if f.wide:
        s = f / (2 + f)
        z = (s * s).rounded()
        return s * (0.5 * f * f + z * polynomial(z, "LOG"))
    return f * f * f * polynomial(f, "LOG_CUBIC")


def _log_join(x: Split, correction: Real | float) -> Real:
    """``k ln(2) + log(1 + f) + correction``."""
    half_square = 0.5 * x.f * x.f
    small = _log_tail(x.f) + (x.k * coefficient(x.f, "LN2_LO") + correction)
    return x.k * coefficient(x.f, "LN2_HI") - ((half_square - small) - x.f)


def with_specials(x: Real, normal: Callable[[Split], Real]) -> Real:
    """A logarithm from its formula for positive normal numbers."""
    form = format_of(x)
    small = x.is_("lt", form.smallest_normal)
    shift = form.mantissa + 2
    parts = split((x * 2.0**shift).where(small, x), x.constant(-shift).where(small, 0.0))
    result = normal(parts)
    special = x.constant(float("-inf")).where(x.is_("eq", 0.0), float("nan"))
    special = x.where(x.is_("eq", float("inf")), special)
    ordinary = x.code.both(x.is_("gt", 0.0), x.is_("lt", float("inf")))
    return result.where(ordinary, special)


def log(x: Real) -> Real:
    """The natural logarithm."""
    return with_specials(x, lambda parts: _log_join(parts, 0.0))


def _log_in_base(f: Real, base: str, k_hi: Real, k_lo: Real | float) -> Real:
    """``log(1 + f)`` as hi + lo times the base's constants, plus the exact k_hi and the small k_lo."""
    # The halves hold so few bits that their product is exact.
    top = 0xFFFFFFFF00000000 if f.wide else 0xFFFFF000
    c_hi, c_lo = coefficient(f, base + "_HI"), coefficient(f, base + "_LO")
    half_square = 0.5 * f * f
    hi = ((f - half_square).bits() & top).number()
    lo = ((f - hi) - half_square) + _log_tail(f)
    product = hi * c_hi
    small = (lo + hi) * c_lo + lo * c_hi + k_lo
    total = k_hi + product
    return (small + ((k_hi - total) + product)) + total


def log2(x: Real) -> Real:
    """The logarithm to base 2."""
    return with_specials(x, lambda parts: _log_in_base(parts.f, "LOG2E", parts.k, 0.0))


def log10(x: Real) -> Real:
    """The logarithm to base 10."""

    def normal(parts: Split) -> Real:
        hi, lo = (parts.k * coefficient(x, f"LOG10_2_{part}") for part in ("HI", "LO"))
        return _log_in_base(parts.f, "LOG10E", hi, lo)

    return with_specials(x, normal)


def _split_one_plus(x: Real) -> tuple[Split, Real]:
    """1 + x, for finite x > -1, and the share of it that rounding took away."""
    u = 1 + x
    small = x.code.both(x.is_("gt", -0.2928932), x.is_("lt", 0.4142135))
    lost = (x - (u - 1)).where(x.is_("lt", 1.0), 1 - (u - x)) / u
    parts, zero = split(u), x.constant(0.0)
    return Split(zero.where(small, parts.k), x.where(small, parts.f)), zero.where(small, lost)


def _log1p_finite(x: Real) -> Real:
    """``log(1 + x)`` for finite x > -1, without the sign of a zero."""
    return _log_join(*_split_one_plus(x))


def log1p(x: Real) -> Real:
    """The logarithm of 1 + x."""
    result = _log1p_finite(x).with_sign(x)
    special = x.where(x.is_("eq", float("inf")), float("nan"))
    special = x.constant(float("-inf")).where(x.is_("eq", -1.0), special)
    return result.where(x.code.both(x.is_("gt", -1.0), x.is_("lt", float("inf"))), special)


def _unless_equal_or_nan(result: Real, a: Real, b: Real, equal: Real) -> Real:
    numbers = a.code.both(a.is_("eq", a), b.is_("eq", b))
    return equal.where(a.is_("eq", b), result.where(numbers, a + b))


def logaddexp(a: Real, b: Real) -> Real:
    """The logarithm of the sum of two exponentials."""
    total = a.larger(b) + _log1p_finite(exp(-(a - b).magnitude()))
    return _unless_equal_or_nan(total, a, b, a + LN2)


def logaddexp2(a: Real, b: Real) -> Real:
    """The same to base 2."""
    parts, lost = _split_one_plus(exp2(-(a - b).magnitude()))
    lost = lost * coefficient(a, "LOG2E_HI")
    total = a.larger(b) + _log_in_base(parts.f, "LOG2E", parts.k, lost)
    return _unless_equal_or_nan(total, a, b, a + 1)


def softplus(x: Real) -> Real:
    """``log(1 + exp(x))``."""
    return x.larger(0.0) + _log1p_finite(exp(-x.magnitude()))


def sigmoid(x: Real) -> Real:
    """``1 / (1 + exp(-x))``."""
    # Of sigmoid(-|x|) = e - e q and sigmoid(|x|) = 1 - q; unlike e / (1 + e), the first rounds once for small e.
    e = exp(-x.magnitude()).rounded()
    q = e / (1 + e)
    leading = e.where(x.is_("lt", 0.0), 1.0)
    return leading - leading * q


def tanh(x: Real) -> Real:
    """The hyperbolic tangent."""
    # Beyond 22 (10) the result rounds to 1.
    size = x.magnitude()
    z = (x * x).rounded()
    near_zero = size + size * z * polynomial(z, "TANH")
    far = 1 - 2 / (exp_normal((size + size).clamp(0.0, 60.0)) + 1)
    return near_zero.where(size.is_("lt", 0.625), far).with_sign(x)


def _half_exp(size: Real) -> Real:
    """``exp(|x|) / 2`` without overflow before the result overflows."""
    e = reduce_by_ln2(size.clamp(0.0, format_of(size).exp_high + 1))
    return scale(1 + expm1_polynomial(e.r), e.rounded - 1).rounded()


def sinh(x: Real) -> Real:
    """The hyperbolic sine."""
    size = x.magnitude()
    z = (x * x).rounded()
    near_zero = size + size * z * polynomial(z, "SINH")
    e = _half_exp(size)
    return near_zero.where(size.is_("lt", 1.0), e - 0.25 / e).with_sign(x)


def cosh(x: Real) -> Real:
    """The hyperbolic cosine."""
    e = _half_exp(x.magnitude())
    return e + 0.25 / e


def erf(x: Real) -> Real:
    """The error function."""
    # The fit of the complement ends at 6 (4), where the result has rounded to 1.
    size = x.magnitude()
    z = (x * x).rounded()
    near_zero = size + size * polynomial(z, "ERF")
    bounded = size.clamp(1.0, 6.0 if x.wide else 4.0)
    complement = exp_normal(-bounded * bounded) * polynomial(bounded - 2, "ERFC")
    return near_zero.where(size.is_("lt", 1.0), 1 - complement).with_sign(x)
