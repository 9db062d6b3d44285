"""Arrays of a dtype that may be floatX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.config import config


def _asarray(a: Any, dtype: Any, order: Any = None) -> np.ndarray[Any, Any]:
    """As numpy.asarray, where the dtype may be "floatX".

    Examples
    --------
    >>> import tracer as theano
    >>> theano._asarray([1, 2], dtype="floatX")
    array([1., 2.])
    """
    return np.asarray(a, np.dtype(config.floatX if dtype == "floatX" else dtype), order=order)
