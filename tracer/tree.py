"""Nested arguments: flatten tuples, lists, dicts, named tuples, dataclasses and None to leaves, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tracer.records import NamedTuple


class Structure(NamedTuple):
    """The shape of a nest: a kind, the type to rebuild, static keys, and the children (None for a leaf)."""

    kind: str
    type: Any = None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def leaf_count(self) -> int:
        """How many leaves it has."""
        return 1 if self.kind == "leaf" else sum(child.leaf_count for child in self.children)


LEAF = Structure("leaf")
NONE = Structure("none")


def _open(value: Any) -> tuple[Structure, Sequence[Any]] | None:
    """Take one container apart: its childless structure and its children; None for a leaf."""
    kind = type(value)
    if value is None:
        return NONE, ()
    if kind is tuple or kind is list:
        return Structure(kind.__name__, kind), value
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Structure("namedtuple", kind, tuple(kind._fields)), value
    if isinstance(value, dict):
        return Structure("dict", kind, tuple(value)), list(value.values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return Structure("dataclass", kind, names), [getattr(value, name) for name in names]
    return None


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a nest, left to right, and its structure.

    >>> flatten({"w": 1, "b": (2, None)})[0]
    [1, 2]
    """
    opened = _open(value)
    if opened is None:
        return [value], LEAF
    structure, items = opened
    leaves: list[Any] = []
    children = []
    for item in items:
        more, child = flatten(item)
        leaves += more
        children.append(child)
    return leaves, structure._replace(children=tuple(children))


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Rebuild a nest from its structure and leaves.

    >>> unflatten(flatten((1, [2]))[1], "ab")
    ('a', ['b'])
    """
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Any) -> Any:
    if structure.kind == "leaf":
        return next(leaves)
    return rebuild(structure, [_build(child, leaves) for child in structure.children])


def rebuild(structure: Structure, children: Sequence[Any]) -> Any:
    """Rebuild one container from its children."""
    match structure.kind:
        case "none":
            return None
        case "tuple" | "list":
            return structure.type(children)
        case "namedtuple":
            return structure.type(*children)
        case "dict":
            pairs = dict(zip(structure.keys, children, strict=True))
            return pairs if structure.type is dict else structure.type(pairs)
        case "dataclass":
            return structure.type(**dict(zip(structure.keys, children, strict=True)))
    raise TypeError(f"cannot rebuild a {structure.kind}")


def map_leaves(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Apply a function to corresponding leaves of nests with one structure.

    >>> map_leaves(lambda a, b: a + b, {"w": 1}, {"w": 10})
    {'w': 11}
    """
    leaves, structure = flatten(value)
    columns = [leaves]
    for other in others:
        more, other_structure = flatten(other)
        if other_structure != structure:
            raise ValueError(f"nests differ in structure: {structure} and {other_structure}")
        columns.append(more)
    return unflatten(structure, [function(*items) for items in zip(*columns, strict=True)])


def leaf_paths(structure: Structure, prefix: str = "") -> list[str]:
    """Name every leaf as a user would write it: `params[0]`, `state['w']`, `model.bias`.

    >>> leaf_paths(flatten({"w": 1, "b": (2, 3)})[1], "p")
    ["p['w']", "p['b'][0]", "p['b'][1]"]
    """
    if structure.kind == "leaf":
        return [prefix]
    paths: list[str] = []
    for position, child in enumerate(structure.children):
        if structure.kind in ("namedtuple", "dataclass"):
            step = f".{structure.keys[position]}"
        elif structure.kind == "dict":
            step = f"[{structure.keys[position]!r}]"
        else:
            step = f"[{position}]"
        paths += leaf_paths(child, prefix + step)
    return paths
