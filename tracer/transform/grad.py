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
from tracer.graph.graph import depends_on, toposort
from tracer.graph.node import CONSTANT, INPUT, ITEM, Node, blame, item_nodes
from tracer.graph.rules import sum_to_shape
from tracer.tracing.proxy import unwrap, wrap
from tracer.types import is_inexact

_BACKWARD = ", in its derivative"


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
    found: dict[Node, Node] = {}
    of_items: dict[Node, dict[int, Node]] = {}
    for output, given in zip(outputs, cotangents, strict=True):
        if given is not None:
            _accumulate(found, output, given)
    reached = depends_on(outputs, wrt)
    targets = set(wrt)
    for node in reversed(toposort(outputs)):
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
                parts = [_pull(node, position, cotangent) for position in positions]
            for position, part in zip(positions, parts, strict=True):
                if part is not None:
                    _accumulate(found, node.inputs[position], part)
    return [found.get(node) for node in wrt]


def _accumulate(found: dict[Node, Node], node: Node, cotangent: Node) -> None:
    before = found.get(node)
    found[node] = cotangent if before is None else unwrap(wrap(before) + wrap(cotangent))


@lru_cache(maxsize=4096)
def _derivative_line(line: Line | None) -> Line | None:
    if line is None or line.function.endswith(_BACKWARD):
        return line
    return line._replace(function=line.function + _BACKWARD)


def _pull(node: Node, position: int, cotangent: Node | dict[int, Node]) -> Node | None:
    """The cotangent that one input of a node gets from the node's own, or from those of its items."""
    op, target = node.op, node.inputs[position]
    g, y = _at(node, cotangent)
    inputs = [wrap(item) for item in node.inputs]
    if op.kernel == "cast":
        result = g if target.type.dtype.kind not in "fc" else _to_dtype(g, target.type.dtype)
    elif op.vjp is None and op.deriv:
        rule = op.deriv[position]
        if rule is None:
            return None
        result = scale(g, rule(y, *inputs))
    elif isinstance(op.vjp, tuple):
        rule = op.vjp[position]
        if rule is None:
            return None
        result = rule(g, y, *inputs, **node.params)
    elif op.vjp is not None:
        result = op.vjp(position, g, y, *inputs, **node.params)
    else:
        raise not_differentiable(node, position)
    if result is None:
        return None
    result = sum_to_shape(result, target.type.shape)
    return unwrap(result if target.type.dtype.kind not in "fc" else _to_dtype(result, target.type.dtype))


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
        return wrap(cotangent), wrap(node)
    g = tuple(wrap(cotangent[index]) if index in cotangent else None for index in range(len(node.types)))
    return g, tuple(map(wrap, item_nodes(node)))


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
