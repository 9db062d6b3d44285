"""Functions that read and write elements at positions: take, choose, put and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import composite, method
from tracer.graph.rules import is_traced, lift, literal, unsupported
from tracer.types import normalize_axis


@composite(
    np.take,
    examples=(
        (lambda x: np.take(x, [1, 5]), ((3, 4),)),
        (lambda x: np.take(x, [[0, 2], [1, 1]], axis=1), ((3, 4),)),
        (lambda x: np.take(x, 2, axis=0), ((3, 4),)),
        (lambda x: np.take(x, [7, -9], axis=1, mode="wrap"), ((3, 4),)),
        (lambda x: np.take(x, [7, -9], axis=1, mode="clip"), ((3, 4),)),
    ),
)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """Elements at positions along an axis, or of the flattened array."""
    a, *_ = lift(a, indices)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = normalize_axis(axis, a.ndim)
    if mode != "raise":
        indices, _ = lift(indices, a)
        size = a.shape[axis]
        indices = np.remainder(indices, size) if mode == "wrap" else np.minimum(np.maximum(indices, 0), size - 1)
    return np.copy(a[((slice(None),) * axis) + (indices,)])


def _grid(arr: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    if indices.ndim != arr.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    return tuple(
        indices
        if place == axis
        else literal(np.arange(size).reshape((1,) * place + (-1,) + (1,) * (arr.ndim - place - 1)), arr)
        for place, size in enumerate(arr.shape)
    )


@composite(
    np.take_along_axis,
    examples=(
        (lambda x: np.take_along_axis(x, np.array([[0], [3], [1]]), 1), ((3, 4),)),
        (lambda x: np.take_along_axis(x, np.argsort(x, axis=0), 0), ((3, 4),)),
    ),
)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Elements at positions given along one axis for each of the others."""
    arr, indices = lift(arr, indices)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    return arr[_grid(arr, indices, normalize_axis(axis, arr.ndim))]


@composite(np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """Write values at positions given along one axis, in place."""
    (indices,) = lift(indices)
    arr[_grid(arr, indices, normalize_axis(axis, arr.ndim))] = values


@composite(np.compress, examples=((lambda x: np.compress([True, False, True], x, axis=0), ((3, 4),)),))
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """The slices along an axis where a real condition is true."""
    if is_traced(condition):
        unsupported("np.compress", "condition (traced)", "keep the shape: np.where(condition, a, 0.0).")
    return np.take(a, np.flatnonzero(condition).tolist(), axis)


@method("compress")
def _compress_method(a: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """The slices along an axis where a real condition is true."""
    return _compress(condition, a, axis)


@composite(np.delete, examples=((lambda x: np.delete(x, [1, 2], axis=1), ((3, 4),)),))
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """The array without some slices along an axis."""
    if axis is None:
        arr, axis = np.ravel(arr), 0
    return np.take(arr, np.delete(np.arange(arr.shape[axis]), obj).tolist(), axis)


@composite(np.choose, examples=((lambda a, b: np.choose(np.array([[0], [1]]), [a, b]), ((2, 3), (2, 3))),))
def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """At each place the element of the array that `a` numbers."""
    a, *items = lift(a, *choices)
    a, *items = np.broadcast_arrays(a, *items)
    if mode != "raise":
        a = np.remainder(a, len(items)) if mode == "wrap" else np.minimum(np.maximum(a, 0), len(items) - 1)
    return np.take_along_axis(np.stack(items), a[None], 0)[0]


@composite(np.copyto)
def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Write values into an array, in place."""
    dst[...] = src if where is True else np.where(where, src, dst)


@composite(np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Write the main diagonal, in place."""
    places = list(range(min(a.shape)))
    a[(places,) * a.ndim] = val


@composite(np.put)
def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Write at positions of the flattened array, in place."""
    places = np.ravel(ind)
    (values,) = lift(v)
    values = np.ravel(values) if hasattr(values, "ndim") else values
    if hasattr(values, "shape") and values.shape[0] != places.shape[0]:
        values = np.take(values, [place % values.shape[0] for place in range(places.shape[0])])
    flat = np.ravel(a)
    flat[places] = values
    if not is_traced(a):
        a[...] = np.reshape(flat, a.shape)


@method("put")
def _put_method(a: Any, indices: Any, values: Any, mode: str = "raise") -> None:
    """Write at positions of the flattened array, in place."""
    _put(a, indices, values, mode)


@composite(np.putmask)
def _putmask(a: Any, mask: Any, values: Any) -> None:
    """Write where a mask is true, in place."""
    (values,) = lift(values)
    if np.ndim(values) and np.shape(values) != a.shape:
        values = np.reshape(np.take(values, [place % values.size for place in range(a.size)]), a.shape)
    a[...] = np.where(mask, values, a)
