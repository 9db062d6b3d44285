"""Matrix products of which one factor or both are sparse."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.ops.sparse import COUNT, PATTERN, SAMPLED, TIMES
from tracer.sparse.arithmetic import result_dtype
from tracer.sparse.conversion import as_sparse_or_tensor_variable, ndim_of, sparse_of
from tracer.sparse.types import SparseType, as_sparse_variable, is_sparse_operand, sparse_type
from tracer.sparse.values import SparseValue, is_sparse, value_of
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "dot",
    "sampling_dot",
    "structured_dot",
    "true_dot",
    "usmm",
]

# --- how they are computed -----------------------------------------------------------------------------------------


def times_dense(x: SparseValue, y: Any) -> Any:
    """A sparse matrix times a dense matrix or vector."""
    dtype = np.result_type(x.dtype, y.dtype)
    right = y if y.dtype == dtype else y.astype(dtype)
    matrix = right[:, None] if right.ndim == 1 else right
    data = x.astype(dtype).data
    result = TIMES(data, x.indices, x.indptr, matrix, width=x.width, turned=not x.is_rows)
    return result[:, 0] if right.ndim == 1 else result


def times_sparse(x: SparseValue, y: SparseValue) -> SparseValue:
    """A sparse matrix times another; how many elements the result stores becomes static."""
    if x.shape[1] != y.shape[0]:
        raise ValueError(f"dimension mismatch: {x.shape} and {y.shape}")
    if not x.is_rows:
        return times_sparse(y.turned().in_format("csr"), x.turned()).turned()
    dtype = np.result_type(x.dtype, y.dtype)
    left, right = x.astype(dtype), y.in_format("csr").astype(dtype)
    widths = (left.width, right.width)
    patterns = (left.indices, left.indptr, right.indices, right.indptr)
    size = int(static(COUNT(*patterns, widths=widths)))
    indices, indptr = PATTERN(*patterns, widths=widths, size=size)
    data = SAMPLED(*_arrays(left), *_arrays(right), indices, indptr, widths=widths)
    return SparseValue("csr", data, indices, indptr, (x.shape[0], y.shape[1]))


def _arrays(x: SparseValue) -> tuple[Any, Any, Any]:
    return x.data, x.indices, x.indptr


def _product(x: Any, y: Any) -> Any:
    """The product, sparse if both factors are."""
    if is_sparse(x) and is_sparse(y):
        return times_sparse(value_of(x), value_of(y))
    if is_sparse(x):
        return times_dense(value_of(x), y)
    turned = times_dense(value_of(y).turned(), np.transpose(x))
    return np.transpose(turned)


# --- dot -----------------------------------------------------------------------------------------------------------


def _factors(x: Any, y: Any, function: str) -> tuple[Any, Any]:
    if not (is_sparse_operand(x) or is_sparse_operand(y)):
        raise TypeError(message(messages.NO_SPARSE, function=function))
    pair = (as_sparse_or_tensor_variable(x), as_sparse_or_tensor_variable(y))
    for item in pair:
        if not is_sparse_operand(item) and ndim_of(item) not in (1, 2):
            kind = getattr(item, "type", type(item).__name__)
            text = message(messages.DENSE_NDIM, function=function, wanted="matrices and vectors", type=kind)
            raise TypeError(text)
    return pair


def _dense_type(x: Any, y: Any) -> TensorType:
    return tensor_type(result_dtype(x, y), (False,) * (x.ndim + y.ndim - 2))


@deferred(name="Dot", infer=_dense_type)
def _dot(x: Any, y: Any) -> Any:
    if is_sparse(x) and is_sparse(y):
        return times_dense(value_of(x), value_of(y).toarray())
    return _product(x, y)


def dot(x: Any, y: Any) -> Any:
    """The matrix product of which one factor or both are sparse; it is dense.

    The gradient with respect to a sparse factor is sparse: it is about the elements that the factor stores.

    Examples
    --------
    >>> import numpy as np, scipy.sparse, tracer, tracer.tensor as T
    >>> from tracer import sparse
    >>> x, w = sparse.csr_matrix("x"), T.dvector("w")
    >>> f = tracer.function([x, w], sparse.dot(x, w))
    >>> f(scipy.sparse.csr_matrix([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0]))
    array([3., 8.])
    """
    return _dot(*_factors(x, y, "dot"))


def _true_type(x: Any, y: Any) -> SparseType:
    return sparse_type((x if is_sparse_operand(x) else y).format, result_dtype(x, y))


@deferred(name="TrueDot", infer=_true_type)
def _true_dot(x: Any, y: Any) -> SparseValue:
    result = _product(x, y)
    if is_sparse(result):
        return value_of(result)
    return sparse_of(result, value_of(x if is_sparse(x) else y).format)


def true_dot(x: Any, y: Any, grad_preserves_dense: bool = True) -> Any:
    """The matrix product of which one factor or both are sparse; it is sparse.

    Gradients have the types of the factors; Theano asks with `grad_preserves_dense` whether they should.
    """
    return _true_dot(*_factors(x, y, "true_dot"))


def _structured_type(x: Any, y: Any) -> SparseType | TensorType:
    return _true_type(x, y) if is_sparse_operand(y) else _dense_type(x, y)


@deferred(name="StructuredDot", infer=_structured_type)
def _structured_dot(x: Any, y: Any) -> Any:
    return _product(x, y)


def structured_dot(x: Any, y: Any) -> Any:
    """A sparse matrix times a dense one, dense, or times a sparse one, sparse; as in Theano one factor must be sparse.

    The gradient with respect to a sparse factor is about the elements that it stores.
    """
    x, y = _factors(x, y, "structured_dot")
    if is_sparse_operand(x):
        return _structured_dot(x, y)
    # As in Theano: the transpose of the product of the transposes.
    return _dot(x, y)


# --- more ----------------------------------------------------------------------------------------------------------


@deferred(name="Usmm", infer=lambda alpha, x, y, z: tensor_type(_usmm_dtype(alpha, x, y, z), (False, False)))
def _usmm(alpha: Any, x: Any, y: Any, z: Any) -> Any:
    return alpha * _dot.operation.function(x, y) + z


def _usmm_dtype(alpha: Any, x: Any, y: Any, z: Any) -> np.dtype[Any]:
    scale = alpha.data if alpha.is_constant else alpha.type.numpy_dtype
    return np.result_type(result_dtype(x, y), scale, z.type.numpy_dtype)


def usmm(alpha: Any, x: Any, y: Any, z: Any) -> Any:
    """The dense matrix alpha * x @ y + z.

    Parameters
    ----------
    alpha : scalar
    x, y : matrices
        At least one of them sparse.
    z : matrix
        Dense.
    """
    x, y = _factors(x, y, "usmm")
    return _usmm(as_tensor_variable(alpha), x, y, as_tensor_variable(z))


def _sampled_type(x: Any, y: Any, p: Any) -> SparseType:
    return sparse_type(p.format, np.result_type(result_dtype(x, y), p.type.numpy_dtype))


@deferred(name="SamplingDot", infer=_sampled_type)
def _sampled(x: Any, y: Any, p: Any) -> SparseValue:
    p = value_of(p)
    rows, columns = p.places
    return p.with_data(p.data * np.sum(np.take(x, rows, axis=0) * np.take(y, columns, axis=0), axis=1))


def sampling_dot(x: Any, y: Any, p: Any) -> Any:
    """The product x @ y.T of dense matrices, computed only where p stores something, times p there.

    Parameters
    ----------
    x : matrix
        M by K.
    y : matrix
        N by K: transposed, as Theano wants it.
    p : sparse matrix
        M by N.
    """
    dense = [as_tensor_variable(item) for item in (x, y)]
    for item in dense:
        if ndim_of(item) != 2:
            kind = getattr(item, "type", type(item).__name__)
            raise TypeError(message(messages.DENSE_NDIM, function="sampling_dot", wanted="matrices", type=kind))
    return _sampled(*dense, as_sparse_variable(p))
