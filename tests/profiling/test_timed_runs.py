"""What the kernels tell about the cost of each instruction, those of programs within programs too."""

import numpy as np

import tracer
from tracer import _kernels
from tracer.run.backend import load
from tracer.types import element_strides


def executable_of(function, *arrays):
    plan = tracer.compile(function).plan(*arrays)
    return load("cpu", plan.graph, [(array.shape, element_strides(array)) for array in arrays])


def recurrence(x, w):
    state, total = tracer.scan(lambda carry, row: (np.tanh(carry @ w + row), carry.sum()), x[0] * 0, x)
    return state @ w, total


def test_instructions_of_loops_are_timed_if_asked_to():
    x, w = np.ones((7, 4)), np.full((4, 4), 0.1)
    executable = executable_of(recurrence, x, w)
    program, native = executable.program, executable.native
    plain = executable.run([x, w])
    for deep in (False, True):
        outputs, costs = native.run_timed([x, w], deep=deep)
        for found, wanted in zip(outputs, plain, strict=True):
            assert np.array_equal(found, wanted)
        assert [cost[1] for cost in costs] == [1] * len(program.instructions)
        assert all(cost[0] > 0 and cost[2] == 1 for cost in costs)
        (place,) = [number for number, item in enumerate(program.instructions) if item.opcode == "scan"]
        (body,) = costs[place][3]
        inner = program.instructions[place].program.instructions
        assert [cost[1] for cost in body] == [7 * deep] * len(inner)
        assert deep == (sum(cost[0] for cost in body) > 0) and sum(cost[0] for cost in body) < costs[place][0]


def test_both_ways_of_a_branch_and_all_programs_of_a_while_are_told():
    def function(x, n):
        found = tracer.cond(x.sum() > 0, lambda y: np.exp(y).sum(), lambda y: y @ y, x)
        start = n * 0, found
        return tracer.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 2.0), start)

    x, n = np.ones(5), np.int64(3)
    executable = executable_of(function, x, np.asarray(n))
    _, costs = executable.native.run_timed([x, np.asarray(n)], deep=True)
    by_name = {item.opcode: cost for item, cost in zip(executable.program.instructions, costs, strict=True)}
    taken, other = by_name["branch"][3]
    assert all(cost[1] == 1 for cost in taken) and all(cost[1] == 0 for cost in other)
    condition, body = by_name["while"][3]
    assert {cost[1] for cost in condition} == {4} and {cost[1] for cost in body} == {3}

    def shape(items):
        return [shape_of for item in items for shape_of in ([], *map(shape, item[-1]))]

    assert shape(executable.native.steps()) == shape(costs)


def test_passes_over_memory_take_time():
    read, copied = _kernels.time_memory(1 << 16, 1, 20)
    assert 0 < read < 1e6 and 0 < copied < 1e6
