"""Activations and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.rules import lift, literal
from tracer.tensor.nnet.sigm import floating
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

# --- activations -------------------------------------------------------------------------------------------------


@deferred
def relu(x: Any, alpha: Any = 0) -> Any:
    """Return the larger of 0 and x, or for x < 0 its multiple by `alpha`. At 0 the derivative is (1 + alpha) / 2.

    Parameters
    ----------
    x : array
        Of any shape.
    alpha : float or array
        Slope for negative x, e.g. 0.01 for a leaky rectifier; broadcasts against `x`.

    Returns
    -------
    array
        Of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.array([-2.0, 3.0]), alpha=0.1).eval()
    array([-0.2,  3. ])
    """
    (x,) = lift(x)
    if np.isscalar(alpha) and alpha == 0:
        return 0.5 * (x + np.abs(x))
    return 0.5 * (1 + alpha) * x + 0.5 * (1 - alpha) * np.abs(x)


@deferred
def elu(x: Any, alpha: Any = 1) -> Any:
    """Return x where it is positive, and alpha * (exp(x) - 1) elsewhere.

    Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units",
    arXiv:1511.07289.

    Parameters
    ----------
    x : array
        Of any shape; integers become floats.
    alpha : float or array
        Minus the limit for very negative x.

    Returns
    -------
    array
        Of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> elu(np.array([-1000.0, 1000.0])).eval()
    array([  -1., 1000.])
    """
    x = floating(x)
    positive = x > 0
    # Within the exponential only what is needed: its derivative would overflow for large x.
    return np.where(positive, x, alpha * np.expm1(np.where(positive, 0, x)))


@deferred
def selu(x: Any) -> Any:
    """Scale the ELU so that layers keep the mean 0 and the variance 1 of what passes through them.

    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", arXiv:1706.02515.

    Parameters
    ----------
    x : array
        Of any shape; integers become floats.

    Returns
    -------
    array
        Of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> selu(np.array([-1.0, 1.0])).eval()
    array([-1.11133074,  1.05070099])
    """
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


@deferred
def softsign(x: Any) -> Any:
    """Return x / (1 + abs(x)).

    Parameters
    ----------
    x : array
        Of any shape; integers become floats.

    Returns
    -------
    array
        Of the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> softsign(np.array([-1.0, 0.0, 3.0])).eval()
    array([-0.5 ,  0.  ,  0.75])
    """
    x = floating(x)
    return x / (1 + np.abs(x))


# --- softmax -----------------------------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    """A vector as a matrix of one row, which is what Theano's softmax makes of it."""
    x = floating(x)
    if x.ndim == 0:
        raise ValueError("softmax needs a matrix or a vector, not a scalar")
    return x[None, :] if x.ndim == 1 else x


