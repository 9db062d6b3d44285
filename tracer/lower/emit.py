"""Writes instructions: loops from groups of items, one instruction for each opaque item, views from operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.lower.in_place import is_in_place, without_copies
from tracer.lower.items import Ints, Item, Source, Value, squeezed_strides
from tracer.lower.program import (
    ArgReduce,
    Branch,
    Call,
    Cumulative,
    Gather,
    Instruction,
    Loop,
    LoweredProgram,
    MatMul,
    Program,
    Reduce,
    Scan,
    Scatter,
    Step,
    Store,
    Sweep,
    View,
    While,
    Window,
)
from tracer.records import NamedTuple
from tracer.types import contiguous_strides

Lower = Callable[[Graph, Sequence[tuple[Ints, Ints]]], LoweredProgram]
"""Turns a body into a program, given the layouts of its inputs."""


@dataclass
class Storage:
    """A buffer of the program before it has its place: as `program.Buffer`."""

    kind: str
    dtype: np.dtype[Any]
    shape: Ints
    strides: Ints
    index: int


class Made(NamedTuple):
    """A program before its memory is planned: storages, instructions, and the nodes that each of them computes."""

    storages: list[Storage]
    instructions: list[Instruction]
    nodes: list[tuple[Node, ...]]


class Emitter:
    """Collects instructions, the storages they use, and the nodes each of them computes."""

    def __init__(self, sources: Iterable[Source], lower: Lower) -> None:
        self.lower = lower
        self.instructions: list[Instruction] = []
        self.nodes: list[tuple[Node, ...]] = []
        self.storages: list[Storage] = []
        self.numbers: dict[Source, int] = {}
        self.successors = {source.base: source for source in sources if source.base is not None}
        self.opaque: dict[str, Callable[[Item], Instruction]] = {
            "matmul": self.matmul,
            "gather": self.gather,
            "scatter": self.scatter,
            "cumulative": self.cumulative,
            "argreduce": self.argreduce,
            "scan": self.scan,
            "cond": self.branch,
            "while_loop": self.while_loop,
            "body": self.body,
        }

    def group(self, members: list[Item]) -> None:
        """Append the instruction of a group."""
        if members[0].kind == "opaque":
            item = members[0]
            self.instructions.append(self.opaque.get(item.node.op.family, self.call)(item))
            self.nodes.append((item.node,))
            return
        loop = LoopWriter(self, members)
        if loop.stores or loop.reduces:
            self.instructions.append(loop.instruction())
            self.nodes.append(tuple(loop.nodes))

    # --- memory ---

    def number(self, source: Source) -> int:
        """The number of the storage that holds a source."""
        found = self.numbers.get(source)
        if found is None:
            passed = [source]
            while passed[-1] in self.successors:
                passed.append(self.successors[passed[-1]])
            last = passed[-1]
            found = self.numbers.get(last, -1)
            if found < 0:
                found = len(self.storages)
                kind = "output" if last.is_output else "temporary" if last.is_computed else last.kind
                shape = last.output_shape if last.is_output else last.shape
                strides = contiguous_strides(shape) if last.is_computed else last.strides
                self.storages.append(Storage(kind, last.dtype, shape, strides, last.index))
            self.numbers.update(dict.fromkeys(passed, found))
        return found

    def view(self, operand: Value) -> View:
        assert operand.source is not None
        return View(self.number(operand.source), operand.offset, operand.strides)

    def place(self, item: Item) -> View:
        """The memory that an item writes."""
        parent = item.target.parent
        if parent is not None:
            target, offset, strides = parent
            if item.kind != "opaque":
                strides = squeezed_strides(item.target.shape, strides)
            return View(self.number(target), offset, strides)
        return View(self.number(item.target), item.offset, item.strides)

    def places(self, item: Item) -> list[View]:
        """The memory of each output of an opaque item."""
        found = []
        for source in item.targets:
            target, offset, strides = source.parent or (source, 0, source.strides)
            found.append(View(self.number(target), offset, strides))
        return found

    # --- opaque items ---

    def matmul(self, item: Item) -> MatMul:
        *batch, m, n = item.domain
        a, b = map(self.view, item.operands)
        k = item.node.inputs[0].type.known_shape[-1]
        dtype, out = item.node.type.dtype, self.place(item)
        return MatMul(dtype, tuple(batch), m, n, k, a, b, out, 1.0, item.accumulate, line_of(item.node))

    def gather(self, item: Item) -> Gather:
        source, *indices = map(self.view, item.operands)
        shape = item.node.inputs[0].type.known_shape
        out, line = self.place(item), line_of(item.node)
        return Gather(item.domain, source, shape, len(indices), tuple(indices), out, line)

    def scatter(self, item: Item) -> Scatter:
        source, *indices = map(self.view, item.operands)
        common = np.broadcast_shapes(*(node.type.known_shape for node in item.node.inputs[2:]))
        shape = (*common, *item.domain[len(indices) :])
        mode, line = item.node.op.kernel or "add", line_of(item.node)
        return Scatter(shape, self.place(item), item.domain, len(indices), tuple(indices), source, mode, line)

    def cumulative(self, item: Item) -> Cumulative:
        kind, axis = item.node.op.kernel or "", item.node.params["axis"]
        source, out = self.view(item.operands[0]), self.place(item)
        return Cumulative(kind, item.domain, axis, source, out, line_of(item.node))

    def argreduce(self, item: Item) -> ArgReduce:
        kind, axis = item.node.op.kernel or "", item.node.params["axis"]
        shape, out = item.node.inputs[0].type.known_shape, self.place(item)
        if item.node.params.get("keepdims"):
            out = View(out.buffer, out.offset, out.strides[:axis] + out.strides[axis + 1 :])
        return ArgReduce(kind, shape, axis, self.view(item.operands[0]), out, line_of(item.node))

    def call(self, item: Item) -> Call:
        node = item.node
        function = partial(node.op.evaluate, **node.params) if node.params else node.op.evaluate
        shapes = [inner.type.known_shape for inner in node.inputs]
        inputs = tuple(zip(map(self.view, item.operands), shapes, strict=True))
        outputs = zip(self.places(item), (own.known_shape for own in node.types), strict=True)
        kernel = node.op.call_kernel(**node.params) if node.op.call_kernel is not None else ""
        return Call(function, inputs, tuple(outputs), line_of(node), kernel)

    # --- programs within ---

    def scratch(self, dtype: np.dtype[Any], shape: Ints) -> View:
        """Memory that one instruction uses and nobody else reads."""
        strides = contiguous_strides(shape)
        self.storages.append(Storage("temporary", dtype, shape, strides, -1))
        return View(len(self.storages) - 1, 0, strides)

    def arena(self, *programs: Program) -> View | None:
        """The arena of programs of which one runs at a time."""
        size = max(program.arena for program in programs)
        return self.scratch(np.dtype(np.uint8), (size,)) if size else None

    def scan(self, item: Item) -> Scan:
        node = item.node
        frame, body = node.params["frame"], node.params["body"]
        counted = self.view(item.operands[-1]) if frame.counted else None
        rows = [self.view(operand) for operand in item.operands[: frame.sequences]]
        fixed = [self.view(operand) for operand in item.operands[frame.sequences : len(item.operands) - frame.counted]]
        made = frame.results(self.places(item))
        layouts = [(node.type.known_shape, contiguous_strides(node.type.known_shape)) for node in body.inputs]
        for number, view in enumerate(rows):
            layouts[number] = (layouts[number][0], view.strides[1:])
        for number, view in enumerate(fixed, len(layouts) - len(fixed)):
            layouts[number] = (layouts[number][0], view.strides)
        program = self.lower(body, layouts)
        sources = [Window(view, frame.reverse) for view in rows]
        targets = []
        for history, initial, lags in zip(made.states, frame.arguments(node.inputs).initials, frame.lags, strict=True):
            length, row = initial.type.known_shape[0], history.strides[0]
            sources += [Window(history._replace(offset=(length - lag) * row)) for lag in lags]
            targets.append(Window(history._replace(offset=length * row)))
        carries = []
        for view, own in zip(made.carries, frame.results(body.outputs).carries, strict=True):
            pair = (len(sources), len(targets))
            program, spare = self.carried(program, pair, view, own)
            carries.append(pair)
            sources.append(Window(still(view)))
            targets.append(Window(still(spare)))
        sources += [Window(still(view)) for view in fixed]
        targets += [Window(view, frame.reverse) for view in made.outputs]
        stop = len(targets) if frame.until else -1
        if frame.until:
            targets.append(Window(still(self.scratch(np.dtype(bool), ()))))
        arena = self.arena(program)
        windows = (tuple(sources), tuple(targets), tuple(carries))
        return Scan(program, frame.steps, *windows, stop, arena, counted, made.last, line_of(node))

    def body(self, item: Item) -> Scan:
        """A body that runs once: a loop of one step."""
        node = item.node
        sources = list(map(self.view, item.operands))
        shapes = [inner.type.known_shape for inner in node.inputs]
        program = self.lower(node.params["body"], [(s, view.strides) for s, view in zip(shapes, sources, strict=True)])
        read = tuple(Window(still(view)) for view in sources)
        written = tuple(Window(still(view)) for view in self.places(item))
        return Scan(program, 1, read, written, (), arena=self.arena(program), line=line_of(node))

    def carried(
        self, program: LoweredProgram, pair: tuple[int, int], home: View, own: Node
    ) -> tuple[LoweredProgram, View]:
        """The memory of the new value of a carry, that of the old one if it can be, and the program that makes it."""
        if is_in_place(program, *pair):
            return without_copies(program, *pair), home
        return program, self.scratch(own.dtype, own.type.known_shape)

    def while_loop(self, item: Item) -> While:
        node = item.node
        frame, condition = node.params["frame"], node.params["condition"]
        fixed = list(map(self.view, item.operands))
        homes, _ = frame.by_sweep(self.places(item))

        def lowered(body: Graph) -> LoweredProgram:
            shapes = [node.type.known_shape for node in body.inputs]
            strides = list(map(contiguous_strides, shapes))
            strides[len(shapes) - len(fixed) :] = [view.strides for view in fixed]
            return self.lower(body, list(zip(shapes, strides, strict=True)))

        sweeps = []
        for number, body in enumerate(frame.bodies(node.params)):
            program, carries = lowered(body), []
            for place, (home, own) in enumerate(zip(homes[number], body.outputs, strict=False)):
                program, spare = self.carried(program, (place, place), home, own)
                carries.append((home, spare))
            sweeps.append(Sweep(program, tuple(carries), frame.backward[number]))
        asked = lowered(condition)
        arena = self.arena(asked, *(sweep.program for sweep in sweeps))
        return While(asked, tuple(sweeps), tuple(fixed), arena, line_of(node))

    def branch(self, item: Item) -> Branch:
        node = item.node
        predicate, *operands = map(self.view, item.operands)
        shapes = [inner.type.known_shape for inner in node.inputs[1:]]
        layouts = [(shape, view.strides) for shape, view in zip(shapes, operands, strict=True)]
        programs = (self.lower(node.params["then"], layouts), self.lower(node.params["otherwise"], layouts))
        targets = tuple(self.places(item))
        return Branch(predicate, programs, tuple(operands), targets, self.arena(*programs), line_of(node))


def still(view: View) -> View:
    """A view that is the same at every step."""
    return View(view.buffer, view.offset, (0, *view.strides))


def line_of(node: Node) -> str:
    """The user's line of a node, as text."""
    return str(node.line) if node.line is not None else ""


