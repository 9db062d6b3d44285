"""The pictures of a profile: the call from left to right, the roofline, memory as it is used, and compiling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tracer.lower.instructions import Buffer, views_of
from tracer.phases import Phase
from tracer.profiling import machine, units
from tracer.profiling.groups import CALL, STEPS, Group, shortened
from tracer.profiling.svg import (
    WIDTH,
    colour,
    element,
    fitting,
    line,
    picture,
    rectangle,
    round_steps,
    steps,
    text,
    titled,
)

_ROW, _GAP = 34, 4
_MOST_BUFFERS = 20
_MOST_LABELS = 8
_SHORTEST_PHASE = 0.01
"""Share of the time of compiling below which a part of a phase is left out of the picture."""


def in_order(groups: Iterable[Group]) -> list[Group]:
    """The groups of a program as they run; what a call takes besides comes last."""
    return sorted(groups, key=lambda group: math.inf if group.kind == CALL else int(group.name[1:]))


def tip(group: Group) -> str:
    """What the mouse shows on a group."""
    parts = [f"{group.name} {group.kind}: {units.seconds(group.time)}, {units.percent(group.share)} of the call"]
    if group.kind not in (STEPS, CALL):
        parts.append(f"limit {units.seconds(group.least)}" + (f" ({group.limit.by})" if group.limit else ""))
        parts.append(f"{units.amount(group.bytes)}, {units.count(group.flops)} operations, {group.runs:g} runs")
    parts += [shortened(group.text, 300), group.place]
    return "\n".join(part for part in parts if part)


# --- from left to right --------------------------------------------------------------------------------------------


def timeline(groups: Sequence[Group], total: float) -> str:
    """The groups of a call side by side, as wide as they take long; the bright part of each is its limit."""
    depth = max((_depth(group) for group in groups), default=1)
    height = depth * (_ROW + _GAP) + 26
    parts: list[str] = []
    _bars(in_order(groups), 0.0, WIDTH / total if total else 0.0, 0, parts)
    base = depth * (_ROW + _GAP) + 4
    for value in round_steps(total):
        x = value / total * WIDTH if total else 0.0
        anchor = "start" if x < 20 else "end" if x > WIDTH - 30 else "middle"
        parts.append(line(x, base - 2, x, base + 4, class_="axis"))
        parts.append(text(x, base + 18, units.seconds(value), text_anchor=anchor, class_="small"))
    return picture(height, parts, "The groups of the call, as wide as they take long")


def _depth(group: Group) -> int:
    return 1 + max((_depth(part) for part in group.groups), default=0)


def _bars(groups: Sequence[Group], x: float, scale: float, row: int, parts: list[str]) -> None:
    for group in groups:
        width = group.time * scale
        if width > 0.2:
            parts.append(_bar(group, x, width, row * (_ROW + _GAP)))
            _bars(group.groups, x, scale, row + 1, parts)
        x += width


def _bar(group: Group, x: float, width: float, y: float) -> str:
    fill = colour(group.kind)
    least = min((group.least or 0.0) / group.time, 1.0) * width if group.time else 0.0
    inner = max(width - (1 if width > 3 else 0), 0.3)
    inside = rectangle(x, y, inner, _ROW, fill=fill, fill_opacity=0.35, rx=2)
    inside += rectangle(x, y + _ROW - 7, min(least, inner), 7, fill=fill, rx=1)
    label = fitting(f"{group.name} {group.kind} {shortened(group.text, 80)}", width - 8)
    if label:
        inside += text(x + 4, y + 17, label, class_="label")
    return titled(inside, tip(group))


# --- the roofline --------------------------------------------------------------------------------------------------


class Plane(NamedTuple):
    """Logarithmic axes."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float
    left: float = 64
    top: float = 12
    right: float = WIDTH - 16
    bottom: float = 340

    def x(self, value: float) -> float:
        """Where a value is across."""
        share = math.log(value / self.low_x) / math.log(self.high_x / self.low_x)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        """Where a value is upwards."""
        share = math.log(value / self.low_y) / math.log(self.high_y / self.low_y)
        return self.bottom - share * (self.bottom - self.top)


