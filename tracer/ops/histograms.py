"""Histograms in one and more dimensions: counts and densities, of weights too."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import apply_like, is_traced, lift, lift_arrays, literal, unsupported
from tracer.types import promote

_X: tuple[tuple[int, ...], ...] = ((3, 5),)
_XW: tuple[tuple[int, ...], ...] = ((6,), (6,))


def _sum_at(weights: Any, places: Any, size: int) -> Any:
    """The sums of weights, or the counts where they are None, by place; `size` is the place of those left out."""
    if weights is None:
        ones = np.ones_like(places, dtype=np.int64)
        return OPS["scatter_add"](np.zeros_like(places, dtype=np.int64, shape=(size + 1,)), ones, places)[:size]
    exact = np.dtype(np.complex128 if weights.dtype.kind == "c" else np.float64)
    base = np.zeros_like(places, dtype=exact, shape=(size + 1,))
    return OPS["scatter_add"](base, weights.astype(exact), places)[:size].astype(weights.dtype)


# --- edges -------------------------------------------------------------------------------------------------------


def _ends(a: Any, limits: Any) -> tuple[Any, Any]:
    """The first and last edge: given, or the smallest and largest element, half a unit apart if they are equal."""
    if limits is not None:
        first, last = limits
        if not is_traced(first) and not is_traced(last):
            if first > last:
                raise ValueError("max must be larger than min in range parameter.")
            if not (np.isfinite(first) and np.isfinite(last)):
                raise ValueError(f"supplied range of [{first}, {last}] is not finite")
            return (first - 0.5, last + 0.5) if first == last else (first, last)
    elif a.size == 0:
        return 0, 1
    else:
        first, last = np.min(a), np.max(a)
    first, last = lift(first, last, a)[:2]
    same = np.equal(first, last)
    if promote([getattr(item, "dtype", type(item)) for item in (first, last)]).kind in "iub":
        first, last = np.multiply(first, 1.0), np.multiply(last, 1.0)
    return np.where(same, first - 0.5, first), np.where(same, last + 0.5, last)


def _number(bins: Any) -> int:
    try:
        count = operator.index(bins)
    except TypeError as error:
        raise TypeError("`bins` must be an integer, a string, or an array") from error
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    return count


def _edges(a: Any, bins: Any, limits: Any) -> tuple[Any, int | None]:
    """The edges of bins, and how many there are if all have the same width."""
    if isinstance(bins, str):
        unsupported("np.histogram", f"bins={bins!r}", "give a number of bins, or their edges.")
    if np.ndim(bins) == 0:
        count = _number(bins)
        first, last = _ends(a, limits)
        dtype = promote([getattr(item, "dtype", type(item)) for item in (first, last, a)])
        dtype = promote((dtype, np.dtype(np.float64))) if dtype.kind in "iub" else dtype
        if is_traced(first) or is_traced(last):
            first, last = lift_arrays(first, last)
            return np.linspace(first, last, count + 1, dtype=dtype), count
        return _constant(np.linspace(first, last, count + 1, dtype=dtype), a), count
    if np.ndim(bins) != 1:
        raise ValueError("`bins` must be 1d, when an array")
    if not is_traced(bins):
        _check_rising(np.asarray(bins), "`bins` must increase monotonically, when an array")
        return _constant(np.asarray(bins), a), None
    return bins, None


def _constant(array: np.ndarray[Any, Any], like: Any) -> Any:
    """A real array whose numbers were looked at: a constant, so that the trace is guarded by its contents."""
    return apply_like(OPS["reshape"], like, literal(array, like), shape=array.shape)


def _check_rising(edges: np.ndarray[Any, Any], text: str) -> None:
    if np.any(edges[:-1] > edges[1:]):
        raise ValueError(text)


def _uniform_places(a: Any, edges: Any, count: int) -> Any:
    """The number of the bin of each element among bins of equal width; `count` if it is in none."""
    first, last = edges[0], edges[-1]
    a = a.astype(edges.dtype)
    inside = (a >= first) & (a <= last)
    part = np.where(inside, (a - first) / (last - first) * count, 0)
    place = np.minimum(part.astype(np.int64), count - 1)
    # The division may be one unit in the last place off an edge.
    place = place - (a < edges[place])
    place = np.maximum(place, 0)
    place = place + ((a >= edges[place + 1]) & (place != count - 1))
    return np.where(inside, place, count)


def _places(a: Any, edges: Any) -> Any:
    """The number of the bin of each element; the number of bins if it is in none. The last bin has both its edges."""
    count = edges.shape[0] - 1
    place = np.searchsorted(edges, a, side="right") - 1
    place = place - (a == edges[-1])
    return np.where((place < 0) | (place >= count), count, place)


# --- NumPy's functions -------------------------------------------------------------------------------------------


def _flattened(a: Any, weights: Any) -> tuple[Any, Any]:
    items = lift_arrays(a, *(() if weights is None else (weights,)))
    if weights is not None and items[1].shape != items[0].shape:
        raise ValueError("weights should have the same shape as a.")
    a = items[0].astype(np.uint8) if items[0].dtype.kind == "b" else items[0]
    return np.ravel(a), None if weights is None else np.ravel(items[1])


@composite(
    np.histogram_bin_edges,
    examples=(
        (lambda x: np.histogram_bin_edges(x, 3), _X),
        (lambda x: np.histogram_bin_edges(x, 4, range=(-1, 2)), _X),
    ),
)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins of a histogram."""
    a, _ = _flattened(a, weights)
    return _edges(a, bins, range)[0]


