"""The fast call path: which calls a plan answers, what it gives back, and that nothing leaks."""

from __future__ import annotations

import dataclasses
import functools
import gc
import sys
import weakref
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from kernels.building import argument, whole
from work import on_threads

from tracer import _kernels
from tracer.lower.program import Buffer, Cumulative, Gather, Program, View
from tracer.types import contiguous_strides

F64 = np.dtype(np.float64).num
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


class Missed(Exception):
    """Raised by the fallback."""


def missed(*args: Any, **kwargs: Any) -> Any:
    raise Missed


def entry(array: np.ndarray) -> tuple[Any, ...]:
    """The description of an array parameter."""
    contiguous = array.flags.c_contiguous
    return ("array", array.dtype.num, array.shape, None if contiguous else array.strides)


def running_sums(*arrays: np.ndarray) -> _kernels.Program:
    """A program with one output per array: its running sum along the first axis; of 0-d arrays a copy."""
    buffers = [argument(array, i) for i, array in enumerate(arrays)]
    buffers += [
        Buffer("output", array.dtype, array.shape, contiguous_strides(array.shape), i) for i, array in enumerate(arrays)
    ]
    instructions = []
    for i, array in enumerate(arrays):
        shape, out = array.shape or (1,), View(len(arrays) + i, 0, contiguous_strides(array.shape) or (1,))
        source = whole(array, i) if array.ndim else View(i, 0, (1,))
        instructions.append(Cumulative("sum", shape, 0, source, out))
    return _kernels.Program(Program(tuple(buffers), (), tuple(instructions), 0, len(arrays)))


def add(dispatcher: _kernels.Dispatcher, program: _kernels.Program, spec: tuple[Any, ...], **options: Any) -> None:
    """`dispatcher.add` with everything optional left out."""
    names = ["captured", "captured_entries", "shared", "shared_entries", "updates", "writebacks", "guards"]
    arguments: dict[str, Any] = {"kwnames": None, "outputs": ("leaf", 0, False)} | dict.fromkeys(names, ())
    dispatcher.add(spec=spec, program=program, **(arguments | options))


def planned(*arrays: np.ndarray, **options: Any) -> _kernels.Dispatcher:
    """A dispatcher with one plan that takes these arrays, and a fallback that raises."""
    dispatcher = _kernels.Dispatcher(missed)
    spec = options.pop("spec", tuple(entry(array) for array in arrays))
    add(dispatcher, running_sums(*arrays), spec, **options)
    return dispatcher


def is_missed(dispatcher: _kernels.Dispatcher, *args: Any, **kwargs: Any) -> bool:
    try:
        dispatcher(*args, **kwargs)
    except Missed:
        return True
    return False


X = np.arange(6.0).reshape(3, 2)


def test_a_call_that_matches_runs_the_program() -> None:
    call = planned(X)
    result = call(X)
    np.testing.assert_array_equal(result, X.cumsum(0))
    assert result.base is None and not np.shares_memory(result, call(X))
    assert (call.hits, call.misses) == (2, 0)


def test_a_call_that_does_not_match_goes_to_the_fallback_as_it_is() -> None:
    seen = []

    def fallback(*args: Any, **kwargs: Any) -> str:
        seen.append((args, kwargs))
        return "fallback"

    call = _kernels.Dispatcher(fallback)
    add(call, running_sums(X), (entry(X),))
    assert call(1, 2, name=3) == "fallback" and call() == "fallback" and call(*[5], **{"a": 6}) == "fallback"
    assert seen == [((1, 2), {"name": 3}), ((), {}), ((5,), {"a": 6})]
    assert call.misses == 3


class Subclass(np.ndarray):
    pass


def test_what_array_entries_accept() -> None:
    call = planned(X)
    unaligned = np.zeros(49, np.uint8)[1:].view(np.float64).reshape(3, 2)
    others = [
        X.astype(np.float32),
        X[:2],
        X.ravel(),
        np.asfortranarray(X),
        X.astype(">f8"),
        X.view(Subclass),
        unaligned,
    ]
    for other in [*others, X.tolist(), None, np.ma.array(X)]:
        assert is_missed(call, other)
    assert is_missed(call) and is_missed(call, X, X) and is_missed(call, x=X)
    read_only = X.copy()
    read_only.flags.writeable = False
    assert not is_missed(call, read_only)


def test_strided_arrays_match_by_their_strides() -> None:
    array = np.arange(24.0).reshape(6, 4)[::2, ::-1]
    call = planned(array)
    np.testing.assert_array_equal(call(array), array.cumsum(0))
    assert is_missed(call, array.copy())
    single = np.arange(8.0).reshape(2, 4)[:1, ::2]
    call = planned(single)
    assert not is_missed(call, np.arange(12.0).reshape(2, 6)[:1, :4:2])  # the stride of a length of one does not matter


