"""Python numbers that differ from step to step of a rolled loop: the loop's own index, and what is computed from it.

The number of every step is known, so that Python's own arithmetic gives the numbers of what is computed from it.
Whatever has to be one number for all steps, such as a test, raises `Refused` unless it is the same at every step.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tracer.graph.node import Node, input_node
from tracer.graph.op import FUNCTIONS
from tracer.tracing.proxy import Proxy, apply_op, unwrap, wrap
from tracer.tracing.weak import COMPARISONS, OPERATORS, REFUSED, WeakFloat
from tracer.types import ArrayType

_EXACT = 1 << 53
_NUMBERS = (int, float)
Values = Sequence[int] | Sequence[float]


class Refused(BaseException):
    """A loop cannot be rolled; no Exception, so that no user's handler takes it for its own."""


class Steps:
    """The steps of a loop that are done by one body.

    Attributes
    ----------
    count : int
        How many.
    tables : dict
        What stands for a number in the body, and its values at the steps.
    """

    def __init__(self, count: int, refuse: Callable[[], NoReturn]) -> None:
        self.count, self.refuse = count, refuse
        self.tables: dict[Node, Any] = {}
        self._nodes: dict[Any, Node] = {}

    def number(self, values: Sequence[Any]) -> Any:
        """What has one of these values at each step: the number itself if it is always the same."""
        if isinstance(values, range):
            if values.step == 0 or len(values) != self.count or max(map(abs, (values[0], values[-1]))) >= _EXACT:
                self.refuse()
            return RolledInt(self, values)
        first, kinds = values[0], set(map(type, values))
        if kinds == {bool} or len(kinds) > 1 or kinds.isdisjoint(_NUMBERS):
            return first if len(kinds) == 1 and all(value is first for value in values) else self.refuse()
        if kinds == {float}:
            bits = np.array(values).view(np.int64)
            return first if (bits == bits[0]).all() else RolledFloat(self, values)
        if max(map(abs, values)) >= _EXACT:
            self.refuse()
        numbers = np.array(values)
        distances = np.diff(numbers)
        if (distances == distances[0]).all():
            step = int(distances[0])
            return first if step == 0 else RolledInt(self, _line(first, step, self.count))
        return RolledInt(self, values)

    def node(self, values: Any) -> Node:
        """What stands in the body for numbers, one of them or a row of an array of them."""
        key = values if isinstance(values, range) else (np.asarray(values).tobytes(), np.asarray(values).dtype)
        found = self._nodes.get(key)
        if found is None:
            array = np.asarray(values[:1])
            found = self._nodes[key] = input_node(ArrayType(array.dtype, array.shape[1:]))
            self.tables[found] = values if isinstance(values, range) else np.asarray(values)
        return found

    def ahead(self, count: int, name: str, *operands: Any) -> Any:
        """Python's operator on numbers of each step."""
        columns = [item.values if isinstance(item, RolledNumber) else [item] * count for item in operands]
        function = getattr(operator, name)
        try:
            return self.number([function(*row) for row in zip(*columns, strict=True)])
        except (ArithmeticError, ValueError, TypeError):
            self.refuse()  # so that Python raises it at its own step


def _line(start: int, step: int, count: int) -> range:
    return range(start, start + step * count, step)


