"""One matrix at a time through the LAPACK that SciPy brings.

NumPy brings a second one with threads of its own: when these two take turns, the threads of each wait busily on the
cores that the other needs, and a call takes several times as long.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

SMALL = 32
"""Rows up to which no library starts threads, so that what NumPy does in one call is left to it."""


@cache
def _routine(name: str, dtype: np.dtype[Any]) -> Any:
    import scipy.linalg

    return scipy.linalg.get_lapack_funcs(name, dtype=dtype)


def is_single(*arrays: Any) -> bool:
    """Whether these are matrices, not stacks of them, and have elements."""
    return all(array.ndim == 2 and array.size for array in arrays)


def solve(a: Any, b: Any) -> Any:
    """Solution x of a @ x = b for two matrices."""
    _, _, x, info = _routine("gesv", a.dtype)(a, b)
    if info > 0:
        raise np.linalg.LinAlgError("Singular matrix")
    return x


def inverse(a: Any) -> Any:
    """Inverse of a matrix."""
    factors, pivots, info = _routine("getrf", a.dtype)(a)
    if info > 0:
        raise np.linalg.LinAlgError("Singular matrix")
    inverse, _ = _routine("getri", a.dtype)(factors, pivots, lwork=64 * len(a), overwrite_lu=True)
    return inverse


def cholesky(a: Any) -> Any:
    """Lower triangular factor of a positive definite matrix, of which the lower triangle is read."""
    factor, info = _routine("potrf", a.dtype)(a, lower=True, clean=True)
    if info > 0:
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return factor


def sign_and_log_determinant(a: Any) -> tuple[Any, Any]:
    """As `numpy.linalg.slogdet`, of a matrix that is not small."""
    factors, pivots, info = _routine("getrf", a.dtype)(a)
    real = np.empty(0, a.dtype).real.dtype.type
    if info > 0:
        return a.dtype.type(0), real(-np.inf)
    diagonal = np.diagonal(factors)
    sizes = np.abs(diagonal)
    swaps = np.count_nonzero(pivots != np.arange(len(pivots)))
    # As in NumPy, no NaN gets into the sign of real numbers.
    signs = diagonal / sizes if a.dtype.kind == "c" else np.where(diagonal < 0, a.dtype.type(-1), a.dtype.type(1))
    return np.prod(signs) * a.dtype.type(1 - 2 * (swaps % 2)), np.sum(np.log(sizes))
