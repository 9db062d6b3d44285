"""Feed-forward and convolutional networks, embeddings, training steps."""

import itertools
import math
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case, in_float32


def logistic_regression(np: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    p = 1.0 / (1.0 + np.exp(-(x @ w) - b))
    return np.mean(-y * np.log(p) - (1.0 - y) * np.log(1.0 - p)) + 0.01 * np.sum(w**2)


def make_logistic_regression(rng: numpy.random.Generator, n: int, features: int) -> Arrays:
    y = rng.integers(0, 2, size=n).astype(float)
    # Small weights keep log(1 - p) finite in the peers that do not rewrite it.
    return 0.01 * rng.normal(size=features), numpy.zeros(()), rng.normal(size=(n, features)), y


def cross_entropy(np: Any, z: Any, y: Any) -> Any:
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(y * z, axis=1))


def mlp(np: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h = np.maximum(x @ w1 + b1, 0.0)
    h = np.maximum(h @ w2 + b2, 0.0)
    return cross_entropy(np, h @ w3 + b3, y)


def make_mlp(rng: numpy.random.Generator, batch: int, widths: tuple[int, ...]) -> Arrays:
    arrays = []
    for fan_in, fan_out in itertools.pairwise(widths):
        arrays += [rng.normal(size=(fan_in, fan_out)) * math.sqrt(2.0 / fan_in), numpy.zeros(fan_out)]
    labels = rng.integers(0, widths[-1], size=batch)
    arrays += [rng.normal(size=(batch, widths[0])), numpy.eye(widths[-1])[labels]]
    return in_float32(*arrays)


def convolution(np: Any, x: Any, w: Any) -> Any:
    """Images (batch, rows, columns, channels) with filters (rows, columns, channels, filters), without padding."""
    high, wide, channels, filters = np.shape(w)
    rows, columns = np.shape(x)[1] - high + 1, np.shape(x)[2] - wide + 1
    shifts = itertools.product(range(high), range(wide))
    windows = [x[:, i : i + rows, j : j + columns] for i, j in shifts]
    return np.tensordot(np.concatenate(windows, axis=3), w.reshape((high * wide * channels, filters)), 1)


def pooling(np: Any, x: Any) -> Any:
    """The largest of every 2 x 2 pixels."""
    batch, rows, columns, channels = np.shape(x)
    return np.max(x.reshape((batch, rows // 2, 2, columns // 2, 2, channels)), axis=(2, 4))


def cnn(np: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h = np.maximum(pooling(np, convolution(np, x, w1) + b1), 0.0)
    h = np.maximum(pooling(np, convolution(np, h, w2) + b2), 0.0)
    return cross_entropy(np, h.reshape((np.shape(x)[0], -1)) @ w3 + b3, y)


def make_cnn(rng: numpy.random.Generator, batch: int, pixels: int, filters: tuple[int, int], classes: int) -> Arrays:
    first, second = filters
    left = ((pixels - 4) // 2 - 2) // 2
    arrays = (
        rng.normal(size=(5, 5, 1, first)) / 5.0,
        0.1 * rng.normal(size=first),
        rng.normal(size=(3, 3, first, second)) / math.sqrt(9.0 * first),
        0.1 * rng.normal(size=second),
        rng.normal(size=(left * left * second, classes)) / left,
        numpy.zeros(classes),
        rng.normal(size=(batch, pixels, pixels, 1)),
        numpy.eye(classes)[rng.integers(0, classes, size=batch)],
    )
    return in_float32(*arrays)


def contrastive(np: Any, a: Any, b: Any, same: Any) -> Any:
    """Rows of both matrices that belong together, by their cosines."""
    a = a / np.sqrt(np.sum(a * a, axis=1, keepdims=True))
    b = b / np.sqrt(np.sum(b * b, axis=1, keepdims=True))
    logits = 10.0 * (a @ b.T)
    return cross_entropy(np, logits, same) + cross_entropy(np, logits.T, same)


def make_contrastive(rng: numpy.random.Generator, n: int, width: int) -> Arrays:
    return in_float32(rng.normal(size=(n, width)), rng.normal(size=(n, width)), numpy.eye(n))


def embedding(np: Any, table: Any, w: Any, tokens: Any, y: Any) -> Any:
    z = np.mean(table[tokens], axis=1) @ w
    return np.mean(np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z))))


def make_embedding(rng: numpy.random.Generator, words: int, width: int, n: int, length: int) -> Arrays:
    table, w = in_float32(rng.normal(size=(words, width)), rng.normal(size=width))
    return table, w, rng.integers(0, words, size=(n, length)), rng.integers(0, 2, size=n).astype(numpy.float32)


_MLP: dict[str, Any] = {"cost": mlp, "make": make_mlp, "parameters": 6, "small": {"batch": 3, "widths": (5, 4, 4, 3)}}
_WIDTHS = (784, 256, 128, 10)

CASES = (
    Case(
        "logistic_step",
        "logistic regression step, 400x784, f64",
        logistic_regression,
        make_logistic_regression,
        2,
        {"n": 400, "features": 784},
        {"n": 6, "features": 4},
        learning_rate=0.1,
    ),
    Case("mlp_8", "MLP 784-256-128-10, batch 8, f32", size={"batch": 8, "widths": _WIDTHS}, **_MLP),
    Case("mlp_128", "MLP 784-256-128-10, batch 128, f32", size={"batch": 128, "widths": _WIDTHS}, **_MLP),
    Case("mlp_step_8", "MLP step, batch 8, f32", size={"batch": 8, "widths": _WIDTHS}, learning_rate=0.01, **_MLP),
    Case(
        "mlp_step_128", "MLP step, batch 128, f32", size={"batch": 128, "widths": _WIDTHS}, learning_rate=0.01, **_MLP
    ),
    Case(
        "mlp_adam_32",
        "MLP step by Adam, batch 32, f32",
        size={"batch": 32, "widths": _WIDTHS},
        learning_rate=0.001,
        rule="adam",
        **_MLP,
    ),
    Case(
        "cnn",
        "CNN of two layers, 28x28, 8 and 16 filters, batch 32, f32",
        cnn,
        make_cnn,
        6,
        {"batch": 32, "pixels": 28, "filters": (8, 16), "classes": 10},
        {"batch": 2, "pixels": 16, "filters": (2, 3), "classes": 3},
    ),
    Case(
        "contrastive",
        "contrastive loss, 256x128, f32",
        contrastive,
        make_contrastive,
        2,
        {"n": 256, "width": 128},
        {"n": 4, "width": 3},
    ),
    Case(
        "embedding",
        "embedding lookup, 10000x64, 128x32 tokens, f32",
        embedding,
        make_embedding,
        2,
        {"words": 10_000, "width": 64, "n": 128, "length": 32},
        {"words": 7, "width": 3, "n": 4, "length": 5},
    ),
)
