"""What kernels do of the instructions of a program: loop nests, and what else one block of threads can do."""

from __future__ import annotations

import math
from typing import NamedTuple

from tracer.lower.instructions import (
    ArgReduce,
    Branch,
    Call,
    Cumulative,
    Gather,
    Instruction,
    Loop,
    MatMul,
    Scan,
    Scatter,
    While,
)
from tracer.lower.program import Program
from tracer.run.cuda import loops
from tracer.run.cuda.layout import Memory, Nest, nests_of
from tracer.run.cuda.matrices import Matrices, matrices_of
from tracer.run.cuda.recurrences import Recurrence, recurrence_of
from tracer.run.cuda.scalars import supports

TINY = 4096
"""Points of a part that one block may as well do alone."""
MOST_PARTS = 64
MOST_CONSTANTS = 1024
"""Elements of the constants of a program within another that are written into the source."""
ROUNDS = 8
"""Terms of a matrix product that take about as long as a point of anything else."""
SMALL = 64
"""Terms of each sum of a matrix product that kernels do, at most."""


class Inner(NamedTuple):
    """A program within another, of which one block does everything."""

    program: Program
    parts: tuple[Part, ...]


class Body(NamedTuple):
    """A loop or a branch whose programs one block can run: those of a branch, or the condition and the sweep."""

    work: Scan | While | Branch
    inner: tuple[Inner, ...]


class Part(NamedTuple):
    """What one or several kernels do of an instruction.

    Attributes
    ----------
    number : int
        Of the instruction; of the outermost, for programs within others.
    work : Nest, Gather, Scatter, Cumulative, MatMul, Recurrence, Matrices or Body
    """

    number: int
    work: Nest | Gather | Scatter | Cumulative | MatMul | Recurrence | Matrices | Body

    @property
    def size(self) -> int:
        """Number of points, or what takes as long."""
        match self.work:
            case Nest():
                return self.work.size
            case Body():
                return 1
            case Recurrence():
                return self.work.size * ROUNDS * 2
            case Matrices():
                return self.work.size
            case MatMul() as node:
                return math.prod(node.batch) * node.m * node.n * -(-node.k // ROUNDS)
        return math.prod(self.work.shape)


def parts_of(instruction: Instruction, memory: Memory, number: int, alone: bool = True) -> list[Part] | None:
    """What kernels do of an instruction; None if they cannot, or had better not.

    Not `alone`, one block does it together with others.
    """
    buffers = memory.buffers
    match instruction:
        case Loop():
            if not all(map(supports, instruction.steps)):
                return None
            return [Part(number, found) for nest in nests_of(instruction, buffers) for found in _useful(nest)]
        case ArgReduce():
            if buffers[instruction.source.buffer].dtype.kind == "c":
                return None
            return [Part(number, found) for nest in nests_of(instruction, buffers) for found in _useful(nest)]
        case Gather() | Scatter() | Cumulative():
            return [Part(number, instruction)] if math.prod(instruction.shape) else []
        case MatMul():
            return [Part(number, instruction)] if is_small(instruction) else None
        case Call():
            matrices = matrices_of(instruction, memory)
            return None if matrices is None else [Part(number, matrices)]
        case Scan() if (found := recurrence_of(instruction, memory)) and (alone or Part(number, found).size <= TINY):
            return [Part(number, found)]
        case Scan() | While() | Branch():
            body = _body_of(instruction, number)
            return None if body is None else [Part(number, body)]
        case _:
            return None


def is_small(node: MatMul) -> bool:
    """Whether kernels do a matrix product."""
    return node.k <= SMALL and 0 < Part(0, node).size <= TINY


def _useful(nest: Nest) -> list[Nest]:
    """A nest; or what there is to do without points."""
    if nest.size:
        return [nest]
    filling = loops.neutral(nest)
    return [filling] if nest.folds and filling.size else []


def _body_of(work: Scan | While | Branch, number: int) -> Body | None:
    programs: tuple[Program, ...]
    lent: dict[int, int] = {}
    match work:
        case Scan():
            programs = (work.program,)
            lent = {o: a for a, o in work.carries if work.sources[a].view == work.targets[o].view}
        case While():
            if len(work.sweeps) > 1:  # what the first leaves for the others has no known size
                return None
            programs = (work.condition, work.sweeps[0].program)
            lent = {place: place for place, (home, spare) in enumerate(work.sweeps[0].carries) if home == spare}
        case Branch():
            programs = work.programs
    inner = [_inner_of(program, number, lent) for program in programs]
    found = tuple([item for item in inner if item is not None])
    return Body(work, found) if len(found) == len(inner) else None


def _inner_of(program: Program, number: int, lent: dict[int, int]) -> Inner | None:
    if sum(constant.size for constant in program.constants) > MOST_CONSTANTS:
        return None
    if not all(constant.flags.c_contiguous for constant in program.constants):
        return None
    parts: list[Part] = []
    memory = Memory(program.buffers, 1, {}, 0, lent)
    for instruction in program.instructions:
        found = parts_of(instruction, memory, number, False)
        if found is None or any(part.size > TINY for part in found):
            return None
        parts += found
    return Inner(program, tuple(parts)) if len(parts) <= MOST_PARTS else None
