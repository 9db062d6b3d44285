"""Ops that change derivatives and nothing else: their value is their input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.op import Op, declare
from tracer.types import ArrayType, TupleType


def _same(types: Sequence[ArrayType], **_: Any) -> ArrayType:
    return types[0]


def _layout(shape: Any, strides: Any, offset: int, **_: Any) -> Any:
    return strides, offset


def _identity(name: str, doc: str, **fields: Any) -> Op:
    """Declare an op that computes nothing, and costs nothing."""
    return declare(Op(name, "view", _same, lambda x, **_: x, layout=_layout, doc=doc, **fields))


MARK = declare(
    Op(
        "mark",
        "call",  # not a view: even a marked constant must stay what it is
        _same,
        lambda x, key: x,
        vjp=(lambda g, y, x, key: g,),
        jvp="linear",
        doc="Keeps a value apart from equal ones, so that a derivative can be taken with respect to it alone.",
    )
)
ZERO_GRADIENT = _identity("zero_gradient", "A value through which the derivative is zero.", zero_derivative=True)
UNDEFINED_GRADIENT = _identity("undefined_gradient", "A value through which no derivative can be taken.")
CLIP_GRADIENT = _identity(
    "clip_gradient",
    "A value whose cotangent is kept within bounds; tangents are not.",
    vjp=(lambda g, y, x, lower, upper: np.clip(g, lower, upper),),
    jvp="linear",
)
SCALE_GRADIENT = _identity(
    "scale_gradient",
    "A value whose derivative is multiplied by a number.",
    vjp=(lambda g, y, x, factor: g * factor,),
    jvp=lambda tangents, y, x, factor: tangents[0] * factor,
)
FORWARD_ONLY = _identity(
    "forward_only",
    "A value through which tangents pass, but no cotangents: those come another way.",
    vjp=(None,),
    jvp="linear",
)

IDENTITIES = frozenset((MARK, ZERO_GRADIENT, UNDEFINED_GRADIENT, CLIP_GRADIENT, SCALE_GRADIENT, FORWARD_ONLY))
"""What a graph can do without once its derivatives have been taken."""

# --- rules of one's own ------------------------------------------------------------------------------------------


class DerivativeRule:
    """The derivatives of a computation that somebody gave. Rules are told apart by identity.

    Attributes
    ----------
    count : int
        How many outputs the computation has.
    keeps_body : bool
        Whether cotangents go through the computation itself too, for those of its inputs that have no rule.
    vjp : callable
        (position, cotangents, outputs, inputs) -> cotangent of the input, or None for zero.
    jvp : callable or None
        (tangents of inputs, tangents of the computation itself, inputs) -> a tangent per output, None for zero; those
        of the computation itself if no callable.
    """

    def __init__(
        self,
        count: int,
        vjp: Callable[..., Any],
        jvp: Callable[..., Any] | None = None,
        keeps_body: bool = False,
    ) -> None:
        self.count, self.vjp, self.jvp, self.keeps_body = count, vjp, jvp, keeps_body


def _ruled_types(types: Sequence[ArrayType], rule: DerivativeRule) -> TupleType:
    return TupleType(tuple(types[: rule.count]))


def _ruled_vjp(position: int, g: Any, y: Any, *inputs: Any, rule: DerivativeRule) -> Any:
    if position < rule.count:
        return g[position] if rule.keeps_body else None
    return rule.vjp(position - rule.count, g, inputs[: rule.count], inputs[rule.count :])


def _ruled_jvp(tangents: Sequence[Any], y: Any, *inputs: Any, rule: DerivativeRule) -> Any:
    if rule.jvp is None:
        return tuple(tangents[: rule.count])
    return tuple(rule.jvp(tangents[rule.count :], tangents[: rule.count], inputs[rule.count :]))


RULED = declare(
    Op(
        "ruled",
        "call",
        _ruled_types,
        lambda *inputs, rule: inputs[: rule.count],
        vjp=_ruled_vjp,
        jvp=_ruled_jvp,
        doc="The outputs of a computation, given before its inputs, whose derivatives follow a rule of their own.",
    )
)
