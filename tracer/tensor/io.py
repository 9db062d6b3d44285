"""Tensors from files.

Examples
--------
>>> import tracer
>>> from tracer.tensor.io import load
>>> load("weights.npy", "float32", (False, False)).type
TensorType(float32, matrix)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.node import constant
from tracer.ops.python_calls import PYTHON_CALL, PythonCode
from tracer.tensor.variables import dtype_of
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import ArrayType

__all__ = ["load"]


@dataclass(frozen=True)
class _File(PythonCode):
    """A file that is read whenever the program runs; with `shape_only` it is about the array's shape."""

    path: str
    dtype: np.dtype[Any]
    ndim: int
    mmap_mode: Any
    shape_only: bool

    def compute(self, *_: Any) -> tuple[np.ndarray[Any, Any]]:
        """Read the file. Raises TypeError if it is not of the type that was stated."""
        found = np.load(self.path, mmap_mode="r" if self.shape_only else self.mmap_mode)
        if (found.dtype, found.ndim) != (self.dtype, self.ndim):
            text = message(messages.FILE_TYPE, path=self.path, found=found, wanted=self.dtype, ndim=self.ndim)
            raise TypeError(text)
        return (np.array(found.shape, np.int64) if self.shape_only else found,)


def _read(file: _File, kind: ArrayType) -> Any:
    """Record that a file is read; there is no traced value that would record it."""
    (found,) = Proxy(constant(np.int64(0))).__tracer_apply__(PYTHON_CALL, (), {"code": file, "results": (kind,)})
    return found


def _type(path: Any, dtype: np.dtype[Any], broadcastable: tuple[bool, ...], mmap_mode: Any) -> TensorType:
    return tensor_type(dtype, broadcastable)


@deferred(name="LoadFromDisk", infer=_type, differentiable=False)
def _load(path: Any, dtype: np.dtype[Any], broadcastable: tuple[bool, ...], mmap_mode: Any) -> Any:
    file = _File(os.fspath(path), dtype, len(broadcastable), mmap_mode, False)
    sizes = static(_read(replace(file, shape_only=True), ArrayType(np.dtype(np.int64), (len(broadcastable),))))
    return _read(file, ArrayType(dtype, tuple(int(size) for size in np.atleast_1d(sizes))))


def load(path: Any, dtype: Any, broadcastable: Any, mmap_mode: str | None = None) -> Any:
    """The array in a file that `np.save` wrote, read anew whenever the function runs.

    Parameters
    ----------
    path : str, or a variable of generic type
    dtype : str or dtype
        The dtype of the array.
    broadcastable : sequence of bool
        For each of its dimensions whether its size is 1.
    mmap_mode : {None, "r", "c"}
        How the file is mapped into memory, as for `np.load`, instead of being read.

    Raises
    ------
    TypeError
        When the function runs and the file holds another dtype or number of dimensions.
    ValueError
        For another `mmap_mode`.
    """
    if mmap_mode not in (None, "r", "c"):
        raise ValueError(message(messages.MMAP_MODE, mode=mmap_mode))
    return _load(path, dtype_of(dtype), tuple(bool(item) for item in broadcastable), mmap_mode)
