"""Machine code of loops on disk, so that the next process need not make it again.

A file holds the code of one loop for one processor, version of LLVM and version of the generator, all of which are in
its name. Files are written under another name and then renamed, so that nobody sees half of one; what is damaged all
the same is found by its checksum, and made again. Code from a directory that somebody else can write to is never run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tracer.config import config
from tracer.run.native.host import description

LIMIT = 64 << 20
"""Bytes of all files together above which the oldest go."""
KEPT_SHARE = 0.75
"""Share of the limit that stays when they do."""
FORGOTTEN = 3600.0
"""Seconds after which an unfinished file is taken for one that nobody will finish."""
_MAGIC = b"tracer1\n"
_CHECK = hashlib.sha256


class Store:
    """The files in one directory, which is made if it is not there.

    Raises OSError if it cannot be used, and PermissionError if others can write to it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory.resolve()
        _check_own(self.directory.stat(), str(self.directory))
        self._unseen = LIMIT

    def get(self, key: str) -> bytes | None:
        """What was stored under a key; None if there is nothing, or nothing that can be trusted."""
        path = self.directory / key
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
            with open(descriptor, "rb") as file:
                _check_own(os.fstat(descriptor), str(path))
                content = file.read()
            code = content[len(_MAGIC) + _CHECK().digest_size :]
            if content == _sealed(key, code):
                # The oldest file is the one that was not needed for longest.
                _quietly(os.utime, path)
                return code
            _log().info("%s is damaged and will be made again", path)
            path.unlink(missing_ok=True)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _log().info("%s cannot be used: %s", path, error)
        return None

    def put(self, key: str, code: bytes) -> None:
        """Store code under a key, if that can be done."""
        path = self.directory / key
        unfinished = self.directory / f"{key}.{os.getpid()}.{time.monotonic_ns()}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with open(os.open(unfinished, flags, 0o600), "wb") as file:
                file.write(_sealed(key, code))
            os.replace(unfinished, path)
        except OSError as error:
            _log().info("%s cannot be written: %s", path, error)
            _quietly(os.unlink, unfinished)
            return
        self._unseen += len(code)
        if self._unseen > LIMIT // 16:
            self._unseen = 0
            self.shrink()

    def shrink(self) -> None:
        """Keep within the limit: what was not used for longest goes first."""
        found = []
        for entry in _entries(self.directory):
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISREG(state.st_mode):
                continue
            if entry.name.endswith(".new") and state.st_mtime < time.time() - FORGOTTEN:
                _quietly(os.unlink, entry.path)
            else:
                found.append((state.st_mtime, state.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        if total <= LIMIT:
            return
        for _, size, path in sorted(found):
            if total <= KEPT_SHARE * LIMIT:
                return
            total -= size
            _quietly(os.unlink, path)


def store() -> Store | None:
    """Where `config.jit_cache` says that code is kept; None if it is not kept."""
    return None if config.jit_cache == "off" or not _version() else _store(config.jit_cache)


@cache
def _store(setting: str) -> Store | None:
    try:
        return Store(_default_directory() if setting == "auto" else Path(setting).expanduser())
    except (OSError, RuntimeError) as error:
        _log().info("native code is not kept on disk: %s", error)
        return None


def key_of(outline: tuple[Any, ...]) -> str:
    """The name of the code of a loop: all that it depends on."""
    digest = _CHECK(_version())
    digest.update("\n".join(_texts(outline)).encode())
    return digest.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        yield f"({len(value)}"
        for item in value:
            yield from _texts(item)
    elif isinstance(value, np.dtype):
        yield value.str
    elif hasattr(value, "__dataclass_fields__"):
        yield from _texts(tuple(vars(value).values()))
    else:
        yield repr(value)


def _sealed(key: str, code: bytes) -> bytes:
    return _MAGIC + _CHECK(key.encode() + code).digest() + code


def _check_own(state: os.stat_result, path: str) -> None:
    if hasattr(os, "geteuid") and (state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise PermissionError(f"{path} is not this user's alone to write")


def _quietly(action: Any, path: Any) -> None:
    try:
        action(path)
    except OSError:
        _log().debug("%s of %s failed", action.__name__, path)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _default_directory() -> Path:
    """Where programs of this system keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tracer" / "jit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tracer" / "jit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracer" / "jit"


# --- what code depends on besides its loop ------------------------------------------------------------------------


@cache
def _version() -> bytes:
    """The generator, LLVM and the processor; nothing if one of them cannot be told."""
    try:
        parts = [_generator(), _compiler(), _processor()]
    except (ImportError, OSError):
        return b""
    return _CHECK(b"\0".join(parts)).digest() if all(parts) else b""


def _generator() -> bytes:
    digest = _CHECK()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def _compiler() -> bytes:
    """Versions of llvmlite and of its LLVM, without importing them: that takes as long as several translations."""
    found = importlib.util.find_spec("llvmlite")
    if found is None or not found.submodule_search_locations:
        raise ImportError("llvmlite is not installed")
    place = Path(found.submodule_search_locations[0])
    libraries = sorted((place / "binding").glob("*llvmlite.*"))
    sizes = " ".join(f"{path.name} {path.stat().st_size}" for path in libraries)
    return (place / "_version.py").read_bytes() + sizes.encode() if libraries else b""


def _processor() -> bytes:
    """The kind of processor and what it can do."""
    if sys.platform != "linux":
        import llvmlite.binding as llvm

        return f"{sys.platform} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode()
    kinds = (b"vendor", b"cpu family", b"model", b"stepping", b"flags", b"Features", b"CPU ", b"isa")
    lines = [line for line in description().split(b"\n") if line.startswith(kinds)]
    return b"\n".join([os.uname().machine.encode(), *lines]) if lines else b""


def _log() -> Any:
    import logging  # here: it joins in forks, and must not turn up while one waits for the thread that imports this

    return logging.getLogger(__name__)
