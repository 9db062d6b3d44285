"""Python loops that become one loop of the program.

A trace runs the first iterations of a `for` statement as they are. If the rest would record many nodes, the body is run
on what stands for the item of every step, until it is known what an iteration hands on to the next: names, arrays that
are written into, random generators, attributes and items of containers, and lists that are appended to. What the
body then recorded is the body of a loop, and Python goes on with the last iteration, from what that loop left.

Whatever a body does that cannot be the same at every step refuses: the function is traced anew with that loop unrolled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from tracer.errors import Line
from tracer.graph.node import recorded
from tracer.tracing.source import rolled_scan
from tracer.tracing.source.rolled_items import Items, describe
from tracer.tracing.source.rolled_numbers import Refused, Steps
from tracer.tracing.source.rolled_state import Changes, Missing, Slot

FIRST = 2
"""Iterations that Python does before a loop is rolled."""
FEWEST = 16
"""Steps that are worth a loop."""
MOST_NODES = 250
"""Nodes that a loop may record if it is not rolled."""
WORTH_SLOWER = 4000
"""Nodes to be spared for which a call may take longer than unrolled: arrays of a list are put together, for one."""
_MOST_PASSES = 8
Place = tuple[str, int]


class Rolling:
    """The loops of one trace.

    Attributes
    ----------
    refused : collection
        Loops that are to be unrolled, by file and line.
    read : callable
        Reads an item of an array, as `holder[key]` does in rewritten code.
    passes : list of Loop
        Those whose body runs for all steps right now, the outer ones first.
    rolled : list of (Line, int)
        The loops of the program, and their steps.
    last : Place or None
        The loop that refused last.
    """

    def __init__(self, active: Any, refused: Collection[Place], read: Callable[[Any, Any], Any]) -> None:
        self.active, self.refused, self.read = active, refused, read
        self.passes: list[Loop] = []
        self.rolled: list[tuple[Line, int]] = []
        self.last: Place | None = None

    def refuse(self, loop: Loop | None = None) -> NoReturn:
        """Give up: the loop, or the one whose body runs, is to be unrolled. Raises Refused."""
        place = (self.passes[-1] if loop is None else loop).place
        self.last = place if self.last is None else self.last
        raise Refused


class Loop:
    """One run of a `for` statement.

    Attributes
    ----------
    entering : bool
        Whether the iteration that begins takes the names in `handed_on` from `values`.
    spared : int
        The nodes that are not recorded because the loop is rolled.
    """

    entering = False
    spared = 0
    values: tuple[Any, ...] = ()

    def __init__(
        self,
        rolling: Rolling | None,
        values: Any,
        assigned: Sequence[str],
        handed_on: Sequence[str],
        taken_apart: Callable[[Any], Any] | None = None,
    ) -> None:
        self._rolling = rolling
        self._iterable = values
        self.assigned, self.handed_on = set(assigned), handed_on
        self._taken_apart = taken_apart
        self.place: Place = ("", 0)
        self._function = ""
        self._next = 0
        self._nodes = 0
        self._items: Items | None = None
        self._length = 0
        self._passes = 0

    def __iter__(self) -> Iterator[Any]:
        if self._rolling is not None:
            frame = sys._getframe(1)
            self.place, self._function = (frame.f_code.co_filename, frame.f_lineno), frame.f_code.co_name
            if self.place not in self._rolling.refused:
                self._items = describe(self._iterable, self._rolling.read)
        if self._items is None or self._items.length < FIRST + FEWEST:
            self._items = None
            return iter(self._iterable) if self._taken_apart is None else map(self._taken_apart, self._iterable)
        self._length = self._items.length
        return self

    def __next__(self) -> Any:
        assert self._rolling is not None and self._items is not None
        if self._passes:
            return self._after_pass(sys._getframe(1))
        made, self._nodes = recorded() - self._nodes, recorded()
        left = self._length - self._next - 1
        if self._next == FIRST and left >= FEWEST and made * left > MOST_NODES:
            self.spared = made * left
            self._begin(sys._getframe(1))
            return self._enter()
        if type(self._iterable) is list:
            self._length = len(self._iterable)
        if self._next >= self._length:
            raise StopIteration
        self._next += 1
        return self._item(self._items.at(self._next - 1))

    def _item(self, item: Any) -> Any:
        return item if self._taken_apart is None else self._taken_apart(item)

    # --- passes --------------------------------------------------------------------------------------------------

    def _begin(self, frame: FrameType) -> None:
        """Get ready to run the body for all steps but the last."""
        rolling = self._rolling
        assert rolling is not None
        self.steps = Steps(self._length - self._next - 1, lambda: rolling.refuse(self))
        self._before = _names(frame)
        if not self._before.keys() >= set(self.handed_on):
            rolling.refuse(self)
        self._slots = [Slot(None, "name", name, self._before[name]) for name in self.handed_on]
        self.changes = Changes(rolling.active, self.steps)
        self._seen: Changes | None = None

    def _enter(self) -> Any:
        """Begin a pass: hand the body what stands for what the step before has left."""
        assert self._rolling is not None and self._items is not None
        if self._passes >= _MOST_PASSES:
            self._rolling.refuse(self)
        self._passes += 1
        self.entering = True
        self.changes.enter(self._slots)
        self.values = tuple(slot.stand_in for slot in self._slots if slot.kind == "name")
        self._rolling.passes.append(self)
        places = range(self._next, self._next + self.steps.count)
        return self._item(self._items.together(self.steps, places))

    def _after_pass(self, frame: FrameType) -> Any:
        """End a pass; either the body is known now, or there is another one."""
        rolling = self._rolling
        assert rolling is not None and self._items is not None
        if self._next == self._length:
            self.entering = False
            raise StopIteration
        if not rolling.passes or rolling.passes[-1] is not self:  # a pass of another loop was left by an exception
            rolling.refuse(self)
        names = _names(frame)
        for name in names.keys() | self._before.keys():
            if name not in self.assigned and names.get(name, Missing) is not self._before.get(name, Missing):
                rolling.refuse()
        changes = self.changes
        changes.leave(self._slots, names)
        settled = [slot.settle(changes) for slot in self._slots]
        settled.append(changes.settle(self._slots, self._seen))
        if not all(settled) or self._seen is None:
            rolling.passes.pop()
            self._seen, self.changes = changes, changes.again()
            return self._enter()
        self._build()
        rolling.passes.pop()
        self._next = self._length
        self.values = tuple(slot.value for slot in self._slots if slot.kind == "name")
        return self._item(self._items.at(self._length - 1))

    def _build(self) -> None:
        """Make the loop, and leave everything as its last step does."""
        rolling, changes = self._rolling, self.changes
        assert rolling is not None
        if self._items is None or (type(self._iterable) is list and len(self._iterable) != self._length):
            rolling.refuse()
        handed = [item for slot in self._slots for item in slot.handed()] + changes.handed()
        outputs = changes.outputs()
        if rolled_scan.may_hide_zeros(handed, outputs, self.steps.tables):
            rolling.refuse()
        if self.spared <= WORTH_SLOWER and rolled_scan.is_one_pass(handed, outputs, self.steps.tables):
            rolling.refuse()
        line = Line(*self.place, self._function)
        results, stacked = rolled_scan.build(handed, outputs, self.steps.tables, self.steps.count)
        values = dict(zip((item.node for item in handed), results, strict=True))
        for slot in self._slots:
            slot.finish(values, self.steps.count)
        changes.finish(values, stacked, self.steps.count)
        rolling.rolled.append((line, self.steps.count))


def _names(frame: FrameType) -> dict[str, Any]:
    """What the names of a function stand for, but for those of rewritten code."""
    return {name: value for name, value in frame.f_locals.items() if not name.startswith("__tracer_")}
