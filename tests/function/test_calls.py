"""What compiled functions take and give: arguments, defaults, states, outputs, and the errors of calls."""

import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.symbolic import inputs as function_inputs
from tracer.symbolic.inputs import In, MissingInputError, Out, UnusedInputError
from tracer.tensor.shared_randomstreams import RandomStreams


def scalars(names):
    return T.dscalars(*names)


def equal(found, expected):
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, expected, strict=True)


# --- inputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [lambda x: x, lambda x: {x}, lambda x: None])
def test_inputs_must_be_a_list(bad):
    x = T.dscalar("x")
    with pytest.raises(TypeError, match="must be in a list, even when there is a single one"):
        function(bad(x), x)


def test_inputs_that_cannot_be():
    x, w = T.dscalar("x"), theano.shared(1.0, name="w")
    with pytest.raises(TypeError, match=r"the shared variable w cannot be an input(.|\n)*givens="):
        function([w], w * 2)
    with pytest.raises(TypeError, match="constant"):
        function([T.constant(2.0)], x)
    with pytest.raises(UnusedInputError, match="x is listed twice among the inputs, at positions 0 and 2"):
        function([x, T.dscalar("y"), x], x)
    with pytest.raises(TypeError, match="must be a symbolic variable, not 3"):
        function([3], x)


def test_unused_inputs():
    x, y = scalars("xy")
    with pytest.raises(UnusedInputError, match=r"input y at position 1 is not used(.|\n)*on_unused_input='warn'"):
        function([x, y], x)
    with pytest.warns(UserWarning, match="input y at position 1") as caught:
        f = function([x, y], x, on_unused_input="warn")
    assert caught[0].filename == __file__
    assert f(1, None) == function([x, y], x, on_unused_input="ignore")(1, 2) == 1
    with theano.config.changed(on_unused_input="ignore"):
        function([x, y], x)
    with pytest.raises(TypeError, match="cannot hold a NoneType"):
        function([x], x)(None)
    with pytest.raises(ValueError, match="must be 'raise', 'warn' or 'ignore', not 'shout'"):
        function([x], x, on_unused_input="shout")


def test_an_input_may_be_an_expression():
    x = T.dscalar("x")
    y = x * 2
    assert function([y], y + 1)(5) == 6
    with pytest.raises(UnusedInputError):
        function([x, y], y + 1)


def test_missing_inputs():
    x, y = scalars("xy")
    with pytest.raises(MissingInputError, match=r"depend on y(.|\n)*HINT: function\(\[..., y\]"):
        function([x], x + y)


def test_in_checks_itself():
    x = T.dscalar("x")
    with pytest.raises(TypeError, match="has no value"):
        In(x, implicit=True)
    with pytest.raises(TypeError, match="must be a string"):
        In(x, name=3)
    with pytest.raises(TypeError, match="has type TensorType"):
        In(x, value=1.0, update=T.dvector())
    with pytest.raises(AssertionError, match="mutable"):
        In(x, mutable=True, borrow=False)
    with pytest.raises(TypeError, match="must be a symbolic variable"):
        In(2.0)
    declared = In(x, value=0.0, update=x + 1)
    assert declared.mutable and declared.borrow and not declared.implicit and declared.name == "x"
    assert In(x, autoname=False).name is None and str(In(x)) == "In(x)" and "->" in str(declared)


def test_short_forms_of_inputs():
    x, y = scalars("xy")
    f = function([("first", x), (y, 10.0)], x + y)
    assert f(1) == 11 and f(first=2, y=1) == 3
    f = function([((x, x + 1), 0.0)], x)
    assert [float(f()) for _ in range(3)] == [0, 1, 2]
    f = function([("n", (x, x + 1), 5.0), ("m", y, 1.0)], x * y)
    assert f() == 5 and f(m=2) == 12 and f["n"] == 7
    for bad in [(x, 1, 2, 3), ((x, y, x), 1)]:
        with pytest.raises(TypeError, match="is not an input"):
            function([bad], x)


