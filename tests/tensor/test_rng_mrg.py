"""Random variables from MRG31k3p: their numbers, streams, seeds and distributions."""

import pickle

import numpy as np
import pytest
from scipy import stats

import tracer as theano
import tracer.tensor as T
from tracer.ops import mrg
from tracer.sandbox.rng_mrg import MRG_RandomStream, MRG_RandomStreams, guess_n_streams

M1, M2 = 2**31 - 1, 2**31 - 21069


def uniforms(states, count):
    """The numbers that a draw of `count` gives, from the recurrence in Python's integers."""
    sample = np.empty(count)
    for stream, row in enumerate(states):
        x, y = [int(word) for word in row[:3]], [int(word) for word in row[3:]]
        for place in range(stream, count, len(states)):
            x = [(2**22 * x[1] + (2**7 + 1) * x[2]) % M1, x[0], x[1]]
            y = [(2**15 * y[0] + (2**15 + 1) * y[2]) % M2, y[0], y[1]]
            difference = x[0] - y[0]
            sample[place] = (difference if difference > 0 else difference + M1) / 2.0**31
    return sample


@pytest.fixture
def srng():
    return MRG_RandomStreams(seed=12345)


def test_published_sequence(srng):
    f = theano.function([], srng.uniform((5,), nstreams=1))
    published = [0.7353244530968368, 0.6142074400559068, 0.11007806099951267, 0.6487741703167558, 0.36619443260133266]
    np.testing.assert_array_equal(f(), published)
    assert (f() != published).all()


@pytest.mark.parametrize("size", [(3,), (4, 5), (100, 7), (2, 3, 4)])
def test_numbers_of_known_sizes(srng, size):
    u = srng.uniform(size)
    states = mrg.substreams(np.full(6, 12345, np.int32), guess_n_streams(size))
    np.testing.assert_array_equal(u.rng.get_value(), states)
    f = theano.function([], u)
    count = int(np.prod(size))
    np.testing.assert_array_equal(f(), uniforms(states, count).reshape(size))
    assert u.dtype == "float64" and u.ndim == len(size)


def test_every_variable_has_streams_of_its_own(srng):
    first, second = srng.uniform((3,)), srng.uniform((3,))
    start = mrg.skipped(np.full(6, 12345, np.int32), mrg.STREAM_STEPS)
    np.testing.assert_array_equal(second.rng.get_value()[0], start)
    np.testing.assert_array_equal(srng.rstate, mrg.skipped(start, mrg.STREAM_STEPS))
    f = theano.function([], [first, second])
    assert not np.intersect1d(*f()).size


def test_sizes(srng):
    x, n = T.matrix(), T.lscalar()
    u = srng.uniform(x.shape)
    f = theano.function([x], u)
    assert f(np.zeros((3, 4))).shape == (3, 4) and f(np.zeros((200, 300))).shape == (200, 300)
    assert f(np.zeros((0, 3))).shape == (0, 3)
    assert len(u.rng.get_value()) == 60 * 256
    u = srng.uniform((n, 1))
    assert u.broadcastable == (False, True)
    assert theano.function([n], u)(4).shape == (4, 1)
    with pytest.raises(ValueError, match=r"size \(3, 0\).*not positive.*\nHINT"):
        srng.uniform((3, 0))


def test_number_of_streams():
    assert [guess_n_streams(size) for size in ((), (6,), (7,), (60, 10), (10**6,))] == [1, 6, 1, 100, 15360]
    with pytest.warns(UserWarning, match="15360 streams"):
        assert guess_n_streams(T.lvector(), warn=True) == 15360
    assert len(MRG_RandomStreams().uniform((100,), nstreams=5).rng.get_value()) == 5


def test_threads_do_not_change_the_numbers(monkeypatch):
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(theano.config, "threads", threads)
        found.append(theano.function([], MRG_RandomStreams(7).normal((300, 400)))())
    np.testing.assert_array_equal(*found)


# --- seeds and states --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed", [0, -1, M2, [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [M1, 1, 1, 1, 1, 1], [1] * 5 + [M2]]
)
def test_seeds_that_cannot_be(seed):
    with pytest.raises(ValueError, match=r"cannot start from.*\n.*HINT: MRG_RandomStreams\(12345\)"):
        MRG_RandomStreams(seed)


