"""What `scan` takes and gives: taps, lengths, directions, updates, closures, nesting; compared with Python loops."""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.scan_module import foldl, foldr, reduce, scan, until
from tracer.scan_module import map as scan_map


def run(outputs, inputs=(), values=(), updates=None):
    return theano.function(list(inputs), outputs, updates=updates, on_unused_input="ignore")(*values)


# --- arguments of the function -----------------------------------------------------------------------------------


def test_arguments_are_sequences_then_outputs_then_non_sequences_in_the_order_of_their_taps():
    x, y, h, k, c = T.dvector("x"), T.dvector("y"), T.dvector("h"), T.dscalar("k"), T.dscalar("c")
    names = []

    def fn(*args):
        names.extend(str(item) for item in args)
        x_p2, x_m1, y_t, h_m1, h_m3, k_m1, const = args
        return [x_p2 + 10 * x_m1 + h_m1 + 100 * h_m3, k_m1 + y_t, const * x_m1]

    (h_all, k_all, m_all), updates = scan(
        fn,
        sequences=[{"input": x, "taps": [2, -1]}, y],
        outputs_info=[{"initial": h, "taps": [-1, -3]}, k, None],
        non_sequences=c,
    )
    assert names == ["x[t+2]", "x[t-1]", "y[t]", "h[t-1]", "h[t-3]", "k[t-1]", "c"]
    assert not updates
    x_, y_, h_ = np.arange(9.0), np.arange(20.0, 40), [1.0, 2.0, 3.0]
    found = run([h_all, k_all, m_all], [x, y, h, k, c], [x_, y_, h_, 5.0, 7.0])
    states, total, wanted = list(h_), 5.0, []
    for t in range(6):  # nine rows, of which taps need one before and two after
        states.append(x_[t + 3] + 10 * x_[t] + states[-1] + 100 * states[-3])
        total += y_[t]
        wanted.append((states[-1], total, 7 * x_[t]))
    np.testing.assert_allclose(found, np.transpose(wanted))


@pytest.mark.parametrize(("taps", "length"), [([0], 5), ([-2], 3), ([3], 2), ([-1, 1], 3), ([1, 0, -3], 1), ([4], 1)])
def test_taps_shorten_a_sequence(taps, length):
    x = T.dvector("x")
    outputs, _ = scan(
        lambda *rows: sum(10.0**place * row for place, row in enumerate(rows)), {"input": x, "taps": taps}
    )
    found = run(outputs, [x], [np.arange(5.0)])
    start = -min(*taps, 0)
    wanted = [sum(10.0**place * (t + tap) for place, tap in enumerate(taps)) for t in range(start, start + length)]
    np.testing.assert_array_equal(found, wanted)


def test_the_shortest_sequence_decides():
    x, y = T.dvector("x"), T.dmatrix("y")
    outputs, _ = scan(lambda a, b: a * b.sum(), [x, y])
    f = theano.function([x, y], outputs)
    assert f(np.ones(7), np.ones((3, 2))).shape == (3,)
    assert f(np.ones(2), np.ones((3, 2))).shape == (2,)


def test_sequences_may_be_shared_variables_arrays_lists_and_ranges():
    shared = theano.shared(np.arange(4.0))
    outputs, _ = scan(
        lambda a, b, c, d: a + 10 * b + 100 * c + 1000 * d, [shared, np.ones(4), [1, 2, 3, 4], T.arange(4)]
    )
    np.testing.assert_array_equal(run(outputs), [110, 1211, 2312, 3413])
    shared.set_value(np.zeros(2))
    np.testing.assert_array_equal(run(outputs), [110, 1210])


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_n_steps_as_a_number_and_as_an_argument(steps):
    n, x = T.lscalar("n"), T.dvector("x")
    for count, inputs, values in ((steps, [], []), (n, [n], [steps])):
        alone, _ = scan(lambda v: v * 2, outputs_info=np.float64(1), n_steps=count)
        rows, _ = scan(lambda row, v: v + row, x, np.float64(1), n_steps=count)
        found = run([alone, rows], [*inputs, x], [*values, np.arange(1.0, 6)])
        np.testing.assert_array_equal(found[0], 2.0 ** np.arange(1, steps + 1))
        np.testing.assert_array_equal(found[1], 1 + np.cumsum(np.arange(1.0, 6))[:steps])


