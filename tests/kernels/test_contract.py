"""MatMul against NumPy: every dtype, layout, batch and size class."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.building import DTYPES, build, random_array, run

from tracer import _kernels
from tracer.lower.program import MatMul, View


def product(a: np.ndarray, b: np.ndarray, alpha: float = 1.0, initial: np.ndarray | None = None) -> np.ndarray:
    """The kernel's alpha * a @ b (+ initial); batches are broadcast already."""
    *batch, m, k = a.shape
    n = b.shape[-1]
    shape = (*batch, m, n)

    def multiply(views: list[View], out: View) -> MatMul:
        return MatMul(a.dtype, tuple(batch), m, n, k, views[0], views[1], out, alpha, initial is not None)

    def copy_initial(out: View) -> list[MatMul]:
        if initial is None:
            return []
        size = initial.size  # out = initial.reshape(size, 1) @ [[1]]
        matrix = View(2, 0, (1, 1))
        return [MatMul(a.dtype, (), size, 1, 1, matrix, View(3, 0, (1, 1)), View(out.buffer, 0, (1, 1)))]

    extra = [] if initial is None else [np.ascontiguousarray(initial), np.ones((1, 1), a.dtype)]
    return run([a, b, *extra], shape, a.dtype, multiply, copy_initial)


def expected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.matmul(a, b)


