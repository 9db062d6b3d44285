"""Sparse types by name, and variables of them: `csr_matrix("x")`, `csc_dmatrix()`."""

from __future__ import annotations

from typing import Any

import scipy.sparse

from tracer.sparse.types import SparseType, as_sparse_variable

__all__ = [
    "all_dtypes",
    "complex_dtypes",
    "continuous_dtypes",
    "csc_dmatrix",
    "csc_fmatrix",
    "csc_matrix",
    "csr_dmatrix",
    "csr_fmatrix",
    "csr_matrix",
    "discrete_dtypes",
    "float_dtypes",
    "matrix",
]

csc_dmatrix, csr_dmatrix = SparseType("csc", "float64"), SparseType("csr", "float64")
csc_fmatrix, csr_fmatrix = SparseType("csc", "float32"), SparseType("csr", "float32")
discrete_dtypes = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
continuous_dtypes = ("float32", "float64")
float_dtypes = continuous_dtypes
complex_dtypes = ("complex64", "complex128")
all_dtypes = discrete_dtypes + float_dtypes + complex_dtypes


def matrix(format: str, name: Any = None, dtype: Any = None) -> Any:
    """A sparse variable of a format, or a constant of a matrix of scipy.sparse that is given as its name.

    Parameters
    ----------
    format : {"csr", "csc"}
    name : str or sparse matrix, optional
    dtype : str, optional
        floatX if None.
    """
    if scipy.sparse.issparse(name):
        return as_sparse_variable(name.asformat(format))
    return SparseType(format, "floatX" if dtype is None else dtype)(name)


def csc_matrix(name: Any = None, dtype: Any = None) -> Any:
    """A sparse variable stored by columns; see `matrix`."""
    return matrix("csc", name, dtype)


def csr_matrix(name: Any = None, dtype: Any = None) -> Any:
    """A sparse variable stored by rows; see `matrix`."""
    return matrix("csr", name, dtype)
