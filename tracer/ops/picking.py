"""Functions that read and write elements at positions: take, choose, put and their kin."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite, method, stand_in
from tracer.graph.rules import Literal, apply_like, grid_along, is_traced, lift, lift_arrays, literal
from tracer.types import normalize_axis


def _after(write: Callable[..., Any]) -> Callable[..., Any]:
    """The array that writing leaves, for the examples."""

    def written(a: Any, *args: Any) -> Any:
        result = np.copy(a)
        write(result, *args)
        return result

    return written


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
    (a,) = lift(a) if is_traced(a) else lift(a, indices)[:1]
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = normalize_axis(axis, a.ndim)
    if mode != "raise":
        indices, _ = lift(indices, a)
        size = a.shape[axis]
        indices = np.remainder(indices, size) if mode == "wrap" else np.minimum(np.maximum(indices, 0), size - 1)
    return np.copy(a[((slice(None),) * axis) + (indices,)])


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
    return arr[grid_along(arr, indices, normalize_axis(axis, arr.ndim))]


@composite(
    np.put_along_axis,
    examples=(
        (_after(lambda a, v: np.put_along_axis(a, np.array([[1], [3], [0]]), v, 1)), ((3, 4), (3, 1))),
        (_after(lambda a, v: np.put_along_axis(a, np.argmax(a, axis=0)[None], v, 0)), ((3, 4), (1, 4))),
    ),
)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """Write values at positions given along one axis, in place."""
    (indices,) = lift(indices)
    arr[grid_along(arr, indices, normalize_axis(axis, arr.ndim))] = values


@composite(np.compress, examples=((lambda x: np.compress([True, False, True], x, axis=0), ((3, 4),)),))
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """The slices along an axis where a condition is true."""
    if is_traced(condition):
        if condition.ndim != 1:
            raise ValueError("condition must be a 1-d array")
        return np.take(a, np.flatnonzero(condition), axis)
    return np.take(a, np.flatnonzero(condition).tolist(), axis)


@method("compress")
def _compress_method(a: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """The slices along an axis where a condition is true."""
    return _compress(condition, a, axis)


def _all_but(size: int, place: Any, like: Any) -> Any:
    """The places of an axis without one that is traced."""
    places = np.zeros_like(place, dtype=np.int64, shape=(size - 1,)) + literal(np.arange(size - 1), like)
    return places + (places >= np.where(place < 0, place + size, place))


def _numbers(count: int, like: Any) -> Any:
    return apply_like(OPS["reshape"], like, literal(np.arange(count), like), shape=(count,))


def _left_over(size: int, obj: Any) -> Any:
    """The places of an axis without those that are traced, or that a traced mask tells."""
    if obj.dtype.kind == "b":
        if obj.shape != (size,):
            raise ValueError(
                f"boolean array argument obj to delete must be one-dimensional and match the axis length of {size}"
            )
        return np.flatnonzero(~obj)
    kept = np.full_like(obj, True, dtype=bool, shape=(size,))
    kept[np.ravel(obj)] = False
    return np.flatnonzero(kept)


@composite(
    np.delete,
    examples=(
        (lambda x: np.delete(x, [1, 2], axis=1), ((3, 4),)),
        (lambda x: np.delete(x, slice(1, None, 2)), ((3, 4),)),
        (lambda x: np.delete(x, np.argmax(x[:, 0]), axis=0), ((3, 4),)),
    ),
)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """The array without some slices along an axis."""
    (arr,) = lift(arr, obj)[:1] if is_traced(obj) else lift(arr)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = normalize_axis(axis, arr.ndim)
    if is_traced(obj):
        if obj.size != 1 or obj.dtype.kind == "b":
            return np.take(arr, _left_over(arr.shape[axis], obj), axis)
        return np.take(arr, _all_but(arr.shape[axis], np.reshape(obj, ()), arr), axis)
    return np.take(arr, literal(np.delete(np.arange(arr.shape[axis]), obj), arr), axis)


@composite(
    np.insert,
    examples=(
        (lambda x: np.insert(x, 1, 5, axis=1), ((3, 4),)),
        (lambda x, v: np.insert(x, [1, 3], v), ((3, 4), (2,))),
        (lambda x, v: np.insert(x, [0, 2, 2], v, axis=1), ((2, 3), (2, 1))),
        (lambda x, v: np.insert(x, 1, v, axis=0), ((3, 4), (2, 4))),
        (lambda x, v: np.insert(x, [1], v, axis=1), ((2, 3), (2, 2))),
        (lambda x: np.insert(x, slice(0, 4, 2), [7, 8]), ((3, 4),)),
        (lambda x: np.insert(x, np.argsort(x[:, 0]), x[:, 1], axis=0), ((4, 2),)),
        (lambda x: np.insert(x, np.argmax(x[:, 0]), x[:2], axis=0), ((4, 2),)),
    ),
)
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """The array with values put in before places along an axis."""
    if is_traced(obj) and obj.dtype.kind == "b":
        obj = np.flatnonzero(obj)
    arr, values = lift_arrays(arr, values, obj)[:2] if is_traced(obj) else lift_arrays(arr, values)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = normalize_axis(axis, arr.ndim)
    places = np.arange(arr.shape[axis])
    single = not isinstance(obj, slice) and np.ndim(obj) == 0
    if is_traced(obj) and obj.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    values = values.astype(arr.dtype)
    values = np.reshape(values, (1,) * (arr.ndim - values.ndim) + values.shape) if values.ndim < arr.ndim else values
    if single:
        if not isinstance(obj, bool | np.bool_) and not is_traced(obj):
            operator.index(obj)
        values = np.moveaxis(values, 0, axis)
        count = values.shape[axis]
    else:
        count = obj.size if is_traced(obj) else np.insert(places, obj, 0).size - places.size
        count = values.shape[axis] if count == 1 else count
    values = np.broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    if is_traced(obj):
        return np.take(np.concatenate([arr, values], axis), _order_with(obj, count, places.size), axis)
    new = places.size + np.arange(count)
    order = np.insert(places, obj if single or np.size(new) == 1 else _several(obj, count, places.size), new)
    return np.take(np.concatenate([arr, values], axis), literal(order, arr), axis)


def _order_with(obj: Any, count: int, size: int) -> Any:
    """The places of an axis and of what follows it, with those of the latter before traced places."""
    inside = _numbers(size + 1, obj)[np.broadcast_to(np.ravel(obj - (obj < 0)), (count,))]
    order = np.argsort(inside, kind="stable")
    inside[order] += _numbers(count, obj)
    is_old = np.full_like(obj, True, dtype=bool, shape=(size + count,))
    is_old[inside] = False
    result = np.full_like(obj, 0, dtype=np.int64, shape=(size + count,))
    result[inside] = _numbers(count, obj) + size
    result[OPS["flat_nonzero"](is_old, size=size)] = _numbers(size, obj)
    return result


def _several(obj: Any, count: int, size: int) -> Any:
    """Places to insert at, the one place repeated for all that goes there."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(size))
    return np.repeat(np.asarray(obj), count) if np.size(obj) == 1 and np.asarray(obj).dtype != bool else obj


