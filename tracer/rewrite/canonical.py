"""One spelling for each meaning: constants folded, identities removed, views and casts collapsed.

Nothing here changes an answer for NaN, infinities or signed zeros: x * 0, x - x and x + 0 stay. Two exceptions are
NumPy's own: x ** 0.5 and x ** 2 are what `**` of an array computes, the square root and the square.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.graph.node import CONSTANT, Node, constant, make_node
from tracer.graph.op import OPS
from tracer.rewrite.rule import AnyRule, Frozen, NodeRule, Rule, op
from tracer.tracing.proxy import wrap
from tracer.types import broadcast_shapes, reduced_shape

_FOLDED_SIZE = 4096
_PURE = frozenset("elementwise reduction view assemble matmul gather scatter cumulative argreduce".split())

X = np.array([-2.5, -0.0, 0.0, 0.5, 3.0, np.inf, -np.inf, np.nan])
POSITIVE = np.array([0.0, 1e-300, 0.25, 2.0, 1e300, np.inf])
FINITE = np.array([-2.5, -1.0, 0.25, 3.0])
M = np.arange(24.0).reshape(2, 3, 4)
MASK = np.array([True, False, True])

_slice: Any = op("slice")
_unslice: Any = op("unslice")


# --- conditions --------------------------------------------------------------------------------------------------


def real(x: Node) -> bool:
    """Products of complex infinities have NaN parts, so that even x * 1 is no identity there."""
    return x.dtype.kind != "c"


def floating(x: Node) -> bool:
    """Whether a value is real floating point."""
    return x.dtype.kind == "f"


def inexact(x: Node) -> bool:
    """Whether a value is real or complex floating point."""
    return x.dtype.kind in "fc"


def integral(x: Node) -> bool:
    """Whether a value is an integer, so that arithmetic wraps round and is associative."""
    return x.dtype.kind in "iu"


def known(shape: Any) -> bool:
    """Whether every dimension is known; two unknown ones need not be the same."""
    return None not in shape


def lossless(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether a cast keeps every value (NumPy calls int64 to float64 safe, but it rounds)."""
    if source.kind in "iu" and source.itemsize == 8 and target.kind in "fc":
        return False
    return bool(np.can_cast(source, target, "safe"))


# --- whole families ----------------------------------------------------------------------------------------------


def fold(node: Node, frozen: Frozen) -> Node | None:
    """Compute a node whose inputs are constants."""
    if node.op.name == "broadcast_to" or any(item.op is not CONSTANT or item in frozen for item in node.inputs):
        return None
    if None in node.shape or node.type.size > _FOLDED_SIZE:
        return None
    try:
        with np.errstate(all="ignore"):
            value = node.op.evaluate(*(item.value for item in node.inputs), **node.params)
    except (IndexError, ValueError, OverflowError, ZeroDivisionError):
        return None  # It fails when it runs, and is then blamed on the user's line.
    return constant(value, node.dtype)


def narrow(node: Node, frozen: Frozen) -> Node | None:
    """Compute on the few values before they are broadcast instead of on the many after it."""
    broadcast, inputs = OPS["broadcast_to"], list(node.inputs)
    for position, item in enumerate(inputs):
        while item.op is broadcast and item not in frozen:
            item = item.inputs[0]
        inputs[position] = item
    if tuple(inputs) == node.inputs:
        return None
    if None in node.shape and broadcast_shapes(*(item.shape for item in inputs)) != node.shape:
        return None
    return make_node(node.op, tuple(inputs), node.params)


# --- replacements that need arithmetic on shapes -------------------------------------------------------------------


