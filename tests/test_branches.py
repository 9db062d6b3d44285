"""`branches="guard"`: functions that test traced values, compiled for each path that calls take."""

import logging

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer.errors import ConcretizationError

RANDOM = np.random.default_rng(5)


def vectors(count=40, size=5, scale=3.0):
    return [RANDOM.normal(size=size) * scale for _ in range(count)]


def nested_tests(x):
    if x.sum() > 0:
        if x[0] > 1 and x[1] < 2:
            return x * 2
        return x + 1
    elif x.min() < -4 or not x[2] > 0:
        return x - 100
    return -x


def newton(x):
    value = np.abs(x[0]) + 1
    guess = value
    while np.abs(guess * guess - value) > 1e-10 * value:
        guess = (guess + value / guess) / 2
    return guess


def counted(x):
    total = x[0]
    for _ in range(int(np.abs(x[1]))):
        total = total * 0.5 + 1
    return total


def sorted_by_hand(x):
    y = x.copy()
    for i in range(1, y.shape[0]):
        j = i
        while j > 0 and y[j - 1] > y[j]:
            y[[j - 1, j]] = y[[j, j - 1]]
            j -= 1
    return y


def indexed_list(x):
    functions = [np.sin, np.cos, np.tanh]
    return functions[np.argmax(x[:3])](x)


def membership(x):
    return x * 2 if 3.0 in np.round(x) else x


def of_a_rounded_number(x):
    return x * float(np.round(x[0])) + np.round(x[1]).item()


def early_exit(x):
    for i in range(5):
        if x[i] < -2:
            return np.sum(x[:i]) * 1.0
    return np.prod(x)


FUNCTIONS = [
    nested_tests,
    newton,
    counted,
    sorted_by_hand,
    indexed_list,
    membership,
    of_a_rounded_number,
    early_exit,
]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_path_gives_what_numpy_gives(function, backend):
    compiled = tracer.compile(function, branches="guard", backend=backend)
    calls = vectors(25)
    for x in [*calls, *reversed(calls)]:
        np.testing.assert_allclose(compiled(x.copy()), function(x.copy()), rtol=1e-12)
    assert compiled.cache_info().traces <= len(calls), "a path that was met is not traced again"


def test_paths_that_are_known_cost_no_trace_and_no_python():
    compiled = tracer.compile(nested_tests, branches="guard")
    calls = vectors(60)
    for x in calls:
        compiled(x)
    before = compiled.cache_info().traces, compiled.misses
    for x in calls:
        compiled(x)
    assert (compiled.cache_info().traces, compiled.misses) == before


def test_a_loop_of_many_tests_is_tried_few_times():
    @tracer.compile(branches="guard")
    def halve(x):
        count = 0
        while x > 1:
            x = x / 2
            count += 1
        return x * count

    for power in range(0, 60, 3):
        assert halve(np.float64(2.0**power)) == power
    misses = halve.misses
    for power in [3, 57, 0, 30, 27, 57]:
        assert halve(np.float64(2.0**power)) == power
    assert halve.misses == misses


def test_the_default_raises_and_tells_of_the_choice():
    compiled = tracer.compile(nested_tests)
    with pytest.raises(ConcretizationError, match='branches="guard"'):
        compiled(np.ones(5))
    with pytest.raises(ValueError, match="'raise' or 'guard'"):
        tracer.compile(nested_tests, branches="maybe")


def smooth(x):
    if np.sum(x) > 0:
        return np.sum(x**3)
    return np.sum(np.sin(x))


def slope(x):
    return 3 * x**2 if np.sum(x) > 0 else np.cos(x)


@pytest.mark.parametrize(
    "gradient",
    [
        tracer.grad(tracer.compile(smooth, branches="guard")),
        tracer.compile(tracer.grad(smooth), branches="guard"),
        tracer.compile(lambda x: tracer.grad(smooth)(x), branches="guard"),
    ],
)
def test_gradients(gradient):
    for x in vectors(12):
        np.testing.assert_allclose(gradient(x), slope(x))


