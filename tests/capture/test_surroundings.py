"""What rewritten functions read and change outside of themselves: guards, written arrays, errors, other threads."""

import ast
import dataclasses
import linecache
import math
import threading
import types

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer import errors
from tracer.tracing.capture import Surroundings

X, Y = np.array([0.3, 1.2, 2.5]), np.array([1.1, 0.2, 0.7])


def test_a_closed_over_array_is_written_as_by_numpy():
    def make():
        buffer = np.zeros(3)

        def step(x):
            buffer[0] += x[0]
            buffer[1:] = x[1:]
            return buffer.sum()

        return buffer, step

    (traced, function), (plain, same) = make(), make()
    compiled = tracer.compile(function)
    for x in (X, Y, X):
        np.testing.assert_allclose(compiled(x), same(x))
        np.testing.assert_allclose(traced, plain)
    traced[:] = plain[:] = 7
    np.testing.assert_allclose(compiled(Y), same(Y))
    assert compiled.cache_info().traces == 1


def test_what_is_read_of_an_array_before_it_is_written_is_what_it_holds_at_the_call():
    class State:
        def __init__(self):
            self.held = np.zeros(3)

        def step(self, x):
            before = 0.5 * self.held
            self.held[...] = before + x
            self.held += 1
            return self.held * 2

    traced, plain = State(), State()
    compiled = tracer.compile(lambda x: traced.step(x))
    for x in (X, Y, X):
        np.testing.assert_allclose(compiled(x), plain.step(x))
        np.testing.assert_allclose(traced.held, plain.held)
    assert compiled.cache_info().traces == 1


def test_real_numbers_written_into_a_closed_over_array_are_written_by_every_call():
    buffer = np.zeros(3)

    def function(x):
        buffer[:] = 1
        buffer[0] = x[0]
        return buffer

    compiled = tracer.compile(function)
    for x in (X, Y):
        buffer[:] = 7
        assert compiled(x) is buffer
        np.testing.assert_array_equal(buffer, [x[0], 1, 1])


def test_a_global_array_and_one_in_a_list(monkeypatch):
    buffers, module = [np.zeros(2), np.zeros(2)], types.ModuleType("made_here")
    module.total = np.zeros(2)

    def function(x):
        for place, buffer in enumerate(buffers):
            buffer += x[place]
        module.total += buffers[0]
        return module.total.sum()

    compiled = tracer.compile(function)
    assert compiled(X) == pytest.approx(2 * X[0])
    assert compiled(Y) == pytest.approx(2 * (2 * X[0] + Y[0]))
    np.testing.assert_allclose(buffers[1], X[1] + Y[1])


def test_numbers_computed_from_an_array_that_is_traced_too_are_followed():
    weights = np.ones(3)

    def function(x):
        out = 2 * weights
        out[0] = x[0]
        return out.sum() + x @ weights + weights[1] * x

    compiled = tracer.compile(function)
    np.testing.assert_allclose(compiled(X), function(X))
    weights[:] = [2, 3, 4]
    for x in (X, Y):
        np.testing.assert_allclose(compiled(x), function(x))


def test_a_failed_call_changes_no_array():
    buffer, scratch, seen = np.zeros(3), np.zeros(3), []

    def function(x):
        seen.append(1)
        scratch[:] = 5
        buffer[0] = x[0]
        return x if x[0] > 0 else buffer

    for _ in range(2):
        with pytest.raises(errors.ConcretizationError):
            tracer.compile(function)(X)
    np.testing.assert_array_equal(buffer, np.zeros(3))
    np.testing.assert_array_equal(scratch, np.zeros(3))
    assert np.array is not None and math.sin(0.0) == 0.0


def test_what_the_abandoned_run_changed_is_put_back():
    counts, log, total = {"calls": 0}, [], np.zeros(1)
    holder = types.SimpleNamespace(step=1)

    def function(x):
        counts["calls"] += 1
        log.append("called")
        holder.step += 1
        total[0] += 1
        out = np.zeros(3)
        out[0] = x[0] * total[0]
        return out

    compiled = tracer.compile(function)
    np.testing.assert_allclose(compiled(X), [X[0], 0, 0])
    assert counts["calls"] == len(log) == 1 and holder.step == 2 and total[0] == 1
    np.testing.assert_allclose(compiled(Y), [2 * Y[0], 0, 0])


