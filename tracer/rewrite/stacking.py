"""An op over all steps at once: from values with an additional first axis, one more axis for everything it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracer.graph.node import Node, make_node
from tracer.graph.op import OPS

Stacked = tuple[Node, bool]
"""A value for all steps, and whether it has an axis of steps: without one it is the same at every step."""
Rule = Callable[[Node, Sequence[Stacked], int], "Node | None"]


def apply_stacked(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    """What a node of a body is at every step, given its inputs of which at least one has the axis; None if unknown."""
    rule = _RULES.get(node.op.name) or _RULES.get(node.op.family)
    return None if rule is None else rule(node, inputs, steps)


def can_stack(node: Node) -> bool:
    """Whether there may be a rule for a node."""
    return node.op.name in _RULES or node.op.family in _RULES


def _aligned(value: Stacked, ndim: int) -> Node:
    """A value whose own axes are the last of `ndim`, after the axis of steps."""
    node, has_axis = value
    missing = ndim + 1 - len(node.shape)
    if not has_axis or not missing:
        return node
    return reshaped(node, (node.shape[0], *(1,) * missing, *node.shape[1:]))


def reshaped(node: Node, shape: Sequence[int | None]) -> Node:
    """A node under another shape."""
    return node if node.shape == tuple(shape) else make_node(OPS["reshape"], (node,), {"shape": tuple(shape)})


def transposed(node: Node, axes: Sequence[int]) -> Node:
    """A node with its axes in another order."""
    return make_node(OPS["transpose"], (node,), {"axes": tuple(axes)})


def _elementwise(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    ndim = len(node.shape)
    return make_node(node.op, tuple(_aligned(item, ndim) for item in inputs), node.params)


def _reshape(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    return reshaped(inputs[0][0], (steps, *node.shape))


def _transpose(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    return transposed(inputs[0][0], (0, *(axis + 1 for axis in node.params["axes"])))


def _broadcast(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    inner = _aligned(inputs[0], len(node.shape))
    return make_node(node.op, (inner,), {"shape": (steps, *node.shape)})


def _slice(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    return make_node(node.op, (inputs[0][0],), {"index": ((0, steps, 1), *node.params["index"])})


def _unslice(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    index = ((0, steps, 1), *node.params["index"])
    return make_node(node.op, (inputs[0][0],), {"shape": (steps, *node.shape), "index": index})


def _matmul(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    ndim = len(node.shape)
    return make_node(node.op, tuple(_aligned(item, ndim) for item in inputs))


def _reduction(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    axes = tuple(axis + 1 for axis in node.params["axes"])
    return make_node(node.op, (inputs[0][0],), {"axes": axes, "keepdims": node.params["keepdims"]})


def _gather(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    (source, moves), *indices = inputs
    if moves:
        return None
    ndim = len(node.shape) - len(source.shape) + len(indices)
    return make_node(node.op, (source, *(_aligned(item, ndim) for item in indices)))


def _concatenate(node: Node, inputs: Sequence[Stacked], steps: int) -> Node | None:
    parts = []
    for item, has_axis in inputs:
        shape = (steps, *item.shape)
        parts.append(item if has_axis else make_node(OPS["broadcast_to"], (item,), {"shape": shape}))
    return make_node(node.op, tuple(parts), {"axis": node.params["axis"] + 1})


_RULES: dict[str, Rule] = {
    "elementwise": _elementwise,
    "reduction": _reduction,
    "matmul": _matmul,
    "gather": _gather,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "slice": _slice,
    "unslice": _unslice,
    "concatenate": _concatenate,
}
