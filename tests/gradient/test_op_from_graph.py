"""Expressions as ops: what they compute, and derivatives of their own."""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import OpFromGraph, errors
from tracer.gradient import DisconnectedType, NullType

POINT = np.array([0.5, -1.0, 2.0])


def variables():
    return T.dvectors("x", "y")


def test_it_is_an_op():
    x, y = variables()
    op = OpFromGraph([x, y], [x + y, x * y])
    a, b = variables()
    total, product = op(a, b * 2)
    f = theano.function([a, b], [total, product])
    np.testing.assert_allclose(f(POINT, POINT), [3 * POINT, 2 * POINT**2])
    assert op(a, b)[0].owner.op is op and "inline=False" in repr(op)


def test_it_is_looked_through():
    x, y = variables()
    op = OpFromGraph([x], [T.log(x)], lop_overrides=lambda ins, outs, g: [g[0]])
    f = theano.function([y], op(1 + y))
    f(POINT + 2)
    names = [node.op.name for node in f.program.last_plan.graph.nodes()]
    assert names == ["input", "log1p"]  # stabilised and free of the rule


def test_shared_and_other_variables_come_along():
    x, z = T.dscalars("x", "z")
    w = theano.shared(2.0, name="w")
    op = OpFromGraph([x], [x * w + z])
    a = T.dscalar("a")
    f = theano.function([a, z], [op(a), *T.grad(op(a) ** 2, [a, w, z])])
    assert [float(item) for item in f(3.0, 1.0)] == [7, 28, 42, 14]
    w.set_value(1.0)
    assert float(f(3.0, 1.0)[0]) == 4


def test_in_a_trace():
    x, y = T.dscalars("x", "y")
    op = OpFromGraph([x, y], [x * y], lop_overrides=lambda ins, outs, g: [g[0] * 100, g[0] * ins[0]])
    assert np.allclose(theano.value_and_grad(lambda a, b: op(a, b), argnums=(0, 1))(2.0, 3.0)[1], (100, 2))


def test_default_derivatives():
    x, y = variables()
    op = OpFromGraph([x, y], [T.exp(x) * y])
    a, v = variables()
    f = theano.function([a, v], [T.grad(op(a, a).sum(), a), T.Rop(op(a, a), a, v)], on_unused_input="ignore")
    slope, pushed = f(POINT, POINT)
    np.testing.assert_allclose(slope, np.exp(POINT) * (1 + POINT))
    np.testing.assert_allclose(pushed, np.exp(POINT) * (1 + POINT) * POINT)


@pytest.mark.parametrize("kind", ["grad", "lop", "op", "lop op"])
def test_a_gradient_of_its_own(kind):
    x, y, out, g = T.dvectors("x", "y", "out", "g")
    overrides = {
        "grad": {"grad_overrides": lambda inputs, grads: [grads[0] * inputs[1], grads[0] * 7]},
        "lop": {"lop_overrides": lambda inputs, outputs, grads: [grads[0] * outputs[0] / inputs[0], grads[0] * 7]},
        "op": {"grad_overrides": OpFromGraph([x, y, g], [g * y, g * 7])},
        "lop op": {"lop_overrides": OpFromGraph([x, y, out, g], [g * out / x, g * 7])},
    }
    op = OpFromGraph([x, y], [x * y], **overrides[kind])
    a, b = variables()
    by_a, by_b = theano.function([a, b], T.grad((op(a, b) ** 2).sum(), [a, b]))(POINT, POINT + 1)
    np.testing.assert_allclose(by_a, 2 * POINT * (POINT + 1) ** 2)
    np.testing.assert_allclose(by_b, 14 * POINT * (POINT + 1))


def test_a_gradient_for_some_inputs():
    x, y = variables()
    op = OpFromGraph([x, y], [x * y], grad_overrides=[lambda inputs, grads: grads[0] * 100, "default"])
    a = T.dvector("a")
    np.testing.assert_allclose(T.grad(op(a, 2 * a).sum(), a).eval({a: POINT}), 100 + 2 * POINT)


def test_several_outputs_of_which_one_is_used():
    x = T.dvector("x")
    op = OpFromGraph([x], [x * 2, x * 3], lop_overrides=lambda ins, outs, g: [g[0] * 2 + g[1] * 30])
    a = T.dvector("a")
    one, two = op(a)
    f = theano.function([a], [T.grad(one.sum(), a), T.grad(two.sum(), a), T.grad((one + two).sum(), a)])
    np.testing.assert_allclose(f(POINT), np.multiply.outer([2, 30, 32], np.ones(3)))


def test_gradients_that_are_not_there():
    x, y = variables()
    given = [NullType("nobody knows it")(), DisconnectedType()()]
    op = OpFromGraph([x, y], [x * y], lop_overrides=given)
    a, b = variables()
    with pytest.raises(errors.NullTypeGradError, match="nobody knows it"):
        T.grad(op(a, b).sum(), a)
    with pytest.raises(errors.DisconnectedInputError):
        T.grad(op(a, b).sum(), b)
    other = OpFromGraph([x, y], [x * y], lop_overrides=lambda ins, outs, g: [g[0], None])
    with pytest.raises(errors.DisconnectedInputError):
        T.grad(other(a, b).sum(), b)


