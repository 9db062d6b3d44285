"""Which precision numbers and small integers bring to a recorded call.

NumPy makes float64 of a Python float that meets no other float, and float16 of bools and bytes. In a program whose
`floatX` is float32 either would spread from there to all that follows, so such numbers count as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.config import config

_UNKNOWN = np.dtype(object)


def is_single() -> bool:
    """Whether real numbers are float32 unless something says otherwise."""
    return bool(config.floatX == "float32")


def number(value: Any) -> Any:
    """A Python float, or NumPy's scalar like it, as the real number of the program's precision; others unchanged."""
    return np.float32(value) if isinstance(value, float) and is_single() else value


def adapt(function: Any, leaves: list[Any], first: int) -> list[Any]:
    """The arguments of a call, with the numbers from position `first` on such that float32 programs stay float32.

    Numbers adapt to a float that they meet. Those that meet only numbers, bools and integers of up to 16 bits become
    float32, as these do with float32; larger integers need float64.
    """
    if not is_single():
        return leaves
    leaves = [float(leaf) if type(leaf) is np.float64 else leaf for leaf in leaves]
    operands = leaves[first:]
    values = [_python_number(leaf) for leaf in operands]
    others = [_dtype(leaf) for leaf, value in zip(operands, values, strict=True) if value is None and leaf is not None]
    if not all(dtype.kind in "bui" and dtype.itemsize <= 2 for dtype in others):
        return leaves
    if any(type(value) is float for value in values):
        kind: Any = np.float32
    elif others or not all(type(value) is int and abs(value) < 2**15 for value in values):
        return leaves
    elif not isinstance(function, np.ufunc):
        kind = np.int16  # so that a mask of zeros and ones may multiply float32
    elif _result(function, [np.dtype(np.int64)] * len(values)) == np.float64:
        kind = np.float32
    else:
        return leaves
    adapted = [
        leaf if value is None or type(value) is complex else kind(value)
        for leaf, value in zip(operands, values, strict=True)
    ]
    return leaves[:first] + adapted


def divides_integers(function: Any, types: Sequence[Any]) -> bool:
    """Whether a call is a quotient of integers, which is a real number of the program's precision."""
    return function is np.true_divide and is_single() and all(_is_discrete(type_) for type_ in types)


def is_half(function: Any, types: Sequence[Any]) -> bool:
    """Whether NumPy's result of a ufunc of bools and bytes is float16."""
    if not types or not all(_is_discrete(type_) and type_.numpy_dtype.itemsize == 1 for type_ in types):
        return False
    return bool(_result(function, [type_.numpy_dtype for type_ in types]) == np.float16)


def _python_number(leaf: Any) -> Any:
    value = leaf.data if getattr(leaf, "is_constant", False) else leaf
    return value if type(value) in (int, float, complex) else None


def _dtype(leaf: Any) -> np.dtype[Any]:
    type_ = getattr(leaf, "type", None)
    found = getattr(leaf if type_ is None else type_, "numpy_dtype", None) or getattr(leaf, "dtype", None)
    return _UNKNOWN if found is None else np.dtype(found)


def _is_discrete(type_: Any) -> bool:
    dtype = getattr(type_, "numpy_dtype", _UNKNOWN)
    return bool(dtype.kind in "bui")


def _result(function: np.ufunc, dtypes: list[np.dtype[Any]]) -> Any:
    try:
        return function.resolve_dtypes((*dtypes, *[None] * function.nout))[len(dtypes)]
    except (TypeError, ValueError):
        return None
