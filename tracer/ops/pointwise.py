"""NumPy's elementwise functions that are not ufuncs, written with those that are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite, method
from tracer.graph.rules import given, lift
from tracer.types import promote

_MISSING: Any = np._NoValue
_X: tuple[tuple[int, ...], ...] = ((3, 4),)
_XY: tuple[tuple[int, ...], ...] = ((3, 4), (3, 4))


@composite(
    np.where,
    examples=(
        (lambda x, y: np.where(x > y, x, y * 2), _XY),
        (lambda x: np.where(x > 0, x, 0), _X),
        (lambda x, y: np.where(np.array([True, False, True, False]), x, y), ((3, 1), (4,))),
    ),
)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Elements of x where the condition is true, of y elsewhere; without x and y the places where it is true."""
    if x is None or y is None:
        if x is not y:
            raise ValueError("either both or neither of x and y should be given")
        return np.nonzero(condition)
    return OPS["where"](condition, x, y)


def _without_limit(limit: Any, dtype: np.dtype[Any], lower: bool) -> Any:
    """None for a Python int that no element of an integer dtype can pass."""
    if type(limit) is int and dtype.kind in "iu":
        info = np.iinfo(dtype)
        if (lower and limit <= info.min) or (not lower and limit >= info.max):
            return None
    return limit


@composite(
    np.clip,
    examples=(
        (lambda x: np.clip(x, -1, 1), _X),
        (lambda x: x.clip(0, None), _X),
        (lambda x: np.clip(x, None, 0.5), _X),
        (lambda x, y: np.clip(x, y, 2), _XY),
    ),
)
def _clip(
    a: Any,
    a_min: Any = _MISSING,
    a_max: Any = _MISSING,
    out: Any = None,
    *,
    min: Any = _MISSING,
    max: Any = _MISSING,
    **_: Any,
) -> Any:
    """Limit elements to an interval; None leaves a side open."""
    (a,) = lift(a) if not hasattr(a, "dtype") else (a,)
    low = given(min, None) if a_min is _MISSING else a_min
    high = given(max, None) if a_max is _MISSING else a_max
    low, high = _without_limit(low, a.dtype, True), _without_limit(high, a.dtype, False)
    result = a
    if low is not None:
        result = np.maximum(result, low)
    if high is not None:
        result = np.minimum(result, high)
    return np.copy(a) if result is a else result


@composite(np.select, examples=((lambda x, y: np.select([x > 1, y > 0], [x, y * x], default=3), _XY),))
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The first choice whose condition is true, else the default."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if len(condlist) == 0:
        raise ValueError("select with an empty condition list is not possible")
    lifted = lift(*condlist, *choicelist, default)
    values = lifted[len(condlist) :]
    dtype = np.result_type(*(getattr(value, "dtype", value) for value in values))
    *choices, result = [value.astype(dtype) if hasattr(value, "dtype") else dtype.type(value) for value in values]
    for condition, choice in zip(lifted[len(condlist) - 1 :: -1], reversed(choices), strict=True):
        result = OPS["where"](condition, choice, result)
    return result


# --- rounding ----------------------------------------------------------------------------------------------------


@composite(
    np.round,
    np.around,
    examples=((lambda x: np.round(x), _X), (lambda x: x.round(2), _X), (lambda x: np.round(x, -1), _X)),
)
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Round to a number of decimals, ties to even."""
    if a.dtype.kind in "iu" and decimals >= 0:
        return np.copy(a)
    if a.dtype.kind in "iu":
        scale = 10**-decimals
        return (np.rint(a / scale) * scale).astype(a.dtype)
    if decimals == 0:
        return np.rint(a)
    if a.dtype.kind == "b":
        raise TypeError("bool cannot be rounded to decimals")
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


@composite(np.fix, examples=((lambda x: np.fix(x), _X),))
def _fix(x: Any, out: Any = None) -> Any:
    """Round towards zero."""
    return np.trunc(x)


def _divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Quotient and remainder."""
    return np.floor_divide(x1, x2), np.remainder(x1, x2)


composite(
    np.divmod,
    examples=(
        (lambda x, y: np.divmod(x, y * y + 1)[0], _XY),
        (lambda x, y: np.divmod(x, y * y + 1)[1], _XY),
    ),
)(_divmod)


def _modf(x: Any) -> tuple[Any, Any]:
    """Fractional and integral parts."""
    x = x if x.dtype.kind == "f" else x.astype(np.modf(np.zeros(1, x.dtype))[0].dtype)
    whole = np.trunc(x)
    return np.where(np.isinf(x), np.copysign(0, x), np.copysign(x - whole, x)), whole


composite(np.modf, examples=((lambda x: np.modf(x)[0], _X), (lambda x: np.modf(x)[1], _X)))(_modf)

# --- complex numbers ---------------------------------------------------------------------------------------------


