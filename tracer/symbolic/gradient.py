"""Derivatives of symbolic expressions: `grad` and its relatives."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.derivatives.values import grad_of_value
from tracer.errors import gradient as texts
from tracer.symbolic.derivatives import Expression, derivative_type, gradients, jacobians, pushed_forward
from tracer.symbolic.gradient_flow import DisconnectedType, NullType, Way, connections, joined
from tracer.tracing.replay import ancestors, is_computing
from tracer.tracing.symbolic import Symbolic, as_variable
from tracer.tracing.symbolic_type import TensorType
from tracer.tree import map_leaves


def grad(
    cost: Any,
    wrt: Any,
    consider_constant: Iterable[Any] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """The gradient of a symbolic cost with respect to one or more variables.

    Parameters
    ----------
    cost : scalar variable or None
        What to differentiate; None if `known_grads` says where to start.
    wrt : variable, or list or tuple of variables
        Inputs, shared variables or intermediate results.
    consider_constant : sequence of variables, optional
        Through these no derivative flows.
    disconnected_inputs : {"raise", "warn", "ignore"}
        What to do if the cost does not depend on a variable.
    add_names : bool
        Call the results (dcost/dx), where both have names.
    known_grads : mapping or pairs, optional
        Variable -> the gradient of the cost with respect to it, which is then taken instead of computed.
    return_disconnected : {"zero", "None", "Disconnected"}
        What stands for the gradient with respect to a variable on which the cost does not depend.
    null_gradients : {"raise", "return"}
        What to do where a gradient is not defined.

    Returns
    -------
    variable, or list or tuple of variables
        Of the types of `wrt`; floating point for integers.

    Raises
    ------
    TypeError
        If the cost is not a real scalar, or `wrt` is a set.
    DisconnectedInputError, NullTypeGradError
        As the options say.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> grad(x**2, x).eval({x: 3.0})
    array(6.)
    """
    _check_choice("return_disconnected", return_disconnected, ("zero", "None", "Disconnected"))
    _check_choice("null_gradients", null_gradients, ("raise", "return"))
    if is_computing():
        return grad_of_value(_traced(cost), map_leaves(_traced, wrt), disconnected_inputs)
    variables = _wrt_list(wrt)
    roots = _roots(cost, known_grads)
    stop = set(map(as_variable, consider_constant or ()))
    groups = [Group(group, roots, variables, stop) for group in _grouped(list(roots))]
    ways = {item: joined([group.ways[item] for group in groups]) for item in variables}
    _check_ways(ways, disconnected_inputs, null_gradients)
    found = _added([group.gradients() for group in groups])
    results = [
        found[item] if ways[item] is True else _substitute_for(item, ways[item], return_disconnected)
        for item in variables
    ]
    if add_names and getattr(cost, "name", None):
        for item, result in zip(variables, results, strict=True):
            if item.name and item in found and ways[item] is True:
                result.name = f"(d{cost.name}/d{item.name})"
    return _in_kind_of(wrt, results)


def jacobian(
    expression: Any, wrt: Any, consider_constant: Iterable[Any] | None = None, disconnected_inputs: str = "raise"
) -> Any:
    """The derivative of every element of a vector with respect to one or more variables.

    Parameters
    ----------
    expression : vector or scalar variable
        What to differentiate.
    wrt, consider_constant, disconnected_inputs
        As of `grad`.

    Returns
    -------
    variable, or list or tuple of variables
        Of shape (n, *shape of the variable), or without the n for a scalar expression.

    Raises
    ------
    TypeError
        If the expression has more than one dimension.
    DisconnectedInputError
        If the expression does not depend on a variable.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x = T.dvector("x")
    >>> jacobian(x**2, x).eval({x: [1.0, 2.0]})
    array([[2., 0.],
           [0., 4.]])
    """
    expression = as_variable(expression)
    if not isinstance(expression.type, TensorType) or expression.ndim > 1:
        raise TypeError(errors.message(texts.JACOBIAN_NDIM, _line_of(expression), type=expression.type))
    if expression.ndim == 0:
        return grad(expression, wrt, consider_constant, disconnected_inputs)
    variables = _wrt_list(wrt)
    stop = set(map(as_variable, consider_constant or ()))
    ways = connections([expression], variables, stop)
    _check_ways(ways, disconnected_inputs)
    connected = [item for item in variables if ways[item]]
    inner = Expression([expression], connected, stop)
    found = dict(zip(connected, jacobians(inner, inner.variables), strict=True)) if connected else {}
    results = [found[item] if item in found else _zero_jacobian(expression, item) for item in variables]
    return _in_kind_of(wrt, results)


def _zero_jacobian(expression: Any, variable: Any) -> Any:
    zeros = np.zeros_like(variable, dtype=derivative_type(variable.type).numpy_dtype)
    return np.multiply.outer(np.zeros_like(expression, dtype=zeros.type.numpy_dtype), zeros)


def hessian(
    cost: Any, wrt: Any, consider_constant: Iterable[Any] | None = None, disconnected_inputs: str = "raise"
) -> Any:
    """The second derivatives of a cost with respect to each of one or more vectors.

    Parameters
    ----------
    cost : scalar variable
    wrt : vector, or list or tuple of vectors
    consider_constant, disconnected_inputs
        As of `grad`.

    Returns
    -------
    matrix, or list or tuple of them

    Raises
    ------
    TypeError
        If the cost is not a scalar, or a variable not a vector.
    DisconnectedInputError
        If the cost does not depend on a variable.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x = T.dvector("x")
    >>> hessian((x**3).sum(), x).eval({x: [1.0, 2.0]})
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    variables = _wrt_list(wrt)
    for item in variables:
        if not isinstance(item.type, TensorType) or item.ndim != 1:
            raise TypeError(errors.message(texts.HESSIAN_NDIM, _line_of(item), value=item, type=item.type))
    results = []
    for item in variables:
        slope = grad(cost, item, consider_constant, disconnected_inputs)
        results.append(jacobian(slope, item, consider_constant, "ignore"))
    return _in_kind_of(wrt, results)


