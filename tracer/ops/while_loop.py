"""Loops that go on while a condition holds: the op `while_loop`, whose derivatives are such loops with more sweeps.

The derivative of reverse mode of n sweeps makes 2n: the same ones, which also put on the tape what is needed, and then
for each of them, the last one first, one that goes back over its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import Same, spread
from tracer.graph.evaluation import evaluation
from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.looping import add, is_cheap, only_where, spread_node, zero_node, zeros
from tracer.graph.node import ITEM, Node, input_node, item_nodes
from tracer.graph.op import Op, declare
from tracer.graph.rules import apply_like, traced
from tracer.graph.sweeps import Emitted, Sweep, SweepCarry, SweepDraft, SweepFrame
from tracer.types import ArrayType, TupleType, is_inexact

Transform = Callable[..., Any]
Array = np.ndarray[Any, Any]

TRUTH = ArrayType(np.dtype(bool), ())


# --- the op ------------------------------------------------------------------------------------------------------


def _infer(types: Sequence[ArrayType], frame: SweepFrame, condition: Graph, **bodies: Graph) -> TupleType:
    initials, fixed = frame.by_sweep(types)
    _same([*initials[0], *fixed], [node.type for node in condition.inputs])
    _same([TRUTH], [node.type for node in condition.outputs])
    tape: list[ArrayType] = []
    for carries, emitted, body in zip(initials, frame.emitted, frame.bodies(bodies), strict=True):
        _same([*carries, *tape, *fixed], [node.type for node in body.inputs])
        results = [node.type for node in body.outputs]
        _same(carries, results[: len(results) - emitted])
        tape += results[len(results) - emitted :]
    return TupleType(tuple(item for carries in initials for item in carries))


def _same(wanted: Sequence[ArrayType], found: Sequence[ArrayType]) -> None:
    if list(wanted) != list(found):
        one, two = (", ".join(map(str, items)) for items in (wanted, found))
        raise TypeError(f"while_loop: a body has ({two}) where ({one}) is needed")


def _evaluate(*arrays: Any, frame: SweepFrame, condition: Graph, **bodies: Graph) -> tuple[Array, ...]:
    initials, fixed = frame.by_sweep([np.asarray(item) for item in arrays])
    tape: list[list[Array]] = []
    finals: list[Array] = []
    for number, body in enumerate(frame.bodies(bodies)):
        carries, compute = initials[number], evaluation(body).compute
        count = len(carries)
        if number:
            for row in reversed(tape) if frame.backward[number] else tape:
                results = compute([*carries, *row, *fixed])
                carries, row[len(row) :] = results[:count], results[count:]
        else:
            while evaluation(condition).compute([*carries, *fixed])[0]:
                results = compute([*carries, *fixed])
                carries = results[:count]
                tape.append(results[count:])
        finals += carries
    return tuple(np.array(item) for item in finals)


# --- reverse mode ------------------------------------------------------------------------------------------------


class Adjoint:
    """Adds to a loop the sweeps that carry cotangents back over its steps.

    Attributes
    ----------
    cotangents : dict
        What stands on the tape for an emitted value -> what stands there for the parts of its cotangent.
    of_carries, of_fixed : dict
        What stands for a value in the bodies -> the carries that end as its cotangent, or as the parts of it.
    """

    def __init__(self, draft: SweepDraft, sources: Sequence[Node], g: Sequence[Any], like: Any) -> None:
        self.draft, self.g, self.like = draft, g, like
        self.reached = draft.reached_from(sources, lambda node: is_inexact(node.dtype))
        self.sources = set(sources)
        self.cotangents: dict[Node, list[Node]] = {}
        self.of_carries: dict[Node, SweepCarry] = {}
        self.of_fixed: dict[Node, list[SweepCarry]] = {}

    def run(self, transform: Transform) -> None:
        """Add all sweeps that are needed."""
        primal = list(self.draft.sweeps)
        for number in reversed(range(len(primal))):
            tape = [item.slot for sweep in primal[:number] for item in sweep.emitted]
            self.go_back(primal[number], tape, transform)

    def live(self, sweep: Sweep, emitted: Sequence[Emitted]) -> tuple[list[SweepCarry], set[Node]]:
        """The carries that cotangents flow through, and the nodes above them and above what is emitted."""
        movable = [item for item in sweep.carries if item.node in self.reached and is_inexact(item.node.dtype)]
        live = {item for item in movable if self.g[item.own] is not None}
        while True:
            above = set(toposort([*(item.result for item in live), *(item.result for item in emitted)]))
            more = {item for item in movable if item.node in above}
            if more <= live:
                return [item for item in movable if item in live], above
            live |= more

    def go_back(self, sweep: Sweep, tape: Sequence[Node], transform: Transform) -> None:
        """Add the sweep that goes back over the steps of another one, which reads this tape."""
        emitted = [item for item in sweep.emitted if item.slot in self.cotangents]
        live, above = self.live(sweep, emitted)
        if not live and not emitted:
            return
        back = Sweep(not sweep.backward)
        received = []
        for item in live:
            given = self.g[item.own]
            carry = back.carry(zeros(item.node.type, self.like) if given is None else given)
            self.of_carries[item.node] = carry
            received.append(carry.node)
        received += [add(self.cotangents[item.slot]) for item in emitted]
        fixed = [item.node for item in self.draft.fixed if item.node in self.sources and item.node in above]
        slots = [slot for slot in tape if slot in self.reached and slot in above]
        wrt = [*(item.node for item in live), *fixed, *slots]
        found = transform([*(item.result for item in live), *(item.result for item in emitted)], received, wrt)
        given_parts = [part for part in found if part is not None]
        brought = dict(zip(given_parts, self.bring(given_parts, sweep, tape), strict=True))
        for node, part in zip(wrt, (brought.get(part) for part in found), strict=True):
            if node in self.of_carries:
                self.of_carries[node].result = zero_node(node.type) if part is None else part
            elif part is not None and node in fixed:
                total = back.carry(zeros(node.type, self.like))
                total.result = add([total.node, part])
                self.of_fixed.setdefault(node, []).append(total)
            elif part is not None:
                self.cotangents.setdefault(node, []).append(back.emit(part))
        self.draft.sweeps.append(back)

    def bring(self, outputs: Sequence[Node], sweep: Sweep, tape: Sequence[Node]) -> Sequence[Node]:
        """Let what a later sweep computes read the values of a sweep from the tape, or compute them again."""
        nodes, own = toposort(sweep.heads()), {item.node for item in sweep.carries}
        forward = {*nodes, *(item for node in nodes if node.has_items for item in item_nodes(node))}
        varying = depends_on(forward, [*own, *tape])
        replacements: dict[Node, Node] = {}
        seen: set[Node] = set(tape)
        pending = list(outputs)
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in own or (node in forward and node in varying and not is_cheap(node)):
                replacements[node] = sweep.emit(node)
            else:
                pending += node.inputs
        return substitute(outputs, replacements)


def _backward(
    wanted: Sequence[int],
    g: Sequence[Any],
    y: Sequence[Any],
    *inputs: Any,
    transform: Transform,
    frame: SweepFrame,
    condition: Graph,
    **bodies: Graph,
) -> list[Any]:
    draft = SweepDraft(inputs, frame, condition, **bodies)
    nodes = [*(item.node for sweep in draft.sweeps for item in sweep.carries), *(item.node for item in draft.fixed)]
    run = Adjoint(draft, [nodes[place] for place in wanted], g, y[0])
    run.run(transform)
    made = _applied(draft, y[0])
    found: list[Any] = []
    for place in wanted:
        parts = [run.of_carries[nodes[place]]] if nodes[place] in run.of_carries else []
        values = [made[item] for item in (*parts, *run.of_fixed.get(nodes[place], ()))]
        found.append(sum(values[1:], values[0]) if values else None)
    return found


def _applied(draft: SweepDraft, like: Any) -> dict[SweepCarry, Any]:
    """Apply the op; gives the last value of each carry."""
    draft.hand_over_free(like)
    inputs, params = draft.build()
    made = apply_like(WHILE, like, *inputs, **params)
    return dict(zip((item for sweep in draft.sweeps for item in sweep.carries), made, strict=True))


# --- forward mode ------------------------------------------------------------------------------------------------


def _forward(
    tangents: Sequence[Any],
    y: Sequence[Any],
    *inputs: Any,
    transform: Transform,
    frame: SweepFrame,
    condition: Graph,
    **bodies: Graph,
) -> tuple[Any, ...]:
    draft = SweepDraft(inputs, frame, condition, **bodies)
    initials, outer = frame.by_sweep(tangents)
    pairs = list(zip(draft.fixed, outer, strict=True))
    known = {item.node: draft.add_fixed(value) for item, value in pairs if value is not None}
    given = {
        item.node: value
        for sweep, values in zip(draft.sweeps, initials, strict=True)
        for item, value in zip(sweep.carries, values, strict=True)
        if value is not None
    }
    reached = draft.reached_from([*known, *given], lambda node: is_inexact(node.dtype))
    moved: dict[int, SweepCarry] = {}
    for sweep in draft.sweeps:
        heads, targets = [], []
        for item in list(sweep.carries):
            if item.node in reached and is_inexact(item.node.dtype):
                value = given.get(item.node)
                tangent = sweep.carry(zeros(item.node.type, y[0]) if value is None else value)
                known[item.node] = tangent.node
                heads.append(item.result)
                targets.append(tangent)
                moved[item.own] = tangent
        moving = [item for item in sweep.emitted if item.slot in reached]
        found = transform([*heads, *(item.result for item in moving)], known)
        for tangent, head, part in zip(targets, heads, found, strict=False):
            tangent.result = zero_node(head.type) if part is None else part
        for emitted, part in zip(moving, found[len(heads) :], strict=True):
            if part is not None:
                known[emitted.slot] = sweep.emit(part)
    made = _applied(draft, y[0])
    return tuple(made[moved[place]] if place in moved else None for place in range(len(y)))


# --- batching ----------------------------------------------------------------------------------------------------


class Batched:
    """A loop in the making that runs many examples at once, until all of them are done."""

    def __init__(self, draft: SweepDraft, batched: set[Node], size: int, transform: Transform, like: Any) -> None:
        self.draft, self.size, self.transform, self.like = draft, size, transform, like
        owners: list[Node] = []
        for sweep in draft.sweeps:
            owners += [*(item.node for item in sweep.carries), *(item.slot for item in sweep.emitted)]
        heads = [draft.condition, *(node for sweep in draft.sweeps for node in sweep.heads())]
        while True:  # what a step makes different is so at the next one
            self.wide = {node: input_node(ArrayType(node.dtype, (size, *node.shape))) for node in batched}
            (_, self.is_each), *flags = transform(heads, self.wide, size)
            marked = zip(owners, heads[1:], flags, strict=True)
            more = {owner for owner, head, (_, flag) in marked if flag or (self.is_each and not _is_drawn(head))}
            if more <= batched:
                break
            batched = batched | more

    def run(self) -> None:
        """Put what computes all examples in the place of what computes one."""
        draft, active = self.draft, None
        ((condition, _),) = self.transform([draft.condition], self.wide, self.size)
        if self.is_each:
            active = condition
            anybody: Any = np.any(traced(condition, self.like))
            condition = anybody.__tracer_node__
        for number, sweep in enumerate(draft.sweeps):
            self.widen(sweep, active)
            if number == 0 and active is not None and len(draft.sweeps) > 1:
                active = sweep.emit(active)
        draft.condition = condition
        for item in draft.fixed:
            item.node = self.wide.get(item.node, item.node)

    def widen(self, sweep: Sweep, active: Node | None) -> None:
        """Let a sweep go over all examples; those that are not active stay as they are.

        Its body sees values of an active one in their place: it computes nothing that it would not have computed.
        """
        seen = self.wide
        if active is not None:
            taken = traced(active, self.like)
            pairs = self.wide.items()
            seen = {node: only_where(taken, traced(wide, self.like)).__tracer_node__ for node, wide in pairs}
        found = iter(self.transform(sweep.heads(), seen, self.size))
        for item in sweep.carries:
            wide, (result, has_axis) = self.wide.get(item.node), next(found)
            if wide is not None:
                if item.initial.shape != wide.shape:
                    item.initial = spread(item.initial, self.size)
                item.result = result if has_axis else spread_node(result, self.size)
                if active is not None:
                    item.result = self.frozen(active, item.result, wide)
                item.node = wide
            else:
                item.result = result
        for emitted in sweep.emitted:
            wide, (result, has_axis) = self.wide.get(emitted.slot), next(found)
            emitted.result = result if has_axis or wide is None else spread_node(result, self.size)
            emitted.slot = emitted.slot if wide is None else wide

    def frozen(self, active: Node, new: Node, old: Node) -> Node:
        """The new values of the examples that are active, and the old ones of the others."""
        shape = (self.size, *(1,) * (len(new.shape) - 1))
        chosen = np.where(np.reshape(traced(active, self.like), shape), traced(new, self.like), traced(old, self.like))
        node: Node = chosen.__tracer_node__
        return node


def _is_drawn(node: Node) -> bool:
    """Whether a node comes from a draw: the state of a generator goes on for all examples together."""
    return node.op is ITEM and node.inputs[0].op.draws


def _batched(
    inputs: Sequence[Any],
    is_batched: Sequence[bool],
    size: int,
    transform: Transform,
    frame: SweepFrame,
    condition: Graph,
    **bodies: Graph,
) -> tuple[Any, ...]:
    one = [
        traced(input_node(ArrayType(value.dtype, value.shape[flag:])), value)
        for value, flag in zip(inputs, is_batched, strict=True)
    ]
    draft = SweepDraft(one, frame, condition, **bodies)
    initials, outer = frame.by_sweep(inputs)
    for sweep, values in zip(draft.sweeps, initials, strict=True):
        for item, value in zip(sweep.carries, values, strict=True):
            item.initial = value
    for fixed, value in zip(draft.fixed, outer, strict=True):
        fixed.outer = value
    nodes = [*(item.node for sweep in draft.sweeps for item in sweep.carries), *(item.node for item in draft.fixed)]
    batched = {node for node, flag in zip(nodes, is_batched, strict=True) if flag}
    run = Batched(draft, batched, size, transform, inputs[0])
    has_axis = [item.node in run.wide for sweep in draft.sweeps for item in sweep.carries]
    run.run()
    made = _applied(draft, inputs[0]).values()
    return tuple(value if wide else Same(value) for value, wide in zip(made, has_axis, strict=True))


WHILE: Op = declare(
    Op(
        "while_loop",
        "while_loop",
        _infer,
        _evaluate,
        vjp=_backward,
        jvp=_forward,
        batch=_batched,
        higher_order=True,
        doc="Runs a body on carries while a condition on them holds, and further bodies over the same steps.",
    )
)
