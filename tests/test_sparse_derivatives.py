"""Sparse Jacobians and Hessians: the pattern against the true zeros, the values against dense ones, and the cost."""

import time

import numpy as np
import pytest
import scipy.sparse

import tracer
from tracer import errors
from tracer.transform.sparsity import colour_columns

RNG = np.random.default_rng(4)
X = 0.5 + RNG.random(6)
PLACES = np.array([3, 1, 1, 5])
TABLE = np.where(RNG.random((6, 6)) < 0.4, 1.0, 0.0)


def in_place(x):
    y = np.zeros_like(x)
    y[1:-1] = x[2:] * x[:-2]
    y[PLACES] += x[:4] ** 2
    np.add.at(y, PLACES, x[:4])
    y[2::2] *= x[0]
    y[1] = 3.0
    return y


EXACT = {
    "elementwise": lambda x: np.sin(x) * x,
    "neighbours": lambda x: x[1:] * x[:-1],
    "running": lambda x: np.cumsum(x**2),
    "matrix": lambda x: TABLE @ x**2,
    "gather": lambda x: x[PLACES] ** 2,
    "where": lambda x: np.where(np.arange(6) < 3, x, x[::-1] ** 2),
    "reduction": lambda x: np.sum(x.reshape(2, 3) ** 2, axis=0),
    "joined": lambda x: np.concatenate([x[:2] * x[2], x]),
    "product": lambda x: x.reshape(2, 3) @ x.reshape(3, 2),
    "batched product": lambda x: x.reshape(3, 1, 2) @ x.reshape(3, 2, 1),
    "known matrix": lambda x: x.reshape(2, 3) @ TABLE[:3],
    "outer": lambda x: np.outer(x, x),
    "nothing": lambda x: np.floor(x) + 1,
    "zero": lambda x: tracer.stop_gradient(x) * x[0],
    "in place": in_place,
    "nest": lambda x: {"a": x[:2] ** 2, "b": [np.sum(x), x[3]]},
    "scalar": lambda x: x[2] ** 3,
    "empty": lambda x: x[:0],
    "checkpoint": tracer.checkpoint(lambda x: np.exp(x[1:]) * x[:-1]),
}
COVERED = {
    "solve": lambda x: np.linalg.solve(TABLE + 9 * np.eye(6), x),
    "largest": lambda x: np.max(x) * x,
    "sorted": lambda x: np.sort(x),
    "chosen": lambda x: x[np.argsort(x)[:3]],
}


def dense(f, x):
    return np.concatenate([part.reshape(-1, x.size) for part in tracer.tree.flatten(tracer.jacobian(f)(x))[0]])


@pytest.mark.parametrize("name", [*EXACT, *COVERED])
def test_values_and_patterns(name):
    f = {**EXACT, **COVERED}[name]
    own, pattern = tracer.sparse_jacobian(f), tracer.jacobian_sparsity(f)
    for x in (X, 2 * X[::-1]):
        found, expected = own(x), dense(f, x)
        assert scipy.sparse.issparse(found) and found.format == "csr" and found.has_canonical_format
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12)
        assert not np.any((expected != 0) & ~pattern(x).toarray())
        assert found.nnz == pattern(x).nnz
        if name in EXACT:
            np.testing.assert_array_equal(pattern(x).toarray(), expected != 0)


def test_several_arguments_and_nests():
    def f(state, n, scale):
        return state["u"][1:] * scale[:n] + state["v"]

    state, scale = {"u": X[:4], "v": X[0]}, X[:5]
    for n in (3, 3):
        found = tracer.sparse_jacobian(f, argnums=(0, 2))(state, n, scale)
        blocks = tracer.jacobian(f, argnums=(0, 2))(state, n, scale)
        np.testing.assert_allclose(found[0].toarray(), np.column_stack([blocks[0]["u"], blocks[0]["v"]]))
        np.testing.assert_allclose(found[1].toarray(), blocks[1])
        state = {"u": 2 * X[:4], "v": X[1]}


