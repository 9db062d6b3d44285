"""Random variables from MRG31k3p: many streams side by side, drawn by compiled code with any number of threads."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.ops import mrg
from tracer.tensor.raw_random import float_dtype, known_sizes, static_sizes
from tracer.tracing.recording import deferred
from tracer.tracing.replay import static
from tracer.tracing.shared import shared
from tracer.tracing.symbolic import as_variable
from tracer.tracing.symbolic_type import TensorType, tensor_type

Array = np.ndarray[Any, Any]

_MOST_STREAMS = 60 * 256
_SAMPLES_PER_STREAM = 6
_TRUNCATED_STD = 0.87962566103423978
"""The standard deviation of a standard normal number between -2 and 2."""


def guess_n_streams(size: Any, warn: bool = False) -> int:
    """How many streams a sample is drawn from: a sixth of its elements, but at most 60 * 256.

    Parameters
    ----------
    size : sequence of int, or a symbolic size
        For one that is not known the answer is 60 * 256.
    warn : bool
        Warn about that.

    Examples
    --------
    >>> guess_n_streams((100, 30)), guess_n_streams((1000, 1000))
    (500, 15360)
    """
    if isinstance(size, tuple | list) and all(isinstance(item, int | np.integer) for item in size):
        count = math.prod(map(int, size))
        return min(count // _SAMPLES_PER_STREAM if count > _SAMPLES_PER_STREAM else count, _MOST_STREAMS)
    if warn:
        warnings.warn(f"the size {size} is not known: {_MOST_STREAMS} streams are used", stacklevel=2)
    return _MOST_STREAMS


# --- draws as expressions ----------------------------------------------------------------------------------------


def _sample_type(size: Any, ndim: int | None, dtype: str) -> TensorType:
    return tensor_type(np.dtype(dtype), tuple(item == 1 for item in known_sizes(size, ndim)))


@deferred(
    name="mrg_uniform",
    infer=lambda state, size, ndim, dtype: (state.type, _sample_type(size, ndim, dtype)),
    differentiable=False,
)
def _uniform(state: Any, size: Any, ndim: int | None, dtype: str) -> tuple[Any, Any]:
    return mrg.uniform(state, static_sizes(size), dtype)


@deferred(
    name="mrg_normal",
    infer=lambda state, size, ndim, dtype, truncate: (state.type, _sample_type(size, ndim, dtype)),
    differentiable=False,
)
def _normal(state: Any, size: Any, ndim: int | None, dtype: str, truncate: bool) -> tuple[Any, Any]:
    return mrg.normal(state, static_sizes(size), np.dtype(dtype), truncate)


@deferred(
    name="mrg_binomial",
    infer=lambda state, size, ndim, n, p, dtype, real: (state.type, _sample_type(size, ndim, dtype)),
    differentiable=False,
)
def _binomial(state: Any, size: Any, ndim: int | None, n: Any, p: Any, dtype: str, real: str) -> tuple[Any, Any]:
    state, sample = mrg.binomial(state, static_sizes(size), int(static(n)), p, np.dtype(real))
    return state, sample.astype(dtype)


@deferred(
    name="mrg_multinomial",
    infer=lambda state, n, pvals, dtype: (state.type, tensor_type(np.dtype(dtype), pvals.broadcastable)),
    differentiable=False,
)
def _multinomial(state: Any, n: Any, pvals: Any, dtype: str) -> tuple[Any, Any]:
    state, sample = mrg.multinomial(state, int(static(n)), pvals)
    return state, sample.astype(dtype)


@deferred(
    name="mrg_choice",
    infer=lambda state, size, replace, p, dtype: (
        state.type,
        tensor_type(np.dtype(dtype), (p.broadcastable[0], isinstance(size, int) and size == 1)),
    ),
    differentiable=False,
)
def _choice(state: Any, size: Any, replace: bool, p: Any, dtype: str) -> tuple[Any, Any]:
    state, sample = mrg.choice(state, int(static(size)), p, replace)
    return state, sample.astype(dtype)


# --- streams -----------------------------------------------------------------------------------------------------


class MRG_RandomStreams:
    """A source of random variables, each with a block of streams of its own.

    A compiled function that uses a variable draws once a call and then advances its state (`rng`), unless it is
    compiled with `no_default_updates`.

    Parameters
    ----------
    seed : int or six ints
        Where the first stream starts. An int stands for six times itself; the first three of six are below
        2^31 - 1 and not all 0, the last three below 2^31 - 21069 and not all 0.

    Attributes
    ----------
    state_updates : list of tuples
        For each random variable its state, the state after a draw, its size, and the number of streams asked for.
    rstate : array of int32, shape (6,)
        Where the streams of the next variable start: 2^134 steps after those of the last one.

    Raises
    ------
    ValueError, TypeError
        For a seed that the generator cannot start from.

    Examples
    --------
    >>> import tracer as theano
    >>> srng = MRG_RandomStreams(seed=12345)
    >>> f = theano.function([], srng.uniform((2,)))
    >>> first, second = f(), f()
    >>> bool((first != second).all())
    True
    """

    def __init__(self, seed: int | Sequence[int] = 12345) -> None:
        self.state_updates: list[tuple[Any, Any, Any, int | None]] = []
        self.default_instance_seed = seed
        self.rstate: Array
        self.set_rstate(seed)

    # --- seeds and states ----------------------------------------------------------------------------------------

    def set_rstate(self, seed: int | Sequence[int]) -> None:
        """Say where the streams of the next variable start; see the class for the seeds there are."""
        try:
            number = operator.index(seed)  # type: ignore[arg-type]
        except TypeError:
            words = [int(item) for item in seed]  # type: ignore[union-attr]
        else:
            words = [number] * 6
            if not 0 < number < mrg.M2:
                raise ValueError(errors.message(errors.MRG_SEED, seed=seed, reason=f"it is not in 1 ... {mrg.M2 - 1}"))
        if len(words) != 6:
            raise TypeError(errors.message(errors.MRG_SEED, seed=seed, reason="it is neither an int nor six of them"))
        for part, modulus in ((words[:3], mrg.M1), (words[3:], mrg.M2)):
            if not any(part) or not all(0 <= item < modulus for item in part):
                reason = f"{part} must be in 0 ... {modulus - 1} and not all 0"
                raise ValueError(errors.message(errors.MRG_SEED, seed=seed, reason=reason))
        self.rstate = np.array(words, np.int32)

    def seed(self, seed: int | Sequence[int] | None = None) -> None:
        """Start again from a seed (or the first one if None): also the states of the variables made so far."""
        self.set_rstate(self.default_instance_seed if seed is None else seed)
        for state, after, size, nstreams in self.state_updates:
            count = self.n_streams(size) if nstreams is None else nstreams
            state.set_value(self.get_substream_rstates(count, after.dtype), borrow=True)

    def inc_rstate(self) -> None:
        """Skip `rstate` 2^134 steps ahead, to the start of the next variable's streams."""
        self.rstate = mrg.skipped(self.rstate, mrg.STREAM_STEPS)

    def get_substream_rstates(self, n_streams: int, dtype: Any = None, inc_rstate: bool = True) -> Array:
        """Return the states of streams that start 2^72 steps apart, the first at `rstate`, and skip it ahead."""
        states = mrg.substreams(self.rstate, n_streams)
        if inc_rstate:
            self.inc_rstate()
        return states

    def n_streams(self, size: Any) -> int:
        """How many streams a variable of this size gets."""
        return guess_n_streams(size)

    def updates(self) -> list[tuple[Any, Any]]:
        """Return the updates that advance the state of every random variable made so far."""
        return [(state, after) for state, after, *_ in self.state_updates]

    def _draw(self, function: Callable[..., Any], size: Any, nstreams: int | None, *args: Any) -> tuple[Any, Any]:
        """A shared state for a new variable, and the sample that `function(state, *args)` draws."""
        if isinstance(size, tuple | list) and any(isinstance(item, int) and item <= 0 for item in size):
            raise ValueError(errors.message(errors.MRG_SIZE, size=size))
        count = self.n_streams(size) if nstreams is None else nstreams
        state = shared(self.get_substream_rstates(count), borrow=True)
        after, sample = function(state, *args)
        state.default_update = after
        self.state_updates.append((state, after, size, nstreams))
        return state, sample

    # --- distributions -------------------------------------------------------------------------------------------

    def uniform(
        self,
        size: Any,
        low: Any = 0.0,
        high: Any = 1.0,
        ndim: int | None = None,
        dtype: Any = None,
        nstreams: int | None = None,
    ) -> Any:
        """Numbers between low and high, both excluded; a derivative flows to these.

        Parameters
        ----------
        size : sequence of int, or symbolic
            Shape of the sample; low and high broadcast to it.
        ndim : int, optional
            Number of dimensions where a symbolic size does not tell it.
        dtype : str, optional
            By default floatX, or the larger one of low and high.
        nstreams : int, optional
            How many streams to draw from; see `guess_n_streams`.
        """
        low, high, dtype = self._parameters(low, high, dtype)
        state, sample = self._draw(_uniform, size, nstreams, _size(size), ndim, dtype)
        if (low, high) != (0.0, 1.0):
            sample = _cast(sample * (high - low) + low, dtype)
        return _of(sample, state)

    def normal(
        self,
        size: Any,
        avg: Any = 0.0,
        std: Any = 1.0,
        ndim: int | None = None,
        dtype: Any = None,
        nstreams: int | None = None,
        truncate: bool = False,
    ) -> Any:
        """Normal numbers of mean avg and standard deviation std; a derivative flows to these. See `uniform`.

        With `truncate`, numbers beyond two `std` of the mean are replaced by others.
        """
        avg, std, dtype = self._parameters(avg, std, dtype)
        state, sample = self._draw(_normal, size, nstreams, _size(size), ndim, dtype, truncate)
        if (avg, std) != (0.0, 1.0):
            sample = _cast(sample * std + avg, dtype)
        return _of(sample, state)

    def truncated_normal(
        self,
        size: Any,
        avg: Any = 0.0,
        std: Any = 1.0,
        ndim: int | None = None,
        dtype: Any = None,
        nstreams: int | None = None,
    ) -> Any:
        """Normal numbers cut off on both sides, whose mean is avg and whose standard deviation is std."""
        return self.normal(size, avg, std / _TRUNCATED_STD, ndim, dtype, nstreams, truncate=True)

    def binomial(
        self,
        size: Any = None,
        n: Any = 1,
        p: Any = 0.5,
        ndim: int | None = None,
        dtype: Any = "int64",
        nstreams: int | None = None,
    ) -> Any:
        """How many of n trials succeed, each with probability p, which broadcasts to the size. See `uniform`."""
        p = p if isinstance(p, int | float) else as_variable(p)
        if size is None:
            size = np.shape(p)
        state, sample = self._draw(_binomial, size, nstreams, _size(size), ndim, n, p, dtype, float_dtype(p))
        return _of(sample, state)

    def multinomial(
        self,
        size: Any = None,
        n: Any = 1,
        pvals: Any = None,
        ndim: int | None = None,
        dtype: Any = "int64",
        nstreams: int | None = None,
    ) -> Any:
        """How often each outcome occurs in n trials, for each row of the matrix of probabilities `pvals`.

        The probabilities are not checked; where those of a row sum to less than 1, a trial may have no outcome.

        Raises
        ------
        ValueError
            If pvals is not a matrix, or a size is given: it is that of pvals.
        """
        pvals = self._weights("multinomial", "pvals", pvals)
        if size is not None or ndim is not None:
            hint = "srng.multinomial(pvals=p) for one draw a row of p."
            reason = "takes its size from pvals"
            raise ValueError(errors.message(errors.MRG_ARGUMENT, function="multinomial", reason=reason, hint=hint))
        state, sample = self._draw(_multinomial, None, nstreams, n, pvals, dtype)
        return _of(sample, state)

    def choice(
        self,
        size: Any = 1,
        a: Any = None,
        replace: bool = True,
        p: Any = None,
        ndim: int | None = None,
        dtype: Any = "int64",
        nstreams: int | None = None,
    ) -> Any:
        """Positions of `size` outcomes, drawn for each row of the matrix of probabilities p.

        Without replacement no outcome is drawn twice in a row; when none is left, the position is -1.

        Raises
        ------
        TypeError
            If `a` is given: outcomes are the columns of p.
        ValueError
            If p is not a matrix.
        """
        if a is not None:
            hint = "srng.choice(size=2, p=p), and index what you want to choose from with it."
            raise TypeError(
                errors.message(errors.MRG_ARGUMENT, function="choice", reason="draws columns of p", hint=hint)
            )
        p = self._weights("choice", "p", p)
        state, sample = self._draw(_choice, None, nstreams, size, replace, p, dtype)
        return _of(sample, state)

    def multinomial_wo_replacement(
        self,
        size: Any = None,
        n: Any = 1,
        pvals: Any = None,
        ndim: int | None = None,
        dtype: Any = "int64",
        nstreams: int | None = None,
    ) -> Any:
        """Deprecated name of `choice(n, replace=False, p=pvals)`."""
        warnings.warn("multinomial_wo_replacement is deprecated: use choice(replace=False)", stacklevel=2)
        return self.choice(n, None, False, pvals, ndim, dtype, nstreams)

    @staticmethod
    def _parameters(one: Any, other: Any, dtype: Any) -> tuple[Any, Any, str]:
        """Both parameters of a distribution as numbers or variables, and the dtype of the sample."""
        values = [item if isinstance(item, int | float) else as_variable(item) for item in (one, other)]
        return values[0], values[1], float_dtype(*values) if dtype is None else np.dtype(dtype).name

    @staticmethod
    def _weights(function: str, name: str, weights: Any) -> Any:
        weights = as_variable(weights) if weights is not None else None
        if weights is None or weights.ndim != 2:
            reason = f"needs {name}, a matrix of probabilities with one row a draw"
            hint = f"srng.{function}({name}=p[None, :]) for a single row p."
            raise ValueError(errors.message(errors.MRG_ARGUMENT, function=function, reason=reason, hint=hint))
        return weights


MRG_RandomStream = MRG_RandomStreams


def _size(size: Any) -> Any:
    return tuple(size) if isinstance(size, list) else size


def _cast(sample: Any, dtype: str) -> Any:
    return sample if sample.dtype == dtype else sample.astype(dtype)


def _of(sample: Any, state: Any) -> Any:
    """A sample that knows its state."""
    sample.rng, sample.update = state, (state, state.default_update)
    return sample
