"""Arrays whose size only the data tell: selected elements, unique values, set operations, counts."""

import numpy as np
import pytest

import tracer
from tracer.errors import ConcretizationError

RANDOM = np.random.default_rng(11)


def matrix():
    return RANDOM.normal(size=(3, 4))


def vector():
    return RANDOM.normal(size=7)


def numbers():
    return RANDOM.integers(0, 4, size=6)


def signed():
    return RANDOM.integers(-2, 3, size=5)


def places():
    return RANDOM.integers(-7, 7, size=3)


def with_nans():
    return np.where(RANDOM.random(6) < 0.4, np.nan, np.round(RANDOM.normal(size=6)))


def with_selected_doubled(x):
    x = x.copy()
    x[x > 0] = x[x > 0] * 2
    return x


def with_selected_raised(x):
    x = x.copy()
    x[x > 0] += 1
    x[x[:, 0] > 0] *= 3
    return x


def with_places_filled(x):
    x = x.copy()
    x[np.nonzero(x < 0)] = np.sum(x)
    return x


def twice_selected(x):
    y = x[x > -0.5]
    return y[y < 0.5] * y.shape[0]


def as_many_zeros(x):
    return np.zeros_like(x, shape=(np.flatnonzero(x > 0).size, 2))


CASES = [
    ("mask", lambda x: x[x > 0], matrix),
    ("mask of a vector", lambda x: x[x > 0] ** 2 + 1, vector),
    ("mask of rows", lambda x: x[x[:, 0] > 0], matrix),
    ("mask of columns", lambda x: x[:, x[0] > 0], matrix),
    ("mask and int", lambda x: x[x[:, 0] > 0, 1], matrix),
    ("truth value", lambda x: x[x[0, 0] > 0], matrix),
    ("two masks", twice_selected, vector),
    ("shape from a mask", as_many_zeros, vector),
    ("sum", lambda x: x[x > 0].sum(), matrix),
    ("standard deviation", lambda x: x[x > -9].std(), matrix),
    ("sorted", lambda x: np.sort(x[x > 0]), matrix),
    ("joined", lambda x: np.concatenate([x[x > 0], x[x <= 0]]), matrix),
    ("doubled in place", with_selected_doubled, matrix),
    ("raised in place", with_selected_raised, matrix),
    ("filled in place", with_places_filled, matrix),
    ("nonzero", lambda x: np.nonzero(x > 0), matrix),
    ("nonzero method", lambda x: (x > 0).nonzero(), matrix),
    ("flatnonzero", lambda x: np.flatnonzero(x > 0), matrix),
    ("argwhere", lambda x: np.argwhere(x > 0.3), matrix),
    ("argwhere of a number", lambda x: np.argwhere(x[0, 0] > 0), matrix),
    ("where", lambda x: np.where(x > 0), matrix),
    ("extract", lambda x: np.extract(x > 0, x), matrix),
    ("compress", lambda x: np.compress(x[:, 0] > 0, x, axis=0), matrix),
    ("trim_zeros", lambda x: np.trim_zeros(x), numbers),
    ("trim_zeros at the front", lambda x: np.trim_zeros(x, "f"), numbers),
    ("trim_zeros at the back", lambda x: np.trim_zeros(x - x, "b"), numbers),
    ("trim_zeros of a matrix", lambda x: np.trim_zeros(x.reshape(2, 3) // 3), numbers),
    ("unique", lambda x: np.unique(x), numbers),
    ("unique with all", lambda x: np.unique(x, True, True, True), numbers),
    ("unique of a matrix", lambda x: np.unique(x.reshape(3, 2), return_inverse=True), numbers),
    ("unique rows", lambda x: np.unique(x.reshape(3, 2) % 2, True, True, True, axis=0), numbers),
    ("unique columns", lambda x: np.unique(x.reshape(2, 3) % 2, axis=1), numbers),
    ("unique with nans", lambda x: np.unique(x, return_counts=True), with_nans),
    ("unique with different nans", lambda x: np.unique(x, equal_nan=False), with_nans),
    ("unique_counts", lambda x: tuple(np.unique_counts(x)), numbers),
    ("unique_inverse", lambda x: tuple(np.unique_inverse(x)), numbers),
    ("unique_all", lambda x: tuple(np.unique_all(x)), numbers),
    ("union1d", lambda x: np.union1d(x, x + 2), numbers),
    ("intersect1d", lambda x: np.intersect1d(x, x[:3] + 1), numbers),
    ("intersect1d with indices", lambda x: np.intersect1d(x, x[:3] + 1, return_indices=True), numbers),
    ("setdiff1d", lambda x: np.setdiff1d(x, [1, 2]), numbers),
    ("setxor1d", lambda x: np.setxor1d(x, x[:3] + 1), numbers),
    ("repeat", lambda x: np.repeat(x, x), numbers),
    ("repeat by one number", lambda x: np.repeat(x, x[0]), numbers),
    ("repeat rows", lambda x: np.repeat(x.reshape(3, 2), x[:3], axis=0), numbers),
    ("bincount", lambda x: np.bincount(x), numbers),
    ("bincount with weights", lambda x: np.bincount(x, x * 0.5), numbers),
    ("delete", lambda x: np.delete(np.arange(8) * x[0], x), numbers),
    ("delete by mask", lambda x: np.delete(x, x > 0), vector),
    ("insert", lambda x: np.insert(x * 1.0, x, 9), numbers),
    ("insert several", lambda x: np.insert(x, x[:2], x[2:4]), signed),
    ("insert a column", lambda x: np.insert(x.reshape(2, 3), x[0] % 3, 5, axis=1), numbers),
]


@pytest.mark.parametrize(("function", "make"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values_for_many_sizes(function, make):
    compiled = tracer.compile(function)
    for _ in range(12):
        x = make()
        wanted, found = function(x.copy()), compiled(x.copy())
        assert isinstance(found, tuple) == isinstance(wanted, tuple)
        pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
        for one, other in pairs:
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_allclose(other, one, rtol=1e-13)
            assert np.shape(one) == np.shape(other)


def test_a_size_that_was_met_costs_no_trace():
    compiled = tracer.compile(lambda x: x[x > 0] * 2)
    calls = [vector() for _ in range(60)]
    for x in calls:
        compiled(x)
    traces, misses = compiled.cache_info().traces, compiled.misses
    assert traces <= 8
    for x in calls:
        np.testing.assert_array_equal(compiled(x), x[x > 0] * 2)
    assert (compiled.cache_info().traces, compiled.misses) == (traces, misses)


def test_derivatives():
    first = tracer.grad(lambda x: np.sum(x[x > 0] ** 3))
    second = tracer.grad(lambda x: np.sum(first(x) * x))
    forward = tracer.compile(lambda x, v: tracer.jvp(lambda y: y[y > 0] ** 2, (x,), (v,))[1])
    for _ in range(8):
        x, v = matrix(), matrix()
        np.testing.assert_allclose(first(x), np.where(x > 0, 3 * x**2, 0))
        np.testing.assert_allclose(second(x), np.where(x > 0, 9 * x**2, 0))
        np.testing.assert_allclose(forward(x, v), (2 * x * v)[x > 0])


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (lambda x: np.sum(np.unique(x) ** 2), lambda x: 2 * x),
        (lambda x: np.sum(np.repeat(x, (x > 0) + 1) ** 2), lambda x: 2 * x * ((x > 0) + 1)),
        (lambda x: np.sum(np.extract(x > 0, x) * 3), lambda x: 3.0 * (x > 0)),
        (lambda x: np.sum(with_selected_doubled(x) ** 2), lambda x: np.where(x > 0, 8 * x, 2 * x)),
        (lambda x: np.sum(x[np.argwhere(x > 0)[:, 0]] ** 2), lambda x: np.where(x > 0, 2 * x, 0)),
    ],
)
def test_gradients_of_functions(function, gradient):
    compiled = tracer.grad(function)
    for _ in range(6):
        x = vector()
        np.testing.assert_allclose(compiled(x), gradient(x))


def test_nothing_selected_and_everything_selected():
    compiled = tracer.compile(lambda x: (x[x > 0], np.unique(x[x > 0]), np.argwhere(x > 0)))
    for x in (-np.ones(3), np.ones(3), np.zeros(3), np.ones(3)):
        selected, unique, where = compiled(x)
        np.testing.assert_array_equal(selected, x[x > 0])
        np.testing.assert_array_equal(unique, np.unique(x[x > 0]))
        np.testing.assert_array_equal(where, np.argwhere(x > 0))
        assert where.shape == np.argwhere(x > 0).shape


def test_writing_in_place_to_an_argument():
    @tracer.compile
    def clip(x, low):
        x[x < low] = low
        return np.count_nonzero(x == low)

    for _ in range(5):
        x = matrix()
        expected = np.maximum(x, 0.25)
        assert clip(x, np.float64(0.25)) == (expected == 0.25).sum()
        np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: np.repeat(x, x.astype(int)), ValueError),
        (lambda x: np.bincount(x.astype(int)), ValueError),
        (lambda x: np.nonzero(x[0]), ValueError),
        (lambda x: x[x[:2] > 0], IndexError),
    ],
)
def test_errors_are_those_of_numpy(function, error):
    with pytest.raises(error) as expected:
        function(np.array([1.0, -2.0, 3.0]))
    with pytest.raises(error) as found:
        tracer.compile(function)(np.array([1.0, -2.0, 3.0]))
    assert str(expected.value)[:25] in str(found.value)


