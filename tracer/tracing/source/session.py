"""How a trace follows rewritten code: its calls, reads, writes and operators."""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.node import constant
from tracer.tracing import dispatch, trace
from tracer.tracing.capture import is_foreign
from tracer.tracing.proxy import Proxy, unwrap, wrap
from tracer.tracing.reads import owner_of
from tracer.tracing.source import nests, reading, rewriting, stand_ins
from tracer.tracing.source.lifting import Lifting
from tracer.tree import flatten, unflatten

_WRITING_METHODS = ("fill", "put", "sort", "partition", "setfield", "byteswap")
_DEEP = ("numpy", "scipy", "tracer", "math", "functools", "operator", "itertools")
_DEEP_BUILTINS = (sum, max, min, sorted, any, all, abs, round, map, filter)
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
BINARY = {
    name: getattr(operator, f"{name}_" if name in ("and", "or") else name) for name in (*dispatch.OPERATORS, *_COMPARE)
}
UNARY = {name: getattr(operator, name) for name in ("neg", "pos", "invert")}
IN_PLACE = {name: getattr(operator, f"i{name}") for name in dispatch.OPERATORS}
_REFLECTED_COMPARE = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
_TRANSFORMS = ("tracer.batching", "tracer.checkpointing", "tracer.custom_derivatives")
_SCALAR_TYPES = (int, float, complex, str, bool, type(None), np.generic)


