"""What an instruction has to do at least: the bytes that it must read and write, and its operations on numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.lower.instructions import (
    ArgReduce,
    Buffer,
    Call,
    Cumulative,
    Gather,
    Instruction,
    Loop,
    MatMul,
    Scatter,
    Shape,
    Step,
    View,
)

FAST = frozenset(
    "absolute add bitwise_and bitwise_or bitwise_xor ceil conjugate equal floor fmax fmin greater greater_equal imag "
    "invert isfinite isinf isnan less less_equal logical_and logical_not logical_or logical_xor maximum minimum "
    "multiply negative not_equal real rint sign signbit square subtract trunc where".split()
)
"""Kernels that take about as long as an addition: one instruction of the processor, or few."""
COMPLEX_FLOPS = {"add": 2, "subtract": 2, "negative": 2, "multiply": 6, "square": 6, "conjugate": 1, "divide": 11}
"""Operations on real numbers that one on complex numbers is made of, written out."""

Operation = tuple[str, np.dtype[Any], np.dtype[Any], int]
"""A kernel, the types of its operands and of its result, and how many operands it has."""


@dataclass(frozen=True)
class Cost:
    """What has to be done, if every byte is moved once.

    Attributes
    ----------
    read, written : int
        Bytes.
    footprint : int
        Bytes of memory that are touched.
    flops : int or None
        Operations on numbers: 1 for each scalar operation of a loop, be it an addition or a logarithm, and for each
        element that a reduction folds; 2 m n k for a matrix product; more for complex numbers. None: not known.
    dtype : numpy.dtype or None
        The type of most of these numbers.
    slow : mapping
        Of the operations, how many there are of kernels that take longer than an addition.
    """

    read: int = 0
    written: int = 0
    footprint: int = 0
    flops: int | None = 0
    dtype: np.dtype[Any] | None = None
    slow: Mapping[Operation, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


class Traffic:
    """Bytes that views touch, buffer by buffer: what is touched by several of them counts once."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.read: Counter[int] = Counter()
        self.written: Counter[int] = Counter()

    def add(self, views: Iterable[tuple[View, Shape]], counter: Counter[int]) -> None:
        """Enter views over shapes."""
        for view, shape in dict.fromkeys(views):
            elements = math.prod([size for size, stride in zip(shape, view.strides, strict=True) if stride])
            counter[view.buffer] += elements if 0 not in shape else 0

    def elements(self, view: View, count: int, counter: Counter[int]) -> None:
        """Enter so many elements of the buffer of a view."""
        counter[view.buffer] += count

    def _bytes(self, counter: Counter[int]) -> dict[int, int]:
        found = {}
        for number, elements in counter.items():
            buffer = self.buffers[number]
            found[number] = min(elements, buffer.size) * buffer.dtype.itemsize
        return found

    def cost(self, flops: int | None, dtype: np.dtype[Any] | None, slow: Mapping[Operation, int] | None = None) -> Cost:
        """These bytes, with so many operations."""
        read, written = self._bytes(self.read), self._bytes(self.written)
        footprint = sum(max(read.get(number, 0), written.get(number, 0)) for number in {**read, **written})
        return Cost(sum(read.values()), sum(written.values()), footprint, flops, dtype, slow or {})


def cost_of(instruction: Instruction, buffers: Sequence[Buffer], nodes: Sequence[Node]) -> Cost:
    """What an instruction has to do; nothing, for one that only runs programs.

    Parameters
    ----------
    instruction : Instruction
    buffers : sequence of Buffer
        Those of its program.
    nodes : sequence of Node
        What it computes.
    """
    traffic = Traffic(buffers)
    match instruction:
        case Loop():
            return _loop(instruction, traffic)
        case MatMul():
            return _matmul(instruction, traffic)
        case Gather() | Scatter():
            return _indexed(instruction, traffic)
        case Cumulative() | ArgReduce():
            axis, shape = instruction.axis, instruction.shape
            kept = shape if isinstance(instruction, Cumulative) else (*shape[:axis], *shape[axis + 1 :])
            traffic.add([(instruction.source, shape)], traffic.read)
            traffic.add([(instruction.out, kept)], traffic.written)
            return traffic.cost(math.prod(shape), buffers[instruction.source.buffer].dtype)
        case Call():
            traffic.add(instruction.inputs, traffic.read)
            traffic.add(instruction.outputs, traffic.written)
            known = _LIBRARY.get(nodes[0].op.name) if nodes else None
            dtype = buffers[instruction.inputs[0][0].buffer].dtype if instruction.inputs else None
            return traffic.cost(known([shape for _, shape in instruction.inputs]) if known else None, dtype)
    return Cost()