def test_no_steps_give_no_rows_and_leave_state_alone():
    x, state = T.dmatrix("x"), theano.shared(3.0)
    (sums, rows), updates = scan(
        lambda row, s: ([s + row.sum(), row * 2], {state: state + 1}), x, [np.float64(0), None]
    )
    found = run([sums, rows], [x], [np.zeros((0, 3))], updates)
    assert [item.shape for item in found] == [(0,), (0, 3)]
    assert state.get_value() == 3.0


def test_backwards_reads_sequences_from_their_end_and_keeps_outputs_in_the_order_of_steps():
    x = T.dvector("x")
    (seen, sums), _ = scan(lambda row, s: [row, 2 * s + row], x, [None, np.float64(0)], go_backwards=True)
    found = run([seen, sums], [x], [[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(found, [[3, 2, 1], [3, 8, 17]])
    tapped, _ = scan(lambda now, then: now - 10 * then, {"input": x, "taps": [0, 1]}, go_backwards=True, n_steps=2)
    np.testing.assert_array_equal(run(tapped, [x], [np.arange(5.0)]), [3 - 40, 2 - 30])


# --- what the function may return --------------------------------------------------------------------------------


def _forms():
    return {
        "outputs, updates": lambda out, up, stop: (out, up),
        "updates, outputs": lambda out, up, stop: (up, out),
        "outputs, updates, condition": lambda out, up, stop: (out, up, stop),
        "updates, condition, outputs": lambda out, up, stop: (up, stop, out),
        "list of pairs": lambda out, up, stop: (out, list(up.items())),
        "tuple of pairs": lambda out, up, stop: (tuple(out), tuple(up.items()), stop),
        "flat": lambda out, up, stop: (*out, up, stop),
        "ordered": lambda out, up, stop: [out, theano.OrderedUpdates(up)],
    }


@pytest.mark.parametrize("form", _forms())
def test_outputs_updates_and_condition_in_any_order(form):
    count = theano.shared(0)

    def fn(x):
        return _forms()[form]([x + count, x * 2], {count: count + 2}, until(x > 2))

    outputs, updates = scan(fn, T.arange(3.0))
    found = run(outputs, updates=updates)
    np.testing.assert_array_equal(found, [[0, 3, 6], [0, 2, 4]])
    assert count.get_value() == 6


def test_a_single_output_is_no_list_unless_asked_for():
    x = T.dvector("x")
    assert not isinstance(scan(lambda a: a, x)[0], list)
    assert isinstance(scan(lambda a: [a], x, return_list=True)[0], list)
    assert len(scan(lambda a: (a, a), x)[0]) == 2
    assert scan(lambda: {theano.shared(1): T.constant(2)}, n_steps=2)[0] is None


def test_constants_and_closed_over_values_as_outputs():
    x, c = T.dvector("x"), T.dscalar("c")
    (ones, cs, doubled), _ = scan(lambda a: [T.constant(1.5), c, 2 * c], x)
    found = run([ones, cs, doubled], [x, c], [np.zeros(3), 4.0])
    np.testing.assert_array_equal(found, [[1.5] * 3, [4] * 3, [8] * 3])


# --- shared variables and closures -------------------------------------------------------------------------------


def test_updates_are_applied_at_each_step_and_handed_out():
    w, n = theano.shared(np.array([1.0, 2.0])), theano.shared(0, name="n")
    seen, updates = scan(lambda row: ([w.sum() + row], [(w, w * 2), (n, n + 1)]), T.arange(3.0))
    assert list(updates) == [w, n]
    assert isinstance(updates, theano.OrderedUpdates)
    np.testing.assert_array_equal(run(seen), [3, 7, 14])
    np.testing.assert_array_equal(w.get_value(), [1, 2])
    np.testing.assert_array_equal(run(seen, updates=updates), [3, 7, 14])
    np.testing.assert_array_equal(w.get_value(), [8, 16])
    assert n.get_value() == 3


def test_what_is_computed_outside_from_an_updated_variable_changes_with_it():
    s = theano.shared(1.0)
    double = s * 2
    seen, updates = scan(lambda: (double, {s: s + 1}), n_steps=3)
    np.testing.assert_array_equal(run(seen, updates=updates), [2, 4, 6])


def test_all_updates_of_a_step_see_old_values():
    a, b = theano.shared(0), theano.shared(1)
    _, updates = scan(lambda: {a: b, b: a + b}, n_steps=10)
    run([], updates=updates)
    assert (a.get_value(), b.get_value()) == (55, 89)


def test_default_updates_count_as_updates():
    step = theano.shared(1.0)
    step.default_update = step * 2
    total, updates = scan(lambda t: t + step, outputs_info=np.float64(0), n_steps=4)
    assert list(updates) == [step]
    np.testing.assert_array_equal(run(total, updates=updates), [1, 3, 7, 15])
    assert step.get_value() == 16


def test_closures_are_computed_once_outside():
    x, y = T.dvector("x"), T.dmatrix("y")
    z = T.dot(y, y)
    outputs, _ = scan(lambda a: a * z.sum() + y[0, 0], x)
    values = np.arange(3.0), np.arange(4.0).reshape(2, 2)
    f = theano.function([x, y], outputs)
    np.testing.assert_allclose(f(*values), values[0] * (values[1] @ values[1]).sum() + values[1][0, 0])
    (body,) = bodies(f)
    assert "matmul" not in {node.op.name for node in body.nodes()}


def bodies(f):
    """The bodies of the loops in the last program that a function ran."""
    nodes = f.program.last_plan.graph.nodes()
    return [node.params["body"] for node in nodes if node.op.name == "scan"]


def test_strict_wants_shared_variables_to_be_declared():
    w, x = theano.shared(2.0, name="w"), T.dvector("x")
    with pytest.raises(theano.gof.MissingInputError, match=r"w, which is not among its non_sequences(.|\n)*HINT"):
        scan(lambda a: a * w, x, strict=True)
    with pytest.raises(theano.gof.MissingInputError):
        scan(lambda a, z: a * z + w, x, non_sequences=[w * 2], strict=True)
    outputs, _ = scan(lambda a, w: a * w, x, non_sequences=w, strict=True)
    np.testing.assert_array_equal(run(outputs, [x], [[1.0, 2.0]]), [2, 4])
    y = T.dscalar("y")
    closed, _ = scan(lambda a: ([a * y], {w: w + 1}), x, strict=True)
    np.testing.assert_array_equal(run(closed, [x, y], [[1.0, 2.0], 3.0]), [3, 6])


def test_non_sequences_count_as_inputs_even_if_unused():
    x, c = T.dvector("x"), T.dscalar("c")
    outputs, _ = scan(lambda a, c: a + 1, x, non_sequences=c)
    np.testing.assert_array_equal(theano.function([x, c], outputs)([1.0], 2.0), [2])


def test_clone_and_givens_reach_what_a_loop_uses():
    x, c, d = T.dvector("x"), T.dscalar("c"), T.dscalar("d")
    outputs, _ = scan(lambda a: a * c, x)
    replaced = theano.clone(outputs, replace={c: d + 1})
    np.testing.assert_array_equal(run(replaced, [x, d], [[1.0, 2.0], 1.0]), [2, 4])
    given = theano.function([x], outputs, givens={c: np.float64(5)})
    np.testing.assert_array_equal(given([1.0, 2.0]), [5, 10])


def test_expressions_in_a_loop_are_mapped_too():
    x, y = T.dvector("x"), T.dvector("y")
    outer = T.exp(y).sum()
    n = theano.shared(1.0)
    outputs, _ = scan(lambda a, s: ([T.sin(a) * outer + s], {n: T.sin(n)}, until(a > 2)), x, np.float64(0))

    def replaced(variable):
        op = variable.owner.op
        return T.cos(variable.owner.inputs[0]) if op.name == "sin" else variable

    (mapped,) = theano.map_variables(replaced, [outputs])
    values = [0.0, 1.0, 3.0, 1.0], [0.5, 0.2]
    found = run([outputs, mapped], [x, y], values)
    for one, function in zip(found, (np.sin, np.cos), strict=True):
        np.testing.assert_allclose(one, np.cumsum(function([0.0, 1.0, 3.0])) * np.exp(values[1]).sum())


# --- nests, types, forms -----------------------------------------------------------------------------------------


def test_a_loop_in_a_loop():
    x, y = T.dmatrix("x"), T.dscalar("y")

    def row_sums(row, before):
        inner, _ = scan(lambda item, total: total * y + item * before, row, before * 0.5)
        return inner[-1]

    outputs, _ = scan(row_sums, x, np.float64(1))
    values = np.random.default_rng(1).standard_normal((4, 3))
    before, wanted = 1.0, []
    for row in values:
        total = before * 0.5
        for item in row:
            total = total * 0.7 + item * before
        before = total
        wanted.append(before)
    np.testing.assert_allclose(run(outputs, [x, y], [values, 0.7]), wanted)


def test_updates_of_an_inner_loop_reach_the_outer_one():
    n = theano.shared(0)

    def outer(row):
        _, updates = scan(lambda: {n: n + 1}, n_steps=3)
        return [row + n], updates

    outputs, updates = scan(outer, T.arange(4.0))
    np.testing.assert_array_equal(run(outputs, updates=updates), [0, 4, 8, 12])
    assert n.get_value() == 12


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "complex128", "bool"])
def test_dtypes_of_states_stay(dtype):
    x = T.TensorType(dtype, (False,))("x")
    outputs, _ = scan(lambda row, state: state | row if dtype == "bool" else state + row, x, T.zeros_like(x[0]))
    assert outputs.dtype == dtype
    found = run(outputs, [x], [np.array([1, 0, 1], dtype)])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array([1, 1, 1] if dtype == "bool" else [1, 1, 2], dtype))


