"""Counting, order statistics and sequences beyond the examples of the table."""

import numpy as np
import pytest
from ops.table import check_value

import tracer
from tracer.graph.op import OPS

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


# --- one sort for values and places ------------------------------------------------------------------------------


def mixed(dtype, ties=False):
    """Numbers in no order, distinct as far as the type has that many; with ties, special values too."""
    rng = np.random.default_rng(3)
    x = (rng.permutation(1200).reshape(600, 2) / (100 if ties else 1)).astype(dtype)
    if ties and x.dtype.kind in "fc":
        x[5], x[77, 0], x[300:304, 1] = np.nan, -np.inf, (0.0, -0.0, 0.0, -0.0)
    return x


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint32", "float32", "float64", "complex128"])
def test_values_and_places_of_one_sort_are_those_of_numpy(dtype, ties):
    f = tracer.compile(lambda x: (np.sort(x, axis=0), np.argsort(x, axis=0, kind="stable")))
    for x in (mixed(dtype, ties), mixed(dtype, ties)[::-1], np.sort(mixed(dtype, ties), axis=0), mixed(dtype)[:0]):
        values, places = f(x)
        np.testing.assert_array_equal(places, np.argsort(x, axis=0, kind="stable"))
        np.testing.assert_array_equal(values, np.sort(x, axis=0))
    assert [node.op.name for node in f.plan(x).graph.nodes() if "sort" in node.op.name] == ["sort_places"]


def test_gradient_of_sort_sorts_once():
    def cost(x):
        return np.sum(np.sort(x, axis=1) ** 2 * np.arange(x.shape[1]))

    f = tracer.compile(tracer.value_and_grad(cost))
    for x in (mixed(float).T, np.round(mixed(float).T / 9), -mixed(float).T):
        weights = np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1)
        np.testing.assert_allclose(f(x)[1], 2 * x * weights)
    assert [node.op.name for node in f.plan(x).graph.nodes() if "sort" in node.op.name] == ["sort_places"]
    assert "sort_places" not in [node.op.name for node in tracer.compile(cost).plan(x).graph.nodes()]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_ranks_sort_once(axis):
    f = tracer.compile(lambda x: np.argsort(np.argsort(x, axis=axis), axis=axis))
    for x in (mixed(float), -mixed(float), mixed(float)[:0]):
        np.testing.assert_array_equal(f(x), np.argsort(np.argsort(x, axis=axis), axis=axis))
    assert [node.op.name for node in f.plan(mixed(float)).graph.nodes()].count("argsort") == 1


def test_kind_of_sort_is_numpys():
    x = mixed(float)
    for options in ({"kind": "heapsort"}, {"kind": "stable"}, {"stable": True}, {"stable": False}):
        np.testing.assert_array_equal(tracer.compile(lambda x, o=options: np.sort(x, 0, **o))(x), np.sort(x, 0))
    with pytest.raises(ValueError, match="can't be provided at the same time"):
        tracer.compile(lambda x: np.sort(x, kind="quicksort", stable=True))(x)
    with pytest.raises(ValueError, match="sort kind must be one of"):
        tracer.compile(lambda x: np.argsort(x, kind="bogus"))(x)


def test_both_outputs_of_a_sort_have_derivatives():
    def cost(x):
        values, places = OPS["sort_places"](x, axis=0)
        return np.sum(values**2 * np.arange(5) + places)

    x = np.array([0.3, -1.0, 2.0, 0.5, 0.1])
    expected = tracer.compile(tracer.grad(lambda x: np.sum(np.sort(x) ** 2 * np.arange(5))))(x)
    np.testing.assert_allclose(tracer.compile(tracer.grad(cost))(x), expected)
    tangent = np.arange(5.0)
    np.testing.assert_allclose(
        tracer.compile(lambda x, t: tracer.jvp(cost, (x,), (t,))[1])(x, tangent), expected @ tangent
    )
    many = np.stack([x, -x, x[::-1]])
    found = tracer.compile(lambda x: tracer.vmap(tracer.grad(cost))(x))(many)
    np.testing.assert_allclose(found[0], expected)
