"""Loops over a body: the op `scan`, whose derivatives are scans again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer.graph.body import Arguments, Frame, Parameters, Results
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph
from tracer.graph.looping import Maker, Primal, Window, add, unslice_rows, zero_node, zeros
from tracer.graph.node import Node
from tracer.graph.op import Op, declare
from tracer.types import ArrayType, TupleType, is_inexact, type_of

Transform = Callable[..., Any]
Array = np.ndarray[Any, Any]

COUNT = ArrayType(np.dtype(np.int64), ())


# --- the op ------------------------------------------------------------------------------------------------------


def _infer(types: Sequence[ArrayType], body: Graph, frame: Frame) -> TupleType:
    arguments, results = frame.arguments(types), frame.results([node.type for node in body.outputs])
    for item in arguments.sequences:
        if item.shape[0] != frame.steps:
            raise ValueError(f"scan: a sequence of {item.shape[0]} rows is run over {frame.steps} steps")
    _check(arguments, frame.parameters([node.type for node in body.inputs]), results, frame)
    histories = [ArrayType(item.dtype, (item.shape[0] + frame.steps, *item.shape[1:])) for item in arguments.initials]
    stacked = [ArrayType(item.dtype, (frame.steps, *item.shape)) for item in results.outputs]
    return TupleType((*histories, *arguments.carries, *stacked, *(COUNT,) * frame.until))


def _check(arguments: Arguments, parameters: Parameters, results: Results, frame: Frame) -> None:
    """Raise TypeError unless what the body takes and gives fits what the scan is given."""
    pairs = [(_row(item), slot) for item, slot in zip(arguments.sequences, parameters.slices, strict=True)]
    for item, taps, lags, new in zip(arguments.initials, parameters.taps, frame.lags, results.states, strict=True):
        pairs += [(_row(item), slot) for slot in (*taps, new)]
        if lags and not 1 <= min(lags) <= max(lags) <= item.shape[0]:
            raise ValueError(f"scan: lags {lags} of a state with {item.shape[0]} initial rows")
    pairs += zip(arguments.carries, parameters.carries, strict=True)
    pairs += zip(arguments.carries, results.carries, strict=True)
    pairs += zip(arguments.fixed, parameters.fixed, strict=True)
    pairs += [(ArrayType(np.dtype(bool), ()), results.last)] * frame.until + [(COUNT, arguments.count)] * frame.counted
    for wanted, found in pairs:
        if wanted != found:
            raise TypeError(f"scan: the body has {found} where {wanted} is needed")


def _row(stacked: ArrayType) -> ArrayType:
    return ArrayType(stacked.dtype, stacked.shape[1:])


def _evaluate(*arrays: Any, body: Graph, frame: Frame) -> tuple[Array, ...]:
    arguments = frame.arguments(list(map(np.asarray, arrays)))
    types = frame.results(_infer([type_of(item) for item in arrays], body, frame).items)
    histories = [np.zeros(item.shape, item.dtype) for item in types.states]
    for history, initial in zip(histories, arguments.initials, strict=True):
        history[: initial.shape[0]] = initial
    carries = list(arguments.carries)
    outputs = [np.zeros(item.shape, item.dtype) for item in types.outputs]
    steps = frame.steps if arguments.count is None else min(max(int(arguments.count), 0), frame.steps)
    done = 0
    while done < steps:
        row = steps - 1 - done if frame.reverse else done
        taken = [item[row] for item in arguments.sequences]
        for history, initial, lags in zip(histories, arguments.initials, frame.lags, strict=True):
            taken += [history[initial.shape[0] + done - lag] for lag in lags]
        results = frame.results(evaluation(body).compute([*taken, *carries, *arguments.fixed]))
        for history, initial, value in zip(histories, arguments.initials, results.states, strict=True):
            history[initial.shape[0] + done] = value
        for output, value in zip(outputs, results.outputs, strict=True):
            output[row] = value
        carries = list(results.carries)
        done += 1
        if frame.until and results.last:
            break
    return (*histories, *carries, *outputs, *(np.asarray(done),) * frame.until)


# --- reverse mode ------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """The inputs of a scan whose cotangents are wanted."""

    sequences: set[int]
    initials: set[int]
    carries: set[int]
    fixed: set[int]


class Backward:
    """The scan that runs back over another one and carries cotangents from step to step.

    What a step sends to the row that was written k steps before waits in a carry if k is 1, and else in a state.

    Attributes
    ----------
    states, carries, outputs : list of int
        Which of the primal's a cotangent flows through.
    links : list of (int, int, Node)
        State, lag and parameter of the reads that cotangents go back through; those of lag 1 come first.
    """

    def __init__(self, primal: Primal, g: Results, wanted: Wanted) -> None:
        self.primal, self.g, self.wanted = primal, g, wanted
        self.maker = Maker(primal.like)
        self.window = Window(primal.frame, primal.count, primal.like, primal.frame.truncate)
        parameters, results = primal.parameters, primal.results
        states, carries = set(wanted.initials), set(wanted.carries)
        sources = [*(parameters.slices[p] for p in wanted.sequences), *(parameters.fixed[p] for p in wanted.fixed)]
        reached = primal.reached_from(sources, states, carries)
        self.outputs = [
            place
            for place, node in enumerate(results.outputs)
            if g.outputs[place] is not None and node in reached and is_inexact(node.dtype)
        ]
        own_states = {place for place in states if g.states[place] is not None}
        own_carries = {place for place in carries if g.carries[place] is not None}
        heads = [results.outputs[place] for place in self.outputs]
        above = primal.needed_for(heads, own_states, own_carries, (states, carries))
        self.states, self.carries = sorted(own_states), sorted(own_carries)
        self.slices = [place for place in sorted(wanted.sequences) if parameters.slices[place] in above]
        self.fixed = [place for place in sorted(wanted.fixed) if parameters.fixed[place] in above]
        links = [
            (place, lag, tap)
            for place in self.states
            for lag, tap in zip(primal.frame.lags[place], parameters.taps[place], strict=True)
            if tap in above
        ]
        self.links = sorted(links, key=lambda link: link[1] > 1)

    def cotangents(self, transform: Transform) -> tuple[Results, list[Any]]:
        """Run; gives the scan's results and, per sequence in `slices`, the cotangents of its rows or None."""
        primal, maker = self.primal, self.maker
        heads, received = self.receive()
        results, parameters = primal.results, primal.parameters
        wrt = [tap for _, _, tap in self.links]
        wrt += [parameters.carries[place] for place in self.carries]
        wrt += [parameters.fixed[place] for place in self.fixed]
        wrt += [parameters.slices[place] for place in self.slices]
        found = transform(heads, received, wrt)
        cut = len(wrt) - len(self.slices)
        sent = [zero_node(node.type) if part is None else part for node, part in zip(wrt, found, strict=True)][:cut]
        for place in range(cut - len(self.fixed), cut):
            sent[place] = add([maker.carry(zeros(wrt[place].type, primal.like)), sent[place]])
        rows = [part for part in found[cut:] if part is not None]
        brought = primal.bring([*sent, *rows], maker, self.window)
        late = sum(lag > 1 for _, lag, _ in self.links)
        early = len(self.links) - late
        results = Results(
            brought[early : early + late], (*brought[:early], *brought[early + late : cut]), brought[cut:], None
        )
        made = maker.run(results, self.window.steps, self.window.count, not primal.frame.reverse)
        stacked = iter(made.outputs)
        return made, [None if part is None else next(stacked) for part in found[cut:]]

    def receive(self) -> tuple[list[Node], list[Node]]:
        """The values of a step that cotangents flow to, and the cotangents."""
        primal, maker, g, window = self.primal, self.maker, self.g, self.window
        waiting: dict[int, list[Node]] = {place: [] for place in self.states}
        for place, lag, tap in self.links:
            if lag == 1:
                waiting[place].append(maker.carry(zeros(tap.type, primal.like)))
            else:
                rows = ArrayType(tap.dtype, (lag, *tap.shape))
                waiting[place] += maker.state(zeros(rows, primal.like), (lag,))
        heads, received = [], []
        for place in self.states:
            given = g.states[place]
            if given is not None:
                written = given[given.shape[0] - primal.frame.steps :]
                waiting[place].append(maker.sequence(window.by_step(written)))
            heads.append(primal.results.states[place])
            received.append(add(waiting[place]))
        for place in self.carries:
            node, given = primal.results.carries[place], g.carries[place]
            heads.append(node)
            received.append(maker.carry(zeros(node.type, primal.like) if given is None else given))
        for place in self.outputs:
            heads.append(primal.results.outputs[place])
            received.append(maker.sequence(window.by_row(g.outputs[place])))
        return heads, received

    def of_initial(self, place: int, made: Results) -> Any:
        """The cotangent of a state's initial rows; None if it is zero."""
        given, early = self.g.states[place], sum(lag == 1 for _, lag, _ in self.links)
        shape = self.primal.arguments.initials[place].shape
        total = None if given is None else given[: shape[0]]
        for number, (state, lag, _) in enumerate(self.links):
            if state != place:
                continue
            if lag == 1:
                rows = self.window.at_start(made.carries[number])
                rows = None if rows is None else rows[None]
            else:
                rows = self.window.before_start(made.states[number - early], lag)
            if rows is not None:
                rows = unslice_rows(rows, shape[0] - rows.shape[0], shape)
                total = rows if total is None else total + rows
        return total


