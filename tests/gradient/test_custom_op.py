"""Ops of one's own, written as for Theano."""

import pickle

import numpy as np
import pytest
from tracer.compile.ops import as_op

import tracer as theano
import tracer.tensor as T
from tracer import errors
from tracer.gradient import DisconnectedType, grad_undefined, verify_grad

POINT = np.array([0.5, -1.0, 2.0])


class DoubleOp(theano.Op):
    """The example of Theano's page on new ops."""

    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return theano.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = inputs[0] * 2

    def infer_shape(self, node, i0_shapes):
        return i0_shapes

    def grad(self, inputs, output_grads):
        return [output_grads[0] * 2]

    def R_op(self, inputs, eval_points):
        if eval_points[0] is None:
            return eval_points
        return self.grad(inputs, eval_points)


class Axpb(theano.Op):
    """x -> a x + b, with parameters that tell ops apart."""

    __props__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b
        super().__init__()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return theano.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = self.a * inputs[0] + self.b

    def infer_shape(self, node, i0_shapes):
        return i0_shapes

    def grad(self, inputs, output_grads):
        return [self.a * output_grads[0]]


class SinCos(theano.Op):
    """Two outputs, whose gradient uses them; types say what it takes."""

    itypes = (T.dvector,)
    otypes = (
        T.dvector,
        T.dvector,
    )
    calls = 0

    def perform(self, node, inputs, output_storage):
        type(self).calls += 1
        output_storage[0][0], output_storage[1][0] = np.sin(inputs[0]), np.cos(inputs[0])

    def infer_shape(self, node, shapes):
        return [shapes[0], shapes[0]]

    def L_op(self, inputs, outputs, gradients):
        return [gradients[0] * outputs[1] - gradients[1] * outputs[0]]


def test_the_double_op():
    x = T.dmatrix("x")
    f = theano.function([x], DoubleOp()(x))
    value = np.random.default_rng(0).random((5, 4))
    np.testing.assert_allclose(f(value), value * 2)
    assert repr(DoubleOp()) == "DoubleOp" and DoubleOp() == DoubleOp()


def test_its_derivatives():
    x, v = T.dvectors("x", "v")
    verify_grad(DoubleOp(), [POINT])
    np.testing.assert_allclose(T.Rop(DoubleOp()(x), x, v).eval({x: POINT, v: POINT}), 2 * POINT)
    np.testing.assert_allclose(T.grad((DoubleOp()(x) ** 2).sum(), x).eval({x: POINT}), 8 * POINT)
    np.testing.assert_allclose(T.hessian((DoubleOp()(x) ** 2).sum(), x).eval({x: POINT}), 8 * np.eye(3))


def test_properties_tell_ops_apart():
    assert Axpb(4, 1) == Axpb(4, 1) != Axpb(4, 2) and hash(Axpb(4, 1)) == hash(Axpb(4, 1))
    assert repr(Axpb(4, 1)) == "Axpb{a=4, b=1}"
    x, v = T.dvectors("x", "v")
    f = theano.function([x], [Axpb(4, 1)(x), Axpb(4, 2)(x)])
    np.testing.assert_allclose(f(POINT), [4 * POINT + 1, 4 * POINT + 2])
    # It has no R_op: the gradient is transposed.
    np.testing.assert_allclose(T.Rop(Axpb(4, 1)(x) ** 2, x, v).eval({x: POINT, v: POINT}), 8 * (4 * POINT + 1) * POINT)


def test_several_outputs():
    x, v = T.dvectors("x", "v")
    sine, cosine = SinCos()(x)
    np.testing.assert_allclose(theano.function([x], [sine, cosine])(POINT), [np.sin(POINT), np.cos(POINT)])
    np.testing.assert_allclose(T.grad((sine * cosine).sum(), x).eval({x: POINT}), np.cos(2 * POINT))
    np.testing.assert_allclose(T.grad(cosine.sum(), x).eval({x: POINT}), -np.sin(POINT))
    np.testing.assert_allclose(T.Rop(cosine, x, v).eval({x: POINT, v: POINT}), -np.sin(POINT) * POINT)


