"""NumPy's functions on symbolic variables, where running them on made-up sizes would not tell the type of the result.

Importing the module declares the types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.tensor.indexing import nonzero_call, nonzero_types
from tracer.tensor.joining import joined_pattern
from tracer.tensor.shaping import repeated_type, reshaped_type, tiled_type
from tracer.tensor.variables import as_tensor_variable, operand_dtype, shape_pattern
from tracer.tracing.recording import deferred, operation_of, record_as
from tracer.tracing.symbolic_type import TensorType, tensor_type


def _split_types(ary: Any, indices_or_sections: Any, axis: int = 0) -> tuple[TensorType, ...]:
    data = getattr(indices_or_sections, "data", indices_or_sections)
    count = int(data) if np.ndim(data) == 0 else len(data) + 1
    pattern = list(ary.broadcastable)
    pattern[axis] = False
    return (tensor_type(ary.type.numpy_dtype, tuple(pattern)),) * count


def _stacked_type(arrays: Sequence[Any], axis: int = 0, **_: Any) -> TensorType:
    dtype, pattern = joined_pattern(arrays)
    pattern.insert(axis if axis >= 0 else axis + len(pattern) + 1, len(arrays) == 1)
    return tensor_type(dtype, tuple(pattern))


operation_of(np.reshape).infer = lambda a, shape, order="C", *, copy=None: reshaped_type(a, shape)
operation_of(np.broadcast_to).infer = lambda array, shape, subok=False: tensor_type(
    array.type.numpy_dtype, shape_pattern(shape)
)
operation_of(np.tile).infer = lambda A, reps: tiled_type(A, reps if isinstance(reps, tuple | list) else (reps,))
operation_of(np.repeat).infer = repeated_type
operation_of(np.split).infer = operation_of(np.array_split).infer = _split_types
operation_of(np.stack).infer = _stacked_type


def _where_type(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero_types(condition)
    parts = [as_tensor_variable(item) for item in (condition, x, y)]
    ndim = max(item.ndim for item in parts)
    padded = [(True,) * (ndim - item.ndim) + item.broadcastable for item in parts]
    dtype = np.result_type(*map(operand_dtype, parts[1:]))
    return tensor_type(dtype, tuple(all(flags) for flags in zip(*padded, strict=True)))


@deferred(name="Switch", infer=_where_type)
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return nonzero_call(condition) if x is None and y is None else np.where(condition, x, y)


record_as(np.where, _where.operation)
operation_of(np.where).first_operand = 1
operation_of(np.clip).first_operand = 0
record_as(np.nonzero, nonzero_call.operation)


@deferred(name="FlatNonzero", infer=lambda a: tensor_type(np.dtype(np.int64), (False,)), differentiable=False)
def _flatnonzero(a: Any) -> Any:
    return nonzero_call(np.reshape(a, -1))[0]


@deferred(name="ArgWhere", infer=lambda a: tensor_type(np.dtype(np.int64), (False, False)), differentiable=False)
def _argwhere(a: Any) -> Any:
    return np.stack(nonzero_call(a), axis=1)


record_as(np.flatnonzero, _flatnonzero.operation)
record_as(np.argwhere, _argwhere.operation)
