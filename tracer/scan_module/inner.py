"""The inner function of a scan, recorded as expressions, and how its inputs bear on its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from tracer.scan_module.arguments import OutputInfo, SequenceInfo
from tracer.symbolic.gradient_flow import Way, connections, joined
from tracer.tracing.recording import Apply
from tracer.tracing.replay import substitute


class Inner:
    """What a scan computes at a step: expressions over variables of its own, and over variables from outside.

    Attributes
    ----------
    name : str
        For texts.
    slices : list of lists of variables
        For each sequence its rows, one a tap.
    taps : list of tuples of int
        Which rows of each sequence these are.
    states : list of lists of variables
        For each output its earlier values, one a tap; none if it is not fed back.
    infos : list of OutputInfo
        How each output is fed back; without initial values, which the recorded call has.
    shared : list of shared variables
        Those that every step updates.
    outer : list of variables
        What else the expressions need; it is the same at every step.
    outputs, updates : list of variables
        What a step gives: its outputs, and new values of `shared`.
    condition : variable or None
        Whether it was the last one.
    truncate : int
        Over how many steps gradients go back.
    """

    def __init__(self, name: str, sequences: Sequence[SequenceInfo], infos: Sequence[OutputInfo]) -> None:
        self.name = name
        self.taps = [info.taps for info in sequences]
        self.infos = [info._replace(initial=None) for info in infos]
        self.slices: list[list[Any]] = []
        self.states: list[list[Any]] = []
        self.shared: list[Any] = []
        self.outer: list[Any] = []
        self.outputs: list[Any] = []
        self.updates: list[Any] = []
        self.condition: Any = None
        self.backwards = False
        self.truncate = -1

    def __repr__(self) -> str:
        return self.name

    @property
    def inputs(self) -> list[Any]:
        """The variables that are its own: rows of sequences, earlier outputs, and shared variables that it updates."""
        return [item for group in (*self.slices, *self.states) for item in group] + self.shared

    @property
    def results(self) -> list[Any]:
        """Outputs, updates and the condition if there is one."""
        return [*self.outputs, *self.updates, *([] if self.condition is None else [self.condition])]

    def with_mapped_graph(self, mapped: Callable[[list[Any]], list[Any]]) -> Inner:
        """The same function with its expressions changed, as by `map_variables`."""
        own = {item: item.type(item.name) for item in self.outer}
        results = mapped(substitute(self.results, own))
        twin = copy(self)
        twin.outer = list(own.values())
        cut = len(self.outputs)
        twin.outputs, twin.updates = results[:cut], results[cut : cut + len(self.updates)]
        twin.condition = None if self.condition is None else results[-1]
        return twin

    @property
    def row_types(self) -> list[Any]:
        """The types of one step of the outputs; those that are fed back have the type of their initial values."""
        pairs = zip(self.states, self.outputs, strict=True)
        return [taps[0].type if taps else output.type for taps, output in pairs]

    @property
    def fed_back(self) -> list[int]:
        """The outputs that later steps read."""
        return [number for number, info in enumerate(self.infos) if info.taps]


# --- derivatives -------------------------------------------------------------------------------------------------


def connection_pattern(node: Apply) -> list[list[Way]]:
    """For each input of a recorded scan how it bears on each output, through any number of steps."""
    inner: Inner = node.arguments[0]
    results = [*inner.outputs, *inner.updates]
    outer = [[item] for item in inner.outer]
    own = [*inner.slices, *(inner.states[number] for number in inner.fed_back), *([item] for item in inner.shared)]
    variables = [item for group in (*own, *outer) for item in group]
    ways = [connections([result], variables) for result in results]
    feeds = [*inner.states, *([item] for item in inner.shared)]
    rows = [_reached(sources, ways, feeds) for sources in (*own, *outer)]
    return rows + [[False] * len(results)] * (len(node.inputs) - len(rows))


def _reached(sources: Sequence[Any], ways: Sequence[dict[Any, Way]], feeds: Sequence[Sequence[Any]]) -> list[Way]:
    """How results depend on variables of the first step, with what they feed back to later ones."""
    found: list[Way] = [False] * len(ways)
    moving: dict[Any, Way] = dict.fromkeys(sources, True)
    changed = True
    while changed:
        changed = False
        for number, own in enumerate(ways):
            new = joined([found[number], *(joined([way, own[item]]) for item, way in moving.items() if own[item])])
            if new != found[number]:
                found[number] = new
                moving.update(dict.fromkeys(feeds[number], new))
                changed = True
    return found
