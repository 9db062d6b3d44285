"""Draws of NumPy's generators as pure functions: a state goes in as an array of words and comes out advanced.

The numbers are NumPy's own: its generator is given the state, draws, and is asked for its state.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from tracer import errors
from tracer.errors.random import HINT_PARAMETER
from tracer.graph.batching import Same, aligned, spread_all
from tracer.graph.op import Op, declare
from tracer.graph.rules import sum_to_shape
from tracer.records import NamedTuple
from tracer.types import ArrayType, Shape, TupleType

Array = np.ndarray[Any, Any]

# --- states ------------------------------------------------------------------------------------------------------

_WORD = (1 << 64) - 1


class Source(NamedTuple):
    """What kind of generator draws.

    Attributes
    ----------
    bits : type
        That of its bit generator.
    is_legacy : bool
        Whether it is a `numpy.random.RandomState`, and not a `numpy.random.Generator`.
    """

    bits: type[np.random.BitGenerator]
    is_legacy: bool

    def make(self, seed: Any = 0) -> np.random.Generator | np.random.RandomState:
        """A generator of this kind."""
        return (np.random.RandomState if self.is_legacy else np.random.Generator)(self.bits(seed))

    @property
    def type(self) -> ArrayType:
        """The type of its state as an array."""
        return _state_type(self)


def bits_of(generator: Any) -> np.random.BitGenerator:
    """What makes the bits of a generator."""
    bits: np.random.BitGenerator = generator._bit_generator
    return bits


def source_of(generator: np.random.Generator | np.random.RandomState) -> Source:
    """The kind of a generator.

    >>> source_of(np.random.default_rng(0)).bits.__name__
    'PCG64'
    """
    return Source(type(bits_of(generator)), isinstance(generator, np.random.RandomState))


class _Part(NamedTuple):
    """One number or array of a state: under which name of the state, or of the dictionary there, and what it is."""

    outer: str | None
    key: str
    kind: str
    words: int


def _parts(state: Any, outer: str | None = None) -> Iterator[_Part]:
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _parts(value, key)
        elif isinstance(value, np.ndarray):
            yield _Part(outer, key, "array", value.nbytes // 8)
        elif isinstance(value, float):
            yield _Part(outer, key, "float", 1)
        elif not isinstance(value, str):
            yield _Part(outer, key, "wide", 2) if key in _WIDE else _Part(outer, key, "int", 1)


@cache
def _layout(bits: type[np.random.BitGenerator], is_legacy: bool) -> tuple[_Part, ...]:
    """The parts of the states of one kind of generator, in order."""
    return tuple(_parts(_read(Source(bits, is_legacy).make())))


def _read(generator: np.random.Generator | np.random.RandomState) -> Any:
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return bits_of(generator).state


def state_of(generator: np.random.Generator | np.random.RandomState) -> Array:
    """The state of a generator as an array of 64-bit words.

    >>> state_of(np.random.default_rng(1)).shape
    (6,)
    """
    source = source_of(generator)
    if source.bits is np.random.MT19937:
        return _twister_state(generator, source.is_legacy)
    found = _read(generator)
    words: list[Any] = []
    for outer, key, kind, _ in _layout(*source):
        value = found[key] if outer is None else found[outer][key]
        if kind == "wide":
            words += (value & _WORD, value >> 64)
        elif kind == "int":
            words.append(value)
        else:
            words += np.atleast_1d(value).view(np.uint64).tolist()
    return np.array(words, np.uint64)


_WIDE = ("state", "inc")
"""Numbers of 128 bits."""


def load_state(generator: np.random.Generator | np.random.RandomState, words: Array) -> None:
    """Give a generator a state that `state_of` gave.

    >>> one, other = np.random.default_rng(1), np.random.default_rng(2)
    >>> load_state(other, state_of(one))
    >>> one.random() == other.random()
    True
    """
    source = source_of(generator)
    if source.bits is np.random.MT19937 and _load_twister(generator, words, source.is_legacy):
        return
    state = _read(generator)
    numbers, place = words.tolist(), 0
    for outer, key, kind, count in _layout(*source):
        holder = state if outer is None else state[outer]
        if kind == "wide":
            holder[key] = numbers[place] + (numbers[place + 1] << 64)
        elif kind == "int":
            holder[key] = numbers[place]
        elif kind == "array":
            holder[key] = np.array(numbers[place : place + count], np.uint64).view(holder[key].dtype)
        else:
            holder[key] = float(np.array(numbers[place : place + 1], np.uint64).view(np.float64)[0])
        place += count
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        bits_of(generator).state = state


# The Mersenne twister's own functions for its state go through it number by number: fifty times what a copy takes.

_KEY = 312
"""Words of 64 bits of its key; then come the position, and for a RandomState the normal number that it may keep."""


def _twister_words(generator: Any) -> Array:
    """The key and the position of a generator of the kind MT19937, as they lie in its memory."""
    memory = (ctypes.c_uint32 * (2 * _KEY + 1)).from_address(bits_of(generator).ctypes.state_address)
    return np.frombuffer(memoryview(memory), np.uint32)


def _twister_state(generator: Any, is_legacy: bool) -> Array:
    state = np.zeros(_KEY + (3 if is_legacy else 1), np.uint64)
    normal = _take_normal(generator) if is_legacy else None
    words = _twister_words(generator)
    state.view(np.uint32)[: 2 * _KEY] = words[: 2 * _KEY]
    state[_KEY] = words[2 * _KEY]
    if normal is not None:
        state[_KEY + 1], state[_KEY + 2] = 1, np.float64(normal).view(np.uint64)
        _keep_normal(generator, normal)
    return state


def _load_twister(generator: Any, state: Array, is_legacy: bool) -> bool:
    """Give a twister a state; False if it has to keep a normal number, which only its own function can give it."""
    if is_legacy:
        if state[_KEY + 1]:
            return False
        _take_normal(generator)
    words = _twister_words(generator)
    words[: 2 * _KEY] = state.view(np.uint32)[: 2 * _KEY]
    words[2 * _KEY] = state[_KEY]
    return True


def _take_normal(generator: np.random.RandomState) -> float | None:
    """The normal number that a generator keeps for its next draw, and no longer keeps then; None if there is none."""
    words = _twister_words(generator)
    before = words.copy()
    first = generator.standard_normal()
    if words[2 * _KEY] == before[2 * _KEY]:
        return float(first)
    generator.standard_normal()  # the second of the pair
    words[:] = before
    return None


def _keep_normal(generator: np.random.RandomState, normal: float) -> None:
    state: Any = generator.get_state(legacy=False)
    generator.set_state({**state, "has_gauss": 1, "gauss": normal})


@cache
def _state_type(source: Source) -> ArrayType:
    return ArrayType(np.dtype(np.uint64), state_of(source.make()).shape)


class _Scratch(threading.local):
    """A generator of each kind for each thread, with the state that a draw left it in."""

    def __init__(self) -> None:
        self.made: dict[Source, tuple[Any, bytes]] = {}

    def take(self, source: Source, words: Array) -> Any:
        """A generator in a state. Draws follow each other, so that it often is in that state already."""
        generator, held = self.made.pop(source, (None, b""))
        if generator is None:
            generator = source.make()
        if held != words.tobytes():
            load_state(generator, words)
        return generator

    def give(self, source: Source, generator: Any) -> Array:
        """Keep a generator for the next draw; its state."""
        words = state_of(generator)
        self.made[source] = generator, words.tobytes()
        return words


_scratch = _Scratch()


# --- draws -------------------------------------------------------------------------------------------------------


_SAMPLE = "sample"
"""An input that is not used: the sample whose noise is drawn again, which tells what examples of a batch there are."""


class Draw(NamedTuple):
    """What is drawn.

    Attributes
    ----------
    source : Source
        By what.
    method : str
        The generator's method.
    slots : tuple of str
        Which of its parameters are inputs of the op.
    options : tuple of pairs
        The others, by name.
    size : tuple of int
        How many draws.
    event : tuple of int
        The axes that one draw has of its own.
    event_ndims : tuple of int
        For each input the number of its last axes that belong to one draw.
    dtype : dtype
        Of the sample.
    has_size : bool
        Whether the method takes the size; it is called once if not.
    lead : tuple of int
        The axes of a batch in which the method is called for one example after the other.
    """

    source: Source
    method: str
    slots: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]
    size: Shape
    event: Shape
    event_ndims: tuple[int, ...]
    dtype: np.dtype[Any]
    has_size: bool = True
    lead: tuple[int, ...] = ()


def _sample_type(draw: Draw, lead: Shape = ()) -> ArrayType:
    return ArrayType(draw.dtype, (*lead, *draw.lead, *draw.size, *draw.event))


def _infer(types: Sequence[ArrayType], draw: Draw) -> TupleType:
    return TupleType((types[0], _sample_type(draw, types[0].known_shape[:-1])))


def _evaluate(state: Array, *inputs: Array, draw: Draw) -> tuple[Array, Array]:
    if state.ndim > 1:
        pairs = [_evaluate(*items, draw=draw) for items in zip(state, *inputs, strict=True)]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    generator = _scratch.take(draw.source, state)
    sample = _sample(generator, inputs, draw)
    return _scratch.give(draw.source, generator), sample


def _sample(generator: Any, inputs: Sequence[Array], draw: Draw) -> Array:
    method, options = getattr(generator, draw.method), dict(draw.options)
    if draw.has_size:
        options["size"] = draw.size if draw.size or draw.event else None
    given = {name: item for name, item in zip(draw.slots, inputs, strict=True) if name != _SAMPLE}
    if not draw.lead:
        sample = method(**given, **options)
    else:
        sample = np.empty((*draw.lead, *draw.size, *draw.event), draw.dtype)
        for index in np.ndindex(*draw.lead):
            sample[index] = method(**{name: item[index] for name, item in given.items()}, **options)
    return np.asarray(sample, draw.dtype)


def _evaluate_all(state: Array, *inputs: Array, draws: tuple[Draw, ...]) -> tuple[Array, ...]:
    generator, samples, place = _scratch.take(draws[0].source, state), [], 0
    for draw in draws:
        following = place + len(draw.slots)
        samples.append(_sample(generator, inputs[place:following], draw))
        place = following
    return _scratch.give(draws[0].source, generator), *samples


def _batch(inputs: Sequence[Any], is_batched: Sequence[bool], size: int, draw: Draw) -> tuple[Any, Any]:
    """One stream, from which each example in turn draws."""
    state, parameters, flags = inputs[0], inputs[1:], is_batched[1:]
    if is_batched[0]:
        return DRAW(state, *spread_all(parameters, flags, size), draw=draw)
    if draw.has_size and not draw.lead and not draw.event and not any(draw.event_ndims):
        place = np.empty((1,) * len(draw.size))  # so that parameters of lower rank get axes behind the batch's
        parameters = aligned([place, *parameters], [False, *flags])[1:]
        state, sample = DRAW(state, *parameters, draw=draw._replace(size=(size, *draw.size)))
    else:
        parameters = spread_all(parameters, flags, size)
        state, sample = DRAW(state, *parameters, draw=draw._replace(lead=(size, *draw.lead)))
    return Same(state), sample


def _batch_all(
    inputs: Sequence[Any], is_batched: Sequence[bool], size: int, draws: tuple[Draw, ...]
) -> tuple[Any, ...]:
    state, samples, place = inputs[0], [], 1
    for draw in draws:
        following = place + len(draw.slots)
        given, flags = [state, *inputs[place:following]], [is_batched[0], *is_batched[place:following]]
        after, sample = _batch(given, flags, size, draw)
        state, place = after.value if isinstance(after, Same) else after, following
        samples.append(sample)
    return (state if is_batched[0] else Same(state), *samples)


# --- native kernels ----------------------------------------------------------------------------------------------

_SETTINGS = ("dtype", "method", "endpoint", "high")
"""Options that tell which distribution it is."""


def _kernel(draws: Sequence[Draw]) -> str:
    """The kernel for draws in turn, in `kernels_cpp/draws.cpp` or on a GPU; "" if there cannot be one."""
    kind = state_kind(draws[0].source)
    words = [_distribution(draw) for draw in draws]
    return " ".join(("draw", kind, *words)) if kind and all(words) else ""


def state_kind(source: Source) -> str:
    """What kernels call the states of a kind of generator; "" if there are none for it."""
    if source.bits is np.random.MT19937:
        return "legacy" if source.is_legacy else "twister"
    return "" if source.is_legacy else {np.random.PCG64: "pcg64", np.random.Philox: "philox"}.get(source.bits, "")


def _distribution(draw: Draw) -> str:
    """A distribution's name in a kernel, and which of the inputs are its parameters; "" if it has none."""
    options = dict(draw.options)
    if draw.event or draw.lead or not draw.has_size or not options.keys() <= {*_SETTINGS}:
        return ""
    name = {"random_sample": "random"}.get(draw.method, draw.method)
    if options.get("method", "zig") != "zig":
        return ""
    name += "_closed" if options.get("endpoint") else ""
    name += "_below" if "high" in options else ""  # the lower end is left out
    wide = np.dtype(np.int64 if name.startswith(("integers", "randint")) else np.float64)
    if options.get("dtype", wide) != wide:
        name += "_f" if options["dtype"] == np.float32 and name in _FILLED else "_other"
    return f"{name}/" + "".join("s" if slot == _SAMPLE else "p" for slot in draw.slots)


