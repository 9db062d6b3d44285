"""Symbolic variables: recording calls, their types, replaying them at known sizes, and what they refuse."""

import math
import pickle

import numpy as np
import pytest

import tracer
import tracer.tensor
from tracer.symbolic.program import SymbolicProgram
from tracer.tracing.recording import deferred, operation_of
from tracer.tracing.replay import ancestors, applies, closure, leaves_of, replay, static, substitute
from tracer.tracing.shared import SharedSize
from tracer.tracing.symbolic import Constant, Symbolic, Variable, as_variable
from tracer.tracing.symbolic_type import TensorType


def matrix(name=None, dtype="float64"):
    return TensorType(dtype, (False, False))(name)


def vector(name=None, dtype="float64"):
    return TensorType(dtype, (False,))(name)


def scalar(name=None, dtype="float64"):
    return TensorType(dtype, ())(name)


def run(outputs, **values):
    """Values of expressions; inputs are found by name."""
    inputs = [item for item in leaves_of(outputs) if type(item) is Variable]
    arrays = [item.type.filter(values[item.name]) for item in inputs]
    return SymbolicProgram(inputs, outputs, {}, "test")(*arrays)


# --- recording -------------------------------------------------------------------------------------------------------


def test_numpy_calls_on_variables_are_recorded_with_their_types():
    x, v, n = matrix("x"), vector("v", "float32"), scalar("n", "int32")
    cases = [
        (np.exp(x), "float64", 2),
        (x @ v, "float64", 1),
        (np.sum(x, axis=0), "float64", 1),
        (v * 2.5, "float32", 1),
        (v * n, "float64", 1),
        (n / n, "float64", 0),
        (x > v, "bool", 2),
        (np.concatenate([x, x], axis=1), "float64", 2),
        (2 - v, "float32", 1),
        (-n, "int32", 0),
        (x.shape, "int64", 1),
        (x.shape[0], "int64", 0),
        (x[0], "float64", 1),
        (x[:, None], "float64", 3),
        (abs(v) ** 2, "float32", 1),
    ]
    for variable, dtype, ndim in cases:
        assert (variable.dtype, variable.ndim) == (dtype, ndim), variable
    assert np.exp(x).owner.op is operation_of(np.exp)
    assert np.exp(x).owner.inputs == [x]


def test_a_size_of_one_is_part_of_the_type():
    row = TensorType("float64", (True, False))("row")
    assert (row * 2).broadcastable == (True, False)
    assert (row + matrix()).broadcastable == (False, False)
    assert np.sum(matrix(), axis=1, keepdims=True).broadcastable == (False, True)
    assert as_variable(np.ones((1, 3))).broadcastable == (True, False)


def test_constants_keep_python_numbers_weak():
    v = vector("v", "float32")
    assert (v + as_variable(2.0)).dtype == "float32"
    assert (v + as_variable(np.float64(2.0))).dtype == "float64"
    assert isinstance((v + 1).owner.inputs[1], Constant)


def test_names_and_texts():
    x = scalar("x")
    y = scalar()
    assert str(x) == "x"
    assert str(y) == "<TensorType(float64, scalar)>"
    assert str(x + y) == "Elemwise{add,no_inplace}.0"
    assert str(as_variable(3)) == "TensorConstant{3}"
    assert (x + y).line.file == __file__
    with pytest.raises(TypeError, match="name"):
        scalar(3)


def test_wrong_types_are_refused_where_they_are_written():
    with pytest.raises(ValueError, match="matmul") as error:
        np.matmul(vector("v"), scalar("s"))
    assert __file__ in "".join(error.value.__notes__)
    with pytest.raises(TypeError):
        matrix() + "text"


# --- running ---------------------------------------------------------------------------------------------------------


def test_one_expression_serves_every_shape():
    x, w = matrix("x"), vector("w")
    program = SymbolicProgram([x, w], [np.tanh(x @ w) / x.shape[0], x.shape], {}, "f")
    random = np.random.default_rng(0)
    for shape in [(2, 3), (5, 4), (1, 1), (0, 2), (2, 3)]:
        a, b = random.standard_normal(shape), random.standard_normal(shape[1])
        value, found = program(a, b)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(value, np.tanh(a @ b) / shape[0], rtol=1e-12)
        np.testing.assert_array_equal(found, shape)
    assert program.plan_count == 4


