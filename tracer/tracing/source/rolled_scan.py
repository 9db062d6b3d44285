"""The scan that a rolled loop becomes: from the body's nodes to sequences, states and outputs.

Arrays that are read at a row of each step become sequences. Those that are written at a row of each step become states,
of which a step may read the rows written some steps before, or outputs where nothing of what was written is read: a
derivative then need not keep the whole array for every step. Anything else is carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracer.graph.body import Frame, close, free_values
from tracer.graph.graph import depends_on, substitute, toposort
from tracer.graph.looping import SINGULAR
from tracer.graph.node import Node, constant, input_node, item_nodes, make_node
from tracer.graph.op import OPS
from tracer.ops.indexing import GATHER, SCATTER_SET
from tracer.ops.scan import SCAN
from tracer.records import NamedTuple
from tracer.tracing.source.rolled_parts import of_whole_rows
from tracer.types import ArrayType

_LARGE = 1 << 12
"""Elements of an array that is not worked on again and again for nothing."""
LONGEST_SEQUENCE = 1 << 16
"""Steps up to which the numbers of the steps are read from an array; a longer loop counts them."""
LARGEST_STACK = 1 << 26
"""Bytes that the elements of all steps may take for the sake of reading them from an array."""


class Handed(NamedTuple):
    """What a step hands on to the next: what stands for it in the body, its first value and its new one."""

    node: Node
    initial: Node
    result: Node


class Written(NamedTuple):
    """An array of which each step writes the row at a position of its own, and reads none that it has not yet written.

    Attributes
    ----------
    places : range
        The row of each step.
    axes : tuple of int
        In which order of the array's axes the rows come first.
    value : Node
        The row that a step writes.
    reads : dict
        Nodes of the body that read a row, and how many steps before it was written; 0 or less: it is not written yet.
    """

    handed: Handed
    places: range
    axes: tuple[int, ...]
    value: Node
    reads: dict[Node, int]


def is_one_pass(handed: Sequence[Handed], outputs: Sequence[Node], tables: Mapping[Node, Any]) -> bool:
    """Whether steps do nothing to large arrays but treat each of their elements alone.

    Unrolled, they are one pass over these arrays, and what two steps in a row compute both is computed once.
    """
    heads = [*(item.result for item in handed), *outputs]
    varying = depends_on(heads, [*(item.node for item in handed), *tables])
    large = [node for node in varying if not node.has_items and node.type.size >= _LARGE]
    return bool(large) and all(node.op.family in ("leaf", "elementwise") for node in large)


def build(
    handed: Sequence[Handed], outputs: Sequence[Node], tables: Mapping[Node, Any], steps: int
) -> tuple[list[Node], list[Node]]:
    """Make the scan of a body; gives the last values of what is handed on, and the outputs, stacked."""
    heads = of_whole_rows([*(item.result for item in handed), *outputs], tables)
    handed = [item._replace(result=head) for item, head in zip(handed, heads, strict=False)]
    outputs = heads[len(handed) :]
    made = _Draft(steps, tables)
    rest: list[Handed] = []
    written: list[Written] = []
    users = _users([item.result for item in handed], outputs)
    for item in handed:
        found = _written_by_row(item, users, tables)
        if found is None:
            rest.append(item)
        else:
            written.append(found)
    heads = (*(item.value for item in written), *(item.result for item in rest), *outputs)
    varying = depends_on(heads, [*(item.node for item in handed), *tables])
    own = {item.node for item in handed}
    for array in written:
        made.write(array)
    made.read_rows(heads, depends_on(heads, list(own)), varying)
    made.carries += rest
    return made.finish(handed, written, outputs)


def may_hide_zeros(handed: Sequence[Handed], outputs: Sequence[Node], tables: Mapping[Node, Any]) -> bool:
    """Whether a derivative may no longer see that it is zero where something else was chosen.

    That matters where it goes on to a function with an infinite slope: 0 * inf is NaN. Within a body it is seen.
    """
    heads = [*(item.result for item in handed), *outputs]
    own = {item.node for item in handed}
    inside = depends_on(heads, [*own, *tables])
    is_singular = any(node.op.name in SINGULAR for node in inside)
    for choice in inside:
        if choice.op.name != "where":
            continue
        pending, seen = list(choice.inputs[1:]), set[Node]()
        while pending:
            node = pending.pop()
            if node in seen or node.is_constant:
                continue
            seen.add(node)
            if node in own:
                if is_singular:
                    return True
            elif node not in inside:
                if any(item.op.name in SINGULAR for item in toposort([node])):
                    return True
            elif node.op.family in ("elementwise", "view", "gather", "assemble"):
                pending += node.inputs
    return False


def _users(results: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, list[Node]]:
    users: dict[Node, list[Node]] = {}
    for node in toposort([*results, *outputs]):
        for item in node.inputs:
            users.setdefault(item, []).append(node)
    for node in (*results, *outputs):
        users.setdefault(node, []).append(node)  # as a result
    return users


def _turned(node: Node) -> tuple[Node, tuple[int, ...]]:
    """What a node is a transpose of, and the order of the axes."""
    axes = tuple(range(len(node.shape)))
    while node.op.name == "transpose":
        axes = tuple(node.params["axes"][axis] for axis in axes)
        node = node.inputs[0]
    return node, axes


def _written_by_row(item: Handed, users: Mapping[Node, Sequence[Node]], tables: Mapping[Node, Any]) -> Written | None:
    """How each step writes a row of an array, if it does no more than that and reads rows at like positions."""
    write, back = _turned(item.result)
    if write.op is not SCATTER_SET or len(write.inputs) != 3:
        return None
    base, axes = _turned(write.inputs[0])
    places = tables.get(write.inputs[2])
    if base is not item.node or not isinstance(places, range) or not places.step:
        return None
    if tuple(axes[axis] for axis in back) != tuple(range(len(axes))) or item.result.type != item.initial.type:
        return None
    row = ArrayType(item.node.dtype, tuple(item.node.shape[axis] for axis in axes[1:]))
    if write.inputs[1].type != row or not _only_leads_to(write, item.result, users):
        return None
    reads: dict[Node, int] = {}
    if not _find_reads(item.node, axes, write, places, users, tables, reads):
        return None
    if write.inputs[1] in (item.node, write):
        return None
    return Written(item, places, axes, write.inputs[1], reads)


def _only_leads_to(write: Node, result: Node, users: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether what was written is nothing but the result."""
    node = write
    while node is not result:
        found = users[node]
        if len(found) != 1 or found[0].op.name != "transpose":
            return False
        node = found[0]
    return users[result] == [result]


