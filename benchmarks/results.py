"""What was measured, kept on disk after every case so that a run that ends early can go on."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, find_case
from benchmarks.measure import FirstCall

# NumPy does less than the others unless the value alone is asked for.
FORWARD = ("numpy", "numba")


@dataclass
class CaseResult:
    """Everything measured on one case; entries are keyed by the name of the peer."""

    case: Case
    steady: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, FirstCall | str] = field(default_factory=dict)
    control: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def median(self, peer: str) -> float | None:
        return statistics.median(self.steady[peer]) if self.steady.get(peer) else None

    def ratio(self, peer: str) -> float | None:
        """How many times longer the peer takes than tracer: the median over rounds, each of them a comparison."""
        if not self.steady.get(peer) or not self.steady.get("tracer"):
            return None
        # What takes long has had fewer turns.
        pairs = zip(self.steady[peer], self.steady["tracer"], strict=False)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    def rivals(self) -> dict[str, float]:
        """The ratios of the peers that do the same work."""
        ratios = {name: self.ratio(name) for name in self.steady if name != "tracer"}
        return {
            name: ratio
            for name, ratio in ratios.items()
            if ratio is not None and (self.case.forward_only or name not in FORWARD)
        }

    def best(self) -> tuple[str, float] | None:
        """The fastest of the peers that do the same work, and its ratio."""
        return min(self.rivals().items(), key=lambda item: item[1], default=None)

    def first_seconds(self, peer: str) -> float | None:
        first = self.first.get(peer)
        return first.seconds if isinstance(first, FirstCall) else None

    def memory(self, peer: str) -> int | None:
        first = self.first.get(peer)
        return first.memory if isinstance(first, FirstCall) else None


def geometric_mean(values: Iterable[float]) -> float | None:
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


class Store:
    """Results in a file of one line for each case, each written as soon as it is there.

    Parameters
    ----------
    path : pathlib.Path
    settings : dict
        What has to be the same for results to be comparable: versions, rounds and the like. Results of other settings
        are forgotten.
    resume : bool
        Whether to keep what is there already.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool) -> None:
        self.path, self.settings = path, settings
        self.results: dict[str, CaseResult] = {}
        if resume and path.exists():
            self._read()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        for result in list(self.results.values()):
            self._append(result)

    def add(self, result: CaseResult) -> None:
        self.results[result.case.name] = result
        self._append(result)

    def of(self, cases: Sequence[Case]) -> list[CaseResult]:
        """The results that there are, in the order of the cases."""
        return [self.results[case.name] for case in cases if case.name in self.results]

    def _append(self, result: CaseResult) -> None:
        entry = {
            "settings": self.settings,
            "case": result.case.name,
            "steady": result.steady,
            "first": {name: first if isinstance(first, str) else asdict(first) for name, first in result.first.items()},
            "control": result.control,
            "notes": result.notes,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _read(self) -> None:
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                case = find_case(entry["case"])
            except (ValueError, KeyError):
                # The line that was being written when the run ended, or a case that has gone.
                continue
            if entry["settings"] != self.settings:
                continue
            first = {
                name: value if isinstance(value, str) else FirstCall(**value) for name, value in entry["first"].items()
            }
            self.results[case.name] = CaseResult(case, entry["steady"], first, entry["control"], entry["notes"])
