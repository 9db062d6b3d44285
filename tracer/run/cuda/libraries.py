"""Ops that CUDA's libraries do for arrays of CuPy, where NumPy's own functions do not lead to CuPy by themselves.

Each form takes the arrays and parameters of the op as `Op.evaluate` does; NotImplementedError leaves it to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


# --- matrices in compressed rows, by cuSPARSE --------------------------------------------------------------------


def _compressed(data: Any, columns: Any, starts: Any, width: int) -> Any:
    """A matrix of CuPy; a copy, since products bring what a matrix stores into order in place."""
    from cupyx.scipy import sparse

    if data.dtype.char not in "fdFD":
        raise NotImplementedError
    return sparse.csr_matrix((data, columns, starts), shape=(len(starts) - 1, width), copy=True)


@_form("compressed_rows")
def _compressed_rows(starts: Any, size: int) -> Any:
    cupy = device.cupy()
    return cupy.searchsorted(starts[1:], cupy.arange(size, dtype=starts.dtype), side="right")


@_form("compressed_times")
def _compressed_times(data: Any, columns: Any, starts: Any, dense: Any, width: int, turned: bool) -> Any:
    matrix = _compressed(data, columns, starts, width)
    if turned:
        matrix = matrix.T
    if 0 in (len(data), *dense.shape):  # nothing to multiply, which cuSPARSE refuses
        return device.cupy().zeros((matrix.shape[0], dense.shape[1]), data.dtype)
    return matrix @ dense


def _compressed_product(a: Sequence[Any], b: Sequence[Any], widths: tuple[int, int]) -> tuple[Any, Any, Any]:
    """What the product of two matrices stores, the columns, in order, and where rows begin."""
    cupy = device.cupy()
    if 0 in (len(a[0]), len(b[0])):
        none = cupy.zeros(0, np.int64)
        return none.astype(a[0].dtype), none, cupy.zeros(len(a[2]), np.int64)
    (left, right), (width, other) = (a, b), widths
    product = _compressed(left[0], left[1], left[2], width) @ _compressed(right[0], right[1], right[2], other)
    product.sort_indices()
    return product.data, product.indices.astype(np.int64), product.indptr.astype(np.int64)


@_form("compressed_pattern")
def _compressed_pattern(*arrays: Any, widths: tuple[int, int], size: int = 0) -> tuple[Any, Any]:
    cupy = device.cupy()
    a, b = [(cupy.ones(len(pair[0]), np.float32), *pair) for pair in (arrays[:2], arrays[2:])]
    return _compressed_product(a, b, widths)[1:]


@_form("compressed_count")
def _compressed_count(*arrays: Any, widths: tuple[int, int]) -> Any:
    return device.cupy().asarray(np.int64(len(_compressed_pattern(*arrays, widths=widths)[0])))


@_form("compressed_sampled")
def _compressed_sampled(*arrays: Any, widths: tuple[int, int]) -> Any:
    cupy = device.cupy()
    columns, starts = arrays[6:]
    found, own_columns, own_starts = _compressed_product(arrays[:3], arrays[3:6], widths)
    if not len(found):
        return cupy.zeros(len(columns), arrays[0].dtype)
    stored = _compressed_rows(own_starts, len(found)) * widths[1] + own_columns
    wanted = _compressed_rows(starts, len(columns)) * widths[1] + columns
    places = cupy.minimum(cupy.searchsorted(stored, wanted), len(found) - 1)
    return cupy.where(stored[places] == wanted, found[places], found.dtype.type(0))
