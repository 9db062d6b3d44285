"""Memory on a GPU as CuPy's arrays: pieces that somebody else owns, seen through the views of instructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import device
from tracer.lower.checks import element_range
from tracer.lower.instructions import Buffer, Shape, View

Addresses = list[int]
"""Where each buffer of a program is, and behind them what its kernels share."""


def seen(addresses: Addresses, buffers: Sequence[Buffer], view: View, shape: Shape) -> Any:
    """The array of CuPy that a view of a buffer shows."""
    dtype = buffers[view.buffer].dtype
    strides = tuple([stride * dtype.itemsize for stride in view.strides])
    return array_at(addresses[view.buffer] + view.offset * dtype.itemsize, shape, dtype, strides)


def array_at(address: int, shape: Shape, dtype: np.dtype[Any], strides: Shape, owner: Any = None) -> Any:
    """An array of CuPy whose first element is at an address; strides in bytes. It keeps only `owner` alive."""
    cupy = device.cupy()
    low, end = reach(shape, strides, dtype.itemsize)
    memory = cupy.cuda.UnownedMemory(address, end - low, owner)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0), strides)


def reach(shape: Shape, strides: Shape, itemsize: int) -> tuple[int, int]:
    """Where the bytes of an array begin and end, counted from its first element."""
    low, high = element_range(shape, strides) if math.prod(shape) else (0, 0)
    return low, high + itemsize
