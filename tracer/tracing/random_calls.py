"""Random numbers in a trace: generators and functions of `numpy.random` are followed where the function finds them.

While a trace is on, its generators are replaced by stand-ins, which on other threads draw as they do.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import random as texts
from tracer.ops.generators import load_state, state_of
from tracer.tracing import generators, trace
from tracer.tracing.capture import STANDING_IN
from tracer.tracing.standing_in import Replaced, StandIn

_lock = threading.Lock()

# --- the functions of numpy.random -------------------------------------------------------------------------------

_traces = 0
_SAME_NAMES = {"ranf": "random_sample", "sample": "random_sample"}
_UNTOUCHED = ("get_bit_generator", "set_bit_generator", "test")


def _call(stand_in: StandIn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of `numpy.random` that in a trace draws from the traced state of the global generator."""
    name = stand_in.__qualname__
    if trace.current() is None:
        return stand_in.__wrapped__(*args, **kwargs)
    if name == "default_rng":
        return generators.default_rng(*args, **kwargs)
    return getattr(generators.stand_in_for(generators.GLOBAL), _SAME_NAMES.get(name, name))(*args, **kwargs)


def _is_followed(name: str) -> bool:
    function = getattr(np.random, name)
    return callable(function) and not isinstance(function, type) and name not in _UNTOUCHED


def _call_seeding(stand_in: StandIn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What NumPy asks for randomness where no seed is given."""
    active = trace.current()
    if active is not None:
        raise errors.TraceError(errors.message(texts.UNSEEDED, function=active.name))
    return stand_in.__wrapped__(*args, **kwargs)


_functions = Replaced(filter(_is_followed, np.random.__all__), _call)
_seeding = Replaced(["randbits"], _call_seeding)


def _begin() -> None:
    global _traces
    with _lock:
        _traces += 1
        if _traces == 1:
            _functions.replace(np.random)
            _seeding.replace(np.random.bit_generator)


def _end() -> None:
    global _traces
    with _lock:
        _traces -= 1
        if not _traces:
            _functions.put_back()
            _seeding.put_back()
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
        found = _functions.stand_ins["default_rng"]
        return found if found.__wrapped__ is value else StandIn(value, "numpy.random", "default_rng", _call)
    return generators.stand_in_for_method(value)


_DEFAULT_RNG = np.random.default_rng
