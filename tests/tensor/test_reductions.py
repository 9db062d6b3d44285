import numpy as np
import pytest
from tensor.symbolically import run, value

import tracer
import tracer.tensor as T

AXES = [None, 0, -1, (0, 2), [1], (0, 1, 2)]
REDUCTIONS = ["sum", "prod", "mean", "var", "std", "max", "min", "all", "any"]


def cube(dtype="float64"):
    rng = np.random.default_rng(5)
    return (rng.uniform(-2, 3, (2, 3, 4)) if np.dtype(dtype).kind == "f" else rng.integers(0, 4, (2, 3, 4))).astype(
        dtype
    )


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_reduction_is_numpy_s(name, axis, keepdims):
    x = cube()
    expected = getattr(np, name)(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)
    found = value(lambda a: getattr(T, name)(a, axis=axis, keepdims=keepdims), x)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "min", "var", "all"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint8", "float32", "complex64"])
def test_dtypes_of_reductions_are_numpy_s(name, dtype):
    x = cube(dtype)
    expected = getattr(np, name)(x, axis=1)
    if np.asarray(expected).dtype == np.float16:
        pytest.skip("no half precision")
    found = value(lambda a: getattr(T, name)(a, axis=1), x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sum", "prod"])
def test_dtype_and_acc_dtype(name):
    x = cube("float32")
    for options, dtype in [
        ({"dtype": "float64"}, "float64"),
        ({"acc_dtype": "float64"}, "float32"),
        ({"dtype": "float64", "acc_dtype": "float64"}, "float64"),
        ({"dtype": "floatX"}, "float64"),
    ]:
        found = value(lambda a, options=options: getattr(T, name)(a, axis=0, **options), x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, getattr(np, name)(x, axis=0), rtol=1e-6)
    n = cube("int32")
    assert value(lambda a: getattr(T, name)(a, dtype="int32"), n).dtype == "int32"
    assert value(lambda a: getattr(T, name)(a, acc_dtype="float64"), n).dtype == "int64"


def test_mean_with_dtypes():
    x, n = cube("float32"), cube("int32")
    assert value(lambda a: T.mean(a, dtype="float64"), x).dtype == "float64"
    assert value(lambda a: T.mean(a, acc_dtype="float64"), x).dtype == "float32"
    assert value(lambda a: T.mean(a, acc_dtype="float64"), n).dtype == "float64"
    np.testing.assert_allclose(value(lambda a: T.mean(a, axis=0, acc_dtype="float64"), n), n.mean(0))


@pytest.mark.parametrize("axis", [None, 1, (0, 2)], ids=str)
def test_variance_with_ddof_and_correction(axis):
    x = cube()
    for options in ({"ddof": 1}, {"corrected": True}, {"ddof": 1, "corrected": True}):
        expected = np.var(x, axis=axis, ddof=options.get("ddof", 0))
        np.testing.assert_allclose(value(lambda a, o=options: T.var(a, axis=axis, **o), x), expected, rtol=1e-13)
        np.testing.assert_allclose(value(lambda a, o=options: T.std(a, axis=axis, **o), x), expected**0.5, rtol=1e-13)
    z = x + 1j * x[::-1]
    np.testing.assert_allclose(value(lambda a: T.var(a, corrected=True), z), np.var(z))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_positions_of_extremes(name, keepdims):
    x = cube()
    for axis in (None, 0, -1, [1]):
        expected = getattr(np, name)(x, axis=axis[0] if isinstance(axis, list) else axis, keepdims=keepdims)
        found = value(lambda a, axis=axis: getattr(T, name)(a, axis=axis, keepdims=keepdims), x)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_over_several_axes_count_in_these_axes(name):
    x = cube()
    found = value(lambda a: getattr(T, name)(a, axis=(0, 2)), x)
    np.testing.assert_array_equal(found, [getattr(np, name)(x[:, row]) for row in range(3)])
    kept = value(lambda a: getattr(T, name)(a, axis=(0, 2), keepdims=True), x)
    np.testing.assert_array_equal(kept, found.reshape(1, 3, 1))


def test_ties_go_to_the_first():
    x = np.array([[1, 3, 3], [2, 2, 1]])
    np.testing.assert_array_equal(value(lambda a: T.argmax(a, axis=1), x), [1, 0])


def test_max_and_argmax():
    x = cube()
    greatest, position = run(lambda a: T.max_and_argmax(a, axis=1), x)
    np.testing.assert_array_equal(greatest, x.max(1))
    np.testing.assert_array_equal(position, x.argmax(1))
    greatest, position = run(lambda a: T.max_and_argmax(a, axis=(0, 1), keepdims=True), x)
    assert greatest.shape == position.shape == (1, 1, 4)
    flat = x.reshape(-1, 4)
    np.testing.assert_array_equal(flat[position[0, 0], np.arange(4)], greatest[0, 0])


def test_ptp_and_nan():
    x = cube()
    np.testing.assert_allclose(value(lambda a: T.ptp(a, axis=1), x), np.ptp(x, axis=1))
    x[0, 0, 0] = np.nan
    assert np.isnan(value(T.max, x))
    assert value(T.argmin, x) == 0


def test_numpy_functions_and_methods_record_the_same_types():
    x = T.TensorType("float32", (False, True, False))("x")
    for found in (np.sum(x, axis=0), x.sum(axis=0), T.sum(x, axis=0), T.sum(x, 0)):
        assert found.type == T.TensorType("float32", (True, False))
    assert np.mean(x).type == x.mean().type == T.fscalar
    assert x.sum(axis=1, keepdims=True).broadcastable == (False, True, False)
    assert x.argmax(axis=-1).type == T.TensorType("int64", (False, True))
    assert x.any().dtype == "bool"


def test_an_axis_may_be_a_constant():
    x = cube()
    np.testing.assert_allclose(value(lambda a: T.sum(a, axis=T.constant(1)), x), x.sum(1))


def test_an_axis_that_does_not_exist_is_an_error_at_once():
    with pytest.raises(ValueError, match="axis 3 is out of bounds"):
        T.sum(T.dtensor3("x"), axis=3)


def test_products_have_a_derivative_where_an_element_is_zero():
    for options in ({}, {"no_zeros_in_input": True}):
        function = tracer.compile(tracer.grad(lambda x, o=options: T.prod(x, **o)))
        np.testing.assert_allclose(function(np.array([2.0, 3.0, 4.0])), [12, 8, 6])
    np.testing.assert_allclose(tracer.compile(tracer.grad(lambda x: T.prod(x)))(np.array([2.0, 0.0, 4.0])), [0, 8, 0])
