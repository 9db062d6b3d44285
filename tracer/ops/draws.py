"""Random draws as pure functions: the state of a `numpy.random.RandomState` goes in as an array and comes out advanced.

The numbers are NumPy's own, from its legacy generator. The words of a state array are the 624 of the Mersenne
twister, the position in them, whether a normal number is kept for the next draw, and the two halves of that number.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.graph.batching import Same, with_rank
from tracer.graph.body import Frame, close
from tracer.graph.node import input_node, item_nodes, make_node
from tracer.graph.op import OPS, Op, declare
from tracer.graph.rules import lift_arrays
from tracer.records import NamedTuple
from tracer.types import ArrayType, Shape, TupleType, broadcast_shapes

Array = np.ndarray[Any, Any]

_POSITION, _HAS_NORMAL, _NORMAL = 624, 625, slice(626, 628)
STATE_TYPE = ArrayType(np.dtype(np.uint32), (628,))
"""The type of a state array."""

# --- states and generators ---------------------------------------------------------------------------------------


class StateAccess:
    """The state of one RandomState, reached through its memory: its own methods take a hundred times as long.

    Parameters
    ----------
    generator : numpy.random.RandomState
        A generator of the default kind.

    Raises
    ------
    TypeError
        If its bits are not those of MT19937.
    """

    def __init__(self, generator: np.random.RandomState) -> None:
        bits = generator._bit_generator
        if not isinstance(bits, np.random.MT19937):
            raise TypeError(f"the state of a RandomState of MT19937 is needed, not of {type(bits).__name__}")
        self.generator = generator
        words = (ctypes.c_uint32 * _HAS_NORMAL).from_address(bits.ctypes.state_address)
        self._words: Array = np.ctypeslib.as_array(words)

    def load(self, state: Array) -> None:
        """Give the generator a state."""
        self._take_normal()
        self.load_into_cleared(state)

    def load_words(self, state: Array) -> None:
        """Give the generator a state for draws that use no normal numbers."""
        self._words[:] = state[:_HAS_NORMAL]

    def load_into_cleared(self, state: Array) -> None:
        """Give a state to a generator that keeps no normal number."""
        if not state[_HAS_NORMAL]:
            return self.load_words(state)
        return self.generator.set_state(
            {
                "bit_generator": "MT19937",
                "state": {"key": state[:_POSITION], "pos": int(state[_POSITION])},
                "has_gauss": 1,
                "gauss": float(np.ascontiguousarray(state[_NORMAL]).view(np.float64)[0]),
            }
        )

    def save(self) -> Array:
        """Return the generator's state, and leave the generator as it is."""
        state = self.save_and_clear()
        if state[_HAS_NORMAL]:
            self.load_into_cleared(state)
        return state

    def save_and_clear(self) -> Array:
        """Return the generator's state, and leave the generator without a normal number."""
        state = np.zeros(STATE_TYPE.known_shape, np.uint32)
        normal = self._take_normal()
        state[:_HAS_NORMAL] = self._words
        if normal is not None:
            state[_HAS_NORMAL] = 1
            state[_NORMAL] = np.array([normal]).view(np.uint32)
        return state

    def save_words(self, before: Array) -> Array:
        """Return the state after draws that use no normal numbers, from the state before them."""
        state = before.copy()
        state[:_HAS_NORMAL] = self._words
        return state

    def _take_normal(self) -> float | None:
        """The normal number that is kept for the next draw; it is not kept any longer."""
        before = self._words.copy()
        first = self.generator.standard_normal()
        if self._words[_POSITION] == before[_POSITION]:
            return float(first)
        self.generator.standard_normal()  # the second of the pair
        self._words[:] = before
        return None


class _Scratch(threading.local):
    """A generator for each thread, into which states are loaded."""

    def __init__(self) -> None:
        self.access = StateAccess(np.random.RandomState(0))
        self.access.save_and_clear()


_scratch = _Scratch()


def state_of(generator: np.random.RandomState) -> Array:
    """The state of a generator as an array.

    >>> state_of(np.random.RandomState(1)).shape
    (628,)
    """
    return StateAccess(generator).save()


def generator_of(state: Array) -> np.random.RandomState:
    """A new generator in a given state.

    >>> generator_of(state_of(np.random.RandomState(1))).uniform() == np.random.RandomState(1).uniform()
    True
    """
    generator = np.random.RandomState(0)
    StateAccess(generator).load(state)
    return generator


# --- distributions -----------------------------------------------------------------------------------------------


