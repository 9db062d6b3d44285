"""Tracing-based automatic differentiation and compilation for NumPy arrays.

Decorate a plain NumPy function with `tracer.compile`: it runs once on proxies that record a graph, the graph is
differentiated, rewritten and fused, and from then on the function runs in native kernels.
"""

from tracer import errors as errors
from tracer import optim as optim
from tracer import testing as testing
from tracer.api import compile as compile
from tracer.api import debugprint as debugprint
from tracer.api import draw as draw
from tracer.api import grad as grad
from tracer.api import pp as pp
from tracer.config import config as config
from tracer.derivatives import jvp as jvp
from tracer.derivatives import value_and_grad as value_and_grad
from tracer.tracing.shared import Shared as Shared
from tracer.tracing.shared import shared as shared

__version__ = "0.1.0"
__all__ = [
    "Shared",
    "compile",
    "config",
    "debugprint",
    "draw",
    "errors",
    "grad",
    "jvp",
    "optim",
    "pp",
    "shared",
    "testing",
    "value_and_grad",
]
