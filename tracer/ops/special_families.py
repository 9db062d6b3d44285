"""More special functions of scipy.special: polynomials, elliptic and hypergeometric functions, integrals, counting.

Formulas: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapters 6, 7, 9, 13, 15, 18 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.op import UFUNC_NAMES, Op, elementwise, stand_in
from tracer.graph.rules import lift, unsupported
from tracer.graph.scipy_ufuncs import call_special as _call
from tracer.graph.scipy_ufuncs import declare_of_order as _of_order
from tracer.graph.scipy_ufuncs import declare_special as _special
from tracer.graph.scipy_ufuncs import scipy_special as _scipy
from tracer.types import resolve_ufunc

_POSITIVE = (0.2, 3.0)
_INSIDE = (0.1, 0.9)
_ROOT_2PI = math.sqrt(2 * math.pi)
_DEGREE = math.pi / 180


# --- powers and logarithms ---------------------------------------------------------------------------------------


def _power_by_exponent(log: Any, power: Any, y: Any, exponent: Any) -> Any:
    """How (exp(exponent * log) - 1) / exponent depends on the exponent."""
    small = np.abs(exponent) < 1e-4
    safe = np.where(small, 1, exponent)
    series = log * log * (1 / 2 + exponent * log / 3 + (exponent * log) ** 2 / 8)
    return np.where(small, series, (power * log - y) / safe)


def _inverse_by_exponent(x: Any, log: Any, value: Any, exponent: Any) -> Any:
    """How the inverse of a power transform depends on the exponent."""
    small = np.abs(exponent) < 1e-4
    safe = np.where(small, 1, exponent)
    series = value * value * (-1 / 2 + 2 * exponent * value / 3)
    return x * np.where(small, series, (value / (1 + exponent * value) - log) / safe)


_special(
    "boxcox",
    "(x ** lmbda - 1) / lmbda, log(x) where lmbda is 0.",
    lambda y, x, m: x ** (m - 1.0),
    lambda y, x, m: _power_by_exponent(np.log(x), x**m, y, m),
    domain=(_POSITIVE, (-2.0, 2.0)),
)
_special(
    "boxcox1p",
    "boxcox(1 + x, lmbda).",
    lambda y, x, m: (1 + x) ** (m - 1.0),
    lambda y, x, m: _power_by_exponent(np.log1p(x), (1 + x) ** m, y, m),
    domain=(_POSITIVE, (-2.0, 2.0)),
)
_special(
    "inv_boxcox",
    "The inverse of boxcox.",
    lambda x, y, m: x ** (1.0 - m),
    lambda x, y, m: _inverse_by_exponent(x, np.log(x), y, m),
    domain=(_INSIDE, _INSIDE),
)
_special(
    "inv_boxcox1p",
    "The inverse of boxcox1p.",
    lambda x, y, m: (1 + x) ** (1.0 - m),
    lambda x, y, m: _inverse_by_exponent(1 + x, np.log1p(x), y, m),
    domain=(_INSIDE, _INSIDE),
)
_special(
    "powm1",
    "x ** y - 1.",
    lambda z, x, y: y * x ** (y - 1.0),
    lambda z, x, y: (z + 1) * np.log(x),
    domain=(_POSITIVE, (-2.0, 2.0)),
)
_special("wrightomega", "The solution y of y + log(y) = x.", lambda y, x: y / (1 + y))
for _name, _function, _slope in (
    ("sindg", "sine", lambda y, x: _DEGREE * _call("cosdg", x)),
    ("cosdg", "cosine", lambda y, x: -_DEGREE * _call("sindg", x)),
    ("tandg", "tangent", lambda y, x: _DEGREE * (1 + y * y)),
    ("cotdg", "cotangent", lambda y, x: -_DEGREE * (1 + y * y)),
):
    _special(_name, f"The {_function} of an angle in degrees.", _slope, domain=(10.0, 80.0))

# --- distribution functions --------------------------------------------------------------------------------------


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return np.exp(_call("xlogy", a - 1, x) + _call("xlog1py", b - 1, -x) - _call("betaln", a, b))


_of_order("betaincc", "1 - betainc.", lambda y, a, b, x: -_beta_density(a, b, x), (1.7, 2.6), fixed=2)
_of_order(
    "betainccinv", "The inverse of betaincc.", lambda y, a, b, x: -1 / _beta_density(a, b, y), (1.7, 2.6), fixed=2
)


def _student_density(df: Any, t: Any) -> Any:
    scale = np.exp(_call("gammaln", (df + 1) / 2) - _call("gammaln", df / 2)) / np.sqrt(df * math.pi)
    return scale * (1 + t * t / df) ** (-(df + 1) / 2)


def _poisson_density(k: Any, m: Any) -> Any:
    whole = np.floor(k)
    return np.exp(_call("xlogy", whole, m) - m - _call("gammaln", whole + 1.0))


_of_order("stdtr", "The distribution function of Student's t.", lambda y, df, t: _student_density(df, t), 2.5)
_of_order("pdtr", "The Poisson distribution function.", lambda y, k, m: -_poisson_density(k, m), 2.0)
_of_order("pdtrc", "1 - pdtr.", lambda y, k, m: _poisson_density(k, m), 2.0)
_special(
    "owens_t",
    "Owen's T function.",
    lambda y, h, a: -np.exp(-h * h / 2) * _call("erf", a * h / math.sqrt(2)) / (2 * _ROOT_2PI),
    lambda y, h, a: np.exp(-h * h * (1 + a * a) / 2) / (2 * math.pi * (1 + a * a)),
)
_special(
    "ndtri_exp",
    "The number whose normal distribution function is exp(y).",
    lambda x, y: _ROOT_2PI * np.exp(y + x * x / 2),
    domain=(-3.0, -0.1),
)
UFUNC_NAMES["gdtr"] = lambda a, b, x: _call("gammainc", b, np.multiply(a, x))
UFUNC_NAMES["gdtrc"] = lambda a, b, x: _call("gammaincc", b, np.multiply(a, x))

# --- elliptic integrals ------------------------------------------------------------------------------------------


def _away_from_zero(m: Any) -> tuple[Any, Any]:
    small = np.abs(m) < 1e-6
    return small, np.where(small, 0.5, m)


def _ellipk_rule(y: Any, m: Any) -> Any:
    small, safe = _away_from_zero(m)
    return np.where(small, math.pi / 8 * (1 + 9 * m / 8), (_call("ellipe", m) / (1 - m) - y) / (2 * safe))


def _ellipe_rule(y: Any, m: Any) -> Any:
    small, safe = _away_from_zero(m)
    return np.where(small, -math.pi / 8 * (1 + 3 * m / 8), (y - _call("ellipk", m)) / (2 * safe))


def _delta(phi: Any, m: Any) -> Any:
    return np.sqrt(1 - m * np.sin(phi) ** 2)


_special("ellipk", "The complete elliptic integral of the first kind.", _ellipk_rule, domain=_INSIDE)
_special("ellipe", "The complete elliptic integral of the second kind.", _ellipe_rule, domain=_INSIDE)
_special("ellipkm1", "ellipk(1 - p).", lambda y, p: -_ellipk_rule(y, 1 - p), domain=_INSIDE)
_special(
    "ellipkinc",
    "The incomplete elliptic integral of the first kind.",
    lambda y, phi, m: 1 / _delta(phi, m),
    lambda y, phi, m: (
        (_call("ellipeinc", phi, m) / (1 - m) - y) / (2 * m) - np.sin(2 * phi) / (4 * (1 - m) * _delta(phi, m))
    ),
    domain=_INSIDE,
)
_special(
    "ellipeinc",
    "The incomplete elliptic integral of the second kind.",
    lambda y, phi, m: _delta(phi, m),
    lambda y, phi, m: (y - _call("ellipkinc", phi, m)) / (2 * m),
    domain=_INSIDE,
)

# --- hypergeometric functions ------------------------------------------------------------------------------------

_of_order("hyp0f1", "Confluent hypergeometric limit function.", lambda y, b, z: _call("hyp0f1", b + 1, z) / b, 1.3)
_of_order(
    "hyp1f1",
    "Confluent hypergeometric function of the first kind.",
    lambda y, a, b, z: a / b * _call("hyp1f1", a + 1, b + 1, z),
    (0.7, 1.6),
    fixed=2,
)
_of_order(
    "hyperu",
    "Confluent hypergeometric function of the second kind.",
    lambda y, a, b, z: -a * _call("hyperu", a + 1, b + 1, z),
    (0.7, 1.6),
    fixed=2,
)
_of_order(
    "hyp2f1",
    "Gauss' hypergeometric function.",
    lambda y, a, b, c, z: a * b / c * _call("hyp2f1", a + 1, b + 1, c + 1, z),
    (0.7, 0.4, 1.6),
    low=0.1,
    fixed=3,
)

# --- Bessel functions with a factor, Hankel functions ------------------------------------------------------------


def _half_difference(name: str) -> Callable[..., Any]:
    return lambda y, v, x: (_call(name, v - 1, x) - _call(name, v + 1, x)) / 2


_of_order("jve", "jv(v, x) * exp(-|imag(x)|), for real x.", _half_difference("jve"), 1.5)
_of_order("yve", "yv(v, x) * exp(-|imag(x)|), for real x.", _half_difference("yve"), 1.5)
_of_order("hankel1", "The Hankel function of the first kind.", _half_difference("hankel1"), 1.5)
_of_order("hankel2", "The Hankel function of the second kind.", _half_difference("hankel2"), 1.5)

# --- polynomials -------------------------------------------------------------------------------------------------


def _lower(n: Any, value: Callable[[Any], Any]) -> Any:
    """A polynomial of the degree below, nothing where there is none."""
    return np.where(n > 0, value(np.where(n > 0, n - 1, 0)), 0)


_of_order(
    "eval_jacobi",
    "Jacobi polynomial.",
    lambda y, n, a, b, x: (n + a + b + 1) / 2 * _lower(n, lambda k: _call("eval_jacobi", k, a + 1, b + 1, x)),
    (3.0, 0.5, 1.5),
    fixed=3,
)
_of_order(
    "eval_gegenbauer",
    "Gegenbauer polynomial.",
    lambda y, n, a, x: 2 * a * _lower(n, lambda k: _call("eval_gegenbauer", k, a + 1, x)),
    (3.0, 0.7),
    fixed=2,
)
_of_order(
    "eval_genlaguerre",
    "Generalised Laguerre polynomial.",
    lambda y, n, a, x: -_lower(n, lambda k: _call("eval_genlaguerre", k, a + 1, x)),
    (3.0, 0.7),
    fixed=2,
)
_of_order(
    "eval_legendre",
    "Legendre polynomial.",
    lambda y, n, x: (n + 1) / 2 * _lower(n, lambda k: _call("eval_jacobi", k, 1.0, 1.0, x)),
    3.0,
)
_of_order(
    "eval_laguerre",
    "Laguerre polynomial.",
    lambda y, n, x: -_lower(n, lambda k: _call("eval_genlaguerre", k, 1.0, x)),
    3.0,
)
_of_order(
    "eval_chebyt",
    "Chebyshev polynomial of the first kind.",
    lambda y, n, x: n * _lower(n, lambda k: _call("eval_chebyu", k, x)),
    3.0,
)
_of_order(
    "eval_chebyu",
    "Chebyshev polynomial of the second kind.",
    lambda y, n, x: 2 * _lower(n, lambda k: _call("eval_gegenbauer", k, 2.0, x)),
    3.0,
)
_of_order(
    "eval_hermite",
    "Hermite polynomial.",
    lambda y, n, x: 2 * n * _lower(n, lambda k: _call("eval_hermite", k, x)),
    3,
)
_of_order(
    "eval_hermitenorm",
    "Hermite polynomial of the probabilists.",
    lambda y, n, x: n * _lower(n, lambda k: _call("eval_hermitenorm", k, x)),
    3,
)

# --- functions that come together --------------------------------------------------------------------------------


def _together(name: str, doc: str, *rules: Any, domain: tuple[float, float] = (0.2, 3.0)) -> None:
    """Declare a ufunc of one argument with several results, one op for each of them."""

    def part(number: int) -> Op:
        def evaluate(x: Any) -> Any:
            return getattr(_scipy(), name)(x)[number]

        def dtypes(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
            return resolve_ufunc(getattr(_scipy(), name), operands)[:2]

        label = f"{name}_{number}"
        return elementwise(label, evaluate, dtypes=dtypes, deriv=(rules[number],), domain=(domain,), doc=doc)

    parts[name] = tuple(part(number) for number in range(len(rules)))
    UFUNC_NAMES[name] = lambda x: tuple(op(x) for op in parts[name])


parts: dict[str, tuple[Op, ...]] = {}
"""The ops of functions with several results, by the function's name."""
_together(
    "airy",
    "Airy functions and their derivatives.",
    lambda y, x: parts["airy"][1](x),
    lambda y, x: x * parts["airy"][0](x),
    lambda y, x: parts["airy"][3](x),
    lambda y, x: x * parts["airy"][2](x),
)
_together("sici", "Sine and cosine integrals.", lambda y, x: np.sin(x) / x, lambda y, x: np.cos(x) / x)
_together("shichi", "Hyperbolic sine and cosine integrals.", lambda y, x: np.sinh(x) / x, lambda y, x: np.cosh(x) / x)
_together(
    "fresnel",
    "Fresnel integrals.",
    lambda y, x: np.sin(math.pi / 2 * x * x),
    lambda y, x: np.cos(math.pi / 2 * x * x),
)

