"""Derivatives of what was not chosen: never zero times infinity, in both modes and to second order."""

import numpy as np
import pytest

import tracer
from tracer.testing import check_grads

X = np.array([-1.0, 0.0, 0.5, 2.0])
Y = np.array([3.0, -0.25, 1.25, 1.5])


def masked_by_writing(x):
    y = np.log(x)
    y[x <= 0] = 0.0
    return y


def written_where(x):
    return np.log(x, out=np.zeros_like(x), where=x > 0)


def divided(x):
    return np.divide(np.sin(x), x, out=np.ones_like(x), where=x != 0)


def used_twice(x):
    y = np.sqrt(x)
    return np.where(x > 0, y, 0) + np.where(x > 0.7, y * np.log(x), 0)


def shared_by_two(x):
    y = np.sqrt(x)
    return np.where(x > 0, 3 * y, 0) - np.where(x > 1, 2 * y, 0)


def unit_vectors(x):
    rows = np.stack([x, 2 * x], axis=1)
    norms = np.sqrt(np.sum(rows * rows, axis=1, keepdims=True))
    return np.sum(np.where(norms > 0, rows / norms, 0) * np.array([1.0, 3.0]), axis=1)


def by_number(x):
    return np.where(np.max(x) > 1e6, np.log(x), x * x)


CASES = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), lambda x: 1 / x),
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0), lambda x: 0.5 / np.sqrt(x)),
    "other side": (lambda x: np.where(x <= 0, 0, np.sqrt(x)), lambda x: 0.5 / np.sqrt(x)),
    "power": (lambda x: np.where(x > 0, x**0.3, 0), lambda x: 0.3 * x**-0.7),
    "chain": (
        lambda x: np.where(x > 0, np.exp(-1 / np.sqrt(x)), 0),
        lambda x: 0.5 * x**-1.5 * np.exp(-1 / np.sqrt(x)),
    ),
    "nested": (
        lambda x: np.where(x > 0, np.where(x < 1, np.sqrt(x) * np.log(x), x * x), 0),
        lambda x: np.where(x < 1, (0.5 * np.log(x) + 1) / np.sqrt(x), 2 * x),
    ),
    "inner where too": (lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 0)), 0), lambda x: 0.5 / np.sqrt(x)),
    "select": (
        lambda x: np.select([x > 1, x > 0], [np.log(x), np.sqrt(x)], 0.0),
        lambda x: np.where(x > 1, 1 / x, 0.5 / np.sqrt(x)),
    ),
    "mask written": (masked_by_writing, lambda x: 1 / x),
    "out and where": (written_where, lambda x: 1 / x),
    "used twice": (
        used_twice,
        lambda x: 0.5 / np.sqrt(x) * np.where(x > 0.7, 1 + np.log(x) + 2, 1),
    ),
    "shared by two": (shared_by_two, lambda x: np.where(x > 1, 0.5, 1.5) / np.sqrt(x)),
    "reshaped": (lambda x: np.where(x[:, None] > 0, np.log(np.reshape(x, (4, 1))), 0)[:, 0], lambda x: 1 / x),
    "reversed": (lambda x: np.where(x[::-1] > 0, np.log(x)[::-1], 0)[::-1], lambda x: 1 / x),
    "summed": (
        lambda x: np.sum(np.where(x[:, None] > 0, np.log(x)[:, None] * np.array([1.0, 2.0]), 0), axis=1),
        lambda x: 3 / x,
    ),
    "unit vectors": (unit_vectors, lambda x: 0 * x),
}


@pytest.mark.parametrize("name", CASES)
def test_where_keeps_derivatives_finite(name):
    f, slope = CASES[name]

    def cost(x):
        return np.sum(f(x) * Y)

    for x in (X, X + 0.25):
        expected = np.zeros(4)
        expected[x > 0] = (slope(x[x > 0])) * Y[x > 0]
        np.testing.assert_allclose(tracer.grad(cost)(x), expected, rtol=1e-12, atol=1e-14)
        for mode in (tracer.jacfwd, tracer.jacrev):
            np.testing.assert_allclose(mode(cost)(x), expected, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(mode(f)(x), np.diag(expected / Y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_finite_and_right(name):
    f = CASES[name][0]

    def cost(x):
        return np.sum(f(x) * Y)

    step = 1e-6
    hessians = [
        tracer.hessian(cost)(X),
        tracer.jacrev(tracer.grad(cost))(X),
        tracer.jacfwd(tracer.jacfwd(cost))(X),
        tracer.jacrev(tracer.jacfwd(cost))(X),
    ]
    for found in hessians:
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, hessians[0], rtol=1e-10, atol=1e-12)
    inside = np.diag(X > 0.1)
    ahead, behind = (np.diag(tracer.grad(cost)(X + move)) for move in (step, -step))
    np.testing.assert_allclose(hessians[0][inside], ((ahead - behind) / (2 * step))[inside], rtol=1e-5, atol=1e-6)


def test_sinc_by_division_where_it_is_defined():
    np.testing.assert_allclose(
        tracer.elementwise_grad(divided)(X),
        [np.cos(1) * -1 - np.sin(-1), 0, 2 * np.cos(0.5) - 4 * np.sin(0.5), np.cos(2) / 2 - np.sin(2) / 4],
    )


def test_one_condition_for_all():
    found = tracer.grad(lambda x: np.sum(by_number(x)))(X)
    np.testing.assert_array_equal(found, 2 * X)


def test_the_larger_of_two_is_chosen_not_multiplied():
    x = np.array([-1.0, 4.0])
    for f in (
        lambda x: np.sum(np.sqrt(np.maximum(x, 0))),
        lambda x: np.sum(np.sqrt(-np.minimum(-x, 0))),
        lambda x: np.sum(np.sqrt(np.fmax(x, 0))),
        lambda x: np.sum(np.sqrt(np.clip(x, 0, None))),
        lambda x: np.sum(np.sqrt(-np.fmin(-x, 0))),
    ):
        np.testing.assert_array_equal(tracer.grad(f)(x), [0, 0.25])
    found = tracer.jvp(lambda x: np.sqrt(np.maximum(x, 0.5) - 0.5), (np.array([0.0, 1.5]),), (np.ones(2),))[1]
    np.testing.assert_array_equal(found, [0, 0.5])


def test_ties_share_and_nan_is_ignored_by_fmax():
    a, b = np.array([1.0, 2.0, np.nan, 3.0]), np.array([1.0, np.nan, 2.0, 4.0])
    da, db = tracer.elementwise_grad(np.fmax, argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(da, [0.5, 1, 0, 0])
    np.testing.assert_array_equal(db, [0.5, 0, 1, 1])
    both = tracer.jvp(np.fmax, (a, b), (np.ones(4), 10 * np.ones(4)))[1]
    np.testing.assert_array_equal(both, [5.5, 1, 10, 10])
    check_grads(lambda a, b: np.maximum(a, b) * np.minimum(a, 2 * b), (X, Y), order=2)


def test_complex_and_float32():
    z = np.array([0j, 1 + 2j])
    found = tracer.grad(lambda z: np.sum(np.real(np.where(z != 0, np.log(z), 0))))(z)
    np.testing.assert_allclose(found, [0, 1 / z[1]])
    single = tracer.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0)))(X.astype(np.float32))
    assert single.dtype == np.float32 and np.isfinite(single).all()


