"""The kernels that sort by digits, against NumPy's stable sort, and what they leave to the function instead."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.building import build_call, refuse

import tracer


def samples(dtype: str, *shape: int) -> list[np.ndarray]:
    """Numbers all different, many equal ones, and for floats what has no order of its own."""
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "i":
        limits = np.iinfo(dtype)
        found = [rng.integers(limits.min, limits.max, shape, dtype, endpoint=True), rng.integers(-3, 3, shape, dtype)]
        found[0].flat[:2] = limits.max, limits.min
        return found
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e-40, 1.0, -1.0])
    return [rng.normal(size=shape).astype(dtype), rng.choice(odd, shape).astype(dtype)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_places_and_numbers_are_numpys(dtype: str, threads: int) -> None:
    with tracer.config.changed(threads=threads):
        for shape, axis in (((3000,), 0), ((3, 513, 2), 1), ((600, 40), 0)):
            for dense in samples(dtype, *shape):
                wide = np.repeat(dense, 2, axis=-1)[..., ::-2]
                for x in (dense, np.asfortranarray(dense), wide):
                    places = np.argsort(x, axis=axis, kind="stable")
                    values = np.take_along_axis(x, places, axis)
                    found = build_call(f"sorted {axis}", [x], [values, places], refuse).run([x])
                    np.testing.assert_array_equal(found[1], places)
                    assert found[0].tobytes() == values.tobytes()
                    (alone,) = build_call(f"sorted {axis}", [x], [places], refuse).run([x])
                    np.testing.assert_array_equal(alone, places)


def test_short_rows_and_other_types_go_to_the_function() -> None:
    for x in (np.arange(20.0)[::-1], np.arange(600).astype("u8"), np.zeros((0, 600))):
        places = np.argsort(x, axis=-1, kind="stable")
        kernel = f"sorted {x.ndim - 1}"
        (found,) = build_call(kernel, [x], [places], lambda x: np.argsort(x, axis=-1, kind="stable")).run([x])
        np.testing.assert_array_equal(found, places)


@pytest.mark.parametrize("kernel", ["sorted", "sorted 1", "sorted x"])
def test_malformed_calls_are_refused(kernel: str) -> None:
    x = np.arange(600.0)
    with pytest.raises(ValueError, match="Call"):
        build_call(kernel, [x], [np.arange(600)], refuse)
