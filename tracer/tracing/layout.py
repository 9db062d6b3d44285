"""Where NumPy would have a traced value in memory: it decides whether a reshaped array is a view or a copy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.records import NamedTuple
from tracer.types import contiguous_strides, element_strides

Strides = tuple[int, ...]


class Pick(NamedTuple):
    """What makes a view by integers that are traced, as an op makes the others: the key."""

    key: tuple[Any, ...]
    name: str = "pick"


def strides_of(value: Any) -> Strides:
    """The strides, in elements, that NumPy's array in place of a proxy would have."""
    if value._base is None:
        return value._strides or contiguous_strides(value.shape)
    found = _view_strides(value)
    return contiguous_strides(value.shape) if found is None else found


def turned_strides(value: Any, dropped: int | None = None) -> Strides | None:
    """Strides of an array or traced value, perhaps without one axis, for what stands for it; None in C order."""
    shape = getattr(value, "shape", (None,))
    if None in shape or not hasattr(value, "strides"):
        return None
    strides = strides_of(value) if hasattr(value, "_strides") else element_strides(value)
    if dropped is not None:
        shape, strides = ((*item[:dropped], *item[dropped + 1 :]) for item in (shape, strides))
    return None if strides == contiguous_strides(shape) else strides


def _view_strides(value: Any) -> Strides | None:
    """Strides of a view into its base; None where NumPy makes a copy instead."""
    op, params = value._path
    if op.name == "pick":
        key = tuple([0 if getattr(item, "shape", None) == () else item for item in op.key])
        whole = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), value._base.shape, strides_of(value._base))
        return whole[key].strides
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
    """Strides of an elementwise or joined result, whose axes NumPy orders as those of the inputs; None for C order."""
    return _in_order([_spread_strides(value, shape) for value in inputs if getattr(value, "shape", ())], shape)


def reduced_strides(value: Any, axes: Sequence[int], keepdims: bool, shape: Strides) -> Strides | None:
    """Strides of a reduction, whose axes NumPy orders as those of the input; None for C order."""
    own = enumerate(strides_of(value))
    left = [0 if axis in axes else stride for axis, stride in own if keepdims or axis not in axes]
    return _in_order([tuple(left)], shape)


def _in_order(orders: Sequence[Strides], shape: Strides) -> Strides | None:
    """Strides of an array whose axes are ordered in memory as those of others; None for C order."""
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


def _spread_strides(value: Any, shape: Strides) -> Strides:
    """Strides of an input along the axes of a result, 0 where it is repeated."""
    own = strides_of(value) if hasattr(value, "_strides") else getattr(value, "strides", None)
    own = contiguous_strides(value.shape) if own is None else own
    spread = tuple(0 if size == 1 else stride for size, stride in zip(value.shape, own, strict=True))
    return (0,) * (len(shape) - len(spread)) + spread


def copied_strides(value: Any, order: str) -> Strides | None:
    """Strides of a copy of an array in one of NumPy's orders; None for C order."""
    shape = value.shape
    if order == "K":
        return kept_strides([value], shape)
    if order == "F" or (order == "A" and value.flags.fnc):
        return tuple(reversed(contiguous_strides(tuple(reversed(shape)))))
    return None


def _are_ordered(strides: Strides, pair: tuple[int, int]) -> bool:
    return strides[pair[0]] != 0 and strides[pair[1]] != 0
