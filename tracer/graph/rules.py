"""The small functions in which the derivative rules and composites of `tracer/ops` are written.

Like the rules themselves they work on arrays and on traced values alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tracer import device, errors
from tracer.graph.node import Node, constant
from tracer.graph.op import OPS, Op
from tracer.types import Shape


class Literal:
    """An array that a rule made itself: a constant of the graph, not something that the user's function captured."""

    __slots__ = ("__tracer_node__",)

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.__tracer_node__: Node = constant(array)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.__tracer_node__.dtype

    @property
    def shape(self) -> Shape:
        return self.__tracer_node__.shape


def recorder(*values: Any) -> Callable[..., Any] | None:
    """How to record an op, taken from the first traced value; None if no value is traced."""
    for value in values:
        record = getattr(value, "__tracer_apply__", None)
        if record is not None:
            return record
    return None


def is_traced(value: Any) -> bool:
    """Whether a value is traced."""
    return hasattr(value, "__tracer_apply__")


def apply_like(op: Op, like: Any, *inputs: Any, **params: Any) -> Any:
    """Record an op if `like` is traced, even if none of its inputs is; compute it otherwise."""
    record = getattr(like, "__tracer_apply__", None)
    if record is not None:
        return record(op, inputs, params)
    return op.evaluate(*inputs, **params)


def traced(node: Node, like: Any) -> Any:
    """A traced value of a node, of the kind that `like` is."""
    return type(like)(node)


def literal(array: Any, like: Any) -> Any:
    """An array as an input of an op: itself, or a constant of the graph if `like` is traced."""
    return Literal(array) if is_traced(like) else array


def lift(*values: Any) -> tuple[Any, ...]:
    """Make every array traced if one of the values is; Python numbers stay.

    What is then computed from a real array is part of the graph, so that a compiled function sees the array's later
    contents.
    """
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else (value,))]
    record = recorder(*flat)
    return tuple(_lifted(value, record) for value in values)


def lift_arrays(*values: Any) -> tuple[Any, ...]:
    """Like `lift`, with Python numbers as arrays too."""
    lifted = lift(*values)
    record = recorder(*lifted)
    arrays = []
    for value in lifted:
        if type(value) in (bool, int, float, complex):
            number = np.asarray(value)
            value = number if record is None else record(OPS["reshape"], (Literal(number),), {"shape": ()})
        elif hasattr(type(value), "__tracer_weak__") and record is not None:
            value = record(OPS["reshape"], (value,), {"shape": ()})
        arrays.append(value)
    return tuple(arrays)


def _lifted(value: Any, record: Callable[..., Any] | None) -> Any:
    if type(value) in (bool, int, float, complex) or is_traced(value):
        return value
    if isinstance(value, list | tuple) and recorder(*value) is not None:
        return np.stack(np.broadcast_arrays(*lift(*value)))
    if record is None:
        return np.asarray(value)
    if device.is_on_gpu(value):
        value = device.to_gpu(value)
        return record(OPS["reshape"], (value,), {"shape": value.shape})
    if isinstance(value, np.ndarray | Literal):
        return record(OPS["reshape"], (value,), {"shape": value.shape})
    array = np.asarray(value)
    return record(OPS["reshape"], (Literal(array),), {"shape": array.shape})


def known(value: Any) -> np.ndarray[Any, Any] | None:
    """The array of a value whose numbers are known while tracing, or None."""
    node = getattr(value, "__tracer_node__", None)
    if node is None:
        return np.asarray(value)
    return node.value if node.is_constant else None


def sum_to_shape(value: Any, shape: Shape) -> Any:
    """Sum over the axes along which `shape` was broadcast to give the value: the transpose of broadcasting."""
    if value.shape == shape:
        return value
    extra = len(value.shape) - len(shape)
    spread = tuple(axis + extra for axis, size in enumerate(shape) if size == 1 and value.shape[axis + extra] != 1)
    total = np.sum(value, axis=spread, keepdims=True) if spread else value
    return np.sum(total, axis=tuple(range(extra))) if extra else total


def grid_along(array: Any, places: Any, axis: int) -> tuple[Any, ...]:
    """Indices of the elements of an array at places along one axis, given for each of the other axes."""
    if places.ndim != array.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    if places.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    return tuple(
        places
        if place == axis
        else literal(np.arange(size).reshape((1,) * place + (-1,) + (1,) * (array.ndim - place - 1)), array)
        for place, size in enumerate(array.shape)
    )


def given(value: Any, default: Any) -> Any:
    """An optional argument, where NumPy passes its own mark for one that is missing."""
    return default if value is np._NoValue else value


def unsupported(function: str, argument: str, hint: str) -> NoReturn:
    """Raise UnsupportedFunctionError for an argument that has no traced form."""
    text = errors.message(errors.UNSUPPORTED_ARGUMENT, function=function, argument=argument, hint=hint)
    raise errors.UnsupportedFunctionError(text)


def static_int(value: Any, what: str) -> int:
    """An int argument that must be known while tracing. Raises ConcretizationError (from the value) if it is traced."""
    return int(value.__index__()) if hasattr(value, "__index__") else int(np.asarray(value).__index__())


def run_time_size(count: Any, what: str) -> int:
    """The number that a value holds at the call at hand, as a size; a compiled function has a program for each.

    Raises ConcretizationError, which says what it counts, where it has none, as in the body of a loop.
    """
    return int(count.__tracer_size__(what)) if is_traced(count) else int(count)


def static_ints(values: Any) -> tuple[int, ...]:
    """One int or several, known while tracing, as a tuple."""
    items: Sequence[Any] = values if isinstance(values, list | tuple) else np.atleast_1d(values).tolist()
    return tuple(int(item.__index__()) for item in items)
