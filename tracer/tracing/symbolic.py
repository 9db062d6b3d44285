"""Symbolic variables: NumPy calls that are recorded before any array is there, and replayed when sizes are known.

A variable has a type without sizes. An expression of variables is a recorded call of a plain NumPy function; when a
function compiled from it meets real arrays, the calls are replayed on proxies of the arrays' shapes, and only then
become a graph. So one expression serves every shape, and derivatives, rewrites and kernels are those of traced code.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.errors import Line, user_line
from tracer.graph.node import Node
from tracer.tracing import dispatch, pickling, precision, trace
from tracer.tracing.proxy import Proxy, unwrap
from tracer.tracing.recording import NUMBERS, Apply, operation_of, record, shape_of
from tracer.tracing.replay import computing, is_computing, replay
from tracer.tracing.symbolic_type import TensorType, Type, type_of_value
from tracer.tree import flatten, unflatten

# --- variables ---------------------------------------------------------------------------------------------------

_loaders: list[Callable[[], Any]] = []
METHODS: dict[str, Callable[..., Any]] = {}
"""Methods of symbolic variables by name; the surface enters them with `method`."""


def load_methods_with(loader: Callable[[], Any]) -> None:
    """Say what to import before the first method of a symbolic variable is looked up."""
    _loaders.append(loader)


def method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a method of symbolic variables."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = function
        return function

    return enter


def find_method(name: str) -> Callable[..., Any] | None:
    """A method by name, importing those who declare methods first."""
    while _loaders:
        _loaders.pop()()
    return METHODS.get(name)


class Symbolic:
    """What symbolic and shared variables have in common: operators and NumPy calls on them are recorded.

    In a trace, and while a recorded expression is replayed, they compute instead.
    """

    __slots__ = ()
    __array_priority__ = 1000.0
    is_constant = False

    type: Any
    """The TensorType, or another Type."""

    @property
    def __symbolic__(self) -> Any:
        return self

    def as_proxy(self) -> Proxy:
        """The traced value that this variable has in the current trace."""
        raise NotImplementedError

    def leaf_value(self) -> Any:
        """The value that it has in a replay if nothing computes it. Raises TypeError if it must be given one."""
        raise TypeError(errors.message(errors.MISSING_SYMBOLIC_INPUT, value=self))

    def __array_ufunc__(self, ufunc: np.ufunc, call: str, *args: Any, **kwargs: Any) -> Any:
        if is_computing():
            return dispatch.call_ufunc(ufunc, call, _as_proxies(args), _as_proxies(kwargs))
        function = ufunc if call == "__call__" else getattr(ufunc, call)
        return record(operation_of(function), args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if is_computing():
            return dispatch.call_function(function, _as_proxies(args), _as_proxies(kwargs))
        if function in _ABOUT_TYPES:
            return _answer_about_types(function, args, kwargs)
        return record(operation_of(function), args, kwargs)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(errors.message(errors.SYMBOLIC_NUMBER, value=self, what="np.asarray"))

    def __bool__(self) -> bool:
        if is_computing():
            return bool(self.as_proxy())
        owner = getattr(self, "owner", None)
        if owner is not None and owner.op.is_comparison:
            raise TypeError(errors.message(errors.SYMBOLIC_TRUTH, value=self))
        return True

    def _no_number(self, what: str) -> NoReturn:
        raise TypeError(errors.message(errors.SYMBOLIC_NUMBER, value=self, what=what))

    def __float__(self) -> float:
        return float(self.as_proxy()) if is_computing() else self._no_number("float()")

    def __int__(self) -> int:
        return int(self.as_proxy()) if is_computing() else self._no_number("int()")

    def __index__(self) -> int:
        return self.as_proxy().__index__() if is_computing() else self._no_number("a Python index or size")

    def __len__(self) -> int:
        if is_computing():
            return len(self.as_proxy())
        raise TypeError(errors.message(errors.SYMBOLIC_LENGTH, value=self))

    def __iter__(self) -> Iterator[Any]:
        if is_computing():
            return iter(self.as_proxy())
        length = _static_length(self)
        if length is None:
            raise TypeError(errors.message(errors.SYMBOLIC_LENGTH, value=self))
        return (self[position] for position in range(length))

    def __contains__(self, item: Any) -> bool:
        raise TypeError(errors.message(errors.SYMBOLIC_NUMBER, value=self, what="`in`"))

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __getitem__(self, key: Any) -> Any:
        if is_computing():
            return self.as_proxy()[key]
        found = find_method("__getitem__")
        assert found is not None
        return found(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if is_computing():
            self.as_proxy()[key] = value
            return
        raise TypeError(errors.message(errors.SYMBOLIC_ASSIGNMENT, value=self))

    def __getattr__(self, name: str) -> Any:
        found = None if name.startswith("__") else find_method(name)
        if found is None:
            raise AttributeError(f"a symbolic variable has no attribute {name!r}", name=name, obj=self)
        return _bound(found, self.as_proxy() if is_computing() else self)


_ABOUT_TYPES = frozenset((np.ndim, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj))
"""NumPy's functions whose answers only depend on types, and so are known before any array is there."""


