"""Random draws as expressions: `uniform(state, size)` gives the state after the draw, and the sample.

A state is that of a `numpy.random.RandomState`; the numbers are NumPy's own. `shared_randomstreams` keeps track of
states for you.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from tracer import errors
from tracer.config import config
from tracer.graph.node import input_node
from tracer.ops.draws import DISTRIBUTIONS, STATE_TYPE, StateAccess, draw, generator_of, state_of
from tracer.tracing import trace
from tracer.tracing.proxy import Proxy
from tracer.tracing.recording import deferred, shape_of
from tracer.tracing.replay import leaves_of, replay, static
from tracer.tracing.shared import Shared, shared_constructor
from tracer.tracing.symbolic import Constant, Symbolic, as_variable
from tracer.tracing.symbolic_type import TensorType, Type, tensor_type
from tracer.types import broadcast_shapes

Array = np.ndarray[Any, Any]

# --- states ------------------------------------------------------------------------------------------------------


class RandomStateType(Type):
    """Symbolic random states: values are `numpy.random.RandomState`s.

    Examples
    --------
    >>> import numpy as np
    >>> import tracer as theano
    >>> state = random_state_type("state")
    >>> after, sample = uniform(state, size=(2,))
    >>> f = theano.function([state], sample)
    >>> bool(np.all(f(np.random.RandomState(5)) == np.random.RandomState(5).uniform(size=2)))
    True
    """

    dtype = "RandomState"
    ndim = 0
    broadcastable: ClassVar[tuple[bool, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return "RandomStateType"

    def filter(self, value: Any, strict: bool = False, allow_downcast: bool | None = None) -> np.random.RandomState:
        """Return the RandomState itself. Raises TypeError for anything else."""
        if not isinstance(value, np.random.RandomState):
            kind = type(value).__name__
            raise TypeError(errors.message(errors.NOT_A_RANDOM_STATE, name="a random state", kind=kind))
        return value

    def flatten(self, value: Any) -> tuple[Sequence[Any], Hashable]:
        """The state as an array."""
        return (state_of(value) if isinstance(value, np.random.RandomState) else value,), None

    def unflatten(self, leaves: Sequence[Any], static: Hashable) -> Any:
        """A generator in a state, which stays an array while it is traced."""
        return generator_of(leaves[0]) if isinstance(leaves[0], np.ndarray) else leaves[0]

    def stand_in(self) -> Any:
        """A traced state."""
        return Proxy(input_node(STATE_TYPE))


random_state_type = RandomStateType()


class _Lent(np.ndarray[Any, Any]):
    """A copy of the state of a generator that is in the user's hands."""

    access: StateAccess

    def __reduce__(self) -> Any:
        return np.array(self).__reduce__()


def _lent(access: StateAccess) -> _Lent:
    state = access.save().view(_Lent)
    state.access = access
    return state


