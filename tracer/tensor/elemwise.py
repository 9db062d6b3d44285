"""Theano's classes of operations that are called with their options first: `DimShuffle([False], ["x", 0])(v)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.tensor import reduction
from tracer.tensor.op_classes import OpClass
from tracer.tensor.shaping import dimshuffle
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import Operation, operation_of

__all__ = ["All", "CAReduce", "DimShuffle", "Elemwise", "MaxAndArgmax", "Prod", "Sum"]


class _IsElemwise(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return type.__instancecheck__(cls, instance) or (
            isinstance(instance, Operation) and isinstance(instance.function, np.ufunc)
        )


class Elemwise(metaclass=_IsElemwise):
    """A NumPy ufunc as an operation; `isinstance(x.owner.op, Elemwise)` tells whether a call is one of a ufunc.

    Examples
    --------
    >>> from tracer.tensor.types import dvector
    >>> x = dvector("x")
    >>> isinstance((x * 2).owner.op, Elemwise), isinstance(x[0].owner.op, Elemwise)
    (True, False)
    >>> Elemwise(np.hypot)(x, 3.0).type
    TensorType(float64, vector)
    """

    def __init__(self, scalar_op: np.ufunc) -> None:
        self.scalar_op = scalar_op

    def __call__(self, *inputs: Any) -> Any:
        """Apply the function element by element."""
        return operation_of(self.scalar_op)(*map(as_tensor_variable, inputs))


class DimShuffle:
    """A function that reorders, drops and adds dimensions.

    Parameters
    ----------
    input_broadcastable : sequence of bool
        Which dimensions of its argument broadcast.
    new_order : sequence of int and "x"
        As for `dimshuffle`.

    Examples
    --------
    >>> from tracer.tensor.types import dmatrix
    >>> DimShuffle((False, False), [1, "x", 0])(dmatrix("x")).broadcastable
    (False, True, False)
    """

    def __init__(self, input_broadcastable: Sequence[bool], new_order: Sequence[Any], inplace: bool = True) -> None:
        self.input_broadcastable, self.new_order = tuple(input_broadcastable), tuple(new_order)

    def __call__(self, x: Any) -> Any:
        """The tensor with its dimensions in the new order. Raises TypeError if it is of another type."""
        x = as_tensor_variable(x)
        if x.broadcastable != self.input_broadcastable:
            raise TypeError(message(messages.DIMSHUFFLE_INPUT, type=x.type, pattern=self.input_broadcastable))
        return dimshuffle(x, self.new_order)


Sum = OpClass(reduction.sum, "axis", "dtype", "acc_dtype")
Prod = OpClass(reduction.prod, "axis", "dtype", "acc_dtype", "no_zeros_in_input")
All = OpClass(reduction.all, "axis")
MaxAndArgmax = OpClass(reduction.max_and_argmax, "axis")

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "add": reduction.sum,
    "mul": reduction.prod,
    "maximum": reduction.max,
    "minimum": reduction.min,
    "and_": reduction.all,
    "or_": reduction.any,
}


class CAReduce:
    """A reduction by a function of two numbers, along axes.

    Parameters
    ----------
    scalar_op : callable
        `add`, `mul`, `maximum`, `minimum`, `and_` or `or_` of this package.
    axis : int, sequence of int, or None

    Examples
    --------
    >>> from tracer.tensor.elementwise import maximum
    >>> from tracer.tensor.types import dmatrix
    >>> CAReduce(maximum, axis=0)(dmatrix("x")).type
    TensorType(float64, vector)
    """

    def __init__(self, scalar_op: Callable[..., Any], axis: Any = None) -> None:
        if scalar_op.__name__ not in _REDUCTIONS:
            raise ValueError(message(messages.REDUCTION_OP, op=scalar_op.__name__, known=", ".join(_REDUCTIONS)))
        self.scalar_op, self.axis = scalar_op, axis

    def __call__(self, x: Any) -> Any:
        """The reduced tensor."""
        return _REDUCTIONS[self.scalar_op.__name__](x, axis=self.axis)
