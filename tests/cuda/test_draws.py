"""Draws of NumPy's generators on a GPU: the numbers and states are those of NumPy, and nothing waits for the GPU."""

import numpy as np
import pytest
from cuda.player import needs_compiler

import tracer
from tracer.ops.generators import state_of

pytestmark = needs_compiler
LOW = np.arange(5.0)
KINDS = [np.random.PCG64, np.random.Philox, np.random.MT19937, np.random.SFC64]
ON_GPU = KINDS[:2]


def pair(bits):
    return [np.random.Generator(bits(5)) for _ in range(2)]


def check(function, bits, rounds=4):
    """Calls in turn draw what NumPy does, and leave the state that NumPy leaves, from wherever they start."""
    here, there = pair(bits)
    on_gpu = tracer.compile(function, device="gpu")
    for _ in range(rounds):
        for one, other in zip(on_gpu(there, LOW), function(here, LOW), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(state_of(there), state_of(here))
        for generator in (here, there):  # so that half a word waits, or another place in a block is next
            generator.integers(7, size=3, dtype=np.uint32)
            generator.random()


def many(rng, low):
    return (
        rng.random(), rng.random((3, 5)), rng.random(7, dtype=np.float32), rng.random(dtype=np.float32),
        rng.uniform(-1, 2.5, (3, 5)), rng.uniform(low, low + 0.1 * np.arange(1, 4)[:, None]), rng.uniform(low[0], 7.0),
        rng.integers(8, size=9), rng.integers(-3, 5, (2, 3)), rng.integers(5, 6, size=3), rng.integers(0, 2**32, 5),
        rng.integers(-(2**63), 2**63 - 1, 4, endpoint=True), rng.integers(0, 2**40, 7), rng.random((0, 3)),
        rng.random(1000), rng.random(1001, dtype=np.float32),
    )  # fmt: skip


def drawing(kind):
    """The program of all of them."""
    rng = np.random.Generator(getattr(np.random, kind)(1))
    return tracer.compile(lambda low: many(rng, low)).plan(LOW).executable.program


@pytest.mark.parametrize("bits", KINDS)
def test_numbers_and_states_are_those_of_numpy(gpu, bits):
    check(many, bits)
    drawn = any(name.startswith("draw") for name in gpu.launches)
    assert drawn == (bits in ON_GPU)


@pytest.mark.parametrize("bits", ON_GPU)
@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_a_few_numbers(gpu, bits, count):
    check(lambda rng, low: (rng.random(count, dtype=np.float32), rng.random(count)), bits)
    check(lambda rng, low: (rng.random(count),), bits)


def test_some_are_drawn_on_the_host(gpu):
    check(lambda rng, low: (rng.normal(size=3), rng.integers(10, size=4), rng.permutation(5)), np.random.PCG64)
    rng = np.random.default_rng(1)
    f = tracer.compile(lambda low: low * rng.normal(size=5) + np.random.RandomState(1).gamma(2, size=5), device="gpu")
    f(LOW)
    assert "on the host: normal, gamma" in f.explain()
    check(lambda rng, low: (rng.random(3), rng.standard_normal(4) * low[1:], rng.random(2)), np.random.Philox)


@pytest.mark.parametrize("draw", [lambda rng: rng.random(5), lambda rng: rng.normal(size=5)])
def test_nothing_waits_for_the_gpu(gpu, monkeypatch, draw):
    here, there = pair(np.random.PCG64)
    f = tracer.compile(lambda x: x * draw(there))
    x, copied = gpu.asarray(LOW), []
    get = gpu.ndarray.get
    found = []
    monkeypatch.setattr(gpu.ndarray, "get", lambda self: copied.append(self) or get(self))
    for _ in range(4):
        found.append(f(x))
    assert not copied
    for result in found:
        np.testing.assert_array_equal(result.get(), LOW * draw(here))


@pytest.mark.parametrize("bits", ON_GPU)
def test_draws_in_loops(gpu, bits):
    here, there = pair(bits)

    def function(rng, low):
        return tracer.fori_loop(0, 4, lambda step, c: c * 0.5 + rng.random(5), low)

    on_gpu, on_cpu = tracer.compile(function, device="gpu"), tracer.compile(function)
    for _ in range(3):
        np.testing.assert_array_equal(on_gpu(there, LOW), on_cpu(here, LOW))
        np.testing.assert_array_equal(state_of(there), state_of(here))


@pytest.mark.parametrize("bits", ON_GPU)
def test_a_failed_call_draws_nothing(gpu, bits):
    here, there = pair(bits)
    f = tracer.compile(lambda low: there.random(3).sum() + there.uniform(low, 4.5), device="gpu")
    f(LOW - 1)
    here.random(3), here.uniform(LOW - 1, 4.5)
    for wrong in (LOW + 1, LOW - np.inf):
        with pytest.raises((ValueError, OverflowError), match=r"high - low|Range exceeds"):
            f(wrong)
        np.testing.assert_array_equal(state_of(there), state_of(here))
    np.testing.assert_array_equal(f(LOW - 2), here.random(3).sum() + here.uniform(LOW - 2, 4.5))


def test_the_states_of_streams_stay_on_the_host(gpu):
    streams = [tracer.tensor.shared_randomstreams.RandomStreams(7) for _ in range(2)]
    samples = [item.uniform((3,)) + item.normal((3,)) for item in streams]
    with tracer.config.changed(device="gpu"):
        f = tracer.function([], samples[0])
        found = [f() for _ in range(3)]
    g = tracer.function([], samples[1])
    np.testing.assert_array_equal(found, [g() for _ in range(3)])
    for (one, _), (other, _) in zip(*(item.state_updates for item in streams), strict=True):
        assert isinstance(one.get_value(borrow=True), np.random.RandomState)
        assert one.get_value().uniform() == other.get_value().uniform()
