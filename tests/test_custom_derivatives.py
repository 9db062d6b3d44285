"""Rules of one's own: custom_vjp, custom_jvp, stop_gradient; under every transform, in nests, and their errors."""

import numpy as np
import pytest

import tracer
from tracer import errors
from tracer.testing import check_grads
from tracer.tracing.control import scan

RNG = np.random.default_rng(0)
X, Y = RNG.random(4), np.float64(1.7)


def doubled_first(x):
    z = x.copy()
    z[0] *= 2
    return z


def plain(x, y):
    return np.sin(doubled_first(x)) * y


@tracer.custom_vjp
def by_backward(x, y):
    return plain(x, y)


def _forward(x, y):
    return by_backward(x, y), (doubled_first(x), y)


def _backward(kept, g):
    z, y = kept
    dx = np.cos(z) * y * g
    dx[0] *= 2
    return dx, np.sum(np.sin(z) * g)


by_backward.defvjp(_forward, _backward)


@tracer.custom_jvp
def by_forward(x, y):
    return plain(x, y)


@by_forward.defjvp
def _pushed(primals, tangents):
    x, y = primals
    dx, dy = tangents
    z = doubled_first(x)
    return by_forward(x, y), np.cos(z) * doubled_first(dx) * y + np.sin(z) * dy


@tracer.custom_jvp
def by_argument(x, y):
    return plain(x, y)


by_argument.defjvps(
    lambda t, result, x, y: np.cos(doubled_first(x)) * doubled_first(t) * y,
    lambda t, result, x, y: result / y * t,
)


def cost(f):
    return lambda x, y: np.sum(f(x, y) ** 2)


def gradient(f):
    return tracer.grad(cost(f), argnums=(0, 1))


