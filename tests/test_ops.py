"""The op table: every op and function over dtypes, layouts and executors, and its derivatives in both modes."""

import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import tracer
from tracer.graph.op import FUNCTIONS, METHODS, OPS, UFUNC_NAMES
from tracer.types import DTYPES

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("reference", "cpu")
SUPPORTED = frozenset(DTYPES)

# Functions that answer from the type alone or write in place; they have tests of their own.
WITHOUT_EXAMPLES = {
    *(np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj),
    *(np.shares_memory, np.may_share_memory, np.einsum_path, np.empty_like, np.frexp),
    *(np.put_along_axis, np.copyto, np.fill_diagonal, np.put, np.putmask),
}
# Where the value is not what NumPy defines, or depends on rounding that executors may do differently.
NOT_DIFFERENTIABLE = {"empty_like", "spacing", "nextafter"}


def name_of(function):
    return getattr(function, "__name__", str(function))


def elementwise_arity(op):
    if isinstance(op.evaluate, np.ufunc):
        return op.evaluate.nin
    return len(inspect.signature(op.evaluate).parameters) if op.name != "where" else 3


def table():
    """(id, callable, shapes, domain) of every example."""
    cases = []
    for op in OPS.values():
        if op.family in ("elementwise", "call") and op.dtypes is not None and not op.examples:
            call = op.evaluate if isinstance(op.evaluate, np.ufunc) else op
            arity = elementwise_arity(op)
            cases.append((op.name, call, ((3, 4),) * arity, op.domain or ((-2.0, 2.0),) * arity))
        elif op.dtypes is not None and op.family in ("elementwise", "call"):
            cases += [(f"{op.name}-{n}", call, shapes, ()) for n, (call, shapes) in enumerate(op.examples)]
    seen = set()
    for function, entry in FUNCTIONS.items():
        if entry.examples and id(entry) not in seen:
            seen.add(id(entry))
            name = name_of(function)
            cases += [(f"np.{name}-{n}", call, shapes, ()) for n, (call, shapes) in enumerate(entry.examples)]
    return cases


CASES = table()
IDS = [case[0] for case in CASES]
every_case = pytest.mark.parametrize(("name", "function", "shapes", "domain"), CASES, ids=IDS)


def draw(rng, shape, dtype, domain=(-2.0, 2.0)):
    """Random elements of a dtype within a domain."""
    low, high = domain
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low = low if dtype.kind == "i" and domain == (-2.0, 2.0) else max(0, low)
        first, last = int(np.ceil(low)), int(np.floor(high))
        return np.asarray(rng.integers(first, max(first, last), shape, endpoint=True), dtype)
    real = rng.uniform(low, high, shape)
    return np.asarray(real + 1j * rng.uniform(-1, 1, shape) if dtype.kind == "c" else real, dtype)


def arrays_for(name, shapes, domain, dtype):
    rng = np.random.default_rng(sum(map(ord, name)))
    return [draw(rng, shape, dtype, domain[place] if domain else (-2.0, 2.0)) for place, shape in enumerate(shapes)]


def quietly(function, *args):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def outcome(function, arrays):
    """What NumPy gives: an array or the class of the error."""
    try:
        return np.asarray(quietly(function, *arrays))
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        return error


def assert_same(actual, expected, label):
    assert isinstance(actual, np.ndarray | np.generic | bool | int), (label, type(actual))
    actual = np.asarray(actual)
    assert actual.dtype == expected.dtype, f"{label}: dtype {actual.dtype}, NumPy's {expected.dtype}"
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, NumPy's {expected.shape}"
    tolerance = {"f": 2e-6, "F": 4e-6, "d": 1e-13, "D": 2e-13}.get(expected.dtype.char, 0)
    scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1) if tolerance else 0
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale, err_msg=label)


def builtin(error):
    """The builtin class of an error: NumPy's own are private."""
    return next(kind for kind in type(error).__mro__ if kind in (IndexError, ValueError, TypeError, AttributeError))


def check_value(function, arrays, label):
    expected = outcome(function, arrays)
    for backend in BACKENDS:
        traced = tracer.compile(function, backend=backend)
        if isinstance(expected, Exception):
            with pytest.raises(builtin(expected)):
                quietly(traced, *arrays)
        elif expected.dtype not in SUPPORTED:
            with pytest.raises(TypeError, match="cannot be traced"):
                traced(*arrays)
        else:
            assert_same(traced(*arrays), expected, f"{label} on {backend}")


