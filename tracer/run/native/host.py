"""What the processor that this runs on can do."""

from __future__ import annotations

import platform
import sys
from functools import cache


@cache
def has_fused_multiply_add() -> bool:
    """Whether ``a * b + c`` is one instruction, on vectors too."""
    return (_can("fma") and _can("avx2")) or platform.machine().lower() in ("aarch64", "arm64")


@cache
def vector_bytes() -> int:
    """The widest vector that it computes with."""
    return 64 if _can("avx512f") else 32 if _can("avx2") else 16


@cache
def description() -> bytes:
    """The lines of the first processor in Linux's own list, on Linux."""
    with open("/proc/cpuinfo", "rb") as file:
        return file.read(1 << 15).strip().split(b"\n\n")[0]


def _can(feature: str) -> bool:
    if sys.platform == "linux":
        # The same names, without importing llvmlite: code from disk needs no more of that.
        lines = [line.partition(b":") for line in description().split(b"\n")]
        return any(feature.encode() in names.split() for key, _, names in lines if key.strip() == b"flags")
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(feature))
