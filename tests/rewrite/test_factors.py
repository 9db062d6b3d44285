"""A matrix is factored once for all that is asked of it: NumPy's numbers, errors and dtypes."""

import numpy as np
import pytest

import tracer
from tracer.ops.factors import DETERMINANT_OF_FACTORS, FACTORS, INVERSE_OF_FACTORS, SOLVE_BY_FACTORS

RNG = np.random.default_rng(5)
SIZE = 40


def matrix(dtype="float64", shape=(SIZE, SIZE)):
    x = np.eye(shape[-1]) + 0.3 * RNG.normal(size=shape) / np.sqrt(shape[-1])
    return (x + (0.1j * RNG.normal(size=shape) if np.dtype(dtype).kind == "c" else 0)).astype(dtype)


def factored(compiled, *args):
    return [node.op.name for node in compiled.plan(*args).graph.nodes()].count("factors")


def everything(a, b):
    return np.linalg.solve(a, b), np.linalg.solve(a.T, b[:, 0]), np.linalg.inv(a), *np.linalg.slogdet(a)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_all_from_one_factorisation(dtype):
    f = tracer.compile(everything)
    for a in (matrix(dtype), matrix(dtype)[::-1], matrix(dtype).T):
        b = RNG.normal(size=(SIZE, 3)).astype(dtype)
        for found, wanted in zip(f(a, b), everything(a, b), strict=True):
            assert np.asarray(found).dtype == np.asarray(wanted).dtype
            close = 1e-4 if dtype in ("float32", "complex64") else 1e-11
            np.testing.assert_allclose(found, wanted, rtol=close, atol=close)
    assert factored(f, a, b) == 1


def test_gradient_shares_the_factors_of_the_value():
    def cost(a, b):
        return np.sum(np.linalg.solve(a, b) ** 2) + np.linalg.slogdet(a)[1]

    f = tracer.compile(tracer.value_and_grad(cost, argnums=(0, 1)))
    for a in (matrix(), matrix()[::-1].copy()):
        b = RNG.normal(size=(SIZE, 2))
        value, (of_a, of_b) = f(a, b)
        x = np.linalg.solve(a, b)
        back = np.linalg.solve(a.T, 2 * x)
        np.testing.assert_allclose(value, cost(a, b))
        np.testing.assert_allclose(of_b, back)
        np.testing.assert_allclose(of_a, np.linalg.inv(a).T - back @ x.T, rtol=1e-9, atol=1e-9)
    assert factored(f, a, b) == 1


@pytest.mark.parametrize("singular", [np.zeros((SIZE, SIZE)), np.ones((SIZE, SIZE))])
def test_singular_matrix(singular):
    f = tracer.compile(lambda a, b: (np.linalg.solve(a, b), np.linalg.inv(a)))
    f(matrix(), np.ones(SIZE))
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        f(singular, np.ones(SIZE))
    value, gradient = tracer.compile(tracer.value_and_grad(lambda a: np.linalg.slogdet(a)[1]))(singular)
    assert value == -np.inf
    assert np.isnan(gradient).all()


def test_a_cholesky_factor_is_a_triangle():
    def cost(a, b):
        factor = np.linalg.cholesky(a @ a.T)
        return np.sum(np.linalg.solve(factor.T, np.linalg.solve(factor, b)) ** 2)

    f = tracer.compile(tracer.value_and_grad(cost, argnums=(0, 1)))
    for a in (matrix(), matrix().T):
        b = RNG.normal(size=(SIZE, 2))
        value, (_, of_b) = f(a, b)
        x = np.linalg.solve(a @ a.T, b)
        np.testing.assert_allclose(value, np.sum(x**2))
        np.testing.assert_allclose(of_b, 2 * np.linalg.solve(a @ a.T, x), rtol=1e-9)
    solves = {node.op.name for node in f.plan(a, b).graph.nodes() if "solve" in node.op.name}
    assert solves == {"solve_triangular"}


def test_what_shares_nothing_stays():
    b = np.ones((SIZE, 2))
    assert factored(tracer.compile(lambda a, b: np.linalg.solve(a, b)), matrix(), b) == 0
    assert factored(tracer.compile(everything), matrix(shape=(5, 5)), b[:5]) == 0
    stacked = tracer.compile(lambda a: (np.linalg.inv(a), np.linalg.slogdet(a)))
    assert factored(stacked, matrix(shape=(2, SIZE, SIZE))) == 0
    two = tracer.compile(lambda a, c, b: (np.linalg.solve(a, b), np.linalg.solve(c, b)))
    assert factored(two, matrix(), matrix(), b) == 0


def test_stacks():
    """Also many at once, should a batch be made of what already shares its factors."""

    def together(a, b):
        factors = FACTORS(a)
        x, y = (SOLVE_BY_FACTORS(*factors, b, transposed=transposed) for transposed in (False, True))
        return x, y, INVERSE_OF_FACTORS(*factors, singular="nan"), *DETERMINANT_OF_FACTORS(*factors)

    stack = matrix(shape=(3, SIZE, SIZE))
    right = np.stack([stack[:, :, 0]] * 2, axis=-1)
    wanted = zip(*(together(*pair) for pair in zip(stack, right, strict=True)), strict=True)
    for found, items in zip(tracer.vmap(together)(stack, right), wanted, strict=True):
        np.testing.assert_allclose(found, np.stack(items), rtol=1e-12, atol=1e-14)
    for found in tracer.vmap(together)(stack[:0], right[:0]):
        assert found.shape[0] == 0
    everywhere = tracer.compile(tracer.vmap(everything))(stack, right)
    for place, pair in enumerate(zip(stack, right, strict=True)):
        for found, one in zip(everywhere, everything(*pair), strict=True):
            np.testing.assert_allclose(found[place], one, rtol=1e-9, atol=1e-11)
