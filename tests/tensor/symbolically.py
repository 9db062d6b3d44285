"""Calls of door functions three ways: in a trace, in a symbolic program, and with the type that it was given."""

import numpy as np

import tracer
from tracer.symbolic.program import SymbolicProgram
from tracer.tracing.symbolic_type import TensorType


def variables(arrays, broadcastable=None):
    flags = broadcastable or [(False,) * np.ndim(array) for array in arrays]
    return [TensorType(np.asarray(array).dtype, flag)() for array, flag in zip(arrays, flags, strict=True)]


def run(function, *arrays, broadcastable=None):
    """Results of a function of arrays, a list; the trace and the program must agree, and the types must be right."""
    arrays = [np.asarray(array) for array in arrays]
    traced = tracer.compile(function)(*arrays)
    traced = list(traced) if isinstance(traced, tuple | list) else [traced]
    inputs = variables(arrays, broadcastable)
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    found = SymbolicProgram(inputs, outputs, {}, "test")(*arrays)
    assert len(found) == len(traced) == len(outputs)
    for variable, one, other in zip(outputs, found, traced, strict=True):
        assert variable.type.dtype == one.dtype, (variable.type, one.dtype)
        assert variable.ndim == one.ndim, (variable.type, one.shape)
        assert all(size == 1 for size, flag in zip(one.shape, variable.broadcastable, strict=True) if flag)
        np.testing.assert_array_equal(one, other)
    return found


def value(function, *arrays, **options):
    """As `run`, for one result."""
    (found,) = run(function, *arrays, **options)
    return found