def check(a: np.ndarray, b: np.ndarray) -> None:
    result = product(a, b)
    right = expected(a, b)
    assert result.dtype == right.dtype and result.shape == right.shape
    if a.dtype.kind in "fc":
        tolerance = {"f": 2e-5, "F": 2e-5}.get(a.dtype.char, 1e-12)
        np.testing.assert_allclose(result, right, rtol=tolerance, atol=tolerance * max(1, a.shape[-1]))
    else:
        np.testing.assert_array_equal(result, right)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides in the last two dimensions."""
    if layout == "rows":
        return np.ascontiguousarray(array)
    if layout == "columns":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "padded":
        wide = np.empty((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
        wide[..., : array.shape[-1]] = array
        return wide[..., : array.shape[-1]]
    if layout == "strided":
        wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return np.ascontiguousarray(array[..., ::-1, ::-1])[..., ::-1, ::-1]


LAYOUTS = ["rows", "columns", "padded", "strided", "reversed"]
SIZES = [(1, 1, 1), (1, 1, 700), (1, 5, 3), (5, 1, 3), (3, 4, 1), (40, 1, 50), (1, 40, 50), (2, 3, 4), (20, 17, 33)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_layouts(dtype: np.dtype, size: tuple[int, int, int]) -> None:
    m, n, k = size
    generator = np.random.default_rng(1)
    a, b = random_array(generator, dtype, (m, k)), random_array(generator, dtype, (k, n))
    for layout_a, layout_b in itertools.product(LAYOUTS, LAYOUTS):
        check(laid_out(a, layout_a), laid_out(b, layout_b))


@pytest.mark.parametrize("dtype", ["f", "D", "h"])
@pytest.mark.parametrize("size", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 1, 0)], ids=str)
def test_empty(dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    check(np.ones((m, k), dtype), np.ones((k, n), dtype))
    check(np.ones((2, m, k), dtype), np.ones((2, k, n), dtype))
    check(np.ones((0, 2, 3), dtype), np.ones((0, 3, 2), dtype))


@pytest.mark.parametrize("dtype", ["d", "F", "i", "?"])
@pytest.mark.parametrize("size", [(2, 3, 4), (17, 13, 19), (1, 20, 40), (20, 1, 40), (1, 1, 9)], ids=str)
def test_batches(dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    generator = np.random.default_rng(2)
    make = lambda *shape: random_array(generator, np.dtype(dtype), shape)  # noqa: E731
    batch = (3, 2)
    cases = [
        (make(*batch, m, k), make(*batch, k, n)),
        (make(*batch, m, k), np.broadcast_to(make(k, n), (*batch, k, n))),
        (np.broadcast_to(make(m, k), (*batch, m, k)), make(*batch, k, n)),
        (np.broadcast_to(make(m, k), (*batch, m, k)), np.broadcast_to(make(k, n), (*batch, k, n))),
        (np.broadcast_to(make(3, 1, m, k), (*batch, m, k)), np.broadcast_to(make(2, k, n), (*batch, k, n))),
        (make(2, m, 3, k).transpose(2, 0, 1, 3), np.broadcast_to(make(k, n), (*batch, k, n))),
        (make(2, k, 3, m).transpose(2, 0, 3, 1), make(n, 2, k, 3).transpose(3, 1, 2, 0)),
        (make(*batch, m, k)[::-1], np.broadcast_to(make(n, k).T, (*batch, k, n))),
    ]
    for a, b in cases:
        check(a, b)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D", "l", "B"])
@pytest.mark.parametrize("size", [(2, 3, 4), (30, 20, 40), (30, 1, 40), (1, 30, 40), (3, 4, 1), (1, 1, 900), (2, 2, 0)])
def test_alpha_and_accumulate(dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    generator = np.random.default_rng(3)
    a, b, c = (random_array(generator, np.dtype(dtype), shape) for shape in [(m, k), (k, n), (m, n)])
    scale = np.dtype(dtype).type(2)
    result = product(a, b, alpha=2.0, initial=c)
    with np.errstate(over="ignore"):
        right = scale * (a @ b) + c
    np.testing.assert_allclose(result, right, rtol=1e-4, atol=1e-4 if dtype in "fF" else 1e-12)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D", "i"])
@pytest.mark.parametrize("transposed", [False, True, None])
@pytest.mark.parametrize("size", [(3, 4, 5), (20, 30, 40), (20, 1, 40), (1, 20, 40), (6, 5, 1)])
def test_strided_output(dtype: str, transposed: bool | None, size: tuple[int, int, int]) -> None:
    m, n, k = size
    generator = np.random.default_rng(4)
    a, b, c = (random_array(generator, np.dtype(dtype), shape) for shape in [(m, k), (k, n), (m, n)])
    strides = {False: (n, 1), True: (1, m), None: (2 * n, 2)}[transposed]
    shape = {False: (m, n), True: (n, m), None: (m, 2 * n)}[transposed]

    def multiply(views: list[View], out: View) -> MatMul:
        return MatMul(a.dtype, (), m, n, k, views[0], views[1], View(out.buffer, 0, strides), 1.0, True)

    def copy(out: View) -> list[MatMul]:
        unit = View(3, 0, (1, 1))
        return [MatMul(a.dtype, (m, n), 1, 1, 1, View(2, 0, (n, 1, 1, 1)), View(3, 0, (0, 0, 1, 1)),
                       View(out.buffer, 0, (*strides, *unit.strides)))]  # fmt: skip

    result = run([a, b, c, np.ones((1, 1), dtype)], shape, dtype, multiply, copy)
    placed = {False: result, True: result.T, None: result[:, ::2]}[transposed]
    np.testing.assert_allclose(placed, a @ b + c, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("size", [(2, 2, 3), (40, 1, 30), (1, 40, 30), (40, 40, 30), (1, 1, 2000), (4, 4, 1)])
def test_nan_and_infinity_spread_as_in_numpy(dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = np.ones((m, k), dtype), np.ones((k, n), dtype)
    a[0, 0], b[0, -1], b[-1, 0] = 0, np.inf, np.nan
    for alpha in (1.0, 0.0):
        with np.errstate(invalid="ignore"):
            right = np.asarray(alpha, dtype) * (a @ b)
        np.testing.assert_array_equal(np.isfinite(product(a, b, alpha)), np.isfinite(right))


@pytest.mark.parametrize("size", [(2, 2, 3), (60, 1, 60), (1, 60, 60), (60, 60, 60), (1, 1, 3000), (60, 60, 1)])
def test_what_the_output_memory_held_does_not_matter(size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = np.ones((m, k)), np.ones((k, n))
    program = build([a, b], (m, n), "d", lambda views, out: MatMul(a.dtype, (), m, n, k, views[0], views[1], out))
    for _ in range(20):
        poison = np.full((m, n), np.nan)  # likely the memory of the next output
        del poison
        (result,) = program.run([a, b])
        np.testing.assert_array_equal(result, np.full((m, n), float(k)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_products(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    size = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 31, 70, 260])
    m, n, k = (data.draw(size) for _ in range(3))
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    batch = data.draw(st.sampled_from([(), (2,), (1, 3)]))
    a = random_array(generator, dtype, (*batch, m, k))
    b = random_array(generator, dtype, (*batch, k, n))
    check(laid_out(a, data.draw(st.sampled_from(LAYOUTS))), laid_out(b, data.draw(st.sampled_from(LAYOUTS))))


def test_malformed_products_are_refused() -> None:
    a = np.ones((2, 3))
    with pytest.raises(ValueError):
        build([a, np.ones((3, 2), "f")], (2, 2), "d",
              lambda views, out: MatMul(a.dtype, (), 2, 2, 3, views[0], views[1], out))  # fmt: skip
    with pytest.raises(ValueError):
        build([a, a], (2, 2), "d", lambda views, out: MatMul(a.dtype, (), 2, 2, 4, views[0], views[1], out))


def test_set_blas_refuses_what_is_no_blas() -> None:
    with pytest.raises(TypeError):
        _kernels.set_blas({"dgemm": 1})
