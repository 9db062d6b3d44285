"""What the processor that this runs on can do."""

from __future__ import annotations

import platform
from functools import cache


@cache
def has_fused_multiply_add() -> bool:
    """Whether ``a * b + c`` is one instruction, on vectors too."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return bool(features.get("fma") and features.get("avx2")) or platform.machine().lower() in ("aarch64", "arm64")
