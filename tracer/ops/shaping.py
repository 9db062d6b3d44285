"""The four view ops that every change of shape is made of, and the ops that assemble arrays from parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import after_batch, spread_all, with_rank
from tracer.graph.op import OPS, Op, batched_as, composite, declare, method, view
from tracer.graph.rules import lift, sum_to_shape
from tracer.types import ArrayType, Shape, broadcast_shapes, normalize_axis, promote

Index = tuple[tuple[int, int, int], ...]

# --- reshape -----------------------------------------------------------------------------------------------------


def _full_shape(old: Any, shape: Any) -> Any:
    """Replace the -1 of a new shape; raises NumPy's ValueError if the sizes do not fit."""
    if None in old:
        return tuple(None if size == -1 else size for size in shape)
    size = math.prod(old)
    fixed = math.prod(item for item in shape if item != -1)
    unknown = shape.count(-1)
    if unknown > 1:
        raise ValueError("can only specify one unknown dimension")
    if (
        (unknown and (fixed == 0 or size % fixed))
        or (not unknown and fixed != size)
        or any(item is not None and item < -1 for item in shape)
    ):
        text = f"({shape[0]},)" if len(shape) == 1 else str(tuple(shape)).replace(" ", "")
        raise ValueError(f"cannot reshape array of size {size} into shape {text}")
    return tuple(size // fixed if item == -1 else item for item in shape)


def _reshape_layout(old: Sequence[int], strides: Sequence[int], offset: int, *, shape: Sequence[int]) -> Any:
    """Strides of the new shape in the same memory, or None: groups of axes of equal size must be contiguous."""
    new = _full_shape(tuple(old), tuple(shape))
    if math.prod(old) == 0:
        return None
    pairs = [(size, stride) for size, stride in zip(old, strides, strict=True) if size != 1]
    result: list[int] = []
    position = 0
    left, step = 1, 0
    for size in new:
        if size == 1:
            result.append(0)
            continue
        if left == 1:
            end, left = position, 1
            # Take as many old axes as one run of memory holds.
            while end < len(pairs) and (end == position or pairs[end - 1][1] == pairs[end][0] * pairs[end][1]):
                left *= pairs[end][0]
                end += 1
            step = left * pairs[end - 1][1]
            position = end
        if left % size:
            return None
        left //= size
        step //= size
        result.append(step)
    return tuple(result), offset


def _static_shape(shape: Any) -> tuple[int, ...]:
    if shape is None or isinstance(shape, str):
        raise TypeError(f"expected a sequence of integers or a single integer, got {shape!r}")
    items = shape if isinstance(shape, list | tuple) else (shape,) if np.ndim(shape) == 0 else tuple(shape)
    return tuple(-1 if item is None else int(item.__index__()) for item in items)


RESHAPE = view(
    "reshape",
    _full_shape,
    _reshape_layout,
    lambda x, shape: np.reshape(x, shape),
    lambda g, y, x, shape: np.reshape(g, x.shape),
    lambda inputs, is_batched, size, shape: np.reshape(inputs[0], (size, *_full_shape(inputs[0].shape[1:], shape))),
    doc="The same elements in row-major order under another shape.",
    examples=(
        (lambda x: np.reshape(x, (2, 6)), ((3, 4),)),
        (lambda x: np.reshape(x, -1), ((3, 4),)),
        (lambda x: x.reshape(4, 3), ((3, 4),)),
        (lambda x: np.reshape(x, (2, 3, 2), order="F"), ((3, 4),)),
    ),
)


@composite(np.reshape, examples=RESHAPE.examples)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    """Give an array another shape."""
    shape = _static_shape(newshape if shape is None else shape)
    full = _full_shape(a.shape, shape)
    if order in ("F", "f") or (order in ("A", "a") and None not in a.shape and a.flags.fnc):
        result = np.transpose(RESHAPE(np.transpose(a), shape=tuple(reversed(full))))
    else:
        result = RESHAPE(a, shape=shape if None in full else full)
    return np.copy(result) if copy else result


@method("reshape")
def _reshape_method(a: Any, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """Give an array another shape: x.reshape(2, 3) or x.reshape((2, 3))."""
    return _reshape(a, shape[0] if len(shape) == 1 else shape, order, copy=copy)


# --- transpose ---------------------------------------------------------------------------------------------------

TRANSPOSE = view(
    "transpose",
    lambda old, axes: tuple(old[axis] for axis in axes),
    lambda old, strides, offset, *, axes: (tuple(strides[axis] for axis in axes), offset),
    lambda x, axes: np.transpose(x, axes),
    lambda g, y, x, axes: np.transpose(g, sorted(range(len(axes)), key=axes.__getitem__)),
    batched_as("transpose", lambda axes: {"axes": (0, *after_batch(axes))}),
    doc="The array with its axes in another order.",
    examples=(
        (lambda x: np.transpose(x), ((2, 3, 4),)),
        (lambda x: np.transpose(x, (1, 2, 0)), ((2, 3, 4),)),
        (lambda x: x.T, ((3, 4),)),
        (lambda x: x.transpose(2, 0, 1), ((2, 3, 4),)),
    ),
)


@composite(np.transpose, examples=TRANSPOSE.examples)
def _transpose(a: Any, axes: Any = None) -> Any:
    """Reverse the axes, or put them in the given order."""
    ndim = len(a.shape)
    if axes is None:
        order = tuple(reversed(range(ndim)))
    else:
        if len(axes) != ndim:
            raise ValueError("axes don't match array")
        order = tuple(normalize_axis(axis, ndim) for axis in axes)
        if len(set(order)) != ndim:
            raise ValueError("repeated axis in transpose")
    return TRANSPOSE(a, axes=order)


@method("transpose")
def _transpose_method(a: Any, *axes: Any) -> Any:
    """Transpose: x.transpose(), x.transpose(1, 0) or x.transpose((1, 0))."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], list | tuple)):
        return _transpose(a, axes[0])
    return _transpose(a, axes or None)


# --- broadcast_to ------------------------------------------------------------------------------------------------


def _broadcast_shape(old: Shape, shape: Shape) -> Shape:
    try:
        fits = broadcast_shapes(old, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "operands could not be broadcast together with remapped shapes [original->remapped]: "
            f"{tuple(old)} and requested shape {tuple(shape)}"
        )
    return shape


def _broadcast_layout(old: Sequence[int], strides: Sequence[int], offset: int, *, shape: Sequence[int]) -> Any:
    extra = len(shape) - len(old)
    kept = (0 if size == 1 else stride for size, stride in zip(old, strides, strict=True))
    return (0,) * extra + tuple(kept), offset


BROADCAST_TO = view(
    "broadcast_to",
    _broadcast_shape,
    _broadcast_layout,
    lambda x, shape: np.broadcast_to(x, shape),
    lambda g, y, x, shape: sum_to_shape(g, x.shape),
    lambda inputs, is_batched, size, shape: np.broadcast_to(with_rank(inputs[0], len(shape)), (size, *shape)),
    doc="The array repeated along axes of size 1 and new leading axes.",
    examples=(
        (lambda x: np.broadcast_to(x, (2, 3, 4)), ((3, 1),)),
        (lambda x: np.broadcast_to(x, (3, 4)), ((4,),)),
    ),
)


@composite(np.broadcast_to, examples=BROADCAST_TO.examples)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """Broadcast an array to a shape."""
    shape = _static_shape(shape)
    return array if array.shape == shape else BROADCAST_TO(array, shape=shape)


@composite(
    np.broadcast_arrays,
    examples=(
        (lambda a, b: np.broadcast_arrays(a, b)[0] * 2, ((3, 1), (4,))),
        (lambda a, b: np.broadcast_arrays(a, b)[1] * 2, ((3, 1), (4,))),
    ),
)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Broadcast arrays against each other."""
    arrays = lift(*args)
    shape: Any = broadcast_shapes(*(np.shape(item) for item in arrays))
    return tuple(np.broadcast_to(item, shape) for item in arrays)


# --- slice, and what writes into slices --------------------------------------------------------------------------


def _slices(index: Index) -> tuple[slice, ...]:
    result = []
    for start, size, step in index:
        stop = start + size * step
        result.append(slice(0, 0) if size == 0 else slice(start, None if stop < 0 else stop, step))
    return tuple(result)


def _slice_layout(old: Sequence[int], strides: Sequence[int], offset: int, *, index: Index) -> Any:
    moved = offset + sum(start * stride for (start, _, _), stride in zip(index, strides, strict=True))
    return tuple(step * stride for (_, _, step), stride in zip(index, strides, strict=True)), moved


SLICE: Op = view(
    "slice",
    lambda old, index: tuple(size for _, size, _ in index),
    _slice_layout,
    lambda x, index: np.asarray(x)[_slices(index)],
    lambda g, y, x, index: UNSLICE(g, shape=x.shape, index=index),
    lambda inputs, is_batched, size, index: SLICE(inputs[0], index=((0, size, 1), *index)),
    doc="Regularly spaced elements along every axis, given as (start, size, step) each.",
    examples=(
        (lambda x: x[1:], ((4, 5),)),
        (lambda x: x[::-1, 1:4:2], ((4, 5),)),
        (lambda x: x[-1], ((4, 5),)),
        (lambda x: x[..., 2:2], ((4, 5),)),
    ),
)


def _unslice_value(x: Any, shape: Any, index: Index) -> Any:
    out = np.zeros(shape, np.asarray(x).dtype)
    out[_slices(index)] = x
    return out


UNSLICE: Op = declare(
    Op(
        "unslice",
        "assemble",
        lambda types, shape, index: ArrayType(types[0].dtype, shape),
        _unslice_value,
        vjp=(lambda g, y, x, shape, index: SLICE(g, index=index),),
        jvp="linear",
        batch=lambda inputs, is_batched, size, shape, index: UNSLICE(
            inputs[0], shape=(size, *shape), index=((0, size, 1), *index)
        ),
        regions=lambda types, shape, index: (0, [(0, index, False)]),
        doc="Zeros with the array written at an index of slices: the transpose of slice.",
    )
)


def _written(base: Any, value: Any, index: Index, add: bool) -> Any:
    out = np.array(base)
    if add:
        out[_slices(index)] += value
    else:
        out[_slices(index)] = value
    return out


def _batch_written(name: str) -> Any:
    def rule(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, index: Index) -> Any:
        return OPS[name](*spread_all(inputs, is_batched, size), index=((0, size, 1), *index))

    return rule


SLICE_SET: Op = declare(
    Op(
        "slice_set",
        "assemble",
        lambda types, index: types[0],
        lambda base, value, index: _written(base, value, index, add=False),
        vjp=(
            lambda g, y, base, value, index: SLICE_SET(g, np.zeros_like(value), index=index),
            lambda g, y, base, value, index: SLICE(g, index=index),
        ),
        jvp="linear",
        batch=_batch_written("slice_set"),
        regions=lambda types, index: (("input", 0), [(1, index, False)]),
        doc="The first array with the second written at an index of slices.",
    )
)
SLICE_ADD = declare(
    Op(
        "slice_add",
        "assemble",
        lambda types, index: types[0],
        lambda base, value, index: _written(base, value, index, add=True),
        vjp=(lambda g, y, base, value, index: g, lambda g, y, base, value, index: SLICE(g, index=index)),
        jvp="linear",
        batch=_batch_written("slice_add"),
        regions=lambda types, index: (("input", 0), [(1, index, True)]),
        doc="The first array with the second added at an index of slices.",
    )
)

# --- concatenate -------------------------------------------------------------------------------------------------


def _concatenate_infer(types: Sequence[ArrayType], axis: int) -> ArrayType:
    first = types[0].shape
    total: int | None = 0
    for position, item in enumerate(types):
        if len(item.shape) != len(first):
            raise ValueError(
                "all the input array dimensions except for the concatenation axis must match exactly, but along "
                f"dimension 0, the array at index 0 has {len(first)} dimension(s) and the array at index {position} "
                f"has {len(item.shape)} dimension(s)"
            )
        for dimension, (left, right) in enumerate(zip(first, item.shape, strict=True)):
            if dimension != axis and left != right:
                raise ValueError(
                    "all the input array dimensions except for the concatenation axis must match exactly, but along "
                    f"dimension {dimension}, the array at index 0 has size {left} and the array at index {position} "
                    f"has size {right}"
                )
        size = item.shape[axis]
        total = None if total is None or size is None else total + size
    return ArrayType(types[0].dtype, (*first[:axis], total, *first[axis + 1 :]))


def _pieces(shapes: Sequence[Shape], axis: int) -> list[Index]:
    result = []
    start = 0
    for shape in shapes:
        result.append(tuple((start if dimension == axis else 0, size, 1) for dimension, size in enumerate(shape)))
        start += shape[axis] or 0
    return result  # type: ignore[return-value]


def _concatenate_vjp(position: int, g: Any, y: Any, *inputs: Any, axis: int) -> Any:
    return SLICE(g, index=_pieces([item.shape for item in inputs[: position + 1]], axis)[position])


CONCATENATE = declare(
    Op(
        "concatenate",
        "assemble",
        _concatenate_infer,
        lambda *arrays, axis: np.concatenate(arrays, axis),
        vjp=_concatenate_vjp,
        jvp="linear",
        batch=batched_as("concatenate", lambda axis: {"axis": axis + 1}),
        dtypes=lambda operands: (promote(operands),) * (len(operands) + 1),
        regions=lambda types, axis: (
            None,
            [(position, index, False) for position, index in enumerate(_pieces([item.shape for item in types], axis))],
        ),
        doc="Arrays one after another along an axis.",
        examples=(
            (lambda a, b: np.concatenate([a, b]), ((2, 3), (4, 3))),
            (lambda a, b, c: np.concatenate((a, b, c), axis=-1), ((2, 3), (2, 1), (2, 2))),
            (lambda a, b: np.concatenate([a, b], axis=None), ((2, 3), (4,))),
        ),
    )
)


@composite(np.concatenate, examples=CONCATENATE.examples)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along an existing axis, or flattened with axis=None."""
    items = lift(*arrays)
    if not items:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        items, axis = tuple(np.ravel(item) for item in items), 0
    if any(np.ndim(item) == 0 for item in items):
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    axis = normalize_axis(axis, len(items[0].shape))
    if dtype is not None:
        items = tuple(item.astype(dtype) for item in items)
    if len(items) == 1:
        return np.copy(items[0])
    return CONCATENATE(*items, axis=axis)


@method("flatten")
def _flatten(a: Any, order: Any = "C") -> Any:
    """A flat copy."""
    return np.copy(np.ravel(a, order))


@composite(np.copy, examples=((lambda x: np.copy(x), ((3, 4),)), (lambda x: x.copy(), ((3, 4),))))
def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """A copy: writing into it does not change the original."""
    return OPS["astype"](a, dtype=a.dtype)
