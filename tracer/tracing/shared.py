"""Shared variables: values that outlive calls, which traced functions and symbolic expressions read and update."""

from __future__ import annotations

import copy
import math
import operator
import sys
import weakref
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from tracer import device, errors
from tracer.errors.dtypes import unsupported_dtype
from tracer.graph.node import Node, input_node
from tracer.graph.op import OPS
from tracer.tracing import dispatch, trace
from tracer.tracing.container import Container
from tracer.tracing.proxy import Proxy, operand_type, unwrap
from tracer.tracing.recording import shape_of
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import Symbolic, Variable
from tracer.tracing.symbolic_type import GenericType, TensorType, Type, tensor_type
from tracer.types import ArrayType, is_supported, type_of

_owners: weakref.WeakValueDictionary[Node, Shared]


class SharedVariable(Symbolic):
    """What all shared variables have in common; see `shared`."""

    __slots__ = ()
    cell: list[Any]
    """Holds the current value."""
    default_update: Any
    """What a compiled function sets it to if its updates do not mention it; None for nothing."""
    name: Any
    casting: tuple[bool, bool | None]
    """How later values are taken: (strict, allow_downcast), as of `Type.filter`."""

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """Return the current value: a copy, or with `borrow=True` the object itself (do not change it)."""
        return self.cell[0] if borrow else copy.deepcopy(self.cell[0])

    def store(self, value: Any) -> None:
        """Take the value that a compiled call computed for this variable."""
        self.cell[0] = value

    @property
    def container(self) -> Container:
        """What holds the value."""
        strict, allow_downcast = self.casting
        return Container(self.type, None, self.name, strict, allow_downcast, self.cell)

    @property
    def value(self) -> Any:
        """Raises TypeError: a value is read and written by methods."""
        raise TypeError(errors.message(errors.SHARED_VALUE, name=self.label))

    @property
    def label(self) -> str:
        """Its name for messages."""
        return self.name or "the shared variable"


