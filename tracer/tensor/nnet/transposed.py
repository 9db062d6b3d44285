"""The transposes of convolution: its derivatives as functions of their own, and convolution backwards.

The arguments are those of `tracer.tensor.nnet.abstract_conv`, whose text explains them.
"""

from __future__ import annotations

from typing import Any

from tracer.graph.rules import lift
from tracer.tensor.nnet.convolution import Setting, input_gradient, input_type, setting, weight_gradient, weight_type
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static


def _grad_wrt_inputs(function: str, g: Any, filters: Any, shape: Any, rank: int, *arguments: Any) -> Any:
    g, filters = lift(g, filters)
    how: Setting = setting(function, filters.shape[-rank:], *arguments)
    samples, channels, *spatial = shape
    samples = g.shape[0] if samples is None else samples
    channels = filters.shape[-rank - 1] * how.groups if channels is None else channels
    return input_gradient(function, g, filters, [int(static(size)) for size in (samples, channels, *spatial)], how)


def _grad_wrt_weights(function: str, x: Any, g: Any, shape: Any, rank: int, *arguments: Any) -> Any:
    x, g = lift(x, g)
    how: Setting = setting(function, [int(static(size)) for size in shape[-rank:]], *arguments)
    outputs, *middle = shape[: len(shape) - rank]
    outputs = g.shape[1] if outputs is None else outputs
    middle[-1] = x.shape[1] // how.groups if middle[-1] is None else middle[-1]
    return weight_gradient(function, x, g, [int(static(size)) for size in (outputs, *middle, *shape[-rank:])], how)


@deferred(infer=input_type("conv2d_grad_wrt_inputs", 2))
def conv2d_grad_wrt_inputs(
    output_grad: Any,
    filters: Any,
    input_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """Return the gradient of a cost with respect to the input of `conv2d`, given that with respect to its output.

    Parameters
    ----------
    output_grad : array
        (samples, outputs, output rows, output columns).
    filters : array
        Those of the convolution.
    input_shape : tuple
        Shape of the input of the convolution; the first two may be None.
    filter_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared :
        Those of the convolution.

    Returns
    -------
    array
        Of shape `input_shape`.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d_grad_wrt_inputs(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), (None, None, 3, 3)).eval()
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_groups, unshared)
    return _grad_wrt_inputs("conv2d_grad_wrt_inputs", output_grad, filters, input_shape, 2, *arguments)


@deferred(infer=weight_type("conv2d_grad_wrt_weights", 2))
def conv2d_grad_wrt_weights(
    input: Any,
    output_grad: Any,
    filter_shape: Any,
    input_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """Return the gradient of a cost with respect to the filters of `conv2d`, given that with respect to its output.

    Parameters
    ----------
    input : array
        That of the convolution.
    output_grad : array
        (samples, outputs, output rows, output columns).
    filter_shape : tuple
        Shape of the filters of the convolution; outputs and channels may be None.
    input_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared :
        Those of the convolution.

    Returns
    -------
    array
        Of shape `filter_shape`.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d_grad_wrt_weights(image, np.ones((1, 1, 2, 2)), (None, None, 2, 2), filter_flip=False).eval()
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_groups, unshared)
    return _grad_wrt_weights("conv2d_grad_wrt_weights", input, output_grad, filter_shape, 2, *arguments)


@deferred(infer=input_type("conv3d_grad_wrt_inputs", 3))
def conv3d_grad_wrt_inputs(
    output_grad: Any,
    filters: Any,
    input_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
) -> Any:
    """Return the gradient with respect to the input of `conv3d`; see `conv2d_grad_wrt_inputs`.

    Parameters
    ----------
    output_grad, filters : array
        Of five dimensions.
    input_shape : tuple
        Shape of the input of the convolution; the first two may be None.
    filter_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups :
        Those of the convolution.

    Returns
    -------
    array
        Of shape `input_shape`.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d_grad_wrt_inputs(np.ones((1, 1, 1, 2, 2)), np.ones((1, 1, 1, 2, 2)), (1, 1, 1, 3, 3)).eval().sum()
    np.float64(16.0)
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_groups)
    return _grad_wrt_inputs("conv3d_grad_wrt_inputs", output_grad, filters, input_shape, 3, *arguments)


@deferred(infer=weight_type("conv3d_grad_wrt_weights", 3))
def conv3d_grad_wrt_weights(
    input: Any,
    output_grad: Any,
    filter_shape: Any,
    input_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
) -> Any:
    """Return the gradient with respect to the filters of `conv3d`; see `conv2d_grad_wrt_weights`.

    Parameters
    ----------
    input, output_grad : array
        Of five dimensions.
    filter_shape : tuple
        Shape of the filters of the convolution; outputs and channels may be None.
    input_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups :
        Those of the convolution.

    Returns
    -------
    array
        Of shape `filter_shape`.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d_grad_wrt_weights(np.ones((1, 1, 1, 3, 3)), np.ones((1, 1, 1, 2, 2)), (1, 1, 1, 2, 2)).eval().sum()
    np.float64(16.0)
    """
    arguments = (border_mode, subsample, filter_dilation, filter_flip, num_groups)
    return _grad_wrt_weights("conv3d_grad_wrt_weights", input, output_grad, filter_shape, 3, *arguments)


@deferred(infer=input_type("conv2d_transpose", 2))
def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    input_dilation: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """Apply the transpose of a convolution: from its output's shape to its input's.

    Parameters
    ----------
    input : array
        (samples, channels, rows, columns).
    filters : array
        (channels of the input, channels of the output, rows, columns).
    output_shape : tuple
        (samples, channels, rows, columns) of the result; the first two may be None.
    input_dilation : tuple of int
        The stride of the convolution whose transpose this is.
    filter_shape, border_mode, filter_flip, filter_dilation, num_groups, unshared :
        As for `conv2d`.

    Returns
    -------
    array
        Of shape `output_shape`.

    Raises
    ------
    ValueError
        If shapes or arguments do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d_transpose(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), (1, 1, 4, 4), input_dilation=(2, 2)).eval()
    array([[[[1., 1., 1., 1.],
             [1., 1., 1., 1.],
             [1., 1., 1., 1.],
             [1., 1., 1., 1.]]]])
    """
    arguments = (border_mode, input_dilation, filter_dilation, filter_flip, num_groups, unshared)
    return _grad_wrt_inputs("conv2d_transpose", input, filters, output_shape, 2, *arguments)