def test_numpy_scalars_stand_for_arrays_without_dimensions() -> None:
    zero = np.array(2.5)
    call = planned(zero, outputs=("leaf", 0, True))
    for value in (zero, np.float64(2.5)):
        result = call(value)
        assert type(result) is np.float64 and result == 2.5
    assert is_missed(call, 2.5) and is_missed(call, np.float32(2.5)) and is_missed(call, np.int64(2))
    assert type(planned(zero)(zero)) is np.ndarray
    scalar = planned(np.array(1 + 2j), outputs=("leaf", 0, True))
    assert scalar(np.complex128(3 - 4j)) == 3 - 4j


STATIC = [1, 1.0, True, 0.0, -0.0, 1j, -1j, float("inf"), "a", b"a", "", None, (), (1, 2), (1, 2.0), (1, (2, "x")),
          2**80, -(2**80), slice(1, 2), slice(1, 2.0), Ellipsis, int, object()]  # fmt: skip


@pytest.mark.parametrize("place", range(len(STATIC)))
def test_static_values_match_by_exact_type_and_value(place: int) -> None:
    value = STATIC[place]
    call = planned(spec=(("static", value),), outputs=("constant", "yes"))
    for i, other in enumerate(STATIC):
        assert is_missed(call, other) == (i != place)
    if isinstance(value, (str, float, int)) and not isinstance(value, bool):
        assert call(type(value)(str(value))) == "yes"  # equal, but another object


def test_not_a_number_matches_nothing_but_the_same_bits() -> None:
    call = planned(spec=(("static", float("nan")),), outputs=("constant", 0))
    assert not is_missed(call, float("nan")) and is_missed(call, 1.0)


def test_weak_entries() -> None:
    point = Point(1, 2)
    call = planned(spec=(("weak", weakref.ref(point)),), outputs=("constant", 0))
    assert call(point) == 0 and is_missed(call, Point(1, 2)) and is_missed(call, None)


def test_nested_arguments() -> None:
    leaf = entry(X)
    spec = (
        ("tuple", (leaf, ("list", (leaf, ("static", 1))))),
        ("dict", (("a", leaf), ("b", ("static", "s")))),
        ("namedtuple", Pair, (leaf, leaf)),
        ("attributes", Point, (("x", leaf), ("y", ("static", None)))),
    )
    arrays = [X + i for i in range(6)]
    call = planned(*arrays, spec=spec, outputs=("tuple", tuple(("leaf", i, False) for i in range(6))))

    def arguments() -> list[Any]:
        pair = Pair(arrays[3], arrays[4])
        return [(arrays[0], [arrays[1], 1]), {"a": arrays[2], "b": "s"}, pair, Point(arrays[5], None)]

    for result, array in zip(call(*arguments()), arrays, strict=True):
        np.testing.assert_array_equal(result, array.cumsum(0))
    changes: list[tuple[int, Any]] = [
        (0, [arrays[0], [arrays[1], 1]]), (0, (arrays[0], [arrays[1], 2])), (0, (arrays[0], [arrays[1]])),
        (0, Pair(arrays[0], [arrays[1], 1])), (1, {"b": "s", "a": arrays[2]}), (1, {"a": arrays[2]}),
        (1, {"a": arrays[2], "c": "s"}), (2, (arrays[3], arrays[4])), (3, Point(arrays[5], 1)), (3, Pair(1, 2)),
    ]  # fmt: skip
    for place, value in changes:
        changed = arguments()
        changed[place] = value
        assert is_missed(call, *changed)
    broken = Point(arrays[5], None)
    del broken.y
    assert is_missed(call, *arguments()[:3], broken)


def test_keywords() -> None:
    call = planned(X, X, spec=(entry(X), entry(X)), kwnames=("scale",), outputs=("leaf", 1, False))
    np.testing.assert_array_equal(call(X, scale=X + 1), (X + 1).cumsum(0))
    assert is_missed(call, X, X) and is_missed(call, X, other=X) and is_missed(call, x=X, scale=X)
    call = planned(X, X, kwnames=("a", "b"))
    assert not is_missed(call, a=X, b=X) and is_missed(call, b=X, a=X)


def make_cell(value: Any) -> Any:
    return (lambda: value).__closure__[0]


