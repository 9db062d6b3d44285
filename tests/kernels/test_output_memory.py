"""Memory of results: recycled when freed, never while anything looks at it."""

import gc
import sys
import time

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer import _kernels

SIZES = [1, 100, 8_191, 8_192, 8_193, 100_000, 1_000_003]


@pytest.mark.parametrize("size", SIZES)
def test_results_are_numpys_own_arrays(size):
    f = tracer.compile(lambda x: x + 1.0)
    result = f(np.zeros(size))
    assert result.flags.owndata and result.flags.writeable and result.flags.aligned
    np.testing.assert_array_equal(result, np.ones(size))
    result.resize(2 * size, refcheck=False)
    np.testing.assert_array_equal(result[:size], np.ones(size))
    np.testing.assert_array_equal(result[size:], np.zeros(size))


def test_freed_memory_is_used_again():
    f = tracer.compile(lambda x: x * 2.0)
    x = np.ones(1_000_000)
    addresses = set()
    for _ in range(20):
        addresses.add(f(x).__array_interface__["data"][0])
    assert len(addresses) <= 2


def test_live_results_and_views_are_never_overwritten():
    f = tracer.compile(lambda x: x * 1.0)
    random = np.random.default_rng(0)
    live = []
    for number in range(300):
        size = int(random.integers(8_000, 60_000))
        result = f(np.full(size, float(number)))
        live.append((number, result[random.integers(0, size // 2) :]))
        if random.random() < 0.5:
            live.pop(int(random.integers(0, len(live))))
        del result
    gc.collect()
    for number, view in live:
        assert (view == number).all()


def test_results_freed_on_other_threads():
    f = tracer.compile(lambda x: x + 1.0)
    wrong = []

    def work(seed):
        for number in range(100):
            value = float(seed * 1000 + number)
            if not (f(np.full(20_000 + seed * 16, value)) == value + 1.0).all():
                wrong.append(value)

    on_threads(work)
    assert not wrong


def test_prepared_memory_is_taken_by_results_and_not_written_to():
    f = tracer.compile(lambda x: x + 1.0)
    x = np.arange(150_000.0)
    live = [f(x)]
    for number in range(20):
        _kernels.prepare_memory([x.nbytes, -1, 0, 8, x.nbytes, 1 << 50])
        live.append(f(x + number))
    for number, result in enumerate(live[1:]):
        np.testing.assert_array_equal(result, x + (number + 1.0))


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults")
def test_prepared_memory_has_its_pages():
    import resource

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    with tracer.config.changed(threads=2):
        f = tracer.compile(lambda x: x + 1.0)
        f(np.zeros(9))
        found = []
        for size in (333_000, 222_000):  # of no other test: nothing of theirs is waiting
            x = np.ones(size)
            program = f.plan(x).executable
            time.sleep(0.1)
            before = faults()
            live = program.run([x])
            found.append(faults() - before)
        del live
    if found[0] > 600:
        pytest.skip("this system cannot hand out pages ahead of time")
    assert max(found) < 100
