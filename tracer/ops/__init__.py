"""Floor 2: the op table, one declaration per op. Importing the package fills the table."""

from tracer.ops import (
    arranging,
    contraction,
    creation,
    cumulative,
    einsum,
    elementwise,
    indexing,
    picking,
    pointwise,
    reduction,
    shaping,
    transcendental,
)

__all__ = [
    "arranging",
    "contraction",
    "creation",
    "cumulative",
    "einsum",
    "elementwise",
    "indexing",
    "picking",
    "pointwise",
    "reduction",
    "shaping",
    "transcendental",
]
