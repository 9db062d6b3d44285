"""The reference executor: NumPy, one op at a time. It defines what every other executor must answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracer.graph.evaluation import Array, Evaluation, Hook
from tracer.graph.graph import Graph


def run(graph: Graph, arrays: Sequence[Array], after: Hook | None = None) -> list[Array]:
    """Run a graph on arrays.

    Parameters
    ----------
    graph : Graph
        Whatever shapes are unknown in it are those of the arrays.
    arrays : sequence of numpy.ndarray
        One for each input of the graph.
    after : callable
        Called with each computed node, the arrays it was computed from, and its own; once for each of several outputs.

    Returns
    -------
    list of numpy.ndarray
        Fresh, C-contiguous.

    Raises
    ------
    Exception
        Whatever NumPy raises, with the user's line as its attribute `tracer_line`.
    """
    return Executable(graph).run(arrays, after)


class Executable(Evaluation):
    """A graph ready to run many times with NumPy."""

    native = None

    def run(self, arrays: Sequence[Array], /, after: Hook | None = None) -> list[Array]:
        """Run on arrays; the arguments are those of `reference.run`."""
        return [np.array(value, order="C") for value in self.compute(arrays, after)]
