"""Loops that decide themselves when to stop: how many rows there are is known after the run only."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.scan_module import scan, until


def powers(limit, most=100):
    """2, 4, 8, ... up to the first one over a limit."""
    values, _ = scan(lambda v, limit: (2 * v, until(2 * v > limit)), None, np.float64(1), limit, n_steps=most)
    return values


LIMIT = T.dscalar("limit")
LENGTHS = {1.0: 1, 3.0: 2, 45.0: 6, 1e4: 14, 1e40: 100}


def test_outputs_end_with_the_step_where_the_condition_holds():
    f = theano.function([LIMIT], powers(LIMIT))
    for limit, length in LENGTHS.items():
        np.testing.assert_array_equal(f(limit), 2.0 ** np.arange(1, length + 1))
    assert f.program.plan_count == 1


def test_single_rows_and_sums_need_one_program():
    v = powers(LIMIT)
    f = theano.function([LIMIT], [v[-1], v[-2], v[0], v[1], v.sum(), v.mean(), T.sum(v, axis=0, keepdims=True)])
    for limit, length in LENGTHS.items():
        if length > 1:
            rows = 2.0 ** np.arange(1, length + 1)
            wanted = [rows[-1], rows[-2], rows[0], rows[1], rows.sum(), rows.mean(), [rows.sum()]]
            for one, other in zip(f(limit), wanted, strict=True):
                np.testing.assert_allclose(one, other)
    assert f.program.plan_count == 1


@pytest.mark.parametrize("position", [1, -2, 50, -51])
def test_rows_that_are_not_there(position):
    f = theano.function([LIMIT], powers(LIMIT)[position])
    with pytest.raises(IndexError):
        f(1.0)


def test_anything_else_knows_the_length_too():
    v = powers(LIMIT)
    f = theano.function([LIMIT], [v * 2, v.shape[0], v.max(), v[1:], v[::-1], T.concatenate([v, v]), v.std()])
    for limit in (3.0, 45.0, 3.0):
        rows = 2.0 ** np.arange(1, LENGTHS[limit] + 1)
        wanted = [rows * 2, len(rows), rows[-1], rows[1:], rows[::-1], np.concatenate([rows, rows]), rows.std()]
        for one, other in zip(f(limit), wanted, strict=True):
            np.testing.assert_allclose(one, other)
    assert f.program.plan_count == 2


def test_rows_of_rows():
    x = T.dmatrix("x")
    (rows, total), _ = scan(
        lambda row, t: ([row * 2, t + row.sum()], until(t + row.sum() > 5)), x, [None, np.float64(0)]
    )
    f = theano.function(
        [x], [rows, rows[-1], rows[-1, 0], rows[-1][1:], T.sum(rows, axis=1), rows.sum(axis=(0, 1)), total]
    )
    values = np.arange(12.0).reshape(4, 3)
    for one, other in zip(
        f(values),
        [values[:2] * 2, values[1] * 2, 6, [8, 10], [6, 24], 30, [3, 15]],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_updates_stop_too():
    n, limit = theano.shared(0), T.lscalar("limit")
    values, updates = scan(lambda limit: ([n], {n: n + 1}, until(n + 1 >= limit)), None, None, limit, n_steps=50)
    f = theano.function([limit], values, updates=updates)
    assert f(4).tolist() == [0, 1, 2, 3]
    assert n.get_value() == 4
    assert f(7).tolist() == [4, 5, 6]


def test_sequences_and_their_end():
    x = T.dvector("x")
    found, _ = scan(lambda a: (a * 10, until(T.eq(a, 3))), x)
    backwards, _ = scan(lambda a: (a * 10, until(T.eq(a, 3))), x, go_backwards=True)
    f = theano.function([x], [found, backwards])
    one, other = f([1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_array_equal(one, [10, 20, 30])
    np.testing.assert_array_equal(other, [50, 40, 30])
    np.testing.assert_array_equal(f([1.0, 2.0])[0], [10, 20])
    assert f(np.zeros(0))[0].shape == (0,)


def test_a_loop_that_stops_in_another_loop():
    x = T.dvector("x")

    def length(limit):
        values = powers(limit)
        return [values[-1], values.sum()]

    (last, total), _ = scan(length, x)
    f = theano.function([x], [last, total])
    np.testing.assert_array_equal(f([1.0, 45.0, 5.0]), [[2, 64, 8], [2, 126, 14]])
    whole, _ = scan(lambda limit: powers(limit).max(), x)
    with pytest.raises(theano.errors.TraceError, match="differs from step to step"):
        theano.function([x], whole)([1.0, 45.0])


def test_rows_as_updates_and_in_further_loops():
    kept = theano.shared(np.zeros(3))
    f = theano.function([LIMIT], [], updates={kept: powers(LIMIT)})
    f(45.0)
    assert kept.get_value().tolist() == [2, 4, 8, 16, 32, 64]
    sums, _ = scan(lambda a, s: a + s, powers(LIMIT), np.float64(0))
    np.testing.assert_array_equal(theano.function([LIMIT], sums)(45.0), np.cumsum([2, 4, 8, 16, 32, 64]))


def test_any_condition_that_is_not_zero_stops():
    x = T.lvector("x")
    found, _ = scan(lambda a: (a, until(a - 1)), x)
    assert theano.function([x], found)([1, 1, 5, 1]).tolist() == [1, 1, 5]
    assert theano.scan_utils.until is until
    assert theano.scan_module.scan_utils.until is until
