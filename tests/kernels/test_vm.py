"""The blocked vector machine against NumPy: hand-made and random fused loops."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from tracer import _kernels
from tracer.lower.program import Buffer, Call, Loop, Program, Reduce, Step, Store, View
from tracer.types import contiguous_strides

DTYPES = [np.dtype(code) for code in "?bhilBHILfdFD"]
BOOL, I64, F32, F64 = np.dtype(bool), np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.float64)
REDUCTIONS = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "any": np.logical_or,
    "all": np.logical_and,
}


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Every test runs on one thread and on two."""
    before = _kernels.get_threads()
    _kernels.set_threads(request.param)
    yield request.param
    _kernels.set_threads(before)


def element_strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


@dataclass
class Case:
    """A program of one loop under construction, with its arguments."""

    shape: tuple[int, ...]
    buffers: list[Buffer] = field(default_factory=list)
    arguments: list[np.ndarray] = field(default_factory=list)
    loads: list[View] = field(default_factory=list)
    immediates: list[np.generic] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    reduces: list[Reduce] = field(default_factory=list)
    outputs: int = 0

    def load(self, array: np.ndarray, base: np.ndarray | None = None) -> int:
        """Load a broadcastable array, or a view of the argument `base`."""
        base = array if base is None else base
        offset = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // array.itemsize
        strides = element_strides(np.broadcast_to(array, self.shape))
        self.buffers.append(Buffer("argument", base.dtype, base.shape, element_strides(base), len(self.arguments)))
        self.arguments.append(base)
        self.loads.append(View(len(self.buffers) - 1, offset if array.size else 0, strides))
        return len(self.loads) - 1

    def immediate(self, value: np.generic) -> int:
        self.immediates.append(value)
        return len(self.loads) + len(self.immediates) - 1

    def step(self, kernel: str, dtype: np.dtype, *inputs: int, out: np.dtype | None = None) -> int:
        self.steps.append(Step(kernel, dtype, out or dtype, inputs))
        return len(self.loads) + len(self.immediates) + len(self.steps) - 1

    def output(self, shape: tuple[int, ...], dtype: np.dtype) -> int:
        self.buffers.append(Buffer("output", dtype, shape, contiguous_strides(shape), self.outputs))
        self.outputs += 1
        return len(self.buffers) - 1

    def store(self, register: int, dtype: np.dtype) -> None:
        view = View(self.output(self.shape, dtype), 0, contiguous_strides(self.shape))
        self.stores.append(Store(register, view))

    def reduce(self, kind: str, register: int, dtype: np.dtype, axes: tuple[int, ...]) -> None:
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(self.shape))
        strides = tuple(0 if axis in axes else stride for axis, stride in enumerate(contiguous_strides(kept)))
        self.reduces.append(Reduce(kind, register, View(self.output(kept, dtype), 0, strides)))

    def loop(self) -> Loop:
        parts = (self.loads, self.immediates, self.steps, self.stores, self.reduces)
        return Loop(self.shape, *map(tuple, parts), "user.py:1")

    def program(self) -> Program:
        program = Program(tuple(self.buffers), (), (self.loop(),), 0, self.outputs)
        program.verify()
        return program

    def run(self) -> list[np.ndarray]:
        return _kernels.Program(self.program()).run(self.arguments)


def window(base: np.ndarray, view: View, shape: tuple[int, ...]) -> np.ndarray:
    """The view as an array over the memory of `base`."""
    if 0 in shape:
        return np.empty(shape, base.dtype)
    start = base.__array_interface__["data"][0] + view.offset * base.itemsize
    reach = [(n - 1) * stride for n, stride in zip(base.shape, base.strides, strict=True)]
    low = base.__array_interface__["data"][0] + sum(min(0, way) for way in reach)
    span = sum(map(abs, reach)) + base.itemsize
    memory = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_byte * span).from_address(low))
    strides = [stride * base.itemsize for stride in view.strides]
    return as_strided(memory[start - low :][: base.itemsize].view(base.dtype), shape, strides)


