"""Any key, read and written: shapes, values, derivatives and errors are NumPy's."""

import numpy as np
import pytest
from ops.table import BACKENDS, check_value

import tracer


def random_part(rng, size):
    """One part of an index."""
    match rng.integers(9):
        case 0:
            return int(rng.integers(-4, 4))
        case 1:
            ends = [None, *range(-5, 6)]
            start, stop = (ends[n] for n in rng.integers(len(ends), size=2))
            return slice(start, stop, [None, 1, 2, -1, -2][rng.integers(5)])
        case 2:
            return None
        case 3:
            return Ellipsis
        case 4:
            return rng.integers(-3, 3, size=rng.integers(1, 4))
        case 5:
            return [] if rng.random() < 0.5 else rng.integers(-2, 2, size=2).tolist()
        case 6:
            return rng.integers(-2, 2, size=(2, 1))
        case 7:
            return [True, False, np.array(1), np.int32(0)][rng.integers(4)]
    return rng.random(size) < 0.5


def indexed(key, what):
    def function(x):
        if what == "read":
            return x[key]
        values, result = x[key] * 2 + 1.5, x + 0.0
        if what == "write":
            result[key] = values
        else:
            np.add.at(result, key, values)
        return result

    return function


@pytest.mark.parametrize("seed", range(60))
def test_indexing_is_numpys(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1 if rng.random() < 0.8 else 0, 5, size=rng.integers(1, 5)).tolist())
    x = np.arange(float(np.prod(shape))).reshape(shape)
    key = tuple(random_part(rng, shape[min(place, len(shape) - 1)]) for place in range(rng.integers(1, len(shape) + 1)))
    for what in ("read", "write", "add"):
        check_value(indexed(key, what), [x], f"{what} {shape} {key}")


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: x[i, i],
        lambda x, i: x[i[0]],
        lambda x, i: x[i[0], 1:],
        lambda x, i: x[1, i],
        lambda x, i: x[i[:, None], i],
        lambda x, i: np.take(x, i, axis=1),
        lambda x, i: x[..., i, None],
        lambda x, i: x[i, [0, 1]],
    ],
)
def test_traced_indices(function):
    x = np.arange(12.0).reshape(3, 4)
    for dtype in (np.int64, np.int32, np.uint8):
        check_value(function, [x, np.array([2, 0], dtype)], "traced index")
    check_value(function, [x, np.array([-1, 1])], "traced index")
    tracer.testing.check_grads(lambda x: function(x, np.array([2, 2])), (x,), order=2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", [3, -4])
def test_a_traced_index_out_of_bounds(backend, wrong):
    x = np.arange(12.0).reshape(3, 4)
    for function in (lambda x, i: x[i], lambda x, i: x[:, 1][i], lambda x, i: np.take(x, i, axis=0)):
        with pytest.raises(IndexError, match="out of bounds"):
            tracer.compile(function, backend=backend)(x, np.array([0, wrong]))


def test_a_traced_index_of_a_real_array():
    table = np.arange(5.0)
    found = tracer.compile(lambda i: np.take_along_axis(table, i, 0))(np.array([3, 0]))
    np.testing.assert_array_equal(found, [3.0, 0.0])
