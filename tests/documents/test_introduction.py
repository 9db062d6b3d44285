"""Slides that introduce the library: algebra, the logistic function, shared variables, gradients, an exercise."""

import numpy as np
import pytest

import tracer as theano
from tracer import function, pp, shared, tensor
from tracer import tensor as T


def test_scalars_of_any_numbers():
    a = tensor.dscalar()
    b = tensor.dscalar()
    c = a + b
    f = theano.function([a, b], c)
    a = 1.5
    b = 2.5
    c = f(a, b)
    assert c == 4


def test_adding_matrices():
    x = T.dmatrix("x")
    y = T.dmatrix("y")
    z = x + y
    f = function([x, y], z)
    np.testing.assert_array_equal(f([[1, 2], [3, 4]], [[10, 20], [30, 40]]), [[11, 22], [33, 44]])


def test_algebra_exercise():
    a = theano.tensor.vector()
    out = a + a**10
    f = theano.function([a], out)
    np.testing.assert_array_equal(f([0, 1, 2]), [0, 2, 1026])


def test_logistic_curve():
    x = T.dmatrix("x")
    s = 1 / (1 + T.exp(-x))
    logistic = theano.function([x], s)
    values = np.array([[0.0, 1], [-1, -2]])
    np.testing.assert_allclose(logistic([[0, 1], [-1, -2]]), 1 / (1 + np.exp(-values)), rtol=1e-14)


def test_several_outputs():
    a, b = T.dmatrices("a", "b")
    diff = a - b
    abs_diff = abs(diff)
    diff_squared = diff * 2
    f = theano.function([a, b], [diff, abs_diff, diff_squared])
    one, two, three = f([[1, 1], [1, 1]], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(one, [[1, 0], [-1, -2]])
    np.testing.assert_array_equal(two, [[1, 0], [1, 2]])
    np.testing.assert_array_equal(three, [[2, 0], [-2, -4]])


def test_accumulator(capsys):
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    print(state.get_value())
    accumulator(1)
    print(state.get_value())
    accumulator(300)
    print(state.get_value())
    assert capsys.readouterr().out.split() == ["0", "1", "301"]


def test_gradient_of_a_square():
    x = T.dscalar("x")
    v = x**2
    gy = T.grad(v, x)
    assert eval(pp(gy), {"x": 4.0}) == 8
    f = theano.function([x], gy)
    assert f(4) == 8


@pytest.mark.parametrize("point", [-1.5, 0, 1.5])
def test_exercise_gradients_of_logistic_and_tanh(point):
    x = T.dscalar("x")
    s = 1 / (1 + T.exp(-x))
    t = T.tanh(x)
    f = theano.function([x], [T.grad(s, x), T.grad(t, x)])
    logistic = 1 / (1 + np.exp(-point))
    np.testing.assert_allclose(f(point), [logistic * (1 - logistic), 1 - np.tanh(point) ** 2], rtol=1e-12)
