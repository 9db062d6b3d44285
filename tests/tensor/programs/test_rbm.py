"""A classic program: a restricted Boltzmann machine on handwritten digits, trained with contrastive divergence.

The Gibbs chain is a scan whose random states are among its updates.
"""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.tensor.shared_randomstreams import RandomStreams

load_digits = pytest.importorskip("sklearn.datasets").load_digits

VISIBLE, HIDDEN, BATCH = 64, 40, 20


class RBM:
    """Binary units in two layers, with weights between the layers only."""

    def __init__(self, input, numpy_rng, theano_rng):
        bound = 4 * np.sqrt(6.0 / (HIDDEN + VISIBLE))
        initial_W = np.asarray(numpy_rng.uniform(-bound, bound, (VISIBLE, HIDDEN)), dtype=theano.config.floatX)
        self.W = theano.shared(value=initial_W, name="W", borrow=True)
        self.hbias = theano.shared(value=np.zeros(HIDDEN, dtype=theano.config.floatX), name="hbias", borrow=True)
        self.vbias = theano.shared(value=np.zeros(VISIBLE, dtype=theano.config.floatX), name="vbias", borrow=True)
        self.input, self.theano_rng = input, theano_rng
        self.params = [self.W, self.hbias, self.vbias]

    def free_energy(self, v_sample):
        wx_b = T.dot(v_sample, self.W) + self.hbias
        return -T.sum(T.log(1 + T.exp(wx_b)), axis=1) - T.dot(v_sample, self.vbias)

    def propup(self, vis):
        activation = T.dot(vis, self.W) + self.hbias
        return [activation, T.nnet.sigmoid(activation)]

    def propdown(self, hid):
        activation = T.dot(hid, self.W.T) + self.vbias
        return [activation, T.nnet.sigmoid(activation)]

    def sample_h_given_v(self, v0_sample):
        activation, mean = self.propup(v0_sample)
        sample = self.theano_rng.binomial(size=mean.shape, n=1, p=mean, dtype=theano.config.floatX)
        return [activation, mean, sample]

    def sample_v_given_h(self, h0_sample):
        activation, mean = self.propdown(h0_sample)
        sample = self.theano_rng.binomial(size=mean.shape, n=1, p=mean, dtype=theano.config.floatX)
        return [activation, mean, sample]

    def gibbs_hvh(self, h0_sample):
        return [*(visible := self.sample_v_given_h(h0_sample)), *self.sample_h_given_v(visible[2])]

    def gibbs_vhv(self, v0_sample):
        return [*(hidden := self.sample_h_given_v(v0_sample)), *self.sample_v_given_h(hidden[2])]

    def get_cost_updates(self, lr, persistent=None, k=1):
        _, _, ph_sample = self.sample_h_given_v(self.input)
        chain_start = ph_sample if persistent is None else persistent
        [pre_sigmoid_nvs, _, nv_samples, _, _, nh_samples], updates = theano.scan(
            self.gibbs_hvh, outputs_info=[None, None, None, None, None, chain_start], n_steps=k, name="gibbs_hvh"
        )
        chain_end = nv_samples[-1]
        cost = T.mean(self.free_energy(self.input)) - T.mean(self.free_energy(chain_end))
        gparams = T.grad(cost, self.params, consider_constant=[chain_end])
        for gparam, param in zip(gparams, self.params, strict=True):
            updates[param] = param - gparam * T.cast(lr, dtype=theano.config.floatX)
        if persistent is None:
            return self.get_reconstruction_cost(pre_sigmoid_nvs[-1]), updates
        updates[persistent] = nh_samples[-1]
        return self.get_pseudo_likelihood_cost(updates), updates

    def get_pseudo_likelihood_cost(self, updates):
        bit_i_idx = theano.shared(value=0, name="bit_i_idx")
        xi = T.round(self.input)
        fe_xi = self.free_energy(xi)
        xi_flip = T.set_subtensor(xi[:, bit_i_idx], 1 - xi[:, bit_i_idx])
        cost = T.mean(VISIBLE * T.log(T.nnet.sigmoid(self.free_energy(xi_flip) - fe_xi)))
        updates[bit_i_idx] = (bit_i_idx + 1) % VISIBLE
        return cost

    def get_reconstruction_cost(self, pre_sigmoid_nv):
        p = T.nnet.sigmoid(pre_sigmoid_nv)
        return T.mean(T.sum(self.input * T.log(p) + (1 - self.input) * T.log(1 - p), axis=1))


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data[:1000] > 7.5).astype(theano.config.floatX)


