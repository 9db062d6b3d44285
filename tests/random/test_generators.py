"""Random generators in compiled functions: NumPy's own numbers, and generators that advance as NumPy's do."""

import copy
import dataclasses
import pickle
import random

import numpy as np
import pytest
from numpy.random import default_rng
from work import on_threads

import tracer
from tracer import errors

BITS = (np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64, np.random.MT19937)
P = np.array([0.2, 0.5, 0.3])
PLAIN = random.Random(3)
V = np.array([0.5, 1.5, 2.5])
COV = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 0.5]])

# Method -> calls, each of the arguments that it is given.
COMMON = {
    "standard_cauchy": [((), {}), ((4,), {})],
    "beta": [((V, 2.0), {}), ((0.3, 0.4, (2, 3)), {})],
    "chisquare": [((V,), {}), ((2.0, 3), {})],
    "exponential": [((V,), {}), ((), {"size": 3}), ((2.0,), {"size": (2, 3)})],
    "f": [((V, 3.0), {})],
    "gamma": [((V, 2.0), {}), ((2.0,), {"size": 4})],
    "gumbel": [((V, 2.0), {}), ((), {"size": 4})],
    "laplace": [((V, 2.0), {}), ((), {"size": 4})],
    "logistic": [((V, 2.0), {}), ((), {"size": 4})],
    "lognormal": [((V, 0.5), {}), ((), {"size": 4})],
    "noncentral_chisquare": [((V, 2.0), {})],
    "noncentral_f": [((V, 2.0, 1.0), {})],
    "normal": [((V, V), {}), ((V,), {"size": (4, 3)}), ((), {"size": 3}), ((), {}), ((2, 3, (2, 1)), {})],
    "pareto": [((V,), {})],
    "power": [((V,), {})],
    "rayleigh": [((V,), {}), ((), {"size": 3})],
    "standard_exponential": [((), {"size": (2, 3)})],
    "standard_gamma": [((V,), {}), ((2.0, 3), {})],
    "standard_normal": [((), {}), (((2, 3),), {})],
    "standard_t": [((V,), {})],
    "triangular": [((V - 1, V, V + 2), {}), ((0.0, 0.5, 2.0, 5), {})],
    "uniform": [((-V, V), {}), ((), {"size": 3}), ((1, 5, (2, 2)), {})],
    "vonmises": [((V, 2.0), {})],
    "wald": [((V, 2.0), {})],
    "weibull": [((V,), {})],
    "binomial": [((10, P), {}), ((np.array([3, 4]), 0.5), {})],
    "geometric": [((P,), {})],
    "hypergeometric": [((5, 6, 7), {"size": 3})],
    "logseries": [((P,), {})],
    "negative_binomial": [((3, P), {})],
    "poisson": [((V,), {}), ((), {"size": 5})],
    "zipf": [((V + 1,), {})],
    "multinomial": [((10, P), {}), ((10, P, 4), {})],
    "dirichlet": [((V,), {}), ((V, 3), {}), (([1.0, 2.0],), {})],
    "multivariate_normal": [((V, COV), {}), ((V, COV, 4), {})],
    "permutation": [((7,), {}), ((V,), {}), ((COV,), {})],
    "choice": [
        ((5,), {}),
        ((5, 3), {"replace": False}),
        ((V, (2, 2)), {}),
        ((3, 4, True, P), {}),
        (([1, 2, 3],), {"size": 2}),
    ],
}
OF_GENERATOR = {
    "random": [((), {}), ((3,), {"dtype": np.float32}), (((2, 2),), {})],
    "standard_normal": [((3,), {"dtype": np.float32})],
    "standard_exponential": [((3,), {"dtype": np.float32}), ((3,), {"method": "inv"})],
    "standard_gamma": [((V.astype(np.float32),), {"dtype": np.float32})],
    "integers": [
        ((10,), {}),
        ((2, 9, 5), {}),
        ((np.array([1, 2]), np.array([5, 9])), {"dtype": np.uint8, "endpoint": True}),
        ((2,), {"size": 8, "dtype": bool}),
        ((0, 255, 7), {"dtype": np.uint8}),
    ],
    "multivariate_hypergeometric": [((np.array([5, 6, 7]), 4), {}), ((np.array([5, 6, 7]), 4, 2), {})],
    "multivariate_normal": [((V, COV, 3), {"method": "cholesky"}), ((V, COV), {"method": "eigh"})],
    "permuted": [((COV,), {"axis": 1}), ((COV,), {}), ((V,), {}), ((COV,), {"axis": 0})],
    "permutation": [((COV,), {"axis": 1})],
    "choice": [((COV, 2), {}), ((COV, 2), {"axis": 1}), ((6, 3), {"replace": False, "shuffle": False})],
}
OF_RANDOM_STATE = {
    "rand": [((), {}), ((2, 3), {})],
    "randn": [((2, 3), {}), ((), {})],
    "random_sample": [((3,), {})],
    "random": [((3,), {})],
    "randint": [((10,), {}), ((2, 9, 5), {}), ((0, 200, (2, 2)), {"dtype": np.uint8}), ((np.array([1, 2]), 9), {})],
    "tomaxint": [((3,), {})],
}
CALLS = [(name, args, kwargs, np.random.default_rng) for name, calls in COMMON.items() for args, kwargs in calls]
CALLS += [(name, args, kwargs, np.random.default_rng) for name, calls in OF_GENERATOR.items() for args, kwargs in calls]
CALLS += [(name, args, kwargs, np.random.RandomState) for name, calls in COMMON.items() for args, kwargs in calls]
CALLS += [
    (name, args, kwargs, np.random.RandomState) for name, calls in OF_RANDOM_STATE.items() for args, kwargs in calls
]
LABELS = [f"{make.__name__}-{name}-{number}" for number, (name, _, _, make) in enumerate(CALLS)]


