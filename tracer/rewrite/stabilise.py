"""Formulas that overflow or cancel, replaced by the ones that do not.

They run before differentiation, so that the derivative is that of the stable formula, and again after it. Each gives
the same answer wherever the user's formula has one, and a better one where that overflows, cancels or gives NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.rewrite.canonical import FINITE, POSITIVE, floating
from tracer.rewrite.rule import AnyRule, Rule, op

_sigmoid: Any = op("sigmoid")
_softplus: Any = op("softplus")
_gather: Any = op("gather")
_slice: Any = op("slice")

HUGE = np.array([-1000.0, 1000.0])
TINY = np.array([-1e-18, 1e-18])
ROWS = np.array([[0.5, -1.0, 2.0], [3.0, 0.0, 1.0]])
HUGE_ROWS = np.array([[1000.0, 0.0, -1000.0]])


# --- the shift of a log-sum-exp --------------------------------------------------------------------------------------


def _shift(x: Any, axis: tuple[int, ...]) -> Any:
    """A number near the maximum, finite always. Rounded, so that no derivative flows through it: none is needed."""
    near = np.floor(np.max(x, axis=axis, keepdims=True))
    return np.where(np.isfinite(near), near, 0)


def _is_shifted(x: Node, axis: tuple[int, ...]) -> bool:
    """Whether a value already is `y - max(y)` along these axes, in the user's way or in that of `_shift`."""
    if x.op.name != "subtract":
        return False
    value, seen = x.inputs[0], [x.inputs[1]]
    for _ in range(5):
        for node in seen:
            if node.op.name == "max" and node.inputs[0] is value and node.params["axes"] == axis:
                return True
        seen = [item for node in seen for item in node.inputs if item is not value]
    return False


def _is_aligned(x: Node, axis: tuple[int, ...], keepdims: bool) -> bool:
    """Whether a reduction of `x` broadcasts against `x` along the axes that were reduced."""
    return keepdims or axis == tuple(range(len(axis)))


def _is_naive(x: Node, axis: tuple[int, ...]) -> bool:
    return floating(x) and axis != () and all(x.shape[item] != 0 for item in axis) and not _is_shifted(x, axis)


