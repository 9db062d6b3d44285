"""Functions that change the shape of tensors, the order of their dimensions, and what is known about them.

Examples
--------
>>> from tracer.tensor.shaping import dimshuffle, flatten, reshape
>>> from tracer.tensor.types import dmatrix, dtensor4
>>> x = dmatrix("x")
>>> dimshuffle(x, 1, "x", 0).broadcastable, flatten(dtensor4("y"), 2).ndim
((False, True, False), 2)
>>> reshape(x, (x.shape[0] * 2, -1, 1)).broadcastable
(False, False, True)
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.rules import is_traced
from tracer.tensor.variables import (
    as_tensor_variable,
    call,
    is_one,
    known_value,
    ndim_of,
    operand,
    shape_argument,
    shape_pattern,
    sizes_of,
)
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing, static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "Rebroadcast",
    "addbroadcast",
    "dimshuffle",
    "flatten",
    "moveaxis",
    "patternbroadcast",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "shape_padaxis",
    "shape_padleft",
    "shape_padright",
    "specify_shape",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
    "unbroadcast",
]

# --- new shapes ----------------------------------------------------------------------------------------------------


def reshaped_type(x: Any, shape: Any, ndim: int | None = None) -> TensorType:
    """The type of x.reshape(shape)."""
    pattern = shape_pattern(shape, ndim)
    if ndim is not None and len(pattern) != ndim:
        raise ValueError(message(messages.SHAPE_LENGTH, shape=shape, length=len(pattern), ndim=ndim))
    if all(x.broadcastable):
        pattern = (True,) * len(pattern)
    return tensor_type(x.type.numpy_dtype, pattern)


@deferred(name="Reshape", infer=reshaped_type)
def reshape_call(x: Any, shape: Any, ndim: int | None) -> Any:
    return np.reshape(x, sizes_of(shape))


def reshape(x: Any, newshape: Any, ndim: int | None = None) -> Any:
    """The same elements, in the same order, in another shape.

    Parameters
    ----------
    x : tensor
    newshape : sequence of int or scalar variables, or an integer vector
        One of the sizes may be -1, which stands for what the others leave.
    ndim : int, optional
        The length of `newshape`, needed where that is a vector of unknown length.

    Raises
    ------
    ValueError
        If the length of the shape is not known, or the sizes do not fit.
    """
    if ndim is not None and not isinstance(ndim, int | np.integer):
        raise ValueError(message(messages.NDIM_TYPE, ndim=ndim))
    return reshape_call(as_tensor_variable(x), shape_argument(newshape), None if ndim is None else int(ndim))


def _flattened_type(x: Any, ndim: int) -> TensorType:
    if not 1 <= ndim <= max(1, x.ndim):
        raise ValueError(message(messages.FLATTEN_NDIM, ndim=ndim, found=x.ndim))
    kept = x.broadcastable[: ndim - 1]
    return tensor_type(x.type.numpy_dtype, (*kept, all(x.broadcastable[ndim - 1 :])))


@deferred(name="Flatten", infer=_flattened_type)
def flatten_call(x: Any, ndim: int) -> Any:
    shape = np.shape(x)
    rest = int(np.prod(shape[ndim - 1 :], dtype=np.int64))
    return np.reshape(x, (*shape[: ndim - 1], rest))


def flatten(x: Any, ndim: int | None = None, outdim: int | None = None) -> Any:
    """The first `ndim` - 1 dimensions as they are, and the rest as one.

    Parameters
    ----------
    x : tensor
    ndim : int
        Number of dimensions of the result; 1 if None. `outdim` is its old name.
    """
    wanted = ndim if ndim is not None else outdim
    return flatten_call(as_tensor_variable(x), 1 if wanted is None else operator.index(wanted))


def ravel(x: Any) -> Any:
    """All elements in one dimension."""
    return flatten(x)


# --- the order of dimensions ---------------------------------------------------------------------------------------


def _shuffled_type(x: Any, pattern: Sequence[Any]) -> TensorType:
    for axis in range(x.ndim):
        if axis not in pattern and not x.broadcastable[axis]:
            raise ValueError(message(messages.DROPPED_DIMENSION, value=x, axis=axis, pattern=pattern))
    return tensor_type(x.type.numpy_dtype, tuple(True if item == "x" else x.broadcastable[item] for item in pattern))


@deferred(name="DimShuffle", infer=_shuffled_type)
def dimshuffle_call(x: Any, pattern: tuple[Any, ...]) -> Any:
    order = [item for item in pattern if item != "x"]
    shape = np.shape(x)
    dropped = tuple(axis for axis in range(len(shape)) if axis not in order)
    wrong = [axis for axis in dropped if shape[axis] != 1]
    if wrong:
        raise ValueError(message(messages.DROPPED_DIMENSION, value="the tensor", axis=wrong[0], pattern=pattern))
    turned = np.transpose(x, (*order, *dropped)) if order != sorted(order) or dropped else x
    return np.reshape(turned, tuple(1 if item == "x" else shape[item] for item in pattern))


def dimshuffle(x: Any, *pattern: Any) -> Any:
    """Reorder dimensions, drop broadcastable ones, and add new ones that broadcast.

    Parameters
    ----------
    x : tensor
    pattern : ints and "x", or one sequence of them
        For every dimension of the result the dimension of x that it is, or "x" for a new one of size 1. Dimensions of
        x that are not mentioned must be broadcastable, and go.

    Raises
    ------
    ValueError
        If a dimension is mentioned twice, does not exist, or would be dropped without being broadcastable.
    """
    if len(pattern) == 1 and isinstance(pattern[0], list | tuple):
        pattern = tuple(pattern[0])
    x = as_tensor_variable(x)
    ndim = ndim_of(x)
    items: list[Any] = []
    for item in pattern:
        if isinstance(item, str) and item == "x":
            items.append("x")
            continue
        axis = operator.index(item)
        if not -ndim <= axis < ndim or axis % ndim in items:
            raise ValueError(message(messages.DIMSHUFFLE_PATTERN, pattern=pattern, axis=axis, ndim=ndim))
        items.append(axis % ndim)
    return x if items == list(range(ndim)) and not is_computing() else dimshuffle_call(x, tuple(items))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Reverse the dimensions, or put them in the order of `axes`."""
    return call(np.transpose, as_tensor_variable(x), None if axes is None else tuple(axes))


