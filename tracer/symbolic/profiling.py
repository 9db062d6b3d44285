"""Profiles: where the time of compiled functions goes, by operation, by instruction and by line of the user's code."""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tracer.config import config
from tracer.explaining import Explained, ExplainedPlan
from tracer.graph.graph import Graph
from tracer.lower.build import Layout
from tracer.run import backend

if TYPE_CHECKING:
    from tracer.profiling import Job, Profile

Array = np.ndarray[Any, Any]

_KEPT_RUNS = 256
_LOOK_INSIDE = 8
"""Of so many runs one looks inside loops."""


class Cost(NamedTuple):
    """What something has cost so far.

    Attributes
    ----------
    calls : int
    nanoseconds : float
    """

    calls: int = 0
    nanoseconds: float = 0.0

    def plus(self, calls: int, nanoseconds: float) -> Cost:
        """With more calls and time."""
        return Cost(self.calls + calls, self.nanoseconds + nanoseconds)


class Instruction(NamedTuple):
    """One instruction of a program, for a profile.

    Attributes
    ----------
    function : str
        The function's name.
    number : int
        Its place in the program.
    kind : str
        What the kernels call it: loop, matmul, gather, ...
    op : str
        The operations that it does.
    type : str
        The type of its result.
    lines : tuple of str
        The user's lines that asked for its operations, one for each.
    """

    function: str
    number: int
    kind: str
    op: str
    type: str
    lines: tuple[str, ...]


class ProfileStats:
    """Counts of calls and times of one or several functions. See `function(..., profile=True)`.

    Parameters
    ----------
    message : str, optional
        The heading of its summary.
    atexit_print : bool
        Whether the summary is printed when Python ends, if it has not been printed until then.

    Attributes
    ----------
    fct_callcount : int
        Calls.
    fct_call_time : float
        Seconds that they took.
    compile_time : float
        Seconds that compiling took.
    instructions : dict
        Instruction -> its Cost.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], T.exp(x).sum(), profile=theano.ProfileStats("example", atexit_print=False))
    >>> f([1.0, 2.0]).shape, f.profile.fct_callcount
    ((), 1)
    """

    def __init__(self, message: str | None = None, atexit_print: bool = True, **_: Any) -> None:
        self.message = message
        self.fct_callcount = 0
        self.fct_call_time = 0.0
        self.compile_time = 0.0
        self.compile_count = 0
        self.instructions: dict[Instruction, Cost] = {}
        self.memory: dict[str, tuple[int, int, int]] = {}
        self.programs: list[_Counted] = []
        self._is_printed = not atexit_print
        _all.append(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "programs": []}  # programs are compiled where they run

    # --- what is counted -----------------------------------------------------------------------------------------

    def count_call(self, seconds: float) -> None:
        """Count one call."""
        self.fct_callcount += 1
        self.fct_call_time += seconds

    def count_compilation(self, seconds: float) -> None:
        """Count one compilation."""
        self.compile_count += 1
        self.compile_time += seconds

    def count_instructions(self, instructions: Iterable[Instruction], nanoseconds: Iterable[float]) -> None:
        """Count one run of a program."""
        costs = self.instructions
        for item, spent in zip(instructions, nanoseconds, strict=True):
            costs[item] = costs.get(item, Cost()).plus(1, spent)

    # --- summaries -----------------------------------------------------------------------------------------------

    def by(self, key: Callable[[Instruction], str]) -> dict[str, Cost]:
        """Costs of instructions added up by a key, most expensive first."""
        found: dict[str, Cost] = {}
        for item, cost in self.instructions.items():
            found[key(item)] = found.get(key(item), Cost()).plus(*cost)
        return dict(sorted(found.items(), key=lambda item: -item[1].nanoseconds))

    @property
    def by_op(self) -> dict[str, Cost]:
        """Costs by operations."""
        return self.by(lambda item: item.op)

    @property
    def by_line(self) -> dict[str, Cost]:
        """Costs by user line; an instruction of several lines counts for each by its share of the operations."""
        found: dict[str, Cost] = {}
        for item, cost in self.instructions.items():
            for line in dict.fromkeys(item.lines):
                share = cost.nanoseconds * item.lines.count(line) / len(item.lines)
                found[line] = found.get(line, Cost()).plus(cost.calls, share)
        return dict(sorted(found.items(), key=lambda item: -item[1].nanoseconds))

    def summary(
        self, file: IO[str] | None = None, n_ops_to_print: int | None = None, n_apply_to_print: int | None = None
    ) -> None:
        """Print tables of where the time went.

        Parameters
        ----------
        file : file, optional
            Where to; what `config.profiling.destination` names if None.
        n_ops_to_print, n_apply_to_print : int, optional
            The length of the tables; `config.profiling.n_ops` and `n_apply` if None.
        """
        self._is_printed = True
        ops = n_ops_to_print or config.profiling.n_ops
        applies = n_apply_to_print or config.profiling.n_apply
        text = self.text(ops, applies)
        if file is not None:
            print(text, file=file)
        elif config.profiling.destination in ("stderr", "stdout"):
            print(text, file=getattr(sys, config.profiling.destination))
        else:
            with open(config.profiling.destination, "a", encoding="utf-8") as opened:
                print(text, file=opened)

    def text(self, ops: int = 20, applies: int = 20) -> str:
        """The text of the summary."""
        inside = sum(cost.nanoseconds for cost in self.instructions.values())
        share = 100 * inside / (self.fct_call_time * 1e9) if self.fct_call_time else 0.0
        parts = [
            "Function profiling\n==================",
            f"  Message: {self.message or ''}",
            f"  Time in {self.fct_callcount} calls to Function.__call__: {self.fct_call_time:.6e}s",
            f"  Time in the instructions: {inside / 1e9:.6e}s ({share:.3f}%)",
            f"  Total compile time: {self.compile_time:.6e}s in {self.compile_count} compilations",
            "",
            _table("Ops", "op", self.by_op, ops),
            _table("Instructions", "instruction", self.by(_describe), applies),
            _table("Lines", "line", self.by_line, applies),
        ]
        if config.profile_memory:
            parts.append(self._memory_text())
        return "\n".join(parts)

    def _memory_text(self) -> str:
        rows = ["Memory\n------", f"  {'arguments':>12} {'results':>12} {'temporaries':>12}  program"]
        for name, sizes in self.memory.items():
            rows.append("  " + " ".join(f"{size / 1024:>9.1f}KiB" for size in sizes) + f"  {name}")
        return "\n".join([*rows, ""])

    # --- groups and their limits -----------------------------------------------------------------------------------

    def profiles(self) -> list[Profile]:
        """For each program that ran where its time went, group by group, and the least that the machine allows.

        Returns
        -------
        list of tracer.profiling.Profile
            The one that took longest first. They tell of the last few hundred calls.

        Examples
        --------
        >>> import tracer as theano, tracer.tensor as T
        >>> x = T.dmatrix("x")
        >>> f = theano.function([x], T.dot(x, x), profile=theano.ProfileStats("squares", atexit_print=False))
        >>> _ = f([[1.0, 2.0], [3.0, 4.0]])
        >>> [profile] = f.profile.profiles()
        >>> profile.flops, profile.bytes
        (16.0, 64.0)
        """
        used = [program for program in self.programs if program.totals]
        used.sort(key=lambda program: -sum(program.totals))
        return [program.profile() for program in used]

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page that shows all of `profiles()`; see `Profile.html`."""
        from tracer.profiling.page import write_page

        return write_page(self.message or "Function profiling", self.profiles(), path)

    def chrome_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write a file of all of `profiles()` for chrome://tracing or Perfetto; see `Profile.chrome_trace`."""
        from tracer.profiling.chrome import write_trace

        return write_trace(self.profiles(), path)

    def __str__(self) -> str:
        return self.text()


