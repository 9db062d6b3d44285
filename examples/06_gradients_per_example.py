"""Which examples does a fit hang on? One gradient and one leverage per example, all in one program, with `vmap`."""

import sys
from collections.abc import Sequence

import numpy as np

import tracer

Parameters = dict[str, np.ndarray]


def predict(parameters: Parameters, x: np.ndarray) -> np.ndarray:
    """The probability that one example, a vector, is of class 1."""
    hidden = np.tanh(parameters["w"] @ x + parameters["b"])
    return 1 / (1 + np.exp(-(parameters["v"] @ hidden)))


def loss(parameters: Parameters, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    p = predict(parameters, x)
    return -np.where(y == 1, np.log(p), np.log(1 - p))


def main(arguments: Sequence[str] = ()) -> None:
    examples = int(arguments[0]) if arguments else 200
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 2))
    y = (np.prod(x, axis=1) > 0).astype(int)
    wrong = rng.choice(examples, examples // 20, replace=False)
    y[wrong] = 1 - y[wrong]  # labels that do not belong
    parameters = {"w": rng.normal(size=(16, 2)), "b": rng.normal(size=16), "v": 0.1 * rng.normal(size=16)}

    mean_loss = tracer.compile(
        tracer.value_and_grad(lambda p: np.mean(tracer.vmap(loss, in_axes=(None, 0, 0))(p, x, y)))
    )
    for step in range(1001):
        cost, gradient = mean_loss(parameters)
        parameters = {name: value - 0.5 * gradient[name] for name, value in parameters.items()}
        if step % 250 == 0:
            print(f"step {step:4d}  mean loss {cost:.4f}")

    per_example = tracer.vmap(tracer.grad(loss), in_axes=(None, 0, 0))(parameters, x, y)
    norms = np.sqrt(sum(np.sum(part.reshape(examples, -1) ** 2, axis=1) for part in per_example.values()))
    suspects = np.argsort(norms)[-wrong.size :]
    print(f"{wrong.size} wrong labels; {np.isin(suspects, wrong).sum()} of them have the largest gradients")


if __name__ == "__main__":
    main(sys.argv[1:])
