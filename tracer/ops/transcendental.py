"""Elementwise exponentials, logarithms, trigonometry, hyperbolic functions, and a few special functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.graph.op import UFUNC_NAMES, elementwise
from tracer.types import is_inexact, promote

_LOG2 = math.log(2)
_LOG10 = math.log(10)
_POSITIVE = ((0.2, 3.0),)
_INSIDE = ((-0.8, 0.8),)

# --- exponentials and logarithms ---------------------------------------------------------------------------------

elementwise("exp", np.exp, kernel="exp", deriv=(lambda y, x: y,), doc="e ** x.")
elementwise("exp2", np.exp2, kernel="exp2", deriv=(lambda y, x: _LOG2 * y,), doc="2 ** x.")
elementwise("expm1", np.expm1, kernel="expm1", deriv=(lambda y, x: y + 1,), doc="e ** x - 1, accurate near 0.")
elementwise("log", np.log, kernel="log", deriv=(lambda y, x: 1 / x,), domain=_POSITIVE, doc="Natural logarithm.")
elementwise("log2", np.log2, kernel="log2", deriv=(lambda y, x: 1 / (_LOG2 * x),), domain=_POSITIVE, doc="Base 2.")
elementwise("log10", np.log10, kernel="log10", deriv=(lambda y, x: 1 / (_LOG10 * x),), domain=_POSITIVE, doc="Base 10.")
elementwise(
    "log1p",
    np.log1p,
    kernel="log1p",
    deriv=(lambda y, x: 1 / (1 + x),),
    domain=((-0.8, 3.0),),
    doc="log(1 + x), accurate near 0.",
)


def _share(scale: float) -> Any:
    """Part of the first argument in log(exp(a) + exp(b)); one half where both are the same infinity."""

    def rule(y: Any, a: Any, b: Any) -> Any:
        difference = np.where((a == b) & np.isinf(a), 0, a - b)
        return SIGMOID(scale * difference if scale != 1 else difference)

    return rule


def _other_share(scale: float) -> Any:
    rule = _share(scale)
    return lambda y, a, b: rule(y, b, a)


elementwise(
    "logaddexp",
    np.logaddexp,
    kernel="logaddexp",
    deriv=(_share(1), _other_share(1)),
    commutative=True,
    doc="log(exp(a) + exp(b)) without overflow.",
)
elementwise(
    "logaddexp2",
    np.logaddexp2,
    kernel="logaddexp2",
    deriv=(_share(_LOG2), _other_share(_LOG2)),
    commutative=True,
    doc="log2(2 ** a + 2 ** b) without overflow.",
)

# --- trigonometry ------------------------------------------------------------------------------------------------

elementwise("sin", np.sin, kernel="sin", deriv=(lambda y, x: np.cos(x),), doc="Sine.")
elementwise("cos", np.cos, kernel="cos", deriv=(lambda y, x: -np.sin(x),), doc="Cosine.")
elementwise("tan", np.tan, kernel="tan", deriv=(lambda y, x: 1 + y * y,), domain=((-1.2, 1.2),), doc="Tangent.")
elementwise(
    "arcsin",
    np.arcsin,
    kernel="arcsin",
    deriv=(lambda y, x: 1 / np.sqrt((1 - x) * (1 + x)),),
    domain=_INSIDE,
    doc="Inverse sine.",
)
elementwise(
    "arccos",
    np.arccos,
    kernel="arccos",
    deriv=(lambda y, x: -1 / np.sqrt((1 - x) * (1 + x)),),
    domain=_INSIDE,
    doc="Inverse cosine.",
)
elementwise("arctan", np.arctan, kernel="arctan", deriv=(lambda y, x: 1 / (1 + x * x),), doc="Inverse tangent.")


def _radius(a: Any, b: Any) -> Any:
    # The angle has no direction at the origin; 0 there instead of NaN.
    radius = np.hypot(a, b)
    return np.where(radius == 0, 1, radius)


def _arctan2_first(y: Any, a: Any, b: Any) -> Any:
    radius = _radius(a, b)
    return b / radius / radius


def _arctan2_second(y: Any, a: Any, b: Any) -> Any:
    radius = _radius(a, b)
    return -a / radius / radius


elementwise(
    "arctan2",
    np.arctan2,
    kernel="arctan2",
    deriv=(_arctan2_first, _arctan2_second),
    domain=((0.3, 2.0), (-2.0, 2.0)),
    doc="Angle of the point (second, first).",
)
elementwise(
    "hypot",
    np.hypot,
    kernel="hypot",
    deriv=(lambda y, a, b: a / np.where(y == 0, 1, y), lambda y, a, b: b / np.where(y == 0, 1, y)),
    domain=((0.3, 2.0), (-2.0, 2.0)),
    commutative=True,
    doc="sqrt(a * a + b * b) without overflow; the derivative at the origin is 0.",
)
for _name, _ufunc, _factor in (
    ("deg2rad", np.deg2rad, math.pi / 180),
    ("radians", np.radians, math.pi / 180),
    ("rad2deg", np.rad2deg, 180 / math.pi),
    ("degrees", np.degrees, 180 / math.pi),
):
    elementwise(_name, _ufunc, deriv=(lambda y, x, factor=_factor: factor,), doc=f"x * {_factor:.6g}.")

# --- hyperbolic functions ----------------------------------------------------------------------------------------

elementwise("sinh", np.sinh, kernel="sinh", deriv=(lambda y, x: np.cosh(x),), doc="Hyperbolic sine.")
elementwise("cosh", np.cosh, kernel="cosh", deriv=(lambda y, x: np.sinh(x),), doc="Hyperbolic cosine.")
elementwise("tanh", np.tanh, kernel="tanh", deriv=(lambda y, x: 1 - y * y,), doc="Hyperbolic tangent.")
elementwise(
    "arcsinh",
    np.arcsinh,
    kernel="arcsinh",
    deriv=(lambda y, x: 1 / np.sqrt(x * x + 1),),
    doc="Inverse hyperbolic sine.",
)
elementwise(
    "arccosh",
    np.arccosh,
    kernel="arccosh",
    # Two roots: the square root of the product has its branch cut elsewhere in the complex plane.
    deriv=(lambda y, x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)),),
    domain=((1.2, 3.0),),
    doc="Inverse hyperbolic cosine.",
)
elementwise(
    "arctanh",
    np.arctanh,
    kernel="arctanh",
    deriv=(lambda y, x: 1 / ((1 - x) * (1 + x)),),
    domain=_INSIDE,
    doc="Inverse hyperbolic tangent.",
)

# --- special functions -------------------------------------------------------------------------------------------


def _real_dtypes(operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """SciPy's loops: float32 for float32 and small integers, else float64; complex stays."""
    dtype = promote((*operands, np.dtype(np.float32)))
    return dtype, dtype


