"""Shared sparse matrices: values of scipy.sparse that functions keep between calls."""

from __future__ import annotations

import copy
from typing import Any

import scipy.sparse

from tracer.sparse.types import SparseVariable, sparse_type
from tracer.sparse.values import FORMATS
from tracer.tracing.shared import SharedObject, shared_constructor

__all__ = [
    "SparseSharedVariable",
    "shared_sparse_matrix",
]


class SparseSharedVariable(SharedObject, SparseVariable):
    """A shared sparse matrix; see `tracer.shared`."""

    def __str__(self) -> str:
        return self.name or f"<{self.type}>"


@shared_constructor
def shared_sparse_matrix(
    value: Any,
    name: str | None = None,
    borrow: bool = False,
    strict: bool = False,
    allow_downcast: bool | None = None,
    format: str | None = None,
    **_: Any,
) -> SparseSharedVariable:
    """Make a shared variable of a matrix of scipy.sparse. Raises TypeError for another value."""
    if not scipy.sparse.issparse(value):
        raise TypeError("not a matrix of scipy.sparse")
    kind = sparse_type(format or (value.format if value.format in FORMATS else "csr"), value.dtype)
    return SparseSharedVariable(kind, value if borrow else copy.deepcopy(value), name)
