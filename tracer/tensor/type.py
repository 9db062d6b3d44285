"""The types of symbolic tensors, under the name of Theano's module."""

from tracer.tensor.types import *  # noqa: F403
