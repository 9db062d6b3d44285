"""Computing again instead of keeping, for Python functions: what is inside is not stored for derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.body import close, free_values
from tracer.graph.node import input_node
from tracer.ops.checkpointing import CHECKPOINT
from tracer.tracing import trace
from tracer.tracing.bodies import record, run_body, threaded
from tracer.tracing.proxy import Proxy, unwrap
from tracer.types import ArrayType


def checkpoint(function: Callable[..., Sequence[Any]], operands: Sequence[Any]) -> tuple[Any, ...]:
    """Compute a function whose derivatives compute it again, from its operands, and so keep nothing of its inside.

    Parameters
    ----------
    function : callable
        (*operands) -> sequence of arrays. It is run once, on traced values.
    operands : sequence of arrays
        Handed to the function; so is what it uses of its surroundings.

    Returns
    -------
    tuple of arrays
        What the function returned.

    Examples
    --------
    >>> checkpoint(lambda x: [np.exp(x), x + 1], [np.zeros(2)])
    (array([1., 1.]), array([1., 1.]))
    """
    active = trace.current()
    parameters = [input_node(ArrayType(np.result_type(item), np.shape(item))) for item in operands]
    found, changes = run_body(function, [Proxy(node, active) for node in parameters])
    outputs = [unwrap(item) for item in found]
    made = threaded(outputs, changes)
    parameters += made.parameters
    free = free_values(made.nodes, parameters)
    body = close([*parameters, *free], made.nodes)
    result: tuple[Any, ...] = CHECKPOINT(*operands, *made.initials, *(Proxy(node, active) for node in free), body=body)
    record(dict(zip(changes, result[len(outputs) :], strict=True)))
    return result[: len(outputs)]
