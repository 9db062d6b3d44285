"""The results as Markdown: machine and versions, goals, steady calls with ratios, first calls, memory, imports."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.measure import FirstCall
from benchmarks.peers import Peer

BASE_IMPORT = "import numpy, scipy.linalg"
TRACER_IMPORT = "import tracer"


@dataclass
class CaseResult:
    """Everything measured on one case; entries are keyed by the name of the peer."""

    case: Case
    steady: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, FirstCall | str] = field(default_factory=dict)
    control: list[float] = field(default_factory=list)

    def median(self, peer: str) -> float | None:
        return statistics.median(self.steady[peer]) if peer in self.steady else None

    def ratio(self, peer: str) -> float | None:
        """How many times longer the peer takes than tracer: the median over rounds, each of them a comparison."""
        if peer not in self.steady or "tracer" not in self.steady:
            return None
        pairs = zip(self.steady[peer], self.steady["tracer"], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    def first_seconds(self, peer: str) -> float | None:
        first = self.first.get(peer)
        return first.seconds if isinstance(first, FirstCall) else None


@dataclass(frozen=True)
class Goal:
    """A promise about the measurements, what was seen, and whether it holds."""

    promise: str
    seen: str
    holds: bool


def markdown(
    results: Sequence[CaseResult], peers: Sequence[Peer], skipped: Sequence[str], imports: dict[str, float], rounds: int
) -> str:
    """The whole page."""
    parts = [
        "# Benchmarks",
        f"Value and gradient of each case, or one training step, made by `python -m benchmarks.run` on {machine()}\n\n"
        + ", ".join(f"{peer.name} {peer.version}" for peer in peers if peer.name != "jax_numpy")
        + f"; Python {platform.python_version()}.",
        "\n".join(f"* `{peer.name}`: {peer.note}." for peer in peers if peer.note),
    ]
    if skipped:
        parts.append("Not measured: " + ", ".join(skipped) + ".")
    found = goals({result.case.name: result for result in results}, imports)
    if found:
        rows = [[goal.promise, goal.seen, "yes" if goal.holds else "no"] for goal in found]
        parts += ["## Goals", table(["goal", "seen", "reached"], rows)]
    parts += [
        "## A call",
        f"Median of {rounds} rounds in one process, every library in turn within a round; in brackets how many times "
        "as long as `tracer` it takes. `control` is the same NumPy work each time: where it moves, the machine did.",
        steady_table(results, peers),
        "## The first call",
        "Trace, derive, compile and run in a fresh process, imports and arguments excluded; in brackets against "
        "`tracer`.",
        table(
            ["case", *(f"`{peer.name}`" for peer in peers)],
            [[result.case.title, *(first_cell(result, peer.name) for peer in peers)] for result in results],
        ),
        "## Peak memory",
        "Of the same process in MiB, on top of what it held before tracing.",
        table(
            ["case", *(f"`{peer.name}`" for peer in peers)],
            [[result.case.title, *(memory_cell(result, peer.name) for peer in peers)] for result in results],
        ),
    ]
    if imports:
        rows = [
            [f"`{name}`", show_seconds(seconds), f"{seconds / imports[BASE_IMPORT]:.2f}"]
            for name, seconds in imports.items()
        ]
        parts += ["## Imports", table(["statement", "time", f"against `{BASE_IMPORT}`"], rows)]
    return "\n\n".join(parts) + "\n"


def steady_table(results: Sequence[CaseResult], peers: Sequence[Peer]) -> str:
    rows = []
    for result in results:
        control = show_seconds(statistics.median(result.control)) if result.control else ""
        rows.append([result.case.title, *(steady_cell(result, peer.name) for peer in peers), control])
    return table(["case", *(f"`{peer.name}`" for peer in peers), "control"], rows)


def steady_cell(result: CaseResult, peer: str) -> str:
    median, ratio = result.median(peer), result.ratio(peer)
    if median is None:
        return "-"
    return show_seconds(median) + (f" ({ratio:.2f})" if ratio is not None and peer != "tracer" else "")


def first_cell(result: CaseResult, peer: str) -> str:
    seconds, ours, first = result.first_seconds(peer), result.first_seconds("tracer"), result.first.get(peer, "-")
    if seconds is None:
        return first if isinstance(first, str) else "-"
    # NumPy has nothing to trace, so a ratio would only say how long the case is.
    against = ours is not None and peer not in ("tracer", "numpy")
    return show_seconds(seconds) + (f" ({seconds / ours:.{1 if seconds > ours else 2}f})" if against else "")


def memory_cell(result: CaseResult, peer: str) -> str:
    first = result.first.get(peer)
    return f"{first.memory / 2**20:.1f}" if isinstance(first, FirstCall) else "-"


def goals(results: dict[str, CaseResult], imports: dict[str, float]) -> list[Goal]:
    """The promises for which this run has what it takes to check them."""
    found = []

    def add(promise: str, value: float | None, limit: float, show: str, at_most: bool) -> None:
        if value is not None:
            holds = value <= limit if at_most else value >= limit
            found.append(Goal(promise, show, holds))

    if "rosenbrock" in results:
        result = results["rosenbrock"]
        ours, ratio = result.median("tracer"), result.ratio("jax_numpy")
        add("Rosenbrock from NumPy arrays ≤ 5 µs", ours, 5e-6, show_seconds(ours), True)
        add("and 3x faster than JAX from NumPy arrays", ratio, 3, show_ratio(ratio), False)
    for name in ("mlp_8", "mlp_128"):
        if name in results:
            ours, theirs = results[name].first_seconds("tracer"), results[name].first_seconds("jax")
            ratio = theirs / ours if ours and theirs else None
            add(f"first call of `{name}` ≤ 50 ms", ours, 0.05, show_seconds(ours), True)
            add("and JAX's ≥ 10x longer", ratio, 10, show_ratio(ratio), False)
    for name in ("logistic_step", "mlp_8", "mlp_128", "mlp_step_8", "mlp_step_128", "chain_f32", "chain_f64"):
        if name in results:
            ratios = {peer: results[name].ratio(peer) for peer in ("jax", "jax_numpy", "torch", "pytensor")}
            known = {peer: ratio for peer, ratio in ratios.items() if ratio is not None}
            if known:
                show = ", ".join(f"{peer} {show_ratio(ratio)}" for peer, ratio in known.items())
                add(f"`{name}` faster than JAX, PyTorch and PyTensor", min(known.values()), 1, show, False)
    if "rnn" in results:
        ours = results["rnn"].first_seconds("tracer")
        add("first call of the 100-step RNN ≤ 300 ms", ours, 0.3, show_seconds(ours), True)
    if imports.get(TRACER_IMPORT):
        ratio = imports[TRACER_IMPORT] / imports[BASE_IMPORT]
        add(f"`import tracer` ≤ 1.3x of `{BASE_IMPORT}`", ratio, 1.3, show_ratio(ratio), True)
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    unit, size = ("s", 1.0) if seconds >= 1 else ("ms", 1e-3) if seconds >= 1e-3 else ("µs", 1e-6)
    return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"


def show_ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def machine() -> str:
    """Processor, cores, memory and system, without the name of the host."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    memory = ""
    if "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{model}, {os.cpu_count()} cores{memory}, {platform.system()} {platform.machine()}."