def test_param_is_an_older_name():
    x, y, w = scalars("xyw")
    with pytest.warns(DeprecationWarning, match="In\\(variable, value=default\\)"):
        f = function([x, theano.Param(y, default=1), theano.Param(w, default=2, name="w_by_name")], (x + y) * w)
    equal(f(33), np.array(68.0))
    equal(f(33, 2), np.array(70.0))
    equal(f(33, 0, 1), np.array(33.0))
    equal(f(33, w_by_name=1), np.array(34.0))
    equal(f(33, w_by_name=1, y=0), np.array(33.0))


# --- arguments ---------------------------------------------------------------------------------------------------


def test_by_position_and_by_name():
    x, y, z = scalars("xyz")
    f = function([x, y, z], x + 10 * y + 100 * z)
    for _ in range(2):  # the second time native code answers
        assert f(1, 2, 3) == f(1, 2, z=3) == f(1, z=3, y=2) == f(z=3, y=2, x=1) == 321
    assert f(1, 2, z=3) == 321 and f.hits >= 3


def test_default_and_given_values():
    x, y = scalars("xy")
    f = function([x, In(y, value=1)], x + y)
    for _ in range(2):
        equal(f(33), np.array(34.0))
        equal(f(33, 2), np.array(35.0))
        equal(f(33, y=0), np.array(33.0))
    equal(f(33), np.array(34.0))  # the default is back


def test_a_default_that_was_set_holds_for_one_call():
    x, y = scalars("xy")
    f = function([x, In(y, value=1)], x + y)
    assert f(0) == f(0) == 1
    f[y] = 5
    assert f["y"] == 5
    assert f(0) == 5 and f(0) == f(0) == 1
    f["y"] = 7
    with pytest.raises(TypeError):
        f("no number")
    assert f(0) == 1
    f["y"] = 7
    assert f(0, 2) == 2 and f(0) == 1


def test_states():
    x, total = scalars(("x", "total"))
    f = function([x, In(total, value=0.0, update=total + x)], total)
    assert [float(f(2)) for _ in range(4)] == [0, 2, 4, 6]
    assert f[total] == f["total"] == f[1] == 8
    assert f(1, 100) == 100 and f[total] == 101  # a passed value replaces the state
    assert f(1, total=50) == 50 and f[total] == 51
    f[total] = -1
    assert f(5) == -1 and f[total] == 4


def test_a_state_without_an_initial_value():
    n = T.lscalar("n")
    f = function([In(n, update=n + 1)], n)
    with pytest.raises(TypeError, match="missing required input"):
        f()
    assert f(3) == 3 and f() == 4 and f() == 5


def test_a_state_may_be_that_of_another_function():
    x, s = scalars("xs")
    inc = function([x, In(s, value=10.0, update=s + x)], [])
    dec = function([x, In(s, value=inc.container[s], update=s - x)], [])
    assert dec[s] == 10
    inc(2)
    assert dec[s] == inc[s] == 12
    assert dec(3) == [] and dec[s] == inc[s] == 9
    with pytest.raises(TypeError, match=r"implicit input s(.|\n)*f\['s'\] = value"):
        dec(3, 5)
    with pytest.raises(TypeError, match="implicit input s"):
        dec(3, s=5)


def test_a_shared_variable_as_the_value_of_an_input():
    x, y = scalars("xy")
    w = theano.shared(2.0, name="w")
    f = function([x, In(y, value=w, update=y * x)], y)
    assert f(3) == 2 and w.get_value() == 6 and f(3) == 6
    w.set_value(1.0)
    assert f(5) == 1 and f["y"] == 5


def test_values_and_containers():
    x, y = scalars("xy")
    w = theano.shared(7.0, name="w")
    f = function([x, In(y, value=1.0)], x + y + w)
    assert f.value["y"] == f.value[y] == f.value[1] == 1 and f["w"] == f[w] == f[2] == 7
    assert "y" in f and x in f and w in f and 2 in f and "q" not in f and 3 not in f
    assert "y" in f.value and len(f.value) == len(list(f.value))
    assert f.container["y"].value == 1 and f.container[w].value == 7
    f[w] = 8.0
    assert w.get_value() == 8
    f.container["w"].value = 9.0
    assert w.get_value() == 9
    f.container["y"].storage[0] = np.array(4.0)
    assert f(0) == 13
    with pytest.raises(TypeError, match=r"unknown input or state: q(.|\n)*2 named inputs \(x, y\)"):
        f["q"] = 3
    with pytest.raises(TypeError, match="unknown input or state"):
        f["q"]
    assert f.defaults[0][:2] == (True, False) and f.defaults[1][:2] == (False, True)
    assert f.defaults[1][2] == 1
    assert repr(function_inputs.Container(T.dscalar, 1.0)) == "<array(1.)>"


