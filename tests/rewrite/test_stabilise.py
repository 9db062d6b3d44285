"""Formulas as users write them: what they become, and values and gradients where the naive form fails."""

import numpy as np
import pytest
from rewrite.traced_graphs import compute, graph_of, op_names

from tracer.graph.graph import Graph
from tracer.rewrite.passes import optimise, stabilise
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp

HUGE = np.array([-1000.0, 1000.0])
LOGITS = np.array([[1000.0, 0.0, -1000.0], [-2000.0, -2001.0, -1999.0]])


def gradient(function, *values):
    """The gradient graph of a scalar cost with respect to every argument, stabilised before and after."""
    graph = graph_of(function, *values)
    cost = stabilise(graph, frozenset(graph.inputs)).outputs[0]
    parts = vjp([cost], [unwrap(1.0, cost.dtype)], list(graph.inputs))
    return optimise(Graph(graph.inputs, (cost, *parts)), verify=True)


SIGMOIDS = {
    "1 / (1 + exp(-z))": lambda z: 1 / (1 + np.exp(-z)),
    "1.0 / (np.exp(-1 * z) + 1.0)": lambda z: 1.0 / (np.exp(-1 * z) + 1.0),
    "(1 + exp(-z)) ** -1": lambda z: (1 + np.exp(-z)) ** -1,
    "reciprocal": lambda z: np.reciprocal(1 + np.exp(-z)),
    "exp(z) / (1 + exp(z))": lambda z: np.exp(z) / (1 + np.exp(z)),
    "exp(z) / (exp(z) + 1)": lambda z: np.exp(z) / (np.exp(z) + 1),
    "(1 + tanh(z / 2)) / 2": lambda z: (1 + np.tanh(z / 2)) / 2,
    "0.5 * (tanh(0.5 * z) + 1)": lambda z: 0.5 * (np.tanh(0.5 * z) + 1),
    "0.5 + 0.5 * tanh(z / 2)": lambda z: 0.5 + 0.5 * np.tanh(z / 2),
    "1 - 1 / (1 + exp(z))": lambda z: 1 - 1 / (1 + np.exp(z)),
    "exp(-log(1 + exp(-z)))": lambda z: np.exp(-np.log(1 + np.exp(-z))),
    "exp(-z - 0)": lambda z: 1 / (1 + np.exp(-z - 0.0)),
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_sigmoid_in_every_spelling(name):
    graph = graph_of(SIGMOIDS[name], HUGE)
    new = stabilise(graph)
    assert [item for item in op_names(new.outputs) if item != "negative"] == ["sigmoid"]
    np.testing.assert_allclose(compute(new, HUGE)[0], [0.0, 1.0], atol=0)


@pytest.mark.parametrize("name", SIGMOIDS)
def test_cross_entropy_of_every_spelling(name):
    def cost(z, y):
        p = SIGMOIDS[name](z)
        return np.sum(-(y * np.log(p) + (1 - y) * np.log(1 - p)))

    targets = np.array([0.0, 0.0, 1.0, 1.0])
    z = np.array([-1000.0, 1000.0, -1000.0, 1000.0])
    value, slope, _ = compute(gradient(cost, z, targets), z, targets)
    assert value == 2000.0
    np.testing.assert_allclose(slope, [0.0, 1.0, -1.0, 0.0], atol=0)


def test_cross_entropy_of_the_logistic_regression():
    def cost(w, b, x, y):
        p = 1 / (1 + np.exp(-(x @ w) - b))
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.01 * np.sum(w**2)

    rng = np.random.default_rng(0)
    x, w, b = 1000 * rng.standard_normal((6, 3)), rng.standard_normal(3), np.float64(0.5)
    y = (rng.random(6) > 0.5).astype(float)
    graph = gradient(cost, w, b, x, y)
    results = compute(graph, w, b, x, y)
    assert all(np.all(np.isfinite(item)) for item in results)
    z = x @ w + b
    p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    np.testing.assert_allclose(results[0], np.mean(np.logaddexp(0, z) - y * z) + 0.01 * np.sum(w**2), rtol=1e-12)
    np.testing.assert_allclose(results[1], x.T @ (p - y) / 6 + 0.02 * w, rtol=1e-10)
    np.testing.assert_allclose(results[2], np.mean(p - y), rtol=1e-10)


SOFTMAXES = {
    "naive": lambda x: np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True),
    "naive, reshaped": lambda x: np.exp(x) / np.sum(np.exp(x), axis=1).reshape(-1, 1),
    "shifted": lambda x: (
        np.exp(x - np.max(x, axis=1, keepdims=True))
        / np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1, keepdims=True)
    ),
    "shifted by the maximum of all": lambda x: (
        np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)), axis=1, keepdims=True)
    ),
    "columns": lambda x: (np.exp(x.T) / np.sum(np.exp(x.T), axis=0)).T,
    "exp of log": lambda x: np.exp(np.log(np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True))),
}


