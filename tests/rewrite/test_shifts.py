"""Maxima that are subtracted from the arguments of exponentials: no derivative flows through those that cancel."""

import numpy as np
import pytest

import tracer

LOGITS = np.array([[0.5, -1.0, 2.0, 2.0], [3.0, 0.0, 1.0, -4.0], [1.0, 1.0, 1.0, 1.0]])
OTHERS = np.array([[7.0, 7.0, -3.0, 0.25], [0.0, 0.0, 0.0, 0.0], [-1.0, 2.0, 2.5, 2.5]])
LABELS = np.array([2, 0, 3])
ROWS = np.arange(3)


def shifted(x, axis=1):
    return x - np.max(x, axis=axis, keepdims=True)


def negative_log_likelihood(x, labels):
    z = shifted(x)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(x.shape[0]), labels])


def means_apart(x, labels):
    z = shifted(x)
    picked = np.take_along_axis(z, labels[:, None], axis=1)
    return np.mean(np.log(np.sum(np.exp(z), axis=1))) - np.mean(picked)


def ratio_of_products(x, labels):
    weights = np.exp(shifted(x))
    return np.sum((weights @ np.sin(x.T)) / np.sum(weights, axis=-1)[:, None])


def masked(x, labels):
    weights = np.where(np.arange(4) < 3, np.exp(2.0 * shifted(x)), 0)
    return np.sum(np.square(weights) / np.sum(weights**2, axis=1, keepdims=True) * x)


def by_columns(x, labels):
    z = shifted(x.T, axis=0)
    return np.sum(np.log(np.sum(np.exp(z), axis=0)) - z[labels[0]])


def shifted_by_the_minimum(x, labels):
    z = np.exp(-(x - np.min(x, axis=1, keepdims=True)) / 2.0)
    return np.sum(np.cos(x) * z / np.sum(z, axis=1, keepdims=True))


def in_a_loop(x, labels):
    return np.sum(tracer.scan(lambda total, row: (total + means_apart(row, labels), None), 0.0, x)[0])


CANCELS = (negative_log_likelihood, means_apart, ratio_of_products, masked, by_columns, shifted_by_the_minimum)


def sum_of_weights(x, labels):
    return np.sum(np.exp(shifted(x)))


def rows_out_of_order(x, labels):
    z = shifted(x)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) * x[:, 0] - z[ROWS[::-1], labels] * x[:, 0])


def rows_that_may_change(x, labels):
    z = shifted(x)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) * x[:, 0] - z[ROWS, labels] * x[:, 0])


def with_the_maximum(x, labels):
    return negative_log_likelihood(x, labels) + np.sum(np.max(x, axis=1) ** 2)


def wrong_axis(x, labels):
    z = shifted(x)
    return np.sum(np.log(np.sum(np.exp(z), axis=0)) - z[0])


def dense_targets(x, labels):
    z = shifted(x)
    return np.sum(np.log(np.sum(np.exp(z), axis=1)) - np.sum(np.sin(x) * z, axis=1))


def twice(x, labels):
    z = shifted(x)
    return np.sum(np.log(np.sum(np.exp(2.0 * z), axis=1)) - z[:, 0])


STAYS = (sum_of_weights, rows_out_of_order, rows_that_may_change, with_the_maximum, wrong_axis, dense_targets, twice)


def masks(function, *args):
    """How many comparisons with a maximum the compiled program makes."""
    return sum(node.op.name == "equal" for node in function.plan(*args).traced.graph.nodes())


def differences(function, x, step=1e-6):
    slopes = np.empty_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        slopes[place] = (function(x + moved, LABELS) - function(x - moved, LABELS)) / (2 * step)
    return slopes


@pytest.mark.parametrize("function", CANCELS)
def test_no_derivative_flows_through_a_maximum_that_cancels(function):
    gradient = tracer.compile(tracer.grad(function))
    assert masks(gradient, LOGITS, LABELS) == 0
    for x in (LOGITS, OTHERS):
        np.testing.assert_allclose(gradient(x, LABELS), differences(function, x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("function", STAYS)
def test_a_maximum_that_counts_keeps_its_derivative(function):
    gradient = tracer.compile(tracer.grad(function))
    assert masks(gradient, LOGITS, LABELS) > 0
    x = OTHERS + np.linspace(0.0, 1.0, 12).reshape(3, 4)  # no ties: differences are of no use there
    np.testing.assert_allclose(gradient(x, LABELS), differences(function, x), rtol=1e-5, atol=1e-7)


def test_rows_that_change_between_calls():
    rows = np.arange(3)

    def function(x):
        z = shifted(x)
        return np.sum((np.log(np.sum(np.exp(z), axis=1)) - z[rows, LABELS]) ** 2)

    gradient, x = tracer.compile(tracer.grad(function)), OTHERS + np.linspace(0.0, 1.0, 12).reshape(3, 4)
    gradient(x)
    rows[:] = [1, 2, 0]
    np.testing.assert_allclose(gradient(x), differences(lambda x, _: function(x), x), rtol=1e-5, atol=1e-7)


def test_in_the_body_of_a_loop():
    stack, labels = np.stack([LOGITS, OTHERS]), LABELS
    gradient = tracer.compile(tracer.grad(in_a_loop))
    bodies = [node.params["body"] for node in gradient.plan(stack, labels).graph.nodes() if "body" in node.params]
    assert bodies
    assert not any(node.op.name == "equal" for body in bodies for node in body.nodes())
    expected = [differences(means_apart, x) for x in stack]
    np.testing.assert_allclose(gradient(stack, labels), expected, rtol=1e-6, atol=1e-8)


def test_forward_mode_and_second_derivatives():
    x, v = OTHERS, np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    slope = differences(negative_log_likelihood, x)
    _, tangent = tracer.compile(lambda x: tracer.jvp(lambda x: negative_log_likelihood(x, LABELS), (x,), (v,)))(x)
    np.testing.assert_allclose(tangent, np.sum(slope * v), rtol=1e-6)
    p = np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True))
    expected = p * (v - np.sum(p * v, axis=1, keepdims=True)) / 3
    first = tracer.grad(negative_log_likelihood)
    product = tracer.compile(tracer.grad(lambda x: np.sum(first(x, LABELS) * v)))
    assert masks(product, x) == 0
    np.testing.assert_allclose(product(x), expected, atol=1e-12)


def test_rows_that_are_not_finite():
    function = tracer.compile(tracer.value_and_grad(lambda x: negative_log_likelihood(x, LABELS[:1])))
    value, slope = function(np.array([[0.5, -np.inf, 2.0, 2.0]]))
    weights = np.exp([0.5, -np.inf, 2.0, 2.0]) / np.sum(np.exp([0.5, 2.0, 2.0]))
    np.testing.assert_allclose(value, -np.log(weights[2]))
    np.testing.assert_allclose(slope, [weights - [0, 0, 1, 0]], atol=1e-15)
    for row in ([0.5, np.inf, 2.0, 2.0], [-np.inf] * 4, [0.5, np.nan, 2.0, 2.0]):
        value, slope = function(np.array([row]))
        assert np.isnan(value)
        assert np.isnan(slope).all()
