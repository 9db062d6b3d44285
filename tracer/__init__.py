"""Tracing-based automatic differentiation and compilation for NumPy arrays.

Decorate a plain NumPy function with `tracer.compile`: it runs once on proxies that record a graph, the graph is
differentiated, rewritten and fused, and from then on the function runs in native kernels.

Programs written for Theano find its names here too: `import tracer as theano, tracer.tensor as T`.
"""

from typing import TYPE_CHECKING

from tracer.collecting import without_collector as _without_collector

with _without_collector():  # a collection in the middle would take as long as a good part of all this
    from tracer import errors as errors
    from tracer import theano_paths as theano_paths
    from tracer.api import compile as compile
    from tracer.api import debugprint as debugprint
    from tracer.api import draw as draw
    from tracer.api import grad as grad
    from tracer.api import pp as pp
    from tracer.config import change_flags as change_flags
    from tracer.config import config as config
    from tracer.derivatives.reverse import value_and_grad as value_and_grad
    from tracer.tracing.shared import Shared as Shared
    from tracer.tracing.shared import shared as shared

__version__ = "0.1.0"
version = __version__
__all__ = [
    "Shared",
    "change_flags",
    "compile",
    "config",
    "debugprint",
    "draw",
    "errors",
    "grad",
    "pp",
    "shared",
    "value_and_grad",
    *(name for name in theano_paths.NAMES if not name.startswith("_")),
]
theano_paths.install(globals())

if TYPE_CHECKING:  # what the table of lazily imported names says, for type checkers
    from tracer import gradient as gradient
    from tracer import ifelse as ifelse
    from tracer import optim as optim
    from tracer import printing as printing
    from tracer import random as random
    from tracer import sandbox as sandbox
    from tracer import scan_module as scan_module
    from tracer import sparse as sparse
    from tracer import tensor as tensor
    from tracer import testing as testing
    from tracer import typed_list as typed_list
    from tracer import updates as updates
    from tracer.batching import vmap as vmap
    from tracer.checkpointing import checkpoint as checkpoint
    from tracer.control_flow import associative_scan as associative_scan
    from tracer.control_flow import cond as cond
    from tracer.control_flow import fori_loop as fori_loop
    from tracer.control_flow import map as map
    from tracer.control_flow import scan as scan
    from tracer.control_flow import switch as switch
    from tracer.control_flow import while_loop as while_loop
    from tracer.custom_derivatives import custom_jvp as custom_jvp
    from tracer.custom_derivatives import custom_vjp as custom_vjp
    from tracer.custom_derivatives import stop_gradient as stop_gradient
    from tracer.custom_ops import custom_op as custom_op
    from tracer.custom_ops import pure_callback as pure_callback
    from tracer.derivatives.forward import jvp as jvp
    from tracer.derivatives.jacobians import hessian as hessian
    from tracer.derivatives.jacobians import hvp as hvp
    from tracer.derivatives.jacobians import jacfwd as jacfwd
    from tracer.derivatives.jacobians import jacobian as jacobian
    from tracer.derivatives.jacobians import jacrev as jacrev
    from tracer.derivatives.linear import linear_transpose as linear_transpose
    from tracer.derivatives.linear import linearize as linearize
    from tracer.derivatives.linear import vjp as vjp
    from tracer.derivatives.reverse import elementwise_grad as elementwise_grad
    from tracer.doctor import doctor as doctor
    from tracer.function import function as function
    from tracer.gradient import Lop as Lop
    from tracer.gradient import Rop as Rop
    from tracer.gradient import sparse_grad as sparse_grad
    from tracer.gradient import subgraph_grad as subgraph_grad
    from tracer.implicit import custom_root as custom_root
    from tracer.implicit import fixed_point as fixed_point
    from tracer.printing import pprint as pprint
    from tracer.scan_module.scan_checkpoints import scan_checkpoints as scan_checkpoints
    from tracer.scan_module.scan_views import foldl as foldl
    from tracer.scan_module.scan_views import foldr as foldr
    from tracer.scan_module.scan_views import reduce as reduce
    from tracer.sparse_derivatives import jacobian_sparsity as jacobian_sparsity
    from tracer.sparse_derivatives import sparse_hessian as sparse_hessian
    from tracer.sparse_derivatives import sparse_jacobian as sparse_jacobian
    from tracer.symbolic.custom_op import Op as Op
    from tracer.symbolic.function import Function as Function
    from tracer.symbolic.function import FunctionGraph as FunctionGraph
    from tracer.symbolic.function import FunctionMaker as FunctionMaker
    from tracer.symbolic.graph import clone as clone
    from tracer.symbolic.graph import clone_replace as clone_replace
    from tracer.symbolic.graph import graph_replace as graph_replace
    from tracer.symbolic.graph import map_variables as map_variables
    from tracer.symbolic.inputs import Container as Container
    from tracer.symbolic.inputs import In as In
    from tracer.symbolic.inputs import MissingInputError as MissingInputError
    from tracer.symbolic.inputs import Out as Out
    from tracer.symbolic.inputs import Param as Param
    from tracer.symbolic.inputs import SymbolicInput as SymbolicInput
    from tracer.symbolic.inputs import SymbolicOutput as SymbolicOutput
    from tracer.symbolic.inputs import UnusedInputError as UnusedInputError
    from tracer.symbolic.mode import Mode as Mode
    from tracer.symbolic.modes import FAST_COMPILE as FAST_COMPILE
    from tracer.symbolic.modes import FAST_RUN as FAST_RUN
    from tracer.symbolic.modes import predefined_modes as predefined_modes
    from tracer.symbolic.op_from_graph import OpFromGraph as OpFromGraph
    from tracer.symbolic.pickling import function_dump as function_dump
    from tracer.symbolic.profiling import ProfileStats as ProfileStats
    from tracer.symbolic.safe_asarray import _asarray as _asarray
    from tracer.tensor import dot as dot
    from tracer.tensor.variables import get_scalar_constant_value as get_scalar_constant_value
    from tracer.tracing.recording import Apply as Apply
    from tracer.tracing.symbolic import Constant as Constant
    from tracer.tracing.symbolic import Variable as Variable
    from tracer.tracing.symbolic_type import TensorType as TensorType
    from tracer.tracing.symbolic_type import Type as Type
    from tracer.updates import OrderedUpdates as OrderedUpdates
