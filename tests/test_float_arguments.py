"""Python floats as arguments: ever other ones do not cost a trace each, and promotion stays NumPy's."""

import enum
import math

import numpy as np
import pytest

import tracer

X = np.arange(4.0)
VALUES = (0.1, 0.2, 0.7, 1.5, 2.5, 3.25, 0.2, 0.1)


def written(x, a):
    x = x.copy()
    x[1] = a
    x[2:] += a
    return x


TRACED = [
    lambda x, a: x * a,
    lambda x, a: x * (a / 2 + a**2 - 1) / a,
    lambda x, a: (x + a, a * 2, np.sqrt(abs(a)) * x, -a, a),
    lambda x, a: np.where(x > a, x, a),
    lambda x, a: (x + 3) ** a,
    lambda x, a: x * np.float32(2) * a + np.float32(a.__class__ is float),
    lambda x, a: x * a if isinstance(a, float) else x,
    lambda x, a: x[0] * a + np.float32(3) * a,
    lambda x, a: (np.exp(-(x**2) / a), np.maximum(x, a), a * x.sum(), 1 - a, 2 / a, a > x),
    lambda x, a: x * a + np.int8(3) * a,
    written,
]

STATIC = [
    lambda x, a: x * math.sin(a),
    lambda x, a: x * (1 if a > 0.5 else 2),
    lambda x, a: x * int(a),
    lambda x, a: x * round(a, 1),
    lambda x, a: x * {0.1: 5}.get(a, 3),
    lambda x, a: x * float(f"{a:.1f}"),
    lambda x, a: x[: int(a) + 1],
    lambda x, a: np.arange(0, 5, a) + x[0],
    lambda x, a: x * a.is_integer(),
    lambda x, a: x * (a // 0.3),
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "complex64"])
@pytest.mark.parametrize("function", TRACED + STATIC)
def test_values_and_types_are_those_of_numpy(function, dtype):
    if (dtype == "complex64" and function in (TRACED[3], TRACED[8])) or (dtype == "int32" and function is written):
        return
    x = X.astype(dtype)
    compiled = tracer.compile(function)
    for a in VALUES:
        wanted, found = function(x, a), compiled(x, a)
        pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
        for one, other in pairs:
            assert type(one) is type(other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_allclose(other, one, rtol=1e-5 if np.asarray(one).dtype.char in "fF" else 1e-13)


@pytest.mark.parametrize("function", TRACED)
def test_two_traces_are_enough(function):
    compiled = tracer.compile(function)
    for a in np.linspace(0.5, 3, 20).tolist():
        compiled(X, a)
    assert compiled.cache_info().traces == 2
    misses = compiled.misses
    for a in np.linspace(0.6, 3.3, 20).tolist():
        compiled(X, a)
    assert compiled.misses == misses


def test_ints_and_bools_stay_static():
    compiled = tracer.compile(lambda x, n: x * n)
    for n in (0.5, 1.5, 2, True, 2.5, np.float64(3)):
        found = compiled(X.astype("int32"), n)
        assert found.dtype == (X.astype("int32") * n).dtype
        np.testing.assert_allclose(found, X * n)


def test_a_place_that_needs_its_number_does_not_hold_back_the_others():
    compiled = tracer.compile(lambda x, a, b: x * a + math.floor(b))
    for a in (0.1, 0.2, 0.3, 0.4, 0.5):
        for b in (1.5, 2.5):
            np.testing.assert_allclose(compiled(X, a, b), X * a + math.floor(b))
    assert compiled.cache_info().plans <= 5


def test_division_by_zero_is_pythons():
    compiled = tracer.compile(lambda x, a: x * (1 / a))
    for a in (1.0, 2.0, 3.0):
        np.testing.assert_allclose(compiled(X, a), X / a)
    with pytest.raises(ZeroDivisionError):
        compiled(X, 0.0)
    traces = compiled.cache_info().traces
    np.testing.assert_allclose(compiled(X, 5.0), X / 5)
    assert compiled.cache_info().traces == traces


def test_errors_of_the_user_are_the_users():
    def f(x, a):
        if x.shape[0] == 4:
            raise KeyError("mine")
        return x * a

    compiled = tracer.compile(f)
    for a in (0.1, 0.2, 0.3):
        with pytest.raises(KeyError, match="mine"):
            compiled(X, a)
    for a in (0.1, 0.2, 0.3):
        np.testing.assert_allclose(compiled(X[:2], a), X[:2] * a)


def test_no_handler_of_the_user_catches_the_need_of_a_number():
    def f(x, a):
        try:
            return x * math.exp(a)
        except Exception:
            return x

    compiled = tracer.compile(f)
    for a in VALUES:
        np.testing.assert_allclose(compiled(X, a), X * math.exp(a))


def test_derivatives_with_float_parameters():
    gradient = tracer.grad(lambda x, rate: np.sum(x**2) * rate)
    for rate in VALUES:
        np.testing.assert_allclose(gradient(X, rate), 2 * X * rate)
    both = tracer.compile(lambda x, rate: tracer.value_and_grad(lambda y: np.sum(y**3) * rate)(x))
    for rate in VALUES:
        np.testing.assert_allclose(both(X, rate)[1], 3 * X**2 * rate)


def test_updates_by_a_rate():
    weight = tracer.shared(np.ones(3))

    @tracer.compile
    def step(rate):
        weight.set(weight - rate * weight)

    expected = np.ones(3)
    for rate in VALUES:
        step(rate)
        expected = expected - rate * expected
        np.testing.assert_allclose(weight.get_value(), expected)
    assert step.cache_info().traces == 2


def test_zeros_and_nans():
    compiled = tracer.compile(lambda a: np.copysign(1.0, a) * 1.0)
    for a in (1.0, -1.0, 0.0, -0.0, float("inf"), float("nan")):
        assert compiled(a) == math.copysign(1.0, a)


NUMBERS = {
    "dot": lambda x, a: np.dot(x, a),
    "dot reflected": lambda x, a: np.dot(a, x),
    "method": lambda x, a: x.dot(a),
    "inner": lambda x, a: np.inner(x, a),
    "tensordot": lambda x, a: np.tensordot(x, a, 0),
    "einsum": lambda x, a: np.einsum("i,->i", x, a),
    "searchsorted": lambda x, a: np.searchsorted(x, a),
    "choose": lambda x, a: np.choose([0, 1, 0], [x, a]),
    "polyval": lambda x, a: np.polyval(x, a),
}


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.complex64])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_beside_arrays_give_numpys_dtypes(name, dtype):
    function, x = NUMBERS[name], np.arange(1, 4).astype(dtype)
    compiled = tracer.compile(function)
    for number in (1.5, 2.25, 0.5):
        got, wanted = compiled(x, number), function(x, number)
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
        assert got.dtype == wanted.dtype


def test_the_type_of_a_float_is_float():
    compiled = tracer.compile(lambda x, a: x * a if type(a) is float and isinstance(a, float) else x)
    for number in VALUES:
        np.testing.assert_allclose(compiled(X, number), X * number)


class Level(enum.IntEnum):
    LOW = 2


class Length(float):
    pass


@pytest.mark.parametrize("number", [Level.LOW, Length(1.5)])
def test_numbers_of_classes_of_their_own(number):
    for dtype in (np.float32, np.int32):
        x = np.arange(3).astype(dtype)
        for function in (lambda x: x * number, lambda x: number + x, lambda x: np.where(x > 1, x, number)):
            got = tracer.compile(function)(x)
            np.testing.assert_allclose(got, function(x))
            assert got.dtype == function(x).dtype
