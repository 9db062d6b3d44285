"""Ops of one's own, written as in Theano: a class with `make_node` and `perform`, or a decorated NumPy function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import gradient as texts
from tracer.ops.python_calls import PYTHON_CALL, PythonCode
from tracer.symbolic.derivatives import derivative_type
from tracer.symbolic.gradient import Lop
from tracer.symbolic.gradient_flow import DisconnectedType, NullType, Way
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import Apply, Operation, announce, positional
from tracer.tracing.replay import computing, is_computing, recording, replay, static
from tracer.tracing.symbolic import Variable
from tracer.tracing.symbolic_type import TensorType, type_of_value
from tracer.types import ArrayType


class Op(Operation):
    """Base of ops of one's own.

    A subclass has `make_node(*inputs)`, which returns an `Apply` of this op to variables, with new variables as
    outputs; or `itypes` and `otypes`, lists of types, instead. It has `perform(node, inputs, output_storage)`, which
    computes arrays and stores them in `output_storage[i][0]`.

    It may have `grad(inputs, output_gradients)` or `L_op(inputs, outputs, output_gradients)`, which return the gradient
    with respect to each input as an expression; `R_op(inputs, eval_points)`, the derivative of each output along a
    direction; `infer_shape(node, input_shapes)`, the shapes of outputs, without which an op whose shapes are not known
    otherwise runs twice; and `connection_pattern(node)`.

    `__props__` names the attributes that make two ops of the class equal.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> class Double(theano.Op):
    ...     __props__ = ()
    ...     def make_node(self, x):
    ...         x = T.as_tensor_variable(x)
    ...         return theano.Apply(self, [x], [x.type()])
    ...     def perform(self, node, inputs, output_storage):
    ...         output_storage[0][0] = inputs[0] * 2
    ...     def infer_shape(self, node, shapes):
    ...         return shapes
    ...     def grad(self, inputs, output_gradients):
    ...         return [output_gradients[0] * 2]
    >>> x = T.dvector("x")
    >>> theano.grad(Double()(x).sum(), x).eval({x: [1.0, 2.0]})
    array([2., 2.])
    """

    __props__: tuple[str, ...] | None = None
    itypes: Sequence[TensorType] | None = None
    otypes: Sequence[TensorType] | None = None
    default_output: int | None = None
    infer = None
    differentiable = True

    # A subclass need not call this class's constructor.
    def __init__(self) -> None:
        pass

    @property
    def name(self) -> str:
        """What texts call it."""
        return self.__dict__.get("name") or type(self).__name__

    @name.setter
    def name(self, name: str) -> None:
        self.__dict__["name"] = name

    @property
    def is_comparison(self) -> bool:
        """Whether its results are truth values."""
        return False

    @property
    def function(self) -> Callable[..., Any]:  # type: ignore[override]
        """What a replay calls: the values of the inputs and the recorded call -> values of the outputs."""
        return self._replayed

    def _props(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__props__ or ())

    def __eq__(self, other: object) -> bool:
        if self.__props__ is None:
            return self is other
        return type(self) is type(other) and self._props() == other._props()

    def __hash__(self) -> int:
        return object.__hash__(self) if self.__props__ is None else hash((type(self), self._props()))

    def __repr__(self) -> str:
        if not self.__props__:
            return self.name
        return f"{self.name}{{{', '.join(f'{name}={getattr(self, name)!r}' for name in self.__props__)}}}"

    def __reduce__(self) -> Any:
        return object.__new__, (type(self),), self.__dict__

    # --- what a subclass defines ---------------------------------------------------------------------------------

    def make_node(self, *inputs: Any) -> Apply:
        """Apply the op to inputs: casts them to `itypes` and gives outputs of `otypes`.

        Raises
        ------
        NotImplementedError
            If the class has no `itypes` and `otypes`.
        TypeError
            If inputs do not have those types.
        """
        if self.itypes is None or self.otypes is None:
            raise NotImplementedError(errors.message(texts.OP_WITHOUT, op=self, method="make_node", hint=texts.HINT_OP))
        variables = [as_tensor_variable(item) for item in inputs]
        found = [item.type for item in variables]
        if len(found) != len(self.itypes) or any(
            not kind.is_super(own) for kind, own in zip(self.itypes, found, strict=True)
        ):
            raise TypeError(errors.message(texts.OP_TYPES, op=self, expected=list(self.itypes), found=found))
        return Apply(self, variables, [kind() for kind in self.otypes])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        """Compute: arrays in, and arrays into the first place of each output's storage."""
        raise NotImplementedError(errors.message(texts.OP_WITHOUT, op=self, method="perform", hint=texts.HINT_OP))

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> Sequence[Any]:
        """The gradient with respect to each input, given that with respect to each output."""
        raise NotImplementedError

    def L_op(self, inputs: Sequence[Any], outputs: Sequence[Any], output_gradients: Sequence[Any]) -> Sequence[Any]:
        """As `grad`, which it calls; it may use the outputs too."""
        return self.grad(inputs, output_gradients)

    def R_op(self, inputs: Sequence[Any], eval_points: Sequence[Any]) -> Sequence[Any]:
        """The derivative of each output along a direction; without one of its own it comes from the gradient."""
        raise NotImplementedError

    def connection_pattern(self, node: Apply) -> list[list[Way]]:
        """For each input whether it bears on each output; here all do whose gradient is not disconnected."""
        gradients = rule_of(node).gradients
        ways = [not isinstance(getattr(item, "type", None), DisconnectedType) for item in gradients]
        return [[way] * len(node.outputs) for way in ways]

    def undefined_gradients(self, node: Apply) -> dict[int, NullType]:
        """The inputs with respect to which there is no gradient, and why."""
        kinds = [getattr(item, "type", None) for item in rule_of(node).gradients]
        return {place: kind for place, kind in enumerate(kinds) if isinstance(kind, NullType)}

    # --- calls ---------------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Apply to variables, or compute in a trace or replay."""
        if is_computing():
            values = [item.as_proxy() if hasattr(item, "as_proxy") else item for item in inputs]
            values = [item if isinstance(item, Proxy) else np.asarray(item) for item in values]
            with recording():
                node = self.make_node(*(type_of_value(item)() for item in values), **options)
            results = list(self._replayed(*values, node))
        else:
            node = self.make_node(*inputs, **options)
            node.line = errors.user_line()
            results = node.outputs
            node.structure, node.arguments = positional(len(node.inputs) + 1), [*node.arguments, node]
            announce(node)
        if self.default_output is not None:
            return results[self.default_output]
        return results[0] if len(results) == 1 else results

    def _replayed(self, *arguments: Any) -> tuple[Any, ...]:
        *values, node = arguments
        if not any(isinstance(value, Proxy) for value in values):
            return rule_of(node).compute(*map(np.asarray, values))
        results = tuple(
            ArrayType(item.type.numpy_dtype, shape)
            for item, shape in zip(node.outputs, self._shapes(node, values), strict=True)
        )
        found: tuple[Any, ...] = PYTHON_CALL(*values, code=rule_of(node), results=results)
        return found

    def _shapes(self, node: Apply, values: Sequence[Any]) -> list[tuple[int, ...]]:
        """The shapes of the outputs: from their types, from `infer_shape`, or from running the op."""
        kinds = [item.type for item in node.outputs]
        if all(all(kind.broadcastable) for kind in kinds):
            return [(1,) * kind.ndim for kind in kinds]
        infer_shape = getattr(self, "infer_shape", None)
        if infer_shape is not None:
            with computing():
                given = infer_shape(node, [tuple(np.shape(value)) for value in values])
            return [tuple(int(static(size)) for size in shape) for shape in given]
        places = ArrayType(np.dtype(np.int64), (sum(kind.ndim for kind in kinds),))
        (sizes,) = PYTHON_CALL(*values, code=_Shapes(rule_of(node)), results=(places,))
        known = trace.known_value(sizes.__tracer_node__)
        if known is None:
            raise TypeError(errors.message(texts.OP_SHAPES, node.line, op=self))
        rest = iter(known.tolist())
        return [tuple(next(rest) for _ in range(kind.ndim)) for kind in kinds]


