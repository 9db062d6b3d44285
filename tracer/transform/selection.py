"""Where a derivative is zero because something else was chosen, as by `np.where`, or because nothing was read there.

There it must stay zero, even though what was not chosen has an infinite slope: 0 * inf is NaN. So a derivative that
was selected is multiplied first and selected afterwards. What a slice did not read is looked for only where it matters
most: at functions with an infinite slope at a finite point, such as the logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph, toposort
from tracer.graph.looping import SINGULAR
from tracer.graph.node import CONSTANT, ITEM, Node, constant, make_node
from tracer.graph.op import OPS
from tracer.ops.branching import IFELSE
from tracer.ops.control import COND
from tracer.tracing.proxy import unwrap, wrap

_WHERE = OPS["where"]
_KEEPING = frozenset("negative positive astype conjugate real imag".split())
"""Elementwise ops of one input that are zero where it is."""
_FINITE = _KEEPING | {"add", "subtract", "where", "complex"}
"""Elementwise ops whose local derivatives are finite: zero times these is zero."""
_PLACING = frozenset("unslice slice_set scatter_add gather sum".split())
_DEEPEST = 30
"""Through how many ops it is looked for what was not read."""

Look = Callable[[Node], "Node | None"]


class Selections:
    """For each derivative the condition outside of which it was set to zero, if there is one."""

    def __init__(self) -> None:
        self._known: dict[Node, Node | None] = {}
        self._placed: dict[Node, Node | None] = {}

    def note(self, derivative: Node) -> None:
        """Find out the condition of a derivative, whose parts have been noted before."""
        if derivative not in self._known:
            self._known[derivative] = self._found(derivative, self._noted)

    def _noted(self, node: Node) -> Node | None:
        self.note(node)
        return self._known[node]

    def concern(self, node: Node, derivatives: Iterable[Node | None]) -> bool:
        """Whether a node would multiply a derivative that was selected by something that may be infinite."""
        return any(item is not None and self._condition(node, item) is not None for item in derivatives)

    def apply(self, node: Node, derivative: Node, rule: Callable[[Any], Any]) -> Any:
        """Apply a node's rule, linear in a derivative of the node or of one of its inputs, where that is not zero."""
        condition = self._condition(node, derivative)
        if condition is None:
            return rule(wrap(derivative))
        while derivative.op in (_WHERE, IFELSE) and any(map(_is_zero, derivative.inputs[1:])):
            derivative = derivative.inputs[2 if _is_zero(derivative.inputs[1]) else 1]
        result = rule(wrap(derivative))
        if result is None:
            return None
        if condition.shape == () and node.shape != ():  # a choice of one branch: the work for the other is not done
            result = IFELSE(wrap(condition), result, np.zeros_like(result))
        else:
            result = np.where(wrap(condition), result, 0)
        return result if result.shape == node.type.shape else np.broadcast_to(result, node.type.known_shape)

    def _condition(self, node: Node, derivative: Node) -> Node | None:
        """The condition of a derivative, if a node would multiply it by something that may be infinite."""
        op = node.op
        if not (op.deriv or op.family == "elementwise") or op.name in _FINITE:
            return None
        if op.name == "multiply" and any(map(_is_finite, node.inputs)):
            return None
        return self._where_placed(derivative) if _is_singular(node) else self._known.get(derivative)

    def _found(self, node: Node, look: Look) -> Node | None:
        """The condition of a derivative, given those of its parts."""
        op, inputs = node.op, node.inputs

        def part(item: Node) -> Node | None:
            # Of two inputs one may have to do with values alone, which are not to be gone through.
            return look(item) if item in self._known or _passes_on(item) else None

        if op is _WHERE or op is IFELSE:
            return self._of_choice(inputs[0], *((_is_zero(item), part(item)) for item in inputs[1:]))
        if op is ITEM and inputs[0].op is COND:
            return self._of_branches(inputs[0], node.params["index"])
        if op.name == "add" or op.name == "subtract":
            return _either(*map(part, inputs))
        if op.name == "multiply" or op.name == "divide":
            return part(inputs[0]) or (part(inputs[1]) if op.name == "multiply" else None)
        moves = op.family == "view" or op.name in ("unslice", "sum")
        if not moves and op.name not in _KEEPING:
            return None
        condition = look(inputs[0])
        if condition is None or not moves or condition.shape == () != inputs[0].shape:
            return condition
        condition = _spread(condition, inputs[0])
        return make_node(OPS["any"] if op.name == "sum" else op, (condition,), node.params)

    def _of_branches(self, node: Node, index: int) -> Node | None:
        """The condition of what one of two branches gives."""
        parts = [(_is_zero(node.params[name].outputs[index]), None) for name in ("then", "otherwise")]
        return self._of_choice(node.inputs[0], *parts)

    def _of_choice(self, condition: Node, *parts: tuple[bool, Node | None]) -> Node | None:
        """The condition of a choice between two values, of which is known whether they are zero, and their own."""
        if not any(is_zero or own is not None for is_zero, own in parts):
            return None
        sides: list[Any] = [wrap(condition), np.logical_not(wrap(condition))]
        found = [
            unwrap(side if own is None else np.logical_and(side, wrap(own)))
            for side, (is_zero, own) in zip(sides, parts, strict=True)
            if not is_zero
        ]
        return _either(*found) if len(found) == 2 else found[0] if found else None

    # --- what was not read ---

    def _where_placed(self, derivative: Node, depth: int = _DEEPEST) -> Node | None:
        """The condition of a derivative that may have been put in place among zeros; None if it holds everywhere."""
        known = self._known.get(derivative)
        if known is not None:
            return known
        if derivative not in self._placed:
            found = None
            if depth:
                found = self._placement(derivative, lambda item: self._where_placed(item, depth - 1))
            self._placed[derivative] = None if found is None else _folded(found)
        return self._placed[derivative]

    def _placement(self, node: Node, look: Look) -> Node | None:
        name, inputs = node.op.name, node.inputs
        if name == "unslice":
            return make_node(node.op, (_spread(look(inputs[0]) or _TRUE, inputs[0]),), node.params)
        if name == "slice_set":
            parts = [_FALSE if _is_zero(item) else look(item) for item in inputs]
            if parts == [None, None]:
                return None
            both = [_spread(part or _TRUE, item) for part, item in zip(parts, inputs, strict=True)]
            return make_node(node.op, tuple(both), node.params)
        if name == "scatter_add" and _is_zero(inputs[0]):
            counts = [unwrap(wrap(part).astype(np.float64)) for part in (inputs[0], look(inputs[1]) or _TRUE)]
            both = [_spread(part, item) for part, item in zip(counts, inputs[:2], strict=True)]
            return unwrap(wrap(make_node(node.op, (*both, *inputs[2:]), node.params)) != 0)  # type: ignore[comparison-overlap]
        if name == "gather":
            inner = look(inputs[0])
            return None if inner is None else make_node(node.op, (_spread(inner, inputs[0]), *inputs[1:]), node.params)
        found = self._found(node, look)
        if name == "multiply" and found is None:
            for item in inputs:
                while item.op.name == "divide":  # shares of those that are equally large
                    item = item.inputs[0]
                if item.op.name == "astype" and item.inputs[0].dtype == np.dtype(bool):
                    return _spread(item.inputs[0], node)
        return found


