"""The graph of many calls made of the graph of one: a scan that carries from call to call what a call changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracer.graph.body import Frame, close
from tracer.graph.graph import Graph, substitute, toposort
from tracer.graph.looping import zero_node
from tracer.graph.node import Node, constant, input_node, item_nodes, make_node
from tracer.ops.indexing import GATHER
from tracer.ops.scan import SCAN
from tracer.pipeline import Result, Traced
from tracer.records import NamedTuple
from tracer.tracing.generators import is_generator
from tracer.tree import unflatten
from tracer.types import ArrayType, is_supported


class Loop(NamedTuple):
    """How calls follow each other.

    Attributes
    ----------
    steps : int
        How many calls there are, at least one.
    is_last : bool
        Whether only the last call's results are wanted; otherwise they are stacked, one row a call.
    sliced : int
        How many inputs, the first ones, differ from call to call.
    rows : int or None
        None: such an input has a row for each call. Otherwise it is an array of so many rows, and a call takes those
        that one more input picks.
    batch : int or None
        How many rows a call takes then; None: one, without an axis for it.
    """

    steps: int
    is_last: bool
    sliced: int = 0
    rows: int | None = None
    batch: int | None = None


def repeated(graph: Graph, loop: Loop, carried: Mapping[int, int], final: Collection[int], picks_at: int = 0) -> Graph:
    """The graph of many calls.

    Parameters
    ----------
    graph : Graph
        One call.
    loop : Loop
        How many there are, and what differs between them.
    carried : mapping
        Place of an output -> place of the input that it is in the next call.
    final : collection of int
        Places of outputs of which only the last value is wanted.
    picks_at : int
        The place that the input which picks rows gets, if there is one.

    Returns
    -------
    Graph
        Its inputs and outputs are those of a call, in their order; what differs between calls has a first axis more.
    """
    inputs, picks, rows, known = list(graph.inputs), None, [], {}
    for place in range(loop.sliced):
        own = inputs[place]
        inputs[place] = input_node(_whole(own.type, loop), own.name)
        rows.append(own)
    if loop.rows is not None:
        one = input_node(ArrayType(np.dtype(np.int64), () if loop.batch is None else (loop.batch,)))
        picks = input_node(ArrayType(one.dtype, (loop.steps, *one.shape)), "order")
        known = {own: make_node(GATHER, (inputs[place], one)) for place, own in enumerate(rows)}
        rows = [one]
    results = substitute(graph.outputs, known)
    final = set(range(len(results))) if loop.is_last else set(final)
    kept = [place for place in range(len(results)) if place not in final]
    carries = sorted(final)
    starts = [inputs[carried[place]] if place in carried else zero_node(results[place].type) for place in carries]
    inner = [graph.inputs[carried[place]] if place in carried else input_node(results[place].type) for place in carries]
    bound = {*rows, *inner}
    fixed = [node for node in _leaves(results, inputs, graph) if node not in bound]
    frame = Frame(loop.steps, len(rows), (), len(carries), len(kept))
    body = close([*rows, *inner, *fixed], [results[place] for place in (*carries, *kept)])
    sequences = [picks] if picks is not None else inputs[: loop.sliced]
    made = item_nodes(make_node(SCAN, (*sequences, *starts, *fixed), {"body": body, "frame": frame}))
    placed = dict(zip((*carries, *kept), made, strict=True))
    if picks is not None:
        inputs.insert(picks_at, picks)
    return Graph(tuple(inputs), tuple(placed[place] for place in range(len(results))))


def _whole(row: ArrayType, loop: Loop) -> ArrayType:
    """The type of what has a row for each call, or of what rows are picked from."""
    if loop.rows is None:
        return ArrayType(row.dtype, (loop.steps, *row.shape))
    return ArrayType(row.dtype, (loop.rows, *(row.shape if loop.batch is None else row.shape[1:])))


def _leaves(results: Collection[Node], inputs: Collection[Node], graph: Graph) -> list[Node]:
    """The inputs that a call uses."""
    among = {*inputs, *graph.inputs}
    return [node for node in toposort(results) if node in among]


def repeated_trace(traced: Traced, loop: Loop, generators: Collection[int]) -> Traced | None:
    """What was recorded of one call as that of many; None where calls may differ in what they do.

    `generators` are the places of arguments that are random generators.
    """
    if traced.questions or traced.covered or any(place < loop.sliced for place in traced.written):
        return None
    outputs, count = list(traced.graph.outputs), traced.result_count
    written = outputs[count + len(traced.updated) :]
    current = dict(zip(traced.written, written, strict=False))
    results: list[Result] = []
    added: list[Node] = []
    for result in traced.results:
        kind, value = result
        node = None
        if kind == "argument" and value not in generators and (not loop.is_last or value < loop.sliced):
            node = current.get(value, traced.graph.inputs[value])
        elif kind == "constant" and not loop.is_last and _is_plain(value):
            node = constant(value)
        if node is not None:
            result = Result("output", count + len(added))
            added.append(node)
        elif kind == "float" and not loop.is_last:
            result = Result("output", value)
        results.append(result)
    first = count + len(added)
    outputs[count:count] = added
    places = {id(item): place for place, item in enumerate(traced.shared, traced.argument_count + len(traced.captured))}
    homes = [places.get(id(item)) for item in traced.updated]
    homes += [*traced.written, *(traced.argument_count + place for place in traced.stored)]
    carried = {place: home for place, home in enumerate(homes, first) if home is not None}
    graph = Graph(traced.graph.inputs, tuple(outputs))
    final = range(first, len(outputs))
    return replace(
        traced,
        graph=repeated(graph, loop, carried, final, traced.argument_count),
        argument_count=traced.argument_count + (loop.rows is not None),
        results=results,
    )


def no_results(traced: Traced, originals: Sequence[Any]) -> Any:
    """The stacked results of no calls: arrays without rows."""
    found: list[Any] = []
    for kind, value in traced.results:
        if kind == "constant":
            found.append(np.asarray(value)[None][:0] if _is_plain(value) else value)
        elif kind == "argument" and is_generator(originals[value]):
            found.append(originals[value])
        else:
            node = (traced.graph.inputs if kind == "argument" else traced.graph.outputs)[value]
            found.append(np.zeros((0, *node.type.known_shape), node.dtype))
    return unflatten(traced.structure, found)


def _is_plain(value: object) -> bool:
    """Whether a constant of a result is an array or a number that a graph can hold."""
    return isinstance(value, np.ndarray | np.generic | bool | int | float | complex) and is_supported(
        np.asarray(value).dtype
    )