def states_are_equal(one, other):
    def state(rng):
        return rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state

    return str(state(one)) == str(state(other))


def assert_numpys(actual, expected, exact=True):
    assert np.shape(actual) == np.shape(expected)
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    if exact:
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "args", "kwargs", "make"), CALLS, ids=LABELS)
def test_numbers_and_states_are_numpys(name, args, kwargs, make):
    rng, plain = make(42), make(42)
    for each in (rng, plain):
        each.standard_normal()  # a RandomState keeps the second of a pair

    @tracer.compile
    def closed_over(x):
        return getattr(rng, name)(*args, **kwargs)

    @tracer.compile
    def given(generator, *args):
        return getattr(generator, name)(*args, **kwargs)

    exact = name != "multivariate_normal"
    for _ in range(2):
        assert_numpys(closed_over(np.ones(2)), getattr(plain, name)(*args, **kwargs), exact)
        assert_numpys(given(rng, *args), getattr(plain, name)(*args, **kwargs), exact)
        assert states_are_equal(rng, plain)
    assert closed_over.cache_info().traces == given.cache_info().traces == 1


@pytest.mark.parametrize("bits", BITS)
def test_every_bit_generator(bits):
    rng, plain = tracer.random.Generator(bits(7)), np.random.Generator(bits(7))

    @tracer.compile
    def draw(x):
        return rng.integers(0, 9, 3, dtype=np.uint32), rng.random(1, dtype=np.float32), x + rng.normal(size=2)

    for _ in range(4):
        expected = plain.integers(0, 9, 3, dtype=np.uint32), plain.random(1, dtype=np.float32), 1 + plain.normal(size=2)
        for one, other in zip(draw(np.ones(2)), expected, strict=True):
            assert_numpys(one, other)
        assert states_are_equal(rng, plain)
        assert rng.random() == plain.random()


