"""`grad` of symbolic expressions: its parameters, what is disconnected, and how it goes with the rest."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer import errors
from tracer.gradient import DisconnectedType, NullType, disconnected_grad, undefined_grad, zero_grad

POINT = np.array([0.5, -1.0, 2.0])


def vectors():
    return T.dvectors("x", "y")


# --- what it returns ---------------------------------------------------------------------------------------------


def test_one_variable_list_and_tuple_keep_their_kind():
    x, y = vectors()
    cost = (x**2 * y).sum()
    one, many, pair = T.grad(cost, x), T.grad(cost, [x, y]), T.grad(cost, (x, y))
    assert isinstance(many, list) and isinstance(pair, tuple)
    f = theano.function([x, y], [one, *many, *pair])
    for found, expected in zip(f(POINT, POINT + 1), [0, 0, 1, 0, 1], strict=True):
        np.testing.assert_allclose(found, [2 * POINT * (POINT + 1), POINT**2][expected])


def test_a_set_has_no_order():
    x, _ = vectors()
    with pytest.raises(TypeError, match=r"a set has no order.\nHINT: grad\(cost, \[w, b\]\)"):
        T.grad(x.sum(), {x})


def test_wrt_must_be_symbolic():
    with pytest.raises(TypeError, match="wrt must be symbolic or shared variables, not a float"):
        T.grad(vectors()[0].sum(), 1.0)


def test_the_cost_must_be_a_scalar():
    x, _ = vectors()
    with pytest.raises(TypeError, match="the cost must be a scalar") as caught:
        T.grad(x**2, x)
    assert "test_grad.py" in str(caught.value)
    with pytest.raises(TypeError, match="real floating-point"):
        T.grad(T.zscalar("z"), x)


def test_choices_are_checked():
    x, _ = vectors()
    for name in ("disconnected_inputs", "return_disconnected", "null_gradients"):
        with pytest.raises(ValueError, match=f"{name} must be one of"):
            T.grad(x.sum(), x, **{name: "maybe"})


def test_types_are_those_of_the_variables():
    x, row, number = T.fmatrix("x"), T.drow("row"), T.iscalar("number")
    gradients = T.grad((x * row * number).sum(), [x, row, number])
    assert [item.type for item in gradients] == [x.type, row.type, T.dscalar]
    values = theano.function([x, row, number], gradients)(np.ones((2, 3), np.float32), [[1, 2, 3]], 2)
    assert [value.dtype for value in values] == [np.float32, np.float64, np.float64]
    np.testing.assert_allclose(values[1], [[4, 4, 4]])
    np.testing.assert_allclose(values[2], 12)


def test_names():
    x, _ = vectors()
    cost = (x**2).sum()
    assert T.grad(cost, x).name is None
    cost.name = "cost"
    assert T.grad(cost, x).name == "(dcost/dx)"
    assert T.grad(cost, x, add_names=False).name is None


# --- with respect to what ----------------------------------------------------------------------------------------


def test_shared_variables():
    w = theano.shared(np.array([1.0, 2.0]), name="w")
    x = T.dmatrix("x")
    f = theano.function([x], T.grad(T.tanh(T.dot(x, w)).sum(), w))
    for rows in (2, 5):
        value = np.arange(2.0 * rows).reshape(rows, 2) / 10
        np.testing.assert_allclose(f(value), value.T @ (1 - np.tanh(value @ w.get_value()) ** 2))


def test_intermediate_variables():
    x, _ = vectors()
    y = T.exp(x)
    z = y * 2
    cost = (z * y).sum()
    by_x, by_y, by_z = theano.function([x], T.grad(cost, [x, y, z]))(POINT)
    e = np.exp(POINT)
    np.testing.assert_allclose(by_x, 4 * e * e)
    np.testing.assert_allclose(by_y, 4 * e)
    np.testing.assert_allclose(by_z, e)


def test_equal_expressions_are_different_variables():
    x = T.dscalar("x")
    one, other = x + 1, x + 1
    slopes = theano.function([x], T.grad(one * other, [one, other, x]))(2.0)
    assert [float(item) for item in slopes] == [3, 3, 6]


def test_a_constant_expression():
    ones = T.ones((3,))
    np.testing.assert_allclose(T.grad((ones * POINT).sum(), ones).eval(), POINT)


def test_the_same_variable_twice():
    x, _ = vectors()
    one, two = theano.function([x], T.grad((x**2).sum(), [x, x]))(POINT)
    np.testing.assert_allclose(one, two)


def test_givens_replace_variables_and_keep_the_formula():
    x, y = vectors()
    shared = theano.shared(POINT, name="shared")
    # Both inputs become one value, but the derivative is with respect to one of them.
    f = theano.function([], T.grad((x * y).sum(), x), givens={x: shared, y: shared})
    np.testing.assert_allclose(f(), POINT)
    z = x**2
    slope = T.grad((z**2).sum(), x)
    np.testing.assert_allclose(theano.function([x], slope, givens={z: T.ones_like(z)})(POINT), 4 * POINT)


def test_clone_replaces_variables():
    x, y = vectors()
    slope = theano.clone(T.grad((x**3).sum(), x), replace={x: y * 2})
    np.testing.assert_allclose(slope.eval({y: POINT}), 12 * POINT**2)


def test_a_size_that_depends_on_the_value():
    x = T.dvector("x")
    kept = x[(x > 0).nonzero()]
    f = theano.function([x], T.grad((kept**2).sum(), x))
    np.testing.assert_allclose(f(POINT), [1, 0, 4])
    np.testing.assert_allclose(f(-POINT), [0, 2, 0])


# --- higher derivatives ------------------------------------------------------------------------------------------


def test_derivatives_of_derivatives():
    x = T.dscalar("x")
    slope = T.sin(x)
    for expected in (np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v)):
        slope = T.grad(slope, x)
        np.testing.assert_allclose(slope.eval({x: 0.7}), expected(0.7))


def test_a_derivative_in_a_cost():
    x, w = T.dvector("x"), theano.shared(2.0, name="w")
    penalty = (T.grad(T.sum(w * x**3), x) ** 2).sum()
    np.testing.assert_allclose(T.grad(penalty, w).eval({x: POINT}), np.sum(36 * POINT**4))
    np.testing.assert_allclose(T.grad(penalty, x).eval({x: POINT}), 144 * POINT**3)


def test_stable_formulas():
    x = T.dscalar("x")
    assert float(T.grad(T.log(1 + T.exp(x)), x).eval({x: 1000.0})) == 1


# --- constants, disconnected and undefined -----------------------------------------------------------------------


def test_consider_constant():
    x = T.dscalar("x")
    y = x**2
    assert float(T.grad(x * y, x, consider_constant=[y]).eval({x: 3.0})) == 9
    assert float(T.grad(x * y, y, consider_constant=[y]).eval({x: 3.0})) == 3


def test_disconnected_inputs():
    x, y = vectors()
    with pytest.raises(errors.DisconnectedInputError, match="the cost does not depend on y") as caught:
        T.grad(x.sum(), [x, y])
    assert "in vectors" in str(caught.value)
    with pytest.warns(UserWarning, match="does not depend on y"):
        T.grad(x.sum(), y, disconnected_inputs="warn")
    zeros = T.grad(x.sum(), y, disconnected_inputs="ignore")
    np.testing.assert_array_equal(zeros.eval({y: POINT}), np.zeros(3))


@pytest.mark.parametrize("cut", [lambda x: x.shape[0] * 1.0, lambda x: disconnected_grad(x).sum()])
def test_what_disconnects(cut):
    x, _ = vectors()
    with pytest.raises(errors.DisconnectedInputError):
        T.grad(T.cast(cut(x), "float64") * 2, x)


def test_integers_and_comparisons_have_slope_zero():
    x, _ = vectors()
    for cost in ((x > 0).sum() * 1.0, T.cast(x, "int64").sum(), T.floor(x).sum()):
        np.testing.assert_array_equal(T.grad(cost, x).eval({x: POINT}), np.zeros(3))


def test_return_disconnected():
    x, y = vectors()
    options = {"disconnected_inputs": "ignore"}
    assert T.grad(x.sum(), [y], return_disconnected="None", **options) == [None]
    found = T.grad(x.sum(), y, return_disconnected="Disconnected", **options)
    assert isinstance(found.type, DisconnectedType)


def test_undefined_gradients():
    x, y = vectors()
    cost = (undefined_grad(x) * y).sum()
    with pytest.raises(errors.NullTypeGradError, match="it goes through undefined_grad") as caught:
        T.grad(cost, x)
    assert isinstance(caught.value, theano.gradient.NullTypeGradError)
    null, slope = T.grad(cost, [x, y], null_gradients="return")
    assert isinstance(null.type, NullType) and null.type.why_null == "it goes through undefined_grad"
    np.testing.assert_allclose(slope.eval({x: POINT, y: POINT}), POINT)
    with pytest.raises(errors.NullTypeGradError):
        T.grad(cost + x.sum(), x)  # one undefined way makes the sum undefined
    with pytest.raises(errors.NullTypeGradError):
        T.grad(null, x)


def test_zero_is_not_disconnected():
    x, _ = vectors()
    np.testing.assert_array_equal(T.grad(zero_grad(x).sum(), x).eval({x: POINT}), np.zeros(3))


# --- known gradients ---------------------------------------------------------------------------------------------


def test_known_gradients_start_in_the_middle():
    x, _ = vectors()
    y = x**2
    slope = T.grad(None, x, known_grads={y: T.ones_like(y) * 3})
    np.testing.assert_allclose(slope.eval({x: POINT}), 6 * POINT)


def test_known_gradients_take_the_place_of_computed_ones():
    x = T.dscalar("x")
    y = x**2
    # Through y comes 10 and not d(x y)/dy = x; the direct way stays.
    by_x, by_y = theano.function([x], T.grad(x * y, [x, y], known_grads=[(y, 10.0)]))(3.0)
    assert (float(by_x), float(by_y)) == (9 + 60, 10)


def test_known_gradients_one_above_the_other():
    x = T.dscalar("x")
    y = x**2
    z = T.exp(y)
    slope = T.grad(None, x, known_grads={y: 5.0, z: 100.0})
    assert float(slope.eval({x: 2.0})) == 20  # z would have gone through y, whose gradient is known


def test_known_gradients_are_checked():
    x, y = vectors()
    with pytest.raises(ValueError, match="there is nothing to differentiate"):
        T.grad(None, x)
    slope = T.grad(None, x, known_grads={x**2: y})
    with pytest.raises(ValueError, match="the gradient that was given has type float64"):
        slope.eval({x: POINT, y: POINT[:2]})


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_the_package_has_one_grad_for_all():
    x = T.dscalar("x")
    assert float(theano.grad(x**2, x).eval({x: 3.0})) == 6
    assert float(theano.grad(lambda v: v**2)(3.0)) == 6
    with pytest.raises(TypeError, match="needs the values to differentiate with respect to"):
        theano.grad(x**2)

    @theano.compile
    def slope(v):
        return T.grad(T.exp(v) * v, v)

    np.testing.assert_allclose(slope(np.float64(1.0)), 2 * np.e)


def test_an_expression_of_symbolic_variables_in_a_trace():
    w = theano.shared(3.0, name="w")
    cost = w**2

    @theano.compile
    def slope():
        return T.grad(cost, w) + 1

    assert float(slope()) == 7


def test_gradients_pickle():
    import pickle

    x, _ = vectors()
    copied, slope = pickle.loads(pickle.dumps((x, T.grad((x**2).sum(), x))))
    np.testing.assert_allclose(slope.eval({copied: POINT}), 2 * POINT)


def test_gradients_in_a_scan():
    x = T.dvector("x")
    slopes, _ = theano.map(lambda item: T.grad(T.exp(item) * item, item), x)
    np.testing.assert_allclose(slopes.eval({x: POINT}), np.exp(POINT) * (1 + POINT))


def test_gradients_through_a_scan():
    x, w = T.dvector("x"), theano.shared(0.5, name="w")
    states, _ = theano.scan(lambda item, state: T.tanh(w * state + item), sequences=x, outputs_info=T.zeros(()))
    by_w, by_x = theano.function([x], T.grad(states[-1], [w, x]))(POINT)

    def run(values, weight):
        state = 0.0
        for value in values:
            state = np.tanh(weight * state + value)
        return state

    np.testing.assert_allclose(by_w, (run(POINT, 0.5 + 1e-6) - run(POINT, 0.5 - 1e-6)) / 2e-6, rtol=1e-6)
    step = np.array([0, 1e-6, 0])
    np.testing.assert_allclose(by_x[1], (run(POINT + step, 0.5) - run(POINT - step, 0.5)) / 2e-6, rtol=1e-6)


def test_gradients_of_a_choice_whose_other_branch_does_not_fit():
    x, y, n = T.dvector("x"), T.dvector("y"), T.lscalar("n")
    cost = theano.ifelse.ifelse(T.eq(n, 0), (x**2).sum(), (x * y).sum())
    f = theano.function([x, y, n], T.grad(cost, x))
    np.testing.assert_allclose(f(POINT, POINT[:2], 0), 2 * POINT)
    np.testing.assert_allclose(f(POINT, POINT + 1, 1), POINT + 1)
    with pytest.raises(ValueError, match="broadcast"):
        f(POINT, POINT[:2], 1)


def test_every_message_has_a_hint():
    from tracer.errors import gradient as gradient_messages

    texts = {name: text for name, text in vars(gradient_messages).items() if name.isupper()}
    assert len(texts) > 20
    assert not [name for name, text in texts.items() if "HINT" not in text and not name.startswith("HINT")]


def test_sizes_that_do_not_fit_in_a_part_that_stays_constant_are_named():
    x, a, b = T.dvectors("x", "a", "b")
    for cost, text in (
        ((x**2).sum() + (a + b).sum(), "could not be broadcast"),
        ((x * T.dot(a, b)).sum(), "not aligned"),
    ):
        with pytest.raises(ValueError, match=text):
            theano.function([x, a, b], T.grad(cost, x), on_unused_input="ignore")([1, 2], [1, 2, 3], [1, 2])
