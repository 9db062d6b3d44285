"""Rolled loops give what unrolled ones and plain NumPy give: values, derivatives, effects and errors."""

import numpy as np
import pytest
from rolling.programs import ROLLED
from rolling.unrolled_programs import UNROLLED

import tracer
from tracer.tracing.source import long_loops, rolling
from tracer.tree import flatten

X, Y = (np.random.default_rng(seed).normal(size=60) for seed in (0, 1))


@pytest.fixture(autouse=True)
def low_limits(monkeypatch):
    monkeypatch.setattr(rolling, "MOST_NODES", 20)
    monkeypatch.setattr(long_loops, "MANY_NODES", 20)


def rolled_loops(compiled):
    return [line.strip() for line in compiled.explain().splitlines() if "rolls the loop" in line]


def outcome(function, x):
    """All that a call gives, and its argument afterwards; or the error."""
    x = x.copy()
    try:
        return [*flatten(function(x))[0], x]
    except (ArithmeticError, LookupError) as error:
        return [type(error).__name__]


def assert_same(found, wanted, tolerance=1e-11):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        if np.asarray(other).dtype.kind == "U":
            assert one == other
        else:
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", ROLLED, ids=lambda item: item.__name__)
def test_a_rolled_loop_gives_what_numpy_gives(function):
    compiled = tracer.compile(function)
    for x in (X, Y):
        tolerance = 1e-5 if function.__name__ in ("weak_float32", "const_write") else 1e-11
        assert_same(outcome(compiled, x), outcome(function, x), tolerance)
    assert rolled_loops(compiled)


@pytest.mark.parametrize("function", UNROLLED, ids=lambda item: item.__name__)
def test_what_differs_from_step_to_step_is_not_rolled(function):
    compiled = tracer.compile(function)
    for x in (X, Y):
        assert_same(outcome(compiled, x), outcome(function, x))
    assert not compiled.plans() or not rolled_loops(compiled)


def loss_of(function):
    def loss(x):
        leaves = [leaf for leaf in flatten(function(x))[0] if hasattr(leaf, "dtype")]
        return sum((np.sum(np.sin(leaf)) for leaf in leaves if leaf.dtype.kind == "f"), 0.0)

    return loss


DIFFERENTIABLE = [item for item in ROLLED if item.__name__ not in ("mutates_argument", "weak_float32")]


@pytest.mark.parametrize("function", DIFFERENTIABLE[::3], ids=lambda item: item.__name__)
def test_gradients_are_those_of_unrolled_loops(function):
    x = Y.copy()
    value, gradient = tracer.compile(tracer.value_and_grad(loss_of(function)))(x)
    with tracer.config.changed(roll_loops="off"):
        wanted = tracer.compile(tracer.value_and_grad(loss_of(function)))(x)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-6 if function.__name__ == "const_write" else 1e-10)
    np.testing.assert_allclose(gradient, wanted[1], rtol=1e-6, atol=1e-8)


# --- transforms ------------------------------------------------------------------------------------------------------


def recurrent(h, xs):
    for i in range(40):
        h = np.tanh(h * 0.7 + xs[i])
    return np.sum(h * h)


H = np.array([0.1, 0.2])
TRANSFORMS = {
    "hessian": lambda f: tracer.hessian(f),
    "jvp": lambda f: lambda h, x: tracer.jvp(f, (h, x), (h * 2, x)),
    "second": lambda f: tracer.grad(lambda h, x: np.sum(tracer.grad(f, argnums=1)(h, x) ** 2), argnums=1),
    "vmap": lambda f: lambda h, x: tracer.vmap(tracer.grad(f), in_axes=(0, 0))(np.stack([h, 2 * h]), np.stack([x, -x])),
    "checkpoint": lambda f: tracer.grad(tracer.checkpoint(f), argnums=1),
}


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_of_rolled_loops(make):
    compiled = tracer.compile(make(recurrent))
    found = compiled(H, X)
    assert rolled_loops(compiled)
    with tracer.config.changed(roll_loops="off"):
        wanted = tracer.compile(make(recurrent))(H, X)
    for one, other in zip(flatten(found)[0], flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_derivative_within_the_body_that_looks_beyond_it_is_not_rolled():
    def train(w, x):
        h = w * 1.0
        for _ in range(26):
            h = h * 0.9 + w * x
        for _ in range(26):
            w = w - 0.01 * tracer.grad(np.sum(h * w), w)
        return w

    compiled = tracer.compile(train)
    compiled(H, X[:2])
    assert len(rolled_loops(compiled)) <= 1


def test_a_derivative_stays_zero_where_something_else_was_chosen():
    def f(x):
        y, total = np.sqrt(x), 0 * x
        for i in range(60):
            total = total + np.where(x > i * 1e-3, y, 0)
        return np.sum(total)

    assert np.isfinite(tracer.compile(tracer.grad(f))(np.array([0.0, 0.5]))).all()


# --- effects ---------------------------------------------------------------------------------------------------------


def test_every_step_has_draws_of_its_own_in_numpys_order():
    def walk(x, rng):
        for i in range(40):
            x = x + rng.normal(size=3) * i
            x = x * rng.uniform()
        return x, rng.integers(10)

    compiled = tracer.compile(walk)
    for seed in (1, 2):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        found, wanted = compiled(X[:3], one), walk(X[:3], other)
        np.testing.assert_allclose(found[0], wanted[0])
        assert (found[1], one.normal()) == (wanted[1], other.normal())
    assert rolled_loops(compiled)


def test_arrays_around_are_read_and_written_at_every_call():
    def make():
        buffer, table = np.ones(60), np.linspace(0, 1, 60)

        def step(x):
            for i in range(60):
                buffer[i] = buffer[i] * 0.5 + x[i] * table[i]
            return buffer.sum()

        return buffer, table, step

    (buffer, table, function), (plain, same_table, same) = make(), make()
    compiled = tracer.compile(function)
    for x in (X, Y, X):
        np.testing.assert_allclose(compiled(x), same(x))
        np.testing.assert_allclose(buffer, plain)
        table[3] = same_table[3] = 7.0
    assert rolled_loops(compiled)


def test_a_loop_that_is_refused_leaves_lists_and_attributes_as_they_were():
    class Log:
        def __init__(self):
            self.values, self.count = [], 0

    log, plain = Log(), Log()

    def run(x, to):
        for i in range(60):
            to.values.append(i)
            to.count += 1
            x = np.sin(x) if i % 2 else np.cos(x)
        return x

    found = tracer.compile(lambda x: run(x, log))(X)
    np.testing.assert_allclose(found, run(X, plain))
    assert (log.values, log.count) == (plain.values, plain.count)


def test_an_error_in_a_body_names_the_users_line():
    def f(x):
        for i in range(60):
            x = x + np.ones(i + 1)
        return x

    with pytest.raises(ValueError, match="broadcast") as caught:
        tracer.compile(f)(np.ones(2))
    assert any(entry.name == "f" for entry in caught.traceback)


def test_a_loop_can_be_kept_unrolled():
    with tracer.config.changed(roll_loops="off"):
        compiled = tracer.compile(recurrent)
        compiled(H, X)
    assert not rolled_loops(compiled)