class SharedRandomState(Shared):
    """A shared random state. Its value is a `numpy.random.RandomState`; expressions see it as an array.

    Examples
    --------
    >>> import numpy as np
    >>> import tracer
    >>> state = tracer.shared(np.random.RandomState(5))
    >>> bool(state.get_value().uniform() == np.random.RandomState(5).uniform())
    True
    """

    __slots__ = ("_storage",)
    stays_on_host = True

    def __init__(self, state: Array, name: str | None = None) -> None:
        super().__init__(state, name)

    @property
    def cell(self) -> list[Any]:
        """Holds the state array, with what the user did to a borrowed generator."""
        # Compiled calls read the list itself, but only while a plain array is in it; then nothing is lent.
        if isinstance(self._storage[0], _Lent):
            self._storage[0] = _lent(self._storage[0].access)
        return self._storage

    @cell.setter
    def cell(self, storage: list[Any]) -> None:
        self._storage = storage

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """Return a RandomState in the current state.

        With `borrow=True` it stays that of the variable: what is done to it (`seed`, `set_state`, draws) is seen by the
        next call of a compiled function, and calls advance it. They then take a little longer.
        """
        state = self.cell[0]
        if not borrow:
            return generator_of(state)
        if isinstance(state, _Lent):
            return state.access.generator
        access = StateAccess(generator_of(state))
        self._storage[0] = _lent(access)
        return access.generator

    def store(self, value: Array) -> None:
        """Take the state after a compiled call; a generator that is lent advances."""
        if isinstance(self._storage[0], _Lent):
            self._storage[0].access.load(value)
        else:
            self._storage[0] = value

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the state.

        Parameters
        ----------
        value : numpy.random.RandomState, or what its get_state() returns
        borrow : bool
            As of `get_value`, for this generator.

        Raises
        ------
        TypeError
            If it is neither.
        """
        if isinstance(value, tuple | dict):
            generator = np.random.RandomState(0)
            generator.set_state(value)
            value = generator
        if not isinstance(value, np.random.RandomState):
            kind = type(value).__name__
            raise TypeError(errors.message(errors.NOT_A_RANDOM_STATE, name=self.name or "rng", kind=kind))
        access = StateAccess(value)
        self._storage[0] = _lent(access) if borrow else access.save()

    def zero(self, borrow: bool = False) -> None:
        """Raise TypeError: there is no zero state."""
        raise TypeError(errors.message(errors.NOT_A_RANDOM_STATE, name=self.name or "rng", kind="number"))

    def clone(self) -> SharedRandomState:
        """Another variable that shares this one's state."""
        twin = SharedRandomState(self.cell[0], self.name)
        twin._storage = self._storage
        return twin

    def __repr__(self) -> str:
        return f"<RandomStateType {self.name or ''}>".replace(" >", ">")

    def __str__(self) -> str:
        return self.name or repr(self)

    def __reduce__(self) -> Any:
        # The update is an expression of this variable: pickle meets it when the variable is already there.
        state = {"cell": self.cell, "default_update": self.default_update, "tag": self.tag}
        return SharedRandomState, (self.cell[0], self.name), (None, state)

    def __copy__(self) -> SharedRandomState:
        return SharedRandomState(np.array(self.cell[0]), self.name)

    def __deepcopy__(self, memo: Any) -> SharedRandomState:
        twin = memo[id(self)] = self.__copy__()
        twin.default_update, twin.tag = copy.deepcopy((self.default_update, self.tag), memo)
        return twin


@shared_constructor
def shared_random_state(value: Any, name: str | None = None, borrow: bool = False, **_: Any) -> SharedRandomState:
    """A shared variable of a RandomState. Raises TypeError for other values."""
    if not isinstance(value, np.random.RandomState):
        raise TypeError(errors.message(errors.NOT_A_RANDOM_STATE, name=name or "rng", kind=type(value).__name__))
    variable = SharedRandomState(state_of(value), name)
    if borrow:
        variable.set_value(value, borrow=True)
    return variable


# --- draws -------------------------------------------------------------------------------------------------------


