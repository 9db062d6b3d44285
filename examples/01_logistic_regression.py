"""Logistic regression on random data: the classic first training program of Theano, in plain NumPy."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer

N, FEATS = 400, 784


def main(arguments: Sequence[str] = ()) -> None:
    training_steps = int(arguments[0]) if arguments else 10_000
    rng = np.random.RandomState(0)
    x, y = rng.randn(N, FEATS), rng.randint(size=N, low=0, high=2)

    w = tracer.shared(rng.randn(FEATS), name="w")
    b = tracer.shared(0.0, name="b")
    print("Initial model:")
    print(w.get_value())
    print(b.get_value())

    def probability(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ w) - b))  # that the target is 1

    # Each call is one step of gradient descent on the cost that it returns.
    @tracer.compile(updates=tracer.optim.sgd(0.1))
    def train(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        p_1 = probability(x)
        cross_entropy = -y * np.log(p_1) - (1 - y) * np.log(1 - p_1)
        return cross_entropy.mean() + 0.01 * (w**2).sum()

    @tracer.compile
    def predict(x: np.ndarray) -> np.ndarray:
        return probability(x) > 0.5

    first = train(x, y)
    for _ in range(training_steps - 1):
        last = train(x, y)

    print("Final model:")
    print(w.get_value())
    print(b.get_value())
    print("target values for D:")
    print(y)
    print("prediction on D:")
    print(predict(x).astype(int))
    print(f"cost: {first:.4f} -> {last:.4f}, right: {np.mean(predict(x) == y):.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
