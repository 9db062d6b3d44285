"""What a traced function closes over: guards that notice when it changes, and the random generators among it."""

from __future__ import annotations

import logging
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy

log = logging.getLogger("tracer")

_MISSING = object()

_SCALARS = (int, float, complex, str, bytes, bool, type(None), np.generic)
_LEAVES = (*_SCALARS, np.ndarray, Proxy)
_COLLECTIONS = (list, tuple, set, frozenset, deque)
_FOREIGN = ("numpy", "scipy", "tracer", "math", "functools", "builtins", *sys.stdlib_module_names)
_NOT_OPERATORS = ("__init__", "__new__", "__post_init__", "__repr__", "__str__", "__reduce__")
_MOST_GUARDS = 10_000
_CONTENT_LIMIT = 1 << 20
"""Bytes up to which what an array holds is compared at every call, where only its contents can be guarded."""


STANDING_IN: dict[int, Any] = {}
"""What is found, while any thread traces, in the place of another function: the id of each, and that function."""


class Guard(NamedTuple):
    """A place outside the function that it reads, and what was there while it was traced.

    `kind` is cell, dict, attr, absent (a dict without that name) or items (all that a collection holds, as a tuple),
    with "=" appended if values are compared by type and equality, not by identity.
    """

    kind: str
    holder: Any
    name: Any
    expected: Any
    label: str

    def holds(self) -> bool:
        """Whether the place still has what it had."""
        now = self.now()
        if now is _MISSING or self.kind == "absent":
            return now is _MISSING and self.kind == "absent"
        if self.kind == "items=":
            return len(now) == len(self.expected) and all(map(_is_same, now, self.expected))
        return _is_same(now, self.expected) if self.kind.endswith("=") else now is self.expected

    @property
    def watched(self) -> np.ndarray[Any, Any] | None:
        """The array whose contents are guarded, if it is one."""
        return self.holder.array if isinstance(self.holder, _Contents) else None

    def now(self) -> Any:
        """What the place has now; `_MISSING` if it is gone."""
        try:
            return _read(self.kind.rstrip("="), self.holder, self.name)
        except (KeyError, AttributeError, ValueError):
            return _MISSING

    def restore(self) -> None:
        """Put back what the place had."""
        match self.kind.rstrip("="):
            case "cell":
                self.holder.cell_contents = self.expected
            case "dict":
                self.holder[self.name] = self.expected
            case "attr":
                try:
                    setattr(self.holder, self.name, self.expected)
                except AttributeError:  # of a frozen dataclass
                    object.__setattr__(self.holder, self.name, self.expected)


def _is_same(now: Any, expected: Any) -> bool:
    if now is expected:
        return True
    by_value = isinstance(expected, (*_SCALARS, tuple))
    return by_value and type(now) is type(expected) and bool(now == expected)


def _read(kind: str, holder: Any, name: Any) -> Any:
    if kind == "items":
        return tuple(holder)
    if kind == "dict" and name not in holder:  # asked first: a defaultdict would make the item
        raise KeyError(name)
    match kind:
        case "cell":
            found = holder.cell_contents
        case "attr":
            found = getattr(holder, name)
        case _:
            found = holder[name]
    return STANDING_IN.get(id(found), found)


