"""What the derivatives of a scan are built with: the scan that has run, a scan in the making, and the steps in common.

A derivative reads what the scan has stored rather than computing it again, and asks it to store what it needs besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracer.graph.body import Frame, Results, close, free_values
from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.node import Node, constant, input_node, item_nodes, make_node
from tracer.graph.op import OPS
from tracer.graph.rules import apply_like, literal, traced
from tracer.types import ArrayType, is_inexact

CHEAP = frozenset(
    "add subtract multiply negative positive square absolute maximum minimum where astype conjugate logical_not "
    "equal not_equal less less_equal greater greater_equal logical_and logical_or invert real imag sign".split()
)
"""Elementwise ops that a derivative computes again rather than having their values stored."""
SINGULAR = frozenset(
    "divide reciprocal sqrt cbrt power float_power log log2 log10 log1p arcsin arccos arccosh arctanh arctan2 hypot "
    "xlogy xlog1py".split()
)
"""Elementwise ops whose local derivatives are infinite, or no numbers, at finite points."""


Places = tuple[set[int], set[int]]
"""Some of the states and some of the carries."""


class Window:
    """The steps that a derivative looks back at: all that were done, or the last of them.

    Arrays come by row t or by step s (see `Frame`); the derivative, which runs over `count` of `steps`, reads rows.
    """

    def __init__(self, frame: Frame, count: Any, like: Any, last: int = -1) -> None:
        self.frame, self.done, self.like = frame, count, like
        self.steps = frame.steps if last < 0 else min(last, frame.steps)
        self.is_whole = self.steps == frame.steps
        self.count = count if count is None or self.is_whole else np.minimum(count, self.steps)

    def _rows(self, start: Any) -> Any:
        """Row numbers counted upward from a traced one, kept inside."""
        numbers = start + literal(np.arange(self.steps), self.like)
        return np.clip(numbers, 0, max(self.frame.steps - 1, 0))

    def by_row(self, stacked: Any) -> Any:
        """The rows of an array by row."""
        if self.is_whole:
            return stacked
        if self.frame.reverse:
            return stacked[: self.steps]
        if self.done is None:
            return stacked[self.frame.steps - self.steps :]
        return np.take(stacked, self._rows(np.maximum(self.done - self.steps, 0)), axis=0)

    def by_step(self, stacked: Any) -> Any:
        """The rows of an array by step, in the order of rows."""
        if not self.frame.reverse:
            return self.by_row(stacked)
        if self.done is None:
            return stacked[self.frame.steps - self.steps :][::-1]
        rows = self.done - 1 - literal(np.arange(self.steps), self.like)
        return np.take(stacked, np.clip(rows, 0, max(self.frame.steps - 1, 0)), axis=0)

    def spread(self, stacked: Any) -> Any:
        """Put the rows back where `by_row` took them from, among zeros."""
        if self.is_whole:
            return stacked
        shape = (self.frame.steps, *stacked.shape[1:])
        if self.frame.reverse or self.done is None:
            start = 0 if self.frame.reverse else self.frame.steps - self.steps
            return unslice_rows(stacked, start, shape)
        rows = self._rows(np.maximum(self.done - self.steps, 0))
        return OPS["scatter_add"](zeros(ArrayType(stacked.dtype, shape), self.like), stacked, rows)

    def at_start(self, value: Any) -> Any:
        """What has been carried back to the start of the scan: nothing if the window does not reach it."""
        if self.is_whole or value is None:
            return value
        return None if self.done is None else np.where(self.done <= self.steps, value, 0)

    def before_start(self, history: Any, lag: int) -> Any:
        """What a lag carried back to rows before the first step, oldest first; None for nothing.

        `history` has the values that the derivative's steps, which run backwards, sent over the lag, after as many rows
        of zeros.
        """
        if self.done is not None:
            rows = lag + self.done - 1 - literal(np.arange(lag), self.like)
            found = np.take(history, np.clip(rows, 0, lag + self.steps - 1), axis=0)
            inside = np.reshape(rows < lag + self.steps, (lag, *(1,) * (found.ndim - 1)))
            return found if self.is_whole else np.where(inside, found, 0)
        first, last = self.frame.steps, min(self.frame.steps, self.steps) + lag
        if last <= first:
            return None
        return history[first:last][::-1]


def zeros(node_type: ArrayType, like: Any) -> Any:
    """A traced array of zeros."""
    zero = literal(np.zeros((), node_type.dtype), like)
    return apply_like(OPS["broadcast_to"], like, zero, shape=node_type.known_shape)


def unslice_rows(stacked: Any, start: int, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape with rows put in from `start` on."""
    index = ((start, stacked.shape[0], 1), *((0, size, 1) for size in shape[1:]))
    return OPS["unslice"](stacked, shape=shape, index=index)


