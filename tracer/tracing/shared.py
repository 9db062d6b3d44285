"""Shared variables: values that outlive calls, which traced functions read and update."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import Node, input_node
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy, operand_type, unwrap
from tracer.types import ArrayType, is_supported, type_of

_owners: weakref.WeakValueDictionary[Node, Shared]


class Shared(Proxy):
    """A variable whose value is kept between calls and shared by all functions that use it. See `shared`."""

    __slots__ = ("_label", "cell")

    def __init__(self, value: np.ndarray[Any, Any], name: str | None) -> None:
        super().__init__(input_node(type_of(value), name))
        self._label = name
        self.cell: list[np.ndarray[Any, Any]] = [value]
        _owners[self._node] = self

    @property
    def __tracer_node__(self) -> Node:
        if self._node.type != type_of(self.cell[0]):
            # set_value gave it another shape: graphs made from here on see the new type.
            self._node = input_node(type_of(self.cell[0]), self._label)
            _owners[self._node] = self
        return self._node

    @property
    def type(self) -> ArrayType:
        """Dtype and shape of the current value."""
        return self.__tracer_node__.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the current value."""
        return self.cell[0].shape

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._label

    def get_value(self, borrow: bool = False) -> np.ndarray[Any, Any]:
        """Return the current value as an array: a copy, or with `borrow=True` the array itself (do not change it)."""
        return self.cell[0] if borrow else self.cell[0].copy()

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the value. The dtype stays; the number of dimensions stays; the shape may change.

        Parameters
        ----------
        value : array_like
            The new value. Its dtype must cast safely to the variable's.
        borrow : bool
            Keep the given array itself instead of a copy, if its dtype is right.

        Raises
        ------
        UpdateError
            If the dtype would lose precision or the number of dimensions differs.
        """
        self._check_type(np.asarray(value), operand_type(value))
        dtype = self.cell[0].dtype
        self.cell[0] = np.asarray(value, dtype) if borrow else np.array(value, dtype)

    def set(self, value: Any) -> None:
        """Record, in a traced function, that this call replaces the value; reads in the same call see the old value.

        Raises UpdateError outside a trace, for a second update in one call, and for a value of another type.
        """
        active = trace.current()
        if active is None:
            raise errors.UpdateError(errors.message(errors.UPDATE_OUTSIDE, name=self.label))
        if self in active.updates:
            raise errors.UpdateError(errors.message(errors.UPDATE_TWICE, name=self.label))
        active.updates[self] = self.update_node(value)

    def update_node(self, value: Any) -> Node:
        """Check a new value's type and return its node, cast to this variable's dtype."""
        found = operand_type(value)
        if not isinstance(found, type):
            self._check_type(value if hasattr(value, "shape") else np.asarray(value), found, shape=True)
        node = unwrap(value, self.dtype)
        if node.type.shape != self.shape:
            raise self._wrong_type(node.type)
        return node

    def _check_type(self, value: Any, dtype: Any, shape: bool = False) -> None:
        new = ArrayType(np.result_type(value) if isinstance(dtype, type) else np.dtype(dtype), np.shape(value))
        fits = np.can_cast(new.dtype, self.dtype, "same_kind" if isinstance(dtype, type) else "safe")
        if not fits or len(new.shape) != self.ndim or (shape and new.shape != self.shape):
            raise self._wrong_type(new)

    def _wrong_type(self, new: ArrayType) -> errors.UpdateError:
        if len(new.shape) == self.ndim and new.shape == self.shape:
            hint = f"cast the new value: value.astype(np.{self.dtype}), or make the variable {new.dtype}."
        else:
            hint = "reduce, reshape or broadcast the new value to the variable's shape."
        return errors.UpdateError(
            errors.message(errors.UPDATE_TYPE, name=self.label, new=new, old=type_of(self.cell[0]), hint=hint)
        )

    @property
    def label(self) -> str:
        """Its name for messages."""
        return self._label or "the shared variable"

    def _assign(self, value: Any) -> None:
        raise errors.UpdateError(errors.message(errors.SHARED_IN_PLACE, name=self.label))

    def __repr__(self) -> str:
        return f"<shared {self._label or ''} {self.type}>".replace("  ", " ")

    def __reduce__(self) -> Any:
        return shared, (self.get_value(), self._label)

    def __copy__(self) -> Shared:
        return shared(self.get_value(), self._label)

    def __deepcopy__(self, memo: Any) -> Shared:
        return shared(self.get_value(), self._label)


_owners = weakref.WeakValueDictionary()


def shared(value: Any, name: str | None = None, borrow: bool = False) -> Shared:
    """Make a shared variable: a value kept between calls, which any traced function may read and update.

    Parameters
    ----------
    value : array_like
        The initial value; a float becomes a float64 scalar, an array keeps its dtype and shape.
    name : str, optional
        A name for messages and printed graphs.
    borrow : bool
        Keep the given array itself instead of a copy.

    Returns
    -------
    Shared
        Usable like an array in traced functions; `get_value` and `set_value` reach the value, `set(expression)`
        in a trace updates it.

    Raises
    ------
    TypeError
        If the value is traced, or of a dtype that cannot be traced.

    Examples
    --------
    >>> import numpy as np, tracer
    >>> count = tracer.shared(0, name="count")
    >>> @tracer.compile
    ... def add(n):
    ...     count.set(count + n)
    ...     return count * 1
    >>> int(add(np.int64(5))), int(count.get_value())
    (0, 5)
    """
    if isinstance(value, Proxy):
        raise TypeError(errors.message(errors.SHARED_OF_TRACED, value=value))
    array = np.asarray(value) if borrow else np.array(value)
    if not is_supported(array.dtype):
        raise TypeError(
            errors.message(errors.UNSUPPORTED_DTYPE, dtype=array.dtype, name=name or "the value", known=trace.KNOWN)
        )
    return Shared(array, name)


def owner(node: Node) -> Shared | None:
    """The shared variable whose value an input node stands for, if any."""
    return _owners.get(node)
