"""Shared variables, updates and optimizer rules."""

import copy
import pickle

import numpy as np
import pytest

import tracer
from tracer import errors


def test_get_and_set_value_copy_unless_borrowed():
    start = np.zeros(2)
    w = tracer.shared(start, name="w")
    start[0] = 5
    assert w.get_value()[0] == 0
    w.get_value()[1] = 7
    assert w.get_value()[1] == 0
    w.get_value(borrow=True)[1] = 7
    assert w.get_value()[1] == 7
    w.set_value([1, 2])
    assert w.get_value().dtype == np.float64
    with pytest.raises(errors.UpdateError, match="w"):
        w.set_value(np.zeros((2, 2)))
    with pytest.raises(errors.UpdateError, match="complex"):
        w.set_value(np.array([1j, 2]))
    np.testing.assert_array_equal(w.get_value(), [1, 2])


def test_pairs_see_old_values():
    a, b = tracer.shared(1.0, name="a"), tracer.shared(2.0, name="b")
    f = tracer.compile(lambda: a + b, updates=[(a, b), (b, a + b)])
    assert [float(f()) for _ in range(4)] == [3, 5, 8, 13]
    assert (a.get_value(), b.get_value()) == (8, 13)
    g = tracer.compile(lambda x: x + a, updates={a: a + 1})
    assert g(np.float64(1)) == 9
    assert a.get_value() == 9


def test_set_in_the_trace():
    w = tracer.shared(np.ones(3), name="w")

    @tracer.compile
    def train(x):
        cost = np.sum((w * x) ** 2)
        gradient = tracer.grad(cost, w)
        w.set(w - 0.1 * gradient)
        return cost

    x = np.array([1.0, 2.0, 3.0])
    value = np.ones(3)
    for _ in range(5):
        assert np.isclose(train(x), np.sum((value * x) ** 2))
        value = value - 0.1 * 2 * value * x**2
        np.testing.assert_allclose(w.get_value(), value)


def test_a_failed_call_changes_nothing():
    w = tracer.shared(np.ones(3))
    n = tracer.shared(0)

    @tracer.compile
    def f(x, i):
        n.set(n + 1)
        w.set(w * 2)
        x += 1
        return x[i]

    x = np.arange(3.0)
    f(x, np.array(1))
    with pytest.raises(IndexError):
        f(x, np.array(9))
    assert n.get_value() == 1
    np.testing.assert_array_equal(w.get_value(), [2, 2, 2])
    np.testing.assert_array_equal(x, [1, 2, 3])


def test_update_errors():
    w = tracer.shared(np.ones(3, np.float32), name="w")
    with pytest.raises(errors.UpdateError, match=r"w.*float64.*float32"):
        tracer.compile(lambda x: x, updates=[(w, w * np.ones(3))])(np.ones(1))
    with pytest.raises(errors.UpdateError, match="reduce"):
        tracer.compile(lambda x: x, updates=[(w, w[:2])])(np.ones(1))
    with pytest.raises(errors.UpdateError, match="twice"):
        tracer.compile(lambda x: x, updates=[(w, w), (w, w * 2)])(np.ones(1))
    with pytest.raises(errors.UpdateError, match="shared"):
        tracer.compile(lambda x: x, updates=[(np.ones(3), w)])
    with pytest.raises(errors.UpdateError, match="set_value"):
        w.set(w * 2)
    with pytest.raises(errors.UpdateError, match=r"value\[rows\] \+= change, w.set_value"):
        w[0] = 1
    with pytest.raises(errors.UpdateError, match="twice"):
        tracer.compile(lambda x: (w.set(w * x), w.fill(x)))(np.float32(1))
    with pytest.raises(errors.UpdateError, match="twice"):
        tracer.compile(lambda x: (w.fill(x), w.set(w * x)))(np.float32(1))
    with pytest.raises(errors.UpdateError, match="shared"):
        tracer.compile(lambda x: np.sum(x), updates=tracer.optim.sgd(0.1))(np.ones(2))
    np.testing.assert_array_equal(w.get_value(), np.ones(3))


def rows(w, i, d):
    w[i] += d
    return w.sum() + w[i].sum()


def views(w, i, d):
    for row in w:
        row -= d
    w.T[0] *= 2
    np.add.at(w, i, d)
    np.maximum(w, 0.5, out=w)
    w[w > 2] = d[0]
    return w.copy()


def rolled(w, i, d):
    for step in range(100):
        w[i[step % 2]] += d * w[step % 3]
    return w[0].sum()


def gradient_step(w, i, d):
    w -= 0.1 * (tracer.grad(np.sum((w * d) ** 2), w) if hasattr(w, "set") else 2 * w * d**2)
    w[i] = 1
    return w.sum()


@pytest.mark.parametrize("change", [rows, views, rolled, gradient_step])
def test_writing_in_place_updates_as_in_numpy(change):
    value = np.linspace(-1, 1, 6).reshape(3, 2)
    w = tracer.shared(value, name="w")
    compiled = tracer.compile(lambda i, d: change(w, i, d))
    for i, d in ((np.array([0, 2]), np.array([1.0, 2.0])), (np.array([1, 1]), np.array([0.5, -1.0]))):
        np.testing.assert_allclose(compiled(i, d), change(value, i, d), rtol=1e-12)
        np.testing.assert_allclose(w.get_value(), value, rtol=1e-12)
    with pytest.raises(IndexError):
        compiled(np.array([0, 7]), d)
    np.testing.assert_allclose(w.get_value(), value, rtol=1e-12)


