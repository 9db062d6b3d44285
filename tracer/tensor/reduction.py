"""Reductions: sums, products, means, extremes and their positions along axes of tensors.

The arguments that reductions share:

axis : int, tuple of int, or None
    The axes to reduce; None for all of them.
keepdims : bool
    Keep the reduced axes, with size 1, so that the result broadcasts with the argument.
dtype : str or dtype, optional
    dtype of the result. Sums and products of small integers grow to int64, as in NumPy.
acc_dtype : str or dtype, optional
    dtype to add up in; sums of float32 add up in float64 anyway.

Examples
--------
>>> from tracer.tensor.reduction import argmax, mean, sum
>>> from tracer.tensor.types import bmatrix, dtensor3
>>> x = dtensor3("x")
>>> sum(x, axis=(0, 2)).type, mean(x, axis=1, keepdims=True).broadcastable
(TensorType(float64, vector), (False, True, False))
>>> argmax(x, axis=-1).type, sum(bmatrix("n")).dtype
(TensorType(int64, matrix), 'int64')
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tracer.tensor.elementwise import conj, real, sqrt
from tracer.tensor.variables import as_tensor_variable, call, cast, dtype_of, known_value
from tracer.tracing.recording import deferred

__all__ = [
    "Axis",
    "all",
    "any",
    "argmax",
    "argmin",
    "max",
    "max_and_argmax",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

Axis = Any


def axes_argument(axis: Any) -> Any:
    """An axis argument as NumPy takes it: None, an int, or a tuple of ints."""
    if isinstance(axis, list | tuple):
        return tuple(operator.index(known_value(item)) for item in axis)
    return axis if axis is None else operator.index(known_value(axis))


def _reduce(function: Any, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
    return call(function, as_tensor_variable(x), axis=axes_argument(axis), keepdims=bool(keepdims), **options)


def _accumulate(function: Any, x: Any, axis: Any, dtype: Any, keepdims: bool, acc_dtype: Any) -> Any:
    wide = acc_dtype if acc_dtype is not None else dtype
    options = {} if wide is None else {"dtype": dtype_of(wide)}
    total = _reduce(function, x, axis, keepdims, **options)
    if acc_dtype is None:
        return total
    # The dtype of the result is the one it would have without `acc_dtype`.
    return cast(total, _sum_dtype(x) if dtype is None else dtype)


def _sum_dtype(x: Any) -> np.dtype[Any]:
    dtype = np.dtype(as_tensor_variable(x).dtype)
    return np.zeros(1, dtype).sum().dtype


def sum(input: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
    """The sum of elements; see the module's text for the arguments."""
    return _accumulate(np.sum, input, axis, dtype, keepdims, acc_dtype)


def prod(
    input: Any,
    axis: Axis = None,
    dtype: Any = None,
    keepdims: bool = False,
    acc_dtype: Any = None,
    no_zeros_in_input: bool = False,
) -> Any:
    """The product of elements; see the module's text for the arguments.

    Parameters
    ----------
    no_zeros_in_input : bool
        A promise that no element is zero. The derivative is right with and without it.
    """
    return _accumulate(np.prod, input, axis, dtype, keepdims, acc_dtype)


def mean(
    input: Any, axis: Axis = None, dtype: Any = None, op: bool = False, keepdims: bool = False, acc_dtype: Any = None
) -> Any:
    """The mean of elements; that of integers is float64. See the module's text for the arguments."""
    wide = acc_dtype if acc_dtype is not None else dtype
    options = {} if wide is None else {"dtype": dtype_of(wide)}
    x = as_tensor_variable(input)
    average = _reduce(np.mean, x, axis, keepdims, **options)
    if acc_dtype is None:
        return average
    return cast(average, x.dtype if dtype is None and np.dtype(x.dtype).kind in "fc" else dtype or "float64")


def var(input: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Any:
    """The variance of elements.

    Parameters
    ----------
    input : tensor
    axis, keepdims :
        See the module's text.
    ddof : int
        The sum of squares is divided by the number of elements less this.
    corrected : bool
        Take away what rounding left in the mean: the squared mean of the differences.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).
    """
    x = as_tensor_variable(input)
    variance = _reduce(np.var, x, axis, keepdims, ddof=ddof)
    if not corrected:
        return variance
    differences = x - mean(x, axis, keepdims=True)
    rest = sum(differences, axis, keepdims=keepdims)
    count = sum(call(np.ones_like, real(x)), axis, keepdims=keepdims)
    return variance - real(rest * conj(rest)) / (count * (count - ddof))


def std(input: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Any:
    """The standard deviation: the square root of `var`, with its arguments."""
    return sqrt(var(input, axis, ddof, keepdims, corrected))


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The greatest element; NaN if there is one."""
    return _reduce(np.max, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest element; NaN if there is one."""
    return _reduce(np.min, x, axis, keepdims)


def ptp(a: Any, axis: Axis = None) -> Any:
    """The greatest element less the smallest one."""
    return max(a, axis) - min(a, axis)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether no element is zero or false."""
    return _reduce(np.all, x, axis, keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether some element is neither zero nor false."""
    return _reduce(np.any, x, axis, keepdims)


@deferred(name="Argmax", differentiable=False)
def _position(x: Any, axis: tuple[int, ...], keepdims: bool, greatest: bool) -> Any:
    """Position of an extreme over several axes: in the array of just these axes, flattened."""
    x = x if hasattr(x, "shape") else np.asarray(x)
    axes = tuple(sorted(item % x.ndim for item in axis))
    kept = tuple(item for item in range(x.ndim) if item not in axes)
    flat = np.reshape(np.transpose(x, kept + axes), (*(x.shape[item] for item in kept), -1))
    found = (np.argmax if greatest else np.argmin)(flat, axis=-1)
    return np.expand_dims(found, axes) if keepdims else found


def _extreme_position(function: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    axes = axes_argument(axis)
    if isinstance(axes, tuple) and len(axes) == 1:
        axes = axes[0]
    if not isinstance(axes, tuple):
        return call(function, as_tensor_variable(x), axis=axes, keepdims=bool(keepdims))
    return _position(as_tensor_variable(x), axes, bool(keepdims), function is np.argmax)


def argmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The position of the greatest element, of the first one if there are several.

    Over several axes, or all, it counts in the array of these axes flattened.
    """
    return _extreme_position(np.argmax, x, axis, keepdims)


def argmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The position of the smallest element; as `argmax`."""
    return _extreme_position(np.argmin, x, axis, keepdims)


def max_and_argmax(a: Any, axis: Axis = None, keepdims: bool = False) -> list[Any]:
    """The greatest element and its position."""
    return [max(a, axis, keepdims), argmax(a, axis, keepdims)]
