"""The checks of a program: that every access stays inside its buffer and every type fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from keyword import iskeyword
from typing import Any

import numpy as np

from tracer.errors import TracerError
from tracer.lower.instructions import (
    ArgReduce,
    Branch,
    Buffer,
    Call,
    Cumulative,
    Gather,
    Loop,
    MatMul,
    Reduce,
    Scan,
    Scatter,
    Shape,
    Step,
    View,
    While,
    Window,
)
from tracer.types import contiguous_strides, element_strides, is_supported

BUFFER_KINDS = ("argument", "constant", "temporary", "output")
REDUCE_KINDS = ("sum", "prod", "max", "min", "any", "all")
CUMULATIVE_KINDS = ("sum", "prod", "max", "min")
ARG_REDUCE_KINDS = ("argmax", "argmin")
SCATTER_MODES = ("add", "set")
MAX_DIMENSIONS = 64
BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)
ARENA_ALIGNMENT = 64


class ProgramError(TracerError, ValueError):
    """A program that no executor may run: the message names the instruction and what is wrong with it."""


def element_range(shape: Shape, strides: Shape, offset: int = 0) -> tuple[int, int]:
    """Lowest and highest element offset reached by a strided window; only for windows that are not empty."""
    reach = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    return offset + sum(min(r, 0) for r in reach), offset + sum(max(r, 0) for r in reach)


@dataclass(frozen=True)
class _Window:
    """A view placed in memory: whose memory, and in bytes where it starts and how it strides; length-1 axes dropped."""

    space: tuple[str, int]
    start: int
    itemsize: int
    axes: tuple[tuple[int, int], ...]
    empty: bool

    def meets(self, other: _Window) -> bool:
        """Whether the two may share a byte; True when in doubt."""
        if self.space != other.space or self.empty or other.empty:
            return False
        low, high = self.span()
        other_low, other_high = other.span()
        if high <= other_low or other_high <= low:
            return False
        step = math.gcd(*(stride for _, stride in self.axes + other.axes))
        gap = (other.start - self.start) % step if step else 0
        return not (self.itemsize <= gap <= step - other.itemsize)

    def span(self) -> tuple[int, int]:
        """First byte touched, and the byte after the last."""
        lengths, strides = zip(*self.axes, strict=True) if self.axes else ((), ())
        low, high = element_range(lengths, strides, self.start)
        return low, high + self.itemsize


def may_meet(one: View, one_shape: Shape, other: View, other_shape: Shape) -> bool:
    """Whether two views of the same memory may have an element in common; True when in doubt."""
    views = ((one, one_shape), (other, other_shape))
    windows = [
        _Window(
            ("", 0),
            view.offset,
            1,
            tuple((n, s) for n, s in zip(shape, view.strides, strict=True) if n != 1),
            0 in shape,
        )
        for view, shape in views
    ]
    return windows[0].meets(windows[1])


def _outputs_in_place(scan: Scan) -> list[int]:
    """The outputs of carries whose new value replaces the old one in its place."""
    sources, targets = scan.sources, scan.targets
    known = [(a, o) for a, o in scan.carries if 0 <= a < len(sources) and 0 <= o < len(targets)]
    return [output for argument, output in known if sources[argument].view == targets[output].view]


def _follows(written: Window, read: Window) -> bool:
    """Whether at every step rows are read of the same memory that earlier steps wrote."""
    one, other = written.view, read.view
    forward = not written.backward and not read.backward and one.strides == other.strides
    return one.buffer == other.buffer and forward and one.offset - other.offset >= one.strides[0] > 0


class Verifier:
    """The checks of `Program.verify`, one method per kind of instruction."""

    def __init__(self, program: Any) -> None:
        self.source = program
        self.where = "program"
        self.written: set[int] = set()

    def require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ProgramError(f"{self.where}: {message}")

    def program(self) -> None:
        program = self.source
        self.require(program.arena >= 0 and program.outputs >= 0, "the arena and the outputs cannot be negative")
        for number, buffer in enumerate(program.buffers):
            self.where = f"buffer {number}"
            self.buffer(buffer)
        for number, instruction in enumerate(program.instructions):
            opcode = getattr(instruction, "opcode", type(instruction).__name__)
            self.where = f"instruction {number} ({opcode})"
            check = getattr(self, f"{opcode}_" if iskeyword(opcode) else opcode, None)
            if check is None:
                raise ProgramError(f"{self.where}: there is no such instruction")
            check(instruction)
        self.where = "program"
        made = [b.index for b in program.buffers if b.kind == "output"]
        self.require(sorted(made) == list(range(program.outputs)), f"outputs are {sorted(made)}, not one of each")
        for number, buffer in enumerate(program.buffers):
            filled = buffer.kind != "output" or buffer.size == 0 or number in self.written
            self.require(filled, f"nothing writes output {buffer.index}")

    def buffer(self, buffer: Buffer) -> None:
        self.require(buffer.kind in BUFFER_KINDS, f"unknown kind {buffer.kind!r}")
        self.dtype(buffer.dtype)
        self.shape(buffer.shape)
        self.require(len(buffer.strides) == len(buffer.shape), "as many strides as dimensions are needed")
        self.require(buffer.index >= 0 and buffer.offset >= 0, "index and offset cannot be negative")
        if buffer.kind == "constant":
            self.require(buffer.index < len(self.source.constants), f"there is no constant {buffer.index}")
            array = self.source.constants[buffer.index]
            same = (array.dtype, array.shape, element_strides(array)) == (buffer.dtype, buffer.shape, buffer.strides)
            self.require(same, f"constant {buffer.index} has another dtype, shape or strides")
        if buffer.kind in ("temporary", "output"):
            axes = zip(buffer.shape, buffer.strides, contiguous_strides(buffer.shape), strict=True)
            plain = buffer.size == 0 or all(length == 1 or stride == expected for length, stride, expected in axes)
            self.require(plain, f"a buffer of kind {buffer.kind!r} is C-contiguous")
        if buffer.kind == "temporary":
            self.require(buffer.offset % ARENA_ALIGNMENT == 0, f"offset {buffer.offset} is not aligned")
            self.require(buffer.offset + buffer.nbytes <= self.source.arena, "it reaches beyond the arena")

    def dtype(self, dtype: Any) -> None:
        is_known = isinstance(dtype, np.dtype) and (is_supported(dtype) or dtype == np.float16)
        self.require(is_known, f"dtype {dtype!r}")

    def shape(self, shape: Shape) -> None:
        self.require(len(shape) <= MAX_DIMENSIONS, f"{len(shape)} dimensions are too many")
        self.require(all(length >= 0 for length in shape), f"shape {shape} is negative")

    def window(self, view: View, shape: Shape) -> _Window:
        """Check that the view over `shape` stays inside its buffer, and place it in memory."""
        self.require(0 <= view.buffer < len(self.source.buffers), f"there is no buffer {view.buffer}")
        self.shape(shape)
        buffer = self.source.buffers[view.buffer]
        strides = len(view.strides)
        self.require(strides == len(shape), f"a view with {strides} strides over {len(shape)} dimensions")
        empty = 0 in shape
        if not empty:
            self.require(buffer.size > 0, f"a view reads buffer {view.buffer}, which is empty")
            low, high = element_range(shape, view.strides, view.offset)
            first, last = element_range(buffer.shape, buffer.strides)
            inside = first <= low and high <= last
            self.require(inside, f"elements {low}..{high} of buffer {view.buffer}, which has {first}..{last}")
        size = buffer.dtype.itemsize
        axes = tuple((n, s * size) for n, s in zip(shape, view.strides, strict=True) if n != 1)
        space = ("arena", 0) if buffer.kind == "temporary" else (buffer.kind, buffer.index)
        start = view.offset * size + (buffer.offset if buffer.kind == "temporary" else 0)
        return _Window(space, start, size, axes, empty)

    def read(self, view: View, shape: Shape, dtype: np.dtype[Any] | None = None) -> _Window:
        window = self.window(view, shape)
        buffer = self.source.buffers[view.buffer]
        fresh = buffer.kind in ("temporary", "output") and view.buffer not in self.written
        self.require(window.empty or not fresh, f"buffer {view.buffer} is read before anything is written to it")
        self.require(dtype is None or buffer.dtype == dtype, f"buffer {view.buffer} is {buffer.dtype}, not {dtype}")
        return window

    def write(self, view: View, shape: Shape, dtype: np.dtype[Any] | None = None, repeats: bool = False) -> _Window:
        """Check a view that is stored to: no constant, the right type, and no element twice."""
        window = self.window(view, shape)
        buffer = self.source.buffers[view.buffer]
        self.require(buffer.kind != "constant", f"buffer {view.buffer} is a constant")
        self.require(dtype is None or buffer.dtype == dtype, f"buffer {view.buffer} is {buffer.dtype}, not {dtype}")
        reach = 0
        for stride, length in sorted((abs(s), n) for n, s in zip(shape, view.strides, strict=True) if n > 1):
            if stride == 0 and repeats:
                continue
            self.require(window.empty or stride > reach, f"an element of buffer {view.buffer} is written twice")
            reach += stride * (length - 1)
        self.written.add(view.buffer)
        return window

    def apart(self, written: _Window, read: _Window, in_place: bool = False) -> None:
        """Check that what is written is not read as well, except point by point in place."""
        if in_place and written == read:
            return
        self.require(not written.meets(read), "what it writes overlaps something else that it reads or writes")

    def loop(self, loop: Loop) -> None:
        loads = [self.read(view, loop.shape) for view in loop.loads]
        registers = [self.source.buffers[view.buffer].dtype for view in loop.loads]
        for immediate in loop.immediates:
            self.require(isinstance(immediate, np.generic), f"immediate {immediate!r} is not a NumPy scalar")
            self.dtype(immediate.dtype)
            registers.append(immediate.dtype)
        for step in loop.steps:
            self.step(step, registers)
        for register in (*(s.register for s in loop.stores), *(r.register for r in loop.reduces)):
            self.require(0 <= register < len(registers), f"there is no register {register}")
        stores = [self.write(store.view, loop.shape, registers[store.register]) for store in loop.stores]
        targets = [self.reduce(reduce, loop.shape, registers[reduce.register]) for reduce in loop.reduces]
        for load in loads:
            for written in stores:
                self.apart(written, load, in_place=True)
            for written in targets:
                self.apart(written, load)
        for one, other in combinations(stores + targets, 2):
            self.apart(one, other)

    def step(self, step: Step, registers: list[np.dtype[Any]]) -> None:
        self.dtype(step.dtype)
        self.dtype(step.out)
        inputs = step.inputs
        known = len(inputs) > 0 and all(0 <= register < len(registers) for register in inputs)
        self.require(known, f"{step.kernel} reads registers {inputs} of {len(registers)}")
        types = [registers[register] for register in inputs]
        wanted = [step.dtype] * len(inputs)
        if step.kernel == "where":
            wanted[0] = np.dtype(bool)
        self.require(types == wanted, f"{step.kernel} of {', '.join(map(str, wanted))} is given {types}")
        registers.append(step.out)

    def reduce(self, reduce: Reduce, shape: Shape, dtype: np.dtype[Any]) -> _Window:
        self.require(reduce.kind in REDUCE_KINDS, f"unknown reduction {reduce.kind!r}")
        logical = reduce.kind in ("any", "all")
        self.require(not logical or dtype == np.dtype(bool), f"{reduce.kind} of {dtype}")
        kept = tuple(n if s else 1 for n, s in zip(shape, reduce.view.strides, strict=False))
        undefined = reduce.kind in ("max", "min") and 0 in shape and 0 not in kept
        self.require(not undefined, f"{reduce.kind} of nothing")
        self.write(reduce.view, shape, dtype, repeats=True)
        return self.window(reduce.view, kept)

    def matmul(self, matmul: MatMul) -> None:
        self.dtype(matmul.dtype)
        self.shape((*matmul.batch, matmul.m, matmul.n, matmul.k))
        a = self.read(matmul.a, (*matmul.batch, matmul.m, matmul.k), matmul.dtype)
        b = self.read(matmul.b, (*matmul.batch, matmul.k, matmul.n), matmul.dtype)
        shape = (*matmul.batch, matmul.m, matmul.n)
        if matmul.accumulate:
            self.read(matmul.out, shape)
        out = self.write(matmul.out, shape, matmul.dtype)
        self.apart(out, a)
        self.apart(out, b)

    def indices(self, node: Gather | Scatter, big: Shape) -> tuple[list[_Window], Shape]:
        """Check the index arrays; gives the shape over which the indexed array is reached."""
        self.require(1 <= node.axes <= len(big) and len(node.indices) == node.axes, "one index array per indexed axis")
        rest = big[node.axes :]
        lead = node.shape[: len(node.shape) - len(rest)]
        self.require((*lead, *rest) == node.shape, f"shape {node.shape} does not end with {rest}")
        missing = 0 in big[: node.axes] and 0 not in node.shape
        self.require(not missing, f"nothing can be indexed in shape {big}")
        return [self.read(view, lead, np.dtype(np.int64)) for view in node.indices], big

    def gather(self, gather: Gather) -> None:
        reads, reached = self.indices(gather, gather.source_shape)
        reads.append(self.read(gather.source, reached))
        out = self.write(gather.out, gather.shape, self.source.buffers[gather.source.buffer].dtype)
        for read in reads:
            self.apart(out, read)

    def scatter(self, scatter: Scatter) -> None:
        self.require(scatter.mode in SCATTER_MODES, f"unknown mode {scatter.mode!r}")
        reads, reached = self.indices(scatter, scatter.out_shape)
        reads.append(self.read(scatter.source, scatter.shape))
        self.read(scatter.out, reached)
        out = self.write(scatter.out, reached, self.source.buffers[scatter.source.buffer].dtype)
        for read in reads:
            self.apart(out, read)

    def cumulative(self, cumulative: Cumulative) -> None:
        self.require(cumulative.kind in CUMULATIVE_KINDS, f"unknown kind {cumulative.kind!r}")
        self.require(0 <= cumulative.axis < len(cumulative.shape), f"there is no axis {cumulative.axis}")
        source = self.read(cumulative.source, cumulative.shape)
        dtype = self.source.buffers[cumulative.source.buffer].dtype
        self.apart(self.write(cumulative.out, cumulative.shape, dtype), source, in_place=True)

    def arg_reduce(self, node: ArgReduce) -> None:
        self.require(node.kind in ARG_REDUCE_KINDS, f"unknown kind {node.kind!r}")
        self.require(0 <= node.axis < len(node.shape), f"there is no axis {node.axis}")
        kept = node.shape[: node.axis] + node.shape[node.axis + 1 :]
        self.require(node.shape[node.axis] > 0 or 0 in kept, f"{node.kind} of nothing")
        source = self.read(node.source, node.shape)
        self.apart(self.write(node.out, kept, np.dtype(np.int64)), source)

    def call(self, call: Call) -> None:
        self.require(callable(call.function), f"{call.function!r} cannot be called")
        for view, shape in call.inputs:
            self.read(view, shape)
        for view, shape in call.outputs:
            self.write(view, shape)

    def inner(
        self, program: Any, arena: View | None, in_place: Sequence[int] = ()
    ) -> tuple[list[Buffer], list[Buffer]]:
        """Check a program that is run by an instruction; gives its arguments and outputs.

        Outputs `in_place` hold something from the start.
        """
        where, inner = self.where, Verifier(program)
        inner.written.update(
            number for number, b in enumerate(program.buffers) if b.kind == "output" and b.index in in_place
        )
        try:
            inner.program()
        except ProgramError as error:
            raise ProgramError(f"{where}: in its program: {error}") from error
        space = 0 if arena is None else self.source.buffers[arena.buffer].nbytes
        self.require(space >= program.arena, f"its program needs {program.arena} bytes of arena and has {space}")
        if arena is not None:
            self.write(arena, (space,), np.dtype(np.uint8))
        kinds = [[b for b in program.buffers if b.kind == kind] for kind in ("argument", "output")]
        arguments, outputs = (sorted(kind, key=lambda buffer: buffer.index) for kind in kinds)
        written = [buffer for number, buffer in enumerate(program.buffers) if number in inner.written]
        self.require(not any(b.kind == "argument" for b in written), "its program writes to an argument")
        return arguments, outputs

    def strided(self, view: View, buffer: Buffer) -> None:
        """Check that a window has the strides of the argument or output that it stands for."""
        pairs = zip(buffer.shape, view.strides[len(view.strides) - len(buffer.shape) :], buffer.strides, strict=True)
        same = 0 in buffer.shape or all(size == 1 or one == other for size, one, other in pairs)
        self.require(same, f"strides {list(view.strides)} for a buffer with strides {list(buffer.strides)}")

    def scan(self, scan: Scan) -> None:
        arguments, outputs = self.inner(scan.program, scan.arena, _outputs_in_place(scan))
        self.require(len(arguments) == len(scan.sources), f"{len(scan.sources)} sources of {len(arguments)} arguments")
        self.require(len(outputs) == len(scan.targets), f"{len(scan.targets)} targets of {len(outputs)} outputs")
        self.carries(scan, arguments, outputs)
        homes, fixed = {pair[0] for pair in scan.carries}, {*(pair[1] for pair in scan.carries), scan.stop}
        pairs = zip(scan.sources, arguments, strict=True)
        reads = [self.moving(window, buffer, scan.steps) for window, buffer in pairs]
        writes = [self.moving(scan.sources[home], arguments[home], scan.steps, True, True) for home in sorted(homes)]
        for number, (window, buffer) in enumerate(zip(scan.targets, outputs, strict=True)):
            written = self.moving(window, buffer, scan.steps, True, number in fixed)
            if (number, window.view) not in [(o, scan.sources[a].view) for a, o in scan.carries]:
                writes.append(written)
        if scan.stop >= 0:
            stop = outputs[scan.stop]
            self.require((stop.dtype, stop.shape) == (BOOL, ()), "the stop is not a truth value")
        if scan.count is not None:
            self.read(scan.count, (), INT64)
        if scan.done is not None:
            writes.append((self.write(scan.done, (), INT64), Window(scan.done)))
        if scan.arena is not None:
            space = self.source.buffers[scan.arena.buffer].nbytes
            writes.append((self.window(scan.arena, (space,)), Window(scan.arena)))
        for (one, _), (other, _) in combinations(writes, 2):
            self.apart(one, other)
        for number, read in enumerate(reads):
            if number not in homes:
                for written in writes:
                    if not _follows(written[1], read[1]):
                        self.apart(written[0], read[0])

    def carries(self, scan: Scan, arguments: list[Buffer], outputs: list[Buffer]) -> None:
        """Check that carries are pairs of an argument and an output that can exchange their memory."""
        self.require(-1 <= scan.stop < len(outputs), f"there is no output {scan.stop}")
        for places in zip(*scan.carries, strict=True):
            self.require(len({*places}) == len(places), "two carries have an argument or an output in common")
        self.require(all(output != scan.stop for _, output in scan.carries), "the stop is a carry")
        for argument, output in scan.carries:
            known = 0 <= argument < len(arguments) and 0 <= output < len(outputs)
            self.require(known, f"there is no argument {argument} or no output {output}")
            one, other = arguments[argument], outputs[output]
            same = (one.dtype, one.shape, one.strides) == (other.dtype, other.shape, other.strides)
            self.require(same, f"argument {argument} and output {output} cannot exchange their memory")

    def moving(
        self, window: Window, buffer: Buffer, steps: int, write: bool = False, fixed: bool = False
    ) -> tuple[_Window, Window]:
        """Check a window on an argument or output of a program; a `fixed` one has one place for all steps."""
        view = window.view
        self.strided(view, buffer)
        if not fixed:
            shape = (steps, *buffer.shape)
            return (self.write if write else self.read)(view, shape, buffer.dtype), window
        self.require(view.strides[:1] == (0,), "what is not kept has one place for all steps")
        return self.write(View(view.buffer, view.offset, view.strides[1:]), buffer.shape, buffer.dtype), window

    def branch(self, branch: Branch) -> None:
        self.read(branch.predicate, (), BOOL)
        self.require(len(branch.programs) == 2, "a branch has two programs")
        for program in branch.programs:
            arguments, outputs = self.inner(program, branch.arena)
            counts = (len(arguments), len(outputs))
            self.require(
                counts == (len(branch.sources), len(branch.targets)), "a view per argument and output is needed"
            )
            reads, writes = [], []
            for view, buffer in zip(branch.sources, arguments, strict=True):
                self.strided(view, buffer)
                reads.append(self.read(view, buffer.shape, buffer.dtype))
            for view, buffer in zip(branch.targets, outputs, strict=True):
                self.strided(view, buffer)
                writes.append(self.write(view, buffer.shape, buffer.dtype))
            if branch.arena is not None:
                space = self.source.buffers[branch.arena.buffer].nbytes
                writes.append(self.window(branch.arena, (space,)))
            for written in writes:
                for read in reads:
                    self.apart(written, read)
            for one, other in combinations(writes, 2):
                self.apart(one, other)

    def while_(self, node: While) -> None:
        """Check a loop of sweeps; bound to its opcode, which is a keyword of Python."""
        self.require(bool(node.sweeps) and not node.sweeps[0].backward, "the first sweep is missing, or runs backward")
        asked, answers = self.inner(node.condition, node.arena)
        truth = [(buffer.dtype, buffer.shape) for buffer in answers] == [(BOOL, ())]
        self.require(truth, "the condition gives something else than one truth value")
        self.require(len(asked) == len(node.sweeps[0].carries) + len(node.fixed), "the condition takes something else")
        writes: list[_Window] = []
        tape: list[Buffer] = []
        for sweep in node.sweeps:
            in_place = [place for place, (home, spare) in enumerate(sweep.carries) if home == spare]
            arguments, outputs = self.inner(sweep.program, node.arena, in_place)
            count = len(sweep.carries)
            wanted = count + len(tape) + len(node.fixed)
            self.require(len(arguments) == wanted and len(outputs) >= count, f"a sweep does not take {wanted} values")
            pairs = [*zip(arguments[:count], outputs[:count], strict=True)]
            pairs += zip(tape, arguments[count : wanted - len(node.fixed)], strict=True)
            if sweep is node.sweeps[0]:
                pairs += zip(asked[:count], arguments[:count], strict=True)
            for one, other in pairs:
                same = (one.dtype, one.shape, one.strides) == (other.dtype, other.shape, other.strides)
                self.require(same, "a sweep takes something else than it is given")
            for (home, spare), buffer in zip(sweep.carries, outputs, strict=False):
                for view in (home,) if home == spare else (home, spare):
                    self.strided(view, buffer)
                    writes.append(self.write(view, buffer.shape, buffer.dtype))
            tape += outputs[count:]
            self.fixed(node, arguments, writes)
        self.fixed(node, asked, writes)
        if node.arena is not None:
            writes.append(self.window(node.arena, (self.source.buffers[node.arena.buffer].nbytes,)))
        for first, second in combinations(writes, 2):
            self.apart(first, second)

    def fixed(self, node: While, arguments: Sequence[Buffer], writes: Sequence[_Window]) -> None:
        """Check that the last arguments of a program are what is the same at every step, and not written."""
        first = len(arguments) - len(node.fixed)
        for view, buffer in zip(node.fixed, arguments[first:], strict=True):
            self.strided(view, buffer)
            read = self.read(view, buffer.shape, buffer.dtype)
            for written in writes:
                self.apart(written, read)
