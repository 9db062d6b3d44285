"""Scans and while loops of a few numbers as straight-line code: what a step does to every number is written out.

Carries become values that go from one step to the next in registers, and so do rows of what a scan writes that later
steps read back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.instructions import Loop, Scan, Step, View, While, Window
from tracer.lower.program import Program
from tracer.run.native.scalars import supports

FEWEST_STEPS = 16
"""A shorter scan is not worth it."""
LONGEST = 400
"""Operations of a step, written out."""
WIDEST = 64
"""Numbers of a buffer."""
FARTHEST = 4
"""Steps over which a row is kept in a register."""

Reference = tuple[str, int]
"""A register: which kind, and its number among these."""


class Place(NamedTuple):
    """Where a number is at a step.

    Attributes
    ----------
    slot : int
        Which address it is found from.
    offset, row : int
        Bytes from there at step 0, and from one step to the next.
    dtype : str
    """

    slot: int
    offset: int
    row: int
    dtype: str


class StepsOutline(NamedTuple):
    """All that the code of the steps depends on; equal outlines have the same code.

    Registers are numbered carried values first, then loads, immediates and the results of operations.

    Attributes
    ----------
    carried : tuple of (Place, bool)
        Where a carried value starts, and whether it goes back there at the end.
    loads : tuple of Place
    immediates : tuple of (str, bytes)
    operations : tuple of Step
    following : tuple of int
        The register with the next value of each carried one.
    stores : tuple of (int, Place)
    asked : int
        Operations needed to know whether there is another step at all.
    condition, stop : int
        The register that says so, and the one that says that there is no further one; -1: none.
    """

    carried: tuple[tuple[Place, bool], ...]
    loads: tuple[Place, ...]
    immediates: tuple[tuple[str, bytes], ...]
    operations: tuple[Step, ...]
    following: tuple[int, ...]
    stores: tuple[tuple[int, Place], ...]
    asked: int = 0
    condition: int = -1
    stop: int = -1


def steps_outline(described: Scan | While) -> StepsOutline | None:
    """The outline of the steps of a loop; None if they are run one by one."""
    try:
        return _scan(described) if isinstance(described, Scan) else _while(described)
    except _Unsuitable:
        return None


class _Unsuitable(Exception):
    pass


def _scan(scan: Scan) -> StepsOutline:
    if scan.steps < FEWEST_STEPS:
        raise _Unsuitable
    body, program, count = _Body(), scan.program, len(scan.sources)
    carries = dict(scan.carries)
    arguments, outputs = _buffers(program, "argument"), _buffers(program, "output")
    memory = _Memory(body, program)
    for number, window in enumerate(scan.sources):
        buffer, carried = arguments[number], number in carries
        memory.sources[buffer] = body.window(number, _row(program, buffer, window), program, buffer, carried)
        if carried and scan.targets[carries[number]].view.buffer == window.view.buffer:
            memory.same[outputs[carries[number]]] = buffer
    memory.run()
    for argument, output in scan.carries:
        body.carry(memory, arguments[argument], outputs[output])
    stop: Reference | None = None
    for number, window in enumerate(scan.targets):
        buffer = outputs[number]
        if number == scan.stop:
            stop = memory.read(buffer, 0)
        elif number not in carries.values():
            place = Place(count + number, 0, _row(program, buffer, window), program.buffers[buffer].dtype.name)
            for element in range(_size(program, buffer)):
                moved = place._replace(offset=element * program.buffers[buffer].dtype.itemsize)
                body.stores.append((memory.read(buffer, element), moved))
    body.keep_rows([*scan.sources, *scan.targets])
    return body.outline(stop=stop)


def _while(loop: While) -> StepsOutline:
    sweep = loop.sweeps[0]
    if len(loop.sweeps) > 1 or len(_buffers(sweep.program, "output")) > len(sweep.carries):
        raise _Unsuitable
    body, count = _Body(), len(sweep.carries)
    condition: Reference | None = None
    asked = 0
    for program in (loop.condition, sweep.program):
        arguments, outputs = _buffers(program, "argument"), _buffers(program, "output")
        memory = _Memory(body, program)
        for number, buffer in arguments.items():
            memory.sources[buffer] = body.window(number, 0, program, buffer, number < count)
        if program is sweep.program:
            for number, (home, spare) in enumerate(sweep.carries):
                if home.buffer == spare.buffer:
                    memory.same[outputs[number]] = arguments[number]
        memory.run()
        if program is loop.condition:
            condition, asked = memory.read(outputs[0], 0), len(body.operations)
    for number in range(count):
        body.carry(memory, arguments[number], outputs[number])
    return body.outline(asked=asked, condition=condition)


def _buffers(program: Program, kind: str) -> dict[int, int]:
    """The buffers of the arguments or outputs of a program."""
    return {buffer.index: number for number, buffer in enumerate(program.buffers) if buffer.kind == kind}


def _size(program: Program, buffer: int) -> int:
    size = program.buffers[buffer].size
    if size > WIDEST:
        raise _Unsuitable
    return size


def _row(program: Program, buffer: int, window: Window) -> int:
    row = window.view.strides[0] * program.buffers[buffer].dtype.itemsize
    return -row if window.backward else row


class _Body:
    """What a step does."""

    def __init__(self) -> None:
        self.carried: dict[Place, bool] = {}
        self.loads: dict[Place, None] = {}
        self.immediates: dict[tuple[str, bytes], None] = {}
        self.operations: list[tuple[Step, tuple[Reference, ...]]] = []
        self.following: dict[Reference, Reference] = {}
        self.stores: list[tuple[Reference, Place]] = []
        self.moved: dict[Reference, Reference] = {}

    def window(self, slot: int, row: int, program: Program, buffer: int, carried: bool) -> Callable[[int], Reference]:
        """What reads a number of an argument."""
        dtype = program.buffers[buffer].dtype

        def read(element: int) -> Reference:
            place = Place(slot, element * dtype.itemsize, row, dtype.name)
            return self.carry_from(place, True) if carried else _numbered("load", self.loads, place, None)

        return read

    def carry_from(self, place: Place, kept: bool) -> Reference:
        return _numbered("carried", self.carried, place, kept)

    def immediate(self, value: np.generic) -> Reference:
        return _numbered("immediate", self.immediates, (value.dtype.name, value.tobytes()), None)

    def operate(self, step: Step, inputs: tuple[Reference, ...]) -> Reference:
        if len(self.operations) == LONGEST:
            raise _Unsuitable
        self.operations.append((step, inputs))
        return ("operation", len(self.operations) - 1)

    def carry(self, memory: _Memory, argument: int, output: int) -> None:
        """What a step leaves in an output is in an argument at the next one."""
        for element in range(_size(memory.program, output)):
            before = memory.sources[argument](element)
            self.following[before] = memory.read(output, element)

    def keep_rows(self, windows: list[Window]) -> None:
        """Rows that were stored a few steps ago are not loaded again."""
        for load in list(self.loads):
            for value, store in self.stores:
                source, target = windows[load.slot].view, windows[store.slot].view
                if (
                    source.buffer != target.buffer
                    or (load.row, load.dtype) != (store.row, store.dtype)
                    or load.row <= 0
                ):
                    continue
                size = np.dtype(load.dtype).itemsize
                ago, rest = divmod((target.offset - source.offset) * size + store.offset - load.offset, load.row)
                if rest == 0 and 1 <= ago <= FARTHEST:
                    newer = value
                    for later in reversed(range(ago)):
                        older = self.carry_from(load._replace(offset=load.offset + later * load.row), False)
                        self.following[older] = newer
                        newer = older
                    self.moved[_numbered("load", self.loads, load, None)] = newer
                    break

    def outline(
        self, asked: int = 0, condition: Reference | None = None, stop: Reference | None = None
    ) -> StepsOutline:
        counts = [len(self.carried), len(self.loads), len(self.immediates)]
        starts = dict(
            zip(("carried", "load", "immediate", "operation"), (sum(counts[:n]) for n in range(4)), strict=True)
        )

        def number(reference: Reference | None) -> int:
            if reference is None:
                return -1
            kind, own = self.moved.get(reference, reference)
            return starts[kind] + own

        return StepsOutline(
            tuple(self.carried.items()),
            tuple(self.loads),
            tuple(self.immediates),
            tuple(
                Step(step.kernel, step.dtype, step.out, tuple(map(number, inputs))) for step, inputs in self.operations
            ),
            tuple(number(self.following[("carried", own)]) for own in range(counts[0])),
            tuple((number(value), place) for value, place in self.stores),
            asked,
            number(condition),
            number(stop),
        )


def _numbered(kind: str, found: dict[Any, Any], key: Any, value: Any) -> Reference:
    found.setdefault(key, value)
    return (kind, list(found).index(key))


class _Memory:
    """The buffers of a program while it is written out: which register has what is in them.

    Attributes
    ----------
    sources : dict
        What reads a number that the program has not written, for the buffers that have something at the beginning.
    same : dict
        Buffers that are the memory of others.
    """

    def __init__(self, body: _Body, program: Program) -> None:
        self.body = body
        self.program = program
        self.sources: dict[int, Callable[[int], Reference]] = {}
        self.same: dict[int, int] = {}
        self.written: dict[tuple[int, int], Reference] = {}
        for number, buffer in enumerate(program.buffers):
            if buffer.kind == "constant":
                self.sources[number] = self.constant(program.constants[buffer.index], buffer.strides)

    def constant(self, array: np.ndarray[Any, Any], strides: tuple[int, ...]) -> Callable[[int], Reference]:
        def read(element: int) -> Reference:
            if array.size > WIDEST:
                raise _Unsuitable
            places = {sum(map(int.__mul__, index, strides)): index for index in np.ndindex(array.shape)}
            value: Any = array[places[element]]
            return self.body.immediate(value)

        return read

    def read(self, buffer: int, element: int) -> Reference:
        buffer = self.same.get(buffer, buffer)
        found = self.written.get((buffer, element))
        if found is None:
            source = self.sources.get(buffer)
            if source is None:
                raise _Unsuitable
            found = source(element)
        return found

    def run(self) -> None:
        """Write out the instructions of the program."""
        for instruction in self.program.instructions:
            if not isinstance(instruction, Loop) or instruction.reduces or not all(map(supports, instruction.steps)):
                raise _Unsuitable
            if math.prod(instruction.shape) > WIDEST:
                raise _Unsuitable
            for index in np.ndindex(instruction.shape):
                self.point(instruction, index)

    def point(self, loop: Loop, index: tuple[int, ...]) -> None:
        registers = [self.read(view.buffer, _element(view, index)) for view in loop.loads]
        registers += map(self.body.immediate, loop.immediates)
        for step in loop.steps:
            registers.append(self.body.operate(step, tuple(registers[number] for number in step.inputs)))
        for store in loop.stores:
            buffer = self.same.get(store.view.buffer, store.view.buffer)
            self.written[buffer, _element(store.view, index)] = registers[store.register]


def _element(view: View, index: tuple[int, ...]) -> int:
    return view.offset + sum(map(int.__mul__, index, view.strides))
