"""The special functions of scipy.special, computed by SciPy, with their derivatives.

SciPy is imported when the first of them is used. Formulas: NIST Digital Library of Mathematical Functions,
https://dlmf.nist.gov, chapters 5 to 10 and 25.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.graph.op import UFUNC_NAMES, Op, composite, elementwise, stand_in
from tracer.graph.rules import is_traced, lift
from tracer.graph.scipy_ufuncs import WIDE as _WIDE
from tracer.graph.scipy_ufuncs import X as _X
from tracer.graph.scipy_ufuncs import call_special as _call
from tracer.graph.scipy_ufuncs import declare_of_order as _of_order
from tracer.graph.scipy_ufuncs import declare_special as _special
from tracer.graph.scipy_ufuncs import scipy_special as _scipy
from tracer.graph.scipy_ufuncs import without_rule as _without_rule
from tracer.types import resolve_ufunc

_ROOT_PI = math.sqrt(math.pi)
_ROOT_2PI = math.sqrt(2 * math.pi)
_POSITIVE = (0.2, 3.0)
_INSIDE = (0.1, 0.9)


# --- gamma and beta functions ------------------------------------------------------------------------------------


def _zeta_value(s: Any, q: Any) -> Any:
    return _scipy().zeta(s, q)


def _zeta_dtypes(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    return resolve_ufunc(_scipy().rel_entr, operands)  # zeta is not a ufunc to the outside; this has the same loops


ZETA: Op = elementwise(
    "zeta",
    _zeta_value,
    dtypes=_zeta_dtypes,
    deriv=(_without_rule("zeta", 0), lambda y, s, q: -s * ZETA(s + 1, q)),
    examples=(
        (lambda q: ZETA(2.5, np.real(q) ** 2 + 0.5), _X),
        (lambda q: _scipy().zeta(3, np.real(q) ** 2 + 0.5), _X),
    ),
    doc="The Hurwitz zeta function, the sum of (n + q) ** -s.",
)


@stand_in("scipy.special.zeta")
def _zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    """The Riemann, or with a second argument the Hurwitz zeta function."""
    return ZETA(x, 1.0 if q is None else q)


def _trigamma(y: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        _without_rule("psi", 0)()
    return ZETA(2.0, x)


_special("gamma", "The gamma function.", lambda y, x: y * _call("psi", x), domain=_POSITIVE)
_special("rgamma", "1 / gamma(x).", lambda y, x: -y * _call("psi", x), domain=_POSITIVE)
_special("gammaln", "log(|gamma(x)|).", lambda y, x: _call("psi", x), domain=_POSITIVE)
_special("loggamma", "The principal branch of log(gamma(x)).", lambda y, x: _call("psi", x), domain=_POSITIVE)
_special(
    "psi",
    "The digamma function: the derivative of log(gamma(x)).",
    _trigamma,
    examples=(
        (lambda x: _scipy().psi(np.real(x) ** 2 / 8 + 0.3), _X),
        (lambda x: _scipy().digamma(np.real(x) - 5.3), _X),
    ),
)
_special("gammasgn", "The sign of gamma(x).", None, domain=_POSITIVE, zero_derivative=True)
_special(
    "poch",
    "gamma(a + b) / gamma(a).",
    lambda y, a, b: y * (_call("psi", a + b) - _call("psi", a)),
    lambda y, a, b: y * _call("psi", a + b),
    domain=_POSITIVE,
)
_special(
    "binom",
    "The binomial coefficient of real arguments.",
    lambda y, a, b: y * (_call("psi", a + 1) - _call("psi", a - b + 1)),
    lambda y, a, b: y * (_call("psi", a - b + 1) - _call("psi", b + 1)),
    domain=((3.2, 5.8), (0.3, 2.8)),
)
_special(
    "beta",
    "gamma(a) * gamma(b) / gamma(a + b).",
    lambda y, a, b: y * (_call("psi", a) - _call("psi", a + b)),
    lambda y, a, b: y * (_call("psi", b) - _call("psi", a + b)),
    domain=_POSITIVE,
)
_special(
    "betaln",
    "log(|beta(a, b)|).",
    lambda y, a, b: _call("psi", a) - _call("psi", a + b),
    lambda y, a, b: _call("psi", b) - _call("psi", a + b),
    domain=_POSITIVE,
)


def _gamma_density(a: Any, x: Any) -> Any:
    return np.exp(_call("xlogy", a - 1, x) - x - _call("gammaln", a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return np.exp(_call("xlogy", a - 1, x) + _call("xlog1py", b - 1, -x) - _call("betaln", a, b))


_of_order("gammainc", "The regularised lower incomplete gamma function.", lambda y, a, x: _gamma_density(a, x), 1.7)
_of_order("gammaincc", "The regularised upper incomplete gamma function.", lambda y, a, x: -_gamma_density(a, x), 1.7)
_of_order("gammaincinv", "The inverse of gammainc.", lambda y, a, x: 1 / _gamma_density(a, y), 1.7)
_of_order("gammainccinv", "The inverse of gammaincc.", lambda y, a, x: -1 / _gamma_density(a, y), 1.7)
_of_order("betainc", "The regularised beta function.", lambda y, a, b, x: _beta_density(a, b, x), (1.7, 2.6), fixed=2)
_of_order("betaincinv", "The inverse of betainc.", lambda y, a, b, x: 1 / _beta_density(a, b, y), (1.7, 2.6), fixed=2)
UFUNC_NAMES["chdtr"] = lambda v, x: _call("gammainc", np.divide(v, 2), np.divide(x, 2))
UFUNC_NAMES["chdtrc"] = lambda v, x: _call("gammaincc", np.divide(v, 2), np.divide(x, 2))


@stand_in("scipy.special.polygamma")
def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of the digamma function."""
    n, x = lift(n, x)
    sign = np.where(np.remainder(n, 2) == 0, -1.0, 1.0)
    higher = sign * _call("gamma", n + 1.0) * ZETA(n + 1, x)
    if not is_traced(n) and np.all(n > 0):
        return higher
    return np.where(n == 0, _call("psi", x), higher)


