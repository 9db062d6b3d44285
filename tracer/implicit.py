"""Solutions of equations, differentiated by the implicit function theorem and not through the steps to them.

Christianson, "Reverse accumulation and attractive fixed points", Optimization Methods and Software 3 (1994), describes
the method for fixed points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.errors import custom as texts
from tracer.graph.body import close, free_values
from tracer.graph.graph import Graph, substitute
from tracer.graph.node import Node, blame, constant, input_node
from tracer.ops.convergence import CONVERGED
from tracer.ops.gradient_control import RULED, DerivativeRule
from tracer.ruled_calls import fresh, is_expression, node_of, proxy_of, zero_like
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.control import while_loop
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import deferred
from tracer.transform.grad import vjp
from tracer.transform.jvp import jvp
from tracer.transform.transpose import transpose
from tracer.transform.vmap import batch_values
from tracer.tree import Structure, flatten, unflatten
from tracer.types import ArrayType, is_inexact, promote, real_dtype

Function = Callable[..., Any]


class _Options(NamedTuple):
    """When an iteration stops.

    Attributes
    ----------
    tolerance : float or None
        How much an iteration may still change a value, as a part of `floor` plus the largest value.
    """

    tolerance: float | None
    iterations: int
    floor: float = 1.0


def fixed_point(
    function: Function, initial: Any, *args: Any, tolerance: float | None = None, max_iterations: int = 1000
) -> Any:
    """Return x with function(x, *args) = x, found by iterating from an initial guess.

    Parameters
    ----------
    function : callable
        (x, *args) -> x, a NumPy function; x may be a nest of arrays. It must be a contraction near the solution.
    initial : array or nest of arrays
        Where to start; the solution does not depend on it, and so its derivative is zero.
    *args : arrays or nests of arrays
        Handed to every call. Derivatives flow to them, and to what the function closes over.
    tolerance : float, optional
        The iteration stops when no value changes by more than this times one plus the largest value; 64 units of
        rounding if not given.
    max_iterations : int
        The most iterations to do.

    Returns
    -------
    array or nest of arrays
        The solution. Its derivatives, of both modes and any order, are those of the solution itself: linear fixed
        points that are iterated to the same tolerance. Nothing is kept for them but the solution.

    Raises
    ------
    ConvergenceError
        If the iteration, or that of a derivative, has not converged.
    TypeError
        If the function returns another structure, shapes or dtypes than it is given.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> def root(a):
    ...     return tracer.fixed_point(lambda x, a: 0.5 * (x + a / x), a, a)
    >>> root(2.0), round(float(tracer.grad(root)(2.0)), 12)
    (1.414213562373095, 0.353553390593)
    """
    options = _Options(tolerance, int(max_iterations.__index__()))
    name = label_of(function)
    if is_expression(initial, args):

        def solve(initial: Any, *args: Any) -> Any:
            return fixed_point(function, initial, *args, tolerance=tolerance, max_iterations=max_iterations)

        return deferred(solve, name=name)(initial, *args)
    leaves, structure = flatten(initial)
    if trace.current() is None and not any(isinstance(leaf, Proxy) for leaf in flatten((leaves, args))[0]):
        return _iterated(lambda x: function(x, *args), initial, name, options)

    def step(values: Sequence[Any]) -> list[Any]:
        result, found = flatten(function(unflatten(structure, values), *args))
        if found != structure:
            raise TypeError(_mismatch(name, structure, found))
        return result

    return unflatten(structure, _solved(step, [fresh(unwrap(leaf)) for leaf in leaves], name, options))


def _mismatch(name: str, wanted: Any, found: Any) -> str:
    return errors.message(texts.ITERATE_TYPE, function=name, wanted=wanted, found=found)


def _iterated(step: Function, x: Any, name: str, options: _Options) -> Any:
    """Iterate with NumPy."""
    leaves, structure = flatten(x)
    distance, is_done = np.float64(np.inf), False
    for _ in range(options.iterations):
        before = [np.asarray(leaf) for leaf in leaves]
        leaves, found = flatten(step(unflatten(structure, leaves)))
        after = [np.asarray(leaf) for leaf in leaves]
        if found != structure or any(one.shape != two.shape for one, two in zip(before, after, strict=True)):
            raise TypeError(_mismatch(name, [leaf.shape for leaf in before], [leaf.shape for leaf in after]))
        distance, is_done = _progress(before, after, options)
        if is_done or not np.isfinite(distance):
            break
    if not is_done:
        text = errors.message(texts.NOT_CONVERGED, iterations=options.iterations, distance=float(distance))
        raise errors.ConvergenceError(text)
    return unflatten(structure, leaves)


def _progress(before: Sequence[Any], after: Sequence[Any], options: _Options) -> tuple[Any, Any]:
    """By how much values have changed at most, and whether that is within the tolerance."""
    pairs = [pair for pair in zip(before, after, strict=True) if pair[1].size]
    if not pairs:
        return np.float64(0), True
    distance, largest = (
        _largest([np.max(np.abs(value)) for value in values])
        for values in ([new - old for old, new in pairs], [new for _, new in pairs])
    )
    tolerance = options.tolerance
    if tolerance is None:
        tolerance = 64 * max(float(np.finfo(real_dtype(value.dtype)).eps) for value in after)
    return distance, distance <= tolerance * (options.floor + largest)


def _largest(values: Sequence[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = np.maximum(result, value)
    return result


# --- a traced function, as a body --------------------------------------------------------------------------------


class _Body(NamedTuple):
    """A function of x and of what it uses of its surroundings: the first `number_of_arguments` inputs are x."""

    graph: Graph
    number_of_arguments: int
    free: list[Node]

    @property
    def arguments(self) -> list[Node]:
        """What stands for x."""
        return list(self.graph.inputs[: self.number_of_arguments])

    @property
    def surroundings(self) -> list[Node]:
        """What stands for the rest."""
        return list(self.graph.inputs[self.number_of_arguments :])

    def pulled(self, wrt: Sequence[Node], cotangents: Sequence[Any], values: Sequence[Node]) -> list[Any]:
        """The cotangents of inputs, at values of all of them."""
        given = [input_node(node.type) for node in self.graph.outputs]
        found = vjp(self.graph.outputs, given, wrt)
        known = dict(zip(given, map(unwrap, cotangents), strict=True))
        return self._at(values, found, known)

    def pushed(self, tangents: Mapping[Node, Any], values: Sequence[Node]) -> list[Any]:
        """The tangents of the outputs, at values of all inputs."""
        given = {node: input_node(node.type) for node in tangents}
        known = {given[node]: unwrap(value, node.dtype) for node, value in tangents.items()}
        return self._at(values, jvp(self.graph.outputs, given), known)

    def _at(self, values: Sequence[Node], found: Sequence[Node | None], known: dict[Node, Node]) -> list[Any]:
        known = {**known, **dict(zip(self.graph.inputs, values, strict=True))}
        made = iter(substitute([part for part in found if part is not None], known))
        return [None if part is None else fresh(next(made)) for part in found]


def _traced(step: Callable[[list[Any]], list[Any]], types: Sequence[ArrayType]) -> _Body:
    parameters = [input_node(own) for own in types]
    outputs = [unwrap(value) for value in step([fresh(node) for node in parameters])]
    free = free_values(outputs, parameters)
    return _Body(close([*parameters, *free], outputs), len(parameters), free)


# --- fixed points ------------------------------------------------------------------------------------------------


def _solved(
    step: Callable[[Sequence[Any]], list[Any]], initial: Sequence[Any], name: str, options: _Options
) -> list[Any]:
    """The fixed point of a traced step; its derivatives are those of the solution."""
    types = [value.type for value in initial]
    body = _traced(step, types)
    found = [node.type for node in body.graph.outputs]
    if found != types:  # started with integers, as people do: fixed_point(np.cos, 1)
        types = [ArrayType(promote([own.dtype, new.dtype]), own.shape) for own, new in zip(types, found, strict=True)]
        body = _traced(step, types)
        found = [node.type for node in body.graph.outputs]
    if found != types or not all(is_inexact(own.dtype) for own in types):
        texts_of = [", ".join(map(str, group)) for group in (types, found)]
        raise TypeError(_mismatch(name, *texts_of))
    count = len(types)

    def goes_on(*carries: Any) -> Any:
        distance, is_done, number = carries[count:]
        return np.logical_not(is_done) & (number < options.iterations) & ~np.isnan(distance)

    def iterate(*carries: Any) -> list[Any]:
        before = list(carries[:count])
        after = step(before)
        distance, is_done = _progress(before, after, options)
        return [*after, distance.astype(np.float64), is_done, carries[-1] + 1]

    start = [fresh(unwrap(value, own.dtype)) for value, own in zip(initial, types, strict=True)]
    first = (fresh(constant(np.inf)), fresh(constant(False)), fresh(constant(0)))
    *values, distance, is_done, _ = while_loop(goes_on, iterate, [*start, *first])
    values = [CONVERGED(value, distance, is_done, iterations=options.iterations) for value in values]
    rule = _FixedPointRule(body, name, options)
    return list(RULED(*values, *(fresh(node) for node in body.free), rule=rule)) if values else []


class _FixedPointRule(DerivativeRule):
    """Derivatives of x in x = f(x, a): dx = f_x dx + f_a da, a fixed point too."""

    keeps_body = pushes_body = False

    def __init__(self, body: _Body, name: str, options: _Options) -> None:
        self.body, self.count, self.name = body, body.number_of_arguments, name
        self.options = options._replace(floor=0.0)  # a derivative may be small everywhere

    def pull(self, wanted: Any, g: Any, y: Any, outputs: Any, inputs: Any) -> list[Any]:
        """The cotangents of the surroundings."""
        body = self.body
        values = [value.__tracer_node__ for value in (*y, *inputs)]
        pairs = zip(g, y, strict=True)
        given = [zero_like(value.type) if part is None else part for part, value in pairs]

        def step(sent: Sequence[Any]) -> list[Any]:
            return _added(given, body.pulled(body.arguments, sent, values))

        adjoint = _solved(step, given, self.name, self.options)
        return body.pulled([body.surroundings[place] for place in wanted], adjoint, values)

    def push(self, tangents: Any, through: Any, y: Any, inputs: Any) -> list[Any]:
        """The tangents of the solution."""
        body = self.body
        values = [value.__tracer_node__ for value in (*y, *inputs)]
        moving = {
            node: tangent for node, tangent in zip(body.surroundings, tangents, strict=True) if tangent is not None
        }
        pairs = zip(body.pushed(moving, values), y, strict=True)
        given = [zero_like(value.type) if part is None else part for part, value in pairs]

        def step(sent: Sequence[Any]) -> list[Any]:
            return _added(given, body.pushed(dict(zip(body.arguments, sent, strict=True)), values))

        return _solved(step, given, self.name, self.options)


def _added(values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [one if other is None else one + other for one, other in zip(values, others, strict=True)]


# --- roots -------------------------------------------------------------------------------------------------------


def custom_root(f: Function, initial_guess: Any, solve: Function, tangent_solve: Function | None = None) -> Any:
    """Return x with f(x) = 0 as a solver finds it, with the derivatives of the root.

    Parameters
    ----------
    f : callable
        A NumPy function of x, which may be a nest of arrays; its result has as many elements. Derivatives flow to what
        it closes over.
    initial_guess : array or nest of arrays
        Handed to the solver.
    solve : callable
        (f, initial_guess) -> x. No derivative is taken of what it does.
    tangent_solve : callable, optional
        (g, y) -> x with g(x) = y for the linear function g that is f linearised at the root. Without one the whole
        Jacobian of f is computed and factored.

    Returns
    -------
    array or nest of arrays
        The root. Its derivatives, of both modes and any order, are those of the root.

    Raises
    ------
    NotDifferentiableError
        For a derivative of a complex root without `tangent_solve`.
    TypeError
        If f has not as many results, of the same size, as it has arguments.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> def newton(f, x):
    ...     for _ in range(20):
    ...         x = x - f(x) / tracer.grad(f)(x)
    ...     return x
    >>> def cube_root(a):
    ...     return tracer.custom_root(lambda x: x**3 - a, 1.0, newton)
    >>> tracer.grad(cube_root)(8.0).round(12)
    np.float64(0.083333333333)
    """
    found = solve(f, initial_guess)
    leaves, structure = flatten(found)
    if trace.current() is None and not any(isinstance(leaf, Proxy) for leaf in leaves):
        return found
    values = [fresh(unwrap(leaf)) for leaf in leaves]
    values = [value if is_inexact(value.dtype) else value.astype(np.float64) for value in values]
    shown: list[Structure] = []

    def step(arguments: Sequence[Any]) -> list[Any]:
        result, own = flatten(f(unflatten(structure, arguments)))
        shown.append(own)
        return result

    types = [value.type for value in values]
    body = _traced(step, types)
    results = [node.type for node in body.graph.outputs]
    if sum(own.size for own in results) != sum(own.size for own in types):
        texts_of = [", ".join(map(str, group)) for group in (types, results)]
        raise TypeError(_mismatch(label_of(f), *texts_of))
    if not values:
        return found
    rule = _RootRule(body, label_of(f), tangent_solve, shown[0])
    return unflatten(structure, list(RULED(*values, *(fresh(node) for node in body.free), rule=rule)))


class _RootRule(DerivativeRule):
    """Derivatives of x in f(x, a) = 0: f_x dx = -f_a da."""

    keeps_body = pushes_body = False

    def __init__(self, body: _Body, name: str, tangent_solve: Function | None, result_structure: Structure) -> None:
        self.body, self.count, self.name = body, body.number_of_arguments, name
        self.tangent_solve, self.result_structure = tangent_solve, result_structure

    def pull(self, wanted: Any, g: Any, y: Any, outputs: Any, inputs: Any) -> list[Any]:
        """The cotangents of the surroundings."""
        body = self.body
        values = [value.__tracer_node__ for value in (*y, *inputs)]
        types = [node.type for node in body.graph.outputs]
        given = [zero_like(value.type) if part is None else part for part, value in zip(g, y, strict=True)]
        with blame(None):
            if self.tangent_solve is None:
                solved = _unpacked(np.linalg.solve(self._jacobian(values), _packed(given)), types)
            else:
                parts = transpose(lambda nodes: self._tangent(nodes, values), types, list(map(node_of, given)))
                pairs = zip(map(proxy_of, parts), types, strict=True)
                solved = [zero_like(own) if part is None else part for part, own in pairs]
        found = body.pulled([body.surroundings[place] for place in wanted], solved, values)
        return [None if part is None else -part for part in found]

    def push(self, tangents: Any, through: Any, y: Any, inputs: Any) -> list[Any]:
        """The tangents of the root."""
        body = self.body
        values = [value.__tracer_node__ for value in (*y, *inputs)]
        moving = {
            node: tangent for node, tangent in zip(body.surroundings, tangents, strict=True) if tangent is not None
        }
        pairs = zip(body.pushed(moving, values), body.graph.outputs, strict=True)
        given = [zero_like(node.type) if part is None else -part for part, node in pairs]
        with blame(None):
            if self.tangent_solve is None:
                jacobian = np.transpose(self._jacobian(values))
                return _unpacked(np.linalg.solve(jacobian, _packed(given)), [value.type for value in y])
            return [fresh(node) for node in self._tangent(list(map(unwrap, given)), values)]

    def _jacobian(self, values: Sequence[Node]) -> Any:
        """The transposed Jacobian: row k is the derivative along element k of x."""
        body = self.body
        if any(node.dtype.kind == "c" for node in (*body.arguments, *body.graph.outputs)):
            raise errors.NotDifferentiableError(errors.message(texts.COMPLEX_ROOT))
        size = sum(node.type.size for node in body.arguments)
        rows: dict[Node, Node] = {}
        tangents = {}
        start = 0
        for node in body.arguments:
            tangents[node] = input_node(node.type)
            block = np.zeros((size, node.type.size), node.dtype)
            block[start : start + node.type.size] = np.eye(node.type.size)
            rows[tangents[node]] = constant(block.reshape(size, *node.type.known_shape))
            start += node.type.size
        known = dict(zip(body.graph.inputs, values, strict=True))
        columns = []
        for node, part in zip(body.graph.outputs, jvp(body.graph.outputs, tangents), strict=True):
            if part is None:
                columns.append(zero_like(ArrayType(node.dtype, (size, node.type.size))))
                continue
            ((made, has_axis),) = batch_values(substitute([part], known), rows, size)
            value = fresh(made) if has_axis else np.broadcast_to(fresh(made), (size, *made.type.known_shape))
            columns.append(np.reshape(value, (size, node.type.size)))
        return np.concatenate(columns, axis=1)

    def _tangent(self, nodes: Sequence[Node], values: Sequence[Node]) -> list[Node]:
        """What the user's solver makes of a right-hand side."""
        body, results = self.body, self.result_structure
        types = [node.type for node in body.arguments]

        def linear(x: Any) -> Any:
            leaves = [unwrap(leaf, own.dtype) for leaf, own in zip(flatten(x)[0], types, strict=True)]
            found = body.pushed(dict(zip(body.arguments, map(fresh, leaves), strict=True)), values)
            pairs = zip(found, body.graph.outputs, strict=True)
            return unflatten(results, [zero_like(node.type) if part is None else part for part, node in pairs])

        assert self.tangent_solve is not None
        solved = flatten(self.tangent_solve(linear, unflatten(results, [fresh(node) for node in nodes])))
        return [unwrap(leaf, own.dtype) for leaf, own in zip(solved[0], types, strict=True)]


def _packed(values: Sequence[Any]) -> Any:
    """Arrays as one vector."""
    return np.concatenate([np.ravel(value) for value in values])


def _unpacked(vector: Any, types: Sequence[ArrayType]) -> list[Any]:
    """Arrays from one vector."""
    found = []
    start = 0
    for own in types:
        part = vector[start : start + own.size]
        found.append(np.reshape(part, own.known_shape).astype(own.dtype))
        start += own.size
    return found