def test_later_signatures_are_traced_once():
    calls = []

    def function(x):
        calls.append(len(x))
        out = np.zeros(len(x))
        out[0] = x[0]
        return out

    compiled = tracer.compile(function)
    for size in (2, 3, 4):
        compiled(np.ones(size))
    assert calls[-2:] == [3, 4] and len(calls) == 3


def test_errors_are_numpys_and_name_the_users_line():
    def outside(x):
        out = np.zeros(3)
        out[5] = x[0]
        return out

    with pytest.raises(IndexError) as caught:
        tracer.compile(outside)(X)
    frames = [entry for entry in caught.traceback if entry.path.name == "test_surroundings.py"]
    assert frames[-1].lineno == outside.__code__.co_firstlineno + 1

    def narrowed(x):
        out = np.zeros(3, int)
        out += x
        return out

    with pytest.raises(TypeError, match="same_kind"):
        tracer.compile(narrowed)(X)

    def too_long(x):
        out = np.zeros(2)
        out[:] = x
        return out

    with pytest.raises(ValueError, match="broadcast"):
        tracer.compile(too_long)(X)
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        tracer.compile(lambda x: frozen.fill(x[0]))(X)
    with pytest.raises(ValueError, match="inhomogeneous"):
        tracer.compile(lambda x: np.array([x, x[0]]))(X)


def test_arrays_that_overlap_in_memory_are_refused():
    base = np.zeros(6)
    shifted = np.lib.stride_tricks.as_strided(base, (4, 3), (8, 8))

    def function(x):
        shifted[0] = x
        return base

    with pytest.raises(errors.TraceError, match=r"(?s)real array.*HINT"):
        tracer.compile(function)(X)


def test_overlapping_views_are_read_as_they_are_now():
    def function(x):
        base = np.zeros(5)
        windows = np.lib.stride_tricks.sliding_window_view(base, 3)
        base[1:4] = x
        return windows.sum(axis=1), windows[1] * 2

    for x in (X, Y):
        for one, other in zip(tracer.compile(function)(x), function(x), strict=True):
            np.testing.assert_allclose(one, other)


def test_no_source_keeps_the_error_and_its_hint():
    space = {"np": np}
    exec("def function(x):\n    out = np.zeros(3)\n    out[0] = x[0]\n    return out", space)
    with pytest.raises(errors.TraceError, match=r"(?s)real array.*HINT.*np\.stack"):
        tracer.compile(space["function"])(X)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_cells_of_notebooks_have_a_source(one_by_one):
    cell = "import math\nimport numpy as np\n" + (
        "def function(x):\n    out = np.zeros(2)\n    out[1] = math.sin(x[0])\n    return out"
    )
    name, space = f"<cell {one_by_one}>", {"__name__": "__main__"}
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    statements = ast.parse(cell).body
    for part in [[statement] for statement in statements] if one_by_one else [statements]:
        exec(compile(ast.Module(part, []), name, "exec"), space)
    compiled = tracer.compile(space["function"])
    for x in (X, Y):
        np.testing.assert_allclose(compiled(x), space["function"](x))


def test_a_changed_file_is_not_rewritten(tmp_path):
    path = tmp_path / "changing.py"
    path.write_text("import numpy as np\ndef function(x):\n    out = np.zeros(3)\n    out[0] = x[0]\n    return out\n")
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    path.write_text(
        "import numpy as np\ndef function(x):\n    out = np.ones(3)\n    out[1] = x[0]\n    return out * 2\n"
    )
    linecache.checkcache(str(path))
    with pytest.raises(errors.TraceError, match="real array"):
        tracer.compile(space["function"])(X)
    path.write_text("import numpy as np\ndef function(x):\n    out = np.zeros(3)\n    out[0] = x[0]\n    return out\n")
    linecache.checkcache(str(path))
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    np.testing.assert_array_equal(tracer.compile(space["function"])(X), [X[0], 0, 0])


def test_an_array_left_behind_with_traced_values_in_it_is_never_numbers():
    holder = types.SimpleNamespace()

    def function(x):
        holder.buffer = np.zeros(3)
        holder.buffer[0] = x[0]
        return holder.buffer.sum()

    assert tracer.compile(function)(X) == X[0]
    with pytest.raises(errors.LeakedValueError):
        holder.buffer + 1


