"""Symbolic expressions and compiled functions as formulas on one line.

An expression is written as it was recorded, call by call. Derivatives in it are taken first, on graphs with made-up
sizes, and then written as formulas; what a text says of those sizes names the dimension they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement
from math import prod
from typing import Any

import numpy as np

from tracer.graph.graph import Graph, toposort
from tracer.graph.node import Node
from tracer.graph.op import FUNCTIONS, OPS
from tracer.graph.text import ATOM, UNARY, Piece, binary, pieces_of, within
from tracer.rewrite.algebra import ALGEBRA
from tracer.rewrite.canonical import CANONICAL, lossless
from tracer.rewrite.driver import rewrite
from tracer.rewrite.passes import forget_derivatives, optimise
from tracer.symbolic.derivatives import gradients, jacobians, pushed_forward
from tracer.symbolic.function import Function
from tracer.symbolic.program import SymbolicPlan
from tracer.symbolic.stand_in_sizes import FIRST_SIZE, StandIns, stand_ins
from tracer.tracing.replay import applies
from tracer.tracing.symbolic import as_variable

LONGEST = 5_000
_OTHER_SIZE = 307
_PLAIN = (1, 2, 3, 4, 0.5, 0.25, 1.5)
_DIVISION, _POWER = 13, 15
_DERIVATIVES = tuple(item.operation for item in (gradients, jacobians, pushed_forward))

Writer = Callable[[Any, Sequence[Piece]], Piece | None]


class Text:
    """A piece of text that shows itself, in place of an argument of a call."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece

    def __repr__(self) -> str:
        return self.piece[0]


class Printer:
    """Writes expressions.

    Attributes
    ----------
    writers : list of (condition, writer)
        Asked first to last: a condition is a function of a variable, a writer one of the variable and the pieces of its
        inputs, which may return None.
    """

    def __init__(self) -> None:
        self.writers: list[tuple[Callable[[Any], bool], Writer]] = []

    def pieces(self, outputs: Sequence[Any]) -> dict[Any, Piece]:
        """The text of every variable that outputs are computed from."""
        order = applies(outputs)
        derived = _derived_pieces(order)
        found: dict[Any, Piece] = {}
        for node in order:
            for item in node.inputs:
                if item.owner is None and item not in found:
                    found[item] = self._written(item, [])
            inputs = [found[item] for item in node.inputs]
            for item in node.outputs:
                piece = derived.get(item) or self._written(item, inputs)
                found[item] = piece if len(piece[0]) <= LONGEST else ("...", ATOM)
        for item in outputs:
            if item not in found:
                found[item] = self._written(item, [])
        return found

    def __call__(self, *outputs: Any) -> str:
        """The text of expressions, separated by commas."""
        variables = [as_variable(item) for item in outputs]
        pieces = self.pieces(variables)
        return ", ".join(pieces[item][0] for item in variables)

    def _written(self, variable: Any, inputs: Sequence[Piece]) -> Piece:
        for condition, writer in self.writers:
            if condition(variable):
                found = writer(variable, inputs)
                if found is not None:
                    return found
        return leaf(variable) if variable.owner is None else call(variable, inputs)


def leaf(variable: Any) -> Piece:
    """An input, a shared variable or a constant: its name, value or type."""
    if variable.name:
        return variable.name, ATOM
    if variable.is_constant:
        return number(variable.data)
    return f"<{variable.type}>", ATOM


def number(value: Any) -> Piece:
    """A constant; whole numbers without a point."""
    array = np.asarray(value)
    if array.size > 6:
        return f"<{array.dtype}{list(array.shape)}>", ATOM
    text = str(array.tolist())
    if array.ndim == 0 and array.dtype.kind == "f" and float(array).is_integer() and abs(float(array)) < 1e15:
        text = str(int(array))
    return text, UNARY if text.startswith("-") else ATOM