class Session:
    """How one trace follows rewritten code."""

    def __init__(self, active: trace.Trace) -> None:
        self.active = active
        self.lifting = Lifting(active)
        self.rolling: Any = None
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
            if rewriting.is_rewritten(function.__code__):
                return function
            twin = rewriting.rewrite(function)
            self.active.reads.is_complete &= twin is not None
            return twin or self._with_followed_cells(function)
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
        made, changed = object.__new__(type(function)), False  # they are copied and pickled as themselves
        vars(made).update(vars(function))
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
        elif (own := _method_called(function, args, kwargs)) is not None:
            made = self.call(own, args, {})
            return function(made) if own.__name__ == "__iter__" and function is not iter else made
        elif isinstance(function, type):
            made = self._construct(function, args, kwargs)
            if made is not NotImplemented:
                return made
        elif isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ndarray | np.ufunc):
            return self._call_method(function, args, kwargs)
        elif _is_transform(function) or _own_method(type(function), "__call__") is not None:
            return self.follow(function)(*args, **kwargs)
        elif isinstance(function, functools._lru_cache_wrapper):
            found = self.call(function.__wrapped__, args, kwargs)  # which also tells what it reads
            return found if is_traced((args, kwargs, found)) else function(*args, **kwargs)
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
        traced = is_traced((args, kwargs))
        if name in _WRITING_METHODS and target.dtype != object and (traced or not self.lifting.is_fresh(target)):
            lifted = self.lifting.lift(target)
            return self._retrying(getattr(lifted, name), args, kwargs)
        if traced:
            return self._retrying(getattr(wrap(unwrap(target), self.active), name), args, kwargs)
        result = self._call_plain(method, args, kwargs)
        if not _is_view(method, result, target):
            self.lifting.note_read((target, args, kwargs))
        self.lifting.note(result)
        return self.read(result)

    def _call_foreign(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call what is not rewritten: a function of NumPy, a builtin, a compiled function."""
        if self.lifting.lifted and _reads_deep(function):
            args, kwargs = self.lifting.read_deep(args), self.lifting.read_deep(kwargs)
        if _takes_functions(function):
            args = tuple(self._followed_argument(item) for item in args)
            kwargs = {name: self._followed_argument(item) for name, item in kwargs.items()}
        if _writes_text(function) or (function is print and "file" in kwargs):
            self._number_in_trial(*args, *kwargs.values())
        self.active.reads.met.clear()
        stand_in = stand_ins.find(function, self.call)
        if stand_in is not None and (stand_in.always or is_traced((args, kwargs))):
            made = stand_in.run(*args, **kwargs)
            if made is not NotImplemented:
                self._note_call(function, args, kwargs)
                return made
        args, kwargs = self._with_lifted_targets(function, args, kwargs)
        result = self._call_plain(function, args, kwargs)
        if not (args and _is_view(function, result, args[0])):
            self._note_call(function, args, kwargs)
        self.lifting.note(result)
        return self.read(result)

    def _note_call(self, function: Any, args: Any, kwargs: Any) -> None:
        """Note what a function has read that is not rewritten."""
        self.lifting.note_read(reading.looked_at(function, args, kwargs), self.active.reads.met)

    def _call_plain(self, function: Any, args: Any, kwargs: Any) -> Any:
        if not is_traced((args, kwargs)):
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
        positions = reading.written_positions(function, args)
        out = kwargs.get("out")
        targets = [args[place] for place in positions if place < len(args)]
        targets += list(out) if isinstance(out, tuple) else [out]
        if not any(isinstance(item, np.ndarray) and item.dtype != object for item in targets):
            return args, kwargs
        if not is_traced((args, kwargs)) and all(
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
        own = getattr(holder, "__dict__", {})
        if isinstance(member, functools.cached_property) and name not in own:
            own[name] = self._number_in_trial(self.call(member.func, (holder,), {}))
        elif member is not None and (get := _own_method(type(member), "__get__")) is not None and name not in own:
            return self.call(get, (member, holder, type(holder)), {})
        elif member is None and name not in own and (ask := _own_method(type(holder), "__getattr__")) is not None:
            try:
                return self.read(object.__getattribute__(holder, name))
            except AttributeError:
                return self.call(ask, (holder, name), {})
        if name in ("data", "ctypes", "__array_interface__"):
            self.note_number(holder)
        return self.read(getattr(holder, name))

    def item(self, holder: Any, key: Any) -> Any:
        """`holder[key]`."""
        if isinstance(holder, np.ndarray) and is_traced(key):
            return wrap(unwrap(holder), self.active)[nests.array_key(key)]
        if isinstance(holder, list | tuple) and isinstance(key, Proxy):
            return nests.item_of_list(holder, key)
        made = nests.joined(holder, key)
        if made is not None:
            return made
        own = _own_method(type(holder), "__getitem__")
        if own is not None:
            return self.call(own, (holder, key), {})
        self.active.reads.met.clear()
        result = holder[key]
        self.lifting.note_read(key, self.active.reads.met)
        if isinstance(holder, np.ndarray | np.flatiter):
            self._note_item(holder, key, result)
        self.lifting.note(result)
        return self.read(result)

    def _note_item(self, holder: Any, key: Any, result: Any) -> None:
        if isinstance(holder, np.ndarray) and isinstance(result, np.generic):
            keys = key if isinstance(key, tuple) else (key,)
            part = holder[(*keys, ...)]
            self.lifting.note_read(part if part.base is not None else holder)
        elif not (isinstance(result, np.ndarray) and owner_of(result) is owner_of(holder)):
            self.lifting.note_read(holder)

    def target(self, holder: Any, key: Any) -> tuple[Any, Any]:
        """What `holder[key] += value` writes into."""
        return holder, key

    def set_item(self, value: Any, holder: Any, key: Any) -> None:
        """`holder[key] = value`."""
        if isinstance(holder, np.ndarray) and holder.dtype != object:
            if is_traced((value, key)) or not self.lifting.is_fresh(holder):
                holder = self.lifting.lift(holder)
            else:
                holder[key] = self.read(value)
                self.lifting.note_read((key, value))
                return
        if isinstance(holder, Proxy):
            self.active.reads.met.clear()
            holder[nests.array_key(key)] = nests.as_array(value)
            self.lifting.note_read((key, value), self.active.reads.met)
        elif isinstance(holder, np.flatiter) and (is_traced((value, key)) or not self.lifting.is_fresh(holder.base)):
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
        if isinstance(holder, np.ndarray) and name in ("real", "imag", "flat") and is_traced(value):
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
        result = BINARY[name](left, right)
        if not isinstance(result, Proxy | list | tuple):
            self.lifting.note_read((left, right))
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
        result = UNARY[name](value)
        if not isinstance(result, Proxy):
            self.lifting.note_read(value)
        self.lifting.note(result)
        return result

    def in_place(self, name: str, left: Any, right: Any) -> Any:
        """An operator such as `+=`; gives what the left side holds then, a real array where it held one."""
        right = self.read(right)
        if isinstance(left, np.ndarray) and left.dtype != object:
            if not isinstance(self.read(left), Proxy) and not is_traced(right) and self.lifting.is_fresh(left):
                self.lifting.note_read(right)
                return IN_PLACE[name](left, right)
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
        result = IN_PLACE[name](left, right)
        if not isinstance(result, Proxy | list | tuple):
            self.lifting.note_read(right)
        self.lifting.note(result)
        return result

    # --- what Python asks values ---------------------------------------------------------------------------------

    def iterated(self, value: Any) -> Any:
        """What a loop goes through."""
        if isinstance(value, types.GeneratorType):
            return value
        if reading.is_iterated(value):
            self.lifting.note_read(value)
        own = _own_method(type(value), "__iter__")
        found = value if own is None else self.call(own, (value,), {})
        step = _own_method(type(found), "__next__")
        return found if step is None else self._steps(step, found)

    def items(self, function: Any, sources: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call in the head of a loop."""
        return self.iterated(self.call(function, sources, options))

    def _steps(self, step: Any, iterator: Any) -> Iterator[Any]:
        """What an iterator of a user's class gives, by its own method, rewritten."""
        while True:
            try:
                item = self.call(step, (iterator,), {})
            except StopIteration:
                return
            yield item

    def truth(self, value: Any) -> Any:
        """What Python asks whether it is true."""
        self.note_number(value)
        own = _own_method(type(value), "__bool__") or _own_method(type(value), "__len__")
        return value if own is None else self.call(own, (value,), {})

    def contains(self, item: Any, holder: Any, is_in: bool) -> Any:
        """`item in holder`, or `item not in holder`."""
        self.lifting.note_read([value for value in (item, holder) if isinstance(value, np.ndarray)])
        own = _own_method(type(holder), "__contains__")
        found = item in holder if own is None else bool(self.call(own, (holder, item), {}))
        return found if is_in else not found

    def context(self, value: Any) -> Any:
        """What a `with` statement enters."""
        enter, leave = (_own_method(type(value), name) for name in ("__enter__", "__exit__"))
        if enter is None or leave is None:
            return value
        return _Context(lambda: self.call(enter, (value,), {}), lambda *error: self.call(leave, (value, *error), {}))

    def note_number(self, value: Any) -> None:
        """Note that an array was read."""
        if isinstance(value, np.ndarray):
            self.lifting.note_read(value)

    def text(self, value: Any) -> Any:
        """What becomes part of a text."""
        self.note_number(value)
        return self._number_in_trial(value)

    def _number_in_trial(self, *values: Any) -> Any:
        """The first of these values; raises ConcretizationError if one is traced that need not be."""
        for value in values:
            if self.active.is_trial and isinstance(value, Proxy):
                value.item()
        return values[0] if values else None

    def taken_apart(self, value: Any, pattern: tuple[Any, ...]) -> Any:
        """What is taken apart into variables: arrays, and those in tuples that are taken apart too, as they are read.

        `pattern` has a tuple for each item that is itself taken apart, None for the others.
        """
        if isinstance(value, np.ndarray):
            if reading.is_iterated(value) or any(pattern):
                self.lifting.note_read(value)
            return self.read(value)
        if type(value) not in (list, tuple) or not any(pattern):
            return value
        items = list(value)
        for place, inner in enumerate(pattern[: len(items)]):
            items[place] = items[place] if inner is None else self.taken_apart(items[place], inner)
        return value if all(map(operator.is_, items, value)) else type(value)(items)

    def finish(self, result: Any) -> Any:
        """The function's result with arrays as they are read; those of before the trace are themselves.

        Nothing that became traced stays behind elsewhere.
        """
        self.lifting.finish()
        leaves, structure = flatten(self.lifting.read_deep(result))
        return unflatten(structure, [self.lifting.kept_form(self.read(leaf)) for leaf in leaves])


class _Context:
    """A context manager of two functions."""

    def __init__(self, enter: Callable[[], Any], leave: Callable[..., Any]) -> None:
        self._enter, self._leave = enter, leave

    def __enter__(self) -> Any:
        return self._enter()

    def __exit__(self, *error: Any) -> Any:
        return self._leave(*error)


def _is_view(function: Any, result: Any, target: Any) -> bool:
    """Whether a function gave a view of an array, of which it has read nothing."""
    return (
        isinstance(result, np.ndarray)
        and isinstance(target, np.ndarray)
        and reading.may_give_views(function)
        and owner_of(result) is owner_of(target)
    )


def _is_function(value: Any) -> bool:
    """Whether a value is a function of the user, or one made from it."""
    return isinstance(value, types.FunctionType | types.MethodType | functools.partial) or _is_transform(value)


def _is_transform(value: Any) -> bool:
    """Whether a value is a function made from another by a transform of this package."""
    module = type(value).__module__
    if not module.startswith("tracer."):
        return False
    return hasattr(value, "__tracer_run__") or (module in _TRANSFORMS and hasattr(value, "function"))


def is_traced(value: Any) -> bool:
    """Whether a traced value is somewhere in a nest of lists, tuples, dicts and slices."""
    if isinstance(value, Proxy):
        return True
    if isinstance(value, list | tuple):
        return any(map(is_traced, value))
    if isinstance(value, dict):
        return any(map(is_traced, value.values()))
    return isinstance(value, slice) and is_traced((value.start, value.stop, value.step))


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


def _writes_text(function: Any) -> bool:
    return function in (str, repr, format) or isinstance(getattr(function, "__self__", None), str)


def _method_called(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> types.FunctionType | None:
    """The method of a user's class that a builtin function of one argument calls of it."""
    name = reading.method_of(function) if len(args) == 1 and not kwargs else None
    return None if name is None else _own_method(type(args[0]), name)


def _package(function: Any) -> str:
    return (getattr(function, "__module__", None) or type(function).__module__).split(".")[0]


def _reads_deep(function: Any) -> bool:
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, list | dict | set):
        return False
    return _package(function) in _DEEP or isinstance(function, np.ufunc) or function in _DEEP_BUILTINS


def _takes_functions(function: Any) -> bool:
    """Whether a function that is not rewritten may call functions that it is given."""
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, list):
        return function.__name__ == "sort"
    return _reads_deep(function) or (_package(function) != "builtins" and is_foreign(_package(function)))
