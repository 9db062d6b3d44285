"""Jacobians, Hessians and products with them: nests, complex numbers, compositions, errors."""

import dataclasses
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen_hess

import tracer
from tracer import errors

X = np.array([0.3, -1.2, 2.0])
Z = np.array([1 + 2j, -0.5 + 0.25j])
Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any


def finite_differences(f, x, step=1e-6):
    """The Jacobian of f at an array, of shape f(x).shape + x.shape."""
    columns = []
    for place in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[place] = step
        columns.append((np.asarray(f(x + move)) - np.asarray(f(x - move))) / (2 * step))
    return np.reshape(np.stack(columns, axis=-1), np.shape(columns[0]) + x.shape)


FUNCTIONS = {
    "wide": lambda x: np.stack([np.sum(np.sin(x) * x[::-1]), np.prod(x)]),
    "tall": lambda x: np.outer(x, np.exp(x)).ravel(),
    "scalar": lambda x: np.sum(x**3) / (1 + x[0] ** 2),
    "matrix": lambda x: np.outer(x, x) @ np.diag(np.tanh(x)),
    "in place": lambda x: (lambda y: (y.__setitem__(slice(1, None), y[:-1] ** 2), y)[1])(x * 2.0),
    "loop": lambda x: np.stack([x[i] * x[i - 1] for i in range(3)]),
    "sorted": lambda x: np.sort(x) * np.arange(1.0, 4.0),
    "cumulated": lambda x: np.cumsum(np.cumprod(x)),
    "solved": lambda x: np.linalg.solve(np.diag(x) + 0.1, np.ones(3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", [tracer.jacfwd, tracer.jacrev, tracer.jacobian])
def test_jacobians_are_those_of_finite_differences(name, transform):
    f = FUNCTIONS[name]
    for x in (X, X + 0.7):
        np.testing.assert_allclose(transform(f)(x), finite_differences(f, x), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_modes_compose(name):
    def cost(x):
        return np.sum(np.sin(FUNCTIONS[name](x)))

    for x in (X, X + 0.7):
        expected = finite_differences(tracer.grad(cost), x)
        for second in (
            tracer.hessian(cost),
            tracer.jacfwd(tracer.jacrev(cost)),
            tracer.jacrev(tracer.jacfwd(cost)),
            tracer.jacfwd(tracer.jacfwd(cost)),
            tracer.jacrev(tracer.jacrev(cost)),
            tracer.jacobian(tracer.grad(cost)),
            tracer.compile(lambda x: tracer.hessian(cost)(x)),
        ):
            np.testing.assert_allclose(second(x), expected, rtol=1e-5, atol=1e-6)
        for product in (
            tracer.hvp(cost)(x, X),
            tracer.jvp(tracer.grad(cost), (x,), (X,))[1],
            tracer.grad(lambda x: tracer.jvp(cost, (x,), (X,))[1])(x),
            tracer.grad(lambda x: np.sum(tracer.grad(cost)(x) * X))(x),
        ):
            np.testing.assert_allclose(product, expected @ X, rtol=1e-5, atol=1e-6)


def test_batched_gradients_and_gradients_of_batches():
    rows = np.stack([X, X + 1, 2 * X])
    f = FUNCTIONS["scalar"]
    np.testing.assert_allclose(tracer.vmap(tracer.grad(f))(rows), [tracer.grad(f)(x) for x in rows])
    np.testing.assert_allclose(tracer.vmap(tracer.hessian(f))(rows), [tracer.hessian(f)(x) for x in rows])
    np.testing.assert_allclose(
        tracer.grad(lambda a: np.sum(tracer.vmap(f)(a) ** 2))(rows), [2 * f(x) * tracer.grad(f)(x) for x in rows]
    )
    np.testing.assert_allclose(
        tracer.jacobian(tracer.vmap(f))(rows),
        finite_differences(lambda a: np.stack([f(x) for x in a]), rows),
        atol=1e-7,
    )


def test_hessian_of_rosenbrock_is_one_batched_program():
    def rosenbrock(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    hessian = tracer.compile(tracer.hessian(rosenbrock))
    for x in (np.linspace(-1, 1, 100), np.linspace(0, 2, 100)):
        np.testing.assert_allclose(hessian(x), rosen_hess(x), rtol=1e-10, atol=1e-9)
    assert hessian.cache_info().traces == 1
    graph = hessian.plan(np.zeros(100)).graph
    assert len(graph.nodes()) < 100 and not any(node.op.name == "scan" for node in graph.nodes())


# --- nests -------------------------------------------------------------------------------------------------------


def test_a_jacobian_of_nests_is_a_nest_of_nests():
    def f(p, scale):
        return {"product": p.w @ p.b * scale, "rest": (p.b[0], np.outer(p.b, p.b))}

    for shift in (0.0, 1.0):
        layer = Layer(np.arange(6.0).reshape(2, 3) + shift, X + shift)
        for transform in (tracer.jacfwd, tracer.jacrev, tracer.jacobian):
            found = transform(f)(layer, 2.0)["product"]
            assert isinstance(found, Layer) and found.w.shape == (2, 2, 3) and found.b.shape == (2, 3)
            np.testing.assert_allclose(found.b, 2 * layer.w)
            np.testing.assert_allclose(found.w, 2 * np.einsum("ik,j->ikj", np.eye(2), layer.b))
            both = transform(f, argnums=(0, -1))(layer, 2.0)
            found, by_scale = both["product"]
            np.testing.assert_allclose(by_scale, layer.w @ layer.b)
            first, outer = both["rest"][0][0], both["rest"][1][0]
            np.testing.assert_array_equal(first.b, [1, 0, 0])
            np.testing.assert_array_equal(first.w, np.zeros((2, 3)))
            assert outer.w.shape == (3, 3, 2, 3) and outer.b.shape == (3, 3, 3)


def test_a_hessian_of_nests():
    def f(p, c):
        return np.sum(p.a) ** 2 * p.b + c * p.b**3

    for shift in (0.0, 1.0):
        p = Pair(X[:2] + shift, 2.0 + shift)
        found = tracer.hessian(f)(p, 5.0)
        assert isinstance(found, Pair) and isinstance(found.a, Pair)
        np.testing.assert_allclose(found.a.a, np.full((2, 2), 2 * p.b))
        np.testing.assert_allclose(found.a.b, np.full(2, 2 * np.sum(p.a)))
        np.testing.assert_allclose(found.b.a, found.a.b)
        np.testing.assert_allclose(found.b.b, 30 * p.b)
        by_p, by_c = tracer.hessian(f, argnums=(0, 1))(p, 5.0)
        np.testing.assert_allclose(by_p.b[0].b, 30 * p.b)
        np.testing.assert_allclose(by_p.a[0].a, found.a.a)
        np.testing.assert_allclose(by_p.b[1], 3 * p.b**2)
        np.testing.assert_allclose(by_c[0].b, by_p.b[1])
        assert by_c[1] == 0
        product = tracer.hvp(f)(p, 5.0, Pair(np.ones(2), 1.0))
        np.testing.assert_allclose(product.b, np.sum(found.b.a) + found.b.b)


def test_auxiliary_results_and_integers():
    for x in (X, X + 1):
        jacobian, aux = tracer.jacobian(lambda x: (x**2, {"sum": np.sum(x), "label": "kept"}), has_aux=True)(x)
        np.testing.assert_allclose(jacobian, np.diag(2 * x))
        assert np.isclose(aux["sum"], np.sum(x)) and aux["label"] == "kept"
        hessian, same = tracer.hessian(lambda x: (np.sum(x**3), x), has_aux=True)(x)
        np.testing.assert_allclose(hessian, np.diag(6 * x))
        np.testing.assert_array_equal(same, x)
    nest = {"n": np.arange(3), "x": X, "k": 4}
    found = tracer.grad(lambda p: np.sum(p["n"] * p["x"]) * p["k"], allow_int=True)(nest)
    np.testing.assert_array_equal(found["n"], np.zeros(3))
    np.testing.assert_array_equal(found["x"], 4.0 * np.arange(3))
    assert found["k"] == 0 and found["n"].dtype == np.float64
    found = tracer.jacobian(lambda p: p["n"] * p["x"], allow_int=True)(nest)
    np.testing.assert_array_equal(found["x"], np.diag(np.arange(3.0)))
    assert found["n"].shape == (3, 3) and not found["n"].any()
    order, doubled = tracer.jacobian(lambda x: (np.argsort(x), 2 * x))(X)
    assert order.shape == (3, 3) and not order.any()
    np.testing.assert_array_equal(doubled, 2 * np.eye(3))
    assert tracer.jacobian(lambda x: x * 2)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert tracer.jacrev(lambda x: x * 2)(X.astype(np.float32)).dtype == np.float32


# --- complex numbers ---------------------------------------------------------------------------------------------


def test_complex_jacobians():
    for z in (Z, Z + 1):
        holomorphic = lambda z: z**3 * z[0]  # noqa: E731
        expected = np.diag(3 * z**2 * z[0])
        expected[:, 0] += z**3
        for transform in (tracer.jacfwd, tracer.jacrev, tracer.jacobian):
            np.testing.assert_allclose(transform(holomorphic, holomorphic=True)(z), expected)
        for transform in (tracer.jacrev, tracer.jacobian):
            np.testing.assert_allclose(transform(lambda z: np.abs(z) ** 2)(z), np.diag(2 * np.conj(z)))
        for transform in (tracer.jacfwd, tracer.jacobian):
            np.testing.assert_allclose(transform(lambda x: np.exp(1j * x))(z.real), np.diag(1j * np.exp(1j * z.real)))
        np.testing.assert_allclose(tracer.grad(lambda z: np.sum(z**3), holomorphic=True)(z), 3 * z**2)
        np.testing.assert_allclose(tracer.elementwise_grad(np.exp, holomorphic=True)(z), np.exp(z))
        value, slope = tracer.value_and_grad(lambda z: np.sum(np.sin(z)), holomorphic=True)(z)
        np.testing.assert_allclose((value, *slope), (np.sum(np.sin(z)), *np.cos(z)))


@pytest.mark.parametrize(
    "derivative",
    [
        lambda: tracer.jacfwd(lambda z: np.abs(z))(Z),
        lambda: tracer.jacrev(lambda x: np.exp(1j * x))(X),
        lambda: tracer.jacobian(lambda z: z * 2)(Z),
        lambda: tracer.grad(lambda z: np.sum(z**2), holomorphic=True)(X),
        lambda: tracer.grad(lambda z: np.sum(np.abs(z)), holomorphic=True)(Z),
        lambda: tracer.grad(lambda z: np.sum(z**2))(Z),
        lambda: tracer.elementwise_grad(lambda z: z**2)(Z),
    ],
)
def test_a_complex_derivative_that_is_not_one_number(derivative):
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)HINT.*holomorphic"):
        derivative()


# --- what is given -----------------------------------------------------------------------------------------------


def test_elementwise_gradient():
    for x in (X, X + 1):
        np.testing.assert_allclose(tracer.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
        dx, dy = tracer.elementwise_grad(lambda x, y: np.sin(x) * y, argnums=(0, 1))(x, 2.0)
        np.testing.assert_allclose(dx, 2 * np.cos(x))
        assert np.isclose(dy, np.sum(np.sin(x)))
        second = tracer.elementwise_grad(tracer.elementwise_grad(np.sin))
        np.testing.assert_allclose(second(x), -np.sin(x))


def test_argnums():
    f = lambda x, y: np.sum(x * y)  # noqa: E731
    np.testing.assert_array_equal(tracer.grad(f, argnums=-2)(X, 2.0), np.full(3, 2.0))
    assert [float(tracer.grad(f, argnums=-1)(X, float(y))) for y in range(3)] == [np.sum(X)] * 3
    dy, dx = tracer.grad(f, argnums=(-1, 0))(X, 2.0)
    assert dx.shape == (3,) and np.isclose(dy, np.sum(X))
    for wrong, error in ((1.5, TypeError), (True, TypeError), ((), ValueError), ((0, 0), ValueError)):
        with pytest.raises(error, match=r"(?s)different ints.*HINT"):
            tracer.grad(f, argnums=wrong)
    with pytest.raises(ValueError, match="different ints"):
        tracer.jacobian(f, argnums=(1, -1))(X, 2.0)
    for transform in (tracer.grad, tracer.jacobian):
        with pytest.raises(TypeError, match="argument -3"):
            transform(f, argnums=-3)(X, 2.0)
    with pytest.raises(TypeError, match="argument 2"):
        tracer.hvp(f, argnums=2)(X, 2.0, X)
    with pytest.raises(TypeError, match="argnums asks"):
        tracer.hvp(f)()


def test_errors_name_the_function_and_what_to_use():
    def my_model(x):
        return x * 2

    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)my_model returned.*jacobian\(my_model\).*wise_grad"):
        tracer.grad(my_model)(X)
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)my_model must return \(value.*an array.*HINT"):
        tracer.grad(my_model, has_aux=True)(X)
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)NoneType.*HINT"):
        tracer.grad(lambda x: None)(X)
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)p\['n'\].*int64.*HINT.*allow_int"):
        tracer.hessian(lambda p: np.sum(p["n"] * 1.5))({"n": np.arange(3)})


def test_vectors_that_do_not_fit():
    f = lambda a, p: np.sum(a) * np.sum(p["w"] ** 2)  # noqa: E731
    with pytest.raises(ValueError, match=r"(?s)tangent for p\['w'\].*float64\[2\].*float64\[3\].*HINT"):
        tracer.hvp(f, argnums=1)(X, {"w": X}, {"w": np.ones(2)})
    with pytest.raises(TypeError, match=r"(?s)nest like .*\{'w': \*\}, but is \*.*HINT"):
        tracer.hvp(f, argnums=1)(X, {"w": X}, np.ones(3))
