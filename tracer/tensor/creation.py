"""Tensors from sizes: zeros, ones, ranges, grids, diagonals; the sizes may be symbolic.

Examples
--------
>>> from tracer.tensor.creation import arange, eye, zeros
>>> from tracer.tensor.types import dmatrix
>>> x = dmatrix("x")
>>> zeros((x.shape[0], 1)).type, eye(x.shape[1]).type, arange(x.shape[0]).type
(TensorType(float64, col), TensorType(float64, matrix), TensorType(int64, vector))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.config import config
from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.node import constant
from tracer.graph.rules import is_traced
from tracer.tensor.variables import (
    as_tensor_variable,
    call,
    cast,
    dtype_of,
    ndim_of,
    operand,
    shape_argument,
    shape_pattern,
    sizes_of,
)
from tracer.tracing.precision import is_single
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "alloc",
    "arange",
    "choose",
    "diag",
    "diagonal",
    "empty",
    "extract_diag",
    "eye",
    "fill",
    "full",
    "full_like",
    "identity_like",
    "mgrid",
    "ogrid",
    "ones",
    "ones_like",
    "second",
    "trace",
    "tri",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


# --- filled --------------------------------------------------------------------------------------------------------


def _alloc_type(value: Any, shape: Any) -> TensorType:
    pattern = shape_pattern(shape)
    if value.ndim > len(pattern):
        raise TypeError(message(messages.ALLOC_NDIM, value=value, found=value.ndim, wanted=len(pattern)))
    return tensor_type(value.type.numpy_dtype, pattern)


@deferred(name="Alloc", infer=_alloc_type)
def _alloc(value: Any, shape: Any) -> Any:
    # A traced constant is spread out in the graph; a real array of this size would be kept in it.
    lifted = value if is_traced(value) else Proxy(constant(np.asarray(value)))
    return np.broadcast_to(lifted, sizes_of(shape))


def alloc(value: Any, *shape: Any) -> Any:
    """A tensor of a shape, filled with a value that broadcasts to it.

    Parameters
    ----------
    value : tensor
        Gives the dtype too.
    shape : ints or scalar variables
    """
    sizes = shape[0] if len(shape) == 1 and _is_shape(shape[0]) else tuple(shape)
    return _alloc(as_tensor_variable(value), shape_argument(sizes))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1


def _filled(number: int, shape: Any, dtype: Any) -> Any:
    target = dtype_of(config.floatX if dtype is None else dtype)
    return _alloc(np.asarray(number, target), shape_argument(shape))


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros.

    Parameters
    ----------
    shape : int or scalar variable, sequence of them, or an integer vector of known length
    dtype : str or dtype, optional
        `tracer.config.floatX` if None.
    """
    return _filled(0, shape, dtype)


def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones; the arguments are those of `zeros`."""
    return _filled(1, shape, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor filled with one value, in the dtype of the value if none is given."""
    value = as_tensor_variable(fill_value if dtype is None else cast(fill_value, dtype))
    return alloc(value, shape if _is_shape(shape) else (shape,))


def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor whose elements do not matter: zeros."""
    return zeros(shape, dtype)


def _like(function: Any, model: Any, dtype: Any) -> Any:
    model = as_tensor_variable(model)
    return call(function, model) if dtype is None else call(function, model, dtype=dtype_of(dtype))


def zeros_like(model: Any, dtype: Any = None, opt: bool = False) -> Any:
    """Zeros in the shape of another tensor, and in its dtype if none is given."""
    return _like(np.zeros_like, model, dtype)


def ones_like(model: Any, dtype: Any = None, opt: bool = False) -> Any:
    """Ones in the shape of another tensor, and in its dtype if none is given."""
    return _like(np.ones_like, model, dtype)


@deferred(name="Second")
def _second(a: Any, b: Any) -> Any:
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    return np.broadcast_to(b, shape)


def second(a: Any, b: Any) -> Any:
    """b, broadcast to the shape of a."""
    b = as_tensor_variable(b)
    return _second(as_tensor_variable(a), b)


def fill(a: Any, b: Any) -> Any:
    """A tensor in the shape of a, filled with b.

    Examples
    --------
    >>> from tracer.tensor.types import dmatrix, fscalar
    >>> fill(dmatrix("a"), fscalar("b")).type
    TensorType(float32, matrix)
    """
    return second(a, b)


def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor in the shape of a filled with one value, and in the dtype of a if none is given."""
    a = as_tensor_variable(a)
    return second(a, cast(fill_value, a.dtype if dtype is None else dtype))


# --- ranges and grids ----------------------------------------------------------------------------------------------


def _weak(value: Any) -> Any:
    data = getattr(value, "data", value)
    if isinstance(data, bool | int | float) or data is None:
        return data
    return value.type.numpy_dtype if hasattr(value, "type") else np.asarray(data).dtype


def _arange_type(start: Any, stop: Any, step: Any, dtype: Any) -> TensorType:
    if dtype is None:
        kinds = [kind for kind in map(_weak, (start, stop, step)) if kind is not None]
        dtype = np.result_type(np.int64, *kinds)
    return tensor_type(dtype, (False,))


