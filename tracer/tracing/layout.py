"""Where NumPy would have a traced value in memory: it decides whether a reshaped array is a view or a copy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tracer.types import contiguous_strides

Strides = tuple[int, ...]


def strides_of(value: Any) -> Strides:
    """The strides, in elements, that NumPy's array in place of a proxy would have."""
    if value._base is None:
        return value._strides or contiguous_strides(value.shape)
    found = _view_strides(value)
    return contiguous_strides(value.shape) if found is None else found


def _view_strides(value: Any) -> Strides | None:
    """Strides of a view into its base; None where NumPy makes a copy instead."""
    op, params = value._path
    if op.name == "bitcast":
        old, new = value._base.dtype.itemsize, value.dtype.itemsize
        return (*(stride * old // new for stride in strides_of(value._base)[:-1]), *(1,) * (value.ndim > 0))
    if op.layout is None:  # the real or imaginary parts: every other number
        return tuple(2 * stride for stride in strides_of(value._base))
    found = op.layout(value._base.shape, strides_of(value._base), 0, **params)
    return None if found is None else found[0]


def is_copy(value: Any) -> bool:
    """Whether NumPy copies where a proxy reshapes its base."""
    return value._path[0].name == "reshape" and None not in value.shape and _view_strides(value) is None


def kept_strides(inputs: Sequence[Any], shape: Strides) -> Strides | None:
    """Strides of an elementwise result, whose axes NumPy orders in memory as those of the inputs; None for C order."""
    orders = [strides_of(value) for value in inputs if hasattr(value, "_strides") and value.shape == shape]
    axes = list(range(len(shape)))
    for end in range(1, len(axes)):  # an insertion sort, as NumPy's own
        for place in range(end, 0, -1):
            pair = axes[place - 1], axes[place]
            swaps = [abs(strides[pair[0]]) < abs(strides[pair[1]]) for strides in orders if _are_ordered(strides, pair)]
            if not swaps or not all(swaps):
                break
            axes[place - 1 : place + 1] = reversed(pair)
    if axes == sorted(axes):
        return None
    sizes = list(itertools.accumulate((shape[axis] for axis in reversed(axes)), initial=1, func=lambda a, b: a * b))
    return tuple(sizes[axes[::-1].index(axis)] for axis in range(len(shape)))


def _are_ordered(strides: Strides, pair: tuple[int, int]) -> bool:
    return strides[pair[0]] != 0 and strides[pair[1]] != 0
