"""Overlapping windows over an axis, as a view, and pooling: what convolutional networks are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from tracer.graph.op import OPS, Op, batched_as, composite, declare, stand_in, view
from tracer.graph.rules import literal, static_ints, unsupported
from tracer.types import Shape, contiguous_strides, normalize_axis

_FEW = 16
"""Elements of a window that are combined slice by slice; reducing so few along an axis would take longer."""
_Index = tuple[tuple[int, int, int], ...]

# --- windows -----------------------------------------------------------------------------------------------------


def _count(length: int, size: int, step: int, dilation: int) -> int:
    """How many windows fit."""
    return max(0, (length - (size - 1) * dilation - 1) // step + 1)


def _shape(old: Shape, axis: int, size: int, step: int, dilation: int) -> Shape:
    length = old[axis]
    count = None if length is None else _count(length, size, step, dilation)
    return (size, *old[:axis], count, *old[axis + 1 :])


def _layout(
    old: Sequence[int], strides: Sequence[int], offset: int, *, axis: int, size: int, step: int, dilation: int
) -> Any:
    stride = strides[axis]
    return (stride * dilation, *strides[:axis], stride * step, *strides[axis + 1 :]), offset


def _windows_value(x: Any, axis: int, size: int, step: int, dilation: int) -> Any:
    x = np.asarray(x)
    shape = _shape(x.shape, axis, size, step, dilation)
    strides, _ = _layout(x.shape, x.strides, 0, axis=axis, size=size, step=step, dilation=dilation)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)  # type: ignore[arg-type]


def overlap_add(g: Any, axis: int, length: int, step: int, dilation: int) -> Any:
    """Add every window to the place it would be taken from on an axis of some length: the transpose of `WINDOWS`.

    One addition for each element of a window or for each window, whichever are fewer.
    """
    size, count = g.shape[0], g.shape[axis + 1]
    places = [(0, extent, 1) for extent in g.shape[1:]]
    places[axis] = (0, 0, 1)
    shape = (*g.shape[1 : axis + 1], length, *g.shape[axis + 2 :])
    unslice, slice_add = OPS["unslice"], OPS["slice_add"]
    if size == 0 or count == 0:
        return unslice(np.reshape(g, [extent for _, extent, _ in places]), shape=shape, index=tuple(places))
    result = None
    for number in range(min(size, count)):
        if size <= count:
            piece, places[axis] = g[number], (number * dilation, count, step)
        else:
            # The window's own axis takes the place of the one that it lies over.
            piece = np.moveaxis(g[(slice(None),) * (axis + 1) + (number,)], 0, axis)
            places[axis] = (number * step, size, dilation)
        index = tuple(places)
        result = unslice(piece, shape=shape, index=index) if result is None else slice_add(result, piece, index=index)
    return result


def _windows_vjp(g: Any, y: Any, x: Any, axis: int, size: int, step: int, dilation: int) -> Any:
    return overlap_add(g, axis, x.shape[axis], step, dilation)


WINDOWS: Op = view(
    "windows",
    _shape,
    _layout,
    _windows_value,
    _windows_vjp,
    lambda inputs, is_batched, count, axis, **params: np.moveaxis(WINDOWS(inputs[0], axis=axis + 1, **params), 0, 1),
    doc="Windows of one size over an axis, every `step` elements; first come their own elements, every `dilation`.",
)


@composite(
    np.lib.stride_tricks.sliding_window_view,
    examples=(
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3), ((7,),)),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)), ((4, 5),)),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 1)), ((2, 5),)),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, 4, axis=0)[::2], ((5, 2),)),
    ),
)
def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """Every window of a shape, as a view that cannot be written to."""
    if writeable:
        unsupported("np.lib.stride_tricks.sliding_window_view", "writeable=True", "write to the array itself.")
    sizes = static_ints(window_shape)
    axes = tuple(range(x.ndim)) if axis is None else tuple(normalize_axis(item, x.ndim) for item in static_ints(axis))
    if any(size < 0 for size in sizes):
        raise ValueError("`window_shape` cannot contain negative values")
    if len(sizes) != len(axes):
        raise ValueError(f"window_shape has {len(sizes)} sizes for {len(axes)} axes of {x.ndim}")
    for size, place in zip(sizes, axes, strict=True):
        if x.shape[place] < size:
            raise ValueError("window shape cannot be larger than input array shape")
        x = np.moveaxis(WINDOWS(x, axis=place, size=size, step=1, dilation=1), 0, -1)
    return x


# --- any strides -------------------------------------------------------------------------------------------------


def _reached(shape: Sequence[int], steps: Sequence[int]) -> np.ndarray[Any, Any]:
    """The places in the flattened array of the elements of a view."""
    places = np.zeros((), np.int64)
    for size, step in zip(shape, steps, strict=True):
        places = places[..., None] + np.arange(size) * step
    return places


def _strided_vjp(g: Any, y: Any, x: Any, shape: Sequence[int], steps: Sequence[int]) -> Any:
    places = literal(_reached(shape, steps).ravel(), g)
    flat = OPS["scatter_add"](np.zeros_like(x, shape=(math.prod(x.shape),)), np.ravel(g), places)
    return np.reshape(flat, x.shape)


STRIDED: Op = view(
    "as_strided",
    lambda old, shape, steps: shape,
    lambda old, strides, offset, *, shape, steps: (
        (steps, offset) if tuple(strides) == contiguous_strides(tuple(old)) else None
    ),
    lambda x, shape, steps: np.ascontiguousarray(x).ravel()[_reached(shape, steps)],
    _strided_vjp,
    lambda inputs, is_batched, size, shape, steps: STRIDED(
        inputs[0], shape=(size, *shape), steps=(math.prod(inputs[0].shape[1:]), *steps)
    ),
    doc="The memory of an array in row-major order, as an array of another shape with these strides.",
)


@stand_in("numpy.lib.stride_tricks.as_strided")
def _as_strided(
    x: Any, shape: Any = None, strides: Any = None, subok: bool = False, writeable: bool = True, **_: Any
) -> Any:
    """A view with any shape and strides, in bytes, that cannot be written to."""
    name = "np.lib.stride_tricks.as_strided"
    if not x.flags.c_contiguous:
        unsupported(name, "x (not contiguous)", "give it x.copy().")
    sizes = x.shape if shape is None else static_ints(shape)
    given = x.strides if strides is None else static_ints(strides)
    if len(given) != len(sizes):
        raise ValueError("mismatch in length of strides and shape")
    if any(step % x.itemsize for step in given):
        unsupported(name, "strides (between elements)", "give multiples of x.itemsize.")
    steps = tuple(step // x.itemsize for step in given)
    ends = [(size - 1) * step for size, step in zip(sizes, steps, strict=True)]
    if 0 not in sizes and (sum(min(end, 0) for end in ends) < 0 or sum(max(end, 0) for end in ends) >= x.size):
        unsupported(name, "shape (beyond the array)", "stay within the memory of x.")
    return STRIDED(x, shape=sizes, steps=steps)


# --- pooling -----------------------------------------------------------------------------------------------------


def _counts(shape: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    return tuple(_count(*item, 1) for item in zip(shape[-len(sizes) :], sizes, steps, strict=True))


def _slices(shape: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Iterator[_Index]:
    """For each place within a window the index of the elements that lie there in all windows over the last axes."""
    lead = [(0, length, 1) for length in shape[: -len(sizes)]]
    counts = _counts(shape, sizes, steps)
    for offsets in product(*map(range, sizes)):
        yield (*lead, *zip(offsets, counts, steps, strict=True))


def _all_windows(x: Any, sizes: Sequence[int], steps: Sequence[int]) -> Any:
    """Windows over the last axes; their own axes come first."""
    for back, (size, step) in enumerate(zip(reversed(sizes), reversed(steps), strict=True), 1):
        x = WINDOWS(x, axis=x.ndim - back, size=size, step=step, dilation=1)
    return x


def _is_partition(x: Any, sizes: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether every element is in exactly one window."""
    return tuple(sizes) == tuple(steps) and all(
        length % size == 0 for length, size in zip(x.shape[-len(sizes) :], sizes, strict=True)
    )


