"""Histograms: bins, ranges, weights, more dimensions, and edges that are captured."""

import numpy as np
import pytest
from ops.table import check_value

import tracer

X = np.random.default_rng(5).normal(size=(4, 5))
V = X.ravel()[:8]
POINTS = np.random.default_rng(6).normal(size=(9, 3))


@pytest.mark.parametrize("bins", [3, 10, [-1.0, 0, 0.5, 2]])
@pytest.mark.parametrize("limits", [None, (-1, 1)])
@pytest.mark.parametrize("density", [False, True])
def test_counts_and_edges(bins, limits, density):
    for place in (0, 1):
        for dtype in (np.float64, np.float32, np.int64):
            check_value(
                lambda x, place=place: np.histogram(x, bins, limits, density)[place], [X.astype(dtype)], "counts"
            )
        check_value(lambda x, w, place=place: np.histogram(x, bins, limits, density, w)[place], [V, V**2], "weights")


def test_all_elements_equal_and_on_the_edges():
    check_value(lambda x: np.histogram(x, 4)[0], [np.full(5, 2.0)], "equal")
    check_value(lambda x: np.histogram(x, 4)[1], [np.full(5, 2.0)], "equal")
    check_value(lambda x: np.histogram(x, 10, (0, 1))[0], [np.arange(11) / 10], "edges")


def test_more_dimensions():
    for place in (0, 1, 2):
        check_value(lambda x, y, place=place: np.histogram2d(x, y, 3)[place], [V, V[::-1].copy()], "plane")
        check_value(
            lambda x, y, place=place: np.histogram2d(x, y, [2, [-2, 0, 1.0]], density=True)[place], [V, V**2], "plane"
        )
    check_value(lambda x, y: np.histogram2d(x, y, [-3, 0, 1.0, 4])[0], [V, V**2], "the same edges twice")
    check_value(lambda x: np.histogramdd(x, (2, 3, 2))[0], [POINTS], "points")
    check_value(lambda x: np.histogramdd(x, 2, [(-1, 1)] * 3, True, np.arange(9.0))[0], [POINTS], "weights")


def test_traced_edges_and_weights():
    count = tracer.compile(lambda x, edges: np.histogram(x, edges)[0])
    for edges in ([-1.0, 0, 1], [-3.0, 0.2, 3]):
        np.testing.assert_array_equal(count(X, np.array(edges)), np.histogram(X, edges)[0])
    slope = tracer.grad(lambda w: np.histogram(V, [-2.0, 0, 2], weights=w)[0] @ np.array([1.0, 3.0]))
    np.testing.assert_array_equal(slope(V), np.where(V < 0, 1.0, 3.0) * (np.abs(V) <= 2))


@pytest.mark.parametrize("function", [lambda x, e: np.histogram(x, e)[0], lambda x, e: np.digitize(x, e)])
def test_captured_edges_are_read_at_every_call(function):
    edges = np.array([-1.0, 0.0, 1.0])
    compiled = tracer.compile(lambda x: function(x, edges))
    for change in ([-1.0, 0.0, 1.0], [-2.0, 0.3, 2.5]):
        edges[:] = change
        np.testing.assert_array_equal(compiled(X), function(X, edges))


def test_the_order_of_captured_edges_may_change():
    edges = np.array([-1.0, 0.0, 1.0])
    compiled = tracer.compile(lambda x: np.digitize(x, edges))
    np.testing.assert_array_equal(compiled(X), np.digitize(X, edges))
    edges[:] = edges[::-1].copy()
    np.testing.assert_array_equal(compiled(X), np.digitize(X, edges))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.histogram(x, 0),
        lambda x: np.histogram(x, 1.5),
        lambda x: np.histogram(x, [1, 0]),
        lambda x: np.histogram(x, 3, (2, 1)),
        lambda x: np.histogram(x, weights=x[0]),
        lambda x: np.histogramdd(x, (1, 2)),
        lambda x: np.histogram2d(x[0], x[1, :2]),
    ],
)
def test_errors_are_numpys(function):
    with pytest.raises((ValueError, TypeError)) as expected:
        function(X)
    with pytest.raises(type(expected.value)):
        tracer.compile(function)(X)


def test_a_number_of_bins_that_the_data_decides_says_so():
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="HINT: give a number of bins"):
        tracer.compile(lambda x: np.histogram(x, "auto"))(X)
