"""Where an array is sorted and the places of its elements are asked for too, it is sorted once."""

from __future__ import annotations

from tracer.graph.graph import Graph, rebuild
from tracer.graph.node import ITEM, Node, blame, make_node
from tracer.ops.cumulative import ARGSORT, SORT, SORT_PLACES


def share_sorts(graph: Graph) -> Graph:
    """Let a sort and a stable argsort of the same array along the same axis be one op; others stay what they are."""
    if not {SORT, ARGSORT} <= graph.ops():
        return graph
    order = graph.nodes()
    sorts = {_subject(node) for node in order if node.op is SORT}
    shared = sorts & {_subject(node) for node in order if node.op is ARGSORT and node.params["kind"] in _STABLE}
    if not shared:
        return graph

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        is_places = node.op is ARGSORT and node.params["kind"] in _STABLE
        if not (is_places or node.op is SORT) or _subject(node) not in shared:
            return None
        with blame(node.line):
            both = make_node(SORT_PLACES, inputs, {"axis": node.params["axis"]})
            return make_node(ITEM, (both,), {"index": int(is_places)})

    return Graph(graph.inputs, rebuild(graph.outputs, transform, order=order))


_STABLE = ("stable", "mergesort")


def _subject(node: Node) -> tuple[Node, int]:
    return node.inputs[0], node.params["axis"]
