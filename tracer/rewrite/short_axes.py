"""Short axes: formulas over vectors of two to four components are computed component by component.

A sum over such an axis ends a loop, and what follows would start another one. Written out, the components and their
sum are steps of one loop over the other axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node, blame, make_node
from tracer.graph.op import OPS

LONGEST = 8
"""Elements of the longest axis that is written out."""
SHORT = 4
"""Elements of the longest axis along which formulas of any length are written out."""
MOST = 256
"""Operations that are written out along a longer axis: with more of them, calls do not win back the compiling."""
SMALLEST = 512
"""Elements of an array from which on this pays."""

Place = tuple[tuple[int, ...], int]
"""A shape, and one of its axes."""

_SUM = OPS["sum"]
_JOINED = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


def write_out_short_axes(graph: Graph) -> Graph:
    """Compute by components what is reduced over a short axis, and everything of its shape that only goes into sums."""
    order = graph.nodes()
    places = {place: None for node in order if node.op is _SUM and (place := _summed(node)) is not None}
    if not places:
        return graph
    users: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for item in node.inputs:
            users[item].append(node)
    new: dict[Node, Node] = {}
    components = _Components(new)
    for shape, axis in places:
        members = _members(order, users, shape, frozenset(graph.outputs))
        if shape[axis] <= SHORT or len(members) * shape[axis] <= MOST:
            for node in members:
                components.axes.setdefault(node, axis)
    for node in order:
        if node in components.axes:
            continue
        with blame(node.line):
            if node.op.family == "reduction" and node.inputs[0] in components.axes:
                new[node] = components.reduced(node)
            else:
                inputs = tuple([new[item] for item in node.inputs])
                new[node] = node if inputs == node.inputs else make_node(node.op, inputs, node.params)
    return Graph(graph.inputs, tuple([new[node] for node in graph.outputs]))


def _summed(node: Node) -> Place | None:
    """The shape and axis of a sum, if it is one over one short axis of a formula; None for any other."""
    if node.inputs[0].op.family != "elementwise" or len(node.params["axes"]) != 1:
        return None
    shape = node.inputs[0].shape
    if None in shape or not _is_number(node):
        return None
    known, axis = node.inputs[0].type.known_shape, node.params["axes"][0]
    return (known, axis) if 1 < known[axis] <= LONGEST and math.prod(known) >= SMALLEST else None


def _is_number(node: Node) -> bool:
    """Whether the steps of a loop add up a node's numbers as its reduction does."""
    return node.dtype.kind in "iufc" and node.dtype != np.float16


def _members(
    order: Sequence[Node], users: dict[Node, list[Node]], shape: tuple[int, ...], outputs: frozenset[Node]
) -> list[Node]:
    """Formulas of a shape whose values only such formulas and reductions need."""
    found: dict[Node, None] = {}
    for node in reversed(order):
        if node.op.family == "elementwise" and node.shape == shape and node not in outputs:
            if all(user in found or (user.op.name in _JOINED and _is_number(user)) for user in users[node]):
                found[node] = None
    return list(found)


class _Components:
    """The components of nodes along their short axes, made when they are asked for.

    Attributes
    ----------
    axes : dict
        By node, the axis that is written out.
    """

    def __init__(self, new: dict[Node, Node]) -> None:
        self.new = new
        self.axes: dict[Node, int] = {}
        self.made: dict[tuple[Node, int], list[Node]] = {}

    def of(self, node: Node, axis: int) -> list[Node]:
        """The components of a member or of another node along an axis; one for all where it has only one there."""
        found = self.made.get((node, axis))
        if found is None:
            found = self.computed(node, axis) if self.axes.get(node) == axis else _sliced(self.new[node], axis)
            self.made[node, axis] = found
        return found

    def computed(self, node: Node, axis: int) -> list[Node]:
        ndim = len(node.shape)
        parts = [self.of(item, axis - ndim + len(item.shape)) for item in node.inputs]
        with blame(node.line):
            return [
                make_node(node.op, tuple([part[place if len(part) > 1 else 0] for part in parts]), node.params)
                for place in range(node.type.known_shape[axis])
            ]

    def reduced(self, node: Node) -> Node:
        """A reduction of a member: over its short axis as steps, over others component by component."""
        member = node.inputs[0]
        axis, axes = self.axes[member], node.params["axes"]
        parts = self.of(member, axis)
        rest = tuple([place - (place > axis) for place in axes if place != axis])
        if axis in axes:
            joined = parts[0]
            for part in parts[1:]:
                joined = make_node(OPS[_JOINED[node.op.name]], (joined, part))
            parts = [joined]
        if rest:
            parts = [make_node(node.op, (part,), {"axes": rest, "keepdims": False}) for part in parts]
        if axis in axes:
            return _reshaped(parts[0], node.type.known_shape)
        place = axis if node.params["keepdims"] else axis - sum(other < axis for other in axes)
        shape = node.type.known_shape
        first = (1, *shape[:place], *shape[place + 1 :])
        # One after the other in memory: a loop may not write to windows that interleave.
        whole = make_node(OPS["concatenate"], tuple([_reshaped(part, first) for part in parts]), {"axis": 0})
        order = (*range(1, place + 1), 0, *range(place + 1, len(shape)))
        return make_node(OPS["transpose"], (whole,), {"axes": order}) if place else whole


def _reshaped(node: Node, shape: tuple[int, ...]) -> Node:
    return node if node.shape == shape else make_node(OPS["reshape"], (node,), {"shape": shape})


def _sliced(node: Node, axis: int) -> list[Node]:
    """The components of a node along an axis, without it; the node itself if it does not have the axis."""
    if axis < 0:
        return [node]
    shape = node.type.known_shape
    rest = (*shape[:axis], *shape[axis + 1 :])
    whole = [(0, size, 1) for size in shape]
    found = []
    for place in range(shape[axis]):
        index = (*whole[:axis], (place, 1, 1), *whole[axis + 1 :])
        part = node if shape[axis] == 1 else make_node(OPS["slice"], (node,), {"index": index})
        found.append(_reshaped(part, rest))
    return found
