"""What the function of a scan may return, and how its outputs, updates and condition are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.symbolic.graph import clone as clone
from tracer.symbolic.graph import map_variables as map_variables
from tracer.tracing.shared import SharedVariable


class until:
    """The condition under which a scan stops: the step where it holds is the last one, and its outputs are kept.

    Parameters
    ----------
    condition : scalar variable
        Anything but zero is true.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> def double(value, limit):
    ...     return value * 2, until(value * 2 > limit)
    >>> limit = T.dscalar("limit")
    >>> values, _ = theano.scan(double, outputs_info=T.constant(1.0), non_sequences=limit, n_steps=1024)
    >>> theano.function([limit], values)(45)
    array([ 2.,  4.,  8., 16., 32., 64.])
    """

    def __init__(self, condition: Any) -> None:
        self.condition = condition


class Returned(NamedTuple):
    """What one step gives: outputs, pairs of a shared variable and its new value, and the condition or None."""

    outputs: list[Any]
    updates: list[tuple[Any, Any]]
    condition: Any


def returned(value: Any) -> Returned:
    """Tell apart what the function of a scan returned: outputs, updates and a condition, in any order.

    Raises
    ------
    ValueError
        If it is something else.
    """
    outputs: list[Any] = []
    updates: list[Any] = []
    conditions: list[Any] = []
    if value is None:
        raise ValueError(errors.message(errors.SCAN_NO_RESULT))
    whole = _is_output(value) or _is_updates(value) or isinstance(value, until)
    part: Any
    for part in [value] if whole else value if isinstance(value, list | tuple) else [None]:
        if isinstance(part, until):
            conditions.append(part.condition)
        elif _is_output(part):
            outputs.append(part)
        elif _is_updates(part):
            updates += list(part.items() if isinstance(part, Mapping) else part)
        elif isinstance(part, list | tuple) and all(map(_is_output, part)):
            outputs += part
        else:
            raise ValueError(errors.message(errors.SCAN_RESULT, value=value))
    if len(conditions) > 1:
        raise ValueError(errors.message(errors.SCAN_RESULT, value=value))
    if not (outputs or updates):
        raise ValueError(errors.message(errors.SCAN_NO_RESULT))
    return Returned(outputs, updates, conditions[0] if conditions else None)


def _is_output(value: Any) -> bool:
    """Whether a value is one array: a symbolic or traced one, an array or a number."""
    if isinstance(value, int | float | complex | np.generic | np.ndarray):
        return True
    return hasattr(value, "__symbolic__") or hasattr(value, "__tracer_node__")


def _is_updates(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
        and all(isinstance(pair[0], SharedVariable) for pair in value)
    )
