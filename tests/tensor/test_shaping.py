import numpy as np
import pytest
from tensor.symbolically import run, value

import tracer
import tracer.tensor as T
from tracer.symbolic.program import SymbolicProgram


def numbers(*shape):
    return np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)


def compiled(inputs, *outputs):
    """A function of the inputs."""
    program = SymbolicProgram(inputs, list(outputs), {}, "test")

    def call(*values):
        found = program(*(item.type.filter(value) for item, value in zip(inputs, values, strict=True)))
        return found[0] if len(outputs) == 1 else found

    return call


# --- reshape and flatten -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (-1,), (4, -1), (24,), (1, 24), [8, 3], (2, 2, 2, 3)], ids=str)
def test_reshape(shape):
    x = numbers(2, 3, 4)
    np.testing.assert_array_equal(value(lambda a: T.reshape(a, shape), x), x.reshape(shape))


def test_reshape_knows_sizes_that_are_one():
    x = T.dvector("x")
    assert x.reshape((1, -1)).broadcastable == (True, False)
    assert x.reshape((-1, 1, 5, 5)).broadcastable == (False, True, False, False)
    assert x.reshape(np.array([3, 1])).broadcastable == (False, True)
    assert T.dscalar("s").reshape((-1,)).broadcastable == (True,)