class RolledNumber:
    """A Python number that has another value at each step."""

    __slots__ = ("steps", "values")
    __array_priority__ = 2000.0
    __hash__: Any
    kind: type = int

    def __init__(self, steps: Steps, values: Values) -> None:
        self.steps, self.values = steps, values

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what asks isinstance(i, int) gets the answer of the int that it is
        return self.kind

    @property
    def __tracer_node__(self) -> Node:
        return self.steps.node(self.values)

    def __tracer_cast__(self, dtype: np.dtype[Any]) -> None:
        """See that a number fits a dtype, as NumPy would at its step."""
        if dtype.kind in "iu" and self.kind is int:
            limits = np.iinfo(dtype)
            if min(self.values) < limits.min or max(self.values) > limits.max:
                self.steps.refuse()

    def __repr__(self) -> str:
        return "<a number of each step>"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        entry = FUNCTIONS.get(ufunc)
        if method != "__call__" or kwargs or entry is None or entry.op is None:
            self.refuse()
        if all(isinstance(item, RolledNumber) or type(item) in _NUMBERS for item in args):
            rows = zip(
                *(i.values if isinstance(i, RolledNumber) else [i] * self.steps.count for i in args), strict=True
            )
            with np.errstate(all="ignore"):
                made = np.array([ufunc(*row) for row in rows])
            return wrap(self.steps.node(made)) if made.dtype.kind in "if" and made.ndim == 1 else self.refuse()
        return self.combined(ufunc, args)

    def combined(self, ufunc: np.ufunc, args: Sequence[Any]) -> Any:
        """An operation with arrays or traced values."""
        entry = FUNCTIONS[ufunc]
        others = [item for item in args if not isinstance(item, RolledNumber)]
        if not all(isinstance(item, Proxy | np.ndarray | np.generic) for item in others) or entry.op is None:
            self.refuse()
        if entry.apply is not entry.op:  # what NumPy does besides concerns Python ints
            kinds = {np.dtype(item.dtype).kind for item in others}
            if not kinds <= {"f"} or ufunc is np.float_power:
                self.refuse()
        return apply_op(entry.op, args, {})

    def _combine(self, name: str, ufunc: np.ufunc, one: Any, other: Any) -> Any:
        operand = other if one is self else one
        if type(operand) in _NUMBERS or type(operand) is bool:
            return self._of_numbers(name, one, other)
        if isinstance(operand, RolledNumber):
            if operand.steps is not self.steps:
                self.refuse()
            return self._of_numbers(name, one, other)
        if type(operand) is WeakFloat:
            if name == "pow":
                self.refuse()
            own = WeakFloat(unwrap(self, np.dtype(float)), frozenset())
            return getattr(operator, name)(own if one is self else one, own if other is self else other)
        if isinstance(operand, Proxy | np.ndarray | np.generic):
            return self.combined(ufunc, (one, other))
        return NotImplemented

    def _of_numbers(self, name: str, one: Any, other: Any) -> Any:
        count = self.steps.count
        if name in _AFFINE and all(_is_affine(item) for item in (one, other)):
            (start, step), (start2, step2) = (_start_and_step(item) for item in (one, other))
            if name != "mul":
                sign = 1 if name == "add" else -1
                start, step = start + sign * start2, step + sign * step2
            elif step and step2:
                return self.steps.ahead(count, name, one, other)
            else:
                start, step = start * start2, start * step2 + step * start2
            return start if step == 0 else self.steps.number(_line(start, step, count))
        return self.steps.ahead(count, name, one, other)

    def _alone(self, name: str) -> Any:
        return self.steps.ahead(self.steps.count, name, self)

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Give up rolling: one number is needed."""
        self.steps.refuse()

    def __getattr__(self, name: str) -> Any:
        if hasattr(self.kind, name):
            self.refuse()
        raise AttributeError(f"{self.kind.__name__!r} object has no attribute {name!r}", name=name, obj=self)


class RolledInt(RolledNumber):
    """An int of each step."""

    __slots__ = ()
    __tracer_weak__ = int


class RolledFloat(RolledNumber):
    """A float of each step."""

    __slots__ = ()
    __tracer_weak__ = float
    kind = float


def _start_and_step(value: Any) -> tuple[int, int]:
    if isinstance(value, RolledNumber) and isinstance(value.values, range):
        return value.values.start, value.values.step
    return value, 0


def _is_affine(value: Any) -> bool:
    return type(value) is int or (type(value) is RolledInt and isinstance(value.values, range))


_AFFINE = ("add", "sub", "mul")
_OPERATORS = {**OPERATORS, "pow": np.power}
_REFUSED = (
    *REFUSED,
    *("lshift", "rshift", "and", "or", "xor", "rlshift", "rrshift", "rand", "ror", "rxor", "invert", "matmul"),
)


def _forward(name: str, ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._combine(name, ufunc, self, other)


def _reflected(name: str, ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: self._combine(name, ufunc, other, self)


def _install() -> None:
    for name, ufunc in _OPERATORS.items():
        setattr(RolledNumber, f"__{name}__", _forward(name, ufunc))
        setattr(RolledNumber, f"__r{name}__", _reflected(name, ufunc))
    for name, ufunc in COMPARISONS.items():
        setattr(RolledNumber, f"__{name}__", _forward(name, ufunc))
    for name in ("neg", "pos", "abs"):
        setattr(RolledNumber, f"__{name}__", lambda self, name=name: self._alone(name))
    for name in _REFUSED:
        setattr(RolledNumber, f"__{name}__", RolledNumber.refuse)


_install()


# --- keys ------------------------------------------------------------------------------------------------------------


def has_number(key: Any) -> bool:
    """Whether a key has a number of each step in it."""
    if isinstance(key, tuple):
        return any(map(has_number, key))
    if type(key) is slice:
        return any(type(item) in (RolledInt, RolledFloat) for item in (key.start, key.stop, key.step))
    return type(key) in (RolledInt, RolledFloat)


def array_key(key: Any, shape: tuple[int, ...]) -> tuple[Any, bool]:
    """A key with traced integers for numbers of each step, and whether it makes a copy where NumPy makes a view.

    All indices of all steps are checked: one that is out of bounds is left to Python, which raises at its step.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    numbers = [part for part in parts if has_number(part)]
    is_window = any(type(part) is slice for part in numbers)
    used = sum(_axes(part) for part in parts)
    axis, made = 0, []
    for part in parts:
        if part is Ellipsis:
            axis += len(shape) - used
        elif has_number(part):
            steps = _steps_of(part)
            others = [item for item in parts if item is not part and item is not Ellipsis]
            if axis >= len(shape) or (is_window and not all(type(item) is slice for item in others)):
                steps.refuse()  # where integers stand beside an index array its axes go to the front
            if is_window and len(numbers) > 1:
                steps.refuse()
            part = _window(part, shape[axis], steps) if type(part) is slice else _position(part, shape[axis], steps)
        axis += _axes(part)
        made.append(part)
    return tuple(made) if isinstance(key, tuple) else made[0], is_window


