"""Update rules as users of Theano write them, against the same rules in NumPy, in both precisions."""

from collections import OrderedDict

import numpy as np
import pytest
from scipy.optimize import fmin_l_bfgs_b

import tracer as theano
import tracer.tensor as T

STEPS = 10
rng = np.random.RandomState(3)
DATA, TARGET = rng.randn(6, 4), rng.randn(6)


@pytest.fixture(params=["float64", "float32"], autouse=True)
def precision(request):
    with theano.config.changed(floatX=request.param):
        yield request.param


def zeros_like(parameter):
    value = parameter.get_value(borrow=True)
    return theano.shared(np.zeros(value.shape, dtype=value.dtype), broadcastable=parameter.broadcastable)


# --- the rules --------------------------------------------------------------------------------------------------------


def sgd(loss, params, learning_rate=0.1):
    return OrderedDict((p, p - learning_rate * g) for p, g in zip(params, theano.grad(loss, params), strict=True))


def with_momentum(loss, params, momentum=0.9, nesterov=False):
    updates = sgd(loss, params)
    for p in params:
        velocity = zeros_like(p)
        step = momentum * velocity + updates[p] - p
        updates[velocity] = step
        updates[p] = momentum * step + updates[p] if nesterov else p + step
    return updates


def nesterov(loss, params):
    return with_momentum(loss, params, nesterov=True)


def adagrad(loss, params, learning_rate=1.0, epsilon=1e-6):
    updates = OrderedDict()
    for p, g in zip(params, T.grad(loss, params), strict=True):
        total = zeros_like(p)
        updates[total] = total + g**2
        updates[p] = p - learning_rate * g / T.sqrt(updates[total] + epsilon)
    return updates


def rmsprop(loss, params, learning_rate=0.1, rho=0.9, epsilon=1e-6):
    updates = OrderedDict()
    one = T.constant(1)
    for p, g in zip(params, T.grad(loss, params), strict=True):
        average = zeros_like(p)
        updates[average] = rho * average + (one - rho) * g**2
        updates[p] = p - learning_rate * g / T.sqrt(updates[average] + epsilon)
    return updates


def adadelta(loss, params, rho=0.95, epsilon=1e-6):
    updates = OrderedDict()
    one = T.constant(1)
    for p, g in zip(params, T.grad(loss, params), strict=True):
        average, changes = zeros_like(p), zeros_like(p)
        updates[average] = rho * average + (one - rho) * g**2
        step = g * T.sqrt(changes + epsilon) / T.sqrt(updates[average] + epsilon)
        updates[changes] = rho * changes + (one - rho) * step**2
        updates[p] = p - step
    return updates


def adam(loss, params, learning_rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8):
    updates = OrderedDict()
    before = theano.shared(np.asarray(0.0, dtype=theano.config.floatX))
    one = T.constant(1)
    t = before + 1
    rate = learning_rate * T.sqrt(one - beta2**t) / (one - beta1**t)
    for p, g in zip(params, T.grad(loss, params), strict=True):
        mean, square = zeros_like(p), zeros_like(p)
        updates[mean] = beta1 * mean + (one - beta1) * g
        updates[square] = beta2 * square + (one - beta2) * g**2
        updates[p] = p - rate * updates[mean] / (T.sqrt(updates[square]) + epsilon)
    updates[before] = t
    return updates


# --- the same in NumPy ------------------------------------------------------------------------------------------------


def numpy_gradient(w):
    return 2 * DATA.T @ (DATA @ w - TARGET) / 6


def numpy_sgd(w, g, t, state):
    return w - 0.1 * g


def numpy_momentum(w, g, t, state):
    state["v"] = 0.9 * state.get("v", 0) - 0.1 * g
    return w + state["v"]


def numpy_nesterov(w, g, t, state):
    state["v"] = 0.9 * state.get("v", 0) - 0.1 * g
    return w + 0.9 * state["v"] - 0.1 * g


def numpy_adagrad(w, g, t, state):
    state["a"] = state.get("a", 0) + g**2
    return w - g / np.sqrt(state["a"] + 1e-6)


def numpy_rmsprop(w, g, t, state):
    state["a"] = 0.9 * state.get("a", 0) + 0.1 * g**2
    return w - 0.1 * g / np.sqrt(state["a"] + 1e-6)


def numpy_adadelta(w, g, t, state):
    state["a"] = 0.95 * state.get("a", 0) + 0.05 * g**2
    step = g * np.sqrt(state.get("d", 0) + 1e-6) / np.sqrt(state["a"] + 1e-6)
    state["d"] = 0.95 * state.get("d", 0) + 0.05 * step**2
    return w - step


