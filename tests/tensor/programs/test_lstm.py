"""A classic program: a network with long short-term memory, a scan of gates, that reads digits row by row."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.gradient import verify_grad

load_digits = pytest.importorskip("sklearn.datasets").load_digits

INPUTS, UNITS, CLASSES = 8, 24, 10


def initial_parameters(rng, units=UNITS, inputs=INPUTS, classes=CLASSES):
    """Weights as shared variables, by name: those of all four gates side by side."""

    def orthogonal(size):
        return np.linalg.svd(rng.standard_normal((size, size)))[0]

    bias = np.zeros(4 * units)
    bias[units : 2 * units] = 1.0  # what is remembered is kept at first
    values = {
        "W": 0.3 * rng.standard_normal((inputs, 4 * units)),
        "U": np.concatenate([orthogonal(units) for _ in range(4)], axis=1),
        "b": bias,
        "V": 0.1 * rng.standard_normal((units, classes)),
        "c": np.zeros(classes),
    }
    return {name: theano.shared(value.astype(theano.config.floatX), name=name) for name, value in values.items()}


def lstm_layer(params, x, mask, units=UNITS):
    """The mean of hidden states over the steps that the mask keeps; x is (time, samples, inputs)."""

    def part(gates, number):
        return gates[:, number * units : (number + 1) * units]

    def step(m_t, x_t, h_tm1, c_tm1, u):
        gates = T.dot(h_tm1, u) + x_t
        i, f, o = (T.nnet.sigmoid(part(gates, number)) for number in range(3))
        c = f * c_tm1 + i * T.tanh(part(gates, 3))
        c = m_t[:, None] * c + (1.0 - m_t)[:, None] * c_tm1
        h = o * T.tanh(c)
        h = m_t[:, None] * h + (1.0 - m_t)[:, None] * h_tm1
        return h, c

    zeros = T.alloc(np.asarray(0.0, theano.config.floatX), x.shape[1], units)
    projected = T.dot(x, params["W"]) + params["b"]
    (h, _), updates = theano.scan(
        step, sequences=[mask, projected], outputs_info=[zeros, zeros], non_sequences=params["U"], name="lstm"
    )
    assert not updates
    return (h * mask[:, :, None]).sum(axis=0) / mask.sum(axis=0)[:, None]


def build(params, units=UNITS):
    x, mask, y = T.tensor3("x"), T.matrix("mask"), T.ivector("y")
    probabilities = T.nnet.softmax(T.dot(lstm_layer(params, x, mask, units), params["V"]) + params["c"])
    cost = -T.mean(T.log(probabilities[T.arange(y.shape[0]), y]))
    return x, mask, y, probabilities, cost


def adadelta(params, cost):
    """Updates with step sizes from running means of squared gradients and steps (Zeiler 2012)."""
    updates = []
    for param in params:
        gradient = T.grad(cost, param)
        squares, steps = (theano.shared(np.zeros_like(param.get_value())) for _ in range(2))
        new_squares = 0.95 * squares + 0.05 * gradient**2
        change = -T.sqrt(steps + 1e-6) / T.sqrt(new_squares + 1e-6) * gradient
        updates += [(squares, new_squares), (steps, 0.95 * steps + 0.05 * change**2), (param, param + change)]
    return updates


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = np.transpose(data.images / 16.0, (1, 0, 2)).astype(theano.config.floatX)
    order = np.random.default_rng(0).permutation(len(data.target))
    return images[:, order], data.target[order].astype(np.int32)


def test_it_learns_to_read_digits(digits):
    images, labels = digits
    params = initial_parameters(np.random.default_rng(0))
    x, mask, y, probabilities, cost = build(params)
    train = theano.function([x, mask, y], cost, updates=adadelta(list(params.values()), cost))
    predict = theano.function([x, mask], probabilities.argmax(axis=1))
    rng, batch = np.random.default_rng(1), 32
    ones = np.ones((8, batch), theano.config.floatX)
    for _ in range(40):
        order = rng.permutation(1500)
        for start in range(0, 1500 - batch, batch):
            chosen = order[start : start + batch]
            last = train(images[:, chosen], ones, labels[chosen])
    assert last < 0.2
    found = predict(images[:, 1500:], np.ones((8, images.shape[1] - 1500), theano.config.floatX))
    assert np.mean(found == labels[1500:]) > 0.85


def test_masked_steps_do_not_count(digits):
    images, _ = digits
    params = initial_parameters(np.random.default_rng(2))
    x, mask, _, probabilities, _ = build(params)
    f = theano.function([x, mask], probabilities)
    padded = images[:, :4].copy()
    lengths = [8, 5, 3, 6]
    kept = (np.arange(8)[:, None] < lengths).astype(theano.config.floatX)
    found = f(padded, kept)
    padded[kept == 0] = 99.0
    np.testing.assert_allclose(f(padded, kept), found, rtol=1e-12)
    for sample, length in enumerate(lengths):
        alone = f(images[:length, sample : sample + 1], np.ones((length, 1)))
        np.testing.assert_allclose(alone[0], found[sample], rtol=1e-9)


def test_gradients():
    rng = np.random.default_rng(3)
    mask = (np.arange(4)[:, None] < [4, 2, 3]).astype(float)
    inputs, labels = rng.standard_normal((4, 3, 2)), np.array([0, 2, 1], np.int32)

    def cost(w, u, b, v, c):
        params = {"W": w, "U": u, "b": b, "V": v, "c": c}
        h = lstm_layer(params, T.constant(inputs), T.constant(mask), units=3)
        probabilities = T.nnet.softmax(T.dot(h, v) + c)
        return -T.mean(T.log(probabilities[T.arange(3), labels]))

    start = [item.get_value() for item in initial_parameters(rng, units=3, inputs=2, classes=3).values()]
    verify_grad(cost, start, rng=np.random.RandomState(0))