def test_guards() -> None:
    marker, holder, names = object(), Point(1, 2), {"n": 3}
    cell, items = make_cell(marker), [1.0, marker]
    cases: list[tuple[tuple[Any, ...], Any, Any]] = [
        (("cell", cell, None, marker), lambda: setattr(cell, "cell_contents", 0), None),
        (("cell=", make_cell(1), None, 1), None, None),
        (("cell=", make_cell(1), None, 1.0), None, False),
        (("dict", names, "n", 3), lambda: names.update(n=4), None),
        (("dict", names, "m", 3), None, False),
        (("dict=", {"s": "ab"}, "s", "".join(["a", "b"])), None, None),
        (("dict", {"s": [1]}, "s", [1]), None, False),
        (("absent", {"s": 1}, "t", None), None, None),
        (("absent", {"s": 1}, "s", None), None, False),
        (("attr", holder, "x", 1), lambda: setattr(holder, "x", 2), None),
        (("attr=", holder, "y", 2), lambda: delattr(holder, "y"), None),
        (("items=", items, None, (1.0, marker)), lambda: items.append(2), None),
        (("items=", {"a": 1}, None, ("a",)), None, None),
        (("items=", [1], None, (1.0,)), None, False),
        (("items=", 5, None, ()), None, False),
    ]
    for guard, change, holds in cases:
        call = planned(X, guards=(guard,))
        assert is_missed(call, X) == (holds is False), guard
        if change is not None:
            change()
            assert is_missed(call, X)


def test_captured_arrays_are_checked_again() -> None:
    captured = X.copy()
    call = planned(X, X, spec=(entry(X),), captured=[captured], captured_entries=[entry(captured)],
                   outputs=("leaf", 1, False))  # fmt: skip
    captured[0] = 5
    np.testing.assert_array_equal(call(X), captured.cumsum(0))
    captured.resize((2, 3), refcheck=False)
    assert is_missed(call, X)


def training(cell: list[np.ndarray], **options: Any) -> _kernels.Dispatcher:
    """Each call adds up the shared array and returns the running sum of the argument."""
    return planned(X, X, spec=(entry(X),), shared=[cell], shared_entries=[entry(X)], updates=[(cell, 1)], **options)


def test_shared_cells_are_read_and_updated() -> None:
    first = X.copy()
    cell = [first]
    call = training(cell)
    for _ in range(3):
        before = cell[0].copy()
        np.testing.assert_array_equal(call(X), X.cumsum(0))
        np.testing.assert_array_equal(cell[0], before.cumsum(0))
    np.testing.assert_array_equal(first, X)  # updates make new arrays
    cell[0] = X.astype(np.float32)
    assert is_missed(call, X)
    cell.clear()
    assert is_missed(call, X)


def test_an_updated_array_is_not_the_returned_one() -> None:
    cell, other = [X.copy()], [X.copy()]
    call = planned(X, shared=[], updates=[(cell, 0), (other, 0)])
    result = call(X)
    assert not np.shares_memory(result, cell[0]) and not np.shares_memory(cell[0], other[0])
    np.testing.assert_array_equal(result, other[0])


def fail(*args: Any) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("options", [{"check": fail}, {"outputs": ("call", fail, (("leaf", 0, False),))}])
def test_a_failed_call_changes_nothing(options: dict[str, Any]) -> None:
    cell, target = [X.copy()], X.copy()
    call = training(cell, writebacks=[(0, 0)], **options)
    with pytest.raises(RuntimeError, match="no"):
        call(target)
    np.testing.assert_array_equal(cell[0], X)
    np.testing.assert_array_equal(target, X)


def test_check_sees_all_outputs_before_the_updates() -> None:
    seen: list[list[np.ndarray]] = []
    cell = [X.copy()]
    training(cell, check=lambda outputs: seen.append([*outputs, cell[0].copy()]))(X)
    np.testing.assert_array_equal(seen[0][1], X.cumsum(0))
    np.testing.assert_array_equal(seen[0][2], X)


def test_write_backs() -> None:
    call = planned(X, X, writebacks=[(0, 0)], outputs=("argument", 0))
    target, other = X.copy(), X.copy()
    assert call(target, other) is target
    np.testing.assert_array_equal(target, X.cumsum(0))
    assert is_missed(call, target, target)  # the written array must be apart from the others
    memory = np.zeros(10)
    assert is_missed(call, memory[:6].reshape(3, 2), memory[4:].reshape(3, 2))
    assert not is_missed(call, np.zeros((6, 2))[:3], np.zeros((6, 2))[3:])
    target.flags.writeable = False
    assert is_missed(call, target, other)
    scalar = planned(np.array(1.0), writebacks=[(0, 0)])
    assert is_missed(scalar, np.float64(1.0))
    strided = np.zeros((3, 4))[:, ::2]
    strided += X
    np.testing.assert_array_equal(planned(strided, writebacks=[(0, 0)])(strided), X.cumsum(0))
    np.testing.assert_array_equal(strided, X.cumsum(0))


