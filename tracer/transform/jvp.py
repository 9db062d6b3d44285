"""Forward mode, from graph to graph: tangents of inputs become tangents of outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import toposort
from tracer.graph.node import CONSTANT, INPUT, ITEM, Node, blame, item_nodes
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.transform.grad import not_differentiable, scale
from tracer.types import is_inexact


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
    of_items: dict[Node, tuple[Any, ...]] = {}
    for node in toposort(outputs):
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
        if node.op.zero_derivative or not any(is_inexact(item.dtype) for item in node.types):
            continue
        with blame(node.line):
            result = _push(node, [None if item is None else wrap(item) for item in moving])
        if node.has_items:
            of_items[node] = result
        elif result is not None:
            known[node] = unwrap(_full(result, node))
    return [known.get(node) for node in outputs]


def _full(tangent: Any, node: Node) -> Any:
    if tangent.dtype != node.type.dtype:
        if tangent.dtype.kind == "c" and node.type.dtype.kind != "c":
            tangent = np.real(tangent)
        tangent = tangent.astype(node.type.dtype)
    return tangent if tangent.shape == node.type.shape else np.broadcast_to(tangent, node.type.known_shape)


def _push(node: Node, tangents: list[Proxy | None]) -> Any:
    """The tangent of a node, given those of its inputs."""
    op = node.op
    y: Any = tuple(map(wrap, item_nodes(node))) if node.has_items else wrap(node)
    inputs = [wrap(item) for item in node.inputs]
    if op.kernel == "cast":
        return tangents[0]
    if op.higher_order and callable(op.jvp):
        return op.jvp(tangents, y, *inputs, transform=jvp, **node.params)
    if callable(op.jvp):
        return op.jvp(tangents, y, *inputs, **node.params)
    if op.jvp == "linear":
        filled = [
            tangent if tangent is not None else (np.zeros_like(value) if is_inexact(value.dtype) else value)
            for tangent, value in zip(tangents, inputs, strict=True)
        ]
        return op(*filled, **node.params)
    terms = []
    for position, tangent in enumerate(tangents):
        if tangent is None:
            continue
        if op.jvp == "multilinear":
            terms.append(op(*inputs[:position], tangent, *inputs[position + 1 :], **node.params))
        elif op.deriv:
            rule = op.deriv[position]
            if rule is not None:
                terms.append(scale(tangent, rule(y, *inputs)))
        else:
            raise not_differentiable(node, position)
    if not terms:
        return None
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
