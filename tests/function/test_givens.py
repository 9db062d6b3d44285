"""Givens: replacing parts of expressions when they are compiled."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.symbolic.derivatives import is_derivative


def test_forms_of_givens():
    x, y, c = T.dscalars("x", "y", "c")
    for pairs in ([(x, c * 10), (y, 5)], {x: c * 10, y: 5.0}, ((x, c * 10), (y, np.array(5.0)))):
        f = function([c], x * 2 + y, givens=pairs)
        assert f(2) == 45 and f(3) == 65


def test_a_shared_variable_may_be_replaced_by_an_input():
    state, inc = theano.shared(0), T.iscalar("inc")
    foo = T.scalar(dtype=state.dtype)
    f = function([inc, foo], state * 2 + inc, givens=[(state, foo)])
    assert f(1, 3) == 7 and state.get_value() == 0


def test_slices_of_shared_data_by_a_symbolic_index():
    data, labels = np.random.default_rng(0).standard_normal((23, 3)), np.arange(23)
    x, y, i = T.dmatrix("x"), T.lvector("y"), T.lscalar("i")
    shared_x, shared_y = theano.shared(data, borrow=True), theano.shared(labels)
    w = theano.shared(np.zeros(3))
    f = function(
        [i],
        [x.sum(), y],
        updates=[(w, w + x.sum(axis=0))],
        givens={x: shared_x[i * 5 : (i + 1) * 5], y: shared_y[i * 5 : (i + 1) * 5]},
    )
    for index in [0, 1, 2, 3, 4, 0, 4]:
        total, found = f(index)
        np.testing.assert_allclose(total, data[index * 5 : index * 5 + 5].sum())
        np.testing.assert_array_equal(found, labels[index * 5 : index * 5 + 5])
    assert f.program.plan_count == 2  # whole batches, and the last one
    assert f.misses == 2
    np.testing.assert_allclose(w.get_value(), data.sum(0) + data[:5].sum(0) + data[20:].sum(0))
    shared_x.set_value(data * 2)
    np.testing.assert_allclose(f(1)[0], 2 * data[5:10].sum())


def test_givens_reach_updates_and_intermediate_results():
    x, w = T.dscalar("x"), theano.shared(1.0)
    middle = T.exp(x)
    f = function([x], middle * 2 + x, updates=[(w, w + middle)], givens={middle: x * 100})
    assert f(1) == 201 and w.get_value() == 101


def test_an_expression_may_replace_what_it_mentions():
    x, y = T.dscalars("x", "y")
    z = x + 1
    assert function([x], z * 2, givens={z: z * 10})(1) == 40
    # later replacements see earlier ones
    assert function([y], x + z, givens=[(x, y + 1), (z, x * 2)])(1) == 6


def test_givens_that_depend_on_each_other_have_no_order():
    a, b = T.dscalars("a", "b")
    for pairs in ([(a, b), (b, a + 1)], [(b, a + 1), (a, b)], [(a, b), (a, b * 2)]):
        with pytest.raises(AssertionError, match=r"givens cannot replace(.|\n)*replace in two steps"):
            function([], a + b, givens=pairs)


def test_inputs_cannot_be_replaced():
    x, y = T.dscalars("x", "y")
    with pytest.raises(RuntimeError, match=r"x, because it is an input(.|\n)*y = x.type\(\)(.|\n)*clone\(f\(x\)"):
        function([x], x, givens={x: y})


def test_keys_must_be_variables():
    x = T.dscalar("x")
    with pytest.raises(TypeError, match="givens replace symbolic variables, and 'x' is none"):
        function([x], x, givens={"x": 1})
    with pytest.raises(ValueError, match="givens must be pairs"):
        function([x], x, givens=[x, x])


def test_types_must_match_unless_told_otherwise():
    x, i, v = T.dscalar("x"), T.lscalar("i"), T.dvector("v")
    for given in (i, v):
        with pytest.raises(TypeError, match=r"x has type(.|\n)*rebuild_strict=False"):
            function([given], x * 2, givens={x: given})
    found = function([i], x * 2, givens={x: i}, rebuild_strict=False)(3)
    assert found == 6 and found.dtype == np.int64
    np.testing.assert_array_equal(function([v], x * 2, givens={x: v}, rebuild_strict=False)([1, 2]), [2, 4])


def test_a_more_special_type_may_take_the_place_of_a_matrix():
    x, row = T.dmatrix("x"), T.drow("row")
    np.testing.assert_array_equal(function([row], x * 2, givens={x: row})([[1, 2]]), [[2, 4]])
    with pytest.raises(TypeError, match=r"T\.addbroadcast"):
        function([x], row * 2, givens={row: x})


def test_values_are_taken_as_their_variable_takes_them():
    x, v, n = T.dscalar("x"), T.fvector("v"), T.lscalar("n")
    f = function([], [x * 2, v * 2, T.arange(n)], givens=[(x, 3), (v, [1, 2]), (n, 3)])
    found = f()
    assert found[0] == 6 and found[1].dtype == np.float32 and found[2].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="loss of precision"):
        function([], v, givens={v: np.ones(2)})


def test_a_failing_given_leaves_the_expression_as_it_was():
    x, y = T.dscalars("x", "y")
    z = x * 2
    with pytest.raises(TypeError):
        function([y], z, givens={x: T.dvector()})
    assert function([x], z)(2) == 4


def test_what_outputs_and_updates_share_stays_shared():
    x, given = T.dvector("x"), T.dvector("given")
    parameters = [theano.shared(np.ones(3), name=name) for name in "abc"]
    cost = T.sum((x * parameters[0] + parameters[1]) ** 2 * parameters[2])
    gradients = T.grad(cost, parameters)
    updates = [(item, item - 0.1 * slope) for item, slope in zip(parameters, gradients, strict=True)]
    f = theano.function([given], cost, updates=updates, givens={x: given * 2})
    assert sum(is_derivative(node) for node in f.maker.fgraph.toposort()) == 1
