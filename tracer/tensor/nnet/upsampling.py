"""Images made larger by interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import tensor_type


def _upsampled_type(images: Any, ratio: int) -> Any:
    flags = images.broadcastable
    return tensor_type(images.type.numpy_dtype, (*flags[:2], *(flag and ratio == 1 for flag in flags[2:])))


@deferred(name="BilinearUpsampling", infer=_upsampled_type)
def _upsampled(images: Any, ratio: int) -> Any:
    for axis in (2, 3):
        size = images.shape[axis]
        # Where the new places lie among the old ones; beyond the outermost of them the image stays as it is there.
        places = np.clip((np.arange(size * ratio) - (ratio - 1) // 2) / ratio, 0, size - 1)
        below = places.astype(np.int64)
        share = (places - below).astype(images.dtype).reshape((-1,) + (1,) * (3 - axis))
        above = np.minimum(below + 1, size - 1)
        images = np.take(images, below, axis=axis) * (1 - share) + np.take(images, above, axis=axis) * share
    return images


def bilinear_upsampling(
    input: Any, ratio: int, *, batch_size: Any = None, num_input_channels: Any = None, use_1D_kernel: bool = True
) -> Any:
    """Images made `ratio` times as high and as wide, with straight lines between the pixels.

    Parameters
    ----------
    input : tensor
        (samples, channels, rows, columns).
    ratio : int
        At least 1.
    batch_size, num_input_channels, use_1D_kernel
        Hints of Theano's; they are not needed and not looked at.

    Returns
    -------
    tensor
        (samples, channels, rows * ratio, columns * ratio).

    Raises
    ------
    ValueError
        If the ratio is no positive int, or the input has other than four dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> bilinear_upsampling(np.array([[[[0.0, 2.0]]]]), ratio=2).eval()
    array([[[[0., 1., 2., 2.],
             [0., 1., 2., 2.]]]])
    """
    images = as_tensor_variable(input)
    if images.ndim != 4:
        raise ValueError(f"bilinear_upsampling takes four dimensions, not {images.ndim}")
    if not isinstance(ratio, int | np.integer) or ratio < 1:
        raise ValueError(f"bilinear_upsampling takes a positive int as its ratio, not {ratio!r}")
    if images.dtype not in ("float32", "float64"):
        raise TypeError(f"bilinear_upsampling takes real images, not {images.dtype}: T.cast(images, 'floatX')")
    return _upsampled(images, int(ratio))
