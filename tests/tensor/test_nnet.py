"""Activations, softmax, cross-entropies, batch normalisation: against SciPy and plain formulas, and at extremes."""

import pickle

import numpy as np
import pytest
import scipy.special
import scipy.stats
from tensor.symbolically import run, value, variables

import tracer
from tracer.config import config
from tracer.symbolic.program import SymbolicProgram
from tracer.tensor import nnet

X = np.random.default_rng(0).uniform(-4, 4, (3, 5))
ROWS = np.random.default_rng(1).dirichlet(np.ones(4), 6)
CLASSES = np.array([0, 3, 1, 1, 2, 3])


def ultra_fast_by_cases(x):
    half = abs(0.5 * x)
    tanh = 1.5 * half / (1 + half) if half < 1.7 else 0.935409070603099 + 0.0458812946797165 * (half - 1.7)
    tanh = tanh if half < 3 else 0.99505475368673
    return 0.5 * (np.copysign(tanh, x) + 1)


ACTIVATIONS = {
    "sigmoid": (nnet.sigmoid, scipy.special.expit),
    "ultra_fast_sigmoid": (nnet.ultra_fast_sigmoid, np.vectorize(ultra_fast_by_cases, otypes=[float])),
    "hard_sigmoid": (nnet.hard_sigmoid, lambda x: np.interp(x, (-2.5, 2.5), (0, 1))),
    "softplus": (nnet.softplus, lambda x: np.logaddexp(0, x)),
    "softsign": (nnet.softsign, lambda x: x / (1 + np.abs(x))),
    "relu": (nnet.relu, lambda x: np.maximum(x, 0)),
    "leaky relu": (lambda x: nnet.relu(x, 0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    "relu with an array": (lambda x: nnet.relu(x, np.arange(5.0)), lambda x: np.where(x > 0, x, np.arange(5) * x)),
    "elu": (nnet.elu, lambda x: np.where(x > 0, x, np.expm1(x))),
    "elu, alpha": (lambda x: nnet.elu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * np.expm1(x))),
    "selu": (nnet.selu, lambda x: 1.05070098735548 * np.where(x > 0, x, 1.67326324235437 * np.expm1(x))),
    "softmax": (nnet.softmax, lambda x: scipy.special.softmax(x, -1)),
    "logsoftmax": (nnet.logsoftmax, lambda x: scipy.special.log_softmax(x, -1)),
    "softmax_with_bias": (
        lambda x: nnet.softmax_with_bias(x, np.arange(5.0)),
        lambda x: scipy.special.softmax(x + np.arange(5), -1),
    ),
    "prepend_0": (nnet.prepend_0_to_each_row, lambda x: np.pad(x, ((0, 0), (1, 0)))),
    "prepend_1": (nnet.prepend_1_to_each_row, lambda x: np.pad(x, ((0, 0), (1, 0)), constant_values=1)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    function, expected = ACTIVATIONS[name]
    np.testing.assert_allclose(value(function, X), expected(X), rtol=1e-12, atol=1e-15)
    tracer.testing.check_grads(function, (X,), order=2)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if "array" not in name and "bias" not in name])
def test_activations_keep_single_precision_and_make_floats(name):
    function, expected = ACTIVATIONS[name]
    x = X.astype(np.float32)
    np.testing.assert_allclose(value(function, x), expected(x), rtol=2e-5, atol=1e-6)
    assert value(function, x).dtype == np.float32
    if not name.startswith("prepend"):
        assert value(function, np.arange(-2, 3).reshape(1, 5)).dtype == np.float64


SMOOTH = [name for name in ACTIVATIONS if not name.startswith(("prepend", "ultra", "hard"))]


@pytest.mark.parametrize("name", SMOOTH)
def test_extremes_are_finite_with_their_derivatives(name):
    function, expected = ACTIVATIONS[name]
    x = np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]])
    cost = tracer.value_and_grad(lambda x: np.sum(function(x) * np.arange(5.0)))
    total, g = tracer.compile(cost)(x)
    with np.errstate(all="ignore"):
        assert total == pytest.approx(np.sum(expected(x) * np.arange(5)))
    assert np.isfinite(g).all()


def test_relu_has_half_a_derivative_at_zero():
    x = np.zeros(1)
    assert tracer.grad(lambda x: np.sum(nnet.relu(x)))(x) == 0.5
    assert tracer.grad(lambda x: np.sum(nnet.relu(x, 0.2)))(x) == pytest.approx(0.6)
    assert tracer.grad(lambda x: np.sum(nnet.elu(x, 0.2)))(x) == pytest.approx(0.2)


