"""How fast this machine is: what memory and arithmetic allow at best, measured once and remembered."""

from __future__ import annotations

import math
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tracer.lower.program import Buffer, Loop, MatMul, Program, Step, Store, View
from tracer.profiling.costs import Cost, Operation
from tracer.run import cpu
from tracer.types import contiguous_strides

ONE_CORE_BELOW = 20e-6
"""Seconds of work on one core below which it is not worth while to wake another."""
_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL = (("L1", 32 << 10, False), ("L2", 512 << 10, False), ("L3", 16 << 20, True))
_MATRIX, _BLOCK, _ROUNDS = 128, 4096, 8


class Level(NamedTuple):
    """A level of the memory.

    Attributes
    ----------
    name : str
        L1, L2, L3 or memory.
    size : float
        Bytes that fit into it.
    shared : bool
        Whether the cores share it; each has its own if not.
    """

    name: str
    size: float
    shared: bool


class Rates(NamedTuple):
    """Bytes per second that can be read, and that can be written."""

    read: float
    write: float


class Limit(NamedTuple):
    """The least time in which something could be done on this machine.

    Attributes
    ----------
    seconds : float
    by : str
        What takes that long: the level of the memory that the bytes come from, "arithmetic", or "functions" (those
        that take longer than an addition, such as division and the exponential).
    threads : int
        On how many cores.
    """

    seconds: float
    by: str
    threads: int


def best_threads() -> int:
    """How many threads the kernels may use."""
    return cpu.thread_count()


