"""Differentiated functions that write into arrays: their arguments, and those they close over."""

import numpy as np
import pytest

import tracer
from tracer import errors

X = np.array([0.3, -1.2, 2.0])


def f(x):
    x[0] = 2
    x *= 3
    return (x**2).sum()


def f_alone(x):
    """What f gives without a trace: its value, its gradient, and the array as it leaves it."""
    left = x.copy()
    return f(left), np.array([0, 18 * x[1], 18 * x[2]]), left


HESSIAN = np.diag([0.0, 18.0, 18.0])
CALLS = {
    "grad": (tracer.grad(f), lambda x: f_alone(x)[1]),
    "value_and_grad": (tracer.value_and_grad(f), lambda x: f_alone(x)[:2]),
    "elementwise_grad": (tracer.elementwise_grad(f), lambda x: f_alone(x)[1]),
    "jvp": (lambda x: tracer.jvp(f, (x,), (np.ones(3),)), lambda x: (f_alone(x)[0], np.sum(f_alone(x)[1]))),
    "vjp": (lambda x: tracer.vjp(f, x)[1](2.0)[0], lambda x: 2 * f_alone(x)[1]),
    "linearize": (lambda x: tracer.linearize(f, x)[1](np.ones(3)), lambda x: np.sum(f_alone(x)[1])),
    "jacfwd": (tracer.jacfwd(f), lambda x: f_alone(x)[1]),
    "jacrev": (tracer.jacrev(f), lambda x: f_alone(x)[1]),
    "hessian": (tracer.hessian(f), lambda x: HESSIAN),
    "hvp": (lambda x: tracer.hvp(f)(x, np.arange(3.0)), lambda x: HESSIAN @ np.arange(3.0)),
    "grad of grad": (tracer.grad(lambda x: np.sum(tracer.grad(f)(x))), lambda x: np.diag(HESSIAN)),
    "jvp of grad": (lambda x: tracer.jvp(tracer.grad(f), (x,), (np.ones(3),))[1], lambda x: np.diag(HESSIAN)),
    "grad of jvp": (tracer.grad(lambda x: tracer.jvp(f, (x,), (np.ones(3),))[1]), lambda x: np.diag(HESSIAN)),
    "in a trace": (tracer.compile(lambda x: tracer.grad(f)(x)), lambda x: f_alone(x)[1]),
    "vjp in a trace": (tracer.compile(lambda x: tracer.vjp(f, x)[1](1.0)[0]), lambda x: f_alone(x)[1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_gradient_is_that_at_the_given_value_and_the_array_ends_as_without_it(name):
    call, expected = CALLS[name]
    for start in (X, X + 1, 2 * X):
        x = start.copy()
        found = call(x)
        for one, other in zip(_items(found), _items(expected(start)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        np.testing.assert_allclose(x, f_alone(start)[2], rtol=1e-12)


def _items(value):
    return value if isinstance(value, tuple) else (value,)


def test_a_view_of_a_traced_array_is_written_through():
    @tracer.compile
    def outer(x):
        before = x[1:]
        gradient = tracer.grad(f)(x[1:])
        return gradient, before * 1, np.sum(x)

    for start in (np.array([5.0, 1.0, 2.0]), np.array([1.0, 4.0, 8.0])):
        x = start.copy()
        gradient, seen, total = outer(x)
        np.testing.assert_array_equal(gradient, [0, 18 * start[2]])
        np.testing.assert_array_equal(x, [start[0], 6, 3 * start[2]])
        np.testing.assert_array_equal(seen, x[1:])
        assert total == np.sum(x)


def test_a_failed_call_leaves_the_array_alone():
    def failing(x):
        x[0] = 5
        return np.sum(x) * 1j

    def failing_later(x):
        x[0] = 5
        raise KeyError("after the write")

    for function, error in ((failing, errors.NotDifferentiableError), (failing_later, KeyError)):
        x = X.copy()
        for derivative in (tracer.grad(function), tracer.hessian(function)):
            with pytest.raises(error):
                derivative(x)
            np.testing.assert_array_equal(x, X)


def test_what_is_returned_besides_is_the_argument_itself():
    x = X.copy()
    gradient, same = tracer.grad(lambda x: (f(x), x), has_aux=True)(x)
    np.testing.assert_allclose(gradient, f_alone(X)[1])
    assert same is x


def test_writing_into_an_array_of_the_outer_function():
    def plain(x, buffer):
        buffer[:] = x * 2
        buffer[0] = 7
        return 3 * np.array([0, 4 * x[1] ** 2, 4 * x[2] ** 2]) + np.array([49.0, 0, 0])

    @tracer.compile
    def outer(x, buffer):
        def inner(y):
            buffer[:] = y * 2
            buffer[0] = 7
            return np.sum(buffer**2 * y)

        return tracer.grad(inner)(x)

    for x in (X, X + 1):
        buffer, expected = np.zeros(3), np.zeros(3)
        np.testing.assert_allclose(outer(x, buffer), plain(x, expected))
        np.testing.assert_array_equal(buffer, expected)


def test_the_outer_derivative_sees_what_the_inner_function_wrote():
    def h(x):
        buffer = np.zeros_like(x)

        def inner(y):
            buffer[:] = y**2
            return np.sum(buffer * y)

        slope = tracer.grad(inner)(x)
        return np.sum(slope) + np.sum(buffer * x)

    for x in (X, X + 1):
        np.testing.assert_allclose(tracer.grad(h)(x), 6 * x + 3 * x**2)
        np.testing.assert_allclose(tracer.jacfwd(h)(x), 6 * x + 3 * x**2)


def test_a_shared_variable_updated_inside():
    w = tracer.shared(np.ones(3), name="w")

    @tracer.compile
    def step(x):
        def cost(y):
            w.set(w - 0.1 * y)
            return np.sum(w * y * y)

        return tracer.grad(cost)(x)

    np.testing.assert_allclose(step(X), 2 * X)
    np.testing.assert_allclose(w.get_value(), 1 - 0.1 * X)
    np.testing.assert_allclose(step(X + 1), 2 * (1 - 0.1 * X) * (X + 1))


def test_names_of_one_array_are_not_told_apart():
    def written_and_passed(y):
        return tracer.grad(lambda a, b: (a.__setitem__(0, 1.0), np.sum(a * b))[1])(y, y)

    def written_and_closed_over(y):
        def inner(a):
            a[0] = 1.0
            return np.sum(a * y)

        return tracer.grad(inner)(y)

    def written_by_the_other_name(y):
        def inner(a):
            y[0] = 1.0
            return np.sum(a * y)

        return tracer.grad(inner)(y)

    for function in (written_and_passed, written_and_closed_over, written_by_the_other_name):
        x = X.copy()
        with pytest.raises(errors.TraceError, match=r"(?s)another name.*HINT"):
            tracer.compile(function)(x)
        np.testing.assert_array_equal(x, X)


def test_an_array_of_the_surroundings_is_not_written():
    held = X.copy()
    with pytest.raises(errors.TraceError, match=r"(?s)surroundings.*HINT.*to f"):
        tracer.compile(lambda x: tracer.grad(f)(held) * x)(X)
    np.testing.assert_array_equal(held, X)
    with pytest.raises(TypeError, match="item assignment"):
        tracer.compile(lambda x: x * tracer.grad(lambda a: (a.__setitem__(..., 2.0), a * 2)[1])(3.0))(X)


def test_a_shared_variable_as_an_argument_is_its_value():
    w = tracer.shared(X, name="w")
    cube = lambda x: np.sum(x**3)  # noqa: E731
    for _ in range(2):
        value = w.get_value()
        for found in (tracer.grad(cube)(w), tracer.vjp(cube, w)[1](1.0)[0], tracer.compile(tracer.grad(cube))(w)):
            assert isinstance(found, np.ndarray)
            np.testing.assert_allclose(found, 3 * value**2)
        nest = tracer.grad(lambda p: np.sum(p["w"] ** 2 * p["b"]))({"w": w, "b": 2.0})
        np.testing.assert_allclose(nest["w"], 4 * value)
        w.set_value(value + 1)
    with pytest.raises(ValueError, match="read-only"):
        tracer.grad(f)(w)
    np.testing.assert_array_equal(w.get_value(), X + 2)


def test_numbers_are_bound_anew_and_arrays_without_axes_are_written():
    def cost(x):
        x *= 3
        return x**2

    for derivative in (tracer.grad(cost), tracer.jacfwd(cost), tracer.compile(lambda x: tracer.grad(cost)(x))):
        for start in (2.0, 5.0):
            number, array = np.float64(start), np.array(start)
            assert np.isclose(derivative(number), 18 * start) and number == start
            assert np.isclose(derivative(array), 18 * start) and array == 3 * start