def _sum_of_broadcast(x: Any, shape: tuple[int, ...], axis: tuple[int, ...], keepdims: bool) -> Any:
    """Sum a broadcast array without repeating it: n * x along the axes that were stretched."""
    if None in shape:
        return None
    padded = (1,) * (len(shape) - x.ndim) + x.shape
    stretched = [item for item in axis if padded[item] == 1]
    count = math.prod(shape[item] for item in stretched)
    if count == 0 or padded == shape or (x.dtype.kind in "iu" and count > np.iinfo(x.dtype).max):
        return None
    x = np.reshape(x, padded)
    kept = tuple(item for item in axis if item not in stretched)
    rest = np.sum(x, axis=kept, keepdims=True) if kept else x
    whole: Any = tuple(1 if place in stretched else size for place, size in enumerate(shape))
    left: Any = reduced_shape(shape, axis, keepdims)
    spread: Any = reduced_shape(whole, kept, True)
    total = np.reshape(np.broadcast_to(rest, spread), left)
    return total * count if stretched else total


def _extremum_of_broadcast(x: Any, shape: tuple[int, ...], axis: tuple[int, ...], keepdims: bool) -> Any:
    padded = (1,) * (len(shape) - x.ndim) + x.shape
    if None in shape or any(padded[item] != 1 or shape[item] == 0 for item in axis):
        return None
    whole = tuple(1 if place in axis else size for place, size in enumerate(shape))
    left: Any = reduced_shape(shape, axis, keepdims)
    return np.reshape(np.broadcast_to(np.reshape(x, padded), whole), left)


