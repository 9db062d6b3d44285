"""Derivatives of functions and of traced values, to any order, and the checker itself."""

import functools

import numpy as np
import pytest

import tracer
from tracer import errors
from tracer.graph.op import OPS, Op
from tracer.testing import check_grads

X = np.array([0.3, -1.2, 2.0])


def test_value_and_grad_with_argnums_and_containers():
    def f(params, x, scale):
        w, b = params["w"], params["b"]
        return np.sum(np.tanh(x @ w + b) * scale)

    random = np.random.default_rng(0)
    params = {"w": random.standard_normal((3, 2)), "b": np.zeros(2)}
    x, scale = random.standard_normal((5, 3)), np.float64(2.0)
    value, (dparams, dscale) = tracer.value_and_grad(f, argnums=(0, 2))(params, x, scale)
    assert np.isclose(value, f(params, x, scale))
    assert set(dparams) == {"w", "b"} and dparams["w"].shape == (3, 2)
    assert np.isclose(dscale, f(params, x, 1.0))
    check_grads(f, (params, x, scale), order=2)


def test_has_aux():
    def f(x):
        y = x * 2
        return np.sum(y**2), {"y": y, "label": "kept"}

    (value, aux), gradient = tracer.value_and_grad(f, has_aux=True)(X)
    assert np.isclose(value, np.sum(4 * X**2)) and aux["label"] == "kept"
    np.testing.assert_allclose(aux["y"], 2 * X)
    np.testing.assert_allclose(gradient, 8 * X)
    gradient, aux = tracer.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(gradient, 8 * X)


def test_python_floats_are_differentiated_without_a_plan_for_each():
    derivative = tracer.grad(lambda x: x**3)
    assert [float(derivative(float(v))) for v in range(4)] == [0, 3, 12, 27]
    compiled = tracer.compile(tracer.grad(lambda x: x**3))
    assert [float(compiled(float(v))) for v in range(4)] == [0, 3, 12, 27]
    assert compiled.cache_info().traces == 1


def test_a_transform_made_again_is_not_traced_again():
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**3)

    @functools.wraps(f)
    def doubled(x):
        return 2 * f(x)

    counts = []
    for _ in range(4):
        np.testing.assert_allclose(tracer.grad(f)(X), 3 * X**2)
        np.testing.assert_allclose(tracer.value_and_grad(f)(X)[1], 3 * X**2)
        np.testing.assert_allclose(tracer.jvp(f, (X,), (X,))[1], np.sum(3 * X**3))
        counts.append(len(calls))
    # Each changes `calls`, which the others read: they look once more, and then know that it always changes.
    assert counts == [3, 6, 6, 6]
    np.testing.assert_allclose(tracer.grad(functools.wraps(f)(lambda x: 2 * f(x)))(X), 6 * X**2)
    np.testing.assert_allclose(tracer.grad(doubled)(X), 6 * X**2)
    np.testing.assert_allclose(tracer.grad(f, argnums=(0,))(X)[0], 3 * X**2)


def test_any_order():
    f = np.sin
    for order in range(1, 6):
        f = tracer.grad(f)
        expected = [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin, np.cos][order - 1]
        assert np.isclose(f(0.7), expected(0.7))


def test_a_closed_over_traced_value_is_constant_for_the_inner_gradient():
    @tracer.compile
    def f(x):
        return tracer.grad(lambda y: np.sum(y * x))(x)

    np.testing.assert_array_equal(f(X), X)
    # The outer derivative still sees it: d/dx of x * (d/dy y*x at y=x) = d/dx x*x.
    assert tracer.grad(lambda x: x * tracer.grad(lambda y: y * x)(x))(3.0) == 6


def test_grad_of_traced_values_with_respect_to_intermediates_and_arguments():
    @tracer.compile
    def f(x):
        hidden = np.exp(x)
        cost = np.sum(hidden**2)
        return tracer.grad(cost, hidden), tracer.grad(cost, [x, hidden]), tracer.grad(cost, (x,))

    dh, both, alone = f(X)
    np.testing.assert_allclose(dh, 2 * np.exp(X))
    assert isinstance(both, list) and isinstance(alone, tuple)
    np.testing.assert_allclose(both[0], 2 * np.exp(2 * X))
    np.testing.assert_allclose(alone[0], both[0])


def test_disconnected_inputs():
    with pytest.raises(errors.DisconnectedInputError, match="does not depend"):
        tracer.compile(lambda x, y: tracer.grad(np.sum(x), y))(X, X)
    ignored = tracer.compile(lambda x, y: tracer.grad(np.sum(x), y, disconnected_inputs="ignore"))
    np.testing.assert_array_equal(ignored(X, X), np.zeros(3))
    with pytest.warns(UserWarning, match="does not depend"):
        tracer.compile(lambda x, y: tracer.grad(np.sum(x), y, disconnected_inputs="warn"))(X, X)
    with pytest.raises(ValueError, match="raise"):
        tracer.compile(lambda x: tracer.grad(np.sum(x), x, disconnected_inputs="maybe"))(X)
    np.testing.assert_array_equal(tracer.grad(lambda x, y: np.sum(x), argnums=1)(X, X), np.zeros(3))


def test_an_integer_value_gets_the_gradient_of_its_float_counterpart():
    f = tracer.compile(lambda n: tracer.grad(np.sum(n * 1.5), n))
    got = f(np.arange(3))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [1.5, 1.5, 1.5])


def test_set_is_refused_as_wrt():
    with pytest.raises(TypeError, match="order"):
        tracer.compile(lambda x: tracer.grad(np.sum(x), {x}))(X)


