"""Tables of vectors that are looked up and updated by rows: word vectors, ratings, one-hot codes and masks."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T


@pytest.fixture(params=["float64", "float32"], autouse=True)
def precision(request):
    with theano.config.changed(floatX=request.param):
        yield request.param


def table(rows, columns, seed, name=None):
    start = np.random.RandomState(seed).randn(rows, columns)
    return theano.shared(np.asarray(start, dtype=theano.config.floatX), name=name)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_skip_gram_with_negative_samples_changes_only_the_rows_of_its_words(precision):
    inner, outer = table(30, 8, 0, "inner"), table(30, 8, 1, "outer")
    center, context, negative = T.ivector("center"), T.ivector("context"), T.imatrix("negative")
    rate = T.scalar("rate")
    h, o = inner[center], outer[context]
    n = outer[negative.flatten()].reshape((negative.shape[0], negative.shape[1], 8))
    positive = T.log(T.nnet.sigmoid((h * o).sum(axis=1)))
    others = T.log(T.nnet.sigmoid(-(h.dimshuffle(0, "x", 1) * n).sum(axis=2))).sum(axis=1)
    cost = -T.mean(positive + others)
    gradients = T.grad(cost, [h, o])
    train = theano.function(
        [center, context, negative, rate],
        cost,
        updates=[
            (inner, T.inc_subtensor(h, -rate * gradients[0])),
            (outer, T.inc_subtensor(outer[context], -rate * gradients[1])),
        ],
        allow_input_downcast=True,
    )
    words = np.array([1, 2, 1]), np.array([3, 3, 5]), np.random.RandomState(2).randint(6, 30, (3, 4))
    W, V = inner.get_value().astype("float64"), outer.get_value().astype("float64")
    found = train(*words, 0.5)

    near = (W[words[0]] * V[words[1]]).sum(1)
    far = (W[words[0]][:, None] * V[words[2]]).sum(2)
    assert found.dtype == inner.get_value().dtype == precision
    np.testing.assert_allclose(found, -np.mean(np.log(sigmoid(near)) + np.log(sigmoid(-far)).sum(1)), rtol=1e-5)
    inside = -(sigmoid(-near)[:, None] * V[words[1]] - (sigmoid(far)[:, :, None] * V[words[2]]).sum(1)) / 3
    outside = -sigmoid(-near)[:, None] * W[words[0]] / 3
    np.add.at(W, words[0], -0.5 * inside)
    np.add.at(V, words[1], -0.5 * outside)
    np.testing.assert_allclose(inner.get_value(), W, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outer.get_value(), V, rtol=1e-4, atol=1e-6)


def test_a_window_of_words_is_one_long_row_and_the_table_can_be_normalised(precision):
    words = table(11, 3, 0)
    windows = T.imatrix("windows")
    x = words[windows].reshape((windows.shape[0], 3 * windows.shape[1]))
    indices = np.arange(10, dtype="int32").reshape(2, 5)
    np.testing.assert_array_equal(theano.function([windows], x)(indices), words.get_value()[indices].reshape(2, 15))
    lengths = T.sqrt((words**2).sum(axis=1)).dimshuffle(0, "x")
    theano.function([], updates={words: words / lengths})()
    np.testing.assert_allclose((words.get_value() ** 2).sum(1), 1, rtol=1e-5)
    assert words.get_value().dtype == precision


def test_a_full_gradient_of_a_table_is_that_of_its_rows(precision):
    words = table(10, 4, 0)
    rows = T.lvector("rows")
    cost = T.tanh(words[rows]).sum()
    gradient = theano.function([rows], T.grad(cost, words))([1, 1, 3])
    expected = np.zeros((10, 4))
    np.add.at(expected, [1, 1, 3], 1 - np.tanh(words.get_value()[[1, 1, 3]].astype("float64")) ** 2)
    assert gradient.dtype == precision
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_ratings_are_factorised(precision):
    users, films, bias = table(8, 3, 0), table(6, 3, 1), theano.shared(np.zeros(8, precision))
    u, v, r = T.ivector("u"), T.ivector("v"), T.vector("r")
    predicted = T.sum(users[u] * films[v], axis=1) + bias[u]
    error = T.mean((r - predicted) ** 2)
    params = [users, films, bias]
    cost = error + 1e-4 * sum(T.sum(p**2) for p in params)
    updates = [(p, p - 0.2 * g) for p, g in zip(params, T.grad(cost, params), strict=True)]
    train = theano.function([u, v, r], error, updates=updates, allow_input_downcast=True)
    rng = np.random.RandomState(0)
    rows, columns = (item.ravel() for item in np.indices((8, 6)))
    ratings = (rng.randn(8, 2) @ rng.randn(2, 6))[rows, columns]
    errors = [train(rows, columns, ratings) for _ in range(400)]
    assert errors[0] > 1.0 > 0.02 > errors[-1]
    assert errors[-1].dtype == precision


def test_sentences_of_several_lengths_are_masked(precision):
    lengths, x = T.ivector("lengths"), T.tensor3("x")
    mask = T.lt(T.arange(lengths.max()).dimshuffle("x", 0), lengths.dimshuffle(0, "x"))
    weights = T.cast(mask, theano.config.floatX)
    mean = (x * weights[:, :, None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    f = theano.function([x, lengths], [mask, mean, (mask * 0.5).sum(axis=1)])
    for counts in ([2, 4], [3, 1, 2]):
        value = np.random.RandomState(0).randn(len(counts), max(counts), 3).astype(precision)
        found, average, half = f(value, counts)
        assert average.dtype == half.dtype == precision
        np.testing.assert_array_equal(found.sum(1), counts)
        expected = [item[:count].mean(0) for item, count in zip(value, counts, strict=True)]
        np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(half, np.array(counts) / 2)


def test_characters_become_one_hot_rows_and_counts(precision):
    letters = T.ivector("letters")
    codes = T.extra_ops.to_one_hot(letters, 26)
    compared = T.eq(T.arange(26).dimshuffle("x", 0), letters.dimshuffle(0, "x"))
    scattered = T.set_subtensor(T.zeros((letters.shape[0], 26))[T.arange(letters.shape[0]), letters], 1)
    f = theano.function([letters], [codes, compared, scattered, codes.sum(axis=0)])
    value = np.frombuffer(b"hello", np.uint8).astype("int32") - ord("a")
    *rows, counts = f(value)
    for found in rows:
        np.testing.assert_array_equal(found, np.eye(26)[value])
    np.testing.assert_array_equal(counts, np.bincount(value, minlength=26))
    assert codes.dtype == scattered.dtype == precision
