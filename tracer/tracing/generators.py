"""NumPy's random generators in a trace: their states are traced values, which draws advance.

Outside of a trace, and on other threads, the generators here draw as those of NumPy do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, NoReturn

import numpy as np

from tracer import errors
from tracer.errors import random as texts
from tracer.graph.node import Node, constant, input_node
from tracer.graph.rules import lift_arrays, literal
from tracer.ops.generators import DRAW, Draw, Source, bits_of, load_state, source_of, state_of
from tracer.tracing import shared, trace
from tracer.tracing.proxy import Proxy, has_proxy
from tracer.types import Shape, broadcast_shapes

Real = np.random.Generator | np.random.RandomState


def is_generator(value: Any) -> bool:
    """Whether a value is a generator that a trace can follow: NumPy's own, or one of this module."""
    return type(value) in (np.random.Generator, np.random.RandomState, Generator, RandomState)


def key_of(generator: Real) -> int:
    """What two generators have in common that draw from the same stream, as long as one of them is kept."""
    return id(generator) if isinstance(generator, np.random.RandomState) else id(bits_of(generator))


DRAWN_ELSEWHERE: set[int] = set()
"""The keys of generators that other threads have drawn from while a trace was on."""


class Stream:
    """The state of one generator in one trace.

    It stands among the shared variables of a plan if its generator was captured: what a call draws advances it.

    Attributes
    ----------
    generator : Generator or RandomState
        Whose state it is.
    node : Node
        The state before any draw.
    current : Node
        The state after those so far.
    argument : Proxy or None
        The argument of the traced function that the state is, if it is one.
    """

    dtype = np.dtype(np.uint64)
    label = "a random generator"

    def __init__(self, generator: Real, node: Node, argument: Proxy | None = None) -> None:
        self.generator, self.node, self.current, self.argument = generator, node, node, argument

    @property
    def cell(self) -> tuple[np.ndarray[Any, Any]]:
        """The state that the generator has now."""
        return (self.read(),)

    def read(self) -> np.ndarray[Any, Any]:
        """The state that the generator has now."""
        return state_of(self.generator)

    def store(self, value: np.ndarray[Any, Any]) -> None:
        """Give the generator the state that a call computed."""
        if trace.RUNNING["traces"]:
            DRAWN_ELSEWHERE.add(key_of(self.generator))
        load_state(self.generator, value)


def state_if(source: Source, others: frozenset[int], value: Any) -> np.ndarray[Any, Any] | None:
    """The state of a generator of this kind; None for any other value, and for those with one of these keys."""
    if not is_generator(value) or source_of(value) != source or key_of(value) in others:
        return None
    return state_of(value)


def is_same_stream(one: Any, other: Real) -> bool:
    """Whether a value is a generator that draws from the same stream as another."""
    return is_generator(one) and key_of(one) == key_of(other)


def finish(active: trace.Trace) -> None:
    """Record, at the end of a trace, that generators have advanced."""
    for stream in active.streams.values():
        if stream.current is not stream.node and not stream.node.is_constant:
            if stream.argument is not None:
                stream.argument._assign(Proxy(stream.current, active))
            else:
                active.updates[stream] = stream.current


# --- what draws --------------------------------------------------------------------------------------------------


class _Traceable:
    """What generators of both kinds have in common here."""

    _real: Any = None
    _made_in: trace.Trace | None = None
    _argument: Proxy | None = None

    def _plain(self) -> Any:
        """What draws outside of a trace."""
        if self._made_in is not None:
            raise errors.LeakedValueError(errors.message(texts.LEAKED_GENERATOR, function=self._made_in.name))
        return self if self._real is None else self._real

    def _stream(self, active: trace.Trace) -> Stream:
        generator: Any = self if self._real is None else self._real
        found: Stream | None = active.streams.get(key_of(generator))
        if found is None:
            if self._made_in is active:
                node = constant(state_of(generator))
            else:
                self._plain()
                node = input_node(source_of(generator).type, "rng")
            found = active.streams[key_of(generator)] = Stream(generator, node)
            shared.own(node, found)
        if (found.argument is None) != (self._argument is None):
            raise errors.TraceError(errors.message(texts.SHARED_STREAM, function=active.name))
        return found

    def _advance(self, draw: Draw, inputs: Sequence[Any]) -> Any:
        """Draw in the trace that is on."""
        active = trace.current()
        assert active is not None
        stream = self._stream(active)
        state, sample = DRAW(Proxy(stream.current, active), *inputs, draw=draw)
        stream.current = state.__tracer_node__
        return sample


