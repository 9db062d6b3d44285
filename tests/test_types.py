"""Array types: promotion, broadcasting and shapes are NumPy's."""

import itertools

import numpy as np
import pytest

from tracer import types

SHAPES = [(), (1,), (3,), (2, 1), (2, 3), (1, 1, 3), (0,), (4, 2, 3)]


@pytest.mark.parametrize(("left", "right"), list(itertools.product(SHAPES, SHAPES)))
def test_broadcasting_is_numpys(left, right):
    try:
        expected = np.broadcast_shapes(left, right)
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            types.broadcast_shapes(left, right)
    else:
        assert types.broadcast_shapes(left, right) == expected


def test_unknown_dimensions_are_never_one():
    assert types.broadcast_shapes((None, 3), (3,)) == (None, 3)
    assert types.broadcast_shapes((None,), (1,)) == (None,)
    assert types.broadcast_shapes((None,), (5,)) == (5,)


@pytest.mark.parametrize("scalar", [int, float, complex])
@pytest.mark.parametrize("dtype", types.DTYPES, ids=str)
def test_python_scalars_are_weak(dtype, scalar):
    expected = np.result_type(dtype, scalar(0))
    assert types.promote([dtype, scalar]) == expected
    if not (dtype.kind == "b"):
        assert types.resolve_ufunc(np.add, (dtype, scalar))[-1] == np.add(np.zeros((), dtype), scalar(1)).dtype


def test_axes():
    assert types.normalize_axes(None, 3) == (0, 1, 2)
    assert types.normalize_axes([-1, 0], 3) == (0, 2)
    with pytest.raises(np.exceptions.AxisError):
        types.normalize_axes(3, 3)
    with pytest.raises(ValueError, match="duplicate"):
        types.normalize_axes((0, -3), 3)


def test_unknown_shapes_say_so():
    with pytest.raises(ValueError, match="known"):
        _ = types.ArrayType(np.dtype(float), (None, 2)).size
    assert str(types.ArrayType(np.dtype(float), (None, 2))) == "float64[?, 2]"
