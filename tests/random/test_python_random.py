"""Python's own random numbers: an error in a trace, and not drawn."""

import random
from random import gauss

import numpy as np
import pytest

import tracer
from tracer import errors

PLAIN = random.Random(3)
V = np.array([0.5, 1.5, 2.5])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + random.random(),
        lambda x: x + gauss(0, 1),
        lambda x: x + PLAIN.random(),
        lambda x: x[random.sample(range(3), 3)],
    ],
)
def test_python_random_numbers_are_an_error_and_not_drawn(function):
    states = random.getstate(), PLAIN.getstate()
    for compiled in (tracer.compile(function), tracer.grad(lambda x: np.sum(function(x)))):
        with pytest.raises(errors.TraceError, match=r"(?s)Python's random module.*HINT.*default_rng"):
            compiled(V)
    assert (random.getstate(), PLAIN.getstate()) == states


def test_a_function_that_only_could_draw_python_random_numbers_is_traced():
    compiled = tracer.compile(lambda x, noisy=False: x + random.random() if noisy else x * 2)
    np.testing.assert_array_equal(compiled(V), 2 * V)
