"""Polynomials given by their coefficients: np.poly* and the series of numpy.polynomial."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from tracer.graph.op import composite, stand_in
from tracer.graph.rules import lift, lift_arrays, static_int, static_ints
from tracer.types import promote

_P: tuple[tuple[int, ...], ...] = ((3,),)
_PQ: tuple[tuple[int, ...], ...] = ((4,), (2,))

# --- highest power first -----------------------------------------------------------------------------------------


def _coefficients(*values: Any) -> list[Any]:
    """Coefficients as vectors."""
    return [np.atleast_1d(np.asarray(item) if isinstance(item, np.poly1d) else item) for item in lift_arrays(*values)]


@composite(np.polyval, examples=((lambda p, x: np.polyval(p, x), ((3,), (2, 2))),))
def _polyval(p: Any, x: Any) -> Any:
    """A polynomial, highest power first, by Horner's rule."""
    p, x = lift_arrays(np.asarray(p) if isinstance(p, np.poly1d) else p, x)
    result = np.zeros_like(x)
    for place in range(p.shape[0]):
        result = result * x + p[place]
    return result


def _sum_of(combine: Callable[..., Any]) -> Callable[..., Any]:
    def apply(a1: Any, a2: Any) -> Any:
        a, b = _coefficients(a1, a2)
        gap = b.shape[0] - a.shape[0]
        a = np.concatenate([np.zeros_like(a, shape=(gap,)), a]) if gap > 0 else a
        b = np.concatenate([np.zeros_like(b, shape=(-gap,)), b]) if gap < 0 else b
        return combine(a, b)

    apply.__doc__ = f"The {'sum' if combine is np.add else 'difference'} of two polynomials, highest power first."
    return apply


composite(np.polyadd, examples=((lambda p, q: np.polyadd(p, q), _PQ), (lambda p, q: np.polyadd(q, p), _PQ)))(
    _sum_of(np.add)
)
composite(np.polysub, examples=((lambda p, q: np.polysub(p, q), _PQ), (lambda p, q: np.polysub(q, p), _PQ)))(
    _sum_of(np.subtract)
)


