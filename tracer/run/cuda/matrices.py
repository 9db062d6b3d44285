"""Factors, systems and inverses of small matrices, and of stacks of them: a warp for each matrix, in shared memory.

The library's own functions take one matrix at a time, and the host waits for each to learn whether it went well. Here
a matrix for which NumPy would raise is reported as an index out of range is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tracer.lower.instructions import Call, Shape, View
from tracer.run.cuda.layout import Memory, Operand
from tracer.run.cuda.scalars import type_name
from tracer.run.cuda.writer import THREADS, Kernel, ceiling, coordinates, place_of

MOST_ROWS = 64
FEW_ROWS = 32
"""Rows up to which a warp is no slower than the library, however few matrices there are."""
MANY = 8
LIMIT = 46 * 2**10
"""Bytes of shared memory for the matrices of a block."""
LIMIT_BESIDE = 15 * 2**10
"""The same where a block does other things too."""

# The operands, inputs before outputs: m is a square matrix, r right sides for it, p exchanges of rows, 1 a number.
_ROLES = {
    "solve": ("mr", "r"),
    "inv": ("m", "m"),
    "det": ("m", "1"),
    "slogdet": ("m", "11"),
    "cholesky": ("m", "m"),
    "solve_lower": ("mr", "r"),
    "solve_upper": ("mr", "r"),
    "solve_unit_lower": ("mr", "r"),
    "solve_unit_upper": ("mr", "r"),
    "factors": ("m", "mp"),
    "solve_by_factors": ("mpr", "r"),
    "solve_transposed_by_factors": ("mpr", "r"),
    "inverse_of_factors": ("mp", "m"),
    "determinant_of_factors": ("mp", "11"),
}
_DIMENSIONS = {"m": 2, "r": 2, "p": 1, "1": 0}


class Matrices(NamedTuple):
    """A call that does the same for each matrix of a stack.

    Attributes
    ----------
    call : Call
    shape : tuple of int
        Of the stack.
    rows, columns : int
        Of a matrix, and of its right sides.
    """

    call: Call
    shape: Shape
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """About how many points take as long."""
        return math.prod(self.shape) * self.rows * self.rows


def matrices_of(call: Call, memory: Memory) -> Matrices | None:
    """What kernels do for a call; None if they cannot, or had better not."""
    if call.kernel not in _ROLES:
        return None
    roles, operands = "".join(_ROLES[call.kernel]), (*call.inputs, *call.outputs)
    dtypes = [memory.buffers[view.buffer].dtype for view, _ in operands]
    if dtypes[0] not in (np.dtype(np.float32), np.dtype(np.float64)):
        return None
    expected = [np.dtype(np.int32) if role == "p" else dtypes[0] for role in roles]
    if dtypes != expected:
        return None
    rows, columns, out = call.inputs[0][1][-1], call.inputs[-1][1][-1], call.outputs[0][1]
    shape = out[: len(out) - _DIMENSIONS[roles[len(call.inputs)]]]
    few = rows > FEW_ROWS and math.prod(shape) < MANY
    if not 0 < rows <= MOST_ROWS or not columns or 0 in shape or few:
        return None
    return Matrices(call, shape, rows, columns)


def matrices(kernel: Kernel, node: Matrices, number: int, alone: bool) -> int:
    """Write what is done for all matrices, with the whole grid or with one block; gives the number of blocks."""
    return _Writer(kernel, node, number).write(alone)


class _Writer:
    def __init__(self, kernel: Kernel, node: Matrices, number: int) -> None:
        self.kernel, self.node, self.number = kernel, node, number
        self.kind = node.call.kernel
        self.dtype = kernel.memory.buffers[node.call.inputs[0][0].buffer].dtype
        self.leading = node.rows | 1  # an odd distance: neighbours of a column are in different banks
        self.params = getattr(node.call.function, "keywords", {})

    def write(self, alone: bool) -> int:
        kernel, node, n = self.kernel, self.node, self.node.rows
        size = self.dtype.itemsize
        each = -(-(n * self.leading * size + n * 4) // 16) * 16
        count = math.prod(node.shape)
        warps = max(1, min(THREADS // 32, (LIMIT if alone else LIMIT_BESIDE) // each, count))
        kernel.shared = max(kernel.shared, warps * each)
        name = type_name(self.dtype)
        first, step = ("blockIdx.x", "gridDim.x") if alone else ("0u", "1u")
        kernel.line("const uint32 lane = threadIdx.x % 32u, warp = threadIdx.x / 32u;")
        kernel.line(f"{name}* const m = reinterpret_cast<{name}*>(shared + warp * {each}u);")
        kernel.line(f"int32* const pivots = reinterpret_cast<int32*>(m + {n * self.leading});")
        start = f"warp < {warps}u ? {first} * {warps}u + warp : {count}u"
        kernel.loop("item", start, f"{count}u", f"{step} * {warps}u", count >= 2**30)
        coordinates(kernel, "item", list(enumerate(node.shape)), count >= 2**30)
        roles = "".join(_ROLES[self.kind])
        for place, (view, shape) in enumerate((*node.call.inputs, *node.call.outputs)):
            self.pointer(place, view, shape, _DIMENSIONS[roles[place]], place >= len(node.call.inputs))
        self.read()
        self.work()
        kernel.line("__syncwarp();")
        kernel.close()
        return ceiling(count, warps)

    def pointer(self, place: int, view: View, shape: Shape, own: int, write: bool) -> None:
        """Write where the operand of a matrix begins."""
        outer, batch = shape[: len(shape) - own], self.node.shape
        steps = tuple(0 if length == 1 else stride for length, stride in zip(outer, view.strides, strict=False))
        steps = (0,) * (len(batch) - len(steps)) + steps
        dtype = self.kernel.memory.buffers[view.buffer].dtype
        operand = Operand(view.buffer, view.offset, steps, dtype)
        kind = f"{'' if write else 'const '}{type_name(dtype)}"
        self.kernel.line(f"{kind}* const q{place} = {self.kernel.pointer(operand, write)} + {place_of(operand)};")

    def strides(self, place: int) -> Shape:
        view, shape = (*self.node.call.inputs, *self.node.call.outputs)[place]
        roles = "".join(_ROLES[self.kind])
        return view.strides[len(shape) - _DIMENSIONS[roles[place]] :]

    def each(self, count: str) -> None:
        self.kernel.open(f"for (uint32 e = lane; e < {count}u; e += 32u)")

    def read(self) -> None:
        """Write what brings the matrix, and its exchanges of rows, into shared memory."""
        n, (row, column) = self.node.rows, self.strides(0)
        if "factors" in self.kind and self.kind != "factors":
            row, column = column, row  # they are kept as their transpose
        self.each(str(n * n))
        self.kernel.line(f"m[e / {n}u * {self.leading} + e % {n}u] = q0[{self.at(row, column)}];")
        self.kernel.close()
        if "p" in _ROLES[self.kind][0]:
            self.each(str(n))
            self.kernel.line(f"pivots[e] = q1[static_cast<int64>(e) * {self.strides(1)[0]}];")
            self.kernel.close()
        self.kernel.line("__syncwarp();")
        if self.kind in ("solve", "inv", "det", "slogdet", "factors"):
            self.kernel.line(f"factor_matrix<{n}>(m, pivots);")

    def at(self, row: int, column: int) -> str:
        """The place of the element `e` of a matrix."""
        n = self.node.rows
        return f"static_cast<int64>(e / {n}u) * {row} + static_cast<int64>(e % {n}u) * {column}"

    def work(self) -> None:
        match self.kind:
            case "factors":
                self.store_factors()
            case "cholesky":
                self.cholesky()
            case "det":
                self.kernel.line(f"if (lane == 0) *q1 = determinant<{self.node.rows}>(m, pivots);")
            case "slogdet" | "determinant_of_factors":
                first = len(self.node.call.inputs)
                self.kernel.line(
                    f"if (lane == 0) log_determinant<{self.node.rows}>(m, pivots, q{first}, q{first + 1});"
                )
            case _:
                self.solve()

    def store_factors(self) -> None:
        n = self.node.rows
        self.each(str(n * n))
        self.kernel.line(f"q1[{self.at(*self.strides(1))}] = m[e % {n}u * {self.leading} + e / {n}u];")
        self.kernel.close()
        self.each(str(n))
        self.kernel.line(f"q2[static_cast<int64>(e) * {self.strides(2)[0]}] = pivots[e];")
        self.kernel.close()

    def cholesky(self) -> None:
        n = self.node.rows
        self.kernel.line(f"const bool good = cholesky_matrix<{n}>(m);")
        self.fail("failing")
        self.each(str(n * n))
        value = f"e / {n}u < e % {n}u ? 0 : m[e / {n}u * {self.leading} + e % {n}u]"
        nan = f"NAN{8 * self.dtype.itemsize}"
        self.kernel.line(f"q1[{self.at(*self.strides(1))}] = good ? {value} : {nan};")
        self.kernel.close()

    def fail(self, parameter: str) -> None:
        """Write what reports that a matrix is not `good`, unless it is to give no numbers."""
        if self.params.get(parameter, "raise") == "raise":
            self.kernel.line(f"if (!good && lane == 0) report_index({self.kernel.error()}, {self.number}, 255, item);")

    def solve(self) -> None:
        """Write what solves for the columns of the right sides, which the threads share."""
        kernel, n, inverts = self.kernel, self.node.rows, "inv" in self.kind
        out = len(self.node.call.inputs)
        name, unit = type_name(self.dtype), "unit" in self.kind
        kernel.line("const bool good = true;" if unit else f"const bool good = is_regular<{n}>(m);")
        if not unit:
            self.fail("singular" if inverts else "")
        columns = n if inverts else self.node.columns
        kernel.open(f"for (uint32 c = lane; c < {columns}u; c += 32u)")
        kernel.line(f"{name} x[{n}];")
        kernel.open(f"for (int k = 0; k < {n}; ++k)")
        if inverts:
            kernel.line("x[k] = k == c ? 1 : 0;")
        else:
            row, column = self.strides(out - 1)
            kernel.line(f"x[k] = q{out - 1}[static_cast<int64>(k) * {row} + static_cast<int64>(c) * {column}];")
        kernel.close()
        if self.kind.endswith(("lower", "upper")):
            lower = "true" if self.kind.endswith("lower") else "false"
            kernel.line(f"solve_triangle<{n}>(m, x, {lower}, {'true' if unit else 'false'});")
        else:
            transposed = "true" if self.kind == "solve_transposed_by_factors" else "false"
            kernel.line(f"solve_factored<{n}>(m, pivots, x, {transposed});")
        row, column = self.strides(out)
        kernel.open(f"for (int k = 0; k < {n}; ++k)")
        target = f"q{out}[static_cast<int64>(k) * {row} + static_cast<int64>(c) * {column}]"
        kernel.line(f"{target} = good ? x[k] : NAN{8 * self.dtype.itemsize};")
        kernel.close()
        kernel.close()
