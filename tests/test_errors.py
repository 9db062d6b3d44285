"""Errors that users cause: the text says what, where in their file, the types, and a hint."""

import importlib
import math
import operator
import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, interpolate, sparse, stats

import tracer
from tracer import errors
from tracer.errors import elsewhere

X = np.arange(3.0)
HERE = re.escape(__file__.rsplit("/", 1)[-1])


def fails(function, *args, error=errors.TraceError, match=""):
    with pytest.raises(error) as caught:
        tracer.compile(function)(*args)
    text = str(caught.value)
    assert "HINT" in text and re.search(HERE, text), text
    assert re.search(match, text), text
    return text


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x: x if x[0] > 0 else -x, "np.where"),
        (lambda x: np.zeros(x[0]), "static"),
        (lambda x: list(range(x[0])), "static"),
        (lambda x: 1.0 in x, "np.any"),
    ],
)
def test_escapes_are_errors_with_a_hint(function, match):
    text = fails(function, X, error=errors.ConcretizationError, match=match)
    assert "float64" in text or "bool" in text


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("float(x[0])", "math"),
        ("int(x[0])", "int"),
        ("math.sin(x[0])", "np.sqrt"),
        ("np.asarray(x)", "np.stack"),
        ("np.array([x[0], x[1]])", "np.stack"),
        ("x[0].item()", "item"),
        ("x.tolist()", "tolist"),
        ("np.add(np.ones(3), x, out=np.zeros(3))", "zeros_like"),
        ("np.zeros(3).__setitem__(0, x[0])", "np.stack"),
    ],
)
def test_code_without_a_source_file_is_not_followed(code, match):
    function = eval(f"lambda x: {code}", {"np": np, "math": math})
    with pytest.raises(errors.TraceError, match=rf"(?s){match}") as caught:
        tracer.compile(function)(X)
    assert "HINT" in str(caught.value)


def test_a_leaked_value_names_the_function():
    kept = []

    @tracer.compile
    def leaky(x):
        kept.append(x * 2)
        return x

    leaky(X)
    with pytest.raises(errors.LeakedValueError, match="leaky"):
        kept[0] + 1
    with pytest.raises(errors.LeakedValueError, match="return it"):
        tracer.compile(lambda x: x + kept[0])(X)


def test_an_unsupported_function_names_near_ones():
    text = fails(lambda x: np.busday_count(x, x), X, error=errors.UnsupportedFunctionError)
    assert "busday_count" in text


def test_wrong_shapes_are_numpys_errors_at_trace_time():
    with pytest.raises(ValueError, match="broadcast") as caught:
        tracer.compile(lambda x, y: x + y)(np.ones(3), np.ones(4))
    note = caught.value.__notes__[0]
    assert "add of float64[3], float64[4]" in note and "HINT: shapes" in note and re.search(HERE, note)
    with pytest.raises(ValueError) as caught:
        tracer.compile(lambda x, y: x @ y)(np.ones((2, 3)), np.ones((4, 5)))
    note = caught.value.__notes__[0]
    assert "float64[2, 3], float64[4, 5]" in note and "HINT: the last axis" in note and re.search(HERE, note)
    with pytest.raises(IndexError):
        tracer.compile(lambda x: x[5])(np.ones(3))
    with pytest.raises(np.exceptions.AxisError):
        tracer.compile(lambda x: np.sum(x, axis=3))(np.ones(3))


def test_an_index_out_of_bounds_at_run_time_is_an_index_error_that_names_the_line():
    @tracer.compile
    def pick(x, i):
        return x[i]

    assert pick(X, np.array([0, 2])).tolist() == [0, 2]
    with pytest.raises(IndexError, match="out of bounds") as caught:
        pick(X, np.array([0, 7]))
    assert any("test_errors" in note for note in caught.value.__notes__)


def test_unsupported_dtypes():
    f, half = tracer.compile(lambda x: x * 3), np.arange(4, dtype=np.float16)
    with pytest.raises(TypeError, match=r"(?s)float16.*HINT.*x\.astype.*gpu_storage = 'float16'"):
        f(half)
    with pytest.raises(TypeError, match=r"(?s)float16.*HINT.*gpu_storage"):
        tracer.shared(half)
    found = f(half.astype(np.float32)).astype(half.dtype)
    assert found.dtype == half.dtype and found.tolist() == (half * 3).tolist()
    with pytest.raises(TypeError, match="HINT"):
        tracer.compile(lambda x: x)(np.array(["a"]))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("make", [np.ma.asarray, np.asmatrix])