TRANSFORMS = {
    "value": lambda f: f,
    "reverse": gradient,
    "forward": lambda f: lambda x, y: tracer.jvp(f, (x, y), (x, y)),
    "forward over reverse": lambda f: lambda x, y: tracer.jvp(gradient(f), (x, y), (x, y)),
    "reverse over reverse": lambda f: tracer.grad(
        lambda x, y: np.sum(gradient(f)(x, y)[0] * np.cos(x)), argnums=(0, 1)
    ),
    "hessian": lambda f: tracer.hessian(cost(f)),
    "batched reverse": lambda f: lambda x, y: tracer.vmap(gradient(f), in_axes=(0, None))(np.stack([x, 2 * x]), y),
    "reverse of batched": lambda f: gradient(
        lambda x, y: tracer.vmap(tracer.vmap(f, in_axes=(None, 0)), in_axes=(0, None))(
            np.stack([x, 2 * x]), np.stack([y, 3 * y])
        )
    ),
    "forward of batched": lambda f: (
        lambda x, y: tracer.jvp(lambda x, y: tracer.vmap(f, in_axes=(0, None))(np.stack([x, 2 * x]), y), (x, y), (x, y))
    ),
    "compiled": lambda f: tracer.compile(lambda x, y: (f(x, y), tracer.grad(np.sum(f(x, y)), [x, y]))),
    "in a loop": lambda f: gradient(
        lambda x, y: scan(lambda x, y: ([], [f(x, y), y * 0.9], [x]), carries=[x, y], n_steps=3).carries[0]
    ),
    "checkpointed": lambda f: gradient(tracer.checkpoint(f)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("ruled", [by_backward, by_forward, by_argument], ids=["vjp", "jvp", "jvps"])
def test_rules_agree_with_the_derivatives_of_the_function(ruled, name):
    transform = TRANSFORMS[name]
    own, expected = tracer.compile(transform(ruled)), tracer.compile(transform(plain))
    for scale in (1.0, 2.0):
        found, wanted = own(X * scale, Y / scale), expected(X * scale, Y / scale)
        for one, two in zip(tracer.tree.flatten(found)[0], tracer.tree.flatten(wanted)[0], strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_a_rule_is_what_decides():
    @tracer.custom_vjp
    def rounded(x):
        return np.round(x)

    rounded.defvjp(lambda x: (np.round(x), None), lambda kept, g: (g,))
    np.testing.assert_array_equal(tracer.grad(lambda x: np.sum(rounded(x) * 3))(X), np.full(4, 3.0))
    np.testing.assert_array_equal(tracer.jvp(rounded, (X,), (X,))[1], X)
    np.testing.assert_array_equal(rounded(X), np.round(X))


def test_nests_static_arguments_and_methods():
    class Layer:
        def __init__(self, rate):
            self.rate = rate

        @tracer.custom_vjp
        def apply(self, params, power, x):
            return {"y": self.rate * params["w"] * x**power, "n": power, "k": params["i"] + 1}

    calls = []

    def forward(self, params, power, x):
        return self.apply(params, power, x), (params, x)

    def backward(self, power, kept, g):
        _, x = kept
        calls.append(power)
        assert g["n"] == power and g["k"].dtype == np.float64
        return {"w": self.rate * np.sum(g["y"] * x**power), "i": None}, None

    Layer.apply = tracer.custom_vjp(Layer.__dict__["apply"].function, nondiff_argnums=(0, 2))
    Layer.apply.defvjp(forward, backward)
    layer, params = Layer(2.0), {"w": np.float64(3.0), "i": np.arange(3)}

    def loss(w, x, power=2):
        return np.sum(layer.apply({**params, "w": w}, x=x, power=power)["y"])

    np.testing.assert_allclose(tracer.grad(loss)(params["w"], X), 2 * np.sum(X**2))
    np.testing.assert_allclose(tracer.grad(loss)(params["w"], 2 * X, 3), 16 * np.sum(X**3))
    np.testing.assert_array_equal(tracer.grad(loss, argnums=1)(params["w"], X), np.zeros(4))
    assert set(calls) == {2, 3}


def test_a_rule_that_reads_something_is_traced_again_when_it_changes():
    factor = 2.0

    @tracer.custom_vjp
    def f(x):
        return np.sin(x)

    f.defvjp(lambda x: (f(x), ()), lambda kept, g: (factor * g,))
    compiled = tracer.compile(tracer.grad(lambda x: np.sum(f(x))))
    np.testing.assert_array_equal(compiled(X), np.full(4, 2.0))
    factor = 5.0
    np.testing.assert_array_equal(compiled(X), np.full(4, 5.0))


def test_closing_over_values():
    def outer(x, w):
        @tracer.custom_vjp
        def f(x):
            return np.sin(x) * tracer.stop_gradient(w)

        f.defvjp(lambda x: (f(x), x), lambda x, g: (g * np.cos(x) * w,))
        return np.sum(f(x))

    def expected(x, w):
        return np.sum(np.sin(x) * tracer.stop_gradient(w))

    for scale in (1.0, 3.0):
        np.testing.assert_allclose(tracer.grad(outer)(X, Y * scale), tracer.grad(expected)(X, Y * scale))
        found = tracer.grad(lambda x, w: np.sum(tracer.vmap(outer)(x, w)))(np.stack([X, X]), np.array([1.0, scale]))
        np.testing.assert_allclose(found, np.cos(X) * np.array([[1.0], [scale]]))
    looped = tracer.grad(lambda x: np.sum(scan(lambda w: ([], [], [outer(x, w)]), [np.array([1.0, 2.0])]).outputs[0]))
    np.testing.assert_allclose(looped(X), 3 * np.cos(X))
    np.testing.assert_array_equal(tracer.grad(outer, argnums=1)(X, Y), 0)

    def wrong(x, w):
        f = tracer.custom_jvp(lambda x: x * w)
        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * w))
        return np.sum(f(x))

    with pytest.raises(errors.NotDifferentiableError, match=r"argument[\s\S]*test_custom_derivatives"):
        tracer.grad(wrong, argnums=1)(X, Y)
    with pytest.raises(errors.NotDifferentiableError, match="HINT: make it an argument"):
        tracer.jvp(lambda w: wrong(X, w), (Y,), (Y,))


def test_functions_of_numpy_itself():
    f = tracer.custom_vjp(np.sin)
    f.defvjp(lambda x: (np.sin(x), x), lambda x, g: (2 * g * np.cos(x),))
    np.testing.assert_allclose(tracer.grad(lambda x: np.sum(f(x)))(X), 2 * np.cos(X))


def test_foreign_code_with_a_rule():
    f = tracer.custom_vjp(lambda x: tracer.pure_callback(lambda v: np.array([a**3 for a in v.tolist()]), x, x))
    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * 3 * x**2,))
    for x in (X, X + 1):
        np.testing.assert_allclose(tracer.grad(lambda x: np.sum(f(x)))(x), 3 * x**2)
        np.testing.assert_allclose(tracer.jvp(f, (x,), (x,))[1], 3 * x**3)
        np.testing.assert_allclose(tracer.vmap(tracer.grad(lambda x: np.sum(f(x))))(np.stack([x, 2 * x]))[1], 12 * x**2)


def test_complex_arguments():
    f = tracer.custom_vjp(lambda z: np.exp(z))
    f.defvjp(lambda z: (f(z), f(z)), lambda y, g: (g * y,))
    z = X + 1j * X[::-1]
    check_grads(lambda z: np.sum(np.abs(f(z)) ** 2), (z,), order=2)


def faulty(forward, backward):
    f = tracer.custom_vjp(lambda x, w: np.sum(x) * w)
    f.defvjp(forward, backward)
    return lambda: tracer.grad(f)(X, Y)


