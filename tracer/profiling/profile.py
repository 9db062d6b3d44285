"""The profile of a call: groups with their times and limits, and the ways to look at it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.phases import Phase
from tracer.profiling import units
from tracer.profiling.advice import advice
from tracer.profiling.groups import CALL, Group, groups_of, shortened, with_least, with_shares, with_times
from tracer.profiling.measuring import Job, Samples, Stretch, measure
from tracer.profiling.table import WIDTH, table
from tracer.run import jit

_WHOLE = "arguments, the look-up of the plan, results"
_PART = "results, and crossing into native code; the call itself was not made, for it would change something"


@dataclass(frozen=True, repr=False)
class Profile:
    """Where the time of a call goes. `print` shows it as a table, a notebook as a page.

    Attributes
    ----------
    name : str
        The function's.
    arguments : str
        The types of its arguments.
    groups : tuple of Group
        What the call consists of, the longest first; one of them, of the kind "call overhead", is what it takes besides
        computing. Their shares add up to 1.
    total : float
        Seconds of a call: the median.
    rounds : int
        How often it was timed.
    program : LoweredProgram
        What ran.
    runs : list of list of float
        For each round the seconds of every instruction of the program.
    phases : tuple
        What was done to compile it.
    stretches : list of Stretch
        What each thread did in the last of the runs.
    """

    name: str
    arguments: str
    groups: tuple[Group, ...]
    total: float
    rounds: int
    program: Any
    runs: list[list[float]]
    phases: tuple[Any, ...] = ()
    stretches: Sequence[Stretch] = ()

    @property
    def overhead(self) -> float:
        """Seconds of a call that are not spent in its program."""
        return sum(group.time for group in self.groups if group.kind == CALL)

    @property
    def limit(self) -> float:
        """Seconds that the groups need at least, as far as that is known."""
        return sum(group.least or 0.0 for group in self.groups)

    @property
    def coverage(self) -> float:
        """The share of the time that is spent in groups whose limit is known."""
        return sum(group.share for group in self.groups if group.kind != CALL and group.least is not None)

    @property
    def bytes(self) -> float:
        """Bytes that are read and written in a call."""
        return sum(group.bytes for group in self.groups)

    @property
    def flops(self) -> float:
        """Operations on numbers in a call, as far as they are known."""
        return sum(group.flops or 0.0 for group in self.groups)

    @property
    def advice(self) -> list[str]:
        """What dominates, and what could be done."""
        return advice(self.groups, self.total)

    def __str__(self) -> str:
        called = f": {units.seconds(self.total)} a call, the median of {self.rounds}"
        lines = [
            shortened(f"{self.name}({self.arguments}", WIDTH - len(called) - 1) + ")" + called,
            "",
            *table(self.groups, timed=True, width=WIDTH),
            "",
            *(line for sentence in self.advice for line in textwrap.wrap(sentence, WIDTH)),
        ]
        return "\n".join(lines)

    def html(self, path: str | os.PathLike[str] | None = None) -> str | Path:
        """The profile as a page: the call as bars, the roofline, a table to sort, memory, and compiling.

        It is one file without links to others, readable in the dark and in the light, and by the colour-blind.

        Parameters
        ----------
        path : str or path, optional
            Where to write it.

        Returns
        -------
        str or Path
            The path; the text of the page, if there is none.
        """
        from tracer.profiling.page import page, write_page

        title = f"{self.name}: {units.seconds(self.total)} a call"
        return page(title, [self]) if path is None else write_page(title, [self], path)

    def chrome_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write a file that chrome://tracing and ui.perfetto.dev show: how it was compiled, then some of its runs.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        Path
        """
        from tracer.profiling.chrome import write_trace

        return write_trace([self], path)

    def _repr_html_(self) -> str:
        from tracer.profiling.page import fragment

        return fragment(self)

    def __repr__(self) -> str:
        return f"<profile of {self.name}: {units.seconds(self.total)} a call, {len(self.groups)} groups>"


def profile_of(job: Job, rounds: int | None = None) -> Profile:
    """Measure a job; see `tracer.profiling.profile`."""
    return assembled(job, measure(job, rounds))


def assembled(job: Job, samples: Samples) -> Profile:
    """A profile of what was measured."""
    program = job.executable.program
    groups = with_times(groups_of(program, job.executable.native.steps()), samples.costs, samples.deep)
    inside = sum(group.time for group in groups)
    total = max(samples.total, inside)
    text = _PART if job.call is None else _WHOLE
    own = Group("call", CALL, text, time=total - inside)
    return Profile(
        job.name,
        job.arguments,
        by_time(with_shares((*groups, own), total)),
        total,
        len(samples.runs),
        program,
        samples.runs,
        _phases(job),
        samples.stretches,
    )


def unmeasured(job: Job) -> Profile:
    """A profile in which all times are the limits."""
    program = job.executable.program
    groups = groups_of(program, job.executable.native.steps())
    timed = with_least(groups)
    total = sum(group.time for group in timed)
    return Profile(job.name, job.arguments, with_shares(timed, total), total, 0, program, [], _phases(job))


def _phases(job: Job) -> tuple[Phase, ...]:
    """What was done to compile it, the translation of its loops too."""
    return (*job.phases, *jit.translations.get(job.executable.native, ()))


def by_time(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The longest first."""
    return tuple(sorted(groups, key=lambda group: -group.time))
