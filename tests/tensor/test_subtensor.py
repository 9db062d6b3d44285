import numpy as np
import pytest
from tensor.symbolically import value

import tracer
import tracer.tensor as T
from tracer.symbolic.program import SymbolicProgram


def numbers(*shape):
    return np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape) + 1


def compiled(inputs, *outputs):
    """A function of the inputs."""
    program = SymbolicProgram(inputs, list(outputs), {}, "test")

    def call(*values):
        found = program(*(item.type.filter(value) for item, value in zip(inputs, values, strict=True)))
        return found[0] if len(outputs) == 1 else found

    return call


STATIC = [
    0,
    -1,
    np.int32(1),
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(-2, 100),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(5, 2),
    None,
    Ellipsis,
    (0, 1),
    (slice(1, 3), 0),
    (Ellipsis, 0),
    (0, Ellipsis, slice(None, None, -1)),
    (None, 0, None),
    (slice(None), None, slice(1)),
    [2, 0, 0, -1],
    (slice(None), [1, 0]),
    ([0, 1], [1, 2]),
    ([[0], [1]], [1, 2]),
    (slice(1, 3), [1, 2], slice(None)),
    ([0, 1], slice(None), [1, 0]),
    (0, [1, 2]),
    (np.array([True, False, True, True]),),
    (slice(None), np.array([True, False, True])),
    np.array([0, 3]),
    np.array([], dtype=int),
    [],
    (Ellipsis, [1, 0], None),
    (None, [1, 0], slice(None), 0),
]


@pytest.mark.parametrize("index", STATIC, ids=str)
def test_reading(index):
    x = numbers(4, 3, 2)
    np.testing.assert_array_equal(value(lambda a: a[index], x), x[index])


@pytest.mark.parametrize("index", STATIC, ids=str)
@pytest.mark.parametrize("change", ["set", "inc"])
def test_changing(index, change):
    x, y = T.dtensor3("x"), T.dscalar("y")
    function = T.set_subtensor if change == "set" else T.inc_subtensor
    part = numbers(4, 3, 2)[index]
    values = T.tensor("float64", (False,) * part.ndim, name="values")
    f = compiled([x, y, values], function(x[index], y), function(x[index], values))
    data, written = numbers(4, 3, 2), -numbers(*part.shape)
    for found, new in zip(f(data, 7.5, written), (7.5, written), strict=True):
        expected = data.copy()
        if change == "set":
            expected[index] = new
        else:
            np.add.at(
                expected,
                tuple(index)
                if isinstance(index, tuple)
                else (index if not isinstance(index, list) else np.array(index, int),),
                new,
            )
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(data, numbers(4, 3, 2))


