"""What is called in rewritten code in the place of functions that take numbers or arrays of numbers only.

Python's and `math`'s functions of numbers, and those of NumPy that ask their arguments no protocol.
"""

from __future__ import annotations

import builtins
import cmath
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tracer.graph.op import UFUNC_NAMES
from tracer.records import NamedTuple
from tracer.tracing import generators
from tracer.tracing.proxy import Proxy, has_proxy
from tracer.tracing.source import nests, vectorizing
from tracer.tracing.source.iterating import TracedIterator

Call = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


class StandIn(NamedTuple):
    """What to run in the place of a function: always, or only where an argument is traced.

    It returns NotImplemented to leave a call to the function itself.
    """

    run: Callable[..., Any]
    always: bool = False


_TABLE: dict[Any, Callable[..., Any]] = {}
_CALLERS: dict[Any, Callable[..., Any]] = {}
"""Those that call functions of the user, which they are to rewrite: they take `call` as their first argument."""


def find(function: Any, call: Call) -> StandIn | None:
    """The stand-in of a function, if it has one; `call` is how it calls functions of the user."""
    try:
        if function in _CALLERS:
            return StandIn(functools.partial(_CALLERS[function], call), always=True)
        if function in _TABLE:
            return StandIn(_TABLE[function])
    except TypeError:  # cannot be hashed
        return None
    if function is type:
        return StandIn(_type, always=True)
    if function is np.random.RandomState:
        return StandIn(generators.random_state, always=True)
    if isinstance(function, np.vectorize):
        return StandIn(functools.partial(vectorizing.run, call, function))
    if isinstance(function, np.ufunc) and function in _FROM_PYTHON:
        made = np.vectorize(_FROM_PYTHON[function])
        return StandIn(functools.partial(vectorizing.run, call, made))
    if isinstance(function, type) and issubclass(function, np.generic):
        return StandIn(functools.partial(_scalar_of, function))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, Proxy) and function.__name__ in _METHODS:
        return StandIn(functools.partial(_METHODS[function.__name__], owner), always=True)
    return None


def _for(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(run: Callable[..., Any]) -> Callable[..., Any]:
        _TABLE.update(dict.fromkeys(functions, run))
        return run

    return enter


def _calling(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(run: Callable[..., Any]) -> Callable[..., Any]:
        _CALLERS.update(dict.fromkeys(functions, run))
        return run

    return enter


# --- arrays -----------------------------------------------------------------------------------------------------------


@_for(np.array)
def _np_array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
    like: Any = None,
) -> Any:
    value = nests.as_one(object)
    if value is not object:
        value._strides = None  # a nest comes in C order
    if dtype is not None and value.dtype != np.dtype(dtype):
        value = value.astype(dtype)
    elif value is object and copy:
        value = np.copy(value)
    if (order == "C" and not value.flags.c_contiguous) or (order == "F" and not value.flags.f_contiguous):
        value = np.copy(value, order=order)
    return np.reshape(value, (1,) * (ndmin - value.ndim) + value.shape) if value.ndim < ndmin else value


@_for(np.asarray, np.asanyarray, np.asarray_chkfinite)
def _asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None, like: Any = None
) -> Any:
    return _np_array(a, dtype, copy=copy, order=order)


@_for(np.ascontiguousarray)
def _ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return _np_array(a, dtype, copy=False, order="C", ndmin=1)


@_for(np.asfortranarray)
def _asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return _np_array(a, dtype, copy=False, order="F")


@_for(np.require)
def _require(a: Any, dtype: Any = None, requirements: Any = (), *, like: Any = None) -> Any:
    wanted = {item[0].upper() for item in requirements or ()}
    order = next((name for name in ("F", "C") if name in wanted), "K")
    value = _np_array(a, dtype, copy=False, order=order)
    return np.copy(value) if "O" in wanted and not value.flags.owndata else value


