"""Shared variables as programs of symbolic variables use them: values, types, constructors."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.tracing import shared as shared_module


def test_keywords():
    w = theano.shared(value=np.zeros((2, 3)), name="w", borrow=True)
    assert w.name == "w" and w.type == T.dmatrix and w.ndim == 2 and w.dtype == "float64"
    assert w.broadcastable == (False, False) and w.owner is None and w.index is None


def test_values_are_copied_unless_borrowed():
    array = np.zeros(3)
    copied, borrowed = theano.shared(array), theano.shared(array, borrow=True)
    array += 1
    assert copied.get_value().tolist() == [0, 0, 0] and borrowed.get_value().tolist() == [1, 1, 1]
    borrowed.get_value(borrow=True)[:] = 5
    borrowed.get_value()[:] = 6
    assert array.tolist() == [5, 5, 5]
    assert type(copied.get_value(borrow=True, return_internal_type=True)) is np.ndarray


@pytest.mark.parametrize(
    ("value", "dtype", "ndim"),
    [
        (1, "int64", 0),
        (1.5, "float64", 0),
        (True, "bool", 0),
        (1j, "complex128", 0),
        (np.float32(2), "float32", 0),
        ([1, 2], "int64", 1),
        (np.zeros((2, 2), np.int8), "int8", 2),
    ],
)
def test_types_of_values(value, dtype, ndim):
    w = theano.shared(value)
    assert (w.dtype, w.ndim) == (dtype, ndim)
    np.testing.assert_array_equal(function([], w)(), value)


def test_sizes_of_one_do_not_broadcast_unless_told_so():
    matrix = theano.shared(np.zeros((1, 3)))
    row = theano.shared(np.zeros((1, 3)), broadcastable=(True, False))
    assert matrix.broadcastable == (False, False) and row.broadcastable == (True, False)
    with pytest.raises(TypeError, match="size 1 along axis 0"):
        row.set_value(np.zeros((2, 3)))
    matrix.set_value(np.zeros((2, 3)))


def test_set_value_keeps_the_dtype():
    w = theano.shared(np.zeros(3))
    w.set_value(np.arange(5))
    assert w.get_value().dtype == np.float64 and w.get_value().shape == (5,)
    with pytest.raises(TypeError):
        w.set_value(np.zeros((2, 2)))
    n = theano.shared(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="float32"):
        n.set_value(np.zeros(3))


def test_strict_and_allow_downcast():
    strict = theano.shared(np.zeros(3, np.float32), strict=True)
    strict.set_value(np.ones(3, np.float32))
    for bad in (np.ones(3), np.ones(3, np.int8), [1.0, 2.0, 3.0]):
        with pytest.raises(TypeError, match="strict"):
            strict.set_value(bad)
    loose = theano.shared(np.zeros(3, np.float32), allow_downcast=True)
    loose.set_value(np.array([0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(loose.get_value(), np.array([0.1, 0.2, 0.3], np.float32))
    up = theano.shared(np.zeros((), np.float32), allow_downcast=False)
    with pytest.raises(TypeError, match="loss"):
        up.set_value(0.1)
    assert strict.container.strict and loose.container.allow_downcast


def test_zero_and_clone():
    w = theano.shared(np.ones(3), name="w")
    alias = w.get_value(borrow=True)
    w.zero()
    assert w.get_value().tolist() == [0, 0, 0] and alias.tolist() == [1, 1, 1]
    w.set_value(alias, borrow=True)
    w.zero(borrow=True)
    assert alias.tolist() == [0, 0, 0]
    twin = w.clone()
    function([], [], updates=[(w, w + 1)])()
    assert twin is not w and twin.get_value().tolist() == [1, 1, 1] and twin.name == "w"


def test_containers():
    w = theano.shared(np.zeros(2), name="w")
    w.container.value = [1, 2]
    assert w.get_value().tolist() == [1, 2] and w.container.data is w.container.storage[0]
    assert w.container.type == w.type and w.container.name == "w"


def test_value_is_not_an_attribute():
    w = theano.shared(np.zeros(2), name="w")
    with pytest.raises(TypeError, match=r"HINT: w.get_value\(\)"):
        _ = w.value
    with pytest.raises(TypeError, match="get_value"):
        _ = theano.shared(object()).value


def test_any_object_may_be_shared():
    box = theano.shared({"a": [1]}, name="box")
    assert box.get_value() == {"a": [1]}
    box.get_value()["a"].append(2)
    assert box.get_value() == {"a": [1]}
    box.set_value("text")
    assert function([], box)() == "text" and str(box) == "box" and box.clone().get_value() == "text"
    with pytest.raises(TypeError, match=r"box cannot be indexed: it holds a str(.|\n)*get_value\(\)\[0\]"):
        box[0]


def test_what_cannot_be_shared():
    x = T.dscalar("x")
    for bad in (x, x + 1, theano.shared(1.0)):
        with pytest.raises(TypeError, match="needs a real value"):
            theano.shared(bad)
    with pytest.raises(TypeError, match="there is no device 'dev0'"):
        theano.shared(1.0, target="dev0")
    assert theano.shared(1.0, target="cpu").get_value() == 1


def test_constructors_are_asked_newest_first(monkeypatch):
    monkeypatch.setattr(shared_module, "_CONSTRUCTORS", list(shared_module._CONSTRUCTORS))

    class Special(list):
        pass

    @theano.compile.shared_constructor
    def make(value, name=None, borrow=False, **_):
        if not isinstance(value, Special):
            raise TypeError("not mine")
        return theano.shared(np.array(value) * 10, name=name)

    assert theano.shared(Special([1, 2]), name="s").get_value().tolist() == [10, 20]
    assert theano.shared([1, 2]).get_value().tolist() == [1, 2]


def test_tags_and_defaults():
    w = theano.shared(1.0)
    w.tag.anything = 3
    assert w.tag.anything == 3 and w.default_update is None