def test_ambiguous_names():
    x, other = T.dscalar("x"), T.dscalar("x")
    f = function([x, other], x - other)
    assert f(3, 1) == 2
    with pytest.raises(TypeError, match="ambiguous name: x"):
        f(3, x=1)
    with pytest.raises(TypeError, match="ambiguous name"):
        f["x"]
    g = function([x, In(other, name="y", value=1.0)], x - other)
    assert g(3) == 2 and g["y"] == g[other] == 1


def test_errors_of_calls():
    x, y = scalars("xy")
    u = T.dscalar()
    f = function([x, y, u], x + y + u, name="adds")
    with pytest.raises(TypeError, match=r"too many parameters passed to the function \"adds\": 4, but it takes 3"):
        f(1, 2, 3, 4)
    with pytest.raises(TypeError, match='missing required input of the function "adds": y'):
        f(1)
    with pytest.raises(TypeError, match="missing required input"):
        f()
    with pytest.raises(TypeError, match="multiple values for input x"):
        f(1, 2, x=1)
    with pytest.raises(TypeError, match=r"unknown input or state: z(.|\n)*2 named inputs \(x, y\) and 1 unnamed input"):
        f(1, 2, z=1)


def test_bad_arguments_name_function_index_and_variable():
    x = T.dvector("x")
    with pytest.raises(TypeError) as caught:
        function([T.dscalar("a"), x], x, on_unused_input="ignore")(1, 5.0)
    text = str(caught.value)
    assert 'with name "x"' in text and "index 1 (0-based)" in text and "wrong number of dimensions" in text
    assert text.count(__file__) >= 3 and "reshape the value" in text  # the function, the call, the variable
    with pytest.raises(TypeError, match="cannot hold values of dtype complex128 without loss"):
        function([x], x)([1j])
    with pytest.raises(TypeError, match="symbolic"):
        function([x], x)(x)
    with pytest.raises(TypeError, match="cannot hold a str"):
        function([x], x)("text")


def test_casts_of_arguments():
    x = T.fvector("x")
    f = function([x], x * 2)
    equal(f(np.array([1, 2], np.int8)), np.array([2, 4], np.float32))
    equal(f([1.5]), np.array([3], np.float32))
    for bad in (np.ones(2), np.ones(2, np.int64), [0.1]):
        with pytest.raises(TypeError, match="without loss of precision"):
            f(bad)
    equal(function([x], x * 2, allow_input_downcast=True)([0.1]), np.array([0.2], np.float32))
    with pytest.raises(TypeError, match="strict"):
        function([In(x, strict=True)], x)(np.ones(2, np.int32))
    i, h = T.iscalar("i"), T.fscalar("h")
    f = function([i], i)
    equal(f(3), np.array(3, np.int32))
    equal(f(3.0), np.array(3, np.int32))
    for bad in (2**31, 3.5):
        with pytest.raises(TypeError, match="loss"):
            f(bad)
    equal(function([i], i, allow_input_downcast=True)(3.7), np.array(3, np.int32))
    with pytest.raises(TypeError, match="loss"):
        function([h], h)(0.1)
    with theano.config.changed(floatX="float32"):
        f = function([h], h)
        for _ in range(2):
            equal(f(0.1), np.array(0.1, np.float32))
        with pytest.raises(TypeError, match="loss"):
            function([h], h, allow_input_downcast=False)(0.1)


NUMBERS = [0, 1, -1, 127, 128, 255, 256, 2**24, 2**24 + 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 0.5, -0.0, 0.1]
NUMBERS += [float("nan"), float("inf"), 1e300, True]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float32", "float64"])
def test_native_code_takes_numbers_as_types_do(dtype):
    x = T.scalar("x", dtype=dtype)
    for first in (0, 1.0):
        f = function([x], x)
        f(first)
        for number in NUMBERS:
            try:
                expected = x.type.filter(number)
            except (TypeError, OverflowError) as error:
                with pytest.raises(type(error)):
                    f(number)
            else:
                equal(f(number), expected)
        assert f.hits > 0


