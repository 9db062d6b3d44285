"""The arguments of one call of a compiled function: taken apart, named, and as the key of what is compiled for them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from tracer import device, errors
from tracer.aliasing import Group
from tracer.ops.generators import source_of
from tracer.records import NamedTuple
from tracer.tracing import trace
from tracer.tracing.generators import Stream, is_generator, key_of, state_if
from tracer.tracing.proxy import Proxy
from tracer.tree import Structure, leaf_paths, rebuild

Entry = tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]

SETTINGS = 4
"""How many items at the beginning of a key belong to the call as a whole; the others describe a leaf each."""


class Leaves(NamedTuple):
    """The flattened arguments of one call.

    Attributes
    ----------
    structure : Structure
        How (args, kwargs) are nested.
    values : list
        The leaves; those that are traced as arrays that programs take.
    is_array : list of bool
        Which leaves are traced; the others are static.
    key : tuple
        What a plan is kept under.
    names : list of str
        How the user would write each leaf.
    originals : list
        The caller's own objects, of the traced leaves.
    weak : frozenset of int
        The leaves that are Python floats and traced nevertheless.
    groups : tuple of Group
        Arrays that share memory, where it matters.
    """

    structure: Structure
    values: list[Any]
    is_array: list[bool]
    key: tuple[Any, ...]
    names: list[str]
    originals: list[Any]
    weak: frozenset[int] = frozenset()
    groups: tuple[Group, ...] = ()

    @property
    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The leaves that are traced, and after them the memory that groups of them share."""
        own = [value for value, traced in zip(self.values, self.is_array, strict=True) if traced]
        return [*own, *(group.base for group in self.groups)]

    @property
    def targets(self) -> list[Any]:
        """What is written to where the plan changes one of `arrays`."""
        return [*self.originals, *(group.base for group in self.groups)]


def entry_of(array: np.ndarray[Any, Any]) -> Entry:
    """What a plan assumes about an input: dtype, shape and byte strides."""
    return array.dtype, array.shape, array.strides


def as_input(value: Any, name: str, on_gpu: bool = False) -> Any:
    """An array argument in a form that programs take: plain ndarray, traced dtype, aligned, whole-element strides.

    For a program on a GPU, one that is there already becomes an array of CuPy of the same memory.

    Raises TypeError for a dtype that cannot be traced.
    """
    trace.check_array(value, name)
    array = device.to_gpu(value) if on_gpu and device.is_on_gpu(value) else device.to_host(value)
    trace.check_dtype(array, name)
    return in_whole_elements(array)


def in_whole_elements(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that programs take, aligned and with strides of whole elements: itself, or a copy."""
    if not getattr(array.flags, "aligned", True) or any(stride % array.itemsize for stride in array.strides):
        return array.copy(order="C")
    return array


def is_array_like(value: Any) -> bool:
    """Whether an argument is traced: an array, a NumPy scalar, or something that turns into one."""
    if isinstance(value, np.ndarray | np.generic):
        return True
    return (hasattr(value, "__array__") or device.is_on_gpu(value)) and not isinstance(value, type | Proxy)


class _Identity:
    """Compares an unhashable object by identity."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value


def static_key(value: Any, name: str, function: str) -> Any:
    """What tells static arguments apart. Raises TypeError for an object neither hashable nor with an identity."""
    if type(value) in (float, complex):
        return repr(value)  # tells -0.0 from 0.0, and nan is itself
    if type(value) is slice:
        return "slice", value.start, value.stop, value.step
    if type(value) is set:
        return frozenset(value)
    if not _is_hashable(value):
        if hasattr(value, "__dict__"):
            return _Identity(value)
        raise TypeError(
            errors.message(errors.STATIC_UNHASHABLE, name=name, function=function, type=type(value).__name__)
        )
    if type(value).__eq__ is object.__eq__ or not hasattr(value, "__dict__"):  # type: ignore[comparison-overlap]
        return value
    # What compares equal by rules of its own may hold other attributes nevertheless.
    held = {key: item if _is_hashable(item) else _Identity(item) for key, item in vars(value).items()}
    return value, frozenset((key, type(item), item) for key, item in held.items())


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


# --- names -------------------------------------------------------------------------------------------------------


def leaf_names(parameters: Sequence[str], structure: Structure) -> list[str]:
    """How the user would write each leaf of the arguments of a function with these positional parameters."""
    positional, keywords = structure.children
    names: list[str] = []
    for position, child in enumerate(positional.children):
        name = parameters[position] if position < len(parameters) else f"argument {position}"
        names += leaf_paths(child, name)
    for keyword, child in zip(keywords.keys, keywords.children, strict=True):
        names += leaf_paths(child, keyword)
    return names


def positional_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters that can be passed by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD))


