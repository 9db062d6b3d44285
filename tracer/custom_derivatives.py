"""Derivative rules of one's own, and what else a function says about its derivatives."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any

from tracer import errors
from tracer.errors import custom as texts
from tracer.graph.node import make_node
from tracer.ops.gradient_control import ZERO_GRADIENT
from tracer.ruled_calls import (
    Call,
    CallRule,
    checked_derivative,
    fresh,
    is_expression,
    leaves_like,
    owner_of,
    zero_like,
)
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import deferred
from tracer.tree import flatten, unflatten
from tracer.types import is_inexact

Function = Callable[..., Any]


def stop_gradient(x: Any) -> Any:
    """Return values through which no derivative flows.

    Parameters
    ----------
    x : array or nest of arrays

    Returns
    -------
    array or nest of arrays
        The same values; derivatives treat them as constants, in both modes. Outside of traced functions `x` itself.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.grad(lambda x: x * tracer.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    if is_expression(x):
        return deferred(stop_gradient)(x)
    leaves, structure = flatten(x)
    if not any(isinstance(leaf, Proxy) for leaf in leaves):
        return x
    return unflatten(structure, [_stopped(leaf) if isinstance(leaf, Proxy) else leaf for leaf in leaves])


def _stopped(value: Proxy) -> Proxy:
    node = value.__tracer_node__
    if is_inexact(node.dtype):
        node = make_node(ZERO_GRADIENT, (node,))
    return Proxy(node, trace.current())


# --- functions with rules ----------------------------------------------------------------------------------------


class _WithRules:
    """A function whose derivatives follow rules that its author gave."""

    __tracer_rules__: tuple[Function, ...] = ()

    def __init__(self, function: Function, nondiff_argnums: int | Sequence[int] = ()) -> None:
        if not callable(function):
            raise TypeError(f"{type(self).__name__} needs a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self.nondiff_argnums = frozenset(int(number.__index__()) for number in numbers)
        self.label = label_of(function).rpartition(".")[2]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the function."""
        args = self._positional(args, kwargs)
        if is_expression(args):
            return deferred(lambda *args: self(*args), name=self.label)(*args)
        if trace.current() is None and not any(isinstance(leaf, Proxy) for leaf in flatten(args)[0]):
            return self.function(*args)
        call = Call(self.label, args, self.nondiff_argnums)
        result = self.function(*call.arguments(call.values))
        call.finish(result, (self.function, *self.__tracer_rules__))
        if not call.outputs:
            return result
        return call.applied(self._rule(call))

    def _rule(self, call: Call) -> CallRule:
        raise NotImplementedError

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments by position, with defaults."""
        try:
            bound = inspect.signature(self.function).bind(*args, **kwargs)
        except ValueError:  # a built-in function without a signature
            bound = None
        if bound is not None:
            keyword_only = set(inspect.signature(self.function).parameters) & {*bound.kwargs}
            if keyword_only:
                raise TypeError(errors.message(texts.KEYWORD_ONLY, function=self.label, name=keyword_only.pop()))
            if isinstance(self.function, types.FunctionType):  # not NumPy's own, with all their options
                bound.apply_defaults()
            args = bound.args
        elif kwargs:
            raise TypeError(errors.message(texts.KEYWORD_ONLY, function=self.label, name=next(iter(kwargs))))
        if any(not 0 <= number < len(args) for number in self.nondiff_argnums):
            given = tuple(sorted(self.nondiff_argnums))
            raise TypeError(errors.message(texts.NONDIFF_ARGUMENT, given=given, function=self.label, count=len(args)))
        return args


# --- custom_vjp --------------------------------------------------------------------------------------------------


class custom_vjp(_WithRules):
    """A function with a reverse-mode rule of its own.

    Parameters
    ----------
    function : callable
        A NumPy function; arguments and results may be nests of arrays.
    nondiff_argnums : int or sequence of int
        Arguments without derivatives, of any type. The backward rule gets them first.

    Notes
    -----
    `defvjp(forward, backward)` gives the rules: `forward` takes the arguments of the function and returns (result,
    kept values); `backward(*nondiff arguments, kept values, g)` takes the cotangent of the result and returns a tuple
    with one cotangent for each argument, None for zero.

    Forward mode follows the same rule: the tangent is what the transpose of `backward` makes of it. Second derivatives
    differentiate `forward` and `backward`. A derivative with respect to a value that the function closes over, rather
    than takes as an argument, is an error.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.custom_vjp
    ... def log1pexp(x):
    ...     return np.log(1 + np.exp(x))
    >>> def forward(x):
    ...     return log1pexp(x), x
    >>> def backward(x, g):
    ...     return (g / (1 + np.exp(-x)),)
    >>> log1pexp.defvjp(forward, backward)
    >>> tracer.grad(log1pexp)(100.0)
    np.float64(1.0)
    """

    forward: Function | None = None
    backward: Function | None = None

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Give the rules: forward(*args) -> (result, kept), backward(*nondiff, kept, g) -> cotangents."""
        self.forward, self.backward = forward, backward
        self.__tracer_rules__ = (forward, backward)

    def _rule(self, call: Call) -> CallRule:
        return _BackwardRule(call, self)


class _BackwardRule(CallRule):
    def __init__(self, call: Call, owner: custom_vjp) -> None:
        super().__init__(call)
        self.owner = owner

    def pulled(self, wanted: Sequence[int], g: Sequence[Any], y: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        call, owner = self.call, self.owner
        if owner.forward is None or owner.backward is None:
            hint = texts.HINT_VJP.format(function=self.name)
            text = errors.message(texts.RULE_MISSING, function=self.name, mode="reverse-mode", hint=hint)
            raise errors.NotDifferentiableError(text)
        pair = owner.forward(*call.arguments(values))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            found = f"a {type(pair).__name__}"
            raise TypeError(errors.message(texts.FORWARD_RESULT, function=self.name, found=found))
        pairs = zip(g, call.outputs, strict=True)
        cotangents = [zero_like(own.type) if part is None else fresh(unwrap(part)) for part, own in pairs]
        others = [call.others[number] for number in sorted(call.nondiff)]
        given = owner.backward(*others, pair[1], call.outcome(cotangents))
        return [self._argument(place, given) for place in wanted]

    def _argument(self, place: int, given: Any) -> Any:
        """What the rule gave for one array among the arguments."""
        call = self.call
        count = len(call.numbers)
        if not isinstance(given, tuple | list) or len(given) != count:
            size = f" of {len(given)}" if isinstance(given, tuple | list) else ""
            found, wanted = f"a {type(given).__name__}{size}", f"{count} cotangents"
            raise TypeError(
                errors.message(texts.RULE_COUNT, rule="backward", function=self.name, found=found, wanted=wanted)
            )
        leaf = call.places[place]
        owner = owner_of(call.structure, leaf)
        what = f"argument {call.numbers[owner]}"
        child = call.structure.children[owner]

        def mismatch() -> Exception:
            wanted = f"{child.leaf_count} arrays in a {child.kind}"
            found = f"a {type(given[owner]).__name__}"
            text = texts.RULE_STRUCTURE
            return TypeError(
                errors.message(text, rule="backward", function=self.name, found=found, what=what, wanted=wanted)
            )

        first = sum(item.leaf_count for item in call.structure.children[:owner])
        value = leaves_like(child, given[owner], mismatch)[leaf - first]
        return checked_derivative(value, call.types[place], "backward", self.name, what)


# --- custom_jvp --------------------------------------------------------------------------------------------------


class custom_jvp(_WithRules):
    """A function with a forward-mode rule of its own.

    Parameters
    ----------
    function : callable
        A NumPy function; arguments and results may be nests of arrays.
    nondiff_argnums : int or sequence of int
        Arguments without derivatives, of any type. The rule gets them first.

    Notes
    -----
    `defjvp(rule)` gives the rule: rule(*nondiff arguments, primals, tangents) -> (result, tangent of the result), where
    primals and tangents are tuples with one item for each other argument. `defjvps(*rules)` gives one rule for each
    argument instead, rule(tangent of the argument, result, *arguments) -> its share of the tangent, or None where
    there is none.

    Reverse mode uses the transpose of the rule, which must be linear in the tangents. Second derivatives differentiate
    the rule. A derivative with respect to a value that the function closes over is an error.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.custom_jvp
    ... def root(x):
    ...     return np.sqrt(x)
    >>> root.defjvps(lambda t, y, x: t / np.maximum(2 * y, 1e-3))
    >>> tracer.grad(root)(0.0)
    np.float64(1000.0)
    """

    rule: Function | _ByArgument | None = None

    def defjvp(self, rule: Function) -> Function:
        """Give the rule: (*nondiff, primals, tangents) -> (result, tangent of the result)."""
        self.rule = rule
        self.__tracer_rules__ = (rule,)
        return rule

    def defjvps(self, *rules: Function | None) -> None:
        """Give a rule for each argument, (tangent, result, *arguments) -> its share of the tangent; None for zero."""
        self.rule = _ByArgument(rules)
        self.__tracer_rules__ = tuple(rule for rule in rules if rule is not None)

    def _rule(self, call: Call) -> CallRule:
        return _ForwardRule(call, self)


class _ByArgument:
    """Rules for one argument each."""

    def __init__(self, rules: Sequence[Function | None]) -> None:
        self.rules = rules

    def tangent(self, call: Call, moving: Sequence[bool], tangents: tuple[Any, ...], y: Any, args: list[Any]) -> Any:
        """The sum of what the rules of the arguments that move give, as leaves."""
        if len(self.rules) != len(call.numbers):
            found, wanted = f"{len(self.rules)} rules", f"{len(call.numbers)} rules"
            raise TypeError(
                errors.message(texts.RULE_COUNT, rule="defjvps", function=call.name, found=found, wanted=wanted)
            )
        total: list[Any] = [None] * call.result_structure.leaf_count
        for rule, moves, tangent in zip(self.rules, moving, tangents, strict=True):
            if rule is None or not moves:
                continue
            share = leaves_like(call.result_structure, rule(tangent, y, *args), _mismatch(call))
            pairs = zip(total, share, strict=True)
            total = [one if other is None else other if one is None else one + other for one, other in pairs]
        return total


def _mismatch(call: Call) -> Callable[[], Exception]:
    wanted = f"{call.result_structure.leaf_count} arrays in a {call.result_structure.kind}"
    text = texts.RULE_STRUCTURE
    return lambda: TypeError(
        errors.message(text, rule="jvp", function=call.name, found="another nest", what="the result", wanted=wanted)
    )


class _ForwardRule(CallRule):
    def __init__(self, call: Call, owner: custom_jvp) -> None:
        super().__init__(call)
        self.owner = owner

    def pushed(self, tangents: Sequence[Any], y: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        call, rule = self.call, self.owner.rule
        if rule is None:
            hint = texts.HINT_JVP.format(function=self.name)
            text = errors.message(texts.RULE_MISSING, function=self.name, mode="forward-mode", hint=hint)
            raise errors.NotDifferentiableError(text)
        pairs = zip(tangents, call.types, strict=True)
        filled = [zero_like(own) if part is None else fresh(unwrap(part)) for part, own in pairs]
        nest = call.nest(filled, lambda leaf: 0.0 if isinstance(leaf, int | float | complex) else leaf)
        if isinstance(rule, _ByArgument):
            owners = {owner_of(call.structure, call.places[p]) for p, part in enumerate(tangents) if part is not None}
            moving = [number in owners for number in range(len(nest))]
            found = rule.tangent(call, moving, nest, call.outcome(y), call.arguments(values))
        else:
            others = [call.others[number] for number in sorted(call.nondiff)]
            pair = rule(*others, call.nest(values), nest)
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                found, wanted = f"a {type(pair).__name__}", "the result and its tangent"
                raise TypeError(
                    errors.message(texts.RULE_COUNT, rule="jvp", function=self.name, found=found, wanted=wanted)
                )
            found = leaves_like(call.result_structure, pair[1], _mismatch(call))
        return [
            checked_derivative(found[place], own.type, "jvp", self.name, "the result")
            for place, own in zip(call.result_places, call.outputs, strict=True)
        ]
