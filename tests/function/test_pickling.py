"""Pickles and copies of variables, expressions and functions."""

import copy
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tracer.misc.pkl_utils import CompatUnpickler, StripPickler, dump, load

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.symbolic.inputs import In
from tracer.tracing.replay import applies

WAYS = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]
WAYS += [lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol)) for protocol in (0, 2, 5)]


@pytest.fixture(params=WAYS, ids=["pickle", "deepcopy", "protocol 0", "protocol 2", "protocol 5"])
def again(request):
    return request.param


# --- variables ---------------------------------------------------------------------------------------------------


def test_variables(again):
    x = T.matrix("x", dtype="float32")
    x.tag.note = "mine"
    y = again(x)
    assert y is not x and (y.name, y.type, y.owner, y.tag.note) == ("x", x.type, None, "mine")
    assert y.line == x.line
    c = again(T.constant(np.arange(3)))
    assert c.is_constant and c.data.tolist() == [0, 1, 2]


def test_expressions_keep_what_they_share(again):
    x, y = T.dvectors("x", "y")
    z = T.exp(x) + y
    z.name = "z"
    both = z * 2, z + x
    x2, z2, (first, second) = again((x, z, both))
    assert first.owner.inputs[0] is z2 and second.owner.inputs[0] is z2 and second.owner.inputs[1] is x2
    assert z2.name == "z" and z2.owner.line == z.owner.line
    y2 = z2.owner.inputs[1]
    np.testing.assert_allclose(function([x2, y2], first)([0, 1], [1, 2]), 2 * np.exp([0, 1]) + [2, 4])


