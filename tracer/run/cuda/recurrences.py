"""Loops whose elements have nothing to do with each other: a thread does all steps of its own, in registers.

Logistic maps, oscillators and Mandelbrot sets are such loops: nobody waits for anybody, so that all blocks take part.
Values of which there is one for all elements, such as a count of the steps, are computed by every thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tracer.lower.instructions import Buffer, Loop, Scan, Shape, Window
from tracer.run.cuda.layout import Memory, Nest, Operand, by_stride, nests_of
from tracer.run.cuda.loops import Threads
from tracer.run.cuda.scalars import literal, memory_name, supports, type_name
from tracer.run.cuda.writer import Kernel, coordinates, is_wide, place_of

MOST_STEPS = 1000
"""Operations of a step, at most."""
FEW_STEPS = 32
"""Operations of a step of which several are written out one after another."""


class Cell(NamedTuple):
    """A value that a thread keeps for each of its elements, or for all of them if the shape is empty."""

    operand: Operand
    shape: Shape


class Recurrence(NamedTuple):
    """A loop over steps for each element.

    Attributes
    ----------
    work : Scan
    shape : tuple of int
        Of the elements.
    nests : tuple of Nest
        What a step does one after the other, each over that shape or over none.
    cells : dict of int to Cell
        By the number of a buffer of the program within.
    same : dict of int to int
        Buffers of new states that are the memory of the old ones, and those.
    """

    work: Scan
    shape: Shape
    nests: tuple[Nest, ...]
    cells: dict[int, Cell]
    same: dict[int, int]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def cell(self, number: int) -> int:
        """The buffer that stands for one."""
        return self.same.get(number, number)

    def numbers(self, kind: str) -> list[int]:
        """The buffers of the arguments or of the outputs."""
        return _numbers(self.work, kind)

    def alone(self) -> list[tuple[int, int]]:
        """The states, as argument and output, of which there is one for all elements."""
        arguments = self.numbers("argument")
        return [pair for pair in self.work.carries if not self.cells[arguments[pair[0]]].shape and self.shape]


def _numbers(work: Scan, kind: str) -> list[int]:
    found = [(item.index, number) for number, item in enumerate(work.program.buffers) if item.kind == kind]
    return [number for _, number in sorted(found)]


def recurrence_of(work: Scan, memory: Memory) -> Recurrence | None:
    """A loop as one over steps for each element; None if elements look at each other, or may."""
    nests = _nests(work)
    if nests is None:
        return None
    arguments, outputs = _numbers(work, "argument"), _numbers(work, "output")
    pairs = [(a, o, work.sources[a].view == work.targets[o].view) for a, o in work.carries]
    same = {outputs[o]: arguments[a] for a, o, one in pairs if one}
    cells = _written(nests, work.program.buffers, same)
    if cells is None:
        return None
    for argument, output, _ in pairs:
        if same.get(outputs[output], outputs[output]) not in cells:
            return None
        cells[arguments[argument]] = cells[same.get(outputs[output], outputs[output])]
    shape = next((nest.shape for nest in nests if nest.shape), ())
    found = Recurrence(work, shape, tuple(nests), cells, same)
    if any(number not in cells for number in outputs if number not in same):
        return None
    if work.stop >= 0 and cells[outputs[work.stop]].shape:
        return None
    return found if _reads_own(found) and _keeps_apart(found, memory) else None


def _nests(work: Scan) -> list[Nest] | None:
    """What a step does, all axes in one order; None if it is more than loops over elements."""
    nests: list[Nest] = []
    for instruction in work.program.instructions:
        if not isinstance(instruction, Loop) or instruction.reduces or not all(map(supports, instruction.steps)):
            return None
        nests += nests_of(instruction, work.program.buffers)
    shapes = {nest.shape for nest in nests if nest.shape}
    size = sum(len(nest.steps) for nest in nests)
    if not work.steps or not nests or len(shapes) > 1 or any(0 in shape for shape in shapes) or size > MOST_STEPS:
        return None
    axes = [operand for nest in nests if nest.shape for operand in (*nest.targets(), *nest.loads)]
    order = by_stride(axes, range(len(next(iter(shapes), ()))))
    return [nest.permuted(order) if nest.shape else nest for nest in nests]


def _written(nests: Sequence[Nest], buffers: Sequence[Buffer], same: dict[int, int]) -> dict[int, Cell] | None:
    """The cells of what is written; None if anything is written in two ways, or by two elements."""
    cells: dict[int, Cell] = {}
    for nest in nests:
        for operand in nest.targets():
            cell = Cell(operand._replace(buffer=same.get(operand.buffer, operand.buffer)), nest.shape)
            if buffers[operand.buffer].kind not in ("temporary", "output"):
                return None
            if not _is_injective(operand, nest.shape) or cells.setdefault(cell.operand.buffer, cell) != cell:
                return None
    return cells


def _is_injective(operand: Operand, shape: Shape) -> bool:
    reach = 0
    for stride, length in sorted((abs(stride), length) for stride, length in zip(operand.strides, shape, strict=True)):
        if stride <= reach:
            return False
        reach += stride * (length - 1)
    return True


def _reads_own(found: Recurrence) -> bool:
    """Whether elements read only what is their own, or everybody's, of what a step writes."""
    for nest in found.nests:
        for load in nest.loads:
            cell = found.cells.get(found.cell(load.buffer))
            if cell is None:
                if found.work.program.buffers[load.buffer].kind not in ("argument", "constant"):
                    return False
            elif load.offset != cell.operand.offset:
                return False
            elif load.strides != cell.operand.strides and (cell.shape or any(load.strides)):
                return False
    return True