def test_threads_that_do_not_trace_notice_nothing():
    stop, wrong = threading.Event(), []

    def helper(x):
        out = np.zeros(3)
        for k in range(3):
            out[k] = math.exp(x[k])
        return out

    def watch():
        while not stop.is_set():
            made = helper(Y)
            if type(made) is not np.ndarray or type(np.array([1.0])) is not np.ndarray or float(made[0]) < 0:
                wrong.append(made)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:

        def trace(number):
            for factor in range(5):
                compiled = tracer.compile(lambda x, factor=factor: helper(x) * (number + factor))
                np.testing.assert_allclose(compiled(X), helper(X) * (number + factor))

        on_threads(trace, 3)
    finally:
        stop.set()
        watcher.join()
    assert not wrong


def test_within_every_transform():
    def cost(x):
        out = np.zeros((3, 3))
        for i in range(3):
            for j in range(3):
                out[i, j] = math.sin(x[i] * x[j]) + x[i]
        return np.sum(out**2)

    def check(found, expected):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    def slope(function, x):
        return np.array([(function(x + step) - function(x - step)) / 2e-5 for step in 1e-5 * np.eye(3)])

    gradient = tracer.grad(cost)
    check(gradient(X), slope(cost, X))
    check(tracer.hessian(cost)(X), slope(gradient, X))
    check(tracer.jvp(cost, (X,), (Y,))[1], slope(cost, X) @ Y)
    check(tracer.vmap(cost)(np.stack([X, Y])), [cost(X), cost(Y)])
    check(tracer.vmap(tracer.grad(cost))(np.stack([X, Y])), [gradient(X), gradient(Y)])
    check(tracer.jacrev(lambda x: np.array([x[0], x[1] ** 2]))(X), [[1, 0, 0], [0, 2 * X[1], 0]])

    @tracer.compile
    def inside(x):
        return tracer.grad(cost)(x), tracer.vmap(lambda row: np.array([row, math.exp(row)]))(x)

    for x in (X, Y):
        one, other = inside(x)
        check(one, gradient(x))
        check(other, np.stack([x, np.exp(x)], axis=1))


def test_updates_of_shared_variables():
    w = tracer.shared(np.ones(3))

    @tracer.compile(updates=tracer.optim.sgd(0.1))
    def cost(x):
        out = np.zeros(3)
        for i in range(3):
            out[i] = w[i] * x[i]
        return np.sum(out**2)

    assert cost(X) > cost(X) > cost(X)
    np.testing.assert_allclose(w.get_value(), (1 - 0.2 * X**2) ** 3)


def test_a_compiled_function_in_another():
    @tracer.compile
    def inner(x):
        out = np.zeros(2)
        out[0] = x[0]
        return out

    outer = tracer.compile(lambda x: inner(x) * 2)
    np.testing.assert_array_equal(outer(X), [2 * X[0], 0])
    np.testing.assert_array_equal(inner(Y), [Y[0], 0])


def test_numbers_in_a_guarded_function_are_computed_with():
    @tracer.compile(branches="guard")
    def function(x):
        out = np.zeros(2)
        out[0] = math.sin(x[0])
        return out if x[1] > 0 else -out

    for x in (X, Y, 2 * X):
        np.testing.assert_allclose(function(x), [math.sin(x[0]), 0])
    assert function.cache_info().traces == 1


@dataclasses.dataclass(frozen=True)
class Settings:
    rate: float


FACTOR = 3.0


class Loose(Settings):
    def __setattr__(self, name, value):
        object.__setattr__(self, name, value * FACTOR)


def test_of_a_frozen_dataclass_only_what_its_users_wrote_counts(monkeypatch):
    fixed, loose = Settings(2.0), Loose(1.0)
    surroundings = Surroundings(lambda x: x * fixed.rate)
    assert "rate" in surroundings.names and "type" not in surroundings.names  # its own methods ask for types

    def scaled(x):
        loose.rate = 2.0
        return x * loose.rate

    compiled = tracer.compile(scaled)
    for factor in (3.0, 4.0):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        np.testing.assert_array_equal(compiled(X * factor), X * factor * 2 * factor)
    assert any(guard.name == "FACTOR" for guard in Surroundings(scaled).guards)
