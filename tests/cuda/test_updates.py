"""New values of shared variables on a GPU: written over the old ones where nobody sees it."""

import numpy as np
import pytest
from cuda.player import needs_compiler

import tracer
import tracer as theano
import tracer.tensor as T

pytestmark = needs_compiler
RANDOM = np.random.default_rng(7)
X, Y = RANDOM.normal(size=(7, 5)), RANDOM.normal(size=(7, 3))
RULES = [tracer.optim.sgd, tracer.optim.momentum, tracer.optim.adam]


def place(variable):
    """Where a value lies; the array is not held."""
    return variable.get_value(borrow=True, return_internal_type=True).data.ptr


def network(rule, device):
    first, second = (tracer.shared(np.random.default_rng(1).normal(size=size) * 0.1) for size in ((5, 64), (64, 3)))

    def cost(x, y):
        return np.mean((np.tanh(x @ first) @ second - y) ** 2)

    return tracer.compile(cost, updates=rule(0.1), params=[first, second], device=device), [first, second]


@pytest.mark.parametrize("rule", RULES)
def test_training_writes_over_its_weights(gpu, rule):
    (step, mine), (other, others) = network(rule, "gpu"), network(rule, "cpu")
    found, expected = [], []
    for _ in range(2):
        found.append(float(step(X, Y)))
    places = list(map(place, mine))
    for _ in range(4):
        found.append(float(step(X, Y)))
        assert list(map(place, mine)) == places
    expected = [float(other(X, Y)) for _ in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for one, two in zip(mine, others, strict=True):
        np.testing.assert_allclose(one.get_value(), two.get_value(), rtol=1e-10)


def counter(function=lambda w, x: w * 0.5 + x, **options):
    """A variable, and a function that replaces its value."""
    weights = tracer.shared(np.arange(5.0))

    @tracer.compile(device="gpu", **options)
    def step(x):
        weights.set(function(weights, x))
        return x.sum()

    for _ in range(2):
        step(np.ones(5))
    return weights, step


def test_what_is_lent_is_left_alone(gpu):
    weights, step = counter()
    lent = weights.get_value(borrow=True, return_internal_type=True)
    before = lent.get()
    step(np.ones(5))
    np.testing.assert_array_equal(lent.get(), before)
    view = weights.get_value(borrow=True, return_internal_type=True)[1:]
    before = view.get()
    step(np.ones(5))
    np.testing.assert_array_equal(view.get(), before)
    del lent, view
    where = place(weights)
    step(np.ones(5))
    assert place(weights) == where
    given = gpu.asarray(np.ones(5))
    weights.set_value(given, borrow=True)
    step(np.ones(5))
    np.testing.assert_array_equal(given.get(), np.ones(5))
    lent = gpu.asarray(np.zeros(5))
    address = lent.data.ptr
    weights.set_value(lent, borrow=True)
    del lent  # it may be somebody else's memory all the same
    step(np.ones(5))
    assert place(weights) != address


def test_clones_and_arguments_see_the_old_value(gpu):
    weights = tracer.shared(np.arange(5.0))
    twin = weights.clone()

    @tracer.compile(device="gpu")
    def step(x):
        weights.set(twin[::-1] + x)
        return twin * 1.0

    expected = np.arange(5.0)
    for _ in range(4):
        old, expected = expected, expected[::-1] + 1
        np.testing.assert_array_equal(step(np.ones(5)), old)
        np.testing.assert_array_equal(weights.get_value(), expected)
    mine = tracer.shared(np.arange(5.0))
    step = tracer.compile(lambda x: (x * 2, mine.set(mine + x[::-1]))[0], device="gpu")
    for _ in range(4):
        value = mine.get_value(borrow=True, return_internal_type=True)
        expected = mine.get_value() + mine.get_value()[::-1]
        step(value)
        np.testing.assert_array_equal(mine.get_value(), expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda w, x: w[::-1] * 2 + x,
        lambda w, x: w / w.sum() + x,
        lambda w, x: np.cumsum(w) + x,
        lambda w, x: np.sort(w + x)[::-1],
        lambda w, x: np.where(x > 0, w, -w) - w.max(),
        lambda w, x: np.outer(w, x) @ w,
        lambda w, x: x,
    ],
)
def test_other_updates(gpu, function):
    weights, step = counter(function)
    expected = np.arange(5.0)
    for _ in range(2):
        expected = function(expected, np.ones(5))
    for number in range(3):
        x = np.arange(5.0) - number
        expected = function(expected, x)
        step(x)
        np.testing.assert_allclose(weights.get_value(), expected, rtol=1e-12)


