"""How a scan runs once all sizes are known: its rows, its initial values, and one loop over its body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.graph import depends_on
from tracer.graph.node import Node
from tracer.scan_module.arguments import OutputInfo, SequenceInfo
from tracer.scan_module.inner import Inner, connection_pattern
from tracer.tracing import control, trace
from tracer.tracing.first_rows import FirstRows
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import deferred
from tracer.tracing.replay import replay, static
from tracer.tracing.symbolic_type import tensor_type

Body = Callable[[list[Any], list[list[Any]], list[Any]], tuple[list[Any], list[Any], Any]]
"""(rows of each tap, earlier values of each output fed back, carries) -> (outputs, new carries, condition or None)."""


def run(
    body: Body,
    sequences: Sequence[SequenceInfo],
    infos: Sequence[OutputInfo],
    carries: Sequence[Any],
    n_steps: Any,
    *,
    backwards: bool,
    truncate: int,
    is_until: bool,
) -> tuple[list[Any], list[Any]]:
    """Run a body on traced values as one loop; returns the stacked outputs and the last values of the carries."""
    rows, steps = tapped_rows(sequences, n_steps, backwards)
    fed_back = [number for number, info in enumerate(infos) if info.taps]
    starts = [initial_rows(number, infos[number]) for number in fed_back]
    count = len(rows)
    order: list[int] = []

    def step(*values: Any) -> tuple[list[Any], ...]:
        given = iter(values)
        slices = [next(given) for _ in range(count)]
        states = [[next(given) for _ in info.taps] for info in infos]
        with trace.translating(partial(_same_at_every_step, frozenset(map(unwrap, values)))):
            outputs, new, condition = body(slices, states, list(given))
        order[:] = [*fed_back, *(number for number in range(len(outputs)) if number not in fed_back)]
        own, free = order[: len(fed_back)], order[len(fed_back) :]
        results = [outputs[number] for number in own], new, [outputs[number] for number in free]
        return (*results, condition) if is_until else results

    made = control.scan(
        step,
        rows,
        starts,
        [traced(item) for item in carries],
        n_steps=steps,
        lags=[infos[number].lags for number in fed_back],
        until=is_until,
        truncate=truncate,
    )
    stacked = [item[start.shape[0] :] for item, start in zip(made.histories, starts, strict=True)]
    by_number = dict(zip(order, [*stacked, *made.outputs], strict=True))
    outputs = [by_number[number] for number in range(len(by_number))]
    return [FirstRows(item, made.count) for item in outputs] if is_until else outputs, list(made.carries)


def _same_at_every_step(parameters: frozenset[Node], node: Node) -> Node:
    """A node that a step needs as a number. Raises TraceError if it depends on the step."""
    if node in depends_on([node], parameters):
        raise errors.TraceError(errors.message(errors.SCAN_SIZE, node.line, value=node.type))
    return node


def traced(value: Any, dtype: np.dtype[Any] | None = None) -> Proxy:
    """A value of a trace or replay; known arrays are taken into it, so that the loop is not run while compiling."""
    return value if isinstance(value, Proxy) and dtype is None else Proxy(unwrap(value, dtype), trace.current())


def tapped_rows(sequences: Sequence[SequenceInfo], n_steps: Any, backwards: bool) -> tuple[list[Any], int]:
    """The rows that each tap of each sequence gives, and how many steps to do.

    Raises
    ------
    IndexError
        For a negative number of steps.
    ValueError
        If a sequence has fewer rows than there are steps.
    """
    rows, names = [], []
    for number, info in enumerate(sequences):
        value = traced(info.value)
        ahead, behind = max(*info.taps, 0), min(*info.taps, 0)
        count = max(value.shape[0] - ahead + behind, 0)
        for tap in info.taps:
            part = value[tap - behind : tap - behind + count]
            rows.append(part[::-1] if backwards else part)
            names.append(f"sequence {number}")
    steps = min(item.shape[0] for item in rows) if n_steps is None else int(static(n_steps))
    if steps < 0:
        raise IndexError(errors.message(errors.SCAN_NEGATIVE, steps=steps))
    for name, part in zip(names, rows, strict=True):
        if part.shape[0] < steps:
            raise ValueError(errors.message(errors.SCAN_TOO_SHORT, steps=steps, name=name, rows=part.shape[0]))
    return [part[:steps] for part in rows], steps


def initial_rows(number: int, info: OutputInfo) -> Any:
    """The rows of an output before the first step, oldest first."""
    value = traced(info.initial)
    if info.is_row:
        return value[None]
    lag = max(info.lags)
    if value.shape[0] < lag:
        raise ValueError(errors.message(errors.SCAN_INITIAL_ROWS, number=number, lag=lag, rows=value.shape[0]))
    return value[:lag]


# --- the recorded call -------------------------------------------------------------------------------------------


def stacked_types(inner: Inner, *_: Any) -> tuple[Any, ...]:
    """The types of a scan's outputs and of the shared variables that it updates."""
    stacked = [tensor_type(kind.numpy_dtype, (False, *kind.broadcastable)) for kind in inner.row_types]
    return (*stacked, *(item.type for item in inner.shared))


