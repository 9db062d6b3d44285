"""Cumulative and ArgReduce against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels.building import DTYPES, build, random_array, run

from tracer.lower.program import ArgReduce, Cumulative, View

UFUNCS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
ORDERED = [dtype for dtype in DTYPES if dtype.kind != "c"]
SHAPES = [(1,), (9,), (1000,), (4, 5), (300, 20), (3, 600), (2, 3, 4), (3, 20, 40), (5, 0), (0, 5)]


def cumulative(kind: str, array: np.ndarray, axis: int) -> np.ndarray:
    def instruction(views: list[View], out: View) -> Cumulative:
        return Cumulative(kind, array.shape, axis, views[0], out)

    return run([array], array.shape, array.dtype, instruction)


def argument_of(kind: str, array: np.ndarray, axis: int) -> np.ndarray:
    shape = array.shape[:axis] + array.shape[axis + 1 :]

    def instruction(views: list[View], out: View) -> ArgReduce:
        return ArgReduce(kind, array.shape, axis, views[0], out)

    return run([array], shape, np.int64, instruction)


def views_of(array: np.ndarray) -> list[np.ndarray]:
    """The same shape with other strides."""
    doubled = np.repeat(array, 2, axis=-1)[..., ::2]
    return [array, np.asfortranarray(array), doubled, array[::-1], array[..., ::-1]]


def check_cumulative(kind: str, array: np.ndarray) -> None:
    for axis in range(array.ndim):
        with np.errstate(all="ignore"):
            right = UFUNCS[kind].accumulate(array, axis=axis, dtype=array.dtype)
        if kind == "prod" and array.dtype.kind == "c":  # NumPy multiplies some of them with fused instructions
            bound = 1e-5 if array.dtype == np.complex64 else 1e-13
            np.testing.assert_allclose(cumulative(kind, array, axis), right, rtol=bound)
        else:
            np.testing.assert_array_equal(cumulative(kind, array, axis), right)


def check_argument(array: np.ndarray) -> None:
    for axis in range(array.ndim):
        if array.shape[axis] > 0:
            np.testing.assert_array_equal(argument_of("argmax", array, axis), np.argmax(array, axis))
            np.testing.assert_array_equal(argument_of("argmin", array, axis), np.argmin(array, axis))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", UFUNCS)
def test_cumulative(kind: str, dtype: np.dtype) -> None:
    generator = np.random.default_rng(0)
    for shape in SHAPES:
        for array in views_of(random_array(generator, dtype, shape)):
            check_cumulative(kind, array)


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("kind", UFUNCS)
@pytest.mark.parametrize("shape", [(50,), (12, 17)])
def test_nan_stays(kind: str, dtype: str, shape: tuple[int, ...]) -> None:
    array = random_array(np.random.default_rng(1), np.dtype(dtype), shape)
    array[array.real > 1.2] = np.nan
    array[array.real < -1.5] = np.inf
    check_cumulative(kind, array)


def test_in_place() -> None:
    array = np.arange(12.0).reshape(3, 4)

    def fill(out: View) -> list[Cumulative]:
        return [Cumulative("sum", (3, 4), 0, View(0, 0, (4, 1)), out)]

    result = run([array], (3, 4), "d", lambda views, out: Cumulative("sum", (3, 4), 1, out, out), fill)
    np.testing.assert_array_equal(result, array.cumsum(0).cumsum(1))


@pytest.mark.parametrize("dtype", ORDERED, ids=str)
def test_argument(dtype: np.dtype) -> None:
    generator = np.random.default_rng(2)
    for shape in SHAPES:
        for array in views_of(random_array(generator, dtype, shape)):
            check_argument(array)
    few = generator.integers(0, 2, (40, 700)).astype(dtype)  # many ties: the first one counts
    check_argument(few)
    check_argument(np.full((3, 20), few[0, 0]))


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("places", [[0], [5], [699], [300, 400], [256], [255, 257]])
def test_the_first_nan_wins(dtype: str, places: list[int]) -> None:
    array = random_array(np.random.default_rng(3), np.dtype(dtype), (700, 9))
    array[places] = np.nan
    for form in (array, np.asfortranarray(array), array[:, :2], array[::-1]):
        check_argument(form)
        check_argument(form.T)


def test_infinities_and_zeros() -> None:
    for values in ([-np.inf] * 20, [np.inf] * 300, [0.0, -0.0, 0.0], [-0.0, 0.0], [np.nan] * 20):
        check_argument(np.array(values))
        check_argument(np.array([values] * 10).T)


def test_malformed_instructions_are_refused() -> None:
    array = np.ones((3, 0))
    with pytest.raises(ValueError):
        build([array], (3,), np.int64, lambda views, out: ArgReduce("argmax", (3, 0), 1, views[0], out))
    with pytest.raises(ValueError):
        build([array], (3, 0), "d", lambda views, out: Cumulative("sum", (3, 0), 2, views[0], out))
    with pytest.raises(ValueError):
        build([array], (3, 0), "d", lambda views, out: Cumulative("median", (3, 0), 0, views[0], out))


@given(st.data())
def test_random_shapes(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(ORDERED))
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=4)))
    array = random_array(np.random.default_rng(data.draw(st.integers(0, 100))), dtype, shape)
    order = data.draw(st.permutations(range(len(shape))))
    check_cumulative(data.draw(st.sampled_from(sorted(UFUNCS))), array.transpose(order))
    check_argument(array.transpose(order))
