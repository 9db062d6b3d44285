"""Fixed points and roots: their derivatives by the implicit function theorem, of both modes and any order."""

import numpy as np
import pytest
import scipy.optimize

import tracer
from tracer import errors
from tracer.testing import check_grads

RNG = np.random.default_rng(2)
A, B = 0.2 * RNG.random((4, 4)), RNG.random(4)


def square_root(a):
    return tracer.fixed_point(lambda x, a: 0.5 * (x + a / x), a, a)


def newton(f, x):
    for _ in range(20):
        x = x - f(x) / tracer.grad(f)(x)
    return x


def cube_root(a):
    return tracer.custom_root(lambda x: x**3 - a, 1.5, newton)


def cube_root_by_slope(a):
    return tracer.custom_root(lambda x: x**3 - a, 1.5, newton, lambda g, y: y / g(1.0))


@pytest.mark.parametrize(
    ("root", "power"),
    [(square_root, 1 / 2), (cube_root, 1 / 3), (cube_root_by_slope, 1 / 3)],
    ids=["fix", "root", "own"],
)
def test_every_order_and_mode(root, power):
    expected = lambda a: a**power  # noqa: E731
    derivative, wanted = root, expected
    for _ in range(4):
        for a in (2.0, 5.0):
            np.testing.assert_allclose(derivative(a), wanted(a), rtol=1e-8)
        derivative, wanted = tracer.grad(derivative), tracer.grad(wanted)
    many = np.array([1.0, 2.0, 5.0])
    for own, other in ((root, expected), (tracer.grad(root), tracer.grad(expected))):
        found = tracer.jvp(own, (3.0,), (2.0,)), tracer.vmap(own)(many)
        np.testing.assert_allclose(found[0], tracer.jvp(other, (3.0,), (2.0,)), rtol=1e-9)
        np.testing.assert_allclose(found[1], other(many) if own is root else power * many ** (power - 1), rtol=1e-9)
    summed = tracer.grad(lambda a: np.sum(tracer.vmap(root)(a)))
    for scale in (1.0, 3.0):
        np.testing.assert_allclose(summed(many * scale), power * (many * scale) ** (power - 1), rtol=1e-9)


def solution(a, b):
    start = {"x": np.zeros(4), "y": np.zeros(4)}
    return tracer.fixed_point(lambda s: {"x": a @ s["y"] + b, "y": 0.5 * s["x"]}, start)["x"]


def solution_by_root(a, b):
    def f(x):
        return {"residual": [x["v"] - 0.5 * a @ x["v"] - b]}

    return tracer.custom_root(f, {"v": np.zeros(4)}, lambda f, guess: {"v": np.linalg.solve(np.eye(4) - 0.5 * a, b)})[
        "v"
    ]


@pytest.mark.parametrize("own", [solution, solution_by_root])
def test_nests_and_closures(own):
    def expected(a, b):
        return np.linalg.solve(np.eye(4) - 0.5 * a, b)

    transforms = [
        lambda f: f,
        lambda f: tracer.grad(lambda a, b: np.sum(f(a, b) ** 2), argnums=(0, 1)),
        lambda f: lambda a, b: tracer.jvp(f, (a, b), (b * a, b)),
        lambda f: lambda a, b: tracer.hessian(lambda b: np.sum(f(a, b) ** 3))(b),
        lambda f: lambda a, b: tracer.vmap(f, in_axes=(None, 0))(a, np.stack([b, 2 * b])),
    ]
    for transform in transforms:
        one, two = tracer.compile(transform(own)), tracer.compile(transform(expected))
        for scale in (1.0, 1.5):
            pairs = zip(*(tracer.tree.flatten(f(A * scale, B))[0] for f in (one, two)), strict=True)
            for found, wanted in pairs:
                np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)


def test_a_solver_that_is_foreign():
    def f(x, a):
        return np.array([x[0] ** 2 + x[1] - a, x[1] ** 3 - x[0]])

    def root(a):
        def solve(f_, guess):
            found = lambda a: scipy.optimize.fsolve(f, np.ones(2), args=(a,), xtol=1e-13)  # noqa: E731
            return tracer.pure_callback(found, guess, a)

        return tracer.custom_root(lambda x: np.stack([x[0] ** 2 + x[1] - a, x[1] ** 3 - x[0]]), np.ones(2), solve)

    np.testing.assert_allclose(f(root(3.0), 3.0), 0, atol=1e-10)
    check_grads(lambda a: np.sum(root(a) ** 2), (2.0,))
    check_grads(lambda a: np.sum(root(a) ** 2), (3.0,))


def test_plain_arrays_and_integers():
    assert np.isclose(tracer.fixed_point(np.cos, 1), 0.7390851332151607)
    assert np.isclose(tracer.fixed_point(np.cos, np.float32(1)), 0.73908514)
    slope = tracer.grad(lambda a: tracer.fixed_point(lambda x: a * np.cos(x), 1))
    check_grads(lambda a: tracer.fixed_point(lambda x: a * np.cos(x), 1), (0.9,), order=2)
    assert slope(0.5) != slope(0.6)
    x = tracer.compile(lambda a: tracer.fixed_point(lambda x: np.cos(a * x), np.float32(1)))(np.float32(1))
    assert x.dtype == np.float32


def test_what_does_not_converge_is_an_error():
    for call in (
        lambda: tracer.fixed_point(lambda x: 2 * x + 1, 1.0, max_iterations=20),
        lambda: tracer.compile(lambda a: tracer.fixed_point(lambda x: 2 * x + a, 1.0, max_iterations=20))(np.ones(())),
        lambda: tracer.vmap(lambda a: tracer.fixed_point(lambda x: a * x + 1, 1.0, max_iterations=30))(
            np.array([0.1, 2.0])
        ),
    ):
        with pytest.raises(errors.ConvergenceError, match=r"[23]0 iterations") as caught:
            call()
        assert "HINT" in str(caught.value)
    loose = tracer.compile(lambda a: tracer.fixed_point(lambda x: 0.9 * x + a, 1.0, tolerance=1e-2))
    tight = tracer.compile(lambda a: tracer.fixed_point(lambda x: 0.9 * x + a, 1.0))
    assert 1e-8 < abs(loose(np.float64(2)) - 20) < 3 and abs(tight(np.float64(2)) - 20) < 1e-10


def test_wrong_results_are_errors():
    def check(f):
        with pytest.raises(TypeError, match="keeps its structure"):
            tracer.grad(lambda a: tracer.fixed_point(lambda x: f(a * x), 1.0))(1.0)
        with pytest.raises(TypeError, match="keeps its structure"):
            tracer.fixed_point(f, 1.0)

    check(lambda x: np.stack([x, x]))
    check(lambda x: (x, x))
    with pytest.raises(TypeError, match="HINT"):
        tracer.grad(lambda a: tracer.custom_root(lambda x: np.stack([x, a]), 1.0, lambda f, x: x))(1.0)
    with pytest.raises(errors.NotDifferentiableError, match="tangent_solve"):
        tracer.grad(lambda a: np.abs(tracer.custom_root(lambda z: z**2 + a, 1j, lambda f, z: z * np.sqrt(a))))(2.0)
