"""Loops and conditions as something to rewrite: merged, freed of what nobody needs, and rewritten inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracer.graph.body import close, inline
from tracer.graph.graph import Graph, rebuild, substitute, toposort
from tracer.graph.looping import zero_node
from tracer.graph.node import ITEM, Node, blame, item_nodes, make_node
from tracer.graph.op import OPS
from tracer.ops.checkpointing import RECOMPUTE
from tracer.ops.control import COND
from tracer.ops.scan import SCAN
from tracer.ops.while_loop import WHILE
from tracer.rewrite import sweeps
from tracer.rewrite.draft import Carry, Draft, Output, Part, Slot, State
from tracer.rewrite.sweeps import is_known

_ROUNDS = 20

Use = dict[int, bool]
"""The outputs of a node that are used, and whether more than the last row is."""
Change = Callable[[Node, Use], "list[Node | None] | None"]
"""Takes a node and the use of its outputs; gives what replaces each of them, or None to leave the node alone."""


def has_bodies(graph: Graph) -> bool:
    """Whether there is a loop or a condition in a graph."""
    return any(op.higher_order for op in graph.ops())


# --- every loop of a graph ---------------------------------------------------------------------------------------


def uses_of(graph: Graph) -> dict[Node, Use]:
    """How the outputs of every node that has several are used."""
    order = graph.nodes()
    found: dict[Node, Use] = {node: {} for node in order if node.has_items}
    whole = set(graph.outputs)
    last: set[Node] = set()
    for node in order:
        for item in node.inputs:
            if item.op is ITEM:
                (last if _reads_last_row(node) else whole).add(item)
    for item in whole | last:
        if item.op is ITEM:
            found[item.inputs[0]][item.params["index"]] = item in whole
    return found


def _reads_last_row(node: Node) -> bool:
    return node.op.name == "slice" and node.params["index"][0][:2] == (node.inputs[0].type.known_shape[0] - 1, 1)


def each_loop(graph: Graph, change: Change, frozen: Iterable[Node] = ()) -> Graph:
    """Change every loop and condition of a graph, inputs first; nodes in `frozen` stay as they are."""
    uses = uses_of(graph)
    changed: dict[Node, list[Node | None]] = {}

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is ITEM and inputs[0] in changed:
            return changed[inputs[0]][node.params["index"]]
        if not node.op.higher_order:
            return None
        with blame(node.line):
            new = node if inputs == node.inputs else make_node(node.op, inputs, node.params)
        results = change(new, uses[node])
        if results is not None:
            before = changed.get(new)
            changed[new] = results if before is None else [a or b for a, b in zip(before, results, strict=True)]
        return new

    return Graph(graph.inputs, rebuild(graph.outputs, transform, {node: node for node in frozen}))


def map_bodies(graph: Graph, optimise: Callable[[Graph], Graph], frozen: Iterable[Node] = ()) -> Graph:
    """Rewrite the bodies of every loop and condition."""

    def change(node: Node, use: Use) -> list[Node | None] | None:
        params = {name: optimise(item) if isinstance(item, Graph) else item for name, item in node.params.items()}
        if all(params[name] == item for name, item in node.params.items()):
            return None
        with blame(node.line):
            return list(item_nodes(make_node(node.op, node.inputs, params)))

    return each_loop(graph, change, frozen)


# --- merging -----------------------------------------------------------------------------------------------------


def merge(graph: Graph) -> Graph:
    """Make one of loops that differ only in what they store: a derivative asks the loop it came from for more."""
    graph = sweeps.merged(graph)
    for _ in range(_ROUNDS):
        alike: dict[Any, list[Node]] = {}
        for node in graph.nodes():
            if node.op is SCAN:
                frame, body = node.params["frame"], node.params["body"]
                results = frame.results(body.outputs)
                same = (tuple(results.states), tuple(results.carries), results.last)
                key = (node.inputs, frame._replace(outputs=0), body.inputs, *same)
                alike.setdefault(key, []).append(node)
        replacements: dict[Node, Node] = {}
        for nodes in alike.values():
            if len(nodes) > 1:
                replacements.update(_merged(nodes))
        if not replacements:
            break
        graph = Graph(graph.inputs, substitute(graph.outputs, replacements))
    return graph


def _merged(nodes: Sequence[Node]) -> dict[Node, Node]:
    """The outputs of scans that are alike, and those of one scan in their place."""
    drafts = [Draft(node) for node in nodes]
    whole = Draft(nodes[0])
    same = len(whole.states) + len(whole.carries)
    results = list(dict.fromkeys(output.result for draft in drafts for output in draft.outputs))
    whole.outputs = [Output(result, same + place) for place, result in enumerate(results)]
    whole.last = None if whole.last is None else same + len(results)
    _, made = whole.build()
    found: dict[Node, Node] = {}
    for draft in drafts:
        items = item_nodes(draft.node)
        found.update(zip(items[:same], (made[place] for place in range(same)), strict=True))
        for place, output in enumerate(draft.outputs, same):
            found[items[place]] = made[same + results.index(output.result)]
        if draft.last is not None and whole.last is not None:
            found[items[draft.last]] = made[whole.last]
    return {old: new for old, new in found.items() if old is not new}


# --- pruning -----------------------------------------------------------------------------------------------------


def prune(graph: Graph) -> Graph:
    """Drop what nobody needs: outputs, states and inputs; keep of a state only the last row if that is enough."""
    for _ in range(_ROUNDS):
        new = each_loop(graph, _pruned)
        if new.outputs == graph.outputs:
            break
        graph = new
    return graph


def _pruned(node: Node, use: Use) -> list[Node | None] | None:
    if node.op is COND:
        return _pruned_branches(node, use)
    if node.op is RECOMPUTE:
        return _pruned_body(node, use)
    if node.op is WHILE:
        return sweeps.pruned(node, use)
    if node.op is not SCAN:
        return None
    draft = Draft(node)
    if not draft.steps:
        return _never_run(draft)
    _drop_outputs(draft, use)
    _keep_in_states(draft)
    _share_outputs(draft)
    _settle_inputs(draft)
    _shorten_states(draft, use)
    new, found = draft.build()
    return None if new is node else [found.get(place) for place in range(len(node.types))]


def _never_run(draft: Draft) -> list[Node | None]:
    """What a scan of no steps gives."""
    stacked = [zero_node(own) for own in draft.node.types[len(draft.states) + len(draft.carries) :]]
    return [*(state.initial for state in draft.states), *(carry.initial for carry in draft.carries), *stacked]


def _pruned_branches(node: Node, use: Use) -> list[Node | None] | None:
    """Drop outputs and operands that nobody needs; take the branch if it is known."""
    then, otherwise = node.params["then"], node.params["otherwise"]
    predicate, *operands = node.inputs
    if predicate.is_constant:
        return list(inline(then if predicate.value else otherwise, operands))
    replacements: dict[Node, Node] = {}
    first: dict[Node, Node] = {}
    for slot, outer in zip(then.inputs, operands, strict=True):
        known = outer if is_known(outer) else first.setdefault(outer, slot)
        if known is not slot:
            replacements[slot] = known
    chosen = [[branch.outputs[place] for place in sorted(use)] for branch in (then, otherwise)]
    chosen = [list(substitute(outputs, replacements)) for outputs in chosen]
    read = set(toposort([*chosen[0], *chosen[1]]))
    kept = [pair for pair in zip(then.inputs, operands, strict=True) if pair[0] in read]
    bodies = [close([slot for slot, _ in kept], outputs) for outputs in chosen]
    with blame(node.line):
        inputs = (predicate, *(outer for _, outer in kept))
        new = make_node(COND, inputs, {"then": bodies[0], "otherwise": bodies[1]})
        found = dict(zip(sorted(use), item_nodes(new), strict=True))
    return None if new is node else [found.get(place) for place in range(len(node.types))]


def _pruned_body(node: Node, use: Use) -> list[Node | None] | None:
    """Drop outputs and inputs that nobody needs, and hand the body what is known."""
    body = node.params["body"]
    known = {slot: outer for slot, outer in zip(body.inputs, node.inputs, strict=True) if is_known(outer)}
    outputs = substitute([body.outputs[place] for place in sorted(use)], known)
    read = set(toposort(outputs))
    kept = [pair for pair in zip(body.inputs, node.inputs, strict=True) if pair[0] in read]
    with blame(node.line):
        params = {"body": close([slot for slot, _ in kept], outputs)}
        new = make_node(RECOMPUTE, tuple(outer for _, outer in kept), params)
        found = dict(zip(sorted(use), item_nodes(new), strict=True))
    return None if new is node else [found.get(place) for place in range(len(node.types))]


def _drop_outputs(draft: Draft, use: Use) -> None:
    """Drop what is neither used outside nor needed for what is."""
    draft.outputs = [output for output in draft.outputs if output.own in use]
    states = [state for state in draft.states if state.own in use]
    carries = [carry for carry in draft.carries if carry.own in use]
    while True:
        parts: list[Part] = [*states, *carries, *draft.outputs]
        heads = [part.result for part in parts] + ([] if draft.stop is None else [draft.stop])
        above = set(toposort(heads))
        more_states = [item for item in draft.states if item not in states and not above.isdisjoint(item.taps)]
        more_carries = [item for item in draft.carries if item not in carries and item.node in above]
        if not more_states and not more_carries:
            break
        states += more_states
        carries += more_carries
    draft.states = [state for state in draft.states if state in states]
    draft.carries = [carry for carry in draft.carries if carry in carries]


def _keep_in_states(draft: Draft) -> None:
    """Make a state of a carry that is stacked, before a step or after it: its rows are then written once."""
    if draft.frame.reverse or not draft.is_plain:
        return
    stacked = {output.result for output in draft.outputs}
    for carry in list(draft.carries):
        if carry.result is carry.node or stacked.isdisjoint((carry.node, carry.result)):
            continue
        own = carry.node.type.known_shape
        first = make_node(OPS["reshape"], (carry.initial,), {"shape": (1, *own)})
        state = State([carry.node], [1], first, carry.result)
        draft.carries.remove(carry)
        draft.states.append(state)
        history = draft.stand_in(state)
        if carry.own is not None:
            last = _rows(history, draft.steps, 1)
            draft.replaced[carry.own] = make_node(OPS["reshape"], (last,), {"shape": own})
        for output in [output for output in draft.outputs if output.result is carry.node]:
            draft.outputs.remove(output)
            if output.own is not None:
                draft.replaced[output.own] = _rows(history, 0, draft.steps)


def _share_outputs(draft: Draft) -> None:
    """Read outputs that are stored anyway from where they are."""
    rows = {slot.node: slot.outer for slot in draft.sequences} if draft.is_plain else {}
    states = {} if draft.frame.reverse else {state.result: state for state in draft.states}
    first: dict[Node, Output] = {}
    for output in list(draft.outputs):
        stored = rows.get(output.result)
        if stored is None and output.result in states:
            stored = _rows_written(draft, states[output.result])
        elif stored is None and first.setdefault(output.result, output) is not output:
            stored = draft.stand_in(first[output.result])
        if stored is not None and output.own is not None:
            draft.replaced[output.own] = stored
            draft.outputs.remove(output)


def _rows_written(draft: Draft, state: State) -> Node:
    """The rows of a state that steps write."""
    history = draft.stand_in(state)
    return _rows(history, history.type.known_shape[0] - draft.steps, draft.steps)


def _rows(stacked: Node, start: int, count: int) -> Node:
    index = ((start, count, 1), *((0, size, 1) for size in stacked.type.known_shape[1:]))
    return make_node(OPS["slice"], (stacked,), {"index": index})


def _settle_inputs(draft: Draft) -> None:
    """Drop inputs that the body does not read; give it constants, and each value once."""
    replacements: dict[Node, Node] = {}
    for carry in list(draft.carries):
        if carry.result is carry.node:  # never changes
            if carry.own is not None:
                draft.replaced[carry.own] = carry.initial
            draft.carries.remove(carry)
            draft.fixed.append(Slot(carry.node, carry.initial))
    for slot in list(draft.sequences):
        row = _row_of_broadcast(slot.outer)
        if row is not None:
            draft.sequences.remove(slot)
            draft.fixed.append(Slot(slot.node, row))
    for slots in (draft.sequences, draft.fixed):
        first: dict[Node, Node] = {}
        for slot in list(slots):
            value = slot.outer if slots is draft.fixed and is_known(slot.outer) else None
            if value is not None or slot.outer in first:
                replacements[slot.node] = first[slot.outer] if value is None else value
                slots.remove(slot)
            first.setdefault(slot.outer, slot.node)
    for state in draft.states:
        # In the order that they have: pruned again, a loop must come out the same.
        lags: dict[int, Node] = {}
        replacements.update((tap, lags.setdefault(lag, tap)) for lag, tap in zip(state.lags, state.taps, strict=True))
        state.lags, state.taps = list(lags), list(lags.values())
    replacements = {old: new for old, new in replacements.items() if old is not new}
    if replacements:
        draft.rewrite(replacements)
    read = set(toposort(draft.results()))
    draft.sequences = [slot for slot in draft.sequences if slot.node in read]
    draft.fixed = [slot for slot in draft.fixed if slot.node in read]
    for state in draft.states:
        kept = [(lag, tap) for lag, tap in zip(state.lags, state.taps, strict=True) if tap in read]
        state.lags, state.taps = [lag for lag, _ in kept], [tap for _, tap in kept]


def _row_of_broadcast(stacked: Node) -> Node | None:
    """The one row that all rows of an array are, if it is known that they are equal."""
    if stacked.op.name != "broadcast_to" or not stacked.shape[0]:
        return None
    inner, row = stacked.inputs[0], stacked.shape[1:]
    if len(inner.shape) == len(stacked.shape):
        if inner.shape[0] != 1:
            return None
        inner = make_node(OPS["reshape"], (inner,), {"shape": inner.shape[1:]})
    return inner if inner.shape == row else make_node(OPS["broadcast_to"], (inner,), {"shape": row})


def _shorten_states(draft: Draft, use: Use) -> None:
    """Make a carry of a state that is only read one step back, and of which no more than the last row is used."""
    for state in list(draft.states):
        if state.lags != [1] or draft.is_stood_for(state) or state.own is None or use.get(state.own):
            continue
        if state.own in use and not draft.is_plain:
            continue
        shape = state.initial.type.known_shape
        index = ((shape[0] - 1, 1, 1), *((0, size, 1) for size in shape[1:]))
        row = make_node(OPS["slice"], (state.initial,), {"index": index})
        carry = Carry(state.taps[0], make_node(OPS["reshape"], (row,), {"shape": shape[1:]}), state.result)
        draft.states.remove(state)
        draft.carries.append(carry)
        # Users read the last row alone, so that any row will do for the others.
        last = make_node(OPS["reshape"], (draft.stand_in(carry),), {"shape": (1, *shape[1:])})
        whole = (shape[0] + draft.steps, *shape[1:])
        draft.replaced[state.own] = make_node(OPS["broadcast_to"], (last,), {"shape": whole})
