"""Patches of images as rows of a matrix, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import nnet as messages
from tracer.graph.rules import lift
from tracer.ops.windows import WINDOWS
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.symbolic_type import TensorType, tensor_type

_MODES = ("valid", "ignore_borders", "wrap_centered", "half", "full")


def _pair(value: Any) -> tuple[int, int]:
    first, second = (int(static(item)) for item in value)
    return first, second


def _patches_type(ten4: Any, *_: Any, mode: str = "valid", **__: Any) -> TensorType:
    if ten4.ndim != 4:
        raise TypeError(message(messages.PATCHES_NDIM, type=ten4.type))
    return tensor_type(ten4.type.numpy_dtype, (False, False))


def _padded(x: Any, axis: int, size: int, step: int, mode: str) -> Any:
    """The images with what a mode puts around an axis; what is left after the last window does not matter."""
    length = x.shape[axis]
    if mode == "wrap_centered":
        if size % 2 == 0 or length < size:
            text = message(messages.PATCHES_WRAPPED, size=size, length=length)
            raise TypeError(text)
        return np.concatenate([_part(x, axis, length - size // 2, length), x, _part(x, axis, 0, size // 2)], axis)
    side = {"half": size // 2, "full": size - 1}.get(mode, 0)
    if length < size or (mode != "ignore_borders" and (length + 2 * side - size) % step):
        text = message(messages.PATCHES_DO_NOT_FIT, mode=mode, size=size, step=step, length=length)
        raise TypeError(text)
    widths = [(side, side) if place == axis else (0, 0) for place in range(x.ndim)]
    return np.pad(x, widths) if side else x


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


@deferred(infer=_patches_type)
def images2neibs(ten4: Any, neib_shape: Any, neib_step: Any = None, mode: str = "valid") -> Any:
    """Return every patch of images as a row of a matrix.

    Parameters
    ----------
    ten4 : array
        (samples, channels, rows, columns).
    neib_shape : pair of int
        Rows and columns of a patch.
    neib_step : pair of int, optional
        Distance between patches; by default they touch.
    mode : {"valid", "ignore_borders", "wrap_centered", "half", "full"}
        "valid": patches must fit the images exactly. "ignore_borders": what is left over is left out.
        "wrap_centered": a patch is centred on each place, and images go on at the other side. "half", "full": zeros
        around the images, half a patch or a patch less one element.

    Returns
    -------
    array
        (patches, elements of a patch): the patches of the first channel of the first sample row by row, then of the
        next channel.

    Raises
    ------
    TypeError
        If the patches do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> images2neibs(np.arange(16.0).reshape(1, 1, 4, 4), (2, 2)).eval()
    array([[ 0.,  1.,  4.,  5.],
           [ 2.,  3.,  6.,  7.],
           [ 8.,  9., 12., 13.],
           [10., 11., 14., 15.]])
    """
    if mode not in _MODES:
        raise NotImplementedError(f"images2neibs knows the modes {', '.join(_MODES)}, not {mode!r}")
    (x,) = lift(ten4)
    sizes = _pair(neib_shape)
    steps = sizes if neib_step is None else _pair(neib_step)
    for axis, size, step in zip((2, 3), sizes, steps, strict=True):
        x = _padded(x, axis, size, step, mode)
    for axis in (1, 0):
        x = WINDOWS(x, axis=3, size=sizes[axis], step=steps[axis], dilation=1)
    return np.reshape(np.transpose(x, (2, 3, 4, 5, 0, 1)), (-1, sizes[0] * sizes[1]))


def _images_type(neibs: Any, *_: Any, **__: Any) -> TensorType:
    return tensor_type(neibs.type.numpy_dtype, (False,) * 4)


@deferred(infer=_images_type)
def neibs2images(neibs: Any, neib_shape: Any, original_shape: Any, mode: str = "valid") -> Any:
    """Put patches that do not overlap together to images: the inverse of `images2neibs`.

    Parameters
    ----------
    neibs : array
        (patches, elements of a patch).
    neib_shape : pair of int
        Rows and columns of a patch.
    original_shape : tuple of int
        (samples, channels, rows, columns) of the images.
    mode : {"valid", "ignore_borders"}
        As for `images2neibs`; what was left out becomes zero.

    Returns
    -------
    array
        Of shape `original_shape`.

    Raises
    ------
    ValueError
        If the patches do not make such images.

    Examples
    --------
    >>> import numpy as np
    >>> neibs2images(np.array([[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]), (2, 2), (1, 1, 2, 4)).eval()
    array([[[[0., 1., 2., 3.],
             [4., 5., 6., 7.]]]])
    """
    if mode not in ("valid", "ignore_borders"):
        raise NotImplementedError(f"neibs2images does not know the mode {mode!r}")
    (neibs,) = lift(neibs)
    height, width = _pair(neib_shape)
    samples, channels, rows, columns = (int(static(size)) for size in original_shape)
    if mode == "valid" and (rows % height or columns % width):
        raise ValueError(f"patches of {height} x {width} do not make images of {rows} x {columns}")
    grid = (samples, channels, rows // height, columns // width, height, width)
    images = np.transpose(np.reshape(neibs, grid), (0, 1, 2, 4, 3, 5))
    images = np.reshape(images, (samples, channels, rows // height * height, columns // width * width))
    left = ((0, 0), (0, 0), (0, rows % height), (0, columns % width))
    return np.pad(images, left) if rows % height or columns % width else images
