"""The kernels that run NumPy's transforms, against numpy.fft, and what they leave to the function instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.building import build_call, refuse

import tracer
from tracer import _kernels


def unscaled(name: str, x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """What the kernel of this name gives."""
    if name == "irfft":
        return np.fft.irfft(x, n=size, axis=axis, norm="forward")
    if name == "ifft":
        return np.fft.ifft(x, axis=axis, norm="forward")
    return getattr(np.fft, name)(x, axis=axis)


def points(name: str, precision: str, shape: tuple[int, ...], axis: int, seed: int = 0) -> np.ndarray:
    if name == "irfft":
        shape = (*shape[:axis], shape[axis] // 2 + 1, *shape[axis + 1 :])
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) + (0 if name == "rfft" else 1j * rng.normal(size=shape))
    return x.astype(precision if name == "rfft" else "F" if precision == "f" else "D")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("precision", ["f", "d"])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft"])
def test_numbers_are_numpys(name: str, precision: str, threads: int) -> None:
    """Over any axis, size and layout, in one piece or in many."""
    cases = [((1,), 0), ((5,), 0), ((4, 6), 0), ((3, 1, 7), 1), ((37, 130), 1), ((130, 37), 0), ((5, 64, 41), 1)]
    with tracer.config.changed(threads=threads):
        for shape, axis in cases:
            dense = points(name, precision, shape, axis)
            wide = np.repeat(dense, 2, axis=-1)[..., ::2]
            for x in (dense, np.asfortranarray(dense), wide, wide[::-1]):
                wanted = unscaled(name, x, axis, shape[axis])
                (found,) = build_call(f"fourier {name} {axis}", [x], [wanted], refuse).run([x])
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted)


def test_other_numbers_go_to_the_function() -> None:
    """Real numbers to a transform of complex ones, and arrays without points."""
    for x in (np.ones((2, 3)), np.ones((0, 3), complex)):
        wanted = np.fft.fft(x)
        (found,) = build_call("fourier fft 1", [x], [wanted], lambda x: np.fft.fft(x)).run([x])
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kernel", ["fourier fft 2", "fourier dct 0", "fourier fft", "fourier rfft 1"])
def test_malformed_calls_are_refused(kernel: str) -> None:
    x = np.ones((2, 3), complex)
    with pytest.raises(ValueError, match="Call"):
        build_call(kernel, [x], [x], refuse)


def test_what_is_not_finite_stays_so() -> None:
    x = points("fft", "d", (40, 64), 1)
    x[3, 5], x[17, 2] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        wanted = np.fft.fft(x)
    (found,) = build_call("fourier fft 1", [x], [wanted], refuse).run([x])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("transform", [np.fft.rfft, np.fft.fft, np.fft.ifft, np.fft.fft2, np.fft.irfft])
def test_functions_run_by_kernels(transform: Callable[..., Any]) -> None:
    """Compiled functions call no Python for one axis, and are right on other values."""
    one_axis = transform is not np.fft.fft2
    function = tracer.compile(lambda x: transform(x * (1 + 0j) if transform is not np.fft.rfft else x))
    for seed in range(2):
        x = np.random.default_rng(seed).normal(size=(6, 10))
        np.testing.assert_allclose(function(x), transform(x), rtol=1e-12, atol=1e-12)
    names = [step[0] for step in _steps(function, x)]
    assert any(name.startswith("fourier") for name in names) is one_axis, names


def _steps(function: Any, x: np.ndarray) -> list[Any]:
    native: _kernels.Program = function.plan(x).executable.native
    return native.steps()
