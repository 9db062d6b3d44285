"""Pooling: one number for each window of images or volumes, such as its maximum."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import nnet as messages
from tracer.graph.rules import lift, literal
from tracer.ops import windows
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

_MODES = ("max", "sum", "average_inc_pad", "average_exc_pad")

# --- arguments ---------------------------------------------------------------------------------------------------


def _renamed(name: str, value: Any, default: Any, old: str, old_value: Any) -> Any:
    """An argument that used to have another name."""
    if old_value is None:
        return value
    if value is not default and value != default:
        raise ValueError(message(messages.BOTH_NAMES, name=name, old=old))
    warnings.warn(f"the argument {old} is deprecated: it is called {name} now", stacklevel=4)
    return old_value


def _sizes(value: Any, rank: int, name: str, least: int) -> tuple[int, ...]:
    items = (value,) * rank if np.ndim(value) == 0 else tuple(value)
    sizes = tuple(int(static(item)) for item in items)
    if len(sizes) != rank or min(sizes) < least:
        raise ValueError(f"{name} needs {rank} ints of at least {least}, not {value!r}")
    return sizes


def _pool_type(x: Any, rank: int) -> TensorType:
    if x.ndim < rank:
        raise NotImplementedError(message(messages.POOL_NDIM, rank=rank, type=x.type))
    return tensor_type(x.type.numpy_dtype, x.type.broadcastable[: x.ndim - rank] + (False,) * rank)


def _settings(
    rank: int, ws: Any, ignore_border: Any, stride: Any, pad: Any, mode: str, old: tuple[Any, Any, Any]
) -> tuple[Any, bool, Any, Any, str]:
    """The arguments of pooling, checked, with old names replaced."""
    ws = _renamed("ws", ws, None, "ds", old[0])
    stride = _renamed("stride", stride, None, "st", old[1])
    pad = _renamed("pad", pad, (0,) * rank, "padding", old[2])
    if ws is None:
        raise ValueError("pooling needs ws, the size of a window")
    if ignore_border is None:
        warnings.warn(
            f"pool_{rank}d: the default of ignore_border, False, may change; give ignore_border=True or False",
            stacklevel=3,
        )
        ignore_border = False
    if mode not in _MODES:
        raise ValueError(f"pooling knows the modes {', '.join(_MODES)}, not {mode!r}")
    return ws, bool(ignore_border), ws if stride is None else stride, pad, mode


# --- the computation ---------------------------------------------------------------------------------------------


def _count(length: int, size: int, step: int, whole: bool) -> int:
    """How many windows there are along an axis; if not `whole`, the last one may reach over the end."""
    if whole:
        return max(0, (length - size) // step + 1)
    if step >= size:
        return (length - 1) // step + 1
    return max(0, (length - 1 - size + step) // step) + 1


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _fitted(x: Any, counts: Sequence[int], sizes: Any, steps: Any, pads: Any, fill: Any) -> Any:
    """The elements that the windows cover, with `fill` around them."""
    rank = len(sizes)
    index: list[slice] = [slice(None)] * (x.ndim - rank)
    widths = [(0, 0)] * (x.ndim - rank)
    for length, count, size, step, pad in zip(x.shape[-rank:], counts, sizes, steps, pads, strict=True):
        covered = (count - 1) * step + size - pad
        index.append(slice(0, min(length, covered)))
        widths.append((pad, max(0, covered - length)))
    x = x[tuple(index)]
    if not any(before or after for before, after in widths):
        return x
    return np.pad(x, widths, constant_values=fill)


def _pooled(x: Any, ws: Any, ignore_border: bool, stride: Any, pad: Any, mode: str, rank: int) -> Any:
    (x,) = lift(x)
    sizes, steps = _sizes(ws, rank, "ws", 1), _sizes(stride, rank, "stride", 1)
    pads = _sizes(pad, rank, "pad", 0)
    if any(pads) and not ignore_border:
        raise NotImplementedError(message(messages.POOL_PAD_BORDER))
    if any(one >= other for one, other in zip(pads, sizes, strict=True)):
        raise NotImplementedError(message(messages.POOL_PAD_SIZE, pad=pads, ws=sizes))
    spatial = x.shape[-rank:]
    counts = [_count(n + 2 * p, s, t, ignore_border) for n, p, s, t in zip(spatial, pads, sizes, steps, strict=True)]
    if 0 in counts or 0 in x.shape:
        return np.zeros_like(x, shape=(*x.shape[: x.ndim - rank], *counts))
    largest = mode == "max"
    fill = _lowest(x.dtype) if largest else 0
    result = windows.pool(_fitted(x, counts, sizes, steps, pads, fill), sizes, steps, largest)
    if not mode.startswith("average"):
        return result
    result = result if result.dtype.kind in "fc" else result.astype(np.float64)
    number = _elements(spatial, counts, sizes, steps, pads, mode == "average_inc_pad")
    return result / literal(number.astype(result.dtype), result)


def _elements(spatial: Any, counts: Any, sizes: Any, steps: Any, pads: Any, padded: bool) -> np.ndarray[Any, Any]:
    """How many elements each window has: those of the input, or of the padded input."""
    along = []
    for length, count, size, step, pad in zip(spatial, counts, sizes, steps, pads, strict=True):
        low, high = (0, length + 2 * pad) if padded else (pad, length + pad)
        starts = np.arange(count) * step
        along.append(np.minimum(starts + size, high) - np.maximum(starts, low))
    number = np.asarray(math.prod(sizes))
    if all((item == size).all() for item, size in zip(along, sizes, strict=True)):
        return number
    grid = np.ix_(*along)
    return reduce(np.multiply, grid)


@deferred(name="Pool", infer=lambda x, ws, ignore_border, stride, pad, mode: _pool_type(x, 2))
def _pool2(x: Any, ws: Any, ignore_border: bool, stride: Any, pad: Any, mode: str) -> Any:
    return _pooled(x, ws, ignore_border, stride, pad, mode, 2)


@deferred(name="Pool", infer=lambda x, ws, ignore_border, stride, pad, mode: _pool_type(x, 3))
def _pool3(x: Any, ws: Any, ignore_border: bool, stride: Any, pad: Any, mode: str) -> Any:
    return _pooled(x, ws, ignore_border, stride, pad, mode, 3)


# --- the functions -----------------------------------------------------------------------------------------------


def pool_2d(
    input: Any,
    ws: Any = None,
    ignore_border: bool | None = None,
    stride: Any = None,
    pad: Any = (0, 0),
    mode: str = "max",
    ds: Any = None,
    st: Any = None,
    padding: Any = None,
) -> Any:
    """Reduce windows over the last two axes to a number each.

    Parameters
    ----------
    input : array
        Images, (..., rows, columns).
    ws : pair of int
        Rows and columns of a window.
    ignore_border : bool
        Whether windows that do not lie wholly within the image are left out. None warns and means False.
    stride : pair of int, optional
        Distance between windows; by default they touch.
    pad : pair of int
        Zeros (for "max": nothing) above and below, and left and right; it needs ignore_border=True.
    mode : {"max", "sum", "average_inc_pad", "average_exc_pad"}
        What becomes of a window; averages count the padding or leave it out. The derivative of a maximum flows in full
        to every element that is the largest.
    ds, st, padding :
        Old names of `ws`, `stride` and `pad`; they warn.

    Returns
    -------
    array
        (..., windows along the rows, windows along the columns).

    Raises
    ------
    ValueError, NotImplementedError
        If arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(15.0).reshape(3, 5)
    >>> pool_2d(image, (2, 2), ignore_border=True).eval()
    array([[6., 8.]])
    >>> pool_2d(image, (2, 2), ignore_border=False).eval()
    array([[ 6.,  8.,  9.],
           [11., 13., 14.]])
    """
    return _pool2(input, *_settings(2, ws, ignore_border, stride, pad, mode, (ds, st, padding)))


def pool_3d(
    input: Any,
    ws: Any = None,
    ignore_border: bool | None = None,
    stride: Any = None,
    pad: Any = (0, 0, 0),
    mode: str = "max",
    ds: Any = None,
    st: Any = None,
    padding: Any = None,
) -> Any:
    """Reduce windows over the last three axes to a number each; see `pool_2d`.

    Parameters
    ----------
    input : array
        Volumes, (..., depth, rows, columns).
    ws, stride, pad : triple of int
        As for `pool_2d`.
    ignore_border, mode, ds, st, padding :
        As for `pool_2d`.

    Returns
    -------
    array
        (..., windows along the depth, the rows and the columns).

    Raises
    ------
    ValueError, NotImplementedError
        If arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> pool_3d(np.arange(8.0).reshape(2, 2, 2), (2, 2, 2), ignore_border=True, mode="sum").eval()
    array([[[28.]]])
    """
    return _pool3(input, *_settings(3, ws, ignore_border, stride, pad, mode, (ds, st, padding)))


@deferred(infer=lambda input, patch_size: input.type)
def max_pool_2d_same_size(input: Any, patch_size: Any) -> Any:
    """Set all elements but the largest of each patch to zero.

    Parameters
    ----------
    input : array
        Images, (samples, channels, rows, columns).
    patch_size : pair of int
        Rows and columns of a patch. Patches do not overlap; what is left over at the end becomes zero.

    Returns
    -------
    array
        Of the shape of `input`.

    Examples
    --------
    >>> import numpy as np
    >>> max_pool_2d_same_size(np.array([[[[1.0, 5.0, 2.0, 7.0]]]]), (1, 2)).eval()
    array([[[[0., 5., 0., 7.]]]])
    """
    (x,) = lift(input)
    sizes = _sizes(patch_size, 2, "patch_size", 1)
    counts = [length // size for length, size in zip(x.shape[-2:], sizes, strict=True)]
    if 0 in counts:
        return np.zeros_like(x)
    part = x[..., : counts[0] * sizes[0], : counts[1] * sizes[1]]
    blocks = np.reshape(part, (*x.shape[:-2], counts[0], sizes[0], counts[1], sizes[1]))
    largest = np.max(blocks, axis=(-3, -1), keepdims=True)
    kept = np.reshape(np.where(blocks == largest, blocks, x.dtype.type(0)), part.shape)
    rest = [(0, 0)] * (x.ndim - 2) + [(0, length % size) for length, size in zip(x.shape[-2:], sizes, strict=True)]
    return np.pad(kept, rest) if kept.shape != x.shape else kept
