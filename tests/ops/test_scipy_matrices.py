"""More of scipy.linalg in traced functions: SciPy's values, and derivatives in both modes."""

import numpy as np
import pytest
import scipy.linalg
from scipy.linalg import lu_factor, toeplitz

import tracer
from tracer import errors

RNG = np.random.default_rng(0)
A, B, Q = (RNG.normal(size=(4, 4)) for _ in range(3))
S = A @ A.T + 2 * np.eye(4)
N = 3 * np.eye(4) + A / 3
C = A + 1j * B
V, W, T = RNG.normal(size=4), RNG.normal(size=3), RNG.normal(size=(5, 3))

CASES = {
    "logm": (lambda a: scipy.linalg.logm(a), (S,)),
    "sqrtm": (lambda a: scipy.linalg.sqrtm(a), (N,)),
    "power": (lambda a: scipy.linalg.fractional_matrix_power(a, 0.3), (S,)),
    "power-whole": (lambda a: scipy.linalg.fractional_matrix_power(a, 3), (N,)),
    "coshm": (lambda a: scipy.linalg.coshm(a), (A,)),
    "sinhm": (lambda a: scipy.linalg.sinhm(a), (A,)),
    "tanhm": (lambda a: scipy.linalg.tanhm(a), (A,)),
    "cosm": (lambda a: scipy.linalg.cosm(a), (A,)),
    "sinm": (lambda a: scipy.linalg.sinm(a), (A,)),
    "tanm": (lambda a: scipy.linalg.tanm(a / 3), (A,)),
    "lu": (lambda a: sum(part * (n + 1) for n, part in enumerate(scipy.linalg.lu(a))), (A,)),
    "lu-permuted": (lambda a: np.sin(scipy.linalg.lu(a, permute_l=True)[0]), (A,)),
    "lu-indices": (lambda a: scipy.linalg.lu(a, p_indices=True)[2], (A,)),
    "lu_factor": (lambda a: lu_factor(a)[0], (A,)),
    "lu_solve": (lambda a, b: scipy.linalg.lu_solve(lu_factor(a), b), (A, B)),
    "lu_solve-vector": (lambda a, b: scipy.linalg.lu_solve(lu_factor(a), b, trans=1), (A, V)),
    "polar": (lambda a: scipy.linalg.polar(a)[0] + 2 * scipy.linalg.polar(a)[1], (A,)),
    "polar-left": (lambda a: scipy.linalg.polar(a, "left")[1], (T,)),
    "procrustes": (lambda a, b: scipy.linalg.orthogonal_procrustes(a, b)[0], (A, B)),
    "lstsq": (lambda a, b: scipy.linalg.lstsq(a, b)[0], (T, RNG.normal(size=5))),
    "sylvester": (lambda a, b, q: scipy.linalg.solve_sylvester(a, b, q), (N, S, Q)),
    "continuous": (lambda a, q: scipy.linalg.solve_continuous_lyapunov(a, q), (N, Q)),
    "discrete": (lambda a, q: scipy.linalg.solve_discrete_lyapunov(a / 9, q), (A, Q)),
    "toeplitz": (lambda c, r: toeplitz(c, r), (V, W)),
    "toeplitz-symmetric": (lambda c: toeplitz(c), (V,)),
    "circulant": (lambda c: scipy.linalg.circulant(c), (V,)),
    "hankel": (lambda c, r: scipy.linalg.hankel(c, r), (V, W)),
    "hankel-column": (lambda c: scipy.linalg.hankel(c), (V,)),
    "companion": (lambda a: scipy.linalg.companion(a), (V,)),
    **{
        f"convolution-{mode}-{n}": (lambda a, m=mode, n=n: scipy.linalg.convolution_matrix(a, n, m), (V,))
        for mode in ("full", "same", "valid")
        for n in (3, 6)
    },
    "leslie": (lambda f, s: scipy.linalg.leslie(f, s), (V, W)),
    "khatri_rao": (lambda a, b: scipy.linalg.khatri_rao(a, b), (T, A[:, :3])),
    "solve_toeplitz": (lambda c, r, b: scipy.linalg.solve_toeplitz((c + np.eye(4)[0] * 3, r), b), (V, V * 2, V)),
    "matmul_toeplitz": (lambda c, b: scipy.linalg.matmul_toeplitz(c, b), (V, B)),
    "solve_circulant": (lambda c, b: scipy.linalg.solve_circulant(c, b), (V, V + 1)),
    "pinvh": (lambda a: scipy.linalg.pinvh(a), (S,)),
    "eigvals": (lambda a: np.sort(np.abs(scipy.linalg.eigvals(a))), (A,)),
    "eig": (lambda a: np.sort(np.abs(scipy.linalg.eig(a)[0])), (A,)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_derivatives(name):
    function, arrays = CASES[name]
    compiled = tracer.compile(function)
    for scale in (1.0, 0.8):
        given = [array * scale for array in arrays]
        expected, found = function(*given), compiled(*given)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    tracer.testing.check_grads(function, arrays, order=1, modes=("reverse", "forward"), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["logm", "sqrtm", "lu", "lu_solve", "sylvester"])
def test_second_order_complex_and_batches(name):
    function, arrays = CASES[name]
    tracer.testing.check_grads(function, arrays, order=2, modes=("reverse", "forward"), rtol=5e-5, atol=5e-5)
    complexes = [array + 0.1j * C for array in arrays]
    np.testing.assert_allclose(tracer.compile(function)(*complexes), function(*complexes), rtol=1e-9, atol=1e-11)
    tracer.testing.check_grads(function, complexes, order=1, rtol=2e-5, atol=2e-6)
    batch = [np.stack([array, array * 0.5 + np.eye(4)]) for array in arrays]
    expected = np.stack([function(*(item[place] for item in batch)) for place in range(2)])
    np.testing.assert_allclose(tracer.vmap(function)(*batch), expected, rtol=1e-9, atol=1e-11)


def test_all_parts_of_the_results():
    for function, arrays in (
        (lambda a: scipy.linalg.lu(a), (T,)),
        (lambda a: scipy.linalg.lu(a), (T.T,)),
        (lambda a: lu_factor(a), (A,)),
        (lambda a: scipy.linalg.schur(a), (A,)),
        (lambda a: scipy.linalg.schur(a, "complex"), (A,)),
        (lambda a, b: scipy.linalg.lstsq(a, b), (T, RNG.normal(size=(5, 2)))),
        (lambda a: scipy.linalg.eig(a), (C,)),
    ):
        found, expected = tracer.compile(function)(*arrays), function(*arrays)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert np.shape(one) == np.shape(other)
            assert np.asarray(one).dtype.kind == np.asarray(other).dtype.kind
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_errors():
    with pytest.raises(ValueError, match=r"complex numbers.*\nHINT"):
        tracer.compile(lambda a: scipy.linalg.sqrtm(a))(-np.eye(2))
    with pytest.raises(ValueError, match="square"):
        tracer.compile(lambda a: scipy.linalg.logm(a))(T)
    with pytest.raises(errors.NotDifferentiableError, match="schur"):
        tracer.grad(lambda a: np.sum(scipy.linalg.schur(a)[0]))(A)
    with pytest.raises(errors.UnsupportedFunctionError, match="square part"):
        tracer.grad(lambda a: np.sum(scipy.linalg.lu(a)[2]))(T)
    with pytest.raises(errors.UnsupportedFunctionError, match="ordinary"):
        tracer.compile(lambda a, b: scipy.linalg.eigvals(a, b))(A, B)
