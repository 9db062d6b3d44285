"""The sequences and outputs of a scan as they may be given, and what its function gets of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.tracing.symbolic_type import Type, tensor_type


class SequenceInfo(NamedTuple):
    """A sequence, and which rows of it a step gets: tap k is the row k steps ahead of the step's own."""

    value: Any
    taps: tuple[int, ...]


class OutputInfo(NamedTuple):
    """The initial value of an output, and which earlier steps of it a step gets; none of an output not fed back.

    `is_row` says that the initial value is that of one step, and not a stack of them.
    """

    initial: Any
    taps: tuple[int, ...]
    is_row: bool

    @property
    def lags(self) -> tuple[int, ...]:
        """How many steps back each tap is."""
        return tuple(-tap for tap in self.taps)


NOT_FED_BACK = OutputInfo(None, (), True)


def as_list(value: Any) -> list[Any]:
    """A list of what may be nothing, one item, or a list or tuple of items."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def sequence_infos(sequences: Any, convert: Callable[[Any], Any]) -> list[SequenceInfo]:
    """The sequences of a scan; `convert` makes a variable of each.

    Raises
    ------
    ValueError
        For a dict with other keys than input and taps, and for what has no rows.
    """
    found = []
    item: Any
    for number, item in enumerate(as_list(sequences)):
        taps = None
        if isinstance(item, Mapping):
            _check_keys(item, ("input", "taps"), f"sequence {number}", "sequences=[dict(input=x, taps=[-1, 0])]")
            item, taps = item.get("input"), item.get("taps")
        value = convert(item)
        _check_rows(value, f"sequence {number}", "a sequence has a row for each step")
        found.append(SequenceInfo(value, (0,) if taps is None else _taps(taps)))
    return found


def output_infos(outputs_info: Any, convert: Callable[[Any], Any]) -> list[OutputInfo]:
    """The outputs of a scan; `convert` makes a variable of each initial value.

    Raises
    ------
    ValueError
        For a dict with other keys than initial and taps, taps without an initial value or into the future, and initial
        values without rows for taps before -1.
    """
    found = []
    item: Any
    for number, item in enumerate(as_list(outputs_info)):
        taps: tuple[int, ...] = (-1,)
        if isinstance(item, Mapping):
            hint = "outputs_info=[dict(initial=x0, taps=[-2, -1])]"
            _check_keys(item, ("initial", "taps"), f"output {number}", hint)
            if item.get("taps") is not None:
                taps = _taps(item["taps"])
                if item.get("initial") is None and taps:
                    raise ValueError(errors.message(errors.SCAN_TAPS_WITHOUT_INITIAL, number=number))
            item = item.get("initial")
        if item is None or not taps:
            found.append(NOT_FED_BACK)
            continue
        if max(taps) >= 0:
            raise ValueError(errors.message(errors.SCAN_FUTURE_TAPS, number=number, taps=list(taps)))
        value = convert(item)
        if taps != (-1,):
            _check_rows(value, f"the initial value of output {number}", "taps=[-2, -1] need two rows, oldest first")
        found.append(OutputInfo(value, taps, taps == (-1,)))
    return found


def _taps(taps: Any) -> tuple[int, ...]:
    return tuple(int(tap) for tap in np.atleast_1d(taps))


def _check_keys(item: Mapping[str, Any], known: Sequence[str], what: str, hint: str) -> None:
    for key in item:
        if key not in known:
            text = " and ".join(map(repr, known))
            raise ValueError(errors.message(errors.SCAN_KEYS, what=what, key=key, known=text, hint=hint))


def _check_rows(value: Any, what: str, hint: str) -> None:
    if not value.ndim:
        name = f"{what} of scan, {getattr(value, 'name', None) or 'without a name'},"
        kind = getattr(value, "type", value.dtype)
        raise ValueError(errors.message(errors.SCAN_NO_ROWS, name=name, type=kind, what=hint))


def check_length(n_steps: Any, sequences: Sequence[SequenceInfo]) -> None:
    """Raise ValueError if nothing says how many steps there are."""
    if n_steps is None and not any(info.taps for info in sequences):
        raise ValueError(errors.message(errors.SCAN_NO_LENGTH))


def described(infos: list[OutputInfo], count: int, is_described: bool) -> list[OutputInfo]:
    """How each of `count` outputs is fed back; none is if nothing was said. Raises ValueError for a wrong number."""
    if not is_described:
        return [NOT_FED_BACK] * count
    if len(infos) != count:
        raise ValueError(errors.message(errors.SCAN_OUTPUT_COUNT, found=count, given=len(infos)))
    return infos


def row_type(kind: Any) -> Any:
    """The type of the rows of an array."""
    return tensor_type(kind.numpy_dtype, kind.broadcastable[1:])


def state_type(info: OutputInfo) -> Any:
    """The type of one step of an output that is fed back; a Python float is one of floatX."""
    value = info.initial
    if not info.is_row:
        return row_type(value.type)
    if value.is_constant and isinstance(value.data, float):
        return tensor_type(np.dtype(config.floatX), ())
    return value.type


def tap_variable(kind: Type, source: Any, tap: int) -> Any:
    """A variable for one tap of a sequence or output, named after it."""
    name = getattr(source, "name", None)
    step = "t" if not tap else f"t{tap:+d}"
    return kind(f"{name}[{step}]" if name else None)
