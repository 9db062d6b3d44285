"""Steady calls: every library in turn within one process, started for each case so that a crash costs one peer."""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from benchmarks.cases import Case, find_case
from benchmarks.measure import Child, Failed
from benchmarks.peers import Call, Peer, find_peer

TURN_SECONDS = 0.05
SETTLE_SECONDS = 0.02
MOST_SETTLE_STEPS = 100
WARM_UP_SECONDS = 0.2
LONG_CALL = 0.2
"""Seconds from which on a call has only a few turns, without calls before them."""
TURNS_OF_LONG_CALLS = 3
SECONDS_PER_PEER = 30.0
CONTROL = "control"


@dataclass
class Steady:
    """Seconds per call of each peer in each round, and why the others have none; `notes` are for the reader."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measured(case: Case, peers: Sequence[Peer], rounds: int, scratch: str, cores: int | None = None) -> Steady:
    """Measure in a process of its own; who makes it crash or hang is left out, and the others start again."""
    result = Steady()
    names = [peer.name for peer in peers]
    while names:
        arguments = ["-m", "benchmarks.steady", case.name, *names, "--rounds", str(rounds)]
        try:
            output = Child(arguments, scratch, cores).output(60.0 + SECONDS_PER_PEER * len(names))
        except Failed as failure:
            culprit = next((line[1:] for line in reversed(failure.output.splitlines()) if line.startswith("@")), "")
            if culprit not in names:
                result.notes.append(f"not measured: {failure}")
                return result
            names.remove(culprit)
            result.failures[culprit] = str(failure)
            continue
        told = json.loads(output.splitlines()[-1])
        result.seconds = told["seconds"]
        result.failures |= told["failures"]
        result.notes += told["notes"]
        return result
    return result


def measure(case: Case, peers: Sequence[Peer], rounds: int, small: bool = False) -> Steady:
    """Build every peer's call, compare the answers, and measure in turn, in this process."""
    result = Steady()
    calls: dict[str, Call] = {}
    answers: dict[str, list[numpy.ndarray]] = {}
    for peer in peers:
        announce(peer.name)
        try:
            peer.load()
            call = peer.build(case, peer.place(case.arguments(small)))
            answers[peer.name] = peer.to_numpy(call())
            peer.warm_up(call)
        except Exception as error:
            result.failures[peer.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            answers.pop(peer.name, None)
        else:
            calls[peer.name] = call
    result.notes = disagreements(answers, case)
    result.seconds = round_robin({CONTROL: control(), **calls}, rounds, announce)
    return result


def announce(name: str) -> None:
    """Tell the parent who is at work, in case that ends the process."""
    print(f"@{name}", flush=True)


def round_robin(
    calls: Mapping[str, Callable[[], Any]], rounds: int, announce: Callable[[str], Any] = lambda name: None
) -> dict[str, list[float]]:
    """Seconds per call of each entry in each round; in a round every entry has one turn, after the others."""
    numbers = {}
    for name, call in calls.items():
        announce(name)
        numbers[name] = _calls_per_turn(call)
    gc.collect()
    # What the libraries keep alive is not the business of a collection that falls into somebody's turn.
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            slow = numbers[name] == 0
            if slow and turn >= TURNS_OF_LONG_CALLS:
                continue
            _settle()
            # What ran before has taken the caches and the freed memory; a turn measures calls that follow one another.
            for _ in range(0 if slow else max(2, numbers[name] // 4)):
                call()
            seconds[name].append(_time_calls(call, max(numbers[name], 1)))
    gc.unfreeze()
    return seconds


def _settle() -> None:
    """Wait until no thread of this process works: OpenBLAS's spin on after a product and take a core from the next."""
    for _ in range(MOST_SETTLE_STEPS):
        before = time.process_time()
        time.sleep(SETTLE_SECONDS)
        if time.process_time() - before < SETTLE_SECONDS / 20:
            return


def control() -> Callable[[], Any]:
    """Work that does not involve any peer: if its time moves between cases, the machine did."""
    rng = numpy.random.default_rng(0)
    matrix, vector = rng.normal(size=(160, 160)), rng.normal(size=50_000)
    return lambda: (matrix @ matrix, numpy.exp(vector))


def _calls_per_turn(call: Callable[[], Any]) -> int:
    """How many calls fill a turn, 0 for a long one; warms the call up on the way."""
    deadline, fastest = time.perf_counter() + WARM_UP_SECONDS, float("inf")
    while True:
        fastest = min(fastest, _time_calls(call, 1))
        if time.perf_counter() > deadline:
            return 0 if fastest > LONG_CALL else max(1, round(TURN_SECONDS / fastest))


def _time_calls(call: Callable[[], Any], number: int) -> float:
    repeats = range(number)
    start = time.perf_counter()
    for _ in repeats:
        call()
    return (time.perf_counter() - start) / number


def disagreements(answers: Mapping[str, list[numpy.ndarray]], case: Case) -> list[str]:
    """One line for each peer that computes something else than the first one: such a time would mean nothing."""
    tolerance = 1e-3 if case.arguments(small=True)[0].dtype == numpy.float32 else 1e-8
    lines = []
    base, *others = answers or [""]
    for name in others:
        # NumPy gives the value alone.
        for index, (seen, wanted) in enumerate(zip(answers[name], answers[base], strict=False)):
            error = numpy.max(numpy.abs(seen - wanted)) / (numpy.max(numpy.abs(wanted)) + 1e-30)
            if not error <= tolerance:
                lines.append(f"WARNING: {name} and {base} differ by {error:.1e} in result {index}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=__doc__)
    parser.add_argument("case")
    parser.add_argument("peers", nargs="+")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    found = measure(find_case(options.case), [find_peer(name) for name in options.peers], options.rounds)
    print(json.dumps(vars(found)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
