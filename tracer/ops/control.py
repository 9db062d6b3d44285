"""Conditions: the op `cond`, which runs one of two bodies and leaves the other alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import Same, aligned
from tracer.graph.body import close, free_values
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph
from tracer.graph.looping import only_where, spread_node, zero_node
from tracer.graph.node import Node, input_node
from tracer.graph.op import OPS, Op, declare
from tracer.graph.rules import traced
from tracer.types import ArrayType, TupleType, is_inexact

Transform = Callable[..., Any]


def _infer(types: Sequence[ArrayType], then: Graph, otherwise: Graph) -> TupleType:
    predicate, *operands = types
    if predicate != ArrayType(np.dtype(bool), ()):
        raise TypeError(f"cond: the predicate has type {predicate}, not bool[]")
    for branch in (then, otherwise):
        if [node.type for node in branch.inputs] != operands:
            raise TypeError("cond: a branch takes other operands than it is given")
    results = [tuple(node.type for node in branch.outputs) for branch in (then, otherwise)]
    if results[0] != results[1]:
        one, two = (", ".join(map(str, items)) for items in results)
        raise TypeError(f"cond: the branches give different types: {one} and {two}")
    return TupleType(results[0])


def _evaluate(predicate: Any, *operands: Any, then: Graph, otherwise: Graph) -> tuple[Any, ...]:
    branch = then if predicate else otherwise
    return tuple(np.array(value) for value in evaluation(branch).compute(list(map(np.asarray, operands))))


def _derived(
    predicate: Any,
    values: Sequence[Any],
    moving: Sequence[Any],
    branches: Sequence[Graph],
    derive: Callable[[Graph, list[Node]], Sequence[Node | None]],
) -> list[Any]:
    """Derivatives computed by bodies over the operands and further values; None for those that are zero in both."""
    inputs = [input_node(ArrayType(value.dtype, value.shape)) for value in moving]
    found = [derive(branch, inputs) for branch in branches]
    types = [next((part.type for part in parts if part is not None), None) for parts in zip(*found, strict=True)]
    if not any(types):
        return [None] * len(types)
    outputs = []
    for parts in found:
        pairs = [(part, own) for part, own in zip(parts, types, strict=True) if own is not None]
        outputs.append([zero_node(own) if part is None else part for part, own in pairs])
    own = [[*branch.inputs, *inputs] for branch in branches]
    # A rule of somebody's own may mention values of the surroundings.
    free = list(dict.fromkeys(node for pair in zip(outputs, own, strict=True) for node in free_values(*pair)))
    bodies = [close([*slots, *free], nodes) for slots, nodes in zip(own, outputs, strict=True)]
    around = [traced(node, moving[0]) for node in free]
    made = iter(COND(predicate, *values, *moving, *around, then=bodies[0], otherwise=bodies[1]))
    return [None if own is None else next(made) for own in types]


def _backward(
    wanted: Sequence[int],
    g: Sequence[Any],
    y: Any,
    predicate: Any,
    *operands: Any,
    transform: Transform,
    then: Graph,
    otherwise: Graph,
) -> list[Any]:
    given = [place for place, part in enumerate(g) if part is not None]

    def derive(branch: Graph, cotangents: list[Node]) -> Sequence[Node | None]:
        heads = [branch.outputs[place] for place in given]
        found = transform(heads, cotangents, [branch.inputs[place - 1] for place in wanted if place])
        return list(found)

    cotangents = [g[place] for place in given]
    parts = _derived(predicate, operands, cotangents, (then, otherwise), derive)
    found = dict(zip([place for place in wanted if place], parts, strict=True))
    return [found.get(place) for place in wanted]


def _forward(
    tangents: Sequence[Any],
    y: Any,
    predicate: Any,
    *operands: Any,
    transform: Transform,
    then: Graph,
    otherwise: Graph,
) -> tuple[Any, ...]:
    given = [place for place, part in enumerate(tangents) if part is not None and place]

    def derive(branch: Graph, moves: list[Node]) -> Sequence[Node | None]:
        known = {branch.inputs[place - 1]: move for place, move in zip(given, moves, strict=True)}
        return [
            part if is_inexact(head.dtype) else None
            for head, part in zip(branch.outputs, transform(branch.outputs, known), strict=True)
        ]

    moves = [tangents[place] for place in given]
    return tuple(_derived(predicate, operands, moves, (then, otherwise), derive))


# --- batching ----------------------------------------------------------------------------------------------------


def _batched_branch(
    branch: Graph, operands: Sequence[Any], is_batched: Sequence[bool], size: int, transform: Transform
) -> tuple[list[Node], list[tuple[Node, bool]]]:
    """The inputs and outputs of a branch for all examples, and whether an output has a batch axis."""
    inputs: list[Node] = []
    moving: dict[Node, Node] = {}
    for node, value, batched in zip(branch.inputs, operands, is_batched, strict=True):
        inputs.append(input_node(ArrayType(value.dtype, value.shape)) if batched else node)
        if batched:
            moving[node] = inputs[-1]
    return inputs, transform(branch.outputs, moving, size)


def _with_axis(found: tuple[Node, bool], size: int) -> Node:
    return found[0] if found[1] else spread_node(found[0], size)


def _batched(
    inputs: Sequence[Any],
    is_batched: Sequence[bool],
    size: int,
    transform: Transform,
    then: Graph,
    otherwise: Graph,
) -> Any:
    predicate, *operands = inputs
    if is_batched[0]:
        return _selected(predicate, operands, is_batched[1:], size, transform, (then, otherwise))
    (first, one), (second, two) = (
        _batched_branch(branch, operands, is_batched[1:], size, transform) for branch in (then, otherwise)
    )
    has_axis = [a or b for (_, a), (_, b) in zip(one, two, strict=True)]
    bodies = []
    for parameters, found in ((first, one), (second, two)):
        pairs = zip(found, has_axis, strict=True)
        bodies.append(close(parameters, [_with_axis(pair, size) if wanted else pair[0] for pair, wanted in pairs]))
    made = COND(predicate, *operands, then=bodies[0], otherwise=bodies[1])
    return tuple(value if batched else Same(value) for value, batched in zip(made, has_axis, strict=True))


def _selected(
    predicate: Any,
    operands: Sequence[Any],
    is_batched: Sequence[bool],
    size: int,
    transform: Transform,
    branches: Sequence[Graph],
) -> Any:
    """Each branch for all examples, if any of them takes it, and of its results those of the examples that do.

    A branch sees, in place of the operands of an example that takes the other one, those of an example that takes it:
    it never computes what it would not have been asked for, an error or a NaN that spoils a derivative.
    """
    results = []
    for branch, taken in zip(branches, (predicate, np.logical_not(predicate)), strict=True):
        own = [
            only_where(taken, value) if batched else value for value, batched in zip(operands, is_batched, strict=True)
        ]
        parameters, found = _batched_branch(branch, own, is_batched, size, transform)
        body = close(parameters, [_with_axis(pair, size) for pair in found])
        nothing = Graph(body.inputs, tuple(zero_node(node.type) for node in body.outputs))
        results.append(COND(np.any(taken), *own, then=body, otherwise=nothing))
    pairs = zip(*results, strict=True)
    return tuple(OPS["where"](*aligned([predicate, one, two], [True] * 3)) for one, two in pairs)


COND: Op = declare(
    Op(
        "cond",
        "cond",
        _infer,
        _evaluate,
        vjp=_backward,
        jvp=_forward,
        batch=_batched,
        higher_order=True,
        doc="Runs the first of two bodies if a predicate holds and else the second, on the same operands.",
    )
)
