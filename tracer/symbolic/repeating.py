"""Many calls of a function of symbolic variables as one program."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from tracer import device
from tracer.arguments import entry_of, in_whole_elements
from tracer.collecting import without_collector
from tracer.config import config
from tracer.repeated_graph import Loop, repeated
from tracer.repeating import MOST_RUNS, Calls
from tracer.run import backend
from tracer.symbolic.mode import Mode
from tracer.symbolic.program import Flat, Native, SymbolicPlan, SymbolicProgram
from tracer.tracing import trace
from tracer.tracing.symbolic_type import TensorType

Array = np.ndarray[Any, Any]


class Cell:
    """What holds the state of an input, as a variable that can be remembered."""

    def __init__(self, storage: list[Any]) -> None:
        self.cell = storage

    def store(self, value: Any) -> None:
        """Take a value."""
        self.cell[0] = value


class Outcome(NamedTuple):
    """How results of a program belong to a function: its outputs, then the next values of some of its inputs.

    Attributes
    ----------
    outputs : int
        How many are outputs.
    states : sequence of int or None
        For each of the others the place among the program's inputs that it is the next value of, if it is one.
    """

    outputs: int
    states: Sequence[int | None]


class Runs:
    """The programs of many calls that a function keeps, the oldest first."""

    def __init__(self) -> None:
        self._kept: dict[Any, backend.Executable] = {}

    def results(self, program: SymbolicProgram, calls: Calls, values: Sequence[Any], outcome: Outcome) -> Any:
        """Stacked or last outputs, and last states; shared variables are updated. NotImplemented where that cannot be.

        `values` has for each input of the program its value in the first call; the first of them have rows for calls.
        """
        if config.check_nan or type(program.compiler) not in (Mode, Native):
            return NotImplemented
        flat, plan = program.find_plan(values)
        carried = _carried(program, plan, flat, outcome)
        whole = [_as_type(array, value) for array, value in zip(calls.whole, values, strict=False)]
        if carried is None or any(array is None for array in whole):
            return NotImplemented
        picks = [] if calls.picks is None else [calls.picks]
        arrays: list[Any] = [*whole, *picks, *flat.arrays[len(whole) :]]
        executable = self._compiled(program, plan, calls.loop, arrays, (carried, outcome.outputs))
        try:
            outputs = executable.run(arrays)
        except Exception as error:
            program.explain(error)
            raise
        places = map(device.to_host, outputs)
        leaves = [[next(places) for _ in range(count)] for count in plan.counts]
        found = [own[0] for own in leaves[: outcome.outputs]]
        pairs = zip(program.results[outcome.outputs :], leaves[outcome.outputs :], strict=True)
        found += [kind.unflatten(own, None) for kind, own in pairs]
        count = len(program.outputs)
        for variable, value in zip(program.updates, found[count:], strict=True):
            variable.store(value)
        return found[:count]

    def _compiled(
        self,
        program: SymbolicProgram,
        plan: SymbolicPlan,
        loop: Loop,
        arrays: Sequence[Array],
        results: tuple[dict[int, int], int],
    ) -> backend.Executable:
        key = plan, loop, backend.chosen(), tuple(map(entry_of, arrays))
        found = self._kept.get(key)
        if found is None:
            carried, count = results
            layouts = backend.layouts_of(backend.chosen(), arrays)
            with without_collector(), trace.suspended():
                graph = repeated(plan.recorded, loop, carried, range(count, len(plan.recorded.outputs)), loop.sliced)
                found = program.compiler.compile(graph, layouts, program.name)[1]
            self._kept[key] = found
            while len(self._kept) > MOST_RUNS:
                self._kept.pop(next(iter(self._kept)), None)
        return found


def _carried(program: SymbolicProgram, plan: SymbolicPlan, flat: Flat, outcome: Outcome) -> dict[int, int] | None:
    """Which output of a plan is which input of the next call; None if calls may differ in more than numbers."""
    counted = zip(program.results[: outcome.outputs], plan.counts, strict=False)
    if plan.question is not None or any(plan.statics) or any(flat.statics):
        return None
    if any(type(kind) is not TensorType or count != 1 for kind, count in counted):
        return None
    starts = [0, *accumulate(flat.counts)]
    homes: list[int | None] = [*outcome.states]
    shared = {variable: place for place, variable in enumerate(program.shared, len(program.inputs))}
    homes += [shared.get(variable) for variable in program.updates]
    carried: dict[int, int] = {}
    place = outcome.outputs
    for home, count in zip(homes, plan.counts[outcome.outputs :], strict=True):
        if home is not None:
            if flat.counts[home] != count:
                return None
            carried.update(zip(range(place, place + count), range(starts[home], starts[home] + count), strict=True))
        place += count
    outputs, inputs = plan.recorded.outputs, plan.recorded.inputs
    if any(outputs[place].type != inputs[home].type for place, home in carried.items()):
        return None
    return carried


def _as_type(array: Array, row: Array) -> Array | None:
    """All rows as the program takes them, `row` being what was made of the first ones; None if that loses anything."""
    if array.dtype != row.dtype:
        if not np.can_cast(array.dtype, row.dtype, "safe"):
            return None
        array = array.astype(row.dtype)
    return in_whole_elements(array)


def no_results(program: SymbolicProgram, values: Sequence[Any], count: int) -> list[Any]:
    """The stacked outputs of no calls: arrays without rows."""
    plan = program.find_plan(values)[1]
    starts = [0, *accumulate(plan.counts)]
    types = [plan.recorded.outputs[start].type for start in starts[:count]]
    return [np.zeros((0, *found.known_shape), found.dtype) for found in types]