class LoopWriter:
    """One loop in the making.

    Registers are known by (bank, number) until all loads and immediates have been seen: bank 0 holds the loads, 1 the
    immediates, 2 the steps.
    """

    def __init__(self, emitter: Emitter, members: list[Item]) -> None:
        self.emitter = emitter
        self.group = members[0].group
        self.shape = members[0].domain
        self.loads: dict[tuple[int, int, Ints], tuple[int, int]] = {}
        self.immediates: dict[tuple[Any, bytes], tuple[int, int]] = {}
        self.scalars: list[np.generic] = []
        self.steps: list[tuple[str, np.dtype[Any], np.dtype[Any], tuple[tuple[int, int], ...]]] = []
        self.stores: list[tuple[tuple[int, int], View]] = []
        self.reduces: list[tuple[str, tuple[int, int], View]] = []
        self.registers: dict[Item, tuple[int, int]] = {}
        self.nodes: list[Node] = []
        for item in self.needed(members):
            self.add(item)

    def needed(self, members: list[Item]) -> list[Item]:
        """The members without maps that are only computed again elsewhere."""
        wanted: set[Item] = set()
        for item in reversed(members):
            if item.kind != "map" or item.target.stored or item in wanted:
                wanted.add(item)
                wanted.update(maker for maker in item.direct if maker is not None)
        return [item for item in members if item in wanted]

    def add(self, item: Item) -> None:
        registers = tuple([self.register(item, place) for place in range(len(item.operands))])
        self.nodes.append(item.node)
        if item.kind == "map":
            self.registers[item] = self.step(item, registers)
            if item.target.stored and item.group == self.group:
                self.stores.append((self.registers[item], self.emitter.place(item)))
        elif item.kind == "write":
            view = self.emitter.place(item)
            register = registers[0]
            if item.accumulate:
                registers = (self.load(view), register)
            if len(registers) == 2:
                dtype = item.target.dtype
                self.steps.append(("add", dtype, dtype, registers))
                register = (2, len(self.steps) - 1)
            self.stores.append((register, view))
        else:
            self.reduces.append((item.node.op.kernel or "", registers[0], self.reduced(item)))

    def step(self, item: Item, registers: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        node = item.node
        dtype = node.inputs[-1].type.dtype
        self.steps.append((node.op.kernel or "", dtype, node.type.dtype, registers))
        return 2, len(self.steps) - 1

    def register(self, item: Item, place: int) -> tuple[int, int]:
        """The register that holds an operand."""
        operand, maker = item.operands[place], item.direct[place]
        if maker is not None:
            found = self.registers.get(maker)
            if found is not None:
                return found
            if maker.again:
                self.add(maker)
                return self.registers[maker]
        if operand.source is None:
            return self.immediate(operand.scalar)
        return self.load(self.emitter.view(operand))

    def load(self, view: View) -> tuple[int, int]:
        return self.loads.setdefault((view.buffer, view.offset, view.strides), (0, len(self.loads)))

    def immediate(self, scalar: Any) -> tuple[int, int]:
        key = (scalar.dtype, scalar.tobytes())
        found = self.immediates.get(key)
        if found is None:
            found = self.immediates[key] = (1, len(self.scalars))
            self.scalars.append(scalar)
        return found

    def reduced(self, item: Item) -> View:
        """The target of a reduction over the whole domain, with stride 0 along what is reduced."""
        view, node = self.emitter.place(item), item.node
        axes, strides = node.params["axes"], iter(view.strides)
        spread = [
            0 if axis in axes else next(strides)
            for axis, size in enumerate(node.inputs[0].type.known_shape)
            if size != 1
        ]
        return View(view.buffer, view.offset, tuple(spread))

    def instruction(self) -> Loop:
        first = (0, len(self.loads), len(self.loads) + len(self.scalars))
        return Loop(
            self.shape,
            tuple([View(*key) for key in self.loads]),
            tuple(self.scalars),
            tuple(
                [
                    Step(kernel, dtype, out, tuple([first[bank] + number for bank, number in registers]))
                    for kernel, dtype, out, registers in self.steps
                ]
            ),
            tuple([Store(first[bank] + number, view) for (bank, number), view in self.stores]),
            tuple([Reduce(kind, first[bank] + number, view) for kind, (bank, number), view in self.reduces]),
            line_of(self.nodes[-1]),
        )
