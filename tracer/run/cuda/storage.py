"""Which values of a program a GPU keeps in 16 bits where `config.gpu_storage` asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tracer.lower.emit import Made, Storage
from tracer.lower.instructions import ArgReduce, Loop, MatMul, Shape, Store, View, views_of
from tracer.run.cuda.halves import BFLOAT16, HALF
from tracer.run.cuda.parts import is_small
from tracer.run.cuda.products import matrix
from tracer.types import contiguous_strides

_SINGLE = np.dtype(np.float32)
_STORED = {"float16": HALF, "bfloat16": BFLOAT16}
_REUSED = 16
"""A factor of a product is copied into 16 bits if each of its elements meets that many of the other factor."""


def narrowed(made: Made, storage: str) -> Made:
    """Keep in 16 bits what float32 values pass through memory from kernel to kernel, and the factors of products.

    Sums, and what is added up in memory, stay float32; so do arguments and outputs, of which products get copies.

    Parameters
    ----------
    made : Made
        What is left as it is; the storages of temporaries get other types.
    storage : str
        What `config.gpu_storage` may be.
    """
    dtype = _STORED.get(storage)
    return made if dtype is None else _Narrowing(made, dtype).result()


class _Narrowing:
    """Chooses what of a program is stored in 16 bits."""

    def __init__(self, made: Made, dtype: np.dtype[Any]) -> None:
        self.made = made
        self.dtype = dtype
        storages = enumerate(made.storages)
        self.chosen = {number for number, own in storages if own.kind == "temporary" and own.dtype == _SINGLE}
        self.copies: dict[Any, View] = {}
        for instruction in made.instructions:
            self.chosen.difference_update(self.kept(instruction))
        self.pair_up()

    def kept(self, instruction: Any) -> Iterator[int]:
        """The buffers that stay as they are for an instruction's sake."""
        match instruction:
            case Loop():
                loaded = {view.buffer for view in instruction.loads}
                yield from (fold.view.buffer for fold in instruction.reduces)
                yield from (store.view.buffer for store in instruction.stores if store.view.buffer in loaded)
            case MatMul() if is_small(instruction) or takes_halves(instruction):
                if instruction.accumulate:
                    yield instruction.out.buffer
            case ArgReduce():
                yield instruction.out.buffer
            case _:
                yield from (view.buffer for view in views_of(instruction))

    def pair_up(self) -> None:
        """The factors of a product have one type: leave out what goes with one that is not worth a copy."""
        left = -1
        while left != len(self.chosen):
            left = len(self.chosen)
            for node in self.made.instructions:
                if isinstance(node, MatMul) and takes_halves(node) and not self.is_worth_copies(node):
                    factors = {node.a.buffer, node.b.buffer}
                    if not factors <= self.chosen:
                        self.chosen -= {*factors, node.out.buffer}

    @staticmethod
    def is_worth_copies(node: MatMul) -> bool:
        return min(node.m, node.n) >= _REUSED

    def result(self) -> Made:
        """The program with its new types and copies."""
        storages = list(self.made.storages)
        for number in self.chosen:
            storages[number].dtype = self.dtype
        instructions: list[Any] = []
        nodes: list[Any] = []
        for instruction, own in zip(self.made.instructions, self.made.nodes, strict=True):
            if isinstance(instruction, MatMul) and takes_halves(instruction) and self.is_worth_copies(instruction):
                shapes = ((instruction.m, instruction.k), (instruction.k, instruction.n))
                factors = []
                for view, shape in zip((instruction.a, instruction.b), shapes, strict=True):
                    found, copy = self.factor(view, (*instruction.batch, *shape), instruction.line, storages)
                    factors.append(found)
                    instructions += copy
                    nodes += [()] * len(copy)
                instruction = instruction._replace(a=factors[0], b=factors[1])
            instructions.append(instruction)
            nodes.append(own)
        return Made(storages, instructions, nodes)

    def factor(self, view: View, shape: Shape, line: str, storages: list[Storage]) -> tuple[View, list[Loop]]:
        """A factor as 16 bits, and what copies it if it must be copied."""
        if view.buffer in self.chosen:
            return view, []
        axes = [axis for axis, size in enumerate(shape) if size != 1 and view.strides[axis] != 0]
        axes.sort(key=lambda axis: -abs(view.strides[axis]))  # the copy lies in memory as the original does
        key = view.buffer, view.offset, tuple((shape[axis], view.strides[axis]) for axis in axes)
        known = self.copies.get(key)
        copies = []
        lengths = tuple(shape[axis] for axis in axes)
        new = contiguous_strides(lengths)
        if known is None:
            known = View(len(storages), 0, new)
            storages.append(Storage("temporary", self.dtype, lengths, new, -1))
            source = View(view.buffer, view.offset, tuple(view.strides[axis] for axis in axes))
            copies.append(Loop(lengths, (source,), (), (), (Store(0, known),), (), line))
            if storages[view.buffer].kind in ("argument", "constant"):
                self.copies[key] = known
        strides = [0] * len(shape)
        for axis, stride in zip(axes, new, strict=True):
            strides[axis] = stride
        return View(known.buffer, 0, tuple(strides)), copies


def takes_halves(node: MatMul) -> bool:
    """Whether a product is left to cuBLAS, and may be of numbers of 16 bits."""
    shapes = ((node.m, node.k), (node.k, node.n), (node.m, node.n))
    views = (node.a, node.b, node.out)
    seen = [matrix(*shape, *view.strides[-2:]) for shape, view in zip(shapes, views, strict=True)]
    is_some = node.dtype == _SINGLE and 0 not in (node.m, node.n, node.k, *node.batch)
    return is_some and None not in seen and not is_small(node)