def _keeps_apart(found: Recurrence, memory: Memory) -> bool:
    """Whether nothing is written in memory that is read, but by the element that reads it."""
    work = found.work
    buffers, arguments, outputs = work.program.buffers, found.numbers("argument"), found.numbers("output")
    states, carried = {a for a, _ in work.carries}, {o for _, o in work.carries} | {work.stop}
    windows = [*zip(work.sources, arguments, strict=True), *zip(work.targets, outputs, strict=True)]
    if any(memory.buffers[window.view.buffer].dtype != buffers[number].dtype for window, number in windows):
        return False
    reads = [(window, arguments[place]) for place, window in enumerate(work.sources) if place not in states]
    homes = [(window, arguments[place]) for place, window in enumerate(work.sources) if place in states]
    rows = [(window, outputs[place]) for place, window in enumerate(work.targets) if place not in carried]
    scalars = [(memory.space(view.buffer), *_span(memory, view.buffer, view.offset, (), ()))
               for view in (work.count, work.done) if view is not None]  # fmt: skip
    written = [(_extent(found, memory, *item), item) for item in (*homes, *rows)]
    for item in reads:
        for extent, other in written:
            if _meet(_extent(found, memory, *item), extent) and not _are_rows_of_one(found, item, other):
                return False
    extents = [*(extent for extent, _ in written), *(_extent(found, memory, *item) for item in reads), *scalars]
    ends = extents[len(extents) - len(scalars) :]
    return not any(_meet(one, other) for one in ends for other in extents if one is not other)


def _extent(found: Recurrence, memory: Memory, window: Window, number: int) -> tuple[tuple[str, int], int, int]:
    shape = (found.work.steps, *found.work.program.buffers[number].shape)
    view = window.view
    return memory.space(view.buffer), *_span(memory, view.buffer, view.offset, view.strides, shape)


def _span(memory: Memory, buffer: int, offset: int, strides: Shape, shape: Shape) -> tuple[int, int]:
    operand = Operand(buffer, offset, strides, memory.buffers[buffer].dtype)
    low, high = operand.span(shape) if 0 not in shape else (0, -1)
    size, start = operand.dtype.itemsize, memory.address(operand)
    return start + low * size, start + (high + 1) * size


def _meet(one: tuple[tuple[str, int], int, int], other: tuple[tuple[str, int], int, int]) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


def _are_rows_of_one(found: Recurrence, read: tuple[Window, int], written: tuple[Window, int]) -> bool:
    """Whether what is read are earlier rows of what is written, the same elements of them."""
    (source, argument), (target, output) = read, written
    one, other = source.view, target.view
    cell = found.cells.get(output)
    if cell is None or (one.buffer, one.strides) != (other.buffer, other.strides) or not one.strides[0]:
        return False
    if source.backward or target.backward or (one.offset - other.offset) % one.strides[0]:
        return False
    loads = [(load, nest.shape) for nest in found.nests for load in nest.loads if load.buffer == argument]
    own = (cell.operand.offset, cell.operand.strides, found.shape)
    return all((load.offset, load.strides, shape) == own for load, shape in loads)


