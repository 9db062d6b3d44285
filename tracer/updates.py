"""Updates of shared variables: their container, the forms in which they may be given, and those found by default."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tracer import errors
from tracer.errors import function as texts
from tracer.tracing.replay import leaves_of
from tracer.tracing.shared import SharedVariable
from tracer.tracing.symbolic import Constant, Symbolic
from tracer.tracing.symbolic_type import TensorType


class OrderedUpdates(OrderedDict[Any, Any]):
    """Shared variable -> its new value, in order. Two of them may be added, if they do not contradict each other.

    Raises
    ------
    TypeError
        If a key is not a shared variable.
    KeyError
        If two added ones give the same variable different values.

    Examples
    --------
    >>> import tracer as theano
    >>> n, total = theano.shared(0), theano.shared(0.0)
    >>> updates = theano.OrderedUpdates([(n, n + 1)]) + theano.OrderedUpdates({total: total + 1.5})
    >>> f = theano.function([], n, updates=updates)
    >>> f(), n.get_value(), total.get_value()
    (array(0), array(1), array(1.5))
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, SharedVariable):
            raise TypeError(errors.message(errors.UPDATE_TARGET, target=key))
        super().__setitem__(key, value)

    def update(self, *others: Any, **_: Any) -> None:
        """Take over the items of a mapping or of pairs. Raises KeyError if one contradicts an item that is there."""
        for other in others:
            for key, value in other.items() if isinstance(other, Mapping) else other:
                if key in self and self[key] is not value:
                    raise KeyError("Collision", key)
                self[key] = value

    def __add__(self, other: Any) -> OrderedUpdates:
        result = OrderedUpdates()
        result.update(self)
        result.update(other)
        return result

    def __radd__(self, other: Any) -> OrderedUpdates:
        result = OrderedUpdates()
        result.update(other)
        result.update(self)
        return result

    def __str__(self) -> str:
        return "OrderedUpdates(" + ", ".join(f"{key}: {value}" for key, value in self.items()) + ")"

    __repr__ = __str__


def as_pairs(pairs: Any, parameter: str) -> list[tuple[Any, Any]]:
    """The (variable, expression) pairs of a mapping or of a list of pairs.

    Raises ValueError for anything else, such as a flat list of variables.
    """
    if pairs is None:
        return []
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    found: list[tuple[Any, Any]] = []
    for item in items if isinstance(items, Iterable) and not isinstance(items, Symbolic) else [items]:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(errors.message(texts.NOT_PAIRS, parameter=parameter, item=item))
        found.append((item[0], item[1]))
    return found


def checked_updates(pairs: Any) -> dict[Any, Any]:
    """Updates as a dict of shared variable -> symbolic expression of its type, in order.

    Raises
    ------
    TypeError
        If a target is not a shared variable, or a value is not of its type.
    ValueError
        If a target occurs twice, or if they are not pairs.
    """
    found: dict[Any, Any] = {}
    for target, value in as_pairs(pairs, "updates"):
        if not isinstance(target, SharedVariable):
            raise TypeError(errors.message(errors.UPDATE_TARGET, target=target))
        if target in found:
            raise ValueError(errors.message(texts.UPDATE_DUPLICATE, name=target.label))
        found[target] = checked_update(target, value)
    return found


def checked_update(target: Any, value: Any) -> Any:
    """The new value of a variable as a symbolic expression of just its type. Raises TypeError if it has another."""
    symbolic = getattr(value, "__symbolic__", None)
    if symbolic is None:
        return Constant(target.type, target.type.filter(value))
    if symbolic.type != target.type:
        hint = texts.HINT_UPDATE_DTYPE
        both = isinstance(symbolic.type, TensorType) and isinstance(target.type, TensorType)
        if both and symbolic.type.numpy_dtype == target.type.numpy_dtype:
            same = symbolic.type.ndim == target.type.ndim
            hint = texts.HINT_UPDATE_BROADCAST if same else texts.HINT_UPDATE_NDIM
        text = texts.UPDATE_SYMBOLIC_TYPE
        raise TypeError(
            errors.message(
                text,
                name=target.name or "the variable",
                old=target.type,
                value=str(symbolic),
                new=symbolic.type,
                hint=hint.format(dtype=getattr(target.type, "dtype", target.type)),
            )
        )
    return symbolic


def with_default_updates(
    outputs: Iterable[Any],
    updates: Mapping[Any, Any],
    no_default_updates: Any,
    inputs: Iterable[Any],
    rebuild: Callable[[Any], Any],
) -> dict[Any, Any]:
    """Updates, and the default updates of the shared variables that outputs and updates need, and so on.

    Parameters
    ----------
    outputs, updates
        Expressions, and shared variable -> expression.
    no_default_updates : bool or list
        True for none, or the variables whose default update is left out.
    inputs : iterable of variables
        What is behind them is not needed.
    rebuild : callable
        An expression -> the same with givens replaced.

    Raises
    ------
    TypeError
        If `no_default_updates` is neither a bool nor a list of shared variables.
    """
    if isinstance(no_default_updates, bool):
        without: list[Any] = []
    elif isinstance(no_default_updates, list | tuple):
        without = list(no_default_updates)
    else:
        raise TypeError(errors.message(texts.NO_DEFAULT_UPDATES, value=no_default_updates))
    found = dict(updates)
    if no_default_updates is True:
        return found
    wanted = [*outputs, *found.values()]
    stop = list(inputs)
    seen: set[Any] = set()
    while wanted:
        leaves = [item for item in leaves_of(wanted, stop) if isinstance(item, SharedVariable) and item not in seen]
        leaves = [item for item in leaves if item not in stop]
        seen.update(leaves)
        wanted = []
        for variable in leaves:
            default = variable.default_update
            if default is not None and variable not in found and not any(variable is item for item in without):
                found[variable] = rebuild(checked_update(variable, default))
                wanted.append(found[variable])
    return found
