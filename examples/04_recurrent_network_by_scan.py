"""A recurrent network written as in Theano: symbolic variables, `scan` over time, gradients through the loop."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer as theano
import tracer.tensor as T

HIDDEN, LENGTH, BATCH = 32, 20, 50


def main(arguments: Sequence[str] = ()) -> None:
    training_steps = int(arguments[0]) if arguments else 1000
    rng = np.random.RandomState(0)

    def matrix(rows: int, columns: int, name: str) -> theano.Shared:
        return theano.shared(rng.randn(rows, columns) / np.sqrt(rows), name=name)

    w_in, w, w_out = matrix(1, HIDDEN, "w_in"), matrix(HIDDEN, HIDDEN, "w"), matrix(HIDDEN, 1, "w_out")
    b = theano.shared(np.zeros(HIDDEN), name="b")
    parameters = [w_in, w, w_out, b]

    x = T.tensor3("x")  # time, sequence, 1
    target = T.matrix("target")  # time, sequence
    states, _ = theano.scan(
        lambda x_t, h: T.tanh(T.dot(x_t, w_in) + T.dot(h, w) + b),
        sequences=x,
        outputs_info=T.zeros((x.shape[1], HIDDEN)),
    )
    output = T.dot(states, w_out)[:, :, 0]
    cost = T.mean((output - target) ** 2)

    # Steps of a fixed length relative to a running mean of the squared gradient.
    updates = []
    for parameter, gradient in zip(parameters, T.grad(cost, parameters), strict=True):
        mean = theano.shared(np.zeros(parameter.shape), name=f"mean of {parameter.name}")
        new_mean = 0.99 * mean + 0.01 * gradient**2
        updates += [(mean, new_mean), (parameter, parameter - 0.001 * gradient / (T.sqrt(new_mean) + 1e-6))]
    train = theano.function([x, target], cost, updates=updates)
    predict = theano.function([x], output)

    def sequences(count: int) -> tuple[np.ndarray, np.ndarray]:
        """Random numbers, and at each time the mean of the last three of them."""
        numbers = rng.uniform(-1, 1, (LENGTH, count))
        padded = np.concatenate([np.zeros((2, count)), numbers])
        return numbers[:, :, None], (padded[:-2] + padded[1:-1] + padded[2:]) / 3

    for step in range(training_steps):
        error = train(*sequences(BATCH))
        if step % max(training_steps // 5, 1) == 0:
            print(f"step {step:5d}  squared error {error:.5f}")
    inputs, wanted = sequences(200)
    error = np.mean((predict(inputs) - wanted) ** 2)
    print(f"squared error on new sequences: {error:.5f}, of the mean alone: {np.mean(wanted**2):.5f}")


if __name__ == "__main__":
    main(sys.argv[1:])
