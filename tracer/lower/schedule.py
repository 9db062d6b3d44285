"""Lowering from end to end: a graph of known shapes becomes a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tracer.graph.graph import Graph
from tracer.lower.build import Builder, HasKernel, Layout
from tracer.lower.emit import Emitter, Made, line_of
from tracer.lower.fuse import choose_stored, form_groups, share_memory, sink
from tracer.lower.items import Item, Source
from tracer.lower.memory import plan
from tracer.lower.program import Buffer, LoweredProgram


def lower(
    graph: Graph,
    layouts: Sequence[Layout] | None = None,
    has_kernel: HasKernel | None = None,
    adapt: Callable[[Made], Made] | None = None,
) -> LoweredProgram:
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
    adapt : callable, optional
        Changes programs, also those within, before their memory is planned.

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
    emitter = Emitter(work.sources, partial(lower, has_kernel=has_kernel, adapt=adapt))
    for source in work.arguments:
        emitter.number(source)
    finder = Dependencies(groups)
    for number in free_early(finder, order_groups(finder, work.outputs), work.outputs):
        emitter.group(groups[number])
    for source in work.outputs:
        emitter.number(source)
    made = Made(emitter.storages, emitter.instructions, emitter.nodes)
    if adapt is not None:
        made = adapt(made)
    offsets, arena = plan(made.storages, made.instructions)
    buffers = tuple(
        Buffer(item.kind, item.dtype, item.shape, item.strides, max(item.index, 0), offsets.get(number, 0))
        for number, item in enumerate(made.storages)
    )
    line = line_of(graph.outputs[0]) if graph.outputs else ""
    return LoweredProgram(
        buffers,
        tuple(work.arrays),
        tuple(made.instructions),
        arena,
        len(work.outputs),
        line,
        tuple(made.nodes),
    )


def order_groups(finder: Dependencies, outputs: Sequence[Source]) -> list[int]:
    """Order groups by need, depth first, so that what is computed is used soon; what nothing needs is left out."""
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


def free_early(finder: Dependencies, order: Sequence[int], outputs: Sequence[Source]) -> list[int]:
    """Bring forward, in an order of groups, those that free more memory than they take, to where they can first run.

    Gradients of several variables would otherwise wait for one another, and keep for that what they read.
    """
    waiting = {number: len(finder.of(number)) for number in order}
    users: dict[int, list[int]] = {number: [] for number in order}
    memory = Memory(outputs)
    for number in order:
        memory.enter(number, finder.groups[number])
        for earlier in finder.of(number):
            users[earlier].append(number)
    found: dict[int, None] = {}
    for first in order:
        queue = [first] if first not in found else []
        while queue:
            number = queue.pop()
            if number in found:
                continue
            found[number] = None
            candidates = memory.run(number)
            for user in users[number]:
                waiting[user] -= 1
                candidates.append(user)
            queue += [item for item in candidates if not waiting[item] and memory.gain(item) > 0]
    return list(found)


class Memory:
    """What groups mention in the arena, while they run one after another.

    Attributes
    ----------
    mentioned : dict
        By group, the sources whose memory it reads or writes.
    left : dict
        By source, how many groups that mention it are still to run, and the sum of their numbers: the last one's own.
    """

    def __init__(self, outputs: Sequence[Source]) -> None:
        self.homes: dict[Source, Source] = {}
        self.outputs = frozenset(map(self.home, outputs))
        self.mentioned: dict[int, list[Source]] = {}
        self.left: dict[Source, list[int]] = {}
        self.started: set[Source] = set()

    def enter(self, number: int, members: list[Item]) -> None:
        """Note what a group mentions."""
        sources: dict[Source, None] = {}
        for item in members:
            self.read(item, number, sources)
            if item.kind != "map" or item.target.stored:
                sources.update(dict.fromkeys(map(self.home, item.targets)))
        kept = [source for source in sources if source.is_computed and source not in self.outputs]
        self.mentioned[number] = kept
        for source in kept:
            left = self.left.setdefault(source, [0, 0])
            left[0] += 1
            left[1] += number

    def read(self, item: Item, number: int, sources: dict[Source, None]) -> None:
        """Add what an item reads from memory, and what is computed again for it."""
        for operand, maker in zip(item.operands, item.direct, strict=True):
            if maker is not None and maker.group == number:
                continue
            if maker is not None and maker.again:
                self.read(maker, number, sources)
            elif operand.source is not None:
                sources[self.home(operand.source)] = None

    def home(self, source: Source) -> Source:
        """The source whose memory another one lives in."""
        passed: list[Source] = []
        while source not in self.homes:
            passed.append(source)
            if source.parent is None and source.base is None:
                self.homes[source] = source
            else:
                source = source.parent[0] if source.parent is not None else source.base  # type: ignore[assignment]
        found = self.homes[source]
        self.homes.update(dict.fromkeys(passed, found))
        return found

    def gain(self, number: int) -> int:
        """The bytes that running a group now frees, less those that it takes."""
        gain = 0
        for source in self.mentioned[number]:
            if source not in self.started:
                gain -= source.nbytes if self.left[source][0] > 1 else 0
            elif self.left[source][0] == 1:
                gain += source.nbytes
        return gain

    def run(self, number: int) -> list[int]:
        """Count a group as run; returns the groups that are now the only ones left to mention some source."""
        last = []
        for source in self.mentioned[number]:
            self.started.add(source)
            left = self.left[source]
            left[0] -= 1
            left[1] -= number
            if left[0] == 1:
                last.append(left[1])
        return last


class Dependencies:
    """Which groups must run before a group."""

    def __init__(self, groups: list[list[Item]]) -> None:
        self.groups = groups
        self.layers: dict[tuple[int, int], dict[int, None]] = {}
        self.found: dict[int, list[int]] = {}

    def of(self, number: int) -> list[int]:
        if number not in self.found:
            self.found[number] = self.find(number)
        return self.found[number]

    def find(self, number: int) -> list[int]:
        found: dict[int, None] = {}
        for item in self.groups[number]:
            self.read(item, number, found)
            if item.after:
                found.update(self.before(item))
        found.pop(number, None)
        return sorted(found, key=self.is_fill)  # what waits for nothing need not come, and take memory, early

    def is_fill(self, number: int) -> bool:
        """Whether a group only writes scalars."""
        return all(operand.source is None for item in self.groups[number] for operand in item.operands)

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
