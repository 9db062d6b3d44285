"""Ops that CUDA's libraries do for arrays of CuPy, where NumPy's own functions do not lead to CuPy by themselves.

Each form takes the arrays and parameters of the op as `Op.evaluate` does; NotImplementedError leaves it to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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


def _form(name: str, *dimensions: int) -> Callable[[Form], Form]:
    """Keep a form; one of single matrices, with the dimensions of each argument, is done for each of a stack."""

    def keep(form: Form) -> Form:
        FORMS[name] = partial(_each, form, dimensions) if dimensions else form
        return form

    return keep


def _each(form: Form, dimensions: tuple[int, ...], *arrays: Any, **params: Any) -> Any:
    outer = [array.shape[: array.ndim - own] for array, own in zip(arrays, dimensions, strict=True)]
    if not any(outer):
        return form(*arrays, **params)
    batch = np.broadcast_shapes(*outer)
    results: list[Any] = []
    found: Any = None
    for place in np.ndindex(batch):
        own = [array[_within(place, shape)] for array, shape in zip(arrays, outer, strict=True)]
        found = form(*own, **params)
        listed = found if isinstance(found, tuple) else (found,)
        results = results or [device.cupy().empty((*batch, *item.shape), item.dtype) for item in listed]
        for result, item in zip(results, listed, strict=True):
            result[place] = item
    if not results:
        raise NotImplementedError
    return tuple(results) if isinstance(found, tuple) else results[0]


def _within(place: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The place in what is broadcast."""
    own = place[len(place) - len(shape) :]
    return tuple([index if length > 1 else 0 for index, length in zip(own, shape, strict=True)])


def _check_regular(diagonal: Any) -> None:
    if not bool(device.cupy().all(diagonal)):
        raise np.linalg.LinAlgError("Singular matrix")


@_form("factors", 2)
def _factors(a: Any) -> tuple[Any, Any]:
    from cupyx.scipy.linalg import lu_factor

    packed, pivots = lu_factor(a, check_finite=False)
    return packed.T, pivots


@_form("solve_by_factors", 2, 1, 2)
def _solve_by_factors(packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    from cupyx.scipy.linalg import lu_solve

    _check_regular(packed.diagonal())
    return lu_solve((packed.T, pivots), b, trans=int(transposed), check_finite=False)


@_form("inverse_of_factors", 2, 1)
def _inverse_of_factors(packed: Any, pivots: Any, singular: str) -> Any:
    cupy = device.cupy()
    try:
        return _solve_by_factors(packed, pivots, cupy.eye(len(packed), dtype=packed.dtype), False)
    except np.linalg.LinAlgError:
        if singular == "raise":
            raise
    return cupy.full_like(packed, np.nan)


@_form("determinant_of_factors", 2, 1)
def _determinant_of_factors(packed: Any, pivots: Any) -> tuple[Any, Any]:
    cupy = device.cupy()
    diagonal = packed.diagonal()
    sizes = cupy.abs(diagonal)
    swaps = cupy.count_nonzero(pivots != cupy.arange(len(pivots)))
    one = packed.dtype.type(1)
    signs = diagonal / sizes if packed.dtype.kind == "c" else cupy.where(diagonal < 0, -one, one)
    sign = cupy.where(diagonal.all(), cupy.prod(signs) * (1 - 2 * (swaps % 2)), 0).astype(packed.dtype)
    return sign, cupy.sum(cupy.log(sizes))  # the logarithm of zero is that of a singular matrix


@_form("solve_triangular", 2, 2)
def _solve_triangular(a: Any, b: Any, lower: bool, unit: bool) -> Any:
    from cupyx.scipy.linalg import solve_triangular

    if not unit:
        _check_regular(a.diagonal())
    return solve_triangular(a, b, lower=lower, unit_diagonal=unit, check_finite=False)


@_form("check_finite")
def _check_finite(a: Any) -> Any:
    if not bool(device.cupy().isfinite(a).all()):
        raise ValueError("array must not contain infs or NaNs")
    return a


@_form("cholesky")
def _cholesky(a: Any, failing: str) -> Any:
    cupy = device.cupy()
    try:
        return cupy.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        if failing == "raise":
            raise np.linalg.LinAlgError("Matrix is not positive definite") from None
    return _each(partial(_cholesky, failing=failing), (2,), a) if a.ndim > 2 else cupy.full_like(a, np.nan)
