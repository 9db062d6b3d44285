"""Short axes: formulas over few components become steps of one loop, and give what they gave."""

import numpy as np
import pytest
from rewrite.traced_graphs import compute, graph_of, op_names

from tracer.graph.graph import Graph, verify
from tracer.lower.program import Loop
from tracer.lower.schedule import lower
from tracer.rewrite.passes import optimise
from tracer.rewrite.short_axes import write_out_short_axes
from tracer.run import cpu
from tracer.tracing.proxy import unwrap
from tracer.transform.grad import vjp

RNG = np.random.default_rng(3)
POINTS, OTHERS, WEIGHTS = RNG.standard_normal((20, 3)), RNG.standard_normal((30, 3)), RNG.standard_normal((20, 30))
STACK = RNG.standard_normal((6, 4, 50))
WIDE = RNG.standard_normal((70, 8))


def apart(p, q):
    return p[:, None] - q[None]


FORMULAS = {
    "distances": (lambda p, q: np.sqrt(np.sum(apart(p, q) ** 2, axis=2)), (POINTS, OTHERS)),
    "an axis kept": (lambda p, q: np.sum(apart(p, q) ** 2, axis=-1, keepdims=True), (POINTS, OTHERS)),
    "forces": (
        lambda p, q: np.sum(apart(p, q) / (1 + np.sum(apart(p, q) ** 2, axis=2, keepdims=True)), axis=1),
        (POINTS, OTHERS),
    ),
    "extremes too": (
        lambda p, q: (
            np.sum(apart(p, q) ** 2, axis=2),
            np.max(np.exp(apart(p, q)), axis=(0, 2)),
            np.min(np.sin(apart(p, q)), axis=1, keepdims=True),
            np.prod(np.cos(apart(p, q)), axis=(1, 2), keepdims=True),
        ),
        (POINTS, OTHERS),
    ),
    "an axis in the middle": (lambda s: (np.sum(np.exp(s), axis=1), np.sum(np.exp(s), axis=(0, 2))), (STACK,)),
    "eight components": (lambda x: (np.sum(np.sqrt(x * x + 1), axis=1), np.max(x * 2, axis=0)), (WIDE,)),
    "weighted": (lambda p, q, w: np.sum(apart(p, q) * w[..., None] * 2, axis=2), (POINTS, OTHERS, WEIGHTS)),
    "integers": (lambda s: np.sum(s * s - 1, axis=1), ((STACK * 1e8).astype(np.int32),)),
    "truth values": (lambda s: np.sum(s > 0, axis=1) + np.sum(np.exp(s), axis=1), (STACK,)),
    "selected": (lambda s: np.sum(np.where(s > 0, s, 2.0), axis=1), (STACK,)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values(name):
    formula, values = FORMULAS[name]
    graph = graph_of(formula, *values)
    new = write_out_short_axes(graph)
    verify(new)
    assert new is not graph
    for before, after in zip(compute(graph, *values), compute(new, *values), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-13)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)


def test_forces_and_their_derivative_are_two_loops_each():
    formula, values = FORMULAS["forces"]
    graph = graph_of(formula, *values)
    seed = unwrap(np.ones_like(values[0]))
    parts = vjp(graph.outputs, [seed], list(graph.inputs))
    new = optimise(Graph(graph.inputs, (*graph.outputs, *parts)), verify=True)
    program = lower(new)
    loops = [item for item in program.instructions if isinstance(item, Loop) and item.shape == (20, 30)]
    assert len(loops) <= 2 and all(len(item.shape) <= 2 for item in program.instructions)
    expected = compute(Graph(graph.inputs, (*graph.outputs, *parts)), *values)
    for before, after in zip(expected, cpu.Executable(new).run(list(values)), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "formula",
    [
        lambda s: np.sum(s, axis=1),  # an array that is there anyway
        lambda s: np.sum(np.exp(s[:2]), axis=1),  # few
        lambda s: np.sum(np.exp(s), axis=2),  # a long axis
        lambda s: np.sum(np.exp(s)),
        lambda s: (np.sum(np.exp(s), axis=1), np.exp(s)),  # returned as it is
    ],
)
def test_what_is_left_alone(formula):
    graph = graph_of(formula, STACK)
    assert op_names(write_out_short_axes(graph).outputs) == op_names(graph.outputs)


def test_a_long_formula_is_written_out_along_a_very_short_axis_only():
    def formula(x):
        for _ in range(40):
            x = np.sin(x) + 1
        return np.sum(x, axis=1)

    wide, narrow = graph_of(formula, WIDE), graph_of(formula, RNG.standard_normal((200, 3)))
    assert op_names(write_out_short_axes(wide).outputs) == op_names(wide.outputs)
    assert op_names(write_out_short_axes(narrow).outputs).count("sin") == 120