def _find_reads(
    node: Node,
    axes: tuple[int, ...],
    write: Node,
    places: range,
    users: Mapping[Node, Sequence[Node]],
    tables: Mapping[Node, Any],
    reads: dict[Node, int],
) -> bool:
    """Find who reads rows of an array before it is written; False if somebody reads anything else."""
    for user in users.get(node, ()):
        if user is write:
            continue
        if user.op.name == "transpose":
            if not _find_reads(user, axes, write, places, users, tables, reads):
                return False
            continue
        source, own = _turned(user.inputs[0]) if user.inputs else (user, ())
        at = tables.get(user.inputs[1]) if len(user.inputs) == 2 else None
        if user.op is not GATHER or own != axes or not isinstance(at, range) or at.step != places.step:
            return False
        if user.inputs[1] is node or source is user:
            return False
        distance, odd = divmod(places.start - at.start, places.step)
        reads[user] = 0 if odd else distance
    return True


@dataclass
class _Draft:
    """The inputs of the scan, and what stands for them in the body."""

    steps: int
    tables: Mapping[Node, Any]
    sequences: list[tuple[Node, Node]] = field(default_factory=list)
    states: list[tuple[list[Node], list[int], Node, Node]] = field(default_factory=list)
    carries: list[Handed] = field(default_factory=list)
    replaced: dict[Node, Node] = field(default_factory=dict)
    rows: list[tuple[str, int]] = field(default_factory=list)
    values: list[Node] = field(default_factory=list)

    def sequence(self, stacked: Node) -> Node:
        """What stands for a row of an array."""
        slot = input_node(ArrayType(stacked.dtype, stacked.shape[1:]))
        self.sequences.append((slot, stacked))
        return slot

    def write(self, item: Written) -> None:
        """Make a state of an array if rows are read that were written, and else an output of the rows."""
        initial = _transposed(item.handed.initial, item.axes)
        places, steps = item.places, self.steps
        lags = sorted({lag for lag in item.reads.values() if lag > 0})
        for node, lag in item.reads.items():
            if lag <= 0:
                at = self.tables[node.inputs[1]]
                self.replaced[node] = self.sequence(_rows(initial, at))
        if lags and lags[-1] > steps:
            lags = []
            for node in item.reads:
                self.replaced.setdefault(node, self.sequence(_rows(initial, self.tables[node.inputs[1]])))
        if not lags:
            self.rows.append(("output", len(self.values)))
            self.values.append(item.value)
            return
        before = range(places.start - lags[-1] * places.step, places.start, places.step)
        taps = [input_node(item.value.type) for _ in lags]
        for node, lag in item.reads.items():
            if lag > 0:
                self.replaced[node] = taps[lags.index(lag)]
        self.rows.append(("state", len(self.states)))
        self.states.append((taps, lags, _rows(initial, before), item.value))

    def read_rows(self, heads: Sequence[Node], handed_on: set[Node], varying: set[Node]) -> None:
        """Read elements at positions of each step from arrays that are the same at every step as sequences."""
        for node in toposort(heads):
            if node.op is not GATHER or node in self.replaced or node.inputs[0] in varying:
                continue
            source, *indices = node.inputs
            tables = [self.tables.get(index) for index in indices]
            if any(table is None and not index.is_constant for table, index in zip(tables, indices, strict=True)):
                continue
            if len(indices) == 1 and isinstance(tables[0], range):
                self.replaced[node] = self.sequence(_rows(source, tables[0]))
            elif self.steps * node.type.size * node.dtype.itemsize <= LARGEST_STACK:
                depth = max(len(index.shape) for index in indices)
                stacked = [_stacked_index(index, table, depth) for index, table in zip(indices, tables, strict=True)]
                self.replaced[node] = self.sequence(make_node(GATHER, (source, *stacked)))

    def count(self, used: set[Node]) -> None:
        """Hand the body the numbers that it computes with."""
        lines = [node for node in self.tables if node in used and isinstance(self.tables[node], range)]
        if lines and self.steps > LONGEST_SEQUENCE:
            one, zero = constant(1, np.dtype(np.int64)), constant(0, np.dtype(np.int64))
            counter = input_node(one.type)
            self.carries.append(Handed(counter, zero, make_node(OPS["add"], (counter, one))))
            for node in lines:
                values = self.tables[node]
                scaled = make_node(OPS["multiply"], (counter, constant(values.step, one.dtype)))
                self.replaced[node] = make_node(OPS["add"], (scaled, constant(values.start, one.dtype)))
        for node, values in self.tables.items():
            if node in used and node not in self.replaced:
                self.sequences.append((node, constant(np.asarray(values))))

    def finish(
        self, handed: Sequence[Handed], written: Sequence[Written], outputs: Sequence[Node]
    ) -> tuple[list[Node], list[Node]]:
        """Make the scan, and from what it gives the new values."""
        own = len(self.carries)
        heads = [*(state[3] for state in self.states), *(carry.result for carry in self.carries)]
        heads = list(substitute([*heads, *self.values, *outputs], self.replaced))
        self.replaced = {}
        self.count(set(toposort(heads)))
        middle = len(self.states) + own
        heads[middle:middle] = [carry.result for carry in self.carries[own:]]
        heads = list(substitute(heads, self.replaced))
        slots = [slot for slot, _ in self.sequences]
        slots += [tap for taps, *_ in self.states for tap in taps]
        slots += [carry.node for carry in self.carries]
        free = free_values(heads, slots)
        body = close([*slots, *free], heads)
        lags = tuple(tuple(state[1]) for state in self.states)
        sizes = (len(self.sequences), lags, len(self.carries), len(self.values) + len(outputs))
        outer = [stacked for _, stacked in self.sequences] + [state[2] for state in self.states]
        outer += [carry.initial for carry in self.carries] + free
        made = make_node(SCAN, tuple(outer), {"body": body, "frame": Frame(self.steps, *sizes)})
        histories, carried, stacked, _ = made.params["frame"].results(list(item_nodes(made)))
        found = {carry.node: value for carry, value in zip(self.carries, carried, strict=True)}
        for item, (kind, place) in zip(written, self.rows, strict=True):
            rows = histories[place] if kind == "state" else stacked[place]
            size = rows.type.known_shape[0]
            found[item.handed.node] = _put_rows(item, _rows(rows, range(size - self.steps, size)))
        return [found[item.node] for item in handed], list(stacked[len(self.values) :])


