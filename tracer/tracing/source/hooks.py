"""What rewritten code calls: hooks for calls, reads, writes and operators, with which a trace follows it.

Outside of a trace, or in one that rewrites nothing, every hook does what the code it stands for did.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tracer.tracing import trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.source import nests, rewriting
from tracer.tracing.source.rolling import Loop
from tracer.tracing.source.session import BINARY, IN_PLACE, UNARY, Session, is_traced


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


def _iterated(value: Any) -> Any:
    session = _session()
    return value if session is None else session.iterated(value)


def _items(function: Any, /, *sources: Any, **options: Any) -> Any:
    session = _session()
    return function(*sources, **options) if session is None else session.items(function, sources, options)


def _loop(values: Any, assigned: tuple[str, ...], handed_on: tuple[str, ...], pattern: tuple[Any, ...] | None) -> Any:
    session = _session()
    rolling = None if session is None else session.rolling
    return Loop(
        rolling, values, assigned, handed_on, None if pattern is None else lambda item: _taken_apart(item, pattern)
    )


def _truth(value: Any) -> Any:
    session = _session()
    return value if session is None else session.truth(value)


def _number(value: Any) -> Any:
    session = _session()
    if session is not None:
        session.note_number(value)
    return value


def _text(value: Any) -> Any:
    session = _session()
    return value if session is None else session.text(value)


def _taken_apart(value: Any, pattern: tuple[Any, ...]) -> Any:
    session = _session()
    return value if session is None else session.taken_apart(value, pattern)


def _contains(item: Any, holder: Any, is_in: bool) -> Any:
    session = _session()
    if session is None:
        return (item in holder) == is_in
    return session.contains(item, holder, is_in)


def _context(value: Any) -> Any:
    session = _session()
    return value if session is None else session.context(value)


def _each_taken_apart(values: Any, pattern: tuple[Any, ...]) -> Any:
    return values if _session() is None else (_taken_apart(value, pattern) for value in values)


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
    return BINARY[name](left, right) if session is None else session.binary(name, left, right)


def _unary(name: str, value: Any) -> Any:
    session = _session()
    return UNARY[name](value) if session is None else session.unary(name, value)


def _in_place(name: str, left: Any, right: Any) -> Any:
    session = _session()
    return IN_PLACE[name](left, right) if session is None else session.in_place(name, left, right)


def _in_place_item(name: str, holder: Any, key: Any, value: Any) -> None:
    session = _session()
    if session is not None:
        holder, key = session.target(holder, key)
    is_array = isinstance(holder, np.ndarray) and holder.dtype != object
    if session is not None and is_array and (is_traced((value, key)) or not session.lifting.is_fresh(holder)):
        holder = session.lifting.lift(holder)
    if isinstance(holder, Proxy):
        holder[nests.array_key(key)] = IN_PLACE[name](holder[nests.array_key(key)], nests.as_array(value))
    else:
        made = _in_place(name, _raw_item(holder, key), value)
        _set_item(_read(made) if isinstance(holder, np.flatiter) else made, holder, key)


def _raw_item(holder: Any, key: Any) -> Any:
    """An item as its container holds it: what is written back must not be what stands for it."""
    return holder[key] if isinstance(holder, list | dict) else _item(holder, key)


def _in_place_attribute(name: str, holder: Any, attribute: str, value: Any) -> None:
    _set_attribute(_in_place(name, getattr(holder, attribute), value), holder, attribute)


rewriting.HOOKS.update(
    call=_call,
    read=_read,
    iterated=_iterated,
    items=_items,
    loop=_loop,
    truth=_truth,
    number=_number,
    text=_text,
    taken_apart=_taken_apart,
    each_taken_apart=_each_taken_apart,
    contains=_contains,
    context=_context,
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
