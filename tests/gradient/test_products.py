"""Jacobians, Hessians, products with them, and gradients of parts of an expression."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import errors
from tracer.gradient import DisconnectedType, hessian_vector_product

RNG = np.random.default_rng(4)


def differences(function, point, step=1e-6):
    """The Jacobian of a NumPy function by central differences."""
    columns = []
    for place in np.ndindex(point.shape):
        move = np.zeros(point.shape)
        move[place] = step
        columns.append((function(point + move) - function(point - move)) / (2 * step))
    return np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *point.shape)


@pytest.mark.parametrize("size", [0, 1, 5, 16, 17, 40])
def test_jacobian_of_any_size(size):
    x = T.dvector("x")
    f = theano.function([x], T.jacobian(T.sin(x) * x.sum(), x))
    point = RNG.normal(size=size)
    found = f(point)
    assert found.shape == (size, size)
    if size:
        np.testing.assert_allclose(found, differences(lambda v: np.sin(v) * v.sum(), point), atol=1e-7)


@pytest.mark.parametrize("rows", [3, 30])
def test_jacobian_with_respect_to_several_variables(rows):
    W, x = T.dmatrix("W"), T.dvector("x")
    by_w, by_x = T.jacobian(T.tanh(T.dot(W, x)), [W, x])
    assert by_w.type == T.dtensor3 and by_x.type == T.dmatrix
    values = RNG.normal(size=(rows, 4)), RNG.normal(size=4)
    found = theano.function([W, x], [by_w, by_x])(*values)
    np.testing.assert_allclose(found[0], differences(lambda w: np.tanh(w @ values[1]), values[0]), atol=1e-7)
    np.testing.assert_allclose(found[1], differences(lambda v: np.tanh(values[0] @ v), values[1]), atol=1e-7)


def test_jacobian_keeps_the_kind_of_wrt():
    x, y = T.dvectors("x", "y")
    assert isinstance(T.jacobian(x * y, (x, y)), tuple) and isinstance(T.jacobian(x * y, [x, y]), list)


def test_jacobian_of_a_scalar_is_a_gradient():
    x = T.dvector("x")
    np.testing.assert_allclose(T.jacobian((x**2).sum(), x).eval({x: [1.0, 2.0]}), [2, 4])


def test_jacobian_needs_a_vector():
    x = T.dmatrix("x")
    with pytest.raises(TypeError, match="a Jacobian is taken of a vector, but the expression has type"):
        T.jacobian(x * 2, x)


def test_jacobian_of_disconnected_variables():
    x, y = T.dvectors("x", "y")
    with pytest.raises(errors.DisconnectedInputError):
        T.jacobian(x**2, y)
    zeros = T.jacobian(x**2, y, disconnected_inputs="ignore").eval({x: np.ones(2), y: np.ones(3)})
    np.testing.assert_array_equal(zeros, np.zeros((2, 3)))


def test_jacobian_and_consider_constant():
    x = T.dvector("x")
    y = x**2
    found = T.jacobian(x * y, x, consider_constant=[y]).eval({x: [1.0, 2.0]})
    np.testing.assert_allclose(found, np.diag([1.0, 4.0]))


@pytest.mark.parametrize("size", [3, 20])
def test_hessian(size):
    x = T.dvector("x")
    point = RNG.normal(size=size)
    found = T.hessian((x**3).sum() * x.sum(), x).eval({x: point})
    slope = 3 * point**2
    np.testing.assert_allclose(found, np.diag(6 * point * point.sum()) + slope[:, None] + slope, rtol=1e-12)


def test_hessian_of_a_scan():
    x = T.dvector("x")
    total, _ = theano.reduce(lambda item, before: before + item**3, x, outputs_info=T.zeros(()))
    np.testing.assert_allclose(T.hessian(total, x).eval({x: [1.0, 2.0]}), np.diag([6.0, 12.0]))


def test_hessian_needs_vectors():
    x = T.dmatrix("x")
    with pytest.raises(TypeError, match="a Hessian is taken with respect to vectors, but x has type"):
        T.hessian(x.sum(), x)


def test_hessian_vector_product():
    x, y, p, q = T.dvectors("x", "y", "p", "q")
    products = hessian_vector_product((x**2 * y).sum(), [x, y], [p, q])
    a, b, c, d = RNG.normal(size=(4, 3))
    by_x, by_y = theano.function([x, y, p, q], products)(a, b, c, d)
    np.testing.assert_allclose(by_x, 2 * b * c + 2 * a * d)
    np.testing.assert_allclose(by_y, 2 * a * c)


def test_rop_and_lop_are_transposes():
    W, V = T.dmatrices("W", "V")
    x, u = T.dvectors("x", "u")
    y = T.tanh(T.dot(x, W))
    values = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=3), RNG.normal(size=4)
    forward = theano.function([W, V, x], T.Rop(y, W, V))(*values[:3])
    backward = theano.function([W, x, u], T.Lop(y, W, u))(values[0], *values[2:])
    np.testing.assert_allclose(np.sum(forward * values[3]), np.sum(backward * values[1]))
    slope = differences(lambda w: np.tanh(values[2] @ w), values[0])
    np.testing.assert_allclose(forward, np.sum(slope * values[1], axis=(1, 2)), atol=1e-8)


def test_rop_of_several_expressions_and_variables():
    x, y, v = T.dvectors("x", "y", "v")
    one, two = T.Rop([x * y, T.exp(y)], [x, y], [v, None])
    f = theano.function([x, y, v], [one, two], on_unused_input="ignore")
    first, second = f(np.ones(2), np.array([2.0, 3.0]), np.array([10.0, 20.0]))
    np.testing.assert_allclose(first, [20, 60])
    np.testing.assert_allclose(second, [0, 0])


def test_rop_through_a_scan():
    x, v = T.dvectors("x", "v")
    states, _ = theano.scan(lambda item, state: state * item, sequences=x, outputs_info=T.ones(()))
    found = T.Rop(states, x, v).eval({x: [2.0, 3.0], v: [1.0, 10.0]})
    np.testing.assert_allclose(found, [1, 1 * 3 + 2 * 10])


def test_rop_of_disconnected_expressions():
    x, y, v = T.dvectors("x", "y", "v")
    with pytest.raises(errors.DisconnectedInputError):
        T.Rop(y, x, v)
    options = {"disconnected_outputs": "ignore"}
    np.testing.assert_array_equal(T.Rop(y, x, v, **options).eval({y: np.ones(2)}), np.zeros(2))
    assert T.Rop([y], x, v, return_disconnected="None", **options) == [None]
    assert isinstance(T.Rop(y, x, v, return_disconnected="Disconnected", **options).type, DisconnectedType)


def test_evaluation_points_are_checked():
    x, v = T.dvectors("x", "v")
    with pytest.raises(ValueError, match="Rop was given 2 evaluation points for 1 variables"):
        T.Rop(x**2, x, [v, v])
    with pytest.raises(ValueError, match="Lop was given 1 evaluation points for 2 variables"):
        T.Lop([x, x**2], x, [v])
    with pytest.raises(ValueError, match=r"an evaluation point has type float64\[2\]"):
        T.Rop(x**2, x, v).eval({x: np.ones(3), v: np.ones(2)})


def test_lop_of_several_expressions():
    x, v = T.dvectors("x", "v")
    found = T.Lop([x**2, T.exp(x)], x, [v, v]).eval({x: [0.0, 1.0], v: [1.0, 10.0]})
    np.testing.assert_allclose(found, [1, 20 + 10 * np.e])


def test_gradients_of_parts():
    x, t = T.dvector("x"), T.dvector("t")
    w1, w2 = theano.shared(RNG.normal(size=(3, 4)), "w1"), theano.shared(RNG.normal(size=(4, 2)), "w2")
    a1 = T.tanh(T.dot(x, w1))
    a2 = T.tanh(T.dot(a1, w2))
    cost2 = T.sqr(a2 - t).sum() + T.sqr(w2).sum()
    cost1 = T.sqr(w1).sum()
    (part2,), end2 = theano.subgraph_grad([w2], [a1], cost=cost2)
    (part1,), _ = theano.subgraph_grad([w1], [x], start=dict(zip([a1], end2, strict=True)), cost=cost1)
    whole = T.grad(cost1 + cost2, [w1, w2])
    f = theano.function([x, t], [part1, part2, *whole])
    found = f(RNG.normal(size=3), RNG.normal(size=2))
    np.testing.assert_allclose(found[0], found[2])
    np.testing.assert_allclose(found[1], found[3])


def test_gradients_of_parts_in_detail():
    x = T.dscalar("x")
    y = x**2
    wrt, end, from_start, from_cost = theano.subgraph_grad([y], [x], start={y: 3.0}, cost=y * 2, details=True)
    values = theano.function([x], [*wrt, *end, *from_start, *from_cost])(5.0)
    assert [float(value) for value in values] == [5, 50, 3, 30, 2, 20]
    with pytest.raises(ValueError, match="subgraph_grad needs a cost or a start"):
        theano.subgraph_grad([y], [x])
