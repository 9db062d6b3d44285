"""Runs a graph with NumPy, op by op: what the reference executor does, and ops that hold graphs of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import ITEM, Node

Array = np.ndarray[Any, Any]
Hook = Callable[[Node, tuple[Array, ...], Array], None]


class Evaluation:
    """A graph with the moment of each value's last use, ready to run many times."""

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

    def compute(self, arrays: Sequence[Array], after: Hook | None = None) -> list[Array]:
        """The outputs for one array per input, as they come: they may share memory with the inputs.

        An exception carries the user's line as its attribute `tracer_line`.
        """
        values: dict[Node, Any] = dict(self.constants)
        values.update(zip(self.graph.inputs, arrays, strict=True))
        for node, dying in self.steps:
            inputs = tuple([values[item] for item in node.inputs])
            try:
                with np.errstate(all="ignore"):
                    result = node.op.evaluate(*inputs, **node.params)
            except Exception as error:
                if not hasattr(error, "tracer_line"):
                    error.tracer_line = str(node.line or "")  # type: ignore[attr-defined]
                raise
            parts = [
                np.asarray(part, item.dtype)
                for part, item in zip(result if node.has_items else (result,), node.types, strict=True)
            ]
            if after is not None and node.op is not ITEM:
                for part in parts:
                    after(node, inputs, part)
            values[node] = tuple(parts) if node.has_items else parts[0]
            for item in dying:
                del values[item]
        return [values[node] for node in self.graph.outputs]


@lru_cache(maxsize=64)
def evaluation(graph: Graph) -> Evaluation:
    """The evaluation of a graph, prepared once."""
    return Evaluation(graph)
