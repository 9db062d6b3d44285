"""Gather and Scatter against NumPy's integer-array indexing, `np.add.at` and assignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels.building import DTYPES, build, random_array, run, whole

from tracer import _kernels
from tracer.lower.program import Buffer, Gather, MatMul, Program, Scatter, View
from tracer.types import contiguous_strides


def gather(source: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    """source[indices] by the kernel."""
    shape = (*indices[0].shape, *source.shape[len(indices) :])

    def instruction(views: list[View], out: View) -> Gather:
        return Gather(shape, views[0], source.shape, len(indices), tuple(views[1:]), out)

    return run([source, *indices], shape, source.dtype, instruction)


def scatter_program(base: np.ndarray, values: np.ndarray, indices: tuple[np.ndarray, ...], mode: str) -> Program:
    """A copy of base with values written at the indices; the base is copied by a gather of everything."""
    everything = np.arange(base.shape[0])
    inputs = [base, values, everything, *indices]
    buffers = [
        Buffer("argument", array.dtype, array.shape, tuple(s // array.itemsize for s in array.strides), i)
        for i, array in enumerate(inputs)
    ]
    buffers.append(Buffer("output", base.dtype, base.shape, contiguous_strides(base.shape), 0))
    out = View(len(inputs), 0, contiguous_strides(base.shape))
    index_views = tuple(whole(index, 3 + i) for i, index in enumerate(indices))
    copy = Gather(base.shape, whole(base, 0), base.shape, 1, (whole(everything, 2),), out)
    write = Scatter(values.shape, out, base.shape, len(indices), index_views, whole(values, 1), mode)
    return Program(tuple(buffers), (), (copy, write), 0, 1)


def scatter(base: np.ndarray, values: np.ndarray, *indices: np.ndarray, mode: str = "add") -> np.ndarray:
    """A copy of base with values added or set at the indices, by the kernel."""
    program = scatter_program(base, values, indices, mode)
    program.verify()
    (result,) = _kernels.Program(program).run([base, values, np.arange(base.shape[0]), *indices])
    return result


def added(base: np.ndarray, values: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    right = base.copy()
    np.add.at(right, indices, values)
    return right


def random_indices(generator: np.random.Generator, shape: tuple[int, ...], sizes: tuple[int, ...]) -> list[np.ndarray]:
    return [generator.integers(-size, size, shape) for size in sizes]


SHAPES = [((7,), 1), ((5, 6), 1), ((5, 6), 2), ((4, 3, 5), 1), ((4, 3, 5), 2), ((2, 3, 4, 5), 2), ((6, 1, 4), 1)]
INDEX_SHAPES: list[tuple[int, ...]] = [(), (1,), (9,), (3, 4), (2, 1, 3), (0,), (2, 0)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "axes"), SHAPES, ids=str)
def test_values(dtype: np.dtype, shape: tuple[int, ...], axes: int) -> None:
    generator = np.random.default_rng(0)
    source = random_array(generator, dtype, shape)
    for index_shape in INDEX_SHAPES:
        indices = random_indices(generator, index_shape, shape[:axes])
        np.testing.assert_array_equal(gather(source, *indices), source[tuple(indices)])
        values = random_array(generator, dtype, (*index_shape, *shape[axes:]))
        np.testing.assert_array_equal(scatter(source, values, *indices), added(source, values, *indices))


def views_of(array: np.ndarray) -> list[np.ndarray]:
    """Arrays of the same shape with other strides."""
    doubled = np.repeat(array, 2, axis=-1)[..., ::2]
    backwards = array[::-1].copy()[::-1]
    return [array, np.asfortranarray(array), doubled, backwards, np.broadcast_to(array[:1], array.shape)]


def test_strides() -> None:
    generator = np.random.default_rng(1)
    index = generator.integers(-5, 5, (4, 3))
    for source in views_of(generator.standard_normal((5, 6, 2))):
        for strided in views_of(index):
            np.testing.assert_array_equal(gather(source, strided), source[strided])
            second = np.broadcast_to(np.array([1, -6, 5]), strided.shape)
            np.testing.assert_array_equal(gather(source, strided, second), source[strided, second])
            for values in views_of(generator.standard_normal((4, 3, 6, 2))):
                np.testing.assert_array_equal(scatter(source, values, strided), added(source, values, strided))


def test_set_keeps_the_last_of_several_writes() -> None:
    base, values = np.zeros((3, 2)), np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(scatter(base, values, np.array([1, 2, 1, -3]), mode="set"), [[6, 7], [4, 5], [2, 3]])
    vector = scatter(np.zeros(3, "h"), np.array([1, 2, 3], "h"), np.array([0, -3, 2]), mode="set")
    np.testing.assert_array_equal(vector, [2, 0, 3])


def test_adding_takes_the_order_of_the_indices() -> None:
    values = np.array([1e16, 1.0, -1e16, 1.0])
    zeros = np.zeros(4, np.int64)
    assert scatter(np.zeros(1), values, zeros)[0] == added(np.zeros(1), values, zeros)[0]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (([0, 5], [0, 0]), "index 5 is out of bounds for axis 0 with size 5"),
        (([0, -6], [0, 0]), "index -6 is out of bounds for axis 0 with size 5"),
        (([0, 1], [6, 0]), "index 6 is out of bounds for axis 1 with size 6"),
        (([0, np.iinfo(np.int64).min], [0, 0]), f"index {np.iinfo(np.int64).min} is out of bounds for axis 0"),
        (([0, np.iinfo(np.int64).max], [0, 0]), f"index {np.iinfo(np.int64).max} is out of bounds for axis 0"),
    ],
)
def test_out_of_bounds(indices: Any, message: str) -> None:
    arrays = [np.array(index) for index in indices]
    with pytest.raises(IndexError, match=message):
        gather(np.zeros((5, 6)), *arrays)
    with pytest.raises(IndexError, match=message):
        scatter(np.zeros((5, 6)), np.ones(2), *arrays)


def test_empty_sources() -> None:
    assert gather(np.zeros((5, 0)), np.array([1, 2])).shape == (2, 0)
    assert gather(np.zeros((0, 3)), np.zeros((0,), np.int64)).shape == (0, 3)
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0 with size 5"):
        gather(np.zeros((5, 0)), np.array([7]))


def test_a_failed_scatter_writes_nothing() -> None:
    target = np.zeros(4)
    buffers = (
        Buffer("argument", target.dtype, (4,), (1,), 0),
        Buffer("argument", target.dtype, (3,), (1,), 1),
        Buffer("argument", np.dtype(np.int64), (3,), (1,), 2),
    )
    view = View(0, 0, (1,))
    write = Scatter((3,), view, (4,), 1, (View(2, 0, (1,)),), View(1, 0, (1,)), "add")
    program = _kernels.Program(Program(buffers, (), (write,), 0, 0))
    with pytest.raises(IndexError):
        program.run([target, np.ones(3), np.array([0, 1, 4])])
    np.testing.assert_array_equal(target, 0)
    program.run([target, np.ones(3), np.array([0, 1, 1])])
    np.testing.assert_array_equal(target, [1, 2, 0, 0])


def test_malformed_instructions_are_refused() -> None:
    source, index = np.zeros((5, 6)), np.zeros(3, np.int64)

    def wrong_axes(views: list[View], out: View) -> Gather:
        return Gather((3, 6), views[0], (5, 6), 2, (views[1],), out)

    def wrong_rest(views: list[View], out: View) -> Gather:
        return Gather((3, 5), views[0], (5, 6), 1, (views[1],), out)

    with pytest.raises(ValueError):
        build([source, index], (3, 6), "d", wrong_axes)
    with pytest.raises(ValueError):
        build([source, index], (3, 5), "d", wrong_rest)
    with pytest.raises(ValueError):
        build([source, index.astype(np.int32)], (3, 6), "d",
              lambda views, out: Gather((3, 6), views[0], (5, 6), 1, (views[1],), out))  # fmt: skip


def test_a_table_lookup_feeds_a_product() -> None:
    table, weights = np.arange(12.0).reshape(4, 3), np.arange(6.0).reshape(3, 2)
    tokens = np.array([3, 0, -1])
    buffers = (
        Buffer("argument", table.dtype, (4, 3), (3, 1), 0),
        Buffer("argument", table.dtype, (3, 2), (2, 1), 1),
        Buffer("argument", tokens.dtype, (3,), (1,), 2),
        Buffer("temporary", table.dtype, (3, 3), (3, 1), 0, 0),
        Buffer("output", table.dtype, (3, 2), (2, 1), 0),
    )
    rows = View(3, 0, (3, 1))
    lookup = Gather((3, 3), View(0, 0, (3, 1)), (4, 3), 1, (View(2, 0, (1,)),), rows)
    product = MatMul(table.dtype, (), 3, 2, 3, rows, View(1, 0, (2, 1)), View(4, 0, (2, 1)))
    (result,) = _kernels.Program(Program(buffers, (), (lookup, product), 128, 1)).run([table, weights, tokens])
    np.testing.assert_array_equal(result, table[tokens] @ weights)


@given(st.data())
def test_random_indices(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    axes = data.draw(st.integers(1, len(shape)))
    index_shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    generator = np.random.default_rng(data.draw(st.integers(0, 100)))
    source = random_array(generator, dtype, shape)
    indices = random_indices(generator, index_shape, shape[:axes])
    np.testing.assert_array_equal(gather(source, *indices), source[tuple(indices)])
    values = random_array(generator, dtype, (*index_shape, *shape[axes:]))
    np.testing.assert_array_equal(scatter(source, values, *indices), added(source, values, *indices))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("turned", [False, True])
def test_what_threads_share_is_the_same(threads: int, turned: bool) -> None:
    generator = np.random.default_rng(1)
    shape = (300, 4, 40)
    base = generator.standard_normal((*shape[1:], shape[0])).transpose(2, 0, 1) if turned else np.zeros(shape)
    indices = generator.integers(-150, 20, (7, 400))  # many of them repeated
    values = generator.standard_normal((7, 400, 4, 40)) * 10.0 ** generator.integers(-9, 9, (7, 400, 1, 1))
    before = _kernels.get_threads()
    try:
        _kernels.set_threads(threads)
        np.testing.assert_array_equal(gather(base, indices), base[indices])
        np.testing.assert_array_equal(scatter(base, values, indices), added(base, values, indices))
        assigned = np.array(base)
        assigned[indices] = values
        np.testing.assert_array_equal(scatter(base, values, indices, mode="set"), assigned)
        with pytest.raises(IndexError):
            scatter(base, values, np.where(indices == 3, 300, indices))
    finally:
        _kernels.set_threads(before)
