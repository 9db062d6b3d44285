"""A first tutorial: graphs of scalars and matrices, state, random numbers, derivatives; with the numbers it prints."""

import warnings

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import function, pp, shared
from tracer.tensor.shared_randomstreams import RandomStreams


def test_star_import_gives_the_names_the_tutorial_uses():
    names: dict[str, object] = {}
    exec("from tracer import *", names)
    assert names["function"] is function
    assert names["shared"] is shared
    assert callable(names["pp"])


def test_scalars():
    x = T.dscalar()
    y = T.dscalar()
    z = x + y
    f = function([x, y], z)
    assert str(z) == "Elemwise{add,no_inplace}.0"
    assert str(f(1, 2)) == "3.0"
    assert str(z.eval({x: 1, y: 2})) == "3.0"


def test_matrix_times_vector():
    A = T.dmatrix("A")
    x = T.dvector("x")
    b = T.dvector("b")
    z = theano.dot(A, x) + b
    f = function([A, x, b], z)
    A = np.array([[1, -1], [-1, 1]])
    x = np.array([2, 1])
    b = np.array([1, 1])
    result = f(A, x, b)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [2.0, 0.0])


def test_state_by_hand():
    count = shared(0)
    inc = T.iscalar()
    result = count + inc
    acc = function([inc], result)
    assert str(acc(1)) == "1"
    assert str(count.get_value()) == "0"
    count.set_value(acc(1))
    assert str(count.get_value()) == "1"
    count.set_value(acc(1))
    assert str(count.get_value()) == "2"
    count.set_value(acc(10))
    assert str(count.get_value()) == "12"


def test_state_by_updates():
    count = shared(0)
    inc = T.iscalar()
    acc = function([inc], count + inc, updates=[(count, count + inc)])
    assert [str(acc(1)), str(acc(1)), str(acc(20)), str(count.get_value())] == ["1", "2", "22", "22"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers(dtype):
    with theano.config.change_flags(floatX=dtype):
        srng = RandomStreams(seed=0)
        num = srng.uniform()
        f = function([], num)
        g = function([], num, no_default_updates=True)
        printed = [0.48604732751846313, 0.6857123374938965, 0.9855760335922241]
        for expected in printed:
            found = f()
            assert found.dtype == dtype
            if dtype == "float32":
                assert float(found) == expected
            np.testing.assert_allclose(found, expected, rtol=1e-7)
        for _ in range(3):
            np.testing.assert_allclose(g(), 0.19559641182422638, rtol=1e-7)


def test_derivative_and_its_text():
    x = T.dscalar()
    y = 3 * x**-2
    dy = T.grad(y, x)
    f = theano.function([x], dy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [str(f(3)), str(f(0)), str(f(1))] == ["-0.2222222222222222", "-inf", "-6.0"]
    # The printed formula is Python again: it gives the derivative's own numbers.
    text = pp(dy)
    leaf = pp(x)
    assert leaf in text
    assert eval(text.replace(leaf, "x"), {"x": 3.0, "np": np}) == pytest.approx(-6 / 27)
