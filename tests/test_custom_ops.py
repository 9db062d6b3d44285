"""Ops and callbacks of one's own: values, both modes, batching, names, and errors."""

import numpy as np
import pytest
from scipy.special import wofz

import tracer
from tracer import errors
from tracer.testing import check_grads

RNG = np.random.default_rng(3)
X, W = RNG.random(4), RNG.random(4)
M = RNG.random((3, 3)) + np.eye(3)

imaginary = tracer.custom_op("imaginary", lambda x: wofz(x + 1j).imag, elementwise=True)
voigt = tracer.custom_op(
    "voigt",
    lambda x: wofz(x + 1j).real,
    elementwise=True,
    deriv=lambda y, x: -2 * x * y + 2 * imaginary(x),
)
times = tracer.custom_op(
    "times", lambda a, b: np.multiply(a, b), elementwise=True, deriv=(lambda y, a, b: b, lambda y, a, b: a)
)


@tracer.custom_op(vjp=lambda g, y, a: g * y * np.linalg.inv(a).T, result=lambda a: ((), a.dtype))
def determinant(a):
    return np.linalg.det(a)


@tracer.custom_op(jvp=lambda tangents, y, x, w, scale: (tangents[0] * w + x * tangents[1], np.sum(tangents[0]) * scale))
def pair(x, w, scale=1):
    return [a * b for a, b in zip(x.tolist(), w.tolist(), strict=True)] @ np.eye(len(x)), np.sum(x) * scale


def plain_pair(x, w, scale=1):
    return x * w, np.sum(x) * scale


def both(f):
    def cost(x, w):
        first, second = f(x, w, scale=3)
        return np.sum(first**2) * second

    return cost


