"""Updates that change some rows of a large array: the rows are computed first, and written where they belong last.

What is written needs neither a copy of the array nor memory for a second one; and until all else is known to have
worked, nothing has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.lower.build import Layout
from tracer.lower.emit import line_of
from tracer.lower.items import Ints, Region, broadcast_strides
from tracer.lower.program import Buffer, Instruction, Loop, Program, Scatter, Step, Store, View
from tracer.records import NamedTuple
from tracer.types import contiguous_strides

LARGE_ARRAY = 1 << 14
"""Bytes from which on an array is worth the trouble."""


class RowUpdate(NamedTuple):
    """One input of a graph that changes in place instead of being an output.

    Attributes
    ----------
    output : int
        The output that it would be; the graph has another one there.
    input : int
    program : Program
        What changes it: the first argument is the array, the others are outputs of the graph.
    places : tuple of int
        Which ones.
    """

    output: int
    input: int
    program: Program
    places: tuple[int, ...]


def split(
    graph: Graph, layouts: Sequence[Layout], updates: Sequence[tuple[int, int]]
) -> tuple[Graph, tuple[RowUpdate, ...]]:
    """Take the writing of rows out of a graph.

    Parameters
    ----------
    graph : Graph
        With all shapes known.
    layouts : sequence of (shape, strides)
        Of its inputs.
    updates : sequence of (int, int)
        An output that will replace an input once the graph has run.

    Returns
    -------
    graph, rows
        The graph of all the rest, with more outputs; and what changes in place.
    """
    outputs, found = list(graph.outputs), []
    uses: Counter[Node] = Counter()
    for number, place in updates:
        new, old = graph.outputs[number], graph.inputs[place]
        size = old.type.size
        if size * old.type.dtype.itemsize < LARGE_ARRAY or layouts[place][1] != contiguous_strides(
            old.type.known_shape
        ):
            continue
        if not uses:
            uses.update(item for node in graph.nodes() for item in node.inputs)
            uses.update(graph.outputs)
        chain = _chain(new, old, uses)
        if chain and 2 * sum(map(_touched, chain)) <= size:
            writer = _Writer(old, outputs)
            for node in chain:
                writer.write(node)
            if not writer.outputs:
                continue
            outputs[number] = writer.outputs[0]
            found.append(RowUpdate(number, place, writer.program(), tuple(map(writer.place_of, writer.outputs))))
    return (Graph(graph.inputs, tuple(outputs)), tuple(found)) if found else (graph, ())


def _chain(new: Node, old: Node, uses: Counter[Node]) -> list[Node]:
    """The writes that make one array of another, which nothing reads in between; none if it is made otherwise."""
    chain: list[Node] = []
    while new is not old:
        if uses[new] != 1 or not _changes_first(new):
            return []
        chain.append(new)
        new = new.inputs[0]
    return chain[::-1]


def _changes_first(node: Node) -> bool:
    """Whether a node is its first input but for elements that are written."""
    if node.op.family == "scatter":
        return all(item.type.dtype == np.int64 for item in node.inputs[2:])
    if node.op.family != "assemble":
        return False
    fill, regions = _regions(node)
    return isinstance(fill, tuple) and fill[1] == 0 and all(position for position, _, _ in regions)


def _regions(node: Node) -> Any:
    return node.op.regions([item.type for item in node.inputs], **node.params)  # type: ignore[misc]


def _touched(node: Node) -> int:
    """How many elements a node writes."""
    if node.op.family == "scatter":
        return int(np.prod(_scattered(node)))
    return sum(int(np.prod(Region(tuple(index)).shape)) for _, index, _ in _regions(node)[1])


def _scattered(node: Node) -> Ints:
    indices = node.inputs[2:]
    common = np.broadcast_shapes(*(item.type.known_shape for item in indices))
    return (*common, *node.type.known_shape[len(indices) :])


class _Writer:
    """Writes the instructions that change one array."""

    def __init__(self, array: Node, outputs: list[Node]) -> None:
        self.shape: Ints = array.type.known_shape
        self.strides = contiguous_strides(self.shape)
        self.all_outputs = outputs
        self.outputs: list[Node] = []
        self.buffers = [Buffer("argument", array.type.dtype, self.shape, self.strides, 0)]
        self.instructions: list[Instruction] = []

    def place_of(self, node: Node) -> int:
        """Which output of the graph a value is; it becomes one."""
        if node not in self.all_outputs:
            self.all_outputs.append(node)
        return self.all_outputs.index(node)

    def view(self, node: Node, shape: Ints) -> View:
        """A value that is computed before, over a shape that it broadcasts to."""
        own: Ints = node.type.known_shape
        strides = contiguous_strides(own)
        if node not in self.outputs:
            self.outputs.append(node)
            self.buffers.append(Buffer("argument", node.type.dtype, own, strides, len(self.outputs)))
        return View(1 + self.outputs.index(node), 0, broadcast_strides(own, strides, shape))

    def write(self, node: Node) -> None:
        """Append what a node writes."""
        if node.op.family == "scatter":
            self.scatter(node)
            return
        for position, index, accumulate in _regions(node)[1]:
            self.region(node, node.inputs[position], Region(tuple(index)), accumulate)

    def scatter(self, node: Node) -> None:
        shape, indices = _scattered(node), node.inputs[2:]
        common = shape[: len(shape) - len(self.shape) + len(indices)]
        source = self.view(node.inputs[1], shape)
        views = tuple(self.view(item, common) for item in indices)
        out, mode, line = View(0, 0, self.strides), node.op.kernel or "add", line_of(node)
        self.instructions.append(Scatter(shape, out, self.shape, len(indices), views, source, mode, line))

    def region(self, node: Node, piece: Node, region: Region, accumulate: bool) -> None:
        if 0 in region.shape:
            return
        window, source = View(0, *region.window(self.strides)), self.view(piece, region.shape)
        loads, steps, dtype = (source,), (), node.type.dtype
        if accumulate:
            loads, steps = (window, source), (Step("add", dtype, dtype, (0, 1)),)  # type: ignore[assignment]
        stores = (Store(2 if accumulate else 0, window),)
        self.instructions.append(Loop(region.shape, loads, (), steps, stores, (), line_of(node)))

    def program(self) -> Program:
        return Program(tuple(self.buffers), (), tuple(self.instructions), 0, 0)
