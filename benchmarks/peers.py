"""One adapter for each library that the cases run on.

An adapter places the arguments (outside of any clock), builds the call, and makes the call finish its work before it
returns. A call gives the value and a sequence of gradients; a training step gives the value and keeps the new
parameters.
"""

import atexit
import importlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy

from benchmarks.cases import Arrays, Case

Call = Callable[[], Any]


class Peer:
    """A library under comparison; a subclass says how it traces, derives and calls."""

    name: str
    distribution: str
    modules: tuple[str, ...]
    note = ""

    def load(self) -> None:
        """Import the library; ImportError where it is missing."""
        for module in self.modules:
            importlib.import_module(module)

    @property
    def version(self) -> str:
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            # Run from a source tree that is not installed.
            return str(importlib.import_module(self.modules[0]).__version__)

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        """Put the arguments where the library wants them."""
        return arrays

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        """Trace, derive and compile as far as the library does so before the first call."""
        raise NotImplementedError

    def warm_up(self, call: Call) -> None:
        """Call until what the library compiles while it runs is there."""

    def to_numpy(self, result: Any) -> list[numpy.ndarray]:
        """The value, and the gradients where there are any, as one flat list."""
        if isinstance(result, list | tuple):
            return [array for part in result for array in self.to_numpy(part)]
        return [numpy.asarray(result)]


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

        if case.learning_rate is not None:
            state = [tracer.shared(array) for array in arguments[: case.parameters]]
            data = arguments[case.parameters :]

            @tracer.compile(updates=tracer.optim.sgd(case.learning_rate))
            def step(*data: Any) -> Any:
                return case.cost(numpy, *state, *data)

            return partial(step, *data)

        def cost(*arguments: Any) -> Any:
            return case.cost(numpy, *arguments)

        function = tracer.compile(tracer.value_and_grad(cost, argnums=tuple(range(case.parameters))))
        return partial(function, *arguments)

    def warm_up(self, call: Call) -> None:
        from tracer.run import jit

        start, calls = time.perf_counter(), 0
        while time.perf_counter() < start + 0.1 or calls < 4:
            call()
            calls += 1
        jit.wait()


class Autograd(Peer):
    name, distribution, modules = "autograd", "autograd", ("autograd", "autograd.numpy")

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import autograd

        def cost(*arguments: Any) -> Any:
            return case.cost(autograd.numpy, *arguments)

        function = autograd.value_and_grad(cost, argnum=tuple(range(case.parameters)))
        if case.learning_rate is None:
            return partial(function, *arguments)
        rate, state, data = case.learning_rate, list(arguments[: case.parameters]), arguments[case.parameters :]

        def step() -> Any:
            value, gradients = function(*state, *data)
            for index, gradient in enumerate(gradients):
                state[index] = state[index] - rate * gradient
            return value

        return step


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

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import jax

        def cost(*arguments: Any) -> Any:
            return (case.in_jax or case.cost)(jax.numpy, *arguments)

        derived = jax.value_and_grad(cost, argnums=tuple(range(case.parameters)))
        if case.learning_rate is None:
            function = jax.jit(derived)
            return lambda: self.finish(function(*arguments))
        # The step gives its state up to XLA, so it gets copies: the arguments may alias the caller's arrays.
        state = [jax.numpy.array(argument, copy=True) for argument in arguments[: case.parameters]]
        data, rate = arguments[case.parameters :], case.learning_rate

        def update(state: list[Any], data: tuple[Any, ...]) -> tuple[Any, list[Any]]:
            value, gradients = derived(*state, *data)
            return value, [array - rate * gradient for array, gradient in zip(state, gradients, strict=True)]

        compiled = jax.jit(update, donate_argnums=0)

        def step() -> Any:
            value, state[:] = compiled(state, data)
            jax.block_until_ready(state)
            return self.finish(value)

        return step

    def finish(self, result: Any) -> Any:
        import jax

        return jax.block_until_ready(result)


class JaxFromNumPy(Jax):
    name, note = "jax_numpy", "jit, NumPy arrays in and out"

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        return arrays

    def finish(self, result: Any) -> Any:
        import jax

        return jax.tree.map(numpy.asarray, result)