def _fold(x: Any, sizes: Sequence[int], steps: Sequence[int], combine: Callable[..., Any], along: Any) -> Any:
    """Combine the elements of every window over the last axes: all at once if they are few, else axis by axis."""
    if math.prod(sizes) <= _FEW:
        return reduce(combine, (OPS["slice"](x, index=index) for index in _slices(x.shape, sizes, steps)))
    for back, (size, step) in enumerate(zip(reversed(sizes), reversed(steps), strict=True), 1):
        if size <= _FEW:
            rest = [1] * (back - 1)
            x = _fold(x, (size, *rest), (step, *rest), combine, along)
        else:
            x = along(WINDOWS(x, axis=x.ndim - back, size=size, step=step, dilation=1), axis=0)
    return x


def _pool_vjp(g: Any, y: Any, value: Any, x: Any, sizes: Any, steps: Any, largest: bool) -> Any:
    lead, rank = x.shape[: -len(sizes)], len(sizes)

    def share(part: Any, value: Any, g: Any) -> Any:
        """The cotangent of part of the elements: all of it goes to each of the largest."""
        return np.where(part == value, g, g.dtype.type(0)) if largest else np.broadcast_to(g, part.shape)

    if _is_partition(x, sizes, steps):
        counts = _counts(x.shape, sizes, steps)
        blocks = (*lead, *(item for pair in zip(counts, sizes, strict=True) for item in pair))
        spread = (*lead, *(item for count in counts for item in (count, 1)))
        return np.reshape(share(np.reshape(x, blocks), np.reshape(value, spread), np.reshape(g, spread)), x.shape)
    if math.prod(sizes) > _FEW:
        part = share(_all_windows(x, sizes, steps), value, g)
        for place, step in enumerate(steps):
            axis = part.ndim - 1 - rank + place
            part = overlap_add(part, axis, x.shape[x.ndim - rank + place], step, 1)
        return part
    result = None
    for index in _slices(x.shape, sizes, steps):
        part = share(OPS["slice"](x, index=index), value, g)
        if result is None:
            result = OPS["unslice"](part, shape=x.shape, index=index)
        else:
            result = OPS["slice_add"](result, part, index=index)
    return result