def is_defined(op_name, dtype):
    # Weights that sum to zero raise in NumPy; truth values often do.
    return not (op_name.startswith("np.average") and dtype.kind == "b")


# --- values ------------------------------------------------------------------------------------------------------


@every_case
def test_values_over_dtypes(name, function, shapes, domain):
    for dtype in DTYPES:
        if is_defined(name, dtype):
            check_value(function, arrays_for(name, shapes, domain, dtype), f"{name} of {dtype}")


def layouts(array):
    """The same elements in memory of other layouts."""
    yield "fortran", np.asarray(array, order="F")
    if array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        yield "strided", wide[..., ::2]
        yield "backwards", np.ascontiguousarray(array[::-1])[::-1]
        read_only = np.broadcast_to(array[:1], array.shape)
        yield "broadcast", read_only


@every_case
def test_values_over_layouts(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.float64)
    for variants in zip(*(list(layouts(array)) for array in arrays), strict=False):
        label = f"{name}, {variants[0][0]}"
        check_value(function, [array for _, array in variants], label)


ELEMENTWISE = [case for case in CASES if case[0] in OPS and len(set(case[2])) == 1]


@pytest.mark.parametrize(("name", "function", "shapes", "domain"), ELEMENTWISE, ids=[case[0] for case in ELEMENTWISE])
def test_elementwise_shapes(name, function, shapes, domain):
    arity = len(shapes)
    for given in ([()], [(0, 3)], [(3, 1), (4,)], [(2, 1, 4), (3, 1)]):
        given = [given[place % len(given)] for place in range(arity)]
        check_value(function, arrays_for(name, given, domain, np.float64), f"{name} of {given}")


UFUNCS = [function for function in FUNCTIONS if isinstance(function, np.ufunc) and function.signature is None]


@pytest.mark.parametrize("ufunc", UFUNCS, ids=name_of)
def test_promotion_is_numpys(ufunc):
    """Every pair of dtypes and Python scalars gives the dtype that NumPy gives, without computing."""
    weak = (2, 2.0, 2j, True)
    operands = [np.ones(1, dtype) for dtype in DTYPES]
    pairs = [(a,) for a in operands]
    if ufunc.nin == 2:
        pairs = [(a, b) for a in operands for b in (*operands, *weak)] + [(b, a) for a in operands for b in weak]
    wrong = []
    for pair in pairs:
        expected = outcome(lambda *args: ufunc(*args)[0] if ufunc.nout > 1 else ufunc(*args), pair)
        traced = _traced_dtype(ufunc, pair)
        if isinstance(expected, Exception) or expected.dtype not in SUPPORTED:
            good = isinstance(traced, TypeError | ValueError)
        else:
            good = traced == expected.dtype
        if not good:
            wrong.append(([getattr(item, "dtype", item) for item in pair], traced, expected))
    assert not wrong


def _traced_dtype(ufunc, operands):
    found = []

    def function(*arrays):
        places = iter(arrays)
        args = [next(places) if isinstance(item, np.ndarray) else item for item in operands]
        result = ufunc(*args)
        found.append((result[0] if isinstance(result, tuple) else result).dtype)
        return 0

    try:
        tracer.compile(function, backend="reference")(*(item for item in operands if isinstance(item, np.ndarray)))
    except (TypeError, ValueError) as error:
        return error
    return found[0]


# --- derivatives -------------------------------------------------------------------------------------------------


def differentiable(function, arrays):
    expected = outcome(function, arrays)
    return not isinstance(expected, Exception) and expected.dtype.kind in "fc"


@every_case
def test_derivatives(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.float64)
    if name.rpartition("-")[0] in NOT_DIFFERENTIABLE or name in NOT_DIFFERENTIABLE:
        pytest.skip("has no derivative that differences would show")
    if differentiable(function, arrays):
        tracer.testing.check_grads(function, arrays, order=2, modes=("reverse", "forward"), rtol=2e-5, atol=2e-6)


@every_case
def test_complex_derivatives(name, function, shapes, domain):
    arrays = arrays_for(name, shapes, domain, np.complex128)
    # Ordering complex numbers is not differentiable in a sense that differences along random directions would show.
    if re.search("max|min|clip|sort|nan_to_num|round|rint|ptp", name):
        pytest.skip("is not differentiable for complex numbers")
    if differentiable(function, arrays):
        tracer.testing.check_grads(function, arrays, order=1, rtol=2e-5, atol=2e-6)


