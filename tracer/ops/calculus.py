"""Difference quotients, unwrapped phases, and spacings on a logarithmic scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import composite
from tracer.graph.rules import is_traced, lift, lift_arrays, static_ints
from tracer.types import normalize_axis, promote

_X: tuple[tuple[int, ...], ...] = ((4, 5),)


def _along(ndim: int, axis: int, part: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, part, *(slice(None),) * (ndim - axis - 1))


# --- gradient ----------------------------------------------------------------------------------------------------


def _spacings(f: Any, varargs: Any, axes: tuple[int, ...]) -> list[Any]:
    """For each axis the distance of neighbours: a number, or a vector of differences."""
    if not varargs:
        return [1.0] * len(axes)
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        return [varargs[0]] * len(axes)
    if len(varargs) != len(axes):
        raise TypeError("invalid number of arguments")
    found = []
    for item, axis in zip(varargs, axes, strict=True):
        (item,) = lift(item, f)[:1]
        if np.ndim(item) == 0:
            found.append(item)
            continue
        if np.ndim(item) != 1:
            raise ValueError("distances must be either scalars or 1d")
        if item.shape[0] != f.shape[axis]:
            raise ValueError("when 1d, distances must match the length of the corresponding dimension")
        item = item.astype(np.float64) if item.dtype.kind in "iub" else item
        found.append(np.diff(item))
    return found


def _end(f: Any, width: Any, axis: int, edge_order: int, first: bool) -> Any:
    """The slope at the first or last place along an axis, which keeps its size of 1."""

    def at(place: int) -> Any:
        place = place if first else -1 - place
        return f[_along(f.ndim, axis, slice(place, place + 1 or None))]

    sign = 1 if first else -1
    if np.ndim(width):
        near, far = (width[0], width[1:2]) if first else (width[-1], width[-2:-1])
    else:
        near = far = width
    if edge_order == 1:
        return (at(1) - at(0)) * sign / near
    if np.ndim(width) == 0:
        return (-1.5 * at(0) + 2.0 * at(1) - 0.5 * at(2)) * sign / width
    far = far[0]
    a = -(2.0 * near + far) / (near * (near + far))
    b = (near + far) / (near * far)
    c = -near / (far * (near + far))
    return (a * at(0) + b * at(1) + c * at(2)) * sign


def _slope(f: Any, width: Any, axis: int, edge_order: int) -> Any:
    """Central differences along an axis, of second order inside."""
    before = f[_along(f.ndim, axis, slice(0, -2))]
    middle = f[_along(f.ndim, axis, slice(1, -1))]
    after = f[_along(f.ndim, axis, slice(2, None))]
    if np.ndim(width) == 0:
        inner = (after - before) / (2.0 * width)
    else:
        shape = tuple(-1 if place == axis else 1 for place in range(f.ndim))
        left, right = np.reshape(width[:-1], shape), np.reshape(width[1:], shape)
        a = -right / (left * (left + right))
        b = (right - left) / (left * right)
        c = left / (right * (left + right))
        inner = a * before + b * middle + c * after
    ends = [_end(f, width, axis, edge_order, first) for first in (True, False)]
    return np.concatenate([ends[0], inner, ends[1]], axis)


@composite(
    np.gradient,
    examples=(
        (lambda f: np.gradient(f)[1], _X),
        (lambda f: np.gradient(f, 0.5, axis=0), _X),
        (lambda f: np.gradient(f, [0.0, 1.0, 1.5, 3.0, 4.0], axis=1, edge_order=2), _X),
        (lambda f: np.gradient(f, 2.0, edge_order=2)[0], _X),
        (lambda f, h: np.gradient(f, np.cumsum(h * h + 1)), ((5,), (5,))),
    ),
)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by central differences, one array per axis."""
    (f,) = lift(f, *varargs)[:1]
    axes = tuple(range(f.ndim)) if axis is None else tuple(normalize_axis(item, f.ndim) for item in static_ints(axis))
    if len(set(axes)) != len(axes):
        raise ValueError("repeated axis")
    spacings = _spacings(f, varargs, axes)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    if f.dtype.kind in "iu":
        f = f.astype(np.float64)
    found = []
    for place, width in zip(axes, spacings, strict=True):
        if f.shape[place] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements are "
                "required."
            )
        found.append(_cast(_slope(f, width, place, edge_order), f.dtype if f.dtype.kind in "fc" else np.float64))
    return found[0] if len(axes) == 1 else tuple(found)


