"""Mixtures, densities, clusters, distances, filters over time."""

import math
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case


def gaussian_mixture(np: Any, log_weights: Any, means: Any, log_scales: Any, x: Any) -> Any:
    z = (x[:, None, :] - means) * np.exp(-log_scales)
    joint = log_weights - np.sum(0.5 * z * z + log_scales, axis=2)
    top = np.max(joint, axis=1, keepdims=True)
    return -np.mean(top[:, 0] + np.log(np.sum(np.exp(joint - top), axis=1))) + np.log(np.sum(np.exp(log_weights)))


def make_gaussian_mixture(rng: numpy.random.Generator, n: int, components: int, dimensions: int) -> Arrays:
    means = rng.normal(size=(components, dimensions))
    return 0.1 * rng.normal(size=components), means, 0.1 * means[::-1], rng.normal(size=(n, dimensions))


def gaussian_log_density(np: Any, mean: Any, factor: Any, log_diagonal: Any, x: Any, mask: Any) -> Any:
    # The precision matrix is L @ L.T with L lower triangular, so its determinant needs no decomposition.
    z = (x - mean) @ (factor * mask) + (x - mean) * np.exp(log_diagonal)
    return 0.5 * np.mean(np.sum(z * z, axis=1)) - np.sum(log_diagonal)


def make_gaussian_log_density(rng: numpy.random.Generator, n: int, dimensions: int) -> Arrays:
    factor = rng.normal(size=(dimensions, dimensions)) / math.sqrt(dimensions)
    mean, log_diagonal = rng.normal(size=dimensions), 0.1 * rng.normal(size=dimensions)
    mask = numpy.tril(numpy.ones((dimensions, dimensions)), -1)
    return mean, factor, log_diagonal, rng.normal(size=(n, dimensions)), mask


def k_means(np: Any, centres: Any, x: Any) -> Any:
    squares = np.sum(x * x, axis=1)[:, None] - 2.0 * (x @ centres.T) + np.sum(centres * centres, axis=1)
    return np.mean(np.min(squares, axis=1))


def make_k_means(rng: numpy.random.Generator, n: int, clusters: int, dimensions: int) -> Arrays:
    return rng.normal(size=(clusters, dimensions)), rng.normal(size=(n, dimensions))


def pairwise_distances(np: Any, x: Any, target: Any) -> Any:
    """The stress of points whose distances should be the given ones."""
    apart = x[:, None, :] - x[None, :, :]
    distances = np.sqrt(np.sum(apart * apart, axis=2) + 1e-6)
    return np.mean((distances - target) ** 2)


def make_pairwise_distances(rng: numpy.random.Generator, n: int, dimensions: int) -> Arrays:
    return rng.normal(size=(n, dimensions)), rng.uniform(0.5, 3.0, size=(n, n))


def kalman_step(np: Any, model: tuple[Any, ...], mean: Any, spread: Any, seen: Any) -> tuple[Any, ...]:
    """Predict, weigh against what was seen, and give the log likelihood of that, up to a constant."""
    transition, noise, observation, blur = model
    mean, spread = transition @ mean, transition @ spread @ transition.T + noise
    crossed = observation @ spread
    expected = crossed @ observation.T + blur
    surprise = seen - observation @ mean
    gain = np.linalg.solve(expected, crossed).T
    likelihood = -0.5 * (np.sum(surprise * np.linalg.solve(expected, surprise)) + np.log(np.linalg.det(expected)))
    return mean + gain @ surprise, spread - gain @ crossed, likelihood


def kalman_model(np: Any, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    transition, log_noise, log_blur, observation, states, seen = arrays
    return transition, states * np.exp(log_noise), observation, seen * np.exp(log_blur)


def kalman(np: Any, *arrays: Any) -> Any:
    *model, x, mean = arrays
    parts = kalman_model(np, tuple(model))
    spread, total = model[4], 0.0
    for step in range(np.shape(x)[0]):
        mean, spread, likelihood = kalman_step(np, parts, mean, spread, x[step])
        total = total - likelihood
    return total


def kalman_scanned(np: Any, *arrays: Any) -> Any:
    import jax

    *model, x, mean = arrays
    parts = kalman_model(np, tuple(model))

    def step(carry: Any, row: Any) -> Any:
        *carry, likelihood = kalman_step(np, parts, *carry, row)
        return tuple(carry), likelihood

    return -np.sum(jax.lax.scan(step, (mean, model[4]), x)[1])


def make_kalman(rng: numpy.random.Generator, steps: int, states: int, seen: int) -> Arrays:
    transition = 0.9 * numpy.eye(states) + 0.05 * rng.normal(size=(states, states))
    noises = 0.1 * rng.normal(size=states), 0.1 * rng.normal(size=seen)
    observation = rng.normal(size=(seen, states))
    units = numpy.eye(states), numpy.eye(seen)
    return transition, *noises, observation, *units, rng.normal(size=(steps, seen)), numpy.zeros(states)


CASES = (
    Case(
        "gaussian_mixture",
        "Gaussian mixture, 1000 points, 10 components, 16-d, f64",
        gaussian_mixture,
        make_gaussian_mixture,
        3,
        {"n": 1000, "components": 10, "dimensions": 16},
        {"n": 5, "components": 3, "dimensions": 2},
    ),
    Case(
        "gaussian_log_density",
        "Gaussian log density, 1000 points, 64-d, f64",
        gaussian_log_density,
        make_gaussian_log_density,
        3,
        {"n": 1000, "dimensions": 64},
        {"n": 5, "dimensions": 3},
    ),
    Case(
        "k_means",
        "k-means, 5000 points, 16 clusters, 8-d, f64",
        k_means,
        make_k_means,
        1,
        {"n": 5000, "clusters": 16, "dimensions": 8},
        {"n": 9, "clusters": 3, "dimensions": 2},
    ),
    Case(
        "pairwise_distances",
        "pairwise distances (stress), 400 points, 8-d, f64",
        pairwise_distances,
        make_pairwise_distances,
        1,
        {"n": 400, "dimensions": 8},
        {"n": 5, "dimensions": 2},
    ),
    Case(
        "kalman",
        "Kalman filter, 100 steps, 4 states, 2 seen, f64",
        kalman,
        make_kalman,
        3,
        {"steps": 100, "states": 4, "seen": 2},
        {"steps": 3, "states": 3, "seen": 2},
        scanned=kalman_scanned,
        # Minutes of compiling what a Python loop has unrolled.
        without=("torch_compile", "pytensor"),
    ),
)