def roofline(groups: Sequence[Group]) -> str:
    """Operations a second against operations a byte, and what memory and arithmetic allow (Williams and others, 2009).

    Empty if no group computes.
    """
    points = [
        (group, group.flops / group.bytes, group.flops / group.time)
        for outer in groups
        for group in outer.walk()
        if not group.groups and group.flops and group.bytes and group.time > 0
    ]
    if not points:
        return ""
    known = machine.describe()
    top = max(known["peak"].values())
    across, upwards = [point[1] for point in points], [point[2] for point in points]
    plane = Plane(
        min(0.02, min(across) / 2), max(50.0, max(across) * 2), max(min(*upwards, top / 1e3) / 3, 1e3), top * 2.5
    )
    parts = [*_grid(plane), *_roofs(plane, known)]
    points.sort(key=lambda point: -point[0].share)
    for group, intensity, speed in points:
        radius = 4 + 14 * math.sqrt(min(group.share, 1.0))
        dot = element(
            "circle", cx=plane.x(intensity), cy=plane.y(speed), r=radius, fill=colour(group.kind), class_="dot"
        )
        parts.append(titled(dot, f"{tip(group)}\n{units.count(speed)}flop/s, {intensity:.3g} operations a byte"))
    for group, intensity, speed in points[:_MOST_LABELS]:
        if group.share > 0.02:
            radius = 4 + 14 * math.sqrt(min(group.share, 1.0))
            parts.append(text(plane.x(intensity) + radius + 3, plane.y(speed) + 4, group.name, class_="label halo"))
    return picture(plane.bottom + 44, parts, "Roofline: operations a second against operations a byte")


def _grid(plane: Plane) -> Iterable[str]:
    for value in steps(plane.low_x, plane.high_x):
        yield line(plane.x(value), plane.top, plane.x(value), plane.bottom, class_="grid")
        yield text(plane.x(value), plane.bottom + 16, f"{value:g}", text_anchor="middle", class_="small")
    for value in steps(plane.low_y, plane.high_y):
        yield line(plane.left, plane.y(value), plane.right, plane.y(value), class_="grid")
        yield text(plane.left - 6, plane.y(value) + 4, units.count(value), text_anchor="end", class_="small")
    middle = (plane.left + plane.right) / 2
    yield text(middle, plane.bottom + 36, "operations a byte", text_anchor="middle", class_="small")
    yield text(14, plane.top + 6, "op/s", class_="small")


def _roofs(plane: Plane, known: dict[str, Any]) -> Iterable[str]:
    top = max(known["peak"].values())
    for place, (name, speed) in enumerate(known["levels"].items()):
        # The bandwidth of reading: where a kernel writes as well, its own limit is lower.
        start = max(plane.low_x, plane.low_y / speed.read)
        end = min(top / speed.read, plane.high_x)
        if end > start:
            yield line(
                plane.x(start), plane.y(start * speed.read), plane.x(end), plane.y(end * speed.read), class_="roof"
            )
            x = plane.x(start) + 10 + 105 * place
            at = plane.low_x * (plane.high_x / plane.low_x) ** ((x - plane.left) / (plane.right - plane.left))
            if at < end:
                words = f"{name} {units.amount(speed.read)}/s"
                yield text(x, plane.y(at * speed.read) - 5, words, class_="small halo")
    for place, (name, peak) in enumerate(sorted(known["peak"].items(), key=lambda item: -item[1])):
        start = peak / max(item.read for item in known["levels"].values())
        if plane.low_x < start < plane.high_x:
            y = plane.y(peak)
            yield line(plane.x(start), y, plane.right, y, class_="roof")
            words = f"{name} {units.count(peak)}flop/s"
            yield text(plane.right - 4, y + (14 if place else -5), words, text_anchor="end", class_="small halo")


# --- memory --------------------------------------------------------------------------------------------------------


class Life(NamedTuple):
    """When a buffer is needed: from the first instruction that mentions it to the last."""

    number: int
    buffer: Buffer
    first: int
    last: int


