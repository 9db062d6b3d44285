"""Bodies under gravity, and ten thousand steps of oscillators."""

from functools import partial
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case


def acceleration(np: Any, position: Any, mass: Any) -> Any:
    apart = position[:, None, :] - position[None, :, :]
    square = np.sum(apart * apart, axis=2) + 0.1
    return -np.sum(apart * (mass / (square * np.sqrt(square)))[:, :, None], axis=1)


def energy(np: Any, position: Any, velocity: Any, mass: Any) -> Any:
    return np.sum(mass * np.sum(velocity * velocity, axis=1)) + np.sum(position * position)


def nbody(np: Any, position: Any, velocity: Any, mass: Any, steps: int) -> Any:
    step = 0.01
    velocity = velocity + 0.5 * step * acceleration(np, position, mass)
    for _ in range(steps):
        position = position + step * velocity
        velocity = velocity + step * acceleration(np, position, mass)
    return energy(np, position, velocity, mass)


def nbody_scanned(np: Any, position: Any, velocity: Any, mass: Any, steps: int) -> Any:
    import jax

    def leap(carry: Any, _: Any) -> Any:
        position, velocity = carry
        position = position + 0.01 * velocity
        return (position, velocity + 0.01 * acceleration(np, position, mass)), None

    start = position, velocity + 0.005 * acceleration(np, position, mass)
    return energy(np, *jax.lax.scan(leap, start, length=steps)[0], mass)


def make_nbody(rng: numpy.random.Generator, bodies: int) -> Arrays:
    return rng.normal(size=(bodies, 3)), 0.1 * rng.normal(size=(bodies, 3)), rng.uniform(0.5, 1.5, size=bodies)


def oscillators(np: Any, angle: Any, speed: Any, stiffness: Any, force: Any) -> Any:
    """Pendulums that a force drives, by the symplectic method of Euler."""
    for step in range(np.shape(force)[0]):
        speed = speed + 0.001 * (force[step] - stiffness * np.sin(angle))
        angle = angle + 0.001 * speed
    return np.mean(angle * angle)


def oscillators_scanned(np: Any, angle: Any, speed: Any, stiffness: Any, force: Any) -> Any:
    import jax

    def move(carry: Any, force: Any) -> Any:
        angle, speed = carry
        speed = speed + 0.001 * (force - stiffness * np.sin(angle))
        return (angle + 0.001 * speed, speed), None

    (angle, _), _ = jax.lax.scan(move, (angle, speed), force)
    return np.mean(angle * angle)


def make_oscillators(rng: numpy.random.Generator, n: int, steps: int) -> Arrays:
    return rng.normal(size=n), rng.normal(size=n), rng.uniform(0.5, 1.5, size=n), rng.normal(size=steps)


CASES = (
    Case(
        "nbody",
        "n-body leapfrog, 32 bodies, 20 steps, f64",
        partial(nbody, steps=20),
        make_nbody,
        2,
        {"bodies": 32},
        {"bodies": 4},
        scanned=partial(nbody_scanned, steps=20),
    ),
    Case(
        "oscillators",
        "16 oscillators, 10,000 steps, f64",
        oscillators,
        make_oscillators,
        3,
        {"n": 16, "steps": 10_000},
        {"n": 2, "steps": 5},
        scanned=oscillators_scanned,
        # Minutes of compiling what a Python loop has unrolled.
        without=("jax", "jax_numpy", "torch_compile", "pytensor"),
    ),
)
