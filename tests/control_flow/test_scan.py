"""`scan`, `map`, `fori_loop` and `associative_scan`, and which calls of the first two are Theano's."""

import functools
import itertools

import numpy as np
import pytest

import tracer
import tracer.tensor as T
from tracer.control_flow import loops
from tracer.testing import check_grads

RNG = np.random.default_rng(3)
every_backend = pytest.mark.parametrize("backend", ["reference", "cpu"])


def plain_scan(f, init, xs, reverse=False):
    """The same in Python, for one array of rows."""
    outputs = []
    for row in xs[::-1] if reverse else xs:
        init, output = f(init, row)
        outputs.append(output)
    return init, np.stack(outputs[::-1] if reverse else outputs)


def recurrence(c, row):
    """A step of a recurrence."""
    c = np.tanh(c * 1.2 + row)
    return c, c * row


# --- scan --------------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2, 3, True])
def test_scan(backend, reverse, unroll):
    def function(init, xs):
        return tracer.scan(recurrence, init, xs, reverse=reverse, unroll=unroll)

    run = tracer.compile(function, backend=backend)
    for _ in range(2):
        args = RNG.standard_normal(3), RNG.standard_normal((5, 3))
        for one, two in zip(run(*args), plain_scan(recurrence, *args, reverse), strict=True):
            np.testing.assert_allclose(one, two)
    check_grads(function, args, order=2 if unroll == 1 else 1, backend=backend)


def test_nests():
    def step(carry, row):
        total, (count, last) = carry["total"] + row["x"], carry["rest"]
        carry = {"rest": (count + 1, row["y"][0]), "total": total}  # another order of keys
        return carry, {"total": total, "none": None, "pair": (count, last)}

    xs = {"x": np.arange(3.0), "y": np.arange(6.0).reshape(3, 2)}
    init = {"total": 0, "rest": (0, 0.0)}
    for carry, outputs in (tracer.scan(step, init, xs), tracer.compile(tracer.scan)(step, init, xs)):
        assert carry["total"] == 3.0
        assert list(carry) == ["total", "rest"]
        assert carry["rest"] == (3, 4.0)
        np.testing.assert_array_equal(outputs["total"], [0, 1, 3])
        assert outputs["none"] is None
        np.testing.assert_array_equal(outputs["pair"][0], [0, 1, 2])
        np.testing.assert_array_equal(outputs["pair"][1], [0, 0, 2])


def test_without_rows():
    carry, outputs = tracer.scan(lambda c, row: (c * 2, c), 1, length=5)
    assert (carry, carry.dtype) == (32, np.int64)
    np.testing.assert_array_equal(outputs, [1, 2, 4, 8, 16])
    carry, outputs = tracer.scan(lambda c, row: (c + row, c), np.float64(1), np.zeros(0))
    assert carry == 1
    assert outputs.shape == (0,)


def test_numbers_adapt_as_in_a_loop():
    xs = np.ones(3, np.float32)
    carry, outputs = tracer.scan(lambda c, x: (c + x, c), 0.0, xs)
    assert carry.dtype == outputs.dtype == np.float32
    carry, _ = tracer.scan(lambda c, x: (c + 1, None), 0, xs)
    assert carry.dtype == np.int64
    carry, _ = tracer.scan(lambda c, x: (x * 2j, None), 0, xs)
    assert carry.dtype == np.complex64
    with pytest.raises(tracer.errors.TraceError, match=r"starts as float32\[\]"):
        tracer.scan(lambda c, x: (c + np.float64(1), None), np.float32(0), xs)


@pytest.mark.parametrize(
    ("kind", "text", "call"),
    [
        (tracer.errors.TraceError, "must return a pair", lambda: tracer.scan(lambda c, x: c, 0.0, np.ones(2))),
        (ValueError, "has no rows", lambda: tracer.scan(recurrence, 0.0, [1.0, 2.0])),
        (ValueError, "different numbers", lambda: tracer.scan(recurrence, 0.0, (np.ones(2), np.ones(3)))),
        (ValueError, "how many steps", lambda: tracer.scan(recurrence, 0.0)),
        (ValueError, "length=3", lambda: tracer.scan(recurrence, 0.0, np.ones(2), length=3)),
        (ValueError, "unroll must be", lambda: tracer.scan(recurrence, 0.0, np.ones(2), unroll=0)),
        (TypeError, "must be an array or a number", lambda: tracer.scan(recurrence, "a", np.ones(2))),
        (TypeError, "counts from one integer", lambda: tracer.fori_loop(0, 2.5, lambda i, c: c, 0.0)),
        (TypeError, "counts from one integer", lambda: tracer.fori_loop(np.ones(2, int), 3, lambda i, c: c, 0.0)),
        (ValueError, "batch_size must be", lambda: tracer.map(np.sin, np.ones(3), batch_size=-1)),
        (ValueError, "different numbers", lambda: tracer.associative_scan(np.add, (np.ones(2), np.ones(3)))),
    ],
)
def test_errors(kind, text, call):
    with pytest.raises(kind, match=text) as caught:
        call()
    assert "HINT" in str(caught.value)


