import pdb

import numpy as np
import pytest

import tracer
import tracer.tensor as T


def with_value(variable, value):
    variable.tag.test_value = value
    return variable


def test_expressions_are_computed_while_they_are_built():
    with tracer.config.changed(compute_test_value="raise"):
        x = with_value(T.dmatrix("x"), np.arange(6.0).reshape(2, 3))
        w = tracer.shared(np.ones((3, 2)))
        y = T.dot(x, w)
        np.testing.assert_array_equal(y.tag.test_value, [[3, 3], [12, 12]])
        np.testing.assert_array_equal((y * 2 - 1)[0].tag.test_value, [5, 5])
        np.testing.assert_array_equal(T.zeros((x.shape[0], 1)).tag.test_value, [[0], [0]])
        np.testing.assert_array_equal(T.grad(y.sum(), w).tag.test_value, [[3, 3], [5, 5], [7, 7]])
        _, second = T.split(x, [1, 1], 2)
        np.testing.assert_array_equal(second.tag.test_value, [[3, 4, 5]])
        np.testing.assert_array_equal(x[x > 2].tag.test_value, [3, 4, 5])
    assert not hasattr((y + 1).tag, "test_value")


def test_an_error_is_raised_at_the_line_that_made_it():
    with tracer.config.changed(compute_test_value="warn"):
        x = with_value(T.dmatrix("x"), np.ones((2, 3)))
        with pytest.raises(ValueError, match=r"(?s)not aligned.*in test_an_error_is_raised_at_the_line"):
            T.dot(x, x)


def test_a_value_that_is_missing():
    x = T.dvector("x")
    with tracer.config.changed(compute_test_value="raise"):
        with pytest.raises(AttributeError, match=r"(?s)x has no test value.*HINT: x.tag.test_value = "):
            x + 1
    with tracer.config.changed(compute_test_value="warn"), pytest.warns(UserWarning, match="x has no test value"):
        assert (x + 1).dtype == "float64"
    with tracer.config.changed(compute_test_value="ignore"):
        assert not hasattr((x + 1).tag, "test_value")


def test_a_value_of_another_type():
    with tracer.config.changed(compute_test_value="raise"):
        with pytest.raises(TypeError, match="wrong number of dimensions"):
            with_value(T.dvector("x"), np.ones((2, 2))) + 1


def test_a_debugger_starts_at_the_error(monkeypatch):
    seen = []
    monkeypatch.setattr(pdb, "post_mortem", seen.append)
    with tracer.config.changed(compute_test_value="pdb"):
        x = with_value(T.dmatrix("x"), np.ones((2, 3)))
        with pytest.raises(ValueError, match="not aligned"):
            T.dot(x, x)
        T.dvector("y") + 1
    assert len(seen) == 2


def test_scans_hand_values_to_their_steps():
    with tracer.config.changed(compute_test_value="raise"):
        rows = with_value(T.dmatrix("rows"), np.ones((4, 2)))
        start = with_value(T.dvector("start"), np.zeros(2))
        total, _ = tracer.scan(lambda row, sums: row + sums, rows, start)
        np.testing.assert_array_equal(total.tag.test_value, np.cumsum(np.ones((4, 2)), 0))
        pairs, _ = tracer.scan(lambda a, b: a + b, outputs_info=[{"initial": rows[:2], "taps": [-2, -1]}], n_steps=3)
        np.testing.assert_array_equal(pairs[:, 0].tag.test_value, [2, 3, 5])