class Shared(SharedVariable, Proxy):  # type: ignore[misc]
    """An array that is kept between calls and shared by all functions that use it. See `shared`.

    In a trace it is a traced value; outside it is a symbolic variable.
    """

    __slots__ = ("_label", "_symbolic_type", "casting", "cell", "default_update", "tag")
    stays_on_host = False
    """Whether its value is on the host whatever runs on a GPU."""

    def __init__(
        self, value: np.ndarray[Any, Any], name: str | None, broadcastable: Iterable[Any] | None = None
    ) -> None:
        Proxy.__init__(self, input_node(type_of(value), name))
        self._label = name
        self._symbolic_type = (
            tensor_type(value.dtype, (False,) * value.ndim)
            if broadcastable is None
            else TensorType(value.dtype, broadcastable)
        )
        self.cell: list[np.ndarray[Any, Any]] = [value]
        self.default_update: Any = None
        self.casting: tuple[bool, bool | None] = (False, None)
        self.tag = SimpleNamespace()
        _owners[self._node] = self

    # --- as a traced value ---------------------------------------------------------------------------------------

    @property
    def __tracer_node__(self) -> Node:
        active = trace.current()
        return self._input() if active is None or self not in active.shared else self.as_proxy().__tracer_node__

    def _input(self) -> Node:
        """The node that stands for the value before the call."""
        if self._node.type != type_of(self.cell[0]):
            # set_value gave it another shape: graphs made from here on see the new type.
            self._node = input_node(type_of(self.cell[0]), self._label)
            _owners[self._node] = self
        return self._node

    def as_proxy(self) -> Proxy:
        """Its traced value in the current trace: always the same one, so that what is written into it is seen."""
        node, active = self._input(), trace.current()
        if active is None:
            return Proxy(node)
        found = active.shared.get(self)
        if found is None or found[1] is not node:
            found = active.shared[self] = Proxy(node, active), node
        return found[0]

    def leaf_value(self) -> Proxy:
        """Its traced value, for replaying expressions of it."""
        return Proxy(self.__tracer_node__)

    # --- as a symbolic variable ----------------------------------------------------------------------------------

    owner = None
    index = None

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        """Its type as a symbolic variable, without sizes."""
        return self._symbolic_type

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """For each dimension whether its size is fixed to 1."""
        return self._symbolic_type.broadcastable

    @property  # type: ignore[misc]
    def shape(self) -> Any:
        """Shape of the current value. In a symbolic expression it stands for the shape at each call."""
        sizes = self.cell[0].shape
        return sizes if is_computing() else SharedShape(sizes, self)

    @property
    def size(self) -> int:
        """Number of elements of the current value. In a symbolic expression it stands for the number at each call."""
        return self.cell[0].size if is_computing() else self.shape.prod(axis=None)

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._label

    @name.setter
    def name(self, name: str | None) -> None:
        self._label = self._node.name = name

    def __len__(self) -> int:
        return len(self.cell[0])

    def __iter__(self) -> Any:
        return (self[position] for position in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._traced()[key] = value

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return Proxy.__eq__(self.as_proxy(), other) if is_computing() else self is other

    def __ne__(self, other: object) -> Any:
        return Proxy.__ne__(self.as_proxy(), other) if is_computing() else self is not other

    # --- its value -----------------------------------------------------------------------------------------------

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray[Any, Any]:
        """Return the current value as a NumPy array: a copy, or with `borrow=True` the array itself (do not change it).

        A value on a GPU is copied to the host, and stays where it is; `return_internal_type=True` gives it as it is, an
        array of CuPy. In a traced function it is the value at each call, traced, through which no derivative flows.
        """
        if trace.current() is not None:
            traced: np.ndarray[Any, Any] = OPS["zero_gradient"](self.as_proxy()).copy()
            return traced
        return self.stored_value(borrow, return_internal_type)

    def stored_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray[Any, Any]:
        """The real value that it has now, also while a function is traced; see `get_value`."""
        value = self.cell[0]
        if device.is_on_gpu(value) and not return_internal_type:
            return device.to_host(value)
        return value if borrow else value.copy()

    def value_on(self, gpu: bool) -> Any:
        """The current value itself, moved to a GPU or to the host if it is not there yet."""
        value = self.cell[0]
        found = device.moved(value, gpu and not self.stays_on_host)
        if found is not value:
            self.cell[0] = found
        return found

    def is_alone(self) -> bool:
        """Whether nobody but this variable holds the array that is its value."""
        return sys.getrefcount(self.cell[0]) == 2

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the value. The dtype stays; the number of dimensions stays; the shape may change.

        Parameters
        ----------
        value : array_like
            The new value. Its dtype must cast safely to the variable's. An array on a GPU stays there.
        borrow : bool
            Keep the given array itself instead of a copy, if its dtype is right.

        Raises
        ------
        UpdateError
            If the dtype would lose precision or the number of dimensions differs.
        TypeError
            If it is not of the type that `strict` or `allow_downcast` of the variable ask for.
        """
        strict, allow_downcast = self.casting
        dtype = self.cell[0].dtype
        if strict or allow_downcast is not None:
            value = self._symbolic_type.filter(value, strict, allow_downcast)
        else:
            self._check_type(value if device.is_on_gpu(value) else np.asarray(value), operand_type(value))
        if device.is_on_gpu(value):
            self.cell[0] = device.to_gpu(value).astype(dtype, order="C", copy=not borrow)
            return
        array = np.asarray(value, dtype) if borrow else np.array(value, dtype)
        self._symbolic_type.filter(array)
        self.cell[0] = array

    def zero(self, borrow: bool = False) -> None:
        """Set every element to zero."""
        if borrow:
            self.cell[0][...] = 0
        else:
            self.cell[0] = np.zeros_like(self.cell[0])  # on a GPU if it is there

    def clone(self) -> Shared:
        """Another variable that shares this one's value."""
        twin = Shared(self.cell[0], self._label, self.broadcastable)
        twin.cell = self.cell
        return twin

    def set(self, value: Any) -> None:
        """Record, in a traced function, that this call replaces the value; reads in the same call see the old value.

        Assignment in place, `w[rows] += change` or `w -= step`, records it too; there reads see the new value, as in
        NumPy. Raises UpdateError outside a trace, for a second update in one call, and for a value of another type.
        """
        active = trace.current()
        if active is None:
            raise errors.UpdateError(errors.message(errors.UPDATE_OUTSIDE, name=self.label))
        if self in active.updates or self.__tracer_node__ is not self._input():
            raise errors.UpdateError(errors.message(errors.UPDATE_TWICE, name=self.label))
        active.updates[self] = self.update_node(value)

    def update_node(self, value: Any) -> Node:
        """Check a new value's type and return its node, cast to this variable's dtype."""
        if isinstance(value, Symbolic):
            value = value.as_proxy()
        found = operand_type(value)
        if not isinstance(found, type):
            self._check_type(value if hasattr(value, "shape") else np.asarray(value), found, shape=True)
        node = unwrap(value, self.dtype)
        if node.type.shape != self.cell[0].shape:
            raise self._wrong_type(node.type)
        return node

    def _check_type(self, value: Any, dtype: Any, shape: bool = False) -> None:
        shape_of_value = value.shape if device.is_on_gpu(value) else np.shape(value)
        new = ArrayType(np.result_type(value) if isinstance(dtype, type) else np.dtype(dtype), shape_of_value)
        fits = np.can_cast(new.dtype, self.dtype, "same_kind" if isinstance(dtype, type) else "safe")
        if not fits or len(new.shape) != self.ndim or (shape and new.shape != self.cell[0].shape):
            raise self._wrong_type(new)

    def _wrong_type(self, new: ArrayType) -> errors.UpdateError:
        if len(new.shape) == self.ndim and new.shape == self.cell[0].shape:
            hint = f"cast the new value: value.astype(np.{self.dtype}), or make the variable {new.dtype}."
        else:
            hint = "reduce, reshape or broadcast the new value to the variable's shape."
        return errors.UpdateError(
            errors.message(errors.UPDATE_TYPE, name=self.label, new=new, old=type_of(self.cell[0]), hint=hint)
        )

    def _assign(self, value: Any) -> None:
        self._traced()._assign(value)

    def _traced(self) -> Proxy:
        """Its traced value, to write into. Raises UpdateError where no trace is on that could record it."""
        if trace.current() is None:
            raise errors.UpdateError(errors.message(errors.SHARED_IN_PLACE, name=self.label))
        return self.as_proxy()

    # --- texts and copies ----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<shared {self._label or ''} {type_of(self.cell[0])}>".replace("  ", " ")

    def __str__(self) -> str:
        return self._label or repr(self)

    def __format__(self, style: str) -> str:
        return super().__format__(style) if style else str(self)

    def __reduce__(self) -> Any:
        # The update may be an expression of this variable: pickle meets it when the variable is already there. The
        # cell itself is kept, because clones share it.
        value = self.value_on(gpu=False)  # whoever reads it may have no GPU
        names = ("cell", "default_update", "casting", "tag")
        state = {name: getattr(self, name) for name in names}
        return Shared, (value, self._label, self.broadcastable), (None, state)

    def __copy__(self) -> Shared:
        return Shared(self.stored_value(), self._label, self.broadcastable)

    def __deepcopy__(self, memo: Any) -> Shared:
        twin = memo[id(self)] = Shared(self.cell[0], self._label, self.broadcastable)
        twin.cell = copy.deepcopy(self.cell, memo)
        twin.default_update, twin.tag = copy.deepcopy((self.default_update, self.tag), memo)
        twin.casting = self.casting
        return twin


_owners = weakref.WeakValueDictionary()


def _in_place(name: str) -> Any:
    ufunc = dispatch.OPERATORS[name]

    def change(self: Any, other: Any) -> Any:
        if not is_computing():
            return ufunc(self, other)  # the name is bound to an expression
        ufunc(self, other, out=(self._traced(),))
        return self

    return change


for _name in dispatch.OPERATORS:
    setattr(Shared, f"__i{_name}__", _in_place(_name))


class SharedObject(SharedVariable, Variable):
    """A shared variable whose value is not a plain array: a random state, a sparse matrix, any object."""

    def __init__(self, kind: Type, value: Any, name: str | None = None) -> None:
        Variable.__init__(self, kind, name)
        self.cell: list[Any] = [kind.filter(value)]
        self.default_update: Any = None
        self.casting: tuple[bool, bool | None] = (False, None)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(self.type, GenericType):
            text = errors.message(errors.NOT_SUBSCRIPTABLE, name=self.label, kind=type(self.cell[0]).__name__)
            raise TypeError(text)
        return super().__getitem__(key)

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the value. Raises TypeError if it is not of the variable's type."""
        value = self.type.filter(value)
        self.cell[0] = value if borrow else copy.deepcopy(value)

    def clone(self) -> SharedObject:
        """Another variable that shares this one's value."""
        twin = SharedObject(self.type, self.cell[0], self.name)
        twin.cell = self.cell
        return twin

    def __str__(self) -> str:
        return self.name or f"<{self.type}>"


# --- sizes of shared values ----------------------------------------------------------------------------------------


class SharedShape(tuple[int, ...]):
    """The shape of a shared value: a tuple of ints that in a symbolic expression stands for the shape at each call."""

    _variable: Shared

    def __new__(cls, sizes: tuple[int, ...], variable: Shared) -> SharedShape:
        """Remember whose shape it is."""
        shape = super().__new__(cls, sizes)
        shape._variable = variable
        return shape

    @property
    def __symbolic__(self) -> Any:
        return shape_of(self._variable)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int):
            return SharedSize(tuple.__getitem__(self, key), lambda: self.__symbolic__[key])
        return self.__symbolic__[key] if isinstance(key, Symbolic) else tuple.__getitem__(self, key)

    def __iter__(self) -> Any:
        return (self[position] for position in range(len(self)))

    def prod(self, **options: None) -> Any:
        """The number of elements: symbolic, but an int as others here for `np.prod`, which passes options."""
        if not options:
            return self.__symbolic__.prod()
        return SharedSize(math.prod(map(int, self)), lambda: self.__symbolic__.prod())

    def __reduce__(self) -> Any:
        return tuple, (tuple(int(size) for size in self),)


