"""The fast call path: Python numbers as arguments, and plans that hold for some values of their arguments only."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from kernels.test_dispatch import X, add, entry, is_missed, missed, planned, running_sums

from tracer import _kernels


def takes_number(dtype: str, lossy: bool = False) -> _kernels.Dispatcher:
    """A dispatcher that gives back a number of this dtype."""
    zero = np.zeros((), dtype)
    return planned(zero, spec=(("number", zero.dtype.num, lossy),))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_ints_of_the_right_size(dtype: str) -> None:
    call, limits = takes_number(dtype), np.iinfo(dtype)
    for value in {0, 1, 100, int(limits.min), int(limits.max)}:
        found = call(value)
        assert found.dtype == dtype and found == value
    for value in (int(limits.max) + 1, int(limits.min) - 1, 2**64, -(2**64), 1.0, True, "1", None):
        assert is_missed(call, value)


def test_floats() -> None:
    call = takes_number("float64")
    for value in (0.1, -0.0, float("inf"), 3, 2**60):
        found = call(value)
        assert found.dtype == np.float64 and found == value and np.signbit(found) == np.signbit(np.float64(value))
    assert np.isnan(call(float("nan"))) and is_missed(call, True) and is_missed(call, 1j)
    exact, lossy = takes_number("float32"), takes_number("float32", lossy=True)
    for value in (0.5, 3, 2**24, float("inf")):
        assert exact(value) == lossy(value) == value and exact(value).dtype == np.float32
    assert is_missed(exact, 0.1) and lossy(0.1) == np.float32(0.1) and is_missed(lossy, 2**24 + 1)
    assert np.isnan(exact(float("nan")))


def test_arrays_and_numpy_scalars_are_numbers_too() -> None:
    call = takes_number("float64")
    assert call(np.array(2.5)) == 2.5 and call(np.float64(1.5)) == 1.5
    assert is_missed(call, np.float32(1.5)) and is_missed(call, np.array([1.5])) and is_missed(call, np.array(1))


def with_answers(call: _kernels.Dispatcher, *answers: Any) -> None:
    """One plan for each answer to the question what the number is."""
    zero = np.array(0)
    question = running_sums(zero)
    for answer in answers:
        spec = (("number", zero.dtype.num, False), entry(X))
        outputs = ("tuple", (("leaf", 1, False), ("constant", answer)))
        add(call, running_sums(zero, X), spec, outputs=outputs, token=answer, question=(question, [np.array(answer)]))


def test_plans_for_the_answers_of_a_question() -> None:
    call = _kernels.Dispatcher(missed)
    with_answers(call, *range(40))
    for answer in (3, 39, 0, 3, 3):
        assert call(answer, X)[1] == answer
        assert call.plans()[0] == answer
    assert is_missed(call, 40, X) and is_missed(call, 3, X[:2])


def test_a_question_that_fails_is_not_answered() -> None:
    def fail(value: np.ndarray) -> np.ndarray:
        raise ValueError("cannot be asked")

    from tracer.graph.graph import Graph
    from tracer.graph.node import input_node, make_node
    from tracer.graph.op import Op
    from tracer.run import cpu
    from tracer.types import type_of

    op = Op("asks", family="call", infer=lambda types: types[0], evaluate=fail, doc="Fails.")
    node = input_node(type_of(X))
    question = cpu.Executable(Graph((node,), (make_node(op, (node,), {}),))).native
    call = _kernels.Dispatcher(missed)
    add(call, running_sums(X), (entry(X),), question=(question, [X]))
    assert is_missed(call, X) and is_missed(call, X)


@pytest.mark.parametrize(
    "question",
    [
        (running_sums(X), []),
        (running_sums(X), [X[:2]]),
        (running_sums(X), [X.T]),
        (running_sums(X), [1]),
        (running_sums(X.astype("f")), [X.astype("f")]),
        (running_sums(X, X), [X, X]),
        (1, [X]),
    ],
)
def test_questions_that_do_not_fit_are_refused(question: Any) -> None:
    call = _kernels.Dispatcher(missed)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        add(call, running_sums(X), (entry(X),), question=question)
    assert call.plans() == []


def test_nothing_leaks() -> None:
    call = _kernels.Dispatcher(missed)
    with_answers(call, *range(5))
    watched = [X, call, 1000, call.plans()[0]]

    def repeat() -> None:
        for _ in range(500):
            call(4, X)
            is_missed(call, 1000, X)

    repeat()
    before = [sys.getrefcount(item) for item in watched]
    repeat()
    after = [sys.getrefcount(item) for item in watched]
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True)), (before, after)


def tree_plan(call: _kernels.Dispatcher, tree: Any, *answers: int, own: bool = True) -> None:
    """A plan for calls with numbers of which the first few are these; it gives the answers back."""
    zero = np.array(0)
    count = len(answers)
    spec = (("number", zero.dtype.num, False),) * 3
    steps = [(place, 0, 8) for place in range(count)]
    expected = [np.array(answer) for answer in answers]
    asker = None if own else running_sums(*[zero] * count)
    outputs = ("constant", answers)
    program = running_sums(*[zero] * count)
    add(call, program, spec, outputs=outputs, token=answers, question=(asker, expected, tree, steps))


@pytest.mark.parametrize("own", [True, False])
def test_plans_of_a_tree(own: bool) -> None:
    call, tree = _kernels.Dispatcher(missed), object()
    for answers in ((1, 1), (1, 2, 1), (1, 2, 2), (2,), (3, 1)):
        tree_plan(call, tree, *answers, own=own)
    for _ in range(2):
        assert call(1, 1, 7) == (1, 1)
        assert call(1, 2, 2) == (1, 2, 2)
        assert call(2, 5, 5) == (2,)
        assert call(1, 2, 1) == (1, 2, 1)
        assert call(3, 1, 0) == (3, 1)
        assert is_missed(call, 1, 3, 1) and is_missed(call, 4, 4, 4) and is_missed(call, 1, 2, 3)
    assert dict(zip(call.plans(), call.counts(), strict=True))[2,] == 2


def test_plans_of_other_trees_are_not_tried() -> None:
    call = _kernels.Dispatcher(missed)
    tree_plan(call, object(), 1)
    tree_plan(call, object(), 2)
    assert call(2, 0, 0) == (2,) and is_missed(call, 1, 0, 0)


def test_a_plan_of_a_tree_that_fails_is_left_to_the_fallback() -> None:
    def fail(value: np.ndarray) -> np.ndarray:
        raise ValueError("on another path")

    from tracer.graph.graph import Graph
    from tracer.graph.node import input_node, make_node
    from tracer.graph.op import Op
    from tracer.run import cpu
    from tracer.types import type_of

    op = Op("fails", family="call", infer=lambda types: types[0], evaluate=fail, doc="Fails.")
    node = input_node(type_of(X))
    program = cpu.Executable(Graph((node,), (make_node(op, (node,), {}),))).native
    call = _kernels.Dispatcher(missed)
    add(call, program, (entry(X),), question=(None, [X], object(), [(0, 0, X.nbytes)]))
    assert is_missed(call, X)


@pytest.mark.parametrize("steps", [[(1, 0, 8)], [(0, 4, 8)], [(0, 0, 16)], [(-1, 0, 8)]])
def test_steps_outside_the_answers_are_refused(steps: Any) -> None:
    zero, call = np.array(0), _kernels.Dispatcher(missed)
    spec = (("number", zero.dtype.num, False),)
    with pytest.raises((ValueError, RuntimeError, OverflowError)):
        add(call, running_sums(zero), spec, question=(None, [zero], object(), steps))


def test_python_floats_alone() -> None:
    zero = np.zeros(())
    call = planned(zero, spec=(("float", zero.dtype.num),))
    assert call(2.5) == 2.5 and call(float("inf")) == float("inf")
    assert is_missed(call, 1) and is_missed(call, True) and is_missed(call, np.float64(1)) and is_missed(call, zero)
