"""Derivatives where a careless rule gives NaN: zeros, ties, infinities."""

import numpy as np
import pytest

import tracer


def gradient(function, *args):
    wanted = tuple(range(len(args)))
    total = tracer.grad(lambda *values: np.sum(function(*values)), argnums=wanted)
    with np.errstate(all="ignore"):
        return total(*(np.asarray(arg, float) for arg in args))


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (np.sqrt, [0.0], [np.inf]),
        (np.abs, [0.0], [0.0]),
        (lambda x: x**2, [0.0], [0.0]),
        (lambda x: x**0, [0.0], [0.0]),
        (lambda x: x**3, [0.0], [0.0]),
        (lambda x: x**1.5, [0.0], [0.0]),
        (np.power, [0.0, 2.0], [0.0, 0.0]),
        (np.power, [0.0, 0.0], [0.0, 0.0]),
        (np.maximum, [1.0, 1.0], [0.5, 0.5]),
        (np.minimum, [1.0, 1.0], [0.5, 0.5]),
        (np.maximum, [2.0, 1.0], [1.0, 0.0]),
        (np.fmax, [1.0, np.nan], [1.0, 0.0]),
        (np.fmin, [np.nan, 1.0], [0.0, 1.0]),
        (np.hypot, [0.0, 0.0], [0.0, 0.0]),
        (np.hypot, [1e300, 0.0], [1.0, 0.0]),
        (np.arctan2, [0.0, 0.0], [0.0, 0.0]),
        (np.arctan2, [0.0, 1e200], [1e-200, 0.0]),
        (np.logaddexp, [-np.inf, -np.inf], [0.5, 0.5]),
        (np.logaddexp, [np.inf, np.inf], [0.5, 0.5]),
        (np.logaddexp, [-np.inf, 1.0], [0.0, 1.0]),
        (np.logaddexp, [np.inf, 1.0], [1.0, 0.0]),
        (np.logaddexp, [1000.0, 1000.0], [0.5, 0.5]),
        (np.sinc, [0.0], [0.0]),
        (lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0), [-1.0], [0.0]),
        (np.prod, [[2.0, 0.0, 3.0]], [[0.0, 6.0, 0.0]]),
        (np.prod, [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]),
        (np.cumprod, [[2.0, 0.0, 3.0]], [[1.0, 8.0, 0.0]]),
        (np.max, [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
        (np.min, [[3.0, 1.0, 1.0, 1.0]], [[0.0, 1 / 3, 1 / 3, 1 / 3]]),
        (lambda x: np.nan_to_num(x), [[np.nan, 2.0, np.inf]], [[0.0, 1.0, 0.0]]),
        (np.nansum, [[np.nan, 2.0]], [[0.0, 1.0]]),
        (lambda x: np.maximum.accumulate(x), [[1.0, 3.0, 2.0]], [[1.0, 2.0, 0.0]]),
    ],
)
def test_derivatives_at_special_points(function, args, expected):
    found = gradient(function, *args)
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12)


def second(function, point):
    """The Hessian by differentiating the gradient once more."""
    point = np.asarray(point, float)
    inner = tracer.grad(lambda x: np.sum(function(x)))
    rows = [tracer.grad(lambda x, n=n: np.sum(np.ravel(inner(x))[n]))(point) for n in range(point.size)]
    return np.array(rows).reshape(point.size, point.size)


@pytest.mark.parametrize("function", [np.prod, lambda x: np.cumprod(x)[-1]], ids=["prod", "cumprod"])
@pytest.mark.parametrize("point", [[2.0, 0.0, 3.0, 5.0], [2.0, 0.0, 0.0, 5.0], [1.0, 2.0, 3.0, 4.0]])
def test_second_derivative_of_products_with_zeros(function, point):
    expected = np.zeros((4, 4))
    for i, j in np.ndindex(4, 4):
        expected[i, j] = 0 if i == j else np.prod([x for n, x in enumerate(point) if n not in (i, j)])
    np.testing.assert_allclose(second(function, point), expected, rtol=1e-12)


def test_second_derivatives_at_zero():
    assert second(lambda x: x**2, [0.0])[0, 0] == 2
    np.testing.assert_allclose(second(np.sinc, [0.0])[0, 0], -(np.pi**2) / 3, rtol=1e-12)


def test_std_of_equal_values_has_no_derivative():
    assert np.isnan(gradient(np.std, [1.0, 1.0])[0]).all()


def test_repeated_writes_pass_the_cotangent_to_the_last():
    def function(x, v):
        y = x * 1.0
        y[[0, 1, 0]] = v
        return y * np.array([1.0, 10.0, 100.0])

    found = gradient(function, [1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    np.testing.assert_allclose(found[0], [0, 0, 100])
    np.testing.assert_allclose(found[1], [0, 10, 1])
