"""The compiled function: signatures, the cache of plans, and the fast way from a call to a plan."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.pipeline import (
    Finish,
    Plan,
    as_input,
    entry_of,
    explain,
    setting_guards,
    trace_function,
    without_collector,
)
from tracer.run.cpu import Dispatcher
from tracer.tracing import trace
from tracer.tracing.capture import label_of
from tracer.tracing.proxy import Proxy
from tracer.tracing.symbolic import Symbolic
from tracer.tree import Structure, flatten, leaf_paths, rebuild

log = logging.getLogger("tracer")


_MOST_SIGNATURES = 256
"""Signatures of one function that are kept; beyond, the oldest is forgotten."""


class CacheInfo(NamedTuple):
    """What `f.cache_info()` tells.

    Attributes
    ----------
    plans : int
        Compiled plans that are kept.
    calls : int
        Calls so far outside of traces.
    traces : int
        How often the function was traced.
    reasons : tuple of str
        Why, one reason per trace.
    """

    plans: int
    calls: int
    traces: int
    reasons: tuple[str, ...]


class Leaves(NamedTuple):
    """The flattened arguments of one call."""

    structure: Structure
    values: list[Any]
    is_array: list[bool]
    key: tuple[Any, ...]
    names: list[str]
    originals: list[Any]

    @property
    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The leaves that are traced."""
        return [value for value, traced in zip(self.values, self.is_array, strict=True) if traced]