# --- the text ---


class _Writer:
    def __init__(self, kernel: Kernel, found: Recurrence) -> None:
        self.kernel, self.found, self.name = kernel, found, kernel.fresh()
        work = found.work
        self.arguments, self.outputs = found.numbers("argument"), found.numbers("output")
        self.windows = dict(zip(self.arguments, work.sources, strict=True))
        self.windows |= dict(zip(self.outputs, work.targets, strict=True))
        self.states = {self.arguments[argument]: self.outputs[output] for argument, output in work.carries}
        carried = {*self.states.values(), *([self.outputs[work.stop]] if work.stop >= 0 else [])}
        self.rows = [number for number in self.outputs if number not in carried]
        self.hoisted: dict[Operand, str] = {}

    def variable(self, number: int) -> str:
        return f"{self.name}v{self.found.cell(number)}"

    def place(self, operand: Operand, row: str = "", write: bool = False) -> str:
        """An element of an argument or an output in memory."""
        view = self.windows[operand.buffer].view
        outer = Operand(view.buffer, view.offset, (), operand.dtype)
        terms = [f"static_cast<int64>({row}) * {view.strides[0]}"] if row and view.strides[0] else []
        terms += [str(operand.offset)] if operand.offset else []
        return f"{self.kernel.pointer(outer, write)}[{' + '.join([*terms, place_of(operand)])}]"

    def row(self, number: int) -> str:
        return f"({self.name}limit - 1 - step)" if self.windows[number].backward else "step"

    def constant(self, operand: Operand) -> str:
        kind, array = memory_name(operand.dtype), self.found.work.program.constants
        words = self.kernel.functions.constant(array[self.found.work.program.buffers[operand.buffer].index])
        return f"reinterpret_cast<const {kind}*>({words})[{operand.offset} + {place_of(operand)}]"

    def begin(self) -> None:
        """Write what comes before the first step."""
        kernel, buffers = self.kernel, self.found.work.program.buffers
        for nest in self.found.nests:
            for load in nest.loads:
                if self.found.cell(load.buffer) in self.found.cells or load in self.hoisted:
                    continue
                fixed = buffers[load.buffer].kind == "constant"
                if fixed or not self.windows[load.buffer].view.strides[0]:
                    name = f"{self.name}h{len(self.hoisted)}"
                    value = self.constant(load) if fixed else self.place(load)
                    kernel.line(f"const {type_name(load.dtype)} {name} = {value};")
                    self.hoisted[load] = name
        for number, cell in self.found.cells.items():
            kind = type_name(cell.operand.dtype)
            value = f" = {self.place(cell.operand._replace(buffer=number))}" if number in self.states else "{}"
            kernel.line(f"{kind} {self.variable(number)}{value};")

    def nest(self, nest: Nest) -> None:
        """Write one of the nests of a step."""
        kernel, names = self.kernel, []
        for number, load in enumerate(nest.loads):
            if self.found.cell(load.buffer) in self.found.cells:
                value = self.variable(load.buffer)
            else:
                value = self.hoisted.get(load) or self.place(load, self.row(load.buffer))
            kernel.line(f"const {type_name(load.dtype)} l{number} = {value};")
            names.append(f"l{number}")
        names += [literal(item) for item in nest.immediates]
        for step in nest.steps:
            name = f"r{len(names)}"
            value = kernel.functions.apply(step, [names[register] for register in step.inputs])
            kernel.line(f"const {type_name(step.out)} {name} = {value};")
            names.append(name)
        for register, target in nest.stores:
            kernel.line(f"{self.variable(target.buffer)} = {names[register]};")
            if target.buffer in self.rows:
                self.store(target, self.row(target.buffer), names[register], nest.shape)

    def store(self, target: Operand, row: str, value: str, shape: Shape) -> None:
        """Write what stores a value in memory, where there is one for all elements only once."""
        test = "" if shape == self.found.shape else "if (i == 0) "
        self.kernel.line(f"{test}{self.place(target, row, True)} = {value};")

    def steps(self) -> None:
        """Write the loop over the steps of an element."""
        kernel, work, name = self.kernel, self.found.work, self.name
        kernel.line(f"int64 {name}done = {name}limit;")
        if sum(len(nest.steps) for nest in self.found.nests) <= FEW_STEPS:
            kernel.line("#pragma unroll 4")
        kernel.open(f"for (int64 step = 0; step < {name}limit; ++step)")
        for nest in self.found.nests:
            kernel.open()
            self.nest(nest)
            kernel.close()
        for argument, output in self.states.items():
            if self.variable(argument) != self.variable(output):
                kernel.line(f"{self.variable(argument)} = {self.variable(output)};")
        if work.stop >= 0:
            kernel.open(f"if ({self.variable(self.outputs[work.stop])} != 0)")
            kernel.line(f"{name}done = step + 1;")
            kernel.line("break;")
            kernel.close()
        kernel.close()

    def end(self) -> None:
        """Write what is left to do for an element after its last step."""
        kernel, work, name = self.kernel, self.found.work, self.name
        if work.stop >= 0 or work.count is not None:
            for number in self.rows:
                cell = self.found.cells[number]
                kernel.open(f"for (int64 row = {name}done; row < {work.steps}; ++row)")
                self.store(cell.operand, "row", f"{type_name(cell.operand.dtype)}{{}}", cell.shape)
                kernel.close()
        for number in self.states:
            cell = self.found.cells[number]
            if cell.shape == self.found.shape:
                self.store(cell.operand._replace(buffer=number), "", self.variable(number), cell.shape)
        if work.done is not None:
            view = work.done
            done = Operand(view.buffer, view.offset, (), kernel.memory.buffers[view.buffer].dtype)
            kernel.line(f"if (i == 0) *{kernel.pointer(done, True)} = {name}done;")


