"""The text of a kernel and the pointers that it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from tracer.run.cuda.layout import Memory, Nest, Operand
from tracer.run.cuda.scalars import Functions, memory_name

WORKSPACE = -1
"""Stands for a buffer: scratch memory of `Module.workspace` bytes, aligned to 256."""
ERROR = -2
"""Stands for a buffer: the word of 8 bytes where indices out of range are reported."""
SCRATCH = -3
"""Stands for what of the workspace holds no temporaries, until it is known where that is."""
THREADS = 256
"""In a block of every kernel."""
FAR = 2**30
"""Places from here on are counted with 64 bits."""


class Launch(NamedTuple):
    """A kernel to be started.

    Attributes
    ----------
    name : str
        Of the function in the source.
    grid, block : tuple of int
        Blocks and threads of a block, in three dimensions.
    shared_bytes : int
        Dynamic shared memory.
    operands : tuple of (int, int)
        A buffer's number and a distance in bytes from its first element (of the array; of the lowest address for the
        arena's): what the pointers point to that the kernel takes, in order. `WORKSPACE` and `ERROR` are no buffers.
    """

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    operands: tuple[tuple[int, int], ...]


class Kernel:
    """A kernel under construction.

    Parameters
    ----------
    functions : Functions
    memory : Memory

    Attributes
    ----------
    shared : int
        Bytes of shared memory that threads exchange values in.
    room, taken : int
        Bytes of shared memory that hold values for longer: of those that are ever taken at once, and of those that are
        taken now.
    """

    def __init__(self, functions: Functions, memory: Memory) -> None:
        self.functions = functions
        self.memory = memory
        self.shared = 0
        self.room = self.taken = 0
        self._names = 0
        self._lines: list[str] = []
        self._depth = 1
        self._pointers: dict[tuple[int, int, str], str] = {}
        self._written: set[int] = set()
        self._renamed: dict[tuple[int, int, str], str] = {}

    # --- text ---

    def line(self, text: str) -> None:
        """Append a line."""
        self._lines.append("    " * self._depth + text)

    def open(self, text: str = "") -> None:
        """Open a block."""
        self.line(f"{text} {{" if text else "{")
        self._depth += 1

    def close(self) -> None:
        """Close the last block."""
        self._depth -= 1
        self.line("}")

    def loop(self, variable: str, first: str, end: str, step: str, wide: bool = False) -> None:
        """Open a loop over places."""
        kind = index_type(wide)
        self.open(f"for ({kind} {variable} = {first}; {variable} < {end}; {variable} += {step})")

    def append(self, other: Kernel) -> None:
        """Append the text of another kernel."""
        self._lines += ["    " * (self._depth - 1) + text for text in other._lines]

    def fresh(self) -> str:
        """A prefix of names that nothing else in the kernel has."""
        self._names += 1
        return f"n{self._names}"

    def take(self, size: int, limit: int) -> int | None:
        """Where in the room there are bytes, whose number is a multiple of 16, before a limit."""
        start = self.taken
        if start + size > limit:
            return None
        self.taken += size
        self.room = max(self.room, self.taken)
        return start

    # --- pointers ---

    def pointer(self, operand: Operand, write: bool = False) -> str:
        """The pointer to where an operand starts."""
        place = operand.offset * operand.dtype.itemsize
        return self._pointer(operand.buffer, place, memory_name(operand.dtype), write)

    def rename(self, operand: Operand, name: str) -> None:
        """Call the pointer to where an operand starts by another name from here on."""
        self._renamed[operand.buffer, operand.offset * operand.dtype.itemsize, memory_name(operand.dtype)] = name

    def workspace(self, place: int, kind: str) -> str:
        """The pointer to a place in the workspace."""
        return self._pointer(SCRATCH, place, kind, True)

    def error(self) -> str:
        """The pointer to the word for errors."""
        return self._pointer(ERROR, 0, "uint64", True)

    def may_fail(self) -> bool:
        """Whether anything so far may find a value that it cannot take."""
        return (ERROR, 0, "uint64") in self._pointers

    def _pointer(self, buffer: int, place: int, kind: str, write: bool) -> str:
        if (buffer, place, kind) in self._renamed:
            return self._renamed[buffer, place, kind]
        if write:
            self._written.add(buffer)
        return self._pointers.setdefault((buffer, place, kind), f"p{len(self._pointers)}")

    def _is_apart(self, buffer: int) -> bool:
        """Whether nothing that the kernel writes may lie in a buffer."""
        buffers = self.memory.buffers
        if buffer < 0 or buffer in self._written:
            return False
        mine = buffers[buffer]
        if mine.kind != "temporary":
            space = self.memory.space(buffer)
            return not any(self.memory.space(number) == space for number in self._written if number >= 0)
        others = [number for number in self._written if number >= 0 and buffers[number].kind == "temporary"]
        if buffer in self.memory.moved:
            return True
        arena = [buffers[number] for number in others if number not in self.memory.moved]
        return not any(o.offset < mine.offset + mine.nbytes and mine.offset < o.offset + o.nbytes for o in arena)

    # --- the whole ---

    def finish(self, word: str, grid: Sequence[int]) -> tuple[str, Launch]:
        """The text of the kernel, named after its content, and its launch."""
        parameters = []
        for (buffer, _, kind), name in self._pointers.items():
            const = "const " if buffer not in self._written else ""
            restrict = "__restrict__ " if self._is_apart(buffer) else ""
            parameters.append(f"{const}{kind}* {restrict}{name}")
        body = "\n".join(self._lines)
        shared = f"    alignas(16) __shared__ unsigned char shared[{self.shared}];\n" if self.shared else ""
        if self.room:
            shared += f"    alignas(16) __shared__ unsigned char room[{self.room}];\n"
        text = f"({', '.join(parameters)}) {{\n{shared}{body}\n}}\n"
        name = f"{word}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        head = f'extern "C" __global__ void __launch_bounds__({THREADS}) {name}'
        moved = self.memory.moved
        operands = tuple(
            (WORKSPACE, moved[buffer] + place) if buffer in moved else (buffer, place)
            for buffer, place, _ in self._pointers
        )
        blocks = (*grid, 1, 1)[:3]
        return head + text, Launch(name, (blocks[0], blocks[1], blocks[2]), (THREADS, 1, 1), 0, operands)


def index_type(wide: bool) -> str:
    """The type of what counts places."""
    return "uint64" if wide else "uint32"


def is_wide(nest: Nest) -> bool:
    """Whether places of a nest are too many, or too far away, for 32 bits."""
    return nest.size >= FAR or any(max(map(abs, o.span(nest.shape))) >= FAR for o in nest.operands())


def coordinates(kernel: Kernel, index: str, axes: Sequence[tuple[int, int]], wide: bool, width: int = 1) -> None:
    """Write the coordinates `x{axis}` of a place, given (axis, length); the last axis in steps of `width`."""
    kind, signed = index_type(wide), "int64" if wide else "int32"
    left = index
    for number, (axis, length) in reversed(list(enumerate(axes))):
        factor = width if number == len(axes) - 1 else 1
        count = length // factor
        value = left if number == 0 else f"{left} % {count}u"
        value = f"static_cast<{signed}>({value})"
        kernel.line(f"const {signed} x{axis} = {value}{f' * {factor}' if factor > 1 else ''};")
        if number:
            kernel.line(f"const {kind} t{axis} = {left} / {count}u;")
            left = f"t{axis}"


def place_of(operand: Operand, skip: int = 0) -> str:
    """The distance of a place from the start of an operand, given the coordinates."""
    terms = [
        f"x{axis}" if stride == 1 else f"x{axis} * {stride}"
        for axis, stride in enumerate(operand.strides)
        if stride and axis >= skip
    ]
    return " + ".join(terms) or "0"


def ceiling(count: int, size: int) -> int:
    """How many pieces of a size there are."""
    return -(-count // size)