def interpret(loop: Loop, memories: list[np.ndarray]) -> None:
    """Run the loop with NumPy on the arrays that its buffers stand for."""
    registers: list[Any] = [window(memories[view.buffer], view, loop.shape).copy() for view in loop.loads]
    registers += [np.full(loop.shape, value) for value in loop.immediates]
    with np.errstate(all="ignore"):
        for step in loop.steps:
            inputs = [registers[number] for number in step.inputs]
            function = {"where": np.where}.get(step.kernel) or getattr(np, step.kernel, None)
            registers.append(inputs[0].astype(step.out) if step.kernel == "cast" else function(*inputs))
        for store in loop.stores:
            window(memories[store.view.buffer], store.view, loop.shape)[...] = registers[store.register]
        for reduce in loop.reduces:
            axes = tuple(axis for axis, stride in enumerate(reduce.view.strides) if stride == 0)
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(loop.shape))
            value = registers[reduce.register]
            wide = value.astype({"f": "d", "F": "D"}.get(value.dtype.char, value.dtype.char))
            result = REDUCTIONS[reduce.kind].reduce(wide, axis=axes, keepdims=True, dtype=wide.dtype)
            window(memories[reduce.view.buffer], reduce.view, kept)[...] = result


def check(case: Case) -> None:
    """Compare a run of the case with NumPy, arguments that are written to included."""
    program = case.program()
    memories: list[np.ndarray] = []
    for buffer in case.buffers:
        if buffer.kind == "argument":
            base = case.arguments[buffer.index]
            memories.append(copy_with_strides(base))
        else:
            memories.append(np.zeros(buffer.shape, buffer.dtype))
    interpret(case.loop(), memories)
    results = _kernels.Program(program).run(case.arguments)
    for buffer, expected in zip(case.buffers, memories, strict=True):
        found = case.arguments[buffer.index] if buffer.kind == "argument" else results[buffer.index]
        exact = not case.reduces or buffer.dtype.kind not in "fc"
        if exact:
            np.testing.assert_array_equal(found, expected)
        else:
            tolerance = 1e-5 if buffer.dtype.char in "fF" else 1e-12
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def copy_with_strides(array: np.ndarray) -> np.ndarray:
    """A copy with the same strides, so that a view means the same elements."""
    if array.size == 0:
        return array.copy()
    root = array if array.base is None else array.base
    copied = root.copy()
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return np.ndarray(array.shape, array.dtype, copied, offset, array.strides)


def values(generator: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    small = generator.integers(-4, 5, shape)
    if dtype.kind in "biu":
        return np.asarray(small).astype(dtype)
    normal = generator.standard_normal(shape) + (1j * small if dtype.kind == "c" else 0)
    return np.asarray(normal).astype(dtype)


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], dtype: np.dtype, writes: bool) -> tuple[np.ndarray, np.ndarray]:
    """An array over `shape` and the C-contiguous array that it is a permuted, stepped, flipped, repeated view of."""
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    if draw(st.booleans()):
        array = values(generator, dtype, shape)
        return array, array
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in shape]
    repeated = [not writes and draw(st.integers(0, 3)) == 0 for _ in shape]
    sizes = [1 if repeated[axis] else shape[axis] * abs(steps[axis]) for axis in order]
    base = values(generator, dtype, tuple(sizes))
    view = base.transpose(np.argsort(order))
    slices = (slice(None, None, 1 if again else step) for again, step in zip(repeated, steps, strict=True))
    view = view[(*slices, ...)]
    return (np.empty(shape, dtype),) * 2 if 0 in shape else (np.broadcast_to(view, shape), base)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    kind = draw(st.sampled_from(["small", "long", "rows", "zero", "big"]))
    if kind == "long":
        return (draw(st.integers(200, 5000)),)
    if kind == "rows":
        return (draw(st.integers(1, 800)), draw(st.integers(1, 70)))
    if kind == "big":
        return (draw(st.integers(2, 4)), draw(st.integers(60, 130)), draw(st.integers(60, 130)))
    return tuple(draw(st.lists(st.integers(0 if kind == "zero" else 1, 7), max_size=5)))


