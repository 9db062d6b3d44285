"""When loops are rolled: where a trace records many nodes in one; and anew without those that need Python."""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TypeVar

from tracer.config import config
from tracer.errors import is_own
from tracer.graph.node import watching
from tracer.tracing import trace
from tracer.tracing.source import locate, loop_names
from tracer.tracing.source.rolled_numbers import Refused
from tracer.tracing.source.rolling import Place, Rolling
from tracer.tracing.weak import NeedsStatic

MANY_NODES = 300
"""Nodes after which a trace looks for a loop that makes them."""
_MOST_REFUSALS = 8
Made = TypeVar("Made")
_known: weakref.WeakKeyDictionary[CodeType, list[tuple[int, int]]] = weakref.WeakKeyDictionary()


class LongLoop(BaseException):
    """A trace has met a long loop; no Exception, so that no user's handler takes it for its own."""


@contextmanager
def watched(count: int, outermost: CodeType) -> Iterator[None]:
    """Within the block raise LongLoop where a loop that may be rolled goes on after so many nodes; 0: never.

    `outermost` is the code of a function around the user's: loops that its callers are in do not count.
    """
    if not count:
        yield
        return
    with watching(count, lambda: _look(count, outermost)):
        yield


def _look(count: int, outermost: CodeType) -> int:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not outermost:
        if not is_own(frame.f_code.co_filename) and _is_in_loop(frame):
            raise LongLoop
        frame = frame.f_back
    return 2 * count


def _is_in_loop(frame: FrameType) -> bool:
    """Whether a frame is within a `for` statement that may be rolled."""
    code = frame.f_code
    if code not in _known:
        _known[code] = _loops_of(code)
    return any(first <= frame.f_lineno <= last for first, last in _known[code])


def _loops_of(code: CodeType) -> list[tuple[int, int]]:
    place = locate.find(code)
    if place is None:
        return []
    found = []
    for node in ast.walk(place.node):
        if isinstance(node, ast.For) and loop_names.names_of(node) is not None:
            found.append((node.lineno, node.end_lineno or node.lineno))
    return found


class Unrolling:
    """Traces with rolled loops, until none is left that has to be unrolled.

    Attributes
    ----------
    refused : collection or None
        The loops that are not rolled; None if none is.
    """

    def __init__(self, restore: Callable[[], None]) -> None:
        self._restore = restore
        self.refused: set[Place] | None = set() if config.roll_loops == "auto" else None

    def run(
        self, begin: Callable[[Collection[Place] | None], trace.Trace | None], attempt: Callable[[trace.Trace], Made]
    ) -> tuple[Made, trace.Trace] | None:
        """Trace; `begin` gives an empty trace, or None if there is no rewritten form of the function."""
        while True:
            active = begin(self.refused)
            if active is None:
                return None
            rolling: Rolling | None = active.session.rolling
            try:
                made = attempt(active)
                if rolling is None or not (rolling.passes or rolling.last):
                    return made, active
            except BaseException as error:
                if rolling is None or not _is_of_rolling(rolling, error):
                    raise
            self._refuse(rolling)
            self._restore()

    def _refuse(self, rolling: Rolling) -> None:
        place = rolling.last or (rolling.passes[-1].place if rolling.passes else None)
        if place is None or self.refused is None or place in self.refused or len(self.refused) >= _MOST_REFUSALS:
            self.refused = None
        else:
            self.refused.add(place)


def _is_of_rolling(rolling: Rolling, error: BaseException) -> bool:
    """Whether a trace may have failed because loops were rolled."""
    if isinstance(error, NeedsStatic) and error.places:
        return bool(rolling.passes)
    if not isinstance(error, Exception | Refused | NeedsStatic):
        return False
    return bool(rolling.passes or rolling.last or rolling.rolled)