def faulty_forward(rule):
    f = tracer.custom_jvp(lambda x: np.sin(x))
    f.defjvp(rule)
    return lambda: tracer.jvp(f, (X,), (X,))


def faulty_nest():
    f = tracer.custom_vjp(lambda pair: np.sum(pair[0] * pair[1]))
    f.defvjp(lambda pair: (f(pair), None), lambda kept, g: ({"a": g},))
    tracer.grad(f)([X, X])


def writes(x):
    x[0] = 0
    return x


FAULTS = {
    "one cotangent": (faulty(lambda x, w: (x, None), lambda kept, g: (g,)), TypeError, "tuple of 1.*2 cotangents"),
    "no tuple": (faulty(lambda x, w: (x, None), lambda kept, g: g), TypeError, "2 cotangents"),
    "no pair": (faulty(lambda x, w: np.sum(x), lambda kept, g: (g, g)), TypeError, r"pair \(result, kept"),
    "shape": (faulty(lambda x, w: (x, None), lambda kept, g: (g, g)), ValueError, r"float64\[\] for argument 0"),
    "nest": (faulty_nest, TypeError, "a dict for argument 0, which has 2 arrays in a list"),
    "tangent shape": (faulty_forward(lambda p, t: (np.sin(p[0]), t[0][:2])), ValueError, "jvp rule"),
    "tangent alone": (faulty_forward(lambda p, t: t[0]), TypeError, "the result and its tangent"),
    "no rule": (lambda: tracer.grad(tracer.custom_vjp(np.sum))(X), errors.NotDifferentiableError, "defvjp"),
    "no forward rule": (lambda: tracer.grad(tracer.custom_jvp(np.sum))(X), errors.NotDifferentiableError, "defjvp"),
    "writes": (lambda: tracer.compile(tracer.custom_vjp(writes))(X), errors.TraceError, "copy"),
    "nondiff": (lambda: tracer.custom_vjp(lambda x: x, nondiff_argnums=3)(X), TypeError, "nondiff_argnums"),
    "keyword only": (lambda: tracer.custom_vjp(lambda x, *, n=1: x)(X, n=2), TypeError, "takes n by keyword only"),
    "no function": (lambda: tracer.custom_vjp(3), TypeError, "needs a function"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_explained(name):
    call, kind, match = FAULTS[name]
    with pytest.raises(kind, match=match):
        call()


def test_stop_gradient():
    nest = {"a": X, "n": 3, "i": np.arange(2)}
    assert tracer.stop_gradient(nest) is nest

    def f(x):
        stopped = tracer.stop_gradient({"x": x, "n": 2, "i": np.arange(4)})
        stopped["x"][0] = 7.0  # a value of its own
        return np.sum(x * stopped["x"] * stopped["n"])

    def weights(x):
        return 2 * np.concatenate([[7.0], x[1:]])

    for x in (X, X + 1):
        np.testing.assert_allclose(tracer.grad(f)(x), weights(x))
        np.testing.assert_allclose(tracer.jvp(f, (x,), (x,))[1], np.sum(weights(x) * x))
        np.testing.assert_allclose(tracer.vmap(tracer.grad(f))(np.stack([x, 2 * x]))[1], weights(2 * x))


def test_what_is_stopped_needs_no_derivative():
    opaque = tracer.custom_op("opaque", lambda x: np.sort(x))
    f = lambda x: np.sum(x * tracer.stop_gradient(opaque(x)))  # noqa: E731
    np.testing.assert_allclose(tracer.jvp(f, (X,), (X,))[1], np.sum(X * np.sort(X)))
    np.testing.assert_allclose(tracer.grad(f)(X), np.sort(X))


def test_on_symbolic_variables():
    x = tracer.tensor.dvector("x")
    rounded = tracer.custom_vjp(lambda x: np.round(x))
    rounded.defvjp(lambda x: (rounded(x), None), lambda kept, g: (5 * g,))
    sort = tracer.custom_op("sort", lambda x: np.sort(x), vjp=lambda g, y, x: 2 * g)
    callback = tracer.pure_callback(np.sort, ((2,), float), x)
    assert tracer.function([x], callback)([2.0, 1.0]).tolist() == [1, 2]
    chain = tracer.checkpoint(lambda x: np.sin(x) * x)
    for y, slope in (
        (rounded(x), lambda v: 5.0 + 0 * v),
        (sort(x), lambda v: 2.0 + 0 * v),
        (x * tracer.stop_gradient(x), lambda v: v),
        (chain(x), lambda v: np.sin(v) + v * np.cos(v)),
        (tracer.fixed_point(lambda z, x: 0.5 * (z + x / z), x, x), lambda v: 0.5 / np.sqrt(v)),
    ):
        f = tracer.function([x], tracer.gradient.grad(y.sum(), x))
        for value in (X + 1, X[:2] + 2):
            np.testing.assert_allclose(f(value), slope(value))
