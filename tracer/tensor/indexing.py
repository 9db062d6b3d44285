"""Indexing of symbolic variables: any NumPy index, with bounds and positions that may be symbolic.

Examples
--------
>>> from tracer.tensor.indexing import take
>>> from tracer.tensor.types import dmatrix, iscalar, lvector
>>> x, i = dmatrix("x"), iscalar("i")
>>> x[i].type, x[i : i + 2, ::-1].type, x[[0, 2]].type, x[x > 0].type
(TensorType(float64, vector), TensorType(float64, matrix), TensorType(float64, matrix), TensorType(float64, vector))
>>> take(x, lvector("rows"), axis=0).type
TensorType(float64, matrix)
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.node import constant
from tracer.graph.rules import is_traced
from tracer.ops.indexing import FLAT_NONZERO
from tracer.tensor.variables import as_tensor_variable, known_value, ndim_of, operand
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred
from tracer.tracing.replay import computing, is_computing, static
from tracer.tracing.symbolic import Symbolic, as_variable, method
from tracer.tracing.symbolic_type import STAND_IN_SIZE, TensorType, tensor_type

__all__ = [
    "flatnonzero",
    "inverse_permutation",
    "nonzero",
    "nonzero_values",
    "permute_row_elements",
    "take",
]


class Range(NamedTuple):
    """A slice whose bounds may be symbolic; unlike a slice it can be looked into by `tree.flatten`."""

    start: Any
    stop: Any
    step: Any

    def plain(self) -> slice:
        """The slice of numbers that it is."""
        return slice(*(None if bound is None else int(bound) for bound in self))


FULL = Range(None, None, None)


def packed(key: Any) -> tuple[Any, ...]:
    """An index as a tuple, with slices as ranges, and lists with variables in them as variables."""
    keys = key if isinstance(key, tuple) else (key,)
    return tuple(_packed_part(part) for part in keys)


def _packed_part(part: Any) -> Any:
    if isinstance(part, slice):
        return Range(part.start, part.stop, part.step)
    if isinstance(part, list | tuple):
        return as_variable(part) if len(part) else np.zeros(0, np.int64)
    return part


def _infer(x: Any, key: tuple[Any, ...]) -> TensorType:
    """The type of x[key]: ints drop a dimension, slices keep it, arrays follow NumPy's rules."""
    keys: list[Any] = []
    axis = 0
    consumed = sum(axes_of(part) for part in key)
    if consumed > x.ndim:
        raise IndexError(message(messages.TOO_MANY_INDICES, type=x.type, ndim=x.ndim, count=consumed))
    for part in key:
        if part is Ellipsis:
            axis += x.ndim - consumed
            keys.append("...")
        elif isinstance(part, Range):
            keys.append(_kept_single(part, x.broadcastable[axis]))
            axis += 1
        else:
            keys += _kinds(part)
            axis += axes_of(part)
    return tensor_type(x.type.numpy_dtype, _indexed_pattern(x.broadcastable, tuple(keys)))


def _kept_single(part: Range, broadcasts: bool) -> bool | None:
    """Whether a slice is known to have size 1; None if it takes the whole dimension."""
    if part == FULL:
        return None
    bounds = [known_value(bound) for bound in part]
    if not broadcasts or any(f is None and bound is not None for f, bound in zip(bounds, part, strict=True)):
        return False  # even x[:1] may be empty
    return len(range(1)[Range(*bounds).plain()]) == 1


@cache
def _indexed_pattern(broadcastable: tuple[bool, ...], kinds: tuple[Any, ...]) -> tuple[bool, ...]:
    """Which dimensions of an indexed tensor broadcast; a part of the index is told by what is known of it."""
    known = {"...": Ellipsis, "new": None, "int": 0, None: slice(None), True: slice(None), False: slice(0, 0)}
    keys = [np.zeros(kind, np.int64) if isinstance(kind, tuple) else known[kind] for kind in kinds]
    with computing():
        shape = tensor_type(np.dtype(bool), broadcastable).stand_in()[tuple(keys)].shape
    return tuple(size == 1 for size in shape)


def axes_of(part: Any) -> int:
    """How many dimensions a part of an index takes."""
    if part is None or part is Ellipsis:
        return 0
    return int(part.ndim) if is_mask(part) else 1


