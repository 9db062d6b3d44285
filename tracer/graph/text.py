"""Graphs as text: one line of infix (`pp`), a tree with sharing marks (`debugprint`), and what both call nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from tracer.graph.body import Frame
from tracer.graph.graph import Graph, toposort
from tracer.graph.node import CONSTANT, INPUT, ITEM, Node
from tracer.graph.sweeps import SweepFrame

# The ops carry their own precedence; these are the ones that are treated apart.
_COMPARISON, UNARY, _POWER, ATOM = 7, 14, 15, 100

_LONGEST = 20_000
_SHOWN_VALUES = 6

Piece = tuple[str, int]
"""Text and how tightly its outermost operator binds."""
Special = Callable[[Node, Mapping[Node, Piece]], Piece | None]


def nodes_of(values: Any) -> list[Node]:
    """The nodes of a node, of a traced value, or of several of them."""
    if isinstance(values, Node):
        return [values]
    node = getattr(values, "__tracer_node__", None)
    if isinstance(node, Node):
        return [node]
    if isinstance(values, Mapping):
        values = values.values()
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | np.ndarray):
        return [node for value in values for node in nodes_of(value)]
    raise TypeError(f"expected a traced value or a sequence of them, not {type(values).__name__}")


# --- one line ----------------------------------------------------------------------------------------------------


def pp(values: Any, special: Special | None = None) -> str:
    """Return the formula of traced values on one line, with no more parentheses than it needs.

    Shared parts are written out each time; very long ones are cut to "...".

    Parameters
    ----------
    values : node, traced value, or a sequence of them
        Several are separated by commas.
    special : callable, optional
        (node, pieces of its inputs by node) -> how to write the node, or None for the usual way.

    Examples
    --------
    >>> from tracer.graph.node import input_node
    >>> from tracer.types import ArrayType
    >>> pp(input_node(ArrayType(np.dtype("float64"), (3,))))
    '<float64[3]>'
    """
    return ", ".join(text for text, _ in pieces_of(nodes_of(values), special))


def pieces_of(outputs: Sequence[Node], special: Special | None = None) -> list[Piece]:
    """The formulas of nodes, each with how tightly its outermost operator binds; see `pp`."""
    pieces: dict[Node, Piece] = {}
    for node in toposort(outputs):
        found = None if special is None else special(node, pieces)
        text, binding = found or _piece(node, pieces)
        pieces[node] = (text, binding) if len(text) <= _LONGEST else ("...", ATOM)
    return [pieces[node] for node in outputs]


def pieces_within(nodes: Sequence[Node], leaf: Callable[[Node], str]) -> dict[Node, Piece]:
    """The formulas of some nodes, inputs first, in terms of others, which `leaf` names; views of them are written."""
    pieces: dict[Node, Piece] = {}
    pending = list(reversed(nodes))
    wanted = set(nodes)
    while pending:
        node = pending[-1]
        if node not in pieces and node not in wanted and node.op.family not in ("leaf", "view", "item"):
            pieces[node] = leaf(node), ATOM
        missing = [item for item in node.inputs if item not in pieces] if node not in pieces else []
        pending += missing
        if not missing:
            text, binding = pieces.get(node) or _piece(node, pieces)
            pieces[node] = (text, binding) if len(text) <= _LONGEST else ("...", ATOM)
            pending.pop()
    return pieces


def _piece(node: Node, pieces: Mapping[Node, Piece]) -> Piece:
    if node.name and (node.op is INPUT or node.op is CONSTANT):
        return node.name, ATOM
    if node.op is INPUT:
        return f"<{node.type}>", ATOM
    if node.op is CONSTANT:
        return _number(node)
    inputs = [pieces[item] for item in node.inputs]
    special = _SPECIAL.get(node.op.name)
    if special is not None:
        found = special(node, inputs)
        if found is not None:
            return found
    symbol, binding = node.op.symbol, node.op.precedence
    if symbol is not None and len(inputs) == 2:
        return binary(symbol, binding, *inputs), binding
    if symbol is not None and len(inputs) == 1:
        return symbol + within(inputs[0], binding), binding
    return _call(node.op.name, inputs, node.params)


def within(piece: Piece, binding: int) -> str:
    """A text as an operand, in parentheses if it binds less tightly."""
    text, own = piece
    return text if own >= binding else f"({text})"


def binary(symbol: str, binding: int, left: Piece, right: Piece) -> str:
    """Two texts with an operator between them."""
    if binding == _POWER:
        return f"{within(left, ATOM)}{symbol}{within(right, UNARY)}"
    # Comparisons would chain; the other operators group to the left.
    left_text = within(left, binding + (binding == _COMPARISON))
    return f"{left_text} {symbol} {within(right, binding + 1)}"


def _call(name: str, inputs: list[Piece], params: Mapping[str, Any]) -> Piece:
    parts = [text for text, _ in inputs]
    parts += [f"{key}={_param(value)}" for key, value in params.items()]
    return f"{name}({', '.join(parts)})", ATOM


def _param(value: Any) -> str:
    if isinstance(value, Graph):
        return f"({pp(value.outputs)})"
    text = str(value) if isinstance(value, np.dtype | Frame | SweepFrame) else repr(value)
    return text if len(text) <= 200 else "..."


def _number(node: Node) -> Piece:
    array = node.value
    if array.size > _SHOWN_VALUES:
        return f"<{node.type}>", ATOM
    text = str(array.tolist())
    return text, UNARY if text.startswith("-") else ATOM


def _reduction(node: Node, inputs: list[Piece]) -> Piece | None:
    if "axes" not in node.params:
        return None
    axes = node.params["axes"]
    params: dict[str, Any] = {}
    if len(axes) != node.inputs[0].type.ndim:
        params["axis"] = axes[0] if len(axes) == 1 else axes
    if node.params.get("keepdims"):
        params["keepdims"] = True
    return _call(node.op.name, inputs, params)


def _cast(node: Node, inputs: list[Piece]) -> Piece:
    return f"{node.dtype}({inputs[0][0]})", ATOM


def _transpose(node: Node, inputs: list[Piece]) -> Piece:
    axes = node.params["axes"]
    if axes == tuple(reversed(range(len(axes)))):
        return f"{within(inputs[0], ATOM)}.T", ATOM
    return f"transpose({inputs[0][0]}, {axes})", ATOM


def _shaped(node: Node, inputs: list[Piece]) -> Piece:
    return f"{node.op.name}({inputs[0][0]}, {_param(node.shape)})", ATOM


def _reshape(node: Node, inputs: list[Piece]) -> Piece:
    """A reshape that only drops or adds axes reads as the index that makes it: x[0], x[:, None]."""
    source, text = node.inputs[0], inputs[0][0]
    if source.op.name == "slice" and text.endswith("]"):
        parts = _dropped_axes(source, node.shape)
        if parts is not None:
            return f"{text.rpartition('[')[0]}[{', '.join(parts)}]", ATOM
    parts, rest = [], list(source.shape)
    for size in node.shape:
        keeps = bool(rest) and rest[0] == size
        parts.append(":" if keeps else "None")
        if keeps:
            rest.pop(0)
        elif size != 1:
            return _shaped(node, inputs)
    return (f"{within(inputs[0], ATOM)}[{', '.join(parts)}]", ATOM) if not rest else _shaped(node, inputs)


def _dropped_axes(source: Node, shape: tuple[int | None, ...]) -> list[str] | None:
    """The index of a slice with ints for those of its axes that a reshape to `shape` drops; None if it does more."""
    parts, kept = [], []
    for (start, size, step), full in zip(source.params["index"], source.inputs[0].shape, strict=True):
        drop = size == 1 and full != 1
        parts.append(str(start) if drop else _range(start, size, step, full))
        if not drop:
            kept.append(size)
    return parts if tuple(kept) == shape else None


def _range(start: int, size: int, step: int, full: int | None) -> str:
    if (start, size, step) == (0, full, 1):
        return ":"
    stop: int | None = start + size * step
    if step > 0 and full is not None and stop is not None and stop >= full:
        stop = None
    if stop is not None and stop < 0:
        stop = None
    begin = "" if step > 0 and start == 0 else str(start)
    return f"{begin}:{'' if stop is None else stop}" + (f":{step}" if step != 1 else "")


def _ranges(index: Any, shape: tuple[int | None, ...]) -> str:
    return ", ".join(_range(start, size, step, full) for (start, size, step), full in zip(index, shape, strict=True))


def _slice(node: Node, inputs: list[Piece]) -> Piece:
    return f"{within(inputs[0], ATOM)}[{_ranges(node.params['index'], node.inputs[0].shape)}]", ATOM


def _slice_write(node: Node, inputs: list[Piece]) -> Piece:
    where = _ranges(node.params["index"], node.inputs[0].shape)
    return f"{node.op.name}({within(inputs[0], ATOM)}[{where}], {inputs[1][0]})", ATOM


def _ruled(node: Node, inputs: list[Piece]) -> Piece:
    """A computation with derivative rules of somebody's own reads as a call of it."""
    rule = node.params["rule"]
    return _call(rule.name, inputs[rule.count :], {})


