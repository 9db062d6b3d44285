"""What the tests of graphs and rewrites share: making nodes, and computing a graph with NumPy, op by op."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tracer  # noqa: F401  (fills the table of ops)
from tracer.graph.graph import Graph, toposort
from tracer.graph.node import Node, input_node
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.types import type_of


def variable(value: Any, name: str | None = None) -> Proxy:
    """A traced input of the type of a value."""
    return wrap(input_node(type_of(value), name))


def graph_of(function: Callable[..., Any], *values: Any) -> Graph:
    """The graph of a function of arrays like these."""
    inputs = [variable(value, name) for value, name in zip(values, function.__code__.co_varnames, strict=False)]
    result = function(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    return Graph(tuple(item.__tracer_node__ for item in inputs), tuple(unwrap(item) for item in outputs))


def compute(graph: Graph, *values: Any) -> tuple[np.ndarray, ...]:
    """Run a graph with NumPy."""
    known = dict(zip(graph.inputs, map(np.asarray, values), strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node.is_constant:
                known[node] = node.value
            elif node not in known:
                result = np.asarray(node.op.evaluate(*(known[item] for item in node.inputs), **node.params))
                assert (result.dtype, result.shape) == tuple(node.type), node
                known[node] = result
    return tuple(known[node] for node in graph.outputs)


def op_names(nodes: Sequence[Node]) -> list[str]:
    """Names of the ops that nodes need, leaves left out."""
    return [node.op.name for node in toposort(nodes) if node.inputs]
