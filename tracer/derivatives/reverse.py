"""Reverse mode: gradients of functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer import errors
from tracer.derivatives.functions import Function, Transform, Variables, argument_numbers, one, remembered, zeros
from tracer.errors import derivatives as texts
from tracer.graph.node import Node
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.transform.grad import vjp as pull_back
from tracer.tree import unflatten
from tracer.types import is_inexact


def value_and_grad(
    function: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Transform:
    """Return a function that computes a scalar function and its gradient in one pass.

    Parameters
    ----------
    function : callable
        A NumPy function that returns a scalar, or (scalar, auxiliary) with `has_aux`. It may write into its arguments:
        the gradient is that with respect to the values it was given.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to; each may be a nest of arrays. Negative numbers count
        from the last argument.
    has_aux : bool
        Whether `function` also returns something that is passed through.
    holomorphic : bool
        Whether `function` is holomorphic: its arguments and its value are then complex, and the gradient is df/dz.
    allow_int : bool
        Whether integers among the differentiated arguments are accepted; their gradient is zeros of float64.

    Returns
    -------
    callable
        (*args) -> (value, gradient) or ((value, auxiliary), gradient). The gradient has the structure, shapes and
        dtypes of the argument, and is a tuple of such if `argnums` is a sequence. For a complex argument z = x + iy
        of a real function it is df/dx - i df/dy, so that z - rate * conj(gradient) descends.

    Raises
    ------
    TypeError
        For an argument that is not there.
    NotDifferentiableError
        If the function's value is not a real scalar, an argument is not floating point, or the value goes through
        something without a derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    numbers = argument_numbers(argnums)
    options = (isinstance(argnums, int), bool(has_aux), bool(holomorphic), bool(allow_int))

    def make(function: Function) -> Transform:
        def run(*args: Any, **kwargs: Any) -> Any:
            value, aux, gradient = differentiate(function, args, kwargs, numbers, *options)
            return ((value, aux) if has_aux else value), gradient

        made_by = value_and_grad, (function, argnums, *options[1:])
        return Transform(function, run, numbers, f"value_and_grad({label_of(function)})", made_by)

    return remembered(function, "value_and_grad", (numbers, *options), make)


