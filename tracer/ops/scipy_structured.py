"""Matrices of scipy.linalg that are made of a few vectors, in traced functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.matrix_rules import as_floats
from tracer.graph.op import OPS, stand_in
from tracer.graph.rules import lift, literal, unsupported


def _checked(check_finite: bool, *values: Any) -> tuple[Any, ...]:
    """Values in one floating-point dtype, tested as SciPy does."""
    arrays = as_floats(*values)
    return tuple(OPS["check_finite"](item) for item in arrays) if check_finite else arrays


def _picked(values: Any, places: np.ndarray[Any, Any]) -> Any:
    return np.take(values, literal(places, values), axis=-1)


@stand_in("scipy.linalg.toeplitz")
def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with a given first column and first row and constant diagonals."""
    (c,) = lift(c)
    c, r = lift(np.atleast_1d(c), np.conjugate(c) if r is None else r)
    r = np.atleast_1d(r)
    values = np.concatenate([c[..., ::-1], r[..., 1:]], axis=-1)
    rows, columns = c.shape[-1], r.shape[-1]
    return _picked(values, np.arange(columns) - np.arange(rows)[:, None] + rows - 1)


@stand_in("scipy.linalg.circulant")
def circulant(c: Any) -> Any:
    """The matrix whose columns are the first one, moved round."""
    c = np.atleast_1d(*lift(c))
    size = c.shape[-1]
    return _picked(c, (np.arange(size)[:, None] - np.arange(size)) % size)


@stand_in("scipy.linalg.hankel")
def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with a given first column and last row and constant counter-diagonals."""
    (c,) = lift(c)
    c, r = lift(np.atleast_1d(c), np.zeros_like(c) if r is None else r)
    r = np.atleast_1d(r)
    values = np.concatenate([c, r[..., 1:]], axis=-1)
    return _picked(values, np.arange(c.shape[-1])[:, None] + np.arange(r.shape[-1]))


@stand_in("scipy.linalg.companion")
def companion(a: Any) -> Any:
    """The companion matrix of a polynomial."""
    a = np.atleast_1d(*lift(a))
    size = a.shape[-1] - 1
    if size < 1:
        raise ValueError("The length of `a` along the last axis must be at least 2.")
    first = -a[..., 1:] / (1.0 * a[..., :1])
    top = first[..., None, :]
    below = np.broadcast_to(np.eye(size - 1, size, dtype=top.dtype), (*a.shape[:-1], size - 1, size))
    return np.concatenate([top, literal(below.copy(), top)], axis=-2)


@stand_in("scipy.linalg.convolution_matrix")
def convolution_matrix(a: Any, n: int, mode: str = "full") -> Any:
    """The matrix that convolves a vector of n numbers with `a`."""
    (a,) = lift(a)
    if mode not in ("full", "same", "valid"):
        raise ValueError("'mode' argument must be one of ('full', 'valid', 'same')")
    size = a.shape[-1]
    edge = [(0, 0)] * (a.ndim - 1)
    column = np.pad(a, [*edge, (0, n - 1)])
    row = np.pad(a[..., :1], [*edge, (0, n - 1)])
    full = toeplitz(column, row)
    if mode == "full":
        return full
    begin = (min(size, n) - 1) // 2 if mode == "same" else min(size, n) - 1
    count = max(size, n) if mode == "same" else max(size, n) - min(size, n) + 1
    return full[..., begin : begin + count, :]


@stand_in("scipy.linalg.leslie")
def leslie(f: Any, s: Any) -> Any:
    """The matrix of a population model."""
    f, s = lift(f, s)
    if f.shape[-1] != s.shape[-1] + 1:
        raise ValueError("The length of s must be one less than the length of f along the last axis.")
    out = np.zeros_like(f, shape=(*f.shape, f.shape[-1]), dtype=np.result_type(f.dtype, s.dtype))
    out[..., 0, :] = f
    places = np.arange(f.shape[-1] - 1)
    out[..., places + 1, places] = s
    return out


@stand_in("scipy.linalg.khatri_rao")
def khatri_rao(a: Any, b: Any) -> Any:
    """Kronecker products of corresponding columns."""
    a, b = lift(a, b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError("The number of columns for both arrays should be equal.")
    product = a[..., :, None, :] * b[..., None, :, :]
    return np.reshape(product, (*product.shape[:-3], -1, product.shape[-1]))


@stand_in("scipy.linalg.solve_toeplitz")
def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    """Solution x of T @ x = b, where T has constant diagonals."""
    column, row = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    matrix, b = _checked(check_finite, toeplitz(column, row), b)
    return np.linalg.solve(matrix, b)


@stand_in("scipy.linalg.matmul_toeplitz")
def matmul_toeplitz(c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None) -> Any:
    """The product of a matrix with constant diagonals and x."""
    column, row = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    matrix, x = _checked(check_finite, toeplitz(column, row), x)
    return matrix @ x


@stand_in("scipy.linalg.solve_circulant")
def solve_circulant(c: Any, b: Any, *options: Any, **more: Any) -> Any:
    """Solution x of C @ x = b, where the columns of C are the first one, moved round."""
    if options or more:
        unsupported("scipy.linalg.solve_circulant", "options", "pass c and b alone.")
    c, b = as_floats(c, b)
    return np.linalg.solve(circulant(c), b)
