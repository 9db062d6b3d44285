"""Neighbouring instructions in one kernel: rows, small things, and what must stay apart."""

import numpy as np
import pytest
from cuda.cases import Case, traced
from cuda.player import Library, Player, needs_compiler
from numpy.testing import assert_allclose

from tracer import _kernels
from tracer.lower.program import Buffer, Loop, Program, Reduce, Step, Store, View
from tracer.run import reference
from tracer.run.cuda.kernels import translate
from tracer.types import contiguous_strides

pytestmark = needs_compiler
F32 = np.dtype(np.float32)


def softmax(x):
    shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return shifted / np.sum(shifted, axis=-1, keepdims=True)


def layer_norm(x, scale, shift):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * scale + shift


def log_sum_exp(x):
    top = np.max(x, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]


def columns(x):
    return (x - np.mean(x, axis=0)) / np.sqrt(np.var(x, axis=0) + 1e-3)


CASES = {
    "softmax of short rows": (softmax, (300, 40)),
    "softmax of long rows": (softmax, (70, 2100)),
    "softmax of many axes": (softmax, (3, 5, 20, 33)),
    "softmax of few rows": (softmax, (3, 33)),
    "layer norm": (layer_norm, (130, 96), (96,), (96,)),
    "layer norm of long rows": (layer_norm, (66, 1500), (1500,), (1500,)),
    "log of a sum of exponentials": (log_sum_exp, (200, 50)),
    "columns": (columns, (500, 30)),
    "nothing but small things": (lambda x, y: np.tanh(x @ y).sum(axis=0), (6, 5), (5, 4)),
}


@pytest.fixture(scope="module")
def built():
    cases = {name: traced(*case) for name, case in CASES.items()}
    players = {name: Player(program, arrays) for name, (_, program, arrays) in cases.items()}
    return cases, players, Library([player.module for player in players.values()])


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients(built, name):
    graph, _, arrays = built[0][name]
    expected = reference.run(graph, arrays)
    for order in (0, 1, 2):
        for one, other in zip(built[1][name].run(built[2], order), expected, strict=True):
            assert_allclose(one, other, rtol=2e-4, atol=2e-5 * max(np.abs(other).max(), 1e-30))


def names(module):
    return [launch.name.partition("_")[0] for launches in module.launches for launch in launches or ()]


@pytest.mark.parametrize("name", ["softmax of short rows", "softmax of long rows", "softmax of many axes"])
def test_a_softmax_with_its_gradient_is_one_kernel(built, name):
    assert names(built[1][name].module) == ["rows"]


def test_small_things_are_one_kernel(built):
    assert set(names(built[1]["nothing but small things"].module)) == {"small"}
    assert names(built[1]["softmax of few rows"].module) == ["small"]


def rowwise(second):
    """A sum over rows, and a loop after it that looks at the rows of the sums as `second` says."""
    shape = (200, 50)
    buffers = (
        Buffer("argument", F32, shape, (50, 1), 0),
        Buffer("temporary", F32, (200,), (1,), 0, 0),
        Buffer("output", F32, shape, (50, 1), 0),
    )
    first = Loop(shape, (View(0, 0, (50, 1)),), (), (), (), (Reduce("sum", 0, View(1, 0, (1, 0))),))
    step = Step("subtract", F32, F32, (0, 1))
    loads = (View(0, 0, (50, 1)), second)
    program = Program(
        buffers, (), (first, Loop(shape, loads, (), (step,), (Store(2, View(2, 0, (50, 1))),), ())), 800, 1
    )
    program.verify()
    return program


@pytest.mark.parametrize(
    ("second", "together"), [(View(1, 0, (1, 0)), True), (View(1, 199, (-1, 0)), False), (View(1, 0, (0, 1)), False)]
)
def test_rows_that_look_at_other_rows_stay_apart(second, together):
    program, array = rowwise(second), np.random.default_rng(0).standard_normal((200, 50)).astype(F32)
    player = Player(program, [array])
    assert names(player.module) == (["rows"] if together else ["reduce", "loop"])
    found, expected = player.run(Library([player.module]), 1), _kernels.Program(program).run([array])
    assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)


def updates(shapes, *, chained=False, dtypes=("f4",), in_place=False):
    """`m = 0.9 m + g * rate; p = p - m` for parameters of all shapes, out of place but for the momenta."""
    buffers, loops, arrays = [Buffer("argument", F32, (), (), 0)], [], [np.full((), 0.25, F32)]
    rng = np.random.default_rng(0)
    for number, shape in enumerate(shapes):
        dtype = np.dtype(dtypes[number % len(dtypes)])
        strides = contiguous_strides(shape)
        first = len(buffers)
        for _ in range(3):
            buffers.append(Buffer("argument", dtype, shape, strides, len(arrays)))
            arrays.append(rng.standard_normal(shape).astype(dtype))
        buffers.append(Buffer("output", dtype, shape, strides, number))
        source = first - 1 if chained and number else first
        loads = tuple(View(place, 0, strides) for place in (source, first + 1, first + 2))
        factor = dtype.type(0.9)
        steps = [Step("multiply", dtype, dtype, (3, 1)), Step("add", dtype, dtype, (4, 2))]
        steps.append(Step("subtract", dtype, dtype, (0, 5)))
        target = View(first + 1 if in_place else first + 3, 0, strides)
        stores = (Store(6, View(first + 3, 0, strides)), *((Store(5, target),) if in_place else ()))
        loops.append(Loop(shape, loads, (factor,), tuple(steps), stores, ()))
    program = Program(tuple(buffers), (), tuple(loops), 0, len(shapes))
    program.verify()
    return program, arrays


@pytest.mark.parametrize(
    ("options", "kernels"),
    [
        ({}, ["segments"]),
        ({"in_place": True}, ["segments"]),
        ({"chained": True}, ["loop", "loop", "loop"]),
        ({"dtypes": ("f4", "f8")}, ["loop", "loop", "loop"]),
    ],
)
def test_updates_of_all_parameters(options, kernels):
    shapes = [(100, 70), (70, 90), (5001,)] if not options.get("chained") else [(70, 90)] * 3
    program, arrays = updates(shapes, **options)
    copies = [array.copy() for array in arrays]
    player = Player(program, arrays)
    assert names(player.module) == kernels
    found, expected = player.run(Library([player.module]), 2), _kernels.Program(program).run(copies)
    for one, other in zip([*found, *arrays], [*expected, *copies], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_one_instruction_with_reductions_over_several_axes():
    case = Case((300, 20))
    place = case.load(np.random.default_rng(0).standard_normal((300, 20)).astype(F32))
    for axes in ((0,), (1,), (0, 1), ()):
        case.reduce("sum", place, F32, axes)
    case.store(case.step("square", F32, place), F32)
    player = Player(case.program(), case.arguments)
    expected = _kernels.Program(case.program()).run(case.arguments)
    for one, other in zip(player.run(Library([player.module])), expected, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_what_stays_with_others():
    module = translate(traced(lambda x, y: x @ y, (200, 30), (30, 40))[1])
    assert None in module.launches
