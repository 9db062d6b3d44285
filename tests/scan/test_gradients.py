"""Derivatives through loops: reverse and forward mode, second order, every kind of input, checked with differences."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.gradient import DisconnectedInputError, Rop, disconnected_grad, grad, hessian, jacobian
from tracer.scan_module import foldl, scan, until

RNG = np.random.default_rng(7)


def numeric(f, values, position, step=1e-6):
    """The gradient of a scalar function with respect to one of its arguments by central differences."""
    gradient = np.zeros_like(values[position])
    for index in np.ndindex(gradient.shape):
        changed = [np.array(value, dtype=float) for value in values]
        changed[position][index] += step
        up = f(*changed)
        changed[position][index] -= 2 * step
        gradient[index] = (up - f(*changed)) / (2 * step)
    return gradient


def check(cost, variables, values, rtol=1e-6):
    """Compare the gradient with differences, Rop with the gradient, and the gradient of a product with it too."""
    values = [np.asarray(value, float) for value in values]
    f = theano.function(variables, cost)
    gradients = grad(cost, variables)
    found = theano.function(variables, gradients)(*values)
    for position in range(len(values)):
        wanted = numeric(f, values, position)
        np.testing.assert_allclose(found[position], wanted, rtol=rtol, atol=rtol * max(1, np.abs(wanted).max()))
    directions = [RNG.standard_normal(value.shape) for value in values]
    pushed = theano.function(variables, Rop(cost, variables, [T.constant(item) for item in directions]))(*values)
    along = sum(np.sum(g * v) for g, v in zip(found, directions, strict=True))
    np.testing.assert_allclose(pushed, along, rtol=1e-9, atol=1e-9)
    product = sum(T.sum(g * v) for g, v in zip(gradients, directions, strict=True))
    second = theano.function(variables, grad(product, variables, disconnected_inputs="ignore"))(*values)
    slope = theano.function(variables, product)
    for position in range(len(values)):
        wanted = numeric(slope, values, position)
        np.testing.assert_allclose(second[position], wanted, rtol=1e-5, atol=1e-5 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("backwards", [False, True])
def test_recurrence_with_all_kinds_of_inputs(backwards):
    x, h0, w, b, c = T.dmatrix("x"), T.dvector("h0"), T.dmatrix("w"), T.dvector("b"), T.dscalar("c")

    def step(row, h, w):
        new = T.tanh(T.dot(h, w) + row + b)
        return [new, c * T.sum(new * row)]

    (h, y), _ = scan(step, x, [h0, None], w, go_backwards=backwards)
    cost = T.sum(h**2 * T.arange(1.0, 13).reshape((4, 3))) + T.sum(y**3)
    shapes = [(4, 3), (3,), (3, 3), (3,), ()]
    check(cost, [x, h0, w, b, c], [RNG.standard_normal(shape) for shape in shapes])


def test_only_the_last_state():
    x, h0, w = T.dmatrix("x"), T.dvector("h0"), T.dvector("w")
    h, _ = scan(lambda row, h: T.sin(h * w + row), x, h0)
    check(T.sum(h[-1] ** 2), [x, h0, w], [RNG.standard_normal(shape) for shape in ((5, 2), (2,), (2,))])


def test_several_taps_of_outputs_and_sequences():
    u, x0, a, b = T.dvector("u"), T.dvector("x0"), T.dscalar("a"), T.dscalar("b")

    def step(u_m1, u_p1, x_m1, x_m3):
        return a * x_m1 * u_p1 + T.sin(b * x_m3) + u_m1

    x, _ = scan(step, {"input": u, "taps": [-1, 1]}, {"initial": x0, "taps": [-1, -3]})
    cost = T.sum(x**2) + x[2] * x[4]
    check(cost, [u, x0, a, b], [RNG.standard_normal(8), RNG.standard_normal(3), 0.7, -0.4])


def test_a_sequence_that_is_a_result_itself():
    v = T.dvector("v")
    y, _ = scan(lambda a: T.exp(a) * a, T.tanh(v) * 2)
    check(T.sum(y**2), [v], [RNG.standard_normal(4)])


def test_through_updates_of_shared_variables():
    s, x = theano.shared(1.5), T.dvector("x")
    seen, updates = scan(lambda a: (a * s**2, {s: s * a}), x)
    f = theano.function([x], [grad(T.sum(seen) + updates[s], s), grad(T.sum(seen) + updates[s], x)])

    def cost(start, *rows):
        total = 0.0
        for row in rows:
            total += row * start**2
            start = start * row
        return total + start

    values = [1.5, 0.3, -0.7, 1.2]
    found = f(values[1:])
    np.testing.assert_allclose(found[0], numeric(cost, values, 0), rtol=1e-7)
    np.testing.assert_allclose(found[1], [numeric(cost, values, place) for place in (1, 2, 3)], rtol=1e-6)


def test_closed_over_shared_variables():
    w, x = theano.shared(RNG.standard_normal((2, 2))), T.dmatrix("x")
    h, _ = scan(lambda row, h: T.tanh(T.dot(h, w) + row), x, T.zeros((2,)))
    cost = T.sum(h[-1] ** 2)
    values = RNG.standard_normal((5, 2))
    found = theano.function([x], grad(cost, w))(values)
    start = w.get_value()
    f = theano.function([x], cost)

    def at(value):
        w.set_value(value)
        return f(values)

    np.testing.assert_allclose(found, numeric(at, [start], 0), rtol=1e-6, atol=1e-9)


def test_loops_in_loops():
    x, y = T.dmatrix("x"), T.dscalar("y")

    def outer(row, before):
        inner, _ = scan(lambda item, total: T.sin(total * y) + item * before, row, before * 0.5)
        return inner[-1] + T.sum(inner**2)

    out, _ = scan(outer, x, np.float64(0.3))
    check(T.sum(out**2), [x, y], [0.5 * RNG.standard_normal((3, 2)), 0.7], rtol=1e-5)


def test_gradient_inside_a_loop():
    x, w = T.dvector("x"), T.dscalar("w")

    def descend(p):
        return p - 0.1 * grad(T.sum((T.sin(w * p) - x) ** 2), p)

    path, _ = scan(descend, None, T.zeros_like(x), n_steps=4)
    f = theano.function([x, w], path)
    values = np.array([0.3, -0.2]), 1.3
    p, wanted = np.zeros(2), []
    for _ in range(4):
        p = p - 0.1 * 2 * (np.sin(values[1] * p) - values[0]) * np.cos(values[1] * p) * values[1]
        wanted.append(p)
    np.testing.assert_allclose(f(*values), wanted, rtol=1e-12)
    check(T.sum(path[-1] ** 2), [x, w], values)


def test_jacobian_of_a_loop_by_a_loop():
    x, w = T.dvector("x"), T.dmatrix("w")
    h, _ = scan(lambda h: T.tanh(T.dot(h, w)), None, x, n_steps=3)
    y = h[-1]
    rows, _ = scan(lambda i, y, x: grad(y[i], x), T.arange(y.shape[0]), non_sequences=[y, x])
    values = [RNG.standard_normal(2), RNG.standard_normal((2, 2))]
    found = theano.function([x, w], [rows, jacobian(y, x)])(*values)
    f = theano.function([x, w], y)
    step = 1e-6
    wanted = np.transpose(
        [(f(values[0] + d, values[1]) - f(values[0] - d, values[1])) / (2 * step) for d in step * np.eye(2)]
    )
    np.testing.assert_allclose(found[0], wanted, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


def test_hessian_of_a_loop():
    x = T.dvector("x")
    total, _ = foldl(lambda a, s: T.sin(s * a) + a**3, x, np.float64(1))
    found = theano.function([x], hessian(total, x))(np.array([0.2, 0.5, -0.3]))
    slope = theano.function([x], grad(total, x))
    step = 1e-6
    value = np.array([0.2, 0.5, -0.3])
    wanted = [(slope(value + d) - slope(value - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


def test_until():
    x, limit = T.dscalar("x"), T.dscalar("limit")
    v, _ = scan(lambda v, limit: (v * x, until(v * x > limit)), None, x, limit, n_steps=50)
    f = theano.function([x, limit], [v[-1], grad(v[-1], x), grad(T.sum(v**2), x), grad(T.max(v), x)])
    for value, steps in ((2.0, 4), (3.0, 2), (1.5, 7)):
        last, slope, of_sum, of_max = f(value, 20.0)
        power = steps + 1
        np.testing.assert_allclose(last, value**power)
        np.testing.assert_allclose([slope, of_max], power * value ** (power - 1))
        powers = np.arange(2, power + 1)
        np.testing.assert_allclose(of_sum, np.sum(2 * powers * value ** (2.0 * powers - 1)))


@pytest.mark.parametrize("truncate", [0, 1, 2, 3, 5, -1])
def test_truncated_gradients_go_back_over_the_last_steps(truncate):
    x, w, h0 = T.dvector("x"), T.dscalar("w"), T.dscalar("h0")
    h, _ = scan(lambda row, h: T.tanh(w * h + row), x, h0, truncate_gradient=truncate)
    values = RNG.standard_normal(5), 0.8, 0.4
    found = theano.function([x, w, h0], grad(h[-1], [x, w, h0]))(*values)
    kept = 5 if truncate < 0 else truncate
    states = [0.4]
    for row in values[0]:
        states.append(np.tanh(0.8 * states[-1] + row))
    g, gx, gw = 1.0, np.zeros(5), 0.0
    for t in range(4, 4 - kept, -1):
        g = g * (1 - states[t + 1] ** 2)
        gx[t] = g
        gw += g * states[t]
        g = g * 0.8
    np.testing.assert_allclose(found[0], gx, atol=1e-14)
    np.testing.assert_allclose(found[1], gw, atol=1e-14)
    np.testing.assert_allclose(found[2], g if kept == 5 else 0, atol=1e-14)


def test_what_a_loop_does_not_depend_on_is_disconnected():
    x, c, n = T.dvector("x"), T.dscalar("c"), T.lscalar("n")
    (a, b), _ = scan(lambda row, s, c: [row * 2, s + disconnected_grad(c)], x, [None, np.float64(0)], c, n_steps=n)
    with pytest.raises(DisconnectedInputError):
        grad(T.sum(a), c)
    with pytest.raises(DisconnectedInputError):
        grad(T.sum(b), c)
    with pytest.raises(DisconnectedInputError):
        grad(T.sum(a), n)
    np.testing.assert_array_equal(theano.function([x, c, n], grad(T.sum(a), x))([1.0, 2.0], 0.0, 1), [2, 0])


def test_an_output_depends_on_another_one_through_later_steps():
    x, y0 = T.dvector("x"), T.dscalar("y0")
    (a, b), _ = scan(lambda row, p, q: [q * row, p + 1], x, [T.zeros(()), y0])
    check(T.sum(a) + T.sum(b**2), [x, y0], [RNG.standard_normal(4), 0.6])


def test_consider_constant_in_a_loop():
    x = T.dvector("x")
    h, _ = scan(lambda row, h: row * h + theano.gradient.zero_grad(row), x, np.float64(1))
    values = np.array([0.5, 2.0])
    # h1 = x0 + c0, h2 = x1 (x0 + c0) + c1
    np.testing.assert_allclose(theano.function([x], grad(h[-1], x))(values), [2.0, 1.0])


def test_gradient_of_an_integer_loop_counter():
    x = T.dscalar("x")
    (powers, _), _ = scan(lambda p, i: [p * x**i, i + 1], None, [np.float64(1), np.int64(1)], n_steps=3)
    np.testing.assert_allclose(theano.function([x], grad(powers[-1], x))(1.5), 6 * 1.5**5)


def test_float32_stays():
    x, w = T.fvector("x"), T.fscalar("w")
    h, _ = scan(lambda row, h: T.tanh(w * h + row), x, np.float32(0))
    g = grad(h[-1], w)
    assert (h.dtype, g.dtype) == ("float32", "float32")
    assert theano.function([x, w], g)(np.ones(3, np.float32), np.float32(0.5)).dtype == np.float32
