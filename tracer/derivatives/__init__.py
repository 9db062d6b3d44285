"""Derivatives as users ask for them: of functions, and of values inside a trace."""

from tracer.derivatives.forward import jvp as jvp
from tracer.derivatives.functions import Transform as Transform
from tracer.derivatives.functions import Variables as Variables
from tracer.derivatives.functions import remembered as remembered
from tracer.derivatives.jacobians import hessian as hessian
from tracer.derivatives.jacobians import hvp as hvp
from tracer.derivatives.jacobians import jacfwd as jacfwd
from tracer.derivatives.jacobians import jacobian as jacobian
from tracer.derivatives.jacobians import jacrev as jacrev
from tracer.derivatives.linear import linear_transpose as linear_transpose
from tracer.derivatives.linear import linearize as linearize
from tracer.derivatives.linear import vjp as vjp
from tracer.derivatives.reverse import check_cost as check_cost
from tracer.derivatives.reverse import elementwise_grad as elementwise_grad
from tracer.derivatives.reverse import grad_of_function as grad_of_function
from tracer.derivatives.reverse import value_and_grad as value_and_grad
from tracer.derivatives.values import grad_of_value as grad_of_value
