"""Batching rules that the examples of the op table do not reach: writing by index, SciPy's functions, and the like."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.signal

import tracer

RNG = np.random.default_rng(11)


def subsets(count):
    """All inputs mapped, and each alone."""
    yield (0,) * count
    if count > 1:
        yield from (tuple(0 if place == one else None for place in range(count)) for one in range(count))


def check(function, *columns, derivative=True):
    """`columns` hold three examples of each argument: the map is the loop, and its derivatives are theirs."""
    for axes in subsets(len(columns)):
        args = [np.stack(column) if axis == 0 else column[0] for column, axis in zip(columns, axes, strict=True)]
        rows = [[arg if axis is None else arg[n] for arg, axis in zip(args, axes, strict=True)] for n in range(3)]
        mapped = tracer.vmap(function, axes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = np.stack([function(*(np.array(item) for item in row)) for row in rows])
        np.testing.assert_allclose(mapped(*map(np.array, args)), wanted, rtol=1e-10, atol=1e-12)
        floats = tuple(place for place, arg in enumerate(args) if arg.dtype.kind == "f")
        if not derivative or not floats:
            continue
        single = tracer.grad(lambda *values: np.sum(np.sin(function(*values))), argnums=floats)
        ones = [single(*(np.array(item) for item in row)) for row in rows]
        whole = tracer.grad(lambda *values, m=mapped: np.sum(np.sin(m(*values))), argnums=floats)(*map(np.array, args))
        for found, place, parts in zip(whole, floats, zip(*ones, strict=True), strict=True):
            np.testing.assert_allclose(found, np.stack(parts) if axes[place] == 0 else sum(parts), atol=1e-10)
        for found, parts in zip(tracer.vmap(single, axes)(*map(np.array, args)), zip(*ones, strict=True), strict=True):
            np.testing.assert_allclose(found, np.stack(parts), atol=1e-10)


def floats(*shape):
    return [RNG.normal(size=shape) for _ in range(3)]


def integers(high, *shape):
    return [RNG.integers(-high, high, shape) for _ in range(3)]


# --- reading and writing by index --------------------------------------------------------------------------------


def written(x, i, v):
    x = x.copy()
    x[i] = v
    return x


def added(x, i, v):
    x = x.copy()
    np.add.at(x, i, v)
    return x


def column_written(x, i, v):
    x = x.copy()
    x[:, i] = v
    x[1:, 0] += np.sum(v)
    return x


def pairs_written(x, i, v):
    x = x.copy()
    x[i[:, None], i] *= v[0, :1]
    x[..., -1] = v[0, 0]
    return x


@pytest.mark.parametrize("function", [written, added])
def test_writing_rows_by_index(function):
    repeated = [np.array([1, 1, 3]), np.array([2, -1, 2]), np.array([0, 0, 0])]
    check(function, floats(4, 2), repeated, floats(3, 2))
    check(function, floats(4, 2), repeated, floats(2))
    check(function, floats(4, 2), [np.array(n) for n in (1, -2, 3)], floats(2))


def test_writing_columns_and_pairs_by_index():
    places = [np.array(item) for item in ([1, 2], [2, 3], [0, 1])]
    check(column_written, floats(3, 4), places, floats(3, 2))
    check(pairs_written, floats(4, 4), places, floats(3, 2))


def test_reading_by_index():
    check(lambda x, i: x[i], floats(4, 3), integers(4, 5))
    check(lambda x, i: x[:, i], floats(4, 3), integers(3, 2, 2))
    check(lambda x, i, j: x[i, j], floats(4, 3), integers(4, 2, 1), integers(3, 5))
    check(lambda x, i: x[i, :, [0, 1]], floats(4, 3, 2), integers(4))
    check(lambda x, i: np.take_along_axis(x, i, 1), floats(4, 3), integers(3, 4, 2))


def test_masks():
    def masked(x, y):
        x = x.copy()
        x[x > y] = 2.5
        x += np.where(y > 0, x, y)
        return x

    check(masked, floats(3, 4), floats(4))


def test_writing_through_views():
    def function(x, v):
        x = x.copy()
        x.T[1:, ::2] += v
        x.reshape(-1)[::5] = v[0, 0]
        np.fill_diagonal(x, np.sum(x))
        x[::-1][0] *= 2
        return x

    check(function, floats(4, 3), floats(2, 2))


# --- searching and decompositions --------------------------------------------------------------------------------


def test_searching():
    check(lambda a, v: np.searchsorted(np.sort(a), v), floats(5), floats(2, 3))
    check(lambda a: np.argsort(a, kind="stable"), integers(3, 6))
    check(lambda a, b: np.interp(a, np.sort(b), b), floats(4), floats(6))


def test_least_squares():
    check(lambda a, b: np.linalg.lstsq(a, b)[0], floats(5, 3), floats(5))


# --- SciPy -------------------------------------------------------------------------------------------------------


def positive(a):
    return a @ a.T + 3 * np.eye(3)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: scipy.linalg.solve_triangular(a + 3 * np.eye(3), b, lower=True),
        lambda a, b: scipy.linalg.solve(positive(a), b, assume_a="pos"),
        lambda a, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor(positive(a)), b),
        lambda a, b: scipy.linalg.expm(a) @ b,
    ],
    ids=["solve_triangular", "solve", "cho_solve", "expm"],
)
def test_scipys_linear_algebra(function):
    check(function, floats(3, 3), floats(3, 2))


def test_solving_with_one_matrix_is_one_solution():
    mapped = tracer.vmap(np.linalg.solve, (None, 0))
    nodes = tracer.compile(mapped).plan(np.eye(3), np.ones((7, 3))).graph.nodes()
    assert [node.shape for node in nodes if node.op.name == "solve"] == [(3, 7)]


# --- products ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4))],
)
def test_products(shapes):
    check(np.matmul, *(floats(*shape) for shape in shapes))


def test_products_of_other_dtypes():
    check(np.matmul, integers(4, 2, 3), integers(4, 3))
    check(np.matmul, integers(4, 3), integers(4, 3))
    check(np.matmul, [row > 0 for row in floats(3)], [row > 0 for row in floats(3)])


def test_filters():
    check(lambda x, k: scipy.signal.convolve(x, k, method="direct"), floats(3, 4), floats(2, 2))
    check(
        lambda b, a, x: scipy.signal.lfilter(b, a, x), floats(2), [np.array([2.0, n, 0.1]) for n in range(3)], floats(7)
    )


def test_windows_and_pictures():
    view = np.lib.stride_tricks.sliding_window_view
    check(lambda x, w: np.sum(view(x, (2, 2)) * w, axis=(-1, -2)), floats(4, 5), floats(2, 2))
    check(lambda x, k: np.convolve(x, k, "same"), floats(6), floats(3))
    check(lambda x: np.real(np.fft.ifft2(np.fft.fft2(x) * 2)), floats(3, 4))
    check(lambda x: np.fft.irfft(np.fft.rfft(x), 5), floats(6))
