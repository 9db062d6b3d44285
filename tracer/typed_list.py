"""Lists of arrays of one type as values of symbolic expressions.

How many items a list has, and of which shapes, is known when a function is compiled for its arguments; so is which
item a symbolic index takes: there is a plan for each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import gradient as texts
from tracer.graph.rules import is_traced
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing, static
from tracer.tracing.symbolic import Variable, as_variable
from tracer.tracing.symbolic_type import TensorType, Type, tensor_type

__all__ = [
    "TypedListType",
    "TypedListVariable",
    "append",
    "count",
    "extend",
    "getitem",
    "index",
    "index_",
    "insert",
    "length",
    "make_list",
    "remove",
    "reverse",
]


class TypedListVariable(Variable):
    """A symbolic list. Its methods are the functions of this module; they return new lists."""

    @property
    def ttype(self) -> Any:
        """The type of its items."""
        return self.type.ttype

    def __getitem__(self, key: Any) -> Any:
        return getitem(self, key)

    def append(self, item: Any) -> Any:
        """The list with one item more."""
        return append(self, item)

    def extend(self, other: Any) -> Any:
        """The list followed by another one."""
        return extend(self, other)

    def insert(self, place: Any, item: Any) -> Any:
        """The list with an item put in at a place."""
        return insert(self, place, item)

    def remove(self, item: Any) -> Any:
        """The list without the first item that is equal to this one."""
        return remove(self, item)

    def reverse(self) -> Any:
        """The list from the end to the start."""
        return reverse(self)

    def count(self, item: Any) -> Any:
        """How many items are equal to this one."""
        return count(self, item)

    def ind(self, item: Any) -> Any:
        """Where the first item is that is equal to this one (`index` is the place of a variable among outputs)."""
        return index(self, item)


class TypedListType(Type):
    """Lists of values of one type.

    Parameters
    ----------
    ttype : Type
        Of the items.
    depth : int
        How many lists deeper the items are.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> rows = TypedListType(T.dvector)("rows")
    >>> f = theano.function([rows], [rows[0].sum(), length(rows.append([7.0]))])
    >>> f([[1.0, 2.0], [3.0]])
    [array(3.), array(3)]
    """

    make_variable = staticmethod(TypedListVariable)

    def __init__(self, ttype: Type, depth: int = 0) -> None:
        if not isinstance(ttype, Type):
            raise TypeError(errors.message(texts.LIST_ITEM_TYPE, value=ttype))
        self.ttype: Any = ttype if depth == 0 else TypedListType(ttype, depth - 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypedListType) and bool(self.ttype == other.ttype)

    def __hash__(self) -> int:
        return hash((TypedListType, self.ttype))

    def __repr__(self) -> str:
        return f"TypedList <{self.ttype}>"

    def get_depth(self) -> int:
        """How many lists deeper the items are."""
        return self.ttype.get_depth() + 1 if isinstance(self.ttype, TypedListType) else 0

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> list[Any]:
        """A list whose items are filtered by their type. Raises TypeError for what is not a list."""
        if not isinstance(value, list | tuple):
            raise TypeError(errors.message(texts.NOT_A_LIST, type=self, kind=type(value).__name__))
        return [self.ttype.filter(item, strict, allow_downcast) for item in value]

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """The arrays of all items; how many each has, and what is static about it, is static."""
        parts = [self.ttype.flatten(item) for item in value]
        return [leaf for leaves, _ in parts for leaf in leaves], tuple((len(leaves), kept) for leaves, kept in parts)

    def unflatten(self, leaves: Sequence[Any], static: Any) -> list[Any]:
        """The list again."""
        items, start = [], 0
        for size, kept in static:
            items.append(self.ttype.unflatten(leaves[start : start + size], kept))
            start += size
        return items

    def stand_in(self) -> list[Any]:
        """A list of two items."""
        return [self.ttype.stand_in(), self.ttype.stand_in()]


# --- functions ---------------------------------------------------------------------------------------------------
# A recorded function returns its list in a tuple, for a list would count as several outputs.


def _one(result: Any) -> Any:
    return result[0] if is_computing() else result


def _checked(variable: Any, item: Any) -> Any:
    """An item for a list: a variable of the type of its items. Raises TypeError for another type."""
    if is_computing():
        return item
    wanted = variable.ttype
    if not hasattr(item, "__symbolic__"):
        item = _constant(wanted, wanted.filter(item))
    if item.type != wanted and not getattr(wanted, "is_super", lambda _: False)(item.type):
        raise TypeError(errors.message(texts.LIST_ITEM, wanted=wanted, found=item.type))
    return item


def _constant(kind: Any, value: Any) -> Any:
    if isinstance(kind, TypedListType):
        return _make_list([_constant(kind.ttype, item) for item in value], kind)
    return as_variable(value)


@deferred(name="MakeList", infer=lambda items, kind: kind)
def _make_list(items: Sequence[Any], kind: TypedListType | None) -> tuple[Any]:
    return (list(items),)


def make_list(a: Iterable[Any]) -> Any:
    """A list of variables of one type.

    Raises
    ------
    TypeError
        If they have different types, or there are none.
    """
    if is_computing():
        return _one(_make_list(list(a), None))
    items = [as_variable(item) for item in a]
    if not items or any(item.type != items[0].type for item in items):
        raise TypeError(errors.message(texts.LIST_OF_TYPES, found=[item.type for item in items]))
    return _make_list(items, TypedListType(items[0].type))


def _item_type(x: Any, place: Any) -> Any:
    return x.type if isinstance(place, slice) else x.ttype


@deferred(name="GetItem", infer=_item_type)
def _getitem(x: Any, place: Any) -> tuple[Any]:
    return (x[place] if isinstance(place, slice) else x[int(static(place))],)


def getitem(x: Any, index: Any) -> Any:
    """An item of a list, or with a slice some of them. Indices may be symbolic, the bounds of a slice not."""
    return _one(_getitem(x, index))


def _same_type(x: Any, *_: Any) -> Any:
    return x.type


def _count_type(*_: Any) -> TensorType:
    return tensor_type(np.dtype(np.int64), ())


@deferred(name="Append", infer=_same_type)
def _append(x: Any, item: Any) -> tuple[Any]:
    return ([*x, item],)


def append(x: Any, item: Any) -> Any:
    """The list with one item more at its end."""
    return _one(_append(x, _checked(x, item)))


@deferred(name="Extend", infer=_same_type)
def _extend(x: Any, other: Any) -> tuple[Any]:
    return ([*x, *other],)


def extend(x: Any, other: Any) -> Any:
    """The list followed by another one. Raises TypeError if its items have another type."""
    if not is_computing() and getattr(other, "type", None) != x.type:
        raise TypeError(errors.message(texts.LIST_ITEM, wanted=x.type, found=getattr(other, "type", type(other))))
    return _one(_extend(x, other))


@deferred(name="Insert", infer=_same_type)
def _insert(x: Any, place: Any, item: Any) -> tuple[Any]:
    items = list(x)
    items.insert(int(static(place)), item)
    return (items,)


def insert(x: Any, index: Any, item: Any) -> Any:
    """The list with an item put in before the one at an index."""
    return _one(_insert(x, index, _checked(x, item)))


@deferred(name="Remove", infer=_same_type)
def _remove(x: Any, item: Any) -> tuple[Any]:
    place = _place_of(x, item)
    return ([*x[:place], *x[place + 1 :]],)


def remove(x: Any, item: Any) -> Any:
    """The list without the first item that is equal to this one; a call raises ValueError if there is none."""
    return _one(_remove(x, _checked(x, item)))


@deferred(name="Reverse", infer=_same_type)
def _reverse(x: Any) -> tuple[Any]:
    return (list(reversed(x)),)


def reverse(x: Any) -> Any:
    """The list from the end to the start."""
    return _one(_reverse(x))


@deferred(name="Index", infer=_count_type, differentiable=False)
def _index(x: Any, item: Any) -> Any:
    return np.int64(_place_of(x, item))


def index(x: Any, item: Any) -> Any:
    """Where the first item is that is equal to this one; a call raises ValueError if there is none."""
    return _index(x, _checked(x, item))


@deferred(name="Count", infer=_count_type, differentiable=False)
def _count(x: Any, item: Any) -> Any:
    return np.int64(sum(_are_equal(own, item) for own in x))


def count(x: Any, item: Any) -> Any:
    """How many items are equal to this one."""
    return _count(x, _checked(x, item))


@deferred(name="Length", infer=_count_type, differentiable=False)
def length(x: Any) -> Any:
    """How many items a list has."""
    return np.int64(len(x))


index_ = index


def _place_of(x: Sequence[Any], item: Any) -> int:
    for place, own in enumerate(x):
        if _are_equal(own, item):
            return place
    raise ValueError(errors.message(texts.NOT_IN_LIST))


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two items are equal, which is static: the plan is for lists with just these equal items."""
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    if one.shape != other.shape:
        return False
    same = np.all(np.equal(one, other))
    return bool(static(same) if is_traced(same) else same)
