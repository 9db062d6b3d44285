"""Sorting symbolic tensors, and their largest elements, as in Theano's `tensor.sort`.

Examples
--------
>>> import tracer.tensor as T
>>> from tracer.tensor.sort import sort, topk
>>> x = T.dvector("x")
>>> [item.eval({x: [3.0, 1.0, 2.0]}) for item in (sort(x), topk(x, 2), topk(x, -1))]
[array([1., 2., 3.]), array([3., 2.]), array([1.])]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.tensor.shaping import flatten
from tracer.tensor.variables import as_tensor_variable, call, known_value
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing, static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = ["argsort", "argtopk", "sort", "topk", "topk_and_argtopk"]

_KINDS = ("quicksort", "mergesort", "heapsort", "stable")


def _sorted(function: Any, a: Any, axis: Any, kind: str, order: Any) -> Any:
    if kind not in _KINDS or order is not None:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, and order None; got {kind!r} and {order!r}")
    a = as_tensor_variable(a)
    if axis is None:
        return call(function, flatten(a), axis=0, kind=kind)
    return call(function, a, axis=int(known_value(axis)), kind=kind)


def sort(a: Any, axis: Any = -1, kind: str = "quicksort", order: Any = None) -> Any:
    """The elements of a tensor sorted along an axis, or all of them with axis=None."""
    return _sorted(np.sort, a, axis, kind, order)


def argsort(a: Any, axis: Any = -1, kind: str = "quicksort", order: Any = None) -> Any:
    """The positions (int64) that would sort a tensor along an axis, or the flattened tensor with axis=None."""
    return _sorted(np.argsort, a, axis, kind, order)


def _positions(x: Any, count: int, axis: int, in_order: bool) -> Any:
    """Where the largest elements along an axis are, or the smallest if the count is negative."""
    size = x.shape[axis]
    if count == 0 or abs(count) > size:
        hint = "a negative number counts the smallest elements."
        raise ValueError(message(messages.TOPK_COUNT, size=size, kth=count, hint=hint))
    part = [slice(None)] * x.ndim
    if in_order:
        order = np.argsort(-x if count > 0 and x.dtype.kind in "if" else x, axis=axis, kind="stable")
        if count > 0 and x.dtype.kind not in "if":
            order = np.flip(order, axis)
        part[axis] = slice(abs(count))
        return order[tuple(part)]
    part[axis] = slice(size - count, None) if count > 0 else slice(-count)
    place = size - count if count > 0 else -count
    return np.argpartition(x, min(place, size - 1), axis=axis)[tuple(part)]


def _types(x: Any, kth: Any, axis: int, in_order: bool, index_dtype: np.dtype[Any]) -> tuple[TensorType, TensorType]:
    return x.type, tensor_type(index_dtype, x.broadcastable)


@deferred(name="TopKOp", infer=_types)
def _largest(x: Any, kth: Any, axis: int, in_order: bool, index_dtype: np.dtype[Any]) -> tuple[Any, Any]:
    places = _positions(x, int(static(kth)), axis, in_order)
    return np.take_along_axis(x, places, axis), places.astype(index_dtype)


def topk_and_argtopk(x: Any, kth: Any, axis: Any = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Any:
    """The largest elements along an axis, and where they are.

    Parameters
    ----------
    x : tensor
    kth : int or integer scalar
        How many; a negative number is about the smallest ones.
    axis : int or None
        Along which axis; None for the flattened tensor.
    sorted : bool
        Whether the largest (or smallest) comes first; otherwise they come in the order that np.partition leaves.
    idx_dtype : str
        Integer dtype of the positions.

    Returns
    -------
    list of two variables
        Values, which are differentiable, and positions.
    """
    x = as_tensor_variable(x)
    dtype = np.dtype(idx_dtype)
    if dtype.kind not in "iu":
        raise TypeError(f'"idx_dtype" parameter must be an integer dtype, got "{idx_dtype}"')
    if axis is None:
        x, axis = flatten(x), 0
    ndim = np.ndim(x) if is_computing() else x.ndim
    if not isinstance(axis, int) or not -ndim <= axis < ndim:
        kind = x.type if hasattr(x, "type") else f"array of {ndim} dimensions"
        raise (IndexError if isinstance(axis, int) else TypeError)(message(messages.TOPK_AXIS, axis=axis, type=kind))
    return _largest(x, kth, axis % ndim, bool(sorted), dtype)


def topk(x: Any, kth: Any, axis: Any = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Any:
    """The largest elements along an axis; see `topk_and_argtopk`."""
    return topk_and_argtopk(x, kth, axis, sorted, idx_dtype)[0]


def argtopk(x: Any, kth: Any, axis: Any = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Any:
    """Where the largest elements along an axis are; see `topk_and_argtopk`."""
    return topk_and_argtopk(x, kth, axis, sorted, idx_dtype)[1]
