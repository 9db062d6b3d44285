"""What an iteration of a loop hands on to the next, found by running its body, and undone each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracer.graph.node import Node, input_node
from tracer.records import NamedTuple
from tracer.tracing import layout, trace
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tracing.source.rolled_numbers import RolledInt, RolledNumber, Steps
from tracer.tracing.source.rolled_rows import Row
from tracer.tracing.source.rolled_scan import Handed
from tracer.tracing.trace import note_write
from tracer.tracing.weak import WeakFloat
from tracer.tree import Structure, flatten, unflatten
from tracer.types import type_of

_MOST_APPENDED = 16
"""Values that a step may append to a list."""
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


class Missing:
    """Stands for a value that is not there."""


class Leaf:
    """One value that is handed on: an array, a Python float, or an int that grows by the same each step.

    Attributes
    ----------
    kind : str
        "same" while nothing else is known.
    before, stand_in, after : object
        The first value, what stands for it in the body, and what the body leaves.
    result : Node or None
        What the body leaves, if it is traced.
    """

    def __init__(self, before: Any) -> None:
        self.before, self.kind, self.step = before, "same", 0
        self.stand_in: Any = before
        self.node: Node | None = None
        self.after: Any = before
        self.result: Node | None = None

    def enter(self, steps: Steps) -> None:
        """Make what stands for the value in the next pass."""
        if self.kind == "array":
            self.node = input_node(unwrap(self.before).type)
            self.stand_in = wrap(self.node, trace.current())
            self.stand_in._is_array = getattr(self.before, "_is_array", None) or isinstance(self.before, np.ndarray)
            self.stand_in._is_array = self.stand_in._is_array or None
            self.stand_in._strides = layout.turned_strides(self.before)
        elif self.kind == "float":
            self.node = input_node(type_of(np.zeros(())))
            self.stand_in = WeakFloat(self.node, frozenset())
        elif self.kind == "int":
            values = range(self.before, self.before + self.step * steps.count, self.step)
            self.stand_in = steps.number(values)
        else:
            self.stand_in = self.before

    def settle(self, steps: Steps) -> bool:
        """Whether what the body leaves is of the kind that it was given; if not, change the kind or refuse."""
        before, after = self.before, self.after
        if self.kind == "same":
            if after is before or (
                type(after) in _SIMPLE and type(after) is type(before) and repr(after) == repr(before)
            ):
                return True
            if _is_array(before) and _is_array(after):
                self.kind = "array"
            elif type(before) in (float, WeakFloat) and (type(after) is float or _is_float(after)):
                self.kind = "float"
            elif type(before) is int and type(after) in (int, RolledInt):
                first = after if type(after) is int else after.values[0]
                self.kind, self.step = "int", first - before
                if not self.step:
                    steps.refuse()
            else:
                steps.refuse()
            return False
        if self.kind == "array":
            same = _is_array(after) and unwrap(after).type == unwrap(before).type
            if not same or layout.turned_strides(after) != layout.turned_strides(before):
                steps.refuse()
        elif self.kind == "float":
            if not (type(after) is float or _is_float(after)):
                steps.refuse()
        elif not self._goes_on(steps):
            steps.refuse()
        return True

    def _goes_on(self, steps: Steps) -> bool:
        start = self.before + self.step
        wanted = range(start, start + self.step * steps.count, self.step)
        return type(self.after) is RolledInt and self.after.steps is steps and self.after.values == wanted

    def handed(self) -> list[Handed]:
        """What the loop carries of it."""
        if self.kind == "array" and self.node is not None:
            return [Handed(self.node, unwrap(self.before), self.result or unwrap(self.after))]
        if self.kind == "float" and self.node is not None:
            dtype = self.node.dtype
            return [Handed(self.node, unwrap(self.before, dtype), unwrap(self.after, dtype))]
        return []

    def finish(self, values: dict[Node, Node], count: int) -> Any:
        """The value after the last step."""
        if self.kind == "array" and self.node is not None:
            made = wrap(values[self.node], trace.current())
            made._is_array, made._strides = self.stand_in._is_array, self.stand_in._strides
            return made
        if self.kind == "float" and self.node is not None:
            return WeakFloat(values[self.node], frozenset())
        return self.before + self.step * count if self.kind == "int" else self.before


def _is_array(value: Any) -> bool:
    if isinstance(value, Proxy):
        return None not in value.shape
    return type(value) is np.ndarray or isinstance(value, np.generic)


def _is_float(value: Any) -> bool:
    return type(value) is WeakFloat or (isinstance(value, RolledNumber) and value.kind is float)


class Slot:
    """A place that may hold another value after each iteration: a name, an attribute, an item of a container."""

    def __init__(self, holder: Any, kind: str, key: Any, before: Any) -> None:
        self.holder, self.kind, self.key, self.before = holder, kind, key, before
        self.structure: Structure | None = None
        self.leaves = [Leaf(before)]
        self.stand_in: Any = before
        self.value: Any = before
        self._after: Any = before

    def enter(self, steps: Steps) -> None:
        """Make what stands for the value, and put it there."""
        self._steps = steps
        for leaf in self.leaves:
            leaf.enter(steps)
        self.stand_in = self._nest([leaf.stand_in for leaf in self.leaves])
        self.put(self.stand_in)

    def _nest(self, leaves: Sequence[Any]) -> Any:
        if all(leaf.kind == "same" for leaf in self.leaves):
            return self.before
        return leaves[0] if self.structure is None else unflatten(self.structure, list(leaves))

    def put(self, value: Any) -> None:
        """Store a value there; names are stored by the loop itself."""
        if self.kind == "attribute":
            vars(self.holder)[self.key] = value
        elif self.kind == "item":
            self.holder[self.key] = value

    def get(self) -> Any:
        """What is stored there now."""
        if self.kind == "attribute":
            return vars(self.holder).get(self.key, Missing)
        try:
            return self.holder[self.key]
        except (IndexError, KeyError):
            return Missing

    def end(self, value: Any) -> None:
        """Note what the body has left there."""
        self._after = value
        self._results = {id(leaf): leaf.__tracer_node__ for leaf in flatten(value)[0] if isinstance(leaf, Proxy)}

    def settle(self, changes: Changes) -> bool:
        """Whether what the body left is of the kind that it was given."""
        after = self._after
        if after is self.stand_in:
            for leaf in self.leaves:
                leaf.after, leaf.result = leaf.stand_in, None
            found = [self.stand_in is self.before or leaf.settle(self._steps) for leaf in self.leaves]
            return all(found)
        if after is Missing:
            self._steps.refuse()
        if self.structure is None and len(self.leaves) == 1 and type(self.before) in (list, tuple, dict):
            leaves, structure = flatten(self.before)
            self.structure, self.leaves = structure, [Leaf(leaf) for leaf in leaves]
        if self.structure is not None:
            leaves, structure = flatten(after)
            if structure != self.structure:
                self._steps.refuse()
        else:
            leaves = [after]
        for leaf, value in zip(self.leaves, leaves, strict=True):
            leaf.after, leaf.result = value, self._results.get(id(value))
        found = [leaf.settle(self._steps) for leaf in self.leaves]
        for leaf in self.leaves:
            changes.check_view(leaf.after)
            changes.check_view(leaf.before)
        return all(found)

    def handed(self) -> list[Handed]:
        """What the loop carries of it."""
        return [item for leaf in self.leaves for item in leaf.handed()]

    def finish(self, values: dict[Node, Node], count: int) -> None:
        """Leave there what the last step does."""
        self.value = self._nest([leaf.finish(values, count) for leaf in self.leaves])
        self.put(self.value)


class Changes:
    """What one pass has changed of its surroundings, other than names.

    Attributes
    ----------
    arrays : dict
        Traced arrays that were written into, and what they held before.
    appended : dict
        By id the lists that were appended to, with their items before and what was appended.
    places : dict
        By the id of the holder, and its key, the attributes and items that were set, with the values before.
    opaque : dict
        By id what was changed in another way.
    looked_at : set of int
        The ids of lists whose items, or number of items, were read.
    windows : list
        Copies where NumPy makes views, and the arrays that these would look into.
    """

    def __init__(self, active: Any, steps: Steps) -> None:
        self.active, self._steps = active, steps
        self.arrays: dict[Proxy, Node] = {}
        self.appended: dict[int, Appended] = {}
        self.places: dict[tuple[int, str, Any], tuple[Any, Any]] = {}
        self.opaque: dict[int, Any] = {}
        self.looked_at: set[int] = set()
        self.windows: list[tuple[Proxy, Any]] = []
        self._given: dict[Any, Handed] = {}
        self._stand_ins: list[Any] = []

    def again(self) -> Changes:
        """Those of another pass, with what is known by now to be handed on."""
        made = Changes(self.active, self._steps)
        made._given = dict(self._given)
        return made

    # --- what a pass does ---

    def append(self, items: list[Any], value: Any) -> None:
        """Note that a value is about to be appended to a list."""
        self.appended.setdefault(id(items), Appended(items, list(items), [])).values.append((value, _nodes(value)))

    def set(self, holder: Any, kind: str, key: Any, before: Any) -> None:
        """Note that an attribute or an item is about to be set."""
        self.places.setdefault((id(holder), kind, key), (holder, before))

    # --- its beginning and end ---

    def enter(self, slots: Sequence[Slot]) -> None:
        """Let the body compute from what stands for what the step before has left."""
        active = self.active
        for slot in slots:
            slot.enter(self._steps)
        self._stand_ins = [leaf.stand_in for slot in slots for leaf in slot.leaves if leaf.kind == "array"]
        for target, (_, first, _) in list(self._given.items()):
            node = input_node(first.type)
            self._given[target] = Handed(node, first, node)
            _set_node(target, node)
        self._before = {key: stream.current for key, stream in active.streams.items()}
        self._updates, self._escape = dict(active.updates), active.escape
        active.writes.append(self.arrays)

    def leave(self, slots: Sequence[Slot], names: dict[str, Any]) -> None:
        """End the pass: note what it has left, and put back what there was before."""
        active = self.active
        if active.writes.pop() is not self.arrays or active.updates != self._updates:
            self._steps.refuse()
        if active.escape is not self._escape:  # a number was asked for, and the refusal caught
            self._steps.refuse()
        for slot in slots:
            slot.end(names.get(slot.key, Missing) if slot.kind == "name" else slot.get())
        for item in self.appended.values():
            if any(_nodes(value) != nodes for value, nodes in item.values):  # what a list holds was written into
                self._steps.refuse()
        self._streams = self._moved_streams()
        for target, (node, first, _) in list(self._given.items()):
            self._given[target] = Handed(node, first, _node_of(target))
            _set_node(target, first)
        for array, before in self.arrays.items():
            if array not in self._given:
                array._node = before
        for stream, before in self._streams.items():
            stream.current = before
        for item in self.appended.values():
            item.items[:] = item.before
        for (_, kind, key), (holder, before) in self.places.items():
            own = vars(holder) if kind == "attribute" else holder
            if before is Missing:
                own.pop(key, None)
            else:
                own[key] = before

    def _moved_streams(self) -> dict[Any, Node]:
        """Random generators that were drawn from and are not known to be, with their states before."""
        found = {}
        for key, stream in self.active.streams.items():
            before = self._before.get(key, stream.node)
            is_own = key not in self._before and before.is_constant  # made by the body
            if stream not in self._given and stream.current is not before and not is_own:
                found[stream] = before
        return found

    def settle(self, slots: list[Slot], seen: Changes | None) -> bool:
        """Whether all that this pass and the one before have changed is handed on; adds what is not yet.

        What only one of them has changed was made by the body itself.
        """
        if any(array is item for array in self.arrays for item in self._stand_ins):
            self._steps.refuse()
        for part, holder in self.windows:
            self.check_view(holder)
            if part in self.arrays or (isinstance(holder, Proxy) and _root(holder) in self.arrays):
                self._steps.refuse()
        if seen is None:
            return False
        found = {array: before for array, before in self.arrays.items() if array in seen.arrays}
        found = {array: before for array, before in found.items() if array not in self._given}
        if any(hasattr(array, "cell") for array in found):  # shared variables
            self._steps.refuse()
        for target, before in (*found.items(), *self._streams.items()):
            self._given[target] = Handed(before, before, before)
        if not self.opaque.keys().isdisjoint(seen.opaque):
            self._steps.refuse()
        known = {(id(slot.holder), slot.kind, slot.key) for slot in slots}
        new = [key for key in self.places if key in seen.places and key not in known]
        for key in new:
            holder, before = self.places[key]
            if before is Missing:
                self._steps.refuse()
            slots.append(Slot(holder, key[1], key[2], before))
            slots[-1].enter(self._steps)
        self.lists = [item for key, item in self.appended.items() if key in seen.appended]
        for item in self.lists:
            own = id(item.items)
            if own in self.looked_at or own in self.opaque or any(place[0] == own for place in self.places):
                self._steps.refuse()
            for value, _ in item.values:
                for leaf in flatten(value)[0]:
                    self.check_view(leaf)
        return not found and not self._streams and not new

    def check_view(self, value: Any) -> None:
        """Refuse if a value that outlives its step is an array that steps write into, or looks into one."""
        if isinstance(value, Proxy) and _root(value) in self._given:
            self._steps.refuse()

    # --- the loop ---

    def handed(self) -> list[Handed]:
        """Arrays and generators that the loop carries."""
        return list(self._given.values())

    def outputs(self) -> list[Node]:
        """What each step appends to lists."""
        nodes: list[Node] = []
        for item in self.lists:
            if len(item.values) > _MOST_APPENDED:
                self._steps.refuse()
            for value, own in item.values:
                nodes += own
                for leaf in flatten(value)[0]:
                    if not isinstance(leaf, Proxy) and not (isinstance(leaf, RolledNumber) or type(leaf) in _SIMPLE):
                        self._steps.refuse()
        return nodes

    def finish(self, values: dict[Node, Node], stacked: Sequence[Node], count: int) -> None:
        """Leave arrays, generators and lists as the last step does."""
        for target, (node, _, _) in self._given.items():
            if isinstance(target, Proxy):
                note_write(target)
            _set_node(target, values[node])
        rows = iter(stacked)
        for item in self.lists:
            columns = [list(_column(value, rows, count, self.active)) for value, _ in item.values]
            item.items.extend(value for step in zip(*columns, strict=True) for value in step)


class Appended(NamedTuple):
    """A list, its items before a pass, and what the pass has appended, with the nodes that this had then."""

    items: list[Any]
    before: list[Any]
    values: list[tuple[Any, list[Node]]]


def _nodes(value: Any) -> list[Node]:
    return [leaf.__tracer_node__ for leaf in flatten(value)[0] if isinstance(leaf, Proxy)]


def _column(value: Any, rows: Iterator[Node], count: int, owner: Any) -> Iterator[Any]:
    """What each step appends in the place of a value."""
    leaves, structure = flatten(value)
    columns: list[Sequence[Any]] = []
    for leaf in leaves:
        if isinstance(leaf, Proxy):
            whole = next(rows)
            columns.append([Row(whole, number, owner) for number in range(count)])
        else:
            columns.append(leaf.values if isinstance(leaf, RolledNumber) else [leaf] * count)
    if structure.kind == "leaf":
        return iter(columns[0])
    return (unflatten(structure, [column[step] for column in columns]) for step in range(count))


def _root(value: Proxy) -> Proxy:
    """The array that a value looks into, or is."""
    while value._base is not None:
        value = value._base
    return value


def _set_node(target: Any, node: Node) -> None:
    if isinstance(target, Proxy):
        target._node = node
    else:
        target.current = node


def _node_of(target: Any) -> Node:
    node: Node = target.__tracer_node__ if isinstance(target, Proxy) else target.current
    return node