def numpy_adam(w, g, t, state):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    return w - 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * state["m"] / (np.sqrt(state["v"]) + 1e-8)


@pytest.mark.parametrize(
    ("rule", "reference"),
    [
        (sgd, numpy_sgd),
        (with_momentum, numpy_momentum),
        (nesterov, numpy_nesterov),
        (adagrad, numpy_adagrad),
        (rmsprop, numpy_rmsprop),
        (adadelta, numpy_adadelta),
        (adam, numpy_adam),
    ],
)
def test_the_steps_are_those_of_numpy_and_keep_the_precision(rule, reference, precision):
    w = theano.shared(np.zeros(4, precision), name="w")
    loss = T.sum((T.dot(DATA.astype(precision), w) - TARGET.astype(precision)) ** 2) / 6
    updates = rule(loss, [w])
    assert all(value.dtype == precision for value in updates.values())
    train = theano.function([], loss, updates=updates)
    expected, state = np.zeros(4), {}
    for t in range(1, STEPS + 1):
        assert train().dtype == precision
        expected = reference(expected, numpy_gradient(expected), t, state)
    tolerance = 1e-9 if precision == "float64" else 2e-3
    np.testing.assert_allclose(w.get_value(), expected, rtol=tolerance, atol=tolerance / 100)


def test_norms_are_bounded(precision):
    def bounded(tensor, most, epsilon=1e-7):
        norms = T.sqrt(T.sum(T.sqr(tensor), axis=0, keepdims=True))
        return tensor * (T.clip(norms, 0, most) / (epsilon + norms))

    w = theano.shared((rng.randn(5, 4) * 10).astype(precision))
    before = w.get_value()
    theano.function([], updates={w: bounded(w, np.sqrt(2.0))})()
    assert w.get_value().dtype == precision
    np.testing.assert_allclose(np.linalg.norm(w.get_value(), axis=0), 2**0.5, rtol=1e-5)
    np.testing.assert_allclose(w.get_value() / before, (w.get_value() / before)[[0] * 5], rtol=1e-4)


def test_gradients_are_clipped_together_or_replaced_if_not_finite(precision):
    x, w = T.vector("x"), T.vector("w")
    (gradient,) = T.grad(T.sum(T.log(x) * w**2), [w])
    norm = T.sqrt(T.sum(gradient**2))
    bad = T.or_(T.isnan(norm), T.isinf(norm))
    step = T.switch(bad, 0.1 * w, gradient * (5.0 / T.maximum(5.0, norm)))
    f = theano.function([x, w], step, allow_input_downcast=True)
    assert step.dtype == precision
    np.testing.assert_allclose(f([np.e, np.e], [1, 2]), [2, 4], rtol=1e-5)
    np.testing.assert_allclose(f([np.e, np.e], [30, 40]), [3, 4], rtol=1e-5)
    np.testing.assert_allclose(f([-1, 1], [10, 20]), [1, 2], rtol=1e-5)


def test_scipy_minimises_a_classifier_whose_parameters_are_views_of_one_vector(precision):
    images = np.random.RandomState(0).uniform(size=(100, 10)).astype(precision)
    labels = (images @ np.random.RandomState(1).randn(10, 3)).argmax(1).astype("int32")
    theta = theano.shared(np.zeros(10 * 3 + 3, dtype=precision), name="theta", borrow=True)
    x, y = T.matrix("x"), T.ivector("y")
    W, b = theta[:30].reshape((10, 3)), theta[30:]
    p = T.nnet.softmax(T.dot(x, W) + b)
    cost = -T.mean(T.log(p)[T.arange(y.shape[0]), y]) + 0.01 * T.sum(W**2)
    both = theano.function([x, y], [cost, T.grad(cost, theta)])

    def value_and_gradient(value):
        theta.set_value(value.astype(precision), borrow=True)
        value, gradient = both(images, labels)
        assert value.dtype == gradient.dtype == precision
        return float(value), gradient.astype("float64")

    found, least, _ = fmin_l_bfgs_b(value_and_gradient, np.zeros(33), maxiter=100)
    assert least < np.log(3) / 1.2
    assert np.abs(value_and_gradient(found)[1]).max() < 2e-3
    predicted = theano.function([x], p.argmax(axis=1))(images)
    assert np.mean(predicted == labels) > 0.85