def log_sum_exp(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Logarithm of a sum of exponentials without overflow; -inf where all of them are zero."""
    shift = _shift(x, axis)
    total = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return total if keepdims else np.sum(total, axis=axis)


def softmax(x: Any, axis: tuple[int, ...]) -> Any:
    """Exponentials that add up to one, without overflow."""
    shifted = np.exp(x - _shift(x, axis))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


def _max_shifted_softmax(x: Any, axis: Any, first: Any, second: Any) -> Any:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=first))
    return shifted / np.sum(shifted, axis=axis, keepdims=second)


def _max_shifted_log_sum_exp(x: Any, axis: Any, first: Any, keepdims: Any) -> Any:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=first))
    return np.log(np.sum(shifted, axis=axis, keepdims=keepdims)) + np.max(x, axis=axis, keepdims=keepdims)


# --- the lists ---------------------------------------------------------------------------------------------------

LOGARITHMS: tuple[AnyRule, ...] = (
    Rule(
        "softplus of log(1 + exp(x))",
        lambda x: np.log(1 + np.exp(x)),
        lambda x: _softplus(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([0.0, 1000.0])),
    ),
    Rule(
        "log1p",
        lambda x: np.log(1 + x),
        lambda x: np.log1p(x),
        when=floating,
        example={"x": POSITIVE},
        extreme=({"x": TINY}, TINY),
    ),
    Rule(
        "log1p of -x",
        lambda x: np.log(1 - x),
        lambda x: np.log1p(-x),
        when=lambda x: floating(x) and x.op.name not in ("sigmoid", "exp"),
        example={"x": np.array([-3.0, 0.0, 0.5])},
        extreme=({"x": TINY}, -TINY),
    ),
    Rule(
        "expm1",
        lambda x: np.exp(x) - 1,
        lambda x: np.expm1(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": TINY}, TINY),
    ),
    Rule(
        "expm1, negative",
        lambda x: 1 - np.exp(x),
        lambda x: -np.expm1(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": TINY}, -TINY),
    ),
    Rule(
        "expm1, with -1 added",
        lambda x: np.exp(x) + -1,
        lambda x: np.expm1(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": TINY}, TINY),
    ),
    Rule(
        "log of exp",
        lambda x: np.log(np.exp(x)),
        lambda x: x,
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, HUGE),
    ),
    Rule(
        "log1p of expm1",
        lambda x: np.log1p(np.expm1(x)),
        lambda x: x,
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, HUGE),
    ),
    Rule(
        "log of exp over z",
        lambda x, z: np.log(np.exp(x) / z),
        lambda x, z: x - np.log(z),
        when=floating,
        example={"x": FINITE, "z": np.float64(3.0)},
        extreme=({"x": HUGE, "z": np.float64(1.0)}, HUGE),
    ),
    Rule(
        "log of exp times z",
        lambda x, z: np.log(np.exp(x) * z),
        lambda x, z: x + np.log(z),
        when=floating,
        example={"x": FINITE, "z": np.float64(3.0)},
        extreme=({"x": HUGE, "z": np.float64(1.0)}, HUGE),
    ),
    Rule(
        "log of square",
        lambda x: np.log(np.square(x)),
        lambda x: 2 * np.log(np.abs(x)),
        when=floating,
        example={"x": np.array([-3.0, 0.0, 2.0, np.inf])},
        extreme=({"x": np.array([1e-200, 1e200])}, 2 * np.log([1e-200, 1e200])),
    ),
    Rule(
        "log of sqrt", lambda x: np.log(np.sqrt(x)), lambda x: 0.5 * np.log(x), when=floating, example={"x": POSITIVE}
    ),
    Rule(
        "logaddexp",
        lambda x, y: np.log(np.exp(x) + np.exp(y)),
        lambda x, y: np.logaddexp(x, y),
        when=floating,
        example={"x": FINITE, "y": FINITE[::-1]},
        extreme=({"x": HUGE, "y": HUGE - 1}, HUGE + np.log1p(np.exp(-1))),
    ),
)

SIGMOIDS: tuple[AnyRule, ...] = (
    Rule(
        "tanh of (e^x - e^-x) / (e^x + e^-x)",
        lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
        lambda x: np.tanh(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([-1.0, 1.0])),
    ),
    Rule(
        "tanh of expm1(x) / (1 + exp(x))",
        lambda x: np.expm1(x) / (1 + np.exp(x)),
        lambda x: np.tanh(x / 2),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([-1.0, 1.0])),
    ),
    Rule(
        "tanh of -expm1(x) / (1 + exp(x))",
        lambda x: -np.expm1(x) / (1 + np.exp(x)),
        lambda x: np.tanh(-x / 2),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([1.0, -1.0])),
    ),
    Rule(
        "sigmoid of exp(x) / (1 + exp(x))",
        lambda x: np.exp(x) / (1 + np.exp(x)),
        lambda x: _sigmoid(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([0.0, 1.0])),
    ),
    Rule(
        "sigmoid of 1 / (1 + exp(x))",
        lambda x: 1 / (1 + np.exp(x)),
        lambda x: _sigmoid(-x),
        when=floating,
        example={"x": FINITE},
    ),
    Rule(
        "sigmoid of reciprocal(1 + exp(x))",
        lambda x: np.reciprocal(1 + np.exp(x)),
        lambda x: _sigmoid(-x),
        when=floating,
        example={"x": FINITE},
    ),
    Rule(
        "a / (1 + exp(x))",
        lambda a, x: a / (1 + np.exp(x)),
        lambda a, x: a * _sigmoid(-x),
        when=lambda x: floating(x),
        example={"a": FINITE, "x": FINITE[::-1]},
    ),
    Rule(
        "sigmoid of (1 + tanh(x / 2)) / 2",
        lambda x: (1 + np.tanh(x * 0.5)) * 0.5,
        lambda x: _sigmoid(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": np.array([-100.0])}, np.exp([-100.0])),
    ),
    Rule(
        "sigmoid of tanh(x / 2) / 2 + 1/2",
        lambda x: np.tanh(x * 0.5) * 0.5 + 0.5,
        lambda x: _sigmoid(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": np.array([-100.0])}, np.exp([-100.0])),
    ),
    Rule(
        "1 - sigmoid",
        lambda x: 1 - _sigmoid(x),
        lambda x: _sigmoid(-x),
        example={"x": FINITE},
        extreme=({"x": np.array([100.0])}, np.exp([-100.0])),
    ),
    Rule(
        "sigmoid - 1",
        lambda x: _sigmoid(x) - 1,
        lambda x: -_sigmoid(-x),
        example={"x": FINITE},
        extreme=({"x": np.array([100.0])}, -np.exp([-100.0])),
    ),
    Rule(
        "sigmoid of a negated difference",
        lambda x, y: _sigmoid(-(x - y)),
        lambda x, y: _sigmoid(y - x),
        example={"x": FINITE, "y": FINITE[::-1]},
    ),
    Rule(
        "softplus of a negated difference",
        lambda x, y: _softplus(-(x - y)),
        lambda x, y: _softplus(y - x),
        example={"x": FINITE, "y": FINITE[::-1]},
    ),
    Rule(
        "log of sigmoid",
        lambda x: np.log(_sigmoid(x)),
        lambda x: -_softplus(-x),
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([-1000.0, 0.0])),
    ),
    Rule(
        "log1p of -sigmoid",
        lambda x: np.log1p(-_sigmoid(x)),
        lambda x: -_softplus(x),
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([0.0, -1000.0])),
    ),
    Rule(
        "log1p of exp",
        lambda x: np.log1p(np.exp(x)),
        lambda x: _softplus(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": HUGE}, np.array([0.0, 1000.0])),
    ),
    Rule(
        "logaddexp with 0",
        lambda x: np.logaddexp(0, x),
        lambda x: _softplus(x),
        when=floating,
        example={"x": FINITE},
    ),
    Rule(
        "exp of -softplus",
        lambda x: np.exp(-_softplus(x)),
        lambda x: _sigmoid(-x),
        example={"x": FINITE},
    ),
    Rule(
        "softplus(x) - x",
        lambda x: _softplus(x) - x,
        lambda x: _softplus(-x),
        example={"x": FINITE},
        extreme=({"x": np.array([100.0])}, np.exp([-100.0])),
    ),
)

SOFTMAX: tuple[AnyRule, ...] = (
    Rule(
        "log-sum-exp",
        lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
        log_sum_exp,
        when=lambda x, axis: _is_naive(x, axis),
        example={"x": ROWS, "axis": (1,), "keepdims": False},
        extreme=({"x": HUGE_ROWS, "axis": (1,), "keepdims": False}, np.array([1000.0])),
    ),
    Rule(
        "log-sum-exp shifted by its maximum",
        _max_shifted_log_sum_exp,
        lambda x, axis, keepdims: log_sum_exp(x, axis, keepdims),
        when=lambda x, axis, first: floating(x) and _is_aligned(x, axis, first),
        example={"x": ROWS, "axis": (1,), "first": True, "keepdims": False},
        extreme=({"x": np.full((1, 2), -np.inf), "axis": (1,), "first": True, "keepdims": False}, np.array([-np.inf])),
    ),
    Rule(
        "softmax",
        lambda x, axis, keepdims: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=keepdims),
        lambda x, axis: softmax(x, axis),
        when=lambda x, axis, keepdims: _is_naive(x, axis) and _is_aligned(x, axis, keepdims),
        example={"x": ROWS, "axis": (1,), "keepdims": True},
        extreme=({"x": HUGE_ROWS, "axis": (1,), "keepdims": True}, np.array([[1.0, 0.0, 0.0]])),
    ),
    Rule(
        "softmax shifted by its maximum",
        _max_shifted_softmax,
        lambda x, axis: softmax(x, axis),
        when=lambda x, axis, first, second: (
            floating(x) and _is_aligned(x, axis, first) and _is_aligned(x, axis, second)
        ),
        example={"x": ROWS, "axis": (1,), "first": True, "second": True},
    ),
    Rule(
        "log of gathered exp over z",
        lambda x, z, i: np.log(_gather(np.exp(x) / z, i)),
        lambda x, z, i: _gather(x - np.log(z), i),
        when=floating,
        example={"x": ROWS, "z": np.float64(2.0), "i": np.array([1, 0])},
        extreme=({"x": HUGE_ROWS, "z": np.float64(1.0), "i": np.array([0])}, HUGE_ROWS),
    ),
    Rule(
        "log of exp over z gathered in two axes",
        lambda x, z, i, j: np.log(_gather(np.exp(x) / z, i, j)),
        lambda x, z, i, j: _gather(x - np.log(z), i, j),
        when=floating,
        example={"x": ROWS, "z": np.float64(2.0), "i": np.array([1, 0]), "j": np.array([2, 2])},
        extreme=({"x": HUGE_ROWS, "z": np.float64(1.0), "i": np.array([0]), "j": np.array([2])}, np.array([-1000.0])),
    ),
    Rule(
        "log of transposed exp over z",
        lambda x, z, axes: np.log(np.transpose(np.exp(x) / z, axes)),
        lambda x, z, axes: np.transpose(x - np.log(z), axes),
        when=lambda x, axes: floating(x) and x.type.ndim == len(axes),
        example={"x": ROWS, "z": np.float64(2.0), "axes": (1, 0)},
        extreme=({"x": HUGE_ROWS, "z": np.float64(1.0), "axes": (1, 0)}, HUGE_ROWS.T),
    ),
    Rule(
        "log of reshaped exp over z",
        lambda x, z, shape: np.log(np.reshape(np.exp(x) / z, shape)),
        lambda x, z, shape: np.reshape(x - np.log(z), shape),
        when=floating,
        example={"x": ROWS, "z": np.float64(2.0), "shape": (6,)},
        extreme=({"x": HUGE_ROWS, "z": np.float64(1.0), "shape": (3,)}, HUGE_ROWS[0]),
    ),
    Rule(
        "log of sliced exp over z",
        lambda x, z, index: np.log(_slice(np.exp(x) / z, index=index)),
        lambda x, z, index: _slice(x - np.log(z), index=index),
        when=floating,
        example={"x": ROWS, "z": np.float64(2.0), "index": ((0, 2, 1), (1, 1, 1))},
        extreme=(
            {"x": HUGE_ROWS, "z": np.float64(1.0), "index": ((0, 1, 1), (0, 1, 1))},
            np.array([[1000.0]]),
        ),
    ),
)

POWERS: tuple[AnyRule, ...] = (
    Rule(
        "x / sqrt(x)",
        lambda x: x / np.sqrt(x),
        lambda x: np.sqrt(x),
        when=floating,
        example={"x": np.array([0.25, 2.0])},
        extreme=({"x": np.array([0.0, np.inf])}, np.array([0.0, np.inf])),
    ),
    Rule(
        "sqrt(x) / x",
        lambda x: np.sqrt(x) / x,
        lambda x: 1 / np.sqrt(x),
        when=floating,
        example={"x": np.array([0.25, 2.0])},
        extreme=({"x": np.array([np.inf])}, np.array([0.0])),
    ),
    Rule(
        "sqrt of square",
        lambda x: np.sqrt(np.square(x)),
        lambda x: np.abs(x),
        when=floating,
        example={"x": FINITE},
        extreme=({"x": np.array([-1e200, 1e200])}, np.array([1e200, 1e200])),
    ),
    Rule(
        "exp over exp",
        lambda x, y: np.exp(x) / np.exp(y),
        lambda x, y: np.exp(x - y),
        when=lambda x, y: floating(x) and floating(y),
        example={"x": FINITE, "y": FINITE[::-1]},
        extreme=({"x": np.array([1000.0]), "y": np.array([1000.0])}, np.array([1.0])),
    ),
    Rule(
        "product of exp",
        lambda x, axis, keepdims: np.prod(np.exp(x), axis=axis, keepdims=keepdims),
        lambda x, axis, keepdims: np.exp(np.sum(x, axis=axis, keepdims=keepdims)),
        when=floating,
        example={"x": ROWS, "axis": (1,), "keepdims": False},
        extreme=({"x": HUGE_ROWS, "axis": (1,), "keepdims": False}, np.array([1.0])),
    ),
)

STABILISE: tuple[AnyRule, ...] = (*SIGMOIDS, *SOFTMAX, *LOGARITHMS, *POWERS)
"""Every rule of this page, in the order in which they are tried."""
