import numpy as np
import pytest

import tracer
import tracer.tensor as T
from tracer.symbolic.program import SymbolicProgram

X = np.random.default_rng(4).uniform(0.1, 0.9, (3, 4))
METHODS = {
    "all": lambda x: x.all(0),
    "any": lambda x: x.any(axis=1),
    "argmax": lambda x: x.argmax(axis=0),
    "argmin": lambda x: x.argmin(1),
    "argsort": lambda x: x.argsort(),
    "argsort of columns": lambda x: x.argsort(axis=0),
    "astype": lambda x: x.astype("int32"),
    "clip": lambda x: x.clip(0.3, 0.6),
    "compress": lambda x: x.compress([True, False, True], axis=0),
    "conj": lambda x: x.conj() + x.conjugate(),
    "copy": lambda x: x.copy(),
    "cumprod": lambda x: x.cumprod(axis=1),
    "cumsum": lambda x: x.cumsum() + x.cumsum(axis=None),
    "diagonal": lambda x: x.diagonal() + x.diagonal(offset=0),
    "dot": lambda x: x.dot(x.T),
    "flatten": lambda x: x.flatten(),
    "imag": lambda x: x.imag,
    "max": lambda x: x.max(axis=0, keepdims=True),
    "mean": lambda x: x.mean(axis=1),
    "min": lambda x: x.min(),
    "prod": lambda x: x.prod(axis=0),
    "ravel": lambda x: x.ravel(),
    "real": lambda x: x.real,
    "repeat": lambda x: x.repeat(2, axis=0),
    "reshape": lambda x: x.reshape((2, 6)),
    "round": lambda x: x.round(),
    "size": lambda x: x.size,
    "sort": lambda x: np.sort(x, axis=0) if isinstance(x, np.ndarray) else x.sort(axis=0),
    "squeeze": lambda x: x[:, None].squeeze(),
    "std": lambda x: x.std(axis=0, ddof=1),
    "sum": lambda x: x.sum(axis=0, keepdims=True),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "T": lambda x: x.T,
    "take": lambda x: x.take([1, 0], axis=1),
    "trace": lambda x: x.trace(),
    "transpose": lambda x: x.transpose() + x.transpose(1, 0) + x.transpose((1, 0)),
    "var": lambda x: x.var(),
    "abs": lambda x: abs(-x),
    "shape": lambda x: np.array(x.shape),
    "nonzero": lambda x: x[(x > 0.5).nonzero()],
    "searchsorted": lambda x: (
        np.array([0.0, 0.5, 1.0]).searchsorted(x)
        if isinstance(x, np.ndarray)
        else T.constant([0.0, 0.5, 1.0]).searchsorted(x)
    ),
}
METHODS["shape"] = lambda x: x.shape


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_numpy_s(name):
    x = T.dmatrix("x")
    output = METHODS[name](x)
    expected = np.asarray(METHODS[name](X))
    (found,) = SymbolicProgram([x], [output], {}, "test")(X)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert (output.dtype, output.ndim) == (expected.dtype, expected.ndim)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_a_shared_variable_is_recorded(name):
    x = tracer.shared(X, name="x")
    output = T.as_tensor_variable(METHODS[name](x))
    expected = np.asarray(METHODS[name](X))
    (found,) = SymbolicProgram([], [output], {}, "test")()
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    x.set_value(np.vstack([X[::-1], X[:2]])[:3])
    assert SymbolicProgram([], [output], {}, "test")()[0].shape == expected.shape or name == "nonzero"


ELEMENTWISE = """
exp log sqrt sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arctanh exp2 expm1 log2 log10 log1p ceil floor
trunc deg2rad rad2deg
"""


@pytest.mark.parametrize("name", ELEMENTWISE.split())
def test_functions_of_each_element(name):
    x = T.dmatrix("x")
    (found,) = SymbolicProgram([x], [getattr(x, name)()], {}, "test")(X)
    np.testing.assert_allclose(found, getattr(np, name)(X), rtol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3, 0, np.inf, -np.inf])