@cache
def levels() -> tuple[Level, ...]:
    """The levels of the memory, the nearest one first."""
    found: dict[str, Level] = {}
    for folder in sorted(_FOLDER.glob("index*")):
        try:
            kind, number, size, cores = (
                (folder / name).read_text().strip() for name in ("type", "level", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        amount = re.fullmatch(r"(\d+)([KM]?)", size)
        if kind != "Instruction" and amount is not None:
            count = int(amount[1]) << {"": 0, "K": 10, "M": 20}[amount[2]]
            found[f"L{number}"] = Level(
                f"L{number}", count, number not in ("1", "2") and ("," in cores or "-" in cores)
            )
    known = list(found.values()) or [Level(*item) for item in _USUAL]
    return (*known, Level("memory", math.inf, True))


def level_of(footprint: int, threads: int) -> Level:
    """The nearest level that so many bytes fit into."""
    return next(item for item in levels() if footprint <= item.size * (1 if item.shared else threads))


@cache
def rates(size: int, threads: int) -> Rates:
    """How fast so many bytes, over and over again, can be read and written by so many threads together."""
    shared = size > levels()[-2].size
    # What is not too large for the caches goes faster with every core; only main memory is what they compete for.
    parts = threads if shared else 1
    each = max(size // parts, 1)
    passes = max(1, (1 << 21) // each)
    times = [cpu.time_memory(each, parts, passes) for _ in range(1 if shared else _ROUNDS)]
    read, copied = (min(column) * 1e-9 / (each * parts) for column in zip(*times, strict=True))
    # A copy reads and writes; where both go on at once, writing costs what a pass takes longer than reading.
    writing = max(copied - read, copied / 2)
    return Rates(threads / parts / read, threads / parts / writing)


def rates_for(footprint: int, threads: int) -> Rates:
    """How fast memory is for so many bytes: that of a power of two of them, the next one below."""
    level = level_of(footprint, threads)
    if level.size == math.inf:
        return rates(_large(), threads)
    share = footprint if level.shared else footprint // threads
    return rates(1 << max(share.bit_length() - 1, 13), threads)


def _large() -> int:
    """Bytes of which the caches hold little."""
    return min(max(2 * int(levels()[-2].size), 32 << 20), 96 << 20)


def _run(program: Program, arrays: list[Any]) -> float:
    """Seconds that the only instruction of a program takes."""
    native = cpu.ready(program)
    native.run(arrays)
    return min(native.run_timed(arrays)[1][0][0] for _ in range(_ROUNDS)) * 1e-9


@cache
def peak(dtype: np.dtype[Any], threads: int) -> float:
    """Operations per second on numbers of a type: those of a matrix product in the cache, on as many cores at once."""
    real = np.dtype("float32") if dtype.itemsize // (2 if dtype.kind == "c" else 1) <= 4 else np.dtype("float64")
    if real != dtype:
        return peak(real, threads)
    n = _MATRIX
    shape, strides = (n, n), contiguous_strides((n, n))
    buffers = [Buffer("argument", real, shape, strides, number) for number in range(2)]
    a, b, out = (View(number, 0, strides) for number in range(3))
    product = MatMul(real, (), n, n, n, a, b, out)
    program = Program((*buffers, Buffer("output", real, shape, strides, 0)), (), (product,), 0, 1)
    matrix = np.ones(shape, real)
    return 2 * n**3 / _run(program, [matrix, matrix]) * threads


@cache
def rate(operation: Operation) -> float:
    """Results per second of a kernel on one core, next to the processor."""
    kernel, dtype, out, arity = operation
    buffers = [Buffer("argument", dtype, (_BLOCK,), (1,), number) for number in range(arity)]
    views = tuple(View(number, 0, (1,)) for number in range(arity))
    step, store = Step(kernel, dtype, out, tuple(range(arity))), Store(arity, View(arity, 0, (1,)))
    loop = Loop((_BLOCK,), views, (), (step,), (store,), ())
    program = Program((*buffers, Buffer("output", out, (_BLOCK,), (1,), 0)), (), (loop,), 0, 1)
    values = np.linspace(0.1, 0.9, _BLOCK) if dtype.kind in "fc" else np.arange(_BLOCK) % 7 + 1
    return _BLOCK / _run(program, [values.astype(dtype)] * arity)


def limit(cost: Cost) -> Limit | None:
    """The least time for a cost; None if its operations are not known.

    Bytes come from the nearest level of the memory that all of them fit into, and take as long as the C library needs
    to read and to copy as many there; operations take as long as those of a matrix product, and functions as long as
    their kernels on data next to the processor. All of that happens at once, so that the longest of these counts.
    """
    alone = _limit(cost, 1)
    threads = best_threads()
    if alone is None or threads == 1 or alone.seconds < ONE_CORE_BELOW:
        return alone
    return _limit(cost, threads)


def _limit(cost: Cost, threads: int) -> Limit | None:
    if cost.flops is None:
        return None
    found = [Limit(0.0, "nothing", threads)]
    if cost.bytes:
        level = level_of(cost.footprint, threads).name
        speed = rates_for(cost.footprint, threads)
        found.append(Limit(cost.read / speed.read + cost.written / speed.write, level, threads))
    slow = sum(count / rate(operation) for operation, count in cost.slow.items()) / threads
    fast = cost.flops - sum(cost.slow.values())
    arithmetic = fast / peak(cost.dtype, threads) if fast > 0 and cost.dtype is not None else 0.0
    found.append(Limit(arithmetic + slow, "functions" if slow > arithmetic else "arithmetic", threads))
    return max(found, key=lambda item: item.seconds)


def _typical(level: Level, threads: int) -> int:
    """Bytes that fit well into a level."""
    return _large() + 1 if level.size == math.inf else int(level.size) // 2 * (1 if level.shared else threads)


def describe() -> dict[str, Any]:
    """What was measured, all of it: for pictures of the limits."""
    threads = best_threads()
    return {
        "threads": threads,
        "levels": {item.name: rates_for(_typical(item, threads), threads) for item in levels()},
        "peak": {name: peak(np.dtype(name), threads) for name in ("float32", "float64")},
        "processor": processor(),
    }


@cache
def processor() -> str:
    """The name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return os.uname().machine
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1].strip() if found else os.uname().machine
