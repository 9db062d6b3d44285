"""Products of matrices and everything that is lowered to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.errors.dtypes import refuse_sparse
from tracer.graph.batching import aligned
from tracer.graph.matrix_rules import conjugated, turned
from tracer.graph.op import FUNCTIONS, Function, Op, composite, declare, method
from tracer.graph.rules import lift, lift_arrays, static_ints, sum_to_shape
from tracer.types import ArrayType, broadcast_shapes, normalize_axis, resolve_ufunc

_SIGNATURE = "(n?,k),(k,m?)->(n?,m?)"


def _infer(types: Sequence[ArrayType]) -> ArrayType:
    a, b = types
    inner, other = a.shape[-1], b.shape[-2]
    if inner is not None and other is not None and inner != other:
        raise ValueError(
            f"matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature {_SIGNATURE} "
            f"(size {other} is different from {inner})"
        )
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return ArrayType(a.dtype, (*batch, a.shape[-2], b.shape[-1]))


def _batched(inputs: Sequence[Any], is_batched: Sequence[bool], size: int) -> Any:
    """Products with one matrix are one product; many products of rows with columns are sums."""
    a, b = inputs
    if is_batched[0] and not is_batched[1] and b.ndim == 2:
        rows = np.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))
        return np.reshape(MATMUL(rows, b), (*a.shape[:-1], b.shape[-1]))
    if is_batched[1] and not is_batched[0] and a.ndim == 2 and b.ndim == 3 and a.shape[0] > 1:
        columns = np.reshape(np.moveaxis(b, 1, 2), (size * b.shape[2], b.shape[1]))
        together = MATMUL(columns, np.transpose(a))
        return np.moveaxis(np.reshape(together, (size, b.shape[2], a.shape[0])), 1, 2)
    a, b = aligned(inputs, is_batched)
    if all(is_batched) and a.shape[-2] == b.shape[-1] == 1 and a.dtype.kind in "fc":
        return np.sum(a * np.swapaxes(b, -1, -2), axis=-1, keepdims=True)
    return MATMUL(a, b)


MATMUL: Op = declare(
    Op(
        "matmul",
        "matmul",
        _infer,
        np.matmul,
        vjp=(
            lambda g, y, a, b: sum_to_shape(MATMUL(g, turned(b)), a.shape),
            lambda g, y, a, b: sum_to_shape(MATMUL(turned(a), g), b.shape),
        ),
        jvp="multilinear",
        batch=_batched,
        dtypes=lambda operands: resolve_ufunc(np.matmul, operands),
        symbol="@",
        precedence=13,
        doc="Products of matrices in the last two axes.",
    )
)


def _matmul(x1: Any, x2: Any) -> Any:
    """Matrix product; 1-d operands count as a row on the left and a column on the right."""
    a, b = lift(x1, x2)
    for number, item in enumerate((a, b)):
        if np.ndim(item) == 0:
            refuse_sparse((x1, x2)[number])
            raise ValueError(
                f"matmul: Input operand {number} does not have enough dimensions (has 0, gufunc core with signature "
                f"{_SIGNATURE} requires 1)"
            )
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    result = MATMUL(left, right)
    if a.ndim > 1 and b.ndim > 1:
        return result
    shape = (
        result.shape[:-2] + (() if a.ndim == 1 else result.shape[-2:-1]) + (() if b.ndim == 1 else result.shape[-1:])
    )
    return np.reshape(result, shape)


_EXAMPLES = (
    (lambda a, b: np.matmul(a, b), ((2, 3), (3, 4))),
    (lambda a, b: a @ b, ((5, 2, 3), (3, 4))),
    (lambda a, b: a @ b, ((2, 1, 2, 3), (5, 3, 4))),
    (lambda a, b: a @ b, ((3,), (3, 4))),
    (lambda a, b: a @ b, ((2, 3), (3,))),
    (lambda a, b: a @ b, ((3,), (3,))),
    (lambda a, b: a @ b.T, ((2, 3), (4, 3))),
)
FUNCTIONS[np.matmul] = Function(np.matmul, _matmul, MATMUL, _EXAMPLES, MATMUL.doc)


@composite(
    np.tensordot,
    examples=(
        (lambda a, b: np.tensordot(a, b, 1), ((2, 3), (3, 4))),
        (lambda a, b: np.tensordot(a, b, ((0, 1), (1, 0))), ((2, 3), (3, 2))),
        (lambda a, b: np.tensordot(a, b, ((1,), (2,))), ((2, 3), (4, 2, 3))),
        (lambda a, b: np.tensordot(a, b, 0), ((2,), (3,))),
    ),
)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over pairs of axes."""
    a, b = lift_arrays(a, b)
    if isinstance(axes, tuple | list):
        left, right = static_ints(axes[0]), static_ints(axes[1])
    else:
        left, right = tuple(range(-axes, 0)), tuple(range(axes))
    if len(left) != len(right):
        raise ValueError("shape-mismatch for sum")
    left = tuple(normalize_axis(axis, a.ndim) for axis in left)
    right = tuple(normalize_axis(axis, b.ndim) for axis in right)
    if any(a.shape[one] != b.shape[two] for one, two in zip(left, right, strict=True)):
        raise ValueError("shape-mismatch for sum")
    rows = tuple(axis for axis in range(a.ndim) if axis not in left)
    columns = tuple(axis for axis in range(b.ndim) if axis not in right)
    inner = math.prod(a.shape[axis] for axis in left)
    outer = (*(a.shape[axis] for axis in rows), *(b.shape[axis] for axis in columns))
    first = np.reshape(np.transpose(a, rows + left), (math.prod(a.shape[axis] for axis in rows), inner))
    second = np.reshape(np.transpose(b, right + columns), (inner, math.prod(b.shape[axis] for axis in columns)))
    return np.reshape(MATMUL(first, second), outer)


