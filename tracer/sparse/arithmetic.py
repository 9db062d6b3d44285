"""Sums, differences and elementwise products of sparse matrices, with each other and with dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.graph.op import OPS
from tracer.sparse.conversion import as_sparse_or_tensor_variable, ndim_of, sparse_of
from tracer.sparse.types import SparseType, as_sparse_variable, is_sparse_operand, sparse_type
from tracer.sparse.values import SparseValue, from_keys, is_sparse, keys_of, value_of
from tracer.tensor.indexing import positions_where
from tracer.tensor.variables import as_tensor_variable, operand_dtype
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "add",
    "add_s_d",
    "add_s_s",
    "add_s_s_data",
    "col_scale",
    "eq",
    "ge",
    "gt",
    "le",
    "lt",
    "mul",
    "mul_s_d",
    "mul_s_s",
    "mul_s_v",
    "neg",
    "neq",
    "row_scale",
    "structured_add_s_v",
    "sub",
    "true_div",
]


def _pair(x: Any, y: Any, function: str) -> tuple[Any, Any]:
    if not (is_sparse_operand(x) or is_sparse_operand(y)):
        raise TypeError(message(messages.NO_SPARSE, function=function))
    return as_sparse_or_tensor_variable(x), as_sparse_or_tensor_variable(y)


def result_dtype(x: Any, y: Any) -> np.dtype[Any]:
    """NumPy's dtype for two variables."""
    return np.result_type(
        *(item.type.numpy_dtype if is_sparse_operand(item) else operand_dtype(item) for item in (x, y))
    )


def _as_dense(x: Any) -> Any:
    return value_of(x).toarray() if is_sparse(x) else x


def _same_places(x: Any, y: Any) -> tuple[SparseValue, SparseValue]:
    """Two sparse matrices of one shape in the format of the first."""
    x, y = value_of(x), value_of(y)
    if x.shape != y.shape:
        raise ValueError(f"inconsistent shapes: {x.shape} and {y.shape}")
    return x, y.in_format(x.format)


# --- sums ----------------------------------------------------------------------------------------------------------


def _sum_type(x: Any, y: Any) -> SparseType | TensorType:
    dtype = result_dtype(x, y)
    if is_sparse_operand(x) and is_sparse_operand(y):
        return sparse_type(x.format, dtype)
    return tensor_type(dtype, (False, False))


def united(x: Any, y: Any) -> SparseValue:
    """The sum of two sparse matrices: it stores what one of them stores."""
    x, y = _same_places(x, y)
    keys = np.concatenate([keys_of(x), keys_of(y)])
    data = np.concatenate([x.data, y.data])
    order = np.argsort(keys, kind="stable")
    in_order = np.take(keys, order)
    is_first = np.concatenate([np.ones_like(in_order[:1], dtype=bool), in_order[1:] != in_order[:-1]])
    (places,) = positions_where(is_first)
    number = np.cumsum(is_first) - 1
    blank = np.zeros_like(data, shape=places.shape)
    return from_keys(
        x.format, OPS["scatter_add"](blank, np.take(data, order), number), np.take(in_order, places), x.shape
    )


@deferred(name="Add", infer=_sum_type)
def _add(x: Any, y: Any) -> Any:
    if is_sparse(x) and is_sparse(y):
        return united(x, y)
    return _as_dense(x) + _as_dense(y)


def add(x: Any, y: Any) -> Any:
    """The sum of two matrices of which at least one is sparse: sparse if both are, else dense."""
    return _add(*_pair(x, y, "add"))


@deferred(name="Sub", infer=_sum_type)
def _sub(x: Any, y: Any) -> Any:
    if is_sparse(x) and is_sparse(y):
        y = value_of(y)
        return united(x, y.with_data(-y.data))
    return _as_dense(x) - _as_dense(y)


def sub(x: Any, y: Any) -> Any:
    """The difference of two matrices of which at least one is sparse: sparse if both are, else dense."""
    return _sub(*_pair(x, y, "sub"))


