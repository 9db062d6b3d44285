"""Runs a plan some times, with a look at the clock between its instructions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tracer.run import cpu, jit

Array = np.ndarray[Any, Any]
Costs = list[Any]
"""For each instruction nanoseconds, runs, threads, and a list of the same for each program inside."""

WARMING = 0.06
"""Seconds of work before anything is timed: native code is made of what has run for a while."""
BUDGET = 0.3
"""Seconds that are spent on rounds, if nobody says how many."""
FEWEST, MOST = 3, 300


class Stretch(NamedTuple):
    """Seconds that a thread spent on one loop or product of a run, from the beginning of the run on."""

    thread: int
    start: float
    seconds: float


@dataclass
class Job:
    """A plan, and the arrays of a call to run it on.

    Attributes
    ----------
    name : str
        The function's.
    arguments : str
        The types of its arguments.
    executable : Executable
        What runs.
    inputs : list of arrays
        What it runs on.
    call : callable or None
        Makes the whole call as a user does; None if it would change something.
    phases : sequence
        What was done to compile it: (name, start, seconds).
    """

    name: str
    arguments: str
    executable: Any
    inputs: list[Array]
    call: Callable[[], Any] | None
    phases: Sequence[Any] = ()


@dataclass
class Samples:
    """What the rounds have shown.

    Attributes
    ----------
    costs, deep : Costs
        The medians; those with a look inside loops apart, if there are any.
    total : float
        Seconds of a call; without a `call` of the job, of a run of its program from Python.
    runs : list of list of float
        For each round the seconds of every instruction.
    stretches : list of Stretch
        What the threads did in the last round.
    """

    costs: Costs
    deep: Costs | None
    total: float
    runs: list[list[float]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)


def measure(job: Job, rounds: int | None = None) -> Samples:
    """Time a job: the call as it is, then the instructions of the program, then those inside of them, round by round.

    Nothing but the program's own results is made: they are dropped, and what they would have been stored to stays.
    """
    native = job.executable.native
    call = job.call or (lambda: native.run(job.inputs))
    start = time.perf_counter()
    warm, spent = 0, 0.0
    while spent < WARMING and warm < MOST:
        call()
        warm += 1
        spent = time.perf_counter() - start
    if spent < 20 * WARMING:
        jit.wait()
    each = max(spent / warm, 1e-7)
    if rounds is None:
        rounds = int(min(max(BUDGET / (3 * each), FEWEST if each < BUDGET else 1), MOST))
    totals, shallow, deep = [], [], []
    nested = any(inside for _, _, inside in native.steps())
    for _ in range(rounds):
        before = time.perf_counter()
        call()
        totals.append(time.perf_counter() - before)
        costs, stretches = _run_logged(native, job.inputs)
        shallow.append(costs)
        if nested:
            deep.append(native.run_timed(job.inputs, deep=True)[1])
    runs = [[cost[0] * 1e-9 for cost in run] for run in shallow]
    return Samples(together(shallow), merged(deep) if deep else None, median(totals), runs, stretches)


def _run_logged(native: Any, inputs: Sequence[Array]) -> tuple[Costs, list[Stretch]]:
    """What the instructions of a run cost, and what its threads did."""
    cpu.log_stretches(True)
    try:
        start = time.perf_counter_ns()
        costs = native.run_timed(inputs)[1]
        end = time.perf_counter_ns()
    finally:
        found = cpu.log_stretches(False)
    # Other callers may have kept the threads busy before or after.
    mine = [item for item in found if start <= item[1] and item[2] <= end]
    return costs, [Stretch(thread, (first - start) * 1e-9, (last - first) * 1e-9) for thread, first, last in mine]


def together(rounds: Sequence[Costs]) -> Costs:
    """The medians of several runs, made to add up to that of whole runs: they are less, if some were disturbed."""
    costs = merged(rounds)
    whole, parts = median(sum(cost[0] for cost in run) for run in rounds), sum(cost[0] for cost in costs)
    scale = whole / parts if parts else 1.0
    return [(nanoseconds * scale, *rest) for nanoseconds, *rest in costs]


def merged(rounds: Sequence[Costs]) -> Costs:
    """The medians of several runs."""
    found = []
    for number, (_, _, _, inside) in enumerate(rounds[0]):
        own = [run[number] for run in rounds]
        parts = [merged([cost[3][place] for cost in own]) for place in range(len(inside))]
        found.append((median(cost[0] for cost in own), median(cost[1] for cost in own), max(c[2] for c in own), parts))
    return found
