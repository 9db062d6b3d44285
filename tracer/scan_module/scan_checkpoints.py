"""`scan_checkpoints`: a scan whose gradient keeps few steps and computes those in between again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.scan_module.arguments import OutputInfo, SequenceInfo, as_list
from tracer.scan_module.inner import Inner, connection_pattern
from tracer.scan_module.loop import Step, run, stacked_types, tapped_rows, traced, with_initials
from tracer.scan_module.scan import listed, recorded, steps_argument
from tracer.tracing import control
from tracer.tracing.checkpoint import checkpoint
from tracer.tracing.recording import deferred
from tracer.updates import OrderedUpdates


def scan_checkpoints(
    fn: Callable[..., Any],
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    name: str = "checkpointscan_fn",
    n_steps: Any = None,
    save_every_N: int = 10,
    padding: bool = True,
) -> tuple[Any, Any]:
    """A `scan` that keeps the outputs of every N-th step only; gradients compute the steps in between again.

    The gradient of a scan needs what every step has computed. This one needs memory for a step out of N and for the N
    steps of one segment, and takes about half as long again: with N near the square root of the number of steps, a
    thousand steps need the memory of sixty.

    Parameters
    ----------
    fn, sequences, outputs_info, non_sequences, name, n_steps
        As of `scan`. Outputs are fed back from the step before or not at all, and the number of steps is not decided by
        `until`.
    save_every_N : int
        How many steps a segment has.
    padding : bool
        Whether the last segment may be shorter.

    Returns
    -------
    outputs, updates
        As of `scan`, with the outputs of the last step of each segment only.

    Raises
    ------
    RuntimeError
        If `outputs_info` has taps, or `fn` returns a condition.

    References
    ----------
    Griewank and Walther, "Evaluating Derivatives", 2nd ed., chapter 12.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> a = T.dvector("a")
    >>> powers, _ = theano.scan_checkpoints(lambda p, a: p * a, None, T.ones_like(a), a, n_steps=6, save_every_N=3)
    >>> theano.function([a], powers)([2, 3])
    array([[  8.,  27.],
           [ 64., 729.]])
    """
    if any(isinstance(item, Mapping) and "taps" in item for item in as_list(outputs_info)):
        raise RuntimeError(errors.message(errors.CHECKPOINT_TAPS))
    inner, values = recorded(fn, sequences, outputs_info, non_sequences, steps_argument(n_steps), name, strict=False)
    if inner.condition is not None:
        raise RuntimeError(errors.message(errors.CHECKPOINT_UNTIL))
    results = segmented_loop(inner, *values, steps_argument(n_steps), int(save_every_N), bool(padding))
    count = len(inner.outputs)
    return listed(results[:count], False), OrderedUpdates(zip(inner.shared, results[count:], strict=True))


@deferred(name="ScanCheckpoints", infer=stacked_types)
def segmented_loop(
    inner: Inner,
    sequences: Sequence[Any],
    initials: Sequence[Any],
    shared: Sequence[Any],
    outer: Sequence[Any],
    n_steps: Any,
    size: int,
    padding: bool,
) -> tuple[Any, ...]:
    """Run what a scan has recorded in segments: the outputs at the end of each, and the last values of `shared`.

    Raises ValueError if the last segment is shorter without `padding`.
    """
    step = Step(inner, shared, outer)
    infos = with_initials(inner, initials)
    segment = _Segment(step, infos, size)
    taps = [SequenceInfo(value, own) for value, own in zip(sequences, inner.taps, strict=True)]
    rows, steps = tapped_rows(taps, n_steps, False)
    full, rest = divmod(steps, size)
    if rest and not padding:
        raise ValueError(errors.message(errors.CHECKPOINT_LENGTH, steps=steps, size=size))
    made = control.scan(
        segment.body,
        [np.reshape(part[: full * size], (full, size, *part.shape[1:])) for part in rows],
        [info.initial[None] for info in infos if info.taps],
        list(map(traced, step.carries)),
        n_steps=full,
    )
    outputs = segment.in_order([history[1:] for history in made.histories], made.outputs)
    carries = list(made.carries)
    if rest:
        last = [history[-1] for history in made.histories]
        segment = _Segment(step, infos, rest)
        states, carries, others = segment.body(*(part[full * size :] for part in rows), *last, *carries)
        ends = segment.in_order(states, others)
        outputs = [np.concatenate([item, end[None]]) for item, end in zip(outputs, ends, strict=True)]
    return (*outputs, *step.shared(carries))


segmented_loop.operation.connection_pattern = connection_pattern


class _Segment:
    """Some steps of a scan as one step of a loop, of which a derivative keeps only what goes in."""

    def __init__(self, step: Step, infos: Sequence[OutputInfo], length: int) -> None:
        self.step, self.infos, self.length = step, infos, length
        self.fed_back = [number for number, info in enumerate(infos) if info.taps]

    def body(self, *operands: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """(rows of all steps, states, carries) -> (states, carries, other outputs), after the last of the steps."""
        found = checkpoint(self._run, operands)
        count = len(self.infos)
        states = [found[number] for number in self.fed_back]
        others = [found[number] for number in range(count) if number not in self.fed_back]
        return states, list(found[count:]), others

    def in_order(self, states: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        """Outputs in the order of the scan."""
        one, two = iter(states), iter(others)
        return [next(one if info.taps else two) for info in self.infos]

    def _run(self, *operands: Any) -> list[Any]:
        count = len(operands) - len(self.fed_back) - len(self.step.carries)
        states = iter(operands[count : count + len(self.fed_back)])
        outputs, carries = run(
            self.step,
            [SequenceInfo(rows, (0,)) for rows in operands[:count]],
            [info._replace(initial=next(states)) if info.taps else info for info in self.infos],
            operands[count + len(self.fed_back) :],
            self.length,
            backwards=False,
            truncate=-1,
            is_until=False,
        )
        return [*(item[-1] for item in outputs), *carries]
