"""Fourier transforms of batches of real tensors, with real and imaginary parts in a last dimension of size 2.

Examples
--------
>>> import tracer.tensor as T
>>> from tracer.tensor import fft
>>> x = T.dmatrix("x")
>>> fft.rfft(x).eval({x: [[1.0, 0.0, 0.0, 0.0]]})[0]
array([[1., 0.],
       [1., 0.],
       [1., 0.]])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.tensor.variables import as_tensor_variable
from tracer.tracing.recording import deferred
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = ["irfft", "rfft"]

_NORMS = (None, "ortho", "no_norm")


def _checked(inp: Any, norm: Any, function: str, ndim: int) -> Any:
    if norm not in _NORMS:
        raise ValueError(message(messages.FFT_NORM, norm=norm))
    x = as_tensor_variable(inp)
    if (np.ndim(x) if is_computing() else x.ndim) < ndim:
        kind = x.type if hasattr(x, "type") else f"array of {np.ndim(x)} dimensions"
        raise TypeError(message(messages.FFT_NDIM, function=function, wanted=ndim, value=inp, type=kind))
    return x


def _rfft_type(x: Any, norm: Any) -> TensorType:
    return tensor_type(x.type.numpy_dtype, (*x.broadcastable[:-1], False, False))


@deferred(name="RFFT", infer=_rfft_type)
def _rfft(x: Any, norm: Any) -> Any:
    spectrum = np.fft.rfftn(x, axes=tuple(range(1, x.ndim)), norm="ortho" if norm == "ortho" else None)
    return np.stack([np.real(spectrum), np.imag(spectrum)], axis=-1)


def rfft(inp: Any, norm: str | None = None) -> Any:
    """The Fourier transforms of a batch of real tensors.

    Parameters
    ----------
    inp : tensor
        Its first dimension counts the transforms; each goes over all other dimensions.
    norm : {None, "ortho", "no_norm"}
        None and "no_norm" do not scale here; "ortho" divides by the root of the number of elements.

    Returns
    -------
    variable
        Of the shape (m, ..., n // 2 + 1, 2) for an input of (m, ..., n): without the negative frequencies of the last
        dimension, and with real and imaginary parts in a dimension of their own.
    """
    return _rfft(_checked(inp, norm, "rfft", 2), norm)


def _irfft_type(x: Any, norm: Any, is_odd: bool) -> TensorType:
    return tensor_type(x.type.numpy_dtype, (*x.broadcastable[:-2], False))


@deferred(name="IRFFT", infer=_irfft_type)
def _irfft(x: Any, norm: Any, is_odd: bool) -> Any:
    spectrum = x[..., 0] + 1j * x[..., 1]
    sizes = (*spectrum.shape[1:-1], 2 * (spectrum.shape[-1] - 1) + is_odd)
    axes = tuple(range(1, spectrum.ndim))
    result = np.fft.irfftn(spectrum, s=sizes, axes=axes, norm="ortho" if norm == "ortho" else None)
    return result * math.prod(sizes) if norm == "no_norm" else result


def irfft(inp: Any, norm: str | None = None, is_odd: bool = False) -> Any:
    """The inverse of `rfft`.

    Parameters
    ----------
    inp : tensor
        Of the shape (m, ..., n // 2 + 1, 2).
    norm : {None, "ortho", "no_norm"}
        None divides by the number of elements, "ortho" by its root; "no_norm" does not scale.
    is_odd : bool
        Whether n is odd: the input does not tell.
    """
    if is_odd not in (True, False):
        raise ValueError(f"Invalid value {is_odd} for is_odd, must be True or False")
    return _irfft(_checked(inp, norm, "irfft", 3), norm, bool(is_odd))