def _scipy(name: str) -> Any:
    def evaluate(x: Any) -> Any:
        import scipy.special

        dtype = np.asarray(x).dtype
        if not is_inexact(dtype):
            x = np.asarray(x, _real_dtypes((dtype,))[0])
        return getattr(scipy.special, name)(x)

    return evaluate


def _softplus(x: Any) -> Any:
    x = np.asarray(x)
    return np.logaddexp(x.astype(_real_dtypes((x.dtype,))[0]), 0)


def _gauss(factor: float) -> Any:
    return lambda y, x: factor * np.exp(-x * x)


SIGMOID = elementwise(
    "sigmoid",
    _scipy("expit"),
    kernel="sigmoid",
    dtypes=_real_dtypes,
    deriv=(lambda y, x: y * (1 - y),),
    doc="1 / (1 + exp(-x)).",
)
SOFTPLUS = elementwise(
    "softplus",
    _softplus,
    kernel="softplus",
    dtypes=_real_dtypes,
    deriv=(lambda y, x: SIGMOID(x),),
    doc="log(1 + exp(x)) without overflow.",
)
_ERF = elementwise(
    "erf",
    _scipy("erf"),
    kernel="erf",
    dtypes=_real_dtypes,
    deriv=(_gauss(2 / math.sqrt(math.pi)),),
    doc="The error function.",
)
_ERFC = elementwise(
    "erfc",
    _scipy("erfc"),
    dtypes=_real_dtypes,
    deriv=(_gauss(-2 / math.sqrt(math.pi)),),
    doc="1 - erf(x), accurate where it is small.",
)
UFUNC_NAMES.update(erf=_ERF, erfc=_ERFC, expit=SIGMOID, log_expit=lambda x: -SOFTPLUS(-x))
