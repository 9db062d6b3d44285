"""A profile as a file of trace events, which chrome://tracing and Perfetto show."""

from __future__ import annotations

import bisect
import itertools
import json
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from tracer.profiling.charts import in_order
from tracer.profiling.groups import CALL, STEPS, Group
from tracer.profiling.svg import colour

_MOST_RUNS = 20
_CALL, _INSIDE, _COMPILING, _THREADS = 1, 2, 10, 100
_GAP = 1.2


def trace_events(profiles: Sequence[Any]) -> dict[str, Any]:
    """The events of profiles, each a process: its runs, what is inside of loops, and how it was compiled.

    Times are in microseconds (the Trace Event Format). Runs follow each other as they were timed; what is inside of
    loops is shown once for all their steps, in the proportions of the medians.
    """
    events: list[dict[str, Any]] = []
    for number, profile in enumerate(profiles, 1):
        events += (event | {"pid": number} for event in _events(profile))
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"unit": "microseconds"}}


def write_trace(profiles: Sequence[Any], path: str | os.PathLike[str]) -> Path:
    """Write the events of profiles to a file."""
    target = Path(path)
    target.write_text(json.dumps(trace_events(profiles), allow_nan=False), encoding="utf-8")
    return target


def _events(profile: Any) -> Iterator[dict[str, Any]]:
    yield _name("process_name", 0, f"{profile.name}({profile.arguments})")
    yield _name("thread_name", _CALL, "calls")
    yield _name("thread_name", _INSIDE, "inside of loops and branches")
    begin = yield from _phases(profile.phases)
    steps = [group for group in in_order(profile.groups) if group.kind != CALL]
    rest = next((group for group in profile.groups if group.kind == CALL), None)
    at = begin * _GAP
    for place, run in enumerate(profile.runs[-_MOST_RUNS:]):
        overhead = rest.time * 1e6 if rest is not None else 0.0
        total = sum(run) * 1e6 + overhead
        yield _event(f"call {place}", at, total, _CALL, {})
        now = at + overhead
        for group, seconds in zip(steps, run, strict=True):
            yield _event(_label(group), now, seconds * 1e6, _CALL, _details(group), colour(group.kind))
            if group.time > 0:
                yield from _inside(group, now, seconds / group.time)
            now += seconds * 1e6
        if place == len(profile.runs[-_MOST_RUNS:]) - 1:
            yield from _threads(profile.stretches, at + overhead, steps, run)
        at += total * _GAP


def _threads(
    stretches: Sequence[Any], start: float, steps: Sequence[Group], run: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """What each thread did in a run, for the group that it did it for."""
    for thread in sorted({stretch.thread for stretch in stretches}):
        yield _name("thread_name", _THREADS + thread, f"thread {thread} of loops")
    ends = list(itertools.accumulate(run))
    for stretch in stretches:
        place = min(bisect.bisect(ends, stretch.start), len(steps) - 1)
        tid, begin = _THREADS + stretch.thread, start + stretch.start * 1e6
        yield _event(f"part of {_label(steps[place])}", begin, stretch.seconds * 1e6, tid, {})


def _phases(phases: Sequence[Any]) -> Generator[dict[str, Any], None, float]:
    """Events of compiling, from zero on; the value of the generator is where they end."""
    threads: dict[str, int] = {}
    begin = min((phase.start for phase in phases), default=0.0)
    end = 0.0
    for phase in sorted(phases, key=lambda item: (item.start, -item.seconds)):
        if phase.thread not in threads:
            threads[phase.thread] = _COMPILING + len(threads)
            yield _name("thread_name", threads[phase.thread], f"compiling on {phase.thread}")
        start = (phase.start - begin) * 1e6
        yield _event(phase.name, start, phase.seconds * 1e6, threads[phase.thread], {})
        end = max(end, start + phase.seconds * 1e6)
    return end


def _inside(group: Group, start: float, scale: float) -> Iterator[dict[str, Any]]:
    for part in group.groups:
        length = part.time * scale * 1e6
        if part.runs and length > 0:
            name = "from step to step" if part.kind == STEPS else f"{_label(part)} x {part.runs:g}"
            yield _event(name, start, length, _INSIDE, _details(part), colour(part.kind))
            yield from _inside(part, start, scale)
        start += length


def _label(group: Group) -> str:
    return f"{group.name} {group.kind}"


def _details(group: Group) -> dict[str, Any]:
    return {
        "computes": group.text,
        "lines": [str(line) for line in group.lines],
        "bytes": group.bytes,
        "flops": group.flops,
        "limit_us": None if group.least is None else group.least * 1e6,
        "limited_by": None if group.limit is None else group.limit.by,
        "threads": group.threads,
        "native": group.native,
    }


def _event(name: str, start: float, length: float, thread: int, details: Any, shade: str = "") -> dict[str, Any]:
    event = {"name": name, "ph": "X", "ts": round(start, 4), "dur": round(length, 4), "tid": thread, "cat": "tracer"}
    arguments = details | ({"colour": shade} if shade else {})
    return event | ({"args": arguments} if arguments else {})


def _name(kind: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "tid": thread, "args": {"name": name}}