def _loop(loop: Loop, traffic: Traffic) -> Cost:
    points = math.prod(loop.shape)
    traffic.add([(view, loop.shape) for view in loop.loads], traffic.read)
    traffic.add([(store.view, loop.shape) for store in loop.stores], traffic.written)
    traffic.add([(reduce.view, loop.shape) for reduce in loop.reduces], traffic.written)
    flops, slow, kinds = 0, Counter[Operation](), Counter[Any]()
    for step in loop.steps:
        if step.kernel == "cast":
            continue
        flops += _flops(step) * points
        kinds[step.dtype] += 1
        if step.kernel not in FAST:
            slow[step.kernel, step.dtype, step.out, len(step.inputs)] += points
    for reduce in loop.reduces:
        dtype = traffic.buffers[reduce.view.buffer].dtype
        flops += points * (2 if dtype.kind == "c" else 1)
        kinds[dtype] += 1
    return traffic.cost(flops, kinds.most_common(1)[0][0] if kinds else None, slow)


def _flops(step: Step) -> int:
    return COMPLEX_FLOPS.get(step.kernel, 2) if step.dtype.kind == "c" else 1


def _matmul(node: MatMul, traffic: Traffic) -> Cost:
    batch = node.batch
    traffic.add([(node.a, (*batch, node.m, node.k)), (node.b, (*batch, node.k, node.n))], traffic.read)
    out = [(node.out, (*batch, node.m, node.n))]
    traffic.add(out, traffic.written)
    if node.accumulate:
        traffic.add(out, traffic.read)
    each = 8 if node.dtype.kind == "c" else 2
    return traffic.cost(each * math.prod(batch) * node.m * node.n * node.k, node.dtype)


def _indexed(node: Gather | Scatter, traffic: Traffic) -> Cost:
    moved = math.prod(node.shape)
    common = node.shape[: len(node.shape) - _rest(node)]
    traffic.add([(view, common) for view in node.indices], traffic.read)
    if isinstance(node, Gather):
        traffic.elements(node.source, moved, traffic.read)
        traffic.add([(node.out, node.shape)], traffic.written)
        return traffic.cost(0, None)
    traffic.add([(node.source, node.shape)], traffic.read)
    traffic.elements(node.out, moved, traffic.written)
    if node.mode == "add":
        traffic.elements(node.out, moved, traffic.read)
    return traffic.cost(moved if node.mode == "add" else 0, traffic.buffers[node.out.buffer].dtype)


def _rest(node: Gather | Scatter) -> int:
    """How many axes of the shape are not those of the indices."""
    full = node.source_shape if isinstance(node, Gather) else node.out_shape
    return len(full) - node.axes


# --- what libraries do: Golub and Van Loan, Matrix Computations; for the Fourier transform that of split radix 2 ---


def _stack(shape: Shape) -> tuple[int, int]:
    """The number of matrices in a stack of them, and the length of their last axis."""
    return math.prod(shape[:-2]), shape[-1]


def _factored(numerator: int, denominator: int) -> Callable[[Sequence[Shape]], int]:
    def flops(shapes: Sequence[Shape]) -> int:
        count, n = _stack(shapes[0])
        return count * numerator * n**3 // denominator

    return flops


def _solved(shapes: Sequence[Shape]) -> int:
    count, n = _stack(shapes[0])
    columns = math.prod(shapes[1]) // max(count * n, 1) if len(shapes) > 1 else 1
    return count * (2 * n**3 // 3 + 2 * n * n * columns)


def _triangular(shapes: Sequence[Shape]) -> int:
    return math.prod(shapes[1]) * shapes[0][-1]


_LIBRARY: dict[str, Callable[[Sequence[Shape]], int]] = {
    "cholesky": _factored(1, 3),
    "det": _factored(2, 3),
    "eig": _factored(25, 1),
    "eigh": _factored(9, 1),
    "eigvals": _factored(10, 1),
    "eigvalsh": _factored(4, 3),
    "slogdet": _factored(2, 3),
    "inv": _factored(2, 1),
    "factors": _factored(2, 3),
    "solve": _solved,
    "solve_by_factors": lambda shapes: 2 * math.prod(shapes[2]) * shapes[0][-1],
    "inverse_of_factors": _factored(4, 3),
    "solve_triangular": _triangular,
}
