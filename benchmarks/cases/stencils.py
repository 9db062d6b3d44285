"""Sweeps over grids, as new arrays and written in place."""

from functools import partial
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case


def stencil(np: Any, u: Any, source: Any, steps: int) -> Any:
    # Every sweep gives up the border it cannot compute, so no boundary has to be written in place.
    for _ in range(steps):
        source = source[1:-1, 1:-1]
        u = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]) + source
    return np.mean(u * u)


def make_stencil(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=(n, n)), 0.1 * rng.normal(size=(n, n))


def heat(np: Any, u: Any, steps: int) -> Any:
    """Diffusion."""
    u = u.copy()
    for _ in range(steps):
        u[1:-1, 1:-1] += 0.2 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1])
    return np.mean(u**2)


def heat_jax(np: Any, u: Any, steps: int) -> Any:
    import jax

    def step(_: Any, u: Any) -> Any:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return u.at[1:-1, 1:-1].add(0.2 * (around - 4.0 * u[1:-1, 1:-1]))

    return np.mean(jax.lax.fori_loop(0, steps, step, u) ** 2)


def reaction(np: Any, u: Any, steps: int) -> Any:
    """Diffusion and a cubic reaction (Allen and Cahn)."""
    u = u.copy()
    for _ in range(steps):
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.1 * (flow + u[1:-1, 1:-1] - u[1:-1, 1:-1] ** 3)
    return np.mean(u**2)


def reaction_jax(np: Any, u: Any, steps: int) -> Any:
    import jax

    def step(_: Any, u: Any) -> Any:
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1]
        return u.at[1:-1, 1:-1].add(0.1 * (flow + u[1:-1, 1:-1] - u[1:-1, 1:-1] ** 3))

    return np.mean(jax.lax.fori_loop(0, steps, step, u) ** 2)


def wave(np: Any, u: Any, v: Any, steps: int) -> Any:
    """Waves on a staggered grid (FDTD)."""
    u, v = u.copy(), v.copy()
    for _ in range(steps):
        v[:-1] += 0.3 * (u[1:] - u[:-1])
        u[1:-1] += 0.3 * (v[1:-1] - v[:-2])
    return np.mean(u**2)


def wave_jax(np: Any, u: Any, v: Any, steps: int) -> Any:
    import jax

    def step(_: Any, state: Any) -> Any:
        u, v = state
        v = v.at[:-1].add(0.3 * (u[1:] - u[:-1]))
        return u.at[1:-1].add(0.3 * (v[1:-1] - v[:-2])), v

    return np.mean(jax.lax.fori_loop(0, steps, step, (u, v))[0] ** 2)


def make_field(rng: numpy.random.Generator, n: int) -> Arrays:
    return (0.5 * rng.normal(size=(n, n)),)


def make_fields(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=(n, n)), rng.normal(size=(n, n))


CASES = (
    Case(
        "stencil",
        "Jacobi stencil, 300x300, 20 sweeps, f64",
        partial(stencil, steps=20),
        make_stencil,
        2,
        {"n": 300},
        {"n": 44},
    ),
    Case(
        "stencil_heat",
        "heat in place, 300x300, 50 steps, f64",
        partial(heat, steps=50),
        make_field,
        1,
        {"n": 300},
        {"n": 9},
        in_jax=partial(heat_jax, steps=50),
    ),
    Case(
        "stencil_reaction",
        "reaction and diffusion in place, 300x300, 50 steps, f64",
        partial(reaction, steps=50),
        make_field,
        1,
        {"n": 300},
        {"n": 9},
        in_jax=partial(reaction_jax, steps=50),
    ),
    Case(
        "stencil_wave",
        "waves in place, 300x300, 50 steps, f64",
        partial(wave, steps=50),
        make_fields,
        2,
        {"n": 300},
        {"n": 9},
        in_jax=partial(wave_jax, steps=50),
    ),
)
