"""Quantiles: every method, weights, NaN, traced and captured shares."""

import numpy as np
import pytest
from ops.table import check_value

import tracer

METHODS = (
    "inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull linear "
    "median_unbiased normal_unbiased lower higher midpoint nearest"
).split()
X = np.random.default_rng(3).normal(size=(4, 5)) * 5
HOLED = np.where(X > 4, np.nan, X)
SHARES = (0.0, 0.1, 0.5, 1.0, [0.2, 0.77])


@pytest.mark.parametrize("method", METHODS)
def test_methods(method):
    for share in SHARES:
        for options in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
            for x in (X, HOLED, X.astype(np.float32), X.astype(np.int64)):
                check_value(
                    lambda x, options=options, share=share: np.quantile(x, share, method=method, **options),
                    [x],
                    f"{method} {share}",
                )
            check_value(
                lambda x, options=options, share=share: np.nanquantile(x, share, method=method, **options),
                [HOLED],
                f"nan {method} {share}",
            )


def test_weights():
    weights = np.random.default_rng(4).integers(0, 3, (4, 5)) + np.eye(4, 5)
    for share in (0.0, 0.1, 0.5, [0.2, 1.0]):
        options = {"method": "inverted_cdf", "axis": 1}
        for function in (np.quantile, np.nanquantile):
            check_value(
                lambda x, w, function=function, options=options, share=share: function(x, share, weights=w, **options),
                [HOLED, weights + 1],
                "weights",
            )
        check_value(
            lambda x, w, options=options, share=share: np.quantile(x, share, weights=w[0], **options),
            [X, weights],
            "weights of an axis",
        )


def test_traced_shares_have_derivatives():
    tracer.testing.check_grads(lambda x, q: np.quantile(x, q, axis=0), (X, np.array([0.3, 0.61])), order=2)
    quantile = tracer.compile(lambda x, q: np.percentile(x, q))
    for share in (30.0, 85.0):
        np.testing.assert_allclose(quantile(X, np.float64(share)), np.percentile(X, share))


def test_a_captured_array_of_shares_is_read_at_every_call():
    shares = np.array([0.1, 0.9])
    compiled = tracer.compile(lambda x: np.quantile(x, shares))
    np.testing.assert_allclose(compiled(X), np.quantile(X, shares))
    shares[:] = 0.5
    np.testing.assert_allclose(compiled(X), np.quantile(X, shares))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.quantile(x, 1.5),
        lambda x: np.quantile(x, 0.5, method="best"),
        lambda x: np.quantile(x, 0.5, weights=x * x),
        lambda x: np.quantile(x, 0.5, weights=x[0], method="inverted_cdf"),
        lambda x: np.quantile(x, 0.5, weights=x[0], axis=0, method="inverted_cdf"),
        lambda x: np.quantile(x + 1j, 0.5),
        lambda x: np.quantile(x > 0, 0.5),
        lambda x: np.quantile(x, np.full((1, 1, 1), 0.5)),
    ],
)
def test_errors_are_numpys(function):
    with pytest.raises((ValueError, TypeError)) as expected:
        function(X)
    with pytest.raises(type(expected.value)):
        tracer.compile(function)(X)
