"""`scan_checkpoints`: the values and derivatives of a scan, with less memory."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.gradient import Rop, grad
from tracer.graph.body import bodies_of
from tracer.scan_module import scan, scan_checkpoints

RNG = np.random.default_rng(3)


def both(steps, size):
    """A scan and one with checkpoints, as functions of the same arguments, with the values of these."""
    x, h0, w = T.dmatrix("x"), T.dvector("h0"), T.dmatrix("w")
    n = theano.shared(0)

    def step(row, h, w):
        new = T.tanh(T.dot(h, w) + row)
        return [new, T.sum(new * row)], {n: n + 1}

    values = RNG.standard_normal((steps, 3)), RNG.standard_normal(3), 0.5 * RNG.standard_normal((3, 3))
    found = []
    for loop, options in ((scan, {}), (scan_checkpoints, {"save_every_N": size})):
        (h, y), updates = loop(step, x, [h0, None], w, **options)
        found.append((h, y, updates))
    return [x, h0, w], values, found, n


@pytest.mark.parametrize(("steps", "size"), [(12, 4), (10, 4), (3, 5), (5, 1), (4, 4), (0, 3)])
def test_outputs_at_the_end_of_segments(steps, size):
    variables, values, ((h, y, _), (some_h, some_y, updates)), n = both(steps, size)
    f = theano.function(variables, [h, y, some_h, some_y], updates=updates)
    every_h, every_y, found_h, found_y = f(*values)
    ends = [min(end, steps) - 1 for end in range(size, steps + size, size)]
    np.testing.assert_allclose(found_h, every_h[ends], rtol=1e-13)
    np.testing.assert_allclose(found_y, every_y[ends], rtol=1e-13)
    assert n.get_value() == steps


@pytest.mark.parametrize(("steps", "size"), [(12, 4), (10, 4), (3, 5)])
def test_derivatives(steps, size):
    variables, values, ((h, y, _), (some_h, some_y, _)), _ = both(steps, size)
    found = []
    for hidden, output in ((h, y), (some_h, some_y)):
        cost = T.sum(hidden[-1] ** 2) + output[-1]
        slopes = grad(cost, variables)
        second = grad(T.sum(slopes[2] ** 2), variables)
        along = Rop(cost, variables, [T.ones_like(item) for item in variables])
        found.append(theano.function(variables, [cost, *slopes, *second, along])(*values))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_steps_without_sequences():
    x, n = T.dscalar("x"), T.lscalar("n")
    p, _ = scan_checkpoints(lambda p, x: p * x, None, T.ones(()), x, n_steps=n, save_every_N=2)
    f = theano.function([x, n], [p, grad(p[-1], x)])
    powers, slope = f(3.0, 5)
    np.testing.assert_array_equal(powers, [9, 81, 243])
    np.testing.assert_allclose(slope, 5 * 81)


def stored(graph):
    """How many numbers the loops of a graph, and those in them at one step, write."""
    total = 0
    for node in graph.nodes():
        if node.op.name == "scan":
            total += sum(own.size for own in node.types)
            total += sum(map(stored, bodies_of(node)))
    return total


def test_the_gradient_keeps_a_step_out_of_many():
    x, w = T.dmatrix("x"), T.dmatrix("w")

    def step(row, h, w):
        return T.tanh(T.exp(-T.dot(T.sin(T.dot(h, w)), w)) + row)

    numbers = []
    for loop, options in ((scan, {}), (scan_checkpoints, {"save_every_N": 32})):
        h, _ = loop(step, x, T.zeros((8,)), w, **options)
        f = theano.function([x, w], grad(T.sum(h[-1]), w))
        f(RNG.standard_normal((1024, 8)), 0.1 * RNG.standard_normal((8, 8)))
        numbers.append(stored(f.program.last_plan.graph))
    assert numbers[1] < numbers[0] / 8