class Compiled(Dispatcher):
    """A function that compiles itself for each signature of its arguments, and then runs as native code.

    Made by `tracer.compile`. Calling it while another function is traced makes it part of that trace, and calling it
    on symbolic variables makes an expression of them.
    """

    def __new__(cls, *_: Any, **__: Any) -> Compiled:
        """Give the native part what it falls back to for arguments that no plan fits."""
        self: Any = super().__new__(cls, lambda *args, **kwargs: self._slow_call(*args, **kwargs))
        return self

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        backend: str | None = None,
        name: str | None = None,
        finish: Finish | None = None,
        traced_floats: Sequence[int] = (),
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.name = name or label_of(function)
        self._backend = backend
        self._finish = finish
        self._traced_floats = frozenset(traced_floats)
        self._plans: dict[Any, list[Plan]] = {}
        self._reasons: list[str] = []
        self._slow_calls = 0
        self._last_leaves: Leaves | None = None

    # --- what a user may ask -------------------------------------------------------------------------------------

    def cache_info(self) -> CacheInfo:
        """Return the number of plans, calls and traces, and the reason for every trace."""
        plans = sum(map(len, self._plans.values()))
        return CacheInfo(plans, self.hits + self._slow_calls, len(self._reasons), tuple(self._reasons))

    def cache_clear(self) -> None:
        """Forget every plan; the next call traces again."""
        self.clear()
        self._plans.clear()
        self._last_leaves = None

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Return the plan for these arguments, compiling it if need be, without running it."""
        leaves = self._flatten(args, kwargs)
        return self._find(leaves) or self._compile(leaves, kwargs)

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self.name))  # as functions: by the name in their module

    def __copy__(self) -> Compiled:
        return self

    def __deepcopy__(self, memo: Any) -> Compiled:
        return self

    def __repr__(self) -> str:
        return f"<tracer.compile of {self.name}>"

    # --- calls ---------------------------------------------------------------------------------------------------

    def _slow_call(self, *args: Any, **kwargs: Any) -> Any:
        given = flatten((args, kwargs))[0]
        if trace.current() is not None or any(isinstance(item, Proxy | Symbolic) for item in given):
            return self.inline(*args, **kwargs)
        leaves = self._flatten(args, kwargs)
        plan = self._find(leaves) or self._compile(leaves, kwargs)
        self._slow_calls += 1
        return self._run(plan, leaves)

    def _run(self, plan: Plan, leaves: Leaves) -> Any:
        return plan.run(leaves.arrays, leaves.originals)

    def inline(self, *args: Any, **kwargs: Any) -> Any:
        """Run as part of the trace that is on."""
        active = trace.current()
        # A transform of a function would come back here where no trace is on.
        result = getattr(self.function, "__tracer_run__", self.function)(*args, **kwargs)
        if self._finish is not None and active is not None:
            self._finish(result, active)
        return result

    def _find(self, leaves: Leaves) -> Plan | None:
        for plan in reversed(self._plans.get(leaves.key, ())):
            if plan.matches():
                return plan
        return None

    def _compile(self, leaves: Leaves, kwargs: dict[str, Any]) -> Plan:
        self._note_reason(leaves)
        with without_collector():
            traced = trace_function(
                self.function,
                leaves.structure,
                leaves.values,
                leaves.is_array,
                name=self.name,
                names=leaves.names,
                finish=self._finish,
            )
            plan = Plan(traced, leaves.arrays, self._backend or config.backend)
        if len(self._plans) >= _MOST_SIGNATURES and leaves.key not in self._plans:
            del self._plans[next(iter(self._plans))]
        kept = self._plans.setdefault(leaves.key, [])
        kept[:] = [other for other in kept if other.matches()]
        kept.append(plan)
        self._last_leaves = leaves
        if plan.executable.native is not None:
            self._add_fast_path(plan, leaves, kwargs)
        return plan

    # --- signatures ----------------------------------------------------------------------------------------------

    def _flatten(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Leaves:
        values, structure = flatten((tuple(args), kwargs))
        names = self._leaf_names(structure, args)
        floats = self._float_leaves(structure)
        key: list[Any] = [structure, self._backend or config.backend, config.check_nan]
        is_array, originals = [], []
        for position, value in enumerate(values):
            if _is_array_like(value) or (position in floats and type(value) in (float, complex)):
                values[position] = array = as_input(value, names[position])
                key.append(entry_of(array))
                is_array.append(True)
                originals.append(value)
            else:
                key.append((type(value), self._static(value, names[position])))
                is_array.append(False)
        return Leaves(structure, values, is_array, tuple(key), names, originals)

    def _float_leaves(self, structure: Structure) -> set[int]:
        """Leaves of the arguments that are differentiated: Python floats among them are traced, not static."""
        positions: set[int] = set()
        start = 0
        for number, child in enumerate(structure.children[0].children):
            if number in self._traced_floats:
                positions |= set(range(start, start + child.leaf_count))
            start += child.leaf_count
        return positions

    def _static(self, value: Any, name: str) -> Any:
        if type(value) in (float, complex):
            return repr(value)  # tells -0.0 from 0.0, and nan is itself
        try:
            hash(value)
        except TypeError:
            if hasattr(value, "__dict__"):
                return _Identity(value)
            raise TypeError(
                errors.message(errors.STATIC_UNHASHABLE, name=name, function=self.name, type=type(value).__name__)
            ) from None
        return value

    def _leaf_names(self, structure: Structure, args: Sequence[Any]) -> list[str]:
        parameters = _positional_names(self.function)
        positional, keywords = structure.children
        names: list[str] = []
        for position, child in enumerate(positional.children):
            name = parameters[position] if position < len(parameters) else f"argument {position}"
            names += leaf_paths(child, name)
        for keyword, child in zip(keywords.keys, keywords.children, strict=True):
            names += leaf_paths(child, keyword)
        return names

    def _note_reason(self, leaves: Leaves) -> None:
        before = self._last_leaves
        if before is None:
            reason = "first call"
        elif leaves.key == before.key:
            plan = self._plans[leaves.key][-1] if self._plans.get(leaves.key) else None
            failed = [guard.label for guard in plan.traced.guards if not guard.holds()] if plan else []
            changed = f"{failed[0]}, which the function reads, has changed" if failed else None
            reason = changed or "a captured value has another type"
        else:
            reason = _difference(before, leaves)
        self._reasons.append(reason)
        if before is not None:
            count = len(self._reasons)
            level = logging.WARNING if count in _MANY_TRACES else logging.INFO
            log.log(level, errors.RETRACE.format(function=self.name, count=count, reason=reason))

    # --- the fast path -------------------------------------------------------------------------------------------

    def _add_fast_path(self, plan: Plan, leaves: Leaves, kwargs: dict[str, Any]) -> None:
        traced = plan.traced
        spec = _spec(leaves)
        if spec is None or config.check_nan:
            return
        count, split = traced.argument_count, traced.argument_count + len(traced.captured)
        entries = [("array", entry[0].num, entry[1], entry[2]) for entry in plan.entries]
        first = traced.result_count
        self.add(
            spec,
            tuple(kwargs),
            plan.executable.native,
            list(traced.captured),
            entries[count:split],
            [item.cell for item in traced.shared],
            entries[split:],
            [(item.cell, first + number) for number, item in enumerate(traced.updated)],
            [(place, first + len(traced.updated) + number) for number, place in enumerate(traced.written)],
            [*setting_guards(), *(tuple(guard[:4]) for guard in traced.guards)],
            _output_tree(plan),
            None,
            explain,
            plan,
        )


_MANY_TRACES = (8, 32, 128, 512)


class _Identity:
    """Compares an unhashable object by identity."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value