def call(variable: Any, inputs: Sequence[Piece]) -> Piece:
    """A recorded call: an operator, an index, or a function with its arguments."""
    node = variable.owner
    args, kwargs = node.call_arguments([Text(piece) for piece in inputs])
    special = _SPECIAL.get(node.op.name)
    if special is not None:
        found = special(*args, **kwargs)
        if found is not None:
            return found if len(node.outputs) == 1 else (f"{found[0]}[{variable.index}]", ATOM)
    entry = FUNCTIONS.get(node.op.function) if isinstance(node.op.function, np.ufunc) else None
    op = entry.op if entry else None
    if op is not None and op.symbol is not None and not kwargs:
        if len(inputs) == 2:
            return binary(op.symbol, op.precedence, *inputs), op.precedence
        return op.symbol + within(inputs[0], op.precedence), op.precedence
    shown = [repr(item) for item in args if not isinstance(item, type(node))]
    shown += [f"{key}={value!r}" for key, value in kwargs.items() if not _is_default(value)]
    text = f"{getattr(node.op, 'symbol', None) or node.op.name}({', '.join(shown)})"
    return text if len(node.outputs) == 1 else f"{text}[{variable.index}]", ATOM


def _is_default(value: Any) -> bool:
    return value is None or value is False or value is np._NoValue


# --- calls that are written otherwise ------------------------------------------------------------------------------


def _subtensor(x: Text, key: tuple[Any, ...]) -> Piece:
    parts = []
    for part in key:
        if isinstance(part, tuple):
            bounds = ["" if bound is None else repr(bound) for bound in part]
            parts.append(":".join(bounds if bounds[2] else bounds[:2]))
        else:
            parts.append("..." if part is Ellipsis else repr(part))
    return f"{within(x.piece, ATOM)}[{', '.join(parts)}]", ATOM


def _assigned(x: Text, key: tuple[Any, ...], y: Any, mode: str) -> Piece:
    return f"{mode}_subtensor({_subtensor(x, key)[0]}, {y!r})", ATOM


def _shape(x: Any) -> Piece:
    return (f"{within(x.piece, ATOM)}.shape" if isinstance(x, Text) else f"{x!r}.shape"), ATOM


def _dimshuffle(x: Text, pattern: tuple[Any, ...]) -> Piece:
    kept = [item for item in pattern if item != "x"]
    text = within(x.piece, ATOM)
    if kept == sorted(kept) and kept == list(range(len(kept))):
        if pattern[: len(pattern) - len(kept)] == ("x",) * (len(pattern) - len(kept)):
            return x.piece  # broadcasting puts such dimensions in front by itself
        return f"{text}[{', '.join('None' if item == 'x' else ':' for item in pattern)}]", ATOM
    if pattern == tuple(reversed(range(len(pattern)))):
        return f"{text}.T", ATOM
    return f"{text}.dimshuffle{pattern}", ATOM


def _cast(x: Text, dtype: Any) -> Piece:
    return f"{np.dtype(dtype)}({x!r})", ATOM


def _switch(condition: Any, x: Any = None, y: Any = None) -> Piece:
    return f"switch({condition!r}, {x!r}, {y!r})", ATOM


def _transpose(x: Any, axes: Any = None) -> Piece | None:
    return (f"{within(x.piece, ATOM)}.T", ATOM) if axes is None and isinstance(x, Text) else None


def _arange(start: Any, stop: Any, step: Any, dtype: Any) -> Piece:
    bounds = [stop] if repr(start) == "0" and repr(step) == "1" else [start, stop, step]
    return f"arange({', '.join(map(repr, bounds))})", ATOM


def _alloc(value: Any, shape: Any) -> Piece:
    sizes = ", ".join(map(repr, shape)) if isinstance(shape, list | tuple) else f"*{shape!r}"
    return f"alloc({value!r}, {sizes})", ATOM


def _flatten(x: Any, ndim: int = 1) -> Piece:
    return (f"flatten({x!r})" if ndim == 1 else f"flatten({x!r}, {ndim})"), ATOM


def _scan(
    inner: Any, sequences: Any, initials: Any, shared: Any, outer: Any, n_steps: Any = None, *_: Any, **__: Any
) -> Piece:
    parts = {"sequences": sequences, "outputs_info": initials, "non_sequences": [*shared, *outer]}
    shown = [repr(inner), *(f"{name}={list(values)}" for name, values in parts.items() if values)]
    shown += [] if n_steps is None else [f"n_steps={n_steps!r}"]
    return f"scan({', '.join(shown)})", ATOM


