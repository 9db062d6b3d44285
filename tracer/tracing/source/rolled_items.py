"""What a `for` statement goes through, by number: so that a loop can ask for the item of every step at once."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tracer.tracing.proxy import Proxy
from tracer.tracing.source.rolled_numbers import RolledInt, Steps

DESCRIBED = (zip, enumerate, reversed)


class Combined:
    """A call of `zip`, `enumerate` or `reversed` in the head of a loop.

    Attributes
    ----------
    function : type
    sources : tuple
        Its arguments; calls of these three as such.
    is_strict : bool
        Whether all have to be of one length.
    """

    def __init__(self, function: Any, sources: tuple[Any, ...], iterator: Iterator[Any], is_strict: bool) -> None:
        self.function, self.sources, self._iterator, self.is_strict = function, sources, iterator, is_strict

    def __iter__(self) -> Iterator[Any]:
        return self._iterator


class Items:
    """The items that a loop goes through.

    Parameters
    ----------
    length : int
    at : callable
        (number) -> the item with this number.
    """

    def __init__(self, length: int, at: Callable[[int], Any], together: Callable[[Steps, range], Any]) -> None:
        self.length, self.at, self._together = length, at, together

    def together(self, steps: Steps, places: range) -> Any:
        """What stands for the items of all steps."""
        return self._together(steps, places)


def describe(values: Any, item: Callable[[Any, Any], Any]) -> Items | None:
    """What a loop goes through; None for what gives its items only one after the other.

    `item` reads an item of an array, as `holder[key]` does in rewritten code.
    """
    if type(values) is range:
        return Items(len(values), values.__getitem__, lambda steps, places: _line(steps, values, places))
    if isinstance(values, Combined):
        return _combined(values, item)
    if isinstance(values, Proxy) or type(values) is np.ndarray:
        if not values.ndim or values.dtype == object or not isinstance(values.shape[0], int):
            return None
        return Items(
            values.shape[0],
            values.__getitem__,
            lambda steps, places: item(values, _line(steps, places, range(len(places)))),
        )
    if type(values) in (list, tuple):
        return Items(len(values), values.__getitem__, lambda steps, places: _of_list(values, steps, places, item))
    return None


def _line(steps: Steps, values: range, places: range) -> Any:
    """The numbers at places of a range."""
    return steps.number(values[places.start : places.start + len(places)])


def _of_list(values: Sequence[Any], steps: Steps, places: range, item: Callable[[Any, Any], Any]) -> Any:
    own = list(values[places.start : places.stop])
    return own[0] if all(value is own[0] for value in own) else item(own, RolledInt(steps, range(len(own))))


def _combined(values: Combined, item: Callable[[Any, Any], Any]) -> Items | None:
    sources = values.sources
    if values.function is enumerate:
        start = sources[1] if len(sources) > 1 else 0
        inner = describe(sources[0], item)
        if inner is None or type(start) is not int:
            return None
        return Items(
            inner.length,
            lambda number: (start + number, inner.at(number)),
            lambda steps, places: (
                steps.number(range(start + places.start, start + places.stop)),
                inner.together(steps, places),
            ),
        )
    if values.function is reversed:
        source = sources[0]
        whole = source[::-1] if type(source) in (range, list, tuple) else None
        return None if whole is None else describe(whole, item)
    columns = [describe(source, item) for source in sources]
    found = [column for column in columns if column is not None]
    if len(found) < len(columns) or not found:
        return None
    if values.is_strict and len({column.length for column in found}) > 1:
        return None
    return Items(
        min(column.length for column in found),
        lambda number: tuple(column.at(number) for column in found),
        lambda steps, places: tuple(column.together(steps, places) for column in found),
    )


def is_one_pass(value: Any) -> bool:
    """Whether going through a value uses it up."""
    return isinstance(value, Iterator | types.GeneratorType)
