"""One traced call of a function whose derivatives somebody gave: its nests taken apart, and the rule of the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import custom as texts
from tracer.graph.graph import substitute, toposort
from tracer.graph.looping import zero_node
from tracer.graph.node import INPUT, Node, blame
from tracer.ops.gradient_control import RULED, DerivativeRule
from tracer.tracing import trace
from tracer.tracing.bodies import nodes_around
from tracer.tracing.layout import turned_strides
from tracer.tracing.proxy import Proxy, describe, unwrap
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import Symbolic
from tracer.transform.transpose import transpose
from tracer.tree import Structure, flatten, unflatten
from tracer.types import ArrayType, is_inexact

Function = Callable[..., Any]


def is_expression(*values: Any) -> bool:
    """Whether there are symbolic variables in nests, so that a call on them is recorded and done later."""
    return not is_computing() and any(isinstance(leaf, Symbolic) for leaf in flatten(values)[0])


def is_array(leaf: Any) -> bool:
    """Whether a leaf of a nest is handed on as an array; other leaves are what they are."""
    return isinstance(leaf, Proxy | np.ndarray | np.generic)


class Call:
    """One traced call of a function with rules: its arguments and results, taken apart and put together.

    Attributes
    ----------
    structure : Structure
        Of the arguments with rules, as a tuple.
    places : list of int
        The leaves of these that are arrays.
    values : list of Proxy
        These arrays.
    outputs : list of Node
        The arrays in the result.
    closed : list of Node
        What the function and its rules use of their surroundings.
    """

    def __init__(self, name: str, args: tuple[Any, ...], nondiff: frozenset[int]) -> None:
        self.name, self.nondiff, self.count = name, nondiff, len(args)
        self.others = {number: args[number] for number in nondiff}
        self.numbers = [number for number in range(len(args)) if number not in nondiff]
        leaves, self.structure = flatten(tuple(args[number] for number in self.numbers))
        self.places = [place for place, leaf in enumerate(leaves) if is_array(leaf)]
        active = trace.current()
        self.values = [Proxy(unwrap(leaves[place]), active) for place in self.places]
        self.nodes = [value.__tracer_node__ for value in self.values]
        for value, place in zip(self.values, self.places, strict=True):
            value._strides = turned_strides(leaves[place])
            leaves[place] = None
        self.leaves = leaves
        self.outputs: list[Node] = []
        self.closed: list[Node] = []
        self.connected: set[Node] = set()

    @property
    def types(self) -> list[ArrayType]:
        """The types of the arrays among the arguments."""
        return [node.type for node in self.nodes]

    def nest(self, values: Sequence[Any], others: Function | None = None) -> tuple[Any, ...]:
        """The arguments with rules, with these arrays and, in place of what is no array, `others` of it."""
        leaves = list(self.leaves) if others is None else [others(leaf) for leaf in self.leaves]
        for place, value in zip(self.places, values, strict=True):
            leaves[place] = value
        nest: tuple[Any, ...] = unflatten(self.structure, leaves)
        return nest

    def arguments(self, values: Sequence[Any]) -> list[Any]:
        """All arguments, with these arrays."""
        args: list[Any] = [self.others.get(number) for number in range(self.count)]
        for number, value in zip(self.numbers, self.nest(values), strict=True):
            args[number] = value
        return args

    def finish(self, result: Any, functions: Sequence[Function]) -> None:
        """Take the result apart, and find what was used of the surroundings."""
        for value, node, place in zip(self.values, self.nodes, self.places, strict=True):
            if value.__tracer_node__ is not node:
                number = self.numbers[owner_of(self.structure, place)]
                raise errors.TraceError(errors.message(texts.ARGUMENT_WRITTEN, function=self.name, number=number))
        self.result, self.result_structure = flatten(result)
        self.result_places = [place for place, leaf in enumerate(self.result) if is_array(leaf)]
        self.outputs = [unwrap(self.result[place]) for place in self.result_places]
        for place in self.result_places:
            self.result[place] = None
        own = set(self.nodes)
        used = [node for node in toposort(self.outputs, own) if node.op is INPUT and node not in own]
        seen = nodes_around((*functions, *self.others.values()))
        self.closed = [node for node in dict.fromkeys([*used, *seen]) if node not in own]
        self.connected = connected(self.outputs, own)

    def outcome(self, values: Sequence[Any]) -> Any:
        """The result, with these arrays."""
        leaves = list(self.result)
        for place, value in zip(self.result_places, values, strict=True):
            leaves[place] = value
        return unflatten(self.result_structure, leaves)

    def applied(self, rule: DerivativeRule) -> Any:
        """The result, whose derivatives follow a rule."""
        active = trace.current()
        wrapped = [Proxy(node, active) for node in (*self.outputs, *self.nodes, *self.closed)]
        return self.outcome(RULED(*wrapped, rule=rule))


def owner_of(structure: Structure, place: int) -> int:
    """Which child of a structure has a leaf."""
    for number, child in enumerate(structure.children):
        if place < child.leaf_count:
            return number
        place -= child.leaf_count
    raise IndexError(place)


def connected(outputs: Sequence[Node], stop: set[Node]) -> set[Node]:
    """The nodes through which derivatives of outputs flow, not looking beyond those in `stop`."""
    found = set(outputs)
    for node in reversed(toposort(outputs, stop)):
        if node not in found or node in stop or node.op.zero_derivative:
            continue
        if node.has_items or any(is_inexact(own.dtype) for own in node.types):
            found.update(node.inputs)
    return found


class CallRule(DerivativeRule):
    """The rule of one call: that of the function, applied to the call's own nests."""

    keeps_body = pushes_body = False

    def __init__(self, call: Call) -> None:
        self.call, self.count, self.name = call, len(call.outputs), call.name

    def pulled(self, wanted: Sequence[int], g: Sequence[Any], y: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """The cotangents of arrays among the arguments; those of the outputs are None for zero."""
        return pulled_by_pushing(lambda tangents: self.pushed(tangents, y, values), wanted, self.call.types, g)

    def pushed(self, tangents: Sequence[Any], y: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """The tangents of the outputs; those of the arrays among the arguments are None for zero."""
        types = [own.type for own in self.call.outputs]
        return pushed_by_pulling(lambda wanted, g: self.pulled(wanted, g, y, values), tangents, types)

    def pull(self, wanted: Any, g: Any, y: Any, outputs: Any, inputs: Any) -> list[Any]:
        """The cotangents of inputs: arrays among the arguments, then what is closed over."""
        own = len(self.call.places)
        self._refuse([place for place in wanted if place >= own])
        places = [place for place in wanted if place < own]
        with blame(None):
            parts = self.pulled(places, g, refreshed(y), refreshed(inputs[:own])) if places else []
        return [*self._settled(parts, inputs), *(None for place in wanted if place >= own)]

    def push(self, tangents: Any, through: Any, y: Any, inputs: Any) -> list[Any]:
        """The tangents of the outputs."""
        own = len(self.call.places)
        self._refuse([place for place, tangent in enumerate(tangents) if place >= own and tangent is not None])
        if all(tangent is None for tangent in tangents[:own]):
            return [None] * self.count
        with blame(None):
            parts = self.pushed(tangents[:own], refreshed(y), refreshed(inputs[:own]))
        return self._settled(parts, inputs)

    def _refuse(self, places: Sequence[int]) -> None:
        for place in places:
            node = self.call.closed[place - len(self.call.places)]
            if node in self.call.connected:
                text = errors.message(texts.CLOSED_OVER, node.line, function=self.name, value=describe(node))
                raise errors.NotDifferentiableError(text)

    def _settled(self, parts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """Results with today's values of what the function closed over when it was called."""
        now = [value.__tracer_node__ for value in inputs[len(self.call.places) :]]
        moved = {old: new for old, new in zip(self.call.closed, now, strict=True) if old is not new}
        if not moved:
            return list(parts)
        found = iter(substitute([node_of(part) for part in parts if part is not None], moved))  # type: ignore[misc]
        return [None if part is None else proxy_of(next(found)) for part in parts]


def pulled_by_pushing(
    push: Callable[[list[Any]], Sequence[Any]], wanted: Sequence[int], types: Sequence[ArrayType], g: Sequence[Any]
) -> list[Any]:
    """The cotangents of the inputs of these types at wanted places, by the transpose of a forward rule."""

    def linear(nodes: list[Node]) -> list[Node | None]:
        tangents: list[Any] = [None] * len(types)
        for place, node in zip(wanted, nodes, strict=True):
            tangents[place] = fresh(node)
        return [node_of(part) for part in push(tangents)]

    return list(map(proxy_of, transpose(linear, [types[place] for place in wanted], list(map(node_of, g)))))


def pushed_by_pulling(
    pull: Callable[[list[int], list[Any]], Sequence[Any]], tangents: Sequence[Any], types: Sequence[ArrayType]
) -> list[Any]:
    """The tangents of outputs of these types, by the transpose of a reverse rule."""
    moving = [place for place, tangent in enumerate(tangents) if tangent is not None]
    floats = [place for place, own in enumerate(types) if is_inexact(own.dtype)]

    def linear(nodes: list[Node]) -> list[Node | None]:
        g: list[Any] = [None] * len(types)
        for place, node in zip(floats, nodes, strict=True):
            g[place] = fresh(node)
        return [node_of(part) for part in pull(moving, g)]

    parts = transpose(linear, [types[place] for place in floats], [node_of(tangents[place]) for place in moving])
    found = dict(zip(floats, map(proxy_of, parts), strict=True))
    return [found.get(place) for place in range(len(types))]


def fresh(node: Node) -> Proxy:
    """A traced value of a node that nobody else writes into."""
    return Proxy(node, trace.current())


def refreshed(values: Sequence[Any]) -> list[Any]:
    """The same values, which a rule may write into."""
    return [fresh(value.__tracer_node__) for value in values]


def node_of(part: Any) -> Node | None:
    """The node of a traced value; None stays None."""
    return None if part is None else unwrap(part)


def proxy_of(node: Node | None) -> Any:
    """The traced value of a node; None stays None."""
    return None if node is None else fresh(node)


def zero_like(own: ArrayType) -> Any:
    """Zeros for a derivative of a value."""
    dtype = own.dtype if is_inexact(own.dtype) else np.dtype(np.float64)
    return fresh(zero_node(ArrayType(dtype, own.shape)))


def leaves_like(structure: Structure, value: Any, mismatch: Callable[[], Exception]) -> list[Any]:
    """The leaves of a nest of this structure, in which None stands for any part of it."""
    if value is None:
        return [None] * structure.leaf_count
    if structure.kind == "leaf":
        return [value]
    items: list[Any] | None = None
    if structure.kind in ("tuple", "list", "namedtuple") and isinstance(value, tuple | list):
        items = list(value)
    elif structure.kind == "dict" and isinstance(value, dict) and set(value) == set(structure.keys):
        items = [value[key] for key in structure.keys]
    elif structure.kind == "dataclass" and isinstance(value, structure.type):
        items = [getattr(value, key) for key in structure.keys]
    if items is None or len(items) != len(structure.children):
        raise mismatch()
    pairs = zip(structure.children, items, strict=True)
    return [leaf for child, item in pairs for leaf in leaves_like(child, item, mismatch)]


def checked_derivative(value: Any, own: ArrayType, rule: str, function: str, what: str) -> Any:
    """What a rule gave for one array, as a traced value; None for zero."""
    if value is None or not is_inexact(own.dtype):
        return None
    node = unwrap(value)
    if node.shape != own.shape:
        text = errors.message(
            texts.RULE_SHAPE, node.line, rule=rule, function=function, found=node.type, what=what, wanted=own
        )
        raise ValueError(text)
    return fresh(node)
