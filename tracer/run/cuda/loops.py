"""Loop nests as parts of kernels: point by point, and with reductions.

Reductions are deterministic: every thread folds its points in order, and cells are merged in a fixed order, whatever
the order in which blocks run. Multiplications and additions are not contracted (see `kernels.OPTIONS`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tracer.run.cuda.halves import is_half, register_dtype
from tracer.run.cuda.layout import Fold, Nest, by_stride
from tracer.run.cuda.scalars import literal, memory_name, type_name
from tracer.run.cuda.writer import THREADS, Kernel, ceiling, coordinates, is_wide, place_of

BLOCKS = 1024
"""Blocks that keep a large device busy."""
MOST_BLOCKS = 2**20
MOST_CHUNKS = 512


class Threads(NamedTuple):
    """Where a thread starts among the points that threads share, and in which steps it goes on: C++ expressions.

    Attributes
    ----------
    first, step : str
    rows : int
        Leading axes whose coordinates are known already.
    """

    first: str
    step: str
    rows: int = 0


GRID = Threads(f"blockIdx.x * {THREADS}u + threadIdx.x", f"gridDim.x * {THREADS}u")
BLOCK = Threads("threadIdx.x", f"{THREADS}u")


class Split(NamedTuple):
    """How a reduction is shared.

    Attributes
    ----------
    lanes : int
        Threads that fold the points of one result.
    adjacent : bool
        Whether they are neighbours, else the threads of neighbouring results are.
    chunks : int
        Into how many parts of the grid the points of one result are split.
    chunk : int
        Points of such a part.
    """

    lanes: int
    adjacent: bool
    chunks: int = 1
    chunk: int = 0

    @property
    def points(self) -> int:
        """Results of a block."""
        return THREADS // self.lanes


# --- the points ---


def elementwise(kernel: Kernel, nest: Nest, threads: Threads) -> int:
    """Write a nest without reductions; gives the number of threads that have something to do."""
    rows = threads.rows
    if not rows:
        order = by_stride([operand for _, operand in nest.stores] + list(nest.loads), range(len(nest.shape)))
        nest = nest.permuted(order)
    nest = nest.merged(rows)
    wide, inner = is_wide(nest), list(enumerate(nest.shape))[rows:]
    size = math.prod(nest.shape[rows:])
    width = kernel.memory.width(nest, tail=not rows) if inner else 1
    count = size // width
    if count:
        kernel.loop("i", threads.first, f"{count}u", threads.step, wide)
        coordinates(kernel, "i", inner if size % width == 0 else [(inner[0][0], count * width)], wide, width)
        body(kernel, nest, width)
        kernel.close()
    if size % width:
        kernel.loop("i", f"{count * width}u + {threads.first}", f"{size}u", threads.step, wide)
        coordinates(kernel, "i", inner, wide)
        body(kernel, nest, 1)
        kernel.close()
    return max(count, size % width)


def body(kernel: Kernel, nest: Nest, width: int, place: str = "") -> None:
    """Write what is done at a point, or at `width` neighbouring ones; reductions go into the cells `c0`, `c1`..."""
    names: list[str] = []
    for number, load in enumerate(nest.loads):
        kind, pointer = type_name(load.dtype), kernel.pointer(load)
        if width > 1 and load.strides[-1]:
            pack = f"Pack<{memory_name(load.dtype)}, {width}>"
            kernel.line(f"const {pack} l{number} = *reinterpret_cast<const {pack}*>({pointer} + {place_of(load)});")
            names.append(f"{kind}(l{number}.v[e])" if is_half(load.dtype) else f"l{number}.v[e]")
        else:
            kernel.line(f"const {kind} l{number} = {pointer}[{place_of(load)}];")
            names.append(f"l{number}")
    names += [literal(item) for item in nest.immediates]
    if width > 1:
        for number, (_, target) in enumerate(nest.stores):
            kernel.line(f"Pack<{memory_name(target.dtype)}, {width}> s{number};")
        kernel.line("#pragma unroll")
        kernel.open(f"for (int e = 0; e < {width}; ++e)")
    for step in nest.steps:
        name = f"r{len(names)}"
        value = kernel.functions.apply(step, [names[register] for register in step.inputs])
        kernel.line(f"const {type_name(step.out)} {name} = {value};")
        names.append(name)
    for number, fold in enumerate(nest.folds):
        kernel.line(f"c{number}.add({names[fold.register]}{f', {place}' if place else ''});")
    for number, (register, target) in enumerate(nest.stores):
        if width > 1:
            kernel.line(f"s{number}.v[e] = {names[register]};")
        else:
            kernel.line(f"{kernel.pointer(target, True)}[{place_of(target)}] = {names[register]};")
    if width > 1:
        kernel.close()
        for number, (_, target) in enumerate(nest.stores):
            pack = f"Pack<{memory_name(target.dtype)}, {width}>"
            pointer = kernel.pointer(target, True)
            kernel.line(f"*reinterpret_cast<{pack}*>({pointer} + {place_of(target)}) = s{number};")


# --- reductions ---


def cell_type(fold: Fold) -> tuple[str, int]:
    """The struct that folds values of a reduction, and its size."""
    dtype: np.dtype[Any] = register_dtype(fold.target.dtype)
    kind, size = type_name(dtype), max(dtype.itemsize, 4) if dtype.kind == "f" else dtype.itemsize
    greatest = "true" if fold.kind in ("max", "argmax") else "false"
    if fold.kind in ("any", "all"):
        return fold.kind.capitalize(), 1
    if dtype.kind == "b":
        return ("Any" if fold.kind in ("sum", "max") else "All"), 1
    if fold.kind in ("max", "min"):
        return f"Extreme<{kind}, {greatest}>", size
    word = "Sum" if fold.kind == "sum" else "Product"
    if dtype.kind == "c":
        return f"Complex{word}<{kind}>", 32 if word == "Sum" else 16
    if dtype.kind == "f":
        compensated = word == "Sum" and size == 8
        return f"{'Compensated' if compensated else 'Float'}{word}<{kind}>", 16 if compensated else 8
    return f"Wrapping{word}<{kind}>", size


def cells_of(nest: Nest) -> list[tuple[str, int]]:
    """The cells of all reductions of a nest."""
    found = []
    for fold in nest.folds:
        if fold.kind.startswith("arg"):
            greatest = "true" if fold.kind == "argmax" else "false"
            found.append((f"Place<{type_name(nest.dtype(fold.register))}, {greatest}>", 16))
        else:
            found.append(cell_type(fold))
    return found


def folds_last(nest: Nest) -> Nest:
    """The same with the axes that are kept before the reduced ones, each from long steps in memory to short ones."""
    folded = nest.folded()
    kept = [axis for axis, reduced in enumerate(folded) if not reduced]
    rest = [axis for axis, reduced in enumerate(folded) if reduced]
    return nest.permuted(by_stride(nest.loads, kept) + by_stride(nest.loads, rest)).merged()


def neutral(nest: Nest) -> Nest:
    """What a nest without points does: its results are what the reductions start with."""
    kept = [axis for axis, reduced in enumerate(nest.folded()) if not reduced]
    values = [fold.target.dtype.type(fold.kind in ("prod", "all")) for fold in nest.folds]
    stores = tuple((number, fold.target) for number, fold in enumerate(nest.folds))
    return Nest(nest.shape, (), tuple(values), (), stores, ()).permuted(kept)


def choose_split(nest: Nest, kept: int, parallel: bool) -> Split:
    """How to share a nest with its reduced axes last; with `parallel`, among all blocks."""
    results, points = math.prod(nest.shape[:kept]), math.prod(nest.shape[kept:])
    adjacent = kept in (0, len(nest.shape))
    if not adjacent:
        across, along = (min((abs(o.strides[axis]) or 2**62 for o in nest.loads), default=1) for axis in (kept - 1, -1))
        adjacent = along <= across
    if adjacent:
        lanes = THREADS if points >= 4096 or (points >= 1024 and results < 16384) else min(32, floor_power(points))
    else:
        lanes = THREADS // min(32, ceiling_power(results), THREADS)
        lanes = max(min(lanes, ceiling_power(points)), 1)
    split = Split(lanes, adjacent)
    blocks = ceiling(results, split.points)
    chunks = min(ceiling(BLOCKS, blocks), points // (lanes * 16), MOST_CHUNKS)
    if not parallel or chunks < 2:
        return split._replace(chunk=points)
    chunk = ceiling(ceiling(points, chunks), lanes * 16) * lanes * 16
    return split._replace(chunks=ceiling(points, chunk), chunk=chunk)


def floor_power(count: int) -> int:
    """The greatest power of two that is not greater."""
    return 1 << (count.bit_length() - 1)


def ceiling_power(count: int) -> int:
    """The smallest power of two that is not smaller."""
    return 1 << (count - 1).bit_length()


def reduction(kernel: Kernel, nest: Nest, kept: int, split: Split, tiles: tuple[str, str], partial: int = 0) -> int:
    """Write a nest with its reduced axes last; gives the bytes of workspace that it uses.

    `tiles` is the first set of results that a block does, and by how many it goes on. Where there are several chunks,
    cells go to the workspace at `partial`.
    """
    wide, axes = is_wide(nest), list(enumerate(nest.shape))
    results = math.prod(nest.shape[:kept])
    first, second = ("/", "%") if split.adjacent else ("%", "/")
    size = split.lanes if split.adjacent else split.points
    kernel.line(f"const uint32 point = threadIdx.x {first} {size}u, lane = threadIdx.x {second} {size}u;")
    kernel.loop("tile", tiles[0], f"{ceiling(results, split.points)}u", tiles[1], wide)
    kernel.line(f"const {'uint64' if wide else 'uint32'} k = tile * {split.points}u + point;")
    for number, (kind, _) in enumerate(cells_of(nest)):
        kernel.line(f"{kind} c{number};")
        kernel.line(f"c{number}.clear();")
    kernel.open(f"if (k < {results}u)")
    coordinates(kernel, "k", axes[:kept], wide)
    _fold_points(kernel, nest, kept, split, wide)
    kernel.close()
    _merge(kernel, nest, split)
    kernel.open(f"if (k < {results}u && lane == 0)")
    used = 0
    if split.chunks > 1:
        for number, (kind, bytes_) in enumerate(cells_of(nest)):
            pointer = kernel.workspace(partial + used, kind)
            kernel.line(f"{pointer}[static_cast<uint64>(blockIdx.y) * {results}u + k] = c{number};")
            used += ceiling(split.chunks * results * bytes_, 256) * 256
    else:
        coordinates(kernel, "k", axes[:kept], wide)
        _finish(kernel, nest)
    kernel.close()
    kernel.close()
    return used


def row_reduction(kernel: Kernel, nest: Nest, rows: int, lanes: int) -> None:
    """Write a nest whose leading axes are kept and known, for the `lanes` threads of a row."""
    nest = nest.merged(rows)
    for number, (kind, _) in enumerate(cells_of(nest)):
        kernel.line(f"{kind} c{number};")
        kernel.line(f"c{number}.clear();")
    _fold_points(kernel, nest, rows, Split(lanes, True), is_wide(nest))
    _merge(kernel, nest, Split(lanes, True))
    kernel.open("if (lane == 0)")
    _finish(kernel, nest)
    kernel.close()


def _fold_points(kernel: Kernel, nest: Nest, kept: int, split: Split, wide: bool) -> None:
    """Write the loop of a thread over its points of a result."""
    width = kernel.memory.width(nest, tail=False) if kept < len(nest.shape) else 1
    count, first = math.prod(nest.shape[kept:]) // width, "lane"
    end = f"{count}u"
    if split.chunks > 1:
        chunk = split.chunk // width
        kernel.line(f"const uint64 begin = blockIdx.y * {chunk}ull;")
        kernel.line(f"const uint64 end = begin + {chunk}u < {count}u ? begin + {chunk}u : {count}u;")
        first, end = "begin + lane", "end"
    kernel.loop("j", first, end, f"{split.lanes}u", wide or split.chunks > 1)
    coordinates(kernel, "j", list(enumerate(nest.shape))[kept:], wide, width)
    place = ("j" if width == 1 else f"j * {width} + e") if any(f.kind.startswith("arg") for f in nest.folds) else ""
    body(kernel, nest, width, place)
    kernel.close()


def _merge(kernel: Kernel, nest: Nest, split: Split) -> None:
    for number, (_, size) in enumerate(cells_of(nest)):
        if split.lanes == 1:
            continue
        if split.adjacent:
            kernel.line(
                f"merge_adjacent<{THREADS}, {split.lanes}>(c{number}, shared);"
                if split.lanes > 32
                else f"merge_lanes<{split.lanes}>(c{number});"
            )
            kernel.shared = max(kernel.shared, THREADS // 32 * size if split.lanes > 32 else 0)
        else:
            kernel.line(f"merge_apart<{THREADS}, {split.points}>(c{number}, shared);")
            kernel.shared = max(kernel.shared, THREADS * size)


def _finish(kernel: Kernel, nest: Nest) -> None:
    for number, fold in enumerate(nest.folds):
        value = f"c{number}.finish()"
        if fold.kind == "sum" and fold.target.dtype.kind in "fc":  # no sum is -0.0, other than a running one
            value += f" + {literal(fold.target.dtype.type(0))}"
        kernel.line(f"{kernel.pointer(fold.target, True)}[{place_of(fold.target)}] = {value};")


def merge_partials(kernel: Kernel, nest: Nest, kept: int, split: Split, partial: int = 0) -> int:
    """Write what merges the chunks of a reduction, a warp for each result; gives the number of blocks."""
    results, warps = math.prod(nest.shape[:kept]), THREADS // 32
    wide, used = is_wide(nest), 0
    kernel.line("const uint32 lane = threadIdx.x % 32u;")
    first = f"blockIdx.x * {warps}u + threadIdx.x / 32u"
    kernel.loop("k", first, f"{results}u", f"gridDim.x * {warps}u", wide)
    for number, (kind, size) in enumerate(cells_of(nest)):
        pointer = kernel.workspace(partial + used, kind)
        used += ceiling(split.chunks * results * size, 256) * 256
        kernel.line(f"{kind} c{number};")
        kernel.line(f"c{number}.clear();")
        kernel.open(f"for (uint64 j = lane; j < {split.chunks}u; j += 32)")
        kernel.line(f"c{number}.merge({pointer}[j * {results}u + k]);")
        kernel.close()
        kernel.line(f"merge_lanes<32>(c{number});")
    kernel.open("if (lane == 0)")
    coordinates(kernel, "k", list(enumerate(nest.shape))[:kept], wide)
    _finish(kernel, nest)
    kernel.close()
    kernel.close()
    return ceiling(results, warps)
