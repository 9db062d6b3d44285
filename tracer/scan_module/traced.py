"""`scan` within a traced function: the function of the scan is run once, on the traced values of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.graph import substitute
from tracer.graph.node import input_node
from tracer.scan_module.arguments import as_list, check_length, described, output_infos, sequence_infos
from tracer.scan_module.loop import initial_rows, run, tapped_rows, traced
from tracer.scan_module.scan_utils import returned
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.types import ArrayType


def scan_traced(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any,
    n_steps: Any,
    truncate: int,
    backwards: bool,
) -> list[Any]:
    """The stacked outputs of a scan over traced values and arrays; the arguments are those of `scan`.

    Raises TraceError if the function updates shared variables, which a trace does with their method `set`.
    """
    rows, infos = sequence_infos(sequences, traced), output_infos(outputs_info, traced)
    check_length(n_steps, rows)
    nodes = [input_node(_row_type(part)) for part in tapped_rows(rows, n_steps, backwards)[0]]
    for number, info in enumerate(infos):
        nodes += [input_node(_row_type(initial_rows(number, info))) for _ in info.taps]
    active = trace.current()
    found = returned(fn(*(Proxy(node, active) for node in nodes), *as_list(non_sequences)))
    if found.updates:
        raise errors.TraceError(errors.message(errors.SCAN_IN_TRACE, name=found.updates[0][0].label))
    infos = described(infos, len(found.outputs), bool(as_list(outputs_info)))
    results = [unwrap(item) for item in found.outputs]
    if found.condition is not None:
        results.append(unwrap(found.condition))

    def body(slices: list[Any], states: list[list[Any]], carries: list[Any]) -> tuple[list[Any], list[Any], Any]:
        values = [*slices, *(tap for taps in states for tap in taps)]
        given = dict(zip(nodes, map(unwrap, values), strict=True))
        new = [Proxy(node, active) for node in substitute(results, given)]
        return new[: len(infos)], [], new[-1]

    outputs, _ = run(
        body,
        rows,
        infos,
        [],
        n_steps,
        backwards=backwards,
        truncate=truncate,
        is_until=found.condition is not None,
    )
    return outputs


def _row_type(stacked: Any) -> ArrayType:
    return ArrayType(np.dtype(stacked.dtype), stacked.shape[1:])
