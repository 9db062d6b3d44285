"""Executors by name, and what each of them looks like to the rest of the package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.lower.build import Layout
from tracer.run import cpu, reference
from tracer.types import contiguous_strides, element_strides

Array = np.ndarray[Any, Any]

Updates = Sequence[tuple[int, int]]
"""Outputs of a graph that will replace an input once the graph has run: the output, and the input."""


class Executable(Protocol):
    """A compiled graph.

    Attributes
    ----------
    native : object or None
        The program of the kernels, for the fast call path.
    """

    native: Any

    def run(self, arrays: Sequence[Array], /) -> list[Array]:
        """Run on one array per input of the graph; returns fresh C-contiguous arrays, one per output.

        The arrays must have the dtypes, shapes and strides that the graph was compiled for. An exception carries the
        user's line as its attribute `tracer_line`.
        """
        ...


def chosen() -> str:
    """The backend that the settings name, for what says nothing itself."""
    return "gpu" if config.device != "cpu" else str(config.backend)


def layouts_of(name: str, inputs: Sequence[Array]) -> list[Layout]:
    """The (shape, strides in elements) that inputs have where a backend runs: what is sent to a GPU has no gaps."""
    return [
        (array.shape, contiguous_strides(array.shape))
        if name == "gpu" and isinstance(array, np.ndarray)
        else (array.shape, element_strides(array))
        for array in inputs
    ]


def expect(name: str, nodes: Iterable[Node]) -> None:
    """Tell a backend of results to come, so that it can see to their memory while the graph is still worked on."""
    if name == "cpu":
        cpu.expect(node.type for node in nodes)


def load(name: str, graph: Graph, layouts: Sequence[Layout], function: str = "", updates: Updates = ()) -> Executable:
    """Compile a graph for a backend.

    Parameters
    ----------
    name : {"cpu", "gpu", "reference"}
    graph : Graph
    layouts : sequence of Layout
        Of its inputs, as `layouts_of` gives them.
    function : str
        The user's function, for messages.
    updates : sequence of (int, int)
        Outputs that will replace an input once the graph has run.

    Raises
    ------
    DeviceError
        If a GPU is asked for and there is none.
    """
    if name == "reference":
        return reference.Executable(graph)
    if name == "gpu":
        from tracer.run.cuda import executor  # loads CuPy

        return executor.Executable(graph, layouts, function, updates)
    return cpu.Executable(graph, layouts, updates)


def rows_of(executable: Any, output: int) -> tuple[Any, ...]:
    """What the fast call path changes in place of an output: (the input, the program that does it, what that takes).

    Outputs of `native` that it takes. () if the output is an array like any other.
    """
    rows: dict[int, tuple[Any, ...]] = getattr(executable, "rows", {})
    return rows.get(output, ())


def find_nan(graph: Graph, arrays: Sequence[Array], function: str) -> None:
    """Run a graph op by op; raises FloatingPointError naming the first op that makes a NaN out of numbers."""

    def check(node: Node, inputs: tuple[Array, ...], result: Array) -> None:
        if _has_nan(result) and not any(map(_has_nan, inputs)):
            pairs = zip(node.inputs, inputs, strict=True)
            texts = ", ".join(f"{item.type} in {_range(array)}" for item, array in pairs)
            count = int(np.isnan(result).sum())
            raise FloatingPointError(
                errors.message(
                    errors.NAN_FOUND,
                    line=node.line,
                    op=node.op.name,
                    count=count,
                    size=result.size,
                    function=function,
                    inputs=texts or "none",
                )
            )

    reference.run(graph, arrays, check)


def _has_nan(array: Array) -> bool:
    return array.dtype.kind in "fc" and bool(np.isnan(array).any())


def _range(array: Array) -> str:
    """The smallest and the largest element, for messages."""
    if array.dtype.kind == "c" or array.size == 0:
        return "all values"
    return f"[{array.min()}, {array.max()}]"
