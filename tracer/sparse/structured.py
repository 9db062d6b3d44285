"""Elementwise functions that are computed for the stored elements only: what is not stored stays zero.

Examples
--------
>>> import scipy.sparse, tracer
>>> from tracer import sparse
>>> x = sparse.csr_matrix("x")
>>> f = tracer.function([x], sparse.structured_exp(x))
>>> f(scipy.sparse.csr_matrix([[0.0, 1.0]])).toarray().round(3)
array([[0.   , 2.718]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import sparse as messages
from tracer.graph.op import OPS
from tracer.sparse.conversion import ndim_of
from tracer.sparse.types import SparseType, as_sparse_variable, sparse_type
from tracer.sparse.values import SparseValue, value_of
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.replay import computing
from tracer.tracing.symbolic_type import tensor_type

__all__ = [
    "abs_",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "ceil",
    "conj",
    "conjugate",
    "deg2rad",
    "expm1",
    "floor",
    "log1p",
    "rad2deg",
    "rint",
    "sgn",
    "sin",
    "sinh",
    "sqr",
    "sqrt",
    "structured_abs",
    "structured_add",
    "structured_conjugate",
    "structured_exp",
    "structured_log",
    "structured_maximum",
    "structured_minimum",
    "structured_pow",
    "structured_sigmoid",
    "tan",
    "tanh",
    "trunc",
]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.absolute,
    "add": np.add,
    "arcsin": np.arcsin,
    "arcsinh": np.arcsinh,
    "arctan": np.arctan,
    "arctanh": np.arctanh,
    "ceil": np.ceil,
    "conjugate": np.conjugate,
    "deg2rad": np.deg2rad,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log1p": np.log1p,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "pow": np.power,
    "rad2deg": np.rad2deg,
    "rint": np.rint,
    "sgn": np.sign,
    "sigmoid": OPS["sigmoid"],
    "sin": np.sin,
    "sinh": np.sinh,
    "sqr": np.square,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
"""What is computed with stored elements, by name."""


def _type(x: Any, name: str, others: tuple[Any, ...]) -> SparseType:
    """The type of a result, found by computing with made-up elements."""
    with computing():
        data = tensor_type(x.type.numpy_dtype, (False,)).stand_in()
        numbers = [item.data if item.is_constant else item.type.stand_in() for item in others]
        dtype = FUNCTIONS[name](data, *numbers).dtype
    return sparse_type(x.format, dtype)


@deferred(name="Structured", infer=_type)
def _structured(x: Any, name: str, others: tuple[Any, ...]) -> SparseValue:
    x = value_of(x)
    return x.with_data(FUNCTIONS[name](x.data, *others))


def _with_scalar(x: Any, name: str, other: Any) -> Any:
    other = as_tensor_variable(other)
    if ndim_of(other) != 0:
        kind = getattr(other, "type", type(other).__name__)
        raise TypeError(message(messages.DENSE_NDIM, function=f"structured_{name}", wanted="a scalar", type=kind))
    return _structured(as_sparse_variable(x), name, (other,))


def structured_pow(x: Any, y: Any) -> Any:
    """Stored elements to the power of a scalar."""
    return _with_scalar(x, "pow", y)


def structured_minimum(x: Any, y: Any) -> Any:
    """The smaller of each stored element and a scalar."""
    return _with_scalar(x, "minimum", y)


def structured_maximum(x: Any, y: Any) -> Any:
    """The larger of each stored element and a scalar."""
    return _with_scalar(x, "maximum", y)


def structured_add(x: Any, y: Any) -> Any:
    """A scalar added to each stored element."""
    return _with_scalar(x, "add", y)


def _elementwise(name: str, doc: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return _structured(as_sparse_variable(x), name, ())

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} of each stored element."
    return function


structured_exp = _elementwise("exp", "The exponential")
structured_log = _elementwise("log", "The logarithm")
structured_sigmoid = _elementwise("sigmoid", "The logistic function")
structured_abs = abs_ = _elementwise("abs", "The absolute value")
arcsin = _elementwise("arcsin", "The inverse sine")
arcsinh = _elementwise("arcsinh", "The inverse hyperbolic sine")
arctan = _elementwise("arctan", "The inverse tangent")
arctanh = _elementwise("arctanh", "The inverse hyperbolic tangent")
ceil = _elementwise("ceil", "The least whole number not below")
conjugate = conj = structured_conjugate = _elementwise("conjugate", "The complex conjugate")
deg2rad = _elementwise("deg2rad", "Degrees as radians")
expm1 = _elementwise("expm1", "The exponential less 1")
floor = _elementwise("floor", "The greatest whole number not above")
log1p = _elementwise("log1p", "The logarithm of 1 plus it")
rad2deg = _elementwise("rad2deg", "Radians as degrees")
rint = _elementwise("rint", "The nearest whole number")
sgn = _elementwise("sgn", "The sign")
sin = _elementwise("sin", "The sine")
sinh = _elementwise("sinh", "The hyperbolic sine")
sqr = _elementwise("sqr", "The square")
sqrt = _elementwise("sqrt", "The square root")
tan = _elementwise("tan", "The tangent")
tanh = _elementwise("tanh", "The hyperbolic tangent")
trunc = _elementwise("trunc", "The whole part")
