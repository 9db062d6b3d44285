"""A classic program: a denoising autoencoder on handwritten digits, with tied weights and random corruption."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tracer as theano
import tracer.tensor as T
from tracer.sandbox.rng_mrg import MRG_RandomStreams
from tracer.tensor.shared_randomstreams import RandomStreams


class DenoisingAutoencoder:
    """Learns to repair images in which a part of the pixels was set to zero."""

    def __init__(self, numpy_rng, theano_rng, input, n_visible=64, n_hidden=50):
        self.theano_rng = theano_rng
        bound = 4 * np.sqrt(6.0 / (n_hidden + n_visible))
        initial_W = np.asarray(
            numpy_rng.uniform(low=-bound, high=bound, size=(n_visible, n_hidden)), dtype=theano.config.floatX
        )
        self.W = theano.shared(value=initial_W, name="W", borrow=True)
        self.b = theano.shared(value=np.zeros(n_hidden, dtype=theano.config.floatX), name="b", borrow=True)
        self.b_prime = theano.shared(value=np.zeros(n_visible, dtype=theano.config.floatX), name="b'", borrow=True)
        self.W_prime = self.W.T
        self.x = input
        self.params = [self.W, self.b, self.b_prime]

    def get_corrupted_input(self, input, corruption_level):
        return (
            self.theano_rng.binomial(size=input.shape, n=1, p=1 - corruption_level, dtype=theano.config.floatX) * input
        )

    def get_hidden_values(self, input):
        return T.nnet.sigmoid(T.dot(input, self.W) + self.b)

    def get_reconstructed_input(self, hidden):
        return T.nnet.sigmoid(T.dot(hidden, self.W_prime) + self.b_prime)

    def get_cost_updates(self, corruption_level, learning_rate):
        tilde_x = self.get_corrupted_input(self.x, corruption_level)
        y = self.get_hidden_values(tilde_x)
        z = self.get_reconstructed_input(y)
        L = -T.sum(self.x * T.log(z) + (1 - self.x) * T.log(1 - z), axis=1)
        cost = T.mean(L)
        gparams = T.grad(cost, self.params)
        updates = [(param, param - learning_rate * gparam) for param, gparam in zip(self.params, gparams, strict=True)]
        return cost, updates


@pytest.fixture(scope="module")
def digits():
    images = load_digits().data[:1000] / 17.0
    return images.astype(np.float64)


def compiled(images, theano_rng, corruption, batch_size=20, learning_rate=0.1):
    index = T.lscalar()
    x = T.matrix("x")
    train_set_x = theano.shared(images, borrow=True)
    da = DenoisingAutoencoder(np.random.RandomState(123), theano_rng, x)
    cost, updates = da.get_cost_updates(corruption_level=corruption, learning_rate=learning_rate)
    train_da = theano.function(
        [index], cost, updates=updates, givens={x: train_set_x[index * batch_size : (index + 1) * batch_size]}
    )
    return da, train_da


def numpy_epochs(images, corruption, epochs, batch_size=20, learning_rate=0.1):
    """The same program in NumPy, with the same masks; returns the mean costs and the weights."""
    rng = np.random.RandomState(123)
    bound = 4 * np.sqrt(6.0 / 114)
    W, b, b_prime = rng.uniform(-bound, bound, (64, 50)), np.zeros(50), np.zeros(64)
    masks = np.random.RandomState(int(np.random.RandomState(30).randint(2**30)))
    means = []
    for _ in range(epochs):
        costs = []
        for start in range(0, len(images), batch_size):
            x = images[start : start + batch_size]
            tilde = masks.binomial(1, 1 - corruption, x.shape) * x
            y = 1 / (1 + np.exp(-(tilde @ W) - b))
            z = 1 / (1 + np.exp(-(y @ W.T) - b_prime))
            costs.append(np.mean(-np.sum(x * np.log(z) + (1 - x) * np.log(1 - z), axis=1)))
            dz = (z - x) / len(x)
            dy = dz @ W * y * (1 - y)
            W, b, b_prime = (
                W - learning_rate * (tilde.T @ dy + dz.T @ y),
                b - learning_rate * dy.sum(axis=0),
                b_prime - learning_rate * dz.sum(axis=0),
            )
        means.append(np.mean(costs))
    return means, W


@pytest.mark.parametrize("corruption", [0.0, 0.3])
def test_the_same_program_in_numpy(digits, corruption):
    da, train_da = compiled(digits, RandomStreams(30), corruption)
    means = [np.mean([train_da(index) for index in range(50)]) for _ in range(3)]
    expected, W = numpy_epochs(digits, corruption, 3)
    np.testing.assert_allclose(means, expected, rtol=1e-9)
    np.testing.assert_allclose(da.W.get_value(), W, rtol=1e-6, atol=1e-9)
    assert means[2] < means[0]


def test_it_repairs_images(digits):
    da, train_da = compiled(digits[:800], MRG_RandomStreams(89677), 0.3)
    first = np.mean([train_da(index) for index in range(40)])
    for _ in range(14):
        last = np.mean([train_da(index) for index in range(40)])
    assert last < 0.8 * first
    repair = theano.function([da.x], da.get_reconstructed_input(da.get_hidden_values(da.x)))
    unseen = digits[800:]
    broken = unseen * np.random.RandomState(0).binomial(1, 0.7, unseen.shape)
    error = np.mean((repair(broken) - unseen) ** 2)
    assert error < 0.6 * np.mean((broken - unseen) ** 2)


def test_parameters_survive_pickling(digits):
    da, train_da = compiled(digits, RandomStreams(30), 0.3)
    train_da(0)
    saved = pickle.dumps([param.get_value(borrow=True) for param in da.params])
    train_da(1)
    for param, value in zip(da.params, pickle.loads(saved), strict=True):
        param.set_value(value, borrow=True)
    np.testing.assert_array_equal(da.b.get_value(), pickle.loads(saved)[1])
