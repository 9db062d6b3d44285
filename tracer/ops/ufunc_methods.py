"""The methods of ufuncs: reduce, accumulate, reduceat, outer and at, written with NumPy functions.

Ufuncs that have reductions and running totals of their own use them. The others are folded: pairwise in a logarithmic
number of steps where the operation is associative, else one element after another, as NumPy does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.op import FUNCTIONS, UFUNC_METHODS
from tracer.graph.rules import given, is_traced, lift, lift_arrays, literal
from tracer.types import normalize_axes, normalize_axis

_REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATIONS: dict[np.ufunc, Callable[..., Any]] = {np.add: np.cumsum, np.multiply: np.cumprod}
_ASSOCIATIVE = frozenset(
    (
        *_REDUCTIONS,
        *(np.fmax, np.fmin, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor),
        *(np.gcd, np.lcm, np.hypot, np.logaddexp, np.logaddexp2),
    )
)
_WITHIN: dict[np.ufunc, np.ufunc] = {np.divide: np.multiply, np.power: np.multiply, np.subtract: np.add}
"""With what to combine the values that go to one place, before they go there."""
_MOST_STEPS = 4096
"""Elements that are folded one after another: each is a step of the graph."""


def _along(ndim: int, axis: int, part: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, part, *(slice(None),) * (ndim - axis - 1))


def _unsupported(ufunc: np.ufunc, method: str, hint: str) -> errors.UnsupportedFunctionError:
    name = ufunc.__name__ if not hasattr(np, ufunc.__name__) else f"np.{ufunc.__name__}"
    return errors.UnsupportedFunctionError(
        errors.message(errors.UNSUPPORTED_METHOD, method=method, function=name, hint=hint)
    )


def _probe(ufunc: np.ufunc, method: str, x: Any, *args: Any, **options: Any) -> np.dtype[Any]:
    """The dtype that NumPy computes in, asked with a few elements; raises NumPy's own errors."""
    sizes = tuple(min(size, 2) for size in x.shape)
    sample = np.ones(sizes, x.dtype)
    with np.errstate(all="ignore"):
        return np.asarray(getattr(ufunc, method)(sample, *args, **options)).dtype


def _cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


# --- reduce ------------------------------------------------------------------------------------------------------