_FILLED = ("random", "standard_normal", "standard_exponential")
"""Distributions that draw float32 numbers of their own."""


# --- derivatives -------------------------------------------------------------------------------------------------
# A sample is a function of its parameters and of noise that does not depend on them. The noise is drawn again, from
# the same state, where the sample alone does not tell it.


def _noise(method: str) -> Callable[..., Any]:
    """The numbers of a standard distribution that the sample was made of."""

    def drawn(draw: Draw, state: Any, y: Any) -> Any:
        name = "random_sample" if draw.source.is_legacy and method == "random" else method
        options = (("dtype", np.dtype(np.float64)),) if not draw.source.is_legacy and name == "random" else ()
        kind = np.dtype(np.float64)
        standard = draw._replace(method=name, slots=(_SAMPLE,), options=options, event_ndims=(0,), dtype=kind)
        return DRAW(state, y, draw=standard)[1]

    return drawn


def _one(draw: Draw, state: Any, y: Any, *_: Any) -> Any:
    return np.ones_like(y)


def _times(method: str) -> Callable[..., Any]:
    return lambda draw, state, y, *_: _noise(method)(draw, state, y)


def _scaled_times(draw: Draw, state: Any, y: Any, *_: Any) -> Any:
    return y * _noise("standard_normal")(draw, state, y)


