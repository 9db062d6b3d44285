"""A profile as a page: one file of HTML, with pictures and a table to sort, that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from tracer.profiling import charts, units
from tracer.profiling.groups import CALL, STEPS, Group, source_text
from tracer.profiling.svg import colour
from tracer.profiling.table import limited_by, rows_of

_STYLE = """
.tracer-profile{--ink:#1b1f24;--soft:#5b6470;--paper:#fff;--line:#d8dde3;--panel:#f5f7f9;--accent:#0072b2;
 color:var(--ink);background:var(--paper);font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
 padding:20px 24px;max-width:1080px;margin:0 auto;box-sizing:border-box}
@media (prefers-color-scheme:dark){.tracer-profile{--ink:#e8eaed;--soft:#a2abb6;--paper:#14181d;--line:#343b44;
 --panel:#1d232a;--accent:#56b4e9}}
[data-jp-theme-light="true"] .tracer-profile{--ink:#1b1f24;--soft:#5b6470;--paper:#fff;--line:#d8dde3;--panel:#f5f7f9}
[data-jp-theme-light="false"] .tracer-profile{--ink:#e8eaed;--soft:#a2abb6;--paper:#14181d;--line:#343b44;
 --panel:#1d232a;--accent:#56b4e9}
.tracer-profile h1{font-size:20px;margin:0 0 2px;font-weight:650}
.tracer-profile h2{font-size:15px;margin:26px 0 6px;font-weight:650}
.tracer-profile p{margin:4px 0;max-width:80ch}
.tracer-profile .soft{color:var(--soft)}
.tracer-profile .cards{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0}
.tracer-profile .card{background:var(--panel);border-radius:8px;padding:8px 14px;min-width:104px}
.tracer-profile .card b{display:block;font-size:18px;font-weight:650}
.tracer-profile .advice{border-left:3px solid var(--accent);padding:2px 0 2px 12px;margin:14px 0}
.tracer-profile .scroll{overflow-x:auto}
.tracer-profile svg.picture{display:block;width:100%;height:auto;margin:4px 0}
.tracer-profile svg text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.tracer-profile svg text.small{fill:var(--soft);font-size:11px}
.tracer-profile svg text.halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.tracer-profile svg .grid{stroke:var(--line);stroke-opacity:1}
.tracer-profile svg .axis{stroke:var(--soft);stroke-opacity:1}
.tracer-profile svg .roof{stroke:var(--soft);stroke-opacity:1;stroke-width:1.6}
.tracer-profile svg .dot{fill-opacity:.8;stroke:var(--paper);stroke-width:1.5}
.tracer-profile svg g:hover rect,.tracer-profile svg g:hover circle{stroke:var(--ink);stroke-width:1.2}
.tracer-profile table{border-collapse:collapse;width:100%;font-size:13px}
.tracer-profile th,.tracer-profile td{padding:4px 8px;text-align:right;border-bottom:1px solid var(--line);
 vertical-align:top;white-space:nowrap;background:none}
.tracer-profile th.left,.tracer-profile td.left{text-align:left}
.tracer-profile td.wide{white-space:normal;min-width:260px;text-align:left}
.tracer-profile th button{background:none;border:0;padding:0;margin:0;font:inherit;font-weight:650;cursor:pointer;
 color:var(--soft)}
.tracer-profile th button:hover,.tracer-profile th button:focus-visible{color:var(--accent);text-decoration:underline}
.tracer-profile code{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.tracer-profile .chip{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
"""

_SORT = (
    "var h=this.parentNode,t=h.closest('table'),n=[].indexOf.call(h.parentNode.children,h),"
    "d=h.getAttribute('aria-sort')=='descending'?'ascending':'descending';"
    "[].forEach.call(h.parentNode.children,function(o){o.removeAttribute('aria-sort')});h.setAttribute('aria-sort',d);"
    "var b=t.tBodies[0],v=function(r){var s=r.children[n].getAttribute('data-value'),x=parseFloat(s);"
    "return isNaN(x)?s:x};"
    "[].slice.call(b.rows).sort(function(p,q){var x=v(p),y=v(q),c=x<y?-1:x>y?1:0;return d=='ascending'?c:-c})"
    ".forEach(function(r){b.appendChild(r)})"
)
"""Sorts the table of a button by its column: the page has no other code, so that it works in a notebook's cell too."""

_COLUMNS = (
    "group",
    "kind",
    "time",
    "share",
    "limit",
    "lost",
    "bytes",
    "flops",
    "limited by",
    "threads",
    "code",
    "runs",
)
_WORDS = frozenset(("group", "kind", "limited by", "code"))


def page(title: str, profiles: Sequence[Any]) -> str:
    """A whole page of profiles.

    Parameters
    ----------
    title : str
    profiles : sequence of Profile
    """
    parts = "".join(map(fragment, profiles)) or '<div class="tracer-profile"><p>Nothing has run.</p></div>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        "<style>body{margin:0;background:#fff}@media (prefers-color-scheme:dark){body{background:#14181d}}</style>"
        f"</head><body>{parts}</body></html>\n"
    )


def write_page(title: str, profiles: Sequence[Any], path: str | os.PathLike[str]) -> Path:
    """Write a page to a file."""
    target = Path(path)
    target.write_text(page(title, profiles), encoding="utf-8")
    return target


def fragment(profile: Any) -> str:
    """A profile as part of a page, with its style."""
    measured = profile.rounds > 0
    kinds = [group.kind for outer in charts.in_order(profile.groups) for group in outer.walk()]
    sections = [
        (
            "From left to right",
            _HOW_BARS[measured],
            charts.timeline(profile.groups, profile.total) + charts.legend(kinds),
        ),
        ("Distance to the machine's limits", _HOW_ROOFS, charts.roofline(profile.groups)),
        ("Groups", _HOW_TABLE, _table(profile.groups, measured)),
        ("Memory", _HOW_MEMORY, charts.memory(profile.program)),
        ("Compiling", _HOW_PHASES, charts.compiling(profile.phases)),
    ]
    body = "".join(
        f'<h2>{name}</h2><p class="soft">{how}</p><div class="scroll">{inside}</div>'
        for name, how, inside in sections
        if inside
    )
    return f'<style>{_STYLE}</style><div class="tracer-profile">{_head(profile, measured)}{body}</div>'


_HOW_BARS = {
    True: "Every group of the call, as wide as it takes long. The strip at its foot is its limit, the least time that "
    "this machine needs for it; what is pale is lost. Groups inside of loops are below them.",
    False: "Every group of the program, as wide as the least time that this machine needs for it. Nothing has been "
    "timed: f.profile does that.",
}
_HOW_ROOFS = (
    "Slanted lines are what memory allows, level by level, and flat ones what arithmetic allows, as measured on this "
    "machine. A group far below the lines loses time; its circle is large if it takes a large share of the call."
)
_HOW_TABLE = "Click on a heading to sort. In a formula #2 is the result of the group #2."
_HOW_MEMORY = (
    "Bytes in use while each instruction runs, and below the lives of the largest buffers, by which temporaries share "
    "their memory."
)
_HOW_PHASES = "What the first call of this signature had to do; native code is made later, on a thread of its own."


def _head(profile: Any, measured: bool) -> str:
    cards = [
        (units.seconds(profile.total), "a call" if measured else "at least"),
        *([(units.seconds(profile.limit), "the machine's limit")] if measured else []),
        *(
            [(units.percent(profile.limit / profile.total if profile.total else 0.0), "of the limit reached")]
            * measured
        ),
        *([(units.seconds(profile.overhead), "call overhead")] * measured),
        (units.amount(profile.bytes), "read and written"),
        (units.count(profile.flops), "operations"),
    ]
    boxes = "".join(f'<div class="card"><b>{escape(value)}</b>{what}</div>' for value, what in cards)
    rounds = f"the median of {profile.rounds} rounds" if measured else "not measured"
    advice = "".join(f"<p>{escape(sentence)}</p>" for sentence in profile.advice) if measured else ""
    return (
        f'<h1>{escape(profile.name)}</h1><p class="soft">{escape(profile.arguments)}</p>'
        f'<p class="soft">{rounds}</p><div class="cards">{boxes}</div>'
        + (f'<div class="advice">{advice}</div>' if advice else "")
    )


def _table(groups: Sequence[Group], measured: bool) -> str:
    columns = [name for name in _COLUMNS if measured or name not in ("time", "lost", "threads")]
    head = "".join(
        f'<th class="{"left" if name in _WORDS else ""}"><button onclick="{escape(_SORT)}">{name}</button></th>'
        for name in columns
    )
    rows = "".join(_row(depth, group, columns) for depth, group in rows_of(groups))
    return f'<table><thead><tr>{head}<th class="left">what, and where</th></tr></thead><tbody>{rows}</tbody></table>'


def _row(depth: int, group: Group, columns: Sequence[str]) -> str:
    is_rest = group.kind in (STEPS, CALL)
    lost = None if is_rest else group.lost
    values: dict[str, tuple[Any, str]] = {
        "group": (_order(group), "\u2003" * depth + group.name),
        "kind": (group.kind, group.kind),
        "time": (group.time, units.seconds(group.time)),
        "share": (group.share, units.percent(group.share)),
        "limit": (group.least or 0.0, "" if is_rest else units.seconds(group.least)),
        "lost": (lost or 0.0, "" if is_rest else units.seconds(lost)),
        "bytes": (group.bytes, "" if is_rest else units.amount(group.bytes)),
        "flops": (group.flops or 0.0, "" if is_rest else units.count(group.flops)),
        "limited by": (limited_by(group), limited_by(group)),
        "threads": (group.threads, "" if is_rest else str(group.threads)),
        "code": (units.code(group.native), units.code(group.native)),
        "runs": (group.runs, f"{group.runs:g}"),
    }
    chip = f'<span class="chip" style="background:{colour(group.kind)}"></span>'
    cells = "".join(
        f'<td class="{"left" if name in _WORDS else ""}" data-value="{escape(str(values[name][0]))}">'
        f"{chip if name == 'kind' else ''}{escape(values[name][1])}</td>"
        for name in columns
    )
    return f'<tr>{cells}<td class="wide" data-value="">{_what(group)}</td></tr>'


def _order(group: Group) -> str:
    """A text by which names sort as they run."""
    return ".".join(part.rjust(6, "0") for part in group.name.lstrip("#").split("."))


def _what(group: Group) -> str:
    parts = [f"<code>{escape(group.text)}</code>"]
    if group.dtype is not None:
        shape = ", ".join(map(str, group.shape))
        parts.append(f'<span class="soft">{escape(f"{group.dtype}[{shape}]")}</span>')
    for line in group.lines[:3]:
        place = f"{os.path.basename(line.file)}:{line.number} in {line.function}"
        source = source_text(line)
        parts.append(
            f'<span class="soft" title="{escape(line.file)}">{escape(place)}</span>'
            + (f" <code>{escape(source)}</code>" if source else "")
        )
    if len(group.lines) > 3:
        parts.append(f'<span class="soft">and {len(group.lines) - 3} more lines</span>')
    return "<br>".join(parts)
