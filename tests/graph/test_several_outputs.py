"""Ops with several outputs: from the call to both executors, with derivatives of both modes."""

import numpy as np
import pytest
from lower.interpreter import Interpreter

import tracer
from tracer.graph.graph import Graph, verify
from tracer.graph.node import item_nodes, make_node
from tracer.graph.op import Op
from tracer.graph.text import debugprint, pp
from tracer.lower.schedule import lower
from tracer.run import backend, cpu, reference
from tracer.testing import check_grads
from tracer.tracing.proxy import wrap
from tracer.types import ArrayType, TupleType

BACKENDS = ("reference", "cpu")
X, Y = np.array([7.5, -3.2, 9.9]), np.array([2.0, 2.5, 3.0])
SYMMETRIC = np.array([[2.0, 0.3, -0.5], [0.3, -1.0, 0.7], [-0.5, 0.7, 0.5]])


def _split_quotient(position, g, y, a, b):
    """The quotient is piecewise constant; the remainder a - q * b is linear in both."""
    remainder = g[1]
    return remainder if position == 0 or remainder is None else -remainder * y[0]


DIVMOD = Op(
    "test_divmod",
    "call",
    lambda types: TupleType((types[0], types[0])),
    np.divmod,
    vjp=_split_quotient,
    jvp=lambda t, y, a, b: (None, (0 if t[0] is None else t[0]) - (0 if t[1] is None else t[1] * y[0])),
)


def _eigen_gaps(values):
    """1 / (w_j - w_i), and 0 on the diagonal."""
    difference = values[None, :] - values[:, None]
    return (1 - np.eye(values.shape[0])) / (difference + np.eye(values.shape[0]))


def _eigen_vjp(g, y, matrix):
    values, vectors = y
    inner = 0.0
    if g[0] is not None:
        inner = inner + g[0] * np.eye(matrix.shape[0])
    if g[1] is not None:
        inner = inner + _eigen_gaps(values) * (vectors.T @ g[1])
    return vectors @ inner @ vectors.T


def _eigen_jvp(tangents, y, matrix):
    values, vectors = y
    inner = vectors.T @ tangents[0] @ vectors
    return np.sum(inner * np.eye(matrix.shape[0]), axis=1), vectors @ (_eigen_gaps(values) * inner)


EIGEN = Op(
    "test_eigh",
    "call",
    lambda types: TupleType((ArrayType(types[0].dtype, types[0].shape[:1]), types[0])),
    lambda matrix: tuple(np.linalg.eigh(matrix)),
    vjp=(_eigen_vjp,),
    jvp=_eigen_jvp,
)


def symmetric(x):
    return (x + x.T) / 2


def test_a_call_gives_a_tuple():
    np.testing.assert_array_equal(DIVMOD(X, Y), np.divmod(X, Y))

    @tracer.compile
    def f(x, y):
        parts = DIVMOD(x, y)
        assert isinstance(parts, tuple) and [item.shape for item in parts] == [(3,), (3,)]
        return parts

    np.testing.assert_array_equal(f(X, Y), np.divmod(X, Y))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1), (1, 0, 1)])
def test_outputs_that_nobody_uses(backend, used):
    f = tracer.compile(lambda x, y: [DIVMOD(x, y)[place] for place in used], backend=backend)
    expected = np.divmod(X, Y)
    np.testing.assert_array_equal(f(X, Y), [expected[place] for place in used])


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives(backend):
    def values_alone(x):
        return EIGEN(symmetric(x))[0] ** 3

    def both(x):
        values, vectors = EIGEN(symmetric(x))
        return np.sum(vectors**2 * np.arange(9.0).reshape(3, 3) * values)

    def vectors_alone(x):
        return EIGEN(symmetric(x))[1] ** 2 @ np.arange(3.0)

    for function in (values_alone, both, vectors_alone):
        check_grads(function, (SYMMETRIC,), order=2, backend=backend, atol=1e-5)
    check_grads(lambda x, y: DIVMOD(x, y)[1] ** 2, (X, Y), order=2, backend=backend)
    check_grads(lambda x, y: sum(DIVMOD(x * y, y)), (X, Y), order=2, backend=backend)


