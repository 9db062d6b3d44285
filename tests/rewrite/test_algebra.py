"""What optimised graphs are made of: transposes absorbed, sums as products of matrices, parts added in place."""

import numpy as np
import pytest
from rewrite.traced_graphs import compute, graph_of, op_names

from tracer.graph.graph import Graph
from tracer.graph.node import constant
from tracer.rewrite.passes import optimise
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp

RNG = np.random.default_rng(0)
A, B, C = RNG.standard_normal((20, 30)), RNG.standard_normal((30, 40)), RNG.standard_normal((20, 40))
V = RNG.standard_normal(300)
S = np.float64(2.5)

SHAPES = {
    # name: (formula, arguments, ops that are left)
    "(A @ B).T": (lambda a, b: (a @ b).T, (A, B), "matmul transpose transpose"),
    "(A.T).T": (lambda a: a.T.T, (A,), ""),
    "(B.T @ A.T).T": (lambda a, b: (b.T @ a.T).T, (A, B), "matmul"),
    "sum(x * y) of inputs": (lambda x, y: np.sum(x * y), (V, V + 1), "matmul reshape reshape reshape"),
    "sum(x * y) of formulas": (lambda x, y: np.sum(np.exp(x) * np.sin(y)), (V, V), "exp multiply sin sum"),
    "sum(x * y) of few": (lambda x, y: np.sum(x * y), (V[:5], V[:5]), "multiply sum"),
    "outer broadcast": (
        lambda a, b: np.sum(np.exp(a)[:, :, None] * b[None], axis=1),
        (A, B),
        "exp matmul",
    ),
    "row times matrix": (lambda a, v: np.sum(a * v, axis=1), (A, V[:30]), "matmul reshape reshape"),
    "sum(3 * x)": (lambda x: np.sum(3 * x), (V,), "multiply sum"),
    "sum(-x)": (lambda x: -np.sum(-x), (V,), "sum"),
    "mean of a product": (lambda x: np.mean(2 * x), (V,), "multiply sum"),
    "a + -b": (lambda x, y: x + -y, (V, V + 1), "subtract"),
    "-a * -b": (lambda x, y: -x * -y, (V, V + 1), "multiply"),
    "2 * (3 * x) / 6": (lambda x: 2 * (3 * x) / 6, (V,), ""),
    "sum of a broadcast": (lambda s: np.sum(np.broadcast_to(s, (3, 4)), axis=0), (S,), "broadcast_to multiply"),
    "sum of a broadcast over other axes": (
        lambda a: np.sum(np.broadcast_to(a[:, None], (20, 5, 30)), axis=0),
        (A,),
        "broadcast_to reshape reshape sum",
    ),
    "sum of matrix products": (
        lambda x, y: np.sum(np.swapaxes(x, -1, -2) @ y, axis=0),
        (RNG.standard_normal((4, 5, 6)), RNG.standard_normal((4, 5, 7))),
        "matmul reshape reshape transpose",
    ),
    "product with a broadcast": (lambda x, s: np.broadcast_to(s, (300,)) * x, (V, S), "multiply"),
    "exp of a broadcast": (lambda s: np.exp(np.broadcast_to(s, (3,))), (S,), "broadcast_to exp"),
    "sum of sums": (lambda a: np.sum(np.sum(a, axis=0)), (A,), "sum"),
    "sum, then the axis put back": (lambda a: a / np.sum(a, axis=1)[:, None], (A,), "divide sum"),
    "slices of slices": (lambda x: x[2:][::2][1:5], (V,), "slice"),
    "constants": (lambda x: x + np.exp(wrap(constant(1.0))) * 2, (V,), "add"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_left(name):
    formula, values, left = SHAPES[name]
    graph = graph_of(formula, *values)
    new = optimise(graph, verify=True)
    assert sorted(op_names(new.outputs)) == sorted(left.split())
    np.testing.assert_allclose(compute(new, *values)[0], compute(graph, *values)[0], rtol=1e-11, atol=1e-12)


def gradient(function, *values):
    graph = graph_of(function, *values)
    parts = vjp(graph.outputs, [unwrap(1.0)], list(graph.inputs))
    whole = Graph(graph.inputs, (*graph.outputs, *(part for part in parts if part is not None)))
    new = optimise(whole, verify=True)
    for before, after in zip(compute(whole, *values), compute(new, *values), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-12)
    return new


def test_gradient_of_slices_adds_parts_in_place():
    names = op_names(gradient(lambda x: np.sum(np.square(x[1:] - x[:-1] ** 2)), V).outputs)
    assert names.count("unslice") == 1 and names.count("slice_add") == 1


def test_gradient_of_picked_elements_scatters_into_one_array():
    names = op_names(gradient(lambda x: np.sum(np.sin(x[[1, 2, 2]])) + np.sum(np.cos(x[[0, 2]])), V).outputs)
    assert names.count("scatter_add") == 2 and "add" not in names[names.index("scatter_add") :]


def test_a_step_along_the_gradient_of_picked_rows_writes_only_these():
    def step(x):
        gradient = vjp((unwrap(np.sum(np.sin(x[[1, 2, 2]]))),), [unwrap(1.0)], [unwrap(x)])[0]
        return x - 0.1 * wrap(gradient)

    graph = graph_of(step, A)
    new = optimise(graph, verify=True)
    names = op_names(new.outputs)
    assert names[-1] == "scatter_add" and "subtract" not in names and "broadcast_to" not in names
    np.testing.assert_allclose(compute(new, A)[0], compute(graph, A)[0], rtol=1e-14)


def test_gradient_of_a_matrix_product_needs_only_views():
    names = op_names(gradient(lambda a, b, c: np.sum(np.sin(a @ b) * c), A, B, C).outputs)
    assert names.count("matmul") == 3 and set(names) <= {"matmul", "transpose", "sin", "cos", "multiply", "sum"}


def test_sums_of_constant_multiples_keep_infinities():
    x = np.array([np.inf, 1.0])
    for formula in (lambda x: np.sum(0.0 * x), lambda x: np.sum(np.inf * x)):
        graph = graph_of(formula, x)
        assert optimise(graph) == graph


def test_integers_wrap_round_as_before():
    x = np.array([2**62, -5, 7])
    graph = graph_of(lambda x: (x + 3) + 2**62 - (-(x - 1)), x)
    np.testing.assert_array_equal(compute(optimise(graph), x)[0], compute(graph, x)[0])


def test_a_fold_that_fails_is_left_to_the_run():
    x = np.zeros(3)
    graph = graph_of(lambda x: x + np.power(wrap(constant(2)), wrap(constant(-1))), x)
    assert "integer_power" in op_names(optimise(graph, verify=True).outputs)
