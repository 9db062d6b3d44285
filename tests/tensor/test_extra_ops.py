"""Theano's extra_ops and sort on symbolic tensors: values, types, data-dependent sizes, gradients, errors."""

import numpy as np
import pytest
from tensor.symbolically import run, value, variables

import tracer
from tracer.symbolic.program import SymbolicProgram
from tracer.tensor import extra_ops
from tracer.tensor.sort import argsort, argtopk, sort, topk, topk_and_argtopk
from tracer.tensor.types import bvector, dmatrix, dscalar, dvector, iscalar, lmatrix, lscalar, lvector

X = np.array([[3.0, 1.0, 2.0, 5.0], [0.5, 4.0, -1.0, 2.0], [1.5, 0.0, 2.5, -2.0]])
PLACES = np.array([1, 0, 2, 1, 1])


def programmed(function, *arrays):
    """The result of a function whose result's size depends on the data."""
    inputs = variables(arrays)
    output = function(*inputs)
    outputs = output if isinstance(output, list) else [output]
    found = SymbolicProgram(inputs, outputs, {}, "test")(*arrays)
    for variable, array in zip(outputs, found, strict=True):
        assert (variable.type.dtype, variable.ndim) == (array.dtype, array.ndim)
    return found if isinstance(output, list) else found[0]


# --- running totals, differences, places ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (extra_ops.cumsum, np.cumsum),
        (lambda x: extra_ops.cumsum(x, 0), lambda x: np.cumsum(x, 0)),
        (lambda x: extra_ops.cumprod(x, axis=-1), lambda x: np.cumprod(x, -1)),
        (extra_ops.CumOp(axis=1, mode="mul"), lambda x: np.cumprod(x, 1)),
        (extra_ops.diff, np.diff),
        (lambda x: extra_ops.diff(x, 2, 0), lambda x: np.diff(x, 2, 0)),
        (lambda x: extra_ops.squeeze(x[None]), lambda x: x),
        (lambda x: extra_ops.repeat(x, 2, axis=1), lambda x: np.repeat(x, 2, 1)),
        (lambda x: extra_ops.searchsorted(x[0, 1:], x), lambda x: np.searchsorted(x[0, 1:], x)),
        (lambda x: extra_ops.searchsorted(x[0, 1:], 2.0, "right"), lambda x: np.searchsorted(x[0, 1:], 2.0, "right")),
        (lambda x: extra_ops.fill_diagonal(x, 9), lambda x: filled(x, 9)),
        (lambda x: extra_ops.fill_diagonal(x.T, x[0, 0]), lambda x: filled(x.T, x[0, 0])),
        (lambda x: extra_ops.fill_diagonal_offset(x, 9, 1), lambda x: filled(x, 9, 1)),
        (lambda x: extra_ops.fill_diagonal_offset(x.T, 9.5, -2), lambda x: filled(x.T, 9.5, -2)),
        (lambda x: extra_ops.FillDiagonal()(x, 1), lambda x: filled(x, 1)),
        (lambda x: extra_ops.ravel_multi_index([[1, 0], [2, 3]], (3, 4)), lambda x: np.array([6, 3])),
        (lambda x: extra_ops.ravel_multi_index([[1, 5], [2, 3]], x.shape, mode="clip"), lambda x: np.array([6, 11])),
        (lambda x: extra_ops.ravel_multi_index([[1, 0], [2, 3]], x.shape, order="F"), lambda x: np.array([7, 9])),
    ],
)
def test_as_numpy(function, expected):
    np.testing.assert_array_equal(value(function, X), expected(X))


def filled(x, number, offset=0):
    result = np.array(x)
    for row, column in np.ndindex(result.shape):
        if column - row == offset:
            result[row, column] = number
    return result


def test_small_integers_keep_their_dtype():
    small = np.array([100, 100, 100], np.int8)
    np.testing.assert_array_equal(value(extra_ops.cumsum, small), np.cumsum(small, dtype=np.int8))


def test_sorters():
    unsorted = np.array([3.0, 1.0, 2.0])
    found = value(lambda x, s: extra_ops.searchsorted(x, [1.5, 9.0], sorter=s), unsorted, np.argsort(unsorted))
    np.testing.assert_array_equal(found, [1, 3])


def test_places_in_flattened_tensors():
    places = np.array([[0, 7], [11, 4]])
    for order in "CF":
        found = run(lambda p, o=order: list(extra_ops.unravel_index(p, (3, 4), order=o)), places)
        np.testing.assert_array_equal(found, np.unravel_index(places, (3, 4), order=order))
    dims = lvector("dims")
    p = lmatrix("p")
    with pytest.raises(ValueError, match="how many elements"):
        extra_ops.unravel_index(p, dims)
    outputs = list(extra_ops.unravel_index(p, dims, ndim=2))
    program = SymbolicProgram([p, dims], outputs, {}, "f")
    for shape in ((3, 4), (4, 3)):
        np.testing.assert_array_equal(program(places, np.array(shape)), np.unravel_index(places, shape))


