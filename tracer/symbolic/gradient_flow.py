"""Where derivatives flow in symbolic expressions, found before any value is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracer.tracing.replay import applies
from tracer.tracing.symbolic_type import Type


class NullType(Type):
    """The type of a gradient that does not exist.

    Attributes
    ----------
    why_null : str
        Why not; errors say it.
    """

    def __init__(self, why_null: str = "(no explanation given)") -> None:
        self.why_null = why_null

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "NullType"

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """Raise ValueError: there are no values of this type."""
        raise ValueError(f"a gradient that does not exist has no value: {self.why_null}")


class DisconnectedType(Type):
    """The type of the gradient with respect to what a cost does not depend on."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "DisconnectedType"

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """Raise ValueError: there are no values of this type."""
        raise ValueError("a disconnected gradient has no value")


Way = bool | NullType
"""How one variable bears on another: whether a derivative flows, or why there is none to be had."""


def joined(ways: Sequence[Way]) -> Way:
    """How one variable bears on another in several ways together: one undefined part makes the sum undefined."""
    return next((way for way in ways if isinstance(way, NullType)), any(ways))


def pattern_of(node: Any) -> list[list[Way]]:
    """For each input of a recorded call, how it bears on each output."""
    own = getattr(node.op, "connection_pattern", None)
    if own is not None:
        pattern: list[list[Way]] = own(node)
        undefined = getattr(node.op, "undefined_gradients", None)
        reasons = {} if undefined is None else undefined(node)
        return [[way and reasons.get(place, way) for way in row] for place, row in enumerate(pattern)]
    return [[bool(node.op.differentiable)] * len(node.outputs) for _ in node.inputs]


def connections(outputs: Sequence[Any], wrt: Iterable[Any], stop: Iterable[Any] = ()) -> dict[Any, Way]:
    """How each of `wrt` bears on outputs, over all the ways that do not lead through variables in `stop`."""
    found: dict[Any, Way] = dict.fromkeys(outputs, True)
    for node in reversed(applies(outputs, stop=stop)):
        heads = [found.get(item, False) for item in node.outputs]
        if any(heads):
            for item, row in zip(node.inputs, pattern_of(node), strict=True):
                ways = [joined([way, head]) for way, head in zip(row, heads, strict=True) if way and head]
                found[item] = joined([found.get(item, False), *ways])
    return {item: found.get(item, False) for item in wrt}
