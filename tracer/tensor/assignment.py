"""Tensors with some elements replaced or increased: `set_subtensor(x[index], y)` and `inc_subtensor(x[index], y)`.

Examples
--------
>>> from tracer.tensor.assignment import inc_subtensor, set_subtensor
>>> from tracer.tensor.types import dmatrix, dvector
>>> x, y = dmatrix("x"), dvector("y")
>>> set_subtensor(x[0], y).type, inc_subtensor(x[:, [1, 1]], 1.0).type
(TensorType(float64, matrix), TensorType(float64, matrix))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.node import constant
from tracer.graph.rules import is_traced
from tracer.ops import indexing
from tracer.tensor import shaping
from tracer.tensor.creation import second
from tracer.tensor.indexing import Range, axes_of, connects, is_mask, subtensor, traced_positions, without_masks
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred, operation_of
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic_type import TensorType

__all__ = [
    "inc_subtensor",
    "set_subtensor",
]


def _infer(x: Any, key: tuple[Any, ...], y: Any, mode: str) -> TensorType:
    part = subtensor.operation.infer(x, key)
    if y.ndim > part.ndim:
        raise ValueError(message(messages.SUBTENSOR_NDIM, part=part, value=y, found=y.ndim, wanted=part.ndim))
    source = y.type.numpy_dtype if not y.is_constant or type(y.data) is np.ndarray else np.result_type(y.data, x.dtype)
    if not np.can_cast(source, x.type.numpy_dtype, "same_kind"):
        raise TypeError(message(messages.SUBTENSOR_DTYPE, source=source, value=x, target=x.dtype))
    return x.type


@deferred(name="IncSubtensor", infer=_infer)
def assigned(x: Any, key: tuple[Any, ...], y: Any, mode: str) -> Any:
    """The version of x with `y` written to ("set") or added at ("add") x[key]."""
    if not is_traced(x):
        x = Proxy(constant(np.asarray(x)))
    if len(key) == 1 and is_traced(key[0]) and is_mask(key[0]) and np.ndim(y) <= x.ndim - key[0].ndim:
        return indexing.assign(x, key[0], y, mode)
    return _assigned(x, without_masks(key), y, mode)


assigned.operation.connection_pattern = connects(0, 2)


def _assigned(x: Any, key: tuple[Any, ...], y: Any, mode: str) -> Any:
    """As `assigned`; a slice with traced bounds is cut out, written into, and put back."""
    axis = 0
    consumed = sum(axes_of(part) for part in key)
    for place, part in enumerate(key):
        if isinstance(part, Range) and any(map(is_traced, part)):
            where = (slice(None),) * axis + (traced_positions(part, x.shape[axis]),)
            rest = (*key[:place], Range(None, None, None), *key[place + 1 :])
            if all(isinstance(item, Range) and item == Range(None, None, None) for item in rest):
                return indexing.assign(x, where, y, mode)
            return indexing.assign(x, where, _assigned(indexing.index(x, where), rest, y, mode), "set")
        axis += x.ndim - consumed if part is Ellipsis else axes_of(part)
    plain = tuple(part.plain() if isinstance(part, Range) else part for part in key)
    return indexing.assign(x, plain, y, mode)


def set_subtensor(x: Any, y: Any, inplace: bool = False, tolerate_inplace_aliasing: bool = False) -> Any:
    """The whole tensor of which x is a part, with y written to this part.

    Parameters
    ----------
    x : tensor
        An indexed tensor, `whole[index]`, or a transpose, dimshuffle, reshape or flatten of one.
    y : tensor
        What is written; it broadcasts to the part. Of several writes to one place the last one stays.
    inplace, tolerate_inplace_aliasing : bool
        Accepted for compatibility: memory is reused wherever nobody can see it.

    Returns
    -------
    tensor
        A new tensor; the whole stays as it is.

    Raises
    ------
    TypeError
        If x is not a part of a tensor, or the dtype of y does not fit.
    ValueError
        If y has more dimensions than the part.
    """
    return _changed(x, as_tensor_variable(y), "set")


def inc_subtensor(
    x: Any,
    y: Any,
    inplace: bool = False,
    set_instead_of_inc: bool = False,
    tolerate_inplace_aliasing: bool = False,
    ignore_duplicates: bool = False,
) -> Any:
    """The whole tensor of which x is a part, with y added to this part.

    Parameters
    ----------
    x, y, inplace, tolerate_inplace_aliasing :
        As for `set_subtensor`. A place that is indexed several times is increased as often.
    set_instead_of_inc : bool
        Write instead of adding.
    ignore_duplicates : bool
        Increase each place once only, by the last value for it, as NumPy's `x[index] += y` does.
    """
    y = as_tensor_variable(y)
    if set_instead_of_inc:
        return _changed(x, y, "set")
    return _changed(x, x + y, "set") if ignore_duplicates else _changed(x, y, "add")


def _changed(x: Any, y: Any, mode: str) -> Any:
    if is_computing():
        raise TypeError(message(messages.SUBTENSOR_IN_TRACE))
    owner = getattr(x, "owner", None)
    if owner is None:
        raise TypeError(message(messages.NOT_A_SUBTENSOR, value=x))
    args, kwargs = owner.call_arguments(owner.inputs)
    if owner.op is subtensor.operation:
        whole, key = args
        return assigned(whole, key, y, mode)
    if owner.op in _SAME:
        return _changed(args[0], y, mode)
    if owner.op in _TURNED:
        order = _permutation(owner.op.function, args, kwargs)
        return _changed(args[0], shaping.transpose(second(x, y), tuple(np.argsort(order).tolist())), mode)
    if owner.op in _RESHAPED:
        inner = args[0]
        return _changed(inner, shaping.reshape(second(x, y), inner.shape, ndim=inner.ndim), mode)
    if owner.op is shaping.dimshuffle_call.operation:
        return _changed(args[0], _shuffled_back(second(x, y), args[0].ndim, args[1]), mode)
    raise TypeError(message(messages.NOT_A_SUBTENSOR, value=x))


_SAME = (shaping.rebroadcast_call.operation, shaping.specified_call.operation)
_TURNED = tuple(operation_of(function) for function in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis))
_RESHAPED = (
    shaping.reshape_call.operation,
    shaping.flatten_call.operation,
    shaping.squeeze_call.operation,
    *(operation_of(function) for function in (np.reshape, np.ravel, np.squeeze, np.expand_dims)),
)


def _permutation(function: Any, args: Any, kwargs: Any) -> list[int]:
    """Which axis of the argument each axis of the result is; found with an array of distinct sizes."""
    sizes = tuple(range(args[0].ndim))
    return list(function(np.empty(sizes), *args[1:], **kwargs).shape)


def _shuffled_back(y: Any, ndim: int, pattern: tuple[Any, ...]) -> Any:
    added = tuple(place for place, item in enumerate(pattern) if item == "x")
    back = tuple(pattern.index(axis) if axis in pattern else "x" for axis in range(ndim))
    return shaping.dimshuffle(shaping.addbroadcast(y, *added), back)
