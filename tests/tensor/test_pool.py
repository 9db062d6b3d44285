"""Pooling against plain loops that follow Theano's rules: borders, strides, padding, modes, old names."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
from tensor.symbolically import value, variables

import tracer
from tracer.tensor import signal
from tracer.tensor.signal.downsample import max_pool_2d
from tracer.tensor.signal.pool import max_pool_2d_same_size, pool_2d, pool_3d

MODES = ("max", "sum", "average_inc_pad", "average_exc_pad")


def count(length, size, step, ignore_border):
    if ignore_border:
        return (length - size) // step + 1
    return math.ceil(max(length - size, 0) / step) + 1 if step < size else math.ceil(length / step)


def by_loops(x, sizes, steps, pads, ignore_border, mode):
    rank = len(sizes)
    spatial = x.shape[-rank:]
    counts = [count(n + 2 * p, s, t, ignore_border) for n, p, s, t in zip(spatial, pads, sizes, steps, strict=True)]
    result = np.zeros((*x.shape[:-rank], *counts))
    for place in product(*map(range, counts)):
        inside, number = [], 1
        for at, size, step, pad, length in zip(place, sizes, steps, pads, spatial, strict=True):
            start, stop = at * step - pad, min(at * step - pad + size, length + pad)
            inside.append(slice(max(start, 0), min(stop, length)))
            number *= stop - start
        part = x[(..., *inside)]
        axes = tuple(range(-rank, 0))
        whole = {"max": np.max, "average_exc_pad": np.mean}.get(mode, np.sum)(part, axis=axes)
        result[(..., *place)] = whole / number if mode == "average_inc_pad" else whole
    return result


CASES = [
    ((2, 2), (2, 2), (0, 0), True),
    ((2, 2), (2, 2), (0, 0), False),
    ((3, 2), (2, 3), (0, 0), True),
    ((3, 2), (2, 3), (0, 0), False),
    ((2, 3), (3, 1), (1, 2), True),
    ((3, 3), (2, 2), (1, 1), True),
    ((2, 2), (4, 3), (0, 0), False),
    ((7, 9), (7, 9), (0, 0), True),
    ((5, 4), (1, 1), (2, 3), True),
    ((9, 20), (1, 2), (0, 0), False),
]


@pytest.mark.parametrize(("ws", "stride", "pad", "ignore_border"), CASES)
@pytest.mark.parametrize("mode", MODES)
def test_pool_2d(ws, stride, pad, ignore_border, mode):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9))

    def function(x):
        return pool_2d(x, ws, ignore_border, stride, pad, mode)

    expected = by_loops(x, ws, stride, pad, ignore_border, mode)
    np.testing.assert_allclose(value(function, x), expected, rtol=1e-12, atol=1e-12)
    tracer.testing.check_grads(lambda x: np.square(function(np.sin(x))), (x[0],), order=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("ws", "stride", "pad", "ignore_border"),
    [
        ((2, 2, 2), (2, 2, 2), (0, 0, 0), True),
        ((2, 1, 3), (1, 2, 2), (1, 0, 1), True),
        ((2, 3, 2), None, (0, 0, 0), False),
    ],
)
def test_pool_3d(ws, stride, pad, ignore_border, mode):
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5))

    def function(x):
        return pool_3d(x, ws, ignore_border, stride, pad, mode)

    expected = by_loops(x, ws, stride or ws, pad, ignore_border, mode)
    np.testing.assert_allclose(value(function, x), expected, rtol=1e-12, atol=1e-12)
    tracer.testing.check_grads(lambda x: np.square(function(np.sin(x))), (x[0],))


@pytest.mark.parametrize("lead", [(), (2,), (2, 1, 3, 2)])
def test_any_number_of_leading_axes(lead):
    x = np.random.default_rng(0).standard_normal((*lead, 4, 6))
    found = value(lambda x: pool_2d(x, (2, 3), True), x)
    np.testing.assert_array_equal(found, by_loops(x, (2, 3), (2, 3), (0, 0), True, "max"))


def test_a_single_number_stands_for_both_axes():
    x = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(
        value(lambda x: pool_2d(x, 2, True, 1), x), value(lambda x: pool_2d(x, (2, 2), True, (1, 1)), x)
    )


def test_dtypes():
    x = np.arange(16).reshape(4, 4)
    assert value(lambda x: pool_2d(x, (2, 2), True), x).dtype == np.int64
    assert value(lambda x: pool_2d(x, (3, 3), False), x - 100).tolist() == [[-90, -89], [-86, -85]]
    assert value(lambda x: pool_2d(x, (2, 2), True, mode="average_exc_pad"), x.astype(np.float32)).dtype == np.float32


def test_every_tie_has_the_whole_derivative():
    x = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 1.0]])
    g = tracer.grad(lambda x: np.sum(pool_2d(x, (2, 2), False)))(x)
    np.testing.assert_array_equal(g, [[1, 1, 1], [1, 1, 0]])


def test_nothing_to_pool():
    for shape, expected in (((2, 1, 5), (2, 0, 2)), ((0, 4, 4), (0, 2, 2))):
        assert value(lambda x: pool_2d(x, (2, 2), True), np.zeros(shape)).shape == expected


def test_types_of_variables():
    (x,) = variables([np.zeros((1, 1, 2, 2))], [(True, False, False, True)])
    y = pool_2d(x, (2, 1), True)
    assert (y.type.dtype, y.type.broadcastable) == ("float64", (True, False, False, False))
    assert y.owner.op.name == "Pool"


def test_max_pool_same_size():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7))
    expected = np.zeros_like(x)
    for i, j in product(range(0, 4, 2), range(0, 6, 3)):
        part = x[..., i : i + 2, j : j + 3]
        expected[..., i : i + 2, j : j + 3] = np.where(part == part.max((-2, -1), keepdims=True), part, 0)
    np.testing.assert_array_equal(value(lambda x: max_pool_2d_same_size(x, (2, 3)), x), expected)
    tracer.testing.check_grads(lambda x: max_pool_2d_same_size(x, (2, 3)), (x,), order=2)
    assert not value(lambda x: max_pool_2d_same_size(x, (6, 6)), x).any()


# --- arguments ---------------------------------------------------------------------------------------------------


def test_old_names():
    x = np.arange(36.0).reshape(6, 6)
    expected = value(lambda x: pool_2d(x, (2, 2), True, (3, 3), (1, 1)), x)
    for old, name in (("ds", "ws"), ("st", "stride"), ("padding", "pad")):
        options = {"ws": (2, 2), "ignore_border": True, "stride": (3, 3), "pad": (1, 1)}
        options[old] = options.pop(name)
        with pytest.warns(UserWarning, match=old):
            found = value(lambda x, options=options: pool_2d(x, **options), x)
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(ValueError, match=r"both(?s:.)*HINT"):
            pool_2d(*variables([x]), **{**options, name: (2, 1)})


def test_ignore_border_should_be_given():
    x = np.arange(9.0).reshape(3, 3)
    with pytest.warns(UserWarning, match="ignore_border"):
        assert value(lambda x: pool_2d(x, (2, 2)), x).shape == (2, 2)


def test_the_old_module():
    x = np.arange(36.0).reshape(6, 6)
    with pytest.warns(UserWarning, match="has moved"):
        found = value(lambda x: max_pool_2d(x, (2, 2), True, st=(3, 3), padding=(1, 1)), x)
    np.testing.assert_array_equal(found, value(lambda x: pool_2d(x, (2, 2), True, (3, 3), (1, 1)), x))
    assert signal.downsample.max_pool_2d is max_pool_2d


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ws": (2, 2), "ignore_border": False, "pad": (1, 1)}, NotImplementedError, "ignore_border=True"),
        ({"ws": (2, 2), "pad": (2, 0)}, NotImplementedError, "smaller than the windows(?s:.)*HINT"),
        ({"ws": (2, 2), "mode": "min"}, ValueError, "modes max"),
        ({"ws": (2, 0)}, ValueError, "ws needs 2 ints"),
        ({"ws": (2, 2, 2)}, ValueError, "ws needs 2 ints"),
        ({}, ValueError, "needs ws"),
    ],
    ids=str,
)
def test_errors(options, error, text):
    with pytest.raises(error, match=text):
        tracer.compile(lambda x: pool_2d(x, **{"ignore_border": True, **options}))(np.zeros((4, 4)))


def test_too_few_dimensions():
    with pytest.raises(NotImplementedError, match=r"at least 2 dimensions(?s:.)*HINT"):
        pool_2d(*variables([np.zeros(3)]), (2, 2), True)


def test_given_arguments_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool_2d(*variables([np.zeros((4, 4))]), (2, 2), True, pad=(0, 0))