class SharedSize(int):
    """One size of a shared value: an int that in a symbolic expression stands for the size at each call.

    Sums, differences, products and quotients with ints remember that too.
    """

    _make: Callable[[], Any]

    def __new__(cls, size: int, make: Callable[[], Any]) -> SharedSize:
        """Remember how to make the symbolic size."""
        number = super().__new__(cls, size)
        number._make = make
        return number

    @property
    def __symbolic__(self) -> Any:
        return self._make()

    def __reduce__(self) -> Any:
        return int, (int(self),)


def _size_operator(function: Callable[[Any, Any], Any], reflected: bool) -> Any:
    def compute(self: SharedSize, other: Any) -> Any:
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented if isinstance(other, Symbolic) else _plain(function, int(self), other, reflected)
        right = other._make if isinstance(other, SharedSize) else (lambda: other)
        size = _plain(function, int(self), int(other), reflected)
        return SharedSize(size, lambda: _plain(function, self._make(), right(), reflected))

    return compute


def _plain(function: Callable[[Any, Any], Any], one: Any, other: Any, reflected: bool) -> Any:
    return function(other, one) if reflected else function(one, other)


for _label in ("add", "sub", "mul", "floordiv", "mod"):
    setattr(SharedSize, f"__{_label}__", _size_operator(getattr(operator, _label), False))
    setattr(SharedSize, f"__r{_label}__", _size_operator(getattr(operator, _label), True))


