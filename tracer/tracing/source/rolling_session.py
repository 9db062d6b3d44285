"""How a trace follows rewritten code while the body of a loop runs for all its steps."""

from __future__ import annotations

import dataclasses
import dis
import math
import types
from collections import deque
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

from tracer.tracing import trace
from tracer.tracing.generators import is_generator
from tracer.tracing.proxy import Proxy
from tracer.tracing.source import reading, rewriting, rolled_rows
from tracer.tracing.source.rolled_items import DESCRIBED, Combined, is_one_pass
from tracer.tracing.source.rolled_numbers import RolledNumber, Steps, array_key, has_number, is_number
from tracer.tracing.source.rolled_state import Changes, Missing
from tracer.tracing.source.rolling import WORTH_SLOWER, Place, Rolling
from tracer.tracing.source.session import Session, is_traced

_FEW = 1 << 10
"""Elements that are put together whatever it spares."""
_CONTAINERS = (list, dict, set, deque, bytearray)
_READING = frozenset(("copy", "count", "index", "get", "items", "keys", "values", "isdisjoint", "issubset", "union"))
_WRITING = frozenset(("fill", "put", "sort", "partition", "setfield", "byteswap", "resize", "setflags", "itemset"))
_PACKAGES = frozenset(("numpy", "scipy", "math", "cmath", "operator", "functools", "itertools", "fractions"))
_OWN = ("tracer.control_flow", "tracer.random", "tracer.tracing", "tracer.ops", "tracer.graph")
_PURE: frozenset[Any] = frozenset(
    (
        *(len, abs, min, max, sum, range, zip, enumerate, reversed, sorted, map, filter, any, all, isinstance, pow),
        *(issubclass, type, int, float, bool, complex, str, list, tuple, dict, set, frozenset, slice, round, divmod),
        *(getattr, hasattr, callable, repr, hash, object),
    )
)
_OF_NUMBERS: frozenset[Any] = frozenset((float, int, abs, min, max, round, pow))


