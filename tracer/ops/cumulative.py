"""Running sums and products, differences, and sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.op import OPS, Op, batched_as, composite, declare
from tracer.graph.rules import given, grid_along, lift, lift_arrays, literal, static_int, unsupported
from tracer.types import ArrayType, TupleType, broadcast_shapes, normalize_axis

_X: tuple[tuple[int, ...], ...] = ((2, 3, 4),)

# --- cumulative ops ----------------------------------------------------------------------------------------------


def _same_type(types: Sequence[ArrayType], **_: Any) -> ArrayType:
    return types[0]


def _axis_after_batch(axis: int, **params: Any) -> dict[str, Any]:
    return {"axis": axis + 1, **params}


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if place == axis else slice(None) for place in range(ndim))


def _suffix_sum(x: Any, axis: int) -> Any:
    return np.flip(CUMSUM(np.flip(x, axis), axis=axis), axis)


CUMSUM = declare(
    Op(
        "cumsum",
        "cumulative",
        _same_type,
        lambda x, axis: np.cumsum(x, axis=axis, dtype=np.asarray(x).dtype),
        vjp=(lambda g, y, x, axis: _suffix_sum(g, axis),),
        jvp="linear",
        batch=batched_as("cumsum", _axis_after_batch),
        kernel="sum",
        doc="Running sum along an axis.",
    )
)


def _levels(x: Any, axis: int) -> list[Any]:
    """Running products over 1, 2, 4, ... elements; the last is the running product itself."""
    result, step = [x], 1
    while step < x.shape[axis]:
        level = result[-1]
        head, tail = _along(x.ndim, axis, slice(0, step)), _along(x.ndim, axis, slice(step, None))
        shifted = _along(x.ndim, axis, slice(0, x.shape[axis] - step))
        result.append(np.concatenate([level[head], level[tail] * level[shifted]], axis))
        step *= 2
    return result


def _cumprod_vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
    # Division by x would fail at zeros; walking back through log2(n) doubling steps is exact and differentiable.
    levels = _levels(x, axis)
    for number in reversed(range(len(levels) - 1)):
        step, level = 2**number, levels[number]
        tail = _along(x.ndim, axis, slice(step, None))
        head = _along(x.ndim, axis, slice(0, step))
        shifted = _along(x.ndim, axis, slice(0, x.shape[axis] - step))
        last = np.zeros_like(g[head])
        own = np.concatenate([g[head], g[tail] * level[shifted]], axis)
        g = own + np.concatenate([g[tail] * level[tail], last], axis)
    return g


def _cumprod_jvp(tangents: Any, y: Any, x: Any, axis: int) -> Any:
    tangent, level, step = tangents[0], x, 1
    while step < x.shape[axis]:
        head, tail = _along(x.ndim, axis, slice(0, step)), _along(x.ndim, axis, slice(step, None))
        shifted = _along(x.ndim, axis, slice(0, x.shape[axis] - step))
        moved = tangent[tail] * level[shifted] + level[tail] * tangent[shifted]
        tangent = np.concatenate([tangent[head], moved], axis)
        level = np.concatenate([level[head], level[tail] * level[shifted]], axis)
        step *= 2
    return tangent


CUMPROD = declare(
    Op(
        "cumprod",
        "cumulative",
        _same_type,
        lambda x, axis: np.cumprod(x, axis=axis, dtype=np.asarray(x).dtype),
        vjp=(_cumprod_vjp,),
        jvp=_cumprod_jvp,
        batch=batched_as("cumprod", _axis_after_batch),
        kernel="prod",
        doc="Running product along an axis.",
    )
)


def _holders(y: Any, x: Any, axis: int) -> Any:
    """Where along the axis the running extreme was met last."""
    shape = tuple(x.shape[place] if place == axis else 1 for place in range(x.ndim))
    places = literal(np.arange(x.shape[axis]).reshape(shape), x)
    return CUMMAX(OPS["where"](x == y, places, 0), axis=axis)


def _running(kind: str, ufunc: np.ufunc) -> Op:
    def vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
        holders = _holders(y, x, axis)
        grid = tuple(
            holders
            if place == axis
            else literal(np.arange(size).reshape((1,) * place + (-1,) + (1,) * (x.ndim - place - 1)), x)
            for place, size in enumerate(x.shape)
        )
        return OPS["scatter_add"](np.zeros_like(x), g, *grid)

    def jvp(tangents: Any, y: Any, x: Any, axis: int) -> Any:
        return np.take_along_axis(tangents[0], _holders(y, x, axis), axis)

    op = declare(
        Op(
            f"cum{kind}",
            "cumulative",
            _same_type,
            lambda x, axis: ufunc.accumulate(x, axis=axis),
            vjp=(vjp,),
            jvp=jvp,
            batch=batched_as(f"cum{kind}", _axis_after_batch),
            kernel=kind,
            doc=f"Running {ufunc.__name__} along an axis.",
        )
    )

    @composite(ufunc.accumulate, examples=((lambda x: ufunc.accumulate(x, axis=1), ((2, 5),)),))
    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Running extreme along an axis."""
        return op(array if dtype is None else array.astype(dtype), axis=normalize_axis(axis, array.ndim))

    return op


