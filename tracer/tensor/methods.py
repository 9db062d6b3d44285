"""The methods and properties of symbolic variables; importing this module declares them.

Each is a function of `tracer.tensor` whose first argument is the variable: `x.sum(axis=0)` is `T.sum(x, axis=0)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.tensor import creation, elementwise, indexing, products, reduction, shaping, variables
from tracer.tensor.variables import as_tensor_variable, call
from tracer.tracing.recording import operation_of
from tracer.tracing.symbolic import METHODS, method

METHODS.update(
    abs=elementwise.abs_,
    all=reduction.all,
    any=reduction.any,
    arccos=elementwise.arccos,
    arccosh=elementwise.arccosh,
    arcsin=elementwise.arcsin,
    arcsinh=elementwise.arcsinh,
    arctan=elementwise.arctan,
    arctanh=elementwise.arctanh,
    argmax=reduction.argmax,
    argmin=reduction.argmin,
    astype=variables.cast,
    ceil=elementwise.ceil,
    choose=creation.choose,
    conj=elementwise.conj,
    conjugate=elementwise.conj,
    copy=variables.tensor_copy,
    cos=elementwise.cos,
    cosh=elementwise.cosh,
    deg2rad=elementwise.deg2rad,
    diagonal=creation.diagonal,
    dimshuffle=shaping.dimshuffle,
    dot=products.dot,
    exp=elementwise.exp,
    exp2=elementwise.exp2,
    expm1=elementwise.expm1,
    fill=creation.fill,
    flatten=shaping.flatten,
    floor=elementwise.floor,
    get_scalar_constant_value=variables.get_scalar_constant_value,
    log=elementwise.log,
    log10=elementwise.log10,
    log1p=elementwise.log1p,
    log2=elementwise.log2,
    max=reduction.max,
    mean=reduction.mean,
    min=reduction.min,
    nonzero=indexing.nonzero,
    nonzero_values=indexing.nonzero_values,
    ones_like=creation.ones_like,
    prod=reduction.prod,
    ptp=reduction.ptp,
    rad2deg=elementwise.rad2deg,
    ravel=shaping.ravel,
    repeat=shaping.repeat,
    round=elementwise.round,
    sin=elementwise.sin,
    sinh=elementwise.sinh,
    sqrt=elementwise.sqrt,
    squeeze=shaping.squeeze,
    std=reduction.std,
    sum=reduction.sum,
    swapaxes=shaping.swapaxes,
    take=indexing.take,
    tan=elementwise.tan,
    tanh=elementwise.tanh,
    trace=creation.trace,
    trunc=elementwise.trunc,
    var=reduction.var,
    zeros_like=creation.zeros_like,
)


def _property(name: str, function: Callable[[Any], Any]) -> None:
    def compute(x: Any) -> Any:
        return function(x)

    compute.is_property = True  # type: ignore[attr-defined]
    METHODS[name] = compute


_property("T", shaping.transpose)
_property("mT", lambda x: call(np.matrix_transpose, x))
_property("real", elementwise.real)
_property("imag", elementwise.imag)
_property("size", lambda x: reduction.prod(x.shape))


@method("reshape")
def _reshape(x: Any, *shape: Any, ndim: int | None = None) -> Any:
    """As `reshape`; NumPy's form with several sizes, x.reshape(2, -1), is understood too."""
    if len(shape) == 2 and ndim is None and isinstance(shape[0], list | tuple):
        return shaping.reshape(x, shape[0], ndim=shape[1])
    return shaping.reshape(x, shape[0] if len(shape) == 1 else shape, ndim=ndim)


@method("clip")
def _clip(x: Any, a_min: Any, a_max: Any) -> Any:
    """As `clip`, with NumPy's names of the ends."""
    return elementwise.clip(x, a_min, a_max)


@method("transpose")
def _transpose(x: Any, *axes: Any) -> Any:
    """As `transpose`: x.transpose(), x.transpose(1, 0) or x.transpose((1, 0))."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], list | tuple)):
        return shaping.transpose(x, axes[0])
    return shaping.transpose(x, axes or None)


@method("norm")
def _norm(x: Any, L: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The L-norm along axes: 0 counts, inf is the greatest, any other number the root of the sum of powers."""
    size = elementwise.abs_(x)
    if L == 0:
        return reduction.sum(elementwise.neq(x, 0), axis=axis, keepdims=keepdims)
    if isinstance(L, float | int) and np.isinf(L):
        return (reduction.max if L > 0 else reduction.min)(size, axis=axis, keepdims=keepdims)
    return reduction.sum(size**L, axis=axis, keepdims=keepdims) ** (1.0 / L)


@method("sort")
def _sort(x: Any, axis: int | None = -1, kind: Any = None, order: Any = None) -> Any:
    """Sorted along an axis."""
    return call(np.sort, x, axis=axis)


@method("argsort")
def _argsort(x: Any, axis: int | None = -1, kind: Any = None, order: Any = None) -> Any:
    """The positions that sort along an axis."""
    return call(np.argsort, x, axis=axis)


@method("cumsum")
def _cumsum(x: Any, axis: int | None = None) -> Any:
    """The sums of the first elements along an axis."""
    return call(np.cumsum, x, axis=axis)


@method("cumprod")
def _cumprod(x: Any, axis: int | None = None) -> Any:
    """The products of the first elements along an axis."""
    return call(np.cumprod, x, axis=axis)


@method("compress")
def _compress(x: Any, condition: Any, axis: int | None = None) -> Any:
    """The slices along an axis where the condition holds."""
    condition = as_tensor_variable(condition)
    positions = indexing.flatnonzero(condition)
    return indexing.take(x, positions, axis)


@method("searchsorted")
def _searchsorted(x: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The positions in a sorted vector before which values keep it sorted."""
    return operation_of(np.searchsorted)(x, as_tensor_variable(v), side=side, sorter=sorter)


@method("transfer")
def _transfer(x: Any, target: Any) -> Any:
    """The variable itself: programs run where the backend says."""
    return x