# --- what a call does --------------------------------------------------------------------------------------------


class _Rule(PythonCode):
    """How a call of an op computes, and its derivatives as expressions of variables of its own.

    Attributes
    ----------
    inputs, outputs, cotangents : list of variables
        Which those expressions are made of.
    """

    def __init__(self, node: Apply) -> None:
        self.op: Any = node.op
        self.node = node
        self.inputs = [item if item.is_constant else item.type(item.name) for item in node.inputs]
        self.outputs = [item.type() for item in node.outputs]
        self.cotangents = [derivative_type(item.type)() for item in node.outputs]
        self._tangents: dict[tuple[bool, ...], Any] = {}

    def _key(self) -> Any:
        constants = tuple(item if item.is_constant else None for item in self.inputs)
        return self.op, constants, tuple(item.type for item in (*self.inputs, *self.outputs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return repr(self.op)

    def __reduce__(self) -> Any:
        return _Rule, (self.node,)

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        storage: list[list[Any]] = [[None] for _ in self.outputs]
        self.op.perform(self.node, list(arrays), storage)
        return tuple(np.asarray(item[0]) for item in storage)

    @cached_property
    def gradients(self) -> list[Any]:
        """The gradient with respect to each input."""
        with recording():
            try:
                found = self.op.L_op(self.inputs, self.outputs, self.cotangents)
            except NotImplementedError:
                return [NullType(f"{self.op} defines neither grad nor L_op")() for _ in self.inputs]
            if len(found) != len(self.inputs):
                raise ValueError(
                    errors.message(texts.OP_GRADIENTS, op=self.op, inputs=len(self.inputs), found=len(found))
                )
            return [DisconnectedType()() if item is None else _as_gradient(item) for item in found]

    def vjp(self, position: int, cotangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> Any:
        wanted = self.gradients[position]
        if isinstance(wanted.type, NullType):
            raise errors.NullTypeGradError(
                errors.message(texts.NULL_GRADIENT, self.node.line, value=f"input {position}", why=wanted.type.why_null)
            )
        if isinstance(wanted.type, DisconnectedType):
            return None
        filled = [
            np.zeros(value.shape, own.type.numpy_dtype) if item is None else item
            for item, value, own in zip(cotangents, outputs, self.cotangents, strict=True)
        ]
        values = (*inputs, *outputs, *filled)
        return replay([wanted], dict(zip((*self.inputs, *self.outputs, *self.cotangents), values, strict=True)))[0]

    def jvp(self, tangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
        points, wanted = self._tangent_expressions(tuple(item is not None for item in tangents))
        # The gradient is linear in its cotangents: its slope there is the same at all of them.
        zeros = [
            np.zeros(value.shape, own.type.numpy_dtype) for value, own in zip(outputs, self.cotangents, strict=True)
        ]
        known = (*self.inputs, *self.outputs, *self.cotangents)
        values = dict(zip(known, (*inputs, *outputs, *zeros), strict=True))
        moving = [item for item in tangents if item is not None]
        values.update(zip([item for item in points if item is not None], moving, strict=True))
        found = iter(replay([item for item in wanted if item is not None], values))
        return tuple(None if item is None else next(found) for item in wanted)

    def _tangent_expressions(self, moving: tuple[bool, ...]) -> tuple[list[Any], list[Any]]:
        if moving not in self._tangents:
            with recording():
                points = [
                    derivative_type(item.type)() if moves else None
                    for item, moves in zip(self.inputs, moving, strict=True)
                ]
                try:
                    wanted = [
                        None if item is None else _as_gradient(item) for item in self.op.R_op(self.inputs, points)
                    ]
                except NotImplementedError:
                    wanted = self._by_transposing(points)
            self._tangents[moving] = points, wanted
        found: tuple[list[Any], list[Any]] = self._tangents[moving]
        return found

    def _by_transposing(self, points: Sequence[Any]) -> list[Any]:
        """The gradient is linear in the cotangents: its own gradient with respect to them moves forward."""
        pairs = [
            (gradient, point)
            for gradient, point in zip(self.gradients, points, strict=True)
            if point is not None and isinstance(gradient.type, TensorType)
        ]
        if not pairs:
            return [None] * len(self.outputs)
        rows = [gradient for gradient, _ in pairs]
        return list(Lop(rows, self.cotangents, [point for _, point in pairs], disconnected_inputs="ignore"))


def _as_gradient(value: Any) -> Any:
    return value if isinstance(value, Variable) else as_tensor_variable(value)


class _Shapes(PythonCode):
    """Runs a call for the shapes of its outputs, one after the other."""

    def __init__(self, rule: _Rule) -> None:
        self.rule = rule

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shapes) and self.rule == other.rule

    def __hash__(self) -> int:
        return hash((_Shapes, self.rule))

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        shapes = [item.shape for item in self.rule.compute(*arrays)]
        return (np.array([size for shape in shapes for size in shape], np.int64),)


def rule_of(node: Any) -> _Rule:
    """The rule of a call, made once."""
    rule = getattr(node.tag, "rule", None)
    if rule is None:
        rule = node.tag.rule = _Rule(node)
    return rule


# --- decorated functions -----------------------------------------------------------------------------------------


class FromFunctionOp(Op):
    """The op that `as_op` makes of a function."""

    def __init__(
        self, fn: Callable[..., Any], itypes: Any, otypes: Any, infer_shape: Callable[..., Any] | None = None
    ) -> None:
        self.wrapped = fn
        self.itypes = list(itypes) if isinstance(itypes, list | tuple) else [itypes]
        self.otypes = list(otypes) if isinstance(otypes, list | tuple) else [otypes]
        self.name = f"FromFunctionOp{{{fn.__name__}}}"
        self.__doc__ = fn.__doc__
        if infer_shape is not None:
            self.infer_shape = infer_shape

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]) -> None:
        """Run the function."""
        results = self.wrapped(*inputs)
        if not isinstance(results, list | tuple):
            results = (results,)
        if len(results) != len(output_storage):
            raise TypeError(
                errors.message(texts.AS_OP_RESULTS, op=self, wanted=len(output_storage), found=len(results))
            )
        for storage, item in zip(output_storage, results, strict=True):
            storage[0] = item

    def __reduce__(self) -> Any:
        return _found_again, (self.wrapped.__module__, self.wrapped.__qualname__)


def _found_again(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def as_op(itypes: Any, otypes: Any, infer_shape: Callable[..., Any] | None = None) -> Callable[..., FromFunctionOp]:
    """Make a function of arrays an op of symbolic variables; it has no derivative.

    Parameters
    ----------
    itypes, otypes : type or list of types
        Of the function's arguments and results.
    infer_shape : callable, optional
        (call, shapes of inputs) -> shapes of outputs. Without it the function runs twice where they are not known.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> @as_op(itypes=[T.dvector], otypes=[T.dscalar])
    ... def spread(x):
    ...     return np.ptp(x)
    >>> x = T.dvector("x")
    >>> spread(x).eval({x: [1.0, 4.0, 2.0]})
    array(3.)
    """
    return lambda fn: FromFunctionOp(fn, itypes, otypes, infer_shape)
