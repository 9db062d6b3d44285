import pickle

import numpy as np
import pytest
from tensor.symbolically import value

import tracer
import tracer.tensor as T

DTYPES = {
    "b": "int8",
    "w": "int16",
    "i": "int32",
    "l": "int64",
    "f": "float32",
    "d": "float64",
    "c": "complex64",
    "z": "complex128",
}
KINDS = {
    "scalar": (),
    "vector": (False,),
    "row": (True, False),
    "col": (False, True),
    "matrix": (False, False),
    "tensor3": (False, False, False),
    "tensor4": (False, False, False, False),
    "tensor5": (False,) * 5,
    "tensor6": (False,) * 6,
    "tensor7": (False,) * 7,
}


@pytest.mark.parametrize("letter", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_constructors(letter, kind):
    constructor = getattr(T, letter + kind)
    variable = constructor("x")
    for type_ in (constructor, variable.type, variable):
        assert (type_.dtype, type_.ndim, type_.broadcastable) == (DTYPES[letter], len(KINDS[kind]), KINDS[kind])
    assert constructor.shape == tuple(1 if item else None for item in KINDS[kind])
    assert variable.name == "x"
    assert variable.type is constructor
    assert constructor().name is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_letter_it_is_float_x(kind):
    assert getattr(T, kind)("x").type == T.TensorType("float64", KINDS[kind])
    with tracer.config.changed(floatX="float32"):
        assert getattr(T, kind)("x").dtype == "float32"
    assert getattr(T, kind)("x", dtype="int16").dtype == "int16"
    assert getattr(T, kind)(dtype=np.uint8).dtype == "uint8"
    assert getattr(T, kind).__name__ == kind


@pytest.mark.parametrize("letter", ["", *DTYPES])
@pytest.mark.parametrize("kind", KINDS)
def test_several_at_once(letter, kind):
    several = getattr(T, letter + ("matrices" if kind == "matrix" else kind + "s"))
    expected = T.TensorType(DTYPES.get(letter, "float64"), KINDS[kind])
    x, y = several("x", "y")
    assert (x.name, y.name, x.type, y.type) == ("x", "y", expected, expected)
    assert [item.name for item in several("abc")] == ["a", "b", "c"]
    assert [item.name for item in several(["left", "right"])] == ["left", "right"]
    assert [item.name for item in several(2)] == [None, None]
    assert several("x").name == "x"


def test_any_tensor():
    assert T.tensor("float32", (True, False, True), name="x").type == T.TensorType("float32", (True, False, True))
    assert T.tensor("int8", shape=(None, 1)).broadcastable == (False, True)
    assert T.tensor("floatX", ()).dtype == "float64"


def test_a_type_says_what_it_is():
    names = [str(kind) for kind in (T.dscalar, T.fvector, T.irow, T.bcol, T.zmatrix, T.dtensor3)]
    assert names == [
        "TensorType(float64, scalar)",
        "TensorType(float32, vector)",
        "TensorType(int32, row)",
        "TensorType(int8, col)",
        "TensorType(complex128, matrix)",
        "TensorType(float64, 3D)",
    ]
    assert T.TensorType("float64", (False, True)) == T.dcol
    assert T.dcol != T.dmatrix


def test_types_are_pickled():
    x = T.dmatrix("x")
    copy = pickle.loads(pickle.dumps(x))
    assert (copy.type, copy.name) == (T.dmatrix, "x")


def test_classes_of_variables():
    x = T.dmatrix("x")
    assert isinstance(x, T.TensorVariable)
    assert isinstance(T.constant([1.0]), T.TensorConstant)
    assert isinstance(tracer.shared(np.zeros(3)), T.TensorSharedVariable)


def test_programs_take_every_dtype():
    for letter, dtype in DTYPES.items():
        x = np.ones((2, 3), dtype)
        found = value(lambda a: a + a, x)
        assert found.dtype == dtype == getattr(T, letter + "matrix")().dtype


def test_a_bad_name_or_dtype_is_an_error():
    with pytest.raises(TypeError, match="a variable's name must be a string, not 3"):
        T.dmatrix(3)
    with pytest.raises(TypeError, match="float16"):
        T.matrix("x", dtype="float16")
