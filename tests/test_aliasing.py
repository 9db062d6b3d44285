"""Arguments that share memory, and 0-d arrays: what is written to one is seen where NumPy shows it."""

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer.errors import TraceError

RANDOM = np.random.default_rng(3)


def mixed(x, y):
    x += 1
    y *= 2
    x[0] = 3
    return x.sum() + (x.ravel()[1] * y.ravel()[-1])


def chained(x, y):
    x[...] = x * y.mean()
    y[1:] = y[:-1]
    return x.copy(), y.copy()


PAIRS = {
    "twice the same": lambda b: (b, b),
    "a view": lambda b: (b, b[1:]),
    "overlapping rows": lambda b: (b[:-1], b[1:]),
    "overlapping columns": lambda b: (b[:, :-1], b[:, 1:]),
    "backwards": lambda b: (b[::-1], b),
    "backwards in both axes": lambda b: (b[::-1, ::-1], b),
    "transposed": lambda b: (b[:6, :6].T, b[:6, :6]),
    "every other": lambda b: (b[::2, 1::3], b[1:4, ::3]),
    "row and column": lambda b: (b[2], b[:, 3]),
    "row and matrix": lambda b: (b[2], b),
    "reshaped": lambda b: (b.reshape(2, 3, 8), b[1:3]),
    "diagonal": lambda b: (b.reshape(-1)[::9], b[0]),
    "windows": lambda b: (b[1:3, 2:5], b[2:4, 3:6]),
    "a new axis": lambda b: (b[:, None], b),
    "apart in one memory": lambda b: (b[::2], b[1::2]),
    "apart altogether": lambda b: (b, b + 1),
}


@pytest.mark.parametrize("function", [mixed, chained])
@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_pairs(make, function):
    compiled = tracer.compile(function)
    for _ in range(3):
        wanted_base = RANDOM.normal(size=(6, 8))
        found_base = wanted_base.copy()
        wanted, found = function(*make(wanted_base)), compiled(*make(found_base))
        np.testing.assert_allclose(found_base, wanted_base)
        pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
        for one, other in pairs:
            np.testing.assert_allclose(other, one)
    assert compiled.cache_info().traces <= 2, "the second call with the same pattern is not traced"


def test_three_arrays_and_two_groups():
    def f(x, y, z, u, v):
        x[1:] = z[:-1] * 2
        y -= x.sum()
        u += v
        z[...] = z + y.mean() + u.sum()
        return x * 1

    compiled = tracer.compile(f)
    for _ in range(3):
        one, two = RANDOM.normal(size=9), RANDOM.normal(size=5)
        same, also = one.copy(), two.copy()
        expected = f(one[:3], one[2:3], one[1:4], two[1:], two[:-1])
        np.testing.assert_allclose(compiled(same[:3], same[2:3], same[1:4], also[1:], also[:-1]), expected)
        np.testing.assert_allclose(same, one)
        np.testing.assert_allclose(also, two)


def test_patterns_alternate():
    compiled = tracer.compile(mixed)
    for _ in range(3):
        for make in PAIRS.values():
            wanted, found = np.ones((6, 8)), np.ones((6, 8))
            mixed(*make(wanted))
            compiled(*make(found))
            np.testing.assert_allclose(found, wanted)
    traces = compiled.cache_info().traces
    compiled(*PAIRS["windows"](np.ones((6, 8))))
    assert compiled.cache_info().traces == traces


def test_arguments_in_containers_and_results_that_are_arguments():
    @tracer.compile
    def f(pair):
        pair["one"][0] = 7
        return pair["two"], pair["two"] * 2

    base = np.arange(4.0)
    view = base[:3]
    itself, double = f({"one": base, "two": view})
    assert itself is view
    np.testing.assert_array_equal(double, [14, 2, 4])
    np.testing.assert_array_equal(base, [7, 1, 2, 3])


