"""Functions of sequences of numbers: convolution, interpolation, covariance and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.op import composite, method
from tracer.graph.rules import lift, lift_arrays, static_int, unsupported
from tracer.types import promote

_AB: tuple[tuple[int, ...], ...] = ((5,), (3,))


# --- convolution -------------------------------------------------------------------------------------------------


def _products(a: Any, v: Any, mode: str) -> Any:
    """Sums of products of a with v at every shift; a is the longer one."""
    dtype = promote((a.dtype, v.dtype))
    a, v = a.astype(dtype), v.astype(dtype)
    more = v.shape[0] - 1
    match mode:
        case "full":
            a = np.pad(a, more)
        case "same":
            a = np.pad(a, (v.shape[0] // 2, more - v.shape[0] // 2))
        case "valid":
            pass
        case _:
            raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    return np.matmul(np.lib.stride_tricks.sliding_window_view(a, v.shape[0]), v)


def _checked(a: Any, v: Any) -> tuple[Any, Any]:
    a, v = (np.atleast_1d(item) for item in lift_arrays(a, v))
    for item, name in ((a, "a"), (v, "v")):
        if item.ndim != 1:
            raise ValueError("object too deep for desired array")
        if not item.shape[0]:
            raise ValueError(f"{name} cannot be empty")
    return a, v


@composite(
    np.convolve,
    examples=(
        (lambda a, b: np.convolve(a, b), _AB),
        (lambda a, b: np.convolve(b, a, "same"), _AB),
        (lambda a, b: np.convolve(a, b[:2], "same"), _AB),
        (lambda a, b: np.convolve(a, b, mode="valid"), _AB),
    ),
)
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Discrete convolution of two sequences."""
    a, v = _checked(a, v)
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    return _products(a, v[::-1], mode)


@composite(
    np.correlate,
    examples=(
        (lambda a, b: np.correlate(a, b), _AB),
        (lambda a, b: np.correlate(b, a, "same"), _AB),
        (lambda a, b: np.correlate(a, b, "full"), _AB),
        (lambda a, b: np.correlate(b, a, "full"), _AB),
    ),
)
def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Cross-correlation of two sequences, the second conjugated."""
    a, v = _checked(a, v)
    v = np.conjugate(v) if v.dtype.kind == "c" else v
    if v.shape[0] > a.shape[0]:
        return _products(v, a, mode)[::-1]
    return _products(a, v, mode)


# --- interpolation -----------------------------------------------------------------------------------------------


@composite(
    np.interp,
    examples=(
        (lambda x, f: np.interp(x, [-1, 0, 0.5, 1], f), ((3, 4), (4,))),
        (lambda x, f: np.interp(x, [-1, 0, 0.5, 1], f, left=-3, right=3), ((5,), (4,))),
        (lambda x, p, f: np.interp(x, np.sort(p), f), ((), (4,), (4,))),
        (lambda x, f: np.interp(np.real(x), [0.5, 0, 0.2], f, period=1), ((5,), (3,))),
    ),
)
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation between points, constant beyond them."""
    x, xp, fp = lift_arrays(x, xp, fp)
    if x.dtype.kind == "c" or xp.dtype.kind == "c":
        raise TypeError(
            "Cannot cast array data from dtype('complex128') to dtype('float64') according to the rule 'safe'"
        )
    x, xp = x.astype(np.float64), xp.astype(np.float64)
    fp = fp.astype(np.complex128 if fp.dtype.kind == "c" else np.float64)
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError(
            "Data points must be 1-D sequences" if period is not None else "object too deep for desired array"
        )
    if xp.shape[0] != fp.shape[0]:
        raise ValueError("fp and xp are not of the same length.")
    if not xp.shape[0]:
        raise ValueError("array of sample points is empty")
    if period is not None:
        if period == 0:
            raise ValueError("period must be a non-zero value")
        period, left, right = abs(period), None, None
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    count = xp.shape[0]
    place = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(count - 2, 0))
    after = np.minimum(place + 1, count - 1)
    width = xp[after] - xp[place]
    slope = (fp[after] - fp[place]) / np.where(width == 0, 1, width)
    result = np.where(x == xp[after], fp[after], slope * (x - xp[place]) + fp[place])
    result = np.where(x < xp[0], fp[0] if left is None else left, result)
    return np.where(x > xp[-1], fp[-1] if right is None else right, result)


# --- matrices of powers and of covariances -----------------------------------------------------------------------


@composite(
    np.vander, examples=((lambda x: np.vander(x), ((3,),)), (lambda x: np.vander(x, 4, increasing=True), ((3,),)))
)
def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """The matrix whose columns are powers of a vector."""
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = x.shape[0] if N is None else static_int(N, "N")
    dtype = promote((x.dtype, np.dtype(int)))
    column = x.astype(dtype)[:, None]
    if count == 0:
        return np.zeros_like(column, shape=(x.shape[0], 0))
    parts = [np.ones_like(column)]
    if count > 1:
        parts.append(np.cumprod(np.broadcast_to(column, (x.shape[0], count - 1)), axis=1))
    powers = np.concatenate(parts, 1)
    return powers if increasing else powers[:, ::-1]


