"""The executable form of a graph: a table of buffers and a flat list of instructions over it.

A `Program` is plain data. It can be checked (`Program.verify`), printed (`Program.disassemble`), pickled, interpreted
by NumPy, by the C++ vector machine, or translated. All offsets and strides count elements, not bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from tracer.errors import TracerError
from tracer.types import contiguous_strides, is_supported

Shape = tuple[int, ...]

BUFFER_KINDS = ("argument", "constant", "temporary", "output")
REDUCE_KINDS = ("sum", "prod", "max", "min", "any", "all")
CUMULATIVE_KINDS = ("sum", "prod", "max", "min")
ARG_REDUCE_KINDS = ("argmax", "argmin")
SCATTER_MODES = ("add", "set")
MAX_DIMENSIONS = 64
ARENA_ALIGNMENT = 64


class ProgramError(TracerError, ValueError):
    """A program that no executor may run: the message names the instruction and what is wrong with it."""


def element_range(shape: Shape, strides: Shape, offset: int = 0) -> tuple[int, int]:
    """Lowest and highest element offset reached by a strided window; only for windows that are not empty."""
    reach = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    return offset + sum(min(r, 0) for r in reach), offset + sum(max(r, 0) for r in reach)


@dataclass(frozen=True)
class Buffer:
    """A piece of memory that instructions look at through views.

    Attributes
    ----------
    kind : {"argument", "constant", "temporary", "output"}
        Whose memory it is: the caller's array, one of `Program.constants`, the arena, or a fresh array.
    dtype : numpy.dtype
        Element type.
    shape, strides : tuple of int
        As those of an array, strides in elements. All but arguments and constants are C-contiguous.
    index : int
        Position among the arguments, constants or outputs of the program.
    offset : int
        Byte offset in the arena, of temporaries.
    """

    kind: str
    dtype: np.dtype[Any]
    shape: Shape
    strides: Shape
    index: int = 0
    offset: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, not counting gaps."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class View:
    """A strided window on a buffer: one stride per dimension of the instruction's domain, 0 to broadcast."""

    buffer: int
    offset: int
    strides: Shape


@dataclass(frozen=True)
class Step:
    """One scalar operation of a loop: `kernel` over registers of type `dtype`, giving a value of type `out`."""

    kernel: str
    dtype: np.dtype[Any]
    out: np.dtype[Any]
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """Writes a register to memory at every point of the domain."""

    register: int
    view: View


@dataclass(frozen=True)
class Reduce:
    """Folds a register over the dimensions where the view's stride is 0; the target starts at the identity."""

    kind: str
    register: int
    view: View


@dataclass(frozen=True)
class Loop:
    """A fused loop: at every point of `shape`, load, compute, store and reduce.

    Registers are numbered loads first, then immediates, then steps; every one is written once.
    """

    shape: Shape
    loads: tuple[View, ...]
    immediates: tuple[np.generic, ...]
    steps: tuple[Step, ...]
    stores: tuple[Store, ...]
    reduces: tuple[Reduce, ...]
    line: str = ""
    opcode: ClassVar[str] = "loop"


@dataclass(frozen=True)
class MatMul:
    """`out = alpha * a @ b (+ out)` over a batch; views stride over (*batch, m, k), (*batch, k, n), (*batch, m, n)."""

    dtype: np.dtype[Any]
    batch: Shape
    m: int
    n: int
    k: int
    a: View
    b: View
    out: View
    alpha: float = 1.0
    accumulate: bool = False
    line: str = ""
    opcode: ClassVar[str] = "matmul"


@dataclass(frozen=True)
class Gather:
    """`out[I..., R...] = source[index0[I], index1[I], ..., R...]` with negative indices wrapped, others checked.

    `shape` is I + R; `source` strides over the `axes` indexed axes of `source_shape` and then over R.
    """

    shape: Shape
    source: View
    source_shape: Shape
    axes: int
    indices: tuple[View, ...]
    out: View
    line: str = ""
    opcode: ClassVar[str] = "gather"


@dataclass(frozen=True)
class Scatter:
    """`out[index0[I], ..., R...] += source[I..., R...]` (or `=`), repeated indices in order; the mirror of `Gather`."""

    shape: Shape
    out: View
    out_shape: Shape
    axes: int
    indices: tuple[View, ...]
    source: View
    mode: str = "add"
    line: str = ""
    opcode: ClassVar[str] = "scatter"


@dataclass(frozen=True)
class Cumulative:
    """Running sum, product, maximum or minimum along one axis."""

    kind: str
    shape: Shape
    axis: int
    source: View
    out: View
    line: str = ""
    opcode: ClassVar[str] = "cumulative"


@dataclass(frozen=True)
class ArgReduce:
    """Place of the first extreme along one axis; `out` (int64) strides over the shape without that axis."""

    kind: str
    shape: Shape
    axis: int
    source: View
    out: View
    line: str = ""
    opcode: ClassVar[str] = "arg_reduce"


@dataclass(frozen=True)
class Call:
    """A Python function of arrays; what it returns is copied into the outputs. Pairs are (view, shape)."""

    function: Callable[..., Any]
    inputs: tuple[tuple[View, Shape], ...]
    outputs: tuple[tuple[View, Shape], ...]
    line: str = ""
    opcode: ClassVar[str] = "call"


