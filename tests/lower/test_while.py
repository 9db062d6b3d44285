"""The instruction `while`: its text, its checks here and in the kernels, and what rewriting leaves of loops."""

from dataclasses import replace

import numpy as np
import pytest

import tracer
from tracer import _kernels
from tracer.lower.program import ProgramError, View
from tracer.ops.while_loop import WHILE


def powers(x, w, n):
    """A loop with a carry that nobody reads, one that does not change, and work that is the same at every step."""

    def body(state):
        return {"n": state["n"] + 1, "x": state["x"] * np.sum(np.exp(w)), "w": state["w"], "lost": state["lost"] * 2}

    first = {"n": 0, "x": x, "w": w, "lost": x}
    found = tracer.while_loop(lambda state: state["n"] < n, body, first)
    return found["x"] + found["w"]


ARGUMENTS = np.ones(3), np.array([0.1, 0.2, 0.3]), np.int64(4)


def program(function=powers):
    """The program of a function, and its only loop."""
    lowered = tracer.compile(function).plan(*ARGUMENTS).executable.program
    (place,) = [number for number, item in enumerate(lowered.instructions) if item.opcode == "while"]
    return lowered, place


def test_loops_keep_only_what_is_needed():
    plan = tracer.compile(powers).plan(*ARGUMENTS)
    (loop,) = [node for node in plan.graph.nodes() if node.op is WHILE]
    assert loop.params["frame"].carries == (2,)
    assert not any(node.op.name in ("exp", "sum") for node in loop.params["sweep0"].nodes())


def test_forward_mode_runs_one_loop():
    @tracer.compile
    def both(x, w, n):
        return tracer.jvp(lambda x: powers(x, w, n), (x,), (np.ones(3),))

    plan = both.plan(*ARGUMENTS)
    (loop,) = [node for node in plan.graph.nodes() if node.op is WHILE]
    assert loop.params["frame"].backward == (False,)


def test_reverse_mode_goes_back_once():
    plan = tracer.compile(tracer.grad(lambda x, w, n: np.sum(powers(x, w, n)), argnums=(0, 1))).plan(*ARGUMENTS)
    (loop,) = [node for node in plan.graph.nodes() if node.op is WHILE]
    assert loop.params["frame"].backward == (False, True)


def test_text():
    text = tracer.compile(tracer.grad(lambda x, w, n: np.sum(powers(x, w, n)))).plan(*ARGUMENTS)
    text = text.executable.program.disassemble()
    for line in (": while 2 sweeps", "fixed 0 = ", "condition\n", "sweep 0\n", "sweep 1 backward\n", "carry 0 = "):
        assert line in text


def test_carries_are_replaced_in_their_place():
    lowered, place = program()
    assert all(home == spare for sweep in lowered.instructions[place].sweeps for home, spare in sweep.carries)


def changed(change):
    """The program with another loop in it."""
    lowered, place = program()
    instructions = list(lowered.instructions)
    instructions[place] = change(instructions[place])
    return replace(lowered, instructions=tuple(instructions))


def with_first(loop, **fields):
    """A loop whose first sweep is another one."""
    return loop._replace(sweeps=(loop.sweeps[0]._replace(**fields), *loop.sweeps[1:]))


CHANGES = {
    "backward": lambda loop: with_first(loop, backward=True),
    "no sweeps": lambda loop: loop._replace(sweeps=()),
    "fewer carries": lambda loop: with_first(loop, carries=loop.sweeps[0].carries[:1]),
    "fewer fixed values": lambda loop: loop._replace(fixed=loop.fixed[:-1]),
    "another condition": lambda loop: loop._replace(condition=loop.sweeps[0].program),
    "one memory for two carries": lambda loop: with_first(
        loop, carries=((loop.sweeps[0].carries[1][0], loop.sweeps[0].carries[0][0]), loop.sweeps[0].carries[1])
    ),
    "a carry that is fixed too": lambda loop: loop._replace(fixed=(loop.sweeps[0].carries[0][0], *loop.fixed[1:])),
    "outside of its buffer": lambda loop: with_first(
        loop, carries=tuple((home._replace(offset=1000), home._replace(offset=1000))
                            for home, _ in loop.sweeps[0].carries)
    ),
    "no such buffer": lambda loop: loop._replace(fixed=(View(99, 0, ()), *loop.fixed[1:])),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_malformed_loops_are_refused(name):
    wrong = changed(CHANGES[name])
    with pytest.raises((ProgramError, IndexError)):
        wrong.verify()
    with pytest.raises(ValueError, match=r"instruction|buffer"):
        _kernels.Program(wrong)


def test_well_formed_loops_are_not():
    right = changed(lambda loop: loop)
    right.verify()
    _kernels.Program(right)


def test_text_of_a_graph():
    text = tracer.pp(lambda x: tracer.while_loop(lambda c: c < 9, lambda c: c * 2, x), np.float64(1))
    assert text == "while_loop(x, frame=1 sweep, condition=(p0 < 9.0), sweep0=(p0 * 2.0))[0]"