def test_one_hot_rows():
    found = value(lambda y: extra_ops.to_one_hot(y, 4), PLACES)
    np.testing.assert_array_equal(found, np.eye(4)[PLACES])
    assert found.dtype == np.float64
    assert value(lambda y: extra_ops.to_one_hot(y, 3, "int8"), PLACES).dtype == np.int8
    y, n = lvector("y"), iscalar("n")
    program = SymbolicProgram([y, n], [extra_ops.to_one_hot(y, n)], {}, "f")
    for count in (3, 5):
        np.testing.assert_array_equal(program(PLACES, np.array(count, np.int32))[0], np.eye(count)[PLACES])
    with pytest.raises(IndexError):
        program(PLACES, np.array(2, np.int32))


def test_triangular_window():
    m = lscalar("m")
    program = SymbolicProgram([m], [extra_ops.bartlett(m)], {}, "f")
    for size in (5, 8, 0):
        np.testing.assert_array_equal(program(np.array(size))[0], np.bartlett(size))


def test_offsets_may_be_variables():
    x, offset, number = dmatrix("x"), iscalar("offset"), dscalar("number")
    result = extra_ops.fill_diagonal_offset(x, number, offset)
    slopes = tracer.gradient.grad((result * X).sum(), [x, number])
    program = SymbolicProgram([x, number, offset], [result, *slopes], {}, "f")
    for place in (-2, 0, 3):
        found, to_x, to_number = program(X, np.array(7.0), np.array(place, np.int32))
        np.testing.assert_array_equal(found, filled(X, 7, place))
        np.testing.assert_array_equal(to_x, filled(X, 0, place))
        np.testing.assert_allclose(to_number, np.trace(X, place))
    assert program.plan_count == 1


# --- sizes that depend on the data ---------------------------------------------------------------------------------


def test_counts():
    np.testing.assert_array_equal(programmed(extra_ops.bincount, PLACES), np.bincount(PLACES))
    weights = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    found = programmed(lambda x, w: extra_ops.bincount(x, w, minlength=5), PLACES, weights)
    np.testing.assert_array_equal(found, np.bincount(PLACES, weights, minlength=5))
    assert programmed(extra_ops.bincount, PLACES.astype(np.int8)).dtype == np.int8
    x = lvector("x")
    program = SymbolicProgram([x], [extra_ops.bincount(x)], {}, "f")
    np.testing.assert_array_equal(program(np.array([4, 4]))[0], [0, 0, 0, 0, 2])
    np.testing.assert_array_equal(program(np.array([1, 4]))[0], [0, 1, 0, 0, 1])
    assert program.plan_count == 1
    with pytest.raises(IndexError):
        program(np.array([-1, 4]))


def test_gradient_of_weighted_counts():
    x, w = lvector("x"), dvector("w")
    slope = tracer.gradient.grad((extra_ops.bincount(x, w) ** 2).sum(), w)
    found = SymbolicProgram([x, w], [slope], {}, "f")(PLACES, np.arange(5.0))[0]
    np.testing.assert_allclose(found, 2 * np.bincount(PLACES, np.arange(5.0))[PLACES])


def test_selection():
    condition = np.array([1, 0, 2], np.int8)
    np.testing.assert_array_equal(programmed(lambda c, x: extra_ops.compress(c, x, axis=0), condition, X), X[[0, 2]])
    np.testing.assert_array_equal(programmed(extra_ops.compress, condition, X), X.ravel()[[0, 2]])
    c, x = bvector("c"), dmatrix("x")
    slope = tracer.gradient.grad((extra_ops.compress(c, x, -2) ** 2).sum(), x)
    found = SymbolicProgram([c, x], [slope], {}, "f")(condition, X)[0]
    np.testing.assert_allclose(found, 2 * X * (condition != 0)[:, None])


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_different_elements(axis):
    table = np.array([[1.0, 0.0, 1.0], [2.0, 5.0, 2.0], [1.0, 0.0, 1.0], [1.0, -1.0, 1.0]])
    np.testing.assert_array_equal(
        programmed(lambda x: extra_ops.unique(x, axis=axis), table), np.unique(table, axis=axis)
    )
    found = programmed(extra_ops.Unique(True, True, True, axis), table)
    expected = np.unique(table, True, True, True, axis)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, np.ravel(other) if one.ndim == 1 else other)
    counts = programmed(lambda x: extra_ops.unique(x, return_counts=True, axis=axis), table)[1]
    np.testing.assert_array_equal(counts, expected[3])


def test_different_elements_of_nothing_and_of_integers():
    np.testing.assert_array_equal(programmed(extra_ops.unique, np.zeros(0)), [])
    np.testing.assert_array_equal(programmed(extra_ops.unique, PLACES), [0, 1, 2])


