"""What rewriting makes of loops: it keeps their values, and leaves in them only what must be done at every step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lower.interpreter import Interpreter

import tracer
from tracer.graph.graph import Graph, verify
from tracer.graph.node import input_node
from tracer.lower.schedule import lower
from tracer.ops.scan import SCAN
from tracer.rewrite import loops
from tracer.rewrite.passes import optimise
from tracer.run import cpu, reference
from tracer.tracing.control import cond, scan
from tracer.tracing.proxy import wrap
from tracer.transform.grad import vjp
from tracer.transform.jvp import jvp
from tracer.types import ArrayType

RNG = np.random.default_rng(1)


def graph_of(function, *shapes, dtype=float):
    """The graph of a function of arrays of these shapes."""
    inputs = [input_node(ArrayType(np.dtype(dtype), shape), f"x{place}") for place, shape in enumerate(shapes)]
    return Graph(tuple(inputs), tuple(item.__tracer_node__ for item in function(*map(wrap, inputs))))


def gradient(graph, *places):
    """The graph of the gradients of the sum of outputs."""
    ones = [np.ones_like(wrap(node)).__tracer_node__ for node in graph.outputs]
    found = vjp(graph.outputs, ones, [graph.inputs[place] for place in places])
    return Graph(graph.inputs, (*graph.outputs, *found))


def check(graph):
    """Rewriting keeps the values; gives the new graph."""
    arrays = [RNG.standard_normal(node.shape) for node in graph.inputs]
    new = optimise(graph, verify=True)
    verify(new)
    expected = reference.run(graph, arrays)
    program = lower(new)
    program.verify()
    for run in (reference.Executable(new).run, Interpreter(program).run, cpu.Executable(new).run):
        found = run(arrays)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    return new


def scans(graph):
    return [node for node in graph.nodes() if node.op is SCAN]


def ops_in(node):
    """The names of the ops in the body of a scan."""
    return {item.op.name for item in node.params["body"].nodes() if item.inputs}


def network(w, u, x, h):
    history = scan(lambda row, h: ([np.tanh(h @ w + row @ u)], [], []), [x], [h]).histories[0]
    return (np.sum(history[1:] ** 2),)


SHAPES = ((3, 3), (2, 3), (5, 2), (1, 3))
BATCH = ((3, 3), (2, 3), (5, 4, 2), (1, 4, 3))


@pytest.mark.parametrize("shapes", [SHAPES, BATCH])
def test_products_of_a_network_are_done_at_once(shapes):
    (forward,) = scans(check(graph_of(network, *shapes)))
    assert [item.op.name for item in forward.params["body"].nodes()].count("matmul") == 1
    assert forward.params["frame"].sequences == 1

    new = check(gradient(graph_of(network, *shapes), 0, 1, 2))
    forward, backward = scans(new)
    assert backward.params["frame"].carries == 1 and backward.params["frame"].outputs == 1
    assert [item.op.name for item in backward.params["body"].nodes()].count("matmul") == 1
    assert "tanh" not in ops_in(backward)
    outside = [item for item in new.nodes() if item.op.name == "matmul"]
    assert len(outside) == 4


def test_the_gradient_asks_the_same_loop_for_more():
    def gates(w, x, h):
        def body(row, h):
            gate = np.tanh(row * w)
            return [gate * h + np.exp(-h)], [], []

        return (scan(body, [x], [h]).histories[0],)

    graph = gradient(graph_of(gates, (3,), (5, 3), (1, 3)), 0, 1, 2)
    assert len(scans(graph)) == 3
    forward, backward = scans(check(graph))
    assert forward.params["frame"].outputs == 2
    assert ops_in(backward).isdisjoint({"tanh", "exp"})


def test_gradients_of_rows_that_are_looked_up_are_scattered_once():
    def lookup(table, h):
        places = np.array([[1, 2], [0, 2], [2, 2], [1, 1]])

        def body(place, h):
            return [], [np.tanh(h + table[place])], []

        return scan(body, [places], carries=[h]).carries

    graph = gradient(graph_of(lookup, (3, 5), (2, 5)), 0, 1)
    new = check(graph)
    assert "scatter_add" not in {name for node in scans(new) for name in ops_in(node)}


def test_work_that_is_the_same_at_every_step_is_done_before():
    def function(w, x):
        return scan(lambda row, c: ([], [c * np.exp(w) + np.sum(np.sin(w)) * row], []), [x], carries=[w]).carries

    (loop,) = scans(check(graph_of(function, (3,), (4, 3))))
    assert ops_in(loop).isdisjoint({"exp", "sin", "sum"})


def test_what_nobody_needs_is_dropped():
    def function(x, y):
        made = scan(lambda r, q, s, c, d: ([s + r], [c * q, d + c], [r * 2, q]), [x, y], [x[:1]], [y[0], y[1]])
        return (made.histories[0],)

    (loop,) = scans(check(graph_of(function, (4, 3), (4, 3))))
    assert len(loop.inputs) == 2 and len(loop.types) == 1


def test_a_state_of_which_the_last_row_is_used_is_a_carry():
    def function(x, s):
        return (scan(lambda row, s: ([np.sin(s) * row], [], []), [x], [s]).histories[0][-1],)

    (loop,) = scans(check(graph_of(function, (4, 3), (2, 3))))
    assert loop.params["frame"].carries == 1 and not loop.params["frame"].lags
    kept = graph_of(lambda x, s: (scan(lambda r, s: ([s * r], [], []), [x], [s]).histories[0][-2:],), (4, 3), (1, 3))
    (loop,) = scans(check(kept))
    assert loop.params["frame"].lags == ((1,),)


def test_a_loop_with_nothing_to_drop_is_not_made_anew(monkeypatch):
    def function(x, s):
        return scan(lambda row, before, last: ([before * row + last], [], []), [x], [s], lags=[(1, 2)]).histories

    graph = graph_of(function, (4,), (2,))
    monkeypatch.setattr(loops, "_ROUNDS", 1)  # of two, the second might undo what the first did
    assert loops.prune(graph).outputs == graph.outputs


def test_a_carry_that_is_stacked_is_a_state():
    def function(x, c):
        def body(row, c):
            new = np.tanh(c * row)
            return [], [new], [c, new]

        made = scan(body, [x], carries=[c])
        return (*made.carries, *made.outputs)

    (loop,) = scans(check(graph_of(function, (4, 3), (3,))))
    assert loop.params["frame"].lags == ((1,),)
    assert not loop.params["frame"].carries and not loop.params["frame"].outputs


def test_most_of_a_row_is_replaced_in_a_copy():
    def function(x):
        u = scan(lambda u: ([], [np.sin(u)], [u]), carries=[x], n_steps=3).outputs[0][1]
        u[1:-1, 1:-1] = u[:-2, 1:-1] * u[2:, 1:-1]
        return (u,)

    check(graph_of(function, (300, 300)))


def test_outputs_that_are_stored_elsewhere_are_read_there():
    def function(x, s):
        def body(row, s):
            new = s * row
            return [new], [], [new, row, s + 1, s + 1]

        made = scan(body, [x], [s])
        return (*made.histories, *made.outputs)

    (loop,) = scans(check(graph_of(function, (4, 3), (1, 3))))
    assert loop.params["frame"].outputs == 1


def test_constants_go_into_the_body():
    def function(x):
        made = scan(lambda r, o, c, k: ([], [c * o + r * k], []), [x, np.ones_like(x)], carries=[x[0]],
                    non_sequences=[np.float64(2)])  # fmt: skip
        return made.carries

    (loop,) = scans(check(graph_of(function, (4, 3))))
    assert len(loop.inputs) == 2


def test_a_loop_of_no_steps_is_no_loop():
    def function(x, s):
        made = scan(lambda r, s, c: ([s * r], [c + r], [c]), [x], [s], [s[0]])
        return (*made.histories, *made.carries, *made.outputs)

    assert not scans(check(graph_of(function, (0, 3), (1, 3))))


def test_a_loop_that_stops_early_keeps_its_products():
    def function(w, x):
        made = scan(lambda r, c: ([], [np.tanh(c + r @ w)], [c], c[0] > 0.5), [x], carries=[x[0]], until=True)
        return (*made.carries, *made.outputs)

    new = check(gradient(graph_of(function, (3, 3), (6, 3)), 0, 1))
    assert all(node.params["frame"].counted or node.params["frame"].until for node in scans(new))


def test_operands_of_branches_that_nobody_reads_are_dropped():
    def function(x, y):
        return cond(x[0] > 0, lambda a, b: (a * 2, b), lambda a, b: (a, b * 3), [x, y])[:1]

    new = check(graph_of(function, (3,), (4,)))
    (node,) = [item for item in new.nodes() if item.op.name == "cond"]
    assert len(node.inputs) == 2 and len(node.types) == 1


# --- at random ---------------------------------------------------------------------------------------------------


class Maker:
    """Draws a scan: every value of the body takes earlier ones."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.until = self.rng.random() < 0.25
        self.reverse = self.rng.random() < 0.3
        self.steps = int(self.rng.integers(0, 6))
        self.lags = [tuple(sorted(set(self.rng.integers(1, 4, 2).tolist()))) for _ in range(self.rng.integers(0, 3))]
        self.counts = [int(self.rng.integers(low, 3)) for low in (0, 0, 1)]

    def __call__(self, *inputs):
        sequences, carries, fixed = self.counts
        values = list(inputs)
        rows = [np.tanh(values.pop()) for _ in range(sequences)]
        states = [np.tanh(values.pop()) for _ in self.lags]
        carried = [values.pop()[0] for _ in range(carries)]
        made = scan(
            self.body, rows, states, carried, [values.pop() for _ in range(fixed)], self.steps,
            lags=self.lags, reverse=self.reverse, until=self.until,
        )  # fmt: skip
        return [*made.histories, *made.carries, *made.outputs]

    def shapes(self):
        sequences, carries, fixed = self.counts
        found = [(3, 3)] * fixed + [(1, 3)] * carries
        found += [(max(lags) + int(self.rng.integers(0, 2)), 3) for lags in reversed(self.lags)]
        return [*found, *[(self.steps, 3)] * sequences]

    def body(self, *values):
        rng = np.random.default_rng(self.rng.integers(1 << 30))
        known = [value if value.ndim == 1 else value[0] for value in values]
        squares = [value for value in values if value.ndim == 2]

        def pick():
            return known[int(rng.integers(len(known)))]

        for _ in range(int(rng.integers(2, 8))):
            known.append(
                [
                    lambda: np.tanh(pick()),
                    lambda: pick() * pick(),
                    lambda: pick() + 0.5 * pick(),
                    lambda: np.tanh(pick() @ squares[int(rng.integers(len(squares)))]),
                    lambda: np.sum(pick()) * pick(),
                    lambda: np.where(pick() > 0, pick(), np.sin(pick())),
                ][int(rng.integers(6))]()
            )
        count = len(self.lags) + self.counts[1]
        new = [np.tanh(pick()) for _ in range(count)]
        if new and rng.random() < 0.5:
            new[-1] = values[-self.counts[2] - 1] + pick() if self.counts[1] else new[-1]
        outputs = [pick() for _ in range(int(rng.integers(0, 3)))]
        states, carries = new[: len(self.lags)], new[len(self.lags) :]
        return (states, carries, outputs, pick()[0] > 0.6) if self.until else (states, carries, outputs)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60)
