"""Lowering: what a program computes, how few loops it needs, and where it keeps its values."""

import math
import os
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lower.graphs import argument, draw, node
from lower.interpreter import Interpreter
from work import count_calls

from tracer.graph.graph import Graph, verify
from tracer.graph.node import constant
from tracer.lower.memory import views_of
from tracer.lower.program import Loop
from tracer.lower.schedule import lower
from tracer.rewrite.passes import optimise
from tracer.run import cpu, reference
from tracer.tracing.control import cond, scan
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp

ZERO = constant(0.0)


def element_layouts(arrays):
    return [(item.shape, tuple(stride // item.itemsize for stride in item.strides)) for item in arrays]


def check_same(expected, actual, tolerance=1e-9):
    assert len(expected) == len(actual)
    for one, other in zip(expected, actual, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert other.flags.c_contiguous
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def run(graph, *arrays):
    """Lower, verify, run by NumPy and by the kernels, compare with the reference; gives the program."""
    verify(graph)
    arrays = [np.asarray(array, dtype=item.dtype) for array, item in zip(arrays, graph.inputs, strict=True)]
    program = lower(graph, element_layouts(arrays))
    program.verify()
    assert len(program.nodes) == len(program.instructions)
    before = [array.tobytes() for array in arrays]
    expected = reference.run(graph, arrays)
    single = any(own.dtype == np.float32 for item in graph.nodes() for own in item.types)
    for executable in (Interpreter(program), cpu.Executable(graph, element_layouts(arrays))):
        check_same(expected, executable.run(arrays), 1e-3 if single else 1e-9)
    assert before == [array.tobytes() for array in arrays]
    return program


def random_arrays(graph, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(item.shape).astype(item.dtype) for item in graph.inputs]


def run_random(inputs, *outputs):
    graph = Graph(tuple(inputs), tuple(outputs))
    return run(graph, *random_arrays(graph))


def opcodes(program):
    return [instruction.opcode for instruction in program.instructions]


def loops(program):
    return [instruction for instruction in program.instructions if isinstance(instruction, Loop)]


def temporaries(program):
    return [buffer for buffer in program.buffers if buffer.kind == "temporary"]


# --- what it computes ---


@given(seed=st.integers(0, 2**31))
@settings(max_examples=150)
@pytest.mark.filterwarnings("ignore")
def test_random_graphs(seed):
    graph, arrays = draw(seed)
    run(graph, *arrays)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_big_random_graphs(seed):
    graph, arrays = draw(seed, size=500)
    run(graph, *arrays)


def test_outputs_that_are_inputs_constants_views_and_repeated():
    x, y = argument(2, 3), argument(3)
    flipped = node("transpose", x, axes=(1, 0))
    doubled = node("add", x, x)
    outputs = (
        x,
        constant(np.arange(3.0)),
        constant(2.5),
        flipped,
        doubled,
        doubled,
        node("broadcast_to", y, shape=(2, 3)),
    )
    program = run_random((x, y), *outputs)
    assert program.outputs == len(outputs)
    assert not temporaries(program)


def test_outputs_are_fresh():
    x = argument(3)
    array = np.ones(3)
    first, second = cpu.Executable(Graph((x,), (x, node("add", x, ZERO)))).run([array])
    assert not np.shares_memory(first, array)
    assert not np.shares_memory(first, second)


def test_unused_arguments_are_accepted():
    x, y = argument(3), argument(2)
    run_random((y, x, argument(5)), node("sin", x))


def test_graph_without_outputs():
    program = run_random((argument(3),))
    assert program.instructions == ()


def test_an_unknown_shape_is_refused():
    x = argument(None)
    with pytest.raises(ValueError, match="not known"):
        lower(Graph((x,), (node("sin", x),)))


def test_empty_arrays():
    x = argument(0, 3)
    total = node("sum", node("exp", x), axes=(0,), keepdims=False)
    run_random((x,), total, node("reshape", x, shape=(3, 0)), node("matmul", node("transpose", x, axes=(1, 0)), x))


def test_every_instruction_carries_a_line_of_the_user():
    x = argument(4, 4)
    program = run_random((x,), node("matmul", node("sin", x), x))
    assert all("graphs.py" in instruction.line for instruction in program.instructions)


def test_missing_kernels_are_called():
    x = argument(3)
    program = lower(Graph((x,), (node("sin", x),)), has_kernel=lambda name, operand, result: False)
    assert opcodes(program) == ["call"]
    check_same([np.sin(np.arange(3.0))], Interpreter(program).run([np.arange(3.0)]))


# --- fusion ---


def test_value_and_gradient_of_a_sum_share_one_loop():
    x = argument(50, 20)
    inner = node("multiply", x, node("sin", x))
    gradient = node("add", node("sin", x), node("multiply", x, node("cos", x)))
    program = run_random((x,), node("sum", inner, axes=(0, 1), keepdims=False), gradient)
    (loop,) = loops(program)
    assert (len(loop.loads), len(loop.stores), len(loop.reduces)) == (1, 1, 1)
    assert not temporaries(program)


def test_softmax_is_three_loops():
    x = argument(30, 10)
    shifted = node("subtract", x, node("max", x, axes=(1,), keepdims=True))
    powers = node("exp", shifted)
    program = run_random((x,), node("divide", powers, node("sum", powers, axes=(1,), keepdims=True)))
    assert opcodes(program) == ["loop"] * 3
    assert program.buffers[-1].kind == "output"


def logistic():
    x, target, w, b = argument(40, 5), argument(40), argument(5), argument()
    scores = node("reshape", node("matmul", x, node("reshape", w, shape=(5, 1))), shape=(40,))
    p = node("divide", constant(1.0), node("add", constant(1.0), node("exp", node("subtract", b, scores))))
    cost = node("sum", node("square", node("subtract", p, target)), axes=(0,), keepdims=False)
    pull = node("multiply", node("subtract", p, target), node("multiply", p, node("subtract", constant(1.0), p)))
    across = node("matmul", node("transpose", x, axes=(1, 0)), node("reshape", pull, shape=(40, 1)))
    step = node("subtract", w, node("multiply", constant(0.1), node("reshape", across, shape=(5,))))
    return Graph((x, target, w, b), (cost, step, node("sum", pull, axes=(0,), keepdims=False)))


def test_logistic_regression_is_one_big_loop():
    graph = logistic()
    program = run(graph, *random_arrays(graph))
    assert opcodes(program) == ["matmul", "loop", "matmul", "loop"]


def test_axes_of_size_one_do_not_split_loops():
    x = argument(6)
    column = node("sin", node("reshape", node("exp", x), shape=(6, 1)))
    program = run_random((x,), node("reshape", column, shape=(1, 6)), column)
    assert len(loops(program)) == 1


def test_cheap_work_is_done_where_it_is_used():
    x = argument(100, 30)
    total = node("sum", x, axes=(0,), keepdims=True)
    late = node("multiply", node("negative", node("exp", x)), total)
    program = run_random((x,), late)
    assert len(loops(program)) == 2
    assert [buffer.size for buffer in temporaries(program)] == [30]


def test_cheap_work_is_repeated_rather_than_stored():
    x = argument(100, 30)
    centred = node("subtract", x, constant(0.5))
    spread = node("sum", node("square", centred), axes=(0,), keepdims=True)
    program = run_random((x,), node("divide", centred, spread))
    assert [buffer.size for buffer in temporaries(program)] == [30]


def test_expensive_work_is_stored():
    x = argument(100, 30)
    powers = node("exp", x)
    program = run_random((x,), node("divide", powers, node("sum", powers, axes=(0,), keepdims=True)))
    assert sum(step.kernel == "exp" for loop in loops(program) for step in loop.steps) == 1


def test_unrelated_big_work_stays_apart_and_small_work_together():
    for size, expected in ((10_000, 2), (10, 1)):
        x, y = argument(size), argument(size)
        assert len(loops(run_random((x, y), node("sin", x), node("cos", y)))) == expected


def test_loops_do_not_grow_without_bound():
    x = argument(10)
    value = x
    for _ in range(500):
        value = node("sin", value)
    assert 4 <= len(loops(run_random((x,), value))) <= 10


def test_a_long_formula_over_a_large_array_is_one_loop():
    x = argument(5000)
    value = x
    for _ in range(60):
        value = node("tanh", node("add", node("sin", value), x))
    (loop,) = loops(run_random((x,), value))
    assert (len(loop.steps), len(loop.stores)) == (180, 1)


def test_several_reductions_of_one_input_share_a_loop():
    x = argument(30, 20)
    squares = node("square", x)
    outputs = [
        node(kind, squares, axes=axes, keepdims=False) for kind in ("sum", "max") for axes in ((0,), (1,), (0, 1))
    ]
    assert len(loops(run_random((x,), *outputs, squares))) == 1


def test_uniform_arrays_are_immediates():
    x = argument(4, 3)
    ones = node("transpose", node("broadcast_to", constant(1.0), shape=(3, 4)), axes=(1, 0))
    (loop,) = loops(run_random((x,), node("add", x, ones)))
    assert len(loop.loads) == 1
    assert loop.immediates == (1.0,)


# --- products ---


def test_transposes_and_batches_are_strides_of_products():
    a, b = argument(5, 4, 3), argument(2, 4)
    product = node("matmul", node("transpose", b, axes=(1, 0)), b)
    batched = node("matmul", node("transpose", a, axes=(0, 2, 1)), node("broadcast_to", product, shape=(5, 4, 4)))
    program = run_random((a, b), batched)
    assert opcodes(program) == ["matmul", "matmul"]
    assert program.instructions[1].b.strides == (0, 4, 1)


def test_sums_of_products_accumulate():
    pairs = [(argument(4, 3), argument(3, 5)) for _ in range(4)]
    products = [node("matmul", a, b) for a, b in pairs]
    total = products[0]
    for product in products[1:]:
        total = node("add", product, total)
    program = run_random([item for pair in pairs for item in pair], total)
    assert opcodes(program) == ["matmul"] * 4
    assert [instruction.accumulate for instruction in program.instructions] == [False, True, True, True]
    assert not temporaries(program)


def test_a_product_used_twice_is_not_accumulated_into():
    a, b = argument(3, 3), argument(3, 3)
    product = node("matmul", a, b)
    run_random((a, b), node("add", product, node("matmul", b, a)), product)


# --- arrays from pieces ---


def row(number, columns=3):
    return ((number, 1, 1), (0, columns, 1))


def test_a_loop_that_fills_an_array_is_one_loop():
    x = argument(20)
    out = node("broadcast_to", ZERO, shape=(20,))
    for i in range(20):
        out = node("slice_set", out, node("sin", node("slice", x, index=((i, 1, 1),))), index=((i, 1, 1),))
    assert len(loops(run_random((x,), out))) == 1


def test_writing_into_a_copy_costs_one_copy():
    x = argument(8, 3)
    out = x
    for i in range(4):
        out = node("slice_add", out, node("slice", x, index=row(i + 4)), index=row(i))
    program = run_random((x,), out)
    assert len(loops(program)) == 2
    assert not temporaries(program)


def test_reading_and_writing_the_same_rows_is_in_place():
    x, y = argument(8, 3), argument(8, 3)
    out = node("exp", x)
    for i in range(3):
        changed = node("add", node("slice", out, index=row(i)), node("slice", y, index=row(i)))
        out = node("slice_set", out, changed, index=row(i))
    program = run_random((x, y), out)
    assert not temporaries(program)
    assert len(loops(program)) == 4


def test_a_dead_base_is_updated_in_place_and_a_live_one_is_not():
    x, v = argument(8, 3), argument(1, 3)
    base = node("exp", x)
    changed = node("slice_set", base, v, index=row(2))
    assert len(temporaries(run_random((x, v), node("sin", changed)))) <= 1
    run_random((x, v), changed, base)
    run_random((x, v), changed, node("slice_set", base, v, index=row(3)), node("sum", base, axes=(0,), keepdims=False))


def test_shifted_reads_see_the_old_elements():
    x = argument(10)
    out = node("exp", x)
    for _ in range(3):
        left, right = (node("slice", out, index=((start, 8, 1),)) for start in (0, 2))
        out = node("slice_set", out, node("add", left, right), index=((1, 8, 1),))
    run_random((x,), out)


def test_a_stencil_copies_only_the_border():
    x = argument(60, 50)
    out = x
    for _ in range(3):
        up, down = (node("slice", out, index=((start, 58, 1), (0, 50, 1))) for start in (0, 2))
        out = node("slice_set", out, node("add", up, down), index=((1, 58, 1), (0, 50, 1)))
    program = run_random((x,), out)
    assert [math.prod(loop.shape) for loop in loops(program)].count(58 * 50) == 3
    assert all(math.prod(loop.shape) in (50, 58 * 50) for loop in loops(program))


def test_pieces_are_computed_where_they_belong():
    x, w = argument(4, 3), argument(3, 3)
    pieces = node("exp", x), node("matmul", x, w), node("max", x, axes=(0,), keepdims=True)
    program = run_random((x, w), node("concatenate", *pieces, axis=0))
    assert not temporaries(program)
    assert opcodes(program) == ["loop", "matmul"] or opcodes(program) == ["matmul", "loop"]


def test_stacked_products_are_written_in_place():
    x = argument(3, 3)
    pieces = [node("reshape", node("matmul", x, item), shape=(1, 3, 3)) for item in (x, node("sin", x))]
    program = run_random((x,), node("concatenate", *pieces, axis=0))
    assert len(temporaries(program)) == 1


def test_gradient_of_a_flat_vector_needs_no_zeros():
    x, y = argument(2, 3), argument(4)
    first = node("unslice", node("reshape", node("matmul", x, node("transpose", x, axes=(1, 0))), shape=(4,)),
                 shape=(8,), index=((0, 4, 1),))  # fmt: skip
    program = run_random((x, y), node("slice_add", first, node("sin", y), index=((4, 4, 1),)))
    assert sorted(opcodes(program)) == ["loop", "matmul"]


def test_copies_of_one_array_under_several_shapes_are_one():
    x = argument(3, 4, 5)
    turned = wrap(x).transpose(1, 0, 2)
    flat, rows = turned.reshape(60), turned.reshape(12, 5)
    changed = node("slice_set", unwrap(flat), unwrap(flat[:9] * 2), index=((9, 9, 1),))
    erased = node("slice_set", unwrap(flat), node("broadcast_to", ZERO, shape=(9,)), index=((9, 9, 1),))
    for first, copies in ((unwrap(np.exp(flat)), 1), (unwrap(flat), 1), (changed, 1), (erased, 2)):
        graph = Graph((x,), (first, unwrap(rows + 1), unwrap(rows[::-1])))
        program = run(graph, np.arange(60.0).reshape(3, 4, 5))
        assert len(program.instructions[0].stores) == copies, program.disassemble()


def test_interleaved_pieces():
    x = argument(4, 6)
    halves = [
        node(name, node("slice", x, index=((0, 4, 1), (start, 3, 2)))) for name, start in (("sin", 0), ("cos", 1))
    ]
    run_random((x,), node("concatenate", *halves, axis=1))
    out = node("unslice", halves[0], shape=(4, 6), index=((0, 4, 1), (0, 3, 2)))
    run_random((x,), node("slice_add", out, halves[1], index=((0, 4, 1), (1, 3, 2))))


# --- memory ---


def lifetimes(program):
    """First and last instruction that mentions each temporary."""
    spans = {}
    for place, instruction in enumerate(program.instructions):
        for view in views_of(instruction):
            if program.buffers[view.buffer].kind == "temporary":
                first, _ = spans.get(view.buffer, (place, place))
                spans[view.buffer] = (first, place)
    return spans


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60)
@pytest.mark.filterwarnings("ignore")
def test_live_temporaries_never_overlap(seed):
    graph, arrays = draw(seed)
    program = lower(graph, element_layouts(arrays))
    for (one, (start, end)), (other, (begin, stop)) in combinations(lifetimes(program).items(), 2):
        a, b = program.buffers[one], program.buffers[other]
        shared = a.offset < b.offset + b.nbytes and b.offset < a.offset + a.nbytes
        if shared and start <= stop and begin <= end:
            # Only a loop that reads the one and stores the other, point by point, may have both in one place.
            assert a.offset == b.offset
            assert end == begin or stop == start


def test_a_chain_of_products_needs_two_places():
    x = argument(10, 10)
    value = x
    for _ in range(20):
        value = node("sin", node("matmul", value, x))
    assert run_random((x,), node("sum", value, axes=(0, 1), keepdims=False)).arena <= 2 * 832


def test_elementwise_results_take_the_place_of_dying_operands():
    x = argument(10, 10)
    product = node("matmul", x, x)
    program = run_random((x,), node("matmul", node("sin", product), x))
    assert program.arena == 832


# --- time ---


def long_chain(length):
    x = argument(10)
    value = x
    for i in range(length):
        value = node("sin", node("add", value, constant(float(i))))
    return Graph((x,), (value,))


def long_recurrence(length):
    w, state = argument(3, 3), argument(2, 3)
    value, states = state, []
    for _ in range(length):
        value = node("tanh", node("matmul", value, w))
        states.append(value)
    return Graph((w, state), (node("concatenate", *states, axis=0),))


def long_array(length):
    x = argument(length)
    out = node("exp", x)
    for i in range(1, length):
        before = node("slice", out, index=((i - 1, 1, 1),))
        out = node("slice_set", out, node("sin", before), index=((i, 1, 1),))
    return Graph((x,), (out,))


@pytest.mark.parametrize("make", [long_chain, long_recurrence, long_array])
def test_work_is_linear_in_the_graph(make):
    small, large = (count_calls(lower, make(length)) for length in (500, 4000))
    assert large < 8.5 * small
    assert math.log2(large / small) > 2.5


def test_a_carried_array_is_changed_in_its_place():
    a, places, rows = argument(50, 3), argument(7, dtype=np.int64), argument(7, 3)

    def body(place, row, a):
        a[place] += row
        return [], [a], []

    made = scan(body, [wrap(places), wrap(rows)], carries=[wrap(a)]).carries[0]
    graph = Graph((a, places, rows), (made.__tracer_node__,))
    rng = np.random.default_rng(0)
    program = run(graph, rng.standard_normal((50, 3)), rng.integers(0, 50, 7), rng.standard_normal((7, 3)))
    (loop,) = [item for item in program.instructions if item.opcode == "scan"]
    assert "loop [50, 3]" not in "".join(loop.program.disassemble())
    assert len(loop.program.nodes) == len(loop.program.instructions)


# --- texts ---


def column_centred_softmax():
    x = argument(30, 10)
    powers = node("exp", node("subtract", x, node("max", x, axes=(1,), keepdims=True)))
    return Graph((x,), (node("divide", powers, node("sum", powers, axes=(1,), keepdims=True)),))


def rows_updated_in_place():
    x, w = argument(4, 3), argument(3, 3)
    out = node("matmul", x, w)
    for i in range(2):
        out = node("slice_add", out, node("tanh", node("slice", x, index=row(i))), index=row(i))
    return Graph((x, w), (out,))


def recurrent_network():
    """With the gradient by its weights: two loops, and products of all steps at once."""
    w, x, h = argument(3, 3), argument(5, 2, 3), argument(1, 2, 3)
    made = scan(lambda row, h: ([np.tanh(h @ wrap(w) + row)], [], []), [wrap(x)], [wrap(h)])
    history = made.histories[0].__tracer_node__
    gradient = vjp([history], [node("multiply", history, history)], [w])[0]
    return optimise(Graph((w, x, h), (history, gradient)))


def branches():
    x = argument(3)
    then, otherwise = (lambda: np.tanh(wrap(x))), (lambda: wrap(x)[::-1])
    made = cond(wrap(node("greater", node("sum", x, axes=(0,), keepdims=False), ZERO)), then, otherwise)
    return Graph((x,), (made[0].__tracer_node__,))


@pytest.mark.parametrize("make", [logistic, column_centred_softmax, rows_updated_in_place, recurrent_network, branches])
def test_program_text(make):
    """Set TRACER_UPDATE_GOLDEN=1 to write the texts anew."""
    program = lower(make())
    text = re.sub(r" +# .*", "", program.disassemble())
    golden = Path(__file__).parent.parent / "golden" / f"program_{make.__name__}.txt"
    if os.environ.get("TRACER_UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
