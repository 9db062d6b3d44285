"""Real arrays that traced values are written into: each becomes a traced value, and is read as such from then on.

An array that the function made itself starts as a constant of what it holds. One that was there before is an input, and
what it holds at the end is written back to it when a call has succeeded. Views of either look into the same memory.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import Node, constant
from tracer.graph.op import OPS
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tracing.reads import owner_of
from tracer.types import contiguous_strides, element_strides

Array = np.ndarray[Any, Any]


class Lifting:
    """The arrays of one trace that the function made, and those that are traced values now."""

    def __init__(self, active: trace.Trace) -> None:
        self.active = active
        self.lifted: dict[int, tuple[Array, Proxy]] = {}
        """By the id of each array that owns memory: the array, held, and what is read in its place."""
        self._fresh: dict[int, weakref.ref[Array]] = {}
        self._views: dict[int, tuple[Array, Proxy]] = {}
        self._inputs: dict[int, Node] = {}
        self.first: list[Array] = []
        """Arrays of before the trace that are traced from the start: they are known to be written, or to change."""
        self.kept: list[tuple[Callable[[], Any], Callable[[Any], None], Array]] = []
        """How to read and write each place that may outlive the trace, and the array that was stored there."""

    # --- what the function made ----------------------------------------------------------------------------------

    def note(self, value: Any) -> None:
        """Remember the arrays in a result that nobody else holds: the function has just made them.

        To be called with what is in one variable of the caller and nowhere else.
        """
        if isinstance(value, np.ndarray):
            if sys.getrefcount(value) <= _ALONE:
                self._note_alone(value)
        elif type(value) in (tuple, list) and sys.getrefcount(value) <= _ALONE:
            for position in range(len(value)):
                item = value[position]
                if isinstance(item, np.ndarray) and sys.getrefcount(item) <= _ITEM_ALONE:
                    self._note_alone(item)

    def _note_alone(self, value: Array) -> None:
        base = value.base
        if base is None:
            self._add(value)
        elif isinstance(base, np.ndarray) and base.base is None and sys.getrefcount(base) <= _BASE_ALONE:
            self._add(base)

    def _add(self, array: Array) -> None:
        key = id(array)
        self._fresh[key] = weakref.ref(array, lambda _: self._fresh.pop(key, None))

    def note_read(self, values: Any, met: Set[int] = frozenset()) -> None:
        """Remember which arrays of before the trace gave numbers that are in the graph for good.

        Those that were `met`, by their ids, became inputs of the graph instead.
        """
        if isinstance(values, np.ndarray):
            lifted = self.lifted.get(id(owner_of(values)))
            if lifted is not None and self.active.is_trial:
                lifted[1].item()  # raises ConcretizationError
            elif lifted is None and not (id(values) in met or self.is_fresh(values)):
                self.active.reads.add(values)
        elif type(values) in (list, tuple, set):
            for item in values:
                self.note_read(item, met)
        elif type(values) is dict:
            self.note_read(list(values.values()), met)
        elif type(values) is slice:
            self.note_read((values.start, values.stop, values.step), met)
        elif isinstance(values, np.flatiter):
            self.note_read(values.base, met)
        elif type(values).__module__.startswith("scipy."):  # a sparse matrix, say, computes with what it holds
            self.note_read(list(getattr(values, "__dict__", {}).values()), met)

    def is_fresh(self, array: Array) -> bool:
        """Whether the function made the memory of an array itself."""
        owner = owner_of(array)
        known = self._fresh.get(id(owner))
        return known is not None and known() is owner

    # --- what is traced now --------------------------------------------------------------------------------------

    def read(self, array: Array) -> Any:
        """What stands for a real array: itself, or the traced value that it has become."""
        found = self.lifted.get(id(array))
        if found is not None:
            return found[1]
        if array.base is None or id(owner := owner_of(array)) not in self.lifted:
            return array
        seen = self._views.get(id(array))
        if seen is not None and seen[1] is not None:
            return seen[1]
        base = self.lifted[id(owner)][1]
        view = _view(base, owner, array)
        if view is None:  # elements as they are now; it is not remembered, so that the next reading sees later writes
            positions = np.arange(owner.size).reshape(-1)
            return np.take(np.reshape(base, -1), _overlay(positions, owner, array))
        self._views[id(array)] = (array, view)
        return view

    def lift(self, array: Array, to_write: bool = True) -> Any:
        """Make a real array traced, and with it all that shares its memory. Returns what stands for it.

        Raises TraceError if the array looks into memory in a way that no traced view does.
        """
        owner = owner_of(array)
        if to_write and not array.flags.writeable:
            raise ValueError("assignment destination is read-only")
        if id(owner) not in self.lifted:
            trace.check_array(owner, "an array that a traced value is written into")
            self.lifted[id(owner)] = (owner, self._stand_in(owner))
        if array is not owner and array.size and _view(self.lifted[id(owner)][1], owner, array) is None:
            text = errors.message(errors.IN_PLACE_ON_REAL_ARRAY, value=f" ({array.dtype}{list(array.shape)})")
            raise errors.TraceError(text)
        return self.read(array)

    def _stand_in(self, owner: Array) -> Proxy:
        view: Proxy | None = self.active.argument_view(owner)
        if view is not None:
            return view
        if self.is_fresh(owner):
            node = _contents(owner)
        else:
            node = self._inputs[id(owner)] = unwrap(owner)
        proxy = wrap(node, self.active)
        proxy._strides = None if owner.flags.c_contiguous else element_strides(owner)
        proxy._is_array = True
        return proxy

    def first_node(self, owner: Array) -> Node:
        """What an array held when it was lifted."""
        return unwrap(self._stand_in(owner))

    def read_deep(self, value: Any) -> Any:
        """A nest of lists, tuples and dicts with every array in it as it is read; itself if none is traced."""
        if isinstance(value, np.ndarray):
            return self.read(value)
        if type(value) in (list, tuple):
            items = [self.read_deep(item) for item in value]
            return value if all(map(_same, items, value)) else type(value)(items)
        if type(value) is dict:
            items = [self.read_deep(item) for item in value.values()]
            return value if all(map(_same, items, value.values())) else dict(zip(value, items, strict=True))
        return value

    def kept_form(self, value: Any) -> Any:
        """What to store where it outlives the trace: the real array, where one of before the trace is traced."""
        if isinstance(value, Proxy):
            for owner, proxy in self.lifted.values():
                if proxy is value and id(owner) in self._inputs:
                    return owner
        return value

    def remember_kept(self, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
        """Note that an array of the function was stored in a place that may outlive the trace."""
        if isinstance(value, np.ndarray) and self.is_fresh(value):
            self.kept.append((read, write, value))

    def begin(self) -> None:
        """Lift the arrays of `first`, so that what is read of them before a write is traced too."""
        for array in self.first:
            self.lift(array, to_write=False)

    @property
    def outside(self) -> list[Array]:
        """The arrays of before the trace that are traced now."""
        return [self.lifted[key][0] for key in self._inputs]

    def finish(self) -> None:
        """Put traced values where the function left arrays of its own that have become traced.

        They end with the trace, so that nobody reads numbers there that were never written.
        """
        for read, write, array in self.kept:
            value = self.read(array)
            try:
                if value is not array and read() is array:
                    write(value)
            except (AttributeError, LookupError):
                continue

    def written(self) -> list[tuple[Array, Node]]:
        """Arrays of before the trace that the function has written into, and the nodes of what they hold now."""
        found = []
        for key, node in self._inputs.items():
            owner, proxy = self.lifted[key]
            if proxy.__tracer_node__ is not node:
                found.append((owner, proxy.__tracer_node__))
        return found


def _same(one: Any, other: Any) -> bool:
    return one is other


def _contents(array: Array) -> Node:
    """A constant of what an array holds, as one number if it is the same everywhere."""
    trace.check_dtype(array, "an array that a traced value is written into")
    first = array.reshape(-1)[:1]
    if (
        array.ndim
        and array.size > 1
        and (array.view() == first).all()
        and not (first == 0 and np.signbit(array).any() if array.dtype.kind == "f" else False)
    ):
        spread = OPS["broadcast_to"](wrap(constant(first.reshape(()))), shape=array.shape)
        return unwrap(np.copy(spread))
    return constant(array.copy(order="C"))


# --- views -------------------------------------------------------------------------------------------------------


def _view(base: Proxy, owner: Array, array: Array) -> Any:
    """The view of a traced value that corresponds to a view of the real array in its place; None if there is none."""
    if array.dtype != owner.dtype:
        return _part_view(base, owner, array)
    if owner.flags.fnc:
        turned: Any = np.transpose(base)
        return _view(turned, owner.T, array)
    for shape in _layouts(owner, array):
        steps = _steps(shape, owner, array)
        if steps is not None:
            flat = base if shape == owner.shape else np.reshape(_trimmed(base, shape), shape)
            return steps(flat)
    return None


def _part_view(base: Proxy, owner: Array, array: Array) -> Any:
    """The view of the real or imaginary parts of a complex array."""
    if owner.dtype.kind == "c" and array.dtype == owner.real.dtype:
        distance = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        name = "imag" if distance % owner.itemsize else "real"
        return _view(getattr(base, name), getattr(owner, name), array)
    return None


def _trimmed(base: Any, shape: tuple[int, ...]) -> Any:
    flat = np.reshape(base, -1)
    count = int(np.prod(shape))
    return flat if count == base.size else flat[:count]


def _layouts(owner: Array, array: Array) -> list[tuple[int, ...]]:
    """Shapes of the owner's memory in which a view may be made of slices."""
    shapes = [owner.shape]
    if not owner.flags.c_contiguous:
        return shapes
    steps = {abs(stride) // array.itemsize for stride, size in zip(array.strides, array.shape, strict=True) if size > 1}
    strides = sorted(steps - {0}, reverse=True)
    pairs = list(itertools.pairwise(strides))
    if strides and all(stride % inner == 0 for stride, inner in pairs):
        rows = [owner.size // strides[0], *(stride // inner for stride, inner in pairs)]
        shapes.append((*rows, strides[-1]) if strides[-1] > 1 else tuple(rows))
    shapes.append((owner.size,))
    return shapes


def _steps(shape: tuple[int, ...], owner: Array, array: Array) -> Callable[[Any], Any] | None:
    """What slices, transposes and reshapes make a view of an owner whose memory has a given shape."""
    strides = (
        tuple(item // owner.itemsize for item in owner.strides) if shape == owner.shape else (contiguous_strides(shape))
    )
    if array.size == 0:
        return None
    offset = (array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // owner.itemsize
    axes = sorted(range(len(shape)), key=lambda axis: -strides[axis])
    starts = {}
    for axis in axes:
        starts[axis], offset = divmod(offset, strides[axis]) if strides[axis] else (0, offset)
        if starts[axis] >= shape[axis] or strides[axis] < 0:
            return None
    if offset:
        return None
    slices: list[Any] = [slice(start, start + 1) for _, start in sorted(starts.items())]
    order: list[int] = []
    for size, stride in zip(array.shape, array.strides, strict=True):
        step = stride // array.itemsize
        if size == 1:
            continue
        fitting = [
            axis
            for axis in axes
            if axis not in order
            and strides[axis]
            and step % strides[axis] == 0
            and 0 <= starts[axis] + (size - 1) * (step // strides[axis]) < shape[axis]
        ]
        if not fitting or not step:
            return None
        axis = fitting[0]
        by = step // strides[axis]
        stop = starts[axis] + size * by
        slices[axis] = slice(starts[axis], stop if stop >= 0 else None, by)
        order.append(axis)
    rest = [axis for axis in range(len(shape)) if axis not in order]

    def steps(base: Any) -> Any:
        part = base[tuple(slices)] if slices else base[...]
        return np.reshape(np.transpose(part, (*order, *rest)), array.shape)

    return steps


def _overlay(positions: Array, owner: Array, array: Array) -> Array:
    """For each element of a view, the place of that element in its owner in C order."""
    step = owner.itemsize
    start = (array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // step
    places = np.full(array.shape, start)
    for axis, (size, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        places += (np.arange(size) * (stride // step)).reshape((-1,) + (1,) * (array.ndim - axis - 1))
    if owner.flags.c_contiguous:
        return positions[places]
    memory = sum(
        np.ix_(*(np.arange(size) * (stride // step) for size, stride in zip(owner.shape, owner.strides, strict=True))),
        np.intp(0),
    )
    order = np.argsort(np.asarray(memory), axis=None)
    return order[np.searchsorted(np.asarray(memory).reshape(-1)[order], places)]


class _Probe(Lifting):
    """Counts references as `note` does, of what nobody else holds."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def note(self, value: Any) -> None:
        """Count the references on a view and on its base, or on the item of a tuple."""
        if isinstance(value, np.ndarray):
            self.counts.append(sys.getrefcount(value))
            self._note_alone(value)
        elif type(value) in (tuple, list):
            for position in range(len(value)):
                item = value[position]
                self.counts.append(sys.getrefcount(item))

    def _note_alone(self, value: Array) -> None:
        base = value.base
        self.counts.append(sys.getrefcount(base))


def _measure() -> list[int]:
    probe = _Probe()
    result: Any = np.empty(4).reshape(2, 2)
    probe.note(result)
    result = (np.empty(4),)
    probe.note(result)
    return probe.counts


_ALONE, _BASE_ALONE, _ITEM_ALONE = _measure()