def test_a_function_is_compiled_once():
    def step(c, row):
        calls.append(1)
        return c + row, c

    calls = []
    for size in (3.0, 4.0):
        assert tracer.scan(step, np.float64(0), np.full(4, size))[0] == 4 * size
    assert len(calls) == 1
    scale = np.ones(2)
    bodies = [lambda c, row: (c + row * scale[0], None), functools.partial(lambda w, c, row: (c + w * row, None), 2.0)]
    for body, factor in zip(bodies, (3.0, 2.0), strict=True):
        scale[...] = factor
        assert tracer.scan(body, 0.0, np.ones(3))[0] == 3 * factor
    scale[...] = 5
    assert tracer.scan(bodies[0], 0.0, np.ones(3))[0] == 15


# --- which is Theano's -------------------------------------------------------------------------------------------


def test_calls_of_theano():
    x = T.dvector("x")
    both = [tracer.scan(fn=lambda a: a * 2, sequences=x)[0], tracer.scan(lambda a, s: a + s, x, T.constant(0.0))[0]]
    found = tracer.function([x], both)(np.arange(4.0))
    np.testing.assert_array_equal(found[0], [0, 2, 4, 6])
    np.testing.assert_array_equal(found[1], [0, 1, 3, 6])
    np.testing.assert_array_equal(tracer.function([x], tracer.map(lambda a: a + 1, x)[0])([1.0]), [2])

    @tracer.compile
    def traced(x):
        theano = tracer.scan(fn=lambda a: a * 2, sequences=x)[0]
        return theano, tracer.scan(lambda c, row: (c + row, row), 0.0, x)[0]

    for scale in (1.0, 2.0):
        found = traced(np.arange(3.0) * scale)
        np.testing.assert_array_equal(found[0], np.arange(3.0) * 2 * scale)
        assert found[1] == 3 * scale
    with pytest.raises(TypeError):
        tracer.scan(recurrence, init=x, n_steps=3)


def test_shared_variables_as_carries():
    w = tracer.shared(np.float64(2.0), name="w")

    @tracer.compile
    def function(x):
        return tracer.scan(lambda c, row: (c * row, c), w, x)[0]

    assert function(np.array([3.0, 4.0])) == 24
    w.set_value(1.0)
    assert function(np.array([3.0, 5.0])) == 15


# --- map ---------------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("batch_size", [None, 1, 2, 7])
def test_map(backend, batch_size):
    def function(xs):
        return tracer.map(lambda row: {"s": np.sin(row["a"]) @ row["b"], "b": row["b"]}, xs, batch_size=batch_size)

    run = tracer.compile(function, backend=backend)
    for _ in range(2):
        xs = {"a": RNG.standard_normal((5, 3)), "b": RNG.standard_normal((5, 3))}
        found = run(xs)
        np.testing.assert_allclose(found["s"], np.sum(np.sin(xs["a"]) * xs["b"], axis=1))
        np.testing.assert_array_equal(found["b"], xs["b"])
    check_grads(lambda a, b: function({"a": a, "b": b})["s"], (xs["a"], xs["b"]), order=1, backend=backend)