class Generator(_Traceable, np.random.Generator):
    """See `tracer.random.Generator`."""

    def __init__(self, bit_generator: np.random.BitGenerator) -> None:
        np.random.Generator.__init__(self, bit_generator)
        self._made_in = trace.current()

    @property
    def bit_generator(self) -> np.random.BitGenerator:
        """What makes the bits; its `state` can be read and set."""
        _outside("rng.bit_generator")
        bits: np.random.BitGenerator = bits_of(self._plain())
        return bits

    def spawn(self, n_children: int) -> list[Any]:
        """New independent generators."""
        active = trace.current()
        if active is not None and self._made_in is active:  # its seed is known, and draws do not change it
            return [Generator(bits) for bits in bits_of(self).spawn(n_children)]
        _outside("rng.spawn(n)")
        plain = self._plain()
        if plain is not self:
            children: list[Any] = plain.spawn(n_children)
            return children
        return [Generator(bits) for bits in bits_of(self).spawn(n_children)]

    def __reduce__(self) -> Any:
        plain = self._plain()
        return (Generator, (bits_of(self),)) if plain is self else plain.__reduce__()

    def __str__(self) -> str:
        return f"Generator({type(bits_of(self)).__name__})"

    def __repr__(self) -> str:
        return f"<tracer.random.{self}>"


class RandomState(_Traceable, np.random.RandomState):
    """Stands for a `numpy.random.RandomState` while a function is traced."""

    def __init__(self, real: np.random.RandomState) -> None:
        np.random.RandomState.__init__(self, real._bit_generator)
        self._real = real

    def seed(self, seed: Any = None) -> None:
        """Start again from a seed."""
        active = trace.current()
        if active is None:
            return self._plain().seed(seed)
        twin = source_of(self).make()
        twin.seed(seed)  # type: ignore[union-attr]
        self._stream(active).current = constant(state_of(twin))
        return None

    def set_state(self, state: Any) -> None:
        """Go on from a state."""
        active = trace.current()
        if active is None:
            return self._plain().set_state(state)
        twin = source_of(self).make()
        twin.set_state(state)  # type: ignore[union-attr]
        self._stream(active).current = constant(state_of(twin))
        return None

    def get_state(self, legacy: bool = True) -> Any:
        """The state."""
        _outside("rng.get_state()")
        return self._plain().get_state(legacy)

    def __reduce__(self) -> Any:
        return self._plain().__reduce__()


def _outside(what: str) -> None:
    active = trace.current()
    if active is not None:
        raise errors.TraceError(errors.message(texts.NO_STATE, function=active.name, what=what))


def stand_in_for(generator: Real, argument: Proxy | None = None) -> Generator | RandomState:
    """What draws in the place of a generator while a function is traced."""
    made: Any
    if isinstance(generator, np.random.RandomState):
        made = RandomState(generator if type(generator) is not RandomState else generator._real)
    else:
        made = Generator(bits_of(generator))
        made._made_in, made._real = None, generator
    made._argument = argument
    return made


def bind_argument(generator: Real, proxy: Proxy, active: trace.Trace) -> Generator | RandomState:
    """What a traced function receives for an argument that is a generator, whose state is `proxy`."""
    made = stand_in_for(generator, proxy)
    key = key_of(generator)
    if key not in active.streams:
        active.streams[key] = Stream(generator, proxy.__tracer_node__, proxy)
    return made


def seen_by_caller(value: Any) -> Any:
    """What the caller finds in the result of a call for a generator that the traced function returns."""
    if not isinstance(value, _Traceable):
        return value
    return value._argument if value._argument is not None else value if value._real is None else value._real


def write_back(target: Any, value: np.ndarray[Any, Any]) -> None:
    """Let an argument, an array or a generator, have what a call computed for it."""
    if is_generator(target):
        load_state(target, value)
    else:
        np.copyto(target, value)


def check_apart(originals: Sequence[Any], streams: Sequence[Stream], function: str) -> None:
    """Raise TraceError if one of the arguments is a generator that the traced function also reaches by itself."""
    captured = {key_of(item.generator) for item in streams}
    if any(is_generator(item) and key_of(item) in captured for item in originals):
        raise errors.TraceError(errors.message(texts.SHARED_STREAM, function=function))


