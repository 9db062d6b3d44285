"""Applies lists of rules to a graph, bottom-up, until none applies anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from tracer.errors import GraphError
from tracer.graph.graph import Graph, toposort
from tracer.graph.node import CONSTANT, INPUT, Node, blame, make_node
from tracer.graph.op import OPS, Op
from tracer.rewrite.rule import NUMBER, NUMBERS, TRANSPARENT, TWICE, AnyRule, Frozen, Rule, Scalar, scalar_value

_LIMIT = 20
"""Rewrites per node of a graph, on top of a thousand, after which the rules are taken to run in circles."""


Kind = Op | Scalar | None
"""What a rule's outermost level sees of an input: its op, a scalar constant, or None for a frozen node."""


class Index:
    """The rules of a list that can apply to a node, found from its op and the kinds of its inputs."""

    def __init__(self, rules: tuple[AnyRule, ...]) -> None:
        self.rules = rules
        self._beyond: dict[Index | None, Index] = {None: self}
        self._of_op: dict[Op, list[tuple[int, AnyRule]]] = {}
        self._of_family: dict[str, list[tuple[int, AnyRule]]] = {}
        for place, rule in enumerate(rules):
            if isinstance(rule, Rule):
                self._of_op.setdefault(rule.term.op, []).append((place, rule))
            else:
                for family in rule.families:
                    self._of_family.setdefault(family, []).append((place, rule))
        self._starting: dict[Op, list[AnyRule]] = {}
        self._found: dict[Op, dict[Any, tuple[AnyRule, ...]]] = {}

    def beyond(self, other: Index | None) -> Index:
        """The rules of the list that are not in another: those left for a node that the other has settled."""
        found = self._beyond.get(other)
        if found is None:
            known = frozenset(() if other is None else other.rules)
            found = self._beyond[other] = Index(tuple([rule for rule in self.rules if rule not in known]))
        return found

    def starting_at(self, operation: Op) -> list[AnyRule]:
        """The rules for nodes of an op, in the order of the list."""
        found = self._starting.get(operation)
        if found is None:
            rules = sorted([*self._of_op.get(operation, ()), *self._of_family.get(operation.family, ())])
            found = self._starting[operation] = [rule for _, rule in rules]
        return found

    def rules_for(self, node: Node, frozen: Frozen) -> tuple[AnyRule, ...]:
        """The rules whose outermost two levels fit this node, in the order of the list."""
        operation, inputs = node.op, node.inputs
        known = self._found.get(operation)
        if known is None:
            known = self._found[operation] = {}
        kinds = tuple([_kind(item, frozen) if item.op in _SCALARS or item in frozen else item.op for item in inputs])
        twice = len(inputs) == 2 and inputs[0] is inputs[1]
        key = (kinds, twice) if twice else kinds
        found = known.get(key)
        if found is None:
            found = known[key] = self._fitting(operation, kinds, twice)
        return found

    def _fitting(self, operation: Op, kinds: tuple[Kind, ...], twice: bool) -> tuple[AnyRule, ...]:
        scalars = [kind.op for kind in kinds if isinstance(kind, Scalar)]
        given: set[Any] = {*kinds, *scalars, NUMBER} if scalars else set(kinds)
        if twice:
            given.add(TWICE)
        rules = [rule for rule in self.starting_at(operation) if rule.needed <= given]
        return tuple([rule for rule in rules if not rule.needed or rule.fits(operation, kinds)])


_SCALARS = frozenset((CONSTANT, *(OPS[name] for name in TRANSPARENT)))
"""Ops that may make a scalar constant."""


def _kind(node: Node, frozen: Frozen) -> Kind:
    if node in frozen:
        return None
    value = scalar_value(node)
    if value is None:
        return node.op
    number = value.item()
    return Scalar(node.op, number if number in NUMBERS else None)


@lru_cache(maxsize=64)
def index_of(rules: tuple[AnyRule, ...]) -> Index:
    """The index of a list of rules, built once."""
    return Index(rules)


