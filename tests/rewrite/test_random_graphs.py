"""Random formulas keep their values: exactly under the canonical rules, to rounding under all of them."""

import warnings

import numpy as np
import pytest
from rewrite.traced_graphs import compute, graph_of

from tracer.rewrite.canonical import CANONICAL
from tracer.rewrite.driver import rewrite
from tracer.rewrite.passes import optimise, stabilise

UNARY = [
    np.negative,
    np.exp,
    np.log,
    np.sqrt,
    np.abs,
    np.tanh,
    np.square,
    np.log1p,
    np.expm1,
    np.reciprocal,
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: x * 1,
    lambda x: x + 1,
    lambda x: 1 - x,
    lambda x: x - 1,
    lambda x: x / 4,
    lambda x: x * 3,
    lambda x: x * -1,
    lambda x: x**2,
    lambda x: x**3,
    lambda x: 0.5 * x,
    lambda x: np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True),
    lambda x: x.T,
    lambda x: x.T.T,
    lambda x: x[::-1],
    lambda x: x[:, 1:3][:, ::-1].reshape(4, 1, 2).reshape(4, 2)[:, [0, 1, 0, 1]],
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, axis=1, keepdims=True),
    lambda x: np.max(x, axis=0),
    lambda x: np.broadcast_to(np.sum(x), (4, 4)),
    lambda x: np.where(x > 0, x, -x),
]
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, lambda x, y: x - -y, lambda x, y: -x * y,
    lambda x, y: x / -y, lambda x, y: x @ y, lambda x, y: (x @ y).T,
    lambda x, y: np.sum(x[:, :, None] * y[None, :, :], axis=1), lambda x, y: np.where(x > y, x, y),
    lambda x, y: x + np.sum(x * y), lambda x, y: np.concatenate([x[:2], y[2:]]),
]  # fmt: skip


def formula(seed):
    """A random formula of two 4 x 4 matrices; every intermediate value is brought back to 4 x 4."""

    def function(x, y):
        rng = np.random.default_rng(seed)
        values = [x, y]
        for _ in range(rng.integers(2, 9)):
            pick = values[rng.integers(len(values))]
            if rng.random() < 0.6:
                value = UNARY[rng.integers(len(UNARY))](pick)
            else:
                value = BINARY[rng.integers(len(BINARY))](pick, values[rng.integers(len(values))])
            values.append(value if value.shape == (4, 4) else value + pick)
        return values[-1]

    return function


def arrays(seed, special):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 4, 4))
    if special:
        x[0] = [0.0, -0.0, np.inf, np.nan]
        y[1] = [-np.inf, 1.0, 0.0, -0.0]
    return x, y


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_canonical_rules_change_nothing(start):
    for seed in range(start, start + 100):
        values = arrays(seed, special=True)
        graph = graph_of(formula(seed), *values)
        before, after = compute(graph, *values)[0], compute(rewrite(graph, CANONICAL, strict=True), *values)[0]
        np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12, err_msg=f"seed {seed}")


@pytest.mark.parametrize("optimiser", [stabilise, lambda graph: optimise(graph, verify=True)])
@pytest.mark.parametrize("start", range(0, 400, 100))
def test_all_rules_keep_what_was_right(start, optimiser):
    for seed in range(start, start + 100):
        for special in (False, True):
            values = arrays(seed, special)
            graph = graph_of(formula(seed), *values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                before, after = compute(graph, *values)[0], compute(optimiser(graph), *values)[0]
            right = np.isfinite(before) & (np.abs(before) < 1e12)
            np.testing.assert_allclose(after[right], before[right], rtol=1e-6, atol=1e-9, err_msg=f"seed {seed}")


def test_rewriting_twice_changes_nothing_more():
    for seed in range(200):
        once = optimise(graph_of(formula(seed), *arrays(seed, False)))
        assert optimise(once) == once, f"seed {seed}"
