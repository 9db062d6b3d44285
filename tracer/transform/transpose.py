"""Linear functions turned round: from one mode of differentiation to the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracer.graph.graph import substitute
from tracer.graph.looping import zero_node
from tracer.graph.node import Node, input_node
from tracer.transform.grad import vjp
from tracer.types import ArrayType

Linear = Callable[[list[Node]], Sequence[Node | None]]
"""Nodes -> nodes that depend on them linearly, None for zero."""


def transpose(linear: Linear, arguments: Sequence[ArrayType], cotangents: Sequence[Node | None]) -> list[Node | None]:
    """Apply the transpose of a linear function.

    Parameters
    ----------
    linear : callable
        The function, of nodes.
    arguments : sequence of ArrayType
        What it takes.
    cotangents : sequence of Node or None
        One for each of its results.

    Returns
    -------
    list of Node or None
        One for each of its arguments; None is zero.
    """
    places = [input_node(own) for own in arguments]
    pairs = [
        (result, given)
        for result, given in zip(linear(places), cotangents, strict=True)
        if result is not None and given is not None
    ]
    found = vjp([result for result, _ in pairs], [given for _, given in pairs], places)
    parts = [part for part in found if part is not None]
    # What is linear has the same derivative everywhere: at zero if a rule mentions the place after all.
    made = iter(substitute(parts, {place: zero_node(place.type) for place in places}))
    return [None if part is None else next(made) for part in found]
