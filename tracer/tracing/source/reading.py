"""What code that is not rewritten may look at of the arrays that it is given."""

from __future__ import annotations

import itertools
import types
from collections import deque
from typing import Any

import numpy as np

_SHAPES_ONLY: frozenset[Any] = frozenset(
    (
        *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.result_type, np.iscomplexobj),
        *(np.isrealobj, np.can_cast, np.may_share_memory, np.shares_memory, np.isfortran, np.broadcast_shapes),
        *(len, isinstance, issubclass, type, id, hasattr, getattr, setattr, callable, print),
    )
)
_ITERATING: frozenset[Any] = frozenset(
    (list, tuple, set, frozenset, dict, deque, zip, enumerate, reversed, iter, next, map, filter, itertools.chain)
)
_CONTAINERS = (list, tuple, dict, set, deque)
_VIEWS = frozenset(
    (
        *("reshape", "ravel", "transpose", "swapaxes", "squeeze", "diagonal", "view", "moveaxis", "rollaxis", "flip"),
        *("expand_dims", "atleast_1d", "atleast_2d", "atleast_3d", "asarray", "asanyarray", "ascontiguousarray"),
        *("broadcast_to", "fliplr", "flipud", "rot90", "matrix_transpose", "permute_dims", "real", "imag", "array"),
    )
)


_WRITTEN = {np.copyto: 0, np.put: 0, np.place: 0, np.putmask: 0, np.fill_diagonal: 0, np.put_along_axis: 0}
"""NumPy's functions that write into an argument, and which."""
_METHODS: dict[Any, str] = {
    **{len: "__len__", iter: "__iter__", next: "__next__", float: "__float__", int: "__int__", bool: "__bool__"},
    **{complex: "__complex__", abs: "__abs__", str: "__str__", repr: "__repr__", list: "__iter__", tuple: "__iter__"},
    **{sum: "__iter__", max: "__iter__", min: "__iter__", sorted: "__iter__", enumerate: "__iter__"},
}


def method_of(function: Any) -> str | None:
    """The method that a builtin function of one argument calls of it."""
    try:
        return _METHODS.get(function)
    except TypeError:  # cannot be hashed
        return None


def is_iterated(value: Any) -> bool:
    """Whether the items of a value are numbers of an array."""
    return isinstance(value, np.flatiter) or (isinstance(value, np.ndarray) and value.ndim < 2)


def looked_at(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments whose numbers a function may read that is not rewritten, arrays or nests of them."""
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, _CONTAINERS):
        return ()
    try:
        if function in _SHAPES_ONLY:
            return ()
        if function in _ITERATING:
            return tuple(item for item in args if is_iterated(item))
    except TypeError:  # cannot be hashed
        pass
    return (getattr(function, "__self__", None), *args, kwargs)


def may_give_views(function: Any) -> bool:
    """Whether a function or method of NumPy gives a view without looking at numbers, where it gives a view."""
    return getattr(function, "__name__", None) in _VIEWS


def written_positions(function: Any, args: Any) -> tuple[int, ...]:
    """Which arguments a function of NumPy writes into."""
    if isinstance(function, np.ufunc):
        return tuple(range(function.nin, len(args)))
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return (0,) if function.__name__ == "at" else ()
    try:
        place = _WRITTEN.get(function)
    except TypeError:  # cannot be hashed
        return ()
    return () if place is None else (place,)