@composite(
    np.dot,
    examples=(
        (lambda a, b: np.dot(a, b), ((3,), (3,))),
        (lambda a, b: np.dot(a, b), ((2, 3), (3,))),
        (lambda a, b: a.dot(b), ((2, 3), (3, 4))),
        (lambda a, b: np.dot(a, b), ((2, 3), (5, 3, 4))),
        (lambda a, b: np.dot(a, b), ((), (2, 3))),
    ),
)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    """Dot product: of vectors, matrices, or the last axis with the second to last."""
    a, b = lift_arrays(a, b)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    place = 0 if b.ndim == 1 else b.ndim - 2
    _check_aligned(a, b, place)
    return np.matmul(a, b) if b.ndim <= 2 else np.tensordot(a, b, ((a.ndim - 1,), (place,)))


def _check_aligned(a: Any, b: Any, place: int) -> None:
    first, second = a.shape[-1], b.shape[place]
    if first != second:
        left, right = (str(item.shape).replace(" ", "") for item in (a, b))
        raise ValueError(f"shapes {left} and {right} not aligned: {first} (dim {a.ndim - 1}) != {second} (dim {place})")


@composite(
    np.inner,
    examples=((lambda a, b: np.inner(a, b), ((3,), (3,))), (lambda a, b: np.inner(a, b), ((2, 3), (4, 3)))),
)
def _inner(a: Any, b: Any, /) -> Any:
    """Sum of products over the last axes."""
    a, b = lift_arrays(a, b)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    _check_aligned(a, b, b.ndim - 1)
    return np.tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,)))


@composite(np.vdot, examples=((lambda a, b: np.vdot(a, b), ((2, 3), (2, 3))),))
def _vdot(a: Any, b: Any, /) -> Any:
    """Dot product of the flattened arrays, the first conjugated."""
    a, b = (np.ravel(item) for item in lift_arrays(a, b))
    return np.matmul(conjugated(a), b)


@composite(
    np.outer, examples=((lambda a, b: np.outer(a, b), ((2,), (3,))), (lambda a, b: np.outer(a, b), ((2, 2), (3,))))
)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    """Products of all pairs of elements."""
    a, b = (np.ravel(item) for item in lift_arrays(a, b))
    return np.multiply(a[:, None], b[None, :])


def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Dot products along an axis, the first argument conjugated."""
    a, b = lift(x1, x2)
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    return np.matmul(conjugated(a)[..., None, :], b[..., :, None])[..., 0, 0]


if hasattr(np, "vecdot"):
    composite(np.vecdot, examples=((lambda a, b: np.vecdot(a, b), ((2, 3), (3,))),))(_vecdot)


def _matvec(x1: Any, x2: Any, /) -> Any:
    """Products of matrices and vectors."""
    a, b = lift(x1, x2)
    return np.matmul(a, b[..., :, None])[..., 0]


def _vecmat(x1: Any, x2: Any, /) -> Any:
    """Products of vectors, conjugated, and matrices."""
    a, b = lift(x1, x2)
    return np.matmul(conjugated(a)[..., None, :], b)[..., 0, :]


if hasattr(np, "matvec"):
    composite(np.matvec, examples=((lambda a, b: np.matvec(a, b), ((5, 2, 3), (5, 3))),))(_matvec)
    composite(np.vecmat, examples=((lambda a, b: np.vecmat(a, b), ((5, 3), (5, 3, 2))),))(_vecmat)


@composite(
    np.kron,
    examples=((lambda a, b: np.kron(a, b), ((2, 3), (2, 2))), (lambda a, b: np.kron(a, b), ((2,), (2, 2)))),
)
def _kron(a: Any, b: Any) -> Any:
    """Kronecker product."""
    a, b = lift(a, b)
    ndim = max(np.ndim(a), np.ndim(b))
    left, right = ((1,) * (ndim - np.ndim(item)) + np.shape(item) for item in (a, b))
    first = np.reshape(a, tuple(size for item in left for size in (item, 1)))
    second = np.reshape(b, tuple(size for item in right for size in (1, item)))
    return np.reshape(np.multiply(first, second), tuple(one * two for one, two in zip(left, right, strict=True)))


@composite(
    np.cross,
    examples=(
        (lambda a, b: np.cross(a, b), ((4, 3), (4, 3))),
        (lambda a, b: np.cross(a, b, axis=0), ((3, 4), (3, 4))),
    ),
)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """Cross product of vectors of three components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = lift(a, b)
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError("incompatible dimensions for cross product\n(dimension must be 3)")
    following, last = (1, 2, 0), (2, 0, 1)
    parts = [a[..., one] * b[..., two] - a[..., two] * b[..., one] for one, two in zip(following, last, strict=True)]
    return np.stack(parts, axis=axisc)


