"""Choices become conditions: random graphs compute what they did before, and only what is needed."""

import itertools

import numpy as np
import pytest

from tracer.graph.evaluation import Evaluation
from tracer.graph.graph import Graph, verify
from tracer.graph.node import constant, input_node, make_node
from tracer.graph.op import OPS
from tracer.ops.branching import IFELSE
from tracer.ops.control import COND
from tracer.rewrite.branches import lazy_branches
from tracer.rewrite.passes import optimise
from tracer.run import reference
from tracer.transform.grad import vjp
from tracer.types import ArrayType

FLOAT, BOOL = ArrayType(np.dtype(float), (2,)), ArrayType(np.dtype(bool), ())


def random_graph(rng, size=14, predicates=3):
    """A graph of choices and arithmetic over two arrays, with a few outputs."""
    flags = [input_node(BOOL) for _ in range(predicates)]
    inputs = [input_node(FLOAT) for _ in range(2)]
    nodes = [*inputs, make_node(OPS["broadcast_to"], (constant(0.0),), {"shape": (2,)})]
    for _ in range(size):
        one, two = (nodes[place] for place in rng.integers(max(0, len(nodes) - 7), len(nodes), 2))
        kind = rng.choice(["add", "multiply", "subtract", "tanh", "sin", "negative", "ifelse", "ifelse", "ifelse"])
        if kind == "ifelse":
            nodes.append(make_node(IFELSE, (flags[rng.integers(predicates)], one, two)))
        elif kind in ("tanh", "sin", "negative"):
            nodes.append(make_node(OPS[kind], (one,)))
        else:
            nodes.append(make_node(OPS[kind], (one, two)))
    outputs = [nodes[place] for place in rng.integers(len(nodes) // 2, len(nodes), 2)]
    return Graph((*flags, *inputs), (*outputs, nodes[-1]))


def check(graph, rewritten, predicates=3):
    verify(rewritten)
    assert IFELSE not in {node.op for node in rewritten.nodes()}
    values = [np.array([0.3, -1.2]), np.array([0.7, 0.4])]
    for flags in itertools.product([False, True], repeat=predicates):
        arrays = [*map(np.array, flags), *values]
        for one, other in zip(reference.run(rewritten, arrays), reference.run(graph, arrays), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(60))
def test_values_stay(seed):
    graph = random_graph(np.random.default_rng(seed))
    check(graph, lazy_branches(graph))
    check(graph, optimise(graph, verify=True))


@pytest.mark.parametrize("seed", range(40))
def test_derivatives_stay(seed):
    graph = random_graph(np.random.default_rng(1000 + seed), size=10, predicates=2)
    ones = [make_node(OPS["broadcast_to"], (constant(1.0),), {"shape": (2,)})] * len(graph.outputs)
    found = [node for node in vjp(graph.outputs, ones, graph.inputs[2:]) if node is not None]
    whole = Graph(graph.inputs, (*graph.outputs, *found))
    check(whole, lazy_branches(whole), predicates=2)


def work_of(graph, arrays):
    """The names of the ops that run, those in the branches taken included."""
    names = []

    def run(part, values):
        seen = set()

        def after(node, inputs, _):
            if node in seen:  # it is told of every output
                return
            seen.add(node)
            if node.op is COND:
                run(node.params["then" if inputs[0] else "otherwise"], inputs[1:])
            else:
                names.append(node.op.name)

        Evaluation(part).compute(values, after)

    run(graph, arrays)
    return sorted(names)


def unary(name, node):
    return make_node(OPS[name], (node,))


def test_only_what_is_taken_runs():
    c, d, x = input_node(BOOL), input_node(BOOL), input_node(FLOAT)
    inner = make_node(IFELSE, (d, unary("sin", x), unary("cos", x)))
    shared = unary("exp", x)
    choice = make_node(IFELSE, (c, unary("tanh", inner), make_node(OPS["add"], (unary("sqrt", shared), x))))
    graph = lazy_branches(Graph((c, d, x), (choice, shared)))
    value = np.array([0.1, 0.2])
    yes, no = np.array(True), np.array(False)
    assert work_of(graph, [yes, yes, value]) == ["exp", "sin", "tanh"]
    assert work_of(graph, [yes, no, value]) == ["cos", "exp", "tanh"]
    assert work_of(graph, [no, yes, value]) == ["add", "exp", "sqrt"]


def test_a_value_shared_by_two_stages_is_computed_once():
    c, x = input_node(BOOL), input_node(FLOAT)
    work = unary("exp", x)
    first = make_node(IFELSE, (c, unary("sin", work), x))
    second = make_node(IFELSE, (c, make_node(OPS["multiply"], (work, unary("tanh", first))), unary("cos", first)))
    graph = lazy_branches(Graph((c, x), (first, second, unary("sqrt", first))))
    assert work_of(graph, [np.array(True), np.array([0.1, 0.2])]).count("exp") == 1
    assert "exp" not in work_of(graph, [np.array(False), np.array([0.1, 0.2])])
