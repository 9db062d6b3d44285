"""The kernels of small matrices against NumPy, and what they leave to the function that they stand in for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.building import build_call, refuse

KERNELS: dict[str, Callable[..., Any]] = {
    "solve": np.linalg.solve,
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "slogdet": lambda a: tuple(np.linalg.slogdet(a)),
    "cofactor": lambda a: np.linalg.det(a)[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2),
}


def results_of(kernel: str, *inputs: np.ndarray) -> list[np.ndarray]:
    found = KERNELS[kernel](*inputs)
    return [np.asarray(item) for item in (found if isinstance(found, tuple) else (found,))]


def matrices(dtype: str, *shape: int) -> np.ndarray:
    """Matrices whose rows must change places."""
    rows = np.random.default_rng(sum(shape)).normal(size=shape) / 4 + 2 * np.eye(shape[-1])
    return np.ascontiguousarray(np.roll(rows, 1, axis=-2).astype(dtype))


def check(kernel: str, *inputs: np.ndarray) -> None:
    wanted = results_of(kernel, *inputs)
    made = build_call(kernel, list(inputs), wanted, refuse).run(list(inputs))
    tolerance = 1e-4 if inputs[0].dtype == np.float32 else 1e-12
    for one, other in zip(made, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.nanmax(np.abs(other)))


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 32])
def test_kernels(size: int, dtype: str) -> None:
    for a in (matrices(dtype, size, size), matrices(dtype, 2, 3, size, size)):
        for form in (a, np.asfortranarray(a), np.flip(np.flip(a, -1).copy(), -1), np.repeat(a, 2, -1)[..., ::2]):
            for kernel in ("inv", "det", "slogdet", "cofactor"):
                check(kernel, form)
            for columns in (1, 4, 6):
                check("solve", form, matrices(dtype, 3, size + columns, size + columns)[:, :size, :columns])


def test_one_matrix_with_many_right_sides_and_the_reverse() -> None:
    a, b = matrices("d", 3, 3), matrices("d", 5, 4, 3, 3)
    check("solve", a, b)
    check("solve", b, a)
    check("solve", b[:, :1], b[0])


def test_large_batches_are_shared_out() -> None:
    a = matrices("d", 20000, 3, 3)
    check("inv", a)
    a[12345] = 1.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        build_call("inv", [a], [a], np.linalg.inv).run([a])


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize(
    "odd",
    [
        [[1.0, 2.0], [2.0, 4.0]],
        [[3.0, 1.0], [0.3, 0.1 + 1e-16]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[1.0, np.nan], [0.0, 1.0]],
        [[1.0, 0.0], [np.inf, 1.0]],
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_function(kernel: str, odd: list[list[float]]) -> None:
    a = np.stack([np.eye(2), np.array(odd)])
    inputs = [a, np.ones((2, 1))] if kernel == "solve" else [a]
    usual = [np.stack([np.eye(2)] * 2), *inputs[1:]]
    results = [np.full_like(item, 5.0) for item in results_of(kernel, *usual)]
    seen = []

    def function(*arrays: np.ndarray) -> Any:
        seen.append(arrays)
        return tuple(results)

    program = build_call(kernel, inputs, results, function)
    for made in program.run(inputs):
        assert (made == 5.0).all()
    program.run(usual)
    assert len(seen) == 1


@pytest.mark.parametrize("kernel", ["det", "cofactor"])
@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_determinants_out_of_range_are_left_to_the_function(kernel: str, scale: float) -> None:
    a = scale * np.eye(2)
    result = np.full(() if kernel == "det" else (2, 2), 5.0)
    assert (build_call(kernel, [a], [result], lambda a: result).run([a])[0] == 5.0).all()


def test_nan_in_right_sides_stays_in_its_column() -> None:
    b = np.ones((3, 5))
    b[1, 3] = np.nan
    check("solve", matrices("d", 3, 3), b)


def test_other_types_and_sizes_are_left_to_the_function() -> None:
    for a in (np.eye(2, dtype="D"), np.eye(33), np.empty((0, 2, 2)), np.empty((0, 0))):
        program = build_call("inv", [a], [a], lambda a: a)
        np.testing.assert_array_equal(program.run([a])[0], a)


def test_malformed_calls_are_refused() -> None:
    a, b = np.eye(2), np.ones((3, 2, 2))
    for kernel, inputs, result in [
        ("eig", [a], a),
        ("inv", [a, a], a),
        ("inv", [a[0]], a),
        ("inv", [a[:1]], a[:1]),
        ("inv", [a], np.ones((3, 3))),
        ("det", [b], np.ones(2)),
        ("solve", [a, np.ones((3, 2))], a),
        ("solve", [a, np.ones((2, 3))], a),
        ("solve", [b, b[:2]], b),
        ("inv", [b], np.ones((2, 2, 2))),
    ]:
        with pytest.raises(ValueError):
            build_call(kernel, inputs, [result], refuse)