def test_unknown_sizes_of_one_broadcast_as_in_numpy():
    x, y = matrix("x"), matrix("y")
    (found,) = run([x + y], x=np.ones((1, 3)), y=np.ones((2, 1)))
    assert found.shape == (2, 3)


def test_slices_by_a_symbolic_index_need_one_plan():
    data = tracer.shared(np.arange(30.0).reshape(10, 3), name="data")
    i = scalar("i", "int64")
    program = SymbolicProgram([i], [data[i * 2 : (i + 1) * 2]], {}, "batch")
    for number in range(5):
        np.testing.assert_array_equal(program(np.array(number))[0], data.get_value()[2 * number : 2 * number + 2])
    assert program.plan_count == 1
    assert program(np.array(7))[0].shape == (0, 3)
    assert program.plan_count == 2


@pytest.mark.parametrize("start", [None, -7, -2, 0, 3, 9, 20])
@pytest.mark.parametrize("stop", [None, -6, -1, 0, 4, 30])
@pytest.mark.parametrize("step", [None, 1, 3, -1, -2])
def test_symbolic_bounds_follow_numpy(start, stop, step):
    x, a, b = matrix("x"), scalar("a", "int64"), scalar("b", "int64")
    value = np.arange(24.0).reshape(8, 3)
    key = slice(None if start is None else a, None if stop is None else b, step)
    (found,) = run([x[key] * 1], x=value, a=start or 0, b=stop or 0)
    np.testing.assert_array_equal(found, value[start:stop:step])
    (found,) = run([x.T[:, key][1] * 1], x=value, a=start or 0, b=stop or 0)
    np.testing.assert_array_equal(found, value.T[:, start:stop:step][1])


def test_masks_and_index_arrays():
    x, i = matrix("x"), vector("i", "int64")
    value = np.arange(12.0).reshape(4, 3)
    rows, selected, mixed = run([x[i], x[x > 4], x[i, 1:]], x=value, i=[2, 0, -1])
    np.testing.assert_array_equal(rows, value[[2, 0, -1]])
    np.testing.assert_array_equal(selected, value[value > 4])
    np.testing.assert_array_equal(mixed, value[[2, 0, -1], 1:])


def test_a_number_that_must_be_static_makes_a_plan_of_its_own():
    @deferred(infer=lambda n: TensorType("int64", (False,)))
    def count(n):
        return np.arange(int(static(n)))

    n = scalar("n", "int64")
    program = SymbolicProgram([n], [np.sum(count(n) * n)], {}, "sum")
    assert [int(program(np.array(k))[0]) for k in (3, 4, 3, 4, 5)] == [9, 24, 9, 24, 50]
    assert program.plan_count == 3


def test_plans_for_static_numbers_are_not_kept_for_ever():
    @deferred(infer=lambda n: TensorType("int64", (False,)))
    def count(n):
        return np.arange(int(static(n)))

    n, x = scalar("n", "int64"), vector("x", "int64")
    # What is asked second depends on the first answer, so that every n has questions of its own.
    program = SymbolicProgram([n, x], [np.sum(count(np.sum(count(n)) + x[0]))], {}, "sum")
    for k in range(30):
        for start in range(10):
            size = k * (k - 1) // 2 + start
            assert program(np.array(k), np.array([start]))[0] == size * (size - 1) // 2
    (signature,) = program.signatures.values()
    assert sum(map(len, signature.plans.values())) == 256
    assert len(signature.questions) == len(signature.plans) <= 30


def test_static_numbers_are_told_apart_by_their_bits():
    @deferred(infer=lambda x: TensorType("float64", ()))
    def sign(x):
        return np.full((), np.copysign(1.0, float(static(x))))

    x = scalar("x")
    program = SymbolicProgram([x], [sign(x) * 1], {}, "sign")
    assert [float(program(np.array(value))[0]) for value in (0.0, -0.0, np.nan, 0.0, np.nan)] == [1, -1, 1, 1, 1]
    assert program.plan_count == 3
    assert [float(program.run(np.array(value))[0]) for value in (0.0, -0.0)] == [1, -1]


def test_shapes_that_fail_leave_nothing_behind():
    x, y = vector("x"), vector("y")
    program = SymbolicProgram([x, y], [x @ y], {}, "product")
    for size in range(3):
        with pytest.raises(ValueError):
            program(np.ones(size), np.ones(size + 1))
    assert program.signatures == {}


