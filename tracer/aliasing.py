"""Arguments that share memory: each is a view of one flat array, so that a write to one is seen through the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from tracer import device
from tracer.records import NamedTuple
from tracer.tracing.reads import owner_of, place_of

Array = np.ndarray[Any, Any]

_WORK = 1_000_000
"""How long NumPy may look for a common element of two arrays; beyond, they count as sharing one."""


class Member(NamedTuple):
    """One array of a group.

    Attributes
    ----------
    leaf : int or None
        Its place among the traced leaves of the arguments; None for an array that the function captured.
    array : numpy.ndarray
    offset : int
        Of its first element in the memory of the group, in elements.
    """

    leaf: int | None
    array: Array
    offset: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What a plan assumes about it, besides what the arguments' own entries tell."""
        return self.leaf, self.offset, None if self.leaf is not None else place_of(self.array)

    def view(self, base: Any) -> Any:
        """The same part of another flat array, or traced one, by slices, reshapes and transposes.

        Raises NotExpressible if they do not suffice.
        """
        size = self.array.itemsize
        strides = tuple(stride // size for stride in self.array.strides)
        return view_of(base, self.array.shape, strides, self.offset)


class Group(NamedTuple):
    """Arrays that share memory, and that memory as a flat array."""

    base: Array
    members: tuple[Member, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """What a plan assumes about the group."""
        return self.base.dtype, self.base.size, tuple(member.key for member in self.members)


class NotExpressible(Exception):
    """An array that is no view of flat memory by slices, reshapes and transposes."""


def groups_of(arguments: Sequence[Any], captured: Sequence[Array]) -> tuple[Group, ...]:
    """The groups of arguments, and of captured arrays with them, that share memory and can be seen as views of it.

    Parameters
    ----------
    arguments : sequence
        The traced leaves as the caller passed them.
    captured : sequence of numpy.ndarray
        Arrays that the function is known to use besides.
    """
    known: list[tuple[int | None, Array]] = [
        (leaf, array) for leaf, array in enumerate(arguments) if type(array) is np.ndarray and array.size
    ]
    places = set()
    for array in captured:
        if array.size and place_of(array) not in places:
            places.add(place_of(array))
            known.append((None, array))
    groups = []
    for cluster in _clusters(known):
        group = _group(cluster)
        if group is not None:
            groups.append(group)
    return tuple(groups)


def _clusters(known: Sequence[tuple[int | None, Array]]) -> list[list[tuple[int | None, Array]]]:
    """Arrays whose memory reaches into each other's, an argument among them, and two of which share an element."""
    found = []
    ordered = sorted(known, key=lambda item: byte_bounds(item[1])[0])
    cluster: list[tuple[int | None, Array]] = []
    end = 0
    for item in ordered:
        low, high = byte_bounds(item[1])
        if cluster and low >= end:
            found.append(cluster)
            cluster = []
        end = max(end, high) if cluster else high
        cluster.append(item)
    found.append(cluster)
    return [cluster for cluster in found if len(cluster) > 1 and _shares(cluster)]


def _shares(cluster: Sequence[tuple[int | None, Array]]) -> bool:
    for number, (leaf, one) in enumerate(cluster):
        for other_leaf, other in cluster[:number]:
            if (leaf is not None or other_leaf is not None) and share_memory(one, other):
                return True
    return False


def share_memory(one: Array, other: Array) -> bool:
    """Whether two arrays have an element in common; also if that would take too long to find out."""
    if device.is_on_gpu(one) or device.is_on_gpu(other):
        return device.is_on_gpu(one) and device.is_on_gpu(other) and bool(device.cupy().may_share_memory(one, other))
    try:
        return np.shares_memory(one, other, max_work=_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _group(cluster: Sequence[tuple[int | None, Array]]) -> Group | None:
    arrays = [array for _, array in cluster]
    dtype = arrays[0].dtype
    bounds = [byte_bounds(array) for array in arrays]
    low, high = min(start for start, _ in bounds), max(end for _, end in bounds)
    # Rows that end before the next one begins need room behind the last of them, or before the first.
    room = max(abs(stride) for array in arrays for stride in (*array.strides, 0))
    owners = [byte_bounds(owner_of(array)) for array in arrays]
    low = max(low - room // dtype.itemsize * dtype.itemsize, min(low, *(start for start, _ in owners)))
    high = min(high + room, max(high, *(end for _, end in owners)))
    high -= (high - low) % dtype.itemsize
    firsts = [array.__array_interface__["data"][0] - low for array in arrays]
    size = dtype.itemsize
    aligned = all(array.dtype == dtype and array.flags.aligned and array.flags.writeable for array in arrays)
    whole = all(first % size == 0 for first in firsts)
    whole = whole and all(stride % size == 0 for array in arrays for stride in array.strides)
    if not (aligned and whole):
        return None
    base = _flat(arrays[0], low, (high - low) // size)
    members = tuple(Member(leaf, array, first // size) for (leaf, array), first in zip(cluster, firsts, strict=True))
    try:
        for member in members:
            member.view(base)
    except NotExpressible:
        return None
    return Group(base, members)


class _Memory:
    """Memory as an array, for NumPy; keeps alive what owns it."""

    def __init__(self, owner: Array, interface: dict[str, Any]) -> None:
        self.owner = owner
        self.__array_interface__ = interface


def _flat(array: Array, address: int, size: int) -> Array:
    """So many elements from an address on, which is within the memory that an array is part of."""
    interface = array.__array_interface__ | {"data": (address, False), "shape": (size,), "strides": None}
    return np.asarray(_Memory(array, interface))


def view_of(base: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
    """The part of a flat array that has this shape, these strides and begins there.

    Raises
    ------
    NotExpressible
        If elements lie on each other, or rows reach beyond the array's ends.
    """
    axes = sorted((axis for axis in range(len(shape)) if shape[axis] != 1), key=lambda axis: -abs(strides[axis]))
    first = offset + sum((shape[axis] - 1) * strides[axis] for axis in axes if strides[axis] < 0)
    found = _rows(base, [shape[axis] for axis in axes], [abs(strides[axis]) for axis in axes], first)
    backwards = tuple(slice(None, None, -1) if strides[axis] < 0 else slice(None) for axis in axes)
    if any(strides[axis] < 0 for axis in axes):
        found = found[backwards]
    if axes != sorted(axes):
        found = np.transpose(found, np.argsort(axes))
    return found if found.shape == shape else np.reshape(found, shape)


def _rows(base: Any, sizes: list[int], strides: list[int], first: int) -> Any:
    """A view with these sizes and positive strides, longest first: rows of rows of the last axis of `base`."""
    whole: tuple[Any, ...] = ()
    for place in range(len(sizes)):
        length = int(base.shape[-1])
        size, stride = sizes[place], strides[place]
        reach = 1 + sum((n - 1) * step for n, step in zip(sizes[place + 1 :], strides[place + 1 :], strict=True))
        if stride < reach or stride == 0:
            raise NotExpressible
        if place == len(sizes) - 1:
            return base[(*whole, slice(first, first + (size - 1) * stride + 1, stride))]
        # Rows begin where each holds its part as a whole, and where the last of them still ends within the array.
        start = max(0, first - (stride - reach))
        if start + size * stride > length:
            raise NotExpressible
        rows = base[(*whole, slice(start, start + size * stride))]
        base = np.reshape(rows, (*rows.shape[:-1], size, stride))
        whole, first = (*whole, slice(None)), first - start
    part = base[(*whole, slice(first, first + 1))]
    return np.reshape(part, ())
