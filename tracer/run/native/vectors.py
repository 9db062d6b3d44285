"""How loops with elementary functions are put into vectors, so that they are not slower than the block kernels.

Other loops are left to LLVM's own judgement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracer.lower.instructions import Step
from tracer.run.native.functions import FUNCTIONS, WITH_BRANCH
from tracer.run.native.host import vector_bytes

MOST_FUNCTIONS = 64
"""Functions of the longest loop that is translated; each takes LLVM some milliseconds."""
LEAST_FILLED = 0.85
"""Share of the elements of its vectors that a short row has to fill: block kernels join short rows."""
MANY_VECTORS = 32
"""A row of so many of them may leave some elements to a loop of their own."""
SERIAL, HALF_SERIAL = 0.75, 0.4
"""Shares of the functions of a loop that wait for one another, from which on it computes several vectors in turn."""


def suits_vectors(steps: Sequence[Step], inner: Sequence[int]) -> bool:
    """Whether the functions of a loop, if it has some, are computed faster than by block kernels.

    Parameters
    ----------
    steps : sequence of Step
    inner : sequence of int
        Lengths of the axes inside the outermost one.
    """
    called = [step for step in steps if step.kernel in WITH_BRANCH]
    vectors = _vectors_of_row(steps, inner)
    if called:
        # They are there for whole vectors of one length.
        sizes = {max(step.dtype.itemsize, step.out.itemsize) for step in steps}
        if max(sizes) > min(step.dtype.itemsize for step in called) or (vectors or 0) % 1:
            return False
    filled = vectors is None or vectors > MANY_VECTORS or vectors >= LEAST_FILLED * math.ceil(vectors)
    return filled and sum(step.kernel in FUNCTIONS for step in steps) <= MOST_FUNCTIONS


def code_wishes(steps: Sequence[Step]) -> str:
    """What LLVM is asked to do with the whole code, as attributes of a function."""
    # On some processors it would use half of a vector, which pays for loops that wait for memory.
    return f'"prefer-vector-width"="{8 * vector_bytes()}"' if any(step.kernel in FUNCTIONS for step in steps) else ""


def loop_wishes(steps: Sequence[Step], inner: Sequence[int], registers: int) -> list[str]:
    """What LLVM is asked to do with the loops, as metadata.

    Parameters
    ----------
    steps, inner
        As in `suits_vectors`.
    registers : int
        Of what is loaded, and of immediates: those of steps follow.
    """
    vectors = _vectors_of_row(steps, inner)
    if vectors is not None and vectors <= MANY_VECTORS:
        return ['"llvm.loop.vectorize.predicate.enable", i1 true'] if vectors % 1 else []
    count = _interleaved(steps, registers)
    return [f'"llvm.loop.interleave.count", i32 {count}'] if count > 1 else []


def _vectors_of_row(steps: Sequence[Step], inner: Sequence[int]) -> float | None:
    """How many vectors a row takes, of a loop with functions over rows of a known length."""
    sizes = [step.dtype.itemsize for step in steps if step.kernel in FUNCTIONS]
    return inner[-1] * max(sizes) / vector_bytes() if sizes and inner else None


def _interleaved(steps: Sequence[Step], registers: int) -> int:
    """How many vectors are computed in turn, so that the processor need not wait for results."""
    depths = [0] * registers
    for step in steps:
        depths.append(max((depths[number] for number in step.inputs), default=0) + (step.kernel in FUNCTIONS))
    functions = sum(step.kernel in FUNCTIONS for step in steps)
    deepest = max(depths)
    if deepest < 2 or deepest < HALF_SERIAL * functions:
        return 1
    return 2 if deepest < SERIAL * functions else 4