def test_a_program_may_be_compiled_while_something_else_is_traced():
    a, b = tracer.shared(2.0, name="a"), tracer.shared(np.ones(3), name="b")
    x = vector("x")
    program = SymbolicProgram([x], [x * a + b + np.arange(3.0)], {a: a + 1}, "f")

    @tracer.compile
    def outer(v):
        return v + program(np.ones(3))[0]

    np.testing.assert_array_equal(outer(np.zeros(3)), [3, 4, 5])
    assert a.get_value() == 3


def test_updates_see_old_values_and_a_failed_call_changes_nothing():
    a, b = tracer.shared(1.0, name="a"), tracer.shared(np.arange(3.0), name="b")
    i = scalar("i", "int64")
    program = SymbolicProgram([i], [b[i]], {a: a + b[0] + 1, b: b * a}, "step")
    program(np.array(1))
    assert a.get_value() == 2
    np.testing.assert_array_equal(b.get_value(), [0, 1, 2])
    with pytest.raises(IndexError) as error:
        program(np.array(5))
    assert __file__ in "".join(error.value.__notes__)
    assert a.get_value() == 2
    np.testing.assert_array_equal(b.get_value(), [0, 1, 2])


def test_results_are_no_ones_memory():
    w = tracer.shared(np.ones(3), name="w")
    x = vector("x")
    program = SymbolicProgram([x], [w, x, w], {w: x}, "f")
    argument = np.zeros(3)
    one, two, three = program(argument)
    for result in (one, two, three):
        result += 5
    np.testing.assert_array_equal(w.get_value(), [0, 0, 0])
    np.testing.assert_array_equal(argument, [0, 0, 0])


# --- walking ---------------------------------------------------------------------------------------------------------


def test_walking_and_substituting():
    x, y = scalar("x"), scalar("y")
    z = x * y
    out = np.exp(z) + z
    assert [node.op.name for node in applies([out])] == ["mul", "exp", "add"]
    assert leaves_of([out]) == [x, y]
    assert ancestors([out])[:3] == [x, y, z]
    (other,) = substitute([out], {z: x + 1})
    assert run([other], x=2.0)[0] == pytest.approx(math.exp(3) + 3)
    assert run([out], x=2.0, y=0.5)[0] == pytest.approx(math.e + 1)
    assert substitute([out], {})[0] is out


def test_closure_finds_the_nearest_outer_variables():
    x, inner = scalar("x"), scalar("inner")
    outer = np.sin(x)
    assert closure([inner * outer + 1], [inner]) == [outer]
    assert closure([outer, inner * 2], [inner]) == [outer]


def test_deep_expressions_do_not_recurse():
    x = scalar("x")
    y = x
    for _ in range(3000):
        y = y + 1
    assert run([y], x=0.0)[0] == 3000


def test_replay_computes_on_arrays_too():
    x = vector("x")
    (found,) = replay([np.cumsum(x) * 2], {x: np.arange(3)})
    np.testing.assert_array_equal(found, [0, 2, 6])


def test_expressions_pickle():
    x = vector("x")
    y = pickle.loads(pickle.dumps(np.sum(np.exp(x)[1:] * 2)))
    (leaf,) = [item for item in leaves_of([y]) if not item.is_constant]
    assert leaf.name == "x"
    np.testing.assert_allclose(run([y], x=[0.0, 1.0, 2.0]), [2 * (math.e + math.e**2)], rtol=1e-12)


# --- shared variables ------------------------------------------------------------------------------------------------


def test_a_shared_variable_is_symbolic_outside_and_traced_inside_a_trace():
    w = tracer.shared(np.arange(3.0), name="w")
    assert isinstance(w * 2, Variable)
    assert isinstance(w, Symbolic)
    assert w.type == TensorType("float64", (False,))
    assert (w == w) is True
    assert {w: 1}[w] == 1
    assert run([np.sum(w * 2)])[0] == 6
    np.testing.assert_array_equal(tracer.compile(lambda x: w * x)(np.ones(3)), [0, 1, 2])
    np.testing.assert_array_equal(tracer.compile(lambda x: w == x)(np.ones(3)), [False, True, False])


def test_an_expression_of_shared_variables_can_be_used_in_a_trace():
    w = tracer.shared(np.arange(3.0), name="w")
    doubled = w * 2
    f = tracer.compile(lambda x: doubled + x)
    np.testing.assert_array_equal(f(np.ones(3)), [1, 3, 5])
    w.set_value(np.ones(3))
    np.testing.assert_array_equal(f(np.ones(3)), [3, 3, 3])


