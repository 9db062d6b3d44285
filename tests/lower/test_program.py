"""Programs as data: each kind of corruption is caught, text is readable, pickling keeps everything."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tracer import _kernels
from tracer.lower.program import (
    ArgReduce,
    Buffer,
    Call,
    Cumulative,
    Gather,
    Loop,
    MatMul,
    Program,
    ProgramError,
    Reduce,
    Scatter,
    Step,
    Store,
    View,
    element_range,
)
from tracer.types import contiguous_strides

F64, I64, BOOL = np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool)
Change = Callable[[Program], Program]


def loop_program() -> Program:
    """Negate x + row with its sum beside it, by way of a temporary; x is then halved in place."""
    buffers = (
        Buffer("argument", F64, (4, 3), (3, 1), 0),
        Buffer("constant", F64, (3,), (1,), 0),
        Buffer("temporary", F64, (4, 3), (3, 1), 0, 64),
        Buffer("output", F64, (4, 3), (3, 1), 0),
        Buffer("output", F64, (3,), (1,), 1),
    )
    shape, whole, row = (4, 3), (3, 1), (0, 1)
    add = (Step("add", F64, F64, (0, 1)),)
    negative = (Step("negative", F64, F64, (0,)),)
    half = (Step("multiply", F64, F64, (0, 1)),)
    stores = (Store(1, View(3, 0, whole)),)
    reduces = (Reduce("sum", 1, View(4, 0, row)),)
    instructions = (
        Loop(shape, (View(0, 0, whole), View(1, 0, row)), (), add, (Store(2, View(2, 0, whole)),), (), "user.py:1"),
        Loop(shape, (View(2, 0, whole),), (), negative, stores, reduces, "user.py:2"),
        Loop(shape, (View(0, 0, whole),), (np.float64(0.5),), half, (Store(2, View(0, 0, whole)),), (), "user.py:3"),
    )
    return Program(buffers, (np.arange(3.0),), instructions, 192, 2, "user.py:0")


def other_program() -> Program:
    """One of each of the other instructions, over one argument of floats and one of indices."""
    buffers = (
        Buffer("argument", F64, (4, 4), (4, 1), 0),
        Buffer("argument", I64, (2,), (1,), 1),
        Buffer("output", F64, (4, 4), (4, 1), 0),
        Buffer("output", F64, (2, 4), (4, 1), 1),
        Buffer("output", F64, (4, 4), (4, 1), 2),
        Buffer("output", I64, (4,), (1,), 3),
        Buffer("output", F64, (4, 4), (4, 1), 4),
    )
    whole = (4, 1)
    x = View(0, 0, whole)
    instructions = (
        MatMul(F64, (), 4, 4, 4, x, View(0, 0, (1, 4)), View(2, 0, whole), 1.0, False, "user.py:1"),
        Gather((2, 4), x, (4, 4), 1, (View(1, 0, (1,)),), View(3, 0, whole), "user.py:2"),
        Cumulative("sum", (4, 4), 1, x, View(4, 0, whole), "user.py:3"),
        Scatter((2, 4), View(4, 0, whole), (4, 4), 1, (View(1, 0, (1,)),), View(3, 0, whole), "add", "user.py:4"),
        ArgReduce("argmax", (4, 4), 1, x, View(5, 0, (1,)), "user.py:5"),
        Call(np.negative, ((x, (4, 4)),), ((View(6, 0, whole), (4, 4)),), "user.py:6"),
    )
    return Program(buffers, (), instructions, 0, 5)


def with_buffer(number: int, **changes: Any) -> Change:
    def change(program: Program) -> Program:
        buffers = list(program.buffers)
        buffers[number] = buffers[number]._replace(**changes)
        return replace(program, buffers=tuple(buffers))

    return change


def with_instruction(number: int, **changes: Any) -> Change:
    def change(program: Program) -> Program:
        instructions = list(program.instructions)
        instructions[number] = instructions[number]._replace(**changes)
        return replace(program, instructions=tuple(instructions))

    return change


WHOLE = (3, 1)
LOOP_CORRUPTIONS: dict[str, tuple[Change, str]] = {
    "unknown kind of buffer": (with_buffer(2, kind="register"), "unknown kind"),
    "unknown dtype": (with_buffer(2, dtype=np.dtype(np.longdouble)), "dtype"),
    "foreign byte order": (with_buffer(2, dtype=np.dtype(">f8")), "dtype"),
    "negative shape": (with_buffer(2, shape=(-4, 3)), "negative"),
    "strides of another rank": (with_buffer(0, strides=(1,)), "strides"),
    "constant that is not there": (with_buffer(1, index=1), "constant 1"),
    "constant of another shape": (with_buffer(1, shape=(4,)), "another"),
    "temporary out of the arena": (with_buffer(2, offset=128), "arena"),
    "temporary off its alignment": (with_buffer(2, offset=8), "aligned"),
    "strided temporary": (with_buffer(2, strides=(1, 4)), "contiguous"),
    "output made twice": (with_buffer(4, shape=(4, 3), strides=(3, 1), index=0), "outputs|overlaps"),
    "output out of range": (with_buffer(4, index=5), "outputs"),
    "negative arena": (lambda program: replace(program, arena=-1), "arena"),
    "load of a missing buffer": (with_instruction(0, loads=(View(9, 0, WHOLE), View(1, 0, (0, 1)))), "buffer 9"),
    "load beyond the end": (with_instruction(0, loads=(View(0, 1, WHOLE), View(1, 0, (0, 1)))), "buffer 0"),
    "load before the start": (with_instruction(0, loads=(View(0, 0, (-3, 1)), View(1, 0, (0, 1)))), "buffer 0"),
    "view of another rank": (with_instruction(0, loads=(View(0, 0, (1,)), View(1, 0, (0, 1)))), "strides"),
    "load of nothing written": (with_instruction(0, loads=(View(2, 0, WHOLE), View(1, 0, (0, 1)))), "before"),
    "step that reads a later register": (with_instruction(1, steps=(Step("negative", F64, F64, (1,)),)), "registers"),
    "step of another dtype": (with_instruction(1, steps=(Step("negative", I64, I64, (0,)),)), "negative"),
    "where without a condition": (with_instruction(0, steps=(Step("where", F64, F64, (0, 1, 1)),)), "where"),
    "store of a missing register": (with_instruction(1, stores=(Store(7, View(3, 0, WHOLE)),)), "register 7"),
    "store to a constant": (with_instruction(1, stores=(Store(1, View(1, 0, (0, 1))),)), "constant"),
    "store that repeats": (with_instruction(1, stores=(Store(1, View(3, 0, (0, 1))),)), "twice"),
    "store that overlaps itself": (with_instruction(1, stores=(Store(1, View(3, 0, (1, 1))),)), "twice"),
    "store over a shifted load": (with_instruction(2, shape=(3, 3), stores=(Store(2, View(0, 3, WHOLE)),)), "overlaps"),
    "two stores in one place": (with_instruction(1, stores=(Store(1, View(3, 0, WHOLE)),) * 2), "overlaps"),
    "unknown reduction": (with_instruction(1, reduces=(Reduce("median", 1, View(4, 0, (0, 1))),)), "median"),
    "any of floats": (with_instruction(1, reduces=(Reduce("any", 1, View(4, 0, (0, 1))),)), "any"),
    "reduction over a load": (with_instruction(1, reduces=(Reduce("sum", 1, View(2, 0, (0, 1))),)), "overlaps"),
    "output never written": (with_instruction(1, reduces=()), "output 1"),
    "instruction of no kind": (lambda program: replace(program, instructions=(object(),)), "no such instruction"),
}  # fmt: skip

LOOP_ONLY_IN_PYTHON = {"load of nothing written", "output never written"}

X, INDEX = View(0, 0, (4, 1)), View(1, 0, (1,))
OTHER_CORRUPTIONS: dict[str, tuple[Change, str]] = {
    "product beyond its operand": (with_instruction(0, m=5), "buffer 0"),
    "product into its operand": (with_instruction(0, out=X), "overlaps"),
    "product of another dtype": (with_instruction(0, dtype=I64), "int64"),
    "gather with too few indices": (with_instruction(1, indices=()), "index array"),
    "gather with indices of floats": (with_instruction(1, indices=(View(0, 0, (1,)),)), "int64"),
    "gather of another shape": (with_instruction(1, shape=(2, 3)), "shape"),
    "gather beyond its source": (with_instruction(1, source_shape=(5, 4)), "buffer 0"),
    "unknown scan": (with_instruction(2, kind="any"), "any"),
    "scan along no axis": (with_instruction(2, axis=2), "axis"),
    "scan over a shifted source": (
        with_instruction(2, shape=(2, 4), source=View(4, 4, (4, 1)), out=View(4, 0, (4, 1))),
        "before|overlap",
    ),
    "unknown scatter": (with_instruction(3, mode="max"), "mode"),
    "scatter out of its target": (with_instruction(3, out_shape=(5, 4)), "buffer 4"),
    "argmax into floats": (with_instruction(4, out=View(6, 0, (1,))), "int64"),
    "argmax of nothing": (with_instruction(4, shape=(4, 0)), "nothing"),
    "call of nothing callable": (with_instruction(5, function=None), "called"),
    "call beyond its output": (with_instruction(5, outputs=((View(6, 0, (4, 1)), (5, 4)),)), "buffer 6"),
}


@pytest.mark.parametrize("program", [loop_program(), other_program()], ids=["loops", "others"])
def test_good_programs_pass(program: Program) -> None:
    program.verify()
    _kernels.Program(program)


@pytest.mark.parametrize("name", LOOP_CORRUPTIONS)
def test_corrupted_loops_are_refused(name: str) -> None:
    change, message = LOOP_CORRUPTIONS[name]
    with pytest.raises(ProgramError, match=message):
        change(loop_program()).verify()
    if name not in LOOP_ONLY_IN_PYTHON:
        with pytest.raises(ValueError, match=r"buffer|instruction|output|arena"):
            _kernels.Program(change(loop_program()))


@pytest.mark.parametrize("name", OTHER_CORRUPTIONS)
def test_other_corruptions_are_refused(name: str) -> None:
    change, message = OTHER_CORRUPTIONS[name]
    with pytest.raises(ProgramError, match=message):
        change(other_program()).verify()
    with pytest.raises(ValueError, match="instruction"):
        _kernels.Program(change(other_program()))


def test_kernels_refuse_what_they_do_not_have() -> None:
    unknown = with_instruction(1, steps=(Step("no_such_kernel", F64, F64, (0,)),))(loop_program())
    unknown.verify()
    with pytest.raises(ValueError, match="no_such_kernel"):
        _kernels.Program(unknown)


@pytest.mark.parametrize("huge", [2**62, 2**80])
def test_sizes_that_overflow_are_refused(huge: int) -> None:
    for change in (
        with_buffer(0, shape=(huge, 3)),
        with_buffer(0, strides=(huge, 1)),
        with_instruction(0, shape=(huge, 3)),
        with_instruction(0, loads=(View(0, huge, WHOLE), View(1, 0, (0, 1)))),
        with_instruction(0, loads=(View(0, 0, (huge, 1)), View(1, 0, (0, 1)))),
    ):
        with pytest.raises(ValueError, match=r"overflow|outside|integer"):
            _kernels.Program(change(loop_program()))


def test_columns_of_one_array_do_not_meet() -> None:
    """Interleaved windows share a range of addresses, but no element."""
    buffers = (Buffer("argument", F64, (5, 2), (2, 1), 0),)
    loop = Loop((5,), (View(0, 0, (2,)),), (), (), (Store(0, View(0, 1, (2,))),), ())
    program = Program(buffers, (), (loop,), 0, 0)
    program.verify()
    x = np.arange(10.0).reshape(5, 2)
    _kernels.Program(program).run([x])
    np.testing.assert_array_equal(x[:, 1], [0, 2, 4, 6, 8])


def test_reused_arena_is_in_place_only_for_equal_windows() -> None:
    def build(offset: int) -> Program:
        buffers = (
            Buffer("argument", F64, (16,), (1,), 0),
            Buffer("temporary", F64, (16,), (1,), 0, 0),
            Buffer("temporary", F64, (16,), (1,), 0, offset),
            Buffer("output", F64, (16,), (1,), 0),
        )
        negative = (Step("negative", F64, F64, (0,)),)
        loops = (
            Loop((16,), (View(source, 0, (1,)),), (), negative, (Store(1, View(source + 1, 0, (1,))),), ())
            for source in range(3)
        )
        return Program(buffers, (), tuple(loops), 256, 1)

    for offset in (0, 128):
        build(offset).verify()
        np.testing.assert_array_equal(_kernels.Program(build(offset)).run([np.arange(16.0)])[0], -np.arange(16.0))
    with pytest.raises(ProgramError, match="overlaps"):
        build(64).verify()
    with pytest.raises(ValueError, match="overlaps"):
        _kernels.Program(build(64))


def test_text_shows_every_instruction() -> None:
    text = loop_program().disassemble()
    assert text == (
        "program: 2 outputs, arena of 192 bytes    # user.py:0\n"
        "  b0 = argument 0: float64[4, 3]\n"
        "  b1 = constant 0: float64[3]\n"
        "  b2 = temporary @64: float64[4, 3]\n"
        "  b3 = output 0: float64[4, 3]\n"
        "  b4 = output 1: float64[3]\n"
        "0: loop [4, 3]    # user.py:1\n"
        "  r0 = load b0[0:3,1]\n"
        "  r1 = load b1[0:0,1]\n"
        "  r2 = add r0, r1 : float64\n"
        "  b2[0:3,1] = r2\n"
        "1: loop [4, 3]    # user.py:2\n"
        "  r0 = load b2[0:3,1]\n"
        "  r1 = negative r0 : float64\n"
        "  b3[0:3,1] = r1\n"
        "  b4[0:0,1] = sum r1\n"
        "2: loop [4, 3]    # user.py:3\n"
        "  r0 = load b0[0:3,1]\n"
        "  r1 = float64 0.5\n"
        "  r2 = multiply r0, r1 : float64\n"
        "  b0[0:3,1] = r2\n"
    )
    others = other_program().disassemble().splitlines()
    assert "0: matmul b2[0:4,1] = b0[0:4,1] @ b0[0:1,4] : batch [] m 4 n 4 k 4 float64    # user.py:1" in others
    assert "1: gather b3[0:4,1] = b0[0:4,1][4, 4][b1[0:1]] : [2, 4]    # user.py:2" in others
    assert "4: arg_reduce b5[0:1] = argmax b0[0:4,1] axis 1 : [4, 4]    # user.py:5" in others
    assert "5: call b6[0:4,1][4, 4] = negative(b0[0:4,1][4, 4])    # user.py:6" in others


@pytest.mark.parametrize("build", [loop_program, other_program])
def test_pickling_keeps_the_program(build: Callable[[], Program]) -> None:
    program = build()
    again = pickle.loads(pickle.dumps(program))
    again.verify()
    assert again.disassemble() == program.disassemble()
    assert (again.buffers, again.instructions) == (program.buffers, program.instructions)


def test_helpers() -> None:
    assert contiguous_strides((2, 3, 4)) == (12, 4, 1)
    assert contiguous_strides(()) == ()
    assert element_range((3, 2), (-4, 1), 10) == (2, 11)