def test_a_cotangent_that_is_missing_is_none():
    seen = []

    def rule(position, g, y, a, b):
        seen.append(tuple(item is None for item in g))
        return g[0]

    op = Op("test_pair", "call", lambda types: TupleType((types[0], types[1])), lambda a, b: (a, b), vjp=rule)
    tracer.grad(lambda x: np.sum(op(x, x * 2)[0]))(X)
    assert set(seen) == {(False, True)}


def test_derivative_with_respect_to_an_output():
    @tracer.compile
    def f(x):
        values, vectors = EIGEN(symmetric(x))
        return tracer.grad(np.sum(values**2 * vectors[0]), [values, vectors])

    values, vectors = np.linalg.eigh(SYMMETRIC)
    by_values, by_vectors = f(SYMMETRIC)
    np.testing.assert_allclose(by_values, 2 * values * vectors[0])
    np.testing.assert_allclose(by_vectors[0], values**2)
    assert not by_vectors[1:].any()


def graph_of(function, *types):
    from tracer.graph.node import input_node

    inputs = [input_node(item, name) for item, name in zip(types, "ab", strict=False)]
    outputs = function(*map(wrap, inputs))
    return Graph(tuple(inputs), tuple(item.__tracer_node__ for item in outputs))


VECTOR = ArrayType(np.dtype(float), (3,))


def test_one_instruction_computes_all_outputs():
    def f(a, b):
        quotient, remainder = DIVMOD(a, b)
        return quotient + remainder, remainder

    graph = graph_of(f, VECTOR, VECTOR)
    verify(graph)
    program = lower(graph)
    program.verify()
    assert [item.opcode for item in program.instructions] == ["call", "loop"]
    expected = reference.run(graph, [X, Y])
    for executable in (Interpreter(program), cpu.Executable(graph)):
        np.testing.assert_array_equal(executable.run([X, Y]), expected)


def test_outputs_are_written_where_they_belong():
    graph = graph_of(lambda a, b: [np.concatenate(DIVMOD(a, b)), np.stack(DIVMOD(b, a))], VECTOR, VECTOR)
    program = lower(graph)
    program.verify()
    assert [item.opcode for item in program.instructions] == ["call", "call"]
    for executable in (Interpreter(program), cpu.Executable(graph)):
        first, second = executable.run([X, Y])
        np.testing.assert_array_equal(first, np.concatenate(np.divmod(X, Y)))
        np.testing.assert_array_equal(second, np.stack(np.divmod(Y, X)))


def test_an_output_is_changed_in_place():
    def f(a, b):
        quotient, remainder = DIVMOD(a, b)
        remainder[1:] = quotient[:2]
        return quotient, remainder

    graph = graph_of(f, VECTOR, VECTOR)
    lower(graph).verify()
    quotient, remainder = np.divmod(X, Y)
    np.testing.assert_array_equal(cpu.Executable(graph).run([X, Y])[1], [remainder[0], *quotient[:2]])


def test_equal_calls_are_one_node():
    graph = graph_of(lambda a, b: [DIVMOD(a, b)[0], DIVMOD(a, b)[1]], VECTOR, VECTOR)
    node = graph.outputs[0].inputs[0]
    assert node is graph.outputs[1].inputs[0] and node.has_items
    assert node.types == (VECTOR, VECTOR) and item_nodes(node) == graph.outputs
    assert make_node(DIVMOD, graph.inputs) is node


def test_a_nan_is_traced_to_the_op():
    graph = graph_of(lambda a, b: DIVMOD(a, b), VECTOR, VECTOR)
    with pytest.raises(FloatingPointError, match="test_divmod gave NaN"):
        backend.find_nan(graph, [X, np.zeros(3)], "f")


def test_texts():
    graph = graph_of(lambda a, b: [DIVMOD(a, b)[0] + DIVMOD(a, b)[1]], VECTOR, VECTOR)
    assert pp(graph.outputs[0]) == "test_divmod(a, b)[0] + test_divmod(a, b)[1]"
    text = debugprint(graph.outputs[0])
    assert "item 1 [id" in text and "test_divmod [id C] (float64[3], float64[3])" in text
