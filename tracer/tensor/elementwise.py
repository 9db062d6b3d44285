"""Functions that act on tensors element by element, with NumPy's broadcasting and dtypes.

They take symbolic variables, arrays, numbers and lists. Most are NumPy's own functions under Theano's names, so that
`T.exp(x)` and `np.exp(x)` are the same expression.

Examples
--------
>>> from tracer.tensor.elementwise import exp, maximum, sgn
>>> from tracer.tensor.types import dmatrix, drow, imatrix
>>> exp(drow("x")), maximum(dmatrix("y"), drow("z")).type
(Elemwise{exp,no_inplace}.0, TensorType(float64, matrix))
>>> sgn(imatrix("n")).dtype
'int32'
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.ops.special import polygamma
from tracer.tensor.variables import cast, operand
from tracer.tracing.recording import deferred, operation_of

__all__ = [
    "abs",
    "abs_",
    "add",
    "allclose",
    "and_",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "ceil_intdiv",
    "chi2sf",
    "clip",
    "complex",
    "complex_from_polar",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "deg2rad",
    "digamma",
    "divide",
    "divmod",
    "eq",
    "equal",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_div",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammal",
    "gammaln",
    "gammau",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "hypot",
    "i0",
    "i1",
    "imag",
    "int_div",
    "inv",
    "invert",
    "iround",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "iv",
    "j0",
    "j1",
    "jv",
    "largest",
    "le",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_not",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "neg",
    "negative",
    "neq",
    "not_equal",
    "or_",
    "pow",
    "power",
    "psi",
    "rad2deg",
    "real",
    "reciprocal",
    "round",
    "round_half_away_from_zero",
    "round_half_to_even",
    "sgn",
    "sign",
    "sin",
    "sinh",
    "smallest",
    "sqr",
    "sqrt",
    "square",
    "sub",
    "switch",
    "tan",
    "tanh",
    "tri_gamma",
    "true_div",
    "trunc",
    "where",
    "xor",
]


def _elementwise(
    name: str, function: Callable[..., Any], parameters: str, doc: str, late: bool = False
) -> Callable[..., Any]:
    """A function of tensors that is NumPy's own under a name of Theano's; if `late`, `function` is asked for it."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(item, kind) for item in parameters.split()])
    count = len(signature.parameters)

    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != count:
            try:
                args = signature.bind(*args, **kwargs).args
            except TypeError as error:
                raise TypeError(f"{name}{signature}: {error}") from None
        return operation_of(function() if late else function)(*map(operand, args))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = doc
    apply.__signature__ = signature  # type: ignore[attr-defined]
    return apply


# --- arithmetic ----------------------------------------------------------------------------------------------------

sub = _elementwise("sub", np.subtract, "a b", "a - b")
true_div = _elementwise("true_div", np.true_divide, "a b", "a / b; integers give floatX.")
floor_div = _elementwise("floor_div", np.floor_divide, "a b", "a // b: the quotient rounded down.")
int_div = _elementwise("int_div", np.floor_divide, "a b", "a // b: the quotient rounded down.")
mod = _elementwise("mod", np.remainder, "a b", "a % b: what rounding the quotient down leaves; it has the sign of b.")
pow = _elementwise("pow", np.power, "a b", "a ** b")
power = _elementwise("power", np.power, "a b", "a ** b")
neg = _elementwise("neg", np.negative, "a", "-a")
abs_ = _elementwise("abs_", np.absolute, "a", "The absolute value.")
sgn = _elementwise("sgn", np.sign, "a", "The sign: -1, 0 or 1.")
sqr = _elementwise("sqr", np.square, "a", "The square.")
maximum = _elementwise("maximum", np.maximum, "a b", "The greater of two; NaN if one of them is.")
minimum = _elementwise("minimum", np.minimum, "a b", "The smaller of two; NaN if one of them is.")
hypot = _elementwise("hypot", np.hypot, "a b", "sqrt(a**2 + b**2) without overflow.")


