"""Running totals, counts, diagonals and selections on symbolic tensors, as in Theano's `tensor.extra_ops`.

Examples
--------
>>> import tracer.tensor as T
>>> from tracer.tensor.extra_ops import bincount, to_one_hot
>>> x = T.lvector("x")
>>> bincount(x).eval({x: [0, 2, 2]})
array([1, 0, 2])
>>> to_one_hot(x, 3).eval({x: [0, 2]})
array([[1., 0., 0.],
       [0., 0., 1.]])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.config import config
from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.op import OPS
from tracer.graph.rules import lift
from tracer.tensor.indexing import positions_where
from tracer.tensor.op_classes import OpClass
from tracer.tensor.shaping import repeat, squeeze
from tracer.tensor.variables import (
    as_tensor_variable,
    call,
    dtype_of,
    get_vector_length,
    shape_argument,
    sizes_of,
)
from tracer.tracing.recording import NUMBERS, deferred
from tracer.tracing.replay import is_computing, static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "Bartlett",
    "CumOp",
    "DiffOp",
    "FillDiagonal",
    "FillDiagonalOffset",
    "Unique",
    "bartlett",
    "bincount",
    "compress",
    "cum",
    "cumprod",
    "cumsum",
    "diff",
    "fill_diagonal",
    "fill_diagonal_offset",
    "ravel_multi_index",
    "repeat",
    "searchsorted",
    "squeeze",
    "to_one_hot",
    "unique",
    "unravel_index",
]

_INT64 = np.dtype(np.int64)


def _ndim(x: Any) -> int:
    return int(np.ndim(x)) if is_computing() else int(x.ndim)


def _dtype(x: Any) -> np.dtype[Any]:
    return np.dtype(x.dtype) if hasattr(x, "dtype") else np.asarray(x).dtype


def _integers(x: Any, function: str) -> Any:
    x = as_tensor_variable(x)
    if _dtype(x).kind not in "iu":
        raise TypeError(
            message(messages.INTEGER_TENSOR, function=function, value=x, type=getattr(x, "type", type(x).__name__))
        )
    return x


# --- running totals and differences --------------------------------------------------------------------------------


def cum(x: Any, axis: int | None = None, mode: str = "add") -> Any:
    """Running sums with mode="add", running products with mode="mul", in the dtype of x."""
    if mode not in ("add", "mul"):
        raise ValueError(f'CumOp: Unknown mode "{mode}"')
    x = as_tensor_variable(x)
    ndim = _ndim(x)
    if axis is not None and not -ndim <= axis < ndim:
        raise ValueError(f"axis(={axis}) out of bounds")
    return call(np.cumsum if mode == "add" else np.cumprod, x, axis=axis, dtype=_dtype(x))


def cumsum(x: Any, axis: int | None = None) -> Any:
    """Running sums along an axis, or over the flattened tensor."""
    return cum(x, axis, "add")


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running products along an axis, or over the flattened tensor; zeros do not disturb the gradient."""
    return cum(x, axis, "mul")


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis, n times over."""
    return call(np.diff, as_tensor_variable(x), n, axis)


# --- counting and finding ------------------------------------------------------------------------------------------


def _searchsorted_type(x: Any, v: Any, side: str, sorter: Any) -> TensorType:
    return tensor_type(_INT64, v.broadcastable)


@deferred(name="SearchsortedOp", infer=_searchsorted_type, differentiable=False)
def _searchsorted(x: Any, v: Any, side: str, sorter: Any) -> Any:
    return np.searchsorted(x, v, side, sorter)  # type: ignore[call-overload]


def searchsorted(x: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where values would be inserted into a sorted vector to keep it sorted.

    Parameters
    ----------
    x : vector
        Sorted, or put in order by `sorter`.
    v : tensor
        The values.
    side : {"left", "right"}
        The first or the last place that would do.
    sorter : integer vector, optional
        Positions that sort x, as of `argsort`.
    """
    if side not in ("left", "right"):
        raise ValueError(f"'{side}' is an invalid value for keyword 'side'")
    places = None if sorter is None else _integers(sorter, "searchsorted (sorter)")
    return _searchsorted(as_tensor_variable(x), as_tensor_variable(v), side, places)


