"""Streams of random variables that give NumPy's own numbers, each with a state that compiled functions advance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracer.ops.draws import state_of
from tracer.tensor import raw_random
from tracer.tensor.raw_random import SharedRandomState as RandomStateSharedVariable
from tracer.tracing.symbolic import as_variable

_SEEDS = 2**30
"""Seeds of random variables are drawn below this."""


class RandomStreams:
    """A source of random variables.

    Every random variable has a state of its own (`rng`), seeded in turn from this object's seed. A compiled function
    that uses the variable draws once a call, however often the variable occurs, and then advances the state, unless
    it is compiled with `no_default_updates`.

    Parameters
    ----------
    seed : int, optional
        Where the seeds of the variables start; unpredictable if None.

    Attributes
    ----------
    state_updates : list of pairs
        For each random variable its state and the state after a draw.
    gen_seedgen : numpy.random.RandomState
        Draws the seeds.

    Examples
    --------
    >>> import tracer as theano
    >>> srng = RandomStreams(seed=234)
    >>> rv_u = srng.uniform((2, 2))
    >>> f = theano.function([], rv_u)
    >>> print(f())
    [[0.12672381 0.97091597]
     [0.13989098 0.88754825]]
    """

    def __init__(self, seed: int | None = None) -> None:
        self.state_updates: list[tuple[Any, Any]] = []
        self.default_instance_seed = seed
        self.gen_seedgen = np.random.RandomState(seed)

    def updates(self) -> list[tuple[Any, Any]]:
        """Return the updates that advance the state of every random variable made so far."""
        return list(self.state_updates)

    def seed(self, seed: int | None = None) -> None:
        """Give every random variable made so far a new seed, drawn from this one (or from the first seed if None)."""
        generator = np.random.RandomState(self.default_instance_seed if seed is None else seed)
        for state, _ in self.state_updates:
            state.set_value(np.random.RandomState(int(generator.randint(_SEEDS))))

    def __getitem__(self, item: Any) -> np.random.RandomState:
        """Return the generator of a random variable's `rng`. Raises KeyError if it is not of these streams."""
        found: np.random.RandomState = self._state(item).get_value(borrow=True)
        return found

    def __setitem__(self, item: Any, value: np.random.RandomState) -> None:
        """Replace the generator of a random variable's `rng`. Raises KeyError, or TypeError for another value."""
        self._state(item).set_value(value, borrow=True)

    def _state(self, item: Any) -> Any:
        for state, _ in self.state_updates:
            if state is item:
                return state
        raise KeyError(item)

    def gen(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a random variable.

        Parameters
        ----------
        function : callable
            (state, *args, **kwargs) -> (state after the draw, sample), such as those of `raw_random`.
        *args, **kwargs
            Passed on to it.

        Returns
        -------
        variable
            The sample, with `rng` (its state) and `update` (the state and what follows it).
        """
        generator = np.random.RandomState(int(self.gen_seedgen.randint(_SEEDS)))
        state = RandomStateSharedVariable(state_of(generator))
        after, sample = function(state, *args, **kwargs)
        state.default_update = after
        sample.rng, sample.update = state, (state, after)
        self.state_updates.append(sample.update)
        return sample

    # --- distributions -------------------------------------------------------------------------------------------

    def uniform(
        self, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: int | None = None, dtype: Any = None
    ) -> Any:
        """Numbers between low and high; the size may be symbolic, and is that of the parameters if None."""
        return self.gen(raw_random.uniform, size, low, high, ndim=ndim, dtype=dtype)

    def normal(
        self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None
    ) -> Any:
        """Normal numbers of mean avg and standard deviation std."""
        return self.gen(raw_random.normal, size, avg, std, ndim=ndim, dtype=dtype)

    def binomial(
        self,
        size: Any = None,
        n: Any = 1,
        p: Any = 0.5,
        ndim: int | None = None,
        dtype: Any = "int64",
        prob: Any = None,
    ) -> Any:
        """How many of n trials succeed, each with probability p (or `prob`)."""
        return self.gen(raw_random.binomial, size, n, p, ndim=ndim, dtype=dtype, prob=prob)

    def random_integers(
        self, size: Any = None, low: Any = 0, high: Any = 1, ndim: int | None = None, dtype: Any = "int64"
    ) -> Any:
        """Integers from low to high, both included."""
        return self.gen(raw_random.random_integers, size, low, high, ndim=ndim, dtype=dtype)

    def choice(
        self,
        size: Any = None,
        a: Any = 2,
        replace: bool = True,
        p: Any = None,
        ndim: int | None = None,
        dtype: Any = "int64",
    ) -> Any:
        """Elements of a vector a, or numbers below an integer a, with or without replacement."""
        return self.gen(raw_random.choice, size, a, replace, p, ndim=ndim, dtype=dtype)

    def poisson(self, size: Any = None, lam: Any = 1.0, ndim: int | None = None, dtype: Any = "int64") -> Any:
        """Counts of events that happen at a rate lam."""
        return self.gen(raw_random.poisson, size, lam, ndim=ndim, dtype=dtype)

    def permutation(self, size: Any = None, n: Any = 1, ndim: int | None = None, dtype: Any = "int64") -> Any:
        """Permutations of the numbers below n, along a last axis of their own."""
        return self.gen(raw_random.permutation, size, n, ndim=ndim, dtype=dtype)

    def multinomial(
        self,
        size: Any = None,
        n: Any = 1,
        pvals: Any = (0.5, 0.5),
        ndim: int | None = None,
        dtype: Any = "int64",
    ) -> Any:
        """How often each outcome occurs in n trials; the outcomes are the last axis of pvals and of the sample."""
        return self.gen(raw_random.multinomial, size, n, pvals, ndim=ndim, dtype=dtype)

    def sample(self, distribution: str, *parameters: Any, **options: Any) -> Any:
        """Numbers of any distribution that RandomState has, by its name: `sample("gamma", 2.0, 1.5, size=(3,))`."""
        return self.gen(raw_random.sample, distribution, *parameters, **options)

    def shuffle_row_elements(self, input: Any) -> Any:
        """The input with the elements of its last axis in a random order, another one for each row."""
        input = as_variable(input)
        shape = input.shape
        order = self.permutation(size=shape[:-1], n=shape[-1], ndim=input.ndim - 1)
        shuffled: Any = np.take_along_axis(input, order, -1)
        shuffled.permutation = order
        return shuffled
