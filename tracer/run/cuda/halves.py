"""Numbers of 16 bits in the memory of a GPU: arrays of float16, and float32 that `config.gpu_storage` keeps so.

Kernels compute with them in registers of float32. Of a float16 array each result is rounded, as NumPy does; what a
setting only stores so is rounded when it goes to memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

HALF = np.dtype(np.float16)
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
"""Stands for bfloat16 as the type of a buffer: NumPy has none, and no array is ever made of it."""


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether a number takes 16 bits of memory and a register of float32."""
    return dtype in (HALF, BFLOAT16)


def register_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a number in memory is once it is loaded."""
    return np.dtype(np.float32) if dtype == BFLOAT16 else dtype
