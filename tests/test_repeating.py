"""`f.run` and `f.run_over`: many calls as one program do what a loop of calls does, or nothing at all."""

import signal
import threading
import time

import numpy as np
import pytest

import tracer
import tracer.tensor as T
from tracer import errors
from tracer.tensor.shared_randomstreams import RandomStreams

X = np.arange(66.0).reshape(22, 3) / 66
Y = np.cos(np.arange(22.0))


def trained():
    """A step of gradient descent, and its parameters."""
    w = tracer.shared(np.zeros(3), name="w")

    @tracer.compile
    def step(x, y, rate=0.1):
        error = x @ w - y
        gradient = x.T @ error if x.ndim == 2 else x * error
        w.set(w - rate * gradient)
        return {"loss": np.mean(error**2), "seen": x}

    return step, w


def symbolic():
    """The same for symbolic variables."""
    x, y, w = T.dmatrix("x"), T.dvector("y"), tracer.shared(np.zeros(3), name="w")
    error = x.dot(w) - y
    outputs = {"loss": (error**2).mean(), "seen": x}
    return tracer.function([x, y], outputs, updates=[(w, w - 0.1 * x.T.dot(error))]), w


def batches(order, size):
    return [order[start : start + size] for start in range(0, len(order), size)]


@pytest.mark.parametrize("make", [trained, symbolic])
@pytest.mark.parametrize("order", [None, [3, -1, 3, 0, 5, 5], "shuffled"])
def test_run_over_is_a_loop_over_batches(make, order):
    (f, w), (g, v) = make(), make()
    given = np.random.default_rng(4) if order == "shuffled" else order
    rows = (
        np.random.default_rng(4).permutation(22) if order == "shuffled" else np.arange(22) if order is None else order
    )
    rows = np.asarray(rows)[: len(rows) // 3 * 3]
    wanted = [f(X[part], Y[part]) for part in batches(rows, 3)]
    found = g.run_over(X, Y, batch_size=3, order=given, drop_last=True)
    for key in ("loss", "seen"):
        np.testing.assert_allclose(found[key], np.stack([result[key] for result in wanted]), rtol=1e-12)
    np.testing.assert_allclose(v.get_value(), w.get_value(), rtol=1e-12)
    last = g.run_over(2 * X[::-1], Y[::-1], batch_size=5, keep="last", order=given)  # the last batch is smaller
    assert last["seen"].shape == ((6 if isinstance(order, list) else 22) % 5, 3)


def test_rows_without_a_batch_axis_and_what_is_the_same_for_all():
    (f, w), (g, v) = trained(), trained()
    wanted = [f(x, y, rate=0.3)["loss"] for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(g.run_over(X, Y, rate=0.3)["loss"], wanted, rtol=1e-12)
    np.testing.assert_allclose(v.get_value(), w.get_value(), rtol=1e-12)


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_draws_and_writes_go_on_from_call_to_call(kind):
    def made():
        rng, own, kept = kind(3), kind(4), np.zeros(3)

        def f(other, x):
            kept[1:] += x[1:]
            x += rng.normal(size=3)
            return kept * 1, other.uniform(size=2), x, 7, None

        return tracer.compile(f), (own, np.ones(3)), lambda: [rng.normal(), own.normal(), kept]

    (f, args, state), (g, others, other_state) = made(), made()
    wanted = [[np.copy(part) for part in f(*args)[:4]] for _ in range(5)]
    found = g.run(5, *others)
    for column, part in enumerate(found[:4]):
        np.testing.assert_array_equal(part, np.stack([row[column] for row in wanted]))
    assert found[4] is None and np.array_equal(others[1], args[1])
    for one, other in zip(state(), other_state(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert g.run(2, *others, keep="last")[2] is others[1]  # the argument itself, as of a call


def test_random_streams_advance_as_calls_do():
    def made():
        x = T.dscalar("x")
        return tracer.function([x], x + RandomStreams(5).normal((3,)))

    f, g = made(), made()
    np.testing.assert_array_equal(g.run(4, 2.0), [f(2.0) for _ in range(4)])
    np.testing.assert_array_equal(g(2.0), f(2.0))


@pytest.mark.parametrize("branches", ["raise", "guard"])
def test_a_failed_run_changes_nothing(branches):
    w, rng, kept, table = tracer.shared(0.0), np.random.default_rng(1), np.zeros(2), np.arange(4.0)

    @tracer.compile(branches=branches)
    def f(place):
        w.set(w + 1)
        kept[:] += 1
        if branches == "guard" and w > 2:
            kept[:] += 1
        return table[place] + rng.normal()

    state = rng.bit_generator.state
    with pytest.raises(IndexError, match="9"):
        f.run_over(np.array([0, 1, 2, 3, 9]), order=rng)
    assert w.get_value() == 0 and kept.tolist() == [0, 0] and rng.bit_generator.state == state
    assert f.run_over(np.array([0, 1, 2, 3])).shape == (4,)
    assert w.get_value() == 4 and kept.tolist() == ([4, 4] if branches == "raise" else [5, 5])


def test_a_smaller_last_batch_that_cannot_be_stacked_changes_nothing():
    f, w = trained()
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(2, 3\)(.|\n)*drop_last"):
        f.run_over(X, Y, batch_size=4)
    assert not w.get_value().any()


def test_shared_variables_that_grow_are_run_step_by_step():
    n, w = T.dvector("n"), tracer.shared(np.zeros(1))
    f = tracer.function([n], w.sum(), updates=[(w, T.concatenate([w, n]))])
    assert f.run(3, [1.0]).tolist() == [0, 1, 2] and w.get_value().tolist() == [0, 1, 1, 1]


def test_states_of_inputs_go_on():
    x, s = T.dscalar("x"), T.dscalar("s")
    f = tracer.function([x, tracer.In(s, value=1.0, update=s * x)], s + x)
    assert f.run(3, 2.0).tolist() == [3, 4, 6] and f[s] == 8


def test_an_interrupt_ends_a_run_and_changes_nothing():
    w = tracer.shared(np.zeros(4))

    @tracer.compile
    def f(x):
        w.set(np.sin(w) + x)
        return np.sum(w)

    # A process that was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.15, signal.raise_signal, [signal.SIGINT])
    timer.start()
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            f.run(10**8, np.ones(4), keep="last")
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - start < 5 and not w.get_value().any()
    timer.join()


def test_no_calls():
    f, w = trained()
    assert f.run(0, X, Y)["seen"].shape == (0, 22, 3)
    assert f.run_over(X[:0], Y[:0])["loss"].shape == (0,)
    assert f.run_over(X[:2], Y[:2], batch_size=3, drop_last=True)["seen"].shape == (0, 3, 3)
    assert symbolic()[0].run(0, X, Y)["seen"].shape == (0, 22, 3) and not w.get_value().any()


def test_within_a_trace_calls_are_part_of_it():
    inner = tracer.compile(lambda x: x * 2)
    assert tracer.compile(lambda x: inner.run(2, x))(np.ones(2)).tolist() == [[2, 2], [2, 2]]
    with pytest.raises(errors.TraceError, match="order"):
        tracer.compile(lambda x: x + inner.run_over(X, order=np.random.default_rng(1)))(np.ones(3))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda f: f.run(-1), ValueError, "HINT"),
        (lambda f: f.run(2.0, X, Y), ValueError, "int"),
        (lambda f: f.run(0, X, Y, keep="last"), ValueError, "keep='all'"),
        (lambda f: f.run(1, X, Y, keep="first"), ValueError, "by position"),
        (lambda f: f.run_over(), TypeError, "HINT"),
        (lambda f: f.run_over(X, 0.1), TypeError, "by name"),
        (lambda f: f.run_over(X, Y[:5]), ValueError, "22, 5"),
        (lambda f: f.run_over(X, Y, batch_size=0), ValueError, "batch_size=32"),
        (lambda f: f.run_over(X, Y, order=[0, 22]), IndexError, "22 rows"),
        (lambda f: f.run_over(X, Y, order=Y > 0), TypeError, "permutation"),
    ],
)
def test_errors_say_what_works(call, error, match):
    f, w = trained()
    with pytest.raises(error, match=match) as caught:
        call(f)
    assert "HINT" in str(caught.value) and not w.get_value().any()


def test_other_threads_go_on_during_a_run():
    w = tracer.shared(np.zeros(64))

    @tracer.compile
    def f(x):
        w.set(np.sin(w) + x)
        return np.sum(w)

    f.run(100_000, np.ones(64), keep="last")
    w.set_value(np.zeros(64))
    running = threading.Thread(target=f.run, args=(100_000, np.ones(64)), kwargs={"keep": "last"})
    running.start()
    steps = 0
    while running.is_alive():
        time.sleep(0.001)
        steps += 1
    assert steps > 5
    wanted = np.zeros(64)
    for _ in range(50):  # by then it has settled
        wanted = np.sin(wanted) + 1
    np.testing.assert_allclose(w.get_value(), wanted, rtol=1e-9)
