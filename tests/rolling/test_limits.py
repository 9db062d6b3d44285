"""Which loops are rolled without being asked to, and what that saves."""

import numpy as np
from work import count_lines

import tracer


def steps(x, count):
    y = x
    for i in range(count):
        y = np.sin(y) * 0.9 + 0.1 * x + i
    return np.sum(y)


def test_short_loops_stay_unrolled_and_long_ones_do_not():
    for count, is_rolled in ((40, False), (200, True), (5000, True)):
        compiled = tracer.compile(steps)
        compiled(np.ones(3), count)
        assert ("rolls the loop" in compiled.explain()) == is_rolled


def test_passes_over_large_arrays_stay_one_pass():
    for size, is_rolled in ((100, True), (10_000, False)):

        def passes(x):
            y = x
            for i in range(90):
                y = np.minimum(y * y + x, 2.0) + i
            return y

        compiled, x = tracer.compile(passes), np.linspace(-1.0, 1.0, size)
        for sign in (1.0, -0.5):
            np.testing.assert_allclose(compiled(x * sign), passes(x * sign))
        assert ("rolls the loop" in compiled.explain()) == is_rolled


def test_ten_thousand_steps_compile_in_the_work_of_a_few_hundred():
    def work(count):
        return count_lines(tracer.compile(tracer.value_and_grad(steps)).plan, np.ones(3), count)

    work(6000)
    assert work(60000) < 1.5 * work(6000)


def test_weights_of_a_list_are_not_put_together_for_a_few_nodes():
    def deep(weights, x):
        for weight in weights:
            x = np.tanh(x @ weight) + x
        return np.sum(x)

    def deeper(weights, x):
        for weight in weights:
            x = np.tanh(x @ weight) + x
        return np.sum(x)

    x = np.linspace(0, 1, 32)
    for network, count, is_rolled in ((deep, 120, False), (deeper, 2000, True)):
        compiled = tracer.compile(network)
        weights = [np.eye(32) * 0.01 * place for place in range(count)]
        for scale in (1.0, 0.5):
            np.testing.assert_allclose(compiled(weights, x * scale), network(weights, x * scale))
        assert ("rolls the loop" in compiled.explain()) == is_rolled
