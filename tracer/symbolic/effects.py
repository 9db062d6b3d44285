"""Values that are looked at while a compiled function runs: printed, checked, or handed to a debugger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors import function as texts
from tracer.ops.python_calls import PYTHON_CALL, Identity
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import Operation
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import as_variable


def _print(op: Print, value: np.ndarray[Any, Any]) -> None:
    for name in op.attrs:
        found = getattr(value, name)
        print(op.message, name, "=", found() if callable(found) else found)


class Print(Operation):
    """An op that prints a value when a compiled function computes it, and returns it.

    Parameters
    ----------
    message : str
        Printed first.
    attrs : sequence of str
        Attributes of the array to print; methods are called.
    global_fn : callable, optional
        (op, array), called instead of printing.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], theano.printing.Print("x is", attrs=("shape", "__str__"))(x) * 2)
    >>> f([1.0, 2.0])
    x is shape = (2,)
    x is __str__ = [1. 2.]
    array([2., 4.])
    """

    def __init__(
        self,
        message: str = "",
        attrs: Sequence[str] = ("__str__",),
        global_fn: Callable[[Any, np.ndarray[Any, Any]], None] = _print,
    ) -> None:
        super().__init__("Print", self._replayed, lambda x: x.type)
        self.message, self.attrs, self.global_fn = message, tuple(attrs), global_fn

    def __call__(self, x: Any) -> Any:
        """Mark a variable, or a value in a trace, for printing."""
        return self._replayed(x) if is_computing() else super().__call__(as_variable(x))

    def __repr__(self) -> str:
        return f"Print{{message={self.message!r}, attrs={self.attrs!r}}}"

    def __reduce__(self) -> Any:
        return Print, (self.message, self.attrs, self.global_fn)

    def _replayed(self, x: Any) -> Any:
        return _call(_Printing(self), [x])[0]


class _Effect(Identity):
    """Code that passes values on; two of one description are one."""

    def __init__(self, op: Any) -> None:
        self.op = op

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.op.__reduce__() == other.op.__reduce__()

    def __hash__(self) -> int:
        return hash((type(self), self.op.__reduce__()))

    def __repr__(self) -> str:
        return repr(self.op)


class _Printing(_Effect):
    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        self.op.global_fn(self.op, arrays[0])
        return arrays


def _call(code: Identity, values: Sequence[Any]) -> tuple[Any, ...]:
    """Call code at run time, also if the values are already known; the results are like the last values."""
    traced = [Proxy(unwrap(value)) for value in values]
    results = tuple(value.type for value in traced[code.first :])
    found: tuple[Any, ...] = PYTHON_CALL(*traced, code=code, results=results)
    return found


class PdbBreakpoint(Operation):
    """An op that stops in the debugger when a condition holds, and returns the values that are watched.

    It calls Python's `breakpoint()`, where `monitored` has the arrays.

    Parameters
    ----------
    name : str
        Shown when it stops.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> x, y = PdbBreakpoint("x is large")(x > 100, x, y)
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"PdbBreakpoint({name})", self._replayed, lambda condition, *monitored: tuple(m.type for m in monitored)
        )
        self.title = name

    def __call__(self, condition: Any, *monitored: Any) -> Any:
        """Watch variables. Raises TypeError if the condition is not a scalar."""
        if is_computing():
            found: Any = list(self._replayed(condition, *monitored))
        else:
            condition = as_variable(condition)
            if condition.ndim:
                raise TypeError(f"the condition of a breakpoint must be a scalar, not {condition.type}")
            found = super().__call__(condition, *map(as_variable, monitored))
        return found[0] if len(monitored) == 1 else found

    def __reduce__(self) -> Any:
        return PdbBreakpoint, (self.title,)

    def _replayed(self, condition: Any, *monitored: Any) -> tuple[Any, ...]:
        return _call(_Stopping(self), [condition, *monitored])


class _Stopping(_Effect):
    first = 1

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        condition, *monitored = arrays
        if condition:
            print(f"-- {self.op.title}: the values are in `monitored`, a list of {len(monitored)} arrays")
            breakpoint()
        return tuple(monitored)


class CheckAndRaise(Operation):
    """An op that returns a value, and raises an error at run time unless all conditions hold.

    Nothing is checked where the result is not used.

    Parameters
    ----------
    exc_type : type
        The exception to raise.
    msg : str
        Its text.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], T.log(CheckAndRaise(ValueError, "x must be positive")(x, T.gt(x, 0).all())))
    >>> try:
    ...     f([1.0, -1.0])
    ... except ValueError as error:
    ...     print(error)
    x must be positive
    """

    def __init__(self, exc_type: type[Exception], msg: str = "") -> None:
        super().__init__("Assert", self._replayed, lambda value, *conditions: value.type)
        self.exc_type, self.msg = exc_type, msg

    def __call__(self, value: Any, *conds: Any) -> Any:
        """Check conditions where the value is used. Raises TypeError if one is not a scalar."""
        if is_computing():
            return self._replayed(value, *conds)
        conditions = list(map(as_variable, conds))
        for item in conditions:
            if item.ndim:
                raise TypeError(errors.message(texts.CONDITION_NDIM, type=item.type))
        return super().__call__(as_variable(value), *conditions)

    def __reduce__(self) -> Any:
        return CheckAndRaise, (self.exc_type, self.msg)

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Derivatives flow through the value, and not through the conditions."""
        return [[True], *([False] for _ in node.inputs[1:])]

    def _replayed(self, value: Any, *conditions: Any) -> Any:
        return _call(_Check(self, len(conditions)), [*conditions, value])[0]


class _Check(_Effect):
    def __init__(self, op: Any, first: int) -> None:
        super().__init__(op)
        self.first = first

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        if not all(map(bool, arrays[: self.first])):
            raise self.op.exc_type(self.op.msg)
        return arrays[self.first :]


def Assert(msg: str = "a condition that was asserted does not hold") -> CheckAndRaise:  # the name that programs know
    """An op that returns its first argument, and raises AssertionError at run time unless all others are true.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dvector("x")
    >>> f = theano.function([x], Assert("one more")(x, x.shape[0] > 1) * 2)
    >>> f([1.0, 2.0])
    array([2., 4.])
    """
    return CheckAndRaise(AssertionError, msg)


assert_op = Assert()
