"""What bodies change around them: shared variables, random generators and arrays, carried from step to step."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import tracer


def test_shared_variables_in_loops():
    w = tracer.shared(1.0, name="w")

    def body(i, x):
        w.set(w * 2 + i)
        return x + w

    @tracer.compile
    def function(x, n):
        return tracer.fori_loop(0, n, body, x), w * 1

    value = 1.0
    for n in (3, 0, 5):
        before, x = value, 0.5
        for i in range(n):
            x, value = x + value, value * 2 + i
        found = function(np.float64(0.5), np.int64(n))
        np.testing.assert_allclose(found, [x, before])
        assert w.get_value() == value
    tracer.fori_loop(0, 2, body, 0.0)
    assert w.get_value() == (value * 2 + 0) * 2 + 1


def test_training_in_a_loop():
    w = tracer.shared(np.zeros(2), name="w")
    x = np.random.default_rng(0).standard_normal((20, 2))
    y = x @ np.array([2.0, -1.0])

    def step(none, row):
        cost = (row[0] @ w - row[1]) ** 2
        w.set(w - 0.1 * tracer.grad(cost, w))
        return none, cost

    costs = tracer.compile(lambda x, y: tracer.scan(step, None, (x, y))[1])(x, y)
    wanted = np.zeros(2)
    for row, target, cost in zip(x, y, costs, strict=True):
        np.testing.assert_allclose(cost, (row @ wanted - target) ** 2)
        wanted -= 0.2 * (row @ wanted - target) * row
    np.testing.assert_allclose(w.get_value(), wanted)


def test_shared_variables_in_branches():
    w = tracer.shared(1.0, name="w")

    def yes():
        w.set(w + 10)
        return 1.0

    run = tracer.compile(lambda x: tracer.cond(x > 0, yes, lambda: 2.0))
    for x, value, state in ((1.0, 1.0, 11.0), (-1.0, 2.0, 11.0), (2.0, 1.0, 21.0)):
        assert run(np.float64(x)) == value
        assert w.get_value() == state

    def twice(x):
        w.set(x)
        return tracer.cond(x > 0, yes, lambda: 2.0)

    with pytest.raises(tracer.errors.UpdateError):
        tracer.compile(twice)(np.float64(1.0))
    assert w.get_value() == 21


def test_a_failed_loop_changes_nothing():
    w = tracer.shared(1.0, name="w")

    def body(i, x):
        w.set(w + 1)
        return x[:1]

    with pytest.raises(tracer.errors.TraceError):
        tracer.fori_loop(0, 3, body, np.zeros(2))
    assert w.get_value() == 1


def test_random_generators_go_on_from_step_to_step():
    rng, plain = np.random.default_rng(5), np.random.default_rng(5)

    @tracer.compile
    def function(x, n):
        first = rng.standard_normal()
        rows = tracer.scan(lambda c, _: (c, rng.standard_normal(2)), None, length=3)[1]
        total = tracer.fori_loop(0, n, lambda i, c: c + rng.uniform(), x)
        return first, rows, total, rng.standard_normal()

    for n in (2, 0, 4):
        found = function(np.float64(1.0), np.int64(n))
        wanted = plain.standard_normal(), plain.standard_normal((3, 2))
        total = 1.0 + sum(plain.uniform() for _ in range(n))
        for one, two in zip(found, (*wanted, total, plain.standard_normal()), strict=True):
            np.testing.assert_allclose(one, two)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_arrays_around_a_body(backend):
    def function(x, n):
        squares, doubled = np.zeros(6), x * 2

        def body(i, total):
            squares[i] = x[i] ** 2 + squares[i - 1]
            doubled[1:3] += total
            return total + x[i]

        total = tracer.fori_loop(1, n, body, 0)
        return total, squares, doubled

    def plain(x, n):
        squares, doubled, total = np.zeros(6), x * 2, 0
        for i in range(1, n):
            squares[i] = x[i] ** 2 + squares[i - 1]
            doubled[1:3] += total
            total = total + x[i]
        return total, squares, doubled

    run = tracer.compile(function, backend=backend)
    for n in (5, 1, 3):
        x = np.random.default_rng(n).standard_normal(6)
        for one, two in zip(run(x, np.int64(n)), plain(x, n), strict=True):
            np.testing.assert_allclose(one, two)
    tracer.testing.check_grads(lambda x: function(x, np.int64(4)), (x,), order=2, backend=backend)


def test_arrays_around_a_condition_and_its_branches():
    def function(x):
        y = x * 2

        def halve(n):
            y[...] = y / 2
            return n + 1

        def zero():
            y[0] = 0
            return y[1] + 1

        count = tracer.while_loop(lambda n: np.max(y) > 1, halve, 0)
        last = tracer.cond(count > 2, zero, lambda: y[0])
        return count, last, y

    run = tracer.compile(function)
    for scale in (10.0, 0.1, 1.0):
        x = np.array([0.5, 1.0]) * scale
        y, count = x * 2, 0
        while np.max(y) > 1:
            y, count = y / 2, count + 1
        last = y[1] + 1 if count > 2 else y[0]
        if count > 2:
            y[0] = 0
        found = run(x)
        assert found[0] == count
        assert found[1] == last
        np.testing.assert_array_equal(found[2], y)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_native_loop_can_be_interrupted():
    run = tracer.compile(lambda x: tracer.while_loop(lambda c: c < np.inf, lambda c: np.sin(c), x))
    plan = run.plan(np.float64(1.0))
    assert plan is not None

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run(np.float64(1.0))
    finally:
        signal.signal(signal.SIGINT, before)
        timer.join()
    assert time.monotonic() - start < 20


def test_random_numbers_of_many_examples():
    rng = np.random.default_rng(1)

    def function(x):
        """Draws until a number is large enough."""
        return tracer.while_loop(lambda c: c < x, lambda c: rng.uniform(), 0.0)

    run = tracer.compile(tracer.vmap(function))
    limits = np.array([0.5, 0.9, 0.0, 0.5])
    first, second = run(limits), run(limits)
    for found in (first, second):
        assert (found >= limits).all()
        assert found[2] == 0
        assert found[0] != found[3]
    assert (first[:2] != second[:2]).all()
