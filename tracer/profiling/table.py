"""A profile as a table of at most 120 columns, with a few plain words at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tracer.profiling import units
from tracer.profiling.groups import CALL, STEPS, Group, shortened, source_text

WIDTH = 120
_MOST_ROWS = 24
_TIMED = ("group", "kind", "time", "share", "limit", "lost", "bytes", "flops", "limited by", "thr", "code")
_PLAIN = ("group", "kind", "runs", "limit", "bytes", "flops", "limited by", "code")
_LEFT = frozenset(("group", "kind", "limited by", "code"))


def rows_of(groups: Iterable[Group], depth: int = 0) -> Iterator[tuple[int, Group]]:
    """Groups and those within, each with how deep it is."""
    for group in groups:
        yield depth, group
        yield from rows_of(group.groups, depth + 1)


def limited_by(group: Group) -> str:
    """What limits a group, in a word."""
    return group.limit.by if group.limit is not None and group.limit.seconds > 0 else ""


def cells(group: Group, depth: int, columns: Sequence[str]) -> list[str]:
    """The texts of a row."""
    is_rest = group.kind in (STEPS, CALL)
    lost = group.lost if group.time else None
    texts = {
        "group": "  " * depth + group.name,
        "kind": group.kind,
        "time": units.seconds(group.time),
        "share": units.percent(group.share),
        "limit": "" if is_rest else units.seconds(group.least),
        "lost": units.percent(lost / group.time * group.share) if lost is not None and not is_rest else "",
        "bytes": "" if is_rest else units.amount(group.bytes),
        "flops": "" if is_rest else units.count(group.flops),
        "limited by": limited_by(group),
        "thr": "" if is_rest else str(group.threads),
        "code": units.code(group.native),
        "runs": f"{group.runs:g}",
    }
    return [texts[column] for column in columns]


def table(groups: Sequence[Group], timed: bool, indent: str = "", width: int = WIDTH) -> list[str]:
    """The lines of a table of groups.

    Parameters
    ----------
    groups : sequence of Group
    timed : bool
        Whether they have times.
    indent : str
        Before each line.
    width : int
        Letters of the longest line.
    """
    columns = _TIMED if timed else _PLAIN
    shown = list(rows_of(groups))
    more = len(shown) - _MOST_ROWS
    shown = shown[:_MOST_ROWS]
    rows = [cells(group, depth, columns) for depth, group in shown]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    room = width - len(indent)

    def line(texts: Sequence[str]) -> str:
        parts = [
            text.ljust(size) if column in _LEFT else text.rjust(size)
            for text, size, column in zip(texts, widths, columns, strict=True)
        ]
        return (indent + "  ".join(parts)).rstrip()

    lines = [line(columns), indent + "-" * min(sum(widths) + 2 * len(widths) - 2, room)]
    for (depth, group), texts in zip(shown, rows, strict=True):
        lines.append(line(texts))
        left = indent + "  " * depth + "    "
        what = shortened(group.text, width - len(left))
        lines.append(left + what)
        if group.lines:
            lines.append(left + shortened(where(group), width - len(left)))
    if more > 0:
        rest = sum(group.share for depth, group in list(rows_of(groups))[_MOST_ROWS:] if depth == 0)
        lines.append(f"{indent}... and {more} more" + (f", {units.percent(rest)} of the time" if timed else ""))
    return lines


def where(group: Group) -> str:
    """The line that a group is for, as far as its source is known, and how many others there are."""
    more = len(group.lines) - 1
    text = source_text(group.lines[0])
    others = f" (and {more} more line{'s' if more > 1 else ''})" if more else ""
    return f"at {group.place}{others}" + (f": {text}" if text else "")
