"""Convolution of single images or stacks of images that have no channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import nnet as messages
from tracer.graph.rules import lift
from tracer.tensor.nnet.convolution import convolve, setting
from tracer.tracing.recording import deferred
from tracer.tracing.symbolic_type import TensorType, tensor_type
from tracer.types import promote


def _type(input: Any, filters: Any, *_: Any, **__: Any) -> TensorType:
    if input.ndim not in (2, 3) or filters.ndim not in (2, 3):
        raise ValueError(message(messages.SIGNAL_NDIM, input=input.type, filters=filters.type))
    lead = input.type.broadcastable[:-2] + filters.type.broadcastable[:-2]
    return tensor_type(promote((input.type.numpy_dtype, filters.type.numpy_dtype)), (*lead, False, False))


@deferred(infer=_type)
def conv2d(
    input: Any,
    filters: Any,
    image_shape: Any = None,
    filter_shape: Any = None,
    border_mode: str = "valid",
    subsample: tuple[int, int] = (1, 1),
) -> Any:
    """Convolve every image with every filter.

    Parameters
    ----------
    input : array
        One image (rows, columns) or several (images, rows, columns).
    filters : array
        One filter (rows, columns) or several (filters, rows, columns).
    image_shape, filter_shape : tuple, optional
        Hints; not needed.
    border_mode : {"valid", "full"}
        Whether filters lie within the image or may reach over its edges.
    subsample : tuple of int
        Distance between output places.

    Returns
    -------
    array
        (images, filters, output rows, output columns), without the first axis for a single image and without the
        second for a single filter.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d(np.arange(9.0).reshape(3, 3), np.array([[1.0, -1.0]])).eval()
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])
    """
    if border_mode not in ("valid", "full"):
        raise ValueError(f"border_mode must be 'valid' or 'full', not {border_mode!r}")
    x, w = lift(input, filters)
    images = np.reshape(x, (-1, 1, *x.shape[-2:]))
    several = np.reshape(w, (-1, 1, *w.shape[-2:]))
    maps = convolve(
        "signal.conv.conv2d", images, several, setting("signal.conv.conv2d", w.shape[-2:], border_mode, subsample, 1)
    )
    return np.reshape(maps, (*x.shape[:-2], *w.shape[:-2], *maps.shape[-2:]))