def _backward(
    wanted: Sequence[int], g: Any, y: Any, *inputs: Any, transform: Transform, body: Graph, frame: Frame
) -> list[Any]:
    places = frame.arguments(list(range(len(inputs))))
    groups = (places.sequences, places.initials, places.carries, places.fixed)
    chosen = Wanted(*({number for number, place in enumerate(group) if place in wanted} for group in groups))
    run = Backward(Primal(body, frame, inputs, y), frame.results(g), chosen)
    found: dict[int, Any] = {}
    made, rows = run.cotangents(transform)
    for place, stacked in zip(run.slices, rows, strict=True):
        found[places.sequences[place]] = None if stacked is None else run.window.spread(stacked)
    for place in run.states:
        found[places.initials[place]] = run.of_initial(place, made)
    first = sum(lag == 1 for _, lag, _ in run.links)
    for number, place in enumerate(run.carries):
        found[places.carries[place]] = run.window.at_start(made.carries[first + number])
    first += len(run.carries)
    for number, place in enumerate(run.fixed):
        found[places.fixed[place]] = made.carries[first + number]
    return [found.get(place) for place in wanted]


# --- forward mode ------------------------------------------------------------------------------------------------


def _forward(tangents: Sequence[Any], y: Any, *inputs: Any, transform: Transform, body: Graph, frame: Frame) -> Any:
    primal, moving = Primal(body, frame, inputs, y), frame.arguments(tangents)
    maker, window = Maker(primal.like), Window(frame, primal.count, primal.like)
    parameters, results = primal.parameters, primal.results
    states = {place for place, value in enumerate(moving.initials) if value is not None}
    carries = {place for place, value in enumerate(moving.carries) if value is not None}
    known: dict[Node, Node] = {}
    for node, value in zip(parameters.slices, moving.sequences, strict=True):
        if value is not None:
            known[node] = maker.sequence(value)
    for node, value in zip(parameters.fixed, moving.fixed, strict=True):
        if value is not None:
            known[node] = maker.constant(value)
    reached = primal.reached_from(list(known), states, carries)
    for place in sorted(states):
        initial, value = primal.arguments.initials[place], moving.initials[place]
        value = zeros(ArrayType(initial.dtype, initial.shape), primal.like) if value is None else value
        known.update(zip(parameters.taps[place], maker.state(value, frame.lags[place]), strict=True))
    for place in sorted(carries):
        node, value = parameters.carries[place], moving.carries[place]
        known[node] = maker.carry(zeros(node.type, primal.like) if value is None else value)
    outputs = {p for p, node in enumerate(results.outputs) if node in reached and is_inexact(node.dtype)}
    places = frame.results(list(range(len(y))))
    groups = [(places.states, results.states, states), (places.carries, results.carries, carries)]
    groups.append((places.outputs, results.outputs, outputs))
    heads = [nodes[place] for _, nodes, chosen in groups for place in sorted(chosen)]
    pairs = zip(heads, transform(heads, known), strict=True)
    pushed = [zero_node(node.type) if part is None else part for node, part in pairs]
    brought = iter(primal.bring(pushed, maker, window))
    states_, carries_, stacked = ([next(brought) for _ in chosen] for _, _, chosen in groups)
    computed = Results(states_, carries_, stacked, None)
    made = maker.run(computed, frame.steps, window.count, frame.reverse)
    found: dict[int, Any] = {}
    for (own, _, chosen), values in zip(groups, made[:3], strict=True):
        found.update((own[place], value) for place, value in zip(sorted(chosen), values, strict=True))
    return tuple(found.get(place) for place in range(len(y)))


SCAN: Op = declare(
    Op(
        "scan",
        "scan",
        _infer,
        _evaluate,
        vjp=_backward,
        jvp=_forward,
        higher_order=True,
        doc="Runs a body once a step, with states that it reads back, carries, and outputs that are stacked.",
    )
)
