"""`tracer.doctor()`: what this machine has, what of it works, and how to get what is missing."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tracer import device
from tracer.config import config
from tracer.errors import DeviceError
from tracer.run import cpu

_OLDEST_CUDA = 12
"""The oldest version of CUDA that CuPy is made for."""
_GIB = 1 << 30


def doctor() -> None:
    """Print what is installed, what works, and what to install for the rest.

    Everything that is said to work has been tried: a loop in the CPU's kernels, and a kernel on each GPU. Nothing is
    raised where something is missing.

    Examples
    --------
    >>> import tracer
    >>> tracer.doctor()  # doctest: +ELLIPSIS
    tracer ...
    CPU
      kernels: ...
    """
    print("\n".join(_lines()))


def _lines() -> Iterator[str]:
    system = f"{platform.system()} {platform.machine()}"
    yield f"tracer {_version('tracer-autodiff') or 'as it lies'}, Python {platform.python_version()}, {system}"
    yield "CPU"
    yield f"  kernels: {cpu.instruction_set()}, {config.threads} threads: {_tried(_cpu_works)}"
    yield f"  NumPy {np.__version__}, SciPy {_version('scipy')}"
    llvmlite = _version("llvmlite")
    missing = "not installed; with it, hot loops become native code: pip install llvmlite"
    yield f"  llvmlite {llvmlite or missing}"
    yield "GPU"
    yield from (f"  {line}" for line in _gpu_lines())


def _gpu_lines() -> Iterator[str]:
    driver = _driver_version()
    missing = "none (no libcuda); without it no GPU can be used"
    yield f"driver: {missing if driver is None else f'CUDA {driver[0]}.{driver[1]}'}"
    install = "" if driver is None else f"; pip install {_cupy_for(driver)}"
    if driver is not None and driver[0] < _OLDEST_CUDA:
        yield f"the driver is too old for CuPy: CUDA {_OLDEST_CUDA} or later is needed"
        return
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        yield f"CuPy: {error if 'cupy' in sys.modules else 'not installed'}{install}"
        return
    yield f"CuPy {cupy.__version__}"
    try:
        device.cupy()
    except DeviceError as error:
        yield str(error).splitlines()[0]
        return
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        found = cupy.cuda.runtime.getDeviceProperties(number)
        name = found["name"].decode()
        memory = found["totalGlobalMem"] / _GIB
        yield f"device {number}: {name}, {memory:.0f} GiB, compute capability {found['major']}.{found['minor']}"
        yield f"  a kernel: {_tried(lambda number=number: _gpu_works(cupy, number))}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _tried(work: Any) -> str:
    try:
        return "works" if work() else "gives wrong numbers"
    except Exception as error:  # whatever it is, it is what there is to tell
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _sum_of_squares(x: Any) -> Any:
    return np.sum(x * x)


def _cpu_works() -> bool:
    from tracer.api import compile

    return float(compile(_sum_of_squares, device="cpu")(np.arange(1000.0))) == 332833500.0


def _gpu_works(cupy: Any, number: int) -> bool:
    from tracer.api import compile

    with cupy.cuda.Device(number):
        return float(compile(_sum_of_squares)(cupy.arange(1000.0))) == 332833500.0


def _driver_version() -> tuple[int, int] | None:
    """The newest version of CUDA that the driver takes; None without a driver."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(number)):
        return None
    return number.value // 1000, number.value % 1000 // 10


def _cupy_for(driver: tuple[int, int]) -> str:
    return "cupy-cuda13x" if driver[0] >= 13 else "cupy-cuda12x"
