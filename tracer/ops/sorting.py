"""Partitions, counting, and the places of elements, beyond sort and argsort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import aligned
from tracer.graph.op import OPS, Op, batched_as, composite, declare, method
from tracer.graph.rules import (
    given,
    is_traced,
    lift,
    literal,
    run_time_size,
    static_int,
    static_ints,
    unsupported,
)
from tracer.types import ArrayType, Shape, TupleType, broadcast_shapes, normalize_axis

_INT64 = np.dtype(np.int64)
_X: tuple[tuple[int, ...], ...] = ((3, 5),)

# --- partitions --------------------------------------------------------------------------------------------------


def _order(x: Any, axis: int) -> Any:
    return OPS["argsort"](x, axis=axis, kind="stable")


def _partition_vjp(g: Any, y: Any, x: Any, kth: Any, axis: int) -> Any:
    in_order = np.take_along_axis(g, _order(y, axis), axis)
    return np.take_along_axis(in_order, _order(_order(x, axis), axis), axis)


def _partition_jvp(tangents: Any, y: Any, x: Any, kth: Any, axis: int) -> Any:
    in_order = np.take_along_axis(tangents[0], _order(x, axis), axis)
    return np.take_along_axis(in_order, _order(_order(y, axis), axis), axis)


PARTITION = declare(
    Op(
        "partition",
        "call",
        lambda types, kth, axis: types[0],
        lambda x, kth, axis: np.partition(x, kth, axis),
        vjp=(_partition_vjp,),
        jvp=_partition_jvp,
        batch=batched_as("partition", lambda kth, axis: {"kth": kth, "axis": axis + 1}),
        doc="The elements in an order in which some are where sorting puts them, smaller ones before.",
    )
)
ARGPARTITION = declare(
    Op(
        "argpartition",
        "call",
        lambda types, kth, axis: ArrayType(_INT64, types[0].shape),
        lambda x, kth, axis: np.argpartition(x, kth, axis),
        zero_derivative=True,
        batch=batched_as("argpartition", lambda kth, axis: {"kth": kth, "axis": axis + 1}),
        doc="The positions that partition puts in order.",
    )
)


def _partitioned(op: Op, function: Any) -> None:
    @composite(
        function,
        examples=(
            (lambda x: np.sort(function(x, 2)[..., :2] if op is PARTITION else function(x, 2)), _X),
            (lambda x: function(x, (1, 3), axis=0)[[1, 3]], ((5, 2),)),
            (lambda x: function(x, -2, axis=None)[-2:], _X),
        ),
    )
    def apply(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
        """Partition along an axis, or the flattened array with axis=None."""
        if order is not None:
            unsupported(f"np.{function.__name__}", "order", "partition a plain array.")
        (x,) = lift(a)
        if axis is None:
            x, axis = np.ravel(x), -1
        axis = normalize_axis(axis, x.ndim)
        places = static_ints(kth)
        for place in places:
            if not -x.shape[axis] <= place < x.shape[axis]:
                raise ValueError(f"kth(={place}) out of bounds ({x.shape[axis]})")
        return op(x, kth=places[0] if len(places) == 1 else places, axis=axis)


_partitioned(PARTITION, np.partition)
_partitioned(ARGPARTITION, np.argpartition)

# --- counting and finding ----------------------------------------------------------------------------------------


@composite(
    np.bincount,
    examples=(
        (lambda w: np.bincount(np.array([0, 3, 1, 1]), w), ((4,),)),
        (lambda x: np.bincount(np.abs(np.real(x) * 1.3).astype(np.int64), minlength=3), ((5,),)),
    ),
)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number occurs, or the sum of the weights at its places.

    How many places a traced array needs is found at the call at hand, unless its numbers are less than `minlength`.
    """
    minlength = static_int(minlength, "minlength")
    numbers = None if is_traced(x) else np.asarray(x)
    if numbers is not None:
        x = literal(numbers, weights)  # looked at, so a constant: the trace is guarded by its contents
    x, weights = lift(x, 1 if weights is None else weights)
    if x.ndim != 1:
        raise ValueError("object too deep for desired array" if x.ndim else "object of too small depth")
    for item, kinds in ((x, "biu"), (weights, "biuf")):
        if hasattr(item, "dtype") and item.dtype.kind not in kinds:
            raise TypeError(f"Cannot cast array data from {item.dtype!r} according to the rule 'safe'")
    if numbers is None and minlength == 0 and x.size:
        largest = run_time_size(
            np.where(np.any(x < 0), -1, np.max(x.astype(np.int64))), "the largest number of np.bincount"
        )
        if largest < 0:
            raise ValueError("'list' argument must have no negative elements")
        minlength = largest + 1
    if numbers is not None and numbers.size:
        if numbers.min() < 0:
            raise ValueError("'list' argument must have no negative elements")
        minlength = max(minlength, int(numbers.max()) + 1)
    plain = not hasattr(weights, "dtype")
    if not plain:
        if weights.shape != x.shape:
            raise ValueError("The weights and list don't have the same length.")
        weights = weights.astype(np.float64)
    places = np.where(x < 0, minlength, x)  # out of bounds, instead of counted from the end
    like = x if is_traced(x) or plain else weights
    base = np.zeros_like(like, dtype=np.int64 if plain else np.float64, shape=(minlength,))
    return OPS["scatter_add"](base, np.broadcast_to(np.ones_like(x, np.int64), x.shape) if plain else weights, places)


