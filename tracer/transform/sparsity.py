"""Which elements of the outputs of a graph depend on which elements of its sources, found op by op.

A dependence is a boolean matrix of scipy.sparse: one row for each element of a node, one column for each element of
all sources. It says what may depend, whatever the values are; only integers that select elements are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from tracer.graph.graph import toposort
from tracer.graph.node import ITEM, Node
from tracer.types import is_inexact

Pattern = Any
"""A csr_array of bools."""
Known = Callable[[Node], "np.ndarray[Any, Any] | None"]
"""The array of a node that does not depend on the sources; None for one that does."""


def dependence(outputs: Sequence[Node], sources: Sequence[Node], known: Known) -> list[Pattern]:
    """For each output the dependence of its elements on those of all sources, one after the other."""
    return _Walk(sources, known).run(outputs)


def _indices(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.arange(math.prod(shape), dtype=np.int64).reshape(tuple(shape))


class _Walk:
    """One walk over a graph.

    Attributes
    ----------
    found : dict
        The dependence of each node; those that nobody needs any more are dropped.
    of_items : dict
        Those of the outputs of a node with several.
    """

    def __init__(self, sources: Sequence[Node], known: Known) -> None:
        self.sources, self.known = sources, known
        self.columns = sum(node.type.size for node in sources)
        self.found: dict[Node, Pattern] = {}
        self.of_items: dict[Node, Pattern] = {}
        self.families: dict[str, Callable[[Node], Pattern]] = {
            "elementwise": self.elementwise,
            "view": self.view,
            "gather": self.gather,
            "scatter": self.scatter,
            "reduction": self.reduction,
            "assemble": self.assemble,
            "matmul": self.matmul,
            "cumulative": self.cumulative,
        }

    def run(self, outputs: Sequence[Node]) -> list[Pattern]:
        start = 0
        for node in self.sources:
            rows = np.arange(node.type.size)
            self.found[node] = self.matrix(rows, rows + start, node.type.size, self.columns)
            start += node.type.size
        order = toposort(outputs, set(self.sources))
        last = {item: place for place, node in enumerate(order) for item in node.inputs}
        kept = {*outputs, *self.sources}
        for place, node in enumerate(order):
            if node in self.found or not any(item in self.found or item in self.of_items for item in node.inputs):
                continue
            self.visit(node)
            for item in node.inputs:
                if last[item] == place and item not in kept:
                    self.found.pop(item, None)
        return [self.found.get(node, self.empty(node)) for node in outputs]

    def visit(self, node: Node) -> None:
        """Find the dependence of one node."""
        if node.op is ITEM:
            row = self.of_items[node.inputs[0]]
            if is_inexact(node.dtype):
                self.found[node] = self.spread(row, node)
        elif node.has_items:
            self.of_items[node] = self.anything(node)
        elif is_inexact(node.dtype) and not node.op.zero_derivative:
            family = "elementwise" if node.op.dtypes is not None and node.op.deriv else node.op.family
            rule = self.families.get(family)
            self.found[node] = self.spread(self.anything(node), node) if rule is None else rule(node)

    # --- matrices ---

    def matrix(self, rows: Any, columns: Any, height: int, width: int) -> Pattern:
        """True at these places."""
        return sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(height, width))

    def empty(self, node: Node) -> Pattern:
        return sparse.csr_array((node.type.size, self.columns), dtype=bool)

    def taken(self, node: Node, places: np.ndarray[Any, Any]) -> Pattern:
        """The rows of a node's dependence at places of it."""
        pattern = self.found[node]
        flat = places.ravel()
        if len(flat) == pattern.shape[0] and np.array_equal(flat, np.arange(len(flat))):
            return pattern
        return pattern[flat]

    def added(self, total: Pattern | None, more: Pattern) -> Pattern:
        return more if total is None else total + more

    def anything(self, node: Node) -> Pattern:
        """One row: all that any element of the inputs depends on."""
        columns = np.zeros(self.columns, bool)
        for item in node.inputs:
            if item in self.of_items:
                columns[self.of_items[item].indices] = True
            elif item in self.found:
                columns[self.found[item].indices] = True
        places = np.flatnonzero(columns)
        return self.matrix(np.zeros(len(places), np.int64), places, 1, self.columns)

    def spread(self, row: Pattern, node: Node) -> Pattern:
        """The same row for every element of a node."""
        return row[np.zeros(node.type.size, np.int64)]

    # --- families ---

    def elementwise(self, node: Node) -> Pattern:
        total: Pattern | None = None
        shape = node.type.known_shape
        for position, item in enumerate(node.inputs):
            if item not in self.found or (node.op.deriv and node.op.deriv[position] is None):
                continue
            own = self.taken(item, np.broadcast_to(_indices(item.type.known_shape), shape))
            if node.op.name == "where":
                own = self.chosen(node, position, own)
            total = self.added(total, own)
        return self.empty(node) if total is None else total

    def chosen(self, node: Node, position: int, pattern: Pattern) -> Pattern:
        """Of what one side of a `where` depends on, what is taken from it if the condition is known."""
        condition = self.known(node.inputs[0])
        if condition is None:
            return pattern
        taken = np.broadcast_to(condition if position == 1 else ~condition, node.type.known_shape)
        return self.kept(pattern, taken.ravel())

    def kept(self, pattern: Pattern, rows: np.ndarray[Any, Any]) -> Pattern:
        """The pattern with some of its rows emptied."""
        places = np.flatnonzero(rows)
        return self.matrix(places, places, len(rows), len(rows)) @ pattern

    def view(self, node: Node) -> Pattern:
        item = node.inputs[0]
        return self.taken(item, np.asarray(node.op.evaluate(_indices(item.type.known_shape), **node.params)))

    def gather(self, node: Node) -> Pattern:
        source, *indices = node.inputs
        values = [self.known(item) for item in indices]
        if source not in self.found or any(value is None for value in values):
            return self.spread(self.anything(node), node)
        return self.taken(source, _indices(source.type.known_shape)[tuple(values)])

    def scatter(self, node: Node) -> Pattern:
        base, written, *indices = node.inputs
        values = [self.known(item) for item in indices]
        if any(value is None for value in values):
            return self.spread(self.anything(node), node)
        places = _indices(base.type.known_shape)[tuple(values)]
        total = self.found.get(base)
        if total is not None and node.op.kernel == "set":
            rows = np.ones(base.type.size, bool)
            rows[places.ravel()] = False
            total = self.kept(total, rows)
        if written in self.found:
            taken = np.broadcast_to(_indices(written.type.known_shape), places.shape).ravel()
            size = node.type.size
            moved = self.matrix(places.ravel(), taken, size, written.type.size) @ self.found[written]
            total = self.added(total, moved)
        return self.empty(node) if total is None else total

    def reduction(self, node: Node) -> Pattern:
        item = node.inputs[0]
        shape, axes = item.type.known_shape, node.params["axes"]
        return self.reduced(self.found[item], shape, axes)

    def reduced(self, pattern: Pattern, shape: tuple[int, ...], axes: Sequence[int]) -> Pattern:
        """All that the elements along axes depend on together."""
        left = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        rows = np.broadcast_to(_indices(left), shape).ravel()
        return self.matrix(rows, np.arange(len(rows)), math.prod(left), len(rows)) @ pattern

    def assemble(self, node: Node) -> Pattern:
        assert node.op.regions is not None
        fill, regions = node.op.regions([item.type for item in node.inputs], **node.params)
        total = self.found.get(node.inputs[fill[1]]) if isinstance(fill, tuple) else None
        places = _indices(node.type.known_shape)
        for position, index, accumulate in regions:
            item = node.inputs[position]
            rows = places[np.ix_(*(start + step * np.arange(size) for start, size, step in index))].ravel()
            if total is not None and not accumulate:
                free = np.ones(node.type.size, bool)
                free[rows] = False
                total = self.kept(total, free)
            if item in self.found:
                size = node.type.size
                moved = self.matrix(rows, np.arange(len(rows)), size, item.type.size) @ self.found[item]
                total = self.added(total, moved)
        return self.empty(node) if total is None else total

    def matmul(self, node: Node) -> Pattern:
        a, b = node.inputs
        total: Pattern | None = None
        for item, other, is_left in ((a, b, True), (b, a, False)):
            if item not in self.found:
                continue
            matrix = self.known(other) if other.type.ndim == item.type.ndim == 2 else None
            own = self.product(node, item, is_left) if matrix is None else self.times(item, matrix != 0, is_left)
            total = self.added(total, own)
        return self.empty(node) if total is None else total

    def times(self, item: Node, places: np.ndarray[Any, Any], is_left: bool) -> Pattern:
        """A product with a matrix whose zeros are known."""
        rows, columns = item.type.known_shape
        other = sparse.csr_array(places)
        pairs = (
            (sparse.eye_array(rows, dtype=bool), other.T) if is_left else (other, sparse.eye_array(columns, dtype=bool))
        )
        return sparse.kron(*pairs, format="csr").astype(bool) @ self.found[item]

    def product(self, node: Node, item: Node, is_left: bool) -> Pattern:
        """A product with any matrix: every row, or column, of the result depends on all of that of the factor."""
        shape = item.type.known_shape
        axis = len(shape) - 1 if is_left else len(shape) - 2
        lines = self.reduced(self.found[item], shape, (axis,))
        left = tuple(1 if place == axis else size for place, size in enumerate(shape))
        return lines[np.broadcast_to(_indices(left), node.type.known_shape).ravel()]

    def cumulative(self, node: Node) -> Pattern:
        item, axis = node.inputs[0], node.params["axis"]
        shape = item.type.known_shape
        lines = np.moveaxis(_indices(shape), axis, -1)
        later, earlier = np.tril_indices(shape[axis])
        rows, columns = lines[..., later].ravel(), lines[..., earlier].ravel()
        return self.matrix(rows, columns, item.type.size, item.type.size) @ self.found[item]


# --- colours -----------------------------------------------------------------------------------------------------


def colour_columns(pattern: Pattern, limit: int | None = None) -> np.ndarray[Any, Any] | None:
    """A colour for each column such that no row has two columns of one colour; None if more than `limit` are needed.

    Greedy, in the order of the columns: for a band it finds the least number. Curtis, Powell and Reid, "On the
    estimation of sparse Jacobian matrices", IMA Journal of Applied Mathematics 13 (1974).
    """
    least = int(np.diff(pattern.indptr).max(initial=0))
    if limit is not None and least > limit:
        return None
    by_column = sparse.csc_array(pattern)
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * pattern.shape[0]
    colours = np.zeros(pattern.shape[1], np.int64)
    for column in range(pattern.shape[1]):
        own = rows[starts[column] : starts[column + 1]]
        used = 0
        for row in own:
            used |= taken[row]
        free = ~used & (used + 1)
        colour = free.bit_length() - 1
        if limit is not None and colour >= limit:
            return None
        colours[column] = colour
        for row in own:
            taken[row] |= free
    return colours
