"""Cross-entropies of predicted and true distributions, and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.rules import lift
from tracer.ops.transcendental import SOFTPLUS
from tracer.tensor.nnet.activation import logsoftmax, picked, softmax
from tracer.tensor.subtensor import positions_where
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import promote

# --- of probabilities --------------------------------------------------------------------------------------------


@deferred
def binary_crossentropy(output: Any, target: Any) -> Any:
    """Return the cross-entropy of each pair of probabilities of a binary variable.

    Parameters
    ----------
    output : array
        Predicted, strictly between 0 and 1.
    target : array
        True, from 0 to 1.

    Returns
    -------
    array
        -(target * log(output) + (1 - target) * log(1 - output)), element by element.

    Examples
    --------
    >>> import numpy as np
    >>> binary_crossentropy(np.array([0.5, 0.9]), np.array([1.0, 0.0])).eval()
    array([0.69314718, 2.30258509])
    """
    return -(target * np.log(output) + (1.0 - target) * np.log(1.0 - output))


@deferred
def sigmoid_binary_crossentropy(output: Any, target: Any) -> Any:
    """Return binary_crossentropy(sigmoid(output), target), accurate for any output.

    Parameters
    ----------
    output : array
        Logarithms of the predicted odds.
    target : array
        True probabilities.

    Returns
    -------
    array
        Element by element.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid_binary_crossentropy(np.array([0.0, 1000.0]), np.array([1.0, 0.0])).eval()
    array([6.93147181e-01, 1.00000000e+03])
    """
    output, target = lift(output, target)
    return SOFTPLUS(output) - output * target


@deferred
def crossentropy_categorical_1hot(coding_dist: Any, true_one_of_n: Any) -> Any:
    """Return minus the logarithm of the probability that each row gives to the true class.

    Parameters
    ----------
    coding_dist : array
        (rows, classes): probabilities.
    true_one_of_n : array of int
        (rows,): the true classes.

    Returns
    -------
    array
        (rows,).

    Raises
    ------
    IndexError
        If there is no such class.

    Examples
    --------
    >>> import numpy as np
    >>> crossentropy_categorical_1hot(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).eval()
    array([0.69314718, 2.30258509])
    """
    coding_dist, true_one_of_n = lift(coding_dist, true_one_of_n)
    return -np.log(picked(coding_dist, true_one_of_n))


@deferred
def categorical_crossentropy(coding_dist: Any, true_dist: Any) -> Any:
    """Return the cross-entropy of each pair of distributions over classes.

    Parameters
    ----------
    coding_dist : array
        (rows, classes): predicted probabilities.
    true_dist : array
        True probabilities of the same shape, or (rows,): integers, the true classes.

    Returns
    -------
    array
        (rows,).

    Raises
    ------
    TypeError
        If the numbers of dimensions do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> categorical_crossentropy(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[1.0, 0.0], [0.0, 1.0]])).eval()
    array([0.69314718, 2.30258509])
    """
    coding_dist, true_dist = lift(coding_dist, true_dist)
    if true_dist.ndim == coding_dist.ndim:
        return -np.sum(true_dist * np.log(coding_dist), axis=-1)
    if true_dist.ndim == coding_dist.ndim - 1:
        return crossentropy_categorical_1hot(coding_dist, true_dist)
    raise TypeError("rank mismatch between coding and true distributions")


# --- of a softmax ------------------------------------------------------------------------------------------------


@deferred
def crossentropy_softmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> Any:
    """Return the cross-entropy of softmax(x + b) and true classes, and the softmax itself.

    Parameters
    ----------
    x : array
        (rows, classes).
    b : array
        (classes,).
    y_idx : array of int
        (rows,): the true classes.

    Returns
    -------
    list of arrays
        The cross-entropies, (rows,), and the probabilities, (rows, classes).

    Raises
    ------
    IndexError
        If there is no such class.

    Examples
    --------
    >>> import numpy as np
    >>> cost, _ = crossentropy_softmax_1hot_with_bias(np.zeros((2, 4)), np.zeros(4), np.array([0, 3]))
    >>> cost.eval()
    array([1.38629436, 1.38629436])
    """
    x, b, y_idx = lift(x, b, y_idx)
    return crossentropy_softmax_1hot(x + b, y_idx)


@deferred
def crossentropy_softmax_1hot(x: Any, y_idx: Any) -> Any:
    """Return the cross-entropy of softmax(x) and true classes, and the softmax itself.

    Parameters
    ----------
    x : array
        (rows, classes).
    y_idx : array of int
        (rows,): the true classes.

    Returns
    -------
    list of arrays
        The cross-entropies, (rows,), and the probabilities, (rows, classes).

    Raises
    ------
    IndexError
        If there is no such class.

    Examples
    --------
    >>> import numpy as np
    >>> cost, _ = crossentropy_softmax_1hot(np.array([[0.0, 1000.0]]), np.array([0]))
    >>> cost.eval()
    array([1000.])
    """
    x, y_idx = lift(x, y_idx)
    return -picked(logsoftmax(x), y_idx), softmax(x)


@deferred
def crossentropy_softmax_argmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> Any:
    """Return what `crossentropy_softmax_1hot_with_bias` does, and the most probable classes.

    Parameters
    ----------
    x : array
        (rows, classes).
    b : array
        (classes,).
    y_idx : array of int
        (rows,): the true classes.

    Returns
    -------
    list of arrays
        Cross-entropies, probabilities, and the most probable class of each row.

    Examples
    --------
    >>> import numpy as np
    >>> result = crossentropy_softmax_argmax_1hot_with_bias(np.eye(2), np.zeros(2), np.array([0, 0]))
    >>> result[2].eval()
    array([0, 1])
    """
    x, b, y_idx = lift(x, b, y_idx)
    return *crossentropy_softmax_1hot(x + b, y_idx), np.argmax(x + b, axis=-1)


@deferred
def crossentropy_softmax_max_and_argmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> Any:
    """Return what `crossentropy_softmax_1hot_with_bias` does, and the most probable classes and their probabilities.

    Parameters
    ----------
    x : array
        (rows, classes).
    b : array
        (classes,).
    y_idx : array of int
        (rows,): the true classes.

    Returns
    -------
    list of arrays
        Cross-entropies, probabilities, the largest probability of each row, and its class.

    Examples
    --------
    >>> import numpy as np
    >>> result = crossentropy_softmax_max_and_argmax_1hot_with_bias(np.eye(2), np.zeros(2), np.array([0, 0]))
    >>> result[2].eval()
    array([0.73105858, 0.73105858])
    """
    cost, probabilities, best = crossentropy_softmax_argmax_1hot_with_bias(x, b, y_idx)
    return cost, probabilities, np.max(probabilities, axis=-1), best


@deferred
def crossentropy_softmax_max_and_argmax_1hot(x: Any, y_idx: Any) -> Any:
    """Return what `crossentropy_softmax_1hot` does, and the most probable classes and their probabilities.

    Parameters
    ----------
    x : array
        (rows, classes).
    y_idx : array of int
        (rows,): the true classes.

    Returns
    -------
    list of arrays
        Cross-entropies, probabilities, the largest probability of each row, and its class.

    Examples
    --------
    >>> import numpy as np
    >>> result = crossentropy_softmax_max_and_argmax_1hot(np.eye(2), np.array([0, 0]))
    >>> result[3].eval()
    array([0, 1])
    """
    x, y_idx = lift(x, y_idx)
    cost, probabilities = crossentropy_softmax_1hot(x, y_idx)
    return cost, probabilities, np.max(probabilities, axis=-1), np.argmax(x, axis=-1)


# --- counting ----------------------------------------------------------------------------------------------------


def _confusion_types(actual: Any, pred: Any) -> tuple[TensorType, TensorType]:
    for name, vector in (("actual", actual), ("pred", pred)):
        if vector.ndim != 1:
            raise ValueError(f"{name} must be 1-d tensor variable")
    order = promote((actual.type.numpy_dtype, pred.type.numpy_dtype))
    return tensor_type(np.dtype(np.int64), (False, False)), tensor_type(order, (False,))


@deferred(infer=_confusion_types, differentiable=False)
def confusion_matrix(actual: Any, pred: Any) -> Any:
    """Count how often each class was predicted for each true one.

    Parameters
    ----------
    actual, pred : array
        (n,): true and predicted classes.

    Returns
    -------
    list of arrays
        The counts, with a row for each true class and a column for each predicted one, and the classes in order.

    Raises
    ------
    ValueError
        If `actual` or `pred` is not a vector.

    Examples
    --------
    >>> import numpy as np
    >>> counts, order = confusion_matrix(np.array([2, 0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0, 2]))
    >>> counts.eval()
    array([[2, 0, 0],
           [0, 0, 1],
           [1, 0, 2]])
    """
    actual, pred = lift(actual, pred)
    ordered = np.sort(np.concatenate([actual, pred]))
    # The first element of each run of equal ones.
    is_first = np.concatenate([np.ones_like(ordered[:1], dtype=bool), ordered[1:] != ordered[:-1]])
    order = ordered[positions_where(is_first)]
    rows, columns = ((item[:, None] == order).astype(np.int64) for item in (actual, pred))
    return np.matmul(rows.T, columns), order
