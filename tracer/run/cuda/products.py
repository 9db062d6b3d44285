"""Matrix products by cuBLAS, which knows matrices by columns: a matrix by rows is to it the transposed one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from tracer import device
from tracer.lower.instructions import Buffer, MatMul, Shape, View
from tracer.records import NamedTuple
from tracer.run.cuda.arrays import Addresses, seen

_PREFIXES = {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}
_AS_IT_IS, _TRANSPOSED = 0, 1


class Matrix(NamedTuple):
    """How cuBLAS sees the matrices of an operand.

    Attributes
    ----------
    by_rows : bool
        Whether the memory holds rows one after another, and not columns.
    leading : int
        Elements from one row, or column, to the next.
    """

    by_rows: bool
    leading: int


def matrix(rows: int, columns: int, row: int, column: int) -> Matrix | None:
    """How cuBLAS sees matrices with these strides in elements; None if it cannot."""
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return Matrix(True, max(row, columns, 1))
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return Matrix(False, max(column, rows, 1))
    return None


class Batch(NamedTuple):
    """Matrices at equal distances: how many, how far apart those of each operand are, and where each batch begins."""

    size: int
    steps: tuple[int, int, int]
    starts: tuple[tuple[int, int, int], ...]


def batched(shape: Shape, views: tuple[View, View, View]) -> Batch:
    """The products of a batch in as few calls as their strides allow."""
    count, steps, outer = 1, (0, 0, 0), len(shape)
    while outer and shape[outer - 1] == 1:
        outer -= 1
    if outer:
        count, steps = shape[outer - 1], _steps(views, outer - 1)
        outer -= 1
        while outer and _steps(views, outer - 1) == tuple(count * step for step in steps):
            outer -= 1
            count *= shape[outer]
    places = itertools.product(*(range(size) for size in shape[:outer]))
    starts = tuple((_start(views[0], place), _start(views[1], place), _start(views[2], place)) for place in places)
    return Batch(count, steps, starts)


def _steps(views: tuple[View, View, View], axis: int) -> tuple[int, int, int]:
    return views[0].strides[axis], views[1].strides[axis], views[2].strides[axis]


def _start(view: View, place: tuple[int, ...]) -> int:
    return view.offset + sum(index * stride for index, stride in zip(place, view.strides, strict=False))


class Product:
    """A matrix product, ready to be launched.

    Attributes
    ----------
    is_capturable : bool
        Whether it does nothing but launch kernels.
    """

    def __init__(self, instruction: MatMul, buffers: tuple[Buffer, ...]) -> None:
        self.instruction = instruction
        self.buffers = buffers
        m, n, k = instruction.m, instruction.n, instruction.k
        shapes = ((m, k), (k, n), (m, n))
        self.views = (instruction.a, instruction.b, instruction.out)
        found = [matrix(*shape, *view.strides[-2:]) for shape, view in zip(shapes, self.views, strict=True)]
        self.matrices = [item for item in found if item is not None]
        prefix = _PREFIXES.get(instruction.dtype.str[1:])
        self.is_empty = 0 in (m, n, math.prod(instruction.batch))
        self.is_capturable = prefix is not None and k > 0 and len(self.matrices) == 3
        if self.is_capturable:
            self.batch = batched(instruction.batch, self.views)
            self.scale = np.array([instruction.alpha, 1.0 if instruction.accumulate else 0.0], instruction.dtype)
            self.routine = self._routine(f"{prefix}gemmStridedBatched")

    @staticmethod
    def _routine(name: str) -> Callable[..., None]:
        device.cupy()
        from cupy_backends.cuda.libs import cublas

        found: Callable[..., None] = getattr(cublas, name)
        return found

    def __call__(self, addresses: Addresses) -> None:
        """Launch it."""
        if self.is_empty:
            return
        if self.is_capturable:
            self._by_library(addresses)
        else:
            self._by_arrays(addresses)

    def _by_library(self, addresses: Addresses) -> None:
        work = self.instruction
        itemsize = work.dtype.itemsize
        handle = device.cupy().cuda.device.get_cublas_handle()
        a, b, out = self.matrices
        scale = self.scale.ctypes.data
        for starts in self.batch.starts:
            places = [addresses[v.buffer] + start * itemsize for v, start in zip(self.views, starts, strict=True)]
            first = (_flag(a, out), a.leading, places[0], self.batch.steps[0])
            second = (_flag(b, out), b.leading, places[1], self.batch.steps[1])
            m, n = work.m, work.n
            if out.by_rows:  # the transposed product, of the transposed factors in the other order
                first, second, m, n = second, first, n, m
            self.routine(
                handle,
                first[0],
                second[0],
                m,
                n,
                work.k,
                scale,
                first[2],
                first[1],
                first[3],
                second[2],
                second[1],
                second[3],
                scale + itemsize,
                places[2],
                out.leading,
                self.batch.steps[2],
                self.batch.size,
            )

    def _by_arrays(self, addresses: Addresses) -> None:
        work = self.instruction
        a = seen(addresses, self.buffers, work.a, (*work.batch, work.m, work.k))
        b = seen(addresses, self.buffers, work.b, (*work.batch, work.k, work.n))
        out = seen(addresses, self.buffers, work.out, (*work.batch, work.m, work.n))
        product = device.cupy().matmul(a, b) * work.dtype.type(work.alpha)
        out[...] = out + product if work.accumulate else product


def _flag(operand: Matrix, out: Matrix) -> int:
    return _AS_IT_IS if operand.by_rows == out.by_rows else _TRANSPOSED
