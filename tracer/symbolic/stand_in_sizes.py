"""Made-up sizes with which expressions can be replayed before there are arrays, to look at the graph they become.

Every unknown dimension gets a size that nothing else has. Where a call then fails because sizes must agree, they are
made equal and the replay starts again. So sizes that a text shows can be told from each other and from numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from tracer.graph.node import Node, input_node
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.replay import applies, leaves_of, replay
from tracer.tracing.shared import Shared
from tracer.tracing.symbolic_type import TensorType
from tracer.types import ArrayType

FIRST_SIZE = 101
_ATTEMPTS = 60

Shapes = dict[Any, tuple[int, ...]]


def _primes() -> Iterator[int]:
    number = FIRST_SIZE
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


def stand_ins(outputs: Sequence[Any]) -> StandIns | None:
    """Find sizes with which expressions can be replayed; None if there are none to be found."""
    leaves = [item for item in leaves_of(outputs) if not item.is_constant]
    primes = _primes()
    shapes: Shapes = {
        item: tuple(1 if is_one else next(primes) for is_one in item.type.broadcastable)
        for item in leaves
        if isinstance(item.type, TensorType) and not isinstance(item, Shared)
    }
    for _ in range(_ATTEMPTS):
        found = _values(leaves, shapes)
        failed = _first_failure(outputs, dict(found))
        if failed is None:
            return StandIns(found, _places(shapes))
        agreed = _agreement(*failed)
        if agreed is None:
            return None
        old, new = agreed
        shapes = {item: tuple(new if size == old else size for size in shape) for item, shape in shapes.items()}
    return None


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


def _first_failure(outputs: Sequence[Any], known: dict[Any, Any]) -> tuple[Any, list[Any]] | None:
    """The first call that does not fit its inputs, and their values."""
    for node in applies(outputs):
        try:
            with trace.specialising(_guess):
                found = replay(node.outputs, known)
        except (ValueError, IndexError, TypeError):
            return node, [known[item] if item in known else item.data for item in node.inputs]
        known.update(zip(node.outputs, found, strict=True))
    return None


def _agreement(node: Any, values: Sequence[Any]) -> tuple[int, int] | None:
    """Two sizes among a call's inputs that have to be equal: a made-up one, and what it should be."""
    shapes = [value.shape if isinstance(value, Proxy) else None for value in values]
    sizes = dict.fromkeys(size for shape in shapes for size in shape or () if size != 1)
    for one, other in combinations(sizes, 2):
        for old, new in ((one, other), (other, one)):
            if old >= FIRST_SIZE and _fits(node, values, old, new):
                return old, new
    return None


def _fits(node: Any, values: Sequence[Any], old: int, new: int) -> bool:
    known = {}
    for item, value in zip(node.inputs, values, strict=True):
        if isinstance(value, Proxy):
            shape = tuple(new if size == old else size for size in value.shape)
            value = Proxy(input_node(ArrayType(value.dtype, shape)))
        known[item] = value
    try:
        with trace.specialising(_guess):
            replay(node.outputs, known)
    except (ValueError, IndexError, TypeError):
        return False
    return True
