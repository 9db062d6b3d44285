"""When a function is rewritten: where running it as it is did not do, and what that run changed is put back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from tracer import errors
from tracer.config import config
from tracer.tracing import trace
from tracer.tracing.capture import Guard, Surroundings
from tracer.tracing.reads import SMALL, Array, owner_of
from tracer.tracing.source import long_loops, rewriting
from tracer.tracing.source.rolling_session import RollingSession
from tracer.tracing.source.session import Session

_TYPE_QUESTIONS = frozenset(("isinstance", "isscalar", "type"))
"""Names of functions that answer for a proxy what they would not for an array, without an error."""
_MOST_ROUNDS = 4
"""Traces of rewritten code in which arrays of before turn up that are written; each may lead on to others."""
_IN_VAIN = 64
"""How many times the nodes of a long loop a trace may record that rolls loops, before it is given up."""
Made = TypeVar("Made")
_COPIED = 1 << 24
"""Bytes of arrays that are copied before a first trace, so that it can be undone."""


def trace_with(
    attempt: Callable[[trace.Trace], Made],
    function: Any,
    surroundings: Surroundings,
    new_trace: Callable[[], trace.Trace],
    changing: Sequence[Array] = (),
) -> Made:
    """Trace a function as it is; where that meets what only rewritten code shows, undo it and trace that.

    Only rewritten code shows what it reads of the arrays around it, so where there are any that is traced at once.

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
    changing : sequence of numpy.ndarray
        Arrays around the function that are known to change: numbers computed from them are traced too, if they can be.
    """
    before = _Before(surroundings)
    is_needed = rewriting.is_needed(function) or not _TYPE_QUESTIONS.isdisjoint(surroundings.names)
    made: Made | None = None
    is_tried = is_needed or bool(surroundings.arrays)
    if is_tried:
        try:
            made = _trace_with_large(attempt, function, before, new_trace, changing)
        except Exception:
            before.restore()
            if is_needed:
                raise
        if made is not None:
            return made
    if not is_tried and config.roll_loops == "auto" and rewriting.rolls(function):
        made = _trace_rolled(attempt, function, before, new_trace)
        if made is not None:
            return made
    return _trace_as_it_is(attempt, function, before, new_trace, is_tried)


def _trace_as_it_is(
    attempt: Callable[[trace.Trace], Made],
    function: Any,
    before: _Before,
    new_trace: Callable[[], trace.Trace],
    is_tried: bool,
) -> Made:
    """Trace a function as it is, and its rewritten form where that does not do; `is_tried`: that failed before."""
    is_watched = not is_tried and config.roll_loops == "auto" and rewriting.rolls(function) is None
    is_long = False
    made: Made | None = None
    active = new_trace()
    failed: Exception | None = None
    try:
        with long_loops.watched(long_loops.MANY_NODES * is_watched, _trace_as_it_is.__code__):
            made = attempt(active)
        is_enough = active.escape is None and not _asked_numbers(active) and before.changed() is None
        if is_enough and (is_tried or not active.captures()[0]):  # arrays that were not known to be in reach
            return made
    except long_loops.LongLoop:
        is_long = True
    except (TypeError, ValueError, AttributeError) as error:
        if active.escape is None and not isinstance(error, errors.TraceError | AttributeError):
            raise
        failed = error
    if is_long:
        before.restore()
        found = _trace_rolled(attempt, function, before, new_trace)
        return _trace_as_it_is(attempt, function, before, new_trace, is_tried) if found is None else found
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
        try:
            raise failed
        finally:
            failed = None  # an exception in a variable would keep the arguments alive
    changed = before.changed()
    if changed is not None:  # it would change at this call and at no later one
        before.restore()
        raise _written_error(changed)
    assert made is not None
    return made


def _trace_with_large(
    attempt: Callable[[trace.Trace], Made],
    function: Any,
    before: _Before,
    new_trace: Callable[[], trace.Trace],
    changing: Sequence[Array],
) -> Made | None:
    """Trace rewritten code, with numbers traced that come from arrays that change, or are too large to compare."""
    active: list[trace.Trace] = []

    def remembered() -> trace.Trace:
        active[:] = [new_trace()]
        return active[0]

    def trace_from(first: Sequence[Array]) -> Made | None:
        return _trace_followed(attempt, function, before, remembered, first)

    first = list(changing)
    if first:
        try:
            return trace_from(first)
        except Exception:  # some are needed as numbers
            before.restore()
    made = trace_from([])
    large = [owner_of(part) for part in active[0].reads.parts() if part.nbytes > SMALL] if made is not None else []
    if not large:
        return made
    before.restore()
    try:
        return trace_from(large)
    except Exception:
        before.restore()
        return trace_from([])


def _trace_rolled(
    attempt: Callable[[trace.Trace], Made], function: Any, before: _Before, new_trace: Callable[[], trace.Trace]
) -> Made | None:
    """Trace the rewritten form of a function, with its long loops rolled; None if none is."""
    active: list[trace.Trace] = []

    def remembered() -> trace.Trace:
        active[:] = [new_trace()]
        return active[0]

    try:
        with long_loops.watched(_IN_VAIN * long_loops.MANY_NODES, _trace_rolled.__code__):
            made = _trace_followed(attempt, function, before, remembered)
    except (Exception, long_loops.LongLoop):  # the trace of the function as it is tells
        made = None
    rolling = active[0].session.rolling
    rewriting.note_rolls(function, made is not None and rolling is not None and bool(rolling.rolled))
    if rewriting.rolls(function):
        return made
    before.restore()
    return None


def _trace_followed(
    attempt: Callable[[trace.Trace], Made],
    function: Any,
    before: _Before,
    new_trace: Callable[[], trace.Trace],
    first: Sequence[Array] = (),
) -> Made | None:
    """Trace the rewritten form of a function, with some arrays traced from the start; None if there is none."""
    lifted = {id(array): array for array in first}

    def begin(refused: Collection[Any] | None) -> trace.Trace | None:
        active = new_trace()
        if not _is_followed(active, function, refused):
            return None
        active.is_trial = bool(first)
        active.session.lifting.first = list(lifted.values())
        return active

    unrolling = long_loops.Unrolling(before.restore)
    for _ in range(_MOST_ROUNDS):
        traced = unrolling.run(begin, attempt)
        if traced is None:
            return None
        made, active = traced
        found = {id(array): array for array in active.session.lifting.outside}
        if found.keys() <= lifted.keys():
            return made
        # What was read of these arrays before they were written were numbers: begin again with them traced.
        lifted |= found
        before.restore()
    raise _written_error(list(found.values())[-1])


def _written_error(array: Array) -> errors.TraceError:
    text = errors.message(errors.IN_PLACE_ON_REAL_ARRAY, value=f" ({array.dtype}{list(array.shape)})")
    return errors.TraceError(text)


def _asked_numbers(active: trace.Trace) -> bool:
    """Whether a guarded trace went by numbers: rewritten code may compute with them instead."""
    questions = active.questions
    return questions is not None and any(item.kind == "number" for item in questions.asked.values())


def _is_followed(active: trace.Trace, function: Any, refused: Collection[Any] | None = None) -> bool:
    """Have the trace rewrite functions; whether there is a rewritten form of this one, or of one that it wraps.

    Loops are rolled but for those `refused`, or not at all if that is None.
    """
    active.session = Session(active) if refused is None else RollingSession(active, refused)
    active.reads.is_complete = True
    return active.session.follow(function) is not function


class _Before:
    """What a function can reach of its surroundings, as it was before a trace."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._guards = [
            guard for guard in surroundings.guards if not guard.kind.startswith("items") or _is_collection(guard)
        ]
        self._arrays: list[tuple[Array, Array]] = []
        seen, size = set(), 0
        for array in surroundings.arrays:
            if id(array) not in seen and size + array.nbytes <= _COPIED:
                seen.add(id(array))
                size += array.nbytes
                self._arrays.append((array, array.copy()))

    def changed(self) -> Array | None:
        """An array that holds something else now; None if there is none."""
        return next((array for array, copy in self._arrays if _differs(array, copy)), None)

    def restore(self) -> None:
        """Put back what has changed since."""
        for array, copy in self._arrays:
            if _differs(array, copy):
                array[...] = copy
        for guard in self._guards:
            if guard.kind.startswith("items"):
                _restore_items(guard.holder, guard.expected)
        for guard in self._guards:
            if guard.kind == "absent":
                guard.holder.pop(guard.name, None)
            elif not guard.kind.startswith("items") and not guard.holds():
                guard.restore()


def _differs(array: Array, copy: Array) -> bool:
    return array.flags.writeable and array.shape == copy.shape and array.tobytes() != copy.tobytes()


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
