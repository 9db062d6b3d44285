"""Functions whose results have a size that only the data tell: nonzero elements, unique values, set operations.

The size is found at the call at hand, and what is traced holds for calls with the same one. Values stay traced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import apply_like, lift, literal, run_time_size
from tracer.records import NamedTuple
from tracer.types import normalize_axis

_COUNT = "the number of elements that are not zero"
_X: tuple[tuple[int, ...], ...] = ((3, 4),)


def _numbers(count: int, like: Any) -> Any:
    """0, 1, 2 ... as part of the graph."""
    return apply_like(OPS["reshape"], like, literal(np.arange(count), like), shape=(count,))


def _truth(a: Any) -> Any:
    return a if a.dtype.kind == "b" else a != 0


# --- places ------------------------------------------------------------------------------------------------------


@composite(np.nonzero, examples=[(lambda x: np.nonzero(x)[-1], ((2, 3),))])
def _nonzero(a: Any) -> tuple[Any, ...]:
    """The indices of the elements that are not zero, one array for each axis."""
    (a,) = lift(a)
    if not a.ndim:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() instead. If the context "
            "of this error is of the form `arr[nonzero(cond)]`, just use `arr[cond]`."
        )
    flat = np.reshape(_truth(a), -1)
    places = OPS["flat_nonzero"](flat, size=run_time_size(np.count_nonzero(flat), _COUNT))
    return (places,) if a.ndim == 1 else tuple(np.unravel_index(places, a.shape))


@composite(np.flatnonzero, examples=[(np.flatnonzero, ((2, 3),))])
def _flatnonzero(a: Any) -> Any:
    """The places in the flattened array of the elements that are not zero."""
    return np.nonzero(np.ravel(a))[0]


@composite(np.argwhere, examples=[(np.argwhere, ((2, 3),))])
def _argwhere(a: Any) -> Any:
    """The indices of the elements that are not zero, one row for each."""
    if not np.ndim(a):
        return np.argwhere(np.reshape(a, (1,)))[:, :0]
    return np.stack(np.nonzero(a), axis=-1)


@composite(np.extract, examples=[(np.extract, ((4,), (4,)))])
def _extract(condition: Any, arr: Any) -> Any:
    """The elements of the flattened array where a condition is true."""
    condition, arr = lift(condition, arr)
    return np.take(np.ravel(arr), np.flatnonzero(condition))


@composite(np.trim_zeros, examples=[(np.trim_zeros, ((4,),))])
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """The array without zeros at the ends of its axes."""
    (filt,) = lift(filt)
    if set(trim.lower()) - set("fb") or len(trim) not in (1, 2):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    axes = range(filt.ndim) if axis is None else [normalize_axis(item, filt.ndim) for item in np.atleast_1d(axis)]
    truth, key = _truth(filt), [slice(None)] * filt.ndim
    for number in axes:
        line = np.any(truth, axis=tuple(other for other in range(filt.ndim) if other != number))
        size, nothing = filt.shape[number], ~np.any(line)
        first = last = 0
        if "f" in trim.lower():
            first = run_time_size(np.where(nothing, size, np.argmax(line)), "the number of zeros at the beginning")
        if "b" in trim.lower():
            last = run_time_size(np.where(nothing, size, np.argmax(np.flip(line))), "the number of zeros at the end")
        key[number] = slice(first, max(first, size - last))
    return filt[tuple(key)]


# --- unique values -----------------------------------------------------------------------------------------------


def _sorted_rows(rows: Any) -> Any:
    """The order that sorts the rows of a matrix, by their first element, then by the second, and so on."""
    order = _numbers(rows.shape[0], rows)
    for column in reversed(range(rows.shape[1])):
        order = np.take(order, np.argsort(np.take(rows[:, column], order), kind="stable"))
    return order


def _begins(ordered: Any, equal_nan: bool) -> Any:
    """Whether each of ordered elements, or rows, differs from the one before it."""
    differs = ordered[1:] != ordered[:-1]
    if equal_nan and ordered.dtype.kind in "fc" and ordered.ndim == 1:
        differs = differs & ~(np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
    if ordered.ndim > 1:
        differs = np.any(differs, axis=1)
    return np.concatenate([np.ones_like(differs, shape=(min(1, ordered.shape[0]),)), differs])


@composite(np.unique, examples=[(np.unique, ((5,),)), (lambda x: np.unique(x, return_inverse=True)[1], ((5,),))])
def _unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The sorted unique elements, or slices along an axis, and what else is asked about them."""
    (ar,) = lift(ar)
    if axis is None:
        elements = np.ravel(ar)
        order = np.argsort(elements, kind="stable")
    else:
        axis = normalize_axis(axis, ar.ndim)
        moved = np.moveaxis(ar, axis, 0)
        elements = np.reshape(moved, (moved.shape[0], -1 if moved.size else int(np.prod(moved.shape[1:]))))
        order = _sorted_rows(elements)
    ordered = np.take(elements, order, axis=0)
    begins = _begins(ordered, equal_nan)
    places = np.flatnonzero(begins)
    found = np.take(ordered, places, axis=0)
    if axis is not None:
        found = np.moveaxis(np.reshape(found, (found.shape[0], *moved.shape[1:])), 0, axis)
    results = [found]
    if return_index:
        results.append(np.take(order, places))
    if return_inverse:
        numbers = np.cumsum(begins) - 1
        inverse = OPS["scatter_set"](np.zeros_like(numbers), numbers, order)
        results.append(np.reshape(inverse, ar.shape) if axis is None else inverse)
    if return_counts:
        end = np.full_like(places, begins.shape[0], shape=(1,))
        results.append(np.diff(np.concatenate([places, end])))
    return tuple(results) if len(results) > 1 else results[0]


