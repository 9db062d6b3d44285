"""Each program with arguments drawn for it, and what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scientific import dynamics, grids, images, inference, matrices


@dataclass(frozen=True)
class Case:
    """A program, `make(rng)` for its arguments, those to differentiate by, and what `branches` it needs."""

    program: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    argnums: tuple[int, ...] = (0,)
    branches: str = "raise"

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.__name__


def definite(r, n):
    a = r.normal(size=(n, n))
    return a @ a.T + n * np.eye(n)


def dominant(r, n):
    return r.normal(size=(n, n)) + n * np.eye(n)


def stochastic(r, *shape):
    a = r.uniform(0.2, 1, shape)
    return a / a.sum(-1, keepdims=True)


def lattice(r, n, spread):
    points = np.array([(i, j) for i in range(n) for j in range(n)], float) * 1.25
    return points + spread * r.normal(size=points.shape)


def markov(r):
    return stochastic(r, 3), stochastic(r, 3, 3), stochastic(r, 3, 4), r.integers(0, 4, 7)


def cloud(r, n, d):
    return r.normal(size=(n, d)) * np.arange(1, d + 1)


def moved(r):
    points = lattice(r, 3, 0.1)
    source = np.column_stack([points, r.normal(size=len(points))])
    return source, source[::-1] + 0.1 * r.normal(size=source.shape)


def letters(r):
    return r.integers(0, 4, 6), r.integers(0, 4, 5)


def picture(r):
    return (r.uniform(0.1, 1, (6, 7)) + np.add.outer(np.arange(6), 2 * np.arange(7)),)


def wave(n):
    return np.arange(n) * 2 * np.pi / n


CASES = [
    Case(grids.heat, lambda r: (r.normal(size=(7, 8)), np.float64(r.uniform(0.1, 0.2))), (0, 1)),
    Case(grids.jacobi, lambda r: (r.normal(size=(6, 5)),)),
    Case(grids.gauss_seidel, lambda r: (dominant(r, 5), r.normal(size=5)), (0, 1)),
    Case(grids.red_black, lambda r: (r.normal(size=(5, 6)), r.normal(size=(5, 6)), np.float64(1.4)), (1, 2)),
    Case(grids.fdtd, lambda r: (r.uniform(1, 2, 30),)),
    Case(
        grids.shallow_water,
        lambda r: (r.uniform(1, 1.2, (6, 6)), 0.1 * r.normal(size=(6, 6)), 0.1 * r.normal(size=(6, 6))),
        (0, 1, 2),
    ),
    Case(grids.burgers, lambda r: (np.sin(wave(16) + r.normal()), np.float64(r.uniform(0.05, 0.2))), (0, 1)),
    Case(grids.kdv, lambda r: (np.cos(wave(16) + r.normal()) + 0.1 * r.normal(size=16),)),
    Case(grids.life, lambda r: (r.integers(0, 2, (7, 9)),), ()),
    Case(grids.gray_scott, lambda r: (r.uniform(0.4, 1, (6, 6)), r.uniform(0, 0.4, (6, 6))), (0, 1)),
    Case(matrices.cholesky, lambda r: (definite(r, 5),)),
    Case(matrices.lu_in_place, lambda r: (dominant(r, 5),)),
    Case(matrices.lu_solve, lambda r: (r.normal(size=(4, 4)), r.normal(size=4)), (0, 1)),
    Case(
        matrices.thomas,
        lambda r: (r.normal(size=6), r.uniform(4, 5, 6), r.normal(size=6), r.normal(size=6)),
        (0, 1, 2, 3),
    ),
    Case(matrices.conjugate_gradient, lambda r: (definite(r, 6), r.normal(size=6)), (0, 1)),
    Case(matrices.gram_schmidt, lambda r: (dominant(r, 4),)),
    Case(matrices.householder, lambda r: (r.normal(size=(5, 3)),)),
    Case(matrices.principal_components, lambda r: (cloud(r, 12, 4),)),
    Case(matrices.align, lambda r: (cloud(r, 6, 3), cloud(r, 6, 3)), (0, 1)),
    Case(matrices.closest_points, lambda r: moved(r), (0, 1)),
    Case(matrices.pagerank, lambda r: (r.uniform(0.1, 1, (5, 5)),)),
    Case(
        matrices.cubic_spline,
        lambda r: (np.arange(6) + r.uniform(0, 0.5, 6), r.normal(size=6), r.uniform(0.6, 5, 9)),
        (0, 1, 2),
    ),
    Case(matrices.jacobi_eigenvalues, lambda r: (definite(r, 4),)),
    Case(dynamics.lorenz, lambda r: (r.normal(size=3), np.array([10.0, 28.0, 8 / 3]) + r.normal(size=3)), (0, 1)),
    Case(dynamics.pendulum, lambda r: (r.uniform(0.5, 2, 2), r.uniform(0.5, 1, 2)), (0, 1)),
    Case(
        dynamics.n_body,
        lambda r: (3 * r.normal(size=(4, 2)), r.normal(size=(4, 2)), r.uniform(0.5, 1, 4)),
        (0, 1, 2),
    ),
    Case(dynamics.molecular_dynamics, lambda r: (lattice(r, 3, 0.02),)),
    Case(dynamics.predator_prey, lambda r: (r.uniform(1, 2, 2), r.uniform(0.5, 1, 4)), (0, 1)),
    Case(dynamics.adaptive, lambda r: (r.normal(size=2), 0.5), (0,), "guard"),
    Case(dynamics.wave_packet, lambda r: (np.exp(-(np.linspace(-2, 2, 9) ** 2)), r.uniform(0, 3, 9)), (0, 1)),
    Case(
        dynamics.cloth,
        lambda r: (np.arange(10.0).reshape(5, 2) + 0.1 * r.normal(size=(5, 2)), np.float64(r.uniform(20, 30))),
        (1,),
    ),
    Case(
        inference.gaussian_process,
        lambda r: (np.sort(r.normal(size=6)), r.normal(size=6), r.normal(size=4), np.float64(r.uniform(0.5, 1))),
        (0, 1, 2, 3),
    ),
    Case(
        inference.gaussian_process_by_loops,
        lambda r: (r.normal(size=5), r.normal(size=5), np.float64(r.uniform(0.5, 1))),
        (0, 1, 2),
    ),
    Case(
        inference.kalman,
        lambda r: (r.normal(size=8), np.float64(r.uniform(0.5, 1)), np.float64(r.uniform(0.5, 1))),
        (0, 1, 2),
    ),
    Case(inference.hmm_forward, markov, (0, 1, 2)),
    Case(inference.viterbi, markov, (0, 1, 2)),
    Case(inference.k_means, lambda r: (cloud(r, 15, 2),)),
    Case(inference.adam_by_hand, lambda r: (r.normal(size=(12, 3)), r.integers(0, 2, 12)), (0,)),
    Case(
        inference.ising,
        lambda r: (r.choice([-1, 1], (3, 4)), np.float64(r.uniform(0.2, 0.8)), np.random.default_rng(8)),
        (),
    ),
    Case(
        inference.random_walk,
        lambda r: (r.normal(size=2), np.float64(r.uniform(0.5, 1)), np.random.default_rng(8)),
        (0, 1),
    ),
    Case(inference.two_layers, lambda r: (r.normal(size=(8, 3)), r.normal(size=8)), (0, 1)),
    Case(inference.bootstrap, lambda r: (r.normal(size=12),)),
    Case(images.mandelbrot, lambda r: (r.uniform(-2, 1, (5, 6)) + 1j * r.uniform(-1, 1, (5, 6)),), ()),
    Case(
        images.smooth_julia,
        lambda r: (r.normal(size=(4, 5)) + 1j * r.normal(size=(4, 5)), np.complex128(complex(*r.normal(size=2) / 2))),
        (),
    ),
    Case(images.ray_cast, lambda r: (r.uniform(-1, 1, 3) - (0, 0, 2),)),
    Case(
        images.ray_trace,
        lambda r: (r.uniform(-1, 1, 3), np.column_stack([r.normal(size=(3, 2)) / 2, r.uniform(2, 4, 3)])),
        (0, 1),
    ),
    Case(images.convolve, lambda r: (r.normal(size=(5, 6)), r.normal(size=(2, 3))), (0, 1)),
    Case(images.sobel, picture),
    Case(images.equalise, lambda r: (r.integers(20, 200, (8, 9)).astype(np.uint8),), (), "guard"),
    Case(images.equalise_by_numpy, lambda r: (r.integers(0, 256, (8, 9)),), ()),
    Case(images.seam, lambda r: (r.uniform(0, 1, (6, 7)),)),
    Case(images.rotate, lambda r: (r.normal(size=(6, 7)), np.float64(r.uniform(0.2, 1))), (0, 1)),
    Case(images.edit_distance, letters, (), "guard"),
]
