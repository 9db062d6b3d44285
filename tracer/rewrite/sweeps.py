"""Loops of sweeps as something to rewrite: merged, and freed of what nobody needs and of what every step repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.node import INPUT, Node, blame, item_nodes, make_node
from tracer.graph.sweeps import Emitted, Fixed, SweepCarry, SweepDraft
from tracer.ops.while_loop import WHILE

Results = list[Node | None]
"""What replaces each output of a loop."""


def is_known(node: Node) -> bool:
    """Whether a value is a constant, perhaps behind views."""
    while node.op.family == "view":
        node = node.inputs[0]
    return node.is_constant


def invariant_work(heads: Sequence[Node], varying: set[Node]) -> list[Node]:
    """What the heads need that is computed, but of no varying value: worth computing once, before a loop."""
    order = toposort(heads)
    works = set()
    for node in order:
        if node not in varying and node.op is not INPUT and not node.is_constant:
            if node.op.family != "view" and any(item.op is INPUT or item in works for item in node.inputs):
                works.add(node)
            elif any(item in works for item in node.inputs):
                works.add(node)
    used = {item for node in order if node in varying for item in node.inputs}.union(heads)
    return [node for node in order if node in works and node in used]


def _heads(draft: SweepDraft) -> list[Node]:
    return [draft.condition, *(node for sweep in draft.sweeps for node in sweep.heads())]


def _carries(draft: SweepDraft) -> list[SweepCarry]:
    return [item for sweep in draft.sweeps for item in sweep.carries]


def _rebuilt(draft: SweepDraft, node: Node, replaced: dict[int, Node]) -> Results | None:
    """The outputs of the loop that a draft of a node has become; None if that is the node itself."""
    inputs, params = draft.build()
    with blame(node.line):
        new = make_node(WHILE, tuple(inputs), params)
        if new is node:
            return None
        replaced.update((item.own, made) for item, made in zip(_carries(draft), item_nodes(new), strict=True))
    return [replaced.get(place) for place in range(len(node.types))]


# --- pruning -----------------------------------------------------------------------------------------------------


def pruned(node: Node, use: Iterable[int]) -> Results | None:
    """Drop carries, emitted values, sweeps and inputs that nobody needs; `use` are the outputs that are read."""
    draft = SweepDraft(node.inputs, **node.params)
    replaced: dict[int, Node] = {}
    _settle(draft, replaced)
    _drop(draft, set(use))
    return _rebuilt(draft, node, replaced)


def _settle(draft: SweepDraft, replaced: dict[int, Node]) -> None:
    """Hand in what never changes as that, constants as such, and each value once."""
    for sweep in draft.sweeps:
        for item in [item for item in sweep.carries if item.result is item.node]:
            sweep.carries.remove(item)
            draft.fixed.append(Fixed(item.node, item.initial))
            replaced[item.own] = item.initial
    replacements: dict[Node, Node] = {}
    first: dict[Node, Node] = {}
    for slot in draft.fixed:
        known = slot.outer if is_known(slot.outer) else first.setdefault(slot.outer, slot.node)
        if known is not slot.node:
            replacements[slot.node] = known
    if replacements:
        draft.rewrite(replacements)
    same: dict[Node, Node] = {}
    moving, tape = [item.node for item in _carries(draft)], set(draft.tape())
    for sweep in draft.sweeps:
        varying = depends_on(sweep.heads(), [*moving, *tape])
        by_result: dict[Node, Emitted] = {}
        for emitted in sweep.emitted:
            kept = by_result.setdefault(emitted.result, emitted)
            if emitted.result not in varying or emitted.result in tape:
                same[emitted.slot] = emitted.result
            elif kept is not emitted:
                same[emitted.slot] = kept.slot
    while same:  # what replaces a slot may mention another
        draft.rewrite(same)
        above = set(toposort(_heads(draft)))
        same = {slot: node for slot, node in same.items() if slot in above}


def _drop(draft: SweepDraft, use: set[int]) -> None:
    carries = {item for item in _carries(draft) if item.own in use}
    emitted: set[Emitted] = set()
    while True:
        heads = [*(item.result for item in carries), *(item.result for item in emitted)]
        above = set(toposort([draft.condition, *heads]))
        more = {item for item in _carries(draft) if item.node in above} - carries
        also = {item for sweep in draft.sweeps for item in sweep.emitted if item.slot in above} - emitted
        if not more and not also:
            break
        carries |= more
        emitted |= also
    for sweep in draft.sweeps:
        sweep.carries = [item for item in sweep.carries if item in carries]
        sweep.emitted = [item for item in sweep.emitted if item in emitted]
    draft.sweeps = [draft.sweeps[0], *(sweep for sweep in draft.sweeps[1:] if sweep.heads())]
    draft.fixed = [slot for slot in draft.fixed if slot.node in above]


# --- before the loop ---------------------------------------------------------------------------------------------


def hoisted(node: Node) -> Results | None:
    """Compute what is the same at every step before the loop."""
    draft = SweepDraft(node.inputs, **node.params)
    heads = _heads(draft)
    varying = depends_on(heads, [*(item.node for item in _carries(draft)), *draft.tape()])
    chosen = invariant_work(heads, varying)
    if not chosen:
        return None
    outside = substitute(chosen, {slot.node: slot.outer for slot in draft.fixed})
    draft.rewrite({inner: draft.add_fixed(outer) for inner, outer in zip(chosen, outside, strict=True)})
    return _rebuilt(draft, node, {})


# --- merging -----------------------------------------------------------------------------------------------------


def merged(graph: Graph) -> Graph:
    """Read the results of a loop from another that computes the same and more, as derivatives of forward mode do."""
    loops = [node for node in graph.nodes() if node.op is WHILE]
    replacements: dict[Node, Node] = {}
    for node in loops:
        for other in loops:
            if other is node or other in replacements or len(other.types) <= len(node.types):
                continue
            found = _found_in(node, other)
            if found is not None and node not in toposort([other]):
                pairs = zip(item_nodes(node), found, strict=True)
                replacements.update(pairs)
                break
    return Graph(graph.inputs, substitute(graph.outputs, replacements)) if replacements else graph


def _found_in(node: Node, other: Node) -> list[Node] | None:
    """The outputs of a loop among those of another one; None if it does not compute all of them."""
    small, large = SweepDraft(node.inputs, **node.params), SweepDraft(other.inputs, **other.params)
    if len(small.sweeps) > len(large.sweeps):
        return None
    given = dict(zip((slot.node for slot in small.fixed), (slot.node for slot in large.fixed), strict=False))
    pairs = [(slot.outer, wider.outer) for slot, wider in zip(small.fixed, large.fixed, strict=False)]
    results: list[tuple[Node, Node]] = [(small.condition, large.condition)]
    places: dict[SweepCarry, int] = {}
    for sweep, wider in zip(small.sweeps, large.sweeps, strict=False):
        if sweep.backward != wider.backward or len(sweep.carries) > len(wider.carries):
            return None
        if len(sweep.emitted) > len(wider.emitted):
            return None
        for one, two in zip(sweep.carries, wider.carries, strict=False):
            given[one.node] = two.node
            pairs.append((one.initial, two.initial))
            results.append((one.result, two.result))
            places[two] = one.own
        for emitted, also in zip(sweep.emitted, wider.emitted, strict=False):
            given[emitted.slot] = also.slot
            results.append((emitted.result, also.result))
    if len(small.fixed) > len(large.fixed) or any(one is not two for one, two in pairs):
        return None
    if any(one.type != two.type for one, two in given.items()):
        return None
    if list(substitute([one for one, _ in results], given)) != [two for _, two in results]:
        return None
    made = item_nodes(other)
    chosen = {places[item]: made[number] for number, item in enumerate(_carries(large)) if item in places}
    return [chosen[number] for number in range(len(node.types))]
