"""Which new values of shared variables may be written over the old ones: nothing reads those later, and nothing fails.

Until the first of them is written, all that can fail has been done: calls of functions, memory, checks of indices.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from tracer.lower.instructions import Loop, views_of
from tracer.lower.program import Program
from tracer.run.cuda.writer import ERROR, Launch

_MADE: dict[int, weakref.ref[Any]] = {}
"""By their ids, arrays that runs have made for shared variables: their memory is nobody else's."""


def remember(array: Any) -> None:
    """Know an array that was made here."""
    key = id(array)
    _MADE[key] = weakref.ref(array, lambda _: _MADE.pop(key, None))


def is_ours(array: Any) -> bool:
    """Whether an array was made here."""
    found = _MADE.get(id(array))
    return found is not None and found() is array


def candidates(program: Program, updates: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The outputs that may lie where an argument is, and which: what writes them first needs no other place of it.

    Parameters
    ----------
    program : Program
    updates : sequence of (int, int)
        Outputs that will replace an argument.
    """
    numbers = {(buffer.kind, buffer.index): number for number, buffer in enumerate(program.buffers)}
    uses: dict[int, list[int]] = {}
    for place, instruction in enumerate(program.instructions):
        for view in views_of(instruction):
            uses.setdefault(view.buffer, []).append(place)
    found = {}
    for output, argument in updates:
        new, old = numbers.get(("output", output), -1), numbers.get(("argument", argument), -1)
        if new < 0 or old < 0 or not uses.get(new):
            continue
        first, last = uses[new][0], max(uses.get(old, [-1]))
        one, other = program.buffers[new], program.buffers[old]
        alike = (one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype)
        if alike and one.size and last <= first and _goes_along(program.instructions[first], new, old):
            found[output] = argument
    return found


def _goes_along(instruction: Any, new: int, old: int) -> bool:
    """Whether an instruction writes a buffer point by point, and reads the other at most where it writes."""
    if not isinstance(instruction, Loop):
        return False
    stores = [store.view for store in instruction.stores if store.view.buffer == new]
    if len(stores) != 1 or any(fold.view.buffer == new for fold in instruction.reduces):
        return False
    loads = [view for view in instruction.loads if view.buffer in (new, old)]
    return all(view._replace(buffer=new) == stores[0] and view.buffer == old for view in loads)


def start_of_tail(launches: Sequence[Sequence[Launch]], may_not_fail: Sequence[bool]) -> int:
    """The first of the last instructions, none of which can fail: they launch kernels that check nothing."""
    start = len(launches)
    while start and may_not_fail[start - 1] and not any(map(_checks, launches[start - 1])):
        start -= 1
    return start


def _checks(launch: Launch) -> bool:
    return any(number == ERROR for number, _ in launch.operands)


def within_tail(
    program: Program, launches: Sequence[Sequence[Launch]], tail: int, wanted: Mapping[int, int]
) -> dict[int, int]:
    """Those of the outputs that are first written by the last instructions."""
    early = {number for own in launches[:tail] for launch in own for number, _ in launch.operands}
    numbers = {buffer.index: number for number, buffer in enumerate(program.buffers) if buffer.kind == "output"}
    return {output: place for output, place in wanted.items() if numbers[output] not in early}
