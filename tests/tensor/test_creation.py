import numpy as np
import pytest
from tensor.symbolically import value

import tracer
import tracer.tensor as T
from tracer.symbolic.program import SymbolicProgram
from tracer.tracing.symbolic_type import GenericType


def numbers(*shape):
    return np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape) + 1


def compiled(inputs, *outputs):
    """A function of the inputs."""
    program = SymbolicProgram(inputs, list(outputs), {}, "test")

    def call(*values):
        found = program(*(item.type.filter(value) for item, value in zip(inputs, values, strict=True)))
        return found[0] if len(outputs) == 1 else found

    return call


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_filled_tensors(name):
    function = getattr(T, name)
    x, n = T.dmatrix("x"), T.iscalar("n")
    outputs = [
        function(3),
        function((2, 3)),
        function([2, 1], dtype="int32"),
        function(np.array([1, 2])),
        function(()),
        function(n),
        function((n, 2)),
        function((x.shape[0], n)),
        function(x.shape),
        function(x.shape[:1]),
        function(T.stack([n, n])),
    ]
    shapes = [(3,), (2, 3), (2, 1), (1, 2), (), (5,), (5, 2), (4, 5), (4, 6), (4,), (5, 5)]
    for found, shape, variable in zip(compiled([x, n], *outputs)(numbers(4, 6), 5), shapes, outputs, strict=True):
        assert found.shape == shape
        assert found.dtype == variable.dtype
        np.testing.assert_array_equal(found, 1.0 if name == "ones" else 0.0)
    assert outputs[2].type == T.icol
    assert outputs[3].type == T.drow
    with tracer.config.changed(floatX="float32"):
        assert function(3).dtype == function(3, dtype="floatX").dtype == "float32"
    with pytest.raises(ValueError, match=r"(?s)how many elements shape has is not known.*HINT"):
        function(T.lvector("shape"))


def test_like():
    x = T.fmatrix("x")
    for found in (T.zeros_like(x), T.ones_like(x), x.zeros_like(), x.ones_like(), np.zeros_like(x), T.full_like(x, 2)):
        assert found.type == T.fmatrix
    assert T.zeros_like(x, dtype="int8").type == T.bmatrix
    data = numbers(2, 3)
    np.testing.assert_array_equal(value(lambda a: T.ones_like(a) + T.zeros_like(a), data), np.ones((2, 3)))
    np.testing.assert_array_equal(value(lambda a: T.full_like(a, 7), data), np.full((2, 3), 7.0))
    np.testing.assert_array_equal(value(lambda a: T.identity_like(a), data), np.eye(2, 3))
    assert T.identity_like(x).dtype == "float32"


def test_alloc_fill_and_full():
    x, n = T.dvector("x"), T.lscalar("n")
    outputs = [
        T.alloc(x, n, x.shape[0]),
        T.alloc(2.5, 3),
        T.alloc(1, n, 1),
        T.full((n, 2), 3),
        T.full(n, 1.5, dtype="float32"),
    ]
    outputs += [T.fill(T.alloc(x, n, x.shape[0]), 4), T.second(n, x), T.fill(x, x[0])]
    rows, three, ones, full, half, four, second, first = compiled([x, n], *outputs)([1, 2], 3)
    np.testing.assert_array_equal(rows, [[1, 2]] * 3)
    assert three.tolist() == [2.5] * 3
    assert (ones.shape, ones.dtype, outputs[2].type) == ((3, 1), np.int64, T.lcol)
    assert (full.tolist(), full.dtype) == ([[3, 3]] * 3, np.int64)
    assert (half.tolist(), half.dtype) == ([1.5] * 3, np.float32)
    np.testing.assert_array_equal(four, np.full((3, 2), 4))
    assert (second.tolist(), first.tolist()) == ([1, 2], [1, 1])
    with pytest.raises(TypeError, match="x has 1 dimensions and cannot fill a shape of 0"):
        T.alloc(x, ())


