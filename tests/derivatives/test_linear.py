"""Derivatives at a point as functions: vjp, jvp, linearize and linear_transpose."""

import numpy as np
import pytest

import tracer
from tracer import errors

X = np.array([0.3, -1.2, 2.0])


def nested(p, scale):
    hidden = np.tanh(p["w"] @ p["b"])
    return hidden * scale, {"total": np.sum(hidden**2), "order": np.argsort(p["b"])}


def arguments(shift=0.0):
    return {"w": np.arange(6.0).reshape(2, 3) / 7 + shift, "b": X + shift}, 2.0 + shift


def inner(one, other):
    return sum(np.sum(a * b) for a, b in zip(one, other, strict=True))


def test_pull_and_push_are_transposes_and_agree_with_jvp():
    random = np.random.default_rng(0)
    calls = []

    def counted(p, scale):
        calls.append(1)
        return nested(p, scale)

    for shift in (0.0, 0.5, -0.3):
        p, scale = arguments(shift)
        value, pull = tracer.vjp(counted, p, scale)
        same, push = tracer.linearize(counted, p, scale)
        expected = nested(p, scale)
        for found in (value, same):
            np.testing.assert_allclose(found[0], expected[0])
            np.testing.assert_allclose(found[1]["total"], expected[1]["total"])
            np.testing.assert_array_equal(found[1]["order"], expected[1]["order"])
        for _ in range(3):
            move = {"w": random.standard_normal((2, 3)), "b": random.standard_normal(3)}
            step = float(random.standard_normal())
            pushed = push(move, step)
            _, tangent = tracer.jvp(counted, (p, scale), (move, step))
            np.testing.assert_allclose(pushed[0], tangent[0])
            np.testing.assert_allclose(pushed[1]["total"], tangent[1]["total"])
            np.testing.assert_array_equal(pushed[1]["order"], np.zeros(3))
            weights = random.standard_normal(2), {"total": random.standard_normal(), "order": np.zeros(3)}
            dp, dscale = pull(weights)
            forward = inner((weights[0], weights[1]["total"]), (pushed[0], pushed[1]["total"]))
            assert np.isclose(inner((dp["w"], dp["b"], dscale), (move["w"], move["b"], step)), forward)
    assert len(calls) <= 6  # for each of vjp, linearize and jvp one trace, and one for what the others did to `calls`


def test_what_is_kept_is_of_the_time_of_the_call():
    x = X.copy()
    _, pull = tracer.vjp(lambda x: np.sum(x * x), x)
    _, other = tracer.vjp(lambda x: np.sum(x * x), 2 * x)
    x[:] = 100
    np.testing.assert_allclose(pull(1.0)[0], 2 * X)
    np.testing.assert_allclose(other(1.0)[0], 4 * X)
    np.testing.assert_allclose(pull(3)[0], 6 * X)
    assert "pull of" in repr(pull)


def test_closures_and_captured_arrays_are_read_at_the_call():
    scale = np.array([1.0, 2.0, 3.0])

    def f(x):
        return np.sum(scale * x**2)

    _, pull = tracer.vjp(f, X)
    np.testing.assert_allclose(pull(1.0)[0], [0.6, -4.8, 12])
    scale *= 2
    np.testing.assert_allclose(pull(1.0)[0], [0.6, -4.8, 12])
    np.testing.assert_allclose(tracer.vjp(f, X)[1](1.0)[0], [1.2, -9.6, 24])


def test_inside_and_between_traces():
    @tracer.compile
    def inside(x):
        value, pull = tracer.vjp(np.sin, x)
        same, push = tracer.linearize(np.sin, x)
        return value - same, pull(x)[0], pull(value)[0], push(x)

    for x in (X, X + 1):
        zero, one, two, three = inside(x)
        assert not zero.any()
        np.testing.assert_allclose(one, np.cos(x) * x)
        np.testing.assert_allclose(two, np.cos(x) * np.sin(x))
        np.testing.assert_allclose(three, one)
        slope = tracer.grad(lambda x: np.sum(tracer.vjp(lambda y: y**3, x)[1](x)[0]))
        np.testing.assert_allclose(slope(x), 9 * x**2)


def test_a_pullback_is_used_in_a_later_trace():
    _, pull = tracer.vjp(lambda x: x**3, X)
    doubled, slope = tracer.compile(lambda c: pull(c * 2)[0]), tracer.grad(lambda c: np.sum(pull(c)[0]))
    for x in (X, X + 1):
        np.testing.assert_allclose(doubled(x), 6 * X**2 * x)
        np.testing.assert_allclose(slope(x), 3 * X**2)


