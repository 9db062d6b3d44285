"""Where a derivative is zero because something else was chosen, as by `np.where`.

There it must stay zero, even though what was not chosen has an infinite slope: 0 * inf is NaN. So a derivative that was
selected is multiplied first and selected afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tracer.graph.node import Node, make_node
from tracer.graph.op import OPS
from tracer.tracing.proxy import unwrap, wrap

_WHERE = OPS["where"]
_KEEPING = frozenset("negative positive astype conjugate real imag".split())
"""Elementwise ops of one input that are zero where it is."""
_FINITE = _KEEPING | {"add", "subtract", "where", "complex"}
"""Elementwise ops whose local derivatives are finite: zero times these is zero."""


class Selections:
    """For each derivative the condition outside of which it was set to zero, if there is one."""

    def __init__(self) -> None:
        self._known: dict[Node, Node | None] = {}

    def note(self, derivative: Node) -> None:
        """Find out the condition of a derivative, whose parts have been noted before."""
        if derivative not in self._known:
            self._known[derivative] = self._found(derivative)

    def concern(self, node: Node, derivatives: Iterable[Node | None]) -> bool:
        """Whether a node would multiply a derivative that was selected by something that may be infinite."""
        op = node.op
        is_elementwise = bool(op.deriv) or op.family == "elementwise"
        if not is_elementwise or op.name in _FINITE or (op.name == "multiply" and any(map(_is_finite, node.inputs))):
            return False
        return any(item is not None and self._known.get(item) is not None for item in derivatives)

    def apply(self, node: Node, derivative: Node, rule: Callable[[Any], Any]) -> Any:
        """Apply a node's rule, linear in a derivative of the node or of one of its inputs, where that is not zero."""
        condition = self._known.get(derivative)
        if condition is None or not self.concern(node, (derivative,)):
            return rule(wrap(derivative))
        while derivative.op is _WHERE and any(map(_is_zero, derivative.inputs[1:])):
            derivative = derivative.inputs[2 if _is_zero(derivative.inputs[1]) else 1]
        result = rule(wrap(derivative))
        if result is None:
            return None
        result = np.where(wrap(condition), result, 0)
        return result if result.shape == node.type.shape else np.broadcast_to(result, node.type.known_shape)

    def _found(self, node: Node) -> Node | None:
        op, inputs = node.op, node.inputs
        if op is _WHERE:
            return self._of_choice(*inputs)
        if op.name == "add" or op.name == "subtract":
            return _either(*map(self._known.get, inputs))
        if op.name == "multiply" or op.name == "divide":
            return self._known.get(inputs[0]) or (self._known.get(inputs[1]) if op.name == "multiply" else None)
        moves = op.family == "view" or op.name in ("unslice", "sum")
        if not moves and op.name not in _KEEPING:
            return None
        self.note(inputs[0])
        condition = self._known[inputs[0]]
        if condition is None or not moves:
            return condition
        if condition.shape != inputs[0].shape:
            condition = unwrap(np.broadcast_to(wrap(condition), inputs[0].type.known_shape))
        return make_node(OPS["any"] if op.name == "sum" else op, (condition,), node.params)

    def _of_choice(self, condition: Node, left: Node, right: Node) -> Node | None:
        """The condition of np.where(condition, left, right)."""
        for item in (left, right):
            if item.op is _WHERE:
                self.note(item)
        own = [self._known.get(item) for item in (left, right)]
        is_zero = [_is_zero(item) for item in (left, right)]
        if not any(is_zero) and own == [None, None]:
            return None
        sides: list[Any] = [wrap(condition), np.logical_not(wrap(condition))]
        parts = [
            unwrap(side if inner is None else np.logical_and(side, wrap(inner)))
            for side, inner, zero in zip(sides, own, is_zero, strict=True)
            if not zero
        ]
        return _either(*parts) if len(parts) == 2 else parts[0] if parts else None


def _either(one: Node | None, other: Node | None) -> Node | None:
    """A condition that holds where one of two does; None if one holds everywhere."""
    if one is None or other is None or one is other:
        return None if other is None else one
    return unwrap(np.logical_or(wrap(one), wrap(other)))


def _is_finite(node: Node) -> bool:
    return node.is_constant and bool(np.isfinite(node.value).all())


def _is_zero(node: Node) -> bool:
    """Whether a value is known to be zero everywhere."""
    while node.op.family == "view" or node.op.name == "astype":
        node = node.inputs[0]
    return node.is_constant and not node.value.any()
