"""Joining tensors along dimensions, and splitting them.

Examples
--------
>>> from tracer.tensor.joining import join, split, stack
>>> from tracer.tensor.types import dcol, dmatrix, dvector
>>> x, y = dvector("x"), dvector("y")
>>> stack([x, y], axis=1).type, join(1, dmatrix("a"), dcol("b")).type
(TensorType(float64, matrix), TensorType(float64, matrix))
>>> len(split(x, [2, 3, 4], n_splits=3))
3
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.tensor.shaping import shape_padaxis
from tracer.tensor.variables import (
    as_tensor_variable,
    call,
    get_scalar_constant_value,
    ndim_of,
    operand,
    operand_dtype,
    shape_argument,
    sizes_of,
)
from tracer.tracing.recording import deferred, operation_of
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "concatenate",
    "horizontal_stack",
    "join",
    "split",
    "stack",
    "stacklists",
    "vertical_stack",
]


def joined_pattern(arrays: Sequence[Any]) -> tuple[np.dtype[Any], list[bool]]:
    """The dtype of tensors that are joined, and which of their dimensions are known to have size 1.

    Raises ValueError if their numbers of dimensions differ.
    """
    parts = [as_tensor_variable(item) for item in arrays]
    ndims = {item.ndim for item in parts}
    if len(ndims) != 1:
        raise ValueError(message(messages.JOIN_NDIM, types=", ".join(str(item.type) for item in parts)))
    pattern = [any(item.broadcastable[axis] for item in parts) for axis in range(ndims.pop())]
    return np.result_type(*map(operand_dtype, parts)), pattern


def _joined_type(arrays: Sequence[Any], axis: int | None = 0, **_: Any) -> TensorType:
    if axis is None:
        return tensor_type(np.result_type(*(item.type.numpy_dtype for item in arrays)), (False,))
    dtype, pattern = joined_pattern(arrays)
    if not -len(pattern) <= axis < len(pattern):
        raise ValueError(message(messages.JOIN_AXIS, axis=axis, ndim=len(pattern)))
    pattern[axis] = len(arrays) == 1 and pattern[axis]
    return tensor_type(dtype, tuple(pattern))


operation_of(np.concatenate).infer = _joined_type


def join(axis: Any, *tensors_list: Any) -> Any:
    """Join tensors one after another along an axis.

    Parameters
    ----------
    axis : int
    tensors_list : tensors
        All of the same number of dimensions, and of the same sizes but along the axis.

    Raises
    ------
    ValueError
        If there is none, or their dimensions do not fit.
    """
    if not tensors_list:
        raise ValueError(message(messages.JOIN_NOTHING))
    parts = [as_tensor_variable(item) for item in tensors_list]
    return call(np.concatenate, parts, axis=int(get_scalar_constant_value(axis)))


def concatenate(tensor_list: Sequence[Any], axis: Any = 0) -> Any:
    """Join a list of tensors along an axis; as `join`, with NumPy's arguments."""
    if not isinstance(tensor_list, list | tuple):
        raise TypeError(message(messages.JOIN_LIST, kind=type(tensor_list).__name__))
    return join(axis, *tensor_list)


def stack(*tensors: Any, axis: int = 0) -> Any:
    """Put tensors of one shape side by side along a new axis.

    Parameters
    ----------
    tensors : one list of tensors, or (the old form) several tensors
    axis : int
        Where the new axis goes. After a list it may be given by position.

    Examples
    --------
    >>> from tracer.tensor.types import dmatrix
    >>> stack([dmatrix("x"), dmatrix("y")], axis=-1).ndim
    3
    """
    if tensors and isinstance(tensors[0], list | tuple):
        if len(tensors) > 2:
            raise TypeError(f"stack() takes a list and an axis, but {len(tensors)} arguments were given")
        parts, axis = list(tensors[0]), tensors[1] if len(tensors) == 2 else axis
    else:
        parts = list(tensors)
    if not parts:
        raise ValueError(message(messages.JOIN_NOTHING))
    items = [as_tensor_variable(item) for item in parts]
    if all(ndim_of(item) == 0 for item in items):
        return call(np.stack, items)
    return join(axis, *(shape_padaxis(item, axis) for item in items))


def stacklists(arg: Any) -> Any:
    """Stack nested lists of tensors: every level of nesting becomes a dimension.

    Examples
    --------
    >>> from tracer.tensor.types import dscalars
    >>> a, b, c, d = dscalars("abcd")
    >>> stacklists([[a, b], [c, d]]).type
    TensorType(float64, matrix)
    """
    return stack([stacklists(item) for item in arg]) if isinstance(arg, list | tuple) else arg


def horizontal_stack(*args: Any) -> Any:
    """Join matrices along their columns."""
    return join(1, *_matrices(args))


def vertical_stack(*args: Any) -> Any:
    """Join matrices along their rows."""
    return join(0, *_matrices(args))


def _matrices(args: Sequence[Any]) -> list[Any]:
    parts = [as_tensor_variable(item) for item in args]
    for item in parts:
        if ndim_of(item) != 2:
            raise ValueError(message(messages.NOT_STACKABLE, value=item))
    return parts


def _split_types(x: Any, sizes: Any, count: int, axis: int) -> tuple[TensorType, ...]:
    pattern = list(x.broadcastable)
    pattern[axis] = False
    return (tensor_type(x.type.numpy_dtype, tuple(pattern)),) * count


@deferred(name="Split", infer=_split_types)
def _split(x: Any, sizes: Any, count: int, axis: int) -> tuple[Any, ...]:
    lengths = sizes_of(sizes)
    if len(lengths) != count:
        raise ValueError(message(messages.SPLIT_COUNT, count=count, found=len(lengths)))
    if sum(lengths) != np.shape(x)[axis]:
        raise ValueError(message(messages.SPLIT_SIZES, sizes=lengths, size=np.shape(x)[axis], axis=axis))
    if any(size < 0 for size in lengths):
        raise ValueError(message(messages.SPLIT_NEGATIVE, sizes=lengths))
    return tuple(np.split(x, np.cumsum(lengths)[:-1].tolist(), axis=axis))


def split(x: Any, splits_size: Any, n_splits: int, axis: Any = 0) -> list[Any]:
    """Cut a tensor into parts along an axis.

    Parameters
    ----------
    x : tensor
    splits_size : sequence of int or scalar variables, or an integer vector
        The sizes of the parts, which add up to that of the axis.
    n_splits : int
        How many parts there are.
    axis : int

    Raises
    ------
    ValueError
        When the function runs and the sizes do not add up.
    """
    count = int(get_scalar_constant_value(n_splits))
    number = operator.index(get_scalar_constant_value(axis).item())
    found = _split(as_tensor_variable(x), shape_argument(operand_sizes(splits_size)), count, number)
    return list(found)


def operand_sizes(sizes: Any) -> Any:
    """Sizes as a recorded argument: a sequence of numbers and variables stays one."""
    return sizes if isinstance(sizes, list | tuple) else operand(sizes)
