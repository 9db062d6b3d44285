"""Programs as CUDA source, and what to launch for each instruction.

Everything is plain data: nothing here needs CUDA. The sources are the same for equal programs, and so are the names of
the kernels, which stand for their content.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tracer.lower.instructions import Call, Cumulative, Gather, MatMul, Scatter, views_of
from tracer.lower.program import Program
from tracer.run.cuda import blocks, cumulatives, draws, groups, indexing, loops, segments, small
from tracer.run.cuda.groups import Group
from tracer.run.cuda.layout import ALIGNMENT, Memory, Nest
from tracer.run.cuda.matrices import Matrices, matrices
from tracer.run.cuda.parts import TINY, Body, Part, parts_of
from tracer.run.cuda.recurrences import Recurrence, recurrence, settle
from tracer.run.cuda.scalars import Functions, preamble, type_name
from tracer.run.cuda.writer import ERROR, SCRATCH, THREADS, WORKSPACE, Kernel, Launch, ceiling, coordinates, is_wide

__all__ = ["ALIGNMENT", "ERROR", "OPTIONS", "WORKSPACE", "Launch", "Module", "translate"]

SPARE = 2**20
"""Bytes that temporaries may take beyond twice the arena, so that what is done together shares no memory."""
OPTIONS = ("--std=c++17", "--fmad=false")
"""What to give to NVRTC, besides the architecture.

