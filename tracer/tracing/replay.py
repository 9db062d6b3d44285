"""Walking recorded expressions, and replaying them on proxies or arrays once sizes are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tracer import errors
from tracer.graph.node import blame
from tracer.tracing import trace


class _State(threading.local):
    computing = 0
    recording = False


_state = _State()


@contextmanager
def computing() -> Iterator[None]:
    """Within the block deferred functions compute on what they are given instead of being recorded."""
    before, _state.recording = _state.recording, False
    _state.computing += 1
    try:
        yield
    finally:
        _state.computing -= 1
        _state.recording = before


@contextmanager
def recording() -> Iterator[None]:
    """Within the block deferred functions are recorded, whatever goes on around it."""
    before = _state.computing, _state.recording
    _state.computing, _state.recording = 0, True
    try:
        yield
    finally:
        _state.computing, _state.recording = before


def is_computing() -> bool:
    """Whether calls compute now (a replay or a trace is on) rather than being recorded."""
    return _state.computing > 0 or (not _state.recording and trace.current() is not None)


def applies(outputs: Iterable[Any], stop: Iterable[Any] = ()) -> list[Any]:
    """The calls that variables come from, inputs first; variables in `stop` count as inputs."""
    order: list[Any] = []
    seen: set[Any] = set()
    stopped = set(stop)
    for output in outputs:
        stack: list[tuple[Any, int]] = []
        _enter(output, stack, seen, stopped)
        while stack:
            node, position = stack.pop()
            if position == len(node.inputs):
                order.append(node)
                continue
            stack.append((node, position + 1))
            _enter(node.inputs[position], stack, seen, stopped)
    return order


def _enter(variable: Any, stack: list[tuple[Any, int]], seen: set[Any], stopped: set[Any]) -> None:
    owner = getattr(variable, "owner", None)
    if owner is not None and owner not in seen and variable not in stopped:
        seen.add(owner)
        stack.append((owner, 0))


def leaves_of(outputs: Iterable[Any], stop: Iterable[Any] = ()) -> list[Any]:
    """The variables without an owner (inputs, shared variables, constants) and those of `stop` that outputs need."""
    outputs = list(outputs)
    stopped = set(stop)
    found: dict[Any, None] = {}
    used = [item for node in applies(outputs, stopped) for item in node.inputs]
    for variable in (*used, *outputs):
        if getattr(variable, "owner", None) is None or variable in stopped:
            found[variable] = None
    return list(found)


def ancestors(outputs: Iterable[Any], stop: Iterable[Any] = ()) -> list[Any]:
    """Every variable that outputs are computed from, inputs first, themselves included."""
    outputs = list(outputs)
    found: dict[Any, None] = {}
    for node in applies(outputs, stop):
        found.update(dict.fromkeys(node.inputs))
        found.update(dict.fromkeys(node.outputs))
    found.update(dict.fromkeys(outputs))
    return list(found)


def dependents(outputs: Iterable[Any], sources: Iterable[Any]) -> set[Any]:
    """The variables above outputs that depend on any of the sources, these included."""
    reached = set(sources)
    for node in applies(outputs):
        if any(item in reached for item in node.inputs):
            reached.update(node.outputs)
    return reached


def closure(outputs: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """The outer variables that an inner expression uses: the nearest ones that do not depend on its own inputs."""
    inner = dependents(outputs, inputs)
    found: dict[Any, None] = {}
    for node in applies(outputs):
        if any(item in inner for item in node.outputs):
            found.update(dict.fromkeys(item for item in node.inputs if item not in inner))
    found.update(dict.fromkeys(item for item in outputs if item not in inner))
    return [item for item in found if not item.is_constant]


def substitute(outputs: Sequence[Any], replacements: Mapping[Any, Any]) -> list[Any]:
    """Copies of expressions in which variables are replaced; what does not change is shared with the original.

    A replacement is taken as it is: it may mention what it replaces.
    """
    return Substitution(replacements)(outputs)


class Substitution:
    """Replaces variables in expressions as `substitute` does, call after call; what they all share stays shared.

    `remake` gives the outputs of a recorded call made again with other inputs; by default they keep their types.
    """

    def __init__(
        self, replacements: Mapping[Any, Any], remake: Callable[[Any, Sequence[Any]], Sequence[Any]] | None = None
    ) -> None:
        self._new: dict[Any, Any] = dict(replacements)
        self._remake = remake or (lambda node, inputs: node.with_inputs(inputs).outputs)

    def __call__(self, outputs: Sequence[Any]) -> list[Any]:
        """Copies of expressions with the replacements made."""
        new = self._new
        for node in applies(outputs, stop=list(new)) if new else ():
            inputs = [new.get(item, item) for item in node.inputs]
            if any(one is not other for one, other in zip(inputs, node.inputs, strict=True)):
                for old, item in zip(node.outputs, self._remake(node, inputs), strict=True):
                    new.setdefault(old, item)
        return [new.get(item, item) for item in outputs]


def replay(outputs: Sequence[Any], values: Mapping[Any, Any]) -> list[Any]:
    """Compute expressions on proxies (or arrays).

    Parameters
    ----------
    outputs : sequence of variables
    values : mapping
        Values of variables, of inputs or of any others. Array-valued shared variables need none.

    Returns
    -------
    list
        A value per output: traced values, or arrays where everything is known.

    Raises
    ------
    TypeError
        If an input has no value.
    """
    found: dict[Any, Any] = dict(values)
    with computing():
        for output in outputs:
            try:
                _replay_one(output, found)
            except Exception:
                if not any(node.op.is_lazy for node in applies([output])):
                    raise
                # Perhaps what fails belongs to the branch of a condition that is not taken.
                _replay_one(output, found, heed_failures=True)
                value = found[output]
                if isinstance(value, Failure):
                    raise value.error from None
    return [found[item] for item in outputs]


class Failure:
    """Stands for a value that could not be computed.

    Attributes
    ----------
    error : Exception
        Why not.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error