def is_mask(part: Any) -> bool:
    """Whether a part of an index is an array of truth values."""
    dtype = getattr(part, "dtype", None)
    return dtype is not None and np.dtype(dtype) == bool


def _kinds(part: Any) -> list[Any]:
    """What is known of a part of an index that is not a slice: "new", "int", or the made-up shape of an array."""
    if part is None:
        return ["new"]
    if is_mask(part):
        return [(STAND_IN_SIZE,)] * part.ndim
    if isinstance(part, Symbolic):
        if part.type.numpy_dtype.kind not in "iu":
            raise IndexError(message(messages.INDEX_DTYPE, value=part, dtype=part.dtype))
        return [tuple(1 if item else STAND_IN_SIZE for item in part.type.broadcastable) or "int"]
    if isinstance(part, np.ndarray) and part.ndim:
        return [tuple(1 if size == 1 else STAND_IN_SIZE for size in part.shape)]
    if not hasattr(part, "__index__"):
        raise IndexError(message(messages.INDEX_DTYPE, value=part, dtype=type(part).__name__))
    return ["int"]


def connects(*positions: int) -> Any:
    """The connection pattern of a call through which derivatives reach only these of its arguments."""

    def pattern(node: Any) -> list[list[bool]]:
        args, _ = node.call_arguments(node.inputs)
        return [[any(item is args[position] for position in positions)] for item in node.inputs]

    return pattern


@deferred(name="Subtensor", infer=_infer)
def subtensor(x: Any, key: tuple[Any, ...]) -> Any:
    """x[key], where slices are `Range`s and bounds and positions may be traced."""
    key = without_masks(key)
    if not is_traced(x) and any(map(is_traced, _flat(key))):
        x = Proxy(constant(x))
    x, key = _cut_ranges(x, key)
    return x[key]


subtensor.operation.connection_pattern = connects(0)


def _flat(key: tuple[Any, ...]) -> list[Any]:
    return [item for part in key for item in (part if isinstance(part, Range) else (part,))]


