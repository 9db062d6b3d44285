"""Memory on a GPU as CuPy's arrays: pieces that somebody else owns, seen through the views of instructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import device
from tracer.lower.instructions import Buffer, Shape, View

Addresses = list[int]
"""Where each buffer of a program is, and behind them what its kernels share."""


def seen(addresses: Addresses, buffers: Sequence[Buffer], view: View, shape: Shape) -> Any:
    """The array of CuPy that a view of a buffer shows."""
    dtype = buffers[view.buffer].dtype
    strides = tuple([stride * dtype.itemsize for stride in view.strides])
    return array_at(addresses[view.buffer] + view.offset * dtype.itemsize, shape, dtype, strides)


def array_at(address: int, shape: Shape, dtype: np.dtype[Any], strides: Shape) -> Any:
    """An array of CuPy at an address; strides in bytes. It does not keep the memory alive."""
    cupy = device.cupy()
    extent = dtype.itemsize + sum(abs(stride) * (size - 1) for size, stride in zip(shape, strides, strict=True) if size)
    memory = cupy.cuda.UnownedMemory(address, extent, None)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0), strides)
