"""Medians, quantiles and percentiles, with every method, with weights, and of the elements that are not NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import apply_like, given, is_traced, lift, literal, static_ints
from tracer.types import normalize_axes

_X: tuple[tuple[int, ...], ...] = ((3, 5),)
_XYZ: tuple[tuple[int, ...], ...] = ((2, 3, 4),)
_WEIGHTED: tuple[tuple[int, ...], ...] = ((3, 5), (3, 5))


def _last(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """An array with the axes to reduce flattened into its last one, and its shape with those axes kept as 1."""
    axes = normalize_axes(axis, a.ndim)
    rest = tuple(place for place in range(a.ndim) if place not in axes)
    moved = np.transpose(a, (*rest, *axes))
    kept = tuple(1 if place in axes else size for place, size in enumerate(a.shape))
    size = math.prod(a.shape[place] for place in axes)
    return np.reshape(moved, (*(a.shape[place] for place in rest), size)), kept


def _or_nan(result: Any, in_order: Any) -> Any:
    if in_order.dtype.kind not in "fc" or not in_order.shape[-1]:
        return result
    undefined = np.isnan(in_order[..., -1])
    return np.where(undefined, result.dtype.type(np.nan), result)


def _holed(x: Any) -> Any:
    """Some elements replaced by NaN, for the examples."""
    return np.where(x > 1, np.nan, x)


# --- medians -----------------------------------------------------------------------------------------------------


@composite(
    np.median,
    examples=(
        (lambda x: np.median(x), _X),
        (lambda x: np.median(x, axis=1), ((2, 4),)),
        (lambda x: np.median(x, axis=(0, 2), keepdims=True), _XYZ),
    ),
)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The element in the middle, or the mean of the two in the middle."""
    (a,) = lift(a)
    flat, kept = _last(a, axis)
    in_order = np.sort(flat, axis=-1)
    size = flat.shape[-1]
    result = _or_nan(np.mean(in_order[..., (size - 1) // 2 : size // 2 + 1], axis=-1), in_order)
    return np.reshape(result, kept) if keepdims else result


@composite(
    np.nanmedian,
    examples=(
        (lambda x: np.nanmedian(_holed(x)), _X),
        (lambda x: np.nanmedian(_holed(x), axis=1), ((2, 4),)),
        (lambda x: np.nanmedian(_holed(x), axis=(0, 2), keepdims=True), _XYZ),
    ),
)
def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """The median of the elements that are not NaN."""
    keepdims = bool(given(keepdims, False))
    (a,) = lift(a)
    if a.dtype.kind not in "fc":
        return np.median(a, axis=axis, keepdims=keepdims)
    flat, kept = _last(a, axis)
    in_order = np.sort(flat, axis=-1)
    count = np.sum(~np.isnan(flat), axis=-1)
    places = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, max(flat.shape[-1] - 1, 0))], -1)
    result = np.mean(np.take_along_axis(in_order, places, -1), axis=-1)
    return np.reshape(result, kept) if keepdims else result


# --- methods -----------------------------------------------------------------------------------------------------
# The place of a quantile among n sorted elements, counted from 0, as Hyndman and Fan number the methods ("Sample
# quantiles in statistical packages", The American Statistician 50, 1996, p. 361).

_CONTINUOUS: dict[str, tuple[float, float]] = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "median_unbiased": (1 / 3.0, 1 / 3.0),
    "normal_unbiased": (3 / 8.0, 3 / 8.0),
}


def _continuous(alpha: float, beta: float) -> Callable[[Any, Any], Any]:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


_PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "linear": lambda n, q: (n - 1) * q,
    "midpoint": lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    **{name: _continuous(*parameters) for name, parameters in _CONTINUOUS.items()},
}
"""Methods that interpolate between the two elements around a place."""


def _at_or_after(place: Any, at: Any) -> Any:
    """The place itself where `at` says so, the next one elsewhere; none before the first."""
    below = np.floor(place)
    return np.maximum(np.where(at, below, below + 1), 0)


def _closest(n: Any, q: Any) -> Any:
    place = n * q - 1 - 0.5
    below = np.floor(place)
    return _at_or_after(place, (place == below) & (np.remainder(below, 2) == 1))


