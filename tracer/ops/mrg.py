"""MRG31k3p, a combined multiple recursive generator whose streams run side by side.

Two linear recurrences of order three, modulo 2^31 - 1 and 2^31 - 21069, are added. A state is a matrix with one row of
six int32 numbers per stream: the last three values of the first recurrence, newest first, then those of the second.
Everything is integer arithmetic in plain NumPy, so the numbers are the same on arrays, in compiled code, and for any
number of threads.

References
----------
P. L'Ecuyer and R. Touzin, "Fast combined multiple recursive generators with multipliers of the form a = ±2^q ± 2^r",
Proceedings of the 2000 Winter Simulation Conference, 683-689.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from tracer.graph.rules import literal

Array = np.ndarray[Any, Any]
Words = tuple[Any, ...]
Matrix = list[list[int]]

M1 = 2**31 - 1
M2 = 2**31 - 21069
_MODULI = (M1, M2)
_STEPS: tuple[Matrix, Matrix] = (
    [[0, 2**22, 2**7 + 1], [1, 0, 0], [0, 1, 0]],
    [[2**15, 0, 2**15 + 1], [1, 0, 0], [0, 1, 0]],
)
"""What one step does to the state of each recurrence."""
STREAM_STEPS, SUBSTREAM_STEPS = 2**134, 2**72
"""How far apart the streams of two random variables start, and those within one variable."""
_MOST_STEPS = 8
"""Steps that are written out one after another; more are reached by jumping ahead."""

# --- jumping ahead -----------------------------------------------------------------------------------------------


def _product(left: Matrix, right: Matrix, modulus: int) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [[sum(map(int.__mul__, row, column)) % modulus for column in columns] for row in left]


@cache
def _powers(steps: int) -> tuple[Matrix, Matrix]:
    """The matrices that take both recurrences a number of steps ahead."""
    results = []
    for matrix, modulus in zip(_STEPS, _MODULI, strict=True):
        result: Matrix = [[int(row == column) for column in range(3)] for row in range(3)]
        left, square = steps, matrix
        while left:
            if left & 1:
                result = _product(result, square, modulus)
            square = _product(square, square, modulus)
            left >>= 1
        results.append(result)
    return results[0], results[1]


def _reduced(value: Any, modulus: int) -> Any:
    """A uint64 below 2^64 - 2^32 modulo 2^31 - excess, without division."""
    excess = 2**31 - modulus
    for _ in range(3):  # the bits above 31 shrink to 33, 17, and 2 bits
        value = (value & M1) + (value >> 31) * excess
    return np.minimum(value, value - modulus)  # a difference below zero wraps to a large number


def _jumped(words: Words, steps: Sequence[int]) -> Words:
    """The six words, each of shape (len(steps), streams), as many steps ahead as each row says."""
    wide = [word.astype(np.uint64) for word in words]
    result = []
    for part, modulus in enumerate(_MODULI):
        matrices = np.array([_powers(count)[part] for count in steps], np.uint64)
        for row in range(3):
            factors = [literal(matrices[:, row, column, None], words[0]) for column in range(3)]
            terms = [word * factor for word, factor in zip(wide[3 * part : 3 * part + 3], factors, strict=True)]
            result.append(_reduced(terms[0] + terms[1] + terms[2], modulus).astype(np.uint32))
    return tuple(result)


def skipped(row: Array, steps: int) -> Array:
    """A state a number of steps ahead.

    >>> print(skipped(np.full(6, 12345, np.int32), 1))
    [240667857     12345     12345 809054265     12345     12345]
    """
    return np.stack([word[0, 0] for word in _jumped(tuple(row.reshape(6, 1, 1)), [steps])]).astype(np.int32)


def substreams(row: Array, count: int) -> Array:
    """The states of `count` streams that start 2^72 steps after one another, the first at the given state.

    >>> substreams(np.full(6, 12345, np.int32), 3).shape
    (3, 6)
    """
    states: Array = np.array(row, np.int32).reshape(1, 6)
    while len(states) < count:
        ahead = _jumped(tuple(states.T[:, None]), [SUBSTREAM_STEPS * len(states)])
        states = np.concatenate([states, np.concatenate(ahead).T.astype(np.int32)])
    return states[:count].copy()


# --- drawing -----------------------------------------------------------------------------------------------------


def _wrapped(value: Any, modulus: int) -> Any:
    """A uint32 less than twice the modulus, modulo it."""
    return np.minimum(value, value - modulus)  # a difference below zero wraps to a large number


def _rotated(word: Any, bits: int) -> Any:
    """2^bits times a word, modulo 2^31 - 1: a rotation of its 31 bits."""
    return ((word & (2 ** (31 - bits) - 1)) << bits) + (word >> (31 - bits))


def _times_2_15(word: Any) -> Any:
    """2^15 times a word, modulo 2^31 - 21069."""
    return _wrapped(((word & 0xFFFF) << 15) + (word >> 16) * 21069, M2)


def _stepped(words: Words) -> Words:
    """The six words one step ahead."""
    x1, x2, x3, y1, y2, y3 = words
    x = _wrapped(_wrapped(_rotated(x2, 22) + _rotated(x3, 7), M1) + x3, M1)
    y = _wrapped(_wrapped(_times_2_15(y3) + y3, M2) + _times_2_15(y1), M2)
    return x, x1, x2, y, y1, y2


def _combined(words: Words, dtype: np.dtype[Any]) -> Any:
    """The number in (0, 1) that a state stands for."""
    difference = words[0] - words[3]
    number = np.where(words[0] > words[3], difference, difference + M1).astype(np.int32).astype(dtype)
    # In float32 the largest number rounds up to 2^31, and must not become 1.
    return number * dtype.type(2.0**-31 if dtype.itemsize > 4 else 2.0**-31 - 2.0**-55)


def uniform(state: Any, size: Any, dtype: Any = np.float64) -> tuple[Any, Any]:
    """Draw numbers between 0 and 1.

    Element i of the sample, counted in C order, is the next number of stream i modulo the number of streams.

    Parameters
    ----------
    state : array of int32, shape (streams, 6)
        A row of six words per stream.
    size : tuple of int
        The shape of the sample.
    dtype : dtype
        Its dtype, float32 or float64.

    Returns
    -------
    state, sample : arrays
        The state after the draw, and the numbers.

    Examples
    --------
    >>> state, sample = uniform(substreams(np.full(6, 12345, np.int32), 1), (2,))
    >>> print(sample)
    [0.73532445 0.61420744]
    """
    sizes, target, streams = tuple(map(int, size)), np.dtype(dtype), state.shape[0]
    count = math.prod(sizes)
    if count < streams:  # the streams that are not needed stay as they are
        if not count:
            return state, np.zeros_like(state, target, shape=sizes)
        after, sample = uniform(state[:count], sizes, target)
        return np.concatenate([after, state[count:]]), sample
    rounds = -(-count // streams)
    steps = min(rounds, _MOST_STEPS)
    starts = range(0, rounds, steps)
    words = tuple(state[None, :, place].astype(np.uint32) for place in range(6))
    reached = [words if len(starts) == 1 else _jumped(words, starts)]
    for _ in range(steps):
        reached.append(_stepped(reached[-1]))
    sample = np.stack([_combined(item, target) for item in reached[1:]], axis=1)
    after = _after(words, reached, count, streams)
    states = np.stack([word[0].astype(np.int32) for word in after], axis=1)
    return states, np.reshape(np.reshape(sample, -1)[:count], sizes)


def _after(words: Words, reached: list[Words], count: int, streams: int) -> Words:
    """The words after a draw, in which the first streams may have made one step more than the others."""
    full, extra = divmod(count, streams)
    least = reached[full] if full < len(reached) else _jumped(words, [full])
    if not extra:
        return least
    most = reached[full + 1] if full + 1 < len(reached) else _stepped(least)
    ahead = literal(np.arange(streams) < extra, words[0])
    return tuple(np.where(ahead, one, other) for one, other in zip(most, least, strict=True))


# --- distributions -----------------------------------------------------------------------------------------------


def normal(state: Any, size: Any, dtype: Any = np.float64, truncate: bool = False) -> tuple[Any, Any]:
    """Draw standard normal numbers from pairs of uniform ones (Box and Muller).

    With `truncate`, those beyond ±2 are replaced: their radius is drawn again from [0, 2].

    >>> state, sample = normal(substreams(np.full(6, 12345, np.int32), 6), (5,))
    >>> sample.shape
    (5,)
    """
    count = math.prod(size)
    pairs = (count + 1) // 2
    state, numbers = uniform(state, (2, pairs), dtype)
    angle = numbers[1] * np.dtype(dtype).type(2 * np.pi)
    unit = np.stack([np.cos(angle), np.sin(angle)])
    sample = np.sqrt(-2 * np.log(numbers[0])) * unit
    if truncate:
        state, numbers = uniform(state, (2, pairs), dtype)
        least = math.exp(-2)
        radius = np.sqrt(-2 * np.log(numbers * (1 - least) + least))
        sample = np.where(np.abs(sample) > 2, radius * unit, sample)
    return state, np.reshape(np.reshape(sample, -1)[:count], size)


def binomial(state: Any, size: Any, trials: int, chance: Any, real: Any = np.float64) -> tuple[Any, Any]:
    """Draw how many of a number of trials succeed; the chance broadcasts against the size.

    >>> state, sample = binomial(substreams(np.full(6, 12345, np.int32), 2), (4,), 3, 0.5)
    >>> bool(np.all((sample >= 0) & (sample <= 3)))
    True
    """
    state, numbers = uniform(state, (trials, *size), real)
    success = numbers < chance
    return state, success[0].astype(np.int64) if trials == 1 else np.sum(success, axis=0)


def multinomial(state: Any, trials: int, weights: Any) -> tuple[Any, Any]:
    """Draw for each row of weights how often each outcome occurs.

    >>> state, sample = multinomial(substreams(np.full(6, 12345, np.int32), 2), 3, np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> sample.tolist()
    [[0, 3], [3, 0]]
    """
    state, numbers = uniform(state, (trials, weights.shape[0], 1), weights.dtype)
    below = np.sum(numbers < np.cumsum(weights, axis=1), axis=0)
    return state, np.concatenate([below[:, :1], below[:, 1:] - below[:, :-1]], axis=1)


def choice(state: Any, picks: int, weights: Any, replace: bool) -> tuple[Any, Any]:
    """Draw positions from each row of weights; a row whose weights run out gives -1.

    >>> weights = np.array([[0.5, 0.0, 0.5]])
    >>> state, sample = choice(substreams(np.full(6, 12345, np.int32), 2), 2, weights, replace=False)
    >>> sorted(sample[0].tolist())
    [0, 2]
    """
    rows, outcomes = weights.shape
    state, numbers = uniform(state, (picks, rows, 1), weights.dtype)
    places = literal(np.arange(outcomes), weights)
    columns = []
    for number in range(picks):
        reached = np.cumsum(weights, axis=1) <= numbers[number]
        place = np.sum(reached, axis=1, keepdims=True)
        columns.append(np.where(place < outcomes, place, -1))
        if not replace:
            weights = np.where(places == place, 0, weights)
            total = np.sum(weights, axis=1, keepdims=True)
            weights = weights / np.where(total > 0, total, 1)
    return state, np.concatenate(columns, axis=1)
