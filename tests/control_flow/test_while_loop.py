"""`while_loop`: values against plain Python loops, derivatives of every kind, nests, and what bodies may do."""

import numpy as np
import pytest

import tracer
from tracer.testing import check_grads

RNG = np.random.default_rng(7)
every_backend = pytest.mark.parametrize("backend", ["reference", "cpu"])


def root(a, start=1.0):
    """Newton's iteration for a square root."""
    return tracer.while_loop(lambda x: np.max(np.abs(x * x - a)) > 1e-13, lambda x: (x + a / x) / 2, start)


def powers(x, count):
    """A loop whose number of steps is an argument."""
    return tracer.while_loop(lambda c: c[1] < count, lambda c: (np.sin(c[0]) * c[0] * 1.1, c[1] + 1), (x, 0))[0]


def plain_powers(x, count):
    """The same in Python."""
    for _ in range(int(count)):
        x = np.sin(x) * x * 1.1
    return x


@every_backend
def test_values(backend):
    run = tracer.compile(powers, backend=backend)
    for count in (3, 0, 1, 7):
        x = RNG.uniform(0.5, 1.5, 4)
        np.testing.assert_allclose(run(x, np.int64(count)), plain_powers(x, count), rtol=1e-14)
    assert run.cache_info().traces == 1


@every_backend
@pytest.mark.parametrize("count", [0, 1, 4])
def test_derivatives(backend, count):
    check_grads(lambda x: powers(x, np.int64(count)), (np.array([0.7, 1.2]),), order=2, backend=backend)


@every_backend
def test_third_derivative(backend):
    wanted, found = plain_powers, powers
    for _ in range(3):
        wanted, found = tracer.grad(wanted), tracer.grad(found)
    run = tracer.compile(found, backend=backend)
    for x, count in ((1.3, 4), (0.8, 2)):
        expected = tracer.compile(lambda x, n=count: wanted(x, n))(np.float64(x))
        np.testing.assert_allclose(run(np.float64(x), np.int64(count)), expected, rtol=1e-12)


@every_backend
def test_newton_iteration_is_differentiable(backend):
    run = tracer.compile(tracer.value_and_grad(root), backend=backend)
    for a in (2.0, 9.0, 0.3):
        value, slope = run(np.float64(a))
        np.testing.assert_allclose([value, slope], [np.sqrt(a), 0.5 / np.sqrt(a)], rtol=1e-10)


@every_backend
def test_adaptive_integrator(backend):
    def solve(rate, stop):
        """Heun's method for y' = rate * y, with steps as long as the error allows."""

        def step(state):
            t, y, h = state["t"], state["y"], state["h"]
            h = np.minimum(h, stop - t)
            slope = rate * y
            next_slope = rate * (y + h * slope)
            error = np.abs(h * (next_slope - slope)) / 2
            good = error < 1e-5
            state["t"] = np.where(good, t + h, t)
            state["y"] = np.where(good, y + h * (slope + next_slope) / 2, y)
            state["h"] = h * np.clip(0.9 * np.sqrt(1e-5 / (error + 1e-12)), 0.2, 3.0)
            return state

        first = {"t": 0.0, "y": 1.0, "h": 0.1}
        return tracer.while_loop(lambda state: state["t"] < stop, step, first)["y"]

    run = tracer.compile(tracer.value_and_grad(solve), backend=backend)
    for rate in (-1.0, 0.5):
        value, slope = run(np.float64(rate), np.float64(2.0))
        np.testing.assert_allclose(value, np.exp(2 * rate), rtol=1e-3)
        ahead, behind = (run(np.float64(rate + move), np.float64(2.0))[0] for move in (1e-7, -1e-7))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-7, rtol=1e-3)


@every_backend
def test_constants_and_closures_get_derivatives(backend):
    def function(matrix, x):
        scale = np.sum(matrix)

        def body(state):
            count, v = state
            return count + 1, np.tanh(matrix @ v) * scale

        return tracer.while_loop(lambda state: state[0] < 3, body, (0, x))[1]

    check_grads(function, (RNG.standard_normal((3, 3)), RNG.standard_normal(3)), order=2, backend=backend)


@every_backend
def test_one_loop_in_another(backend):
    def inner(v, n):
        return tracer.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, np.sin(c[1]) + c[1]), (0, v))[1]

    def function(x):
        return tracer.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, inner(c[1], c[0])), (0, x))[1]

    def plain(x):
        for outer in range(3):
            for _ in range(outer):
                x = np.sin(x) + x
        return x

    x = np.array([0.3, 0.4])
    np.testing.assert_allclose(tracer.compile(function, backend=backend)(x), plain(x))
    check_grads(function, (x,), order=2, backend=backend)


