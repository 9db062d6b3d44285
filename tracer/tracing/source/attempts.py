"""When a function is rewritten: where running it as it is did not do, and what that run changed is put back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from tracer import errors
from tracer.tracing import trace
from tracer.tracing.capture import Guard, Surroundings
from tracer.tracing.source import rewriting
from tracer.tracing.source.hooks import Session

_TYPE_QUESTIONS = frozenset(("isinstance", "isscalar", "type"))
"""Names of functions that answer for a proxy what they would not for an array, without an error."""
_MOST_ROUNDS = 4
"""Traces of rewritten code in which arrays of before turn up that are written; each may lead on to others."""
Made = TypeVar("Made")
_COPIED = 1 << 24
"""Bytes of arrays that are copied before a first trace, so that it can be undone."""


def trace_with(
    attempt: Callable[[trace.Trace], Made],
    function: Any,
    surroundings: Surroundings,
    new_trace: Callable[[], trace.Trace],
) -> Made:
    """Trace a function as it is; where that meets what only rewritten code shows, undo it and trace that.

    Parameters
    ----------
    attempt : callable
        Runs the function in a trace.
    function : callable
        The user's function.
    surroundings : Surroundings
        What it can reach.
    new_trace : callable
        Gives an empty trace.
    """
    before = _Before(surroundings.guards)
    if rewriting.is_needed(function) or not _TYPE_QUESTIONS.isdisjoint(surroundings.names):
        made = _trace_followed(attempt, function, before, new_trace)
        if made is not None:
            return made
    active = new_trace()
    failed: Exception | None = None
    made = None
    try:
        made = attempt(active)
        if active.escape is None and not _asked_numbers(active):
            return made
    except (TypeError, ValueError, AttributeError) as error:
        failed = error
        if active.escape is None and not isinstance(error, errors.TraceError | AttributeError):
            raise
    if _is_followed(new_trace(), function):
        before.restore()
        try:
            found = _trace_followed(attempt, function, before, new_trace)
        except (TypeError, ValueError, AttributeError):
            if failed is not None:
                raise
            found = None
        if found is not None:
            rewriting.note_needed(function)
            return found
    if failed is not None:
        raise failed
    assert made is not None
    return made


def _trace_followed(
    attempt: Callable[[trace.Trace], Made], function: Any, before: _Before, new_trace: Callable[[], trace.Trace]
) -> Made | None:
    """Trace the rewritten form of a function; None if there is none."""
    written: list[np.ndarray[Any, Any]] = []
    for _ in range(_MOST_ROUNDS):
        active = new_trace()
        if not _is_followed(active, function):
            return None
        active.session.lifting.first = written
        made = attempt(active)
        found = active.session.lifting.outside
        if len(found) == len(written):
            return made
        # What was read of these arrays before they were written were numbers: begin again with them traced.
        written = found
        before.restore()
    array = written[-1]
    raise errors.TraceError(errors.message(errors.IN_PLACE_ON_REAL_ARRAY, value=f" ({array.dtype}{list(array.shape)})"))


def _asked_numbers(active: trace.Trace) -> bool:
    """Whether a guarded trace went by numbers: rewritten code may compute with them instead."""
    questions = active.questions
    return questions is not None and any(item.kind == "number" for item in questions.asked.values())


def _is_followed(active: trace.Trace, function: Any) -> bool:
    """Have the trace rewrite functions; whether there is a rewritten form of this one, or of one that it wraps."""
    active.session = Session(active)
    return active.session.follow(function) is not function


class _Before:
    """What a function can reach of its surroundings, as it was before a trace."""

    def __init__(self, guards: Iterable[Guard]) -> None:
        self._guards = [guard for guard in guards if not guard.kind.startswith("items") or _is_collection(guard)]
        self._arrays: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        seen, size = set(), 0
        for guard in self._guards:
            for value in guard.expected if isinstance(guard.expected, tuple) else (guard.expected,):
                if type(value) is np.ndarray and id(value) not in seen and size + value.nbytes <= _COPIED:
                    seen.add(id(value))
                    size += value.nbytes
                    self._arrays.append((value, value.copy()))

    def restore(self) -> None:
        """Put back what has changed since."""
        for array, copy in self._arrays:
            if array.shape == copy.shape and array.flags.writeable and array.tobytes() != copy.tobytes():
                array[...] = copy
        for guard in self._guards:
            if guard.kind.startswith("items"):
                _restore_items(guard.holder, guard.expected)
        for guard in self._guards:
            if guard.kind == "absent":
                guard.holder.pop(guard.name, None)
            elif not guard.kind.startswith("items") and not guard.holds():
                guard.restore()


def _is_collection(guard: Guard) -> bool:
    return isinstance(guard.holder, list | dict | set | deque)


def _restore_items(holder: Any, expected: tuple[Any, ...]) -> None:
    """Give a list, set, deque or the keys of a dict the items that it had."""
    if isinstance(holder, dict):
        for key in [key for key in holder if key not in expected]:
            del holder[key]
    elif len(holder) != len(expected) or any(one is not other for one, other in zip(holder, expected, strict=True)):
        holder.clear()
        (holder.update if isinstance(holder, set) else holder.extend)(expected)
