"""The operators, methods and properties of sparse variables; importing this module declares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.sparse import arithmetic, conversion, products, selection, structured
from tracer.sparse.types import SparseVariable
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import tensor_type


@deferred(name="Shape", infer=lambda x: tensor_type(np.dtype(np.int64), (False,)), differentiable=False)
def shape(x: Any) -> Any:
    """The shape of a sparse matrix, as a vector of int64."""
    return np.array(x.shape, np.int64)


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: function(other, self)


SparseVariable.functions.update(
    {
        np.add: arithmetic.add,
        np.subtract: arithmetic.sub,
        np.multiply: arithmetic.mul,
        np.true_divide: arithmetic.true_div,
        np.negative: arithmetic.neg,
        np.matmul: products.dot,
        np.dot: products.dot,
        np.less: arithmetic.lt,
        np.greater: arithmetic.gt,
        np.less_equal: arithmetic.le,
        np.greater_equal: arithmetic.ge,
        np.sum: selection.sp_sum,
        np.transpose: conversion.transpose,
    }
)
_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.true_div,
    "matmul": products.dot,
    "dot": products.structured_dot,
}
for _name, _function in _OPERATORS.items():
    setattr(SparseVariable, f"__{_name}__", lambda self, other, function=_function: function(self, other))
    setattr(SparseVariable, f"__r{_name}__", _reflected(_function))
for _name in ("lt", "gt", "le", "ge"):
    setattr(SparseVariable, f"__{_name}__", getattr(arithmetic, _name))
_METHODS: dict[str, Any] = {
    "__neg__": arithmetic.neg,
    "__abs__": structured.structured_abs,
    "__getitem__": selection.getitem,
    "T": property(conversion.transpose),
    "shape": property(lambda self: shape(self)),
    "size": property(lambda self: conversion.csm_data(self).shape[0]),
    "astype": conversion.cast,
    "transpose": conversion.transpose,
    "toarray": conversion.dense_from_sparse,
    "tocsr": lambda self: conversion.as_format(self, "csr"),
    "tocsc": lambda self: conversion.as_format(self, "csc"),
    "zeros_like": conversion.sp_zeros_like,
    "ones_like": conversion.sp_ones_like,
    "dot": products.dot,
    "sum": selection.sp_sum,
    "diagonal": selection.diag,
}
for _name, _function in _METHODS.items():
    setattr(SparseVariable, _name, _function)