def test_operations_of_every_sort(again):
    x, i = T.dmatrix("x"), T.lscalar("i")
    parts = [x[i, 1:], x.reshape((-1,)), T.dot(x, x.T), x.sum(axis=0, keepdims=True), T.nnet.sigmoid(x), x.T]
    expected = function([x, i], parts)
    x2, i2, parts2 = again((x, i, parts))
    found = function([x2, i2], parts2)
    argument = np.arange(6.0).reshape(2, 3)
    for one, other in zip(expected(argument, 1), found(argument, 1), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", WAYS[:2], ids=["pickle", "deepcopy"])
def test_deep_expressions_do_not_recurse(way):
    x = T.dscalar("x")
    y = x
    for _ in range(3000):
        y = y + 1.0
    assert len(applies([y])) > sys.getrecursionlimit()
    x2, y2 = way((x, y))
    assert function([x2], y2)(1.5) == 3001.5
    assert len(applies([y2])) == 3000


def test_shared_variables(again):
    w = theano.shared(np.arange(3.0), name="w", broadcastable=(False,), allow_downcast=True)
    w.default_update = w + 1
    w.tag.note = 3
    twin = w.clone()
    w2, twin2, doubled = again((w, twin, w * 2))
    assert (w2.name, w2.type, w2.tag.note, w2.casting) == ("w", w.type, 3, (False, True))
    assert w2.default_update.owner.inputs[0] is w2 and doubled.owner.inputs[0] is w2
    w2.set_value(np.zeros(3))
    assert twin2.get_value().tolist() == [0, 0, 0] and w.get_value().tolist() == [0, 1, 2]
    box = theano.shared({"a": 1}, name="box")
    box2 = again(box)
    assert box2.get_value() == {"a": 1} and box2.get_value(borrow=True) is not box.get_value(borrow=True)


def test_shallow_copies():
    x, w = T.dscalar("x"), theano.shared(1.0, name="w")
    assert copy.copy(x).owner is None and copy.copy(x) is not x and copy.copy(x).name == "x"
    other = copy.copy(w)
    other.set_value(2.0)
    assert w.get_value() == 1


# --- functions ---------------------------------------------------------------------------------------------------


def make():
    x, s = T.dvector("x"), T.dscalar("s")
    w = theano.shared(np.ones(3), name="w")
    step = function([x, In(s, value=1.0, update=s + 1)], {"a": x * w * s}, updates=[(w, w + x)], name="step")
    return w, step, function([], w)


def test_functions(again):
    w, step, read = make()
    step([1, 2, 3])
    step.trust_input = True
    w2, step2, read2 = again((w, step, read))
    assert step2.trust_input and step2.name == "step" and step2["s"] == 2
    step2.trust_input = step.trust_input = False
    for _ in range(2):
        np.testing.assert_array_equal(step2([1, 1, 1])["a"], step([1, 1, 1])["a"])
        np.testing.assert_array_equal(read2(), read())
    step2([1, 1, 1])
    np.testing.assert_array_equal(read2(), w2.get_value())
    np.testing.assert_array_equal(w2.get_value(), w.get_value() + 1)
    assert step2["s"] == step["s"] + 1


def test_functions_in_another_process(tmp_path):
    _, step, read = make()
    step([1, 2, 3])
    path = tmp_path / "functions.pkl"
    path.write_bytes(pickle.dumps((step, read)))
    code = f"""
import pickle
with open({str(path)!r}, "rb") as file:
    step, read = pickle.load(file)
print(step([1, 1, 1])["a"], read())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[4. 6. 8.] [3. 4. 5.]"


def test_functions_of_deep_expressions():
    x = T.dscalar("x")
    y = x
    for _ in range(3000):
        y = y * 1.0
    f = pickle.loads(pickle.dumps(function([x], y)))
    assert f(2) == 2


def test_functions_need_not_be_unpickled():
    _, step, _ = make()
    data = pickle.dumps(step)
    with theano.config.changed(unpickle_function=False):
        assert pickle.loads(data) is None
    assert pickle.loads(data) is not None


def test_modes_are_pickled():
    x = T.dscalar("x")
    f = pickle.loads(pickle.dumps(function([x], x, mode="NanGuardMode")))
    with pytest.raises(AssertionError, match="NaN"):
        f(np.nan)


# --- copies ------------------------------------------------------------------------------------------------------


def test_copies_share_variables_but_not_states():
    w, step, _ = make()
    step([1, 1, 1])
    twin = step.copy()
    assert twin.name == "step copy" and step.copy(name="other").name == "other"
    assert twin["s"] == 1 and step["s"] == 2
    twin([1, 1, 1])
    np.testing.assert_array_equal(w.get_value(), [3, 3, 3])
    assert twin.program.plan_count == 0  # nothing was compiled again


def test_copies_with_other_shared_variables():
    w, step, _ = make()
    v = theano.shared(np.zeros(3), name="v")
    twin = step.copy(swap={w: v})
    for _ in range(2):
        twin([1, 2, 3])
    assert w.get_value().tolist() == [1, 1, 1] and v.get_value().tolist() == [2, 4, 6]
    assert v in twin and w not in twin and twin.get_shared() == [v]
    with pytest.raises(ValueError, match=r"uses no shared variable v(.|\n)*it uses w"):
        step.copy(swap={v: w})
    with pytest.raises(TypeError, match="w has type"):
        step.copy(swap={w: theano.shared(0.0)})


def test_copies_without_updates():
    w, step, _ = make()
    twin = step.copy(delete_updates=True)
    for _ in range(2):
        assert twin([1, 2, 3])["a"].tolist() == [1, 2, 3]
    assert w.get_value().tolist() == [1, 1, 1] and twin["s"] == 1


def test_shallow_copy_of_a_function():
    w, step, _ = make()
    twin = copy.copy(step)
    assert twin is not step and twin.name == "step" and twin.get_shared() == [w]


def test_free_lets_a_function_go_on():
    _, step, read = make()
    step([1, 2, 3])
    step.free()
    assert step.plans() == [] and step.program.signatures == {}
    assert step([1, 1, 1])["a"].tolist() == [4, 6, 8] and read().tolist() == [3, 4, 5]


# --- files -------------------------------------------------------------------------------------------------------


def test_zip_files_that_numpy_reads(tmp_path):
    first, second = theano.shared(0, name="foo"), theano.shared(1, name="foo")
    numbers = np.arange(4.0)
    path = tmp_path / "model.zip"
    with open(path, "wb") as file:
        dump((first, second, numbers, numbers, "text", theano.shared(2.5, name="pkl")), file)
    with np.load(path) as arrays:
        assert set(arrays.keys()) == {"foo", "foo_2", "array_0", "array_1", "pkl"}
        assert arrays["foo"] == 0 and arrays["foo_2"] == 1 and arrays["array_0"].tolist() == [0, 1, 2, 3]
    with open(path, "rb") as file:
        first, second, one, other, text, last = load(file)
    assert (first.get_value(), second.get_value(), text, last.get_value()) == (0, 1, "text", 2.5)
    assert one is other and one.tolist() == [0, 1, 2, 3]


def test_zip_files_of_functions():
    w, step, read = make()
    file = io.BytesIO()
    dump((w, step), file)
    w2, step2 = load(file)
    step2([1, 2, 3])
    assert w2.get_value().tolist() == [2, 3, 4] and read().tolist() == [1, 1, 1]


def test_strip_pickler_leaves_lines_and_tags_out():
    x = T.dscalar("x")
    x.tag.test_value, x.tag.kept, x.tag.secret = 1.0, 2, 3
    y = T.exp(x)
    y.tag.secret = 4
    file = io.BytesIO()
    StripPickler(file, extra_tag_to_remove="secret").dump((x, y))
    assert os.fsencode(__file__) not in file.getvalue()
    x2, y2 = pickle.loads(file.getvalue())
    assert x2.line is None and y2.owner.line is None and vars(x2.tag) == {"line": None, "kept": 2}
    assert not hasattr(y2.tag, "secret") and function([x2], y2)(0) == 1


def test_pickles_of_older_pythons():
    old = b"\x80\x02U\x03abcq\x01."  # a byte string of Python 2
    assert CompatUnpickler(io.BytesIO(old)).load() == "abc"


def test_function_dump(tmp_path):
    x, w = T.dscalar("x"), theano.shared(1.0)
    path = tmp_path / "call.pkl"
    theano.function_dump(path, [x], x + w, updates=[(w, w * 2)], name="dumped")
    f = function(**pickle.loads(path.read_bytes()))
    assert f(1) == 2 and f(1) == 3 and f.name == "dumped"
