"""What an adapter does.

It places the arguments (outside of any clock), builds the call, and makes the call finish its work before it returns.
A call gives the value and a sequence of gradients; a training step gives the value and keeps the new parameters.
"""

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy

from benchmarks.cases import Arrays, Case

Call = Callable[[], Any]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Peer:
    """A library under comparison; a subclass says how it traces, derives and calls."""

    name: str
    distribution: str
    modules: tuple[str, ...]
    note = ""
    # Whether it compiles for seconds, so that once has to be enough and its compiled code is worth keeping.
    slow = False
    # Whether it finds out about the machine once and keeps that with its compiled code.
    prepares = False
    # Another peer whose first call and memory are as good as its own.
    first_as: str | None = None

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


def adam(rate: float, p: Any, g: Any, mean: Any, square: Any, time: Any) -> tuple[Any, Any, Any]:
    """One parameter's step, for libraries that bring no optimiser: Kingma and Ba (2015), with their own constants."""
    mean = BETA1 * mean + (1.0 - BETA1) * g
    square = BETA2 * square + (1.0 - BETA2) * g * g
    size = rate / (1.0 - BETA1**time)
    return p - size * mean / ((square / (1.0 - BETA2**time)) ** 0.5 + EPSILON), mean, square
