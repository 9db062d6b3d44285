"""A trace: what one run of the user's function on proxies has captured and which effects it asked for."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracer import device, errors
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.node import Node, constant, input_node
from tracer.tracing.questions import Place, Questions
from tracer.tracing.reads import SMALL, Reads, checksum, place_of
from tracer.types import DTYPES, is_supported, type_of

KNOWN = ", ".join(str(dtype) for dtype in DTYPES)


_RULES = ("__array_ufunc__", "__array_function__")


def check_array(value: Any, name: str) -> None:
    """Raise TypeError for masked arrays, matrices and others whose operators mean something else."""
    if type(value) is np.ndarray or not isinstance(value, np.ndarray):
        return
    own = any(getattr(type(value), name) is not getattr(np.ndarray, name) for name in _RULES)
    if own or isinstance(value, np.ma.MaskedArray | np.matrix):
        raise TypeError(errors.message(errors.UNSUPPORTED_ARRAY, type=type(value).__name__, name=name))


def check_dtype(array: Any, name: str) -> None:
    """Raise TypeError for a dtype that cannot be traced."""
    if not is_supported(array.dtype):
        raise TypeError(unsupported_dtype(array.dtype, name, KNOWN))


EXAMPLES: weakref.WeakSet[Node] = weakref.WeakSet()
"""Inputs that stand for one example within a mapped function; outside of it nothing may depend on them."""


class _Version:
    """One state of a captured array: its node, and what the array held when that state was met."""

    def __init__(self, array: np.ndarray[Any, Any], node: Node | None = None) -> None:
        self.node = input_node(type_of(array)) if node is None else node
        is_far = device.is_on_gpu(array)
        # A copy of a large array would cost too much; its earlier states are gone when it changes.
        self.snapshot = array.copy() if array.nbytes <= SMALL and not is_far else None
        self.checksum = None if self.snapshot is not None or is_far else checksum(array)

    def holds(self, array: np.ndarray[Any, Any]) -> bool:
        if self.snapshot is not None:
            return array.shape == self.snapshot.shape and array.tobytes() == self.snapshot.tobytes()
        return self.checksum is None or checksum(array) == self.checksum


class Trace:
    """The state of one tracing run.

    Attributes
    ----------
    name : str
        The traced function's name, for messages.
    updates : dict
        Shared variable -> node of its new value.
    shared : dict
        Shared variable -> the traced array that it is in this trace, and its node before anything is written into it.
    streams : dict
        The random generators that were drawn from; see `tracing.generators`.
    ended : bool
        Whether the run is over; its proxies can then no longer be used.
    escape : ConcretizationError or None
        The last refusal to turn a traced value into a number; NumPy replaces some of these by errors of its own.
    session : Session or None
        What rewritten code reports to, where functions are rewritten; see `tracing.source`.
    writes : list of dict
        Who wants to know of writes into traced arrays: each gets the array, with its node before the first of them.
    read_as_numbers : set of int
        The ids of real arrays of before the trace that NumPy computed with.
    """

    def __init__(self, name: str, known: Mapping[int, tuple[np.ndarray[Any, Any], Node]] | None = None) -> None:
        self.name = name
        self.questions: Questions | None = None
        self.is_guarded = False
        self.in_place_scalars: set[int] = set()
        self._known = {} if known is None else known
        self._seen_through: dict[Any, tuple[np.ndarray[Any, Any], Any]] = {}
        self._held: dict[Node, np.ndarray[Any, Any]] = {}
        self.updates: dict[Any, Node] = {}
        self.shared: dict[Any, tuple[Any, Node]] = {}
        self.streams: dict[int, Any] = {}
        self.ended = False
        self.escape: errors.ConcretizationError | None = None
        self.session: Any = None
        self.writes: list[dict[Any, Node]] = []
        self.reads = Reads()
        self.is_trial = False
        self._captured: dict[int, tuple[np.ndarray[Any, Any], list[_Version]]] = {}
        self._plain: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}

    def all_updates(self) -> dict[Any, Node]:
        """The new values of shared variables, with what was written into them in place.

        Raises UpdateError for one that was set and written into as well.
        """
        updates = dict(self.updates)
        for variable, (array, before) in self.shared.items():
            if array.__tracer_node__ is not before:
                if variable in updates:
                    raise errors.UpdateError(errors.message(errors.UPDATE_TWICE, name=variable.label))
                updates[variable] = array.__tracer_node__
        return updates

    def shared_arrays(self) -> dict[Any, Node]:
        """What the traced arrays of shared variables hold now."""
        return {array: array.__tracer_node__ for array, _ in self.shared.values()}

    def shared_written(self, since: Mapping[Any, Node]) -> dict[Any, Node]:
        """The traced arrays of shared variables that were written into since then, and what they held before."""
        before = {array: since.get(array, first) for array, first in self.shared.values()}
        return {array: node for array, node in before.items() if array.__tracer_node__ is not node}

    def capture(self, array: np.ndarray[Any, Any]) -> Node:
        """Return the input node that stands for a real array that the traced function uses."""
        if device.is_on_gpu(array):
            return self._version_of(array)
        seen = self._seen_through.get(place_of(array)) if self._seen_through else None
        if seen is not None:
            node: Node = seen[1].__tracer_node__
            return node
        self.reads.meet(array)
        if type(array) is not np.ndarray:  # numpy.memmap, say
            array = self._plain.setdefault(id(array), (array, array.view(np.ndarray)))[1]
        return self._version_of(array)

    def _version_of(self, array: Any) -> Node:
        found = self._captured.get(id(array))
        if found is None:
            found = self._captured[id(array)] = (array, [self._first_version(array)])
        versions = found[1]
        if versions[-1].snapshot is not None and not versions[-1].holds(array):
            versions.append(_Version(array))
        last = versions[-1]
        self._held[last.node] = array if last.snapshot is None else last.snapshot
        return last.node

    def _first_version(self, array: np.ndarray[Any, Any]) -> _Version:
        """An earlier trace's input for the array, if there is one: then both ask the same questions."""
        known = self._known.get(id(array))
        fits = known is not None and known[0] is array and known[1].type == type_of(array)
        return _Version(array, known[1] if known is not None and fits else None)

    def see_through(self, array: np.ndarray[Any, Any], view: Any) -> None:
        """Let a traced view of an argument's memory stand for a real array that shares it."""
        self._seen_through[place_of(array)] = array, view

    def argument_view(self, array: np.ndarray[Any, Any]) -> Any:
        """The traced view of an argument's memory that stands for a real array; None if none does."""
        seen = self._seen_through.get(place_of(array))
        return None if seen is None else seen[1]

    def captured_value(self, node: Node) -> np.ndarray[Any, Any] | None:
        """What a captured array held when it was met."""
        return self._held.get(node)

    def has_captured(self, value: Any) -> bool:
        """Whether a real array was read during the trace."""
        return (
            id(value) in self._plain
            or id(value) in self._captured
            or any(array is value for array, _ in self._seen_through.values())
        )

    def left_behind(self) -> dict[Node, np.ndarray[Any, Any]]:
        """What captured arrays hold that the function has left behind: nobody can change them any more."""
        found = {}
        for array, versions in self._captured.values():
            version = versions[-1]
            if version.snapshot is not None and array.base is None and sys.getrefcount(array) == _ALONE:
                if len(versions) == 1 and version.holds(array):
                    found[version.node] = version.snapshot
        return found

    def captures(self) -> tuple[list[tuple[np.ndarray[Any, Any], Node]], dict[Node, Node]]:
        """Captured arrays with their input nodes, and constants for those that the function itself changed.

        An array that held still is an input, so that the next call sees what it holds then. One that the function
        filled or changed while it ran is work of the trace: each of its states is a constant. So is one that it has
        left behind, which nobody can change any more. Raises TraceError if a large one changed, whose earlier states
        are gone.
        """
        inputs, constants, left = [], {}, self.left_behind()
        for array, versions in self._captured.values():
            if len(versions) == 1 and versions[0].node not in left and versions[0].holds(array):
                inputs.append((array, versions[0].node))
                continue
            for version in versions:
                if version.snapshot is None:
                    raise errors.TraceError(
                        errors.message(
                            errors.CAPTURE_CHANGED, version.node.line, value=version.node.type, function=self.name
                        )
                    )
                constants[version.node] = constant(version.snapshot)
        return inputs, constants


