"""Cheaper forms: signs and constants collected, sums taken before products, transposes absorbed, sums as dots.

Results may differ from the user's formula in the last bits, as with any reordered sum, and in the sign of a sum that
is zero. Constant factors leave a sum, which therefore overflows where the sum of the unscaled terms does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracer.graph.node import INPUT, Node
from tracer.graph.rules import grid_along, lift, literal
from tracer.rewrite.canonical import FINITE, X, floating, inexact, integral, real
from tracer.rewrite.rule import AnyRule, Rule, op
from tracer.types import broadcast_shapes, reduced_shape

_unslice: Any = op("unslice")
_slice_add: Any = op("slice_add")
_scatter_add: Any = op("scatter_add")
_broadcast_to: Any = op("broadcast_to")
_matmul: Any = op("matmul")
_argsort: Any = op("argsort")

_FEWEST_POINTS = 256
"""A smaller product is cheaper inside a fused loop than as a call of the library."""

A = np.arange(6.0).reshape(2, 3) - 2.5
B = np.arange(12.0).reshape(3, 4) / 7
SCATTERED = {
    "a": np.arange(5.0),
    "b": FINITE[:3],
    "c": np.float64(0),
    "shape": (5,),
    "i": np.array([1, 1, 4]),
}


# --- conditions --------------------------------------------------------------------------------------------------


def _plain(*numbers: Any) -> bool:
    """Whether constants and what they combine to are ordinary numbers: finite, neither zero nor subnormal."""
    for number in numbers:
        dtype = np.asarray(number).dtype
        if dtype.kind != "f" or not np.isfinite(number) or abs(number) < np.finfo(dtype).tiny:
            return False
    return True


def _product_is_plain(first: Any, second: Any) -> bool:
    with np.errstate(all="ignore"):
        return _plain(first, second) and _plain(first * second)


def _ratio_is_plain(first: Any, second: Any) -> bool:
    with np.errstate(all="ignore"):
        return _plain(first, second) and _plain(first / second)


def _starts_at_zero(a: Node, c: Any, shape: tuple[int, ...]) -> bool:
    """Whether what is scattered into an array of zeros may be scattered into a value itself."""
    return bool(c == 0) and a.shape == shape and floating(a)


def _swaps_last_two(axes: tuple[int, ...]) -> bool:
    ndim = len(axes)
    return ndim >= 2 and axes == (*range(ndim - 2), ndim - 1, ndim - 2)


def _is_materialised(x: Node) -> bool:
    """Whether a value lies in memory anyway, so that a library product can read it."""
    while x.op.family == "view" and x.op.name != "broadcast_to":
        x = x.inputs[0]
    return x.op is INPUT or x.op.family in ("matmul", "gather", "scatter")


# --- contractions ------------------------------------------------------------------------------------------------


def _axis_roles(x: Any, y: Any, axis: tuple[int, ...]) -> list[str]:
    """What each axis of a product is to a matrix product of its factors.

    "k": summed, "b": in both and kept, "m" or "n": in only one and kept, "x" or "y": summed in only one, "1": size 1.
    """
    ndim = max(x.ndim, y.ndim)
    left, right = ((1,) * (ndim - item.ndim) + tuple(item.shape) for item in (x, y))
    roles = []
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        summed = place in axis
        if one == other:
            roles.append("1" if one == 1 else "k" if summed else "b")
        elif other == 1:
            roles.append("x" if summed else "m")
        else:
            roles.append("y" if summed else "n")
    return roles


def _is_contraction(x: Node, y: Node, axis: tuple[int, ...]) -> bool:
    """Whether sum(x * y) is an outer product summed over a shared axis, or the dot of two values in memory."""
    if not inexact(x) or x.dtype != y.dtype or None in x.shape or None in y.shape:
        return False
    if math.prod(broadcast_shapes(x.shape, y.shape)) < _FEWEST_POINTS:  # type: ignore[arg-type]
        return False
    roles = _axis_roles(x.type, y.type, axis)
    if "k" not in roles or "x" in roles or "y" in roles:
        return False
    if "m" in roles and "n" in roles:
        return True
    return "b" not in roles and _is_materialised(x) and _is_materialised(y)


def contract(x: Any, y: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Sum of a broadcast product over axes, as one matrix product: (batch, m, k) @ (batch, k, n)."""
    roles = _axis_roles(x, y, axis)
    ndim = len(roles)
    x, y = (np.reshape(item, (1,) * (ndim - item.ndim) + tuple(item.shape)) for item in (x, y))
    whole = tuple(max(one, other) for one, other in zip(x.shape, y.shape, strict=True))
    places = {role: [place for place in range(ndim) if roles[place] == role] for role in "bmnk1"}
    sizes = {role: tuple(whole[place] for place in places[role]) for role in "bmnk"}

    def arranged(value: Any, order: str) -> Any:
        axes = [place for role in order for place in places[role]]
        rest = [place for place in range(ndim) if place not in axes]
        moved = np.transpose(value, (*axes, *rest))
        flat = [math.prod(sizes[role]) for role in order[1:]]
        return np.reshape(moved, (*sizes["b"], *flat))

    product = _matmul(arranged(x, "bmk"), arranged(y, "bkn"))
    kept = [place for role in "bmn" for place in places[role]]
    product = np.reshape(product, tuple(whole[place] for place in kept))
    order = sorted(range(len(kept)), key=lambda position: kept[position])
    return np.reshape(np.transpose(product, order), reduced_shape(whole, axis, keepdims))


