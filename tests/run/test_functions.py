"""Elementary functions in native code against the block kernels of the same name."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from kernels.test_vector_math import BINARY, UNARY, pairs, sweep
from kernels.test_vm import Case, Step

import tracer
from tracer import _kernels
from tracer.run import jit
from tracer.run.native.coefficients import SHORT, WIDE
from tracer.run.native.functions import has_function
from tracer.run.native.host import has_fused_multiply_add, vector_bytes
from tracer.run.native.vectors import MOST_FUNCTIONS, loop_wishes, suits_vectors

KERNELS = Path(__file__).resolve().parents[2] / "kernels_cpp"
FLOATS = ("float32", "float64")
# Other compilers fuse other products of the block kernels.
UNITS = 0 if platform.python_compiler().startswith("GCC") else 4

needs_fused = pytest.mark.skipif(not has_fused_multiply_add(), reason="functions stay with the block kernels here")


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """Nothing is translated behind a test's back."""
    with tracer.config.changed(jit="off"):
        yield


def run(name: str, arrays: tuple[np.ndarray, ...], native: bool) -> np.ndarray:
    case = Case(arrays[0].shape)
    case.store(case.step(name, arrays[0].dtype, *map(case.load, arrays)), arrays[0].dtype)
    program = _kernels.Program(case.program())
    if native:
        for _ in jit.translate(program, 0.0):
            pass
    assert ("native" in repr(program)) == native
    return program.run(case.arguments)[0]


def distance(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How many floats lie between; huge where a zero's sign or a NaN is missed."""
    kind = np.dtype(f"i{found.itemsize}")
    steps = np.abs(found.view(kind).astype(float) - expected.view(kind).astype(float))
    return np.where(np.isnan(found) & np.isnan(expected), 0.0, steps)


@needs_fused
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in (*UNARY, *BINARY) if has_function(name, np.dtype("f8"))])
def test_as_the_block_kernels(name: str, dtype: str) -> None:
    arrays = pairs(dtype) if name in BINARY else (sweep(dtype),)
    found, expected = run(name, arrays, native=True), run(name, arrays, native=False)
    missed = distance(found, expected)
    worst = int(np.argmax(missed))
    assert missed[worst] <= UNITS, ([array[worst] for array in arrays], found[worst], expected[worst])


@needs_fused
def test_what_has_native_code() -> None:
    functions = {name for name in (*UNARY, *BINARY) if has_function(name, np.dtype("f8"))}
    assert {"exp", "log", "log1p", "expm1", "tanh", "sigmoid", "softplus", "erf", "sin", "power"} <= functions
    assert not has_function("exp", np.dtype("c16"))


@pytest.mark.parametrize("table, vector", [(WIDE, "f64v"), (SHORT, "f32v")])
def test_the_coefficients_are_those_of_the_kernels(table: dict[str, tuple[float, ...]], vector: str) -> None:
    text = (KERNELS / "coefficients.hpp").read_text(encoding="utf-8")
    body = re.sub(r"//.*", "", text.partition(f"struct Table<{vector}> {{")[2].partition("\n};")[0])
    found = {
        name: tuple(float(number) for number in re.findall(r"[-+.\de]*\d(?=f?\b)", values))
        for name, values in re.findall(r"(\w+)(?:\[\])? = (\{[^}]*\}|[^,;]+)", body)
    }
    assert found == table


@needs_fused
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_chain_with_its_gradient(dtype: str) -> None:
    def chain(x, y):
        return np.sum(np.tanh(x) * np.exp(-y * y) + np.log1p(x * x) * np.sqrt(1.0 + y * y))

    functions = []
    for setting in ("off", "always"):
        with tracer.config.changed(jit=setting):
            functions.append(tracer.compile(tracer.value_and_grad(chain, argnums=(0, 1))))
            functions[-1].plan(*np.ones((2, 1001), dtype))
    generator = np.random.default_rng(0)
    for _ in range(2):
        x, y = (3.0 * generator.standard_normal((2, 1001))).astype(dtype)
        (expected, expected_gradients), (found, gradients) = (function(x, y) for function in functions)
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-13)
        for one, two in zip(gradients, expected_gradients, strict=True):
            assert distance(one, two).max() <= UNITS
    assert "native" in repr(functions[1].plan(x, y).executable.native)


def steps_of(kernels: str, *, serial: bool = True) -> list[Step]:
    f8 = np.dtype("f8")
    return [Step(name, f8, f8, (number if serial else 0,)) for number, name in enumerate(kernels.split())]


def test_loops_that_block_kernels_compute_faster_stay_with_them() -> None:
    lanes, steps = vector_bytes() // 8, steps_of("negative exp")
    assert (
        suits_vectors(steps, []) and suits_vectors(steps, [7, 2 * lanes]) and suits_vectors(steps, [1000 * lanes + 1])
    )
    assert not suits_vectors(steps, [lanes + 1])
    assert suits_vectors(steps_of("negative square"), [lanes + 1])
    assert not suits_vectors(steps_of("exp " * (MOST_FUNCTIONS + 1)), [])


def test_functions_with_branches_need_whole_vectors_of_their_own_type() -> None:
    lanes, f4, f8 = vector_bytes() // 8, np.dtype("f4"), np.dtype("f8")
    assert suits_vectors(steps_of("sin"), [4 * lanes]) and not suits_vectors(steps_of("sin"), [4 * lanes - 1])
    assert not suits_vectors([Step("cast", f8, f4, (0,)), Step("sin", f4, f4, (1,))], [])


@needs_fused
@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_angles_among_others(dtype: str) -> None:
    def function(x):
        return np.sin(x) * np.exp(np.cos(x)) + np.tan(0.5 * x)

    with tracer.config.changed(jit="always"):
        native = tracer.compile(function)
        native.plan(np.ones(1003, dtype))
    block = tracer.compile(function)
    x = np.random.default_rng(0).standard_normal(1003).astype(dtype)
    for places in (slice(0), slice(1), [5, 6, 700, 1002], slice(None)):
        x[places] *= 1e15
        assert distance(native(x), block(x)).max() <= UNITS
    assert "native" in repr(native.plan(x).executable.native)


def test_what_is_asked_for_loops() -> None:
    lanes = vector_bytes() // 8
    assert loop_wishes(steps_of("negative exp square"), [], 1) == []
    assert loop_wishes(steps_of("exp tanh log"), [], 1) == ['"llvm.loop.interleave.count", i32 4']
    assert loop_wishes(steps_of("exp tanh log", serial=False), [], 1) == []
    assert loop_wishes(steps_of("exp tanh log"), [4 * lanes], 1) == []
    assert "predicate" in loop_wishes(steps_of("exp"), [4 * lanes - 1], 1)[0]


@needs_fused
@pytest.mark.parametrize("count", [7, 8, 31, 48, 300])
@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_of_all_lengths(dtype: str, count: int) -> None:
    functions = []
    for setting in ("off", "always"):
        with tracer.config.changed(jit=setting):
            functions.append(tracer.compile(lambda x, scale: np.tanh(np.exp(x * scale)) + x))
            functions[-1].plan(np.ones((50, count), dtype), np.ones(count, dtype))
    x = np.random.default_rng(0).standard_normal((100, 2 * count)).astype(dtype)[::2, ::2]
    for scale in (x[0], x[3]):
        expected, found = (function(x, scale) for function in functions)
        assert distance(found, expected).max() <= UNITS
