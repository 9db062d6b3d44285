"""Kernels of running folds.

A thread does a short line, or a piece of one where neighbouring lines are neighbours in memory, in NumPy's order. A
warp or a block does a line that lies together, in portions. Few long lines are cut into chunks, which are folded first;
each chunk then goes on from what those before it give, merged in order: the same in every run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tracer.lower.instructions import Buffer, Cumulative, Shape, Step, View
from tracer.run.cuda.layout import Fold, Nest, Operand, by_stride
from tracer.run.cuda.loops import BLOCKS, GRID, Threads, cell_type
from tracer.run.cuda.scalars import memory_name, type_name
from tracer.run.cuda.writer import THREADS, Kernel, ceiling, coordinates, index_type, is_wide, place_of

EACH = 4
"""Elements of a thread in a portion, at least."""
SHORT = 64
"""Elements of a line that a thread does."""
MANY = 2**17
"""Threads that keep a large device busy."""
_OPERATIONS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


class Split(NamedTuple):
    """How running folds are shared.

    Attributes
    ----------
    lanes : int
        Threads that do a portion of a line together.
    chunks, chunk : int
        Into how many pieces a line is cut, and their length.
    """

    lanes: int
    chunks: int
    chunk: int

    def blocks(self, lines: int) -> tuple[int, int]:
        """The grid for so many lines."""
        if self.lanes == 1:
            return ceiling(lines * self.chunks, THREADS), 1
        return ceiling(lines * self.lanes, THREADS), self.chunks


def lines_of(node: Cumulative, buffers: Sequence[Buffer]) -> Nest:
    """A running fold as a nest with its axis last."""

    def operand(view: View) -> Operand:
        return Operand(view.buffer, view.offset, _last(view.strides, node.axis), dtype)

    dtype = buffers[node.source.buffer].dtype
    shape = _last(node.shape, node.axis)
    nest = Nest(shape, (operand(node.source),), (), (), ((0, operand(node.out)),), ())
    others = [axis for axis, length in enumerate(shape[:-1]) if length != 1]
    return nest.permuted([*by_stride(nest.operands(), others), len(shape) - 1])


def _last(items: Sequence[int], axis: int) -> Shape:
    return (*items[:axis], *items[axis + 1 :], items[axis])


def choose_split(nest: Nest, parallel: bool) -> Split:
    """How to share a nest of lines, among all blocks if `parallel`."""
    length = nest.shape[-1]
    lines = nest.size // length
    if length <= SHORT:
        return Split(1, 1, length)
    if not parallel:
        return Split(THREADS, 1, length)
    source = nest.loads[0]
    if lines > 1 and abs(source.strides[-2]) < abs(source.strides[-1]):
        chunks = min(ceiling(MANY, lines), math.isqrt(length))
        chunk = ceiling(length, chunks)
        return Split(1, ceiling(length, chunk), chunk)
    if length <= 1024 or lines >= MANY:
        return Split(32, 1, length)
    portion = 16 * THREADS
    chunks = min(ceiling(BLOCKS, lines), length // portion)
    if chunks < 2:
        return Split(THREADS, 1, length)
    chunk = ceiling(length, chunks * portion) * portion
    return Split(THREADS, ceiling(length, chunk), chunk)


def fold_chunks(kernel: Kernel, kind: str, nest: Nest, split: Split) -> int:
    """Write what folds the chunks of all lines; gives the bytes of workspace that it uses."""
    lines = nest.size // nest.shape[-1]
    cell, size = cell_type(Fold(kind, 0, nest.loads[0]))
    cells = kernel.workspace(0, cell)
    if split.lanes == 1:
        _open_chunk(kernel, nest, split)
        kernel.line(f"{cell} own;")
        kernel.line("own.clear();")
        _open_elements(kernel, nest, split)
        kernel.line(f"own.add({_element(kernel, nest)});")
        kernel.close()
        kernel.line(f"{cells}[i] = own;")
        kernel.close()
    else:
        kernel.shared = max(kernel.shared, THREADS // 32 * size)
        _open_lines(kernel, nest, split, ("blockIdx.x", "gridDim.x"))
        kernel.line(f"{cell} own;")
        kernel.line("own.clear();")
        each = _open_portions(kernel, nest, split)
        _elements(kernel, nest, each, "load", "own.add(values[e]);")
        kernel.close()
        kernel.line(f"merge_adjacent<{THREADS}, {THREADS}>(own, shared);")
        kernel.line(f"if (threadIdx.x == 0) {cells}[blockIdx.y * {lines}ull + line] = own;")
        kernel.close()
    return split.chunks * lines * size


def cumulative(kernel: Kernel, kind: str, nest: Nest, split: Split, alone: bool) -> None:
    """Write running folds, with the whole grid or with one block."""
    if split.lanes == 1 and split.chunks == 1:
        _in_order(kernel, kind, nest, GRID if alone else Threads("threadIdx.x", f"{THREADS}u"))
    elif split.lanes == 1:
        _by_threads(kernel, kind, nest, split)
    else:
        _by_portions(kernel, kind, nest, split, ("blockIdx.x", "gridDim.x") if alone else ("0", "1u"))


def _in_order(kernel: Kernel, kind: str, nest: Nest, threads: Threads) -> None:
    wide, axes = is_wide(nest), list(enumerate(nest.shape))
    source, target = nest.loads[0], nest.stores[0][1]
    length, axis, signed = nest.shape[-1], len(axes) - 1, "int64" if wide else "int32"
    kernel.loop("line", threads.first, f"{nest.size // length}u", threads.step, wide)
    coordinates(kernel, "line", axes[:-1], wide)
    kernel.line(f"{type_name(source.dtype)} total{{}};")
    kernel.open(f"for ({signed} x{axis} = 0; x{axis} < {length}; ++x{axis})")
    kernel.line(f"const {type_name(source.dtype)} value = {_element(kernel, nest)};")
    step = Step(_OPERATIONS[kind], source.dtype, source.dtype, (0, 1))
    kernel.line(f"total = x{axis} == 0 ? value : {kernel.functions.apply(step, ['total', 'value'])};")
    kernel.line(f"{kernel.pointer(target, True)}[{place_of(target)}] = total;")
    kernel.close()
    kernel.close()


def _by_threads(kernel: Kernel, kind: str, nest: Nest, split: Split) -> None:
    lines, target = nest.size // nest.shape[-1], nest.stores[0][1]
    cell, _ = cell_type(Fold(kind, 0, nest.loads[0]))
    cells = kernel.workspace(0, cell)
    _open_chunk(kernel, nest, split)
    kernel.line(f"{cell} own;")
    kernel.line("own.clear();")
    kernel.line(f"for (uint64 j = line; j < i; j += {lines}u) own.merge({cells}[j]);")
    _open_elements(kernel, nest, split)
    kernel.line(f"own.add({_element(kernel, nest)});")
    kernel.line(f"{kernel.pointer(target, True)}[{place_of(target)}] = own.finish();")
    kernel.close()
    kernel.close()


def _by_portions(kernel: Kernel, kind: str, nest: Nest, split: Split, tiles: tuple[str, str]) -> None:
    lines = nest.size // nest.shape[-1]
    cell, size = cell_type(Fold(kind, 0, nest.loads[0]))
    if split.lanes > 32:
        kernel.shared = max(kernel.shared, THREADS // 32 * size)
    _open_lines(kernel, nest, split, tiles)
    kernel.line(f"{cell} carry, own, total;")
    kernel.line("carry.clear();")
    if split.chunks > 1:
        cells = kernel.workspace(0, cell)
        kernel.open(f"for (uint64 j = threadIdx.x; j < blockIdx.y; j += {THREADS})")
        kernel.line(f"carry.merge({cells}[j * {lines}u + line]);")
        kernel.close()
        kernel.line(f"scan_block<{THREADS}>(carry, total, shared);")
        kernel.line("carry = total;")
    each = _open_portions(kernel, nest, split)
    kernel.line("own.clear();")
    _elements(kernel, nest, each, "load", "own.add(values[e]);")
    kernel.line(f"scan_block<{THREADS}>(own, total, shared);" if split.lanes > 32 else "scan_warp(own, total);")
    kernel.line(f"{cell} before = carry;")
    kernel.line("before.merge(own);")
    _elements(kernel, nest, each, "store", "before.add(values[e]);", "before.finish()")
    kernel.line("carry.merge(total);")
    kernel.close()
    kernel.close()


# --- pieces ---


def _element(kernel: Kernel, nest: Nest) -> str:
    return f"{kernel.pointer(nest.loads[0])}[{place_of(nest.loads[0])}]"


def _open_chunk(kernel: Kernel, nest: Nest, split: Split) -> None:
    """Open the loop of a thread over its chunks."""
    wide, lines = is_wide(nest), nest.size // nest.shape[-1]
    kernel.loop("i", GRID.first, f"{lines * split.chunks}u", GRID.step, wide)
    kernel.line(f"const {index_type(wide)} line = i % {lines}u, part = i / {lines}u;")
    coordinates(kernel, "line", list(enumerate(nest.shape))[:-1], wide)


def _open_elements(kernel: Kernel, nest: Nest, split: Split) -> None:
    """Open the loop of a thread over the elements of a chunk."""
    signed, x = "int64" if is_wide(nest) else "int32", f"x{len(nest.shape) - 1}"
    kernel.line(f"const {signed} begin = static_cast<{signed}>(part) * {split.chunk};")
    last = nest.shape[-1] - split.chunk
    kernel.line(f"const {signed} end = begin < {last} ? begin + {split.chunk} : {nest.shape[-1]};")
    kernel.open(f"for ({signed} {x} = begin; {x} < end; ++{x})")


def _open_lines(kernel: Kernel, nest: Nest, split: Split, tiles: tuple[str, str]) -> None:
    """Open the loop of a warp or a block over its lines."""
    wide, lines = is_wide(nest), nest.size // nest.shape[-1]
    each = THREADS // split.lanes
    first, step = (f"{tiles[0]} * {each}u + threadIdx.x / 32u", f"{tiles[1]} * {each}u") if each > 1 else tiles
    kernel.loop("line", first, f"{lines}u", step, wide)
    coordinates(kernel, "line", list(enumerate(nest.shape))[:-1], wide)


def _open_portions(kernel: Kernel, nest: Nest, split: Split) -> int:
    """Open the loop over the portions of a chunk; gives the elements of a thread in each."""
    wide, length = is_wide(nest), nest.shape[-1]
    kind, index = type_name(nest.loads[0].dtype), index_type(wide)
    each = max(EACH, kernel.memory.width(nest, tail=False))
    first, end = "0", f"{length}u"
    if split.chunks > 1:
        kernel.line(f"const {index} begin = blockIdx.y * {split.chunk}u;")
        kernel.line(f"const {index} end = {length}u - begin < {split.chunk}u ? {length}u : begin + {split.chunk}u;")
        first, end = "begin", "end"
    kernel.loop("start", first, end, f"{split.lanes * each}u", wide)
    lane = "threadIdx.x" if split.lanes > 32 else "threadIdx.x % 32u"
    kernel.line(f"const {index} own_start = start + {lane} * {each}u;")
    kernel.line(f"{kind} values[{each}];")
    return each


def _elements(kernel: Kernel, nest: Nest, each: int, action: str, add: str, result: str = "") -> None:
    """Write what loads the values of a thread, or stores its results, as many at once as there are in 16 bytes."""
    width, wide = kernel.memory.width(nest, tail=False), is_wide(nest)
    signed, axis = "int64" if wide else "int32", len(nest.shape) - 1
    operand = nest.loads[0] if action == "load" else nest.stores[0][1]
    kind = memory_name(operand.dtype)
    kernel.line("#pragma unroll")
    kernel.open(f"for (int first = 0; first < {each}; first += {width})")
    kernel.line(f"const {signed} x{axis} = static_cast<{signed}>(own_start) + first;")
    kernel.open(f"if (x{axis} < {nest.shape[-1]})")
    kernel.line(f"Pack<{kind}, {width}> pack;")
    place = (
        f"reinterpret_cast<{{}}Pack<{kind}, {width}>*>({kernel.pointer(operand, bool(result))} + {place_of(operand)})"
    )
    if action == "load":
        kernel.line(f"pack = *{place.format('const ')};")
    kernel.line("#pragma unroll")
    kernel.open(f"for (int e = first; e < first + {width}; ++e)")
    if action == "load":
        kernel.line("values[e] = pack.v[e - first];")
    kernel.line(add)
    if result:
        kernel.line(f"pack.v[e - first] = {result};")
    kernel.close()
    if result:
        kernel.line(f"*{place.format('')} = pack;")
    kernel.close()
    kernel.close()