BINARY = {"b": ["logical_and", "logical_or"], "i": ["add", "multiply", "maximum"], "u": ["subtract", "minimum", "add"],
          "f": ["add", "subtract", "multiply", "maximum"], "c": ["add", "subtract"]}  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A loop of random loads, steps, stores and reductions of one main dtype, with comparisons and casts in it."""
    case = Case(draw(shapes()))
    dtype = draw(st.sampled_from(DTYPES))
    for _ in range(draw(st.integers(1, 3))):
        array, base = draw(layouts(case.shape, dtype, False))
        if draw(st.booleans()):
            case.load(array, base)
        else:
            case.load(array)
    mutable = draw(st.booleans())
    if mutable:
        array, base = draw(layouts(case.shape, dtype, True))
        mutable_load = case.load(array, base)
    registers = list(range(len(case.loads)))
    registers.append(case.immediate(values(np.random.default_rng(1), dtype, ())[()]))
    made: list[int] = []
    for _ in range(draw(st.integers(0, 6))):
        pick = st.sampled_from(registers)
        if draw(st.integers(0, 4)) == 0:
            condition = case.step("less", dtype, draw(pick), draw(pick), out=BOOL) if dtype.kind != "c" else None
            if condition is None:
                continue
            made.append(case.step("where", dtype, condition, draw(pick), draw(pick)))
        else:
            made.append(case.step(draw(st.sampled_from(BINARY[dtype.kind])), dtype, draw(pick), draw(pick)))
        registers.append(made[-1])
    for _ in range(draw(st.integers(0, 2))):
        case.store(draw(st.sampled_from(registers)), dtype)
    if mutable:
        case.stores.append(Store(draw(st.sampled_from(registers)), case.loads[mutable_load]))
    kinds = {"b": ["any", "all", "max"], "c": ["sum"]}.get(dtype.kind, ["sum", "max", "min"])
    for _ in range(draw(st.integers(0, 2))):
        axes = draw(st.sets(st.sampled_from(range(len(case.shape))))) if case.shape else set()
        axes |= {axis for axis, size in enumerate(case.shape) if size == 0}
        chosen = [kind for kind in kinds if 0 not in case.shape or kind in ("sum", "any", "all")]
        case.reduce(draw(st.sampled_from(chosen)), draw(st.sampled_from(registers)), dtype, tuple(sorted(axes)))
    return case


@settings(max_examples=400)
@given(cases())
def test_random_loops(case: Case) -> None:
    check(case)


def polynomial(x: np.ndarray, y: np.ndarray, z: np.ndarray, shape: tuple[int, ...]) -> Case:
    """Multiply x by y and add z."""
    case = Case(shape)
    a, b, c = case.load(x), case.load(y), case.load(z)
    case.store(case.step("add", x.dtype, case.step("multiply", x.dtype, a, b), c), x.dtype)
    return case


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize(
    "shape", [(), (1,), (10,), (3, 5), (1000, 3), (7, 1030), (50, 70, 3), (0,), (3, 0, 2)], ids=str
)
def test_chain_with_broadcast(shape: tuple[int, ...], dtype: np.dtype) -> None:
    generator = np.random.default_rng(0)
    x, y = values(generator, dtype, shape), values(generator, dtype, shape)
    z = values(generator, dtype, shape[-1:])
    (result,) = polynomial(x, y, z, shape).run()
    assert result.dtype == dtype and result.shape == shape
    tolerance = 8 * np.finfo(dtype).eps if dtype.kind == "c" else 0  # NumPy may fuse the products of complex numbers
    np.testing.assert_allclose(result, x * y + z, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [F32, F64, np.dtype("F"), np.dtype("D")], ids=str)
@pytest.mark.parametrize(
    "shape", [(100_003,), (30_000, 10), (10, 30_000), (1000, 301), (90_000, 1), (50, 60, 70)], ids=str
)
def test_sums_are_as_accurate_as_pairwise(shape: tuple[int, ...], dtype: np.dtype) -> None:
    x = (np.random.default_rng(3).random(shape) + 0.1).astype(dtype)
    case = Case(shape)
    register = case.load(x)
    chosen = [tuple(range(len(shape))), *((axis,) for axis in range(len(shape)))]
    for axes in chosen:
        case.reduce("sum", register, dtype, axes)
    for axes, found in zip(chosen, case.run(), strict=True):
        exact = np.sum(x, axis=axes, keepdims=True, dtype=np.clongdouble if dtype.kind == "c" else np.longdouble)
        numpy_error = np.max(np.abs(np.sum(x, axis=axes, keepdims=True) - exact))
        error = np.max(np.abs(found - exact))
        assert error <= max(numpy_error, 2 * np.finfo(dtype).eps * np.max(np.abs(exact)))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=str)
def test_full_float64_sum_is_nearly_exact(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(5).standard_normal((3000, 1100))
    case = Case(x.shape)
    case.reduce("sum", case.load(x), F64, axes)
    exact = math.fsum(x.ravel()) if len(axes) == 2 else np.sum(x, axis=axes, dtype=np.longdouble, keepdims=True)
    scale = np.sum(np.abs(x), axis=axes, keepdims=True)
    assert np.all(np.abs(case.run()[0] - exact) <= 2e-15 * scale)


@pytest.mark.parametrize("kind", ["sum", "max", "min", "prod"])
@pytest.mark.parametrize("shape", [(5,), (3000,), (40, 3), (3, 4000)], ids=str)
def test_special_values_in_reductions(kind: str, shape: tuple[int, ...]) -> None:
    for special in (np.nan, np.inf, -np.inf, -0.0):
        x = np.full(shape, 1.5)
        x[..., -1] = special
        for axes in ((0,), tuple(range(len(shape)))):
            case = Case(shape)
            case.reduce(kind, case.load(x), F64, axes)
            with np.errstate(all="ignore"):
                expected = REDUCTIONS[kind].reduce(x, axis=axes, keepdims=True)
            np.testing.assert_array_equal(case.run()[0], expected)


def test_sum_of_negative_zeros_is_zero_as_in_numpy() -> None:
    x = np.full(20, -0.0)
    case = Case(x.shape)
    case.reduce("sum", case.load(x), F64, (0,))
    assert not np.signbit(case.run()[0][0])


@pytest.mark.parametrize(("kind", "identity"), [("sum", 0), ("prod", 1), ("any", False), ("all", True)])
def test_reductions_of_nothing_give_the_identity(kind: str, identity: object) -> None:
    dtype = BOOL if kind in ("any", "all") else F64
    case = Case((3, 0, 2))
    case.reduce(kind, case.load(np.empty((3, 0, 2), dtype)), dtype, (1,))
    case.reduce(kind, 0, dtype, (0, 1, 2))
    rows, total = case.run()
    np.testing.assert_array_equal(rows, np.full((3, 1, 2), identity))
    np.testing.assert_array_equal(total, np.full((1, 1, 1), identity))


def test_value_and_gradients_in_one_pass() -> None:
    x, w, b = (values(np.random.default_rng(i), F64, shape) for i, shape in enumerate([(700, 20), (20,), (700, 1)]))
    case = Case((700, 20))
    xr, wr, br = case.load(x), case.load(w), case.load(b)
    product = case.step("multiply", F64, xr, wr)
    total = case.step("add", F64, product, br)
    case.store(total, F64)
    case.reduce("sum", product, F64, (1,))
    case.reduce("sum", total, F64, (0,))
    case.reduce("max", total, F64, (0, 1))
    check(case)


def test_in_place_swap_and_self_update() -> None:
    x, y = np.arange(5000.0), -np.arange(5000.0)
    case = Case((5000,))
    a, b = case.load(x), case.load(y)
    case.stores += [Store(b, case.loads[a]), Store(a, case.loads[b])]
    check(case)
    assert x[3] == -3 and y[3] == 3
    case = Case((5000,))
    a, b = case.load(x), case.load(y)
    double = case.step("add", F64, a, a)
    total = case.step("add", F64, double, b)
    late = case.step("multiply", F64, a, total)
    case.stores += [Store(double, case.loads[a]), Store(late, case.loads[b])]
    check(case)


def test_delayed_store_keeps_its_value() -> None:
    """A value waits to be stored until the memory has been read, while its last reader wants to reuse its block."""
    x = np.arange(2000.0)
    case = Case((2000,))
    a = case.load(x)
    early = case.step("negative", F64, a)
    late = case.step("add", F64, early, a)
    case.stores.append(Store(early, case.loads[a]))
    case.store(case.step("square", F64, late), F64)
    check(case)


def test_constants_and_temporaries() -> None:
    constant = np.arange(6.0).reshape(2, 3).T
    buffers = (
        Buffer("constant", F64, (3, 2), (1, 3), 0),
        Buffer("temporary", F64, (3, 2), (2, 1), 0, 64),
        Buffer("output", F64, (3, 2), (2, 1), 0),
    )
    view = View(0, 0, (1, 3)), View(1, 0, (2, 1)), View(2, 0, (2, 1))
    first = Loop((3, 2), view[:1], (), (Step("negative", F64, F64, (0,)),), (Store(1, view[1]),), ())
    second = Loop((3, 2), view[1:2], (np.float64(2),), (Step("multiply", F64, F64, (0, 1)),), (Store(2, view[2]),), ())
    program = Program(buffers, (constant,), (first, second), 128, 1)
    program.verify()
    native = _kernels.Program(program)
    del program, constant
    for _ in range(3):
        np.testing.assert_array_equal(native.run([])[0], -2 * np.arange(6.0).reshape(2, 3).T)


def call_program(function: Any) -> _kernels.Program:
    """Apply the function to three numbers, as the second instruction."""
    buffers = (
        Buffer("argument", F64, (3,), (1,), 0),
        Buffer("temporary", F64, (3,), (1,), 0, 0),
        Buffer("output", F64, (3,), (1,), 0),
    )
    views = [View(number, 0, (1,)) for number in range(3)]
    copy = Loop((3,), (views[0],), (), (), (Store(0, views[1]),), (), "user.py:1")
    call = Call(function, ((views[1], (3,)),), ((views[2], (3,)),), "user.py:2")
    program = Program(buffers, (), (copy, call), 64, 1)
    program.verify()
    return _kernels.Program(program)


def test_call_of_a_python_function() -> None:
    seen = []

    def function(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        assert not x.flags.writeable
        return x[::-1] + 1

    program = call_program(function)
    np.testing.assert_array_equal(program.run([np.arange(3.0)])[0], [3, 2, 1])
    del program
    assert seen[0].shape == (3,) and np.isfinite(seen[0]).all()


def test_errors_of_a_python_function_pass_unchanged() -> None:
    def function(x: np.ndarray) -> np.ndarray:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        call_program(function).run([np.arange(3.0)])
    assert caught.value.tracer_instruction == 1
    assert caught.value.tracer_line == "user.py:2"


@pytest.mark.parametrize("result", [np.zeros(4), np.zeros(3, np.float32), (np.zeros(3), np.zeros(3))])
def test_wrong_results_of_a_python_function(result: Any) -> None:
    with pytest.raises(ValueError, match="function"):
        call_program(lambda x: result).run([np.arange(3.0)])


def test_arguments_are_checked() -> None:
    program = _kernels.Program(polynomial(np.ones(4), np.ones(4), np.ones(4), (4,)).program())
    good = np.ones(4)
    for bad in (np.ones(5), np.ones(4, np.float32), np.ones(8)[::2], np.ones((4, 1)), [1.0, 2.0, 3.0, 4.0]):
        with pytest.raises(ValueError, match="argument 1"):
            program.run([good, bad, good])
    with pytest.raises(ValueError, match="3 arguments"):
        program.run([good, good])
    unaligned = np.frombuffer(bytearray(40), np.float64, 4, 1)
    with pytest.raises(ValueError, match="aligned"):
        program.run([good, unaligned, good])
    case = Case((4,))
    load = case.load(good)
    case.stores.append(Store(case.step("negative", F64, load), case.loads[load]))
    frozen = np.ones(4)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        _kernels.Program(case.program()).run([frozen])


def test_several_python_threads_run_one_program() -> None:
    x = np.random.default_rng(0).standard_normal((400, 300))
    case = Case(x.shape)
    register = case.step("tanh", F64, case.load(x))
    case.store(register, F64)
    case.reduce("sum", register, F64, (0, 1))
    program = _kernels.Program(case.program())
    first = program.run([x])
    failures: list[str] = []

    def work() -> None:
        for _ in range(20):
            again = program.run([x])
            if not all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
                failures.append("different")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_its_own_threads() -> None:
    x = np.random.default_rng(0).standard_normal(300_000)
    program = _kernels.Program(polynomial(x, x, x, x.shape).program())
    expected = program.run([x, x, x])[0]
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(program.run([x, x, x])[0], expected) for _ in range(3))
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_description_and_counts() -> None:
    program = _kernels.Program(polynomial(np.ones(4), np.ones(4), np.ones(4), (4,)).program())
    assert (program.num_arguments, program.num_outputs) == (3, 1)
    assert program.cost > 0
    assert "loop of 2 steps" in repr(program)
