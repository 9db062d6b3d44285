"""Lowering from end to end: a graph of known shapes becomes a program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tracer.graph.graph import Graph
from tracer.lower.build import Builder, HasKernel, Layout
from tracer.lower.emit import Emitter, line_of
from tracer.lower.fuse import choose_stored, form_groups, share_memory, sink
from tracer.lower.items import Item, Source
from tracer.lower.memory import plan
from tracer.lower.program import Buffer, LoweredProgram


def lower(graph: Graph, layouts: Sequence[Layout] | None = None, has_kernel: HasKernel | None = None) -> LoweredProgram:
    """Turn a graph into a program.

    Parameters
    ----------
    graph : Graph
        With all shapes known. Its inputs are the arguments of the program, its outputs what a run returns, each in a
        fresh C-contiguous array.
    layouts : sequence of (shape, strides)
        Of the arguments, strides in elements; C-contiguous if not given.
    has_kernel : callable
        (kernel, input dtype, output dtype) -> whether the executor has this scalar operation; what it lacks is
        called through NumPy.

    Raises
    ------
    ValueError
        If a shape is not known.
    """
    work = Builder(graph, layouts, has_kernel)
    share_memory(work.candidates)
    items = [item for item in work.items if item.kind != "dead"]
    sink(items)
    groups = form_groups(items)
    choose_stored(items)
    emitter = Emitter(work.sources, partial(lower, has_kernel=has_kernel))
    for source in work.arguments:
        emitter.number(source)
    for number in order_groups(groups, work.outputs):
        emitter.group(groups[number])
    for source in work.outputs:
        emitter.number(source)
    offsets, arena = plan(emitter.storages, emitter.instructions)
    buffers = tuple(
        Buffer(item.kind, item.dtype, item.shape, item.strides, max(item.index, 0), offsets.get(number, 0))
        for number, item in enumerate(emitter.storages)
    )
    line = line_of(graph.outputs[0]) if graph.outputs else ""
    return LoweredProgram(
        buffers,
        tuple(work.arrays),
        tuple(emitter.instructions),
        arena,
        len(work.outputs),
        line,
        tuple(emitter.nodes),
    )


def order_groups(groups: list[list[Item]], outputs: Sequence[Source]) -> list[int]:
    """Order groups by need, depth first, so that what is computed is used soon; what nothing needs is left out."""
    finder = Dependencies(groups)
    order: list[int] = []
    seen: set[int] = set()
    for source in outputs:
        stack = [(iter([maker.group for maker in source.makers]), -1)]
        while stack:
            pending, number = stack[-1]
            for earlier in pending:
                if earlier not in seen:
                    seen.add(earlier)
                    stack.append((iter(finder.of(earlier)), earlier))
                    break
            else:
                stack.pop()
                if number >= 0:
                    order.append(number)
    return order


class Dependencies:
    """Which groups must run before a group."""

    def __init__(self, groups: list[list[Item]]) -> None:
        self.groups = groups
        self.layers: dict[tuple[int, int], dict[int, None]] = {}

    def of(self, number: int) -> list[int]:
        found: dict[int, None] = {}
        for item in self.groups[number]:
            self.read(item, number, found)
            if item.after:
                found.update(self.before(item))
        found.pop(number, None)
        return list(found)

    def read(self, item: Item, number: int, found: dict[int, None]) -> None:
        """Add the groups that make the operands of an item, and of what is computed again for it."""
        for operand, maker in zip(item.operands, item.direct, strict=True):
            if maker is not None and maker.group != number and maker.again:
                self.read(maker, number, found)
            elif operand.source is not None:
                for earlier in operand.source.makers:
                    found[earlier.group] = None

    def before(self, item: Item) -> dict[int, None]:
        """The groups that use the memory an item writes to before it does.

        Readers of the same stage read just what their own writer replaces.
        """
        key = (id(item.after), item.stage)
        found = self.layers.get(key)
        if found is None:
            found = self.layers[key] = {}
            for earlier in item.after:
                if earlier.stage < item.stage:
                    self.settle(earlier, found)
        return found

    def settle(self, item: Item, found: dict[int, None]) -> None:
        found[item.group] = None
        if item.again:
            for user in item.target.users:
                self.settle(user, found)
