"""The convolution of Theano's first versions."""

from __future__ import annotations

from typing import Any

from tracer.tensor.nnet import abstract_conv


def conv2d(
    input: Any,
    filters: Any,
    image_shape: Any = None,
    filter_shape: Any = None,
    border_mode: str = "valid",
    subsample: tuple[int, int] = (1, 1),
) -> Any:
    """Convolve a stack of images with a set of filters; `tensor.nnet.conv2d` can do more.

    Parameters
    ----------
    input : array
        Images, (samples, channels, rows, columns).
    filters : array
        (outputs, channels, rows, columns).
    image_shape, filter_shape : tuple, optional
        Hints; not needed.
    border_mode : {"valid", "full"}
        Whether filters lie within the image or may reach over its edges.
    subsample : tuple of int
        Distance between output places.

    Returns
    -------
    array
        Maps, (samples, outputs, output rows, output columns).

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), border_mode="full").eval().shape
    (1, 1, 4, 4)
    """
    if border_mode not in ("valid", "full"):
        raise ValueError(f"border_mode must be 'valid' or 'full', not {border_mode!r}")
    return abstract_conv.conv2d(input, filters, None, None, border_mode, subsample)