def _is_one_product(x: Node, y: Node, axis: tuple[int, ...]) -> bool:
    """Whether sum(x @ y) over axes of the batch is one product along these and k, for which little must be copied."""
    batch = x.type.ndim - 2
    if not inexact(x) or x.type.ndim != y.type.ndim or not axis or max(axis) >= batch:
        return False
    if None in x.shape or None in y.shape or any(x.shape[place] != y.shape[place] for place in axis):
        return False
    (m, k), n = x.type.known_shape[-2:], y.type.known_shape[-1]
    # A matrix that was transposed lies as the product wants it, and y mostly does.
    is_turned = x.op.name == "transpose" and _swaps_last_two(x.params["axes"])
    return math.prod(y.type.known_shape) > 0 and (is_turned or k * (m + n) <= 4 * m * n)


def sum_of_products(x: Any, y: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Sum of matrix products over axes of their batch, as products with these axes before k: (..., m, axis + k)."""
    kept = [place for place in range(x.ndim - 2) if place not in axis]
    m, k, n = x.ndim - 2, x.ndim - 1, y.ndim - 1
    left, right = np.transpose(x, (*kept, m, *axis, k)), np.transpose(y, (*kept, *axis, m, n))
    depth = math.prod(x.shape[place] for place in (*axis, k))
    rows, columns = left.shape[: len(kept) + 1], right.shape[: len(kept)]
    product = _matmul(np.reshape(left, (*rows, depth)), np.reshape(right, (*columns, depth, y.shape[n])))
    whole = (*broadcast_shapes(x.shape[:m], y.shape[:m]), x.shape[m], y.shape[n])
    return np.reshape(product, reduced_shape(whole, axis, keepdims))


# --- the lists ---------------------------------------------------------------------------------------------------

SIGNS: tuple[AnyRule, ...] = (
    Rule("a + (-b)", lambda a, b: a + -b, lambda a, b: a - b, example={"a": X, "b": X[::-1]}),
    Rule("a - (-b)", lambda a, b: a - -b, lambda a, b: a + b, example={"a": X, "b": X[::-1]}),
    Rule(
        "(-a) * (-b)",
        lambda a, b: -a * -b,
        lambda a, b: a * b,
        when=lambda a: real(a),
        example={"a": X, "b": X[::-1]},
    ),
    Rule(
        "(-a) / (-b)",
        lambda a, b: -a / -b,
        lambda a, b: a / b,
        when=lambda a: floating(a),
        example={"a": X, "b": X[::-1]},
    ),
    Rule(
        "(-x) * constant",
        lambda x, c: -x * c,
        lambda x, c: x * -c,
        when=lambda c: c.dtype.kind in "f",
        example={"x": X, "c": np.float64(3.0)},
    ),
    Rule(
        "-(x * constant)",
        lambda x, c: -(x * c),
        lambda x, c: x * -c,
        when=lambda c: c.dtype.kind in "f",
        example={"x": X, "c": np.float64(3.0)},
    ),
    Rule(
        "(-x) / constant",
        lambda x, c: -x / c,
        lambda x, c: x / -c,
        when=lambda c: c.dtype.kind in "f",
        example={"x": X, "c": np.float64(3.0)},
    ),
    Rule(
        "-(x / constant)",
        lambda x, c: -(x / c),
        lambda x, c: x / -c,
        when=lambda c: c.dtype.kind in "f",
        example={"x": X, "c": np.float64(3.0)},
    ),
    Rule(
        "(-a) * b",
        lambda a, b: -a * b,
        lambda a, b: -(a * b),
        when=lambda a: real(a),
        example={"a": X, "b": X[::-1]},
    ),
    Rule(
        "(-a) / b",
        lambda a, b: -a / b,
        lambda a, b: -(a / b),
        when=lambda a: floating(a),
        example={"a": X, "b": X[::-1]},
    ),
    Rule(
        "a / (-b)",
        lambda a, b: a / -b,
        lambda a, b: -(a / b),
        when=lambda a: floating(a),
        example={"a": X, "b": X[::-1]},
    ),
    Rule(
        "-(a - b), integers",
        lambda a, b: -(a - b),
        lambda a, b: b - a,
        when=lambda a: integral(a),
        example={"a": np.arange(3), "b": np.arange(3)[::-1]},
    ),
    Rule(
        "sum(-x)",
        lambda x, axis, keepdims: np.sum(-x, axis=axis, keepdims=keepdims),
        lambda x, axis, keepdims: -np.sum(x, axis=axis, keepdims=keepdims),
        example={"x": A, "axis": (1,), "keepdims": False},
    ),
)

CONSTANTS: tuple[AnyRule, ...] = (
    Rule(
        "(x * c) * d",
        lambda x, c, c2: (x * c) * c2,
        lambda x, c, c2: x * (c * c2),
        when=lambda c, c2: _product_is_plain(c, c2),
        example={"x": FINITE, "c": np.float64(3.0), "c2": np.float64(0.1)},
    ),
    Rule(
        "(x * c) / d",
        lambda x, c, c2: (x * c) / c2,
        lambda x, c, c2: x * (c / c2),
        when=lambda c, c2: _ratio_is_plain(c, c2),
        example={"x": FINITE, "c": np.float64(3.0), "c2": np.float64(7.0)},
    ),
    Rule(
        "(x / c) * d",
        lambda x, c, c2: (x / c) * c2,
        lambda x, c, c2: x * (c2 / c),
        when=lambda c, c2: _ratio_is_plain(c2, c),
        example={"x": FINITE, "c": np.float64(3.0), "c2": np.float64(7.0)},
    ),
    Rule(
        "(x / c) / d",
        lambda x, c, c2: (x / c) / c2,
        lambda x, c, c2: x / (c * c2),
        when=lambda c, c2: _product_is_plain(c, c2),
        example={"x": FINITE, "c": np.float64(3.0), "c2": np.float64(7.0)},
    ),
    Rule(
        "(x + c) + d, integers",
        lambda x, c, c2: (x + c) + c2,
        lambda x, c, c2: x + (c + c2),
        when=lambda x: integral(x),
        example={"x": np.arange(3), "c": np.int64(3), "c2": np.int64(4)},
    ),
    Rule("x + x", lambda x: x + x, lambda x: x * 2, when=floating, example={"x": X}),
    Rule(
        "sum of a constant multiple",
        lambda x, c, axis, keepdims: np.sum(x * c, axis=axis, keepdims=keepdims),
        lambda x, c, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims) * c,
        when=lambda x, c: _plain(c) and x.shape != (),
        example={"x": A, "c": np.float64(3.0), "axis": (1,), "keepdims": False},
    ),
    Rule(
        "sum of a quotient by a constant",
        lambda x, c, axis, keepdims: np.sum(x / c, axis=axis, keepdims=keepdims),
        lambda x, c, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims) / c,
        when=lambda x, c: _plain(c) and x.shape != (),
        example={"x": A, "c": np.float64(3.0), "axis": (1,), "keepdims": False},
    ),
)

PARTS: tuple[AnyRule, ...] = (
    Rule(
        "add of unslice",
        lambda a, b, shape, index: a + _unslice(b, shape=shape, index=index),
        lambda a, b, index: _slice_add(a, b, index=index),
        when=lambda a, shape: a.shape == shape,
        example={"a": np.arange(5.0), "b": FINITE[:3], "shape": (5,), "index": ((1, 3, 1),)},
    ),
    Rule(
        "add of scattered",
        lambda a, b, c, shape, i: a + _scatter_add(_broadcast_to(c, shape=shape), b, i),
        lambda a, b, i: _scatter_add(a, b, i),
        when=lambda a, c, shape: c == 0 and a.shape == shape,
        example={"a": np.arange(5.0), "b": FINITE[:3], "c": np.float64(0), "shape": (5,), "i": np.array([1, 1, 4])},
    ),
    Rule(
        "subtraction of scattered",
        lambda a, b, c, shape, i: a - _scatter_add(_broadcast_to(c, shape=shape), b, i),
        lambda a, b, i: _scatter_add(a, -b, i),
        when=_starts_at_zero,
        example=SCATTERED,
    ),
    Rule(
        "add of a multiple of scattered",
        lambda a, b, c, c2, shape, i: a + _scatter_add(_broadcast_to(c, shape=shape), b, i) * c2,
        lambda a, b, c2, i: _scatter_add(a, b * c2, i),
        when=lambda a, c, shape, c2: _starts_at_zero(a, c, shape) and _plain(c2),
        example={**SCATTERED, "c2": np.float64(3.0)},
    ),
    Rule(
        "subtraction of a multiple of scattered",
        lambda a, b, c, c2, shape, i: a - _scatter_add(_broadcast_to(c, shape=shape), b, i) * c2,
        lambda a, b, c2, i: _scatter_add(a, b * -c2, i),
        when=lambda a, c, shape, c2: _starts_at_zero(a, c, shape) and _plain(c2),
        example={**SCATTERED, "c2": np.float64(3.0)},
    ),
    Rule(
        "add of scattered, two axes",
        lambda a, b, c, shape, i, j: a + _scatter_add(_broadcast_to(c, shape=shape), b, i, j),
        lambda a, b, i, j: _scatter_add(a, b, i, j),
        when=lambda a, c, shape: c == 0 and a.shape == shape,
        example={
            "a": A,
            "b": FINITE[:2],
            "c": np.float64(0),
            "shape": (2, 3),
            "i": np.array([1, 1]),
            "j": np.array([0, 0]),
        },
    ),
)

PRODUCTS: tuple[AnyRule, ...] = (
    Rule(
        "transpose of a matrix product",
        lambda x, y, axes: np.transpose(_matmul(x, y), axes),
        lambda x, y: _matmul(_last_two_swapped(y), _last_two_swapped(x)),
        when=lambda x, y, axes: _swaps_last_two(axes) and x.type.ndim == y.type.ndim == len(axes),
        example={"x": A, "y": B, "axes": (1, 0)},
    ),
    Rule(
        "sum of a product",
        lambda x, y, axis, keepdims: np.sum(x * y, axis=axis, keepdims=keepdims),
        contract,
        when=_is_contraction,
        example={
            "x": np.linspace(-1, 1, 128).reshape(8, 16, 1),
            "y": np.linspace(0, 1, 64).reshape(1, 16, 4),
            "axis": (1,),
            "keepdims": False,
        },
    ),
    Rule(
        "sum of matrix products",
        lambda x, y, axis, keepdims: np.sum(_matmul(x, y), axis=axis, keepdims=keepdims),
        sum_of_products,
        when=_is_one_product,
        example={
            "x": np.linspace(-1, 1, 24).reshape(2, 3, 4, 1),
            "y": np.linspace(0, 1, 30).reshape(2, 3, 1, 5),
            "axis": (1,),
            "keepdims": False,
        },
    ),
)


def _ranks(x: Any, axis: int, first: Any) -> Any:
    """The inverse of a permutation: each number goes to the place that it is at."""
    places = _argsort(x, axis=axis, kind=first)
    numbers = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    numbers = _broadcast_to(*lift(literal(numbers, places), places)[:1], shape=x.shape)
    return _scatter_add(np.zeros_like(places), numbers, *lift(*grid_along(places, places, axis)))


SORTS: tuple[AnyRule, ...] = (
    Rule(
        "argsort of argsort",
        lambda x, axis, first, second: _argsort(_argsort(x, axis=axis, kind=first), axis=axis, kind=second),
        _ranks,
        when=lambda x: None not in x.shape,
        example={"x": np.sin(B * 9), "axis": 1, "first": "stable", "second": None},
    ),
)


def _last_two_swapped(x: Any) -> Any:
    return np.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


ALGEBRA: tuple[AnyRule, ...] = (*SIGNS, *CONSTANTS, *PARTS, *PRODUCTS, *SORTS)
"""Every rule of this page, in the order in which they are tried."""
