"""Kernels of gathers and scatters.

Scattering is deterministic, repeated indices in order: the rows of the table are dealt out to groups of blocks, and
every group goes through all indices and does those of its rows one after the other. Sums of integers do not depend on
the order, and those of floats may where `config.gpu_scatter` says so: threads add them as they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracer.config import config
from tracer.lower.instructions import Buffer, Gather, Scatter, Step
from tracer.run.cuda.layout import Nest, Operand
from tracer.run.cuda.loops import GRID, Threads, ceiling_power
from tracer.run.cuda.scalars import memory_name
from tracer.run.cuda.writer import THREADS, Kernel, ceiling, coordinates, index_type, is_wide, place_of

GROUPS = 1024
"""Groups of blocks that share a table."""


class _Indexed:
    """What gathers and scatters have in common: the table, the list in the order of the indices, and the axes."""

    def __init__(self, kernel: Kernel, node: Gather | Scatter, number: int) -> None:
        table, big = (node.source, node.source_shape) if isinstance(node, Gather) else (node.out, node.out_shape)
        listed = node.out if isinstance(node, Gather) else node.source
        dtype = kernel.memory.buffers[table.buffer].dtype
        self.kernel, self.number = kernel, number
        self.sizes, rest = big[: node.axes], big[node.axes :]
        lead = len(node.shape) - len(rest)
        self.steps = table.strides[: node.axes]
        self.table = Operand(table.buffer, table.offset, table.strides[node.axes :], dtype)
        self.list = Operand(listed.buffer, listed.offset, listed.strides, dtype)
        indices = tuple(
            Operand(view.buffer, view.offset, view.strides, kernel.memory.buffers[view.buffer].dtype)
            for view in node.indices
        )
        outer = self.list._replace(strides=self.list.strides[:lead])
        inner = self.list._replace(strides=self.list.strides[lead:])
        self.points = Nest(node.shape[:lead], (*indices, outer), (), (), (), ()).squeezed().merged()
        self.rest = Nest(rest, (self.table, inner), (), (), (), ()).squeezed().merged()
        reach = [(size - 1) * abs(step) for size, step in zip(self.sizes, self.steps, strict=True)]
        self.wide = is_wide(self.points) or is_wide(self.rest) or self.points.size * self.rest.size >= 2**30
        self.reach = sum(reach)

    def find(self, point: str, report: str) -> None:
        """Write `at`, where in the table a point is, `number` of its row, and whether it is `inside`."""
        kernel = self.kernel
        coordinates(kernel, point, list(enumerate(self.points.shape)), self.wide)
        kernel.line("bool inside = true;")
        kernel.line("int64 at = 0, number = 0;")
        sizes = zip(self.points.loads, self.sizes, self.steps, strict=False)
        for axis, (index, size, step) in enumerate(sizes):
            kernel.open()
            kernel.line(f"const int64 index = {kernel.pointer(index)}[{place_of(index)}];")
            kernel.line(f"const int64 wrapped = index < 0 ? index + {size} : index;")
            kernel.open(f"if (static_cast<uint64>(wrapped) >= {size}ull)")
            kernel.line("inside = false;")
            failure = f"report_index({kernel.error()}, {self.number}, {axis}, {point});"
            kernel.line(f"if ({report}) {failure}" if report else failure)
            kernel.close()
            kernel.line(f"at += wrapped * {step};")
            kernel.line(f"number = number * {size} + wrapped;")
            kernel.close()
        kernel.line(f"const int64 listed = {place_of(self.points.loads[-1])};")

    def width(self) -> int:
        """How many neighbouring elements of a row can be moved at once."""
        table, inner = self.rest.loads
        table = table._replace(strides=(*self.steps, *table.strides))
        outer = self.points.loads[-1].strides
        listed = inner._replace(strides=(*outer, *inner.strides))
        longest = max(len(table.strides), len(listed.strides))
        padded = [o._replace(strides=(0,) * (longest - len(o.strides)) + o.strides) for o in (table, listed)]
        if not self.rest.shape or table.strides[-1] != 1:
            return 1
        shape = (1,) * (longest - len(self.rest.shape)) + self.rest.shape
        return self.kernel.memory.width(Nest(shape, tuple(padded), (), (), (), ()), tail=False)


def gather(kernel: Kernel, node: Gather, number: int, threads: Threads) -> int:
    """Write a gather; gives the number of threads that have something to do."""
    both, width = _Indexed(kernel, node, number), 1
    if both.points.size * both.rest.size == 0:
        return 0
    width = both.width()
    row = both.rest.size // width
    kind = memory_name(both.table.dtype)
    table, inner = both.rest.loads
    kernel.loop("i", threads.first, f"{both.points.size * row}u", threads.step, both.wide)
    kernel.line(f"const {index_type(both.wide)} point = i / {row}u, element = i % {row}u;")
    both.find("point", "")
    kernel.open()
    coordinates(kernel, "element", list(enumerate(both.rest.shape)), both.wide, width)
    pack = f"Pack<{kind}, {width}>" if width > 1 else kind
    source = f"{kernel.pointer(table)} + at + {place_of(table)}"
    target = f"{kernel.pointer(inner, True)} + listed + {place_of(inner)}"
    kernel.line(f"{pack} value{{}};")
    kernel.line(f"if (inside) value = *reinterpret_cast<const {pack}*>({source});")
    kernel.line(f"*reinterpret_cast<{pack}*>({target}) = value;")
    kernel.close()
    kernel.close()
    return both.points.size * row


def is_atomic(node: Scatter, buffers: Sequence[Buffer]) -> bool:
    """Whether a scatter adds in whatever order: integers, whose sums are the same, and floats where it is asked for."""
    dtype = buffers[node.out.buffer].dtype
    exact = dtype.kind in "iu" or config.gpu_scatter == "atomic"
    return node.mode == "add" and exact and dtype.kind in "iuf" and dtype.itemsize >= 4


def atomic_adds(kernel: Kernel, node: Scatter, number: int) -> int:
    """Write a scatter of which `is_atomic` holds; gives the number of threads that have something to do."""
    both = _Indexed(kernel, node, number)
    size = both.points.size * both.rest.size
    table, inner = both.rest.loads
    kind = memory_name(table.dtype)
    unsigned = f"uint{8 * table.dtype.itemsize}" if table.dtype.kind == "i" else kind
    kernel.loop("i", GRID.first, f"{size}u", GRID.step, both.wide)
    kernel.line(f"const {index_type(both.wide)} point = i / {both.rest.size}u, element = i % {both.rest.size}u;")
    both.find("point", "")
    kernel.open("if (inside)")
    coordinates(kernel, "element", list(enumerate(both.rest.shape)), both.wide)
    kernel.line(f"{kind}* const target = {kernel.pointer(table, True)} + at + {place_of(table)};")
    kernel.line(f"const {kind} value = {kernel.pointer(inner)}[listed + {place_of(inner)}];")
    kernel.line(f"atomicAdd(reinterpret_cast<{unsigned}*>(target), static_cast<{unsigned}>(value));")
    kernel.close()
    kernel.close()
    return size


def scatter(kernel: Kernel, node: Scatter, number: int, alone: bool) -> tuple[int, int]:
    """Write a scatter, with the whole grid or, not `alone`, with one block; gives the blocks in two dimensions."""
    both = _Indexed(kernel, node, number)
    if both.points.size * both.rest.size == 0:
        return 0, 0
    tiles = min(ceiling(both.rest.size, THREADS), 2**16) if alone else 1
    rows = min(math.prod(both.sizes), both.points.size)
    groups = min(max(GROUPS // tiles, 1), ceiling_power(rows)) if alone else 1
    kernel.shared = max(kernel.shared, THREADS * 16 + 32)
    kernel.line("int64* chosen_at = reinterpret_cast<int64*>(shared);")
    kernel.line(f"int64* chosen_list = chosen_at + {THREADS};")
    kernel.line(f"uint32* counts = reinterpret_cast<uint32*>(chosen_list + {THREADS});")
    kernel.line("const uint32 lane = threadIdx.x % 32u, warp = threadIdx.x / 32u;")
    kernel.loop("start", "0", f"{both.points.size}u", f"{THREADS}u", both.wide)
    kernel.line("bool mine = false;")
    kernel.line("int64 my_place = 0, my_list = 0;")
    kernel.line(f"const {index_type(both.wide)} point = start + threadIdx.x;")
    kernel.open(f"if (point < {both.points.size}u)")
    both.find("point", "blockIdx.x == 0 && blockIdx.y == 0" if alone else "")
    kernel.line(f"mine = inside && number % {groups} == {'blockIdx.y' if alone else 0};")
    kernel.line("my_place = at;")
    kernel.line("my_list = listed;")
    kernel.close()
    _choose(kernel)
    _do_chosen(kernel, both, node.mode, tiles, alone)
    kernel.line("__syncthreads();")
    kernel.close()
    return tiles, groups


def _choose(kernel: Kernel) -> None:
    """Write what puts the places of the threads that have one beside each other, in order; `total` of them."""
    kernel.line("const uint32 votes = __ballot_sync(0xffffffffu, mine);")
    kernel.line("if (lane == 0) counts[warp] = __popc(votes);")
    kernel.line("__syncthreads();")
    kernel.line("uint32 slot = __popc(votes & ((1u << lane) - 1)), total = 0;")
    kernel.open(f"for (uint32 w = 0; w < {THREADS // 32}; ++w)")
    kernel.line("if (w < warp) slot += counts[w];")
    kernel.line("total += counts[w];")
    kernel.close()
    kernel.open("if (mine)")
    kernel.line("chosen_at[slot] = my_place;")
    kernel.line("chosen_list[slot] = my_list;")
    kernel.close()
    kernel.line("__syncthreads();")


def _do_chosen(kernel: Kernel, both: _Indexed, mode: str, tiles: int, alone: bool) -> None:
    table, inner = both.rest.loads
    first = f"blockIdx.x * {THREADS}u + threadIdx.x" if alone else "threadIdx.x"
    kernel.loop("element", first, f"{both.rest.size}u", f"{tiles * THREADS}u", both.wide)
    coordinates(kernel, "element", list(enumerate(both.rest.shape)), both.wide)
    kernel.open("for (uint32 n = 0; n < total; ++n)")
    kind = memory_name(table.dtype)
    kernel.line(f"{kind}* const target = {kernel.pointer(table, True)} + chosen_at[n] + {place_of(table)};")
    kernel.line(f"const {kind} value = {kernel.pointer(inner)}[chosen_list[n] + {place_of(inner)}];")
    if mode == "add":
        step = Step("add", table.dtype, table.dtype, (0, 1))
        kernel.line(f"*target = {kernel.functions.apply(step, ['*target', 'value'])};")
    else:
        kernel.line("*target = value;")
    kernel.close()
    kernel.close()