class _Contents:
    """The bytes of an array, as a collection of one."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __iter__(self) -> Iterator[bytes]:
        yield self.array.tobytes()


class Surroundings:
    """Everything that a function can reach by the names in its own code, and in that of the helpers it calls.

    Static arguments, such as `self`, count among the surroundings: their attributes may be read by name.
    """

    def __init__(self, function: Callable[..., Any], objects: Iterable[Any] = ()) -> None:
        self.guards: list[Guard] = []
        self.generators: list[Any] = []
        self._names: set[str] = set()
        self._seen: dict[int, Any] = {}  # holds the objects, so that their ids stay theirs
        known, roots = -1, [(function, label_of(function)), *((value, type(value).__name__) for value in objects)]
        while known != len(self._names):  # a helper may read other attributes of an object that was met before it
            known = len(self._names)
            self.guards, self.generators, self._seen = [], [], {}
            for value, label in roots:
                self._look_inside(value, label)

    @property
    def names(self) -> Set[str]:
        """The names that the function and its helpers use, attributes and strings included."""
        return self._names

    def held_guards(self, active: trace.Trace) -> list[Guard]:
        """The guards that still hold; what the function itself changed while it ran is not one.

        Raises TraceError if it replaced an array that it had read by a traced value: the next call could not read it.
        """
        broken = [guard for guard in self.guards if not guard.holds()]
        lost = [guard for guard in broken if guard.kind != "absent" and active.has_captured(guard.expected)]
        lost = [guard for guard in lost if isinstance(guard.now(), Proxy)]
        for guard in broken:
            if isinstance(guard.expected, int | float) and isinstance(now := guard.now(), int | float):
                log.warning(
                    errors.STATE_CHANGED.format(function=active.name, place=guard.label, old=guard.expected, new=now)
                )
        for guard in lost:
            guard.restore()
        if lost:
            raise errors.TraceError(errors.message(errors.STATE_REPLACED, place=lost[0].label, function=active.name))
        return [*(guard for guard in self.guards if guard.holds()), *self._content_guards(active)]

    def _content_guards(self, active: trace.Trace) -> list[Guard]:
        """Guards on what arrays hold that met no traced value: what was computed from them is in the graph for good."""
        met = active.captured_memory() - active.read_as_numbers
        found: dict[int, Guard] = {}
        for guard in self.guards:
            for value in guard.expected if guard.kind == "items=" else (guard.expected,):
                if type(value) is np.ndarray and id(value) not in met and value.nbytes <= _CONTENT_LIMIT:
                    contents = _Contents(value)
                    found[id(value)] = Guard("items=", contents, None, tuple(contents), guard.label)
        return list(found.values())

    def _look_inside(self, value: Any, label: str) -> None:
        """Guard what a value holds; the place that holds the value itself is guarded by the caller."""
        if isinstance(value, _LEAVES) or id(value) in self._seen or len(self.guards) > _MOST_GUARDS:
            return
        self._seen[id(value)] = value
        if isinstance(value, np.random.Generator | np.random.RandomState):
            self.generators.append(value)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, types.ModuleType):
            if not is_foreign(value.__name__) and "site-packages" not in (getattr(value, "__file__", None) or ""):
                self._visit_own(value, vars(value), label)
        elif isinstance(value, type):
            self._visit_class(value, label)
        elif isinstance(value, dict):
            self._guard("items=", value, None, tuple(value), label)
            for key in tuple(value):
                self._visit_place("dict", value, key, f"{label}[{key!r}]")
        elif isinstance(value, _COLLECTIONS):
            if not isinstance(value, tuple | frozenset):
                self._guard("items=", value, None, tuple(value), label)
            for number, item in enumerate(tuple(value)):
                self._look_inside(item, f"{label}[{number}]")
        else:
            self._visit_object(value, label)

    def _guard(self, kind: str, holder: Any, name: Any, expected: Any, label: str) -> None:
        self.guards.append(Guard(kind, holder, name, expected, label))

    def _visit_place(self, kind: str, holder: Any, name: Any, label: str) -> None:
        try:
            value = _read(kind, holder, name)
        except (AttributeError, ValueError):  # a slot or cell that is not filled yet
            return
        if isinstance(value, types.ModuleType):
            self._look_inside(value, label)
            return
        is_plain = isinstance(value, _SCALARS) or (type(value) is tuple and all(isinstance(v, _SCALARS) for v in value))
        self._guard(kind + "=" if is_plain else kind, holder, name, value, label)
        self._look_inside(value, label)

    def _visit_function(self, function: types.FunctionType) -> None:
        if is_foreign(function.__module__):
            for cell in function.__closure__ or ():
                if _is_full(cell) and callable(cell.cell_contents):
                    self._look_inside(cell.cell_contents, function.__name__)
            return
        names = set(_names(function.__code__))
        self._names |= names
        for label, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._visit_place("cell", cell, None, label)
        for name in names & function.__globals__.keys():
            self._visit_place("dict", function.__globals__, name, name)
        label = f"a default of {function.__name__}"
        if function.__defaults__:
            self._guard("attr", function, "__defaults__", function.__defaults__, label)
        for default in function.__defaults__ or ():
            self._look_inside(default, label)
        for name in function.__kwdefaults__ or ():
            self._visit_place("dict", function.__kwdefaults__, name, label)

    def _visit_own(self, value: Any, own: Mapping[str, Any], label: str) -> None:
        for name in self._names & own.keys():
            self._visit_place("attr", value, name, f"{label}.{name}")

    def _visit_object(self, value: Any, label: str) -> None:
        """Look at an instance: its attributes, those of its class, and what it wraps."""
        if isinstance(value, partial | types.MethodType | types.BuiltinMethodType | property | cached_property):
            for name in ("func", "__func__", "__self__", "args", "keywords", "fget"):
                self._look_inside(getattr(value, name, None), label)
            return
        own = _own(value)
        for name in ("__wrapped__", "__tracer_rules__"):
            self._look_inside(own.get(name), label)
        self._visit_own(value, own, label)
        for owner in type(value).__mro__:
            if is_foreign(owner.__module__):
                continue
            for name, member in tuple(vars(owner).items()):
                if name in self._names and name not in own:
                    self._visit_member(value, owner, name, member, label)
                elif isinstance(member, types.FunctionType) and name.startswith("__") and name not in _NOT_OPERATORS:
                    self._look_inside(member, label)

    def _visit_member(self, value: Any, owner: type, name: str, member: Any, label: str) -> None:
        """Look at what an instance inherits from a class: a method, a property, a slot or a value."""
        own = _own(value)
        if isinstance(own, dict):
            self._guard("absent", own, name, None, f"{label}.{name}")
        if isinstance(member, types.MemberDescriptorType):
            self._visit_place("attr", value, name, f"{label}.{name}")
        elif isinstance(member, property | cached_property):
            self._look_inside(member, label)
        else:
            self._visit_class_member(owner, name, member, f"{label}.{name}")

    def _visit_class(self, value: type, label: str) -> None:
        for owner in value.__mro__:
            if not is_foreign(owner.__module__):
                for name, member in tuple(vars(owner).items()):
                    if name in self._names or name in ("__init__", "__post_init__", "__new__"):
                        self._visit_class_member(owner, name, member, f"{label}.{name}")

    def _visit_class_member(self, owner: type, name: str, member: Any, label: str) -> None:
        if isinstance(member, staticmethod | classmethod):
            self._look_inside(member.__func__, label)
            self._look_inside(owner, owner.__name__)
        elif isinstance(member, types.FunctionType) or not hasattr(type(member), "__get__"):
            self._visit_place("attr", owner, name, label)
        else:
            self._look_inside(member, label)


def label_of(function: Any) -> str:
    """How messages call a function."""
    label: str = getattr(function, "__qualname__", type(function).__name__)
    return label.rpartition("<locals>.")[2]


def _own(value: Any) -> Mapping[str, Any]:
    """An instance's attributes, read without running code of its class."""
    try:
        found: Mapping[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return MappingProxyType({})
    return found


def is_foreign(module: str | None) -> bool:
    """Whether code belongs to this package, NumPy, SciPy or Python itself, by the name of its module."""
    return (module or "").split(".")[0] in _FOREIGN


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
        elif isinstance(constant, str):  # getattr(layer, "weight")
            yield constant
