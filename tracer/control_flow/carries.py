"""What the functions of this package share: nests as carries, and runs outside of a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.compiled import Compiled
from tracer.errors import loops as texts
from tracer.graph.node import constant
from tracer.remembering import kept_with
from tracer.tracing import trace
from tracer.tracing.bodies import run_body
from tracer.tracing.proxy import Proxy, operand_type, unwrap, wrap
from tracer.tracing.replay import is_computing
from tracer.tracing.symbolic import Symbolic
from tracer.tree import Structure, flatten, leaf_paths, unflatten
from tracer.types import ArrayType, promote

Function = Callable[..., Any]
_NUMBERS = (int, float, complex)
_ROUNDS = 3


class Weak:
    """A Python number, which adapts to the dtype that it meets; its value may be traced."""

    __slots__ = ("kind", "value")

    def __init__(self, value: Any, kind: type) -> None:
        self.value, self.kind = value, kind

    @property
    def example(self) -> Any:
        """A number of its kind: its own, if that is known."""
        return self.value if type(self.value) is self.kind else self.kind(1)

    def of(self, dtype: np.dtype[Any]) -> Any:
        """An array of this value."""
        if type(self.value) is self.kind:
            return _known(self.value, dtype)
        return self.value if self.value.dtype == dtype else self.value.astype(dtype)


def text_of(structure: Structure) -> str:
    """A nest as text, with dots for its leaves."""
    return repr(unflatten(structure, [_Dot()] * structure.leaf_count))


class _Dot:
    def __repr__(self) -> str:
        return "·"


def like(structure: Structure, value: Any) -> list[Any] | None:
    """The leaves of a nest in the order of another of the same structure; None if it has another one.

    Dicts are the same if they have the same keys.
    """
    leaves, found = flatten(value)
    return leaves if found == structure else _reordered(structure, found, leaves)


def _reordered(wanted: Structure, found: Structure, leaves: Sequence[Any]) -> list[Any] | None:
    if wanted.kind == "leaf" and found.kind == "leaf":
        return list(leaves)
    if (wanted.kind, wanted.type) != (found.kind, found.type) or len(wanted.children) != len(found.children):
        return None
    parts, start = [], 0
    for child in found.children:
        parts.append((child, leaves[start : start + child.leaf_count]))
        start += child.leaf_count
    order: Sequence[Any] = range(len(parts))
    if wanted.kind == "dict":
        if set(wanted.keys) != set(found.keys):
            return None
        order = [found.keys.index(key) for key in wanted.keys]
    result: list[Any] = []
    for child, place in zip(wanted.children, order, strict=True):
        part = _reordered(child, *parts[place])
        if part is None:
            return None
        result += part
    return result


class Carry:
    """A nest that a loop hands on from step to step.

    Attributes
    ----------
    loop, name : str
        The function that runs the loop, and its argument that the nest is, for messages.
    structure : Structure
    paths : list of str
    values : list
        The leaves before the first step; what was a Python number has found its dtype after `settle`.
    """

    def __init__(self, loop: str, name: str, value: Any) -> None:
        self.loop, self.name = loop, name
        leaves, self.structure = flatten(value)
        self.paths = leaf_paths(self.structure, name)
        self.values = [checked(leaf, path, loop) for leaf, path in zip(leaves, self.paths, strict=True)]

    def nest(self, leaves: Sequence[Any]) -> Any:
        """The carry as the user's function takes it."""
        return unflatten(self.structure, leaves)

    def leaves(self, result: Any) -> list[Any]:
        """The leaves of a new carry. Raises TraceError unless it is nested as the old one."""
        found = like(self.structure, result)
        if found is None:
            own = flatten(result)[1]
            more = "; a body that changes it in place must return it too" if result is None else ""
            names: Any = {"wanted": text_of(self.structure), "found": text_of(own), "name": self.name, "more": more}
            raise errors.TraceError(errors.message(texts.CARRY_STRUCTURE, loop=self.loop, **names))
        return found

    def types(self) -> list[ArrayType]:
        """The type of each leaf, once settled."""
        return [ArrayType(value.dtype, value.shape) for value in self.values]

    def settle(self, step: Function) -> None:
        """Give Python numbers the dtype that a step makes of them: 0 becomes 0.0 if floats are added to it.

        `step` takes a nest and gives a new one.
        """
        weak = [place for place, value in enumerate(self.values) if isinstance(value, Weak)]
        if not weak:
            return
        dtypes = {place: np.asarray(self.values[place].example).dtype for place in weak}
        found = self._try(
            step, [value.example if isinstance(value, Weak) else _stand_in(value) for value in self.values]
        )
        for _ in range(_ROUNDS):
            if found is not None:
                kinds = {place: operand_type(found[place]) for place in weak}
                kinds = {place: promote([self.values[place].kind, kind]) for place, kind in kinds.items()}
                if kinds == dtypes:
                    break
                dtypes = kinds
            trial = [
                _stand_in(value.of(dtypes[place]) if isinstance(value, Weak) else value)
                for place, value in enumerate(self.values)
            ]
            found = self._try(step, trial)
            if found is None:
                break
        for place in weak:
            self.values[place] = self.values[place].of(dtypes[place])

    def _try(self, step: Function, values: Sequence[Any]) -> list[Any] | None:
        """What a step gives; None if it fails, which the step itself will tell."""
        try:
            return like(self.structure, run_body(step, [self.nest(values)])[0])
        except Exception:  # the user's function may raise anything
            return None

    def check(self, result: Any) -> list[Any]:
        """The leaves of a new carry. Raises TraceError unless their types are those of the old one."""
        found = self.leaves(result)
        for place, (value, own, path) in enumerate(zip(found, self.types(), self.paths, strict=True)):
            checked(value, path, self.loop)
            if type(value) in (bool, *_NUMBERS) and own.shape == ():
                if np.can_cast(np.asarray(value).dtype, own.dtype, "same_kind") or type(value) is int:
                    found[place] = _known(value, own.dtype)
                    continue
            node = unwrap(value)
            if node.type != own:
                start = f"of dtype {node.dtype}" if node.shape == own.shape else f"of shape {node.shape}"
                convert = f"x.astype(np.{own.dtype})" if node.shape == own.shape else f"np.reshape(x, {own.shape})"
                names: Any = {"wanted": own, "found": node.type, "start": start, "convert": convert}
                raise errors.TraceError(errors.message(texts.CARRY_TYPE, path=path, loop=self.loop, **names))
        return found


