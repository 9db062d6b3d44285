"""Work moved out of loops: what is the same at every step, and products of all steps at once.

A product of a sequence with a constant is computed for all rows before the loop; one that only goes into an output,
after it. A sum of products over the steps, as gradients of weights are, becomes one product of stacked factors.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.node import Node, blame, constant, make_node
from tracer.graph.op import OPS
from tracer.ops.scan import SCAN
from tracer.ops.while_loop import WHILE
from tracer.rewrite import sweeps
from tracer.rewrite.draft import Carry, Draft, Output
from tracer.rewrite.loops import Use, each_loop
from tracer.rewrite.stacking import Stacked, apply_stacked, can_stack, reshaped, transposed

LARGEST_STACK = 1 << 28
"""Bytes that all steps of one value may take for the sake of doing its products at once."""


def move_out(graph: Graph) -> Graph:
    """Move work out of every loop of a graph."""
    return each_loop(graph, _moved)


def _moved(node: Node, use: Use) -> list[Node | None] | None:
    if node.op is WHILE:
        return sweeps.hoisted(node)
    if node.op is not SCAN or not node.params["frame"].steps:
        return None
    draft = Draft(node)
    with blame(node.line):
        hoist_constants(draft)
        if draft.is_plain:
            hoist_products(draft)
            Stacks(draft).push_out()
    new, found = draft.build()
    return None if new is node else [found.get(place) for place in range(len(node.types))]


def is_product(node: Node) -> bool:
    """Whether an op is worth doing for all steps at once."""
    return node.op.family == "matmul"


# --- before the loop ---------------------------------------------------------------------------------------------


def _outside(draft: Draft, node: Node) -> Node:
    """A node that depends on fixed values alone, computed outside."""
    return substitute([node], {slot.node: slot.outer for slot in draft.fixed})[0]


def _varying(draft: Draft) -> set[Node]:
    """The nodes of the body that may differ from step to step."""
    sources = [*(slot.node for slot in draft.sequences), *(carry.node for carry in draft.carries)]
    return depends_on(draft.results(), [*sources, *(tap for state in draft.states for tap in state.taps)])


def hoist_constants(draft: Draft) -> None:
    """Compute what is the same at every step before the loop."""
    chosen = sweeps.invariant_work(draft.results(), _varying(draft))
    if chosen:
        draft.rewrite({node: draft.add_fixed(_outside(draft, node)) for node in chosen})


def hoist_products(draft: Draft) -> None:
    """Compute products that depend on sequences alone for all steps at once."""
    taps = [tap for state in draft.states for tap in state.taps]
    varying, recurrent = _varying(draft), depends_on(draft.results(), [*taps, *(carry.node for carry in draft.carries)])
    covered: set[Node] = set()
    replacements: dict[Node, Node] = {}
    stacks = Stacks(draft)
    for node in reversed(toposort(draft.results())):
        if node in covered or not is_product(node) or node in recurrent or node not in varying:
            continue
        stacked = stacks.computed(node) if stacks.fits(node) else None
        if stacked is not None:
            covered.update(toposort([node]))
            replacements[node] = draft.add_sequence(stacked)
    if replacements:
        draft.rewrite(replacements)


# --- after the loop ----------------------------------------------------------------------------------------------


class Stacks:
    """The values of a body at all steps, as they are known outside of the scan."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.steps = draft.steps
        self.varying = _varying(draft)
        self.rows = {slot.node: slot.outer for slot in draft.sequences}
        self.found: dict[Node, Stacked | None] = {}

    def stored(self, node: Node) -> Stacked | None:
        """A value that is there in any case, or a view of one; None if it is not."""
        if node not in self.found:
            self.found[node] = self._stored(node)
        return self.found[node]

    def _stored(self, node: Node) -> Stacked | None:
        draft = self.draft
        if node not in self.varying:
            return _outside(draft, node), False
        if node in self.rows:
            return self.rows[node], True
        for state in draft.states:
            for lag, source in [*zip(state.lags, state.taps, strict=True), (0, state.result)]:
                if source is node:
                    first = state.initial.type.known_shape[0] - lag
                    return self.by_row(draft.stand_in(state), first), True
        for output in draft.outputs:
            if output.result is node:
                return draft.stand_in(output), True
        if node.op.family != "view":
            return None
        inner = self.stored(node.inputs[0])
        made = None if inner is None else apply_stacked(node, [inner], self.steps)
        return None if made is None else (made, True)

    def fits(self, node: Node) -> bool:
        """Whether the values of all steps may be held for the sake of doing work on them at once."""
        return self.steps * node.type.size * node.dtype.itemsize <= LARGEST_STACK

    def by_row(self, history: Node, first: int) -> Node:
        """The rows of a history from one on, one a step, in the order of the rows of outputs."""
        start, step = (first + self.steps - 1, -1) if self.draft.frame.reverse else (first, 1)
        index = ((start, self.steps, step), *((0, size, 1) for size in history.shape[1:]))
        return make_node(OPS["slice"], (history,), {"index": index})

    def stacked(self, node: Node) -> Stacked | None:
        """A value that is stored, and if it is not there yet will be; None if it would be too large."""
        known = self.stored(node)
        if known is None and node.op.family == "view" and node.op.name != "broadcast_to":
            inner = self.stacked(node.inputs[0])
            made = None if inner is None else apply_stacked(node, [inner], self.steps)
            known = None if made is None else (made, True)
        if known is None and self.fits(node):
            self.draft.outputs.append(Output(node))
            known = self.draft.stand_in(self.draft.outputs[-1]), True
        self.found[node] = known
        return known

    def computed(self, node: Node, inside: set[Node] | None = None) -> Node | None:
        """A value at every step, computed outside; None if there is no way.

        What depends on sequences alone is computed from these; the values of nodes `inside` are stored by the scan.
        """
        known: dict[Node, Stacked] = {}
        pending, seen = [node], set()
        while pending:
            item = pending.pop()
            if item in seen:
                continue
            seen.add(item)
            moves = item in self.varying and item not in self.rows
            if moves and can_stack(item) and not self._is_leaf(item, node, inside):
                pending += item.inputs
                continue
            if moves and (inside is None or item is node):
                return None
            leaf = self.stored(item) if inside is None else self.stacked(item)
            if leaf is None:
                return None
            known[item] = leaf
        for item in toposort([node], stop=set(known)):
            if item not in known:
                made = apply_stacked(item, [known[part] for part in item.inputs], self.steps)
                if made is None:
                    return None
                known[item] = made, True
        return known[node][0]

    def _is_leaf(self, item: Node, node: Node, inside: set[Node] | None) -> bool:
        return inside is not None and (item in inside or (item is not node and self.stored(item) is not None))

    # --- sums over the steps ---

    def push_out(self) -> None:
        """Do sums of products, and products that only go into an output, after the loop."""
        draft = self.draft
        for products_only in (True, False):  # Products store factors that other sums may then use.
            for carry in list(draft.carries):
                self.sum_outside(carry, products_only)
        inside = set(toposort([*(state.result for state in draft.states), *(carry.result for carry in draft.carries)]))
        for output in list(draft.outputs):
            if output.own is None or output.result in inside or draft.is_stood_for(output):
                continue
            if any(is_product(node) and node not in inside for node in self.between(output.result, inside)):
                stacked = self.computed(output.result, inside)
                if stacked is not None:
                    draft.replaced[output.own] = stacked
                    draft.outputs.remove(output)

    def between(self, node: Node, inside: set[Node]) -> Iterable[Node]:
        """The nodes that vary and that only a node itself needs."""
        return (item for item in toposort([node], stop=inside) if item in self.varying)

    def sum_outside(self, carry: Carry, products_only: bool) -> None:
        """Take terms of a carry that only adds up out of the loop."""
        terms = self.terms(carry)
        if terms is None or carry.own is None:
            return
        kept, total = [], None
        for term in terms:
            over = None
            if not products_only or self.has_product(term):
                over = self.total(term)
            if over is None:
                kept.append(term)
            else:
                total = over if total is None else make_node(OPS["add"], (total, over))
        if total is None:
            return
        own, carry.own = carry.own, None
        if kept:
            carry.result = carry.node
            for term in kept:
                carry.result = make_node(OPS["add"], (carry.result, term))
            rest = self.draft.stand_in(carry)
        else:
            self.draft.carries.remove(carry)
            rest = carry.initial
        self.draft.replaced[own] = total if _is_zero(rest) else make_node(OPS["add"], (rest, total))

    def has_product(self, term: Node) -> bool:
        """Whether a term is a product behind linear ops, or adds rows to an array."""
        while term.op.name in _LINEAR:
            term = term.inputs[0]
        return is_product(term) or term.op.name == "scatter_add"

    def terms(self, carry: Carry) -> list[Node] | None:
        """What a carry adds up, if that is all it does and nothing else reads it."""
        draft = self.draft
        others = [result for result in draft.results() if result is not carry.result]
        if carry.node in set(toposort(others)) or draft.results().count(carry.result) > 1:
            return None
        reached = depends_on([carry.result], [carry.node])
        found, node = [], carry.result
        while node is not carry.node:
            if node.op.name == "add" and all(item.shape == node.shape for item in node.inputs):
                inner = [item for item in node.inputs if item in reached]
                if len(inner) != 1 or node.inputs[0] is node.inputs[1]:
                    return None
                found.append(node.inputs[node.inputs[0] is inner[0]])
            elif node.op.name == "scatter_add" and reached.isdisjoint(node.inputs[1:]):
                inner = [node.inputs[0]]
                zero = make_node(OPS["broadcast_to"], (constant(0, node.dtype),), {"shape": node.shape})
                found.append(make_node(node.op, (zero, *node.inputs[1:])))
                self.varying.add(found[-1])
            else:
                return None
            node = inner[0]
        return found

    def total(self, node: Node) -> Node | None:
        """The sum of a value over all steps; None if it is better added up in the loop."""
        if node not in self.varying:
            times = constant(self.steps, node.dtype)
            return make_node(OPS["multiply"], (_outside(self.draft, node), times))
        name = node.op.name
        if name in _LINEAR:
            inner = self.total(node.inputs[0])
            return None if inner is None else make_node(node.op, (inner,), node.params)
        if is_product(node) and len(node.shape) == 2:
            return self.product_total(*node.inputs)
        if name == "scatter_add":
            return self.scatter_total(node)
        if name == "sum":
            known, axes = self.stored(node.inputs[0]), tuple(axis + 1 for axis in node.params["axes"])
            if known is None:
                return None
            return reshaped(_summed(known[0], (0, *axes), node.params["keepdims"]), node.shape)
        known = self.stored(node)
        return None if known is None else _summed(known[0])

    def product_total(self, left: Node, right: Node) -> Node | None:
        """The sum of left @ right over all steps: one product of stacked factors."""
        first, second = self.stacked(left), self.stacked(right)
        if first is None or second is None:
            return None
        (one, one_moves), (two, two_moves) = first, second
        if not (one_moves and two_moves):  # the constant factor is taken out of the sum
            one = _summed(one) if one_moves else one
            two = _summed(two) if two_moves else two
            return make_node(OPS["matmul"], (one, two))
        (rows, depth), columns = left.type.known_shape, right.type.known_shape[1]
        wide = reshaped(transposed(one, (1, 0, 2)), (rows, self.steps * depth))
        return make_node(OPS["matmul"], (wide, reshaped(two, (self.steps * depth, columns))))

    def scatter_total(self, node: Node) -> Node | None:
        """The sum of rows added to zeros, over all steps."""
        base, values, *indices = node.inputs
        if not _is_zero(base):
            return None
        factors = [self.stacked(item) for item in (values, *indices)]
        parts = [factor[0] for factor in factors if factor is not None and factor[1]]
        if len(parts) < len(factors):
            return None
        ndim = max(len(item.shape) for item in parts[1:])
        if any(len(item.shape) != ndim for item in parts[1:]):
            return None
        return make_node(node.op, (base, *parts))


_LINEAR = frozenset(("reshape", "transpose", "slice", "unslice", "negative"))
"""Ops of one input that may be exchanged with a sum over steps."""


def _summed(stacked: Node, axes: tuple[int, ...] = (0,), keepdims: bool = False) -> Node:
    return make_node(OPS["sum"], (stacked,), {"axes": axes, "keepdims": keepdims})


def _is_zero(node: Node) -> bool:
    while node.op.family == "view":
        node = node.inputs[0]
    return node.is_constant and not node.value.any()