def test_second_derivatives_and_values_in_one():
    second = tracer.compile(tracer.grad(lambda x: np.sum(tracer.grad(smooth)(x))), branches="guard")
    both = tracer.compile(tracer.value_and_grad(smooth), branches="guard")
    for x in vectors(12):
        np.testing.assert_allclose(second(x), 6 * x if np.sum(x) > 0 else -np.sin(x))
        value, gradient = both(x)
        np.testing.assert_allclose(value, smooth(x))
        np.testing.assert_allclose(gradient, slope(x))


def test_gradient_of_a_loop():
    gradient = tracer.compile(tracer.grad(newton), branches="guard")
    for x in vectors(8):
        expected = np.sign(x[0]) / (2 * np.sqrt(np.abs(x[0]) + 1))
        np.testing.assert_allclose(gradient(x)[0], expected, rtol=1e-4)


def test_tests_in_bodies_of_loops_and_mapped_functions_are_errors_with_a_hint():
    @tracer.compile(branches="guard")
    def mapped(x):
        return tracer.vmap(lambda row: row * 2 if row.sum() > 0 else row)(x)

    with pytest.raises(ConcretizationError, match=r"tracer\.cond"):
        mapped(np.ones((3, 2)))


def test_in_place_code_and_shared_variables_on_paths():
    weight = tracer.shared(np.zeros(3))

    @tracer.compile(branches="guard")
    def step(x):
        if np.max(weight) < 2:
            weight.set(weight + x)
        else:
            x += 10
        return weight * 1

    values = np.zeros(3)
    for _ in range(6):
        x = np.array([1.0, 0.5, 0.0])
        expected = values.copy()
        if values.max() < 2:
            values, changed = values + x, x.copy()
        else:
            changed = x + 10
        np.testing.assert_array_equal(step(x), expected)
        np.testing.assert_array_equal(x, changed)
        np.testing.assert_array_equal(weight.get_value(), values)


def test_an_error_on_a_path_leaves_everything_unchanged():
    table = np.arange(4.0)

    @tracer.compile(branches="guard")
    def look(x, index):
        x += 1
        return x * np.take(table, index) if index > 1 else x * 1

    x = np.zeros(2)
    for index in (0, 3, 2, 0):
        look(x, np.int64(index))
    np.testing.assert_array_equal(x, [4, 4])
    for _ in range(2):
        with pytest.raises(IndexError):
            look(x, np.int64(9))
    np.testing.assert_array_equal(x, [4, 4])
    look(x, np.int64(2))
    np.testing.assert_array_equal(x, [5, 5])


def test_captured_numbers_and_arrays_are_seen_to_change():
    limits = np.array([1.0, 2.0])
    settings = {"factor": 2}

    @tracer.compile(branches="guard")
    def f(x):
        return x * settings["factor"] if x < limits[0] else x + np.sum(limits * x)

    def expected(x):
        return x * settings["factor"] if x < limits[0] else x + np.sum(limits * x)

    for x in (0.5, 1.5, 3.0):
        assert f(np.float64(x)) == expected(x)
    limits[0] = 2.5
    for x in (0.5, 1.5, 3.0):
        assert f(np.float64(x)) == expected(x)
    settings["factor"] = 7
    for x in (0.5, 1.5, 3.0, 0.5):
        assert f(np.float64(x)) == expected(x)


def test_questions_about_constants_are_no_questions():
    @tracer.compile(branches="guard")
    def f(x):
        ones = np.ones_like(x)
        return x * 2 if ones.sum() > 2 else x

    np.testing.assert_array_equal(f(np.arange(3.0)), [0, 2, 4])
    assert "\n    test" not in f.explain()


def test_arrays_with_several_elements_have_no_truth():
    with pytest.raises(ValueError, match="ambiguous"):
        tracer.compile(lambda x: 1 if x > 0 else 2, branches="guard")(np.ones(3))


