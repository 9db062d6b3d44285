"""`tracer.compile`: what it accepts, what it returns, when it traces again."""

import dataclasses
import functools
from collections import namedtuple

import numpy as np
import pytest
from work import on_threads

import tracer

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


def test_plain_function_gives_numpys_answer_type_and_dtype():
    def f(x, y):
        return np.sin(x) * y + 1, np.sum(x)

    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(2.5)
    got, expected = tracer.compile(f)(x, y), f(x, y)
    assert got[0].dtype == expected[0].dtype == np.float32
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    assert type(got[1]) is type(expected[1])


def test_called_again_with_other_values_of_the_same_type():
    f = tracer.compile(lambda x: np.exp(x) + x[0])
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(5)
        np.testing.assert_allclose(f(x), np.exp(x) + x[0])
    assert f.cache_info().traces == 1
    assert f.cache_info().calls == 3


def test_nested_containers_in_and_out():
    @tracer.compile
    def f(tree, point, layer, nothing):
        assert nothing is None
        return {
            "sum": tree["a"] + tree["b"][0],
            "point": Point(point.y, point.x),
            "layer": Layer(layer.weight * 2, layer.bias),
            "none": None,
            "list": [layer.weight, 3],
        }

    layer = Layer(np.ones((2, 2)), np.zeros(2))
    for _ in range(2):
        out = f({"a": np.ones(3), "b": [np.arange(3.0)]}, Point(np.float64(1), np.float64(2)), layer, None)
        np.testing.assert_array_equal(out["sum"], [1, 2, 3])
        assert isinstance(out["point"], Point) and out["point"].x == 2
        assert isinstance(out["layer"], Layer)
        np.testing.assert_array_equal(out["layer"].weight, 2 * np.ones((2, 2)))
        assert out["none"] is None and out["list"][1] == 3
        assert out["list"][0] is layer.weight


def test_python_scalars_are_static_and_hashables_select_plans():
    @tracer.compile
    def f(x, power, kind="up"):
        total = x
        for _ in range(power):
            total = total * x
        return total if kind == "up" else -total

    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(f(x, 2), x**3)
    np.testing.assert_array_equal(f(x, 3), x**4)
    np.testing.assert_array_equal(f(x, 2, kind="down"), -(x**3))
    np.testing.assert_array_equal(f(x, power=2), x**3)
    assert f.cache_info().traces == 4
    np.testing.assert_array_equal(f(x, 2), x**3)
    assert f.cache_info().traces == 4


def test_one_and_true_and_one_point_zero_are_different_statics():
    f = tracer.compile(lambda x, s: x * s)
    x = np.array([1, 2])
    assert f(x, 1).dtype == np.int64
    assert f(x, 1.0).dtype == np.float64
    assert f(x, True).dtype == np.int64
    assert np.signbit(f(np.array([0.0]), -0.0))[0]
    assert not np.signbit(f(np.array([0.0]), 0.0))[0]


def test_retrace_reasons_are_told(caplog):
    f = tracer.compile(lambda x: x + 1)
    with caplog.at_level("INFO", logger="tracer"):
        f(np.ones(3))
        f(np.ones(4))
        f(np.ones(4, np.float32))
    first, shape, dtype = f.cache_info().reasons
    assert first == "first call"
    assert "argument x" in shape and "3" in shape and "4" in shape
    assert "float32" in dtype
    assert len(caplog.records) == 2
    with caplog.at_level("INFO", logger="tracer"):
        for step in (1, 2):
            mean_of_steps(np.ones(3), step)
    assert "the static int 2" in caplog.messages[-1] and "np.asarray(n)" in caplog.messages[-1]


@tracer.compile
def mean_of_steps(x, step):
    return x / step


def test_methods_static_methods_lambdas_and_partials():
    class Model:
        def __init__(self, scale):
            self.scale = np.array(scale)

        @tracer.compile
        def apply(self, x):
            return x * self.scale

        @staticmethod
        @tracer.compile
        def double(x):
            return x * 2

    one, two = Model(3.0), Model(5.0)
    x = np.arange(3.0)
    np.testing.assert_array_equal(one.apply(x), 3 * x)
    np.testing.assert_array_equal(two.apply(x), 5 * x)
    np.testing.assert_array_equal(one.apply(x), 3 * x)
    np.testing.assert_array_equal(Model.double(x), 2 * x)
    np.testing.assert_array_equal(tracer.compile(lambda v: v - 1)(x), x - 1)
    np.testing.assert_array_equal(tracer.compile(functools.partial(np.add, x))(x), 2 * x)


