"""MRG31k3p against the published recurrence, computed number by number with Python's integers."""

import itertools

import numpy as np
import pytest
from scipy import stats

import tracer
from tracer.ops import mrg

SEED = np.full(6, 12345, np.int32)
M1, M2 = 2**31 - 1, 2**31 - 21069


def recurrence(row, count):
    """(numbers, state) after `count` steps of one stream."""
    x, y = [int(word) for word in row[:3]], [int(word) for word in row[3:]]
    numbers = []
    for _ in range(count):
        x = [(2**22 * x[1] + (2**7 + 1) * x[2]) % M1, x[0], x[1]]
        y = [(2**15 * y[0] + (2**15 + 1) * y[2]) % M2, y[0], y[1]]
        difference = x[0] - y[0]
        numbers.append(difference if difference > 0 else difference + M1)
    return numbers, [*x, *y]


def expected_draw(state, count):
    streams = len(state)
    sample, after = np.empty(count), np.empty_like(state)
    for stream, row in enumerate(state):
        numbers, after[stream] = recurrence(row, len(range(stream, count, streams)))
        sample[stream::streams] = np.array(numbers) / 2.0**31
    return after, sample


def test_the_published_sequence():
    _, sample = mrg.uniform(mrg.substreams(SEED, 1), (5,))
    published = [0.7353244530968368, 0.6142074400559068, 0.11007806099951267, 0.6487741703167558, 0.36619443260133266]
    np.testing.assert_allclose(sample, published, rtol=1e-9)


# Rounds per stream: none, part of one, whole ones, as many as are written out, and more.
@pytest.mark.parametrize("streams", [1, 7, 16])
@pytest.mark.parametrize("count", [0, 1, 5, 7, 48, 56, 59, 63, 64, 112, 118, 130, 300])
def test_every_number_and_state(streams, count):
    state = mrg.substreams(SEED, streams)
    after, sample = mrg.uniform(state, (count,))
    expected_after, expected = expected_draw(state, count)
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(after, expected_after)
    assert after.dtype == np.int32 and after.shape == state.shape


def test_draws_follow_one_another():
    state = mrg.substreams(SEED, 3)
    _, long = expected_draw(state, 36)
    for start in (0, 12, 24):
        state, sample = mrg.uniform(state, (2, 6))
        np.testing.assert_array_equal(sample.ravel(), long[start : start + 12])


def test_extreme_states():
    rows = np.array([[M1 - 1] * 3 + [M2 - 1] * 3, [1, 0, 0, 0, 0, 1], [0, 0, M1 - 1, M2 - 1, 0, 0]], np.int32)
    for count in (3, 3 * 20):
        after, sample = mrg.uniform(rows, (count,))
        expected_after, expected = expected_draw(rows, count)
        np.testing.assert_array_equal(sample, expected)
        np.testing.assert_array_equal(after, expected_after)


def test_float32_stays_below_one():
    # The recurrences give x = 0 and y = 0 next: the number is the largest there is.
    row = np.array([[0, 0, 0, 0, 0, 0]], np.int32)
    for dtype in (np.float32, np.float64):
        _, sample = mrg.uniform(row, (1,), dtype)
        assert sample.dtype == dtype and 0.9999999 < sample[0] < 1
    state = mrg.substreams(SEED, 5)
    single, double = (mrg.uniform(state, (1000,), dtype)[1] for dtype in (np.float32, np.float64))
    np.testing.assert_allclose(single, double, rtol=2e-7)


RECURRENCES = (([[0, 2**22, 2**7 + 1], [1, 0, 0], [0, 1, 0]], M1), ([[2**15, 0, 2**15 + 1], [1, 0, 0], [0, 1, 0]], M2))


@pytest.mark.parametrize(
    ("doublings", "found"),
    [(72, lambda: mrg.substreams(SEED, 2)[1]), (134, lambda: mrg.skipped(SEED, mrg.STREAM_STEPS))],
)
def test_streams_are_the_published_distance_apart(doublings, found):
    expected = []
    for matrix, modulus in RECURRENCES:
        power = np.array(matrix, object)
        for _ in range(doublings):
            power = power.dot(power) % modulus
        expected += (power.dot(np.full(3, 12345, object)) % modulus).tolist()
    assert found().tolist() == expected


def test_skipping_is_stepping():
    assert mrg.skipped(SEED, 5).tolist() == recurrence(SEED, 5)[1]


def test_substreams_follow_one_another():
    states = mrg.substreams(SEED, 37)
    for before, after in itertools.pairwise(states):
        np.testing.assert_array_equal(mrg.skipped(before, mrg.SUBSTREAM_STEPS), after)
    np.testing.assert_array_equal(states[:5], mrg.substreams(SEED, 5))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [10, 100_000, 200_001])
