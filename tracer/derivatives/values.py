"""Derivatives of traced values with respect to traced values."""

from __future__ import annotations

import warnings
from typing import Any

from tracer import errors
from tracer.derivatives.functions import one, unmoved, zeros
from tracer.derivatives.reverse import check_cost
from tracer.graph.graph import Graph
from tracer.graph.node import Node
from tracer.rewrite.passes import stabilise
from tracer.rewrite.shifts import hold_maxima
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, describe, unwrap, wrap
from tracer.transform.grad import vjp as pull_back
from tracer.tree import flatten, unflatten

_DISCONNECTED_CHOICES = ("raise", "warn", "ignore")


def grad_of_value(cost: Any, wrt: Any, disconnected_inputs: str = "raise") -> Any:
    """The gradient of a traced scalar with respect to traced values; see `grad`."""
    if disconnected_inputs not in _DISCONNECTED_CHOICES:
        raise ValueError(f"disconnected_inputs must be one of {_DISCONNECTED_CHOICES}, not {disconnected_inputs!r}")
    if isinstance(wrt, set | frozenset):
        raise TypeError("wrt must be a traced value or a list or tuple of them: a set has no order")
    leaves, structure = flatten(wrt)
    for leaf in leaves:
        if not isinstance(leaf, Proxy):
            raise TypeError(errors.message(errors.WRT_NOT_TRACED, type=type(leaf).__name__))
    cost_node = unwrap(cost)
    check_cost(cost_node)
    nodes = [leaf.__tracer_node__ for leaf in leaves]
    graph = Graph((), (cost_node,))
    frozen = unmoved(graph.nodes(), nodes).union(nodes)
    stable = hold_maxima(stabilise(graph, frozen), frozen).outputs[0]
    gradients = pull_back([stable], [one(stable)], nodes)
    results = []
    for node, gradient in zip(nodes, gradients, strict=True):
        if gradient is None:
            _disconnected(node, disconnected_inputs)
            gradient = zeros(node)
        results.append(wrap(gradient, trace.current()))
    return unflatten(structure, results)


def _disconnected(node: Node, choice: str) -> None:
    text = errors.message(errors.DISCONNECTED, value=describe(node))
    if choice == "raise":
        raise errors.DisconnectedInputError(text)
    if choice == "warn":
        warnings.warn(text, stacklevel=4)
