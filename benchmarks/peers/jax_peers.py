"""JAX: on device arrays, from NumPy arrays, and with loops as `lax.scan`."""

from collections.abc import Callable
from typing import Any

import numpy

from benchmarks.cases import Arrays, Case
from benchmarks.peers.peer import Call, Peer, adam


class Jax(Peer):
    name, distribution, modules = "jax", "jax", ("jax", "jax.numpy")
    note = "jit, device arrays in and out"

    def load(self) -> None:
        super().load()
        import jax

        jax.config.update("jax_enable_x64", True)

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        import jax

        return tuple(jax.device_put(array) for array in arrays)

    def cost(self, case: Case) -> Callable[..., Any]:
        return case.in_jax or case.cost

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import jax

        source = self.cost(case)

        def cost(*arguments: Any) -> Any:
            return source(jax.numpy, *arguments)

        derived = cost
        if not case.forward_only:
            derived = jax.value_and_grad(cost, argnums=tuple(range(case.parameters)))
        if case.learning_rate is None:
            function = jax.jit(derived)
            return lambda: self.finish(function(*arguments))
        return self.training(case, derived, arguments)

    def training(self, case: Case, derived: Callable[..., Any], arguments: tuple[Any, ...]) -> Call:
        import jax

        # The step gives its state up to XLA, so it gets copies: the arguments may alias the caller's arrays.
        parameters = [jax.numpy.array(argument, copy=True) for argument in arguments[: case.parameters]]
        state: Any = parameters
        if case.rule == "adam":
            moments = [(jax.numpy.zeros_like(array), jax.numpy.zeros_like(array)) for array in parameters]
            state = parameters, moments, jax.numpy.zeros((), dtype=arguments[0].dtype)
        data, rate = arguments[case.parameters :], case.learning_rate

        def descend(state: list[Any], data: tuple[Any, ...]) -> tuple[Any, list[Any]]:
            value, gradients = derived(*state, *data)
            return value, [array - rate * gradient for array, gradient in zip(state, gradients, strict=True)]

        def adapt(state: Any, data: tuple[Any, ...]) -> tuple[Any, Any]:
            parameters, moments, time = state
            value, gradients = derived(*parameters, *data)
            time = time + 1
            parts = zip(parameters, gradients, moments, strict=True)
            moved = [adam(rate, p, g, *pair, time) for p, g, pair in parts]
            return value, ([p for p, _, _ in moved], [(mean, square) for _, mean, square in moved], time)

        compiled = jax.jit(adapt if case.rule == "adam" else descend, donate_argnums=0)

        def step() -> Any:
            nonlocal state
            value, state = compiled(state, data)
            jax.block_until_ready(state)
            return self.finish(value)

        return step

    def finish(self, result: Any) -> Any:
        import jax

        return jax.block_until_ready(result)


class JaxFromNumPy(Jax):
    name, note, first_as = "jax_numpy", "jit, NumPy arrays in and out", "jax"

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        return arrays

    def finish(self, result: Any) -> Any:
        import jax

        return jax.tree.map(numpy.asarray, result)


class JaxScan(Jax):
    name, note = "jax_scan", "as jax, with the loop written as lax.scan or fori_loop"

    def cost(self, case: Case) -> Callable[..., Any]:
        assert case.scanned is not None
        return case.scanned
