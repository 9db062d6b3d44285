"""The results as Markdown: goals, steady calls with ratios, first calls, memory, compile speed, imports."""

import platform
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.cases import SUBJECTS
from benchmarks.goals import BASE_IMPORT, goals
from benchmarks.peers import Peer
from benchmarks.results import FORWARD, CaseResult, geometric_mean
from benchmarks.text import machine, show_ratio, show_seconds, table


def markdown(
    results: Sequence[CaseResult],
    peers: Sequence[Peer],
    skipped: Sequence[str],
    rounds: int,
    imports: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    compile_speed: str = "",
) -> str:
    """The whole page."""
    versions = {peer.distribution: f"{peer.distribution} {peer.version}" for peer in peers}
    compiling = [peer for peer in peers if peer.first_as is None]
    parts = [
        "# Benchmarks",
        f"Value and gradient of each case, or one training step, made by `python -m benchmarks.run` on {machine()}\n\n"
        + ", ".join(versions.values())
        + f"; Python {platform.python_version()}.",
        "\n".join(f"* `{peer.name}`: {peer.note}." for peer in peers if peer.note),
        *([f"Not installed: {', '.join(skipped)}."] if skipped else []),
        *_goals(results, imports or {}, shares or {}),
        *_subjects(results),
        "## A call",
        f"Median of {rounds} rounds in one process, every library in turn within a round; in brackets how many times "
        "as long as `tracer` it takes. `control` is the same NumPy work each time: where it moves, the machine did.\n\n"
        "The best peer is the fastest of those that do the same work: NumPy and numba count where the value alone is "
        "asked for. A dash: it cannot run the case, or compiles it for minutes.",
        steady_table(results, peers),
        "## The first call",
        "Trace, derive, compile and run in a fresh process, imports and arguments excluded; in brackets against "
        "`tracer`.",
        table(
            ["case", *(f"`{peer.name}`" for peer in compiling)],
            [[result.case.title, *(first_cell(result, peer.name) for peer in compiling)] for result in results],
        ),
        "## Peak memory",
        "Of the same process in MiB, on top of what it held before tracing.",
        table(
            ["case", *(f"`{peer.name}`" for peer in compiling)],
            [[result.case.title, *(memory_cell(result, peer.name) for peer in compiling)] for result in results],
        ),
    ]
    if compile_speed:
        parts += ["## Compiling long programs", compile_speed]
    if imports:
        rows = [
            [f"`{name}`", show_seconds(seconds), f"{seconds / imports[BASE_IMPORT]:.2f}"]
            for name, seconds in imports.items()
        ]
        parts += ["## Imports", table(["statement", "time", f"against `{BASE_IMPORT}`"], rows)]
    notes = [f"* {result.case.name}: {note}" for result in results for note in result.notes]
    if notes:
        parts += ["## Notes", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def _goals(results: Sequence[CaseResult], imports: Mapping[str, float], shares: Mapping[str, float]) -> list[str]:
    found = goals(results, imports, shares)
    rows = [[goal.promise, goal.seen, "yes" if goal.holds else "no"] for goal in found]
    return ["## Goals", table(["goal", "seen", "reached"], rows)] if found else []


def _subjects(results: Sequence[CaseResult]) -> list[str]:
    """How the cases of each subject stand against their best peers."""
    named, rows = {result.case.name: result for result in results}, []
    for subject, cases in SUBJECTS.items():
        there = [named[case.name] for case in cases if case.name in named]
        ratios = [best[1] for result in there if (best := result.best()) is not None]
        if ratios:
            rows.append(
                [subject, str(len(ratios)), show_ratio(geometric_mean(ratios)), show_ratio(min(ratios))],
            )
    return ["## Subjects", table(["subject", "cases", "geometric mean", "least"], rows)] if rows else []


def steady_table(results: Sequence[CaseResult], peers: Sequence[Peer]) -> str:
    rows = []
    for result in results:
        control = show_seconds(statistics.median(result.control)) if result.control else ""
        cells = [steady_cell(result, peer.name) for peer in peers]
        best = result.best()
        rows.append([result.case.title, "-" if best is None else f"{best[1]:.2f} ({best[0]})", *cells, control])
    return table(["case", "best peer", *(f"`{peer.name}`" for peer in peers), "control"], rows)


def steady_cell(result: CaseResult, peer: str) -> str:
    median, ratio = result.median(peer), result.ratio(peer)
    if median is None:
        return "-"
    return show_seconds(median) + (f" ({ratio:.2f})" if ratio is not None and peer != "tracer" else "")


def first_cell(result: CaseResult, peer: str) -> str:
    seconds, ours, first = result.first_seconds(peer), result.first_seconds("tracer"), result.first.get(peer, "-")
    if seconds is None:
        return _brief(first) if isinstance(first, str) else "-"
    # NumPy has nothing to trace, so a ratio would only say how long the case is.
    against = ours is not None and peer != "tracer" and peer not in FORWARD[:1]
    return show_seconds(seconds) + (f" ({seconds / ours:.{1 if seconds > ours else 2}f})" if against else "")


def _brief(reason: str) -> str:
    """A reason in a cell: a limit as it is, an error by its name."""
    return reason if reason.startswith("> ") else reason.partition(":")[0].replace("|", " ")[:40]


def memory_cell(result: CaseResult, peer: str) -> str:
    memory = result.memory(peer)
    return "-" if memory is None else f"{memory / 2**20:.1f}"
