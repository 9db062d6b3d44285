"""From NumPy's calls on proxies to ops: ufuncs and their methods, functions, indexing, `out=`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracer import errors
from tracer.graph.op import FUNCTIONS, METHODS, UFUNC_METHODS, UFUNC_NAMES
from tracer.graph.rules import lift_arrays
from tracer.ops import indexing
from tracer.tracing import layout, trace


def call_function(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Trace a call of a NumPy function through `__array_function__`."""
    entry = FUNCTIONS.get(function)
    if entry is None:
        raise _unsupported(function)
    out = kwargs.get("out")
    if out is None:
        made = entry.apply(*args, **kwargs)
        if function not in _VIEWS:
            for item in made if type(made) in (tuple, list) else (made,):
                if hasattr(item, "__tracer_node__"):
                    _note_memory(item, function, args, kwargs)
        return made
    result = entry.apply(*args, **{name: value for name, value in kwargs.items() if name != "out"})
    return _store(result, out[0] if isinstance(out, tuple) else out)


def call_ufunc(ufunc: np.ufunc, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Trace a call of a ufunc or of one of its methods through `__array_ufunc__`."""
    if method == "__call__":
        if not kwargs:
            return _ufunc_entry(ufunc)(*args)
        return _call_with_options(ufunc, args, dict(kwargs))
    options = dict(kwargs)
    out = options.pop("out", None)
    result = _call_method(ufunc, method, args, options)
    if method == "accumulate" and hasattr(args[0], "_strides") and None not in args[0].shape:
        result._strides = layout.copied_strides(args[0], "K")
    return result if out is None else _store(result, out[0] if isinstance(out, tuple) else out)


_COPIES = (np.copy, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.sort, np.cumsum, np.cumprod)
_MAKE_ARRAYS = frozenset((*_COPIES, np.where, np.select))
"""Functions whose results are arrays, also those without axes, of which others make scalars."""
_IN_ORDER_OF_ALL = frozenset((np.insert, np.delete, np.pad))
_IN_C_ORDER = frozenset((np.select, np.take, np.repeat, np.quantile, np.percentile, np.histogram2d))
_VIEWS = frozenset(
    getattr(owner, name)
    for owner, names in (
        (np, "ravel swapaxes moveaxis rollaxis matrix_transpose permute_dims expand_dims squeeze reshape transpose"),
        (np, "atleast_1d atleast_2d atleast_3d array_split split hsplit vsplit dsplit unstack trim_zeros"),
        (np, "flip fliplr flipud rot90 diagonal diag real imag real_if_close broadcast_to broadcast_arrays"),
        (np, "einsum cross apply_along_axis"),  # axes in an order of their own
        (np.linalg, "matrix_transpose diagonal"),
        (np.lib.stride_tricks, "sliding_window_view as_strided"),
    )
    for name in names.split()
    if hasattr(owner, name)
)
"""Functions whose results may look into the memory of an argument; those of all others are arrays of their own."""


def _note_memory(made: Any, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Tell a result that nothing else shares its memory, and how NumPy orders it there."""
    if made._base is not None and not any(made is item for item in args):
        made._node, made._base = made.__tracer_node__, None
    if made.shape == ():
        made._is_array = made._is_array or function in _MAKE_ARRAYS or None
    elif function in _IN_C_ORDER:
        made._strides = None
    elif function in _IN_ORDER_OF_ALL:
        is_turned = args and hasattr(args[0], "_strides") and args[0].flags.fnc
        made._strides = layout.copied_strides(made, "F" if is_turned else "C")
    elif function in _COPIES and len(made.shape) > 1 and None not in made.shape:
        original = args[0] if args else next(iter(kwargs.values()))
        if hasattr(original, "_strides") and original.shape == made.shape:
            order = args[1] if function is np.copy and len(args) > 1 else kwargs.get("order") or "K"
            made._strides = layout.copied_strides(original, "K" if function is np.sort else order)


def _ufunc_entry(ufunc: np.ufunc) -> Any:
    entry = FUNCTIONS.get(ufunc)
    if entry is not None:
        return entry.apply
    named = UFUNC_NAMES.get(ufunc.__name__)
    if named is None:
        raise _unsupported(ufunc)
    return named


def _call_with_options(ufunc: np.ufunc, args: Sequence[Any], options: dict[str, Any]) -> Any:
    out = options.pop("out", None)
    where = options.pop("where", True)
    dtype = options.pop("dtype", None)
    options.pop("casting", None)
    options.pop("subok", None)
    if options.pop("order", "K") not in ("K", "C", "A") or (ufunc.signature is not None and options):
        raise _unsupported_argument(ufunc, next(iter(options), "order"))
    if dtype is not None:
        args = [np.asarray(value, dtype) if np.isscalar(value) else value.astype(dtype) for value in args]
    result = _ufunc_entry(ufunc)(*args, **options)
    if out is None:
        if where is not True:
            raise errors.UnsupportedFunctionError(
                errors.message(
                    errors.UNSUPPORTED_ARGUMENT,
                    function=_name(ufunc),
                    argument="where= (without out=)",
                    hint="elements outside `where` would be uninitialised; use np.where(where, f(x), other).",
                )
            )
        return result
    if not isinstance(result, tuple):
        return _store(result, out[0], where)
    pairs = zip(result, out, strict=True)
    return tuple(item if place is None else _store(item, place, where) for item, place in pairs)


def _call_method(ufunc: np.ufunc, method: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
    if method == "at":
        target, key, *values = args
        if not hasattr(target, "__tracer_node__"):
            raise _in_place_on_real_array(target)
        if ufunc in (np.add, np.subtract):
            (value,) = lift_arrays(values[0], target)[:1]
            if np.can_cast(value.dtype, target.dtype, "same_kind"):
                value = value.astype(target.dtype)  # before its sign changes: there are unsigned numbers
                target._assign(indexing.assign(target, key, value if ufunc is np.add else -value, "add"))
                return None
    return UFUNC_METHODS[method](ufunc, *args, **options)


def _store(result: Any, out: Any, where: Any = True) -> Any:
    """Write a result into `out`, as `out=` and in-place operators ask, with NumPy's casting and shape rules."""
    if not hasattr(out, "__tracer_node__"):
        raise _in_place_on_real_array(out)
    if not np.can_cast(result.dtype, out.dtype, casting="same_kind"):
        raise TypeError(
            errors.message(
                "Cannot cast output from {source} to {target} with casting rule 'same_kind'.\n"
                "HINT: write x = x + y instead of x += y to let the dtype grow.",
                source=result.dtype,
                target=out.dtype,
            )
        )
    if where is not True:
        result = np.where(where, result, out)
    if result.shape != out.shape:
        if len(result.shape) > len(out.shape):
            raise ValueError(
                errors.message(
                    "non-broadcastable output operand with shape {out} doesn't match the broadcast shape {result}",
                    out=out.shape,
                    result=result.shape,
                )
            )
        result = np.broadcast_to(result, out.shape)
    out._assign(result if result.dtype == out.dtype else result.astype(out.dtype))
    return out


def is_same_part(base: Any, key: Any, part: Any) -> bool:
    """Whether `part` is what `base[key]` reads now: then storing it there changes nothing."""
    return part._base is base and indexing.index(base, key).__tracer_node__ is part.__tracer_node__


def _name(function: Any) -> str:
    module = (getattr(function, "__module__", None) or "numpy").split(".")
    prefix = "np" if module[0] == "numpy" else module[0]
    middle = ".".join(part for part in module[1:2] if part in ("linalg", "fft", "random", "special"))
    return ".".join(part for part in (prefix, middle, getattr(function, "__name__", str(function))) if part)


_WRITERS = ("array2string", "array_repr", "array_str", "save", "savetxt", "savez", "savez_compressed")
"""Functions that make texts and files."""


def _unsupported(function: Any) -> errors.UnsupportedFunctionError:
    import difflib  # here: only mistakes need it

    names = {_name(known): known for known in FUNCTIONS}
    near = difflib.get_close_matches(_name(function), names, n=3, cutoff=0.5)
    hint = f"the nearest traced functions are {', '.join(near)}." if near else "compute it outside the traced function."
    if getattr(function, "__name__", None) in _WRITERS:
        hint = errors.HINT_WRITER
    return errors.UnsupportedFunctionError(errors.message(errors.UNSUPPORTED, function=_name(function), hint=hint))


def _unsupported_argument(function: Any, argument: str) -> errors.UnsupportedFunctionError:
    return errors.UnsupportedFunctionError(
        errors.message(errors.UNSUPPORTED_ARGUMENT, function=_name(function), argument=argument, hint="leave it out.")
    )


def _in_place_on_real_array(array: Any) -> errors.TraceError:
    return errors.TraceError(
        errors.message(errors.IN_PLACE_ON_REAL_ARRAY, value=f" ({array.dtype}[{', '.join(map(str, array.shape))}])")
    )


def install(cls: Any) -> None:
    """Give a proxy class its operators and array methods, derived from the table of functions."""
    for name, ufunc in OPERATORS.items():
        setattr(cls, f"__{name}__", _operator(ufunc))
        setattr(cls, f"__r{name}__", _reflected(ufunc))
        setattr(cls, f"__i{name}__", _in_place(ufunc))
    for name, ufunc in COMPARISONS.items():
        setattr(cls, f"__{name}__", _operator(ufunc))
    for name, ufunc in UNARY_OPERATORS.items():
        setattr(cls, f"__{name}__", _unary(ufunc))
    cls.__pow__ = _power
    cls.__divmod__ = lambda self, other: (self // other, self % other)
    cls.__rdivmod__ = lambda self, other: (other // self, other % self)
    cls.__round__ = lambda self, digits=0: np.round(self, digits)
    for name in dir(np.ndarray):
        if name.startswith("_") or name in cls.__dict__:
            continue
        if name in METHODS:
            setattr(cls, name, METHODS[name])
        elif getattr(np, name, None) in FUNCTIONS:
            setattr(cls, name, _array_method(getattr(np, name)))


OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
UNARY_OPERATORS = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _is_repetition(ufunc: np.ufunc, number: Any, other: Any) -> bool:
    """Whether a product repeats a list, as that of a list and one of NumPy's integer scalars does."""
    return bool(
        ufunc is np.multiply
        and isinstance(other, list | tuple)
        and number.shape == ()
        and number.dtype.kind in "iu"
        and number._base is None
        and not number._is_array
    )


def _operator(ufunc: np.ufunc) -> Any:
    def method(self: Any, other: Any) -> Any:
        if other is None or isinstance(other, str | dict):
            return NotImplemented
        if _is_repetition(ufunc, self, other):
            return self.__index__() * other
        return FUNCTIONS[ufunc].apply(self, other)

    return method


def _power(self: Any, other: Any) -> Any:
    # Of truth values too, the operator squares: np.power would give the dtype of the exponent.
    if type(other) is int and other == 2 and self.dtype.kind == "b":
        return np.square(self)
    if other is None or isinstance(other, str | dict):
        return NotImplemented
    return FUNCTIONS[np.power].apply(self, other)


def _reflected(ufunc: np.ufunc) -> Any:
    def method(self: Any, other: Any) -> Any:
        if other is None or isinstance(other, str | dict):
            return NotImplemented
        if _is_repetition(ufunc, self, other):
            return other * self.__index__()
        return FUNCTIONS[ufunc].apply(other, self)

    return method


def _unary(ufunc: np.ufunc) -> Any:
    def method(self: Any) -> Any:
        return FUNCTIONS[ufunc].apply(self)

    return method


def _in_place(ufunc: np.ufunc) -> Any:
    def method(self: Any, other: Any) -> Any:
        result = FUNCTIONS[ufunc].apply(self, other)
        if self.shape == () and self._base is None and not self._is_array:
            # NumPy's scalars are immutable: `s += 1` on the result of a full reduction makes a new value.
            active = trace.current()
            if active is not None and self._is_array is not None:
                active.in_place_scalars.add(id(self))
            return result
        return _store(result, self)

    return method


def _array_method(function: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call_function(function, (self, *args), kwargs)

    return method
