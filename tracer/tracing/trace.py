"""A trace: what one run of the user's function on proxies has captured and which effects it asked for."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import Node, constant, input_node
from tracer.types import DTYPES, is_supported, type_of

KNOWN = ", ".join(str(dtype) for dtype in DTYPES)


def check_array(value: Any, name: str) -> None:
    """Raise TypeError for masked arrays and matrices, whose operators mean something else."""
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        raise TypeError(errors.message(errors.UNSUPPORTED_ARRAY, type=type(value).__name__, name=name))


def check_dtype(array: Any, name: str) -> None:
    """Raise TypeError for a dtype that cannot be traced."""
    if not is_supported(array.dtype):
        raise TypeError(errors.message(errors.UNSUPPORTED_DTYPE, dtype=array.dtype, name=name, known=KNOWN))


_SNAPSHOT_LIMIT = 1 << 20
"""Captured arrays up to this many bytes are copied when met, so that later in-place changes can be followed."""


class _Version:
    """One state of a captured array: its node, and what the array held when that state was met."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.node = input_node(type_of(array))
        self.snapshot = array.copy() if array.nbytes <= _SNAPSHOT_LIMIT else None
        self.checksum = None if self.snapshot is not None else _checksum(array)

    def holds(self, array: np.ndarray[Any, Any]) -> bool:
        if self.snapshot is not None:
            return array.shape == self.snapshot.shape and array.tobytes() == self.snapshot.tobytes()
        return _checksum(array) == self.checksum


def _checksum(array: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


class Trace:
    """The state of one tracing run.

    Attributes
    ----------
    name : str
        The traced function's name, for messages.
    updates : dict
        Shared variable -> node of its new value.
    ended : bool
        Whether the run is over; its proxies can then no longer be used.
    escape : ConcretizationError or None
        The last refusal to turn a traced value into a number; NumPy replaces some of these by errors of its own.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.updates: dict[Any, Node] = {}
        self.ended = False
        self.escape: errors.ConcretizationError | None = None
        self._captured: dict[int, tuple[np.ndarray[Any, Any], list[_Version]]] = {}

    def capture(self, array: np.ndarray[Any, Any]) -> Node:
        """Return the input node that stands for a real array that the traced function uses."""
        found = self._captured.get(id(array))
        if found is None:
            found = self._captured[id(array)] = (array, [_Version(array)])
        versions = found[1]
        if versions[-1].snapshot is not None and not versions[-1].holds(array):
            versions.append(_Version(array))
        return versions[-1].node

    def has_captured(self, value: Any) -> bool:
        """Whether a real array was read during the trace."""
        return id(value) in self._captured

    def captured_memory(self) -> set[int]:
        """The ids of the arrays that were read during the trace, and of those that they are views of."""
        found = set()
        for array, _ in self._captured.values():
            base: Any = array
            while base is not None:
                found.add(id(base))
                base = getattr(base, "base", None)
        return found

    def captures(self) -> tuple[list[tuple[np.ndarray[Any, Any], Node]], dict[Node, Node]]:
        """Captured arrays with their input nodes, and constants for those that the function itself changed.

        An array that held still is an input, so that the next call sees what it holds then. One that the function
        filled or changed while it ran is work of the trace: each of its states is a constant. Raises TraceError if a
        large one changed, whose earlier states are gone.
        """
        inputs, constants = [], {}
        for array, versions in self._captured.values():
            if len(versions) == 1 and versions[0].holds(array):
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


class _Active(threading.local):
    trace: Trace | None = None
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


def known_value(node: Node) -> np.ndarray[Any, Any] | None:
    """The number of a node where one can be had while tracing (see `specialising`)."""
    if _active.evaluate is None:
        return None
    return node.value if node.is_constant else _active.evaluate(node)


@contextmanager
def translating(translate: Callable[[Node], Node]) -> Iterator[None]:
    """Within the block `specialising` is asked for what `translate` makes of a node."""
    evaluate = _active.evaluate
    with specialising(None if evaluate is None else lambda node: evaluate(translate(node))):
        yield
