"""Native code of loops against the block kernels, to the bit, and the thread that makes it."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

pytest.importorskip("llvmlite")

from kernels.building import DTYPES, random_array
from kernels.test_vm import Case, cases, copy_with_strides

import tracer
from tracer import _kernels, phases
from tracer.lower.program import Step, Store
from tracer.run import jit
from tracer.run.native import compiler
from tracer.run.native.functions import has_function
from tracer.run.native.generator import outline
from tracer.run.native.scalars import supports

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, np.nan, -np.nan, np.inf, -np.inf, 1e-310, 1e30, -1e30])
KERNELS = [
    (name, np.dtype(operand), np.dtype(result), arity)
    for name, operand, result, arity in _kernels.list_kernels()
    if supports(Step(name, np.dtype(operand), np.dtype(result), ())) and not has_function(name, np.dtype(operand))
]


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """Nothing is translated behind a test's back."""
    with tracer.config.changed(jit="off"):
        yield


def count_native(program: _kernels.Program) -> int:
    return repr(program).count("native")


def translated(case: Case) -> _kernels.Program:
    program = _kernels.Program(case.program())
    for _ in jit.translate(program, 0.0):
        pass
    return program


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """The same bits, but for those of what is no number."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind in "fc":
        part = f"f{found.itemsize // (2 if found.dtype.kind == 'c' else 1)}"
        pair = [np.ascontiguousarray(array).reshape(-1).view(part) for array in (found, expected)]
        numbers = ~np.isnan(pair[0])
        np.testing.assert_array_equal(np.signbit(pair[0][numbers]), np.signbit(pair[1][numbers]))


def compare(case: Case, *, native: bool = True) -> None:
    """Run a case in both tiers, arguments that are written to included."""
    other = copy.copy(case)
    other.arguments = [copy_with_strides(array) for array in case.arguments]
    expected = _kernels.Program(other.program()).run(other.arguments)
    program = translated(case)
    assert not native or count_native(program) == 1
    found = program.run(case.arguments)
    for one, two in zip([*found, *case.arguments], [*expected, *other.arguments], strict=True):
        assert_same(one, two)


def numbers(generator: np.random.Generator, dtype: np.dtype, count: int) -> np.ndarray:
    """Values over the whole range of a dtype, with many of the special ones."""
    result = random_array(generator, dtype, (count,))
    if dtype.kind in "fc":
        parts = result.view(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else result
        parts *= 10.0 ** generator.integers(-3, 22, parts.shape)
        chosen = generator.random(parts.shape) < 0.5
        parts[chosen] = generator.choice(SPECIAL, parts.shape)[chosen].astype(parts.dtype)
    elif dtype.kind != "b":
        info = np.iinfo(dtype)
        ends = [info.min, info.min + 1, 0, 1, 2, 3, info.max - 1, info.max, *((-1, -2) if info.min else ())]
        chosen = generator.random(count) < 0.5
        result[chosen] = generator.choice(np.array(ends, dtype), count)[chosen]
    return result


# --- scalar operations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operand", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "immediate"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_every_kernel(operand: np.dtype, layout: str) -> None:
    generator = np.random.default_rng(7)
    count = 331
    case = Case((count,))
    stride = 1 if layout == "contiguous" else 3
    arrays = [numbers(generator, operand, count * stride)[::stride] for _ in range(2)]
    condition = case.load(numbers(generator, np.dtype(bool), count))
    loaded = [case.load(array) for array in arrays]
    if layout == "immediate":
        case.immediates.append(numbers(generator, operand, 1)[0])
        loaded[1] = len(case.loads)
    results = []
    for name, dtype, result, arity in KERNELS:
        if dtype == operand:
            inputs = (condition, *loaded) if name == "where" else loaded[:arity]
            results.append((case.step(name, dtype, *inputs, out=result), result))
    for register, result in results:
        case.store(register, result)
    with np.errstate(all="ignore"):
        compare(case)


def test_what_is_translated_covers_the_cheap_operations() -> None:
    names = {name for name, *_ in KERNELS}
    assert {"add", "multiply", "divide", "where", "cast", "maximum", "sqrt", "floor", "sign", "left_shift"} <= names
    assert not {"cbrt", "arcsin"} & names


def test_a_loop_with_other_operations_keeps_its_kernels() -> None:
    x = np.linspace(0.0, 1.0, 1000)
    case = Case(x.shape)
    case.store(case.step("cbrt", x.dtype, case.load(x)), x.dtype)
    compare(case, native=False)
    assert count_native(translated(case)) == 0


def test_immediates_that_are_special() -> None:
    x = numbers(np.random.default_rng(0), np.dtype("f4"), 100)
    case = Case(x.shape)
    a = case.load(x)
    case.immediates += [np.float32(value) for value in (np.nan, -np.inf, -0.0, 1e-42, 0.1)]
    for number in range(5):
        for kernel in ("multiply", "maximum", "copysign"):
            case.store(case.step(kernel, x.dtype, a, 1 + number), x.dtype)
    with np.errstate(all="ignore"):
        compare(case)


# --- whole loops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_random_loops(threads: int) -> None:
    @settings(max_examples=60 if threads == 1 else 30)
    @given(cases())
    def check(case: Case) -> None:
        compare(case, native=False)

    with tracer.config.changed(threads=threads):
        check()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(700, 501), (3, 100_001), (400_000,), (60, 50, 70)], ids=str)
def test_large_loops_are_divided_among_threads(shape: tuple[int, ...], threads: int) -> None:
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal(shape), generator.standard_normal(shape[-1:])
    case = Case(shape)
    product = case.step("multiply", x.dtype, case.load(x), case.load(y))
    total = case.step("add", x.dtype, product, 0)
    case.stores.append(Store(total, case.loads[0]))
    case.store(product, x.dtype)
    case.reduce("sum", total, x.dtype, tuple(range(len(shape))))
    case.reduce("max", product, x.dtype, (0,))
    with tracer.config.changed(threads=threads):
        compare(case)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(700, 501), (9, 5000), (60, 70, 80), (3, 64, 500), (200, 1, 65)], ids=str)
def test_reductions_along_different_axes_share_a_loop(shape: tuple[int, ...], threads: int) -> None:
    """Some are final at each step along an axis that others add up; sums of integers are exact in any order."""
    x = np.random.default_rng(2).integers(-9, 9, shape).astype(float)
    x[..., 3] = np.nan
    case = Case(shape)
    doubled = case.step("add", x.dtype, case.load(x), 0)
    subsets = [(0,), (len(shape) - 1,), tuple(range(len(shape))), tuple(range(1, len(shape)))]
    for kind in ("sum", "max"):
        for axes in subsets:
            case.reduce(kind, doubled, x.dtype, axes)
    with tracer.config.changed(threads=threads):
        compare(case)
        found = translated(case).run(case.arguments)
    expected = [getattr(x + x, kind)(axes, keepdims=True) for kind in ("sum", "max") for axes in subsets]
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("axes", [(1,), (0, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_tiles_that_are_folded_together(dtype: str, axes: tuple[int, ...]) -> None:
    """Native code computes several tiles at once, on any number of threads, and reduces what block kernels reduce."""
    whole = np.random.default_rng(11).uniform(0.9, 1.1, (211, 1700)).astype(dtype)
    for x in (whole[:, 5:1500], whole[:, :1500].T, whole.ravel()[:100_003][None]):
        case = Case(x.shape)
        register = case.load(x, whole)
        bent = case.step("multiply", x.dtype, register, register)
        case.store(bent, x.dtype)
        for kind in ("sum", "prod", "max"):
            case.reduce(kind, bent, x.dtype, axes)
        case.reduce("sum", register, x.dtype, (0, 1))
        program = translated(case)
        assert count_native(program) == 1
        for threads in (1, 2, 5):
            with tracer.config.changed(threads=threads):
                for found, expected in zip(program.run(case.arguments), case.run(), strict=True):
                    assert_same(found, expected)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)], ids=str)
def test_loops_without_points_keep_their_kernels(shape: tuple[int, ...]) -> None:
    x = np.ones(shape)
    case = Case(shape)
    doubled = case.step("add", x.dtype, case.load(x), 0)
    case.store(doubled, x.dtype)
    case.reduce("sum", doubled, x.dtype, tuple(range(len(shape))))
    compare(case, native=False)
    assert count_native(translated(case)) == 0


def test_in_place_swap() -> None:
    x, y = np.arange(5000.0), -np.arange(5000.0)
    case = Case((5000,))
    a, b = case.load(x), case.load(y)
    zero = case.step("subtract", x.dtype, a, a)
    case.stores += [Store(b, case.loads[a]), Store(case.step("add", x.dtype, a, zero), case.loads[b])]
    compare(case)
    assert x[3] == -3 and y[3] == 3


def test_loops_that_differ_in_their_places_have_the_same_code() -> None:
    base = np.arange(2000.0)
    codes = set()
    for start in (0, 500, 1000):
        case = Case((499,))
        a, b = case.load(base[start : start + 499], base), case.load(base[start + 1 : start + 500], base)
        case.loads[b] = type(case.loads[b])(case.loads[a].buffer, case.loads[b].offset, (1,))
        case.store(case.step("subtract", base.dtype, a, b), base.dtype)
        ((described, _),) = _kernels.Program(case.program()).loops()
        codes.add(outline(described))
        compare(case)
    assert len(codes) == 1 and None not in codes


# --- programs ----------------------------------------------------------------------------------------------------


def heat(u: Any) -> Any:
    u = u.copy()
    for _ in range(3):
        u[1:-1, 1:-1] += 0.2 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1])
    return np.sum(u**2)


def in_a_loop(u: Any) -> Any:
    return np.sum(tracer.fori_loop(0, 10, lambda i, v: v - 0.1 * v * np.abs(v), u) ** 2)


def in_a_while(u: Any) -> Any:
    return np.sum(tracer.while_loop(lambda v: np.max(v) > 0.5, lambda v: v * 0.7, u))


def in_a_branch(u: Any) -> Any:
    return tracer.cond(u[0, 0] > 0, lambda v: np.sum(v * v - v), lambda v: np.sum(v + 2.0), u)


def mutating(u: Any) -> Any:
    v = u * 1.0
    v[::2] *= 3.0
    v[1::2] -= v[::2]
    v[:, 3] = np.where(v[:, 3] > 0, 1.0, v[:, 2])
    return np.sum(v * v)


@pytest.mark.parametrize("function", [heat, in_a_loop, in_a_while, in_a_branch, mutating])
@pytest.mark.parametrize("threads", [1, 2])
def test_programs(function: Any, threads: int) -> None:
    generator = np.random.default_rng(3)
    with tracer.config.changed(threads=threads):
        block = tracer.compile(tracer.value_and_grad(function))
        inputs = [generator.standard_normal((120, 130)) for _ in range(3)]
        expected = [block(array) for array in inputs]
        with tracer.config.changed(jit="always"):
            native = tracer.compile(tracer.value_and_grad(function))
            for array, (value, gradient) in zip(inputs, expected, strict=True):
                found = native(array)
                assert_same(np.asarray(found[0]), np.asarray(value))
                assert_same(found[1], gradient)
        assert count_native(native.plan(inputs[0]).executable.native) or function not in (heat, mutating)


def test_loops_of_inner_programs_are_translated() -> None:
    x = np.ones((50, 60))
    with tracer.config.changed(jit="off"):
        program = tracer.compile(tracer.value_and_grad(in_a_loop)).plan(x).executable.native
    loops = program.loops()
    assert len(loops) > repr(program).count("loop of")
    for _ in jit.translate(program, 0.0):
        pass
    with pytest.raises(ValueError, match="native code already"):
        for number in range(len(loops)):
            program.use_native(number, 1, None)


def test_what_is_not_there_is_refused() -> None:
    x = np.ones(10)
    case = Case(x.shape)
    case.store(case.step("negative", x.dtype, case.load(x)), x.dtype)
    program = _kernels.Program(case.program())
    for number, address in ((1, 1), (0, 0)):
        with pytest.raises(ValueError, match="there is no loop"):
            program.use_native(number, address, None)


# --- the thread --------------------------------------------------------------------------------------------------


def work(x: Any) -> Any:
    return (x * 2.0 + 1.0) * x - x * 0.5


def test_a_function_that_runs_often_becomes_native() -> None:
    with tracer.config.changed(jit="auto"):
        compiled = tracer.compile(work)
        x = np.linspace(0.0, 1.0, 300_000)
        program = compiled.plan(x).executable.native
        assert count_native(program) == 0
        before = compiled(x)
        for patience in (jit.SHORT_PATIENCE, jit.PATIENCE):
            for _ in range(int(patience / program.cost) + 2):
                compiled(x)
            jit.wait()
        assert count_native(program) == 1
        np.testing.assert_array_equal(compiled(x), before)
        np.testing.assert_array_equal(compiled(x + 1.0), work(x + 1.0))


def test_off_and_small_programs_are_left_alone() -> None:
    for setting, size in (("off", 300_000), ("auto", 10)):
        with tracer.config.changed(jit=setting):
            compiled = tracer.compile(work)
            x = np.linspace(0.0, 1.0, size)
            for _ in range(100):
                compiled(x)
            jit.wait()
            assert count_native(compiled.plan(x).executable.native) == 0


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "PATIENCE", 1.0)
    monkeypatch.setattr(jit, "CHEAP_PROGRAM", 0.0)


def test_a_failure_is_logged_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hurry(monkeypatch)

    def fail(outline: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(compiler, "compile_loop", fail)
    with tracer.config.changed(jit="auto"), caplog.at_level(logging.WARNING):
        compiled = tracer.compile(lambda x: work(x) + 17.0)
        x = np.arange(50.0)
        for _ in range(5):
            np.testing.assert_array_equal(compiled(x), work(x) + 17.0)
        jit.wait()
    assert "stays in block kernels" in caplog.text and "no such luck" in caplog.text


def test_a_program_that_is_gone_is_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    made = []
    monkeypatch.setattr(compiler, "compile_loop", made.append)
    case = Case((10,))
    case.store(case.step("negative", np.dtype("f8"), case.load(np.ones(10))), np.dtype("f8"))
    program = _kernels.Program(case.program())
    with tracer.config.changed(jit="auto"):
        jit.watch(program)
    gone = jit.weakref.ref(program)
    del program
    jit._worker.put(gone, lambda _: made.append(0))
    jit.wait()
    assert not made


def test_a_program_is_called_hot_after_the_run_that_made_it_so() -> None:
    x = np.ones(10)
    case = Case(x.shape)
    case.store(case.step("negative", x.dtype, case.load(x)), x.dtype)
    program = _kernels.Program(case.program())
    calls: list[int] = []
    program.when_hot(1.5 * program.cost, lambda: calls.append(len(results)))
    results: list[Any] = []
    for _ in range(3):
        results.append(program.run([x]))
    assert calls == [1]
    program.when_hot(0.0, lambda: calls.append(-1))
    with pytest.raises(ValueError, match="argument"):
        program.run([])
    assert calls == [1]
    program.run([x])
    program.run([x])
    assert calls == [1, -1]


def test_the_thread_holds_back_while_functions_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "MOST_PATIENT", 60.0)
    case = Case((10,))
    case.store(case.step("negative", np.dtype("f8"), case.load(np.ones(10))), np.dtype("f8"))
    program = _kernels.Program(case.program())
    done = []

    def task(_: Any) -> Iterator[None]:
        done.append(True)
        yield

    with phases.recorded():
        jit._worker.put(jit.weakref.ref(program), task)
        time.sleep(10 * jit.GRACE)
        assert not done
        jit.wait()
        assert done == [True]
        jit._worker.put(jit.weakref.ref(program), task)
        time.sleep(10 * jit.GRACE)
        assert done == [True]
    jit.wait()
    assert done == [True, True]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


PRELUDE = """
import sys, numpy as np
{first}
import tracer
from tracer.run import jit
jit.PATIENCE = jit.CHEAP_PROGRAM = 1.0
f = tracer.compile(lambda x: x * 2.0 + x)
x = np.arange(1000.0)
for _ in range(4): assert np.array_equal(f(x), 3.0 * x)
"""


def test_the_process_ends_cleanly_in_the_middle_of_a_translation() -> None:
    result = run_python(PRELUDE.format(first="") + "print('done')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on() -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore")
child = os.fork()
g = tracer.compile(lambda x: x * 5.0 - x)
for _ in range(4): assert np.array_equal(g(x), 4.0 * x) and np.array_equal(f(x), 3.0 * x)
jit.wait()
assert "native" in repr(g.plan(x).executable.native)
if child == 0: sys.exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = run_python(PRELUDE.format(first="") + code)
    assert (result.returncode, result.stderr) == (0, "")


def test_without_llvmlite_everything_works_in_block_kernels() -> None:
    missing = "sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None"
    code = "jit.wait(); print('native' in repr(f.plan(x).executable.native))"
    result = run_python(PRELUDE.format(first=missing) + code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "False\n", "")
    always = run_python(PRELUDE.format(first=missing), TRACER_JIT="always")
    assert always.returncode == 1 and "pip install llvmlite" in always.stderr


def test_the_first_call_does_not_import_llvmlite() -> None:
    call = "tracer.compile(lambda x: x + 1.0)(np.ones(9))"
    code = f"import sys, numpy as np, tracer; {call}; print('llvmlite' in sys.modules)"
    assert run_python(code).stdout == "False\n"
