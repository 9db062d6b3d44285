"""Stencils: sums of one array at several places become reads of it, padded with zeros, instead of writes to a sum.

The derivative of what reads an array at shifted windows adds a cotangent to as many windows, and each of these passes
over the whole array. Read from a copy with zeros around, all of them are one loop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node, blame, make_node
from tracer.graph.op import OPS
from tracer.ops.shaping import SLICE, SLICE_ADD, SLICE_SET, Index
from tracer.records import NamedTuple
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
    if SLICE_ADD not in graph.ops():
        return graph
    order = graph.nodes()
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
    """The sum of a root and windows, where those of a value that has several are read and not written."""
    shape = node.type.known_shape
    with blame(node.line):
        root, windows = _filled(root, windows)
        found: dict[Node, list[Window]] = {}
        for window in windows:
            found.setdefault(_multiple(window.value).value, []).append(window)
        several = {value: own for value, own in found.items() if len(own) > 1 and _is_wide(shape, own)}
        padded = {value: own for value, own in several.items() if _shifted_axis(own) is None}
        result = _read_padded(root, padded) if padded else root
        for value, own in several.items():
            axis = _shifted_axis(own)
            if axis is not None:
                result = _read_inside(result, value, own, axis)
        for window in windows:
            if _multiple(window.value).value not in several:
                result = make_node(SLICE_ADD, (result, window.value), {"index": window.place})
    return result


def _shifted_axis(windows: Sequence[Window]) -> int | None:
    """The one axis along which windows differ, if they have most of it in common."""
    places = [window.place for window in windows]
    axes = [axis for axis, own in enumerate(zip(*places, strict=True)) if len(set(own)) > 1]
    if len(axes) != 1:
        return None
    starts = [place[axes[0]][0] for place in places]
    return axes[0] if 2 * (max(starts) - min(starts)) < places[0][axes[0]][1] else None


def _read_inside(result: Node, value: Node, windows: Sequence[Window], axis: int) -> Node:
    """Add multiples of a value at windows that are shifted along one axis: together where all of them are.

    What a window has beyond that is thin, and added first.
    """
    starts = [window.place[axis][0] for window in windows]
    size = windows[0].place[axis][1]
    low, high = max(starts), min(starts) + size
    parts = [_Part(value, window.place, axis, _multiple(window.value).factor) for window in windows]
    for part, start in zip(parts, starts, strict=True):
        for first, last in ((start, low), (high, start + size)):
            if first < last:
                result = make_node(SLICE_ADD, (result, part.between(first, last)), {"index": part.place(first, last)})
    inside = parts[0].place(low, high)
    total = make_node(SLICE, (result,), {"index": inside})
    for part in parts:
        read = _times(part.read(low, high), abs(part.factor))
        total = make_node(OPS["subtract" if part.factor < 0 else "add"], (total, read))
    return make_node(SLICE_SET, (result, total), {"index": inside})


class _Part(NamedTuple):
    """A multiple of a value at a window of an array, in pieces along one axis that are numbered as in the array."""

    value: Node
    window: Index
    axis: int
    factor: float

    def place(self, first: int, last: int) -> Index:
        """The part of the array that a piece is added to."""
        return (*self.window[: self.axis], (first, last - first, 1), *self.window[self.axis + 1 :])

    def read(self, first: int, last: int) -> Node:
        """A piece of the value."""
        index = [(0, size, 1) for size in self.value.type.known_shape]
        index[self.axis] = (first - self.window[self.axis][0], last - first, 1)
        whole: Any = wrap(self.value)
        return unwrap(SLICE(whole, index=tuple(index)))

    def between(self, first: int, last: int) -> Node:
        """A piece of the multiple."""
        return _times(self.read(first, last), self.factor)


def _read_padded(root: Node, groups: dict[Node, list[Window]]) -> Node:
    """Add multiples of values at windows, read from copies of them with zeros around.

    If most of the root was just written, only that part is computed so, from what was written; the windows reach
    beyond it by little.
    """
    hole: Index | None = root.params["index"] if root.op is SLICE_SET else None
    if hole is not None and not _is_most(hole, root.type.size):
        hole = None
    result = root if hole is None else root.inputs[1]
    if result.type.known_shape != _shape_of(hole, root):
        result = unwrap(np.broadcast_to(wrap(result), _shape_of(hole, root)))
    reads: list[_Read] = []
    for value, windows in groups.items():
        factors = [_multiple(window.value).factor for window in windows]
        common = abs(factors[0]) if all(abs(factor) == abs(factors[0]) for factor in factors) else 1.0
        padded = _Padded(_times(value, common), root.type.known_shape, [window.place for window in windows])
        pairs = zip(windows, factors, strict=True)
        reads += [_Read(padded, window.place, factor / common) for window, factor in pairs]
    for padded, place, factor in reads:
        read = _times(padded.read(place, hole), abs(factor))
        result = make_node(OPS["subtract" if factor < 0 else "add"], (result, read))
    if hole is None:
        return result
    result = make_node(SLICE_SET, (root.inputs[0], result), root.params)
    for padded, place, factor in reads:
        for slab in _beyond(place, hole):
            result = make_node(SLICE_ADD, (result, _times(padded.read(place, slab), factor)), {"index": slab})
    return result


class _Read(NamedTuple):
    """A multiple of a padded value at a window."""

    padded: _Padded
    place: Index
    factor: float


def _shape_of(hole: Index | None, root: Node) -> tuple[int, ...]:
    return root.type.known_shape if hole is None else tuple([size for _, size, _ in hole])


def _is_most(place: Index, size: int) -> bool:
    return all(step == 1 for _, _, step in place) and 2 * math.prod(part[1] for part in place) > size


def _beyond(place: Index, hole: Index) -> Iterator[Index]:
    """What is left of a window without another one, slab by slab."""
    inner = list(place)
    for axis, ((start, size, _), (first, extent, _)) in enumerate(zip(place, hole, strict=True)):
        stop, end = start + size, first + extent
        for low, high in ((start, min(first, stop)), (max(end, start), stop)):
            if low < high:
                yield (*inner[:axis], (low, high - low, 1), *inner[axis + 1 :])
        low, high = max(start, first), min(stop, end)
        if low >= high:
            return
        inner[axis] = (low, high - low, 1)


def _times(value: Node, factor: float) -> Node:
    return value if factor == 1 else unwrap(wrap(value) * value.dtype.type(factor))


def _is_wide(shape: tuple[int, ...], windows: Sequence[Window]) -> bool:
    """Whether windows are dense, large and take most of an array."""
    size = math.prod(shape)
    return size >= SMALLEST and all(_is_most(window.place, size) for window in windows)


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

    def read(self, index: Index, within: Index | None = None) -> Node:
        """The value at a window of the array, and zero elsewhere: for the whole array, or for a part of it."""
        part = [(0, size, 1) for size in self.shape] if within is None else within
        own = tuple(
            [
                (before - start + first, size, 1)
                for before, (start, _, _), (first, size, _) in zip(self.before, index, part, strict=True)
            ]
        )
        return make_node(OPS["slice"], (self.node,), {"index": own})