def gradient(function, *args):
    wanted = tuple(range(len(args)))
    total = tracer.grad(lambda *values: np.sum(function(*values)), argnums=wanted)
    with np.errstate(all="ignore"):
        return total(*(np.asarray(arg, float) for arg in args))


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (np.sqrt, [0.0], [np.inf]),
        (np.abs, [0.0], [0.0]),
        (lambda x: x**2, [0.0], [0.0]),
        (lambda x: x**0, [0.0], [0.0]),
        (lambda x: x**3, [0.0], [0.0]),
        (lambda x: x**1.5, [0.0], [0.0]),
        (np.power, [0.0, 2.0], [0.0, 0.0]),
        (np.power, [0.0, 0.0], [0.0, 0.0]),
        (np.maximum, [1.0, 1.0], [0.5, 0.5]),
        (np.minimum, [1.0, 1.0], [0.5, 0.5]),
        (np.maximum, [2.0, 1.0], [1.0, 0.0]),
        (np.fmax, [1.0, np.nan], [1.0, 0.0]),
        (np.fmin, [np.nan, 1.0], [0.0, 1.0]),
        (np.hypot, [0.0, 0.0], [0.0, 0.0]),
        (np.hypot, [1e300, 0.0], [1.0, 0.0]),
        (np.arctan2, [0.0, 0.0], [0.0, 0.0]),
        (np.arctan2, [0.0, 1e200], [1e-200, 0.0]),
        (np.logaddexp, [-np.inf, -np.inf], [0.5, 0.5]),
        (np.logaddexp, [np.inf, np.inf], [0.5, 0.5]),
        (np.logaddexp, [-np.inf, 1.0], [0.0, 1.0]),
        (np.logaddexp, [np.inf, 1.0], [1.0, 0.0]),
        (np.logaddexp, [1000.0, 1000.0], [0.5, 0.5]),
        (np.sinc, [0.0], [0.0]),
        (lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0), [-1.0], [0.0]),
        (np.prod, [[2.0, 0.0, 3.0]], [[0.0, 6.0, 0.0]]),
        (np.prod, [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]),
        (np.cumprod, [[2.0, 0.0, 3.0]], [[1.0, 8.0, 0.0]]),
        (np.max, [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
        (np.min, [[3.0, 1.0, 1.0, 1.0]], [[0.0, 1 / 3, 1 / 3, 1 / 3]]),
        (lambda x: np.nan_to_num(x), [[np.nan, 2.0, np.inf]], [[0.0, 1.0, 0.0]]),
        (np.nansum, [[np.nan, 2.0]], [[0.0, 1.0]]),
        (lambda x: np.maximum.accumulate(x), [[1.0, 3.0, 2.0]], [[1.0, 2.0, 0.0]]),
    ],
)
def test_derivatives_at_special_points(function, args, expected):
    found = gradient(function, *args)
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12)


def second(function, point):
    """The Hessian by differentiating the gradient once more."""
    point = np.asarray(point, float)
    inner = tracer.grad(lambda x: np.sum(function(x)))
    rows = [tracer.grad(lambda x, n=n: np.sum(np.ravel(inner(x))[n]))(point) for n in range(point.size)]
    return np.array(rows).reshape(point.size, point.size)


@pytest.mark.parametrize("function", [np.prod, lambda x: np.cumprod(x)[-1]], ids=["prod", "cumprod"])
@pytest.mark.parametrize("point", [[2.0, 0.0, 3.0, 5.0], [2.0, 0.0, 0.0, 5.0], [1.0, 2.0, 3.0, 4.0]])
def test_second_derivative_of_products_with_zeros(function, point):
    expected = np.zeros((4, 4))
    for i, j in np.ndindex(4, 4):
        expected[i, j] = 0 if i == j else np.prod([x for n, x in enumerate(point) if n not in (i, j)])
    np.testing.assert_allclose(second(function, point), expected, rtol=1e-12)


def test_second_derivatives_at_zero():
    assert second(lambda x: x**2, [0.0])[0, 0] == 2
    np.testing.assert_allclose(second(np.sinc, [0.0])[0, 0], -(np.pi**2) / 3, rtol=1e-12)


def test_std_of_equal_values_has_no_derivative():
    assert np.isnan(gradient(np.std, [1.0, 1.0])[0]).all()


