"""Functions of numpy.linalg that are written with its decompositions, inverses and products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.matrix_rules import check_matrix
from tracer.graph.op import OPS, composite
from tracer.graph.rules import apply_like, lift, literal, static_int, static_ints

_A: tuple[tuple[int, ...], ...] = ((3, 3),)


@composite(
    np.linalg.matrix_power,
    examples=(
        (lambda a: np.linalg.matrix_power(a, 3), _A),
        (lambda a: np.linalg.matrix_power(a, 0), _A),
        (lambda a: np.linalg.matrix_power(a, -2), ((2, 2, 2),)),
        (lambda a: np.linalg.matrix_power(a, 6), ((2, 2, 2),)),
    ),
)
def _matrix_power(a: Any, n: int) -> Any:
    """A power of square matrices with an integer exponent, by repeated squaring."""
    (a,) = lift(a)
    check_matrix(a.shape, square=True)
    count = static_int(n, "n")
    if count == 0:
        unit = literal(np.eye(a.shape[-1], dtype=a.dtype), a)
        return np.copy(apply_like(OPS["broadcast_to"], a, unit, shape=a.shape))
    power, result = (np.linalg.inv(a) if count < 0 else a), None
    count = abs(count)
    while True:
        if count % 2:
            result = power if result is None else np.matmul(result, power)
        count //= 2
        if not count:
            return np.copy(result) if result is a else result
        power = np.matmul(power, power)


@composite(
    np.linalg.matrix_rank,
    examples=(
        (lambda a: np.linalg.matrix_rank(a), ((4, 3),)),
        (lambda a: np.linalg.matrix_rank(a[:, :1] @ a[:1]), ((4, 3),)),
        (lambda a: np.linalg.matrix_rank(a, tol=0.5), ((2, 3, 3),)),
        (lambda a: np.linalg.matrix_rank(a, rtol=0.1), ((2, 3, 3),)),
        (lambda a: np.linalg.matrix_rank(a + a.T, hermitian=True), _A),
        (lambda a: np.linalg.matrix_rank(a), ((3,),)),
    ),
)
def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values are larger than a limit."""
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    (A,) = lift(A)
    if A.ndim < 2:
        return np.any(A != 0).astype(np.int64)
    values = np.linalg.svd(A, compute_uv=False, hermitian=hermitian)
    if tol is None:
        if rtol is None:
            rtol = max(A.shape[-2:]) * np.finfo(values.dtype).eps
        elif np.ndim(rtol):
            rtol = np.expand_dims(rtol, -1)
        tol = (np.max(values, axis=-1, keepdims=True) if values.shape[-1] else 0.0) * rtol
    elif np.ndim(tol):
        tol = np.expand_dims(tol, -1)
    return np.count_nonzero(values > tol, axis=-1)


@composite(
    np.linalg.cond,
    examples=(
        (lambda a: np.linalg.cond(a), _A),
        (lambda a: np.linalg.cond(a, -2), ((2, 3, 4),)),
        (lambda a: np.linalg.cond(a, "fro"), _A),
        (lambda a: np.linalg.cond(a, 1), ((2, 3, 3),)),
    ),
)
def _cond(x: Any, p: Any = None) -> Any:
    """Condition numbers; infinite for singular matrices."""
    (x,) = lift(x)
    if 0 in x.shape[-2:]:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    if p is None or p in (2, -2):
        values = np.linalg.svd(x, compute_uv=False)
        first, last = values[..., 0], values[..., -1]
        result = last / first if p == -2 else first / last
    else:
        check_matrix(x.shape, square=True)
        x = x if x.dtype.kind in "fc" else x.astype(np.float64)
        inverse = OPS["inv"](x, singular="nan")
        result = np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(inverse, p, axis=(-2, -1))
    undefined = np.isnan(result) & ~np.any(np.isnan(x), axis=(-2, -1))
    return OPS["where"](undefined, np.inf, result)


@composite(
    np.linalg.tensorinv,
    examples=(
        (lambda a: np.linalg.tensorinv(a, ind=1), ((6, 2, 3),)),
        (lambda a: np.linalg.tensorinv(a), ((2, 3, 6),)),
    ),
)
def _tensorinv(a: Any, ind: int = 2) -> Any:
    """Inverse with respect to a tensor product over the first `ind` axes."""
    ind = static_int(ind, "ind")
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    shape = a.shape
    size = math.prod(shape[ind:])
    return np.reshape(np.linalg.inv(np.reshape(a, (size, -1))), shape[ind:] + shape[:ind])


