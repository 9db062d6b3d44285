"""Fourier transforms in Theano's layout: batches first, real and imaginary parts last."""

import numpy as np
import pytest
from tensor.symbolically import value

import tracer
from tracer.tensor import fft
from tracer.tensor.types import dvector

SHAPES = [(2, 6), (1, 5), (3, 4, 6), (2, 3, 5), (2, 3, 4, 5)]


def data(shape):
    return np.random.default_rng(3).standard_normal(shape)


def parts(spectrum):
    return np.stack([spectrum.real, spectrum.imag], axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", [None, "ortho", "no_norm"])
def test_there_and_back(shape, norm):
    x = data(shape)
    axes = tuple(range(1, x.ndim))
    spectrum = value(lambda x: fft.rfft(x, norm), x)
    np.testing.assert_allclose(spectrum, parts(np.fft.rfftn(x, axes=axes, norm="ortho" if norm == "ortho" else None)))
    back = value(lambda y: fft.irfft(y, norm, is_odd=shape[-1] % 2 == 1), spectrum)
    size = np.prod(shape[1:]) if norm == "no_norm" else 1
    np.testing.assert_allclose(back, x * size, atol=1e-12)


@pytest.mark.parametrize("norm", [None, "ortho", "no_norm"])
def test_derivatives(norm):
    x = data((2, 3, 4))
    tracer.testing.check_grads(lambda x: fft.rfft(x, norm), (x,), order=1)
    tracer.testing.check_grads(lambda y: fft.irfft(y, norm, is_odd=True), (data((2, 3, 2)),), order=1)


def test_single_precision_stays():
    x = data((2, 6)).astype(np.float32)
    assert value(fft.rfft, x).dtype == np.float32
    assert value(fft.irfft, value(fft.rfft, x)).dtype == np.float32


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"norm='other'.*\nHINT"):
        fft.rfft(data((2, 3)), "other")
    with pytest.raises(TypeError, match=r"rfft takes a batch of at least 2.*\nHINT"):
        fft.rfft(dvector("x"))
    with pytest.raises(TypeError, match="irfft takes a batch of at least 3"):
        fft.irfft(data((2, 3)))
    with pytest.raises(ValueError, match="is_odd"):
        fft.irfft(data((2, 3, 2)), is_odd=3)
