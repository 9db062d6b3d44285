"""What rewritten code calls: for calls, reads, writes and operators, with what a trace has to know about them.

Outside of a trace, or in one that rewrites nothing, every hook does what the code it stands for did.
"""

from __future__ import annotations

import copy
import functools
import operator
import types
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import constant
from tracer.tracing import dispatch, trace
from tracer.tracing.capture import is_foreign
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tracing.source import nests, rewriting, stand_ins
from tracer.tracing.source.lifting import Lifting
from tracer.tree import flatten, unflatten

_WRITTEN = {np.copyto: 0, np.put: 0, np.place: 0, np.putmask: 0, np.fill_diagonal: 0, np.put_along_axis: 0}
"""NumPy's functions that write into an argument, and which."""
_WRITING_METHODS = ("fill", "put", "sort", "partition", "setfield", "byteswap")
_DEEP = ("numpy", "scipy", "tracer", "math", "functools", "operator", "itertools")
_DEEP_BUILTINS = (sum, max, min, sorted, any, all, abs, round, map, filter)
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
_BINARY = {
    name: getattr(operator, f"{name}_" if name in ("and", "or") else name) for name in (*dispatch.OPERATORS, *_COMPARE)
}
_UNARY = {name: getattr(operator, name) for name in ("neg", "pos", "invert")}
_IN_PLACE = {name: getattr(operator, f"i{name}") for name in dispatch.OPERATORS}
_REFLECTED_COMPARE = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
_TRANSFORMS = ("tracer.batching", "tracer.checkpointing", "tracer.custom_derivatives")
_SCALAR_TYPES = (int, float, complex, str, bool, type(None), np.generic)