def test_connection_pattern():
    x, y = variables()
    assert OpFromGraph([x, y], [x, y * 2]).connection_pattern(None) == [[True, False], [False, True]]
    op = OpFromGraph([x, y], [x * y], connection_pattern=[[True], [False]])
    a, b = variables()
    with pytest.raises(errors.DisconnectedInputError):
        T.grad(op(a, b).sum(), b)


def test_a_derivative_forward_of_its_own():
    x = T.dvector("x")
    a, v = variables()
    op = OpFromGraph([x], [x**2, x**3], rop_overrides=[lambda inputs, moves: moves[0] * 10, "default"])
    one, two = theano.function([a, v], T.Rop(op(a), a, v))(POINT, np.ones(3))
    np.testing.assert_allclose(one, np.full(3, 10))
    np.testing.assert_allclose(two, 3 * POINT**2)
    whole = OpFromGraph([x], [x**2], rop_overrides=lambda inputs, moves: [moves[0] * inputs[0]])
    np.testing.assert_allclose(T.Rop(whole(a), a, v).eval({a: POINT, v: np.ones(3)}), POINT)
    # Backward nothing has changed; forward what is only overridden backward is that of the expression.
    np.testing.assert_allclose(T.grad(whole(a).sum(), a).eval({a: POINT}), 2 * POINT)
    backward = OpFromGraph([x], [x**2], lop_overrides=lambda ins, outs, g: [g[0] * 0])
    np.testing.assert_allclose(T.Rop(backward(a), a, v).eval({a: POINT, v: np.ones(3)}), 2 * POINT)


def test_second_derivatives_go_through_the_rule():
    x = T.dscalar("x")
    op = OpFromGraph([x], [T.exp(x)], lop_overrides=lambda ins, outs, g: [g[0] * ins[0] ** 3])
    a = T.dscalar("a")
    assert float(T.grad(T.grad(op(a), a), a).eval({a: 2.0})) == 12


def test_in_each_other():
    x = T.dvector("x")
    inner = OpFromGraph([x], [x**2], lop_overrides=lambda ins, outs, g: [g[0] * 5])
    outer = OpFromGraph([x], [inner(x) * 3])
    a = T.dvector("a")
    np.testing.assert_allclose(T.grad(outer(a).sum(), a).eval({a: POINT}), np.full(3, 15))


def test_in_a_scan():
    x = T.dscalar("x")
    op = OpFromGraph([x], [x**2], lop_overrides=lambda ins, outs, g: [g[0] * 5])
    a = T.dvector("a")
    values, _ = theano.map(op, a)
    value, slope = theano.function([a], [values, T.grad(values.sum(), a)])(POINT)
    np.testing.assert_allclose(value, POINT**2)
    np.testing.assert_allclose(slope, np.full(3, 5))


def test_givens():
    x, y = variables()
    op = OpFromGraph([x], [x * y], givens={y: x + 1})
    np.testing.assert_allclose(op(x).eval({x: POINT}), POINT * (POINT + 1))


def test_errors():
    x, y = variables()
    with pytest.raises(TypeError, match="OpFromGraph takes symbolic variables, not 3, a int"):
        OpFromGraph([x], [3])
    with pytest.raises(ValueError, match="both say what the gradient is"):
        OpFromGraph([x], [x], grad_overrides=lambda i, g: g, lop_overrides=lambda i, o, g: g)
    with pytest.raises(TypeError, match="takes inputs of types"):
        OpFromGraph([x], [x])(T.dmatrix())
    with pytest.raises(TypeError, match="takes inputs of types"):
        OpFromGraph([x], [x])(x, y)
    with pytest.raises(ValueError, match="an override gave 1 expressions, but 2 are needed"):
        T.grad(OpFromGraph([x, y], [x * y], lop_overrides=lambda i, o, g: [g[0]])(x, y).sum(), x)


def twice_the_slope(inputs, outputs, gradients):
    return [2 * gradients[0]]


def test_it_pickles():
    x = T.dvector("x")
    op = OpFromGraph([x], [x * 3], lop_overrides=twice_the_slope, name="Triple")
    copied, y, slope = pickle.loads(pickle.dumps((x, op(x), T.grad(op(x).sum(), x))))
    np.testing.assert_allclose(y.eval({copied: POINT}), 3 * POINT)
    np.testing.assert_allclose(slope.eval({copied: POINT}), np.full(3, 2))


def test_mapped_inside():
    x = T.dvector("x")
    inside = T.exp(x)
    inside.tag.replacement = inside + 1
    op = OpFromGraph([x], [inside * 2])
    (found,) = theano.map_variables(lambda item: getattr(item.tag, "replacement", item), [op(x)])
    np.testing.assert_allclose(found.eval({x: POINT}), 2 * np.exp(POINT) + 2)
    np.testing.assert_allclose(op(x).eval({x: POINT}), 2 * np.exp(POINT))
