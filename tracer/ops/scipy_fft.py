"""What stands in for scipy.fft while a function is traced: NumPy's transforms, and cosine and sine transforms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.op import Op, declare, stand_in
from tracer.graph.rules import lift, literal

# --- Fourier transforms ------------------------------------------------------------------------------------------


def _enter(name: str, last: str = "axis") -> None:
    transform = getattr(np.fft, name)

    if last == "axis":

        @stand_in(f"scipy.fft.{name}")
        def one(
            x: Any,
            n: Any = None,
            axis: int = -1,
            norm: Any = None,
            overwrite_x: bool = False,
            workers: Any = None,
            *,
            plan: Any = None,
        ) -> Any:
            """NumPy's function of this name."""
            return transform(x, n, axis, norm)

    else:
        default = (-2, -1) if name.endswith("2") else None

        @stand_in(f"scipy.fft.{name}")
        def several(
            x: Any,
            s: Any = None,
            axes: Any = default,
            norm: Any = None,
            overwrite_x: bool = False,
            workers: Any = None,
            *,
            plan: Any = None,
        ) -> Any:
            """NumPy's function of this name."""
            if s is not None and axes is None:
                axes = tuple(range(-len(s), 0))
            return transform(x, s, axes, norm)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _enter(_name)
for _name in ("fft2", "ifft2", "fftn", "ifftn", "rfft2", "irfft2", "rfftn", "irfftn"):
    _enter(_name, "axes")


@stand_in("scipy.fft.fftshift")
def _fftshift(x: Any, axes: Any = None) -> Any:
    """NumPy's function of this name."""
    return np.fft.fftshift(x, axes)


@stand_in("scipy.fft.ifftshift")
def _ifftshift(x: Any, axes: Any = None) -> Any:
    """NumPy's function of this name."""
    return np.fft.ifftshift(x, axes)


# --- cosine and sine transforms ----------------------------------------------------------------------------------


def _real_transform(kind: str) -> Callable[..., Any]:
    def evaluate(x: Any, type: int) -> Any:
        import scipy.fft

        return getattr(scipy.fft, kind)(x, type)

    return evaluate


def _ends(x: Any, first: float, last: float) -> Any:
    """Numbers along the last axis: 1, but for the first and the last."""
    factors = np.ones(x.shape[-1], x.real.dtype)
    factors[0] *= first
    factors[-1] *= last
    return literal(factors, x)


def _transposed(kind: str) -> Callable[..., Any]:
    def vjp(g: Any, y: Any, x: Any, type: int) -> Any:
        op = TRANSFORMS[kind]
        # Where an end of the input counts half in a transform, it does so of the output of its transpose.
        first, last = ((2, 2) if type == 1 else (2, 1)) if kind == "dct" else (1, 1 if type in (1, 4) else 2)
        if type == 4 or (type == 1 and kind == "dst"):
            return op(g, type=type)
        if type == 1:
            return op(g * _ends(g, first, last), type=1) * _ends(g, 1 / first, 1 / last)
        if type == 2:
            return op(g * _ends(g, first, last), type=3)
        return op(g, type=2) * _ends(g, 1 / first, 1 / last)

    return vjp


def _declare(kind: str, doc: str) -> Op:
    return declare(
        Op(
            kind,
            "call",
            lambda types, type: types[0],
            _real_transform(kind),
            vjp=(_transposed(kind),),
            jvp="linear",
            batch=lambda inputs, is_batched, size, type: TRANSFORMS[kind](inputs[0], type=type),
            doc=doc,
        )
    )


TRANSFORMS = {
    "dct": _declare("dct", "Discrete cosine transform along the last axis, not scaled."),
    "dst": _declare("dst", "Discrete sine transform along the last axis, not scaled."),
}
_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}


def _transform(
    kind: str, inverse: bool, x: Any, type: int, n: Any, axis: int, norm: Any, orthogonalize: bool | None
) -> Any:
    """A transform along one axis, from the one that is not scaled."""
    if type not in _INVERSE:
        raise ValueError(f"Unknown Transform type {type!r}; known are 1, 2, 3 and 4")
    if norm not in (None, "backward", "forward", "ortho"):
        raise ValueError(f"Invalid norm value {norm!r}; should be 'backward', 'forward' or 'ortho'")
    (x,) = lift(x)
    x = x if x.dtype.kind in "fc" else x.astype(np.float64)
    x = _sized(np.moveaxis(x, axis, -1), n)
    is_orthogonal = norm == "ortho" if orthogonalize is None else orthogonalize
    type = _INVERSE[type] if inverse else type
    length = 2 * (x.shape[-1] + (0 if type != 1 else -1 if kind == "dct" else 1))
    root = math.sqrt(2)
    first, last = (root, 1 / root)[:1] * 2 if kind == "dct" and type == 1 else (root, 1) if kind == "dct" else (1, root)
    if is_orthogonal and (type == 3 or (type == 1 and kind == "dct")):
        x = x * _ends(x, first, last)
    y = TRANSFORMS[kind](x, type=type)
    if is_orthogonal and (type == 2 or (type == 1 and kind == "dct")):
        y = y * _ends(y, 1 / first, 1 / last)
    if norm == "ortho":
        y = y * (1 / math.sqrt(length))
    elif (norm == "forward") != inverse:
        y = y * (1 / length)
    return np.moveaxis(y, -1, axis)


def _sized(x: Any, n: Any) -> Any:
    """The first n elements along the last axis, with zeros behind them where there are fewer."""
    if n is None or n == x.shape[-1]:
        return x
    if n < 1:
        raise ValueError(f"invalid number of data points ({n}) specified")
    if n < x.shape[-1]:
        return x[..., :n]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, int(n) - x.shape[-1])])


def _enter_real(name: str, kind: str, inverse: bool) -> None:
    @stand_in(f"scipy.fft.{name}")
    def one(
        x: Any,
        type: int = 2,
        n: Any = None,
        axis: int = -1,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        orthogonalize: bool | None = None,
    ) -> Any:
        """SciPy's function of this name."""
        return _transform(kind, inverse, x, type, n, axis, norm, orthogonalize)

    @stand_in(f"scipy.fft.{name}n")
    def several(
        x: Any,
        type: int = 2,
        s: Any = None,
        axes: Any = None,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        *,
        orthogonalize: bool | None = None,
    ) -> Any:
        """SciPy's function of this name."""
        sizes = None if s is None else list(s) if np.iterable(s) else [s]
        if axes is None:
            axes = range(-(np.ndim(x) if sizes is None else len(sizes)), 0)
        places = list(axes) if np.iterable(axes) else [axes]
        for axis, size in zip(places, sizes or [None] * len(places), strict=True):
            x = _transform(kind, inverse, x, type, size, axis, norm, orthogonalize)
        return x


for _name in ("dct", "idct", "dst", "idst"):
    _enter_real(_name, _name[-3:], _name[0] == "i")
