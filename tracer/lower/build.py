"""Turns a graph into items of work over sources: views become strides, assembled arrays become writes into windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.lower.assemble import Assembly
from tracer.lower.items import (
    Ints,
    Item,
    Source,
    Value,
    broadcast_strides,
    squeezed,
    tidy_strides,
)
from tracer.types import contiguous_strides, element_strides

Layout = tuple[Ints, Ints]
"""Shape and strides, in elements, of an argument."""
HasKernel = Callable[[str, np.dtype[Any], np.dtype[Any]], bool]


def assumed_kernel(kernel: str, dtype: np.dtype[Any], out: np.dtype[Any]) -> bool:
    """What is taken to have no kernel when no executor is asked."""
    return not (dtype.kind == "c" and kernel in ("power", "arctan2", "hypot", "cbrt", "logaddexp"))


class Builder(Assembly):
    """Visits the nodes of a graph, inputs first, and collects the items that compute them."""

    def __init__(self, graph: Graph, layouts: Sequence[Layout] | None, has_kernel: HasKernel | None) -> None:
        self.has_kernel = has_kernel or assumed_kernel
        self.kernels: dict[tuple[str, np.dtype[Any], np.dtype[Any]], bool] = {}
        self.constants: list[Source] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.order = graph.nodes()
        super().__init__(self.order, graph.outputs)
        self.arguments = [self.argument(node, number, layouts) for number, node in enumerate(graph.inputs)]
        self.parts: dict[Node, tuple[Source, ...]] = {}
        self.copies: dict[Node, tuple[Node, Source, Item]] = {}
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
            "cond": self.nested,
            "body": self.nested,
            "while_loop": lambda node: self.loop(node, node.inputs[: len(node.types)], node.inputs[len(node.types) :]),
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
            self.values[node] = self.copied(node, inner)
            return
        strides, offset = tidy_strides(new, moved[0]), moved[1]
        if shape == new and (offset, strides) == (value.offset, value.strides):
            self.same(node, inner)
        else:
            self.values[node] = Value(value.source, offset, strides)

    def copied(self, node: Node, inner: Node) -> Value:
        """The value of a node that is a reshaped copy of another: one copy serves all, while nothing changes it."""
        shape = inner.type.known_shape
        found = self.copies.get(inner)
        if found is not None and found[1].makers == [found[2]]:
            self.uses[found[0]] += 1  # so that it is not written in place
            return Value(found[1], 0, contiguous_strides(node.type.known_shape))
        source = self.source(node)
        copy = self.write(node, source, self.operand(inner, shape), shape, 0, contiguous_strides(shape), after=[])
        self.copies[inner] = node, source, copy
        return source.value

    def same(self, node: Node, other: Node) -> None:
        """A node is the very value of another one; whoever uses either uses both."""
        self.values[node] = self.values[other]
        self.uses[node] += self.uses[other] - 1

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
        frame = node.params["frame"]
        arguments = frame.arguments(node.inputs)
        read = [*arguments.sequences, *arguments.fixed, *[arguments.count] * frame.counted]
        self.loop(node, [*arguments.initials, *arguments.carries], read)

    def loop(self, node: Node, initials: Sequence[Node], read: Sequence[Node]) -> None:
        """A loop that reads some of its inputs, and changes what starts as others."""
        sources = self.sources_of(node)
        first: list[Item] = []
        for source, initial in zip(sources, initials, strict=False):
            shape = initial.type.known_shape
            if 0 not in shape:
                first.append(self.write(node, source, self.operand(initial, shape), shape, 0, source.strides, after=[]))
        operands = tuple(self.in_memory(item, item.type.known_shape) for item in read)
        self.several(node, sources, operands, first)

    def nested(self, node: Node) -> None:
        """A body, or one of two."""
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