@composite(
    np.cov,
    examples=(
        (lambda x: np.cov(x), ((3, 5),)),
        (lambda x, y: np.cov(x, y, rowvar=False, bias=True), ((4, 2), (4, 1))),
        (lambda x: np.cov(x, ddof=0, aweights=[1.0, 2.0, 0.5]), ((2, 3),)),
        (lambda x: np.cov(x, fweights=[1, 2, 3]), ((2, 3),)),
    ),
)
def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """The matrix of covariances of variables, which are rows or, with rowvar=False, columns."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    items = lift_arrays(m, *(() if y is None else (y,)))
    if any(item.ndim > 2 for item in items):
        raise ValueError("m has more than 2 dimensions")
    dtype = promote((*(item.dtype for item in items), np.dtype(np.float64))) if dtype is None else np.dtype(dtype)
    rows = [np.atleast_2d(item.astype(dtype)) for item in items]
    rows = [row if rowvar or item.ndim == 1 else row.T for row, item in zip(rows, items, strict=True)]
    x = rows[0] if len(rows) == 1 else np.concatenate(rows, 0)
    ddof = (0 if bias else 1) if ddof is None else int(ddof)
    weights: Any = None
    for extra in (fweights, aweights):
        if extra is not None:
            (extra,) = lift(extra)
            weights = extra * 1.0 if weights is None else weights * extra
    if weights is None:
        mean, total, factor = np.mean(x, axis=1), x.shape[1], x.shape[1] - ddof
    else:
        total = np.sum(weights)
        mean = np.sum(x * weights, axis=1) / total
        factor = total - ddof * (1 if aweights is None else np.sum(weights * aweights) / total)
    x = x - mean[:, None]
    right = x if weights is None else x * weights
    return np.squeeze(np.matmul(x, np.conjugate(right).T if right.dtype.kind == "c" else right.T) / factor)


@composite(np.corrcoef, examples=((lambda x: np.corrcoef(x), ((3, 5),)), (lambda x: np.corrcoef(x), ((5,),))))
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None, **_: Any) -> Any:
    """The matrix of correlation coefficients of variables."""
    c = np.cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    scale = np.sqrt(np.real(np.diagonal(c)))
    c = c / scale[:, None] / scale[None, :]
    if c.dtype.kind == "c":
        return np.clip(np.real(c), -1, 1) + 1j * np.clip(np.imag(c), -1, 1)
    return np.clip(c, -1, 1)


# --- sums and differences ----------------------------------------------------------------------------------------


def _without_nan(cumulative: Any, function: Any, neutral: int) -> None:
    @composite(function, examples=((lambda x: function(x), ((2, 3),)), (lambda x: function(x, axis=0), ((2, 3),))))
    def apply(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Running total along an axis, or over the flattened array, in which NaN does not count."""
        a = np.where(np.isnan(a), neutral, a) if a.dtype.kind in "fc" else a
        return cumulative(a, axis=axis, dtype=dtype)


_without_nan(np.cumsum, np.nancumsum, 0)
_without_nan(np.cumprod, np.nancumprod, 1)


@composite(
    np.ediff1d,
    examples=((lambda x: np.ediff1d(x), ((2, 3),)), (lambda x: np.ediff1d(x, to_end=x[:2], to_begin=x[:1]), ((4,),))),
)
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours in the flattened array."""
    flat = np.ravel(ary)
    middle = flat[1:] - flat[:-1]
    parts = [None if part is None else np.ravel(lift_arrays(part, flat)[0]) for part in (to_begin, to_end)]
    joined = [part for part in (parts[0], middle, parts[1]) if part is not None]
    for part in joined:
        if not np.can_cast(part.dtype, flat.dtype, casting="same_kind"):
            raise TypeError("dtype of `to_end` must be compatible with input `ary` under the `same_kind` rule.")
    return np.concatenate([part.astype(flat.dtype) for part in joined]) if len(joined) > 1 else middle


@composite(np.resize, examples=((lambda x: np.resize(x, (2, 5)), ((2, 3),)), (lambda x: np.resize(x, 4), ((2, 3),))))
def _resize(a: Any, new_shape: Any) -> Any:
    """The elements of the array, over and over, in another shape."""
    shape = (new_shape,) if np.ndim(new_shape) == 0 else tuple(new_shape)
    flat = np.ravel(a)
    size = int(np.prod(shape))
    if flat.shape[0] == 0 or size == 0:
        return np.zeros_like(a, shape=shape)
    return np.reshape(np.take(flat, [place % flat.shape[0] for place in range(size)]), shape)


@method("resize")
def _resize_method(a: Any, *new_shape: Any, refcheck: bool = True) -> Any:
    """An error: the size of a traced array cannot change in place."""
    unsupported("ndarray.resize", "new_shape (in place)", "x = np.resize(x, shape) makes another array.")
