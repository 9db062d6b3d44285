"""The groups of a program: what each of its instructions computes, for which lines, and what that must cost."""

from __future__ import annotations

import linecache
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tracer.errors import Line
from tracer.graph.node import Node
from tracer.graph.text import pieces_within
from tracer.lower.instructions import Branch, Instruction, Loop, Scan, While
from tracer.profiling.costs import Cost, cost_of
from tracer.profiling.machine import Limit, limit

_LONGEST = 2000
"""Letters of a formula beyond which it is cut."""
_MOST_FORMULAS = 12
CALL = "call overhead"
"""The kind of what is left of a call without its program: arguments, the look-up of the plan, results."""
STEPS = "steps"
"""The kind of what a loop needs to go from step to step."""


@dataclass(frozen=True)
class Group:
    """What runs as one: a fused loop, a product of matrices, a call of a library, a loop over a program, ...

    Attributes
    ----------
    name : str
        "#3" for the fourth instruction of the program, "#3.0" for the first of a program inside it.
    kind : str
        loop, reduction, copy, fill, matmul, gather, scatter, cumulative, arg_reduce, library, scan, branch, while;
        "steps" for what a loop needs between them, and "call overhead" for what is left of the call.
    text : str
        What it computes, in NumPy's terms; "#2" in it is the result of that group.
    lines : tuple of Line
        The user's lines that asked for it, the one with the most operations first.
    shape : tuple of int
        What it runs over; that of the result, if it is no loop.
    dtype : numpy.dtype or None
        Of its result.
    cost : Cost
        Bytes and operations of one run.
    limit : Limit or None
        The least time of one run on this machine; None if it is not known.
    native : bool or None
        Whether a loop runs in native code made for it, and not in block kernels; None for what has neither.
    threads : int
        The most threads that a run took.
    runs : float
        Runs in a call: 1, unless it is within a loop or a branch.
    time : float
        Seconds in a call, of all runs together; 0 as long as nothing has been measured.
    share : float
        Of the time of the call.
    groups : tuple of Group
        Those of the programs that it runs.
    """

    name: str
    kind: str
    text: str
    lines: tuple[Line, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    cost: Cost = field(default_factory=Cost)
    limit: Limit | None = None
    native: bool | None = None
    threads: int = 1
    runs: float = 1.0
    time: float = 0.0
    share: float = 0.0
    groups: tuple[Group, ...] = ()

    @property
    def least(self) -> float | None:
        """Seconds that a call needs for it at least: its limit, or those of its groups; None if not known."""
        if self.groups:
            parts = [group.least for group in self.groups if group.kind != STEPS]
            return None if None in parts else sum(part for part in parts if part is not None)
        return self.limit.seconds * self.runs if self.limit is not None else None

    @property
    def lost(self) -> float | None:
        """Seconds beyond the least; None if that is not known."""
        least = self.least
        return None if least is None else max(self.time - least, 0.0)

    @property
    def bytes(self) -> float:
        """Bytes read and written in a call."""
        return sum(group.bytes for group in self.groups) or self.cost.bytes * self.runs

    @property
    def flops(self) -> float | None:
        """Operations on numbers in a call; None if not known."""
        if self.groups:
            parts = [group.flops for group in self.groups]
            return None if None in parts else sum(part for part in parts if part is not None)
        return None if self.cost.flops is None else self.cost.flops * self.runs

    @property
    def place(self) -> str:
        """File and line of the first of its lines."""
        return f"{os.path.basename(self.lines[0].file)}:{self.lines[0].number}" if self.lines else ""

    def walk(self) -> Iterator[Group]:
        """It and those within."""
        yield self
        for group in self.groups:
            yield from group.walk()


def source_text(line: Line) -> str:
    """The user's line itself; empty if it is not to be had."""
    return linecache.getline(line.file, line.number).strip()


def groups_of(
    program: Any, steps: Sequence[Any] | None = None, prefix: str = "#", runs: float = 1.0
) -> tuple[Group, ...]:
    """The groups of a program, without times.

    Parameters
    ----------
    program : LoweredProgram
    steps : sequence, optional
        What its native form tells about each instruction: name, whether it is native code, and steps inside.
    prefix : str
        What their names begin with.
    runs : float
        How often the program runs in a call, as far as one can say without running it.
    """
    makers = _makers(program, prefix)
    found = []
    for number, (instruction, nodes) in enumerate(zip(program.instructions, program.nodes, strict=True)):
        _, native, inner = steps[number] if steps is not None else ("", False, None)
        name = f"{prefix}{number}"
        group = _group(name, instruction, nodes, program.buffers, makers, native)
        parts: list[Group] = []
        programs = inner_programs(instruction)
        often = runs * instruction.steps if isinstance(instruction, Scan) else runs
        for place, own in enumerate(programs):
            letter = "" if len(programs) == 1 else "abcdefgh"[place % 8]
            parts += groups_of(own, None if inner is None else inner[place], f"{name}.{letter}", often)
        found.append(replace(group, runs=runs, groups=tuple(parts)))
    return tuple(found)


def _makers(program: Any, prefix: str) -> dict[Node, str]:
    """The group that makes each value. A loop over a program is not made where its first values are written."""
    found: dict[Node, str] = {}
    for number, (instruction, nodes) in enumerate(zip(program.instructions, program.nodes, strict=True)):
        for node in nodes:
            if not (isinstance(instruction, Loop) and node.op.higher_order):
                found.setdefault(node, f"{prefix}{number}")
    return found


def inner_programs(instruction: Instruction) -> list[Any]:
    """The programs that an instruction runs, in the order of `_kernels.Program.steps`."""
    match instruction:
        case Scan():
            return [instruction.program]
        case Branch():
            return list(instruction.programs)
        case While():
            return [instruction.condition, *(sweep.program for sweep in instruction.sweeps)]
    return []


def _group(
    name: str,
    instruction: Instruction,
    nodes: Sequence[Node],
    buffers: Any,
    makers: dict[Node, str],
    native: bool,
) -> Group:
    nodes = list(dict.fromkeys(nodes))
    cost = cost_of(instruction, buffers, nodes)
    is_nest = bool(inner_programs(instruction))
    result = nodes[-1] if nodes else None
    return Group(
        name,
        _kind(instruction),
        _heading(instruction, nodes, name) if is_nest else _formulas(nodes, makers, name),
        _lines(nodes),
        _shape(instruction, result),
        None if result is None else result.types[0].dtype,
        cost,
        None if is_nest else limit(cost),
        native if native or isinstance(instruction, Loop) else None,
    )


def _shape(instruction: Instruction, result: Node | None) -> tuple[int, ...]:
    if isinstance(instruction, Loop):
        return instruction.shape
    return () if result is None else result.types[0].known_shape


def _kind(instruction: Instruction) -> str:
    if isinstance(instruction, Loop):
        if instruction.reduces:
            return "reduction"
        if instruction.steps:
            return "loop"
        return "copy" if instruction.loads else "fill"
    return "library" if instruction.opcode == "call" else instruction.opcode


def _lines(nodes: Sequence[Node]) -> tuple[Line, ...]:
    return tuple(line for line, _ in Counter(node.line for node in nodes if node.line is not None).most_common())


def _formulas(nodes: Sequence[Node], makers: dict[Node, str], own: str) -> str:
    """The formulas of what a group computes for others."""
    inside = {inner for node in nodes for inner in node.inputs}
    results = [node for node in nodes if node not in inside] or list(nodes[-1:])
    if any(node.op.higher_order for node in results):
        return "the first values of " + ", ".join(dict.fromkeys(node.op.name for node in results))
    pieces = pieces_within(nodes, _namer(makers, own))
    texts = list(dict.fromkeys(pieces[node][0] for node in results))
    more = f"; and {len(texts) - _MOST_FORMULAS} more" if len(texts) > _MOST_FORMULAS else ""
    return shortened("; ".join(shortened(text, _LONGEST) for text in texts[:_MOST_FORMULAS]), _LONGEST) + more


def _namer(makers: dict[Node, str], own: str) -> Callable[[Node], str]:
    def name(node: Node) -> str:
        found = makers.get(node)
        return found if found is not None and found != own else f"<{node.op.name}>"

    return name


def _heading(instruction: Instruction, nodes: Sequence[Node], own: str) -> str:
    if isinstance(instruction, Scan):
        name = nodes[0].op.name if nodes else "scan"
        return f"{name} of {instruction.steps} step{'' if instruction.steps == 1 else 's'}"
    return {"branch": "one of two programs", "while": "while a condition holds"}.get(instruction.opcode, own)


def shortened(text: str, length: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= length else f"{text[: max(length - 3, 0)]}..."


# --- with what was measured ----------------------------------------------------------------------------------------


def with_times(groups: Sequence[Group], costs: Sequence[Any], deep: Sequence[Any] | None = None) -> tuple[Group, ...]:
    """Groups with what timed runs say: for each (nanoseconds, runs, threads, costs inside) in a call.

    Looking at the clock takes time, within short steps as much as they do. How much shows if `deep` comes from runs
    that looked inside, and `costs` from others: that is taken off. What is then left of a group besides what is inside
    of it is what it needs from step to step.
    """
    found = []
    for group, (nanoseconds, runs, threads, _), (longer, _, _, inside) in zip(
        groups, costs, costs if deep is None else deep, strict=True
    ):
        looks = sum(map(_looks, inside))
        each = max(longer - nanoseconds, 0.0) / looks if looks else 0.0
        found.append(_timed(group, nanoseconds, runs, threads, inside, each))
    return tuple(found)


def _looks(costs: Sequence[Any]) -> float:
    """How often the clock was looked at for instructions and what is inside of them; beginning a program counts too."""
    begun = max((runs for _, runs, _, _ in costs), default=0.0)
    return begun + sum(runs + sum(map(_looks, inside)) for _, runs, _, inside in costs)


def _timed(group: Group, nanoseconds: float, runs: float, threads: int, inside: Sequence[Any], each: float) -> Group:
    seconds = nanoseconds * 1e-9
    parts = group.groups
    if group.native and parts:
        # Native code takes all steps of a loop of programs at once, and nothing inside is timed.
        group, parts = replace(group, cost=_sum_of(parts)), ()
    if parts:
        flat = [cost for program in inside for cost in program]
        own = [max(cost[0] - each * (cost[1] + sum(map(_looks, cost[3]))), 0.0) for cost in flat]
        scale = min(1.0, nanoseconds / max(sum(own), 1e-9))
        parts = tuple(
            _timed(part, spent * scale, cost[1], cost[2], cost[3], each)
            for part, spent, cost in zip(parts, own, flat, strict=True)
        )
        rest = max(seconds - sum(part.time for part in parts), 0.0)
        parts = (*parts, Group(f"{group.name}.*", STEPS, "from step to step", runs=runs, time=rest))
    limit = group.limit
    if limit is not None and limit.seconds * runs > seconds:
        limit = limit._replace(seconds=seconds / runs if runs else 0.0)  # what was reached can be reached
    return replace(group, time=seconds, runs=runs, threads=max(threads, 1), limit=limit, groups=parts)


def _sum_of(groups: Sequence[Group]) -> Cost:
    """The cost of all runs of groups together."""
    inside = [part for group in groups for part in group.walk() if not part.groups]
    counts = [part.flops for part in inside]
    return Cost(
        int(sum(part.cost.read * part.runs for part in inside)),
        int(sum(part.cost.written * part.runs for part in inside)),
        sum(part.cost.footprint for part in inside),
        None if None in counts else int(sum(count for count in counts if count is not None)),
    )


def with_least(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Groups that take just as long as they must."""
    return tuple(replace(group, time=group.least or 0.0, groups=with_least(group.groups)) for group in groups)


def with_shares(groups: Sequence[Group], total: float) -> tuple[Group, ...]:
    """Groups with their shares of a time."""
    return tuple(
        replace(group, share=group.time / total if total else 0.0, groups=with_shares(group.groups, total))
        for group in groups
    )