def _reduce(
    ufunc: np.ufunc,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    """`ufunc.reduce`: combine all elements along axes."""
    initial = given(initial, None)
    array, where, initial = (*lift(array, where), None) if initial is None else lift(array, where, initial)
    options = {} if initial is None else {"initial": initial}
    if ufunc in _REDUCTIONS and not (options and ufunc in (np.logical_and, np.logical_or)):
        if dtype is not None:
            options |= {"dtype": dtype} if ufunc in (np.add, np.multiply) else {}
        result = _REDUCTIONS[ufunc](array, axis=axis, keepdims=keepdims, where=where, **options)
        return result if dtype is None else _cast(result, dtype)
    (x,) = lift(array)
    axes = () if x.ndim == 0 and axis in (0, -1) else normalize_axes(axis, x.ndim)
    known = {"initial": 1 if is_traced(initial) else initial} if options else {}
    masked = {} if where is True else {"where": np.ones((), bool)}
    x = _cast(x, _probe(ufunc, "reduce", x, axis=axes, dtype=dtype, **known, **masked))
    kept = tuple(1 if place in axes else size for place, size in enumerate(x.shape))
    rest = tuple(place for place in range(x.ndim) if place not in axes)

    def in_front(item: Any) -> Any:
        """An array of the same shape with what is reduced as its first axis."""
        return np.reshape(np.transpose(item, (*axes, *rest)), (-1, *(x.shape[place] for place in rest)))

    mask = None
    if where is not True:
        mask = in_front(np.broadcast_to(lift_arrays(where, x)[0], x.shape))
        # Where the initial value may be combined again and again it does for what the mask leaves out.
        neutral = ufunc.identity if ufunc.identity is not None else initial
        if ufunc in _ASSOCIATIVE:
            x = np.where(where, x, x.dtype.type(neutral) if np.isscalar(neutral) else neutral)
    flat = in_front(x)
    if options:
        first = np.broadcast_to(_cast(lift_arrays(initial, flat)[0], flat.dtype), (1, *flat.shape[1:]))
        flat = np.concatenate([first, flat])
    result = _folded(ufunc, flat, mask) if flat.shape[0] else np.full_like(flat, ufunc.identity, shape=flat.shape[1:])
    return np.reshape(result, kept) if keepdims else result


def _folded(ufunc: np.ufunc, x: Any, mask: Any) -> Any:
    """Combine along the first axis, which is not empty; a mask says which elements after the first count."""
    if ufunc is np.subtract:
        rest = x[1:] if mask is None else np.where(mask, x[1:], x.dtype.type(0))
        return x[0] - np.sum(rest, axis=0, dtype=x.dtype)
    if ufunc not in _ASSOCIATIVE:
        _check_length(ufunc, "reduce", x.shape[0])
        total = x[0]
        for place in range(1, x.shape[0]):
            following = ufunc(total, x[place])
            total = following if mask is None else np.where(mask[place - 1], following, total)
        return total
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        pairs = ufunc(x[:half], x[half : 2 * half])
        x = np.concatenate([pairs, x[2 * half :]]) if x.shape[0] % 2 else pairs
    return x[0]


def _check_length(ufunc: np.ufunc, method: str, size: int) -> None:
    if size > _MOST_STEPS:
        raise _unsupported(ufunc, method, f"more than {_MOST_STEPS} elements are too many to unroll; use tracer.scan.")


# --- accumulate --------------------------------------------------------------------------------------------------


def _accumulate(ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None) -> Any:
    """`ufunc.accumulate`: the results of combining the first elements along an axis, one more at a time."""
    if ufunc in _ACCUMULATIONS:
        return _ACCUMULATIONS[ufunc](array, axis=axis, dtype=dtype)
    known = FUNCTIONS.get(ufunc.accumulate)
    if known is not None:
        return known.apply(array, axis=axis, dtype=dtype)
    (x,) = lift(array)
    axis = normalize_axis(axis, x.ndim)
    x = _cast(x, _probe(ufunc, "accumulate", x, axis=axis, dtype=dtype))
    size = x.shape[axis]
    if size < 2:
        return np.copy(x)
    if ufunc is np.subtract:
        first, rest = x[_along(x.ndim, axis, slice(0, 1))], x[_along(x.ndim, axis, slice(1, None))]
        return np.concatenate([first, first - np.cumsum(rest, axis, dtype=x.dtype)], axis)
    if ufunc in _ASSOCIATIVE:
        step = 1
        while step < size:
            head, tail = x[_along(x.ndim, axis, slice(0, step))], x[_along(x.ndim, axis, slice(step, None))]
            before = x[_along(x.ndim, axis, slice(0, size - step))]
            x = np.concatenate([head, ufunc(before, tail)], axis)
            step *= 2
        return x
    _check_length(ufunc, "accumulate", size)
    parts = [x[_along(x.ndim, axis, 0)]]
    for place in range(1, size):
        parts.append(ufunc(parts[-1], x[_along(x.ndim, axis, place)]))
    return np.stack(parts, axis)


# --- reduceat ----------------------------------------------------------------------------------------------------


def _reduceat(ufunc: np.ufunc, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """`ufunc.reduceat`: combine the elements from each index to the next one, along an axis."""
    if is_traced(indices):
        return _reduceat_traced(ufunc, array, indices, axis, dtype)
    (x,) = lift(array)
    axis = normalize_axis(axis, x.ndim)
    places = np.asarray(indices)
    size = x.shape[axis]
    for place in places.tolist():
        if not 0 <= place < size:
            raise IndexError(f"index {place} out-of-bounds in {ufunc.__name__}.reduceat [0, {size})")
    starts = np.zeros(1, np.intp)
    kind = _probe(ufunc, "reduceat", np.ones((1,) * x.ndim, x.dtype), starts, axis=axis, dtype=dtype)
    moved = np.moveaxis(_cast(x, kind), axis, 0)
    if not places.size:
        return np.copy(np.moveaxis(moved[:0], 0, axis))
    ends = [*places[1:].tolist(), size]
    runs = [(start, max(end, start + 1)) for start, end in zip(places.tolist(), ends, strict=True)]
    if ufunc is np.add:
        taken = np.concatenate([np.arange(start, end) for start, end in runs])
        owners = np.repeat(np.arange(len(runs)), [end - start for start, end in runs])
        total = np.zeros_like(moved, shape=(len(runs), *moved.shape[1:]))
        np.add.at(total, literal(owners, moved), moved[literal(taken, moved)])
        return np.moveaxis(total, 0, axis)
    parts = [_reduce(ufunc, moved[start:end], 0, kind) for start, end in runs]
    return np.stack(parts, axis)


def _reduceat_traced(ufunc: np.ufunc, array: Any, indices: Any, axis: int, dtype: Any) -> Any:
    """Runs whose ends are traced: a reduction over all elements for each, of which a mask chooses its own."""
    if ufunc.identity is None and ufunc not in (np.maximum, np.minimum):
        raise _unsupported(ufunc, "reduceat", "give indices that are known while tracing.")
    x, indices = lift(array, indices)
    axis = normalize_axis(axis, x.ndim)
    moved = np.moveaxis(x, axis, 0)
    size = moved.shape[0]
    # Read from an array of places, so that one out of bounds raises an IndexError in the call.
    numbers = np.zeros_like(indices, dtype=np.int64, shape=(size,)) + literal(np.arange(size), moved)
    indices = numbers[np.where(indices < 0, size, indices)]
    ends = np.concatenate([indices[1:], np.full_like(indices, size, shape=(1,))])
    ends = np.maximum(ends, indices + 1)
    place = literal(np.arange(size), moved)
    mask = (indices[:, None] <= place) & (ends[:, None] > place)
    mask = np.reshape(mask, mask.shape + (1,) * (moved.ndim - 1))
    options: dict[str, Any] = {"where": mask}
    if ufunc.identity is None:
        limits: Any = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
        low = -np.inf if x.dtype.kind == "f" else limits.min
        options["initial"] = low if ufunc is np.maximum else (np.inf if x.dtype.kind == "f" else limits.max)
    spread = np.broadcast_to(moved, (mask.shape[0], *moved.shape))
    return np.moveaxis(_reduce(ufunc, spread, 1, dtype, **options), 0, axis)


# --- outer -------------------------------------------------------------------------------------------------------


def _outer(ufunc: np.ufunc, left: Any, right: Any, **options: Any) -> Any:
    """`ufunc.outer`: combine all pairs of elements."""
    left, right = lift_arrays(left, right)
    return ufunc(np.reshape(left, left.shape + (1,) * right.ndim), right, **options)


# --- at ----------------------------------------------------------------------------------------------------------


def _at(ufunc: np.ufunc, target: Any, key: Any, *values: Any) -> None:
    """`ufunc.at`: combine values into an array in place; a place that comes twice is combined twice."""
    numbers = np.arange(target.size).reshape(target.shape)
    is_known = not any(map(is_traced, key if isinstance(key, tuple) else (key,)))
    if is_known:
        places = numbers[key]
    else:
        places = (np.zeros_like(target, dtype=np.int64) + literal(numbers, target))[key]
    shape = places.shape
    flat = np.copy(np.ravel(target))
    values = tuple(np.ravel(np.broadcast_to(_operand(value, target), shape)) for value in values)
    if is_known:
        flat = _combine_known(ufunc, flat, places.ravel(), values)
    else:
        flat = _combine_traced(ufunc, flat, np.ravel(places), values)
    target[...] = np.reshape(flat, target.shape)


def _operand(value: Any, target: Any) -> Any:
    weak = type(value) in (bool, int, float) and np.can_cast(type(value), target.dtype, "same_kind")
    (array,) = lift_arrays(value, target)[:1]
    return array.astype(target.dtype) if weak else array


def _combine_known(ufunc: np.ufunc, flat: Any, places: np.ndarray[Any, Any], values: Sequence[Any]) -> Any:
    """Round by round: in each every place comes once, so that it is an ordinary assignment."""
    order = np.argsort(places, kind="stable")
    in_order = places[order]
    starts = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])) if places.size else order
    runs = np.diff(np.append(starts, places.size))
    for number in range(int(runs.max(initial=0))):
        chosen = np.sort(order[starts[runs > number] + number])
        some = literal(places[chosen], flat)
        now = ufunc(flat[some], *(value[literal(chosen, flat)] for value in values))
        flat[some] = _cast(now, flat.dtype)
    return flat


def _combine_traced(ufunc: np.ufunc, flat: Any, places: Any, values: Sequence[Any]) -> Any:
    """Combine what goes to the same place first, by running totals that start anew at every other place."""
    within = _WITHIN.get(ufunc, ufunc)
    if not values or within not in _ASSOCIATIVE or flat.dtype != within(flat[:0], values[0][:0]).dtype:
        _check_length(ufunc, "at", places.shape[0])
        for number in range(places.shape[0]):
            place = places[number : number + 1]
            flat[place] = _cast(ufunc(flat[place], *(value[number : number + 1] for value in values)), flat.dtype)
        return flat
    order = np.argsort(places, kind="stable")
    places = places[order]
    total, size, step = _cast(values[0], flat.dtype)[order], places.shape[0], 1
    while step < size:
        same = places[step:] == places[:-step]
        joined = _cast(within(total[:-step], total[step:]), total.dtype)
        total = np.concatenate([total[:step], np.where(same, joined, total[step:])])
        step *= 2
    flat[places] = _cast(ufunc(flat[places], total), flat.dtype)  # the last write to a place is its whole total
    return flat


UFUNC_METHODS.update({"reduce": _reduce, "accumulate": _accumulate, "reduceat": _reduceat, "outer": _outer, "at": _at})