def hessian_vector_product(cost: Any, wrt: Any, p: Any, **options: Any) -> list[Any]:
    """The product of a cost's second derivatives with a direction, without forming them.

    Parameters
    ----------
    cost : scalar variable
    wrt, p : variables, or lists of them
        What to differentiate with respect to, and the direction: one of each shape.
    **options
        As of `grad`.

    Returns
    -------
    list of variables
        One for each of `wrt`.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, p = T.dvectors("x", "p")
    >>> hessian_vector_product((x**3).sum(), x, p)[0].eval({x: [1.0, 2.0], p: [1.0, 1.0]})
    array([ 6., 12.])
    """
    variables, directions = _wrt_list(wrt), list(p) if isinstance(p, list | tuple) else [p]
    found: list[Any] = Rop(grad(cost, variables, **options), variables, directions, disconnected_outputs="ignore")
    return found


def Rop(
    f: Any,
    wrt: Any,
    eval_points: Any,
    disconnected_outputs: str = "raise",
    return_disconnected: str = "zero",
) -> Any:
    """The derivative of expressions along a direction: their Jacobian times `eval_points`.

    Parameters
    ----------
    f : variable, or list or tuple of variables
        What to differentiate.
    wrt, eval_points : variables, or lists or tuples of them
        With respect to what, and the direction: one of each shape. None as a direction stands for zero.
    disconnected_outputs : {"raise", "warn", "ignore"}
        What to do if an expression depends on none of the variables.
    return_disconnected : {"zero", "None", "Disconnected"}
        What stands for its derivative.

    Returns
    -------
    variable, or list or tuple of variables
        One for each of `f`.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> Rop(x**2, x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]})
    array([ 2., 40.])
    """
    variables, points = _wrt_list(wrt), list(eval_points) if isinstance(eval_points, list | tuple) else [eval_points]
    _check_count("Rop", points, variables)
    outputs = [as_variable(item) for item in (f if isinstance(f, list | tuple) else [f])]
    ways = {item: joined([*connections([item], variables).values()]) for item in outputs}
    _check_ways(ways, disconnected_outputs)
    connected = [item for item in ways if ways[item]]
    inner = Expression(connected, variables)
    found = dict(zip(connected, pushed_forward(inner, inner.variables, points), strict=True)) if connected else {}
    results = [found[item] if item in found else _substitute_for(item, False, return_disconnected) for item in outputs]
    return _in_kind_of(f, results)


