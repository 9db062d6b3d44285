"""On a GPU that is there: the op table, derivatives, training, draws, equal bits, memory that runs out.

Skipped where there is none. `compute-sanitizer --tool racecheck python -m pytest -m gpu` looks for races.
"""

import warnings

import numpy as np
import pytest
from ops.table import arrays_for, table

import tracer

pytestmark = pytest.mark.gpu
RANDOM = np.random.default_rng(8)
X, LABELS = RANDOM.normal(size=(64, 20)), RANDOM.integers(0, 3, size=64)
TOLERANCES = {np.float64: 1e-9, np.float32: 1e-3, np.complex128: 1e-9, np.int32: 1e-9}


def results(function, arrays, device):
    """What a compiled function gives, called as often as it takes to be replayed, as a list; or the error's type."""
    compiled = tracer.compile(function, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = [compiled(*arrays) for _ in range(3)][-1]
        except Exception as error:
            return type(error)
    return [np.asarray(item) for item in (found if isinstance(found, tuple | list) else [found])]


def differences(cases, tolerance):
    """The names of the functions that give something else on the GPU than on the CPU."""
    wrong = []
    for name, function, arrays in cases:
        expected, found = (results(function, arrays, device) for device in ("cpu", "gpu"))
        if isinstance(expected, type) or isinstance(found, type):
            wrong += [name] if expected is not found else []
            continue
        for one, other in zip(found, expected, strict=True):
            same = one.dtype == other.dtype and one.shape == other.shape
            scale = tolerance * max(1.0, float(np.max(np.abs(other), initial=0, where=np.isfinite(other))))
            if not same or not np.allclose(one, other, rtol=tolerance, atol=scale, equal_nan=True):
                wrong.append(name)
                break
    return wrong


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_op_table(dtype):
    cases = [(name, function, arrays_for(name, shapes, domain, dtype)) for name, function, shapes, domain in table()]
    with np.errstate(all="ignore"):
        assert not differences(cases, TOLERANCES[dtype])


def test_derivatives_of_the_op_table():
    def slope(function):
        def total(*arrays):
            found = function(*arrays)
            return sum(np.sum(item) for item in (found if isinstance(found, tuple | list) else [found]))

        return tracer.grad(total)

    cases = [
        (name, slope(function), arrays_for(name, shapes, domain, np.float64))
        for name, function, shapes, domain in table()
    ]
    with np.errstate(all="ignore"):
        assert not differences(cases, 1e-7)


@pytest.mark.parametrize("rule", [tracer.optim.sgd, tracer.optim.adam])
def test_training(rule):
    costs = {}
    for device in ("cpu", "gpu"):
        rng = np.random.default_rng(1)
        w = tracer.shared(rng.normal(size=(20, 16)) * 0.2)
        v = tracer.shared(rng.normal(size=(16, 3)) * 0.2)

        def cost(x, labels, w=w, v=v):
            scores = np.tanh(x @ w) @ v
            scores = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
            return -np.mean(scores[np.arange(len(labels)), labels])

        step = tracer.compile(cost, updates=rule(0.05), device=device)
        costs[device] = [float(step(X, LABELS)) for _ in range(20)]
    np.testing.assert_allclose(costs["gpu"], costs["cpu"], rtol=1e-8)
    assert costs["gpu"][-1] < costs["gpu"][0]


def test_draws_are_those_of_numpy():
    rng, reference = np.random.default_rng(4), np.random.default_rng(4)
    draw = tracer.compile(lambda: (rng.random(1000), rng.integers(0, 16, 7), rng.normal(size=5)), device="gpu")
    for _ in range(3):
        found = draw()
        expected = reference.random(1000), reference.integers(0, 16, 7), reference.normal(size=5)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_run_gives_the_same_bits():
    places = RANDOM.integers(0, 50, size=100_000)

    def f(x):
        table = np.zeros(50)
        np.add.at(table, places, x)
        return x.sum(), np.cumsum(x), table, np.exp(x - x.max()) / np.sum(np.exp(x - x.max()))

    compiled, x = tracer.compile(f, device="gpu"), RANDOM.normal(size=100_000)
    first = compiled(x)
    for _ in range(20):
        for one, other in zip(compiled(x), first, strict=True):
            np.testing.assert_array_equal(one, other)


def test_memory_that_runs_out_changes_nothing():
    import cupy

    w = tracer.shared(np.ones(1000), target="gpu")

    @tracer.compile(device="gpu")
    def grow(x):
        w.set(w + np.sum(x))
        return np.outer(x, x) @ np.outer(x, x)

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + 2**24)
    try:
        with pytest.raises(tracer.errors.DeviceError):
            grow(np.ones(20_000))
        np.testing.assert_array_equal(w.get_value(), np.ones(1000))
    finally:
        pool.set_limit(size=0)
    assert grow(np.ones(10)).shape == (10, 10)
    np.testing.assert_array_equal(w.get_value(), np.full(1000, 11.0))
