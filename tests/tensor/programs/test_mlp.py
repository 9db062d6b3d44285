"""A multi-layer perceptron with dropout, momentum and weight decay on scikit-learn's digits, in Theano's words."""

from collections import OrderedDict

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.tensor.shared_randomstreams import RandomStreams

load_digits = pytest.importorskip("sklearn.datasets").load_digits

BATCH = 50
TRAINING = 1500


def weights(rng, inputs, outputs, name):
    start = rng.randn(inputs, outputs) * np.sqrt(2.0 / inputs)
    return theano.shared(start.astype(theano.config.floatX), name=name)


def zeros(size, name):
    return theano.shared(np.zeros(size, dtype=theano.config.floatX), name=name)


def dropout(srng, layer, kept):
    """Set some elements to zero, others for every call, and scale the rest up."""
    mask = srng.binomial(n=1, p=kept, size=layer.shape, dtype=theano.config.floatX)
    return layer * mask / kept


def momentum(cost, params, rate, inertia):
    updates = OrderedDict()
    for p, g in zip(params, T.grad(cost, params), strict=True):
        velocity = theano.shared(0 * p.get_value())
        updates[velocity] = inertia * velocity - rate * g
        updates[p] = p + updates[velocity]
    return updates


class Perceptron:
    def __init__(self, hidden=64, kept=0.8):
        rng = np.random.RandomState(0)
        self.x, self.y = T.matrix("x"), T.ivector("y")
        self.W1, self.b1 = weights(rng, 64, hidden, "W1"), zeros(hidden, "b1")
        self.W2, self.b2 = weights(rng, hidden, hidden, "W2"), zeros(hidden, "b2")
        self.W3, self.b3 = weights(rng, hidden, 10, "W3"), zeros(10, "b3")
        self.params = [self.W1, self.b1, self.W2, self.b2, self.W3, self.b3]
        self.srng = RandomStreams(seed=234)
        noisy = self.probabilities(lambda layer: dropout(self.srng, layer, kept))
        self.penalty = sum((W**2).sum() for W in (self.W1, self.W2, self.W3))
        self.cost = T.nnet.categorical_crossentropy(noisy, self.y).mean() + 1e-4 * self.penalty
        self.prediction = self.probabilities(lambda layer: layer).argmax(axis=1)

    def probabilities(self, drop):
        first = drop(T.nnet.relu(T.dot(self.x, self.W1) + self.b1))
        second = drop(T.nnet.relu(T.dot(first, self.W2) + self.b2))
        return T.nnet.softmax(T.dot(second, self.W3) + self.b3)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.RandomState(1).permutation(len(data.target))
    return (data.data / 16)[order], data.target[order].astype(np.int32)


def test_it_learns(digits):
    images, labels = digits
    model = Perceptron()
    train = theano.function([model.x, model.y], model.cost, updates=momentum(model.cost, model.params, 0.05, 0.9))
    predict = theano.function([model.x], model.prediction)
    order = np.random.RandomState(2)
    costs = []
    for _ in range(12):
        batches = order.permutation(TRAINING).reshape(-1, BATCH)
        costs.append(np.mean([train(images[rows], labels[rows]) for rows in batches]))
    assert costs[0] > 1.0 > 0.2 > costs[-1]
    assert np.mean(predict(images[TRAINING:]) == labels[TRAINING:]) > 0.95


def test_dropout_draws_anew_at_every_call_and_only_when_asked(digits):
    images, labels = digits
    model = Perceptron(kept=0.5)
    noisy = theano.function([model.x, model.y], model.cost)
    costs = {float(noisy(images[:20], labels[:20])) for _ in range(5)}
    assert len(costs) == 5
    still = theano.function([model.x, model.y], model.cost, no_default_updates=True)
    assert len({float(still(images[:20], labels[:20])) for _ in range(3)}) == 1
    predict = theano.function([model.x], model.prediction)
    np.testing.assert_array_equal(predict(images[:20]), predict(images[:20]))


def test_the_same_seed_gives_the_same_training(digits):
    images, labels = digits
    found = []
    for _ in range(2):
        model = Perceptron()
        train = theano.function([model.x, model.y], model.cost, updates=momentum(model.cost, model.params, 0.05, 0.9))
        found.append([train(images[:BATCH], labels[:BATCH]) for _ in range(5)])
    np.testing.assert_array_equal(*found)
