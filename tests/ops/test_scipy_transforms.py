"""scipy.fft, scipy.signal and scipy.ndimage in traced functions: SciPy's values, and derivatives in both modes."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal
from scipy.ndimage import map_coordinates

import tracer

RNG = np.random.default_rng(0)
X, Y, K = RNG.normal(size=(5, 6)), RNG.normal(size=9), RNG.normal(size=(2, 3))
V = RNG.normal(size=4)
C = RNG.normal(size=(4, 5)) + 1j * RNG.normal(size=(4, 5))

TRANSFORMS = {
    **{
        f"{name}-{type}-{norm}": (lambda x, n=name, t=type, m=norm: getattr(scipy.fft, n)(x, type=t, norm=m), (X,))
        for name in ("dct", "idct", "dst", "idst")
        for type in (1, 2, 3, 4)
        for norm in (None, "ortho", "forward")
    },
    "dct-orthogonal": (lambda x: scipy.fft.dct(x, orthogonalize=True), (X,)),
    "dct-n": (lambda x: scipy.fft.dct(x, n=9, axis=0), (X,)),
    "dct-short": (lambda x: scipy.fft.dct(x, n=3), (X,)),
    "dctn": (lambda x: scipy.fft.dctn(x), (X,)),
    "idctn": (lambda x: scipy.fft.idctn(x, norm="ortho"), (X,)),
    "dstn-axes": (lambda x: scipy.fft.dstn(x, s=[4], axes=[0]), (X,)),
    "fft": (lambda x: np.abs(scipy.fft.fft(x, 8, axis=0)), (X,)),
    "fft2": (lambda x: np.abs(scipy.fft.fft2(x)) ** 2, (X,)),
    "fftn": (lambda x: np.real(scipy.fft.ifftn(scipy.fft.fftn(x) ** 2)), (X,)),
    "fftn-s": (lambda x: np.abs(scipy.fft.fftn(x, s=(4,))), (X,)),
    "rfft": (lambda x: scipy.fft.irfft(scipy.fft.rfft(x) ** 2, n=6), (X,)),
    "rfftn": (lambda x: scipy.fft.irfftn(scipy.fft.rfftn(x), s=(5, 6)), (X,)),
    "hfft": (lambda x: scipy.fft.hfft(x + 1j * x[::-1]), (X,)),
    "fftshift": (lambda x: scipy.fft.fftshift(x, axes=0) * scipy.fft.ifftshift(x), (X,)),
}
SIGNALS = {
    **{
        f"{name}-{mode}": (lambda a, b, n=name, m=mode: getattr(scipy.signal, n)(a, b, m), (X, K))
        for name in ("convolve", "fftconvolve", "oaconvolve", "correlate", "convolve2d", "correlate2d")
        for mode in ("full", "same", "valid")
    },
    **{
        f"{name}-1d-{mode}": (lambda a, b, n=name, m=mode: getattr(scipy.signal, n)(a, b, mode=m), (V, Y))
        for name in ("convolve", "correlate")
        for mode in ("full", "same", "valid")
    },
    **{
        f"{name}-{boundary}-{mode}": (
            lambda a, b, n=name, o=boundary, m=mode: getattr(scipy.signal, n)(a, b, m, o, 1.5),
            (X, K),
        )
        for name in ("convolve2d", "correlate2d")
        for boundary in ("fill", "wrap", "symm")
        for mode in ("full", "same", "valid")
    },
    "convolve-direct": (lambda a, b: scipy.signal.convolve(a, b, method="direct"), (Y, V)),
    "lfilter": (lambda b, a, x: scipy.signal.lfilter(b, a, x, axis=0), (V, np.array([1.5, 0.3, -0.2]), X)),
    "lfilter-fir": (lambda x: scipy.signal.lfilter([0.5, 0.3], 1.0, x), (X,)),
}
MODES = ("reflect", "constant", "nearest", "mirror", "wrap", "grid-wrap", "grid-mirror", "grid-constant")
AT = RNG.uniform(-7.3, 11.4, size=(2, 40))
IMAGES = {
    **{
        f"map-{order}-{mode}": (
            lambda x, at, o=order, m=mode: map_coordinates(x, at, order=o, mode=m, cval=0.7),
            (X, AT),
        )
        for order in (0, 1)
        for mode in MODES
    },
    **{
        f"correlate1d-{m}": (lambda x, w, m=m: scipy.ndimage.correlate1d(x, w, 0, mode=m, cval=2.0), (X, V))
        for m in MODES
    },
    "convolve1d": (lambda x, w: scipy.ndimage.convolve1d(x, w, origin=1), (X, V)),
    "convolve1d-odd": (lambda x, w: scipy.ndimage.convolve1d(x, w[:3], origin=-1), (X, V)),
    "correlate": (lambda x, w: scipy.ndimage.correlate(x, w, origin=(0, 1)), (X, K)),
    "convolve": (lambda x, w: scipy.ndimage.convolve(x, w, mode="wrap"), (X, K)),
    "gaussian": (lambda x: scipy.ndimage.gaussian_filter(x, (0.5, 0.8)), (X,)),
    "gaussian-order": (lambda x: scipy.ndimage.gaussian_filter1d(x, 0.6, order=1, mode="nearest"), (X,)),
    "gaussian-axes": (lambda x: scipy.ndimage.gaussian_filter(x, 0.7, axes=1, mode="constant", cval=1.0), (X,)),
    "uniform": (lambda x: scipy.ndimage.uniform_filter1d(x, 3, axis=0), (X,)),
}
CASES = TRANSFORMS | SIGNALS | IMAGES


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_derivatives(name):
    function, arrays = CASES[name]
    compiled = tracer.compile(function)
    for scale in (1.0, -0.6):
        given = [array if array is AT else array * scale for array in arrays]
        expected = function(*given)
        found = compiled(*given)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    if "map-0" not in name:
        tracer.testing.check_grads(function, arrays, order=1, modes=("reverse", "forward"), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "name", ["dct-2-None", "dst-3-ortho", "convolve-full", "correlate-same", "lfilter", "gaussian"]
)
def test_dtypes_are_scipys(name):
    function, arrays = CASES[name]
    for dtype in (np.float32, np.float64, np.int64)[: 2 if name == "lfilter" else 3]:  # which takes no integers
        given = [np.asarray(array * 3, dtype) for array in arrays]
        if name == "gaussian" and dtype is np.int64:
            with pytest.raises(tracer.errors.UnsupportedFunctionError, match="astype"):
                tracer.compile(function)(*given)
            continue
        expected, found = function(*given), tracer.compile(function)(*given)
        assert found.dtype == expected.dtype
        tolerance = 2e-5 if dtype is np.float32 else 1e-11
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_complex_values():
    for function in (
        lambda x: scipy.fft.dct(x),
        lambda x: scipy.signal.convolve(x, x[:2, :3]),
        lambda x: scipy.signal.correlate(x, x[:2, :3], "same"),
        lambda x: scipy.signal.lfilter([1.0, 0.5], [1.0, 0.2], x),
        lambda x: scipy.fft.ifft(x, norm="ortho"),
    ):
        np.testing.assert_allclose(tracer.compile(function)(C), function(C), rtol=1e-11, atol=1e-12)
        tracer.testing.check_grads(function, (C,), order=1, rtol=2e-5, atol=2e-6)


def test_second_order_and_batches():
    for function, arrays in (CASES["convolve-full"], CASES["lfilter"], CASES["dct-2-None"], CASES["map-1-nearest"]):
        tracer.testing.check_grads(function, arrays, order=2, modes=("reverse", "forward"), rtol=2e-5, atol=2e-5)
        batch = [np.stack([array, array * 0.5 + 0.1]) for array in arrays]
        expected = np.stack([function(*(item[place] for item in batch)) for place in range(2)])
        np.testing.assert_allclose(tracer.vmap(function)(*batch), expected, rtol=1e-11, atol=1e-12)
        for place in range(len(arrays)):
            axes = tuple(0 if place == other else None for other in range(len(arrays)))
            given = [batch[other] if place == other else arrays[other] for other in range(len(arrays))]
            examples = [[*arrays[:place], item, *arrays[place + 1 :]] for item in batch[place]]
            expected = np.stack([function(*example) for example in examples])
            np.testing.assert_allclose(tracer.vmap(function, axes)(*given), expected, rtol=1e-11, atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="same dimensionality"):
        tracer.compile(scipy.signal.convolve)(X, Y)
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="order=1"):
        tracer.compile(lambda x, at: map_coordinates(x, at))(X, AT)
    with pytest.raises(tracer.errors.UnsupportedFunctionError, match="from rest"):
        tracer.compile(lambda x: scipy.signal.lfilter([1.0], [1.0, 0.5], x, zi=np.zeros(1)))(Y)
    with pytest.raises(ValueError, match=r"(?i)transform type"):
        tracer.compile(lambda x: scipy.fft.dct(x, type=5))(Y)
