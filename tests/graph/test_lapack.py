"""Single matrices through SciPy's LAPACK: NumPy's answers, of every dtype and layout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracer.graph import lapack


@pytest.mark.parametrize("dtype", "fdFD")
@pytest.mark.parametrize("size", [1, 3, 40])
def test_as_numpy(dtype: str, size: int) -> None:
    rng = np.random.default_rng(size)
    real, imaginary = rng.normal(size=(2, size, size))
    a = (real + 3 * np.eye(size) + (1j * imaginary if dtype in "FD" else 0)).astype(dtype)
    b = rng.normal(size=(size, 2)).astype(dtype)
    tolerance = 1e-3 if dtype in "fF" else 1e-10
    for view in (a, a.T, np.asfortranarray(a), np.repeat(a, 2, axis=0)[::2]):
        positive = view @ view.conj().T + np.eye(size, dtype=dtype)
        before = view.copy()
        pairs = [
            (lapack.solve(view, b), np.linalg.solve(view, b)),
            (lapack.inverse(view), np.linalg.inv(view)),
            (lapack.cholesky(positive), np.linalg.cholesky(positive)),
            *zip(lapack.sign_and_log_determinant(view), np.linalg.slogdet(view), strict=True),
        ]
        for seen, wanted in pairs:
            assert seen.dtype == wanted.dtype
            np.testing.assert_allclose(seen, wanted, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lapack.inverse, "Singular matrix"),
        (lambda a: lapack.solve(a, a), "Singular matrix"),
        (lambda a: lapack.cholesky(-a), "Matrix is not positive definite"),
    ],
)
def test_errors_are_numpys(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(np.linalg.LinAlgError, match=message):
        function(np.diag([1.0, 1.0, 0.0]))


def test_determinants_of_a_singular_matrix_and_of_nan() -> None:
    assert lapack.sign_and_log_determinant(np.ones((40, 40))) == (0.0, -np.inf)
    missing = np.where(np.eye(40) > 0, np.nan, 1.0)
    np.testing.assert_array_equal(lapack.sign_and_log_determinant(missing), (1.0, np.nan))
