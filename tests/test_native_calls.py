"""Calls that never enter Python for want of a plan: what generators draw, and what is written into captured arrays."""

import numpy as np
import pytest

import tracer


def twister(seed):
    return np.random.Generator(np.random.MT19937(seed))


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState, twister])
def test_generators_and_captured_writes_take_the_native_path(kind):
    def made(draws_from_argument):
        rng, kept = kind(3), np.zeros(3)

        def f(x, other):
            drawn = (other if draws_from_argument else rng).normal(size=3)
            kept[:] += x
            return kept + drawn

        return f, kept, (lambda: rng.normal())

    for draws_from_argument in (False, True):
        (f, kept, after), (plain, wanted, plain_after) = made(draws_from_argument), made(draws_from_argument)
        compiled, own, plain_own = tracer.compile(f), kind(8), kind(8)
        for step in range(6):
            x = np.arange(3.0) * step
            np.testing.assert_array_equal(compiled(x, own), plain(x, plain_own))
        assert compiled.hits == 5 and len(compiled.plans()) == 1
        np.testing.assert_array_equal(kept, wanted)
        assert after() == plain_after() and own.normal() == plain_own.normal()
        compiled(kept, own)  # what is written and read is the same memory
        plain(wanted, plain_own)
        np.testing.assert_array_equal(kept, wanted)
        kept.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            compiled(np.ones(3), own)


def test_a_generator_of_another_kind_is_another_plan():
    f = tracer.compile(lambda rng: rng.normal(size=2))
    for kind in (np.random.default_rng, np.random.RandomState, np.random.default_rng, np.random.RandomState):
        np.testing.assert_array_equal(f(kind(1)), kind(1).normal(size=2))
    assert f.hits == 2
    with pytest.raises(AttributeError):
        f(3)


def test_a_native_call_that_fails_leaves_the_generator():
    rng, table = np.random.default_rng(1), np.arange(4.0)
    f = tracer.compile(lambda place: rng.normal() + table[place])
    f(np.int64(2))
    state = rng.bit_generator.state
    with pytest.raises(IndexError):
        f(np.int64(7))
    assert rng.bit_generator.state == state and f.hits == 1
