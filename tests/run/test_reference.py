"""The reference executor, and what is asked of every executor."""

import weakref

import numpy as np
import pytest

from tracer.graph.graph import Graph
from tracer.graph.node import constant, input_node, make_node
from tracer.graph.op import OPS
from tracer.run import backend, reference
from tracer.types import ArrayType


def node(name, *inputs, **params):
    return make_node(OPS[name], inputs, params)


def argument(*shape, dtype=float):
    return input_node(ArrayType(np.dtype(dtype), shape))


def layouts(graph):
    return [(item.shape, tuple(np.array(np.empty(item.shape).strides) // 8)) for item in graph.inputs]


def test_outputs_are_fresh_and_contiguous():
    x = argument(2, 3)
    array = np.ones((2, 3))
    same, turned = reference.run(Graph((x,), (x, node("transpose", x, axes=(1, 0)))), [array])
    assert not np.shares_memory(same, array)
    assert turned.flags.c_contiguous


def test_values_are_let_go_after_their_last_use():
    x = argument(3)
    first = node("sin", x)
    last = node("exp", node("cos", first))
    held, alive = {}, []

    def look(item, inputs, result):
        held[item] = weakref.ref(result)
        alive.append(sum(reference_() is not None for reference_ in held.values()))

    reference.run(Graph((x,), (last,)), [np.ones(3)], look)
    assert alive == [1, 2, 2]


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_a_failure_names_the_line(name):
    x, where = argument(3), argument(2, dtype=np.int64)
    graph = Graph((x, where), (node("gather", x, where),))
    with pytest.raises(IndexError) as caught:
        backend.load(name, graph, layouts(graph)).run([np.ones(3), np.array([0, 7])])
    assert "test_reference.py" in caught.value.tracer_line


def test_a_nan_is_traced_to_the_op_that_made_it():
    x = argument(3)
    graph = Graph((x,), (node("exp", node("log", node("subtract", x, constant(1.0)))),))
    with pytest.raises(FloatingPointError, match=r"log gave NaN \(1 of 3 values\) in 'cost'") as caught:
        backend.find_nan(graph, [np.array([0.5, 1.0, 2.0])], "cost")
    assert "float64[3] in [-0.5, 1.0]" in str(caught.value)
    assert "test_reference.py" in str(caught.value)


def test_a_nan_that_came_in_is_nobodys_fault():
    x = argument(1)
    backend.find_nan(Graph((x,), (node("exp", x),)), [np.array([np.nan])], "cost")
