"""What is computed from the triangular factors of one matrix, for several ops that would each factor it.

Rewriting puts these in place of `solve`, `inv` and `slogdet` after derivatives are taken, so that they need none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph import lapack
from tracer.graph.op import Op, declare
from tracer.types import ArrayType, TupleType, real_dtype

FACTORS: Op = declare(
    Op(
        "factors",
        "call",
        lambda types: TupleType((types[0], ArrayType(np.dtype(np.int32), types[0].shape[:1]))),
        lapack.factors,
        doc="Both triangular factors of a matrix in one, transposed, and the exchanges of its rows.",
    )
)
SOLVE_BY_FACTORS: Op = declare(
    Op(
        "solve_by_factors",
        "call",
        lambda types, transposed: types[2],
        lapack.solve_by_factors,
        doc="Solution x of a @ x = b, or of a.T @ x = b, from the factors of a.",
    )
)


def _inverse_value(packed: Any, pivots: Any, singular: str) -> Any:
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
        doc="Inverse of a matrix from its factors.",
    )
)
DETERMINANT_OF_FACTORS: Op = declare(
    Op(
        "determinant_of_factors",
        "call",
        lambda types: TupleType((ArrayType(types[0].dtype, ()), ArrayType(real_dtype(types[0].dtype), ()))),
        lapack.determinant_of_factors,
        doc="Sign and logarithm of the absolute value of the determinant of a matrix from its factors.",
    )
)