def _pool_jvp(tangents: Any, y: Any, value: Any, x: Any, sizes: Any, steps: Any, largest: bool) -> Any:
    tangent = tangents[1]
    if tangent is None:
        return None
    if not largest:
        return _fold(tangent, sizes, steps, np.add, np.sum)
    if math.prod(sizes) > _FEW:
        part = np.where(_all_windows(x, sizes, steps) == value, _all_windows(tangent, sizes, steps), 0)
        return np.sum(part, axis=tuple(range(len(sizes))))
    parts = (
        np.where(OPS["slice"](x, index=index) == value, OPS["slice"](tangent, index=index), tangent.dtype.type(0))
        for index in _slices(x.shape, sizes, steps)
    )
    return reduce(np.add, parts)


# The value is computed by ordinary ops and passes through: this op only knows its derivative by the elements, which
# for the largest would otherwise be shared by ties, and takes one pass where windows do not overlap.
_POOLED = declare(
    Op(
        "pooled",
        "view",
        lambda types, **_: types[0],
        lambda value, x, **_: value,
        vjp=(None, _pool_vjp),
        jvp=_pool_jvp,
        batch=batched_as("pooled"),
        layout=lambda shape, strides, offset, **_: (strides, offset),
        doc="Its first input, which is the largest or the sum of the elements of each window of the second.",
    )
)


def pool(x: Any, sizes: tuple[int, ...], steps: tuple[int, ...], largest: bool) -> Any:
    """The largest element or the sum of every window over the last axes.

    Parameters
    ----------
    x : array
        At least as many axes as there are sizes.
    sizes, steps : tuple of int
        Size of a window and distance of the next one, for each of the last axes. Only whole windows count.
    largest : bool
        The largest element rather than the sum. Its derivative flows in full to every element that is the largest.
    """
    value = _fold(x, sizes, steps, *((np.maximum, np.max) if largest else (np.add, np.sum)))
    # A copy, so that writing into the result does not write through the op, which has no inverse.
    return np.copy(_POOLED(value, x, sizes=sizes, steps=steps, largest=largest))