def add(x: Any, *others: Any) -> Any:
    """The sum of one or more tensors, element by element."""
    return reduce(operation_of(np.add), map(operand, others), operand(x))


def mul(x: Any, *others: Any) -> Any:
    """The product of one or more tensors, element by element."""
    return reduce(operation_of(np.multiply), map(operand, others), operand(x))


def inv(x: Any) -> Any:
    """1 / x; integers give floatX."""
    return operation_of(np.true_divide)(1, operand(x))


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """The quotient rounded down, and what it leaves."""
    return floor_div(x, y), mod(x, y)


def ceil_intdiv(a: Any, b: Any) -> Any:
    """The quotient of integers rounded up."""
    return neg(floor_div(neg(a), b))


def largest(*args: Any) -> Any:
    """The greatest of several tensors, element by element."""
    return reduce(operation_of(np.maximum), map(operand, args))


def smallest(*args: Any) -> Any:
    """The smallest of several tensors, element by element."""
    return reduce(operation_of(np.minimum), map(operand, args))


# --- powers and logarithms -----------------------------------------------------------------------------------------

sqrt = _elementwise("sqrt", np.sqrt, "a", "The square root.")
exp = _elementwise("exp", np.exp, "a", "e ** a")
exp2 = _elementwise("exp2", np.exp2, "a", "2 ** a")
expm1 = _elementwise("expm1", np.expm1, "a", "exp(a) - 1, precise near 0.")
log = _elementwise("log", np.log, "a", "The natural logarithm.")
log2 = _elementwise("log2", np.log2, "a", "The logarithm to base 2.")
log10 = _elementwise("log10", np.log10, "a", "The logarithm to base 10.")
log1p = _elementwise("log1p", np.log1p, "a", "log(1 + a), precise near 0.")
logaddexp = _elementwise("logaddexp", np.logaddexp, "a b", "log(exp(a) + exp(b)) without overflow.")

# --- rounding ------------------------------------------------------------------------------------------------------

ceil = _elementwise("ceil", np.ceil, "a", "Rounded up.")
floor = _elementwise("floor", np.floor, "a", "Rounded down.")
trunc = _elementwise("trunc", np.trunc, "a", "Rounded towards 0.")
round_half_to_even = _elementwise("round_half_to_even", np.round, "a", "Rounded; halves go to the even neighbour.")


@deferred(name="RoundHalfAwayFromZero")
def _round_away(x: Any) -> Any:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def round_half_away_from_zero(x: Any) -> Any:
    """Rounded; halves go away from 0."""
    return _round_away(operand(x))


def round(a: Any, mode: str | None = None) -> Any:
    """The nearest whole number.

    Parameters
    ----------
    a : tensor
    mode : {"half_to_even", "half_away_from_zero"}, optional
        Where halves go; to the even neighbour if None, as in NumPy.

    Examples
    --------
    >>> from tracer.tensor.types import dvector
    >>> round(dvector("x"), mode="half_away_from_zero")
    RoundHalfAwayFromZero.0
    """
    if mode in (None, "half_to_even"):
        return round_half_to_even(a)
    if mode == "half_away_from_zero":
        return round_half_away_from_zero(a)
    raise ValueError(message(messages.ROUND_MODE, mode=mode))


def iround(a: Any, mode: str | None = None) -> Any:
    """The nearest whole number, as int64; `mode` as for `round`."""
    return cast(round(a, mode), "int64")


# --- trigonometric and hyperbolic ----------------------------------------------------------------------------------