def test_broadcastable_dimensions_of_rows_are_kept():
    x = T.TensorType("float64", (False, True, False))("x")
    outputs, _ = scan(lambda row: row + np.ones((1, 3)), x)
    assert outputs.broadcastable == (False, True, False)
    assert run(outputs, [x], [np.zeros((2, 1, 3))]).shape == (2, 1, 3)


def test_an_output_may_broadcast_where_its_initial_value_does_not():
    h0, row = T.dmatrix("h0"), T.row("row")
    h, _ = scan(lambda h: T.sum(h, axis=0, keepdims=True) + row, None, h0, n_steps=2)
    assert h.broadcastable == (False, False, False)
    np.testing.assert_array_equal(run(h, [h0, row], [[[1.0, 2.0]], [[1.0, 1.0]]]), [[[2, 3]], [[3, 4]]])


def test_one_function_serves_all_sizes():
    x = T.dmatrix("x")
    outputs, _ = scan(lambda row, state: state + row.mean(), x, np.float64(0))
    f = theano.function([x], outputs[-1])
    for shape in ((3, 2), (5, 7), (1, 1)):
        assert f(np.ones(shape)) == shape[0]


def test_fibonacci_by_taps():
    outputs, _ = scan(
        lambda two, one: two + one, None, {"initial": T.as_tensor_variable([0, 1]), "taps": [-2, -1]}, n_steps=8
    )
    assert run(outputs).tolist() == [1, 2, 3, 5, 8, 13, 21, 34]


