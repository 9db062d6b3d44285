"""Patches, connectionist temporal classification and sparse blocks: against plain loops."""

from itertools import groupby, product

import numpy as np
import pytest
import scipy.special
from tensor.symbolically import value, variables

import tracer
from tracer.tensor import nnet
from tracer.tensor.nnet.neighbours import images2neibs, neibs2images

# --- patches -----------------------------------------------------------------------------------------------------


def patches_by_loops(x, sizes, steps, mode):
    shifts = {"wrap_centered": [s // 2 for s in sizes], "half": [s // 2 for s in sizes], "full": [s - 1 for s in sizes]}
    shift = shifts.get(mode, [0, 0])
    spatial = x.shape[2:]
    if mode == "wrap_centered":
        counts = [-(-n // t) for n, t in zip(spatial, steps, strict=True)]
    else:
        counts = [1 + (n + 2 * h - s) // t for n, h, s, t in zip(spatial, shift, sizes, steps, strict=True)]
    rows = []
    for n, c, a, b in product(range(x.shape[0]), range(x.shape[1]), *map(range, counts)):
        row = []
        for i, j in product(*map(range, sizes)):
            r, k = a * steps[0] + i - shift[0], b * steps[1] + j - shift[1]
            if mode == "wrap_centered":
                r, k = r % spatial[0], k % spatial[1]
            inside = 0 <= r < spatial[0] and 0 <= k < spatial[1]
            row.append(x[n, c, r, k] if inside else 0)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(
    ("shape", "sizes", "steps", "mode"),
    [
        ((2, 3, 4, 6), (2, 3), None, "valid"),
        ((1, 2, 5, 6), (3, 2), (1, 2), "valid"),
        ((1, 2, 5, 7), (2, 3), None, "ignore_borders"),
        ((1, 2, 5, 7), (2, 3), (2, 1), "ignore_borders"),
        ((1, 2, 5, 6), (3, 5), (1, 1), "wrap_centered"),
        ((1, 2, 5, 6), (3, 3), (2, 4), "wrap_centered"),
        ((1, 2, 5, 6), (3, 2), (1, 2), "half"),
        ((1, 2, 5, 6), (3, 2), (1, 1), "full"),
    ],
)
def test_images2neibs(shape, sizes, steps, mode):
    x = np.random.default_rng(0).standard_normal(shape)

    def function(x):
        return images2neibs(x, sizes, steps, mode)

    np.testing.assert_array_equal(value(function, x), patches_by_loops(x, sizes, steps or sizes, mode))
    tracer.testing.check_grads(lambda x: np.square(function(x)), (x,), order=2)


@pytest.mark.parametrize(("shape", "mode"), [((2, 3, 4, 6), "valid"), ((2, 3, 5, 7), "ignore_borders")])
def test_neibs2images_is_the_inverse(shape, mode):
    x = np.random.default_rng(0).standard_normal(shape)
    patches = patches_by_loops(x, (2, 3), (2, 3), mode)
    x[:, :, 4:], x[..., 6:] = 0, 0
    np.testing.assert_array_equal(value(lambda p: neibs2images(p, (2, 3), shape, mode), patches), x)
    tracer.testing.check_grads(lambda p: np.sin(neibs2images(p, (2, 3), shape, mode)), (patches,), order=2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((3, 2),), "do not fit"),
        (((2, 2), (3, 2)), "do not fit"),
        (((2, 3), (1, 1), "wrap_centered"), "odd size"),
        (((5, 3), (1, 1), "wrap_centered"), "odd size"),
    ],
)
def test_patches_that_do_not_fit(arguments, text):
    with pytest.raises(TypeError, match=rf"{text}(?s:.)*HINT"):
        tracer.compile(lambda x: images2neibs(x, *arguments))(np.zeros((1, 1, 4, 4)))


def test_errors_about_patches():
    with pytest.raises(TypeError, match=r"needs images(?s:.)*HINT"):
        images2neibs(*variables([np.zeros((4, 4))]), (2, 2))
    with pytest.raises(NotImplementedError, match="knows the modes"):
        tracer.compile(lambda x: images2neibs(x, (2, 2), mode="same"))(np.zeros((1, 1, 4, 4)))
    with pytest.raises(NotImplementedError, match="mode"):
        tracer.compile(lambda x: neibs2images(x, (2, 2), (1, 1, 4, 4), "full"))(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="do not make"):
        tracer.compile(lambda x: neibs2images(x, (2, 2), (1, 1, 5, 4)))(np.zeros((4, 4)))


# --- ctc ---------------------------------------------------------------------------------------------------------


def ctc_by_readings(activations, labels, lengths):
    """Add up the probabilities of all predictions that read as the label."""
    p = scipy.special.softmax(activations, -1)
    costs = []
    for sample, (label, length) in enumerate(zip(labels, lengths, strict=True)):
        total = 0.0
        for path in product(range(p.shape[2]), repeat=int(length)):
            if [symbol for symbol, _ in groupby(path) if symbol] == [item for item in label if item >= 0]:
                total += np.prod([p[step, sample, symbol] for step, symbol in enumerate(path)])
        costs.append(-np.log(total) if total else np.inf)
    return np.array(costs)


@pytest.mark.parametrize(
    ("labels", "lengths"),
    [
        ([[1, 2], [2, 2], [1, -1], [-1, -1]], [4, 4, 3, 2]),
        ([[1, 2, 1], [2, 2, 2], [1, 1, -1], [-1, -1, -1]], [5, 5, 3, 1]),
        ([[1], [2], [1], [-1]], [1, 2, 5, 5]),
    ],
)
def test_ctc(labels, lengths):
    steps, labels, lengths = max(lengths), np.array(labels, np.int32), np.array(lengths, np.int32)
    activations = np.random.default_rng(0).standard_normal((steps, 4, 3))
    expected = ctc_by_readings(activations, labels, lengths)
    np.testing.assert_allclose(value(nnet.ctc, activations, labels, lengths), expected, rtol=1e-12)
    tracer.testing.check_grads(lambda a: nnet.ctc(a, labels, lengths), (activations,), order=2, rtol=1e-4)


def test_ctc_of_a_label_that_is_too_long():
    activations = np.zeros((2, 2, 3))
    found = value(nnet.ctc, activations, np.array([[1, 1], [1, 2]]), np.array([2, 2]))
    assert found[0] == np.inf and found[1] == pytest.approx(np.log(9))


def test_ctc_is_accurate_for_long_sequences():
    activations = np.zeros((400, 1, 2), np.float64)
    activations[:, :, 1] = -5
    found = value(nnet.ctc, activations, np.array([[1]]), np.array([400]))
    lone = -np.logaddexp(0, 5)
    runs = [np.log(400 - n + 1) + n * lone + (400 - n) * -np.logaddexp(0, -5) for n in range(1, 401)]
    assert found[0] == pytest.approx(-np.logaddexp.reduce(runs))


def test_ctc_needs_the_right_dimensions():
    with pytest.raises(TypeError, match=r"ctc needs(?s:.)*HINT"):
        nnet.ctc(*variables([np.zeros((3, 2)), np.zeros((2, 2), int), np.zeros(2, int)]))


# --- sparse blocks -----------------------------------------------------------------------------------------------


def blocks():
    rng = np.random.default_rng(0)
    W, h, b = rng.standard_normal((4, 5, 3, 2)), rng.standard_normal((6, 2, 3)), rng.standard_normal((5, 2))
    return W, h, rng.integers(0, 4, (6, 2)), b, rng.integers(0, 5, (6, 3))


def test_sparse_block_dot():
    W, h, first, b, second = blocks()
    expected = b[second].copy()
    for s, j, i in product(range(6), range(3), range(2)):
        expected[s, j] += h[s, i] @ W[first[s, i], second[s, j]]
    np.testing.assert_allclose(value(nnet.sparse_block_dot, W, h, first, b, second), expected, rtol=1e-12)
    np.testing.assert_allclose(value(nnet.sparse_block_dot, W, h[0], first[0], b, second[0]), expected[:1], rtol=1e-12)
    tracer.testing.check_grads(lambda W, h, b: nnet.sparse_block_dot(W, h, first, b, second), (W, h, b), order=2)
    o = np.ones((6, 3, 2))
    found = value(nnet.sparse_block_gemv, o, W, h, first, second)
    np.testing.assert_allclose(found, expected - b[second] + 1, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="one dimension less"):
        tracer.compile(nnet.sparse_block_dot)(W, h, first[0], b, second)


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_sparse_block_outer(alpha):
    o, h, first, _, second = blocks()
    y = np.random.default_rng(1).standard_normal((6, 3, 2))
    expected = o.copy()
    for s, i, j in product(range(6), range(2), range(3)):
        expected[first[s, i], second[s, j]] += (alpha or 1) * np.outer(h[s, i], y[s, j])
    found = value(lambda o, x, y, i, j: nnet.sparse_block_outer(o, x, y, i, j, alpha), o, h, y, first, second)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
