"""Options, methods, in-place functions, and the errors of the traced NumPy functions."""

import inspect

import numpy as np
import pytest
from ops.table import check_value

import tracer

# --- what NumPy's own errors say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x, x[:, :2]], axis=0),
        lambda x: np.stack([x, x[0]]),
        lambda x: np.reshape(x, (5, 5)),
        lambda x: np.transpose(x, (0, 0)),
        lambda x: np.transpose(x, (0,)),
        lambda x: np.sum(x, axis=2),
        lambda x: np.sum(x, axis=(0, 0)),
        lambda x: np.broadcast_to(x, (3,)),
        lambda x: np.squeeze(x, 0),
        lambda x: np.split(x, 2),
        lambda x: np.moveaxis(x, 0, 5),
        lambda x: np.max(x[:0]),
        lambda x: np.argmax(x[:, :0], axis=1),
        lambda x: x[3],
        lambda x: x[0, 4],
        lambda x: x[0, 0, 0],
        lambda x: x[1.0],
        lambda x: x[[0, 5]],
        lambda x: x[np.array([True, False])],
        lambda x: x[[0, 1], [0, 1, 2]],
        lambda x: x["a"],
        lambda x: x @ x,
        lambda x: np.dot(x, x),
        lambda x: np.matmul(x, 2.0),
        lambda x: np.tensordot(x, x, 1),
        lambda x: np.einsum("ij,jk", x, x),
        lambda x: np.einsum("ijk", x),
        lambda x: x + x[:, :3],
        lambda x: np.linalg.norm(x, "bad"),
        lambda x: np.where(x > 0, x),
        lambda x: np.average(x, weights=np.ones(4)),
        lambda x: np.expand_dims(x, 4),
        lambda x: np.diff(x, -1),
        lambda x: np.cross(x, x),
        lambda x: np.repeat(x, -1),
        lambda x: x.astype(np.int64, casting="safe"),
    ],
)
def test_errors_are_numpys(function):
    x = np.arange(12.0).reshape(3, 4)
    with pytest.raises((ValueError, IndexError, TypeError)) as expected:
        function(x)
    with pytest.raises((ValueError, IndexError, TypeError)) as found:
        tracer.compile(function)(x)
    assert isinstance(found.value, type(expected.value)) or type(found.value) in type(expected.value).__mro__


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x: np.pad(x, 1, "median"), "mode"),
        (lambda x: np.linalg.qr(x, "raw"), "mode"),
        (lambda x: x.astype(np.float16), "float16"),
        (lambda x: np.sin(x.astype(np.int8)), "float16"),
    ],
)
def test_what_is_not_supported_says_so(function, match):
    with pytest.raises(tracer.errors.TraceError, match=match) as found:
        tracer.compile(function)(np.ones((3, 4)))
    assert "HINT" in str(found.value)


# --- in place, options, methods ----------------------------------------------------------------------------------


def in_place(name):
    def function(x):
        y = x * 1.0
        match name:
            case "copyto":
                np.copyto(y, x + 1, where=np.array([True, False, True, False]))
            case "fill_diagonal":
                np.fill_diagonal(y, 7)
            case "put":
                np.put(y, [1, 5], [8, 9])
            case "put_along_axis":
                np.put_along_axis(y, np.argmax(x, axis=1)[:, None], 0, axis=1)
            case "putmask":
                np.putmask(y, x > 5, -x)
            case "mask":
                y[x > 5] = 0
            case "rows":
                y[[0, 2], 1:3] = x[:2, :2]
            case "at":
                np.add.at(y, [0, 0, 1], x[0])
        return y

    return function


@pytest.mark.parametrize("name", ["copyto", "fill_diagonal", "put", "put_along_axis", "putmask", "mask", "rows", "at"])
def test_functions_that_write_in_place(name):
    x = np.arange(12.0).reshape(3, 4) + 0.25
    check_value(in_place(name), [x], name)
    tracer.testing.check_grads(in_place(name), (x,), order=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.frexp(x)[0] + np.frexp(x)[1],
        lambda x: np.permute_dims(x, (1, 0)),
        lambda x: x.sum(0).mean(),
        lambda x: x.reshape(-1, order="F"),
        lambda x: x.transpose().swapaxes(0, 1),
        lambda x: x.astype(np.float32).astype(complex).conj().real,
        lambda x: x.clip(min=0.5, max=3),
        lambda x: x.compress([True, False, True], axis=0),
        lambda x: x.repeat(2, axis=1).take([1, 2], axis=0).cumsum(1),
        lambda x: x.argsort(axis=1) + x.argmax(),
        lambda x: x.dot(x.T).trace(),
        lambda x: x.std(ddof=1) * x.var(axis=0) + x.prod() + x.max(axis=1).min(),
        lambda x: np.concatenate([x, np.ones((1, 4))]),
        lambda x: np.stack([x[0], [1, 2, 3, 4]]),
        lambda x: np.clip(x, 2, None) + np.round(x, 1),
        lambda x: np.sum(x, axis=0, keepdims=True, initial=5, where=x > 3),
        lambda x: np.mean(x, where=x > 3),
        lambda x: np.max(x, axis=1, initial=0, where=x < 5),
        lambda x: np.where(x > 3, 1, 0),
        lambda x: np.add.reduce(x) + np.multiply.accumulate(x, axis=1)[0] + np.add.outer(x[0], x[1])[2],
        lambda x: (x > 2).sum() + np.count_nonzero(x) + (x > 2).mean(),
        lambda x: np.einsum("ij,kj->ik", x, x, optimize=True),
        lambda x: np.linspace(x[0, 0], x[2, 3], 4, dtype=int),
        lambda x: np.pad(x, {-1: 2}, constant_values=1),
        lambda x: x.view() if False else x[::-1, ::2] + x[None, :, 1, None].squeeze()[:, None],
        lambda x: np.average(x, axis=0, weights=[1, 2, 3]),
        lambda x: np.equal(x.astype(np.int64), np.arange(12, dtype=np.uint64).reshape(3, 4)),
        lambda x: (x.astype(np.int64) - 3) < np.uint64(2),
        lambda x: x.astype(np.uint8) < 300,
        lambda x: x.astype(np.int64) ** 2 + x.astype(np.int8) * 3,
    ],
)
def test_options_and_methods(function):
    check_value(function, [np.arange(12.0).reshape(3, 4) + 0.25], inspect.getsource(function).strip())


