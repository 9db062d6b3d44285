"""Streams of random variables with NumPy's numbers: draws, states, seeds, sizes, and the lower level below them."""

import copy
import pickle

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.tensor import raw_random
from tracer.tensor.shared_randomstreams import RandomStateSharedVariable, RandomStreams


def first_generators(seed, count=1):
    """The generators that the first random variables of a seed get."""
    seeds = np.random.RandomState(seed)
    return [np.random.RandomState(int(seeds.randint(2**30))) for _ in range(count)]


@pytest.fixture
def srng():
    return RandomStreams(seed=234)


# --- numbers -----------------------------------------------------------------------------------------------------


def test_published_numbers(srng):
    f = theano.function([], srng.uniform((2, 2)))
    g = theano.function([], srng.normal((2, 2)))
    np.testing.assert_allclose(f(), [[0.12672381, 0.97091597], [0.13989098, 0.88754825]], rtol=1e-7)
    np.testing.assert_allclose(f(), [[0.31971415, 0.47584377], [0.24129163, 0.42046081]], rtol=1e-7)
    np.testing.assert_allclose(g(), [[0.37328447, -0.65746672], [-0.36302373, -0.97484625]], rtol=1e-7)


WEIGHTS = np.array([0.2, 0.5, 0.3])
VALUES = np.array([2, 3, 5, 7])
CASES = {
    "uniform": (lambda s: s.uniform((3, 2), -1.0, 4.0), lambda r: r.uniform(-1.0, 4.0, (3, 2)), "float64"),
    "normal": (lambda s: s.normal((3,), avg=2.0, std=0.5), lambda r: r.normal(2.0, 0.5, (3,)), "float64"),
    "binomial": (lambda s: s.binomial((4,), n=9, p=0.3), lambda r: r.binomial(9, 0.3, 4), "int64"),
    "binomial prob": (lambda s: s.binomial((4,), n=9, prob=0.3), lambda r: r.binomial(9, 0.3, 4), "int64"),
    "random_integers": (lambda s: s.random_integers((5,), -2, 3), lambda r: r.randint(-2, 4, 5), "int64"),
    "choice": (lambda s: s.choice((5,), 7, p=None), lambda r: r.choice(7, 5), "int64"),
    "choice of values": (
        lambda s: s.choice((3,), VALUES, replace=False),
        lambda r: r.choice(VALUES, 3, replace=False),
        "int64",
    ),
    "choice with weights": (lambda s: s.choice((5,), 3, p=WEIGHTS), lambda r: r.choice(3, 5, p=WEIGHTS), "int64"),
    "poisson": (lambda s: s.poisson((5,), lam=3.5), lambda r: r.poisson(3.5, 5), "int64"),
    "permutation": (
        lambda s: s.permutation((2,), n=5),
        lambda r: [r.permutation(5) for _ in range(2)],
        "int64",
    ),
    "multinomial": (
        lambda s: s.multinomial((4,), n=6, pvals=WEIGHTS),
        lambda r: r.multinomial(6, WEIGHTS, 4),
        "int64",
    ),
    "sample": (lambda s: s.sample("gamma", 2.0, 3.0, size=(3,)), lambda r: r.gamma(2.0, 3.0, 3), "float64"),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_numpys(name, srng):
    make, numpys, dtype = CASES[name]
    (generator,) = first_generators(234)
    variable = make(srng)
    f = theano.function([], variable)
    assert variable.dtype == dtype and not any(variable.broadcastable)
    for _ in range(3):
        found, expected = f(), numpys(generator)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == dtype and found.ndim == variable.ndim


@pytest.mark.parametrize("floatX", ["float32", "float64"])
def test_dtypes(floatX, srng):
    with theano.change_flags(floatX=floatX):
        assert srng.uniform((2,)).dtype == srng.normal((2,), 1.5).dtype == floatX
        assert srng.uniform((2,), high=np.float64(2)).dtype == "float64"
        assert srng.uniform((2,), high=T.vector()).dtype == floatX
        assert srng.uniform((2,), dtype="float32").dtype == "float32"
        masks = theano.function([], srng.binomial((50,), dtype=floatX))()
    assert masks.dtype == floatX and set(masks) == {0, 1}


# --- one draw a call, and what follows ---------------------------------------------------------------------------


def test_one_draw_per_call(srng):
    u = srng.uniform((2, 2))
    nearly_zeros = theano.function([], u + u - 2 * u)
    np.testing.assert_array_equal(nearly_zeros(), np.zeros((2, 2)))
    both = theano.function([], [u, 2 * u])
    one, other = both()
    np.testing.assert_array_equal(2 * one, other)


def test_functions_share_the_state(srng):
    u = srng.uniform((3,))
    f, g = theano.function([], u), theano.function([], u * 2)
    (generator,) = first_generators(234)
    np.testing.assert_array_equal(f(), generator.uniform(size=3))
    np.testing.assert_array_equal(g(), 2 * generator.uniform(size=3))
    np.testing.assert_array_equal(f(), generator.uniform(size=3))


def test_no_default_updates(srng):
    u, n = srng.uniform(()), srng.normal(())
    still = theano.function([], [u, n], no_default_updates=True)
    assert still() == still()
    half = theano.function([], [u, n], no_default_updates=[u.rng])
    (u0, n0), (u1, n1) = half(), half()
    assert u0 == u1 and n0 != n1
    moved = theano.function([], u, updates=[u.update], no_default_updates=True)
    assert moved() != moved()


def test_explicit_updates_and_variables(srng):
    u = srng.uniform((2,))
    assert srng.updates() == srng.state_updates == [u.update]
    assert u.update[0] is u.rng and u.rng.default_update is u.update[1]
    assert isinstance(u.rng, RandomStateSharedVariable)
    skip = theano.function([], [], updates=srng.updates())
    f = theano.function([], u)
    (generator,) = first_generators(234)
    skip()
    generator.uniform(size=2)
    np.testing.assert_array_equal(f(), generator.uniform(size=2))


# --- states ------------------------------------------------------------------------------------------------------


def test_borrowed_generator_is_live(srng):
    n = srng.normal((3,))
    f = theano.function([], n)
    rng = n.rng.get_value(borrow=True)
    assert rng is n.rng.get_value(borrow=True)
    rng.seed(89234)
    twin = np.random.RandomState(89234)
    for _ in range(3):  # an odd number of normals leaves one behind
        np.testing.assert_array_equal(f(), twin.normal(size=3))
        assert rng.normal() == twin.normal()
    rng.set_state(np.random.RandomState(5).get_state())
    still = theano.function([], n, no_default_updates=True)
    for _ in range(2):
        np.testing.assert_array_equal(still(), np.random.RandomState(5).normal(size=3))
    rng.seed(6)
    np.testing.assert_array_equal(still(), np.random.RandomState(6).normal(size=3))


def test_copies_are_apart(srng):
    u = srng.uniform((2,))
    f = theano.function([], u)
    copied = u.rng.get_value()
    np.testing.assert_array_equal(f(), copied.uniform(size=2))
    copied.seed(1)
    (generator,) = first_generators(234)
    generator.uniform(size=2)
    np.testing.assert_array_equal(f(), generator.uniform(size=2))


def test_set_value(srng):
    u = srng.uniform((2,))
    f = theano.function([], u)
    mine = np.random.RandomState(3)
    u.rng.set_value(mine)
    np.testing.assert_array_equal(f(), np.random.RandomState(3).uniform(size=2))
    u.rng.set_value(mine, borrow=True)
    first = f()
    assert u.rng.get_value(borrow=True) is mine
    np.testing.assert_array_equal(first, np.random.RandomState(3).uniform(size=2))
    np.testing.assert_array_equal(mine.uniform(size=2), np.random.RandomState(3).uniform(size=4)[2:])
    u.rng.set_value(np.random.RandomState(4).get_state())
    np.testing.assert_array_equal(f(), np.random.RandomState(4).uniform(size=2))
    u.rng.set_value(np.random.RandomState(4).get_state(legacy=False))
    np.testing.assert_array_equal(f(), np.random.RandomState(4).uniform(size=2))
    for wrong in (5, np.zeros(3), "state"):
        with pytest.raises(TypeError, match=r"RandomState.*\n.*HINT: rng.set_value"):
            u.rng.set_value(wrong)
    with pytest.raises(TypeError):
        u.rng.zero()


def test_seeding_everything(srng):
    f = theano.function([], [srng.uniform(()), srng.normal(())])
    before = f()
    srng.seed(902340)
    one, other = first_generators(902340, 2)
    assert f() == [one.uniform(), other.normal()]
    srng.seed()
    assert f() == before
    assert (
        RandomStreams(None).uniform(()).rng.get_value().uniform()
        != RandomStreams(None).uniform(()).rng.get_value().uniform()
    )


def test_states_by_item(srng):
    u = srng.uniform((2,))
    srng[u.rng].seed(5)
    f = theano.function([], u)
    np.testing.assert_array_equal(f(), np.random.RandomState(5).uniform(size=2))
    srng[u.rng] = np.random.RandomState(6)
    np.testing.assert_array_equal(f(), np.random.RandomState(6).uniform(size=2))
    with pytest.raises(KeyError):
        srng[RandomStreams(1).uniform((2,)).rng]
    with pytest.raises(TypeError):
        srng[u.rng] = 5


def test_states_copied_between_graphs():
    one, other = RandomStreams(123), RandomStreams(987)
    f, g = (theano.function([], item.uniform(size=(1,))) for item in (one, other))
    np.testing.assert_allclose([f()[0], g()[0]], [0.72803009, 0.55056769], rtol=1e-7)
    for mine, theirs in zip(one.state_updates, other.state_updates, strict=True):
        theirs[0].set_value(mine[0].get_value())
    np.testing.assert_allclose([f()[0], g()[0]], [0.59044123, 0.59044123], rtol=1e-7)


def test_shared_generators():
    state = theano.shared(np.random.RandomState(7), name="state")
    assert isinstance(state, RandomStateSharedVariable) and state.name == str(state) == "state"
    assert "RandomState" in repr(state)
    mine = np.random.RandomState(7)
    lent = theano.shared(mine, borrow=True)
    assert lent.get_value(borrow=True) is mine
    for twin in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert twin is not state and twin.get_value().uniform() == np.random.RandomState(7).uniform()
    clone = state.clone()
    clone.set_value(np.random.RandomState(8))
    assert state.get_value().uniform() == np.random.RandomState(8).uniform()


def test_pickled_functions_keep_their_state(srng):
    n = srng.normal((3,))
    f = theano.function([], n)
    f()
    n.rng.get_value(borrow=True).normal()
    twin = pickle.loads(pickle.dumps(f))
    np.testing.assert_array_equal(f(), twin())
    np.testing.assert_array_equal(f(), twin())


# --- sizes -------------------------------------------------------------------------------------------------------


def test_size_of_a_variable(srng):
    x = T.matrix()
    f = theano.function([x], srng.uniform(x.shape))
    (generator,) = first_generators(234)
    for shape in ((2, 3), (4, 1), (0, 5)):
        np.testing.assert_array_equal(f(np.zeros(shape)), generator.uniform(size=shape))


def test_sizes_with_symbolic_elements(srng):
    x, n, size = T.matrix(), T.lscalar(), T.lvector()
    u = srng.uniform((x.shape[0], 1, 3))
    assert u.broadcastable == (False, True, False)
    assert theano.function([x], u)(np.zeros((4, 2))).shape == (4, 1, 3)
    u = srng.uniform((n, 2))
    f = theano.function([n], u)
    assert [f(count).shape for count in (3, 1, 3)] == [(3, 2), (1, 2), (3, 2)]
    u = srng.uniform(size, ndim=2)
    assert u.ndim == 2
    assert theano.function([size], u)([2, 5]).shape == (2, 5)
    assert srng.uniform(x.shape[:1]).ndim == 1
    assert srng.uniform(T.stack([n, n, n])).ndim == 3
    with pytest.raises(ValueError, match=r"not known.*\n.*ndim=2"):
        srng.uniform(size)


def test_size_of_shared_values(srng):
    w = theano.shared(np.zeros((2, 3)))
    f = theano.function([], srng.uniform(w.shape))
    assert f().shape == (2, 3)
    w.set_value(np.zeros((4, 1)))
    assert f().shape == (4, 1)


def test_int_and_list_sizes(srng):
    assert theano.function([], srng.uniform(3))().shape == (3,)
    assert theano.function([], srng.uniform([2, 3]))().shape == (2, 3)
    assert theano.function([], srng.uniform())().shape == ()


def test_parameters_give_the_size(srng):
    x, y = T.matrix(), T.vector()
    (generator,) = first_generators(234)
    n = srng.normal(avg=x, std=y)
    assert n.ndim == 2
    means, stds = np.arange(6.0).reshape(2, 3), np.array([0.1, 1.0, 10.0])
    f = theano.function([x, y], n)
    np.testing.assert_array_equal(f(means, stds), generator.normal(means, stds))
    b = theano.function([x], srng.binomial(size=x.shape, n=1, p=x, dtype="float64"))
    np.testing.assert_array_equal(b(np.array([[0.0, 1.0, 1.0]])), [[0, 1, 1]])


def test_a_size_of_minus_one_is_that_of_the_parameters(srng):
    y = T.vector()
    f = theano.function([y], srng.uniform((2, -1), low=y, high=y + 1))
    found = f([10.0, 20.0, 30.0])
    assert found.shape == (2, 3) and (np.floor(found) == [10, 20, 30]).all()


def test_multinomial_of_matrices(srng):
    p = T.matrix()
    (generator,) = first_generators(234)
    rv = srng.multinomial(n=1, pvals=p, dtype="float64")
    assert rv.type == p.type
    f = theano.function([p], rv)
    weights = np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_array_equal(f(weights), [generator.multinomial(1, row) for row in weights])


def test_shuffle_row_elements(srng):
    x = T.matrix()
    shuffled = srng.shuffle_row_elements(x)
    f = theano.function([x], [shuffled, shuffled.permutation])
    rows = np.arange(12.0).reshape(3, 4)
    (generator,) = first_generators(234)
    for _ in range(2):
        found, order = f(rows)
        np.testing.assert_array_equal(order, [generator.permutation(4) for _ in range(3)])
        np.testing.assert_array_equal(found, np.take_along_axis(rows, order, 1))


def test_sizes_that_do_not_fit(srng):
    with pytest.raises(ValueError, match=r"1 dimensions, but ndim is 2"):
        srng.uniform((3,), ndim=2)
    with pytest.raises(ValueError, match=r"but the parameters have 2.*\nHINT"):
        srng.normal((3,), avg=T.matrix())
    with pytest.raises(ValueError, match=r"'levy' is not a distribution.*\nHINT.*uniform"):
        srng.sample("levy", 1.0)


# --- derivatives -------------------------------------------------------------------------------------------------


def test_derivatives_pass_by_draws(srng):
    w = T.vector()
    noise = srng.normal(w.shape)
    f = theano.function([w], T.grad(T.sum((w + noise) ** 2), w))
    (generator,) = first_generators(234)
    np.testing.assert_allclose(f([1.0, 2.0]), 2 * (np.array([1.0, 2.0]) + generator.normal(size=2)))
    sample = srng.normal(avg=w)
    both = theano.function([w], T.grad(T.sum(sample * w), w))
    generators = first_generators(234, 2)
    np.testing.assert_array_equal(both([1.0, 2.0]), generators[1].normal([1.0, 2.0]))


# --- the lower level ---------------------------------------------------------------------------------------------


def test_raw_draws_chain_states():
    state = raw_random.random_state_type("state")
    assert str(state) == "state" and repr(state.type) == "RandomStateType"
    after, first = raw_random.uniform(state, (2,))
    last, second = raw_random.normal(after, (3,))
    assert after.type == last.type == state.type
    f = theano.function([state], [first, second, last])
    generator = np.random.RandomState(4)
    one, other, end = f(np.random.RandomState(4))
    np.testing.assert_array_equal(one, generator.uniform(size=2))
    np.testing.assert_array_equal(other, generator.normal(size=3))
    assert isinstance(end, np.random.RandomState) and end.normal() == generator.normal()
    with pytest.raises(TypeError, match="RandomState"):
        f(5)


def test_raw_state_as_an_input_with_update():
    state = raw_random.random_state_type()
    after, sample = raw_random.uniform(state, (2,))
    f = theano.function([theano.In(state, value=np.random.RandomState(55), update=after, mutable=True)], sample)
    generator = np.random.RandomState(55)
    for _ in range(3):
        np.testing.assert_array_equal(f(), generator.uniform(size=2))


def test_raw_draws_of_every_kind():
    state = theano.shared(np.random.RandomState(1))
    draws = (
        (raw_random.binomial(state, (3,), 5, 0.5), lambda r: r.binomial(5, 0.5, 3)),
        (raw_random.random_integers(state, (3,), 1, 6), lambda r: r.randint(1, 7, 3)),
        (raw_random.choice(state, (3,), 4), lambda r: r.choice(4, 3)),
        (raw_random.poisson(state, (3,), 2.0), lambda r: r.poisson(2.0, 3)),
        (raw_random.permutation(state, (), 4), lambda r: r.permutation(4)),
        (raw_random.multinomial(state, (2,), 3), lambda r: r.multinomial(3, [0.5, 0.5], 2)),
    )
    for (_, sample), numpys in draws:
        np.testing.assert_array_equal(theano.function([], sample)(), numpys(np.random.RandomState(1)))


def test_random_variables_in_a_traced_function(srng):
    u = srng.uniform((3,))

    @theano.compile
    def f(x):
        return x + u

    np.testing.assert_array_equal(f(np.ones(3)), 1 + first_generators(234)[0].uniform(size=3))


def test_draws_inside_scan(srng):
    x = T.vector()
    walk, updates = theano.scan(lambda last: last + srng.normal(last.shape), outputs_info=x, n_steps=4)
    (rng,) = (state for state, _ in srng.state_updates)
    assert list(updates) == [rng]
    f = theano.function([x], walk, updates=updates)
    (generator,) = first_generators(234)
    for start in (np.zeros(2), np.ones(2)):
        np.testing.assert_allclose(f(start), start + np.cumsum(generator.normal(size=(4, 2)), axis=0), rtol=1e-12)
