"""A scan taken apart, to be changed and put together again."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.graph.body import Frame, close
from tracer.graph.graph import substitute
from tracer.graph.node import Node, blame, input_node, item_nodes, make_node
from tracer.ops.scan import SCAN
from tracer.types import ArrayType


@dataclass(eq=False)
class Slot:
    """A sequence or a value that is the same at every step: what stands for it in the body, and the value outside."""

    node: Node
    outer: Node


@dataclass(eq=False)
class State:
    """A state; `own` is its place among the outputs of the scan that was taken apart."""

    taps: list[Node]
    lags: list[int]
    initial: Node
    result: Node
    own: int | None = None


@dataclass(eq=False)
class Carry:
    """A carry: what stands for the old value in the body, the first value outside, and what computes the new one."""

    node: Node
    initial: Node
    result: Node
    own: int | None = None


@dataclass(eq=False)
class Output:
    """A value of the body that is stacked."""

    result: Node
    own: int | None = None


Part = State | Carry | Output


class Draft:
    """A scan taken apart.

    Attributes
    ----------
    sequences, fixed : list of Slot
    states, carries, outputs : list of State, Carry, Output
    stop, count : Node or None
        The condition in the body that ends the scan; outside, how many steps to do.
    replaced : dict
        Outputs of the scan that are no longer its own, by their old place, and the nodes that replace them; these may
        be computed from stand-ins.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        frame, body = node.params["frame"], node.params["body"]
        self.frame: Frame = frame
        arguments, parameters = frame.arguments(node.inputs), frame.parameters(body.inputs)
        results, places = frame.results(body.outputs), frame.results(list(range(len(node.types))))
        self.sequences = [Slot(*pair) for pair in zip(parameters.slices, arguments.sequences, strict=True)]
        self.fixed = [Slot(*pair) for pair in zip(parameters.fixed, arguments.fixed, strict=True)]
        self.states = [
            State(list(taps), list(lags), *rest)
            for taps, lags, *rest in zip(
                parameters.taps, frame.lags, arguments.initials, results.states, places.states, strict=True
            )
        ]
        carries = zip(parameters.carries, arguments.carries, results.carries, places.carries, strict=True)
        self.carries = [Carry(*item) for item in carries]
        self.outputs = [Output(*pair) for pair in zip(results.outputs, places.outputs, strict=True)]
        self.stop: Node | None = results.last
        self.count: Node | None = arguments.count
        self.last: int | None = places.last
        self.replaced: dict[int, Node] = {}
        self._stand_ins: dict[Part, Node] = {}

    @property
    def steps(self) -> int:
        """How many steps it does, at most."""
        return self.frame.steps

    @property
    def is_plain(self) -> bool:
        """Whether it does all its steps."""
        return self.stop is None and self.count is None

    @property
    def parts(self) -> list[Part]:
        """States, carries and outputs."""
        return [*self.states, *self.carries, *self.outputs]

    def results(self) -> list[Node]:
        """Every output of the body."""
        return [part.result for part in self.parts] + ([] if self.stop is None else [self.stop])

    def stand_in(self, part: Part) -> Node:
        """What stands for an output of the scan until that is put together."""
        found = self._stand_ins.get(part)
        if found is None:
            own = part.result.type
            if isinstance(part, State):
                own = ArrayType(own.dtype, (part.initial.type.known_shape[0] + self.steps, *own.shape))
            elif isinstance(part, Output):
                own = ArrayType(own.dtype, (self.steps, *own.shape))
            found = self._stand_ins[part] = input_node(own)
        return found

    def is_stood_for(self, part: Part) -> bool:
        """Whether something is computed from an output of the scan."""
        return part in self._stand_ins

    def rewrite(self, replacements: dict[Node, Node]) -> None:
        """Replace nodes of the body by others."""
        new = iter(substitute(self.results(), replacements))
        for part in self.parts:
            part.result = next(new)
        self.stop = None if self.stop is None else next(new)

    def add_fixed(self, outer: Node) -> Node:
        """Hand the body another value; gives what stands for it."""
        self.fixed.append(Slot(input_node(outer.type), outer))
        return self.fixed[-1].node

    def add_sequence(self, outer: Node) -> Node:
        """Hand the body the rows of another array; gives what stands for them."""
        self.sequences.append(Slot(input_node(ArrayType(outer.dtype, outer.shape[1:])), outer))
        return self.sequences[-1].node

    def build(self) -> tuple[Node | None, dict[int, Node]]:
        """Put the scan together; gives it, or None if nothing is left of it, and its outputs by their old places."""
        parts = self.parts
        if not parts and self.last is None:
            return None, self.replaced
        slots = [tap for state in self.states for tap in state.taps]
        slots = [*(slot.node for slot in self.sequences), *slots, *(carry.node for carry in self.carries)]
        body = close([*slots, *(slot.node for slot in self.fixed)], self.results())
        lags = tuple(tuple(state.lags) for state in self.states)
        sizes = (len(self.sequences), lags, len(self.carries), len(self.outputs))
        frame = Frame(self.steps, *sizes, *self.frame[5:])
        outer = [slot.outer for slot in self.sequences] + [state.initial for state in self.states]
        outer += [carry.initial for carry in self.carries] + [slot.outer for slot in self.fixed]
        outer += [] if self.count is None else [self.count]
        with blame(self.node.line):
            node = make_node(SCAN, tuple(outer), {"body": body, "frame": frame})
            items = item_nodes(node)
            pairs = list(zip(parts, items, strict=False))
            stood = {self._stand_ins[part]: item for part, item in pairs if part in self._stand_ins}
            found = dict(zip(self.replaced, substitute(list(self.replaced.values()), stood), strict=True))
        found.update((part.own, item) for part, item in pairs if part.own is not None)
        if self.last is not None:
            found[self.last] = items[-1]
        return node, found
