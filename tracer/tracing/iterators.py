"""How far the iterators around a traced function are: an item that it takes of one would be the same at every call."""

from __future__ import annotations

import inspect
import operator
import types
from collections.abc import Iterator
from itertools import count
from typing import Any

_WRAPPERS = (zip, map, filter, enumerate)


def position(iterator: Iterator[Any], depth: int = 4) -> Any:
    """Something that is another when items have been taken, as far as that can be told without taking one."""
    if not depth:
        return None
    if isinstance(iterator, types.GeneratorType):
        frame = iterator.gi_frame
        held = inspect.getgeneratorlocals(iterator).values()
        inner = [position(value, depth - 1) for value in held if isinstance(value, Iterator)]
        return None if frame is None else (frame.f_lasti, [id(value) for value in held], inner)
    if isinstance(iterator, _WRAPPERS):
        parts = iterator.__reduce__()[1]
        return [position(part, depth - 1) if isinstance(part, Iterator) else part for part in parts]
    return repr(iterator) if isinstance(iterator, count) else operator.length_hint(iterator, -1)
