"""Loops in Python, step by step, of which the value alone is asked: what numba compiles from the same source."""

from functools import partial
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case

# Minutes of compiling what a Python loop has unrolled.
UNROLLERS = ("jax", "jax_numpy", "torch_compile", "pytensor")


def logistic_map(np: Any, x: Any, growth: Any, steps: int) -> Any:
    for _ in range(steps):
        x = growth * x * (1.0 - x)
    return np.mean(x)


def logistic_map_scanned(np: Any, x: Any, growth: Any, steps: int) -> Any:
    import jax

    return np.mean(jax.lax.fori_loop(0, steps, lambda _, x: growth * x * (1.0 - x), x))


def make_logistic_map(rng: numpy.random.Generator, n: int) -> Arrays:
    # Where the map is stable: in its chaos the last digits of the peers would tell them apart.
    return rng.uniform(0.1, 0.9, size=n), rng.uniform(1.5, 2.9, size=n)


def autoregression(np: Any, x: Any, weights: Any) -> Any:
    """A filter of second order over time."""
    y = np.zeros_like(x)
    for t in range(2, len(x)):
        y[t] = weights[0] * y[t - 1] + weights[1] * y[t - 2] + x[t]
    return np.mean(y * y)


def autoregression_jax(np: Any, x: Any, weights: Any) -> Any:
    import jax

    def step(carry: Any, now: Any) -> Any:
        last, before = carry
        new = weights[0] * last + weights[1] * before + now
        return (new, last), new

    zero = np.zeros_like(x[0])
    return np.sum(jax.lax.scan(step, (zero, zero), x[2:])[1] ** 2) / len(x)


def make_autoregression(rng: numpy.random.Generator, steps: int) -> Arrays:
    return rng.normal(size=steps), numpy.array([0.6, 0.3])


def gauss_seidel(np: Any, u: Any, sweeps: int) -> Any:
    """Row after row, each from the new row above it."""
    u = u.copy()
    for _ in range(sweeps):
        for i in range(1, len(u) - 1):
            u[i, 1:-1] = 0.25 * (u[i - 1, 1:-1] + u[i + 1, 1:-1] + u[i, :-2] + u[i, 2:])
    return np.mean(u * u)


def gauss_seidel_jax(np: Any, u: Any, sweeps: int) -> Any:
    import jax

    def row(i: Any, u: Any) -> Any:
        return u.at[i, 1:-1].set(0.25 * (u[i - 1, 1:-1] + u[i + 1, 1:-1] + u[i, :-2] + u[i, 2:]))

    def sweep(_: Any, u: Any) -> Any:
        return jax.lax.fori_loop(1, u.shape[0] - 1, row, u)

    return np.mean(jax.lax.fori_loop(0, sweeps, sweep, u) ** 2)


def make_grid(rng: numpy.random.Generator, n: int) -> Arrays:
    return (rng.normal(size=(n, n)),)


def mandelbrot(np: Any, real: Any, imaginary: Any, steps: int) -> Any:
    """How many steps the points of a plane take to leave, on average."""
    x, y, inside = real, imaginary, 0.0 * real
    for _ in range(steps):
        # Held where they are far: they would grow without bounds.
        x, y = np.clip(x * x - y * y + real, -9.0, 9.0), np.clip(2.0 * x * y + imaginary, -9.0, 9.0)
        inside = inside + np.where(x * x + y * y < 4.0, 1.0, 0.0)
    return np.mean(inside)


def mandelbrot_scanned(np: Any, real: Any, imaginary: Any, steps: int) -> Any:
    import jax

    def step(_: Any, state: Any) -> Any:
        x, y, inside = state
        x, y = np.clip(x * x - y * y + real, -9.0, 9.0), np.clip(2.0 * x * y + imaginary, -9.0, 9.0)
        return x, y, inside + np.where(x * x + y * y < 4.0, 1.0, 0.0)

    return np.mean(jax.lax.fori_loop(0, steps, step, (real, imaginary, 0.0 * real))[2])


def make_plane(rng: numpy.random.Generator, n: int) -> Arrays:
    real, imaginary = numpy.meshgrid(numpy.linspace(-2.0, 0.5, n), numpy.linspace(-1.2, 1.2, n))
    return real.copy(), imaginary.copy()


CASES = (
    Case(
        "logistic_map",
        "logistic map, 1000 values, 1000 steps, f64",
        partial(logistic_map, steps=1000),
        make_logistic_map,
        0,
        {"n": 1000},
        {"n": 5},
        scanned=partial(logistic_map_scanned, steps=1000),
        without=UNROLLERS,
    ),
    Case(
        "autoregression",
        "autoregressive filter, 10,000 steps, f64",
        autoregression,
        make_autoregression,
        0,
        {"steps": 10_000},
        {"steps": 30},
        in_jax=autoregression_jax,
    ),
    Case(
        "gauss_seidel",
        "Gauss-Seidel by rows, 200x200, 5 sweeps, f64",
        partial(gauss_seidel, sweeps=5),
        make_grid,
        0,
        {"n": 200},
        {"n": 8},
        in_jax=partial(gauss_seidel_jax, sweeps=5),
    ),
    Case(
        "mandelbrot",
        "Mandelbrot set, 256x256, 50 steps, f64",
        partial(mandelbrot, steps=50),
        make_plane,
        0,
        {"n": 256},
        {"n": 8},
        scanned=partial(mandelbrot_scanned, steps=50),
        without=("pytensor",),
    ),
)