def _reference_softmax(x):
    shifted = np.exp(x - x.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def _reference_log_softmax(x):
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmax_in_every_spelling(name):
    new = stabilise(graph_of(SOFTMAXES[name], LOGITS))
    np.testing.assert_allclose(compute(new, LOGITS)[0], _reference_softmax(LOGITS), rtol=1e-12)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_categorical_cross_entropy_of_every_spelling(name):
    def cost(x, y):
        return -np.sum(y * np.log(SOFTMAXES[name](x)))

    y = np.array([[0.0, 0.0, 1.0], [0.25, 0.5, 0.25]])
    value, slope, _ = compute(gradient(cost, LOGITS, y), LOGITS, y)
    np.testing.assert_allclose(value, -np.sum(y * _reference_log_softmax(LOGITS)), rtol=1e-12)
    np.testing.assert_allclose(slope, _reference_softmax(LOGITS) - y, atol=1e-12)


def test_no_derivative_flows_through_the_shift():
    graph = gradient(lambda x: np.log(np.sum(np.exp(x))), LOGITS[1])
    names = op_names(graph.outputs)
    assert "equal" not in names and names.count("max") == 1
    np.testing.assert_allclose(compute(graph, LOGITS[1])[1], _reference_softmax(LOGITS[1:])[0], rtol=1e-12)


LOG_SUM_EXPS = {
    "naive": lambda x: np.log(np.sum(np.exp(x), axis=1)),
    "naive, keepdims": lambda x: np.log(np.sum(np.exp(x), axis=1, keepdims=True))[:, 0],
    "shifted": lambda x: np.log(np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1)) + np.max(x, axis=1),
}


@pytest.mark.parametrize("name", LOG_SUM_EXPS)
def test_log_sum_exp_with_infinities(name):
    inf = np.inf
    x = np.array([[1000.0, 1000.0], [-2000.0, -2000.0], [-inf, -inf], [-inf, 3.0], [inf, 1.0], [np.nan, 1.0]])
    new = stabilise(graph_of(LOG_SUM_EXPS[name], x))
    expected = [1000 + np.log(2), -2000 + np.log(2), -inf, 3.0, inf, np.nan]
    np.testing.assert_allclose(compute(new, x)[0], expected, rtol=1e-15)
    assert stabilise(new) == new