def _replay_one(output: Any, found: dict[Any, Any], heed_failures: bool = False) -> None:
    stack = [output]
    while stack:
        variable = stack[-1]
        if variable in found:
            stack.pop()
            continue
        owner = getattr(variable, "owner", None)
        if owner is None:
            found[variable] = variable.leaf_value()
            stack.pop()
            continue
        missing = [item for item in owner.inputs if item not in found]
        if missing:
            stack += reversed(missing)
            continue
        stack.pop()
        values = [found[item] for item in owner.inputs]
        failure = next((value for value in values if isinstance(value, Failure)), None)
        if failure is not None and not owner.op.is_lazy:
            if not heed_failures:
                raise failure.error
            found.update((item, failure) for item in owner.outputs)
            continue
        try:
            with blame(owner.line):
                result = run_call(owner, values)
        except Exception as error:
            _explain(error, owner, values)
            if not heed_failures:
                raise
            found.update((item, Failure(error)) for item in owner.outputs)
            continue
        results = result if isinstance(result, tuple | list) and len(owner.outputs) == len(result) else [result]
        for item, value in zip(owner.outputs, results, strict=True):
            found.setdefault(item, value)


def _explain(error: Exception, node: Any, values: Sequence[Any]) -> None:
    """Add the user's line, and what was computed there, to an error; once, where replays are nested."""
    if not getattr(error, "tracer_replayed", False):
        shapes = ", ".join(str(value.shape) if hasattr(value, "shape") else type(value).__name__ for value in values)
        error.add_note(errors.message(errors.REPLAYING, node.line, op=node.op, shapes=shapes))
        error.tracer_replayed = True  # type: ignore[attr-defined]


def run_call(node: Any, values: Sequence[Any]) -> Any:
    """Run the function of a recorded call on values of its inputs."""
    args, kwargs = node.call_arguments(values)
    return node.op.function(*args, **kwargs)


def static(value: Any) -> Any:
    """The number (or small array) of a value that must be known while compiling: a size, a count, a bound.

    Where it depends on an argument, the program is compiled for this number, and another one for another number.
    """
    node = getattr(value, "__tracer_node__", None)
    if node is None:
        return value
    found = trace.known_value(node)
    if found is None:
        return value.__index__()  # raises the error that explains it
    return found if found.ndim else found[()]