# --- making them -------------------------------------------------------------------------------------------------

_TARGETS = (None, "cpu", "gpu", "cuda")
_CONSTRUCTORS: list[Callable[..., Any]] = []


def shared_constructor(make: Callable[..., Any]) -> Callable[..., Any]:
    """Register how to make a shared variable of some kind of value: newest first, a TypeError passes it on."""
    _CONSTRUCTORS.append(make)
    return make


def shared(
    value: Any,
    name: str | None = None,
    borrow: bool = False,
    *,
    strict: bool = False,
    allow_downcast: bool | None = None,
    broadcastable: Iterable[Any] | None = None,
    target: Any = None,
) -> Any:
    """Make a shared variable: a value kept between calls, which traced and symbolic functions may read and update.

    Parameters
    ----------
    value : array_like or object
        The initial value; a float becomes a float64 scalar, an array keeps its dtype and shape. Random states, sparse
        matrices and other objects may be shared by symbolic expressions too.
    name : str, optional
        A name for messages and printed graphs.
    borrow : bool
        Keep the given array itself instead of a copy.
    strict, allow_downcast
        As of symbolic types: whether later values are cast to the variable's dtype.
    broadcastable : sequence of bool, optional
        For each dimension whether its size is fixed to 1 and broadcasts in symbolic expressions; none by default.
    target : {"cpu", "gpu"}, optional
        Where the value lives at first; later where the function runs that used it last. None: on the host, unless the
        value is an array on a GPU.

    Returns
    -------
    Shared
        Usable like an array in traced functions, and as a symbolic variable; `get_value` and `set_value` reach the
        value, `set(expression)` in a trace updates it.

    Raises
    ------
    TypeError
        If the value is traced or symbolic, or an array of a dtype that cannot be traced.

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
    if isinstance(value, Proxy | Symbolic):
        raise TypeError(errors.message(errors.SHARED_OF_TRACED, value=value))
    if target not in _TARGETS:
        raise TypeError(errors.message(errors.SHARED_TARGET, target=target))
    for make in reversed(_CONSTRUCTORS):
        try:
            return make(value, name=name, borrow=borrow)
        except TypeError:
            continue
    is_array = isinstance(value, np.ndarray | np.generic | bool | int | float | complex | list | tuple)
    if not is_array and not device.is_on_gpu(value):
        return SharedObject(GenericType(), value if borrow else copy.deepcopy(value), name)
    array = _value_at(value, target, borrow)
    if not is_supported(array.dtype):
        raise TypeError(unsupported_dtype(array.dtype, name or "the value", trace.KNOWN))
    variable = Shared(array, name, broadcastable)
    variable.casting = (strict, allow_downcast)
    return variable


def _value_at(value: Any, target: Any, borrow: bool) -> Any:
    """A first value where it shall live."""
    given = device.is_on_gpu(value)
    if given if target is None else target != "cpu":
        array = device.to_gpu(value if given else np.asarray(value))
        return array if borrow or not given else array.copy()
    if given:
        return device.to_host(value)
    return np.asarray(value) if borrow else np.array(value)


def own(node: Node, variable: Any) -> None:
    """Make an input node stand for the value of something that is kept between calls, like a shared variable."""
    _owners[node] = variable


def owner(node: Node) -> Shared | None:
    """The shared variable whose value an input node stands for, if any."""
    return _owners.get(node)
