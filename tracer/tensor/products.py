"""Products of tensors: dot, tensordot, and their batched forms.

Examples
--------
>>> from tracer.tensor.products import batched_dot, dot, tensordot
>>> from tracer.tensor.types import dmatrix, dtensor3, dvector
>>> dot(dmatrix("a"), dvector("x")).type
TensorType(float64, vector)
>>> batched_dot(dtensor3("a"), dtensor3("b")).ndim, tensordot(dtensor3("a"), dmatrix("b"), axes=[[0, 1], [0, 1]]).ndim
(3, 1)
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.tensor.variables import as_tensor_variable, call, operand_dtype
from tracer.tracing.recording import deferred, operation_of
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "batched_dot",
    "batched_tensordot",
    "dot",
    "inner",
    "matmul",
    "outer",
    "tensordot",
]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _dtype(a: Any, b: Any) -> np.dtype[Any]:
    return np.result_type(operand_dtype(a), operand_dtype(b))


def _dot_type(a: Any, b: Any) -> TensorType:
    """The type of np.dot; sizes that may be 1 or not are no reason to refuse."""
    if a.ndim == 0 or b.ndim == 0:
        pattern = a.broadcastable + b.broadcastable
    else:
        pattern = a.broadcastable[:-1] + b.broadcastable[:-2] + b.broadcastable[max(1, b.ndim - 1) :]
    return tensor_type(_dtype(a, b), pattern)


def _matmul_type(a: Any, b: Any, **_: Any) -> TensorType:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(message(messages.MATMUL_SCALAR, one=a.type, other=b.type))
    if a.ndim <= 2 and b.ndim <= 2:
        return _dot_type(a, b)
    left, right = a.broadcastable[:-2], b.broadcastable[:-2]
    depth = max(len(left), len(right))
    left, right = (True,) * (depth - len(left)) + left, (True,) * (depth - len(right)) + right
    batch = tuple(one and other for one, other in zip(left, right, strict=True))
    ends = a.broadcastable[-2:-1] if a.ndim > 1 else ()
    return tensor_type(_dtype(a, b), batch + ends + (b.broadcastable[-1:] if b.ndim > 1 else ()))


operation_of(np.dot).infer = _dot_type
operation_of(np.matmul).infer = _matmul_type


def dot(a: Any, b: Any) -> Any:
    """The product of vectors, matrices and tensors: the last axis of a with the second to last one of b.

    Parameters
    ----------
    a, b : tensor
        With a scalar among them it is their product.

    Raises
    ------
    ValueError
        When the function runs and the sizes do not fit.
    """
    return call(np.dot, as_tensor_variable(a), as_tensor_variable(b))


def matmul(a: Any, b: Any) -> Any:
    """The product of matrices, batched over leading dimensions: NumPy's `a @ b`."""
    return call(np.matmul, as_tensor_variable(a), as_tensor_variable(b))


def outer(x: Any, y: Any) -> Any:
    """The products of every element of x with every one of y, both flattened: a matrix."""
    return call(np.outer, as_tensor_variable(x), as_tensor_variable(y))


def inner(x: Any, y: Any) -> Any:
    """The sum of products over the last axes."""
    return call(np.inner, as_tensor_variable(x), as_tensor_variable(y))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over several axes.

    Parameters
    ----------
    a, b : tensor
    axes : int, or a pair of sequences of int
        How many axes, the last ones of a and the first ones of b; or which axes of a and of b.
    """
    return call(np.tensordot, as_tensor_variable(a), as_tensor_variable(b), axes=_axes_pair(axes))


def _axes_pair(axes: Any) -> Any:
    if isinstance(axes, int | np.integer):
        return int(axes)
    first, second = axes
    pairs = [item if isinstance(item, list | tuple | np.ndarray) else (item,) for item in (first, second)]
    return tuple(tuple(operator.index(axis) for axis in item) for item in pairs)


@deferred(name="BatchedTensordot")
def _batched_tensordot(a: Any, b: Any, axes: Any) -> Any:
    rank, other = np.ndim(a), np.ndim(b)
    if isinstance(axes, int):
        axes = tuple(range(rank - axes, rank)), tuple(range(1, axes + 1))
    first, second = (tuple(axis % ndim for axis in item) for item, ndim in zip(axes, (rank, other), strict=True))
    if len(first) != len(second) or 0 in first or 0 in second:
        raise ValueError(message(messages.BATCHED_AXES, axes=axes))
    left, spare = list(_LETTERS[:rank]), iter(_LETTERS[rank:])
    right = [next(spare) for _ in range(other)]
    right[0] = left[0]
    for one, two in zip(first, second, strict=True):
        right[two] = left[one]
    kept = [left[axis] for axis in range(rank) if axis not in first]
    kept += [right[axis] for axis in range(1, other) if axis not in second]
    return np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", a, b)


def batched_tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    """`tensordot` of each x[i] with y[i]; axes are counted with the batch axis 0, which is not among them.

    Parameters
    ----------
    x, y : tensor
        With the same size along axis 0.
    axes : int, or a pair of sequences of int
        As for `tensordot`.
    """
    return _batched_tensordot(as_tensor_variable(x), as_tensor_variable(y), _axes_pair(axes))


@deferred(name="BatchedDot")
def _batched_dot(a: Any, b: Any) -> Any:
    if np.ndim(a) < 1 or np.ndim(b) < 1:
        raise TypeError(message(messages.BATCHED_SCALAR))
    if np.shape(a)[0] != np.shape(b)[0]:
        raise ValueError(message(messages.BATCH_SIZES, one=np.shape(a), other=np.shape(b)))
    if np.ndim(a) == 1:
        return np.reshape(a, np.shape(a) + (1,) * (np.ndim(b) - 1)) * b
    if np.ndim(b) == 1:
        return a * np.reshape(b, np.shape(b) + (1,) * (np.ndim(a) - 1))
    if np.ndim(a) <= 3 and np.ndim(b) <= 3:
        left = a[:, None, :] if np.ndim(a) == 2 else a
        right = b[:, :, None] if np.ndim(b) == 2 else b
        product = np.matmul(left, right)
        axes = ((1,) if np.ndim(a) == 2 else ()) + ((2,) if np.ndim(b) == 2 else ())
        return np.squeeze(product, axis=axes) if axes else product
    return _batched_tensordot(a, b, ((np.ndim(a) - 1,), (max(1, np.ndim(b) - 2),)))


def batched_dot(a: Any, b: Any) -> Any:
    """`dot` of each a[i] with b[i].

    Parameters
    ----------
    a, b : tensor
        With the same size along axis 0.
    """
    return _batched_dot(as_tensor_variable(a), as_tensor_variable(b))
