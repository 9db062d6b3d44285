"""`cond` and `switch`: values, laziness, derivatives, nests, many examples at once, and errors."""

import numpy as np
import pytest

import tracer
from tracer.testing import check_grads

RNG = np.random.default_rng(5)
every_backend = pytest.mark.parametrize("backend", ["reference", "cpu"])


@every_backend
def test_cond(backend):
    def function(x, y):
        small = {"a": np.sin(x) * y, "b": (np.sum(x), 1)}
        return tracer.cond(np.sum(x) > 0, lambda v: small, lambda v: {"b": (x[0], 2.5), "a": v * v}, x)

    run = tracer.compile(function, backend=backend)
    for sign in (1, -1, 1):
        x, y = sign * np.array([0.3, 0.4]), np.array([1.0, 2.0])
        found = run(x, y)
        np.testing.assert_allclose(found["a"], np.sin(x) * y if sign > 0 else x * x)
        np.testing.assert_allclose(found["b"], (np.sum(x), 1) if sign > 0 else (x[0], 2.5))
        check_grads(function, (x, y), order=2, backend=backend)
    assert run.cache_info().traces == 1


@every_backend
def test_switch(backend):
    functions = [lambda x: x * 2, np.sin, lambda x: np.exp(x) / 2, lambda x: x**2, np.cos]

    def function(i, x):
        return tracer.switch(i, functions, x)

    run = tracer.compile(function, backend=backend)
    for i in (-7, 0, 1, 2, 3, 4, 99):
        x = RNG.standard_normal(3)
        np.testing.assert_allclose(run(np.int64(i), x), functions[min(max(i, 0), 4)](x))
        check_grads(lambda x, i=i: function(np.int64(i), x), (x,), order=2, backend=backend)
    assert run.cache_info().traces == 1
    np.testing.assert_array_equal(run(np.int8(-1), np.ones(3)), 2)
    np.testing.assert_array_equal(run(np.array([1], np.uint8), np.zeros(3)), 0)


def test_the_other_branch_does_nothing():
    def function(x, place):
        return tracer.cond(place < 3, lambda: x[place], lambda: np.float64(-1.0))

    run = tracer.compile(function)
    assert run(np.arange(3.0), np.int64(2)) == 2
    assert run(np.arange(3.0), np.int64(5)) == -1
    with pytest.raises(IndexError):
        run(np.arange(3.0), np.int64(-9))


def test_outside_of_a_trace_a_function_is_called():
    seen = []
    assert tracer.cond(np.array([3.0]), lambda x: seen.append(1) or x, lambda x: seen.append(2) or x, "text") == "text"
    assert tracer.switch(5, [seen.append, lambda x: seen.append(-x)], 7) is None
    assert seen == [1, -7]
    assert tracer.compile(lambda x: tracer.cond(True, lambda: x, lambda: x[:1]))(np.ones(3)).shape == (3,)
    assert tracer.compile(lambda x: tracer.switch(0, [lambda: x, lambda: x[:1]]))(np.ones(3)).shape == (3,)


def test_static_operands_stay_what_they_are():
    def function(x, mode):
        return tracer.cond(x > 0, lambda x, m: x if m == "same" else -x, lambda x, m: x * 0, x, mode)

    assert tracer.compile(function)(np.float64(2), "same") == 2
    assert tracer.compile(function)(np.float64(2), "other") == -2


def test_gradient_with_respect_to_what_a_branch_closes_over():
    @tracer.compile
    def function(x):
        h = np.tanh(x)
        y = tracer.cond(np.sum(x) > 0, lambda: h * 2, lambda: h * h)
        return tracer.grad(np.sum(y), h)

    np.testing.assert_allclose(function(np.ones(2)), 2)
    np.testing.assert_allclose(function(-np.ones(2)), 2 * np.tanh(-1))


@every_backend
def test_many_examples(backend):
    def function(x):
        return tracer.cond(x > 1, lambda: np.log(x - 1), lambda: x * x)

    def choice(i, x):
        return tracer.switch(i, [np.sin, np.cos, np.exp], x)

    x = np.array([0.5, 3.0, 1.5])
    found = tracer.compile(tracer.vmap(function), backend=backend)(x)
    np.testing.assert_allclose(found, [0.25, np.log(2), np.log(0.5)])
    found = tracer.compile(tracer.grad(lambda x: np.sum(tracer.vmap(function)(x))), backend=backend)(x)
    np.testing.assert_allclose(found, [1.0, 0.5, 2.0])
    found = tracer.compile(tracer.vmap(tracer.grad(choice, argnums=1)), backend=backend)(np.arange(3), x)
    np.testing.assert_allclose(found, [np.cos(x[0]), -np.sin(x[1]), np.exp(x[2])])


@pytest.mark.parametrize(
    ("kind", "text", "call"),
    [
        (tracer.errors.TraceError, "differ in result['b']: (2,) and (1,)",
         lambda p, x: tracer.cond(p, lambda: {"a": x, "b": x}, lambda: {"a": x, "b": x[:1]})),
        (tracer.errors.TraceError, "{'a': ·} and [·]", lambda p, x: tracer.cond(p, lambda: {"a": x}, lambda: [x])),
        (tracer.errors.TraceError, "single truth value", lambda p, x: tracer.cond(x, lambda: x, lambda: x)),
        (TypeError, "must be one integer, not float64[2]", lambda p, x: tracer.switch(x, [np.sin, np.cos], x)),
        (ValueError, "at least one branch", lambda p, x: tracer.switch(p, [], x)),
    ],
)  # fmt: skip
def test_errors(kind, text, call):
    with pytest.raises(kind) as caught:
        tracer.compile(call)(np.array(True), np.ones(2))
    assert text in str(caught.value)
    assert "HINT" in str(caught.value)


def test_symbolic_variables_have_functions_of_their_own():
    with pytest.raises(TypeError, match="ifelse"):
        tracer.cond(tracer.tensor.dscalar("x"), lambda: 1.0, lambda: 2.0)