def _foreign(node: Node, inputs: list[Piece]) -> Piece:
    return _call(node.params["function"].name, inputs, {})


def _item(node: Node, inputs: list[Piece]) -> Piece:
    if node.inputs[0].op.name in ("ruled", "foreign") and len(node.inputs[0].types) == 1:
        return inputs[0]
    return f"{within(inputs[0], ATOM)}[{node.params['index']}]", ATOM


def _gather(node: Node, inputs: list[Piece]) -> Piece:
    return f"{within(inputs[0], ATOM)}[{', '.join(text for text, _ in inputs[1:])}]", ATOM


_SPECIAL: dict[str, Callable[[Node, list[Piece]], Piece | None]] = {
    **dict.fromkeys(("sum", "prod", "max", "min", "any", "all"), _reduction),
    "reshape": _reshape,
    "broadcast_to": _shaped,
    **dict.fromkeys(("slice_set", "slice_add"), _slice_write),
    "astype": _cast,
    "transpose": _transpose,
    "slice": _slice,
    "gather": _gather,
    "item": _item,
    "ruled": _ruled,
    "foreign": _foreign,
}


# --- a tree ------------------------------------------------------------------------------------------------------


def identifier(number: int) -> str:
    """The mark of a number: A, B, ..., Z, AA, AB, ..."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


_HOLE = "\0"
"""Stands for the inputs of a node where only what is around them is shown."""


def label(node: Node) -> str:
    """What a node is called in a tree or drawing: its op and parameters, or a leaf's name or value."""
    if node.op is CONSTANT:
        return node.name or _number(node)[0]
    if node.op is INPUT:
        return node.name or "input"
    if node.op is ITEM:
        return f"item {node.params['index']}"
    if node.op.name == "ruled":
        return f"rule of {node.params['rule'].name}"
    if node.op.name == "foreign":
        return str(node.params["function"].name)
    shown = [(key, value) for key, value in node.params.items() if not isinstance(value, Graph)]
    params = ", ".join(
        _param(value) if isinstance(value, Frame | SweepFrame) else f"{key}={_param(value)}" for key, value in shown
    )
    return f"{node.op.name}{{{params}}}" if params else node.op.name


