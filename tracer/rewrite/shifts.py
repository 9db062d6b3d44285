"""Maxima that only keep exponentials from overflowing, and that the result does not depend on.

A softmax, or the logarithm of a sum of exponentials, is the same whatever is subtracted from its arguments. So nothing
is lost where no derivative flows through the maximum that users subtract: it would be zero, but for the rounding of
two more passes over the array.

What proves it is how each value changes when something, one number for each element of the maximum, is added to the
maximum: by a multiple of that, or by a factor of its exponential. Where that is zero times it, the maximum has gone.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import numpy as np

from tracer.graph.graph import Graph, rebuild, toposort
from tracer.graph.node import Node, blame, make_node
from tracer.ops.gradient_control import ZERO_GRADIENT
from tracer.records import NamedTuple
from tracer.rewrite.loops import map_bodies
from tracer.rewrite.rule import scalar_value
from tracer.tracing import trace


class Change(NamedTuple):
    """How a value changes with the maximum: `times` what is added to that comes on top, or its exponential in front.

    Attributes
    ----------
    is_factor : bool
        Whether the value is multiplied by an exponential.
    times : float
        How often it counts.
    axes : tuple
        For each axis of the value the axis of the maximum that it runs along, or None.
    summed : frozenset
        Axes of the maximum along which what is added was summed up.
    """

    is_factor: bool
    times: float
    axes: tuple[int | None, ...]
    summed: frozenset[int] = frozenset()

    def like(self, other: Change) -> bool:
        """Whether two values change in the same way, but for how often it counts."""
        return self[::2] == other[::2] and self.summed == other.summed


def hold_maxima(graph: Graph, frozen: Set[Node] = frozenset()) -> Graph:
    """Let no derivative flow through maxima that the outputs do not depend on; nodes in `frozen` stay as they are."""
    order = toposort(graph.outputs, frozen)
    held = _held(graph, [node for node in order if node not in frozen])
    if held:

        def hold(node: Node, inputs: tuple[Node, ...]) -> Node | None:
            if node not in held:
                return None
            with blame(node.line):
                return make_node(ZERO_GRADIENT, (make_node(node.op, inputs, node.params),))

        graph = Graph(graph.inputs, rebuild(graph.outputs, hold, {node: node for node in frozen}))
    return map_bodies(graph, hold_maxima, frozen) if any(node.op.higher_order for node in order) else graph


def _held(graph: Graph, order: list[Node]) -> set[Node]:
    """The maxima among nodes that the outputs do not depend on."""
    found = [node for node in order if node.op.name in ("max", "min") and node.dtype.kind == "f"]
    if not found or not any(node.op.name == "exp" for node in order):
        return set()
    active = trace.current()
    constants = {} if active is None else active.left_behind()
    users: dict[Node, list[int]] = {}
    for place, node in enumerate(order):
        for item in node.inputs:
            users.setdefault(item, []).append(place)
    outputs = frozenset(graph.outputs)
    return {node for node in found if None not in node.shape and _cancels(node, order, users, outputs, constants)}


def _cancels(
    maximum: Node,
    order: Sequence[Node],
    users: Mapping[Node, list[int]],
    outputs: Set[Node],
    constants: Mapping[Node, Any],
) -> bool:
    """Whether no output depends on a maximum; `users` has the places of users within an order."""
    shape = maximum.type.known_shape
    changes = {maximum: Change(False, 1.0, tuple([None if size == 1 else axis for axis, size in enumerate(shape)]))}
    waiting = list(users.get(maximum, ()))  # in order, so already a heap
    last = -1
    while waiting:
        place = heapq.heappop(waiting)
        if place == last:
            continue
        last, node = place, order[place]
        rule = _RULES.get(node.op.name)
        change = None if rule is None else rule(node, [changes.get(item) for item in node.inputs], constants)
        if change is None or node.dtype.kind != "f" or not math.isfinite(change.times):
            return False
        if change.times:
            changes[node] = change
            for place in users.get(node, ()):
                heapq.heappush(waiting, place)
    return changes.keys().isdisjoint(outputs)


# --- how the change of a value follows from those of its inputs ------------------------------------------------------

Changes = list[Change | None]
_Rule = Callable[[Node, Changes, Mapping[Node, Any]], "Change | None"]


def _aligned(node: Node, changes: Changes) -> Changes:
    """The changes of inputs that are broadcast against each other, along the axes of the result."""
    ndim = len(node.shape)
    return [change and change._replace(axes=(None,) * (ndim - len(change.axes)) + change.axes) for change in changes]


def _added(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    sign = -1 if node.op.name == "subtract" else 1
    first, second = _aligned(node, changes)
    if first is not None and second is not None:
        if not first.like(second):
            return None
        if first.is_factor:
            return first if first.times == second.times else None
        return first._replace(times=first.times + sign * second.times)
    if first is None and second is not None:
        first = second._replace(times=sign * second.times)
    return None if first is None or first.is_factor else first


def _multiplied(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    is_quotient = node.op.name == "divide"
    sign = -1 if is_quotient else 1
    first, second = _aligned(node, changes)
    if first is not None and second is not None:
        if not (first.is_factor and first.like(second)):
            return None
        return first._replace(times=first.times + sign * second.times)
    change = second if first is None else first
    if change is None or change.is_factor:
        return change if change is None or first is not None else change._replace(times=sign * change.times)
    number = scalar_value(node.inputs[0 if first is None else 1])
    if number is None or (is_quotient and (first is None or number == 0)):
        return None
    factor = float(number.item())
    return change._replace(times=change.times / factor if is_quotient else change.times * factor)


def _scaled(factor: float, addend: float | None) -> _Rule:
    """The rule of a function of one value: how often a factor counts afterwards, and what is added."""

    def rule(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
        (change,) = changes
        times = None if change is None else factor if change.is_factor else addend
        return None if change is None or times is None else change._replace(times=change.times * times)

    return rule


def _exponential(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    return None if change is None or change.is_factor else change._replace(is_factor=True)


def _logarithm(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    return change._replace(is_factor=False) if change is not None and change.is_factor else None


def _reduced(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    assert change is not None
    axes, keepdims = node.params["axes"], node.params["keepdims"]
    along = [place for axis in axes if (place := change.axes[axis]) is not None]
    is_sum = node.op.name == "sum"
    if along and (change.is_factor or not is_sum):
        return None
    sizes = [node.inputs[0].shape[axis] for axis in axes if change.axes[axis] is None]
    if None in sizes:
        return None
    kept = [None if axis in axes else place for axis, place in enumerate(change.axes) if keepdims or axis not in axes]
    times = change.times if change.is_factor or not is_sum else change.times * math.prod(size or 0 for size in sizes)
    return Change(change.is_factor, times, tuple(kept), change.summed.union(along))


def _chosen(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    condition, first, second = _aligned(node, changes)
    if condition is not None:
        return None
    if first is not None and second is not None:
        return first if first == second else None
    change = second if first is None else first
    zero = scalar_value(node.inputs[1 if first is None else 2])
    return change if change is not None and change.is_factor and zero is not None and zero == 0 else None


def _product(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    first, second = changes
    if first is None or second is not None or not first.is_factor or len(first.axes) != len(node.shape):
        return None
    return first if first.axes[-1] is None else None


def _reshaped(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    if change is None or None in node.inputs[0].shape:
        return None
    before = [(size, place) for size, place in zip(node.inputs[0].shape, change.axes, strict=True) if size != 1]
    if [size for size, _ in before] != [size for size in node.shape if size != 1]:
        return None
    places = iter(before)
    return change._replace(axes=tuple([None if size == 1 else next(places)[1] for size in node.shape]))


def _transposed(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    return change and change._replace(axes=tuple([change.axes[axis] for axis in node.params["axes"]]))


def _broadcast(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    return _aligned(node, changes)[0]


def _sliced(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    (change,) = changes
    assert change is not None
    read = zip(node.params["index"], node.inputs[0].shape, change.axes, strict=True)
    return change if all(place is None or index == (0, size, 1) for index, size, place in read) else None


def _gathered(node: Node, changes: Changes, constants: Mapping[Node, Any]) -> Change | None:
    """What is picked follows the maximum along an axis from which every element is read, in order."""
    change, *others = changes
    if change is None or any(others):
        return None
    indices = node.inputs[1:]
    rest = change.axes[len(indices) :]
    picked: list[int | None] = [None] * (len(node.shape) - len(rest))
    for index, size, place in zip(indices, node.inputs[0].shape, change.axes, strict=False):
        if place is None:
            continue
        value = index.value if index.is_constant else constants.get(index)
        if value is None or size is None or value.shape.count(1) != value.ndim - 1 or value.size != size:
            return None
        axis = value.shape.index(size) - value.ndim + len(picked)
        if picked[axis] is not None or not np.array_equal(value.reshape(-1), np.arange(size)):
            return None
        picked[axis] = place
    return change._replace(axes=(*picked, *rest))


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        **dict.fromkeys(("add", "subtract"), _added),
        **dict.fromkeys(("multiply", "divide"), _multiplied),
        **dict.fromkeys(("sum", "max", "min"), _reduced),
        "negative": _scaled(1, -1),
        "astype": _scaled(1, 1),
        "square": _scaled(2, None),
        "reciprocal": _scaled(-1, None),
        "exp": _exponential,
        "log": _logarithm,
        "where": _chosen,
        "matmul": _product,
        "reshape": _reshaped,
        "transpose": _transposed,
        "broadcast_to": _broadcast,
        "slice": _sliced,
        "gather": _gathered,
    }
)