_SPECIAL: dict[str, Callable[..., Piece | None]] = {
    "Subtensor": _subtensor,
    "IncSubtensor": _assigned,
    "Shape": _shape,
    "DimShuffle": _dimshuffle,
    "Cast": _cast,
    "Switch": _switch,
    "Rebroadcast": lambda x, *_: x.piece,
    "transpose": _transpose,
    "ARange": _arange,
    "Copy": lambda x: x.piece,
    "Alloc": _alloc,
    "Flatten": _flatten,
    "Reshape": lambda x, shape, *_: (f"reshape({x!r}, {shape!r})", ATOM),
    "Scan": _scan,
    "Second": lambda a, b: (f"fill({a!r}, {b!r})", ATOM),
}

# --- derivatives -------------------------------------------------------------------------------------------------


def _derived_pieces(order: Sequence[Any]) -> dict[Any, Piece]:
    """The formulas of the derivatives among calls; where sizes are not to be found, what was asked for."""
    found: dict[Any, Piece] = {}
    for node in order:
        if node.op in _DERIVATIVES:
            found.update(zip(node.outputs, _formulas(node), strict=True))
    return found


def _formulas(node: Any) -> list[Piece]:
    if node.op is not jacobians.operation:
        found, other = (_with_sizes(node, first) for first in (FIRST_SIZE, _OTHER_SIZE))
        # A text that differs has a number in it that comes of a made-up size.
        if found is not None and found == other and all(len(text) <= LONGEST for text, _ in found):
            return found
    expression = node.arguments[0]
    of, by = Printer()(*expression.outputs), Printer()(*expression.wrt)
    places = range(len(node.outputs))
    return [
        (f"{node.op.name}({of}, [{by}])[{place}]" if len(places) > 1 else f"{node.op.name}({of}, {by})", ATOM)
        for place in places
    ]


def _with_sizes(node: Any, first: int) -> list[Piece] | None:
    """The formulas of a derivative, found with sizes that are made up from `first` on."""
    sizes = stand_ins(node.outputs, first)
    if sizes is None:
        return None
    nodes = [value.__tracer_node__ for value in sizes.replay(node.outputs) if hasattr(value, "__tracer_node__")]
    if len(nodes) != len(node.outputs) or _has_bodies(nodes):
        return None
    graph = rewrite(forget_derivatives(Graph((), tuple(nodes))), (*CANONICAL, *ALGEBRA))
    return formulas(graph.outputs, sizes)


def _has_bodies(nodes: Sequence[Node]) -> bool:
    """Whether there are loops or branches, which are no formulas."""
    return any(isinstance(value, Graph) for node in toposort(nodes) for value in node.params.values())


def formulas(nodes: Sequence[Node], sizes: StandIns | None = None) -> list[Piece]:
    """The formulas of nodes, with made-up sizes by the names of what they stand for."""
    names = _size_names(sizes)
    known = _products(names)
    shapes = _shape_names(sizes, names)

    def special(node: Node, pieces: Mapping[Node, Piece]) -> Piece | None:
        if node.is_constant and node.name is None:
            return _constant(node.value, known)
        if node.op.name == "astype" and lossless(node.inputs[0].dtype, node.dtype):
            return pieces[node.inputs[0]]
        if node.op.name == "square":
            return binary("**", _POWER, pieces[node.inputs[0]], ("2", ATOM)), _POWER
        if node.op.name == "reciprocal":
            return binary("/", _DIVISION, ("1", ATOM), pieces[node.inputs[0]]), _DIVISION
        if node.op.name == "multiply":
            return _scaled(node, pieces)
        factors = _vector_factors(node)
        if factors is not None:
            product = OPS["matmul"]
            return binary("@", product.precedence, *(pieces[item] for item in factors)), product.precedence
        return None

    return [(_named_sizes(text, names, shapes), binding) for text, binding in pieces_of(nodes, special)]


def _scaled(node: Node, pieces: Mapping[Node, Piece]) -> Piece | None:
    """A product with a number, which comes first, or divides if it is one over a size."""
    left, right = node.inputs
    if left.is_constant == right.is_constant:
        return None
    (text, binding), other = (pieces[item] for item in ((left, right) if left.is_constant else (right, left)))
    if text.startswith("1 / "):
        return binary("/", _DIVISION, other, (text.removeprefix("1 / "), ATOM)), _DIVISION
    return binary(node.op.symbol or "*", node.op.precedence, (text, binding), other), node.op.precedence


