"""Transforms of functions that use transforms, loops, branches and in-place code, in random order and by example."""

import functools
import gc
import itertools
import weakref

import numpy as np
import pytest

import tracer
import tracer.tensor as T

SIZE = 3
WEIGHTS = np.array([0.7, -0.3, 1.1])
MATRIX = np.array([[0.3, -0.5, 0.2], [0.1, 0.4, -0.6], [-0.2, 0.3, 0.5]])
X = np.array([0.641, 0.392, -0.151])


def differences(f, x, step=1e-6):
    """The Jacobian of f by central differences."""
    moves = step * np.eye(x.size)
    return np.stack([(f(x + move) - f(x - move)) / (2 * step) for move in moves], axis=-1)


# --- random programs ---------------------------------------------------------------------------------------------


def shifted(v, s, c):
    v = v.copy()
    v[1:] += np.sin(v[:-1]) * c[0]
    v[0] = v[2] * s
    return v


def scattered(v, s, c):
    v = v + 0.0
    np.add.at(v, np.array([2, 0, 2]), np.cos(v) * c[0])
    view = v[::2]
    view *= c[1]
    return v


STEPS = {
    "sine": lambda v, s, c: np.sin(v * (1 + c[0])) + c[1] * v,
    "product": lambda v, s, c: np.tanh(MATRIX @ v + c[0] * s),
    "shifted": shifted,
    "scattered": scattered,
    "chosen": lambda v, s, c: np.where(v > c[0], v * v, np.sin(v) + c[1] * s),
    "cumulated": lambda v, s, c: np.cumsum(v) * 0.5,
    "softmax": lambda v, s, c: np.exp(v - np.max(v)) / np.sum(np.exp(v - np.max(v))) + c[0] * v,
    "gathered": lambda v, s, c: v[np.array([2, 0, 2])] + c[0],
    "normed": lambda v, s, c: v / np.sqrt(1 + np.sum(v**2)),
    "joined": lambda v, s, c: np.concatenate([v[1:] * c[0], np.stack([np.sum(v)])]),
}


def with_rule(inner):
    """A function whose derivative is said to be what it is."""
    made = tracer.custom_vjp(lambda u, t: inner(u, t))
    made.defvjp(lambda u, t: (inner(u, t), (u, t)), lambda kept, g: tracer.vjp(inner, *kept)[1](g))
    return made


def scanned(inner, v, s, c):
    def step(carry, row):
        carry = np.tanh(inner(carry, s))
        return carry, np.sum(carry * row)

    last, sums = tracer.scan(step, v * c[0], np.outer(v, WEIGHTS))
    return last + sums


def repeated(inner, v, s, c):
    def step(carry):
        return carry[0] + 1, np.abs(carry[1]) * 1.1 + 0.3 + 0.1 * np.sin(inner(carry[1], s))

    return tracer.while_loop(lambda carry: np.logical_and(carry[0] < 3, np.sum(carry[1]) < 2 + c[0]), step, (0, v))[1]


HIGHER = {
    "grad": lambda f, v, s, c: tracer.grad(lambda u: np.sum(f(u, s) * WEIGHTS) + np.sum(u * v))(v * c[0]),
    "grad of a number": lambda f, v, s, c: f(v, s) + tracer.grad(lambda t: np.sum(f(v * t, s)))(s),
    "jvp": lambda f, v, s, c: tracer.jvp(lambda u: f(u, s), (v,), (v * c[0] + WEIGHTS,))[1],
    "vjp": lambda f, v, s, c: tracer.vjp(f, v, s)[1](WEIGHTS * c[0])[0],
    "jacrev": lambda f, v, s, c: WEIGHTS @ tracer.jacrev(lambda u: f(u, s))(v),
    "vmap": lambda f, v, s, c: tracer.vmap(lambda a: np.sum(f(np.stack([a, s, a * s]), a)))(v),
    "vmap of rows": lambda f, v, s, c: tracer.vmap(lambda row: np.sum(f(row, s) * v))(np.outer(v, WEIGHTS) + c[0]),
    "scan": scanned,
    "fori_loop": lambda f, v, s, c: tracer.fori_loop(0, 2, lambda i, u: np.tanh(f(u, s)) + i * c[0], v),
    "while_loop": repeated,
    "cond": lambda f, v, s, c: tracer.cond(np.sum(v) > c[0], lambda u: f(u, s), lambda u: np.sin(u) * s, v),
    "map": lambda f, v, s, c: tracer.map(lambda a: np.sum(f(np.stack([a, s, a * s]), a)), v),
    "checkpoint": lambda f, v, s, c: tracer.checkpoint(lambda u: f(u, s))(v),
    "custom_vjp": lambda f, v, s, c: with_rule(f)(v, s),
}


