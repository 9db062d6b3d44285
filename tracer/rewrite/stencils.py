"""Stencils: sums of one array at several places become reads of it, padded with zeros, instead of writes to a sum.

The derivative of what reads an array at shifted windows adds a cotangent to as many windows, and each of these passes
over the whole array. Read from a copy with zeros around, all of them are one loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tracer.graph.graph import Graph
from tracer.graph.node import Node, blame, make_node
from tracer.graph.op import OPS
from tracer.ops.shaping import SLICE, SLICE_ADD, SLICE_SET, Index
from tracer.rewrite.rule import scalar_value
from tracer.tracing.proxy import unwrap, wrap

SMALLEST = 2048
"""Elements of an array from which on this pays."""


class Window(NamedTuple):
    """A value that is added to a window of an array."""

    value: Node
    place: Index


def gather_windows(graph: Graph) -> Graph:
    """Turn sums of windows into sums of reads, wherever an array is added to several windows of another."""
    order = graph.nodes()
    if not any(node.op is SLICE_ADD for node in order):
        return graph
    uses = dict.fromkeys(order, 0)
    inside: set[Node] = set()
    for node in order:
        for item in node.inputs:
            uses[item] += 1
        if node.op is SLICE_ADD:
            inside.add(node.inputs[0])
    for node in graph.outputs:
        uses[node] += 1
    new: dict[Node, Node] = {}
    for node in order:
        if node.op is SLICE_ADD and not (node in inside and uses[node] == 1):
            root, windows = _chain(node, uses)
            new[node] = _gathered(node, new[root], [Window(new[value], place) for value, place in windows])
        else:
            new[node] = _kept(node, tuple([new[item] for item in node.inputs]))
    return Graph(graph.inputs, tuple(new[node] for node in graph.outputs))


def _kept(node: Node, inputs: tuple[Node, ...]) -> Node:
    if inputs == node.inputs:
        return node
    with blame(node.line):
        return make_node(node.op, inputs, node.params)


def _chain(node: Node, uses: dict[Node, int]) -> tuple[Node, list[Window]]:
    """What windows are added to, one after the other, and these windows, first to last."""
    windows: list[Window] = []
    while node.op is SLICE_ADD and (not windows or uses[node] == 1):
        windows.append(Window(node.inputs[1], node.params["index"]))
        node = node.inputs[0]
    return node, windows[::-1]


class Multiple(NamedTuple):
    """A value as a number times another value."""

    value: Node
    factor: float


def _multiple(value: Node) -> Multiple:
    """Take a constant factor and signs off a value."""
    factor = 1.0
    while value.type.dtype.kind == "f":
        if value.op is OPS["negative"]:
            value, factor = value.inputs[0], -factor
            continue
        numbers = [scalar_value(item) for item in value.inputs] if value.op is OPS["multiply"] else []
        place = next((place for place, number in enumerate(numbers) if number is not None), None)
        if place is None or abs(factor) != 1 or value.inputs[1 - place].type != value.type:
            break
        value, factor = value.inputs[1 - place], factor * float(numbers[place])  # type: ignore[arg-type]
    return Multiple(value, factor)


def _gathered(node: Node, root: Node, windows: Sequence[Window]) -> Node:
    """The sum of a root and windows, with those of a value that has several read from a padded copy of it."""
    shape = node.type.known_shape
    root, windows = _filled(root, windows)
    found: dict[Node, list[Window]] = {}
    for window in windows:
        found.setdefault(_multiple(window.value).value, []).append(window)
    several = {value: own for value, own in found.items() if len(own) > 1 and _is_wide(shape, own)}
    with blame(node.line):
        result = root
        for value, own in several.items():
            result = _read_padded(result, value, own)
        for window in windows:
            if _multiple(window.value).value not in several:
                result = make_node(SLICE_ADD, (result, window.value), {"index": window.place})
    return result


def _read_padded(result: Node, value: Node, windows: Sequence[Window]) -> Node:
    """Add multiples of a value at windows, read from a copy of it with zeros around."""
    factors = [_multiple(window.value).factor for window in windows]
    common = abs(factors[0]) if all(abs(factor) == abs(factors[0]) for factor in factors) else 1.0
    shape = result.type.known_shape
    padded = _Padded(_times(value, common), shape, [window.place for window in windows])
    for window, factor in zip(windows, factors, strict=True):
        read = _times(padded.read(window.place), abs(factor) / common)
        result = make_node(OPS["subtract" if factor < 0 else "add"], (result, read))
    return result


def _times(value: Node, factor: float) -> Node:
    return value if factor == 1 else unwrap(wrap(value) * value.dtype.type(factor))


def _is_wide(shape: tuple[int, ...], windows: Sequence[Window]) -> bool:
    """Whether windows are dense, large and take most of an array."""
    size = math.prod(shape)
    dense = all(step == 1 for window in windows for _, _, step in window.place)
    return dense and size >= SMALLEST and 2 * math.prod(part[1] for part in windows[0].place) > size


def _filled(root: Node, windows: Sequence[Window]) -> tuple[Node, Sequence[Window]]:
    """Put a window of its own into a hole of zeros in the root, if one fits; gives the root and the other windows."""
    hole = scalar_value(root.inputs[1]) if root.op is SLICE_SET else None
    if hole is None or hole != 0:
        return root, windows
    base, index = root.inputs[0], root.params["index"]
    for place, window in enumerate(windows):
        if window.place == index:
            was = window.value.op is SLICE and window.value.inputs[0] is base and window.value.params["index"] == index
            filled = base if was else make_node(SLICE_SET, (base, window.value), root.params)
            return filled, [*windows[:place], *windows[place + 1 :]]
    return root, windows


class _Padded:
    """A value with zeros around it, from which its sums at windows of an array can be read."""

    def __init__(self, value: Node, shape: tuple[int, ...], places: Sequence[Index]) -> None:
        self.shape = shape
        starts = list(zip(*([start for start, _, _ in index] for index in places), strict=True))
        self.before = [max(own) for own in starts]
        sizes = tuple([size + max(own) - min(own) for size, own in zip(shape, starts, strict=True)])
        inner: Any = value.type.known_shape
        index = tuple([(start, size, 1) for start, size in zip(self.before, inner, strict=True)])
        self.node = make_node(OPS["unslice"], (value,), {"shape": sizes, "index": index})

    def read(self, index: Index) -> Node:
        """The value at a window of the array, and zero elsewhere."""
        starts = zip(self.before, index, self.shape, strict=True)
        own = tuple([(before - start, size, 1) for before, (start, _, _), size in starts])
        return make_node(OPS["slice"], (self.node,), {"index": own})