def _bincount_type(x: Any, weights: Any, minlength: Any) -> TensorType:
    return tensor_type((x if weights is None else weights).type.numpy_dtype, (False,))


@deferred(name="Bincount", infer=_bincount_type)
def _bincount(x: Any, weights: Any, minlength: Any) -> Any:
    least = 0 if minlength is None else minlength
    # Only the length is static: counts of other numbers with the same largest one need no new program.
    length = int(static(np.maximum(np.max(x) + 1, least))) if x.shape[0] else int(static(least))
    values = np.ones_like(x) if weights is None else weights
    places = np.where(x < 0, length, x)  # out of bounds, instead of counted from the end
    return OPS["scatter_add"](np.zeros_like(values, shape=(length,)), values, places)


def bincount(x: Any, weights: Any = None, minlength: Any = None, assert_nonneg: bool = False) -> Any:
    """How often each whole number occurs, or the sum of the weights at its places.

    Parameters
    ----------
    x : integer vector
        Numbers from 0; a negative one is an IndexError when it is computed.
    weights : vector, optional
        Of the length of x; the result has its dtype, else that of x.
    minlength : int or scalar variable, optional
        The least length of the result.
    assert_nonneg : bool
        Theano tests the numbers only if asked; here they always are tested.
    """
    x = _integers(x, "bincount")
    if _ndim(x) != 1:
        raise TypeError("Inputs must be of dimension 1.")
    return _bincount(x, None if weights is None else as_tensor_variable(weights), minlength)


def _selected_type(condition: Any, x: Any, axis: int | None) -> TensorType:
    pattern = (False,) if axis is None else tuple(flag and n != axis for n, flag in enumerate(x.broadcastable))
    return tensor_type(x.type.numpy_dtype, pattern)


@deferred(name="Compress", infer=_selected_type)
def _compress(condition: Any, x: Any, axis: int | None) -> Any:
    (places,) = positions_where(np.ravel(condition))
    return np.take(x, places, axis)


def compress(condition: Any, x: Any, axis: int | None = None) -> Any:
    """The slices of x along an axis (the elements of the flattened x) where a condition is not zero."""
    x = as_tensor_variable(x)
    return _compress(as_tensor_variable(condition), x, axis if axis is None else axis % _ndim(x))


# --- unique values -------------------------------------------------------------------------------------------------


def _unique_types(x: Any, options: tuple[bool, bool, bool], axis: int | None) -> tuple[TensorType, ...]:
    pattern = (False,) if axis is None else tuple(flag and n != axis for n, flag in enumerate(x.broadcastable))
    count = 1 + sum(options)
    return (tensor_type(x.type.numpy_dtype, pattern), *(tensor_type(_INT64, (False,)),) * (count - 1))


def _order_of_rows(rows: Any) -> Any:
    """Positions that put rows in lexicographic order."""
    order, _ = lift(np.arange(rows.shape[0]), rows)
    for column in reversed(range(rows.shape[1])):
        order = np.take(order, np.argsort(np.take(rows[:, column], order), kind="stable"))
    return order


@deferred(name="Unique", infer=_unique_types)
def _unique(x: Any, options: tuple[bool, bool, bool], axis: int | None) -> tuple[Any, ...]:
    moved = np.ravel(x)[:, None] if axis is None else np.moveaxis(x, axis, 0)
    size = moved.shape[0]
    rows = np.reshape(moved, (size, math.prod(moved.shape[1:])))
    order = _order_of_rows(rows)
    in_order = np.take(rows, order, axis=0)
    is_new = np.any(in_order[1:] != in_order[:-1], axis=1)
    is_first = np.concatenate([np.ones_like(is_new, shape=(min(size, 1),)), is_new])
    (places,) = positions_where(is_first)
    picked = np.take(order, places)
    values = np.take(moved, picked, axis=0)
    results = [values[:, 0] if axis is None else np.moveaxis(values, 0, axis)]
    if options[0]:
        results.append(picked)
    if options[1]:
        results.append(np.take(np.cumsum(is_first) - 1, np.argsort(order)))
    if options[2]:
        results.append(np.diff(np.append(places, size)))
    return tuple(results)


