"""Convolutions over images and volumes, in Theano's layout and with its arguments.

Images are (samples, channels, rows, columns), filters (outputs, channels, rows, columns). The arguments that all
functions share:

border_mode : {"valid", "full", "half"}, int, or tuple
    Zeros around the input. "valid": none. "full": as many as the filter is long, less one, so that every overlap
    counts. "half": half the filter, rounded down; a filter of odd size then keeps the size. An int, one int for each
    spatial axis, or a pair (before, after) for each.
subsample : int or tuple of int
    Distance between output places (the stride).
filter_flip : bool
    Turn the filters round, as in a mathematical convolution; False for a correlation.
filter_dilation : int or tuple of int
    Distance between the elements of the input that a filter meets.
num_groups : int
    Channels and filters are divided into this many groups, each convolved on its own.
unshared : bool
    Every output place has filters of its own: (outputs, output rows, output columns, channels, rows, columns).
input_shape, filter_shape : tuple, optional
    Hints that Theano uses to choose an algorithm; they are not needed and not looked at, except where a function says
    so.

Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, draw all of them.
"""

from __future__ import annotations

import warnings
from typing import Any

from tracer.graph.rules import lift
from tracer.tensor.nnet.convolution import convolve, output_type, separable_type, setting
from tracer.tensor.nnet.transposed import (
    conv2d_grad_wrt_inputs,
    conv2d_grad_wrt_weights,
    conv2d_transpose,
    conv3d_grad_wrt_inputs,
    conv3d_grad_wrt_weights,
)
from tracer.tensor.nnet.upsampling import bilinear_upsampling
from tracer.tracing.recording import deferred

__all__ = [
    "bilinear_upsampling",
    "causal_conv1d",
    "conv2d",
    "conv2d_grad_wrt_inputs",
    "conv2d_grad_wrt_weights",
    "conv2d_transpose",
    "conv3d",
    "conv3d_grad_wrt_inputs",
    "conv3d_grad_wrt_weights",
    "get_conv_output_shape",
    "separable_conv2d",
    "separable_conv3d",
]


def get_conv_output_shape(
    image_shape: Any, kernel_shape: Any, border_mode: Any, subsample: Any, filter_dilation: Any = None
) -> tuple[Any, ...]:
    """Return the shape of the output of a convolution.

    Parameters
    ----------
    image_shape, kernel_shape : tuple
        (samples, channels, ...) and (outputs, channels, ...), or (outputs, ..., channels, ...) if unshared; the first
        two of both may be None.
    border_mode, subsample, filter_dilation :
        See the module's text.

    Returns
    -------
    tuple
        (samples, outputs, ...)

    Examples
    --------
    >>> get_conv_output_shape((20, 3, 28, 28), (16, 3, 5, 5), "half", (2, 2))
    (20, 16, 14, 14)
    """
    kernel = tuple(kernel_shape[-(len(image_shape) - 2) :])
    dilation = (1,) * len(kernel) if filter_dilation is None else filter_dilation
    how = setting("get_conv_output_shape", kernel, border_mode, subsample, dilation)
    return (image_shape[0], kernel_shape[0], *how.output(image_shape[2:], kernel))


def _convolve(function: str, x: Any, filters: Any, rank: int, *arguments: Any) -> Any:
    x, filters = lift(x, filters)
    return convolve(function, x, filters, setting(function, filters.shape[-rank:], *arguments))


@deferred(infer=output_type("conv2d", 2))
def conv2d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    image_shape: Any = None,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
    **kwargs: Any,
) -> Any:
    """Convolve a stack of images with a set of filters.

    Parameters
    ----------
    input : array
        Images, (samples, channels, rows, columns).
    filters : array
        (outputs, channels // num_groups, rows, columns); if unshared
        (outputs, output rows, output columns, channels // num_groups, rows, columns).
    image_shape : tuple, optional
        The old name of `input_shape`; it warns.
    border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared, input_shape, filter_shape :
        See the module's text.

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
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d(image, np.array([[[[1.0, 0.0], [0.0, -1.0]]]])).eval()
    array([[[[4., 4.],
             [4., 4.]]]])
    """
    if "imshp_logical" in kwargs or "kshp_logical" in kwargs:
        raise ValueError("conv2d does not take imshp_logical and kshp_logical")
    if kwargs:
        warnings.warn(f"conv2d ignores the deprecated arguments {', '.join(kwargs)}", stacklevel=2)
    if image_shape is not None:
        if input_shape is not None:
            raise ValueError("input_shape and image_shape should not be provided at the same time.")
        warnings.warn("conv2d: image_shape is deprecated, it has been renamed to input_shape", stacklevel=2)
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_groups, unshared)
    return _convolve("conv2d", input, filters, 2, *arguments)


