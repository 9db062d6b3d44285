"""The kernels that call LAPACK against NumPy and SciPy, and what they leave to the function that they stand in for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.building import build_call, refuse

from tracer import _kernels
from tracer.graph import lapack
from tracer.ops.linalg import SOLVE_TRIANGULAR

# Which triangle is read, and whether its diagonal counts as ones.
SOLVERS: dict[str, tuple[bool, bool]] = {
    "solve_lower": (True, False),
    "solve_upper": (False, False),
    "solve_unit_lower": (True, True),
    "solve_unit_upper": (False, True),
}


def matrices(dtype: str, *shape: int) -> np.ndarray:
    """Matrices whose rows must change places."""
    noise = np.random.default_rng(sum(shape)).normal(size=shape) / (2 * np.sqrt(shape[-1]))
    return np.ascontiguousarray(np.roll(noise + 2 * np.eye(shape[-1]), 1, axis=-2).astype(dtype))


def definite(dtype: str, *shape: int) -> np.ndarray:
    a = matrices(dtype, *shape)
    return a @ np.swapaxes(a, -1, -2)


def layouts(a: np.ndarray) -> list[np.ndarray]:
    wide = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype)
    wide[..., 2:-1] = a
    return [a, np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2), wide[..., 2:-1]]


def run(kernel: str, inputs: list[np.ndarray], wanted: list[np.ndarray]) -> list[np.ndarray]:
    made = build_call(kernel, inputs, wanted, refuse).run(inputs)
    for one, other in zip(made, wanted, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
    return made


def check(kernel: str, inputs: list[np.ndarray], *wanted: np.ndarray) -> None:
    tolerance = 2e-4 if inputs[0].dtype == np.float32 else 1e-11
    for one, other in zip(run(kernel, inputs, list(wanted)), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(other).max())


def stacked(function: Callable[..., Any], *stacks: np.ndarray) -> list[np.ndarray]:
    """The results for every matrix of stacks that have one dimension more than matrices, or none."""
    if stacks[0].ndim == 2:
        return [np.asarray(item) for item in function(*stacks)]
    return [np.stack(items) for items in zip(*(function(*one) for one in zip(*stacks, strict=True)), strict=True)]


every_shape = pytest.mark.parametrize("shape", [(33, 33), (200, 200), (3, 70, 70)])
every_dtype = pytest.mark.parametrize("dtype", ["f", "d"])


@every_dtype
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (33, 33), (200, 200), (4, 70, 70)])
def test_triangles(shape: tuple[int, ...], dtype: str) -> None:
    a = np.roll(matrices(dtype, *shape), -1, axis=-2)
    check("cholesky", [definite(dtype, *shape)], np.linalg.cholesky(definite(dtype, *shape)))
    for columns in (1, 2, 9, 40, 130):
        b = np.resize(a, (*shape[:-1], columns)) + np.eye(shape[-1], columns, dtype=dtype)
        for kernel, (lower, unit) in SOLVERS.items():
            wanted = SOLVE_TRIANGULAR.evaluate(a, b, lower=lower, unit=unit)
            for form in layouts(a):
                check(kernel, [form, layouts(b)[columns % 3]], wanted)


@every_dtype
@every_shape
def test_factors(shape: tuple[int, ...], dtype: str) -> None:
    a = matrices(dtype, *shape)
    b = np.ascontiguousarray(a[..., :7] + 1)
    packed, pivots = stacked(lapack.factors, a)
    packed = np.ascontiguousarray(packed)
    for form in layouts(a):
        check("factors", [form], packed, pivots)
        check("solve", [form, b], np.linalg.solve(a, b))
        check("inv", [form], np.linalg.inv(a))
        check("slogdet", [form], *map(np.asarray, np.linalg.slogdet(a)))
    check("solve_by_factors", [packed, pivots, b], np.linalg.solve(a, b))
    check("solve_transposed_by_factors", [packed, pivots, b], np.linalg.solve(np.swapaxes(a, -1, -2), b))
    check("inverse_of_factors", [packed, pivots], np.linalg.inv(a))
    check("determinant_of_factors", [packed, pivots], *map(np.asarray, np.linalg.slogdet(a)))


@every_dtype
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (40, 40), (57, 57), (150, 150), (5, 6, 6)])
@pytest.mark.parametrize("triangle", ["lower", "upper"])
def test_eigenvalues(triangle: str, shape: tuple[int, ...], dtype: str) -> None:
    whole = definite(dtype, *shape)
    kept = np.tril(whole) if triangle == "lower" else np.triu(whole)
    values = np.linalg.eigvalsh(whole)
    for form in layouts(kept):
        check(f"eigvalsh_{triangle}", [form], values)
        seen, vectors = run(f"eigh_{triangle}", [form], [values, whole])
        tolerance = 1e-4 if dtype == "f" else 1e-11
        np.testing.assert_allclose(seen, values, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(whole @ vectors, vectors * seen[..., None, :], atol=30 * tolerance)
        gram = np.swapaxes(vectors, -1, -2) @ vectors
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(shape[-1]), gram.shape), atol=tolerance)


def test_eigenvectors_have_numpys_signs() -> None:
    for size in (24, 64, 101):
        a = definite("d", size, size)
        values, vectors = np.linalg.eigh(a)
        check("eigh_lower", [a], values, vectors)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_eigenvectors_of_odd_matrices(scale: float) -> None:
    """Where eigenvalues are equal or nearly so, and where scales are extreme."""
    n = 64
    rng = np.random.default_rng(0)
    blocks = np.kron(np.eye(2), definite("d", n // 2, n // 2))
    repeated = np.linalg.qr(rng.normal(size=(n, n)))[0] * np.repeat([1.0, 3.0], n // 2)
    glued = np.eye(n) + 1e-14 * np.eye(n, k=1) + 1e-14 * np.eye(n, k=-1)
    for a in (np.eye(n), np.diag(np.arange(n) - 3.0), blocks, np.ones((n, n)), repeated @ repeated.T, glued):
        values, vectors = run("eigh_lower", [scale * a], [np.empty(n), a])
        np.testing.assert_allclose(values / scale, np.linalg.eigvalsh(a), atol=1e-12 * np.abs(a).max() * n)
        np.testing.assert_allclose((vectors * (values / scale)) @ vectors.T, a, atol=1e-12 * np.abs(a).max() * n)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-12)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_eigenvectors_of_what_is_not_finite(odd: float) -> None:
    a = definite("d", 64, 64)
    a[40, 3] = odd
    try:
        wanted = np.linalg.eigh(a)[0]
    except np.linalg.LinAlgError:
        assert gives_up("eigh_lower", [a], [np.empty(64), a])
    else:
        np.testing.assert_array_equal(run("eigh_lower", [a], [np.empty(64), a])[0], wanted)


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads(threads: int) -> None:
    before = _kernels.get_threads()
    _kernels.set_threads(threads)
    try:
        a = matrices("d", 150, 150)
        check("inv", [a], np.linalg.inv(a))
        check("solve", [a, a[:, :140].copy()], np.linalg.solve(a, a[:, :140]))
    finally:
        _kernels.set_threads(before)


def gives_up(kernel: str, inputs: list[np.ndarray], results: list[np.ndarray]) -> bool:
    seen = []

    def function(*arrays: np.ndarray) -> Any:
        seen.append(arrays)
        return tuple(results)

    build_call(kernel, inputs, results, function).run(inputs)
    return bool(seen)


def test_what_has_no_answer_is_left_to_the_function() -> None:
    singular, b = np.ones((40, 40)), np.ones((40, 2))
    packed, pivots = lapack.factors(singular)
    packed = np.ascontiguousarray(packed)
    zero = np.eye(40)
    zero[7, 7] = 0
    assert gives_up("solve", [singular, b], [b])
    assert gives_up("inv", [singular], [singular])
    assert gives_up("solve_by_factors", [packed, pivots, b], [b])
    assert gives_up("inverse_of_factors", [packed, pivots], [singular])
    assert gives_up("cholesky", [-np.eye(40)], [singular])
    assert gives_up("cholesky", [np.stack([np.eye(40), zero])], [np.stack([singular] * 2)])
    assert gives_up("solve_lower", [zero, b], [b])
    assert not gives_up("solve_unit_lower", [zero, b], [b])
    sign, logarithm = run("slogdet", [singular], [np.zeros(()), np.zeros(())])
    assert (sign, logarithm) == (0, -np.inf)


def test_what_is_not_read_may_be_anything() -> None:
    a, b = definite("d", 50, 50), np.ones((50, 3))
    odd = np.where(np.tri(50, dtype=bool), a, np.nan)
    check("cholesky", [odd], np.linalg.cholesky(a))
    check("solve_lower", [odd, b], np.linalg.solve(np.tril(a), b))
    check("eigvalsh_lower", [odd], np.linalg.eigvalsh(a))
    np.fill_diagonal(odd, np.nan)
    check("solve_unit_lower", [odd, b], np.linalg.solve(np.tril(a, -1) + np.eye(50), b))


def test_other_types_and_layouts_are_left_to_the_function() -> None:
    a, b = definite("d", 40, 40), np.ones((40, 2))
    assert gives_up("cholesky", [a.astype(complex)], [a.astype(complex)])
    assert gives_up("solve_lower", [a[::-1], b], [b])
    assert gives_up("solve_lower", [np.repeat(a, 2, axis=1)[:, ::2], b], [b])


@pytest.mark.parametrize(
    ("kernel", "inputs", "results"),
    [
        ("cholesky", [np.eye(3)], [np.eye(4)]),
        ("cholesky", [np.ones((3, 4))], [np.eye(3)]),
        ("solve_lower", [np.eye(3), np.ones((4, 2))], [np.ones((3, 2))]),
        ("factors", [np.eye(3)], [np.eye(3)]),
        ("factors", [np.eye(3)], [np.eye(3), np.zeros(4, np.int32)]),
        ("eigh_lower", [np.eye(3)], [np.eye(3), np.ones(3)]),
        ("no_kernel", [np.eye(3)], [np.eye(3)]),
    ],
)
def test_malformed(kernel: str, inputs: list[np.ndarray], results: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="kernel"):
        build_call(kernel, inputs, results, refuse)
