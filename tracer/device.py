"""Arrays on a GPU, which are CuPy's: told apart without importing CuPy, and moved between the host and the GPU."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors.device import NO_CUPY, NO_GPU

_DLPACK_CUDA = (2, 13)
"""kDLCUDA and kDLCUDAManaged of DLPack's DLDeviceType."""


@cache
def cupy() -> Any:
    """The module of CuPy, of which a GPU works. Raises DeviceError if there is none."""
    try:
        import cupy
    except ImportError as error:
        raise errors.DeviceError(NO_CUPY.format(reason=error)) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # of a class that needs CUDA itself
        raise errors.DeviceError(NO_GPU.format(reason=error)) from None
    if count == 0:
        raise errors.DeviceError(NO_GPU.format(reason="there are none"))
    return cupy


def array_type() -> Any:
    """The class of CuPy's arrays; None as long as nobody has imported CuPy."""
    return getattr(sys.modules.get("cupy"), "ndarray", None)


def is_on_gpu(value: Any) -> bool:
    """Whether something is an array on a GPU: CuPy's, or of a library that lends its memory."""
    if isinstance(value, np.ndarray | np.generic):
        return False
    found = array_type()
    if found is not None and isinstance(value, found):
        return True
    return not isinstance(value, type) and (_has_interface(value) or _speaks_dlpack(value))


def _has_interface(value: Any) -> bool:
    # PyTorch raises AttributeError for its arrays on the CPU.
    return getattr(value, "__cuda_array_interface__", None) is not None


def _speaks_dlpack(value: Any) -> bool:
    """Whether an array tells by DLPack that it is in a GPU's memory."""
    ask = getattr(value, "__dlpack_device__", None)
    return ask is not None and ask()[0] in _DLPACK_CUDA


def to_gpu(value: Any) -> Any:
    """An array as one of CuPy: itself, or the same memory, or a contiguous copy of one on the host."""
    if type(value) is array_type():
        return value
    if not is_on_gpu(value):
        return cupy().asarray(value, order="C")
    return cupy().asarray(value) if _has_interface(value) else cupy().from_dlpack(value)


def moved(value: Any, on_gpu: bool) -> Any:
    """An array where it is wanted: itself if it is there."""
    if is_on_gpu(value) == on_gpu:
        return value
    return to_gpu(value) if on_gpu else to_host(value)


def to_host(value: Any) -> np.ndarray[Any, Any]:
    """An array as one of NumPy: itself, or a copy once all that has been asked of the GPU is done."""
    if isinstance(value, np.ndarray):
        return value
    return cupy().asnumpy(to_gpu(value)) if is_on_gpu(value) else np.asarray(value)


def brought_home(values: Sequence[Any], stay: Sequence[bool]) -> list[Any]:
    """Results of a run: those that stay where they are, and the others on the host."""
    return [value if kept else to_host(value) for value, kept in zip(values, stay, strict=True)]
