"""One matrix at a time through the LAPACK that SciPy brings.

NumPy brings a second one with threads of its own: when these two take turns, the threads of each wait busily on the
cores that the other needs, and a call takes several times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.scipy_extensions import lapack_routine

SMALL = 32
"""Rows up to which no library starts threads, so that what NumPy does in one call is left to it."""


def is_single(*arrays: Any) -> bool:
    """Whether these are matrices on the host, not stacks of them, and have elements."""
    return all(isinstance(array, np.ndarray) and array.ndim == 2 and array.size for array in arrays)


def solve(a: Any, b: Any) -> Any:
    """Solution x of a @ x = b for two matrices."""
    _, _, x, info = lapack_routine("gesv", a.dtype)(a, b)
    if info > 0:
        raise np.linalg.LinAlgError("Singular matrix")
    return x


def inverse(a: Any) -> Any:
    """Inverse of a matrix."""
    return inverse_of_factors(*factors(a))


def cholesky(a: Any) -> Any:
    """Lower triangular factor of a positive definite matrix, of which the lower triangle is read."""
    factor, info = lapack_routine("potrf", a.dtype)(a, lower=True, clean=True)
    if info > 0:
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return factor


def sign_and_log_determinant(a: Any) -> tuple[Any, Any]:
    """As `numpy.linalg.slogdet`, of a matrix that is not small."""
    return determinant_of_factors(*factors(a))


# --- from triangular factors -------------------------------------------------------------------------------------


def factors(a: Any) -> tuple[Any, Any]:
    """Both triangular factors of a square matrix in one, transposed, and the exchanges of its rows.

    LAPACK writes columns: their transpose is the array in C order, which it reads again without a copy.
    """
    packed, pivots, _ = lapack_routine("getrf", a.dtype)(a)
    return packed.T, pivots


def solve_by_factors(packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    """Solution x of a @ x = b, or of a.T @ x = b, for two matrices."""
    _check_regular(packed)
    x, _ = lapack_routine("getrs", packed.dtype)(packed.T, pivots, b, trans=int(transposed))
    return x


def inverse_of_factors(packed: Any, pivots: Any) -> Any:
    """Inverse of a matrix."""
    _check_regular(packed)
    inverse, _ = lapack_routine("getri", packed.dtype)(packed.T, pivots, lwork=64 * len(packed))
    return inverse


def determinant_of_factors(packed: Any, pivots: Any) -> tuple[Any, Any]:
    """As `numpy.linalg.slogdet`."""
    diagonal = np.diagonal(packed)
    real = diagonal.real.dtype.type
    if not diagonal.all():
        return packed.dtype.type(0), real(-np.inf)
    sizes = np.abs(diagonal)
    swaps = np.count_nonzero(pivots != np.arange(len(pivots)))
    # As in NumPy, no NaN gets into the sign of real numbers.
    one = packed.dtype.type(1)
    signs = diagonal / sizes if packed.dtype.kind == "c" else np.where(diagonal < 0, -one, one)
    return np.prod(signs) * packed.dtype.type(1 - 2 * (swaps % 2)), np.sum(np.log(sizes))


def _check_regular(packed: Any) -> None:
    if not np.diagonal(packed).all():
        raise np.linalg.LinAlgError("Singular matrix")
