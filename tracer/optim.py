"""Rules that turn gradients into updates of parameters, for `tracer.compile(updates=...)`.

Each is called with a learning rate and hands `compile` an `UpdateRule`. State (momenta, averages, step counts) is kept
in shared variables of the rule, made when it first meets a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.tracing.shared import Shared, shared

Pairs = list[tuple[Shared, Any]]
Step = Callable[["UpdateRule", Shared, Any], Pairs]


class UpdateRule:
    """How parameters follow from their gradients.

    Attributes
    ----------
    name : str
        For messages.
    params : list of Shared, or None
        What to train; None for every float shared variable that the cost depends on.
    """

    def __init__(self, name: str, step: Step, params: Sequence[Shared] | None, clock: bool = False) -> None:
        self.name = name
        self.params = None if params is None else list(params)
        self._step = step
        self._clock = shared(0.0, f"{name} steps") if clock else None
        self._states: dict[tuple[Shared, str], Shared] = {}

    def pairs(self, params: Sequence[Shared], gradients: Sequence[Any]) -> Pairs:
        """The updates of parameters, and of the rule's own state, for their gradients."""
        result: Pairs = []
        for parameter, gradient in zip(params, gradients, strict=True):
            result += self._step(self, parameter, gradient)
        if self._clock is not None:
            result.append((self._clock, self._clock + 1.0))
        return result

    def state(self, parameter: Shared, name: str) -> Shared:
        """The named state of a parameter: zeros of its shape and dtype at first."""
        found = self._states.get((parameter, name))
        if found is None or found.shape != parameter.shape:
            label = f"{parameter.name or 'parameter'} {name}"
            found = shared(np.zeros(parameter.shape, parameter.dtype), label)
            self._states[parameter, name] = found
        return found

    def time(self, parameter: Shared) -> Any:
        """The number of this step, from 1, in the parameter's dtype."""
        assert self._clock is not None
        return (self._clock + 1.0).astype(parameter.dtype)

    def __repr__(self) -> str:
        return f"tracer.optim.{self.name}"


def sgd(learning_rate: Any, params: Sequence[Shared] | None = None) -> UpdateRule:
    """Gradient descent: p - rate * g.

    Parameters
    ----------
    learning_rate : float or Shared
        The step size; a shared variable may be changed between calls.
    params : list of Shared, optional
        What to train; every float shared variable that the cost depends on if None.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> w = tracer.shared(np.array([4.0]), name="w")
    >>> step = tracer.compile(lambda x: np.sum((w * x) ** 2), updates=tracer.optim.sgd(0.25))
    >>> float(step(np.array([1.0]))), w.get_value()
    (16.0, array([2.]))
    """
    rate = _rate(learning_rate)
    return UpdateRule("sgd", lambda rule, p, g: [(p, p - rate(p) * g)], params)


def momentum(
    learning_rate: Any, momentum: float = 0.9, nesterov: bool = False, params: Sequence[Shared] | None = None
) -> UpdateRule:
    """Gradient descent with a velocity v = momentum * v - rate * g; Nesterov's form looks one step ahead.

    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
    """
    rate = _rate(learning_rate)

    def step(rule: UpdateRule, p: Shared, g: Any) -> Pairs:
        velocity = rule.state(p, "velocity")
        new = momentum * velocity - rate(p) * g
        moved = p + momentum * new - rate(p) * g if nesterov else p + new
        return [(p, moved), (velocity, new)]

    return UpdateRule("momentum", step, params)


def adagrad(learning_rate: Any = 0.01, epsilon: float = 1e-6, params: Sequence[Shared] | None = None) -> UpdateRule:
    """Steps scaled by the root of the sum of all squared gradients so far.

    Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12, 2011.
    """
    rate = _rate(learning_rate)

    def step(rule: UpdateRule, p: Shared, g: Any) -> Pairs:
        total = rule.state(p, "squares")
        new = total + g * g
        return [(p, p - rate(p) * g / np.sqrt(new + epsilon)), (total, new)]

    return UpdateRule("adagrad", step, params)


def rmsprop(
    learning_rate: Any = 0.001, decay: float = 0.9, epsilon: float = 1e-6, params: Sequence[Shared] | None = None
) -> UpdateRule:
    """Steps scaled by the root of a moving average of squared gradients.

    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012.
    """
    rate = _rate(learning_rate)

    def step(rule: UpdateRule, p: Shared, g: Any) -> Pairs:
        average = rule.state(p, "squares")
        new = decay * average + (1.0 - decay) * g * g
        return [(p, p - rate(p) * g / np.sqrt(new + epsilon)), (average, new)]

    return UpdateRule("rmsprop", step, params)


def adadelta(
    learning_rate: Any = 1.0, decay: float = 0.95, epsilon: float = 1e-6, params: Sequence[Shared] | None = None
) -> UpdateRule:
    """Steps in the units of the parameter, from moving averages of squared gradients and squared steps.

    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """
    rate = _rate(learning_rate)

    def step(rule: UpdateRule, p: Shared, g: Any) -> Pairs:
        squares, steps = rule.state(p, "squares"), rule.state(p, "steps")
        new = decay * squares + (1.0 - decay) * g * g
        change = g * np.sqrt(steps + epsilon) / np.sqrt(new + epsilon)
        return [
            (p, p - rate(p) * change),
            (squares, new),
            (steps, decay * steps + (1.0 - decay) * change * change),
        ]

    return UpdateRule("adadelta", step, params)


def adam(
    learning_rate: Any = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    params: Sequence[Shared] | None = None,
) -> UpdateRule:
    """Steps from bias-corrected moving averages of gradients and their squares; `weight_decay` is decoupled (AdamW).

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; Loshchilov and Hutter, "Decoupled weight
    decay regularization", ICLR 2019.
    """
    rate = _rate(learning_rate)

    def step(rule: UpdateRule, p: Shared, g: Any) -> Pairs:
        mean, square, time = rule.state(p, "mean"), rule.state(p, "square"), rule.time(p)
        new_mean = beta1 * mean + (1.0 - beta1) * g
        new_square = beta2 * square + (1.0 - beta2) * g * g
        size = rate(p) * np.sqrt(1.0 - beta2**time) / (1.0 - beta1**time)
        change = size * new_mean / (np.sqrt(new_square) + epsilon * np.sqrt(1.0 - beta2**time))
        moved = p - change - rate(p) * weight_decay * p if weight_decay else p - change
        return [(p, moved), (mean, new_mean), (square, new_square)]

    return UpdateRule("adam", step, params, clock=True)


def _rate(learning_rate: Any) -> Callable[[Shared], Any]:
    """The learning rate in a parameter's dtype, so that a float64 rate does not widen float32 parameters."""
    if isinstance(learning_rate, Shared):
        return lambda p: learning_rate if learning_rate.dtype == p.dtype else learning_rate.astype(p.dtype)
    if not isinstance(learning_rate, int | float | np.floating) or isinstance(learning_rate, bool):
        raise TypeError(f"learning_rate must be a float or a shared variable, not {learning_rate!r}")
    return lambda p: float(learning_rate)
