"""How fast programs that a Python loop unrolls are traced, differentiated, rewritten and lowered.

Run `python -m benchmarks.compile_speed [count ...]`, with the numbers of recorded operations to aim at (10,000 and
100,000 by default; a million takes two gigabytes). For each program and size it prints the operations that were
recorded, those of the derivative among them, the seconds from the call to a program that is ready to run (processor
time of the best of three, all passes included), operations per second, and the memory that this took.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

import tracer

ROUNDS = 3
COUNTS = (10_000, 100_000)
COLUMNS = "{:<28}{:>12}{:>10}{:>12}{:>10}"


def chain(x: Any, count: int) -> Any:
    """Elementwise operations, one after the other."""
    for _ in range(count):
        x = np.sin(x) * 0.9 + 0.1
    return x.sum()


def in_place(x: Any, count: int) -> Any:
    """Elements of an array, written one after the other."""
    y = np.copy(x)
    for step in range(count):
        y[step % 10] = np.sin(y[(step + 1) % 10]) * 0.9
    return y.sum()


def reduced(x: Any, count: int) -> Any:
    """Views, broadcasts and reductions."""
    rows, s = x.reshape(2, 5), x[:5]
    for _ in range(count):
        s = np.tanh(s + (rows * s).sum(axis=1).mean())
    return s.sum()


def gathered(x: Any, count: int) -> Any:
    """Reads and writes at places that are computed."""
    places, y = np.argsort(x), np.zeros(10)
    for _ in range(count):
        y[places] = np.sin(x[places]) * y
        x = x * 0.9
    return y.sum()


class Program(NamedTuple):
    """A function of an array and of how often its loop is repeated, and whether its gradient is compiled."""

    function: Callable[[Any, int], Any]
    gradient: bool

    @property
    def title(self) -> str:
        return self.function.__name__ + (", value and gradient" if self.gradient else "")


PROGRAMS = [
    Program(function, gradient) for function in (chain, in_place, reduced, gathered) for gradient in (False, True)
]


class Measured(NamedTuple):
    """Operations recorded, the seconds that compiling them took, and the most memory of the process in MiB."""

    operations: int
    seconds: float
    memory: int


def compiled(program: Program, steps: int) -> Measured:
    """Compile a program once."""
    function = tracer.value_and_grad(program.function) if program.gradient else program.function
    start = time.process_time()
    plan = tracer.compile(function).plan(np.linspace(0.1, 1, 10), steps)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)
    return Measured(len(plan.traced.graph.nodes()), seconds, memory)


def measured(number: int, count: int) -> Measured:
    """Compile a program of about `count` operations several times; the best of them."""
    program = PROGRAMS[number]
    few, more = (compiled(program, steps).operations for steps in (10, 20))
    steps = max(10 * count // (more - few), 1)
    return min((compiled(program, steps) for _ in range(ROUNDS)), key=lambda item: item.seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every program at every size, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=COUNTS, help="numbers of operations")
    counts = parser.parse_args(arguments).counts
    print(COLUMNS.format("program", "operations", "seconds", "per second", "MiB"))
    for number, program in enumerate(PROGRAMS):
        for count in counts:
            with get_context("spawn").Pool(1) as pool:
                found = pool.apply(measured, (number, count))
            speed = found.operations / found.seconds
            row = (program.title, found.operations, f"{found.seconds:.2f}", f"{speed:.0f}", found.memory)
            print(COLUMNS.format(*row), flush=True)


if __name__ == "__main__":
    main()