@deferred(infer=output_type("conv3d", 3))
def conv3d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
) -> Any:
    """Convolve a stack of volumes with a set of filters.

    Parameters
    ----------
    input : array
        Volumes, (samples, channels, depth, rows, columns).
    filters : array
        (outputs, channels // num_groups, depth, rows, columns).
    border_mode, subsample, filter_flip, filter_dilation, num_groups, input_shape, filter_shape :
        See the module's text.

    Returns
    -------
    array
        (samples, outputs, output depth, output rows, output columns).

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d(np.ones((1, 1, 2, 3, 3)), np.ones((1, 1, 2, 2, 2))).eval().ravel()
    array([8., 8., 8., 8.])
    """
    return _convolve("conv3d", input, filters, 3, border_mode, subsample, filter_dilation, filter_flip, num_groups)


@deferred(infer=output_type("causal_conv1d", 1))
def causal_conv1d(
    input: Any,
    filters: Any,
    filter_shape: Any = None,
    input_shape: Any = None,
    subsample: int = 1,
    filter_flip: bool = True,
    filter_dilation: int = 1,
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """Convolve sequences so that no output depends on later elements of the input.

    Parameters
    ----------
    input : array
        (samples, channels, length).
    filters : array
        (outputs, channels // num_groups, length).
    subsample, filter_flip, filter_dilation, num_groups, unshared, input_shape, filter_shape :
        See the module's text.

    Returns
    -------
    array
        (samples, outputs, output length); as long as the input if `subsample` is 1.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> causal_conv1d(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 1.0]]])).eval()
    array([[[1., 3., 5.]]])
    """
    before = int(filter_dilation) * (filters.shape[-1] - 1)
    arguments = (((before, 0),), subsample, filter_dilation, filter_flip, num_groups, unshared)
    return _convolve("causal_conv1d", input, filters, 1, *arguments)


@deferred(infer=separable_type("separable_conv2d", 2))
def separable_conv2d(
    input: Any,
    depthwise_filters: Any,
    pointwise_filters: Any,
    num_channels: int,
    input_shape: Any = None,
    depthwise_filter_shape: Any = None,
    pointwise_filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
) -> Any:
    """Convolve every channel with filters of its own, then mix the channels by filters of one element.

    Parameters
    ----------
    input : array
        Images, (samples, channels, rows, columns).
    depthwise_filters : array
        (outputs of the first step, 1, rows, columns); the outputs are a multiple of the channels.
    pointwise_filters : array
        (outputs, outputs of the first step, 1, 1).
    num_channels : int
        Channels of the input.
    border_mode, subsample, filter_flip, filter_dilation :
        Of the first step; see the module's text.
    input_shape, depthwise_filter_shape, pointwise_filter_shape : tuple, optional
        Not needed.

    Returns
    -------
    array
        (samples, outputs, output rows, output columns).

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> separable_conv2d(np.ones((1, 2, 3, 3)), np.ones((2, 1, 2, 2)), np.ones((5, 2, 1, 1)), 2).eval().shape
    (1, 5, 2, 2)
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_channels)
    maps = _convolve("separable_conv2d", input, depthwise_filters, 2, *arguments)
    return _convolve("separable_conv2d", maps, pointwise_filters, 2, "valid", (1, 1), (1, 1))


@deferred(infer=separable_type("separable_conv3d", 3))
def separable_conv3d(
    input: Any,
    depthwise_filters: Any,
    pointwise_filters: Any,
    num_channels: int,
    input_shape: Any = None,
    depthwise_filter_shape: Any = None,
    pointwise_filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
) -> Any:
    """Convolve every channel of volumes with filters of its own, then mix the channels: see `separable_conv2d`.

    Parameters
    ----------
    input, depthwise_filters, pointwise_filters : array
        As for `separable_conv2d`, with one more axis in front of the rows.
    num_channels : int
        Channels of the input.
    border_mode, subsample, filter_flip, filter_dilation :
        Of the first step; see the module's text.
    input_shape, depthwise_filter_shape, pointwise_filter_shape : tuple, optional
        Not needed.

    Returns
    -------
    array
        (samples, outputs, output depth, output rows, output columns).

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> separable_conv3d(np.ones((1, 2, 3, 3, 3)), np.ones((2, 1, 2, 2, 2)), np.ones((5, 2, 1, 1, 1)), 2).eval().shape
    (1, 5, 2, 2, 2)
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_channels)
    maps = _convolve("separable_conv3d", input, depthwise_filters, 3, *arguments)
    return _convolve("separable_conv3d", maps, pointwise_filters, 3, "valid", (1, 1, 1), (1, 1, 1))
