"""An op that runs Python code of somebody's own: custom ops, and effects such as printing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.errors import PYTHON_RESULT, message
from tracer.graph.op import Op, declare
from tracer.types import ArrayType, TupleType, type_of


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


def _read_only(array: Any) -> Any:
    """A look at an array through which careless code cannot change it."""
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def _compute(*arrays: Any, code: PythonCode, results: tuple[ArrayType, ...]) -> tuple[Any, ...]:
    found = tuple(code.compute(*map(_read_only, arrays)))
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
