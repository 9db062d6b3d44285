"""Whole scientific programs in plain NumPy: NumPy's values and effects, derivatives of each kind, and batches."""

import copy

import numpy as np
import pytest
from scientific import iterations
from scientific.cases import CASES

import tracer
from tracer.tree import flatten

STEP = 1e-6
SMOOTH = [case for case in CASES if case.argnums]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_same(found, expected):
    (found, structure), (expected, plain) = flatten(found), flatten(expected)
    assert structure == plain
    for one, other in zip(found, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def contents(args):
    return [arg.bit_generator.state if isinstance(arg, np.random.Generator) else arg for arg in args]


def cost_of(case):
    """A number that depends on all that a program returns."""

    def cost(*args):
        leaves = [leaf for leaf in flatten(case.program(*args))[0] if np.result_type(leaf).kind in "fc"]
        total = 0.0
        for leaf in leaves:
            part = np.ravel(np.real(leaf))
            total = total + np.sum(np.sin(np.where(np.isfinite(part), part, 0)) * np.cos(np.arange(part.size)))
        return total

    return cost


def moved(case, args, directions, step):
    """Own copies of arguments, those that are differentiated by changed in a direction."""
    args = copy.deepcopy(list(args))
    for position, direction in zip(case.argnums, directions, strict=True):
        args[position] = args[position] + step * direction
    return args


def slope(function, case, args, directions):
    ahead = flatten(function(*moved(case, args, directions, STEP)))[0]
    behind = flatten(function(*moved(case, args, directions, -STEP)))[0]
    return [(np.asarray(one) - other) / (2 * STEP) for one, other in zip(ahead, behind, strict=True)]


def directions_for(case, args, rng):
    return tuple(rng.normal(size=np.shape(args[position])) for position in case.argnums)


def along(case, function):
    """The tangent of a function of the arguments in a direction."""

    def pushed(args, directions):
        def inner(*values):
            every = list(args)
            for position, value in zip(case.argnums, values, strict=True):
                every[position] = value
            return function(*every)

        return tracer.jvp(inner, tuple(args[position] for position in case.argnums), directions)[1]

    return tracer.compile(pushed, branches=case.branches)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@named(CASES)
def test_values_and_effects(case, backend):
    rng = np.random.default_rng(3)
    compiled = tracer.compile(case.program, branches=case.branches, backend=backend)
    for _ in range(3):
        args = case.make(rng)
        given, plain = copy.deepcopy(args), copy.deepcopy(args)
        assert_same(compiled(*given), case.program(*plain))
        for one, other in zip(contents(given), contents(plain), strict=True):
            np.testing.assert_equal(one, other) if isinstance(one, dict) else np.testing.assert_allclose(one, other)
    assert case.branches == "guard" or compiled.cache_info().traces == 1


@named(SMOOTH)
def test_first_derivatives(case):
    rng, cost = np.random.default_rng(4), cost_of(case)
    gradient = tracer.compile(tracer.value_and_grad(cost, argnums=case.argnums), branches=case.branches)
    tangent = along(case, cost)
    for _ in range(2):
        args = case.make(rng)
        directions = directions_for(case, args, rng)
        value, slopes = gradient(*copy.deepcopy(args))
        np.testing.assert_allclose(value, cost(*copy.deepcopy(args)), rtol=1e-9, atol=1e-12)
        expected = slope(cost, case, args, directions)[0]
        reverse = sum(np.sum(one * other) for one, other in zip(slopes, directions, strict=True))
        forward = tangent(copy.deepcopy(args), directions)
        np.testing.assert_allclose([reverse, forward], [expected] * 2, rtol=1e-4, atol=1e-5)


@named(SMOOTH)
def test_second_derivatives(case):
    rng = np.random.default_rng(5)
    args = case.make(rng)
    directions = directions_for(case, args, rng)
    gradient = tracer.grad(cost_of(case), argnums=case.argnums)
    found = along(case, gradient)(copy.deepcopy(args), directions)
    expected = slope(tracer.compile(gradient, branches=case.branches), case, args, directions)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * max(1, np.abs(other).max()))


@named([case for case in CASES if case.branches == "raise"])
def test_batches(case):
    rng = np.random.default_rng(6)
    mapped = tracer.compile(tracer.vmap(case.program))
    for _ in range(2):
        examples = [case.make(rng) for _ in range(3)]
        if any(isinstance(arg, np.random.Generator) for arg in examples[0]):
            pytest.skip("one generator cannot be split over a batch as over single calls")
        found = flatten(mapped(*(np.stack(column) for column in zip(*examples, strict=True))))[0]
        expected = [flatten(case.program(*copy.deepcopy(args)))[0] for args in examples]
        for one, column in zip(found, zip(*expected, strict=True), strict=True):
            np.testing.assert_allclose(one, np.stack(column), rtol=1e-8, atol=1e-9)


def definite(rng):
    half = rng.normal(size=(4, 4))
    return half @ half.T + 4 * np.eye(4)


ITERATIONS = [
    ("newton", lambda rng: (np.float64(rng.uniform(1, 9)),)),
    ("bisection", lambda rng: (np.float64(rng.uniform(1, 9)),)),
    ("steepest", lambda rng: (definite(rng), rng.normal(size=4))),
    ("collatz", lambda rng: (rng.integers(2, 20),)),
    ("power_iteration", lambda rng: (definite(rng),)),
    ("gradient_descent", lambda rng: (rng.normal(size=3),)),
]


@pytest.mark.parametrize("name, make", ITERATIONS, ids=lambda item: item if isinstance(item, str) else "")
def test_iterations_until_something_holds(name, make):
    rng = np.random.default_rng(7)
    plain, loop = getattr(iterations, name), getattr(iterations, f"{name}_loop")
    guarded, looped = tracer.compile(plain, branches="guard"), tracer.compile(loop)
    for _ in range(4):
        args = make(rng)
        expected = plain(*args)
        np.testing.assert_allclose(guarded(*args), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(looped(*args), expected, rtol=1e-9, atol=1e-12)
    assert looped.cache_info().traces == 1
    with pytest.raises(tracer.errors.ConcretizationError, match='branches="guard"'):
        tracer.compile(plain)(*make(rng))


@pytest.mark.parametrize("name", ["newton", "steepest", "power_iteration", "gradient_descent"])
def test_derivatives_of_iterations(name):
    rng, make = np.random.default_rng(8), dict(ITERATIONS)[name]
    plain, loop = getattr(iterations, name), getattr(iterations, f"{name}_loop")
    guarded = tracer.compile(tracer.grad(lambda *args: np.sum(plain(*args))), branches="guard")
    looped = tracer.compile(tracer.grad(lambda *args: np.sum(loop(*args))))
    for _ in range(2):
        first, *others = make(rng)
        direction = rng.normal(size=np.shape(first))
        direction = direction + direction.T if np.ndim(first) else direction  # matrices stay symmetric
        ahead, behind = plain(first + STEP * direction, *others), plain(first - STEP * direction, *others)
        expected = np.sum(ahead - behind) / (2 * STEP)
        for gradient in (guarded, looped):
            np.testing.assert_allclose(np.sum(gradient(first, *others) * direction), expected, rtol=1e-3, atol=1e-5)