def test_a_captured_array_that_an_argument_shares_memory_with():
    table = np.arange(5.0)

    def f(x):
        x[1:] += 1
        return table * x[0]

    compiled = tracer.compile(f)
    for make in (lambda: table, lambda: table[::-1], lambda: table[2:], lambda: np.ones(3), lambda: table):
        before = table.copy()
        argument = make()
        expected, after = f(argument), table.copy()
        table[...] = before
        if not np.shares_memory(argument, table):
            argument = make()
        np.testing.assert_allclose(compiled(argument), expected)
        np.testing.assert_allclose(table, after)


def test_an_array_that_was_looked_at_cannot_be_an_argument_that_is_written():
    table = np.arange(3.0)

    @tracer.compile
    def f(x):
        x += 1
        return x * 1, table * 2

    other = np.zeros(3)
    f(other)
    np.testing.assert_array_equal(f(other)[1], [0, 2, 4])
    with pytest.raises(TraceError, match="shares memory"):
        f(table)
    np.testing.assert_array_equal(table, [0, 1, 2])


def test_what_cannot_be_expressed_is_an_error_and_changes_nothing():
    @tracer.compile
    def f(x, y):
        x += 1
        return y * 1

    numbers = np.arange(6.0)
    with pytest.raises(TraceError, match="shares memory"):
        f(numbers, numbers.view(np.int64))
    repeated = np.lib.stride_tricks.sliding_window_view(numbers, 3)
    with pytest.raises(TraceError, match="shares memory"):
        f(numbers, repeated)
    np.testing.assert_array_equal(numbers, np.arange(6.0))


def test_an_error_while_running_changes_nothing():
    @tracer.compile
    def f(x, y, index):
        x += 1
        return np.take(y, index)

    numbers = np.arange(4.0)
    f(numbers, numbers[1:], np.int64(2))
    with pytest.raises(IndexError):
        f(numbers, numbers[1:], np.int64(7))
    np.testing.assert_array_equal(numbers, np.arange(4.0) + 1)


def test_functions_that_write_nothing_do_not_care():
    compiled = tracer.compile(lambda x, y: x @ y)
    x = np.arange(3.0)
    for _ in range(3):
        assert compiled(x, x) == 5 and compiled(x, x[::-1]) == 1
    assert compiled.cache_info().traces == 2 and compiled.misses == 2


def test_gradients():
    @tracer.compile
    def f(x, y):
        x *= 2
        return tracer.grad(np.sum(y**2), y)

    numbers = np.arange(4.0)
    np.testing.assert_array_equal(f(numbers, numbers[1:]), [4, 8, 12])


def test_threads():
    compiled = tracer.compile(mixed)
    wanted = np.ones((6, 8))
    mixed(*PAIRS["overlapping rows"](wanted))
    found = [np.ones((6, 8)) for _ in range(4)]
    on_threads(lambda number: compiled(*PAIRS["overlapping rows"](found[number])))
    for base in found:
        np.testing.assert_allclose(base, wanted)


# --- arrays without axes -----------------------------------------------------------------------------------------


def test_arrays_without_axes_are_written_back():
    @tracer.compile
    def f(a, b):
        a += b
        a[...] = a * 2
        return a - 1

    total = np.array(1.0)
    for _ in range(4):
        expected = (float(total) + 3) * 2
        assert f(total, np.float64(3)) == expected - 1
        assert total == expected


def test_numpy_scalars_stay_what_they_are():
    @tracer.compile
    def f(a):
        a += 1
        return a * 2

    array, scalar = np.array(3.0), np.float64(3.0)
    for number in range(4):
        assert f(scalar) == 8 and scalar == 3
        assert f(array) == 8 + 2 * number and array == 4 + number
    with pytest.raises(TypeError, match="does not support item assignment"):
        tracer.compile(lambda a: a.__setitem__(..., 1))(scalar)


def test_scalars_and_arrays_without_axes_share_a_program_where_it_does_not_matter():
    compiled = tracer.compile(lambda a: a * 2)
    assert compiled(np.float64(2)) == compiled(np.array(2.0)) == 4
    assert compiled.cache_info().plans == 1


def test_shapes_are_not_assigned():
    def f(x):
        y = x * 2
        y.shape = (2, 2)
        return y

    with pytest.raises(TraceError, match=r"HINT: x = x\.reshape"):
        tracer.compile(f)(np.arange(4.0))
