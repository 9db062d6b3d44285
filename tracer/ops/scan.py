"""Loops over a body: the op `scan`, whose derivatives are scans again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import Same, spread
from tracer.graph.body import Arguments, Frame, Parameters, Results, close
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph, toposort
from tracer.graph.looping import Maker, Primal, Window, add, only_where, spread_node, unslice_rows, zero_node, zeros
from tracer.graph.node import Node, input_node
from tracer.graph.op import OPS, Op, declare
from tracer.graph.rules import traced
from tracer.records import NamedTuple
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
    # Copies: what a body returns may be an input, or spread so that nobody can write into it.
    return (*histories, *map(np.array, carries), *outputs, *(np.asarray(done),) * frame.until)


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


# --- batching ----------------------------------------------------------------------------------------------------


class Batched:
    """The scan of many examples at once, in the making.

    Attributes
    ----------
    states, carries : set of int
        Which of them differ between the examples.
    computed : Results
        What a step computes from `inputs`: pairs of a node and whether it has a batch axis.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        is_batched: Sequence[bool],
        size: int,
        transform: Transform,
        body: Graph,
        frame: Frame,
    ) -> None:
        self.size, self.transform, self.body, self.frame = size, transform, body, frame
        self.like = inputs[0]
        self.arguments, self.flags = frame.arguments(inputs), frame.arguments(is_batched)
        self.states = {place for place, batched in enumerate(self.flags.initials) if batched}
        self.carries = {place for place, batched in enumerate(self.flags.carries) if batched}
        self.inputs: list[Node] = []
        self.computed: Results = self.settle()

    def settle(self) -> Results:
        """Find what differs between the examples: what a step makes different is so at the next one."""
        while True:
            found = self.step(lambda value: value)
            states = self.states.union(place for place, (_, batched) in enumerate(found.states) if batched)
            carries = self.carries.union(place for place, (_, batched) in enumerate(found.carries) if batched)
            if states == self.states and carries == self.carries:
                return found
            self.states, self.carries = states, carries

    def step(self, see: Callable[[Any], Any]) -> Results:
        """Compute a step from new inputs, of which it sees those that have a batch axis as `see` has them."""
        parameters = self.frame.parameters(self.body.inputs)
        groups = [list(zip(parameters.slices, self.flags.sequences, strict=True))]
        groups += [[(tap, place in self.states) for tap in taps] for place, taps in enumerate(parameters.taps)]
        groups.append([(node, place in self.carries) for place, node in enumerate(parameters.carries)])
        groups.append(list(zip(parameters.fixed, self.flags.fixed, strict=True)))
        pairs = [pair for group in groups for pair in group]
        self.inputs, seen = [], {}
        for node, batched in pairs:
            own = input_node(ArrayType(node.dtype, (self.size, *node.shape))) if batched else node
            self.inputs.append(own)
            if batched:
                seen[node] = see(traced(own, self.like)).__tracer_node__
        return self.frame.results(self.transform(self.body.outputs, seen, self.size))

    def with_axis(self, pair: tuple[Node, bool]) -> Node:
        """A result of the step, with a batch axis."""
        return pair[0] if pair[1] else spread_node(pair[0], self.size)

    def by_row(self, value: Any, batched: bool, wanted: bool) -> Any:
        """Rows of examples from examples of rows."""
        if batched:
            return np.moveaxis(value, 0, 1)
        return np.broadcast_to(value[:, None], (len(value), self.size, *value.shape[1:])) if wanted else value

    def apply(self, results: Results, frame: Frame, inputs: Sequence[Node], more: Sequence[Any], count: Any) -> Results:
        """Run over all examples; `inputs` are those of the step, and `more` are carries besides its own."""
        rows = [
            self.by_row(value, batched, batched)
            for value, batched in zip(self.arguments.sequences, self.flags.sequences, strict=True)
        ]
        rows += [
            self.by_row(value, batched, place in self.states)
            for place, (value, batched) in enumerate(zip(self.arguments.initials, self.flags.initials, strict=True))
        ]
        carries = [
            spread(value, self.size) if place in self.carries and not batched else value
            for place, (value, batched) in enumerate(zip(self.arguments.carries, self.flags.carries, strict=True))
        ]
        last = () if results.last is None else (results.last,)
        body = close(inputs, [*results.states, *results.carries, *results.outputs, *last])
        counted = () if count is None else (count,)
        frame = frame._replace(carries=frame.carries + len(more))
        return frame.results(SCAN(*rows, *carries, *more, *self.arguments.fixed, *counted, body=body, frame=frame))

    def together(self) -> tuple[Any, ...]:
        """Run where all examples make as many steps."""
        computed = self.computed
        results = Results(
            [self.with_axis(pair) if place in self.states else pair[0] for place, pair in enumerate(computed.states)],
            [self.with_axis(pair) if place in self.carries else pair[0] for place, pair in enumerate(computed.carries)],
            [node for node, _ in computed.outputs],
            computed.last and computed.last[0],
        )
        made = self.apply(results, self.frame, self.inputs, (), self.arguments.count)
        stacked = [batched for _, batched in computed.outputs]
        return (
            *(_by_example(value, place in self.states) for place, value in enumerate(made.states)),
            *(value if place in self.carries else Same(value) for place, value in enumerate(made.carries)),
            *(_by_example(value, batched) for value, batched in zip(made.outputs, stacked, strict=True)),
            *((Same(made.last),) if self.frame.until else ()),
        )

    def until_each(self) -> tuple[Any, ...]:
        """Run until all examples are done; those that are keep their carries, and have rows of zeros from then on."""
        self.states, shared = set(range(len(self.frame.lags))), self.drawn()
        self.carries = set(range(self.frame.carries)) - shared
        going, count = (input_node(ArrayType(np.dtype(kind), (self.size,))) for kind in (bool, np.int64))
        active = traced(going, self.like)
        computed = self.step(lambda value: only_where(active, value))
        stop = traced(self.with_axis(computed.last), self.like)
        still = np.logical_and(active, np.logical_not(stop))
        kept = self.masked(active, computed, shared)
        carries = [*kept.carries, still.__tracer_node__, (traced(count, self.like) + active).__tracer_node__]
        last = np.logical_not(np.any(still)).__tracer_node__
        parts = self.frame.parameters(self.inputs)
        taps = [tap for own in parts.taps for tap in own]
        inputs = [*parts.slices, *taps, *parts.carries, going, count, *parts.fixed]
        starts = (
            np.ones_like(self.like, bool, shape=(self.size,)),
            np.zeros_like(self.like, np.int64, shape=(self.size,)),
        )
        made = self.apply(kept._replace(carries=carries, last=last), self.frame, inputs, starts, None)
        return (
            *(_by_example(value, True) for value in made.states),
            *(Same(value) if place in shared else value for place, value in enumerate(made.carries[:-2])),
            *(_by_example(value, True) for value in made.outputs),
            made.carries[-1],
        )

    def drawn(self) -> set[int]:
        """The carries that all examples share whatever step they are at: states of random generators."""
        nodes = self.frame.results(self.body.outputs).carries
        return {
            place
            for place, (_, batched) in enumerate(self.computed.carries)
            if not batched and any(node.op.draws for node in toposort([nodes[place]]))
        }

    def masked(self, active: Any, computed: Results, shared: Collection[int]) -> Results:
        """What a step computes for the examples that go on; carries of others stay, and their rows are zero."""
        old = self.frame.parameters(self.inputs).carries

        def chosen(pair: tuple[Node, bool], other: Any) -> Node:
            value = traced(self.with_axis(pair), self.like)
            mask = np.reshape(active, (self.size, *(1,) * (value.ndim - 1)))
            found: Node = OPS["where"](mask, value, value.dtype.type(0) if other is None else other).__tracer_node__
            return found

        carries = [
            pair[0] if place in shared else chosen(pair, traced(old[place], self.like))
            for place, pair in enumerate(computed.carries)
        ]
        states, outputs = ([chosen(pair, None) for pair in group] for group in (computed.states, computed.outputs))
        return Results(states, carries, outputs, None)


def _by_example(value: Any, batched: bool) -> Any:
    return np.moveaxis(value, 1, 0) if batched else Same(value)


def _batched(
    inputs: Sequence[Any], is_batched: Sequence[bool], size: int, transform: Transform, body: Graph, frame: Frame
) -> Any:
    run = Batched(inputs, is_batched, size, transform, body, frame)
    if run.flags.count:
        return NotImplemented
    if not frame.until or not run.computed.last[1]:
        return run.together()
    return NotImplemented if frame.counted or frame.truncate >= 0 else run.until_each()


SCAN: Op = declare(
    Op(
        "scan",
        "scan",
        _infer,
        _evaluate,
        vjp=_backward,
        jvp=_forward,
        batch=_batched,
        higher_order=True,
        doc="Runs a body once a step, with states that it reads back, carries, and outputs that are stacked.",
    )
)
