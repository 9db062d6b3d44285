"""A matrix that is solved with, inverted, and whose determinant is asked for, is factored once: or is a factor."""

from __future__ import annotations

from collections import Counter

from tracer.graph import lapack
from tracer.graph.graph import Graph, rebuild
from tracer.graph.node import Node, blame, item_nodes, make_node
from tracer.ops.factors import DETERMINANT_OF_FACTORS, FACTORS, INVERSE_OF_FACTORS, SOLVE_BY_FACTORS
from tracer.ops.linalg import CHOLESKY, INV, SLOGDET, SOLVE, SOLVE_TRIANGULAR


def use_triangles(graph: Graph) -> Graph:
    """Solve with a Cholesky factor, or its transpose, as with the triangle that it is.

    Its diagonal has no zeros, so that the one solves what the other does. Where the factor has a NaN, what does not
    depend on it is a number.
    """
    if not {CHOLESKY, SOLVE} <= graph.ops():
        return graph
    order = graph.nodes()

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not SOLVE or node.params["structure"] != "any" or len(node.inputs[0].shape) != 2:
            return None
        matrix, transposed = _without_transpose(node.inputs[0])
        size = matrix.shape[-1]
        if matrix.op is not CHOLESKY or size is None or size <= lapack.SMALL:
            return None
        with blame(node.line):
            return make_node(SOLVE_TRIANGULAR, inputs, {"lower": not transposed, "unit": False})

    return Graph(graph.inputs, rebuild(graph.outputs, transform, order=order))


def share_factors(graph: Graph) -> Graph:
    """Let ops that would each factor the same matrix, or its transpose to solve with it, do so together.

    Small matrices and stacks of them stay with the op, which needs no call for each step.
    """
    if graph.ops().isdisjoint((SOLVE, INV, SLOGDET)):
        return graph
    order = graph.nodes()
    subjects = {node: _subject(node) for node in order if node.op in (SOLVE, INV, SLOGDET)}
    counts = Counter(found[0] for found in subjects.values() if found is not None)
    shared = {node: found for node, found in subjects.items() if found is not None and counts[found[0]] > 1}
    if not shared:
        return graph
    made: dict[Node, tuple[Node, ...]] = {}

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node not in shared:
            return None
        matrix, transposed = shared[node]
        with blame(node.line):
            if matrix not in made:
                now = inputs[0].inputs[0] if transposed else inputs[0]
                made[matrix] = item_nodes(make_node(FACTORS, (now,)))
            if node.op is SOLVE:
                return make_node(SOLVE_BY_FACTORS, (*made[matrix], inputs[1]), {"transposed": transposed})
            if node.op is INV:
                return make_node(INVERSE_OF_FACTORS, made[matrix], node.params)
            return make_node(DETERMINANT_OF_FACTORS, made[matrix])

    return Graph(graph.inputs, rebuild(graph.outputs, transform, order=order))


def _subject(node: Node) -> tuple[Node, bool] | None:
    """The matrix that an op factors, and whether it does so with its transpose; None if it is left alone."""
    matrix = node.inputs[0]
    size = matrix.shape[-1]
    if len(matrix.shape) != 2 or size is None or size <= lapack.SMALL:
        return None
    if node.op is not SOLVE:
        return matrix, False
    right = node.inputs[1]
    if node.params["structure"] != "any" or right.dtype != matrix.dtype or len(right.shape) != 2 or not right.shape[1]:
        return None
    return _without_transpose(matrix)


def _without_transpose(matrix: Node) -> tuple[Node, bool]:
    """A matrix, and whether it was the transpose of it."""
    if matrix.op.name == "transpose" and matrix.params["axes"] == (1, 0):
        return matrix.inputs[0], True
    return matrix, False