def lives(program: Any) -> list[Life]:
    """The lives of the buffers of a program; arguments and constants are there all the time, results to the end."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, instruction in enumerate(program.instructions):
        for view in views_of(instruction):
            first.setdefault(view.buffer, place)
            last[view.buffer] = place
    end = max(len(program.instructions) - 1, 0)
    found = []
    for number, buffer in enumerate(program.buffers):
        if buffer.kind in ("argument", "constant"):
            found.append(Life(number, buffer, 0, end))
        elif number in first:
            found.append(Life(number, buffer, first[number], end if buffer.kind == "output" else last[number]))
    return found


_SHADES = {"argument": "#8c8c8c", "constant": "#b3b3b3", "output": "#009e73", "temporary": "#0072b2"}


def memory(program: Any) -> str:
    """Bytes in use at each instruction, and the lives of the largest buffers. Empty if nothing is computed."""
    count = len(program.instructions)
    known = lives(program)
    if not count or not known:
        return ""
    left, top, height = 250.0, 14.0, 110.0
    width = (WIDTH - left - 10) / count
    use = [dict.fromkeys(_SHADES, 0) for _ in range(count)]
    for life in known:
        for place in range(life.first, life.last + 1):
            use[place][life.buffer.kind] += life.buffer.nbytes
    peak = max(max(sum(kinds.values()) for kinds in use), 1)
    parts = []
    for value in round_steps(peak, 3):
        y = top + height - value / peak * height
        parts.append(line(left, y, WIDTH - 10, y, class_="grid"))
        parts.append(text(left - 8, y + 4, units.amount(value), text_anchor="end", class_="small"))
    for place, kinds in enumerate(use):
        y = top + height
        for kind, size in kinds.items():
            tall = size / peak * height
            y -= tall
            bar = rectangle(left + place * width, y, width, tall, fill=_SHADES[kind], shape_rendering="crispEdges")
            parts.append(
                titled(bar, f"at #{place}: {units.amount(size)} of {kind}s, {units.amount(sum(kinds.values()))} in all")
            )
    y = top + height + 10
    shown = sorted(known, key=lambda life: -life.buffer.nbytes)[:_MOST_BUFFERS]
    for life in sorted(shown, key=lambda life: (life.first, life.last)):
        parts.append(_life(life, left, y, width))
        y += 20
    every = max(1, math.ceil(count * 36 / (WIDTH - left)))
    for place in range(0, count, every):
        parts.append(text(left + (place + 0.5) * width, y + 14, f"#{place}", text_anchor="middle", class_="small"))
    return picture(
        y + 44, [*parts, *_legend(_SHADES, y + 26)], "Bytes in use at each instruction, and the lives of buffers"
    )


def _life(life: Life, left: float, y: float, width: float) -> str:
    buffer = life.buffer
    shape = f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
    label = f"{shape} {units.amount(buffer.nbytes)}"
    bar = rectangle(
        left + life.first * width, y, (life.last - life.first + 1) * width, 15, fill=_SHADES[buffer.kind], rx=2
    )
    inside = bar + text(left - 8, y + 12, fitting(label, left - 16), text_anchor="end", class_="small")
    when = f"#{life.first} to #{life.last}" if buffer.kind in ("temporary", "output") else "all the time"
    return titled(inside, f"{buffer.kind} b{life.number}: {label}, {when}")


# --- compiling -----------------------------------------------------------------------------------------------------


def compiling(phases: Sequence[Phase]) -> str:
    """When each phase of compiling began and ended, but for short parts of others. Empty if nothing is known of it."""
    if not phases:
        return ""
    known = _without_waiting(phases)
    begin, end = known[0].start, max(phase.start + phase.seconds for phase in known)
    left = 170.0
    scale = (WIDTH - left - 90) / max(end - begin, 1e-9)
    parts = []
    place = 0
    for number, phase in enumerate(known):
        outer = any(other.start <= phase.start and _end(phase) <= _end(other) for other in known[:number])
        if outer and phase.seconds < _SHORTEST_PHASE * (end - begin):
            continue
        x, y = left + (phase.start - begin) * scale, place * 20.0
        length = max(phase.seconds * scale, 1.0)
        place += 1
        bar = rectangle(x, y + 2, length, 14, fill=colour("reduction" if outer else "loop"), rx=2)
        words = text(left - 8, y + 14, phase.name, text_anchor="end", class_="small" if outer else "label")
        time = text(x + length + 5, y + 14, units.seconds(phase.seconds), class_="small")
        parts.append(titled(bar + words + time, f"{phase.name}: {units.seconds(phase.seconds)}, {phase.thread}"))
    return picture(place * 20 + 6, parts, "The phases of compiling")


def _end(phase: Phase) -> float:
    return phase.start + phase.seconds


def _without_waiting(phases: Sequence[Phase]) -> list[Phase]:
    """Phases in their order; those of other threads, which make native code later, as one that begins at the end."""
    own = [phase for phase in phases if phase.thread == phases[0].thread]
    found = sorted(own, key=lambda phase: (phase.start, -phase.seconds))
    late = [phase for phase in phases if phase.thread != phases[0].thread]
    if late:
        many = f" of {len(late)} loops" if len(late) > 1 else ""
        end = max(map(_end, found))
        found.append(Phase(late[0].name + many, end, sum(phase.seconds for phase in late), late[0].thread))
    return found


def legend(kinds: Iterable[str]) -> str:
    """What the colours of groups mean."""
    return picture(18, _legend({kind: colour(kind) for kind in kinds}, 2), "Colours")


def _legend(shades: Mapping[str, str], y: float) -> Iterable[str]:
    x = 0.0
    for name, shade in shades.items():
        yield rectangle(x, y, 12, 12, fill=shade, rx=2)
        yield text(x + 17, y + 10.5, name, class_="small")
        x += 34 + 6.6 * len(name)