def test_more_initial_rows_than_lags_are_cut_at_the_first():
    x = T.dvector("x")
    outputs, _ = scan(lambda two, one: two + one, None, {"initial": x, "taps": [-2, -1]}, n_steps=2)
    np.testing.assert_array_equal(run(outputs, [x], [[1.0, 2.0, 100.0]]), [3, 5])


def test_map_reduce_and_folds():
    x, y = T.dvector("x"), T.dscalar("y")
    doubled, _ = scan_map(lambda a, y: a * y, x, y)
    backwards, _ = scan_map(lambda a: a, x, go_backwards=True)
    (total, product), _ = reduce(lambda a, s, p: [s + a, p * a], x, [np.float64(0), np.float64(1)])
    left, _ = foldl(lambda a, s, y: s * y + a, x, np.float64(0), y)
    right, _ = foldr(lambda a, s, y: s * y + a, x, np.float64(0), y)
    found = run([doubled, backwards, total, product, left, right], [x, y], [[1.0, 2.0, 3.0], 10.0])
    for one, wanted in zip(found, [[10, 20, 30], [3, 2, 1], 6, 6, 123, 321], strict=True):
        np.testing.assert_array_equal(one, wanted)
    np.testing.assert_array_equal(run(theano.map(lambda a, y: a * y, x, y)[0], [x, y], [[1.0, 2.0], 3.0]), [3, 6])
    assert (theano.reduce, theano.foldl, theano.foldr) == (reduce, foldl, foldr)


