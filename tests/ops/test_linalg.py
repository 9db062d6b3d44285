"""Linear algebra beyond the examples of the table: SciPy's functions, singular matrices, errors, degenerate cases."""

import inspect

import numpy as np
import pytest
import scipy.linalg
from ops.table import check_value
from scipy.linalg import cholesky as imported_cholesky

import tracer

A = np.array([[2.0, -0.5, 0.3], [0.7, 1.5, -0.2], [-0.4, 0.6, 1.8]])
B = np.array([[0.5, 1.0], [-1.2, 0.3], [0.9, -0.7]])


def positive(x):
    return x @ np.conjugate(np.swapaxes(x, -1, -2)) + 2 * np.eye(x.shape[-1])


SCIPY = [
    lambda a, b: scipy.linalg.expm(a),
    lambda a, b: scipy.linalg.expm(np.stack([a, 2 * a])),
    lambda a, b: scipy.linalg.expm_frechet(a, a @ a, compute_expm=False),
    lambda a, b: scipy.linalg.expm_frechet(a, a.T)[0],
    lambda a, b: scipy.linalg.solve_triangular(a, b),
    lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True, trans="T"),
    lambda a, b: scipy.linalg.solve_triangular(a, b[:, 0], trans=2, unit_diagonal=True),
    lambda a, b: scipy.linalg.solve(a, b),
    lambda a, b: scipy.linalg.solve(a, b[:, 1], transposed=True),
    lambda a, b: scipy.linalg.solve(a, b, assume_a="lower triangular"),
    lambda a, b: scipy.linalg.solve(a, b, assume_a="upper triangular", transposed=True),
    lambda a, b: scipy.linalg.solve(positive(a), b, assume_a="pos"),
    lambda a, b: scipy.linalg.solve(a + a.T.conj(), b, assume_a="her", lower=True),
    lambda a, b: scipy.linalg.solve(a + a.T, b, assume_a="sym"),
    lambda a, b: scipy.linalg.cholesky(positive(a)),
    lambda a, b: scipy.linalg.cholesky(positive(a), lower=True),
    lambda a, b: imported_cholesky(positive(a)),
    lambda a, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor(positive(a)), b),
    lambda a, b: scipy.linalg.cho_solve((scipy.linalg.cholesky(positive(a), lower=True), True), b[:, 0]),
    lambda a, b: scipy.linalg.inv(a),
    lambda a, b: scipy.linalg.inv(positive(a), assume_a="pos"),
    lambda a, b: scipy.linalg.det(a),
    lambda a, b: scipy.linalg.pinv(b),
    lambda a, b: scipy.linalg.eigh(a + a.T.conj(), eigvals_only=True),
    lambda a, b: np.abs(scipy.linalg.eigh(a + a.T.conj())[1]) ** 2,
    lambda a, b: scipy.linalg.eigvalsh(a + a.T.conj(), lower=False),
    lambda a, b: scipy.linalg.eigvalsh(a + a.T.conj(), positive(a)),
    lambda a, b: scipy.linalg.eigh(a + a.T.conj(), positive(a), lower=False)[0],
    lambda a, b: np.abs(scipy.linalg.eigh(a + a.T.conj(), positive(a))[1]) ** 2,
    lambda a, b: scipy.linalg.svd(b, full_matrices=False)[1],
    lambda a, b: scipy.linalg.svd(b, compute_uv=False),
    lambda a, b: scipy.linalg.svdvals(b),
    lambda a, b: scipy.linalg.qr(b, mode="economic")[1],
    lambda a, b: scipy.linalg.qr(b, mode="r")[0],
    lambda a, b: scipy.linalg.block_diag(a, b, b[0]),
    lambda a, b: scipy.linalg.norm(b),
]
every_scipy = pytest.mark.parametrize(
    "function", SCIPY, ids=lambda f: inspect.getsource(f).split(":", 1)[1].strip(" ,\n")
)


@every_scipy
def test_scipy_values(function):
    check_value(function, [A, B], "scipy.linalg of float64")
    if "transposed" not in inspect.getsource(function):  # SciPy does that with real matrices only
        check_value(function, [A + 0.1j * A.T, B - 0.2j], "scipy.linalg of complex128")


