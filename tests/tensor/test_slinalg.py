"""Theano's slinalg names on symbolic matrices: values, types, gradients, errors."""

import numpy as np
import pytest
import scipy.linalg
from tensor.symbolically import value, variables

import tracer
from tracer.symbolic.program import SymbolicProgram
from tracer.tensor import slinalg
from tracer.tensor.types import dmatrix, dvector

A = np.array([[2.0, -0.5, 0.3], [0.7, 1.5, -0.2], [-0.4, 0.6, 1.8]])
B = np.array([[0.5, 1.0], [-1.2, 0.3], [0.9, -0.7]])
P = A @ A.T + np.eye(3)


def test_cholesky():
    np.testing.assert_allclose(value(slinalg.cholesky, P), np.linalg.cholesky(P))
    for upper in (slinalg.Cholesky(lower=False), lambda x: slinalg.cholesky(x, lower=False)):
        np.testing.assert_allclose(value(upper, P), scipy.linalg.cholesky(P), atol=1e-14)
    assert value(slinalg.cholesky, P.astype(np.float32)).dtype == np.float32
    tracer.testing.check_grads(slinalg.cholesky, (P,), order=2)


def test_cholesky_of_what_is_not_positive():
    x = dmatrix("x")
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        SymbolicProgram([x], [slinalg.cholesky(x)], {}, "f")(-P)
    careful = slinalg.cholesky(x, on_error="nan")
    slope = tracer.gradient.grad(careful.sum(), x)
    program = SymbolicProgram([x], [careful, slope], {}, "f")
    factor, derivative = program(-P)
    assert np.isnan(factor).all() and np.isnan(derivative).any()
    factor, derivative = program(P)
    np.testing.assert_allclose(factor, np.linalg.cholesky(P))
    assert np.isfinite(derivative).all()
    with pytest.raises(ValueError, match=r"on_error='ignore'.*\nHINT"):
        slinalg.cholesky(x, on_error="ignore")


@pytest.mark.parametrize("structure", slinalg.MATRIX_STRUCTURES)
@pytest.mark.parametrize("right", [B, B[:, 0]])
def test_solve(structure, right):
    matrix = {
        "lower_triangular": np.tril(A),
        "upper_triangular": np.triu(A),
        "symmetric": P,
        "hermitian": P,
        "diagonal": np.diag(np.diag(A)),
    }.get(structure, A)
    expected = np.linalg.solve(matrix, right)
    np.testing.assert_allclose(value(lambda a, b: slinalg.solve(a, b, structure), matrix, right), expected)
    np.testing.assert_allclose(value(slinalg.Solve(structure), matrix, right), expected)
    tracer.testing.check_grads(lambda a, b: slinalg.solve(a, b, structure), (matrix, right), order=1)


def test_named_solves():
    np.testing.assert_allclose(value(slinalg.solve_lower_triangular, A, B), np.linalg.solve(np.tril(A), B))
    np.testing.assert_allclose(value(slinalg.solve_upper_triangular, A, B), np.linalg.solve(np.triu(A), B))
    np.testing.assert_allclose(value(slinalg.solve_symmetric, P, B), np.linalg.solve(P, B))
    with pytest.raises(ValueError, match=r"A_structure='round'.*\nHINT"):
        slinalg.solve(A, B, "round")
    with pytest.raises(TypeError, match="solve takes a matrix"):
        slinalg.solve(dvector("v"), dvector("w"))


def test_generalised_eigenvalues():
    symmetric = A + A.T
    for lower in (True, False):
        found = value(lambda a, b, low=lower: slinalg.eigvalsh(a, b, low), symmetric, P)
        np.testing.assert_allclose(found, scipy.linalg.eigvalsh(symmetric, P))
        tracer.testing.check_grads(lambda a, b, low=lower: slinalg.eigvalsh(a, b, low), (symmetric, P), order=1)
    np.testing.assert_allclose(value(lambda a: slinalg.eigvalsh(a, None), symmetric), np.linalg.eigvalsh(symmetric))
    np.testing.assert_allclose(value(slinalg.Eigvalsh(), symmetric, P), scipy.linalg.eigvalsh(symmetric, P))


def test_exponential():
    np.testing.assert_allclose(value(slinalg.expm, A), scipy.linalg.expm(A))
    np.testing.assert_allclose(value(slinalg.Expm(), A), scipy.linalg.expm(A))
    tracer.testing.check_grads(slinalg.expm, (A,), order=2)


def theanos_kron(a, b):
    """Theano's definition, element by element."""
    products = np.multiply.outer(a, b)
    if products.ndim == 3:
        return products.transpose(1, 0, 2).ravel()
    turned = products.transpose(0, 2, 1, *range(3, products.ndim))
    sizes = turned.shape
    return turned.reshape(sizes[0] * sizes[1], sizes[2] * sizes[3], *sizes[4:])


def test_kron():
    np.testing.assert_allclose(value(slinalg.kron, A, B), np.kron(A, B))
    for a, b in ((A[0], B), (B, A[1]), (A, np.stack([B, -B])), (np.stack([B, -B]), A)):
        found = value(slinalg.kron, a, b)
        assert found.ndim == a.ndim + b.ndim - 2
        np.testing.assert_allclose(found, theanos_kron(a, b))
    with pytest.raises(TypeError, match=r"3 or more.*\nHINT"):
        slinalg.kron(*variables([A[0], A[1]]))