def without_masks(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """An index with traced masks as the positions at which they hold; how many these are becomes static."""
    return tuple(
        item for part in key for item in (positions_where(part) if is_traced(part) and is_mask(part) else (part,))
    )


def positions_where(mask: Any) -> tuple[Any, ...]:
    """As np.nonzero of a traced array: index arrays, one a dimension, whose length is static for the program."""
    count = int(static(np.sum(mask != 0)))
    flat = FLAT_NONZERO(np.reshape(mask, -1), size=count)
    positions = []
    for size in reversed(mask.shape[1:]):
        positions.append(flat % size)
        flat = flat // size
    return (flat, *reversed(positions))


def _cut_ranges(x: Any, key: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Do the slices with traced bounds first, one axis at a time; what is left of the key is static or arrays."""
    keys: list[Any] = []
    axis = 0
    consumed = sum(axes_of(part) for part in key)
    for part in key:
        if isinstance(part, Range):
            if any(map(is_traced, part)):
                x = np.take(x, traced_positions(part, x.shape[axis]), axis=axis)
                keys.append(slice(None))
            else:
                keys.append(part.plain())
            axis += 1
        else:
            keys.append(part)
            axis += np.ndim(x) - consumed if part is Ellipsis else axes_of(part)
    return x, tuple(keys)


def traced_positions(part: Range, size: int) -> Any:
    """The positions that a slice with traced bounds takes along an axis; only their number is static."""
    step = 1 if part.step is None else int(static(part.step))
    if step == 0:
        raise ValueError("slice step cannot be zero")
    low, high = (0, size) if step > 0 else (-1, size - 1)
    start = _bound(part.start, low if step > 0 else high, size, low, high)
    stop = _bound(part.stop, high if step > 0 else low, size, low, high)
    count = int(static(np.maximum(0, (stop - start + step - (1 if step > 0 else -1)) // step)))
    return start + step * np.arange(count)


def _bound(bound: Any, default: int, size: int, low: int, high: int) -> Any:
    if bound is None:
        return np.int64(default)
    bound = bound.astype(np.int64) if is_traced(bound) else np.int64(bound)
    bound = np.where(bound < 0, bound + size, bound)
    return np.clip(bound, low, high).astype(np.int64)


@method("__getitem__")
def _getitem(x: Any, key: Any) -> Any:
    return subtensor(x, packed(key))


# --- functions that index ------------------------------------------------------------------------------------------


def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    """The elements at positions along an axis.

    Parameters
    ----------
    a : tensor
    indices : tensor of int
    axis : int, optional
        The axis; None takes from the flattened tensor.
    mode : {"raise", "wrap", "clip"}
        What is done with positions outside: an IndexError, counting round, or the nearest position.
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(message(messages.TAKE_MODE, mode=mode))
    a, indices = as_tensor_variable(a), operand(indices)
    return _take(a, indices, axis, mode) if is_computing() else _take_variable(a, indices, axis, mode)


def _take_variable(a: Any, indices: Any, axis: int | None, mode: str) -> Any:
    if axis is None:
        a, axis = a.reshape((-1,)), 0
    axis = operator.index(axis)
    if not -a.ndim <= axis < a.ndim:
        raise ValueError(message(messages.TAKE_AXIS, axis=axis, value=a, ndim=a.ndim))
    axis %= a.ndim
    if mode == "wrap":
        indices = indices % a.shape[axis]
    elif mode == "clip":
        indices = np.clip(as_tensor_variable(indices), 0, a.shape[axis] - 1)
    return a[(slice(None),) * axis + (indices,)]


def _take(a: Any, indices: Any, axis: int | None, mode: str) -> Any:
    if mode != "raise":
        size = np.size(a) if axis is None else np.shape(a)[axis]
        indices = indices % size if mode == "wrap" else np.clip(indices, 0, size - 1)
    return np.take(a, indices, axis=axis)


def nonzero_types(x: Any) -> tuple[TensorType, ...]:
    """The types of np.nonzero(x): a vector of positions for each dimension."""
    if x.ndim == 0:
        raise ValueError(message(messages.NONZERO_SCALAR, value=x))
    return (tensor_type(np.dtype(np.int64), (False,)),) * x.ndim


@deferred(name="Nonzero", infer=nonzero_types, differentiable=False)
def nonzero_call(x: Any) -> tuple[Any, ...]:
    """As np.nonzero; how many positions there are becomes static."""
    return positions_where(x) if is_traced(x) else tuple(np.nonzero(x))


def nonzero(a: Any, return_matrix: bool = False) -> Any:
    """The positions of the elements that are not zero.

    Parameters
    ----------
    a : tensor
    return_matrix : bool
        One matrix with a row per dimension, instead of a tuple with a vector per dimension.
    """
    positions = tuple(nonzero_call(as_tensor_variable(a)))
    return np.stack(positions) if return_matrix else positions


def flatnonzero(a: Any) -> Any:
    """The positions, in the flattened tensor, of the elements that are not zero."""
    a = as_tensor_variable(a)
    if ndim_of(a) == 0:
        raise ValueError(message(messages.NONZERO_SCALAR, value=a))
    return nonzero(a.reshape((-1,)))[0]


def nonzero_values(a: Any) -> Any:
    """The elements that are not zero, as a vector."""
    a = as_tensor_variable(a)
    return a.reshape((-1,))[flatnonzero(a)]


@deferred(name="PermuteRowElements")
def _permute_rows(x: Any, y: Any, inverse: bool) -> Any:
    if inverse:
        y = np.argsort(y, axis=-1)
    x, y = (x, y) if np.ndim(x) >= np.ndim(y) else (np.broadcast_to(x, np.shape(y)), y)
    lead = np.broadcast_shapes(np.shape(x)[:-1], np.shape(y)[:-1])
    x = np.broadcast_to(x, lead + np.shape(x)[-1:])
    return np.take_along_axis(x, np.broadcast_to(y, lead + np.shape(y)[-1:]), axis=-1)


def permute_row_elements(x: Any, y: Any, inverse: int = 0) -> Any:
    """Each row (the last dimension) of x in the order of the corresponding row of y; other dimensions broadcast.

    Parameters
    ----------
    x : tensor
    y : tensor of int
        Rows are permutations of positions.
    inverse : bool
        Use the inverse permutations.
    """
    return _permute_rows(as_tensor_variable(x), as_tensor_variable(y), bool(inverse))


def inverse_permutation(perm: Any) -> Any:
    """The permutation that undoes another one; of a matrix, row by row."""
    perm = as_tensor_variable(perm)
    return np.argsort(perm, axis=-1)