class Maker:
    """A scan in the making: each method adds an input, and returns what stands for it in the body."""

    def __init__(self, like: Any) -> None:
        self.like = like
        self.sequences: list[tuple[Node, Any]] = []
        self.states: list[tuple[list[Node], Any, tuple[int, ...]]] = []
        self.carries: list[tuple[Node, Any]] = []
        self.fixed: list[tuple[Node, Any]] = []

    def sequence(self, stacked: Any) -> Node:
        """The row of an array that belongs to the step."""
        self.sequences.append((input_node(ArrayType(stacked.dtype, stacked.shape[1:])), stacked))
        return self.sequences[-1][0]

    def state(self, initial: Any, lags: Sequence[int]) -> list[Node]:
        """What a state was some steps before."""
        row = ArrayType(initial.dtype, initial.shape[1:])
        self.states.append(([input_node(row) for _ in lags], initial, tuple(lags)))
        return self.states[-1][0]

    def carry(self, initial: Any) -> Node:
        """What a carry was the step before."""
        self.carries.append((input_node(ArrayType(initial.dtype, initial.shape)), initial))
        return self.carries[-1][0]

    def constant(self, value: Any) -> Node:
        """A value that is the same at every step."""
        self.fixed.append((input_node(ArrayType(value.dtype, value.shape)), value))
        return self.fixed[-1][0]

    def run(self, results: Results, steps: int, count: Any, reverse: bool) -> Results:
        """Apply the scan; `results` are what the body computes."""
        parts = (self.sequences, self.carries, self.fixed)
        slices, carries, fixed = ([node for node, _ in part] for part in parts)
        taps = [node for nodes, _, _ in self.states for node in nodes]
        parameters, outputs = [*slices, *taps, *carries, *fixed], [*results.states, *results.carries, *results.outputs]
        free = free_values(outputs, parameters)  # a rule of somebody's own may mention values of the surroundings
        self.fixed += [(node, traced(node, self.like)) for node in free]
        body = close([*parameters, *free], outputs)
        lags = tuple(lags for _, _, lags in self.states)
        counted = count is not None
        sizes = (len(slices), lags, len(carries), len(results.outputs))
        frame = Frame(steps, *sizes, counted=counted, reverse=reverse)
        sequences, carried, constants = ([value for _, value in part] for part in parts)
        values = [*sequences, *(initial for _, initial, _ in self.states), *carried, *constants, *[count] * counted]
        return frame.results(apply_like(OPS["scan"], self.like, *values, body=body, frame=frame))


