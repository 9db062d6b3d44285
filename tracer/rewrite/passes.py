"""The passes over a graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tracer.errors import GraphError
from tracer.graph import graph as graphs
from tracer.graph.body import inline
from tracer.graph.graph import Graph, rebuild
from tracer.graph.node import ITEM, Node
from tracer.graph.op import Op
from tracer.ops.checkpointing import CHECKPOINT
from tracer.ops.gradient_control import IDENTITIES, MARK, RULED
from tracer.phases import phase, timed
from tracer.rewrite.algebra import ALGEBRA
from tracer.rewrite.branches import lazy_branches
from tracer.rewrite.canonical import CANONICAL
from tracer.rewrite.draws import merge_draws
from tracer.rewrite.driver import index_of, rewrite
from tracer.rewrite.factors import share_factors, use_triangles
from tracer.rewrite.loops import has_bodies, map_bodies, merge, prune
from tracer.rewrite.motion import move_out
from tracer.rewrite.rule import Frozen, Rule
from tracer.rewrite.short_axes import write_out_short_axes
from tracer.rewrite.sorts import share_sorts
from tracer.rewrite.stabilise import STABILISE
from tracer.rewrite.stencils import gather_windows

Pass = Callable[[Graph], Graph]

STABLE = (*STABILISE, *CANONICAL)
CHEAP = (*CANONICAL, *ALGEBRA)
index_of(CHEAP).beyond(index_of(STABLE))  # here, since every first call needs them

_ARITHMETIC = frozenset("add subtract multiply divide negative reciprocal square sum max prod".split())


def _seeds() -> frozenset[Op]:
    """Ops without any of which no formula is unstable: most graphs that a loop unrolled have none of them."""
    found: set[Op] = set()
    for rule in STABILISE:
        if isinstance(rule, Rule):
            found |= rule.ops
    return frozenset([item for item in found if item.family == "elementwise" and item.name not in _ARITHMETIC])


_SEEDS = _seeds()


def stabilise(
    graph: Graph,
    frozen: Frozen = frozenset(),
    replacements: Mapping[Node, Node] = MappingProxyType({}),
    order: Sequence[Node] | None = None,
) -> Graph:
    """Replace formulas that overflow or cancel; nodes in `frozen` keep their identity and stay in the graph.

    Without `replacements` so do marks, which a derivative that is still to be taken knows. `replacements` and `order`
    are as for `rewrite`.
    """
    ops = graph.ops() if order is None else {node.op for node in order}
    if MARK in ops and not replacements:
        frozen = frozen.union([node for node in graph.nodes() if node.op is MARK])
    rules = CANONICAL if _SEEDS.isdisjoint(ops) else STABLE
    nested = any(item.higher_order for item in ops)
    graph = rewrite(graph, rules, frozen, replacements=replacements, order=order if replacements else None)
    return map_bodies(graph, stabilise, frozen) if nested else graph


def simplify(graph: Graph) -> Graph:
    """Fold, collapse and reorder towards fewer operations."""
    return rewrite(graph, CHEAP)


_FOR_DERIVATIVES = frozenset((*IDENTITIES, RULED, CHECKPOINT))


def forget_derivatives(graph: Graph) -> Graph:
    """Drop what only derivatives heed: they have been taken, or never will be.

    What a derivative computes again stays apart (RECOMPUTE): shared with what it repeats, that would have to be kept.
    """
    if _FOR_DERIVATIVES.isdisjoint(graph.ops()):
        return graph
    inlined: dict[Node, tuple[Node, ...]] = {}

    def value_alone(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op in IDENTITIES:
            return inputs[0]
        if node.op is not ITEM or inputs[0].op not in (RULED, CHECKPOINT):
            return None
        maker = inputs[0]
        if maker.op is RULED:
            return maker.inputs[node.params["index"]]
        if maker not in inlined:
            inlined[maker] = inline(forget_derivatives(maker.params["body"]), maker.inputs)
        return inlined[maker][node.params["index"]]

    return Graph(graph.inputs, rebuild(graph.outputs, value_alone))


def merge_loops(graph: Graph) -> Graph:
    """Make one of loops over the same: a derivative asks for what it needs by repeating the loop it came from."""
    return merge(graph) if has_bodies(graph) else graph


def optimise_loops(graph: Graph) -> Graph:
    """Rewrite the bodies of loops and conditions, and move out of them what need not be done at every step."""
    if not has_bodies(graph):
        return graph
    graph = move_out(prune(map_bodies(prune(graph), optimise)))
    return simplify(prune(graph))


PASSES: list[tuple[str, Pass]] = [
    ("forget derivatives", forget_derivatives),
    ("stabilise", stabilise),
    ("merge loops", merge_loops),
    ("simplify", simplify),
    ("optimise loops", optimise_loops),
    ("lazy branches", lazy_branches),
    ("gather windows", gather_windows),
    ("write out short axes", write_out_short_axes),
    ("merge draws", merge_draws),
    ("share sorts", share_sorts),
    ("use triangles", use_triangles),
    ("share factors", share_factors),
]
"""What `optimise` runs, top to bottom: common subexpressions are shared and dead code is gone by construction."""


@timed("rewrite")
def optimise(graph: Graph, verify: bool = False, passes: Sequence[tuple[str, Pass]] | None = None) -> Graph:
    """Run every pass, or those given; with `verify`, check the graph after each and name a pass that breaks it."""
    for name, run in PASSES if passes is None else passes:
        before = graph
        with phase(name):
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
