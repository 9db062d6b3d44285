"""Derivatives at a point as linear functions: computed once, applied to any number of directions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.compiled import Compiled
from tracer.derivatives.forward import fitting
from tracer.derivatives.functions import Function, Transform, Variables, remembered, zeros
from tracer.derivatives.reverse import split_aux
from tracer.errors import derivatives as texts
from tracer.graph.graph import Graph, depends_on, substitute, toposort
from tracer.graph.node import CONSTANT, INPUT, Node, input_node
from tracer.rewrite.passes import forget_derivatives, simplify, stabilise
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp as pull_back
from tracer.transform.jvp import jvp as push_forward
from tracer.tree import Structure, flatten, leaf_paths, unflatten
from tracer.types import ArrayType, is_inexact


def vjp(function: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return a function's value, and its derivative there as a function of cotangents (reverse mode).

    Outside of a trace the value is computed together with what the derivative needs of the way there, which is kept as
    long as `pull` is. Both are compiled once for each signature of the primals.

    Parameters
    ----------
    function : callable
        A NumPy function; its result may be a nest of arrays, or (nest, auxiliary) with `has_aux`.
    *primals : nests of arrays
        Its positional arguments.
    has_aux : bool
        Whether `function` also returns something that is passed through.

    Returns
    -------
    tuple
        (value, pull), with `has_aux` (value, pull, auxiliary). pull(cotangent) takes a nest like the value and returns
        a tuple with a nest like each of the primals. For complex numbers it is the transpose of the derivative, without
        conjugation: the cotangent of a real function's value, 1, is pulled back to df/dx - i df/dy.

    Raises
    ------
    NotDifferentiableError
        If an argument is not floating point, or an op has no derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> value, pull = tracer.vjp(lambda x, y: x * y, np.array([1.0, 2.0]), 3.0)
    >>> pull(np.array([1.0, 10.0]))
    (array([ 3., 30.]), np.float64(21.0))
    """
    return _derivative_at(function, primals, has_aux, "vjp", _Pull)