def test_what_selects_may_change():
    table, chosen = np.eye(6)[:3].copy(), np.array([0, 2])
    jacobian = tracer.sparse_jacobian(
        lambda x, extra: np.concatenate([table @ x.reshape(6, 1), x[chosen, None], x[extra, None]])
    )

    def expected(extra):
        return np.concatenate([table, np.eye(6)[chosen], np.eye(6)[extra]])

    for extra in (np.array([5]), np.array([4]), np.array([4])):
        np.testing.assert_array_equal(jacobian(X, extra).toarray(), expected(extra))
        table[0, 3] += 1
        chosen[1] = (chosen[1] + 1) % 6


def test_hessians():
    def rosenbrock(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def arrow(x):
        return x[0] * np.sum(x[1:] ** 2)

    for f, count in ((rosenbrock, 16), (arrow, 16 - 0)):
        hessian = tracer.sparse_hessian(f)
        for x in (X, X + 1):
            found = hessian(x)
            np.testing.assert_allclose(found.toarray(), tracer.hessian(f)(x), rtol=1e-12)
            assert found.nnz <= count
    nested = tracer.sparse_hessian(lambda s: np.sum(s["a"] ** 2 * s["b"]))({"a": X[:3], "b": X[3:]})
    assert nested.shape == (6, 6) and nested.nnz == 9


def test_float32_and_rules():
    f = tracer.custom_vjp(lambda x: np.round(x[1:]))
    f.defvjp(lambda x: (f(x), None), lambda kept, g: (np.concatenate([np.zeros(1, g.dtype), g]),))
    found = tracer.sparse_jacobian(f)(X.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), np.eye(6)[1:])


def band(x):
    y = np.sin(x)
    y[1:] += x[:-1] ** 2
    y[:-1] *= x[1:]
    return y


def test_large_bands_are_cheap():
    size = 100_000
    jacobian, x, v = tracer.sparse_jacobian(band), RNG.random(size), RNG.random(size)
    start = time.perf_counter()
    assert jacobian(x).nnz == 3 * size - 2
    assert time.perf_counter() - start < 5  # far below a second on a free machine
    start = time.perf_counter()
    found = jacobian(2 * x)
    assert time.perf_counter() - start < 0.5
    np.testing.assert_allclose(found @ v, tracer.jvp(band, (2 * x,), (v,))[1], rtol=1e-10)
    assert colour_columns(tracer.jacobian_sparsity(band)(x)).max() == 2


def test_the_cheaper_mode_is_taken():
    wide, tall = (lambda x: x[:1] * x), (lambda x: np.sum(x.reshape(-1, 3), axis=1))
    for f, forward in ((wide, True), (tall, False)):
        matrix = tracer.jacobian_sparsity(f)(X)
        colours = colour_columns(matrix).max(), colour_columns(scipy.sparse.csr_array(matrix.T)).max()
        assert (colours[0] <= colours[1]) == forward
        np.testing.assert_allclose(tracer.sparse_jacobian(f)(X).toarray(), dense(f, X))
    assert colour_columns(tracer.jacobian_sparsity(wide)(X), limit=1) is None


def test_errors():
    with pytest.raises(errors.NotDifferentiableError, match="argument 0"):
        tracer.sparse_jacobian(np.sin)(np.arange(3))
    with pytest.raises(TypeError, match=r"in a traced function[\s\S]*HINT"):
        tracer.compile(lambda x: tracer.sparse_jacobian(np.sin)(x))(X)
    with pytest.raises(TypeError, match="1"):
        tracer.sparse_jacobian(np.sin, argnums=1)(X)
    with pytest.raises(TypeError, match="needs a function"):
        tracer.sparse_jacobian(3)
    with pytest.raises(TypeError, match="one argument number"):
        tracer.sparse_hessian(np.sum, argnums=(0, 1))
    with pytest.raises(errors.NotDifferentiableError, match="scalar"):
        tracer.sparse_hessian(np.sin)(X)
