"""Sparse matrices from their parts and from dense ones, and back.

Examples
--------
>>> import numpy as np, tracer
>>> from tracer import sparse
>>> x = sparse.csr_matrix("x")
>>> data, indices, indptr, shape = sparse.csm_properties(x)
>>> double = tracer.function([x], sparse.CSR(data * 2, indices, indptr, shape))
>>> import scipy.sparse
>>> double(scipy.sparse.csr_matrix(np.eye(2))).toarray()
array([[2., 0.],
       [0., 2.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.sparse.types import SparseType, as_sparse_variable, is_sparse_operand, sparse_type
from tracer.sparse.values import SparseValue, from_keys, from_places, keys_of, value_of
from tracer.tensor.indexing import positions_where
from tracer.tensor.op_classes import OpClass
from tracer.tensor.variables import as_tensor_variable, dtype_of, sizes_of
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "CSC",
    "CSM",
    "CSR",
    "DenseFromSparse",
    "as_format",
    "as_sparse_or_tensor_variable",
    "bcast",
    "cast",
    "ccast",
    "clean",
    "construct_sparse_from_list",
    "csc_from_dense",
    "csm",
    "csm_data",
    "csm_indices",
    "csm_indptr",
    "csm_properties",
    "csm_shape",
    "csr_from_dense",
    "dcast",
    "dense_from_sparse",
    "ensure_sorted_indices",
    "fcast",
    "icast",
    "lcast",
    "remove0",
    "sp_ones_like",
    "sp_zeros_like",
    "transpose",
    "wcast",
    "zcast",
]

_INDEX = np.dtype(np.int32)


def ndim_of(x: Any) -> int:
    """The number of dimensions of an argument, recorded or computed with."""
    return int(np.ndim(x)) if is_computing() else int(x.ndim)


def _vector(x: Any, dtype: np.dtype[Any]) -> TensorType:
    return tensor_type(dtype, (False,))


# --- parts ---------------------------------------------------------------------------------------------------------


def _property_types(x: Any) -> tuple[TensorType, ...]:
    return _vector(x, x.type.numpy_dtype), _vector(x, _INDEX), _vector(x, _INDEX), _vector(x, np.dtype(np.int64))


@deferred(name="CSMProperties", infer=_property_types)
def _properties(x: Any) -> tuple[Any, ...]:
    x = value_of(x)
    return x.data, x.indices.astype(_INDEX), x.indptr.astype(_INDEX), np.array(x.shape, np.int64)


def csm_properties(csm: Any) -> Any:
    """The arrays of a sparse matrix: stored elements, their other indices, where rows (or columns) begin; its shape."""
    return _properties(as_sparse_variable(csm))


def csm_data(csm: Any) -> Any:
    """The stored elements of a sparse matrix."""
    return csm_properties(csm)[0]


def csm_indices(csm: Any) -> Any:
    """The column (in CSR) or row (in CSC) of each stored element."""
    return csm_properties(csm)[1]


def csm_indptr(csm: Any) -> Any:
    """Where each row (in CSR) or column (in CSC) begins among the stored elements."""
    return csm_properties(csm)[2]


def csm_shape(csm: Any) -> Any:
    """The shape of a sparse matrix, an integer vector."""
    return csm_properties(csm)[3]


@deferred(
    name="CSM",
    infer=lambda data, indices, indptr, shape, format: sparse_type(format, data.type.numpy_dtype),
)
def _assembled(data: Any, indices: Any, indptr: Any, shape: Any, format: str) -> SparseValue:
    rows, columns = sizes_of(shape)
    value = SparseValue(format, data, indices, indptr, (rows, columns))
    if np.shape(indptr) != ((rows if value.is_rows else columns) + 1,) or np.shape(data) != np.shape(indices):
        raise ValueError(
            message(messages.PARTS, format=format, data=np.shape(data), indices=np.shape(indices), shape=value.shape)
        )
    return value


def csm(data: Any, indices: Any, indptr: Any, shape: Any, format: str) -> Any:
    """A sparse matrix of its arrays; see `CSR` and `CSC`."""
    parts = [as_tensor_variable(item) for item in (data, indices, indptr)]
    return _assembled(*parts, as_tensor_variable(shape), format)


def CSR(data: Any, indices: Any, indptr: Any, shape: Any) -> Any:
    """A sparse matrix, stored by rows, of its elements, their columns, where rows begin, and its shape."""
    return csm(data, indices, indptr, shape, "csr")


def CSC(data: Any, indices: Any, indptr: Any, shape: Any) -> Any:
    """A sparse matrix, stored by columns, of its elements, their rows, where columns begin, and its shape."""
    return csm(data, indices, indptr, shape, "csc")


# --- dense ---------------------------------------------------------------------------------------------------------


@deferred(name="DenseFromSparse", infer=lambda x: tensor_type(x.type.numpy_dtype, (False, False)))
def _dense(x: Any) -> Any:
    return value_of(x).toarray()


def dense_from_sparse(x: Any, structured: bool = True) -> Any:
    """The dense matrix with the elements of a sparse one.

    Its gradient is about the stored elements; Theano asks with `structured` whether it should be.
    """
    return _dense(as_sparse_variable(x))


@deferred(name="SparseFromDense", infer=lambda x, format: sparse_type(format, x.type.numpy_dtype))
def _sparse(x: Any, format: str) -> SparseValue:
    return sparse_of(x, format)


def sparse_of(x: Any, format: str) -> SparseValue:
    """The sparse matrix of what is not zero in a dense one."""
    turned = x if format == "csr" else np.transpose(x)
    major, minor = positions_where(turned)
    rows, columns = (major, minor) if format == "csr" else (minor, major)
    return from_places(format, turned[major, minor], rows, columns, (x.shape[0], x.shape[1]))


def _from_dense(x: Any, format: str) -> Any:
    x = as_tensor_variable(x)
    if ndim_of(x) != 2:
        kind = getattr(x, "type", type(x).__name__)
        raise TypeError(message(messages.DENSE_NDIM, function=f"{format}_from_dense", wanted="a matrix", type=kind))
    return _sparse(x, format)


def csr_from_dense(x: Any) -> Any:
    """What is not zero in a dense matrix, stored by rows."""
    return _from_dense(x, "csr")


def csc_from_dense(x: Any) -> Any:
    """What is not zero in a dense matrix, stored by columns."""
    return _from_dense(x, "csc")


def _listed_type(x: Any, values: Any, ilist: Any) -> SparseType:
    return sparse_type("csc", values.type.numpy_dtype)


@deferred(name="ConstructSparseFromList", infer=_listed_type)
def _listed(x: Any, values: Any, ilist: Any) -> SparseValue:
    rows, columns = values.shape
    indices = np.ravel(np.broadcast_to(ilist, (columns, rows)))
    indptr = np.arange(columns + 1) * rows
    return SparseValue("csc", np.ravel(np.transpose(values)), indices, indptr, (int(x.shape[0]), columns))


def construct_sparse_from_list(x: Any, values: Any, ilist: Any) -> Any:
    """A sparse matrix of the shape of x whose rows `ilist` are the rows of `values`.

    Parameters
    ----------
    x : matrix
        Only its shape is used.
    values : matrix
        As many rows as `ilist` has numbers.
    ilist : integer vector
        Which rows; the values of a row that is mentioned twice are added.
    """
    return _listed(as_tensor_variable(x), as_tensor_variable(values), as_tensor_variable(ilist))


# --- like another --------------------------------------------------------------------------------------------------


@deferred(name="SparseOnesLike", infer=lambda x: x.type, differentiable=False)
def _ones(x: Any) -> SparseValue:
    x = value_of(x)
    return x.with_data(np.ones_like(x.data))


def sp_ones_like(x: Any) -> Any:
    """Ones at the places of the stored elements of a sparse matrix."""
    return _ones(as_sparse_variable(x))


@deferred(name="SparseZerosLike", infer=lambda x: x.type, differentiable=False)
def _zeros(x: Any) -> SparseValue:
    x = value_of(x)
    return SparseValue(x.format, x.data[:0], x.indices[:0], np.zeros_like(x.indptr), x.shape)


def sp_zeros_like(x: Any) -> Any:
    """A sparse matrix of the same shape that stores nothing."""
    return _zeros(as_sparse_variable(x))


@deferred(name="Cast", infer=lambda x, dtype: sparse_type(x.format, dtype))
def _cast(x: Any, dtype: np.dtype[Any]) -> SparseValue:
    return value_of(x).astype(dtype)


def cast(variable: Any, dtype: Any) -> Any:
    """A sparse matrix with elements of another dtype."""
    return _cast(as_sparse_variable(variable), dtype_of(dtype))


def _caster(dtype: str) -> Callable[[Any], Any]:
    def to_dtype(variable: Any) -> Any:
        return cast(variable, dtype)

    to_dtype.__doc__ = f"A sparse matrix with {dtype} elements."
    return to_dtype


bcast, wcast, icast, lcast = map(_caster, ("int8", "int16", "int32", "int64"))
fcast, dcast, ccast, zcast = map(_caster, ("float32", "float64", "complex64", "complex128"))


@deferred(name="Transpose", infer=lambda x: sparse_type("csc" if x.format == "csr" else "csr", x.type.numpy_dtype))
def _transpose(x: Any) -> SparseValue:
    return value_of(x).turned()


def transpose(x: Any) -> Any:
    """The transpose of a sparse matrix; nothing is moved: it is in the other format."""
    return _transpose(as_sparse_variable(x))


@deferred(name="Reformat", infer=lambda x, format: sparse_type(format, x.type.numpy_dtype))
def _reformat(x: Any, format: str) -> SparseValue:
    return value_of(x).in_format(format)


def as_format(x: Any, format: str) -> Any:
    """The same sparse matrix in another format."""
    return _reformat(as_sparse_variable(x), format)


# --- order and zeros -----------------------------------------------------------------------------------------------


@deferred(name="EnsureSortedIndices", infer=lambda x: x.type)
def _in_order(x: Any) -> SparseValue:
    x = value_of(x)
    keys = keys_of(x)
    order = np.argsort(keys, kind="stable")
    return from_keys(x.format, np.take(x.data, order), np.take(keys, order), x.shape)


def ensure_sorted_indices(x: Any) -> Any:
    """The same matrix with its stored elements in order."""
    return _in_order(as_sparse_variable(x))


@deferred(name="Remove0", infer=lambda x: x.type)
def _without_zeros(x: Any) -> SparseValue:
    x = value_of(x)
    (kept,) = positions_where(x.data)
    return from_keys(x.format, np.take(x.data, kept), np.take(keys_of(x), kept), x.shape)


def remove0(x: Any) -> Any:
    """The same matrix without the zeros that it stores."""
    return _without_zeros(as_sparse_variable(x))


def clean(x: Any) -> Any:
    """The same matrix in order and without stored zeros."""
    return ensure_sorted_indices(remove0(x))


def as_sparse_or_tensor_variable(x: Any, name: str | None = None) -> Any:
    """A value as a variable, sparse if it is."""
    return as_sparse_variable(x, name) if is_sparse_operand(x) else as_tensor_variable(x, name)


CSM = OpClass(csm, "format")
DenseFromSparse = OpClass(dense_from_sparse, "structured")