def test_softmax_of_other_dimensions():
    vector = np.arange(4.0)
    for function, expected in ((nnet.softmax, scipy.special.softmax), (nnet.logsoftmax, scipy.special.log_softmax)):
        np.testing.assert_allclose(value(function, vector), expected(vector)[None], rtol=1e-13)
        cube = X.reshape(3, 5, 1) * np.arange(4)
        np.testing.assert_allclose(value(function, cube), expected(cube, -1), rtol=1e-13)
        with pytest.raises(ValueError, match="scalar"):
            function(*variables([np.float64(1)]))
    assert nnet.softmax(*variables([vector])).broadcastable == (True, False)


def test_recorded_calls_have_names_and_pickle():
    (x,) = variables([X])
    for function in (nnet.sigmoid, nnet.softmax, nnet.relu, nnet.batch_normalization, nnet.confusion_matrix, nnet.ctc):
        assert pickle.loads(pickle.dumps(function.operation)) is function.operation
    assert repr(nnet.softmax(x).owner.op) == "softmax"
    assert nnet.softmax_op is nnet.softmax_graph is nnet.softmax


def test_paths_of_theano():
    assert nnet.sigm.sigmoid is nnet.sigmoid
    assert nnet.nnet.softmax is nnet.softmax
    assert nnet.nnet.categorical_crossentropy is nnet.categorical_crossentropy
    assert nnet.nnet.sigmoid is nnet.sigmoid
    assert nnet.bn.batch_normalization is nnet.batch_normalization
    assert nnet.abstract_conv.conv2d is nnet.conv2d
    assert nnet.blocksparse.sparse_block_dot is nnet.sparse_block_dot


# --- cross-entropies ---------------------------------------------------------------------------------------------


def test_binary_crossentropy():
    p, t = ROWS[:, 0], np.array([0, 1, 0.3, 1, 0, 0.5])
    expected = -(scipy.special.xlogy(t, p) + scipy.special.xlog1py(1 - t, -p))
    np.testing.assert_allclose(value(nnet.binary_crossentropy, p, t), expected, rtol=1e-13)
    tracer.testing.check_grads(nnet.binary_crossentropy, (p, t), order=2)
    logits = scipy.special.logit(p)
    np.testing.assert_allclose(value(nnet.sigmoid_binary_crossentropy, logits, t), expected, rtol=1e-12)
    tracer.testing.check_grads(nnet.sigmoid_binary_crossentropy, (logits, t), order=2)


@pytest.mark.parametrize(
    "cost",
    [lambda x, t: nnet.binary_crossentropy(nnet.sigmoid(x), t), lambda x, t: nnet.sigmoid_binary_crossentropy(x, t)],
)
def test_binary_crossentropy_of_a_sigmoid_does_not_overflow(cost):
    x, t = np.array([-1000.0, 1000.0, 1000.0]), np.array([1.0, 0.0, 1.0])
    total, g = tracer.compile(tracer.value_and_grad(lambda x: np.sum(cost(x, t))))(x)
    assert total == 2000
    np.testing.assert_allclose(g, [-1, 1, 0])


def test_categorical_crossentropy():
    expected = -np.log(ROWS[np.arange(6), CLASSES])
    for function in (nnet.categorical_crossentropy, nnet.crossentropy_categorical_1hot):
        np.testing.assert_allclose(value(function, ROWS, CLASSES), expected, rtol=1e-13)
        np.testing.assert_allclose(value(function, ROWS, CLASSES.astype(np.int32)), expected, rtol=1e-13)
        tracer.testing.check_grads(lambda p, f=function: f(p, CLASSES), (ROWS,), order=2)
    one_hot = np.eye(4)[CLASSES]
    np.testing.assert_allclose(value(nnet.categorical_crossentropy, ROWS, one_hot), expected, rtol=1e-13)
    truth = np.random.default_rng(2).dirichlet(np.ones(4), 6)
    expected = scipy.stats.entropy(truth, ROWS, axis=1) + scipy.stats.entropy(truth, axis=1)
    np.testing.assert_allclose(value(nnet.categorical_crossentropy, ROWS, truth), expected, rtol=1e-12)
    tracer.testing.check_grads(nnet.categorical_crossentropy, (ROWS, truth), order=2)
    with pytest.raises(TypeError, match="rank mismatch"):
        nnet.categorical_crossentropy(*variables([ROWS, np.float64(1)]))
    with pytest.raises(IndexError, match="out of bounds"):
        tracer.compile(nnet.categorical_crossentropy)(ROWS, CLASSES + 1)


