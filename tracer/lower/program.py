"""The executable form of a graph: a table of buffers and a flat list of instructions over it.

A `Program` is plain data. It can be checked (`Program.verify`), printed (`Program.disassemble`), pickled, interpreted
by NumPy, by the C++ vector machine, or translated. All offsets and strides count elements, not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.lower.checks import (
    ARENA_ALIGNMENT,
    ARG_REDUCE_KINDS,
    CUMULATIVE_KINDS,
    MAX_DIMENSIONS,
    REDUCE_KINDS,
    SCATTER_MODES,
    ProgramError,
    Verifier,
    element_range,
)
from tracer.lower.instructions import (
    ArgReduce,
    Branch,
    Buffer,
    Call,
    Cumulative,
    Gather,
    Instruction,
    Loop,
    MatMul,
    Reduce,
    Scan,
    Scatter,
    Shape,
    Step,
    Store,
    Sweep,
    View,
    While,
    Window,
)
from tracer.lower.listing import program_text

__all__ = [
    "ARENA_ALIGNMENT",
    "ARG_REDUCE_KINDS",
    "CUMULATIVE_KINDS",
    "MAX_DIMENSIONS",
    "REDUCE_KINDS",
    "SCATTER_MODES",
    "ArgReduce",
    "Branch",
    "Buffer",
    "Call",
    "Cumulative",
    "Gather",
    "Instruction",
    "Loop",
    "LoweredProgram",
    "MatMul",
    "Program",
    "ProgramError",
    "Reduce",
    "Scan",
    "Scatter",
    "Shape",
    "Step",
    "Store",
    "Sweep",
    "View",
    "While",
    "Window",
    "element_range",
]


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions in the order they run, the buffers they use, and the arrays baked into them.

    Attributes
    ----------
    buffers : tuple of Buffer
    constants : tuple of numpy.ndarray
    instructions : tuple of instructions
    arena : int
        Bytes of scratch memory that the temporaries live in.
    outputs : int
        Number of arrays a run returns.
    line : str
        The user's line that the program stands for.
    """

    buffers: tuple[Buffer, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    instructions: tuple[Instruction, ...]
    arena: int
    outputs: int
    line: str = ""

    def verify(self) -> None:
        """Check that every access stays inside its buffer and every type fits.

        Raises
        ------
        ProgramError
            Naming the buffer or instruction at fault.
        """
        Verifier(self).program()

    def disassemble(self) -> str:
        """Readable text: the buffers, then the instructions, one operation a line."""
        return "\n".join(program_text(self)) + "\n"


@dataclass(frozen=True, eq=False)
class LoweredProgram(Program):
    """A program, and for each instruction the nodes that it computes."""

    nodes: tuple[tuple[Node, ...], ...] = ()