def test_repeated_writes_pass_the_cotangent_to_the_last():
    def function(x, v):
        y = x * 1.0
        y[[0, 1, 0]] = v
        return y * np.array([1.0, 10.0, 100.0])

    found = gradient(function, [1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    np.testing.assert_allclose(found[0], [0, 0, 100])
    np.testing.assert_allclose(found[1], [0, 10, 1])


def test_a_wrong_rule_is_caught(monkeypatch):
    point = (np.array([0.3, -0.7]),)
    tracer.testing.check_grads(np.tanh, point)
    monkeypatch.setattr(OPS["tanh"], "deriv", (lambda y, x: 1 - y,))
    with pytest.raises(AssertionError, match="derivative"):
        tracer.testing.check_grads(np.tanh, point)
    with pytest.raises(AssertionError, match="forward"):
        tracer.testing.check_grads(np.tanh, point, modes=("forward",))


def test_a_wrong_transpose_is_caught(monkeypatch):
    monkeypatch.setattr(OPS["transpose"], "vjp", (lambda g, y, x, axes: g,))
    with pytest.raises(AssertionError, match="reverse"):
        tracer.testing.check_grads(lambda x: np.transpose(x), (np.arange(9.0).reshape(3, 3),))


# --- the table itself --------------------------------------------------------------------------------------------


def test_every_ufunc_is_in_the_table():
    ufuncs = {getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    assert {name_of(ufunc) for ufunc in ufuncs if ufunc not in FUNCTIONS} == {"isnat"}


def test_every_function_has_examples_and_text():
    bare = {name_of(f) for f, entry in FUNCTIONS.items() if not entry.examples and entry.op is None}
    assert bare == {name_of(function) for function in WITHOUT_EXAMPLES}
    assert not [name_of(f) for f, entry in FUNCTIONS.items() if not entry.doc]
    assert not [op.name for op in OPS.values() if not op.doc]


def test_methods_exist_on_arrays():
    assert all(hasattr(np.ndarray, name) for name in METHODS)


def test_table_and_kernels_agree():
    text = (ROOT / "kernels_cpp" / "ops.def").read_text(encoding="utf-8")
    listed = {(name, int(arity)) for name, arity in re.findall(r"^OP_\w+\((\w+), (\d),", text, re.MULTILINE)}
    assert listed
    used = {
        (op.kernel, 1 if op.kernel == "cast" else elementwise_arity(op))
        for op in OPS.values()
        if op.family == "elementwise"
    }
    assert used == listed


def test_kinds_are_those_of_programs():
    from tracer.lower.program import ARG_REDUCE_KINDS, CUMULATIVE_KINDS, REDUCE_KINDS, SCATTER_MODES

    kinds = {}
    for op in OPS.values():
        kinds.setdefault(op.family, set()).add(op.kernel)
    assert kinds["reduction"] == set(REDUCE_KINDS)
    assert kinds["cumulative"] == set(CUMULATIVE_KINDS)
    assert kinds["argreduce"] == set(ARG_REDUCE_KINDS)
    assert kinds["scatter"] == set(SCATTER_MODES)


def test_scipy_functions_are_found_by_name():
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-3, 3, 7)
    for name in UFUNC_NAMES:
        function = getattr(special, name)
        np.testing.assert_allclose(tracer.compile(lambda x, f=function: f(x))(x), function(x), rtol=1e-13)
        tracer.testing.check_grads(lambda x, f=function: f(x), (x,), order=2)


# --- what NumPy's own errors say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x, x[:, :2]], axis=0),
        lambda x: np.stack([x, x[0]]),
        lambda x: np.reshape(x, (5, 5)),
        lambda x: np.transpose(x, (0, 0)),
        lambda x: np.transpose(x, (0,)),
        lambda x: np.sum(x, axis=2),
        lambda x: np.sum(x, axis=(0, 0)),
        lambda x: np.broadcast_to(x, (3,)),
        lambda x: np.squeeze(x, 0),
        lambda x: np.split(x, 2),
        lambda x: np.moveaxis(x, 0, 5),
        lambda x: np.max(x[:0]),
        lambda x: np.argmax(x[:, :0], axis=1),
        lambda x: x[3],
        lambda x: x[0, 4],
        lambda x: x[0, 0, 0],
        lambda x: x[1.0],
        lambda x: x[[0, 5]],
        lambda x: x[np.array([True, False])],
        lambda x: x[[0, 1], [0, 1, 2]],
        lambda x: x["a"],
        lambda x: x @ x,
        lambda x: np.dot(x, x),
        lambda x: np.matmul(x, 2.0),
        lambda x: np.tensordot(x, x, 1),
        lambda x: np.einsum("ij,jk", x, x),
        lambda x: np.einsum("ijk", x),
        lambda x: x + x[:, :3],
        lambda x: np.linalg.norm(x, "bad"),
        lambda x: np.where(x > 0, x),
        lambda x: np.average(x, weights=np.ones(4)),
        lambda x: np.expand_dims(x, 4),
        lambda x: np.diff(x, -1),
        lambda x: np.cross(x, x),
        lambda x: np.repeat(x, -1),
        lambda x: x.astype(np.int64, casting="safe"),
    ],
)
def test_errors_are_numpys(function):
    x = np.arange(12.0).reshape(3, 4)
    with pytest.raises((ValueError, IndexError, TypeError)) as expected:
        function(x)
    with pytest.raises((ValueError, IndexError, TypeError)) as found:
        tracer.compile(function)(x)
    assert isinstance(found.value, type(expected.value)) or type(found.value) in type(expected.value).__mro__


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x: np.where(x > 0), "np.where"),
        (lambda x: x[x > 0], "mask"),
        (lambda x: np.pad(x, 1, "median"), "mode"),
        (lambda x: np.linalg.norm(x, 2), "ord"),
        (lambda x: x.astype(np.float16), "float16"),
        (lambda x: np.sin(x.astype(np.int8)), "float16"),
    ],
)
def test_what_is_not_supported_says_so(function, match):
    with pytest.raises(tracer.errors.TraceError, match=match) as found:
        tracer.compile(function)(np.ones((3, 4)))
    assert "HINT" in str(found.value)


