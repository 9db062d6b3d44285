"""Derivatives of recorded expressions: taken when the expressions are replayed, on graphs whose shapes are known.

The expression is replayed once more, from marked values of the variables to differentiate with respect to: so these
are told apart from whatever has equal values, and may be any variables. Derivatives are then freed of the marks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.errors import gradient as texts
from tracer.graph.graph import Graph, substitute
from tracer.graph.node import Node, constant, make_node
from tracer.ops.gradient_control import MARK
from tracer.rewrite.passes import stabilise
from tracer.rewrite.shifts import hold_maxima
from tracer.tracing import control, trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import deferred
from tracer.tracing.replay import Failure, applies, replay
from tracer.tracing.symbolic_type import TensorType, Type, tensor_type
from tracer.transform.grad import vjp
from tracer.transform.jvp import jvp
from tracer.types import is_inexact

FEW_ROWS = 16
"""Rows of a Jacobian that are written out; more of them are a loop."""


class Expression:
    """Outputs as a function of some variables that they are computed from.

    Attributes
    ----------
    outputs, wrt : list of variables
        What is differentiated, with respect to what. A variable of `wrt` may depend on another one.
    order : list of variables
        Those of `wrt`, each after those that it depends on.
    outer : list of variables
        What else is needed to compute the outputs: their values do not depend on `wrt`.
    inner : list of variables
        What is computed on the way, outputs included.
    """

    def __init__(self, outputs: Sequence[Any], wrt: Sequence[Any], stop: Iterable[Any] = ()) -> None:
        self.outputs, self.wrt = list(outputs), list(wrt)
        moving = set(wrt)
        inner: dict[Any, None] = {}
        used: dict[Any, None] = dict.fromkeys(outputs)
        for node in applies(outputs, stop=stop):
            if any(item in moving for item in node.inputs):
                moving.update(node.outputs)
                inner.update(dict.fromkeys(node.outputs))
                used.update(dict.fromkeys(node.inputs))
        self.order = [*(item for item in wrt if item not in inner), *(item for item in inner if item in self.wrt)]
        self.inner = list(inner)
        self.outer = [item for item in used if item not in moving and not item.is_constant]

    @property
    def variables(self) -> list[Any]:
        """Those whose values a replay asks for, in its order."""
        return [*self.wrt, *self.outer, *self.inner]


def is_derivative(node: Any) -> bool:
    """Whether a recorded call is that of a derivative."""
    return bool(node.arguments) and isinstance(node.arguments[0], Expression)


def shown_inputs(node: Any) -> list[Any]:
    """The inputs of a recorded call that tell what it is: of a derivative, of what and with respect to what."""
    if is_derivative(node):
        return [*node.arguments[0].outputs, *node.arguments[0].wrt]
    return list(node.inputs)


class _Depth(threading.local):
    value = 0


_depth = _Depth()


class Replayed:
    """An expression computed on marked values.

    Use it as a context: within it, sizes that must be known are found although values are marked.

    Parameters
    ----------
    expression : Expression
    values : sequence
        A value for each of the expression's variables, in the order of `variables`.
    """

    def __init__(self, expression: Expression, values: Sequence[Any]) -> None:
        self.expression = expression
        self.given = dict(zip(expression.variables, values, strict=True))
        self.marks: dict[Any, list[Node]] = {}
        self.back: dict[Node, Node] = {}
        self.is_replaced = False

    def __enter__(self) -> Replayed:
        _depth.value += 1
        self._translating = trace.translating(lambda node: substitute([node], self.back)[0])
        self._translating.__enter__()
        try:
            self._replay()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._translating.__exit__(None, None, None)
        _depth.value -= 1

    def _replay(self) -> None:
        expression = self.expression
        known = {item: self.given[item] for item in expression.outer}
        inner = set(expression.inner)
        for number, item in enumerate(expression.order):
            kind: Type = item.type
            values, static = kind.flatten(replay([item], known)[0] if item in inner else self.given[item])
            own, _ = kind.flatten(self.given[item])
            # Depth and number tell marks of derivatives of derivatives apart.
            marks = [make_node(MARK, (unwrap(value),), {"key": (_depth.value, number)}) for value in values]
            self.marks[item] = marks
            self.back.update(zip(marks, map(unwrap, own), strict=True))
            known[item] = kind.unflatten([Proxy(mark) for mark in marks], static)
        # What could not be computed belongs to a branch of a condition that is not taken.
        wanted = [item for item in expression.inner if not isinstance(self.given[item], Failure)]
        wanted += expression.outputs
        self.found = dict(zip(wanted, replay(wanted, known), strict=True))
        self._heed_replacements()

    def _heed_replacements(self) -> None:
        """Where a variable on the way was given another value, derivatives use that value, at the old formula."""
        pairs = [
            (value.__tracer_node__, unwrap(self.given[item]))
            for item, value in self.found.items()
            if item in self.given and isinstance(value, Proxy) and item not in self.marks
        ]
        expected = substitute([inner for inner, _ in pairs], self.back)
        if any(value is not other for (_, value), other in zip(pairs, expected, strict=True)):
            self.is_replaced = True
            self.back.update(pairs)

    def nodes(self, variables: Sequence[Any]) -> list[list[Node]]:
        """The nodes of each of some variables, in a form that is stable to differentiate."""
        groups = [
            [
                unwrap(leaf)
                for leaf in item.type.flatten(self.found[item] if item in self.found else self.given[item])[0]
            ]
            for item in variables
        ]
        if self.is_replaced:
            return groups
        flat = tuple(node for group in groups for node in group)
        frozen = frozenset(mark for marks in self.marks.values() for mark in marks)
        stable = iter(hold_maxima(stabilise(Graph((), flat), frozen), frozen).outputs)
        return [[next(stable) for _ in group] for group in groups]

    def results(self, variables: Sequence[Any], nodes: Sequence[Node | None]) -> tuple[Any, ...]:
        """Derivatives with respect to, or of, variables: values without marks, zeros for None, floating point."""
        values = [self.given[item] if item in self.given else self.found[item] for item in variables]
        groups = [item.type.flatten(value) for item, value in zip(variables, values, strict=True)]
        likes = [unwrap(leaf) for leaves, _ in groups for leaf in leaves]
        filled = [_zeros(like) if node is None else node for node, like in zip(nodes, likes, strict=True)]
        clean = iter(substitute(filled, self.back))
        found = []
        for item, (leaves, static) in zip(variables, groups, strict=True):
            own = [Proxy(next(clean), trace.current()) for _ in leaves]
            if isinstance(item.type, TensorType):
                found.append(_cast(own[0], derivative_type(item.type)))
            else:
                parts = [new if is_inexact(old.dtype) else old for new, old in zip(own, leaves, strict=True)]
                found.append(item.type.unflatten(parts, static))
        return tuple(found)


def derivative_type(kind: Any) -> Any:
    """The type of a derivative with respect to a variable: its own, and floatX for integers."""
    if not isinstance(kind, TensorType):
        return kind
    dtype = kind.numpy_dtype if is_inexact(kind.numpy_dtype) else np.dtype(config.floatX)
    return tensor_type(dtype, kind.broadcastable)


def _zeros(like: Node) -> Node:
    dtype = like.dtype if is_inexact(like.dtype) else np.dtype(config.floatX)
    return unwrap(np.broadcast_to(Proxy(constant(0, dtype)), like.type.known_shape))


def _cast(value: Any, kind: TensorType) -> Any:
    return value if value.dtype == kind.numpy_dtype else value.astype(kind.numpy_dtype)


def _in_form_of(nodes: Sequence[Node], kind: Type, value: Any, text: str) -> list[Node | None]:
    """A given cotangent or tangent as nodes of the shapes and dtypes of others; None where they are integers."""
    found: list[Node | None] = []
    for node, leaf in zip(nodes, kind.flatten(value)[0], strict=True):
        given = unwrap(leaf, node.dtype if is_inexact(node.dtype) else None)
        if given.type.shape != node.type.shape and given.type.shape != ():
            raise ValueError(errors.message(text, node.line, given=given.type, value=node.type))
        given = unwrap(np.broadcast_to(Proxy(given), node.type.known_shape))
        found.append(given if is_inexact(node.dtype) or isinstance(kind, TensorType) else None)
    return found


def _cotangents(nodes: Sequence[Node], kind: Type, value: Any) -> list[Node | None]:
    if value is not None:
        return _in_form_of(nodes, kind, value, texts.KNOWN_GRADIENT_SHAPE)
    return [constant(1, node.dtype) if is_inexact(node.dtype) else None for node in nodes]


def _types_of_wrt(expression: Expression, *_: Any) -> tuple[Any, ...]:
    return tuple(derivative_type(item.type) for item in expression.wrt)


@deferred(name="grad", infer=_types_of_wrt)
def gradients(expression: Expression, values: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, ...]:
    """Pull cotangents of an expression's outputs back to its `wrt`; None stands for 1 of a scalar output."""
    with Replayed(expression, values) as replayed:
        outputs = replayed.nodes(expression.outputs)
        given = [
            node
            for group, item, value in zip(outputs, expression.outputs, cotangents, strict=True)
            for node in _cotangents(group, item.type, value)
        ]
        marks = [mark for item in expression.wrt for mark in replayed.marks[item]]
        pulled = vjp([node for group in outputs for node in group], given, marks)
        return replayed.results(expression.wrt, pulled)


