"""Evaluating, copying, comparing and walking recorded expressions."""

import pickle

import numpy as np
import pytest
from tracer.gof import graph

import tracer as theano
import tracer.tensor as T
from tracer.symbolic.graph import equal_computations, graph_replace, is_same_graph

# --- eval --------------------------------------------------------------------------------------------------------


def test_eval():
    x, y = T.dscalars("x", "y")
    z = x + y
    assert float(z.eval({x: 16.3, y: 12.1})) == 28.4
    assert float(z.eval({"x": 1, "y": 2})) == 3
    assert float(T.constant(2.0).eval()) == 2


def test_eval_keeps_one_function_for_each_set_of_inputs():
    x, y = T.dscalars("x", "y")
    z = x + y
    total = z * 2
    for value in (1.0, 2.0):
        total.eval({x: value, y: 1})
        total.eval({z: value})
    assert len(total.__dict__["_functions"]) == 2
    copy = pickle.loads(pickle.dumps(total))
    assert not copy.__dict__["_functions"]


def test_eval_of_shared_variables():
    w = theano.shared(np.ones(2), name="w")
    np.testing.assert_array_equal(w.eval(), np.ones(2))
    np.testing.assert_array_equal((w * 2).eval(), np.full(2, 2.0))


def test_eval_of_unknown_names():
    x = T.dscalar("x")
    with pytest.raises(ValueError, match="depends on 0 variables named 'y'"):
        (x + 1).eval({"y": 2})
    with pytest.raises(ValueError, match="depends on 2 variables named 'x'"):
        (x + T.dscalar("x")).eval({"x": 2})


# --- clone -------------------------------------------------------------------------------------------------------


def test_clone_with_replacements():
    x, y = T.dscalars("x", "y")
    z = x**2 + y
    assert float(theano.clone(z, replace={x: y}).eval({y: 3.0})) == 12
    # A replacement may mention what it replaces.
    assert float(theano.clone(z, {x: x + 1, y: x}).eval({x: 2.0})) == 11
    assert float(theano.clone(z, [(x**2, x)], strict=False).eval({x: 2.0, y: 1.0})) == 5
    shared = theano.shared(5.0)
    assert float(theano.clone(z, {x: shared}).eval({y: 0.0})) == 25


def test_clone_keeps_the_nest():
    x, y = T.dscalars("x", "y")
    copy = theano.clone({"a": x + 1, "b": [x * 2]}, replace={x: y})
    assert float(copy["a"].eval({y: 1.0})) == 2 and float(copy["b"][0].eval({y: 1.0})) == 2


def test_clone_without_its_inputs():
    x, w = T.dscalar("x"), theano.shared(2.0)
    copy = theano.clone(x * w, share_inputs=False)
    inner, weight = graph.inputs([copy])
    assert inner is not x and inner.name == "x"
    assert weight is not w
    assert float(copy.eval({inner: 3.0})) == 6
    w.set_value(3.0)
    assert float(copy.eval({inner: 3.0})) == 9
    with pytest.warns(DeprecationWarning, match="share_inputs"):
        assert theano.clone(x * w, copy_inputs=True).owner.inputs[0] is x


def test_clone_checks_types():
    x = T.dvector("x")
    with pytest.raises(TypeError, match=r"x has type .* and cannot be replaced by"):
        theano.clone(x * 2, {x: T.fvector("y")})
    theano.clone(x * 2, {x: T.TensorType("float64", (True,))()})
    theano.clone(x * 2, {x: T.fvector("y")}, strict=False)


def test_graph_replace():
    x, y, z = T.dscalars("x", "y", "z")
    (found,) = graph_replace([x + 1], {x: y})
    assert float(found.eval({y: 1.0})) == 2
    assert float(theano.clone_replace(x + 1, {x: y}).eval({y: 1.0})) == 2
    with pytest.raises(ValueError, match="z is to be replaced, but the expressions do not use it"):
        graph_replace([x + 1], {z: y})
    graph_replace([x + 1], {z: y}, strict=False)


# --- map_variables -----------------------------------------------------------------------------------------------


def replacer(variable):
    return getattr(variable.tag, "replacement", variable)