_all: list[ProfileStats] = []


@atexit.register
def print_unprinted() -> None:
    """Print the summaries of the profiles that were used but not printed."""
    for stats in _all:
        if stats.fct_callcount and not stats._is_printed:
            stats.summary()


def _describe(item: Instruction) -> str:
    return f"{item.number:>3} {item.kind:<10} {item.type:<20} {item.op}   {item.lines[0] if item.lines else ''}"


def _table(title: str, label: str, costs: dict[str, Cost], length: int) -> str:
    total = sum(cost.nanoseconds for cost in costs.values()) or 1.0
    rows = [
        f"{title}\n{'-' * len(title)}",
        f"  {'time':>8} {'sum':>7} {'total':>11} {'per call':>11} {'calls':>8}  {label}",
    ]
    so_far = 0.0
    for name, cost in list(costs.items())[:length]:
        so_far += cost.nanoseconds
        each = cost.nanoseconds / max(cost.calls, 1)
        rows.append(
            f"  {100 * cost.nanoseconds / total:>7.1f}% {100 * so_far / total:>6.1f}% {cost.nanoseconds / 1e9:>10.3e}s "
            f"{each / 1e9:>10.3e}s {cost.calls:>8}  {name}"
        )
    if len(costs) > length:
        rest = total - so_far
        rows.append(f"  ... and {len(costs) - length} more, {100 * rest / total:.1f}% of the time")
    return "\n".join([*rows, ""])


# --- counting ----------------------------------------------------------------------------------------------------


class Profiled:
    """Makes the programs of a mode such that their runs are counted."""

    def __init__(self, mode: Any, stats: ProfileStats) -> None:
        self.mode, self.stats = mode, stats

    def compile(
        self, graph: Graph, layouts: Sequence[Layout], name: str, updates: backend.Updates = ()
    ) -> tuple[Graph, backend.Executable]:
        """As of `Mode`."""
        start = time.perf_counter()
        graph, executable = self.mode.compile(graph, layouts, name)
        self.stats.count_compilation(time.perf_counter() - start)
        return graph, _Counted(executable, self.stats, name, _arguments(graph))