def program(random, depth):
    """Steps, some of which use a program inside."""
    steps = []
    for _ in range(random.integers(1, 4)):
        inside = program(random, depth - 1) if depth and random.random() < 0.6 else None
        name = str(random.choice(list(STEPS if inside is None else HIGHER)))
        steps.append((name, random.uniform(-1, 1, 2), inside))
    return steps


def run(steps, v, s):
    for name, c, inside in steps:
        made = STEPS[name](v, s, c) if inside is None else HIGHER[name](functools.partial(run, inside), v, s, c)
        v = np.tanh(made) * 1.2
    return v


TRANSFORMS = {
    "jacfwd": tracer.jacfwd,
    "compiled jacrev": lambda f: tracer.compile(tracer.jacrev(f)),
    "jacobian of a map": lambda f: lambda x: tracer.jacobian(tracer.vmap(f))(x[np.newaxis])[0, :, 0],
    "jacobian of a checkpoint": lambda f: tracer.jacobian(tracer.checkpoint(f)),
    "jacobian in a loop": lambda f: lambda x: tracer.map(tracer.jacobian(f), x[np.newaxis])[0],
}


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_are_derived_as_by_finite_differences(seed):
    random = np.random.default_rng(seed)
    steps = program(random, 1 + seed % 2)

    def f(v):
        return run(steps, v, np.sum(v) * 0.5 + 0.2)

    value = tracer.compile(f)
    derivative = TRANSFORMS[list(TRANSFORMS)[seed % len(TRANSFORMS)]](f)
    for x in random.normal(size=(2, SIZE)):
        np.testing.assert_allclose(derivative(x), differences(value, x), rtol=1e-4, atol=1e-6)


# --- values that an inner derivative has seen --------------------------------------------------------------------


def test_an_inner_derivative_does_not_hide_the_variables_of_an_outer_one():
    # What the outer variable stands for is a formula that is rewritten before it is derived.
    def f(x):
        return tracer.grad(lambda y: y[0] * tracer.grad(lambda t: np.sum(y * t))(1.0))(np.cumsum(x))

    for x in (X, X * 2):
        total = np.sum(np.cumsum(x))
        np.testing.assert_allclose(tracer.compile(f)(x), [total + x[0], x[0], x[0]])


def test_an_inner_derivative_does_not_hide_values_on_the_way():
    @tracer.compile
    def f(x):
        y = np.cumsum(x)
        slope = tracer.grad(lambda t: np.sum(t * y))(1.0)
        return tracer.grad(slope, y), tracer.grad(y[0] * slope, x)

    for x in (X, X * 2):
        ones, slopes = f(x)
        np.testing.assert_allclose(ones, np.ones(3))
        np.testing.assert_allclose(slopes, [6 * x[0] + 2 * x[1] + x[2], 2 * x[0], x[0]])


def test_a_symbolic_derivative_does_not_hide_values_on_the_way():
    x, t = T.dvector("x"), T.dscalar("t")
    y = T.extra_ops.cumsum(x)
    slope = T.grad(T.sum(t * y), t)
    f = tracer.function([x, t], T.grad(y[0] * slope, y), on_unused_input="ignore")
    for point in (X, X * 2):
        total = np.sum(np.cumsum(point))
        np.testing.assert_allclose(f(point, 1.0), [total + point[0], point[0], point[0]])