@_for(np.full)
def _full(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Any:
    value = _np_array(fill_value, dtype, copy=False)
    return np.copy(np.broadcast_to(value, shape))


@_for(np.full_like)
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    if isinstance(a, Proxy):
        return NotImplemented
    kind, shape = np.asarray(a).dtype if dtype is None else dtype, np.shape(a) if shape is None else shape
    return _full(shape, fill_value, kind)


@_calling(np.fromiter)
def _fromiter(call: Call, iter: Iterable[Any], dtype: Any, count: int = -1, *, like: Any = None) -> Any:
    items = list(iter) if count < 0 else list(itertools.islice(iter, count))
    return nests.as_one(items).astype(dtype) if has_proxy(items) else np.fromiter(items, dtype, count)


@_for(np.isscalar)
def _isscalar(element: Any) -> bool:
    return issubclass(kind_of(element), np.generic)


@_for(np.broadcast)
def _broadcast(*args: Any) -> Any:
    return np.broadcast(*(np.broadcast_to(np.empty(()), np.shape(item)) for item in args))


@_for(np.ndenumerate)
def _ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    return ((place, arr[place]) for place in np.ndindex(arr.shape))


def _scalar_of(kind: type[np.generic], value: Any = 0) -> Any:
    value = nests.as_one(value)
    return value.astype(kind) if isinstance(value, Proxy) and np.dtype(kind).kind in "biufc" else NotImplemented


# --- Python's functions of numbers -------------------------------------------------------------------------------


def kind_of(value: Any) -> type:
    """The type that NumPy would have in the place of a value: a scalar's, or ndarray."""
    if not isinstance(value, Proxy):
        weak: type = getattr(type(value), "__tracer_weak__", type(value))
        return weak
    is_scalar = value.shape == () and value._base is None and not value._is_array
    return value.dtype.type if is_scalar else np.ndarray


def _number(value: Any, dtype: Any) -> Any:
    if value.size != 1:
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
    return np.reshape(value, ())[()].astype(dtype)


@_for(float)
def _float(value: Any = 0.0) -> Any:
    if value.dtype.kind == "c":
        raise TypeError("float() argument must be a string or a real number, not 'complex'")
    return _number(value, np.float64)


@_for(int)
def _int(value: Any = 0) -> Any:
    return _number(value, np.int64)


@_for(complex)
def _complex(real: Any = 0, imag: Any = 0) -> Any:
    return real + 1j * imag if isinstance(imag, Proxy) or imag else _number(real, np.complex128)


@_for(bool)
def _bool(value: Any = False) -> Any:
    return _number(value, np.bool_)


@_for(isinstance)
def _isinstance(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) or (isinstance(value, Proxy) and issubclass(kind_of(value), kinds))


def _type(*args: Any) -> Any:
    return kind_of(args[0]) if len(args) == 1 else NotImplemented


@_for(round)
def _round(number: Any, ndigits: Any = None) -> Any:
    rounded = np.round(number, ndigits or 0)
    return rounded.astype(np.int64) if ndigits is None and rounded.shape == () else rounded


def _extreme(function: Any, is_better: Any) -> None:
    @_for(function)
    def run(*args: Any, **options: Any) -> Any:
        values = list(args[0]) if len(args) == 1 and not isinstance(args[0], Proxy) else args
        if options.pop("key", None) is not None or not values:
            return NotImplemented
        if len(args) == 1 and isinstance(args[0], Proxy):
            if args[0].ndim != 1:
                return NotImplemented
            return (np.max if function is max else np.min)(args[0])
        return functools.reduce(lambda best, item: np.where(is_better(item, best), item, best), values)


_extreme(builtins.max, lambda item, best: item > best)
_extreme(builtins.min, lambda item, best: item < best)


@_for(sorted)
def _sorted(iterable: Any, *, key: Any = None, reverse: bool = False) -> Any:
    if key is not None:
        return NotImplemented
    found = list(np.sort(nests.as_one(list(iterable))))
    return found[::-1] if reverse else found


@_for(any)
def _any(iterable: Any) -> Any:
    return np.any(nests.as_one(list(iterable)))


@_for(all)
def _all(iterable: Any) -> Any:
    return np.all(nests.as_one(list(iterable)))


@_for(math.fsum)
def _fsum(seq: Any) -> Any:
    return np.sum(nests.as_one(list(seq)))


@_for(math.prod)
def _prod(iterable: Any, *, start: Any = 1) -> Any:
    return np.prod(nests.as_one(list(iterable))) * start


@_for(math.hypot)
def _hypot(*coordinates: Any) -> Any:
    return functools.reduce(np.hypot, coordinates)


@_for(math.dist)
def _dist(p: Any, q: Any) -> Any:
    return np.sqrt(np.sum((nests.as_one(p) - nests.as_one(q)) ** 2))


@_for(math.log)
def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


@_for(math.isclose)
def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    return np.abs(a - b) <= np.maximum(rel_tol * np.maximum(np.abs(a), np.abs(b)), abs_tol)


@_for(math.modf)
def _modf(x: Any) -> Any:
    whole = np.trunc(x)
    return x - whole, whole


@_for(math.degrees)
def _degrees(x: Any) -> Any:
    return np.degrees(x)


_OF_NUMBERS: dict[Any, Any] = {
    getattr(module, name): getattr(np, other)
    for module, names in {
        math: "sin cos tan sinh cosh tanh exp expm1 log1p log2 log10 sqrt fabs copysign radians isnan isinf isfinite "
        "fmod ldexp gcd lcm nextafter acos=arccos asin=arcsin atan=arctan atan2=arctan2 acosh=arccosh asinh=arcsinh "
        "atanh=arctanh pow=power exp2 cbrt",
        cmath: "sin cos tan sinh cosh tanh exp log log10 sqrt isnan isinf isfinite acos=arccos asin=arcsin "
        "atan=arctan acosh=arccosh asinh=arcsinh atanh=arctanh phase=angle",
    }.items()
    for name, _, other in ((text.partition("=")[0], "", text.partition("=")[2] or text) for text in names.split())
    if hasattr(module, name)
}


def _of_number(traced: Any, to_int: bool = False) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        if any(isinstance(item, Proxy) and item.size != 1 for item in args):
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        args = tuple(np.reshape(item, ()) if isinstance(item, Proxy) else item for item in args)
        if not to_int and args[0].dtype.kind in "biu" if isinstance(args[0], Proxy) else False:
            args = (args[0].astype(np.float64), *args[1:])
        result = traced(*args)
        return result.astype(np.int64) if to_int else result

    return run


for _function, _traced in _OF_NUMBERS.items():
    _TABLE[_function] = _of_number(_traced)
for _name in ("floor", "ceil", "trunc"):
    _TABLE[getattr(math, _name)] = _of_number(getattr(np, _name), to_int=True)
for _name, _named in {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}.items():
    _TABLE[getattr(math, _name)] = _of_number(UFUNC_NAMES[_named])
for _integers in (math.gcd, math.lcm):
    _TABLE[_integers] = getattr(np, _integers.__name__)


# --- methods of traced values that give numbers ------------------------------------------------------------------


def _item(value: Any, *place: Any) -> Any:
    if not place:
        if value.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return np.reshape(value, ())[()]
    if len(place) == 1 and not isinstance(place[0], tuple):
        return np.reshape(value, -1)[place[0]]
    return value[place[0] if len(place) == 1 else place]


def _tolist(value: Any) -> Any:
    return [_tolist(item) for item in value] if value.ndim else value


_METHODS = {"item": _item, "tolist": _tolist}


# --- functions that call functions -------------------------------------------------------------------------------

_FROM_PYTHON: dict[np.ufunc, Any] = {}


@_calling(np.frompyfunc)
def _frompyfunc(call: Call, func: Any, /, nin: int, nout: int, **options: Any) -> Any:
    made = np.frompyfunc(func, nin, nout, **options)
    _FROM_PYTHON[made] = func
    return made


@_calling(map)
def _map(call: Call, function: Any, *iterables: Any) -> Iterator[Any]:
    return (call(function, items, {}) for items in zip(*iterables, strict=False))


@_calling(functools.reduce)
def _reduce(call: Call, function: Any, *rest: Any) -> Any:
    return functools.reduce(lambda one, other: call(function, (one, other), {}), *rest)


@_calling(np.fromfunction)
def _fromfunction(call: Call, function: Any, shape: Any, *, dtype: Any = float, like: Any = None, **kwargs: Any) -> Any:
    return call(function, tuple(np.indices(shape, dtype=dtype)), kwargs)


@_calling(np.apply_along_axis)
def _apply_along_axis(call: Call, func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rows = np.moveaxis(nests.as_one(arr), axis, -1)
    outer = rows.shape[:-1]
    results = [_asarray(call(func1d, (rows[place], *args), kwargs)) for place in np.ndindex(*outer)]
    if not has_proxy(results) and not isinstance(arr, Proxy):
        return np.apply_along_axis(func1d, axis, arr, *args, **kwargs)
    inner = np.shape(results[0])
    together = np.reshape(nests.as_one(results), (*outer, *inner))
    at = axis % np.ndim(arr)
    places = range(len(outer), len(outer) + len(inner))
    return np.moveaxis(together, tuple(places), tuple(range(at, at + len(inner))))


@_calling(np.apply_over_axes)
def _apply_over_axes(call: Call, func: Any, a: Any, axes: Any) -> Any:
    value = nests.as_one(a)
    for axis in np.atleast_1d(axes).tolist():
        made = call(func, (value, axis), {})
        value = made if np.ndim(made) == np.ndim(value) else np.expand_dims(made, axis)
    return value


_TABLE[np.nditer] = TracedIterator
