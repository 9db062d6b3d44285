"""A convolutional network, LeNet's kind, on scikit-learn's digits: a whole program in Theano's words."""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.tensor.nnet import conv2d
from tracer.tensor.signal import pool

load_digits = pytest.importorskip("sklearn.datasets").load_digits

BATCH = 25
TRAINING = 1500
RATE = 0.15


class ConvolutionAndPooling:
    """A convolution, the largest of each window of its maps, and a squashed sum with a bias."""

    def __init__(self, rng, input, filter_shape, image_shape, poolsize=(2, 2)):
        inputs = np.prod(filter_shape[1:])
        outputs = filter_shape[0] * np.prod(filter_shape[2:]) // np.prod(poolsize)
        bound = np.sqrt(6.0 / (inputs + outputs))
        start = np.asarray(rng.uniform(-bound, bound, filter_shape), dtype=theano.config.floatX)
        self.W = theano.shared(start, name="W", borrow=True)
        self.b = theano.shared(np.zeros(filter_shape[0], dtype=theano.config.floatX), name="b", borrow=True)
        maps = conv2d(input, self.W, filter_shape=filter_shape, input_shape=image_shape, border_mode="half")
        pooled = pool.pool_2d(input=maps, ws=poolsize, ignore_border=True)
        self.output = T.tanh(pooled + self.b.dimshuffle("x", 0, "x", "x"))
        self.params = [self.W, self.b]


class Layer:
    """A matrix product and a bias, with or without a squashing function."""

    def __init__(self, rng, input, inputs, outputs, activation):
        bound = np.sqrt(6.0 / (inputs + outputs)) if activation is T.tanh else 0.0
        start = np.asarray(rng.uniform(-bound, bound, (inputs, outputs)), dtype=theano.config.floatX)
        self.W = theano.shared(value=start, name="W", borrow=True)
        self.b = theano.shared(value=np.zeros(outputs, dtype=theano.config.floatX), name="b", borrow=True)
        self.output = activation(T.dot(input, self.W) + self.b)
        self.params = [self.W, self.b]


class Network:
    def __init__(self, x, y):
        rng = np.random.RandomState(23455)
        images = x.reshape((x.shape[0], 1, 8, 8))
        first = ConvolutionAndPooling(rng, images, (6, 1, 3, 3), (None, 1, 8, 8))
        second = ConvolutionAndPooling(rng, first.output, (12, 6, 3, 3), (None, 6, 4, 4))
        hidden = Layer(rng, second.output.flatten(2), 12 * 2 * 2, 40, T.tanh)
        last = Layer(rng, hidden.output, 40, 10, T.nnet.softmax)
        self.probabilities = last.output
        self.params = [p for layer in (last, hidden, second, first) for p in layer.params]
        self.cost = -T.mean(T.log(self.probabilities)[T.arange(y.shape[0]), y])
        self.errors = T.mean(T.neq(T.argmax(self.probabilities, axis=1), y))


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.RandomState(1).permutation(len(data.target))
    images, labels = (data.data / 16)[order], data.target[order]
    shared = theano.shared(np.asarray(images, dtype=theano.config.floatX), borrow=True)
    # Labels are stored as floats, as for a GPU, and cast.
    stored = theano.shared(np.asarray(labels, dtype=theano.config.floatX), borrow=True)
    return shared, T.cast(stored, "int32"), images, labels.astype(np.int32)


@pytest.fixture(scope="module")
def trained(digits):
    shared_x, shared_y, _, _ = digits
    index = T.lscalar("index")
    x, y = T.matrix("x"), T.ivector("y")
    network = Network(x, y)
    gradients = T.grad(network.cost, network.params)
    updates = [(p, p - RATE * g) for p, g in zip(network.params, gradients, strict=True)]
    rows = slice(index * BATCH, (index + 1) * BATCH)
    train = theano.function([index], network.cost, updates=updates, givens={x: shared_x[rows], y: shared_y[rows]})
    test = theano.function([index], network.errors, givens={x: shared_x[rows], y: shared_y[rows]})
    costs = [np.mean([train(number) for number in range(TRAINING // BATCH)]) for _ in range(8)]
    errors = np.mean([test(number) for number in range(TRAINING // BATCH, len(digits[2]) // BATCH)])
    return network, x, y, costs, errors


def test_it_learns(trained):
    _, _, _, costs, errors = trained
    assert costs[0] > 1.5 > 0.2 > costs[-1]
    assert errors < 0.05


def test_parameters_pickle(trained, digits):
    network, x, _, _, errors = trained
    _, _, images, labels = digits
    predict = theano.function([x], T.argmax(network.probabilities, axis=1))
    before = predict(images[TRAINING:])
    assert np.mean(before != labels[TRAINING:]) == pytest.approx(errors, abs=0.02)
    saved = pickle.dumps([p.get_value(borrow=True) for p in network.params])
    for p in network.params:
        p.set_value(0 * p.get_value())
    assert np.mean(predict(images[TRAINING:]) != labels[TRAINING:]) > 0.8
    for p, number in zip(network.params, pickle.loads(saved), strict=True):
        p.set_value(number)
    np.testing.assert_array_equal(predict(images[TRAINING:]), before)


def test_gradients_are_those_of_finite_differences():
    x, y = T.dmatrix("x"), T.ivector("y")
    network = Network(x, y)
    rng = np.random.RandomState(0)
    images, labels = rng.uniform(size=(4, 64)), np.array([3, 1, 4, 1], np.int32)
    cost = theano.function([x, y], network.cost)
    for p in network.params:  # those of the last layer start at zero, where the others have no gradient
        p.set_value(rng.uniform(-0.5, 0.5, p.get_value().shape))
    found = theano.function([x, y], T.grad(network.cost, network.params))(images, labels)
    for p, g in zip(network.params, found, strict=True):
        start = p.get_value()
        direction = rng.standard_normal(start.shape)
        p.set_value(start + 1e-5 * direction)
        above = cost(images, labels)
        p.set_value(start - 1e-5 * direction)
        below = cost(images, labels)
        p.set_value(start)
        assert np.vdot(g, direction) == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-8)


def test_one_function_serves_every_batch_size():
    x, y = T.matrix("x"), T.ivector("y")
    predict = theano.function([x], Network(x, y).probabilities)
    images = np.random.RandomState(0).uniform(size=(7, 64))
    whole = predict(images)
    for size in (1, 2, 5):
        np.testing.assert_allclose(predict(images[:size]), whole[:size], rtol=1e-12)