_TRUE, _FALSE = constant(True), constant(False)


def _passes_on(node: Node) -> bool:
    """Whether a node, of derivatives or not, is zero where its input is, but for its place."""
    op = node.op
    return op is _WHERE or op is IFELSE or op.family == "view" or op.name in _KEEPING or op.name in _PLACING


def _spread(condition: Node, node: Node) -> Node:
    """A condition of the shape of what it is a condition of."""
    return condition if condition.shape == node.shape else _broadcast(condition, node)


def _broadcast(condition: Node, node: Node) -> Node:
    return unwrap(np.broadcast_to(wrap(condition), node.type.known_shape))


def _either(one: Node | None, other: Node | None) -> Node | None:
    """A condition that holds where one of two does; None if one holds everywhere."""
    if one is None or other is None or one is other:
        return None if other is None else one
    if _is_negation(one, other) or _is_negation(other, one):
        return None
    return unwrap(np.logical_or(wrap(one), wrap(other)))


def _is_negation(one: Node, other: Node) -> bool:
    return one.op.name == "logical_not" and one.inputs[0] is other


def _folded(condition: Node) -> Node | None:
    """A condition as a constant if its values are known; None if it holds everywhere."""
    if any(not node.inputs and node.op is not CONSTANT for node in toposort([condition])):
        return condition
    value = evaluation(Graph((), (condition,))).compute([])[0]
    return None if np.all(value) else constant(value)


def _is_singular(node: Node) -> bool:
    """Whether a local derivative of a node may be infinite at a finite point."""
    name = node.op.name
    if name not in SINGULAR:
        return False
    if name in ("power", "float_power") and node.inputs[1].is_constant and np.all(node.inputs[1].value >= 1):
        return False
    if name == "divide" and node.inputs[1].is_constant:
        return not np.all(node.inputs[1].value)
    return name.startswith("arc") or _sign(node.inputs[1 if name == "divide" else 0]) < 1 + (name != "log1p")


def _sign(node: Node, depth: int = 6) -> int:
    """2 for a value known to be positive everywhere, 1 for one that is not negative, 0 for others.

    It knows what guards a square root or a quotient: a square plus a constant, one plus an exponential.
    """
    name, inputs = node.op.name, node.inputs
    if node.is_constant:
        real = node.dtype.kind in "fiu"
        return int(real and np.all(node.value >= 0)) + int(real and np.all(node.value > 0))
    if not depth or node.op is ITEM or node.dtype.kind != "f" or any(item.dtype.kind != "f" for item in inputs):
        return 0
    if name in ("square", "absolute", "fabs", "exp", "exp2") or (name == "multiply" and inputs[0] is inputs[1]):
        return 1
    if name == "power" and inputs[1].is_constant and np.all(inputs[1].value % 2 == 0):
        return 1
    if name in ("add", "maximum", "multiply", "sqrt", "sum") or node.op.family == "view":
        signs = [_sign(item, depth - 1) for item in inputs]
        if name == "add":
            return max(signs) if min(signs) else 0
        return max(signs) if name == "maximum" else min(signs) if name != "multiply" else min(*signs, 1)
    return 0


def _is_finite(node: Node) -> bool:
    return node.is_constant and bool(np.isfinite(node.value).all())


def _is_zero(node: Node) -> bool:
    """Whether a value is known to be zero everywhere."""
    while node.op.family == "view" or node.op.name == "astype":
        node = node.inputs[0]
    return node.is_constant and not node.value.any()