class UniqueAllResult(NamedTuple):
    """As NumPy's."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """As NumPy's."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """As NumPy's."""

    values: Any
    inverse_indices: Any


@composite(np.unique_all, examples=[(lambda x: np.unique_all(x).indices, ((5,),))])
def _unique_all(x: Any) -> UniqueAllResult:
    """Unique elements with the index of the first of each, the inverse and counts; each NaN is one of its own."""
    return UniqueAllResult(*np.unique(x, True, True, True, equal_nan=False))


@composite(np.unique_counts, examples=[(lambda x: np.unique_counts(x).values, ((5,),))])
def _unique_counts(x: Any) -> UniqueCountsResult:
    """Unique elements and counts; each NaN is one of its own."""
    return UniqueCountsResult(*np.unique(x, return_counts=True, equal_nan=False))


@composite(np.unique_inverse, examples=[(lambda x: np.unique_inverse(x).inverse_indices, ((5,),))])
def _unique_inverse(x: Any) -> UniqueInverseResult:
    """Unique elements and the inverse; each NaN is one of its own."""
    return UniqueInverseResult(*np.unique(x, return_inverse=True, equal_nan=False))


@composite(np.unique_values, examples=[(lambda x: np.sort(np.unique_values(x)), ((5,),))])
def _unique_values(x: Any) -> Any:
    """Unique elements; each NaN is one of its own."""
    return np.unique(x, equal_nan=False)


# --- sets --------------------------------------------------------------------------------------------------------


@composite(np.union1d, examples=[(np.union1d, ((4,), (3,)))])
def _union1d(ar1: Any, ar2: Any) -> Any:
    """The elements of either of two arrays."""
    one, two = lift(ar1, ar2)
    return np.unique(np.concatenate([np.ravel(one), np.ravel(two)]))


@composite(np.intersect1d, examples=[(np.intersect1d, ((4,), (3,)))])
def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The elements of both arrays, and on request their first places."""
    one, two = (np.ravel(item) for item in lift(ar1, ar2))
    indices = []
    if not assume_unique:
        one, first = np.unique(one, return_index=True)
        two, second = np.unique(two, return_index=True)
        indices = [first, second]
    both = np.concatenate([one, two])
    order = np.argsort(both, kind="stable")
    both = np.take(both, order)
    twice = np.flatnonzero(both[1:] == both[:-1])
    found = np.take(both, twice)
    if not return_indices:
        return found
    places = [np.take(order, twice), np.take(order, twice + 1) - one.shape[0]]
    if indices:
        places = [np.take(own, place) for own, place in zip(indices, places, strict=True)]
    return found, *places


@composite(np.setdiff1d, examples=[(np.setdiff1d, ((4,), (3,)))])
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements of the first array that are not in the second."""
    one, two = lift(ar1, ar2)
    one = np.ravel(one) if assume_unique else np.unique(one)
    return np.take(one, np.flatnonzero(np.isin(one, two, invert=True)))


@composite(np.setxor1d, examples=[(np.setxor1d, ((4,), (3,)))])
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements of just one of two arrays."""
    one, two = (np.ravel(item) if assume_unique else np.unique(item) for item in lift(ar1, ar2))
    both = np.sort(np.concatenate([one, two]))
    begins = _begins(both, equal_nan=False)
    ends = np.concatenate([begins[1:], np.ones_like(begins, shape=(min(1, both.shape[0]),))])
    return np.take(both, np.flatnonzero(begins & ends))