@pytest.mark.parametrize("power", [2, 3, 0.5, -1, 1, 0, 2.0, -0.5])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.complex128])
def test_powers_with_python_exponents(power, dtype):
    check_value(lambda x: x**power, [np.arange(1, 5).astype(dtype)], f"{dtype} ** {power}")


def test_an_integer_to_a_negative_integer_power():
    with pytest.raises(ValueError, match="negative integer powers"):
        tracer.compile(lambda x: x**-1)(np.arange(1, 3))


EMPTY = [
    lambda x: np.sum(x, axis=1),
    lambda x: np.prod(x, axis=1),
    lambda x: np.any(x, axis=1),
    lambda x: np.all(x, axis=1),
    lambda x: np.mean(x, axis=0),
    lambda x: np.max(x, axis=0),
    lambda x: np.max(x, axis=1, initial=3.0),
    lambda x: np.argmax(x, axis=0),
    lambda x: np.cumsum(x, axis=1),
    lambda x: np.cumprod(x),
    lambda x: x.T @ x,
    lambda x: x @ x.T,
    lambda x: np.einsum("ij,kj->ik", x, x),
    lambda x: np.concatenate([x, x], axis=1),
    lambda x: np.concatenate([x, np.ones((3, 1))], axis=1),
    lambda x: np.reshape(x, (2, 0, 5)),
    lambda x: np.transpose(x)[..., None],
    lambda x: x[:, [0, -1][:0]],
    lambda x: x[[2, 0]],
    lambda x: np.tile(x, (2, 2)),
    lambda x: np.repeat(x, 2, axis=0),
    lambda x: np.flip(x) + np.roll(x, 1, axis=1),
    lambda x: np.sort(x, axis=0),
    lambda x: np.pad(x, 1),
    lambda x: np.where(x > 0, x, 1),
    lambda x: np.linalg.norm(x),
]


@pytest.mark.parametrize("function", EMPTY)
def test_no_elements(function):
    check_value(function, [np.zeros((3, 0))], inspect.getsource(function).strip())


SCALAR = [
    lambda x: np.sum(x) + np.sum(x, axis=0) + np.prod(x, axis=-1),
    lambda x: np.mean(x) + np.std(x) + np.ptp(x),
    lambda x: np.max(x, keepdims=True),
    lambda x: np.argmax(x),
    lambda x: np.argmin(x, axis=0),
    lambda x: np.cumsum(x),
    lambda x: np.cumprod(x),
    lambda x: np.ravel(x),
    lambda x: np.transpose(x),
    lambda x: np.reshape(x, (1, 1)),
    lambda x: np.expand_dims(x, 0),
    lambda x: np.squeeze(x),
    lambda x: np.broadcast_to(x, (2, 3)),
    lambda x: np.stack([x, 2.0 * x]),
    lambda x: np.hstack([x, 1.0]),
    lambda x: np.dot(x, x),
    lambda x: np.outer(x, x),
    lambda x: np.inner(x, 3.0),
    lambda x: np.vdot(x, x),
    lambda x: np.kron(x, x),
    lambda x: np.tensordot(x, x, 0),
    lambda x: np.einsum(",->", x, x),
    lambda x: x[()] + x[...],
    lambda x: x[None, ...],
    lambda x: x[True],
    lambda x: x[False],
    lambda x: np.take(x, [0, 0]),
    lambda x: np.tile(x, 3),
    lambda x: np.repeat(x, 3),
    lambda x: np.atleast_2d(x),
    lambda x: np.where(x > 0, x, 0),
    lambda x: np.clip(x, 0, 1),
    lambda x: np.append(x, x),
    lambda x: np.full_like(x, 3),
    lambda x: np.linspace(0, x, 3),
    lambda x: np.flip(x),
    lambda x: np.sort(x, axis=None),
    lambda x: np.linalg.norm(x),
    lambda x: np.allclose(x, 1.5),
    lambda x: np.nan_to_num(x),
]


@pytest.mark.parametrize("function", SCALAR)
def test_no_axes(function):
    check_value(function, [np.array(1.5)], inspect.getsource(function).strip())