def _stacked_index(index: Node, table: Any, depth: int) -> Node:
    """An index of all steps: with an axis of the steps before its own, and those that it has fewer than another."""
    if table is None:
        return index
    array = np.asarray(table)
    return constant(array.reshape(array.shape[0], *(1,) * (depth - array.ndim + 1), *array.shape[1:]))


def _transposed(node: Node, axes: tuple[int, ...]) -> Node:
    return node if axes == tuple(range(len(axes))) else make_node(OPS["transpose"], (node,), {"axes": axes})


def _rows(node: Node, places: range) -> Node:
    """The rows of an array at positions in even distances."""
    shape = node.type.known_shape
    if places == range(shape[0]):
        return node
    step = places.step if len(places) > 1 else 1
    index = ((places.start, len(places), step), *((0, size, 1) for size in shape[1:]))
    return make_node(OPS["slice"], (node,), {"index": index})


def _put_rows(item: Written, rows: Node) -> Node:
    """The array with the rows that the steps wrote."""
    initial = _transposed(item.handed.initial, item.axes)
    if item.places != range(initial.type.known_shape[0]):
        step = item.places.step if len(item.places) > 1 else 1
        sizes = ((0, size, 1) for size in initial.type.known_shape[1:])
        index = ((item.places.start, len(item.places), step), *sizes)
        rows = make_node(OPS["slice_set"], (initial, rows), {"index": index})
    return _transposed(rows, tuple(int(axis) for axis in np.argsort(item.axes)))
