"""Loops in LLVM's language.

A loop becomes a function of the addresses of its operands and of a range of places on one axis. All loads of a point
come before its stores, and no point touches what another one writes, so the loops are declared parallel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.instructions import Loop, Step
from tracer.run.native.scalars import Scalars, supports
from tracer.run.native.vectors import code_wishes, loop_wishes, suits_vectors
from tracer.run.native.writer import Value, constant, part_type, type_name

Ints = tuple[int, ...]
FUNCTION = "loop"
"""The name of the function of a module."""
LONGEST = 400
"""Steps of the longest loop that is translated: LLVM's time grows faster than the code."""


class Operand(NamedTuple):
    """Something loaded or stored.

    Attributes
    ----------
    slot : int
        Which address it is found from: that of an operand whose place it shares, but for a distance.
    distance : int
        Bytes from there.
    dtype : str
    strides : tuple of int
        Bytes, one per axis.
    """

    slot: int
    distance: int
    dtype: str
    strides: Ints


class Outline(NamedTuple):
    """All that the code of a loop depends on; equal outlines have the same code.

    Attributes
    ----------
    lengths : tuple of int
        Of the axes. The range of places is on the first one.
    loads : tuple of Operand
    immediates : tuple of (str, bytes)
    steps : tuple of Step
    stores : tuple of (int, Operand)
        The register stored, and where.
    """

    lengths: Ints
    loads: tuple[Operand, ...]
    immediates: tuple[tuple[str, bytes], ...]
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, Operand], ...]


def outline(described: tuple[Any, ...]) -> Outline | None:
    """The outline of a loop as `_kernels.Program.loops` describes it; None if it stays with the block kernels."""
    loop: Loop = described[0]
    _, lengths, first, operands, blocks = described
    lengths = lengths[first:]
    steps = loop.steps
    if (not steps and blocks) or len(steps) > LONGEST or 0 in loop.shape or not all(map(supports, steps)):
        return None
    if not suits_vectors(steps, lengths[1:]):
        return None
    leaders: dict[tuple[int, Ints], tuple[int, int]] = {}
    found = []
    for slot, dtype, buffer, offset, strides in operands:
        leader, start = leaders.setdefault((buffer, strides), (slot, offset))
        found.append(Operand(leader, offset - start, dtype, strides[first:]))
    loads = found[: len(loop.loads)]
    stores = [(store.register, operand) for store, operand in zip(loop.stores, found[len(loads) :], strict=True)]
    # What is reduced in several ways is left once.
    for slot, reduce in dict(zip(blocks, loop.reduces, strict=True)).items():
        dtype = _register_dtype(loop, loads, reduce.register)
        strides = tuple(dtype.itemsize * math.prod(lengths[d + 1 :]) for d in range(len(lengths)))
        stores.append((reduce.register, Operand(slot, 0, dtype.name, strides)))
    immediates = tuple((item.dtype.name, item.tobytes()) for item in loop.immediates)
    # The lengths of the range do not matter.
    return Outline((-1, *lengths[1:]), tuple(loads), immediates, steps, tuple(stores))


def _register_dtype(loop: Loop, loads: Sequence[Operand], register: int) -> np.dtype[Any]:
    if register < len(loads):
        return np.dtype(loads[register].dtype)
    register -= len(loads)
    immediates = len(loop.immediates)
    return loop.immediates[register].dtype if register < immediates else loop.steps[register - immediates].out


def module_text(outline: Outline) -> str:
    """A module with the function of a loop."""
    return _Generator(outline).text()


