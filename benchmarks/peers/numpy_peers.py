"""What takes and gives NumPy arrays: tracer, NumPy itself, numba, autograd."""

import time
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import Case
from benchmarks.peers.peer import Call, Peer, adam


class NumPy(Peer):
    name, distribution, modules = "numpy", "numpy", ("numpy",)
    note = "forward only"

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        return partial(case.cost, numpy, *arguments)


class Tracer(Peer):
    name, distribution, modules = "tracer", "tracer-autodiff", ("tracer",)
    note = "NumPy arrays in and out"

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import tracer

        def cost(*arguments: Any) -> Any:
            return case.cost(numpy, *arguments)

        if case.learning_rate is not None:
            state = [tracer.shared(array) for array in arguments[: case.parameters]]
            data = arguments[case.parameters :]
            updates = getattr(tracer.optim, case.rule)(case.learning_rate)
            return partial(tracer.compile(lambda *data: cost(*state, *data), updates=updates), *data)
        if case.forward_only:
            return partial(tracer.compile(cost), *arguments)
        function = tracer.compile(tracer.value_and_grad(cost, argnums=tuple(range(case.parameters))))
        return partial(function, *arguments)

    def warm_up(self, call: Call) -> None:
        from tracer.run import jit

        start, calls = time.perf_counter(), 0
        while time.perf_counter() < start + 0.1 or calls < 4:
            call()
            calls += 1
        jit.wait()


class Numba(Peer):
    name, distribution, modules = "numba", "numba", ("numba",)
    note = "forward only, of the same source; NumPy arrays in and out"

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import numba

        bound = case.cost if isinstance(case.cost, partial) else partial(case.cost)
        cost, settings = numba.njit(bound.func), tuple(bound.keywords.values())

        # A keyword of the case is a constant of the compiled function.
        @numba.njit
        def call(*arguments: Any) -> Any:
            return cost(numpy, *arguments, *settings)

        return partial(call, *arguments)


class Autograd(Peer):
    name, distribution, modules = "autograd", "autograd", ("autograd", "autograd.numpy")
    note = "NumPy arrays in and out"

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import autograd

        def cost(*arguments: Any) -> Any:
            return case.cost(autograd.numpy, *arguments)

        function = autograd.value_and_grad(cost, argnum=tuple(range(case.parameters)))
        if case.learning_rate is None:
            return partial(function, *arguments)
        rate, state, data = case.learning_rate, list(arguments[: case.parameters]), arguments[case.parameters :]
        moments = [(numpy.zeros_like(array), numpy.zeros_like(array)) for array in state]
        steps = 0

        def step() -> Any:
            nonlocal steps
            value, gradients = function(*state, *data)
            steps += 1
            for index, gradient in enumerate(gradients):
                if case.rule == "adam":
                    state[index], *moments[index] = adam(rate, state[index], gradient, *moments[index], steps)
                else:
                    state[index] = state[index] - rate * gradient
            return value

        return step
