"""Functions whose value is their argument, and which change the derivative through it."""

from __future__ import annotations

from typing import Any

from tracer.errors import message
from tracer.errors.gradient import NOT_ROWS
from tracer.ops.gradient_control import CLIP_GRADIENT, SCALE_GRADIENT, UNDEFINED_GRADIENT, ZERO_GRADIENT
from tracer.symbolic.gradient_flow import NullType
from tracer.tracing.recording import deferred


def _type_of_first(x: Any, *_: Any) -> Any:
    return x.type


@deferred(name="zero_grad", infer=_type_of_first)
def zero_grad(x: Any) -> Any:
    """A value through which the derivative is zero.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> theano.grad(x * zero_grad(x), x).eval({x: 3.0})
    array(3.)
    """
    return ZERO_GRADIENT(x)


@deferred(name="consider_constant", infer=_type_of_first)
def consider_constant(x: Any) -> Any:
    """A value that counts as constant in derivatives: they are zero through it."""
    return ZERO_GRADIENT(x)


@deferred(name="disconnected_grad", infer=_type_of_first, differentiable=False)
def disconnected_grad(x: Any) -> Any:
    """A value that derivatives do not see: what reaches a cost only through it is disconnected.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> theano.grad(x * disconnected_grad(x), x).eval({x: 3.0})
    array(3.)
    """
    return ZERO_GRADIENT(x)


@deferred(name="undefined_grad", infer=_type_of_first)
def undefined_grad(x: Any) -> Any:
    """A value through which no derivative can be taken: `grad` raises NullTypeGradError."""
    return UNDEFINED_GRADIENT(x)


def _undefined_pattern(node: Any) -> list[list[NullType]]:
    return [[NullType("it goes through undefined_grad")]]


undefined_grad.operation.connection_pattern = _undefined_pattern


@deferred(name="grad_clip", infer=_type_of_first)
def _clipped(x: Any, lower: float, upper: float) -> Any:
    return CLIP_GRADIENT(x, lower=lower, upper=upper)


def grad_clip(x: Any, lower_bound: float, upper_bound: float) -> Any:
    """A value whose gradient is clipped, element by element, on its way back.

    Raises
    ------
    ValueError
        If the lower bound is above the upper bound.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> theano.grad(grad_clip(x, -1, 1) ** 2, x).eval({x: 3.0})
    array(1.)
    """
    if lower_bound > upper_bound:
        raise ValueError(f"the lower bound {lower_bound} is above the upper bound {upper_bound}")
    return _clipped(x, lower_bound, upper_bound)


@deferred(name="grad_scale", infer=_type_of_first)
def _scaled(x: Any, factor: float) -> Any:
    return SCALE_GRADIENT(x, factor=factor)


def grad_scale(x: Any, multiplier: float) -> Any:
    """A value whose derivative is multiplied by a number: -1 reverses it.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> theano.grad(grad_scale(x, -1) ** 2, x).eval({x: 3.0})
    array(-6.)
    """
    return _scaled(x, multiplier)


def grad_undefined(op: Any, x_pos: int, x: Any, comment: str = "") -> Any:
    """What an op's own `grad` returns for an input with respect to which it has no derivative."""
    return NullType(f"{op} has no derivative with respect to its input {x_pos}. {comment}".strip())()


def grad_not_implemented(op: Any, x_pos: int, x: Any, comment: str = "") -> Any:
    """What an op's own `grad` returns for an input whose derivative nobody has written yet."""
    return NullType(f"the derivative of {op} with respect to its input {x_pos} is not written. {comment}".strip())()


def sparse_grad(var: Any) -> Any:
    """Rows of a matrix, x[indices], of which the gradient is to touch only the rows that were taken.

    All gradients of indexing do that here, so that this is the expression itself. To change only those rows in an
    update use `T.inc_subtensor(x[indices], -rate * gradient)` with the gradient with respect to x[indices].

    Raises
    ------
    TypeError
        If the expression is not such an index.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, rows = T.dmatrix("x"), T.lvector("rows")
    >>> theano.grad(sparse_grad(x[rows]).sum(), x).eval({x: [[1.0], [2.0], [3.0]], rows: [0, 2, 2]})
    array([[1.],
           [0.],
           [2.]])
    """
    node = var.owner
    if node is None or node.op.name != "Subtensor" or [item.ndim for item in node.inputs[1:]] != [1]:
        raise TypeError(message(NOT_ROWS, getattr(var, "line", None), value=var))
    return var
