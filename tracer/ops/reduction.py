"""Reductions over axes, and the statistics made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import after_batch
from tracer.graph.op import Op, batched_as, composite, declare
from tracer.graph.rules import given, lift
from tracer.types import ArrayType, normalize_axes, normalize_axis, promote, reduced_shape

_MISSING: Any = np._NoValue
_BOOL = np.dtype(bool)
_X: tuple[tuple[int, ...], ...] = ((2, 3, 4),)

# --- the ops -----------------------------------------------------------------------------------------------------


def _infer(types: Sequence[ArrayType], axes: tuple[int, ...], keepdims: bool) -> ArrayType:
    return ArrayType(types[0].dtype, reduced_shape(types[0].shape, axes, keepdims))


def _kept(value: Any, shape: Any, axes: tuple[int, ...]) -> Any:
    """A reduced value with its axes back as axes of size 1."""
    kept = reduced_shape(shape, axes, True)
    return value if value.shape == kept else np.reshape(value, kept)


def _declare(kind: str, evaluate: Callable[..., Any], **fields: Any) -> Op:
    batch = batched_as(kind, lambda axes, keepdims: {"axes": after_batch(axes), "keepdims": keepdims})
    return declare(Op(kind, "reduction", _infer, evaluate, kernel=kind, batch=batch, **fields))


SUM = _declare(
    "sum",
    lambda x, axes, keepdims: np.sum(x, axis=axes, keepdims=keepdims, dtype=np.asarray(x).dtype),
    vjp=(lambda g, y, x, axes, keepdims: np.broadcast_to(_kept(g, x.shape, axes), x.shape),),
    jvp="linear",
    doc="Sum over axes.",
)


def _others(x: Any, axes: tuple[int, ...]) -> Any:
    """For each element the product of all others over the axes: right with zeros, and to any order of derivative.

    A tree of products is walked down, as reverse mode would.
    """
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = (*rest, *axes)
    moved = np.transpose(x, order)
    outer, inner = moved.shape[: len(rest)], moved.shape[len(rest) :]
    level = np.reshape(moved, (*outer, math.prod(inner)))
    levels = []
    while level.shape[-1] > 1:
        half = level.shape[-1] // 2
        levels.append(level)
        products = level[..., :half] * level[..., half : 2 * half]
        level = np.concatenate([products, level[..., 2 * half :]], -1) if level.shape[-1] % 2 else products
    found = np.ones_like(level)
    for level in reversed(levels):
        half = level.shape[-1] // 2
        parts = [found[..., :half] * level[..., half : 2 * half], found[..., :half] * level[..., :half]]
        found = np.concatenate([*parts, found[..., half:]] if level.shape[-1] % 2 else parts, -1)
    return np.transpose(np.reshape(found, (*outer, *inner)), sorted(range(x.ndim), key=order.__getitem__))


PROD = _declare(
    "prod",
    lambda x, axes, keepdims: np.prod(x, axis=axes, keepdims=keepdims, dtype=np.asarray(x).dtype),
    vjp=(lambda g, y, x, axes, keepdims: _kept(g, x.shape, axes) * _others(x, axes),),
    jvp=lambda tangents, y, x, axes, keepdims: SUM(tangents[0] * _others(x, axes), axes=axes, keepdims=keepdims),
    doc="Product over axes.",
)


def _winners(y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Each element's share of the extreme value: ties share evenly."""
    ties = (x == _kept(y, x.shape, axes)).astype(x.dtype)
    return ties / SUM(ties, axes=axes, keepdims=True)


