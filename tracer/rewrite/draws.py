"""Draws that follow each other become one: a generator is given its state, and asked for it, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tracer.graph.graph import Graph, rebuild
from tracer.graph.node import ITEM, Node, make_node
from tracer.ops.generators import DRAW, DRAWS


def merge_draws(graph: Graph) -> Graph:
    """Merge each run of draws from one generator of which only the first may need what was drawn before.

    A later one whose parameters come of no draw can be made together with the first, and no cycle can arise.
    """
    if DRAW not in graph.ops():
        return graph
    order = graph.nodes()
    if sum(node.op is DRAW for node in order) < 2:
        return graph
    runs = {run[0]: run for run in _runs(graph, order) if len(run) > 1}
    if not runs:
        return graph
    places = {node: (run[0], place) for run in runs.values() for place, node in enumerate(run)}
    merged: dict[Node, Node] = {}

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node in places:
            first, place = places[node]
            if not place:
                run = runs[first]
                parameters = [item for later in run[1:] for item in later.inputs[1:]]
                draws = tuple(item.params["draw"] for item in run)
                merged[first] = make_node(DRAWS, (*inputs, *parameters), {"draws": draws})
            return merged[first]
        if node.op is ITEM and node.inputs[0] in places:
            index = places[node.inputs[0]][1] + 1 if node.params["index"] else 0
            return make_node(ITEM, inputs, {"index": index})
        return None

    return Graph(graph.inputs, rebuild(graph.outputs, transform))


def _runs(graph: Graph, order: Sequence[Node]) -> list[list[Node]]:
    """Draws in a row; the states between them are not used otherwise."""
    uses = Counter(item for node in order for item in set(node.inputs))
    uses.update(graph.outputs)
    random: set[Node] = set()
    runs: dict[Node, list[Node]] = {}
    for node in order:
        if node.op.draws or not random.isdisjoint(node.inputs):
            random.add(node)
        if node.op is not DRAW or len(node.inputs[0].shape) > 1:
            continue
        state = node.inputs[0]
        before = runs.get(state.inputs[0]) if state.op is ITEM and not state.params["index"] else None
        if before is None or uses[state] > 1 or not random.isdisjoint(node.inputs[1:]):
            before = []
        before.append(node)
        runs[node] = before
    return list({id(run): run for run in runs.values()}.values())
