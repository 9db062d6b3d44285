"""The benchmark cases, one module for each subject.

A cost is written once, in NumPy spelling, with the array namespace as its first parameter: `tracer` gets plain NumPy,
a peer that needs its own namespace gets that. Python numbers only, since a NumPy scalar would promote float32.
"""

from benchmarks.cases import (
    elementwise,
    loops,
    matrices,
    networks,
    physics,
    reductions,
    sequences,
    small_calls,
    statistics,
    stencils,
)
from benchmarks.cases.case import Arrays, Case

__all__ = ["CASES", "SUBJECTS", "Arrays", "Case", "find_case"]

SUBJECTS: dict[str, tuple[Case, ...]] = {
    "small calls": small_calls.CASES,
    "elementwise": elementwise.CASES,
    "reductions": reductions.CASES,
    "networks": networks.CASES,
    "attention and recurrent networks": sequences.CASES,
    "statistics": statistics.CASES,
    "linear algebra": matrices.CASES,
    "n-body and long loops": physics.CASES,
    "stencils": stencils.CASES,
    "loops without a gradient": loops.CASES,
}

CASES: tuple[Case, ...] = tuple(case for cases in SUBJECTS.values() for case in cases)


def find_case(name: str) -> Case:
    """The case called `name`; the error lists the ones there are."""
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(f"no benchmark case {name!r}; there are: {', '.join(case.name for case in CASES)}")
