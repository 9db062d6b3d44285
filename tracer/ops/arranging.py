"""Functions that rearrange, join, split and repeat arrays, written with views, slices and concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tracer.graph.op import OPS, batched_as, composite, view
from tracer.graph.rules import (
    apply_like,
    is_traced,
    lift,
    lift_arrays,
    literal,
    run_time_size,
    static_int,
    static_ints,
    unsupported,
)
from tracer.types import normalize_axes, normalize_axis

_AB: tuple[tuple[int, ...], ...] = ((2, 3), (2, 3))
_X: tuple[tuple[int, ...], ...] = ((2, 3, 4),)

# --- axes --------------------------------------------------------------------------------------------------------


@composite(
    np.ravel,
    examples=(
        (lambda x: np.ravel(x), _X),
        (lambda x: x.ravel("F"), _X),
        (lambda x: x.T.ravel("K"), _X),
        (lambda x: x.flatten(), _X),
    ),
)
def _ravel(a: Any, order: str = "C") -> Any:
    """The elements in one dimension: a view of a contiguous array, a copy of any other."""
    if None in a.shape:
        return np.reshape(a, (-1,), order="F" if order == "F" else "C")
    if order == "K":
        strides = a.strides
        a, order = np.transpose(a, sorted(range(a.ndim), key=lambda axis: -abs(strides[axis]))), "C"
    flat = np.reshape(a, (-1,), order=order)  # type: ignore[call-overload]
    is_view = a.flags.f_contiguous if order == "F" or (order == "A" and a.flags.fnc) else a.flags.c_contiguous
    return flat if is_view else np.copy(flat)


@composite(np.swapaxes, examples=((lambda x: np.swapaxes(x, 0, -1), _X),))
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    axes = list(range(a.ndim))
    first, second = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    axes[first], axes[second] = axes[second], axes[first]
    return np.transpose(a, axes)


@composite(
    np.moveaxis, examples=((lambda x: np.moveaxis(x, 0, -1), _X), (lambda x: np.moveaxis(x, (0, 1), (2, 0)), _X))
)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Move axes to other positions."""
    sources = [normalize_axis(axis, a.ndim) for axis in static_ints(source)]
    destinations = [normalize_axis(axis, a.ndim) for axis in static_ints(destination)]
    if len(sources) != len(destinations):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    if len(set(sources)) != len(sources) or len(set(destinations)) != len(destinations):
        raise ValueError("repeated axis in `source` or `destination` argument")
    order = [axis for axis in range(a.ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return np.transpose(a, order)


@composite(np.rollaxis, examples=((lambda x: np.rollaxis(x, 2), _X), (lambda x: np.rollaxis(x, 0, 2), _X)))
def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Move an axis back until it lies before another."""
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    if not 0 <= start <= a.ndim:
        raise np.exceptions.AxisError(f"'start' arg requires {-a.ndim} <= start < {a.ndim + 1}, but {start} was passed")
    return np.moveaxis(a, axis, start - 1 if axis < start else start)


@composite(np.matrix_transpose, examples=((lambda x: np.matrix_transpose(x), _X),))
def _matrix_transpose(x: Any, /) -> Any:
    """Exchange the last two axes."""
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return np.swapaxes(x, -1, -2)


@composite(np.expand_dims, examples=((lambda x: np.expand_dims(x, 0), _X), (lambda x: np.expand_dims(x, (0, -1)), _X)))
def _expand_dims(a: Any, axis: Any) -> Any:
    """Insert axes of size 1."""
    places = static_ints(axis)
    ndim = a.ndim + len(places)
    new = normalize_axes(places, ndim)
    sizes = iter(a.shape)
    return np.reshape(a, tuple(1 if place in new else next(sizes) for place in range(ndim)))


@composite(
    np.squeeze,
    examples=((lambda x: np.squeeze(x), ((1, 3, 1),)), (lambda x: np.squeeze(x, axis=-1), ((1, 3, 1),))),
)
def _squeeze(a: Any, axis: Any = None) -> Any:
    """Remove axes of size 1."""
    if axis is None:
        gone: Sequence[int] = [place for place, size in enumerate(a.shape) if size == 1]
    else:
        gone = normalize_axes(static_ints(axis), a.ndim)
        if any(a.shape[place] != 1 for place in gone):
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return np.reshape(a, tuple(size for place, size in enumerate(a.shape) if place not in gone))


def _at_least(ndim: int) -> Any:
    def one(a: Any) -> Any:
        if a.ndim >= ndim:
            return a
        if a.ndim == 0:
            return np.reshape(a, (1,) * ndim)
        if ndim == 3:
            return a[None, :, None] if a.ndim == 1 else a[:, :, None]
        return a[None, :]

    def apply(*arrays: Any) -> Any:
        """Add axes of size 1 until there are enough."""
        lifted = [one(item) for item in lift_arrays(*arrays)]
        return lifted[0] if len(lifted) == 1 else tuple(lifted)

    return apply


composite(np.atleast_1d, examples=((lambda x: np.atleast_1d(x), ((),)),))(_at_least(1))
composite(np.atleast_2d, examples=((lambda x: np.atleast_2d(x), ((3,),)),))(_at_least(2))
composite(np.atleast_3d, examples=((lambda x: np.atleast_3d(x), ((3, 2),)), (lambda x: np.atleast_3d(x), ((3,),))))(
    _at_least(3)
)

# --- joining -----------------------------------------------------------------------------------------------------


@composite(np.stack, examples=((lambda a, b: np.stack([a, b]), _AB), (lambda a, b: np.stack([a, b], axis=-1), _AB)))
def _stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along a new axis."""
    items = lift_arrays(*arrays)
    if not items:
        raise ValueError("need at least one array to stack")
    if len({item.shape for item in items}) != 1:
        raise ValueError("all input arrays must have the same shape")
    axis = normalize_axis(axis, items[0].ndim + 1)
    items = tuple(np.expand_dims(item, axis) for item in items)
    return np.concatenate(items, axis, dtype=dtype)


@composite(np.vstack, examples=((lambda a, b: np.vstack([a, b]), ((3,), (2, 3))),))
def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Stack as rows."""
    return np.concatenate([np.atleast_2d(item) for item in lift_arrays(*tup)], 0, dtype=dtype)


@composite(
    np.hstack,
    examples=((lambda a, b: np.hstack([a, b]), ((2, 3), (2, 1))), (lambda a, b: np.hstack([a, b]), ((3,), (2,)))),
)
def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Stack as columns."""
    items = [np.atleast_1d(item) for item in lift_arrays(*tup)]
    return np.concatenate(items, 0 if items and items[0].ndim == 1 else 1, dtype=dtype)


@composite(np.dstack, examples=((lambda a, b: np.dstack([a, b]), _AB),))
def _dstack(tup: Any) -> Any:
    """Stack along the third axis."""
    return np.concatenate([np.atleast_3d(item) for item in lift_arrays(*tup)], 2)


@composite(np.column_stack, examples=((lambda a, b: np.column_stack([a, b]), ((2,), (2, 3))),))
def _column_stack(tup: Any) -> Any:
    """Stack 1-d arrays as columns."""
    items = [np.atleast_1d(item) for item in lift_arrays(*tup)]
    return np.concatenate([item[:, None] if item.ndim == 1 else item for item in items], 1)


@composite(np.append, examples=((lambda a, b: np.append(a, b), ((2, 3), (2,))), (lambda a, b: np.append(a, b, 0), _AB)))
def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Join values to the end."""
    items = lift_arrays(arr, values)
    if axis is None:
        return np.concatenate([np.ravel(item) for item in items])
    return np.concatenate(items, axis)


@composite(np.block, examples=((lambda a, b: np.block([[a, b], [b, a]]), _AB),))
def _block(arrays: Any) -> Any:
    """Assemble nested lists of blocks."""

    def depth(item: Any) -> int:
        return 1 + max(map(depth, item)) if isinstance(item, list) else 0

    levels = depth(arrays)

    def leaves(item: Any) -> list[Any]:
        return [leaf for part in item for leaf in leaves(part)] if isinstance(item, list) else [item]

    ndim = max(levels, *(np.ndim(leaf) for leaf in leaves(arrays)))

    def build(item: Any, level: int) -> Any:
        if isinstance(item, list):
            return np.concatenate(lift_arrays(*(build(part, level + 1) for part in item)), axis=level - levels)
        return np.reshape(item, (1,) * (ndim - np.ndim(item)) + np.shape(item))

    return build(arrays, 0)


# --- splitting ---------------------------------------------------------------------------------------------------


@composite(
    np.array_split,
    examples=((lambda x: np.array_split(x, 3)[1], ((7, 2),)), (lambda x: np.array_split(x, [1, 3], 1)[1], ((2, 4),))),
)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Split into parts of nearly equal size, or at the given places."""
    total = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = static_int(indices_or_sections, "sections")
        if sections <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, extra = divmod(total, sections)
        ends = np.cumsum([0] + extra * [each + 1] + (sections - extra) * [each]).tolist()
    else:
        ends = [0, *static_ints(indices_or_sections), total]
    axis = normalize_axis(axis, ary.ndim)
    prefix = (slice(None),) * axis
    return [ary[(*prefix, slice(start, stop))] for start, stop in pairwise(ends)]


@composite(np.split, examples=((lambda x: np.split(x, 2)[1], ((4, 2),)),))
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Split into equal parts, or at the given places."""
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % static_int(indices_or_sections, "sections"):
        raise ValueError("array split does not result in an equal division")
    return _array_split(ary, indices_or_sections, axis)


@composite(np.hsplit, examples=((lambda x: np.hsplit(x, 2)[0], ((2, 4),)), (lambda x: np.hsplit(x, 2)[0], ((4,),))))
def _hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along columns."""
    if ary.ndim == 0:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return _split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@composite(np.vsplit, examples=((lambda x: np.vsplit(x, 2)[1], ((4, 2),)),))
def _vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along rows."""
    if ary.ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return _split(ary, indices_or_sections, 0)


@composite(np.dsplit, examples=((lambda x: np.dsplit(x, 2)[1], _X),))
def _dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the third axis."""
    if ary.ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return _split(ary, indices_or_sections, 2)


def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts along an axis, without it."""
    moved = np.moveaxis(x, axis, 0)
    return tuple(moved[place] for place in range(moved.shape[0]))


if hasattr(np, "unstack"):
    composite(np.unstack, examples=((lambda x: np.unstack(x, axis=1)[2], _X),))(_unstack)


# --- repeating ---------------------------------------------------------------------------------------------------


@composite(np.tile, examples=((lambda x: np.tile(x, 2), ((2, 3),)), (lambda x: np.tile(x, (2, 1, 3)), ((2, 3),))))
def _tile(A: Any, reps: Any) -> Any:
    """Repeat the whole array along each axis."""
    times = static_ints(reps)
    ndim = max(len(times), A.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - A.ndim) + A.shape
    if all(time == 1 for time in times):
        return np.copy(np.reshape(A, shape))
    pairs = [size for time, size in zip(times, shape, strict=True) for size in (time, size)]
    spread = np.broadcast_to(np.reshape(A, tuple(size for item in shape for size in (1, item))), pairs)
    return np.copy(np.reshape(spread, tuple(time * size for time, size in zip(times, shape, strict=True))))


def _repeated(repeats: Any, size: int) -> Any:
    """The places along an axis, each as often as traced counts say."""
    ends = np.cumsum(np.broadcast_to(repeats, (size,)))
    if not size:
        return ends
    total = run_time_size(np.where(np.any(repeats < 0), -1, ends[-1]), "the sum of the counts of np.repeat")
    if total < 0:
        raise ValueError("repeats may not contain negative values.")
    numbers = apply_like(OPS["reshape"], ends, literal(np.arange(total), ends), shape=(total,))
    return np.searchsorted(ends, numbers, side="right")


@composite(
    np.repeat,
    examples=(
        (lambda x: np.repeat(x, 2), ((2, 3),)),
        (lambda x: np.repeat(x, 3, axis=0), ((2, 3),)),
        (lambda x: np.repeat(x, [1, 0, 2], axis=1), ((2, 3),)),
    ),
)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Repeat each element."""
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = normalize_axis(axis, a.ndim)
    size = a.shape[axis]
    if is_traced(repeats):
        return np.take(a, _repeated(repeats, size), axis)
    counts = static_ints(repeats)
    if len(counts) == 1:
        if counts[0] < 0:
            raise ValueError("repeats may not contain negative values.")
        shape = (*a.shape[: axis + 1], 1, *a.shape[axis + 1 :])
        spread = (*a.shape[: axis + 1], counts[0], *a.shape[axis + 1 :])
        result = (*a.shape[:axis], size * counts[0], *a.shape[axis + 1 :])
        return np.copy(np.reshape(np.broadcast_to(np.reshape(a, shape), spread), result))
    return np.take(a, np.repeat(np.arange(size), counts).tolist(), axis)


# --- turning -----------------------------------------------------------------------------------------------------


@composite(
    np.flip, examples=((lambda x: np.flip(x), _X), (lambda x: np.flip(x, 1), _X), (lambda x: np.flip(x, (0, 2)), _X))
)
def _flip(m: Any, axis: Any = None) -> Any:
    """Reverse the order along axes."""
    axes = normalize_axes(axis, m.ndim)
    return m[tuple(slice(None, None, -1) if place in axes else slice(None) for place in range(m.ndim))]


@composite(np.fliplr, examples=((lambda x: np.fliplr(x), _X),))
def _fliplr(m: Any) -> Any:
    """Reverse the columns."""
    if m.ndim < 2:
        raise ValueError("Input must be >= 2-d.")
    return m[:, ::-1]


@composite(np.flipud, examples=((lambda x: np.flipud(x), _X),))
def _flipud(m: Any) -> Any:
    """Reverse the rows."""
    if m.ndim < 1:
        raise ValueError("Input must be >= 1-d.")
    return m[::-1]


@composite(
    np.roll,
    examples=(
        (lambda x: np.roll(x, 2), ((2, 3),)),
        (lambda x: np.roll(x, -1, axis=1), ((2, 3),)),
        (lambda x: np.roll(x, (1, 2), axis=(0, 1)), ((2, 3),)),
    ),
)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Move elements along axes, those that fall off coming in at the other end."""
    if axis is None:
        return np.reshape(_roll(np.ravel(a), shift, 0), a.shape)
    shifts, axes = np.broadcast_arrays(np.array(static_ints(shift)), np.array(static_ints(axis)))
    result = a
    for step, place in zip(shifts.tolist(), axes.tolist(), strict=True):
        place = normalize_axis(place, a.ndim)
        size = a.shape[place]
        cut = -step % size if size else 0
        if cut:
            prefix = (slice(None),) * place
            result = np.concatenate([result[(*prefix, slice(cut, None))], result[(*prefix, slice(0, cut))]], place)
    return np.copy(a) if result is a else result


@composite(np.rot90, examples=((lambda x: np.rot90(x), _X), (lambda x: np.rot90(x, 2, (1, 2)), _X)))
def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Rotate by quarter turns in the plane of two axes."""
    first, second = (normalize_axis(axis, m.ndim) for axis in axes)
    if first == second:
        raise ValueError("Axes must be different.")
    match k % 4:
        case 0:
            return m[...]
        case 2:
            return np.flip(np.flip(m, first), second)
        case 1:
            return np.swapaxes(np.flip(m, second), first, second)
    return np.flip(np.swapaxes(m, first, second), second)


# --- diagonals and triangles -------------------------------------------------------------------------------------


def _diagonal_slice(rows: int, columns: int, offset: int) -> tuple[int, int, int]:
    """Start, size and step of a diagonal within the flat rows * columns elements."""
    size = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    start = offset if offset >= 0 else -offset * columns
    return (start, size, columns + 1) if size else (0, 0, 1)


def _diagonal_shape(old: Any, k: int) -> Any:
    return (*old[:-2], _diagonal_slice(old[-2], old[-1], k)[1])


def _diagonal_layout(old: Sequence[int], strides: Sequence[int], offset: int, *, k: int) -> Any:
    row, column = strides[-2:]
    start = k * column if k >= 0 else -k * row
    return (*strides[:-2], row + column), offset + start


def _diagonal_vjp(g: Any, y: Any, x: Any, k: int) -> Any:
    rows, columns = x.shape[-2:]
    whole = tuple((0, size, 1) for size in x.shape[:-2])
    index = (*whole, _diagonal_slice(rows, columns, k))
    return np.reshape(OPS["unslice"](g, shape=(*x.shape[:-2], rows * columns), index=index), x.shape)


_DIAGONAL = view(
    "diagonal",
    _diagonal_shape,
    _diagonal_layout,
    lambda x, k: np.diagonal(x, k, -2, -1),
    _diagonal_vjp,
    batched_as("diagonal"),
    doc="The diagonal of the plane of the last two axes.",
)


@composite(
    np.diagonal,
    examples=(
        (lambda x: np.diagonal(x), ((3, 4),)),
        (lambda x: np.diagonal(x, 1, 0, 2), _X),
        (lambda x: np.diagonal(x, -1), ((3, 4),)),
        (lambda x: np.diagonal(x[:, 1:], 1), ((3, 4),)),
        (lambda x: np.diagonal(x.T, -2), ((3, 4),)),
    ),
)
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the plane of two axes, as the last axis."""
    if a.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    moved = np.moveaxis(a, (axis1, axis2), (-2, -1))
    if is_traced(moved) and not moved.flags.c_contiguous:
        # Its elements cannot be flattened without a copy, through which writing would not go.
        return _DIAGONAL(moved, k=static_int(offset, "offset"))
    rows, columns = moved.shape[-2:]
    flat = np.reshape(moved, (*moved.shape[:-2], rows * columns))
    whole = tuple((0, size, 1) for size in flat.shape[:-1])
    return OPS["slice"](flat, index=(*whole, _diagonal_slice(rows, columns, offset)))


@composite(
    np.diag,
    examples=(
        (lambda x: np.diag(x), ((3,),)),
        (lambda x: np.diag(x, -1), ((3,),)),
        (lambda x: np.diag(x, 1), ((3, 4),)),
    ),
)
def _diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix of a diagonal."""
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    side = v.shape[0] + abs(k)
    flat = OPS["unslice"](v, shape=(side * side,), index=(_diagonal_slice(side, side, k),))
    return np.reshape(flat, (side, side))


@composite(np.diagflat, examples=((lambda x: np.diagflat(x), ((2, 2),)),))
def _diagflat(v: Any, k: int = 0) -> Any:
    """The matrix whose diagonal is the flattened input."""
    return _diag(np.ravel(np.atleast_1d(v)), k)


@composite(np.trace, examples=((lambda x: np.trace(x), ((3, 4),)), (lambda x: np.trace(x, 1, 1, 2), _X)))
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Sum of a diagonal."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


def _triangle(m: Any, k: int, lower: bool) -> Any:
    if m.ndim == 1:
        m = np.broadcast_to(m, (m.shape[0], m.shape[0]))
    rows, columns = m.shape[-2:]
    mask = np.tri(rows, columns, k if lower else k - 1, dtype=bool)
    return OPS["where"](literal(mask if lower else ~mask, m), m, m.dtype.type(0))


@composite(np.tril, examples=((lambda x: np.tril(x), ((3, 4),)), (lambda x: np.tril(x, -1), _X)))
def _tril(m: Any, k: int = 0) -> Any:
    """The lower triangle."""
    return _triangle(m, k, lower=True)


@composite(np.triu, examples=((lambda x: np.triu(x), ((3, 4),)), (lambda x: np.triu(x, 1), _X)))
def _triu(m: Any, k: int = 0) -> Any:
    """The upper triangle."""
    return _triangle(m, k, lower=False)


# --- padding -----------------------------------------------------------------------------------------------------


@composite(
    np.pad,
    examples=(
        (lambda x: np.pad(x, 1), ((2, 3),)),
        (lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3), ((2, 3),)),
        (lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=((1, 2), (3, 4))), ((2, 3),)),
        (lambda x: np.pad(x, (1, 2), "edge"), ((2, 3),)),
        (lambda x: np.pad(x, 2, "reflect"), ((2, 3),)),
        (lambda x: np.pad(x, 3, "symmetric"), ((2, 3),)),
        (lambda x: np.pad(x, ((0, 0), (4, 5)), "wrap"), ((2, 3),)),
    ),
)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """Add elements at the edges of axes."""
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(axis, pad_width.get(axis - array.ndim, 0)) for axis in range(array.ndim)]
        pad_width = [item if isinstance(item, tuple | list) else (item, item) for item in pad_width]
    widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2)).tolist()
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError("index can't contain negative values")
    if mode in ("constant", "empty"):
        return _pad_constant(array, widths, kwargs.get("constant_values", 0))
    if mode not in ("edge", "reflect", "symmetric", "wrap") or kwargs.get("reflect_type", "even") != "even":
        unsupported("np.pad", f"mode={mode!r} with {kwargs}", "mode constant, edge, reflect, symmetric or wrap.")
    result = array
    for axis, pair in enumerate(widths):
        if any(pair):
            places = np.pad(np.arange(array.shape[axis]), pair, mode)
            result = np.take(result, places.tolist(), axis)
    return result


def _pad_constant(array: Any, widths: list[list[int]], values: Any) -> Any:
    shape = tuple(size + sum(pair) for size, pair in zip(array.shape, widths, strict=True))
    index = tuple((before, size, 1) for size, (before, _) in zip(array.shape, widths, strict=True))
    if isinstance(values, int | float) and values == 0:
        return OPS["unslice"](array, shape=shape, index=index)
    fills = lift(array, values)[1]
    if np.ndim(fills) == 0:
        return OPS["slice_set"](np.full_like(array, fills, shape=shape), array, index=index)
    fills = np.broadcast_to(fills, (array.ndim, 2))
    result = array
    for axis, pair in enumerate(widths):
        ends = [
            np.full_like(array, fills[axis, side], shape=(*result.shape[:axis], pair[side], *result.shape[axis + 1 :]))
            for side in (0, 1)
        ]
        result = np.concatenate([ends[0], result, ends[1]], axis)
    return result
