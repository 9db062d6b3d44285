"""Theano's nlinalg names on symbolic matrices: values, types, gradients, errors."""

import numpy as np
import pytest
from tensor.symbolically import run, value, variables

import tracer
from tracer.symbolic.program import SymbolicProgram
from tracer.tensor import nlinalg
from tracer.tensor.types import dmatrix, dtensor3, dvector, fmatrix

A = np.array([[2.0, -0.5, 0.3], [0.7, 1.5, -0.2], [-0.4, 0.6, 1.8]])
B = np.array([[0.5, 1.0], [-1.2, 0.3], [0.9, -0.7]])
S = A + A.T


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nlinalg.matrix_inverse, np.linalg.inv),
        (nlinalg.MatrixInverse(), np.linalg.inv),
        (nlinalg.pinv, np.linalg.pinv),
        (nlinalg.det, np.linalg.det),
        (nlinalg.trace, np.trace),
        (nlinalg.diag, np.diag),
        (nlinalg.extract_diag, np.diag),
        (lambda a: nlinalg.alloc_diag(nlinalg.diag(a)), lambda a: np.diag(np.diag(a))),
        (lambda a: nlinalg.matrix_dot(a, a.T, a), lambda a: a @ a.T @ a),
        (lambda a: nlinalg.matrix_power(a, 3), lambda a: a @ a @ a),
        (lambda a: nlinalg.matrix_power(a, -1), np.linalg.inv),
        (lambda a: nlinalg.qr(a, "r"), lambda a: np.linalg.qr(a, "r")),
        (lambda a: nlinalg.svd(a, compute_uv=False), lambda a: np.linalg.svd(a, compute_uv=False)),
        (lambda a: nlinalg.SVD(False, False)(a), lambda a: np.linalg.svd(a, compute_uv=False)),
        (lambda a: nlinalg.norm(a, None), np.linalg.norm),
        (lambda a: nlinalg.norm(a, "inf"), lambda a: np.linalg.norm(a, np.inf)),
        (lambda a: nlinalg.norm(a, 1), lambda a: np.linalg.norm(a, 1)),
        (lambda a: nlinalg.norm(a[0], "-inf"), lambda a: np.linalg.norm(a[0], -np.inf)),
        (lambda a: nlinalg.norm(a[0], 3), lambda a: np.linalg.norm(a[0], 3)),
        (lambda a: nlinalg.tensorinv(a, 1), np.linalg.inv),
        (lambda a: nlinalg.tensorsolve(a, a[0]), lambda a: np.linalg.solve(a, a[0])),
    ],
)
def test_one_result(function, expected):
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
        found = value(function, A.astype(dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected(A), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nlinalg.eigh, np.linalg.eigh),
        (lambda a: nlinalg.eigh(a, "U"), lambda a: np.linalg.eigh(a, "U")),
        (nlinalg.Eigh("U"), lambda a: np.linalg.eigh(a, "U")),
        (nlinalg.qr, np.linalg.qr),
        (nlinalg.svd, np.linalg.svd),
        (nlinalg.eig, np.linalg.eig),
    ],
)
def test_several_results(function, expected):
    for found, wanted in zip(run(function, S), expected(S), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_factors_of_other_shapes():
    for full in (True, False):
        for found, wanted in zip(
            run(lambda b, f=full: nlinalg.svd(b, full_matrices=f), B), np.linalg.svd(B, full_matrices=full), strict=True
        ):
            np.testing.assert_allclose(found, wanted)
    q, r = run(lambda b: nlinalg.qr(b, "complete"), B)
    assert q.shape == (3, 3) and r.shape == (3, 2)


def test_least_squares():
    y = np.array([1.0, 2.0, -1.0])
    expected = np.linalg.lstsq(B, y, 1e-9)
    for function in (lambda x, y: nlinalg.lstsq(x, y, 1e-9), lambda x, y: nlinalg.lstsq()(x, y, 1e-9)):
        for found, wanted in zip(run(function, B, y), expected, strict=True):
            np.testing.assert_allclose(found, wanted)


def test_one_expression_for_every_size():
    x = dmatrix("x")
    program = SymbolicProgram([x], [nlinalg.det(nlinalg.matrix_inverse(x))], {}, "f")
    for size in (1, 2, 5):
        matrix = np.diag(np.arange(1.0, size + 1)) + 0.1
        np.testing.assert_allclose(program(matrix)[0], 1 / np.linalg.det(matrix))


def exponential_by(values, vectors):
    return (vectors * np.exp(values)) @ np.linalg.inv(vectors)


@pytest.mark.parametrize(
    "function",
    [
        nlinalg.matrix_inverse,
        nlinalg.pinv,
        nlinalg.det,
        nlinalg.trace,
        lambda a: nlinalg.norm(a, "nuc"),
        lambda a: nlinalg.eigh(a)[0],
        lambda a: nlinalg.svd(a)[1],
        lambda a: nlinalg.qr(a)[1],
        # The order in which eigenvalues come is not continuous.
        lambda a: np.sort(nlinalg.eig(a + a.T)[0]),
        lambda a: exponential_by(*nlinalg.eig(a + a.T)),
    ],
)
def test_derivatives(function):
    tracer.testing.check_grads(function, (A,), order=1)


def test_gradient_of_an_expression():
    x = dmatrix("x")
    slope = tracer.gradient.grad(nlinalg.det(x), x)
    found = SymbolicProgram([x], [slope], {}, "f")(A)[0]
    np.testing.assert_allclose(found, np.linalg.det(A) * np.linalg.inv(A).T)


def test_complex_eigenvalues_need_a_complex_matrix():
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    (x,) = variables([turn])
    program = SymbolicProgram([x], nlinalg.eig(x), {}, "f")
    with pytest.raises(np.linalg.LinAlgError, match=r"complex eigenvalues.*\nHINT"):
        program(turn)
    values, _ = run(nlinalg.eig, turn.astype(complex))
    np.testing.assert_allclose(sorted(values.imag), [-1, 1])


def test_errors_of_singular_matrices_are_numpys():
    x = dmatrix("x")
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        SymbolicProgram([x], [nlinalg.matrix_inverse(x)], {}, "f")(np.ones((2, 2)))


def test_wrong_dimensions():
    for function in (nlinalg.matrix_inverse, nlinalg.det, nlinalg.eigh, nlinalg.svd, nlinalg.qr, nlinalg.extract_diag):
        with pytest.raises(TypeError, match=r"takes a matrix.*\nHINT"):
            function(dvector("v"))
    with pytest.raises(TypeError, match="takes a vector"):
        nlinalg.alloc_diag(dmatrix("x"))
    with pytest.raises(TypeError, match="a vector or a matrix"):
        nlinalg.diag(dtensor3("x"))
    with pytest.raises(NotImplementedError, match="ndim > 2"):
        nlinalg.norm(dtensor3("x"), None)
    with pytest.raises(ValueError, match="out of bounds"):
        nlinalg.norm(2.0, None)
    with pytest.raises(ValueError, match="UPLO"):
        nlinalg.eigh(dmatrix("x"), "X")
    with pytest.raises(ValueError, match="mode"):
        nlinalg.qr(fmatrix("x"), "raw")
    with pytest.raises(TypeError, match="options of qr are mode"):
        nlinalg.QRFull("r", 2)
