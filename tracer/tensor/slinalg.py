"""Linear algebra of SciPy on symbolic matrices, under the names of Theano's `tensor.slinalg`.

Examples
--------
>>> import tracer.tensor as T
>>> from tracer.tensor.slinalg import cholesky, solve_lower_triangular
>>> k, y = T.dmatrix("k"), T.dvector("y")
>>> solve_lower_triangular(cholesky(k), y).eval({k: [[4.0, 0.0], [0.0, 9.0]], y: [2.0, 3.0]})
array([1., 1.])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.matrix_rules import as_floats
from tracer.graph.op import OPS
from tracer.ops import scipy_linalg
from tracer.tensor.nlinalg import float_dtype, matrix, matrix_type
from tracer.tensor.op_classes import OpClass
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import real_dtype

__all__ = [
    "MATRIX_STRUCTURES",
    "Cholesky",
    "Eigvalsh",
    "Expm",
    "Solve",
    "cholesky",
    "eigvalsh",
    "expm",
    "kron",
    "solve",
    "solve_lower_triangular",
    "solve_symmetric",
    "solve_upper_triangular",
]

MATRIX_STRUCTURES = (
    "general",
    "symmetric",
    "lower_triangular",
    "upper_triangular",
    "hermitian",
    "banded",
    "diagonal",
    "toeplitz",
)
"""What `solve` can be told about its matrix. All but the triangular ones are solved as general ones."""

# --- Cholesky factors and systems of equations -----------------------------------------------------------------------


@deferred(name="Cholesky", infer=lambda x, lower, on_error: matrix_type(x))
def _cholesky(x: Any, lower: bool, on_error: str) -> Any:
    (x,) = as_floats(x)
    return scipy_linalg.factor(x, lower, on_error)


def cholesky(x: Any, lower: bool = True, on_error: str = "raise") -> Any:
    """The triangular matrix whose product with its own transpose is a symmetric positive definite matrix.

    Parameters
    ----------
    x : matrix
        Only one triangle of it is read, the lower one with `lower=True`, and only that has a derivative.
    lower : bool
        Whether the factor is lower triangular, x = L @ L.T, or upper, x = U.T @ U.
    on_error : {"raise", "nan"}
        What happens if x is not positive definite: numpy.linalg.LinAlgError, or a matrix of NaN.
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(message(messages.ON_ERROR, on_error=on_error))
    return _cholesky(matrix(x, "cholesky"), bool(lower), on_error)


def _solved_type(a: Any, b: Any, structure: str) -> TensorType:
    return tensor_type(float_dtype(a, b), b.broadcastable)


@deferred(name="Solve", infer=_solved_type)
def _solve(a: Any, b: Any, structure: str) -> Any:
    if structure.endswith("triangular"):
        return scipy_linalg.solve_triangular(a, b, lower=structure.startswith("lower"))
    return np.linalg.solve(a, b)


def solve(A: Any, b: Any, A_structure: str = "general", lower: bool = False, **_: Any) -> Any:
    """The solution x of A @ x = b.

    Parameters
    ----------
    A : square matrix
    b : vector or matrix
    A_structure : str
        One of MATRIX_STRUCTURES; of triangular matrices only that triangle is read.
    lower : bool
        Says nothing that `A_structure` does not; Theano has it.

    Raises
    ------
    numpy.linalg.LinAlgError
        When it is computed, if A is singular.
    """
    if A_structure not in MATRIX_STRUCTURES:
        known = ", ".join(map(repr, MATRIX_STRUCTURES))
        raise ValueError(message(messages.UNKNOWN_STRUCTURE, structure=A_structure, known=known))
    return _solve(matrix(A, "solve"), matrix(b, "solve", 1, 2), A_structure)


def solve_lower_triangular(A: Any, b: Any) -> Any:
    """The solution x of A @ x = b, where the lower triangle of A is read."""
    return solve(A, b, "lower_triangular")


def solve_upper_triangular(A: Any, b: Any) -> Any:
    """The solution x of A @ x = b, where the upper triangle of A is read."""
    return solve(A, b, "upper_triangular")


def solve_symmetric(A: Any, b: Any) -> Any:
    """The solution x of A @ x = b for a symmetric A."""
    return solve(A, b, "symmetric")


# --- eigenvalues -----------------------------------------------------------------------------------------------------


def _eigvalsh_type(a: Any, b: Any, lower: bool) -> TensorType:
    return tensor_type(real_dtype(float_dtype(a) if b is None else float_dtype(a, b)), (False,))


@deferred(name="Eigvalsh", infer=_eigvalsh_type)
def _eigvalsh(a: Any, b: Any, lower: bool) -> Any:
    if b is None:
        (a,) = as_floats(a)
        return OPS["eigvalsh"](a, lower=lower)
    return scipy_linalg.eigh(a, b, lower=lower, eigvals_only=True)


def eigvalsh(a: Any, b: Any, lower: bool = True) -> Any:
    """The eigenvalues w of a @ v = w * b @ v, rising.

    Parameters
    ----------
    a : matrix
        Symmetric or Hermitian; one triangle of it is read.
    b : matrix or None
        Symmetric positive definite, one triangle of it is read; None is the identity.
    lower : bool
        Which triangles are read.
    """
    return _eigvalsh(matrix(a, "eigvalsh"), None if b is None else matrix(b, "eigvalsh"), bool(lower))


# --- products and exponentials ---------------------------------------------------------------------------------------


def _kron_type(a: Any, b: Any) -> TensorType:
    return tensor_type(np.result_type(a.type.numpy_dtype, b.type.numpy_dtype), (False,) * (a.ndim + b.ndim - 2))


@deferred(name="Kron", infer=_kron_type)
def _kron(a: Any, b: Any) -> Any:
    products = np.reshape(np.outer(a, b), (*a.shape, *b.shape))
    if products.ndim == 3:
        return np.ravel(np.transpose(products, (1, 0, 2)))
    turned = np.transpose(products, (0, 2, 1, *range(3, products.ndim)))
    sizes = turned.shape
    return np.reshape(turned, (sizes[0] * sizes[1], sizes[2] * sizes[3], *sizes[4:]))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product of two matrices.

    As in Theano, with other numbers of dimensions it has the sum of both less 2, which is not what NumPy's has.
    """
    a, b = as_tensor_variable(a), as_tensor_variable(b)
    ndims = [np.ndim(item) if is_computing() else item.ndim for item in (a, b)]
    if sum(ndims) <= 2:
        raise TypeError(message(messages.KRON_NDIM, a=ndims[0], b=ndims[1]))
    return _kron(a, b)


@deferred(name="Expm", infer=matrix_type)
def _expm(a: Any) -> Any:
    (a,) = as_floats(a)
    return OPS["expm"](a)


def expm(A: Any) -> Any:
    """The exponential of a square matrix."""
    return _expm(matrix(A, "expm"))


Cholesky = OpClass(cholesky, "lower", "on_error")
Solve = OpClass(solve, "A_structure", "lower", "overwrite_A", "overwrite_b")
Eigvalsh = OpClass(eigvalsh, "lower")
Expm = OpClass(expm)
