"""Whole functions on a GPU: compared with the same on the CPU, with CuPy's stand-in for the GPU."""

import pickle
import re
import sys
import types
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from cuda.player import needs_compiler

import tracer
import tracer as theano
import tracer.tensor as T

pytestmark = needs_compiler
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(7, 5))
V = RANDOM.normal(size=5)
ROUNDS = 3  # the first launches one by one, the second captures, the third replays


def check(function, *args, rtol=1e-12):
    """A function gives on the GPU what its plain self gives, the first time and later."""
    on_gpu = tracer.compile(function, device="gpu")
    for _ in range(ROUNDS):
        found, expected = on_gpu(*args), function(*args)
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for one, other in pairs:
            assert isinstance(one, np.ndarray | np.generic)
            assert one.dtype == other.dtype and one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-13)


def check_compiled(function, *args):
    """The same for functions that run only in traces."""
    on_gpu, on_cpu = tracer.compile(function, device="gpu"), tracer.compile(function)
    for _ in range(ROUNDS):
        for one, other in zip(np.atleast_1d(on_gpu(*args)), np.atleast_1d(on_cpu(*args)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


class Interface:
    """An array of another library, which lends its memory."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


class Capsule:
    """An array of another library, which speaks DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **_):
        return self.array


@pytest.mark.parametrize("kind", [Interface, Capsule])
def test_arrays_of_other_libraries(gpu, kind):
    lent, start = kind(gpu.asarray(X)), tracer.shared(kind(gpu.asarray(V)))
    f = tracer.compile(lambda x: np.tanh(x) * 2 + start)
    for _ in range(ROUNDS):
        found = f(lent)
        assert isinstance(found, gpu.ndarray)
        np.testing.assert_allclose(found.get(), np.tanh(X) * 2 + V, rtol=1e-12)
    w = kind(gpu.asarray(V))
    for captured in (w, w.array):
        g = tracer.compile(lambda x: x @ captured)  # noqa: B023
        np.testing.assert_allclose(g(lent).get(), X @ V, rtol=1e-12)


def test_arrays_of_numpy_and_of_cupy(gpu):
    @tracer.compile
    def f(x, w):
        return np.tanh(x @ w), x.sum()

    w = RANDOM.normal(size=(5, 3))
    there = gpu.asarray(X), gpu.asarray(w)
    for _ in range(ROUNDS):
        found = f(*there)
        assert all(isinstance(item, gpu.ndarray) for item in found)
        np.testing.assert_allclose(found[0].get(), np.tanh(X @ w), rtol=1e-12)
    mixed = f(there[0], w)
    assert isinstance(mixed[0], gpu.ndarray)
    on_cpu = f(X, w)
    assert type(on_cpu[0]) is np.ndarray
    launched = len(gpu.launches)
    f(X, w)
    assert len(gpu.launches) == launched


def test_one_graph_replays_the_whole_call(gpu):
    @tracer.compile
    def f(x, w):
        y = np.tanh(x @ w)
        return (y @ w.T).sum(axis=1)

    x, w = gpu.asarray(RANDOM.normal(size=(70, 90))), gpu.asarray(RANDOM.normal(size=(90, 30)))
    f(x, w)
    first = [name.partition("_")[0] for name in gpu.launches]
    assert first.count("gemm") == 2 and "graph" not in first
    f(x, w)
    gpu.launches.clear()
    f(x, w)
    assert gpu.launches[0] == "graph" and [name.partition("_")[0] for name in gpu.launches[1:]] == first


def test_what_is_around_a_library_call_is_replayed_too(gpu):
    @tracer.compile
    def f(a, b):
        return np.linalg.solve(a @ a.T + 1, np.exp(b)).sum() * b

    a, b = RANDOM.normal(size=(40, 40)), RANDOM.normal(size=40)
    expected = np.linalg.solve(a @ a.T + 1, np.exp(b)).sum() * b
    there = gpu.asarray(a), gpu.asarray(b)
    for _ in range(ROUNDS):
        np.testing.assert_allclose(f(*there).get(), expected, rtol=1e-8)
    assert gpu.launches.count("graph") == 4


def test_without_graphs(gpu, monkeypatch, caplog):
    monkeypatch.setattr(gpu.Stream, "begin_capture", lambda self: 1 / 0)
    check(lambda x: np.tanh(x).sum(axis=0), X)
    assert "no CUDA graph of" in caplog.text
    assert "graph" not in gpu.launches


def test_too_little_memory_changes_nothing(gpu, monkeypatch):
    total = tracer.shared(np.zeros(5))
    big = tracer.compile(lambda x: np.outer(x.sum(axis=1), np.ones(20_000)) + 1.0, device="gpu")
    step = tracer.compile(lambda x: x, updates=[(total, total + 1)], device="gpu")
    big(X), step(V)
    empty = gpu.ndarray.__init__

    def refuse(self, shape, *args):
        if np.prod(shape) > 10_000:
            raise MemoryError("Out of memory allocating 1,120,000 bytes")
        empty(self, shape, *args)

    monkeypatch.setattr(gpu.ndarray, "__init__", refuse)
    with pytest.raises(MemoryError, match=r"no memory left for '<lambda>': Out of memory(.|\n)*HINT"):
        big(X)
    step(V)
    np.testing.assert_array_equal(total.get_value(), 2)


def test_streams_wait_for_each_other(gpu, monkeypatch):
    f = tracer.compile(lambda x: x * 2, device="gpu")
    f(V)
    waited = []
    monkeypatch.setattr(gpu.Stream, "synchronize", lambda self: waited.append(self.ptr))
    f(V)
    assert not waited
    monkeypatch.setattr(gpu.Stream, "ptr", 7)
    f.plan(V).executable.stream = types.SimpleNamespace(ptr=0, synchronize=lambda: waited.append(0))
    f(V)
    assert waited == [0]


def test_settings_choose_the_device(gpu):
    f = tracer.compile(lambda x: x * 2)
    with tracer.config.changed(device="gpu"):
        np.testing.assert_array_equal(f(V), V * 2)
    assert gpu.launches
    gpu.launches.clear()
    np.testing.assert_array_equal(f(V), V * 2)
    on_cpu = tracer.compile(lambda x: x * 2, device="cpu")
    assert type(on_cpu(gpu.asarray(V))) is np.ndarray
    assert not gpu.launches
    with pytest.raises(ValueError, match="device must be"):
        tracer.compile(lambda x: x, device="tpu")


def test_gradients(gpu):
    labels = np.arange(7) % 3

    def loss(w):
        scores = X @ w
        shifted = scores - scores.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -np.mean(logs[np.arange(7), labels])

    w = RANDOM.normal(size=(5, 3))
    found = tracer.compile(tracer.value_and_grad(loss), device="gpu")
    expected = tracer.value_and_grad(loss)(w)
    for _ in range(ROUNDS):
        for one, other in zip(found(w), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_calls_alike_are_recognised_and_others_are_not(gpu):
    factor = 2.0

    @tracer.compile
    def f(x, count, name="a"):
        return (x * factor).sum(axis=0) * count + (name == "b")

    there = gpu.asarray(X)
    for _ in range(ROUNDS):
        np.testing.assert_allclose(f(there, 3).get(), X.sum(axis=0) * 6, rtol=1e-12)
    np.testing.assert_allclose(f(there, 4).get(), X.sum(axis=0) * 8, rtol=1e-12)
    np.testing.assert_allclose(f(there, True).get(), X.sum(axis=0) * 2, rtol=1e-12)
    np.testing.assert_allclose(f(there, 3, "b").get(), X.sum(axis=0) * 6 + 1, rtol=1e-12)
    np.testing.assert_allclose(f(there, 3, name="b").get(), X.sum(axis=0) * 6 + 1, rtol=1e-12)
    np.testing.assert_allclose(f(there[::2], 3).get(), X[::2].sum(axis=0) * 6, rtol=1e-12)
    np.testing.assert_allclose(f(gpu.asarray(X.astype(np.float32)), 3).get(), X.sum(axis=0) * 6, rtol=1e-5)
    np.testing.assert_allclose(f(X, 3), X.sum(axis=0) * 6, rtol=1e-12)
    factor = 5.0
    np.testing.assert_allclose(f(there, 3).get(), X.sum(axis=0) * 15, rtol=1e-12)
    traces = f.cache_info().traces
    f.cache_clear()
    np.testing.assert_allclose(f(there, 3).get(), X.sum(axis=0) * 15, rtol=1e-12)
    assert f.cache_info().traces == traces + 1
    np.testing.assert_allclose(tracer.compile(lambda a: f(a, 3) + 1)(there).get(), X.sum(axis=0) * 15 + 1, rtol=1e-12)
    with tracer.config.changed(check_nan=True), pytest.raises(FloatingPointError):
        f(gpu.asarray(X * np.inf), 3)


def test_training_stays_on_the_gpu(gpu):
    y = X @ np.arange(5.0)

    def trained(device):
        weights = tracer.shared(np.zeros(5), name="weights")

        def cost(x, y):
            return np.mean((x @ weights - y) ** 2)

        step = tracer.compile(cost, updates=tracer.optim.adam(0.1), params=[weights], device=device)
        return [float(step(X, y)) for _ in range(5)], weights

    found, weights = trained("gpu")
    expected, others = trained("cpu")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert isinstance(weights.get_value(return_internal_type=True), gpu.ndarray)
    assert type(weights.get_value()) is np.ndarray
    np.testing.assert_allclose(weights.get_value(), others.get_value(), rtol=1e-12)
    assert type(pickle.loads(pickle.dumps(weights)).get_value(return_internal_type=True)) is np.ndarray
    on_cpu = tracer.compile(lambda x: x @ weights)
    np.testing.assert_allclose(on_cpu(X), X @ others.get_value(), rtol=1e-12)


def test_shared_values_on_the_gpu(gpu):
    there = gpu.asarray(V)
    own, lent = tracer.shared(there), tracer.shared(there, borrow=True)
    assert own.get_value(borrow=True, return_internal_type=True) is not there
    assert lent.get_value(borrow=True, return_internal_type=True) is there
    moved = tracer.shared(V, target="gpu")
    assert isinstance(moved.get_value(return_internal_type=True), gpu.ndarray)
    moved.set_value(gpu.asarray(V + 1))
    np.testing.assert_array_equal(moved.get_value(), V + 1)
    moved.set_value(V)
    np.testing.assert_array_equal(moved.get_value(), V)
    with pytest.raises(tracer.errors.UpdateError):
        moved.set_value(gpu.asarray(X))
    with pytest.raises(TypeError, match="there is no device 'tpu'"):
        tracer.shared(V, target="tpu")


def test_arguments_written_in_place(gpu):
    def f(a):
        a[1:] += a[:-1]
        a *= 2
        return a.sum()

    expected = X.copy()
    total = f(expected)
    here, there = X.copy(), gpu.asarray(X.copy())
    np.testing.assert_allclose(tracer.compile(f, device="gpu")(here), total)
    np.testing.assert_allclose(tracer.compile(f)(there).get(), total)
    np.testing.assert_allclose(here, expected)
    np.testing.assert_allclose(there.get(), expected)


def test_captured_arrays(gpu):
    table = gpu.asarray(V)
    f = tracer.compile(lambda x: x * table + table)
    np.testing.assert_allclose(f(gpu.asarray(X)).get(), X * V + V)
    np.testing.assert_allclose(f(X), X * V + V)
    table[...] = 2.0
    np.testing.assert_allclose(f(X), X * 2 + 2)
    other = tracer.compile(lambda x: table * x)
    np.testing.assert_allclose(other(gpu.asarray(X)).get(), X * 2)


def test_strided_and_unaligned_arrays(gpu):
    whole = RANDOM.normal(size=(9, 8))
    there = gpu.asarray(whole)
    f = tracer.compile(lambda a: a.sum(axis=0) + a[0])
    for part in (np.s_[::2, ::-1], np.s_[1:, 1:6:2], np.s_[:, 3:], np.s_[:, 3:], np.s_[:, 3:]):
        np.testing.assert_allclose(f(there[part]).get(), whole[part].sum(axis=0) + whole[part][0], rtol=1e-12)


def test_a_wrong_index_changes_nothing(gpu):
    counts = tracer.shared(np.arange(5.0))

    @tracer.compile(device="gpu")
    def f(places):
        counts.set(counts * 2)
        return counts[places]

    np.testing.assert_array_equal(f(np.array([1, -1])), [1, 4])
    with pytest.raises(IndexError, match="index 7 is out of bounds") as info:
        f(np.array([1, 7]))
    assert "test_functions.py" in "".join(info.value.__notes__)
    np.testing.assert_array_equal(counts.get_value(), np.arange(5.0) * 2)
    np.testing.assert_array_equal(f(np.array([1, -1])), [2, 8])


def test_loops_and_branches(gpu):
    check_compiled(lambda a: tracer.scan(lambda c, row: (c * 0.9 + row, c.sum()), np.zeros(5), a)[1], X)
    check_compiled(lambda a: tracer.grad(lambda b: tracer.scan(lambda c, r: (c * r, c), b, X)[0].sum())(a), V)
    check_compiled(
        lambda a: tracer.while_loop(lambda s: s[0].sum() < 100, lambda s: (s[0] * 1.5 + 1, s[1] + 1), (a, 0))[0],
        np.abs(V),
    )
    check_compiled(
        tracer.grad(lambda a: tracer.while_loop(lambda s: s.sum() < 100, lambda s: s * 1.5 + a, a).sum()), np.abs(V)
    )
    for sign in (1, -1):
        check_compiled(lambda a: tracer.cond(a.sum() > 0, lambda b: b * 2, lambda b: b - 1, a), sign * np.abs(V))


def test_the_kernels_of_a_function_are_compiled_together(gpu, monkeypatch):
    sources, compiled = [], sys.modules["cupy"].RawModule
    monkeypatch.setattr(sys.modules["cupy"], "RawModule", lambda code, options: sources.append(code) or compiled(code))

    def loops(a):
        grown = tracer.while_loop(lambda s: s.sum() < 1e5, lambda s: s * 1.5 + 1, a)
        summed = tracer.scan(lambda c, row: (np.sort(c) * 0.9 + row, c.sum()), np.zeros(3000), grown)[1]
        return tracer.cond(summed.sum() > 0, lambda b: np.sqrt(b), lambda b: b - 1, np.abs(summed) + np.abs(a).sum())

    check_compiled(loops, np.abs(RANDOM.normal(size=(4, 3000))))
    assert len(sources) == 1


def test_carries_that_are_changed_in_place(gpu):
    def normalised(step, h):
        return h / np.sqrt(np.sum(h * h, axis=1, keepdims=True)) + h.max(axis=1, keepdims=True) + h[::-1] * 0.1

    h = RANDOM.normal(size=(70, 90))
    check_compiled(lambda a: tracer.fori_loop(0, 4, normalised, a), h)
    check_compiled(lambda a: tracer.while_loop(lambda x: x.sum() < 9e4, lambda x: normalised(0, x), a), h)
    check_compiled(tracer.grad(lambda a: tracer.fori_loop(0, 4, normalised, a).sum()), h)
    single = h.astype(np.float32)[:, :7]
    on_gpu, on_cpu = (tracer.compile(lambda a: tracer.fori_loop(0, 4, normalised, a), device=d) for d in ("gpu", "cpu"))
    np.testing.assert_allclose(on_gpu(single), on_cpu(single), rtol=1e-5)


def test_functions_of_which_nothing_is_computed(gpu):
    f = tracer.compile(lambda x: (3, x), device="gpu")
    for _ in range(ROUNDS):
        found = f(V)
        assert found[0] == 3 and found[1] is V


def test_python_loops(gpu):
    def f(a):
        h = a
        for step in range(200):
            h = np.tanh(h * 0.5 + step * 0.001)
        return h

    check(f, V)


def test_libraries(gpu):
    square = X.T @ X + np.eye(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(lambda a, b: (np.linalg.solve(a, b), np.linalg.inv(a), np.linalg.cholesky(a)), square, V, rtol=1e-9)
        check(lambda a: (*np.linalg.slogdet(a), np.linalg.det(a)), square, rtol=1e-9)
        check(lambda a: (np.sort(a, axis=0), np.argsort(a[:, 0]), np.fft.fft(a[0])), X)
        check(lambda a: scipy.special.gammainc(a, 0.5), np.abs(V))
        check(lambda a: (np.cumsum(a, axis=1), np.argmax(a, axis=1), a[a > 0].sum()), X)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        tracer.compile(lambda a, b: np.linalg.solve(a, b), device="gpu")(np.zeros((40, 40)), np.ones(40))


def test_how_floats_are_added_is_chosen_at_each_call(gpu):
    @tracer.compile(device="gpu")
    def f(a, places):
        a[places] += 1.0
        np.add.at(a, places, np.pi)
        return a * 1

    def kernels(**options):
        gpu.launches.clear()
        with tracer.config.changed(**options):
            found = f(np.zeros(5), np.zeros(9000, int))
        assert_close = np.testing.assert_allclose
        assert_close(found, [1 + 9000 * np.pi, 0, 0, 0, 0], rtol=1e-9)
        return any(name.startswith("add_") for name in gpu.launches)

    assert [kernels(), kernels(gpu_scatter="atomic"), kernels()] == [False, True, False]


def test_what_cupy_lacks_runs_on_the_host(gpu):
    def f(a):
        return scipy.special.jv(1.5, a) * 2

    on_gpu = tracer.compile(f, device="gpu")
    with pytest.warns(tracer.errors.DeviceWarning, match=r"jv runs on the CPU(.|\n)*test_functions.py(.|\n)*HINT"):
        np.testing.assert_allclose(on_gpu(np.abs(V)), f(np.abs(V)), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_gpu(np.abs(V))
        with tracer.config.changed(gpu_fallback="silent"):
            tracer.compile(f, device="gpu")(np.abs(V))
    with (
        tracer.config.changed(gpu_fallback="raise"),
        pytest.raises(tracer.errors.DeviceError, match=r"jv has no form(.|\n)*HINT"),
    ):
        tracer.compile(f, device="gpu")(np.abs(V))


def test_random_numbers_are_the_same(gpu):
    here, there = np.random.default_rng(5), np.random.default_rng(5)
    f = tracer.compile(lambda random, a: random.normal(size=5) * a, device="gpu")
    for _ in range(ROUNDS):
        np.testing.assert_allclose(f(there, V), here.normal(size=5) * V, rtol=1e-12)


def test_symbolic_functions(gpu):
    x, y = T.dmatrix("x"), T.dvector("y")

    def made():
        weights = theano.shared(np.zeros(5), name="weights")
        cost = T.mean((T.dot(x, weights) - y) ** 2)
        return theano.function([x, y], cost, updates=[(weights, weights - 0.1 * T.grad(cost, weights))]), weights

    (f, mine), (g, others) = made(), made()
    target = X @ np.arange(5.0)
    with theano.config.changed(device="cuda"):
        found = [float(f(X, target)) for _ in range(4)]
        assert isinstance(mine.get_value(return_internal_type=True), gpu.ndarray)
    assert gpu.launches
    np.testing.assert_allclose(found, [float(g(X, target)) for _ in range(4)], rtol=1e-12)
    np.testing.assert_allclose(float(f(X, target)), float(g(X, target)), rtol=1e-12)
    np.testing.assert_allclose(mine.get_value(), others.get_value(), rtol=1e-12)


def test_branches_of_the_data(gpu):
    f = tracer.compile(lambda a: a * 2 if a.sum() > 0 else a - 1, branches="guard")
    for sign in (1, -1, 1, -1):
        values = sign * np.abs(V)
        np.testing.assert_allclose(f(gpu.asarray(values)).get(), values * 2 if sign > 0 else values - 1)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.complex64, np.complex128, bool, np.uint8])
def test_products_of_dtypes(gpu, dtype):
    for values in (X, np.tile(X, (1, 20))):
        check(lambda a: (a + a, a.T @ a, a @ a.T[:, :2]), (values * 3).astype(dtype), rtol=1e-5)


def test_batches_of_products(gpu):
    for k in (5, 80):
        a, b = RANDOM.normal(size=(2, 3, 4, k)), RANDOM.normal(size=(3, k, 6))
        check(lambda a, b: (a @ b, a[:, ::2, 1:, ::-1] @ b[0], np.einsum("bij,bkj->bik", a[0], a[1])), a, b)
        check(lambda a, b: (a @ b[0, :, 0], b[0, :, 0] @ b[0], np.outer(b[0, 0], b[1, 1])), a, b)
    check(lambda a: (a.sum(), a * 2, a @ np.ones((0, 3))), np.zeros((3, 0)))
    assert "gemm" in gpu.launches


def test_several_calls_as_one(gpu):
    weights, others = tracer.shared(np.zeros(5)), tracer.shared(np.zeros(5))
    y = X @ np.arange(5.0)
    rule = tracer.optim.sgd(0.1)
    step = tracer.compile(lambda x, y: np.mean((x @ weights - y) ** 2), updates=rule, device="gpu")
    other = tracer.compile(lambda x, y: np.mean((x @ others - y) ** 2), updates=rule)
    np.testing.assert_allclose(step.run(5, X, y), other.run(5, X, y), rtol=1e-12)
    np.testing.assert_allclose(weights.get_value(), others.get_value(), rtol=1e-12)


def test_the_readme(gpu, capsys):
    page = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "CPU" in capsys.readouterr().out


def test_doctor(gpu, capsys, monkeypatch):
    monkeypatch.setattr(import_module("tracer.doctor"), "_driver_version", lambda: (13, 0))
    tracer.doctor()
    lines = capsys.readouterr().out.splitlines()
    assert "  device 0: Stand-in, 16 GiB, compute capability 9.0" in lines
    assert lines[-1] == "    a kernel: works"


def test_no_gpu(monkeypatch):
    tracer.device.cupy.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(tracer.errors.DeviceError, match=r"CuPy(.|\n)*HINT: pip install cupy"):
        tracer.compile(lambda x: x + 1, device="gpu")(V)
    with pytest.raises(tracer.errors.DeviceError, match="CuPy"):
        tracer.shared(V, target="gpu")
