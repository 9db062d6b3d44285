"""Writes instructions: loops from groups of items, one instruction for each opaque item, views from operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.lower.items import Ints, Item, Source, Value, squeezed_strides
from tracer.lower.program import (
    ArgReduce,
    Call,
    Cumulative,
    Gather,
    Instruction,
    Loop,
    MatMul,
    Reduce,
    Scatter,
    Step,
    Store,
    View,
)
from tracer.types import contiguous_strides


@dataclass
class Storage:
    """A buffer of the program before it has its place: as `program.Buffer`."""

    kind: str
    dtype: np.dtype[Any]
    shape: Ints
    strides: Ints
    index: int


class Emitter:
    """Collects instructions, the storages they use, and the nodes each of them computes."""

    def __init__(self, sources: Iterable[Source]) -> None:
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
        return Call(function, inputs, ((self.place(item), item.domain),), line_of(node))


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
