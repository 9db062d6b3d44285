"""A GPU that is not there: CuPy's stand-in, with kernels compiled as C++."""

import sys
import types

import pytest
from cuda import cupy_double
from cuda.player import Library

from tracer import device
from tracer.run.cuda import executor


class RawModule:
    """Kernels of a source, built when the first one is asked for."""

    def __init__(self, code, options=()):
        self.module = types.SimpleNamespace(source=code)
        self.library = None

    def get_function(self, name):
        if self.library is None:
            self.library = Library([self.module])

        def launch(grid, block, pointers, shared_mem=0):
            assert all(type(pointer) is int for pointer in pointers)
            work = types.SimpleNamespace(name=name, grid=grid, block=block)
            cupy_double.launch(name, lambda: self.library.launch(work, pointers))

        return launch


@pytest.fixture
def gpu(monkeypatch):
    """The stand-in, as `import cupy` finds it."""
    for name, module in cupy_double.modules(RawModule).items():
        monkeypatch.setitem(sys.modules, name, module)
    device.cupy.cache_clear()
    cupy_double.launches.clear()
    cupy_double.mixed_products.clear()
    executor.STREAMS.clear()
    yield cupy_double
    device.cupy.cache_clear()