class Primal:
    """A scan that has run, as its derivatives see it: nodes of the body, what went in, and what came out."""

    def __init__(self, body: Graph, frame: Frame, inputs: Sequence[Any], y: Sequence[Any]) -> None:
        self.body, self.frame, self.inputs = body, frame, inputs
        self.arguments, self.y = frame.arguments(inputs), frame.results(y)
        self.parameters, self.results = frame.parameters(body.inputs), frame.results(body.outputs)
        self.count = self.y.last if frame.until else self.arguments.count
        self.like = y[0]

    def reached_from(self, sources: Iterable[Node], states: set[int], carries: set[int]) -> set[Node]:
        """The nodes that depend on sources; `states` and `carries` grow by those through which they do."""
        parameters, results = self.parameters, self.results
        while True:
            starts = [*sources, *(tap for place in states for tap in parameters.taps[place])]
            reached = depends_on(self.body.outputs, [*starts, *(parameters.carries[place] for place in carries)])
            new_states, new_carries = self._those(results.states, reached), self._those(results.carries, reached)
            if new_states <= states and new_carries <= carries:
                return reached
            states |= new_states
            carries |= new_carries

    @staticmethod
    def _those(nodes: Sequence[Node], reached: set[Node]) -> set[int]:
        return {place for place, node in enumerate(nodes) if node in reached and is_inexact(node.dtype)}

    def needed_for(self, heads: Sequence[Node], states: set[int], carries: set[int], among: Places) -> set[Node]:
        """The nodes that heads are computed from, at any step; `states` and `carries` grow by those in between."""
        parameters, results = self.parameters, self.results
        while True:
            own = [*(results.states[place] for place in states), *(results.carries[place] for place in carries)]
            above = set(toposort([*heads, *own]))
            new_states = {p for p in among[0] if any(tap in above for tap in parameters.taps[p])}
            new_carries = {p for p in among[1] if parameters.carries[p] in above}
            if new_states <= states and new_carries <= carries:
                return above
            states |= new_states
            carries |= new_carries

    # --- reading its values afterwards ---

    def bring(self, outputs: Sequence[Node], maker: Maker, window: Window) -> tuple[Node, ...]:
        """Let what a derivative's body computes read the values of this scan, stored or computed again."""
        stored, missing = self.stored(), []
        nodes = self.body.nodes()
        forward = {*nodes, *self.body.inputs, *(item for node in nodes if node.has_items for item in item_nodes(node))}
        varying = depends_on(forward, self.body.inputs[: len(self.body.inputs) - len(self.parameters.fixed)])
        fixed = dict(zip(self.parameters.fixed, self.arguments.fixed, strict=True))
        replacements: dict[Node, Node] = {}
        seen: set[Node] = set()
        pending = list(outputs)
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in fixed:
                replacements[node] = maker.constant(fixed[node])
            elif node not in forward or node not in varying or (node not in stored and is_cheap(node)):
                pending += node.inputs
            elif node in stored:
                stacked, start = stored[node]
                rows = (
                    window.by_row(stacked) if start < 0 else window.by_step(stacked[start : start + self.frame.steps])
                )
                replacements[node] = maker.sequence(rows)
            else:
                missing.append(node)
        for node, stacked in zip(missing, self.ask_for(missing), strict=True):
            replacements[node] = maker.sequence(window.by_row(stacked))
        return substitute(outputs, replacements)

    def stored(self) -> dict[Node, tuple[Any, int]]:
        """Arrays with the values of the body that the scan was given or has kept, and where step 0 is.

        -1 stands for arrays by row.
        """
        found: dict[Node, tuple[Any, int]] = {}
        for node, stacked in zip(self.parameters.slices, self.arguments.sequences, strict=True):
            found[node] = stacked, -1
        for node, stacked in zip(self.results.outputs, self.y.outputs, strict=True):
            found.setdefault(node, (stacked, -1))
        for place, history in enumerate(self.y.states):
            length = history.shape[0] - self.frame.steps
            found.setdefault(self.results.states[place], (history, length))
            for node, lag in zip(self.parameters.taps[place], self.frame.lags[place], strict=True):
                found.setdefault(node, (history, length - lag))
        return found

    def ask_for(self, nodes: Sequence[Node]) -> Sequence[Any]:
        """The values of nodes of the body at every step: the same scan with more outputs (rewriting makes them one)."""
        if not nodes:
            return ()
        frame, results = self.frame, self.results
        last = (results.last,) if frame.until else ()
        outputs = (*results.states, *results.carries, *results.outputs, *nodes, *last)
        wider = frame._replace(outputs=frame.outputs + len(nodes))
        made = OPS["scan"](*self.inputs, body=Graph(self.body.inputs, outputs), frame=wider)
        return wider.results(made).outputs[frame.outputs :]


def is_cheap(node: Node) -> bool:
    """Whether to compute a node again rather than to store it."""
    family = node.op.family
    return node.is_constant or family in ("view", "assemble") or (family == "elementwise" and node.op.name in CHEAP)


def add(nodes: Sequence[Node]) -> Node:
    """The sum of nodes of one type."""
    total = nodes[0]
    for node in nodes[1:]:
        total = make_node(OPS["add"], (total, node))
    return total


def zero_node(node_type: ArrayType) -> Node:
    """A node of zeros."""
    return make_node(OPS["broadcast_to"], (constant(0, node_type.dtype),), {"shape": node_type.shape})


def spread_node(node: Node, size: int) -> Node:
    """A node that all examples of a batch share, with a batch axis."""
    return make_node(OPS["broadcast_to"], (node,), {"shape": (size, *node.shape)})


def only_where(taken: Any, value: Any) -> Any:
    """A batched value in which the examples that are not taken are replaced by the first that is: a constant for them.

    What is computed from it is then as valid as it is for the examples that are taken.
    """
    if value.shape[0] == 0:
        return value
    first = OPS["zero_gradient"](np.take(value, np.argmax(taken), axis=0))
    return OPS["where"](np.reshape(taken, (value.shape[0], *(1,) * (value.ndim - 1))), value, first)
