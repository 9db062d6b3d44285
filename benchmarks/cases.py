"""The one table of benchmark cases.

A cost is written once, in NumPy spelling, with the array namespace as its first parameter: `tracer` gets plain NumPy,
a peer that needs its own namespace gets that. Python numbers only, since a NumPy scalar would promote float32.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from benchmarks import stencils

Arrays = tuple[numpy.ndarray, ...]
Cost = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A scalar cost, how to make its arguments, and what is asked of it.

    Parameters
    ----------
    name : str
        Identifier used on the command line.
    title : str
        What the table of results calls it.
    cost : callable
        ``cost(np, *parameters, *data)``, a scalar.
    make : callable
        ``make(rng, **size)`` gives the arguments, parameters first.
    parameters : int
        How many leading arguments the gradient is taken of.
    size, small : mapping
        Keywords of `make` for the benchmark and for a test of a fraction of a second.
    learning_rate : float or None
        A number makes the case a training step: the parameters are state that the call changes by gradient descent.
    in_jax : callable or None
        The cost for JAX, of a case that writes in place.
    """

    name: str
    title: str
    cost: Cost
    make: Callable[..., Arrays]
    parameters: int
    size: dict[str, Any]
    small: dict[str, Any]
    learning_rate: float | None = None
    in_jax: Cost | None = None

    def runs_on(self, peer: str) -> bool:
        """Whether there is a cost that a peer can run: what writes in place is beyond most of them."""
        return self.in_jax is None or peer in ("tracer", "numpy", "jax", "jax_numpy")

    def arguments(self, small: bool = False) -> Arrays:
        """Arguments of the cost, the same at every call."""
        return self.make(numpy.random.default_rng(1234), **(self.small if small else self.size))