sin = _elementwise("sin", np.sin, "a", "The sine.")
cos = _elementwise("cos", np.cos, "a", "The cosine.")
tan = _elementwise("tan", np.tan, "a", "The tangent.")
arcsin = _elementwise("arcsin", np.arcsin, "a", "The inverse of the sine.")
arccos = _elementwise("arccos", np.arccos, "a", "The inverse of the cosine.")
arctan = _elementwise("arctan", np.arctan, "a", "The inverse of the tangent.")
arctan2 = _elementwise("arctan2", np.arctan2, "y x", "The angle of the point (x, y), between -pi and pi.")
sinh = _elementwise("sinh", np.sinh, "a", "The hyperbolic sine.")
cosh = _elementwise("cosh", np.cosh, "a", "The hyperbolic cosine.")
tanh = _elementwise("tanh", np.tanh, "a", "The hyperbolic tangent.")
arcsinh = _elementwise("arcsinh", np.arcsinh, "a", "The inverse of the hyperbolic sine.")
arccosh = _elementwise("arccosh", np.arccosh, "a", "The inverse of the hyperbolic cosine.")
arctanh = _elementwise("arctanh", np.arctanh, "a", "The inverse of the hyperbolic tangent.")
deg2rad = _elementwise("deg2rad", np.deg2rad, "a", "Degrees as radians.")
rad2deg = _elementwise("rad2deg", np.rad2deg, "a", "Radians as degrees.")

# --- special functions ---------------------------------------------------------------------------------------------


def _special(name: str, original: str, parameters: str, doc: str) -> Callable[..., Any]:
    """As `_elementwise`, for a function of scipy.special, which is imported when the first of them is called."""
    return _elementwise(name, lambda: getattr(import_module("scipy.special"), original), parameters, doc, late=True)


erf = _special("erf", "erf", "a", "The error function.")
erfc = _special("erfc", "erfc", "a", "1 - erf(a), precise for great a.")
erfcx = _special("erfcx", "erfcx", "a", "exp(a**2) * erfc(a).")
erfinv = _special("erfinv", "erfinv", "a", "The inverse of erf.")
erfcinv = _special("erfcinv", "erfcinv", "a", "The inverse of erfc.")
gamma = _special("gamma", "gamma", "a", "The gamma function.")
gammaln = _special("gammaln", "gammaln", "a", "The logarithm of the gamma function's absolute value.")
psi = _special("psi", "psi", "a", "The derivative of gammaln, the digamma function.")
gammainc = _special("gammainc", "gammainc", "k x", "The regularised lower incomplete gamma function.")
gammaincc = _special("gammaincc", "gammaincc", "k x", "The regularised upper incomplete gamma function.")
j0 = _special("j0", "j0", "a", "The Bessel function of the first kind of order 0.")
j1 = _special("j1", "j1", "a", "The Bessel function of the first kind of order 1.")
jv = _special("jv", "jv", "v x", "The Bessel function of the first kind of real order v.")
i0 = _special("i0", "i0", "a", "The modified Bessel function of the first kind of order 0.")
i1 = _special("i1", "i1", "a", "The modified Bessel function of the first kind of order 1.")
iv = _special("iv", "iv", "v x", "The modified Bessel function of the first kind of real order v.")
_chi2sf = _special("_chi2sf", "chdtrc", "k x", "The arguments in the order of SciPy.")
digamma = psi


def chi2sf(x: Any, k: Any) -> Any:
    """The probability that a chi-square variable of k degrees of freedom exceeds x."""
    return _chi2sf(k, x)


def gammal(k: Any, x: Any) -> Any:
    """The lower incomplete gamma function: the integral from 0 to x."""
    return mul(gammainc(k, x), gamma(k))


def gammau(k: Any, x: Any) -> Any:
    """The upper incomplete gamma function: the integral from x to infinity."""
    return mul(gammaincc(k, x), gamma(k))


@deferred(name="TriGamma")
def _tri_gamma(x: Any) -> Any:
    return polygamma(1, x)


def tri_gamma(x: Any) -> Any:
    """The derivative of psi."""
    return _tri_gamma(operand(x))


# --- comparisons and logic -----------------------------------------------------------------------------------------

