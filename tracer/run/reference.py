"""The reference executor: NumPy, one op at a time. It defines what every other executor must answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import Node

Array = np.ndarray[Any, Any]
Hook = Callable[[Node, tuple[Array, ...], Array], None]


def run(graph: Graph, arrays: Sequence[Array], after: Hook | None = None) -> list[Array]:
    """Run a graph on arrays.

    Parameters
    ----------
    graph : Graph
        Whatever shapes are unknown in it are those of the arrays.
    arrays : sequence of numpy.ndarray
        One for each input of the graph.
    after : callable
        Called with each computed node, the arrays it was computed from, and its own.

    Returns
    -------
    list of numpy.ndarray
        Fresh, C-contiguous.

    Raises
    ------
    Exception
        Whatever NumPy raises, with the user's line as its attribute `tracer_line`.
    """
    return Executable(graph).run(arrays, after)


class Executable:
    """A graph with the moment of each value's last use, ready to run many times."""

    native = None

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[tuple[Node, tuple[Node, ...]]] = []
        needed = set(graph.outputs)
        given = set(graph.inputs)
        for node in reversed(graph.nodes()):
            if not node.is_constant and node not in given:
                dying = tuple(item for item in dict.fromkeys(node.inputs) if item not in needed)
                needed.update(node.inputs)
                self.steps.append((node, dying))
        self.steps.reverse()
        self.constants = {node: node.value for node in needed if node.is_constant}

    def run(self, arrays: Sequence[Array], /, after: Hook | None = None) -> list[Array]:
        """Run on arrays; the arguments are those of `reference.run`."""
        values: dict[Node, Array] = dict(self.constants)
        values.update(zip(self.graph.inputs, arrays, strict=True))
        for node, dying in self.steps:
            inputs = tuple([values[item] for item in node.inputs])
            try:
                with np.errstate(all="ignore"):
                    result = np.asarray(node.op.evaluate(*inputs, **node.params))
            except Exception as error:
                error.tracer_line = str(node.line or "")  # type: ignore[attr-defined]
                raise
            if result.dtype != node.type.dtype:
                result = result.astype(node.type.dtype)
            if after is not None:
                after(node, inputs, result)
            values[node] = result
            for item in dying:
                del values[item]
        return [np.array(values[node], order="C") for node in self.graph.outputs]
