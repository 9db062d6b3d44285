"""A course page: the table of variable types, functions and their defaults, shared variables, a regression on data."""

import numpy
import pytest
import scipy.io

import tracer as theano
import tracer.tensor as T
from tracer import Param, function, shared

DTYPES = {
    "b": "int8",
    "w": "int16",
    "i": "int32",
    "l": "int64",
    "d": "float64",
    "f": "float32",
    "c": "complex64",
    "z": "complex128",
}
PATTERNS = {
    "scalar": (),
    "vector": (False,),
    "row": (True, False),
    "col": (False, True),
    "matrix": (False, False),
    "tensor3": (False, False, False),
    "tensor4": (False, False, False, False),
}
SHAPES = {
    "scalar": "()",
    "vector": "(?,)",
    "row": "(1,?)",
    "col": "(?,1)",
    "matrix": "(?,?)",
    "tensor3": "(?,?,?)",
    "tensor4": "(?,?,?,?)",
}


def test_arrays():
    matrix = numpy.asarray([[1.0, 2], [3, 4], [5, 6]])
    assert matrix.shape == (3, 2)
    assert matrix[2, 0] == 5
    x = T.dvector()
    numpy.testing.assert_array_equal(function([x], x * 2.0)(numpy.asarray([1.0, 2.0, 3.0])), [2, 4, 6])


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("letter", DTYPES)
def test_table_of_types(letter, kind):
    variable = getattr(T, letter + kind)("v")
    assert variable.dtype == DTYPES[letter]
    assert variable.ndim == len(PATTERNS[kind])
    assert variable.broadcastable == PATTERNS[kind]
    assert variable.type == T.TensorType(DTYPES[letter], PATTERNS[kind])
    sizes = ",".join("?" if size is None else str(size) for size in variable.type.shape)
    assert f"({sizes}{',' if variable.ndim == 1 else ''})" == SHAPES[kind]
    value = numpy.ones((1,) * variable.ndim, DTYPES[letter])
    result = theano.function([variable], variable + variable)(value)
    numpy.testing.assert_array_equal(result, value + value)
    assert result.dtype == value.dtype


def test_functions_and_defaults():
    x = T.dscalar("x")
    y = T.dscalar("y")
    z = x + y
    f = function([x, y], z, name="suma")
    assert f(2, 3) == 5
    assert f.name == "suma"
    x = T.dmatrix("x")
    y = T.dmatrix("y")
    z = x + y
    f = function([x, y], z)
    numpy.testing.assert_array_equal(f([[1, 2], [3, 4]], [[10, 20], [30, 40]]), [[11, 22], [33, 44]])
    a, b = T.dmatrices("a", "b")
    diff = a - b
    abs_diff = abs(diff)
    diff_squared = diff**2
    f = function([a, b], [diff, abs_diff, diff_squared])
    found = f([[1, 1], [1, 1]], [[0, 1], [2, 3]])
    numpy.testing.assert_array_equal(found, [[[1, 0], [-1, -2]], [[1, 0], [1, 2]], [[1, 0], [1, 4]]])
    x, y = T.dscalars("x", "y")
    z = x + y
    with pytest.warns(DeprecationWarning):
        f = function([x, Param(y, default=1)], z)
    assert f(33) == 34
    x, y, w = T.dscalars("x", "y", "w")
    z = (x + y) * w
    with pytest.warns(DeprecationWarning):
        f = function([x, Param(y, default=1), Param(w, default=2, name="w_by_name")], z)
    assert f(33) == 68


def test_shared():
    state = shared(0)
    inc = T.iscalar("inc")
    accumulator = function([inc], state, updates=[(state, state + inc)])
    state.get_value()
    accumulator(1)
    assert state.get_value() == 1


def test_curves():
    x = T.dscalar("x")
    s = 1 / (1 + T.exp(-x))
    logistic = function([x], s)
    s2 = (1 + T.tanh(x / 2)) / 2
    logistic2 = function([x], s2)
    nums = range(-60, 60)
    x = []
    y = []
    y2 = []
    for i in nums:
        x.append(i / 10.0)
        y.append(logistic(i / 10.0))
        y2.append(logistic2(i / 10.0))
    expected = 1 / (1 + numpy.exp(-numpy.array(x)))
    numpy.testing.assert_allclose(y, expected, rtol=1e-12)
    numpy.testing.assert_allclose(y2, expected, rtol=1e-12)


def test_logistic_regression_on_stored_data(tmp_path):
    random = numpy.random.RandomState(0)
    label = random.randint(0, 2, 100)
    points = random.randn(100, 2) + 3 * label[:, None] - 1.5
    scipy.io.savemat(tmp_path / "dataLR.mat", {"data": numpy.column_stack([points, label])})

    rng = numpy.random
    steps = 30000
    feats = 2
    x = T.matrix("x")
    y = T.vector("y")
    w = theano.shared(rng.randn(feats), name="w")
    b = theano.shared(0.0, name="b")
    assert repr(w.get_value().shape) == "(2,)"
    assert repr(b.get_value()) == "array(0.)"

    data = scipy.io.loadmat(tmp_path / "dataLR.mat", squeeze_me=True)
    dataIn = data["data"][:, 0:2].astype(theano.config.floatX)
    dataOut = data["data"][:, 2].astype(theano.config.floatX)

    p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
    prediction = p_1 > 0.5
    xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
    cost = xent.mean() + 0.01 * (w**2).mean() / 2.0
    gw = T.grad(cost, w)
    gb = T.grad(cost, b)

    train = theano.function(inputs=[x, y], outputs=prediction, updates=[(w, w - 0.1 * gw), (b, b - 0.1 * gb)])
    predict = theano.function(inputs=[x], outputs=prediction)
    for _ in range(steps):
        train(dataIn, dataOut)
    hits = list(map(lambda x, y: x == y, dataOut, predict(dataIn))).count(True)
    assert hits >= 95
    slopes = theano.function([x, y], [gw, gb])(dataIn, dataOut)
    assert max(numpy.abs(slopes[0]).max(), abs(slopes[1])) < 1e-3
