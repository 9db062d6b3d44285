"""Discrete Fourier transforms: numpy.fft, on three linear ops without scaling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import after_batch
from tracer.graph.op import OPS, Op, batched_as, composite, declare
from tracer.graph.rules import lift, literal, static_int, static_ints
from tracer.types import ArrayType, normalize_axis, real_dtype

_X: tuple[tuple[int, ...], ...] = ((3, 4),)

# --- the ops -----------------------------------------------------------------------------------------------------


def _complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(dtype, np.complex64)


def _fft_value(x: Any, axes: tuple[int, ...], inverse: bool) -> Any:
    for axis in axes:
        # The scaled inverse of one norm is the other's without scaling.
        x = np.fft.ifft(x, axis=axis, norm="forward") if inverse else np.fft.fft(x, axis=axis)
    return x


FFT: Op = declare(
    Op(
        "fft",
        "call",
        lambda types, axes, inverse: ArrayType(_complex_dtype(types[0].dtype), types[0].shape),
        _fft_value,
        # The matrix of the transform is symmetric.
        vjp=(lambda g, y, x, axes, inverse: FFT(g, axes=axes, inverse=inverse),),
        jvp="linear",
        batch=batched_as("fft", lambda axes, inverse: {"axes": after_batch(axes), "inverse": inverse}),
        call_kernel=lambda axes, inverse: f"fourier {'ifft' if inverse else 'fft'} {axes[0]}" if len(axes) == 1 else "",
        doc="Sums of x[n] * exp(-2j pi k n / size) along axes, with exp(+...) for the inverse; no scaling.",
    )
)


def _with_size(shape: Sequence[Any], axis: int, size: Any) -> tuple[Any, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _middle_weights(like: Any, axis: int, size: int, middle: float) -> Any:
    """Weights of the half spectrum: those frequencies count for two that are not their own mirror images."""
    count = size // 2 + 1
    weights = np.full(count, middle)
    weights[0] = 1
    if size % 2 == 0:
        weights[-1] = 1
    shape = tuple(count if place == axis else 1 for place in range(like.ndim))
    return weights.astype(real_dtype(like.dtype)).reshape(shape)


def _rfft_vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
    size = x.shape[axis]
    weights = literal(_middle_weights(g, axis, size, 0.5), g)
    return IRFFT(np.conjugate(g) * weights, axis=axis, size=size)


RFFT: Op = declare(
    Op(
        "rfft",
        "call",
        lambda types, axis: ArrayType(
            _complex_dtype(types[0].dtype), _with_size(types[0].shape, axis, types[0].shape[axis] // 2 + 1)
        ),
        lambda x, axis: np.fft.rfft(x, axis=axis),
        vjp=(_rfft_vjp,),
        jvp="linear",
        batch=batched_as("rfft", lambda axis: {"axis": axis + 1}),
        call_kernel=lambda axis: f"fourier rfft {axis}",
        doc="The frequencies that are not negative of the transform of a real array along an axis.",
    )
)


def _irfft_vjp(g: Any, y: Any, x: Any, axis: int, size: int) -> Any:
    weights = literal(_middle_weights(x, axis, size, 2.0), x)
    return np.conjugate(RFFT(g, axis=axis)) * weights


IRFFT: Op = declare(
    Op(
        "irfft",
        "call",
        lambda types, axis, size: ArrayType(real_dtype(types[0].dtype), _with_size(types[0].shape, axis, size)),
        lambda x, axis, size: np.fft.irfft(x, n=size, axis=axis, norm="forward"),
        vjp=(_irfft_vjp,),
        jvp="linear",
        batch=batched_as("irfft", lambda axis, size: {"axis": axis + 1, "size": size}),
        call_kernel=lambda axis, size: f"fourier irfft {axis}",
        doc="The real array whose transform has these frequencies, times its size along the axis.",
    )
)

# --- sizes and norms ---------------------------------------------------------------------------------------------


def _sized(x: Any, size: int, axis: int) -> Any:
    """Cut an axis, or fill it with zeros, to a size."""
    old = x.shape[axis]
    if size < 1:
        raise ValueError(f"Invalid number of FFT data points ({size}) specified.")
    if old == size:
        return x
    if old > size:
        return x[(*(slice(None),) * axis, slice(size))]
    index = tuple((0, length, 1) for length in x.shape)
    return OPS["unslice"](x, shape=_with_size(x.shape, axis, size), index=index)


def _scaled(y: Any, count: int, norm: Any, inverse: bool) -> Any:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    if norm == "ortho":
        return y * (1 / math.sqrt(count))
    return y * (1 / count) if (norm == "forward") != inverse else y


def _array(a: Any) -> Any:
    (x,) = lift(a)
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def _real_array(a: Any, function: str) -> Any:
    x = _array(a)
    if x.dtype.kind == "c":
        raise TypeError(f"ufunc '{function}' did not contain a loop with signature matching types {x.dtype}")
    return x


def _places(x: Any, s: Any, axes: Any) -> tuple[list[int], list[int]]:
    """The sizes and axes of a transform of several dimensions."""
    if axes is None:
        count = x.ndim if s is None else len(s)
        axes = range(x.ndim - count, x.ndim)
    places = [normalize_axis(axis, x.ndim) for axis in static_ints(axes)]
    if s is None:
        return [x.shape[place] for place in places], places
    sizes = [static_int(size, "s") for size in s]
    if len(sizes) != len(places):
        raise ValueError("Shape and axes have different lengths.")
    return [x.shape[place] if size == -1 else size for size, place in zip(sizes, places, strict=True)], places


# --- transforms of complex arrays --------------------------------------------------------------------------------


def _transform(x: Any, sizes: Sequence[int], places: Sequence[int], norm: Any, inverse: bool) -> Any:
    for size, place in zip(sizes, places, strict=True):
        x = _sized(x, size, place)
    if not places:
        return x if x.dtype.kind == "c" else x.astype(_complex_dtype(x.dtype))
    return _scaled(FFT(x, axes=tuple(reversed(places)), inverse=inverse), math.prod(sizes), norm, inverse)


def _declare_complex(one: Callable[..., Any], two: Callable[..., Any], many: Callable[..., Any], inverse: bool) -> None:
    @composite(
        one,
        examples=(
            (lambda x: one(x), _X),
            (lambda x: one(x, 3, axis=0, norm="ortho"), ((4, 2),)),
            (lambda x: one(x, n=7, norm="forward"), _X),
        ),
    )
    def along_one(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
        """Discrete Fourier transform along an axis."""
        x = _array(a)
        axis = normalize_axis(axis, x.ndim)
        return _transform(x, [x.shape[axis] if n is None else static_int(n, "n")], [axis], norm, inverse)

    def apply(a: Any, s: Any, axes: Any, norm: Any) -> Any:
        x = _array(a)
        return _transform(x, *_places(x, s, axes), norm, inverse)

    @composite(two, examples=((lambda x: two(x), ((2, 3, 4),)), (lambda x: two(x, (2, 5), (2, 0)), ((2, 3, 4),))))
    def along_two(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
        """Discrete Fourier transform along two axes."""
        return apply(a, s, axes, norm)

    @composite(
        many,
        examples=((lambda x: many(x), ((2, 3, 2),)), (lambda x: many(x, axes=(0, 2), norm="ortho"), ((2, 3, 2),))),
    )
    def along_many(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
        """Discrete Fourier transform along several axes."""
        return apply(a, s, axes, norm)


_declare_complex(np.fft.fft, np.fft.fft2, np.fft.fftn, inverse=False)
_declare_complex(np.fft.ifft, np.fft.ifft2, np.fft.ifftn, inverse=True)

# --- transforms of real arrays -----------------------------------------------------------------------------------


def _real_transform(x: Any, sizes: Sequence[int], places: Sequence[int], norm: Any) -> Any:
    y = RFFT(_sized(x, sizes[-1], places[-1]), axis=places[-1])
    for size, place in zip(sizes[:-1], places[:-1], strict=True):
        y = _sized(y, size, place)
    if places[:-1]:
        y = FFT(y, axes=tuple(reversed(places[:-1])), inverse=False)
    return _scaled(y, math.prod(sizes), norm, inverse=False)


def _back_transform(x: Any, sizes: Sequence[int], places: Sequence[int], norm: Any) -> Any:
    x = x if x.dtype.kind == "c" else x.astype(_complex_dtype(x.dtype))
    for size, place in zip(sizes[:-1], places[:-1], strict=True):
        x = _sized(x, size, place)
    if places[:-1]:
        x = FFT(x, axes=tuple(places[:-1]), inverse=True)
    if sizes[-1] < 1:
        raise ValueError(f"Invalid number of FFT data points ({sizes[-1]}) specified.")
    half = _sized(x, sizes[-1] // 2 + 1, places[-1])
    return _scaled(IRFFT(half, axis=places[-1], size=sizes[-1]), math.prod(sizes), norm, inverse=True)


@composite(
    np.fft.rfft,
    examples=(
        (lambda x: np.fft.rfft(x), _X),
        (lambda x: np.fft.rfft(x, 5, axis=0, norm="ortho"), _X),
        (lambda x: np.fft.rfft(x, 3, norm="forward"), _X),
    ),
)
def _rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Transform of a real array along an axis, without the negative frequencies."""
    x = _real_array(a, "rfft_n_even")
    axis = normalize_axis(axis, x.ndim)
    return _real_transform(x, [x.shape[axis] if n is None else static_int(n, "n")], [axis], norm)