def test_numbers_and_arrays_are_answered_natively():
    x, v = T.dscalar("x"), T.dvector("v")
    f = function([x, v], x * v)
    array = np.arange(3.0)
    for argument in (2, 2.0, np.float64(2), np.array(2.0)):
        f(argument, array)
        misses = f.misses
        equal(f(argument, array), 2 * array)
        assert f.misses == misses


def test_arguments_are_not_changed_and_results_are_the_callers():
    x = T.dvector("x")
    w = theano.shared(np.zeros(3))
    f = function([x], [x, x, w, Out(x, borrow=True), T.constant(np.ones(3))], updates=[(w, x)])
    argument = np.arange(3.0)
    for _ in range(3):
        results = f(argument)
        arrays = [argument, w.get_value(borrow=True), *results]
        for position, one in enumerate(arrays):
            assert not any(np.shares_memory(one, other) for other in arrays[:position])
        for item in results:
            item[:] = -1
        equal(argument, np.arange(3.0))
        equal(w.get_value(), np.arange(3.0))
    equal(f(argument)[4], np.ones(3))


def test_mutable_and_borrowed_arguments_may_share_memory():
    x, y = T.dvectors("x", "y")
    f = function([In(x, mutable=True), In(y, borrow=True)], x * 2 + y)
    array = np.arange(3.0)
    equal(f(array, array), 3 * array)
    equal(f(array[:2], array[1:]), np.array([1.0, 4.0]))
    equal(array, np.arange(3.0))


def test_trust_input():
    x = T.dscalar("x")
    f = function([x], x + 1)
    f.trust_input = True
    equal(f(np.array(1.0)), np.array(2.0))
    equal(f(np.array(2.0)), np.array(3.0))
    with pytest.raises(AttributeError):
        f("text")


# --- outputs -----------------------------------------------------------------------------------------------------


def test_forms_of_outputs():
    x, y = scalars("xy")
    assert function([], None)() == []
    assert function([x], [], on_unused_input="ignore")(1) == []
    equal(function([x], x * 2)(3), np.array(6.0))
    found = function([x], [x * 2])(3)
    assert type(found) is list and found == [6]
    assert function([x, y], (x, y))(1, 2) == [1, 2]
    found = function([x, y], {"sum": x + y, "minus": x - y, "a": y})(5, 3)
    assert list(found) == ["a", "minus", "sum"] and found == {"sum": 8, "minus": 2, "a": 3}
    with pytest.raises(AssertionError, match="must be strings, not 1"):
        function([x], {1: x})
    with pytest.raises(TypeError, match="an output of a function must be a symbolic variable"):
        function([x], [x, "text"])


def test_scalars_come_back_as_arrays_of_no_dimension():
    x = T.dscalar("x")
    f = function([x], {"a": x, "b": x.astype("int32")})
    for _ in range(2):
        found = f(2)
        equal(found["a"], np.array(2.0))
        equal(found["b"], np.array(2, np.int32))


def test_subsets_of_outputs():
    x, w = T.dscalar("x"), theano.shared(0.0)
    f = function([x], [x, x + 1, x + 2], updates=[(w, w + 1)])
    assert f(1, output_subset=[2, 0]) == [3, 1] and f(1, output_subset=[]) == []
    assert w.get_value() == 2  # updates happen all the same
    g = function([x], {"a": x, "b": x * 2}, updates=[(w, w + 1)])
    assert g(3, output_subset=["b"]) == {"b": 6} and g(3) == {"a": 3, "b": 6} and w.get_value() == 4


def test_a_subset_computes_only_what_it_needs():
    x, i = T.dvector("x"), T.lscalar("i")
    f = function([x, i], [x.sum(), x[i]])
    assert f([1, 2], 7, output_subset=[0]) == [3]
    with pytest.raises(IndexError):
        f([1, 2], 7)


# --- without arguments -------------------------------------------------------------------------------------------


