"""What a traced function closes over: guards that notice when it changes, and the random generators among it."""

from __future__ import annotations

import gc
import os
import random
import sys
import types
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tracer import errors
from tracer.records import NamedTuple
from tracer.tracing import iterators, trace
from tracer.tracing.proxy import Proxy, has_proxy
from tracer.tracing.reads import Contents, owner_of
from tracer.tracing.source import locate
from tracer.types import is_supported

if TYPE_CHECKING:
    import logging

_MISSING = object()

_SCALARS = (int, float, complex, str, bytes, bool, type(None), np.generic)
_LEAVES = (*_SCALARS, np.ndarray, Proxy)
_COLLECTIONS = (list, tuple, set, frozenset, deque)
_FOREIGN = sys.stdlib_module_names | {"numpy", "scipy", "tracer"}
_NOT_OPERATORS = ("__init__", "__new__", "__post_init__", "__repr__", "__str__", "__reduce__")
_CLOCKS: dict[str, frozenset[str]] = {
    "time": frozenset(("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "process_time")),
    "datetime": frozenset(("now", "today", "utcnow")),
    "uuid": frozenset(("uuid1", "uuid4")),
    "secrets": frozenset(("token_bytes", "token_hex", "randbits", "randbelow")),
}
"""Functions of modules that give another answer each time; of `datetime`, methods of its classes."""
_HOLDERS = (ChainMap, UserDict, UserList)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_WRAPPERS = (partial, types.MethodType, types.BuiltinMethodType, property, cached_property)
_NAMESPACES = (types.ModuleType, type)
_MOST_GUARDS = 10_000
_MOST_CHANGING = 64


_ASKING = frozenset(("hasattr", "getattr", "vars", "__dict__"))
"""Names of what finds attributes by names that are texts."""

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
        return self.holder.array if isinstance(self.holder, Contents) else None

    @property
    def described(self) -> tuple[str, Any, Any, Any]:
        """What native code compares."""
        array = self.watched
        if array is not None and type(self.expected[-1]) is bytes:
            return "contents", array, *self.expected
        return self.kind, self.holder, self.name, self.expected

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


def _changed_numbers(guard: Guard) -> Iterator[tuple[str, Any, Any]]:
    """The numbers in a place that are others by now, each with a name and what it was."""
    now = guard.now()
    if isinstance(guard.expected, int | float) and isinstance(now, int | float):
        yield guard.label, guard.expected, now
    if guard.kind == "items=" and isinstance(guard.holder, list | deque) and len(now) == len(guard.expected):
        for number, (old, new) in enumerate(zip(guard.expected, now, strict=True)):
            if isinstance(old, int | float) and isinstance(new, int | float) and old != new:
                yield f"{guard.label}[{number}]", old, new


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


class Earlier:
    """What earlier traces of a function have found out about what is around it.

    Attributes
    ----------
    arrays : list of numpy.ndarray
        Those that hold other numbers than when they were read, or that are written: they may go on changing.
    places : dict
        Places that the function changed itself while it was traced, each with what holds it.
    """

    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.places: dict[tuple[Any, ...], Any] = {}
        self._latest: dict[tuple[Any, ...], Any] = {}
        self._told: set[str] = set()

    def tell(self, function: str, clocks: Iterable[str]) -> None:
        """Warn, once, of what a function asks that gives another answer each time."""
        for place in clocks:
            if place not in self._told:
                self._told.add(place)
                logger().warning(errors.CLOCK_READ.format(function=function, place=place))

    def tell_puts(self, function: str, places: Iterable[str]) -> None:
        """Warn, once, of what a function puts into nests among its arguments, where its caller will not find it."""
        for place in places:
            if place not in self._told:
                self._told.add(place)
                logger().warning(errors.PUT_INTO_ARGUMENT.format(function=function, place=place))

    def clear(self) -> None:
        """Forget everything."""
        self.arrays.clear()
        self.places.clear()

    def note_changes(self, guards: Iterable[Guard]) -> None:
        """Remember the arrays whose guards do not hold."""
        self.note_arrays(guard.watched for guard in guards if guard.watched is not None and not guard.holds())

    def note_arrays(self, arrays: Iterable[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Remember the arrays in whose memory these lie, as far as they can be traced; returns those."""
        found = [owner_of(array) for array in arrays]
        found = [array for array in found if type(array) is np.ndarray and is_supported(array.dtype)]
        self.arrays += [array for array in found if not any(array is known for known in self.arrays)]
        del self.arrays[:-_MOST_CHANGING]
        return found

    def note_places(self, broken: Iterable[Guard]) -> Set[int]:
        """Remember the places that a trace has changed; gives the ids of what holds those that did so before."""
        self._latest = {(guard.kind.rstrip("="), id(guard.holder), guard.name): guard.holder for guard in broken}
        return {id(holder) for key, holder in self._latest.items() if key in self.places}

    def settle(self) -> None:
        """Take what the latest trace has found as known: it was not undone."""
        self.places |= self._latest
        self._latest = {}


class _Environment:
    """Variables of the process's environment, as a collection of their values."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)

    def __iter__(self) -> Iterator[str | None]:
        return map(os.environ.get, self.names)


class Surroundings:
    """Everything that a function can reach by the names in its own code, and in that of the helpers it calls.

    Static arguments, such as `self`, count among the surroundings: their attributes may be read by name.
    """

    def __init__(self, function: Callable[..., Any], objects: Sequence[Any] = ()) -> None:
        self._roots = function, objects
        self.guards: list[Guard] = []
        self.generators: list[Any] = []
        self._iterators: list[tuple[Iterator[Any], Any, str]] = []
        self._clocks: dict[str, None] = {}
        self._arrays: dict[int, tuple[np.ndarray[Any, Any], str]] = {}
        self._names = _names_called(function)
        self._asked: set[str] = set()  # names in texts, of attributes that need not exist
        self._is_open = False  # whether attributes are read whose names are not in the code
        self._seen: dict[int, Any] = {}  # holds the objects, so that their ids stay theirs
        known, roots = -1, [(function, label_of(function)), *((value, type(value).__name__) for value in objects)]
        while known != len(self._names):  # a helper may read other attributes of an object that was met before it
            known = len(self._names)
            self.guards, self.generators, self._iterators, self._arrays, self._seen = [], [], [], {}, {}
            for value, label in roots:
                self._look_inside(value, label)

    @property
    def names(self) -> Set[str]:
        """The names that the function and its helpers use, attributes and strings included."""
        return self._names

    def held_guards(self, active: trace.Trace, earlier: Earlier) -> list[Guard]:
        """The guards that still hold, and guards on what the function itself has left elsewhere.

        What it makes when it is first traced and keeps is there at the next call; what it changes in every trace is
        not guarded.

        Raises TraceError if it replaced an array that it had read by a traced value: the next call could not read it.
        """
        earlier.tell(active.name, self._clocks)
        broken = [guard for guard in self.guards if not guard.holds()]
        lost = [guard for guard in broken if guard.kind != "absent" and active.has_captured(guard.expected)]
        lost = [guard for guard in lost if isinstance(guard.now(), Proxy)]
        if active.is_trial:  # what is kept of these would be numbers
            lost += [guard for guard in broken if has_proxy(guard.now())]
        for place, old, new in (change for guard in broken for change in _changed_numbers(guard)):
            logger().warning(errors.STATE_CHANGED.format(function=active.name, place=place, old=old, new=new))
        for iterator, before, place in self._iterators:
            if iterators.position(iterator) != before:
                logger().warning(errors.ITEM_TAKEN.format(function=active.name, place=place))
        if lost:
            for guard in lost:
                guard.restore()
            raise errors.TraceError(errors.message(errors.STATE_REPLACED, place=lost[0].label, function=active.name))
        guards = [guard for guard in self.guards if guard.holds()]
        if broken:
            again = earlier.note_places(broken)
            left = Surroundings(*self._roots).guards
            guards = [guard for guard in left if id(guard.holder) not in again and not has_proxy(guard.expected)]
        return [*guards, *self._content_guards(active)]

    def _content_guards(self, active: trace.Trace) -> list[Guard]:
        """Guards on what arrays hold that were read as numbers: what was computed from them is in the graph for good.

        Where not all code tells what it reads, that may be any array in reach.
        """
        read = {id(array): array for array in active.reads.parts()}
        if not active.reads.is_complete:
            read |= {id(array): array for array in (*self.arrays, *(array for array, _ in active.captures()[0]))}
        found = []
        for array in read.values():
            known = self._arrays.get(id(array)) or self._arrays.get(id(owner_of(array)))
            contents = Contents(array)
            found.append(Guard("items=", contents, None, tuple(contents), "an array" if known is None else known[1]))
        for key, (array, label) in self._arrays.items():
            if key not in read and not active.has_captured(array):  # of which at least the shape may have been read
                found.append(Guard("attr=", array, "shape", array.shape, label))
        return found

    @property
    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The arrays that can be reached."""
        return [array for array, _ in self._arrays.values()]

    def _look_inside(self, value: Any, label: str) -> None:
        """Guard what a value holds; the place that holds the value itself is guarded by the caller."""
        if isinstance(value, np.ndarray):
            self._arrays[id(value)] = value, label
            if value.dtype.hasobject and id(value) not in self._seen:
                self._seen[id(value)] = value
                self._look_inside(value.reshape(-1).tolist(), label)
        if isinstance(value, _LEAVES) or id(value) in self._seen or len(self.guards) > _MOST_GUARDS:
            return
        self._seen[id(value)] = value
        if isinstance(value, _GENERATORS):
            self.generators.append(value)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, Iterator) and is_foreign(type(value).__module__):
            self._iterators.append((value, iterators.position(value), label))
        elif value is random:
            for name in self._names & set(random.__all__):
                self._look_inside(getattr(random, name), f"{label}.{name}")  # bound to the generator of the module
        elif isinstance(value, types.ModuleType):
            if not is_foreign(value.__name__) and "site-packages" not in (getattr(value, "__file__", None) or ""):
                self._visit_own(value, vars(value), label)
        elif isinstance(value, type):
            self._visit_class(value, label)
        elif isinstance(value, dict):
            self._guard("items=", value, None, tuple(value), label)
            for key in tuple(value):
                self._visit_place("dict", value, key, f"{label}[{key!r}]")
        elif isinstance(value, MappingProxyType):
            for mapping in gc.get_referents(value):
                self._look_inside(mapping, label)
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
        if isinstance(value, _NAMESPACES):
            asked = self._names & _CLOCKS.get(getattr(value, "__module__", value.__name__), frozenset())
            self._clocks |= {f"{label}.{name}": None for name in asked}
        elif isinstance(value, types.BuiltinFunctionType) and value.__name__ in _CLOCKS.get(value.__module__, ()):
            self._clocks[label] = None
        if isinstance(value, types.ModuleType):
            self._look_inside(value, label)
            return
        is_plain = isinstance(value, _SCALARS) or (type(value) is tuple and all(isinstance(v, _SCALARS) for v in value))
        self._guard(kind + "=" if is_plain else kind, holder, name, value, label)
        self._look_inside(value, label)

    def _visit_function(self, function: types.FunctionType) -> None:
        if is_foreign(function.__module__):
            for cell in function.__closure__ or ():
                if _is_full(cell) and (callable(cell.cell_contents) or isinstance(cell.cell_contents, dict)):
                    self._look_inside(cell.cell_contents, function.__name__)
            return
        names = set(_names(function.__code__))
        self._names |= names
        self._look_for_names(function.__code__, names, label=function.__name__)
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

    def _look_for_names(self, code: types.CodeType, names: Set[str], label: str) -> None:
        """Find out which attributes code reads by names that it computes, and variables of the environment."""
        if not _ASKING.isdisjoint(names):
            self._asked |= {name for name in names if name.isidentifier()}
            self._is_open |= not names.isdisjoint(("vars", "__dict__")) or locate.computes_names(code)
        if not names.isdisjoint(("environ", "getenv")):
            variables = _Environment(names)
            self._guard("items=", variables, None, tuple(variables), f"os.environ, read in {label}")

    def _visit_own(self, value: Any, own: Mapping[str, Any], label: str) -> None:
        for name in self._names & own.keys():
            self._visit_place("attr", value, name, f"{label}.{name}")

    def _visit_all(self, value: Any, own: Mapping[str, Any], label: str) -> None:
        """Guard all attributes of an instance, and which there are."""
        self._guard("items=", own, None, tuple(own), label)
        for name in tuple(own):
            self._visit_place("attr", value, name, f"{label}.{name}")

    def _visit_missing(self, value: Any, own: Mapping[str, Any], label: str) -> None:
        """Guard that an instance does not have attributes that the code asks for."""
        if isinstance(own, dict):
            known = set(own).union(*(vars(owner) for owner in type(value).__mro__))
            for name in self._asked - known:
                self._guard("absent", own, name, None, f"{label}.{name}")

    def _visit_object(self, value: Any, label: str) -> None:
        """Look at an instance: its attributes, those of its class, and what it wraps."""
        if isinstance(value, _WRAPPERS):
            for name in ("func", "__func__", "__self__", "args", "keywords", "fget"):
                self._look_inside(getattr(value, name, None), label)
            return
        own = _own(value)
        for name in ("__wrapped__", "__tracer_rules__"):
            self._look_inside(own.get(name), label)
        if isinstance(value, _HOLDERS) or type(value).__module__.startswith("scipy."):
            self._visit_all(value, own, label)
        elif is_foreign(type(value).__module__) and type(value) is not types.SimpleNamespace:
            self._visit_own(value, own, label)
        else:
            (self._visit_all if self._is_open else self._visit_own)(value, own, label)
            self._visit_missing(value, own, label)
        for owner in type(value).__mro__:
            if is_foreign(owner.__module__):
                continue
            for name, member in tuple(vars(owner).items()):
                if _only_refuses(owner, name):
                    continue
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
        for owner in type.mro(type(value)):
            if not is_foreign(owner.__module__):
                for name in self._names & vars(owner).keys():
                    self._look_inside(vars(owner)[name], f"{label}.{name}")
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


def logger() -> logging.Logger:
    """Where warnings and notes about traces go."""
    import logging  # here: most programs never need it

    return logging.getLogger("tracer")


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
    return (module or "").partition(".")[0] in _FOREIGN


def _only_refuses(owner: type, name: str) -> bool:
    """Whether a method is what a frozen dataclass is given, in place of any other, so that its fields stay."""
    if name not in ("__setattr__", "__delattr__"):
        return False
    return getattr(vars(owner).get("__dataclass_params__"), "frozen", False) is True


def _is_full(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _names_called(function: Any) -> set[str]:
    """The names in the code of a function and of those that it calls by name: what is known first needs no more rounds.

    Others are found while the surroundings are looked at.
    """
    found: set[str] = set()
    seen: set[types.FunctionType] = set()
    waiting = [function if isinstance(function, types.FunctionType) else _own(function).get("__wrapped__")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, types.FunctionType) and item not in seen and not is_foreign(item.__module__):
            seen.add(item)
            names = set(_names(item.__code__))
            found |= names
            waiting += [item.__globals__[name] for name in names & item.__globals__.keys()]
            waiting += [cell.cell_contents for cell in item.__closure__ or () if _is_full(cell)]
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):  # getattr(layer, "weight")
            yield constant
