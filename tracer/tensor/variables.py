"""Values as symbolic tensors: constants, casts, shapes, and what is known of a value while an expression is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.config import config
from tracer.errors import message
from tracer.errors import tensor as messages
from tracer.graph.rules import is_traced
from tracer.tracing import trace
from tracer.tracing.proxy import has_proxy
from tracer.tracing.recording import Apply, deferred, operation_of, shape_of
from tracer.tracing.replay import is_computing, run_call, static
from tracer.tracing.symbolic import Constant, Symbolic, as_variable
from tracer.tracing.symbolic_type import TensorType, tensor_type

__all__ = [
    "AsTensorError",
    "EmptyConstantError",
    "NotScalarConstantError",
    "as_tensor_variable",
    "cast",
    "constant",
    "get_scalar_constant_value",
    "get_vector_length",
    "scalar_from_tensor",
    "shape",
    "tensor_copy",
    "tensor_from_scalar",
]

_FOLDED = 64
"""Calls that are folded to find a number, at most; what has not become one by then is not a constant."""


class AsTensorError(TypeError):
    """A value that cannot be a tensor."""


class NotScalarConstantError(Exception):
    """An expression is not a number that is known while it is built."""


class EmptyConstantError(NotScalarConstantError):
    """A constant has no element, and so no value."""


def operand(value: Any) -> Any:
    """An argument of a function: lists become one variable, or in a trace one array; all else stays."""
    return as_tensor_variable(value) if isinstance(value, list | tuple) else value


def ndim_of(value: Any) -> int:
    """The number of dimensions of a variable, an array, a traced value or a number."""
    found: int = value.ndim if hasattr(value, "ndim") else np.ndim(value)
    return found


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a NumPy function: recorded, or in a trace computed at once."""
    return operation_of(function)(*args, **kwargs)


def as_tensor_variable(x: Any, name: str | None = None, ndim: int | None = None) -> Any:
    """A symbolic tensor of a value.

    Parameters
    ----------
    x : array_like, variable, Apply, or list of them
        A variable stays itself, an array or number becomes a constant, a list with variables in it is stacked.
    name : str, optional
        Name of a constant.
    ndim : int, optional
        The number of dimensions: broadcastable ones are put in front or taken away there.

    Raises
    ------
    AsTensorError
        If it is no tensor, or cannot have `ndim` dimensions.

    Examples
    --------
    >>> from tracer.tensor.types import dscalar
    >>> as_tensor_variable([dscalar("x"), 2]).type
    TensorType(float64, vector)
    """
    make = getattr(x, "_as_TensorVariable", None)
    if make is not None:
        x = make()
    if is_computing():
        if isinstance(x, list | tuple):
            x = np.stack([as_tensor_variable(item) for item in x]) if has_proxy(x) else np.asarray(x)
        return x if ndim is None else _with_ndim(x, ndim)
    if isinstance(x, Apply) and len(x.outputs) != 1:
        raise AsTensorError(message(messages.SEVERAL_OUTPUTS, op=x.op, count=len(x.outputs)))
    try:
        variable = as_variable(x, name)
    except (TypeError, ValueError) as error:
        raise AsTensorError(str(error)) from error
    if not isinstance(variable.type, TensorType):
        raise AsTensorError(message(messages.NOT_A_TENSOR, value=variable, type=variable.type))
    return variable if ndim is None else _with_ndim(variable, ndim)


def _with_ndim(x: Any, ndim: int) -> Any:
    extra = ndim_of(x) - ndim
    if extra == 0:
        return x
    if extra < 0:
        return x[(None,) * -extra]
    single = x.shape[:extra] == (1,) * extra if is_computing() else all(x.broadcastable[:extra])
    if not single:
        raise AsTensorError(message(messages.TOO_MANY_DIMENSIONS, value=x, found=x.ndim, wanted=ndim))
    return x[(0,) * extra]


