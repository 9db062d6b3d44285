"""Types of symbolic variables: what values a variable may take, without their sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.node import input_node
from tracer.tracing import trace
from tracer.tracing.first_rows import FirstRows
from tracer.tracing.proxy import Proxy
from tracer.types import ArrayType, is_supported, promote

STAND_IN_SIZE = 12
"""The size that an unknown dimension is given to find the type of an expression; many sizes divide it."""


class Type:
    """What values a symbolic variable may take, and how they become the arrays of a program and come back.

    A value is one or several arrays (its leaves) and something hashable that is known while compiling.
    """

    make_variable: Callable[..., Any]
    """(type, name, owner, index) -> a new symbolic variable; set by the module of variables."""
    make_constant: Callable[..., Any]
    """(type, value) -> a constant of an expression."""

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """Return a value in the form that this type keeps. Raises TypeError if it does not fit."""
        raise NotImplementedError

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """Take a value, real or traced, apart: arrays (or traced values), and what is static about it."""
        raise NotImplementedError

    def unflatten(self, leaves: Sequence[Any], static: Hashable) -> Any:
        """Put a value together again from what `flatten` gave."""
        raise NotImplementedError

    def stand_in(self) -> Any:
        """A traced value of this type with made-up sizes, to find the types of expressions."""
        raise NotImplementedError

    def __call__(self, name: str | None = None) -> Any:
        """Make a new symbolic variable of this type."""
        return self.make_variable(self, name)

    def __ne__(self, other: object) -> bool:
        return not self == other


class TensorType(Type):
    """Arrays of one dtype and number of dimensions, some of which may be fixed to size 1.

    Parameters
    ----------
    dtype : str or dtype
        Element type; "floatX" stands for `tracer.config.floatX`.
    broadcastable : sequence of bool
        One per dimension: whether its size is 1, and so broadcasts.
    name : str, optional
        A name for messages.

    Examples
    --------
    >>> from tracer.tracing.symbolic_type import TensorType
    >>> row = TensorType("float64", (True, False))
    >>> row, row.ndim
    (TensorType(float64, row), 2)
    """

    def __init__(
        self,
        dtype: Any,
        broadcastable: Iterable[Any] | None = None,
        name: str | None = None,
        shape: Iterable[int | None] | None = None,
    ) -> None:
        self.numpy_dtype = np.dtype(config.floatX if dtype == "floatX" else dtype)
        if not is_supported(self.numpy_dtype):
            raise TypeError(unsupported_dtype(dtype, name or "a type", trace.KNOWN))
        if broadcastable is None:
            broadcastable = [size == 1 for size in shape or ()]
        self.broadcastable = tuple(bool(item) for item in broadcastable)
        self.name = name

    @property
    def dtype(self) -> str:
        """Name of the element type."""
        return self.numpy_dtype.name

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.broadcastable)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """1 where a dimension broadcasts, None where its size is unknown."""
        return tuple(1 if item else None for item in self.broadcastable)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and isinstance(other, TensorType)
            and (self.numpy_dtype, self.broadcastable) == (other.numpy_dtype, other.broadcastable)
        )

    def __hash__(self) -> int:
        return hash((self.numpy_dtype, self.broadcastable))

    def __repr__(self) -> str:
        return f"TensorType({self.dtype}, {_kind(self.broadcastable)})"

    def clone(self, dtype: Any = None, broadcastable: Iterable[Any] | None = None) -> TensorType:
        """The same type with another dtype or other broadcastable dimensions."""
        return TensorType(
            self.numpy_dtype if dtype is None else dtype,
            self.broadcastable if broadcastable is None else broadcastable,
            self.name,
        )

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> np.ndarray[Any, Any]:
        """Return a value as an array of this type.

        Parameters
        ----------
        value : array_like
            An array is cast up (int to float, float32 to float64) but not down; other values are cast if nothing is
            lost.
        strict : bool
            Take only arrays of exactly this dtype.
        allow_downcast : bool or None
            True casts whatever it costs; None casts a Python float to floatX; False does neither.

        Raises
        ------
        TypeError
            If the dtype, the number of dimensions, or a broadcastable dimension does not fit.
        """
        if type(value) is np.ndarray and value.dtype == self.numpy_dtype:
            array = value
        else:
            array = self._converted(value, strict, allow_downcast)
        if array.ndim != len(self.broadcastable):
            raise TypeError(
                errors.message(errors.WRONG_NDIM, type=self, expected=self.ndim, found=array.ndim, shape=array.shape)
            )
        for axis, broadcasts in enumerate(self.broadcastable):
            if broadcasts and array.shape[axis] != 1:
                raise TypeError(errors.message(errors.NOT_BROADCASTABLE, type=self, axis=axis, shape=array.shape))
        return array

    def _converted(self, value: Any, strict: bool, allow_downcast: bool | None) -> np.ndarray[Any, Any]:
        dtype = self.numpy_dtype
        if isinstance(value, Proxy) or hasattr(value, "owner"):
            raise TypeError(errors.message(errors.SYMBOLIC_ARGUMENT, value=value, type=self))
        if strict:
            kind = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            raise TypeError(errors.message(errors.STRICT_TYPE, type=self, kind=kind))
        array = np.asarray(value)
        if array.dtype == dtype:
            return array
        if array.dtype.kind not in "biufc":
            raise TypeError(errors.message(errors.NOT_AN_ARRAY, type=self, kind=type(value).__name__, value=value))
        if allow_downcast or promote([dtype, array.dtype]) == dtype:
            return array.astype(dtype)
        if allow_downcast is None and isinstance(value, float) and dtype == np.dtype(config.floatX):
            return array.astype(dtype)
        if not isinstance(value, np.ndarray) and (array.dtype.kind != "c" or dtype.kind == "c"):
            with np.errstate(all="ignore"):
                cast = array.astype(dtype)
            if np.array_equal(cast, array, equal_nan=array.dtype.kind in "fc") and dtype.kind != "b":
                return cast
        raise TypeError(errors.message(errors.PRECISION_LOST, type=self, dtype=array.dtype, target=dtype))

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """The array itself, nothing static about it; rows that only a run can count come with their count."""
        if isinstance(value, FirstRows) and not value.is_cut:
            return (value.whole, value.count), FirstRows
        return (value,), None

    def unflatten(self, leaves: Sequence[Any], static: Hashable) -> Any:
        """The array itself."""
        return leaves[0] if static is None else leaves[0][: int(leaves[1])]

    def stand_in(self) -> Any:
        """A traced array with `STAND_IN_SIZE` for every unknown dimension."""
        sizes = tuple(1 if item else STAND_IN_SIZE for item in self.broadcastable)
        return Proxy(input_node(ArrayType(self.numpy_dtype, sizes)))

    def is_super(self, other: Type) -> bool:
        """Whether every value of the other type is one of this type."""
        return (
            isinstance(other, TensorType)
            and self.numpy_dtype == other.numpy_dtype
            and self.ndim == other.ndim
            and all(b or not a for a, b in zip(self.broadcastable, other.broadcastable, strict=True))
        )


class GenericType(Type):
    """Any Python object; it is static, so that a program is compiled for each object it meets."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "Generic"

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> Any:
        """Any value as it is."""
        return value

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """No arrays; the object is static."""
        return (), _Identity(value)

    def unflatten(self, leaves: Sequence[Any], static: Hashable) -> Any:
        """The object."""
        assert isinstance(static, _Identity)
        return static.value

    def stand_in(self) -> Any:
        """Nothing to compute with."""
        return None


class _Identity:
    """Makes any object hashable, by identity; it keeps the object alive, so that the identity stays its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def type_of_value(value: Any) -> TensorType:
    """The tensor type of an array, a number or a traced value: dimensions of size 1 broadcast.

    Raises TypeError for what is not an array.
    """
    array = value if isinstance(value, Proxy) else np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(errors.message(errors.NOT_SYMBOLIC, kind=type(value).__name__, value=value))
    return tensor_type(array.dtype, tuple(size == 1 for size in array.shape))


@functools.cache
def tensor_type(dtype: np.dtype[Any], broadcastable: tuple[bool, ...]) -> TensorType:
    """The one type object of these; faster than making a new one."""
    return TensorType(dtype, broadcastable)


@functools.cache
def _kind(broadcastable: tuple[bool, ...]) -> str:
    if not any(broadcastable):
        return {0: "scalar", 1: "vector", 2: "matrix"}.get(len(broadcastable), f"{len(broadcastable)}D")
    names: dict[tuple[bool, ...], str] = {(True, False): "row", (False, True): "col"}
    return names.get(broadcastable, str(broadcastable))
