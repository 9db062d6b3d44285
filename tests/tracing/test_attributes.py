"""What a traced value tells about its memory, and writing through `flat`, `view` and diagonals."""

import copy

import numpy as np
import pytest
from ops.table import check_value

import tracer

M = np.arange(12.0).reshape(3, 4)
S = np.arange(9.0).reshape(3, 3)


def changed(write):
    def function(x):
        y = x.copy()
        write(y)
        return y

    return function


WRITES = {
    "flat": lambda a: a.flat.__setitem__(slice(1, 7, 2), [1, 2]),
    "flat of a transposed array": lambda a: a.T.flat.__setitem__(3, 5),
    "all of flat": lambda a: setattr(a, "flat", [1, 2, 3]),
    "flat by places": lambda a: a.flat.__setitem__([0, -1, 0], [7, 8, 9]),
    "partition": lambda a: a[:, ::-1].partition(2),
    "sort": lambda a: a.T.sort(axis=0),
    "put": lambda a: a[:, 1:].put([0, 5], 3),
    "put of a transposed array": lambda a: np.put(a.T, [0, 5, -1], [1, 2]),
    "place": lambda a: np.place(a[1:], a[1:] > 5, [1, 2, 3]),
    "putmask": lambda a: np.putmask(a, a > 5, [1, 2, 3]),
    "copyto": lambda a: np.copyto(a[0], a[1], where=[True, False, True] + [True] * (a.shape[1] - 3)),
    "view of another dtype": lambda a: a.view(np.int64).__setitem__((0, 1), 0),
    "diagonal": lambda a: np.einsum("ii->i", a[:, :3]).__setitem__(slice(None), 7),
    "places of the diagonal": lambda a: a.__setitem__(np.diag_indices(3), -1),
    "fill_diagonal": lambda a: np.fill_diagonal(a[:, 1:], [5, 6]),
    "out= with where=": lambda a: np.sqrt(a, out=a, where=a > 3),
    "real part": lambda a: a.real.__setitem__(0, 3),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes(name):
    check_value(changed(WRITES[name]), [M], name)
    check_value(changed(WRITES[name]), [M[::-1] * 0.5], name)


def test_parts_of_complex_numbers_as_floats():
    def function(x):
        z = x + 1j
        parts = z.view(float)
        parts[:, 1] = 7
        z.real[:] *= 2
        return z, parts + 0

    for place in (0, 1):
        check_value(lambda x, place=place: function(x)[place], [M], "view")
    tracer.testing.check_grads(lambda x: np.sin(x.view(complex)), (M,), order=2)
    tracer.testing.check_grads(lambda x: np.sin((x + 2j * x).view(float)), (M,), order=2)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, np.complex128])
def test_views_of_other_dtypes(dtype):
    check_value(lambda x: x.view(dtype), [M], "view")
    check_value(lambda x: x[0, 0].view(np.uint64), [M], "view of one number")


def test_what_a_value_tells():
    check_value(lambda x: np.array(x.strides), [M], "strides")
    check_value(lambda x: np.array(x.T[::2].strides), [M], "strides")
    check_value(lambda x: np.array([x.flags.c_contiguous, x.T.flags["F"], x[:, ::2].flags.contiguous]), [M], "flags")
    check_value(lambda x: np.stack([item * 2 for item in x.flat]), [M], "items")
    check_value(lambda x: np.sum(x.flat) + len(x.flat) + x.flat[3] + x.flat[1:3].sum(), [M], "flat")
    check_value(lambda x: copy.copy(x) + x.__array_namespace__().sin(x), [M], "copy")

    @tracer.compile
    def bases(x):
        assert x[1:].base is x and x.base is None
        assert x[1:].flags.owndata is False and x.flags.writeable and not np.broadcast_to(x, (2, 3, 4)).flags.writeable
        assert x.device == "cpu" and x.to_device("cpu") is x
        return x

    bases(M)


def test_overlapping_parts_by_strides():
    def function(x):
        return np.lib.stride_tricks.as_strided(x, (2, 3, 2), (32, 8, 16)) * 2

    check_value(function, [M], "as_strided")
    tracer.testing.check_grads(function, (M,), order=2)
    assert tracer.vmap(function)(np.stack([M, M + 1])).shape == (2, 2, 3, 2)
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="beyond the array"):
        tracer.compile(lambda x: np.lib.stride_tricks.as_strided(x, (9,), (16,)))(M)
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="HINT: give it x"):
        tracer.compile(lambda x: np.lib.stride_tricks.as_strided(x.T, (2,), (16,)))(M)


@pytest.mark.parametrize("name", ["byteswap", "tofile", "tobytes", "dumps", "setflags", "getfield", "ctypes"])
def test_what_only_real_arrays_have(name):
    with pytest.raises(AttributeError, match="outside the traced function"):
        tracer.compile(lambda x: getattr(x, name))(M)


def test_sizes_do_not_change_in_place():
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match=r"HINT: x = np.resize\(x, shape\)"):
        tracer.compile(lambda x: x.resize(3))(M)


def test_powers_of_truth_values_and_of_unsigned_numbers():
    truths = np.array([True, False])
    check_value(lambda x: x**2, [truths], "the operator")
    check_value(lambda x: np.power(x, 2), [truths], "the function")
    with pytest.raises(OverflowError, match="out of bounds for uint8"):
        tracer.compile(lambda x: x**-1)(np.array([1, 2], np.uint8))
