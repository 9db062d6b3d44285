"""Symbolic tensors: typed variables and the functions that build expressions of them.

Examples
--------
>>> import tracer.tensor as T
>>> x = T.dmatrix("x")
>>> T.exp(x).sum(axis=0).type
TensorType(float64, vector)
"""

from tracer.gradient import Lop as Lop
from tracer.gradient import Rop as Rop
from tracer.gradient import consider_constant as consider_constant
from tracer.gradient import grad as grad
from tracer.gradient import hessian as hessian
from tracer.gradient import jacobian as jacobian
from tracer.gradient import numeric_grad as numeric_grad
from tracer.gradient import verify_grad as verify_grad
from tracer.symbolic import trial_values as trial_values
from tracer.tensor import elemwise as elemwise
from tracer.tensor import extra_ops as extra_ops
from tracer.tensor import fft as fft
from tracer.tensor import io as io
from tracer.tensor import methods as methods
from tracer.tensor import nlinalg as nlinalg
from tracer.tensor import nnet as nnet
from tracer.tensor import numpy_calls as numpy_calls
from tracer.tensor import raw_random as raw_random
from tracer.tensor import shared_randomstreams as shared_randomstreams
from tracer.tensor import signal as signal
from tracer.tensor import slinalg as slinalg
from tracer.tensor import subtensor as subtensor
from tracer.tensor import type as type
from tracer.tensor import xlogx as xlogx
from tracer.tensor.basic import *  # noqa: F403
from tracer.tensor.elemwise import CAReduce as CAReduce
from tracer.tensor.elemwise import DimShuffle as DimShuffle
from tracer.tensor.elemwise import Elemwise as Elemwise
from tracer.tensor.extra_ops import *  # noqa: F403
from tracer.tensor.io import *  # noqa: F403
from tracer.tensor.shared_randomstreams import RandomStreams as RandomStreams
from tracer.tensor.sort import *  # noqa: F403
from tracer.tensor.var import TensorVariable as TensorVariable

# isort: split
# The functions hide modules of the same names.
from tracer.tensor.reduction import var as var
from tracer.tensor.sort import sort as sort
