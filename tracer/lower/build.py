"""Turns a graph into items of work over sources: views become strides, assembled arrays become writes into windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
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
from tracer.types import contiguous_strides, element_strides

Layout = tuple[Ints, Ints]
"""Shape and strides, in elements, of an argument."""
HasKernel = Callable[[str, np.dtype[Any], np.dtype[Any]], bool]

LARGE_COPY = 2048
"""Elements from which on it pays to copy only a part of an array, by several instructions."""
LARGEST_PIECE = 64
"""Maps that are looked at to see what a piece of an array is computed from."""
BIJECTIONS = ("reshape", "transpose")
"""View ops that keep every element, so that a write can be moved from their result to their input."""


def assumed_kernel(kernel: str, dtype: np.dtype[Any], out: np.dtype[Any]) -> bool:
    """What is taken to have no kernel when no executor is asked."""
    return not (dtype.kind == "c" and kernel in ("power", "arctan2", "hypot", "cbrt", "logaddexp"))


class Layer:
    """Writes to windows of a source that do not meet, and what was written before them.

    Attributes
    ----------
    box : tuple of (int, int)
        First and last index of all windows, per axis.
    after, items : list of Item
        The layer before, and this one.
    scalar : numpy scalar or None
        What all elements hold before this layer, if that is known.
    covered : int
        Elements in all windows.
    """

    def __init__(self, box: tuple[tuple[int, int], ...], after: list[Item]) -> None:
        self.box, self.after = box, after
        self.items: list[Item] = []
        self.covered = 0
        self.scalar = after[0].operands[0].scalar if len(after) == 1 and after[0].stage < 0 else None

    @property
    def is_first(self) -> bool:
        """Whether nothing but a fill with a scalar comes before."""
        return not self.after or self.scalar is not None


class Builder:
    """Visits the nodes of a graph, inputs first, and collects the items that compute them.

    Attributes
    ----------
    items : list of Item
        In an order in which they could run.
    sources : list of Source
        The computed ones.
    candidates : list of (Source, Source, Item)
        A source that starts as a copy of another one, that one, and the copy.
    """

    def __init__(self, graph: Graph, layouts: Sequence[Layout] | None, has_kernel: HasKernel | None) -> None:
        self.has_kernel = has_kernel or assumed_kernel
        self.kernels: dict[tuple[str, np.dtype[Any], np.dtype[Any]], bool] = {}
        self.values: dict[Node, Value] = {}
        self.items: list[Item] = []
        self.sources: list[Source] = []
        self.constants: list[Source] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.candidates: list[tuple[Source, Source, Item]] = []
        self.layers: dict[Source, Layer] = {}
        self.order = graph.nodes()
        self.uses: dict[Node, int] = dict.fromkeys(self.order, 0)
        for node in self.order:
            for item in node.inputs:
                self.uses[item] += 1
        for node in graph.outputs:
            self.uses[node] += 1
        self.arguments = [self.argument(node, number, layouts) for number, node in enumerate(graph.inputs)]
        self.parts: dict[Node, tuple[Source, ...]] = {}
        handlers = self.handlers()
        for node in self.order:
            handlers.get(node.op.family, self.call)(node)
        self.outputs = [self.output(node, number) for number, node in enumerate(graph.outputs)]
        self.items = [item for item in self.items if item.kind != "dead"]

    def handlers(self) -> dict[str, Callable[[Node], None]]:
        return {
            "leaf": self.leaf,
            "item": self.item,
            "elementwise": self.elementwise,
            "reduction": self.reduction,
            "view": self.view,
            "assemble": self.assemble,
            "matmul": self.opaque,
            "gather": self.opaque,
            "scatter": self.scatter,
            "cumulative": self.opaque,
            "argreduce": self.opaque,
            "scan": self.scan,
            "cond": self.cond,
        }

    # --- leaves and views ---

    def argument(self, node: Node, number: int, layouts: Sequence[Layout] | None) -> Source:
        shape = node.type.known_shape
        strides = contiguous_strides(shape) if layouts is None else layouts[number][1]
        source = Source("argument", node.type.dtype, shape, strides, number)
        self.values[node] = source.value
        return source

    def leaf(self, node: Node) -> None:
        if node.is_constant:
            array = node.value
            self.values[node] = Value(None, 0, (), array.flat[0]) if array.size == 1 else self.constant(array)
        elif node not in self.values:
            raise ValueError(f"{node!r} is used but is not an input of the graph")

    def constant(self, array: np.ndarray[Any, Any]) -> Value:
        source = Source("constant", array.dtype, array.shape, element_strides(array), len(self.arrays))
        self.arrays.append(array)
        self.constants.append(source)
        return source.value

    def view(self, node: Node) -> None:
        inner = node.inputs[0]
        value = self.values[inner]
        if value.source is None:
            self.values[node] = value
            return
        shape, new = inner.type.known_shape, node.type.known_shape
        moved = node.op.layout(shape, value.strides, value.offset, **node.params) if 0 not in new else ((), 0)  # type: ignore[misc]
        if moved is None:
            source = self.source(node)
            self.write(node, source, self.operand(inner, shape), shape, 0, contiguous_strides(shape), after=[])
            self.values[node] = source.value
            return
        strides, offset = tidy_strides(new, moved[0]), moved[1]
        if shape == new and (offset, strides) == (value.offset, value.strides):
            self.same(node, inner)
        else:
            self.values[node] = Value(value.source, offset, strides)

    def same(self, node: Node, other: Node) -> None:
        """A node is the very value of another one; whoever uses either uses both."""
        self.values[node] = self.values[other]
        self.uses[node] += self.uses[other] - 1

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

    def in_memory(self, node: Node, shape: Ints) -> Value:
        """A node's value for an opaque item, with all axes, over a shape that it broadcasts to."""
        value = self.values[node]
        own: Any = node.type.shape
        if value.source is None:
            return Value(self.constant(np.array(value.scalar)).source, 0, (0,) * len(shape))
        return value if own == shape else value._replace(strides=broadcast_strides(own, value.strides, shape))

    # --- families ---

    def elementwise(self, node: Node) -> None:
        inputs = node.inputs
        kernel = node.op.kernel or ""
        dtype = inputs[-1].type.dtype
        out = node.type.dtype
        if kernel == "cast" and dtype == out:
            return self.same(node, inputs[0])
        key = (kernel, dtype, out)
        known = self.kernels.get(key)
        if known is None:
            known = self.kernels[key] = self.has_kernel(*key)
        uniform = all(item.type.dtype == dtype for item in inputs[kernel == "where" :])
        if not (known and uniform):
            return self.call(node)
        if kernel == "add" and self.accumulate(node):
            return None
        shape = node.type.known_shape
        source = self.source(node)
        operands = tuple([self.operand(item, shape) for item in inputs])
        source.makers.append(self.add(Item("map", node, squeezed(shape), operands, source)))
        self.values[node] = source.value
        return None

    def accumulate(self, node: Node) -> bool:
        """Turn `sum + a @ b`, where both die here and the sum is in memory anyway, into a product that adds to it."""
        if node.type.dtype.kind not in "fc":
            return False
        for product, total in (node.inputs, node.inputs[::-1]):
            if product.op.family != "matmul" or product is total or product.type.shape != total.type.shape:
                continue
            value = self.values[total]
            source, made = value.source, self.values[product].source
            if source is None or made is None or self.uses[product] != 1 or self.uses[total] != 1:
                continue
            if value is not source.value or not source.makers or source.makers[0].kind == "map":
                continue
            if made.makers[0].kind != "opaque" or made.makers[0].accumulate:
                continue
            old = made.makers[0]
            old.kind = "dead"
            new = Item("opaque", product, old.domain, old.operands, source)
            new.accumulate = True
            new.after = source.makers
            source.makers = [self.add(new)]
            self.layers.pop(source, None)
            self.values[node] = value
            return True
        return False

    def reduction(self, node: Node) -> None:
        inner = node.inputs[0]
        dtype = inner.type.dtype
        kind = node.op.kernel or ""
        if dtype != node.type.dtype or (dtype.kind == "c" and kind in ("max", "min")):
            return self.call(node)
        source = self.source(node)
        source.stored = True
        shape = inner.type.known_shape
        source.makers.append(self.add(Item("reduce", node, squeezed(shape), (self.operand(inner, shape),), source)))
        self.values[node] = source.value
        return None

    def opaque(self, node: Node) -> None:
        """An instruction of its own kind, which reads and writes memory."""
        if not node.has_items:
            return self.instruction(node, self.source(node), self.opaque_operands(node))
        return self.several(node, self.sources_of(node), self.opaque_operands(node), [])

    def sources_of(self, node: Node) -> tuple[Source, ...]:
        """The sources of a node with several outputs."""
        sources = tuple([Source("computed", own.dtype, own.known_shape) for own in node.types])
        self.sources += sources
        self.parts[node] = sources
        return sources

    def several(self, node: Node, sources: tuple[Source, ...], operands: tuple[Value, ...], after: list[Item]) -> None:
        """An instruction that makes several sources."""
        item = Item("opaque", node, (), operands, sources[0])
        item.targets, item.after = sources, after
        self.add(item)
        for source in sources:
            source.stored, source.makers, source.stage = True, [item], item.stage

    def scan(self, node: Node) -> None:
        """A loop over a body. What states and carries start with is written to where they will be."""
        sources, frame = self.sources_of(node), node.params["frame"]
        arguments = frame.arguments(node.inputs)
        first: list[Item] = []
        for source, initial in zip(sources, [*arguments.initials, *arguments.carries], strict=False):
            shape = initial.type.known_shape
            if 0 not in shape:
                first.append(self.write(node, source, self.operand(initial, shape), shape, 0, source.strides, after=[]))
        read = [*arguments.sequences, *arguments.fixed, *[arguments.count] * frame.counted]
        operands = tuple(self.in_memory(item, item.type.known_shape) for item in read)
        self.several(node, sources, operands, first)

    def cond(self, node: Node) -> None:
        """One of two bodies."""
        operands = tuple(self.in_memory(item, item.type.known_shape) for item in node.inputs)
        self.several(node, self.sources_of(node), operands, [])

    def item(self, node: Node) -> None:
        """One output of an instruction that has several."""
        self.values[node] = self.parts[node.inputs[0]][node.params["index"]].value

    call = opaque

    def opaque_operands(self, node: Node) -> tuple[Value, ...]:
        inputs = node.inputs
        shapes: list[Any] = [item.type.shape for item in inputs]
        if node.op.family == "matmul":
            batch = node.type.shape[:-2]
            shapes = [(*batch, *shape[-2:]) for shape in shapes]
        elif node.op.family in ("gather", "scatter"):
            first = 1 if node.op.family == "gather" else 2
            common = np.broadcast_shapes(*shapes[first:])
            shapes[first:] = [common] * (len(shapes) - first)
            if first == 2:
                shapes[1] = (*common, *shapes[0][len(shapes) - first :])
        return tuple(self.in_memory(item, shape) for item, shape in zip(inputs, shapes, strict=True))

    def instruction(self, node: Node, source: Source, operands: tuple[Value, ...], after: Sequence[Item] = ()) -> None:
        item = Item("opaque", node, node.type.known_shape, operands, source)
        item.after = list(after)
        source.stored = True
        source.makers = [self.add(item)]
        self.layers.pop(source, None)
        self.values[node] = source.value

    def scatter(self, node: Node) -> None:
        operands = self.opaque_operands(node)[1:]
        source = self.continued(node, node.inputs[0])
        self.instruction(node, source, operands, source.makers)

    # --- arrays put together from pieces ---

    def assemble(self, node: Node) -> None:
        fill, regions = node.op.regions([item.type for item in node.inputs], **node.params)  # type: ignore[misc]
        if isinstance(fill, tuple):
            base = node.inputs[fill[1]]
            position, index, accumulate = regions[0]
            region = Region(tuple(index))
            if not accumulate and len(regions) == 1 and self.is_mostly_new(base, node.inputs[position], region):
                source = self.source(node)
                self.copy_around(node, source, base, region)
            else:
                source = self.continued(node, base)
        else:
            source = self.source(node)
            source.stored = True
            if fill is not None:
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

        That is so if the base could not be written in place: it is an argument, or the piece is computed point by
        point from elements other than those it replaces.
        """
        value, size = self.values[base], base.type.size
        old = value.source
        unit = all(abs(step) == 1 for _, _, step in region.slices)
        if old is None or not unit or size < LARGE_COPY or 2 * math.prod(region.shape) < size:
            return False
        if not old.is_computed:
            return True
        window = region.window(old.strides)
        pending = [self.values[piece]]
        for _ in range(LARGEST_PIECE):
            if not pending:
                break
            source = pending.pop().source
            for maker in source.makers if source is not None else ():
                if maker.kind == "map" and maker.target is source:
                    for operand in maker.operands:
                        if operand.source is old and (operand.offset, operand.strides) != window:
                            return True
                    pending.extend(maker.operands)
        return False

    def copy_around(self, node: Node, source: Source, base: Node, region: Region) -> None:
        """Copy all of a base but a window, slab by slab."""
        value = self.values[base]
        assert value.source is not None
        inner, items = region.bounds(), []
        for axis, (low, high) in enumerate(inner):
            for start, stop in ((0, low), (high + 1, source.shape[axis])):
                outer = ((0, size, 1) for size in source.shape[axis + 1 :])
                slab = Region((*((a, b - a + 1, 1) for a, b in inner[:axis]), (start, stop - start, 1), *outer))
                if 0 not in slab.shape:
                    offset, strides = slab.window(value.strides)
                    strides = squeezed_strides(slab.shape, strides)
                    piece = Value(value.source, value.offset + offset, strides)
                    items.append(self.write(node, source, piece, slab.shape, *slab.window(source.strides), after=[]))
        source.stored = True
        source.makers = items

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
        if layer is not None and any(b[1] < a[0] or a[1] < b[0] for a, b in zip(layer.box, bounds, strict=True)):
            pairs = zip(layer.box, bounds, strict=True)
            layer.box = tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)
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
    ) -> Item:
        item = Item("write", node, squeezed(shape), (value,), source)
        item.offset, item.strides, item.after = offset, squeezed_strides(shape, strides), after
        source.stored = True
        self.add(item)
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

    # --- outputs ---

    def output(self, node: Node, number: int) -> Source:
        """Give a node's value the memory of an output: its own memory if that can be it, or a copy."""
        value = self.values[node]
        source = value.source
        shape = node.type.known_shape
        plain = value.offset == 0 and value.strides == contiguous_strides(shape)
        if source is not None and source.is_computed and not source.is_output and source.parent is None:
            if plain and math.prod(shape) == math.prod(source.shape):
                source.index, source.output_shape, source.stored = number, shape, True
                return source
        target = self.source(node)
        target.index, target.stored = number, True
        piece, offset, strides, alone = self.pulled_back(node, 0, target.strides)
        if alone and self.redirect(piece, target, offset, strides):
            target.makers = self.values[piece].source.makers  # type: ignore[union-attr]
        else:
            shape = piece.type.known_shape
            self.write(node, target, self.operand(piece, shape), shape, offset, strides, after=[])
        return target