def _cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


# --- unwrap ------------------------------------------------------------------------------------------------------


@composite(
    np.unwrap,
    examples=(
        (lambda p: np.unwrap(4 * p), _X),
        (lambda p: np.unwrap(p, period=2.5, axis=0), _X),
        (lambda p: np.unwrap(3 * p, discont=4), _X),
    ),
)
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Phases with jumps of more than half a period taken out."""
    (p,) = lift(p)
    axis = normalize_axis(axis, p.ndim)
    gap = np.diff(p, axis=axis)
    discont = period / 2 if discont is None else discont
    dtype = promote([gap.dtype, getattr(period, "dtype", type(period))])
    if dtype.kind in "iu":
        high, odd = divmod(period, 2)
        ambiguous = odd == 0
    else:
        high, ambiguous = period / 2, True
    low = -high
    wrapped = np.remainder(gap - low, period) + low
    if ambiguous:
        wrapped = np.where((wrapped == low) & (gap > 0), high, wrapped)
    correction = np.where(np.abs(gap) < discont, 0, wrapped - gap)
    first = p[_along(p.ndim, axis, slice(0, 1))].astype(dtype)
    rest = p[_along(p.ndim, axis, slice(1, None))] + np.cumsum(correction, axis)
    return np.concatenate([first, _cast(rest, dtype)], axis)


# --- logarithmic scales ------------------------------------------------------------------------------------------


@composite(
    np.logspace,
    examples=(
        (lambda a, b: np.logspace(a, b, 4), ((), ())),
        (lambda a, b: np.logspace(a, b, 3, endpoint=False, base=2.0), ((2,), (2,))),
        (lambda a, b: np.logspace(0, 1, 3, base=a * a + 1 + b * b, axis=-1), ((2,), (2,))),
    ),
)
def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers whose logarithms are evenly spaced."""
    if np.ndim(base) > 0:
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (
            np.reshape(item, (1,) * (ndim - np.ndim(item)) + tuple(np.shape(item)))
            for item in lift_arrays(start, stop, base)
        )
        base = np.expand_dims(base, axis)
    start, stop = lift_arrays(start, stop, base)[:2] if is_traced(base) else (start, stop)
    powers = np.linspace(start, stop, num, endpoint, axis=axis)
    result = np.power(base, powers)
    return result if dtype is None else result.astype(dtype)


@composite(
    np.geomspace,
    examples=(
        (lambda a, b: np.geomspace(a * a + 1, b * b + 2, 4), ((), ())),
        (lambda a, b: np.geomspace(-1.0 - a * a, -3.0 - b * b, 3, endpoint=False), ((2,), (2,))),
    ),
)
def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Numbers with the same ratio between neighbours; neither end may be 0."""
    start, stop = lift_arrays(start, stop)
    kind = promote((start.dtype, stop.dtype, np.dtype(np.float64)))
    start, stop = _cast(start, kind), _cast(stop, kind)
    shape = np.broadcast_shapes(start.shape, stop.shape)
    start, stop = np.broadcast_to(start, shape), np.broadcast_to(stop, shape)
    sign = np.sign(start)
    log_start, log_stop = np.log10(start / sign), np.log10(stop / sign)
    result = np.power(10.0, np.linspace(log_start, log_stop, num, endpoint))
    if num > 0:
        parts = [start[None] / sign, result[1:]]
        if num > 1 and endpoint:
            parts[1:] = [result[1:-1], stop[None] / sign]
        result = np.concatenate(parts)
    result = result * sign
    result = np.moveaxis(result, 0, axis) if axis != 0 else result
    return result if dtype is None else result.astype(dtype)
