"""What is found in the place of a function while some thread traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from tracer.tracing.capture import STANDING_IN


class StandIn:
    """Stands in for a function, by whose names others can still pickle it.

    Every other attribute is looked up when it is asked for: there are so many of these that to make them alike would
    be a part of the first call that one notices.

    Parameters
    ----------
    function : callable
        What it stands in for.
    module, name : str
        Where it is found.
    call : callable
        What it does: called with the function, the name, and the arguments of a call.
    """

    def __init__(self, function: Callable[..., Any], module: str, name: str, call: Callable[..., Any]) -> None:
        self.__wrapped__ = function
        self.__module__ = module
        self.__qualname__ = name
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function does, or what it is traced as."""
        return self._call(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["__wrapped__"], name)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__wrapped__.__doc__

    def __reduce__(self) -> str:
        return self.__qualname__


class Replaced:
    """The functions of a module that are replaced, and what stands in for them: made when they are met first."""

    def __init__(self, names: Iterable[str], call: Callable[..., Any]) -> None:
        self._names, self._call = tuple(names), call
        self._made: list[dict[str, StandIn]] = [{}]  # those of before too: their ids stay their own
        self._space: dict[str, Any] = {}
        self._originals: Mapping[str, Any] = {}

    def replace(self, module: ModuleType) -> bool:
        """Put the stand-ins in place; gives whether they are others than before."""
        space = self._space = vars(module)
        found = {name: space[name] for name in self._names if name in space}
        is_new = found != self._originals
        if is_new:
            made = {name: StandIn(item, module.__name__, name, self._call) for name, item in found.items()}
            STANDING_IN.update({id(item): item.__wrapped__ for item in made.values()})
            self._made.append(made)
            self._originals = found
        space.update(self._made[-1])
        return is_new

    def put_back(self) -> None:
        """Put the functions back in their places."""
        self._space.update(self._originals)

    @property
    def stand_ins(self) -> dict[str, StandIn]:
        """The latest of them, by name."""
        return self._made[-1]