def default_rng(seed: Any = None) -> Any:
    """NumPy's `default_rng` in a trace."""
    active = trace.current()
    if active is None or isinstance(seed, _Traceable):
        return np.random._generator.default_rng(seed)
    if has_proxy(seed):
        raise seed._needs_number("a seed", errors.HINT_NUMBER)
    if seed is None or isinstance(seed, np.random.BitGenerator | np.random.Generator | np.random.RandomState):
        raise errors.TraceError(errors.message(texts.UNSEEDED, function=active.name))
    return Generator(np.random.PCG64(seed))


def random_state(seed: Any = None) -> Any:
    """NumPy's `RandomState(seed)` in a trace."""
    active = trace.current()
    if active is None or isinstance(seed, np.random.BitGenerator):
        return np.random.RandomState(seed)
    if has_proxy(seed):
        raise seed._needs_number("a seed", errors.HINT_NUMBER)
    if seed is None:
        raise errors.TraceError(errors.message(texts.UNSEEDED, function=active.name))
    bits = np.random.MT19937(0)
    bits._legacy_seeding(seed)  # as `RandomState` does, which first asks for randomness that it drops
    made = RandomState(np.random.RandomState(bits))
    made._made_in = active
    return made


# --- distributions -----------------------------------------------------------------------------------------------

_CONTINUOUS = (
    "standard_cauchy beta chisquare exponential f gamma gumbel laplace logistic lognormal noncentral_chisquare "
    "noncentral_f normal pareto power rayleigh standard_exponential standard_gamma standard_normal standard_t "
    "triangular uniform vonmises wald weibull"
)
_DISCRETE = "binomial geometric hypergeometric logseries negative_binomial poisson zipf"
_SETTINGS = ("size", "dtype", "out", "method", "endpoint", "high")
_EVENTS: dict[str, Callable[[Sequence[Shape]], tuple[tuple[int, ...], Shape]]] = {
    "multinomial": lambda shapes: ((0, 1), shapes[1][-1:]),
    "multivariate_hypergeometric": lambda shapes: ((1, 0), shapes[0][-1:]),
    "dirichlet": lambda shapes: ((1,), shapes[0][-1:]),
}


@cache
def _signature(owner: type, name: str) -> inspect.Signature:
    return inspect.signature(getattr(owner, name))


def _sizes(size: Any) -> Shape:
    return tuple(int(item.__index__()) for item in (size if np.iterable(size) else (size,)))