def test_what_a_derived_function_leaves_elsewhere_is_derived_too():
    def branch(v):
        left = np.zeros(3)

        def cost(u):
            left[...] = u * 2
            return np.sum(np.sin(u))

        return tracer.grad(cost)(np.cumsum(v)) + left

    def f(v):
        return tracer.cond(v[0] > 0, branch, lambda u: u, v)

    for x in (X, X * 2):
        y = np.cumsum(x)
        np.testing.assert_allclose(tracer.compile(f)(x), 2 * y + np.cos(y))
        np.testing.assert_allclose(tracer.jacobian(f)(x), np.tril(np.outer(2 - np.sin(y), np.ones(3))))


# --- loops in loops ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer", ["fori_loop", "checkpoint", "cond"])
@pytest.mark.parametrize("inner", ["fori_loop", "while_loop", "cond", "checkpoint"])
def test_bodies_in_bodies_are_batched(outer, inner):
    # All bodies have the same parameters, which differ between the examples in some of them only.
    def step(v, t):
        return HIGHER[inner](lambda u, s: np.tanh(u) * s + np.cos(t), v, np.float64(0.5), [0.3, 0.2])

    def f(v):
        return HIGHER[outer](step, v, np.float64(0.7), [0.1, 0.4])

    for x in (X, X * 0.5):
        np.testing.assert_allclose(tracer.jacfwd(f)(x), differences(tracer.compile(f), x), rtol=1e-6, atol=1e-8)
        gradient = tracer.grad(lambda v: np.sum(f(v) * v))
        np.testing.assert_allclose(tracer.jacfwd(gradient)(x), differences(gradient, x), rtol=1e-6, atol=1e-8)


# --- what rules close over ---------------------------------------------------------------------------------------


