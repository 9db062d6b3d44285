"""The first rows of an array, where only a run tells how many: what a loop gives that decides itself when to stop."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import Node
from tracer.tracing import dispatch, trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.replay import static


class FirstRows(Proxy):
    """The first `count` rows of `whole`, whose other rows are zero.

    A single row is read by its traced number, sums do not depend on where the rows end, and results of a program are
    cut after the run. Everything else needs the shape: it makes the count static.

    Attributes
    ----------
    whole, count : traced value
    """

    __slots__ = ("_own_node", "count", "whole")

    def __init__(self, whole: Any, count: Any) -> None:
        self._own_node: Node | None = None
        super().__init__(whole.__tracer_node__, trace.current())
        self._own_node = None
        self.whole, self.count = whole, count

    @property
    def _node(self) -> Node:
        if self._own_node is None:
            if trace.known_value(self.count.__tracer_node__) is None:
                raise errors.ConcretizationError(errors.message(errors.SCAN_ROWS))
            rows: Any = self.whole[: int(static(self.count))]
            self._own_node = rows.__tracer_node__
        return self._own_node

    @_node.setter
    def _node(self, node: Node) -> None:
        self._own_node = node

    @property
    def is_cut(self) -> bool:
        """Whether the number of rows has become static."""
        return self._own_node is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        found: np.dtype[Any] = self.whole.dtype
        return found

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.whole.shape)

    def __getitem__(self, key: Any) -> Any:
        first, *others = key if isinstance(key, tuple) else (key,)
        if self.is_cut or isinstance(first, bool) or not isinstance(first, int | np.integer):
            return super().__getitem__(key)
        row = first if first >= 0 else self.count + int(first)
        # A row that is not there is out of bounds of the whole too: no wrapping around, no row of zeros.
        found = self.whole[np.where((row >= 0) & (row < self.count), row, self.whole.shape[0])]
        return found[tuple(others)] if others else found

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.sum, np.mean) and not self.is_cut and args[0] is self:
            axis = kwargs.get("axis", args[1] if len(args) > 1 else None)
            if axis is None or 0 in np.atleast_1d(axis):
                reduced = dispatch.call_function(function, (self.whole, *args[1:]), kwargs)
                return reduced if function is np.sum else self._without_missing(reduced)
        return super().__array_function__(function, types, args, kwargs)

    def _without_missing(self, average: Any) -> Any:
        """An average over the rows that are there, from one over all."""
        return average * (self.whole.shape[0] / self.count).astype(average.dtype)