def linearize(function: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return a function's value, and its derivative there as a function of tangents (forward mode).

    Like `jvp` in two steps: outside of a trace what does not depend on the tangents is computed and kept.

    Parameters
    ----------
    function : callable
        A NumPy function; its result may be a nest of arrays, or (nest, auxiliary) with `has_aux`.
    *primals : nests of arrays
        Its positional arguments.
    has_aux : bool
        Whether `function` also returns something that is passed through.

    Returns
    -------
    tuple
        (value, push), with `has_aux` (value, push, auxiliary). push(*tangents) takes a nest like each of the primals
        and returns a nest like the value.

    Raises
    ------
    NotDifferentiableError
        If an argument is not floating point, or an op has no derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> value, push = tracer.linearize(np.square, np.array([1.0, 2.0]))
    >>> push(np.array([1.0, 1.0])), push(np.array([0.0, 10.0]))
    (array([2., 4.]), array([ 0., 40.]))
    """
    return _derivative_at(function, primals, has_aux, "linearize", _Push)


def linear_transpose(function: Function, *primals: Any) -> Callable[..., Any]:
    """Return the transpose of a linear function.

    Parameters
    ----------
    function : callable
        A NumPy function that is linear in all of its arguments together, such as ``lambda x: A @ x``.
    *primals : nests of arrays
        Arguments of the right structure, shapes and dtypes; their values do not matter.

    Returns
    -------
    callable
        cotangent -> tuple of nests like the primals, as `vjp` gives it.

    Raises
    ------
    NotDifferentiableError
        If the function's derivative depends on its arguments.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.linear_transpose(np.cumsum, np.zeros(3))(np.array([1.0, 0.0, 10.0]))
    (array([11., 10., 10.]),)
    """
    pull: _Linear = vjp(function, *primals)[1]
    if pull.depends_on_primals:
        raise errors.NotDifferentiableError(errors.message(texts.NOT_LINEAR, function=label_of(function)))
    return pull


def _derivative_at(
    function: Function, primals: tuple[Any, ...], has_aux: bool, kind: str, make_map: Callable[..., _Linear]
) -> tuple[Any, ...]:
    if not primals:
        raise TypeError(errors.message(errors.ARGNUM_MISSING, function=label_of(function), number=0, count=0))

    def run(function: Function, args: tuple[Any, ...]) -> Any:
        variables = Variables(function, args, tuple(range(len(args))), hint=texts.HINT_PRIMALS)
        result, aux = split_aux(variables.call({}), has_aux, variables.name, nest=True)
        leaves, structure = flatten(result)
        outputs = variables.opened(leaves)
        linear = make_map(variables, outputs, structure)
        aux = variables.passed_on(aux)
        variables.write_back()
        return unflatten(structure, variables.close(outputs)), linear, aux

    if trace.current() is not None:
        value, linear, aux = run(function, primals)
    else:

        def make(function: Function) -> Transform:
            def split(*args: Any) -> Any:
                value, linear, aux = run(function, args)
                values, structure = flatten(value)
                values, kept = linear.separate([unwrap(item) for item in values])
                return unflatten(structure, values), kept, linear, aux

            return Transform(function, split, tuple(range(len(primals))), f"{kind}({label_of(function)})")

        value, kept, linear, aux = remembered(function, kind, (len(primals), bool(has_aux)), make)(*primals)
        linear = linear.at(kept)
    return (value, linear, aux) if has_aux else (value, linear)


class _Linear:
    """The derivative of a function at a point, as a graph from directions to directions.

    Within the trace that it was made in, it mentions values of that trace. Outside of it the values that it needs
    are inputs, and `at` gives their arrays.

    Attributes
    ----------
    depends_on_primals : bool
        Whether it is another function at other points.
    """

    kind = ""
    what = ""

    def __init__(self, variables: Variables, outputs: Sequence[Node], structure: Structure) -> None:
        self.function, self.depends_on_primals = variables.name, False
        self._trace = trace.current()
        self._inputs: list[Node] = []
        self._names: list[str] = []
        self._given: list[Structure] = []
        self._returned = structure
        made = self._made(variables, outputs, structure)
        self.depends_on_primals = not depends_on(made, variables.flat).isdisjoint(made)
        self._outputs = [unwrap(item) for item in variables.close(made)]
        self._kept: tuple[Any, ...] | None = None

    def _made(self, variables: Variables, outputs: Sequence[Node], structure: Structure) -> list[Node]:
        """Set what it takes and what it returns; gives the nodes of the latter, computed from the former."""
        raise NotImplementedError

    def separate(self, values: Sequence[Node]) -> tuple[list[Any], tuple[Any, ...]]:
        """Part with the surroundings: what of them is needed becomes an input.

        Returns the function's values, and those of the new inputs; both are computed together.
        """
        joint = simplify(stabilise(forget_derivatives(Graph((), (*values, *self._outputs))))).outputs
        outputs = joint[len(values) :]
        nodes = toposort(outputs)
        moving = depends_on(outputs, self._inputs)
        varying = depends_on(outputs, [node for node in nodes if node.op is INPUT])
        met = [item for node in nodes if node in moving for item in node.inputs]
        wanted = dict.fromkeys(_least(item) for item in [*met, *outputs] if item in varying and item not in moving)
        inner = [input_node(node.type) for node in wanted]
        self._outputs = list(substitute(outputs, dict(zip(wanted, inner, strict=True))))
        self._residuals, self._trace = inner, None
        floats = range(1, 1 + len(self._given))
        self._compiled = Compiled(self._replay, name=f"{self.kind} of {self.function}", traced_floats=floats)
        active = trace.current()
        return [wrap(node, active) for node in joint[: len(values)]], tuple(wrap(node, active) for node in wanted)

    def at(self, kept: tuple[Any, ...]) -> _Linear:
        """The derivative at the point where these values were kept."""
        found = copy.copy(self)
        found._kept = kept
        return found

    def _replay(self, kept: tuple[Any, ...], *directions: Any) -> Any:
        return self._applied(directions, dict(zip(self._residuals, map(unwrap, kept), strict=True)))

    def _applied(self, directions: Sequence[Any], replacements: dict[Node, Node]) -> Any:
        if len(directions) != len(self._given):
            raise TypeError(f"{self.kind} takes {len(self._given)} arguments but {len(directions)} were given")
        leaves = fitting(directions, self._given, self._inputs, self._names, self.function, self.what)
        nodes = substitute(self._outputs, {**replacements, **dict(zip(self._inputs, leaves, strict=True))})
        return unflatten(self._returned, [wrap(node, trace.current()) for node in nodes])

    def __call__(self, *directions: Any) -> Any:
        """Apply it to a direction."""
        if self._kept is not None:
            return self._compiled(self._kept, *directions)
        if self._trace is not None and self._trace.ended:
            text = errors.message(errors.LEAKED, value=f"{self.kind} of {self.function}", function=self._trace.name)
            raise errors.LeakedValueError(text)
        return self._applied(directions, {})

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.function}>"


class _Pull(_Linear):
    kind, what = "pull", "cotangent"

    def _made(self, variables: Variables, outputs: Sequence[Node], structure: Structure) -> list[Node]:
        dtypes = [node.dtype if is_inexact(node.dtype) else np.dtype(np.float64) for node in outputs]
        self._inputs = [input_node(ArrayType(dtype, node.shape)) for node, dtype in zip(outputs, dtypes, strict=True)]
        self._names, self._given = leaf_paths(structure, "value"), [structure]
        self._returned = Structure("tuple", tuple, (), tuple(variables.structures))
        given = [item if is_inexact(node.dtype) else None for node, item in zip(outputs, self._inputs, strict=True)]
        pulled = pull_back(outputs, given, variables.flat)
        return [zeros(node) if item is None else item for node, item in zip(variables.flat, pulled, strict=True)]


class _Push(_Linear):
    kind, what = "push", "tangent"

    def _made(self, variables: Variables, outputs: Sequence[Node], structure: Structure) -> list[Node]:
        self._inputs = [input_node(node.type) for node in variables.flat]
        self._names, self._given = variables.names, list(variables.structures)
        pushed = push_forward(outputs, dict(zip(variables.flat, self._inputs, strict=True)))
        return [zeros(node) if item is None else item for node, item in zip(outputs, pushed, strict=True)]


def _least(node: Node) -> Node:
    """What a value is a view or a cast of, if that takes no more memory."""
    while node.op.family == "view" or node.op.kernel == "cast":
        base = node.inputs[0]
        if base.op is CONSTANT or base.type.size * base.dtype.itemsize > node.type.size * node.dtype.itemsize:
            break
        node = base
    return node
