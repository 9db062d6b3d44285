"""Batch normalisation. Ioffe and Szegedy, "Batch Normalization", arXiv:1502.03167."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.config import config
from tracer.graph.rules import lift
from tracer.tracing.recording import deferred

_SMALLEST = 1e-5


@deferred
def batch_normalization(inputs: Any, gamma: Any, beta: Any, mean: Any, std: Any, mode: str = "low_mem") -> Any:
    """Return (inputs - mean) / std * gamma + beta.

    Parameters
    ----------
    inputs, gamma, beta, mean, std : array
        They broadcast against each other.
    mode : {"low_mem", "high_mem"}
        In Theano a choice of implementation; here both are the same.

    Returns
    -------
    array
        Of the shape of `inputs`.

    Raises
    ------
    ValueError
        If there is no such mode.

    Examples
    --------
    >>> import numpy as np
    >>> batch_normalization(np.array([1.0, 3.0]), 2.0, 5.0, 2.0, 1.0).eval()
    array([3., 7.])
    """
    if mode not in ("low_mem", "high_mem"):
        raise ValueError('mode must be either "low_mem", "high_mem"')
    return (inputs - mean) * (gamma / std) + beta


def _axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """The axes that are averaged over."""
    if isinstance(axes, str):
        named = {"per-activation": (0,), "spatial": (0, *range(2, ndim))}
        if axes not in named:
            raise ValueError(f"invalid axes: {axes}")
        return named[axes]
    found = tuple(sorted(int(axis) for axis in axes))
    if not found:
        raise ValueError("there should be at least one normalization axis")
    if found[0] < 0 or found[-1] >= ndim:
        raise ValueError(f"axes should be less than ndim (<{ndim}), but {axes} given")
    return found


def _check(inputs: Any, axes: tuple[int, ...], epsilon: float, **params: Any) -> None:
    # As Theano does: 1e-5 is less in single precision.
    if float(np.dtype(config.floatX).type(epsilon)) < _SMALLEST:
        raise ValueError(f"epsilon must be at least 1e-5, got {epsilon}")
    first = next(iter(params.values()))
    wanted = inputs.ndim if first.ndim == inputs.ndim else inputs.ndim - len(axes)
    for name, value in params.items():
        if value.ndim != wanted:
            raise ValueError(
                f"the parameters must have as many dimensions as there are axes not normalized, or as the inputs; "
                f"{name} has {value.ndim} instead of {wanted}"
            )


def _spread(value: Any, inputs: Any, axes: tuple[int, ...]) -> Any:
    """A parameter with axes of size 1 where it is averaged over."""
    return value if value.ndim == inputs.ndim else np.expand_dims(value, axes)


@deferred
def batch_normalization_train(
    inputs: Any,
    gamma: Any,
    beta: Any,
    axes: Any = "per-activation",
    epsilon: float = 1e-4,
    running_average_factor: float = 0.1,
    running_mean: Any = None,
    running_var: Any = None,
) -> Any:
    """Normalise by the mean and the variance of the inputs themselves.

    Parameters
    ----------
    inputs : array
        A batch.
    gamma, beta : array
        Scale and shift, with size 1 along `axes` or without them.
    axes : {"per-activation", "spatial"} or tuple of int
        What to average over: the first axis, all but the second, or these.
    epsilon : float
        Added to the variance; at least 1e-5.
    running_average_factor : float
        Weight of this batch in the running averages.
    running_mean, running_var : array, optional
        Running averages so far, of the shape of `gamma`.

    Returns
    -------
    list of arrays
        The normalised inputs, their means, the inverses of their standard deviations, and, if running averages are
        given, the new ones. The variance in it is the unbiased one.

    Raises
    ------
    ValueError
        If arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> out, mean, invstd = batch_normalization_train(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), epsilon=1e-5)
    >>> mean.eval()
    array([2.])
    """
    running = (running_mean, running_var)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be given or both be None")
    inputs, gamma, beta = lift(inputs, gamma, beta)
    axes = _axes(axes, inputs.ndim)
    given = {} if running_mean is None else {"running_mean": running_mean, "running_var": running_var}
    _check(inputs, axes, epsilon, gamma=gamma, beta=beta, **given)
    mean = np.mean(inputs, axis=axes, keepdims=True)
    centred = inputs - mean
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + epsilon)
    results = [centred * (_spread(gamma, inputs, axes) * inverse) + _spread(beta, inputs, axes), mean, inverse]
    if running_mean is not None:
        count = np.float64(math.prod(inputs.shape[axis] for axis in axes))
        with np.errstate(all="ignore"):
            unbiased = variance * float(count / (count - 1))
        for old, new in zip(running, (mean, unbiased), strict=True):
            old = _spread(lift(old)[0], inputs, axes)
            results.append(old * (1 - running_average_factor) + new * running_average_factor)
    if gamma.ndim != inputs.ndim:
        results[1:] = [np.squeeze(item, axes) for item in results[1:]]
    return tuple(results)


@deferred
def batch_normalization_test(
    inputs: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    var: Any,
    axes: Any = "per-activation",
    epsilon: float = 1e-4,
) -> Any:
    """Normalise by a given mean and variance, those of the training data.

    Parameters
    ----------
    inputs : array
        A batch.
    gamma, beta, mean, var : array
        Scale, shift, mean and variance, with size 1 along `axes` or without them.
    axes : {"per-activation", "spatial"} or tuple of int
        What was averaged over: the first axis, all but the second, or these.
    epsilon : float
        Added to the variance; at least 1e-5.

    Returns
    -------
    array
        Of the shape of `inputs`.

    Raises
    ------
    ValueError
        If arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> batch_normalization_test(np.array([[1.0], [3.0]]), one, 0 * one, 2 * one, one, epsilon=1e-5).eval().round(3)
    array([[-1.],
           [ 1.]])
    """
    inputs, gamma, beta, mean, var = lift(inputs, gamma, beta, mean, var)
    axes = _axes(axes, inputs.ndim)
    _check(inputs, axes, epsilon, gamma=gamma, beta=beta, mean=mean, var=var)
    gamma, beta, mean, var = (_spread(item, inputs, axes) for item in (gamma, beta, mean, var))
    return (inputs - mean) * (gamma / np.sqrt(var + epsilon)) + beta