_CHOICES: dict[str, Callable[[Any, Any], Any]] = {
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.round((n - 1) * q),
    "inverted_cdf": lambda n, q: _at_or_after(n * q - 1, np.equal(n * q - 1, np.floor(n * q - 1))),
    "closest_observation": _closest,
}
"""Methods that choose one element."""


def _share(method: str, place: Any, below: Any) -> Any:
    """How much of the way to the next element a method goes."""
    share = place - below
    if method == "averaged_inverted_cdf":
        return np.where(share == 0, place.dtype.type(0.5), place.dtype.type(1))
    if method == "midpoint":
        return np.where(share == 0, place.dtype.type(0), place.dtype.type(0.5))
    return share


def _between(first: Any, second: Any, part: Any) -> Any:
    gap = second - first
    return np.where(part >= 0.5, second - gap * (1 - part), first + gap * part)


def _picked(in_order: Any, place: Any, shape: Any) -> Any:
    """Elements at whole places along the last axis, those of the quantiles coming first."""
    last = in_order.shape[-1] - 1
    indices = np.clip(place, 0, last).astype(np.int64)
    if np.shape(place) == shape:  # the same places everywhere
        indices = indices if is_traced(indices) else literal(indices, in_order)
        return np.take(np.moveaxis(in_order, -1, 0), indices, axis=0)
    return np.moveaxis(np.take_along_axis(in_order, np.moveaxis(indices, 0, -1), -1), -1, 0)


def _column(q: Any, ndim: int, like: Any) -> Any:
    """The quantiles along a first axis of their own."""
    shape = (math.prod(q.shape),) + (1,) * ndim
    return np.reshape(q, shape) if is_traced(q) else apply_like(OPS["reshape"], like, literal(q, like), shape=shape)


def _quantile_of(a: Any, q: Any, weak: bool, axis: Any, method: str, keepdims: bool, ignore_nan: bool) -> Any:
    if method not in _PLACES and method not in _CHOICES:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {', '.join((*_CHOICES, *_PLACES))}")
    if method in _PLACES and method != "linear" and q.dtype.kind in "iu":
        q = q.astype(np.float64)
    if a.dtype.kind == "b" and method in _PLACES:
        raise TypeError("numpy boolean subtract, the `-` operator, is not supported: quantiles of truth values")
    flat, kept = _last(a, axis)
    in_order = np.sort(flat, axis=-1)
    depth = q.ndim
    shape = tuple(q.shape)
    if ignore_nan:
        # Each slice has a count of its own, so the places have the axes of the result.
        count: Any = np.sum(~np.isnan(flat), axis=-1)
        count = np.reshape(count, (1, *count.shape))
        flat_q = _column(q, flat.ndim - 1, a)
        count = count.astype(flat_q.dtype)
    else:
        count, flat_q = flat.shape[-1], q
    if method in _CHOICES or (method == "linear" and q.dtype.kind in "iu"):
        result = _picked(in_order, _CHOICES.get(method, _PLACES["linear"])(count, flat_q), shape)
    else:
        place = _PLACES[method](count, flat_q)
        below = np.floor(place)
        part = _share(method, place, below)
        top = count - 1
        first = _picked(in_order, np.minimum(below, top), shape)
        second = _picked(in_order, np.minimum(below + 1, top), shape)
        part = part.astype(first.dtype) if weak and first.dtype.kind == "f" else part
        if not ignore_nan:
            part = np.reshape(_column(part, flat.ndim - 1, first), np.shape(part) + (1,) * (flat.ndim - 1))
        result = _between(first, second, part)
    if ignore_nan:
        result = np.reshape(result, (*shape, *result.shape[1:]))
    else:
        result = _or_nan(result, in_order)
    return np.reshape(result, (*result.shape[:depth], *kept)) if keepdims else result


# --- weights -----------------------------------------------------------------------------------------------------


