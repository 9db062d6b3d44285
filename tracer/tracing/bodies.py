"""Running a function as the body of a loop or the branch of a condition, and what it changes of its surroundings.

A body may set shared variables, draw from random generators, and write into arrays that it closes over. What it changes
so is carried from step to step, and changed for good after the loop.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.graph import substitute
from tracer.graph.node import Node, input_node
from tracer.records import NamedTuple
from tracer.tracing import trace
from tracer.tracing.generators import Stream
from tracer.tracing.proxy import Proxy, wrap
from tracer.tracing.shared import Shared
from tracer.tree import flatten, unflatten

Function = Callable[..., Any]
_DEEPEST = 8


class Change(NamedTuple):
    """What a body does to one thing around it.

    Attributes
    ----------
    slot : Node
        What the body computes from.
    before, after : Node
        Its value before the body, and the one that the body gives it.
    """

    slot: Node
    before: Node
    after: Node


Changes = dict[Any, Change]
"""Shared variables, streams of random generators and arrays, and what happens to each."""


def run_body(function: Function, arguments: Sequence[Any]) -> tuple[Any, Changes]:
    """Call a function; gives its result, and what it has changed, which is then as it was before."""
    active = trace.current()
    if active is None:
        return function(*arguments), {}
    around = _Surroundings(function, active)
    try:
        result, changes = _isolated(function, arguments, active)
    finally:
        written = around.take_back()
    if written:  # Once more, as now it is known which values are those that the step before has written.
        slots = {array: Change(input_node(before.type), before, before) for array, before in written.items()}
        with within(slots):
            result, changes = _isolated(function, arguments, active)
            for array, (slot, before, _) in slots.items():
                changes[array] = Change(slot, before, array.__tracer_node__)
    return result, changes


@contextmanager
def within(changes: Changes) -> Iterator[None]:
    """Within the block arrays that a body writes into are what the body computes from."""
    arrays = {target: change for target, change in changes.items() if type(target) is Proxy}
    for array, change in arrays.items():
        array._node = change.slot
    try:
        yield
    finally:
        for array, change in arrays.items():
            array._node = change.before


def _isolated(function: Function, arguments: Sequence[Any], active: trace.Trace) -> tuple[Any, Changes]:
    """Call a function; what it does to shared variables and random generators is taken back."""
    updates, active.updates = active.updates, {}
    before = {key: stream.current for key, stream in active.streams.items()}
    changes: Changes = {}
    try:
        result = _as_now(function(*arguments))
        for variable, after in active.updates.items():
            node = variable.__tracer_node__
            changes[variable] = Change(node, node, after)
    finally:
        active.updates = updates
        for key, stream in active.streams.items():
            start, after = before.get(key, stream.node), stream.current
            is_own = key not in before and start.is_constant  # made by the function
            if after is not start and not is_own:
                changes[stream] = Change(start, start, after)
                stream.current = start
    return result, changes


def _as_now(result: Any) -> Any:
    """A nest with traced arrays as they are now: what is written into them is taken back after a body."""
    leaves, structure = flatten(result)
    active = trace.current()
    now = [wrap(item.__tracer_node__, active) if type(item) is Proxy else item for item in leaves]
    return unflatten(structure, now)


def record(changes: Mapping[Any, Any]) -> None:
    """Give what bodies have changed its new values. Raises UpdateError for a second update of a shared variable."""
    active = trace.current()
    for target, value in changes.items():
        node = value.__tracer_node__
        if isinstance(target, Stream):
            target.current = node
        elif isinstance(target, Shared):
            if active is None or target in active.updates:
                raise errors.UpdateError(errors.message(errors.UPDATE_TWICE, name=target.label))
            active.updates[target] = node
        else:
            trace.note_write(target)
            target._node = node


class Threaded(NamedTuple):
    """What stands for what a body changes, the values before, and the body's results with the new values at the end."""

    parameters: list[Node]
    initials: list[Proxy]
    nodes: list[Node]


def threaded(nodes: Sequence[Node], changes: Changes) -> Threaded:
    """Make carries of what a body changes: a step sees what the step before it has left."""
    given = {change.slot: input_node(change.slot.type) for change in changes.values()}
    results = [*nodes, *(change.after for change in changes.values())]
    initials = [wrap(change.before, trace.current()) for change in changes.values()]
    return Threaded(list(given.values()), initials, list(substitute(results, given)))


# --- what a function can reach ---------------------------------------------------------------------------------------


def nodes_around(functions: Any) -> list[Node]:
    """The nodes of the traced values that a function, or a nest of functions and values, can reach."""
    values = _reachable(functions, set(), _DEEPEST)
    return list(dict.fromkeys(value.__tracer_node__ for value in values if isinstance(value, Proxy)))


class _Surroundings:
    """The arrays that a function could write into: traced ones, and real ones, which become traced by that."""

    def __init__(self, function: Function, active: trace.Trace) -> None:
        self.active = active
        self.shared = active.shared_arrays()
        self.traced: dict[Proxy, Node] = {}
        self.real: list[np.ndarray[Any, Any]] = []
        for value in _reachable(function, set(), _DEEPEST):
            if isinstance(value, np.ndarray):
                self.real.append(value)
            elif isinstance(value, Proxy):
                while value._base is not None:
                    value = value._base
                if not isinstance(value, Shared):
                    self.traced[value] = value.__tracer_node__

    def take_back(self) -> dict[Proxy, Node]:
        """Undo what was written; gives the arrays, and what they held before."""
        before = self.traced | self.active.shared_written(self.shared)
        lifting: Any = None if self.active.session is None else self.active.session.lifting
        for real in self.real if lifting is not None else ():
            while isinstance(real.base, np.ndarray):
                real = real.base
            if id(real) in lifting.lifted:
                owner, proxy = lifting.lifted[id(real)]
                if proxy not in before and proxy._base is None:
                    before[proxy] = lifting.first_node(owner)
        written = {array: node for array, node in before.items() if array.__tracer_node__ is not node}
        for array, node in written.items():
            array._node = node
        return written


def _reachable(value: Any, seen: set[int], depth: int) -> Iterator[Any]:
    """The leaves of what functions hold in cells, defaults and partial arguments."""
    for leaf in flatten(value)[0]:
        yield leaf
        if id(leaf) in seen or not depth:
            continue
        seen.add(id(leaf))
        held: list[Any] = []
        if isinstance(leaf, types.FunctionType):
            held += [cell.cell_contents for cell in leaf.__closure__ or () if _is_full(cell)]
            held += [*(leaf.__defaults__ or ()), *(leaf.__kwdefaults__ or {}).values()]
        elif isinstance(leaf, types.MethodType):
            held += [leaf.__func__, *getattr(leaf.__self__, "__dict__", {}).values()]
        elif isinstance(leaf, partial):
            held += [leaf.func, *leaf.args, *leaf.keywords.values()]
        for item in held:
            yield from _reachable(item, seen, depth - 1)


def _is_full(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
