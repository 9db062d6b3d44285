"""What a trace has read of real arrays as numbers: they are in its graph for good, so that a change must be noticed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SMALL = 1 << 20
"""Bytes up to which what an array holds is copied, to be compared; of a larger one there is a checksum."""
_WHOLE = 1 << 12
_MOST_PARTS = 16
"""An array of at most `_WHOLE` bytes, or of which more parts than these were read, is guarded as a whole."""


def checksum(array: Array) -> int:
    """A number that another content of an array changes."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def owner_of(array: Array) -> Array:
    """The array whose memory another one looks into, itself if it is its own."""
    while array.base is not None:
        base = array.base
        if not isinstance(base, np.ndarray):  # as_strided puts an object of its own between
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            break
        array = base
    return array


def place_of(array: Array) -> tuple[Any, ...]:
    """What two arrays have in common that are the same part of the memory."""
    return array.__array_interface__["data"][0], array.dtype, array.shape, array.strides


class Contents:
    """What an array holds, as a collection: its shape, and its bytes, a checksum of them or its objects."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __iter__(self) -> Iterator[Any]:
        yield self.array.shape
        if self.array.dtype.hasobject:
            yield from self.array.reshape(-1).tolist()
        else:
            yield self.array.tobytes() if self.array.nbytes <= SMALL else checksum(self.array)


class Reads:
    """The parts of real arrays that a trace has read as numbers.

    Attributes
    ----------
    is_complete : bool
        Whether all code that might read arrays tells; where it does not, any array in reach may have been read.
    met : set of int
        The ids of the arrays that became inputs of the graph lately, and of those that they are views of.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.met: set[int] = set()
        self._parts: dict[tuple[Any, ...], Array] = {}

    def add(self, array: Array) -> None:
        """Note that numbers were read from an array."""
        if array.size:
            self._parts.setdefault(place_of(array), array)

    def meet(self, array: Array) -> None:
        """Note that an array became an input."""
        part: Any = array
        while part is not None:
            self.met.add(id(part))
            part = getattr(part, "base", None)

    def parts(self) -> list[Array]:
        """What was read, as few arrays."""
        by_owner: dict[int, list[Array]] = {}
        for part in self._parts.values():
            by_owner.setdefault(id(owner_of(part)), []).append(part)
        found = []
        for parts in by_owner.values():
            owner = owner_of(parts[0])
            is_whole = owner.nbytes <= _WHOLE or len(parts) > _MOST_PARTS
            found += [owner] if is_whole and owner.dtype == parts[0].dtype else parts
        return found