def test_many_uses_need_no_deep_recursion():
    def f(x):
        y = np.sqrt(x)
        total = 0 * x
        for number in range(1500):
            total = total + np.where(x > number * 1e-6, y, 0)
        return np.sum(total)

    found = tracer.grad(f)(X)
    np.testing.assert_allclose(found, [0, 0, 750 / np.sqrt(0.5), 750 / np.sqrt(2)])


# --- what was not read -------------------------------------------------------------------------------------------


def assigned_over(x):
    y = np.log(x)
    y[:2] = 0.0
    return np.sum(y)


def put_among_zeros(x):
    y = np.zeros(6)
    y[3:5] = x[2:]
    return np.sum(np.sqrt(y))


def of_rows(x):
    rows = np.stack([0 * x, x])
    return np.sum(np.sqrt(np.sum(rows * rows, axis=1))[1:]) ** 2


UNREAD = {
    "slice": lambda x: np.sum(np.log(x)[2:]),
    "elements": lambda x: np.log(x)[2] + np.log(x)[3],
    "integer array": lambda x: np.sum(np.log(x)[np.array([2, 3])]),
    "take": lambda x: np.sum(np.take(np.sqrt(x), [3, 2])),
    "split": lambda x: np.sum(np.split(1 / x, 2)[1]),
    "reversed": lambda x: np.sum((x**0.5)[::-1][:2]),
    "sorted": lambda x: np.sum(np.sort(np.sqrt(np.abs(x)))[2:]),
    "largest": lambda x: np.max(np.sqrt(np.abs(x))),
    "two slices": lambda x: np.sum(np.log(x)[2:] * np.log(x)[3]),
    "assigned over": assigned_over,
    "put among zeros": put_among_zeros,
    "rows": of_rows,
    "ifelse": lambda x: np.sum(tracer.ifelse.ifelse(x[0] > 9, np.log(x), x * x)),
    "branch": lambda x: (lambda y: tracer.cond(x[0] > 9, lambda: np.sum(y), lambda: np.sum(x * x)))(np.log(x)),
}
EVERYWHERE = ("ifelse", "branch")
ZEROS = np.array([0.0, 0.0, 0.5, 2.0])


@pytest.mark.parametrize("name", UNREAD)
def test_what_was_not_read_has_no_slope(name):
    f = UNREAD[name]
    for point in (ZEROS, ZEROS * [1, 1, 3, 0.7]):
        expected, step = np.zeros(4), 1e-6
        for place in range(0 if name in EVERYWHERE else 2, 4):
            move = step * np.eye(4)[place]
            expected[place] = (tracer.compile(f)(point + move) - tracer.compile(f)(point - move)) / (2 * step)
        batch = np.stack([point, point + 0.25])
        for found in (
            tracer.grad(f)(point),
            tracer.compile(tracer.jacrev(f))(point),
            tracer.jacfwd(f)(point),
            tracer.vmap(tracer.grad(f))(batch)[0],
            tracer.grad(lambda rows: np.sum(tracer.vmap(f)(rows)))(batch)[0],
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
        assert np.isfinite(tracer.hessian(f)(point)).all()


def test_a_derivative_of_both_sides_is_not_selected():
    """Each point is on one side of the condition, so that none of them is left out."""

    def f(x):
        tail = np.exp(-x * x)
        return np.sum(np.where(x > 0, 1 - tail, tail))

    slope, curvature = tracer.grad(f), tracer.hessian(f)
    x = np.array([-0.75, -0.0, 0.5, np.nan, np.inf, 2.0])
    with np.errstate(invalid="ignore"):
        sign, tail = np.where(x > 0, 1.0, -1.0), np.exp(-x * x)
        np.testing.assert_allclose(slope(x), sign * 2 * x * tail)
        np.testing.assert_allclose(curvature(x[:3]), np.diag((sign * (2 - 4 * x * x) * tail)[:3]), atol=1e-15)
    compiled = tracer.compile(slope)
    compiled(x)
    assert "logical_or" not in compiled.explain()
