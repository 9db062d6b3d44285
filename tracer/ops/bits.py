"""Bits as elements, and the memory of elements read as another dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.op import Op, batched_as, composite, declare, method
from tracer.graph.rules import lift, literal, static_int
from tracer.types import DTYPES, ArrayType, is_supported, normalize_axis

_BYTES: tuple[tuple[int, ...], ...] = ((3, 11),)


def _weights(bitorder: str) -> np.ndarray[Any, Any]:
    if bitorder not in ("big", "little"):
        raise ValueError("'order' must be either 'little' or 'big'")
    powers = np.arange(8, dtype=np.uint8)
    return powers[::-1].copy() if bitorder == "big" else powers


@composite(
    np.packbits,
    examples=(
        (lambda x: np.packbits(x > 0), _BYTES),
        (lambda x: np.packbits(x > 0, axis=1), _BYTES),
        (lambda x: np.packbits(x > 0, axis=0, bitorder="little"), _BYTES),
    ),
)
def _packbits(a: Any, /, axis: Any = None, bitorder: str = "big") -> Any:
    """Eight elements, zero or not, as the bits of one uint8."""
    (a,) = lift(a)
    if a.dtype.kind not in "biu":
        raise TypeError("Expected an input array of integer or boolean data type")
    if axis is None:
        a, axis = np.ravel(a), 0
    bits = np.moveaxis(a != 0, normalize_axis(axis, a.ndim), -1)
    places = literal(_weights(bitorder), bits)
    missing = -bits.shape[-1] % 8
    if missing:
        bits = np.concatenate([bits, np.zeros_like(bits, shape=(*bits.shape[:-1], missing))], -1)
    groups = np.reshape(bits, (*bits.shape[:-1], bits.shape[-1] // 8, 8)).astype(np.uint8)
    packed: Any = np.sum(np.left_shift(groups, places), axis=-1, dtype=np.uint8)
    return np.moveaxis(packed, -1, axis)


@composite(
    np.unpackbits,
    examples=(
        (lambda x: np.unpackbits(np.real(x).astype(np.uint8)), ((3, 4),)),
        (lambda x: np.unpackbits(np.real(x).astype(np.uint8), axis=1, count=5, bitorder="little"), ((3, 4),)),
        (lambda x: np.unpackbits(np.real(x).astype(np.uint8), axis=0, count=-3), ((3, 4),)),
    ),
)
def _unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: str = "big") -> Any:
    """The bits of uint8 elements as elements of their own."""
    (a,) = lift(a)
    if a.dtype != np.uint8:
        raise TypeError("Expected an input array of unsigned byte data type")
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = normalize_axis(axis, a.ndim)
    moved = np.moveaxis(a, axis, -1)
    bits = np.right_shift(moved[..., None], literal(_weights(bitorder), a)) & 1
    bits = np.reshape(bits, (*moved.shape[:-1], moved.shape[-1] * 8))
    if count is not None:
        size = static_int(count, "count")
        if size > bits.shape[-1]:
            rest = np.zeros_like(bits, shape=(*bits.shape[:-1], size - bits.shape[-1]))
            bits = np.concatenate([bits, rest], -1)
        elif -size > bits.shape[-1]:
            raise ValueError(f"-count larger than number of elements: {size}")
        else:
            bits = bits[..., :size]
    return np.copy(np.moveaxis(bits, -1, axis))


# --- memory as another dtype -------------------------------------------------------------------------------------


def _bitcast_infer(types: Sequence[ArrayType], dtype: np.dtype[Any]) -> ArrayType:
    (x,) = types
    old, new = x.dtype.itemsize, dtype.itemsize
    if old == new:
        return ArrayType(dtype, x.shape)
    last = (x.known_shape[-1] if x.shape else 0) * old
    return ArrayType(dtype, (*x.shape[:-1], last // new))


def _bitcast_value(x: Any, dtype: np.dtype[Any]) -> Any:
    return np.ascontiguousarray(x).reshape(np.shape(x)).view(dtype)


def _is_pairs(old: np.dtype[Any], new: np.dtype[Any]) -> bool:
    """Whether one dtype is of complex numbers and the other of their parts."""
    return {old.kind, new.kind} == {"c", "f"} and max(old.itemsize, new.itemsize) == 2 * min(old.itemsize, new.itemsize)


def _bitcast_vjp(g: Any, y: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    if not _is_pairs(x.dtype, dtype):
        return None
    # A real function of (a, b) = x + iy has the cotangent df/da - i df/db.
    return np.conjugate(BITCAST(g, dtype=x.dtype)) if x.dtype.kind == "c" else BITCAST(np.conjugate(g), dtype=x.dtype)


def _bitcast_jvp(tangents: Any, y: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    return BITCAST(tangents[0], dtype=dtype) if _is_pairs(x.dtype, dtype) else None


BITCAST: Op = declare(
    Op(
        "bitcast",
        "call",
        _bitcast_infer,
        _bitcast_value,
        vjp=(_bitcast_vjp,),
        jvp=_bitcast_jvp,
        batch=batched_as("bitcast"),
        doc="The memory of the elements read as another dtype.",
    )
)


@method("view")
def _view(a: Any, dtype: Any = None, type: Any = None) -> Any:
    """The same memory as another dtype; complex numbers and pairs of floats have a derivative."""
    if dtype is None or dtype is np.ndarray:
        return a[...]
    target = np.dtype(dtype)
    if not is_supported(target):
        text = unsupported_dtype(target, "view", ", ".join(map(str, DTYPES)))
        raise errors.TraceError(text)
    if target == a.dtype:
        return a[...]
    old, new = a.dtype.itemsize, target.itemsize
    if old != new:
        if a.ndim == 0:
            raise ValueError("Changing the dtype of a 0d array is only supported if the itemsize is unchanged")
        if a.shape[-1] * old % new:
            raise ValueError(
                "When changing to a larger dtype, its size must be a divisor of the total size in bytes of the last "
                "axis of the array."
            )
    return BITCAST(a, dtype=target)