def _count_alone() -> int:
    """The references that `left_behind` counts to an array that nobody else holds."""
    for array, _ in {0: (np.empty(0), [])}.values():
        return sys.getrefcount(array)
    raise AssertionError


_ALONE = _count_alone()


class _Active(threading.local):
    trace: Trace | None = None
    place: Place | None = None
    evaluate: Callable[[Node], np.ndarray[Any, Any]] | None = None


_active = _Active()
_lock = threading.Lock()

RUNNING = {"traces": 0}
"""How many traces run on all threads together: compiled functions take their fast path only while there is none."""


def _count(change: int) -> None:
    with _lock:
        RUNNING["traces"] += change


def current() -> Trace | None:
    """The trace that runs on this thread, if any."""
    return _active.trace


def note_write(array: Any) -> None:
    """Tell those who want to know that a traced array is about to hold something else."""
    active = _active.trace
    for log in () if active is None else active.writes:
        log.setdefault(array, array.__tracer_node__)


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Make a trace the current one of this thread; afterwards it has ended, also after an exception."""
    before, _active.trace = _active.trace, trace
    _count(1)
    try:
        yield trace
    finally:
        _count(-1)
        _active.trace = before
        trace.ended = True


@contextmanager
def suspended() -> Iterator[None]:
    """Within the block no trace is on: what is computed there belongs to something else."""
    before, _active.trace = _active.trace, None
    try:
        yield
    finally:
        _active.trace = before


@contextmanager
def specialising(evaluate: Callable[[Node], np.ndarray[Any, Any]] | None) -> Iterator[None]:
    """Within the block a traced value that is needed as a number is asked of `evaluate`, and so becomes static."""
    before, _active.evaluate = _active.evaluate, evaluate
    try:
        yield
    finally:
        _active.evaluate = before


def is_specialising() -> bool:
    """Whether traced values that are needed as numbers are asked of somebody else than the trace."""
    return _active.evaluate is not None


def known_value(node: Node) -> np.ndarray[Any, Any] | None:
    """The number of a node where one can be had while tracing (see `specialising`, and `answer`)."""
    if _active.evaluate is None:
        return answer(node, "number")
    return node.value if node.is_constant else _active.evaluate(node)


def answer(node: Node, kind: str) -> np.ndarray[Any, Any] | None:
    """The number of a node at the call at hand, if the trace may depend on it: on a "size" it always may."""
    active = _active.trace
    if active is None or active.questions is None or not (kind == "size" or has_answer(node)):
        return None
    with suspended():
        return active.questions.ask(node, kind, _active.place)


def has_answer(node: Node) -> bool:
    """Whether the number of a node can be had: it is the same at every call, or the trace may depend on it."""
    active = _active.trace
    return active is not None and active.questions is not None and (active.is_guarded or active.questions.knows(node))


def constant_value(node: Node) -> np.ndarray[Any, Any] | None:
    """The array of a node that has the same one at every call, because it depends on constants only."""
    active = _active.trace
    fixed = active is not None and active.questions is not None and active.questions.knows(node)
    return answer(node, "number") if fixed else None


def known_size(node: Node) -> int | None:
    """The number of elements that a node counts, if it can be had while tracing."""
    found = answer(node, "size") if _active.evaluate is None else known_value(node)
    return None if found is None else int(found)


@contextmanager
def asked_at(place: Place | None) -> Iterator[None]:
    """Within the block questions count as asked at an earlier place in the user's code."""
    before, _active.place = _active.place, place
    try:
        yield
    finally:
        _active.place = before


def stand_for(node: Node, actual: Node) -> None:
    """Let questions about one node be about another, in whose place a transform put it."""
    active = _active.trace
    if active is not None and active.questions is not None:
        active.questions.stands_for[node] = actual


@contextmanager
def guarding() -> Iterator[None]:
    """Within the block the trace, if one is on, may depend on tests and numbers."""
    active = _active.trace
    before = False if active is None else active.is_guarded
    if active is not None:
        active.is_guarded = True
    try:
        yield
    finally:
        if active is not None:
            active.is_guarded = before


@contextmanager
def translating(translate: Callable[[Node], Node]) -> Iterator[None]:
    """Within the block `specialising` is asked for what `translate` makes of a node."""
    evaluate = _active.evaluate
    with specialising(None if evaluate is None else lambda node: evaluate(translate(node))):
        yield
