"""Modes by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from tracer import errors
from tracer.config import config
from tracer.errors import function as texts
from tracer.symbolic.checking_modes import DebugMode, MonitorMode, NanGuardMode
from tracer.symbolic.mode import Mode

predefined_modes: dict[str, Callable[[], Mode] | Mode] = {
    "Mode": Mode,
    "FAST_RUN": lambda: Mode(optimizer="fast_run"),
    "FAST_COMPILE": lambda: Mode(optimizer="fast_compile"),
    **dict.fromkeys(("DebugMode", "DEBUG_MODE"), DebugMode),
    "NanGuardMode": NanGuardMode,
    "MonitorMode": MonitorMode,
}


def register_mode(name: str, mode: Mode | Callable[[], Mode]) -> None:
    """Give a mode, or what makes one, a name. Raises ValueError for a name that there is."""
    if name in predefined_modes:
        raise ValueError(f"there already is a mode of the name {name!r}: {predefined_modes[name]}")
    predefined_modes[name] = mode


def get_mode(mode: Any = None) -> Mode:
    """The mode of a name; that of `config.mode` if None; a mode itself. Raises ValueError for an unknown name."""
    if mode is None:
        mode = config.mode
    if isinstance(mode, str):
        found = predefined_modes.get(mode)
        if found is None:
            near = difflib.get_close_matches(mode, predefined_modes) or list(predefined_modes)
            raise ValueError(errors.message(texts.UNKNOWN_CHOICE, what="mode", value=mode, known=tuple(near)))
        mode = found if isinstance(found, Mode) else found()
    if not isinstance(mode, Mode):
        known = tuple(predefined_modes)
        raise TypeError(errors.message(texts.UNKNOWN_CHOICE, what="mode", value=mode, known=known))
    return mode


def get_default_mode() -> Mode:
    """The mode of `config.mode`."""
    return get_mode(None)


FAST_RUN = get_mode("FAST_RUN")
FAST_COMPILE = get_mode("FAST_COMPILE")