def test_it_runs_once_for_value_and_gradient():
    x = T.dvector("x")
    sine, cosine = SinCos()(x)
    f = theano.function([x], [sine, T.grad((sine * cosine).sum(), x)])
    f(POINT)
    SinCos.calls = 0
    f(POINT)
    assert SinCos.calls == 1


def test_a_default_output():
    class First(SinCos):
        default_output = 0

    x = T.dvector("x")
    np.testing.assert_allclose(First()(x).eval({x: POINT}), np.sin(POINT))


class Positive(theano.Op):
    """Its shape depends on the values, and nothing says how."""

    itypes = (T.dvector,)
    otypes = (T.dvector,)

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = inputs[0][inputs[0] > 0]


def test_shapes_that_only_running_tells():
    x = T.dvector("x")
    f = theano.function([x], Positive()(x) * 2)
    np.testing.assert_allclose(f(POINT), [1, 4])
    np.testing.assert_allclose(f(-POINT), [2])
    np.testing.assert_allclose(Positive()(T.constant(POINT)).eval(), [0.5, 2])
    with pytest.raises(TypeError, match="the shapes of the outputs of Positive are not known"):
        theano.compile(Positive())(POINT)


def test_an_op_without_a_gradient():
    x = T.dvector("x")
    with pytest.raises(errors.NullTypeGradError, match="Positive defines neither grad nor L_op"):
        T.grad(Positive()(x).sum(), x)
    assert T.grad(Positive()(x).sum() + 1, x, null_gradients="return").type.why_null


class Scaled(theano.Op):
    """x * n, of which the gradient with respect to n is not wanted and that of a third input does not exist."""

    itypes = (
        T.dvector,
        T.lscalar,
        T.dscalar,
    )
    otypes = (T.dvector,)

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = inputs[0] * inputs[1] + np.floor(inputs[2])

    def infer_shape(self, node, shapes):
        return shapes[:1]

    def grad(self, inputs, gradients):
        return [gradients[0] * inputs[1], DisconnectedType()(), grad_undefined(self, 2, inputs[2], "It jumps.")]


def test_disconnected_and_undefined_inputs():
    x, n, z = T.dvector("x"), T.lscalar("n"), T.dscalar("z")
    cost = Scaled()(x, n, z).sum()
    np.testing.assert_allclose(T.grad(cost, x).eval({x: POINT, n: 3, z: 0.5}), np.full(3, 3))
    with pytest.raises(errors.DisconnectedInputError):
        T.grad(cost, n)
    with pytest.raises(errors.NullTypeGradError, match="It jumps"):
        T.grad(cost, z)

    class Patterned(Scaled):
        def connection_pattern(self, node):
            return [[True], [False], [False]]

    with pytest.raises(errors.DisconnectedInputError):
        T.grad(Patterned()(x, n, z).sum(), z)


def test_in_a_trace():
    np.testing.assert_allclose(theano.compile(lambda v: DoubleOp()(v) + 1)(POINT), 2 * POINT + 1)
    np.testing.assert_allclose(theano.grad(lambda v: np.sum(DoubleOp()(v) ** 2))(POINT), 8 * POINT)


def test_in_a_scan():
    x = T.dmatrix("x")
    values, _ = theano.map(DoubleOp(), x)
    f = theano.function([x], [values, T.grad((values**2).sum(), x)])
    value, slope = f(np.ones((4, 2)))
    np.testing.assert_allclose(value, np.full((4, 2), 2))
    np.testing.assert_allclose(slope, np.full((4, 2), 8))


def test_inputs_cannot_be_written():
    class Careless(DoubleOp):
        def perform(self, node, inputs, output_storage):
            inputs[0][...] = 0
            output_storage[0][0] = inputs[0]

    x = T.dvector("x")
    point = np.arange(3.0)
    for mode in ("FAST_RUN", "FAST_COMPILE", theano.Mode(linker="py")):
        with pytest.raises(ValueError, match="read-only"):
            theano.function([x], Careless()(x), mode=mode)(point)
    np.testing.assert_array_equal(point, [0, 1, 2])


