"""Special functions at special points, those that are not ufuncs, and SciPy's absence until it is used."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.special
from ops.table import check_value

import tracer

X = np.array([[0.3, -1.2, 2.0], [0.0, 0.7, -0.4]])


def slope(function, point):
    return tracer.grad(function)(np.float64(point))


@pytest.mark.parametrize(
    ("function", "point", "expected"),
    [
        (scipy.special.j1, 0.0, 0.5),
        (scipy.special.i1, 0.0, 0.5),
        (scipy.special.i1e, 0.0, 0.5),
        (scipy.special.exprel, 0.0, 0.5),
        (scipy.special.exprel, 1e-5, 0.5 + 1e-5 / 3),
        (scipy.special.spence, 1.0, -1.0),
        (lambda x: scipy.special.xlogy(x, 2.0), 0.0, np.log(2)),
        (lambda x: scipy.special.xlogy(0.0, x), 2.0, 0.0),
        (lambda x: scipy.special.huber(1.0, x), 3.0, 1.0),
        (lambda x: scipy.special.huber(x, 0.5), 1.0, 0.0),
        (scipy.special.log_ndtr, -30.0, 30.033259667),
    ],
)
def test_derivatives_at_special_points(function, point, expected):
    np.testing.assert_allclose(slope(function, point), expected, rtol=1e-9)


NOT_UFUNCS = [
    lambda x: scipy.special.logsumexp(x),
    lambda x: scipy.special.logsumexp(x, axis=1, keepdims=True),
    lambda x: scipy.special.logsumexp(x, axis=(0, 1)),
    lambda x: scipy.special.logsumexp(x, axis=0, b=np.array([[1.0], [2.0]])),
    lambda x: scipy.special.logsumexp(x, axis=1, b=[1.0, -2.0, 0.5], return_sign=True)[0],
    lambda x: scipy.special.softmax(x),
    lambda x: scipy.special.softmax(x, axis=0),
    lambda x: scipy.special.log_softmax(x, axis=1),
    lambda x: scipy.special.polygamma(1, x * x + 0.5),
    lambda x: scipy.special.polygamma(np.array([0, 1, 2]), x * x + 0.5),
    lambda x: scipy.special.zeta(2.5, x * x + 0.5),
]


@pytest.mark.parametrize("function", NOT_UFUNCS)
def test_functions_that_are_not_ufuncs(function):
    check_value(function, [X], "scipy.special")
    tracer.testing.check_grads(function, (X,), order=2)


def test_sums_of_exponentials_do_not_overflow():
    large = np.array([1000.0, 1000.5, -np.inf])
    check_value(lambda x: scipy.special.logsumexp(x), [large], "logsumexp")
    gradient = tracer.grad(lambda x: scipy.special.logsumexp(x))(large)
    np.testing.assert_allclose(gradient, scipy.special.softmax(large), rtol=1e-12)
    check_value(lambda x: scipy.special.logsumexp(x), [np.full(3, -np.inf)], "log(0)")
    _, sign = tracer.compile(lambda x: scipy.special.logsumexp(x, b=[1.0, -2.0, 0.5], return_sign=True))(X[0])
    assert sign == scipy.special.logsumexp(X[0], b=[1.0, -2.0, 0.5], return_sign=True)[1]


@pytest.mark.parametrize("name", ["jv", "gammainc", "iv"])
def test_orders_have_no_derivative(name):
    function = getattr(scipy.special, name)
    with pytest.raises(tracer.errors.NotDifferentiableError, match=f"{name} has no derivative.*\nHINT"):
        tracer.grad(lambda v: function(v, 0.7))(1.5)
    # An integer order, or one that does not depend on the variable, is no obstacle.
    whole = tracer.compile(tracer.grad(lambda x, n: function(n, x), argnums=0))
    step = 1e-6
    expected = (function(2, 0.7 + step) - function(2, 0.7 - step)) / (2 * step)
    np.testing.assert_allclose(whole(0.7, np.array(2)), expected, rtol=1e-6)


def test_digamma_of_complex_numbers_has_no_derivative():
    with pytest.raises(tracer.errors.NotDifferentiableError, match="psi"):
        tracer.grad(lambda x: np.real(scipy.special.psi(x)))(1.5 + 1j)


def test_scipy_special_is_not_imported_with_the_package():
    code = "import sys, tracer; assert 'scipy.special' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
