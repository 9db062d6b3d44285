"""Ops that CUDA's libraries do for arrays of CuPy, where NumPy's own functions do not lead to CuPy by themselves.

Each form takes the arrays and parameters of the op as `Op.evaluate` does; NotImplementedError leaves it to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer import device

Form = Callable[..., Any]
FORMS: dict[str, Form] = {}
"""By the name of the op."""


def form_of(name: str) -> Form | None:
    """How CuPy does an op whose NumPy definition it cannot run; None if nothing special is known."""
    found = FORMS.get(name)
    if found is not None:
        return found
    from cupyx.scipy import special

    return getattr(special, name, None)


def _form(name: str) -> Callable[[Form], Form]:
    def keep(form: Form) -> Form:
        FORMS[name] = form
        return form

    return keep


def _single(*arrays: Any) -> None:
    """Raise NotImplementedError for stacks of matrices."""
    if any(array.ndim != 2 for array in arrays):
        raise NotImplementedError


def _check_regular(diagonal: Any) -> None:
    if not bool(device.cupy().all(diagonal)):
        raise np.linalg.LinAlgError("Singular matrix")


@_form("factors")
def _factors(a: Any) -> tuple[Any, Any]:
    from cupyx.scipy.linalg import lu_factor

    _single(a)
    packed, pivots = lu_factor(a)
    return packed.T, pivots


@_form("solve_by_factors")
def _solve_by_factors(packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    from cupyx.scipy.linalg import lu_solve

    _single(packed)
    _check_regular(packed.diagonal())
    return lu_solve((packed.T, pivots), b, trans=int(transposed))


@_form("inverse_of_factors")
def _inverse_of_factors(packed: Any, pivots: Any, singular: str) -> Any:
    cupy = device.cupy()
    _single(packed)
    try:
        return _solve_by_factors(packed, pivots, cupy.eye(len(packed), dtype=packed.dtype), False)
    except np.linalg.LinAlgError:
        if singular == "raise":
            raise
    return cupy.full_like(packed, np.nan)


@_form("determinant_of_factors")
def _determinant_of_factors(packed: Any, pivots: Any) -> tuple[Any, Any]:
    cupy = device.cupy()
    _single(packed)
    diagonal = packed.diagonal()
    sizes = cupy.abs(diagonal)
    swaps = cupy.count_nonzero(pivots != cupy.arange(len(pivots)))
    one = packed.dtype.type(1)
    signs = diagonal / sizes if packed.dtype.kind == "c" else cupy.where(diagonal < 0, -one, one)
    sign = cupy.where(diagonal.all(), cupy.prod(signs) * (1 - 2 * (swaps % 2)), 0).astype(packed.dtype)
    return sign, cupy.sum(cupy.log(sizes))  # the logarithm of zero is that of a singular matrix


@_form("solve_triangular")
def _solve_triangular(a: Any, b: Any, lower: bool, unit: bool) -> Any:
    from cupyx.scipy.linalg import solve_triangular

    _single(a, b)
    if not unit:
        _check_regular(a.diagonal())
    return solve_triangular(a, b, lower=lower, unit_diagonal=unit)


@_form("cholesky")
def _cholesky(a: Any, failing: str) -> Any:
    cupy = device.cupy()
    try:
        return cupy.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        if failing == "raise":
            raise np.linalg.LinAlgError("Matrix is not positive definite") from None
    if a.ndim > 2:
        raise NotImplementedError
    return cupy.full_like(a, np.nan)
