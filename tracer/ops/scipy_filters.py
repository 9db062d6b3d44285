"""What stands in for functions of scipy.signal and scipy.ndimage while a function is traced."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.op import Op, declare, stand_in
from tracer.graph.rules import lift, unsupported
from tracer.types import ArrayType

# --- convolution -------------------------------------------------------------------------------------------------


def _full_shape(types: Sequence[ArrayType], method: str) -> ArrayType:
    pairs = zip(types[0].known_shape, types[1].known_shape, strict=True)
    return ArrayType(types[0].dtype, tuple(int(a) + int(b) - 1 for a, b in pairs))


def _full_value(a: Any, b: Any, method: str) -> Any:
    import scipy.signal

    return np.asarray(scipy.signal.convolve(a, b, "full", method), a.dtype)


def _part(x: Any, start: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    return x[tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))]


def _back(g: Any, known: Any, wanted: Any, method: str) -> Any:
    start = tuple(size - 1 for size in known.shape)
    return _part(FULL(g, np.flip(known), method=method), start, wanted.shape)


FULL: Op = declare(
    Op(
        "convolve_full",
        "call",
        _full_shape,
        _full_value,
        vjp=(
            lambda g, y, a, b, method: _back(g, b, a, method),
            lambda g, y, a, b, method: _back(g, a, b, method),
        ),
        jvp="multilinear",
        # Along an axis on which one of the two has a single element, convolution does nothing.
        batch=lambda inputs, is_batched, size, method: (
            NotImplemented
            if all(is_batched)
            else FULL(
                *(value if batched else value[None] for value, batched in zip(inputs, is_batched, strict=True)),
                method=method,
            )
        ),
        doc="Convolution of arrays of any number of axes, with all that is not zero.",
    )
)


def _convolution(a: Any, b: Any, mode: str, method: str) -> Any:
    a, b = lift(a, b)
    if a.ndim != b.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    if mode not in ("full", "same", "valid"):
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")
    if a.ndim == 0:
        return a * b
    dtype = np.result_type(a.dtype, b.dtype)
    if method == "fft" and dtype.kind not in "fc":
        dtype = np.dtype(np.float64)
    if 0 in (*a.shape, *b.shape):
        unsupported("a convolution", "of size 0", "convolve arrays that hold elements.")
    if mode == "valid" and not all(m >= n for m, n in zip(a.shape, b.shape, strict=True)):
        if not all(m <= n for m, n in zip(a.shape, b.shape, strict=True)):
            raise ValueError("For 'valid' mode, one must be at least as large as the other in every dimension")
        a, b = b, a
    full = FULL(a.astype(dtype), b.astype(dtype), method=method)
    if mode == "full":
        return full
    if mode == "same":
        return _part(full, tuple((n - 1) // 2 for n in b.shape), a.shape)
    return _part(full, tuple(n - 1 for n in b.shape), tuple(m - n + 1 for m, n in zip(a.shape, b.shape, strict=True)))


def _turned_round(x: Any) -> Any:
    (x,) = lift(x)
    return np.flip(np.conjugate(x) if x.dtype.kind == "c" else x)


@stand_in("scipy.signal.convolve")
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Convolution of two arrays."""
    return _convolution(in1, in2, mode, method)


@stand_in("scipy.signal.fftconvolve", "scipy.signal.oaconvolve")
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """Convolution of two arrays by Fourier transforms."""
    if axes is not None:
        unsupported("scipy.signal.fftconvolve", "axes", "convolve along all axes, or map over the others.")
    return _convolution(in1, in2, mode, "fft")