@composite(
    np.histogram,
    examples=(
        (lambda x: np.histogram(x, 3)[0], _X),
        (lambda x: np.histogram(x, 4, range=(-1, 1.5))[0], _X),
        (lambda x, w: np.histogram(np.real(x), [-2, -0.5, 0.5, 2.5], weights=w * 1.0)[0], _XW),
        (lambda x, w: np.histogram(np.real(x), 4, weights=np.real(w).astype(np.float64), density=True)[0], _XW),
        (lambda x: np.histogram(x, 3)[1], _X),
    ),
)
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple[Any, Any]:
    """How many elements lie in each bin, or the sums of their weights; and the edges of the bins."""
    a, weights = _flattened(a, weights)
    edges, count = _edges(a, bins, range)
    size = edges.shape[0] - 1
    places = _places(a, edges) if count is None else _uniform_places(a, edges, count)
    counts = _sum_at(weights, places, size)
    if density:
        return counts / np.diff(edges).astype(np.float64) / np.sum(counts), edges
    return counts, edges


@composite(
    np.histogramdd,
    examples=(
        (lambda x: np.histogramdd(x, (2, 3))[0], ((6, 2),)),
        (lambda x, w: np.histogramdd(np.real(x), 2, weights=np.real(w))[0], ((5, 3), (5,))),
        (lambda x: np.histogramdd(x, (2, [-2, 0, 1]), range=((-1, 1), (-2, 2)), density=True)[0], ((7, 2),)),
    ),
)
def _histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, Any]:
    """How many points lie in each cell of a grid, or the sums of their weights; and the edges along each axis."""
    columns: Sequence[Any]
    if isinstance(sample, list | tuple):
        columns = lift_arrays(*sample)
    else:
        (sample,) = lift(sample)
        sample = sample if sample.ndim == 2 else np.atleast_2d(sample).T
        columns = [sample[:, place] for place in np.arange(sample.shape[1]).tolist()]
    depth = len(columns)
    if isinstance(bins, list | tuple) or np.ndim(bins):
        if len(bins) != depth:
            raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    else:
        bins = [bins] * depth
    if range is not None and len(range) != depth:
        raise ValueError("range argument must have one entry per dimension")
    edges = [
        _edges_of(column, item, None if range is None else range[place], place)
        for place, (column, item) in enumerate(zip(columns, bins, strict=True))
    ]
    shape = tuple(item.shape[0] - 1 for item in edges)
    places = _cell(columns, edges, shape)
    if weights is not None:
        (weights,) = lift_arrays(weights, places)[:1]
        if weights.dtype.kind == "c":
            raise TypeError("Cannot cast array data from dtype('complex128') to dtype('float64')")
        weights = weights.astype(np.float64)
    counts = np.reshape(_sum_at(weights, places, int(np.prod(shape))), shape).astype(np.float64)
    if density:
        total = np.sum(counts)
        for axis, item in enumerate(edges):
            counts = counts / np.reshape(np.diff(item), tuple(-1 if axis == place else 1 for place in np.arange(depth)))
        counts = counts / total
    return counts, edges


def _edges_of(column: Any, bins: Any, limits: Any, place: int) -> Any:
    """The edges along one axis of a grid."""
    if np.ndim(bins) == 0:
        if bins < 1:
            raise ValueError(f"`bins[{place}]` must be positive, when an integer")
        try:
            count = operator.index(bins)
        except TypeError as error:
            raise TypeError(f"`bins[{place}]` must be an integer, when a scalar") from error
        first, last = _ends(column, limits)
        if is_traced(first) or is_traced(last):
            first, last = lift_arrays(first, last)
            return np.linspace(first, last, count + 1)
        return _constant(np.linspace(first, last, count + 1), column)
    if np.ndim(bins) != 1:
        raise ValueError(f"`bins[{place}]` must be a scalar or 1d array")
    if is_traced(bins):
        return bins
    _check_rising(np.asarray(bins), f"`bins[{place}]` must be monotonically increasing, when an array")
    return _constant(np.asarray(bins), column)


def _cell(columns: Sequence[Any], edges: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """The place of each point in the flattened grid; its size where a point is outside."""
    total: Any = None
    outside: Any = None
    for column, item, size in zip(columns, edges, shape, strict=True):
        place = _places(column, item)
        missed = place == size
        total = place if total is None else total * size + place
        outside = missed if outside is None else outside | missed
    return np.where(outside, int(np.prod(shape)), total)


@composite(
    np.histogram2d,
    examples=(
        (lambda x, y: np.histogram2d(x, y, 3)[0], _XW),
        (lambda x, y: np.histogram2d(x, y, [[-2, 0, 2], 2], density=True)[0], _XW),
    ),
)
def _histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, Any, Any]:
    """How many points lie in each cell of a grid in the plane; and the edges along both axes."""
    x, y = lift_arrays(x, y)
    if len(x) != len(y):
        raise ValueError("x and y must have the same length.")
    if hasattr(bins, "__len__") and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = np.histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]