# --- norms -------------------------------------------------------------------------------------------------------


@composite(
    np.linalg.norm,
    examples=(
        (lambda x: np.linalg.norm(x), ((3, 4),)),
        (lambda x: np.linalg.norm(x, axis=1), ((3, 4),)),
        (lambda x: np.linalg.norm(x, 1, axis=0), ((3, 4),)),
        (lambda x: np.linalg.norm(x, np.inf, axis=0, keepdims=True), ((3, 4),)),
        (lambda x: np.linalg.norm(x, 3, axis=-1), ((3, 4),)),
        (lambda x: np.linalg.norm(x, "fro"), ((3, 4),)),
        (lambda x: np.linalg.norm(x, 1), ((3, 4),)),
        (lambda x: np.linalg.norm(x, -np.inf), ((3, 4),)),
        (lambda x: np.linalg.norm(x, 2), ((3, 4),)),
        (lambda x: np.linalg.norm(x, -2, axis=(2, 0), keepdims=True), ((2, 3, 4),)),
        (lambda x: np.linalg.norm(x, "nuc"), ((3, 4),)),
    ),
)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norms of vectors and matrices."""
    x = x if x.dtype.kind in "fc" else x.astype(np.float64)
    if ord is None:
        if axis is not None and np.ndim(axis) == 1 and len(axis) > 2:
            raise ValueError("Improper number of dimensions to norm.")
        return _root_of_squares(x, axis, keepdims)
    axes = tuple(range(x.ndim)) if axis is None else static_ints(axis)
    axes = tuple(normalize_axis(item, x.ndim) for item in axes)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if ord in ("fro", "f"):
        return _root_of_squares(x, axes, keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        summed, rest = axes if ord in (1, -1) else axes[::-1]
        sums = np.sum(np.abs(x), axis=summed, keepdims=True)
        result = _largest(sums, rest, True) if ord > 0 else np.min(sums, axis=rest, keepdims=True)
        return result if keepdims else np.squeeze(result, axes)
    if ord in (2, -2, "nuc"):
        values = np.linalg.svd(np.moveaxis(x, axes, (-2, -1)), compute_uv=False)
        reduced: Any = np.sum if ord == "nuc" else _largest if ord == 2 else np.min
        result = reduced(values, axis=-1)
        return np.expand_dims(result, axes) if keepdims else result
    raise ValueError("Invalid norm order for matrices.")


def _largest(x: Any, axis: int, keepdims: bool = False) -> Any:
    """The maximum along an axis; 0 of nothing, as of the norms of NumPy."""
    return np.max(x, axis=axis, keepdims=keepdims) if x.shape[axis] else np.sum(x, axis=axis, keepdims=keepdims)


def _squares(x: Any) -> Any:
    return np.square(np.real(x)) + np.square(np.imag(x)) if x.dtype.kind == "c" else np.square(x)


def _root_of_squares(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sqrt(np.sum(_squares(x), axis=axis, keepdims=keepdims))


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if ord == np.inf:
        return _largest(np.abs(x), axis, keepdims)
    if ord == -np.inf:
        return np.min(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum((x != 0).astype(np.real(x).dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 2:
        return _root_of_squares(x, axis, keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    return np.power(np.sum(np.power(np.abs(x), ord), axis=axis, keepdims=keepdims), 1 / ord)


@method("dot")
def _dot_method(a: Any, b: Any, out: Any = None) -> Any:
    """Dot product."""
    return _dot(a, b)
