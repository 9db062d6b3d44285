"""Array types: dtype and shape, NumPy's promotion and broadcasting, and the shapes of reductions and indices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from tracer.device import is_on_gpu, to_gpu
from tracer.records import NamedTuple

Dimension = int | None
Shape = tuple[Dimension, ...]

DTYPES: tuple[np.dtype[Any], ...] = tuple(
    np.dtype(name)
    for name in ("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split())
)
"""The dtypes that a traced value can have, in the order of the kernels' own enumeration."""

_SUPPORTED = frozenset(DTYPES)


class ArrayType(NamedTuple):
    """The static type of one array value: its dtype and its shape.

    A dimension is an int, or None while it is unknown (symbolic variables). An unknown dimension is never 1.
    """

    dtype: np.dtype[Any]
    shape: Shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; raises ValueError while a dimension is unknown."""
        return math.prod(self.known_shape)

    @property
    def known_shape(self) -> tuple[int, ...]:
        """The shape with every dimension known; raises ValueError otherwise."""
        if None in self.shape:
            raise ValueError(f"the shape of {self} is not known yet")
        return cast("tuple[int, ...]", self.shape)

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.dtype}[{sizes}]"


class TupleType(NamedTuple):
    """The type of a node with several outputs: that of each of them."""

    items: tuple[ArrayType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


def type_of(value: Any) -> ArrayType:
    """Return the type of a real array or NumPy scalar.

    >>> str(type_of(np.zeros((2, 3), np.float32)))
    'float32[2, 3]'
    """
    array = to_gpu(value) if is_on_gpu(value) else np.asarray(value)
    return ArrayType(array.dtype, array.shape)


def is_supported(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this dtype can be traced (native byte order only)."""
    return dtype in _SUPPORTED and dtype.isnative


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is real or complex floating point, and so carries derivatives."""
    return dtype.kind in "fc"


@cache
def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real part: float32 for complex64, itself for a real dtype."""
    return np.empty(0, dtype).real.dtype


@cache
def resolve_ufunc(ufunc: np.ufunc, operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """NumPy's loop dtypes (inputs, then outputs) of a ufunc for operand dtypes or Python scalar types.

    Python's int, float and complex stand for weak scalars (NEP 50). Raises TypeError as NumPy does.
    """
    return ufunc.resolve_dtypes((*operands, *(None,) * ufunc.nout))


@cache
def _promote(operands: tuple[Any, ...]) -> np.dtype[Any]:
    weak: dict[Any, Any] = {int: 0, float: 0.0, complex: 0j, bool: np.bool_}
    arguments: list[Any] = [weak[item] if isinstance(item, type) else item for item in operands]
    return np.result_type(*arguments)


def promote(operands: Iterable[Any]) -> np.dtype[Any]:
    """NumPy's result_type of dtypes and weak Python scalar types.

    >>> promote([np.dtype("float32"), float])
    dtype('float32')
    """
    return _promote(tuple(operands))


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcast of shapes, where None is an unknown dimension other than 1.

    Raises ValueError with NumPy's own wording if the shapes do not fit.

    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    first = shapes[0] if shapes else ()
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result: list[Dimension] = []
    for axis in range(-ndim, 0):
        size: Dimension = 1
        for shape in shapes:
            other = shape[axis] if -axis <= len(shape) else 1
            if other == 1 or other == size:
                continue
            if size == 1 or size is None:
                size = other
            elif other is not None:
                texts = " ".join(str(item).replace(" ", "") for item in shapes)
                raise ValueError(f"operands could not be broadcast together with shapes {texts}")
        result.append(size)
    return tuple(result)


def normalize_axis(axis: Any, ndim: int) -> int:
    """A single axis as an int in [0, ndim); raises numpy.exceptions.AxisError."""
    index = int(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(index, ndim)
    return index % ndim if ndim else 0


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes (None for all, an int, or several) as a sorted tuple of ints in [0, ndim).

    Raises numpy.exceptions.AxisError, and ValueError for a repeated axis.

    >>> normalize_axes((-1, 0), 3)
    (0, 2)
    """
    if axis is None:
        return tuple(range(ndim))
    axes = [normalize_axis(item, ndim) for item in (axis if isinstance(axis, tuple | list) else (axis,))]
    if len(set(axes)) != len(axes):
        raise ValueError("duplicate value in 'axis'")
    return tuple(sorted(axes))


def reduced_shape(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    """The shape that is left when axes are reduced."""
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a C-contiguous array.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def element_strides(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Strides of an array, in elements.

    >>> element_strides(np.zeros((2, 3, 4))[:, ::2])
    (12, 8, 1)
    """
    return tuple(stride // array.itemsize for stride in array.strides)
