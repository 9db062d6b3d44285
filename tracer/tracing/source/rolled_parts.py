"""Parts of rows: what the body of a rolled loop reads and writes of a row becomes a read and a write of the whole row.

`u[i, 1:-1]` is recorded as the row `i` of a part of `u`. As a part of the row `i` of `u` it shows that a step writes
into nothing but its own row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import rebuild, toposort
from tracer.graph.node import Node, make_node
from tracer.graph.op import OPS
from tracer.ops.indexing import GATHER, SCATTER_SET

Tables = Mapping[Node, Any]


def of_whole_rows(heads: Sequence[Node], tables: Tables) -> tuple[Node, ...]:
    """The same nodes, with reads and writes of whole rows where they are of parts of rows.

    `tables` has the numbers that indices stand for, step by step.
    """
    if not any(node.op is SCATTER_SET for node in toposort(heads)):
        return tuple(heads)

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op.name == "transpose" and _is_in_order(node.params["axes"]):
            return inputs[0]
        if node.op is GATHER and len(inputs) == 2 and inputs[1] in tables and not inputs[1].shape:
            return _row(inputs[0], 0, inputs[1], tables)
        if node.op is SCATTER_SET and len(inputs) == 3 and inputs[0].op is SCATTER_SET:
            if inputs[0].inputs[2:] == inputs[2:]:  # written twice
                return make_node(SCATTER_SET, (inputs[0].inputs[0], *inputs[1:]))
        if node.op.name == "slice_set":
            return _written(inputs[0], inputs[1], node.params["index"], tables)
        return None

    return rebuild(heads, transform)


def _is_in_order(axes: Sequence[int]) -> bool:
    return tuple(axes) == tuple(range(len(axes)))


def _row(node: Node, axis: int, index: Node, tables: Tables) -> Node:
    """What stands along an axis of a node at an index: looked for in what it is a part of, or was written into."""
    name = node.op.name
    if name == "transpose":
        axes = node.params["axes"]
        source = axes[axis]
        found = _row(node.inputs[0], source, index, tables)
        return _transposed(found, [other - (other > source) for other in axes if other != source])
    if name == "slice" and _is_whole(node.params["index"][axis], node.inputs[0].type.known_shape[axis]):
        return _part(_row(node.inputs[0], axis, index, tables), _without(node.params["index"], axis))
    if name == "reshape" and axis == 0 and node.inputs[0].shape[:1] == node.shape[:1]:
        found = _row(node.inputs[0], 0, index, tables)
        return make_node(OPS["reshape"], (found,), {"shape": node.shape[1:]})
    if name == "slice_set" and _is_whole(node.params["index"][axis], node.type.known_shape[axis]):
        base, part = (_row(item, axis, index, tables) for item in node.inputs)
        own = _without(node.params["index"], axis)
        return base if part is _part(base, own) else make_node(OPS["slice_set"], (base, part), {"index": own})
    if node.op is SCATTER_SET and axis == 0 and len(node.inputs) == 3 and not node.inputs[2].shape:
        if node.inputs[2] is index:
            return node.inputs[1]
        if _never_meet(tables.get(node.inputs[2]), tables[index]):
            return _row(node.inputs[0], 0, index, tables)
    return make_node(GATHER, (_axis_first(node, axis), index))


def _written(base: Node, piece: Node, index: Sequence[Any], tables: Tables) -> Node | None:
    """A node with a part replaced, as one with a row replaced; None if more than a row of the part is another."""
    part, views = piece, []
    while part.op.name in ("transpose", "reshape"):
        views.append(part)
        part = part.inputs[0]
    if part.op is not SCATTER_SET or len(part.inputs) != 3 or part.inputs[2] not in tables or part.inputs[2].shape:
        return None
    old, axis = part.inputs[0], 0
    for view in reversed(views):  # what was read is the same views the other way round
        if old.op is not view.op or old.inputs[0].shape != view.shape:
            return None
        if view.op.name == "transpose":
            axes = view.params["axes"]
            if [old.params["axes"][place] for place in axes] != list(range(len(axes))):
                return None
            axis = list(axes).index(axis)
        elif axis or old.shape[:1] != old.inputs[0].shape[:1]:
            return None
        old = old.inputs[0]
    if old is not _part(base, index) or not _is_whole(index[axis], base.type.known_shape[axis]):
        return None
    place = part.inputs[2]
    own = (_row(base, axis, place, tables), _row(piece, axis, place, tables))
    row = make_node(OPS["slice_set"], own, {"index": _without(index, axis)})
    rows = _axis_first(base, axis)
    if rows.op is SCATTER_SET and rows.inputs[2:] == (place,):
        rows = rows.inputs[0]
    made = make_node(SCATTER_SET, (rows, row, place))
    return _transposed(made, [*range(1, axis + 1), 0, *range(axis + 1, len(base.shape))])


def _axis_first(node: Node, axis: int) -> Node:
    return _transposed(node, [axis, *(other for other in range(len(node.shape)) if other != axis)])


def _transposed(node: Node, axes: Sequence[int]) -> Node:
    """A transpose, of what a transpose is of."""
    if node.op.name == "transpose":
        axes = [node.params["axes"][axis] for axis in axes]
        node = node.inputs[0]
    return node if _is_in_order(axes) else make_node(OPS["transpose"], (node,), {"axes": tuple(axes)})


def _part(node: Node, index: Sequence[Any]) -> Node:
    if all(_is_whole(part, size) for part, size in zip(index, node.type.known_shape, strict=True)):
        return node
    return make_node(OPS["slice"], (node,), {"index": tuple(index)})


def _without(index: Sequence[Any], axis: int) -> tuple[Any, ...]:
    return (*index[:axis], *index[axis + 1 :])


def _is_whole(part: tuple[int, int, int], size: int) -> bool:
    return tuple(part) == (0, size, 1)


def _never_meet(one: Any, other: Any) -> bool:
    """Whether two indices differ at every step."""
    return one is not None and bool(np.all(np.asarray(one) != np.asarray(other)))