def test_symbolic_integers_and_slices():
    x = T.dmatrix("x")
    i, j = T.iscalar("i"), T.lscalar("j")
    outputs = [
        x[i],
        x[i, j],
        x[:, j],
        x[i:j],
        x[i:],
        x[:j],
        x[i:j, 1:],
        x[i + 1 : j + 1, ::-1],
        x[::i],
        x[j:i:-1],
        x[-i:, :-j],
        x[i:j, i],
    ]
    f = compiled([x, i, j], *outputs)
    data = numbers(6, 5)
    for a, b in [(1, 3), (2, 2), (1, 4), (3, 1), (2, 4)]:
        expected = [
            data[a],
            data[a, b],
            data[:, b],
            data[a:b],
            data[a:],
            data[:b],
            data[a:b, 1:],
            data[a + 1 : b + 1, ::-1],
        ]
        expected += [data[::a], data[b:a:-1], data[-a:, :-b], data[a:b, a]]
        for found, wanted in zip(f(data, a, b), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert [item.ndim for item in outputs] == [1, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1]


def test_bounds_beyond_the_ends():
    x, a, b = T.dvector("x"), T.lscalar("a"), T.lscalar("b")
    f, g = compiled([x, a, b], x[a:b]), compiled([x, a, b], x[a:b:-1])
    data = numbers(5)
    for first in (-9, -5, -2, 0, 3, 5, 8):
        for last in (-9, -5, -2, 0, 3, 5, 8):
            np.testing.assert_array_equal(f(data, first, last), data[first:last])
            np.testing.assert_array_equal(g(data, first, last), data[first:last:-1])


@pytest.mark.parametrize("change", ["set", "inc"])
def test_changing_dynamic_slices(change):
    x, i, j, k = T.dmatrix("x"), T.iscalar("i"), T.iscalar("j"), T.lvector("k")
    function = T.set_subtensor if change == "set" else T.inc_subtensor

    def check(whole, *keys):
        outputs = [function(key(x, i, j, k), -1.0) for key in keys]
        found = compiled([x, i, j, k], *outputs)(whole, 1, 3, [0, 2, 2])
        for key, result in zip(keys, found, strict=True):
            positions = np.zeros(whole.size, int)
            np.add.at(positions, key(np.arange(whole.size).reshape(whole.shape), 1, 3, np.array([0, 2, 2])).ravel(), 1)
            positions = positions.reshape(whole.shape)
            expected = np.where(positions > 0, -1.0, whole) if change == "set" else whole - positions
            np.testing.assert_array_equal(result, expected)

    check(
        numbers(5, 4),
        lambda a, i, j, k: a[i],
        lambda a, i, j, k: a[i:j],
        lambda a, i, j, k: a[:, i:j],
        lambda a, i, j, k: a[i:j, i:j],
        lambda a, i, j, k: a[i:j, 0],
        lambda a, i, j, k: a[i:j, i],
        lambda a, i, j, k: a[j:i:-1, ::2],
        lambda a, i, j, k: a[k],
        lambda a, i, j, k: a[:, k],
        lambda a, i, j, k: a[k, i],
        lambda a, i, j, k: a[i:j, k],
        lambda a, i, j, k: a[k, k],
        lambda a, i, j, k: a[..., i:j],
        lambda a, i, j, k: a[j:i],
    )


def test_repeated_positions_accumulate():
    x, rows = T.dvector("x"), T.lvector("rows")
    f = compiled([x, rows], T.inc_subtensor(x[rows], 1.0), T.set_subtensor(x[rows], T.arange(3) * 1.0))
    increased, written = f([0, 0, 0], [1, 1, 2])
    assert increased.tolist() == [0, 2, 1]
    assert written.tolist() == [0, 1, 2]
    once = compiled([x, rows], T.inc_subtensor(x[rows], 1.0, ignore_duplicates=True))
    assert once([0, 0, 0], [1, 1, 2]).tolist() == [0, 1, 1]
    assert compiled([x], T.inc_subtensor(x[0], 5.0, set_instead_of_inc=True))([1, 2]).tolist() == [5, 2]


def test_symbolic_positions_of_every_kind():
    x, rows, grid = T.dmatrix("x"), T.ivector("rows"), T.lmatrix("grid")
    f = compiled(
        [x, rows, grid],
        x[rows],
        x[:, rows],
        x[grid],
        x[rows, rows],
        x[rows, 0],
        x[grid, grid],
        x[[rows[0], 2]],
        x[rows, 1:],
    )
    data, r, g = numbers(4, 4), np.array([3, 0, 1], np.int32), np.array([[0, 1], [2, 3]])
    expected = [data[r], data[:, r], data[g], data[r, r], data[r, 0], data[g, g], data[[3, 2]], data[r, 1:]]
    for found, wanted in zip(f(data, r, g), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(IndexError, match="index 4 is out of bounds for axis 0 with size 4"):
        f(data, [4, 0], g)


def test_masks():
    x, mask = T.dmatrix("x"), T.tensor("bool", (False,), name="mask")
    f = compiled([x, mask], x[x > 3], x[mask], x[mask, 1], x[:, mask[:2]], x[mask & (x[:, 0] > 1)])
    data = numbers(3, 2)
    for m in ([True, False, True], [False, False, False], [True, True, True]):
        m = np.array(m)
        expected = [data[data > 3], data[m], data[m, 1], data[:, m[:2]], data[m & (data[:, 0] > 1)]]
        for found, wanted in zip(f(data, m), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_changing_masked_elements():
    x, y = T.dmatrix("x"), T.dvector("y")
    f = compiled(
        [x, y],
        T.set_subtensor(x[x > 3], 0.0),
        T.inc_subtensor(x[x > 3], 1.0),
        T.set_subtensor(x[x > 3], y),
        T.set_subtensor(x[x[:, 0] > 2], y[:2]),
        T.inc_subtensor(x[x[:, 0] > 2, 1], 5.0),
    )
    data, values = numbers(3, 2), np.array([-1.0, -2.0, -3.0])
    found = f(data, values)
    for result, index, written in [
        (found[0], data > 3, 0.0),
        (found[1], data > 3, data[data > 3] + 1),
        (found[2], data > 3, values),
        (found[3], data[:, 0] > 2, values[:2]),
        (found[4], (data[:, 0] > 2, 1), data[data[:, 0] > 2, 1] + 5),
    ]:
        expected = data.copy()
        expected[index] = written
        np.testing.assert_array_equal(result, expected)


def test_changing_views_of_parts():
    x, y = T.dmatrix("x"), T.dvector("y")
    part = x[1:3]
    f = compiled(
        [x, y],
        T.set_subtensor(part.T, y),
        T.inc_subtensor(part.dimshuffle(1, "x", 0), 1.0),
        T.set_subtensor(part.reshape((3, 2)), [[1, 2], [3, 4], [5, 6]]),
        T.inc_subtensor(part.flatten(), T.arange(6)),
        T.inc_subtensor(part[0].dimshuffle("x", 0).T, 1.0),
        T.set_subtensor(T.addbroadcast(x[:1], 0).dimshuffle(1), 0.0),
    )
    data = numbers(4, 3)
    found = f(data, [7, 8])
    expected = [data.copy() for _ in found]
    expected[0][1:3] = [[7] * 3, [8] * 3]
    expected[1][1:3] += 1
    expected[2][1:3] = [[1, 2, 3], [4, 5, 6]]
    expected[3][1:3] += np.arange(6).reshape(2, 3)
    expected[4] = expected[4][1:3]
    expected[4][0] += 1
    expected[5][0] = 0
    for result, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_errors_in_changing():
    x, n = T.dmatrix("x"), T.ivector("n")
    with pytest.raises(TypeError, match=r"(?s)x is not a part of a tensor.*HINT: index the tensor in the call"):
        T.set_subtensor(x, 0)
    with pytest.raises(TypeError, match="is not a part"):
        T.inc_subtensor(x[0] + 1, 0)
    with pytest.raises(ValueError, match="x has 2 dimensions, but the part that it is written to"):
        T.set_subtensor(x[0], x)
    with pytest.raises(TypeError, match=r"(?s)dtype float64 cannot be written into n, which is int32.*T.cast"):
        T.set_subtensor(n[0], T.dscalar("y"))
    with pytest.raises(TypeError, match="elements cannot be assigned"):
        x[0] = 1
    assert T.set_subtensor(T.fvector()[0], 1.5).dtype == "float32"
    assert T.set_subtensor(T.fvector()[0], T.dscalar()).dtype == "float32"
    f = compiled([x, n], T.set_subtensor(x[:, 0], n))
    with pytest.raises(ValueError, match=r"could not broadcast input array from shape \(3,\) into shape \(2,\)"):
        f(numbers(2, 2), [1, 2, 3])


def test_changing_in_a_trace_is_an_error():
    with pytest.raises(TypeError, match=r"(?s)are for symbolic variables.*HINT: y = x.copy"):
        tracer.compile(lambda a: T.set_subtensor(a[0], 1.0))(numbers(2))


def test_errors_in_reading():
    x = T.dmatrix("x")
    with pytest.raises(IndexError, match=r"(?s)too many indices.*3 were indexed.*while recording"):
        x[0, 0, 0]
    with pytest.raises(IndexError, match="of dtype float64 cannot be an index"):
        x[T.dscalar("y")]
    with pytest.raises(IndexError, match="cannot be an index"):
        x["a"]
    with pytest.raises(IndexError, match="cannot be an index"):
        x[1.5]
    f = compiled([x], x[5])
    with pytest.raises(IndexError, match=r"(?s)index 5 is out of bounds for axis 0 with size 2.*test_subtensor.py"):
        f(numbers(2, 2))


def test_patterns():
    x, r = T.dmatrix("x"), T.drow("r")
    assert x[:, None].broadcastable == (False, True, False)
    assert r[:].type == r[::-1].type == T.drow
    assert r[:1].type == T.drow
    assert r[T.iscalar() :].type == T.dmatrix
    assert r[0].type == T.dvector
    assert r[[0, 0]].type == T.dmatrix
    assert x[:1].type == T.dmatrix
    assert x[[1]].type == T.drow
    assert x[x > 0].type == T.dvector


def test_minibatches_of_a_shared_tensor():
    data = tracer.shared(numbers(10, 4), name="data")
    number, size = T.lscalar("number"), 3
    f = compiled([number], data[number * size : (number + 1) * size])
    for batch in range(4):
        np.testing.assert_array_equal(f(batch), numbers(10, 4)[batch * size : (batch + 1) * size])


def test_iteration_and_unpacking_where_the_length_is_known():
    x = T.dmatrix("x")
    rows, columns = x.shape
    assert compiled([x], rows * 10 + columns)(numbers(2, 3)) == 23
    with pytest.raises(TypeError, match=r"(?s)the length of x is not known.*HINT"):
        list(x)


# --- functions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_take(axis):
    x = numbers(3, 4)
    for indices in (1, [2, 0], [[0, 1], [1, 0]], np.array([-1, 0])):
        expected = np.take(x, indices, axis)
        np.testing.assert_array_equal(value(lambda a, i=indices: T.take(a, i, axis), x), expected)
    for mode in ("wrap", "clip"):
        found = value(lambda a, i, m=mode: T.take(a, i, axis, mode=m), x, np.array([-7, 2, 20]))
        np.testing.assert_array_equal(found, np.take(x, [-7, 2, 20], axis, mode=mode))


def test_take_can_be_changed_and_checked():
    x, i = T.dmatrix("x"), T.lvector("i")
    f = compiled([x, i], T.inc_subtensor(T.take(x, i, axis=0), 1.0))
    np.testing.assert_array_equal(f(numbers(2, 2), [1, 1]), numbers(2, 2) + np.array([[0], [2]]))
    with pytest.raises(ValueError, match="take has no mode 'x'"):
        T.take(x, i, mode="x")
    with pytest.raises(ValueError, match="axis 2 does not exist: x has 2 dimensions"):
        T.take(x, i, axis=2)


def test_nonzero():
    x = T.dmatrix("x")
    rows, columns = T.nonzero(x)
    f = compiled(
        [x],
        rows,
        columns,
        T.nonzero(x, return_matrix=True),
        T.flatnonzero(x),
        T.nonzero_values(x),
        *np.nonzero(x),
        np.argwhere(x),
        np.flatnonzero(x),
        *T.where(x > 1),
    )
    for data in (np.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]]), np.zeros((2, 3)), np.ones((1, 2))):
        found = f(data)
        expected = [*np.nonzero(data), np.stack(np.nonzero(data)), np.flatnonzero(data), data[np.nonzero(data)]]
        expected += [*np.nonzero(data), np.argwhere(data), np.flatnonzero(data), *np.where(data > 1)]
        for result, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(result, wanted)
    with pytest.raises(ValueError, match="x is a scalar and has no positions"):
        T.nonzero(T.dscalar("x"))
    with pytest.raises(ValueError, match="x is a scalar and has no positions"):
        T.flatnonzero(T.dscalar("x"))