# --- counting, and functions of functions ------------------------------------------------------------------------


def _floats(*values: Any) -> tuple[Any, ...]:
    return tuple(x if hasattr(x, "dtype") and x.dtype.kind == "f" else x * np.float64(1) for x in lift(*values))


@stand_in("scipy.special.factorial")
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """The product of the whole numbers up to n, as a float."""
    if exact or extend != "zero":
        unsupported("scipy.special.factorial", "exact or extend", "leave them out.")
    (n,) = _floats(n)
    return np.where(n < 0, 0.0, _call("gamma", np.where(n < 0, 0.0, n) + 1))


@stand_in("scipy.special.comb")
def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """How many choices of k from N there are, as a float."""
    if exact:
        unsupported("scipy.special.comb", "exact", "leave it out.")
    N, k = _floats(N, k)
    if repetition:
        return np.where(k == 0, 1.0, comb(N + k - 1, k))
    is_one = (k <= N) & (N >= 0) & (k >= 0)
    return np.where(is_one, _call("binom", np.where(is_one, N, 1.0), np.where(is_one, k, 0.0)), 0.0)


@stand_in("scipy.special.perm")
def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """How many ordered choices of k from N there are, as a float."""
    if exact:
        unsupported("scipy.special.perm", "exact", "leave it out.")
    N, k = _floats(N, k)
    is_one = (k <= N) & (N >= 0) & (k >= 0)
    safe_n, safe_k = np.where(is_one, N, 1.0), np.where(is_one, k, 0.0)
    return np.where(is_one, _call("poch", safe_n - safe_k + 1, safe_k), 0.0)


@stand_in("scipy.special.multigammaln")
def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function."""
    (a,) = lift(a)
    terms = [_call("gammaln", a - (number - 1.0) / 2) for number in range(1, int(d) + 1)]
    return sum(terms[1:], start=terms[0]) + d * (d - 1) * 0.25 * math.log(math.pi)


@stand_in("scipy.special.softplus")
def softplus(x: Any, **options: Any) -> Any:
    """log(1 + exp(x))."""
    if options:
        unsupported("scipy.special.softplus", "options", "leave them out.")
    return np.logaddexp(0, x)