# --- the error function and the normal distribution --------------------------------------------------------------

_special("erfcx", "exp(x ** 2) * erfc(x).", lambda y, x: 2 * x * y - 2 / _ROOT_PI)
_special("erfi", "-1j * erf(1j * x).", lambda y, x: (2 / _ROOT_PI) * np.exp(x * x))
_special("dawsn", "Dawson's integral.", lambda y, x: 1 - 2 * x * y)
_special("erfinv", "The inverse of erf.", lambda y, x: (_ROOT_PI / 2) * np.exp(y * y), domain=(-0.9, 0.9))
_special("erfcinv", "The inverse of erfc.", lambda y, x: (-_ROOT_PI / 2) * np.exp(y * y), domain=(0.1, 1.9))
_special("ndtr", "The normal distribution function.", lambda y, x: np.exp(-x * x / 2) / _ROOT_2PI)
_special("log_ndtr", "log(ndtr(x)).", lambda y, x: np.exp(-x * x / 2 - y) / _ROOT_2PI)
_special("ndtri", "The inverse of ndtr.", lambda y, x: _ROOT_2PI * np.exp(y * y / 2), domain=_INSIDE)

# --- Bessel functions --------------------------------------------------------------------------------------------


def _between(name: str, sign: int) -> Any:
    """Half the sum, or the difference, of the neighbours in order."""
    return lambda y, v, x: (_call(name, v - 1, x) + sign * _call(name, v + 1, x)) / 2