def test_fn_runs_many_times():
    n = theano.shared(0)
    f = function([], n, updates=[(n, n + 1)])
    assert f.fn(n_calls=100) == [99]
    assert n.get_value() == 100 and f.fn() == [100]
    x, s = scalars("xs")
    g = function([In(x, value=2.0), In(s, value=0.0, update=s + x)], [s, x])
    assert g.fn(n_calls=5, output_subset=[0]) == [8] and g[s] == 10


def test_a_failed_call_changes_nothing():
    x, i, s = T.dvector("x"), T.lscalar("i"), T.dscalar("s")
    w = theano.shared(np.zeros(2))
    noise = RandomStreams(3).uniform((2,))
    f = function([x, i, In(s, value=1.0, update=s * 2)], [w + noise + x[i], s], updates=[(w, w + x)])
    f([1, 2], 0)
    state = noise.rng.get_value().get_state()[1]
    for arguments in (([1, 2], 5), (np.array([1.0, 2.0]), 5), ([1, 2], 5, 100.0)):
        with pytest.raises(IndexError, match="out of bounds"):
            f(*arguments)
        equal(w.get_value(), np.array([1.0, 2.0]))
        assert f[s] == 2
        np.testing.assert_array_equal(noise.rng.get_value().get_state()[1], state)


def test_errors_of_computations_name_function_and_line():
    x, i = T.dvector("x"), T.lscalar("i")
    y = x[i]
    f = function([x, i], y, name="picks")
    f([1.0], 0)
    for arguments in (([1.0], 3), (np.array([1.0]), 3)):
        with pytest.raises(IndexError) as caught:
            f(*arguments)
        notes = "\n".join(caught.value.__notes__)
        assert __file__ in notes and "'picks'" in notes and "strides" not in notes
        assert "HINT: tracer.config.exception_verbosity = 'high'" in notes
    with theano.config.changed(exception_verbosity="high"), pytest.raises(IndexError) as caught:
        f(np.array([1.0]), 3)
    notes = "\n".join(caught.value.__notes__)
    assert "x: float64[1], strides (8,), 8 bytes, value [1.0]" in notes and "i: int64[]" in notes


def test_shapes_that_do_not_fit_name_the_line():
    x, y = T.dvectors("x", "y")
    f = function([x, y], x + y)
    with pytest.raises(ValueError, match=r"(3,).*(4,)") as caught:
        f(np.ones(3), np.ones(4))
    assert __file__ in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    equal(f(np.ones(3), np.ones(3)), np.full(3, 2.0))


def test_every_shape_is_served_by_one_function():
    x = T.dmatrix("x")
    f = function([x], x.sum(axis=0) / x.shape[0])
    for shape in [(2, 3), (5, 1), (1, 4), (2, 3), (7, 2)]:
        array = np.random.default_rng(0).standard_normal(shape)
        np.testing.assert_allclose(f(array), array.mean(axis=0))
        np.testing.assert_allclose(f(np.asfortranarray(array)), array.mean(axis=0))
        np.testing.assert_allclose(f(array[:, ::-1]), array[:, ::-1].mean(axis=0))
    assert f.program.plan_count >= 4


def test_many_shapes_are_not_kept_for_ever():
    x = T.dvector("x")
    f = function([x], x + 1)
    for size in range(300):
        f(np.zeros(size))
    assert len(f.program.signatures) <= 256
    misses = [f.misses]
    for _ in range(3):
        f(np.zeros(5))
        misses.append(f.misses)
    assert misses[-1] - misses[-2] == 0  # native code answers again


def test_calls_within_a_trace():
    x = T.dvector("x")
    double = function([x], x * 2)

    @theano.compile
    def g(z):
        return z + double(np.ones(3))

    equal(g(np.ones(3)), np.full(3, 3.0))
    equal(g(np.ones(3)), np.full(3, 3.0))
    equal(double(np.ones(3)), np.full(3, 2.0))


