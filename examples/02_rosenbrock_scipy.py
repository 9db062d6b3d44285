"""SciPy's optimisers with exact gradients: the Rosenbrock function in many dimensions."""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.optimize import OptimizeResult, minimize

import tracer


def rosenbrock(x: np.ndarray) -> np.ndarray:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def report(title: str, result: OptimizeResult) -> None:
    print(f"{title}: f = {result.fun:.2e} after {result.nit} iterations and {result.nfev} evaluations")


def main(arguments: Sequence[str] = ()) -> None:
    n = int(arguments[0]) if arguments else 100
    start = np.tile([-1.2, 1.0], n // 2)

    value_and_gradient = tracer.compile(tracer.value_and_grad(rosenbrock))
    exact = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    report("gradient from tracer", exact)

    # Without a gradient, SciPy takes differences: n + 1 evaluations for every step.
    differences = minimize(rosenbrock, start, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 10**6})
    report("finite differences  ", differences)
    print(f"largest distance from the minimum at (1, ..., 1): {np.max(np.abs(exact.x - 1)):.1e}")


if __name__ == "__main__":
    main(sys.argv[1:])
