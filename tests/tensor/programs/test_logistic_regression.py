"""Softmax regression on handwritten digits: minibatches of shared data by a symbolic index, and a pickled model."""

import pickle

import numpy
import pytest

import tracer as theano
import tracer.tensor as T

datasets = pytest.importorskip("sklearn.datasets")

BATCH = 100


class LogisticRegression:
    """A layer of weights and biases, with its cost and its errors as expressions."""

    def __init__(self, input, n_in, n_out):
        self.W = theano.shared(value=numpy.zeros((n_in, n_out), dtype=theano.config.floatX), name="W", borrow=True)
        self.b = theano.shared(value=numpy.zeros((n_out,), dtype=theano.config.floatX), name="b", borrow=True)
        self.p_y_given_x = T.nnet.softmax(T.dot(input, self.W) + self.b)
        self.y_pred = T.argmax(self.p_y_given_x, axis=1)
        self.params = [self.W, self.b]
        self.input = input

    def negative_log_likelihood(self, y):
        return -T.mean(T.log(self.p_y_given_x)[T.arange(y.shape[0]), y])

    def errors(self, y):
        if y.ndim != self.y_pred.ndim:
            raise TypeError("y should have the same shape as self.y_pred", ("y", y.type, "y_pred", self.y_pred.type))
        if y.dtype.startswith("int"):
            return T.mean(T.neq(self.y_pred, y))
        raise NotImplementedError()


def shared_dataset(data_x, data_y):
    """Data in shared variables; the labels as floats, cast back in the expressions."""
    shared_x = theano.shared(numpy.asarray(data_x, dtype=theano.config.floatX), borrow=True)
    shared_y = theano.shared(numpy.asarray(data_y, dtype=theano.config.floatX), borrow=True)
    return shared_x, T.cast(shared_y, "int32")


@pytest.mark.parametrize("floatX", ["float64", "float32"])
def test_training_with_early_stopping_and_a_pickled_model(floatX, tmp_path):
    with theano.config.change_flags(floatX=floatX):
        digits = datasets.load_digits()
        data = digits.data / 16
        train_set_x, train_set_y = shared_dataset(data[:1000], digits.target[:1000])
        valid_set_x, valid_set_y = shared_dataset(data[1000:1400], digits.target[1000:1400])
        n_train_batches = train_set_x.get_value(borrow=True).shape[0] // BATCH
        n_valid_batches = valid_set_x.get_value(borrow=True).shape[0] // BATCH

        index = T.lscalar()
        x = T.matrix("x")
        y = T.ivector("y")
        classifier = LogisticRegression(input=x, n_in=64, n_out=10)
        cost = classifier.negative_log_likelihood(y)
        batch = slice(index * BATCH, (index + 1) * BATCH)
        validate_model = theano.function(
            inputs=[index],
            outputs=classifier.errors(y),
            givens={x: valid_set_x[batch], y: valid_set_y[batch]},
        )
        g_W = T.grad(cost=cost, wrt=classifier.W)
        g_b = T.grad(cost=cost, wrt=classifier.b)
        updates = [(classifier.W, classifier.W - 0.5 * g_W), (classifier.b, classifier.b - 0.5 * g_b)]
        train_model = theano.function(
            inputs=[index],
            outputs=cost,
            updates=updates,
            givens={x: train_set_x[batch], y: train_set_y[batch]},
        )

        best, path = numpy.inf, tmp_path / "best_model.pkl"
        costs = []
        for _ in range(30):
            costs.append(numpy.mean([train_model(number) for number in range(n_train_batches)]))
            loss = numpy.mean([validate_model(number) for number in range(n_valid_batches)])
            if loss < best:
                best = loss
                with open(path, "wb") as f:
                    pickle.dump(classifier, f)
        assert classifier.W.get_value().dtype == floatX
        assert costs[-1] < costs[0] / 3
        assert best < 0.12

        with open(path, "rb") as f:
            stored = pickle.load(f)
        predict_model = theano.function(inputs=[stored.input], outputs=stored.y_pred)
        predicted = predict_model(numpy.asarray(data[1400:], dtype=floatX))
        assert numpy.mean(predicted == digits.target[1400:]) > 0.85


def test_the_first_step_is_plain_descent():
    digits = datasets.load_digits()
    data, target = digits.data[:200] / 16, digits.target[:200].astype("int32")
    x, y = T.matrix("x"), T.ivector("y")
    classifier = LogisticRegression(x, 64, 10)
    cost = classifier.negative_log_likelihood(y)
    gradients = T.grad(cost, classifier.params)
    step = theano.function(
        [x, y], cost, updates=[(p, p - 0.5 * g) for p, g in zip(classifier.params, gradients, strict=True)]
    )
    assert step(data, target) == pytest.approx(numpy.log(10))
    slope = (numpy.full((200, 10), 0.1) - numpy.eye(10)[target]) / 200
    numpy.testing.assert_allclose(classifier.W.get_value(), -0.5 * data.T @ slope, rtol=1e-10, atol=1e-12)
    numpy.testing.assert_allclose(classifier.b.get_value(), -0.5 * slope.sum(0), rtol=1e-10, atol=1e-12)