Instruction = Loop | MatMul | Gather | Scatter | Cumulative | ArgReduce | Call


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions in the order they run, the buffers they use, and the arrays baked into them.

    Attributes
    ----------
    buffers : tuple of Buffer
    constants : tuple of numpy.ndarray
    instructions : tuple of instructions
    arena : int
        Bytes of scratch memory that the temporaries live in.
    outputs : int
        Number of arrays a run returns.
    line : str
        The user's line that the program stands for.
    """

    buffers: tuple[Buffer, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    instructions: tuple[Instruction, ...]
    arena: int
    outputs: int
    line: str = ""

    def verify(self) -> None:
        """Check that every access stays inside its buffer and every type fits.

        Raises
        ------
        ProgramError
            Naming the buffer or instruction at fault.
        """
        _Verifier(self).program()

    def disassemble(self) -> str:
        """Readable text: the buffers, then the instructions, one operation a line."""
        return "\n".join(_text(self)) + "\n"


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


class _Verifier:
    """The checks of `Program.verify`, one method per kind of instruction."""

    def __init__(self, program: Program) -> None:
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
            check = getattr(self, opcode, None)
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
            strides = tuple(stride // array.itemsize for stride in array.strides)
            same = (array.dtype, array.shape, strides) == (buffer.dtype, buffer.shape, buffer.strides)
            self.require(same, f"constant {buffer.index} has another dtype, shape or strides")
        if buffer.kind in ("temporary", "output"):
            axes = zip(buffer.shape, buffer.strides, contiguous_strides(buffer.shape), strict=True)
            plain = buffer.size == 0 or all(length == 1 or stride == expected for length, stride, expected in axes)
            self.require(plain, f"a buffer of kind {buffer.kind!r} is C-contiguous")
        if buffer.kind == "temporary":
            self.require(buffer.offset % ARENA_ALIGNMENT == 0, f"offset {buffer.offset} is not aligned")
            self.require(buffer.offset + buffer.nbytes <= self.source.arena, "it reaches beyond the arena")

    def dtype(self, dtype: Any) -> None:
        self.require(isinstance(dtype, np.dtype) and is_supported(dtype), f"dtype {dtype!r}")

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


def _text(program: Program) -> Iterator[str]:
    yield f"program: {program.outputs} outputs, arena of {program.arena} bytes{_line(program.line)}"
    for number, buffer in enumerate(program.buffers):
        place = f"@{buffer.offset}" if buffer.kind == "temporary" else f"{buffer.index}"
        strided = "" if buffer.strides == contiguous_strides(buffer.shape) else f" strides {list(buffer.strides)}"
        yield f"  b{number} = {buffer.kind} {place}: {buffer.dtype}{list(buffer.shape)}{strided}"
    for number, instruction in enumerate(program.instructions):
        text = _TEXTS[type(instruction)](instruction)
        yield f"{number}: {instruction.opcode} {next(text)}{_line(instruction.line)}"
        yield from (f"  {line}" for line in text)


def _line(line: str) -> str:
    return f"    # {line}" if line else ""


def _view(view: View) -> str:
    return f"b{view.buffer}[{view.offset}:{','.join(map(str, view.strides))}]"


def _loop_text(loop: Loop) -> Iterator[str]:
    yield str(list(loop.shape))
    for register, view in enumerate(loop.loads):
        yield f"r{register} = load {_view(view)}"
    register = len(loop.loads)
    for immediate in loop.immediates:
        yield f"r{register} = {immediate.dtype} {immediate}"
        register += 1
    for step in loop.steps:
        inputs = ", ".join(f"r{number}" for number in step.inputs)
        types = str(step.dtype) if step.out == step.dtype else f"{step.dtype} -> {step.out}"
        yield f"r{register} = {step.kernel} {inputs} : {types}"
        register += 1
    for store in loop.stores:
        yield f"{_view(store.view)} = r{store.register}"
    for reduce in loop.reduces:
        yield f"{_view(reduce.view)} = {reduce.kind} r{reduce.register}"


def _matmul_text(node: MatMul) -> Iterator[str]:
    scale = "" if node.alpha == 1 else f"{node.alpha} * "
    sign = "+=" if node.accumulate else "="
    sizes = f"batch {list(node.batch)} m {node.m} n {node.n} k {node.k} {node.dtype}"
    yield f"{_view(node.out)} {sign} {scale}{_view(node.a)} @ {_view(node.b)} : {sizes}"


def _gather_text(node: Gather) -> Iterator[str]:
    indices = ", ".join(map(_view, node.indices))
    yield f"{_view(node.out)} = {_view(node.source)}{list(node.source_shape)}[{indices}] : {list(node.shape)}"


def _scatter_text(node: Scatter) -> Iterator[str]:
    indices = ", ".join(map(_view, node.indices))
    sign = "+=" if node.mode == "add" else "="
    yield f"{_view(node.out)}{list(node.out_shape)}[{indices}] {sign} {_view(node.source)} : {list(node.shape)}"


def _axis_text(node: Cumulative | ArgReduce) -> Iterator[str]:
    yield f"{_view(node.out)} = {node.kind} {_view(node.source)} axis {node.axis} : {list(node.shape)}"


def _call_text(node: Call) -> Iterator[str]:
    name = getattr(node.function, "__qualname__", repr(node.function))
    inputs = ", ".join(f"{_view(view)}{list(shape)}" for view, shape in node.inputs)
    yield f"{', '.join(f'{_view(view)}{list(shape)}' for view, shape in node.outputs)} = {name}({inputs})"


_TEXTS: dict[type, Callable[[Any], Iterator[str]]] = {
    Loop: _loop_text,
    MatMul: _matmul_text,
    Gather: _gather_text,
    Scatter: _scatter_text,
    Cumulative: _axis_text,
    ArgReduce: _axis_text,
    Call: _call_text,
}
