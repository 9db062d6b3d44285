"""What dominates a call, and what could be done about it, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.profiling import units
from tracer.profiling.groups import CALL, STEPS, Group

_MUCH = 0.3
"""Share of a call from which something dominates it."""
_NEAR = 0.7
"""Share of its time that the limit of a group is, from which it is at the limit."""


def advice(groups: Sequence[Group], total: float) -> list[str]:
    """Sentences about a call: what takes most of it, how far that is from the limit, what would help.

    Parameters
    ----------
    groups : sequence of Group
        All of them, the overhead of the call too.
    total : float
        Seconds of the call.
    """
    computing = [group for group in groups if group.kind != CALL]
    overhead = sum(group.share for group in groups if group.kind == CALL)
    sentences = []
    if overhead > _MUCH:
        sentences.append(
            f"{units.percent(overhead)} of the call is not computing but the call itself "
            f"({units.seconds(overhead * total)}): do more in a call, with tracer.vmap over examples, or with the loop "
            "that calls it inside of the function."
        )
    large = [group for group in sorted(computing, key=lambda item: -item.share) if group.share > _MUCH]
    for group in large[:2]:
        sentences.append(" ".join(_about(group)))
    if not sentences and computing:
        first = max(computing, key=lambda item: item.share)
        sentences.append(
            f"Nothing dominates: the largest of {len(computing)} groups, {first.name} ({first.kind}"
            f"{_at(first)}), takes {units.percent(first.share)}."
        )
    least = sum(group.least or 0.0 for group in computing)
    known = all(group.least is not None for group in computing)
    if total > 0 and computing and known:
        sentences.append(
            f"In all, the machine's limit is {units.seconds(least)}, {units.percent(least / total)} of the "
            f"{units.seconds(total)} that a call takes."
        )
    return sentences


def _at(group: Group) -> str:
    return f" at {group.place}" if group.place else ""


def _about(group: Group) -> Iterator[str]:
    yield f"{units.percent(group.share)} of the call is {group.name}, a {group.kind}{_at(group)}."
    if group.groups:
        yield from _about_steps(group)
        return
    if group.limit is None:
        if group.native:
            yield "It is one piece of native code, in which each step waits for the one before; its limit is not known."
        else:
            yield "A library does it, and its limit is not known."
        return
    if group.least is not None and group.time > 0 and group.least >= _NEAR * group.time:
        yield f"It is at the limit: {_limited(group)}."
        if group.limit.by not in ("arithmetic", "functions"):
            yield "Moving fewer bytes would help: float32 for float64, or smaller intermediate results."
        return
    yield f"It takes {_times(group)} its limit, {units.seconds(group.least)} for {_limited(group)}."
    if group.native is False:
        yield "It ran in block kernels; tracer.config.jit = 'always' makes native code at the first call."
    elif group.limit.threads > group.threads:
        yield f"It ran on {group.threads} of {group.limit.threads} threads."
    elif group.time < 2e-6:
        yield "It is so short that starting it counts: larger arrays, or more examples in a call, would help."
    elif group.kind in ("gather", "scatter"):
        yield "It reaches for elements here and there; sorted indices would help, or slices instead of indices."


def _times(group: Group) -> str:
    ratio = group.time / group.least if group.least else float("inf")
    return f"{ratio:.1f} times" if ratio < 1000 else "far more than"


def _limited(group: Group) -> str:
    assert group.limit is not None
    if group.limit.by == "functions":
        return "functions such as division or exp"
    if group.limit.by == "arithmetic":
        return f"{units.count(group.flops)} operations on numbers"
    return f"{units.amount(group.bytes)} from and to {group.limit.by}"


def _about_steps(group: Group) -> Iterator[str]:
    inside = [part for part in group.groups if part.kind != STEPS]
    rest = next((part.time for part in group.groups if part.kind == STEPS), 0.0)
    steps = max((part.runs for part in inside), default=1.0)
    if group.time and rest / group.time > _MUCH:
        yield (
            f"{units.percent(rest / group.time)} of that is spent on going from step to step, "
            f"{units.seconds(rest / max(steps, 1))} each: do more in a step, or write it with whole arrays."
        )
    elif inside:
        first = max(inside, key=lambda item: item.time)
        spent = f"{units.seconds(first.time)} in {first.runs:g} runs"
        yield f"Most of that is {first.name}, a {first.kind}{_at(first)}: {spent}."