@composite(
    np.linalg.tensorsolve,
    examples=(
        (lambda a, b: np.linalg.tensorsolve(a, b), ((2, 3, 6), (2, 3))),
        (lambda a, b: np.linalg.tensorsolve(a, b, axes=(0,)), ((6, 2, 3), (2, 3))),
    ),
)
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Solution x of np.tensordot(a, x, x.ndim) = b."""
    a, b = lift(a, b)
    if axes is not None:
        last = [axis % a.ndim for axis in static_ints(axes)]
        a = np.transpose(a, [*(axis for axis in range(a.ndim) if axis not in last), *last])
    shape = a.shape[b.ndim :] if b.ndim < a.ndim else ()
    size = math.prod(shape)
    if a.size != size**2:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement             prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (size, size)), np.ravel(b)), shape)


# --- chains of products ------------------------------------------------------------------------------------------


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each part of a chain of matrices (Cormen et al., "Introduction to Algorithms", section 15.2)."""
    count = len(sizes) - 1
    cost = {(place, place): 0 for place in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            outer = sizes[first] * sizes[last + 1]
            total, best = min(
                (cost[first, middle] + cost[middle + 1, last] + outer * sizes[middle + 1], middle)
                for middle in range(first, last)
            )
            cost[first, last], split[first, last] = total, best
    return split


@composite(
    np.linalg.multi_dot,
    examples=(
        (lambda a, b: np.linalg.multi_dot([a, b]), ((2, 3), (3, 4))),
        (lambda a, b, c: np.linalg.multi_dot([a, b, c]), ((2, 3), (3, 4), (4, 2))),
        (lambda a, b, c, d: np.linalg.multi_dot([a, b, c, d]), ((3,), (3, 4), (4, 2), (2,))),
    ),
)
def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of several matrices in the cheapest order; the first and last may be vectors."""
    items = list(lift(*arrays))
    if len(items) < 2:
        raise ValueError("Expecting at least two arrays.")
    row, column = items[0].ndim == 1, items[-1].ndim == 1
    items[0], items[-1] = (items[0][None, :] if row else items[0]), (items[-1][:, None] if column else items[-1])
    for item in items:
        if item.ndim != 2:
            raise np.linalg.LinAlgError(f"{item.ndim}-dimensional array given. Array must be two-dimensional")
    split = _cheapest_splits([items[0].shape[0], *(item.shape[1] for item in items)])

    def product(first: int, last: int) -> Any:
        if first == last:
            return items[first]
        middle = split[first, last]
        return np.dot(product(first, middle), product(middle + 1, last))

    result = product(0, len(items) - 1)
    result = result[0] if row else result
    return result[..., 0] if column else result


# --- the same functions under their names in numpy.linalg --------------------------------------------------------


@composite(np.linalg.matrix_transpose, examples=((lambda x: np.linalg.matrix_transpose(x), ((2, 3, 4),)),))
def _matrix_transpose(x: Any, /) -> Any:
    """Exchange the last two axes."""
    return np.matrix_transpose(x)


@composite(np.linalg.diagonal, examples=((lambda x: np.linalg.diagonal(x, offset=1), ((2, 3, 4),)),))
def _diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of the matrices in the last two axes."""
    return np.diagonal(x, offset, axis1=-2, axis2=-1)


@composite(np.linalg.trace, examples=((lambda x: np.linalg.trace(x), ((2, 3, 4),)),))
def _trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of the matrices in the last two axes."""
    return np.trace(x, offset, axis1=-2, axis2=-1, dtype=dtype)


@composite(np.linalg.outer, examples=((lambda a, b: np.linalg.outer(a, b), ((2,), (3,))),))
def _outer(x1: Any, x2: Any, /) -> Any:
    """Products of all pairs of elements of two vectors."""
    x1, x2 = lift(x1, x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"Input arrays must be one-dimensional, but they are x1.ndim={x1.ndim} and x2.ndim={x2.ndim}.")
    return np.outer(x1, x2)


@composite(np.linalg.matmul, examples=((lambda a, b: np.linalg.matmul(a, b), ((2, 3), (3, 4))),))
def _matmul(x1: Any, x2: Any, /) -> Any:
    """Matrix product."""
    return np.matmul(x1, x2)


@composite(np.linalg.tensordot, examples=((lambda a, b: np.linalg.tensordot(a, b, axes=1), ((2, 3), (3, 4))),))
def _tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum of products over pairs of axes."""
    return np.tensordot(x1, x2, axes)


@composite(np.linalg.cross, examples=((lambda a, b: np.linalg.cross(a, b), ((2, 3), (3,))),))
def _cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Cross products of vectors in three dimensions."""
    x1, x2 = lift(x1, x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, "
            f"but they are {x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return np.cross(x1, x2, axis=axis)


@composite(
    np.linalg.vector_norm,
    examples=(
        (lambda x: np.linalg.vector_norm(x), ((2, 3),)),
        (lambda x: np.linalg.vector_norm(x, axis=0, ord=1), ((2, 3),)),
        (lambda x: np.linalg.vector_norm(x, axis=(0, 2), keepdims=True), ((2, 3, 4),)),
    ),
)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of the elements along one or several axes as one vector."""
    shape = x.shape
    axes = tuple(range(x.ndim)) if axis is None else tuple(item % x.ndim for item in static_ints(axis))
    rest = tuple(place for place in range(x.ndim) if place not in axes)
    moved = np.reshape(np.transpose(x, (*axes, *rest)), (-1, *(shape[place] for place in rest)))
    result = np.linalg.norm(moved, ord, axis=0)
    return (
        np.reshape(result, tuple(1 if place in axes else size for place, size in enumerate(shape)))
        if keepdims
        else result
    )


@composite(
    np.linalg.matrix_norm,
    examples=(
        (lambda x: np.linalg.matrix_norm(x), ((2, 3, 4),)),
        (lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), ((2, 3, 4),)),
    ),
)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norms of the matrices in the last two axes."""
    return np.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


if hasattr(np.linalg, "vecdot"):

    @composite(np.linalg.vecdot, examples=((lambda a, b: np.linalg.vecdot(a, b), ((2, 3), (3,))),))
    def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
        """Dot products along an axis, the first argument conjugated."""
        x1, x2 = lift(x1, x2)
        vecdot: Any = np.vecdot
        return vecdot(np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1))