def test_arrays_with_other_rules_are_refused(make):
    odd = make(X)
    with pytest.raises(TypeError, match=r"(?s)cannot be traced.*HINT"):
        tracer.compile(lambda x: x * 2)(odd)
    with pytest.raises(TypeError, match=r"(?s)cannot be traced.*HINT"):
        tracer.compile(lambda x: np.sum(x) + np.sum(np.multiply(x, odd)))(X)


def test_writing_to_arrays_that_share_memory():
    @tracer.compile
    def f(a, b):
        a += 1
        return a + b

    x = X.copy()
    for _ in range(2):
        with pytest.raises(errors.TraceError, match=r"(?s)argument a.*memory with b.*HINT"):
            f(x, x.view(np.int64))
    np.testing.assert_array_equal(x, X)
    pairs = np.stack([X, X], axis=1)  # interleaved, and apart
    np.testing.assert_array_equal(f(pairs[:, 0], pairs[:, 1]), 2 * X + 1)
    np.testing.assert_array_equal(pairs, np.stack([X + 1, X], axis=1))


def test_writing_to_a_read_only_array_changes_nothing():
    w = tracer.shared(0.0)

    @tracer.compile
    def f(a):
        w.set(w + 1)
        a += 1

    frozen = X.copy()
    frozen.flags.writeable = False
    for array, fails in ((frozen, True), (X.copy(), False), (frozen, True)):
        if fails:
            with pytest.raises(ValueError, match="read-only"):
                f(array)
        else:
            f(array)
    assert w.get_value() == 1


@pytest.mark.parametrize(
    "function",
    [lambda x: {1, x}, lambda x: (x * i for i in range(3)), lambda x: map(np.sin, [x])],
    ids=["set", "generator", "map"],
)
def test_results_that_hide_traced_values(function):
    with pytest.raises(errors.TraceError, match=r"(?s)cannot be found.*HINT"):
        tracer.compile(function)(X)


def test_formatting_a_traced_value():
    assert "float64[3]" in tracer.compile(lambda x: f"{x}")(np.ones(3))
    with pytest.raises(errors.ConcretizationError, match=r"(?s)format.*HINT.*test_errors"):
        tracer.compile(lambda x: f"{x:.2f}")(np.float64(1.0))


def test_an_unhashable_argument():
    with pytest.raises(TypeError, match="hashable"):
        tracer.compile(lambda x, s: x)(X, bytearray(b"a"))


def test_costs_that_cannot_be_differentiated():
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)scalar.*HINT"):
        tracer.grad(lambda x: x * 2)(X)
    with pytest.raises(errors.NotDifferentiableError, match="has_aux"):
        tracer.grad(lambda x: (x.sum(), x))(X)
    with pytest.raises(errors.NotDifferentiableError, match="real"):
        tracer.grad(lambda x: np.sum(x * 1j))(X)
    with pytest.raises(errors.NotDifferentiableError, match="floats"):
        tracer.grad(lambda x: np.sum(x))(np.arange(3))
    with pytest.raises(TypeError, match="argument 1"):
        tracer.grad(lambda x: np.sum(x), argnums=1)(X)


def test_nan_is_found_where_it_was_made():
    @tracer.compile
    def f(x):
        y = x * 2
        z = np.log(y)
        return np.sum(z)

    with tracer.config.changed(check_nan=True):
        f(np.ones(3))
        with pytest.raises(FloatingPointError, match=r"(?s)log gave NaN.*test_errors") as caught:
            f(-np.ones(3))
        assert "float64" in str(caught.value)
    assert np.isnan(f(-np.ones(3)))


def test_nan_in_the_derivative_blames_the_forward_line():
    w = tracer.shared(np.zeros(3), name="w")

    @tracer.compile(updates=tracer.optim.sgd(0.1))
    def cost(x):
        return np.sum(np.sqrt(w) * x)

    with tracer.config.changed(check_nan=True), pytest.raises(FloatingPointError, match="derivative"):
        cost(np.zeros(3))
    np.testing.assert_array_equal(w.get_value(), np.zeros(3))


