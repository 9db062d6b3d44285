"""Loops whose length the data decide, and derivatives through them: Newton's method and an adaptive integrator."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer


@tracer.compile(branches="guard")  # a program for each path: here, for each number of iterations
def eccentric_anomaly(mean_anomaly: np.ndarray, eccentricity: np.ndarray) -> np.ndarray:
    """Solve Kepler's equation, E - e sin(E) = M, by Newton's method, with a plain `while`."""
    angle = mean_anomaly
    while np.abs(angle - eccentricity * np.sin(angle) - mean_anomaly) > 1e-12:
        residual = angle - eccentricity * np.sin(angle) - mean_anomaly
        angle = angle - residual / (1 - eccentricity * np.cos(angle))
    return angle


def van_der_pol(mu: np.ndarray, tolerance: float = 4e-6) -> np.ndarray:
    """The state at time 3 of an oscillator, by Heun's method with steps that adapt: one loop in one program."""

    def slope(state: np.ndarray) -> np.ndarray:
        return np.array([state[1], mu * (1 - state[0] ** 2) * state[1] - state[0]])

    def going_on(carry: tuple[np.ndarray, ...]) -> np.ndarray:
        return carry[0] < 3.0

    def step(carry: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        time, state, size, tries = carry
        size = np.minimum(size, 3.0 - time)
        first = slope(state)
        second = slope(state + size * first)
        error = np.max(np.abs(size * (second - first) / 2))
        accepted = error < tolerance
        time = np.where(accepted, time + size, time)
        state = np.where(accepted, state + size * (first + second) / 2, state)
        return time, state, size * np.clip(0.9 * np.sqrt(tolerance / (error + 1e-300)), 0.2, 3.0), tries + 1

    return tracer.while_loop(going_on, step, (0.0, np.array([2.0, 0.0]), 0.1, 0))


def main(arguments: Sequence[str] = ()) -> None:
    mu = np.float64(arguments[0] if arguments else 1.5)
    for anomaly, e in [(0.3, 0.1), (0.3, 0.6), (2.0, 0.9)]:
        angle = eccentric_anomaly(np.float64(anomaly), np.float64(e))
        slope = tracer.grad(eccentric_anomaly, argnums=1)(np.float64(anomaly), np.float64(e))
        exact = np.sin(angle) / (1 - e * np.cos(angle))
        print(f"e = {e}: E = {angle:.9f}, dE/de = {slope:.9f}, implicit function theorem {exact:.9f}")
    print(eccentric_anomaly.explain().splitlines()[0])

    state, tries = tracer.compile(lambda mu: van_der_pol(mu)[1::2])(mu)
    sensitivity = tracer.jacobian(lambda mu: van_der_pol(mu)[1])(mu)
    nearby = [van_der_pol(mu + shift)[1] for shift in (1e-4, -1e-4)]
    print(f"state {state} after {tries} steps")
    print(f"its derivative by mu {sensitivity}, by differences {(nearby[0] - nearby[1]) / 2e-4}")


if __name__ == "__main__":
    main(sys.argv[1:])