@composite(np.polymul, examples=((lambda p, q: np.polymul(np.append(3, p), np.append(1, q)), _PQ),))
def _polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials, highest power first; leading coefficients that are zero stay."""
    return np.convolve(*_coefficients(a1, a2))


@composite(
    np.polydiv,
    examples=(
        (lambda p, q: np.polydiv(p, np.append(2.0, q))[0], _PQ),
        (lambda p, q: np.polydiv(p, np.append(2.0, q))[1], _PQ),
    ),
)
def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """Quotient and remainder of two polynomials, highest power first.

    The remainder has one coefficient less than the divisor, also where the first of them are zero.
    """
    u, v = _coefficients(u, v)
    dtype = promote((u.dtype, v.dtype, np.dtype(np.float32)))
    u, v = u.astype(dtype), v.astype(dtype)
    size = v.shape[0]
    steps = u.shape[0] - size + 1
    if steps < 1:
        return np.zeros_like(u, shape=(1,)), u
    parts = []
    rest = u
    for _ in range(steps):
        parts.append(rest[0] / v[0])
        rest = np.concatenate([rest[1:size] - parts[-1] * v[1:], rest[size:]])
    return np.stack(parts), rest if size > 1 else np.zeros_like(u, shape=(1,))


@composite(np.polyder, examples=((lambda p: np.polyder(p), ((4,),)), (lambda p: np.polyder(p, 2), ((4,),))))
def _polyder(p: Any, m: int = 1) -> Any:
    """The derivative of a polynomial, highest power first."""
    count = static_int(m, "m")
    if count < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    (p,) = _coefficients(p)
    for _ in range(count):
        powers = np.arange(p.shape[0] - 1, 0, -1)
        p = p[:-1] * powers.tolist() if powers.size else p[:0]
    return p


@composite(
    np.polyint,
    examples=((lambda p: np.polyint(p), _P), (lambda p: np.polyint(p, 2, [1, 2]), _P)),
)
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """An integral of a polynomial, highest power first, with the constants of integration `k`."""
    count = static_int(m, "m")
    if count < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    p, k = lift_arrays(p, [0.0] * count if k is None else k)
    p, k = np.atleast_1d(p), np.atleast_1d(k)
    k = np.broadcast_to(k, (count,)) if k.shape[0] == 1 and count > 1 else k
    if k.shape[0] < count:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for place in range(count):
        p = np.concatenate([p / list(range(p.shape[0], 0, -1)), k[place : place + 1]])
    return p


@composite(
    np.poly,
    examples=((lambda r: np.poly(r), _P), (lambda a: np.poly(a), ((2, 2),))),
)
def _poly(seq_of_zeros: Any) -> Any:
    """The polynomial with given roots, highest power first, or the characteristic polynomial of a matrix.

    Of complex roots the coefficients are complex, also where the roots come in conjugate pairs.
    """
    (roots,) = lift(seq_of_zeros)
    roots = np.atleast_1d(roots)
    if roots.ndim == 2 and roots.shape[0] == roots.shape[1] and roots.shape[0]:
        values = np.linalg.eigvals(roots)
        result = np.poly(values)
        return result if roots.dtype.kind == "c" else np.real(result)
    if roots.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    dtype = roots.dtype if roots.dtype.kind in "fc" else np.dtype(np.float64)
    roots = roots.astype(dtype)
    result = np.ones_like(roots, shape=(1,))
    for place in range(roots.shape[0]):
        result = np.convolve(result, np.stack([np.ones_like(roots[place]), -roots[place]]))
    return result


@composite(
    np.roots,
    examples=(
        (lambda p: np.sort(np.abs(np.roots(np.append(3.0, p)))), _P),
        (lambda p: np.real(np.sum(np.roots(np.append(3.0, p)))), _P),
    ),
)
def _roots(p: Any) -> Any:
    """The roots of a polynomial, highest power first; its first coefficient must not be zero."""
    (p,) = _coefficients(p)
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    dtype = p.dtype if p.dtype.kind in "fc" else np.dtype(np.float64)
    p = p.astype(dtype)
    size = p.shape[0] - 1
    if size < 1:
        return np.zeros_like(p, shape=(0,))
    first = -p[1:] / p[0]
    below = (
        np.zeros_like(p, shape=(size - 1, size)) + np.eye(size - 1, size, dtype=dtype).tolist() if size > 1 else None
    )
    companion = first[None] if below is None else np.concatenate([first[None], below])
    return np.linalg.eigvals(companion)


@composite(
    np.polyfit,
    examples=(
        (lambda x, y: np.polyfit(x, y, 2), ((6,), (6,))),
        (lambda x, y: np.polyfit(x, y, 1, w=[1, 2, 1, 0.5, 1, 1]), ((6,), (6, 2))),
        (lambda x, y: np.polyfit(np.arange(6.0) * 4 + np.real(x), np.real(y), 1, cov=True)[1], ((6,), (6,))),
    ),
)
def _polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    """The polynomial of a degree that fits points best, in the sense of least squares."""
    order = static_int(deg, "deg") + 1
    x, y = lift_arrays(x, y)
    x, y = x + 0.0, y + 0.0
    if order < 1:
        raise ValueError("expected deg >= 0")
    if x.ndim != 1:
        raise TypeError("expected 1D vector for x")
    if x.size == 0:
        raise TypeError("expected non-empty vector for x")
    if y.ndim not in (1, 2):
        raise TypeError("expected 1D or 2D array for y")
    if x.shape[0] != y.shape[0]:
        raise TypeError("expected x and y to have same length")
    rcond = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    left = np.vander(x, order)
    if w is not None:
        w = lift_arrays(w, x)[0] + 0.0
        if w.ndim != 1:
            raise TypeError("expected a 1-d array for weights")
        if w.shape[0] != y.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = left * w[:, None]
        y = y * (w[:, None] if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    found, rest, rank, singular = np.linalg.lstsq(left, y, rcond)
    found = (found.T / scale).T
    if full:
        return found, rest, rank, singular, rcond
    if not cov:
        return found
    spread = np.linalg.inv(np.matmul(left.T, left)) / np.outer(scale, scale)
    if cov == "unscaled":
        factor: Any = 1
    else:
        if x.shape[0] <= order:
            raise ValueError("the number of data points must exceed order to scale the covariance matrix")
        factor = rest / (x.shape[0] - order)
    return found, (spread if y.ndim == 1 else spread[:, :, None]) * factor


# --- series of numpy.polynomial, lowest degree first -------------------------------------------------------------
# A basis is given by its first elements, 1 and `first(x)`, and by p[n + 1] = a(n, x) p[n] - b(n) p[n - 1].

Recurrence = tuple[Callable[[Any], Any], Callable[[int, Any], Any], Callable[[int], float]]
_BASES: dict[str, tuple[str, Recurrence]] = {
    "polynomial": ("poly", (lambda x: x, lambda n, x: x, lambda n: 0.0)),
    "chebyshev": ("cheb", (lambda x: x, lambda n, x: 2 * x, lambda n: 1.0)),
    "legendre": ("leg", (lambda x: x, lambda n, x: (2 * n + 1) / (n + 1) * x, lambda n: n / (n + 1))),
    "laguerre": ("lag", (lambda x: 1 - x, lambda n, x: (2 * n + 1 - x) / (n + 1), lambda n: n / (n + 1))),
    "hermite": ("herm", (lambda x: 2 * x, lambda n, x: 2 * x, lambda n: 2.0 * n)),
    "hermite_e": ("herme", (lambda x: x, lambda n, x: x, lambda n: float(n))),
}


def _values(basis: Recurrence, x: Any, degree: int) -> list[Any]:
    """The elements of a basis up to a degree."""
    first, factor, back = basis
    found = [np.ones_like(x), first(x)]
    for n in range(1, degree):
        following = factor(n, x) * found[-1]
        found.append(following if back(n) == 0 else following - back(n) * found[-2])
    return found[: degree + 1]


def _series(basis: Recurrence, x: Any, c: Any) -> Any:
    """The sum of a series over the first axis of its coefficients, by Clenshaw's algorithm."""
    first, factor, back = basis
    last = c.shape[0] - 1
    ahead: Any = None
    now = c[last] + 0 * x
    for n in range(last - 1, 0, -1):
        following = c[n] + factor(n, x) * now
        now, ahead = (following if ahead is None else following - back(n + 1) * ahead), now
    if last == 0:
        return now
    result = c[0] + first(x) * now
    return result if ahead is None else result - back(1) * ahead


