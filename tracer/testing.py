"""Checks that a user or a test can run: derivatives against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.compiled import Compiled
from tracer.derivatives.forward import jvp
from tracer.derivatives.reverse import value_and_grad
from tracer.tree import flatten, unflatten

Array = np.ndarray[Any, Any]


def check_grads(
    function: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("reverse", "forward"),
    *,
    eps: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    backend: str | None = None,
    seed: int = 0,
) -> None:
    """Compare derivatives with central finite differences along random directions.

    Parameters
    ----------
    function : callable
        A NumPy function of `args`; its result may be a nest of arrays.
    args : sequence
        Positional arguments, nests of floating-point (float64 for tight tolerances) or complex arrays. Others, such as
        integer arrays, are held fixed.
    order : int
        Up to which order; 2 also checks the derivative of the gradient.
    modes : sequence of {"reverse", "forward"}
        Which modes to check.
    eps : float, optional
        The step; the cube root of the machine epsilon, scaled, if None.
    rtol, atol : float
        Tolerances of the comparison.
    backend : str, optional
        The executor.
    seed : int
        Of the random directions.

    Raises
    ------
    AssertionError
        If a derivative is wrong; the text names the mode, the order and the values.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.testing.check_grads(np.tanh, (np.array([0.5, -1.0]),), order=2)
    """
    unknown = set(modes) - {"reverse", "forward"}
    if unknown or order < 1:
        raise ValueError(f"modes are 'reverse' and 'forward', order is at least 1; got {modes!r}, {order!r}")
    random = np.random.default_rng(seed)
    floats, rebuild = _differentiable(args)
    checker = _Checker(random, eps, rtol, atol, backend)
    checker.check(lambda *values: function(*rebuild(values)), floats, order, tuple(modes), "")


def _differentiable(args: Sequence[Any]) -> tuple[list[Array], Callable[[Sequence[Any]], Any]]:
    leaves, structure = flatten(tuple(args))
    places = [place for place, leaf in enumerate(leaves) if np.asarray(leaf).dtype.kind in "fc"]

    def rebuild(values: Sequence[Any]) -> Any:
        filled = list(leaves)
        for place, value in zip(places, values, strict=True):
            filled[place] = value
        return unflatten(structure, filled)

    return [np.asarray(leaves[place]) for place in places], rebuild


class _Checker:
    """One run of comparisons."""

    def __init__(
        self, random: np.random.Generator, eps: float | None, rtol: float, atol: float, backend: str | None
    ) -> None:
        self.random, self.eps, self.rtol, self.atol, self.backend = random, eps, rtol, atol, backend

    def check(
        self, function: Callable[..., Any], args: list[Array], order: int, modes: tuple[str, ...], path: str
    ) -> None:
        run = Compiled(function, backend=self.backend, name=f"checked{path}")
        weights = [self._direction(np.asarray(leaf)) for leaf in flatten(run(*args))[0]]

        def scalar(*values: Any) -> Any:
            leaves = flatten(function(*values))[0]
            terms = [_inner(weight, leaf) for weight, leaf in zip(weights, leaves, strict=True) if weight is not None]
            return sum(terms[1:], start=terms[0])

        if all(weight is None for weight in weights):
            return
        directions = [self._direction(value) for value in args]
        numbers = tuple(range(len(args)))
        expected = self._finite_difference(Compiled(scalar, backend=self.backend, name="cost"), args, directions)
        gradient = value_and_grad(scalar, argnums=numbers)
        if "reverse" in modes:
            found = Compiled(gradient, backend=self.backend, name="gradient")(*args)[1]
            actual = sum(_pair(g, d) for g, d in zip(found, directions, strict=True))
            self._compare(expected, actual, f"reverse{path}")
        if "forward" in modes:
            pushed = Compiled(lambda values, moves: jvp(scalar, values, moves)[1], backend=self.backend, name="tangent")
            self._compare(expected, pushed(tuple(args), tuple(directions)), f"forward{path}")
        if order > 1:
            for mode in modes:
                derived = self._derived(function, args, gradient, directions, mode)
                self.check(derived, args, order - 1, modes, f"{path} of {mode}")

    def _derived(
        self, function: Callable[..., Any], args: list[Array], gradient: Any, directions: list[Any], mode: str
    ) -> Callable[..., Any]:
        if mode == "reverse":
            return lambda *values: gradient(*values)[1]
        return lambda *values: jvp(function, values, tuple(directions))[1]

    def _direction(self, value: Array) -> Any:
        if value.dtype.kind not in "fc":
            return None
        direction: Any = self.random.standard_normal(value.shape)
        if value.dtype.kind == "c":
            direction = direction + 1j * self.random.standard_normal(value.shape)
        return np.asarray(direction, value.dtype)

    def _finite_difference(self, scalar: Callable[..., Any], args: list[Array], directions: list[Any]) -> Any:
        precision = min((np.finfo(value.dtype).eps for value in args), key=lambda item: -item)
        step = self.eps or float(precision) ** (1 / 3)
        ahead = [np.asarray(value + step * move, value.dtype) for value, move in zip(args, directions, strict=True)]
        behind = [np.asarray(value - step * move, value.dtype) for value, move in zip(args, directions, strict=True)]
        return (float(scalar(*ahead)) - float(scalar(*behind))) / (2 * step)

    def _compare(self, expected: Any, actual: Any, what: str) -> None:
        if not np.allclose(actual, expected, rtol=self.rtol, atol=self.atol, equal_nan=True):
            raise AssertionError(f"{what} derivative is {actual}, finite differences give {expected}")


def _inner(weight: Array, value: Any) -> Any:
    """The real inner product of a fixed direction with a value."""
    if weight.dtype.kind == "c":
        return np.sum(weight.real * np.real(value)) + np.sum(weight.imag * np.imag(value))
    return np.sum(weight * value)


def _pair(gradient: Any, direction: Any) -> Any:
    """The change of a real cost along a direction, from its gradient (df/dx - i df/dy for complex arguments)."""
    return np.sum(np.real(gradient * direction))