def test_values_that_do_not_fit_a_mask():
    @tracer.compile
    def fill(x, values):
        x[x > 0] = values

    x = np.array([1.0, -1.0, 2.0])
    fill(x, np.array([5.0, 6.0]))
    np.testing.assert_array_equal(x, [5, -1, 6])
    with pytest.raises(ValueError, match="cannot assign 3 input values to the 2 output values"):
        fill(x, np.ones(3))
    np.testing.assert_array_equal(x, [5, -1, 6])


def test_mapped_functions_have_no_sizes_of_their_own():
    with pytest.raises(ConcretizationError, match=r"np\.sum\(x, where=mask\)"):
        tracer.vmap(lambda row: row[row > 0])(np.ones((3, 4)))


def test_sizes_in_a_guarded_function():
    @tracer.compile(branches="guard")
    def f(x):
        y = x[x > 0]
        if y.size > 2:
            return y[:2]
        return np.sum(y) if y.sum() > 1 else y

    def plain(x):
        y = x[x > 0]
        if y.size > 2:
            return y[:2]
        return np.sum(y) if y.sum() > 1 else y

    for _ in range(25):
        x = RANDOM.normal(size=4)
        np.testing.assert_allclose(f(x), plain(x))


# --- without counting what is selected -----------------------------------------------------------------------------