@pytest.mark.parametrize("part", ["", ".function", ".gradient", ".tensor", ".nnet", ".sparse"])
def test_every_message_has_a_hint_or_a_place(part):
    module = importlib.import_module(f"tracer.errors{part}")
    texts = {name: text for name, text in vars(module).items() if name.isupper() and isinstance(text, str)}
    assert len(texts) > 5
    for name, text in texts.items():
        if name.startswith(("HINT", "_")):
            continue
        assert "HINT" in text or "{" in text, name


@pytest.mark.parametrize(
    ("name", "match"), [("at", r"x\[i\] = v"), ("detach", "stop_gradient"), ("backward", "tracer.grad")]
)
def test_attributes_of_other_libraries_have_hints(name, match):
    with pytest.raises(AttributeError, match=rf"(?s)no attribute '{name}'.*HINT.*{match}"):
        tracer.compile(lambda x: getattr(x, name))(X)


def test_names_of_other_libraries_have_hints():
    with pytest.raises(AttributeError, match=r"(?s)no attribute 'jit'.*HINT: tracer.compile"):
        tracer.jit  # noqa: B018
    for name, hint in [*elsewhere.FUNCTIONS.items(), *elsewhere.ATTRIBUTES.items()]:
        assert name not in tracer.__all__ or name in elsewhere.ATTRIBUTES
        for path in re.findall(r"tracer((?:\.\w+)+)", hint):
            assert operator.attrgetter(path[1:])(tracer) is not None


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: stats.norm.pdf(x), r"rv_continuous\.pdf of scipy\.stats"),
        (lambda x: integrate.quad(lambda t: t * x[0], 0, 1)[0], r"quad of scipy\.integrate"),
        (lambda x: interpolate.CubicSpline(X, x)(0.5), r"CubicSpline.__init__ of scipy\.interpolate"),
    ],
)
def test_what_scipy_cannot_trace_can_be_an_op(function, name):
    text = fails(function, X, match=name)
    assert "custom_op" in text and "site-packages" not in text


def test_products_with_sparse_matrices_can_be_ops():
    matrix = sparse.csr_array(np.arange(6.0).reshape(2, 3))
    for function in (lambda x: matrix @ x, lambda x: x @ matrix.T, lambda x: x + matrix, lambda x: matrix.dot(x)):
        text = fails(function, X, error=(errors.TraceError, TypeError), match="sparse matrix A that stays")
    lines = [line.strip() for line in text.splitlines() if " = tracer.custom_op" in line]
    names = {"tracer": tracer, "A": matrix}
    exec("\n".join(lines), names)
    hessian = tracer.hessian(lambda x: np.sum(names["times"](x) ** 2))(X)
    np.testing.assert_allclose(hessian, 2 * (matrix.T @ matrix).toarray())


@pytest.mark.parametrize(
    ("x", "hint"),
    [
        (np.ones(2, ">f4"), "x.astype(x.dtype.newbyteorder('='))"),
        (np.ones(2, np.float16), "x.astype(np.float32)"),
        (np.ones(2, np.clongdouble), "x.astype(np.complex128)"),
        (np.array(["2020-01-01", "2020-01-03"], "M8[D]"), "(x - x[0]) / np.timedelta64(1, 's')"),
        (np.ones(2, "m8[s]"), "x / np.timedelta64(1, 's')"),
        (np.ones(2, object), "np.array(x.tolist(), dtype=float)"),
        (np.array(["a", "b"]), "names, x = np.unique(x, return_inverse=True)"),
        (np.ones(2, [("p", "f8"), ("q", "f8")]), "x['p']"),
    ],
)
def test_other_dtypes_can_be_converted(x, hint):
    assert f"HINT: convert it first: {hint}" in fails(lambda x: x + 1, x, error=TypeError, match="cannot")
    names = {"np": np, "x": x}
    exec(hint if hint.startswith("names") else f"x = {hint}", names)
    assert tracer.compile(lambda x: x + 1)(names["x"]).shape == (2,)


def test_objects_are_no_nests():
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)p, which has type Simple.*HINT.*dataclasses"):
        tracer.grad(lambda p: np.sum(p.w))(SimpleNamespace(w=X))


@pytest.mark.parametrize("write", [np.array2string, np.array_repr, lambda x: np.savetxt("x.txt", x)])
def test_texts_and_files_are_made_outside(write):
    fails(lambda x: write(x), X, match="outside the traced function")
