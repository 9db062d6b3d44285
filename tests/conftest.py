"""What all tests share."""

import importlib.util
import os

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TRACER_VERIFY", "1")
# What one run of the tests leaves behind is not for the next one.
os.environ.setdefault("TRACER_JIT_CACHE", "off")

# Timings depend on the load of the machine; examples must not, or a failure could not be repeated.
hypothesis.settings.register_profile("tracer", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tracer")


def has_gpu() -> bool:
    """Whether CuPy is installed and sees a device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return cupy.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a GPU where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and a CUDA device"))