class _Counted:
    """A program that counts its runs. It hides its native part, so that no call passes it by."""

    native = None

    def __init__(self, executable: Any, stats: ProfileStats, name: str, arguments: str) -> None:
        self.executable, self.stats = executable, stats
        self.name, self.arguments = name, arguments
        self.instructions: list[Instruction] = []
        self.totals: deque[float] = deque(maxlen=_KEPT_RUNS)
        self.shallow: deque[Any] = deque(maxlen=_KEPT_RUNS)
        self.deep: deque[Any] = deque(maxlen=_KEPT_RUNS)
        self._runs = itertools.count()
        if executable.native is not None:
            program = executable.program
            self.instructions = [
                _instruction(name, number, item, nodes)
                for number, (item, nodes) in enumerate(zip(program.instructions, program.nodes, strict=True))
            ]
            stats.memory[f"{name} #{stats.compile_count}"] = _memory(program)
            stats.programs.append(self)

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run, and count."""
        native = self.executable.native
        if native is None:
            outputs: list[Array] = self.executable.run(arrays)
            return outputs
        # A look inside loops makes them slower: few runs tell how their time is divided.
        deep = next(self._runs) % _LOOK_INSIDE == 0
        start = time.perf_counter()
        outputs, costs = native.run_timed(arrays, deep=deep)
        self.totals.append(time.perf_counter() - start)
        (self.deep if deep else self.shallow).append(costs)
        self.stats.count_instructions(self.instructions, [cost[0] for cost in costs])
        return outputs

    def profile(self) -> Profile:
        """Where the time of the runs went."""
        from tracer.profiling.measuring import Job, Samples, merged, together
        from tracer.profiling.profile import assembled

        shallow, deep = list(self.shallow or self.deep), list(self.deep)
        runs = [[cost[0] * 1e-9 for cost in costs] for costs in (*self.deep, *self.shallow)]
        samples = Samples(together(shallow), merged(deep) if deep else None, median(self.totals), runs)
        return assembled(Job(self.name, self.arguments, self.executable, [], None), samples)


def job_of(program: Any, values: Sequence[Any], call: Callable[[], Any] | None) -> Job:
    """A program of symbolic variables with the values of a call, for a profile."""
    flat, plan = program.find_plan(values)
    return _job(program, plan, flat.arrays, call)


def _job(program: Any, plan: Any, arrays: list[Any], call: Callable[[], Any] | None) -> Job:
    from tracer.profiling import Job

    executable = getattr(plan.executable, "executable", plan.executable)
    arguments = _arguments(plan.recorded, len(program.inputs))
    return Job(program.name, arguments, executable, arrays, call, plan.phases)


def explained(program: Any) -> Explained:
    """What there is to tell of a program of symbolic variables and its plans."""
    signatures = [
        [ExplainedPlan(_job(program, plan, [], str), None, _facts(program, plan)) for plan in group]
        for group in program.plans()
    ]
    return Explained(program.name, signatures)


def _facts(program: Any, plan: Any) -> list[str]:
    facts = []
    if plan.question is not None:
        facts.append("holds for " + ", ".join(str(answer) for answer in plan.question[1]) + " as sizes or counts")
    if program.shared:
        facts.append("reads shared " + ", ".join(item.label for item in program.shared))
    if program.updates:
        facts.append("updates shared " + ", ".join(item.label for item in program.updates))
    return facts


def _arguments(graph: Graph, count: int | None = None) -> str:
    return ", ".join(f"{node.name or 'input'} {node.type}" for node in graph.inputs[:count])


def _instruction(function: str, number: int, item: Any, nodes: Sequence[Any]) -> Instruction:
    names = list(dict.fromkeys(node.op.name for node in nodes))
    op = names[0] if len(names) == 1 else f"fused({', '.join(names)})"
    lines = tuple(f"{node.line.file}:{node.line.number}" if node.line else "?" for node in nodes)
    kind = nodes[-1].types[0] if nodes else ""
    return Instruction(function, number, item.opcode, op if nodes else item.opcode, str(kind), lines)


def _memory(program: Any) -> tuple[int, int, int]:
    """Bytes of the arguments, results and temporaries of a program."""
    sizes = {"argument": 0, "output": 0}
    for buffer in program.buffers:
        if buffer.kind in sizes:
            sizes[buffer.kind] += int(np.prod(buffer.shape, dtype=np.int64)) * np.dtype(buffer.dtype).itemsize
    return sizes["argument"], sizes["output"], int(program.arena)


def profile_of(profile: Any, name: str) -> ProfileStats | None:
    """The counts that the argument `profile` of a function asks for."""
    if profile is None:
        profile = config.profile
    if isinstance(profile, ProfileStats):
        return profile
    if not profile:
        return None
    return ProfileStats(profile if isinstance(profile, str) else name)
