"""Windows over axes and pooling: values against plain loops, memory shared, derivatives, and large windows."""

from itertools import product

import numpy as np
import pytest

import tracer
from tracer.graph.op import OPS
from tracer.ops.windows import WINDOWS, overlap_add, pool

BACKENDS = ("cpu", "reference")
view = np.lib.stride_tricks.sliding_window_view


def windows_by_loops(x, axis, size, step, dilation):
    x = np.moveaxis(x, axis, -1)
    starts = range(0, x.shape[-1] - (size - 1) * dilation, step)
    found = np.array([[x[..., start + place * dilation] for start in starts] for place in range(size)])
    return np.moveaxis(found, 1, axis + 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("size", "step", "dilation"), [(1, 1, 1), (3, 1, 1), (2, 2, 1), (2, 3, 2), (4, 1, 1), (5, 2, 1)]
)
def test_windows(axis, size, step, dilation):
    x = np.random.default_rng(0).standard_normal((6, 5, 7))
    params = {"axis": axis, "size": size, "step": step, "dilation": dilation}
    expected = windows_by_loops(x, **params)
    for backend in BACKENDS:
        found = tracer.compile(lambda x: WINDOWS(x, **params), backend=backend)(x)
        np.testing.assert_array_equal(found, expected)
    tracer.testing.check_grads(lambda x: np.square(WINDOWS(np.sin(x), **params)), (x,), order=2)
    # The transpose, by the inner product with any other array.
    g = np.random.default_rng(1).standard_normal(expected.shape)
    back = overlap_add(g, axis, x.shape[axis], step, dilation)
    assert np.vdot(back, x) == pytest.approx(np.vdot(g, expected))


def test_windows_are_a_view():
    program = tracer.compile(lambda x: np.sum(view(x, 100, axis=0) ** 2))
    x = np.ones((1000, 3))
    assert program(x) == 901 * 100 * 3
    assert OPS["windows"].layout((10, 4), (4, 1), 2, axis=0, size=3, step=2, dilation=1) == ((4, 8, 1), 2)


@pytest.mark.parametrize(("size", "step"), [(0, 1), (9, 1)])
def test_no_windows(size, step):
    x = np.ones((5, 2))
    found = tracer.grad(lambda x: np.sum(WINDOWS(x, axis=0, size=size, step=step, dilation=1)) + np.sum(x))(x)
    np.testing.assert_array_equal(found, 1)


def test_sliding_windows_follow_writes():
    def function(x):
        x = x * 1
        moved = view(x, 2)
        x[0] = 5
        return moved

    x = np.arange(4.0)
    np.testing.assert_array_equal(tracer.compile(function)(x), [[5, 1], [1, 2], [2, 3]])


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (((2, 2),), ValueError),
        ((9,), ValueError),
        ((-1,), ValueError),
        ((2, 3), np.exceptions.AxisError),
    ],
)
def test_sliding_windows_that_cannot_be(args, error):
    x = np.arange(4.0)
    for call in (view, tracer.compile(lambda x: view(x, *args))):
        with pytest.raises(error):
            call(x, *args) if call is view else call(x)


def test_sliding_windows_cannot_be_written_to():
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="writeable"):
        tracer.compile(lambda x: view(x, 2, writeable=True))(np.arange(4.0))

    def function(x):
        view(x, 2)[0] = 1
        return x

    for call in (function, tracer.compile(function)):
        with pytest.raises(ValueError, match="read-only"):
            call(np.arange(4.0))


# --- pooling -----------------------------------------------------------------------------------------------------


def pool_by_loops(x, sizes, steps, reduce):
    counts = [(n - s) // t + 1 for n, s, t in zip(x.shape[-len(sizes) :], sizes, steps, strict=True)]
    result = np.zeros((*x.shape[: -len(sizes)], *counts))
    for place in product(*map(range, counts)):
        index = tuple(slice(p * t, p * t + s) for p, s, t in zip(place, sizes, steps, strict=True))
        result[(..., *place)] = reduce(x[(..., *index)], axis=tuple(range(-len(sizes), 0)))
    return result


SIZES = [((2, 2), (2, 2)), ((3, 2), (1, 1)), ((2, 3), (3, 4)), ((5, 4), (1, 2)), ((8, 6), (8, 6)), ((1, 1), (2, 1))]


@pytest.mark.parametrize(("sizes", "steps"), [*SIZES, ((20,), (1,)), ((20,), (20,)), ((2, 3, 2), (2, 1, 2))])
@pytest.mark.parametrize("largest", [True, False])
def test_pool(sizes, steps, largest):
    shape = (2, 40) if len(sizes) == 1 else (3, 8, 6)
    x = np.random.default_rng(0).standard_normal(shape)
    expected = pool_by_loops(x, sizes, steps, np.max if largest else np.sum)
    for backend in BACKENDS:
        found = tracer.compile(lambda x: pool(x, sizes, steps, largest), backend=backend)(x)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    tracer.testing.check_grads(lambda x: np.square(pool(np.sin(x), sizes, steps, largest)), (x,), order=2)


@pytest.mark.parametrize(("sizes", "steps"), SIZES)
def test_every_largest_element_has_the_whole_derivative(sizes, steps):
    x = np.random.default_rng(0).integers(0, 3, (2, 8, 6)).astype(float)
    g = tracer.grad(lambda x: np.sum(pool(x, sizes, steps, True)))(x)
    expected = np.zeros_like(x)
    best = pool_by_loops(x, sizes, steps, np.max)
    for place in np.ndindex(best.shape[1:]):
        index = (slice(None), *(slice(p * t, p * t + s) for p, s, t in zip(place, sizes, steps, strict=True)))
        expected[index] += x[index] == best[(slice(None), *place)][:, None, None]
    np.testing.assert_array_equal(g, expected)
    tangent = np.random.default_rng(1).standard_normal(x.shape)
    pushed = tracer.jvp(lambda x: np.sum(pool(x, sizes, steps, True)), (x,), (tangent,))[1]
    assert pushed == pytest.approx(np.vdot(expected, tangent))


def test_a_pooled_array_can_be_written_to():
    def function(x):
        y = pool(x, (2, 2), (2, 2), True)
        y += 1
        y[0] = 7
        return y, x

    y, x = tracer.compile(function)(np.eye(4))
    np.testing.assert_array_equal(y, [[7, 7], [1, 2]])
    np.testing.assert_array_equal(x, np.eye(4))


def test_pooling_of_integers():
    x = np.arange(16).reshape(4, 4)
    found = tracer.compile(lambda x: pool(x, (2, 2), (2, 2), True))(x)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[5, 7], [13, 15]])
