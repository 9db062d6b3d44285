"""The CPU executor: programs in native kernels. The only module that imports `tracer._kernels`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import tracer._kernels as _kernels
from tracer.config import config
from tracer.graph.graph import Graph
from tracer.graph.scipy_extensions import extension
from tracer.lower.build import Layout
from tracer.lower.program import Program
from tracer.lower.rows import split
from tracer.lower.schedule import lower
from tracer.phases import phase
from tracer.run import jit
from tracer.types import DTYPES, ArrayType

Array = np.ndarray[Any, Any]

Dispatcher = _kernels.Dispatcher
GeneratorState = _kernels.GeneratorState
time_memory = _kernels.time_memory
log_stretches = _kernels.log_stretches
thread_count = _kernels.get_threads
scalar_operations = _kernels.list_operations
instruction_set = _kernels.active_isa

_kernels.set_blas(extension("cython_blas").__pyx_capi__, lambda: extension("cython_lapack").__pyx_capi__)
config.listen("threads", _kernels.set_threads)

_DTYPES = {dtype.name: dtype for dtype in DTYPES}
_KERNELS = frozenset((name, _DTYPES[operand], _DTYPES[result]) for name, operand, result, _ in _kernels.list_kernels())


def has_kernel(name: str, operand: np.dtype[Any], result: np.dtype[Any]) -> bool:
    """Whether there is a native kernel for a scalar operation on these dtypes."""
    return (name, operand, result) in _KERNELS


def ready(program: Program) -> Any:
    """The native form of a program that was put together by hand. Raises ValueError if it is malformed."""
    return _kernels.Program(program)


def expect(types: Iterable[ArrayType]) -> None:
    """See to memory for results of these types, while the program that computes them is still being made."""
    _kernels.prepare_memory([math.prod(item.known_shape) * item.dtype.itemsize for item in types])


class Executable:
    """A graph compiled for arguments of given layouts.

    Attributes
    ----------
    program : LoweredProgram
        What was lowered.
    native : _kernels.Program
        The same, ready to run.
    rows : dict
        By output, what changes an input in place instead: the input, the program that does it, and which outputs of
        `native` that takes.
    """

    def __init__(
        self, graph: Graph, layouts: Sequence[Layout] | None = None, updates: Sequence[tuple[int, int]] = ()
    ) -> None:
        with phase("lower"):
            rest, changes = (graph, ()) if layouts is None else split(graph, layouts, updates)
            self.program = lower(rest, layouts, has_kernel)
        _kernels.prepare_memory([self.program.arena])
        with phase("build"):
            self.native = _kernels.Program(self.program)
            self.rows = {item.output: (item.input, _kernels.Program(item.program), item.places) for item in changes}
        self.count = len(graph.outputs)
        jit.watch(self.native)

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run on arrays of the layouts it was compiled for; IndexError and the like carry `tracer_line`."""
        outputs: list[Array] = self.native.run(arrays)
        changed = {}
        for output, (place, program, places) in self.rows.items():
            changed[output] = arrays[place].copy()
            program.run([changed[output], *(outputs[item] for item in places)])
        for output, array in changed.items():
            outputs[output] = array
        return outputs[: self.count]
