"""Forward mode, from graph to graph: tangents of inputs become tangents of outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import toposort
from tracer.graph.node import CONSTANT, INPUT, ITEM, Node, blame, item_nodes
from tracer.ops.gradient_control import RULED
from tracer.phases import timed
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.transform.grad import not_differentiable, scale
from tracer.transform.selection import Selections
from tracer.types import is_inexact


@timed("derive")
def jvp(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> list[Node | None]:
    """Push tangents of inputs forward.

    Parameters
    ----------
    outputs : sequence of Node
        Differentiated values.
    tangents : mapping
        Input node -> node of its tangent, of the same type.

    Returns
    -------
    list of Node or None
        The tangent of each output; None where it is zero.

    Raises
    ------
    NotDifferentiableError
        If an op on the way has no derivative.
    """
    known: dict[Node, Node | None] = dict(tangents)
    selections = Selections()
    for given in tangents.values():
        selections.note(given)
    of_items: dict[Node, tuple[Any, ...]] = {}
    for node in _moved(outputs, known):
        if node in known:
            continue
        if node.op is ITEM:
            parts = of_items.get(node.inputs[0])
            part = None if parts is None else parts[node.params["index"]]
            if part is not None:
                known[node] = unwrap(_full(part, node))
            continue
        moving = [known.get(item) for item in node.inputs]
        if all(item is None for item in moving) or node.op in (INPUT, CONSTANT):
            continue
        with blame(node.line):
            result = _push(node, moving, selections)
        if node.has_items:
            of_items[node] = result
        elif result is not None:
            known[node] = tangent = unwrap(_full(result, node))
            selections.note(tangent)
    return [known.get(node) for node in outputs]


def _moved(outputs: Sequence[Node], known: Collection[Node]) -> list[Node]:
    """The nodes whose tangents the tangents of outputs are made of, inputs first; not what only gives them values."""
    found = set(outputs)
    stack = list(found)
    while stack:
        node = stack.pop()
        if node in known or node.op.zero_derivative or not any(is_inexact(item.dtype) for item in node.types):
            found.discard(node)
            continue
        inputs = node.inputs
        if node.op is RULED and not node.params["rule"].pushes_body:
            inputs = inputs[node.params["rule"].count :]
        for item in inputs:
            if item not in found:
                found.add(item)
                stack.append(item)
    return [node for node in toposort(outputs, set(known)) if node in found]


def _full(tangent: Any, node: Node) -> Any:
    if tangent.dtype != node.type.dtype:
        if tangent.dtype.kind == "c" and node.type.dtype.kind != "c":
            tangent = np.real(tangent)
        tangent = tangent.astype(node.type.dtype)
    return tangent if tangent.shape == node.type.shape else np.broadcast_to(tangent, node.type.known_shape)


def _push(node: Node, moving: list[Node | None], selections: Selections) -> Any:
    """The tangent of a node, given those of its inputs."""
    op = node.op
    y: Any = tuple(map(wrap, item_nodes(node))) if node.has_items else wrap(node)
    inputs = [wrap(item) for item in node.inputs]
    tangents = [None if item is None else wrap(item) for item in moving]
    if op.kernel == "cast":
        return tangents[0]
    if op.higher_order and callable(op.jvp):
        return op.jvp(tangents, y, *inputs, transform=jvp, **node.params)
    if callable(op.jvp) and not selections.concern(node, moving):
        return op.jvp(tangents, y, *inputs, **node.params)
    if op.jvp == "linear":
        filled = [
            tangent if tangent is not None else (np.zeros_like(value) if is_inexact(value.dtype) else value)
            for tangent, value in zip(tangents, inputs, strict=True)
        ]
        return op(*filled, **node.params)
    terms = []
    for position, item in enumerate(moving):
        if item is not None:
            terms.append(selections.apply(node, item, _rule(node, position, y, inputs)))
    terms = [term for term in terms if term is not None]
    if not terms:
        return None
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _rule(node: Node, position: int, y: Any, inputs: list[Proxy]) -> Callable[[Proxy], Any]:
    """What the tangent of one input alone makes of a node's."""
    op = node.op
    before, after = inputs[:position], inputs[position + 1 :]
    if callable(op.jvp):
        own = op.jvp
        return lambda tangent: own([*[None] * len(before), tangent, *[None] * len(after)], y, *inputs, **node.params)
    if op.jvp == "multilinear":
        return lambda tangent: op(*before, tangent, *after, **node.params)
    if not op.deriv:
        raise not_differentiable(node, position)
    rule = op.deriv[position]
    return lambda tangent: None if rule is None else scale(tangent, rule(y, *inputs))
