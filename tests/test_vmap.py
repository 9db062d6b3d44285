"""`tracer.vmap`: a function of one example, mapped over many."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import tracer
from tracer.graph.graph import Graph
from tracer.graph.node import input_node, make_node
from tracer.graph.op import OPS, Op
from tracer.ops.draws import draw, state_of
from tracer.tracing.control import cond, scan
from tracer.transform.vmap import batch
from tracer.types import ArrayType, TupleType

RNG = np.random.default_rng(7)
X, Y, W = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3))


def loop(function, axes, *args):
    """The function over examples, one by one, with NumPy."""
    count = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    rows = [
        function(*(arg if axis is None else np.take(arg, n, axis) for arg, axis in zip(args, axes, strict=True)))
        for n in range(count)
    ]
    return np.stack(rows)


def check(function, axes, *args):
    mapped = tracer.vmap(function, axes)
    for scale in (1.0, 0.7, 0.7):
        scaled = [scale * arg for arg in args]
        np.testing.assert_allclose(mapped(*scaled), loop(function, axes, *scaled), rtol=1e-12)


# --- axes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 0), (-1, 1)])
def test_in_axes(axes):
    def function(x, y):
        return np.sin(x) * y + np.sum(x)

    def arranged(array, axis):
        return array[0] if axis is None else np.moveaxis(array, 0, axis)

    check(function, axes, *(arranged(array, axis) for array, axis in zip((X, Y), axes, strict=True)))


@pytest.mark.parametrize("out_axis", [0, 1, 2, -1, -2])
def test_out_axes(out_axis):
    mapped = tracer.vmap(lambda x: np.outer(x, x), out_axes=out_axis)
    np.testing.assert_allclose(mapped(X), np.moveaxis(np.stack([np.outer(x, x) for x in X]), 0, out_axis))


class Pair(NamedTuple):
    one: object
    two: object


@dataclass
class Model:
    w: object
    b: object


def test_nests_of_arguments_and_results():
    def function(parameters, pair, model):
        w, (b, c) = parameters["w"], parameters["more"]
        return {"sum": w @ pair.one + b, "pair": Pair(c * pair.two, [model.w + model.b])}

    mapped = tracer.vmap(
        function,
        in_axes=({"more": [None, 0], "w": None}, 0, Model(0, None)),
        out_axes={"sum": 1, "pair": Pair(0, [0])},
    )
    found = mapped({"w": W, "more": [2.0, Y]}, Pair(X, X), Model(X[:, 0], 1.0))
    np.testing.assert_allclose(found["sum"], (X @ W.T + 2.0).T)
    assert type(found["pair"]) is Pair
    np.testing.assert_allclose(found["pair"].one, X * Y)
    np.testing.assert_allclose(found["pair"].two[0], X[:, 0] + 1)


def test_keywords_are_mapped_over_axis_0():
    mapped = tracer.vmap(lambda x, *, scale: x * scale, in_axes=(None,))
    np.testing.assert_array_equal(mapped(X[0], scale=Y[:, 0]), X[0] * Y[:, :1])


def test_settings_are_handed_on():
    def function(x, kind, act=None):
        return act(x) if kind == "act" else x

    assert tracer.vmap(function)(X, "act", act=np.negative).tolist() == (-X).tolist()
    assert tracer.vmap(function)(X, "none").tolist() == X.tolist()


def test_results_that_do_not_depend_on_the_examples():
    mapped = tracer.vmap(lambda x, w: (x, w * 2, 3.0, np.arange(2)), (0, None), (0, None, None, 1))
    for scale in (1.0, 2.0):
        x, twice, number, steps = mapped(X, W * scale)
        assert x.tolist() == X.tolist()
        np.testing.assert_array_equal(twice, 2 * scale * W)
        assert number == 3.0
        np.testing.assert_array_equal(steps, np.arange(2)[:, None].repeat(5, 1))
    assert tracer.vmap(lambda x: 1)(X).tolist() == [1] * 5
    assert tracer.vmap(lambda: np.ones(2), in_axes=None, axis_size=3)().shape == (3, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.complex64, np.bool_])
def test_dtypes_are_numpys(dtype):
    x = (X > 0).astype(dtype)
    found = tracer.vmap(lambda row: (np.sum(row), row[0] * 2.5, row))(x)
    wanted = [np.stack(part) for part in zip(*((np.sum(row), row[0] * 2.5, row) for row in x), strict=True)]
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_no_examples():
    mapped = tracer.vmap(lambda x, w: (np.sum(x), w @ x, np.sort(x), np.linalg.lstsq(w, x)[0]), (0, None))
    assert [part.shape for part in mapped(X[:0], W)] == [(0,), (0, 3), (0, 3), (0, 3)]


# --- errors ------------------------------------------------------------------------------------------------------


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"numbers of examples: 5 in x, 4 in p\['y'\].*\nHINT"):
        tracer.vmap(lambda x, p: x + p["y"])(X, {"y": Y[:4]})
    with pytest.raises(ValueError, match="5 in x, 7 in axis_size"):
        tracer.vmap(lambda x: x, axis_size=7)(X)
    with pytest.raises(ValueError, match="no mapped argument"):
        tracer.vmap(lambda x: x, in_axes=None)(X)


def test_what_is_mapped_needs_the_axis():
    with pytest.raises(TypeError, match=r"maps axis 0 of y, which is a single number \(float\).*\nHINT"):
        tracer.vmap(lambda x, y: x * y)(X, 2.0)
    with pytest.raises(ValueError, match=r"maps axis 2 of x, which is of shape \(5, 3\)"):
        tracer.vmap(lambda x: x, in_axes=2)(X)


def test_axes_must_fit():
    with pytest.raises(ValueError, match=r"in_axes=\(0, 0\).*does not fit the arguments of .*there is a tuple of 1"):
        tracer.vmap(lambda x: x, in_axes=(0, 0))(X)
    with pytest.raises(ValueError, match=r"out_axes=.*does not fit the results"):
        tracer.vmap(lambda x: x, out_axes=(0, 1))(X)
    with pytest.raises(ValueError, match="does not fit the arguments"):
        tracer.vmap(lambda x: x["a"], in_axes=({"b": 0},))({"a": X})
    with pytest.raises(TypeError, match="must be an int, None, or a nest"):
        tracer.vmap(lambda x: x, in_axes=0.5)
    with pytest.raises(TypeError, match="out_axes of vmap"):
        tracer.vmap(lambda x: x, out_axes=("0",))
    with pytest.raises(TypeError, match="vmap needs a function"):
        tracer.vmap(X)
    with pytest.raises(ValueError, match="out_axes=3 of vmap is out of bounds"):
        tracer.vmap(lambda x: x, out_axes=3)(X)
    with pytest.raises(ValueError, match=r"same for all examples, but a float64\[5, 3\] differs.*\nHINT"):
        tracer.vmap(lambda x: x * 2, out_axes=None)(X)


def test_errors_of_the_function_are_numpys():
    with pytest.raises(ValueError, match="could not be broadcast"):
        tracer.vmap(lambda x: x + np.ones(2))(X)
    with pytest.raises(np.linalg.LinAlgError):
        tracer.vmap(np.linalg.inv)(np.zeros((2, 3, 3)))
    with pytest.raises(tracer.errors.ConcretizationError):
        tracer.vmap(lambda x: x if x[0] > 0 else -x)(X)


# --- in place, closures, shared state ----------------------------------------------------------------------------


def test_writing_into_a_mapped_argument_reaches_the_caller():
    def function(x, y):
        x[0] = y[1]
        x[1:] *= 2
        x += np.sum(x)
        view = x[::-1]
        view[0] = 7
        return x.sum()

    for axis in (0, 1):
        args, own = ([np.moveaxis(item, 0, axis).copy() for item in (X, Y)] for _ in range(2))
        found = tracer.vmap(function, axis)(*args)
        wanted = [function(*(np.moveaxis(item, axis, 0)[n] for item in own)) for n in range(5)]
        np.testing.assert_allclose(found, wanted)
        np.testing.assert_allclose(args, own)


def test_writing_the_same_into_all_examples():
    def clear(x):
        x[:] = 1
        return 0

    x = X.copy()
    tracer.vmap(clear)(x)
    assert (x == 1).all()


def test_writing_within_a_trace():
    @tracer.compile
    def outer(x):
        y = x * 2

        def inner(row):
            row[0] = row[1] ** 2
            return row.sum()

        total = tracer.vmap(inner)(y)
        return y, total

    for x in (X, Y):
        y = x * 2
        y[:, 0] = y[:, 1] ** 2
        found = outer(x)
        np.testing.assert_allclose(found[0], y)
        np.testing.assert_allclose(found[1], y.sum(1))


def test_work_arrays_are_made_inside():
    def running(x):
        out = np.zeros(4)
        for i in range(3):
            out[i + 1] = out[i] * 0.5 + x[i]
        return out

    check(running, (0,), X)


def test_writing_into_what_examples_share_is_an_error():
    def function(x, w):
        w[0] = x[0]
        return w.sum()

    w = W[0].copy()
    with pytest.raises(tracer.errors.TraceError, match=r"differ from example to example into w.*\nHINT"):
        tracer.vmap(function, (0, None))(X, w)
    assert w.tolist() == W[0].tolist()

    def same(x, w):
        w[0] = 2.5
        return w.sum() + x[0]

    wanted = w[1:].sum() + 2.5 + X[:, 0]
    np.testing.assert_allclose(tracer.vmap(same, (0, None))(X, w), wanted)
    assert w[0] == 2.5


def test_values_of_one_example_stay_inside():
    kept = []

    @tracer.compile
    def leaking(x):
        tracer.vmap(lambda row: kept.append(row) or row)(x)
        return kept.pop() * 2

    with pytest.raises(tracer.errors.LeakedValueError, match=r"outside of the vmap that made it.*\nHINT"):
        leaking(X)

    @tracer.compile
    def writing(x):
        out = x[0] * 0

        def function(row):
            out[0] = row[0]
            return row

        tracer.vmap(function)(x)
        return out

    with pytest.raises(tracer.errors.LeakedValueError, match="outside of the vmap"):
        writing(X)


def test_closures_are_seen_anew():
    weights, factor = W.copy(), tracer.shared(2.0)
    mapped = tracer.vmap(lambda x: factor * (weights @ x))
    np.testing.assert_allclose(mapped(X), 2 * X @ W.T)
    weights *= 3
    factor.set_value(5.0)
    np.testing.assert_allclose(mapped(X), 15 * X @ W.T)


def test_shared_variables():
    total = tracer.shared(np.zeros(3), name="total")

    def good(x, w):
        total.set(total + w)
        return x * total

    total.set_value(np.ones(3))
    np.testing.assert_allclose(tracer.vmap(good, (0, None))(X, W[0]), X)
    np.testing.assert_allclose(total.get_value(), 1 + W[0])

    def bad(x):
        total.set(total + x)
        return x

    with pytest.raises(tracer.errors.UpdateError, match=r"sets the shared variable total to a value.*\nHINT"):
        tracer.vmap(bad)(X)
    np.testing.assert_allclose(total.get_value(), 1 + W[0])


# --- with other transforms ---------------------------------------------------------------------------------------


def value(w, x):
    return np.sum(np.tanh(w @ x) ** 2)


def test_maps_of_maps():
    table = tracer.vmap(tracer.vmap(value, (None, 0)), (0, None))
    stack = np.stack([W, 2 * W])
    np.testing.assert_allclose(table(stack, X), [[value(w, x) for x in X] for w in stack])


def test_gradients_of_examples():
    per_example = tracer.vmap(tracer.grad(value), (None, 0))
    single = tracer.grad(value)
    for scale in (1.0, 0.5):
        np.testing.assert_allclose(per_example(scale * W, X), [single(scale * W, x) for x in X], rtol=1e-12)


def test_gradient_of_a_map():
    whole = tracer.grad(lambda w, x: np.sum(tracer.vmap(value, (None, 0))(w, x)), argnums=(0, 1))
    one = tracer.grad(value, argnums=(0, 1))
    found = whole(W, X)
    np.testing.assert_allclose(found[0], sum(one(W, x)[0] for x in X))
    np.testing.assert_allclose(found[1], [one(W, x)[1] for x in X])


def test_forward_mode_of_a_map():
    mapped = tracer.vmap(value, (None, 0))
    found = tracer.jvp(mapped, (W, X), (W * 0.1, Y))
    wanted = [tracer.jvp(value, (W, x), (W * 0.1, y)) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(found, np.transpose(wanted))
    columns = tracer.vmap(lambda t: tracer.jvp(lambda x: np.tanh(W @ x), (X[0],), (t,))[1])(np.eye(3))
    np.testing.assert_allclose(columns.T, (1 - np.tanh(W @ X[0]) ** 2)[:, None] * W)


def test_second_derivatives():
    hessian = tracer.vmap(lambda t: tracer.jvp(tracer.grad(lambda x: value(W, x)), (X[0],), (t,))[1])(np.eye(3))
    step = 1e-5
    gradient = tracer.grad(lambda x: value(W, x))
    differences = [(gradient(X[0] + step * e) - gradient(X[0] - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(hessian, differences, atol=1e-8)
    tracer.testing.check_grads(lambda w: tracer.vmap(value, (None, 0))(w, X[:2]), (W,), order=2)


def test_within_compiled_functions():
    @tracer.compile
    def function(w, x):
        rows = tracer.vmap(lambda row: w @ row)(x)
        return rows, tracer.grad(np.sum(np.sin(rows)), w)

    for scale in (1.0, 0.3):
        rows, gradient = function(scale * W, X)
        np.testing.assert_allclose(rows, scale * X @ W.T)
        np.testing.assert_allclose(gradient, np.cos(scale * X @ W.T).T @ X)


def test_a_map_is_remembered():
    def function(x, y):
        return x * y

    assert tracer.vmap(function, (0, None)) is tracer.vmap(function, (0, None))
    assert tracer.vmap(function, (0, None)) is not tracer.vmap(function, (0, 0))
    assert tracer.vmap(function, out_axes=1) is not tracer.vmap(function)
    calls = []
    mapped = tracer.vmap(lambda x: calls.append(1) or x * 2)
    for _ in range(3):
        mapped(X)
    assert len(calls) == 1


def test_it_compiles_to_products_of_matrices():
    def layer(w, b, x):
        return np.tanh(w @ x + b)

    plan = tracer.compile(tracer.vmap(layer, (None, None, 0))).plan(W, W[0], X)
    names = [node.op.name for node in plan.graph.nodes()]
    assert names.count("matmul") == 1
    assert "scan" not in names
    assert next(node for node in plan.graph.nodes() if node.op.name == "matmul").shape in ((5, 3), (3, 5))


# --- graphs ------------------------------------------------------------------------------------------------------


def test_deep_graphs():
    node = x = input_node(ArrayType(np.dtype(float), (3,)))
    for _ in range(5_000):
        node = make_node(OPS["sin"], (node,))
    many = input_node(ArrayType(np.dtype(float), (5, 3)))
    (found,) = batch([node], {x: many}, 5)
    assert found.shape == (5, 3)
    assert len(Graph((many,), (found,)).nodes()) == 5_001


def test_what_does_not_depend_is_none():
    x, y = (input_node(ArrayType(np.dtype(float), (3,))) for _ in range(2))
    many = input_node(ArrayType(np.dtype(float), (5, 3)))
    constant = make_node(OPS["sin"], (y,))
    assert batch([constant, x], {x: many}, 5) == [None, many]


def test_an_op_without_a_rule_is_looped_over():
    kind = ArrayType(np.dtype(float), ())
    op = Op(
        "divided",
        "call",
        lambda types: TupleType((kind, ArrayType(np.dtype(bool), (2,)))),
        lambda x, y: (np.sum(x) / y, np.array([np.sum(x) > 0, y > 0])),
        vjp=lambda position, g, y, *inputs: g[0] / inputs[1] + 0 * inputs[0] if position == 0 else None,
    )
    for axes in ((0, 0), (0, None), (None, 0)):
        args = [array if axis == 0 else array[0] for array, axis in zip((X, Y[:, 0]), axes, strict=True)]
        found = tracer.vmap(op, axes)(*args)
        rows = [op(*(arg if axis is None else arg[n] for arg, axis in zip(args, axes, strict=True))) for n in range(5)]
        for one, other in zip(found, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(one, other)
    gradient = tracer.grad(lambda x, y: np.sum(tracer.vmap(op)(x, y)[0]))(X, Y[:, 0])
    np.testing.assert_allclose(gradient, np.broadcast_to(1 / Y[:, :1], (5, 3)))


# --- control flow ------------------------------------------------------------------------------------------------


def branching(x, w):
    (result,) = cond(np.sum(x) > 0, lambda v: np.sqrt(np.sum(v)) * w, lambda v: np.sqrt(-np.sum(v)) * w * w, [x])
    return result


def plain_branching(x, w):
    return np.sqrt(np.sum(x)) * w if np.sum(x) > 0 else np.sqrt(-np.sum(x)) * w * w


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_examples_take_different_branches(sign):
    x = X if sign == 0 else sign * np.abs(X)
    mapped = tracer.vmap(branching, (0, None))
    np.testing.assert_allclose(mapped(x, W[0]), loop(plain_branching, (0, None), x, W[0]))
    gradient = tracer.grad(lambda x, w: np.sum(mapped(x, w)), argnums=(0, 1))(x, W[0])
    single = tracer.grad(lambda x, w: np.sum(branching(x, w)), argnums=(0, 1))
    ones = [single(row, W[0]) for row in x]
    np.testing.assert_allclose(gradient[0], [one[0] for one in ones])
    np.testing.assert_allclose(gradient[1], sum(one[1] for one in ones))
    np.testing.assert_allclose(tracer.vmap(single, (0, None))(x, W[0])[1], [one[1] for one in ones])


def test_a_branch_for_all_examples():
    mapped = tracer.vmap(lambda p, x: cond(p, np.sin, lambda v: v * 0 + 2, [x])[0], (None, 0))
    for flag in (True, False):
        np.testing.assert_allclose(mapped(np.array(flag), X), np.sin(X) if flag else np.full_like(X, 2))


def test_a_branch_is_not_asked_for_what_it_cannot_do():
    def function(a):
        (result,) = cond(np.sum(a) > 0, np.linalg.inv, lambda m: m, [a])
        return result

    a = np.stack([np.eye(2) * 2, np.zeros((2, 2)), np.eye(2) * 4])
    np.testing.assert_allclose(tracer.vmap(function)(a), [np.eye(2) / 2, np.zeros((2, 2)), np.eye(2) / 4])


def recurrent(x, w):
    made = scan(lambda row, h: ([], [np.tanh(row + w @ h)], [np.sum(h)]), [x], carries=[np.zeros(3)])
    return np.sum(made.carries[0]) + np.sum(made.outputs[0] ** 2)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_loops(axes):
    x, w = RNG.normal(size=(4, 6, 3)), RNG.normal(size=(4, 3, 3))
    args = [array if axis == 0 else array[0] for array, axis in zip((x, w), axes, strict=True)]
    mapped, one = tracer.vmap(recurrent, axes), tracer.grad(recurrent, argnums=(0, 1))
    single = tracer.compile(recurrent)
    rows = [[arg if axis is None else arg[n] for arg, axis in zip(args, axes, strict=True)] for n in range(4)]
    np.testing.assert_allclose(mapped(*args), [single(*row) for row in rows])
    ones = [one(*row) for row in rows]
    whole = tracer.grad(lambda *values: np.sum(mapped(*values)), argnums=(0, 1))(*args)
    for place, axis in enumerate(axes):
        parts = [each[place] for each in ones]
        np.testing.assert_allclose(whole[place], np.stack(parts) if axis == 0 else sum(parts))
        np.testing.assert_allclose(tracer.vmap(one, axes)(*args)[place], parts)


def halving(x, y):
    made = scan(
        lambda v, c: ([v * 0.5], [c + y], [np.sqrt(v)], v < 0.2),
        initials=[x[None]],
        carries=[0.0],
        n_steps=8,
        until=True,
    )
    return made.histories[0], made.carries[0], made.outputs[0], made.count


def test_each_example_stops_for_itself():
    x = np.array([3.0, 0.1, 0.9, 5.0, 0.4])
    found = tracer.vmap(halving, (0, None))(x, np.array(2.0))
    rows = [tracer.compile(halving)(item, np.array(2.0)) for item in x]
    assert len(set(found[3].tolist())) > 2
    for one, other in zip(found, zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(one, other)

    def total(x, y):
        history, carry, output, _ = halving(x * y, y)
        return np.sum(history) * y + carry + np.sum(output)

    single = tracer.grad(total, argnums=(0, 1))
    ones = [single(item, 2.0) for item in x]
    whole = tracer.grad(lambda x, y: np.sum(tracer.vmap(total, (0, None))(x, y)), argnums=(0, 1))(x, np.array(2.0))
    np.testing.assert_allclose(whole[0], [one[0] for one in ones])
    np.testing.assert_allclose(whole[1], sum(one[1] for one in ones))
    per_example = tracer.vmap(single, (0, None))(x, np.array(2.0))
    np.testing.assert_allclose(per_example[1], [one[1] for one in ones])


# --- random numbers ----------------------------------------------------------------------------------------------


def test_draws_give_each_example_its_own():
    rng, start = np.random.default_rng(3), np.random.default_rng(3)
    mapped = tracer.vmap(lambda scale, x: x + rng.normal(0.0, scale, size=2), (0, None))
    for scale in (np.arange(1.0, 4.0), np.ones(3)):
        wanted = start.normal(0.0, scale[:, None], size=(3, 2))
        np.testing.assert_array_equal(mapped(scale, np.zeros(2)), wanted)
    assert rng.bit_generator.state == start.bit_generator.state


def test_draws_without_mapped_parameters_differ_too():
    rng, start = np.random.default_rng(5), np.random.default_rng(5)

    @tracer.compile
    def function(x):
        outside = rng.random(2)
        rows = tracer.vmap(lambda row: row + outside + rng.random(2))(x)
        tables = tracer.vmap(lambda row: tracer.vmap(lambda item: item + rng.random())(row))(x)
        return rows, tables, rng.random()

    for _ in range(2):
        rows, tables, last = function(np.zeros((3, 2)))
        np.testing.assert_allclose(rows, start.random(2) + start.random((3, 2)))
        np.testing.assert_allclose(tables, start.random((3, 2)))
        assert last == start.random()


def test_generators_made_inside_are_those_of_one_example():
    mapped = tracer.vmap(lambda x: x + np.random.default_rng(4).normal(size=3))
    np.testing.assert_allclose(mapped(X), X + np.random.default_rng(4).normal(size=3))


def test_states_draw_in_turn_or_each_for_itself():
    values = np.arange(12).reshape(3, 4)

    @tracer.compile
    def choices(state):
        return tracer.vmap(lambda row: draw("choice", state, row, size=2, count=None, replace=False)[1])(values)

    @tracer.compile
    def normals(state, scale):
        return tracer.vmap(lambda s: draw("normal", state, 0.0, s, size=2)[::-1], out_axes=(0, None))(scale)

    start = np.random.RandomState(5)
    np.testing.assert_array_equal(choices(state_of(start)), [start.choice(row, 2, False) for row in values])
    scale = np.arange(1.0, 4.0)
    sample, after = normals(state_of(start), scale)
    np.testing.assert_array_equal(sample, start.normal(0.0, scale[:, None], size=(3, 2)))
    np.testing.assert_array_equal(after, state_of(start))
    starts = [np.random.RandomState(seed) for seed in range(3)]
    each = tracer.vmap(lambda state: draw("normal", state, 0.0, 1.0, size=2)[1])
    np.testing.assert_array_equal(each(np.stack(list(map(state_of, starts)))), [own.normal(size=2) for own in starts])
