"""Applies lists of rules to a graph, bottom-up, until none applies anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tracer.errors import GraphError
from tracer.graph.graph import Graph
from tracer.graph.node import CONSTANT, INPUT, Node, blame, make_node
from tracer.graph.op import Op
from tracer.rewrite.rule import AnyRule, Apply, Frozen, Rule, Wildcard, scalar_value

_LIMIT = 20
"""How many rewrites a graph may take per node of it, on top of a thousand, before the rules are taken to run in circles."""


class Index:
    """The rules of a list that can apply to a node, found from its op and those of its inputs."""

    def __init__(self, rules: tuple[AnyRule, ...]) -> None:
        self.rules = rules
        self._found: dict[Any, tuple[AnyRule, ...]] = {}

    def rules_for(self, node: Node, frozen: Frozen) -> tuple[AnyRule, ...]:
        """The rules whose outermost two levels fit this node, in the order of the list."""
        kinds = tuple([self._kind(item, frozen) for item in node.inputs])
        key = (node.op, kinds)
        found = self._found.get(key)
        if found is None:
            found = tuple(rule for rule in self.rules if rule.roots(node.op) and _fits(rule, kinds))
            self._found[key] = found
        return found

    @staticmethod
    def _kind(node: Node, frozen: Frozen) -> Any:
        operation = node.op
        if operation.family != "view" and operation.name != "astype":
            return None if node in frozen else operation
        if node in frozen:
            return None
        return operation if scalar_value(node) is None else (operation, CONSTANT)


def _fits(rule: AnyRule, kinds: tuple[Any, ...]) -> bool:
    if not isinstance(rule, Rule):
        return True
    present: set[Op] = set()
    for kind in kinds:
        present.update(kind if isinstance(kind, tuple) else () if kind is None else (kind,))
    needed = [item for item in rule.term.inputs if not isinstance(item, Wildcard) or item.scalar]
    return len(rule.term.inputs) == len(kinds) and all(
        (item.op if isinstance(item, Apply) else CONSTANT) in present for item in needed
    )


@lru_cache(maxsize=64)
def index_of(rules: tuple[AnyRule, ...]) -> Index:
    """The index of a list of rules, built once."""
    return Index(rules)


def rewrite(graph: Graph, rules: Sequence[AnyRule], frozen: Frozen = frozenset(), strict: bool = False) -> Graph:
    """Rewrite the outputs of a graph with a list of rules until none applies.

    Inputs are rewritten before their users, so one walk reaches the fixed point. Nodes in `frozen` are leaves: they
    are neither replaced nor looked into. If rules run in circles, rewriting stops; with `strict` it raises GraphError.
    """
    index = index_of(tuple(rules))
    final: dict[Node, Node] = {}
    fuel = 1000
    stack: list[tuple[Node, Node | None]] = [(node, None) for node in reversed(graph.outputs)]
    while stack:
        node, replacement = stack.pop()
        if replacement is not None:
            final[node] = final[replacement]
            continue
        if node in final:
            continue
        if not node.inputs or node in frozen:
            final[node] = node
            continue
        waiting = [item for item in node.inputs if item not in final]
        if waiting:
            fuel += _LIMIT
            stack.append((node, None))
            stack.extend([(item, None) for item in reversed(waiting)])
            continue
        remade = _remake(node, final)
        found = final.get(remade)
        if found is None:
            found = _apply_first(index, remade, frozen, fuel > 0)
        if found is None or found is remade:
            final[node] = final[remade] = remade
            continue
        fuel -= 1
        if fuel == 0 and strict:
            raise GraphError(f"rules run in circles at {node!r}, made at {node.line}")
        final.setdefault(remade, found) if found in final else None
        stack.append((node, found))
        if remade is not node and found not in final:
            stack.append((remade, found))
        stack.append((found, None))
    return Graph(graph.inputs, tuple(final[node] for node in graph.outputs))


def _remake(node: Node, final: dict[Node, Node]) -> Node:
    inputs = tuple([final[item] for item in node.inputs])
    if inputs == node.inputs:
        return node
    with blame(node.line):
        return make_node(node.op, inputs, node.params)


def _apply_first(index: Index, node: Node, frozen: Frozen, active: bool) -> Node | None:
    if active:
        for rule in index.rules_for(node, frozen):
            built = rule.apply(node, frozen)
            if built is not None and built is not node:
                return built
    return None


__all__ = ["INPUT", "Index", "index_of", "rewrite"]
