"""Programs whose floatX is float32 stay float32, whatever numbers and small integers they mention."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.tensor.variables import operand_dtype

VALUE = np.array([1, -2, 3], np.float32)


@pytest.fixture
def x():
    with theano.config.changed(floatX="float32"):
        yield T.vector("x")


def value_of(x, make):
    result = make(x)
    value = theano.function([x], result, on_unused_input="ignore")(VALUE)
    assert value.dtype == result.dtype
    return value


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: x * np.sqrt(2), VALUE * 2**0.5),
        (lambda x: np.float64(0.5) * x, VALUE / 2),
        (lambda x: theano.shared(VALUE) - np.float64(0.5), VALUE - 0.5),
        (lambda x: T.maximum(x, np.float64(0)), [1, 0, 3]),
        (lambda x: T.clip(x, -np.inf, np.float64(2)), [1, -2, 2]),
        (lambda x: (x > 0) * 0.5, [0.5, 0, 0.5]),
        (lambda x: T.cast(x, "int16") * 0.5, [0.5, -1, 1.5]),
        (lambda x: x * (T.constant(1) - 0.9), VALUE * 0.1),
        (lambda x: T.constant(0.5), 0.5),
        (lambda x: T.sqrt(2.0) * x, VALUE * 2**0.5),
        (lambda x: T.sqrt(2) * x, VALUE * 2**0.5),
        (lambda x: T.log(2 * np.pi) * x, VALUE * np.log(2 * np.pi)),
        (lambda x: T.switch(x > 0, 0.1, 0.9), [0.1, 0.9, 0.1]),
        (lambda x: T.switch(x > 0, 1, 0) * x, [1, 0, 3]),
        (lambda x: T.fill(x, 0.5), [0.5] * 3),
        (lambda x: T.alloc(0.5, 2), [0.5] * 2),
        (lambda x: T.arange(0, 1, 0.25), [0, 0.25, 0.5, 0.75]),
        (lambda x: T.arange(3) / 2, [0, 0.5, 1]),
        (lambda x: T.eq(x, 1).sum() / x.shape[0], 1 / 3),
        (lambda x: T.inv(T.constant(4)), 0.25),
        (lambda x: T.exp(x > 0), [np.e, 1, np.e]),
    ],
)
def test_real_numbers_are_float32(x, make, expected):
    value = value_of(x, make)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: T.arange(3) * 0.5,
        lambda x: x / x.shape[0],
        lambda x: x * np.ones(3),
        lambda x: T.dvector() * 0.1,
        lambda x: T.clip(T.dvector(), 0.1, 0.9),
    ],
)
def test_arrays_and_large_integers_keep_their_precision(x, make):
    assert make(x).dtype == "float64"


def test_a_number_that_meets_float64_is_not_rounded(x):
    d = T.dvector()
    assert theano.function([d], d * 0.1)([1])[0] == 0.1
    assert theano.function([d], T.minimum(d, np.float64(0.1)))([1])[0] == 0.1


def test_elsewhere_numbers_are_those_of_numpy():
    x = T.fvector()
    assert (x * np.float64(0.5)).dtype == (T.fvector() > 0).mean().dtype == "float64"
    assert ((x > 0) * 0.5).dtype == T.switch(x > 0, 0.1, 0.9).dtype == "float64"
    assert operand_dtype(T.constant(0.5)) == 0.5


def test_functions_of_bools_are_float32_rather_than_half_precision():
    x = T.dvector()
    result = T.exp(x > 0)
    value = theano.function([x], result)([1, -1])
    assert value.dtype == result.dtype == "float32"
    np.testing.assert_allclose(value, [np.e, 1], rtol=1e-6)


def test_equal_numbers_of_other_kinds_give_other_types():
    i = T.ivector()
    results = [T.clip(i, 0, 1), T.clip(i, 0.0, 1.0), T.clip(i, False, True)]
    values = theano.function([i], results)(np.array([-1, 2], np.int32))
    assert [item.dtype for item in results] == [item.dtype for item in values] == ["int32", "float64", "int32"]