def test_bodies_write_into_shared_variables_in_place():
    value, d = np.ones((3, 2)), np.arange(8.0).reshape(4, 2)
    w = tracer.shared(value, name="w")

    def body(total, item):
        w[1] += item
        return total + w.sum(), w[1]

    @tracer.compile
    def f(d):
        w[0] *= 2
        before = w.copy()
        total, path = tracer.scan(body, 0.0, d)
        tracer.cond(total > 50, lambda: w.__setitem__(2, total), lambda: None)
        return total + tracer.checkpoint(lambda x: (w.__setitem__(0, x), w.sum())[1])(d[0]), path, before

    for _ in range(2):
        value[0] *= 2
        before, total, path = value.copy(), 0.0, []
        for item in d:
            value[1] += item
            total += value.sum()
            path.append(value[1].copy())
        if total > 50:
            value[2] = total
        value[0] = d[0]
        for found, expected in zip(f(d), (total + value.sum(), path, before), strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(w.get_value(), value)

    def shift(x):
        w[0] += x
        return x

    with pytest.raises(errors.TraceError, match="into w, which all examples share"):
        tracer.compile(tracer.vmap(shift))(np.ones(3))


def test_get_value_in_a_trace_is_the_value_at_each_call():
    w, n = tracer.shared(np.ones(2), name="w"), tracer.shared(3, name="n")

    @tracer.compile
    def f(x):
        gradient = tracer.grad(np.sum(w * w.get_value()) * x, w)
        return x + w.get_value(borrow=True).sum() * n.get_value(), gradient

    for value in (1.0, 5.0):
        w.set_value(np.full(2, value))
        found, gradient = f(1.0)
        assert found == 1 + 6 * value
        np.testing.assert_array_equal(gradient, w.get_value())  # constant, as a number would be
    assert f.cache_info().traces == 1


def test_a_new_shape_is_traced_again():
    w = tracer.shared(np.ones(3))
    f = tracer.compile(lambda: w * 2)
    assert f().shape == (3,)
    w.set_value(np.ones(5))
    assert f().shape == (5,)


def test_shared_variables_copy_and_pickle():
    w = tracer.shared(np.arange(3.0), name="w")
    for other in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        np.testing.assert_array_equal(other.get_value(), w.get_value())
        other.set_value(np.zeros(3))
        assert w.get_value()[1] == 1


RULES = {
    "sgd": lambda: tracer.optim.sgd(0.05),
    "momentum": lambda: tracer.optim.momentum(0.02),
    "nesterov": lambda: tracer.optim.momentum(0.02, nesterov=True),
    "adagrad": lambda: tracer.optim.adagrad(0.5),
    "rmsprop": lambda: tracer.optim.rmsprop(0.05),
    "adadelta": lambda: tracer.optim.adadelta(5.0),
    "adam": lambda: tracer.optim.adam(0.1),
    "adamw": lambda: tracer.optim.adam(0.1, weight_decay=0.001),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_rule_descends_and_keeps_dtypes(name, dtype):
    random = np.random.default_rng(0)
    x = random.standard_normal((50, 3)).astype(dtype)
    y = x @ np.array([1.0, -2.0, 0.5], dtype) + dtype(0.25)
    w, b = tracer.shared(np.zeros(3, dtype), name="w"), tracer.shared(np.zeros((), dtype), name="b")

    @tracer.compile(updates=RULES[name]())
    def cost(x, y):
        return np.mean((x @ w + b - y) ** 2)

    costs = [float(cost(x, y)) for _ in range(300)]
    assert costs[-1] < 0.02 * costs[0]
    assert w.get_value().dtype == b.get_value().dtype == dtype
    assert cost.cache_info().traces == 1


def test_adam_follows_its_formula():
    w = tracer.shared(np.array([1.0, -3.0]))
    step = tracer.compile(lambda: np.sum(w**2), updates=tracer.optim.adam(0.1))
    value, mean, square = np.array([1.0, -3.0]), np.zeros(2), np.zeros(2)
    for time in range(1, 6):
        step()
        g = 2 * value
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
        value = value - 0.1 * (mean / (1 - 0.9**time)) / (np.sqrt(square / (1 - 0.999**time)) + 1e-8)
        np.testing.assert_allclose(w.get_value(), value, rtol=1e-12)


def test_params_choose_what_is_trained_and_rates_may_be_shared():
    w, v = tracer.shared(2.0, name="w"), tracer.shared(3.0, name="v")
    rate = tracer.shared(0.5, name="rate")
    step = tracer.compile(lambda: (w * v) ** 2, updates=tracer.optim.sgd(rate), params=[w])
    step()
    assert v.get_value() == 3 and w.get_value() == 2 - 0.5 * 2 * 2 * 9
    rate.set_value(0.0)
    before = w.get_value()
    step()
    assert w.get_value() == before


def test_sizes_are_numbers_for_numpy():
    w = tracer.shared(np.ones((2, 3)), name="w")
    assert np.prod(w.shape) == w.size == 6 and isinstance(np.prod(w.shape), int)
    twice = tracer.function([], tracer.tensor.arange(np.prod(w.shape)))
    assert len(twice()) == 6
    w.set_value(np.ones((2, 5)))
    assert len(twice()) == 10


def test_a_name_in_a_text():
    assert f"{tracer.shared(1.0, name='w')}" == "w"
