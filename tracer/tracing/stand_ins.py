"""Functions of other packages that ask their arguments nothing, replaced while a function is traced.

NumPy's functions hand their arguments to `__array_function__`; those of `scipy.linalg` turn them into arrays. While a
trace is on, a stand-in that knows traced values is found in their place: in their own module, and wherever the traced
function reads them by a name of its own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from tracer.graph.op import STAND_INS
from tracer.tracing import random_calls, trace
from tracer.tracing.capture import Guard
from tracer.tracing.proxy import has_proxy
from tracer.tracing.standing_in import Replaced, StandIn

_lock = threading.Lock()
_traces = 0
_replaced: dict[tuple[int, Any], list[Guard]] = {}
"""Places that hold a stand-in, with a guard for each trace that needs it there; the last one puts back what was."""


def _call(stand_in: StandIn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if has_proxy(args) or has_proxy(list(kwargs.values())):
        return STAND_INS[f"{stand_in.__module__}.{stand_in.__qualname__}"](*args, **kwargs)
    return stand_in.__wrapped__(*args, **kwargs)


def _by_module() -> dict[str, Replaced]:
    names: dict[str, list[str]] = {}
    for path in STAND_INS:
        module, _, name = path.rpartition(".")
        names.setdefault(module, []).append(name)
    return {module: Replaced(own, _call) for module, own in names.items()}


_MODULES = _by_module()
_open: dict[str, Replaced] = {}
"""The modules in which functions are replaced now."""
_known: dict[int, StandIn] = {}
"""By the id of a function, what stands in for it."""


def _begin() -> None:
    global _traces
    with _lock:
        _traces += 1
        if _traces > 1:
            return
        _replace_in(_MODULES)


def _replace_in(names: Iterable[str]) -> None:
    """Replace the functions of those of these modules that are imported."""
    global _known
    is_new = False
    for name in names:
        module = sys.modules.get(name)
        if module is not None and name not in _open:
            _open[name] = _MODULES[name]
            is_new |= _open[name].replace(module)
    if is_new:
        made = [item for replaced in _MODULES.values() for item in replaced.stand_ins.values()]
        _known = {id(item.__wrapped__): item for item in made}


def _end() -> None:
    global _traces
    with _lock:
        _traces -= 1
        if not _traces:
            for replaced in _open.values():
                replaced.put_back()
            _open.clear()


class _Late:
    """Asked first for every module: what a traced function imports is not traced, and gets its stand-ins too."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if trace.current() is None and fullname not in _MODULES:
            return None
        finders = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        found = (finder.find_spec(fullname, path, target) for finder in finders)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            # The loader stays what it is: programs ask it for sources and data.
            spec.loader.exec_module = partial(_load, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _load(exec_module: Callable[[ModuleType], None], module: ModuleType) -> None:
    with trace.suspended():
        exec_module(module)
    with _lock:
        if _traces and module.__name__ in _MODULES:
            _replace_in([module.__name__])


sys.meta_path.insert(0, _Late())


def _replace(guard: Guard, function: Callable[..., Any]) -> None:
    with _lock:
        _replaced.setdefault((id(guard.holder), guard.name), []).append(guard)
        guard._replace(expected=function).restore()


def _put_back(guard: Guard) -> None:
    with _lock:
        holders = _replaced[id(guard.holder), guard.name]
        holders.pop()
        if not holders:
            del _replaced[id(guard.holder), guard.name]
            guard.restore()


@contextmanager
def standing_in(guards: Sequence[Guard]) -> Iterator[Callable[[Any], Any]]:
    """Let stand-ins be found in the place of what they stand for.

    Yields what gives the stand-in of a function, or the function itself.

    Parameters
    ----------
    guards : sequence of Guard
        The places that the traced function reads; where one holds such a function itself, it is replaced there too.
    """
    _begin()
    replaced, borrowed = [], []
    try:
        for guard in guards:
            if guard.kind in ("cell", "dict", "attr"):
                function: Any = _known.get(id(guard.expected))
                if function is None and (function := random_calls.borrow(guard.expected)) is not None:
                    borrowed.append(guard.expected)
                if function is not None:
                    _replace(guard, function)
                    replaced.append(guard)
        yield lambda function: _known.get(id(function), function)
    finally:
        for guard in replaced:
            _put_back(guard)
        for value in borrowed:
            random_calls.give_back(value)
        _end()
