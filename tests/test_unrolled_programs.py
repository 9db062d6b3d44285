"""Programs that a Python loop unrolls: the work of compiling them, and the memory of their gradients."""

import numpy as np
import pytest
from work import count_lines

import tracer
from tracer.lower.instructions import Loop, targets_of, views_of


@pytest.fixture(autouse=True)
def unrolled():
    with tracer.config.changed(roll_loops="off"):
        yield


# --- the work of compiling ---------------------------------------------------------------------------------------


def chain(x, count):
    for _ in range(count):
        x = np.sin(x) * 0.9 + 0.1
    return x.sum()


def in_place(x, count):
    y = np.copy(x)
    for step in range(count):
        y[step % 10] = np.sin(y[(step + 1) % 10]) * 0.9
    return y.sum()


def filled(x, count):
    rows = np.zeros((count, 10))
    for step in range(count):
        x = np.sin(x)
        rows[step] = x
    return np.sum(rows**2)


def gathered(x, count):
    places = np.argsort(x)
    for _ in range(count):
        x = x[places] * 0.9
    return x.sum()


def scattered(x, count):
    places = np.argsort(x)
    y = np.zeros(10)
    for _ in range(count):
        np.add.at(y, places, np.sin(x) * y)
        y[places] = np.cos(y)
    return y.sum()


def reduced(x, count):
    rows = x.reshape(2, 5)
    s = x[:5]
    for _ in range(count):
        s = np.tanh(s + (rows * s).sum(axis=1).mean())
    return s.sum()


@pytest.mark.parametrize("transform", [lambda f: f, tracer.value_and_grad], ids=["value", "gradient"])
@pytest.mark.parametrize("function", [chain, in_place, filled, gathered, scattered, reduced])
def test_work_is_linear_in_what_is_recorded(function, transform):
    x = np.linspace(0.1, 1, 10)
    tracer.compile(transform(function)).plan(x, 5)  # from here on rules are indexed and types remembered
    small, large = (count_lines(tracer.compile(transform(function)).plan, x, count) for count in (40, 160))
    assert large < 4.1 * small


@pytest.mark.parametrize("function", [chain, in_place])
def test_long_programs_need_no_deep_stack(function):
    x = np.linspace(0.1, 1, 10)
    compiled = tracer.compile(tracer.value_and_grad(function))  # deeper than Python's own stack
    value, gradient = compiled(x, 700)
    np.testing.assert_allclose(value, function(x, 700))
    assert gradient.shape == (10,)
    np.testing.assert_allclose(compiled(x / 2, 700)[0], function(x / 2, 700))


# --- the memory of gradients -------------------------------------------------------------------------------------


def written(instruction):
    """The numbers of the buffers that an instruction writes."""
    return {view.buffer for view in (targets_of(instruction) if isinstance(instruction, Loop) else [instruction.out])}


def stored_bytes(program):
    """The bytes of the temporaries that instructions of the value write and instructions of the derivative read."""
    made, read = set(), set()
    for instruction in program.instructions:
        own = written(instruction)
        if instruction.line.endswith("in its derivative"):
            read |= {view.buffer for view in views_of(instruction)} - own
        else:
            made |= own
    buffers = [program.buffers[number] for number in made & read]
    return sum(buffer.nbytes for buffer in buffers if buffer.kind == "temporary")


def recurrent(w, u, inputs, state):
    cost = 0.0
    for step in range(200):
        state = np.tanh(state @ w + inputs[step] @ u)
        cost = cost + np.sum(state * state)
    return cost


def gated(w, u, inputs, state):
    cell, width, cost = np.zeros_like(state), state.shape[1], 0.0
    for step in range(50):
        z = state @ w + inputs[step] @ u
        keep, new, out = (1 / (1 + np.exp(-z[:, k * width : (k + 1) * width])) for k in range(3))
        cell = keep * cell + new * np.tanh(z[:, 3 * width :])
        state = out * np.tanh(cell)
        cost = cost + np.mean(state * state)
    return cost


def stencil(u):
    u = u.copy()
    for _ in range(50):
        around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        u[1:-1, 1:-1] += 0.1 * np.sin(u[1:-1, 1:-1]) * (around - 4 * u[1:-1, 1:-1])
    return np.sum(u**2)


def perceptron(layers, x, y):
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
    w, b = layers[-1]
    z = x @ w + b
    return -np.mean(np.sum(y * (z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))), axis=1))


def deep(x, weights):
    for w in weights:
        x = np.tanh(x @ w)
    return np.sum(x * x)


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape) / 8


def layer(rows, columns):
    return normal(rows, columns), normal(columns)


GRADIENTS = {
    "recurrent": (recurrent, (0, 1), (normal(64, 64), normal(32, 64), normal(200, 16, 32), normal(16, 64))),
    "gated": (gated, (0, 1), (normal(32, 128), normal(16, 128), normal(50, 16, 16), normal(16, 32))),
    "stencil": (stencil, 0, (normal(60, 60),)),
    "perceptron": (
        perceptron,
        0,
        ([layer(784, 256), layer(256, 128), layer(128, 10)], normal(128, 784), normal(128, 10)),
    ),
    "deep": (deep, 1, (normal(64, 64), [normal(64, 64) for _ in range(50)])),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_gradient_takes_little_more_memory_than_what_it_must_keep(name):
    function, wrt, arguments = GRADIENTS[name]
    program = tracer.compile(tracer.value_and_grad(function, argnums=wrt)).plan(*arguments).executable.program
    assert program.arena <= 1.3 * stored_bytes(program)


def test_what_a_recurrent_network_keeps_is_its_states():
    function, wrt, arguments = GRADIENTS["recurrent"]
    program = tracer.compile(tracer.value_and_grad(function, argnums=wrt)).plan(*arguments).executable.program
    assert program.arena <= 1.3 * 200 * arguments[-1].nbytes


def test_pieces_of_a_gradient_fill_an_array_in_any_order():
    def function(x):
        return np.sum(x[6:] * x[3:6]) + np.sum(np.sin(x[:3]) * x[3:6])

    gradient = tracer.compile(tracer.grad(function))
    for scale in (1.0, -0.5):
        x = np.linspace(0.1, 1, 9) * scale
        expected = np.concatenate([np.cos(x[:3]) * x[3:6], x[6:] + np.sin(x[:3]), x[3:6]])
        np.testing.assert_allclose(gradient(x), expected)