def caption(node: Node) -> str:
    """What a node is called in a picture, where lines show its inputs: "+", "exp", "sum(axis=1)", "[1:, :]"."""
    if not node.inputs:
        return label(node)
    if node.op.symbol is not None and len(node.inputs) == 2:
        return node.op.symbol
    if node.op.symbol is not None or node.op.name in ("reshape", "broadcast_to", "gather"):
        return node.op.name
    text, _ = _piece(node, dict.fromkeys(node.inputs, (_HOLE, ATOM)))
    text = text.replace(f", {_HOLE}", "").replace(_HOLE, "").replace(", keepdims=False", "")
    return text.replace("(, ", "(").removesuffix("()")


def debugprint(values: Any, file: TextIO | None = None) -> str:
    """Return the tree of traced values, one line a node, with types and the user's source lines.

    A node that is used several times is written out once; later it appears as its [id] and "...".

    Parameters
    ----------
    values : node, traced value, or a sequence of them
        What to print.
    file : file, optional
        Also written there.
    """
    text = "\n".join(_tree(nodes_of(values)))
    if file is not None:
        print(text, file=file)
    return text


def _tree(outputs: Sequence[Node]) -> list[str]:
    """The lines of a tree, and below it those of the bodies of its loops and conditions."""
    names: dict[Node, str] = {}
    lines: list[str] = []
    stack: list[tuple[Node, str, str]] = [(node, "", "") for node in reversed(outputs)]
    while stack:
        node, lead, indent = stack.pop()
        known = node in names
        name = names.setdefault(node, identifier(len(names)))
        place = f"  {node.line}" if node.line and not known else ""
        rest = "..." if known and node.inputs else ""
        lines.append(f"{lead}{label(node)} [id {name}] {node.type}{place}" + (f" {rest}" if rest else ""))
        if not known:
            last = len(node.inputs) - 1
            for position in range(last, -1, -1):
                branch, bar = (" └─ ", "    ") if position == last else (" ├─ ", " │  ")
                stack.append((node.inputs[position], indent + branch, indent + bar))
    for node, name in names.items():
        for key, body in node.params.items():
            if isinstance(body, Graph):
                lines += [f"{key} of [id {name}]:", *(f"  {line}" for line in _tree(body.outputs))]
    return lines