def _without_event(distribution: str, shapes: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The shapes of parameters less the axes that belong to one draw."""
    own = (*DISTRIBUTIONS[distribution].event_ndims, *(0,) * len(shapes))
    return [shape[: len(shape) - count] for shape, count in zip(shapes, own, strict=False)]


def _check_size(length: int, needed: int, ndim: int | None, size: Any) -> None:
    reason = f"ndim is {ndim}" if ndim not in (None, length) else f"the parameters have {needed}"
    if ndim not in (None, length) or needed > length:
        raise ValueError(errors.message(errors.RANDOM_SIZE, size=size, given=length, reason=reason))


def _infer(
    distribution: str, state: Any, parameters: tuple[Any, ...], size: Any, ndim: int | None, dtype: Any, **options: Any
) -> tuple[Type, TensorType]:
    """The types of a draw: a size that is 1 broadcasts, one that is not known does not."""
    shapes = [item.type.shape if isinstance(item, Symbolic) else () for item in parameters]
    needed = broadcast_shapes(*_without_event(distribution, shapes))
    sizes = needed if size is None else known_sizes(size, ndim)
    _check_size(len(sizes), len(needed), ndim, size)
    padded = (1,) * (len(sizes) - len(needed)) + needed
    sizes = tuple(own if item == -1 else item for item, own in zip(sizes, padded, strict=True))
    counts = {name: item if isinstance(item, int) else None for name, item in options.items()}
    event = DISTRIBUTIONS[distribution].event(shapes, **counts)
    return state.type, tensor_type(np.dtype(dtype), tuple(item == 1 for item in (*sizes, *event)))


def known_sizes(size: Any, ndim: int | None) -> tuple[int | None, ...]:
    """The sizes of a draw as far as they are known without arrays; raises ValueError if not even their number is."""
    if isinstance(size, tuple | list):
        return tuple(item if isinstance(item, int) else None for item in size)
    if isinstance(size, Constant):
        return tuple(int(item) for item in np.atleast_1d(size.data))
    if not isinstance(size, Symbolic):
        return (int(size),)
    if size.ndim == 0:
        return (None,)
    owner = getattr(size, "owner", None)
    if owner is not None and owner.op is shape_of.operation:
        found: tuple[int | None, ...] = owner.inputs[0].type.shape
        return found
    return (None,) * (_length(size) if ndim is None else ndim)


def _length(size: Any) -> int:
    """The length of a symbolic size: that of an expression of shapes or of scalars is known."""
    leaves = {item: item.type.stand_in() for item in leaves_of([size]) if not item.is_constant}
    with trace.specialising(None):
        found = replay([size], leaves)[0]
    if not isinstance(found, np.ndarray) and any(item.ndim for item in leaves):
        raise ValueError(errors.message(errors.RANDOM_NDIM, size=size))
    return len(found)


def static_sizes(size: Any) -> tuple[int, ...]:
    """The sizes of a draw, known once its arguments are arrays."""
    if isinstance(size, tuple | list):
        return tuple(int(static(item)) for item in size)
    return tuple(int(item) for item in np.atleast_1d(static(size)))


@deferred(name="RandomFunction", infer=_infer, differentiable=False)
def _draw(
    distribution: str, state: Any, parameters: tuple[Any, ...], size: Any, ndim: int | None, dtype: Any, **options: Any
) -> tuple[Any, Any]:
    """A draw whose size may depend on shapes; -1 in it stands for what the parameters need there."""
    needed = broadcast_shapes(*_without_event(distribution, [np.shape(item) for item in parameters]))
    sizes = needed if size is None else static_sizes(size)
    _check_size(len(sizes), len(needed), ndim, size)
    padded = (1,) * (len(sizes) - len(needed)) + needed
    sizes = tuple(own if item == -1 else item for item, own in zip(sizes, padded, strict=True))
    options = {name: None if item is None else int(static(item)) for name, item in options.items()}
    return draw(distribution, state, *parameters, size=sizes, dtype=dtype, **options)


def sample(
    random_state: Any,
    distribution: str,
    *parameters: Any,
    size: Any = None,
    ndim: int | None = None,
    dtype: Any = None,
    **options: Any,
) -> list[Any]:
    """Draw from a distribution by the name of RandomState's method, with its parameters in order.

    Parameters
    ----------
    random_state : variable
        The state before the draw.
    distribution : str
        For example "gamma" or "exponential".
    *parameters
        Numbers, arrays or variables; they broadcast against the size.
    size : int, sequence or variable, optional
        Shape of the sample; by default what the parameters broadcast to. It may have symbolic elements, or be a
        shape such as `x.shape`; -1 stands for the parameters' own size there.
    ndim : int, optional
        Number of dimensions of the size, checked if given.
    dtype : str, optional
        By default int64 for integers, else floatX or what the parameters need.

    Returns
    -------
    list
        The state after the draw, and the sample.

    Raises
    ------
    ValueError
        If there is no such distribution, or the size does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import tracer as theano
    >>> state = theano.shared(np.random.RandomState(3))
    >>> after, waits = sample(state, "exponential", 2.0, size=(2,))
    >>> bool(np.all(theano.function([], waits)() == np.random.RandomState(3).exponential(2.0, 2)))
    True
    """
    if distribution not in DISTRIBUTIONS:
        known = ", ".join(sorted(DISTRIBUTIONS))
        raise ValueError(errors.message(errors.UNKNOWN_DISTRIBUTION, name=distribution, known=known))
    values = tuple(item if isinstance(item, bool | int | float) else as_variable(item) for item in parameters)
    if dtype is None:
        dtype = "int64" if DISTRIBUTIONS[distribution].discrete else float_dtype(*values)
    return list(_draw(distribution, random_state, values, size, ndim, np.dtype(dtype).name, **options))


def float_dtype(*parameters: Any) -> str:
    """The dtype of real samples: floatX, or a larger one of a parameter that is not a Python number."""
    dtypes = [np.dtype(item.dtype) for item in parameters if hasattr(item, "dtype")]
    return np.result_type(np.dtype(config.floatX), *dtypes).name


def uniform(
    random_state: Any, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> list[Any]:
    """Draw from the interval [low, high); returns the state after the draw, and the sample. See `sample`."""
    return sample(random_state, "uniform", low, high, size=size, ndim=ndim, dtype=dtype)


def normal(
    random_state: Any, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> list[Any]:
    """Draw normal numbers of a mean and a standard deviation; returns the state and the sample. See `sample`."""
    return sample(random_state, "normal", avg, std, size=size, ndim=ndim, dtype=dtype)


def binomial(
    random_state: Any,
    size: Any = None,
    n: Any = 1,
    p: Any = 0.5,
    ndim: int | None = None,
    dtype: Any = "int64",
    prob: Any = None,
) -> list[Any]:
    """Draw how many of n trials succeed, each with probability p (or `prob`). See `sample`."""
    return sample(random_state, "binomial", n, p if prob is None else prob, size=size, ndim=ndim, dtype=dtype)


def random_integers(
    random_state: Any, size: Any = None, low: Any = 0, high: Any = 1, ndim: int | None = None, dtype: Any = "int64"
) -> list[Any]:
    """Draw integers from low to high, both included. See `sample`."""
    return sample(random_state, "random_integers", low, high, size=size, ndim=ndim, dtype=dtype)


def choice(
    random_state: Any,
    size: Any = None,
    a: Any = 2,
    replace: bool = True,
    p: Any = None,
    ndim: int | None = None,
    dtype: Any = "int64",
) -> list[Any]:
    """Draw elements of a vector `a`, or numbers below an integer `a`, with or without replacement. See `sample`.

    p gives the probability of each element; by default they are equal.
    """
    is_vector = bool(a.ndim if hasattr(a, "ndim") else np.ndim(a))
    parameters = [item for item in (a if is_vector else None, p) if item is not None]
    options = {"count": None if is_vector else a, "replace": replace}
    return sample(random_state, "choice", *parameters, size=size, ndim=ndim, dtype=dtype, **options)


def poisson(
    random_state: Any, size: Any = None, lam: Any = 1.0, ndim: int | None = None, dtype: Any = "int64"
) -> list[Any]:
    """Draw counts of events that happen at a rate `lam`. See `sample`."""
    return sample(random_state, "poisson", lam, size=size, ndim=ndim, dtype=dtype)


def permutation(
    random_state: Any, size: Any = None, n: Any = 1, ndim: int | None = None, dtype: Any = "int64"
) -> list[Any]:
    """Draw permutations of the numbers below n, along a last axis that the sample has beyond the size. See `sample`."""
    return sample(random_state, "permutation", size=size, ndim=ndim, dtype=dtype, count=n)


def multinomial(
    random_state: Any,
    size: Any = None,
    n: Any = 1,
    pvals: Any = (0.5, 0.5),
    ndim: int | None = None,
    dtype: Any = "int64",
) -> list[Any]:
    """Draw how often each outcome occurs in n trials. See `sample`.

    The outcomes are the last axis of the probabilities and of the sample; the other axes broadcast with n.
    """
    return sample(random_state, "multinomial", n, pvals, size=size, ndim=ndim, dtype=dtype)
