"""Sparse matrices: types, products, sums, structured functions, selections, gradients, shared values, errors."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

import tracer
import tracer.tensor as T
from tracer import sparse
from tracer.sparse import SparseType

DENSE = np.array([[0.0, 1.5, 0.0, -2.0], [3.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 4.0]])
OTHER = np.array([[1.0, 2.0, 0.0, 0.0], [-3.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
W = np.arange(8.0).reshape(4, 2) - 2.5
MAKE = {"csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}
formats = pytest.mark.parametrize("format", ["csr", "csc"])


def program(function, *values, wrt=()):
    """Results of a function of variables like the values; and the gradient of the sum of the squares of it."""
    inputs = [
        SparseType(value.format, value.dtype)() if scipy.sparse.issparse(value) else T.as_tensor_variable(value).type()
        for value in values
    ]
    output = function(*inputs)
    if not wrt:
        return tracer.function(inputs, output)(*values)
    dense = sparse.dense_from_sparse(output) if isinstance(output.type, SparseType) else output
    slopes = tracer.grad((dense**2).sum(), [inputs[place] for place in wrt])
    return tracer.function(inputs, [output, *slopes])(*values)


def to_dense(value):
    return value.toarray() if scipy.sparse.issparse(value) else value


def check(function, dense_function, *values, wrt=None):
    """Compare with dense matrices, in value and in gradient; sparse gradients are those of the stored elements."""
    places = range(len(values)) if wrt is None else wrt
    found, *slopes = program(function, *values, wrt=tuple(places))
    full = [to_dense(value) for value in values]
    expected = dense_function(*full)
    np.testing.assert_allclose(to_dense(found), expected, atol=1e-12)
    gradient = tracer.grad(lambda *args: np.sum(dense_function(*args) ** 2), argnums=tuple(places))(*full)
    for place, slope, wanted in zip(places, slopes, gradient, strict=True):
        if scipy.sparse.issparse(values[place]):
            assert slope.format == values[place].format
            wanted = wanted * (to_dense(sparse_ones(values[place])) != 0)
        np.testing.assert_allclose(to_dense(slope), wanted, atol=1e-10)
    return found


def sparse_ones(value):
    ones = value.copy()
    ones.data = np.ones_like(ones.data)
    return ones


# --- types and variables -------------------------------------------------------------------------------------------


def test_types_and_names():
    x = sparse.csr_matrix("x")
    assert (x.format, x.dtype, x.ndim, x.name, str(x)) == ("csr", "float64", 2, "x", "x")
    assert sparse.csc_matrix(dtype="float32").type == sparse.csc_fmatrix
    assert sparse.csr_dmatrix("y").type == SparseType("csr", "float64") != sparse.csc_dmatrix
    assert str(sparse.csr_dmatrix()) == "SparseVariable{csr,float64}"
    constant = sparse.as_sparse_variable(MAKE["csc"](DENSE))
    assert str(constant) == "SparseConstant{csc,float64,shape=(3, 4),nnz=5}"
    assert pickle.loads(pickle.dumps(x.type)) == x.type
    assert sparse.as_sparse_variable(x) is x


@formats
def test_there_and_back(format):
    x = MAKE[format](DENSE)
    np.testing.assert_array_equal(program(sparse.dense_from_sparse, x), DENSE)
    same = program(lambda x: x, x)
    assert same.format == format and (same != x).nnz == 0
    data, indices, indptr, shape = program(lambda x: sparse.csm_properties(x), x)
    for found, wanted in ((data, x.data), (indices, x.indices), (indptr, x.indptr), (shape, x.shape)):
        np.testing.assert_array_equal(found, wanted)
    again = program(lambda x: sparse.CSM(format)(*sparse.csm_properties(x)), x)
    assert again.format == format and (again != x).nnz == 0
    made = sparse.csr_from_dense if format == "csr" else sparse.csc_from_dense
    new = program(made, DENSE)
    assert new.format == format and new.nnz == 5
    check(made, lambda d: d, DENSE)


@formats
def test_properties_of_variables(format):
    x = MAKE[format](DENSE)
    turned = program(lambda x: x.T, x)
    assert turned.format != format
    np.testing.assert_array_equal(turned.toarray(), DENSE.T)
    np.testing.assert_array_equal(program(lambda x: x.shape, x), [3, 4])
    assert program(lambda x: x.size, x) == 5
    assert program(lambda x: x.astype("float32"), x).dtype == np.float32
    assert program(lambda x: x.tocsr(), x).format == "csr"
    assert program(lambda x: x.zeros_like(), x).nnz == 0
    np.testing.assert_array_equal(program(sparse.sp_ones_like, x).data, np.ones(5))
    np.testing.assert_array_equal(program(lambda x: x.toarray(), x), DENSE)


def test_arguments_are_converted():
    x = sparse.csr_matrix("x")
    f = tracer.function([x], sparse.dense_from_sparse(x))
    np.testing.assert_array_equal(f(MAKE["csc"](DENSE)), DENSE)
    np.testing.assert_array_equal(f(scipy.sparse.coo_matrix(DENSE.astype(np.int32))), np.trunc(DENSE))
    with pytest.raises(TypeError, match="expected Sparse"):
        f(DENSE)
    with pytest.raises(TypeError, match="lose no precision"):
        f(MAKE["csr"](DENSE.astype(complex)))
    with pytest.raises(TypeError, match="HINT: strict=False"):
        tracer.function([tracer.In(x, strict=True)], x)(MAKE["csc"](DENSE))


# --- products ------------------------------------------------------------------------------------------------------


@formats
def test_dot(format):
    x = MAKE[format](DENSE)
    check(sparse.dot, lambda x, w: x @ w, x, W)
    check(sparse.dot, lambda x, w: x @ w, x, W[:, 0])
    check(sparse.dot, lambda w, x: w @ x, W.T[:, :3], x)
    check(sparse.dot, lambda w, x: w @ x, W[:3, 0], x)
    check(lambda x, w: x @ w, lambda x, w: x @ w, x, W)
    assert program(sparse.dot, x, W.astype(np.float32)).dtype == np.float64


@formats
@pytest.mark.parametrize("other", ["csr", "csc"])
def test_products_of_sparse_matrices(format, other):
    x, y = MAKE[format](DENSE), MAKE[other](OTHER.T)
    assert isinstance(check(sparse.dot, lambda x, y: x @ y, x, y), np.ndarray)
    for function in (sparse.true_dot, sparse.structured_dot):
        found = check(function, lambda x, y: x @ y, x, y)
        assert found.format == format
    # Every element at which a product of stored elements ends is stored, also where they cancel.
    assert found.nnz == (sparse_ones(x) @ sparse_ones(y)).nnz


def test_products_of_matrices_that_store_nothing():
    x, y = MAKE["csr"]((3, 4)), MAKE["csr"](OTHER.T)
    assert check(sparse.true_dot, lambda x, y: x @ y, x, y).nnz == 0


@formats
def test_other_products(format):
    x = MAKE[format](DENSE)
    check(sparse.structured_dot, lambda x, w: x @ w, x, W)
    assert check(sparse.true_dot, lambda x, w: x @ w, x, W).format == format
    z = np.ones((3, 2))
    check(lambda x, w, z: sparse.usmm(0.5, x, w, z), lambda x, w, z: 0.5 * (x @ w) + z, x, W, z)
    a = np.arange(6.0).reshape(3, 2) + 1
    check(sparse.sampling_dot, lambda a, b, p: (a @ b.T) * p, a, W, x)


def test_second_derivatives():
    x, w = sparse.csr_matrix("x"), T.dmatrix("w")
    cost = (sparse.dot(x, w) ** 3).sum()
    slope = tracer.grad(cost, w)
    twice = tracer.grad((slope**2).sum(), w)
    found = tracer.function([x, w], twice)(MAKE["csr"](DENSE), W)
    inner = tracer.grad(lambda w: np.sum((DENSE @ w) ** 3))
    np.testing.assert_allclose(found, tracer.grad(lambda w: np.sum(inner(w) ** 2))(W))


def test_a_layer_is_trained_on_sparse_rows():
    rng = np.random.default_rng(0)
    inputs = scipy.sparse.random(50, 20, 0.2, random_state=1, format="csr")
    targets = (inputs @ rng.normal(size=20) > 0).astype(float)
    x, y = sparse.csr_matrix("x"), T.dvector("y")
    w = tracer.shared(np.zeros(20))
    p = T.nnet.sigmoid(sparse.dot(x, w))
    cost = T.nnet.binary_crossentropy(p, y).mean()
    train = tracer.function([x, y], cost, updates=[(w, w - 2.0 * tracer.grad(cost, w))])
    costs = [float(train(inputs, targets)) for _ in range(50)]
    assert costs[0] == pytest.approx(np.log(2)) and costs[-1] < 0.5 * costs[0]
    assert float(train(inputs[:10], targets[:10])) > 0  # another size, another number of stored elements


# --- sums and products element by element --------------------------------------------------------------------------


@formats
def test_arithmetic_with_sparse_matrices(format):
    x, y = MAKE[format](DENSE), MAKE["csr"](OTHER)
    for function, operator in (
        (sparse.add, lambda a, b: a + b),
        (sparse.sub, lambda a, b: a - b),
        (sparse.mul, lambda a, b: a * b),
        (lambda a, b: a + b, lambda a, b: a + b),
        (lambda a, b: a - b, lambda a, b: a - b),
        (lambda a, b: a * b, lambda a, b: a * b),
    ):
        found = check(function, operator, x, y)
        assert found.format == format
    assert program(sparse.mul, x, y).nnz == 3  # what both store
    assert program(sparse.add, x, y).nnz == 7
    assert program(sparse.add_s_s_data, x, 2 * x).nnz == 5
    assert program(sparse.mul, x, MAKE["csr"]((3, 4))).nnz == 0


@formats
def test_arithmetic_with_dense_values(format):
    x = MAKE[format](DENSE)
    dense, row, scalar = OTHER, OTHER[1], np.array(3.0)
    check(sparse.add, lambda a, b: a + b, x, dense)
    check(sparse.sub, lambda a, b: a - b, dense, x)
    check(lambda a, b: b + a, lambda a, b: b + a, x, dense)
    for other in (dense, row, scalar, dense[:1], dense[:, :1]):
        assert scipy.sparse.issparse(check(sparse.mul, lambda a, b: a * b, x, other))
    check(lambda x: 2 * x - x / 4, lambda x: 2 * x - x / 4, x)
    check(lambda x: -x, lambda x: -x, x)
    check(sparse.mul_s_v, lambda a, b: a * b, x, row)
    check(sparse.structured_add_s_v, lambda a, b: (a + b) * (a != 0), x, row)
    check(sparse.col_scale, lambda a, b: a * b, x, row)
    check(sparse.row_scale, lambda a, b: a * b[:, None], x, dense[:, 0])
    np.testing.assert_array_equal(program(lambda x: dense + x, x), dense + DENSE)


def test_comparisons():
    x, y = MAKE["csr"](DENSE), MAKE["csc"](OTHER)
    names = {
        "eq": "equal",
        "neq": "not_equal",
        "lt": "less",
        "gt": "greater",
        "le": "less_equal",
        "ge": "greater_equal",
    }
    for name, numpy_name in names.items():
        expected = getattr(np, numpy_name)(DENSE, OTHER)
        both, one = program(getattr(sparse, name), x, y), program(getattr(sparse, name), x, OTHER)
        assert scipy.sparse.issparse(both) and both.dtype == one.dtype == np.uint8
        np.testing.assert_array_equal(both.toarray(), expected)
        np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(program(lambda x: x > np.ones((3, 4)), x), DENSE > 1)


STRUCTURED = {
    "structured_exp": np.exp,
    "structured_sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "abs_": np.abs,
    "arctan": np.arctan,
    "arcsinh": np.arcsinh,
    "deg2rad": np.deg2rad,
    "expm1": np.expm1,
    "rad2deg": np.rad2deg,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqr": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", STRUCTURED)
@formats
def test_structured_functions(name, format):
    x = MAKE[format](DENSE)
    function = STRUCTURED[name]
    check(getattr(sparse, name), lambda x: np.where(DENSE != 0, function(x), 0.0), x)


def test_more_structured_functions():
    x = MAKE["csr"](np.abs(DENSE))
    stored = DENSE != 0

    def where_stored(function):
        return lambda x: np.where(stored, function(np.where(stored, x, 1.0)), 0.0)

    check(sparse.structured_log, where_stored(np.log), x)
    check(sparse.sqrt, where_stored(np.sqrt), x)
    check(sparse.log1p, where_stored(np.log1p), x)
    check(lambda x: sparse.structured_pow(x, 3), where_stored(lambda x: x**3), x)
    check(lambda x: sparse.structured_add(x, 0.5), where_stored(lambda x: x + 0.5), x)
    check(lambda x: sparse.structured_minimum(x, 2.0), where_stored(lambda x: np.minimum(x, 2.0)), x)
    check(lambda x: sparse.structured_maximum(x, 2.0), where_stored(lambda x: np.maximum(x, 2.0)), x)
    for name in ("ceil", "floor", "rint", "trunc", "sgn"):
        np.testing.assert_array_equal(
            program(getattr(sparse, name), x).toarray(), getattr(np, "sign" if name == "sgn" else name)(np.abs(DENSE))
        )
    small = MAKE["csr"](DENSE / 10)
    np.testing.assert_allclose(program(sparse.arcsin, small).toarray(), np.arcsin(DENSE / 10))
    np.testing.assert_allclose(program(sparse.arctanh, small).toarray(), np.arctanh(DENSE / 10))
    np.testing.assert_array_equal(program(sparse.conj, x.astype(complex)).toarray(), np.abs(DENSE))
    assert program(sparse.structured_exp, x.astype(np.int32)).dtype == np.float64


# --- sums, diagonals, selections -----------------------------------------------------------------------------------


@formats
def test_sums_and_diagonals(format):
    x = MAKE[format](DENSE)
    for axis in (None, 0, 1):
        check(lambda x, a=axis: sparse.sp_sum(x, a), lambda x, a=axis: np.sum(x, axis=a), x)
    check(lambda x: x.sum(axis=-1), lambda x: np.sum(x, axis=1), x)
    square = MAKE[format](DENSE[:, :3] + np.diag([1.0, 0.0, 2.0]))
    check(sparse.diag, np.diagonal, square)
    check(sparse.diag, np.diagonal, x)
    assert check(sparse.square_diagonal, np.diag, np.array([1.0, 0.0, 3.0])).format == "csc"


@formats
def test_order_and_zeros(format):
    x = MAKE[format](DENSE)
    x.data[1] = 0.0
    assert program(sparse.remove0, x).nnz == 4
    mixed = MAKE[format](DENSE)
    mixed.indices[:2] = mixed.indices[:2][::-1].copy()
    mixed.data[:2] = mixed.data[:2][::-1].copy()
    mixed.has_sorted_indices = False
    for function in (sparse.ensure_sorted_indices, sparse.clean):
        found = program(function, mixed)
        assert found.has_sorted_indices
        np.testing.assert_array_equal(found.toarray(), mixed.toarray())
    check(sparse.clean, lambda x: x, mixed)


@formats
def test_selections(format):
    x = MAKE[format](DENSE)
    for key in (
        (slice(1, 3), slice(None)),
        (slice(None), slice(-2, None)),
        (slice(0, 2), slice(1, 4)),
        (slice(1),),
        (slice(5, 9), slice(0, 1)),
    ):
        found = check(lambda x, key=key: x[key], lambda x, key=key: x[key], x)
        assert found.format == format
    check(lambda x: x[0, 3], lambda x: x[0, 3], x)
    check(lambda x: x[-1, 1], lambda x: x[-1, 1], x)
    check(lambda x: x[1, :], lambda x: x[1:2, :], x)
    check(lambda x: x[-1], lambda x: x[-1:], x)
    assert check(lambda x: x[[2, 0, 2, -1]], lambda x: x[[2, 0, 2, -1]], x).format == "csr"
    check(lambda x: x[[0, 1, 2], [3, 0, 1]], lambda x: x[[0, 1, 2], [3, 0, 1]], x)
    s, row = SparseType(format, "float64")("s"), T.iscalar("row")
    part = tracer.function([s, row], [s[row, :], s[row, 3], s[row:, :]])
    for number in (0, 2):
        line, element, rest = part(x, np.int32(number))
        np.testing.assert_array_equal(line.toarray(), DENSE[[number]])
        np.testing.assert_array_equal(rest.toarray(), DENSE[number:])
        assert element == DENSE[number, 3]


def test_stacks():
    x, y = MAKE["csr"](DENSE), MAKE["csc"](OTHER)
    assert check(lambda x, y: sparse.vstack([x, y]), lambda x, y: np.concatenate([x, y]), x, y).format == "csc"
    found = check(lambda x, y: sparse.hstack([x, y], format="csr"), lambda x, y: np.concatenate([x, y], 1), x, y)
    assert found.format == "csr"
    assert program(lambda x, y: sparse.vstack([x, y], "csr", "float32"), x, y).dtype == np.float32


def test_rows_from_a_list():
    values = np.arange(8.0).reshape(2, 4)
    rows = np.array([2, 0])
    found = program(lambda x, v, r: sparse.construct_sparse_from_list(x, v, r), DENSE, values, rows)
    expected = np.zeros((3, 4))
    expected[rows] = values
    np.testing.assert_array_equal(found.toarray(), expected)
    doubled = program(lambda x, v: sparse.construct_sparse_from_list(x, v, np.array([1, 1])), DENSE, values)
    np.testing.assert_array_equal(doubled.toarray()[1], values.sum(0))
    # Elements that are stored twice count as their sum.
    ones = np.array([1, 1])
    found = program(lambda x, v: sparse.mul(sparse.construct_sparse_from_list(x, v, ones), x), DENSE, values)
    np.testing.assert_array_equal(found.toarray(), doubled.toarray() * DENSE)


# --- shared values and constants -----------------------------------------------------------------------------------


def test_shared_matrices():
    x = tracer.shared(MAKE["csr"](DENSE), name="x")
    assert x.type == sparse.csr_dmatrix and x.name == "x"
    w = T.dmatrix("w")
    f = tracer.function([w], sparse.dot(x, w), updates=[(x, 2 * x)])
    np.testing.assert_allclose(f(W), DENSE @ W)
    np.testing.assert_allclose(f(W), 2 * DENSE @ W)
    assert x.get_value().format == "csr"
    np.testing.assert_allclose(x.get_value().toarray(), 4 * DENSE)
    x.set_value(MAKE["csr"](OTHER))
    np.testing.assert_allclose(f(W), OTHER @ W)
    with pytest.raises(TypeError, match="expected Sparse"):
        x.set_value(DENSE)
    np.testing.assert_allclose(tracer.function([], sparse.dense_from_sparse(x.T))(), 2 * OTHER.T)


def test_shared_matrices_need_no_import():
    code = (
        "import scipy.sparse, tracer\n"
        "x = tracer.shared(scipy.sparse.eye(2, format='csr'))\n"
        "assert str(x.type) == 'Sparse[float64, csr]', x.type"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_constants():
    w = T.dmatrix("w")
    np.testing.assert_allclose(tracer.function([w], sparse.dot(MAKE["csc"](DENSE), w))(W), DENSE @ W)
    np.testing.assert_allclose(tracer.function([w], sparse.csr_matrix(MAKE["csc"](DENSE)) @ w)(W), DENSE @ W)
    slope = tracer.function([w], tracer.grad(sparse.dot(MAKE["csr"](DENSE), w).sum(), w))
    np.testing.assert_allclose(slope(W), DENSE.T @ np.ones((3, 2)))


def test_functions_are_pickled():
    x, w = sparse.csr_matrix("x"), T.dmatrix("w")
    f = pickle.loads(pickle.dumps(tracer.function([x, w], sparse.dot(x, w))))
    np.testing.assert_allclose(f(MAKE["csr"](DENSE), W), DENSE @ W)


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda x: SparseType("coo", "float64"), NotImplementedError, r"format 'csr' or 'csc'.*\nHINT"),
        (lambda x: SparseType("csr", "bool"), NotImplementedError, r"not supported.*\nHINT"),
        (lambda x: sparse.as_sparse_variable(DENSE), TypeError, r"expected a sparse matrix.*\nHINT"),
        (lambda x: sparse.dot(T.dmatrix(), T.dmatrix()), TypeError, r"dot needs a sparse matrix.*\nHINT"),
        (lambda x: sparse.dot(x, T.dtensor3()), TypeError, r"takes matrices and vectors.*\nHINT"),
        (lambda x: sparse.add(T.dmatrix(), T.dmatrix()), TypeError, "add needs a sparse matrix"),
        (lambda x: np.exp(x), TypeError, r"exp does not work on sparse matrices.*\nHINT"),
        (lambda x: x**2, TypeError, "does not work on sparse"),
        (lambda x: 1 / x, TypeError, "division by a sparse"),
        (lambda x: T.exp(x), TypeError, "sparse|tensor"),
        (lambda x: sparse.structured_pow(x, T.dvector()), TypeError, r"structured_pow takes a scalar.*\nHINT"),
        (lambda x: sparse.col_scale(x, T.dmatrix()), TypeError, "vector of scales"),
        (lambda x: sparse.square_diagonal(T.dmatrix()), TypeError, "takes a vector"),
        (lambda x: sparse.csr_from_dense(T.dvector()), TypeError, "takes a matrix"),
        (lambda x: sparse.sampling_dot(T.dvector(), T.dmatrix(), x), TypeError, "takes matrices"),
        (lambda x: sparse.sp_sum(x, 2), ValueError, "axis"),
        (lambda x: x[::2], TypeError, r"cannot be indexed.*\nHINT"),
        (lambda x: x[0, 1, 2], TypeError, "cannot be indexed"),
        (lambda x: x[[0, 1], 2], TypeError, "cannot be indexed"),
    ],
)
def test_errors_while_building(function, error, match):
    with pytest.raises(error, match=match):
        function(sparse.csr_matrix("x"))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sparse.dot(x, W[:2]),
        lambda x: sparse.true_dot(x, x),
        lambda x: sparse.add(x, MAKE["csr"]((2, 2))),
        lambda x: sparse.mul(x, np.ones((5, 4))),
        lambda x: sparse.vstack([x, MAKE["csr"]((2, 2))]),
        lambda x: sparse.CSR(np.ones(2), np.zeros(3, np.int32), np.zeros(4, np.int32), (3, 4)),
    ],
)
def test_sizes_that_do_not_fit(function):
    x = sparse.csr_matrix("x")
    f = tracer.function([x], function(x), on_unused_input="ignore")
    with pytest.raises(ValueError):
        f(MAKE["csr"](DENSE))
