"""What a traced value tells about its memory, as arrays do: `flat`, `flags`, `strides`, `base`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tracer.graph.rules import is_traced, lift_arrays, literal
from tracer.records import NamedTuple
from tracer.tracing import layout
from tracer.types import contiguous_strides


class Flat:
    """The elements of a traced array in row-major order, to read, write and go through.

    Parameters
    ----------
    base : Proxy
        The array: what is written here is written there.
    """

    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, base: Any) -> None:
        self.base = base

    def __len__(self) -> int:
        size: int = self.base.size
        return size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def __getitem__(self, key: Any) -> Any:
        return np.copy(np.ravel(self.base))[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        places = np.arange(self.base.size)
        chosen = np.atleast_1d(places[key]) if not is_traced(key) else np.ravel(key)
        elements = np.copy(np.ravel(self.base))
        (value,) = lift_arrays(value, self.base)[:1]
        count, size = chosen.shape[0], value.size
        if count and not size:
            raise ValueError("Error setting single item of array.")
        if count and size != 1:
            # Values that are too few are taken over and over.
            value = np.take(np.ravel(value), literal(np.arange(count) % size, self.base))
        elements[chosen if is_traced(chosen) else literal(chosen, self.base)] = value
        self.base[...] = np.reshape(elements, self.base.shape)

    def copy(self) -> Any:
        """The elements in an array of their own."""
        return np.copy(np.ravel(self.base))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        args = tuple(item.copy() if isinstance(item, Flat) else item for item in args)
        return function(*args, **kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        args = tuple(item.copy() if isinstance(item, Flat) else item for item in args)
        return getattr(ufunc, method)(*args, **kwargs)

    def __eq__(self, other: Any) -> Any:
        return self.copy() == other


class Flags(NamedTuple):
    """How NumPy's array in place of a traced value would lie in memory."""

    c_contiguous: bool
    f_contiguous: bool
    owndata: bool
    writeable: bool
    aligned: bool = True
    writebackifcopy: bool = False

    def __getitem__(self, key: Any) -> Any:
        name = {"C": "c_contiguous", "F": "f_contiguous", "O": "owndata", "W": "writeable", "A": "aligned"}.get(key)
        return getattr(self, name or str(key).lower())

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow one another in row-major order."""
        return self.c_contiguous

    @property
    def fnc(self) -> bool:
        """Whether the elements follow one another in column-major order only."""
        return self.f_contiguous and not self.c_contiguous

    @property
    def forc(self) -> bool:
        """Whether the elements follow one another in one order or the other."""
        return self.c_contiguous or self.f_contiguous


def _follows(shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if 0 in shape:
        return True
    pairs = zip(shape, strides, wanted, strict=True)
    return all(size == 1 or stride == expected for size, stride, expected in pairs)


def flags_of(value: Any) -> Flags:
    """The flags of a traced value."""
    shape, strides = value.shape, layout.strides_of(value)
    backwards = tuple(reversed(contiguous_strides(tuple(reversed(shape)))))
    is_view = value._base is not None and not layout.is_copy(value)
    return Flags(
        _follows(shape, strides, contiguous_strides(shape)),
        _follows(shape, strides, backwards),
        not is_view,
        not (is_view and value._path[0].name in ("broadcast_to", "windows")),
    )


def _set_flat(self: Any, value: Any) -> None:
    Flat(self)[:] = value


def _sort(self: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    """Sort in place along an axis."""
    self[...] = np.sort(self, axis, kind, order, stable=stable)


def _to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
    """The array itself: it lives where NumPy's arrays do."""
    if device != "cpu":
        raise ValueError(f"Unsupported device: {device!r}")
    return self


def _namespace(self: Any, /, *, api_version: Any = None) -> Any:
    """The functions for arrays of this kind: NumPy."""
    return np


def install(cls: Any) -> None:
    """Give a proxy class the attributes that tell about memory."""
    cls.flat = property(Flat, _set_flat, doc="The elements in row-major order.")
    cls.flags = property(flags_of, doc="How the array lies in memory.")
    cls.strides = property(
        lambda self: tuple(stride * self.itemsize for stride in layout.strides_of(self)),
        doc="Bytes from one element to the next along each axis.",
    )
    cls.base = property(
        lambda self: None if self._base is None or layout.is_copy(self) else self._base,
        doc="The array that a view looks into.",
    )
    cls.device = property(lambda self: "cpu", doc="Where the array lives.")
    cls.sort, cls.to_device, cls.__array_namespace__ = _sort, _to_device, _namespace
    cls.__copy__ = lambda self: np.copy(self)
