"""Laziness: what only one side of a choice needs moves into a branch of a condition, which runs only if taken.

Until here `ifelse` was an op like any other, so that derivatives and rewrites saw through it. Where a value is needed
is written as a path of predicates and sides: ((c, True),) stands for what is needed only if c holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer.graph.body import close
from tracer.graph.graph import Graph, rebuild, toposort
from tracer.graph.looping import zero_node
from tracer.graph.node import INPUT, ITEM, Node, blame, input_node, item_nodes, make_node
from tracer.graph.op import OPS
from tracer.ops.branching import IFELSE
from tracer.ops.control import COND
from tracer.rewrite.choices import sunk

Path = tuple[tuple[Node, bool], ...]
Use = tuple[Node, Path]
"""A node and the path on which it is used."""


def lazy_branches(graph: Graph) -> Graph:
    """Make conditions of all choices."""
    if IFELSE not in graph.ops():
        return graph
    outputs = rebuild(graph.outputs, sunk)
    order = toposort(outputs)
    level = _Level(_Paths(order, outputs), (), None, {}, {})
    level.new.update((node, node) for node in graph.inputs)
    return Graph(graph.inputs, tuple(level.run(outputs)))


def _resolved(node: Node, path: Path) -> Node:
    """What a node is where the outcome of the predicates on a path is known."""
    while node.op is IFELSE:
        side = next((side for predicate, side in path if predicate is node.inputs[0]), None)
        if side is None:
            break
        node = node.inputs[1 if side else 2]
    return node


def _uses(node: Node, path: Path) -> list[Use]:
    """The inputs of a node, and where they are used."""
    if node.op is not IFELSE:
        return [(item, path) for item in node.inputs]
    predicate, then, otherwise = node.inputs
    return [(predicate, path), (then, (*path, (predicate, True))), (otherwise, (*path, (predicate, False)))]


class _Paths:
    """For each node the longest path on which all of its uses lie, and its place in the order of the graph."""

    def __init__(self, order: Sequence[Node], outputs: Iterable[Node]) -> None:
        self.places = {node: place for place, node in enumerate(order)}
        self.found: dict[Node, Path] = {}
        items: dict[Node, list[Node]] = {}
        for node in outputs:
            self._meet(node, ())
        for node in reversed(order):
            path = self.found.get(node)
            if path is None:
                continue
            if node.op is ITEM:
                items.setdefault(node.inputs[0], []).append(node)
            for item in items.get(node, ()):
                self.found[item] = path  # outputs of one op stay together: only arrays cross the border of a branch
            for item, where in _uses(node, path):
                self._meet(item, where)

    def _meet(self, node: Node, path: Path) -> None:
        node = _resolved(node, path)
        before = self.found.get(node, path)
        common = 0
        while common < min(len(before), len(path)) and before[common] == path[common]:
            common += 1
        self.found[node] = () if node.op is INPUT else path[:common]


class _Level:
    """The nodes that are computed on one path: the whole graph, or one branch of a condition in another level.

    Attributes
    ----------
    new : dict
        Node -> what computes it here.
    operands : dict
        Node of the level around -> what stands for it here.
    kept : dict
        Node of this path -> the output of an earlier condition around that has its value.
    kept_inside : dict
        Step of a path -> what `kept` is for branches of this level that take it.
    """

    def __init__(
        self,
        paths: _Paths,
        path: Path,
        around: _Level | None,
        operands: dict[Node, Node],
        kept: dict[Node, Node],
    ) -> None:
        self.paths, self.path, self.around, self.operands, self.kept = paths, path, around, operands, kept
        self.new: dict[Node, Node] = {}
        self.kept_inside: dict[tuple[Node, bool], dict[Node, Node]] = {}

    def run(self, wanted: Sequence[Node]) -> list[Node]:
        """Compute nodes: first what depends on no choice, then a condition at a time, each with all that is ready."""
        pending = self.needed(self.here(wanted))
        while pending:
            left = []
            for node in pending:
                if node.op is IFELSE or not self.is_ready(node):
                    left.append(node)
                else:
                    self.compute(node)
            if len(left) == len(pending):
                ready = [node for node in left if self.is_ready(node)]
                chosen = [node for node in ready if node.inputs[0] is ready[0].inputs[0]]
                later = [node for node in left if node not in chosen]
                self.condition(chosen, later)
                left = later
            pending = left
        return [self.value(node) for node in wanted]

    def value(self, node: Node) -> Node:
        """What computes a node, here or around."""
        node = _resolved(node, self.path)
        found = node if node.is_constant else self.new.get(node)
        if found is None:
            outside = self.outside(node)
            if outside.is_constant:
                return outside
            found = self.new[node] = self.operands.setdefault(outside, input_node(outside.type))
        return found

    def outside(self, node: Node) -> Node:
        """What has the value of a node in the level around."""
        node = _resolved(node, self.path)
        if node in self.kept or node.is_constant:
            return self.kept.get(node, node)
        assert self.around is not None
        return self.around.value(node)

    # --- what depends on what ---

    def first(self, uses: Iterable[Use]) -> set[Node]:
        """The nodes of this level that are met first on the way from uses, through branches, to what they need."""
        found, seen = set(), set()
        stack = list(uses)
        while stack:
            node, where = stack.pop()
            node = _resolved(node, where)
            if node.is_constant or node in seen:
                continue
            seen.add(node)
            path = self.paths.found[node]
            if path == self.path:
                found.add(node)
            elif len(path) > len(self.path):
                stack += _uses(node, path)
        return found

    def needed(self, uses: Iterable[Use]) -> list[Node]:
        """The nodes of this level that are still to be computed for uses, inputs first."""
        found: set[Node] = set()
        stack = list(self.first(uses))
        while stack:
            node = stack.pop()
            if node not in found and node not in self.new and node not in self.kept:
                found.add(node)
                stack += self.first(_uses(node, self.path))
        return sorted(found, key=self.paths.places.__getitem__)

    def is_ready(self, node: Node) -> bool:
        """Whether all that a node needs of this level is computed."""
        return all(item in self.new or item in self.kept for item in self.first(_uses(node, self.path)))

    # --- computing ---

    def compute(self, node: Node) -> None:
        """Enter a node that is no choice."""
        inputs = tuple(map(self.value, node.inputs))
        with blame(node.line):
            self.new[node] = node if inputs == node.inputs else make_node(node.op, inputs, node.params)

    def condition(self, chosen: Sequence[Node], later: Sequence[Node]) -> None:
        """Enter choices with one predicate as a condition; values that later choices share are outputs of it too."""
        predicate = chosen[0].inputs[0]
        operands: dict[Node, Node] = {}
        sides = [(1, (predicate, True)), (2, (predicate, False))]
        branches = [
            _Level(self.paths, (*self.path, step), self, operands, self.kept_inside.setdefault(step, {}))
            for _, step in sides
        ]
        wanted = [[node.inputs[place] for node in chosen] for place, _ in sides]
        if not any(branch.needed(branch.here(nodes)) for branch, nodes in zip(branches, wanted, strict=True)):
            for node, *items in zip(chosen, *wanted, strict=True):
                values = [branch.outside(item) for branch, item in zip(branches, items, strict=True)]
                with blame(node.line):
                    self.new[node] = make_node(OPS["where"], (self.value(predicate), *values))
            return
        results = [branch.run(nodes) for branch, nodes in zip(branches, wanted, strict=True)]
        shared: list[list[Node]] = []
        for branch, (place, _) in zip(branches, sides, strict=True):
            others = [node.inputs[place] for node in later if node.inputs[0] is predicate]
            shared.append(branch.computed_for(others))
        for number, (branch, outputs) in enumerate(zip(branches, results, strict=True)):
            for side, nodes in enumerate(shared):
                outputs += [branch.value(node) if side == number else zero_node(node.type) for node in nodes]
        bodies = [close(list(operands.values()), outputs) for outputs in results]
        with blame(chosen[0].line):
            inputs = (self.value(predicate), *operands)
            made = iter(item_nodes(make_node(COND, inputs, {"then": bodies[0], "otherwise": bodies[1]})))
        self.new.update(zip(chosen, made, strict=False))
        for (_, step), nodes in zip(sides, shared, strict=True):
            self.kept_inside[step].update(zip(nodes, made, strict=False))

    def here(self, nodes: Iterable[Node]) -> list[Use]:
        """Nodes as used on this path."""
        return [(node, self.path) for node in nodes]

    def computed_for(self, wanted: Sequence[Node]) -> list[Node]:
        """The arrays computed on this level that other nodes need."""
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = list(self.first(self.here(wanted)))
        while stack:
            node = stack.pop()
            if node in seen or node in self.kept:
                continue
            seen.add(node)
            if node in self.new and not node.has_items:
                found[node] = None
            else:
                stack += self.first(_uses(node, self.path))
        return list(found)