def recurrence(kernel: Kernel, found: Recurrence, threads: Threads, saved: Sequence[str] = ()) -> None:
    """Write a recurrence.

    States of which there is one for all elements are needed until the last one has begun: the first element leaves them
    in `saved`, pointers for each of `Recurrence.alone`; without them, a block has all elements, and puts them in place.
    """
    work, writer = found.work, _Writer(kernel, found)
    name, alone = writer.name, found.alone()
    kernel.line(f"int64 {name}limit = {work.steps};")
    if work.count is not None:
        view = work.count
        count = kernel.pointer(Operand(view.buffer, view.offset, (), kernel.memory.buffers[view.buffer].dtype))
        kernel.line(f"if (*{count} < {name}limit) {name}limit = *{count} < 0 ? 0 : *{count};")
    kinds = [type_name(found.cells[writer.arguments[argument]].operand.dtype) for argument, _ in alone]
    if not saved:
        for place, kind in enumerate(kinds):
            kernel.line(f"{kind} {name}last{place}{{}};")
    wide = any(map(is_wide, found.nests))
    kernel.loop("i", threads.first, f"{found.size}u", threads.step, wide)
    if found.shape:
        coordinates(kernel, "i", list(enumerate(found.shape)), wide)
    writer.begin()
    writer.steps()
    writer.end()
    for place, (argument, _) in enumerate(alone):
        target = f"*{saved[place]}" if saved else f"{name}last{place}"
        kernel.line(f"if (i == 0) {target} = {writer.variable(writer.arguments[argument])};")
    kernel.close()
    if alone and not saved:
        kernel.line("__syncthreads();")
        settle(kernel, found, [f"{name}last{place}" for place in range(len(alone))])


def settle(kernel: Kernel, found: Recurrence, values: Sequence[str]) -> None:
    """Write what puts states of which there is one for all elements in place."""
    writer = _Writer(kernel, found)
    kernel.open("if (threadIdx.x == 0)")
    for (argument, _), value in zip(found.alone(), values, strict=True):
        number = writer.arguments[argument]
        cell = found.cells[number].operand._replace(buffer=number)
        kernel.line(f"{writer.place(cell, write=True)} = {value};")
    kernel.close()
