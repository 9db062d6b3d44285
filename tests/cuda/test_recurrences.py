"""Loops whose elements have nothing to do with each other: every thread does all steps of its own."""

import numpy as np
import pytest
from cuda.cases import leaves, program_of
from cuda.player import Library, Player, needs_compiler
from numpy.testing import assert_allclose

import tracer
import tracer as theano
import tracer.tensor as T
from tracer.scan_module import scan, until

pytestmark = needs_compiler
R = np.random.default_rng(0)


def logistic(r, x):
    return tracer.scan(lambda x, _: ((y := r * x * (1 - x)), y), x, None, 40)


def oscillator(x, v, forces):
    def step(state, force):
        x, v = state
        return (x + 0.1 * v, v - 0.1 * np.sin(x) + force), x * x + v * v

    return tracer.scan(step, (x, v), forces)


def mandelbrot(c):
    def step(i, state):
        z, n = state
        inside = np.abs(z) < 2
        return np.where(inside, z * z + c, z), n + inside

    return tracer.fori_loop(0, 12, step, (np.zeros_like(c), np.zeros(c.shape, int)))


def counted(x):
    """With a state for all elements, which all of them use."""
    return tracer.fori_loop(0, 6, lambda i, s: (s[0] * 0.5 + s[1], s[1] * 1.5 + 1), (x, 1.0))


def discounted(rewards):
    return tracer.scan(lambda c, r: ((t := r + 0.9 * c), t), np.zeros(rewards.shape[1:]), rewards, reverse=True)


def by_columns(x):
    return tracer.scan(lambda c, row: (np.maximum(c, row), c - row[0]), np.full(x.shape[0], -1.0), x.T)


def gradient(r, x):
    return tracer.grad(lambda r, x: (logistic(r, x)[1] ** 2).sum(), argnums=(0, 1))(r, x)


def neighbours(x):
    return tracer.fori_loop(0, 3, lambda i, s: s + s[::-1], x)


def inner_part(x):
    def step(i, s):
        s = s.copy()
        s[1:-1] *= 0.5
        return s

    return tracer.fori_loop(0, 5, step, x)


def wide(*shape):
    return R.uniform(0.5, 1.0, shape)


CASES = {
    "logistic": (logistic, (3 * wide(700), wide(700)), ["loop", "recurrence", "segments"]),
    "oscillator": (oscillator, (wide(300), wide(300), wide(9, 300)), ["loop", "recurrence"]),
    "small oscillator": (oscillator, (wide(3), wide(3), wide(9, 3)), ["small"]),
    "one oscillator": (oscillator, (np.array(1.0), np.array(0.5), wide(9)), ["small"]),
    "mandelbrot": (mandelbrot, (wide(30, 40) + 1j * wide(30, 40),), ["loop", "recurrence"]),
    "one state for all": (counted, (wide(1500),), ["small", "recurrence", "settle"]),
    "one state for all of few": (counted, (wide(200),), ["small"]),
    "backward": (discounted, (wide(11, 400),), ["loop", "recurrence"]),
    "columns": (by_columns, (wide(400, 6),), ["loop", "recurrence"]),
    "single": (discounted, (wide(11, 3, 400).astype("f4"),), ["loop", "recurrence"]),
    "gradient": (gradient, (3 * wide(500), wide(500)), ["loop", "recurrence"] * 2),
    "neighbours": (neighbours, (wide(300),), ["small"]),
    "a part": (inner_part, (wide(400),), ["loop", "recurrence"]),
}


@pytest.fixture(scope="module")
def built():
    players = {name: Player(program_of(function, *args), list(args)) for name, (function, args, _) in CASES.items()}
    return players, Library([player.module for player in players.values()])


@pytest.mark.parametrize("name", CASES)
def test_every_thread_does_all_steps_of_its_own(built, name):
    player, (function, args, kernels) = built[0][name], CASES[name]
    names = [launch.name.partition("_")[0] for own in player.module.launches for launch in own]
    assert names == kernels
    compiled = tracer.compile(function)
    for player.arguments in (list(args), [(item * 0.9).astype(item.dtype) for item in args]):
        expected = leaves(compiled(*player.arguments))
        for order in (0, 1, 2):
            for one, other in zip(player.run(built[1], order), expected, strict=True):
                rtol = 1e-5 if one.dtype.itemsize == 4 else 1e-10
                assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(other).max())


def histories(gpu, *arguments, steps=None):
    """An autoregression over two steps that may stop, with its rows so far, on the GPU and on the CPU."""
    x, start, limit = T.dmatrix("x"), T.dmatrix("start"), T.dscalar("limit")
    most = T.iscalar("most")

    def step(row, time, before, older, limit):
        return [0.5 * before - 0.2 * older + row, time * 2], until(time >= limit)

    sequences = [x, T.arange(x.shape[0])]
    outputs = [{"initial": start, "taps": [-2, -1]}, None]
    (values, passed), _ = scan(step, sequences, outputs, limit, n_steps=most if steps == "counted" else None)
    inputs = [x, start, limit, *([most] if steps == "counted" else [])]
    expected = theano.function(inputs, [values, passed])(*arguments)
    with theano.config.changed(device="cuda"):
        f = theano.function(inputs, [values, passed])
        for _ in range(3):
            for one, other in zip(f(*arguments), expected, strict=True):
                assert one.shape == other.shape
                assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("elements", [3, 300])
def test_earlier_steps_and_an_end(gpu, elements):
    x, start = wide(12, elements), wide(2, elements)
    histories(gpu, x, start, 99.0)
    histories(gpu, x, start, 4.0)
    histories(gpu, x, start, 4.0, 9, steps="counted")
    histories(gpu, x, start, 99.0, 5, steps="counted")
    kernels = {name.partition("_")[0] for name in gpu.launches}
    assert ("recurrence" in kernels) == (elements == 300), kernels
