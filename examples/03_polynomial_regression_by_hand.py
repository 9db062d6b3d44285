"""A polynomial fitted to noisy data, with gradient, momentum and updates written out inside one trace."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer

DEGREE = 5


def features(t: np.ndarray) -> np.ndarray:
    """Chebyshev polynomials of degree 0 to DEGREE at `t`, one column each."""
    columns = [np.ones_like(t), t]
    while len(columns) <= DEGREE:
        columns.append(2 * t * columns[-1] - columns[-2])
    return np.stack(columns, axis=1)


def main(arguments: Sequence[str] = ()) -> None:
    steps = int(arguments[0]) if arguments else 500
    rng = np.random.default_rng(0)
    t = np.linspace(-1, 1, 200)
    y = np.sin(3 * t) + 0.1 * rng.normal(size=t.shape)

    w = tracer.shared(np.zeros(DEGREE + 1), name="w")
    velocity = tracer.shared(np.zeros(DEGREE + 1), name="velocity")

    @tracer.compile
    def train(t: np.ndarray, y: np.ndarray) -> np.ndarray:
        cost = np.mean((features(t) @ w - y) ** 2)
        gradient = tracer.grad(cost, w)
        # Both right-hand sides see the old values, whatever the order of these lines.
        w.set(w + 0.9 * velocity - 0.1 * gradient)
        velocity.set(0.9 * velocity - 0.1 * gradient)
        return cost

    @tracer.compile
    def predict(t: np.ndarray) -> np.ndarray:
        return features(t) @ w

    for step in range(steps):
        cost = train(t, y)
        if step % (steps // 5) == 0:
            print(f"step {step:4d}  cost {cost:.6f}")
    print(f"step {steps:4d}  cost {train(t, y):.6f}")

    best = np.polynomial.Chebyshev.fit(t, y, DEGREE)
    print("coefficients:     ", np.round(w.get_value(), 4))
    print("least squares:    ", np.round(best.coef, 4))
    print(f"largest difference between the two curves: {np.max(np.abs(predict(t) - best(t))):.1e}")


if __name__ == "__main__":
    main(sys.argv[1:])
