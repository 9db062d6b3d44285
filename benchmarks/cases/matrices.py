"""Products, decompositions, systems of equations."""

import math
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case, in_float32


def factorization(np: Any, a: Any, b: Any, target: Any) -> Any:
    error = a @ b - target
    return np.mean(error * error)


def make_factorization(rng: numpy.random.Generator, n: int, rank: int) -> Arrays:
    return in_float32(rng.normal(size=(n, rank)), rng.normal(size=(rank, n)), rng.normal(size=(n, n)))


def gaussian_process(np: Any, log_lengths: Any, log_size: Any, log_noise: Any, x: Any, y: Any, unit: Any) -> Any:
    """Minus the log marginal likelihood, up to a constant: Rasmussen and Williams (2006), algorithm 2.1."""
    z = x * np.exp(-log_lengths)
    squares = np.sum(z * z, axis=1)
    apart = squares[:, None] + squares[None, :] - 2.0 * (z @ z.T)
    factor = np.linalg.cholesky(np.exp(2.0 * log_size - 0.5 * apart) + np.exp(log_noise) * unit)
    # The axes are named in the one order that autograd knows.
    return 0.5 * np.sum(np.linalg.solve(factor, y) ** 2) + np.sum(np.log(np.diagonal(factor, 0, -1, -2)))


def make_gaussian_process(rng: numpy.random.Generator, n: int, dimensions: int) -> Arrays:
    parameters = 0.1 * rng.normal(size=dimensions), numpy.zeros(()), numpy.full((), -1.0)
    return *parameters, rng.normal(size=(n, dimensions)), rng.normal(size=n), numpy.eye(n)


def linear_system(np: Any, a: Any, b: Any, target: Any) -> Any:
    """A system of equations, and the volume that its matrix spans."""
    _, volume = np.linalg.slogdet(a)
    return np.mean((np.linalg.solve(a, b) - target) ** 2) + 0.01 * volume


def make_linear_system(rng: numpy.random.Generator, n: int, columns: int) -> Arrays:
    a = numpy.eye(n) + 0.3 * rng.normal(size=(n, n)) / math.sqrt(n)
    return a, rng.normal(size=(n, columns)), rng.normal(size=(n, columns))


def small_systems(np: Any, a: Any, b: Any) -> Any:
    return np.mean(np.linalg.solve(a, b) ** 2)


def make_small_systems(rng: numpy.random.Generator, count: int, n: int) -> Arrays:
    return 3.0 * numpy.eye(n) + 0.5 * rng.normal(size=(count, n, n)), rng.normal(size=(count, n, 1))


def occupation(np: Any, a: Any, weight: Any) -> Any:
    """A function of a symmetric matrix: Fermi's occupation of its levels."""
    levels, states = np.linalg.eigh(a + a.T)
    return np.sum((states / (1.0 + np.exp(levels))) @ states.T * weight)


def make_occupation(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=(n, n)) / math.sqrt(n), rng.normal(size=(n, n))


CASES = (
    Case(
        "factorization",
        "matrix factorization 512x64x512, f32",
        factorization,
        make_factorization,
        2,
        {"n": 512, "rank": 64},
        {"n": 5, "rank": 2},
    ),
    Case(
        "gaussian_process",
        "Gaussian process by Cholesky, 200 points, 4-d, f64",
        gaussian_process,
        make_gaussian_process,
        3,
        {"n": 200, "dimensions": 4},
        {"n": 5, "dimensions": 2},
    ),
    Case(
        "linear_system",
        "solve and log-determinant, 200x200, 8 right-hand sides, f64",
        linear_system,
        make_linear_system,
        2,
        {"n": 200, "columns": 8},
        {"n": 4, "columns": 2},
    ),
    Case(
        "small_systems",
        "1000 systems of 4x4, f64",
        small_systems,
        make_small_systems,
        2,
        {"count": 1000, "n": 4},
        {"count": 3, "n": 2},
    ),
    Case(
        "occupation",
        "function of a symmetric matrix by eigh, 64x64, f64",
        occupation,
        make_occupation,
        1,
        {"n": 64},
        {"n": 4},
    ),
)