# --- fori_loop ---------------------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("is_open", [False, True])
def test_fori_loop(backend, is_open, monkeypatch):
    def body(i, state):
        state["x"][i] = state["x"][i - 1] * 1.5 + i
        state["sum"] = state["sum"] + state["x"][i]
        return state

    def plain(x, start, stop):
        x, total = x.copy(), 0.0
        for i in range(start, stop):
            x[i] = x[i - 1] * 1.5 + i
            total += x[i]
        return x, total

    def function(x, start, stop):
        start, stop = (start, stop) if is_open else (int(start), int(stop))
        found = tracer.fori_loop(start, stop, body, {"x": x, "sum": 0})
        return found["x"], found["sum"]

    bounds = [(1, 5), (2, 4), (3, 3), (4, 2)]
    for limit in (1 << 16, 0):  # the counter from an array, or counted
        monkeypatch.setattr(loops, "LONGEST_SEQUENCE", limit)
        run = tracer.compile(function, backend=backend)
        for start, stop in bounds:
            x = RNG.standard_normal(6)
            given = (np.int64(start), np.int64(stop)) if is_open else (start, stop)
            for one, two in zip(run(x, *given), plain(x, start, stop), strict=True):
                np.testing.assert_allclose(one, two)
        check_grads(lambda x: function(x, np.int64(1), np.int64(5)), (x,), order=2, backend=backend)


def test_counters_have_the_dtype_of_the_bounds():
    def dtype_of(start, stop):
        return tracer.compile(lambda a, b: tracer.fori_loop(a, b, lambda i, c: i, np.zeros((), wanted)))(
            start, stop
        ).dtype

    wanted = np.dtype(np.int32)
    assert dtype_of(np.int32(0), np.int32(3)) == wanted
    assert dtype_of(0, np.int32(3)) == wanted
    wanted = np.dtype(np.int64)
    assert dtype_of(0, 3) == wanted


# --- associative_scan --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 16, 33])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_of_what_does_not_commute(count, reverse):
    matrices = RNG.standard_normal((count, 2, 2))
    wanted = np.zeros_like(matrices)
    total = np.eye(2)
    for i in reversed(range(count)) if reverse else range(count):
        total = total @ matrices[i]
        wanted[i] = total
    function = functools.partial(tracer.associative_scan, np.matmul, reverse=reverse)
    np.testing.assert_allclose(function(matrices), wanted, rtol=1e-10)
    np.testing.assert_allclose(tracer.compile(lambda m: function(m))(matrices), wanted, rtol=1e-10)


def test_associative_scan_of_nests_along_an_axis():
    def compose(one, two):
        """Composition of the maps x -> a x + b."""
        return {"a": one["a"] * two["a"], "b": two["a"] * one["b"] + two["b"]}

    def function(a, b):
        return tracer.associative_scan(compose, {"a": a, "b": b}, axis=1)["b"]

    a, b = RNG.standard_normal((2, 6)), RNG.standard_normal((2, 6))
    wanted, last = np.zeros((2, 6)), np.zeros(2)
    for i in range(6):
        last = wanted[:, i] = a[:, i] * last + b[:, i]
    np.testing.assert_allclose(function(a, b), wanted)
    check_grads(function, (a, b), order=2)
    each = tracer.vmap(function, in_axes=(0, None))(np.stack([a, a + 1]), b)
    np.testing.assert_allclose(each[0], wanted)


# --- many examples -----------------------------------------------------------------------------------------------


def test_vmap_of_scan_and_its_gradient():
    def cost(w, xs):
        return np.sum(tracer.scan(lambda c, row: (np.tanh(c * w + row), c), 0.1, xs)[1])

    w, xs = np.array([0.5, -1.0, 2.0]), RNG.standard_normal((3, 4))
    found = tracer.vmap(tracer.grad(cost, argnums=(0, 1)))(w, xs)
    for i in range(3):
        one = tracer.grad(cost, argnums=(0, 1))(w[i], xs[i])
        np.testing.assert_allclose(found[0][i], one[0])
        np.testing.assert_allclose(found[1][i], one[1])
    check_grads(lambda w: tracer.vmap(cost, in_axes=(0, None))(w, xs[0]), (w,), order=2)


def test_a_loop_over_a_method_is_traced_once_for_each_object():
    traces = itertools.count()

    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def step(self, carry, row):
            next(traces)
            return carry * self.rate + row, carry

    slow, fast = Decay(0.5), Decay(0.25)
    for rows in (np.arange(3.0), np.ones(3), np.arange(3.0)):
        for decay in (slow, fast):
            last, before = tracer.scan(decay.step, np.float64(2), rows)
            np.testing.assert_allclose(before[1], 2 * decay.rate + rows[0])
            np.testing.assert_allclose(last, ((2 * decay.rate + rows[0]) * decay.rate + rows[1]) * decay.rate + rows[2])
    assert next(traces) == 2
    slow.rate = 1.0
    assert tracer.scan(slow.step, np.float64(2), np.ones(3))[0] == 5