def test_categorical_crossentropy_of_a_softmax_does_not_overflow():
    x = np.array([[0.0, 1000.0], [-3000.0, 0.0]])
    for target in (np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]])):
        cost = lambda x, t=target: np.sum(nnet.categorical_crossentropy(nnet.softmax(x), t))  # noqa: E731
        total, g = tracer.compile(tracer.value_and_grad(cost))(x)
        assert total == 4000
        np.testing.assert_allclose(g, [[-1, 1], [-1, 1]])


def test_softmax_crossentropies():
    b = np.arange(5.0)
    y = np.array([4, 0, 2])
    p = scipy.special.softmax(X + b, 1)
    cost = -np.log(p[np.arange(3), y])
    expected = (cost, p, p.max(1), p.argmax(1))
    shifted = X + b
    for function, arrays, places in (
        (nnet.crossentropy_softmax_1hot, (shifted, y), (0, 1)),
        (nnet.crossentropy_softmax_1hot_with_bias, (X, b, y), (0, 1)),
        (nnet.crossentropy_softmax_argmax_1hot_with_bias, (X, b, y), (0, 1, 3)),
        (nnet.crossentropy_softmax_max_and_argmax_1hot, (shifted, y), (0, 1, 2, 3)),
        (nnet.crossentropy_softmax_max_and_argmax_1hot_with_bias, (X, b, y), (0, 1, 2, 3)),
    ):
        for found, place in zip(run(function, *arrays), places, strict=True):
            np.testing.assert_allclose(found, expected[place], rtol=1e-12)
    tracer.testing.check_grads(lambda x, b: nnet.crossentropy_softmax_1hot_with_bias(x, b, y)[0], (X, b), order=2)


def confusion(*arrays):
    inputs = variables(arrays)
    outputs = nnet.confusion_matrix(*inputs)
    found = SymbolicProgram(inputs, outputs, {}, "test")(*arrays)
    assert [(item.dtype, item.ndim) for item in found] == [(item.dtype, item.ndim) for item in outputs]
    return found


def test_confusion_matrix():
    actual, predicted = np.array([2, 0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0, 2])
    for dtype in (np.int64, np.int32, np.float64):
        counts, order = confusion(actual.astype(dtype), predicted.astype(dtype))
        assert counts.tolist() == [[2, 0, 0], [0, 0, 1], [1, 0, 2]]
        assert (counts.dtype, order.dtype, order.tolist()) == (np.int64, dtype, [0, 1, 2])
    counts, order = confusion(np.array([7]), np.array([-1]))
    assert (counts.tolist(), order.tolist()) == ([[0, 0], [1, 0]], [-1, 7])
    with pytest.raises(ValueError, match="1-d"):
        nnet.confusion_matrix(*variables([ROWS, CLASSES]))


def test_h_softmax():
    rng = np.random.default_rng(0)
    sizes = {"batch_size": 6, "n_outputs": 10, "n_classes": 4, "n_outputs_per_class": 3}
    x, W1, b1 = rng.standard_normal((6, 5)), rng.standard_normal((5, 4)), rng.standard_normal(4)
    W2, b2 = rng.standard_normal((4, 5, 3)), rng.standard_normal((4, 3))
    first = scipy.special.softmax(x @ W1 + b1, 1)
    expected = np.concatenate([first[:, [c]] * scipy.special.softmax(x @ W2[c] + b2[c], 1) for c in range(4)], 1)[
        :, :10
    ]
    arrays = (x, W1, b1, W2, b2)

    def function(x, W1, b1, W2, b2, target=None):
        return nnet.h_softmax(x, *sizes.values(), W1, b1, W2, b2, target)

    np.testing.assert_allclose(value(function, *arrays), expected, rtol=1e-12)
    target = np.array([0, 9, 3, 5, 5, 8])
    np.testing.assert_allclose(value(function, *arrays, target), expected[np.arange(6), target], rtol=1e-12)
    tracer.testing.check_grads(function, arrays)
    tracer.testing.check_grads(lambda *a: function(*a, target), arrays)