@every_backend
def test_scan_and_cond_within(backend):
    def function(x, rows):
        def body(state):
            count, v = state
            v, _ = tracer.scan(lambda c, row: (c * np.cos(row), None), v, rows)
            return count + 1, tracer.cond(v > 0.2, lambda: v * 1.5, lambda: np.exp(v))

        return tracer.while_loop(lambda state: state[0] < 4, body, (0, x))[1]

    def plain(x, rows):
        for _ in range(4):
            for row in rows:
                x = x * np.cos(row)
            x = x * 1.5 if x > 0.2 else np.exp(x)
        return x

    args = np.float64(0.9), RNG.uniform(0.1, 1.0, 3)
    np.testing.assert_allclose(tracer.compile(function, backend=backend)(*args), plain(*args))
    check_grads(function, args, order=2, backend=backend)


@every_backend
def test_while_within_scan(backend):
    def function(rows, w):
        def step(c, row):
            c = tracer.while_loop(lambda v: np.abs(v) < 2.0, lambda v: v * w + row, c)
            return c / 3, c

        return tracer.scan(step, 0.5, rows)

    args = RNG.uniform(0.5, 1.0, 4), np.float64(1.4)
    c, outputs = 0.5, []
    for row in args[0]:
        while abs(c) < 2:
            c = c * args[1] + row
        outputs.append(c)
        c = c / 3
    carry, found = tracer.compile(function, backend=backend)(*args)
    np.testing.assert_allclose(carry, c)
    np.testing.assert_allclose(found, outputs)
    check_grads(function, args, order=2, backend=backend)


@every_backend
def test_carries_of_many_dtypes(backend):
    def function(x, z, n, flag):
        def body(state):
            return {"z": state["z"] * 1j, "n": state["n"] + 1, "flag": ~state["flag"], "x": state["x"] * 2}

        first = {"x": x, "z": z, "n": n, "flag": flag}
        return tracer.while_loop(lambda state: state["n"] < 5, body, first)

    run = tracer.compile(function, backend=backend)
    for start in (2, 5, 0):
        found = run(np.float32(1.5), np.array([1 + 2j]), np.int16(start), np.array([True, False]))
        steps = 5 - start
        assert found["x"] == np.float32(1.5 * 2**steps)
        assert found["x"].dtype == np.float32
        assert found["n"] == 5
        assert found["n"].dtype == np.int16
        np.testing.assert_array_equal(found["z"], np.array([1 + 2j]) * 1j**steps)
        np.testing.assert_array_equal(found["flag"], np.array([True, False]) ^ (steps % 2 == 1))


def test_complex_derivatives():
    def function(z):
        return tracer.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * c[1] + z), (0, z))[1]

    check_grads(function, (np.array([0.3 + 0.2j]),), order=2)


def test_empty_carries_and_rows():
    def function(x):
        return tracer.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, np.sin(c[1]) * c[1]), (0, x))[1]

    assert tracer.compile(function)(np.zeros((0, 3))).shape == (0, 3)
    assert tracer.grad(lambda x: np.sum(function(x)))(np.zeros((0, 3))).shape == (0, 3)


def test_large_tape():
    found = tracer.grad(powers)(np.float64(0.9), np.int64(0))
    assert found == 1
    wanted = 1.0
    x = 0.9
    for _ in range(3000):
        wanted *= np.cos(x / 1e3) * 1e-3 + 1
        x = x + np.sin(x / 1e3)

    def function(x, n):
        return tracer.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] + np.sin(c[1] / 1e3)), (0, x))[1]

    np.testing.assert_allclose(tracer.grad(function)(np.float64(0.9), np.int64(3000)), wanted, rtol=1e-12)


@every_backend
@pytest.mark.parametrize("every", [1, 3, 100])
def test_checkpoints(backend, every):
    def function(x):
        def body(c):
            return c[0] + 1, np.sin(c[1]) * 1.3

        return tracer.while_loop(lambda c: c[0] < 7, body, (0, x), checkpoint_every=every)[1]

    def plain(x):
        for _ in range(7):
            x = np.sin(x) * 1.3
        return x

    x = np.array([0.4, 1.0])
    np.testing.assert_allclose(tracer.compile(function, backend=backend)(x), plain(x))
    check_grads(function, (x,), order=2, backend=backend)


def test_bodies_write_into_their_carry():
    def body(state):
        state["x"][state["n"]] = state["x"][state["n"] - 1] * 2 + 1
        state["n"] = state["n"] + 1
        return state

    def function(x, n):
        return tracer.while_loop(lambda state: state["n"] < n, body, {"n": 1, "x": x})["x"]

    run = tracer.compile(function)
    for start, count in ((1.0, 5), (3.0, 2)):
        x = np.full(5, start)
        wanted = x.copy()
        for i in range(1, count):
            wanted[i] = wanted[i - 1] * 2 + 1
        np.testing.assert_array_equal(run(x, np.int64(count)), wanted)
        np.testing.assert_array_equal(x, np.full(5, start))


