"""What a kernel computes at each point of a domain, and how its operands lie in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.instructions import ArgReduce, Buffer, Loop, Shape, Step, View
from tracer.run.cuda.halves import register_dtype

ALIGNMENT = 256
"""Bytes to which the memory of constants, outputs and the arena is aligned."""


class Operand(NamedTuple):
    """A strided window on a buffer, as `View`, with the type of its elements."""

    buffer: int
    offset: int
    strides: Shape
    dtype: np.dtype[Any]

    def span(self, shape: Shape) -> tuple[int, int]:
        """The lowest and the highest element that it reaches, from its own start."""
        reach = [(length - 1) * stride for length, stride in zip(shape, self.strides, strict=True)]
        return sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)


class Fold(NamedTuple):
    """A reduction of a register: one of the kinds of `Reduce` and `ArgReduce`."""

    kind: str
    register: int
    target: Operand


class Nest(NamedTuple):
    """A loop nest, as `Loop`, whose reductions all go over the same axes.

    Attributes
    ----------
    shape : tuple of int
    loads : tuple of Operand
    immediates, steps
        As those of a loop.
    stores : tuple of (int, Operand)
    folds : tuple of Fold
    """

    shape: Shape
    loads: tuple[Operand, ...]
    immediates: tuple[np.generic, ...]
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, Operand], ...]
    folds: tuple[Fold, ...]

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def operands(self) -> list[Operand]:
        """All that is read or written."""
        return [*self.loads, *self.targets()]

    def targets(self) -> list[Operand]:
        """All that is written."""
        return [operand for _, operand in self.stores] + [fold.target for fold in self.folds]

    def folded(self) -> tuple[bool, ...]:
        """Which axes the reductions go over."""
        if not self.folds:
            return (False,) * len(self.shape)
        return tuple(stride == 0 for stride in self.folds[0].target.strides)

    def dtype(self, register: int) -> np.dtype[Any]:
        """The type of a register."""
        if register < len(self.loads):
            return register_dtype(self.loads[register].dtype)
        register -= len(self.loads)
        count = len(self.immediates)
        return self.immediates[register].dtype if register < count else self.steps[register - count].out

    def with_axes(self, shape: Shape, pick: Any) -> Nest:
        """The same over other axes: `pick` makes the new strides of an operand from the old ones."""

        def moved(operand: Operand) -> Operand:
            return operand._replace(strides=tuple(pick(operand.strides)))

        return self._replace(
            shape=shape,
            loads=tuple(map(moved, self.loads)),
            stores=tuple((register, moved(operand)) for register, operand in self.stores),
            folds=tuple(fold._replace(target=moved(fold.target)) for fold in self.folds),
        )

    def permuted(self, order: Sequence[int]) -> Nest:
        """The same with its axes in another order."""
        return self.with_axes(tuple(self.shape[axis] for axis in order), lambda strides: [strides[a] for a in order])

    def squeezed(self) -> Nest:
        """The same without axes of length 1."""
        return self.permuted([axis for axis, length in enumerate(self.shape) if length != 1])

    def merged(self, first: int = 0) -> Nest:
        """The same with neighbouring axes made one, from the axis `first` on, where all operands run evenly."""
        nest, axis = self, len(self.shape) - 1
        while axis > first:
            before, length = nest.shape[axis - 1 : axis + 1]
            if all(o.strides[axis - 1] == length * o.strides[axis] for o in nest.operands()):
                shape = (*nest.shape[: axis - 1], before * length, *nest.shape[axis + 1 :])
                nest = nest.with_axes(shape, lambda strides, at=axis: (*strides[: at - 1], *strides[at:]))
            axis -= 1
        return nest


def nests_of(instruction: Loop | ArgReduce, buffers: Sequence[Buffer]) -> list[Nest]:
    """The nests that do a loop one after the other: one for each set of axes that is reduced.

    What is stored is stored by the last one, since it may take the place of what is loaded.
    """
    if isinstance(instruction, ArgReduce):
        axis, out = instruction.axis, instruction.out
        strides = (*out.strides[:axis], 0, *out.strides[axis:])
        fold = Fold(instruction.kind, 0, _operand(View(out.buffer, out.offset, strides), buffers))
        return [Nest(instruction.shape, (_operand(instruction.source, buffers),), (), (), (), (fold,)).squeezed()]
    loads = tuple(_operand(view, buffers) for view in instruction.loads)
    whole = Nest(instruction.shape, loads, instruction.immediates, instruction.steps, (), ())
    classes: dict[tuple[bool, ...], list[Fold]] = {}
    for reduce in instruction.reduces:
        fold = Fold(reduce.kind, reduce.register, _operand(reduce.view, buffers))
        axes = zip(instruction.shape, fold.target.strides, strict=True)
        classes.setdefault(tuple(length != 1 and stride == 0 for length, stride in axes), []).append(fold)
    # Reductions over the last axes go with the stores: that is where the same thread block has the whole row.
    ordered = sorted(classes.items(), key=lambda item: (item[0][-1:] == (True,), sum(item[0]) < len(item[0])))
    parts = [whole._replace(folds=tuple(folds)) for _, folds in ordered] or [whole]
    parts[-1] = parts[-1]._replace(
        stores=tuple((store.register, _operand(store.view, buffers)) for store in instruction.stores)
    )
    return [_pruned(part).squeezed() for part in parts]


def _operand(view: View, buffers: Sequence[Buffer]) -> Operand:
    return Operand(view.buffer, view.offset, view.strides, buffers[view.buffer].dtype)


def _pruned(nest: Nest) -> Nest:
    """The same without what nothing needs of it."""
    needed = {register for register, _ in nest.stores} | {fold.register for fold in nest.folds}
    first = len(nest.loads) + len(nest.immediates)
    for place in reversed(range(len(nest.steps))):
        if first + place in needed:
            needed.update(nest.steps[place].inputs)
    number = {old: new for new, old in enumerate(sorted(needed))}
    steps = [
        step._replace(inputs=tuple(number[register] for register in step.inputs))
        for place, step in enumerate(nest.steps)
        if first + place in needed
    ]
    immediates = [item for place, item in enumerate(nest.immediates) if len(nest.loads) + place in needed]
    return Nest(
        nest.shape,
        tuple(load for place, load in enumerate(nest.loads) if place in needed),
        tuple(immediates),
        tuple(steps),
        tuple((number[register], operand) for register, operand in nest.stores),
        tuple(fold._replace(register=number[fold.register]) for fold in nest.folds),
    )


def by_stride(operands: Iterable[Operand], axes: Iterable[int]) -> list[int]:
    """Axes from the one with the longest steps in memory to the one with the shortest; broadcast ones count less."""
    operands = list(operands)

    def key(axis: int) -> tuple[int, ...]:
        steps = [abs(operand.strides[axis]) for operand in operands]
        return tuple(-step for step in (steps if any(steps) else [2**62]))

    return sorted(axes, key=key)


class Memory:
    """Where the buffers of a program are: what can be known of addresses when code is made.

    Parameters
    ----------
    buffers : sequence of Buffer
    alignment : int
        Bytes to which the arguments of a call are aligned at least.
    first_uses : mapping of int to int
        The first instruction that uses a buffer, of those that nothing but kernels use.
    spare : int
        Bytes of temporaries that may move, at most.
    lent : mapping of int to int or None
        As for `translate`.

    Attributes
    ----------
    moved : dict of int to int
        Temporaries that are in the workspace instead of the arena, and where.
    """

    def __init__(
        self,
        buffers: Sequence[Buffer],
        alignment: int,
        first_uses: Mapping[int, int],
        spare: int,
        lent: Mapping[int, int] | None = None,
    ) -> None:
        self.buffers = buffers
        self.alignment = alignment
        self.moved: dict[int, int] = {}
        self.moved_bytes = 0
        self._first_uses = first_uses
        self._spare = spare
        self._lent = lent or {}
        self._narrow = ("argument",) if lent is None else ("argument", "output")

    def address(self, operand: Operand) -> int:
        """Bytes from the start of its space to the start of an operand."""
        buffer = self.buffers[operand.buffer]
        start = buffer.offset if buffer.kind == "temporary" else 0
        return self.moved.get(operand.buffer, start) + operand.offset * operand.dtype.itemsize

    def space(self, number: int) -> tuple[str, int]:
        """What a buffer is a part of; different spaces share no byte."""
        buffer = self.buffers[number]
        if number in self.moved:
            return "workspace", 0
        if buffer.kind == "output" and buffer.index in self._lent:
            return "argument", self._lent[buffer.index]
        return ("arena", 0) if buffer.kind == "temporary" else (buffer.kind, buffer.index)

    def may_move(self, number: int, start: int) -> bool:
        """Whether a buffer is a temporary that is used after an instruction only, and small enough."""
        buffer = self.buffers[number]
        fits = self.moved_bytes + buffer.nbytes <= self._spare
        return buffer.kind == "temporary" and fits and self._first_uses.get(number, -1) > start

    def move(self, number: int) -> None:
        """Give a temporary a place in the workspace, which it shares with no other."""
        if number not in self.moved:
            self.moved[number] = self.moved_bytes
            self.moved_bytes += -(-self.buffers[number].nbytes // ALIGNMENT) * ALIGNMENT

    def is_narrow(self, number: int) -> bool:
        """Whether no more is known of where a buffer begins than `alignment`."""
        return self.buffers[number].kind in self._narrow

    def width(self, nest: Nest, tail: bool) -> int:
        """How many neighbouring points of the last axis a thread can take at once, with 16 bytes a load.

        With `tail`, the last points of a single axis may be left over.
        """
        operands = [o for o in nest.operands() if any(o.strides)]
        if not nest.shape or not operands or any(o.strides[-1] not in (0, 1) for o in operands):
            return 1
        moving = [o for o in operands if o.strides[-1] == 1]
        width = 16 // max((o.dtype.itemsize for o in moving), default=16)
        while width > 1 and not all(self._suits(o, width) for o in moving):
            width //= 2
        alone = tail and len(nest.shape) == 1
        while width > 1 and not alone and nest.shape[-1] % width:
            width //= 2
        return width if nest.shape[-1] >= width else 1

    def _suits(self, operand: Operand, width: int) -> bool:
        size = operand.dtype.itemsize * width
        known = self.alignment if self.is_narrow(operand.buffer) else ALIGNMENT
        rows = all(stride % width == 0 for stride in operand.strides[:-1])
        return rows and known % size == 0 and self.address(operand) % size == 0