def unique(
    x: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None
) -> Any:
    """The different elements of a tensor, sorted.

    Parameters
    ----------
    x : tensor
    return_index : bool
        Also where each of them is first.
    return_inverse : bool
        Also which of them each element of the flattened tensor is.
    return_counts : bool
        Also how often each of them occurs.
    axis : int, optional
        Compare the slices along an axis instead of the elements.

    Returns
    -------
    variable or list of variables
    """
    x = as_tensor_variable(x)
    options = (bool(return_index), bool(return_inverse), bool(return_counts))
    found = _unique(x, options, axis if axis is None else axis % _ndim(x))
    return found if any(options) else found[0]


# --- diagonals and one-hot rows ------------------------------------------------------------------------------------


def _scalar_value(val: Any, a: Any) -> Any:
    val = as_tensor_variable(val)
    weak = type(getattr(val, "data", val)) in NUMBERS
    if _ndim(val) != 0 or not (weak or np.can_cast(_dtype(val), _dtype(a), "same_kind")):
        kind = getattr(val, "type", type(val).__name__)
        raise TypeError(message(messages.FILL_VALUE, dtype=a.dtype, value=val, type=kind))
    return val


@deferred(name="FillDiagonal", infer=lambda a, val: a.type)
def _fill_diagonal(a: Any, val: Any) -> Any:
    if a.ndim > 2 and len(set(a.shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    result = np.copy(a)
    np.fill_diagonal(result, val)
    return result


def fill_diagonal(a: Any, val: Any) -> Any:
    """A copy of a tensor with one value on its main diagonal; both have a gradient."""
    a = as_tensor_variable(a)
    if _ndim(a) < 2:
        raise TypeError(message(messages.FILL_NDIM, wanted="2 dimensions or more", value=a, found=_ndim(a)))
    return _fill_diagonal(a, _scalar_value(val, a))


@deferred(name="FillDiagonalOffset", infer=lambda a, val, offset: a.type)
def _fill_diagonal_offset(a: Any, val: Any, offset: Any) -> Any:
    rows, columns = a.shape
    on_diagonal = np.arange(columns) - np.arange(rows)[:, None] == offset
    return np.where(on_diagonal, val, a).astype(a.dtype)


def fill_diagonal_offset(a: Any, val: Any, offset: Any) -> Any:
    """A copy of a matrix with one value on a diagonal: the main one for offset 0, one above it for 1.

    The offset may be an integer scalar variable.
    """
    a = as_tensor_variable(a)
    if _ndim(a) != 2:
        raise TypeError(message(messages.FILL_NDIM, wanted="2 dimensions", value=a, found=_ndim(a)))
    return _fill_diagonal_offset(a, _scalar_value(val, a), _integers(offset, "fill_diagonal_offset (offset)"))


def _one_hot_type(y: Any, classes: Any, dtype: np.dtype[Any]) -> TensorType:
    return tensor_type(dtype, (False, False))


@deferred(name="OneHot", infer=_one_hot_type, differentiable=False)
def _one_hot(y: Any, classes: Any, dtype: np.dtype[Any]) -> Any:
    (classes,) = sizes_of(classes)
    rows = np.zeros_like(y, shape=(y.shape[0], classes), dtype=dtype)
    return OPS["scatter_set"](rows, np.ones_like(y, dtype=dtype), np.arange(y.shape[0]), y)


def to_one_hot(y: Any, nb_class: Any, dtype: Any = None) -> Any:
    """A row for each whole number, 1 at its place and 0 elsewhere.

    Parameters
    ----------
    y : integer vector
        Numbers from 0 to nb_class - 1.
    nb_class : int or integer scalar
        The length of a row.
    dtype : str, optional
        Of the result; floatX if None.
    """
    return _one_hot(_integers(y, "to_one_hot"), nb_class, dtype_of(config.floatX if dtype is None else dtype))


# --- places in flattened tensors -----------------------------------------------------------------------------------


def _unravel_types(indices: Any, dims: Any, count: int, order: str) -> tuple[TensorType, ...]:
    return (tensor_type(_INT64, indices.broadcastable),) * count


@deferred(name="UnravelIndex", infer=_unravel_types, differentiable=False)
def _unravel(indices: Any, dims: Any, count: int, order: str) -> tuple[Any, ...]:
    return tuple(np.unravel_index(indices, sizes_of(dims), order=order))  # type: ignore[call-overload]


def unravel_index(indices: Any, dims: Any, order: str = "C", ndim: int | None = None) -> tuple[Any, ...]:
    """The indices along each dimension of places in a flattened tensor.

    Parameters
    ----------
    indices : integer tensor
    dims : sequence of sizes, or integer vector
        The shape of the tensor.
    order : {"C", "F"}
        How it was flattened.
    ndim : int, optional
        The length of `dims`, needed where that is not known.
    """
    if order not in ("C", "F"):
        raise ValueError("order must be 'C' or 'F'")
    shape = shape_argument(dims)
    count = ndim if ndim is not None else len(shape) if isinstance(shape, tuple) else get_vector_length(shape)
    return tuple(_unravel(_integers(indices, "unravel_index"), shape, count, order))


def _ravel_type(multi_index: Sequence[Any], dims: Any, mode: Any, order: str) -> TensorType:
    patterns = [item.broadcastable for item in multi_index]
    ndim = max(map(len, patterns))
    padded = [(True,) * (ndim - len(item)) + item for item in patterns]
    return tensor_type(_INT64, tuple(map(all, zip(*padded, strict=True))))


@deferred(name="RavelMultiIndex", infer=_ravel_type, differentiable=False)
def _ravel(multi_index: Sequence[Any], dims: Any, mode: Any, order: str) -> Any:
    return np.ravel_multi_index(tuple(multi_index), sizes_of(dims), mode=mode, order=order)  # type: ignore[call-overload]


def ravel_multi_index(multi_index: Sequence[Any], dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """The places in a flattened tensor of indices along each dimension.

    Parameters
    ----------
    multi_index : sequence of integer tensors
        One for each dimension.
    dims : sequence of sizes, or integer vector
        The shape of the tensor.
    mode : {"raise", "wrap", "clip"}
        What happens to indices out of bounds.
    order : {"C", "F"}
        How it is flattened.
    """
    if mode not in ("raise", "wrap", "clip") or order not in ("C", "F"):
        raise ValueError(f"mode must be 'raise', 'wrap' or 'clip', and order 'C' or 'F'; got {mode!r} and {order!r}")
    return _ravel([_integers(item, "ravel_multi_index") for item in multi_index], shape_argument(dims), mode, order)


# --- windows -------------------------------------------------------------------------------------------------------


@deferred(name="Bartlett", infer=lambda M: tensor_type(np.dtype(np.float64), (False,)), differentiable=False)
def _bartlett(M: Any) -> Any:
    return np.bartlett(int(static(M)))


def bartlett(M: Any) -> Any:
    """The Bartlett window with M points: a triangle that starts and ends at zero."""
    M = _integers(M, "bartlett")
    if _ndim(M) != 0:
        raise TypeError("Bartlett only works on scalar input")
    return _bartlett(M)


CumOp = OpClass(cum, "axis", "mode")
DiffOp = OpClass(diff, "n", "axis")
FillDiagonal = OpClass(fill_diagonal)
FillDiagonalOffset = OpClass(fill_diagonal_offset)
Bartlett = OpClass(bartlett)
Unique = OpClass(unique, "return_index", "return_inverse", "return_counts", "axis")
