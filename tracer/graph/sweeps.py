"""Loops of which only a run shows the number of steps, taken apart to be derived, rewritten and put together again.

Such a loop makes one or more sweeps over the same steps. The first one runs while a condition holds; the others go over
its steps again, in either direction. What a sweep emits at a step is on a tape that the later ones read at that step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tracer.graph.body import close, free_values
from tracer.graph.graph import Graph, depends_on, substitute
from tracer.graph.node import Node, input_node
from tracer.graph.rules import traced
from tracer.records import NamedTuple
from tracer.types import ArrayType

Item = TypeVar("Item")


class SweepFrame(NamedTuple):
    """How a loop feeds its sweeps; an item per sweep.

    Attributes
    ----------
    carries : tuple of int
        Values that are handed on from step to step, and of which the last is a result.
    emitted : tuple of int
        Values that every step puts on the tape.
    backward : tuple of bool
        Whether it runs from the last step to the first.
    """

    carries: tuple[int, ...]
    emitted: tuple[int, ...]
    backward: tuple[bool, ...]

    def __str__(self) -> str:
        return f"{len(self.carries)} sweeps" if len(self.carries) > 1 else "1 sweep"

    def by_sweep(self, items: Sequence[Item]) -> tuple[list[list[Item]], list[Item]]:
        """Sort what belongs to the inputs of the loop: the carries of each sweep, and what is the same at all steps."""
        found, start = [], 0
        for count in self.carries:
            found.append(list(items[start : start + count]))
            start += count
        return found, list(items[start:])

    def bodies(self, graphs: Mapping[str, Graph]) -> list[Graph]:
        """The bodies of the sweeps, out of the parameters of the op."""
        return [graphs[body_name(number)] for number in range(len(self.carries))]


def body_name(number: int) -> str:
    """The parameter of the op that holds the body of a sweep."""
    return f"sweep{number}"


@dataclass(eq=False)
class Fixed:
    """A value that is the same at every step: what stands for it in the bodies, and the value outside."""

    node: Node
    outer: Any


@dataclass(eq=False)
class SweepCarry:
    """What stands for the old value in a body, the first value outside, and what computes the new one.

    `own` is its place among the outputs of the loop that was taken apart; -1: it was none.
    """

    node: Node
    initial: Any
    result: Node
    own: int = -1


@dataclass(eq=False)
class Emitted:
    """A value that goes to the tape, and what stands for it in later sweeps."""

    result: Node
    slot: Node


@dataclass(eq=False)
class Sweep:
    """One sweep."""

    backward: bool
    carries: list[SweepCarry] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)

    def heads(self) -> list[Node]:
        """All that its body computes."""
        return [*(item.result for item in self.carries), *(item.result for item in self.emitted)]

    def carry(self, initial: Any) -> SweepCarry:
        """Add a carry, for now one that never changes."""
        node = input_node(ArrayType(initial.dtype, initial.shape))
        self.carries.append(SweepCarry(node, initial, node))
        return self.carries[-1]

    def emit(self, node: Node) -> Node:
        """Put a value of the body on the tape; gives what stands for it."""
        for item in self.emitted:
            if item.result is node:
                return item.slot
        self.emitted.append(Emitted(node, input_node(node.type)))
        return self.emitted[-1].slot


class SweepDraft:
    """A loop taken apart: no two of its bodies have an input in common but for the tape and what is the same for all.

    Attributes
    ----------
    fixed : list of Fixed
    condition : Node
        Over the carries of the first sweep and fixed values.
    sweeps : list of Sweep
    """

    def __init__(self, inputs: Sequence[Any], frame: SweepFrame, condition: Graph, **bodies: Graph) -> None:
        initials, outer = frame.by_sweep(inputs)
        slots = condition.inputs[frame.carries[0] :]
        self.fixed = [Fixed(input_node(slot.type), value) for slot, value in zip(slots, outer, strict=True)]
        self.sweeps: list[Sweep] = []
        own = 0
        for number, body in enumerate(frame.bodies(bodies)):
            sweep = Sweep(frame.backward[number])
            for value, slot in zip(initials[number], body.inputs, strict=False):
                node = input_node(slot.type)
                sweep.carries.append(SweepCarry(node, value, node, own))
                own += 1
            given = [*(item.node for item in sweep.carries), *self.tape(), *(item.node for item in self.fixed)]
            results = substitute(body.outputs, dict(zip(body.inputs, given, strict=True)))
            for carry, result in zip(sweep.carries, results, strict=False):
                carry.result = result
            sweep.emitted = [Emitted(node, input_node(node.type)) for node in results[len(sweep.carries) :]]
            self.sweeps.append(sweep)
        given = [*(item.node for item in self.sweeps[0].carries), *(item.node for item in self.fixed)]
        self.condition = substitute(condition.outputs, dict(zip(condition.inputs, given, strict=True)))[0]

    def tape(self) -> list[Node]:
        """What stands for all that is emitted."""
        return [item.slot for sweep in self.sweeps for item in sweep.emitted]

    def add_fixed(self, outer: Any) -> Node:
        """Hand all bodies another value; gives what stands for it."""
        self.fixed.append(Fixed(input_node(ArrayType(outer.dtype, outer.shape)), outer))
        return self.fixed[-1].node

    def hand_over_free(self, like: Any) -> None:
        """Hand all bodies what they mention of the surroundings, as a rule of somebody's own may."""
        bound = [item.node for item in self.fixed] + self.tape()
        bound += [item.node for sweep in self.sweeps for item in sweep.carries]
        heads = [self.condition, *(node for sweep in self.sweeps for node in sweep.heads())]
        self.fixed += [Fixed(node, traced(node, like)) for node in free_values(heads, bound)]

    def rewrite(self, replacements: Mapping[Node, Node]) -> None:
        """Replace nodes of the bodies by others."""
        heads = [self.condition, *(node for sweep in self.sweeps for node in sweep.heads())]
        new = iter(substitute(heads, replacements))
        self.condition = next(new)
        for sweep in self.sweeps:
            for carry in sweep.carries:
                carry.result = next(new)
            for emitted in sweep.emitted:
                emitted.result = next(new)

    def build(self) -> tuple[list[Any], dict[str, Any]]:
        """The inputs and the parameters of the op that is this loop."""
        fixed = [item.node for item in self.fixed]
        first = [item.node for item in self.sweeps[0].carries]
        bodies: dict[str, Graph] = {}
        tape: list[Node] = []
        for number, sweep in enumerate(self.sweeps):
            slots = [*(item.node for item in sweep.carries), *tape, *fixed]
            bodies[body_name(number)] = close(slots, sweep.heads())
            tape += [item.slot for item in sweep.emitted]
        frame = SweepFrame(
            tuple(len(sweep.carries) for sweep in self.sweeps),
            tuple(len(sweep.emitted) for sweep in self.sweeps),
            tuple(sweep.backward for sweep in self.sweeps),
        )
        inputs = [item.initial for sweep in self.sweeps for item in sweep.carries]
        inputs += [item.outer for item in self.fixed]
        return inputs, {"frame": frame, "condition": close([*first, *fixed], [self.condition]), **bodies}

    # --- what depends on what ---

    def reached_from(self, sources: Iterable[Node], moves: Callable[[Node], bool]) -> set[Node]:
        """The nodes that depend on sources by way of steps and sweeps that hand on what `moves` holds for."""
        reached = set(sources)
        for sweep in self.sweeps:
            size = -1
            while size < len(reached):
                size = len(reached)
                reached |= depends_on(sweep.heads(), reached)
                reached |= {item.node for item in sweep.carries if item.result in reached and moves(item.result)}
            reached |= {item.slot for item in sweep.emitted if item.result in reached and moves(item.result)}
        return reached
