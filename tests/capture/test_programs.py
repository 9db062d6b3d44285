"""Unmodified NumPy functions give NumPy's values and dtypes, and derivatives, in one trace."""

import numpy as np
import pytest
from capture import programs

import tracer
from tracer.tree import flatten

X, Y = np.array([0.3, 1.2, 2.5]), np.array([1.1, 0.2, 0.7])
WITHOUT_DERIVATIVE = ("whole_numbers", "other_dtypes", "parts_of_complex_numbers", "numbers", "lists_of_values")


def assert_same(found, expected):
    (found, structure), (expected, plain) = flatten(found), flatten(expected)
    assert structure == plain
    for one, other in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-6 if np.asarray(other).dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda program: program.__name__)
def test_values(program):
    compiled = tracer.compile(program)
    for x in (X, Y, X[::-1].copy()):
        assert_same(compiled(x), program(x))
    assert compiled.cache_info().traces == 1


@pytest.mark.parametrize(
    "program",
    [program for program in programs.PROGRAMS if program.__name__ not in WITHOUT_DERIVATIVE],
    ids=lambda program: program.__name__,
)
def test_gradients(program):
    def cost(x):
        leaves = flatten(program(x))[0]
        return sum(np.sum(np.sin(leaf)) for leaf in leaves if np.result_type(leaf).kind == "f")

    gradient = tracer.grad(cost)
    for x in (X, Y):
        steps = 1e-6 * np.eye(3)
        slopes = [(cost(x + step) - cost(x - step)) / 2e-6 for step in steps]
        np.testing.assert_allclose(gradient(x), slopes, rtol=1e-5, atol=1e-6)
