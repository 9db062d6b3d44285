"""Conditions: the op `cond`, which runs one of two bodies and leaves the other alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.body import close
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph
from tracer.graph.looping import zero_node
from tracer.graph.node import Node, input_node
from tracer.graph.op import Op, declare
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
    branches: Sequence[Graph], moving: Sequence[Any], derive: Callable[[Graph, list[Node]], Sequence[Node | None]]
) -> tuple[list[Graph], list[bool]]:
    """Bodies over the operands and further values that compute derivatives, and which of these are not zero in both."""
    inputs = [input_node(ArrayType(value.dtype, value.shape)) for value in moving]
    found = [derive(branch, inputs) for branch in branches]
    types = [next((part.type for part in parts if part is not None), None) for parts in zip(*found, strict=True)]
    bodies = []
    for branch, parts in zip(branches, found, strict=True):
        pairs = [(part, own) for part, own in zip(parts, types, strict=True) if own is not None]
        outputs = [zero_node(own) if part is None else part for part, own in pairs]
        bodies.append(close([*branch.inputs, *inputs], outputs))
    return bodies, [own is not None for own in types]


def _apply(predicate: Any, values: Sequence[Any], bodies: Sequence[Graph], used: Sequence[bool]) -> list[Any]:
    if not any(used):
        return [None] * len(used)
    made = iter(COND(predicate, *values, then=bodies[0], otherwise=bodies[1]))
    return [next(made) if own else None for own in used]


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
    bodies, used = _derived((then, otherwise), cotangents, derive)
    parts = _apply(predicate, [*operands, *cotangents], bodies, used)
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
    bodies, used = _derived((then, otherwise), moves, derive)
    return tuple(_apply(predicate, [*operands, *moves], bodies, used))


COND: Op = declare(
    Op(
        "cond",
        "cond",
        _infer,
        _evaluate,
        vjp=_backward,
        jvp=_forward,
        higher_order=True,
        doc="Runs the first of two bodies if a predicate holds and else the second, on the same operands.",
    )
)