def _is_array_like(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return True
    return hasattr(value, "__array__") and not isinstance(value, type | Proxy)


@functools.lru_cache(maxsize=1024)
def _positional_names(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD))


def _difference(before: Leaves, now: Leaves) -> str:
    if before.structure != now.structure:
        return "the arguments are nested differently, or passed under other names"
    for name, old, new in zip(now.names, before.key[3:], now.key[3:], strict=True):
        if old != new:
            return f"argument {name} was {_signature_text(old)} and is {_signature_text(new)}"
    return "a setting of tracer.config changed"


def _signature_text(entry: Any) -> str:
    if isinstance(entry[0], type):
        return f"the static {entry[0].__name__} {entry[1]}"
    return f"{entry[0]}{list(entry[1])} with strides {entry[2]}"


def _spec(leaves: Leaves) -> tuple[Any, ...] | None:
    """How the dispatcher recognises such arguments; None where it cannot."""
    position = iter(range(len(leaves.values)))

    def build(structure: Structure) -> Any:
        if structure.kind == "leaf":
            index = next(position)
            value = leaves.values[index]
            if leaves.is_array[index]:
                return "array", value.dtype.num, value.shape, value.strides
            return "static", value
        children = tuple(build(child) for child in structure.children)
        if structure.kind == "none":
            return "static", None
        if structure.kind in ("tuple", "list"):
            return structure.kind, children
        if structure.kind == "dict" and structure.type is dict:
            return "dict", tuple(zip(structure.keys, children, strict=True))
        raise _NoFastPath

    try:
        positional = [build(child) for child in leaves.structure.children[0].children]
        keywords = [build(child) for child in leaves.structure.children[1].children]
    except _NoFastPath:
        return None
    return (*positional, *keywords)


class _NoFastPath(Exception):
    """A nest that only the slow path takes apart."""


def _output_tree(plan: Plan) -> Any:
    results = iter(plan.traced.results)

    def build(structure: Structure) -> Any:
        if structure.kind == "leaf":
            kind, value = next(results)
            if kind == "output":
                return "leaf", value, True
            return kind, value
        children = tuple(build(child) for child in structure.children)
        if structure.kind == "none":
            return "constant", None
        if structure.kind in ("tuple", "list"):
            return structure.kind, children
        if structure.kind == "dict" and structure.type is dict:
            return "dict", tuple(zip(structure.keys, children, strict=True))
        shell = structure._replace(children=())
        return "call", functools.partial(_rebuild, shell), children

    return build(plan.traced.structure)


def _rebuild(structure: Structure, *children: Any) -> Any:
    return rebuild(structure, children)