class RollingSession(Session):
    """A session that rolls loops."""

    def __init__(self, active: trace.Trace, refused: Collection[Place]) -> None:
        super().__init__(active)
        self.rolling: Rolling = Rolling(active, refused, self.item)

    @property
    def _changes(self) -> list[Changes]:
        return [loop.changes for loop in self.rolling.passes]

    # --- loops ---------------------------------------------------------------------------------------------------

    def items(self, function: Any, sources: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call in the head of a loop."""
        if function not in DESCRIBED or not sources:
            return super().items(function, sources, options)
        return Combined(function, sources, function(*sources, **options), bool(options.get("strict")))

    def iterated(self, value: Any) -> Any:
        """What a loop goes through."""
        if isinstance(value, Combined):
            return value
        if self.rolling.passes:
            self._look(value)
            is_new = (
                isinstance(value, types.GeneratorType) and value.gi_frame is not None and value.gi_frame.f_lasti < 0
            )
            if is_one_pass(value) and not is_new:
                self.rolling.refuse()
        return super().iterated(value)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _call_foreign(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.rolling.passes:
            if (made := self._of_each_step(function, args, kwargs)) is not NotImplemented:
                return made
            self._check_call(function, args, kwargs)
        if self.rolling.rolled and args and rolled_rows.has_rows(args[0]):
            made = rolled_rows.compact(function, args, kwargs)
            if made is not NotImplemented:
                return made
        return super()._call_foreign(function, args, kwargs)

    def _call_method(self, method: Any, args: Any, kwargs: Any) -> Any:
        if self.rolling.passes and method.__name__ in _WRITING:
            self.rolling.refuse()
        return super()._call_method(method, args, kwargs)

    def _of_each_step(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of Python's numbers, of those of each step."""
        numbers = [item for item in args if is_number(item)]
        is_plain = function in _OF_NUMBERS if isinstance(function, type) or callable(function) else False
        if not numbers or kwargs or not (is_plain or getattr(function, "__module__", None) == math.__name__):
            return NotImplemented
        if not all(is_number(item) or type(item) in (int, float) for item in args):
            return NotImplemented
        steps: Steps = numbers[0].steps
        if any(item.steps is not steps for item in numbers):
            return NotImplemented
        rows = zip(*(item.values if is_number(item) else [item] * steps.count for item in args), strict=True)
        try:
            return steps.number([function(*row) for row in rows])
        except (ArithmeticError, ValueError, TypeError):
            return self.rolling.refuse()

    def _check_call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse to call what may do more than to compute."""
        holder = getattr(function, "__self__", None)
        if isinstance(holder, _CONTAINERS) and isinstance(function, types.BuiltinMethodType):
            if function.__name__ == "append" and type(holder) is list and len(args) == 1:
                for changes in self._changes:
                    changes.append(holder, args[0])
            elif function.__name__ in _READING:
                self._look(holder)
            else:
                for changes in self._changes:
                    changes.opaque[id(holder)] = holder
            self._look(args)
            return
        self._look((args, kwargs))
        if not self._is_pure(function, holder, args, kwargs):
            self.rolling.refuse()

    def _is_pure(self, function: Any, holder: Any, args: Any, kwargs: Any) -> bool:
        try:
            if function in _PURE:
                return function is not type or len(args) == 1
        except TypeError:  # cannot be hashed
            return False
        if isinstance(function, types.FunctionType) and rewriting.is_rewritten(function.__code__):
            return True
        if isinstance(function, np.ufunc) or isinstance(holder, Proxy | np.ndarray | np.generic | np.ufunc):
            return True
        if isinstance(holder, str | bytes | int | float | complex | tuple | range | slice | RolledNumber):
            return True
        if is_generator(holder):
            return getattr(function, "__name__", "") not in ("shuffle", "spawn")
        module = getattr(function, "__module__", None) or type(function).__module__
        if module.startswith(_OWN) or hasattr(function, "__tracer_run__"):
            return True
        if module.split(".")[0] == "tracer":  # a derivative of traced values would end where the body begins
            return not is_traced((args, kwargs))
        if isinstance(function, type):
            is_plain = issubclass(function, tuple) or dataclasses.is_dataclass(function)
            return module.split(".")[0] in _PACKAGES or is_plain
        return module.split(".")[0] in _PACKAGES and not module.startswith("numpy.random")

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call anything, with arrays as they are read now."""
        if self.rolling.passes:
            code = getattr(function, "__code__", None)
            if code is not None and _stores_outside(code):
                self.rolling.refuse()
            if function is setattr or function is delattr:
                self.rolling.refuse()
        return super().call(function, args, kwargs)

    def _with_lifted_targets(self, function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if self.rolling.passes and isinstance(kwargs.get("out"), np.ndarray):
            kwargs = {**kwargs, "out": self.lifting.lift(kwargs["out"])}
        made = super()._with_lifted_targets(function, args, kwargs)
        if self.rolling.passes:
            targets = [made[0][place] for place in reading.written_positions(function, args) if place < len(args)]
            if any(isinstance(item, np.ndarray) and item.dtype != object for item in targets):
                self.rolling.refuse()
        return made

    # --- reads and writes ----------------------------------------------------------------------------------------

    def _look(self, value: Any, depth: int = 3) -> None:
        """Note that the items of lists, or how many there are, may be read."""
        if isinstance(value, _CONTAINERS):
            for changes in self._changes:
                changes.looked_at.add(id(value))
        if depth and type(value) in (list, tuple, dict) and len(value) <= 1 << 12:
            for item in value.values() if type(value) is dict else value:
                if isinstance(item, list | tuple | dict | set | deque):
                    self._look(item, depth - 1)

    def item(self, holder: Any, key: Any) -> Any:
        """`holder[key]`."""
        if not self.rolling.passes:
            return super().item(holder, key)
        self._look(holder, 0)
        if has_number(key):
            if type(holder) in (list, tuple) and is_number(key):
                return self._item_of_list(holder, key)
            if isinstance(holder, Proxy | np.ndarray):
                return self._part(holder, key)
        return super().item(holder, key)

    def _part(self, holder: Any, key: Any) -> Any:
        """A part of an array at places of each step."""
        key, is_window = array_key(key, holder.shape)
        made = super().item(holder, key)
        if is_window:  # NumPy makes a view: neither may be written into
            for changes in self._changes:
                changes.windows.append((made, holder))
        return made

    def _item_of_list(self, holder: Any, key: RolledNumber) -> Any:
        """An item of a list at places of each step."""
        count, values = len(holder), key.values
        if min(values) < -count or max(values) >= count:
            self.rolling.refuse()
        own = [holder[place] for place in values]
        if all(type(value) in (int, float) for value in own):
            return key.steps.number(own)
        if all(isinstance(value, Proxy | np.ndarray | np.generic) for value in holder):
            if self.rolling.passes[-1].spared <= WORTH_SLOWER and rolled_rows.copied(holder) > _FEW:
                self.rolling.refuse()
            stack = rolled_rows.stacked_rows(holder)
            if stack is not None:
                for changes in self._changes:
                    changes.windows += [(stack, item) for item in holder]
                return self._part(stack, key)
        return own[0] if all(value is own[0] for value in own) else self.rolling.refuse()

    def target(self, holder: Any, key: Any) -> tuple[Any, Any]:
        """What `holder[key] += value` writes into."""
        if not self.rolling.passes:
            return holder, key
        if isinstance(holder, np.ndarray) and holder.dtype != object:
            holder = self.lifting.lift(holder)
        if isinstance(holder, Proxy):
            return holder, self._written_key(holder, key)
        if type(holder) in (list, dict) and type(key) is not slice:
            return holder, key
        return self.rolling.refuse()

    def _written_key(self, holder: Any, key: Any) -> Any:
        return array_key(key, holder.shape)[0] if has_number(key) else key

    def set_item(self, value: Any, holder: Any, key: Any) -> None:
        """`holder[key] = value`."""
        if self.rolling.passes:
            if isinstance(holder, np.flatiter):
                self.rolling.refuse()
            if isinstance(holder, np.ndarray) and holder.dtype != object:
                holder = self.lifting.lift(holder)
            if isinstance(holder, Proxy):
                key = self._written_key(holder, key)
            elif isinstance(holder, _CONTAINERS):
                self._note_item_set(holder, key)
        super().set_item(value, holder, key)

    def _note_item_set(self, holder: Any, key: Any) -> None:
        if is_number(key):
            self.rolling.refuse()
        is_plain = type(holder) in (list, dict) and type(key) in (int, str, tuple)
        for changes in self._changes:
            if is_plain:
                try:
                    before = holder[key]
                except (IndexError, KeyError):
                    before = Missing
                changes.set(holder, "item", key, before)
            else:
                changes.opaque[id(holder)] = holder

    def set_attribute(self, value: Any, holder: Any, name: str) -> None:
        """`holder.name = value`."""
        if self.rolling.passes:
            if not isinstance(holder, Proxy) and not _is_plain_attribute(holder, name):
                self.rolling.refuse()
            if not isinstance(holder, Proxy):
                for changes in self._changes:
                    changes.set(holder, "attribute", name, vars(holder).get(name, Missing))
        super().set_attribute(value, holder, name)

    # --- operators, and what Python asks values ------------------------------------------------------------------

    def binary(self, name: str, left: Any, right: Any) -> Any:
        """An operator of two values."""
        if self.rolling.passes:
            self._look((left, right))
        return super().binary(name, left, right)

    def in_place(self, name: str, left: Any, right: Any) -> Any:
        """An operator such as `+=`."""
        if self.rolling.passes:
            self._look(right)
            if isinstance(left, _CONTAINERS):
                for changes in self._changes:
                    changes.opaque[id(left)] = left
            if isinstance(left, np.ndarray) and left.dtype != object:
                self.lifting.lift(left)
        return super().in_place(name, left, right)

    def truth(self, value: Any) -> Any:
        """What Python asks whether it is true."""
        if self.rolling.passes:
            self._look(value)
        return super().truth(value)

    def contains(self, item: Any, holder: Any, is_in: bool) -> Any:
        """`item in holder`, or `item not in holder`."""
        if self.rolling.passes:
            self._look(holder)
            if is_number(item):
                self.rolling.refuse()
        return super().contains(item, holder, is_in)

    def text(self, value: Any) -> Any:
        """What becomes part of a text."""
        if self.rolling.passes:
            self._look(value)
        return super().text(value)

    def taken_apart(self, value: Any, pattern: tuple[Any, ...]) -> Any:
        """What is taken apart into variables."""
        if self.rolling.passes:
            self._look(value)
        return super().taken_apart(value, pattern)


@lru_cache(maxsize=1024)
def _stores_outside(code: types.CodeType) -> bool:
    """Whether a function, or one within it, binds names that are not its own."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return True
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF") and instruction.argval in code.co_freevars:
            return True
    return any(_stores_outside(item) for item in code.co_consts if isinstance(item, types.CodeType))


def _is_plain_attribute(holder: Any, name: str) -> bool:
    """Whether setting an attribute does nothing but store it with the object."""
    kind = type(holder)
    if not hasattr(holder, "__dict__") or isinstance(holder, type | types.ModuleType):
        return False
    if any("__setattr__" in vars(owner) for owner in kind.__mro__[:-1]):
        return False
    member = next((vars(owner)[name] for owner in kind.__mro__ if name in vars(owner)), None)
    return not hasattr(type(member), "__set__")