def test_results_of_every_form() -> None:
    sentinel = object()
    outputs = ("dict", (
        ("t", ("tuple", (("leaf", 0, False), ("constant", sentinel)))),
        ("l", ("list", (("argument", 0), ("leaf", 0, False)))),
        ("p", ("call", Pair, (("constant", 1), ("leaf", 0, False)))),
        ("e", ("tuple", ())),
    ))  # fmt: skip
    result = planned(X, outputs=outputs)(X)
    assert list(result) == ["t", "l", "p", "e"] and result["e"] == ()
    assert type(result["t"]) is tuple and result["t"][1] is sentinel
    assert type(result["l"]) is list and result["l"][0] is X and result["l"][1] is result["t"][0]
    assert isinstance(result["p"], Pair) and result["p"].first == 1


def gathering() -> tuple[_kernels.Program, tuple[Any, ...]]:
    table, index = np.zeros(5), np.zeros(3, np.int64)
    buffers = (argument(table, 0), argument(index, 1), Buffer("output", table.dtype, (3,), (1,), 0))
    instruction = Gather((3,), View(0, 0, (1,)), (5,), 1, (View(1, 0, (1,)),), View(2, 0, (1,)), "y = x[i]")
    return _kernels.Program(Program(buffers, (), (instruction,), 0, 1)), (entry(table), entry(index))


def test_errors_of_the_program() -> None:
    program, spec = gathering()
    call = _kernels.Dispatcher(missed)
    add(call, program, spec)
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0 with size 5"):
        call(np.zeros(5), np.array([0, 7, 1]))
    seen: list[Any] = []

    def explain(error: Exception, token: Any) -> None:
        seen.append((type(error), token))
        if token == "raise":
            raise KeyError("better") from error

    for token, expected in (("pass", IndexError), ("raise", KeyError)):
        call.clear()
        add(call, program, spec, on_error=explain, token=token)
        with pytest.raises(expected):
            call(np.zeros(5), np.array([0, 7, 1]))
    assert seen == [(IndexError, "pass"), (IndexError, "raise")]


def test_plans_are_tried_most_recently_used_first() -> None:
    call = _kernels.Dispatcher(missed)
    arrays = [np.zeros(n) for n in range(1, 100)]
    for array in arrays:
        add(call, running_sums(array), (entry(array),), token=array.size)
    assert call.plans() == list(range(99, 99 - 64, -1))
    call(arrays[49])
    assert call.plans()[:2] == [50, 99]
    assert is_missed(call, arrays[0])
    call.clear()
    assert call.plans() == [] and is_missed(call, arrays[49])


@pytest.mark.parametrize(
    "options",
    [
        {"spec": ()},
        {"spec": (entry(X.astype("f")),)},
        {"spec": (entry(X[:2]),)},
        {"spec": (entry(np.asfortranarray(X)),)},
        {"spec": (entry(X), ("nonsense", 1))},
        {"spec": (entry(X), 1)},
        {"outputs": ("leaf", 1, False)},
        {"outputs": ("argument", 1)},
        {"outputs": ("nonsense", 1)},
        {"updates": [([X], 1)]},
        {"updates": [((X,), 0)]},
        {"writebacks": [(1, 0)]},
        {"guards": [("cell", 1, None, 1)]},
        {"guards": [("nonsense", {}, "a", 1)]},
        {"captured": [1], "captured_entries": [entry(X)]},
        {"captured": [X], "captured_entries": []},
        {"kwnames": ("a", "b")},
    ],
)
def test_malformed_plans_are_refused(options: dict[str, Any]) -> None:
    call = _kernels.Dispatcher(missed)
    with pytest.raises((TypeError, ValueError)):
        add(call, running_sums(X), options.pop("spec", (entry(X),)), **options)
    assert call.plans() == []


def test_it_is_a_function_and_a_method() -> None:
    def documented(self: Any, x: np.ndarray) -> np.ndarray:
        """Adds up."""
        return x

    call = planned(X, spec=(("static", None), entry(X)))
    functools.update_wrapper(call, documented)
    assert call.__name__ == "documented" and call.__doc__ == "Adds up." and call.__wrapped__ is documented
    call.attribute = 3
    assert vars(call)["attribute"] == 3 and callable(call)
    owner = type("Owner", (), {"method": call, "static": staticmethod(call)})
    instance = owner()
    add(call, running_sums(X), (("static", instance), entry(X)))
    np.testing.assert_array_equal(instance.method(X), X.cumsum(0))
    np.testing.assert_array_equal(owner.method(instance, X), X.cumsum(0))
    np.testing.assert_array_equal(owner.static(None, X), X.cumsum(0))
    bound = instance.method
    np.testing.assert_array_equal(bound(X), X.cumsum(0))
    assert bound.__self__ is instance
    with pytest.raises(TypeError):
        _kernels.Dispatcher(3)


