"""Arrays made from the type of another, ranges between traced ends, and questions that only the type answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import apply_like, is_traced, lift, literal, static_int, static_ints, unsupported
from tracer.types import broadcast_shapes

_X: tuple[tuple[int, ...], ...] = ((2, 3),)


def _filled(like: Any, value: Any, dtype: Any, shape: Any) -> Any:
    target = np.dtype(like.dtype if dtype is None else dtype)
    sizes = like.shape if shape is None else static_ints(shape)
    if is_traced(value):
        value = value if value.dtype == target else value.astype(target)
    else:
        value = np.asarray(value).astype(target)[()] if np.ndim(value) == 0 else np.asarray(value, target)
    if not is_traced(like):
        return np.array(np.broadcast_to(value, sizes))
    return np.copy(apply_like(OPS["broadcast_to"], like, value, shape=sizes))  # an array to write into, not a view


def _like(function: Callable[..., Any], value: int) -> None:
    @composite(function, examples=((lambda x: function(x), _X), (lambda x: function(x, shape=(4,)), _X)))
    def apply(
        a: Any,
        dtype: Any = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
        *,
        device: Any = None,
    ) -> Any:
        """An array of one value, of the type of another."""
        return _filled(a, value, dtype, shape)


_like(np.zeros_like, 0)
_like(np.ones_like, 1)


@composite(np.empty_like)
def _empty_like(
    prototype: Any,
    /,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """An array to be filled, of the type of another; it holds zeros."""
    return _filled(prototype, 0, dtype, shape)


@composite(
    np.full_like,
    examples=((lambda x: np.full_like(x, 2), _X), (lambda x, v: np.full_like(x, v), ((2, 3), (3,)))),
)
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """An array of one value, of the type of another."""
    return _filled(a, fill_value, dtype, shape)


@composite(
    np.linspace,
    examples=(
        (lambda a, b: np.linspace(a, b, 5), ((), ())),
        (lambda a, b: np.linspace(a, b, 4, endpoint=False), ((2,), (2,))),
        (lambda a, b: np.linspace(a, b, 3, axis=-1), ((2,), ())),
        (lambda a: np.linspace(a, 1, 3, retstep=True)[1], ((),)),
    ),
)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Evenly spaced numbers between traced ends."""
    num = static_int(num, "num")
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    count = num - 1 if endpoint else num
    start, stop = lift(start, stop)
    start, stop = (item * 1.0 if hasattr(item, "dtype") else item for item in (start, stop))
    span = stop - start
    places = _ramp(num, len(broadcast_shapes(np.shape(start), np.shape(stop))), span)
    step = span / count if count > 0 else span * np.nan
    result = places * step + start if count > 0 else places * span + start
    if endpoint and num > 1:
        last = np.broadcast_to(stop, result.shape[1:]) if hasattr(stop, "dtype") else np.full_like(result[-1], stop)
        result = np.concatenate([result[:-1], last[None].astype(result.dtype)], 0)
    if axis != 0:
        result = np.moveaxis(result, 0, axis)
    if dtype is not None:
        if np.dtype(dtype).kind in "iu":
            result = np.floor(result)
        result = result.astype(dtype)
    return (result, step) if retstep else result


def _ramp(num: int, ndim: int, like: Any) -> Any:
    """0, 1, ... num - 1 along a first axis of its own, as a constant."""
    values = np.arange(num, dtype=getattr(like, "dtype", float)).reshape((-1,) + (1,) * ndim)
    return apply_like(OPS["reshape"], like, literal(values, like), shape=values.shape)


@composite(
    np.meshgrid,
    examples=(
        (lambda a, b: np.meshgrid(a, b)[0], ((2,), (3,))),
        (lambda a, b: np.meshgrid(a, b, indexing="ij")[1], ((2,), (3,))),
    ),
)
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinate matrices from coordinate vectors."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    ndim = len(xi)
    places = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        places[0], places[1] = 1, 0
    vectors = lift(*xi)
    axes = [
        np.reshape(item, tuple(-1 if axis == place else 1 for axis in range(ndim)))
        for item, place in zip(vectors, places, strict=True)
    ]
    return tuple(axes) if sparse else tuple(np.copy(item) for item in np.broadcast_arrays(*axes))


# --- questions about types ---------------------------------------------------------------------------------------


@composite(np.shape)
def _shape(a: Any) -> Any:
    """The shape, which is static."""
    return a.shape


@composite(np.ndim)
def _ndim(a: Any) -> int:
    """The number of axes, which is static."""
    return len(a.shape)


@composite(np.size)
def _size(a: Any, axis: Any = None) -> int:
    """The number of elements, which is static."""
    if axis is None:
        return a.size
    return int(np.prod([a.shape[item] for item in static_ints(axis)]))


@composite(np.result_type)
def _result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that NumPy's promotion gives."""
    return np.result_type(*(item.dtype if is_traced(item) else item for item in arrays_and_dtypes))


@composite(np.can_cast)
def _can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a cast is allowed."""
    return np.can_cast(from_.dtype if is_traced(from_) else from_, to, casting)


@composite(np.iscomplexobj)
def _iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return bool(x.dtype.kind == "c")


@composite(np.isrealobj)
def _isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return bool(x.dtype.kind != "c")


@composite(np.shares_memory, np.may_share_memory)
def _shares_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """Traced values count as separate arrays."""
    return a is b


@composite(np.common_type, examples=((lambda x: np.zeros_like(x, np.common_type(x)), ((2, 3),)),))
def _common_type(*arrays: Any) -> Any:
    """The inexact scalar type that holds all arrays."""
    return np.common_type(*(np.empty(0, item.dtype) if is_traced(item) else item for item in arrays))


@composite(np.min_scalar_type)
def _min_scalar_type(a: Any, /) -> np.dtype[Any]:
    """The dtype of an array; which is the smallest for a number only the number tells."""
    if a.ndim == 0:
        unsupported("np.min_scalar_type", "a (a traced number)", "use x.dtype, which is static.")
    dtype: np.dtype[Any] = a.dtype
    return dtype


@composite(np.real_if_close, examples=((lambda x: np.real_if_close(np.real(x)), ((2, 3),)),))
def _real_if_close(a: Any, tol: Any = 100) -> Any:
    """A real array itself; whether a complex one is close to real only its numbers tell."""
    (a,) = lift(a)
    if a.dtype.kind == "c":
        unsupported("np.real_if_close", "a (complex)", "use np.real(x), the dtype of a result must be known.")
    return a


# --- places that the shape tells ---------------------------------------------------------------------------------


@composite(np.diag_indices_from, examples=((lambda x: np.diag_indices_from(x)[1], ((3, 3),)),))
def _diag_indices_from(arr: Any) -> Any:
    """The places of the main diagonal, which are static."""
    if arr.ndim < 2:
        raise ValueError("input array must be at least 2-d")
    if len(set(arr.shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    return np.diag_indices(arr.shape[0], arr.ndim)


def _triangle_places(function: Callable[..., Any], places: Callable[..., Any]) -> None:
    @composite(function, examples=((lambda x: x[function(x, 1)], ((3, 4),)),))
    def apply(arr: Any, k: int = 0) -> Any:
        """The places of a triangle, which are static."""
        if arr.ndim != 2:
            raise ValueError("input array must be 2-d")
        return places(arr.shape[-2], k=k, m=arr.shape[-1])


_triangle_places(np.tril_indices_from, np.tril_indices)
_triangle_places(np.triu_indices_from, np.triu_indices)
