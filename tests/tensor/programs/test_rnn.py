"""A classic program: a simple recurrent network, trained through time, also in pieces with its state kept between."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T

UNITS, DELAY, CLIP = 16, 3, 1.0


class RecurrentNetwork:
    """h(t) = tanh(x(t) W_in + h(t - 1) W + b_h), y(t) = h(t) W_out + b_y, for a batch of sequences at once."""

    def __init__(self, rng, inputs, units, outputs):
        def weights(rows, columns, scale):
            return scale * rng.standard_normal((rows, columns))

        values = {
            "W_in": weights(inputs, units, 0.5),
            "W": np.linalg.qr(rng.standard_normal((units, units)))[0],
            "W_out": weights(units, outputs, 0.1),
            "b_h": np.zeros(units),
            "b_y": np.zeros(outputs),
        }
        self.params = {name: theano.shared(value.astype(theano.config.floatX), name) for name, value in values.items()}
        self.units = units

    def step(self, x_t, h_tm1, w_in, w, w_out, b_h, b_y):
        h_t = T.tanh(T.dot(x_t, w_in) + T.dot(h_tm1, w) + b_h)
        return h_t, T.dot(h_t, w_out) + b_y

    def apply(self, x, h0, **options):
        """Hidden states and outputs at all times; x is (time, samples, inputs)."""
        (h, y), _ = theano.scan(
            self.step, x, [h0, None], list(self.params.values()), strict=True, name="rnn", **options
        )
        return h, y

    def descend(self, cost, rate, momentum=0.9):
        """Updates by gradients that are cut to a greatest length, with momentum."""
        params = list(self.params.values())
        gradients = T.grad(cost, params)
        length = T.sqrt(sum(T.sum(g**2) for g in gradients))
        shrink = T.switch(length > CLIP, CLIP / length, 1.0)
        updates = []
        for param, gradient in zip(params, gradients, strict=True):
            velocity = theano.shared(np.zeros_like(param.get_value()))
            change = momentum * velocity - rate * shrink * gradient
            updates += [(velocity, change), (param, param + change)]
        return updates


def echo_task(rng, length, samples):
    """Random bits, and the same bits some steps later."""
    bits = rng.integers(0, 2, (length + DELAY, samples, 1)).astype(theano.config.floatX)
    return 2 * bits[DELAY:] - 1, 2 * bits[:-DELAY] - 1


def test_it_learns_to_repeat_with_a_delay():
    network = RecurrentNetwork(np.random.default_rng(0), 1, UNITS, 1)
    x, t = T.tensor3("x"), T.tensor3("t")
    _, y = network.apply(x, T.zeros((x.shape[1], UNITS)))
    cost = T.mean((y[DELAY:] - t[DELAY:]) ** 2)
    train = theano.function([x, t], cost, updates=network.descend(cost, 0.05))
    rng = np.random.default_rng(1)
    costs = [train(*echo_task(rng, 15, 20)) for _ in range(400)]
    assert costs[0] > 0.8
    assert np.mean(costs[-20:]) < 0.05


def test_sequences_of_any_length():
    network = RecurrentNetwork(np.random.default_rng(0), 1, UNITS, 1)
    x = T.tensor3("x")
    _, y = network.apply(x, T.zeros((x.shape[1], UNITS)))
    predict = theano.function([x], y)
    values, _ = echo_task(np.random.default_rng(2), 9, 2)
    whole = predict(values)
    for length in (1, 4, 9):
        np.testing.assert_allclose(predict(values[:length]), whole[:length], rtol=1e-12)


def test_state_kept_between_calls_goes_on_where_it_stopped():
    network = RecurrentNetwork(np.random.default_rng(0), 1, UNITS, 1)
    x, state = T.tensor3("x"), theano.shared(np.zeros((2, UNITS)), name="state")
    h, y = network.apply(x, state)
    piecewise = theano.function([x], y, updates=[(state, h[-1])])
    values, _ = echo_task(np.random.default_rng(3), 12, 2)
    pieces = [piecewise(values[start : start + 4]) for start in (0, 4, 8)]
    state.zero()
    np.testing.assert_allclose(np.concatenate(pieces), piecewise(values), rtol=1e-12)


def test_training_in_pieces_with_gradients_cut_at_their_borders():
    network = RecurrentNetwork(np.random.default_rng(0), 1, UNITS, 1)
    x, t = T.tensor3("x"), T.tensor3("t")
    state = theano.shared(np.zeros((20, UNITS)), name="state")
    h, y = network.apply(x, state, truncate_gradient=8)
    cost = T.mean((y - t) ** 2)
    train = theano.function([x, t], cost, updates=[*network.descend(cost, 0.05), (state, h[-1])])
    rng = np.random.default_rng(1)
    costs = []
    for _ in range(40):
        values, wanted = echo_task(rng, 100, 20)
        costs += [train(values[start : start + 10], wanted[start : start + 10]) for start in range(0, 100, 10)]
    assert np.mean(costs[-20:]) < 0.1


@pytest.mark.parametrize("backwards", [False, True])
def test_against_numpy(backwards):
    network = RecurrentNetwork(np.random.default_rng(4), 2, 3, 2)
    x, t = T.tensor3("x"), T.tensor3("t")
    h, y = network.apply(x, T.zeros((x.shape[1], 3)), go_backwards=backwards)
    cost = T.mean((y - t) ** 2)
    f = theano.function([x, t], [h, y, *T.grad(cost, [network.params["W"], network.params["W_in"]])])
    rng = np.random.default_rng(5)
    values, wanted = rng.standard_normal((5, 4, 2)), rng.standard_normal((5, 4, 2))
    w_in, w, w_out, b_h, b_y = (item.get_value() for item in network.params.values())
    rows = values[::-1] if backwards else values
    states = [np.zeros((4, 3))]
    for row in rows:
        states.append(np.tanh(row @ w_in + states[-1] @ w + b_h))
    outputs = np.array(states[1:]) @ w_out + b_y
    errors = 2 * (outputs - wanted) / wanted.size
    back, gw, gw_in = np.zeros((4, 3)), np.zeros_like(w), np.zeros_like(w_in)
    for step in range(4, -1, -1):
        back = (back + errors[step] @ w_out.T) * (1 - states[step + 1] ** 2)
        gw += states[step].T @ back
        gw_in += rows[step].T @ back
        back = back @ w.T
    for found, expected in zip(f(values, wanted), [states[1:], outputs, gw, gw_in], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
