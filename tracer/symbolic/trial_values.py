"""Test values: expressions that are computed while they are built, so that an error shows where it was written.

With `tracer.config.compute_test_value` on, every new expression is computed from the values that its inputs carry in
`tag.test_value`, and its own value goes into the `tag.test_value` of the result. Constants and shared variables have
values anyway.

Examples
--------
>>> import numpy as np, tracer, tracer.tensor as T
>>> with tracer.config.changed(compute_test_value="raise"):
...     x = T.dvector("x")
...     x.tag.test_value = np.array([1.0, 2.0])
...     (x * 2).tag.test_value
array([2., 4.])
"""

from __future__ import annotations

import pdb
import threading
import warnings
from typing import Any

from tracer import errors
from tracer.config import config
from tracer.graph.graph import Graph
from tracer.run import reference
from tracer.symbolic.program import SymbolicProgram
from tracer.tracing.recording import OBSERVERS, Apply
from tracer.tracing.shared import SharedVariable


class MissingTestValue(AttributeError):
    """A variable has no test value although one is needed."""


class _Uncompiled:
    """Runs graphs as they are, op by op."""

    def compile(self, graph: Graph, layouts: Any, name: str, updates: Any = ()) -> tuple[Graph, Any]:
        """As of `symbolic_program.Compiler`."""
        return graph, reference.Executable(graph)


class _State(threading.local):
    busy = False


_state = _State()


def trial_value(variable: Any) -> Any:
    """The test value of a variable, in the form that its type keeps.

    Raises MissingTestValue if it has none, and TypeError if it is not of its type.
    """
    if variable.is_constant:
        return variable.data
    if isinstance(variable, SharedVariable):
        return variable.cell[0]
    if not hasattr(variable.tag, "test_value"):
        raise MissingTestValue(errors.message(errors.NO_TEST_VALUE, value=variable))
    return variable.type.filter(variable.tag.test_value)


def hand_down(inner: Any, outer: Any, row: int | None = None) -> None:
    """Give a variable of an inner function the test value of an outer one, if that has one; or a row of it."""
    if config.compute_test_value != "off":
        try:
            value = trial_value(outer)
        except MissingTestValue:
            return
        inner.tag.test_value = value if row is None else value[row]


def _compute(node: Apply) -> None:
    """Compute a new call from the test values of its inputs."""
    if _state.busy:
        return
    _state.busy = True
    try:
        inputs = [item for item in dict.fromkeys(node.inputs) if not item.is_constant]
        inputs = [item for item in inputs if not isinstance(item, SharedVariable)]
        values = [trial_value(item) for item in inputs]
        results = SymbolicProgram(inputs, node.outputs, {}, node.op.name, _Uncompiled())(*values)
        for variable, value in zip(node.outputs, results, strict=True):
            variable.tag.test_value = value
    except MissingTestValue as error:
        _missing(error)
    except Exception as error:
        if config.compute_test_value == "pdb":
            pdb.post_mortem(error.__traceback__)
        raise
    finally:
        _state.busy = False


def _missing(error: MissingTestValue) -> None:
    if config.compute_test_value == "raise":
        raise error
    if config.compute_test_value == "warn":
        warnings.warn(str(error), stacklevel=5)
    elif config.compute_test_value == "pdb":
        pdb.post_mortem(error.__traceback__)


def _switch(mode: str) -> None:
    if mode == "off":
        OBSERVERS.discard(_compute)
    else:
        OBSERVERS.add(_compute)


config.listen("compute_test_value", _switch)
