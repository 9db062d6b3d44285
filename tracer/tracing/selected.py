"""What a traced mask selects, kept as the whole array and the mask as long as nobody needs to know how many it is.

Sums, means, elementwise functions and assignments through the same mask are computed on the whole array: they need no
program for each number of elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.graph.node import Node
from tracer.tracing import dispatch, trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.questions import Place, current_place

_SAFE = frozenset(
    (
        *(np.add, np.subtract, np.multiply, np.true_divide, np.negative, np.positive, np.square, np.sqrt, np.absolute),
        *(np.exp, np.expm1, np.log, np.log1p, np.log2, np.log10, np.sin, np.cos, np.tanh, np.arctan, np.reciprocal),
        *(np.maximum, np.minimum, np.power, np.sign, np.isnan, np.isfinite),
        *dispatch.COMPARISONS.values(),
    )
)
"""Functions that are smooth, or flat, at 1: that is what stands for elements that are not selected."""


class Selected(Proxy):
    """The elements of an array where a mask of its shape is true, in order.

    Attributes
    ----------
    whole, mask : traced values
        Elements of `whole` that are not selected are 1, so that no function of them, nor a derivative, is infinite.
    """

    __slots__ = ("_own_node", "_place", "mask", "whole")
    __hash__ = Proxy.__hash__

    def __init__(self, whole: Any, mask: Any, place: Place | None = None) -> None:
        self._own_node: Node | None = None
        self._place = current_place() if place is None else place
        super().__init__(whole.__tracer_node__, trace.current())
        self._own_node = None
        self.mask = mask
        self.whole: Any = np.where(mask, whole, whole.dtype.type(1))

    @property
    def _node(self) -> Node:
        if self._own_node is None:
            with trace.asked_at(self._place):
                elements: Any = np.take(np.ravel(self.whole), np.flatnonzero(self.mask))
            self._own_node = elements.__tracer_node__
        return self._own_node

    @_node.setter
    def _node(self, node: Node) -> None:
        self._own_node = node

    @property
    def is_counted(self) -> bool:
        """Whether the number of elements has become known."""
        return self._own_node is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        found: np.dtype[Any] = self.whole.dtype
        return found

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 1

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        """As `numpy.sum`."""
        return np.sum(self, *args, **kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        """As `numpy.mean`."""
        return np.mean(self, *args, **kwargs)

    def _spread_over(self, mask: Any) -> Any:
        return self.whole if not self.is_counted and _is_same(mask, self.mask) else None

    def _apply(self, ufunc: np.ufunc, *operands: Any) -> Any:
        """A function of this and numbers, or what the same mask selects; NotImplemented if that takes the elements."""
        wholes = []
        for value in operands:
            if isinstance(value, Selected):
                if value.is_counted or not _is_same(value.mask, self.mask):
                    return NotImplemented
                value = value.whole
            elif not isinstance(value, int | float | complex | np.generic | np.ndarray | Proxy):
                return NotImplemented
            elif not hasattr(type(value), "__tracer_weak__") and np.ndim(value):
                return NotImplemented
            wholes.append(value)
        return Selected(ufunc(*wholes), self.mask, self._place)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and ufunc in _SAFE:
            found = self._apply(ufunc, *args)
            if found is not NotImplemented:
                return found
        return super().__array_ufunc__(ufunc, method, *args, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.sum, np.mean) and not self.is_counted and len(args) == 1 and args[0] is self and not kwargs:
            zero = self.dtype.type(0)
            total: Any = np.sum(np.where(self.mask, self.whole, zero))
            if function is np.sum:
                return total
            count: Any = np.count_nonzero(self.mask)
            return total / count.astype(total.dtype if total.dtype.kind in "fc" else np.float64)
        return super().__array_function__(function, types, args, kwargs)


def _is_same(mask: Any, other: Any) -> bool:
    return isinstance(mask, Proxy) and mask.__tracer_node__ is other.__tracer_node__


def _select(array: Proxy, key: Any) -> Any:
    """What a mask, or places that a mask selects, give of an array; None where the elements are to be taken at once."""
    if trace.is_specialising() or trace.current() is None:
        return None
    if isinstance(key, Proxy) and key.dtype.kind == "b":
        node = key.__tracer_node__
        if not node.shape or node.shape != array.shape:
            return None
        return Selected(Proxy(array.__tracer_node__, trace.current()), Proxy(node, trace.current()))
    return _at_selected(array, key if isinstance(key, tuple) else (key,))


def _at_selected(array: Proxy, keys: tuple[Any, ...]) -> Any:
    """One element for each place that the same mask selects; a place that it leaves out reads element 0."""
    selected = [item for item in keys if isinstance(item, Selected)]
    if not selected or len(keys) != array.ndim or 0 in array.shape:
        return None
    mask, places = selected[0].mask, []
    for item in keys:
        if isinstance(item, Selected) and item.dtype.kind in "iu" and item._spread_over(mask) is not None:
            places.append(np.where(mask, item.whole, item.dtype.type(0)))
        elif type(item) is int:
            places.append(item)
        else:
            return None
    return Selected(array[tuple(places)], mask, selected[0]._place)


def _forward(name: str, ufunc: np.ufunc, is_reflected: bool) -> Callable[[Any, Any], Any]:
    fallback = getattr(Proxy, name)

    def method(self: Any, other: Any) -> Any:
        operands = (other, self) if is_reflected else (self, other)
        found = NotImplemented if self.is_counted or ufunc not in _SAFE else self._apply(ufunc, *operands)
        return fallback(self, other) if found is NotImplemented else found

    return method


def _in_place(name: str, ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    fallback = getattr(Proxy, name)

    def method(self: Any, other: Any) -> Any:
        found = NotImplemented if self.is_counted or ufunc not in _SAFE else self._apply(ufunc, self, other)
        if found is NotImplemented or found.dtype != self.dtype:
            return fallback(self, other)
        self.whole = found.whole
        return self

    return method


def _unary(name: str, ufunc: np.ufunc) -> Callable[[Any], Any]:
    fallback = getattr(Proxy, name)

    def method(self: Any) -> Any:
        found = NotImplemented if self.is_counted or ufunc not in _SAFE else self._apply(ufunc, self)
        return fallback(self) if found is NotImplemented else found

    return method


def install() -> None:
    """Have masks of traced arrays give such values."""
    for name, ufunc in dispatch.OPERATORS.items():
        setattr(Selected, f"__{name}__", _forward(f"__{name}__", ufunc, False))
        setattr(Selected, f"__r{name}__", _forward(f"__r{name}__", ufunc, True))
        setattr(Selected, f"__i{name}__", _in_place(f"__i{name}__", ufunc))
    for name, ufunc in dispatch.COMPARISONS.items():
        setattr(Selected, f"__{name}__", _forward(f"__{name}__", ufunc, False))
    for name, ufunc in dispatch.UNARY_OPERATORS.items():
        setattr(Selected, f"__{name}__", _unary(f"__{name}__", ufunc))
    Proxy._select = staticmethod(_select)  # type: ignore[method-assign]