# --- in place, options, methods ----------------------------------------------------------------------------------


def in_place(name):
    def function(x):
        y = x * 1.0
        match name:
            case "copyto":
                np.copyto(y, x + 1, where=np.array([True, False, True, False]))
            case "fill_diagonal":
                np.fill_diagonal(y, 7)
            case "put":
                np.put(y, [1, 5], [8, 9])
            case "put_along_axis":
                np.put_along_axis(y, np.argmax(x, axis=1)[:, None], 0, axis=1)
            case "putmask":
                np.putmask(y, x > 5, -x)
            case "mask":
                y[x > 5] = 0
            case "rows":
                y[[0, 2], 1:3] = x[:2, :2]
            case "at":
                np.add.at(y, [0, 0, 1], x[0])
        return y

    return function


@pytest.mark.parametrize("name", ["copyto", "fill_diagonal", "put", "put_along_axis", "putmask", "mask", "rows", "at"])
def test_functions_that_write_in_place(name):
    x = np.arange(12.0).reshape(3, 4) + 0.25
    check_value(in_place(name), [x], name)
    tracer.testing.check_grads(in_place(name), (x,), order=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.frexp(x)[0] + np.frexp(x)[1],
        lambda x: np.permute_dims(x, (1, 0)),
        lambda x: x.sum(0).mean(),
        lambda x: x.reshape(-1, order="F"),
        lambda x: x.transpose().swapaxes(0, 1),
        lambda x: x.astype(np.float32).astype(complex).conj().real,
        lambda x: x.clip(min=0.5, max=3),
        lambda x: x.compress([True, False, True], axis=0),
        lambda x: x.repeat(2, axis=1).take([1, 2], axis=0).cumsum(1),
        lambda x: x.argsort(axis=1) + x.argmax(),
        lambda x: x.dot(x.T).trace(),
        lambda x: x.std(ddof=1) * x.var(axis=0) + x.prod() + x.max(axis=1).min(),
        lambda x: np.concatenate([x, np.ones((1, 4))]),
        lambda x: np.stack([x[0], [1, 2, 3, 4]]),
        lambda x: np.clip(x, 2, None) + np.round(x, 1),
        lambda x: np.sum(x, axis=0, keepdims=True, initial=5, where=x > 3),
        lambda x: np.mean(x, where=x > 3),
        lambda x: np.max(x, axis=1, initial=0, where=x < 5),
        lambda x: np.where(x > 3, 1, 0),
        lambda x: np.add.reduce(x) + np.multiply.accumulate(x, axis=1)[0] + np.add.outer(x[0], x[1])[2],
        lambda x: (x > 2).sum() + np.count_nonzero(x) + (x > 2).mean(),
        lambda x: np.einsum("ij,kj->ik", x, x, optimize=True),
        lambda x: np.linspace(x[0, 0], x[2, 3], 4, dtype=int),
        lambda x: np.pad(x, {-1: 2}, constant_values=1),
        lambda x: x.view() if False else x[::-1, ::2] + x[None, :, 1, None].squeeze()[:, None],
        lambda x: np.average(x, axis=0, weights=[1, 2, 3]),
        lambda x: np.equal(x.astype(np.int64), np.arange(12, dtype=np.uint64).reshape(3, 4)),
        lambda x: (x.astype(np.int64) - 3) < np.uint64(2),
        lambda x: x.astype(np.uint8) < 300,
        lambda x: x.astype(np.int64) ** 2 + x.astype(np.int8) * 3,
    ],
)
def test_options_and_methods(function):
    check_value(function, [np.arange(12.0).reshape(3, 4) + 0.25], inspect.getsource(function).strip())


