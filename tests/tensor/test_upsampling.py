"""Interpolated images against the transposed convolution by which they are defined."""

import numpy as np
import pytest
from scipy.signal import convolve2d
from tensor.symbolically import value

import tracer
import tracer.tensor as T
from tracer.tensor.nnet.abstract_conv import bilinear_upsampling


def by_convolution(image, ratio):
    """A triangle around every pixel of an image with a border of its own pixels."""
    rows, columns = image.shape
    bordered = np.pad(image, 1, mode="edge")
    spread = np.zeros(((rows + 2) * ratio, (columns + 2) * ratio))
    spread[::ratio, ::ratio] = bordered
    half = np.arange(1, ratio + 1) / ratio
    triangle = np.concatenate([half, half[-2::-1]])
    start = 2 * ratio - (ratio - 1) // 2 - 1
    full = convolve2d(spread, np.outer(triangle, triangle))
    return full[start : start + rows * ratio, start : start + columns * ratio]


@pytest.mark.parametrize("ratio", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_is_a_transposed_convolution(ratio, dtype):
    images = np.random.RandomState(0).randn(2, 3, 4, 5).astype(dtype)
    found = value(lambda x: bilinear_upsampling(x, ratio), images)
    assert found.dtype == dtype
    for sample, channel in np.ndindex(2, 3):
        expected = by_convolution(images[sample, channel].astype("float64"), ratio)
        np.testing.assert_allclose(found[sample, channel], expected, rtol=1e-5, atol=1e-6)


def test_its_gradient():
    T.verify_grad(lambda x: bilinear_upsampling(x, 3), [np.random.RandomState(0).randn(1, 2, 3, 2)], rng=np.random)


def test_one_row_of_pixels_becomes_several():
    x = tracer.tensor.TensorType("float64", (False, False, True, False))()
    assert bilinear_upsampling(x, 2).broadcastable == (False,) * 4
    assert bilinear_upsampling(x, 2).eval({x: np.ones((1, 1, 1, 2))}).shape == (1, 1, 2, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((T.dmatrix(), 2), ValueError, "four dimensions"),
        ((T.dtensor4(), 0), ValueError, "positive int"),
        ((T.dtensor4(), 1.5), ValueError, "positive int"),
        ((T.itensor4(), 2), TypeError, "real images"),
    ],
)
def test_what_it_does_not_take(arguments, error, text):
    with pytest.raises(error, match=text):
        bilinear_upsampling(*arguments)