_special("j0", "The Bessel function of the first kind of order 0.", lambda y, x: -_call("j1", x))
_special(
    "j1",
    "The Bessel function of the first kind of order 1.",
    lambda y, x: (_call("j0", x) - _call("jv", 2.0, x)) / 2,
)
_special("y0", "The Bessel function of the second kind of order 0.", lambda y, x: -_call("y1", x), domain=_POSITIVE)
_special(
    "y1",
    "The Bessel function of the second kind of order 1.",
    lambda y, x: (_call("y0", x) - _call("yv", 2.0, x)) / 2,
    domain=_POSITIVE,
)
_special("i0", "The modified Bessel function of the first kind of order 0.", lambda y, x: _call("i1", x))
_special(
    "i1",
    "The modified Bessel function of the first kind of order 1.",
    lambda y, x: (_call("i0", x) + _call("iv", 2.0, x)) / 2,
)
_special("i0e", "exp(-|x|) * i0(x).", lambda y, x: _call("i1e", x) - np.sign(x) * y)
_special("i1e", "exp(-|x|) * i1(x).", lambda y, x: (_call("i0e", x) + _call("ive", 2.0, x)) / 2 - np.sign(x) * y)
_special(
    "k0", "The modified Bessel function of the second kind of order 0.", lambda y, x: -_call("k1", x), domain=_POSITIVE
)
_special(
    "k1",
    "The modified Bessel function of the second kind of order 1.",
    lambda y, x: -(_call("k0", x) + _call("kv", 2.0, x)) / 2,
    domain=_POSITIVE,
)
_special("k0e", "exp(x) * k0(x).", lambda y, x: y - _call("k1e", x), domain=_POSITIVE)
_special("k1e", "exp(x) * k1(x).", lambda y, x: y - (_call("k0e", x) + _call("kve", 2.0, x)) / 2, domain=_POSITIVE)
_of_order("jv", "The Bessel function of the first kind.", _between("jv", -1), 1.5, 2)
_of_order("yv", "The Bessel function of the second kind.", _between("yv", -1), 1.5)
_of_order("iv", "The modified Bessel function of the first kind.", _between("iv", 1), 1.5)
_of_order("kv", "The modified Bessel function of the second kind.", lambda *args: -_between("kv", 1)(*args), 1.5)
_of_order(
    "ive",
    "exp(-|real(x)|) * iv(v, x).",
    lambda y, v, x: (_call("ive", v - 1, x) + _call("ive", v + 1, x)) / 2 - np.sign(np.real(x)) * y,
    1.5,
)
_of_order("kve", "exp(x) * kv(v, x).", lambda y, v, x: y - (_call("kve", v - 1, x) + _call("kve", v + 1, x)) / 2, 1.5)
UFUNC_NAMES["yn"] = lambda n, x: _call("yv", np.multiply(n, 1.0), x)
UFUNC_NAMES["kn"] = lambda n, x: _call("kv", np.multiply(n, 1.0), x)


@composite(np.i0, examples=((lambda x: np.i0(x), _X),))
def _i0(x: Any) -> Any:
    """The modified Bessel function of the first kind of order 0."""
    if x.dtype.kind == "c":
        raise TypeError("i0 not supported for complex values")
    return _call("i0", x if x.dtype.kind == "f" else x.astype(np.float64))


# --- exponential integrals, logarithms and entropies -------------------------------------------------------------


def _exprel_rule(y: Any, x: Any) -> Any:
    series = 1 / 2 + x * (1 / 3 + x * (1 / 8 + x / 30))
    small = np.abs(x) < 1e-3
    return np.where(small, series, (np.exp(x) - y) / np.where(small, 1, x))


def _spence_rule(y: Any, x: Any) -> Any:
    gap = x - 1
    return np.where(gap == 0, -1, -np.log(x) / np.where(gap == 0, 1, gap))


def _expn_rule(y: Any, n: Any, x: Any) -> Any:
    return -_call("expn", n - 1, x)