@pytest.mark.parametrize("power", [2, 3, 0.5, -1, 1, 0, 2.0, -0.5])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.complex128])
def test_powers_with_python_exponents(power, dtype):
    check_value(lambda x: x**power, [np.arange(1, 5).astype(dtype)], f"{dtype} ** {power}")


def test_an_integer_to_a_negative_integer_power():
    with pytest.raises(ValueError, match="negative integer powers"):
        tracer.compile(lambda x: x**-1)(np.arange(1, 3))


# --- indexing ----------------------------------------------------------------------------------------------------


def random_part(rng, size):
    """One part of an index."""
    match rng.integers(9):
        case 0:
            return int(rng.integers(-4, 4))
        case 1:
            ends = [None, *range(-5, 6)]
            start, stop = (ends[n] for n in rng.integers(len(ends), size=2))
            return slice(start, stop, [None, 1, 2, -1, -2][rng.integers(5)])
        case 2:
            return None
        case 3:
            return Ellipsis
        case 4:
            return rng.integers(-3, 3, size=rng.integers(1, 4))
        case 5:
            return [] if rng.random() < 0.5 else rng.integers(-2, 2, size=2).tolist()
        case 6:
            return rng.integers(-2, 2, size=(2, 1))
        case 7:
            return [True, False, np.array(1), np.int32(0)][rng.integers(4)]
    return rng.random(size) < 0.5


def indexed(key, what):
    def function(x):
        if what == "read":
            return x[key]
        values, result = x[key] * 2 + 1.5, x + 0.0
        if what == "write":
            result[key] = values
        else:
            np.add.at(result, key, values)
        return result

    return function


@pytest.mark.parametrize("seed", range(60))
def test_indexing_is_numpys(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1 if rng.random() < 0.8 else 0, 5, size=rng.integers(1, 5)).tolist())
    x = np.arange(float(np.prod(shape))).reshape(shape)
    key = tuple(random_part(rng, shape[min(place, len(shape) - 1)]) for place in range(rng.integers(1, len(shape) + 1)))
    for what in ("read", "write", "add"):
        check_value(indexed(key, what), [x], f"{what} {shape} {key}")


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: x[i, i],
        lambda x, i: x[i[0]],
        lambda x, i: x[i[0], 1:],
        lambda x, i: x[1, i],
        lambda x, i: x[i[:, None], i],
        lambda x, i: np.take(x, i, axis=1),
        lambda x, i: x[..., i, None],
        lambda x, i: x[i, [0, 1]],
    ],
)
def test_traced_indices(function):
    x = np.arange(12.0).reshape(3, 4)
    for dtype in (np.int64, np.int32, np.uint8):
        check_value(function, [x, np.array([2, 0], dtype)], "traced index")
    check_value(function, [x, np.array([-1, 1])], "traced index")
    tracer.testing.check_grads(lambda x: function(x, np.array([2, 2])), (x,), order=2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", [3, -4])
def test_a_traced_index_out_of_bounds(backend, wrong):
    x = np.arange(12.0).reshape(3, 4)
    for function in (lambda x, i: x[i], lambda x, i: x[:, 1][i], lambda x, i: np.take(x, i, axis=0)):
        with pytest.raises(IndexError, match="out of bounds"):
            tracer.compile(function, backend=backend)(x, np.array([0, wrong]))


def test_a_traced_index_of_a_real_array():
    table = np.arange(5.0)
    found = tracer.compile(lambda i: np.take_along_axis(table, i, 0))(np.array([3, 0]))
    np.testing.assert_array_equal(found, [3.0, 0.0])
