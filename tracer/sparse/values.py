"""Sparse matrices while they are computed: the elements that are stored, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse

from tracer.graph.op import OPS
from tracer.graph.rules import is_traced, lift
from tracer.ops.sparse import rows_of, starts_of, transposed

FORMATS = ("csc", "csr")


@dataclass(frozen=True, eq=False)
class SparseValue:
    """A matrix of which only some elements are stored, in compressed columns ("csc") or rows ("csr").

    Its arrays are those of scipy.sparse, real or traced: the stored elements, the other index of each, and where each
    column (or row) begins.
    """

    format: str
    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""
        found: np.dtype[Any] = self.data.dtype
        return found

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def is_rows(self) -> bool:
        """Whether it is stored by rows."""
        return self.format == "csr"

    @property
    def width(self) -> int:
        """The size that `indices` count along."""
        return self.shape[1] if self.is_rows else self.shape[0]

    @property
    def places(self) -> tuple[Any, Any]:
        """The row and the column of each stored element."""
        major = rows_of(self.indptr, self.indices)
        return (major, self.indices) if self.is_rows else (self.indices, major)

    def with_data(self, data: Any) -> SparseValue:
        """The same places with other elements."""
        return replace(self, data=data)

    def turned(self) -> SparseValue:
        """The transpose: the same arrays in the other format."""
        other = "csc" if self.is_rows else "csr"
        return SparseValue(other, self.data, self.indices, self.indptr, self.shape[::-1])

    def in_format(self, name: str) -> SparseValue:
        """The same matrix stored by rows or by columns."""
        if name == self.format:
            return self
        order, indices, indptr = transposed(self.indices, self.indptr, self.width)
        return SparseValue(name, np.take(self.data, order), indices, indptr, self.shape)

    def astype(self, dtype: Any) -> SparseValue:
        """With elements of another dtype."""
        return self if self.dtype == dtype else self.with_data(self.data.astype(dtype))

    def toarray(self) -> Any:
        """The dense matrix; elements stored twice are added."""
        blank = np.zeros_like(self.data, shape=self.shape)
        return OPS["scatter_add"](blank, self.data, *self.places)


def value_of(x: Any) -> SparseValue:
    """A sparse matrix in the form in which it is computed."""
    if isinstance(x, SparseValue):
        return x
    x = x if x.format in FORMATS else x.tocsr()
    count = int(x.indptr[-1])
    return SparseValue(x.format, x.data[:count], x.indices[:count], x.indptr, (int(x.shape[0]), int(x.shape[1])))


def is_sparse(x: Any) -> bool:
    """Whether a value (not a variable) is a sparse matrix."""
    return isinstance(x, SparseValue) or scipy.sparse.issparse(x)


def scipy_matrix(x: SparseValue) -> Any:
    """The matrix of scipy.sparse with these real arrays."""
    make = scipy.sparse.csr_matrix if x.is_rows else scipy.sparse.csc_matrix
    return make((x.data, x.indices, x.indptr), shape=x.shape)


def from_places(name: str, data: Any, rows: Any, columns: Any, shape: tuple[int, int]) -> SparseValue:
    """A matrix of elements whose places come in the order of its format."""
    major, minor = (rows, columns) if name == "csr" else (columns, rows)
    return SparseValue(name, data, minor, starts_of(major, shape[0] if name == "csr" else shape[1]), shape)


def keys_of(x: SparseValue) -> Any:
    """A number for the place of each stored element: in the order of these numbers a matrix is sorted."""
    major = rows_of(x.indptr, x.indices)
    return major * x.width + x.indices


def from_keys(name: str, data: Any, keys: Any, shape: tuple[int, int]) -> SparseValue:
    """A matrix of elements with sorted keys."""
    width, height = (shape[1], shape[0]) if name == "csr" else shape
    major = keys // max(width, 1)
    return SparseValue(name, data, keys - major * width, starts_of(major, height), shape)


def traced_arrays(x: SparseValue) -> SparseValue:
    """With all arrays traced if one of them is."""
    if not any(map(is_traced, (x.data, x.indices, x.indptr))):
        return x
    data, indices, indptr = lift(x.data, x.indices, x.indptr)
    return replace(x, data=data, indices=indices, indptr=indptr)
