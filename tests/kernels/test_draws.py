"""Draws without NumPy's Python functions: the same numbers and states, to the last bit."""

import numpy as np
import pytest

import tracer
from tracer.generator_cells import state_cell
from tracer.ops.draws import STATE_TYPE, draw
from tracer.tracing.generators import Stream

P = np.linspace(0.1, 0.9, 40)
NATIVE = {
    "random": lambda g: g.random((30, 40)),
    "floats": lambda g: g.random(701, dtype=np.float32) + g.standard_normal(701, dtype=np.float32),
    "normals": lambda g: g.standard_normal(5000),  # enough for the rare branches
    "exponentials": lambda g: g.standard_exponential(5000),
    "uniform": lambda g: g.uniform(-P[:, None], P, (40, 40)),
    "normal": lambda g: g.normal(np.arange(3), 2, (2, 3)) + g.normal(np.float32(0.3), 0.1),
    "others": lambda g: g.gamma(0.3, 2.0, 50) + g.beta(0.4, 0.6, 50) + g.laplace(1, 2, 50) + g.standard_t(3.0, 50),
    "integers": lambda g: g.integers(-5, 10, 700) + g.integers(2**40, size=700) + g.integers(0, 9, 700, endpoint=True),
    "counts": lambda g: g.binomial(np.arange(40), P) + g.poisson(P * 20) + g.geometric(P) + g.binomial(1, 0.3, 40),
    "in turn": lambda g: (g.integers(9, size=3), g.random(3), g.random(dtype=np.float32, size=1), g.integers(9)),
}
LEGACY = {
    "normal": lambda g: g.normal(0.5, 2.0, 701),
    "mixed": lambda g: (g.standard_normal(), g.uniform(-2, 5, 70), g.randn(2, 2), g.rand(3), g.exponential(2.0, 9)),
    "integers": lambda g: g.randint(0, 100, 701) + g.randint(2**40, size=701) + g.binomial(9, 0.3, 701),
}


def same(found, wanted):
    if isinstance(wanted, tuple):
        return all(map(same, found, wanted))
    found, wanted = np.asarray(found), np.asarray(wanted)
    return found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def agree(call, mine, numpys):
    compiled = tracer.compile(lambda x: (call(mine), 2 * x))
    for number in range(3):
        assert same(compiled(np.full(2, number))[0], call(numpys))
    return repr(compiled.plan(np.ones(2)).executable.native)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937])
def test_numbers_are_those_of_numpy(bits, name):
    mine, plain = tracer.random.Generator(bits(3)), np.random.Generator(bits(3))
    text = agree(NATIVE[name], mine, plain)
    assert "draw" in text
    assert "call" not in text
    assert str(mine.bit_generator.state) == str(plain.bit_generator.state)


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_numbers_are_those_of_numpy(name):
    mine, plain = np.random.RandomState(3), np.random.RandomState(3)
    assert "call" not in agree(LEGACY[name], mine, plain)
    assert str(mine.get_state()) == str(plain.get_state())


def test_what_numpy_refuses_is_refused_and_changes_nothing():
    rng, plain = tracer.random.default_rng(1), np.random.default_rng(1)
    noise = tracer.compile(lambda scale: (rng.random(3), rng.normal(0.0, scale))[1])
    scales = np.array([1.0, 2.0])
    assert noise(scales).shape == (2,)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match="scale < 0"):
        noise(np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="scale < 0"):
        noise(np.array([1.0, -0.0]))
    assert rng.bit_generator.state == before
    spread = tracer.compile(lambda low, high: (plain.random(), plain.integers(low, high, 3))[1])
    spread(0, 5)
    before = plain.bit_generator.state
    with pytest.raises(ValueError, match="low >= high"):
        spread(5, 5)
    assert plain.bit_generator.state == before


def test_a_state_that_no_generator_has_is_not_followed():
    words = np.zeros(STATE_TYPE.known_shape, np.uint32)
    sampled = tracer.compile(lambda state: draw("uniform", state, 0.0, 1.0, size=2)[1])
    words[624] = 624
    assert "draw" in repr(sampled.plan(words).executable.native)
    assert same(sampled(words), np.zeros(2))


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_states_are_read_and_written_in_place(bits):
    generator, other = np.random.Generator(bits(1)), np.random.Generator(bits(2))
    generator.integers(9, size=3, dtype=np.uint32)
    stream = Stream(generator, None)
    cell = state_cell(stream)
    if bits is np.random.Philox:
        assert cell is None
        return
    assert same(cell.read(), stream.read())
    cell.write(Stream(other, None).read())
    assert generator.random() == other.random()
    with pytest.raises(ValueError, match="not a state"):
        cell.write(np.zeros(2, np.uint64))