_special("expi", "The exponential integral Ei.", lambda y, x: np.exp(x) / x, domain=_POSITIVE)
_special("exp1", "The exponential integral E1.", lambda y, x: -np.exp(-x) / x, domain=_POSITIVE)
_of_order("expn", "The exponential integral of a whole order.", _expn_rule, 3)
_special("exprel", "(exp(x) - 1) / x.", _exprel_rule)
_special("exp10", "10 ** x.", lambda y, x: math.log(10) * y)
_special("cosm1", "cos(x) - 1, accurate near 0.", lambda y, x: -np.sin(x))
_special("spence", "The dilogarithm of 1 - x.", _spence_rule, domain=_POSITIVE)
_special("logit", "log(x / (1 - x)).", lambda y, x: 1 / (x * (1 - x)), domain=_INSIDE)
_special(
    "xlogy", "x * log(y), 0 where x is 0.", lambda y, a, b: np.log(b), lambda y, a, b: a / b, domain=(_WIDE, _POSITIVE)
)
_special(
    "xlog1py",
    "x * log(1 + y), 0 where x is 0.",
    lambda y, a, b: np.log1p(b),
    lambda y, a, b: a / (1 + b),
    domain=(_WIDE, _POSITIVE),
)
_special("entr", "-x * log(x).", lambda y, x: -np.log(x) - 1, domain=_POSITIVE)
_special(
    "rel_entr",
    "a * log(a / b).",
    lambda y, a, b: np.log(a) - np.log(b) + 1,
    lambda y, a, b: -a / b,
    domain=_POSITIVE,
)
_special(
    "kl_div",
    "a * log(a / b) - a + b.",
    lambda y, a, b: np.log(a) - np.log(b),
    lambda y, a, b: 1 - a / b,
    domain=_POSITIVE,
)
_special(
    "huber",
    "b ** 2 / 2 near 0, a * (|b| - a / 2) beyond a.",
    lambda y, a, b: np.maximum(np.abs(b) - a, 0),
    lambda y, a, b: np.clip(b, -a, a),
    domain=(_POSITIVE, _WIDE),
)


def _pseudo_huber_root(a: Any, b: Any) -> Any:
    return np.sqrt(1 + (b / a) ** 2)


_special(
    "pseudo_huber",
    "a ** 2 * (sqrt(1 + (b / a) ** 2) - 1).",
    lambda y, a, b: 2 * y / a - b * b / (a * _pseudo_huber_root(a, b)),
    lambda y, a, b: b / _pseudo_huber_root(a, b),
    domain=(_POSITIVE, _WIDE),
)
# Ufuncs of SciPy that NumPy has too.
UFUNC_NAMES.update(cbrt=np.cbrt, exp2=np.exp2, expm1=np.expm1, log1p=np.log1p)

# --- what is made of sums of exponentials ------------------------------------------------------------------------


@stand_in("scipy.special.logsumexp")
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """Logarithm of the sum of exponentials, b being their weights."""
    a, b = lift(a, 1.0 if b is None else b)
    a = a if a.dtype.kind in "fc" else a.astype(np.float64)
    if a.dtype.kind == "c":
        raise TypeError("scipy.special.logsumexp of complex values has no traced form; use np.log(np.sum(np.exp(a))).")
    top = np.max(np.where(b != 0, a, -np.inf), axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.sum(b * np.exp(a - top), axis=axis, keepdims=True)
    result = np.log(np.abs(total) if return_sign else total) + top
    kept = result if keepdims else _without(result, axis)
    if not return_sign:
        return kept
    return kept, np.sign(total if keepdims else _without(total, axis))


def _without(x: Any, axis: Any) -> Any:
    return np.reshape(x, ()) if axis is None else np.squeeze(x, axis)


@stand_in("scipy.special.softmax")
def softmax(x: Any, axis: Any = None) -> Any:
    """Exponentials divided by their sum."""
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return powers / np.sum(powers, axis=axis, keepdims=True)


@stand_in("scipy.special.log_softmax")
def log_softmax(x: Any, axis: Any = None) -> Any:
    """Logarithm of softmax."""
    gap = x - np.max(x, axis=axis, keepdims=True)
    return gap - np.log(np.sum(np.exp(gap), axis=axis, keepdims=True))