@deferred(name="Neg", infer=lambda x: x.type)
def _neg(x: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(-x.data)


def neg(x: Any) -> Any:
    """The negative of a sparse matrix."""
    return _neg(as_sparse_variable(x))


@deferred(name="AddSSData", infer=lambda x, y: sparse_type(x.format, result_dtype(x, y)))
def _add_data(x: Any, y: Any) -> SparseValue:
    x, y = _same_places(x, y)
    return x.with_data(x.data + y.data)


def add_s_s_data(x: Any, y: Any) -> Any:
    """The sum of two sparse matrices that store elements at just the same places."""
    return _add_data(as_sparse_variable(x), as_sparse_variable(y))


@deferred(name="StructuredAddSV", infer=lambda x, y: sparse_type(x.format, result_dtype(x, y)))
def _add_vector(x: Any, y: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(x.data + np.take(y, x.places[1]))


def structured_add_s_v(x: Any, y: Any) -> Any:
    """A sparse matrix with a vector added to each row, but only to the elements that are stored."""
    return _add_vector(as_sparse_variable(x), as_tensor_variable(y))


# --- products ------------------------------------------------------------------------------------------------------


def _product_type(x: Any, y: Any) -> SparseType:
    return sparse_type((x if is_sparse_operand(x) else y).format, result_dtype(x, y))


def _at_places(dense: Any, x: SparseValue) -> Any:
    """The elements of a dense value, broadcast to the shape of a sparse matrix, at its places."""
    if np.ndim(dense) == 0:
        return dense
    spread = np.broadcast_shapes(np.shape(dense), x.shape)
    if spread != x.shape:
        raise ValueError(f"cannot multiply a sparse matrix of shape {x.shape} by an array of shape {np.shape(dense)}")
    rows, columns = x.places
    if np.ndim(dense) == 1:
        return np.take(dense, columns) if dense.shape[0] != 1 else dense[0]
    return dense[rows if dense.shape[0] != 1 else 0, columns if dense.shape[1] != 1 else 0]


def _intersection(x: Any, y: Any) -> SparseValue:
    x, y = _same_places(x, y)
    mine, theirs = keys_of(x), keys_of(y)
    order = np.argsort(theirs, kind="stable")
    in_order = np.take(theirs, order)
    if not y.data.shape[0]:
        return SparseValue(x.format, x.data[:0] * y.data, x.indices[:0], np.zeros_like(x.indptr), x.shape)
    place = np.minimum(np.searchsorted(in_order, mine), y.data.shape[0] - 1)
    (kept,) = positions_where(np.take(in_order, place) == mine)
    other = np.take(y.data, np.take(order, np.take(place, kept)))
    return from_keys(x.format, np.take(x.data, kept) * other, np.take(mine, kept), x.shape)


@deferred(name="Mul", infer=_product_type)
def _mul(x: Any, y: Any) -> SparseValue:
    if is_sparse(x) and is_sparse(y):
        return _intersection(_in_order(x), _in_order(y))
    if is_sparse(x):
        x = value_of(x)
        return x.with_data(x.data * _at_places(y, x))
    y = value_of(y)
    return y.with_data(_at_places(x, y) * y.data)


def _in_order(x: Any) -> SparseValue:
    """A sparse matrix sorted, elements at the same place added."""
    x = value_of(x)
    return united(x, SparseValue(x.format, x.data[:0], x.indices[:0], np.zeros_like(x.indptr), x.shape))


def mul(x: Any, y: Any) -> Any:
    """The elementwise product of matrices of which at least one is sparse; it is sparse.

    A dense one may also be a scalar, or a vector that scales columns.
    """
    return _mul(*_pair(x, y, "mul"))


def mul_s_v(x: Any, y: Any) -> Any:
    """A sparse matrix with each row multiplied, element by element, by a vector."""
    return mul(as_sparse_variable(x), as_tensor_variable(y))


@deferred(name="TrueDiv", infer=lambda x, y: sparse_type(x.format, np.result_type(result_dtype(x, y), np.float32)))
def _divided(x: Any, y: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(x.data / _at_places(y, x))


def true_div(x: Any, y: Any) -> Any:
    """A sparse matrix divided by a dense value: what is not stored stays zero."""
    if is_sparse_operand(y):
        raise TypeError(message(messages.NOT_FOR_SPARSE, function="division by a sparse matrix"))
    return _divided(as_sparse_variable(x), as_tensor_variable(y))


# --- scaling -------------------------------------------------------------------------------------------------------


@deferred(name="ColScaleCSC", infer=lambda x, s: sparse_type(x.format, result_dtype(x, s)))
def _col_scale(x: Any, s: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(x.data * np.take(s, x.places[1]))


def _scale(x: Any, s: Any, function: str) -> tuple[Any, Any]:
    s = as_tensor_variable(s)
    if ndim_of(s) != 1:
        kind = getattr(s, "type", type(s).__name__)
        raise TypeError(message(messages.DENSE_NDIM, function=function, wanted="a vector of scales", type=kind))
    return as_sparse_variable(x), s


def col_scale(x: Any, s: Any) -> Any:
    """A sparse matrix with each column multiplied by an element of a vector."""
    return _col_scale(*_scale(x, s, "col_scale"))


@deferred(name="RowScaleCSC", infer=lambda x, s: sparse_type(x.format, result_dtype(x, s)))
def _row_scale(x: Any, s: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(x.data * np.take(s, x.places[0]))


def row_scale(x: Any, s: Any) -> Any:
    """A sparse matrix with each row multiplied by an element of a vector."""
    return _row_scale(*_scale(x, s, "row_scale"))


# --- comparisons ---------------------------------------------------------------------------------------------------

_COMPARED = {"eq": np.equal, "neq": np.not_equal, "lt": np.less, "gt": np.greater, "le": np.less_equal}
_COMPARED["ge"] = np.greater_equal
_UINT8 = np.dtype(np.uint8)


def _compared_type(x: Any, y: Any, name: str) -> SparseType | TensorType:
    if is_sparse_operand(x) and is_sparse_operand(y):
        return sparse_type(x.format, _UINT8)
    return tensor_type(_UINT8, (False, False))


@deferred(name="Compare", infer=_compared_type, differentiable=False)
def _compare(x: Any, y: Any, name: str) -> Any:
    found = _COMPARED[name](_as_dense(x), _as_dense(y)).astype(_UINT8)
    return sparse_of(found, value_of(x).format) if is_sparse(x) and is_sparse(y) else found


def eq(x: Any, y: Any) -> Any:
    """Where two matrices, at least one of them sparse, are equal (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "eq"), "eq")


def neq(x: Any, y: Any) -> Any:
    """Where two matrices, at least one of them sparse, differ (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "neq"), "neq")


def lt(x: Any, y: Any) -> Any:
    """Where the first of two matrices, at least one of them sparse, is less (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "lt"), "lt")


def gt(x: Any, y: Any) -> Any:
    """Where the first of two matrices, at least one of them sparse, is greater (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "gt"), "gt")


def le(x: Any, y: Any) -> Any:
    """Where the first of two matrices, at least one of them sparse, is not greater (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "le"), "le")


def ge(x: Any, y: Any) -> Any:
    """Where the first of two matrices, at least one of them sparse, is not less (uint8): sparse if both are."""
    return _compare(*_pair(x, y, "ge"), "ge")


add_s_s = add_s_d = add
mul_s_s = mul_s_d = mul
