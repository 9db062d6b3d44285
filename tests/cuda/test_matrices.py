"""Small matrices and stacks of them: factors, systems, inverses and determinants by a warp each."""

from functools import partial

import numpy as np
import pytest
import scipy.linalg
from cuda.cases import leaves, program_of
from cuda.player import Library, Player, needs_compiler
from numpy.testing import assert_allclose

import tracer

pytestmark = needs_compiler
R = np.random.default_rng(0)


def regular(*shape):
    return R.normal(size=shape) + 2 * np.eye(shape[-1])


def positive(*shape):
    a = R.normal(size=shape)
    return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])


def everything(a, b):
    return (np.linalg.solve(a, b), np.linalg.inv(a), np.linalg.det(a), *np.linalg.slogdet(a),
            np.linalg.solve(np.swapaxes(a, -1, -2), b))  # fmt: skip


def one_by_one(a, b):
    return np.linalg.solve(a, b), np.linalg.det(a)


def triangles(a, b):
    solve = partial(scipy.linalg.solve_triangular, check_finite=False)
    unit = solve(a, b, lower=True, unit_diagonal=True), solve(a, b, trans=1, unit_diagonal=True)
    return solve(a, b, lower=True), solve(a, b), *unit


def gradient(a, b):
    return tracer.grad(lambda a, b: (np.linalg.solve(a, b) ** 2).sum() + np.linalg.slogdet(a)[1].sum(), argnums=(0, 1))(
        a, b
    )


def factor(a):
    return np.linalg.cholesky(a)


def kalman(a, q, p, x, z):
    def step(state, z):
        x, p = state
        x, p = a @ x, a @ p @ a.T + q
        gain = np.linalg.solve(p + q, p).T
        return (x + gain @ (z - x), p - gain @ p), np.linalg.cholesky(p)

    return tracer.scan(step, (x, p), z)


CASES = {
    "one": (everything, regular(1, 1), R.normal(size=(1, 2))),
    "small": (everything, regular(5, 5), R.normal(size=(5, 3))),
    "wide": (everything, regular(20, 20), R.normal(size=(20, 40))),
    "stack": (everything, regular(3, 7, 6, 6), R.normal(size=(3, 7, 6, 2))),
    "larger stack": (one_by_one, regular(9, 40, 40), R.normal(size=(9, 40, 2))),
    "broadcast": (lambda a, b: np.linalg.solve(a, b), regular(4, 4), R.normal(size=(5, 4, 2))),
    "single": (everything, regular(30, 4, 4).astype("f4"), R.normal(size=(30, 4, 1)).astype("f4")),
    "transposed": (everything, regular(8, 4, 4).swapaxes(1, 2), R.normal(size=(3, 4, 8)).T),
    "triangles": (triangles, regular(9, 9), R.normal(size=(9, 3))),
    "gradient": (gradient, regular(6, 3, 3), R.normal(size=(6, 3, 2))),
    "cholesky": (factor, positive(11, 5, 5)),
    "kalman": (kalman, np.eye(4) * 0.9, np.eye(4) * 0.1, np.eye(4), R.normal(size=4), R.normal(size=(6, 4))),
}


@pytest.fixture(scope="module")
def built():
    players = {name: Player(program_of(*CASES[name]), list(args)) for name, (_, *args) in CASES.items()}
    return players, Library([player.module for player in players.values()])


@pytest.mark.parametrize("name", CASES)
def test_matrices(built, name):
    player, (function, *args) = built[0][name], CASES[name]
    assert None not in player.module.launches
    compiled = tracer.compile(function)
    for player.arguments in (args, [args[0], *(item * 0.5 for item in args[1:])]):
        expected = leaves(compiled(*player.arguments))
        for one, other in zip(player.run(built[1], 1), expected, strict=True):
            assert one.dtype == other.dtype
            rtol = 1e-3 if one.dtype.itemsize == 4 else 1e-9
            assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(other).max())
        assert player.error == 2**64 - 1


def test_a_filter_is_one_kernel(built):
    assert len([launch for own in built[0]["kalman"].module.launches for launch in own]) == 1


def test_what_numpy_raises(gpu):
    stack = regular(5, 3, 3)
    broken = stack.copy()
    broken[3] = np.outer([1, 2, 3], [1, 2, 3])
    for function, good in [
        (lambda a: np.linalg.solve(a, np.ones((3, 1))), stack),
        (lambda a: np.linalg.inv(a), stack),
        (lambda a: np.linalg.cholesky(a), positive(5, 3, 3)),
        (lambda a: tracer.vmap(lambda m: scipy.linalg.solve_triangular(m, m))(a), stack),
    ]:
        f = tracer.compile(function, device="gpu")
        on_cpu = tracer.compile(function)
        for _ in range(3):
            assert_allclose(f(good), on_cpu(good), rtol=1e-9)
            with pytest.raises(np.linalg.LinAlgError):
                f(np.zeros_like(broken))
        assert_allclose(f(good), on_cpu(good), rtol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        tracer.compile(lambda a: np.linalg.inv(a), device="gpu")(broken)
    with pytest.raises(ValueError, match="infs or NaNs"):
        tracer.compile(lambda a: scipy.linalg.solve_triangular(a, a), device="gpu")(stack[0] * np.nan)
    assert not any(name in ("memcpy", "gemm") for name in gpu.launches)


def test_what_is_singular_only_as_kernels_round_has_numpy_s_results(gpu, monkeypatch):
    f = tracer.compile(lambda a: np.linalg.inv(a) * 2, device="gpu")
    a = regular(3, 3)
    f(a)
    ready = f.plan(a).executable.ready
    monkeypatch.setattr(ready, "failed", lambda: True)
    assert_allclose(f(a), np.linalg.inv(a) * 2, rtol=1e-12)


def test_determinants_of_singular_matrices(gpu):
    zeros, nan = np.zeros((2, 3, 3)), np.full((3, 3), np.nan)
    for a in (zeros, nan, np.diag([1.0, -2.0, 0.0]), np.diag([1.0, -2.0, np.inf])):
        found = tracer.compile(np.linalg.slogdet, device="gpu")(a)
        with np.errstate(invalid="ignore"):
            expected = np.linalg.slogdet(a)
        assert_allclose(found[1], expected[1])
        assert_allclose(found[0], expected[0])
        with np.errstate(invalid="ignore"):
            assert_allclose(tracer.compile(np.linalg.det, device="gpu")(a), np.linalg.det(a))


def test_stacks_of_larger_matrices_stay_on_the_gpu(gpu):
    a, b = regular(2, 1, 70, 70), R.normal(size=(3, 70, 2))

    def f(a, b):
        return (np.linalg.solve(a, b), *np.linalg.slogdet(a), np.linalg.inv(a), np.linalg.solve(a.swapaxes(-1, -2), b))

    on_gpu, on_cpu = tracer.compile(f, device="gpu"), tracer.compile(f)
    for one, other in zip(on_gpu(a, b), on_cpu(a, b), strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())
    lower = tracer.compile(lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True), device="gpu")
    each = tracer.compile(lambda a, b: tracer.vmap(lower)(a, b), device="gpu")
    assert_allclose(each(a[:, 0], b[:2])[1], scipy.linalg.solve_triangular(a[1, 0], b[1], lower=True), rtol=1e-9)
    squares = a @ a.swapaxes(-1, -2)
    assert_allclose(tracer.compile(np.linalg.cholesky, device="gpu")(squares), np.linalg.cholesky(squares), rtol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        on_gpu(a * 0, b)
    with np.errstate(invalid="ignore"):
        assert np.isnan(on_gpu(a * np.nan, b)[0]).all()
