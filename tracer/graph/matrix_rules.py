"""The small functions on matrices, those in the last two axes, in which rules of linear algebra are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import OPS
from tracer.graph.rules import lift, literal
from tracer.types import ArrayType, Shape, TupleType, real_dtype


def check_matrix(shape: Shape, square: bool = False) -> None:
    """Raise NumPy's LinAlgError for what is not a matrix, or not a square one."""
    if len(shape) < 2:
        raise np.linalg.LinAlgError(f"{len(shape)}-dimensional array given. Array must be at least two-dimensional")
    if square and shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


def sign_and_logarithm_types(types: Any) -> TupleType:
    """What a determinant is given as: its sign and the logarithm of its absolute value, of each matrix."""
    dtype, shape = types[0].dtype, types[0].shape[:-2]
    return TupleType((ArrayType(dtype, shape), ArrayType(real_dtype(dtype), shape)))


def as_floats(*values: Any) -> tuple[Any, ...]:
    """Values as arrays of the one floating-point dtype in which numpy.linalg computes."""
    arrays = lift(*values)
    dtypes = [item.dtype for item in arrays]
    single = all(dtype.char in "fF" for dtype in dtypes)
    is_complex = any(dtype.kind == "c" for dtype in dtypes)
    dtype = np.dtype(("F" if single else "D") if is_complex else "f" if single else "d")
    return tuple(item if item.dtype == dtype else item.astype(dtype) for item in arrays)


def turned(x: Any) -> Any:
    """The transposes."""
    return np.swapaxes(x, -1, -2)


def conjugated(x: Any) -> Any:
    """The complex conjugate; a real array itself (np.conjugate would make an integer of a bool)."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


def adjoint(x: Any) -> Any:
    """The transposes, conjugated."""
    return conjugated(turned(x))


def diagonal_part(x: Any) -> Any:
    """The diagonals, as the last axis."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def on_diagonal(inside: Any, outside: Any) -> Any:
    """Matrices whose diagonals are those of the first, and whose other elements are those of the second."""
    mask = literal(np.eye(outside.shape[-1], dtype=bool), outside)
    return OPS["where"](mask, inside, outside)


def as_diagonal(x: Any, dtype: np.dtype[Any]) -> Any:
    """Matrices of a dtype with the last axis of x as their diagonals."""
    mask = literal(np.eye(x.shape[-1], dtype=bool), x)
    full = OPS["where"](mask, x[..., :, None], 0)
    return full if full.dtype == dtype else full.astype(dtype)


def triangle(x: Any, lower: bool, strict: bool = False) -> Any:
    """One triangle, with its diagonal or, if strict, without."""
    return np.tril(x, -1 if strict else 0) if lower else np.triu(x, 1 if strict else 0)


def completed(a: Any, lower: bool = True, conjugate: bool = True) -> Any:
    """The Hermitian (or symmetric) matrices of which only one triangle is read."""
    part = triangle(a, lower, strict=True)
    diagonal = np.real(a).astype(a.dtype) if conjugate and a.dtype.kind == "c" else a
    return on_diagonal(diagonal, part + (adjoint(part) if conjugate else turned(part)))


def halved(x: Any, lower: bool = True) -> Any:
    """One triangle, its diagonal halved and real: with its own adjoint it makes up a Hermitian matrix.

    From twice the adjoint derivative with respect to Hermitian matrices it makes that with respect to the triangle that
    is read.
    """
    size = x.shape[-1]
    if x.dtype.kind == "c":
        x = on_diagonal(np.real(x).astype(x.dtype), x)
    weights = triangle(np.ones((size, size)), lower) - 0.5 * np.eye(size)
    return x * literal(weights.astype(real_dtype(x.dtype)), x)
