"""Batching, from graph to graph: a computation of one example becomes that of many, along a new first axis."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tracer.errors import GraphError
from tracer.graph.batching import Same
from tracer.graph.body import Frame, bodies_of, close
from tracer.graph.graph import toposort
from tracer.graph.node import ITEM, Node, blame, input_node, item_nodes, make_node
from tracer.graph.op import OPS
from tracer.phases import timed
from tracer.tracing.proxy import unwrap, wrap

Found = tuple[Node, bool]
"""What stands for a node once it is batched, and whether it has a batch axis."""


@timed("batch")
def batch(outputs: Sequence[Node], batched: Mapping[Node, Node], size: int) -> list[Node | None]:
    """Compute many examples at once.

    Parameters
    ----------
    outputs : sequence of Node
        Values of one example.
    batched : mapping
        Node -> node of its values for all examples, stacked along a new first axis.
    size : int
        The number of examples.

    Returns
    -------
    list of Node or None
        Each output for all examples, stacked along a new first axis; None where it depends on no batched node.
    """
    return [node if has_axis else None for node, has_axis in batch_values(outputs, batched, size)]


def batch_values(
    outputs: Sequence[Node], batched: Mapping[Node, Node], size: int, inside: Collection[Node] = ()
) -> list[Found]:
    """Like `batch`, for computations that draw random numbers.

    The draws among the nodes `inside` give every example numbers of its own. An output may then be replaced and yet
    be the same for all examples: the state of a generator after the draws.

    Returns
    -------
    list of (Node, bool)
        What stands for each output, and whether it has a batch axis.
    """
    found: dict[Node, Found] = {node: (replacement, True) for node, replacement in batched.items()}
    of_items: dict[Node, Sequence[Found]] = {}
    for node in toposort(outputs, stop=set(batched)):
        if node in found:
            continue
        if node.op is ITEM:
            parts = of_items.get(node.inputs[0])
            if parts is not None:
                found[node] = parts[node.params["index"]]
            continue
        inputs = [found.get(item, (item, False)) for item in node.inputs]
        with blame(node.line):
            if any(has_axis for _, has_axis in inputs) or (node in inside and _draws(node)):
                parts = _batched(node, inputs, size, batched, node in inside)
            elif any(new is not old for (new, _), old in zip(inputs, node.inputs, strict=True)):
                made = make_node(node.op, tuple(new for new, _ in inputs), node.params)
                parts = [(part, False) for part in (item_nodes(made) if made.has_items else (made,))]
            else:
                continue
        if node.has_items:
            of_items[node] = parts
        else:
            found[node] = parts[0]
    return [found.get(node, (node, False)) for node in outputs]


def _draws(node: Node) -> bool:
    """Whether a node draws random numbers, or a body in it does."""
    pending = [node]
    while pending:
        item = pending.pop()
        if item.op.draws:
            return True
        if item.op.higher_order:
            pending += [inner for body in bodies_of(item) for inner in body.nodes()]
    return False


def _batched(
    node: Node, inputs: Sequence[Found], size: int, batched: Mapping[Node, Node], is_inside: bool
) -> list[Found]:
    """The outputs of one node for all examples."""
    options: dict[str, Any] = dict(node.params)
    if node.op.higher_order:

        def transform(outputs: Sequence[Node], more: Mapping[Node, Node], size: int) -> list[Found]:
            # What somebody's own rule computes may mention values of the function that is batched; but all bodies have
            # the same parameters, so that those of this one may stand for other values around it.
            inside = toposort(outputs) if is_inside else ()
            own = {item for body in bodies_of(node) for item in body.inputs}
            around = {item: whole for item, whole in batched.items() if item not in own}
            return batch_values(outputs, {**around, **more}, size, set(inside))

        options["transform"] = transform
    flags = tuple(has_axis for _, has_axis in inputs)
    rule = node.op.batch
    result = NotImplemented if rule is None else rule([wrap(value) for value, _ in inputs], flags, size, **options)
    if result is NotImplemented:
        return [(part, True) for part in _one_by_one(node, inputs, size)]
    results = result if node.has_items else (result,)
    return [_checked(part, node, place, size) for place, part in enumerate(results)]


def _checked(part: Any, node: Node, place: int, size: int) -> Found:
    is_same = isinstance(part, Same)
    new, own = unwrap(part.value if is_same else part), node.types[place]
    if new.dtype != own.dtype or new.shape != (own.shape if is_same else (size, *own.shape)):
        raise GraphError(f"the batching rule of {node.op.name} gives {new.type} for {size} times {own}")
    return new, not is_same


def _one_by_one(node: Node, inputs: Sequence[Found], size: int) -> Sequence[Node]:
    """Apply an op to one example after the other, in a loop."""
    parameters = [input_node(item.type) for item in node.inputs]
    stacked = [place for place, (_, has_axis) in enumerate(inputs) if has_axis]
    fixed = [place for place, (_, has_axis) in enumerate(inputs) if not has_axis]
    made = make_node(node.op, tuple(parameters), node.params)
    outputs = item_nodes(made) if made.has_items else (made,)
    order = [*stacked, *fixed]
    body = close([parameters[place] for place in order], outputs)
    frame = Frame(size, len(stacked), (), 0, len(outputs))
    arguments = tuple(inputs[place][0] for place in order)
    return item_nodes(make_node(OPS["scan"], arguments, {"body": body, "frame": frame}))


def looped_ops() -> tuple[str, ...]:
    """The names of the ops without a batching rule, which are computed example by example.

    >>> "add" in looped_ops()
    False
    """
    return tuple(name for name, op in OPS.items() if op.batch is None)
