"""Computing again instead of keeping: ops whose derivatives need their inputs only, and not what is inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import Same
from tracer.graph.body import close, free_values
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph
from tracer.graph.node import Node, input_node
from tracer.graph.op import Op, declare
from tracer.graph.rules import traced
from tracer.types import ArrayType, TupleType, is_inexact

Transform = Callable[..., Any]


def _infer(types: Sequence[ArrayType], body: Graph) -> TupleType:
    wanted = [node.type for node in body.inputs]
    if list(types) != wanted:
        raise TypeError(f"checkpoint: the body takes {', '.join(map(str, wanted))}")
    return TupleType(tuple(node.type for node in body.outputs))


def _evaluate(*arrays: Any, body: Graph) -> tuple[Any, ...]:
    return tuple(np.array(value) for value in evaluation(body).compute(list(map(np.asarray, arrays))))


def _derived(
    op: Op,
    body: Graph,
    inputs: Sequence[Any],
    moving: Sequence[Any],
    derive: Callable[[list[Node]], Sequence[Node | None]],
) -> list[Any]:
    """Derivatives computed by a body of its own over the inputs and further values; None for those that are zero."""
    parameters = [*body.inputs, *(input_node(ArrayType(value.dtype, value.shape)) for value in moving)]
    found = list(derive(parameters[len(inputs) :]))
    outputs = [part for part in found if part is not None]
    if not outputs:
        return found
    free = free_values(outputs, parameters)  # a rule of somebody's own may mention values of the surroundings
    around = [traced(node, moving[0]) for node in free]
    made = iter(op(*inputs, *moving, *around, body=close([*parameters, *free], outputs)))
    return [None if part is None else next(made) for part in found]


def _backward(
    wanted: Sequence[int], g: Sequence[Any], y: Any, *inputs: Any, transform: Transform, body: Graph
) -> list[Any]:
    given = [place for place, part in enumerate(g) if part is not None]
    heads = [body.outputs[place] for place in given]
    wrt = [body.inputs[place] for place in wanted]
    return _derived(RECOMPUTE, body, inputs, [g[place] for place in given], lambda nodes: transform(heads, nodes, wrt))


def _forward(op: Callable[[], Op]) -> Callable[..., Any]:
    """The rule of forward mode, which needs nothing twice: it shares what it can with the computation itself."""

    def rule(tangents: Sequence[Any], y: Any, *inputs: Any, transform: Transform, body: Graph) -> tuple[Any, ...]:
        given = [place for place, part in enumerate(tangents) if part is not None]

        def derive(nodes: list[Node]) -> list[Node | None]:
            known = {body.inputs[place]: node for place, node in zip(given, nodes, strict=True)}
            pairs = zip(body.outputs, transform(body.outputs, known), strict=True)
            return [part if is_inexact(head.dtype) else None for head, part in pairs]

        return tuple(_derived(op(), body, inputs, [tangents[place] for place in given], derive))

    return rule


def _batched(op: Callable[[], Op]) -> Callable[..., Any]:
    def rule(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, transform: Transform, body: Graph) -> Any:
        parameters = list(body.inputs)
        moving: dict[Node, Node] = {}
        for place, (value, batched) in enumerate(zip(inputs, is_batched, strict=True)):
            if batched:
                own = parameters[place] = input_node(ArrayType(value.dtype, value.shape))
                moving[body.inputs[place]] = own
        found = transform(body.outputs, moving, size)
        results = op()(*inputs, body=close(parameters, [node for node, _ in found]))
        return tuple(value if has_axis else Same(value) for value, (_, has_axis) in zip(results, found, strict=True))

    return rule


def _declare(name: str, family: str, doc: str, own: Callable[[], Op]) -> Op:
    rules: dict[str, Any] = {"vjp": _backward, "jvp": _forward(own), "batch": _batched(own), "higher_order": True}
    return declare(Op(name, family, _infer, _evaluate, doc=doc, **rules))


CHECKPOINT: Op = _declare(
    "checkpoint",
    "call",
    "Computes a body; a derivative computes it again rather than keeping what is inside.",
    lambda: CHECKPOINT,
)
RECOMPUTE: Op = _declare(
    "recompute",
    "body",
    "Computes a body, none of which is shared with what is around it: the derivative of a checkpoint.",
    lambda: RECOMPUTE,
)