@composite(
    np.digitize,
    examples=(
        (lambda x: np.digitize(x, [-1, 0, 0.5]), _X),
        (lambda x: np.digitize(x, np.array([1.0, 0.0, -1.0]), right=True), _X),
        (lambda x, bins: np.digitize(x, np.sort(bins)), ((3,), (4,))),
    ),
)
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The number of the bin to which each element belongs."""
    real = None if is_traced(bins) else np.asarray(bins)
    x = x if real is not None else lift(x, bins)[0]
    if x.dtype.kind == "c":
        raise TypeError("x may not be complex")
    side: Any = "left" if right else "right"
    if real is None:
        rising = bins[0] <= bins[-1]
        place = np.searchsorted(np.where(rising, bins, np.flip(bins)), x, side=side)
        return np.where(rising, place, bins.shape[0] - place)
    steps = np.diff(real)
    if not (np.all(steps >= 0) or np.all(steps <= 0)):
        raise ValueError("bins must be monotonically increasing or decreasing")
    # Their order was looked at, so they are constants, and the trace is guarded by their contents.
    if np.all(steps >= 0):
        return np.searchsorted(lift(literal(real, x), x)[0], x, side=side)
    return real.size - np.searchsorted(lift(literal(real[::-1].copy(), x), x)[0], x, side=side)


@composite(
    np.isin,
    examples=(
        (lambda x, t: np.isin(np.round(x * 1.0), np.round(t * 1.0)), ((3, 4), (5,))),
        (lambda x: np.isin(np.round(x * 1.0), [1, 2], invert=True), _X),
    ),
)
def _isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    """Whether each element is among others."""
    element, others = lift(element, test_elements)
    others = np.sort(np.ravel(others))
    if not others.shape[0]:
        return np.full_like(element, invert, dtype=bool)
    place = np.minimum(np.searchsorted(others, element), others.shape[0] - 1)
    found = np.take(others, place)
    return found != element if invert else found == element


# --- places of elements ------------------------------------------------------------------------------------------


def _unravel_infer(types: Sequence[ArrayType], shape: Shape, order: str) -> TupleType:
    return TupleType((ArrayType(_INT64, types[0].shape),) * len(shape))


UNRAVEL: Op = declare(
    Op(
        "unravel_index",
        "call",
        _unravel_infer,
        lambda places, shape, order: tuple(np.array(item) for item in np.unravel_index(places, shape, order)),
        zero_derivative=True,
        batch=batched_as("unravel_index"),
        doc="The indices along each axis of places in a flattened array.",
    )
)
RAVEL: Op = declare(
    Op(
        "ravel_multi_index",
        "call",
        lambda types, shape, mode, order: ArrayType(_INT64, broadcast_shapes(*(item.shape for item in types))),
        lambda *indices, shape, mode, order: np.asarray(np.ravel_multi_index(indices, shape, mode, order)),
        zero_derivative=True,
        batch=lambda inputs, is_batched, size, **params: RAVEL(*aligned(inputs, is_batched), **params),
        doc="The places in a flattened array of indices along each axis.",
    )
)


def _check_integers(items: Sequence[Any]) -> None:
    if any(item.dtype.kind not in "iu" for item in items):
        raise TypeError("only int indices permitted")


@composite(
    np.unravel_index,
    examples=(
        (lambda x: np.unravel_index(np.argmax(x), x.shape)[1], _X),
        (lambda x: np.unravel_index(np.argsort(x, axis=1), (4, 3), order="F")[0], _X),
    ),
)
def _unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """The indices along each axis of places in a flattened array."""
    (indices,) = lift(indices)
    _check_integers([indices])
    return tuple(UNRAVEL(indices, shape=static_ints(shape), order=order))


@composite(
    np.ravel_multi_index,
    examples=(
        (lambda x: np.ravel_multi_index((np.argmax(x, axis=0), np.array([0, 1, 2, 3, 4])), (3, 5)), _X),
        (lambda x: np.ravel_multi_index(np.argsort(x, axis=0)[:2], (2, 3), mode=("clip", "wrap")), _X),
    ),
)
def _ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """The places in a flattened array of indices along each axis."""
    shape = static_ints(dims)
    items = lift(*multi_index)
    if len(items) != len(shape):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(shape)}")
    _check_integers([np.asarray(item) if not hasattr(item, "dtype") else item for item in items])
    modes = mode if isinstance(mode, str) else tuple(mode)
    return RAVEL(*items, shape=shape, mode=modes, order=order)


@method("partition")
def _partition_method(a: Any, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
    """Partition in place along an axis."""
    a._assign(np.partition(a, given(kth, 0), axis))


@method("argpartition")
def _argpartition_method(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The positions that partition puts in order."""
    return np.argpartition(a, kth, axis)
