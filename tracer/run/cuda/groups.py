"""Which neighbouring parts of a program can be done by one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracer.lower.instructions import Shape
from tracer.run.cuda import segments
from tracer.run.cuda.layout import Memory, Nest, Operand
from tracer.run.cuda.parts import MOST_PARTS, TINY, Part

FEW_ROWS = 64
"""Rows of which each has a block or a warp must be more than these, or short."""


class Group(NamedTuple):
    """Parts that one kernel does one after the other.

    Attributes
    ----------
    parts : tuple of Part
    rows : tuple of int or None
        The leading axes that all of them have, of which each point is done by the same threads.
    segments : bool
        Whether they are flat loops of one kind, done side by side. If there are neither rows nor segments, one block
        does everything.
    """

    parts: tuple[Part, ...]
    rows: Shape | None = None
    segments: bool = False


def grouped(parts: Sequence[Part], memory: Memory) -> list[Group]:
    """Share out parts that follow each other."""
    groups, start = [], 0
    while start < len(parts):
        count = _tiny_run(parts[start : start + MOST_PARTS])
        rows: Shape | None = None
        side_by_side = False
        if count < 2:
            rows, count = _row_run(parts[start : start + MOST_PARTS], memory)
        if count < 2:
            count = _segment_run(parts[start : start + MOST_PARTS], memory)
            rows, side_by_side = None, count > 1
        groups.append(Group(tuple(parts[start : start + count]), rows, side_by_side))
        start += count
    return groups


def _tiny_run(parts: Sequence[Part]) -> int:
    """How many of the first parts one block may do alone."""
    return next((count for count, part in enumerate(parts) if part.size > TINY), len(parts))


def _row_run(parts: Sequence[Part], memory: Memory) -> tuple[Shape, int]:
    """How many of the first parts agree on their rows, and on which."""
    rows = next((found for part in parts if (found := _rows_of(part)) is not None), None)
    if not rows:
        return (), 1
    if not _fits(parts[0], rows):
        return (), 1
    kept = [parts[0]]
    for part in parts[1:]:
        if not _fits(part, rows) or not _kept_apart(kept, part, len(rows), memory):
            break
        kept.append(part)
    folds = any(isinstance(part.work, Nest) and part.work.folds for part in kept)
    return rows, len(kept) if folds else 1


def _kept_apart(kept: Sequence[Part], part: Part, rows: int, memory: Memory) -> bool:
    """Whether a part meets others only within rows; its results move where they took over memory of the others."""
    clashes = {operand.buffer for old in kept for operand in _clashes(old, part, rows, memory)}
    if not clashes:
        return True
    assert isinstance(part.work, Nest)
    own = {operand.buffer for operand in part.work.targets()}
    if not clashes <= own or not all(memory.may_move(buffer, kept[0].number) for buffer in clashes):
        return False
    for buffer in clashes:
        memory.move(buffer)
    return not any(_clashes(old, part, rows, memory) for old in kept)


def _segment_run(parts: Sequence[Part], memory: Memory) -> int:
    """How many of the first parts are flat loops of one kind that have nothing to do with each other."""
    found: list[Nest] = []
    for part in parts:
        nest = segments.flat(part.work) if isinstance(part.work, Nest) else None
        if nest is None or (found and segments.kind_of(nest) != segments.kind_of(found[0])):
            break
        full = (len(found) + 1) * len(nest.operands()) > segments.MOST_POINTERS
        if full or not all(segments.independent(old, nest, memory) for old in found):
            break
        found.append(nest)
    return max(len(found), 1)


def _rows_of(part: Part) -> Shape | None:
    """The axes that a reduction over the last axes keeps."""
    if not isinstance(part.work, Nest) or not part.work.folds:
        return None
    folded = part.work.folded()
    kept = len(folded) - sum(folded)
    rows = part.work.shape[:kept]
    return rows if 0 < kept < len(folded) and not any(folded[:kept]) else None


def _fits(part: Part, rows: Shape) -> bool:
    nest = part.work
    if not isinstance(nest, Nest) or nest.shape[: len(rows)] != rows or nest.size == 0:
        return False
    count = 1
    for length in rows:
        count *= length
    if count < FEW_ROWS and nest.size > count * TINY:
        return False
    return not nest.folds or nest.folded() == tuple(axis >= len(rows) for axis in range(len(nest.shape)))


def _clashes(one: Part, other: Part, rows: int, memory: Memory) -> list[Operand]:
    """The operands of a part that meet in memory what an earlier one reads or writes, and not only within a row."""
    first, second = one.work, other.work
    assert isinstance(first, Nest) and isinstance(second, Nest)
    pairs = [(a, b) for a in first.targets() for b in second.operands()]
    pairs += [(a, b) for a in first.loads for b in second.targets()]
    return [b for a, b in pairs if not _meet_in_rows(first, a, second, b, rows, memory)]


def _meet_in_rows(first: Nest, a: Operand, second: Nest, b: Operand, rows: int, memory: Memory) -> bool:
    if memory.space(a.buffer) != memory.space(b.buffer):
        return True
    spans = [_bytes(nest, operand, 0, memory) for nest, operand in ((first, a), (second, b))]
    if spans[0][1] <= spans[1][0] or spans[1][1] <= spans[0][0]:
        return True
    steps = [tuple(stride * o.dtype.itemsize for stride in o.strides[:rows]) for o in (a, b)]
    if steps[0] != steps[1]:
        return False
    low, high = zip(*(_bytes(nest, o, rows, memory) for nest, o in ((first, a), (second, b))), strict=True)
    reach = max(high) - min(low)
    for step, length in sorted((abs(s), n) for s, n in zip(steps[0], first.shape, strict=False)):
        if step < reach:
            return False
        reach += step * (length - 1)
    return True


def _bytes(nest: Nest, operand: Operand, skip: int, memory: Memory) -> tuple[int, int]:
    """The first byte that an operand reaches over the axes from `skip` on, and the byte after the last."""
    inner = operand._replace(strides=operand.strides[skip:])
    low, high = inner.span(nest.shape[skip:])
    size, start = operand.dtype.itemsize, memory.address(operand)
    return start + low * size, start + (high + 1) * size