def constant(x: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Any:
    """A constant of an array, a number or a nested list.

    Parameters
    ----------
    x : array_like
        The value. A Python number adapts to the dtypes it meets, as in NumPy, unless `dtype` is given.
    name : str, optional
        Its name.
    ndim : int, optional
        Number of dimensions; axes of size 1 are added or taken away in front.
    dtype : str or dtype, optional
        Its dtype; "floatX" is `tracer.config.floatX`.

    Examples
    --------
    >>> constant([1, 2], dtype="float32").type
    TensorType(float32, vector)
    """
    if isinstance(x, Symbolic) and getattr(x, "owner", None) is None and not x.is_constant:
        raise TypeError(message(messages.NOT_A_CONSTANT, value=x))
    data = x.data if isinstance(x, Constant) else x
    if dtype is not None or ndim not in (None, 0) or isinstance(data, list | tuple):
        data = np.asarray(data, None if dtype is None else dtype_of(dtype))
    if ndim is not None and np.ndim(data) != ndim:
        lead = (1,) * (ndim - data.ndim)
        if data.ndim > ndim and any(size != 1 for size in data.shape[: data.ndim - ndim]):
            raise ValueError(f"a constant of shape {data.shape} cannot have {ndim} dimensions")
        data = data.reshape(lead + data.shape[max(0, data.ndim - ndim) :])
    return data if is_computing() else as_tensor_variable(data, name)


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """A dtype by name, "floatX" among them."""
    return np.dtype(config.floatX if isinstance(dtype, str) and dtype == "floatX" else dtype)


def operand_dtype(variable: Any) -> Any:
    """What a variable brings to the dtype of a result: its dtype, or the Python number that adapts to others."""
    weak = variable.is_constant and not isinstance(variable.data, np.ndarray | np.generic)
    return variable.data if weak else variable.type.numpy_dtype


# --- casts and copies ---------------------------------------------------------------------------------------------


@deferred(name="Cast", infer=lambda x, dtype: tensor_type(dtype, x.broadcastable))
def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    return x.astype(dtype) if hasattr(x, "astype") else np.asarray(x).astype(dtype)


def cast(x: Any, dtype: Any) -> Any:
    """The same values in another dtype.

    Parameters
    ----------
    x : tensor
    dtype : str or dtype
        "floatX" stands for `tracer.config.floatX`.

    Raises
    ------
    TypeError
        From complex to real: say which part, `T.real(x)` or `T.abs_(x)`.

    Examples
    --------
    >>> from tracer.tensor.types import imatrix
    >>> cast(imatrix("x"), "floatX").dtype
    'float64'
    """
    target = dtype_of(dtype)
    x = as_tensor_variable(x)
    source = np.result_type(x) if is_computing() else np.dtype(x.dtype)
    if source.kind == "c" and target.kind != "c":
        raise TypeError(message(messages.COMPLEX_CAST, value=x, source=source, target=target))
    if source == target and hasattr(x, "dtype") and not (isinstance(x, Constant) and type(x.data) is not np.ndarray):
        return x
    return _cast(x, target)


@deferred(name="Copy", infer=lambda x: x.type)
def _copy(x: Any) -> Any:
    return np.copy(x)


def scalar_from_tensor(t: Any) -> Any:
    """A tensor of no dimensions as a scalar: itself. Raises TypeError if it has dimensions."""
    t = as_tensor_variable(t)
    if ndim_of(t) != 0:
        raise TypeError(message(messages.NOT_A_SCALAR, value=t, ndim=ndim_of(t)))
    return t


def tensor_from_scalar(s: Any) -> Any:
    """A scalar as a tensor of no dimensions: itself. Raises TypeError if it has dimensions."""
    return scalar_from_tensor(s)


def tensor_copy(a: Any) -> Any:
    """The same values, as a variable of their own."""
    return _copy(as_tensor_variable(a))


def shape(x: Any) -> Any:
    """The shape of a tensor: a vector of int64, with as many elements as the tensor has dimensions.

    Examples
    --------
    >>> from tracer.tensor.types import dmatrix
    >>> shape(dmatrix("x")).type
    TensorType(int64, vector)
    """
    return shape_of(as_tensor_variable(x))


# --- numbers that are known ----------------------------------------------------------------------------------------


def get_scalar_constant_value(v: Any, elemwise: bool = True, only_process_constants: bool = False) -> Any:
    """The number that an expression always has, as a NumPy scalar array.

    Sizes of broadcastable dimensions, and what is computed from them and from constants, are known.

    Parameters
    ----------
    v : tensor or number
    elemwise : bool
        Compute calls of constants; otherwise look only at v itself.
    only_process_constants : bool
        Look only for constants.

    Raises
    ------
    NotScalarConstantError
        If it depends on anything else.

    Examples
    --------
    >>> from tracer.tensor.types import drow
    >>> get_scalar_constant_value(drow("x").shape[0] + 2)
    array(3)
    """
    if v is None:
        raise NotScalarConstantError(message(messages.NOT_A_SCALAR_CONSTANT, value=v))
    found = known_value(_filling(v), _FOLDED if elemwise and not only_process_constants else 0)
    if found is None or isinstance(found, _Sizes):
        raise NotScalarConstantError(message(messages.NOT_A_SCALAR_CONSTANT, value=v))
    data = np.asarray(found)
    if data.size == 0:
        raise EmptyConstantError(message(messages.NOT_A_SCALAR_CONSTANT, value=v))
    if data.ndim and not (data == data.flat[0]).all():
        raise NotScalarConstantError(message(messages.NOT_A_SCALAR_CONSTANT, value=v))
    return np.asarray(data.flat[0])


def _filling(v: Any) -> Any:
    """What a tensor is made of whose elements are all the same: the number that an alloc spreads out."""
    variable = getattr(v, "__symbolic__", v)
    owner = getattr(variable, "owner", None)
    while owner is not None and owner.op.name in _SPREADING:
        variable = owner.inputs[_SPREADING[owner.op.name]]
        owner = variable.owner
    return variable


_SPREADING = {"Alloc": 0, "DimShuffle": 0, "Flatten": 0, "Rebroadcast": 0, "Reshape": 0, "Second": 1}
"""Operations that only repeat or rearrange elements of one input, and which that is."""


class _Sizes(tuple[int | None, ...]):
    """A shape of which some sizes are known."""


def known_value(value: Any, budget: int = _FOLDED) -> Any:
    """The value that an expression always has, found by folding at most so many calls; None if it is not known."""
    symbolic = getattr(value, "__symbolic__", None)
    if symbolic is None:
        return value
    if symbolic.is_constant:
        return symbolic.data
    owner = getattr(symbolic, "owner", None)
    if owner is None or budget < 1:
        return None
    if owner.op is shape_of.operation:
        sizes = owner.inputs[0].type.shape
        return _Sizes(sizes) if None in sizes else np.array(sizes, np.int64)
    share = max(1, (budget - 1) // max(1, len(owner.inputs))) if budget > 1 else 0
    values = [known_value(item, share) for item in owner.inputs]
    if not values or any(item is None for item in values):
        return None
    if isinstance(values[0], _Sizes):
        return _picked_size(owner, values)
    if any(isinstance(item, _Sizes) or np.size(item) > _FOLDED for item in values):
        return None
    try:
        found = run_call(owner, values)
    except (TypeError, ValueError, IndexError):
        return None  # it is an error when the function runs
    found = found[symbolic.index] if isinstance(found, tuple | list) else found
    node = getattr(found, "__tracer_node__", None)
    return found if node is None else trace.known_value(node)


def _picked_size(owner: Apply, values: list[Any]) -> int | None:
    """The size that x.shape[number] is."""
    args, _ = owner.call_arguments(values)
    if owner.op.name != "Subtensor" or len(args[1]) != 1 or not hasattr(args[1][0], "__index__"):
        return None
    sizes, (position,) = args
    return tuple.__getitem__(sizes, int(position))


def get_vector_length(v: Any) -> int:
    """The length of a vector that always has the same: a shape, a constant, a list.

    Raises
    ------
    ValueError
        If the length is not known.

    Examples
    --------
    >>> from tracer.tensor.types import dtensor3
    >>> get_vector_length(dtensor3("x").shape[1:])
    2
    """
    if isinstance(v, list | tuple):
        return len(v)
    variable = as_tensor_variable(v)
    if variable.ndim != 1:
        raise TypeError(message(messages.NOT_A_VECTOR, value=variable, type=variable.type))
    found = vector_length(variable)
    if found is None:
        raise ValueError(message(messages.UNKNOWN_LENGTH, value=variable))
    return found


def vector_length(v: Any) -> int | None:
    """The length of a vector where its expression tells it, or None."""
    if is_computing() or not isinstance(v, Symbolic):
        return int(np.shape(v)[0])
    if v.is_constant:
        return len(v.data)
    if v.type.broadcastable == (True,):
        return 1
    owner = getattr(v, "owner", None)
    if owner is None:
        return None
    args, _ = owner.call_arguments(owner.inputs)
    if owner.op is shape_of.operation:
        return int(owner.inputs[0].type.ndim)
    if owner.op is operation_of(np.stack):
        return len(args[0])
    if owner.op is operation_of(np.concatenate):
        lengths = [vector_length(part) if part.ndim == 1 else None for part in args[0]]
        return None if None in lengths else sum(length for length in lengths if length is not None)
    if owner.op.name == "Subtensor" and len(args[1]) == 1:
        return _sliced_length(args[0], args[1][0])
    lengths = [vector_length(item) for item in owner.inputs if item.ndim == 1]
    if isinstance(owner.op.function, np.ufunc) or owner.op is _cast.operation:
        return next((length for length in lengths if length is not None and length != 1), None)
    return None


def _sliced_length(v: Any, part: Any) -> int | None:
    whole = vector_length(v)
    bounds = [known_value(bound) for bound in part] if isinstance(part, tuple) else None
    if whole is None or bounds is None or any(b is None and p is not None for b, p in zip(bounds, part, strict=True)):
        return None
    start, stop, step = (None if bound is None else int(bound) for bound in bounds)
    return len(range(whole)[start:stop:step])


# --- shapes as arguments -------------------------------------------------------------------------------------------


def shape_argument(value: Any) -> Any:
    """A shape that a user gave, to be recorded: a number, a sequence of numbers and scalar variables, or a vector."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(int(size) for size in value)
    if isinstance(value, list):
        return tuple(value)
    return value


def shape_pattern(value: Any, ndim: int | None = None) -> tuple[bool, ...]:
    """Which dimensions of a result broadcast whose shape is an argument.

    Raises ValueError if the number of dimensions is not known.
    """
    if isinstance(value, tuple | list):
        return tuple(is_one(size) for size in value)
    if getattr(value, "ndim", 0) == 0:
        return (is_one(value),)
    data = known_value(value)
    if data is not None:
        return tuple(bool(size == 1) for size in tuple(data))
    length = ndim if ndim is not None else vector_length(value)
    if length is None:
        raise ValueError(message(messages.UNKNOWN_LENGTH, value=value))
    return (False,) * length


def is_one(size: Any) -> bool:
    """Whether a size is always 1."""
    found = known_value(size)
    return found is not None and not isinstance(found, tuple) and np.ndim(found) == 0 and bool(found == 1)


def sizes_of(value: Any) -> tuple[int, ...]:
    """The numbers of a shape when it is computed."""
    if is_traced(value) or isinstance(value, np.ndarray):
        found = np.asarray(static(value))
        return tuple(int(size) for size in np.atleast_1d(found))
    items: Sequence[Any] = value if isinstance(value, tuple | list) else (value,)
    return tuple(int(static(size)) for size in items)
