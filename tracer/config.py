"""Settings that hold for the whole process, read from the environment when the package is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class Config:
    """Process-wide settings.

    Attributes
    ----------
    threads : int
        Threads that kernels may use (environment: ``TRACER_THREADS``; default: the CPUs of this process).
    check_nan : bool
        Raise FloatingPointError, naming the user's line, when a compiled function makes a NaN
        (environment: ``TRACER_CHECK_NAN=1``).
    backend : str
        Default executor of compiled functions: "cpu" or "reference" (environment: ``TRACER_BACKEND``).
    verify : bool
        Verify the graph after every pass (environment: ``TRACER_VERIFY=1``; the tests set it).

    Examples
    --------
    >>> import tracer
    >>> with tracer.config.changed(check_nan=True):
    ...     tracer.config.check_nan
    True
    """

    _choices: ClassVar[dict[str, tuple[str, ...]]] = {"backend": ("cpu", "reference")}

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}
        self.threads: int = _environment_int("TRACER_THREADS", len(os.sched_getaffinity(0)) if _HAS_AFFINITY else 1)
        self.check_nan: bool = os.environ.get("TRACER_CHECK_NAN", "0") == "1"
        self.backend: str = os.environ.get("TRACER_BACKEND", "cpu")
        self.verify: bool = os.environ.get("TRACER_VERIFY", "0") == "1"

    def __setattr__(self, name: str, value: Any) -> None:
        if "verify" in self.__dict__ and name not in self.__dict__:
            known = ", ".join(sorted(key for key in self.__dict__ if not key.startswith("_")))
            raise AttributeError(f"tracer.config has no setting {name!r}; the settings are: {known}")
        if name in self._choices and value not in self._choices[name]:
            raise ValueError(f"tracer.config.{name} must be one of {self._choices[name]}, not {value!r}")
        if name == "threads" and (not isinstance(value, int) or value < 1):
            raise ValueError(f"tracer.config.threads must be a positive int, not {value!r}")
        self.__dict__[name] = value
        if not name.startswith("_"):
            for listener in self._listeners.get(name, ()):
                listener(value)

    def listen(self, name: str, listener: Callable[[Any], None]) -> None:
        """Call a function with the value of a setting, now and whenever it changes."""
        self._listeners.setdefault(name, []).append(listener)
        listener(getattr(self, name))

    @contextmanager
    def changed(self, **settings: Any) -> Iterator[Config]:
        """Change settings for the length of a `with` block.

        Raises AttributeError for an unknown setting and ValueError for a bad value.
        """
        before = {name: getattr(self, name) for name in settings if hasattr(self, name)}
        try:
            for name, value in settings.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")


def _environment_int(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default if _HAS_AFFINITY else (os.cpu_count() or 1)
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"environment variable {name} must be a positive int, not {text!r}")
    return int(text)


config = Config()
