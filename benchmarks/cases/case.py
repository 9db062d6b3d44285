"""What a benchmark case is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

Arrays = tuple[numpy.ndarray, ...]
Cost = Callable[..., Any]

# The peers that run NumPy code which writes into arrays, each given a spelling of its own where it needs one.
WRITERS = ("tracer", "numpy", "numba", "jax", "jax_numpy")


@dataclass(frozen=True)
class Case:
    """A scalar cost, how to make its arguments, and what is asked of it.

    Parameters
    ----------
    name : str
        Identifier used on the command line.
    title : str
        What the table of results calls it.
    cost : callable
        ``cost(np, *parameters, *data)``, a scalar.
    make : callable
        ``make(rng, **size)`` gives the arguments, parameters first.
    parameters : int
        How many leading arguments the gradient is taken of; 0: the value alone is asked for.
    size, small : mapping
        Keywords of `make` for the benchmark and for a test of a fraction of a second.
    learning_rate : float or None
        A number makes the case a training step: the parameters are state that the call changes.
    rule : {"sgd", "adam"}
        How a training step changes them.
    in_jax : callable or None
        The cost for JAX, of a case that writes in place.
    scanned : callable or None
        The cost for JAX with its loop written as `lax.scan`, measured as a peer of its own.
    without : tuple of str
        Peers that cannot run the case in a time that anybody would wait.
    """

    name: str
    title: str
    cost: Cost
    make: Callable[..., Arrays]
    parameters: int
    size: dict[str, Any]
    small: dict[str, Any]
    learning_rate: float | None = None
    rule: str = "sgd"
    in_jax: Cost | None = None
    scanned: Cost | None = None
    without: tuple[str, ...] = ()

    @property
    def forward_only(self) -> bool:
        """Whether no gradient is asked for."""
        return self.parameters == 0

    def runs_on(self, peer: str) -> bool:
        """Whether a peer can run it: few write in place, numba has no gradients, autograd nothing else."""
        if peer in self.without:
            return False
        if peer == "numba":
            return self.forward_only
        if peer == "jax_scan":
            return self.scanned is not None
        return (self.in_jax is None or peer in WRITERS) and not (self.forward_only and peer == "autograd")

    def arguments(self, small: bool = False) -> Arrays:
        """Arguments of the cost, the same at every call."""
        return self.make(numpy.random.default_rng(1234), **(self.small if small else self.size))


def in_float32(*arrays: numpy.ndarray) -> Arrays:
    """The arrays in single precision."""
    return tuple(array.astype(numpy.float32) for array in arrays)
