"""Lists of arrays in symbolic expressions."""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.typed_list import TypedListType, count, extend, getitem, index, insert, length, make_list, remove, reverse

LIST = TypedListType(T.dvector)
ONE, TWO, THREE = np.array([1.0]), np.array([2.0, 3.0]), np.array([4.0, 5.0, 6.0])


def same(found, expected):
    assert isinstance(found, list) and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_types():
    assert LIST == TypedListType(T.dvector) != TypedListType(T.fvector)
    assert LIST("rows").ttype == T.dvector and repr(LIST) == "TypedList <TensorType(float64, vector)>"
    assert TypedListType(T.dvector, 1) == TypedListType(LIST) and TypedListType(LIST).get_depth() == 1
    with pytest.raises(TypeError, match="takes lists, not a ndarray"):
        LIST.filter(ONE)
    with pytest.raises(TypeError, match="need a type"):
        TypedListType(int)


def test_functions():
    rows, item, other = LIST("rows"), T.dvector("item"), LIST("other")
    results = [rows.append(item), extend(rows, other), insert(rows, 1, item), reverse(rows), rows[1:], rows.remove(TWO)]
    f = theano.function([rows, item, other], results)
    found = f([ONE, TWO], THREE, [TWO])
    expected = [[ONE, TWO, THREE], [ONE, TWO, TWO], [ONE, THREE, TWO], [TWO, ONE], [TWO], [ONE]]
    for one, lists in zip(found, expected, strict=True):
        same(one, lists)
    same(f([TWO], ONE, [])[1], [TWO])


def test_methods_are_the_functions():
    rows, item = LIST("rows"), T.dvector("item")
    results = [rows.reverse(), rows.insert(0, item), rows.extend(rows)]
    found = theano.function([rows, item], results)([ONE, TWO], THREE)
    for one, lists in zip(found, [[TWO, ONE], [THREE, ONE, TWO], [ONE, TWO, ONE, TWO]], strict=True):
        same(one, lists)


def test_numbers():
    rows, item, place = LIST("rows"), T.dvector("item"), T.lscalar("place")
    f = theano.function([rows, item], [count(rows, item), index(rows, item), length(rows), rows.count(item)])
    assert [int(number) for number in f([ONE, TWO, TWO], TWO)] == [2, 1, 3, 2]
    assert int(theano.function([rows, item], rows.ind(item))([THREE, ONE], ONE)) == 1
    with pytest.raises(ValueError, match="no item of the list is equal"):
        f([ONE], TWO)
    g = theano.function([rows, place], getitem(rows, place))
    np.testing.assert_array_equal(g([ONE, TWO], 1), TWO)
    np.testing.assert_array_equal(g([ONE, TWO], -2), ONE)
    with pytest.raises(IndexError):
        g([ONE], 3)


def test_made_of_variables_and_differentiated():
    x, y = T.dvectors("x", "y")
    rows = make_list([x, y * 2])
    cost = (rows[0] ** 2).sum() + rows[1].sum()
    by_x, by_y = theano.function([x, y], T.grad(cost, [x, y]))(ONE, TWO)
    np.testing.assert_array_equal(by_x, 2 * ONE)
    np.testing.assert_array_equal(by_y, [2, 2])
    with pytest.raises(TypeError, match="must be of one type"):
        make_list([x, T.dmatrix()])
    with pytest.raises(TypeError, match="must be of one type"):
        make_list([])


def test_gradients_with_respect_to_a_list():
    rows = LIST("rows")
    slope = theano.function([rows], T.grad((rows[0] ** 2).sum() + rows[1].sum(), rows))([TWO, ONE])
    same(slope, [2 * TWO, ONE])


def test_lists_of_lists():
    deep = TypedListType(T.dvector, 1)("deep")
    f = theano.function([deep], [deep[0], length(deep[1]), remove(deep, [ONE]), deep.append([THREE])])
    first, size, rest, longer = f([[ONE], [TWO, THREE]])
    same(first, [ONE])
    assert int(size) == 2
    same(rest[0], [TWO, THREE])
    same(longer[2], [THREE])


def test_wrong_items():
    rows = LIST("rows")
    with pytest.raises(TypeError, match="takes no TensorType"):
        rows.append(T.dmatrix())
    with pytest.raises(TypeError, match="takes no TypedList"):
        extend(rows, TypedListType(T.fvector)())
    with pytest.raises(TypeError, match="takes no"):
        extend(rows, 3)


def test_in_the_package_and_pickled():
    assert theano.typed_list.TypedListType is TypedListType
    rows = LIST("rows")
    copied, total = pickle.loads(pickle.dumps((rows, rows[0].sum())))
    assert float(total.eval({copied: [TWO]})) == 5