def test_this_packages_generator_is_numpys_outside_of_traces():
    rng, plain = tracer.random.default_rng(3), np.random.default_rng(3)
    assert isinstance(rng, np.random.Generator)
    assert_numpys(rng.normal([1.0, 2.0], 3, size=(4, 2)), plain.normal([1.0, 2.0], 3, size=(4, 2)))
    values, expected = np.arange(5), np.arange(5)
    rng.shuffle(values)
    plain.shuffle(expected)
    assert_numpys(values, expected)
    out = np.empty(3)
    assert rng.random(out=out) is out
    assert_numpys(out, plain.random(3))
    twins = pickle.loads(pickle.dumps(rng)), copy.deepcopy(rng)
    assert all(type(twin) is tracer.random.Generator and states_are_equal(twin, plain) for twin in twins)
    children, others = rng.spawn(2), plain.spawn(2)
    assert all(type(child) is tracer.random.Generator for child in children)
    assert [child.random() for child in children] == [other.random() for other in others]
    rng.bit_generator.state = np.random.PCG64(9).state
    assert rng.random() == np.random.default_rng(9).random()
    assert tracer.random.default_rng(rng) is rng
    other = tracer.random.default_rng(plain)
    plain.random()
    assert states_are_equal(other, plain)
    assert "PCG64" in repr(rng) and rng.bytes(3) is not None


class Model:
    def __init__(self, rng):
        self.rng = rng
        self.parts = {"rng": rng}


def test_generators_are_found_in_attributes_items_defaults_and_methods():
    for make in (np.random.default_rng, tracer.random.default_rng):
        rng, plain = make(5), np.random.default_rng(5)
        model, draw = Model(rng), rng.normal

        @tracer.compile
        def f(x, model=model, draw=draw):
            return model.rng.random(2) + x, draw(size=2), model.parts["rng"].integers(10)

        for _ in range(3):
            expected = plain.random(2) + 1, plain.normal(size=2), plain.integers(10)
            for one, other in zip(f(np.ones(2), model), expected, strict=True):
                assert_numpys(one, other)
        assert type(model.rng) is type(rng) is type(model.parts["rng"])
        assert states_are_equal(rng, plain)


@dataclasses.dataclass(frozen=True)
class Dropout:
    rng: np.random.Generator
    rate: float = 0.5

    def __call__(self, x):
        return np.where(self.rng.random(x.shape) < self.rate, 0, x / (1 - self.rate))


def test_generators_in_frozen_dataclasses():
    layer, plain = Dropout(np.random.default_rng(5)), Dropout(np.random.default_rng(5))
    captured, given = tracer.compile(lambda x: layer(x)), tracer.compile(lambda layer, x: layer(x))
    for _ in range(2):
        assert_numpys(captured(np.ones(9)), plain(np.ones(9)))
        assert_numpys(given(layer, np.ones(9)), plain(np.ones(9)))
    assert type(layer.rng) is np.random.Generator and states_are_equal(layer.rng, plain.rng)


def test_generators_of_this_package_can_be_kept_anywhere():
    rngs = [tracer.random.default_rng(1), tracer.random.default_rng(2)]
    plain = [np.random.default_rng(1), np.random.default_rng(2)]

    @tracer.compile
    def f(x, extra=(rngs[1],)):
        return x + rngs[0].random() + extra[0].random()

    for _ in range(3):
        assert f(np.ones(())) == 1 + plain[0].random() + plain[1].random()


def test_a_generator_that_the_trace_cannot_follow_is_an_error_and_keeps_its_state():
    rngs = [np.random.default_rng(1)]

    @tracer.compile
    def f(x):
        return x + rngs[0].random()

    with pytest.raises(errors.TraceError, match=r"tracer\.random\.default_rng"):
        f(np.ones(2))
    assert rngs[0].random() == np.random.default_rng(1).random()


