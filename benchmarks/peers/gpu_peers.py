"""The libraries on a GPU: arguments are there before the clock starts, and a call ends when the GPU is done."""

from typing import Any

import numpy

from benchmarks.cases import Arrays, Case
from benchmarks.peers.jax_peers import Jax
from benchmarks.peers.numpy_peers import Tracer
from benchmarks.peers.peer import Call
from benchmarks.peers.torch_peers import Torch, TorchCompile


class TracerOnGpu(Tracer):
    modules, note = ("tracer", "cupy"), "arrays of CuPy in and out"

    def load(self) -> None:
        super().load()
        import tracer

        tracer.config.device = "gpu"

    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        import cupy

        return tuple(cupy.asarray(array) for array in arrays)

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import cupy

        call = super().build(case, arguments)

        def finished() -> Any:
            result = call()
            cupy.cuda.get_current_stream().synchronize()
            return result

        return finished

    def warm_up(self, call: Call) -> None:
        for _ in range(3):  # launched one by one, recorded as a graph, replayed
            call()

    def to_numpy(self, result: Any) -> list[numpy.ndarray]:
        import cupy

        return super().to_numpy(cupy.asnumpy(result) if isinstance(result, cupy.ndarray) else result)


class JaxOnGpu(Jax):
    note = "jit, device arrays in and out"

    def load(self) -> None:
        super().load()
        import jax

        if jax.default_backend() != "gpu":
            raise ImportError("this JAX sees no GPU")


class TorchOnGpu(Torch):
    def place(self, arrays: Arrays) -> tuple[Any, ...]:
        return tuple(tensor.cuda() for tensor in super().place(arrays))

    def build(self, case: Case, arguments: tuple[Any, ...]) -> Call:
        import torch

        call = super().build(case, arguments)

        def finished() -> Any:
            result = call()
            torch.cuda.synchronize()
            return result

        return finished

    def to_numpy(self, result: Any) -> list[numpy.ndarray]:
        import torch

        return super().to_numpy(result.cpu() if isinstance(result, torch.Tensor) else result)


class TorchCompileOnGpu(TorchOnGpu, TorchCompile):
    name, note = "torch_compile", "inductor, tensors in and out"


GPU_PEERS = (TracerOnGpu(), JaxOnGpu(), TorchOnGpu(), TorchCompileOnGpu())
