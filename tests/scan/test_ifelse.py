"""`ifelse`: only the branch that is taken is computed, in loops and derivatives too."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.gradient import grad
from tracer.ifelse import ifelse
from tracer.scan_module import scan
from tracer.symbolic.custom_op import as_op

COUNTS = {"then": 0, "otherwise": 0}


def counted(name):
    """An op that counts how often it runs."""

    @as_op(itypes=[T.dvector], otypes=[T.dvector], infer_shape=lambda node, shapes: shapes)
    def double(x):
        COUNTS[name] += 1
        return x * 2

    return double


def counts(f, *args):
    COUNTS.update(then=0, otherwise=0)
    result = f(*args)
    return result, (COUNTS["then"], COUNTS["otherwise"])


def graph_of(f):
    return f.program.last_plan.graph


def test_documentation_example():
    a, b = T.scalars("a", "b")
    x, y = T.matrices("x", "y")
    z_switch = T.switch(T.lt(a, b), T.mean(x), T.mean(y))
    z_lazy = ifelse(T.lt(a, b), T.mean(x), T.mean(y))
    f_switch = theano.function([a, b, x, y], z_switch)
    f_lazy = theano.function([a, b, x, y], z_lazy)
    big1, big2 = np.ones((30, 20)), np.zeros((40, 20))
    for first, second in ((0.0, 1.0), (1.0, 0.0)):
        assert f_switch(first, second, big1, big2) == f_lazy(first, second, big1, big2) == (first < second)
    assert theano.ifelse.ifelse is ifelse


def test_only_one_branch_runs():
    c, x = T.iscalar("c"), T.dvector("x")
    f = theano.function([c, x], ifelse(c, counted("then")(x) + 1, T.exp(counted("otherwise")(x))))
    found, ran = counts(f, 1, [1.0, 2.0])
    np.testing.assert_array_equal(found, [3, 5])
    assert ran == (1, 0)
    found, ran = counts(f, 0, [1.0, 2.0])
    np.testing.assert_allclose(found, np.exp([2, 4]))
    assert ran == (0, 1)


def test_errors_of_the_other_branch_do_not_happen():
    c, x, k = T.lscalar("c"), T.dvector("x"), T.lscalar("k")
    f = theano.function([c, x, k], ifelse(c, x[k], x.sum()))
    assert f(1, [1.0, 2.0], 1) == 2
    assert f(0, [1.0, 2.0], 7) == 3
    with pytest.raises(IndexError):
        f(1, [1.0, 2.0], 7)


@pytest.mark.parametrize("value", [1, -2, 0.5, np.nan, True])
def test_anything_but_zero_is_true(value):
    c = T.dscalar("c")
    assert theano.function([c], ifelse(c, np.float64(1), np.float64(2)))(value) == 1
    assert theano.function([c], ifelse(c, np.float64(1), np.float64(2)))(0) == 2


def test_lists_and_tuples():
    c, x, y = T.bscalar("c"), T.dvector("x"), T.dmatrix("y")
    both = ifelse(c, [x, y], [x * 2, y + 1])
    assert isinstance(both, list)
    assert isinstance(ifelse(c, (x, y), [x * 2, y + 1]), tuple)
    assert isinstance(ifelse(c, [x], [x]), list)
    f = theano.function([c, x, y], both)
    for chosen, wanted in ((1, ([1.0], [[2.0]])), (0, ([2.0], [[3.0]]))):
        for one, other in zip(f(chosen, [1.0], [[2.0]]), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_types_must_match():
    c, x, y = T.bscalar("c"), T.dvector("x"), T.fvector("y")
    with pytest.raises(TypeError, match=r"should have identical types, but they are(.|\n)*float32(.|\n)*HINT"):
        ifelse(c, x, y)
    with pytest.raises(TypeError, match="should have identical types"):
        ifelse(c, x, T.dmatrix())
    with pytest.raises(ValueError, match=r"2 values in its then branch and 1 in its else branch(.|\n)*HINT"):
        ifelse(c, [x, x], [x])
    with pytest.raises(TypeError, match="single truth value"):
        ifelse(x, x, x)


def test_numbers_take_the_type_of_the_other_branch():
    c, x = T.bscalar("c"), T.fscalar("x")
    chosen = ifelse(c, x, 0)
    assert chosen.dtype == "float32"
    assert theano.function([c, x], chosen)(0, 3.0) == 0


def test_branches_of_different_sizes():
    c, x = T.bscalar("c"), T.dvector("x")
    f = theano.function([c, x], [ifelse(c, x, x[:1]), counted("then")(ifelse(c, x, x[1:]))])
    assert [f(1, np.ones(3))[0].shape, f(0, np.ones(3))[0].shape, f(1, np.ones(2))[0].shape] == [(3,), (1,), (2,)]


def test_updates_with_conditions():
    n, s = T.lscalar("n"), theano.shared(10)
    f = theano.function([n], [], updates={s: ifelse(T.gt(n, 0), s + n, s)})
    f(5)
    f(-3)
    assert s.get_value() == 15


def test_random_states_with_conditions():
    c, stream = T.bscalar("c"), T.shared_randomstreams.RandomStreams(3)
    draw = stream.uniform(())
    state = draw.rng
    f = theano.function([c], draw, updates=[(state, ifelse(c, state.default_update, state))], no_default_updates=True)
    first, second, third = f(0), f(1), f(0)
    assert first == second != third


def test_what_both_branches_need_is_computed_once():
    c, x = T.bscalar("c"), T.dvector("x")
    shared_work = counted("then")(x)
    f = theano.function([c, x], ifelse(c, shared_work.sum(), shared_work.max()))
    for chosen, wanted in ((1, 6), (0, 4)):
        found, ran = counts(f, chosen, [1.0, 2.0])
        assert (found, ran) == (wanted, (1, 0))


def test_what_is_needed_outside_too_is_computed_always():
    c, x = T.bscalar("c"), T.dvector("x")
    work = counted("then")(x)
    f = theano.function([c, x], [ifelse(c, work.sum(), x.sum()), work])
    assert counts(f, 0, [1.0, 2.0])[1] == (1, 0)
    assert counts(f, 1, [1.0, 2.0])[1] == (1, 0)


def test_nested_choices():
    c, d, x = T.bscalar("c"), T.bscalar("d"), T.dvector("x")
    inner = ifelse(d, counted("then")(x), x)
    f = theano.function([c, d, x], ifelse(c, inner.sum(), counted("otherwise")(x).prod()))
    for chosen, other, wanted, work in ((1, 1, 6, (1, 0)), (1, 0, 3, (0, 0)), (0, 1, 8, (0, 1)), (0, 0, 8, (0, 1))):
        assert counts(f, chosen, other, [1.0, 2.0]) == (wanted, work)


def test_one_condition_for_several_choices_that_build_on_each_other():
    c, x = T.bscalar("c"), T.dvector("x")
    work = counted("then")(x)
    first = ifelse(c, work.sum(), x.sum())
    second = ifelse(c, (work * first).sum(), counted("otherwise")(x).sum() - T.sqr(first))
    f = theano.function([c, x], [first, second, T.exp(-first)])
    found, ran = counts(f, 1, [1.0, 2.0])
    np.testing.assert_allclose(found, [6, 36, np.exp(-6)])
    assert ran == (1, 0)
    found, ran = counts(f, 0, [1.0, 2.0])
    np.testing.assert_allclose(found, [3, -3, np.exp(-3)])
    assert ran == (0, 1)


def test_two_conditions_that_wait_for_each_other():
    a, b, x = T.bscalar("a"), T.bscalar("b"), T.dscalar("x")
    ya, yb = ifelse(a, T.exp(x), T.sin(x)), ifelse(b, T.cos(x), T.tan(x))
    za = ifelse(a, T.log(yb + 3), T.sqrt(yb + 4))
    zb = ifelse(b, T.tanh(ya), T.sinh(ya))
    f = theano.function([a, b, x], [ya, yb, za, zb])
    for one in (0, 1):
        for two in (0, 1):
            ya_, yb_ = (np.exp if one else np.sin)(0.3), (np.cos if two else np.tan)(0.3)
            za_, zb_ = np.log(yb_ + 3) if one else np.sqrt(yb_ + 4), (np.tanh if two else np.sinh)(ya_)
            np.testing.assert_allclose(f(one, two, 0.3), [ya_, yb_, za_, zb_])


def test_derivatives_are_those_of_the_branch_taken_and_lazy_too():
    c, x, k = T.bscalar("c"), T.dvector("x"), T.lscalar("k")
    y = ifelse(c, T.sum(T.exp(x[k] * x)), T.sum(T.sqrt(x)))
    f = theano.function([c, x, k], grad(T.tanh(0.1 * y), x))
    value = np.array([0.3, 0.4])
    # An index that would be out of bounds, and a square root of zero, whose derivative times zero would be NaN.
    y0 = np.sqrt(value).sum()
    np.testing.assert_allclose(f(0, value, 9), (1 - np.tanh(0.1 * y0) ** 2) * 0.1 * 0.5 / np.sqrt(value))
    y1 = np.exp(value[1] * value)
    wanted = y1 * value[1]
    wanted[1] += np.sum(y1 * value)
    np.testing.assert_allclose(f(1, value, 1), (1 - np.tanh(0.1 * y1.sum()) ** 2) * 0.1 * wanted)
    np.testing.assert_array_equal(f(1, [0.0, 0.0], 1), [0, 0])


def test_second_derivatives_and_forward_mode():
    c, x = T.bscalar("c"), T.dscalar("x")
    y = ifelse(c, x**3, T.exp(2 * x))
    slope = grad(y, x)
    f = theano.function([c, x], [slope, grad(slope, x), theano.gradient.Rop(y, x, T.constant(2.0))])
    np.testing.assert_allclose(f(1, 1.5), [3 * 1.5**2, 6 * 1.5, 6 * 1.5**2])
    np.testing.assert_allclose(f(0, 1.5), [2 * np.exp(3), 4 * np.exp(3), 4 * np.exp(3)])


def test_choices_in_loops():
    x = T.dmatrix("x")
    work = counted("then")

    def step(row, state):
        return ifelse(T.gt(row.sum(), 0), work(row) + state, state * 0.5)

    states, _ = scan(step, x, T.zeros((2,)))
    f = theano.function([x], states)
    rows = np.array([[1.0, 1.0], [-1.0, 0.0], [2.0, 3.0], [-5.0, 1.0]])
    found, ran = counts(f, rows)
    np.testing.assert_allclose(found, [[2, 2], [1, 1], [5, 7], [2.5, 3.5]])
    assert ran == (2, 0)


def test_gradients_of_choices_in_loops():
    x, s0 = T.dvector("x"), T.dscalar("s0")
    states, _ = scan(lambda row, s: ifelse(T.gt(row, 0), T.sqrt(row) * s, s + row**2), x, s0)
    f = theano.function([x, s0], grad(states[-1], [x, s0]))
    gx, gs = f([0.25, -2.0, 4.0, 0.0], 3.0)
    # s = sqrt(x2) (sqrt(x0) s0 + x1^2) + x3^2
    np.testing.assert_allclose(gx, [2 * 3 * 0.5 / 0.5, 2 * 2 * -2.0, 0.5 / 2 * (0.5 * 3 + 4), 0.0])
    np.testing.assert_allclose(gs, 1.0)


def test_a_loop_in_a_branch_runs_only_if_taken():
    c, x = T.bscalar("c"), T.dvector("x")
    work = counted("then")
    total, _ = scan(lambda row, s: s + work(T.stack([row, row])).sum(), x, np.float64(0))
    f = theano.function([c, x], ifelse(c, total[-1], x[0]))
    assert counts(f, 0, [1.0, 2.0]) == (1.0, (0, 0))
    assert counts(f, 1, [1.0, 2.0]) == (12.0, (2, 0))


def test_the_derivative_of_a_loop_in_a_branch_runs_only_if_taken():
    c, x, w = T.bscalar("c"), T.dmatrix("x"), T.dmatrix("w")
    h, _ = scan(lambda row, h, w: T.tanh(T.dot(h, w) + row), x, T.zeros((2,)), w)
    cost = ifelse(c, T.sum(h[-1] ** 2), T.sum(T.sqrt(x)) + T.sum(w))
    f = theano.function([c, x, w], grad(T.exp(0.1 * cost), [x, w]))
    alone = theano.function([x, w], [h[-1], *grad(T.sum(h[-1] ** 2), [x, w])])
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 1, (5, 2)), rng.standard_normal((2, 2))
    last, *gradients = alone(*values)
    factor = 0.1 * np.exp(0.1 * np.sum(last**2))
    for found, wanted in zip(f(1, *values), gradients, strict=True):
        np.testing.assert_allclose(found, factor * wanted)
    factor = 0.1 * np.exp(0.1 * (np.sqrt(values[0]).sum() + values[1].sum()))
    for found, wanted in zip(f(0, *values), [0.5 / np.sqrt(values[0]), np.ones((2, 2))], strict=True):
        np.testing.assert_allclose(found, factor * wanted)
    assert "scan" not in {node.op.name for node in graph_of(f).nodes()}


def test_a_condition_that_is_known_needs_no_choice():
    x = T.dvector("x")
    f = theano.function([x], ifelse(T.constant(1), x.sum(), x[100]))
    assert f([1.0, 2.0]) == 3
    assert not {"cond", "ifelse"} & {node.op.name for node in graph_of(f).nodes()}


def test_sizes_of_the_branch_not_taken_need_not_fit():
    x, c = T.dvector("x"), T.bscalar("c")
    by_size = theano.function([x], ifelse(T.gt(x.shape[0], 5), x[5], x[0]))
    by_value = theano.function([x, c], ifelse(c, T.exp(x[5]), x[0]))
    assert (by_size(np.arange(3.0)), by_size(np.arange(8.0))) == (0, 5)
    assert (by_value(np.arange(3.0), 0), by_value(np.arange(8.0), 1)) == (0, np.exp(5))
    with pytest.raises(IndexError, match="out of bounds") as caught:
        by_value(np.arange(3.0), 1)
    assert "test_ifelse.py" in "".join(caught.value.__notes__)


def test_choices_between_values_that_are_there_need_no_branches():
    c, x, y = T.bscalar("c"), T.dvector("x"), T.dvector("y")
    f = theano.function([c, x, y], ifelse(c, x, y) + 1)
    np.testing.assert_array_equal(f(0, [1.0], [5.0]), [6])
    assert not {"cond", "ifelse"} & {node.op.name for node in graph_of(f).nodes()}


def test_ifelse_in_a_traced_function():
    @theano.compile
    def f(x):
        return ifelse(np.sum(x) > 0, np.log(x), x * 0)

    np.testing.assert_allclose(f(np.array([1.0, 2.0])), np.log([1, 2]))
    np.testing.assert_array_equal(f(np.array([-1.0, -2.0])), [0, 0])


def test_ops_with_several_outputs_in_branches():
    c, m = T.bscalar("c"), T.dmatrix("m")
    q, r = T.nlinalg.qr(m)
    first = ifelse(c, T.sum(T.sqr(r)), T.sum(m))
    second = ifelse(c, T.sum(q * first), T.exp(first))
    f = theano.function([c, m], [first, second, first + 1])
    value = np.array([[2.0, 1.0], [0.5, 3.0]])
    q_, r_ = np.linalg.qr(value)
    np.testing.assert_allclose(f(1, value), [np.sum(r_**2), np.sum(q_ * np.sum(r_**2)), np.sum(r_**2) + 1])
    np.testing.assert_allclose(f(0, value), [6.5, np.exp(6.5), 7.5])
    g = theano.function([c, m], [first, r])
    np.testing.assert_allclose(g(0, value)[1], r_)
    slope = theano.function([c, m], grad(second, m))(1, value)
    step = 1e-6 * np.eye(4)[1].reshape(2, 2)
    np.testing.assert_allclose(slope[0, 1], (f(1, value + step)[1] - f(1, value - step)[1]) / 2e-6, rtol=1e-6)
