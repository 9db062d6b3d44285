"""A variational autoencoder in plain NumPy, whose noise comes from a NumPy generator, inside the compiled function."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer

SIDE, HIDDEN, LATENT, BATCH = 8, 64, 2, 100


def main(arguments: Sequence[str] = ()) -> None:
    steps = int(arguments[0]) if arguments else 3000
    rng = np.random.default_rng(0)

    def layer(rows: int, columns: int) -> tuple[tracer.Shared, tracer.Shared]:
        return tracer.shared(rng.normal(size=(rows, columns)) / np.sqrt(rows)), tracer.shared(np.zeros(columns))

    pixels = SIDE * SIDE
    encode, to_mean, to_log_scale = layer(pixels, HIDDEN), layer(HIDDEN, LATENT), layer(HIDDEN, LATENT)
    decode, to_logits = layer(LATENT, HIDDEN), layer(HIDDEN, pixels)

    def decoded(code: np.ndarray) -> np.ndarray:
        return np.tanh(code @ decode[0] + decode[1]) @ to_logits[0] + to_logits[1]

    @tracer.compile(updates=tracer.optim.adam(0.003))
    def train(images: np.ndarray) -> np.ndarray:
        """The negative evidence lower bound, in nats for an image; each call is a step."""
        hidden = np.tanh(images @ encode[0] + encode[1])
        mean, log_scale = hidden @ to_mean[0] + to_mean[1], hidden @ to_log_scale[0] + to_log_scale[1]
        code = rng.normal(mean, np.exp(log_scale))  # derivatives flow to mean and scale
        logits = decoded(code)
        reconstruction = np.sum(np.logaddexp(0, logits) - images * logits, axis=1)
        divergence = np.sum(0.5 * (mean**2 + np.exp(2 * log_scale) - 1) - log_scale, axis=1)
        return np.mean(reconstruction + divergence)

    def squares() -> np.ndarray:
        """Pictures of a square somewhere."""
        images = np.zeros((BATCH, SIDE, SIDE))
        for image, row, column in zip(images, *rng.integers(0, SIDE - 2, (2, BATCH)), strict=True):
            image[row : row + 3, column : column + 3] = 1
        return images.reshape(BATCH, pixels)

    costs = [train(squares()) for _ in range(steps)]
    for start in range(0, steps, max(steps // 5, 1)):
        print(f"step {start:5d}  cost {np.mean(costs[start : start + 50]):.2f} nats")
    print(f"traced {train.cache_info().traces} time(s) for {steps} calls")

    pictures = tracer.compile(decoded)(rng.normal(size=(3, LATENT))) > 0
    for rows in zip(*pictures.reshape(3, SIDE, SIDE), strict=True):
        print("   ".join("".join(".#"[int(dot)] for dot in row) for row in rows))


if __name__ == "__main__":
    main(sys.argv[1:])
