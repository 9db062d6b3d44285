"""Executors by name, and what each of them looks like to the rest of the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tracer import errors
from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.lower.build import Layout
from tracer.run import cpu, reference

Array = np.ndarray[Any, Any]


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


def load(name: str, graph: Graph, layouts: Sequence[Layout]) -> Executable:
    """Compile a graph for "cpu" or "reference"; layouts are the (shape, strides in elements) of its inputs."""
    return reference.Executable(graph) if name == "reference" else cpu.Executable(graph, layouts)


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
