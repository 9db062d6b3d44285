"""Made-up sizes with which expressions can be replayed before there are arrays, to look at the graph they become.

Every unknown dimension gets a size that nothing else has. Where a call then fails because sizes must agree, they are
made equal and the replay starts again. So sizes that a text shows can be told from each other and from numbers.

They also stand for inputs without values: a derivative is computed from a whole expression, but its result may do
without some inputs of it, as the gradient of x**2 + y with respect to x does without y.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations, product
from typing import Any, NamedTuple

import numpy as np

from tracer.graph.graph import Graph, depends_on, toposort
from tracer.graph.node import Node, input_node
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.replay import applies, leaves_of, replay
from tracer.tracing.shared import Shared
from tracer.tracing.symbolic_type import TensorType
from tracer.types import ArrayType

FIRST_SIZE = 101
_ATTEMPTS = 60

Shapes = dict[Any, tuple[int, ...]]


def _primes(first: int) -> Iterator[int]:
    number = first
    while True:
        if all(number % factor for factor in range(2, int(number**0.5) + 1)):
            yield number
        number += 1


class StandIns:
    """Values that stand for the inputs of expressions.

    Attributes
    ----------
    values : dict
        Variable -> traced value, with which the expressions can be replayed.
    sizes : dict
        Made-up size -> where it stands: a variable and an axis.
    """

    def __init__(self, values: dict[Any, Any], sizes: dict[int, tuple[Any, int]]) -> None:
        self.values, self.sizes = values, sizes

    def replay(self, outputs: Sequence[Any]) -> list[Any]:
        """The expressions as traced values. Raises what replays raise."""
        with trace.specialising(_guess):
            return replay(outputs, self.values)


def stand_ins(outputs: Sequence[Any], first: int = FIRST_SIZE) -> StandIns | None:
    """Find sizes, from `first` on, with which expressions can be replayed; None if there are none to be found."""
    leaves = [item for item in leaves_of(outputs) if not item.is_constant]
    primes = _primes(first)
    shapes: Shapes = {
        item: tuple(1 if is_one else next(primes) for is_one in item.type.broadcastable)
        for item in leaves
        if isinstance(item.type, TensorType) and not isinstance(item, Shared)
    }
    with trace.specialising(_guess):
        found = _agreed(outputs, leaves, shapes, {}, first)
    return None if found is None else StandIns(found, _places(shapes))


def _agreed(
    outputs: Sequence[Any], leaves: Sequence[Any], shapes: Shapes, known: Mapping[Any, Any], first: int
) -> dict[Any, Any] | None:
    """Values for leaves, beside the known ones, with which expressions can be replayed; changes their made-up sizes.

    Made-up sizes are those from `first` on.
    """
    for _ in range(_ATTEMPTS):
        found = {**_values(leaves, shapes), **known}
        failed = _first_failure(outputs, dict(found))
        if failed is None:
            return found
        agreed = _agreement(failed, first)
        if agreed is None:
            return None
        for item, shape in shapes.items():
            shapes[item] = tuple(agreed.get(size, size) for size in shape)
    return None


# --- inputs without values ---------------------------------------------------------------------------------------


def can_do_without(outputs: Sequence[Any], absent: Sequence[Any]) -> bool:
    """Whether the results of expressions depend on absent inputs only in appearance, as derivatives may."""
    found = stand_ins(outputs)
    if found is None:
        return False
    known = {item: value for item, value in found.values.items() if item not in absent}
    with trace.specialising(_guess):
        return replay_without(outputs, absent, known) is not None


def replay_without(outputs: Sequence[Any], absent: Sequence[Any], known: Mapping[Any, Any]) -> list[Any] | None:
    """Replay expressions on known values, without those of inputs that are absent.

    Returns
    -------
    list or None
        A value per output; None if one depends on an absent input, or on a size that only such an input has.
    """
    if not all(isinstance(item.type, TensorType) for item in absent):
        return None
    first = max([FIRST_SIZE, *(size + 1 for value in known.values() for size in getattr(value, "shape", ()))])
    found = _replayed_without(outputs, absent, known, first)
    if found is None:
        return None
    values, nodes, largest = found
    if largest >= first:
        # A result in which such a size has a part differs from that with another size.
        other = _replayed_without(outputs, absent, known, largest + 1)
        if other is None or not _is_same(nodes, other[1], {}):
            return None
    return values


def _replayed_without(
    outputs: Sequence[Any], absent: Sequence[Any], known: Mapping[Any, Any], first: int
) -> tuple[list[Any], list[Node], int] | None:
    """Values, their nodes, and the largest size of absent inputs, which are made up from `first` on."""
    primes = _primes(first)
    shapes = {item: tuple(1 if is_one else next(primes) for is_one in item.type.broadcastable) for item in absent}
    given = _agreed(outputs, absent, shapes, known, first)
    if given is None:
        return None
    places = {unwrap(given[item]) for item in absent}

    def heeded(node: Node) -> Node:
        if node in depends_on([node], places):
            raise ValueError(f"{node!r} must be known, but has no value")
        return node

    try:
        with trace.translating(heeded):
            values = replay(outputs, given)
    except (ValueError, IndexError, TypeError):
        return None
    nodes = [unwrap(leaf) for item, value in zip(outputs, values, strict=True) for leaf in item.type.flatten(value)[0]]
    if not depends_on(nodes, places).isdisjoint(nodes):
        return None
    return values, nodes, max((size for shape in shapes.values() for size in shape), default=0)


def _is_same(nodes: Sequence[Node], others: Sequence[Node], pairs: dict[Node, Node]) -> bool:
    """Whether nodes compute the same; `pairs` has the inputs of one and of the other that correspond."""
    order, other_order = toposort(nodes), toposort(others)
    for node, other in zip(order, other_order, strict=False):
        if node is not other and node not in pairs:
            inputs = tuple(pairs.get(item) for item in node.inputs)
            if node.op is not other.op or node.types != other.types or not inputs or inputs != other.inputs:
                return False
            if list(node.params) != list(other.params):
                return False
            for one, two in zip(node.params.values(), other.params.values(), strict=True):
                is_body = isinstance(one, Graph) and isinstance(two, Graph)
                if not (_is_same_body(one, two) if is_body else one == two):
                    return False
        pairs.setdefault(node, other)
    return [pairs[node] for node in nodes] == list(others)


def _is_same_body(one: Graph, other: Graph) -> bool:
    types = [[node.type for node in graph.inputs] for graph in (one, other)]
    pairs = dict(zip(one.inputs, other.inputs, strict=False))
    return types[0] == types[1] and _is_same(one.outputs, other.outputs, pairs)


def _values(leaves: Sequence[Any], shapes: Shapes) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for item in leaves:
        if item in shapes:
            found[item] = Proxy(input_node(ArrayType(item.type.numpy_dtype, shapes[item]), item.name or _label(item)))
        elif isinstance(item, Shared):
            node = item.__tracer_node__
            found[item] = Proxy(input_node(node.type, item.name or _label(item)))
        elif hasattr(item, "cell"):
            leaves_, static = item.type.flatten(item.cell[0])
            nodes = [input_node(ArrayType(leaf.dtype, leaf.shape), item.name) for leaf in leaves_]
            found[item] = item.type.unflatten(list(map(Proxy, nodes)), static)
        else:
            found[item] = item.type.stand_in()
    return found


def _label(item: Any) -> str:
    return f"<{item.type}>"


def _places(shapes: Shapes) -> dict[int, tuple[Any, int]]:
    places: dict[int, tuple[Any, int]] = {}
    for item, shape in shapes.items():
        for axis, size in enumerate(shape):
            if size >= FIRST_SIZE:
                places.setdefault(size, (item, axis))
    return places


def _guess(node: Node) -> np.ndarray[Any, Any]:
    return np.full(node.type.known_shape, 2).astype(node.type.dtype)


class _Misfit(NamedTuple):
    """A call that does not fit its inputs, their values, and what it says."""

    node: Any
    values: list[Any]
    text: str


def _first_failure(outputs: Sequence[Any], known: dict[Any, Any]) -> _Misfit | None:
    """The first call that does not fit its inputs."""
    for node in applies(outputs):
        try:
            found = replay(node.outputs, known)
        except (ValueError, IndexError, TypeError) as error:
            return _Misfit(node, [known[item] if item in known else item.data for item in node.inputs], str(error))
        known.update(zip(node.outputs, found, strict=True))
    return None


def _agreement(misfit: _Misfit, first: int) -> dict[int, int] | None:
    """Made-up sizes among a call's inputs -> what they should be, for the call to fit or to come further."""
    shapes = list(dict.fromkeys(value.shape for value in misfit.values if isinstance(value, Proxy)))
    tried = []
    for agreed in _agreements(shapes, first):
        text = _complaint(misfit, agreed) if agreed else misfit.text
        if text is None:
            return agreed
        tried.append((agreed, text))
    for agreed, text in tried:
        # A call with calls inside of it, such as a loop, may have to do with several sizes.
        sizes = {*agreed, *agreed.values()}
        if len(agreed) == 1 and sizes <= _numbers(misfit.text) and sizes.isdisjoint(_numbers(text)):
            return agreed
    return None