def rosenbrock(np: Any, x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def make_rosenbrock(rng: numpy.random.Generator, n: int) -> Arrays:
    return (rng.normal(size=n),)


def logistic_regression(np: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    p = 1.0 / (1.0 + np.exp(-(x @ w) - b))
    return np.mean(-y * np.log(p) - (1.0 - y) * np.log(1.0 - p)) + 0.01 * np.sum(w**2)


def make_logistic_regression(rng: numpy.random.Generator, n: int, features: int) -> Arrays:
    y = rng.integers(0, 2, size=n).astype(float)
    # Small weights keep log(1 - p) finite in the peers that do not rewrite it.
    return 0.01 * rng.normal(size=features), numpy.zeros(()), rng.normal(size=(n, features)), y


def mlp(np: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h = np.maximum(x @ w1 + b1, 0.0)
    h = np.maximum(h @ w2 + b2, 0.0)
    z = h @ w3 + b3
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(y * z, axis=1))


def make_mlp(rng: numpy.random.Generator, batch: int, widths: tuple[int, ...]) -> Arrays:
    arrays = []
    for fan_in, fan_out in itertools.pairwise(widths):
        arrays += [rng.normal(size=(fan_in, fan_out)) * math.sqrt(2.0 / fan_in), numpy.zeros(fan_out)]
    labels = rng.integers(0, widths[-1], size=batch)
    arrays += [rng.normal(size=(batch, widths[0])), numpy.eye(widths[-1])[labels]]
    return tuple(array.astype(numpy.float32) for array in arrays)


def chain(np: Any, x: Any, y: Any) -> Any:
    return np.sum(np.tanh(x) * np.exp(-y * y) + np.log1p(x * x) * np.sqrt(1.0 + y * y))


def make_pair(rng: numpy.random.Generator, n: int, dtype: Any) -> Arrays:
    return tuple(rng.normal(size=n).astype(dtype, copy=False) for _ in range(2))


def polynomial(np: Any, x: Any, y: Any) -> Any:
    return np.sum((x * y + 0.5) * (x - y) * x + 3.0 * y * y - 2.0 * x + y)


def huber(np: Any, prediction: Any, target: Any) -> Any:
    error = prediction - target
    size = np.abs(error)
    return np.mean(np.where(size < 1.0, 0.5 * error**2, size - 0.5))


def softmax_cross_entropy(np: Any, logits: Any, labels: Any) -> Any:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_normalizer = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_normalizer - shifted[np.arange(labels.shape[0]), labels])


def make_softmax_cross_entropy(rng: numpy.random.Generator, n: int, classes: int) -> Arrays:
    return rng.normal(size=(n, classes)).astype(numpy.float32), rng.integers(0, classes, size=n)


def normalize(np: Any, x: Any, scale: Any, shift: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * scale + shift


def gelu(np: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def layer_norm_gelu(np: Any, x: Any, scale: Any, shift: Any, target: Any) -> Any:
    return np.mean((gelu(np, normalize(np, x, scale, shift)) - target) ** 2)


def make_layer_norm_gelu(rng: numpy.random.Generator, n: int, width: int) -> Arrays:
    arrays = rng.normal(size=(n, width)), numpy.ones(width), numpy.zeros(width), rng.normal(size=(n, width))
    return tuple(array.astype(numpy.float32) for array in arrays)


def transformer_block(
    np: Any,
    scale1: Any,
    shift1: Any,
    wqkv: Any,
    wo: Any,
    scale2: Any,
    shift2: Any,
    w1: Any,
    w2: Any,
    x: Any,
    heads: int,
) -> Any:
    batch, length, width = np.shape(x)
    h = normalize(np, x, scale1, shift1)
    qkv = np.transpose((h @ wqkv).reshape((batch, length, 3, heads, width // heads)), (2, 0, 3, 1, 4))
    q, k, v = qkv[0], qkv[1], qkv[2]
    scores = q @ np.transpose(k, (0, 1, 3, 2)) / math.sqrt(width // heads)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    mixed = np.transpose(weights @ v, (0, 2, 1, 3)).reshape((batch, length, width))
    x = x + mixed @ wo
    x = x + gelu(np, normalize(np, x, scale2, shift2) @ w1) @ w2
    return np.mean(x * x)


def make_transformer_block(rng: numpy.random.Generator, batch: int, length: int, width: int) -> Arrays:
    def weight(fan_in: int, fan_out: int) -> numpy.ndarray:
        return rng.normal(size=(fan_in, fan_out)) / math.sqrt(fan_in)

    arrays = (
        numpy.ones(width),
        numpy.zeros(width),
        weight(width, 3 * width),
        weight(width, width),
        numpy.ones(width),
        numpy.zeros(width),
        weight(width, 4 * width),
        weight(4 * width, width),
        rng.normal(size=(batch, length, width)),
    )
    return tuple(array.astype(numpy.float32) for array in arrays)


def rnn(np: Any, wx: Any, wh: Any, b: Any, wo: Any, x: Any, target: Any) -> Any:
    h = np.tanh(x[0] @ wx + b)
    for step in range(1, np.shape(x)[0]):
        h = np.tanh(x[step] @ wx + h @ wh + b)
    return np.mean((h @ wo - target) ** 2)


def make_rnn(rng: numpy.random.Generator, steps: int, batch: int, inputs: int, hidden: int) -> Arrays:
    arrays = (
        rng.normal(size=(inputs, hidden)) / math.sqrt(inputs),
        rng.normal(size=(hidden, hidden)) / math.sqrt(hidden),
        numpy.zeros(hidden),
        rng.normal(size=(hidden, 1)) / math.sqrt(hidden),
        rng.normal(size=(steps, batch, inputs)),
        rng.normal(size=(batch, 1)),
    )
    return tuple(array.astype(numpy.float32) for array in arrays)


def gaussian_mixture(np: Any, log_weights: Any, means: Any, log_scales: Any, x: Any) -> Any:
    z = (x[:, None, :] - means) * np.exp(-log_scales)
    joint = log_weights - np.sum(0.5 * z * z + log_scales, axis=2)
    top = np.max(joint, axis=1, keepdims=True)
    return -np.mean(top[:, 0] + np.log(np.sum(np.exp(joint - top), axis=1))) + np.log(np.sum(np.exp(log_weights)))


def make_gaussian_mixture(rng: numpy.random.Generator, n: int, components: int, dimensions: int) -> Arrays:
    means = rng.normal(size=(components, dimensions))
    return 0.1 * rng.normal(size=components), means, 0.1 * means[::-1], rng.normal(size=(n, dimensions))


def gaussian_log_density(np: Any, mean: Any, factor: Any, log_diagonal: Any, x: Any, mask: Any) -> Any:
    # The precision matrix is L @ L.T with L lower triangular, so its determinant needs no decomposition.
    z = (x - mean) @ (factor * mask) + (x - mean) * np.exp(log_diagonal)
    return 0.5 * np.mean(np.sum(z * z, axis=1)) - np.sum(log_diagonal)


def make_gaussian_log_density(rng: numpy.random.Generator, n: int, dimensions: int) -> Arrays:
    factor = rng.normal(size=(dimensions, dimensions)) / math.sqrt(dimensions)
    mean, log_diagonal = rng.normal(size=dimensions), 0.1 * rng.normal(size=dimensions)
    mask = numpy.tril(numpy.ones((dimensions, dimensions)), -1)
    return mean, factor, log_diagonal, rng.normal(size=(n, dimensions)), mask


def nbody(np: Any, position: Any, velocity: Any, mass: Any, steps: int) -> Any:
    step = 0.01

    def acceleration(position: Any) -> Any:
        apart = position[:, None, :] - position[None, :, :]
        square = np.sum(apart * apart, axis=2) + 0.1
        return -np.sum(apart * (mass / (square * np.sqrt(square)))[:, :, None], axis=1)

    velocity = velocity + 0.5 * step * acceleration(position)
    for _ in range(steps):
        position = position + step * velocity
        velocity = velocity + step * acceleration(position)
    return np.sum(mass * np.sum(velocity * velocity, axis=1)) + np.sum(position * position)


def make_nbody(rng: numpy.random.Generator, bodies: int) -> Arrays:
    return rng.normal(size=(bodies, 3)), 0.1 * rng.normal(size=(bodies, 3)), rng.uniform(0.5, 1.5, size=bodies)


def stencil(np: Any, u: Any, source: Any, steps: int) -> Any:
    # Every sweep gives up the border it cannot compute, so no boundary has to be written in place.
    for _ in range(steps):
        source = source[1:-1, 1:-1]
        u = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]) + source
    return np.mean(u * u)


def make_stencil(rng: numpy.random.Generator, n: int) -> Arrays:
    return rng.normal(size=(n, n)), 0.1 * rng.normal(size=(n, n))


def embedding(np: Any, table: Any, w: Any, tokens: Any, y: Any) -> Any:
    z = np.mean(table[tokens], axis=1) @ w
    return np.mean(np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z))))


def make_embedding(rng: numpy.random.Generator, words: int, width: int, n: int, length: int) -> Arrays:
    table, w = rng.normal(size=(words, width)).astype(numpy.float32), rng.normal(size=width).astype(numpy.float32)
    return table, w, rng.integers(0, words, size=(n, length)), rng.integers(0, 2, size=n).astype(numpy.float32)


def factorization(np: Any, a: Any, b: Any, target: Any) -> Any:
    error = a @ b - target
    return np.mean(error * error)


def make_factorization(rng: numpy.random.Generator, n: int, rank: int) -> Arrays:
    arrays = rng.normal(size=(n, rank)), rng.normal(size=(rank, n)), rng.normal(size=(n, n))
    return tuple(array.astype(numpy.float32) for array in arrays)


_MLP = {"cost": mlp, "make": make_mlp, "parameters": 6, "small": {"batch": 3, "widths": (5, 4, 4, 3)}}
_WIDTHS = (784, 256, 128, 10)

CASES: tuple[Case, ...] = (
    Case("rosenbrock", "Rosenbrock, n=10, f64", rosenbrock, make_rosenbrock, 1, {"n": 10}, {"n": 4}),
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
        "chain_f64",
        "tanh/exp/log1p/sqrt chain, 2 x 1e6, f64",
        chain,
        make_pair,
        2,
        {"n": 10**6, "dtype": "float64"},
        {"n": 7, "dtype": "float64"},
    ),
    Case(
        "chain_f32",
        "tanh/exp/log1p/sqrt chain, 2 x 1e6, f32",
        chain,
        make_pair,
        2,
        {"n": 10**6, "dtype": "float32"},
        {"n": 7, "dtype": "float32"},
    ),
    Case(
        "polynomial_1e5",
        "cheap polynomial, 2 x 1e5, f32",
        polynomial,
        make_pair,
        2,
        {"n": 10**5, "dtype": "float32"},
        {"n": 7, "dtype": "float32"},
    ),
    Case(
        "polynomial_1e7",
        "cheap polynomial, 2 x 1e7, f32",
        polynomial,
        make_pair,
        2,
        {"n": 10**7, "dtype": "float32"},
        {"n": 300, "dtype": "float32"},
    ),
    Case(
        "huber",
        "Huber loss (where, abs), 1e6, f64",
        huber,
        make_pair,
        1,
        {"n": 10**6, "dtype": "float64"},
        {"n": 9, "dtype": "float64"},
    ),
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
        make_layer_norm_gelu,
        3,
        {"n": 512, "width": 768},
        {"n": 4, "width": 6},
    ),
    Case(
        "transformer_block",
        "transformer block, 4x64x128, 4 heads, f32",
        partial(transformer_block, heads=4),
        make_transformer_block,
        8,
        {"batch": 4, "length": 64, "width": 128},
        {"batch": 2, "length": 3, "width": 8},
    ),
    Case(
        "rnn",
        "RNN, 100 unrolled steps, batch 8, 32-64, f32",
        rnn,
        make_rnn,
        4,
        {"steps": 100, "batch": 8, "inputs": 32, "hidden": 64},
        {"steps": 4, "batch": 2, "inputs": 3, "hidden": 4},
    ),
    Case(
        "gaussian_mixture",
        "Gaussian mixture, 1000 points, 10 components, 16-d, f64",
        gaussian_mixture,
        make_gaussian_mixture,
        3,
        {"n": 1000, "components": 10, "dimensions": 16},
        {"n": 5, "components": 3, "dimensions": 2},
    ),
    Case(
        "gaussian_log_density",
        "Gaussian log density, 1000 points, 64-d, f64",
        gaussian_log_density,
        make_gaussian_log_density,
        3,
        {"n": 1000, "dimensions": 64},
        {"n": 5, "dimensions": 3},
    ),
    Case(
        "nbody",
        "n-body leapfrog, 32 bodies, 20 steps, f64",
        partial(nbody, steps=20),
        make_nbody,
        2,
        {"bodies": 32},
        {"bodies": 4},
    ),
    Case(
        "stencil",
        "Jacobi stencil, 300x300, 20 sweeps, f64",
        partial(stencil, steps=20),
        make_stencil,
        2,
        {"n": 300},
        {"n": 44},
    ),
    Case(
        "stencil_heat",
        "heat in place, 300x300, 50 steps, f64",
        partial(stencils.heat, steps=50),
        stencils.make_field,
        1,
        {"n": 300},
        {"n": 9},
        in_jax=partial(stencils.heat_jax, steps=50),
    ),
    Case(
        "stencil_reaction",
        "reaction and diffusion in place, 300x300, 50 steps, f64",
        partial(stencils.reaction, steps=50),
        stencils.make_field,
        1,
        {"n": 300},
        {"n": 9},
        in_jax=partial(stencils.reaction_jax, steps=50),
    ),
    Case(
        "stencil_wave",
        "waves in place, 300x300, 50 steps, f64",
        partial(stencils.wave, steps=50),
        stencils.make_fields,
        2,
        {"n": 300},
        {"n": 9},
        in_jax=partial(stencils.wave_jax, steps=50),
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
    Case(
        "factorization",
        "matrix factorization 512x64x512, f32",
        factorization,
        make_factorization,
        2,
        {"n": 512, "rank": 64},
        {"n": 5, "rank": 2},
    ),
)


def find_case(name: str) -> Case:
    """The case called `name`; the error lists the ones there are."""
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(f"no benchmark case {name!r}; there are: {', '.join(case.name for case in CASES)}")
