"""Matrix products by cuBLAS, which knows matrices by columns: a matrix by rows is to it the transposed one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from tracer import device
from tracer.config import config
from tracer.lower.instructions import Buffer, MatMul, Shape, View
from tracer.records import NamedTuple
from tracer.run.cuda.arrays import Addresses, seen
from tracer.run.cuda.halves import BFLOAT16, HALF, is_half

_PREFIXES = {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}
_SINGLE = np.dtype(np.float32)
# Numbers of CUDA's own: types of elements, and of what products are added up in.
_TYPES = {_SINGLE: 0, HALF: 2, BFLOAT16: 14}
_IN_SINGLE, _IN_TF32, _USUAL_ALGORITHM = 68, 77, -1
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
        self.is_empty = 0 in (m, n, math.prod(instruction.batch))
        self.dtypes = [buffers[view.buffer].dtype for view in self.views]
        prefix = _PREFIXES.get(instruction.dtype.str[1:])
        # Half numbers are multiplied exactly and added up in float32, which may have to be asked for by type.
        self.is_mixed = any(map(is_half, self.dtypes)) or (instruction.dtype == _SINGLE and config.gpu_tf32)
        self.is_capturable = (prefix is not None or self.is_mixed) and k > 0 and len(self.matrices) == 3
        if self.is_capturable:
            self.batch = batched(instruction.batch, self.views)
            number = _SINGLE if self.is_mixed else instruction.dtype
            self.scale = np.array([instruction.alpha, 1.0 if instruction.accumulate else 0.0], number)
            self.routine = self._routine("gemmStridedBatchedEx" if self.is_mixed else f"{prefix}gemmStridedBatched")

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
        handle = device.cupy().cuda.device.get_cublas_handle()
        a, b, out = self.matrices
        alpha = self.scale.ctypes.data
        beta = alpha + self.scale.itemsize
        types: list[tuple[int, ...]] = [(_TYPES[dtype],) if self.is_mixed else () for dtype in self.dtypes]
        end = (_IN_TF32 if _SINGLE == self.dtypes[0] else _IN_SINGLE, _USUAL_ALGORITHM) if self.is_mixed else ()
        for starts in self.batch.starts:
            places = [
                addresses[view.buffer] + start * dtype.itemsize
                for view, start, dtype in zip(self.views, starts, self.dtypes, strict=True)
            ]
            first = (places[0], *types[0], a.leading, self.batch.steps[0])
            second = (places[1], *types[1], b.leading, self.batch.steps[1])
            flags = _flag(a, out), _flag(b, out)
            m, n = work.m, work.n
            if out.by_rows:  # the transposed product, of the transposed factors in the other order
                first, second, flags, m, n = second, first, flags[::-1], n, m
            target = (places[2], *types[2], out.leading, self.batch.steps[2])
            self.routine(handle, *flags, m, n, work.k, alpha, *first, *second, beta, *target, self.batch.size, *end)

    def _by_arrays(self, addresses: Addresses) -> None:
        work = self.instruction
        a = seen(addresses, self.buffers, work.a, (*work.batch, work.m, work.k))
        b = seen(addresses, self.buffers, work.b, (*work.batch, work.k, work.n))
        out = seen(addresses, self.buffers, work.out, (*work.batch, work.m, work.n))
        product = device.cupy().matmul(a, b) * work.dtype.type(work.alpha)
        out[...] = out + product if work.accumulate else product


def _flag(operand: Matrix, out: Matrix) -> int:
    return _AS_IT_IS if operand.by_rows == out.by_rows else _TRANSPOSED