def test_arange():
    n = T.lscalar("n")
    outputs = [
        T.arange(n),
        T.arange(2, n),
        T.arange(n, 0, -2),
        T.arange(0.0, 1.0, 0.25),
        T.arange(n, dtype="float32"),
        T.arange(5),
    ]
    for found, expected in zip(
        compiled([n], *outputs)(7),
        [
            np.arange(7),
            np.arange(2, 7),
            np.arange(7, 0, -2),
            np.arange(0, 1, 0.25),
            np.arange(7, dtype=np.float32),
            np.arange(5),
        ],
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert [item.dtype for item in outputs] == ["int64", "int64", "int64", "float64", "float32", "int64"]
    assert T.arange(T.iscalar("i")).dtype == "int64"
    assert T.arange(T.dscalar("d")).dtype == "float64"
    x = T.dmatrix("x")
    assert compiled([x], x[T.arange(x.shape[0]), T.arange(x.shape[0])])(numbers(3, 4)).tolist() == [1, 6, 11]
    with pytest.raises(ValueError, match="arange needs scalars, not x"):
        T.arange(x)


def test_grids():
    n = T.lscalar("n")
    rows, columns = T.mgrid[0:n, 2:5]
    thin, wide = T.ogrid[0:n, 0:1:0.5]
    found = compiled([n], rows, columns, thin, wide, T.mgrid[1:n])(3)
    for result, expected in zip(found, [*np.mgrid[0:3, 2:5], *np.ogrid[0:3, 0:1:0.5], np.mgrid[1:3]], strict=True):
        np.testing.assert_array_equal(result, expected)
    x, y, z = T.mgrid[0:2, 0:3, 0:4:2]
    assert compiled([], x, y, z)()[2].tolist() == np.mgrid[0:2, 0:3, 0:4:2][2].tolist()


def test_diagonals_and_triangles():
    n, k = T.iscalar("n"), T.lscalar("k")
    outputs = [T.eye(n), T.eye(n, 3), T.eye(3, 4, 1), T.eye(n, k=k), T.tri(n), T.tri(3, n, k), T.eye(2, dtype="int32")]
    expected = [
        np.eye(4),
        np.eye(4, 3),
        np.eye(3, 4, 1),
        np.eye(4, k=-1),
        np.tri(4),
        np.tri(3, 4, -1),
        np.eye(2, dtype=np.int32),
    ]
    for found, wanted in zip(compiled([n, k], *outputs)(4, -1), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
    x = numbers(3, 4)
    for function, numpy_function in [
        (T.tril, np.tril),
        (T.triu, np.triu),
        (T.diag, np.diag),
        (T.diagonal, np.diagonal),
        (T.trace, np.trace),
        (T.extract_diag, np.diagonal),
    ]:
        for offset in (0, 1, -1):
            np.testing.assert_array_equal(value(lambda a, f=function, o=offset: f(a, o), x), numpy_function(x, offset))
    np.testing.assert_array_equal(value(T.diag, x[0]), np.diag(x[0]))
    cube = numbers(2, 3, 4)
    np.testing.assert_array_equal(value(lambda a: T.diagonal(a, 0, 1, 2), cube), np.diagonal(cube, 0, 1, 2))


def test_choose():
    a, one, two = np.array([0, 1, 1, 0]), np.arange(4.0), -np.arange(4.0)
    np.testing.assert_array_equal(value(lambda c, x, y: T.choose(c, [x, y]), a, one, two), np.choose(a, [one, two]))
    for mode in ("wrap", "clip"):
        found = value(lambda c, x, y, m=mode: T.choose(c, (x, y), mode=m), a * 5 - 1, one, two)
        np.testing.assert_array_equal(found, np.choose(a * 5 - 1, [one, two], mode=mode))
    stacked = np.stack([one, two])
    np.testing.assert_array_equal(value(T.choose, a, stacked), np.choose(a, stacked))
    with pytest.raises(ValueError, match="takes no out="):
        T.choose(T.lvector(), [1, 2], out=3)


# --- constants and casts -------------------------------------------------------------------------------------------


def test_as_tensor_variable():
    x, y = T.dscalars("x", "y")
    assert T.as_tensor_variable(x) is x
    assert T.as_tensor_variable([x, y]).type == T.dvector
    assert T.as_tensor_variable([[x, 1], [2.5, y]]).type == T.dmatrix
    assert T.as_tensor_variable(np.ones((1, 3), np.float32), name="c").name == "c"
    assert T.as_tensor_variable(np.ones((1, 3), np.float32)).type == T.frow
    assert T.as_tensor_variable((x + y).owner).type == T.dscalar
    assert T.as_tensor_variable(x, ndim=2).broadcastable == (True, True)
    assert T.as_tensor_variable(T.drow("r"), ndim=1).type == T.dvector
    np.testing.assert_array_equal(compiled([x, y], T.as_tensor_variable([[x, 1], [2.5, y]]))(7, 8), [[7, 1], [2.5, 8]])
    with pytest.raises(TypeError, match="has 2 dimensions and cannot become a tensor of 1"):
        T.as_tensor_variable(T.dmatrix("m"), ndim=1)
    with pytest.raises(TypeError, match=r"(?s)a str cannot be part of a symbolic expression.*HINT"):
        T.as_tensor_variable("a")
    with pytest.raises(TypeError, match="cannot be part of a symbolic expression"):
        T.as_tensor_variable(None)
    with pytest.raises(TypeError, match=r"(?s)any is no tensor but a Generic.*HINT"):
        T.as_tensor_variable(GenericType()("any"))
    with pytest.raises(TypeError, match="a call of Nonzero has 2 outputs"):
        T.as_tensor_variable(T.nonzero(T.dmatrix())[0].owner)


def test_constants():
    found = T.constant([[1, 2]], name="c", dtype="float32")
    assert (found.type, found.name) == (T.frow, "c")
    np.testing.assert_array_equal(found.data, [[1, 2]])
    assert T.constant(3, ndim=2).broadcastable == (True, True)
    assert T.constant([[5]], ndim=1).data.tolist() == [5]
    assert T.constant(2).type == T.lscalar
    assert (T.fvector() * T.constant(2.0)).dtype == "float32"
    assert (T.fvector() * T.constant(2.0, dtype="float64")).dtype == "float64"
    with pytest.raises(TypeError, match="x is a variable and has no constant value"):
        T.constant(T.dscalar("x"))
    with pytest.raises(ValueError, match="cannot have 1 dimensions"):
        T.constant([[1], [2]], ndim=1)


def test_a_constant_does_not_follow_its_array():
    data = np.ones(2)
    doubled = T.as_tensor_variable(data) * 2
    data[:] = 5
    assert compiled([], doubled)().tolist() == [2, 2]


def test_cast():
    x = T.dvector("x")
    for dtype in ("int8", "int32", "float32", "float64", "complex64", "bool"):
        data = np.array([1.5, -2.5, 0.0])
        found = value(lambda a, d=dtype: T.cast(a, d), data)
        np.testing.assert_array_equal(found, data.astype(dtype))
        assert x.astype(dtype).dtype == T.cast(x, np.dtype(dtype)).dtype == dtype
    assert T.cast(x, "float64") is x
    with tracer.config.changed(floatX="float32"):
        assert T.cast(x, "floatX").dtype == "float32"
    assert T.cast(1, "float32").type == T.fscalar
    with pytest.raises(TypeError, match=r"(?s)would lose the imaginary part.*T.real"):
        T.cast(T.zvector("z"), "float64")


def test_shape_and_size():
    x = T.dtensor3("x")
    f = compiled([x], x.shape, T.shape(x), np.shape(x), x.size, x.shape[1], x.shape[-1:])
    shape, again, third, size, second, last = f(np.zeros((2, 3, 4)))
    assert shape.tolist() == again.tolist() == third.tolist() == [2, 3, 4]
    assert (size, second, last.tolist()) == (24, 3, [4])
    assert x.ndim == np.ndim(x) == 3


# --- numbers that are known ----------------------------------------------------------------------------------------


def test_scalar_constant_values():
    x, r = T.dmatrix("x"), T.drow("r")
    for expression, expected in [
        (3, 3),
        (T.constant(2.5), 2.5),
        (T.constant([4, 4]), 4),
        (T.constant(2) * 3 + 1, 7),
        (r.shape[0], 1),
        (T.cast(r.shape[0] * 4, "float32"), 4.0),
        (T.as_tensor_variable([1, 2, 3])[1], 2),
        (T.zeros((2, 2)), 0),
        (T.stack([r.shape[0], 5])[1], 5),
    ]:
        assert T.get_scalar_constant_value(expression) == expected
    assert T.constant(3).get_scalar_constant_value() == 3
    for expression in (x.shape[0], T.dscalar(), T.constant([1, 2]), x[0, 0], None, r.shape):
        with pytest.raises(T.NotScalarConstantError, match=r"(?s)is not a number that is known.*HINT"):
            T.get_scalar_constant_value(expression)
    with pytest.raises(T.EmptyConstantError):
        T.get_scalar_constant_value(T.constant(np.zeros(0)))
    with pytest.raises(T.NotScalarConstantError):
        T.get_scalar_constant_value(T.constant(2) * 3, elemwise=False)


def test_vector_lengths():
    x = T.dtensor4("x")
    for vector, length in [
        ([1, 2, 3], 3),
        (x.shape, 4),
        (x.shape[1:], 3),
        (x.shape[::2], 2),
        (x.shape * 2, 4),
        (T.cast(x.shape, "int32"), 4),
        (T.join(0, x.shape[:2], [5]), 3),
        (T.stack([x.shape[0], 1]), 2),
        (np.zeros(6), 6),
        (x.shape[:1], 1),
    ]:
        assert T.get_vector_length(vector) == length
    with pytest.raises(ValueError, match="how many elements v has is not known"):
        T.get_vector_length(T.dvector("v"))
    with pytest.raises(TypeError, match="expected a vector, but x is a TensorType"):
        T.get_vector_length(T.dmatrix("x"))


def test_copies():
    x = T.dmatrix("x")
    copy = T.tensor_copy(x)
    assert copy is not x
    assert copy.type == x.copy().type == T.dmatrix
    np.testing.assert_array_equal(compiled([x], copy)(numbers(2, 2)), numbers(2, 2))