class Distribution(NamedTuple):
    """How the numbers of one distribution are drawn.

    Attributes
    ----------
    draw : callable
        (generator, size, *parameters, **options) -> sample.
    discrete : bool
        Whether the numbers are integers.
    normal : bool
        Whether normal numbers are drawn on the way, one of which may be kept for the next draw.
    event : callable
        (shapes of the parameters, **options) -> the axes that one draw has of its own.
    event_ndims : tuple of int
        For each parameter the number of last axes that belong to one draw.
    """

    draw: Callable[..., Any]
    discrete: bool = False
    normal: bool = False
    event: Callable[..., Shape] = lambda shapes, **_: ()
    event_ndims: tuple[int, ...] = ()


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np.random.RandomState, name)
    return lambda generator, size, *parameters: function(generator, *parameters, size=size)


def _random_integers(generator: np.random.RandomState, size: Any, low: Array, high: Array) -> Any:
    return generator.randint(low, np.add(high, 1, dtype=np.int64), size, dtype=np.int64)


def _choice(generator: np.random.RandomState, size: Any, *parameters: Array, count: int | None, replace: bool) -> Any:
    values: list[Any] = [*parameters] if count is None else [count, *parameters]
    return generator.choice(values[0], size, replace, *values[1:])


def _permutation(generator: np.random.RandomState, size: Any, count: int) -> Any:
    sample = np.empty((*size, count), np.int64)
    for index in np.ndindex(*size):
        sample[index] = generator.permutation(count)
    return sample


_ROUNDING = 1e-5
"""By how much probabilities may exceed 1 in sum: those of a float32 softmax do."""


def _multinomial(generator: np.random.RandomState, size: Any, trials: Array, weights: Array) -> Any:
    weights = weights.astype(np.float64)
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.where((total > 1) & (total < 1 + _ROUNDING), weights * (1 - 5 * _ROUNDING), weights)
    if trials.ndim == 0 and weights.ndim == 1:
        return generator.multinomial(int(trials), weights, size)
    trials = np.broadcast_to(trials, size)
    weights = np.broadcast_to(weights, (*size, weights.shape[-1]))
    sample = np.empty(weights.shape, np.int64)
    for index in np.ndindex(*size):
        sample[index] = generator.multinomial(int(trials[index]), weights[index])
    return sample


_CONTINUOUS = "uniform exponential laplace logistic gumbel pareto power rayleigh triangular weibull"
_FROM_NORMAL = "normal beta chisquare f gamma lognormal standard_t vonmises wald"
_DISCRETE = "binomial poisson geometric hypergeometric logseries zipf"

DISTRIBUTIONS: dict[str, Distribution] = {
    **{name: Distribution(_method(name)) for name in _CONTINUOUS.split()},
    **{name: Distribution(_method(name), normal=True) for name in _FROM_NORMAL.split()},
    **{name: Distribution(_method(name), discrete=True) for name in _DISCRETE.split()},
    "negative_binomial": Distribution(_method("negative_binomial"), discrete=True, normal=True),
    "random_integers": Distribution(_random_integers, discrete=True),
    "choice": Distribution(_choice, discrete=True, event_ndims=(1, 1)),
    "permutation": Distribution(_permutation, discrete=True, event=lambda shapes, count: (count,)),
    "multinomial": Distribution(_multinomial, discrete=True, event=lambda shapes: shapes[1][-1:], event_ndims=(0, 1)),
}
"""The distributions that `draw` knows, by the names of RandomState's methods."""


def _infer(
    types: Sequence[ArrayType], distribution: str, size: tuple[int, ...], dtype: np.dtype[Any], **options: Any
) -> TupleType:
    event = DISTRIBUTIONS[distribution].event([item.shape for item in types[1:]], **options)
    return TupleType((types[0], ArrayType(dtype, (*size, *event))))


def _evaluate(
    state: Array, *parameters: Array, distribution: str, size: tuple[int, ...], dtype: np.dtype[Any], **options: Any
) -> tuple[Array, Array]:
    kind, access = DISTRIBUTIONS[distribution], _scratch.access
    if kind.normal:
        access.load_into_cleared(state)
    else:
        access.load_words(state)
    try:
        sample = kind.draw(access.generator, size, *parameters, **options)
    finally:
        advanced = access.save_and_clear() if kind.normal else access.save_words(state)
    return advanced, np.asarray(sample, dtype)