def difference(before: Leaves, now: Leaves) -> str:
    """Why a call does not fit the plan of another."""
    if before.structure != now.structure:
        return "the arguments are nested differently, or passed under other names"
    for name, old, new in zip(now.names, before.key[SETTINGS:], now.key[SETTINGS:], strict=True):
        if old != new:
            return f"argument {name} was {entry_text(old)} and is {entry_text(new)}"
    if before.key[SETTINGS - 1] != now.key[SETTINGS - 1]:
        return "other arguments share memory"
    return "a setting of tracer.config changed"


def entry_text(entry: Any) -> str:
    """What a key says about one leaf, for messages."""
    if entry[0] == "generator":
        return f"a generator of {entry[1].bits.__name__}"
    if isinstance(entry[0], type):
        return f"the static {entry[0].__name__} {entry[1]}" if len(entry) > 1 else f"any {entry[0].__name__}"
    return f"{entry[0]}{list(entry[1])} with strides {entry[2]}"


# --- for the native call path ------------------------------------------------------------------------------------


class _NoFastPath(Exception):
    """A nest that only the slow path takes apart."""


def spec(leaves: Leaves, scalars: Collection[int] = (), streams: Sequence[Stream] = ()) -> tuple[Any, ...] | None:
    """How the dispatcher recognises such arguments; None where it cannot.

    `scalars` are traced leaves, counted among these, that only NumPy scalars may stand for, not 0-d arrays. `streams`
    are captured: no generator among the arguments may draw from them.
    """
    if leaves.groups or sum(map(is_generator, leaves.originals)) > 1:  # two might draw from one stream
        return None
    found = iter(_leaf_specs(leaves, scalars, frozenset(key_of(item.generator) for item in streams)))
    try:
        positional = [_spec_of(child, found) for child in leaves.structure.children[0].children]
        keywords = [_spec_of(child, found) for child in leaves.structure.children[1].children]
    except _NoFastPath:
        return None
    return (*positional, *keywords)


def _leaf_specs(leaves: Leaves, scalars: Collection[int], captured: frozenset[int]) -> Iterator[tuple[Any, ...]]:
    traced = iter(enumerate(leaves.originals))
    for place, (value, is_array) in enumerate(zip(leaves.values, leaves.is_array, strict=True)):
        number, original = next(traced) if is_array else (-1, value)
        if not is_array:
            yield "static", value
        elif number in scalars:
            raise _NoFastPath
        elif is_generator(original):
            yield "read", ("array", *array_entry(value)), functools.partial(state_if, source_of(original), captured)
        else:
            yield ("float", value.dtype.num) if place in leaves.weak else ("array", *array_entry(value))


def _spec_of(structure: Structure, leaf_specs: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
    if structure.kind == "leaf":
        return next(leaf_specs)
    children = tuple(_spec_of(child, leaf_specs) for child in structure.children)
    if structure.kind == "none":
        return "static", None
    if structure.kind in ("tuple", "list"):
        return structure.kind, children
    if structure.kind == "dict" and structure.type is dict:
        return "dict", tuple(zip(structure.keys, children, strict=True))
    raise _NoFastPath


def array_entry(array: np.ndarray[Any, Any]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """What the dispatcher compares of an array."""
    return array.dtype.num, array.shape, array.strides


def output_tree(structure: Structure, results: Iterator[Any]) -> Any:
    """How the dispatcher rebuilds a nested result."""
    if structure.kind == "leaf":
        kind, value = next(results)
        if kind == "output":
            return "leaf", value, True
        if kind == "float":
            return "call", float, (("leaf", value, True),)
        return kind, value
    children = tuple(output_tree(child, results) for child in structure.children)
    if structure.kind == "none":
        return "constant", None
    if structure.kind in ("tuple", "list"):
        return structure.kind, children
    if structure.kind == "dict" and structure.type is dict:
        return "dict", tuple(zip(structure.keys, children, strict=True))
    return "call", functools.partial(_rebuild, structure._replace(children=())), children


def _rebuild(structure: Structure, *children: Any) -> Any:
    return rebuild(structure, children)
