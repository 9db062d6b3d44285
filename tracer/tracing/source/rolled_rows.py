"""What a rolled loop has appended to a list: rows of one array, each of which is read only if it is asked for."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.tracing import trace
from tracer.tracing.control import scan
from tracer.tracing.proxy import Proxy, wrap

_LONGEST_STACK = 1 << 11
"""Values that are put together one by one."""


class Row(Proxy):
    """A row of a traced value.

    Attributes
    ----------
    whole : Node
    number : int
    """

    __slots__ = ("_own_node", "number", "whole")

    def __init__(self, whole: Node, number: int, owner: trace.Trace | None) -> None:
        self._own_node: Node | None = None
        self.whole, self.number = whole, number
        self._trace = owner
        self._base = self._base_node = self._path = self._is_array = self._strides = None

    @property
    def _node(self) -> Node:
        if self._own_node is None:
            row: Any = wrap(self.whole)[self.number]
            self._own_node = row.__tracer_node__
        return self._own_node

    @_node.setter
    def _node(self, node: Node) -> None:
        self._own_node = node
        self.number = -1

    def is_after(self, other: Any) -> bool:
        """Whether this is the row below another one, as the loop has left both."""
        return type(other) is Row and self.whole is other.whole and self.number == other.number + 1 > 0


def has_rows(value: Any) -> bool:
    """Whether a value is a list with rows of a loop in it."""
    return type(value) in (list, tuple) and len(value) > 1 and any(type(item) is Row for item in value)


def copied(values: Sequence[Any]) -> int:
    """How many elements `stacked_rows` would have to copy: none of what a loop has left together."""
    return sum(int(np.size(value)) for value in values if type(value) is not Row)


def stacked_rows(values: Sequence[Any]) -> Any:
    """A list of arrays as one array, rows that stand together as what they are rows of; None if that is not one."""
    parts: list[Any] = []
    start = 0
    while start < len(values):
        first = values[start]
        stop = start + 1
        if type(first) is Row and first.number >= 0:
            while stop < len(values) and type(values[stop]) is Row and values[stop].is_after(values[stop - 1]):
                stop += 1
            rows: Any = wrap(first.whole, trace.current())
            parts.append(rows[first.number : first.number + stop - start])
        else:
            if isinstance(first, Proxy | np.ndarray | np.generic | int | float):
                parts.append(np.expand_dims(first, 0))
            else:
                return None
        start = stop
    if not 0 < len(parts) <= _LONGEST_STACK or len({np.shape(part)[1:] for part in parts}) > 1:
        return None
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _summed(values: Sequence[Any], start: Any) -> Any:
    """Python's `sum`: one after the other, the rows of a loop in a loop."""
    total, place = start, 0
    while place < len(values):
        stop = place + 1
        total = total + values[place]
        while stop < len(values) and type(values[stop]) is Row and values[stop].is_after(values[stop - 1]):
            stop += 1
        rows = stacked_rows(values[place + 1 : stop])
        if (
            rows is not None
            and isinstance(total, Proxy)
            and total.shape == rows.shape[1:]
            and (total.dtype == np.result_type(total.dtype, rows.dtype))
        ):
            total = scan(lambda row, own: ((), (own + row,), ()), [rows], carries=[total]).carries[0]
        else:
            for item in values[place + 1 : stop]:
                total = total + item
        place = stop
    return total


def compact(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call of a NumPy function with the rows of a loop as one array; NotImplemented where that is another call."""
    if function is builtins.sum and not kwargs:
        return _summed(args[0], args[1] if len(args) > 1 else 0)
    stack = stacked_rows(args[0])
    if stack is None:
        return NotImplemented
    if function is np.stack and (len(args) == 1 or type(args[1]) is int) and kwargs.keys() <= {"axis"}:
        axis = args[1] if len(args) > 1 else kwargs.get("axis", 0)
        return np.moveaxis(stack, 0, axis) if axis else np.copy(stack)
    if function in (np.array, np.asarray) and len(args) == 1 and not kwargs:
        return np.copy(stack)
    if function is np.concatenate and len(args) == 1 and not kwargs and stack.ndim > 1:
        return np.reshape(np.copy(stack), (-1, *stack.shape[2:]))
    if function is np.vstack and len(args) == 1 and not kwargs and stack.ndim <= 2:
        return np.copy(stack) if stack.ndim == 2 else np.reshape(np.copy(stack), (-1, 1))
    if function in (np.sum, np.mean, np.max, np.min, np.prod, np.cumsum, np.std, np.var):
        return function(stack, *args[1:], **kwargs)
    return NotImplemented