def _bound(owner: type, name: str, self: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    bound = _signature(owner, name).bind(self, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments["self"]
    return arguments


def _draw(self: Any, owner: type, name: str, args: Any, kwargs: Any) -> Any:
    """A method whose parameters broadcast against each other, in a trace."""
    arguments = _bound(owner, name, self, args, kwargs)
    size, out = arguments.pop("size"), arguments.pop("out", None)
    options: dict[str, Any] = {}
    if "dtype" in arguments:
        options["dtype"] = np.dtype(arguments.pop("dtype"))
    for key in ("method", "endpoint"):
        if key in arguments:
            options[key] = arguments.pop(key)
    if "high" in arguments and arguments["high"] is None:
        options["high"] = arguments.pop("high")
    inputs = _lift(self, *arguments.values())
    shapes = [item.shape for item in inputs]
    event_ndims, event = _EVENTS.get(name, lambda _: ((0,) * len(inputs), ()))(shapes)
    if size is None:
        if out is not None:
            sizes = np.shape(out)
        else:
            sizes = broadcast_shapes(*(s[: len(s) - n] for s, n in zip(shapes, event_ndims, strict=True)))
    else:
        sizes = _sizes(size)
    dtype = options.get("dtype", np.dtype(np.float64 if name in _FLOATING else np.int64))
    draw = Draw(source_of(self), name, tuple(arguments), tuple(options.items()), sizes, event, event_ndims, dtype)
    _check(draw, arguments.values())
    return _into(out, self._advance(draw, inputs), name)


def is_array(value: Any) -> bool:
    """Whether a parameter is an array or traced."""
    return isinstance(value, np.ndarray | Proxy) or has_proxy(value)


def _check(draw: Draw, parameters: Any) -> None:
    """Raise NumPy's own error for parameters that are numbers and wrong, or for a method without such an option."""
    if not any(map(is_array, parameters)):
        generator = draw.source.make()
        options = dict(draw.options) | dict(zip(draw.slots, parameters, strict=True))
        getattr(generator, draw.method)(**options, size=0 if draw.method != "dirichlet" else 1)


def _into(out: Any, sample: Any, name: str) -> Any:
    if out is None:
        return sample
    out = _target(name, out)
    if out.shape != sample.shape or out.dtype != sample.dtype:
        raise (ValueError if out.dtype == sample.dtype else TypeError)(
            f"the output array has {out.type}, but {name} makes {sample.type}"
        )
    out[...] = sample
    return out


def _target(name: str, value: Any) -> Proxy:
    """What stands for an array that is written into."""
    active = trace.current()
    assert active is not None
    if isinstance(value, np.ndarray) and active.session is not None:
        value = active.session.lifting.lift(value)
    if not isinstance(value, Proxy):
        kind = "real array" if isinstance(value, np.ndarray) else type(value).__name__
        # With a TypeError for a list the call would be tried again with the list as an array, which is a copy.
        error = errors.TracerError if isinstance(value, list) else errors.TraceError
        raise error(errors.message(texts.REAL_TARGET, method=name, kind=kind, function=active.name))
    return value


_FLOATING = frozenset(f"{_CONTINUOUS} random random_sample dirichlet".split())


# --- orders and choices ------------------------------------------------------------------------------------------


def _ordered(self: Any, count: int) -> Any:
    """A permutation of the numbers below count."""
    draw = Draw(source_of(self), "permutation", (), (("x", count),), (), (count,), (), np.dtype(np.int64), False)
    return self._advance(draw, ())


def _length(x: Any, axis: int) -> int:
    shape = np.shape(x)
    if not -len(shape) <= axis < len(shape):
        raise np.exceptions.AxisError(axis, len(shape))
    return shape[axis]


def _permutation(self: Any, x: Any, axis: int = 0) -> Any:
    if isinstance(x, int | np.integer):
        return _ordered(self, int(x))
    (x,) = _lift(self, x)
    return np.take(x, _ordered(self, _length(x, axis)), axis=axis)


def _shuffle(self: Any, x: Any, axis: int = 0) -> None:
    if isinstance(x, list):
        kinds = {(np.shape(item), np.result_type(item)) for item in x}
        if len(kinds) > 1:
            _target("shuffle", x)
        x[:] = np.take(_lift(self, x)[0], _ordered(self, len(x)), axis=0) if x else x
        return
    x = _target("shuffle", x)
    if x.ndim == 0:
        raise TypeError("cannot shuffle a value without axes")
    x[...] = np.take(x, _ordered(self, _length(x, axis)), axis=axis)


def _permuted(self: Any, x: Any, *, axis: int | None = None, out: Any = None) -> Any:
    (x,) = _lift(self, list(range(x)) if isinstance(x, int | np.integer) else x)
    flat = np.reshape(x, -1) if axis is None else x
    place = 0 if axis is None else axis
    count = _length(flat, place)
    shape = tuple(count if n == place % flat.ndim else 1 for n in range(flat.ndim))
    places = np.broadcast_to(np.arange(count).reshape(shape), flat.shape).copy()
    draw = Draw(
        source_of(self), "permuted", ("x",), (("axis", place),), (), flat.shape, (flat.ndim,), places.dtype, False
    )
    order = self._advance(draw, (literal(places, x),))
    return _into(out, np.reshape(np.take_along_axis(flat, order, place), x.shape), "permuted")


def _choice(
    self: Any, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0, shuffle: bool = True
) -> Any:
    is_count = isinstance(a, int | np.integer)
    values = None if is_count else _lift(self, a)[0]
    if values is not None and values.ndim != 1 and isinstance(self, np.random.RandomState):
        raise ValueError("a must be 1-dimensional")
    count = int(a) if values is None else _length(values, axis)
    options: dict[str, Any] = {"a": count, "replace": bool(replace)}
    if not isinstance(self, np.random.RandomState):
        options["shuffle"] = bool(shuffle)
    inputs = () if p is None else _lift(self, p)
    sizes = () if size is None else _sizes(size)
    slots: tuple[str, ...] = ("p",) if inputs else ()
    draws: Shape = sizes
    event: Shape = ()
    if not replace and sizes:  # then all are one draw
        options["size"], draws, event = sizes, (), sizes
    chosen_by = tuple(options.items())
    draw = Draw(
        source_of(self), "choice", slots, chosen_by, draws, event, (1,) * len(slots), np.dtype(np.int64), not event
    )
    chosen = self._advance(draw, inputs)
    return chosen if values is None else np.take(values, chosen, axis=axis)


def _lift(self: Any, *values: Any) -> tuple[Any, ...]:
    """Make arrays and numbers traced; those that the user's function did not name are constants."""
    active = trace.current()
    assert active is not None
    return lift_arrays(Proxy(self._stream(active).current, active), *values)[1:]


# --- the multivariate normal distribution ------------------------------------------------------------------------


def _multivariate_normal(
    self: Any,
    mean: Any,
    cov: Any,
    size: Any = None,
    check_valid: str = "warn",
    tol: float = 1e-8,
    *,
    method: str = "svd",
) -> Any:
    if method not in ("eigh", "svd", "cholesky"):
        raise ValueError("method must be one of {'eigh', 'svd', 'cholesky'}")
    mean, cov = _lift(self, mean, cov)
    if mean.ndim != 1:
        raise ValueError("mean must be 1 dimensional")
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1]:
        raise ValueError("cov must be 2 dimensional and square")
    if mean.shape[0] != cov.shape[0]:
        raise ValueError("mean and cov must have same length")
    shape = (*(() if size is None else _sizes(size)), mean.shape[0])
    noise = np.reshape(self.standard_normal(shape), (-1, mean.shape[0]))
    if method == "cholesky":
        factor = np.linalg.cholesky(cov)
    elif method == "eigh":
        values, vectors = np.linalg.eigh(cov)
        factor = vectors * np.sqrt(np.abs(values))
    else:
        left, values, right = np.linalg.svd(cov)
        # RandomState multiplies by the other factor, which differs from this one by rounding.
        factor = (
            (np.sqrt(values)[:, None] * right).T if isinstance(self, np.random.RandomState) else left * np.sqrt(values)
        )
    return np.reshape(mean + noise @ factor.T, shape)


# --- methods -----------------------------------------------------------------------------------------------------


def _no_bytes(self: Any, length: int) -> NoReturn:
    _outside("rng.bytes(n)")
    raise AssertionError


def _random_integers(self: Any, low: Any, high: Any = None, size: Any = None) -> Any:
    low, high = (1, low) if high is None else (low, high)
    return self.randint(low, high + 1, size)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "permutation": _permutation,
    "shuffle": _shuffle,
    "permuted": _permuted,
    "choice": _choice,
    "multivariate_normal": _multivariate_normal,
    "bytes": _no_bytes,
    "rand": lambda self, *sizes: self.random_sample(sizes or None),
    "randn": lambda self, *sizes: self.standard_normal(sizes or None),
    "random_integers": _random_integers,
}
_GENERATOR = f"{_CONTINUOUS} {_DISCRETE} random integers multinomial multivariate_hypergeometric dirichlet".split()
_RANDOM_STATE = f"{_CONTINUOUS} {_DISCRETE} random random_sample randint tomaxint multinomial dirichlet".split()