def test_attributes_that_change_are_seen():
    class Model:
        scale = 2.0

        @tracer.compile
        def apply(self, x):
            return x * self.scale + self.shift

    model = Model()
    model.shift = np.array([1.0, 1.0])
    x = np.ones(2)
    np.testing.assert_array_equal(model.apply(x), [3, 3])
    model.shift[0] = 10
    np.testing.assert_array_equal(model.apply(x), [12, 3])
    model.shift = np.array([0.0, 0.0])
    np.testing.assert_array_equal(model.apply(x), [2, 2])
    model.scale = 5.0
    np.testing.assert_array_equal(model.apply(x), [5, 5])


GLOBAL_RATE = 2.0


def test_closed_over_and_global_values_are_guarded():
    global GLOBAL_RATE
    offset, factor = np.array([1.0, 2.0]), 3

    @tracer.compile
    def f(x):
        return x * GLOBAL_RATE * factor + offset

    x = np.ones(2)
    np.testing.assert_array_equal(f(x), [7, 8])
    offset[:] = 0
    np.testing.assert_array_equal(f(x), [6, 6])
    factor = 1
    np.testing.assert_array_equal(f(x), [2, 2])
    try:
        GLOBAL_RATE = 10.0
        np.testing.assert_array_equal(f(x), [10, 10])
        offset = np.array([5.0, 5.0])
        np.testing.assert_array_equal(f(x), [15, 15])
        assert "offset" in f.cache_info().reasons[-1]
    finally:
        GLOBAL_RATE = 2.0


def test_arrays_made_inside_the_function_are_followed_as_they_are_filled():
    def f(x):
        weights = np.zeros(3)
        total = x + weights
        for i in range(3):
            weights[i] = i + 1.0
            total = total * 2 + weights
        return total

    x = np.ones(3)
    compiled = tracer.compile(f)
    np.testing.assert_array_equal(compiled(x), f(x))
    np.testing.assert_array_equal(compiled(2 * x), f(2 * x))


def test_traced_functions_call_each_other():
    @tracer.compile
    def inner(x):
        return np.tanh(x) ** 2

    @tracer.compile
    def outer(x):
        return np.sum(inner(x) + inner(2 * x))

    x = np.linspace(-1, 1, 7)
    np.testing.assert_allclose(outer(x), np.sum(np.tanh(x) ** 2 + np.tanh(2 * x) ** 2))
    np.testing.assert_allclose(
        tracer.grad(outer)(x), tracer.grad(lambda v: np.sum(np.tanh(v) ** 2 + np.tanh(2 * v) ** 2))(x)
    )


def test_outputs_are_fresh_and_never_overwritten():
    f = tracer.compile(lambda x: x * 2)
    first = f(np.ones(4))
    kept = first.copy()
    for value in range(10):
        f(np.full(4, float(value)))
    np.testing.assert_array_equal(first, kept)
    assert first.flags.writeable and first.flags.owndata


@pytest.mark.parametrize(
    "layout",
    [
        lambda a: a,
        lambda a: np.asfortranarray(a),
        lambda a: a.T,
        lambda a: a[::-1, ::2],
        lambda a: np.broadcast_to(a[:1], (5, a.shape[1])),
        lambda a: a[:0],
    ],
    ids=["C", "F", "transposed", "strided", "broadcast", "empty"],
)
def test_memory_layouts(layout):
    x = layout(np.arange(24.0).reshape(4, 6))
    f = tracer.compile(lambda v: (np.sqrt(v + 1), v.sum(axis=0), v.reshape(-1)))
    for _ in range(2):
        got = f(x)
        np.testing.assert_allclose(got[0], np.sqrt(x + 1))
        np.testing.assert_allclose(got[1], x.sum(axis=0))
        np.testing.assert_allclose(got[2], x.reshape(-1))