@composite(
    np.fft.irfft,
    examples=(
        (lambda x: np.fft.irfft(x), _X),
        (lambda x: np.fft.irfft(x, 5, axis=0, norm="ortho"), _X),
        (lambda x: np.fft.irfft(x, 4, norm="forward"), ((2, 6),)),
        (lambda x: np.fft.irfft(np.fft.rfft(np.real(x)), 4), _X),
    ),
)
def _irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft`."""
    x = _array(a)
    axis = normalize_axis(axis, x.ndim)
    return _back_transform(x, [2 * (x.shape[axis] - 1) if n is None else static_int(n, "n")], [axis], norm)


def _declare_real(forward: Callable[..., Any], back: Callable[..., Any], default: Any) -> None:
    @composite(
        forward,
        examples=((lambda x: forward(x), ((2, 3, 4),)), (lambda x: forward(x, (3, 5), axes=(1, 0)), ((2, 3, 2),))),
    )
    def transform(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        """Transform of a real array along several axes, without the negative frequencies of the last."""
        x = _real_array(a, "rfft_n_even")
        return _real_transform(x, *_places(x, s, axes), norm)

    @composite(
        back,
        examples=((lambda x: back(x), ((2, 3, 4),)), (lambda x: back(x, (3, 5), axes=(1, 0)), ((2, 3, 2),))),
    )
    def transform_back(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        """The inverse of the transform of a real array along several axes."""
        x = _array(a)
        sizes, places = _places(x, s, axes)
        if s is None or s[-1] == -1:
            sizes[-1] = 2 * (x.shape[places[-1]] - 1)
        return _back_transform(x, sizes, places, norm)


_declare_real(np.fft.rfft2, np.fft.irfft2, (-2, -1))
_declare_real(np.fft.rfftn, np.fft.irfftn, None)

_OPPOSITE = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


@composite(np.fft.hfft, examples=((lambda x: np.fft.hfft(x), _X), (lambda x: np.fft.hfft(x, 5, 0, norm="ortho"), _X)))
def _hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Transform of an array that is the conjugate of its mirror image, given half of it."""
    return np.fft.irfft(np.conjugate(_array(a)), n, axis, norm=_OPPOSITE.get(norm, norm))


@composite(np.fft.ihfft, examples=((lambda x: np.fft.ihfft(x), _X), (lambda x: np.fft.ihfft(x, 5, 0), _X)))
def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    return np.conjugate(np.fft.rfft(_real_array(a, "rfft_n_even"), n, axis, norm=_OPPOSITE.get(norm, norm)))


# --- order of frequencies ----------------------------------------------------------------------------------------


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    places = tuple(range(x.ndim)) if axes is None else static_ints(axes)
    steps = tuple(x.shape[place] // 2 if sign > 0 else -(x.shape[place] // 2) for place in places)
    return np.roll(x, steps, places)


@composite(
    np.fft.fftshift, examples=((lambda x: np.fft.fftshift(x), ((3, 4),)), (lambda x: np.fft.fftshift(x, 0), ((3, 4),)))
)
def _fftshift(x: Any, axes: Any = None) -> Any:
    """Move the zero frequency to the middle."""
    return _shifted(x, axes, 1)


@composite(np.fft.ifftshift, examples=((lambda x: np.fft.ifftshift(x, (0, 1)), ((3, 4),)),))
def _ifftshift(x: Any, axes: Any = None) -> Any:
    """Move the zero frequency from the middle to the start."""
    return _shifted(x, axes, -1)