def _joined_axes(first: tuple[int, ...], kept: bool, second: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """The axes that two reductions, one after the other, reduce together."""
    left = range(ndim) if kept else [axis for axis in range(ndim) if axis not in first]
    return tuple(sorted({*first, *(left[axis] for axis in second)}))


def _example(name: str) -> Any:
    return M > 3 if name in ("any", "all") else M


def _reduction_rules(name: str) -> list[AnyRule]:
    reduce: Any = getattr(np, name)
    return [
        Rule(
            f"{name} of {name}",
            lambda x, first, kept, second, keepdims: reduce(
                reduce(x, axis=first, keepdims=kept), axis=second, keepdims=keepdims
            ),
            lambda x, first, kept, second, keepdims: reduce(
                x, axis=_joined_axes(first, kept, second, x.ndim), keepdims=keepdims
            ),
            when=lambda kept, keepdims: kept == keepdims,
            example={"x": _example(name), "first": (1,), "kept": False, "second": (1,), "keepdims": False},
        ),
        Rule(
            f"{name} over axes of size 1",
            lambda x, axis, keepdims: reduce(x, axis=axis, keepdims=keepdims),
            lambda x, axis, keepdims: np.reshape(x, reduced_shape(x.shape, axis, keepdims)),
            when=lambda x, axis: known(x.shape) and all(x.shape[item] == 1 for item in axis),
            example={"x": _example(name)[:, :1], "axis": (1,), "keepdims": False},
        ),
        Rule(
            f"{name}, then the reduced axes put back",
            lambda x, axis, keepdims, shape: np.reshape(reduce(x, axis=axis, keepdims=keepdims), shape),
            lambda x, axis, keepdims: reduce(x, axis=axis, keepdims=not keepdims),
            when=lambda x, axis, keepdims, shape: shape == reduced_shape(x.shape, axis, not keepdims) and axis != (),
            example={"x": _example(name), "axis": (1,), "keepdims": False, "shape": (2, 1, 4)},
        ),
    ]


def _sliced_twice(first: Any, second: Any) -> Any:
    return tuple(
        (start + begin * step, size, step * stride)
        for (start, _, step), (begin, size, stride) in zip(first, second, strict=True)
    )


def _is_whole(shape: Any, index: Any) -> bool:
    return all((start, size, step) == (0, full, 1) for (start, size, step), full in zip(index, shape, strict=True))


def _moves_only_ones(shape: Any, axes: tuple[int, ...]) -> bool:
    kept = [axis for axis in axes if shape[axis] != 1]
    return kept == sorted(kept)


def _power_of_two(c: Any) -> bool:
    """Whether division by c is exactly multiplication by 1 / c."""
    if c.dtype.kind != "f" or not np.isfinite(c) or c == 0:
        return False
    fraction, exponent = math.frexp(float(c))
    return abs(fraction) == 0.5 and abs(exponent) < (120 if c.dtype.itemsize == 4 else 1000)


# --- the list ----------------------------------------------------------------------------------------------------

FOLDING: tuple[AnyRule, ...] = (
    # Before constants are folded: a broadcast scalar is known to be one.
    Rule(
        "reshape of a scalar",
        lambda x, shape: np.reshape(x, shape),
        lambda x, shape: np.broadcast_to(x, shape),
        when=lambda x: x.shape == (),
        example={"x": np.float64(2.0), "shape": (1, 1)},
    ),
    NodeRule(
        "constant",
        _PURE,
        "constant",
        True,
        fold,
        lambda x: x * np.exp(wrap(constant(2.0))),
        example={"x": X},
    ),
    NodeRule(
        "elementwise before broadcast",
        frozenset(("elementwise",)),
        "broadcast_to",
        False,
        narrow,
        lambda x, y: np.broadcast_to(x, (8,)) * y,
        example={"x": np.float64(2.0), "y": X},
    ),
)

IDENTITIES: tuple[AnyRule, ...] = (
    Rule("x * 1", lambda x: x * 1, lambda x: x, when=real, example={"x": X}),
    Rule("x * -1", lambda x: x * -1, lambda x: -x, when=real, example={"x": X}),
    Rule("x / 1", lambda x: x / 1, lambda x: x, when=real, example={"x": X}),
    Rule("x / -1", lambda x: x / -1, lambda x: -x, when=real, example={"x": X}),
    Rule("x - 0", lambda x: x - 0, lambda x: x, when=real, example={"x": X}),
    Rule("x + -0.0", lambda x: x + -0.0, lambda x: x, when=real, example={"x": X}),
    Rule("x + 0, integers", lambda x: x + 0, lambda x: x, when=integral, example={"x": np.arange(3)}),
    Rule("0 - x, integers", lambda x: 0 - x, lambda x: -x, when=integral, example={"x": np.arange(3)}),
    Rule("-0.0 - x", lambda x: -0.0 - x, lambda x: -x, when=floating, example={"x": X}),
    Rule("--x", lambda x: np.negative(-x), lambda x: x, example={"x": X}),
    Rule(
        "x / power of two",
        lambda x, c: x / c,
        lambda x, c: x * (1 / c),
        when=lambda x, c: floating(x) and _power_of_two(c) and abs(c) != 1,
        example={"x": X, "c": np.float64(8.0)},
    ),
    Rule("x ** 1", lambda x: x**1, lambda x: x, example={"x": X}),
    Rule("x ** 0", lambda x: x**0, lambda x: 1, when=real, example={"x": X}),
    Rule("x ** 2", lambda x: x**2, lambda x: np.square(x), example={"x": X}),
    Rule("x ** 0.5", lambda x: x**0.5, lambda x: np.sqrt(x), when=inexact, example={"x": POSITIVE}),
    Rule("x ** -1", lambda x: x**-1, lambda x: np.reciprocal(x), when=inexact, example={"x": X}),
    Rule("x ** -0.5", lambda x: x**-0.5, lambda x: 1 / np.sqrt(x), when=floating, example={"x": POSITIVE}),
    Rule("x ** 3", lambda x: x**3, lambda x: x * np.square(x), when=real, example={"x": X}),
    Rule("x ** 4", lambda x: x**4, lambda x: np.square(np.square(x)), when=real, example={"x": X}),
    Rule(
        "x * x",
        lambda x: x * x,
        lambda x: np.square(x),
        when=lambda x: real(x) and x.dtype.kind != "b",
        example={"x": X},
    ),
    Rule("square(-x)", lambda x: np.square(-x), lambda x: np.square(x), example={"x": X}),
    Rule("square(|x|)", lambda x: np.square(np.abs(x)), lambda x: np.square(x), when=real, example={"x": X}),
    Rule("|-x|", lambda x: np.abs(-x), lambda x: np.abs(x), example={"x": X}),
    Rule("||x||", lambda x: np.abs(np.abs(x)), lambda x: np.abs(x), when=real, example={"x": X}),
    Rule("max(x, x)", lambda x: np.maximum(x, x), lambda x: x, example={"x": X}),
    Rule("min(x, x)", lambda x: np.minimum(x, x), lambda x: x, example={"x": X}),
    Rule("+x", lambda x: +x, lambda x: x, example={"x": X}),
    Rule("not not x", lambda x: ~~x, lambda x: x, example={"x": MASK}),
    Rule(
        "logical not not x",
        lambda x: np.logical_not(np.logical_not(x)),
        lambda x: x,
        when=lambda x: x.dtype.kind == "b",
        example={"x": MASK},
    ),
    Rule("where(True)", lambda x, y: np.where(True, x, y), lambda x: x, example={"x": X, "y": X[::-1]}),
    Rule("where(False)", lambda x, y: np.where(False, x, y), lambda y: y, example={"x": X, "y": X[::-1]}),
    Rule("where(m, x, x)", lambda m, x: np.where(m, x, x), lambda x: x, example={"m": X > 0, "x": X}),
    Rule(
        "where(not m)",
        lambda m, x, y: np.where(np.logical_not(m), x, y),
        lambda m, x, y: np.where(m, y, x),
        when=lambda m: m.dtype.kind == "b",
        example={"m": X > 0, "x": X, "y": X[::-1]},
    ),
)

CASTS: tuple[AnyRule, ...] = (
    Rule(
        "cast to the same dtype",
        lambda x, dtype: x.astype(dtype),
        lambda x: x,
        when=lambda x, dtype: x.dtype == dtype,
        example={"x": X, "dtype": np.dtype("float64")},
    ),
    Rule(
        "cast of a lossless cast",
        lambda x, first, second: x.astype(first).astype(second),
        lambda x, second: x.astype(second),
        when=lambda x, first: lossless(x.dtype, first),
        example={"x": np.arange(5, dtype="int32"), "first": np.dtype("float64"), "second": np.dtype("float32")},
    ),
)

VIEWS: tuple[AnyRule, ...] = (
    Rule(
        "transpose of transpose",
        lambda x, first, second: np.transpose(np.transpose(x, first), second),
        lambda x, first, second: np.transpose(x, tuple(first[axis] for axis in second)),
        example={"x": M, "first": (1, 2, 0), "second": (2, 1, 0)},
    ),
    Rule(
        "transpose in order",
        lambda x, axes: np.transpose(x, axes),
        lambda x: x,
        when=lambda axes: axes == tuple(range(len(axes))),
        example={"x": M, "axes": (0, 1, 2)},
    ),
    Rule(
        "transpose of axes of size 1",
        lambda x, axes: np.transpose(x, axes),
        lambda x, axes: np.reshape(x, tuple(x.shape[axis] for axis in axes)),
        when=lambda x, axes: known(x.shape) and _moves_only_ones(x.shape, axes),
        example={"x": M[:, :1], "axes": (1, 0, 2)},
    ),
    Rule(
        "reshape of reshape",
        lambda x, first, second: np.reshape(np.reshape(x, first), second),
        lambda x, second: np.reshape(x, second),
        example={"x": M, "first": (6, 4), "second": (24,)},
    ),
    Rule(
        "reshape to the same shape",
        lambda x, shape: np.reshape(x, shape),
        lambda x: x,
        when=lambda x, shape: x.shape == shape and known(shape),
        example={"x": M, "shape": (2, 3, 4)},
    ),
    Rule(
        "broadcast of broadcast",
        lambda x, first, second: np.broadcast_to(np.broadcast_to(x, first), second),
        lambda x, second: np.broadcast_to(x, second),
        example={"x": np.arange(3.0), "first": (2, 3), "second": (4, 2, 3)},
    ),
    Rule(
        "broadcast to the same shape",
        lambda x, shape: np.broadcast_to(x, shape),
        lambda x: x,
        when=lambda x, shape: x.shape == shape,
        example={"x": M, "shape": (2, 3, 4)},
    ),
    Rule(
        "slice of slice",
        lambda x, first, second: _slice(_slice(x, index=first), index=second),
        lambda x, first, second: _slice(x, index=_sliced_twice(first, second)),
        example={"x": np.arange(20.0), "first": ((15, 6, -2),), "second": ((1, 3, 2),)},
    ),
    Rule(
        "slice of everything",
        lambda x, index: _slice(x, index=index),
        lambda x: x,
        when=lambda x, index: _is_whole(x.shape, index),
        example={"x": np.arange(4.0), "index": ((0, 4, 1),)},
    ),
    Rule(
        "slice of what was put there",
        lambda x, shape, index: _slice(_unslice(x, shape=shape, index=index), index=index),
        lambda x: x,
        example={"x": np.arange(3.0), "shape": (5,), "index": ((1, 3, 1),)},
    ),
    Rule(
        "transpose of a broadcast scalar",
        lambda x, shape, axes: np.transpose(np.broadcast_to(x, shape), axes),
        lambda x, shape, axes: np.broadcast_to(x, tuple(shape[axis] for axis in axes)),
        when=lambda x: x.shape == (),
        example={"x": np.float64(2.0), "shape": (2, 3), "axes": (1, 0)},
    ),
    Rule(
        "reshape of a broadcast scalar",
        lambda x, shape, second: np.reshape(np.broadcast_to(x, shape), second),
        lambda x, second: np.broadcast_to(x, second),
        when=lambda x, second: x.shape == () and known(second),
        example={"x": np.float64(2.0), "shape": (2, 3), "second": (6,)},
    ),
    Rule(
        "slice of a broadcast scalar",
        lambda x, shape, index: _slice(np.broadcast_to(x, shape), index=index),
        lambda x, index: np.broadcast_to(x, tuple(size for _, size, _ in index)),
        when=lambda x, shape: x.shape == () and known(shape),
        example={"x": np.float64(2.0), "shape": (5,), "index": ((1, 3, 1),)},
    ),
)

REDUCTIONS: tuple[AnyRule, ...] = (
    *_reduction_rules("sum"),
    *_reduction_rules("prod"),
    *_reduction_rules("max"),
    *_reduction_rules("min"),
    *_reduction_rules("any"),
    *_reduction_rules("all"),
    Rule(
        "sum of a broadcast",
        lambda x, shape, axis, keepdims: np.sum(np.broadcast_to(x, shape), axis=axis, keepdims=keepdims),
        _sum_of_broadcast,
        when=real,
        example={"x": np.arange(3.0), "shape": (4, 3), "axis": (0, 1), "keepdims": False},
    ),
    Rule(
        "max of a broadcast",
        lambda x, shape, axis, keepdims: np.max(np.broadcast_to(x, shape), axis=axis, keepdims=keepdims),
        _extremum_of_broadcast,
        example={"x": np.arange(3.0), "shape": (4, 3), "axis": (0,), "keepdims": False},
    ),
    Rule(
        "min of a broadcast",
        lambda x, shape, axis, keepdims: np.min(np.broadcast_to(x, shape), axis=axis, keepdims=keepdims),
        _extremum_of_broadcast,
        example={"x": np.arange(3.0), "shape": (4, 3), "axis": (0,), "keepdims": False},
    ),
)

CANONICAL: tuple[AnyRule, ...] = (*FOLDING, *IDENTITIES, *CASTS, *VIEWS, *REDUCTIONS)
"""Every rule of this page, in the order in which they are tried."""
