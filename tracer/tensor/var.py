"""The classes of symbolic tensors, under the name of Theano's module."""

from tracer.tensor.types import TensorConstant, TensorSharedVariable, TensorVariable
from tracer.tensor.variables import AsTensorError

__all__ = ["AsTensorError", "TensorConstant", "TensorSharedVariable", "TensorVariable"]