@pytest.mark.parametrize("seed", [[1, 2, 3], 1.5, "one"])
def test_seeds_of_wrong_types(seed):
    with pytest.raises((TypeError, ValueError)):
        MRG_RandomStreams(seed)


def test_six_seeds():
    states = MRG_RandomStreams([1, 2, 3, 4, 5, 6]).uniform((2,)).rng.get_value()
    assert states[0].tolist() == [1, 2, 3, 4, 5, 6] and states.dtype == np.int32
    assert MRG_RandomStream is MRG_RandomStreams


def test_seeding_again(srng):
    variables = [srng.uniform((3,)), srng.normal((50,), nstreams=4)]
    f = theano.function([], variables)
    before = f()
    f()
    srng.seed()
    for one, other in zip(f(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    srng.seed(5)
    fresh = MRG_RandomStreams(5)
    expected = theano.function([], [fresh.uniform((3,)), fresh.normal((50,), nstreams=4)])()
    for one, other in zip(f(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_updates_of_states(srng):
    u = srng.uniform((3,))
    f = theano.function([], [u, u + u - 2 * u])
    still = theano.function([], u, no_default_updates=True)
    first = still()
    np.testing.assert_array_equal(still(), first)
    found, zeros = f()
    np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(zeros, np.zeros(3))
    assert (still() != first).all()
    assert srng.updates() == [u.update] and srng.state_updates[0][:2] == u.update


def test_states_copied_between_graphs(srng):
    other = MRG_RandomStreams(99)
    f, g = (theano.function([], item.uniform((4,))) for item in (srng, other))
    f()
    other.rstate = srng.rstate
    for mine, theirs in zip(srng.state_updates, other.state_updates, strict=True):
        theirs[0].set_value(mine[0].get_value())
    np.testing.assert_array_equal(f(), g())
    np.testing.assert_array_equal(theano.function([], srng.uniform((4,)))(), theano.function([], other.uniform((4,)))())


def test_pickled_functions_keep_their_state(srng):
    f = theano.function([], srng.uniform((3,)))
    f()
    twin = pickle.loads(pickle.dumps(f))
    np.testing.assert_array_equal(f(), twin())


# --- distributions -----------------------------------------------------------------------------------------------


def test_uniform_between_ends(srng):
    low, high = T.scalar(), T.vector()
    u = srng.uniform((200, 3), low=low, high=high)
    found = theano.function([low, high], u)(-1.0, [0.0, 5.0, 100.0])
    assert (found > -1).all() and (found < [0, 5, 100]).all()
    np.testing.assert_allclose(found.mean(axis=0), [-0.5, 2, 49.5], rtol=0.2)


def test_normal_is_made_of_pairs(srng):
    n = srng.normal((7,), avg=1.0, std=3.0)
    states = n.rng.get_value()
    u = uniforms(states, 8)
    radius, angle = np.sqrt(-2 * np.log(u[:4])), 2 * np.pi * u[4:]
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:7]
    np.testing.assert_allclose(theano.function([], n)(), expected * 3 + 1, rtol=1e-12)


def test_normal_and_truncated_normal(srng):
    found = theano.function([], [srng.normal((9999,), 1.0, 2.0), srng.truncated_normal((9999,), 1.0, 2.0)])()
    assert stats.kstest(found[0], stats.norm(1, 2).cdf).pvalue > 0.01
    np.testing.assert_allclose([found[1].mean(), found[1].std()], [1, 2], atol=0.06)
    assert np.abs(found[1] - 1).max() <= 2 * 2 / 0.8796256610342398


def test_binomial(srng):
    p = T.vector()
    f = theano.function([p], srng.binomial((4, 3), p=p))
    states = srng.state_updates[0][0].get_value()
    chance = np.array([0.2, 0.5, 0.9])
    np.testing.assert_array_equal(f(chance), uniforms(states, 12).reshape(4, 3) < chance)
    several = theano.function([], srng.binomial((5000,), n=6, p=0.3, dtype="float32"))()
    assert several.dtype == "float32"
    np.testing.assert_allclose([several.mean(), several.var()], [1.8, 1.26], rtol=0.07)
    assert theano.function([p], srng.binomial(p=p))(chance).shape == (3,)


WEIGHTS = np.array([[0.1, 0.6, 0.3], [0.0, 0.5, 0.5]])


def test_multinomial(srng):
    p = T.matrix()
    rv = srng.multinomial(pvals=p, n=4, dtype="float64")
    u = uniforms(rv.rng.get_value(), 8)
    expected = np.zeros((2, 3))
    for trial in range(4):
        for row in range(2):
            expected[row, np.searchsorted(np.cumsum(WEIGHTS[row]), u[2 * trial + row], side="right")] += 1
    np.testing.assert_array_equal(theano.function([p], rv)(WEIGHTS), expected)
    with pytest.raises(ValueError, match=r"multinomial needs pvals.*\nHINT"):
        srng.multinomial(pvals=T.vector())
    with pytest.raises(ValueError, match=r"takes its size from pvals\.\nHINT"):
        srng.multinomial(size=(2,), pvals=p)


def test_choice(srng):
    p = T.matrix()
    f = theano.function([p], srng.choice(size=2, replace=False, p=p))
    for _ in range(5):
        found = f(WEIGHTS)
        assert found.shape == (2, 2) and (found[:, 0] != found[:, 1]).all() and (found[1] > 0).all()
    many = np.repeat(WEIGHTS[:1], 4000, axis=0)
    found = theano.function([p], srng.choice(size=3, p=p))(many)
    np.testing.assert_allclose(np.bincount(found.ravel()) / 12000, WEIGHTS[0], atol=0.02)
    with pytest.warns(UserWarning, match="deprecated"):
        rv = srng.multinomial_wo_replacement(pvals=p, n=1)
    assert theano.function([p], rv)(WEIGHTS).shape == (2, 1)
    with pytest.raises(TypeError, match=r"draws columns of p\.\nHINT"):
        srng.choice(a=5, p=p)
    with pytest.raises(ValueError, match=r"choice needs p,.*\nHINT"):
        srng.choice(size=2)


@pytest.mark.parametrize("floatX", ["float32", "float64"])
def test_dtypes(srng, floatX):
    with theano.change_flags(floatX=floatX):
        variables = [
            srng.uniform((3,)),
            srng.uniform((3,), 0.5, 2.0),
            srng.uniform((3,), high=T.vector()),
            srng.normal((3,), std=0.1),
            srng.truncated_normal((3,)),
            srng.binomial((3,), dtype=floatX),
        ]
        assert {item.dtype for item in variables} == {floatX}
        found = theano.function([], variables[:2] + variables[3:])()
    assert {item.dtype for item in found} == {np.dtype(floatX)}
    assert srng.uniform((3,), high=np.float64(2), dtype="float32").dtype == "float32"


def test_derivatives_with_respect_to_parameters(srng):
    mean, std = T.scalars("mean", "std")
    n = srng.normal((6,), avg=mean, std=std)
    f = theano.function([mean, std], [n, *T.grad(T.sum(n), [mean, std])])
    found, by_mean, by_std = f(2.0, 0.5)
    np.testing.assert_allclose([by_mean, by_std], [6, np.sum(found - 2) / 0.5])


def test_dropout_trains_on_the_masks_it_draws(srng):
    w = theano.shared(np.ones(8))
    x = T.matrix()
    mask = srng.binomial(x.shape, p=0.5, dtype="float64")
    cost = T.sum((x * mask) @ w)
    f = theano.function([x], [mask, cost], updates=[(w, w - T.grad(cost, w))])
    drawn, value = f(np.ones((3, 8)))
    assert value == drawn.sum()
    np.testing.assert_array_equal(w.get_value(), 1 - drawn.sum(axis=0))


def test_draws_inside_scan(srng):
    drawn, updates = theano.scan(lambda: srng.uniform((3,)), n_steps=5)
    f = theano.function([], drawn, updates=updates)
    states = mrg.substreams(np.full(6, 12345, np.int32), 3)
    expected = uniforms(states, 30).reshape(10, 3)
    np.testing.assert_array_equal(f(), expected[:5])
    np.testing.assert_array_equal(f(), expected[5:])
