"""What this machine can do at most: `python -m benchmarks.limits`.

Bytes per second by the size of the data, for copying, reading and writing, on one and two threads; multiplications per
second of the BLAS that tracer calls too, by size; and what it costs to call a compiled function that does nothing.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy

THREADS = (1, 2)
WORKING_SETS = (16 << 10, 256 << 10, 4 << 20, 24 << 20, 256 << 20)
MATRICES = (16, 64, 128, 256, 512, 1024)
SECONDS = 0.2
BYTES_PER_RUN = 1 << 30
MOST_REPEATS = 20_000
FLOATS = {"s": numpy.float32, "d": numpy.float64}


@dataclass(frozen=True)
class Limits:
    """What was seen.

    Parameters
    ----------
    bandwidth : dict
        Bytes per second by (kind, bytes worked on, threads); a copied byte counts twice, read and written.
    products : dict
        Floating-point operations per second by (letter of the BLAS routine, rows of square matrices).
    call : float
        Seconds that a call of a compiled function takes which does next to nothing.
    """

    bandwidth: dict[tuple[str, int, int], float]
    products: dict[tuple[str, int], float]
    call: float

    def seconds(self, bytes_read: int, bytes_written: int) -> float:
        """The least time to move so many bytes: at the speed of the level that holds them all, on all threads."""
        total = bytes_read + bytes_written
        sizes = sorted({size for _, size, _ in self.bandwidth})
        size = next((size for size in sizes if total <= size), sizes[-1])

        def best(kind: str) -> float:
            return max(speed for (what, where, _), speed in self.bandwidth.items() if (what, where) == (kind, size))

        apart = bytes_read / best("read") + bytes_written / best("write")
        return min(apart, total / best("copy")) if bytes_written else apart


def kernels() -> dict[str, Callable[..., None]]:
    """Loops that only move data; ImportError without numba."""
    import numba

    @numba.njit(nogil=True)
    def copy(target: Any, source: Any, repeats: int) -> None:
        for _ in range(repeats):
            for i in range(source.size):
                target[i] = source[i]

    # Additions in any order, so that they are vectors.
    @numba.njit(nogil=True, fastmath=True)
    def read(target: Any, source: Any, repeats: int) -> None:
        total = source[0]
        for _ in range(repeats):
            for i in range(source.size):
                total += source[i]
        target[0] = total

    @numba.njit(nogil=True)
    def write(target: Any, source: Any, repeats: int) -> None:
        for repeat in range(repeats):
            # Another value each time: the same one need not be written again.
            value = source[repeat % 2]
            for i in range(target.size):
                target[i] = value

    return {"copy": copy, "read": read, "write": write}


def bandwidth(kernel: Callable[..., None], moved: int, size: int, threads: int) -> float:
    """Bytes per second of loops over `size` bytes in all, of which each element counts `moved` times."""
    count = size // 4 // threads // moved
    arrays = [tuple(numpy.ones(count, dtype=numpy.float32) for _ in range(2)) for _ in range(threads)]
    repeats = min(max(1, BYTES_PER_RUN // size), MOST_REPEATS)
    fastest, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        workers = [threading.Thread(target=kernel, args=(*pair, repeats)) for pair in arrays[1:]]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        kernel(*arrays[0], repeats)
        for worker in workers:
            worker.join()
        fastest = min(fastest, time.perf_counter() - start)
    return repeats * threads * count * 4 * moved / fastest


def product_seconds(letter: str, m: int, n: int, k: int) -> float:
    """The least time seen for a product of matrices by the BLAS that SciPy brings, which is tracer's too.

    What it costs to call the routine from Python is taken off.
    """
    return max(_called_product(letter, m, n, k) - _called_product(letter, 1, 1, 1), 0.0)


@lru_cache
def _called_product(letter: str, m: int, n: int, k: int) -> float:
    from scipy.linalg import blas

    multiply = getattr(blas, f"{letter}gemm")
    # Columns next to each other are what the routine works on, so that nothing is copied.
    a, b, c = (numpy.ones(shape, dtype=FLOATS[letter], order="F") for shape in ((m, k), (k, n), (m, n)))
    return least_time(lambda: multiply(1.0, a, b, c=c, overwrite_c=True))


def least_time(call: Callable[[], Any], seconds: float = SECONDS) -> float:
    """Seconds per call of the fastest of many short series."""
    call()
    start = time.perf_counter()
    call()
    number = max(1, round(0.002 / (time.perf_counter() - start)))
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(number):
            call()
        fastest = min(fastest, (time.perf_counter() - start) / number)
    return fastest


def call_seconds() -> float:
    """What a call costs that does next to nothing."""
    import tracer

    function, x = tracer.compile(lambda x: -x), numpy.ones(1)
    return least_time(lambda: function(x))


def measure() -> Limits:
    """Measure everything; a quarter of a minute."""
    found = {}
    for kind, kernel in kernels().items():
        kernel(*(numpy.ones(9, dtype=numpy.float32) for _ in range(2)), 1)
        for size in WORKING_SETS:
            for threads in THREADS:
                found[kind, size, threads] = bandwidth(kernel, 2 if kind == "copy" else 1, size, threads)
    products = {(letter, n): 2 * n**3 / product_seconds(letter, n, n, n) for letter in FLOATS for n in MATRICES}
    return Limits(found, products, call_seconds())


def tables(limits: Limits) -> str:
    """The limits as Markdown."""
    from benchmarks.text import show_bytes, show_seconds, table

    heads = [
        "bytes worked on",
        *(f"{kind}, {n} thread{'s' * (n > 1)}" for kind in ("copy", "read", "write") for n in THREADS),
    ]
    rows = [
        [
            show_bytes(size),
            *(f"{limits.bandwidth[kind, size, n] / 1e9:.0f}" for kind in ("copy", "read", "write") for n in THREADS),
        ]
        for size in WORKING_SETS
    ]
    products = [
        [f"`{letter}gemm`", *(f"{limits.products[letter, n] / 1e9:.0f}" for n in MATRICES)] for letter in FLOATS
    ]
    return "\n\n".join(
        (
            "Bandwidth in GB/s, by the size of what is worked on; a copied byte counts twice.",
            table(heads, rows),
            "Products of square matrices in GFLOP/s, by the number of rows, in all threads of the BLAS.",
            table(["routine", *map(str, MATRICES)], products),
            f"A call of a compiled function of one number, from Python: {show_seconds(limits.call)}.",
        )
    )


if __name__ == "__main__":
    print(tables(measure()))
    sys.exit()