def test_two_that_exchange_their_values(gpu):
    one, other = tracer.shared(np.zeros(4)), tracer.shared(np.ones(4))

    @tracer.compile(device="gpu")
    def step():
        one.set(other * 1.0)
        other.set(one + 2.0)

    a, b = np.zeros(4), np.ones(4)
    for _ in range(5):
        step()
        a, b = b, a + 2
        np.testing.assert_array_equal(one.get_value(), a)
        np.testing.assert_array_equal(other.get_value(), b)


def test_a_failed_call_leaves_values_as_they_were(gpu, monkeypatch):
    weights = tracer.shared(np.arange(40_000.0))

    @tracer.compile(device="gpu")
    def step(places):
        weights.set(weights * 0.5)
        return np.outer(weights[places], np.ones(9000))

    for _ in range(3):
        step(np.array([1, 2]))
    where, before = place(weights), weights.get_value()
    with pytest.raises(IndexError, match="out of bounds"):
        step(np.array([1, 40_000]))
    np.testing.assert_array_equal(weights.get_value(), before)
    empty = gpu.ndarray.__init__
    with monkeypatch.context() as patch:

        def refuse(self, shape, *args):
            if np.prod(shape) > 10_000:
                raise MemoryError("Out of memory")
            empty(self, shape, *args)

        patch.setattr(gpu.ndarray, "__init__", refuse)
        with pytest.raises(MemoryError):
            step(np.array([1, 2]))
    np.testing.assert_array_equal(weights.get_value(), before)
    step(np.array([1, 2]))
    assert place(weights) == where
    np.testing.assert_array_equal(weights.get_value(), before * 0.5)
    weights, step = counter(lambda w, x: w / x)
    before = weights.get_value()
    with tracer.config.changed(check_nan=True):
        step(np.ones(5)), step(np.ones(5))
        with pytest.raises(FloatingPointError):
            step(np.zeros(5))
    np.testing.assert_array_equal(weights.get_value(), before)


def test_new_values_that_are_results_too(gpu):
    weights = tracer.shared(np.arange(5.0))

    @tracer.compile
    def step(x):
        new = weights * 0.5 + x
        weights.set(new)
        return new, weights, weights.sum(), new[::-1]

    expected, x, places = np.arange(5.0), gpu.asarray(np.ones(5)), []
    for _ in range(5):
        found = step(x)
        old, expected = expected, expected * 0.5 + 1
        for one, other in zip(found, (expected, old, old.sum(), expected[::-1]), strict=True):
            np.testing.assert_array_equal(one.get(), other)
        found[0][...] = 7.0
        found[1][...] = 7.0
        np.testing.assert_array_equal(weights.get_value(), expected)
        places.append(place(weights))
    assert len(set(places[1:])) == 1


def test_several_steps_at_once(gpu):
    weights, step = counter()
    for _ in range(3):
        step.run(4, np.ones(5))
    np.testing.assert_allclose(weights.get_value(), 2 - 2 * 0.5**14 + np.arange(5.0) * 0.5**14)


def test_a_function_of_the_users_that_fails(gpu):
    calls = []

    def host(a):
        calls.append(a)
        if len(calls) > 3:
            raise KeyError("no more")
        return a

    weights, step = counter(lambda w, x: w + tracer.pure_callback(host, x, x))
    for _ in range(2):
        before = weights.get_value()
        try:
            step(np.ones(5))
        except KeyError:
            np.testing.assert_array_equal(weights.get_value(), before)
    assert len(calls) == 4


def test_symbolic_functions(gpu):
    x = T.dvector("x")
    weights = theano.shared(np.arange(5.0), name="weights")
    with theano.config.changed(device="cuda"):
        f = theano.function([x], weights.sum(), updates=[(weights, weights * 0.5 + x)])
        f(np.ones(5)), f(np.ones(5))
        where, expected = place(weights), weights.get_value()
        for _ in range(3):
            np.testing.assert_allclose(f(np.ones(5)), expected.sum())
            expected = expected * 0.5 + 1
        assert place(weights) == where
    np.testing.assert_allclose(weights.get_value(), expected)
