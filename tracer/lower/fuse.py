"""Fusion: which items run together in one loop.

Every item has a stage, one more than those of everything it reads from memory. Maps, reductions and writes with the
same domain and stage therefore cannot wait for one another through memory, and may share a loop: no cycle can arise,
and the work is linear in the number of items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tracer.lower.items import NEVER, Ints, Item, Source, Value

LARGE_DOMAIN = 2048
"""Elements above which unrelated work is not put into one loop: it would only compete for the cache."""
LARGE_FILL = 256
"""Elements from which on an array is filled on its own, so that it takes memory only when it is written to."""
LOOP_ITEMS = 96
"""Items that one loop may have."""
LARGE_LOOP_ITEMS = 256
"""Items of one loop over a large domain, where each value that is carried to another loop costs memory traffic."""
CHEAP = frozenset(
    "add subtract multiply negative positive square absolute maximum minimum where cast conjugate logical_not "
    "equal not_equal less less_equal greater greater_equal logical_and logical_or invert real imag sign".split()
)
"""Kernels that cost no more than reading an array."""
AGAIN_COST = 2
"""Cheap kernels in a row that are computed again rather than stored."""


Window = tuple[Source, int, Ints]
"""Elements of a source that are replaced in place: offset and strides."""


def share_memory(candidates: Sequence[tuple[Source, Source, Item]]) -> None:
    """Let a source that starts as a copy of another take over its memory if all other readers can run before.

    A reader of an earlier stage never waits for a writer of a later one, so running it first is always possible.
    """
    for source, base, copy in candidates:
        writers = source.makers
        while writers and writers[0].after and copy not in writers[0].after:
            writers = writers[0].after
        others = [user for user in base.users if user is not copy and user.kind != "dead"]
        if not writers or copy in writers or base.is_output or base.parent or source.parent:
            continue
        first = min(item.stage for item in writers)
        if base.replaced_at != NEVER or not all(_reads_before(user, base, source, first) for user in others):
            continue
        copy.kind = "dead"
        base.users.remove(copy)
        base.stored = True
        base.replaced_at = first
        source.base = base
        after = base.makers + others
        for writer in writers:
            writer.after = after


def _reads_before(user: Item, base: Source, successor: Source, stage: int) -> bool:
    """Whether an item can read a source before its successor is written, or at that stage just what it replaces."""
    last = user
    while last.kind == "map" and len(last.target.users) == 1 and last.target.users[0].stage == user.stage:
        last = last.target.users[0]
    if user.stage < stage or user.stage > stage:
        return user.stage < stage
    window = (last.offset, last.strides)
    reads = [(operand.offset, operand.strides) for operand in user.operands if operand.source is base]
    return last.kind == "write" and last.target is successor and all(read == window for read in reads)


def sink(items: Sequence[Item]) -> None:
    """Move a map to the stage where all its users are, unless more values would have to be stored for that.

    Users come after their operands, so whole chains move in one backward walk.
    """
    for item in items:
        for maker in set(item.direct):
            if maker is not None and maker.stage != item.stage:
                maker.crossing += 1
    windows: dict[Item, Window | None] = {}
    for item in reversed(items):
        if item.kind == "write" and item.target.base is not None:
            windows[item] = (item.target.base, item.offset, item.strides)
        users = item.target.users
        if item.kind != "map" or item.target.stored or not users:
            continue
        window = windows.get(users[0])
        if window is not None and all(windows.get(user) == window for user in users):
            windows[item] = window
        stage = users[0].stage
        if not item.crossing or stage == item.stage or any(user.stage != stage for user in users):
            continue
        if not _readable_at(item, stage, windows.get(item)):
            continue
        makers = {maker for maker in item.direct if maker is not None and maker.stage == item.stage}
        if sum(not (maker.target.stored or maker.crossing) for maker in makers) > 1:
            continue
        for maker in makers:
            maker.crossing += 1
        item.stage = stage
        item.crossing = 0


def _readable_at(item: Item, stage: int, window: Window | None = None) -> bool:
    """Whether the memory of all operands still holds them at a stage.

    A loop that replaces the elements of a window may itself read them, point by point, before.
    """
    for operand in item.operands:
        source = operand.source
        if source is not None and source.replaced_at <= stage:
            if source.replaced_at != stage or (source, operand.offset, operand.strides) != window:
                return False
    return True


def form_groups(items: Sequence[Item]) -> list[list[Item]]:
    """The items of every loop, in order; an opaque item and a large fill are alone."""
    together: dict[tuple[int, Ints], list[Item]] = {}
    groups: list[list[Item]] = []
    for item in items:
        if item.kind == "opaque" or (item.stage < 0 and math.prod(item.domain) >= LARGE_FILL):
            groups.append([item])
        else:
            together.setdefault((item.stage, item.domain), []).append(item)
    for (_, domain), members in together.items():
        crowded = _crowded(members)
        large = math.prod(domain) > LARGE_DOMAIN
        most = LARGE_LOOP_ITEMS if large else LOOP_ITEMS
        if len(members) > 1 and (crowded or large):
            parts = _connected(members)
        else:
            parts = [members]
        for part in parts:
            late = [item for item in part if item in crowded][1:]
            rest = [item for item in part if item not in late] if late else part
            groups.extend(rest[start : start + most] for start in range(0, len(rest), most))
            groups.extend([item] for item in late)
    for number, members in enumerate(groups):
        for item in members:
            item.group = number
    return groups


def _connected(members: list[Item]) -> list[list[Item]]:
    """Split items that neither feed one another nor read a source in common."""
    leader: dict[object, object] = {}

    def find(key: object) -> object:
        while leader.setdefault(key, key) is not key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for item in members:
        own = find(item)
        keys: list[object] = []
        for operand, maker in zip(item.operands, item.direct, strict=True):
            if maker is not None and maker.stage == item.stage:
                keys.append(maker)
            elif operand.source is not None and _is_wide(operand, item.domain):
                keys.append(operand.source)
        for key in keys:
            leader[find(key)] = own
    parts: dict[object, list[Item]] = {}
    for item in members:
        parts.setdefault(find(item), []).append(item)
    return list(parts.values())


def _crowded(members: list[Item]) -> set[Item]:
    """Writes to one source whose windows interleave in memory, which one loop may not have."""
    windows: dict[Source, list[tuple[int, int, Item]]] = {}
    for item in members:
        parent = item.target.parent
        if parent is not None:
            target, offset, strides = parent
            shape = item.target.shape
        elif item.kind == "write":
            target, offset, strides, shape = item.target, item.offset, item.strides, item.domain
        else:
            continue
        reach = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
        low = offset + sum(min(length, 0) for length in reach)
        high = offset + sum(max(length, 0) for length in reach)
        windows.setdefault(target, []).append((low, high, item))
    crowded: set[Item] = set()
    for spans in windows.values():
        if len(spans) > 1:
            spans.sort(key=lambda span: span[:2])
            if any(before[1] >= after[0] for before, after in pairwise(spans)):
                crowded.update(item for _, _, item in spans)
    return crowded


def _is_wide(operand: Value, domain: Ints) -> bool:
    """Whether reading an operand costs about as much memory traffic as the whole domain has points."""
    return all(stride or size == 1 for stride, size in zip(operand.strides, domain, strict=True))


def choose_stored(items: Sequence[Item]) -> None:
    """Decide for each map that several loops need whether it is stored, or computed again in each of them."""
    for item in items:
        source = item.target
        if item.kind != "map" or source.stored:
            continue
        abroad = {user.group: user.stage for user in source.users if user.group != item.group and user.kind != "dead"}
        if not abroad:
            continue
        cost = _cost_again(item, max(abroad.values()), len(abroad))
        if cost:
            item.again = cost
        else:
            source.stored = True


def _cost_again(item: Item, stage: int, loops: int) -> int:
    """Kernels to compute an item again in other loops, the last of them at `stage`; 0 if storing it is better."""
    if item.node.op.kernel not in CHEAP or not _readable_at(item, stage):
        return 0
    cost = 1
    wide = set()
    for operand, maker in zip(item.operands, item.direct, strict=True):
        if maker is not None and not maker.target.stored:
            if not maker.again or not _readable_at(maker, stage):
                return 0
            cost += maker.again
        elif operand.source is not None and _is_wide(operand, item.domain):
            wide.add(operand.source)
    return cost if cost <= AGAIN_COST and len(wide) <= (2 if loops == 1 else 1) else 0