class Session:
    """How one trace follows rewritten code."""

    def __init__(self, active: trace.Trace) -> None:
        self.active = active
        self.lifting = Lifting(active)
        self._twins: dict[int, tuple[Any, Any]] = {}

    # --- functions -----------------------------------------------------------------------------------------------

    def follow(self, function: Any) -> Any:
        """The rewritten form of something that is called, or itself."""
        found = self._twins.get(id(function))
        if found is None:
            self._twins[id(function)] = found = (function, function)  # for functions that hold themselves
            self._twins[id(function)] = found = (function, self._twin(function))
        return found[1]

    def _twin(self, function: Any) -> Any:
        if isinstance(function, types.FunctionType):
            if is_foreign(function.__module__):
                return self._with_followed_cells(function)
            return rewriting.rewrite(function) or self._with_followed_cells(function)
        if isinstance(function, types.MethodType):
            twin = self.follow(function.__func__)
            return function if twin is function.__func__ else types.MethodType(twin, function.__self__)
        if isinstance(function, functools.partial):
            return functools.partial(self.follow(function.func), *function.args, **function.keywords)
        if _is_transform(function):
            return self._transform_twin(function)
        call = _own_method(type(function), "__call__")
        return types.MethodType(self.follow(call), function) if call is not None else function

    def _transform_twin(self, function: Any) -> Any:
        """A transform of this package, of the rewritten form of the function that it is of."""
        made, changed = copy.copy(function), False
        for name, value in vars(function).items():
            twin = self._followed_attribute(value)
            if twin is not value and name != "__wrapped__":
                setattr(made, name, twin)
                changed = True
        return made if changed else function

    def _followed_attribute(self, value: Any) -> Any:
        if isinstance(value, tuple):
            twins = tuple(map(self._followed_argument, value))
            return value if all(twin is item for twin, item in zip(twins, value, strict=True)) else twins
        return self._followed_argument(value)

    def _with_followed_cells(self, function: types.FunctionType) -> Any:
        """A wrapper with the rewritten forms of the functions that it closes over."""
        cells, changed = [], False
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:
                content = None
            twin = self._followed_argument(content)
            changed |= twin is not content
            cells.append(cell if twin is content else types.CellType(twin))
        if not changed:
            return function
        twin = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, tuple(cells)
        )
        twin.__kwdefaults__, twin.__module__ = function.__kwdefaults__, function.__module__
        return twin

    # --- calls ---------------------------------------------------------------------------------------------------

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call anything, with arrays as they are read now."""
        if self.lifting.lifted:
            args = tuple(self.read(item) for item in args)
            kwargs = {name: self.read(item) for name, item in kwargs.items()}
        if isinstance(function, types.FunctionType | types.MethodType | functools.partial):
            twin = self.follow(function)
            if twin is not function:
                return twin(*args, **kwargs)
        elif isinstance(function, type):
            made = self._construct(function, args, kwargs)
            if made is not NotImplemented:
                return made
        elif isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ndarray | np.ufunc):
            return self._call_method(function, args, kwargs)
        elif _is_transform(function) or _own_method(type(function), "__call__") is not None:
            return self.follow(function)(*args, **kwargs)
        elif isinstance(function, functools._lru_cache_wrapper) and _is_traced((args, kwargs)):
            return self.call(function.__wrapped__, args, kwargs)
        return self._call_foreign(function, args, kwargs)

    def read(self, value: Any) -> Any:
        """What stands for a value."""
        return self.lifting.read(value) if isinstance(value, np.ndarray) else value

    def _construct(self, kind: type, args: Any, kwargs: Any) -> Any:
        """Make an instance of a user's class by its own `__init__`, rewritten."""
        if (
            type(kind) is not type
            or getattr(kind, "__new__", None) is not object.__new__
            or is_foreign(kind.__module__)
        ):
            return NotImplemented
        init: Any = getattr(kind, "__init__", None)
        if not isinstance(init, types.FunctionType) or (twin := self.follow(init)) is init:
            return NotImplemented
        made: Any = object.__new__(kind)
        twin(made, *args, **kwargs)
        return made

    def _call_method(self, method: Any, args: Any, kwargs: Any) -> Any:
        """Call a method of a real array or of a ufunc."""
        target, name = method.__self__, method.__name__
        if isinstance(target, np.ufunc):
            return self._call_foreign(method, args, kwargs)
        traced = _is_traced((args, kwargs))
        if name in _WRITING_METHODS and target.dtype != object and (traced or not self.lifting.is_fresh(target)):
            lifted = self.lifting.lift(target)
            return self._retrying(getattr(lifted, name), args, kwargs)
        if traced:
            return self._retrying(getattr(wrap(unwrap(target), self.active), name), args, kwargs)
        result = self._call_plain(method, args, kwargs)
        self.lifting.note_read(target, args)
        self.lifting.note(result)
        return self.read(result)

    def _call_foreign(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call what is not rewritten: a function of NumPy, a builtin, a compiled function."""
        if self.lifting.lifted and _reads_deep(function):
            args, kwargs = self.lifting.read_deep(args), self.lifting.read_deep(kwargs)
        if _takes_functions(function):
            args = tuple(self._followed_argument(item) for item in args)
            kwargs = {name: self._followed_argument(item) for name, item in kwargs.items()}
        stand_in = stand_ins.find(function, self.call)
        if stand_in is not None and (stand_in.always or _is_traced((args, kwargs))):
            made = stand_in.run(*args, **kwargs)
            if made is not NotImplemented:
                return made
        args, kwargs = self._with_lifted_targets(function, args, kwargs)
        result = self._call_plain(function, args, kwargs)
        if not isinstance(result, Proxy) and _reads_deep(function):
            self.lifting.note_read(args)
        self.lifting.note(result)
        return self.read(result)

    def _call_plain(self, function: Any, args: Any, kwargs: Any) -> Any:
        if not _is_traced((args, kwargs)):
            return function(*args, **kwargs)
        return self._retrying(function, args, kwargs)

    def _retrying(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call; if that needs numbers, call with lists of traced values and real arrays as traced values."""
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError):
            changed = nests.stacked(args), nests.stacked(kwargs)
            if changed[0] is args and changed[1] is kwargs:
                if not nests.is_traced_function(function):
                    raise
                changed = self._as_inputs(args), self._as_inputs(kwargs)
        try:
            return function(*changed[0], **changed[1])
        except errors.ConcretizationError:
            return function(*self._as_inputs(changed[0]), **self._as_inputs(changed[1]))

    def _as_inputs(self, values: Any) -> Any:
        """Arguments with real arrays as inputs of the graph."""
        if isinstance(values, dict):
            return {name: self._as_input(item) for name, item in values.items()}
        return tuple(map(self._as_input, values))

    def _as_input(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return wrap(unwrap(value), self.active)
        return wrap(constant(np.asarray(value)), self.active) if type(value) is list and value else value

    def _followed_argument(self, value: Any) -> Any:
        return self.follow(value) if _is_function(value) else value

    def _with_lifted_targets(self, function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments, with those that NumPy is to write traced values into lifted."""
        positions = _written_positions(function, args)
        out = kwargs.get("out")
        targets = [args[place] for place in positions if place < len(args)]
        targets += list(out) if isinstance(out, tuple) else [out]
        if not any(isinstance(item, np.ndarray) and item.dtype != object for item in targets):
            return args, kwargs
        if not _is_traced((args, kwargs)) and all(
            self.lifting.is_fresh(item) for item in targets if isinstance(item, np.ndarray)
        ):
            return args, kwargs
        args = tuple(self._lifted(item) if place in positions else item for place, item in enumerate(args))
        if out is not None:
            made = tuple(map(self._lifted, out)) if isinstance(out, tuple) else self._lifted(out)
            kwargs = {**kwargs, "out": made}
        return args, kwargs

    def _lifted(self, value: Any) -> Any:
        return self.lifting.lift(value) if isinstance(value, np.ndarray) else value

    # --- reads and writes ----------------------------------------------------------------------------------------

    def attribute(self, holder: Any, name: str) -> Any:
        """`holder.name`."""
        member = _own_member(type(holder), name)
        if isinstance(member, property) and isinstance(member.fget, types.FunctionType):
            return self.call(member.fget, (holder,), {})
        return self.read(getattr(holder, name))

    def item(self, holder: Any, key: Any) -> Any:
        """`holder[key]`."""
        if isinstance(holder, np.ndarray) and _is_traced(key):
            return wrap(unwrap(holder), self.active)[nests.array_key(key)]
        if isinstance(holder, list | tuple) and isinstance(key, Proxy):
            return nests.item_of_list(holder, key)
        made = nests.joined(holder, key)
        if made is not None:
            return made
        own = _own_method(type(holder), "__getitem__")
        if own is not None:
            return self.call(own, (holder, key), {})
        result = holder[key]
        if isinstance(holder, np.ndarray) and not isinstance(result, np.ndarray):
            self.lifting.note_read(holder)
        self.lifting.note(result)
        return self.read(result)

    def set_item(self, value: Any, holder: Any, key: Any) -> None:
        """`holder[key] = value`."""
        if isinstance(holder, np.ndarray) and holder.dtype != object:
            if _is_traced((value, key)) or not self.lifting.is_fresh(holder):
                holder = self.lifting.lift(holder)
            else:
                holder[key] = self.read(value)
                return
        if isinstance(holder, Proxy):
            holder[nests.array_key(key)] = nests.as_array(value)
        elif isinstance(holder, np.flatiter) and (_is_traced((value, key)) or not self.lifting.is_fresh(holder.base)):
            nests.write_flat(self.lifting.lift(holder.base), key, nests.as_array(value))
        elif (own := _own_method(type(holder), "__setitem__")) is not None:
            self.call(own, (holder, key, value), {})
        else:
            holder[key] = self.lifting.kept_form(value)
            if isinstance(holder, list | dict):
                self.lifting.remember_kept(
                    lambda: holder[key], lambda traced: operator.setitem(holder, key, traced), value
                )

    def set_attribute(self, value: Any, holder: Any, name: str) -> None:
        """`holder.name = value`."""
        if isinstance(holder, np.ndarray) and name in ("real", "imag", "flat") and _is_traced(value):
            holder = self.lifting.lift(holder)
        if isinstance(holder, Proxy) and name in ("real", "imag"):
            getattr(holder, name)[...] = value
        elif isinstance(holder, Proxy) and name == "flat":
            nests.write_flat(holder, slice(None), value)
        else:
            setattr(holder, name, self.lifting.kept_form(value))
            self.lifting.remember_kept(
                lambda: getattr(holder, name), lambda traced: setattr(holder, name, traced), value
            )

    # --- operators -----------------------------------------------------------------------------------------------

    def binary(self, name: str, left: Any, right: Any) -> Any:
        """An operator of two values."""
        if not isinstance(left, _SCALAR_TYPES) or not isinstance(right, _SCALAR_TYPES):
            made = self._own_operator(name, left, right)
            if made is not NotImplemented:
                return made
            if isinstance(left, list | tuple) != isinstance(right, list | tuple) and (
                isinstance(left, np.ndarray | Proxy) or isinstance(right, np.ndarray | Proxy)
            ):
                left, right = nests.stacked((left, right))
        result = _BINARY[name](left, right)
        if not isinstance(result, Proxy):
            self.lifting.note_read(left, right)
        self.lifting.note(result)
        return result

    def _own_operator(self, name: str, left: Any, right: Any) -> Any:
        """An operator of a user's class, rewritten."""
        own = _own_method(type(left), f"__{name}__")
        if own is not None:
            made = self.call(own, (left, right), {})
            if made is not NotImplemented:
                return made
        reflected = f"__{_REFLECTED_COMPARE[name]}__" if name in _COMPARE else f"__r{name}__"
        own = _own_method(type(right), reflected)
        if own is not None and isinstance(left, Proxy | np.ndarray | np.generic | int | float | complex):
            if not isinstance(left, np.ndarray) or getattr(type(right), "__array_ufunc__", 0) is None:
                return self.call(own, (right, left), {})
        return NotImplemented

    def unary(self, name: str, value: Any) -> Any:
        """An operator of one value."""
        own = _own_method(type(value), f"__{name}__")
        if own is not None:
            return self.call(own, (value,), {})
        result = _UNARY[name](value)
        if not isinstance(result, Proxy):
            self.lifting.note_read(value)
        self.lifting.note(result)
        return result

    def in_place(self, name: str, left: Any, right: Any) -> Any:
        """An operator such as `+=`; gives what the left side holds then, a real array where it held one."""
        right = self.read(right)
        if isinstance(left, np.ndarray) and left.dtype != object:
            if not isinstance(self.read(left), Proxy) and not _is_traced(right) and self.lifting.is_fresh(left):
                return _IN_PLACE[name](left, right)
            target = self.lifting.lift(left)
            dispatch.OPERATORS[name](target, nests.as_array(right), out=(target,))
            return left
        own = _own_method(type(left), f"__i{name}__") or _own_method(type(left), f"__{name}__")
        if own is not None:
            made = self.call(own, (left, right), {})
            if made is not NotImplemented:
                return made
        if isinstance(left, Proxy):
            right = nests.as_array(right)
        result = _IN_PLACE[name](left, right)
        self.lifting.note(result)
        return result

    def finish(self, result: Any) -> Any:
        """The function's result with arrays as they are read; those of before the trace are themselves.

        Nothing that became traced stays behind elsewhere.
        """
        self.lifting.finish()
        leaves, structure = flatten(self.lifting.read_deep(result))
        return unflatten(structure, [self.lifting.kept_form(self.read(leaf)) for leaf in leaves])


def _is_function(value: Any) -> bool:
    """Whether a value is a function of the user, or one made from it."""
    return isinstance(value, types.FunctionType | types.MethodType | functools.partial) or _is_transform(value)


def _is_transform(value: Any) -> bool:
    """Whether a value is a function made from another by a transform of this package."""
    module = type(value).__module__
    if not module.startswith("tracer."):
        return False
    return hasattr(value, "__tracer_run__") or (module in _TRANSFORMS and hasattr(value, "function"))


def _is_traced(value: Any) -> bool:
    """Whether a traced value is somewhere in a nest of lists, tuples, dicts and slices."""
    if isinstance(value, Proxy):
        return True
    if isinstance(value, list | tuple):
        return any(map(_is_traced, value))
    if isinstance(value, dict):
        return any(map(_is_traced, value.values()))
    return isinstance(value, slice) and _is_traced((value.start, value.stop, value.step))


def _own_member(kind: type, name: str) -> Any:
    """A member that a user's class defines; None if it is another's."""
    if kind in _SCALAR_TYPES or kind is Proxy or kind is np.ndarray or kind is types.ModuleType:
        return None
    for owner in kind.__mro__:
        if name in vars(owner):
            return None if is_foreign(owner.__module__) else vars(owner)[name]
    return None


def _own_method(kind: type, name: str) -> types.FunctionType | None:
    member = _own_member(kind, name)
    return member if isinstance(member, types.FunctionType) else None


def _package(function: Any) -> str:
    return (getattr(function, "__module__", None) or type(function).__module__).split(".")[0]


def _reads_deep(function: Any) -> bool:
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, list | dict | set):
        return False
    return _package(function) in _DEEP or isinstance(function, np.ufunc) or function in _DEEP_BUILTINS


def _takes_functions(function: Any) -> bool:
    return _reads_deep(function)


def _written_positions(function: Any, args: Any) -> tuple[int, ...]:
    if isinstance(function, np.ufunc):
        return tuple(range(function.nin, len(args)))
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return (0,) if function.__name__ == "at" else ()
    try:
        place = _WRITTEN.get(function)
    except TypeError:  # cannot be hashed
        return ()
    return () if place is None else (place,)


# --- the hooks themselves ----------------------------------------------------------------------------------------


def _session() -> Session | None:
    active = trace.current()
    found: Session | None = None if active is None else active.session
    return found


class _Keys:
    """`keys[1:2, ...]` is the key itself."""

    def __getitem__(self, key: Any) -> Any:
        return key


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    session = _session()
    return function(*args, **kwargs) if session is None else session.call(function, args, kwargs)


def _read(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    session = _session()
    return value if session is None else session.lifting.read(value)


def _attribute(holder: Any, name: str) -> Any:
    if isinstance(holder, types.ModuleType):
        return _read(getattr(holder, name))
    session = _session()
    return getattr(holder, name) if session is None else session.attribute(holder, name)


def _item(holder: Any, key: Any) -> Any:
    session = _session()
    return holder[key] if session is None else session.item(holder, key)


def _set_item(value: Any, holder: Any, key: Any) -> None:
    session = _session()
    if session is None:
        holder[key] = value
    else:
        session.set_item(value, holder, key)


def _set_attribute(value: Any, holder: Any, name: str) -> None:
    session = _session()
    if session is None:
        setattr(holder, name, value)
    else:
        session.set_attribute(value, holder, name)


def _binary(name: str, left: Any, right: Any) -> Any:
    session = _session()
    return _BINARY[name](left, right) if session is None else session.binary(name, left, right)


def _unary(name: str, value: Any) -> Any:
    session = _session()
    return _UNARY[name](value) if session is None else session.unary(name, value)


def _in_place(name: str, left: Any, right: Any) -> Any:
    session = _session()
    return _IN_PLACE[name](left, right) if session is None else session.in_place(name, left, right)


def _in_place_item(name: str, holder: Any, key: Any, value: Any) -> None:
    session = _session()
    is_array = isinstance(holder, np.ndarray) and holder.dtype != object
    if session is not None and is_array and (_is_traced((value, key)) or not session.lifting.is_fresh(holder)):
        holder = session.lifting.lift(holder)
    if isinstance(holder, Proxy):
        holder[nests.array_key(key)] = _IN_PLACE[name](holder[nests.array_key(key)], nests.as_array(value))
    else:
        _set_item(_in_place(name, _raw_item(holder, key), value), holder, key)


def _raw_item(holder: Any, key: Any) -> Any:
    """An item as its container holds it: what is written back must not be what stands for it."""
    return holder[key] if isinstance(holder, list | dict) else _item(holder, key)


def _in_place_attribute(name: str, holder: Any, attribute: str, value: Any) -> None:
    _set_attribute(_in_place(name, getattr(holder, attribute), value), holder, attribute)


rewriting.HOOKS.update(
    call=_call,
    read=_read,
    key=_Keys(),
    attribute=_attribute,
    item=_item,
    set_item=_set_item,
    set_attribute=_set_attribute,
    binary=_binary,
    unary=_unary,
    in_place=_in_place,
    in_place_item=_in_place_item,
    in_place_attribute=_in_place_attribute,
)


# --- beginning and ending ----------------------------------------------------------------------------------------


def followed(function: Any) -> Any:
    """The form of a user's function to call in the trace that is on: rewritten, if that trace rewrites."""
    session = _session()
    return function if session is None else session.follow(function)


def begin(function: Any) -> Any:
    """Begin a trace of a function, and give its form to call."""
    session = _session()
    if session is None:
        return function
    session.lifting.begin()
    return session.follow(function)
