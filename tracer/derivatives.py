"""Derivatives as users ask for them: of functions, and of values inside a trace."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.compiled import Compiled
from tracer.graph.graph import Graph, substitute
from tracer.graph.node import Node, constant, input_node
from tracer.rewrite.passes import stabilise
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, describe, unwrap, wrap
from tracer.transform.grad import vjp as pull_back
from tracer.transform.jvp import jvp as push_forward
from tracer.tree import flatten, unflatten
from tracer.types import is_inexact

Function = Callable[..., Any]
_DISCONNECTED_CHOICES = ("raise", "warn", "ignore")


_CACHE = "__tracer_transforms__"


def remembered(function: Function, kind: str, options: tuple[Any, ...], make: Callable[[], Transform]) -> Transform:
    """The transform of a function, made once: then `tracer.grad(f)(x)` in a loop is traced once.

    It is kept on the function itself, so that both are freed together. A decorator may copy a function's attributes to
    another function, hence the check.
    """
    if not isinstance(function, types.FunctionType):
        return make()
    known: dict[Any, Transform] = function.__dict__.setdefault(_CACHE, {})
    found = known.get((kind, options))
    if found is None or found.function is not function:
        found = known[kind, options] = make()
    return found


class Transform:
    """A function made from another by a transform; compiled at its first call outside of a trace."""

    def __init__(self, function: Function, run: Function, argnums: tuple[int, ...], name: str) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__qualname__ = self.__name__ = name
        self.function = function
        self.argnums = argnums
        self.__tracer_run__ = run
        self._compiled: Compiled | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Differentiate at these arguments."""
        if trace.current() is not None:
            return self.__tracer_run__(*args, **kwargs)
        if self._compiled is None:
            self._compiled = Compiled(self, traced_floats=self.argnums)
        return self._compiled(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def name_of(function: Any) -> str:
    """A function's name for messages."""
    return getattr(function, "__name__", type(function).__name__)


def value_and_grad(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Transform:
    """Return a function that computes a scalar function and its gradient in one pass.

    Parameters
    ----------
    function : callable
        A NumPy function that returns a scalar, or (scalar, auxiliary) with `has_aux`.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to; each may be a nest of arrays.
    has_aux : bool
        Whether `function` also returns something that is passed through.

    Returns
    -------
    callable
        (*args) -> (value, gradient) or ((value, auxiliary), gradient). The gradient has the structure, shapes and
        dtypes of the argument, and is a tuple of such if `argnums` is a sequence. For a complex argument z = x + iy
        it is df/dx - i df/dy, so that z - rate * conj(gradient) descends.

    Raises
    ------
    TypeError
        For an integer argument, or one that is not an array or float.
    NotDifferentiableError
        If the function's value is not a real scalar, or goes through something without a derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    numbers = _argnums(argnums)

    def run(*args: Any, **kwargs: Any) -> Any:
        return _differentiate(function, args, kwargs, numbers, isinstance(argnums, int), has_aux)

    def make() -> Transform:
        return Transform(function, run, numbers, f"value_and_grad({name_of(function)})")

    return remembered(function, "value_and_grad", (numbers, isinstance(argnums, int), bool(has_aux)), make)


def grad_of_function(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Transform:
    """The gradient of a function alone; see `grad`."""
    numbers = _argnums(argnums)

    def run(*args: Any, **kwargs: Any) -> Any:
        value, gradient = _differentiate(function, args, kwargs, numbers, isinstance(argnums, int), has_aux)
        return (gradient, value[1]) if has_aux else gradient

    def make() -> Transform:
        return Transform(function, run, numbers, f"grad({name_of(function)})")

    return remembered(function, "grad", (numbers, isinstance(argnums, int), bool(has_aux)), make)


def _argnums(argnums: Any) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        raise TypeError(f"argnums must be non-negative ints, not {argnums!r}")
    return numbers


class _Variables:
    """Fresh inputs in place of the differentiated arguments, so that only this use of them is differentiated."""

    def __init__(self, function: Function, args: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
        self.name = name_of(function)
        self.actual: dict[Node, Node] = {}
        self.structures = []
        self.nodes: list[list[Node]] = []
        new = list(args)
        for number in numbers:
            if number >= len(args):
                raise TypeError(
                    errors.message(errors.ARGNUM_MISSING, function=self.name, number=number, count=len(args))
                )
            leaves, structure = flatten(args[number])
            fresh = [self._variable(leaf, number) for leaf in leaves]
            self.nodes.append(fresh)
            self.structures.append(structure)
            new[number] = unflatten(structure, [wrap(node, trace.current()) for node in fresh])
        self.args = tuple(new)

    def _variable(self, leaf: Any, number: int) -> Node:
        try:
            actual = unwrap(leaf)
        except TypeError:
            raise errors.NotDifferentiableError(
                errors.message(
                    errors.INTEGER_ARGUMENT, function=self.name, name=f"argument {number}", type=type(leaf).__name__
                )
            ) from None
        if not is_inexact(actual.type.dtype):
            name = actual.name or f"argument {number}"
            raise errors.NotDifferentiableError(
                errors.message(errors.INTEGER_ARGUMENT, function=self.name, name=name, type=actual.type)
            )
        node = input_node(actual.type, actual.name)
        self.actual[node] = actual
        return node

    @property
    def flat(self) -> list[Node]:
        return [node for group in self.nodes for node in group]

    def close(self, nodes: Sequence[Node]) -> list[Any]:
        """Put the actual arguments back, and return values of the running trace."""
        return [wrap(node, trace.current()) for node in substitute(nodes, self.actual)]


def _differentiate(
    function: Function, args: tuple[Any, ...], kwargs: Any, numbers: tuple[int, ...], single: bool, has_aux: bool
) -> Any:
    variables = _Variables(function, args, numbers)
    result = function(*variables.args, **kwargs)
    cost, aux = _split_aux(result, has_aux, variables.name)
    aux_leaves, aux_structure = flatten(aux)
    traced_aux = [position for position, leaf in enumerate(aux_leaves) if isinstance(leaf, Proxy)]
    cost_node = unwrap(cost)
    check_cost(cost_node)
    flat = variables.flat
    outputs = [cost_node, *(aux_leaves[position].__tracer_node__ for position in traced_aux)]
    outputs[0] = stabilise(Graph((), (cost_node,)), frozenset(flat)).outputs[0]
    gradients = pull_back([outputs[0]], [_one(outputs[0])], flat)
    filled = [_zeros(node) if gradient is None else gradient for node, gradient in zip(flat, gradients, strict=True)]
    closed = variables.close([*outputs, *filled])
    for position, value in zip(traced_aux, closed[1:], strict=False):
        aux_leaves[position] = value
    leaves = iter(closed[len(outputs) :])
    nests = tuple(
        unflatten(structure, [next(leaves) for _ in group])
        for structure, group in zip(variables.structures, variables.nodes, strict=True)
    )
    value = (closed[0], unflatten(aux_structure, aux_leaves)) if has_aux else closed[0]
    return value, nests[0] if single else nests


def _split_aux(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        if isinstance(result, tuple | list | dict):
            hint = f"value_and_grad({name}, has_aux=True) passes further results through."
            raise errors.NotDifferentiableError(
                errors.message(errors.NON_FLOAT_COST, type=type(result).__name__, hint=hint)
            )
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise errors.NotDifferentiableError(
            errors.message(
                errors.NON_FLOAT_COST, type=type(result).__name__, hint="with has_aux=True return (cost, auxiliary)."
            )
        )
    return result[0], result[1]


def check_cost(node: Node) -> None:
    """Raise NotDifferentiableError unless a node is a real floating-point scalar."""
    if node.type.shape != ():
        raise errors.NotDifferentiableError(errors.message(errors.NON_SCALAR_COST, node.line, type=node.type))
    if node.type.dtype.kind != "f":
        hint = (
            "take a real part, e.g. np.abs(z) ** 2."
            if node.type.dtype.kind == "c"
            else "compute it from floats, e.g. x.astype(np.float64)."
        )
        raise errors.NotDifferentiableError(errors.message(errors.NON_FLOAT_COST, node.line, type=node.type, hint=hint))


def _one(node: Node) -> Node:
    return constant(1, node.type.dtype)


def _zeros(node: Node) -> Node:
    dtype = node.type.dtype if is_inexact(node.type.dtype) else np.dtype(np.float64)
    return unwrap(np.broadcast_to(wrap(constant(0, dtype)), node.type.known_shape))


# --- derivatives of traced values --------------------------------------------------------------------------------


def grad_of_value(cost: Any, wrt: Any, disconnected_inputs: str = "raise") -> Any:
    """The gradient of a traced scalar with respect to traced values; see `grad`."""
    if disconnected_inputs not in _DISCONNECTED_CHOICES:
        raise ValueError(f"disconnected_inputs must be one of {_DISCONNECTED_CHOICES}, not {disconnected_inputs!r}")
    if isinstance(wrt, set | frozenset):
        raise TypeError("wrt must be a traced value or a list or tuple of them: a set has no order")
    leaves, structure = flatten(wrt)
    for leaf in leaves:
        if not isinstance(leaf, Proxy):
            raise TypeError(errors.message(errors.WRT_NOT_TRACED, type=type(leaf).__name__))
    cost_node = unwrap(cost)
    check_cost(cost_node)
    nodes = [leaf.__tracer_node__ for leaf in leaves]
    stable = stabilise(Graph((), (cost_node,)), frozenset(nodes)).outputs[0]
    gradients = pull_back([stable], [_one(stable)], nodes)
    results = []
    for node, gradient in zip(nodes, gradients, strict=True):
        if gradient is None:
            _disconnected(node, disconnected_inputs)
            gradient = _zeros(node)
        results.append(wrap(gradient, trace.current()))
    return unflatten(structure, results)


def _disconnected(node: Node, choice: str) -> None:
    text = errors.message(errors.DISCONNECTED, value=describe(node))
    if choice == "raise":
        raise errors.DisconnectedInputError(text)
    if choice == "warn":
        warnings.warn(text, stacklevel=4)


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return a function's value and its derivative along a direction (forward mode).

    Parameters
    ----------
    function : callable
        A NumPy function; its result may be a nest of arrays.
    primals, tangents : sequences
        Positional arguments and the direction, of the same structure, shapes and dtypes.

    Returns
    -------
    tuple
        (value, tangent), the tangent with the structure of the value.

    Raises
    ------
    NotDifferentiableError
        If an argument is not floating point, or an op has no derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    count = len(primals)

    def run(*args: Any) -> Any:
        return _push(function, args[:count], args[count:])

    def make() -> Transform:
        return Transform(function, run, tuple(range(2 * count)), f"jvp({name_of(function)})")

    result: tuple[Any, Any] = remembered(function, "jvp", (count,), make)(*primals, *tangents)
    return result


def _push(function: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    variables = _Variables(function, primals, tuple(range(len(primals))))
    directions = [unwrap(leaf, None) for leaf in flatten(tangents)[0]]
    result = function(*variables.args)
    leaves, structure = flatten(result)
    outputs = [unwrap(leaf) for leaf in leaves]
    stable = list(stabilise(Graph((), tuple(outputs)), frozenset(variables.flat)).outputs)
    moved = push_forward(stable, dict(zip(variables.flat, directions, strict=True)))
    filled = [_zeros(node) if item is None else item for node, item in zip(stable, moved, strict=True)]
    closed = variables.close([*stable, *filled])
    half = len(stable)
    return unflatten(structure, closed[:half]), unflatten(structure, closed[half:])
