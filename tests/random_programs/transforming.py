"""Derivatives of a random program against finite differences, and all examples at once against one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from random_programs import plain
from random_programs.comparing import Difference, flat, is_close
from random_programs.programs import Program, Rejected, check

import tracer

STEP = 1e-6


def apart(program: Program, library: Any) -> Callable[..., tuple[Any, ...]]:
    """The program on copies of its arguments, which are among its results: all arrays of numbers."""
    function = program.function(library)

    def call(*arguments: Any) -> tuple[Any, ...]:
        copies = [np.copy(item) for item in arguments]
        return (*flat(function(*copies)), *copies)

    return call


def computed(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """What plain NumPy gives. Raises Rejected for errors and for what cannot be compared."""
    try:
        with np.errstate(all="ignore"):
            found = function(*arguments)
    except Exception as error:
        raise Rejected from error
    for item in found if isinstance(found, tuple) else (found,):
        check("", np.asarray(item))
    return found


def moved(value: Any, by: Any) -> Any:
    """A changed copy that lies in memory as the original does: on that depends what is a view."""
    found = np.copy(value)
    found += by
    return found


def compare_derivatives(program: Program, seed: int) -> bool:
    """Raise Difference if modes differ from each other or from finite differences; whether these could tell."""

    def cost(library: Any) -> Callable[..., Any]:
        call = apart(program, library)
        return lambda *arguments: sum(np.sum(np.tanh(0.5 * np.real(item))) for item in call(*arguments))

    arguments = [value for name, value in program.make(seed).items() if name != "table"]
    random = np.random.default_rng(seed)
    moves = [random.normal(size=value.shape) for value in arguments]
    there = cost(plain)
    computed(there, arguments)

    def difference(step: float) -> Any:
        ends = [[moved(a, sign * step * m) for a, m in zip(arguments, moves, strict=True)] for sign in (1, -1)]
        return (computed(there, ends[0]) - computed(there, ends[1])) / (2 * step)

    steps = [difference(size) for size in (STEP, STEP / 10, -STEP / 3)]
    gradient = tracer.compile(tracer.grad(cost(tracer), argnums=tuple(range(len(arguments)))))(*arguments)
    reverse = sum(np.sum(g * m) for g, m in zip(gradient, moves, strict=True))
    forward = tracer.jvp(cost(tracer), tuple(arguments), tuple(moves))[1]
    if not np.isfinite(reverse):  # the root of a variance that is zero
        return False
    tolerance = 1e-4 if "float32" in program.text else 1e-7
    if not np.isclose(forward, reverse, rtol=tolerance, atol=tolerance / 100):
        raise Difference(f"forward {forward}, reverse {reverse}")
    if "float32" in program.text or np.ptp(steps) > 1e-4 * (1 + abs(steps[0])):  # a kink or a jump near by
        return False
    if not np.isclose(reverse, steps[0], rtol=1e-3, atol=1e-3):
        raise Difference(f"reverse {reverse}, finite differences {steps[0]}")
    return True


def compare_examples(program: Program, seeds: Sequence[int]) -> None:
    """Raise Difference if `tracer.vmap` differs from running the plain program on one example after the other."""
    draws = [[value for name, value in program.make(seed).items() if name != "table"] for seed in seeds]
    stacks = [np.stack(column) for column in zip(*draws, strict=True)]
    there = apart(program, plain)
    examples = [computed(there, [stack[place] for stack in stacks]) for place in range(len(seeds))]
    wanted = [np.stack(column) for column in zip(*examples, strict=True)]
    found = tracer.compile(tracer.vmap(apart(program, tracer)))(*stacks)
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if not is_close(one, other, "float32" in str(program.arguments)):
            raise Difference(f"result {number}: expected {one.dtype}\n{one}\nfound {other.dtype}\n{other}")
