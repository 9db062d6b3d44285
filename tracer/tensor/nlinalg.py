"""Linear algebra of NumPy on symbolic matrices, under the names of Theano's `tensor.nlinalg`.

Examples
--------
>>> import tracer.tensor as T
>>> from tracer.tensor.nlinalg import det, matrix_inverse
>>> x = T.dmatrix("x")
>>> print(det(matrix_inverse(x)).eval({x: [[2.0, 0.0], [1.0, 4.0]]}).round(6))
0.125
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.op import OPS
from tracer.tensor.creation import diag as _diag
from tracer.tensor.creation import extract_diag as _extract_diag
from tracer.tensor.op_classes import OpClass
from tracer.tensor.products import dot
from tracer.tensor.variables import as_tensor_variable, call
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing, static
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import real_dtype

__all__ = [
    "SVD",
    "AllocDiag",
    "Det",
    "Eig",
    "Eigh",
    "ExtractDiag",
    "MatrixInverse",
    "MatrixPinv",
    "QRFull",
    "QRIncomplete",
    "TensorInv",
    "TensorSolve",
    "alloc_diag",
    "det",
    "diag",
    "eig",
    "eigh",
    "extract_diag",
    "lstsq",
    "matrix_dot",
    "matrix_inverse",
    "matrix_power",
    "norm",
    "pinv",
    "qr",
    "svd",
    "tensorinv",
    "tensorsolve",
    "trace",
]

_INT64 = np.dtype(np.int64)


def matrix(x: Any, function: str, *ndims: int) -> Any:
    """A tensor with one of these numbers of dimensions, 2 if none is given. Raises TypeError for another."""
    x = as_tensor_variable(x)
    wanted = ndims or (2,)
    if (np.ndim(x) if is_computing() else x.ndim) in wanted:
        return x
    text = " or ".join({1: "a vector", 2: "a matrix"}.get(item, f"{item} dimensions") for item in wanted)
    kind = x.type if hasattr(x, "type") else f"array of {np.ndim(x)} dimensions"
    raise TypeError(message(messages.NOT_A_MATRIX, function=function, wanted=text, value=x, type=kind))


def float_dtype(*tensors: Any) -> np.dtype[Any]:
    """The dtype in which linear algebra on symbolic tensors computes."""
    dtypes = [item.type.numpy_dtype for item in tensors]
    single = all(dtype.char in "fF" for dtype in dtypes)
    if any(dtype.kind == "c" for dtype in dtypes):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def matrix_type(*tensors: Any) -> TensorType:
    """The type of a matrix that is computed from tensors."""
    return tensor_type(float_dtype(*tensors), (False, False))


# --- inverses and determinants -------------------------------------------------------------------------------------


@deferred(name="MatrixInverse", infer=matrix_type)
def _inverse(x: Any) -> Any:
    return np.linalg.inv(x)


def matrix_inverse(x: Any) -> Any:
    """The inverse of a square matrix. Raises numpy.linalg.LinAlgError, when it is computed, if there is none."""
    return _inverse(matrix(x, "matrix_inverse"))


@deferred(name="MatrixPinv", infer=matrix_type)
def _pinv(x: Any) -> Any:
    return np.linalg.pinv(x)


def pinv(x: Any) -> Any:
    """The pseudoinverse of a matrix: it solves least-squares problems."""
    return _pinv(matrix(x, "pinv"))


@deferred(name="Det", infer=lambda x: tensor_type(float_dtype(x), ()))
def _det(x: Any) -> Any:
    return np.linalg.det(x)


def det(x: Any) -> Any:
    """The determinant of a square matrix; its gradient is right for singular matrices too."""
    return _det(matrix(x, "det"))


def matrix_dot(*args: Any) -> Any:
    """The product of several matrices, in the given order."""
    result = args[0]
    for item in args[1:]:
        result = dot(result, item)
    return result


@deferred(name="MatrixPower", infer=lambda x, n: x.type)
def _power(x: Any, n: Any) -> Any:
    return np.linalg.matrix_power(x, int(static(n)))


def matrix_power(M: Any, n: Any) -> Any:
    """A square matrix to a whole power; a negative one is that of the inverse."""
    return _power(matrix(M, "matrix_power"), n)


# --- diagonals -----------------------------------------------------------------------------------------------------


def alloc_diag(x: Any) -> Any:
    """The square matrix with a vector as its diagonal."""
    return _diag(matrix(x, "alloc_diag", 1))


def extract_diag(x: Any) -> Any:
    """The diagonal of a matrix."""
    return _extract_diag(matrix(x, "extract_diag"))


def diag(x: Any) -> Any:
    """The diagonal of a matrix, or the square matrix with a vector as its diagonal."""
    return _diag(matrix(x, "diag", 1, 2))


def trace(X: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    return call(np.sum, extract_diag(X))


# --- decompositions ------------------------------------------------------------------------------------------------


@deferred(name="Eig", infer=lambda x: (tensor_type(float_dtype(x), (False,)), matrix_type(x)))
def _eig(x: Any) -> tuple[Any, ...]:
    values, vectors = np.linalg.eig(x)
    if x.dtype.kind == "c":
        return values, vectors
    return OPS["real_eigenvalues"](
        *(item.astype(np.result_type(item.dtype, np.complex64)) for item in (values, vectors))
    )


def eig(a: Any) -> Any:
    """Eigenvalues and right eigenvectors of a square matrix, in the matrix's own dtype.

    Raises numpy.linalg.LinAlgError, when it is computed, if eigenvalues of a real matrix are complex.
    """
    return _eig(matrix(a, "eig"))


def _eigh_types(x: Any, lower: bool) -> tuple[TensorType, TensorType]:
    return tensor_type(real_dtype(float_dtype(x)), (False,)), matrix_type(x)


@deferred(name="Eigh", infer=_eigh_types)
def _eigh(x: Any, lower: bool) -> tuple[Any, Any]:
    values, vectors = np.linalg.eigh(x, "L" if lower else "U")
    return values, vectors


def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, rising, and eigenvectors of a symmetric or Hermitian matrix, of which one triangle is read."""
    if UPLO not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return _eigh(matrix(a, "eigh"), UPLO == "L")


