"""Symbolic derivatives, what modifies them, and what checks them."""

from tracer.errors import DisconnectedInputError, NullTypeGradError
from tracer.symbolic.gradient import (
    Lop,
    Rop,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    subgraph_grad,
)
from tracer.symbolic.gradient_checks import GradientError, mode_not_slow, numeric_grad, verify_grad
from tracer.symbolic.gradient_flow import DisconnectedType, NullType
from tracer.symbolic.gradient_modifiers import (
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_not_implemented,
    grad_scale,
    grad_undefined,
    sparse_grad,
    undefined_grad,
    zero_grad,
)

__all__ = [
    "DisconnectedInputError",
    "DisconnectedType",
    "GradientError",
    "Lop",
    "NullType",
    "NullTypeGradError",
    "Rop",
    "consider_constant",
    "disconnected_grad",
    "grad",
    "grad_clip",
    "grad_not_implemented",
    "grad_scale",
    "grad_undefined",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "mode_not_slow",
    "numeric_grad",
    "sparse_grad",
    "subgraph_grad",
    "undefined_grad",
    "verify_grad",
    "zero_grad",
]