def same(one, two, *cases):
    for args in cases:
        found, wanted = one(*args), two(*args)
        for a, b in zip(tracer.tree.flatten(found)[0], tracer.tree.flatten(wanted)[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


TRANSFORMS = [
    lambda f: f,
    lambda f: tracer.grad(f, argnums=(0, 1)),
    lambda f: lambda x, w: tracer.jvp(f, (x, w), (np.cos(x), w)),
    lambda f: lambda x, w: tracer.jvp(tracer.grad(f), (x, w), (np.cos(x), w)),
    lambda f: tracer.hessian(f),
    lambda f: lambda x, w: tracer.vmap(tracer.grad(f), in_axes=(0, None))(np.stack([x, 2 * x]), w),
    lambda f: tracer.grad(lambda x, w: np.sum(tracer.vmap(f, in_axes=(None, 0))(x, np.stack([w, 2 * w])))),
]


@pytest.mark.parametrize("number", range(len(TRANSFORMS)))
def test_ops_under_transforms(number):
    transform = TRANSFORMS[number]
    cases = (X, W), (2 * X, W - 1)
    same(tracer.compile(transform(both(pair))), tracer.compile(transform(both(plain_pair))), *cases)
    one, two = (lambda x, w, f=f: np.sum(f(x[:, None], w) ** 2 * w) for f in (times, np.multiply))
    same(tracer.compile(transform(one)), tracer.compile(transform(two)), *cases)
    one, two = (lambda m, w, f=f: f(m * w[:3]) ** 2 for f in (determinant, np.linalg.det))
    same(tracer.compile(transform(one)), tracer.compile(transform(two)), (M, W), (2 * M, W + 1))


def test_elementwise_ops():
    check_grads(lambda x: np.sum(np.sin(voigt(x))), (X,))
    gradient = tracer.vmap(tracer.grad(lambda x: voigt(x)))
    for x in (X, X + 1):
        np.testing.assert_allclose(gradient(x), (voigt(x + 1e-6) - voigt(x - 1e-6)) / 2e-6, rtol=1e-8)
    assert tracer.compile(lambda x: times(x, 2))(np.float32([1, 2])).dtype == np.float32
    assert tracer.compile(lambda x: times(x, 2))(np.arange(3)).tolist() == [0, 2, 4]


def test_names():
    assert tracer.pp(lambda x: 2 * voigt(x) + pair(x, x)[0], X) == "2.0 * voigt(x) + pair(x, x)[0]"
    assert tracer.pp(lambda m: determinant(m) + 1, M) == "determinant(m) + 1.0"
    assert "determinant [" in tracer.debugprint(lambda m: determinant(m), M)
    assert repr(determinant) == "<op determinant>"


def test_types_of_results():
    runs = []

    @tracer.custom_op
    def halves(x):
        runs.append(x.shape)
        return np.asarray(x, np.float32)[::2], len(x)

    f = tracer.compile(lambda x: halves(x))
    for x in (X, W):
        first, second = f(x)
        np.testing.assert_array_equal(first, np.float32(x[::2]))
        assert second == 4
    assert runs == [(4,)] * 3  # once on ones, then at each call
    announced = tracer.custom_op("announced", lambda x: (x, x[:2]), result=lambda x: [x, ((2,), x.dtype)])
    assert [part.shape for part in tracer.compile(lambda x: announced(x))(X)] == [(4,), (2,)]


def test_batching_by_the_op():
    shapes = []

    def function(x, w):
        shapes.append(x.shape)
        return np.sum(x * w, -1)

    xs = np.stack([X, 2 * X, 3 * X])
    expected = np.sum(xs * W, -1)
    own = tracer.custom_op(
        "own",
        function,
        batch=lambda inputs, is_batched, size: inputs[0] @ inputs[1],
        result=lambda x, w: ((), x.dtype),
    )
    whole = tracer.custom_op("whole", function, batch=True, result=lambda x, w: ((), x.dtype))
    single = tracer.custom_op("single", function, result=lambda x, w: ((), x.dtype))
    for op, seen in ((own, []), (whole, [(3, 4)]), (single, [(4,)] * 3)):
        shapes.clear()
        f = tracer.compile(lambda xs, w, op=op: tracer.vmap(op, in_axes=(0, None))(xs, w))
        np.testing.assert_allclose(f(xs, W), expected)
        assert shapes == seen
        np.testing.assert_allclose(f(2 * xs, W), 2 * expected)
    nested = tracer.vmap(tracer.vmap(single, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_allclose(nested(xs, np.stack([W, X])), xs @ np.stack([W, X]).T)


def fails(function, *args, error, match):
    with pytest.raises(error, match=match) as caught:
        function(*args)
    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
    assert "test_custom_ops.py" in text
    return text


def test_errors_of_ops():
    op = tracer.custom_op
    none = op("none", lambda x: np.sort(x))
    flat = op("flat", lambda x: np.sort(x), elementwise=True)
    missing = errors.NotDifferentiableError
    assert "HINT" in fails(tracer.grad(lambda x: np.sum(none(x))), X, error=missing, match="the op none has neither")
    fails(lambda: tracer.jvp(none, (X,), (X,)), error=missing, match="the op none has neither")
    fails(tracer.grad(lambda x: np.sum(flat(x))), X, error=missing, match="flat")
    short = op("short", lambda x: x[1:], result=lambda x: x)
    fails(tracer.compile(lambda x: short(x)), X, error=ValueError, match="short gave .*3.*announced[\\s\\S]*HINT")
    fails(tracer.compile(lambda x: op("bad", lambda x: 1 / 0)(x)), X, error=ValueError, match="result=lambda")
    fails(tracer.compile(lambda x: op("bad", lambda x: x, result=lambda x: 3)(x)), X, error=ValueError, match="shape")
    raising = op("raising", lambda x: {}["missing"], result=lambda x: x)
    fails(tracer.compile(lambda x: raising(x)), X, error=KeyError, match="missing")
    writing = op("writing", lambda x: x.sort(), result=lambda x: x)
    fails(tracer.compile(lambda x: writing(x)), X, error=ValueError, match="read-only")
    static = op("static", lambda x, k: x)
    fails(tracer.compile(lambda x: static(x, k=[1])), X, error=TypeError, match="k=.* cannot be hashed")
    lone = op("lone", lambda x, w: x * w, vjp=lambda g, y, x, w: g)
    fails(tracer.compile(tracer.grad(lambda x: np.sum(lone(x, x)))), X, error=TypeError, match="2 cotangents")
    with pytest.raises(TypeError, match="deriv has 1 rules"):
        op("two", np.add, elementwise=True, deriv=lambda y, a: a)(X, X)
    with pytest.raises(TypeError, match="takes no vjp"):
        op("two", np.add, elementwise=True, vjp=lambda g, y, a: a)
    with pytest.raises(TypeError, match="takes no deriv"):
        op("two", np.add, deriv=lambda y, a: a)
    with pytest.raises(TypeError, match="needs a function"):
        op("two", 3)


# --- callbacks ---------------------------------------------------------------------------------------------------


def test_callbacks():
    calls = []

    def described(values, label, scale=1):
        calls.append(label)
        x = values["x"]
        return {"sorted": np.sort(x, axis=-1) * scale, "most": x.max(-1)}

    def f(x):
        kinds = {"sorted": x, "most": (x.shape[:-1], x.dtype)}
        return tracer.pure_callback(described, kinds, {"x": x}, "label", scale=2)

    for function in (f, tracer.compile(f)):
        for x in (X, W):
            found = function(x)
            np.testing.assert_array_equal(found["sorted"], 2 * np.sort(x))
            assert found["most"] == x.max()
    assert calls == ["label"] * 4


def test_callbacks_of_batches():
    sizes = []

    def largest(x, bound):
        sizes.append(x.shape)
        return np.minimum(x.max(-1), bound)

    for vectorized, seen in ((False, [(4,), (4,)]), (True, [(2, 4)])):
        f = tracer.compile(
            tracer.vmap(
                lambda x, v=vectorized: tracer.pure_callback(largest, ((), float), x, x[0] * 0 + 9, vectorized=v)
            )
        )
        sizes.clear()
        np.testing.assert_array_equal(f(np.stack([X, W])), [X.max(), W.max()])
        assert sizes == seen


def test_errors_of_callbacks():
    call = tracer.pure_callback
    hint = errors.NotDifferentiableError
    text = fails(tracer.grad(lambda x: np.sum(call(np.sort, x, x))), X, error=hint, match="callback sort")
    assert "custom_vjp" in text
    np.testing.assert_array_equal(
        tracer.grad(lambda x: np.sum(x * call(np.sort, x, tracer.stop_gradient(x))))(X), np.sort(X)
    )
    fails(tracer.compile(lambda x: call(np.sort, ((2,), float), x)), X, error=ValueError, match="sort gave")
    fails(tracer.compile(lambda x: call(lambda x: [x], x, x)), X, error=ValueError, match="a list")
    fails(tracer.compile(lambda x: call(lambda x: x[9], ((), float), x)), X, error=IndexError, match="out of bounds")
    fails(tracer.compile(lambda x: call(np.sort, "float", x)), X, error=TypeError, match="shape, dtype")
    with pytest.raises(ValueError, match="announced"):
        call(np.sort, ((2,), float), X)