CUMMAX = _running("max", np.maximum)
CUMMIN = _running("min", np.minimum)


def _cumulate(op: Op, function: Callable[..., Any]) -> None:
    @composite(
        function,
        examples=((lambda x: function(x), ((2, 3),)), (lambda x: function(x, axis=1), _X)),
    )
    def apply(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Running total along an axis, or over the flattened array."""
        (x,) = lift(a)
        if axis is None:
            x, axis = np.ravel(x), 0
        if dtype is None and x.dtype.kind in "biu" and x.dtype.itemsize < 8:
            dtype = np.uint64 if x.dtype.kind == "u" else np.int64
        return op(x if dtype is None else x.astype(dtype), axis=normalize_axis(axis, x.ndim))


_cumulate(CUMSUM, np.cumsum)
_cumulate(CUMPROD, np.cumprod)


def _cumulate_with_start(name: str, function: Callable[..., Any], start: int) -> None:
    if not hasattr(np, name):
        return

    @composite(getattr(np, name), examples=((lambda x: getattr(np, name)(x, axis=0, include_initial=True), ((3, 2),)),))
    def apply(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
        """Running total along an axis."""
        if axis is None:
            if x.ndim != 1:
                raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
            axis = 0
        result = function(x, axis=axis, dtype=dtype)
        if not include_initial:
            return result
        axis = normalize_axis(axis, x.ndim)
        shape = tuple(1 if place == axis else size for place, size in enumerate(x.shape))
        return np.concatenate([np.full_like(result, start, shape=shape), result], axis)


_cumulate_with_start("cumulative_sum", np.cumsum, 0)
_cumulate_with_start("cumulative_prod", np.cumprod, 1)


def _end(extra: Any, a: Any, shape: Sequence[int]) -> Any:
    """What np.diff puts before or after: an array, or one number in its own dtype."""
    dtype = extra.dtype if hasattr(extra, "dtype") else np.asarray(extra).dtype
    (extra,) = lift(extra, a)[:1]
    return np.full_like(a, extra, shape=shape, dtype=dtype) if np.ndim(extra) == 0 else extra


@composite(
    np.diff,
    examples=(
        (lambda x: np.diff(x), ((3, 4),)),
        (lambda x: np.diff(x, 2, axis=0), ((3, 4),)),
        (lambda x: np.diff(x, prepend=0), ((3, 4),)),
    ),
)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis."""
    n = static_int(n, "n")
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    if n == 0:
        return a
    axis = normalize_axis(axis, a.ndim)
    shape = tuple(1 if place == axis else size for place, size in enumerate(a.shape))
    ends = [None if given(extra, None) is None else _end(extra, a, shape) for extra in (prepend, append)]
    parts = [part for part in (ends[0], a, ends[1]) if part is not None]
    x = np.concatenate(parts, axis) if len(parts) > 1 else a
    for _ in range(n):
        later, earlier = x[_along(x.ndim, axis, slice(1, None))], x[_along(x.ndim, axis, slice(0, -1))]
        x = np.not_equal(later, earlier) if x.dtype.kind == "b" else np.subtract(later, earlier)
    return x


@composite(
    np.trapezoid,
    examples=((lambda y: np.trapezoid(y, dx=0.5), ((3, 4),)), (lambda y, x: np.trapezoid(y, x), ((3, 4), (4,)))),
)
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral by the trapezoidal rule."""
    y, *rest = lift(y, dx if x is None else x)
    axis = normalize_axis(axis, y.ndim)
    if x is None:
        width = rest[0]
    else:
        width = np.diff(rest[0], axis=axis if rest[0].ndim > 1 else -1)
        if width.ndim == 1:
            width = np.reshape(width, tuple(-1 if place == axis else 1 for place in range(y.ndim)))
    later, earlier = y[_along(y.ndim, axis, slice(1, None))], y[_along(y.ndim, axis, slice(0, -1))]
    return np.sum(width * (later + earlier) / 2.0, axis=axis)


# --- sorting -----------------------------------------------------------------------------------------------------

_FEW = 256
"""Elements along an axis that are sorted so quickly that looking at them first does not pay."""


def _is_mixed(x: Any, axis: int) -> bool:
    """Whether a sample says that elements are in no order yet, and differ: the fast way may then be faster."""
    if x.dtype.kind not in "iuf" or x.dtype.itemsize < 4 or x.shape[axis] < _FEW or not x.size:
        return False
    row = np.moveaxis(x, axis, -1)[(0,) * (x.ndim - 1)]
    sample = row[:: row.size // 64]
    later, earlier = sample[1:], sample[:-1]
    return bool(np.any(later > earlier) and np.any(later < earlier) and np.all(later != earlier))


def _stable_places(x: Any, axis: int) -> Any:
    """As NumPy's stable argsort, which is the slower one: only among equals can the other one's order differ."""
    if _is_mixed(x, axis):
        places = np.argsort(x, axis=axis)
        values = np.take_along_axis(x, places, axis)
        later, earlier = values[_along(x.ndim, axis, slice(1, None))], values[_along(x.ndim, axis, slice(0, -1))]
        if np.all(later != earlier) and not np.isnan(values[_along(x.ndim, axis, slice(-1, None))]).any():
            return places
    return np.argsort(x, axis=axis, kind="stable")


def _argsort_value(x: Any, axis: int, kind: Any) -> Any:
    return _stable_places(x, axis) if kind in ("stable", "mergesort") else np.argsort(x, axis=axis, kind=kind)


ARGSORT = declare(
    Op(
        "argsort",
        "call",
        lambda types, axis, kind: ArrayType(np.dtype(np.int64), types[0].shape),
        _argsort_value,
        zero_derivative=True,
        batch=batched_as("argsort", _axis_after_batch),
        call_kernel=lambda axis, kind: f"sorted {axis}" if kind in ("stable", "mergesort") else "",
        doc="Positions that would sort along an axis.",
    )
)


def _sort_vjp(g: Any, y: Any, x: Any, axis: int, kind: Any) -> Any:
    return _unsorted(g, x, axis)


def _unsorted(g: Any, x: Any, axis: int) -> Any:
    """Elements in the order of a sorted array, back where that came from."""
    places = ARGSORT(x, axis=axis, kind="stable")
    return OPS["scatter_add"](np.zeros_like(g), g, *lift(*grid_along(g, places, axis)))


def _sort_jvp(tangents: Any, y: Any, x: Any, axis: int, kind: Any) -> Any:
    return np.take_along_axis(tangents[0], ARGSORT(x, axis=axis, kind="stable"), axis)


SORT = declare(
    Op(
        "sort",
        "call",
        _same_type,
        lambda x, axis, kind: np.sort(x, axis=axis, kind=kind),
        vjp=(_sort_vjp,),
        jvp=_sort_jvp,
        batch=batched_as("sort", _axis_after_batch),
        doc="Sorted along an axis.",
    )
)


def _sort_places_value(x: Any, axis: int) -> tuple[Any, Any]:
    places = _stable_places(x, axis)
    return np.take_along_axis(x, places, axis), places


SORT_PLACES = declare(
    Op(
        "sort_places",
        "call",
        lambda types, axis: TupleType((types[0], ArrayType(np.dtype(np.int64), types[0].shape))),
        _sort_places_value,
        vjp=(lambda g, y, x, axis: None if g[0] is None else _unsorted(g[0], x, axis),),
        jvp=lambda tangents, y, x, axis: (np.take_along_axis(tangents[0], y[1], axis), None),
        batch=batched_as("sort_places", _axis_after_batch),
        call_kernel=lambda axis: f"sorted {axis}",
        doc="Sorted along an axis, and the positions from which the elements came, equal ones in their order.",
    )
)


def _sorting(op: Op, function: Callable[..., Any]) -> None:
    @composite(
        function,
        examples=(
            (lambda x: function(x), _X),
            (lambda x: function(x, axis=0), _X),
            (lambda x: function(x, axis=None), ((2, 3),)),
        ),
    )
    def apply(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
        """Sort along an axis, or the flattened array with axis=None."""
        if order is not None:
            unsupported(f"np.{function.__name__}", "order", "sort a plain array.")
        (x,) = lift(a)
        if axis is None:
            x, axis = np.ravel(x), -1
        if kind is not None and stable is not None:
            raise ValueError("`kind` and `stable` parameters can't be provided at the same time. Use only one of them.")
        return op(x, axis=normalize_axis(axis, x.ndim), kind="stable" if stable else kind)


_sorting(SORT, np.sort)
_sorting(ARGSORT, np.argsort)


@composite(
    np.lexsort,
    examples=(
        (lambda a, b: np.lexsort((b, np.round(a * 1.0))), ((6,), (6,))),
        (lambda x: np.lexsort(np.round(x * 1.0), axis=0), ((2, 3, 2),)),
    ),
)
def _lexsort(keys: Any, axis: int = -1) -> Any:
    """The order by the last key, among equals by the one before, and so on."""
    items = [keys[place] for place in range(keys.shape[0])] if hasattr(keys, "shape") else list(lift(*keys))
    if not items:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    items = list(np.broadcast_arrays(*items))
    axis = normalize_axis(axis, items[0].ndim)
    order = ARGSORT(items[0], axis=axis, kind="stable")
    for item in items[1:]:
        place = ARGSORT(np.take_along_axis(item, order, axis), axis=axis, kind="stable")
        order = np.take_along_axis(order, place, axis)
    return order


@composite(np.sort_complex, examples=((lambda x: np.sort_complex(x), ((3, 4),)),))
def _sort_complex(a: Any) -> Any:
    """Sorted by the real part, among equals by the imaginary one, as complex numbers."""
    (a,) = lift(a)
    if a.dtype.kind != "c":
        a = a.astype(np.complex64 if a.dtype.char in "bhBH" else np.complex128)
    return np.sort(a)


def _searchsorted_value(a: Any, v: Any, side: Any) -> Any:
    return np.searchsorted(a, v, side)


SEARCHSORTED: Op = declare(
    Op(
        "searchsorted",
        "call",
        lambda types, side: ArrayType(np.dtype(np.int64), types[1].shape),
        _searchsorted_value,
        zero_derivative=True,
        batch=lambda inputs, is_batched, size, side: (
            NotImplemented if is_batched[0] else SEARCHSORTED(*inputs, side=side)
        ),
        doc="Where values would go in a sorted array.",
    )
)


@composite(np.searchsorted, examples=((lambda a, v: np.searchsorted(np.sort(a), v), ((5,), (2, 3))),))
def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where values would go in a sorted array."""
    a, v = lift_arrays(a, v)
    if sorter is not None:
        a = np.take(a, sorter)
    shape = broadcast_shapes(np.shape(v))
    return np.reshape(SEARCHSORTED(a, v, side=side), shape)