def test_the_shape_of_a_shared_value_is_numbers_that_follow_it():
    data = tracer.shared(np.zeros((4, 3)), name="data")
    assert data.shape == (4, 3)
    assert list(data.shape) == [4, 3]
    assert np.zeros(data.shape).shape == (4, 3)
    half = data.shape[0] // 2
    assert isinstance(half, int)
    assert isinstance(half, SharedSize)
    assert half == 2
    x = scalar("x")
    program = SymbolicProgram([x], [x * data.shape[0], x + half, x + (1 + half) * 2 - 1], {}, "f")
    assert [float(item) for item in program(np.array(2.0))] == [8, 4, 7]
    data.set_value(np.zeros((10, 3)))
    assert [float(item) for item in program(np.array(2.0))] == [20, 7, 13]


def test_in_place_code_on_a_shared_variable():
    w = tracer.shared(np.ones(3), name="w")
    v = w
    v += 1  # binds another name, outside of traces
    assert isinstance(v, Variable)
    with pytest.raises(tracer.errors.UpdateError, match="in place"):
        w[0] = 3


# --- what is refused -------------------------------------------------------------------------------------------------


def test_truth_values():
    x = scalar("x")
    assert bool(x)
    assert bool(x + 1)
    assert bool(tracer.shared(0.0))
    with pytest.raises(TypeError, match=r"T\.switch"):
        bool(x > 0)
    assert (x == scalar("x")) is False


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (float, "x.eval"),
        (int, "x.eval"),
        (math.sqrt, "T.sqrt"),
        (np.asarray, "np.asarray"),
        (range, "Python index"),
        (lambda x: [1, 2][x], "Python index"),
        (len, "shape"),
        (list, "shape"),
        (lambda x: x.__setitem__(0, 1.0), "set_subtensor"),
        (lambda x: 1 in x, "number"),
    ],
)
def test_numbers_of_symbolic_variables_are_refused_with_a_hint(act, words):
    with pytest.raises(TypeError, match=words) as error:
        act(vector("x"))
    assert "HINT" in str(error.value)


def test_traced_values_do_not_mix_with_symbolic_ones():
    x = vector("x")
    with pytest.raises(TypeError, match=r"has no value|symbolic"):
        tracer.compile(lambda a: a + x)(np.ones(3))


@pytest.mark.parametrize(
    ("dtype", "pattern", "value", "words"),
    [
        ("float64", (), [1.0, 2.0], "dimensions"),
        ("float64", (True, False), np.ones((2, 2)), "size 1"),
        ("float32", (), np.array(1.0), "loss of precision"),
        ("int64", (), 1.5, "loss of precision"),
        ("int8", (), 300, "loss of precision"),
        ("float64", (), "text", "cannot hold"),
        ("float64", (), None, "cannot hold"),
        ("float64", (), 1j, "loss of precision"),
    ],
)
def test_values_that_do_not_fit_a_type(dtype, pattern, value, words):
    with pytest.raises(TypeError, match=words) as error:
        TensorType(dtype, pattern).filter(value)
    assert "HINT" in str(error.value)


def test_values_that_fit_a_type():
    double, single = TensorType("float64", ()), TensorType("float32", ())
    assert double.filter(3).dtype == np.float64
    assert double.filter(np.float32(3)).dtype == np.float64
    assert single.filter(0.5).dtype == np.float32
    assert single.filter(np.array(0.1), allow_downcast=True).dtype == np.float32
    assert TensorType("int8", ()).filter(100).dtype == np.int8
    array = np.array(1.0)
    assert double.filter(array, strict=True) is array
    with pytest.raises(TypeError, match="strict"):
        double.filter(1.0, strict=True)
    with tracer.config.changed(floatX="float32"):
        assert single.filter(0.1).dtype == np.float32
        assert TensorType("floatX", ()).dtype == "float32"


def test_arguments_that_must_be_copied_are_taken_at_every_call():
    x = vector("x")
    f = tracer.function([x], x * 2)
    records = np.zeros(4, dtype=[("value", "f8"), ("flag", "i4")])
    for start in range(3):
        records["value"] = np.arange(4.0) + start  # 12 bytes from one to the next: not whole elements
        np.testing.assert_array_equal(f(records["value"]), 2 * (np.arange(4.0) + start))
