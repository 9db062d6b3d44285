"""What `tracer.tensor` has, and the parts of it that have no test of their own."""

import importlib

import numpy as np
import pytest

import tracer
import tracer.tensor as T
from tracer.symbolic.program import SymbolicProgram

NAMES = """
TensorType TensorVariable TensorConstant TensorSharedVariable as_tensor_variable constant tensor cast
zeros ones zeros_like ones_like eye identity_like alloc fill second arange mgrid ogrid diag tri tril triu choose
extract_diag diagonal
add sub mul true_div int_div floor_div mod pow neg abs_ inv sqr sgn sqrt exp exp2 expm1 log log2 log10 log1p
ceil floor trunc round iround sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh
deg2rad rad2deg erf erfc erfcx erfinv erfcinv gamma gammaln psi tri_gamma chi2sf gammainc gammaincc gammau gammal
j0 j1 jv i0 i1 iv maximum minimum largest smallest clip switch where isnan isinf isclose allclose
eq neq lt le gt ge and_ or_ xor invert bitwise_and bitwise_or bitwise_xor bitwise_not
real imag angle conj complex complex_from_polar
sum prod mean var std max min argmax argmin max_and_argmax all any ptp
dot tensordot batched_dot batched_tensordot outer
tile repeat roll join concatenate stack stacklists split vertical_stack horizontal_stack flatten reshape
shape shape_padleft shape_padright shape_padaxis transpose swapaxes squeeze addbroadcast unbroadcast
patternbroadcast Rebroadcast specify_shape
nonzero nonzero_values flatnonzero take set_subtensor inc_subtensor permute_row_elements inverse_permutation
get_vector_length get_scalar_constant_value NotScalarConstantError EmptyConstantError tensor_copy load
grad Rop Lop jacobian hessian numeric_grad verify_grad consider_constant
cumsum cumprod diff bincount compress searchsorted unique fill_diagonal fill_diagonal_offset to_one_hot bartlett
unravel_index ravel_multi_index sort argsort topk argtopk
DimShuffle Elemwise CAReduce RandomStreams nnet signal nlinalg slinalg extra_ops fft raw_random shared_randomstreams
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_the_door_has_every_name_of_theano_s_reference(name):
    assert getattr(T, name).__doc__


@pytest.mark.parametrize(
    "path, names",
    [
        ("basic", "dot exp dmatrix set_subtensor reshape"),
        ("var", "TensorVariable TensorConstant TensorSharedVariable"),
        ("type", "TensorType"),
        ("elemwise", "Elemwise DimShuffle CAReduce Sum Prod All"),
        ("subtensor", "set_subtensor inc_subtensor take"),
        ("io", "load"),
    ],
)
def test_theano_s_modules(path, names):
    module = importlib.import_module(f"tracer.tensor.{path}")
    for name in names.split():
        assert hasattr(module, name)
    assert callable(T.var)
    assert callable(T.sort)


def test_classes_of_operations():
    from tracer.tensor import elemwise

    x = T.dmatrix("x")
    outputs = [
        T.DimShuffle((False, False), [1, "x", 0])(x),
        elemwise.Sum(axis=1)(x),
        elemwise.Prod()(x),
        T.CAReduce(T.maximum, axis=0)(x),
        T.Elemwise(np.hypot)(x, 3.0),
    ]
    data = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = [data.T[:, None], data.sum(1), data.prod(), data.max(0), np.hypot(data, 3)]
    for found, wanted in zip(SymbolicProgram([x], outputs, {}, "test")(data), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert isinstance((x + 1).owner.op, T.Elemwise)
    assert not isinstance(x.sum().owner.op, T.Elemwise)
    with pytest.raises(TypeError, match=r"takes tensors with the pattern \(False,\)"):
        T.DimShuffle((False,), [0])(x)
    with pytest.raises(ValueError, match="there is no reduction by sub"):
        T.CAReduce(T.sub)


def test_load_reads_the_file_at_every_call(tmp_path):
    path = str(tmp_path / "array.npy")
    np.save(path, np.arange(3))
    f = tracer.function([], T.load(path, "int64", (False,)) * 2)
    assert f().tolist() == [0, 2, 4]
    np.save(path, np.arange(3) + 1)
    assert f().tolist() == [2, 4, 6]
    np.save(path, np.arange(5))
    assert f().tolist() == [0, 2, 4, 6, 8]
    np.save(path, np.zeros(3))
    with pytest.raises(TypeError, match="holds an array of dtype float64 and 1 dimensions, not int64 and 1"):
        f()


def test_load_of_a_path_that_is_an_argument(tmp_path):
    from tracer.tracing.symbolic_type import GenericType

    path = GenericType()("path")
    f = tracer.function([path], T.load(path, "float64", (False, True), mmap_mode="r").sum(axis=1))
    for number in range(2):
        name = tmp_path / f"{number}.npy"
        np.save(name, np.full((2, 1), float(number)))
        assert f(str(name)).tolist() == [number, number]
    with pytest.raises(ValueError, match="mmap_mode must be None, 'r' or 'c', not 'w'"):
        T.load(path, "float64", (), mmap_mode="w")


def test_numpy_s_questions_about_types_are_answered_at_once():
    x = T.fmatrix("x")
    assert np.ndim(x) == 2
    assert np.result_type(x, np.float64) == np.float64
    assert not np.iscomplexobj(x)
    assert np.isrealobj(x)


def test_x_log_x():
    x = T.dvector("x")
    f = tracer.function([x], [T.xlogx.xlogx(x), T.xlogx.xlogy0(x, 2 * x)])
    data = np.array([0.0, 1.0, 2.0])
    for found, expected in zip(f(data), ([0, 0, 2 * np.log(2)], [0, np.log(2), 2 * np.log(4)]), strict=True):
        np.testing.assert_allclose(found, expected)


def test_names_of_dtypes():
    assert "int32" in T.discrete_dtypes
    assert "float32" in T.continuous_dtypes
    assert set(T.all_dtypes) == {*T.bool_dtypes, *T.integer_dtypes, *T.float_dtypes, *T.complex_dtypes}
    assert T.ivector().dtype in T.int_dtypes
    assert T.TensorType("uint8", ()).dtype in T.uint_dtypes


def test_scalars_and_tensors():
    x = T.dscalar("x")
    assert T.scalar_from_tensor(x) is x
    assert T.tensor_from_scalar(x) is x
    with pytest.raises(TypeError, match=r"(?s)v has 1 dimensions and is no scalar.*HINT"):
        T.scalar_from_tensor(T.dvector("v"))


def test_functions_compute_inside_a_trace():
    @tracer.compile
    def layer(x, w):
        return T.nnet.sigmoid(T.dot(x, w)).sum(axis=0), T.concatenate([x, T.ones((2, 1))], axis=1)

    x, w = np.ones((2, 3)), np.full((3, 2), 0.5)
    total, joined = layer(x, w)
    np.testing.assert_allclose(total, 2 / (1 + np.exp(-1.5)) * np.ones(2))
    np.testing.assert_array_equal(joined, np.ones((2, 4)))
