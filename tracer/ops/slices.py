"""Functions that call a function of the user: along an axis, over axes, and piece by piece."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import lift, lift_arrays, static_ints
from tracer.types import normalize_axis

_X: tuple[tuple[int, ...], ...] = ((3, 4),)


@composite(
    np.apply_along_axis,
    examples=(
        (lambda x: np.apply_along_axis(lambda row: row[0] * np.sum(row), 1, x), _X),
        (lambda x: np.apply_along_axis(np.sort, 0, x), _X),
        (lambda x: np.apply_along_axis(np.diag, -1, x), ((2, 3),)),
    ),
)
def _apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """The results of a function of each of the vectors along an axis."""
    (arr,) = lift(arr)
    axis = normalize_axis(axis, arr.ndim)
    moved = np.moveaxis(arr, axis, -1)
    outer = moved.shape[:-1]
    if 0 in outer:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [func1d(moved[place], *args, **kwargs) for place in product(*map(range, outer))]
    first = lift_arrays(results[0], arr)[0]
    results = [item if item.dtype == first.dtype else item.astype(first.dtype) for item in lift_arrays(*results, arr)]
    stacked = np.reshape(np.stack(results[:-1]), (*outer, *first.shape))
    own = tuple(range(len(outer), len(outer) + first.ndim))
    return np.transpose(stacked, (*range(axis), *own, *range(axis, len(outer))))


@composite(
    np.apply_over_axes,
    examples=((lambda x: np.apply_over_axes(np.sum, x, [0, 2]), ((2, 3, 4),)),),
)
def _apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A function of an array and an axis, applied over several axes one after another."""
    (value,) = lift(a)
    ndim = value.ndim
    for axis in static_ints(axes):
        axis = axis + ndim if axis < 0 else axis
        result = func(value, axis)
        if np.ndim(result) != ndim:
            result = np.expand_dims(result, axis)
            if np.ndim(result) != ndim:
                raise ValueError("function is not returning an array of the correct shape")
        value = result
    return value


@composite(
    np.piecewise,
    examples=(
        (lambda x: np.piecewise(x, [x < 0, x >= 0], [2, 1]), _X),
        (lambda x: np.piecewise(x, [x < 0, x > 1], [lambda v: v * 3, lambda v: v * v, 1]), _X),
        (lambda x: np.piecewise(x, [x > 0.5, x > 0], [lambda v, k: k * v, lambda v, k: v], 3), _X),
    ),
)
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """At each place the function of the last condition that holds there, in the dtype of x.

    Where a condition does not hold its function is given 1 instead of x, so that what it cannot be computed or
    differentiated at leaves no trace.
    """
    parts = condlist if isinstance(condlist, list | tuple) else [condlist]
    (x,) = lift(x, *parts)[:1]
    if (condlist is not parts and np.ndim(condlist) == 0) or (np.ndim(condlist[0]) == 0 and x.ndim != 0):
        condlist = [condlist]  # one condition
    conditions = [item.astype(bool) for item in lift_arrays(*condlist, x)[:-1]]
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        some = conditions[0]
        for condition in conditions[1:]:
            some = some | condition
        conditions.append(~some)
    if len(functions) != len(conditions):
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or {len(conditions) + 1} functions are "
            "expected"
        )
    result = np.zeros_like(x)
    for condition, function in zip(conditions, functions, strict=True):
        if callable(function):
            function = function(OPS["where"](condition, x, x.dtype.type(1)), *args, **kw)
        (value,) = lift_arrays(function, x)[:1]
        result = OPS["where"](condition, value if value.dtype == x.dtype else value.astype(x.dtype), result)
    return result