def rewrite(
    graph: Graph,
    rules: Sequence[AnyRule],
    frozen: Frozen = frozenset(),
    strict: bool = False,
    replacements: Mapping[Node, Node] = MappingProxyType({}),
    order: Sequence[Node] | None = None,
) -> Graph:
    """Rewrite the outputs of a graph with a list of rules until none applies.

    Inputs are rewritten before their users, so one walk reaches the fixed point. Nodes in `frozen` are leaves: they
    are neither replaced nor looked into. Nodes in `replacements` are replaced, by leaves, to begin with. `order` is
    that of the nodes above the outputs, where it is known. If rules run in circles, rewriting stops; with `strict` it
    raises GraphError.
    """
    if order is None:
        order = toposort(graph.outputs, {*frozen, *replacements}) if frozen or replacements else graph.nodes()
    walk = _Walk(index_of(tuple(rules)), frozen, 1000 + _LIMIT * len(order), strict)
    final, beyond = walk.final, walk.index.beyond
    final.update(replacements)
    for node in order:
        if node in final:
            continue
        left = beyond(node.settled).starting_at(node.op)
        if not left and (node in frozen or tuple([final[item] for item in node.inputs]) == node.inputs):
            walk.keep(node)
        else:
            replacement = walk.step(node)
            if replacement is not None:
                walk.settle(node, replacement)
    outputs = tuple([final[node] for node in graph.outputs])
    return graph if outputs == graph.outputs else Graph(graph.inputs, outputs)


class _Walk:
    """One walk over a graph: `final` holds what each node has become."""

    def __init__(self, index: Index, frozen: Frozen, fuel: int, strict: bool) -> None:
        self.index = index
        self.frozen = frozen
        self.fuel = fuel
        self.strict = strict
        self.final: dict[Node, Node] = {}
        # Where nothing is made of these, rules see what they see elsewhere. An input is a leaf to them anyhow.
        self.held = {node for node in frozen if node.op is not INPUT}

    def keep(self, node: Node) -> bool:
        """Take a node as final; gives whether it would be so in any walk with these rules."""
        self.final[node] = node
        if not self.held or self.held.isdisjoint(node.inputs):
            return True
        self.held.add(node)
        return False

    def settle(self, first: Node, built: Node) -> None:
        """Rewrite what a node is to be replaced by, and everything that this is made of."""
        # A node waits below its inputs; one that was replaced, below its replacement.
        stack: list[tuple[Node, Node | None]] = [(first, built), (built, None)]
        final = self.final
        while stack:
            node, replacement = stack.pop()
            if replacement is not None:
                final[node] = final[replacement]
                continue
            if node in final:
                continue
            waiting = [] if node in self.frozen else [item for item in node.inputs if item not in final]
            if waiting:
                stack.append((node, None))
                stack.extend([(item, None) for item in reversed(waiting)])
                continue
            replacement = self.step(node)
            if replacement is not None:
                stack += [(node, replacement), (replacement, None)]

    def step(self, node: Node) -> Node | None:
        """Make a node whose inputs are final so too, or return what it is to be replaced by."""
        final = self.final
        if node in final:
            return None
        if not node.inputs or node in self.frozen:
            final[node] = node
            return None
        inputs = tuple([final[item] for item in node.inputs])
        made = node
        if inputs != node.inputs:
            with blame(node.line):
                made = make_node(node.op, inputs, node.params)
            if made in final:
                final[node] = final[made]
                return None
        if self.fuel > 0 and made not in self.frozen:
            left = self.index.beyond(made.settled)
            for rule in left.rules_for(made, self.frozen) if left.starting_at(made.op) else ():
                built = rule.apply(made, self.frozen)
                if built is not None and built is not made:
                    self._spend(made)
                    return built
            if self.keep(made):
                made.settled = self.index
        final[node] = final[made] = made
        return None

    def _spend(self, node: Node) -> None:
        self.fuel -= 1
        if self.fuel == 0 and self.strict:
            raise GraphError(f"rules run in circles at {node!r}, made at {node.line}")
