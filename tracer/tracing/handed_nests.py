"""What a traced function puts into the dicts, lists and dataclasses among its arguments, which are copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


class HandedNests:
    """The containers among the arguments of a trace, with what they held before it.

    A trace gives a function copies of them: what is written into their arrays reaches the caller's, and what is put in
    the place of an array does not.
    """

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        self._before = [
            (name, path, container, _items(container))
            for name, value in named
            for path, container in _containers(value, "")
        ]

    def put(self, result: Any, names: Callable[[], Sequence[str]]) -> Iterator[str]:
        """Name the places that hold something else by now, but for those in containers that the function returns."""
        returned = {id(container) for _, container in _containers(result, "")} if self._before else ()
        for name, path, container, before in self._before:
            if id(container) not in returned:
                for key, value in _items(container).items():
                    if key not in before or before[key] is not value:
                        yield _step(_label(name, names()) + path, container, key)


def _label(name: int | str, names: Sequence[str]) -> str:
    if isinstance(name, str):
        return name
    return names[name] if name < len(names) else f"argument {name}"


def _containers(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = _items(value)
    if items and not isinstance(value, tuple):
        yield path, value
    for key, item in items.items():
        yield from _containers(item, _step(path, value, key))


def _items(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return {}


def _step(path: str, container: Any, key: Any) -> str:
    return f"{path}[{key!r}]" if isinstance(container, dict | list | tuple) else f"{path}.{key}"
