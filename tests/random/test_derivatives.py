"""Derivatives of samples with respect to the parameters of their distributions, for the noise that was drawn."""

import numpy as np
import pytest

import tracer
from tracer import errors

V = np.array([0.7, 1.4, 2.3])
CASES = {
    "normal": (V, V + 1),
    "uniform": (-V, V),
    "exponential": (V,),
    "laplace": (V, V),
    "logistic": (V, V),
    "gumbel": (V, V),
    "lognormal": (V, V / 2),
    "weibull": (V,),
    "power": (V,),
    "pareto": (V + 1,),
    "rayleigh": (V,),
    "triangular": (-V, V / 3, V),
}
MAKERS = (np.random.default_rng, np.random.RandomState)


def differences(function, arrays, step=1e-6):
    result = []
    for place, array in enumerate(arrays):
        gradient = np.empty_like(array)
        for index in np.ndindex(array.shape):
            moved = []
            for sign in (1, -1):
                other = [item.copy() for item in arrays]
                other[place][index] += sign * step
                moved.append(function(*other))
            gradient[index] = (moved[0] - moved[1]) / (2 * step)
        result.append(gradient)
    return result


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_both_modes_agree_with_differences(name, make):
    """Also of samples larger than their parameters, and with a second call that draws other numbers."""
    for size in (None, (4, 3)):
        rng, plain, arrays = make(3), make(3), CASES[name]

        def cost(rng, *parameters, size=size):
            return np.sum(np.sin(getattr(rng, name)(*parameters, size=size)))

        wrt = tuple(range(1, len(arrays) + 1))
        reverse = tracer.compile(tracer.value_and_grad(cost, argnums=wrt))
        forward = tracer.compile(lambda rng, values, tangents: tracer.jvp(lambda *a: cost(rng, *a), values, tangents))
        for seed in (3, 4):
            rng, plain = make(seed), make(seed)
            value, gradients = reverse(rng, *arrays)
            expected = differences(lambda *args, seed=seed: cost(make(seed), *args), arrays)
            np.testing.assert_allclose(value, cost(plain, *arrays), rtol=1e-13)
            for one, other in zip(gradients, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
            tangents = tuple(np.cos(array) for array in arrays)
            _, tangent = forward(make(seed), arrays, tangents)
            total = sum(np.sum(one * other) for one, other in zip(gradients, tangents, strict=True))
            np.testing.assert_allclose(tangent, total, rtol=1e-9)


def test_scale_of_gamma_and_mean_of_von_mises():
    def cost(rng, scale, mu):
        return np.sum(rng.gamma(V, scale) ** 2) + np.sum(rng.vonmises(mu, 2.0) ** 2)

    f = tracer.grad(cost, argnums=(1, 2))
    for seed in (1, 2):
        found = f(np.random.default_rng(seed), V, V / 10)
        expected = differences(lambda *a, seed=seed: cost(np.random.default_rng(seed), *a), (V, V / 10))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("method", ["svd", "eigh", "cholesky"])
def test_multivariate_normal(method):
    cov = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 0.5]])

    def cost(rng, mean, root):
        return np.sum(np.sin(rng.multivariate_normal(mean, root @ root.T + np.eye(3), 4, method=method)))

    f = tracer.grad(cost, argnums=(1, 2))
    for seed in (1, 2):
        found = f(np.random.default_rng(seed), V, cov)
        expected = differences(lambda *a, seed=seed: cost(np.random.default_rng(seed), *a), (V, cov))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_permutations_and_choices_pass_derivatives_on():
    weights = np.arange(1.0, 4.0)

    def cost(rng, x):
        y = x * 1.0
        rng.shuffle(y)
        return np.sum(weights * (y + rng.permutation(x) + rng.choice(x, 3) + rng.permuted(x)))

    f = tracer.grad(cost, argnums=1)
    for seed in (1, 2):
        expected = differences(lambda x, seed=seed: cost(np.random.default_rng(seed), x), (V,))[0]
        np.testing.assert_allclose(f(np.random.default_rng(seed), V), expected, rtol=1e-7)


def test_second_derivatives_see_the_same_noise():
    def cost(x, rng):
        return np.sum(rng.lognormal(x, x) ** 2)

    f = tracer.compile(lambda x, rng: tracer.grad(lambda y: np.sum(tracer.grad(cost)(y, rng)))(x))
    noise = np.random.default_rng(3).standard_normal(3)
    expected = 4 * (1 + noise) ** 2 * np.exp(2 * (V / 3 + V / 3 * noise))
    np.testing.assert_allclose(f(V / 3, np.random.default_rng(3)), expected, rtol=1e-10)


def test_parameters_without_a_derivative():
    rng = np.random.default_rng(3)
    for name in ("beta", "wald"):
        with pytest.raises(errors.NotDifferentiableError, match=rf"(?s)no derivative flows.*{name}"):
            tracer.grad(lambda x, name=name: np.sum(getattr(rng, name)(x, x)))(V)
    assert rng.random() == np.random.default_rng(3).random()
    gradient = tracer.grad(lambda x: np.sum(x * rng.poisson(V)))(V)
    assert gradient.dtype == np.float64


def test_a_training_loop_with_dropout_learns_what_plain_numpy_does():
    data = np.random.default_rng(0)
    x, y = data.normal(size=(50, 4)), data.normal(size=50)
    w, rng = tracer.shared(np.zeros(4), name="w"), tracer.random.default_rng(7)

    @tracer.compile(updates=tracer.optim.sgd(0.1))
    def cost(x, y):
        kept = np.where(rng.random(x.shape) < 0.2, 0.0, x / 0.8)
        return np.mean((kept @ w - y) ** 2)

    plain, weights = np.random.default_rng(7), np.zeros(4)
    for _ in range(5):
        kept = np.where(plain.random(x.shape) < 0.2, 0.0, x / 0.8)
        error = kept @ weights - y
        np.testing.assert_allclose(cost(x, y), np.mean(error**2), rtol=1e-12)
        weights = weights - 0.1 * 2 * kept.T @ error / 50
    np.testing.assert_allclose(w.get_value(), weights, rtol=1e-10)
    assert rng.bit_generator.state == plain.bit_generator.state


def test_a_variational_autoencoder_step():
    mean, log_scale = tracer.shared(np.zeros(3), name="mean"), tracer.shared(np.zeros(3), name="log_scale")
    rng, target = np.random.default_rng(5), np.array([1.0, -2.0, 0.5])

    @tracer.compile(updates=tracer.optim.sgd(0.05))
    def cost(target):
        z = rng.normal(mean, np.exp(log_scale), size=(64, 3))
        return np.mean((z - target) ** 2) - np.mean(log_scale) + 0.1 * np.mean(np.exp(2 * log_scale))

    losses = [cost(target) for _ in range(300)]
    assert losses[-1] < losses[0] / 2
    np.testing.assert_allclose(mean.get_value(), target, atol=0.15)
    assert len(set(losses)) == len(losses)