def _method(owner: type, name: str) -> Any:
    plain, special = getattr(owner, name), _SPECIAL.get(name)

    @wraps(plain)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if trace.current() is None:
            generator = self._plain()
            if trace.RUNNING["traces"]:
                DRAWN_ELSEWHERE.add(key_of(generator))
            return plain(generator, *args, **kwargs)
        if special is not None:
            return special(self, *args, **kwargs)
        return _draw(self, owner, name, args, kwargs)

    return method


def _install(kind: type, owner: type, names: Sequence[str]) -> None:
    for name in names:
        setattr(kind, name, _method(owner, name))


_install(Generator, np.random.Generator, [*_GENERATOR, "permutation", "shuffle", "permuted", "choice", "bytes"])
_install(Generator, np.random.Generator, ["multivariate_normal"])
_install(RandomState, np.random.RandomState, [*_RANDOM_STATE, *(name for name in _SPECIAL if name != "permuted")])

GLOBAL: np.random.RandomState = np.random.mtrand._rand
"""The generator behind the functions of `numpy.random`."""


def stand_in_for_method(function: Any) -> Any:
    """What stands for a method that is bound to a generator; None for any other."""
    owner: Any = getattr(function, "__self__", None)
    if type(owner) not in (np.random.Generator, np.random.RandomState):
        return None
    return getattr(stand_in_for(owner), function.__name__)
