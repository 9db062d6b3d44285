"""Sums, extrema and means along an axis, running sums, sorting, Fourier transforms."""

import math
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case, in_float32


def softmax_cross_entropy(np: Any, logits: Any, labels: Any) -> Any:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_normalizer = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_normalizer - shifted[np.arange(labels.shape[0]), labels])


def make_softmax_cross_entropy(rng: numpy.random.Generator, n: int, classes: int) -> Arrays:
    return rng.normal(size=(n, classes)).astype(numpy.float32), rng.integers(0, classes, size=n)


def normalize(np: Any, x: Any, scale: Any, shift: Any, axis: int = -1) -> Any:
    centred = x - np.mean(x, axis=axis, keepdims=True)
    variance = np.mean(centred * centred, axis=axis, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * scale + shift


def gelu(np: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def layer_norm_gelu(np: Any, x: Any, scale: Any, shift: Any, target: Any) -> Any:
    return np.mean((gelu(np, normalize(np, x, scale, shift)) - target) ** 2)


def batch_norm_relu(np: Any, x: Any, scale: Any, shift: Any, target: Any) -> Any:
    return np.mean((np.maximum(normalize(np, x, scale, shift, axis=0), 0.0) - target) ** 2)


def make_norm(rng: numpy.random.Generator, n: int, width: int) -> Arrays:
    arrays = rng.normal(size=(n, width)), numpy.ones(width), numpy.zeros(width), rng.normal(size=(n, width))
    return in_float32(*arrays)


def log_sum_exp(np: Any, x: Any) -> Any:
    top = np.max(x, axis=1, keepdims=True)
    return np.mean(top[:, 0] + np.log(np.sum(np.exp(x - top), axis=1)))


def make_matrix(rng: numpy.random.Generator, rows: int, columns: int) -> Arrays:
    return (rng.normal(size=(rows, columns)),)


def running_sum(np: Any, x: Any) -> Any:
    path = np.cumsum(x, axis=1)
    return np.mean(np.tanh(0.1 * path) ** 2)


def transport(np: Any, x: Any, y: Any) -> Any:
    """Wasserstein's distance of two samples on a line, squared."""
    return np.mean((np.sort(x) - np.sort(y)) ** 2)


def make_transport(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=n), rng.normal(0.5, 2.0, size=n)


def spectrum(np: Any, x: Any, window: Any, target: Any) -> Any:
    transformed = np.fft.rfft(x * window)
    power = np.real(transformed) ** 2 + np.imag(transformed) ** 2
    return np.mean((np.log(power + 1e-3) - target) ** 2)


def make_spectrum(rng: numpy.random.Generator, signals: int, n: int) -> Arrays:
    return rng.normal(size=(signals, n)), numpy.hanning(n), rng.normal(size=(signals, n // 2 + 1))


CASES = (
    Case(
        "softmax_cross_entropy",
        "softmax cross-entropy, 256x1000, integer labels, f32",
        softmax_cross_entropy,
        make_softmax_cross_entropy,
        1,
        {"n": 256, "classes": 1000},
        {"n": 4, "classes": 5},
    ),
    Case(
        "layer_norm_gelu",
        "layer norm and GELU, 512x768, f32",
        layer_norm_gelu,
        make_norm,
        3,
        {"n": 512, "width": 768},
        {"n": 4, "width": 6},
    ),
    Case(
        "batch_norm_relu",
        "batch norm and ReLU, 1024x256, f32",
        batch_norm_relu,
        make_norm,
        3,
        {"n": 1024, "width": 256},
        {"n": 6, "width": 4},
    ),
    Case(
        "log_sum_exp",
        "log-sum-exp of rows, 2000x500, f64",
        log_sum_exp,
        make_matrix,
        1,
        {"rows": 2000, "columns": 500},
        {"rows": 4, "columns": 5},
    ),
    Case(
        "running_sum",
        "running sums, 100 x 1e4, f64",
        running_sum,
        make_matrix,
        1,
        {"rows": 100, "columns": 10_000},
        {"rows": 3, "columns": 7},
    ),
    Case(
        "transport",
        "sorted samples (Wasserstein), 2 x 1e5, f64",
        transport,
        make_transport,
        2,
        {"n": 100_000},
        {"n": 9},
    ),
    Case(
        "spectrum",
        "log power spectrum by FFT, 64x2048, f64",
        spectrum,
        make_spectrum,
        1,
        {"signals": 64, "n": 2048},
        {"signals": 2, "n": 16},
        # Its transforms have no namespace that takes NumPy's spelling.
        without=("pytensor",),
    ),
)
