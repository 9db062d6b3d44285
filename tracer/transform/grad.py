"""Reverse mode, from graph to graph: cotangents of outputs become cotangents of inputs.

The derivative is itself a graph of ordinary ops, so it can be differentiated again. Griewank and Walther, "Evaluating
Derivatives", 2nd ed., chapter 3, describe the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import Line
from tracer.graph.graph import toposort
from tracer.graph.node import CONSTANT, INPUT, ITEM, Node, blame, item_nodes
from tracer.graph.rules import sum_to_shape
from tracer.phases import timed
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.selection import Selections
from tracer.types import is_inexact

_BACKWARD = ", in its derivative"


@timed("derive")
def vjp(outputs: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]) -> list[Node | None]:
    """Pull cotangents of outputs back to `wrt`.

    Parameters
    ----------
    outputs : sequence of Node
        Differentiated values.
    cotangents : sequence of Node or None
        One per output, of its shape; None is zero.
    wrt : sequence of Node
        Inputs or intermediate values of the graph.

    Returns
    -------
    list of Node or None
        The cotangent of each `wrt`; None where no output depends on it.

    Raises
    ------
    NotDifferentiableError
        If an op on the way has no derivative.
    """
    found = _Cotangents()
    of_items: dict[Node, dict[int, Node]] = {}
    for output, given in zip(outputs, cotangents, strict=True):
        if given is not None:
            found.add(output, given)
    order = toposort(outputs)
    reached = _reached(order, wrt)
    targets = set(wrt)
    for node in reversed(order):
        cotangent: Any = of_items.pop(node, None) if node.has_items else found.get(node)
        if cotangent is None or node not in reached or node.op in (INPUT, CONSTANT):
            continue
        if node not in targets:
            found.pop(node, None)
        if node.op.zero_derivative or not any(is_inexact(item.dtype) for item in node.types):
            continue
        if node.op is ITEM:
            of_items.setdefault(node.inputs[0], {})[node.params["index"]] = cotangent
            continue
        positions = [
            position
            for position, item in enumerate(node.inputs)
            if item in reached and (is_inexact(item.type.dtype) or item in targets)
        ]
        with blame(_derivative_line(node.line)):
            if node.op.higher_order:
                parts = _pull_together(node, positions, cotangent)
            else:
                parts = [_pull(node, position, cotangent, found.selections) for position in positions]
            for position, part in zip(positions, parts, strict=True):
                if part is not None:
                    found.add(node.inputs[position], part)
    return [found.get(node) for node in wrt]


def _reached(order: Sequence[Node], wrt: Sequence[Node]) -> set[Node]:
    """The nodes through which derivatives flow to `wrt`: not those behind an op whose derivative is zero."""
    found = set(wrt)
    for node in order:
        if any(item in found for item in node.inputs) and node not in found and not node.op.zero_derivative:
            if any(is_inexact(own.dtype) for own in node.types):
                found.add(node)
    return found


class _Cotangents(dict[Node, Node]):
    """The sums of the cotangents found so far."""

    def __init__(self) -> None:
        self.selections = Selections()

    def add(self, node: Node, cotangent: Node) -> None:
        before = self.get(node)
        self.selections.note(cotangent)
        if before is not None:
            cotangent = unwrap(wrap(before) + wrap(cotangent))
            self.selections.note(cotangent)
        self[node] = cotangent


@lru_cache(maxsize=4096)
def _derivative_line(line: Line | None) -> Line | None:
    if line is None or line.function.endswith(_BACKWARD):
        return line
    return line._replace(function=line.function + _BACKWARD)


def _pull(node: Node, position: int, cotangent: Node | dict[int, Node], selections: Selections) -> Node | None:
    """The cotangent that one input of a node gets from the node's own, or from those of its items."""
    target = node.inputs[position]
    if isinstance(cotangent, dict):
        result = _applied(node, position, _at(node, cotangent)[0])
    else:
        result = selections.apply(node, cotangent, lambda g: _applied(node, position, g))
    if result is None:
        return None
    result = sum_to_shape(result, target.type.shape)
    return unwrap(result if target.type.dtype.kind not in "fc" else _to_dtype(result, target.type.dtype))


def _applied(node: Node, position: int, g: Any) -> Any:
    """What a node's rule for one of its inputs makes of a cotangent; None for zero."""
    op, target = node.op, node.inputs[position]
    y, inputs = _value(node), [wrap(item) for item in node.inputs]
    if op.kernel == "cast":
        return g if target.type.dtype.kind not in "fc" else _to_dtype(g, target.type.dtype)
    if op.vjp is None and op.deriv:
        rule = op.deriv[position]
        return None if rule is None else scale(g, rule(y, *inputs))
    if isinstance(op.vjp, tuple):
        rule = op.vjp[position]
        return None if rule is None else rule(g, y, *inputs, **node.params)
    if op.vjp is not None:
        return op.vjp(position, g, y, *inputs, **node.params)
    raise not_differentiable(node, position)


def _pull_together(node: Node, positions: Sequence[int], cotangent: Node | dict[int, Node]) -> list[Node | None]:
    """The cotangents that the inputs of a node with graphs of its own get."""
    g, y = _at(node, cotangent)
    inputs = [wrap(item) for item in node.inputs]
    rule: Any = node.op.vjp
    found = rule(positions, g, y, *inputs, transform=vjp, **node.params)
    return [None if part is None else unwrap(part) for part in found]


def _at(node: Node, cotangent: Node | dict[int, Node]) -> tuple[Any, Any]:
    """The cotangent and the value of a node as its rules take them: tuples if it has several outputs."""
    if not isinstance(cotangent, dict):
        return wrap(cotangent), _value(node)
    g = tuple(wrap(cotangent[index]) if index in cotangent else None for index in range(len(node.types)))
    return g, _value(node)


def _value(node: Node) -> Any:
    return tuple(map(wrap, item_nodes(node))) if node.has_items else wrap(node)


def _to_dtype(value: Any, dtype: np.dtype[Any]) -> Any:
    if value.dtype == dtype:
        return value
    if value.dtype.kind == "c" and dtype.kind != "c":
        value = np.real(value)
    return value if value.dtype == dtype else value.astype(dtype)


def scale(value: Any, factor: Any) -> Any:
    """Multiply a cotangent or tangent by a local derivative; the plain numbers 1 and -1 need no multiplication."""
    if type(factor) in (int, float) and abs(factor) == 1:
        return value if factor == 1 else -value
    return value * factor


def not_differentiable(node: Node, position: int) -> errors.NotDifferentiableError:
    """The error for an op without a derivative rule."""
    hint = (
        "if its value should count as constant, compute it outside the differentiated function and pass it as an "
        "argument."
    )
    return errors.NotDifferentiableError(
        errors.message(errors.NOT_DIFFERENTIABLE, node.line, op=node.op.name, position=position, hint=hint)
    )
