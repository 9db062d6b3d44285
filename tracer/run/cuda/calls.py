"""What neither kernels nor cuBLAS do: NumPy's functions on arrays of CuPy, which has most of them, else on the host."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tracer import device, errors
from tracer.config import config
from tracer.errors.device import NOT_ON_GPU, ON_HOST
from tracer.graph.node import Node
from tracer.lower.instructions import Buffer, Call
from tracer.run.cuda.arrays import Addresses, is_whole, on_host, seen
from tracer.run.cuda.libraries import form_of

_NO_FORM = (TypeError, AttributeError, NotImplementedError)
"""What arrays of CuPy raise where CuPy lacks a function, or where one asks for NumPy's arrays."""
DRAWS = frozenset({"draw", "generator_draw", "generator_draws"})
ON_THE_HOST = DRAWS | {"python_call", "foreign", "mark"}
"""Ops that are on the host by nature: draws that kernels do not make, and functions of the user's."""


class FunctionCall:
    """A call of a function of arrays, ready to be done.

    Attributes
    ----------
    is_on_host : bool
        Whether it is done on copies on the host.
    """

    is_capturable = False

    def __init__(self, instruction: Call, buffers: tuple[Buffer, ...], nodes: Sequence[Node], function: str) -> None:
        self.instruction = instruction
        self.buffers = buffers
        self.op = nodes[0].op.name if nodes else "a function"
        self.function = function
        self.is_on_host = self.op in ON_THE_HOST
        self.form = form_of(self.op)
        self.params = nodes[0].params if nodes else {}

    @property
    def title(self) -> str:
        """What is called: the op, or the distributions that are drawn from."""
        draws = self.params.get("draws", (self.params["draw"],) if "draw" in self.params else ())
        return self.params.get("distribution", ", ".join(draw.method for draw in draws) or self.op)

    def __call__(self, addresses: Addresses) -> None:
        """Do it."""
        work = self.instruction
        outputs = [seen(addresses, self.buffers, view, shape) for view, shape in work.outputs]
        try:
            results = None if self.is_on_host else self.on_gpu(addresses)
            if results is None:
                inputs = [on_host(addresses, self.buffers, view, shape) for view, shape in work.inputs]
                results = _listed(work.function(*inputs))
        except Exception as error:
            if not hasattr(error, "tracer_line"):
                error.tracer_line = work.line  # type: ignore[attr-defined]
            raise
        for out, result in zip(outputs, results, strict=True):
            if not device.is_on_gpu(result):
                result = device.to_gpu(np.asarray(result, out.dtype)).reshape(out.shape)
            out[...] = result
        if self.op in DRAWS and is_whole(work.outputs[0][0], self.buffers):
            addresses.note(work.outputs[0][0].buffer, np.asarray(results[0]))

    def on_gpu(self, addresses: Addresses) -> list[Any] | None:
        """The results by CuPy; None if it has no form of the function."""
        from cupyx import errstate

        inputs = [seen(addresses, self.buffers, view, shape) for view, shape in self.instruction.inputs]
        try:
            with errstate(linalg="raise"):
                form = self.instruction.function if self.form is None else partial(self.form, **self.params)
                results = _listed(form(*inputs))
        except _NO_FORM:
            results = []
        if len(results) == len(self.instruction.outputs) and all(map(device.is_on_gpu, results)):
            return results
        self.is_on_host = True
        if config.gpu_fallback == "raise":
            raise errors.DeviceError(NOT_ON_GPU.format(op=self.op, line=self.instruction.line))
        if config.gpu_fallback == "warn":
            text = ON_HOST.format(op=self.op, function=self.function, line=self.instruction.line)
            warnings.warn(text, errors.DeviceWarning, stacklevel=2)
        return None


def _listed(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]
