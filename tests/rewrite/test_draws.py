"""Draws that follow each other are made at once: NumPy's numbers, and where one needs another they stay apart."""

import numpy as np
import pytest

import tracer
from tracer.ops.generators import DRAW, DRAWS, Draw, source_of, state_of


def ops_of(compiled, *args):
    return [node.op for node in compiled.plan(*args).graph.nodes() if node.op.draws]


def apart(rng, other, x):
    """Two streams whose parameters are numbers or arguments."""
    total = np.zeros(3)
    for _ in range(4):
        total += rng.normal(x) + other.uniform(0, 2, 3) + rng.random() * rng.integers(5)
    return total, rng.permutation(4)


def needed(rng, other, x):
    """Every draw needs the one before, of the same stream or of the other."""
    a = rng.normal(x)
    b = other.normal(a)
    c = rng.normal(b)
    return rng.normal(c) + other.normal(c)


def partly(rng, other, x):
    """Draws in the middle of a row need what was drawn."""
    a, b = rng.random(3), rng.random(3)
    c = rng.normal(a * b)
    return c + rng.random() + rng.random() * x


def looped(rng, other, x):
    def step(total, item):
        return total + item * rng.random() + rng.standard_normal(), rng.random()

    return tracer.scan(step, other.random() + other.random(), x)


@pytest.mark.parametrize(
    "function, expected", [(apart, [DRAWS] * 2), (needed, [DRAW] * 5), (partly, [DRAWS] * 2), (looped, [DRAWS])]
)
def test_numbers_and_states_are_those_of_numpy(function, expected):
    compiled = tracer.compile(function)
    for seed in range(3):
        given = np.random.default_rng(seed), np.random.default_rng(seed + 9)
        plain = np.random.default_rng(seed), np.random.default_rng(seed + 9)
        x = np.arange(3.0) * seed
        found, wanted = compiled(*given, x), function(*plain, x)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        for one, other in zip(given, plain, strict=True):
            assert one.bit_generator.state == other.bit_generator.state
    assert ops_of(compiled, *given, x) == expected
    assert compiled.cache_info().traces == 1


def test_batches_of_merged_draws_are_those_of_single_ones():
    plain = np.random.default_rng(2)
    source, kind = source_of(plain), np.dtype(float)
    normal = Draw(source, "normal", ("loc", "scale"), (), (2,), (), (0, 0), kind)
    times = Draw(source, "exponential", ("scale",), (), (3,), (), (0,), kind)

    def together(state, loc):
        return DRAWS(state, loc, np.float64(2), loc, draws=(normal, times))

    def in_turn(state, loc):
        state, one = DRAW(state, loc, np.float64(2), draw=normal)
        state, other = DRAW(state, loc, draw=times)
        return state, one, other

    state, loc = state_of(plain), np.array([1.0, 2.0, 3.0])
    states = np.stack([state_of(np.random.default_rng(seed)) for seed in range(3)])
    for args, axes in (((state, loc), (None, 0)), ((states, loc), (0, 0)), ((states, loc[0]), (0, None))):
        found = tracer.compile(tracer.vmap(together, in_axes=axes))(*args)
        expected = tracer.compile(tracer.vmap(in_turn, in_axes=axes))(*args)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_state_that_a_derivative_draws_from_again_is_kept():
    def cost(scale, rng):
        total = 0.0
        for _ in range(3):
            total += rng.normal(0.0, scale) ** 2 + rng.random()
        return total

    gradient = tracer.compile(tracer.value_and_grad(cost))
    for scale in (0.5, 2.0):
        rng, plain = np.random.default_rng(4), np.random.default_rng(4)
        value, slope = gradient(np.float64(scale), rng)
        expected = cost(scale, plain)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        noise = cost(scale, np.random.default_rng(4)) - cost(0.0, np.random.default_rng(4))
        np.testing.assert_allclose(slope, 2 * noise / scale, rtol=1e-9)
        assert rng.bit_generator.state == plain.bit_generator.state
