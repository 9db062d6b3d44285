"""Python floats that are traced: they adapt to the dtype that they meet, and stay Python floats among themselves.

A compiled function that is called with ever other floats is traced once with such values. Whatever they cannot do as
a float does it raises `NeedsStatic`; the function is then traced for the float itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tracer.graph.node import Node
from tracer.graph.op import FUNCTIONS, Op
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, apply_op

_NUMBERS = (int, float)
_MOST_POWER = 8
"""Powers up to this one are products, as exact as Python's."""


class NeedsStatic(BaseException):
    """A traced float was used as only a number can be; no Exception, so that no user's handler takes it for its own.

    Attributes
    ----------
    places : frozenset of int
        The leaves of the arguments that it came from.
    """

    def __init__(self, places: frozenset[int]) -> None:
        super().__init__("a traced Python float is needed as a number")
        self.places = places


class WeakFloat:
    """A traced Python float."""

    __slots__ = ("__tracer_node__", "places")
    __tracer_weak__ = float
    __array_priority__ = 2000.0
    __hash__: Any

    def __init__(self, node: Node, places: frozenset[int]) -> None:
        self.__tracer_node__ = node
        self.places = places

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what asks isinstance(x, float) gets the answer of the float that it is
        return float

    def __repr__(self) -> str:
        return "<a traced Python float>"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        operation = _operation(ufunc)
        if method != "__call__" or kwargs or operation is None:
            self._refuse()
        return apply_op(operation, args, {})

    def __getattr__(self, name: str) -> Any:
        if hasattr(float, name):
            self._refuse()
        raise AttributeError(f"'float' object has no attribute {name!r}", name=name, obj=self)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NeedsStatic(self.places)

    def _combine(self, ufunc: np.ufunc, one: Any, other: Any) -> Any:
        """An operator of two values of which this is one."""
        for value in (one, other):
            if isinstance(value, Proxy | np.ndarray | np.generic):
                operation = _operation(ufunc)
                if operation is None:
                    self._refuse()
                return apply_op(operation, (one, other), {})
        if not all(type(value) is WeakFloat or type(value) in _NUMBERS for value in (one, other)):
            return NotImplemented
        if ufunc not in _AMONG_FLOATS:
            self._refuse()
        if ufunc is np.true_divide:
            self._check_divisor(other)
        places = frozenset[int]().union(*(item.places for item in (one, other) if type(item) is WeakFloat))
        return WeakFloat(apply_op(_op(ufunc), (one, other), {}).__tracer_node__, places)

    def _check_divisor(self, divisor: Any) -> None:
        """Raise ZeroDivisionError as Python does; where that is not known while tracing it becomes a question."""
        if type(divisor) is not WeakFloat:
            is_zero = divisor == 0
        else:
            active = trace.current()
            node = apply_op(_op(np.equal), (divisor, 0.0), {}).__tracer_node__
            with trace.suspended():
                answer = None if active is None or active.questions is None else active.questions.ask(node, "test")
            if answer is None:
                divisor._refuse()
            is_zero = bool(answer)
        if is_zero:
            raise ZeroDivisionError("float division by zero")

    def __pow__(self, exponent: Any) -> Any:
        if type(exponent) is int and 1 <= exponent <= _MOST_POWER:
            result: Any = self
            for _ in range(exponent - 1):
                result = result * self
            return result
        if isinstance(exponent, Proxy | np.ndarray | np.generic):
            return self._combine(np.power, self, exponent)
        return self._refuse()

    def __rpow__(self, base: Any) -> Any:
        return self._combine(np.power, base, self)

    def __neg__(self) -> Any:
        return WeakFloat(apply_op(_op(np.negative), (self,), {}).__tracer_node__, self.places)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return WeakFloat(apply_op(_op(np.absolute), (self,), {}).__tracer_node__, self.places)


_AMONG_FLOATS = (np.add, np.subtract, np.multiply, np.true_divide)
OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
REFUSED = (
    *("bool", "int", "float", "complex", "index", "hash", "format", "str", "array", "round", "trunc", "floor", "ceil"),
    *("divmod", "rdivmod", "iter", "len", "contains", "getitem", "array_function", "reduce_ex", "copy", "deepcopy"),
)


def _operation(ufunc: np.ufunc) -> Op | None:
    """The op that computes a ufunc of a float and something else, if one does."""
    entry = FUNCTIONS.get(ufunc)
    # What these do besides concerns Python ints only.
    plain = entry is not None and (entry.apply is entry.op or ufunc in (np.power, *COMPARISONS.values()))
    if entry is None or not plain:
        return None
    return entry.op


def _op(ufunc: np.ufunc) -> Op:
    found = FUNCTIONS[ufunc].op
    assert found is not None
    return found


def _forward(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._combine(ufunc, self, other)


def _reflected(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._combine(ufunc, other, self)


def _install() -> None:
    for name, ufunc in OPERATORS.items():
        setattr(WeakFloat, f"__{name}__", _forward(ufunc))
        setattr(WeakFloat, f"__r{name}__", _reflected(ufunc))
    for name, ufunc in COMPARISONS.items():
        setattr(WeakFloat, f"__{name}__", _forward(ufunc))
    for name in REFUSED:
        setattr(WeakFloat, f"__{name}__", WeakFloat._refuse)


_install()