def _of_winners(tangent: Any, y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The winners' shares of a tangent, which may be infinite where others are."""
    shares = _winners(y, x, axes)
    return np.where(shares != 0, tangent * shares, 0)


def _extreme(kind: str, evaluate: Callable[..., Any]) -> Op:
    return _declare(
        kind,
        lambda x, axes, keepdims: evaluate(x, axis=axes, keepdims=keepdims),
        vjp=(lambda g, y, x, axes, keepdims: _kept(g, x.shape, axes) * _winners(y, x, axes),),
        jvp=lambda tangents, y, x, axes, keepdims: SUM(
            _of_winners(tangents[0], y, x, axes), axes=axes, keepdims=keepdims
        ),
        doc=f"The {'largest' if kind == 'max' else 'smallest'} element over axes; ties share the derivative evenly.",
    )


MAX = _extreme("max", np.max)
MIN = _extreme("min", np.min)
ANY = _declare(
    "any",
    lambda x, axes, keepdims: np.any(x, axis=axes, keepdims=keepdims),
    dtypes=lambda operands: (_BOOL, _BOOL),
    zero_derivative=True,
    doc="Whether some element over axes is true.",
)
ALL = _declare(
    "all",
    lambda x, axes, keepdims: np.all(x, axis=axes, keepdims=keepdims),
    dtypes=lambda operands: (_BOOL, _BOOL),
    zero_derivative=True,
    doc="Whether all elements over axes are true.",
)

# --- NumPy's functions of them -----------------------------------------------------------------------------------


def _total_dtype(x: Any, dtype: Any, ufunc: np.ufunc) -> np.dtype[Any]:
    """The dtype of a sum or product: small integers grow to the default integer."""
    if dtype is not None:
        return np.dtype(dtype)
    if x.dtype.kind == "b" or (x.dtype.kind == "i" and x.dtype.itemsize < 8):
        return np.dtype(np.int64)
    if x.dtype.kind == "u" and x.dtype.itemsize < 8:
        return np.dtype(np.uint64)
    return x.dtype


def _cast(x: Any, dtype: Any) -> Any:
    return x if dtype is None or x.dtype == np.dtype(dtype) else x.astype(dtype)


def _masked(x: Any, where: Any, identity: Any) -> Any:
    return x if where is True else np.where(where, x, x.dtype.type(identity))


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is not None and not isinstance(axis, tuple | list):
        axis = int(axis.__index__())
        if ndim == 0 and axis in (0, -1):
            return ()
    return normalize_axes(axis, ndim)


def _totaller(op: Op, ufunc: np.ufunc, identity: int) -> Callable[..., Any]:
    def apply(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = _MISSING,
        where: Any = True,
    ) -> Any:
        x, where = lift(a, given(where, True))
        x = _masked(_cast(x, _total_dtype(x, dtype, ufunc)), where, identity)
        total = op(x, axes=_axes(axis, x.ndim), keepdims=bool(given(keepdims, False)))
        initial = given(initial, None)
        return total if initial is None else _cast(ufunc(total, initial), total.dtype)

    apply.__doc__ = op.doc
    return apply


def _reduction_examples(function: Callable[..., Any]) -> tuple[Any, ...]:
    return (
        (lambda x: function(x), _X),
        (lambda x: function(x, axis=1), _X),
        (lambda x: function(x, axis=(0, -1)), _X),
        (lambda x: function(x, axis=-1, keepdims=True), _X),
    )


for _op, _numpy, _ufunc, _identity in ((SUM, np.sum, np.add, 0), (PROD, np.prod, np.multiply, 1)):
    composite(
        _numpy,
        examples=(
            *_reduction_examples(_numpy),
            (lambda x, f=_numpy: f(x, axis=0, initial=2), _X),
            (lambda x, f=_numpy: f(x, axis=0, where=np.array([True, False, True, True])), _X),
            (lambda x, f=_numpy: f(x, dtype=np.float32), _X),
            (lambda x, f=_numpy: f(x, axis=()), _X),
        ),
    )(_totaller(_op, _ufunc, _identity))


def _extremum(op: Op, ufunc: np.ufunc) -> Callable[..., Any]:
    def apply(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _MISSING, where: Any = True
    ) -> Any:
        x, where = lift(a, given(where, True))
        keepdims = bool(given(keepdims, False))
        axes = _axes(axis, x.ndim)
        initial = given(initial, None)
        name = ufunc.__name__
        if where is not True:
            if initial is None:
                raise ValueError(
                    f"reduction operation '{name}' does not have an identity, so to use a where mask one has to "
                    "specify 'initial'"
                )
            x = np.where(where, x, _start(initial, x.dtype))
        left: Any = reduced_shape(x.shape, axes, keepdims)
        if any(x.shape[axis] == 0 for axis in axes) and 0 not in left:
            if initial is None:
                raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
            return np.full_like(x, initial, shape=left)
        if 0 in x.shape:
            return np.zeros_like(x, shape=left)
        result = op(x, axes=axes, keepdims=keepdims)
        return result if initial is None else ufunc(result, _start(initial, x.dtype))

    apply.__doc__ = op.doc
    return apply


def _start(initial: Any, dtype: np.dtype[Any]) -> Any:
    return dtype.type(initial) if np.isscalar(initial) else _cast(initial, dtype)


for _op, _extreme_of, _larger in ((MAX, np.max, np.maximum), (MIN, np.min, np.minimum)):
    composite(
        _extreme_of,
        *((np.amax,) if _extreme_of is np.max else (np.amin,)),
        examples=(
            *_reduction_examples(_extreme_of),
            (lambda x, f=_extreme_of: f(x, axis=1, initial=0), _X),
            (lambda x, f=_extreme_of: f(x, axis=0, initial=1, where=np.array([True, False, True, True])), _X),
        ),
    )(_extremum(_op, _larger))


def _truth(op: Op, identity: bool) -> Callable[..., Any]:
    def apply(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
        x, where = lift(a, given(where, True))
        x = _masked(_cast(x, bool), where, identity)
        return op(x, axes=_axes(axis, x.ndim), keepdims=bool(given(keepdims, False)))

    apply.__doc__ = op.doc
    return apply


composite(np.any, examples=_reduction_examples(np.any))(_truth(ANY, False))
composite(np.all, examples=_reduction_examples(np.all))(_truth(ALL, True))

# --- statistics --------------------------------------------------------------------------------------------------


def _count(x: Any, axes: tuple[int, ...], where: Any, keepdims: bool) -> Any:
    """How many elements a mean is over: a number, or an array where a mask tells."""
    if where is True:
        return math.prod(x.shape[axis] for axis in axes)
    return np.sum(np.broadcast_to(where, x.shape), axis=axes, keepdims=keepdims)


def _divide(total: Any, count: Any) -> Any:
    return _cast(total / (count if isinstance(count, int) else _cast(count, total.dtype)), total.dtype)


@composite(
    np.mean,
    examples=(
        *_reduction_examples(np.mean),
        (lambda x: np.mean(x, axis=2, where=np.array([True, False, True, True])), _X),
        (lambda x: np.mean(x, dtype=np.float32), _X),
    ),
)
def _mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    """Arithmetic mean over axes; integers give float64."""
    x, where = lift(a, given(where, True))
    keepdims = bool(given(keepdims, False))
    axes = _axes(axis, x.ndim)
    if dtype is None and x.dtype.kind in "biu":
        dtype = np.float64
    total = np.sum(x, axis=axes, dtype=dtype, keepdims=keepdims, where=where)
    return _divide(total, _count(x, axes, where, keepdims))


def _variance(a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean: Any, correction: Any) -> Any:
    x, where = lift(a, given(where, True))
    correction = given(correction, None)
    if correction is not None:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    keepdims = bool(given(keepdims, False))
    axes = _axes(axis, x.ndim)
    if dtype is None and x.dtype.kind in "biu":
        dtype = np.float64
    mean = given(mean, None)
    if mean is None:
        mean = np.mean(x, axis=axes, dtype=dtype, keepdims=True, where=where)
    centred = _cast(x, dtype) - mean
    squares = np.real(centred * np.conjugate(centred)) if centred.dtype.kind == "c" else np.square(centred)
    total = np.sum(squares, axis=axes, keepdims=keepdims, where=where)
    count = _count(x, axes, where, keepdims)
    left = max(count - ddof, 0) if isinstance(count, int) else np.maximum(count - ddof, 0)
    return _cast(total / (float(left) if isinstance(left, int | float) else _cast(left, total.dtype)), total.dtype)


def _spread_examples(function: Callable[..., Any]) -> tuple[Any, ...]:
    return (
        *_reduction_examples(function),
        (lambda x: function(x, axis=1, ddof=1), _X),
        (lambda x: function(x, axis=2, where=np.array([True, False, True, True])), _X),
    )


@composite(np.var, examples=_spread_examples(np.var))
def _var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = _MISSING,
    correction: Any = _MISSING,
) -> Any:
    """Variance over axes."""
    return _variance(a, axis, dtype, ddof, keepdims, where, mean, correction)


@composite(np.std, examples=_spread_examples(np.std))
def _std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = _MISSING,
    correction: Any = _MISSING,
) -> Any:
    """Standard deviation over axes. Where all elements are equal its derivative is NaN: 0 / 0."""
    return np.sqrt(_variance(a, axis, dtype, ddof, keepdims, where, mean, correction))