# --- sorting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (sort, np.sort),
        (lambda x: sort(x, axis=0, kind="mergesort"), lambda x: np.sort(x, 0)),
        (lambda x: sort(x, axis=None), lambda x: np.sort(x, None)),
        (argsort, np.argsort),
        (lambda x: argsort(x, None), lambda x: np.argsort(x, None)),
        (lambda x: topk(x, 2), lambda x: -np.sort(-x)[:, :2]),
        (lambda x: topk(x, -2, axis=0), lambda x: np.sort(x, 0)[:2]),
        (lambda x: topk(x, 3, axis=None), lambda x: -np.sort(-x, None)[:3]),
        (lambda x: argtopk(x, 1), lambda x: np.argmax(x, 1)[:, None]),
        (lambda x: argtopk(x, -1, idx_dtype="int32"), lambda x: np.argmin(x, 1)[:, None]),
        (lambda x: np.sort(topk(x, 2, sorted=False)), lambda x: np.sort(x)[:, -2:]),
        (lambda x: np.sort(topk(x, -3, sorted=False)), lambda x: np.sort(x)[:, :3]),
        (lambda x: np.sort(topk(x, 4, sorted=False)), lambda x: np.sort(x)),
        (lambda x: np.sort(topk(x, -4, sorted=False)), lambda x: np.sort(x)),
    ],
)
def test_sorting(function, expected):
    np.testing.assert_array_equal(value(function, X), expected(X))


def test_the_largest_and_their_places():
    found = run(lambda x: list(topk_and_argtopk(x, 2, idx_dtype="int16")), X)
    np.testing.assert_array_equal(found[0], np.take_along_axis(X, found[1], 1))
    assert found[1].dtype == np.int16
    unsigned = np.array([200, 3, 255], np.uint8)
    np.testing.assert_array_equal(value(lambda x: topk(x, 2), unsigned), [255, 200])


def test_gradients_of_sorting():
    tracer.testing.check_grads(lambda x: topk(x, 2), (X,), order=1)
    tracer.testing.check_grads(lambda x: topk(x, -2, sorted=False, axis=0), (X,), order=1)
    tracer.testing.check_grads(lambda x: sort(x, axis=0), (X,), order=1)


def test_the_count_may_be_a_variable():
    x, k = dvector("x"), iscalar("k")
    program = SymbolicProgram([x, k], [topk(x, k)], {}, "f")
    for count in (1, 3, -2):
        expected = np.sort(X[0])[:2] if count < 0 else -np.sort(-X[0])[:count]
        np.testing.assert_array_equal(program(X[0], np.array(count, np.int32))[0], expected)
    for wrong in (0, 5):
        with pytest.raises(ValueError, match=r"kth must be a number other than 0.*\nHINT"):
            program(X[0], np.array(wrong, np.int32))


# --- wrong arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda: extra_ops.cumsum(dmatrix("x"), 2), ValueError, "out of bounds"),
        (lambda: extra_ops.cum(dmatrix("x"), 0, "sub"), ValueError, "mode"),
        (lambda: extra_ops.bincount(dvector("x")), TypeError, r"bincount takes integers.*\nHINT"),
        (lambda: extra_ops.bincount(lmatrix("x")), TypeError, "dimension 1"),
        (lambda: extra_ops.searchsorted(dvector("x"), 1.0, "middle"), ValueError, "middle"),
        (lambda: extra_ops.searchsorted(dvector("x"), 1.0, sorter=dvector("s")), TypeError, "takes integers"),
        (lambda: extra_ops.fill_diagonal(dvector("x"), 1), TypeError, r"2 dimensions or more.*\nHINT"),
        (lambda: extra_ops.fill_diagonal_offset(dvector("x"), 1, 0), TypeError, "2 dimensions"),
        (lambda: extra_ops.fill_diagonal(lmatrix("x"), dscalar("v")), TypeError, r"scalar that casts to int64.*\nHINT"),
        (lambda: extra_ops.fill_diagonal(dmatrix("x"), dvector("v")), TypeError, "scalar"),
        (lambda: extra_ops.unravel_index(dvector("x"), (2, 3)), TypeError, "takes integers"),
        (lambda: extra_ops.unravel_index(lvector("x"), (2, 3), "A"), ValueError, "order"),
        (lambda: extra_ops.ravel_multi_index([lvector("x")], (2,), "other"), ValueError, "mode"),
        (lambda: extra_ops.bartlett(lvector("x")), TypeError, "scalar"),
        (lambda: topk(dvector("x"), 1, axis=1), IndexError, r"axis=1 is not an axis.*\nHINT"),
        (lambda: topk(dvector("x"), 1, axis=0.5), TypeError, "axis"),
        (lambda: topk(dvector("x"), 1, idx_dtype="float32"), TypeError, "integer dtype"),
        (lambda: sort(dvector("x"), kind="bogo"), ValueError, "kind"),
        (lambda: sort(dvector("x"), order=["a"]), ValueError, "order"),
    ],
)
def test_wrong_arguments(function, error, match):
    with pytest.raises(error, match=match):
        function()


def test_diagonals_of_cubes_only():
    cube = np.zeros((2, 2, 2))
    np.testing.assert_array_equal(np.diagonal(value(lambda x: extra_ops.fill_diagonal(x, 1), cube)[0]), [1, 0])
    (x,) = variables([cube])
    with pytest.raises(ValueError, match="equal length"):
        SymbolicProgram([x], [extra_ops.fill_diagonal(x, 1)], {}, "f")(np.zeros((2, 2, 3)))