def _power(draw: Draw, state: Any, y: Any, a: Any) -> Any:
    return -y * np.log(np.where(y > 0, y, 1)) / a


def _pareto(draw: Draw, state: Any, y: Any, a: Any) -> Any:
    return -(1 + y) * np.log1p(y) / a


def _triangular(part: int) -> Callable[..., Any]:
    """A sample is left + sqrt(u (mode - left) (right - left)) or, for large u, mirrored."""

    def rule(draw: Draw, state: Any, y: Any, left: Any, mode: Any, right: Any) -> Any:
        u = _noise("random")(draw, state, y)
        is_left = y <= mode
        rest = np.where(is_left, u, 1 - u)
        near, base = np.where(is_left, mode - left, right - mode), right - left
        root = np.where(is_left, y - left, right - y)
        root = np.where(root > 0, root, 1)
        to_mode, to_far, to_near = rest * base / (2 * root), rest * near / (2 * root), rest * (base + near) / (2 * root)
        if part == 1:
            return to_mode
        if part == 0:
            return np.where(is_left, 1 - to_near, to_far)
        return np.where(is_left, to_far, 1 - to_near)

    return rule


_RULES: dict[str, dict[str, Callable[..., Any]]] = {
    "normal": {"loc": _one, "scale": _times("standard_normal")},
    "uniform": {
        "low": lambda draw, state, y, *_: 1 - _noise("random")(draw, state, y),
        "high": _times("random"),
    },
    "exponential": {"scale": _times("standard_exponential")},
    "rayleigh": {"scale": _times("rayleigh")},
    **{name: {"loc": _one, "scale": _times(name)} for name in ("laplace", "logistic", "gumbel")},
    "lognormal": {"mean": lambda draw, state, y, *_: y, "sigma": _scaled_times},
    "weibull": {"a": _power},
    "power": {"a": _power},
    "pareto": {"a": _pareto},
    "triangular": {"left": _triangular(0), "mode": _triangular(1), "right": _triangular(2)},
    "vonmises": {"mu": _one},
    "gamma": {"scale": lambda draw, state, y, shape, scale: y / scale},
}
"""For each distribution, and each parameter with a derivative: (draw, state, sample, *parameters) -> derivative."""


