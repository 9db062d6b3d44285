"""Arithmetic and functions, element by element."""

import math
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case

# Coefficients of the normal distribution function: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17.
NORMAL_TAIL = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)


def chain(np: Any, x: Any, y: Any) -> Any:
    return np.sum(np.tanh(x) * np.exp(-y * y) + np.log1p(x * x) * np.sqrt(1.0 + y * y))


def make_pair(rng: numpy.random.Generator, n: int, dtype: Any) -> Arrays:
    return tuple(rng.normal(size=n).astype(dtype, copy=False) for _ in range(2))


def polynomial(np: Any, x: Any, y: Any) -> Any:
    return np.sum((x * y + 0.5) * (x - y) * x + 3.0 * y * y - 2.0 * x + y)


def huber(np: Any, prediction: Any, target: Any) -> Any:
    error = prediction - target
    size = np.abs(error)
    return np.mean(np.where(size < 1.0, 0.5 * error**2, size - 0.5))


def normal_distribution(np: Any, x: Any) -> Any:
    t = 1.0 / (1.0 + 0.2316419 * np.abs(x))
    a, b, c, d, e = NORMAL_TAIL
    tail = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * t * (a + t * (b + t * (c + t * (d + t * e))))
    return np.where(x > 0.0, 1.0 - tail, tail)


def black_scholes(np: Any, spot: Any, strike: Any, years: Any, volatility: Any) -> Any:
    rate = 0.02
    spread = volatility * np.sqrt(years)
    upper = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    discount = np.exp(-rate * years)
    calls = spot * normal_distribution(np, upper) - strike * discount * normal_distribution(np, upper - spread)
    return np.mean(calls)


def make_black_scholes(rng: numpy.random.Generator, n: int) -> Arrays:
    ranges = ((80.0, 120.0), (80.0, 120.0), (0.2, 2.0), (0.1, 0.5))
    return tuple(rng.uniform(low, high, size=n) for low, high in ranges)


_SMALL = {"n": 7, "dtype": "float32"}

CASES = (
    Case(
        "chain_f64",
        "tanh/exp/log1p/sqrt chain, 2 x 1e6, f64",
        chain,
        make_pair,
        2,
        {"n": 10**6, "dtype": "float64"},
        {"n": 7, "dtype": "float64"},
    ),
    Case(
        "chain_f32",
        "tanh/exp/log1p/sqrt chain, 2 x 1e6, f32",
        chain,
        make_pair,
        2,
        {"n": 10**6, "dtype": "float32"},
        _SMALL,
    ),
    Case(
        "polynomial_1e5",
        "cheap polynomial, 2 x 1e5, f32",
        polynomial,
        make_pair,
        2,
        {"n": 10**5, "dtype": "float32"},
        _SMALL,
    ),
    Case(
        "polynomial_1e7",
        "cheap polynomial, 2 x 1e7, f32",
        polynomial,
        make_pair,
        2,
        {"n": 10**7, "dtype": "float32"},
        {"n": 300, "dtype": "float32"},
    ),
    Case(
        "huber",
        "Huber loss (where, abs), 1e6, f64",
        huber,
        make_pair,
        1,
        {"n": 10**6, "dtype": "float64"},
        {"n": 9, "dtype": "float64"},
    ),
    Case(
        "black_scholes",
        "Black-Scholes prices and Greeks, 200,000 options, f64",
        black_scholes,
        make_black_scholes,
        4,
        {"n": 200_000},
        {"n": 9},
    ),
)