@composite(np.ptp, examples=_reduction_examples(np.ptp))
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """Range over axes: largest minus smallest element."""
    keepdims = given(keepdims, False)
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@composite(
    np.average,
    examples=(
        (lambda x: np.average(x, axis=1), _X),
        (lambda x, w: np.average(x, weights=w), ((2, 3), (2, 3))),
        (lambda x, w: np.average(x, axis=1, weights=w), ((2, 3), (3,))),
        (lambda x, w: np.average(x, axis=1, weights=w, returned=True)[1], ((2, 3), (3,))),
    ),
)
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """Weighted mean over axes."""
    keepdims = bool(given(keepdims, False))
    if weights is None:
        (x,) = lift(a)
        result = np.mean(x, axis=axis, keepdims=keepdims)
        scale = np.full_like(result, math.prod(x.shape) // max(math.prod(result.shape), 1))
        return (result, scale) if returned else result
    x, weights = lift(a, weights)
    axes = _axes(axis, x.ndim)
    if weights.shape != x.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        if weights.shape != tuple(x.shape[axis] for axis in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
        weights = np.reshape(weights, tuple(x.shape[place] if place in axes else 1 for place in range(x.ndim)))
    dtype = promote((x.dtype, weights.dtype, *(() if x.dtype.kind in "fc" else (np.dtype(np.float64),))))
    scale = np.sum(np.broadcast_to(weights, x.shape), axis=axes, dtype=dtype, keepdims=keepdims)
    result = np.sum(np.multiply(_cast(x, dtype), weights), axis=axes, dtype=dtype, keepdims=keepdims) / scale
    return (result, scale) if returned else result


@composite(np.count_nonzero, examples=_reduction_examples(np.count_nonzero))
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Number of elements that are not zero."""
    return np.sum(_cast(a, bool), axis=axis, keepdims=keepdims)


# --- where the extreme elements are ------------------------------------------------------------------------------


def _arg_infer(types: Sequence[ArrayType], axis: int, keepdims: bool) -> ArrayType:
    if types[0].shape[axis] == 0 and 0 not in reduced_shape(types[0].shape, (axis,), False):
        raise ValueError("attempt to get argmax of an empty sequence")
    return ArrayType(np.dtype(np.int64), reduced_shape(types[0].shape, (axis,), keepdims))


def _arg(kind: str, function: Callable[..., Any]) -> None:
    doc = f"Index of the first {'largest' if kind == 'argmax' else 'smallest'} element along an axis."

    def evaluate(x: Any, axis: int, keepdims: bool) -> Any:
        return function(x, axis=axis, keepdims=keepdims)

    def make(name: str, family: str, kernel: str | None) -> Op:
        batch = batched_as(name, lambda axis, keepdims: {"axis": axis + 1, "keepdims": keepdims})
        return declare(
            Op(name, family, _arg_infer, evaluate, kernel=kernel, batch=batch, zero_derivative=True, doc=doc)
        )

    op = make(kind, "argreduce", kind)
    # Complex numbers, ordered by real and then imaginary part, have no kernel.
    complex_op = make(f"complex_{kind}", "call", None)

    @composite(
        function,
        examples=(
            (lambda x: function(x), _X),
            (lambda x: function(x, axis=1), _X),
            (lambda x: function(x, axis=-1, keepdims=True), _X),
        ),
    )
    def apply(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        """Index of the first extreme element along an axis, or in the flattened array."""
        (x,) = lift(a)
        chosen = complex_op if x.dtype.kind == "c" else op
        keepdims = bool(given(keepdims, False))
        if axis is None or (x.ndim == 0 and axis in (0, -1)):
            result = chosen(np.ravel(x), axis=0, keepdims=False)
            return np.reshape(result, (1,) * x.ndim) if keepdims else result
        return chosen(x, axis=normalize_axis(axis, x.ndim), keepdims=keepdims)


_arg("argmax", np.argmax)
_arg("argmin", np.argmin)

# --- ignoring NaN ------------------------------------------------------------------------------------------------


def _nan_free(name: str, function: Callable[..., Any], fill: float) -> None:
    def apply(a: Any, *args: Any, **kwargs: Any) -> Any:
        (a,) = lift(a)
        if a.dtype.kind not in "fc":
            return function(a, *args, **kwargs)
        return function(np.where(np.isnan(a), a.dtype.type(fill), a), *args, **kwargs)

    apply.__doc__ = f"np.{function.__name__} of the elements that are not NaN."
    composite(getattr(np, name), examples=_reduction_examples(getattr(np, name))[1:])(apply)


_nan_free("nansum", np.sum, 0)
_nan_free("nanprod", np.prod, 1)


def _nan_extreme(name: str, function: Callable[..., Any], fill: float) -> None:
    def apply(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _MISSING, where: Any = True
    ) -> Any:
        (a,) = lift(a)
        options: dict[str, Any] = {"axis": axis, "keepdims": given(keepdims, False)}
        if given(initial, None) is not None:
            options["initial"] = initial
        where = given(where, True)
        if a.dtype.kind not in "fc":
            return function(a, **options, where=where)
        missing = np.isnan(a)
        result = function(np.where(missing, a.dtype.type(fill), a), **options, where=where)
        if "initial" in options:
            return result
        none_left = np.all(missing, axis=axis, keepdims=options["keepdims"], where=where)
        return np.where(none_left, a.dtype.type(np.nan), result)

    apply.__doc__ = f"np.{function.__name__} of the elements that are not NaN."
    composite(getattr(np, name), examples=_reduction_examples(getattr(np, name))[1:])(apply)


_nan_extreme("nanmax", np.max, -np.inf)
_nan_extreme("nanmin", np.min, np.inf)


def _nan_statistic(name: str, function: Callable[..., Any]) -> None:
    def apply(a: Any, *args: Any, where: Any = True, **kwargs: Any) -> Any:
        (a,) = lift(a)
        where = given(where, True)
        if a.dtype.kind not in "fc":
            return function(a, *args, where=where, **kwargs)
        valid = ~np.isnan(a)
        valid = valid if where is True else valid & where
        return function(np.where(valid, a, a.dtype.type(0)), *args, where=valid, **kwargs)

    apply.__doc__ = f"np.{function.__name__} of the elements that are not NaN."
    composite(getattr(np, name), examples=_reduction_examples(getattr(np, name))[1:])(apply)


_nan_statistic("nanmean", np.mean)
_nan_statistic("nanvar", np.var)
_nan_statistic("nanstd", np.std)


def _nan_arg(name: str, function: Callable[..., Any]) -> None:
    # An op of its own, whose value raises NumPy's error where there is nothing but NaN.
    op = declare(
        Op(
            name,
            "call",
            _arg_infer,
            lambda x, axis, keepdims: np.asarray(function(x, axis=axis, keepdims=keepdims)),
            zero_derivative=True,
            batch=batched_as(name, lambda axis, keepdims: {"axis": axis + 1, "keepdims": keepdims}),
            doc=f"Index of the {'largest' if name == 'nanargmax' else 'smallest'} element that is not NaN.",
        )
    )

    @composite(
        function,
        examples=(
            (lambda x: function(x), _X),
            (lambda x: function(np.where(x > 0, np.nan, x - 3), axis=1), ((2, 8),)),
            (lambda x: function(x, axis=-1, keepdims=True), _X),
        ),
    )
    def apply(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        """Index of the first extreme element that is not NaN, along an axis or in the flattened array."""
        (x,) = lift(a)
        keepdims = bool(given(keepdims, False))
        if axis is None:
            result = op(np.ravel(x), axis=0, keepdims=False)
            return np.reshape(result, (1,) * x.ndim) if keepdims else result
        return op(x, axis=normalize_axis(axis, x.ndim), keepdims=keepdims)


_nan_arg("nanargmax", np.nanargmax)
_nan_arg("nanargmin", np.nanargmin)