def test_outside_of_a_trace():
    def body(state):
        return state[0] * 2, state[1] + 1

    for limit in (10.0, 100.0):
        x, n = tracer.while_loop(lambda state, limit=limit: state[0] < limit, body, (1.0, 0))
        assert (x, n) == ((16.0, 4) if limit == 10.0 else (128.0, 7))
        assert type(n) is np.int64


def test_numbers_adapt_to_the_body():
    x, n = tracer.while_loop(lambda c: c[1] < 3, lambda c: (c[0] + np.float32(0.5), c[1] + 1), (0, 0))
    assert (x.dtype, x) == (np.float32, 1.5)
    assert (n.dtype, n) == (np.int64, 3)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("nested as (·, ·)", lambda: tracer.while_loop(lambda c: c[0] < 3, lambda c: [c[0]], (0, np.zeros(2)))),
        ("init_val['x'] of while_loop starts as float64[2]",
         lambda: tracer.while_loop(lambda c: c["i"] < 3, lambda c: {"i": c["i"], "x": c["x"][1:]},
                                   {"i": 0, "x": np.zeros(2)})),
        ("x.astype(np.float32)",
         lambda: tracer.while_loop(lambda c: c < 3, lambda c: c + np.float64(1), np.float32(0))),
        ("single truth value", lambda: tracer.while_loop(lambda c: c < 3, lambda c: c + 1, np.zeros(2))),
        ("must return it too", lambda: tracer.while_loop(lambda c: c[0] < 3, lambda c: None, np.zeros(2))),
    ],
)  # fmt: skip
def test_errors(text, call):
    with pytest.raises(tracer.errors.TraceError) as caught:
        call()
    assert text in str(caught.value)
    assert "HINT" in str(caught.value)


def test_other_errors():
    with pytest.raises(TypeError, match="must be an array or a number"):
        tracer.while_loop(lambda c: c < 3, lambda c: c, "a")
    with pytest.raises(ValueError, match="checkpoint_every must be a positive int"):
        tracer.while_loop(lambda c: c < 3, lambda c: c, 0, checkpoint_every=0)
    with pytest.raises(TypeError, match="not on symbolic variables"):
        tracer.while_loop(lambda c: c < 3, lambda c: c, tracer.tensor.dscalar("x"))
    w = tracer.shared(0.0)

    def condition(c):
        w.set(w + 1)
        return c < 3

    with pytest.raises(tracer.errors.TraceError, match="a condition only decides"):
        tracer.while_loop(condition, lambda c: c + 1, 0)
    assert w.get_value() == 0


# --- many examples at once ---------------------------------------------------------------------------------------


@every_backend
def test_examples_stop_on_their_own(backend):
    def function(x, a):
        return tracer.while_loop(lambda c: c[0] < a, lambda c: (c[0] * 1.5, np.sin(c[1]) + c[0]), (x, x))

    run = tracer.compile(tracer.vmap(function, in_axes=(0, None)), backend=backend)
    for limit in (4.0, 0.1):
        x = np.array([0.5, 5.0, 1.0, 0.2])
        found = run(x, np.float64(limit))
        for i, start in enumerate(x):
            c, d = start, start
            while c < limit:
                c, d = c * 1.5, np.sin(d) + c
            np.testing.assert_allclose([found[0][i], found[1][i]], [c, d])


@every_backend
def test_derivatives_of_many_examples(backend):
    x, a = np.array([0.5, 5.0, 1.0]), np.array([3.0, 4.0, 0.5])

    def function(x, a):
        return tracer.while_loop(lambda c: c[0] < a, lambda c: (c[0] * 1.5, np.sin(c[1]) * c[0] * a), (x, x))[1]

    one = tracer.compile(tracer.grad(function, argnums=(0, 1)))
    each = tracer.compile(tracer.vmap(tracer.grad(function, argnums=(0, 1))), backend=backend)(x, a)
    for i in range(3):
        np.testing.assert_allclose([each[0][i], each[1][i]], one(x[i], a[i]))
    check_grads(lambda x, a: tracer.vmap(function)(x, a), (x, a), order=2, backend=backend)


def test_examples_that_are_done_compute_nothing_wrong():
    def function(x):
        """Beyond the last step the logarithm would be of a negative number."""
        return tracer.while_loop(lambda c: c > 1.0, lambda c: np.log(c - 1 + 1e-3) + 1.2, x)

    x = np.array([1.5, 3.0, 0.5])
    found = tracer.grad(lambda x: np.sum(tracer.vmap(function)(x)))(x)
    np.testing.assert_allclose(found, [tracer.grad(function)(value) for value in x])
    assert np.isfinite(found).all()


def test_examples_with_one_number_of_steps():
    def function(x, n):
        return tracer.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]

    found = tracer.vmap(function, in_axes=(0, None))(np.array([1.0, 2.0, 3.0]), np.int64(2))
    np.testing.assert_array_equal(found, [1.0, 8.0, 27.0])
