"""Autoencoders in the style of Theano's tutorials; gradients are compared with finite differences."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.sandbox.rng_mrg import MRG_RandomStreams
from tracer.tensor.shared_randomstreams import RandomStreams

SEEN, HIDDEN = 8, 5


@pytest.fixture(params=["float64", "float32"], autouse=True)
def precision(request):
    with theano.config.changed(floatX=request.param):
        yield request.param


def patterns(count, size=SEEN):
    rng = np.random.RandomState(5)
    kinds = rng.rand(4, size) > 0.5
    return (kinds[rng.randint(4, size=count)] ^ (rng.rand(count, size) > 0.97)).astype(theano.config.floatX)


def numeric_gradient(function, value, step=1e-6):
    value = value.astype("float64")
    gradient = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        shift = np.zeros_like(value)
        shift[place] = step
        gradient[place] = (function(value + shift) - function(value - shift)) / (2 * step)
    return gradient


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class DenoisingAutoencoder:
    def __init__(self, numpy_rng, theano_rng, input, n_visible, n_hidden, W=None, bhid=None):
        if W is None:
            bound = 4 * np.sqrt(6.0 / (n_hidden + n_visible))
            start = numpy_rng.uniform(low=-bound, high=bound, size=(n_visible, n_hidden))
            W = theano.shared(np.asarray(start, dtype=theano.config.floatX), name="W", borrow=True)
        if bhid is None:
            bhid = theano.shared(np.zeros(n_hidden, dtype=theano.config.floatX), name="b", borrow=True)
        self.b_prime = theano.shared(np.zeros(n_visible, dtype=theano.config.floatX), borrow=True)
        self.W, self.b, self.x, self.theano_rng = W, bhid, input, theano_rng
        self.params = [self.W, self.b, self.b_prime]

    def hidden_values(self, input):
        return T.nnet.sigmoid(T.dot(input, self.W) + self.b)

    def reconstructed(self, hidden):
        return T.nnet.sigmoid(T.dot(hidden, self.W.T) + self.b_prime)

    def cost(self, corruption_level):
        kept = self.theano_rng.binomial(size=self.x.shape, n=1, p=1 - corruption_level, dtype=theano.config.floatX)
        z = self.reconstructed(self.hidden_values(kept * self.x))
        return T.mean(-T.sum(self.x * T.log(z) + (1 - self.x) * T.log(1 - z), axis=1))

    def updates(self, cost, rate):
        return [(p, p - rate * g) for p, g in zip(self.params, T.grad(cost, self.params), strict=True)]


def test_stacked_layers_are_trained_one_after_the_other(precision):
    data = theano.shared(patterns(80), borrow=True)
    index, corruption, rate = T.lscalar("index"), T.scalar("corruption"), T.scalar("rate")
    x = T.matrix("x")
    numpy_rng, theano_rng = np.random.RandomState(1), RandomStreams(7)
    first = DenoisingAutoencoder(numpy_rng, theano_rng, x, SEEN, 6)
    second = DenoisingAutoencoder(numpy_rng, theano_rng, first.hidden_values(x), 6, 4)
    for layer in (first, second):
        cost = layer.cost(corruption)
        fixed = [p.get_value() for other in (first, second) if other is not layer for p in other.params]
        train = theano.function(
            inputs=[index, theano.In(corruption, value=0.2), theano.In(rate, value=0.1)],
            outputs=cost,
            updates=layer.updates(cost, rate),
            givens={x: data[index * 20 : (index + 1) * 20]},
        )
        costs = [np.mean([train(index=i, corruption=0.1, rate=0.5) for i in range(4)]) for _ in range(30)]
        assert costs[-1] < 0.9 * costs[0]
        assert train(0).dtype == layer.W.get_value().dtype == precision
        after = [p.get_value() for other in (first, second) if other is not layer for p in other.params]
        for before, now in zip(fixed, after, strict=True):
            np.testing.assert_array_equal(before, now)


def test_a_contracting_cost_has_the_right_gradient(precision):
    x = T.matrix("x")
    start = (np.random.RandomState(0).randn(SEEN, HIDDEN) * 0.3).astype(precision)
    W, b = theano.shared(start), theano.shared(np.zeros(HIDDEN, precision))
    y = T.nnet.sigmoid(T.dot(x, W) + b)
    z = T.nnet.sigmoid(T.dot(y, W.T))
    J = T.reshape(y * (1 - y), (4, 1, HIDDEN)) * T.reshape(W, (1, SEEN, HIDDEN))
    cost = T.mean(-T.sum(x * T.log(z) + (1 - x) * T.log(1 - z), axis=1)) + 0.1 * T.sum(J**2) / 4
    data = patterns(4)
    gradient = theano.function([x], T.grad(cost, W))(data)

    def numpy_cost(weights):
        hidden = sigmoid(data @ weights)
        seen = sigmoid(hidden @ weights.T)
        slopes = (hidden * (1 - hidden))[:, None] * weights[None]
        entropy = -np.sum(data * np.log(seen) + (1 - data) * np.log(1 - seen), axis=1)
        return np.mean(entropy) + 0.1 * np.sum(slopes**2) / 4

    assert gradient.dtype == precision
    np.testing.assert_allclose(gradient, numeric_gradient(numpy_cost, start), rtol=1e-3, atol=2e-5)


class VariationalAutoencoder:
    def __init__(self, x, noise=None):
        rng = np.random.RandomState(0)

        def weights(*shape):
            return theano.shared((rng.randn(*shape) * 0.3).astype(theano.config.floatX))

        self.params = [weights(SEEN, 6), weights(6, 2), weights(6, 2), weights(2, 6), weights(6, SEEN)]
        We, Wm, Ws, Wd, Wx = self.params
        h = T.tanh(T.dot(x, We))
        mean, log_sigma = T.dot(h, Wm), 0.5 * T.dot(h, Ws)
        epsilon = MRG_RandomStreams(seed=1).normal(mean.shape) if noise is None else noise
        z = mean + T.exp(log_sigma) * epsilon
        seen = T.nnet.sigmoid(T.dot(T.nnet.softplus(T.dot(z, Wd)), Wx))
        likelihood = -T.nnet.binary_crossentropy(seen, x).sum(axis=1)
        divergence = 0.5 * T.sum(1 + 2 * log_sigma - mean**2 - T.exp(2 * log_sigma), axis=1)
        self.cost = -T.mean(likelihood + divergence)

    def updates(self, rate):
        return [(p, p - rate * g) for p, g in zip(self.params, T.grad(self.cost, self.params), strict=True)]


def test_a_variational_autoencoder_learns_through_its_noise(precision):
    x = T.matrix("x")
    model = VariationalAutoencoder(x)
    train = theano.function([x], model.cost, updates=model.updates(0.2))
    data = patterns(60)
    costs = [train(data) for _ in range(150)]
    assert len(set(map(float, costs[:5]))) == 5
    assert np.mean(costs[-5:]) < 0.95 * np.mean(costs[:5])
    assert costs[0].dtype == model.params[0].get_value().dtype == precision


def test_the_gradient_of_a_variational_bound_for_given_noise(precision):
    x, noise = T.matrix("x"), T.matrix("noise")
    model = VariationalAutoencoder(x, noise)
    data, drawn = patterns(5), np.random.RandomState(3).randn(5, 2).astype(precision)
    gradients = theano.function([x, noise], T.grad(model.cost, model.params))(data, drawn)
    values = [p.get_value().astype("float64") for p in model.params]

    def numpy_cost(value, position):
        We, Wm, Ws, Wd, Wx = (value if place == position else kept for place, kept in enumerate(values))
        h = np.tanh(data @ We)
        mean, log_sigma = h @ Wm, 0.5 * h @ Ws
        seen = sigmoid(np.log1p(np.exp((mean + np.exp(log_sigma) * drawn) @ Wd)) @ Wx)
        likelihood = (data * np.log(seen) + (1 - data) * np.log(1 - seen)).sum(1)
        return -np.mean(likelihood + 0.5 * np.sum(1 + 2 * log_sigma - mean**2 - np.exp(2 * log_sigma), axis=1))

    for position, gradient in enumerate(gradients):
        expected = numeric_gradient(lambda value, place=position: numpy_cost(value, place), values[position])
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5)
