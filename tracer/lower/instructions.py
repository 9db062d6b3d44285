"""The instructions of a program and the buffers that they look at: plain data.

All offsets and strides count elements, not bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tracer.records import NamedTuple

Shape = tuple[int, ...]


class Buffer(NamedTuple):
    """A piece of memory that instructions look at through views.

    Attributes
    ----------
    kind : {"argument", "constant", "temporary", "output"}
        Whose memory it is: the caller's array, one of `Program.constants`, the arena, or a fresh array.
    dtype : numpy.dtype
        Element type.
    shape, strides : tuple of int
        As those of an array, strides in elements. All but arguments and constants are C-contiguous.
    index : int
        Position among the arguments, constants or outputs of the program.
    offset : int
        Byte offset in the arena, of temporaries.
    """

    kind: str
    dtype: np.dtype[Any]
    shape: Shape
    strides: Shape
    index: int = 0  # type: ignore[assignment]
    offset: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, not counting gaps."""
        return self.size * self.dtype.itemsize


class View(NamedTuple):
    """A strided window on a buffer: one stride per dimension of the instruction's domain, 0 to broadcast."""

    buffer: int
    offset: int
    strides: Shape


class Step(NamedTuple):
    """One scalar operation of a loop: `kernel` over registers of type `dtype`, giving a value of type `out`."""

    kernel: str
    dtype: np.dtype[Any]
    out: np.dtype[Any]
    inputs: tuple[int, ...]


class Store(NamedTuple):
    """Writes a register to memory at every point of the domain."""

    register: int
    view: View


class Reduce(NamedTuple):
    """Folds a register over the dimensions where the view's stride is 0; the target starts at the identity."""

    kind: str
    register: int
    view: View


class Loop(NamedTuple):
    """A fused loop: at every point of `shape`, load, compute, store and reduce.

    Registers are numbered loads first, then immediates, then steps; every one is written once.
    """

    shape: Shape
    loads: tuple[View, ...]
    immediates: tuple[np.generic, ...]
    steps: tuple[Step, ...]
    stores: tuple[Store, ...]
    reduces: tuple[Reduce, ...]
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "loop"


class MatMul(NamedTuple):
    """`out = alpha * a @ b (+ out)` over a batch; views stride over (*batch, m, k), (*batch, k, n), (*batch, m, n)."""

    dtype: np.dtype[Any]
    batch: Shape
    m: int
    n: int
    k: int
    a: View
    b: View
    out: View
    alpha: float = 1.0
    accumulate: bool = False
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "matmul"


class Gather(NamedTuple):
    """`out[I..., R...] = source[index0[I], index1[I], ..., R...]` with negative indices wrapped, others checked.

    `shape` is I + R; `source` strides over the `axes` indexed axes of `source_shape` and then over R.
    """

    shape: Shape
    source: View
    source_shape: Shape
    axes: int
    indices: tuple[View, ...]
    out: View
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "gather"


class Scatter(NamedTuple):
    """`out[index0[I], ..., R...] += source[I..., R...]` (or `=`), repeated indices in order; the mirror of `Gather`."""

    shape: Shape
    out: View
    out_shape: Shape
    axes: int
    indices: tuple[View, ...]
    source: View
    mode: str = "add"
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "scatter"


class Cumulative(NamedTuple):
    """Running sum, product, maximum or minimum along one axis."""

    kind: str
    shape: Shape
    axis: int
    source: View
    out: View
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "cumulative"


class ArgReduce(NamedTuple):
    """Place of the first extreme along one axis; `out` (int64) strides over the shape without that axis."""

    kind: str
    shape: Shape
    axis: int
    source: View
    out: View
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "arg_reduce"


class Call(NamedTuple):
    """A Python function of arrays; what it returns is copied into the outputs. Pairs are (view, shape).

    `kernel` may do the same natively for small matrices; it leaves what is out of the ordinary to the function.
    """

    function: Callable[..., Any]
    inputs: tuple[tuple[View, Shape], ...]
    outputs: tuple[tuple[View, Shape], ...]
    line: str = ""
    kernel: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "call"