def _qr_types(x: Any, mode: str) -> Any:
    return matrix_type(x) if mode == "r" else (matrix_type(x), matrix_type(x))


@deferred(name="QR", infer=_qr_types)
def _qr(x: Any, mode: str) -> Any:
    result: Any = np.linalg.qr(x, mode)  # type: ignore[call-overload]
    return result if mode == "r" else tuple(result)


def qr(a: Any, mode: str = "reduced") -> Any:
    """QR factors of a matrix.

    Parameters
    ----------
    a : matrix
        M by N.
    mode : {"reduced", "complete", "r"}
        With K = min(M, N): q and r of M by K and K by N; of M by M and M by N; or r alone.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    return _qr(matrix(a, "qr"), mode)


def _svd_types(x: Any, full_matrices: bool, compute_uv: bool) -> Any:
    values = tensor_type(real_dtype(float_dtype(x)), (False,))
    return (matrix_type(x), values, matrix_type(x)) if compute_uv else values


@deferred(name="SVD", infer=_svd_types)
def _svd(x: Any, full_matrices: bool, compute_uv: bool) -> Any:
    result: Any = np.linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)  # type: ignore[call-overload]
    return tuple(result) if compute_uv else result


def svd(a: Any, full_matrices: Any = True, compute_uv: Any = True) -> Any:
    """Singular value decomposition of a matrix.

    Returns
    -------
    list of variables, or a variable
        u, s and v (already transposed), u * s @ v being the matrix; s alone with `compute_uv=False`.
    """
    return _svd(matrix(a, "svd"), bool(full_matrices), bool(compute_uv))


# --- solving -------------------------------------------------------------------------------------------------------


def _lstsq_types(x: Any, y: Any, rcond: Any) -> tuple[TensorType, ...]:
    dtype = float_dtype(x, y)
    values = tensor_type(real_dtype(dtype), (False,))
    return tensor_type(dtype, y.broadcastable), values, tensor_type(_INT64, ()), values


@deferred(name="lstsq", infer=_lstsq_types)
def _lstsq(x: Any, y: Any, rcond: Any) -> tuple[Any, ...]:
    solution, residuals, rank, values = np.linalg.lstsq(x, y, float(static(rcond)))
    return solution, residuals, np.asarray(rank).astype(_INT64) if np.isscalar(rank) else rank.astype(_INT64), values


def lstsq(*args: Any) -> Any:
    """Least squares: `lstsq(x, y, rcond)`, or as in Theano `lstsq()(x, y, rcond)`.

    Returns
    -------
    list of variables
        The solution, its squared residuals, the rank of x, and its singular values.
    """
    if not args:
        return lstsq
    x, y, rcond = (*args, -1)[:3]
    return _lstsq(matrix(x, "lstsq"), matrix(y, "lstsq", 1, 2), rcond)


def _tensorinv_type(x: Any, ind: int) -> TensorType:
    return tensor_type(float_dtype(x), (False,) * x.ndim)


@deferred(name="TensorInv", infer=_tensorinv_type)
def _tensorinv(x: Any, ind: int) -> Any:
    return np.linalg.tensorinv(x, ind)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of a tensor with respect to `tensordot` over its first `ind` dimensions."""
    return _tensorinv(as_tensor_variable(a), ind)


def _tensorsolve_type(a: Any, b: Any, axes: Any) -> TensorType:
    return tensor_type(float_dtype(a, b), (False,) * (a.ndim - b.ndim))


@deferred(name="TensorSolve", infer=_tensorsolve_type)
def _tensorsolve(a: Any, b: Any, axes: Any) -> Any:
    return np.linalg.tensorsolve(a, b, axes)


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The x that solves tensordot(a, x, x.ndim) = b; `axes` of a are moved to its end first."""
    return _tensorsolve(as_tensor_variable(a), as_tensor_variable(b), None if axes is None else tuple(axes))


# --- norms ---------------------------------------------------------------------------------------------------------

_ORDERS = {"inf": np.inf, "-inf": -np.inf}


def norm(x: Any, ord: Any) -> Any:
    """The norm of a vector or matrix.

    Parameters
    ----------
    x : vector or matrix
    ord : None, number, "inf", "-inf", "fro" or "nuc"
        Which norm; None is the root of the sum of squares.
    """
    x = as_tensor_variable(x)
    ndim = np.ndim(x) if is_computing() else x.ndim
    if ndim == 0:
        raise ValueError("'axis' entry is out of bounds.")
    if ndim > 2:
        raise NotImplementedError("We don't support norm with ndim > 2")
    return call(np.linalg.norm, x, _ORDERS.get(ord, ord) if isinstance(ord, str) else ord)


MatrixInverse = OpClass(matrix_inverse)
MatrixPinv = OpClass(pinv)
AllocDiag = OpClass(alloc_diag)
ExtractDiag = OpClass(extract_diag)
Det = OpClass(det)
Eig = OpClass(eig)
Eigh = OpClass(eigh, "UPLO")
QRFull = OpClass(qr, "mode")
QRIncomplete = OpClass(qr, "mode")
SVD = OpClass(svd, "full_matrices", "compute_uv")
TensorInv = OpClass(tensorinv, "ind")
TensorSolve = OpClass(tensorsolve, "axes")
