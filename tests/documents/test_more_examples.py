"""A tutorial's further examples: several outputs, defaults, shared variables, givens, random streams, a regression."""

import numpy
import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import Param, function, shared
from tracer.sandbox.rng_mrg import MRG_RandomStreams
from tracer.tensor.shared_randomstreams import RandomStreams

SIGMOIDS = [[0.5, 0.73105858], [0.26894142, 0.11920292]]


def is_array(value, expected, dtype):
    """Whether a value is an array of exactly these numbers and this dtype, a 0-d one included."""
    return isinstance(value, np.ndarray) and value.dtype == dtype and np.array_equal(value, expected)


def test_logistic_function():
    x = T.dmatrix("x")
    s = 1 / (1 + T.exp(-x))
    logistic = theano.function([x], s)
    np.testing.assert_allclose(logistic([[0, 1], [-1, -2]]), SIGMOIDS, rtol=1e-7)
    s2 = (1 + T.tanh(x / 2)) / 2
    logistic2 = theano.function([x], s2)
    np.testing.assert_allclose(logistic2([[0, 1], [-1, -2]]), SIGMOIDS, rtol=1e-7)


def test_several_outputs():
    a, b = T.dmatrices("a", "b")
    diff = a - b
    abs_diff = abs(diff)
    diff_squared = diff**2
    f = theano.function([a, b], [diff, abs_diff, diff_squared])
    found = f([[1, 1], [1, 1]], [[0, 1], [2, 3]])
    assert isinstance(found, list)
    expected = [[[1.0, 0.0], [-1.0, -2.0]], [[1.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [1.0, 4.0]]]
    assert all(is_array(one, other, "float64") for one, other in zip(found, expected, strict=True))


def test_default_arguments():
    x, y = T.dscalars("x", "y")
    z = x + y
    with pytest.warns(DeprecationWarning):
        f = function([x, Param(y, default=1)], z)
    assert is_array(f(33), 34.0, "float64")
    assert is_array(f(33, 2), 35.0, "float64")
    x, y, w = T.dscalars("x", "y", "w")
    z = (x + y) * w
    with pytest.warns(DeprecationWarning):
        f = function([x, Param(y, default=1), Param(w, default=2, name="w_by_name")], z)
    assert is_array(f(33), 68.0, "float64")
    assert is_array(f(33, 2), 70.0, "float64")
    assert is_array(f(33, 0, 1), 33.0, "float64")
    assert is_array(f(33, w_by_name=1), 34.0, "float64")
    assert is_array(f(33, w_by_name=1, y=0), 33.0, "float64")


def test_shared_variables_and_givens():
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    assert is_array(state.get_value(), 0, "int64")
    assert is_array(accumulator(1), 0, "int64")
    assert is_array(state.get_value(), 1, "int64")
    assert is_array(accumulator(300), 1, "int64")
    assert is_array(state.get_value(), 301, "int64")
    state.set_value(-1)
    assert is_array(accumulator(3), -1, "int64")
    assert is_array(state.get_value(), 2, "int64")
    decrementor = function([inc], state, updates=[(state, state - inc)])
    assert is_array(decrementor(2), 2, "int64")
    assert is_array(state.get_value(), 0, "int64")
    assert is_array(accumulator(3), 0, "int64")
    assert is_array(state.get_value(), 3, "int64")
    fn_of_state = state * 2 + inc
    foo = T.scalar(dtype=state.dtype)
    skip_shared = function([inc, foo], fn_of_state, givens=[(state, foo)])
    assert is_array(skip_shared(1, 3), 7, "int64")
    assert is_array(state.get_value(), 3, "int64")


def test_random_streams():
    srng = RandomStreams(seed=234)
    rv_u = srng.uniform((2, 2))
    rv_n = srng.normal((2, 2))
    f = function([], rv_u)
    g = function([], rv_n, no_default_updates=True)
    nearly_zeros = function([], rv_u + rv_u - 2 * rv_u)
    np.testing.assert_allclose(f(), [[0.12672381, 0.97091597], [0.13989098, 0.88754825]], rtol=1e-7)
    np.testing.assert_allclose(f(), [[0.31971415, 0.47584377], [0.24129163, 0.42046081]], rtol=1e-7)
    normals = [[0.37328447, -0.65746672], [-0.36302373, -0.97484625]]
    np.testing.assert_allclose(g(), normals, rtol=1e-7)
    np.testing.assert_allclose(g(), normals, rtol=1e-7)

    rng_val = rv_u.rng.get_value(borrow=True)
    assert isinstance(rng_val, np.random.RandomState)
    rng_val.seed(89234)
    rv_u.rng.set_value(rng_val, borrow=True)
    seeded = np.random.RandomState(89234)
    np.testing.assert_array_equal(f(), seeded.uniform(size=(2, 2)))
    srng.seed(902340)
    seeds = np.random.RandomState(902340)
    first = np.random.RandomState(int(seeds.randint(2**30)))
    np.testing.assert_array_equal(f(), first.uniform(size=(2, 2)))

    state_after_v0 = rv_u.rng.get_value().get_state()
    assert state_after_v0[0] == "MT19937"
    np.testing.assert_array_equal(nearly_zeros(), np.zeros((2, 2)))
    v1 = f()
    rng = rv_u.rng.get_value(borrow=True)
    rng.set_state(state_after_v0)
    rv_u.rng.set_value(rng, borrow=True)
    v2 = f()
    v3 = f()
    assert (v2 != v1).all()
    np.testing.assert_array_equal(v3, v1)


class Graph:
    """An object that owns a random stream and an expression of it."""

    def __init__(self, seed=123):
        self.rng = RandomStreams(seed)
        self.y = self.rng.uniform(size=(1,))


def copy_random_state(g1, g2):
    """Give one graph the random states of another."""
    if isinstance(g1.rng, MRG_RandomStreams):
        g2.rng.rstate = g1.rng.rstate
    for su1, su2 in zip(g1.rng.state_updates, g2.rng.state_updates, strict=True):
        su2[0].set_value(su1[0].get_value())


def test_random_state_copied_between_graphs():
    g1 = Graph(seed=123)
    f1 = theano.function([], g1.y)
    g2 = Graph(seed=987)
    f2 = theano.function([], g2.y)
    np.testing.assert_allclose(f1(), [0.72803009], rtol=1e-7)
    np.testing.assert_allclose(f2(), [0.55056769], rtol=1e-7)
    copy_random_state(g1, g2)
    np.testing.assert_allclose(f1(), [0.59044123], rtol=1e-7)
    np.testing.assert_allclose(f2(), [0.59044123], rtol=1e-7)


def test_logistic_regression():
    rng = numpy.random.RandomState(5)
    N = 400
    feats = 784
    D = (rng.randn(N, feats), rng.randint(size=N, low=0, high=2))
    training_steps = 10000

    x = T.matrix("x")
    y = T.vector("y")
    start = rng.randn(feats)
    w = theano.shared(start, name="w")
    b = theano.shared(0.0, name="b")

    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
    prediction = p_1 > 0.5
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
    cost = xent.mean() + 0.01 * (w**2).sum()
    gw, gb = T.grad(cost, [w, b])

    train = theano.function(inputs=[x, y], outputs=[prediction, xent], updates=((w, w - 0.1 * gw), (b, b - 0.1 * gb)))
    predict = theano.function(inputs=[x], outputs=prediction)

    # The first steps by hand, in plain NumPy.
    weights, bias = start.copy(), 0.0
    for _ in range(3):
        probability = 1 / (1 + np.exp(-D[0] @ weights - bias))
        pred, err = train(D[0], D[1])
        assert pred.dtype == bool
        np.testing.assert_array_equal(pred, probability > 0.5)
        margin = (D[0] @ weights + bias) * (2 * D[1] - 1)
        np.testing.assert_allclose(err, np.logaddexp(0, -margin), rtol=1e-7)
        difference = (probability - D[1]) / N
        weights, bias = weights - 0.1 * (D[0].T @ difference + 0.02 * weights), bias - 0.1 * difference.sum()
        np.testing.assert_allclose(w.get_value(), weights, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(b.get_value(), bias, rtol=1e-7, atol=1e-10)

    for _ in range(training_steps):
        pred, err = train(D[0], D[1])
    assert np.isfinite(err).all()
    np.testing.assert_array_equal(predict(D[0]), D[1])