# --- batch normalisation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["low_mem", "high_mem"])
def test_batch_normalization(mode):
    rng = np.random.default_rng(0)
    gamma, beta, mean = rng.standard_normal((3, 5))
    std = rng.uniform(1, 2, 5)
    found = value(lambda *a: nnet.batch_normalization(*a, mode=mode), X, gamma, beta, mean, std)
    np.testing.assert_allclose(found, (X - mean) / std * gamma + beta, rtol=1e-12)
    tracer.testing.check_grads(lambda *a: nnet.batch_normalization(*a, mode=mode), (X, gamma, beta, mean, std), order=2)


@pytest.mark.parametrize("axes", ["per-activation", "spatial", (0,), (0, 2), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("keep", [True, False])
def test_batch_normalization_train_and_test(axes, keep):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3, 2, 5))
    over = {"per-activation": (0,), "spatial": (0, 2, 3)}.get(axes, axes)
    shape = tuple(1 if axis in over else size for axis, size in enumerate(x.shape))
    params = [rng.uniform(0.5, 2, shape) for _ in range(4)]
    gamma, beta, old_mean, old_var = params
    mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
    count = x.size / mean.size
    expected = [
        (x - mean) / np.sqrt(var + 1e-3) * gamma + beta,
        mean,
        1 / np.sqrt(var + 1e-3),
        0.7 * old_mean + 0.3 * mean,
        0.7 * old_var + 0.3 * var * count / (count - 1),
    ]
    tested = (x - old_mean) / np.sqrt(old_var + 1e-3) * gamma + beta
    flags = [tuple(axis in over for axis in range(4))] * 4
    if not keep:
        params = [np.squeeze(item, over) for item in params]
        expected[1:] = [np.squeeze(item, over) for item in expected[1:]]
        flags = [(False,) * item.ndim for item in params]

    def train(x, gamma, beta, mean, var):
        return nnet.batch_normalization_train(x, gamma, beta, axes, 1e-3, 0.3, mean, var)

    def test(x, gamma, beta, mean, var):
        return nnet.batch_normalization_test(x, gamma, beta, mean, var, axes, 1e-3)

    flags = [(False,) * 4, *flags]
    for found, wanted in zip(run(train, x, *params, broadcastable=flags), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
    short = run(
        lambda x, g, b: nnet.batch_normalization_train(x, g, b, axes, 1e-3), x, *params[:2], broadcastable=flags[:3]
    )
    for found, wanted in zip(short, expected[:3], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(value(test, x, *params, broadcastable=flags), tested, rtol=1e-11)
    tracer.testing.check_grads(
        lambda x, g, b: nnet.batch_normalization_train(x, g, b, axes)[0], (x, *params[:2]), order=2
    )
    tracer.testing.check_grads(test, (x, *params))


def test_batch_normalization_of_one_sample_has_no_unbiased_variance():
    one = np.ones(5)
    found = run(lambda x, g: nnet.batch_normalization_train(x, g, g, running_mean=g, running_var=g), X[:1], one)
    assert np.isnan(found[4]).all() and np.isfinite(found[3]).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"axes": "rows"}, "invalid axes"),
        ({"axes": ()}, "at least one"),
        ({"axes": (2,)}, "less than ndim"),
        ({"epsilon": 1e-6}, "at least 1e-5"),
        ({"running_mean": np.ones(5)}, "both"),
        ({"running_mean": np.ones(5), "running_var": np.ones((1, 5))}, "running_var has 2 instead of 1"),
    ],
    ids=str,
)
def test_batch_normalization_errors(options, text):
    one = np.ones(5)
    with pytest.raises(ValueError, match=text):
        nnet.batch_normalization_train(*variables([X, one, one]), **options)


def test_batch_normalization_other_errors():
    one = np.ones(5)
    with pytest.raises(ValueError, match="mode must be"):
        nnet.batch_normalization(*variables([X, one, one, one, one]), mode="fast")
    with pytest.raises(ValueError, match="beta has 2 instead of 1"):
        nnet.batch_normalization_test(*variables([X, one, one[None], one, one]))


def test_the_smallest_epsilon_is_told_in_single_precision(monkeypatch):
    monkeypatch.setattr(config, "floatX", "float32")
    one = np.ones(5, np.float32)
    with pytest.raises(ValueError, match="at least 1e-5"):
        nnet.batch_normalization_train(*variables([X.astype(np.float32), one, one]), epsilon=1e-5)
