"""Memory on a GPU as CuPy's arrays: pieces that somebody else owns, seen through the views of instructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import device
from tracer.lower.checks import element_range
from tracer.lower.instructions import Buffer, Shape, View


class Addresses(list[int]):
    """Where each buffer of a program is, and behind them what its kernels share.

    Attributes
    ----------
    known : dict of int to numpy.ndarray
        What some of the buffers hold, where the host knows: constants, arguments that come from there, and the states
        of generators.
    """

    def __init__(self, followed: frozenset[int]) -> None:
        self.known: dict[int, np.ndarray[Any, Any]] = {}
        self._followed = followed

    def note(self, number: int, value: np.ndarray[Any, Any]) -> None:
        """Remember what a buffer holds, if nothing else is written there later."""
        if number in self._followed:
            self.known[number] = value


def seen(addresses: Addresses, buffers: Sequence[Buffer], view: View, shape: Shape) -> Any:
    """The array of CuPy that a view of a buffer shows."""
    dtype = buffers[view.buffer].dtype
    strides = tuple([stride * dtype.itemsize for stride in view.strides])
    return array_at(addresses[view.buffer] + view.offset * dtype.itemsize, shape, dtype, strides)


def on_host(addresses: Addresses, buffers: Sequence[Buffer], view: View, shape: Shape) -> np.ndarray[Any, Any]:
    """The same on the host: for what is not known there, a copy once all that has been asked of the GPU is done."""
    known = addresses.known.get(view.buffer)
    if known is None:
        return device.to_host(seen(addresses, buffers, view, shape))
    strides = tuple([stride * known.itemsize for stride in view.strides])
    flat = np.ascontiguousarray(known).reshape(-1)
    return np.lib.stride_tricks.as_strided(flat[view.offset :], shape, strides, writeable=False)


def is_whole(view: View, buffers: Sequence[Buffer]) -> bool:
    """Whether a view shows all of a buffer as it lies there."""
    return view.offset == 0 and view.strides == buffers[view.buffer].strides


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