def grad_of_function(
    function: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Transform:
    """The gradient of a function alone; see `grad`."""
    numbers = argument_numbers(argnums)
    options = (isinstance(argnums, int), bool(has_aux), bool(holomorphic), bool(allow_int))

    def make(function: Function) -> Transform:
        def run(*args: Any, **kwargs: Any) -> Any:
            _, aux, gradient = differentiate(function, args, kwargs, numbers, *options)
            return (gradient, aux) if has_aux else gradient

        made_by = grad_of_function, (function, argnums, *options[1:])
        return Transform(function, run, numbers, f"grad({label_of(function)})", made_by)

    return remembered(function, "grad", (numbers, *options), make)


def elementwise_grad(function: Function, argnums: int | Sequence[int] = 0, holomorphic: bool = False) -> Transform:
    """Return a function that computes the gradient of the sum of what a function returns.

    Where each element of the result depends on one element of the argument alone, this is the derivative of each.

    Parameters
    ----------
    function : callable
        A NumPy function that returns an array of any shape.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to; each may be a nest of arrays.
    holomorphic : bool
        Whether `function` is holomorphic; see `value_and_grad`.

    Returns
    -------
    callable
        (*args) -> gradient, of the structure and shapes of the argument, and a tuple of such if `argnums` is a
        sequence.

    Raises
    ------
    NotDifferentiableError
        If the value is not a real floating-point array, an argument is not floating point, or the value goes through
        something without a derivative.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> slope = tracer.elementwise_grad(lambda x: x**3)
    >>> slope(np.array([0.0, 1.0, 2.0]))
    array([ 0.,  3., 12.])
    """
    numbers = argument_numbers(argnums)
    options = (isinstance(argnums, int), False, bool(holomorphic), False)

    def make(function: Function) -> Transform:
        def run(*args: Any, **kwargs: Any) -> Any:
            return differentiate(function, args, kwargs, numbers, *options, scalar=False)[2]

        made_by = elementwise_grad, (function, argnums, holomorphic)
        return Transform(function, run, numbers, f"elementwise_grad({label_of(function)})", made_by)

    return remembered(function, "elementwise_grad", (numbers, *options), make)


def differentiate(
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    numbers: tuple[int, ...],
    single: bool = True,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    scalar: bool = True,
) -> tuple[Any, Any, Any]:
    """A function's value, what it returned besides, and the gradient of the sum of its value."""
    variables = Variables(function, args, numbers, allow_int=allow_int)
    result, aux = split_aux(variables.call(kwargs), has_aux, variables.name, nest=False)
    (cost,) = variables.opened([result], alone=True)
    if holomorphic:
        check_complex(variables)
    check_cost(cost, variables.name, scalar=scalar, holomorphic=holomorphic)
    flat = variables.flat
    gradients = pull_back([cost], [one(cost)], flat)
    filled = [zeros(node) if gradient is None else gradient for node, gradient in zip(flat, gradients, strict=True)]
    value, *closed = variables.close([cost, *filled])
    nests = gathered(variables, closed)
    aux = variables.passed_on(aux)
    variables.write_back()
    return value, aux, nests[0] if single else nests


def gathered(variables: Variables, values: Sequence[Any]) -> tuple[Any, ...]:
    """Nests of the differentiated arguments' structures; an integer leaf gets zeros."""
    leaves = iter(values)
    return tuple(
        unflatten(structure, [_no_gradient(leaf) if node is None else next(leaves) for node, leaf in group])
        for structure, group in zip(variables.structures, variables.groups, strict=True)
    )


def _no_gradient(leaf: Any) -> Any:
    return wrap(zeros(unwrap(leaf)))


def split_aux(result: Any, has_aux: bool, name: str, *, nest: bool) -> tuple[Any, Any]:
    """What a function returned, and what it returned besides; the former is an array unless it may be a nest."""
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        kind = "an array" if isinstance(result, Proxy) else f"a {type(result).__name__}"
        raise errors.NotDifferentiableError(errors.message(texts.NOT_A_PAIR, function=name, type=kind))
    value, aux = result if has_aux else (result, None)
    if not nest and (value is None or isinstance(value, tuple | list | dict)):
        hint = texts.HINT_RESULTS.format(function=name)
        text = errors.message(texts.NOT_AN_ARRAY, what="the value", function=name, type=type(value).__name__, hint=hint)
        raise errors.NotDifferentiableError(text)
    return value, aux


def check_cost(node: Node, name: str = "f", *, scalar: bool = True, holomorphic: bool = False) -> None:
    """Raise NotDifferentiableError unless a node is a real floating-point scalar, or what the options ask for."""
    if scalar and node.type.shape != ():
        text = errors.message(texts.NOT_SCALAR, node.line, type=node.type, function=name)
        raise errors.NotDifferentiableError(text)
    if holomorphic and node.type.dtype.kind != "c":
        text = errors.message(texts.HOLOMORPHIC, node.line, type=node.type, function=name, name="the value")
        raise errors.NotDifferentiableError(text)
    if not is_inexact(node.type.dtype) or (node.type.dtype.kind == "c" and not holomorphic):
        hint = texts.HINT_NOT_REAL if node.type.dtype.kind == "c" else texts.HINT_NOT_FLOAT
        text = errors.message(texts.NOT_REAL, node.line, type=node.type, function=name, hint=hint)
        raise errors.NotDifferentiableError(text)


def check_complex(variables: Variables) -> None:
    """Raise NotDifferentiableError unless all variables are complex."""
    for node, name in zip(variables.flat, variables.names, strict=True):
        if node.type.dtype.kind != "c":
            text = errors.message(texts.HOLOMORPHIC, node.line, type=node.type, function=variables.name, name=name)
            raise errors.NotDifferentiableError(text)