def test_a_generator_made_inside_starts_again_at_every_call():
    @tracer.compile
    def f(loc):
        rng, other = np.random.default_rng(3), default_rng(4)
        return rng.normal(loc), other.normal(loc), rng.integers(9, size=3), tracer.random.default_rng(5).random(2)

    for loc in (np.arange(3.0), np.arange(3.0) + 1):
        for _ in range(2):
            rng = np.random.default_rng(3)
            expected = rng.normal(loc), default_rng(4).normal(loc), rng.integers(9, size=3), default_rng(5).random(2)
            for one, other in zip(f(loc), expected, strict=True):
                assert_numpys(one, other)
    assert f.cache_info().traces == 1


def test_the_functions_of_numpys_module_draw_from_its_generator():
    @tracer.compile
    def f(x):
        return np.random.normal(x), np.random.rand(2), np.random.randint(5, size=3), np.random.permutation(4)

    def plain(x):
        return np.random.normal(x), np.random.rand(2), np.random.randint(5, size=3), np.random.permutation(4)

    before = np.random.get_state()
    try:
        np.random.seed(3)
        found = [f(np.arange(3.0)) for _ in range(2)]
        np.random.seed(3)
        expected = [plain(np.arange(3.0)) for _ in range(2)]
    finally:
        np.random.set_state(before)
    for one, other in zip(found, expected, strict=True):
        for actual, wanted in zip(one, other, strict=True):
            assert_numpys(actual, wanted)


def test_seeding_in_a_trace():
    rng, plain = np.random.RandomState(0), np.random.RandomState(0)

    @tracer.compile
    def f(x):
        first = rng.normal(x)
        rng.seed(8)
        return first, rng.normal(x)

    x = np.arange(2.0)
    for _ in range(2):
        one, two = f(x)
        assert_numpys(one, plain.normal(x))
        plain.seed(8)
        assert_numpys(two, plain.normal(x))
        assert states_are_equal(rng, plain)


def test_generators_as_arguments_in_nests_and_twice():
    @tracer.compile
    def f(rngs, x):
        return rngs["a"].normal(x) + rngs["b"].normal(x), rngs["a"]

    x = np.arange(3.0)
    one, two = np.random.default_rng(1), np.random.default_rng(2)
    plain_one, plain_two = np.random.default_rng(1), np.random.default_rng(2)
    result, back = f({"a": one, "b": two}, x)
    assert_numpys(result, plain_one.normal(x) + plain_two.normal(x))
    assert back is one
    result, _ = f({"a": one, "b": one}, x)
    assert_numpys(result, plain_one.normal(x) + plain_one.normal(x))
    assert states_are_equal(one, plain_one) and states_are_equal(two, plain_two)
    assert f.cache_info().traces == 2
    f({"a": tracer.random.default_rng(4), "b": np.random.default_rng(5)}, x)
    assert f.cache_info().traces == 2


def test_one_generator_as_an_argument_and_captured_is_an_error():
    rng = np.random.default_rng(1)
    f = tracer.compile(lambda other: other.random() + rng.random())
    with pytest.raises(errors.TraceError, match="two ways"):
        f(rng)
    plain = np.random.default_rng(2), np.random.default_rng(1)
    assert f(np.random.default_rng(2)) == plain[0].random() + plain[1].random()
    with pytest.raises(errors.TraceError, match="two ways"):
        f(rng)
    assert rng.random() == plain[1].random()


def test_a_failed_call_leaves_generators_as_they_were():
    rng, given = np.random.default_rng(1), np.random.default_rng(2)

    @tracer.compile
    def f(x, other, scale):
        return np.linalg.cholesky(x) + rng.normal() + other.normal(0, scale)

    f(np.eye(2), given, np.float64(1.0))
    before = rng.bit_generator.state, given.bit_generator.state
    with pytest.raises(np.linalg.LinAlgError):
        f(-np.eye(2), given, np.float64(1.0))
    with pytest.raises(ValueError, match="scale < 0"):
        f(np.eye(2), given, np.float64(-1.0))
    with pytest.raises(KeyError):
        tracer.compile(lambda x: {}[rng.normal(x)])(np.ones(2))
    assert before == (rng.bit_generator.state, given.bit_generator.state)


