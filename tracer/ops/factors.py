"""What is computed from the triangular factors of one matrix, for several ops that would each factor it.

Rewriting puts these in place of `solve`, `inv` and `slogdet` after derivatives are taken, so that they need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph import lapack
from tracer.graph.matrix_rules import sign_and_logarithm_types
from tracer.graph.op import Op, batched_as, declare
from tracer.types import ArrayType, TupleType, real_dtype


def _fill(results: tuple[Any, ...], one: Callable[..., Any], *arrays: Any) -> tuple[Any, ...]:
    """Enter what `one` computes of each matrix of the stacks."""
    for place in np.ndindex(arrays[0].shape[:-2]):
        for result, found in zip(results, one(*(array[place] for array in arrays)), strict=True):
            result[place] = found
    return results


def _factors_value(a: Any) -> tuple[Any, ...]:
    if a.ndim == 2:
        return lapack.factors(a)
    return _fill((np.empty_like(a), np.empty(a.shape[:-1], np.int32)), lapack.factors, a)


FACTORS: Op = declare(
    Op(
        "factors",
        "call",
        lambda types: TupleType((types[0], ArrayType(np.dtype(np.int32), types[0].shape[:-1]))),
        _factors_value,
        batch=batched_as("factors"),
        call_kernel=lambda: "factors",
        doc="Both triangular factors of a matrix in one, transposed, and the exchanges of its rows.",
    )
)


def _solve_value(packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    if packed.ndim == 2:
        return lapack.solve_by_factors(packed, pivots, b, transposed)

    def one(packed: Any, pivots: Any, b: Any) -> tuple[Any, ...]:
        return (lapack.solve_by_factors(packed, pivots, b, transposed),)

    return _fill((np.empty_like(b),), one, packed, pivots, b)[0]


SOLVE_BY_FACTORS: Op = declare(
    Op(
        "solve_by_factors",
        "call",
        lambda types, transposed: types[2],
        _solve_value,
        batch=batched_as("solve_by_factors"),
        call_kernel=lambda transposed: "solve_transposed_by_factors" if transposed else "solve_by_factors",
        doc="Solution x of a @ x = b, or of a.T @ x = b, from the factors of a.",
    )
)


def _inverse_value(packed: Any, pivots: Any, singular: str) -> Any:
    if packed.ndim > 2:
        return _fill((np.empty_like(packed),), lambda p, q: (_inverse_value(p, q, singular),), packed, pivots)[0]
    try:
        return lapack.inverse_of_factors(packed, pivots)
    except np.linalg.LinAlgError:
        if singular == "raise":
            raise
    return np.full_like(packed, np.nan)


INVERSE_OF_FACTORS: Op = declare(
    Op(
        "inverse_of_factors",
        "call",
        lambda types, singular: types[0],
        _inverse_value,
        batch=batched_as("inverse_of_factors"),
        call_kernel=lambda singular: "inverse_of_factors",
        doc="Inverse of a matrix from its factors.",
    )
)


def _determinant_value(packed: Any, pivots: Any) -> tuple[Any, ...]:
    if packed.ndim == 2:
        return lapack.determinant_of_factors(packed, pivots)
    shape = packed.shape[:-2]
    results = np.empty(shape, packed.dtype), np.empty(shape, real_dtype(packed.dtype))
    return _fill(results, lapack.determinant_of_factors, packed, pivots)


DETERMINANT_OF_FACTORS: Op = declare(
    Op(
        "determinant_of_factors",
        "call",
        sign_and_logarithm_types,
        _determinant_value,
        batch=batched_as("determinant_of_factors"),
        call_kernel=lambda: "determinant_of_factors",
        doc="Sign and logarithm of the absolute value of the determinant of a matrix from its factors.",
    )
)