def _vector_factors(node: Node) -> tuple[Node, Node] | None:
    """The factors of a product with a vector, which was made a matrix for it and back."""
    product = node.inputs[0] if node.op.name == "reshape" else node
    if product.op.name != "matmul" or node.op.name != "reshape":
        return None
    left, right = product.inputs
    one, other = (item.inputs[0] if item.op.name == "reshape" else item for item in (left, right))
    if product.shape == (*node.shape, 1) and other.type.ndim == 1 and right.shape == (*other.shape, 1):
        return left, other
    if product.shape == (1, *node.shape) and one.type.ndim == 1 and left.shape == (1, *one.shape):
        return one, right
    if node.shape == () and product.shape == (1, 1) and one.type.ndim == other.type.ndim == 1:
        return one, other
    return None


def _constant(value: np.ndarray[Any, Any], known: Mapping[int, Piece]) -> Piece:
    if value.ndim == 1 and value.size in known and np.array_equal(value, np.arange(value.size)):
        return f"arange({known[value.size][0]})", ATOM
    if value.ndim == 0 and value.dtype.kind in "iuf" and value != 0 and known:
        for size, piece in known.items():
            factor = _factor(abs(float(value)), size, value.dtype)
            if factor is not None:
                text = f"{'-' * bool(value < 0)}{factor} / {within(piece, _DIVISION + 1)}"
                return text, _DIVISION
        if abs(float(value)) in known:
            text, binding = known[int(abs(value))]
            return (text, binding) if value > 0 else (f"-{within((text, binding), UNARY)}", UNARY)
    return number(value)


def _factor(value: float, size: int, dtype: np.dtype[Any]) -> str | None:
    """The plain number that divided by a size is a value."""
    near = 4 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return next((str(plain) for plain in _PLAIN if abs(value * size - plain) <= near * plain), None)


def _size_names(sizes: StandIns | None) -> dict[int, str]:
    places = {} if sizes is None else sizes.sizes
    return {size: f"{leaf(item)[0]}.shape[{axis}]" for size, (item, axis) in places.items()}


def _products(names: Mapping[int, str]) -> dict[int, Piece]:
    """Sizes and products of a few of them -> how they are written."""
    known: dict[int, Piece] = {size: (name, ATOM) for size, name in names.items()}
    for count in (2, 3, 4) if len(names) <= 8 else (2,):
        for group in combinations_with_replacement(names, count):
            known.setdefault(prod(group), (" * ".join(names[size] for size in group), _DIVISION))
    return known


def _shape_names(sizes: StandIns | None, names: Mapping[int, str]) -> dict[str, str]:
    """How the shapes of variables read whose dimensions all have made-up sizes."""
    found: dict[str, str] = {}
    for item, _ in () if sizes is None else sizes.sizes.values():
        shape = sizes.values[item].shape if sizes is not None else ()
        if all(size in names for size in shape):
            found.setdefault(str(shape), f"{leaf(item)[0]}.shape")
    return found


def _named_sizes(text: str, names: Mapping[int, str], shapes: Mapping[str, str]) -> str:
    """Sizes in the parameters of ops, such as shapes."""
    if not names:
        return text
    for shape, name in shapes.items():
        text = text.replace(f" {shape}", f" {name}")
    pattern = r"(?<![\w.])(" + "|".join(map(str, names)) + r")(?![\w.])"
    return re.sub(pattern, lambda match: names[int(match.group())], text)


# --- functions ---------------------------------------------------------------------------------------------------


def function_text(function: Function) -> str:
    """The formulas of a function's outputs, after rewriting."""
    count = len(function.maker.outputs)
    plan = function.program.last_plan
    if plan is not None:
        return ", ".join(text for text, _ in formulas(_outputs_of(plan, count)))
    outputs = [item.variable for item in function.maker.outputs]
    sizes = stand_ins(outputs)
    nodes = [getattr(item, "__tracer_node__", None) for item in sizes.replay(outputs)] if sizes else [None]
    if None in nodes:
        return Printer()(*outputs)
    graph = optimise(Graph((), tuple(node for node in nodes if node is not None)))
    return ", ".join(text for text, _ in formulas(graph.outputs, sizes))


def _outputs_of(plan: SymbolicPlan, count: int) -> tuple[Node, ...]:
    return plan.graph.outputs[: sum(plan.counts[:count])]
