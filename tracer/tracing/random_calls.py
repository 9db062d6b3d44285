"""Random numbers in a trace: generators and functions of `numpy.random` are followed where the function finds them.

While a trace is on, its generators are replaced by stand-ins, which on other threads draw as they do.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import random as texts
from tracer.ops.generators import load_state, state_of
from tracer.tracing import generators, trace
from tracer.tracing.capture import STANDING_IN

_lock = threading.Lock()

# --- the functions of numpy.random -------------------------------------------------------------------------------

_traces = 0
_originals: list[tuple[Any, str, Any]] = []
_SAME_NAMES = {"ranf": "random_sample", "sample": "random_sample"}
_UNTOUCHED = ("get_bit_generator", "set_bit_generator", "test")


def named_as(made: Any, function: Any, path: str) -> Any:
    """What is found in the place of a function, with its text and the names by which others pickle it.

    There are so many of these that `functools.wraps` would be a part of the first call that one notices.
    """
    made.__module__, _, made.__qualname__ = path.rpartition(".")
    made.__name__, made.__doc__ = getattr(function, "__name__", made.__qualname__), function.__doc__
    made.__wrapped__ = function
    made.__dict__.update(getattr(function, "__dict__", ()))
    return made


@cache
def _followed(name: str, function: Any) -> Any:
    """A function of `numpy.random` that in a trace draws from the traced state of the global generator."""

    def either(*args: Any, **kwargs: Any) -> Any:
        if trace.current() is None:
            return function(*args, **kwargs)
        if name == "default_rng":
            return generators.default_rng(*args, **kwargs)
        return getattr(generators.stand_in_for(generators.GLOBAL), _SAME_NAMES.get(name, name))(*args, **kwargs)

    return named_as(either, function, f"{function.__module__}.{name}")


def _with_seed(function: Callable[[int], int]) -> Callable[[int], int]:
    """What NumPy asks for randomness where no seed is given."""

    def either(bits: int) -> int:
        active = trace.current()
        if active is not None:
            raise errors.TraceError(errors.message(texts.UNSEEDED, function=active.name))
        return function(bits)

    return either


def _begin() -> None:
    global _traces
    with _lock:
        _traces += 1
        if _traces > 1:
            return
        for name in np.random.__all__:
            function = getattr(np.random, name)
            if callable(function) and not isinstance(function, type) and name not in _UNTOUCHED:
                _put(np.random, name, _followed(name, function))
        seeding = np.random.bit_generator
        _put(seeding, "randbits", _with_seed(seeding.randbits))  # type: ignore[attr-defined]


def _put(module: Any, name: str, function: Any) -> None:
    _originals.append((module, name, getattr(module, name)))
    setattr(module, name, function)


def _end() -> None:
    global _traces
    with _lock:
        _traces -= 1
        if not _traces:
            for module, name, function in _originals:
                setattr(module, name, function)
            _originals.clear()
            generators.DRAWN_ELSEWHERE.clear()


@contextmanager
def following(function: Any, traced: str, found: Sequence[Any]) -> Iterator[None]:
    """Let the functions of `numpy.random` draw from traced states.

    Raises TraceError if one of the generators `found` was drawn from in another way, and puts its state back.
    """
    plain = [(item, item.getstate()) for item in found if type(item) is random.Random]
    watched = [(item, state_of(item)) for item in found if not isinstance(item, random.Random)]
    _begin()
    try:
        yield
    finally:
        untouched = [item for item in watched if generators.key_of(item[0]) not in generators.DRAWN_ELSEWHERE]
        drawn = [(generator, state) for generator, state in untouched if not np.array_equal(state_of(generator), state)]
        for generator, state in drawn:
            load_state(generator, state)
        changed = [(source, before) for source, before in plain if source.getstate() != before]
        for source, before in changed:
            source.setstate(before)
        _end()
    if changed:
        raise errors.TraceError(errors.message(texts.PLAIN_RANDOM, errors.defined_at(function), function=traced))
    if drawn:
        kind = type(drawn[0][0]).__name__
        raise errors.TraceError(
            errors.message(texts.NOT_FOLLOWED, errors.defined_at(function), function=traced, kind=kind)
        )


# --- generators in variables and attributes ----------------------------------------------------------------------

_made: dict[int, list[Any]] = {}
"""Stand-ins by the id of what they stand for: the stand-in, what it stands for, and how many traces use it."""


def borrow(value: Any) -> Any:
    """The stand-in of a generator, of a method bound to one, of a tuple of these, or of `default_rng`; or None.

    `give_back` is to be called for it when it is no longer found anywhere.
    """
    with _lock:
        entry = _made.get(id(value))
        if entry is None:
            made = _stand_in(value)
            if made is None:
                return None
            entry = _made[id(value)] = [made, value, 0]
            STANDING_IN[id(made)] = value
        entry[2] += 1
        return entry[0]


def give_back(value: Any) -> None:
    """Forget the stand-in of a value if no other trace uses it."""
    with _lock:
        entry = _made[id(value)]
        entry[2] -= 1
        if not entry[2]:
            del _made[id(value)], STANDING_IN[id(entry[0])]


def _stand_in(value: Any) -> Any:
    if type(value) in (np.random.Generator, np.random.RandomState):
        return generators.stand_in_for(value)
    if type(value) is tuple:
        made = [_stand_in(item) for item in value]
        given = (item if other is None else other for item, other in zip(value, made, strict=True))
        return tuple(given) if any(item is not None for item in made) else None
    if value is _DEFAULT_RNG:
        return _followed("default_rng", value)
    return generators.stand_in_for_method(value)


_DEFAULT_RNG = np.random.default_rng