AROUND = {
    "nothing": lambda g, x: g(x),
    "scan": lambda g, x: tracer.scan(lambda c, row: (g(c) * 0.1, None), x, x)[0],
    "while_loop": lambda g, x: tracer.while_loop(lambda c: np.sum(c) < 100, g, x),
    "cond": lambda g, x: tracer.cond(x[0] > 0, g, lambda v: v, x),
    "checkpoint": lambda g, x: tracer.checkpoint(g)(x),
    "vmap": lambda g, x: tracer.vmap(g)(np.stack([x, x]))[0],
    "loop of checkpoints of branches": lambda g, x: tracer.fori_loop(
        0, 2, lambda i, c: tracer.checkpoint(lambda q: tracer.cond(q[0] > 0, g, lambda v: v, q))(c), x
    ),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("mode", ["vjp", "jvp"])
def test_rules_reach_their_surroundings_through_helpers(mode, around):
    factors = np.array([2.0, 3.0, 4.0])

    def cost(x, scale, is_ruled):
        outer = tracer.stop_gradient(np.sin(scale) + 2)

        def helper(g):
            return g * outer * factors + np.array([0.0, 0.0, 0.0])  # arrays are met when the rule runs

        def rule(g):
            return helper(g)

        f = {"vjp": tracer.custom_vjp, "jvp": tracer.custom_jvp}[mode](lambda u: u * outer * factors)
        if mode == "vjp":
            f.defvjp(lambda u: (f(u), None), lambda kept, g: (rule(g),))
        else:
            f.defjvp(lambda primals, tangents: (f(*primals), rule(tangents[0])))
        plain = f if is_ruled else lambda u: u * outer * factors
        return np.sum(AROUND[around](plain, x) ** 2)

    for transform in (tracer.grad, tracer.hessian, lambda f: tracer.vmap(tracer.grad(f), in_axes=(0, None, None))):
        for x, scale in ((X, 0.3), (X * 0.9, 0.7)):
            point = np.stack([x, x * 0.9]) if transform not in (tracer.grad, tracer.hessian) else x
            found, expected = (transform(cost)(point, scale, is_ruled) for is_ruled in (True, False))
            np.testing.assert_allclose(found, expected, rtol=1e-10)


# --- transforms of methods and of partial functions are remembered -----------------------------------------------


TRACES = itertools.count()  # not looked into by traces, as a list is


class Model:
    def __init__(self, weights):
        self.weights = weights

    def loss(self, x, power=2):
        next(TRACES)
        return np.sum((self.weights * x) ** power)


def loss_of(weights, x, *, power):
    next(TRACES)
    return np.sum((weights * x) ** power)


REMEMBERED = {
    "grad": lambda f, x: tracer.grad(f)(x),
    "value_and_grad": lambda f, x: tracer.value_and_grad(f)(x)[1],
    "elementwise_grad": lambda f, x: tracer.elementwise_grad(f)(x),
    "jacfwd": lambda f, x: tracer.jacfwd(f)(x),
    "jvp": lambda f, x: np.stack([tracer.jvp(f, (x,), (unit,))[1] for unit in np.eye(3)]),
    "vjp": lambda f, x: tracer.vjp(f, x)[1](1.0)[0],
    "linearize": lambda f, x: np.stack([tracer.linearize(f, x)[1](unit) for unit in np.eye(3)]),
    "hessian": lambda f, x: tracer.hessian(f)(x) @ x,
    "hvp": lambda f, x: tracer.hvp(f)(x, x),
    "vmap": lambda f, x: 2 * tracer.vmap(f)(np.diag(x)) / x,
}


@pytest.mark.parametrize("name", REMEMBERED)
def test_transforms_of_methods_are_traced_once(name):
    models = [Model(WEIGHTS), Model(WEIGHTS + 1)]
    for model in models:
        before = next(TRACES)
        for x in (X, X * 2, X):
            np.testing.assert_allclose(REMEMBERED[name](model.loss, x), 2 * model.weights**2 * x)
        assert next(TRACES) - before == 2
    models[0].weights = WEIGHTS * 3
    np.testing.assert_allclose(REMEMBERED[name](models[0].loss, X), 18 * WEIGHTS**2 * X)


@pytest.mark.parametrize("name", REMEMBERED)
def test_transforms_of_partial_functions_are_traced_once_for_all_arrays(name):
    before = next(TRACES)
    for weights in (WEIGHTS, WEIGHTS + 1, WEIGHTS):
        f = functools.partial(loss_of, weights, power=2)
        np.testing.assert_allclose(REMEMBERED[name](f, X), 2 * weights**2 * X)
    assert next(TRACES) - before == 2
    f = functools.partial(Model(WEIGHTS).loss, power=4)
    np.testing.assert_allclose(tracer.grad(f)(X), 4 * WEIGHTS**4 * X**3)
    f = functools.partial(loss_of, WEIGHTS, power=4)
    np.testing.assert_allclose(tracer.grad(f)(X), 4 * WEIGHTS**4 * X**3)


def test_partial_functions_write_into_what_they_hold_and_keep_functions_apart():
    def written(buffer, x):
        buffer += x
        return np.sum(buffer**2)

    held = np.ones(3)
    f = functools.partial(written, held)
    np.testing.assert_allclose(tracer.grad(f)(X), 2 * (1 + X))
    np.testing.assert_allclose(held, 1 + X)
    np.testing.assert_allclose(tracer.grad(f)(X), 2 * (1 + 2 * X))

    tracer.grad(functools.partial(loss_of, WEIGHTS, power=2))(X)

    @functools.wraps(loss_of)
    def other(weights, x, *, power):
        return 10 * loss_of(weights, x, power=power)

    np.testing.assert_allclose(tracer.grad(functools.partial(other, WEIGHTS, power=2))(X), 20 * WEIGHTS**2 * X)


def test_few_objects_are_kept_for_their_methods():
    class Counted(Model):
        def loss(self, x):
            return np.sum(self.weights * x)

    models = [Counted(WEIGHTS) for _ in range(30)]
    alive = [weakref.ref(model) for model in models]
    for model in models:
        tracer.grad(model.loss)(X)
    del model, models
    gc.collect()
    assert sum(reference() is not None for reference in alive) <= 8
