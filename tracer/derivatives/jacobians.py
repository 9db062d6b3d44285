"""Whole Jacobians and Hessians, by one batched program for each; products with Hessians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.derivatives.forward import pushed
from tracer.derivatives.functions import Function, Transform, Variables, argument_numbers, remembered, zeros
from tracer.derivatives.reverse import check_complex, check_cost, differentiate, grad_of_function, split_aux
from tracer.errors import derivatives as texts
from tracer.graph.node import Node, constant, input_node
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp as pull_back
from tracer.transform.jvp import jvp as push_forward
from tracer.transform.vmap import batch
from tracer.tree import flatten, unflatten
from tracer.types import ArrayType, is_inexact


def jacfwd(
    function: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Transform:
    """Return a function that computes a Jacobian column by column, all columns at once (forward mode).

    It is the better choice where there are no more arguments than results; `jacobian` chooses by itself. See there for
    parameters, results and errors.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jacfwd(lambda t: np.stack([t, t**2]))(3.0)
    array([1., 6.])
    """
    return _jacobian(function, "jacfwd", argnums, has_aux, holomorphic, allow_int)


def jacrev(
    function: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Transform:
    """Return a function that computes a Jacobian row by row, all rows at once (reverse mode).

    It is the better choice where there are fewer results than arguments; `jacobian` chooses by itself. See there for
    parameters, results and errors.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jacrev(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    return _jacobian(function, "jacrev", argnums, has_aux, holomorphic, allow_int)


def jacobian(
    function: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Transform:
    """Return a function that computes the derivative of every element of a result by every element of an argument.

    Forward or reverse mode is chosen by the numbers of elements.

    Parameters
    ----------
    function : callable
        A NumPy function that returns an array or a nest of arrays, or (nest, auxiliary) with `has_aux`.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to; each may be a nest of arrays.
    has_aux : bool
        Whether `function` also returns something that is passed through.
    holomorphic : bool
        Whether `function` is holomorphic: arguments and results are then complex, and the Jacobian is dw/dz.
    allow_int : bool
        Whether integers among the differentiated arguments are accepted; their derivative is zeros of float64.

    Returns
    -------
    callable
        (*args) -> Jacobian, with `has_aux` (Jacobian, auxiliary). It has the structure of the result, in which each
        array is replaced by a nest like the argument (a tuple of such if `argnums` is a sequence), of arrays of shape
        result.shape + argument.shape. For a complex argument z = x + iy of a real function it is df/dx - i df/dy.

    Raises
    ------
    NotDifferentiableError
        If an argument is not floating point, an op has no derivative, or a complex result needs `holomorphic`.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.jacobian(lambda x: x[:2] * x[2])(np.array([1.0, 2.0, 3.0]))
    array([[3., 0., 1.],
           [0., 3., 2.]])
    """
    return _jacobian(function, "jacobian", argnums, has_aux, holomorphic, allow_int)


def hessian(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Transform:
    """Return a function that computes the second derivatives of a scalar function, by forward over reverse mode.

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
        (*args) -> Hessian, with `has_aux` (Hessian, auxiliary): a nest like the argument (a tuple of such if `argnums`
        is a sequence) of nests like the argument, of arrays of shape first.shape + second.shape.

    Raises
    ------
    NotDifferentiableError
        As `grad` and `jacobian`.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> tracer.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    numbers = argument_numbers(argnums)
    chosen = argnums if isinstance(argnums, int) else numbers

    def make(function: Function) -> Transform:
        run = jacfwd(grad_of_function(function, chosen, has_aux), chosen, has_aux).__tracer_run__
        made_by = hessian, (function, argnums, has_aux)
        return Transform(function, run, numbers, f"hessian({label_of(function)})", made_by)

    return remembered(function, "hessian", (chosen, bool(has_aux)), make)


def hvp(function: Function, argnums: int | Sequence[int] = 0) -> Transform:
    """Return a function that multiplies the Hessian of a scalar function with a vector, at the cost of two gradients.

    Parameters
    ----------
    function : callable
        A NumPy function that returns a scalar.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to; each may be a nest of arrays.

    Returns
    -------
    callable
        (*args, vector) -> product. The vector comes last; it and the product are nests like the argument, and tuples of
        such if `argnums` is a sequence.

    Raises
    ------
    TypeError, ValueError
        If the vector does not fit the argument.
    NotDifferentiableError
        As `grad`.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> product = tracer.hvp(lambda x: np.sum(x**3))
    >>> product(np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    array([6., 6.])
    """
    numbers = argument_numbers(argnums)
    single = isinstance(argnums, int)

    def make(function: Function) -> Transform:
        def run(*args: Any) -> Any:
            if not args:
                raise TypeError(errors.message(errors.ARGNUM_MISSING, function=label_of(function), number=-1, count=0))
            *rest, vector = args
            positions = [number % len(rest) if -len(rest) <= number < len(rest) else number for number in numbers]
            if not all(0 <= number < len(rest) for number in positions):
                wrong = next(number for number in positions if not 0 <= number < len(rest))
                text = errors.message(errors.ARGNUM_MISSING, function=label_of(function), number=wrong, count=len(rest))
                raise TypeError(text)

            def gradient(*points: Any) -> Any:
                every = list(rest)
                for position, point in zip(positions, points, strict=True):
                    every[position] = point
                return differentiate(function, tuple(every), {}, tuple(positions), single=False)[2]

            gradient.__qualname__ = label_of(function)
            points = tuple(rest[position] for position in positions)
            for position in positions:
                rest[position] = None  # a function may not write into what it also closes over
            product = pushed(gradient, points, (vector,) if single else tuple(vector))[1]
            return product[0] if single else product

        # Counted from the end, arguments come before the vector.
        places = tuple(number if number >= 0 else number - 1 for number in numbers)
        made_by = hvp, (function, argnums)
        return Transform(function, run, (*places, -1), f"hvp({label_of(function)})", made_by)

    return remembered(function, "hvp", (numbers, single), make)


# --- the batched program -----------------------------------------------------------------------------------------


def _jacobian(function: Function, kind: str, argnums: Any, has_aux: bool, holomorphic: bool, allow_int: bool) -> Any:
    numbers = argument_numbers(argnums)
    single = isinstance(argnums, int)

    def make(function: Function) -> Transform:
        def run(*args: Any, **kwargs: Any) -> Any:
            variables = Variables(function, args, numbers, allow_int=allow_int)
            result, aux = split_aux(variables.call(kwargs), has_aux, variables.name, nest=True)
            leaves, structure = flatten(result)
            outputs = variables.opened(leaves)
            blocks = _blocks(variables, outputs, _is_forward(kind, variables, outputs, holomorphic))
            rows = [_row(variables, output, found) for output, found in zip(outputs, blocks, strict=True)]
            aux = variables.passed_on(aux)
            variables.write_back()
            jacobian = unflatten(structure, [row[0] if single else row for row in rows])
            return (jacobian, aux) if has_aux else jacobian

        made_by = _jacobian, (function, kind, argnums, has_aux, holomorphic, allow_int)
        return Transform(function, run, numbers, f"{kind}({label_of(function)})", made_by)

    return remembered(function, kind, (numbers, single, bool(has_aux), bool(holomorphic), bool(allow_int)), make)


def _is_forward(kind: str, variables: Variables, outputs: Sequence[Node], holomorphic: bool) -> bool:
    """Whether to use forward mode. Raises NotDifferentiableError where a derivative is not one complex number."""
    inputs, results = variables.flat, [node for node in outputs if is_inexact(node.dtype)]
    counts = [sum(node.type.size for node in nodes) for nodes in (inputs, results)]
    is_forward = kind == "jacfwd" or (kind == "jacobian" and counts[0] <= counts[1])
    if holomorphic:
        check_complex(variables)
        for node in outputs:
            check_cost(node, variables.name, scalar=False, holomorphic=True)
        return is_forward
    named = zip([*inputs, *results], [*variables.names, *["the value"] * len(results)], strict=True)
    wrong = [(node, name) for node, name in named if node.dtype.kind == "c"]
    if kind == "jacobian" and wrong:
        is_forward = wrong[0][0] not in inputs
    side = inputs if is_forward else results
    for node, name in wrong:
        if node in side:
            text = errors.message(
                texts.COMPLEX_JACOBIAN, node.line, transform=kind, function=variables.name, name=name, type=node.type
            )
            raise errors.NotDifferentiableError(text)
    return is_forward


def _blocks(variables: Variables, outputs: Sequence[Node], is_forward: bool) -> list[list[Any]]:
    """For each output the derivatives with respect to each variable, of shape output.shape + variable.shape."""
    inputs = variables.flat
    found: dict[tuple[int, int], Node] = {}
    if is_forward:
        for column, node in enumerate(inputs):
            tangent = input_node(node.type)
            moved = push_forward(outputs, {node: tangent})
            for row, block in enumerate(_batched(moved, tangent)):
                if block is not None:
                    columns: Any = wrap(block)
                    found[row, column] = unwrap(np.moveaxis(columns, 0, -1))
    else:
        for row, node in enumerate(outputs):
            if is_inexact(node.dtype):
                cotangent = input_node(node.type)
                pulled = pull_back([node], [cotangent], inputs)
                for column, block in enumerate(_batched(pulled, cotangent)):
                    if block is not None:
                        found[row, column] = block
    shaped = []
    for row, output in enumerate(outputs):
        for column, node in enumerate(inputs):
            block, shape = found.get((row, column)), output.type.known_shape + node.type.known_shape
            if block is None:
                dtype = (output if is_forward else node).dtype
                shaped.append(_zeros(shape, dtype if is_inexact(output.dtype) else np.dtype(np.float64)))
            else:
                shaped.append(unwrap(np.reshape(wrap(block), shape)))
    closed = variables.close(shaped)
    return [closed[start : start + len(inputs)] for start in range(0, len(closed), len(inputs))]


def _batched(outputs: Sequence[Node | None], direction: Node) -> list[Node | None]:
    """The outputs for all unit vectors in place of a direction, stacked along a new first axis."""
    size, shape = direction.type.size, direction.type.known_shape
    wanted = {place: node for place, node in enumerate(outputs) if node is not None}
    if not size or not wanted:
        return [None] * len(outputs)
    counter = wrap(constant(np.arange(size)))
    units = (counter[:, np.newaxis] == counter).astype(direction.dtype)
    basis = unwrap(np.reshape(units, (size, *shape)))
    found = dict(zip(wanted, batch(list(wanted.values()), {direction: basis}, size), strict=True))
    return [found.get(place) for place in range(len(outputs))]


def _row(variables: Variables, output: Node, blocks: Sequence[Any]) -> tuple[Any, ...]:
    """The derivatives of one output: nests like the differentiated arguments."""
    leaves = iter(blocks)

    def block(node: Node | None, leaf: Any) -> Any:
        if node is not None:
            return next(leaves)
        return wrap(_zeros(output.type.known_shape + np.shape(leaf), np.dtype(np.float64)), trace.current())

    pairs = zip(variables.structures, variables.groups, strict=True)
    return tuple(unflatten(structure, [block(*item) for item in group]) for structure, group in pairs)


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Node:
    return zeros(input_node(ArrayType(dtype, shape)))