def test_compiled_numbers_are_the_same(threads, count, monkeypatch):
    monkeypatch.setattr(tracer.config, "threads", threads)
    state = mrg.substreams(SEED, min(count, 15360))
    after, sample = mrg.uniform(state, (count,))
    found_after, found = tracer.compile(lambda state: mrg.uniform(state, (count,)))(state)
    np.testing.assert_array_equal(found, sample)
    np.testing.assert_array_equal(found_after, after)


# --- distributions -----------------------------------------------------------------------------------------------

STATE = mrg.substreams(SEED, 64)


@pytest.mark.parametrize("count", [1, 6, 7])
def test_normal_is_made_of_pairs(count):
    after, sample = mrg.normal(STATE, (count,))
    pairs = (count + 1) // 2
    expected_after, u = expected_draw(STATE, 2 * pairs)
    radius, angle = np.sqrt(-2 * np.log(u[:pairs])), 2 * np.pi * u[pairs:]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    np.testing.assert_allclose(sample, both[:count], rtol=1e-12)
    np.testing.assert_array_equal(after, expected_after)


def test_normal_distribution():
    _, sample = mrg.normal(STATE, (100, 101))
    assert stats.kstest(sample.ravel(), "norm").pvalue > 0.01
    assert mrg.normal(STATE, (3,), np.float32)[1].dtype == np.float32


def test_truncated_normal_distribution():
    _, sample = mrg.normal(STATE, (100, 101), truncate=True)
    assert np.abs(sample).max() <= 2
    assert stats.kstest(sample.ravel(), stats.truncnorm(-2, 2).cdf).pvalue > 0.01


def test_binomial():
    _, u = expected_draw(STATE, 12)
    chance = np.array([0.2, 0.5, 0.9])
    _, sample = mrg.binomial(STATE, (4, 3), 1, chance)
    np.testing.assert_array_equal(sample, u.reshape(4, 3) < chance)
    _, sample = mrg.binomial(STATE, (20000,), 5, 0.3)
    found = np.bincount(sample, minlength=6) / 20000
    np.testing.assert_allclose(found, stats.binom(5, 0.3).pmf(range(6)), atol=0.012)


WEIGHTS = np.array([[0.1, 0.6, 0.3], [0.0, 0.5, 0.5]])


def test_multinomial():
    _, u = expected_draw(STATE, 8)
    _, sample = mrg.multinomial(STATE, 4, WEIGHTS)
    expected = np.zeros((2, 3), int)
    for trial in range(4):
        for row in range(2):
            expected[row, np.searchsorted(np.cumsum(WEIGHTS[row]), u[2 * trial + row], side="right")] += 1
    np.testing.assert_array_equal(sample, expected)


def test_choice_without_replacement():
    _, u = expected_draw(STATE, 4)
    _, sample = mrg.choice(STATE, 2, WEIGHTS, replace=False)
    for row in range(2):
        weights = WEIGHTS[row].copy()
        for pick in range(2):
            place = np.searchsorted(np.cumsum(weights), u[2 * pick + row], side="right")
            assert sample[row, pick] == place
            weights[place] = 0
            weights /= weights.sum() or 1


def test_choice_of_more_than_there_is():
    _, sample = mrg.choice(STATE, 3, WEIGHTS, replace=False)
    assert sorted(sample[0]) == [0, 1, 2] and sorted(sample[1]) == [-1, 1, 2]


def test_choice_frequencies():
    many = np.repeat(WEIGHTS[:1], 5000, axis=0)
    _, sample = mrg.choice(STATE, 2, many, replace=False)
    assert np.all(sample[:, 0] != sample[:, 1])
    np.testing.assert_allclose(np.bincount(sample[:, 0]) / 5000, WEIGHTS[0], atol=0.025)
    _, sample = mrg.choice(STATE, 3, many, replace=True)
    np.testing.assert_allclose(np.bincount(sample.ravel()) / 15000, WEIGHTS[0], atol=0.015)


def test_distributions_compile_to_the_same_numbers():
    functions = (
        lambda s: mrg.normal(s, (7, 3)),
        lambda s: mrg.normal(s, (7, 3), truncate=True),
        lambda s: mrg.binomial(s, (5,), 3, 0.4),
        lambda s: mrg.multinomial(s, 3, WEIGHTS),
        lambda s: mrg.choice(s, 2, WEIGHTS, replace=False),
    )
    for function in functions:
        after, sample = function(STATE)
        found_after, found = tracer.compile(function)(STATE)
        np.testing.assert_array_equal(found_after, after)
        np.testing.assert_allclose(found, sample, rtol=1e-12)