def _kernel(distribution: str, size: Any, dtype: np.dtype[Any], **options: Any) -> str:
    """The kernel of `kernels_cpp/draws.cpp` for a draw; "" if there is none."""
    count = _NATIVE.get(distribution)
    return "" if count is None or options else f"draw words32 {distribution}/{'p' * count}"


_NATIVE = {
    **dict.fromkeys(("uniform", "normal", "lognormal", "laplace", "gumbel", "logistic"), 2),
    **dict.fromkeys(("binomial", "random_integers"), 2),
    "exponential": 1,
}
"""Distributions that native code knows, with the number of their parameters."""


def _batched(
    inputs: Sequence[Any],
    is_batched: Sequence[bool],
    examples: int,
    /,
    distribution: str,
    size: tuple[int, ...],
    **params: Any,
) -> Any:
    """One draw for all examples from the one generator, or where that draws otherwise, one after the other.

    Generators of which each example has its own draw in a loop.
    """
    if is_batched[0]:
        return NotImplemented
    kind = DISTRIBUTIONS[distribution]
    if distribution == "choice":
        return _drawn_in_turn(inputs, is_batched, examples, distribution=distribution, size=size, **params)
    own = (*kind.event_ndims, *(0,) * len(inputs))
    parameters = [
        with_rank(value, len(size) + events) if batched else value
        for value, batched, events in zip(inputs[1:], is_batched[1:], own, strict=False)
    ]
    state, sample = DRAW(inputs[0], *parameters, distribution=distribution, size=(examples, *size), **params)
    return Same(state), sample


def _drawn_in_turn(inputs: Sequence[Any], is_batched: Sequence[bool], examples: int, /, **params: Any) -> Any:
    """A loop over the examples that hands the state on."""
    parameters = [
        input_node(ArrayType(value.dtype, value.shape[batched:]))
        for value, batched in zip(inputs, is_batched, strict=True)
    ]
    made = item_nodes(make_node(DRAW, tuple(parameters), params))
    stacked = [place for place, batched in enumerate(is_batched) if batched]
    fixed = [place for place, batched in enumerate(is_batched) if place and not batched]
    order = [*stacked, 0, *fixed]
    body = close([parameters[place] for place in order], made)
    frame = Frame(examples, len(stacked), (), 1, 1)
    state, sample = OPS["scan"](*(inputs[place] for place in order), body=body, frame=frame)
    return Same(state), sample


DRAW: Op = declare(
    Op(
        "draw",
        "call",
        _infer,
        _evaluate,
        # How a number that was drawn depends on its parameters is not defined by the state, so no derivative flows.
        zero_derivative=True,
        batch=_batched,
        draws=True,
        call_kernel=lambda distribution, **options: _kernel(distribution, **options),
        doc="Random numbers and the state of the generator after them.",
    )
)


def draw(
    distribution: str, state: Any, *parameters: Any, size: Any = None, dtype: Any = None, **options: Any
) -> tuple[Any, Any]:
    """Draw random numbers.

    Parameters
    ----------
    distribution : str
        A name in `DISTRIBUTIONS`.
    state : array
        The state of the generator, of type `STATE_TYPE`.
    *parameters : array_like
        Those of RandomState's method, in its order; they broadcast against the size.
    size : int or tuple of int, optional
        The shape of the sample, before the axes of one draw. By default what the parameters broadcast to.
    dtype : dtype, optional
        Of the sample; int64 for integers and float64 otherwise.
    **options
        choice: `count` (int, or None if the values are a parameter) and `replace`; permutation: `count`.

    Returns
    -------
    state, sample : arrays
        The state after the draw, and the numbers.

    Examples
    --------
    >>> state, sample = draw("uniform", state_of(np.random.RandomState(3)), 0.0, 1.0, size=2)
    >>> bool(np.all(sample == np.random.RandomState(3).uniform(size=2)))
    True
    """
    kind = DISTRIBUTIONS[distribution]
    state, *arrays = lift_arrays(state, *parameters)
    if size is None:
        own = (*kind.event_ndims, *(0,) * len(arrays))
        size = broadcast_shapes(*(item.shape[: len(item.shape) - n] for item, n in zip(arrays, own, strict=False)))
    sizes = tuple(int(item) for item in size) if isinstance(size, Sequence | np.ndarray) else (int(size),)
    target = np.dtype((np.int64 if kind.discrete else np.float64) if dtype is None else dtype)
    return DRAW(state, *arrays, distribution=distribution, size=sizes, dtype=target, **options)