def _floating(*values: Any) -> list[Any]:
    return [item if item.dtype.kind in "fc" else item.astype(np.float64) for item in lift_arrays(*values)]


def _evaluator(basis: Recurrence) -> Callable[..., Any]:
    def evaluate(x: Any, c: Any, tensor: bool = True) -> Any:
        """The value of a series; with `tensor` each column of coefficients is a series of its own."""
        x, c = _floating(x, c)
        c = np.atleast_1d(c)
        if tensor:
            c = np.reshape(c, c.shape + (1,) * x.ndim)
        return _series(basis, x, c)

    return evaluate


def _points(basis: Recurrence, depth: int, grid: bool) -> Callable[..., Any]:
    def evaluate(*args: Any) -> Any:
        """The value of a series in several variables, at points or on the grid of all their combinations."""
        *points, c = _floating(*args)
        if len(points) != depth:
            raise TypeError(f"expected {depth} variables and the coefficients")
        if not grid and len({item.shape for item in points}) != 1:
            raise ValueError("x, y, z are incompatible" if depth == 3 else "x, y are incompatible")
        value = _evaluator(basis)
        for place, item in enumerate(points):
            c = value(item, c, tensor=grid or place == 0)
        return c

    return evaluate


def _vandermonde(basis: Recurrence) -> Callable[..., Any]:
    def matrix(x: Any, deg: Any) -> Any:
        """The elements of a basis at points, along a last axis."""
        degree = static_int(deg, "deg")
        if degree < 0:
            raise ValueError("deg must be non-negative")
        (x,) = _floating(x)
        return np.stack(_values(basis, np.atleast_1d(x), degree), -1)

    return matrix


def _vandermondes(basis: Recurrence, depth: int) -> Callable[..., Any]:
    def matrix(*args: Any) -> Any:
        """Products of the elements of a basis in several variables, along a last axis."""
        *points, deg = args
        degrees = static_ints(deg)
        if len(degrees) != depth or len(points) != depth:
            raise ValueError(f"Expected {depth} dimensions of points and degrees")
        columns = [_vandermonde(basis)(item, degree) for item, degree in zip(points, degrees, strict=True)]
        result = reduce(
            lambda left, right: np.reshape(left[..., :, None] * right[..., None, :], (*left.shape[:-1], -1)), columns
        )
        return result

    return matrix


for _module, (_prefix, _basis) in _BASES.items():
    _path = f"numpy.polynomial.{_module}.{_prefix}"
    stand_in(f"{_path}val")(_evaluator(_basis))
    stand_in(f"{_path}vander")(_vandermonde(_basis))
    for _depth in (2, 3):
        stand_in(f"{_path}val{_depth}d")(_points(_basis, _depth, grid=False))
        stand_in(f"{_path}grid{_depth}d")(_points(_basis, _depth, grid=True))
        stand_in(f"{_path}vander{_depth}d")(_vandermondes(_basis, _depth))


@stand_in("numpy.polynomial.polynomial.polyvalfromroots")
def _polyvalfromroots(x: Any, r: Any, tensor: bool = True) -> Any:
    """A polynomial given by its roots."""
    x, r = _floating(x, r)
    r = np.atleast_1d(r)
    if tensor:
        r = np.reshape(r, r.shape + (1,) * x.ndim)
    elif x.ndim >= r.ndim:
        raise ValueError("x.ndim must be < r.ndim when tensor == False")
    return np.prod(x - r, axis=0)


@stand_in("numpy.polynomial.polyutils.mapdomain")
def _mapdomain(x: Any, old: Any, new: Any) -> Any:
    """A linear map of one interval to another, as the classes of numpy.polynomial apply it to what they are given."""
    x, old, new = lift(x, old, new)
    width = old[1] - old[0]
    return (old[1] * new[0] - old[0] * new[1]) / width + (new[1] - new[0]) / width * x
