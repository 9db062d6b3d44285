"""Indexing, and tensors with some elements changed, under the name of Theano's module."""

from tracer.tensor.assignment import inc_subtensor, set_subtensor
from tracer.tensor.indexing import positions_where, take

__all__ = ["inc_subtensor", "positions_where", "set_subtensor", "take"]
