"""Sparse matrices on a GPU: their products are those of cuSPARSE, and give what they give on the CPU."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from cuda import cupy_double
from cuda.player import needs_compiler

import tracer
import tracer.tensor as T
from tracer import sparse

pytestmark = needs_compiler
RANDOM = np.random.default_rng(5)
X = scipy.sparse.random(7, 5, 0.4, random_state=1, format="csr")
Y = scipy.sparse.random(5, 6, 0.4, random_state=2, format="csr")
EMPTY = scipy.sparse.csr_matrix((7, 5))
W = RANDOM.normal(size=(5, 3))


def check(gpu, inputs, outputs, *values):
    """A function of variables gives on the GPU what it gives on the CPU, and nothing but cuSPARSE multiplies there."""
    expected = tracer.function(inputs, outputs)(*values)
    cupy_double.launches.clear()
    with tracer.config.changed(device="gpu"), warnings.catch_warnings():
        warnings.simplefilter("error", tracer.errors.DeviceWarning)
        function = tracer.function(inputs, outputs)
        for _ in range(3):
            for one, other in zip(function(*values), expected, strict=True):
                one, other = [item.toarray() if scipy.sparse.issparse(item) else item for item in (one, other)]
                assert one.dtype == other.dtype
                np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == np.float32 else 1e-12)
    return "cusparse" in cupy_double.launches


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_with_dense_matrices_and_their_gradients(gpu, dtype):
    x, w = sparse.SparseType("csr", dtype)("x"), T.TensorType(dtype, (None, None))("w")
    product = sparse.dot(x, w)
    slopes = tracer.grad((product**2).sum(), [x, w])
    assert check(gpu, [x, w], [product, *slopes], X.astype(dtype), W.astype(dtype))
    assert not check(gpu, [x, w], [product, *slopes], EMPTY.astype(dtype), W.astype(dtype))


def test_products_of_sparse_matrices_and_their_gradients(gpu):
    x, y = sparse.csr_matrix("x"), sparse.csr_matrix("y")
    product = sparse.true_dot(x, y)
    slopes = tracer.grad((sparse.dense_from_sparse(product) ** 2).sum(), [x, y])
    assert check(gpu, [x, y], [product, *slopes], X, Y)
    assert not check(gpu, [x, y], [product, *slopes], EMPTY, Y)


def test_a_sparse_layer_is_trained(gpu):
    targets = (X @ RANDOM.normal(size=5) > 0).astype(float)
    costs = {}
    for name in ("cpu", "gpu"):
        with tracer.config.changed(device=name):
            x, y = sparse.csr_matrix("x"), T.dvector("y")
            w = tracer.shared(np.zeros(5))
            cost = T.nnet.binary_crossentropy(T.nnet.sigmoid(sparse.dot(x, w)), y).mean()
            train = tracer.function([x, y], cost, updates=[(w, w - 2.0 * tracer.grad(cost, w))])
            costs[name] = [float(train(X, targets)) for _ in range(5)]
    np.testing.assert_allclose(costs["gpu"], costs["cpu"], rtol=1e-12)
    assert costs["gpu"][-1] < costs["gpu"][0]


def test_integers_are_multiplied_on_the_host(gpu):
    x, w = sparse.SparseType("csr", "int64")("x"), T.lmatrix("w")
    values = scipy.sparse.csr_matrix(np.arange(6).reshape(2, 3)), np.arange(12).reshape(3, 4)
    with tracer.config.changed(device="gpu"):
        function = tracer.function([x, w], sparse.dot(x, w))
        with pytest.warns(tracer.errors.DeviceWarning, match="compressed_times"):
            found = function(*values)
    np.testing.assert_array_equal(found, values[0] @ values[1])
