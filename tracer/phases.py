"""What compiling a function consists of, and how long each part of it took."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import ParamSpec, TypeVar

from tracer.records import NamedTuple

P = ParamSpec("P")
T = TypeVar("T")


class Phase(NamedTuple):
    """A part of compiling.

    Attributes
    ----------
    name : str
    start, seconds : float
        By `time.perf_counter`.
    thread : str
        The name of the thread that did it.
    """

    name: str
    start: float
    seconds: float
    thread: str = "main"


class _Open(threading.local):
    """The list that takes phases, if any, and those that have begun."""

    found: list[Phase] | None = None
    names: tuple[str, ...] = ()


_open = _Open()
_recording: set[int] = set()  # one for each thread that compiles, and for each function within a function
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_recording.clear)  # the other threads are not there


@contextmanager
def recorded() -> Iterator[list[Phase]]:
    """A list that takes the phases of what is compiled meanwhile by this thread, in the order in which they end."""
    before = _open.found, _open.names
    found: list[Phase] = []
    _open.found, _open.names = found, ()
    _recording.add(id(found))
    try:
        yield found
    finally:
        _recording.discard(id(found))
        _open.found, _open.names = before


def compiling() -> bool:
    """Whether some thread compiles a function."""
    return bool(_recording)


class phase:
    """Enter what happens in the `with` block as a phase, unless it is part of one of the same name."""

    __slots__ = ("_found", "_name", "_names", "_start")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        names = self._names = _open.names
        self._found = None if self._name in names else _open.found
        if self._found is not None:
            _open.names = (*names, self._name)
            self._start = perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._found is not None:
            seconds = perf_counter() - self._start
            self._found.append(Phase(self._name, self._start, seconds, threading.current_thread().name))
            _open.names = self._names


def timed(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make every call of a function a phase."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            if _open.found is None:
                return function(*args, **kwargs)
            with phase(name):
                return function(*args, **kwargs)

        return run

    return decorate
