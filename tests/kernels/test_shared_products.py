"""Products large enough to be shared out over the thread pool: every way of cutting them gives NumPy's result."""

import numpy as np
import pytest
from work import on_threads

import tracer

SHAPES = {
    "square": ((90, 80), (80, 110)),
    "tall": ((701, 33), (33, 30)),
    "wide": ((30, 33), (33, 701)),
    "deep": ((17, 3000), (3000, 19)),
    "matrix @ vector": ((500, 403), (403,)),
    "vector @ matrix": ((403,), (403, 500)),
    "batch": ((6, 50, 40), (6, 40, 60)),
    "batch @ matrix": ((5, 3, 40, 50), (50, 70)),
    "broadcast batch": ((1, 4, 30, 40), (3, 1, 40, 50)),
    "batch of vectors": ((7, 1, 300), (7, 300, 200)),
}


def arrays(name, dtype, seed=0):
    rng = np.random.default_rng(seed)
    for shape in SHAPES[name]:
        value = rng.standard_normal(shape)
        yield (value + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else value).astype(dtype)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128], ids=lambda t: t.__name__)
@pytest.mark.parametrize("name", SHAPES)
def test_products_of_all_forms(name, dtype, threads):
    a, b = arrays(name, dtype)
    tolerance = 1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-11
    flip_a = np.ascontiguousarray(np.swapaxes(a, -1, -2)) if a.ndim > 1 else a
    flip_b = np.ascontiguousarray(np.swapaxes(b, -1, -2)) if b.ndim > 1 else b
    with tracer.config.changed(threads=threads):
        plain = tracer.compile(lambda a, b: a @ b)(a, b)
        turned = tracer.compile(lambda a, b: _turn(a) @ _turn(b))(flip_a, flip_b)
        strided = tracer.compile(lambda a, b: a[..., ::-1] @ b)(a, b)
    np.testing.assert_allclose(plain, a @ b, rtol=tolerance, atol=tolerance * 50)
    np.testing.assert_allclose(turned, a @ b, rtol=tolerance, atol=tolerance * 50)
    np.testing.assert_allclose(strided, a[..., ::-1] @ b, rtol=tolerance, atol=tolerance * 50)


def _turn(value):
    return np.swapaxes(value, -1, -2) if value.ndim > 1 else value


def test_a_gradient_that_accumulates():
    a, b = arrays("square", np.float64)
    f = tracer.compile(tracer.value_and_grad(lambda a, b: np.sum((a @ b) ** 2) + np.sum(a @ (b * 2)), (0, 1)))
    value, (da, db) = f(a, b)
    assert np.isclose(value, np.sum((a @ b) ** 2) + np.sum(a @ (b * 2)))
    g = 2 * (a @ b)
    np.testing.assert_allclose(da, (g + 2) @ b.T)
    np.testing.assert_allclose(db, a.T @ (g + 2))


def test_several_threads_and_scipys_own_products_at_once():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = arrays("square", np.float64)
    product = tracer.compile(lambda a, b: a @ b)
    matrix = a @ a.T + 100 * np.eye(len(a))
    expected, factor = a @ b, linalg.cholesky(matrix)
    wrong = []

    def work(number):
        run, wanted = jobs[number]
        for _ in range(50):
            if not np.allclose(run(), wanted):
                wrong.append(run)

    jobs = [(lambda: product(a, b), expected), (lambda: linalg.cholesky(matrix), factor)] * 2
    on_threads(work)
    assert not wrong
