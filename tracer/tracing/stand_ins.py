"""Functions of other packages that ask their arguments nothing, replaced while a function is traced.

NumPy's functions hand their arguments to `__array_function__`; those of `scipy.linalg` turn them into arrays. While a
trace is on, a stand-in that knows traced values is found in their place: in their own module, and wherever the traced
function reads them by a name of its own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from tracer.graph.op import STAND_INS
from tracer.tracing import random_calls, trace
from tracer.tracing.capture import STANDING_IN, Guard
from tracer.tracing.proxy import has_proxy

_lock = threading.Lock()
_traces = 0
_originals: dict[str, Callable[..., Any]] = {}
_replaced: dict[tuple[int, Any], list[Guard]] = {}
"""Places that hold a stand-in, with a guard for each trace that needs it there; the last one puts back what was."""

_MODULES = frozenset(path.rpartition(".")[0] for path in STAND_INS)


@cache
def _both(path: str, function: Callable[..., Any]) -> Callable[..., Any]:
    traced = STAND_INS[path]

    def either(*args: Any, **kwargs: Any) -> Any:
        is_traced = has_proxy(args) or has_proxy(list(kwargs.values()))
        return (traced if is_traced else function)(*args, **kwargs)

    random_calls.named_as(either, function, path)
    STANDING_IN[id(either)] = function  # the cache keeps it, so its id stays its own
    return either


def _begin() -> None:
    global _traces
    with _lock:
        _traces += 1
        if _traces > 1:
            return
        for path in STAND_INS:
            _stand_in(path)


def _stand_in(path: str) -> None:
    module, _, name = path.rpartition(".")
    function = getattr(sys.modules.get(module), name, None)
    if function is not None and path not in _originals:
        _originals[path] = function
        setattr(sys.modules[module], name, _both(path, function))


def _end() -> None:
    global _traces
    with _lock:
        _traces -= 1
        if _traces:
            return
        for path, function in _originals.items():
            module, _, name = path.rpartition(".")
            setattr(sys.modules[module], name, function)
        _originals.clear()


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
        for path in STAND_INS if _traces else ():
            if path.rpartition(".")[0] == module.__name__:
                _stand_in(path)


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
        known = {id(function): _both(path, function) for path, function in tuple(_originals.items())}
        for guard in guards:
            if guard.kind in ("cell", "dict", "attr"):
                function = known.get(id(guard.expected))
                if function is None and (function := random_calls.borrow(guard.expected)) is not None:
                    borrowed.append(guard.expected)
                if function is not None:
                    _replace(guard, function)
                    replaced.append(guard)
        yield lambda function: known.get(id(function), function)
    finally:
        for guard in replaced:
            _put_back(guard)
        for value in borrowed:
            random_calls.give_back(value)
        _end()