def swapaxes(y: Any, axis1: int, axis2: int) -> Any:
    """Exchange two dimensions."""
    return call(np.swapaxes, as_tensor_variable(y), axis1, axis2)


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Move dimensions to other positions."""
    return call(np.moveaxis, as_tensor_variable(a), source, destination)


def shape_padleft(t: Any, n_ones: int = 1) -> Any:
    """Add broadcastable dimensions in front."""
    t = as_tensor_variable(t)
    return dimshuffle(t, ("x",) * n_ones + tuple(range(ndim_of(t))))


def shape_padright(t: Any, n_ones: int = 1) -> Any:
    """Add broadcastable dimensions at the end."""
    t = as_tensor_variable(t)
    return dimshuffle(t, tuple(range(ndim_of(t))) + ("x",) * n_ones)


def shape_padaxis(t: Any, axis: int) -> Any:
    """Add a broadcastable dimension, which will be dimension `axis` of the result.

    Raises IndexError if there is no such dimension.
    """
    t = as_tensor_variable(t)
    ndim = ndim_of(t) + 1
    if not -ndim <= axis < ndim:
        raise IndexError(f"axis {axis} is out of range [-{ndim}, {ndim})")
    pattern: list[Any] = list(range(ndim - 1))
    pattern.insert(axis % ndim, "x")
    return dimshuffle(t, tuple(pattern))


@deferred(name="Squeeze")
def squeeze_call(x: Any, axis: tuple[int, ...]) -> Any:
    return np.squeeze(x, axis=axis)


def squeeze(x: Any, axis: Any = None) -> Any:
    """Drop dimensions of size 1.

    Parameters
    ----------
    x : tensor
    axis : int or tuple of int, optional
        Which to drop; all that are known to be broadcastable if None.
    """
    x = as_tensor_variable(x)
    if is_computing():
        return np.squeeze(x, axis=axis)
    if axis is None:
        axes = tuple(number for number, item in enumerate(x.broadcastable) if item)
    else:
        axes = tuple(operator.index(item) % x.ndim for item in (axis if isinstance(axis, list | tuple) else (axis,)))
    return squeeze_call(addbroadcast(x, *axes), axes)


# --- what is known of dimensions -----------------------------------------------------------------------------------


def _rebroadcast_type(x: Any, changes: Sequence[tuple[int, bool]]) -> TensorType:
    pattern = list(x.broadcastable)
    for axis, value in changes:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(message(messages.REBROADCAST_AXIS, value=x, axis=axis, ndim=x.ndim))
        pattern[axis] = value
    return tensor_type(x.type.numpy_dtype, tuple(pattern))


@deferred(name="Rebroadcast", infer=_rebroadcast_type)
def rebroadcast_call(x: Any, changes: tuple[tuple[int, bool], ...]) -> Any:
    for axis, value in changes:
        if value and np.shape(x)[axis] != 1:
            raise ValueError(message(messages.REBROADCAST_SIZE, axis=axis, shape=np.shape(x)))
    return x


class Rebroadcast:
    """A function that says of dimensions whether they broadcast.

    Parameters
    ----------
    changes : pairs (axis, bool)
        True: the size is 1, which is checked when the function runs. False: nothing is known.

    Examples
    --------
    >>> from tracer.tensor.types import dmatrix
    >>> Rebroadcast((0, True))(dmatrix("x")).type
    TensorType(float64, row)
    """

    def __init__(self, *changes: tuple[int, bool]) -> None:
        self.changes = tuple((int(axis), bool(value)) for axis, value in changes)

    def __call__(self, x: Any) -> Any:
        """The tensor with these dimensions."""
        x = as_tensor_variable(x)
        if not is_computing():
            pattern = _rebroadcast_type(x, self.changes).broadcastable
            if pattern == x.broadcastable:
                return x
        return rebroadcast_call(x, self.changes)


def addbroadcast(x: Any, *axes: int) -> Any:
    """Say of dimensions that their size is 1, so that they broadcast; it is checked when the function runs."""
    return Rebroadcast(*((axis, True) for axis in axes))(x)


def unbroadcast(x: Any, *axes: int) -> Any:
    """Forget of dimensions that their size is 1."""
    return Rebroadcast(*((axis, False) for axis in axes))(x)


def patternbroadcast(x: Any, broadcastable: Sequence[bool]) -> Any:
    """Say of every dimension whether it broadcasts."""
    return Rebroadcast(*enumerate(broadcastable))(x)


def _specified_type(x: Any, shape: Any) -> TensorType:
    pattern = shape_pattern(shape, x.ndim)
    if len(pattern) != x.ndim:
        raise ValueError(message(messages.SHAPE_LENGTH, shape=shape, length=len(pattern), ndim=x.ndim))
    return tensor_type(x.type.numpy_dtype, tuple(one or old for one, old in zip(pattern, x.broadcastable, strict=True)))


@deferred(name="SpecifyShape", infer=_specified_type)
def specified_call(x: Any, shape: Any) -> Any:
    wanted = sizes_of(shape)
    if np.shape(x) != wanted:
        raise AssertionError(message(messages.SPECIFIED_SHAPE, found=np.shape(x), wanted=wanted))
    return x


def specify_shape(x: Any, shape: Any) -> Any:
    """State the shape of a tensor. AssertionError is raised when the function runs and it has another one.

    Parameters
    ----------
    x : tensor
    shape : sequence of int or scalar variables, or an integer vector
    """
    return specified_call(as_tensor_variable(x), shape_argument(shape))


# --- repetition ----------------------------------------------------------------------------------------------------


def tiled_type(x: Any, reps: Sequence[Any]) -> TensorType:
    """The type of np.tile(x, reps)."""
    ndim = max(x.ndim, len(reps))
    old = (True,) * (ndim - x.ndim) + x.broadcastable
    times = [1] * (ndim - len(reps)) + list(reps)
    return tensor_type(x.type.numpy_dtype, tuple(one and is_one(count) for one, count in zip(old, times, strict=True)))


@deferred(name="Tile", infer=tiled_type)
def _tile(x: Any, reps: tuple[Any, ...]) -> Any:
    return np.tile(x, tuple(int(static(count)) for count in reps))


def tile(x: Any, reps: Any, ndim: int | None = None) -> Any:
    """Repeat a tensor as often as `reps` says along each dimension.

    Parameters
    ----------
    x : tensor
    reps : int, scalar variable, sequence of them, or integer vector of known length
        With fewer numbers than dimensions it is about the last ones; with more, dimensions are added in front.
    ndim : int, optional
        Number of dimensions of the result, at least those of x and the length of `reps`.
    """
    x = as_tensor_variable(x)
    counts: list[Any]
    if isinstance(reps, list | tuple):
        counts = list(reps)
    else:
        reps = as_tensor_variable(reps)
        counts = [reps] if ndim_of(reps) == 0 else list(reps)
    if ndim is not None:
        if ndim < len(counts):
            raise ValueError(message(messages.TILE_NDIM, ndim=ndim, length=len(counts)))
        counts = [1] * (ndim - len(counts)) + counts
    return _tile(x, tuple(counts))


def repeated_type(a: Any, repeats: Any, axis: int | None = None) -> TensorType:
    """The type of np.repeat(a, repeats, axis)."""
    if axis is None:
        return tensor_type(a.type.numpy_dtype, (all(a.broadcastable) and is_one(repeats),))
    pattern = list(a.broadcastable)
    pattern[axis] = pattern[axis] and is_one(repeats)
    return tensor_type(a.type.numpy_dtype, tuple(pattern))


@deferred(name="Repeat", infer=repeated_type)
def _repeat(x: Any, repeats: Any, axis: int | None) -> Any:
    return np.repeat(x, static(repeats), axis=axis)


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Repeat elements along an axis, or all of them in one dimension.

    Parameters
    ----------
    x : tensor
    repeats : int, scalar variable or integer vector
        How often, for every element or for each.
    axis : int, optional
        The axis; None flattens first.
    """
    return _repeat(as_tensor_variable(x), operand(repeats), axis)


@deferred(name="Roll", infer=lambda x, shift, axis: x.type)
def _roll(x: Any, shift: Any, axis: Any) -> Any:
    if not any(map(is_traced, shift if isinstance(shift, tuple) else (shift,))):
        return np.roll(x, shift, axis=axis)
    if axis is None:
        return np.reshape(_roll_axis(np.reshape(x, -1), shift, 0), np.shape(x))
    axes = axis if isinstance(axis, tuple) else (axis,)
    for item, step in zip(axes, np.broadcast_to(shift, len(axes)), strict=True):
        x = _roll_axis(x, step, item)
    return x


def _roll_axis(x: Any, shift: Any, axis: int) -> Any:
    size = np.shape(x)[axis]
    return np.take(x, (np.arange(size) - shift) % max(size, 1), axis=axis)


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Shift elements along an axis; what leaves at one end comes in at the other.

    Parameters
    ----------
    x : tensor
    shift : int or scalar variable
        How far.
    axis : int, optional
        The axis; None shifts the flattened tensor.
    """
    return _roll(as_tensor_variable(x), operand(shift), None if axis is None else known_value(axis))
