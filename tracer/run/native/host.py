"""What the processor that this runs on can do."""

from __future__ import annotations

import platform
from functools import cache


@cache
def has_fused_multiply_add() -> bool:
    """Whether ``a * b + c`` is one instruction, on vectors too."""
    return (_can("fma") and _can("avx2")) or platform.machine().lower() in ("aarch64", "arm64")


@cache
def vector_bytes() -> int:
    """The widest vector that it computes with."""
    return 64 if _can("avx512f") else 32 if _can("avx2") else 16


def _can(feature: str) -> bool:
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(feature))