def _answer_about_types(function: Any, args: Any, kwargs: Any) -> Any:
    leaves, structure = flatten((args, kwargs))
    stand_ins = [leaf.type.stand_in() if isinstance(leaf, Symbolic) else leaf for leaf in leaves]
    with computing():
        args, kwargs = unflatten(structure, stand_ins)
        return function(*args, **kwargs)


def _static_length(variable: Any) -> int | None:
    """The length of a variable where its expression tells it: a shape has one element a dimension."""
    owner = getattr(variable, "owner", None)
    if owner is not None and owner.op is operation_of(np.shape) and isinstance(owner.inputs[0].type, TensorType):
        return int(owner.inputs[0].type.ndim)
    return len(variable.data) if isinstance(variable, Constant) and np.ndim(variable.data) else None


def _as_proxies(value: Any) -> Any:
    """Arguments with the variables among them as proxies of the current trace."""
    leaves, structure = flatten(value)
    return unflatten(structure, [leaf.as_proxy() if isinstance(leaf, Symbolic) else leaf for leaf in leaves])


class Variable(Symbolic):
    """A symbolic variable: an input if it has no owner, else an output of a recorded call.

    Attributes
    ----------
    type : Type
        What values it takes; `type()` makes another variable like it.
    name : str or None
    owner : Apply or None
        The call that makes it.
    index : int or None
        Which output of the owner it is.
    tag : namespace
        Anything a user wants to remember with it.
    """

    def __init__(self, type: Type, name: str | None = None, owner: Apply | None = None, index: int | None = None):
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a variable's name must be a string, not {name!r}")
        self.type, self.name, self.owner, self.index = type, name, owner, index
        self.tag = SimpleNamespace()
        if owner is None:
            self.tag.line = user_line()
        if config.warn_float64 != "ignore" and getattr(type, "numpy_dtype", None) == np.float64:
            _warn_of_float64(type)

    # --- its type ---

    @property
    def dtype(self) -> str:
        """Name of the element type."""
        return str(self.type.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return int(self.type.ndim)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """For each dimension whether its size is known to be 1."""
        found: tuple[bool, ...] = self.type.broadcastable
        return found

    @property
    def shape(self) -> Any:
        """The shape: a symbolic vector of int64; in a trace a tuple of ints."""
        return self.as_proxy().shape if is_computing() else shape_of(self)

    @property
    def line(self) -> Line | None:
        """The user's line that made it."""
        return self.owner.line if self.owner is not None else self.tag.line

    # --- as part of a trace ---

    @property
    def __tracer_node__(self) -> Node:
        return unwrap(self.as_proxy())

    def __tracer_apply__(self, op: Any, inputs: Any, params: Any) -> Any:
        return self.as_proxy().__tracer_apply__(op, _as_proxies(inputs), params)

    def as_proxy(self) -> Proxy:
        """Its traced value, if it is an expression of shared variables and constants only."""
        value = replay([self], {})[0]
        return value if isinstance(value, Proxy) else Proxy(unwrap(value), trace.current())

    # --- texts ---

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        if self.owner is not None:
            return f"{self.owner.op}.{self.index}"
        return f"<{self.type}>"

    def __repr__(self) -> str:
        if config.print_test_value and hasattr(self.tag, "test_value"):
            return f"{self}\n{self.tag.test_value!r}"
        return str(self)

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        if self.owner is not None:
            return pickling.reduce_output(self)
        return _restored, (type(self), self.type), vars(self)

    def __copy__(self) -> Any:
        return self.clone()

    def clone(self) -> Any:
        """A new input variable of the same type and name."""
        copy = Variable(self.type, self.name)
        copy.tag = self.tag
        return copy


def _warn_of_float64(type: Type) -> None:
    text = errors.message(errors.FLOAT64_MADE, type=type, setting=config.warn_float64)
    if config.warn_float64 == "raise":
        raise TypeError(text)
    if config.warn_float64 == "pdb":
        import pdb

        pdb.set_trace()
    warnings.warn(text, stacklevel=2)


def _restored(kind: Any, type: Type) -> Any:
    variable = object.__new__(kind)
    variable.type, variable.owner, variable.index = type, None, None
    return variable


def _bound(function: Callable[..., Any], variable: Any) -> Any:
    """A method bound to its variable; a property declared as a method with `is_property` is computed at once."""
    if getattr(function, "is_property", False):
        return function(variable)
    return wraps(function)(lambda *args, **kwargs: function(variable, *args, **kwargs))


class Constant(Variable):
    """A known value in an expression. A Python number stays one, and so adapts to the dtype it meets.

    Attributes
    ----------
    data : array or Python number
    """

    def __init__(self, type: Type, data: Any, name: str | None = None) -> None:
        super().__init__(type, name)
        if isinstance(data, np.ndarray):
            data = data.copy()
            data.setflags(write=False)
        self.data = data

    is_constant = True

    def leaf_value(self) -> Any:
        """The value."""
        return self.data

    @property
    def value(self) -> Any:
        """The value."""
        return self.data

    @property
    def is_number(self) -> bool:
        """Whether it is a single number."""
        return np.ndim(self.data) == 0

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        text = str(self.data)
        return f"TensorConstant{{{text if len(text) < 20 else text[:17] + '...'}}}"

    __repr__ = __str__

    def clone(self) -> Constant:
        """Another constant of the same value."""
        return Constant(self.type, self.data, self.name)


Type.make_variable = staticmethod(Variable)
Type.make_constant = staticmethod(Constant)


def as_variable(value: Any, name: str | None = None) -> Any:
    """A symbolic variable of a value: itself, a constant of an array or number, or a stack of a list of variables.

    Raises TypeError for what is not an array.
    """
    symbolic = getattr(value, "__symbolic__", None)
    if symbolic is not None:
        return symbolic
    if isinstance(value, Apply):
        return value.out
    if isinstance(value, list | tuple) and any(hasattr(leaf, "__symbolic__") for leaf in flatten(value)[0]):
        return record(operation_of(np.stack), ([as_variable(item) for item in value],), {})
    value = precision.number(value)
    kind = type_of_value(value)
    return Constant(kind, value if type(value) in NUMBERS else np.asarray(value), name)


# --- operators ---------------------------------------------------------------------------------------------------


def _install_operators() -> None:
    for name, ufunc in dispatch.OPERATORS.items():
        setattr(Symbolic, f"__{name}__", _operator(f"__{name}__", ufunc, False))
        setattr(Symbolic, f"__r{name}__", _operator(f"__r{name}__", ufunc, True))
    for name, ufunc in dispatch.COMPARISONS.items():
        if name not in ("eq", "ne"):  # Python's == of variables is identity, so that they can be keys of dicts
            setattr(Symbolic, f"__{name}__", _operator(f"__{name}__", ufunc, False))
    for name, ufunc in dispatch.UNARY_OPERATORS.items():
        setattr(Symbolic, f"__{name}__", _unary(f"__{name}__", ufunc))
    for name in dir(Proxy):
        if not name.startswith("_") and callable(getattr(Proxy, name)) and name not in ("copy",):
            setattr(Symbolic, name, _forwarded(name))


def _operator(name: str, ufunc: np.ufunc, reflected: bool) -> Any:
    def operator(self: Any, other: Any) -> Any:
        if is_computing():
            return getattr(Proxy, name)(self.as_proxy(), other.as_proxy() if isinstance(other, Symbolic) else other)
        if other is None or isinstance(other, str | dict):
            return NotImplemented
        if isinstance(other, list | tuple):
            other = as_variable(other)
        return record(operation_of(ufunc), (other, self) if reflected else (self, other), {})

    return operator


def _unary(name: str, ufunc: np.ufunc) -> Any:
    def operator(self: Any) -> Any:
        return getattr(Proxy, name)(self.as_proxy()) if is_computing() else record(operation_of(ufunc), (self,), {})

    return operator


def _forwarded(name: str) -> Any:
    """A method of arrays: the proxy's own in a trace, the declared one of symbolic variables outside."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_computing():
            return getattr(self.as_proxy(), name)(*args, **kwargs)
        found = find_method(name)
        if found is None:
            raise AttributeError(f"a symbolic variable has no attribute {name!r}", name=name, obj=self)
        return found(self, *args, **kwargs)

    call.__name__ = name
    return call


_install_operators()