def test_stable_formulas_stay_stable():
    z = np.array([1000.0, -1000.0, 0.5])

    def loss(z):
        p = 1 / (1 + np.exp(-z))
        return -np.sum(np.log(1 - p) + np.log(p))

    with np.errstate(over="ignore"):
        expected = 2 / (1 + np.exp(-z)) - 1
    value, pull = tracer.vjp(loss, z)
    assert np.isclose(value, np.sum(np.logaddexp(0, z) + np.logaddexp(0, -z)))
    np.testing.assert_allclose(pull(1.0)[0], expected, atol=1e-12)
    np.testing.assert_allclose(tracer.linearize(loss, z)[1](np.eye(3)[0]), expected[0])


def test_auxiliary_results():
    def f(x):
        return np.sum(x**2), {"twice": 2 * x, "label": "kept"}

    for x in (X, X + 1):
        value, pull, aux = tracer.vjp(f, x, has_aux=True)
        np.testing.assert_allclose(pull(1.0)[0], 2 * x)
        _, push, more = tracer.linearize(f, x, has_aux=True)
        assert np.isclose(push(np.ones(3)), np.sum(2 * x))
        same, tangent, last = tracer.jvp(f, (x,), (np.ones(3),), has_aux=True)
        assert np.isclose(tangent, np.sum(2 * x)) and np.isclose(value, same)
        for found in (aux, more, last):
            np.testing.assert_allclose(found["twice"], 2 * x)
            assert found["label"] == "kept"


def test_transposes():
    matrix = np.arange(6.0).reshape(2, 3)
    transpose = tracer.linear_transpose(lambda x, y: matrix @ x - 2 * y, np.zeros(3), np.zeros(2))
    for weights in (np.ones(2), np.array([1.0, -3.0])):
        dx, dy = transpose(weights)
        np.testing.assert_allclose(dx, weights @ matrix)
        np.testing.assert_allclose(dy, -2 * weights)
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)square is not linear.*HINT"):
        tracer.linear_transpose(np.square, X)


def test_complex_pullback_is_the_transpose_without_conjugation():
    z = np.array([1 + 2j, -0.5j])
    _, pull = tracer.vjp(lambda z: z**2, z)
    np.testing.assert_allclose(pull(np.array([1j, 2.0]))[0], 2 * z * [1j, 2])
    _, pull = tracer.vjp(lambda z: np.sum(np.abs(z) ** 2), z)
    np.testing.assert_allclose(pull(1.0)[0], 2 * np.conj(z))


def test_transforms_of_ufuncs_and_of_transforms_are_traced_once():
    gradient = tracer.grad(lambda x: np.sum(x**3))
    transforms = set()
    for _ in range(3):
        tracer.jvp(gradient, (X,), (X,))
        transforms.add(id(tracer.jacobian(np.sin)))
        transforms.add(id(tracer.jacobian(gradient)))
    assert len(transforms) == 2
    np.testing.assert_allclose(tracer.jacobian(gradient)(X), np.diag(6 * X))


def test_what_does_not_fit():
    f = lambda p, y: (p["a"] * y, np.sum(y))  # noqa: E731
    p = {"a": X}
    _, pull = tracer.vjp(f, p, X)
    with pytest.raises(ValueError, match=r"(?s)cotangent for value\[0\].*float64\[2\].*HINT"):
        pull((np.ones(2), 1.0))
    with pytest.raises(TypeError, match=r"(?s)cotangent.*complex128.*HINT"):
        pull((1j * X, 1.0))
    with pytest.raises(TypeError, match=r"(?s)nest like value, \(\*, \*\), but is \*"):
        pull(X)
    with pytest.raises(TypeError, match="takes 1 argument"):
        pull(X, 1.0)
    with pytest.raises(ValueError, match=r"(?s)tangent for p\['a'\].*float64\[\].*HINT"):
        tracer.jvp(f, (p, X), ({"a": 1.0}, X))
    with pytest.raises(TypeError, match=r"(?s)tangent.*\{'a': \*\}, but is \{'b': \*\}"):
        tracer.jvp(f, (p, X), ({"b": X}, X))
    with pytest.raises(ValueError, match="1 tangents for 2 primals"):
        tracer.jvp(f, (p, X), (p,))
    with pytest.raises(TypeError, match="positional"):
        tracer.vjp(lambda: 1.0)
    with pytest.raises(errors.NotDifferentiableError, match=r"(?s)n, which has type int64.*HINT.*lambda"):
        tracer.vjp(lambda x, n: x * n, X, np.arange(3))
    np.testing.assert_allclose(tracer.jvp(lambda x: x * 2, (X,), (np.ones(3, int),))[1], 2 * np.ones(3))


def test_a_pullback_does_not_leave_its_trace():
    kept = []
    tracer.compile(lambda x: (kept.append(tracer.vjp(np.sin, x)[1]), x * 2)[1])(X)
    with pytest.raises(errors.LeakedValueError, match=r"(?s)pull of sin.*HINT"):
        kept[0](X)
