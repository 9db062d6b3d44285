"""A check that an iteration has come to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.errors import ConvergenceError, message
from tracer.errors.custom import NOT_CONVERGED
from tracer.graph.op import Op, declare


def _value(value: Any, distance: Any, is_done: Any, iterations: int) -> Any:
    if not np.all(is_done):
        furthest = np.max(np.where(is_done, 0, distance))
        raise ConvergenceError(message(NOT_CONVERGED, iterations=iterations, distance=float(furthest)))
    return value


def _batched(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, iterations: int) -> Any:
    value, distance, is_done = inputs
    if not is_batched[0]:
        value = np.broadcast_to(value, (size, *value.shape))
    return CONVERGED(value, distance, is_done, iterations=iterations)


CONVERGED: Op = declare(
    Op(
        "converged",
        "call",
        lambda types, iterations: types[0],
        _value,
        vjp=(lambda g, y, *inputs, iterations: g, None, None),
        jvp=lambda tangents, y, *inputs, iterations: tangents[0],
        batch=_batched,
        doc="The first array; an error if an iteration has not converged.",
    )
)