def test_numpys_own_errors():
    rng = np.random.default_rng(1)
    for call in (
        lambda x: rng.normal(0, -1, 3) + x,
        lambda x: rng.integers(5, 5) + x,
        lambda x: rng.choice(3, 4, replace=False) + x,
        lambda x: rng.normal(x, 1, size=(4, 5)),
    ):
        with pytest.raises(ValueError):
            call(np.ones(2))
        before = rng.bit_generator.state
        with pytest.raises(ValueError):
            tracer.compile(call)(np.ones(2))
        assert rng.bit_generator.state == before


def test_shuffling_in_place():
    for make in (np.random.default_rng, np.random.RandomState):
        rng, plain = make(3), make(3)

        @tracer.compile
        def f(x, y, rng=rng):
            copied = y * 2
            rng.shuffle(x)
            rng.shuffle(copied[1:])
            return copied

        def g(x, y, rng):
            copied = y * 2
            rng.shuffle(x)
            rng.shuffle(copied[1:])
            return copied

        for _ in range(3):
            one, other = np.arange(6.0), np.arange(6.0)
            y = np.arange(8.0).reshape(4, 2)
            assert_numpys(f(one, y, rng), g(other, y, plain))
            assert_numpys(one, other)


def test_results_written_into_traced_arrays():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)

    @tracer.compile
    def f(x):
        y = x * 2
        rng.random(out=y[1:])
        rng.standard_normal(out=x)
        return y

    for _ in range(2):
        x = np.ones(4)
        assert_numpys(f(x), np.concatenate([[2.0], plain.random(3)]))
        assert_numpys(x, plain.standard_normal(4))
    out, order = np.empty(3), np.arange(5)

    @tracer.compile
    def g(x):
        inner = np.arange(4)
        rng.shuffle(inner)
        rng.shuffle(order)
        return x + rng.random(out=out), inner

    expected, expected_order = np.empty(3), np.arange(5)
    for _ in range(2):
        inner = np.arange(4)
        plain.shuffle(inner)
        plain.shuffle(expected_order)
        result = g(np.ones(3))
        assert_numpys(result[0], 1 + plain.random(out=expected))
        assert_numpys(result[1], inner)
        assert_numpys(out, expected)
        assert_numpys(order, expected_order)
    for items in (lambda x: [x, x[:1]], lambda x: [x[0], 1]):
        with pytest.raises(errors.TracerError, match="write into a list"):
            tracer.compile(lambda x, items=items: rng.shuffle(items(x)))(np.ones(3))


def test_shuffling_a_list():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)

    def f(x, rng):
        items = [x, x + 1, x + 2, x + 3]
        rng.shuffle(items)
        return items

    compiled = tracer.compile(f)
    for _ in range(3):
        for one, other in zip(compiled(np.zeros(2), rng), f(np.zeros(2), plain), strict=True):
            assert_numpys(one, other)
    assert states_are_equal(rng, plain)


def test_what_a_trace_cannot_follow():
    rng, old = np.random.default_rng(3), np.random.RandomState(3)
    for call in (
        lambda x: x + np.random.default_rng().random(),
        lambda x: x + np.random.RandomState().rand(),
        lambda x: x + np.random.Generator(np.random.PCG64()).random(),
        lambda x: x + tracer.random.default_rng().random(),
        lambda x: x + default_rng().random(),
    ):
        with pytest.raises(errors.TraceError, match="without a seed"):
            tracer.compile(call)(np.ones(2))
    for call in (
        lambda x: rng.bit_generator.state,
        lambda x: rng.spawn(1),
        lambda x: rng.bytes(3),
        lambda x: old.get_state(),
    ):
        with pytest.raises(errors.TraceError, match="outside of the function"):
            tracer.compile(call)(np.ones(2))
    kept = []
    tracer.compile(lambda x: kept.append(tracer.random.default_rng(0)))(np.ones(2))
    with pytest.raises(errors.LeakedValueError, match="outside of that trace"):
        kept[0].random()