def test_names_and_graphs():
    x, w = T.dscalar("x"), theano.shared(1.0, name="w")
    f = function([x], T.exp(x) * w, updates=[(w, w + x)])
    assert f.name.startswith(f"{__file__}:") and f.name in repr(f)
    assert function([x], x, name="mine").name == "mine"
    graph = f.maker.fgraph
    assert graph.inputs == [x, w] and len(graph.outputs) == 2
    names = [node.op.name for node in graph.toposort()]
    assert names.index("exp") < names.index("mul") and set(graph.toposort()) == graph.apply_nodes
    assert {x, w, *graph.outputs} <= graph.variables
    assert [item.variable for item in f.maker.inputs] == [x, w] and f.maker.inputs[1].implicit
    assert f.get_shared() == [w] and f.sync_shared() is None and f.maker.output_keys is None
    assert str(f.maker.outputs[0]).startswith("Out(")


def test_options_for_compatibility():
    x = T.dscalar("x")
    assert function([x], x, accept_inplace=True, rebuild_strict=False)(1) == 1


def test_casts_are_done_natively_for_the_right_shape():
    x = T.dvector("x")
    f = function([x], x * 2)
    for size in (3, 5, 3, 4, 5):
        for dtype in ("int64", "float64", "int8", "float32", "bool"):
            array = np.arange(size).astype(dtype)
            for _ in range(2):
                equal(f(array), 2 * array.astype(float))
            misses = f.misses
            equal(f(array), 2 * array.astype(float))
            equal(f(array[::-1]), 2 * array[::-1].astype(float))
            assert f.misses <= misses + 1
            f([1.0] * 7)  # another plan in between, which native code does not look for
    argument = np.arange(3)
    f(argument)[:] = 7
    assert argument.tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="loss"):
        f(np.arange(3) * 1j)


# --- inputs that a derivative does without ------------------------------------------------------------------------


def test_a_derivative_needs_no_values_that_its_result_does_not_depend_on():
    x, v, bias = T.dvectors("x", "v", "bias")
    w, direction = T.dmatrices("w", "direction")
    y = T.dot(x, w)
    back = function([v, x], T.Lop(y, w, v))
    np.testing.assert_array_equal(back([2, 2], [0, 1]), [[0, 0], [2, 2]])
    np.testing.assert_array_equal(back([1, 2, 3], [1, 1]), [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(back([2], [1]), [[2]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(back))([2, 2], [0, 1]), [[0, 0], [2, 2]])
    np.testing.assert_array_equal(function([direction, x], T.Rop(y, w, direction))([[2, 2], [2, 2]], [0, 1]), [2, 2])
    np.testing.assert_array_equal(function([x], T.grad((x**2 + bias).sum(), x), mode="DebugMode")([1, 2]), [2, 4])
    np.testing.assert_array_equal(function([x], T.grad(x.sum() + bias.mean(), x))([1, 2]), [1, 1])
    np.testing.assert_array_equal(function([w, x], T.jacobian(y + bias, x))(np.eye(2) * 3, [1, 2]), np.eye(2) * 3)
    np.testing.assert_array_equal(function([w, v, x], T.Lop(y, w, v))(np.eye(2), [2, 2], [0, 1]), [[0, 0], [2, 2]])
    sums, _ = theano.scan(lambda row, total: total + T.dot(row, w), direction, v)
    slope = function([direction, w, v], T.grad(sums[-1].sum() + bias.sum(), direction))
    np.testing.assert_array_equal(slope(np.ones((4, 2)), [[1, 2], [3, 4]], [0, 0]), [[3, 7]] * 4)


def test_a_derivative_needs_values_and_sizes_that_its_result_depends_on():
    x, bias = T.dvectors("x", "bias")
    for gradient in (
        T.grad((x * bias).sum(), x),
        T.grad((x**2 + bias).sum(), x) + bias,
        T.grad((x.sum() + bias).sum(), x),  # as many times 1 as bias has elements
        T.grad((x[:, None] + bias).sum(), x),
        T.grad((x * T.arange(bias.shape[0])[0]).sum(), x) + T.grad((x**2 * T.cast(bias[0], "int64")).sum(), x),
    ):
        with pytest.raises(MissingInputError, match="depend on bias"):
            function([x], gradient)
    f = function([x], T.grad((x**2 + bias).sum(), x))
    with pytest.raises(ValueError, match=r"values of bias, but on their sizes(.|\n)*HINT"):
        f([1.0])  # broadcasts to as many as there are
