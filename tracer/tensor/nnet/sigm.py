"""The sigmoid, its approximations, and the softplus."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.rules import lift_arrays
from tracer.ops.transcendental import SIGMOID, SOFTPLUS
from tracer.tracing.recording import deferred


def floating(x: Any) -> Any:
    """A value as an array of floats: float32 for small integers, float64 for the others."""
    (x,) = lift_arrays(x)
    return x if x.dtype.kind in "fc" else x.astype(np.result_type(x.dtype, np.float32))


@deferred
def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), without overflow.

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
    >>> sigmoid(np.array([-1000.0, 0.0, 2.0])).eval()
    array([0.        , 0.5       , 0.88079708])
    """
    return SIGMOID(floating(x))


@deferred
def ultra_fast_sigmoid(x: Any) -> Any:
    """Approximate the sigmoid by pieces of fractions and lines; it stays between 0.00247 and 0.99753.

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
    >>> ultra_fast_sigmoid(np.array([-10.0, 0.0, 2.0])).eval()
    array([0.00247262, 0.5       , 0.875     ])
    """
    half = 0.5 * floating(x)
    size = np.abs(half)
    steep = 1.5 * size / (1 + size)
    flat = 0.935409070603099 + 0.0458812946797165 * (size - 1.7)
    tanh = np.where(size < 1.7, steep, np.where(size < 3, flat, 0.99505475368673))
    return 0.5 * (np.where(half >= 0, tanh, -tanh) + 1)


@deferred
def hard_sigmoid(x: Any) -> Any:
    """Approximate the sigmoid by a line: 0.2 x + 0.5, cut off at 0 and 1.

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
    >>> hard_sigmoid(np.array([-3.0, 0.0, 1.0])).eval()
    array([0. , 0.5, 0.7])
    """
    return np.clip(0.2 * floating(x) + 0.5, 0.0, 1.0)


@deferred
def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)), without overflow.

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
    >>> softplus(np.array([-1000.0, 0.0, 1000.0])).eval()
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return SOFTPLUS(floating(x))
