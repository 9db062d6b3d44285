"""reduce, accumulate, reduceat, outer and at of every ufunc, compared with NumPy's."""

import numpy as np
import pytest
from ops.table import check_value

import tracer

X = np.array([[3, 1, 2, 4], [2, 2, 1, 3], [1, 4, 3, 2], [2, 1, 1, 5], [4, 3, 2, 1]])
ASSOCIATIVE = [
    *(np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot),
    *(np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm),
]
OTHERS = [np.subtract, np.divide, np.floor_divide, np.remainder, np.left_shift, np.copysign]
UFUNCS = ASSOCIATIVE + OTHERS
every_ufunc = pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
DTYPES = (np.bool_, np.int8, np.int64, np.float32, np.float64, np.complex128)


def is_of_integers(ufunc):
    return "dd->d" not in ufunc.types and "dd->?" not in ufunc.types


@every_ufunc
def test_reductions_and_running_totals(ufunc):
    for dtype in DTYPES:
        x = X.astype(dtype)
        label = f"{ufunc.__name__} of {np.dtype(dtype)}"
        check_value(lambda x: ufunc.reduce(x), [x], label)
        check_value(lambda x: ufunc.reduce(x, axis=-1, keepdims=True), [x], label)
        check_value(lambda x: ufunc.accumulate(x, 1), [x], label)
        check_value(lambda x: ufunc.reduceat(x, [0, 3, 1, 2], axis=1), [x], label)
        check_value(lambda x: ufunc.outer(x[0], x[1]), [x], label)


@every_ufunc
def test_reduction_options(ufunc):
    x = X.astype(np.int64 if is_of_integers(ufunc) else np.float64)
    mask = np.array([[True], [False], [True], [True], [False]])
    check_value(lambda x: ufunc.reduce(x, axis=None), [x], "axis None")
    check_value(lambda x: ufunc.reduce(x, axis=(0, 1)), [x], "two axes")
    check_value(lambda x: ufunc.reduce(x, axis=0, initial=2), [x], "initial")
    check_value(lambda x: ufunc.reduce(x, where=mask), [x], "where")
    check_value(lambda x: ufunc.reduce(x, where=mask, initial=1), [x], "where and initial")
    check_value(lambda x: ufunc.reduce(x[:0]), [x], "nothing")
    check_value(lambda x: ufunc.accumulate(x[:, :1]), [x], "one column")


def written(method, *args):
    def function(x, *more):
        y = x.copy()
        method(y[:, 1], *args, *more)
        return y

    return function


@every_ufunc
def test_at_known_places_that_repeat(ufunc):
    for dtype in (np.int64, np.float32, np.float64, np.complex128):
        check_value(written(ufunc.at, [0, 1, 1, -1], np.array([2, 3, 1, 2], dtype)), [X.astype(dtype)], ufunc.__name__)


@every_ufunc
def test_at_traced_places_that_repeat(ufunc):
    def function(x, places, values):
        y = x.copy()
        ufunc.at(y, (places, 1), values)
        return y

    x = X.astype(np.int64 if is_of_integers(ufunc) else np.float64)
    compiled = tracer.compile(function)
    for places in ([0, 1, 1, -1], [2, 2, 2, 2]):
        arguments = x, np.array(places), np.array([2, 3, 1, 2], x.dtype)
        np.testing.assert_allclose(compiled(*arguments), function(*arguments), rtol=1e-12)


def test_at_of_one_argument_and_of_masks():
    check_value(written(np.negative.at, [0, 0, 1]), [X.astype(float)], "negative.at")
    check_value(written(np.add.at, X[:, 0] > 1, 5.0), [X.astype(float)], "add.at of a mask")
    check_value(written(np.multiply.at, slice(None, None, 2), 3.0), [X.astype(float)], "multiply.at of a slice")
    check_value(written(np.add.at, [0, 0], 1.6), [X], "add.at casts as NumPy's")


def test_traced_ends_of_runs():
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum):
        compiled = tracer.compile(lambda x, ends, ufunc=ufunc: ufunc.reduceat(x, ends, axis=1))
        for ends in ([0, 3, 1, 2], [2, 2, 0, 3]):
            expected = ufunc.reduceat(X * 1.5, ends, axis=1)
            np.testing.assert_allclose(compiled(X * 1.5, np.array(ends)), expected)
        with pytest.raises(IndexError, match="out of bounds"):
            compiled(X * 1.5, np.array([0, 4]))


def test_results_go_where_out_says():
    def function(x):
        y = x.copy()
        np.multiply.reduce(x, axis=0, out=y[1])
        np.add.accumulate(y, axis=1, out=y)
        np.hypot.outer(x[0], x[1], out=y[:4])
        np.sqrt(x, out=y, where=x > 2)
        return y

    check_value(function, [X * 1.5], "out=")


DIFFERENTIABLE = [np.add, np.multiply, np.maximum, np.logaddexp, np.hypot, np.subtract, np.divide, np.fmin]


@pytest.mark.parametrize("ufunc", DIFFERENTIABLE, ids=lambda ufunc: ufunc.__name__)
def test_derivatives(ufunc):
    x = np.array([[0.7, 1.9, 1.2], [1.4, 0.6, 1.1], [1.7, 0.9, 1.3]])
    for function in (
        lambda x: ufunc.reduce(x),
        lambda x: ufunc.accumulate(x, 1),
        lambda x: ufunc.reduceat(x, [0, 2, 1], 1),
        lambda x: ufunc.outer(x[0], x[1]),
        lambda x: written(ufunc.at, [0, 1, 1])(x, x[0]),
    ):
        tracer.testing.check_grads(function, (x,), order=2, rtol=2e-5, atol=2e-6)


def test_what_is_too_long_says_so():
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="too many to unroll"):
        tracer.compile(lambda x: np.remainder.reduce(x))(np.ones(5000))