@deferred
def softmax(c: Any) -> Any:
    """Return exponentials that add up to 1 along the last axis.

    Parameters
    ----------
    c : array
        A matrix, each row on its own, or more dimensions; a vector counts as a matrix of one row.

    Returns
    -------
    array
        Of the shape of `c`; (1, n) for a vector.

    Raises
    ------
    ValueError
        For a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]])).eval()
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    c = _rows(c)
    powers = np.exp(c - np.max(c, axis=-1, keepdims=True))
    return powers / np.sum(powers, axis=-1, keepdims=True)


softmax_graph = softmax_op = softmax


@deferred
def logsoftmax(c: Any) -> Any:
    """Return the logarithm of the softmax, accurate where that is tiny.

    Parameters
    ----------
    c : array
        A matrix, each row on its own, or more dimensions; a vector counts as a matrix of one row.

    Returns
    -------
    array
        Of the shape of `c`; (1, n) for a vector.

    Raises
    ------
    ValueError
        For a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> logsoftmax(np.array([[0.0, -1000.0]])).eval()
    array([[    0., -1000.]])
    """
    c = _rows(c)
    largest = np.max(c, axis=-1, keepdims=True)
    return c - (np.log(np.sum(np.exp(c - largest), axis=-1, keepdims=True)) + largest)


@deferred
def softmax_with_bias(x: Any, b: Any) -> Any:
    """Return softmax(x + b), where b is added to every row.

    Parameters
    ----------
    x : array
        (rows, columns).
    b : array
        (columns,).

    Returns
    -------
    array
        (rows, columns).

    Examples
    --------
    >>> import numpy as np
    >>> softmax_with_bias(np.zeros((1, 2)), np.log([1.0, 3.0])).eval()
    array([[0.25, 0.75]])
    """
    x, b = lift(x, b)
    return softmax(x + b)


def _h_softmax_type(x: Any, *arguments: Any, target: Any = None, **_: Any) -> TensorType:
    single = (arguments[8] if len(arguments) > 8 else target) is not None
    return tensor_type(x.type.numpy_dtype, (x.type.broadcastable[0],) + (() if single else (False,)))


@deferred(infer=_h_softmax_type)
def h_softmax(
    x: Any,
    batch_size: Any,
    n_outputs: Any,
    n_classes: Any,
    n_outputs_per_class: Any,
    W1: Any,
    b1: Any,
    W2: Any,
    b2: Any,
    target: Any = None,
) -> Any:
    """Two softmaxes after one another: of the class of an output, and of the output within its class.

    With a target only the outputs of one class are computed, which saves most of the work where outputs are many.
    Goodman, "Classes for Fast Maximum Entropy Training", arXiv:cs/0108006.

    Parameters
    ----------
    x : array
        (batch_size, features).
    batch_size, n_outputs, n_classes, n_outputs_per_class : int
        Sizes; `n_classes * n_outputs_per_class` may exceed `n_outputs`.
    W1, b1 : array
        (features, n_classes) and (n_classes,): the softmax of the class.
    W2, b2 : array
        (n_classes, features, n_outputs_per_class) and (n_classes, n_outputs_per_class): that of the output.
    target : array of int, optional
        (batch_size,): whose probability is wanted.

    Returns
    -------
    array
        (batch_size, n_outputs), or (batch_size,) with a target.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 3))
    >>> W1, b1, W2, b2 = np.zeros((3, 2)), np.zeros(2), np.zeros((2, 3, 2)), np.zeros((2, 2))
    >>> h_softmax(x, 1, 4, 2, 2, W1, b1, W2, b2).eval()
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    x, W1, b1, W2, b2 = lift(x, W1, b1, W2, b2)
    classes = softmax(np.matmul(x, W1) + b1)
    each = int(static(n_outputs_per_class))
    if target is None:
        outputs = softmax(np.tensordot(x, W2, ((1,), (1,))) + b2) * classes[:, :, None]
        return np.reshape(outputs, (x.shape[0], -1))[:, : int(static(n_outputs))]
    (target,) = lift(np.reshape(target, -1))
    wanted, place = target // each, target % each
    inner = softmax(np.matmul(x[:, None, :], np.take(W2, wanted, axis=0))[:, 0, :] + np.take(b2, wanted, axis=0))
    return picked(classes, wanted) * picked(inner, place)


def picked(rows: Any, columns: Any) -> Any:
    """From every row of a matrix the element in the column that an index array says."""
    return rows[literal(np.arange(rows.shape[0]), rows), columns]


# --- rows with one more element ----------------------------------------------------------------------------------


def _longer(value: Any, matrix: Any) -> TensorType:
    return tensor_type(matrix.type.numpy_dtype, (matrix.type.broadcastable[0], False))


@deferred(infer=_longer)
def prepend_scalar_to_each_row(val: Any, mat: Any) -> Any:
    """Put one value in front of every row.

    Parameters
    ----------
    val : scalar
        The value.
    mat : array
        (rows, columns).

    Returns
    -------
    array
        (rows, columns + 1).

    Examples
    --------
    >>> import numpy as np
    >>> prepend_scalar_to_each_row(5.0, np.zeros((1, 2))).eval()
    array([[5., 0., 0.]])
    """
    (mat,) = lift(mat)
    return np.concatenate([np.full_like(mat[:, :1], val), mat], axis=1)


def prepend_0_to_each_row(mat: Any) -> Any:
    """Put a zero in front of every row.

    Parameters
    ----------
    mat : array
        (rows, columns).

    Returns
    -------
    array
        (rows, columns + 1).

    Examples
    --------
    >>> import numpy as np
    >>> prepend_0_to_each_row(np.ones((1, 2))).eval()
    array([[0., 1., 1.]])
    """
    return prepend_scalar_to_each_row(0.0, mat)


def prepend_1_to_each_row(mat: Any) -> Any:
    """Put a one in front of every row.

    Parameters
    ----------
    mat : array
        (rows, columns).

    Returns
    -------
    array
        (rows, columns + 1).

    Examples
    --------
    >>> import numpy as np
    >>> prepend_1_to_each_row(np.zeros((1, 2))).eval()
    array([[1., 0., 0.]])
    """
    return prepend_scalar_to_each_row(1.0, mat)