@stand_in("scipy.signal.correlate")
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Cross-correlation of two arrays."""
    return _convolution(in1, _turned_round(in2), mode, method)


_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "circular": "wrap", "symm": "symmetric", "symmetric": "symmetric"}


def _edges(mode: str, fill: Any) -> dict[str, Any]:
    """The arguments of `np.pad` for what is beyond the edges."""
    return {"mode": mode, "constant_values": fill} if mode == "constant" else {"mode": mode}


@stand_in("scipy.signal.convolve2d")
def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Convolution of two matrices, with a choice of what is beyond their edges."""
    in1, in2 = lift(in1, in2)
    if in1.ndim != 2 or in2.ndim != 2:
        raise ValueError("convolve2d inputs must both be 2-D arrays")
    if mode == "valid" or (boundary in ("fill", "pad") and fillvalue == 0):
        return _convolution(in1, in2, mode, "direct")
    dtype = np.result_type(in1.dtype, in2.dtype)
    rim = [(size - 1, size - 1) for size in in2.shape]
    full = _convolution(
        np.pad(in1.astype(dtype), rim, **_edges(_BOUNDARIES[boundary], fillvalue)), in2, "valid", "direct"
    )
    return full if mode == "full" else _part(full, tuple((n - 1) // 2 for n in in2.shape), in1.shape)


@stand_in("scipy.signal.correlate2d")
def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Cross-correlation of two matrices."""
    in1, in2 = lift(in1, in2)
    if mode == "same":  # of a kernel of even size, the element that counts as its middle is the other one
        full = convolve2d(in1, _turned_round(in2), "full", boundary, fillvalue)
        return _part(full, tuple(n // 2 for n in in2.shape), in1.shape)
    if mode == "valid" and any(m < n for m, n in zip(in1.shape, in2.shape, strict=True)):
        return _turned_round(convolve2d(in2, _turned_round(in1), mode, boundary, fillvalue))
    return convolve2d(in1, _turned_round(in2), mode, boundary, fillvalue)


# --- linear filters ----------------------------------------------------------------------------------------------


def _filter_value(b: Any, a: Any, x: Any) -> Any:
    import scipy.signal

    return np.asarray(scipy.signal.lfilter(b, a, x), x.dtype)


def _delayed(x: Any, count: int) -> Any:
    """Along a first axis: the values of x, those one step before, and so on."""
    width = [(0, 0)] * (x.ndim - 1)
    length = x.shape[-1]
    return np.stack([np.pad(x, [*width, (lag, 0)])[..., :length] for lag in range(count)])


def _filter_back(g: Any, y: Any, b: Any, a: Any, x: Any, which: int) -> Any:
    if which == 2:
        return np.flip(FILTER(b, a, np.flip(g, -1)), -1)
    inner = FILTER(np.ones_like(b[:1]), a, x if which == 0 else -y)
    moved = _delayed(inner, (b, a)[which].shape[0])
    return np.sum(moved * g, axis=tuple(range(1, moved.ndim)))


def _filter_forward(tangents: Any, y: Any, b: Any, a: Any, x: Any) -> Any:
    one = np.ones_like(b[:1])
    terms = []
    if tangents[0] is not None:
        terms.append(FILTER(tangents[0], a, x))
    if tangents[1] is not None:
        terms.append(FILTER(one, a, FILTER(tangents[1], one, -y)))
    if tangents[2] is not None:
        terms.append(FILTER(b, a, tangents[2]))
    return sum(terms[1:], start=terms[0])


FILTER: Op = declare(
    Op(
        "lfilter",
        "call",
        lambda types: types[2],
        _filter_value,
        vjp=(
            lambda g, y, b, a, x: _filter_back(g, y, b, a, x, 0),
            lambda g, y, b, a, x: _filter_back(g, y, b, a, x, 1),
            lambda g, y, b, a, x: _filter_back(g, y, b, a, x, 2),
        ),
        jvp=_filter_forward,
        batch=lambda inputs, is_batched, size: NotImplemented if any(is_batched[:2]) else FILTER(*inputs),
        doc="A rational filter along the last axis.",
    )
)


@stand_in("scipy.signal.lfilter")
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """A rational filter."""
    if zi is not None:
        unsupported("scipy.signal.lfilter", "zi", "start from rest, or filter a longer signal.")
    b, a, x = (np.atleast_1d(item) for item in lift(b, a, x))
    if b.ndim != 1 or a.ndim != 1:
        raise ValueError("the coefficients of a filter must be 1-D arrays")
    dtype = np.result_type(b.dtype, a.dtype, x.dtype)
    dtype = dtype if dtype.kind in "fc" else np.dtype(np.float64)
    b, a, x = (item.astype(dtype) for item in (b, a, x))
    return np.moveaxis(FILTER(b, a, np.moveaxis(x, axis, -1)), -1, axis)


# --- filters of scipy.ndimage ------------------------------------------------------------------------------------

_PADDING = {
    **dict.fromkeys(("reflect", "grid-mirror"), "symmetric"),
    **dict.fromkeys(("constant", "grid-constant"), "constant"),
    **dict.fromkeys(("wrap", "grid-wrap"), "wrap"),
    "nearest": "edge",
    "mirror": "reflect",
}


def _padded(x: Any, widths: Sequence[tuple[int, int]], mode: str, cval: float) -> Any:
    if mode not in _PADDING:
        raise RuntimeError("boundary mode not supported")
    return np.pad(x, widths, **_edges(_PADDING[mode], cval))


def _no_output(function: str, output: Any) -> None:
    if output is not None:
        unsupported(f"scipy.ndimage.{function}", "output", "use the result, and astype for another dtype.")


def _filtered(x: Any, weights: Any, origins: Sequence[int], mode: str, cval: float, function: str, output: Any) -> Any:
    """Correlation with weights whose middle, moved by the origins, lies on each element in turn."""
    _no_output(function, output)
    x, weights = lift(x, weights)
    if x.dtype.kind not in "fc":
        unsupported(f"scipy.ndimage.{function}", f"of dtype {x.dtype}", "convert it first: x.astype(float).")
    dtype = np.dtype(np.float64 if x.dtype.kind == "f" else np.complex128)
    widths = []
    for size, origin in zip(weights.shape, origins, strict=True):
        before = size // 2 + origin
        if not 0 <= before < size:
            raise ValueError("invalid origin")
        widths.append((before, size - 1 - before))
    wide = _padded(x.astype(dtype), widths, mode, cval)
    return _convolution(wide, np.flip(weights).astype(dtype), "valid", "direct").astype(x.dtype)


def _along(x: Any, weights: Any, axis: int) -> tuple[Any, tuple[int, ...]]:
    """Weights of one axis as weights of all of them, and that axis."""
    (weights,) = lift(weights)
    ndim = np.ndim(x)
    shape = [1] * ndim
    shape[axis] = weights.shape[0]
    return np.reshape(weights, shape), tuple(int(place == axis % ndim) for place in range(ndim))


@stand_in("scipy.ndimage.correlate1d")
def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """Correlation along one axis."""
    shaped, places = _along(input, weights, axis)
    return _filtered(input, shaped, [place * origin for place in places], mode, cval, "correlate1d", output)


@stand_in("scipy.ndimage.convolve1d")
def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """Convolution along one axis."""
    (weights,) = lift(weights)
    origin = -origin - (1 - weights.shape[0] % 2)
    return correlate1d(input, np.flip(weights), axis, output, mode, cval, origin)


def _origins(origin: Any, ndim: int) -> list[int]:
    return [int(item) for item in (origin if np.iterable(origin) else [origin] * ndim)]


@stand_in("scipy.ndimage.correlate")
def ndimage_correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Any:
    """Correlation along all axes."""
    if axes is not None:
        unsupported("scipy.ndimage.correlate", "axes", "give the weights an axis of size 1 instead.")
    return _filtered(input, weights, _origins(origin, np.ndim(weights)), mode, cval, "correlate", output)


@stand_in("scipy.ndimage.convolve")
def ndimage_convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Any:
    """Convolution along all axes."""
    (weights,) = lift(weights)
    pairs = zip(_origins(origin, weights.ndim), weights.shape, strict=True)
    places = [-item - (1 - size % 2) for item, size in pairs]
    return ndimage_correlate(input, np.flip(weights), output, mode, cval, places, axes=axes)


def _gaussian(sigma: float, order: int, truncate: float, radius: Any) -> np.ndarray[Any, Any]:
    import scipy.ndimage

    reach = int(truncate * sigma + 0.5) if radius is None else int(radius)
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1
    options: dict[str, Any] = {"mode": "constant", "radius": reach}
    return np.asarray(scipy.ndimage.gaussian_filter1d(impulse, sigma, order=order, **options))


@stand_in("scipy.ndimage.gaussian_filter1d")
def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
) -> Any:
    """Convolution with a Gaussian, or a derivative of one, along one axis."""
    weights = _gaussian(float(sigma), order, truncate, radius)
    return correlate1d(input, np.flip(weights), axis, output, mode, cval, 0)


@stand_in("scipy.ndimage.gaussian_filter")
def gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Any:
    """Convolution with a Gaussian along several axes."""
    places = range(np.ndim(input)) if axes is None else axes if np.iterable(axes) else (axes,)
    settings = []
    for value in (sigma, order, mode, radius):
        is_one = isinstance(value, str) or not np.iterable(value)
        settings.append([value] * len(list(places)) if is_one else list(value))
    for place, width, degree, edge, reach in zip(places, *settings, strict=True):
        if width > 1e-15:
            input = gaussian_filter1d(input, width, place, degree, output, edge, cval, truncate, radius=reach)
    return input


@stand_in("scipy.ndimage.uniform_filter1d")
def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """The mean of so many neighbours along one axis."""
    return correlate1d(input, np.full(size, 1 / size), axis, output, mode, cval, origin)


# --- interpolation -----------------------------------------------------------------------------------------------


def _mirrored(c: Any, size: int) -> Any:
    span = max(2 * size - 2, 1)
    return np.abs((c + size - 1) % span - (size - 1)) if size > 1 else 0 * c


def _wrapped(c: Any, size: int) -> Any:
    """As SciPy does for "wrap": the last element is the first one again."""
    span = max(size - 1, 1)
    low, high = c + span * (np.floor(-c / span) + 1), c - span * np.floor(c / span)
    return np.where(c < 0, low, np.where(c > size - 1, high, c)) if size > 1 else 0 * c


def _reflected(place: Any, size: int) -> Any:
    place = place % (2 * size)
    return np.minimum(place, 2 * size - 1 - place)


_MOVED: dict[str, Callable[[Any, int], Any]] = {
    "nearest": lambda c, size: np.clip(c, 0, size - 1),
    "mirror": _mirrored,
    "wrap": _wrapped,
    # Half an element beyond each end belongs to the array.
    "reflect": lambda c, size: c,
    "grid-mirror": lambda c, size: c,
    "grid-wrap": lambda c, size: c,
    "constant": lambda c, size: c,
    "grid-constant": lambda c, size: c,
}
_PLACES: dict[str, Callable[[Any, int], Any]] = {
    "reflect": _reflected,
    "grid-mirror": _reflected,
    "grid-wrap": lambda place, size: place % size,
}


@stand_in(
    "scipy.ndimage.map_coordinates",
    examples=((lambda function, x, places: function(x, np.real(places) + 2, order=1), ((5, 5), (2, 3))),),
)
def map_coordinates(
    input: Any,
    coordinates: Any,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Any:
    """The array at coordinates between its elements."""
    _no_output("map_coordinates", output)
    if order not in (0, 1):
        unsupported("scipy.ndimage.map_coordinates", f"order={order}", "use order=1 (linear) or order=0 (nearest).")
    if mode not in _MOVED:
        raise RuntimeError("boundary mode not supported")
    x, at = lift(input, coordinates)
    if at.shape[0] != x.ndim:
        raise RuntimeError("invalid shape for coordinate array")
    dtype = x.dtype
    values = x if dtype.kind in "fc" else x.astype(np.float64)
    at = at if at.dtype.kind == "f" else at.astype(np.float64)
    corners, outside = [], False
    for axis, size in enumerate(x.shape):
        raw = at[axis]
        if mode == "constant":
            outside = outside | (raw < 0) | (raw > size - 1)
        corners.append(_corners(_MOVED[mode](raw, size), size, order, mode))
    total: Any = 0.0
    for choice in itertools.product(*corners):
        weight: Any = math.prod((item[1] for item in choice[1:]), start=choice[0][1])
        part = values[tuple(item[0] for item in choice)]
        for _, _, is_inside in choice:
            part = np.where(is_inside, part, cval) if mode == "grid-constant" else part
        total = total + weight * part
    result = np.where(outside, cval, total) if mode == "constant" else total
    return np.rint(result).astype(dtype) if dtype.kind in "iu" else result.astype(dtype)


def _corners(c: Any, size: int, order: int, mode: str) -> list[tuple[Any, Any, Any]]:
    """The elements along one axis that count: where they are, how much they count, and whether they are inside."""
    low = np.floor(c) if order else np.floor(c + 0.5)
    fraction = c - low
    found = []
    for step, weight in ((0, 1 - fraction), (1, fraction)) if order else ((0, 1.0),):
        place = low.astype(np.int64) + step
        inside = (place >= 0) & (place < size)
        moved = _PLACES[mode](place, size) if mode in _PLACES else np.clip(place, 0, size - 1)
        found.append((moved, weight, inside))
    return found