@deferred(name="ARange", infer=_arange_type, differentiable=False)
def _arange(start: Any, stop: Any, step: Any, dtype: Any) -> Any:
    return np.arange(static(start), static(stop), static(step), dtype=dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """Numbers from `start` up to, but without, `stop`.

    Parameters
    ----------
    start, stop, step : number or scalar variable
        With one number it is `stop`, and `start` is 0.
    dtype : str or dtype, optional
        int64 for integers if None, the dtype of the numbers otherwise.
    """
    if stop is None:
        start, stop = 0, start
    target = None if dtype is None else dtype_of(dtype)
    values = [item if isinstance(item, int | float) else as_tensor_variable(item) for item in (start, stop, step)]
    if target is None and is_single() and all(isinstance(item, int | float) for item in values):
        target = np.dtype(np.float32) if any(isinstance(item, float) for item in values) else None
    for item in values:
        if ndim_of(item) != 0:
            raise ValueError(message(messages.ARANGE_SCALAR, value=item))
    return _arange(*values, target)


class _Grid:
    """Makes grids of ranges from slices: `mgrid[0:3, 0:4]` and `ogrid[0:3, 0:4]`."""

    def __init__(self, dense: bool) -> None:
        self._dense = dense

    def __getitem__(self, key: Any) -> Any:
        slices = key if isinstance(key, tuple) else (key,)
        ranges = [
            arange(0 if part.start is None else part.start, part.stop, 1 if part.step is None else part.step)
            for part in slices
        ]
        if len(ranges) == 1:
            return ranges[0]
        depth = len(ranges)
        grids = [
            item[tuple(slice(None) if number == place else None for number in range(depth))]
            for place, item in enumerate(ranges)
        ]
        return [second(sum(grids[1:], grids[0]), item) for item in grids] if self._dense else grids


mgrid = _Grid(dense=True)
"""Grids of the size of all ranges together: `x, y = mgrid[0:3, 0:n]`."""
ogrid = _Grid(dense=False)
"""Ranges that broadcast to such grids."""

# --- diagonals and triangles ---------------------------------------------------------------------------------------


@deferred(name="Eye", infer=lambda n, m, k, dtype: tensor_type(dtype, (False, False)), differentiable=False)
def _eye(n: Any, m: Any, k: Any, dtype: Any) -> Any:
    rows = int(static(n))
    return np.eye(rows, rows if m is None else int(static(m)), int(static(k)), dtype=dtype)


def eye(n: Any, m: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    """A matrix with ones on a diagonal and zeros elsewhere.

    Parameters
    ----------
    n, m : int or scalar variable
        Its size; m is n if None.
    k : int or scalar variable
        Which diagonal: 0 the main one, positive ones above.
    dtype : str or dtype, optional
        `tracer.config.floatX` if None.
    """
    return _eye(n, m, k, dtype_of(config.floatX if dtype is None else dtype))


def identity_like(x: Any) -> Any:
    """The identity matrix in the shape and dtype of a matrix."""
    x = as_tensor_variable(x)
    return eye(x.shape[0], x.shape[1], k=0, dtype=x.dtype)


@deferred(name="Tri", infer=lambda n, m, k, dtype: tensor_type(dtype, (False, False)), differentiable=False)
def _tri(n: Any, m: Any, k: Any, dtype: Any) -> Any:
    rows = int(static(n))
    return np.tri(rows, rows if m is None else int(static(m)), int(static(k)), dtype=dtype)


def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    """A matrix with ones on and below a diagonal; the arguments are those of `eye`."""
    return _tri(N, M, k, dtype_of(config.floatX if dtype is None else dtype))


def tril(m: Any, k: int = 0) -> Any:
    """A matrix with zeros above its k-th diagonal."""
    return call(np.tril, as_tensor_variable(m), k)


def triu(m: Any, k: int = 0) -> Any:
    """A matrix with zeros below its k-th diagonal."""
    return call(np.triu, as_tensor_variable(m), k)


def diag(v: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix, or the matrix that has a vector on it."""
    return call(np.diag, as_tensor_variable(v), k)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of each matrix that two axes make; it becomes the last axis."""
    return call(np.diagonal, as_tensor_variable(a), offset, axis1, axis2)


def extract_diag(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal; as `diagonal`."""
    return diagonal(x, offset, axis1, axis2)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the diagonal."""
    return call(np.trace, as_tensor_variable(a), offset, axis1, axis2)


# --- choices -------------------------------------------------------------------------------------------------------


@deferred(name="Choose")
def _choose(a: Any, choices: Any, mode: Any) -> Any:
    options = list(choices) if not isinstance(choices, list | tuple) else choices
    return np.choose(a, options, mode=mode)


def choose(a: Any, choices: Sequence[Any], out: Any = None, mode: str = "raise") -> Any:
    """For each element of a, the element there of the choice with this number.

    Parameters
    ----------
    a : tensor of int
    choices : sequence of tensors, or a tensor of one more dimension
    out : None
        Not supported, as in Theano.
    mode : {"raise", "wrap", "clip"}
        What to do with numbers outside the range.
    """
    if out is not None:
        raise ValueError(message(messages.CHOOSE_OUT))
    options = [operand(item) for item in choices] if isinstance(choices, list | tuple) else as_tensor_variable(choices)
    return _choose(as_tensor_variable(a), options, mode)
