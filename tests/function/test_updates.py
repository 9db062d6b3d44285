"""Updates of shared variables: their forms, what they see, those made by default, and their errors."""

import collections

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.updates import OrderedUpdates


def value(variable):
    return variable.get_value().tolist()


@pytest.mark.parametrize("form", [list, dict, tuple, collections.OrderedDict, OrderedUpdates])
def test_forms_of_updates(form):
    n, total = theano.shared(0), theano.shared(10.0)
    f = function([], [n, total], updates=form([(n, n + 1), (total, total * 2)]))
    assert [f(), f()] == [[0, 10], [1, 20]]
    assert (value(n), value(total)) == (2, 40)


def test_all_updates_see_old_values():
    a, b = theano.shared(np.array([1.0])), theano.shared(np.array([2.0]))
    f = function([], a + b, updates=[(a, b), (b, a)])
    for _ in range(3):
        assert f() == 3
    assert (value(a), value(b)) == ([2.0], [1.0])
    f()
    assert not np.shares_memory(a.get_value(borrow=True), b.get_value(borrow=True))


def test_new_values_may_have_another_shape():
    x, w = T.dvector("x"), theano.shared(np.zeros(2))
    f = function([x], w.sum(), updates=[(w, T.concatenate([w, x]))])
    assert [float(f([1.0])) for _ in range(4)] == [0, 1, 2, 3] and value(w) == [0, 0, 1, 1, 1, 1]


def test_functions_share_variables():
    state, inc = theano.shared(0), T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    decrementor = function([inc], state, updates=[(state, state - inc)])
    assert (accumulator(1), accumulator(300), value(state)) == (0, 1, 301)
    state.set_value(-1)
    assert (accumulator(3), value(state), decrementor(2), value(state)) == (-1, 2, 2, 0)


def test_values_that_are_no_expressions():
    w = theano.shared(np.zeros(3, np.float32))
    f = function([], [], updates=[(w, np.arange(3, dtype=np.float32))])
    assert f() == [] and value(w) == [0, 1, 2]
    n = theano.shared(1.5)
    function([], [], updates={n: 4})()
    assert value(n) == 4 and n.get_value().dtype == np.float64


def test_errors_of_updates():
    w, x = theano.shared(np.zeros(3), name="w"), T.dvector("x")
    with pytest.raises(TypeError, match="needs a shared variable on its left, not x"):
        function([x], x, updates=[(x, x + 1)])
    with pytest.raises(ValueError, match="w has two updates"):
        function([], [], updates=[(w, w + 1), (w, w + 2)])
    for flat in ([w, w + 1], w, [(w,)], [(w, w, w)]):
        with pytest.raises(ValueError, match=r"updates must be pairs(.|\n)*updates=\[\(w, w - 0.1 \* gw\)"):
            function([], [], updates=flat)


def test_updates_must_have_the_type_of_their_variable():
    w, n = theano.shared(np.zeros(3), name="w"), theano.shared(1, name="n")
    with pytest.raises(TypeError, match=r"w has type(.|\n)*value.mean\(axis=0\)"):
        function([], [], updates=[(w, w.sum())])
    with pytest.raises(TypeError, match=r"n has type(.|\n)*T.cast\(value, 'int64'\)"):
        function([], [], updates=[(n, n * 0.5)])
    row = theano.shared(np.zeros((1, 3)), broadcastable=(True, False))
    with pytest.raises(TypeError, match=r"T\.unbroadcast"):
        function([], [], updates=[(theano.shared(np.zeros((1, 3))), row)])
    with pytest.raises(TypeError, match="loss of precision"):
        function([], [], updates=[(n, 0.5)])


# --- default updates ---------------------------------------------------------------------------------------------


def with_default(start, step):
    variable = theano.shared(start)
    variable.default_update = variable + step
    return variable


def test_default_updates():
    n = with_default(0, 1)
    f = function([], n)
    assert [int(f()) for _ in range(3)] == [0, 1, 2]
    assert [int(function([], n, no_default_updates=True)()) for _ in range(2)] == [3, 3]
    assert function([], n, updates=[(n, n * 10)])() == 3 and value(n) == 30  # its own update takes precedence


def test_default_updates_are_found_behind_updates():
    a, c = with_default(0, 1), theano.shared(5)
    b = theano.shared(100)
    b.default_update = b + a  # reads a, whose default update counts too
    f = function([], c, updates=[(c, c + b)])
    f()
    assert (value(a), value(b), value(c)) == (1, 100, 105)
    f()
    assert (value(a), value(b), value(c)) == (2, 101, 205)


def test_some_default_updates_left_out():
    a, b = with_default(0, 1), with_default(10, 1)
    f = function([], a + b, no_default_updates=[b])
    assert [int(f()) for _ in range(3)] == [10, 11, 12] and value(b) == 10
    with pytest.raises(TypeError, match="must be True, False or a list"):
        function([], a, no_default_updates="b")


def test_a_replaced_variable_is_not_updated():
    a, b = with_default(0, 1), theano.shared(7)
    f = function([], a * 2, givens=[(a, b)])
    assert f() == 14 and value(a) == 0


# --- OrderedUpdates ----------------------------------------------------------------------------------------------


def test_ordered_updates():
    a, b = theano.shared(0), theano.shared(0)
    one, two = a + 1, b + 1
    both = OrderedUpdates([(a, one)]) + {b: two}
    assert isinstance(both, OrderedUpdates) and list(both.items()) == [(a, one), (b, two)]
    assert list({b: two} + OrderedUpdates([(a, one)])) == [b, a]
    assert (both + both) == both and "OrderedUpdates(" in repr(both)
    with pytest.raises(KeyError, match="Collision"):
        both + OrderedUpdates([(a, one + 1)])
    with pytest.raises(KeyError, match="Collision"):
        both.update([(a, two)])
    with pytest.raises(TypeError, match="shared variable"):
        both[T.dscalar()] = one
    with pytest.raises(TypeError, match="shared variable"):
        OrderedUpdates([(T.dscalar(), one)])
    assert theano.OrderedUpdates is OrderedUpdates
