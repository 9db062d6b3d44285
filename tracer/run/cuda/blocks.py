"""What one block of threads does alone: parts one after the other, and loops and branches with all their programs.

A loop of small steps would otherwise be a launch or several for each step. Here the states are in shared memory, as
far as they fit, and threads wait for each other between parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tracer.lower.instructions import Branch, Buffer, Cumulative, Gather, MatMul, Scan, Scatter, View, While
from tracer.run.cuda import cumulatives, indexing, loops
from tracer.run.cuda.layout import Memory, Nest, Operand
from tracer.run.cuda.matrices import Matrices, matrices
from tracer.run.cuda.parts import Body, Inner, Part
from tracer.run.cuda.recurrences import Recurrence, recurrence
from tracer.run.cuda.scalars import memory_name
from tracer.run.cuda.small import product
from tracer.run.cuda.writer import THREADS, Kernel

ROOM = 2**15
"""Bytes of shared memory for states and the arenas of programs within others."""
EVEN = 16
"""Bytes to which everything in that room is aligned."""
_FLAG = 16


class Bases(NamedTuple):
    """Where the memory of a program within another begins: C++ expressions of pointers to bytes."""

    arguments: Sequence[str]
    outputs: Sequence[str]
    arena: str


class InnerKernel(Kernel):
    """The text of a program within a kernel, which becomes a part of that of the kernel."""

    def __init__(self, outer: Kernel, memory: Memory, inner: Inner, bases: Bases) -> None:
        super().__init__(outer.functions, memory)
        self.outer, self.bases = outer, bases
        self.name = outer.fresh()
        self.constants = [self.functions.constant(item) for item in inner.program.constants]
        self.shared, self.room, self.taken = outer.shared, outer.room, outer.taken

    def fresh(self) -> str:
        """A prefix that nothing else in the kernel has."""
        return self.outer.fresh()

    def error(self) -> str:
        """The pointer to the word for errors."""
        return self.outer.error()

    def may_fail(self) -> bool:
        """Whether anything so far may find a value that it cannot take."""
        return self.outer.may_fail()

    def begin(self, number: int) -> str:
        """Where a buffer begins."""
        buffer = self.memory.buffers[number]
        match buffer.kind:
            case "argument":
                return self.bases.arguments[buffer.index]
            case "output":
                return self.bases.outputs[buffer.index]
            case "constant":
                return f"(unsigned char*){self.constants[buffer.index]}"
        return f"{self.bases.arena} + {buffer.offset}"

    def finish_inner(self) -> None:
        """Put the text into that of the kernel."""
        self.outer.open()
        for (buffer, place, kind), name in self._pointers.items():
            self.outer.line(f"{kind}* const {name} = reinterpret_cast<{kind}*>({self.begin(buffer)} + {place});")
        self.outer.append(self)
        self.outer.close()
        self.outer.shared, self.outer.room = self.shared, self.room

    def _pointer(self, buffer: int, place: int, kind: str, write: bool) -> str:
        return self._pointers.setdefault((buffer, place, kind), f"{self.name}p{len(self._pointers)}")


def write_parts(kernel: Kernel, parts: Sequence[Part]) -> None:
    """Write parts for one block."""
    for place, part in enumerate(parts):
        if place:
            kernel.line("__syncthreads();")
        kernel.open()
        _write_part(kernel, part)
        kernel.close()


def _write_part(kernel: Kernel, part: Part) -> None:
    match part.work:
        case Nest() as nest if nest.folds:
            nest = loops.folds_last(nest)
            kept = sum(not folded for folded in nest.folded())
            split = loops.choose_split(nest, kept, parallel=False)
            loops.reduction(kernel, nest, kept, split, ("0", "1u"))
        case Nest() as nest:
            loops.elementwise(kernel, nest, loops.BLOCK)
        case Gather() as node:
            indexing.gather(kernel, node, part.number, loops.BLOCK)
        case Scatter() as node:
            indexing.scatter(kernel, node, part.number, False)
        case Cumulative() as node:
            nest = cumulatives.lines_of(node, kernel.memory.buffers)
            cumulatives.cumulative(kernel, node.kind, nest, cumulatives.choose_split(nest, parallel=False), False)
        case MatMul() as node:
            product(kernel, node, loops.BLOCK)
        case Matrices() as node:
            matrices(kernel, node, part.number, False)
        case Recurrence() as found:
            recurrence(kernel, found, loops.BLOCK)
        case Body(work=Scan() as work, inner=(step,)):
            _Loop(kernel, step).scan(work)
        case Body(work=While() as work, inner=(condition, step)):
            _Loop(kernel, step).while_loop(work, condition)
        case Body(work=Branch() as work):
            _branch(kernel, work, part.work.inner)


def _run(kernel: Kernel, inner: Inner, bases: Bases, alignment: int, lent: dict[int, int]) -> None:
    """Write a program within another, after which the threads have waited for each other."""
    memory = Memory(inner.program.buffers, alignment, {}, 0, lent)
    within = InnerKernel(kernel, memory, inner, bases)
    write_parts(within, inner.parts)
    within.finish_inner()
    kernel.line("__syncthreads();")


def _operand(kernel: Kernel, view: View) -> Operand:
    return Operand(view.buffer, view.offset, view.strides, kernel.memory.buffers[view.buffer].dtype)


def _bytes(kernel: Kernel, view: View, write: bool) -> str:
    """The place where a view begins, as a pointer to bytes."""
    return f"(unsigned char*){kernel.pointer(_operand(kernel, view), write)}"


def _arena(kernel: Kernel, view: View | None, size: int) -> str:
    """Scratch memory of programs within: shared memory if there is room."""
    if view is None or not size:
        return "(unsigned char*)nullptr"
    place = kernel.take(size, ROOM)
    return _bytes(kernel, view, True) if place is None else f"(room + {place})"


def _alignment(kernel: Kernel, views: Sequence[View], moving: bool) -> int:
    """Bytes to which all of these are aligned at every step."""
    memory, found = kernel.memory, EVEN
    for view in views:
        size = memory.buffers[view.buffer].dtype.itemsize
        known = memory.alignment if memory.is_narrow(view.buffer) else EVEN
        row = view.strides[0] * size if moving and view.strides else 0
        found = math.gcd(found, known, memory.address(_operand(kernel, view)), row)
    return found


def _buffers_of(inner: Inner, kind: str) -> list[Buffer]:
    return sorted((buffer for buffer in inner.program.buffers if buffer.kind == kind), key=lambda item: item.index)


def _copy(kernel: Kernel, target: str, source: str, buffer: Buffer) -> None:
    """Write a copy of what a contiguous buffer holds."""
    kind = memory_name(buffer.dtype)
    kernel.loop("i", "threadIdx.x", f"{buffer.size}u", f"{THREADS}u")
    kernel.line(f"reinterpret_cast<{kind}*>({target})[i] = reinterpret_cast<{kind}*>({source})[i];")
    kernel.close()


class _Loop:
    """A program that is run again and again, on states that change."""

    def __init__(self, kernel: Kernel, step: Inner) -> None:
        self.kernel, self.step, self.name = kernel, step, kernel.fresh()
        self.arguments = [f"{self.name}a{number}" for number in range(len(_buffers_of(step, "argument")))]
        self.outputs = _buffers_of(step, "output")
        self.targets = [f"{self.name}o{number}" for number in range(len(self.outputs))]
        self.lent: dict[int, int] = {}
        self.homes: list[tuple[int, int]] = []

    def scan(self, work: Scan) -> None:
        """Write a loop over windows that move."""
        kernel, name, taken = self.kernel, self.name, self.kernel.taken
        kernel.line(f"int64 {name}limit = {work.steps}, {name}done = 0;")
        if work.count is not None:
            count = kernel.pointer(_operand(kernel, work.count))
            kernel.line(f"if (*{count} < {name}limit) {name}limit = *{count} < 0 ? 0 : *{count};")
        homes = {argument for argument, _ in work.carries}
        rows = []
        for names, windows in ((self.arguments, work.sources), (self.targets, work.targets)):
            for number, window in enumerate(windows):
                write = names is self.targets or number in homes
                row = window.view.strides[0] * kernel.memory.buffers[window.view.buffer].dtype.itemsize
                start = f" + {row}ll * ({name}limit - 1)" if window.backward and row else ""
                kernel.line(f"unsigned char* {names[number]} = {_bytes(kernel, window.view, write)}{start};")
                rows += [(names[number], -row if window.backward else row)] if row else []
        pairs = [(a, o, work.sources[a].view == work.targets[o].view) for a, o in work.carries]
        self.enter(pairs)
        arena = _arena(kernel, work.arena, self.step.program.arena)
        views = [window.view for window in (*work.sources, *work.targets)]
        alignment = _alignment(kernel, views, True)
        kernel.open(f"while ({name}done < {name}limit)")
        _run(kernel, self.step, Bases(self.arguments, self.targets, arena), alignment, self.lent)
        kernel.line(f"++{name}done;")
        if work.stop >= 0:
            kernel.line(f"const bool stopped = *{self.targets[work.stop]} != 0;")
            kernel.line("__syncthreads();")
        self.exchange()
        if work.stop >= 0:
            kernel.line("if (stopped) break;")
        for pointer, row in rows:
            kernel.line(f"{pointer} += {row}ll;")
        kernel.close()
        self.leave()
        self.finish(work)
        kernel.taken = taken

    def while_loop(self, work: While, condition: Inner) -> None:
        """Write a loop that goes on as long as a condition holds."""
        kernel, name, taken = self.kernel, self.name, self.kernel.taken
        sweep = work.sweeps[0]
        pairs = []
        for number, (home, spare) in enumerate(sweep.carries):
            kernel.line(f"unsigned char* {self.arguments[number]} = {_bytes(kernel, home, True)};")
            kernel.line(f"unsigned char* {self.targets[number]} = {_bytes(kernel, spare, True)};")
            pairs.append((number, number, home == spare))
        for argument, view in zip(self.arguments[len(sweep.carries) :], work.fixed, strict=True):
            kernel.line(f"unsigned char* {argument} = {_bytes(kernel, view, False)};")
        flag = kernel.take(_FLAG, ROOM + _FLAG)
        assert flag is not None
        self.enter(pairs)
        arena = _arena(kernel, work.arena, max(item.program.arena for item in (condition, self.step)))
        alignment = _alignment(kernel, [view for pair in sweep.carries for view in pair] + list(work.fixed), False)
        kernel.open("while (true)")
        _run(kernel, condition, Bases(self.arguments, [f"(room + {flag})"], arena), alignment, {})
        kernel.line(f"const bool {name}holds = room[{flag}] != 0;")
        kernel.line("__syncthreads();")
        kernel.line(f"if (!{name}holds) break;")
        _run(kernel, self.step, Bases(self.arguments, self.targets, arena), alignment, self.lent)
        self.exchange()
        if kernel.may_fail():  # the values are of no use from there on, and may not end the loop
            kernel.line(f"if (*reinterpret_cast<volatile uint64*>({kernel.error()}) != ~0ull) break;")
            kernel.line("__syncthreads();")
        kernel.close()
        self.leave()
        kernel.taken = taken

    def enter(self, pairs: Sequence[tuple[int, int, bool]]) -> None:
        """Write what takes the states, given (argument, output, whether in one place), to where there is room."""
        kernel = self.kernel
        self.lent = {output: argument for argument, output, one in pairs if one}
        for argument, output, one in pairs:
            mine, new, buffer = self.arguments[argument], self.targets[output], self.outputs[output]
            self.homes.append((argument, output))
            kernel.line(f"unsigned char* const {mine}home = {mine};")
            size = -(-buffer.nbytes // EVEN) * EVEN
            place = kernel.take(size if one else 2 * size, ROOM)
            if place is not None:
                _copy(kernel, f"(room + {place})", mine, buffer)
                kernel.line(f"{mine} = room + {place};")
                kernel.line(f"{new} = room + {place if one else place + size};")
        kernel.line("__syncthreads();")

    def exchange(self) -> None:
        """Write what makes the new states the old ones."""
        for argument, output in self.homes:
            if self.lent.get(output) != argument:
                mine, new = self.arguments[argument], self.targets[output]
                self.kernel.open()
                self.kernel.line(f"unsigned char* const old = {mine};")
                self.kernel.line(f"{mine} = {new};")
                self.kernel.line(f"{new} = old;")
                self.kernel.close()

    def leave(self) -> None:
        """Write what takes the states home."""
        for argument, output in self.homes:
            mine = self.arguments[argument]
            self.kernel.open(f"if ({mine} != {mine}home)")
            _copy(self.kernel, f"{mine}home", mine, self.outputs[output])
            self.kernel.close()

    def finish(self, work: Scan) -> None:
        """Write what clears the rows that no step wrote, and says how many did."""
        kernel, name = self.kernel, self.name
        carried = {output for _, output in work.carries} | {work.stop}
        for number, window in enumerate(work.targets):
            buffer, row = self.outputs[number], window.view.strides[0]
            if number in carried or not buffer.size or (work.stop < 0 and work.count is None):
                continue
            pointer = kernel.pointer(_operand(kernel, window.view), True)
            kernel.loop("row", f"static_cast<uint32>({name}done)", f"{work.steps}u", "1u")
            kernel.loop("i", "threadIdx.x", f"{buffer.size}u", f"{THREADS}u")
            kernel.line(f"{pointer}[static_cast<int64>(row) * {row} + i] = {memory_name(buffer.dtype)}{{}};")
            kernel.close()
            kernel.close()
        if work.done is not None:
            pointer = kernel.pointer(_operand(kernel, work.done), True)
            kernel.line(f"if (threadIdx.x == 0) *{pointer} = {name}done;")


def _branch(kernel: Kernel, work: Branch, inner: Sequence[Inner]) -> None:
    taken = kernel.taken
    predicate = kernel.pointer(_operand(kernel, work.predicate))
    name = kernel.fresh()
    views = (*work.sources, *work.targets)
    kernel.line(f"const bool {name}chosen = *{predicate} != 0;")
    sources = [f"({_bytes(kernel, view, False)})" for view in work.sources]
    targets = [f"({_bytes(kernel, view, True)})" for view in work.targets]
    arena = _arena(kernel, work.arena, max(item.program.arena for item in inner))
    kernel.line("__syncthreads();")
    for text, item in zip((f"if ({name}chosen)", "else"), inner, strict=True):
        kernel.open(text)
        _run(kernel, item, Bases(sources, targets, arena), _alignment(kernel, views, False), {})
        kernel.close()
    kernel.taken = taken
