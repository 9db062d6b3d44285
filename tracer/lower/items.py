"""What lowering works on between the graph and the program: values in memory, and the pieces of work that make them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.records import NamedTuple
from tracer.types import contiguous_strides

Ints = tuple[int, ...]
NEVER = 1 << 60
"""A stage that no item has."""


class Value(NamedTuple):
    """A node's value as a window on a source, over the node's own shape; or one scalar, without a source."""

    source: Source | None
    offset: int
    strides: Ints
    scalar: np.generic | None = None


class Source:
    """An array that may get memory of its own: an argument, a constant, or something computed.

    Attributes
    ----------
    kind : {"argument", "constant", "computed"}
    index : int
        Which argument or constant; the output that it is returned as, or -1.
    dtype, shape, strides :
        Of the array; a computed one is C-contiguous.
    value : Value
        The whole of it; a node with this very value is the source itself and not a view of it.
    flat : Value
        The same over the shape without axes of size 1, as items see it.
    makers : list of Item
        The items that must have run before it may be read; those that write first are `after` of the later ones.
    users : list of Item
        The items that read it, each once.
    stage : int
        The stage of its last maker; -1 if nothing computes it.
    stored : bool
        Whether it must be in memory; otherwise it may live in the registers of one loop.
    output_shape : tuple of int
        Shape under which it is returned.
    parent : (Source, int, tuple of int) or None
        It is written straight into a window (offset, strides) of another source and never read itself.
    base : Source or None
        It continues in the memory of this source, whose elements it replaces.
    replaced_at : int
        The stage from which its memory holds another source.
    """

    __slots__ = (
        "base",
        "dtype",
        "flat",
        "index",
        "kind",
        "makers",
        "output_shape",
        "parent",
        "replaced_at",
        "shape",
        "stage",
        "stored",
        "strides",
        "users",
        "value",
    )

    def __init__(
        self, kind: str, dtype: np.dtype[Any], shape: Ints, strides: Ints | None = None, index: int = -1
    ) -> None:
        self.kind, self.dtype, self.shape, self.index = kind, dtype, shape, index
        self.strides = contiguous_strides(shape) if strides is None else strides
        self.value = self.flat = Value(self, 0, self.strides)
        if 1 in shape:
            self.flat = Value(self, 0, squeezed_strides(shape, self.strides))
        self.makers: list[Item] = []
        self.users: list[Item] = []
        self.stage = -1
        self.stored = kind != "computed"
        self.output_shape = shape
        self.parent: tuple[Source, int, Ints] | None = None
        self.base: Source | None = None
        self.replaced_at = NEVER

    @property
    def is_computed(self) -> bool:
        return self.kind == "computed"

    @property
    def is_output(self) -> bool:
        return self.kind == "computed" and self.index >= 0

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Item:
    """One piece of work, at every point of `domain`: a scalar operation, a reduction, a write, or an instruction.

    Attributes
    ----------
    kind : {"map", "reduce", "write", "opaque"}
        A map gives a register; a reduce folds its operand into `target`; a write stores its operand, or the sum of
        two, through the window (offset, strides) of `target`, added to what is there if `accumulate`.
    node : Node
        The node that it computes, wholly or in part.
    domain : tuple of int
        The shape of the loop it is part of, without axes of size 1 (opaque: the shape of the node).
    operands : tuple of Value
        Over the domain (opaque: over shapes of their own).
    direct : tuple of (Item or None)
        For each operand the map that makes it point by point over the same domain, so that it can stay in a register.
    target : Source
        What it makes.
    targets : tuple of Source
        All that it makes: an opaque item may have several outputs.
    after : list of Item
        The items that wrote to `target` before it.
    stage : int
        Loops of one domain and stage may be one; everything that an item reads from memory has an earlier stage.
    order : int
        Its place among all items; operands come earlier.
    group : int
        The loop it ended up in.
    crossing : int
        How many users are of another stage.
    again : int
        Cost of computing it again in every loop that needs it rather than storing it; 0 if that is not done.
    """

    __slots__ = (
        "accumulate",
        "after",
        "again",
        "crossing",
        "direct",
        "domain",
        "group",
        "kind",
        "node",
        "offset",
        "operands",
        "order",
        "stage",
        "strides",
        "target",
        "targets",
    )

    def __init__(self, kind: str, node: Node, domain: Ints, operands: tuple[Value, ...], target: Source) -> None:
        self.kind, self.node, self.domain, self.operands, self.target = kind, node, domain, operands, target
        self.targets: tuple[Source, ...] = (target,)
        self.offset = 0
        self.strides: Ints = target.strides if kind == "opaque" else target.flat.strides
        self.direct: tuple[Item | None, ...] = ()
        self.accumulate = False
        self.after: list[Item] = []
        self.stage = 0
        self.order = -1
        self.group = -1
        self.crossing = 0
        self.again = 0

    def __repr__(self) -> str:
        return f"<{self.kind} {self.node.op.name} {self.domain} stage {self.stage} group {self.group}>"


class Region(NamedTuple):
    """A rectangular window on a source, (start, size, step) per axis."""

    slices: tuple[tuple[int, int, int], ...]

    @property
    def shape(self) -> Ints:
        return tuple(size for _, size, _ in self.slices)

    def window(self, strides: Ints) -> tuple[int, Ints]:
        """Offset and strides of the window in memory of the given strides."""
        offset = sum(start * stride for (start, _, _), stride in zip(self.slices, strides, strict=True))
        return offset, tuple(step * stride for (_, _, step), stride in zip(self.slices, strides, strict=True))

    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First and last index touched, per axis."""
        ends = ((start, start + (size - 1) * step) for start, size, step in self.slices)
        return tuple((min(pair), max(pair)) for pair in ends)


def broadcast_strides(shape: Ints, strides: Ints, domain: Ints) -> Ints:
    """Strides that read an array of `shape` at every point of `domain`, 0 along what is repeated."""
    missing = len(domain) - len(shape)
    pairs = zip(shape, strides, domain[missing:], strict=True)
    return (0,) * missing + tuple(0 if size == 1 and wanted != 1 else stride for size, stride, wanted in pairs)


def squeezed(shape: Ints) -> Ints:
    """A shape without axes of size 1."""
    return tuple([size for size in shape if size != 1]) if 1 in shape else shape


def squeezed_strides(shape: Ints, strides: Ints) -> Ints:
    """Strides without those of axes of size 1."""
    if 1 not in shape:
        return strides
    return tuple([stride for size, stride in zip(shape, strides, strict=True) if size != 1])


def tidy_strides(shape: Ints, strides: Sequence[int]) -> Ints:
    """Equivalent strides that are equal for equal windows: axes of size 1 may have any, empty arrays too."""
    plain = contiguous_strides(shape)
    if 0 in shape or all(size == 1 or one == other for size, one, other in zip(shape, strides, plain, strict=True)):
        return plain
    return tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))