def raised(x):
    x[x > 0] += 1
    x[x < 0] = -(x[x < 0] ** 2)
    return x


def replaced(x):
    x = x.copy()
    x[x > 0.5] = np.log(x[x > 0.5]) * 3 - x[x > 0.5]
    return x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[x > 0].sum(),
        lambda x: np.sum(x[x > 0] ** 2 + 1),
        lambda x: np.mean(np.log(x[x > 0]) / 2),
        lambda x: (1 / x[x > 0]).mean() - x[x > 0].sum(),
        lambda x: (x[x > 0] * x[x > 0]).sum() * np.sum(2 - np.sqrt(np.abs(x[x > 0]))),
        lambda x: x.astype(np.float32)[x > 0].mean(),
        lambda x: (x * 9).astype(int)[x > 0].mean(),
        lambda x: np.sum(x[x > 0] > 0.5),
        raised,
        replaced,
    ],
)
def test_one_program_for_all_sizes(function):
    compiled = tracer.compile(function)
    for x in (matrix(), matrix(), np.abs(matrix()), matrix(), matrix()):
        wanted, found = function(x.copy()), compiled(x.copy())
        assert np.asarray(wanted).dtype == np.asarray(found).dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-6 if np.asarray(wanted).dtype == np.float32 else 1e-12)
    assert compiled.cache_info().traces == 1


def test_what_is_not_selected_spoils_nothing():
    def cost(x):
        return np.sum(np.log(x[x > 0])) + np.mean(np.sqrt(x[x > 0]) / x[x > 0])

    value, gradient = tracer.compile(cost), tracer.grad(cost)
    for bad in (0.0, -1.0, -np.inf, np.nan, -2.0):
        x = np.array([bad, 4.0, bad, 1.0])
        np.testing.assert_allclose(value(x), np.log(4) + 0.75)
        np.testing.assert_allclose(gradient(x), [0, 0.25 - 1 / 32, 0, 0.75])


def test_selected_values_are_those_of_their_time():
    def f(x):
        kept = x[x > 0]
        other = kept
        x[...] = 5
        kept += 1
        return np.sum(other), other, x

    compiled = tracer.compile(f)
    for _ in range(3):
        x = vector()
        for wanted, found in zip(f(x.copy()), compiled(x.copy()), strict=True):
            np.testing.assert_allclose(found, wanted)


def test_sums_of_selected_values_in_mapped_functions():
    x = matrix()
    found = tracer.vmap(lambda row: np.sum(row[row > 0] ** 2))(x)
    np.testing.assert_allclose(found, [np.sum(row[row > 0] ** 2) for row in x])


def test_elements_at_places_that_a_mask_selects_need_no_size():
    def shifted(image, rows, columns):
        inside = (rows >= 0) & (rows < image.shape[0]) & (columns < 3)
        out = np.zeros(rows.shape)
        out[inside] += 2 * image[rows[inside], columns[inside]]
        return out, image[rows[inside], 0].sum(), image[:, 1][rows[inside]].mean()

    compiled = tracer.compile(shifted)
    for _ in range(4):
        args = RANDOM.normal(size=(4, 3)), RANDOM.integers(-2, 7, 9), RANDOM.integers(0, 5, 9)
        for one, other in zip(compiled(*args), shifted(*args), strict=True):
            np.testing.assert_allclose(one, other)
    assert compiled.cache_info().traces == 1
    gradient = tracer.grad(lambda image, *places: np.sum(shifted(image, *places)[0] ** 2))
    tracer.testing.check_grads(lambda image: gradient(image, *args[1:]), (args[0],))
    picked = tracer.compile(lambda x, places: x[places[places > 1]].sum())
    assert picked(np.arange(4.0), np.array([0, 2, 3])) == 5
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        picked(np.arange(4.0), np.array([0, 2, 9]))
