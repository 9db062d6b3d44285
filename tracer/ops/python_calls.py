"""An op that runs Python code of somebody's own: custom ops, and effects such as printing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from tracer.errors import PYTHON_RESULT, message
from tracer.errors.custom import FOREIGN_RESULT
from tracer.graph.op import Op, declare
from tracer.types import ArrayType, TupleType, type_of

Results = tuple[ArrayType, ...]


class PythonCode:
    """What a call of Python code does. Equal objects are taken to do the same."""

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        """The outputs, one array each. The arguments cannot be written to."""
        raise NotImplementedError

    def vjp(self, position: int, cotangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> Any:
        """The cotangent of one input, or None for zero; cotangents are None for outputs that have none."""
        raise NotImplementedError

    def jvp(self, tangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
        """A tangent for each output, None for zero; tangents are None for inputs that do not move."""
        raise NotImplementedError


def _types(types: Sequence[ArrayType], code: PythonCode, results: tuple[ArrayType, ...]) -> TupleType:
    return TupleType(results)


def read_only(array: Any) -> Any:
    """A look at an array through which careless code cannot change it."""
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def _compute(*arrays: Any, code: PythonCode, results: tuple[ArrayType, ...]) -> tuple[Any, ...]:
    found = tuple(code.compute(*map(read_only, arrays)))
    for value, wanted in zip(found, results, strict=True):
        if (value.dtype, value.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(message(PYTHON_RESULT, code=code, found=type_of(value), wanted=wanted))
    return found


PYTHON_CALL = declare(
    Op(
        "python_call",
        "call",
        _types,
        _compute,
        vjp=lambda position, g, y, *inputs, code, results: code.vjp(position, g, y, inputs),
        jvp=lambda tangents, y, *inputs, code, results: code.jvp(tangents, y, inputs),
        doc="Python code of somebody's own, with the types of its results.",
    )
)


class Identity(PythonCode):
    """Code whose outputs are its inputs from the one at `first` on; derivatives pass through it."""

    first = 0

    def vjp(self, position: int, cotangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> Any:
        """The cotangent of the output that an input becomes."""
        return cotangents[position - self.first] if position >= self.first else None

    def jvp(self, tangents: Sequence[Any], outputs: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The tangents of the inputs that become outputs."""
        return tuple(tangents[self.first :])


# --- functions that nothing is known of --------------------------------------------------------------------------


class ForeignFunction:
    """What an op of one's own or a callback does. Equal objects are taken to do the same.

    Attributes
    ----------
    name : str
        What texts call it.
    """

    name: str

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        """The outputs, one array each. The arguments cannot be written to."""
        raise NotImplementedError

    def refuse(self) -> NoReturn:
        """Raise the error for a derivative."""
        raise NotImplementedError

    def batched(self, inputs: Sequence[Any], is_batched: tuple[bool, ...], size: int, results: Results) -> Any:
        """The outputs for many examples at once."""
        more = tuple(ArrayType(own.dtype, (size, *own.shape)) for own in results)
        return FOREIGN(*inputs, function=EachExample(self, is_batched, size, results), results=more)

    def __repr__(self) -> str:
        return self.name


class EachExample(ForeignFunction):
    """A function run on one example after the other."""

    def __init__(self, function: ForeignFunction, is_batched: tuple[bool, ...], size: int, results: Results) -> None:
        self.function, self.is_batched, self.size, self.results = function, is_batched, size, results
        self.name = function.name

    def _key(self) -> Any:
        return self.function, self.is_batched, self.size, self.results

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EachExample) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def refuse(self) -> NoReturn:
        """Raise the error for a derivative."""
        self.function.refuse()

    def compute(self, *arrays: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        """The outputs of all examples."""
        outputs = tuple(np.empty((self.size, *own.known_shape), own.dtype) for own in self.results)
        for number in range(self.size):
            rows = [item[number] if moves else item for item, moves in zip(arrays, self.is_batched, strict=True)]
            found = _checked(self.function, rows, self.results)
            for output, value in zip(outputs, found, strict=True):
                output[number] = value
        return outputs


def _checked(function: ForeignFunction, arrays: Sequence[Any], results: Results) -> tuple[Any, ...]:
    found = function.compute(*map(read_only, arrays))
    for value, wanted in zip(found, results, strict=True):
        if (value.dtype, value.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(message(FOREIGN_RESULT, function=function, found=type_of(value), wanted=wanted))
    return found


def _foreign_batch(
    inputs: Sequence[Any], is_batched: Sequence[bool], size: int, function: ForeignFunction, results: Results
) -> Any:
    return function.batched(inputs, tuple(is_batched), size, results)


FOREIGN: Op = declare(
    Op(
        "foreign",
        "call",
        lambda types, function, results: TupleType(results),
        lambda *arrays, function, results: _checked(function, arrays, results),
        vjp=lambda *_, function, results: function.refuse(),
        jvp=lambda *_, function, results: function.refuse(),
        batch=_foreign_batch,
        doc="A function of somebody's own that has no derivative by itself.",
    )
)