def test_map_variables():
    a, b = T.dscalars("a", "b")
    c = a + b
    c.tag.replacement = c * 100
    d = c + 1
    d.tag.replacement = d**2
    e = theano.map_variables(replacer, [d * 2, b])
    assert e[1] is b
    assert float(e[0].eval({a: 1, b: 2})) == 2 * 301**2
    assert float((d * 2).eval({a: 1, b: 2})) == 8


def test_map_variables_in_a_scan():
    x = T.dvector("x")
    offset = theano.shared(10.0)

    def step(item):
        result = item * 2
        result.tag.replacement = result + offset
        return result + 1

    values, _ = theano.map(step, x)
    (mapped,) = theano.map_variables(replacer, [values])
    np.testing.assert_allclose(mapped.eval({x: [1.0, 2.0]}), [13, 15])
    np.testing.assert_allclose(values.eval({x: [1.0, 2.0]}), [3, 5])


# --- comparing ---------------------------------------------------------------------------------------------------


def test_is_same_graph():
    x, y, z = T.dvectors("x", "y", "z")
    assert is_same_graph(x + y, x + y)
    assert not is_same_graph(x + y, y + x)
    assert not is_same_graph(x + y, x * y)
    assert is_same_graph(x + 1, x + 1) and not is_same_graph(x + 1, x + 2)
    assert is_same_graph(x.sum(axis=0), x.sum(axis=0)) and not is_same_graph(x[1:], x[2:])
    assert is_same_graph(T.exp(x) + z, T.exp(y) + z, givens={x: y})
    assert is_same_graph(T.exp(x), T.exp(y), givens=[(x, z), (y, z)])
    assert graph.is_same_graph is is_same_graph


def test_equal_computations():
    x, y = T.dvectors("x", "y")
    assert equal_computations([x * 2, x], [y * 2, y], [x], [y])
    assert not equal_computations([x * 2, x], [y * 2, x], [x], [y])
    assert not equal_computations([x - y], [y - x])
    assert equal_computations([x - y], [y - x], [x, y], [y, x])
    z = x * 2
    assert not equal_computations([z + x], [z + y], [x], [y])  # a part of both is that of only one of them
    one, other = theano.tensor.max_and_argmax(T.dmatrix("m"), axis=0)
    assert not equal_computations([one], [other])
    with pytest.raises(ValueError, match="cannot be compared"):
        equal_computations([x], [])


# --- walking -----------------------------------------------------------------------------------------------------


def test_walking():
    x, y = T.dscalars("x", "y")
    a = x + 1
    b = a * y
    c = T.exp(b)
    assert graph.inputs([c])[0] is x or x in graph.inputs([c])
    assert set(graph.inputs([c], blockers=[a])) == {a, y}
    assert {a, b, c, x, y} <= set(graph.ancestors([c]))
    assert set(graph.ancestors([c], blockers=[a])) == {a, y, b, c}
    assert set(graph.variables([a, y], [c])) == {a, y, b, c}
    (one,) = graph.orphans([x, y], [c])
    assert float(one.data) == 1
    assert [node.out for node in graph.io_toposort([x, y], [c])] == [a, b, c]
    assert graph.list_of_nodes([a], [c]) == [b.owner, c.owner]
    assert graph.ops([a], [c]) == {b.owner.op, c.owner.op}
    assert graph.is_in_ancestors(c.owner, a.owner) and not graph.is_in_ancestors(a.owner, c.owner)


def test_a_copied_shared_variable_shares_its_value_and_has_updates_of_its_own():
    mean = theano.shared(np.zeros(2), name="mean")
    x = T.dvector("x")
    training = theano.function([x], x - mean, updates=[(mean, mean + x)])
    running = theano.clone(mean, share_inputs=False)
    assert running is not mean
    running.default_update = 0.5 * mean + 0.5 * x
    normalised = x - (mean + 0 * running)
    learn = theano.function([x], normalised)
    test = theano.function([x], x - mean)
    learn(np.ones(2))
    np.testing.assert_array_equal(mean.get_value(), [0.5, 0.5])
    np.testing.assert_array_equal(test(np.ones(2)), [0.5, 0.5])
    np.testing.assert_array_equal(mean.get_value(), [0.5, 0.5])
    training(np.ones(2))
    np.testing.assert_array_equal(running.get_value(), [1.5, 1.5])
