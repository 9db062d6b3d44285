"""Loops whose steps treat every element alone are run block by block, and carries change in place: as NumPy's loops."""

import numpy as np
import pytest

import tracer

COUNT = 4003  # several blocks, the last of them a short one


def logistic(x, g):
    for _ in range(120):
        x = g * x * (1.0 - x)
    return x


def odd_steps_of_two(x, g):
    y = g
    for i in range(121):
        x, y = np.where(x > y, y, x) * 0.5 + 0.01 * i, x - y * 0.25
    return x, y


def exchanged(x, g):
    for _ in range(121):
        x, g = g, x
    return x, g


def several_types(x, g):
    n, up, z = np.zeros(len(x), np.int64), x > 0.5, x.astype(np.float32)
    for _ in range(90):
        x = x * 0.75 + 0.1 * g
        n, up, z = n + up, x > z, z * np.float32(0.5) + n.astype(np.float32)
    return x, n, up, z


def stacked(x, g):
    rows = []
    for i in range(100):
        x = x * g + i
        rows.append(x - g)
    return np.array(rows), x


def read_back(x, g):
    u = np.zeros((100, len(x)))
    u[0], u[1] = x, g
    for i in range(2, 100):
        u[i] = 0.5 * u[i - 1] - 0.25 * u[i - 2]
    return u


def of_the_first(x, g):
    for _ in range(120):
        x = x * 0.5 + x[0] * g
    return x


def backward(x, g):
    for i in range(120):
        x = x[::-1] * g + i
    return x


def rows_of_a_table(x, g):
    table = np.outer(np.arange(100.0), g[:2])
    for i in range(100):
        x = x * table[i, 0] * 0.01 + table[99 - i, 1] + g
    return x


def staggered(x, g):
    x, g = x.copy(), g.copy()
    for _ in range(120):
        g[:-1] += 0.3 * (x[1:] - x[:-1])
        x[1:-1] += 0.3 * (g[1:-1] - g[:-2])
    return x, g


def neighbours(x, g):
    x = x.copy()
    for _ in range(120):
        x[1:-1] += 0.2 * (x[2:] - 2.0 * x[1:-1] + x[:-2])
        x[0] = x[-1]
    return x


def halves(x, g):
    x, half = x.copy(), len(x) // 2
    for _ in range(121):
        x[:half] = x[-half:] * 0.5
        x[-half:] = g[:half] + x[:half]
    return x


def late_copy(x, g):
    for _ in range(60):
        y = np.zeros_like(x)
        y[:] = g
        y[10:2000] = x[10:2000]
        x = y + x[7]
    return x


PROGRAMS = (
    logistic,
    odd_steps_of_two,
    exchanged,
    several_types,
    stacked,
    read_back,
    of_the_first,
    backward,
    rows_of_a_table,
    staggered,
    neighbours,
    halves,
    late_copy,
)


@pytest.mark.parametrize("jit", ("off", "always"))
@pytest.mark.parametrize("program", PROGRAMS)
def test_loops_give_what_numpy_gives(program, jit):
    rng = np.random.default_rng(0)
    with tracer.config.changed(jit=jit):
        compiled = tracer.compile(program)
        for count in (COUNT, COUNT, 3, 64):
            if program is late_copy and count < 2000:
                continue
            x, g = rng.uniform(0.1, 0.9, count), rng.uniform(0.5, 0.9, count)
            wanted = program(x, g)
            seen = compiled(x, g)
            pairs = zip(seen, wanted, strict=True) if isinstance(wanted, tuple) else [(seen, wanted)]
            for made, known in pairs:
                np.testing.assert_allclose(made, known, rtol=1e-11)


def test_a_stretch_of_steps_ends_anywhere():
    x, g = np.linspace(0.1, 0.9, COUNT), np.linspace(1.5, 2.9, COUNT)
    for steps in (97, 98, 5001):

        def program(x, g, steps=steps):
            y = x
            for _ in range(steps):
                x, y = g * x * (1.0 - x), x
            return x, y

        for seen, known in zip(tracer.compile(program)(x, g), program(x, g), strict=True):
            np.testing.assert_allclose(seen, known, rtol=1e-10)
