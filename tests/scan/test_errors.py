"""What users are told when a scan cannot be: what is wrong, in which of their lines, and what to write instead."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.scan_module import scan, scan_checkpoints, until


def refused(error, words, *args, **kwargs):
    with pytest.raises(error, match=words) as caught:
        scan(*args, **kwargs)
    assert "HINT" in str(caught.value)
    assert "test_errors.py" in str(caught.value)
    return caught.value


def test_no_length():
    refused(ValueError, "how many steps", lambda a: a + 1, outputs_info=np.float64(0))
    refused(ValueError, "how many steps", lambda a: a + 1, outputs_info=np.float64(0), n_steps=float("nan"))
    with pytest.raises(ValueError, match="how many steps"):
        theano.compile(lambda x: theano.scan(lambda a: a + 1, None, x)[0])(1.0)


def test_negative_number_of_steps():
    refused(IndexError, "asked to do -3 steps", lambda a: a + 1, outputs_info=np.float64(0), n_steps=-3)
    n = T.lscalar("n")
    f = theano.function([n], scan(lambda a: a + 1, outputs_info=np.float64(0), n_steps=n)[0])
    with pytest.raises(IndexError, match=r"asked to do -3 steps(.|\n)*HINT"):
        f(-3)


def test_number_of_steps_that_is_no_integer():
    refused(ValueError, "n_steps must be an integer", lambda a: a + 1, outputs_info=np.float64(0), n_steps=T.dscalar())
    refused(
        ValueError, "n_steps must be an integer", lambda a: a + 1, outputs_info=np.float64(0), n_steps=np.float64(2)
    )


def test_sequences_that_are_too_short():
    x = T.dvector("x")
    f = theano.function([x], scan(lambda a, b: a + b, {"input": x, "taps": [0, 2]}, n_steps=4)[0])
    assert f(np.ones(6)).shape == (4,)
    with pytest.raises(ValueError, match=r"asked to do 4 steps, but sequence 0 has rows for 3 only(.|\n)*HINT"):
        f(np.ones(5))


def test_things_without_rows():
    x = T.dscalar("x")
    refused(ValueError, "sequence 0 of scan, x, has type(.|\n)*non_sequences", lambda a: a, x)
    refused(ValueError, "two rows", lambda a, b: a, None, {"initial": x, "taps": [-2, -1]}, n_steps=2)


def test_unknown_keys():
    x = T.dvector("x")
    refused(ValueError, "sequence 0 of scan is a dict with the key 'tap'", lambda a: a, {"input": x, "tap": [0]})
    info = {"initial": x, "return_steps": 1}
    refused(ValueError, "output 0 of scan is a dict with the key 'return_steps'", lambda a: a, None, info, n_steps=2)


def test_wrong_taps():
    x = T.dvector("x")
    refused(ValueError, "has taps but no initial value", lambda a: a, x, {"taps": [-1]})
    refused(ValueError, "only earlier steps", lambda a: a, None, {"initial": x, "taps": [1]}, n_steps=2)
    refused(ValueError, "only earlier steps", lambda a: a, None, {"initial": x, "taps": [-1, 0]}, n_steps=2)


def test_wrong_number_of_outputs():
    x = T.dvector("x")
    words = r"returned 2 outputs, but outputs_info describes 1(.|\n)*None"
    refused(ValueError, words, lambda a, b: [b, a], x, T.constant(0.0))
    with pytest.raises(ValueError, match="returned 2 outputs"):
        theano.compile(lambda x: theano.scan(lambda a, b: [b, a], x, 0.0)[0])(np.ones(3))


def test_types_of_initial_values():
    x, m = T.dvector("x"), T.dmatrix("m")
    words = r"output 0 of scan, which has no name, has TensorType\(int64, scalar\) a step, but the function returns "
    error = refused(ValueError, words + r"TensorType\(float64, scalar\)", lambda a, s: s + a, x, 0)
    assert "numpy.float64(0)" in str(error)
    refused(ValueError, "as many dimensions", lambda a, s: s + a, m, np.float64(0))
    start = T.zeros((1, 3))
    assert start.broadcastable == (True, False)
    error = refused(TypeError, "which dimensions have size 1", lambda s: T.dot(m, s), None, start, n_steps=2)
    loose, _ = scan(lambda s: T.dot(m, s), None, T.unbroadcast(start, 0), n_steps=2)
    assert theano.function([m], loose)(np.eye(1)).shape == (2, 1, 3)


def test_float_of_floatx_as_initial_value():
    with theano.change_flags(floatX="float32"):
        x = T.vector("x")
        total, _ = scan(lambda a, s: s + a, x, 0.0)
        assert total.dtype == "float32"


def test_sizes_that_change_from_step_to_step():
    x = T.dvector("x")
    f = theano.function([x], scan(lambda s: T.concatenate([s, s]), None, x, n_steps=2)[0])
    with pytest.raises(TypeError, match=r"starts with type float64\[3\], but the body gives float64\[6\](.|\n)*HINT"):
        f(np.ones(3))


def test_sizes_that_only_a_step_knows():
    x, n = T.dvector("x"), T.lvector("n")
    f = theano.function([x, n], scan(lambda k, x: x[:k].sum(), n, non_sequences=x)[0])
    with pytest.raises(theano.errors.TraceError, match=r"must be known(.|\n)*differs from step to step(.|\n)*HINT"):
        f(np.ones(3), [1, 2])
    masked = theano.function([x, n], scan(lambda k, x: T.sum(x * (T.arange(3) < k)), n, non_sequences=x)[0])
    np.testing.assert_array_equal(masked(np.ones(3), [1, 2]), [1, 2])


def test_too_few_initial_rows():
    x = T.dvector("x")
    f = theano.function([x], scan(lambda a, b: a + b, None, {"initial": x, "taps": [-1, -3]}, n_steps=2)[0])
    with pytest.raises(ValueError, match=r"read 3 steps back, but its initial value has 2 rows(.|\n)*HINT"):
        f(np.ones(2))


@pytest.mark.parametrize(
    "value", ["text", {"a": 1}.keys(), [until(T.constant(1)), until(T.constant(2)), T.constant(1)], [[["x"]]], object()]
)
def test_results_that_cannot_be_told_apart(value):
    refused(ValueError, "cannot tell outputs", lambda: value, n_steps=2)


@pytest.mark.parametrize("value", [None, [], ([], {}), until(T.constant(1))])
def test_results_that_are_nothing(value):
    refused(ValueError, "returned nothing", lambda: value, n_steps=2)


def test_updates_of_another_type_and_of_what_is_not_shared():
    s, x = theano.shared(0, name="s"), T.dvector("x")
    with pytest.raises(TypeError, match=r"s has type(.|\n)*HINT"):
        scan(lambda a: {s: s + a}, x)
    with pytest.raises(TypeError, match="needs a shared variable"):
        scan(lambda a: {a: a + 1}, x)
    with pytest.raises(ValueError, match="two updates"):
        scan(lambda a: [(s, s + 1), (s, s + 2)], x)


def test_errors_of_a_step_name_the_line_of_its_function():
    x, k = T.dvector("x"), T.lvector("k")
    marker = "x[i] * 2"
    f = theano.function([x, k], scan(lambda i, x: x[i] * 2, k, non_sequences=x)[0])
    np.testing.assert_array_equal(f([1.0, 2.0], [1, 0]), [4, 2])
    with pytest.raises(IndexError) as caught:
        f([1.0, 2.0], [1, 7])
    notes = "\n".join(caught.value.__notes__)
    line = int(notes.split("test_errors.py:")[1].split()[0])
    with open(__file__, encoding="utf-8") as source:
        assert marker in source.readlines()[line - 1]


def test_errors_while_the_function_is_called_are_its_own():
    x = T.dmatrix("x")
    with pytest.raises(ValueError, match=r"broadcast|shape|mismatch") as caught:
        scan(lambda row: row + np.ones((3, 3)) @ np.ones(2), x)
    assert caught.traceback


def test_what_checkpoints_cannot_do():
    x = T.dvector("x")
    with pytest.raises(RuntimeError, match=r"not taps(.|\n)*HINT"):
        scan_checkpoints(lambda a, b: a + b, x, [{"initial": x, "taps": [-1]}])
    with pytest.raises(RuntimeError, match=r"returned a condition(.|\n)*HINT"):
        scan_checkpoints(lambda a: (a, until(a > 0)), x)
    f = theano.function([x], scan_checkpoints(lambda a: a, x, save_every_N=3, padding=False)[0])
    assert f(np.ones(6)).shape == (2,)
    with pytest.raises(ValueError, match=r"7 steps cannot be divided(.|\n)*HINT"):
        f(np.ones(7))