FORMULAS = {
    # name: (formula, ops that are left, point, value, derivative)
    "log(1 + x)": (lambda x: np.log(1 + x), "log1p", 1e-20, 1e-20, 1.0),
    "log(x + 1)": (lambda x: np.log(x + 1.0), "log1p", 1e-20, 1e-20, 1.0),
    "log(1 - x)": (lambda x: np.log(1 - x), "negative log1p", 1e-20, -1e-20, -1.0),
    "exp(x) - 1": (lambda x: np.exp(x) - 1, "expm1", 1e-20, 1e-20, 1.0),
    "log(1 + exp(x))": (lambda x: np.log(1 + np.exp(x)), "softplus", 1000.0, 1000.0, 1.0),
    "log1p(exp(x))": (lambda x: np.log1p(np.exp(x)), "softplus", 1000.0, 1000.0, 1.0),
    "logaddexp(0, x)": (lambda x: np.logaddexp(0, x), "softplus", 1000.0, 1000.0, 1.0),
    "logaddexp(x, 0)": (lambda x: np.logaddexp(x, 0.0), "softplus", -1000.0, 0.0, 0.0),
    "log(sigmoid)": (
        lambda x: np.log(1 / (1 + np.exp(-x))),
        "negative softplus negative",
        -1000.0,
        -1000.0,
        1.0,
    ),
    "log(1 - sigmoid)": (
        lambda x: np.log(1 - 1 / (1 + np.exp(-x))),
        "softplus negative",
        1000.0,
        -1000.0,
        -1.0,
    ),
    "log1p(-sigmoid)": (lambda x: np.log1p(-1 / (1 + np.exp(-x))), "softplus negative", 1000.0, -1000.0, -1.0),
    "swish": (lambda x: x / (1 + np.exp(-x)), "sigmoid multiply", -1000.0, 0.0, 0.0),
    "tanh": (
        lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
        "tanh",
        1000.0,
        1.0,
        0.0,
    ),
    "tanh of 2x": (lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1), "multiply multiply tanh", 1000.0, 1.0, 0.0),
    "log(exp(x))": (lambda x: np.log(np.exp(x)), "", 1000.0, 1000.0, 1.0),
    "x / sqrt(x)": (lambda x: x / np.sqrt(x), "sqrt", 4.0, 2.0, 0.25),
    "sqrt(x ** 2)": (lambda x: np.sqrt(x**2), "absolute", 0.0, 0.0, 0.0),
    "abs(x) ** 2": (lambda x: np.abs(x) ** 2, "square", -3.0, 9.0, -6.0),
    "log(x ** 2)": (lambda x: np.log(x**2), "absolute log multiply", 1e-200, 2 * np.log(1e-200), 2e200),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formula(name, dtype):
    formula, left, point, value, slope = FORMULAS[name]
    if dtype == "float32" and 0 < abs(point) < 1e-30:
        pytest.skip("the point is beyond single precision")
    x = np.array([point], dtype)
    graph = stabilise(graph_of(formula, x))
    assert sorted(op_names(graph.outputs)) == sorted(left.split())
    results = compute(gradient(lambda x: np.sum(formula(x)), x), x)
    assert all(item.dtype == dtype for item in results)
    tolerance = 1e-12 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(results[0], value, rtol=tolerance, atol=1e-40)
    np.testing.assert_allclose(results[1], [slope], rtol=tolerance, atol=1e-40)


UNTOUCHED = {
    "x * 0": lambda x: x * 0,
    "x - x": lambda x: x - x,
    "x / x": lambda x: x / x,
    "x + 0": lambda x: x + 0.0,
    "0 - x": lambda x: 0.0 - x,
    "sqrt(x) * sqrt(y)": lambda x: np.sqrt(x) * np.sqrt(x + 1.0),
    "exp(log(x))": lambda x: np.exp(np.log(x)),
    "sqrt(sum(x ** 2))": lambda x: np.sqrt(np.sum(np.square(x))),
    "log(2 + x)": lambda x: np.log(2 + x),
    "1 / (2 + exp(x))": lambda x: 1 / (2 + np.exp(x)),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_stays(name):
    graph = graph_of(UNTOUCHED[name], HUGE)
    assert stabilise(graph) == graph
    x = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])
    graph = graph_of(UNTOUCHED[name], x)
    before, after = compute(graph, x)[0], compute(optimise(graph, verify=True), x)[0]
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(np.signbit(before[~np.isnan(before)]), np.signbit(after[~np.isnan(after)]))


def test_softmax_along_the_wrong_axis_is_no_softmax():
    x = np.arange(9.0).reshape(3, 3)
    graph = graph_of(lambda x: np.exp(x) / np.sum(np.exp(x), axis=1), x)
    np.testing.assert_allclose(compute(stabilise(graph), x)[0], compute(graph, x)[0], rtol=1e-14)


def test_log_of_picked_probabilities():
    def cost(x, i):
        p = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
        return -np.sum(np.log(p[np.arange(2), i]))

    i = np.array([2, 1])
    graph = graph_of(cost, LOGITS, i)
    value = compute(stabilise(graph), LOGITS, i)[0]
    np.testing.assert_allclose(value, -_reference_log_softmax(LOGITS)[[0, 1], i].sum(), rtol=1e-14)


def test_frozen_values_keep_their_gradient():
    graph = graph_of(lambda z: (p := 1 / (1 + np.exp(-z)), np.sum(np.log(p))), HUGE / 1000)
    probability, cost = graph.outputs
    stable = stabilise(Graph(graph.inputs, (cost,)), frozenset({probability})).outputs[0]
    (slope,) = vjp([stable], [unwrap(1.0)], [probability])
    p = 1 / (1 + np.exp(-HUGE / 1000))
    result = compute(Graph(graph.inputs, (slope,)), HUGE / 1000)[0]
    np.testing.assert_allclose(result, 1 / p, rtol=1e-14)
    assert wrap(slope).shape == (2,)