@composite(np.choose, examples=((lambda a, b: np.choose(np.array([[0], [1]]), [a, b]), ((2, 3), (2, 3))),))
def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """At each place the element of the array that `a` numbers."""
    a, *items = lift(a, *choices)
    dtype = np.result_type(*items)
    a, *items = np.broadcast_arrays(a, *items)
    items = [item if item.dtype == dtype else item.astype(dtype) for item in items]
    if mode != "raise":
        a = np.remainder(a, len(items)) if mode == "wrap" else np.minimum(np.maximum(a, 0), len(items) - 1)
    return np.take_along_axis(np.stack(items), a[None], 0)[0]


# --- in place ----------------------------------------------------------------------------------------------------


@composite(
    np.copyto,
    examples=(
        (_after(lambda a, b: np.copyto(a, b)), ((3, 4), (4,))),
        (_after(lambda a, b: np.copyto(a, b, where=np.real(b) > 0)), ((3, 4), (3, 4))),
    ),
)
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Write values into an array, in place."""
    if type(src) is int and dst.dtype.kind != "b":
        src = np.asarray(src, dst.dtype)  # Python's integers go into any array that can hold them
    (src,) = lift_arrays(src, dst)[:1]
    if not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {src.dtype!r} to {dst.dtype!r} according to the rule {casting!r}")
    src = src if src.dtype == dst.dtype else src.astype(dst.dtype)
    dst[...] = src if where is True else np.where(where, src, dst)


@composite(
    np.fill_diagonal,
    examples=(
        (_after(lambda a, v: np.fill_diagonal(a, v)), ((3, 4), (2,))),
        (_after(lambda a, v: np.fill_diagonal(a, v[0], wrap=True)), ((7, 3), (1,))),
    ),
)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Write the main diagonal, in place."""
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    end = None
    if a.ndim == 2:
        step = a.shape[1] + 1
        end = None if wrap else a.shape[1] * a.shape[1]
    else:
        if len(set(a.shape)) != 1:
            raise ValueError("All dimensions of input must be of equal length")
        step = 1 + sum(a.shape[0] ** place for place in range(1, a.ndim))
    _put(a, literal(np.arange(a.size)[:end:step], a), val)


