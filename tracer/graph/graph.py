"""Graphs: ordered inputs and outputs over nodes; walking, substituting and verifying them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from tracer.errors import GraphError
from tracer.graph.node import CONSTANT, INPUT, Node, blame, make_node
from tracer.graph.op import Op
from tracer.records import NamedTuple


class _Fields(NamedTuple):
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]


class Graph(_Fields):
    """A function of nodes: `inputs` in call order and `outputs`, effects among them, in a fixed order."""

    _nodes: list[Node] | None = None
    _ops: frozenset[Op] | None = None

    def nodes(self) -> list[Node]:
        """Every node that the outputs need, inputs before users; found once, and not to be changed."""
        if self._nodes is None:
            self._nodes = toposort(self.outputs)
        return self._nodes

    def ops(self) -> frozenset[Op]:
        """The ops of its nodes, found once: most passes have nothing to do where one of them is missing."""
        if self._ops is None:
            self._ops = frozenset([node.op for node in self.nodes()])
        return self._ops

    def with_inputs(self, inputs: Sequence[Node]) -> Graph:
        """A graph of the same outputs whose inputs are listed."""
        graph = Graph(tuple(inputs), self.outputs)
        graph._nodes = self._nodes
        return graph


def toposort(outputs: Iterable[Node], stop: Set[Node] = frozenset()) -> list[Node]:
    """Order the ancestors of nodes so that each comes after its inputs; nodes in `stop` count as leaves.

    Iterative, linear in the number of edges, and the same order for the same graph.
    """
    order: list[Node] = []
    finished: set[Node] = set()
    for output in outputs:
        stack = [output]
        while stack:
            node = stack[-1]
            if node not in finished:
                inputs = node.inputs
                if not finished.issuperset(inputs) and node not in stop:
                    stack += [item for item in inputs[::-1] if item not in finished]
                    continue
                finished.add(node)
                order.append(node)
            stack.pop()
    return order


def rebuild(
    outputs: Sequence[Node],
    transform: Callable[[Node, tuple[Node, ...]], Node | None],
    replacements: Mapping[Node, Node] | None = None,
    order: Sequence[Node] | None = None,
) -> tuple[Node, ...]:
    """Rebuild a graph bottom-up: `transform(node, new_inputs)` returns the new node, or None to keep the op.

    `order` is that of the nodes above the outputs, where it is known.
    """
    new: dict[Node, Node] = dict(replacements or {})
    for node in toposort(outputs, stop=set(new)) if order is None else order:
        if node in new:
            continue
        inputs = tuple([new[item] for item in node.inputs])
        changed = transform(node, inputs)
        if changed is None:
            changed = node if inputs == node.inputs else _remake(node, inputs)
        new[node] = changed
    return tuple(new[node] for node in outputs)


def _remake(node: Node, inputs: tuple[Node, ...]) -> Node:
    with blame(node.line):
        return make_node(node.op, inputs, node.params)


def substitute(outputs: Sequence[Node], replacements: Mapping[Node, Node]) -> tuple[Node, ...]:
    """Replace nodes by others throughout a graph; a replacement may mention what it replaces."""
    return rebuild(outputs, lambda node, inputs: None, replacements)


def depends_on(outputs: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """The nodes above `outputs` (inclusive) that depend on any of `sources` (inclusive)."""
    reached = set(sources)
    for node in toposort(outputs):
        if node not in reached and any(item in reached for item in node.inputs):
            reached.add(node)
    return reached


def verify(graph: Graph) -> None:
    """Check that a graph keeps its own rules; raises GraphError naming the node that does not.

    Checked: every leaf is a constant or a declared input, inputs are distinct, and each node's type is what its op
    infers from its inputs; and the same of the graphs that nodes hold.
    """
    declared = set(graph.inputs)
    if len(declared) != len(graph.inputs):
        raise GraphError("a graph lists one input twice")
    for node in graph.inputs:
        if node.op is not INPUT:
            raise GraphError(f"{node!r} is listed as an input but is computed")
    for node in graph.nodes():
        if node.op is INPUT:
            if node not in declared:
                raise GraphError(f"{node!r} (made at {node.line}) is used but not among the graph's inputs")
        elif node.op is not CONSTANT:
            expected = node.op.infer([item.type for item in node.inputs], **node.params)
            if expected != node.type:
                raise GraphError(f"{node!r} should have type {expected} (made at {node.line})")
            for body in node.params.values():
                if isinstance(body, Graph):
                    verify(body)