@every_scipy
def test_scipy_derivatives(function):
    # The ops that most of these are made of are in the table, to second order.
    order = 2 if "expm" in inspect.getsource(function) else 1
    tracer.testing.check_grads(function, (A, B), order=order, rtol=1e-4)
    if "transposed" not in inspect.getsource(function):
        tracer.testing.check_grads(function, (A + 0.1j * A.T, B - 0.2j), order=1, rtol=1e-4)


def test_scipy_itself_is_untouched_outside_of_a_trace():
    before = scipy.linalg.expm
    seen = []

    def function(x):
        seen.append(scipy.linalg.expm)
        return scipy.linalg.expm(x)

    compiled = tracer.compile(function)
    compiled(A)
    compiled(A)
    assert len(seen) == 1  # the function's own names are not changed for good either: no second trace
    assert seen[0] is not before and scipy.linalg.expm is before

    def fails(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tracer.compile(fails)(A)
    assert scipy.linalg.expm is before


def test_a_function_of_scipy_by_itself():
    np.testing.assert_allclose(tracer.compile(scipy.linalg.expm)(A), scipy.linalg.expm(A))
    gradient = tracer.compile(tracer.grad(lambda a: np.sum(imported_cholesky(positive(a)))))
    assert np.isfinite(gradient(A)).all()
    assert imported_cholesky is scipy.linalg.cholesky


def test_scipy_tests_for_finite_numbers():
    bad = np.full((2, 2), np.nan)
    with pytest.raises(ValueError, match="infs or NaNs"):
        tracer.compile(lambda a: scipy.linalg.inv(a))(bad)
    assert np.isnan(tracer.compile(lambda a: scipy.linalg.solve_triangular(a, a, check_finite=False))(bad)).all()


# --- triangles that are read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.linalg.cholesky(a),
        lambda a: np.linalg.cholesky(a, upper=True),
        lambda a: np.linalg.eigvalsh(a),
        lambda a: np.linalg.eigh(a, UPLO="U")[0],
        lambda a: np.abs(np.linalg.eigh(a, UPLO="L")[1]),
        lambda a: scipy.linalg.cholesky(a),
    ],
)
def test_only_what_is_read_has_a_derivative(function):
    """Perturbing the whole matrix, as differences do, moves only what NumPy reads of it."""
    matrix = positive(A) + np.arange(9.0).reshape(3, 3) / 50
    tracer.testing.check_grads(function, (matrix,), order=2)
    tracer.testing.check_grads(function, (matrix + 0.1j * (A - A.T),), order=1)


# --- singular, empty and repeated --------------------------------------------------------------------------------


def test_determinant_of_singular_matrices():
    singular = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, -1.0, 2.0]])
    nearly = singular + np.diag([0, 0, 1e-13])
    stack = np.stack([singular, A, nearly, np.zeros((3, 3))])
    tracer.testing.check_grads(lambda a: np.linalg.det(a), (stack,), order=1, rtol=1e-6)


def test_second_derivative_of_the_determinant():
    tracer.testing.check_grads(lambda a: np.linalg.det(a), (np.stack([A, 0.01 * A]),), order=2)


def test_inverse_of_a_singular_matrix_is_numpys_error():
    def function(a):
        return np.linalg.inv(a) + 1

    for backend in ("reference", "cpu"):
        with pytest.raises(np.linalg.LinAlgError, match="Singular matrix") as found:
            tracer.compile(function, backend=backend)(np.ones((2, 2)))
        assert "in function" in "".join(found.value.__notes__)
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        tracer.compile(np.linalg.cholesky)(-np.eye(2))


def test_a_singular_matrix_of_many_leaves_everything_as_it_was():
    state = tracer.shared(np.eye(2))

    @tracer.compile
    def solved(a, b):
        state.set(state + 1.0)
        return np.linalg.solve(a, b)

    a, b = np.stack([np.eye(2), 2 * np.eye(2), np.eye(2)]), np.ones((2, 1))
    np.testing.assert_array_equal(solved(a, b)[1], b / 2)
    before = np.array(state.get_value())
    a[1] = 1.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix") as found:
        solved(a, b)
    assert "in solved" in "".join(found.value.__notes__)
    np.testing.assert_array_equal(state.get_value(), before)
    np.testing.assert_array_equal(solved(a[::2], b), np.ones((2, 2, 1)))