def test_random_loops(seed):
    maker = Maker(seed)
    shapes = maker.shapes()
    graph = graph_of(maker, *shapes)
    if not graph.outputs:
        return
    check(graph)
    ones = [np.ones_like(wrap(node)).__tracer_node__ for node in graph.outputs]
    pulled = [node for node in vjp(graph.outputs, ones, graph.inputs) if node is not None]
    pushed = jvp(graph.outputs, {node: np.cos(wrap(node)).__tracer_node__ for node in graph.inputs})
    check(Graph(graph.inputs, (*graph.outputs, *pulled, *(node for node in pushed if node is not None))))


def test_a_compiled_step_of_training_is_what_it_was():
    arrays = [RNG.standard_normal(shape) for shape in BATCH]
    step = tracer.value_and_grad(lambda *args: network(*args)[0], argnums=(0, 1))
    for one, other in zip(
        tracer.compile(step, backend="reference")(*arrays)[1], tracer.compile(step)(*arrays)[1], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("last", [np.sort, lambda x: np.linalg.solve(np.eye(3) + x[:, None] * x, x), np.cumsum])
def test_a_product_below_what_cannot_be_done_for_all_steps_at_once(last):
    def function(w, rows, start):
        made = scan(lambda row, c: ([], [np.tanh(c + row)], [last(w @ c)]), [rows], carries=[start])
        return (np.sum(made.outputs[0] * rows),)

    check(graph_of(function, (3, 3), (4, 3), (3,)))
    check(gradient(graph_of(function, (3, 3), (4, 3), (3,)), 0, 1, 2))
