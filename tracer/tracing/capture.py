"""What a traced function closes over: guards that notice when it changes, and a watch on random generators."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy

_SCALARS = (int, float, complex, str, bytes, bool, type(None), np.generic)
_FOREIGN = ("numpy", "scipy", "tracer", "math", "functools", "builtins", *sys.stdlib_module_names)
_MOST_GUARDS = 1000


class Guard(NamedTuple):
    """A place outside the function that it reads, and what was there while it was traced.

    `kind` is cell, dict or attr, with "=" appended if values are compared by type and equality, not by identity.
    """

    kind: str
    holder: Any
    name: Any
    expected: Any
    label: str

    def holds(self) -> bool:
        """Whether the place still has what it had."""
        try:
            now = _read(self.kind.rstrip("="), self.holder, self.name)
        except (KeyError, AttributeError, ValueError):
            return False
        if self.kind.endswith("="):
            return type(now) is type(self.expected) and bool(now == self.expected or now is self.expected)
        return now is self.expected


def _read(kind: str, holder: Any, name: Any) -> Any:
    if kind == "cell":
        return holder.cell_contents
    return holder[name] if kind == "dict" else getattr(holder, name)


class Surroundings:
    """Everything that a function can reach by the names in its own code, and in that of the helpers it calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.guards: list[Guard] = []
        self.generators: list[Any] = []
        self._seen: set[int] = set()
        self._names: set[str] = set()
        self._visit_callable(function)

    def add_object(self, value: Any) -> None:
        """Count a static argument, such as `self`, among the surroundings: its attributes may be read by name."""
        self._note_generator(value)
        if hasattr(value, "__dict__") and not isinstance(value, type):
            self._visit_attributes(value, type(value).__name__, self._names)

    def held_guards(self) -> list[Guard]:
        """The guards that still hold; what the function itself changed while it ran is not one."""
        return [guard for guard in self.guards if guard.holds()]

    def _visit_callable(self, function: Any) -> None:
        if id(function) in self._seen or len(self.guards) > _MOST_GUARDS:
            return
        self._seen.add(id(function))
        if isinstance(function, partial):
            self._visit_callable(function.func)
        elif isinstance(function, types.MethodType):
            method: Any = function.__func__
            self._visit_function(method, function.__self__)
        elif isinstance(function, types.FunctionType):
            self._visit_function(function, None)
        elif hasattr(function, "__wrapped__"):
            self._visit_callable(function.__wrapped__)
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
            if isinstance(call, types.FunctionType):
                self._visit_function(call, function)

    def _visit_function(self, function: types.FunctionType, bound: Any) -> None:
        if (function.__module__ or "").split(".")[0] in _FOREIGN:
            for cell in function.__closure__ or ():
                if _is_full(cell) and callable(cell.cell_contents):
                    self._visit_callable(cell.cell_contents)
            return
        names = set(_names(function.__code__))
        self._names |= names
        for label, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if _is_full(cell):
                self._visit_value("cell", cell, None, label, names)
        for name in names & function.__globals__.keys():
            self._visit_value("dict", function.__globals__, name, name, names)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._note_generator(default)
        if bound is not None:
            self._visit_attributes(bound, type(bound).__name__, names)

    def _visit_value(self, kind: str, holder: Any, name: Any, label: str, names: set[str]) -> None:
        value = _read(kind, holder, name)
        if isinstance(value, _SCALARS) or (isinstance(value, tuple) and all(isinstance(v, _SCALARS) for v in value)):
            self.guards.append(Guard(kind + "=", holder, name, value, label))
        elif isinstance(value, np.ndarray | Proxy):
            self.guards.append(Guard(kind, holder, name, value, label))
        elif isinstance(value, types.ModuleType):
            if value.__name__.split(".")[0] not in _FOREIGN and "site-packages" not in (value.__file__ or ""):
                self._visit_attributes(value, label, names)
        elif isinstance(value, type):
            return
        elif callable(value):
            self.guards.append(Guard(kind, holder, name, value, label))
            self._note_generator(getattr(value, "__self__", None))
            self._visit_callable(value)
        else:
            self.guards.append(Guard(kind, holder, name, value, label))
            self._note_generator(value)
            self._visit_attributes(value, label, names)

    def _note_generator(self, value: Any) -> None:
        if isinstance(value, np.random.Generator | np.random.RandomState):
            self.generators.append(value)

    def _visit_attributes(self, value: Any, label: str, names: set[str]) -> None:
        if id(value) in self._seen or len(self.guards) > _MOST_GUARDS:
            return
        self._seen.add(id(value))
        if type(value) is dict:
            for key in value:
                self._visit_value("dict", value, key, f"{label}[{key!r}]", names)
            return
        own = getattr(value, "__dict__", {})
        for name in names:
            if name in own:
                self._visit_value("attr", value, name, f"{label}.{name}", names)
                continue
            inherited = getattr(type(value), name, None)
            if isinstance(inherited, types.FunctionType):
                self._visit_function_once(inherited, value)
            elif isinstance(inherited, (*_SCALARS, np.ndarray)) and inherited is not None:
                self._visit_value("attr", value, name, f"{label}.{name}", names)

    def _visit_function_once(self, function: types.FunctionType, bound: Any) -> None:
        if id(function) not in self._seen:
            self._seen.add(id(function))
            self._seen.discard(id(bound))
            self._visit_function(function, bound)


def _is_full(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


# --- random numbers ----------------------------------------------------------------------------------------------

_lock = threading.Lock()
_watching = 0
_originals: dict[str, Any] = {}
_HARMLESS = ("seed", "get_state", "set_state", "get_bit_generator", "set_bit_generator", "test")


def _forbid(name: str, function: Any) -> Any:
    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        active = trace.current()
        if active is not None and (name != "default_rng" or not args or args[0] is None):
            raise errors.TraceError(errors.message(errors.RANDOM_IN_TRACE, function=name, traced=active.name))
        return function(*args, **kwargs)

    return guarded


def _begin_watch() -> None:
    global _watching
    with _lock:
        _watching += 1
        if _watching > 1:
            return
        for name in np.random.__all__:
            function = getattr(np.random, name)
            if callable(function) and not isinstance(function, type) and name not in _HARMLESS:
                _originals[name] = function
                setattr(np.random, name, _forbid(name, function))


def _end_watch() -> None:
    global _watching
    with _lock:
        _watching -= 1
        if not _watching:
            for name, function in _originals.items():
                setattr(np.random, name, function)
            _originals.clear()


@contextmanager
def random_watch(function: Any, traced: str, generators: list[Any]) -> Iterator[None]:
    """Raise TraceError if the traced function draws from NumPy's generators, and put their states back."""
    watched = [(generator, _state(generator)) for generator in generators]
    _begin_watch()
    try:
        yield
    finally:
        _end_watch()
        drawn = [(generator, state) for generator, state in watched if not _same(_state(generator), state)]
        for generator, state in drawn:
            _restore(generator, state)
    if drawn:
        kind = type(drawn[0][0]).__name__
        line = errors.defined_at(function)
        raise errors.TraceError(errors.message(errors.RANDOM_IN_TRACE, line, function=kind, traced=traced))


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.bit_generator.state


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))
