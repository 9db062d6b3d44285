"""A choice between two values as an elementary op; rewriting makes conditions of it, which compute only one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import aligned, spread_all
from tracer.graph.looping import zeros
from tracer.graph.op import OPS, Op, declare
from tracer.types import ArrayType


def _infer(types: Sequence[ArrayType]) -> ArrayType:
    predicate, then, otherwise = types
    if predicate != ArrayType(np.dtype(bool), ()):
        raise TypeError(f"ifelse: the predicate has type {predicate}, not bool[]")
    if then != otherwise:
        raise TypeError(f"ifelse: the branches have types {then} and {otherwise}")
    return then


def _none(value: Any) -> Any:
    return zeros(ArrayType(value.dtype, value.shape), value)


def _forward(tangents: Sequence[Any], y: Any, predicate: Any, then: Any, otherwise: Any) -> Any:
    _, one, two = tangents
    if one is None and two is None:
        return None
    return IFELSE(predicate, _none(then) if one is None else one, _none(otherwise) if two is None else two)


def _batched(inputs: Sequence[Any], is_batched: Sequence[bool], size: int) -> Any:
    if not is_batched[0]:
        return IFELSE(inputs[0], *spread_all(inputs[1:], is_batched[1:], size))
    return OPS["where"](*aligned(inputs, is_batched))


# Rules that choose again: a product with the condition would compute both branches, and make NaN of infinity.
IFELSE: Op = declare(
    Op(
        "ifelse",
        "call",
        _infer,
        lambda predicate, then, otherwise: np.array(then if predicate else otherwise),
        vjp=(
            None,
            lambda g, y, predicate, then, otherwise: IFELSE(predicate, g, _none(g)),
            lambda g, y, predicate, then, otherwise: IFELSE(predicate, _none(g), g),
        ),
        jvp=_forward,
        batch=_batched,
        doc="The first of two values if a predicate holds, else the second; only that one is computed.",
    )
)