eq = _elementwise("eq", np.equal, "a b", "Whether a equals b.")
neq = _elementwise("neq", np.not_equal, "a b", "Whether a differs from b.")
lt = _elementwise("lt", np.less, "a b", "Whether a < b.")
le = _elementwise("le", np.less_equal, "a b", "Whether a <= b.")
gt = _elementwise("gt", np.greater, "a b", "Whether a > b.")
ge = _elementwise("ge", np.greater_equal, "a b", "Whether a >= b.")
isnan = _elementwise("isnan", np.isnan, "a", "Whether it is no number.")
isinf = _elementwise("isinf", np.isinf, "a", "Whether it is infinite.")
and_ = _elementwise("and_", np.bitwise_and, "a b", "a & b, bit by bit; the conjunction of truth values.")
or_ = _elementwise("or_", np.bitwise_or, "a b", "a | b, bit by bit; the disjunction of truth values.")
xor = _elementwise("xor", np.bitwise_xor, "a b", "a ^ b, bit by bit; whether truth values differ.")
invert = _elementwise("invert", np.invert, "a", "~a, bit by bit; the negation of truth values.")
bitwise_and = _elementwise("bitwise_and", np.bitwise_and, "a b", "a & b, bit by bit.")
bitwise_or = _elementwise("bitwise_or", np.bitwise_or, "a b", "a | b, bit by bit.")
bitwise_xor = _elementwise("bitwise_xor", np.bitwise_xor, "a b", "a ^ b, bit by bit.")
bitwise_not = _elementwise("bitwise_not", np.invert, "a", "~a, bit by bit.")


def isclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether |a - b| <= atol + rtol * |b|, element by element.

    Parameters
    ----------
    a, b : tensor
    rtol, atol : float
        The relative and the absolute tolerance.
    equal_nan : bool
        Whether two NaNs are close.
    """
    return operation_of(np.isclose)(operand(a), operand(b), rtol=rtol, atol=atol, equal_nan=equal_nan)


def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close; the arguments are those of `isclose`."""
    return operation_of(np.all)(isclose(a, b, rtol, atol, equal_nan))


# --- choices -------------------------------------------------------------------------------------------------------

switch = _elementwise(
    "switch", np.where, "cond ift iff", "ift where the condition holds, iff elsewhere; both are computed."
)
clip = _elementwise("clip", np.clip, "x min max", "x with what lies outside [min, max] moved to its ends.")


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """X where the condition holds, y elsewhere; with the condition alone, the positions where it holds."""
    if x is None and y is None:
        return operation_of(np.nonzero)(operand(condition))
    return switch(condition, x, y)


# --- complex numbers -----------------------------------------------------------------------------------------------

real = _elementwise("real", np.real, "z", "The real part.")
imag = _elementwise("imag", np.imag, "z", "The imaginary part.")
angle = _elementwise("angle", np.angle, "z", "The angle in the complex plane, between -pi and pi.")
conj = _elementwise("conj", np.conjugate, "z", "The complex conjugate.")
conjugate = conj


@deferred(name="Complex")
def _complex(real: Any, imag: Any) -> Any:
    return real + 1j * imag


def complex(real: Any, imag: Any) -> Any:
    """The complex number of two parts."""
    return _complex(operand(real), operand(imag))


def complex_from_polar(abs: Any, angle: Any) -> Any:
    """The complex number of an absolute value and an angle."""
    return complex(mul(abs, cos(angle)), mul(abs, sin(angle)))


abs = abs_
divide = true_div
negative = neg
sign = sgn
square = sqr
reciprocal = inv
equal = eq
not_equal = neq
less = lt
less_equal = le
greater = gt
greater_equal = ge
logical_not = _elementwise("logical_not", np.logical_not, "a", "Whether it is zero or false.")
isfinite = _elementwise("isfinite", np.isfinite, "a", "Whether it is neither infinite nor NaN.")