def _numbers(text: str) -> set[int]:
    return set(map(int, re.findall(r"\d+", text)))


def _agreements(shapes: Sequence[tuple[int, ...]], first: int) -> Iterator[dict[int, int]]:
    """What may have to be equal: two sizes, sooner those of two shapes, or all those of two shapes, or a size and 1."""
    sizes = dict.fromkeys(size for shape in shapes for size in shape if size != 1)
    across = [pair for one, other in combinations(shapes, 2) for pair in product(one, other) if 1 not in pair]
    for pair in dict.fromkeys([*across, *combinations(sizes, 2)]):
        yield from ({old: new} for old, new in (pair, pair[::-1]) if old >= first and old != new)
    for one, other in permutations(shapes, 2):
        if len(one) == len(other):
            yield {old: new for old, new in zip(one, other, strict=True) if old >= first and old != new}
    yield from ({size: 1} for size in sizes if size >= first)


def _complaint(misfit: _Misfit, agreed: Mapping[int, int]) -> str | None:
    """What a call says of its inputs when sizes agree; None if it takes them."""
    known = {}
    for item, value in zip(misfit.node.inputs, misfit.values, strict=True):
        if isinstance(value, Proxy):
            shape = tuple(agreed.get(size, size) for size in value.shape)
            value = Proxy(input_node(ArrayType(value.dtype, shape)))
        known[item] = value
    try:
        replay(misfit.node.outputs, known)
    except (ValueError, IndexError, TypeError) as error:
        return str(error)
    return None
