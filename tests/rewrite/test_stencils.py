"""Sums of windows become reads of a padded array, and what is written in place stays cheap."""

import math

import numpy as np
import pytest

import tracer
from tracer.lower.schedule import lower
from tracer.rewrite.stencils import SMALLEST

SIDE = 60
RNG = np.random.default_rng(0)
FIELD = RNG.normal(size=(SIDE, SIDE))


def heat(u, steps=3):
    u = u.copy()
    for _ in range(steps):
        u[1:-1, 1:-1] += 0.2 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1])
    return np.sum(u**2)


def reaction(u, steps=3):
    u = u.copy()
    for _ in range(steps):
        spread = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.1 * (spread + np.sin(u[1:-1, 1:-1]))
    return np.sum(u**2)


def wave(u, steps=3):
    u, v = u.copy(), np.cos(u)
    for _ in range(steps):
        v[:-1] += 0.3 * (u[1:] - u[:-1])
        u[1:-1] += 0.3 * (v[1:-1] - v[:-2])
    return np.sum(u**2)


def uneven(u):
    """Windows of other sizes and factors, one of them in reverse, and one value added twice at one place."""
    out = 3 * u
    out[2:, 1:] += u[:-2, :-1] * 0.5
    out[:-2, :-1] -= u[2:, 1:]
    out[::-1] += u
    out[1:, :] += u[:-1] * u[1:]
    out[1:, :] += u[:-1] * u[1:]
    return np.sum(out**3)


def advection(u):
    """Steps in one dimension, where a window is the whole of the other axis."""
    u = u.ravel().copy()
    for _ in range(4):
        u[1:] -= 0.25 * (u[1:] - u[:-1])
        u[2:-2] = u[2:-2] + 0.1 * (u[4:] - u[:-4])
    return np.sum(np.tanh(u))


@pytest.mark.parametrize("program", [heat, reaction, wave, uneven, advection])
def test_gradients_of_stencils(program):
    kernels = tracer.compile(tracer.value_and_grad(program))
    reference = tracer.compile(tracer.value_and_grad(program), backend="reference")
    for field in (FIELD, FIELD[::-1].T - 0.5):
        value, gradient = kernels(field)
        np.testing.assert_allclose(value, program(field), rtol=1e-12)
        np.testing.assert_allclose(gradient, reference(field)[1], rtol=1e-10, atol=1e-12)
    direction = RNG.normal(size=FIELD.shape)
    step = 1e-6
    slope = (program(FIELD + step * direction) - program(FIELD - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(kernels(FIELD)[1] * direction), slope, rtol=1e-6)
    tracer.testing.check_grads(program, (FIELD[:6, :6],), order=2, modes=("reverse", "forward"))


def wide_loops(function):
    program = lower(tracer.compile(function).plan(FIELD).graph)
    return [item for item in program.instructions if math.prod(getattr(item, "shape", ())) > SMALLEST], program


@pytest.mark.parametrize(("program", "most"), [(heat, 3), (reaction, 3), (wave, 4)])
def test_a_step_is_few_passes_over_the_array(program, most):
    def passes(steps):
        return len(wide_loops(tracer.value_and_grad(lambda u: program(u, steps)))[0])

    assert passes(9) - passes(8) <= most


def test_steps_share_two_arrays():
    """What a linear stencil needs does not grow with the number of its steps."""
    for function in (lambda u: heat(u, 50), tracer.value_and_grad(lambda u: heat(u, 50))):
        _, program = wide_loops(function)
        assert program.arena < 4 * FIELD.nbytes


def test_many_small_writes_share_one_array():
    def fill(x):
        out = np.copy(x)
        for step in range(1000):
            out[step % SIDE] = 0.5 * out[(step * 7) % SIDE] + 1
        return out

    with tracer.config.changed(roll_loops="off"):
        program = lower(tracer.compile(fill).plan(FIELD).graph)
    large = [item for item in program.buffers if item.kind == "temporary" and item.shape == FIELD.shape]
    assert program.arena < FIELD.nbytes
    assert not large
    np.testing.assert_allclose(tracer.compile(fill)(FIELD), fill(FIELD))
