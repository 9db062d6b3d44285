"""What is promised about the measurements, and whether it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.results import CaseResult, geometric_mean
from benchmarks.text import show_ratio, show_seconds

BASE_IMPORT = "import numpy, scipy.linalg"
TRACER_IMPORT = "import tracer"
JAX = ("jax", "jax_scan", "jax_numpy")
MOST_NAMED = 6
# Cases that one pass over memory limits, and those that matrix products limit, with the share of the limit to reach.
SHARES = {
    "polynomial_1e5": 0.7,
    "polynomial_1e7": 0.7,
    "huber": 0.7,
    "mlp_128": 0.8,
    "attention": 0.8,
}


@dataclass(frozen=True)
class Goal:
    """A promise, what was seen, and whether it holds."""

    promise: str
    seen: str
    holds: bool


def goals(results: Sequence[CaseResult], imports: Mapping[str, float], shares: Mapping[str, float]) -> list[Goal]:
    """The promises for which this run has what it takes to check them.

    Parameters
    ----------
    results : sequence of CaseResult
    imports : mapping
        Seconds by import statement.
    shares : mapping
        By case, the share of the machine's limit that was reached.
    """
    named = {result.case.name: result for result in results}
    found = [*_against_peers(results), *_shares(shares), *_single_cases(named), *_first_calls(results)]
    memory = {
        result.case.name: (theirs, ours)
        for result in results
        if (theirs := _least_of_jax(result)) is not None and (ours := result.memory("tracer")) is not None
    }
    if memory:
        over = {name: max(ours, 1) / max(theirs, 1) for name, (theirs, ours) in memory.items() if ours > theirs}
        found.append(_all("memory no more than JAX's on every case", len(memory), over, largest_first=True))
    if TRACER_IMPORT in imports:
        ratio = imports[TRACER_IMPORT] / imports[BASE_IMPORT]
        found.append(Goal(f"`{TRACER_IMPORT}` ≤ 1.3x of `{BASE_IMPORT}`", show_ratio(ratio), ratio <= 1.3))
    return found


def _all(promise: str, total: int, misses: Mapping[str, float], largest_first: bool) -> Goal:
    """A promise about every case: how many keep it, and the ones farthest from it."""
    order = sorted(misses, key=misses.__getitem__, reverse=largest_first)
    text = ", ".join(f"`{name}` {show_ratio(misses[name])}" for name in order[:MOST_NAMED])
    more = f" and {len(order) - MOST_NAMED} more" if len(order) > MOST_NAMED else ""
    seen = f"{total - len(misses)} of {total}" + (f"; not {text}{more}" if misses else "")
    return Goal(promise, seen, not misses)


def _against_peers(results: Sequence[CaseResult]) -> list[Goal]:
    best = {result.case.name: best[1] for result in results if (best := result.best()) is not None}
    mean = geometric_mean(best.values())
    if mean is None:
        return []
    behind = {name: ratio for name, ratio in best.items() if ratio < 1}
    return [
        _all("every case faster than the best peer", len(best), behind, largest_first=False),
        Goal("geometric mean over the best peer ≥ 2x", show_ratio(mean), mean >= 2),
    ]


def _shares(shares: Mapping[str, float]) -> list[Goal]:
    found = []
    for name, least in SHARES.items():
        if name in shares:
            limit = "its matrix products in BLAS alone" if least == 0.8 else "one pass over memory"
            promise = f"`{name}` ≥ {least:.0%} of {limit}"
            found.append(Goal(promise, f"{shares[name]:.0%}", shares[name] >= least))
    return found


def _single_cases(named: Mapping[str, CaseResult]) -> list[Goal]:
    found = []

    def at_most(promise: str, value: float | None, limit: float) -> None:
        if value is not None:
            found.append(Goal(promise, show_seconds(value), value <= limit))

    if "rosenbrock" in named:
        at_most("Rosenbrock from NumPy arrays ≤ 3 µs", named["rosenbrock"].median("tracer"), 3e-6)
    for name in ("mlp_8", "mlp_128"):
        if name in named:
            at_most(f"first call of `{name}` ≤ 30 ms", named[name].first_seconds("tracer"), 0.03)
    if "rnn" in named:
        at_most("first call of the 100-step RNN ≤ 150 ms", named["rnn"].first_seconds("tracer"), 0.15)
        ratio = named["rnn"].ratio("jax_scan")
        if ratio is not None:
            found.append(Goal("and steady faster than JAX's `lax.scan`", show_ratio(ratio), ratio > 1))
    return found


def _first_calls(results: Sequence[CaseResult]) -> list[Goal]:
    """Against the sooner of JAX's spellings."""
    ratios = {}
    for result in results:
        theirs = [seconds for name in JAX if (seconds := result.first_seconds(name)) is not None]
        ours = result.first_seconds("tracer")
        if theirs and ours:
            ratios[result.case.name] = min(theirs) / ours
    if not ratios:
        return []
    late = {name: ratio for name, ratio in ratios.items() if ratio < 20}
    return [_all("first call ≥ 20x sooner than JAX's on every case", len(ratios), late, largest_first=False)]


def _least_of_jax(result: CaseResult) -> int | None:
    return min((memory for name in JAX if (memory := result.memory(name)) is not None), default=None)