class Step:
    """What a scan has recorded as the body of a loop: it replays the expressions on the values of a step.

    Attributes
    ----------
    carries : list of arrays
        What the shared variables that it updates hold before the first step.
    """

    def __init__(self, inner: Inner, shared: Sequence[Any], outer: Sequence[Any]) -> None:
        self.inner = inner
        self.around = dict(zip(inner.outer, outer, strict=True))
        self.kinds = [item.type for item in inner.shared]
        self.flat = [kind.flatten(value) for kind, value in zip(self.kinds, shared, strict=True)]
        self.carries = [leaf for leaves, _ in self.flat for leaf in leaves]

    def shared(self, carries: Sequence[Any]) -> list[Any]:
        """The values of shared variables that are carried from step to step as arrays."""
        leaves = iter(carries)
        return [
            kind.unflatten([next(leaves) for _ in own], static)
            for kind, (own, static) in zip(self.kinds, self.flat, strict=True)
        ]

    def __call__(
        self, slices: list[Any], states: list[list[Any]], carries: list[Any]
    ) -> tuple[list[Any], list[Any], Any]:
        """Compute one step; see `Body`."""
        inner = self.inner
        values = [*slices, *(tap for taps in states for tap in taps), *self.shared(carries)]
        found = replay(inner.results, {**self.around, **dict(zip(inner.inputs, values, strict=True))})
        count = len(inner.outputs)
        outputs = [traced(value, kind.numpy_dtype) for value, kind in zip(found[:count], inner.row_types, strict=True)]
        new = [leaf for kind, value in zip(self.kinds, found[count:], strict=False) for leaf in kind.flatten(value)[0]]
        return outputs, new, None if inner.condition is None else found[-1]


def with_initials(inner: Inner, initials: Sequence[Any]) -> list[OutputInfo]:
    """How the outputs of a scan are fed back, with initial values; a Python number takes the dtype of its variable."""
    given = iter(initials)
    return [
        info._replace(initial=traced(next(given), taps[0].type.numpy_dtype)) if taps else info
        for info, taps in zip(inner.infos, inner.states, strict=True)
    ]


@deferred(name="Scan", infer=stacked_types)
def loop(
    inner: Inner,
    sequences: Sequence[Any],
    initials: Sequence[Any],
    shared: Sequence[Any],
    outer: Sequence[Any],
    n_steps: Any,
) -> tuple[Any, ...]:
    """Run what a scan has recorded: its outputs, stacked, and the last values of the shared variables it updates."""
    step = Step(inner, shared, outer)
    outputs, carries = run(
        step,
        [SequenceInfo(value, taps) for value, taps in zip(sequences, inner.taps, strict=True)],
        with_initials(inner, initials),
        step.carries,
        n_steps,
        backwards=inner.backwards,
        truncate=inner.truncate,
        is_until=inner.condition is not None,
    )
    return (*outputs, *step.shared(carries))


loop.operation.connection_pattern = connection_pattern
