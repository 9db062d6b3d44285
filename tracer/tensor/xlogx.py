"""x log x, with its limit 0 at x = 0.

Examples
--------
>>> from tracer.tensor.types import dvector
>>> from tracer.tensor.xlogx import xlogx
>>> xlogx(dvector("p")).type
TensorType(float64, vector)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tracer.tensor.variables import as_tensor_variable, call

__all__ = ["xlogx", "xlogy0"]


def xlogx(x: Any) -> Any:
    """The product x * log(x), and 0 where x is 0."""
    return xlogy0(x, x)


def xlogy0(x: Any, y: Any) -> Any:
    """The product x * log(y), and 0 where x is 0."""
    return call(import_module("scipy.special").xlogy, as_tensor_variable(x), as_tensor_variable(y))
