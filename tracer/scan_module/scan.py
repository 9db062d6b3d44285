"""`scan`: a loop in symbolic expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.scan_module.arguments import (
    OutputInfo,
    SequenceInfo,
    as_list,
    check_length,
    described,
    output_infos,
    row_type,
    sequence_infos,
    state_type,
    tap_variable,
)
from tracer.scan_module.inner import Inner
from tracer.scan_module.loop import loop
from tracer.scan_module.scan_utils import Returned, returned
from tracer.scan_module.traced import scan_traced
from tracer.symbolic.inputs import MissingInputError
from tracer.symbolic.trial_values import hand_down
from tracer.tracing.replay import applies, is_computing, leaves_of
from tracer.tracing.shared import SharedVariable
from tracer.tracing.symbolic import as_variable
from tracer.updates import OrderedUpdates, checked_updates, with_default_updates


def scan(
    fn: Callable[..., Any],
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
    profile: Any = False,
    allow_gc: bool | None = None,
    strict: bool = False,
    return_list: bool = False,
) -> tuple[Any, Any]:
    """Compute a function at each row of sequences, or a number of times, with what it gave at earlier steps.

    Parameters
    ----------
    fn : callable
        (rows of the sequences, earlier outputs, non-sequences), in the order in which these are listed and their taps
        named -> outputs, updates of shared variables and a condition, each if there is one:
        ``[output, ...], {shared: new_value}, until(condition)``. It is called once, on symbolic variables.
    sequences : variable, dict, or list of them
        Each step gets a row of each. ``dict(input=x, taps=[-1, 0, 2])`` gives it several: tap k is k rows ahead of its
        own. Steps are those for which every tap is there.
    outputs_info : variable, dict, None, or list of them
        For each output its initial value, if later steps get it. ``dict(initial=x0, taps=[-3, -1])`` gives them
        values of several steps before; the initial value then has one row for each of as many steps as the largest tap
        goes back, oldest first. None for an output that is not fed back.
    non_sequences : variable or list of them
        Handed to every step. What `fn` uses of its surroundings need not be listed.
    n_steps : int or integer scalar, optional
        How many steps to do; as many as the shortest sequence allows if None. With `until` it is the most there can be.
    truncate_gradient : int
        Over how many steps, counted from the end, gradients go back; -1: over all.
    go_backwards : bool
        Read sequences from their end. Outputs stay in the order of steps.
    mode, profile, allow_gc
        A loop is part of the function that it is compiled into, and follows the settings of this; they are taken for
        compatibility.
    name : str, optional
        For texts of expressions; the name of `fn` if None.
    strict : bool
        Forbid `fn` to use shared variables that are not listed in `non_sequences` and that it does not update.
    return_list : bool
        Return a list also for a single output.

    Returns
    -------
    outputs : variable, list of variables, or None
        For each output of `fn` its values at all steps along a new leading dimension. An initial value is not part of
        it. With `until` there are as many as steps were done.
    updates : OrderedUpdates
        Shared variable -> its value after the last step, for those that `fn` updates, and for those it uses that have a
        default update, as random streams have. Hand it to `function`.

    Raises
    ------
    ValueError
        If the number of steps is not known, outputs do not fit `outputs_info`, or what `fn` returns is not understood.
    TypeError
        If an update has another type than its variable, or an output is broadcastable where its initial value is not.
    IndexError
        For a negative number of steps.
    MissingInputError
        As `strict` says.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> a, k = T.dvector("a"), T.iscalar("k")
    >>> powers, updates = theano.scan(lambda power, a: power * a, None, T.ones_like(a), a, k)
    >>> power = theano.function([a, k], powers[-1], updates=updates)
    >>> power(range(5), 2)
    array([ 0.,  1.,  4.,  9., 16.])
    """
    steps = steps_argument(n_steps)
    if is_computing():
        traced = scan_traced(fn, sequences, outputs_info, non_sequences, steps, truncate_gradient, go_backwards)
        return listed(traced, return_list), OrderedUpdates()
    inner, values = recorded(fn, sequences, outputs_info, non_sequences, steps, name, strict)
    inner.backwards, inner.truncate = bool(go_backwards), int(truncate_gradient)
    results = loop(inner, *values, steps)
    count = len(inner.outputs)
    return listed(results[:count], return_list), OrderedUpdates(zip(inner.shared, results[count:], strict=True))


def listed(outputs: Sequence[Any], return_list: bool) -> Any:
    """The outputs of a scan as a user gets them: a single one is no list unless asked for."""
    if return_list or len(outputs) > 1:
        return list(outputs)
    return outputs[0] if outputs else None


def steps_argument(n_steps: Any) -> Any:
    """The number of steps: None, an int, or a scalar of integers that only a call knows."""
    if n_steps is None or (isinstance(n_steps, float) and not np.isfinite(n_steps)):
        return None
    known = n_steps.data if getattr(n_steps, "is_constant", False) else n_steps
    dtype = getattr(known, "dtype", None)
    if dtype is not None and np.dtype(dtype).kind not in "iu":
        raise ValueError(errors.message(errors.SCAN_STEPS_TYPE, type=getattr(known, "type", dtype)))
    if hasattr(known, "__symbolic__") or hasattr(known, "__tracer_node__"):
        return known
    if int(known) < 0:
        raise IndexError(errors.message(errors.SCAN_NEGATIVE, steps=int(known)))
    return int(known)


# --- recording the function --------------------------------------------------------------------------------------


def recorded(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any,
    steps: Any,
    name: str | None,
    strict: bool,
) -> tuple[Inner, tuple[list[Any], list[Any], list[Any], list[Any]]]:
    """Call the function of a scan on variables of a step.

    Returns
    -------
    inner : Inner
        What it computes.
    values : tuple of lists of variables
        What a loop over it needs: sequences, initial values, shared variables that it updates, and what else it uses.
    """
    rows, infos = sequence_infos(sequences, as_variable), output_infos(outputs_info, as_variable)
    check_length(steps, rows)
    fixed = [as_variable(item) for item in as_list(non_sequences)]
    inner, arguments = _inner_variables(name or str(getattr(fn, "__name__", "scan")), rows, infos)
    _fill(inner, returned(fn(*arguments, *fixed)), fixed, bool(as_list(outputs_info)))
    if strict:
        _check_strict(inner, fixed)
    initials = [info.initial for info in infos if info.taps]
    return inner, ([info.value for info in rows], initials, inner.shared, inner.outer)


def _inner_variables(name: str, rows: Sequence[SequenceInfo], infos: Sequence[OutputInfo]) -> tuple[Inner, list[Any]]:
    """An inner function with variables of its own, and these in the order in which the user's function gets them."""
    inner = Inner(name, rows, infos)
    for info in rows:
        kind = row_type(info.value.type)
        inner.slices.append([tap_variable(kind, info.value, tap) for tap in info.taps])
        for item in inner.slices[-1]:
            hand_down(item, info.value, 0)
    for output in infos:
        inner.states.append([tap_variable(state_type(output), output.initial, tap) for tap in output.taps])
        for item in inner.states[-1]:
            hand_down(item, output.initial, None if output.is_row else 0)
    return inner, [item for group in (*inner.slices, *inner.states) for item in group]


