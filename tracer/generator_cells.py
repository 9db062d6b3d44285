"""The states of NumPy's generators where they lie in memory, for calls that draw: reading one takes no Python."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tracer.ops.generators import Source, bits_of, load_state, source_of, state_kind, state_of
from tracer.run.cpu import GeneratorState
from tracer.tracing import trace
from tracer.tracing.generators import Stream


def state_cell(stream: Stream) -> Any:
    """What reads and writes the state of a stream's generator; None if only NumPy's own functions can."""
    source = source_of(stream.generator)
    return _reached(stream.generator, source, stream.store) if _is_reachable(source) else None


def _reached(generator: Any, source: Source, store: Any) -> Any:
    address = bits_of(generator).ctypes.state_address
    return GeneratorState(state_kind(source), address, generator, store, trace.RUNNING)


@cache
def _is_reachable(source: Source) -> bool:
    """Whether the states of a kind of generator lie in memory as expected: that is not for NumPy to promise."""
    if state_kind(source) not in ("pcg64", "twister"):  # a RandomState may keep a normal number, out of reach
        return False
    one, other = source.make(1), source.make(2)
    for generator in (one, other):
        generator.integers(9, size=3, dtype=np.uint32)  # type: ignore[union-attr]
    reached = _reached(one, source, lambda words: load_state(one, words))
    found, wanted = reached.read(), state_of(other)
    reached.write(wanted)
    same = np.array_equal(found, state_of(_made(source))) and np.array_equal(state_of(one), wanted)
    return bool(same and one.random() == other.random())


def _made(source: Source) -> Any:
    generator: Any = source.make(1)
    generator.integers(9, size=3, dtype=np.uint32)
    return generator