@composite(
    np.put,
    examples=(
        (_after(lambda a, v: np.put(a, [0, 5, -1], v)), ((3, 4), (2,))),
        (_after(lambda a, v: np.put(a.T, [1, 14], v, mode="wrap")), ((3, 4), (2,))),
    ),
)
def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Write at positions of the flattened array, in place; values that are too few are taken over and over."""
    places: Any = ind if isinstance(ind, Literal) else np.ravel(ind) if is_traced(ind) else literal(np.ravel(ind), a)
    count: Any = places.shape[0]
    if not count:
        return
    if mode != "raise":
        (places,) = lift(places, a)[:1]
        places = np.remainder(places, a.size) if mode == "wrap" else np.clip(places, 0, a.size - 1)
    (values,) = lift_arrays(v, a)[:1]
    values = np.ravel(values)
    if not values.shape[0]:
        return
    if values.shape[0] != count:
        values = np.take(values, literal(np.arange(count) % values.shape[0], a))
    flat: Any = np.copy(np.ravel(a))
    flat[places] = values
    a[...] = np.reshape(flat, a.shape)


@method("put")
def _put_method(a: Any, indices: Any, values: Any, mode: str = "raise") -> None:
    """Write at positions of the flattened array, in place."""
    _put(a, indices, values, mode)


def _in_turn(values: Any, places: Any) -> Any:
    """Values by number, taken over and over."""
    return np.take(values, np.remainder(places, values.shape[0]))


@composite(
    np.putmask,
    examples=((_after(lambda a, v: np.putmask(a, np.real(a) > 0, v)), ((3, 4), (5,))),),
)
def _putmask(a: Any, mask: Any, values: Any) -> None:
    """Write where a mask is true, in place, each place the value of its own number."""
    (values,) = lift_arrays(values, a)[:1]
    if not values.size:
        return
    if values.shape != a.shape:
        numbers = literal(np.arange(a.size) % values.size, a)
        values = np.reshape(np.take(np.ravel(values), numbers), a.shape)
    (mask,) = lift_arrays(mask, a)[:1]
    if mask.size != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    values = values if values.dtype == a.dtype else values.astype(a.dtype)
    a[...] = np.where(np.reshape(mask, a.shape), values, a)


@composite(
    np.place,
    examples=((_after(lambda a, v: np.place(a, np.real(a) > 0, v)), ((3, 4), (5,))),),
)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    """Write where a mask is true, in place, one value after another."""
    (vals,) = lift_arrays(vals, arr)[:1]
    vals = np.ravel(vals)
    (mask,) = lift_arrays(mask, arr)[:1]
    if mask.size != arr.size:
        raise ValueError("place: mask and data must be the same size")
    if not vals.shape[0]:
        raise ValueError("Cannot insert from an empty array!")
    mask = np.ravel(mask.astype(bool))
    number = np.maximum(np.cumsum(mask) - 1, 0)
    values = _in_turn(vals if vals.dtype == arr.dtype else vals.astype(arr.dtype), number)
    arr[...] = np.reshape(np.where(mask, values, np.ravel(arr)), arr.shape)


@stand_in("numpy.ix_")
def _ix(*args: Any) -> tuple[Any, ...]:
    """Index arrays that together choose a grid of rows and columns."""
    found = []
    for place, item in enumerate(lift_arrays(*args)):
        if item.ndim != 1:
            raise ValueError("Cross index must be 1 dimensional")
        found.append(np.reshape(item, tuple(-1 if axis == place else 1 for axis in range(len(args)))))
    return tuple(found)
