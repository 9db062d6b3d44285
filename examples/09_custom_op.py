"""An op of one's own: SciPy's Faddeeva function gives a spectral line its shape, and a fit needs its derivatives."""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares
from scipy.special import wofz

import tracer

# w(z) for z = x + iy. It is holomorphic, w' = 2i / sqrt(pi) - 2 z w, and so the derivatives of its real part are
# Re w' and -Im w'; those of the imaginary part, Im w' and Re w'. Each op's rules use the other, for any order.
real = tracer.custom_op(
    "faddeeva_real",
    lambda x, y: wofz(x + 1j * y).real,
    elementwise=True,
    deriv=[
        lambda result, x, y: 2 * (y * imaginary(x, y) - x * result),
        lambda result, x, y: 2 * (x * imaginary(x, y) + y * result) - 2 / np.sqrt(np.pi),
    ],
)
imaginary = tracer.custom_op(
    "faddeeva_imaginary",
    lambda x, y: wofz(x + 1j * y).imag,
    elementwise=True,
    deriv=[
        lambda result, x, y: 2 / np.sqrt(np.pi) - 2 * (x * result + y * real(x, y)),
        lambda result, x, y: 2 * (y * result - x * real(x, y)),
    ],
)


def spectrum(parameters: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Lines of (strength, centre, Doppler width, collision width) on a flat background."""
    background, lines = parameters[0], parameters[1:].reshape(-1, 4)
    total = background + np.zeros_like(frequency)
    for strength, centre, doppler, collision in lines:
        total += strength * real((frequency - centre) / doppler, collision / doppler)
    return total


def main(arguments: Sequence[str] = ()) -> None:
    points = int(arguments[0]) if arguments else 400
    frequency = np.linspace(-5, 5, points)
    tracer.testing.check_grads(spectrum, (np.array([0.1, 1.0, 0.2, 0.5, 0.3]), frequency[::40]), order=2)

    true = np.array([0.1, 1.0, -1.2, 0.5, 0.3, 0.6, 1.5, 0.3, 0.6])
    measured = spectrum(true, frequency) + np.random.default_rng(0).normal(scale=0.003, size=points)

    def residual(parameters: np.ndarray) -> np.ndarray:
        return spectrum(parameters, frequency) - measured

    start = np.array([0.0, 0.5, -1.0, 0.4, 0.4, 0.5, 1.0, 0.4, 0.4])
    fit = least_squares(tracer.compile(residual), start, jac=tracer.jacobian(residual))
    print(f"fitted with {fit.njev} Jacobians of {points} x {true.size}:")
    names = ["background"] + ["strength", "centre", "Doppler", "collision"] * 2
    for name, value, wanted in zip(names, fit.x, true, strict=True):
        print(f"  {name:10s} {value:7.3f}, true {wanted:6.3f}")
    print(f"largest error: {np.max(np.abs(fit.x - true)):.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
