"""Scan and Branch by hand: what they compute, and which descriptions are refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lower.interpreter import Interpreter

from tracer import _kernels
from tracer.lower.program import (
    Branch,
    Buffer,
    Call,
    Loop,
    Program,
    ProgramError,
    Scan,
    Step,
    Store,
    View,
    Window,
)

F64, I64, U8, BOOL = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint8), np.dtype(bool)
Change = Callable[[Program], Program]


def body(limit: float | None = None) -> Program:
    """(row, total) -> total + row by way of a temporary, the same doubled, and whether it exceeds a limit."""
    buffers = [
        Buffer("argument", F64, (3,), (1,), 0),
        Buffer("argument", F64, (3,), (1,), 1),
        Buffer("output", F64, (3,), (1,), 0),
        Buffer("output", F64, (3,), (1,), 1),
        Buffer("temporary", F64, (3,), (1,), 0, 64),
    ]
    whole = (1,)
    sums, twice = (Step("add", F64, F64, (0, 1)),), (Step("add", F64, F64, (0, 0)),)
    add = Loop((3,), (View(0, 0, whole), View(1, 0, whole)), (), sums, (Store(2, View(4, 0, whole)),), (), "add.py:1")
    stores = (Store(0, View(2, 0, whole)), Store(1, View(3, 0, whole)))
    double = Loop((3,), (View(4, 0, whole),), (), twice, stores, (), "add.py:2")
    instructions = [add, double]
    if limit is not None:
        buffers.append(Buffer("output", BOOL, (), (), 2))
        greater = (Step("greater", F64, BOOL, (0, 1)),)
        instructions.append(Loop((), (View(4, 0, ()),), (np.float64(limit),), greater, (Store(2, View(5, 0, ())),), ()))
    return Program(tuple(buffers), (), tuple(instructions), 128, 2 + (limit is not None), "add.py:0")


def summing(
    limit: float | None = None, counted: bool = False, backward: bool = False, in_place: bool = False
) -> Program:
    """Adds up the rows of argument 0, starting from what argument 1 is copied to; four steps at most."""
    buffers = [
        Buffer("argument", F64, (4, 3), (3, 1), 0),
        Buffer("argument", F64, (3,), (1,), 1),
        Buffer("output", F64, (3,), (1,), 0),
        Buffer("output", F64, (4, 3), (3, 1), 1),
        Buffer("output", I64, (), (), 2),
        Buffer("temporary", U8, (128,), (1,), 0, 0),
        Buffer("temporary", F64, (3,), (1,), 0, 128),
        Buffer("temporary", BOOL, (), (), 0, 192),
    ]
    if counted:
        buffers.append(Buffer("argument", I64, (), (), 2))
    copy = Loop((3,), (View(1, 0, (1,)),), (), (), (Store(0, View(2, 0, (1,))),), (), "sum.py:1")
    rows = Window(View(0, 0, (3, 1)), backward)
    home, spare = Window(View(2, 0, (0, 1))), Window(View(2 if in_place else 6, 0, (0, 1)))
    targets = (spare, Window(View(3, 0, (3, 1)), backward))
    targets += (Window(View(7, 0, (0,))),) if limit is not None else ()
    scan = Scan(
        body(limit), 4, (rows, home), targets, ((1, 0),), 2 if limit is not None else -1, View(5, 0, (1,)),
        View(8, 0, ()) if counted else None, View(4, 0, ()), "sum.py:2",
    )  # fmt: skip
    return Program(tuple(buffers), (), (copy, scan), 256, 3, "sum.py:0")


X, FIRST = np.arange(12.0).reshape(4, 3), np.array([10.0, 0.0, -10.0])


def run(program: Program, *arrays: Any) -> list[np.ndarray]:
    """Run by the kernels and by NumPy, which must agree."""
    program.verify()
    arrays = tuple(map(np.asarray, arrays))
    found = _kernels.Program(program).run(list(arrays))
    for one, other in zip(Interpreter(program).run(arrays), found, strict=True):
        np.testing.assert_array_equal(one, other)
    return found


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_carries_and_rows(backward: bool, in_place: bool) -> None:
    total, rows, done = run(summing(backward=backward, in_place=in_place), X, FIRST)
    expected, last = np.empty((4, 3)), FIRST
    for t in reversed(range(4)) if backward else range(4):
        last = last + X[t]
        expected[t] = 2 * last
    np.testing.assert_array_equal(total, last)
    np.testing.assert_array_equal(rows, expected)
    assert done == 4


@pytest.mark.parametrize("in_place", [False, True])
def test_until(in_place: bool) -> None:
    total, rows, done = run(summing(limit=15.0, in_place=in_place), X, FIRST)
    assert done == 3
    np.testing.assert_array_equal(rows[2], 2 * total)
    assert rows[:3].any(axis=1).all() and not rows[3].any()


@pytest.mark.parametrize(("count", "done"), [(-3, 0), (0, 0), (1, 1), (3, 3), (9, 4)])
@pytest.mark.parametrize("backward", [False, True])
def test_counted(backward: bool, count: int, done: int) -> None:
    total, rows, counted = run(summing(counted=True, backward=backward), X, FIRST, np.int64(count))
    assert counted == done
    assert not rows[done:].any()
    np.testing.assert_array_equal(2 * total, rows[0 if backward else done - 1] if done else 2 * FIRST)


def branching() -> Program:
    """Argument 1 + argument 2 or, if argument 0 does not hold, what a Python function makes of them."""
    inner = [Buffer("argument", F64, (3,), (1,), index) for index in range(2)]
    inner.append(Buffer("output", F64, (3,), (1,), 0))
    views = [View(number, 0, (1,)) for number in range(3)]
    add = Loop((3,), (views[0], views[1]), (), (Step("add", F64, F64, (0, 1)),), (Store(2, views[2]),), (), "if.py:1")
    call = Call(_checked, ((views[0], (3,)), (views[1], (3,))), ((views[2], (3,)),), "if.py:2")
    then, otherwise = (Program(tuple(inner), (), (item,), 0, 1) for item in (add, call))
    buffers = [Buffer("argument", BOOL, (), (), 0), *(item._replace(index=item.index + 1) for item in inner[:2])]
    buffers.append(Buffer("output", F64, (3,), (1,), 0))
    outer = [View(number, 0, (1,)) for number in range(1, 4)]
    branch = Branch(View(0, 0, ()), (then, otherwise), tuple(outer[:2]), (outer[2],), None, "if.py:3")
    return Program(tuple(buffers), (), (branch,), 0, 1)


def _checked(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if (y == 0).any():
        raise ZeroDivisionError("nothing to divide by")
    return x / y


def test_branch() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 4.0])
    np.testing.assert_array_equal(run(branching(), True, x, y)[0], x + y)
    np.testing.assert_array_equal(run(branching(), False, x, y)[0], x / y)


def test_a_failure_inside_names_the_line_inside() -> None:
    program = _kernels.Program(branching())
    zeros = np.zeros(3)
    np.testing.assert_array_equal(program.run([np.asarray(True), zeros, zeros])[0], zeros)
    with pytest.raises(ZeroDivisionError) as caught:
        program.run([np.asarray(False), zeros, zeros])
    assert caught.value.tracer_line == "if.py:2" and caught.value.tracer_instruction == 0
    again = program.run([np.asarray(True), zeros + 1, zeros])[0]
    np.testing.assert_array_equal(again, 1.0)


# --- what is refused ---------------------------------------------------------------------------------------------


def scan_with(**fields: Any) -> Change:
    def change(program: Program) -> Program:
        *rest, scan = program.instructions
        return replace(program, instructions=(*rest, scan._replace(**fields)))

    return change


def window_with(group: str, number: int, **fields: Any) -> Change:
    def change(program: Program) -> Program:
        windows = list(getattr(program.instructions[-1], group))
        windows[number] = Window(windows[number].view._replace(**fields))
        return scan_with(**{group: tuple(windows)})(program)

    return change


def body_with(**fields: Any) -> Change:
    def change(program: Program) -> Program:
        return scan_with(program=replace(program.instructions[-1].program, **fields))(program)

    return change


CORRUPTIONS: dict[str, Change] = {
    "a row beyond the array": window_with("sources", 0, offset=3),
    "other strides than the argument": window_with("sources", 0, strides=(1, 3)),
    "a carry that moves": window_with("sources", 1, strides=(1, 1)),
    "a carry's target that moves": window_with("targets", 0, strides=(1, 1)),
    "rows that overlap": window_with("targets", 1, strides=(1, 1)),
    "rows that are read as they are written": window_with("sources", 0, buffer=3),
    "a carry where rows are written": window_with("targets", 0, buffer=3),
    "an arena where rows are written": scan_with(arena=View(3, 0, (1,))),
    "a buffer that is not there": window_with("targets", 1, buffer=99),
    "another dtype": window_with("sources", 0, buffer=5, strides=(3, 1)),
    "too few sources": lambda program: scan_with(sources=program.instructions[-1].sources[:1])(program),
    "too many targets": lambda program: scan_with(targets=program.instructions[-1].targets * 2)(program),
    "no arena": scan_with(arena=None),
    "an arena of other elements": scan_with(arena=View(2, 0, (1,))),
    "more steps than rows": scan_with(steps=5),
    "steps below zero": scan_with(steps=-1),
    "a carry twice": scan_with(carries=((1, 0), (1, 0))),
    "two carries of one argument": scan_with(carries=((1, 0), (1, 1))),
    "a stop that is a carry": scan_with(carries=((1, 2),), stop=2),
    "a carry of no output": scan_with(carries=((1, 7),)),
    "a carry of unlike memory": scan_with(carries=((1, 2),)),
    "a stop that is no truth value": scan_with(stop=1),
    "a stop of no output": scan_with(stop=9),
    "a number of steps in floats": scan_with(done=View(2, 0, ())),
    "an arena that is too small": body_with(arena=1000),
    "a body that is malformed": body_with(outputs=7),
    "a body that writes to its argument": lambda program: body_with(
        instructions=tuple(
            item._replace(stores=(Store(0, View(0, 0, (1,))), *item.stores)) if number == 1 else item
            for number, item in enumerate(program.instructions[-1].program.instructions)
        )
    )(program),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_scans_are_refused(name: str) -> None:
    program = CORRUPTIONS[name](summing(limit=25.0))
    with pytest.raises(ProgramError):
        program.verify()
    with pytest.raises((ValueError, TypeError)):
        _kernels.Program(program)


BRANCH_CORRUPTIONS: dict[str, dict[str, Any]] = {
    "a predicate of floats": {"predicate": View(1, 0, ())},
    "one program": {"programs": branching().instructions[0].programs[:1]},
    "a source less": {"sources": (View(1, 0, (1,)),)},
    "a target less": {"targets": ()},
    "an arena that is a source": {"arena": View(1, 0, (1,))},
    "a target that is a source": {"targets": (View(1, 0, (1,)),)},
    "a source beyond its array": {"sources": (View(1, 1, (1,)), View(2, 0, (1,)))},
    "a source of other strides": {"sources": (View(1, 0, (0,)), View(2, 0, (1,)))},
}


@pytest.mark.parametrize("name", BRANCH_CORRUPTIONS)
def test_corrupted_branches_are_refused(name: str) -> None:
    program = branching()
    program = replace(program, instructions=(program.instructions[0]._replace(**BRANCH_CORRUPTIONS[name]),))
    with pytest.raises(ProgramError):
        program.verify()
    with pytest.raises((ValueError, TypeError)):
        _kernels.Program(program)


def test_text() -> None:
    text = summing(limit=25.0, counted=True, backward=True).disassemble()
    assert "1: scan 4 steps, at most b8[0:], until output 2    # sum.py:2\n" in text
    assert "  b4[0:] = steps done\n  argument 0 = b0[0:3,1] backward\n  argument 1 = b2[0:0,1] from output 0\n" in text
    assert "  program: 3 outputs, arena of 128 bytes    # add.py:0 in b5[0:1]\n      b0 = argument 0: " in text
    assert "    1: loop [3]    # add.py:2\n      r0 = load b4[0:1]\n" in text
    text = branching().disassemble()
    assert "0: branch on b0[0:]    # if.py:3\n" in text and text.count("  program: 1 outputs") == 2


@pytest.mark.parametrize("build", [summing, branching])
def test_pickling_keeps_the_program(build: Callable[[], Program]) -> None:
    again = pickle.loads(pickle.dumps(build()))
    again.verify()
    assert again.disassemble() == build().disassemble()