def _known(number: Any, dtype: np.dtype[Any]) -> Proxy:
    """A number as a constant of the trace."""
    return wrap(constant(number, dtype), trace.current())


def _stand_in(value: Any) -> Any:
    """A traced value that the user's function can try its hand at, writing into it as well."""
    return wrap(unwrap(value), trace.current())


def checked(leaf: Any, path: str, loop: str) -> Any:
    """A leaf as an array or traced value. Raises TypeError for anything else."""
    if isinstance(leaf, Proxy | Weak | np.ndarray):
        return leaf
    if type(leaf) in _NUMBERS:
        return Weak(leaf, type(leaf))
    if isinstance(leaf, bool | np.generic):
        return _known(leaf, np.asarray(leaf).dtype)
    if hasattr(leaf, "__array__") and not isinstance(leaf, type):
        return np.asarray(leaf)
    raise TypeError(errors.message(texts.NOT_AN_ARRAY, path=path, loop=loop, value=leaf))


# --- outside of a trace ----------------------------------------------------------------------------------------------


def is_traced(values: Any) -> bool:
    """Whether work on values is recorded: within a trace, or because one of them is traced."""
    return is_computing() or any(isinstance(leaf, Proxy) for leaf in flatten(values)[0])


def run(loop: str, functions: Sequence[Function], options: tuple[Any, ...], values: Any, make: Function) -> Any:
    """Record a loop in the trace that is on; outside of one, compile it and run it.

    Parameters
    ----------
    loop : str
        Its name.
    functions, options
        What the loop depends on besides its values; a loop is compiled once for the same ones.
    values : nest
        What it runs on.
    make : callable
        (values) -> result, within a trace. A Python number among the values comes as `Weak`.

    Raises
    ------
    TypeError
        For symbolic variables.
    """
    leaves, structure = flatten(values)
    reject_symbolic(loop, leaves)
    if is_traced(leaves):
        return make(unflatten(structure, leaves))
    weak = tuple(type(leaf) if type(leaf) in _NUMBERS else None for leaf in leaves)
    compiled = _compiled(loop, functions, (options, structure, weak), lambda: _runner(make, structure, weak))
    return compiled(*(np.asarray(leaf) if type(leaf) in (bool, *_NUMBERS) else leaf for leaf in leaves))


def _runner(make: Function, structure: Structure, weak: Sequence[type | None]) -> Function:
    def run_traced(*leaves: Any) -> Any:
        pairs = zip(leaves, weak, strict=True)
        return make(unflatten(structure, [leaf if kind is None else Weak(leaf, kind) for leaf, kind in pairs]))

    return run_traced


def _compiled(loop: str, functions: Sequence[Function], options: Any, runner: Callable[[], Function]) -> Compiled:
    """The compiled loop over functions, kept with the first of them, so that both are freed together."""
    label = f"{loop} of {getattr(functions[0], '__qualname__', type(functions[0]).__name__)}"
    known = kept_with(functions[0])
    try:
        found = None if known is None else known.get((loop, *functions, options))
    except TypeError:  # what cannot be hashed cannot be kept
        known, found = None, None
    if found is None:
        found = Compiled(runner(), name=label)
        if known is not None:
            known[loop, *functions, options] = found
    return found


# --- arguments --------------------------------------------------------------------------------------


def reject_symbolic(loop: str, values: Any) -> None:
    """Raise TypeError if there are symbolic variables among values, outside of traces."""
    if not is_computing() and any(isinstance(leaf, Symbolic) for leaf in flatten(values)[0]):
        raise TypeError(errors.message(texts.SYMBOLIC, loop=loop))


def positive(name: str, value: Any) -> int:
    """A positive int. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(errors.message(texts.POSITIVE, name=name, value=value))
    return int(value)
