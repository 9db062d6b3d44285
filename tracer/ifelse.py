"""`ifelse`: a choice between two expressions of which only one is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.ops.branching import IFELSE
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import NUMBERS, deferred
from tracer.tracing.replay import Failure, is_computing, static
from tracer.tracing.symbolic import as_variable
from tracer.tracing.symbolic_type import TensorType, Type, type_of_value


def ifelse(condition: Any, then_branch: Any, else_branch: Any, name: str | None = None) -> Any:
    """One of two expressions, or lists of expressions, of which only the one that is chosen is computed.

    `switch` in contrast computes both and chooses element by element.

    Parameters
    ----------
    condition : scalar variable
        Anything but zero is true.
    then_branch, else_branch : variable, or list or tuple of variables
        As many in both, of the same types: dtype, number of dimensions and broadcastable dimensions. Sizes may differ;
        then the condition is part of what a program is compiled for.
    name : str, optional
        For texts of expressions.

    Returns
    -------
    variable, or list or tuple of variables
        As `then_branch` is.

    Raises
    ------
    TypeError
        If the types of the branches differ.
    ValueError
        If one branch has more values than the other.

    Examples
    --------
    >>> import tracer as theano, tracer.tensor as T
    >>> from tracer.ifelse import ifelse
    >>> a, b, x = T.dscalar("a"), T.dscalar("b"), T.dvector("x")
    >>> f = theano.function([a, b, x], ifelse(T.lt(a, b), T.mean(x), T.max(x)))
    >>> f(1, 2, [1, 6]), f(2, 1, [1, 6])
    (array(3.5), array(6.))
    """
    then, otherwise = (item if isinstance(item, list | tuple) else [item] for item in (then_branch, else_branch))
    if len(then) != len(otherwise):
        raise ValueError(errors.message(errors.IFELSE_COUNT, one=len(then), two=len(otherwise)))
    if is_computing():
        kinds = [type_of_value(item) for item in then]
        results = choose(name, kinds, condition, list(then), list(otherwise))
    else:
        pairs = [_same_types(as_variable(a), as_variable(b)) for a, b in zip(then, otherwise, strict=True)]
        one, two = [a for a, _ in pairs], [b for _, b in pairs]
        results = choose(name, [item.type for item in one], as_variable(condition), one, two)
    if isinstance(then_branch, list | tuple):
        return type(then_branch)(results)
    return results[0]


def _same_types(then: Any, otherwise: Any) -> tuple[Any, Any]:
    """Both values, of the same type: a Python number takes that of the other one."""
    if then.type == otherwise.type:
        return then, otherwise
    both = isinstance(then.type, TensorType) and isinstance(otherwise.type, TensorType)
    if both and then.ndim == otherwise.ndim == 0:
        for number, other in ((then, otherwise), (otherwise, then)):
            if number.is_constant and type(number.data) in NUMBERS:
                fitted = _as_type(number, other.type)
                if fitted is not None:
                    return (fitted, other) if number is then else (other, fitted)
    raise TypeError(errors.message(errors.IFELSE_TYPES, one=then.type, two=otherwise.type))


def _as_type(number: Any, kind: Type) -> Any:
    try:
        return Type.make_constant(kind, kind.filter(number.data))
    except TypeError:
        return None


def _types(
    name: str | None, kinds: Sequence[Type], condition: Any, then: Sequence[Any], otherwise: Sequence[Any]
) -> tuple[Type, ...]:
    if condition.ndim:
        raise TypeError(errors.message(errors.PREDICATE, type=condition.type))
    return tuple(kinds)


@deferred(name="if", infer=_types)
def choose(
    name: str | None, kinds: Sequence[Type], condition: Any, then: Sequence[Any], otherwise: Sequence[Any]
) -> tuple[Any, ...]:
    """One of two lists of values of these types, of traced ones through an op that computes only what it gives."""
    predicate = condition != 0
    if not isinstance(predicate, Proxy):
        return tuple(map(_needed, then if predicate else otherwise))
    scalar: Any = np.reshape(predicate, ())
    return tuple(_chosen(scalar, *item) for item in zip(kinds, then, otherwise, strict=True))


choose.operation.is_lazy = True


def _needed(value: Any) -> Any:
    """A value that is needed. Raises the error that kept it from being computed."""
    if isinstance(value, Failure):
        raise value.error
    return value


def _chosen(predicate: Proxy, kind: Type, then: Any, otherwise: Any) -> Any:
    if isinstance(then, Failure) or isinstance(otherwise, Failure):
        return _needed(then if static(predicate) else otherwise)
    (one, fixed), (two, other_fixed) = kind.flatten(then), kind.flatten(otherwise)
    dtype = kind.numpy_dtype if isinstance(kind, TensorType) and fixed is other_fixed is None else None
    first, second = ([unwrap(leaf, dtype) for leaf in leaves] for leaves in (one, two))
    if fixed != other_fixed or [node.type for node in first] != [node.type for node in second]:
        return then if static(predicate) else otherwise
    active = trace.current()
    pairs = zip(first, second, strict=True)
    return kind.unflatten([IFELSE(predicate, Proxy(a, active), Proxy(b, active)) for a, b in pairs], fixed)