def test_norms(order):
    x = T.dmatrix("x")
    whole, rows = SymbolicProgram([x], [x.norm(order), x.norm(order, axis=1)], {}, "test")(X)
    np.testing.assert_allclose(whole, np.linalg.norm(X.ravel(), order))
    np.testing.assert_allclose(rows, np.linalg.norm(X, order, axis=1))


def test_other_methods():
    x, n = T.dmatrix("x"), T.lvector("n")
    outputs = [
        x.fill(3.0),
        n.choose([n * 10, n * 100]),
        x.nonzero_values(),
        x.ptp(axis=0),
        x.zeros_like(),
        x.dimshuffle(1, 0),
        x.mT,
    ]
    found = SymbolicProgram([x, n], outputs, {}, "test")(X, np.array([1, 0]))
    expected = [np.full((3, 4), 3.0), [100, 0], X[np.nonzero(X)], np.ptp(X, axis=0), np.zeros((3, 4)), X.T, X.T]
    for result, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_operators():
    x, y = T.dvectors("x", "y")
    n, m = T.lvectors("n", "m")
    outputs = [
        -x,
        +x,
        abs(x),
        x + y,
        2 - x,
        x * y,
        2 / x,
        x**2,
        2**x,
        x % y,
        x // y,
        x @ y,
        n & m,
        n | 1,
        n ^ m,
        ~n,
        n << 1,
        n >> 1,
    ]
    outputs += [x < y, x <= y, x > y, x >= y, T.eq(x, y), T.neq(x, y), *divmod(n, m)]
    a, b, i, j = np.array([1.0, -2.5]), np.array([0.5, 2.0]), np.array([5, 6]), np.array([3, 4])
    found = SymbolicProgram([x, y, n, m], outputs, {}, "test")(a, b, i, j)
    expected = [
        -a,
        +a,
        abs(a),
        a + b,
        2 - a,
        a * b,
        2 / a,
        a**2,
        2**a,
        a % b,
        a // b,
        a @ b,
        i & j,
        i | 1,
        i ^ j,
        ~i,
        i << 1,
        i >> 1,
    ]
    expected += [a < b, a <= b, a > b, a >= b, a == b, a != b, *divmod(i, j)]
    for result, wanted, variable in zip(found, expected, outputs, strict=True):
        np.testing.assert_allclose(result, wanted)
        assert variable.dtype == np.asarray(wanted).dtype


def test_equality_of_variables_is_identity():
    x, y = T.dscalars("x", "y")
    assert x == x
    assert x != y
    assert len({x, y, x}) == 2
    assert x


def test_a_comparison_has_no_truth():
    x = T.dscalar("x")
    with pytest.raises(TypeError, match=r"(?s)the truth of .* is not known.*T.switch"):
        bool(x > 1)
    with pytest.raises(TypeError, match="the truth of"):
        0 < x < 1  # noqa: B015


def test_an_unknown_attribute_is_an_error():
    with pytest.raises(AttributeError, match="a symbolic variable has no attribute 'sums'"):
        T.dscalar("x").sums  # noqa: B018


def test_shared_variables_outside_of_traces():
    x = tracer.shared(X, name="x")
    assert isinstance(x.T, T.TensorVariable)
    assert x.T.type == T.dmatrix
    assert (x.ndim, x.dtype, x.size, x.shape) == (2, "float64", 12, (3, 4))
    assert x.get_value().shape == (3, 4)


def test_the_size_of_a_shared_variable_follows_its_value():
    x = tracer.shared(np.ones((2, 3)), name="x")
    mean = tracer.function([], x.sum() / x.size)
    assert (x.size, mean()) == (6, 1)
    x.set_value(np.ones((5, 2)))
    assert (x.size, mean()) == (10, 1)
