"""Forward mode: a function's value and its derivative along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.derivatives.functions import Function, Transform, Variables, remembered, zeros
from tracer.derivatives.reverse import split_aux
from tracer.errors import derivatives as texts
from tracer.graph.node import Node
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import unwrap
from tracer.transform.jvp import jvp as push_forward
from tracer.tree import Structure, flatten, unflatten
from tracer.types import ArrayType


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    """Return a function's value and its derivative along a direction (forward mode).

    Parameters
    ----------
    function : callable
        A NumPy function; its result may be a nest of arrays, or (nest, auxiliary) with `has_aux`.
    primals, tangents : sequences
        Positional arguments and the direction, of the same structure and shapes; a tangent is cast to the dtype of its
        primal.
    has_aux : bool
        Whether `function` also returns something that is passed through.

    Returns
    -------
    tuple
        (value, tangent), the tangent with the structure of the value; with `has_aux` (value, tangent, auxiliary). The
        tangent of an integer result is zeros of float64.

    Raises
    ------
    TypeError, ValueError
        If a tangent does not fit its primal.
    NotDifferentiableError
        If an argument is not floating point, or an op has no derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    count = len(primals)
    if len(tangents) != count:
        text = errors.message(texts.COUNT_DIFFERS, function=label_of(function), tangents=len(tangents), primals=count)
        raise ValueError(text)

    def make(function: Function) -> Transform:
        def run(*args: Any) -> Any:
            return pushed(function, args[:count], args[count:], has_aux)

        return Transform(function, run, tuple(range(2 * count)), f"jvp({label_of(function)})")

    found: tuple[Any, ...] = remembered(function, "jvp", (count, bool(has_aux)), make)(*primals, *tangents)
    return found


def pushed(function: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool = False) -> Any:
    """A function's value and tangent in the running trace; see `jvp`."""
    if not primals:
        raise TypeError(errors.message(errors.ARGNUM_MISSING, function=label_of(function), number=0, count=0))
    variables = Variables(function, primals, tuple(range(len(primals))), hint=texts.HINT_PRIMALS)
    leaves = fitting(tangents, variables.structures, variables.flat, variables.names, variables.name, "tangent")
    result, aux = split_aux(variables.call({}), has_aux, variables.name, nest=True)
    values, structure = flatten(result)
    outputs = variables.opened(values)
    moved = push_forward(outputs, dict(zip(variables.flat, leaves, strict=True)))
    filled = [zeros(node) if item is None else item for node, item in zip(outputs, moved, strict=True)]
    closed = variables.close([*outputs, *filled])
    aux = variables.passed_on(aux)
    variables.write_back()
    half = len(outputs)
    pair = unflatten(structure, closed[:half]), unflatten(structure, closed[half:])
    return (*pair, aux) if has_aux else pair


def fitting(
    nests: Sequence[Any],
    structures: Sequence[Structure],
    nodes: Sequence[Node],
    names: Sequence[str],
    function: str,
    what: str,
) -> list[Node]:
    """The leaves of tangents or cotangents, cast to the dtypes of what they belong to.

    Raises TypeError or ValueError, naming the leaf, where one does not fit.
    """
    found: list[Node] = []
    pending = list(zip(nodes, names, strict=True))[::-1]
    for nest, structure in zip(nests, structures, strict=True):
        leaves, own = flatten(nest)
        if own != structure:
            name = pending[-1][1].split("[")[0].split(".")[0] if pending else "it"
            text = errors.message(
                texts.NEST_DIFFERS, what=what, function=function, name=name, wanted=_text(structure), found=_text(own)
            )
            raise TypeError(text)
        for leaf in leaves:
            node, name = pending.pop()
            found.append(_fitting(leaf, node, name, function, what))
    return found


class _Star:
    def __repr__(self) -> str:
        return "*"


def _text(structure: Structure) -> str:
    """A nest as a user would write it, with a star for each leaf."""
    return repr(unflatten(structure, [_Star()] * structure.leaf_count))


def _fitting(leaf: Any, node: Node, name: str, function: str, what: str) -> Node:
    given = ArrayType(np.result_type(leaf), np.shape(leaf))
    fits = np.can_cast(given.dtype, node.dtype, "same_kind")
    if not fits or given.shape != node.shape:
        text = errors.message(
            texts.LEAF_DIFFERS,
            what=what,
            name=name,
            function=function,
            found=given,
            wanted=node.type,
            dtype=node.dtype,
        )
        raise (TypeError if not fits else ValueError)(text)
    return unwrap(leaf, node.dtype)