def test_other_threads_draw_from_the_generator_itself():
    rng, drawn = np.random.default_rng(3), []

    class Place:
        pass

    place = Place()
    place.rng = rng

    def look(_):
        drawn.append((type(place.rng), isinstance(place.rng, np.random.Generator), np.random.normal.__name__))

    @tracer.compile
    def f(x):
        on_threads(look, 2)
        return x + place.rng.random()

    assert f(np.zeros(())) == np.random.default_rng(3).random()
    assert all(is_generator and name == "normal" for _, is_generator, name in drawn)
    assert type(place.rng) is np.random.Generator


def test_what_other_threads_draw_meanwhile_stays_drawn():
    model, plain = Model(np.random.default_rng(3)), np.random.default_rng(3)

    def draw(_):
        model.rng.normal(size=5)

    @tracer.compile
    def f(x):
        on_threads(draw, 2)
        return x + model.rng.random()

    plain.normal(size=10)
    assert f(np.zeros(())) == plain.random()
    assert f(np.zeros(())) == plain.random()
    assert states_are_equal(model.rng, plain)


def test_several_threads_trace_with_one_generator():
    rng = np.random.default_rng(3)
    model = Model(rng)

    def work(_):
        tracer.compile(lambda x: x + model.rng.normal(size=3))(np.zeros(3))

    on_threads(work, 4)
    assert model.rng is rng and model.parts["rng"] is rng


def test_a_call_on_another_thread_during_a_trace_is_no_draw_of_its_own():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)
    ready = tracer.compile(lambda x: x + rng.normal(size=3))
    ready(V)

    def function(x):
        on_threads(lambda _: ready(V), 1)  # while this one is traced
        return x + rng.normal(size=3) if x.ndim > 1 else x * 2

    np.testing.assert_array_equal(tracer.compile(function)(V), 2 * V)
    plain.normal(size=6)
    assert states_are_equal(rng, plain)


def test_unused_draws_advance_too():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)

    @tracer.compile
    def f(x):
        rng.normal(size=7)
        return x

    f(np.ones(2))
    plain.normal(size=7)
    assert states_are_equal(rng, plain)


def test_both_executors_and_the_checking_mode():
    for options in ({"backend": "reference"}, {"backend": "cpu"}, {"mode": "check"}):
        rng, plain = np.random.default_rng(3), np.random.default_rng(3)
        f = tracer.compile(lambda x, rng=rng: x * rng.normal(size=3), **options)
        for _ in range(2):
            assert_numpys(f(np.ones(3)), plain.normal(size=3))
        g = tracer.compile(lambda rng, x: x * rng.normal(size=3), **options)
        assert_numpys(g(rng, np.ones(3)), plain.normal(size=3))
        assert states_are_equal(rng, plain)


def test_a_compiled_function_inside_another():
    rng, plain = np.random.default_rng(3), np.random.default_rng(3)
    inner = tracer.compile(lambda rng, x: x + rng.random())
    outer = tracer.compile(lambda x: inner(rng, x) + inner(rng, x))
    for _ in range(2):
        assert outer(np.float64(1.0)) == 1 + plain.random() + (1 + plain.random())
    assert states_are_equal(rng, plain)


def test_legacy_generators_made_from_a_seed_and_children_of_seeded_ones():
    def function(x, seed=4):
        legacy, children = np.random.RandomState(seed), np.random.default_rng(seed).spawn(2)
        out = np.zeros(3)
        for k in range(3):
            out[k] = x[k] * legacy.rand()
        return out, legacy.randn(2), [child.normal(x) for child in children]

    compiled = tracer.compile(function)
    for x in (V, 2 * V):
        found, expected = compiled(x), function(x)
        for one, other in zip((*found[:2], *found[2]), (*expected[:2], *expected[2]), strict=True):
            np.testing.assert_allclose(one, other)
    assert compiled.cache_info().traces == 1
    with pytest.raises(errors.TraceError, match="without a seed"):
        tracer.compile(lambda x: x * np.random.RandomState().rand())(V)
