"""Random NumPy programs: compiled and plain give the same, forward and reverse mode agree with finite differences."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tracer

SHAPES = [(), (3,), (4,), (2, 3), (3, 4), (1, 3), (2, 1), (2, 3, 4)]
LARGEST = 300

UNARY = (
    np.sin,
    np.tanh,
    np.arctan,
    np.expm1,
    np.negative,
    lambda v: np.exp(-v * v),
    lambda v: np.log1p(v * v),
    lambda v: np.log(1 + np.exp(v)),
    lambda v: np.sqrt(v * v + 0.5),
    lambda v: 1 / (1 + np.exp(-v)),
    lambda v: v**3,
    lambda v: np.where(v > 0, v, 0.1 * v),
    lambda v: np.clip(v, -1, 1),
    lambda v: np.abs(v) + 0.01,
)
BINARY = (
    np.add,
    np.subtract,
    np.multiply,
    np.maximum,
    np.arctan2,
    np.logaddexp,
    lambda a, b: a / (b * b + 1),
    lambda a, b: np.where(a > b, a, b),
)
REDUCTIONS = (np.sum, np.mean, np.max, np.min, np.prod, np.var)


def broadcastable(a, b):
    try:
        return np.prod(np.broadcast_shapes(a.shape, b.shape)) <= LARGEST
    except ValueError:
        return False


def written(a):
    result = a.copy()
    part = result[..., :2]
    part += 1
    result[0] = result[-1] * 2
    return result


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def arrangements(a, b, random):
    """What can be made of arrays with at least one axis."""
    axis = int(random.integers(a.ndim))
    yield lambda: REDUCTIONS[random.integers(len(REDUCTIONS))](a, axis=axis, keepdims=bool(random.integers(2)))
    yield lambda: np.transpose(a, random.permutation(a.ndim))
    yield lambda: a.reshape(-1)
    yield lambda: a[..., ::-1]
    yield lambda: a[1:] if a.shape[0] > 1 else a[None]
    yield lambda: a[random.integers(-a.shape[0], a.shape[0], 3)]
    yield lambda: np.cumsum(a, axis=axis)
    yield lambda: np.roll(a, 1, axis)
    yield lambda: np.concatenate([a, b] if a.shape == b.shape else [a, a * 2], axis=axis)
    yield lambda: np.stack([a, a + 1], axis=axis)
    yield lambda: written(a)
    yield lambda: softmax(a)
    yield lambda: np.sort(a, axis=axis)
    yield lambda: a @ b if b.ndim in (1, 2) and b.shape[0] == a.shape[-1] else np.einsum("...i,...i->...", a, a)


def program(seed, leaves, steps):
    """Apply `steps` random operations, the same for the same seed and shapes."""
    random = np.random.default_rng(seed)
    pool = list(leaves)
    for _ in range(steps):
        a, b = pool[random.integers(len(pool))], pool[random.integers(len(pool))]
        choice = random.integers(4)
        if choice == 0:
            new = UNARY[random.integers(len(UNARY))](a)
        elif choice == 1 and broadcastable(a, b):
            new = BINARY[random.integers(len(BINARY))](a, b)
        elif choice > 1 and a.ndim:
            possible = list(arrangements(a, b, random))
            new = possible[random.integers(len(possible))]()
        else:
            continue
        if 0 < new.size <= LARGEST:
            pool.append(new)
    return tuple(pool[-3:])


def drawn(draw_seed, dtype):
    random = np.random.default_rng(draw_seed)
    shapes = [SHAPES[random.integers(len(SHAPES))] for _ in range(3)]
    return [np.asarray(random.normal(size=shape)).astype(dtype)[()] for shape in shapes]


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 3e-3)])
@hypothesis.settings(max_examples=120)
@hypothesis.given(seed=seeds, steps=st.integers(3, 16))
def test_compiled_and_plain_agree(dtype, tolerance, seed, steps):
    def function(*args):
        return program(seed, args, steps)

    compiled = tracer.compile(function)
    for arguments in (drawn(seed, dtype), [value * dtype(0.9) for value in drawn(seed, dtype)]):
        for expected, actual in zip(function(*arguments), compiled(*arguments), strict=True):
            hypothesis.assume(np.all(np.isfinite(expected)))
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            scale = np.max(np.abs(expected), initial=1)
            np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)
    assert compiled.cache_info().traces == 1


VIEWS = (
    lambda a: a[1:] if a.shape[0] > 1 else a[::-1],
    lambda a: a[..., ::-2],
    lambda a: a[None],
    lambda a: a.T,
    lambda a: a.reshape(-1),
    lambda a: a.reshape(a.shape[-1], -1),
    lambda a: a[-1] if a.ndim > 1 else a[:2],
    lambda a: a * 1.5,
    lambda a: a.copy(),
    lambda a: a + a.ravel()[0],
)


def write(a, b, choice):
    if choice == 0:
        a += 1
    elif choice == 1:
        a[0] = a[-1] * 2
    elif choice == 2:
        a[..., :1] = b.sum()
    elif choice == 3:
        a[::-1] *= 0.5
    elif choice == 4:
        np.add(a, 2, out=a)
    elif choice == 5:
        a[[0, -1]] = 7


def writing_program(seed, a, steps):
    """Make views of views and copies, and write into any of them."""
    random = np.random.default_rng(seed)
    pool = [a]
    for _ in range(steps):
        pool.append(VIEWS[random.integers(len(VIEWS))](pool[random.integers(len(pool))]))
        write(pool[random.integers(len(pool))], pool[random.integers(len(pool))], random.integers(8))
    return [value + 0 for value in pool]


@hypothesis.settings(max_examples=150)
@hypothesis.given(seed=seeds, steps=st.integers(2, 10), strided=st.booleans())
def test_views_and_copies_are_numpys(seed, steps, strided):
    shape = [(6,), (2, 3), (4, 3), (2, 2, 3)][seed % 4]
    plain = np.random.default_rng(seed).normal(size=shape)
    traced = plain[::-1].copy()[::-1] if strided else plain.copy()
    plain = plain[::-1].copy()[::-1] if strided else plain
    expected = writing_program(seed, plain, steps)
    for one, other in zip(expected, tracer.compile(writing_program)(seed, traced, steps), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(traced, plain, rtol=1e-12, atol=1e-12)


@hypothesis.settings(max_examples=100)
@hypothesis.given(seed=seeds, steps=st.integers(3, 12))
def test_derivatives_agree_with_finite_differences(seed, steps):
    def cost(*args):
        return sum(np.sum(np.tanh(value)) for value in program(seed, args, steps))

    arguments = drawn(seed, np.float64)
    random = np.random.default_rng(seed)
    directions = [np.asarray(random.normal(size=value.shape))[()] for value in arguments]
    gradient = tracer.grad(cost, argnums=(0, 1, 2))(*arguments)
    reverse = sum(np.sum(g * d) for g, d in zip(gradient, directions, strict=True))
    forward = tracer.jvp(cost, arguments, directions)[1]
    np.testing.assert_allclose(forward, reverse, rtol=1e-6, atol=1e-8)

    def difference(step):
        ahead, behind = (
            cost(*(value + sign * step * move for value, move in zip(arguments, directions, strict=True)))
            for sign in (1, -1)
        )
        return (ahead - behind) / (2 * step)

    coarse, fine = difference(1e-6), difference(1e-7)
    hypothesis.assume(abs(coarse - fine) < 1e-3 * (1 + abs(reverse)))  # no kink or pole in between
    np.testing.assert_allclose(reverse, coarse, rtol=2e-3, atol=2e-3)
