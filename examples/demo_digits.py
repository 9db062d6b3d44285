"""Train a network on scikit-learn's handwritten digits: plain NumPy, compiled and differentiated by tracer."""

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tracer

WIDTHS = (64, 128, 64, 10)
RATE, MOMENTUM, BATCH = 0.05, 0.9, 32


def scores(parameters: Sequence, x: np.ndarray) -> np.ndarray:
    """One score for each image and digit; `parameters` alternates weights and biases."""
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = np.maximum(x @ w + b, 0)
    return x @ parameters[-2] + parameters[-1]


def cross_entropy(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(len(labels)), labels]))


def initial_parameters() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = []
    for fan_in, fan_out in itertools.pairwise(WIDTHS):
        arrays += [rng.normal(size=(fan_in, fan_out)) * np.sqrt(2 / fan_in), np.zeros(fan_out)]
    return [array.astype(np.float32) for array in arrays]


class Network:
    """The network with its parameters in shared variables; calling `train` is one step."""

    def __init__(self) -> None:
        self.parameters = [tracer.shared(array, name=f"p{i}") for i, array in enumerate(initial_parameters())]

        @tracer.compile(updates=tracer.optim.momentum(RATE, MOMENTUM))
        def train(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
            return cross_entropy(scores(self.parameters, x), labels)

        @tracer.compile
        def predict(x: np.ndarray) -> np.ndarray:
            return np.argmax(scores(self.parameters, x), axis=1)

        self.train, self.predict = train, predict


class HandWritten:
    """The same step as `Network.train`, with the derivative worked out on paper."""

    def __init__(self) -> None:
        self.parameters = initial_parameters()
        self.velocities = [np.zeros_like(array) for array in self.parameters]

    def train(self, x: np.ndarray, labels: np.ndarray) -> np.floating:
        w1, b1, w2, b2, w3, b3 = self.parameters
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        z = h2 @ w3 + b3
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        cost = -np.log(p[rows, labels]).mean()
        p[rows, labels] -= 1
        d3 = p / np.float32(len(labels))
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        gradients = x.T @ d1, d1.sum(axis=0), h1.T @ d2, d2.sum(axis=0), h2.T @ d3, d3.sum(axis=0)
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
            velocity *= MOMENTUM
            velocity -= RATE * gradient
            parameter += velocity
        return cost


def batches(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One epoch in random order; images that do not fill a batch wait for the next epoch."""
    order = rng.permutation(len(x))
    for start in range(0, len(x) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        yield x[chosen], labels[chosen]


def fit(network: Network, train: tuple, test: tuple, epochs: int) -> tuple[list[float], list[float]]:
    """Train with a progress bar; the loss of every step and the test accuracy after every epoch."""
    rng = np.random.default_rng(1)
    losses, accuracies, running = [], [], None
    with tqdm(range(epochs), unit="epoch") as progress:
        for _ in progress:
            for x, labels in batches(*train, rng):
                losses.append(float(network.train(x, labels)))
                running = losses[-1] if running is None else 0.98 * running + 0.02 * losses[-1]
            accuracies.append(float(np.mean(network.predict(test[0]) == test[1])))
            progress.set_postfix(loss=f"{running:.4f}", test=f"{accuracies[-1]:.1%}")
    return losses, accuracies


def race(train: tuple, steps: int) -> tuple[float, float]:
    """Median seconds of a step of tracer and of NumPy, in turn on the same batches, with the numbers compared."""
    rng, network, by_hand = np.random.default_rng(2), Network(), HandWritten()
    seconds: list[tuple[float, float]] = []
    while len(seconds) < steps:
        for x, labels in batches(*train, rng):
            start = time.perf_counter()
            ours = network.train(x, labels)
            middle = time.perf_counter()
            theirs = by_hand.train(x, labels)
            seconds.append((middle - start, time.perf_counter() - middle))
            if len(seconds) <= 20:
                # Later, rounding in float32 may send the two down different paths.
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
                for shared, array in zip(network.parameters, by_hand.parameters, strict=True):
                    np.testing.assert_allclose(shared.get_value(), array, rtol=1e-3, atol=1e-5)
    tracer_seconds, numpy_seconds = np.median(seconds, axis=0)
    return float(tracer_seconds), float(numpy_seconds)


def plot(losses: list[float], accuracies: list[float], output: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    smooth = np.convolve(losses, np.ones(50) / 50, mode="valid")
    left.semilogy(losses, color="0.8", linewidth=0.5, label="each step")
    left.semilogy(np.arange(len(smooth)) + 25, smooth, color="C0", label="mean of 50 steps")
    left.set(title="Training loss", xlabel="step", ylabel="cross-entropy")
    left.legend()
    right.plot(np.arange(1, len(accuracies) + 1), 100 * np.array(accuracies), color="C0")
    right.set(title=f"Test accuracy, at the end {accuracies[-1]:.1%}", xlabel="epoch", ylabel="%")
    right.grid(alpha=0.3)
    figure.savefig(output, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("demo_digits.png"), help="picture of the learning curve")
    options = parser.parse_args(arguments)

    images, digits = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(images, digits, test_size=0.2, random_state=42, stratify=digits)
    print(f"{len(x_train)} training images, {len(x_test)} test images, network {'-'.join(map(str, WIDTHS))}")

    network = Network()
    start = time.perf_counter()
    losses, accuracies = fit(network, (x_train, y_train), (x_test, y_test), options.epochs)
    print(f"{len(losses)} steps in {time.perf_counter() - start:.2f} s")
    print(f"test accuracy: {accuracies[-1]:.1%}")

    ours, theirs = race((x_train, y_train), steps=300)
    print(f"one step of {BATCH} images: tracer {ours * 1e6:.0f} µs, NumPy by hand {theirs * 1e6:.0f} µs", end="")
    print(f" ({theirs / ours:.1f}x), with the same numbers")
    plot(losses, accuracies, options.output)
    print(f"learning curve: {options.output}")


if __name__ == "__main__":
    main()