def test_explanation():
    @tracer.compile(branches="guard")
    def f(x):
        if x.sum() > 0:
            return x[x > 1]
        return -x

    for x in (np.array([2.0, 3.0]), np.array([2.0, 0.0]), np.array([-2.0, -1.0]), np.array([2.0, 3.0])):
        f(x)
    text = f.explain()
    for part in (
        "f: 3 plans for 1 signature, 4 calls, 3 traces",
        "signature 1: x float64[2]",
        "test x.sum() > 0 is True (",
        "test x.sum() > 0 is False",
        "plan 1, 2 calls",
    ):
        assert part in text
    assert "size x[x > 1] is 2" in text and "size x[x > 1] is 1" in text
    assert "test_branches.py:" in text
    reasons = f.cache_info().reasons
    assert reasons[0] == "first call" and "another path: x[x > 1] is 1" in reasons[1]


def test_explanation_of_captures_and_effects():
    table, count = np.ones(3), tracer.shared(0.0, name="count")

    @tracer.compile
    def f(x):
        count.set(count + 1)
        x += table
        return np.sum(x)

    f(np.zeros(3))
    text = f.explain()
    for part in ("captures float64[3]", "updates shared count", "guards ", "writes to x", "program of"):
        assert part in text


def test_exploding_paths_are_told(caplog):
    @tracer.compile(branches="guard")
    def f(x):
        return x * len([0] * int(x))

    with caplog.at_level(logging.WARNING, "tracer"):
        for number in range(9):
            assert f(np.float64(number)) == number**2
    assert any("[0] * int(x)" in record.message and "8 so far" in record.message for record in caplog.records)


def test_only_so_many_plans_are_kept(monkeypatch):
    monkeypatch.setattr("tracer.compiled._MOST_PLANS", 10)

    @tracer.compile(branches="guard")
    def f(x):
        return x * len(range(int(x)))

    for number in [*range(30), *range(30)]:
        assert f(np.float64(number)) == number**2
    assert f.cache_info().plans == 10
    f.cache_clear()
    assert f.cache_info().plans == 0 and f(np.float64(3)) == 9


def test_loops_that_may_not_end_are_run_on_their_own_path_only():
    @tracer.compile(branches="guard")
    def f(x):
        if x > 0:
            return tracer.while_loop(lambda v: v < 100, lambda v: v + x, x)
        return x

    for value in (1.0, 3.0, -1.0, 0.0, 2.0, -1.0):
        expected = value
        while value > 0 and expected < 100:
            expected += value
        assert f(np.float64(value)) == expected


def test_threads():
    compiled = tracer.compile(nested_tests, branches="guard")
    calls = vectors(40)
    found = [None] * 4

    def work(number):
        found[number] = [compiled(x) for x in calls]

    on_threads(work)
    for results in found:
        for x, result in zip(calls, results, strict=True):
            np.testing.assert_allclose(result, nested_tests(x))


def test_checked_mode():
    compiled = tracer.compile(nested_tests, branches="guard", mode="check")
    for x in vectors(10):
        np.testing.assert_allclose(compiled(x), nested_tests(x))


def test_paths_through_arrays_that_the_function_makes_share_a_tree():
    table = np.array([1.0, 2.0, 4.0])

    def function(x):
        weights = table / 7
        if np.sum(x) > 0:
            return x * weights + (table - 1)
        if x[0] < -1:
            return x * (weights + np.arange(3))
        return -x

    compiled = tracer.compile(function, branches="guard")
    cases = [np.array([1.0, 2.0, 3.0]), np.array([-2.0, 0.0, 0.5]), np.array([-0.5, 0.0, 0.1])]
    for _ in range(2):
        for x in cases:
            np.testing.assert_allclose(compiled(x), function(x))
    misses = compiled.misses
    for x in cases:
        np.testing.assert_allclose(compiled(2 * x / 1.5), function(2 * x / 1.5))
    assert compiled.misses == misses
    table *= 3
    for x in cases:
        np.testing.assert_allclose(compiled(x), function(x))
