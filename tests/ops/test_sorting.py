"""Counting, order statistics and sequences beyond the examples of the table."""

import numpy as np
import pytest
from ops.table import check_value

import tracer

X = np.array([[3.0, 1.0, 2.0, 5.0], [0.5, 4.0, -1.0, 2.0]])


def test_counts_of_real_numbers_with_traced_weights():
    places = np.array([0, 3, 3, 1])
    check_value(lambda w: np.bincount(places, w, minlength=6), [np.array([0.5, 1.0, 2.0, 4.0])], "bincount")


def test_counts_of_traced_numbers_with_a_length():
    count = tracer.compile(lambda x: np.bincount(x, minlength=4))
    np.testing.assert_array_equal(count(np.array([1, 3, 1])), [0, 2, 0, 1])
    for wrong in ([1, 4], [1, -1]):
        with pytest.raises(IndexError, match="out of bounds"):
            count(np.array(wrong))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.partition(x, 7),
        lambda x: np.quantile(x, 1.5),
        lambda x: np.percentile(x, -1),
        lambda x: np.bincount(x, minlength=9),
        lambda x: np.bincount(np.array([-1, 2]), x[0, :2]),
        lambda x: np.bincount(np.array([1, 2]), x[0]),
        lambda x: np.digitize(x, [0, 2, 1]),
        lambda x: np.unravel_index(x, (3, 3)),
        lambda x: np.ravel_multi_index((np.argmax(x, axis=0),), (2, 3)),
        lambda x: np.convolve(x, x),
        lambda x: np.convolve(x[0], x[0], "middle"),
        lambda x: np.convolve(x[0], x[0, :0]),
        lambda x: np.interp(x, [0, 1], [0, 1, 2]),
        lambda x: np.vander(x),
        lambda x: np.cov(x[None]),
    ],
)
def test_errors_are_numpys(function):
    with pytest.raises((ValueError, TypeError)) as expected:
        function(X)
    with pytest.raises(type(expected.value)):
        tracer.compile(function)(X)


def test_places_out_of_bounds_are_numpys_error():
    with pytest.raises(ValueError, match="out of bounds"):
        tracer.compile(lambda x: np.unravel_index(x, (2, 2)))(np.array([4]))
    with pytest.raises(ValueError, match="invalid entry"):
        tracer.compile(lambda x: np.ravel_multi_index((x, x), (2, 2)))(np.array([2]))


def test_undefined_order_statistics():
    with_nan = X.copy()
    with_nan[0, 1] = np.nan
    for function in (
        lambda x: np.median(x, axis=1),
        lambda x: np.quantile(x, [0.2, 0.5], axis=1),
        lambda x: np.percentile(x, 30.0),
    ):
        check_value(function, [with_nan], "with NaN")


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_order_statistics_of_nothing():
    for function in (
        lambda x: np.median(x),
        lambda x: np.median(x, axis=0),
        lambda x: np.median(x, axis=1),
        lambda x: np.quantile(x, [0.2, 0.5], axis=1),
    ):
        check_value(function, [np.zeros((0, 3))], "no rows")


def test_quantiles_at_a_traced_share():
    def function(x, q):
        return np.quantile(x, q, axis=1)

    check_value(function, [X, np.array([0.1, 0.9])], "traced q")
    tracer.testing.check_grads(function, (X, np.array([0.1, 0.85])), order=1)


def test_partition_in_place():
    def function(x):
        y = x * 1.0
        y.partition(1, axis=1)
        return y[:, 1] + y.argpartition(2, axis=1)[:, 2]

    check_value(function, [X], "methods")


def test_interpolation_between_one_point():
    check_value(lambda x: np.interp(x, [1.0], [2.0], left=0.0), [X], "one point")