@composite(np.angle, examples=((lambda x: np.angle(x), _X), (lambda x: np.angle(x, deg=True), _X)))
def _angle(z: Any, deg: bool = False) -> Any:
    """The angle of complex numbers."""
    angle = np.arctan2(np.imag(z), np.real(z)) if z.dtype.kind == "c" else np.arctan2(0, z)
    return angle * (180 / math.pi) if deg else angle


@composite(np.isreal, examples=((lambda x: np.isreal(x), _X),))
def _isreal(x: Any) -> Any:
    """Whether the imaginary part is zero."""
    return np.imag(x) == 0


@composite(np.iscomplex, examples=((lambda x: np.iscomplex(x), _X),))
def _iscomplex(x: Any) -> Any:
    """Whether the imaginary part is not zero."""
    return np.imag(x) != 0


# --- special values ----------------------------------------------------------------------------------------------


@composite(np.isposinf, examples=((lambda x: np.isposinf(x), _X),))
def _isposinf(x: Any, out: Any = None) -> Any:
    """Whether an element is positive infinity."""
    _need_real(x, "isposinf")
    return np.isinf(x) & ~np.signbit(x)


@composite(np.isneginf, examples=((lambda x: np.isneginf(x), _X),))
def _isneginf(x: Any, out: Any = None) -> Any:
    """Whether an element is negative infinity."""
    _need_real(x, "isneginf")
    return np.isinf(x) & np.signbit(x)


def _need_real(x: Any, name: str) -> None:
    if x.dtype.kind == "c":
        raise TypeError(f"This operation is not supported for {x.dtype} values because it would be ambiguous.")


@composite(
    np.nan_to_num,
    examples=(
        (lambda x: np.nan_to_num(np.where(x > 1, np.nan, np.where(x < -1, np.inf, x)), posinf=1.0), _X),
        (lambda x: np.nan_to_num(x, nan=1.0, posinf=2.0), _X),
    ),
)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers."""
    if not copy:
        x[...] = _nan_to_num(x, True, nan, posinf, neginf)
        return x
    if x.dtype.kind not in "fc":
        return np.copy(x)
    if x.dtype.kind == "c":
        parts = [_nan_to_num(part, True, nan, posinf, neginf) for part in (np.real(x), np.imag(x))]
        return OPS["complex"](*parts)
    limits = np.finfo(x.dtype)
    result = np.where(np.isnan(x), _scalar(nan, x.dtype), x)
    result = np.where(x == np.inf, _scalar(limits.max if posinf is None else posinf, x.dtype), result)
    return np.where(x == -np.inf, _scalar(limits.min if neginf is None else neginf, x.dtype), result)


def _scalar(value: Any, dtype: np.dtype[Any]) -> Any:
    return dtype.type(value) if np.isscalar(value) else value.astype(dtype)


@composite(np.sinc, examples=((lambda x: np.sinc(x), _X),))
def _sinc(x: Any) -> Any:
    """sin(pi x) / (pi x); the series at 0, so that derivatives are right there too."""
    y = math.pi * x
    zero = y == 0
    safe = np.where(zero, 1, y)
    return np.where(zero, 1 - y * y / 6, np.sin(safe) / safe)


# --- comparison with tolerance -----------------------------------------------------------------------------------


@composite(
    np.isclose,
    examples=((lambda x, y: np.isclose(x, y, atol=1), _XY), (lambda x: np.isclose(x, 1.0, equal_nan=True), _X)),
)
def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether elements are equal within a tolerance."""
    a, b = lift(a, b)
    if hasattr(b, "dtype") and b.dtype.kind not in "fc":
        b = b.astype(promote((b.dtype, float)))
    near = np.less_equal(np.abs(a - b), atol + rtol * np.abs(b)) & np.isfinite(b)
    close = near | np.equal(a, b)
    return close | (np.isnan(a) & np.isnan(b)) if equal_nan else close


@composite(np.allclose, examples=((lambda x, y: np.allclose(x, y, atol=1), _XY),))
def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are equal within a tolerance, as a traced bool."""
    return np.all(_isclose(a, b, rtol, atol, equal_nan))


@composite(np.array_equal, examples=((lambda x, y: np.array_equal(x, y), _XY),))
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal; a traced bool unless the shapes tell."""
    a, b = lift(a1, a2)
    if np.shape(a) != np.shape(b):
        return False
    same = np.equal(a, b)
    return np.all(same | (np.isnan(a) & np.isnan(b)) if equal_nan else same)


@composite(np.array_equiv, examples=((lambda x, y: np.array_equiv(x, y), ((3, 4), (4,))),))
def _array_equiv(a1: Any, a2: Any) -> Any:
    """Whether all elements are equal after broadcasting."""
    a, b = lift(a1, a2)
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return False
    return np.all(np.equal(a, b))


if hasattr(np, "astype"):

    @composite(np.astype, examples=((lambda x: np.astype(x, np.float32), _X),))
    def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        """The same numbers in another dtype."""
        return x.astype(dtype, copy=copy)


@method("round")
def _round_method(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Round to a number of decimals."""
    return _round(a, decimals)