def train_function(images, persistent, k, lr=0.1):
    index, x = T.lscalar(), T.matrix("x")
    rbm = RBM(x, np.random.RandomState(123), RandomStreams(np.random.RandomState(123).randint(2**30)))
    chain = theano.shared(np.zeros((BATCH, HIDDEN), dtype=theano.config.floatX)) if persistent else None
    cost, updates = rbm.get_cost_updates(lr=lr, persistent=chain, k=k)
    train_set_x = theano.shared(images, borrow=True)
    givens = {x: train_set_x[index * BATCH : (index + 1) * BATCH]}
    return rbm, chain, theano.function([index], cost, updates=updates, givens=givens, name="train_rbm")


def epoch(train, images):
    return np.mean([train(number) for number in range(len(images) // BATCH)])


@pytest.mark.parametrize(("persistent", "k"), [(False, 1), (False, 3), (True, 5)])
def test_training_improves_the_model(digits, persistent, k):
    rbm, chain, train = train_function(digits, persistent, k)
    costs = [epoch(train, digits) for _ in range(4)]
    assert costs[0] < costs[1] < costs[-1]
    if persistent:
        assert set(np.unique(chain.get_value())) == {0.0, 1.0}
    # The model prefers digits to noise of the same density.
    x = T.matrix()
    energy = theano.function([x], rbm.free_energy(x).mean())
    noise = np.random.default_rng(0).permuted(digits, axis=1)
    assert energy(digits) < energy(noise) - 10


def test_one_step_is_that_of_numpy_with_the_same_numbers(digits):
    k, lr = 3, 0.1
    rbm, _, train = train_function(digits, False, k, lr)
    w, b, c = (param.get_value() for param in rbm.params)
    train(2)
    seeds = np.random.RandomState(np.random.RandomState(123).randint(2**30)).randint(2**30, size=3)
    start, visible, hidden = (np.random.RandomState(int(seed)) for seed in seeds)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    v0 = digits[2 * BATCH : 3 * BATCH]
    h = start.binomial(1, sigmoid(v0 @ w + b))
    for _ in range(k):
        v = visible.binomial(1, sigmoid(h @ w.T + c))
        h = hidden.binomial(1, sigmoid(v @ w + b))
    up0, up = sigmoid(v0 @ w + b), sigmoid(v @ w + b)
    wanted = [
        w + lr * (v0.T @ up0 - v.T @ up) / BATCH,
        b + lr * (up0 - up).mean(axis=0),
        c + lr * (v0 - v).mean(axis=0),
    ]
    for param, value in zip(rbm.params, wanted, strict=True):
        np.testing.assert_allclose(param.get_value(), value, rtol=1e-9, atol=1e-12)


def test_sampling_from_the_model(digits):
    rbm, _, train = train_function(digits, True, 5)
    for _ in range(2):
        epoch(train, digits)
    chains = theano.shared(digits[:10], name="chains")
    [_, _, _, _, vis_mfs, vis_samples], updates = theano.scan(
        rbm.gibbs_vhv, outputs_info=[None, None, None, None, None, chains], n_steps=50, name="gibbs_vhv"
    )
    updates.update({chains: vis_samples[-1]})
    sample = theano.function([], [vis_mfs[-1], vis_samples[-1]], updates=updates, name="sample_fn")
    means, samples = sample()
    assert means.shape == samples.shape == (10, VISIBLE)
    assert np.all((means >= 0) & (means <= 1))
    np.testing.assert_array_equal(chains.get_value(), samples)
    again, _ = sample()
    assert not np.array_equal(again, means)
    # What the chains dream of resembles digits in where ink is.
    assert np.corrcoef(np.mean([sample()[0].mean(axis=0) for _ in range(5)], axis=0), digits.mean(axis=0))[0, 1] > 0.6


def test_a_trained_machine_goes_on_after_pickling(digits):
    rbm, _, train = train_function(digits, False, 1)
    train(0)
    again = pickle.loads(pickle.dumps(train))
    assert train(1) == again(1)
    assert train(2) == again(2)
    assert rbm.W.get_value().shape == (VISIBLE, HIDDEN)
