"""What a function of symbolic variables holds between calls, as its user reaches it: values, containers, and `fn`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracer.symbolic.inputs import Container, In
from tracer.tracing.shared import SharedVariable

DUPLICATE = object()
"""Stands in a finder for a name that several inputs have."""


class Thunk:
    """`f.fn`: the computation on what the containers hold."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, n_calls: int = 1, output_subset: Sequence[int] | None = None) -> list[Any]:
        """Run it a number of times; gives the outputs of the last run."""
        function = self._function
        results: list[Any] = []
        for _ in range(n_calls):
            results = function._execute([container.storage[0] for container in function.input_storage])
        del results[function._output_count :]
        return results if output_subset is None else [results[place] for place in output_subset]


class Values(Mapping[Any, Any]):
    """`f.value`: the values of inputs and shared variables by variable, name or position."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __getitem__(self, item: Any) -> Any:
        found = self._function._find(item)
        return self._function.input_storage[found].storage[0] if isinstance(found, int) else found.cell[0]

    def __setitem__(self, item: Any, value: Any) -> None:
        function = self._function
        found = function._find(item)
        if isinstance(found, int):
            function.input_storage[found].value = value
            function._overridden = function._overridden or function._refed[found]
        else:
            found.set_value(value)

    def __contains__(self, item: Any) -> bool:
        return item in self._function._finder

    def __iter__(self) -> Iterator[Any]:
        return iter(self._function._finder)

    def __len__(self) -> int:
        return len(self._function._finder)


class Containers(Values):
    """`f.container`: what holds the values."""

    def __getitem__(self, item: Any) -> Any:
        found = self._function._find(item)
        return self._function.input_storage[found] if isinstance(found, int) else found.container


def container_of(declared: In) -> Container:
    """What holds the value of an input: one of its own, or that of its value."""
    variable, value = declared.variable, declared.value
    settings: dict[str, Any] = {
        "name": declared.name,
        "strict": declared.strict,
        "allow_downcast": declared.allow_downcast,
    }
    if isinstance(value, SharedVariable):
        return Container(variable.type, storage=value.cell, **settings)
    if isinstance(value, Container):
        return Container(variable.type, storage=value.storage, **settings)
    return Container(variable.type, value, **settings)


def finder_of(declared: Sequence[In], shared: Sequence[Any]) -> dict[Any, Any]:
    """Positions of inputs, and shared variables, by variable, name and position; a name used twice is a duplicate."""
    found: dict[Any, Any] = {}
    for position, item in enumerate(declared):
        found[position] = found[item.variable] = position
    for position, variable in enumerate(shared, len(declared)):
        found[position] = found[variable] = variable
    names = [(item.name, position) for position, item in enumerate(declared)]
    for name, target in [*names, *((variable.name, variable) for variable in shared)]:
        if name is not None:
            found[name] = DUPLICATE if name in found else target
    return found
