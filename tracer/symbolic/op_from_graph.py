"""An expression as an op: used in other expressions as one call, with derivatives of its own if wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import gradient as texts
from tracer.ops.gradient_control import FORWARD_ONLY, RULED, DerivativeRule
from tracer.symbolic.derivatives import derivative_type
from tracer.symbolic.gradient_flow import DisconnectedType, NullType, Way, connections
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import Operation, record
from tracer.tracing.replay import closure, is_computing, recording, replay, substitute
from tracer.tracing.symbolic import Constant, Symbolic, as_variable
from tracer.tracing.symbolic_type import TensorType

DEFAULT = "default"


class OpFromGraph(Operation):
    """Make an op of an expression.

    Parameters
    ----------
    inputs : list of variables
        What the op takes.
    outputs : list of variables
        What it gives. Shared and other variables that they use besides the inputs come along by themselves.
    inline : bool
        Accepted for compatibility: compiled functions always see through the op.
    grad_overrides, lop_overrides : "default", callable, OpFromGraph, or list, optional
        The gradient, instead of that of the expression. A callable of (inputs, output gradients), or for
        `lop_overrides` of (inputs, outputs, output gradients), returns one expression for each input; an OpFromGraph
        takes them one after the other. A list has an item for each input: a callable that returns one expression,
        "default", or a variable of `NullType` or `DisconnectedType`.
    rop_overrides : "default", callable, OpFromGraph, or list, optional
        The derivative along a direction: a callable of (inputs, directions), for each output.
    connection_pattern : list of lists of bool, optional
        For each input and output, whether one bears on the other.
    name : str, optional
        What texts call it.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> product = theano.OpFromGraph([x, y], [x * y], lop_overrides=lambda ins, outs, g: [g[0], -g[0]])
    >>> a = T.dscalar("a")
    >>> theano.grad(product(a, a**2), a).eval({a: 3.0})
    array(-5.)
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        inline: bool = False,
        lop_overrides: Any = DEFAULT,
        grad_overrides: Any = DEFAULT,
        rop_overrides: Any = DEFAULT,
        connection_pattern: Sequence[Sequence[bool]] | None = None,
        name: str | None = None,
        givens: Mapping[Any, Any] | None = None,
    ) -> None:
        for item in (*inputs, *outputs):
            if not isinstance(item, Symbolic) or (isinstance(item, Constant) and item in inputs):
                raise TypeError(errors.message(texts.OP_FROM_GRAPH, value=item, kind=type(item).__name__))
        if grad_overrides != DEFAULT and lop_overrides != DEFAULT:
            raise ValueError(errors.message(texts.TWO_OVERRIDES))
        self.inputs, self.outputs = list(inputs), substitute(list(outputs), dict(givens or {}))
        self.hidden = closure(self.outputs, self.inputs)
        self.is_inline = inline
        self.overrides = _Overrides(self, grad_overrides, lop_overrides, rop_overrides)
        self._pattern = connection_pattern
        super().__init__(name or "OpFromGraph", self._replayed, self._types)

    def __call__(self, *inputs: Any) -> Any:
        """Apply to variables, or compute in a trace or replay. Raises TypeError for inputs of other types."""
        if is_computing():
            found = self._replayed(*inputs, *self.hidden)
            return found[0] if len(found) == 1 else list(found)
        variables = [as_variable(item) for item in inputs]
        self._check(variables)
        found = record(self, [*variables, *self.hidden], {})
        return found[0] if len(found) == 1 else found

    def __repr__(self) -> str:
        return f"{self.name}{{inline={self.is_inline}}}"

    def __reduce__(self) -> Any:
        return object.__new__, (type(self),), self.__dict__

    def _check(self, variables: Sequence[Any]) -> None:
        kinds = [item.type for item in self.inputs]
        fits = len(variables) == len(kinds) and all(
            kind == item.type or getattr(kind, "is_super", lambda _: False)(item.type)
            for kind, item in zip(kinds, variables, strict=True)
        )
        if not fits:
            found = [item.type for item in variables]
            raise TypeError(errors.message(texts.OP_TYPES, op=self.name, expected=kinds, found=found))

    def _types(self, *_: Any) -> tuple[Any, ...]:
        return tuple(item.type for item in self.outputs)

    def with_mapped_graph(self, mapped: Callable[[Sequence[Any]], list[Any]]) -> OpFromGraph:
        """The op of the expressions that a function makes of these; what they use besides is hidden at the end."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.outputs = mapped(self.outputs)
        made.hidden = [*self.hidden, *closure(made.outputs, [*self.inputs, *self.hidden])]
        made.function, made.infer = made._replayed, made._types
        made.overrides = self.overrides.of(made)
        return made

    def connection_pattern(self, node: Any) -> list[list[Way]]:
        """For each input and hidden variable, how it bears on each output."""
        everything = [*self.inputs, *self.hidden]
        columns = [connections([item], everything) for item in self.outputs]
        rows: list[list[Way]] = [[column[item] for column in columns] for item in everything]
        if self._pattern is not None:
            rows[: len(self.inputs)] = [list(row) for row in self._pattern]
        for place, override in enumerate(self.overrides.kinds):
            if isinstance(override, NullType):
                rows[place] = [override] * len(columns)
            elif override is not None and self._pattern is None:
                rows[place] = [not isinstance(override, DisconnectedType)] * len(columns)
        return rows

    def _replayed(self, *values: Any) -> tuple[Any, ...]:
        """The outputs for values of inputs and hidden variables."""
        overrides = self.overrides
        if not overrides.is_needed:
            return tuple(replay(self.outputs, dict(zip((*self.inputs, *self.hidden), values, strict=True))))
        count = len(self.inputs)
        own = [Proxy(unwrap(value)) for value in values[:count]]
        passed = [
            FORWARD_ONLY(value) if overridden else value
            for value, overridden in zip(own, overrides.is_overridden, strict=True)
        ]
        known = dict(zip((*self.inputs, *self.hidden), (*passed, *values[count:]), strict=True))
        outputs = [Proxy(unwrap(value)) for value in replay(self.outputs, known)]
        found: tuple[Any, ...] = RULED(*outputs, *own, rule=overrides.rule)
        return found


class _Overrides:
    """The derivatives of an op that somebody gave, as expressions of variables of their own."""

    def __init__(self, op: OpFromGraph, grad: Any, lop: Any, rop: Any) -> None:
        self.op, self.grad, self.lop, self.rop = op, grad, lop, rop
        self.reverse = grad if lop == DEFAULT else lop
        self.is_needed = self.reverse != DEFAULT or rop != DEFAULT

    def of(self, op: OpFromGraph) -> _Overrides:
        """The same for another op."""
        return _Overrides(op, self.grad, self.lop, self.rop)

    @property
    def is_overridden(self) -> list[bool]:
        """For each input whether its gradient is given."""
        if self.reverse == DEFAULT:
            return [False] * len(self.op.inputs)
        if isinstance(self.reverse, list | tuple):
            return [not (isinstance(item, str) and item == DEFAULT) for item in self.reverse]
        return [True] * len(self.op.inputs)

    @property
    def kinds(self) -> list[Any]:
        """The types of the given gradients, None where none is given."""
        return [None if item is None else item.type for item in self.gradients]

    @cached_property
    def variables(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Inputs, outputs and output gradients, which the given gradients are made of."""
        op = self.op
        copies = [item.type(item.name) for item in op.inputs]
        outputs = [item.type() for item in op.outputs]
        return copies, outputs, [derivative_type(item.type)() for item in op.outputs]

    @cached_property
    def gradients(self) -> list[Any]:
        """The given gradient with respect to each input; None where it is that of the expression."""
        inputs, outputs, cotangents = self.variables
        arguments = (inputs, cotangents) if self.lop == DEFAULT else (inputs, outputs, cotangents)
        return _given(self.reverse, arguments, len(inputs))

    @cached_property
    def directions(self) -> list[Any]:
        """A direction for each input, which the given derivatives along one are made of."""
        return [derivative_type(item.type)() for item in self.op.inputs]

    @cached_property
    def tangents(self) -> list[Any]:
        """The given derivative of each output along a direction; None where it is that of the expression."""
        return _given(self.rop, (self.variables[0], self.directions), len(self.op.outputs))

    @cached_property
    def rule(self) -> DerivativeRule:
        """What derivatives of the op ask; made once, so that equal calls are equal."""
        keeps_body = not all(self.is_overridden) or bool(self.op.hidden)
        forward = None if self.rop == DEFAULT else self.pushed
        return DerivativeRule(len(self.op.outputs), self.pulled, forward, keeps_body)

    def __reduce__(self) -> Any:
        return _Overrides, (self.op, self.grad, self.lop, self.rop)

    def pulled(self, position: int, cotangents: Sequence[Any], outputs: Sequence[Any], values: Sequence[Any]) -> Any:
        """The given gradient with respect to an input."""
        wanted = self.gradients[position]
        if wanted is None or not isinstance(wanted.type, TensorType):
            return None
        inputs, own_outputs, own_cotangents = self.variables
        filled = [
            np.zeros(value.shape, own.type.numpy_dtype) if item is None else item
            for item, value, own in zip(cotangents, outputs, own_cotangents, strict=True)
        ]
        known = dict(zip((*inputs, *own_outputs, *own_cotangents), (*values, *outputs, *filled), strict=True))
        return replay([wanted], known)[0]

    def pushed(self, tangents: Sequence[Any], through: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
        """The given derivative of each output; `through` are those of the expression."""
        filled = [
            np.zeros(value.shape, own.type.numpy_dtype) if item is None else item
            for item, value, own in zip(tangents, values, self.directions, strict=True)
        ]
        known = dict(zip((*self.variables[0], *self.directions), (*values, *filled), strict=True))
        given = [item for item in self.tangents if item is not None]
        found = iter(replay(given, known))
        return tuple(own if item is None else next(found) for item, own in zip(self.tangents, through, strict=True))


def _given(override: Any, arguments: tuple[list[Any], ...], count: int) -> list[Any]:
    """What an override gives for each place, None for "default"."""
    if isinstance(override, str) and override == DEFAULT:
        return [None] * count
    flat = [item for group in arguments for item in group]
    with recording():
        if isinstance(override, list | tuple):
            found = [_given_one(item, arguments, flat) for item in override]
        else:
            made = override(*flat) if isinstance(override, OpFromGraph) else override(*arguments)
            found = [None if item is None else as_variable(item) for item in _as_list(made)]
            found = [DisconnectedType()() if item is None else item for item in found]
    if len(found) != count:
        raise ValueError(errors.message(texts.OVERRIDE_COUNT, wanted=count, found=len(found)))
    return found


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _given_one(item: Any, arguments: tuple[list[Any], ...], flat: list[Any]) -> Any:
    if isinstance(item, str) and item == DEFAULT:
        return None
    if isinstance(item, Symbolic):
        return item
    if item is None:
        return DisconnectedType()()
    made = item(*flat) if isinstance(item, OpFromGraph) else item(*arguments)
    return as_variable(_as_list(made)[0])
