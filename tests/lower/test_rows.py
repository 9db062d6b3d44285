"""Updates of some rows of a large shared array: in place when nobody can notice, and all of them or none."""

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer import tensor as T

SIZE = 4000
RNG = np.random.default_rng(0)


def table(width=8):
    return tracer.shared(RNG.normal(size=(SIZE, width)), "W")


def is_in_place(variable, call):
    before = id(variable.get_value(borrow=True))
    call()
    return id(variable.get_value(borrow=True)) == before


def rows(count=16):
    places = RNG.integers(-SIZE, SIZE, count)
    places[1] = places[0]
    return places, RNG.normal(size=(count, 8))


def incremented():
    w, places, d = table(), T.lvector(), T.dmatrix()
    return w, tracer.function([places, d], w[places].sum(), updates=[(w, T.inc_subtensor(w[places], d))])


def test_rows_are_added_in_place_and_outputs_see_the_old_ones():
    w, step = incremented()
    wanted = w.get_value()
    for _ in range(4):
        places, d = rows()
        assert step(places, d) == pytest.approx(wanted[places].sum())
        np.add.at(wanted, places, d)
        np.testing.assert_array_equal(w.get_value(), wanted)
    assert is_in_place(w, lambda: step(*rows()))


def test_whoever_holds_the_array_keeps_it_as_it_was():
    w, step = incremented()
    step(*rows())
    step(*rows())
    view = w.get_value(borrow=True)[3:5]
    before = view.copy()
    places, d = rows()
    places[2] = 3
    assert not is_in_place(w, lambda: step(places, d))
    np.testing.assert_array_equal(view, before)
    del view
    assert is_in_place(w, lambda: step(places, d))


def test_a_call_that_fails_changes_no_array():
    a, b = table(), table()

    @tracer.compile
    def swap(i, j):
        new_a, new_b = a.copy(), b.copy()
        new_a[i], new_b[j] = b[j], a[i]
        a.set(new_a)
        b.set(new_b)

    places = np.array([1, 2]), np.array([5, 9])
    swap(*places)
    for _ in range(2):
        wanted_a, wanted_b = a.get_value(), b.get_value()
        wanted_a[places[0]], wanted_b[places[1]] = b.get_value()[places[1]], a.get_value()[places[0]]
        assert is_in_place(a, lambda: swap(*places))
        np.testing.assert_array_equal(a.get_value(), wanted_a)
        np.testing.assert_array_equal(b.get_value(), wanted_b)
    late = table()
    first, second, x = T.lvector(), T.lvector(), T.scalar()
    late_step = tracer.function(
        [first, second, x],
        updates=[(a, T.inc_subtensor(a[first], x)), (late, T.set_subtensor(late[second], x))],
    )
    late_step(places[0], places[1], 1.0)
    before = a.get_value()
    with pytest.raises(IndexError, match="out of bounds") as failure:
        late_step(places[0], np.array([0, SIZE]), 1.0)
    assert "test_rows.py" in "".join(failure.value.__notes__)
    np.testing.assert_array_equal(a.get_value(), before)


def test_windows_and_several_writes():
    v = tracer.shared(np.zeros(9000), "v")

    @tracer.compile
    def mark(x):
        new = v.copy()
        new[3] += x
        new[-10::3] = 2.0 * x
        new[100:50:-2] = np.arange(25.0)
        new[120:140] = v[110:130]
        v.set(new)
        return v[3]

    wanted = np.zeros(9000)
    for number in range(4):
        assert mark(number + 0.5) == wanted[3]
        old = wanted.copy()
        wanted[3] += number + 0.5
        wanted[-10::3] = 2.0 * (number + 0.5)
        wanted[100:50:-2] = np.arange(25.0)
        wanted[120:140] = old[110:130]
        np.testing.assert_array_equal(v.get_value(), wanted)
    assert is_in_place(v, lambda: mark(1.0))


def test_new_rows_that_are_read_again():
    w, places, d = table(), T.lvector(), T.dmatrix()
    new = T.inc_subtensor(w[places], d)
    step = tracer.function([places, d], [new.sum(), new], updates=[(w, new)])
    for _ in range(3):
        wanted, (where, what) = w.get_value(), rows()
        np.add.at(wanted, where, what)
        total, result = step(where, what)
        assert total == pytest.approx(wanted.sum())
        np.testing.assert_array_equal(result, wanted)
        result[...] = 7.0
        np.testing.assert_array_equal(w.get_value(), wanted)


def test_readers_on_other_threads_see_whole_updates():
    w = tracer.shared(np.zeros((SIZE, 8)), "W")
    step = tracer.compile(lambda i, d: w.set(_added(w, i, d)))
    spread = tracer.compile(lambda: np.ptp(w[:2000]))
    everywhere, ones = np.arange(2000), np.ones((2000, 8))

    def work(number):
        for _ in range(30):
            if number % 2:
                step(everywhere, ones)
            else:
                assert spread() == 0.0

    on_threads(work, 4)


def _added(w, places, d):
    new = w.copy()
    np.add.at(new, places, d)
    return new
