"""Choices move towards the outputs: an op of an `ifelse` becomes an `ifelse` of ops where one side of it is zero.

The derivative of a choice is a choice between a cotangent and zero. What is linear in it is zero on that side too, so
that in the end a branch that is not taken has no derivative to compute, nor one that could be NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracer.graph.graph import Graph
from tracer.graph.looping import zero_node
from tracer.graph.node import ITEM, Node, blame, make_node
from tracer.ops.branching import IFELSE
from tracer.ops.scan import SCAN
from tracer.types import is_inexact

LINEAR = frozenset("add subtract negative positive astype conjugate real imag".split())
"""Elementwise ops that are zero where all of their inputs are."""


def is_zero(node: Node) -> bool:
    """Whether a node is known to be zero everywhere."""
    while node.op.family == "view" or node.op.name == "broadcast_to":
        node = node.inputs[0]
    return node.is_constant and not node.value.any()


def sunk(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """An op of choices as a choice of ops; None if that would compute more than zero on both sides."""
    if node.op is IFELSE:
        return _settled(*inputs)
    source = inputs[0] if node.op is ITEM and inputs[0].op is SCAN else None
    choices = [item for item in (inputs if source is None else source.inputs) if item.op is IFELSE]
    if not choices or node.has_items or any(item.inputs[0] is not choices[0].inputs[0] for item in choices):
        return None
    with blame(node.line):
        if source is not None:
            one, two = (_row_of_loop(node, source, _side(source.inputs, place)) for place in (1, 2))
        else:
            one, two = (_on_side(node, _side(inputs, place)) for place in (1, 2))
        together = _is_linear(node) and all(item in choices for item in inputs if is_inexact(item.dtype))
        if together or is_zero(one) or is_zero(two):
            return make_node(IFELSE, (choices[0].inputs[0], one, two))
    return None


def _settled(predicate: Node, then: Node, otherwise: Node) -> Node | None:
    """What a choice is that need not be made."""
    if then is otherwise:
        return then
    if predicate.is_constant:
        return then if predicate.value else otherwise
    return None


def _side(inputs: Sequence[Node], place: int) -> tuple[Node, ...]:
    """Inputs with one side of each choice among them."""
    return tuple(item.inputs[place] if item.op is IFELSE else item for item in inputs)


def _on_side(node: Node, inputs: tuple[Node, ...]) -> Node:
    """An op on other inputs, some of which may be zero."""
    op, zeros = node.op, list(map(is_zero, inputs))
    if _vanishes(node, inputs, zeros):
        return zero_node(node.type)
    if op.name in ("add", "subtract", "scatter_add") and zeros[1] and inputs[0].type == node.type:
        return inputs[0]
    if op.name == "add" and zeros[0] and inputs[1].type == node.type:
        return inputs[1]
    made = make_node(op, inputs, node.params)
    return sunk(made, inputs) or made


def _vanishes(node: Node, inputs: Sequence[Node], zeros: Sequence[bool]) -> bool:
    """Whether an op is zero because some of its inputs are."""
    op = node.op
    if op.jvp == "multilinear" or op.name == "multiply":
        return any(zeros)
    if op.name in ("divide", "where"):
        return zeros[0] if op.name == "divide" else all(zeros[1:])
    return _is_linear(node) and all(
        zero or not is_inexact(item.dtype) for zero, item in zip(zeros, inputs, strict=True)
    )


def _is_linear(node: Node) -> bool:
    """Whether an op is linear in all of its floating-point inputs together."""
    return node.op.jvp == "linear" or node.op.name in LINEAR or node.op.family in ("gather", "scatter")


# --- loops -------------------------------------------------------------------------------------------------------


def _row_of_loop(node: Node, source: Node, inputs: tuple[Node, ...]) -> Node:
    """An output of a loop on other inputs; zero if it is the derivative of a loop that no cotangent reaches."""
    if _zero_outputs(source, inputs)[node.params["index"]]:
        return zero_node(node.type)
    made = make_node(SCAN, inputs, source.params)
    return make_node(ITEM, (made,), node.params)


def _zero_outputs(source: Node, inputs: Sequence[Node]) -> list[bool]:
    """Which outputs of a loop are zero, as each of its steps makes zero of zero."""
    body, frame = source.params["body"], source.params["frame"]
    given = frame.arguments(list(map(is_zero, inputs)))
    states, carries = list(given.initials), list(given.carries)
    while True:
        taps = [zero for zero, lags in zip(states, frame.lags, strict=True) for _ in lags]
        found = frame.results(_zeros_of(body, [*given.sequences, *taps, *carries, *given.fixed]))
        still = [a and b for a, b in zip(states, found.states, strict=True)]
        carried = [a and b for a, b in zip(carries, found.carries, strict=True)]
        if (still, carried) == (states, carries):
            return [*states, *carries, *found.outputs, *[False] * frame.until]
        states, carries = still, carried


def _zeros_of(body: Graph, given: Sequence[bool]) -> list[bool]:
    """Which outputs of a body are zero if some of its inputs are."""
    known = dict(zip(body.inputs, given, strict=True))
    for node in body.nodes():
        if node not in known:
            zeros = [known[item] for item in node.inputs]
            known[node] = is_zero(node) or (not node.has_items and bool(zeros) and _vanishes(node, node.inputs, zeros))
    return [known[node] for node in body.outputs]
