"""Attention, and networks that run along time."""

import math
from functools import partial
from typing import Any

import numpy

from benchmarks.cases.case import Arrays, Case, in_float32
from benchmarks.cases.reductions import gelu, normalize


def softmax(np: Any, scores: Any) -> Any:
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def attention(np: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = q @ np.transpose(k, (0, 2, 1)) / math.sqrt(np.shape(q)[-1])
    return np.mean((softmax(np, np.where(mask, scores, -1e9)) @ v) ** 2)


def make_attention(rng: numpy.random.Generator, heads: int, length: int, width: int) -> Arrays:
    arrays = in_float32(*(rng.normal(size=(heads, length, width)) for _ in range(3)))
    return *arrays, numpy.tril(numpy.ones((length, length), dtype=bool))


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
    weights = softmax(np, q @ np.transpose(k, (0, 1, 3, 2)) / math.sqrt(width // heads))
    mixed = np.transpose(weights @ v, (0, 2, 1, 3)).reshape((batch, length, width))
    x = x + mixed @ wo
    x = x + gelu(np, normalize(np, x, scale2, shift2) @ w1) @ w2
    return np.mean(x * x)


def make_transformer_block(rng: numpy.random.Generator, batch: int, length: int, width: int) -> Arrays:
    def weight(fan_in: int, fan_out: int) -> numpy.ndarray:
        return rng.normal(size=(fan_in, fan_out)) / math.sqrt(fan_in)

    return in_float32(
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


def rnn(np: Any, wx: Any, wh: Any, b: Any, wo: Any, x: Any, target: Any) -> Any:
    h = np.tanh(x[0] @ wx + b)
    for step in range(1, np.shape(x)[0]):
        h = np.tanh(x[step] @ wx + h @ wh + b)
    return np.mean((h @ wo - target) ** 2)


def rnn_scanned(np: Any, wx: Any, wh: Any, b: Any, wo: Any, x: Any, target: Any) -> Any:
    import jax

    def step(h: Any, row: Any) -> Any:
        return np.tanh(row @ wx + h @ wh + b), None

    h, _ = jax.lax.scan(step, np.tanh(x[0] @ wx + b), x[1:])
    return np.mean((h @ wo - target) ** 2)


def make_rnn(rng: numpy.random.Generator, steps: int, batch: int, inputs: int, hidden: int) -> Arrays:
    return in_float32(
        rng.normal(size=(inputs, hidden)) / math.sqrt(inputs),
        rng.normal(size=(hidden, hidden)) / math.sqrt(hidden),
        numpy.zeros(hidden),
        rng.normal(size=(hidden, 1)) / math.sqrt(hidden),
        rng.normal(size=(steps, batch, inputs)),
        rng.normal(size=(batch, 1)),
    )


def sigmoid(np: Any, x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_cell(np: Any, wx: Any, wh: Any, b: Any, row: Any, h: Any, c: Any) -> tuple[Any, Any]:
    width = np.shape(h)[1]
    gates = row @ wx + h @ wh + b
    kept, new = sigmoid(np, gates[:, :width]), sigmoid(np, gates[:, width : 2 * width])
    shown, fresh = sigmoid(np, gates[:, 2 * width : 3 * width]), np.tanh(gates[:, 3 * width :])
    c = kept * c + new * fresh
    return shown * np.tanh(c), c


def lstm(np: Any, wx: Any, wh: Any, b: Any, wo: Any, x: Any, h: Any, target: Any) -> Any:
    c = h
    for step in range(np.shape(x)[0]):
        h, c = lstm_cell(np, wx, wh, b, x[step], h, c)
    return np.mean((h @ wo - target) ** 2)


def lstm_scanned(np: Any, wx: Any, wh: Any, b: Any, wo: Any, x: Any, h: Any, target: Any) -> Any:
    import jax

    def step(carry: Any, row: Any) -> Any:
        return lstm_cell(np, wx, wh, b, row, *carry), None

    (h, _), _ = jax.lax.scan(step, (h, h), x)
    return np.mean((h @ wo - target) ** 2)


def make_lstm(rng: numpy.random.Generator, steps: int, batch: int, inputs: int, hidden: int) -> Arrays:
    return in_float32(
        rng.normal(size=(inputs, 4 * hidden)) / math.sqrt(inputs),
        rng.normal(size=(hidden, 4 * hidden)) / math.sqrt(hidden),
        numpy.zeros(4 * hidden),
        rng.normal(size=(hidden, 1)) / math.sqrt(hidden),
        rng.normal(size=(steps, batch, inputs)),
        numpy.zeros((batch, hidden)),
        rng.normal(size=(batch, 1)),
    )


CASES = (
    Case(
        "attention",
        "causal attention, 16 heads, 128x32, f32",
        attention,
        make_attention,
        3,
        {"heads": 16, "length": 128, "width": 32},
        {"heads": 2, "length": 4, "width": 3},
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
        scanned=rnn_scanned,
    ),
    Case(
        "lstm",
        "LSTM, 50 unrolled steps, batch 16, 32-64, f32",
        lstm,
        make_lstm,
        4,
        {"steps": 50, "batch": 16, "inputs": 32, "hidden": 64},
        {"steps": 3, "batch": 2, "inputs": 3, "hidden": 4},
        scanned=lstm_scanned,
    ),
)
