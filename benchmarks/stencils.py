"""Cases that write in place, for the peers that cannot run NumPy's spelling of them too."""

from typing import Any

import numpy

Arrays = tuple[numpy.ndarray, ...]


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
