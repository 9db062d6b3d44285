"""Nodes of the graph: immutable, hash-consed values with a type and the user's source line."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from tracer.errors import HINTS_FOR_SHAPES, RECORDING, Line, message, user_line
from tracer.graph.op import Op
from tracer.types import ArrayType, TupleType, type_of

_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Node:
    """One value of a graph.

    Two nodes with the same op, inputs and parameters are one object, so `is` is equality and common
    subexpressions are shared from the start. Make them with `make_node`, `constant` or `input_node`.

    Attributes
    ----------
    op : Op
        What computes it.
    inputs : tuple of Node
        What it is computed from.
    params : mapping
        Static parameters, all hashable.
    type : ArrayType
        Its dtype and shape. That of a node with several outputs is a TupleType instead; only `item` nodes use one.
    line : Line or None
        The user's source line that asked for it; a derivative carries the line it is the derivative of.
    name : str or None
        The user's name for it, if any.
    settled : object or None
        The index of a list of rewrite rules none of which applies to it, nor to anything that it is made of.
    """

    __slots__ = ("__weakref__", "inputs", "line", "name", "op", "params", "settled", "type")

    op: Op
    inputs: tuple[Node, ...]
    params: Mapping[str, Any]
    type: ArrayType
    line: Line | None
    name: str | None
    settled: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.type.shape

    @property
    def has_items(self) -> bool:
        """Whether the node has several outputs, which are read through `item` nodes."""
        own: Any = self.type
        return isinstance(own, TupleType)

    @property
    def types(self) -> tuple[ArrayType, ...]:
        """The type of every output."""
        own: Any = self.type
        return own.items if isinstance(own, TupleType) else (own,)

    @property
    def is_constant(self) -> bool:
        return self.op is CONSTANT

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The array of a constant node (read-only)."""
        array: np.ndarray[Any, Any] = self.params["value"]
        return array

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        return f"<{self.op.name}{label} {self.type}>"


def _no_rule(*_: Any, **__: Any) -> Any:
    raise TypeError("inputs and constants are not computed")


CONSTANT = Op("constant", family="leaf", infer=_no_rule, evaluate=_no_rule, doc="A value known while tracing.")
INPUT = Op("input", family="leaf", infer=_no_rule, evaluate=_no_rule, doc="A value given at each call.")


def _item_type(types: Sequence[Any], index: int) -> ArrayType:
    return cast("ArrayType", types[0].items[index])


ITEM = Op(
    "item",
    family="item",
    infer=_item_type,
    evaluate=lambda values, index: values[index],
    doc="One output of an op that has several.",
)


class _Entry(weakref.ref[Node]):
    """A weak reference to a node that knows the node's key: a plain one, and a WeakValueDictionary, are slower."""

    __slots__ = ("key",)

    key: Any


_interned: dict[Any, _Entry] = {}
_lock = threading.Lock()


def _forget(entry: _Entry) -> None:
    if _interned.get(entry.key) is entry:
        _interned.pop(entry.key, None)


def _intern(key: Any, node: Node) -> Node:
    """Enter a new node under its key; returns the one that another thread entered before, if it did."""
    entry = _Entry(node, _forget)
    entry.key = key
    kept = _interned.setdefault(key, entry)
    if kept is entry:
        return node
    with _lock:
        found = _interned[key]() if key in _interned else None
        if found is None:
            _interned[key] = entry
            return node
    return found


class _LineScope(threading.local):
    line: Line | None = None
    made = 0
    limit = 0
    notice: Callable[[], int] | None = None


_scope = _LineScope()


def recorded() -> int:
    """How many nodes this thread has asked for so far."""
    return _scope.made


@contextmanager
def watching(count: int, notice: Callable[[], int]) -> Iterator[None]:
    """Call `notice` in the block when this thread has asked for so many nodes, and after as many more as it says."""
    before = _scope.limit, _scope.notice
    _scope.limit, _scope.notice = _scope.made + count, notice
    try:
        yield
    finally:
        _scope.limit, _scope.notice = before


