"""Draws under other transforms: batches, loops, branches and functions that are computed again."""

import numpy as np

import tracer
from tracer.tracing import control
from tracer.tracing.checkpoint import checkpoint


def test_vmap_gives_every_example_numbers_of_its_own():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)
    f = tracer.compile(tracer.vmap(lambda x: x + rng.normal(size=3)))
    g = tracer.compile(tracer.vmap(lambda x, scale: rng.normal(x, scale), in_axes=(0, None)))
    for _ in range(2):
        x = plain.random((4, 3)) + 0 * rng.random((4, 3))
        np.testing.assert_array_equal(f(x), x + plain.normal(size=(4, 3)))
        np.testing.assert_array_equal(g(x, np.ones(3)), plain.normal(x, np.ones(3)))
    assert rng.bit_generator.state == plain.bit_generator.state


def test_vmap_of_draws_of_several_axes_goes_example_by_example():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)
    p = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    f = tracer.compile(tracer.vmap(lambda p: (rng.multinomial(9, p, 2), rng.normal())))
    g = tracer.compile(tracer.vmap(lambda x: rng.permutation(x)))
    nested = tracer.compile(tracer.vmap(tracer.vmap(lambda x: x + rng.choice(5, 2, replace=False))))
    for _ in range(2):
        counts, noise = f(p)
        np.testing.assert_array_equal(counts, np.stack([plain.multinomial(9, row, 2) for row in p]))
        np.testing.assert_array_equal(noise, plain.normal(size=3))
        np.testing.assert_array_equal(g(p), np.stack([plain.permutation(row) for row in p]))
        expected = [[plain.choice(5, 2, replace=False) for _ in range(2)] for _ in range(3)]
        np.testing.assert_array_equal(nested(np.zeros((3, 2, 1))), expected)
    assert rng.bit_generator.state == plain.bit_generator.state


def test_gradients_example_by_example():
    f = tracer.compile(lambda rng, x: tracer.vmap(tracer.grad(lambda x: np.sum(rng.normal(x, x) ** 2)))(x))
    x = np.arange(1.0, 7.0).reshape(2, 3)
    for seed in (1, 2):
        noise = np.random.default_rng(seed).standard_normal((2, 3))
        np.testing.assert_allclose(f(np.random.default_rng(seed), x), 2 * x * (1 + noise) ** 2)


def test_loops_and_branches_carry_the_state():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)

    @tracer.compile
    def walk(x, go):
        def step(position):
            position = position + rng.normal(size=2)
            return [], [position], [position]

        made = control.scan(step, carries=[x], n_steps=4)
        (more,) = control.cond(go, lambda: rng.random(3), lambda: np.zeros(3))
        count, _ = control.while_loop(lambda n, u: u < 0.9, lambda n, u: [n + 1, rng.random()], [0, 0.0])
        return made.carries[0], made.outputs[0], more, count

    for go in (True, False, True):
        last, positions, more, count = walk(np.zeros(2), np.bool_(go))
        expected = np.cumsum(plain.normal(size=(4, 2)), axis=0)
        np.testing.assert_allclose(positions, expected, rtol=1e-12)
        np.testing.assert_allclose(last, expected[-1], rtol=1e-12)
        np.testing.assert_array_equal(more, plain.random(3) if go else np.zeros(3))
        tries = 1
        while plain.random() < 0.9:
            tries += 1
        assert count == tries
        assert rng.bit_generator.state == plain.bit_generator.state


def test_a_python_loop():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)

    @tracer.compile
    def walk(x):
        for _ in range(5):
            x = x + rng.normal(size=2)
        return x

    for _ in range(2):
        np.testing.assert_allclose(walk(np.zeros(2)), plain.normal(size=(5, 2)).sum(axis=0), rtol=1e-12)


def test_what_is_computed_again_draws_the_same_numbers():
    def cost(x, rng):
        (y,) = checkpoint(lambda x: [rng.normal(x, x) ** 2], [x])
        return np.sum(y) + rng.random()

    f = tracer.compile(tracer.value_and_grad(cost))
    x = np.arange(1.0, 4.0)
    for seed in (1, 2):
        rng, plain = np.random.default_rng(seed), np.random.default_rng(seed)
        value, gradient = f(x, rng)
        noise = plain.standard_normal(3)
        np.testing.assert_allclose(value, np.sum((x + x * noise) ** 2) + plain.random())
        np.testing.assert_allclose(gradient, 2 * x * (1 + noise) ** 2)
        assert rng.bit_generator.state == plain.bit_generator.state