def _local(draw: Draw, position: int, y: Any, inputs: Sequence[Any]) -> Any:
    """How the sample depends on one input, number by number."""
    name = draw.slots[position - 1]
    rule = _RULES.get(draw.method, {}).get(name)
    if rule is None or draw.lead:
        op = f"the sample of {draw.method}"
        hint = HINT_PARAMETER.format(name=name, method=draw.method)
        raise errors.NotDifferentiableError(
            errors.message(errors.NOT_DIFFERENTIABLE, op=op, position=repr(name), hint=hint)
        )
    parameters = [item.astype(np.float64) for item in inputs[1:]]
    return rule(draw, inputs[0], y[1], *parameters)


def _vjp(position: int, g: Any, y: Any, *inputs: Any, draw: Draw) -> Any:
    if position == 0 or g[1] is None or draw.slots[position - 1] == _SAMPLE:
        return None
    gradient = sum_to_shape(g[1] * _local(draw, position, y, inputs), inputs[position].shape)
    return gradient.astype(inputs[position].dtype)


def _jvp(tangents: Any, y: Any, *inputs: Any, draw: Draw) -> tuple[Any, Any]:
    terms = [
        tangent.astype(np.float64) * _local(draw, position, y, inputs)
        for position, tangent in enumerate(tangents)
        if tangent is not None and position and draw.slots[position - 1] != _SAMPLE
    ]
    return None, sum(terms[1:], start=terms[0]) if terms else None


DRAW: Op = declare(
    Op(
        "generator_draw",
        "call",
        _infer,
        _evaluate,
        vjp=_vjp,
        jvp=_jvp,
        batch=_batch,
        draws=True,
        call_kernel=lambda draw: _kernel((draw,)),
        doc="Random numbers of one of NumPy's generators, and its state after them.",
    )
)


DRAWS: Op = declare(
    Op(
        "generator_draws",
        "call",
        lambda types, draws: TupleType((types[0], *map(_sample_type, draws))),
        _evaluate_all,
        batch=_batch_all,
        draws=True,
        call_kernel=lambda draws: _kernel(draws),
        doc="Several draws in turn: the generator's state after them, and a sample of each.",
    )
)
