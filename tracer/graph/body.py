"""Graphs inside ops: the body of a loop, the branches of a condition, and how a loop feeds its body.

A body is a `Graph` and a static parameter of its op. Its inputs are parameters that all bodies share, told apart by
place and type alone, so that equal bodies are equal graphs and hash-consing goes on as for any other op.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tracer.graph.graph import Graph, substitute, toposort
from tracer.graph.node import INPUT, Node, input_node
from tracer.records import NamedTuple
from tracer.types import ArrayType

Item = TypeVar("Item")

_parameters: weakref.WeakValueDictionary[tuple[int, ArrayType], Node] = weakref.WeakValueDictionary()


def parameter(place: int, node_type: ArrayType) -> Node:
    """The input that stands at a place in every body."""
    found = _parameters.get((place, node_type))
    if found is None:
        found = _parameters[place, node_type] = input_node(node_type, f"p{place}")
        found.line = None
    return found


def close(inputs: Sequence[Node], outputs: Sequence[Node]) -> Graph:
    """Make a body of outputs over distinct inputs: its inputs become the parameters of their places."""
    own = tuple(parameter(place, node.type) for place, node in enumerate(inputs))
    return Graph(own, substitute(outputs, dict(zip(inputs, own, strict=True))))


def inline(body: Graph, inputs: Sequence[Node]) -> tuple[Node, ...]:
    """The outputs of a body computed from other nodes."""
    return substitute(body.outputs, dict(zip(body.inputs, inputs, strict=True)))


def bodies_of(node: Node) -> list[Graph]:
    """The graphs among the parameters of a node."""
    found: list[Graph] = []
    for value in node.params.values():
        if isinstance(value, Graph):
            found.append(value)
    return found


def free_values(
    outputs: Sequence[Node], bound: Iterable[Node], around: Iterable[Node] = (), whole: bool = True
) -> list[Node]:
    """What a body would use of its surroundings: nodes that are neither constant nor computed from `bound`.

    What is `around` is there already, and is not looked into. With `whole` the largest such values, to be computed
    outside once; otherwise inputs and what is around.
    """
    leaves = set(around)
    order = toposort(outputs, stop=leaves)
    inside: set[Node] = set(bound)
    known: set[Node] = set()
    for node in order:
        if node in inside or (node not in leaves and any(item in inside for item in node.inputs)):
            inside.add(node)
        elif node.op is not INPUT and (node.is_constant or node not in leaves) and all(i in known for i in node.inputs):
            known.add(node)
    free = [node for node in order if node not in inside and node not in known]
    if not whole:
        return [node for node in free if node.op is INPUT or node in leaves]
    used = {item for node in order if node in inside for item in node.inputs}.union(outputs)
    return [node for node in free if node in used]


class Arguments(NamedTuple):
    """The inputs of a scan, or what belongs to each of them."""

    sequences: Sequence[Any]
    initials: Sequence[Any]
    carries: Sequence[Any]
    fixed: Sequence[Any]
    count: Any


class Parameters(NamedTuple):
    """The inputs of a scan's body: `taps` has a list for each state, in the order of its lags."""

    slices: Sequence[Any]
    taps: Sequence[Sequence[Any]]
    carries: Sequence[Any]
    fixed: Sequence[Any]


class Results(NamedTuple):
    """The outputs of a scan or of its body: states (or their histories), carries and outputs, and what comes last."""

    states: Sequence[Any]
    carries: Sequence[Any]
    outputs: Sequence[Any]
    last: Any


class Frame(NamedTuple):
    """How a scan runs its body.

    Attributes
    ----------
    steps : int
        How often, at most.
    sequences : int
        Arrays of which step s reads row t, where t is s, or counted from the end with `reverse`.
    lags : tuple of tuples of int
        For each state which earlier rows a step reads: lag k, the row that was written k steps before.
    carries : int
        Values of which only the last is kept.
    outputs : int
        Values of which every step writes row t.
    until : bool
        Whether the last output of the body says that this was the last step.
    counted : bool
        Whether the last input says how many steps to run; t then starts or ends at it.
    reverse : bool
        Whether t runs backwards.
    truncate : int
        Over how many steps, counted from the end, the derivative of reverse mode goes back; -1: over all.
    """

    steps: int
    sequences: int
    lags: tuple[tuple[int, ...], ...]
    carries: int
    outputs: int
    until: bool = False
    counted: bool = False
    reverse: bool = False
    truncate: int = -1

    def __str__(self) -> str:
        words = [f"{self.steps} steps"]
        words += ["reverse"] * self.reverse + ["until"] * self.until + ["counted"] * self.counted
        words += [f"lags {', '.join(map(str, lags))}" for lags in self.lags if lags != (1,)]
        words += [f"truncate {self.truncate}"] * (self.truncate >= 0)
        return ", ".join(words)

    def arguments(self, inputs: Sequence[Item]) -> Arguments:
        """Sort what belongs to the inputs of the scan."""
        values = list(inputs)
        count = values.pop() if self.counted else None
        sequences, values = values[: self.sequences], values[self.sequences :]
        initials, values = values[: len(self.lags)], values[len(self.lags) :]
        return Arguments(sequences, initials, values[: self.carries], values[self.carries :], count)

    def parameters(self, inputs: Sequence[Item]) -> Parameters:
        """Sort what belongs to the inputs of the body."""
        values = list(inputs)
        slices, values = values[: self.sequences], values[self.sequences :]
        taps = []
        for lags in self.lags:
            taps.append(values[: len(lags)])
            values = values[len(lags) :]
        return Parameters(slices, taps, values[: self.carries], values[self.carries :])

    def results(self, outputs: Sequence[Item]) -> Results:
        """Sort what belongs to the outputs of the body, or to those of the scan."""
        values = list(outputs)
        last = values.pop() if self.until else None
        states, values = values[: len(self.lags)], values[len(self.lags) :]
        return Results(states, values[: self.carries], values[self.carries :], last)