def test_permutations():
    x, order = numbers(2, 3), np.array([[2, 0, 1], [1, 2, 0]])
    np.testing.assert_array_equal(value(T.permute_row_elements, x, order), np.take_along_axis(x, order, 1))
    np.testing.assert_array_equal(value(T.permute_row_elements, x, order[0]), x[:, order[0]])
    np.testing.assert_array_equal(value(T.permute_row_elements, x[0], order), x[0][order])
    back = value(lambda a, p: T.permute_row_elements(T.permute_row_elements(a, p), p, inverse=True), x, order)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(value(T.inverse_permutation, order), np.argsort(order, axis=1))


# --- derivatives ---------------------------------------------------------------------------------------------------


def gradient(cost, inputs, wrt):
    return compiled(inputs, *tracer.gradient.grad(cost, wrt))


def test_gradients_of_reading_and_changing():
    x, y, i = T.dmatrix("x"), T.dvector("y"), T.lvector("i")
    n = T.lscalar("n")
    data, values = numbers(4, 3), np.array([0.5, -1.0, 2.0])
    picked = (x[i] ** 2).sum() + (x[n:] * y).sum()
    changed = (T.set_subtensor(x[n], y) ** 2).sum() + (T.inc_subtensor(x[n:, 0], y[: 4 - n]) ** 2).sum()
    gx, gy, hx, hy = compiled(
        [x, y, i, n], *tracer.gradient.grad(picked, [x, y]), *tracer.gradient.grad(changed, [x, y])
    )(data, values, [1, 1], 2)
    expected = np.zeros((4, 3))
    expected[1] = 4 * data[1]
    expected[2:] += values
    np.testing.assert_allclose(gx, expected)
    np.testing.assert_allclose(gy, data[2:].sum(0))
    kept = 2 * data
    kept[2] = 0
    increased = data.copy()
    increased[2:, 0] += values[:2]
    np.testing.assert_allclose(hx, kept + 2 * increased)
    np.testing.assert_allclose(hy, 2 * values + [*2 * increased[2:, 0], 0])
