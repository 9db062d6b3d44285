"""`checkpoint`: a function whose derivatives compute it again, instead of keeping what is inside it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from tracer.graph.body import close, free_values
from tracer.graph.node import Node, input_node
from tracer.ops.checkpointing import CHECKPOINT
from tracer.ruled_calls import is_expression
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.layout import turned_strides
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred
from tracer.tracing.shared import Shared
from tracer.tree import flatten, unflatten

Function = Callable[..., Any]


class checkpoint:
    """A function whose derivatives compute it again, instead of keeping what is inside it.

    Reverse mode keeps the arguments of each call and nothing else. A chain of n steps in about sqrt(n) checkpointed
    calls needs memory for about 2 sqrt(n) of them rather than n, and computes them twice. Griewank and Walther,
    "Evaluating Derivatives", 2nd ed., chapter 12, describe the method.

    Parameters
    ----------
    function : callable
        A NumPy function; arguments and results may be nests of arrays. It may write into its arguments, and use and
        set shared variables.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> @tracer.checkpoint
    ... def steps(x):
    ...     for _ in range(10):
    ...         x = x + 0.1 * np.sin(x)
    ...     return x
    >>> def chain(x):
    ...     for _ in range(10):
    ...         x = steps(x)
    ...     return np.sum(x)
    >>> tracer.grad(chain)(np.array([0.0])).round(1)
    array([13780.6])
    """

    def __init__(self, function: Function) -> None:
        if not callable(function):
            raise TypeError(f"tracer.checkpoint needs a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function = function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<tracer.checkpoint of {label_of(self.function)}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the function."""
        if is_expression(args, kwargs):
            return deferred(lambda *args, **kwargs: self(*args, **kwargs), name=label_of(self))(*args, **kwargs)
        leaves, structure = flatten((args, kwargs))
        operands = list({id(leaf): leaf for leaf in leaves if _is_operand(leaf)}.values())
        if not operands:
            return self.function(*args, **kwargs)
        active = trace.current()
        parameters = [input_node(leaf.type) for leaf in operands]
        copies = [Proxy(node, active) for node in parameters]
        for copy, leaf in zip(copies, operands, strict=True):
            copy._strides = turned_strides(leaf)
        inside = {id(leaf): copy for leaf, copy in zip(operands, copies, strict=True)}
        new_args, new_kwargs = unflatten(structure, [inside.get(id(leaf), leaf) for leaf in leaves])
        before = {} if active is None else dict(active.updates)
        arrays = {} if active is None else active.shared_arrays()
        result, result_structure = flatten(self.function(*new_args, **new_kwargs))
        updates = {} if active is None else active.updates
        updated = [variable for variable, node in updates.items() if before.get(variable) is not node]
        versions = zip(operands, copies, parameters, strict=True)
        written = [(leaf, copy) for leaf, copy, node in versions if copy.__tracer_node__ is not node]
        written += [] if active is None else [(array, array) for array in active.shared_written(arrays)]

        outside = {id(copy): leaf for leaf, copy in zip(operands, copies, strict=True)}
        result = [outside.get(id(leaf), leaf) for leaf in result]
        places = [place for place, leaf in enumerate(result) if isinstance(leaf, Proxy) and id(leaf) not in inside]
        outputs = [result[place].__tracer_node__ for place in places]
        outputs += [updates[variable] for variable in updated]
        outputs += [copy.__tracer_node__ for _, copy in written]
        values = iter(_computed(parameters, operands, outputs))
        for place in places:
            result[place] = next(values)
        for variable in updated:
            updates[variable] = next(values).__tracer_node__
        for leaf, _ in written:
            leaf._assign(next(values))
        return unflatten(result_structure, result)


def _is_operand(leaf: Any) -> bool:
    """Whether a leaf is handed to the body under a name of its own; a shared variable stays what it is."""
    return isinstance(leaf, Proxy) and not isinstance(leaf, Shared)


def _computed(parameters: list[Node], operands: list[Proxy], outputs: list[Node]) -> tuple[Any, ...]:
    """The outputs as those of one op, which is handed all that they are computed from."""
    if not outputs:
        return ()
    free = free_values(outputs, parameters)
    body = close([*parameters, *free], outputs)
    operands = [Proxy(leaf.__tracer_node__) for leaf in operands]
    active = trace.current()
    made: tuple[Any, ...] = CHECKPOINT(*operands, *(Proxy(node, active) for node in free), body=body)
    return made