@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.linalg.inv(a),
        lambda a: np.linalg.det(a[0]),
        lambda a: np.linalg.eigh(a),
        lambda a: np.linalg.eigvals(a),
        lambda a: np.linalg.cholesky(a),
        lambda a: np.linalg.svd(a[0]),
        lambda a: np.linalg.qr(a[0]),
        lambda a: np.linalg.slogdet(a),
        lambda a: np.linalg.matrix_power(a, 2),
        lambda a: np.linalg.solve(a, a),
        lambda a: np.linalg.solve(a @ a.T, a.T),
        lambda a: np.linalg.lstsq(a, a.T),
        lambda a: np.linalg.eigh(a @ a.T, "X"),
        lambda a: np.linalg.qr(a, "unknown"),
        lambda a: np.linalg.tensorsolve(a, a[0]),
        lambda a: np.linalg.tensorinv(a, 0),
        lambda a: np.linalg.multi_dot([a]),
        lambda a: np.linalg.multi_dot([a, a[None], a]),
        lambda a: np.linalg.pinv(a, 1e-3, rtol=1e-3),
        lambda a: np.linalg.matrix_rank(a, 1e-3, rtol=1e-3),
        lambda a: np.linalg.cond(a[:0]),
    ],
)
def test_errors_are_numpys(function):
    matrix = np.arange(6.0).reshape(2, 3)
    with pytest.raises(ValueError) as expected:
        function(matrix)
    with pytest.raises(type(expected.value)) as found:
        tracer.compile(function)(matrix)
    assert str(found.value).splitlines()[0] == str(expected.value).splitlines()[0]


def test_condition_of_a_singular_matrix():
    for p in (None, 1, "fro"):
        check_value(lambda a, p=p: np.linalg.cond(a, p) > 1e12, [np.stack([np.ones((2, 2)), np.eye(2)])], f"cond {p}")
    check_value(lambda a: np.linalg.cond(a, 1), [np.array([[1.0, 1.0], [1.0, 1.0]])], "singular")
    check_value(lambda a: np.linalg.cond(a, 1), [np.array([[1.0, np.nan], [1.0, 1.0]])], "nan")


def test_residuals_of_least_squares():
    tall = np.arange(8.0).reshape(4, 2) ** 1.5
    right = np.array([1.0, 0.0, -2.0, 1.0])
    for b in (right, np.stack([right, right**2], 1)):
        check_value(lambda a, b: np.linalg.lstsq(a, b)[1], [tall, b], "residuals")
        tracer.testing.check_grads(lambda a, b: np.linalg.lstsq(a, b)[1], (tall, b), order=2)
    check_value(lambda a, b: np.linalg.lstsq(a, b)[1], [tall.T, right[:2]], "no residuals")
    low = np.ones((4, 2))
    x, residuals, rank, values = tracer.compile(lambda a, b: np.linalg.lstsq(a, b))(low, right)
    np.testing.assert_allclose(x, np.linalg.lstsq(low, right)[0])
    assert rank == 1 and np.isnan(residuals).all() and values.shape == (2,)


def test_least_squares_of_low_rank():
    def function(x, b):
        return np.linalg.lstsq(x[:, :1] @ x[:1], b, rcond=1e-6)[0]

    tracer.testing.check_grads(function, (A, B), order=2)


