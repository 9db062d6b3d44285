"""Arrays put together from pieces: writes into windows of a source, in layers that do not meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.lower.items import (
    Ints,
    Item,
    Region,
    Source,
    Value,
    broadcast_strides,
    squeezed,
    squeezed_strides,
    tidy_strides,
)

LARGE_COPY = 2048
"""Elements from which on it pays to copy only a part of an array, by several instructions."""
LARGEST_PIECE = 64
"""Maps that are looked at to see what a piece of an array is computed from."""
MOST_BOXES = 16
"""Boxes that tell where the writes of a layer are."""
BIJECTIONS = ("reshape", "transpose")
"""View ops that keep every element, so that a write can be moved from their result to their input."""


Box = tuple[tuple[int, int], ...]
"""First and last index, per axis."""


class Layer:
    """Writes to windows of a source that do not meet, and what was written before them.

    Attributes
    ----------
    boxes : list of tuples of (int, int)
        First and last index per axis of boxes that hold all windows.
    after, items : list of Item
        The layer before, and this one.
    scalar : numpy scalar or None
        What all elements hold before this layer, if that is known.
    covered : int
        Elements in all windows.
    hole : tuple of (int, int) or None
        Bounds of a window within the box that nothing has written to yet.
    """

    def __init__(self, box: Box, after: list[Item]) -> None:
        self.boxes, self.after = [box], after
        self.hole: Box | None = None
        self.items: list[Item] = []
        self.covered = 0
        self.scalar = after[0].operands[0].scalar if len(after) == 1 and after[0].stage < 0 else None

    @property
    def is_first(self) -> bool:
        """Whether nothing but a fill with a scalar comes before."""
        return not self.after or self.scalar is not None

    def is_free(self, box: Box) -> bool:
        """Whether no window of this layer can have an element in the box."""
        return all(
            any(low > last or high < first for (low, high), (first, last) in zip(box, other, strict=True))
            for other in self.boxes
        )

    def extend(self, box: Box) -> None:
        """Take in a box: as part of one with which it makes a larger one, or apart; many are taken as one."""
        for place, other in enumerate(self.boxes):
            pairs = [(a, b) for a, b in zip(other, box, strict=True) if a != b]
            if len(pairs) == 1 and (pairs[0][0][1] + 1 == pairs[0][1][0] or pairs[0][1][1] + 1 == pairs[0][0][0]):
                self.boxes[place] = _around(other, box)
                return
        self.boxes.append(box)
        if len(self.boxes) > MOST_BOXES:
            self.boxes = [reduce(_around, self.boxes)]


def _around(one: Box, other: Box) -> Box:
    """The smallest box that two boxes are in."""
    return tuple([(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(one, other, strict=True)])


class Assembly:
    """Collects items, those among them that write pieces of arrays.

    Attributes
    ----------
    items : list of Item
        In an order in which they could run.
    values : dict
        What every node seen so far is.
    uses : dict
        By how many nodes and outputs each node is read.
    sources : list of Source
        The computed ones.
    candidates : list of (Source, Source, Item)
        A source that starts as a copy of another one, that one, and the copy.
    """

    def __init__(self, order: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.values: dict[Node, Value] = {}
        self.items: list[Item] = []
        self.sources: list[Source] = []
        self.candidates: list[tuple[Source, Source, Item]] = []
        self.layers: dict[Source, Layer] = {}
        self.uses: dict[Node, int] = dict.fromkeys(order, 0)
        for node in order:
            for item in node.inputs:
                self.uses[item] += 1
        for node in outputs:
            self.uses[node] += 1

    # --- items ---

    def source(self, node: Node) -> Source:
        source = Source("computed", node.type.dtype, node.type.known_shape)
        self.sources.append(source)
        return source

    def add(self, item: Item, stage: int = 0) -> Item:
        """Enter an item: find its stage, and tell its operands who uses them."""
        direct: list[Item | None] = []
        fusable = item.kind != "opaque"
        domain = item.domain
        for operand in item.operands:
            source = operand.source
            maker = None
            if source is not None and source.kind == "computed":
                makers = source.makers
                if fusable and operand is source.flat and makers and makers[0].kind == "map":
                    maker = makers[0] if makers[0].domain == domain and len(makers) == 1 else None
                ready = source.stage
                if maker is None:
                    source.stored = True
                    ready += 1
                if ready > stage:
                    stage = ready
                users = source.users
                if not users or users[-1] is not item:
                    users.append(item)
            direct.append(maker)
        for earlier in item.after:
            stage = max(stage, earlier.stage + 1)
        item.direct = tuple(direct)
        item.stage = stage
        item.order = len(self.items)
        self.items.append(item)
        target = item.target
        target.stage = max(target.stage, stage)
        return item

    def operand(self, node: Node, shape: Ints) -> Value:
        """A node's value for an item over a shape that it broadcasts to: without axes of size 1."""
        value = self.values[node]
        source = value.source
        if source is None:
            return value
        own: Any = node.type.shape
        if value is source.value and own == shape:
            return source.flat
        strides = value.strides if own == shape else broadcast_strides(own, value.strides, shape)
        strides = squeezed_strides(shape, strides)
        flat = source.flat
        same = value.offset == 0 and strides == flat.strides and source.kind == "computed"
        return flat if same and squeezed(shape) == squeezed(source.shape) else Value(source, value.offset, strides)

    # --- arrays put together from pieces ---

    def assemble(self, node: Node) -> None:
        fill, regions = node.op.regions([item.type for item in node.inputs], **node.params)  # type: ignore[misc]
        if isinstance(fill, tuple):
            base = node.inputs[fill[1]]
            position, index, accumulate = regions[0]
            region = Region(tuple(index))
            if not accumulate and len(regions) == 1 and self.is_mostly_new(base, node.inputs[position], region):
                source = self.source(node)
                self.copy_around(node, source, self.values[base], region)
            else:
                source = self.continued(node, base)
        else:
            source = self.source(node)
            source.stored = True
            region = Region(tuple(regions[0][1]))
            if fill is not None and len(regions) == 1 and self.takes_most(region, node.type.size):
                zero = Value(None, 0, (), node.type.dtype.type(fill))
                written = self.values[node.inputs[regions[0][0]]].source
                self.copy_around(node, source, zero, region, 0 if written is None else written.stage)
            elif fill is not None:
                self.fill(node, source, node.type.dtype.type(fill))
        self.values[node] = source.value
        for position, index, accumulate in regions:
            self.region(node, source, node.inputs[position], Region(tuple(index)), accumulate)

    def fill(self, node: Node, source: Source, scalar: np.generic) -> None:
        item = Item("write", node, squeezed(source.shape), (Value(None, 0, (), scalar),), source)
        source.makers = [self.add(item, stage=-1)]

    def continued(self, node: Node, base: Node) -> Source:
        """The source in which a node replaces some elements of another: the very same if nobody else needs that."""
        value = self.values[base]
        old = value.source
        if old is not None and old.is_computed and value is old.value and old.parent is None:
            if self.uses[base] == 1:
                old.stored = True
                return old
        source = self.source(node)
        source.stored = True
        if old is None:
            assert value.scalar is not None
            self.fill(node, source, value.scalar)
            return source
        copy = self.write(node, source, self.operand(base, source.shape), source.shape, 0, source.strides, after=[])
        if value is old.value and old.is_computed:
            self.candidates.append((source, old, copy))
        return source

    def is_mostly_new(self, base: Node, piece: Node, region: Region) -> bool:
        """Whether to leave the base alone and copy only what is around a window that takes most of it.

        That is so if the base could not be written in place: it is an argument, or a part of something, the piece is
        computed point by point from elements other than those it replaces, or something else reads these too.
        """
        value = self.values[base]
        old = value.source
        if old is None or not self.takes_most(region, base.type.size):
            return False
        if not old.is_computed or value is not old.value:
            return True
        window = region.window(old.strides)
        reads: dict[Node, int] = {piece: self.uses[piece]}
        moving: dict[Node, bool] = {}

        def depends(node: Node) -> bool:
            """Whether a node is computed point by point from the old elements."""
            found = self.values[node]
            if found.source is old:
                return True
            if node not in moving:
                moving[node] = False
                if node.op.family == "elementwise" and len(moving) < LARGEST_PIECE:
                    for item in node.inputs:
                        reads[item] = reads.get(item, 0) + 1
                    found_below = [depends(item) for item in node.inputs]  # all are visited, for `reads`
                    moving[node] = any(found_below)
            return moving[node]

        depends(piece)
        for item, count in reads.items():
            found = self.values[item]
            if found.source is old and (found.offset, found.strides) != window:
                return True
            if depends(item) and self.uses[item] > count:
                return True
        return False

    def takes_most(self, region: Region, size: int) -> bool:
        """Whether a window is dense, and takes most of a large array."""
        unit = all(abs(step) == 1 for _, _, step in region.slices)
        return unit and size >= LARGE_COPY and 2 * math.prod(region.shape) >= size

    def copy_around(self, node: Node, source: Source, value: Value, region: Region, stage: int = 0) -> None:
        """Copy all of a value, an array or a scalar, but a window, slab by slab; not before a stage."""
        inner, items = region.bounds(), []
        for axis, (low, high) in enumerate(inner):
            for start, stop in ((0, low), (high + 1, source.shape[axis])):
                outer = ((0, size, 1) for size in source.shape[axis + 1 :])
                slab = Region((*((a, b - a + 1, 1) for a, b in inner[:axis]), (start, stop - start, 1), *outer))
                if 0 not in slab.shape:
                    piece = value
                    if value.source is not None:
                        offset, strides = slab.window(value.strides)
                        piece = Value(value.source, value.offset + offset, squeezed_strides(slab.shape, strides))
                    window = slab.window(source.strides)
                    items.append(self.write(node, source, piece, slab.shape, *window, after=[], stage=stage))
        source.stored = True
        source.makers = items
        layer = self.layers[source] = Layer(tuple((0, size - 1) for size in source.shape), [])
        layer.items, layer.hole = items, inner

    def region(self, node: Node, source: Source, piece: Node, region: Region, accumulate: bool) -> None:
        """Write a piece into a window of a source."""
        if 0 in region.shape:
            return
        layer = self.layer(source, region)
        offset, strides = region.window(source.strides)
        shape, alone = region.shape, False
        if piece.type.shape == shape:
            piece, offset, strides, alone = self.pulled_back(piece, offset, strides)
            shape = piece.type.known_shape
        plain = not accumulate or layer.scalar == 0
        if plain and alone and layer.is_first and self.redirect(piece, source, offset, strides):
            maker = self.values[piece].source.makers[0]  # type: ignore[union-attr]
            maker.after = layer.after
            layer.items.append(maker)
        else:
            value = self.operand(piece, shape)
            item = self.write(node, source, value, shape, offset, strides, layer.after)
            if accumulate and layer.scalar is not None:
                item.operands, item.direct = (value, Value(None, 0, (), layer.scalar)), (*item.direct, None)
            else:
                item.accumulate = accumulate
            layer.items.append(item)
        source.makers = layer.items
        layer.covered += math.prod(region.shape)
        if layer.is_first and layer.after and layer.covered == math.prod(source.shape):
            layer.after[0].kind = "dead"
            layer.after.clear()

    def layer(self, source: Source, region: Region) -> Layer:
        """The layer of writes that a window belongs to: windows of one layer cannot meet, so any order will do."""
        bounds = region.bounds()
        layer = self.layers.get(source)
        if layer is not None and layer.hole == bounds:
            layer.hole = None
        elif layer is not None and layer.is_free(bounds):
            layer.extend(bounds)
        else:
            layer = self.layers[source] = Layer(bounds, source.makers)
        return layer

    def write(
        self,
        node: Node,
        source: Source,
        value: Value,
        shape: Ints,
        offset: int,
        strides: Ints,
        after: list[Item],
        stage: int = 0,
    ) -> Item:
        item = Item("write", node, squeezed(shape), (value,), source)
        item.offset, item.strides, item.after = offset, squeezed_strides(shape, strides), after
        source.stored = True
        self.add(item, stage)
        if not source.makers:
            source.makers = [item]
        return item

    def pulled_back(self, node: Node, offset: int, strides: Ints) -> tuple[Node, int, Ints, bool]:
        """Where to write what a view rearranges so that the view itself takes the window (offset, strides).

        The last of the results says that nothing else uses the value or the views of it on the way.
        """
        start = node, offset, strides, False
        alone = True
        while node.op.name in BIJECTIONS:
            value, inner = self.values[node], node.inputs[0]
            if value.source is None or not value.source.is_computed or value is value.source.value:
                break
            if node.op.name == "transpose":
                axes = node.params["axes"]
                strides = tuple(strides[axes.index(axis)] for axis in range(len(axes)))
            else:
                moved = node.op.layout(node.type.shape, strides, offset, shape=inner.type.shape)  # type: ignore[misc]
                if moved is None:
                    return start
                strides, offset = tidy_strides(inner.type.known_shape, moved[0]), moved[1]
            alone = alone and self.uses[node] == 1
            node = inner
        source = self.values[node].source
        return (node, offset, strides, alone) if source and self.values[node] is source.value else start

    def redirect(self, node: Node, target: Source, offset: int, strides: Ints) -> bool:
        """Let the only instruction that makes a value put it straight into a window of another source."""
        value = self.values[node]
        source = value.source
        if source is None or not source.is_computed or value is not source.value or source.users:
            return False
        if self.uses[node] != 1 or source.parent is not None or source.is_output or len(source.makers) != 1:
            return False
        maker = source.makers[0]
        if (
            maker.node.op.higher_order
            or source not in maker.targets
            or maker.kind not in ("opaque", "reduce")
            or maker.after
        ):
            return False
        source.parent = (target, offset, strides)
        target.stage = max(target.stage, source.stage)
        return True
