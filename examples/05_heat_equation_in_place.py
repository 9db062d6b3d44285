"""An inverse problem with code that writes into arrays: which heat was there before, given what is there now."""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

import tracer


def diffuse(heat: np.ndarray, steps: int, rate: float = 0.2) -> np.ndarray:
    """Explicit steps of the heat equation on a grid whose border is held at zero."""
    heat = heat.copy()
    for _ in range(steps):
        flow = np.zeros_like(heat)
        flow[1:-1, 1:-1] = heat[2:, 1:-1] + heat[:-2, 1:-1] + heat[1:-1, 2:] + heat[1:-1, :-2] - 4 * heat[1:-1, 1:-1]
        heat += rate * flow
    return heat


def main(arguments: Sequence[str] = ()) -> None:
    n, steps = int(arguments[0]) if arguments else 40, 20
    y, x = np.mgrid[:n, :n] / n
    before = np.exp(-80 * ((x - 0.3) ** 2 + (y - 0.4) ** 2)) + np.exp(-80 * ((x - 0.7) ** 2 + (y - 0.6) ** 2))
    now = diffuse(before, steps) + np.random.default_rng(0).normal(scale=1e-3, size=(n, n))

    def misfit(guess: np.ndarray) -> np.ndarray:
        guess = guess.reshape(n, n)
        return np.sum((diffuse(guess, steps) - now) ** 2) + 1e-4 * np.sum(guess**2)

    def error(guess: np.ndarray) -> float:
        return float(np.linalg.norm(guess.reshape(n, n) - before) / np.linalg.norm(before))

    print(f"unknowns: {n * n}, relative error of the measurement as it is: {error(now):.3f}")
    result = minimize(tracer.value_and_grad(misfit), now.ravel(), jac=True, method="L-BFGS-B")
    print(f"after {result.nit} iterations: {error(result.x):.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
