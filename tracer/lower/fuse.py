"""Fusion: which items run together in one loop.

Every item has a stage, one more than those of everything it reads from memory. Maps, reductions and writes with the
same domain and stage therefore cannot wait for one another through memory, and may share a loop: no cycle can arise,
and the work is linear in the number of items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracer.lower.items import NEVER, Ints, Item, Source, Value

LARGE_DOMAIN = 2048
"""Elements above which unrelated work is not put into one loop: it would only compete for the cache."""
LOOP_ITEMS = 96
"""Items that one loop may have."""
CHEAP = frozenset(
    "add subtract multiply negative positive square absolute maximum minimum where cast conjugate logical_not "
    "equal not_equal less less_equal greater greater_equal logical_and logical_or invert real imag sign".split()
)
"""Kernels that cost no more than reading an array."""
AGAIN_COST = 2
"""Cheap kernels in a row that are computed again rather than stored."""


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
        if base.replaced_at != NEVER or any(user.stage >= first for user in others):
            continue
        copy.kind = "dead"
        base.users.remove(copy)
        base.stored = True
        base.replaced_at = first
        source.base = base
        after = base.makers + others
        for writer in writers:
            writer.after = after


def sink(items: Sequence[Item]) -> None:
    """Move a map to the stage where all its users are, unless more values would have to be stored for that.

    Users come after their operands, so whole chains move in one backward walk.
    """
    for item in items:
        if item.kind != "dead":
            for maker in set(item.direct):
                if maker is not None and maker.stage != item.stage:
                    maker.crossing += 1
    for item in reversed(items):
        users = item.target.users
        if item.kind != "map" or item.target.stored or not item.crossing:
            continue
        stage = users[0].stage
        if stage == item.stage or any(user.stage != stage for user in users) or not _readable_at(item, stage):
            continue
        makers = {maker for maker in item.direct if maker is not None and maker.stage == item.stage}
        if sum(not (maker.target.stored or maker.crossing) for maker in makers) > 1:
            continue
        for maker in makers:
            maker.crossing += 1
        item.stage = stage
        item.crossing = 0


def _readable_at(item: Item, stage: int) -> bool:
    """Whether the memory of all operands still holds them at a stage."""
    return all(operand.source is None or operand.source.replaced_at > stage for operand in item.operands)


def form_groups(items: Sequence[Item]) -> list[list[Item]]:
    """The items of every loop, in order; an opaque item is alone."""
    together: dict[tuple[int, Ints], list[Item]] = {}
    groups: list[list[Item]] = []
    for item in items:
        if item.kind == "opaque":
            groups.append([item])
        else:
            together.setdefault((item.stage, item.domain), []).append(item)
    for (_, domain), members in together.items():
        parts = _connected(members) if len(members) > 1 and math.prod(domain) > LARGE_DOMAIN else [members]
        for part in parts:
            groups.extend(part[start : start + LOOP_ITEMS] for start in range(0, len(part), LOOP_ITEMS))
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
        keys: list[object] = [item.target] if item.kind == "write" else []
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
            if not maker.again:
                return 0
            cost += maker.again
        elif operand.source is not None and _is_wide(operand, item.domain):
            wide.add(operand.source)
    return cost if cost <= AGAIN_COST and len(wide) <= (2 if loops == 1 else 1) else 0