def Lop(
    f: Any,
    wrt: Any,
    eval_points: Any,
    consider_constant: Iterable[Any] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The gradient of expressions weighted by `eval_points`: these times the Jacobian of the expressions.

    Parameters
    ----------
    f, eval_points : variables, or lists or tuples of them
        What to differentiate, and a weight of the shape of each.
    wrt, consider_constant, disconnected_inputs
        As of `grad`.

    Returns
    -------
    variable, or list or tuple of variables
        One for each of `wrt`.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> Lop(x**2, x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]})
    array([ 2., 40.])
    """
    outputs = list(f) if isinstance(f, list | tuple) else [f]
    points = list(eval_points) if isinstance(eval_points, list | tuple) else [eval_points]
    _check_count("Lop", points, outputs)
    weights = list(zip(outputs, points, strict=True))
    return grad(None, wrt, consider_constant, disconnected_inputs, known_grads=weights)


def subgraph_grad(
    wrt: Sequence[Any],
    end: Sequence[Any],
    start: Mapping[Any, Any] | None = None,
    cost: Any = None,
    details: bool = False,
) -> Any:
    """The gradient of a part of an expression: from a start back to `end`, where a next part may go on.

    Parameters
    ----------
    wrt : list of variables
        Variables between the start and the end, such as parameters.
    end : list of variables
        Where to stop; they count as constants.
    start : mapping, optional
        Variable -> the gradient with respect to it, as it comes from the part before.
    cost : scalar variable, optional
        Where to start, or a further cost of this part.
    details : bool
        Whether to return what comes from the start and from the cost too.

    Returns
    -------
    tuple
        Gradients with respect to `wrt` and to `end`; with `details` further all of both that come from the start, and
        all that come from the cost, or None.

    Raises
    ------
    ValueError
        If neither a start nor a cost is given.

    Examples
    --------
    >>> import tracer.tensor as T
    >>> x, w = T.dscalars("x", "w")
    >>> y = w * x
    >>> (slope,), (back,) = subgraph_grad([y], [y], cost=y**2)
    >>> (gradient,), _ = subgraph_grad([w], [x], start={y: back})
    >>> gradient.eval({x: 3.0, w: 2.0})
    array(36.)
    """
    if start is None and cost is None:
        raise ValueError(errors.message(texts.SUBGRAPH_START))
    params = list(dict.fromkeys([*wrt, *end]))
    options: Any = {"consider_constant": end, "disconnected_inputs": "ignore"}
    from_start = None if start is None else list(grad(None, params, known_grads=start, **options))
    from_cost = None if cost is None else list(grad(cost, params, **options))
    if from_start is None or from_cost is None:
        total = from_start or from_cost or []
    else:
        total = [one + other for one, other in zip(from_start, from_cost, strict=True)]
    found = dict(zip(params, total, strict=True))
    results = [found[item] for item in wrt], [found[item] for item in end]
    return (*results, from_start, from_cost) if details else results


def _check_count(function: str, points: list[Any], variables: list[Any]) -> None:
    if len(points) != len(variables):
        text = errors.message(texts.EVAL_POINT_COUNT, function=function, points=len(points), variables=len(variables))
        raise ValueError(text)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _traced(value: Any) -> Any:
    return value.as_proxy() if isinstance(value, Symbolic) else value


def _wrt_list(wrt: Any) -> list[Any]:
    """The variables of `wrt`, which is one or a list or tuple of them."""
    if isinstance(wrt, set | frozenset):
        raise TypeError(errors.message(texts.WRT_IS_SET))
    variables = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    for item in variables:
        if not isinstance(item, Symbolic):
            raise TypeError(errors.message(texts.WRT_NOT_SYMBOLIC, kind=type(item).__name__))
    return variables


def _in_kind_of(wrt: Any, results: list[Any]) -> Any:
    """Results as a list or tuple where `wrt` is one, or else the only one."""
    if isinstance(wrt, list | tuple):
        return tuple(results) if isinstance(wrt, tuple) else results
    return results[0]


def _roots(cost: Any, known_grads: Any) -> dict[Any, Any]:
    """Where derivatives start: variable -> its gradient, None for 1."""
    pairs = known_grads.items() if isinstance(known_grads, Mapping) else known_grads or ()
    roots = {as_variable(item): value for item, value in pairs}
    if cost is None and not roots:
        raise ValueError(errors.message(texts.NOTHING_TO_DIFFERENTIATE))
    if cost is not None:
        roots.setdefault(_checked_cost(cost), None)
    is_flowing = lambda value: not isinstance(getattr(value, "type", None), DisconnectedType)  # noqa: E731
    return {item: value for item, value in roots.items() if is_flowing(value)}


def _checked_cost(cost: Any) -> Any:
    cost = as_variable(cost)
    kind, line = cost.type, _line_of(cost)
    if isinstance(kind, NullType):
        raise errors.NullTypeGradError(errors.message(texts.NULL_GRADIENT, line, value=cost, why=kind.why_null))
    if not isinstance(kind, TensorType) or kind.ndim != 0:
        raise TypeError(errors.message(errors.NON_SCALAR_COST, line, type=kind))
    if kind.numpy_dtype.kind == "c":
        hint = "take a real part, e.g. abs(z) ** 2."
        raise TypeError(errors.message(errors.NON_FLOAT_COST, line, type=kind, hint=hint))
    return cost


def _line_of(variable: Any) -> Any:
    return getattr(variable, "line", None)


def _grouped(roots: list[Any]) -> list[list[Any]]:
    """Roots that can be differentiated together: all of them if none depends on another one, else each alone."""
    above = {item for root in roots if root.owner is not None for item in ancestors(root.owner.inputs)}
    return [[root] for root in roots] if any(root in above for root in roots) else [roots]


class Group:
    """Roots whose cotangents are pulled back together; those of other groups count as constants.

    Attributes
    ----------
    ways : dict
        How each variable bears on the roots.
    """

    def __init__(self, members: list[Any], roots: Mapping[Any, Any], wrt: Sequence[Any], stop: set[Any]) -> None:
        self.members, self.cotangents = members, [roots[item] for item in members]
        foreign = set(roots).difference(members)
        self.stop = stop | foreign
        self.ways = connections(members, [item for item in wrt if item not in foreign], self.stop)
        self.ways.update(dict.fromkeys(foreign.intersection(wrt), False))

    def gradients(self) -> dict[Any, Any]:
        """Variable -> its gradient, for those that have one."""
        wrt = [item for item, way in self.ways.items() if way is True]
        expression = Expression(self.members, wrt, self.stop)
        return dict(zip(wrt, gradients(expression, expression.variables, self.cotangents), strict=True)) if wrt else {}


def _added(parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    total: dict[Any, Any] = {}
    for part in parts:
        for item, value in part.items():
            total[item] = total[item] + value if item in total else value
    return total


def _check_ways(ways: Mapping[Any, Way], disconnected_inputs: str, null_gradients: str = "raise") -> None:
    _check_choice("disconnected_inputs", disconnected_inputs, ("raise", "warn", "ignore"))
    for item, way in ways.items():
        if not way:
            _report_disconnected(item, disconnected_inputs)
        elif isinstance(way, NullType) and null_gradients == "raise":
            raise errors.NullTypeGradError(
                errors.message(texts.NULL_GRADIENT, _line_of(item), value=item, why=way.why_null)
            )


def _report_disconnected(variable: Any, choice: str) -> None:
    text = errors.message(errors.DISCONNECTED, _line_of(variable), value=variable)
    if choice == "raise":
        raise errors.DisconnectedInputError(text)
    if choice == "warn":
        warnings.warn(text, stacklevel=4)


def _substitute_for(variable: Any, way: Way, return_disconnected: str) -> Any:
    """What stands for a gradient that is not there."""
    if isinstance(way, NullType):
        return way()
    if return_disconnected == "None":
        return None
    if return_disconnected == "Disconnected" or not isinstance(variable.type, TensorType):
        return DisconnectedType()()
    return np.zeros_like(variable, dtype=derivative_type(variable.type).numpy_dtype)