def test_the_plan_list_may_change_during_a_call() -> None:
    call = _kernels.Dispatcher(missed)

    class Clearing:
        @property
        def value(self) -> int:
            call.clear()
            return 1

    add(call, running_sums(X), (entry(X),), guards=[("attr=", Clearing(), "value", 1)])
    add(call, running_sums(X), (entry(X),), guards=[("attr=", Clearing(), "value", 2)])
    assert is_missed(call, X) and call.plans() == []
    add(call, running_sums(X), (entry(X),), guards=[("attr=", Clearing(), "value", 1)])
    np.testing.assert_array_equal(call(X), X.cumsum(0))
    add(call, running_sums(X), (entry(X),), check=lambda outputs: call.clear())
    np.testing.assert_array_equal(call(X), X.cumsum(0))


def test_recursion_through_the_fallback() -> None:
    def trace(*args: Any) -> Any:
        add(call, running_sums(*args), tuple(entry(arg) for arg in args))
        return call(*args)

    call = _kernels.Dispatcher(trace)
    for n in (1, 2, 3, 2, 1):
        np.testing.assert_array_equal(call(np.ones(n)), np.arange(1.0, n + 1))
    assert (call.hits, call.misses) == (5, 3)


def test_garbage_is_collected() -> None:
    call = _kernels.Dispatcher(missed)
    add(call, running_sums(X), (entry(X), ("static", call)), token=[call], guards=[("attr", call, "missing", call)])
    call.me = call
    reference = weakref.ref(call)
    del call
    gc.collect()
    assert reference() is None


def test_nothing_leaks() -> None:
    cell = [X.copy()]
    value, constant, pair = Point(X, 1), object(), Pair(X.copy(), np.float64(2))
    spec = (
        entry(X), ("attributes", Point, (("x", entry(X)), ("y", ("static", 1)))),
        ("namedtuple", Pair, (entry(X), entry(np.array(1.0)))), ("list", (entry(X),)), ("dict", (("k", entry(X)),)),
    )  # fmt: skip
    zero = np.array(1.0)
    call = planned(X, X, X, zero, X, X, X, spec=spec, shared=[cell], shared_entries=[entry(X)], updates=[(cell, 6)],
                   outputs=("tuple", (("leaf", 0, False), ("leaf", 3, True), ("constant", constant), ("argument", 0),
                                      ("dict", (("k", ("leaf", 1, False)),)), ("call", Pair, (("leaf", 2, False),) * 2),
                                      )))  # fmt: skip
    items, table = [X], {"k": X}
    watched = [X, X.dtype, value, constant, pair, items, table, call, cell, None, np.float64, Pair, call.fallback]

    def repeat() -> None:
        for _ in range(500):
            cell[0] = X
            call(X, value, pair, items, table)
            cell[0] = X
            is_missed(call, X, value, pair, items, {"k": 1})

    repeat()
    before = [sys.getrefcount(item) for item in watched]
    repeat()
    after = [sys.getrefcount(item) for item in watched]
    # The counts of shared objects such as None drift a little with what else the interpreter does.
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True)), (before, after)
    for _ in range(300):
        add(call, running_sums(X), (entry(X), ("static", value)), token=value)
        call.clear()
    assert abs(sys.getrefcount(value) - before[2]) < 50


def test_several_threads() -> None:
    array = np.ones(200_000)
    call = planned(array)
    expected, failures = np.arange(1.0, array.size + 1), []

    def work(_: int) -> None:
        for i in range(15):
            if i % 5 == 0:
                add(call, running_sums(array), (entry(array),))
            if not np.array_equal(call(array), expected):
                failures.append(i)

    on_threads(work)
    assert not failures


def test_many_arrays() -> None:
    arrays = [np.full(2, float(i)) for i in range(60)]
    call = planned(*arrays, outputs=("list", tuple(("leaf", i, False) for i in range(60))))
    for result, array in zip(call(*arrays), arrays, strict=True):
        np.testing.assert_array_equal(result, array.cumsum())
    scalars = [np.array(float(i)) for i in range(40)]
    call = planned(*scalars, outputs=("list", tuple(("leaf", i, True) for i in range(40))))
    assert call(*[np.float64(i) for i in range(40)]) == list(range(40))
