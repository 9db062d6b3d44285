"""Pickling expressions: call by call, inputs first, so that however deep they are nothing recurses.

The arguments of what pickle calls to make a variable again hold all calls behind it, between two marks. While pickle
is between them, a variable that is met as an input of a call is only a call and a position.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from tracer.tracing.replay import applies


class _State(threading.local):
    def __init__(self) -> None:
        self.open: list[frozenset[Any]] = []


_state = _State()


class _Mark:
    """Is pickled as None; being pickled says how far pickle has come."""

    def __init__(self, calls: frozenset[Any], opens: bool) -> None:
        self.calls, self.opens = calls, opens

    def __reduce__(self) -> Any:
        if self.opens:
            _state.open.append(self.calls)
        elif self.calls in _state.open:
            _state.open.remove(self.calls)
        return _nothing, ()


def _nothing() -> None:
    return None


def bundle(variables: Iterable[Any]) -> tuple[Any, ...]:
    """What to pickle ahead of some variables, so that these do not recurse, and behind them."""
    calls = applies(variables)
    known = frozenset(calls)
    return _Mark(known, True), calls, _Mark(known, False)


def reduce_output(variable: Any) -> tuple[Any, ...]:
    """How pickle makes a variable again that a call made."""
    owner, index = variable.owner, variable.index
    if any(owner in known for known in _state.open):
        return output_of, (owner, index)
    return output_of, (*bundle([variable]), owner, index)


def output_of(*args: Any) -> Any:
    """An output of a call; what comes before the two is there only for pickle."""
    owner, index = args[-2:]
    return owner.outputs[index]