def test_elements_of_two_sequences_by_foldl():
    a, b = T.dvector("a"), T.dvector("b")
    dot, _ = foldl(lambda x, y, total: total + x * y, [a, b], T.zeros((), dtype="float64"))
    assert run(dot, [a, b], [[1.0, 2.0], [3.0, 4.0]]) == 11


def test_settings_of_an_inner_function_are_taken():
    x = T.dvector("x")
    outputs, _ = scan(lambda a: a + 1, x, mode="FAST_COMPILE", name="plus", profile=True, allow_gc=True)
    assert "plus" in repr(outputs.owner.arguments[0])
    np.testing.assert_array_equal(run(outputs, [x], [[1.0]]), [2])


def test_functions_with_loops_pickle():
    x, w = T.dvector("x"), theano.shared(2.0)
    outputs, updates = scan(lambda a, s: (s * a + w, {w: w + 1}), x, np.float64(1))
    f = pickle.loads(pickle.dumps(theano.function([x], outputs, updates=updates)))
    np.testing.assert_array_equal(f([1.0, 2.0]), [3, 9])
    np.testing.assert_array_equal(f([1.0, 2.0]), [5, 15])
    y, again = pickle.loads(pickle.dumps((x, outputs)))
    np.testing.assert_array_equal(run(again, [y], [[1.0, 2.0]]), [3, 9])


# --- in traced functions -----------------------------------------------------------------------------------------


def test_scan_in_a_traced_function():
    def fn(x, w):
        states, _ = theano.scan(lambda row, h, w: np.tanh(h @ w + row), x, np.zeros(2), w)
        return np.sum(states**2)

    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((6, 2)), rng.standard_normal((2, 2))
    h, wanted = np.zeros(2), 0.0
    for row in x:
        h = np.tanh(h @ w + row)
        wanted += np.sum(h**2)
    np.testing.assert_allclose(tracer_value(fn, x, w), wanted)
    value, gradient = theano.value_and_grad(fn, argnums=1)(x, w)
    np.testing.assert_allclose(value, wanted)
    step = 1e-6 * np.eye(4)[1].reshape(2, 2)
    numeric = (tracer_value(fn, x, w + step) - tracer_value(fn, x, w - step)) / 2e-6
    np.testing.assert_allclose(gradient[0, 1], numeric, rtol=1e-6)


def tracer_value(fn, *args):
    return theano.compile(fn)(*args)


def test_until_in_a_traced_function():
    @theano.compile
    def f(limit):
        values, _ = theano.scan(lambda v: (2 * v, until(2 * v > limit)), None, np.float64(1), n_steps=100)
        return values[-1]

    assert f(45.0) == 64
    assert f(5.0) == 8

    @theano.compile
    def rows(limit):
        return theano.scan(lambda v: (2 * v, until(2 * v > limit)), None, np.float64(1), n_steps=100)[0]

    with pytest.raises(theano.errors.ConcretizationError, match=r"known only after it has run(.|\n)*HINT"):
        rows(np.float64(45.0))


def test_updates_in_a_traced_function_are_refused():
    s = theano.shared(0.0, name="s")

    @theano.compile
    def f(x):
        return theano.scan(lambda a: ([a], {s: s + a}), x)[0]

    with pytest.raises(theano.errors.TraceError, match=r"updates s(.|\n)*HINT"):
        f(np.ones(3))