def _fill(inner: Inner, found: Returned, fixed: Sequence[Any], is_described: bool) -> None:
    """Enter what the user's function returned, and what it needs from outside."""
    outputs = [as_variable(item) for item in found.outputs]
    inner.infos = described(inner.infos, len(outputs), is_described)
    inner.states = inner.states if is_described else [[] for _ in outputs]
    for number, taps in enumerate(inner.states):
        if taps:
            _check_state(number, taps[0], outputs[number])
    condition = None if found.condition is None else as_variable(found.condition)
    wanted = [*outputs, *([] if condition is None else [condition])]
    own = inner.inputs
    stop = [*own, *(item for item in fixed if not isinstance(item, SharedVariable))]
    updates = with_default_updates(wanted, checked_updates(found.updates), False, stop, lambda update: update)
    inner.outputs, inner.condition = outputs, condition
    inner.shared, inner.updates = list(updates), list(updates.values())
    inner.outer = _used_from_outside(inner.results, [*own, *inner.shared], stop)
    inner.outer += [item for item in fixed if item not in {*inner.outer, *inner.shared} and not item.is_constant]


def _check_state(number: int, state: Any, output: Any) -> None:
    """Raise an error unless an output has the type of its initial value."""
    kind, new = state.type, output.type
    if kind.is_super(new):
        return
    same = kind.ndim == new.ndim and kind.numpy_dtype == new.numpy_dtype
    if kind.numpy_dtype != new.numpy_dtype:
        hint = errors.HINT_STATE_DTYPE.format(dtype=new.dtype)
    else:
        hint = errors.HINT_STATE_BROADCAST if same else errors.HINT_STATE_NDIM
    name = state.name.partition("[")[0] if state.name else "which has no name"
    text = errors.message(errors.SCAN_STATE_TYPE, number=number, name=name, initial=kind, found=new, hint=hint)
    raise (TypeError if same else ValueError)(text)


def _used_from_outside(results: Sequence[Any], own: Iterable[Any], stop: Iterable[Any]) -> list[Any]:
    """The nearest variables that results are computed from and that do not change from step to step."""
    moving, border = set(own), set(stop)
    used: dict[Any, None] = dict.fromkeys(results)
    for node in applies(results, stop=border):
        if any(item in moving for item in node.inputs):
            moving.update(item for item in node.outputs if item not in border)
            used.update(dict.fromkeys(node.inputs))
    return [item for item in used if item not in moving and not item.is_constant]


def _check_strict(inner: Inner, fixed: Sequence[Any]) -> None:
    known = {*fixed, *inner.shared}
    for leaf in leaves_of(inner.results, stop=[*inner.inputs, *fixed]):
        if isinstance(leaf, SharedVariable) and leaf not in known:
            raise MissingInputError(errors.message(errors.SCAN_STRICT, name=leaf.name or leaf))