class _Generator:
    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.code = Scalars()
        self.addresses: dict[tuple[int, Ints], str] = {}
        self.values: list[Value | None] = [None] * len(outline.loads)
        self.values += [constant(np.frombuffer(raw, dtype)[0]) for dtype, raw in outline.immediates]

    @property
    def inner(self) -> int:
        return len(self.outline.lengths) - 1

    def text(self) -> str:
        write = self.code.lines.append
        for number in {operand.slot for operand in self.operands()}:
            write(f"  %s{number} = getelementptr inbounds ptr, ptr %slots, i64 {number}")
            write(f"  %p{number} = load ptr, ptr %s{number}, align 8")
        for operand in self.operands():
            self.addresses[operand.slot, operand.strides] = f"%p{operand.slot}"
        self.load(-1)
        for axis in range(len(self.outline.lengths)):
            self.enter(axis)
        self.compute()
        for axis in reversed(range(len(self.outline.lengths))):
            self.leave(axis)
        body = "\n".join(self.code.lines)
        declarations = "\n".join(sorted(self.code.declarations))
        return (
            f"define void @{FUNCTION}(ptr noalias nocapture readonly %slots, i64 %begin, i64 %end) "
            f"nounwind {code_wishes(self.outline.steps)} {{\n"
            f"entry:\n{body}\n  ret void\n}}\n{declarations}\n{self.metadata()}"
        )

    def operands(self) -> list[Operand]:
        return [*self.outline.loads, *(operand for _, operand in self.outline.stores)]

    # --- the nest ---

    def enter(self, axis: int) -> None:
        """Open the loop over an axis, move the addresses, and load what is the same on the axes inside."""
        write = self.code.lines.append
        before, start = ("entry", "%begin") if axis == 0 else (f"h{axis - 1}", "0")
        write(f"  br label %h{axis}\nh{axis}:")
        write(f"  %i{axis} = phi i64 [ {start}, %{before} ], [ %n{axis}, %{self.latch(axis)} ]")
        for (slot, strides), address in self.addresses.items():
            if strides[axis]:
                place = self.code.emit(f"mul nsw i64 %i{axis}, {strides[axis]}")
                self.addresses[slot, strides] = self.code.emit(f"getelementptr inbounds i8, ptr {address}, i64 {place}")
        self.load(axis)

    def latch(self, axis: int) -> str:
        """The block from which the loop over an axis starts again."""
        return f"h{axis}" if axis == self.inner else f"x{axis + 1}"

    def leave(self, axis: int) -> None:
        write = self.code.lines.append
        end = "%end" if axis == 0 else str(self.outline.lengths[axis])
        write(f"  %n{axis} = add nuw nsw i64 %i{axis}, 1")
        write(f"  %c{axis} = icmp eq i64 %n{axis}, {end}")
        write(f"  br i1 %c{axis}, label %x{axis}, label %h{axis}, !llvm.loop !{10 + axis}\nx{axis}:")

    def metadata(self) -> str:
        lines = [
            "!0 = distinct !{}",
            '!1 = !{!"llvm.loop.parallel_accesses", !0}',
        ]
        # Unrolled rows would not be vectorised.
        outline, wishes = self.outline, ['"llvm.loop.unroll.disable"']
        wishes += loop_wishes(outline.steps, outline.lengths[1:], len(outline.loads) + len(outline.immediates))
        lines += [f"!{2 + number} = !{{!{wish}}}" for number, wish in enumerate(wishes)]
        chosen = ", ".join(f"!{1 + number}" for number in range(len(wishes) + 1))
        lines += [f"!{10 + axis} = distinct !{{!{10 + axis}, {chosen}}}" for axis in range(self.inner + 1)]
        return "\n".join(lines) + "\n"

    # --- the points ---

    def parts(self, operand: Operand) -> list[str]:
        """The addresses of the parts of an operand at the current point."""
        part = part_type(np.dtype(operand.dtype)).itemsize
        address = self.addresses[operand.slot, operand.strides]
        found = []
        for distance in range(operand.distance, operand.distance + np.dtype(operand.dtype).itemsize, part):
            moved = f"getelementptr inbounds i8, ptr {address}, i64 {distance}"
            found.append(self.code.emit(moved) if distance else address)
        return found

    def load(self, axis: int) -> None:
        """Load what depends on no axis inside this one."""
        for number, operand in enumerate(self.outline.loads):
            last = max((d for d, stride in enumerate(operand.strides) if stride), default=-1)
            if last == axis:
                kind = type_name(np.dtype(operand.dtype))
                self.values[number] = tuple(
                    self.code.emit(f"load {kind}, ptr {address}{self.access(operand)}")
                    for address in self.parts(operand)
                )

    def compute(self) -> None:
        values = self.values
        for step in self.outline.steps:
            operands = [value for number in step.inputs if (value := values[number]) is not None]
            values.append(self.code.step(step, operands))
        for register, operand in self.outline.stores:
            kind = type_name(np.dtype(operand.dtype))
            value = values[register]
            assert value is not None
            for part, address in zip(value, self.parts(operand), strict=True):
                self.code.lines.append(f"  store {kind} {part}, ptr {address}{self.access(operand)}")

    def access(self, operand: Operand) -> str:
        return f", align {part_type(np.dtype(operand.dtype)).itemsize}, !llvm.access.group !0"
