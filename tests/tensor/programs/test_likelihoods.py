"""Likelihoods, their gradients, and samplers that follow them: Gaussian processes, ridge regression, Monte Carlo."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import tracer as theano
import tracer.tensor as T
from tracer.tensor.nlinalg import det, matrix_inverse
from tracer.tensor.shared_randomstreams import RandomStreams
from tracer.tensor.slinalg import cholesky, solve, solve_lower_triangular

rng = np.random.RandomState(0)
PLACES, HEIGHTS, ELSEWHERE = rng.randn(10, 2), rng.randn(10), rng.randn(5, 2)
START = {"scale": 0.3, "signal": 0.1, "noise": -1.0}


@pytest.fixture(params=["float64", "float32"], autouse=True)
def precision(request):
    with theano.config.changed(floatX=request.param):
        yield request.param


def tolerance(precision):
    return 1e-6 if precision == "float64" else 5e-3


def numeric_gradient(function, value, step=1e-6):
    shifts = np.eye(len(value)) * step
    return np.array([(function(value + shift) - function(value - shift)) / (2 * step) for shift in shifts])


def squares(x, y):
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)


@pytest.mark.parametrize("way", ["cholesky", "inverse"])
def test_the_evidence_of_a_gaussian_process_and_its_gradient(way, precision):
    X, y = T.matrix("X"), T.vector("y")
    params = [theano.shared(np.asarray(value, precision), name) for name, value in START.items()]
    scale, signal, noise = (T.exp(2 * p) for p in params)
    distances = squares(X, X)
    K = signal * T.exp(-0.5 * distances / scale) + noise * T.identity_like(distances)
    constant = 0.5 * T.cast(y.shape[0], theano.config.floatX) * np.log(2 * np.pi)
    if way == "cholesky":
        L = cholesky(K)
        half = solve_lower_triangular(L, y)
        cost = 0.5 * T.dot(half, half) + T.sum(T.log(T.diag(L))) + constant
    else:
        cost = 0.5 * T.dot(y, T.dot(matrix_inverse(K), y)) + 0.5 * T.log(det(K)) + constant
    found, *gradient = theano.function([X, y], [cost, *T.grad(cost, params)], allow_input_downcast=True)(
        PLACES, HEIGHTS
    )
    assert found.dtype == gradient[0].dtype == precision

    def numpy_cost(theta):
        covariance = np.exp(2 * theta[1]) * np.exp(-0.5 * squares(PLACES, PLACES) / np.exp(2 * theta[0]))
        covariance += np.exp(2 * theta[2]) * np.eye(10)
        return -multivariate_normal.logpdf(HEIGHTS, np.zeros(10), covariance)

    theta = np.array(list(START.values()))
    np.testing.assert_allclose(found, numpy_cost(theta), rtol=tolerance(precision))
    np.testing.assert_allclose(gradient, numeric_gradient(numpy_cost, theta), rtol=tolerance(precision), atol=1e-4)


def test_kernel_ridge_regression_and_the_gradient_of_its_error(precision):
    X, Z, y = T.matrix("X"), T.matrix("Z"), T.vector("y")
    ridge, width = T.scalars("ridge", "width")

    def kernel(a, b):
        return T.exp(-width * ((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * T.dot(a, b.T)))

    weights = solve(kernel(X, X) + ridge * T.eye(X.shape[0]), y)
    predicted = T.dot(kernel(Z, X), weights)
    gradient = T.grad(T.sum(predicted**2), [ridge, width])
    f = theano.function([X, Z, y, ridge, width], [predicted, *gradient], allow_input_downcast=True)
    found, *slopes = f(PLACES, ELSEWHERE, HEIGHTS, 0.5, 0.7)

    def numpy_prediction(theta):
        spread = np.exp(-theta[1] * squares(PLACES, PLACES)) + theta[0] * np.eye(10)
        return np.exp(-theta[1] * squares(ELSEWHERE, PLACES)) @ np.linalg.solve(spread, HEIGHTS)

    theta = np.array([0.5, 0.7])
    assert found.dtype == precision
    np.testing.assert_allclose(found, numpy_prediction(theta), rtol=tolerance(precision), atol=1e-4)
    expected = numeric_gradient(lambda value: np.sum(numpy_prediction(value) ** 2), theta)
    np.testing.assert_allclose(slopes, expected, rtol=tolerance(precision), atol=1e-4)


def test_a_mixture_of_normals_far_from_the_data_stays_finite(precision):
    x, means, logits, log_sigma = T.vector("x"), T.vector("means"), T.vector("logits"), T.scalar("log_sigma")
    weights = T.nnet.logsoftmax(logits.dimshuffle("x", 0))
    z = (x.dimshuffle(0, "x") - means.dimshuffle("x", 0)) / T.exp(log_sigma)
    terms = weights - 0.5 * z**2 - log_sigma - 0.5 * np.log(2 * np.pi)
    most = terms.max(axis=1, keepdims=True)
    likelihood = (most + T.log(T.exp(terms - most).sum(axis=1, keepdims=True))).sum()
    variables = [means, logits, log_sigma]
    f = theano.function([x, *variables], [likelihood, *T.grad(likelihood, variables)], allow_input_downcast=True)
    data, centers, mix = np.array([0.5, 1.0, -200.0]), np.array([0.0, 2.0, -3.0]), np.array([0.1, -0.4, 0.3])
    found, *slopes = f(data, centers, mix, 0.2)

    def numpy_likelihood(theta):
        logs = theta[3:6] - np.log(np.exp(theta[3:6]).sum()) + norm.logpdf(data[:, None], theta[:3], np.exp(theta[6]))
        return np.logaddexp.reduce(logs, axis=1).sum()

    theta = np.concatenate([centers, mix, [0.2]])
    assert found.dtype == precision
    np.testing.assert_allclose(found, numpy_likelihood(theta), rtol=1e-5)
    expected = numeric_gradient(numpy_likelihood, theta)
    np.testing.assert_allclose(np.concatenate([*slopes[:2], [slopes[2]]]), expected, rtol=1e-3, atol=1e-3)


def test_hybrid_monte_carlo_finds_mean_and_spread(precision):
    center, spread = np.array([1.0, -2.0]), np.array([1.0, 0.5])
    srng = RandomStreams(11)
    place = theano.shared(np.zeros((100, 2), precision))
    size = theano.shared(np.asarray(0.2, precision))

    def energy(q):
        return 0.5 * T.sqr((q - center.astype(precision)) / spread.astype(precision)).sum(axis=1)

    def slope(q):
        return T.grad(energy(q).sum(), q)

    start = srng.normal(size=place.shape)
    q, v = place, start - 0.5 * size * slope(place)
    for _ in range(5):
        q = q + size * v
        v = v - size * slope(q)
    v = v + 0.5 * size * slope(q)
    gain = energy(place) + 0.5 * (start**2).sum(axis=1) - energy(q) - 0.5 * (v**2).sum(axis=1)
    accepted = T.log(srng.uniform(size=gain.shape)) < gain
    rate = T.mean(accepted, dtype=theano.config.floatX)
    next_size = T.clip(T.switch(rate > 0.9, size * 1.02, size * 0.98), 0.01, 0.5)
    updates = {place: T.switch(accepted.dimshuffle(0, "x"), q, place), size: next_size}
    step = theano.function([], rate, updates=updates)
    rates, samples = [], []
    for _ in range(150):
        rates.append(step())
        samples.append(place.get_value())
    assert rates[0].dtype == samples[0].dtype == precision
    assert np.mean(rates[50:]) > 0.8
    kept = np.concatenate(samples[30:])
    np.testing.assert_allclose(kept.mean(0), center, atol=0.1)
    np.testing.assert_allclose(kept.std(0), spread, rtol=0.1)
