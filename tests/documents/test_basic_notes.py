"""A page of notes: symbols, functions, givens, derivatives, shared variables and descent, with what it prints."""

import numpy
import numpy as np

import tracer as theano
import tracer.tensor as T


def shown(value):
    """The text of an interactive session."""
    return repr(value).replace(" ", "")


def test_symbols_and_functions():
    x = T.lscalar("x")
    m = T.dmatrix()
    y = x * 2
    z = T.exp(x)
    assert [item.ndim for item in (x, m, y, z)] == [0, 2, 0, 0]
    assert z.dtype == "float64"
    f = theano.function([x], x * 2)
    assert shown(f(3)) == "array(6)"
    f = theano.function([x], y)
    assert shown(f(3)) == "array(6)"


def test_givens_of_expressions_and_values():
    x = T.dscalar()
    y = T.dscalar()
    c = T.dscalar()
    ff = theano.function([c], x * 2 + y, givens=[(x, c * 10), (y, 5)])
    assert shown(ff(2)) == "array(45.)"


def test_derivatives():
    x, y = T.dscalars("x", "y")
    z = (x + 2 * y) ** 2
    gx = T.grad(z, x)
    gy = T.grad(z, y)
    fgy = theano.function([x, y], gy)
    assert shown(fgy(1, 2)) == "array(20.)"
    assert theano.function([x, y], gx)(1, 2) == 10


def test_shared_values():
    x = T.dscalar("x")
    b = theano.shared(numpy.array([1, 2, 3, 4, 5]))
    f = theano.function([x], b * x)
    assert shown(f(2)) == "array([2.,4.,6.,8.,10.])"
    assert shown(b.get_value()) == "array([1,2,3,4,5])"
    b.set_value([10, 11, 12])
    assert shown(f(2)) == "array([20.,22.,24.])"


def test_counter():
    c = theano.shared(0)
    f = theano.function([], c, updates={c: c + 1})
    assert shown(f()) == "array(0)"
    assert shown(f()) == "array(1)"


def test_descent():
    x = T.dvector("x")
    c = theano.shared(0.0)
    y = T.sum((x - c) ** 2)
    gc = T.grad(y, c)
    d2 = theano.function([x], y, updates={c: c - 0.05 * gc})
    printed = [(55.0, 1.5), (21.25, 2.25), (12.8125, 2.625)]
    for cost, value in printed:
        np.testing.assert_allclose(d2([1, 2, 3, 4, 5]), cost, rtol=1e-12)
        np.testing.assert_allclose(c.get_value(), value, rtol=1e-12)
