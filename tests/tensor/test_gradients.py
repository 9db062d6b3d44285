"""Symbolic gradients of the functions of tensors, against finite differences."""

import pickle

import numpy as np
import pytest

import tracer
import tracer.tensor as T

RNG = np.random.default_rng(8)
SQUARE, CUBE, VECTOR = RNG.normal(size=(3, 3)), RNG.normal(size=(2, 3, 4)), RNG.normal(size=4)
ROWS = np.array([1, 0, 1])

CASES = {
    "reshape": (lambda x: T.reshape(x, (x.shape[0] * 3, -1)) ** 2, CUBE),
    "flatten": (lambda x: T.flatten(x, 2) ** 2, CUBE),
    "dimshuffle": (lambda x: T.dimshuffle(x, 2, "x", 0, 1) ** 2, CUBE),
    "addbroadcast": (lambda x: T.addbroadcast(x[:1], 0) * T.ones((5, 3)), SQUARE),
    "specify_shape": (lambda x: T.specify_shape(x, (3, 3)) ** 2, SQUARE),
    "tile": (lambda x: T.tile(x, (2, 3)) ** 3, SQUARE),
    "repeat": (lambda x: T.repeat(x, 2, axis=1) ** 3, SQUARE),
    "repeat with counts": (lambda x: T.repeat(x, [1, 0, 3], axis=0) ** 3, SQUARE),
    "roll": (lambda x: T.roll(x, 2, axis=1) * x, CUBE),
    "join": (lambda x: T.join(1, x, x**2, T.ones((3, 1))), SQUARE),
    "stack": (lambda x: T.stack([x, x**2], axis=2) ** 2, SQUARE),
    "split": (lambda x: T.split(x, [1, 3], 2)[1] ** 2, VECTOR),
    "alloc": (lambda x: T.alloc(x, 2, x.shape[0]) ** 2, VECTOR),
    "fill": (lambda x: T.fill(T.ones((3, 4)), x) ** 2, VECTOR),
    "dot": (lambda x: T.dot(x, x.T), SQUARE),
    "tensordot": (lambda x: T.tensordot(x, x, axes=[[0, 1], [0, 1]]), CUBE),
    "batched_dot": (lambda x: T.batched_dot(x, x.dimshuffle(0, 2, 1)), CUBE),
    "batched_tensordot": (lambda x: T.batched_tensordot(x, x, axes=[[1], [1]]), CUBE),
    "outer": (lambda x: T.outer(x, x), VECTOR),
    "mean": (lambda x: T.mean(x**2, axis=(0, 2)), CUBE),
    "std": (lambda x: T.std(x, axis=1, ddof=1), CUBE),
    "corrected var": (lambda x: T.var(x, axis=0, corrected=True), SQUARE),
    "prod": (lambda x: T.prod(x, axis=0), SQUARE),
    "max": (lambda x: T.max(x, axis=(0, 1)), CUBE),
    "max_and_argmax": (lambda x: T.max_and_argmax(x, axis=1)[0] ** 2, SQUARE),
    "ptp": (lambda x: T.ptp(x, axis=1), SQUARE),
    "norm": (lambda x: x.norm(3, axis=0), SQUARE),
    "switch": (lambda x: T.switch(x > 0, x**2, -x), SQUARE),
    "clip": (lambda x: T.clip(x, -0.5, 0.5) * x, SQUARE),
    "maximum": (lambda x: T.maximum(x, 0.1) * T.minimum(x.T, 0.3), SQUARE),
    "diag": (lambda x: T.diag(x) ** 2, SQUARE),
    "diag of a vector": (lambda x: T.diag(x) ** 2, VECTOR),
    "tril": (lambda x: T.tril(x) * x, SQUARE),
    "take": (lambda x: T.take(x, ROWS, axis=1) ** 2, SQUARE),
    "rows": (lambda x: x[ROWS] ** 2, SQUARE),
    "points": (lambda x: x[ROWS, [0, 0, 2]] ** 2, SQUARE),
    "mask": (lambda x: x[x > 0] ** 2, SQUARE),
    "set_subtensor": (lambda x: T.set_subtensor(x[1:, 0], x[0, :2]) ** 2, SQUARE),
    "inc_subtensor": (lambda x: T.inc_subtensor(x[ROWS], x) ** 2, SQUARE),
    "inc_subtensor of a view": (lambda x: T.inc_subtensor(x[:2].T, x[:, :2] * 2) ** 2, SQUARE),
    "nonzero_values": (lambda x: T.nonzero_values(x) ** 2, SQUARE),
    "permute_row_elements": (lambda x: T.permute_row_elements(x, [2, 0, 1]) * x, SQUARE),
    "choose": (lambda x: T.choose(ROWS, [x[0], x[1] ** 2]), SQUARE),
    "cast": (lambda x: T.cast(x, "complex128").real ** 2, SQUARE),
    "round away": (lambda x: T.round(x, "half_away_from_zero") * x, SQUARE),
    "sgn": (lambda x: T.sgn(x) * x, SQUARE),
    "gammaln": (lambda x: T.gammaln(x**2 + 1) + T.psi(x**2 + 1) + T.erf(x), SQUARE),
    "polar": (lambda x: T.abs_(T.complex_from_polar(x**2 + 1, x)), SQUARE),
}


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_right(name):
    function, at = CASES[name]
    T.verify_grad(function, [at], rng=np.random.RandomState(1))


@pytest.mark.parametrize("name", CASES)
def test_expressions_are_pickled(name):
    function, at = CASES[name]
    x = T.TensorType("float64", (False,) * at.ndim)("x")
    inputs, output = pickle.loads(pickle.dumps(([x], function(x))))
    np.testing.assert_array_equal(tracer.function(inputs, output)(at), tracer.function([x], function(x))(at))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: T.argmax(x, axis=(0, 1)),
        lambda x: T.cast(x, "int64"),
        lambda x: T.zeros(x.shape),
        lambda x: T.eye(x.shape[0]),
    ],
)
def test_no_derivative_flows(function):
    x = T.dmatrix("x")
    cost = (function(x) * 1.0).sum() + x.sum()
    np.testing.assert_array_equal(tracer.function([x], T.grad(cost, x))(SQUARE), np.ones((3, 3)))


def test_derivatives_reach_what_is_indexed_not_the_index():
    x, y, i = T.dvector("x"), T.dscalar("y"), T.lscalar("i")
    for cost in (x[i] ** 2, T.sum(x[i:]), T.sum(T.set_subtensor(x[i], y) ** 2)):
        with pytest.raises(tracer.errors.DisconnectedInputError):
            T.grad(cost, i)
        assert T.grad(cost, i, disconnected_inputs="ignore").dtype == "float64"
    slope, other = T.grad(T.sum(T.set_subtensor(x[i], y) ** 2), [x, y])
    found = tracer.function([x, y, i], [slope, other])(np.arange(3.0), 5.0, 1)
    np.testing.assert_array_equal(found[0], [0, 0, 4])
    assert found[1] == 10