def test_errors():
    class Nothing(theano.Op):
        pass

    class Wrong(DoubleOp):
        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = inputs[0].astype(np.float32)

    class Short(DoubleOp):
        def grad(self, inputs, output_grads):
            return []

    x = T.dvector("x")
    with pytest.raises(NotImplementedError, match="Nothing has no method make_node"):
        Nothing()(x)
    with pytest.raises(TypeError, match="SinCos takes inputs of types"):
        SinCos()(T.dmatrix())
    with pytest.raises(ValueError, match="Wrong gave an array of type float32"):
        theano.function([x], Wrong()(x))(POINT)
    with pytest.raises(ValueError, match="the gradient of Short has 0 items for 1 inputs"):
        T.grad(Short()(x).sum(), x)

    class Unfinished(DoubleOp):
        perform = theano.Op.perform

    with pytest.raises(NotImplementedError, match="Unfinished has no method perform"):
        theano.function([x], Unfinished()(x))(POINT)


def test_ops_pickle():
    x = T.dvector("x")
    copied, y = pickle.loads(pickle.dumps((x, T.grad(Axpb(4, 1)(x).sum(), x))))
    np.testing.assert_allclose(y.eval({copied: POINT}), np.full(3, 4))


# --- decorated functions -----------------------------------------------------------------------------------------


def shape_of_product(node, shapes):
    return [(shapes[0][0], shapes[1][1])]


@as_op(itypes=[T.dmatrix, T.dmatrix], otypes=[T.dmatrix], infer_shape=shape_of_product)
def numpy_dot(a, b):
    """The product of two matrices."""
    return np.dot(a, b)


def test_a_decorated_function():
    x, y = T.dmatrices("x", "y")
    f = theano.function([x, y], numpy_dot(x, y) + 1)
    a, b = np.random.default_rng(1).random((3, 4)), np.random.default_rng(2).random((4, 2))
    np.testing.assert_allclose(f(a, b), a @ b + 1)
    assert repr(numpy_dot) == "FromFunctionOp{numpy_dot}"
    with pytest.raises(errors.NullTypeGradError):
        T.grad(numpy_dot(x, y).sum(), x)
    assert pickle.loads(pickle.dumps(numpy_dot)) is numpy_dot


def test_a_decorated_function_with_several_results():
    @as_op(itypes=T.dvector, otypes=[T.dvector, T.dscalar])
    def parts(x):
        return x[::2], x.sum()

    x = T.dvector("x")
    half, total = theano.function([x], parts(x))(POINT)
    np.testing.assert_allclose(half, POINT[::2])
    np.testing.assert_allclose(total, 1.5)

    @as_op(itypes=[T.dvector], otypes=[T.dvector, T.dscalar])
    def too_few(x):
        return x

    with pytest.raises(TypeError, match="gave 1 results, but has 2 otypes"):
        theano.function([x], too_few(x))(POINT)


def test_tools_for_tests_of_ops():
    from tracer.tests import unittest_tools as utt

    class Double(theano.Op):
        __props__ = ("extra",)

        def __init__(self, extra=0):
            self.extra = extra

        def make_node(self, x):
            x = T.as_tensor_variable(x)
            return theano.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = inputs[0] * 2

        def infer_shape(self, node, shapes):
            return [(shapes[0][0] + self.extra, shapes[0][1])]

        def grad(self, inputs, output_gradients):
            return [output_gradients[0] * 2]

    class Tests(utt.InferShapeTester):
        def check(self, op):
            x = T.dmatrix()
            self._compile_and_check([x], [op(x)], [np.random.rand(5, 4)], Double)

    case = Tests("check")
    case.setUp()
    assert np.random.rand() == np.random.RandomState(utt.fetch_seed()).rand()
    case.check(Double())
    with pytest.raises((AssertionError, ValueError)):
        case.check(Double(extra=1))
    utt.verify_grad(Double(), [np.random.rand(3, 2)])
    utt.assert_allclose(np.float32(0.1), 0.1)
    with pytest.raises(AssertionError):
        utt.assert_allclose(np.float64(0.1), np.float64(0.1 + 1e-6))
