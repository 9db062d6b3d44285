"""What a compiled function tells about itself: its signatures, and for each of their plans what it holds for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tracer.errors import message
from tracer.errors.profiling import UNKNOWN_FORMAT
from tracer.pipeline import Plan
from tracer.records import NamedTuple
from tracer.tracing.questions import Question
from tracer.types import type_of

if TYPE_CHECKING:
    from pathlib import Path

    from tracer.profiling import Job, Profile

_MOST_NAMES = 8
"""Names of guarded places that are listed; of more only the number is told."""


class ExplainedPlan(NamedTuple):
    """What there is to tell of a plan.

    Attributes
    ----------
    job : Job
        What it runs, for arguments of which types.
    calls : int or None
        How many calls used it, if that was counted.
    facts : sequence of str
        What it holds for, and what it reads and writes.
    """

    job: Job
    calls: int | None
    facts: Sequence[str]


class Explained(NamedTuple):
    """What a compiled function has compiled.

    Attributes
    ----------
    name : str
        The function's.
    signatures : sequence of sequences of ExplainedPlan
        The plans for arguments of the same types.
    calls, traces : int or None
        How many there were, if that was counted.
    """

    name: str
    signatures: Sequence[Sequence[ExplainedPlan]]
    calls: int | None = None
    traces: int | None = None


class Explainable:
    """A function that tells what it has compiled."""

    def __tracer_plans__(self) -> Explained:
        raise NotImplementedError

    def explain(self, format: str = "text", path: str | os.PathLike[str] | None = None) -> str | Path:
        """Describe what was compiled: for each signature its plans, what each of them holds for, and what it runs.

        Parameters
        ----------
        format : {"text", "html"}
            A page has the groups of each plan in tables that can be sorted, their limits as a picture, and the lives of
            their buffers.
        path : str or path, optional
            Where to write it.

        Returns
        -------
        str or Path
            For each plan the path that it is for (the tests and numbers that the function asked of traced values, where
            in the source, and what they were), the sizes that only the data tell, how often it was called, which arrays
            it captured and what names it guards, what it writes to; and the groups of its program, with the bytes that
            they move, their operations, and the least time that this machine needs for them. With `path`, that path.

        Raises
        ------
        ValueError
            For another format.

        See Also
        --------
        profile : the same with times.

        Examples
        --------
        >>> import numpy as np, tracer
        >>> @tracer.compile(branches="guard")
        ... def f(x):
        ...     return x + 1 if x > 0 else x - 1
        >>> f(np.float64(2.0)), f(np.float64(-2.0)), f(np.float64(-3.0))
        (np.float64(3.0), np.float64(-3.0), np.float64(-4.0))
        >>> print(f.explain())  # doctest: +ELLIPSIS
        f: 2 plans for 1 signature, 3 calls, 2 traces
        signature 1: x float64[]
          plan 1, 1 call
            test x > 0 is True (...)
            program of 1 instruction
            group  kind  runs ... bytes  flops  limited by  code
            ...
                x + 1.0; x > 0.0
            ...
          plan 2, 2 calls
            test x > 0 is False (...)
            ...
                x - 1.0; x > 0.0
            ...
        """
        told = self.__tracer_plans__()
        if format == "text":
            text = explanation(told)
        elif format == "html":
            text = _page(told)
        else:
            raise ValueError(message(UNKNOWN_FORMAT, format=format))
        if path is None:
            return text
        from pathlib import Path

        Path(path).write_text(text, encoding="utf-8")
        return Path(path)


class Profilable(Explainable):
    """A function that also tells what its calls cost."""

    def profile(self, /, *args: Any, **kwargs: Any) -> Profile:
        """Measure where the time of a call goes.

        The call is made some times, and its program is run some more with a look at the clock between its instructions,
        for about half a second in all. If a call would change something (a shared variable, a generator, an array that
        it writes into), only the program is run, and its results are dropped: all of that stays as it is. Python code
        that the function calls while it computes, as `tracer.pure_callback` does, is run every time.

        Parameters
        ----------
        *args, **kwargs
            Those of the call.

        Returns
        -------
        tracer.profiling.Profile
            `print` shows it as a table. `.html(path)` writes a page with pictures, which a notebook shows by itself,
            and `.chrome_trace(path)` a file for chrome://tracing or Perfetto. `.groups` are the groups of the program,
            the longest first, and the overhead of the call; `.total` is the time of a call in seconds.

        Raises
        ------
        TraceError
            In a trace, or if something else than the CPU's kernels runs the function.

        See Also
        --------
        tracer.profiling.profile : the same with a number of rounds.

        Examples
        --------
        >>> import numpy as np, tracer
        >>> @tracer.compile
        ... def f(x, y):
        ...     return np.exp(x) @ y
        >>> profile = f.profile(np.ones((20, 30)), np.ones((30, 10)))
        >>> [(group.kind, group.text, group.flops) for group in profile.groups if group.kind == "matmul"]
        [('matmul', '#0 @ y', 12000.0)]
        >>> round(sum(group.share for group in profile.groups), 6)
        1.0
        """
        from tracer.profiling import profile

        return profile(self, args, kwargs)


def job_of(plan: Plan, arrays: Sequence[Any], call: Callable[[], Any]) -> Job:
    """A plan with the arrays of a call, for a profile; without the call, if that would change something."""
    from tracer.profiling import Job

    traced = plan.traced
    inputs = [*arrays, *traced.captured, *(item.cell[0] for item in traced.shared)]
    changes = traced.updated or traced.written or traced.stored or traced.streams
    return Job(traced.name, _arguments(plan), plan.executable, inputs, None if changes else call, plan.phases)


def explained_plan(plan: Plan, calls: int) -> ExplainedPlan:
    """What there is to tell of a plan, and of so many calls by the native path."""
    return ExplainedPlan(job_of(plan, (), str), plan.calls + calls, tuple(_facts(plan)))


def explanation(told: Explained) -> str:
    """The text of `f.explain()`."""
    plans = _count(sum(map(len, told.signatures)), "plan")
    counts = [f"{plans} for {_count(len(told.signatures), 'signature')}"]
    for number, what in ((told.calls, "call"), (told.traces, "trace")):
        counts += [] if number is None else [_count(number, what)]
    lines = [f"{told.name}: {', '.join(counts)}"]
    for number, group in enumerate(told.signatures, 1):
        lines.append(f"signature {number}: {group[0].job.arguments or 'no arrays'}")
        for place, plan in enumerate(group, 1):
            lines.append(f"  plan {place}" + ("" if plan.calls is None else f", {_count(plan.calls, 'call')}"))
            lines += (f"    {line}" for line in (*plan.facts, _size(plan.job.executable)))
            lines += _groups(plan.job.executable)
    return "\n".join(lines)


def _size(executable: Any) -> str:
    program = getattr(executable, "program", None)
    return "runs op by op" if program is None else f"program of {_count(len(program.instructions), 'instruction')}"


def _groups(executable: Any) -> list[str]:
    from tracer.profiling.groups import groups_of
    from tracer.profiling.table import table

    if executable.native is None:
        return []
    return table(groups_of(executable.program, executable.native.steps()), timed=False, indent="    ")


def _page(told: Explained) -> str:
    from tracer.profiling.page import page
    from tracer.profiling.profile import unmeasured

    jobs = [plan.job for group in told.signatures for plan in group if plan.job.executable.native is not None]
    return page(f"{told.name}: what was compiled", list(map(unmeasured, jobs)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _arguments(plan: Plan) -> str:
    nodes = plan.traced.graph.inputs[: plan.traced.argument_count]
    return ", ".join(f"{node.name or 'argument'} {node.type}" for node in nodes)


def _facts(plan: Plan) -> Iterator[str]:
    traced = plan.traced
    for (kind, text, answer, line), group in groupby(traced.questions, _told):
        times = len(list(group))
        often = f", {times} times" if times > 1 else ""
        yield f"{kind} {text or 'without source'} is {answer}{often} ({line})"
    for (place, steps), alike in groupby(traced.rolled):
        times = len(list(alike))
        yield f"rolls the loop at {place}, {steps} steps" + (f", {times} times" if times > 1 else "")
    if traced.captured:
        yield "captures " + ", ".join(str(type_of(array)) for array in traced.captured)
    if traced.shared:
        yield "reads shared " + ", ".join(item.label for item in traced.shared)
    if traced.updated:
        yield "updates shared " + ", ".join(item.label for item in traced.updated)
    guarded = list(dict.fromkeys(guard.label for guard in traced.guards))
    if guarded:
        more = f" and {len(guarded) - _MOST_NAMES} more" if len(guarded) > _MOST_NAMES else ""
        yield f"guards {', '.join(guarded[:_MOST_NAMES])}{more}"
    if plan.on_gpu and plan.executable.on_host():  # type: ignore[attr-defined]
        yield "on the host: " + ", ".join(plan.executable.on_host())  # type: ignore[attr-defined]
    if traced.written:
        yield "writes to " + ", ".join(str(traced.graph.inputs[place].name) for place in traced.written)


def _told(question: Question) -> tuple[Any, ...]:
    return question.kind, question.text, question.answer.tolist(), question.line