def _weights_of(a: Any, weights: Any, axis: Any) -> Any:
    """Weights in the shape of the array; raises NumPy's own errors."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = normalize_axes(axis, a.ndim)
    if weights.shape != tuple(a.shape[place] for place in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    spread = np.reshape(
        np.transpose(weights, order), tuple(size if place in axes else 1 for place, size in enumerate(a.shape))
    )
    return np.broadcast_to(spread, a.shape)


def _weighted_quantile(a: Any, q: Any, weights: Any, axis: Any, keepdims: bool, ignore_nan: bool) -> Any:
    """The first element up to which the weights are at least the share asked for."""
    flat, kept = _last(a, axis)
    spread, _ = _last(_weights_of(a, weights, axis), axis)
    is_float = flat.dtype.kind == "f"
    if ignore_nan and is_float:
        spread = np.where(np.isnan(flat), spread.dtype.type(0), spread)
    order = np.argsort(flat, axis=-1)
    in_order = np.take_along_axis(flat, order, -1)
    total = np.cumsum(np.take_along_axis(spread, order, -1), axis=-1, dtype=np.float64)
    share = total / total[..., -1:]
    depth, shape = q.ndim, tuple(q.shape)
    wanted = _column(q.astype(np.float64), flat.ndim, a)
    # The share of elements of weight 0 is that of the one before: NumPy takes the first whose own share is larger.
    place = np.sum(np.where(wanted == 0, share <= 0, share < wanted), axis=-1)
    result = _picked(in_order, np.minimum(place, flat.shape[-1] - 1), None)
    result = np.reshape(result, (*shape, *result.shape[1:]))
    if is_float and not ignore_nan:
        result = _or_nan(result, in_order)
    return np.reshape(result, (*result.shape[:depth], *kept)) if keepdims else result


# --- NumPy's functions -------------------------------------------------------------------------------------------


def _share_asked(q: Any, scale: int) -> tuple[Any, bool]:
    """The quantiles as shares of 1, and whether their dtype gives way to that of the array.

    Real ones stay real: what they ask for is known while tracing.
    """
    weak = type(q) in (int, float)
    if not is_traced(q):
        q = np.asarray(q)
        if not np.all((q >= 0) & (q <= scale)):
            name = "Percentiles" if scale == 100 else "Quantiles"
            raise ValueError(f"{name} must be in the range [0, {scale}]")
    q = np.true_divide(q, scale) if scale != 1 else q
    if q.ndim > 2:
        raise ValueError("q must be a scalar or 1d")
    return q, weak


def _declare(function: Any, scale: int, ignore_nan: bool) -> None:
    hole = _holed if ignore_nan else (lambda x: x)

    @composite(
        function,
        examples=(
            (lambda x: function(hole(x), 0.3 * scale), _X),
            (lambda x: function(hole(x), [0.25 * scale, 0.9 * scale], axis=1), _X),
            (lambda x: function(hole(x), 0.5 * scale, axis=(0, 2), keepdims=True), _XYZ),
            (lambda x: function(hole(x), 0.3 * scale, axis=1, method="hazen"), _X),
            (lambda x: function(hole(x), 0.3 * scale, axis=0, method="higher"), _X),
            (
                lambda x, w: function(
                    hole(x), [0.3 * scale, 0.6 * scale], 1, None, False, "inverted_cdf", weights=w * w + 1
                ),
                _WEIGHTED,
            ),
        ),
    )
    def apply(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
    ) -> Any:
        """The value below which a share of the elements lies."""
        keepdims = bool(given(keepdims, False))
        (a,) = lift(a) if is_traced(a) else lift(a, q)[:1]
        if a.dtype.kind == "c":
            raise TypeError("a must be an array of real numbers")
        q, weak = _share_asked(q, scale)
        axis = axis if axis is None else static_ints(axis)
        if weights is None:
            return _quantile_of(a, q, weak, axis, method, keepdims, ignore_nan and a.dtype.kind == "f")
        if method != "inverted_cdf":
            raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
        return _weighted_quantile(a, q, lift(weights, a)[0], axis, keepdims, ignore_nan)


_declare(np.quantile, 1, False)
_declare(np.percentile, 100, False)
_declare(np.nanquantile, 1, True)
_declare(np.nanpercentile, 100, True)