def test_unaligned_and_foreign_byte_order():
    raw = np.zeros(25, np.uint8)[1:].view(np.float64)
    raw[:] = [1, 2, 3]
    np.testing.assert_array_equal(tracer.compile(lambda v: v * 2)(raw), [2, 4, 6])
    with pytest.raises(TypeError, match="HINT"):
        tracer.compile(lambda v: v * 2)(np.ones(3, ">f8"))


def test_in_place_changes_of_an_argument_reach_the_caller_after_success():
    @tracer.compile
    def f(a, b):
        a += b
        a[0] = 100.0
        return a.sum()

    a, b = np.arange(3.0), np.ones(3)
    assert f(a, b) == 105
    np.testing.assert_array_equal(a, [100, 2, 3])
    assert f(a, b) == 107


def test_views_write_through_to_their_base():
    def f(x):
        a = x * 1.0
        row = a[1]
        row[:2] = 7.0
        a.T[2] += 1.0
        flat = a.reshape(-1)
        flat[0] = -1.0
        return a, row

    x = np.arange(9.0).reshape(3, 3)
    for got, expected in zip(tracer.compile(f)(x), f(x), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_several_threads_at_once():
    f = tracer.compile(tracer.value_and_grad(lambda x: np.sum(np.tanh(x) ** 2)))
    failures = []

    def work(seed):
        random = np.random.default_rng(seed)
        for size in (3, 50, 2000):
            for _ in range(20):
                x = random.standard_normal(size)
                value, gradient = f(x)
                if not (
                    np.isclose(value, np.sum(np.tanh(x) ** 2))
                    and np.allclose(gradient, 2 * np.tanh(x) / np.cosh(x) ** 2)
                ):
                    failures.append(size)

    on_threads(work)
    assert not failures


def test_reference_backend_and_check_mode_agree():
    def f(x, y):
        return np.log(1 + np.exp(x)) @ y

    x, y = np.linspace(-3, 3, 12).reshape(3, 4), np.arange(4.0)
    expected = f(x, y)
    np.testing.assert_allclose(tracer.compile(f, backend="reference")(x, y), expected)
    checked = tracer.compile(f, mode="check")
    np.testing.assert_allclose(checked(x, y), expected)
    np.testing.assert_allclose(checked(x, y), expected)


def test_check_mode_finds_a_difference():
    calls = []

    def impure(x):
        calls.append(1)
        return x * len(calls)

    with pytest.raises(tracer.errors.MismatchError, match="plain function"):
        tracer.compile(impure, mode="check")(np.ones(2))


def test_options_are_checked():
    with pytest.raises(ValueError, match="backend"):
        tracer.compile(lambda x: x, backend="tpu")
    with pytest.raises(ValueError, match="mode"):
        tracer.compile(lambda x: x, mode="turbo")
    with pytest.raises(TypeError, match="function"):
        tracer.compile(3)
    with pytest.raises(AttributeError, match="threads"):
        tracer.config.thread = 2
    with pytest.raises(ValueError, match="threads"):
        tracer.config.threads = 0


def test_old_signatures_are_forgotten():
    f = tracer.compile(lambda x, power: x + power)
    for power in range(300):
        assert f(np.float64(1.0), power) == 1.0 + power
    assert f.cache_info().plans <= 256
    assert f(np.float64(1.0), 0) == 1.0


def test_cache_clear_traces_again():
    f = tracer.compile(lambda x: x + 1)
    f(np.ones(2))
    f.cache_clear()
    f(np.ones(2))
    assert f.cache_info().traces == 2
    assert f.cache_info().plans == 1


def test_symbolic_arguments_give_an_expression():
    scale = tracer.shared(np.array([1.0, 10.0]), name="scale")
    f = tracer.compile(lambda x: np.sum(scale * x**2))
    x = tracer.tensor.dvector("x")
    g = tracer.function([x], [f(x), tracer.grad(f(x), x)])
    value, gradient = g(np.array([2.0, 3.0]))
    assert value == f(np.array([2.0, 3.0])) == 94
    np.testing.assert_array_equal(gradient, [4, 60])
