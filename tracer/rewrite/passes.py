"""The passes over a graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from tracer.errors import GraphError
from tracer.graph import graph as graphs
from tracer.graph.graph import Graph
from tracer.rewrite.algebra import ALGEBRA
from tracer.rewrite.canonical import CANONICAL
from tracer.rewrite.driver import rewrite
from tracer.rewrite.rule import Frozen
from tracer.rewrite.stabilise import STABILISE

Pass = Callable[[Graph], Graph]

STABLE = (*STABILISE, *CANONICAL)
CHEAP = (*CANONICAL, *ALGEBRA)


def stabilise(graph: Graph, frozen: Frozen = frozenset()) -> Graph:
    """Replace formulas that overflow or cancel; nodes in `frozen` keep their identity and stay in the graph."""
    return rewrite(graph, STABLE, frozen)


def simplify(graph: Graph) -> Graph:
    """Fold, collapse and reorder towards fewer operations."""
    return rewrite(graph, CHEAP)


PASSES: list[tuple[str, Pass]] = [
    ("stabilise", stabilise),
    ("simplify", simplify),
]
"""What `optimise` runs, top to bottom: common subexpressions are shared and dead code is gone by construction."""


def optimise(graph: Graph, verify: bool = False) -> Graph:
    """Run every pass; with `verify`, check the graph's own rules after each and name the pass that broke one."""
    for name, run in PASSES:
        before = graph
        graph = run(graph)
        if verify:
            _check(name, before, graph)
    return graph


def _check(name: str, before: Graph, after: Graph) -> None:
    try:
        graphs.verify(after)
    except GraphError as error:
        raise GraphError(f"after the pass {name!r}: {error}") from error
    for old, new in zip(before.outputs, after.outputs, strict=True):
        if old.type != new.type:
            raise GraphError(f"the pass {name!r} changed an output from {old.type} to {new.type} (made at {old.line})")