def test_forward_mode():
    value, tangent = tracer.jvp(lambda x, y: (x * y, np.sin(x)), (X, 2 * X), (np.ones(3), np.zeros(3)))
    np.testing.assert_allclose(value[0], 2 * X * X)
    np.testing.assert_allclose(tangent[0], 2 * X)
    np.testing.assert_allclose(tangent[1], np.cos(X))


def test_gradient_keeps_float32():
    gradient = tracer.grad(lambda x: np.mean(np.exp(x) * 2.0))(X.astype(np.float32))
    assert gradient.dtype == np.float32


def test_complex_gradient_convention():
    z = np.array([1 + 2j, -0.5 + 0.25j])
    np.testing.assert_allclose(tracer.grad(lambda z: np.sum(np.abs(z) ** 2))(z), 2 * np.conj(z))
    np.testing.assert_allclose(tracer.grad(lambda z: np.sum(np.real(z * (1 + 1j))))(z), [1 + 1j] * 2)
    check_grads(lambda z: np.sum(np.abs(np.exp(z) * z)), (z,), order=2)


def naive_cross_entropy(z, y):
    p = 1 / (1 + np.exp(-z))
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_naive_cross_entropy_is_finite_far_out(dtype):
    z = np.array([1000, -1000, 1000, -1000, 0.5, -3], dtype)
    y = np.array([1, 0, 0, 1, 1, 0], dtype)
    value, gradient = tracer.value_and_grad(naive_cross_entropy)(z, y)
    exact = np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
    assert np.isclose(value, exact, rtol=1e-6)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(gradient, (1 / (1 + np.exp(-z)) - y) / 6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x, w, b: 1 / (1 + np.exp(-(x @ w) - b)),
        lambda x, w, b: 1.0 / (1.0 + np.exp(-1 * (x @ w + b))),
        lambda x, w, b: np.exp(x @ w + b) / (1 + np.exp(x @ w + b)),
        lambda x, w, b: 0.5 * (1 + np.tanh((x @ w + b) / 2)),
    ],
)
def test_spellings_of_the_logistic_function_are_stable(spelling):
    x, w, b = np.array([[400.0], [-400.0]]), np.array([3.0]), np.float64(0.1)
    y = np.array([0.0, 1.0])

    def cost(w, b):
        p = spelling(x, w, b)
        return np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))

    value, (dw, db) = tracer.value_and_grad(cost, argnums=(0, 1))(w, b)
    assert np.isclose(value, 1200) and np.isfinite(dw).all() and np.isfinite(db)


def test_naive_softmax_and_its_logarithm_are_stable():
    def loss(z):
        p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
        return -np.mean(np.log(p)[:, 0])

    value, gradient = tracer.value_and_grad(loss)(np.array([[1000.0, 0.0], [0.0, 1000.0]]))
    assert np.isclose(value, 500)
    np.testing.assert_allclose(gradient, [[0, 0], [-0.5, 0.5]], atol=1e-12)


def test_second_derivatives_through_indexing_reductions_and_products():
    random = np.random.default_rng(1)
    a, b = random.standard_normal((4, 3)), random.standard_normal((3, 4))
    check_grads(lambda a, b: np.prod(np.max(a @ b, axis=1)) + np.sum(a[[0, 0, 2]] ** 3), (a, b), order=2)
    check_grads(lambda a: np.linalg.norm(a[1:] - a[:-1]) + np.std(a) + np.var(a, axis=0).sum(), (a,), order=2)


def test_in_place_code_differentiates():
    def f(x):
        a = x * 1.0
        a[1:] += a[:-1] ** 2
        a[0] = 3.0
        a[::2] *= a[1]
        return np.sum(np.sin(a))

    check_grads(f, (X,), order=2)


def test_the_checker_fails_on_a_wrong_rule(monkeypatch):
    monkeypatch.setattr(OPS["tanh"], "deriv", (lambda y, x: 1 - y,))
    for mode in ("reverse", "forward"):
        with pytest.raises(AssertionError, match=mode):
            check_grads(np.tanh, (X,), modes=(mode,))


def test_the_checker_fails_on_a_wrong_second_order(monkeypatch):
    monkeypatch.setattr(OPS["cos"], "deriv", (lambda y, x: np.sin(x),))
    check_grads(np.sin, (X,), order=1)
    for mode in ("reverse", "forward"):
        with pytest.raises(AssertionError, match=f"of {mode}"):
            check_grads(np.sin, (X,), order=2, modes=(mode,))


def test_something_without_a_derivative_says_so():
    opaque = Op("opaque", "call", infer=lambda types: types[0], evaluate=np.sin)
    np.testing.assert_array_equal(tracer.compile(lambda x: opaque(x))(X), np.sin(X))
    for derivative in (tracer.grad(lambda x: np.sum(opaque(x))), lambda x: tracer.jvp(lambda v: opaque(v), (x,), (x,))):
        with pytest.raises(errors.NotDifferentiableError, match=r"(?s)opaque.*HINT.*test_gradients"):
            derivative(X)


def test_steps_have_zero_gradient():
    np.testing.assert_array_equal(tracer.grad(lambda x: np.sum(np.floor(x) + (x > 0) + np.sign(x)))(X), np.zeros(3))


def test_a_long_chain_does_not_recurse():
    def f(x):
        for _ in range(3000):
            x = x + np.sin(x) * 1e-4
        return np.sum(x)

    assert np.isfinite(tracer.grad(f)(X)).all()