def _steps_of(part: Any) -> Steps:
    items = (part.start, part.stop, part.step) if type(part) is slice else (part,)
    found = [item.steps for item in items if is_number(item)]
    if any(steps is not found[0] for steps in found):
        found[-1].refuse()
    first: Steps = found[0]
    return first


def _axes(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    dtype = getattr(part, "dtype", None)
    return part.ndim if dtype is not None and dtype.kind == "b" else 1


def _position(number: Any, size: int, steps: Steps) -> Any:
    values = number.values
    if type(number) is not RolledInt or min(values) < -size or max(values) >= size:
        steps.refuse()
    if isinstance(values, range):
        if min(values) >= 0:
            return wrap(steps.node(values))
        if max(values) < 0:
            return wrap(steps.node(_line(values.start + size, values.step, steps.count)))
    return wrap(steps.node(np.array(values) % size))


def _window(part: slice, size: int, steps: Steps) -> Any:
    bounds = [item.values if isinstance(item, RolledNumber) else [item] * steps.count for item in _bounds(part)]
    taken = [range(*slice(*item).indices(size)) for item in zip(*bounds, strict=True)]
    if len(set(map(len, taken))) > 1 or not taken[0]:
        steps.refuse()
    return wrap(steps.node(np.array([list(item) for item in taken], np.int64).reshape(steps.count, len(taken[0]))))


def _bounds(part: slice) -> tuple[Any, Any, Any]:
    return part.start, part.stop, part.step


def is_number(value: Any) -> bool:
    """Whether a value is a number of each step."""
    return type(value) is RolledInt or type(value) is RolledFloat