def _tell(notice: Callable[[], int]) -> None:
    _scope.notice = None
    _scope.limit = _scope.made + notice()
    _scope.notice = notice


class blame:
    """Give the nodes made inside the `with` block this source line instead of the caller's."""

    __slots__ = ("_before", "_line")

    def __init__(self, line: Line | None) -> None:
        self._line = line

    def __enter__(self) -> None:
        self._before, _scope.line = _scope.line, self._line

    def __exit__(self, *_: object) -> None:
        _scope.line = self._before


def _new(op: Op, inputs: tuple[Node, ...], params: Mapping[str, Any], node_type: ArrayType) -> Node:
    node = object.__new__(Node)
    node.op, node.inputs, node.params, node.type = op, inputs, params, node_type
    node.name = node.settled = None
    node.line = _scope.line or user_line()
    return node


def make_node(op: Op, inputs: tuple[Node, ...], params: Mapping[str, Any] = _NO_PARAMS) -> Node:
    """Return the one node that applies an op to inputs; its type is inferred and wrong inputs raise here."""
    _scope.made += 1
    if _scope.notice is not None and _scope.made > _scope.limit:
        _tell(_scope.notice)
    key = (op, inputs, tuple(params.items())) if params else (op, inputs)
    entry = _interned.get(key)
    found = None if entry is None else entry()
    if found is not None:
        return found
    try:
        node_type = _infer(op, inputs, params, key)
    except (TypeError, ValueError, IndexError) as error:
        _annotate(error, op, inputs)
        raise
    return _intern(key, _new(op, inputs, params, node_type))


_REMEMBERED = frozenset(("elementwise", "reduction", "view", "assemble", "matmul", "gather", "scatter", "cumulative"))
"""Families whose inferred types are remembered: loops that a trace unrolls ask for the same again and again."""
_MOST_TYPES = 4096
_types: dict[Any, ArrayType] = {}


def _infer(op: Op, inputs: tuple[Node, ...], params: Mapping[str, Any], key: Any) -> ArrayType:
    if op.family not in _REMEMBERED:
        return cast("ArrayType", op.infer([node.type for node in inputs], **params))
    question = (op, tuple([node.type for node in inputs]), key[2:])
    found = _types.get(question)
    if found is None:
        found = cast("ArrayType", op.infer([node.type for node in inputs], **params))
        if len(_types) >= _MOST_TYPES:
            _types.clear()
        _types[question] = found
    return found


def _annotate(error: Exception, op: Op, inputs: tuple[Node, ...]) -> None:
    """Add what was being recorded, where, and what may help to an error about types or shapes."""
    types = ", ".join(str(node.type) for node in inputs)
    note = message(RECORDING, _scope.line, op=op.name, types=types)
    hint = HINTS_FOR_SHAPES.get(op.family)
    error.add_note(f"{note}\nHINT: {hint}" if hint and isinstance(error, ValueError) else note)


def constant(value: Any, dtype: np.dtype[Any] | None = None) -> Node:
    """Return the node of a known value; the value is copied. Raises OverflowError as NumPy does."""
    array = np.array(value, dtype=dtype)
    key = (CONSTANT, array.dtype, array.shape, array.tobytes())
    entry = _interned.get(key)
    found = None if entry is None else entry()
    if found is not None:
        return found
    array.setflags(write=False)
    return _intern(key, _new(CONSTANT, (), {"value": array}, type_of(array)))


def item_nodes(node: Node) -> tuple[Node, ...]:
    """The outputs of a node that has several."""
    with blame(node.line):
        return tuple(make_node(ITEM, (node,), {"index": index}) for index in range(len(node.types)))


def input_node(node_type: ArrayType, name: str | None = None) -> Node:
    """Return a new input, distinct from every other."""
    node = _new(INPUT, (), _NO_PARAMS, node_type)
    node.name = name
    return node
