"""Functions of a few small arrays, where calling costs more than computing."""

from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case


def rosenbrock(np: Any, x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def make_rosenbrock(rng: numpy.random.Generator, n: int) -> Arrays:
    return (rng.normal(size=n),)


def three_arrays(np: Any, x: Any, y: Any, z: Any) -> Any:
    return np.sum(np.exp(-x * x) * np.sin(y) + z * y)


def make_three_arrays(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=n), rng.normal(size=n), rng.normal(size=n)


def tiny_network(np: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    return np.mean((np.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2)


def make_tiny_network(rng: numpy.random.Generator, batch: int, inputs: int, hidden: int) -> Arrays:
    weights = rng.normal(size=(inputs, hidden)), numpy.zeros(hidden), rng.normal(size=(hidden, 1)), numpy.zeros(1)
    return *weights, rng.normal(size=(batch, inputs)), rng.normal(size=(batch, 1))


CASES = (
    Case("rosenbrock", "Rosenbrock, n=10, f64", rosenbrock, make_rosenbrock, 1, {"n": 10}, {"n": 4}),
    Case("three_arrays", "three arrays of 16, f64", three_arrays, make_three_arrays, 3, {"n": 16}, {"n": 5}),
    Case(
        "tiny_network",
        "network of six small arrays, 4-8-1, batch 4, f64",
        tiny_network,
        make_tiny_network,
        4,
        {"batch": 4, "inputs": 4, "hidden": 8},
        {"batch": 2, "inputs": 3, "hidden": 4},
    ),
)
