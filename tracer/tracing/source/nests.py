"""Nests of traced values as one traced value, and keys that are or hold such nests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.node import constant
from tracer.graph.op import FUNCTIONS
from tracer.graph.rules import lift_arrays
from tracer.tracing.proxy import Proxy, has_proxy, wrap


def as_array(value: Any) -> Any:
    """A list or tuple with traced values in it as one traced value; anything else as it is."""
    return as_one(value) if isinstance(value, list | tuple) and has_proxy(value) else value


def stacked(value: Any) -> Any:
    """Arguments with every list of traced values as one traced value; the same object if there is none."""
    if isinstance(value, dict):
        items = [as_array(item) for item in value.values()]
        changed = any(map(_differ, items, value.values()))
        return dict(zip(value, items, strict=True)) if changed else value
    items = [as_array(item) for item in value]
    return tuple(items) if any(map(_differ, items, value)) else value


def _differ(one: Any, other: Any) -> bool:
    return one is not other


def is_traced_function(function: Any) -> bool:
    """Whether a function of NumPy has a traced form, so that it may be called with traced values in every place."""
    try:
        return function in FUNCTIONS
    except TypeError:  # cannot be hashed
        return False


def array_key(key: Any) -> Any:
    """A key with lists of traced integers as one traced value."""
    return tuple(map(as_array, key)) if isinstance(key, tuple) else as_array(key)


def item_of_list(values: Sequence[Any], key: Any) -> Any:
    """An item of a list of numbers or arrays of one shape, at a traced position."""
    items = list(values)
    stack = as_one(items) if has_proxy(items) else wrap(constant(np.asarray(items)), key._trace)
    return np.take(stack, key, axis=0)


def write_flat(target: Any, key: Any, value: Any) -> None:
    """`target.flat[key] = value`."""
    places = np.arange(target.size)[key]
    picked = np.unravel_index(places, target.shape)
    size = np.size(places)
    if np.size(value) not in (1, size) and size:  # NumPy repeats values, or leaves some out
        value = np.take(np.reshape(value, -1), np.arange(size) % np.size(value))
    target[picked] = np.reshape(value, np.shape(places)) if np.size(value) == size else np.reshape(value, ())


def as_one(value: Any) -> Any:
    """A nest of lists of traced values, arrays and numbers as one traced value, of NumPy's dtype."""
    if isinstance(value, Proxy):
        return value
    if not has_proxy(value):
        return np.asarray(value)
    items = [as_one(item) for item in value]
    shapes = {np.shape(item) for item in items}
    if len(shapes) > 1:
        raise ValueError(
            "setting an array element with a sequence. The requested array has an inhomogeneous shape after 1 "
            f"dimensions. The detected shapes are {sorted(shapes)}."
        )
    items = [item.item() if isinstance(item, np.ndarray) and item.shape == () else item for item in items]
    return np.stack(lift_arrays(*items))


# --- np.r_ and np.c_ ---------------------------------------------------------------------------------------------


def joined(holder: Any, key: Any) -> Any:
    """`np.r_[key]` and `np.c_[key]` with traced values in the key; None for anything else."""
    if not isinstance(holder, type(np.r_) | type(np.c_)):
        return None
    parts = list(key) if isinstance(key, tuple) else [key]
    if not any(has_proxy(part) for part in parts):
        return None
    axis, ndmin, first = (-1, 2, 0) if isinstance(holder, type(np.c_)) else (0, 1, -1)
    if isinstance(parts[0], str):
        numbers = [int(number) for number in parts.pop(0).split(",")]
        axis, ndmin, first = (*numbers, *(axis, ndmin, first)[len(numbers) :])
    dtype = np.result_type(*(np.r_[part] if isinstance(part, slice) else as_array(part) for part in parts))
    arrays = [_at_least(np.r_[part] if isinstance(part, slice) else as_one(part), ndmin, first) for part in parts]
    return np.concatenate(arrays, axis=axis).astype(dtype)


def _at_least(value: Any, ndmin: int, first: int) -> Any:
    """A value with at least `ndmin` axes, its own beginning at `first`, or ending with the last where it is -1."""
    value = np.asarray(value) if not isinstance(value, Proxy) else value
    extra = ndmin - value.ndim
    if extra <= 0:
        return value
    if value.ndim == 0:
        return np.reshape(value, (1,) * ndmin)
    before = extra + first + 1 if first < 0 else first
    return np.reshape(value, (1,) * before + value.shape + (1,) * (extra - before))