Products are rounded before they are added, so that arithmetic gives to the bit what NumPy gives; kernels wait for
memory rather than for arithmetic, and the compensated sums rely on it.
"""


class Module(NamedTuple):
    """The kernels of a program.

    Attributes
    ----------
    launches : tuple
        For each instruction a tuple of `Launch`, in order, or None if something else must do it. An empty tuple:
        there is nothing to do, or an instruction before it has done it.
    workspace : int
        Bytes of scratch memory that the kernels use. What is in it is of use for one run of the program.
    kernels : mapping of str to str
        The text of each of them.
    functions : Functions
        What they call.
    """

    launches: tuple[tuple[Launch, ...] | None, ...]
    workspace: int
    kernels: Mapping[str, str]
    functions: Functions

    @property
    def source(self) -> str:
        """CUDA C++; empty if there is no kernel."""
        return source_of(self.kernels, self.functions)


def source_of(kernels: Mapping[str, str], functions: Functions) -> str:
    """The source of kernels, whose names stand for what they are; empty if there are none."""
    text = functions.text() + "".join(kernels.values())
    return preamble(text, functions.needed) + text if kernels else ""


def translate(program: Program, alignment: int = ALIGNMENT, lent: Mapping[int, int] | None = None) -> Module:
    """Make kernels of the instructions of a program.

    Parameters
    ----------
    program : Program
    alignment : int
        Bytes to which the arguments of a call are aligned at least: a power of two. The arena, the workspace, constants
        and outputs are aligned to 256 bytes.
    lent : mapping of int to int, optional
        Given for a program within another: its outputs are written into memory that is aligned as its arguments are,
        and those in this mapping, by index, into that of an argument.

    Returns
    -------
    Module

    Notes
    -----
    The word for errors is 8 bytes, all bits set before a run. Where an index is out of range, it becomes the number of
    the instruction (from bit 48 on), of the axis (8 bits), and of the index in C order (40 bits): the lowest of all.
    Nothing is read or written there, but what the program computes from it is of no use.
    """
    return _Translator(program, alignment, lent).module()


def first_uses(program: Program, found: Sequence[list[Part] | None]) -> dict[int, int]:
    """The first instruction that uses a buffer, of those that only kernels use."""
    uses: dict[int, int] = {}
    others: set[int] = set()
    for number, (instruction, parts) in enumerate(zip(program.instructions, found, strict=True)):
        for view in views_of(instruction):
            uses.setdefault(view.buffer, number)
            if parts is None:
                others.add(view.buffer)
    return {buffer: number for buffer, number in uses.items() if buffer not in others}


class _Translator:
    def __init__(self, program: Program, alignment: int, lent: Mapping[int, int] | None) -> None:
        self.program = program
        known = Memory(program.buffers, alignment, {}, 0, lent)
        found = [parts_of(item, known, number) for number, item in enumerate(program.instructions)]
        spare = program.arena + SPARE
        self.memory = Memory(program.buffers, alignment, first_uses(program, found), spare, lent)
        self.found = found
        self.functions = Functions()
        self.kernels: dict[str, str] = {}
        self.launches: list[list[Launch] | None] = [[] for _ in program.instructions]
        self.workspace = 0

    def module(self) -> Module:
        waiting: list[Part] = []
        for number, found in enumerate(self.found):
            if found is None:
                self.write(waiting)
                waiting = []
                self.launches[number] = self.drawn(number)
            else:
                waiting += found
        self.write(waiting)
        launches = tuple(None if found is None else tuple(map(self.placed, found)) for found in self.launches)
        size = self.memory.moved_bytes + self.workspace
        return Module(launches, size, self.kernels, self.functions)

    def placed(self, launch: Launch) -> Launch:
        """A launch whose scratch memory comes after the temporaries in the workspace."""
        start = self.memory.moved_bytes
        return launch._replace(
            operands=tuple(
                (WORKSPACE, start + place) if buffer == SCRATCH else (buffer, place)
                for buffer, place in launch.operands
            )
        )

    def write(self, parts: Sequence[Part]) -> None:
        """Write the kernels of parts that follow each other."""
        for group in groups.grouped(parts, self.memory):
            launches = self.launches[group.parts[0].number]
            assert launches is not None
            if group.rows is not None:
                launches.append(self.row_group(group))
            elif group.segments:
                launches.append(self.segment_group(group))
            elif len(group.parts) > 1:
                launches.append(self.block(*group.parts))
            else:
                launches += self.single(group.parts[0])

    def kernel(self) -> Kernel:
        return Kernel(self.functions, self.memory)

    def finish(self, kernel: Kernel, word: str, *grid: int) -> Launch:
        text, launch = kernel.finish(word, grid)
        self.kernels[launch.name] = text
        return launch

    def drawn(self, number: int) -> list[Launch] | None:
        """Write the kernels of an instruction that is no part of others; None if it has none."""
        instruction = self.program.instructions[number]
        found = draws.drawn_by(instruction, self.program) if isinstance(instruction, Call) else None
        return None if found is None else draws.written(found, number, self.kernel, self.finish)

    # --- one part ---

    def single(self, part: Part) -> list[Launch]:
        kernel = self.kernel()
        match part.work:
            case Nest() as nest:
                return self.reduction(nest) if nest.folds else [self.loop(nest)]
            case Gather() as node:
                count = indexing.gather(kernel, node, part.number, loops.GRID)
                return [self.finish(kernel, "gather", min(ceiling(count, THREADS), loops.MOST_BLOCKS))]
            case Scatter() as node if indexing.is_atomic(node, self.program.buffers):
                count = indexing.atomic_adds(kernel, node, part.number)
                return [self.finish(kernel, "add", min(ceiling(count, THREADS), loops.MOST_BLOCKS))]
            case Scatter() as node:
                return [self.finish(kernel, "scatter", *indexing.scatter(kernel, node, part.number, True))]
            case Cumulative() as node:
                return self.cumulative(node)
            case MatMul() as node:
                count = small.product(kernel, node, loops.GRID)
                return [self.finish(kernel, "product", ceiling(count, THREADS))]
            case Matrices() as node:
                count = matrices(kernel, node, part.number, True)
                return [self.finish(kernel, "matrices", min(count, loops.MOST_BLOCKS))]
            case Recurrence() as found if part.size > TINY:
                return self.recurrence(found)
            case Recurrence() | Body():
                return [self.block(part)]

    def cumulative(self, node: Cumulative) -> list[Launch]:
        nest, launches = cumulatives.lines_of(node, self.program.buffers), []
        split = cumulatives.choose_split(nest, parallel=True)
        across, along = split.blocks(nest.size // nest.shape[-1])
        grid = min(across, loops.MOST_BLOCKS), along
        if split.chunks > 1:
            kernel = self.kernel()
            used = cumulatives.fold_chunks(kernel, node.kind, nest, split)
            self.workspace = max(self.workspace, used)
            launches.append(self.finish(kernel, "fold", *grid))
        kernel = self.kernel()
        cumulatives.cumulative(kernel, node.kind, nest, split, True)
        return [*launches, self.finish(kernel, "cumulative", *grid)]

    def recurrence(self, found: Recurrence) -> list[Launch]:
        def saved(kernel: Kernel) -> list[str]:
            kinds = [type_name(found.cells[numbers[argument]].operand.dtype) for argument, _ in found.alone()]
            return [kernel.workspace(16 * place, kind) for place, kind in enumerate(kinds)]

        numbers = found.numbers("argument")
        kernel = self.kernel()
        recurrence(kernel, found, loops.GRID, saved(kernel))
        launches = [self.finish(kernel, "recurrence", min(ceiling(found.size, THREADS), loops.MOST_BLOCKS))]
        if found.alone():
            self.workspace = max(self.workspace, 16 * len(found.alone()))
            kernel = self.kernel()
            settle(kernel, found, [f"*{pointer}" for pointer in saved(kernel)])
            launches.append(self.finish(kernel, "settle", 1))
        return launches

    def loop(self, nest: Nest) -> Launch:
        kernel = self.kernel()
        count = loops.elementwise(kernel, nest, loops.GRID)
        return self.finish(kernel, "loop", min(ceiling(count, THREADS), loops.MOST_BLOCKS))

    def reduction(self, nest: Nest) -> list[Launch]:
        kernel, kept = self.kernel(), len(nest.shape) - sum(nest.folded())
        results = math.prod(length for length, folded in zip(nest.shape, nest.folded(), strict=True) if not folded)
        nest = loops.folds_last(nest)
        kept = sum(not folded for folded in nest.folded())
        split = loops.choose_split(nest, kept, parallel=True)
        blocks = min(ceiling(results, split.points), loops.MOST_BLOCKS)
        used = loops.reduction(kernel, nest, kept, split, ("blockIdx.x", "gridDim.x"))
        launches = [self.finish(kernel, "reduce", blocks, split.chunks)]
        self.workspace = max(self.workspace, used)
        if split.chunks > 1:
            kernel = self.kernel()
            count = loops.merge_partials(kernel, nest, kept, split)
            launches.append(self.finish(kernel, "merge", min(count, loops.MOST_BLOCKS)))
        return launches

    # --- several parts ---

    def block(self, *parts: Part) -> Launch:
        """One block that does one part after the other."""
        kernel = self.kernel()
        blocks.write_parts(kernel, parts)
        return self.finish(kernel, "small", 1)

    def segment_group(self, group: Group) -> Launch:
        """Blocks for every part."""
        kernel = self.kernel()
        flat = [segments.flat(part.work) for part in group.parts if isinstance(part.work, Nest)]
        return self.finish(kernel, "segments", segments.write(kernel, [nest for nest in flat if nest is not None]))

    def row_group(self, group: Group) -> Launch:
        """A warp or a block for every row, which does one part after the other."""
        kernel, rows = self.kernel(), group.rows or ()
        count, nests = math.prod(rows), [part.work for part in group.parts if isinstance(part.work, Nest)]
        longest = max(nest.size for nest in nests) // count
        lanes = 32 if longest < 1024 else THREADS
        wide = any(map(is_wide, nests))
        kernel.line(f"const uint32 lane = threadIdx.x % {lanes}u;")
        each = THREADS // lanes
        first = f"blockIdx.x * {each}u + threadIdx.x / {lanes}u"
        kernel.loop("row", first, f"{count}u", f"gridDim.x * {each}u", wide)
        coordinates(kernel, "row", list(enumerate(rows)), wide)
        for place, nest in enumerate(nests):
            if place:
                kernel.line("__syncwarp();" if lanes == 32 else "__syncthreads();")
            kernel.open()
            if nest.folds:
                loops.row_reduction(kernel, nest, len(rows), lanes)
            else:
                loops.elementwise(kernel, nest, loops.Threads("lane", f"{lanes}u", len(rows)))
            kernel.close()
        kernel.close()
        return self.finish(kernel, "rows", min(ceiling(count, each), loops.MOST_BLOCKS))