def _types_of_outputs(expression: Expression, *_: Any) -> tuple[Any, ...]:
    return tuple(derivative_type(item.type) for item in expression.outputs)


@deferred(name="Rop", infer=_types_of_outputs)
def pushed_forward(expression: Expression, values: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Push tangents of an expression's `wrt` forward to its outputs; None stands for zero."""
    with Replayed(expression, values) as replayed:
        outputs = replayed.nodes(expression.outputs)
        directions: dict[Node, Node] = {}
        for item, value in zip(expression.wrt, tangents, strict=True):
            if value is not None:
                marks = replayed.marks[item]
                given = _in_form_of(marks, item.type, value, texts.EVAL_POINT_SHAPE)
                directions.update({mark: node for mark, node in zip(marks, given, strict=True) if node is not None})
        pushed = jvp([node for group in outputs for node in group], directions)
        return replayed.results(expression.outputs, pushed)


def _jacobian_types(expression: Expression, *_: Any) -> tuple[Any, ...]:
    first = expression.outputs[0].broadcastable
    kinds = [derivative_type(item.type) for item in expression.wrt]
    return tuple(tensor_type(kind.numpy_dtype, (*first, *kind.broadcastable)) for kind in kinds)


@deferred(name="jacobian", infer=_jacobian_types)
def jacobians(expression: Expression, values: Sequence[Any]) -> tuple[Any, ...]:
    """The derivative of each element of a vector, an expression's one output, with respect to its `wrt`."""
    with Replayed(expression, values) as replayed:
        output = replayed.nodes(expression.outputs)[0][0]
        count = output.type.known_shape[0]
        marks = [replayed.marks[item][0] for item in expression.wrt]

        def row(number: Any) -> list[Any]:
            chosen = np.arange(count) == number
            given = unwrap(np.where(chosen, Proxy(constant(1, output.dtype)), Proxy(constant(0, output.dtype))))
            pulled = vjp([output], [given if is_inexact(output.dtype) else None], marks)
            return [_zeros(mark) if node is None else node for mark, node in zip(marks, pulled, strict=True)]

        if count <= FEW_ROWS:
            rows = [[Proxy(node) for node in row(number)] for number in range(count)]
            columns = list(zip(*rows, strict=True)) if rows else [()] * len(marks)
            stacks: Sequence[Any] = [_stack(column, mark) for column, mark in zip(columns, marks, strict=True)]
        else:
            numbers = Proxy(constant(np.arange(count)))
            stacks = control.scan(lambda number: ([], [], [Proxy(node) for node in row(number)]), [numbers]).outputs
        clean = substitute([unwrap(stack) for stack in stacks], replayed.back)
    kinds = _jacobian_types(expression)
    return tuple(_cast(Proxy(node, trace.current()), kind) for node, kind in zip(clean, kinds, strict=True))


def _stack(rows: Sequence[Any], mark: Node) -> Any:
    if rows:
        return np.stack(rows)
    return np.broadcast_to(Proxy(_zeros(mark)), (0, *mark.type.known_shape))


for _function in (gradients, pushed_forward, jacobians):
    _function.operation.is_lazy = True