class Window(NamedTuple):
    """Where an argument or output of a program is at each step: a view over (steps, *its shape).

    `backward` windows go from the last row that is used to the first.
    """

    view: View
    backward: bool = False


class Scan(NamedTuple):
    """Runs a program once a step, on windows that move along larger arrays.

    Attributes
    ----------
    program : Program
        Run with an argument per source, straight into the targets.
    steps : int
        How often, at most.
    sources, targets : tuple of Window
    carries : tuple of (int, int)
        Argument and output that exchange their memory after each step, if it is not the same; at the end the last value
        is where the argument was. Rows of the other targets that no step wrote are zero.
    stop : int
        The output that says whether this was the last step; -1: none.
    arena : View or None
        Scratch memory of the program.
    count, done : View or None
        Where to read how many steps to do, and where to write how many were done.
    """

    program: Any
    steps: int
    sources: tuple[Window, ...]
    targets: tuple[Window, ...]
    carries: tuple[tuple[int, int], ...]
    stop: int = -1
    arena: View | None = None
    count: View | None = None  # type: ignore[assignment]
    done: View | None = None
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "scan"


class Branch(NamedTuple):
    """Runs the first of two programs if the predicate holds and else the second; a view per argument and output."""

    predicate: View
    programs: tuple[Any, Any]
    sources: tuple[View, ...]
    targets: tuple[View, ...]
    arena: View | None = None
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "branch"


class Sweep(NamedTuple):
    """A program that is run once a step of a `While`.

    Attributes
    ----------
    program : Program
        Run with the carries, what earlier sweeps have emitted at this step, and what is the same at every step; gives
        the new carries and what it emits.
    carries : tuple of (View, View)
        Where a carry starts and ends, and memory with which that is exchanged after each step, if it is not the same.
    backward : bool
        Whether it runs from the last step to the first.
    """

    program: Any
    carries: tuple[tuple[View, View], ...]
    backward: bool


class While(NamedTuple):
    """Runs the first of its sweeps while a condition holds, and the others over the same steps.

    Attributes
    ----------
    condition : Program
        Run before each step with the carries of the first sweep and `fixed`; gives a truth value.
    sweeps : tuple of Sweep
    fixed : tuple of View
        What is the same at every step.
    arena : View or None
        Scratch memory of all programs.
    """

    condition: Any
    sweeps: tuple[Sweep, ...]
    fixed: tuple[View, ...]
    arena: View | None = None
    line: str = ""

    @property
    def opcode(self) -> str:
        """What listings and the kernels call it."""
        return "while"


Instruction = Loop | MatMul | Gather | Scatter | Cumulative | ArgReduce | Call | Scan | Branch | While


def views_of(instruction: Instruction) -> Iterable[View]:
    """Every view that an instruction reads or writes."""
    match instruction:
        case Loop():
            yield from instruction.loads
            yield from targets_of(instruction)
        case MatMul():
            yield from (instruction.a, instruction.b, instruction.out)
        case Gather() | Scatter():
            yield from (instruction.source, instruction.out, *instruction.indices)
        case Cumulative() | ArgReduce():
            yield from (instruction.source, instruction.out)
        case Call():
            for view, _ in (*instruction.inputs, *instruction.outputs):
                yield view
        case Scan():
            yield from (window.view for window in (*instruction.sources, *instruction.targets))
            yield from filter(None, (instruction.arena, instruction.count, instruction.done))
        case Branch():
            yield from (instruction.predicate, *instruction.sources, *instruction.targets)
            yield from filter(None, (instruction.arena,))
        case While():
            yield from (view for sweep in instruction.sweeps for pair in sweep.carries for view in pair)
            yield from (*instruction.fixed, *filter(None, (instruction.arena,)))


def targets_of(loop: Loop) -> list[View]:
    """Every view that a loop writes."""
    return [store.view for store in loop.stores] + [reduce.view for reduce in loop.reduces]
