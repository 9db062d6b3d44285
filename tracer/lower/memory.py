"""The memory plan: where in the arena each temporary lives."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from tracer.lower.checks import ARENA_ALIGNMENT
from tracer.lower.emit import Storage
from tracer.lower.instructions import Instruction, Loop, View, targets_of, views_of


def plan(storages: Sequence[Storage], instructions: Sequence[Instruction]) -> tuple[dict[int, int], int]:
    """Byte offsets of the temporaries, by number, and the size of the arena.

    A temporary is alive from the first instruction that mentions it to the last. One that a loop stores takes the
    place of another that dies there, if the loop reads that one at just the points where it stores.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, instruction in enumerate(instructions):
        for view in views_of(instruction):
            if storages[view.buffer].kind == "temporary":
                first.setdefault(view.buffer, place)
                last[view.buffer] = place
    arena = Arena()
    born: list[list[int]] = [[] for _ in instructions]
    dying: list[list[int]] = [[] for _ in instructions]
    for number, place in first.items():
        born[place].append(number)
        dying[last[number]].append(number)
    for place, instruction in enumerate(instructions):
        inherited: set[int] = set()
        if isinstance(instruction, Loop) and born[place] and dying[place]:
            for number, heir in heirs(storages, instruction, born[place], dying[place]):
                arena.inherit(number, heir)
                inherited |= {number, heir}
        for number in born[place]:
            if number not in inherited:
                arena.take(number, math.prod(storages[number].shape) * storages[number].dtype.itemsize)
        for number in dying[place]:
            if number not in inherited or first[number] == place:
                arena.give(number)
    return arena.offsets, arena.size


def heirs(storages: Sequence[Storage], loop: Loop, born: list[int], dying: list[int]) -> Iterable[tuple[int, int]]:
    """Pairs (dying, born) of a loop that may share memory: read and stored at the same points, once."""
    loaded: dict[int, list[View]] = {}
    for view in loop.loads:
        loaded.setdefault(view.buffer, []).append(view)
    written = [view.buffer for view in targets_of(loop)]
    available = [number for number in dying if number not in born and number not in written]
    for store in loop.stores:
        heir = store.view.buffer
        if heir not in born or written.count(heir) > 1 or heir in loaded:
            continue
        for number in available:
            old, new = storages[number], storages[heir]
            same = math.prod(old.shape) == math.prod(new.shape) and old.dtype.itemsize == new.dtype.itemsize
            views = loaded.get(number, [])
            if same and [(view.offset, view.strides) for view in views] == [(store.view.offset, store.view.strides)]:
                available.remove(number)
                yield number, heir
                break


class Arena:
    """Best-fit allocation in one growing piece of memory."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.size = 0
        self.free: list[tuple[int, int]] = []  # (offset, size), by offset, never adjacent
        self.gaps: list[tuple[int, int]] = []  # the same as (size, offset)

    def take(self, number: int, nbytes: int) -> None:
        """Place a temporary in the smallest gap that holds it, or at the end."""
        nbytes = max(-(-nbytes // ARENA_ALIGNMENT) * ARENA_ALIGNMENT, ARENA_ALIGNMENT)
        fitting = bisect_left(self.gaps, (nbytes, 0))
        if fitting < len(self.gaps):
            size, offset = self.gaps.pop(fitting)
            place = bisect_left(self.free, (offset, size))
            if size == nbytes:
                del self.free[place]
            else:
                self.free[place] = (offset + nbytes, size - nbytes)
                insort(self.gaps, (size - nbytes, offset + nbytes))
        elif self.free and sum(self.free[-1]) == self.size:
            offset = self._close(-1)[0]
            self.size = offset + nbytes
        else:
            offset = self.size
            self.size += nbytes
        self.offsets[number], self.sizes[number] = offset, nbytes

    def give(self, number: int) -> None:
        """Free the place of a temporary."""
        offset, size = self.offsets[number], self.sizes[number]
        place = bisect_left(self.free, (offset, size))
        if place < len(self.free) and self.free[place][0] == offset + size:
            size += self._close(place)[1]
        if place > 0 and sum(self.free[place - 1]) == offset:
            before = self._close(place - 1)
            offset, size = before[0], before[1] + size
        insort(self.free, (offset, size))
        insort(self.gaps, (size, offset))

    def _close(self, place: int) -> tuple[int, int]:
        """Take a gap, by its place among the free ones, off the lists."""
        offset, size = self.free.pop(place)
        del self.gaps[bisect_left(self.gaps, (size, offset))]
        return offset, size

    def inherit(self, number: int, heir: int) -> None:
        """Give the place of a dying temporary to a new one."""
        self.offsets[heir], self.sizes[heir] = self.offsets[number], self.sizes[number]
