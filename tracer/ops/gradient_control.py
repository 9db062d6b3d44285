"""Ops that change derivatives and nothing else: their value is their input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import spread, spread_all
from tracer.graph.node import Node, input_node
from tracer.graph.op import Op, batched_as, declare
from tracer.graph.rules import is_traced, literal, sum_to_shape, traced
from tracer.types import ArrayType, TupleType, is_inexact

Values = Sequence[Any]
Transform = Callable[..., Any]


def _same(types: Sequence[ArrayType], **_: Any) -> ArrayType:
    return types[0]


def _layout(shape: Any, strides: Any, offset: int, **_: Any) -> Any:
    return strides, offset


def _identity(name: str, doc: str, **fields: Any) -> Op:
    """Declare an op that computes nothing, and costs nothing."""
    batch = batched_as(name)
    return declare(Op(name, "view", _same, lambda x, **_: x, batch=batch, layout=_layout, doc=doc, **fields))


MARK = declare(
    Op(
        "mark",
        "call",  # not a view: even a marked constant must stay what it is
        _same,
        lambda x, key: x,
        vjp=(lambda g, y, x, key: g,),
        jvp="linear",
        batch=batched_as("mark"),
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
    name : str
        What texts call the computation.
    """

    name = "ruled"

    def __init__(
        self,
        count: int,
        vjp: Callable[..., Any],
        jvp: Callable[..., Any] | None = None,
        keeps_body: bool = False,
    ) -> None:
        self.count, self.vjp, self.jvp, self.keeps_body = count, vjp, jvp, keeps_body

    @property
    def pushes_body(self) -> bool:
        """Whether tangents go through the computation itself too."""
        return self.keeps_body or self.jvp is None

    def pull(self, wanted: Sequence[int], g: Sequence[Any], y: Values, outputs: Values, inputs: Values) -> list[Any]:
        """The cotangents of the inputs at these places, None for zero.

        `y` are the outputs as they depend on the inputs through this rule, `outputs` as they were computed.
        """
        return [self.vjp(place, g, outputs, inputs) for place in wanted]

    def push(self, tangents: Sequence[Any], through: Sequence[Any], y: Values, inputs: Values) -> Sequence[Any]:
        """The tangents of the outputs, None for zero; `through` are those of the computation itself."""
        return through if self.jvp is None else self.jvp(tangents, through, inputs)


class BatchedRule(DerivativeRule):
    """The rule of many examples at once, from that of one."""

    def __init__(self, rule: DerivativeRule, is_batched: Sequence[bool], size: int, transform: Transform) -> None:
        self.rule, self.size, self.transform = rule, size, transform
        self.count, self.keeps_body, self.name = rule.count, rule.keeps_body, rule.name
        self.is_batched = tuple(is_batched)

    @property
    def pushes_body(self) -> bool:
        """As that of one example."""
        return self.rule.pushes_body

    def pull(self, wanted: Sequence[int], g: Sequence[Any], y: Values, outputs: Values, inputs: Values) -> list[Any]:
        """The cotangents of all examples; those of an input that all examples share are summed."""
        examples = _Examples(y[0])
        one_g, one_y, one_outputs = (examples.of(group, [True] * self.count) for group in (g, y, outputs))
        found = self.rule.pull(wanted, one_g, one_y, one_outputs, examples.of(inputs, self.is_batched))
        results = self._batched(found, examples)
        for place, (number, part) in enumerate(zip(wanted, results, strict=True)):
            if part is None:
                continue
            value, has_axis = part
            if self.is_batched[number]:
                results[place] = value if has_axis else spread(value, self.size)
            else:
                results[place] = np.sum(value, axis=0) if has_axis else value * self.size
        return results

    def push(self, tangents: Sequence[Any], through: Sequence[Any], y: Values, inputs: Values) -> Sequence[Any]:
        """The tangents of all examples."""
        examples = _Examples(y[0])
        moving = examples.of(tangents, self.is_batched)
        every = [True] * self.count
        one_through, one_y = examples.of(through, every), examples.of(y, every)
        found = self.rule.push(moving, one_through, one_y, examples.of(inputs, self.is_batched))
        parts = self._batched(found, examples)
        return [None if part is None else part[0] if part[1] else spread(part[0], self.size) for part in parts]

    def _batched(self, found: Sequence[Any], examples: _Examples) -> list[Any]:
        """For each value of one example that of all and whether it has a batch axis; None for zero."""
        values = [
            part if is_traced(part) else literal(np.asarray(part), examples.like) for part in found if part is not None
        ]
        nodes = [part.__tracer_node__ for part in values]
        made = iter(self.transform(nodes, examples.batched, self.size))
        pairs = [None if part is None else next(made) for part in found]
        return [None if pair is None else (traced(pair[0], examples.like), pair[1]) for pair in pairs]


class _Examples:
    """Stand-ins for one example of batched values."""

    def __init__(self, like: Any) -> None:
        self.like = like
        self.batched: dict[Node, Node] = {}

    def of(self, values: Sequence[Any], is_batched: Sequence[bool]) -> list[Any]:
        """What stands for one example of each value; None stays None."""
        return [
            self._one(value) if has_axis and value is not None else value
            for value, has_axis in zip(values, is_batched, strict=True)
        ]

    def _one(self, value: Any) -> Any:
        node = input_node(ArrayType(value.dtype, value.shape[1:]))
        self.batched[node] = value.__tracer_node__
        return traced(node, self.like)


def _ruled_types(types: Sequence[ArrayType], rule: DerivativeRule) -> TupleType:
    return TupleType(tuple(types[: rule.count]))


def _ruled_vjp(
    wanted: Sequence[int], g: Any, y: Any, *inputs: Any, transform: Transform, rule: DerivativeRule
) -> list[Any]:
    own = [place - rule.count for place in wanted if place >= rule.count]
    values = inputs[rule.count :]
    found = iter(rule.pull(own, g, y, inputs[: rule.count], values) if own else ())
    parts = []
    for place in wanted:
        part = next(found) if place >= rule.count else g[place] if rule.keeps_body else None
        parts.append(part if part is None else _fitted(part, inputs[place]))
    return parts


def _fitted(cotangent: Any, value: Any) -> Any:
    """A cotangent with the shape of its value, and its dtype if that carries derivatives."""
    cotangent = sum_to_shape(cotangent, value.shape)
    if not is_inexact(value.dtype) or cotangent.dtype == value.dtype:
        return cotangent
    return (np.real(cotangent) if value.dtype.kind == "f" else cotangent).astype(value.dtype)


def _ruled_jvp(tangents: Sequence[Any], y: Any, *inputs: Any, transform: Transform, rule: DerivativeRule) -> Any:
    return tuple(rule.push(tangents[rule.count :], tangents[: rule.count], y, inputs[rule.count :]))


def _ruled_batch(
    inputs: Sequence[Any], is_batched: Sequence[bool], size: int, transform: Transform, rule: DerivativeRule
) -> Any:
    outputs = spread_all(inputs[: rule.count], is_batched[: rule.count], size)
    batched = BatchedRule(rule, is_batched[rule.count :], size, transform)
    return RULED(*outputs, *inputs[rule.count :], rule=batched)


RULED: Op = declare(
    Op(
        "ruled",
        "call",
        _ruled_types,
        lambda *inputs, rule: inputs[: rule.count],
        vjp=_ruled_vjp,
        jvp=_ruled_jvp,
        batch=_ruled_batch,
        higher_order=True,
        doc="The outputs of a computation, given before its inputs, whose derivatives follow a rule of their own.",
    )
)
