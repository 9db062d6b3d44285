"""What changes derivatives, and the checks against finite differences."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import errors, gradient
from tracer.gradient import GradientError, numeric_grad, verify_grad

POINT = np.array([0.5, -1.0, 2.0])

CASES = {
    "zero_grad": (gradient.zero_grad, POINT),
    "consider_constant": (gradient.consider_constant, POINT),
    "disconnected_grad": (gradient.disconnected_grad, POINT),
    "grad_clip": (lambda x: gradient.grad_clip(x, -0.7, 0.7), POINT + np.clip(POINT, -0.7, 0.7)),
    "grad_scale": (lambda x: gradient.grad_scale(x, 10), POINT * 11),
}


@pytest.mark.parametrize("name", CASES)
def test_modifiers(name):
    modify, expected = CASES[name]
    x = T.dvector("x")
    y = modify(x)
    f = theano.function([x], [y, T.grad((x * y).sum(), x)])
    value, slope = f(POINT)
    np.testing.assert_array_equal(value, POINT)
    np.testing.assert_allclose(slope, expected)


@pytest.mark.parametrize("name", CASES)
def test_modifiers_cost_nothing(name):
    x = T.dvector("x")
    f = theano.function([x], T.exp(CASES[name][0](T.log(x))) + 1)
    f(np.ones(3))
    assert all(node.op.family in ("elementwise", "leaf") for node in f.program.last_plan.graph.nodes())


@pytest.mark.parametrize("name", ["zero_grad", "grad_clip", "grad_scale"])
def test_modifiers_in_a_trace(name):
    modify, expected = CASES[name]

    @theano.compile
    def slope(x):
        return theano.grad(np.sum(x * modify(x)), x)

    np.testing.assert_allclose(slope(POINT), expected)


def test_modifiers_forward():
    x, v = T.dvectors("x", "v")
    for modify, factor in ((gradient.zero_grad, 0), (lambda y: gradient.grad_scale(y, 3), 3)):
        np.testing.assert_allclose(
            T.Rop(modify(x**2) + x, x, v).eval({x: POINT, v: POINT}), (2 * POINT * factor + 1) * POINT
        )


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="the lower bound 1 is above the upper bound -1"):
        gradient.grad_clip(T.dscalar(), 1, -1)


def test_a_trace_cannot_go_through_undefined_grad():
    with pytest.raises(errors.NotDifferentiableError):
        theano.grad(lambda x: np.sum(gradient.undefined_grad(x)))(POINT)


def test_reasons_of_missing_gradients():
    x = T.dvector("x")
    undefined = gradient.grad_undefined("Sort", 0, x, "It jumps.")
    missing = gradient.grad_not_implemented("Sort", 1, x)
    assert undefined.type.why_null == "Sort has no derivative with respect to its input 0. It jumps."
    assert missing.type.why_null == "the derivative of Sort with respect to its input 1 is not written."


def test_rows():
    x, rows = T.dmatrix("x"), T.lvector("rows")
    taken = gradient.sparse_grad(x[rows])
    values = {x: np.arange(6.0).reshape(3, 2), rows: [0, 2, 2]}
    np.testing.assert_allclose(T.grad((taken**2).sum(), x).eval(values), [[0, 2], [0, 0], [16, 20]])
    with pytest.raises(TypeError, match="sparse_grad takes rows of a variable"):
        gradient.sparse_grad(x * 2)


# --- finite differences ------------------------------------------------------------------------------------------


def test_numeric_gradient():
    f = lambda x, y: np.sum(x**2) * y  # noqa: E731
    slopes = numeric_grad(f, [POINT, np.array(3.0)]).gf
    np.testing.assert_allclose(slopes[0], 6 * POINT, atol=1e-5)
    np.testing.assert_allclose(slopes[1], np.sum(POINT**2), atol=1e-5)
    single = numeric_grad(lambda x: np.sum(x**2), POINT.astype(np.float32)).gf
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, 2 * POINT, atol=1e-2)
    with pytest.raises(TypeError, match="finite differences need floating-point arrays, not int64"):
        numeric_grad(f, np.arange(3))


def test_the_worst_error():
    found = numeric_grad(lambda x: np.sum(x**2), POINT)
    argument, place, absolute, relative = found.max_err(2 * POINT + [0, 1, 0.5], 1e-4, 1e-4)
    assert (argument, place) == (0, 1)
    np.testing.assert_allclose([absolute, relative], [1, 1 / 3], rtol=1e-5)
    assert found.max_err([2 * POINT * np.nan], 1e-4, 1e-4)[1] == 0
    with pytest.raises(ValueError, match="gradients of shapes"):
        found.max_err(POINT[:2], 1e-4, 1e-4)


def test_verify_grad_accepts_right_gradients():
    verify_grad(lambda x, y: T.dot(T.tanh(x), y), [np.ones((2, 3)), np.ones((3, 2))], rng=np.random.RandomState(0))
    verify_grad(T.exp, [POINT.astype(np.float32)])
    verify_grad(lambda x: x * 2, [POINT], out_type="float32", cast_to_output_type=True)
    verify_grad(T.sqr, [np.array(3.0)], n_tests=1, eps=1e-5, abs_tol=1e-6, rel_tol=1e-6, mode="FAST_COMPILE")


def test_verify_grad_refuses_wrong_gradients():
    def wrong(x):
        return gradient.grad_scale(T.tanh(x), 1.01)

    with pytest.raises(GradientError, match="the gradient is not that of finite differences") as caught:
        verify_grad(wrong, [POINT])
    assert caught.value.arg == 0 and caught.value.shape == (3,)
    np.testing.assert_allclose(caught.value.val2 / caught.value.val1, 1.01, rtol=1e-5)
    verify_grad(wrong, [POINT], rel_tol=0.1)
    with pytest.raises(NotImplementedError, match="return one variable"):
        verify_grad(lambda x: [x, x], [POINT])


def test_mode_not_slow():
    assert gradient.mode_not_slow("DebugMode") == "FAST_RUN"
    assert gradient.mode_not_slow("FAST_RUN") == "FAST_RUN"
    assert gradient.mode_not_slow(None) is None
