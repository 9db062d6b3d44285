"""PyTorch, eager and compiled."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy

from benchmarks.cases import Arrays, Case
from benchmarks.peers.peer import BETA1, BETA2, EPSILON, Call, Peer


class Torch(Peer):
    name, distribution, modules = "torch", "torch", ("torch",)
    note = "eager, tensors in and out"

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        import torch

        return tuple(torch.from_numpy(numpy.array(array)) for array in arrays)

    def cost(self, case: Case) -> Callable[..., Any]:
        import torch

        namespace = torch_namespace(torch)
        return lambda *arguments: case.cost(namespace, *arguments)

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import torch

        cost = self.cost(case)
        if case.forward_only:
            return torch.no_grad()(lambda: cost(*arguments))
        parameters = [array.requires_grad_() for array in arguments[: case.parameters]]

        def derived() -> Any:
            value = cost(*arguments)
            return value, *torch.autograd.grad(value, parameters)

        if case.learning_rate is None:
            return derived
        if case.rule == "adam":
            rule = torch.optim.Adam(parameters, case.learning_rate, (BETA1, BETA2), EPSILON, fused=True)
        else:
            rule = torch.optim.SGD(parameters, case.learning_rate, fused=True)

        def step() -> Any:
            value, *gradients = derived()
            for array, gradient in zip(parameters, gradients, strict=True):
                array.grad = gradient
            rule.step()
            return value

        return step

    def to_numpy(self, result: Any) -> list[numpy.ndarray]:
        import torch

        return super().to_numpy(result.detach() if isinstance(result, torch.Tensor) else result)


class TorchCompile(Torch):
    name, note = "torch_compile", "inductor, tensors in and out"
    slow, prepares = True, True

    def cost(self, case: Case) -> Callable[..., Any]:
        import torch

        # The cases share one wrapper, and a function is compiled for a few callees only.
        torch.compiler.reset()
        compiled: Callable[..., Any] = torch.compile(super().cost(case))
        return compiled


def torch_namespace(torch: ModuleType) -> SimpleNamespace:
    """NumPy's spelling of the functions that the cases use, on torch."""
    same = "abs arange clip cumsum diagonal exp log log1p mean real imag sin sqrt sum tanh where zeros_like"
    return SimpleNamespace(
        **{name: getattr(torch, name) for name in same.split()},
        concatenate=lambda arrays, axis: torch.cat(arrays, dim=axis),
        fft=SimpleNamespace(rfft=torch.fft.rfft),
        linalg=torch.linalg,
        max=torch.amax,
        maximum=lambda x, least: torch.clamp(x, min=least),
        min=torch.amin,
        shape=lambda x: tuple(x.shape),
        sort=lambda x: torch.sort(x).values,
        tensordot=torch.tensordot,
        transpose=torch.permute,
    )
