"""`checkpoint`: the same values and derivatives for less memory."""

import numpy as np
import pytest

import tracer
import tracer.tensor as T
from tracer import errors
from tracer.lower.schedule import lower

X, Y = np.random.default_rng(1).random((2, 3))
W = tracer.shared(np.full(3, 0.5), name="w")
ADDED = np.arange(3.0)


def steps(state, count=2):
    x, y = state["x"], state["y"]
    for _ in range(count):
        x = np.sin(x * W) + ADDED
    y[1:] += x[1:]
    return {"x": x, "y": y, "name": "text"}


def cost(step):
    def f(x, y):
        y = y.copy()
        state = {"x": x, "y": y}
        for _ in range(3):
            state = step(state, count=3)
        assert state["y"] is y and state["name"] == "text"
        return np.sum(state["x"] * state["y"]) + np.sum(y[:2])

    return f


TRANSFORMS = {
    "value and reverse": lambda f: tracer.value_and_grad(f, argnums=(0, 1)),
    "forward": lambda f: lambda x, y: tracer.jvp(f, (x, y), (y, x)),
    "forward over reverse": lambda f: lambda x, y: tracer.jvp(tracer.grad(f), (x, y), (y, x)),
    "reverse over reverse": lambda f: tracer.grad(lambda x, y: np.sum(tracer.grad(f)(x, y) ** 2)),
    "hessian": tracer.hessian,
    "batched": lambda f: lambda x, y: tracer.vmap(tracer.grad(f))(np.stack([x, y]), np.stack([y, x])),
    "of batched": lambda f: tracer.grad(lambda x, y: np.sum(tracer.vmap(f, in_axes=(0, None))(np.stack([x, y]), y))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_changes_but_memory(name):
    transform = TRANSFORMS[name]
    own = tracer.compile(transform(cost(tracer.checkpoint(steps))))
    expected = tracer.compile(transform(cost(steps)))
    for x, y in ((X, Y), (Y, 3 * X)):
        pairs = zip(*(tracer.tree.flatten(f(x, y))[0] for f in (own, expected)), strict=True)
        for one, two in pairs:
            np.testing.assert_allclose(one, two, rtol=1e-12)


def segment(x, count):
    for _ in range(count):
        x = np.sin(x) * x + 0.1 * np.sort(x)[::-1]
    return x


def arrays_kept(count, checkpointed):
    """How many arrays of the size of x the gradient of a chain of count squared steps has in its memory."""
    part = (tracer.checkpoint if checkpointed else lambda f: f)(lambda x: segment(x, count))

    def chain(x):
        for _ in range(count):
            x = part(x)
        return np.sum(x)

    x = np.linspace(0, 1, 1000)
    gradient = tracer.compile(tracer.grad(chain))
    for scale in (1.0, 0.5):
        np.testing.assert_allclose(gradient(x * scale)[0], tracer.grad(chain)(x * scale)[0])
    return gradient.plan(x).executable.program.arena / x.nbytes


def test_a_chain_keeps_the_square_root_of_its_steps():
    own = [arrays_kept(count, True) for count in (4, 8, 16)]
    every = [arrays_kept(count, False) for count in (4, 8, 16)]
    assert own[2] < 2.2 * own[1] < 4.4 * own[0]
    assert every[2] > 3.5 * every[1]
    assert own[2] < every[2] / 8


def test_nested_checkpoints_keep_less():
    def layered(inner, outer):
        def chain(x):
            for _ in range(4):
                x = outer(lambda x: inner(lambda x: segment(x, 6))(inner(lambda x: segment(x, 6))(x)))(x)
            return np.sum(x)

        return chain

    x = np.linspace(0, 1, 1000)
    kept = []
    for inner, outer in ((lambda f: f, tracer.checkpoint), (tracer.checkpoint, tracer.checkpoint)):
        gradient = tracer.compile(tracer.grad(layered(inner, outer)))
        np.testing.assert_allclose(gradient(x), tracer.grad(layered(lambda f: f, lambda f: f))(x))
        kept.append(gradient.plan(x).executable.program.arena)
    assert kept[1] < kept[0]


def test_updates_and_captures_inside():
    total = tracer.shared(0.0)
    table = np.array([1.0, 2.0, 3.0])

    @tracer.compile
    def f(x):
        @tracer.checkpoint
        def body(x):
            total.set(total + np.sum(x))
            return x * table

        return tracer.grad(np.sum(body(x) ** 2), x)

    np.testing.assert_allclose(f(X), 2 * X * table**2)
    assert np.isclose(total.get_value(), np.sum(X))
    table[:] = 4
    np.testing.assert_allclose(f(Y), 32 * Y)
    assert np.isclose(total.get_value(), np.sum(X) + np.sum(Y))


def test_outside_of_traces_and_errors():
    assert tracer.checkpoint(lambda x, n: x * n)(X, n=2).tolist() == (2 * X).tolist()
    with pytest.raises(TypeError, match="needs a function"):
        tracer.checkpoint(3)
    opaque = tracer.custom_op("opaque", lambda x: np.sort(x))
    with pytest.raises(errors.NotDifferentiableError, match="opaque"):
        tracer.grad(tracer.checkpoint(lambda x: np.sum(opaque(x))))(X)


def test_shared_variables_as_arguments():
    weights = [tracer.shared(np.full((3, 3), 0.1 * k), name=f"w{k}") for k in range(1, 5)]

    @tracer.checkpoint
    def block(x, own):
        for w in own:
            x = np.tanh(x @ w)
        return x

    def cost(block):
        return lambda x: tracer.grad(np.sum(block(block(x, weights[:2]), weights[2:])), weights)

    own, expected = tracer.compile(cost(block)), tracer.compile(cost(block.function))
    for x in (X, Y):
        np.testing.assert_allclose(own(x), expected(x))
        weights[0].set_value(weights[0].get_value() + 1)


def test_a_scan_keeps_the_square_root_of_its_steps(monkeypatch):
    programs = []

    def lowered(*args, **kwargs):
        programs.append(lower(*args, **kwargs))
        return programs[-1]

    monkeypatch.setattr("tracer.run.cpu.lower", lowered)

    def kept(count, every):
        x, w = T.dvector("x"), T.dvector("w")
        states, _ = tracer.scan_checkpoints(
            lambda state, w: T.tanh(state * w), outputs_info=[x], non_sequences=[w], n_steps=count, save_every_N=every
        )
        gradient = tracer.function([x, w], tracer.grad(states[-1].sum(), w))
        programs.clear()
        for scale in (0.5, 0.9):
            ones = np.full(1000, scale)
            state = np.full(1000, scale)
            slope = np.zeros(1000)
            for _ in range(count):
                slope = (slope * scale + state) * (1 - np.tanh(state * scale) ** 2)
                state = np.tanh(state * scale)
            np.testing.assert_allclose(gradient(ones, ones), slope)
        return max(program.arena for program in programs) / ones.nbytes

    own = [kept(count**2, count) for count in (8, 16, 32)]
    assert own[2] < 2.2 * own[1] < 4.4 * own[0]
    assert own[2] < 6 * 32
