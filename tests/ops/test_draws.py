"""Random draws from a state array: NumPy's own numbers, one state after another."""

import numpy as np
import pytest
from work import on_threads

import tracer
from tracer.ops.draws import DISTRIBUTIONS, draw, generator_of, state_of

BACKENDS = ("reference", "cpu")
SCALARS = {
    "uniform": (-1.0, 2.5),
    "normal": (0.5, 2.0),
    "binomial": (10, 0.3),
    "hypergeometric": (15, 12, 10),
    "random_integers": (-3, 7),
    "triangular": (-1.0, 0.2, 3.0),
    "negative_binomial": (3, 0.4),
    "f": (3.0, 4.0),
    "beta": (0.7, 2.0),
    "vonmises": (0.2, 3.0),
    "wald": (0.8, 1.5),
    "gamma": (2.5, 1.5),
    "geometric": (0.35,),
    "logseries": (0.6,),
    "zipf": (2.5,),
}
NAMES = sorted(set(DISTRIBUTIONS) - {"choice", "permutation", "multinomial"})


def numpys(generator, name, *parameters, size=None):
    if name == "random_integers":
        return generator.randint(parameters[0], np.add(parameters[1], 1), size)
    return getattr(generator, name)(*parameters, size=size)


def states_are_equal(generator, state):
    one, other = generator.get_state(), generator_of(state).get_state()
    return np.array_equal(one[1], other[1]) and one[2:] == other[2:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warm", [0, 1])
def test_numbers_and_states_are_numpys(name, warm):
    """Also after an odd number of normal draws, where the generator keeps the second of a pair."""
    generator = np.random.RandomState(42)
    generator.normal(size=warm)
    state = state_of(generator)
    parameters = SCALARS.get(name, (1.5,))
    for size in ((), (3,), (2, 5), (400,)):
        state, sample = draw(name, state, *parameters, size=size)
        expected = np.asarray(numpys(generator, name, *parameters, size=size))
        np.testing.assert_array_equal(sample, expected)
        assert sample.shape == size and sample.dtype.kind == expected.dtype.kind
        assert states_are_equal(generator, state)


def test_a_draw_leaves_its_state_and_other_threads_alone():
    state = state_of(np.random.RandomState(7))
    before = state.copy()
    expected = np.random.RandomState(7).normal(size=3)
    results = []

    def work(_):
        for _ in range(50):
            results.append(draw("normal", state, 0.0, 1.0, size=3)[1])

    on_threads(work)
    assert len(results) == 200 and all(np.array_equal(item, expected) for item in results)
    np.testing.assert_array_equal(state, before)


def test_a_failed_draw_leaves_nothing_behind():
    odd = state_of(np.random.RandomState(1))
    odd, _ = draw("normal", odd, 0.0, 1.0, size=3)
    with pytest.raises(ValueError, match="scale < 0"):
        draw("normal", odd, 0.0, -1.0, size=3)
    fresh = state_of(np.random.RandomState(2))
    assert draw("normal", fresh, 0.0, 1.0, size=())[1] == np.random.RandomState(2).normal()


def test_parameters_broadcast():
    generator = np.random.RandomState(3)
    low, high = np.array([[0.0], [10.0]]), np.array([1.0, 2.0, 3.0]) + 20
    state, sample = draw("uniform", state_of(generator), low, high)
    np.testing.assert_array_equal(sample, generator.uniform(low, high))
    state, sample = draw("normal", state, low, 1.0, size=(4, 2, 3))
    np.testing.assert_array_equal(sample, generator.normal(low, 1.0, (4, 2, 3)))
    state, sample = draw("binomial", state, [3, 5, 7], 0.5)
    np.testing.assert_array_equal(sample, generator.binomial([3, 5, 7], 0.5))
    assert sample.dtype == np.int64


def test_random_integers_of_arrays_are_drawn_one_by_one():
    generator = np.random.RandomState(5)
    low, high = np.array([0, -5, 100]), np.array([1, 5, 10000])
    _, sample = draw("random_integers", state_of(generator), low, high, size=(4, 3))
    expected = [[generator.randint(a, b + 1) for a, b in zip(low, high, strict=True)] for _ in range(4)]
    np.testing.assert_array_equal(sample, expected)


def test_choice():
    generator = np.random.RandomState(8)
    state, sample = draw("choice", state_of(generator), size=(3, 2), count=5, replace=True)
    np.testing.assert_array_equal(sample, generator.choice(5, (3, 2)))
    state, sample = draw("choice", state, size=4, count=6, replace=False)
    np.testing.assert_array_equal(sample, generator.choice(6, 4, replace=False))
    weights = np.array([0.5, 0.2, 0.3])
    state, sample = draw("choice", state, weights, size=4, count=3, replace=True)
    np.testing.assert_array_equal(sample, generator.choice(3, 4, p=weights))
    values = np.array([1.5, 2.5, 3.5])
    state, sample = draw("choice", state, values, weights, size=4, count=None, replace=True, dtype=float)
    np.testing.assert_array_equal(sample, generator.choice(values, 4, p=weights))
    assert states_are_equal(generator, state)


def test_permutation():
    generator = np.random.RandomState(9)
    state, sample = draw("permutation", state_of(generator), size=(), count=5)
    np.testing.assert_array_equal(sample, generator.permutation(5))
    state, sample = draw("permutation", state, size=(2, 3), count=4)
    np.testing.assert_array_equal(sample, [[generator.permutation(4) for _ in range(3)] for _ in range(2)])


def test_multinomial():
    generator = np.random.RandomState(10)
    weights = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    state, sample = draw("multinomial", state_of(generator), 6, weights[0], size=(4,))
    np.testing.assert_array_equal(sample, generator.multinomial(6, weights[0], 4))
    state, sample = draw("multinomial", state, [2, 9], weights)
    np.testing.assert_array_equal(sample, [generator.multinomial(n, p) for n, p in zip([2, 9], weights, strict=True)])
    state, sample = draw("multinomial", state, 3, weights[1])
    np.testing.assert_array_equal(sample, generator.multinomial(3, weights[1]))
    assert sample.shape == (3,)


def test_multinomial_takes_weights_that_were_rounded():
    weights = np.array([0.3, 0.7, 1e-9]) * (1 + 5e-6)
    _, sample = draw("multinomial", state_of(np.random.RandomState(0)), 100, weights)
    assert sample.sum() == 100
    with pytest.raises(ValueError, match="pvals"):
        draw("multinomial", state_of(np.random.RandomState(0)), 100, weights * 1.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_draws_in_a_compiled_function(backend):
    state = tracer.shared(state_of(np.random.RandomState(11)))
    generator = np.random.RandomState(11)

    @tracer.compile(backend=backend)
    def noisy(x, scale):
        after, noise = draw("normal", state, 0.0, scale, size=x.shape)
        after, kept = draw("binomial", after, 1, 0.5, size=x.shape, dtype=x.dtype)
        state.set(after)
        return (x + noise) * kept

    x = np.ones((2, 3), np.float32)
    for scale in (1.0, 0.1, 3.0):
        noise = generator.normal(0.0, scale, x.shape)
        kept = generator.binomial(1, 0.5, x.shape)
        np.testing.assert_allclose(noisy(x, np.float64(scale)), (x + noise) * kept, rtol=1e-15)
    assert states_are_equal(generator, state.get_value())


def test_one_node_draws_once():
    state = tracer.shared(state_of(np.random.RandomState(12)))

    @tracer.compile
    def nearly_zero():
        u = draw("uniform", state, 0.0, 1.0, size=4)[1]
        same = draw("uniform", state, 0.0, 1.0, size=4)[1]
        return u + same - 2 * u

    np.testing.assert_array_equal(nearly_zero(), np.zeros(4))


def test_no_derivative_flows_through_a_draw():
    state = state_of(np.random.RandomState(13))

    def f(x):
        return np.sum(x**2 * draw("normal", state, x, 1.0)[1])

    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(tracer.grad(f)(x), 2 * x * np.random.RandomState(13).normal(x))
    tangent = tracer.jvp(f, (x,), (np.ones(2),))[1]
    np.testing.assert_allclose(tangent, np.sum(2 * x * np.random.RandomState(13).normal(x)))


def test_states_of_other_generators_are_refused():
    with pytest.raises(TypeError, match="MT19937"):
        state_of(np.random.RandomState(np.random.PCG64(1)))