def test_reshape_to_symbolic_sizes():
    x, y, n = T.dmatrix("x"), T.dtensor3("y"), T.iscalar("n")
    shape = T.lvector("shape")
    f = compiled(
        [x, y, n, shape],
        x.reshape(y.shape),
        x.reshape((y.shape[0], -1)),
        x.reshape((n, -1)),
        x.reshape([n, x.size // n]),
        x.reshape(shape, ndim=2),
        x.reshape(T.join(0, y.shape[:1], [-1])),
        x.reshape((x.shape[1], x.shape[0])),
        x.reshape((x.shape[0] * x.shape[1],)),
    )
    data = numbers(6, 4)
    for found, expected in zip(
        f(data, numbers(3, 4, 2), 8, [12, 2]),
        [(3, 4, 2), (3, 8), (8, 3), (8, 3), (12, 2), (3, 8), (4, 6), (24,)],
        strict=True,
    ):
        np.testing.assert_array_equal(found, data.reshape(expected))
    assert [item.shape for item in f(data, numbers(2, 2, 6), 2, [1, 24])][:5] == [
        (2, 2, 6),
        (2, 12),
        (2, 12),
        (2, 12),
        (1, 24),
    ]


def test_a_reshape_that_does_not_fit_is_an_error_with_the_line():
    x = T.dvector("x")
    f = compiled([x], x.reshape((5, -1)))
    with pytest.raises(ValueError, match="cannot reshape array of size 7 into shape"):
        f(np.zeros(7))
    with pytest.raises(ValueError, match="how many elements shape has is not known"):
        x.reshape(T.lvector("shape"))
    with pytest.raises(ValueError, match="has 2 sizes, but 3 dimensions"):
        x.reshape((2, 3), ndim=3)
    with pytest.raises(ValueError, match="ndim must be an int"):
        T.reshape(x, (2, 3), "C")


def test_method_reshape_takes_both_forms():
    x = T.dmatrix("x")
    assert x.reshape(2, -1).ndim == x.reshape((2, -1)).ndim == x.reshape((2, -1), 2).ndim == 2


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_flatten(ndim):
    x = numbers(2, 3, 4)
    expected = x.reshape((*x.shape[: ndim - 1], -1))
    np.testing.assert_array_equal(value(lambda a: T.flatten(a, ndim), x), expected)
    np.testing.assert_array_equal(value(lambda a: T.flatten(a, outdim=ndim), x), expected)


def test_flatten_of_scalars_and_empty_tensors():
    assert value(lambda a: T.flatten(a), np.array(3.0)).shape == (1,)
    assert value(lambda a: T.flatten(a, 2), np.zeros((0, 3, 4))).shape == (0, 12)
    assert value(T.ravel, numbers(2, 3)).shape == (6,)
    with pytest.raises(ValueError, match="flatten cannot make 3 of 2 dimensions"):
        T.flatten(T.dmatrix("x"), 3)


# --- the order of dimensions ---------------------------------------------------------------------------------------


def test_dimshuffle():
    x = numbers(2, 3)
    for pattern, expected in [
        ((1, 0), x.T),
        (("x", 0, 1), x[None]),
        ((0, "x", 1), x[:, None]),
        ((1, "x", 0, "x"), x.T[:, None, :, None]),
        (((0, 1, "x"),), x[..., None]),
        ((-1, 0), x.T),
    ]:
        np.testing.assert_array_equal(value(lambda a, p=pattern: T.dimshuffle(a, *p), x), expected)
    assert T.dvector("x").dimshuffle("x", 0).broadcastable == (True, False)
    assert T.dvector("x").dimshuffle(["x", 0]).broadcastable == (True, False)


def test_dimshuffle_drops_only_what_broadcasts():
    row = numbers(1, 3)
    np.testing.assert_array_equal(value(lambda a: T.dimshuffle(a, 1), row, broadcastable=[(True, False)]), row[0])
    with pytest.raises(ValueError, match="dimension 0 of x is not broadcastable and cannot be dropped"):
        T.dmatrix("x").dimshuffle(1)
    with pytest.raises(ValueError, match="mentioned twice or is not one of the 2 dimensions"):
        T.dmatrix("x").dimshuffle(0, 0)
    with pytest.raises(ValueError, match="2 in the pattern"):
        T.dmatrix("x").dimshuffle(0, 2)


def test_transposes():
    x = numbers(2, 3, 4)
    np.testing.assert_array_equal(value(T.transpose, x), x.T)
    np.testing.assert_array_equal(value(lambda a: T.transpose(a, (2, 0, 1)), x), x.transpose(2, 0, 1))
    np.testing.assert_array_equal(value(lambda a: T.swapaxes(a, 0, -1), x), x.swapaxes(0, 2))
    np.testing.assert_array_equal(value(lambda a: T.moveaxis(a, 0, -1), x), np.moveaxis(x, 0, -1))
    y = T.TensorType("float64", (True, False, False))("y")
    assert (
        y.T.broadcastable == y.transpose().broadcastable == y.transpose(1, 2, 0).broadcastable == (False, False, True)
    )
    assert y.transpose((1, 0, 2)).broadcastable == (False, True, False)


def test_padded_shapes():
    x = numbers(2, 3)
    np.testing.assert_array_equal(value(lambda a: T.shape_padleft(a, 2), x), x[None, None])
    np.testing.assert_array_equal(value(T.shape_padright, x), x[..., None])
    for axis in range(-3, 3):
        np.testing.assert_array_equal(value(lambda a, n=axis: T.shape_padaxis(a, n), x), np.expand_dims(x, axis))
    with pytest.raises(IndexError, match="axis 3 is out of range"):
        T.shape_padaxis(T.dmatrix("x"), 3)


def test_squeeze():
    x = numbers(1, 3, 1)
    flags = [(True, False, True)]
    np.testing.assert_array_equal(value(T.squeeze, x, broadcastable=flags), x[0, :, 0])
    np.testing.assert_array_equal(value(lambda a: T.squeeze(a, 0), x, broadcastable=flags), x[0])
    y = T.dtensor3("y")
    assert T.squeeze(y).type == T.dtensor3
    f = compiled([y], y.squeeze(axis=[-1]))
    assert f(numbers(2, 3, 1)).shape == (2, 3)
    with pytest.raises(ValueError, match="dimension 2 was said to broadcast, but its size is not 1"):
        f(numbers(2, 3, 4))


# --- what is known of dimensions -----------------------------------------------------------------------------------


def test_broadcast_patterns():
    x = T.dmatrix("x")
    assert T.addbroadcast(x, 0).type == T.drow
    assert T.addbroadcast(x, -1).type == T.dcol
    assert T.unbroadcast(T.drow("r"), 0).type == T.dmatrix
    assert T.patternbroadcast(x, (False, True)).type == T.dcol
    assert T.Rebroadcast((0, True), (1, True))(x).broadcastable == (True, True)
    assert T.unbroadcast(x, 0) is x
    with pytest.raises(ValueError, match="x has 2 dimensions, so there is no axis 2"):
        T.addbroadcast(x, 2)
    f = compiled([x], T.addbroadcast(x, 0) + 1)
    np.testing.assert_array_equal(f(numbers(1, 3)), numbers(1, 3) + 1)
    with pytest.raises(ValueError, match="dimension 0 was said to broadcast, but its size is not 1: the shape is"):
        f(numbers(2, 3))


def test_specify_shape():
    x, n = T.dmatrix("x"), T.lscalar("n")
    f = compiled([x, n], T.specify_shape(x, (n, 3)) * 2)
    np.testing.assert_array_equal(f(numbers(2, 3), 2), 2 * numbers(2, 3))
    with pytest.raises(AssertionError, match=r"the shape is \(2, 3\), but specify_shape says \(4, 3\)"):
        f(numbers(2, 3), 4)
    assert T.specify_shape(x, (1, 3)).broadcastable == (True, False)
    with pytest.raises(ValueError, match="has 1 sizes, but 2 dimensions"):
        T.specify_shape(x, (3,))


# --- repetition ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reps", [2, (2,), (2, 1), (1, 2, 3), [1, 1]], ids=str)
def test_tile(reps):
    x = numbers(2, 3)
    np.testing.assert_array_equal(value(lambda a: T.tile(a, reps), x), np.tile(x, reps))


def test_tile_with_symbolic_counts():
    x, n = T.dvector("x"), T.lscalar("n")
    f = compiled([x, n], T.tile(x, n), T.tile(x, (2, n)), T.tile(x, (n,), ndim=2))
    once, twice, deep = f([1, 2], 3)
    np.testing.assert_array_equal(once, np.tile([1, 2], 3))
    np.testing.assert_array_equal(twice, np.tile([1, 2], (2, 3)))
    assert deep.shape == (1, 6)
    assert T.tile(T.drow("r"), (1, 2)).broadcastable == (True, False)
    with pytest.raises(ValueError, match="ndim=1 is less than the 2 repetitions"):
        T.tile(x, (2, 2), ndim=1)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_repeat(axis):
    x = numbers(2, 3)
    np.testing.assert_array_equal(value(lambda a: T.repeat(a, 2, axis), x), np.repeat(x, 2, axis))
    counts = np.array({None: [1, 0, 2, 1, 0, 3], 0: [2, 1]}.get(axis, [1, 0, 2]))
    np.testing.assert_array_equal(value(lambda a: T.repeat(a, counts, axis), x), np.repeat(x, counts, axis))


def test_repeat_with_symbolic_counts():
    x, n, counts = T.dvector("x"), T.iscalar("n"), T.ivector("counts")
    f = compiled([x, n, counts], T.repeat(x, n), x.repeat(counts), T.repeat(x.dimshuffle("x", 0), n, axis=0))
    once, each, rows = f([1, 2], 3, [2, 1])
    assert (once.tolist(), each.tolist()) == ([1, 1, 1, 2, 2, 2], [1, 1, 2])
    np.testing.assert_array_equal(rows, [[1, 2]] * 3)
    assert f([1, 2], 1, [0, 1])[1].tolist() == [2]


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_roll(axis):
    x = numbers(3, 4)
    for shift in (1, -2, 5, 0):
        np.testing.assert_array_equal(value(lambda a, s=shift: T.roll(a, s, axis), x), np.roll(x, shift, axis))
    matrix, shift = T.dmatrix("x"), T.lscalar("shift")
    f = compiled([matrix, shift], T.roll(matrix, shift, axis))
    for number in (1, -2, 5, 0):
        np.testing.assert_array_equal(f(x, number), np.roll(x, number, axis))


# --- joining and splitting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_join(axis):
    x, y = numbers(2, 3), -numbers(2, 3)
    expected = np.concatenate([x, y], axis)
    np.testing.assert_array_equal(value(lambda a, b: T.join(axis, a, b), x, y), expected)
    np.testing.assert_array_equal(value(lambda a, b: T.concatenate([a, b], axis=axis), x, y), expected)


def test_join_of_other_sizes_dtypes_and_constants():
    x, n = T.dvector("x"), T.ivector("n")
    f = compiled([x, n], T.join(0, x, n, [1.5]), T.concatenate([n, np.arange(3)]))
    joined, ints = f([1, 2, 3], [7])
    assert joined.tolist() == [1, 2, 3, 7, 1.5]
    assert (ints.tolist(), ints.dtype) == ([7, 0, 1, 2], np.int64)
    assert T.join(1, T.dmatrix(), T.dcol()).broadcastable == (False, False)
    assert T.join(0, T.drow(), T.drow()).broadcastable == (False, False)
    assert T.join(1, T.drow(), T.drow()).broadcastable == (True, False)
    assert T.join(T.constant(0), x, x).type == T.dvector


def test_errors_in_joining():
    x, m = T.dvector("x"), T.dmatrix("m")
    with pytest.raises(ValueError, match="different numbers of dimensions cannot be joined"):
        T.join(0, x, m)
    with pytest.raises(ValueError, match="axis 1 does not exist: the tensors have 1 dimensions"):
        T.join(1, x, x)
    with pytest.raises(ValueError, match="nothing to join"):
        T.join(0)
    with pytest.raises(TypeError, match="takes a list of tensors, not a Variable"):
        T.concatenate(x)
    f = compiled([x, m], T.concatenate([m, m[:, :1]], axis=0), T.sum(x))
    with pytest.raises(ValueError, match=r"must match exactly|array dimensions"):
        f(numbers(2), numbers(2, 3))


def test_stack():
    x, y = numbers(2, 3), -numbers(2, 3)
    for axis in (0, 1, 2, -1):
        np.testing.assert_array_equal(value(lambda a, b, n=axis: T.stack([a, b], axis=n), x, y), np.stack([x, y], axis))
        np.testing.assert_array_equal(value(lambda a, b, n=axis: T.stack((a, b), n), x, y), np.stack([x, y], axis))
    np.testing.assert_array_equal(value(lambda a, b: T.stack(a, b), x, y), np.stack([x, y]))
    a, b = T.dscalars("a", "b")
    np.testing.assert_array_equal(compiled([a, b], T.stack([a, b, 1.0]))(2, 3), [2, 3, 1])
    np.testing.assert_array_equal(compiled([a, b], T.stack(a, b))(2, 3), [2, 3])
    assert T.stack([T.iscalar(), T.dscalar()]).type == T.dvector
    with pytest.raises(ValueError, match="nothing to join"):
        T.stack([])


def test_stacklists():
    a, b, c, d = T.dscalars("abcd")
    f = compiled([a, b, c, d], T.stacklists([[a, b], [c, d]]))
    np.testing.assert_array_equal(f(1, 2, 3, 4), [[1, 2], [3, 4]])
    x = T.dmatrix("x")
    f = compiled([x], T.stacklists([[x, x], [x, x]]))
    assert f(np.ones((4, 4))).shape == (2, 2, 4, 4)


def test_matrices_side_by_side():
    x = numbers(2, 3)
    np.testing.assert_array_equal(value(lambda a: T.horizontal_stack(a, 2 * a), x), np.hstack([x, 2 * x]))
    np.testing.assert_array_equal(value(lambda a: T.vertical_stack(a, 2 * a), x), np.vstack([x, 2 * x]))
    with pytest.raises(ValueError, match="x is not a matrix"):
        T.horizontal_stack(T.dvector("x"))


def test_split():
    x = numbers(2, 6)
    for found, expected in zip(run(lambda a: T.split(a, [1, 2, 3], 3, axis=1), x), np.split(x, [1, 3], 1), strict=True):
        np.testing.assert_array_equal(found, expected)
    vector, sizes = T.dvector("x"), T.ivector("sizes")
    first, second = T.split(vector, sizes, n_splits=2)
    f = compiled([vector, sizes], first, second)
    assert [item.tolist() for item in f([1, 2, 3], [1, 2])] == [[1], [2, 3]]
    assert [item.tolist() for item in f([1, 2, 3], [3, 0])] == [[1, 2, 3], []]
    with pytest.raises(ValueError, match="do not add up to 3, the size of axis 0"):
        f([1, 2, 3], [1, 1])
    with pytest.raises(ValueError, match="cannot be negative"):
        f([1, 2, 3], [4, -1])
    with pytest.raises(ValueError, match="3 sizes were given for 2 parts"):
        f([1, 2, 3], [1, 1, 1])


def test_split_by_symbolic_sizes():
    x = T.dmatrix("x")
    half = x.shape[0] // 2
    parts = T.split(x, [half, x.shape[0] - half], 2)
    assert [item.shape for item in compiled([x], *parts)(numbers(5, 2))] == [(2, 2), (3, 2)]


# --- NumPy's own functions -----------------------------------------------------------------------------------------


def test_numpy_functions_with_sizes_are_recorded_too():
    x = T.dvector("x")
    f = compiled(
        [x], np.reshape(x, (5, -1)), *np.split(x, 5), np.tile(x, 2), np.repeat(x, 3), np.broadcast_to(x, (2, 10))
    )
    data = numbers(10)
    found = f(data)
    np.testing.assert_array_equal(found[0], data.reshape(5, -1))
    np.testing.assert_array_equal(np.concatenate(found[1:6]), data)
    np.testing.assert_array_equal(found[6], np.tile(data, 2))
    np.testing.assert_array_equal(found[7], np.repeat(data, 3))
    np.testing.assert_array_equal(found[8], [data, data])
    assert np.reshape(x, (1, -1)).broadcastable == (True, False)
    assert np.concatenate([x, x]).type == T.dvector


# --- products ------------------------------------------------------------------------------------------------------

PRODUCTS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((), (3,)),
    ((2, 3), ()),
]


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_dot(shapes):
    x, y = (numbers(*shape) + 1 for shape in shapes)
    np.testing.assert_allclose(value(T.dot, x, y), np.dot(x, y))


def test_types_of_products():
    assert T.dot(T.drow(), T.dmatrix()).type == T.drow
    assert T.dot(T.dmatrix(), T.dcol()).type == T.dcol
    assert T.dot(T.dcol(), T.drow()).type == T.dmatrix
    assert T.dot(T.dmatrix(), T.drow()).type == T.dmatrix  # where the matrix has one column
    assert T.dot(T.fmatrix(), T.dvector()).type == T.dvector
    assert T.dot(T.imatrix(), T.fvector()).type == T.dvector
    assert (T.dtensor3() @ T.dmatrix()).type == T.dtensor3
    assert T.dot(T.dmatrix(), np.ones((7, 5))).type == T.dmatrix
    with pytest.raises(ValueError, match="the product @ is not for scalars"):
        T.dmatrix() @ T.dscalar()


def test_a_product_that_does_not_fit_names_the_line():
    x, y = T.dmatrix("x"), T.dmatrix("y")
    f = compiled([x, y], T.dot(x, y))
    with pytest.raises(ValueError, match=r"not aligned|mismatch"):
        f(numbers(2, 3), numbers(2, 3))


def test_other_products():
    x, y = numbers(2, 3) + 1, numbers(4) - 2
    np.testing.assert_allclose(value(T.outer, x, y), np.outer(x, y))
    np.testing.assert_allclose(value(T.inner, x, x), np.inner(x, x))
    np.testing.assert_allclose(value(T.matmul, x, x.T), x @ x.T)
    a, b = numbers(2, 3, 4), numbers(4, 3, 5)
    np.testing.assert_allclose(
        value(lambda p, q: T.tensordot(p, q, axes=[[2, 1], [0, 1]]), a, b), np.tensordot(a, b, [[2, 1], [0, 1]])
    )
    np.testing.assert_allclose(value(lambda p, q: T.tensordot(p, q, axes=[1, 1]), a, b), np.tensordot(a, b, [1, 1]))
    np.testing.assert_allclose(
        value(lambda p, q: T.tensordot(p, q, 2), a, numbers(3, 4, 2)), np.tensordot(a, numbers(3, 4, 2))
    )


@pytest.mark.parametrize(
    "shapes, text",
    [
        (((5, 2, 3), (5, 3, 4)), "bij,bjk->bik"),
        (((5, 3), (5, 3, 4)), "bj,bjk->bk"),
        (((5, 2, 3), (5, 3)), "bij,bj->bi"),
        (((5, 3), (5, 3)), "bj,bj->b"),
        (((5,), (5, 3)), "b,bj->bj"),
        (((5, 3), (5,)), "bj,b->bj"),
        (((5, 2, 2, 3), (5, 3, 4)), "bhij,bjk->bhik"),
    ],
    ids=str,
)
def test_batched_dot(shapes, text):
    x, y = (numbers(*shape) + 1 for shape in shapes)
    np.testing.assert_allclose(value(T.batched_dot, x, y), np.einsum(text, x, y))


def test_batched_tensordot():
    x, y = numbers(5, 2, 3, 4), numbers(5, 4, 3, 2)
    found = value(lambda a, b: T.batched_tensordot(a, b, axes=[[2, 3], [2, 1]]), x, y)
    np.testing.assert_allclose(found, np.einsum("bijk,bkjl->bil", x, y))
    y = numbers(5, 3, 4)
    np.testing.assert_allclose(value(lambda a, b: T.batched_tensordot(a, b, 2), x, y), np.einsum("bijk,bjk->bi", x, y))
    with pytest.raises(ValueError, match="do not fit a batched tensordot"):
        T.batched_tensordot(T.dmatrix(), T.dmatrix(), axes=[[0], [1]])
    with pytest.raises(TypeError, match=r"(?s)needs tensors of at least one dimension.*HINT"):
        T.batched_dot(T.dscalar(), T.dmatrix())
    with pytest.raises(ValueError, match="differ in the size of axis 0"):
        value(T.batched_dot, numbers(2, 3), numbers(3, 3))


def test_derivatives_go_through_shapes():
    def total(x):
        turned = T.dimshuffle(T.reshape(x, (3, 2, 2)), 2, "x", 0, 1)
        joined = T.join(0, T.flatten(turned, 2), T.tile(x, (1, 1))[:2] * 0 + 1)
        first, second = T.split(joined, [1, 3], 2)
        return T.sum(first**2) + T.sum(T.batched_dot(second, second)) + T.sum(T.roll(x, 1) * x)

    x = np.random.default_rng(0).normal(size=(2, 6))
    tracer.testing.check_grads(total, (x,))