def test_equal_eigenvalues_have_finite_derivatives_of_their_sum():
    gradient = tracer.grad(lambda a: np.sum(np.linalg.eigvalsh(a)))
    np.testing.assert_allclose(gradient(np.eye(3)), np.eye(3), atol=1e-12)
    gradient = tracer.grad(lambda a: np.sum(np.linalg.eigh(a)[0]) + 0 * np.sum(np.linalg.eigh(a)[1]))
    np.testing.assert_allclose(gradient(np.eye(3)), np.eye(3), atol=1e-12)
    nuclear = tracer.grad(lambda a: np.linalg.norm(a, "nuc"))
    np.testing.assert_allclose(nuclear(2 * np.eye(3)), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.linalg.inv(a),
        lambda a: np.linalg.det(a),
        lambda a: np.linalg.slogdet(a)[1],
        lambda a: np.linalg.solve(a, a),
        lambda a: np.linalg.cholesky(a),
        lambda a: np.linalg.eigh(a)[0],
        lambda a: np.linalg.svd(a)[1],
        lambda a: np.linalg.svd(np.zeros((2, 0)))[0] if a is None else np.linalg.svd(a)[0],
        lambda a: np.linalg.qr(a)[1],
        lambda a: np.linalg.matrix_power(a, 3),
        lambda a: np.linalg.matrix_rank(a),
        lambda a: np.linalg.norm(a, 2, axis=(-2, -1)),
        lambda a: np.linalg.norm(a, 1, axis=(-2, -1)),
        lambda a: np.linalg.norm(a, np.inf, axis=-1),
    ],
)
def test_no_elements(function):
    check_value(function, [np.zeros((0, 0))], "empty")
    check_value(function, [np.zeros((0, 2, 2))], "no matrices")


# --- factors as a whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 4)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
def test_factors_give_back_the_matrix_and_its_derivatives(shape, full, dtype):
    """Products of all factors are the matrix itself, so their derivatives are known exactly."""
    rng = np.random.default_rng(5)
    a, t = (np.asarray(rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype is complex else 0)) for _ in "at")

    def by_svd(x):
        u, s, vh = np.linalg.svd(x, full_matrices=full)
        count = s.shape[-1]
        return (u[..., :count] * s[..., None, :]) @ vh[..., :count, :]

    def by_qr(x):
        q, r = np.linalg.qr(x, mode="complete" if full else "reduced")
        return q @ r

    for function in (by_svd, by_qr):
        value, moved = tracer.compile(lambda x, t, f=function: tracer.jvp(f, (x,), (t,)))(a, t)
        np.testing.assert_allclose(value, a, atol=1e-12)
        np.testing.assert_allclose(moved, t, atol=1e-10)
        weighted = tracer.grad(lambda x, t, f=function: np.sum(np.real(f(x) * t)))
        np.testing.assert_allclose(weighted(a, t), t, atol=1e-10)


def test_eigenvectors_give_back_the_matrix():
    def function(a):
        values, vectors = np.linalg.eig(a)
        return np.real((vectors * values) @ np.linalg.inv(vectors))

    np.testing.assert_allclose(tracer.compile(function)(A), A, atol=1e-12)
    np.testing.assert_allclose(tracer.grad(lambda a: np.sum(function(a) * A))(A), A, atol=1e-10)


def test_eigenvalues_are_always_complex():
    """NumPy looks at the numbers: real where all imaginary parts are zero. A trace cannot."""
    values, vectors = tracer.compile(lambda a: tuple(np.linalg.eig(a)))(positive(A))
    assert values.dtype == vectors.dtype == np.complex128
    np.testing.assert_allclose(values, np.linalg.eig(positive(A))[0])
    assert tracer.compile(np.linalg.eigvals)(positive(A).astype(np.float32)).dtype == np.complex64


def test_results_are_numpys_tuples():
    def function(a):
        sign, logarithm = np.linalg.slogdet(a)
        return np.linalg.eigh(a).eigenvectors, np.linalg.svd(a).Vh, np.linalg.qr(a).Q, sign * logarithm

    assert len(tracer.compile(function)(A)) == 4


def test_multi_dot_takes_the_cheapest_order():
    counted = []

    def function(a, b, c):
        result = np.linalg.multi_dot([a, b, c])
        node = result.__tracer_node__
        counted.extend(item.shape for item in node.inputs)
        return result

    tracer.compile(function)(np.ones((10, 100)), np.ones((100, 5)), np.ones((5, 50)))
    assert counted == [(10, 5), (5, 50)]