class Torch(Peer):
    name, distribution, modules = "torch", "torch", ("torch",)
    note = "eager, tensors in and out"

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        import torch

        return tuple(torch.from_numpy(numpy.array(array)) for array in arrays)

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import torch

        namespace = torch_namespace(torch)
        parameters = [array.requires_grad_() for array in arguments[: case.parameters]]

        def derived() -> Any:
            value = case.cost(namespace, *arguments)
            return value, *torch.autograd.grad(value, parameters)

        if case.learning_rate is None:
            return derived
        rate = case.learning_rate

        def step() -> Any:
            value, *gradients = derived()
            with torch.no_grad():
                for array, gradient in zip(parameters, gradients, strict=True):
                    array.sub_(gradient, alpha=rate)
            return value

        return step

    def to_numpy(self, result: Any) -> list[numpy.ndarray]:
        import torch

        return super().to_numpy(result.detach() if isinstance(result, torch.Tensor) else result)


class PyTensor(Peer):
    name, distribution, modules = "pytensor", "pytensor", ("pytensor", "pytensor.tensor")
    note = "its default linker, NumPy arrays in and out"

    def load(self) -> None:
        if "pytensor" in sys.modules:
            return
        # Compiled code kept on disk from an earlier run would make the first call look short.
        scratch = tempfile.mkdtemp(prefix="pytensor-")
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        # It also leaves the source of every function behind in the directory for temporary files.
        tempfile.tempdir = scratch
        flags = os.environ.get("PYTENSOR_FLAGS")
        os.environ["PYTENSOR_FLAGS"] = f"{flags + ',' if flags else ''}base_compiledir={scratch}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                super().load()
        finally:
            # The processes that measure first calls make a place of their own.
            del os.environ["PYTENSOR_FLAGS"]
            if flags is not None:
                os.environ["PYTENSOR_FLAGS"] = flags

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import pytensor

        namespace = pytensor_namespace(pytensor.tensor)
        variables = [pytensor.tensor.tensor(dtype=array.dtype, shape=array.shape) for array in arguments]
        rate = case.learning_rate
        if rate is not None:
            variables[: case.parameters] = map(pytensor.shared, arguments[: case.parameters])
        parameters, data = variables[: case.parameters], variables[case.parameters :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without this, a Python float that float32 cannot hold exactly would make the whole case float64.
            with pytensor.config.change_flags(floatX=str(arguments[0].dtype)):
                value = case.cost(namespace, *variables)
                gradients = pytensor.grad(value, parameters)
                if rate is None:
                    function = pytensor.function(variables, [value, *gradients])
                else:
                    updates = [(p, p - rate * g) for p, g in zip(parameters, gradients, strict=True)]
                    function = pytensor.function(data, [value], updates=updates)
        function.trust_input = True
        inputs = arguments if rate is None else arguments[case.parameters :]
        return partial(function, *inputs)


def torch_namespace(torch: ModuleType) -> SimpleNamespace:
    """NumPy's spelling of the functions that the cases use, on torch."""
    return SimpleNamespace(
        **{name: getattr(torch, name) for name in ("abs", "arange", "exp", "log", "log1p", "mean", "sqrt")},
        max=torch.amax,
        maximum=lambda x, least: torch.clamp(x, min=least),
        shape=lambda x: tuple(x.shape),
        sum=torch.sum,
        tanh=torch.tanh,
        transpose=torch.permute,
        where=torch.where,
    )


def pytensor_namespace(tensor: ModuleType) -> SimpleNamespace:
    """NumPy's spelling of the functions that the cases use, on pytensor; shapes are the static ones."""
    names = "abs arange exp log log1p max maximum mean sqrt sum tanh transpose where".split()
    return SimpleNamespace(**{name: getattr(tensor, name) for name in names}, shape=lambda x: x.type.shape)


PEERS: tuple[Peer, ...] = (Tracer(), NumPy(), Autograd(), Jax(), JaxFromNumPy(), Torch(), PyTensor())


def find_peer(name: str) -> Peer:
    """The peer called `name`; the error lists the ones there are."""
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise KeyError(f"no peer {name!r}; there are: {', '.join(peer.name for peer in PEERS)}")
